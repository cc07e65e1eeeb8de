//! `tollgate run`: serves until it is told to stop.

use super::cli::Options;
use super::gateway::{Gateway, Life};
use super::{EXIT_UNUSABLE, VERSION, files};
use std::process::ExitCode;

/// Runs a gateway; what is in force goes to standard error, access records to standard output.
pub fn run(options: &Options) -> ExitCode {
    let snapshot = match files::load(options) {
        Ok(snapshot) => snapshot,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    for warning in &snapshot.warnings {
        eprintln!("warning: {warning}");
    }
    let report = snapshot.report.clone();
    let again = options.clone();
    let life = Life { reload: Some(Box::new(move || files::load(&again))), signals: true };
    let gateway = match Gateway::start(snapshot, life) {
        Ok(gateway) => gateway,
        Err(error) => {
            eprintln!("tollgate: {error}");
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    eprint!("tollgate {VERSION} serves\n{report}");
    if let Some(admin) = gateway.admin_address {
        eprintln!("admin http://{admin}: /healthz /readyz /metrics /state");
    }
    match gateway.join() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tollgate: {error}");
            ExitCode::FAILURE
        }
    }
}
