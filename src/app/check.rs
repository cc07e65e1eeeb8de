//! `tollgate check`: says whether a configuration is sound and what it means, or how each of its resources stands.

use super::cli::Options;
use super::conditions::{self, Output};
use super::screen::{show, tell};
use super::{EXIT_UNUSABLE, files};
use crate::config::Snapshot;
use std::process::ExitCode;

/// Prints what would be in force, or every fault; with an `output` the conditions of every resource, and faults that stand in
/// none of them.
pub fn check(options: &Options, output: Option<Output>) -> ExitCode {
    if let Some(output) = output {
        return conditions(options, output);
    }
    match files::load(options) {
        Ok(snapshot) => {
            warn(&snapshot);
            show(&snapshot.report);
            ExitCode::SUCCESS
        }
        Err(faults) => {
            tell(faults);
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

fn conditions(options: &Options, output: Output) -> ExitCode {
    let found = match files::conditions(options) {
        Ok(found) => found,
        Err(faults) => {
            tell(faults);
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    show(conditions::shown(&found.resources, output));
    let in_force = found.in_force.map_err(|faults| faults.to_string().trim_end().to_owned());
    let checked = in_force.and_then(|snapshot| {
        warn(&snapshot);
        files::check_origins(&snapshot)
    });
    match checked {
        Ok(()) => return ExitCode::SUCCESS,
        Err(told) if told.is_empty() => {} // by conditions
        Err(faults) => tell(faults),
    }
    ExitCode::from(EXIT_UNUSABLE)
}

fn warn(snapshot: &Snapshot) {
    for warning in &snapshot.warnings {
        tell(format_args!("warning: {warning}"));
    }
}
