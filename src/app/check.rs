//! `tollgate check`: says whether a configuration is sound and what it means.

use super::cli::Options;
use super::screen::{show, tell};
use super::{EXIT_UNUSABLE, files};
use std::process::ExitCode;

/// Prints what would be in force, or every fault.
pub fn check(options: &Options) -> ExitCode {
    match files::load(options) {
        Ok(snapshot) => {
            for warning in &snapshot.warnings {
                tell(format_args!("warning: {warning}"));
            }
            show(&snapshot.report);
            ExitCode::SUCCESS
        }
        Err(faults) => {
            tell(faults);
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}
