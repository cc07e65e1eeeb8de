//! `tollgate run`: serves until it is told to stop.

use super::cli::Options;
use super::gateway::{Gateway, Life};
use super::screen::tell;
use super::watch::Seen;
use super::{EXIT_UNUSABLE, VERSION, files};
use crate::config::{Footprint, Snapshot};
use crate::coordinator::Watch;
use crate::runtime::{cores, probe};
use std::process::ExitCode;

/// Runs a gateway; what is in force goes to standard error, access records to standard output.
pub fn run(options: &Options) -> ExitCode {
    let snapshot = match files::load(options) {
        Ok(snapshot) => snapshot,
        Err(faults) => {
            tell(faults);
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    for warning in &snapshot.warnings {
        tell(format_args!("warning: {warning}"));
    }
    if let Some(warning) = too_few_files(&snapshot) {
        tell(format_args!("warning: {warning}"));
    }
    let seen = Seen::of(&options.paths);
    let (again, read) = (options.clone(), seen.clone());
    let reload = move || {
        read.look(); // before reading, so that what changes meanwhile is a change
        files::load(&again)
    };
    let watch: Option<Watch> = options.watch.then(|| Box::new(move || seen.has_changed()) as Watch);
    let life = Life { reload: Some(Box::new(reload)), watch, signals: true };
    let gateway = match Gateway::start(snapshot, life) {
        Ok(gateway) => gateway,
        Err(error) => {
            tell(format_args!("tollgate: {error}"));
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    tell(serves(&gateway));
    match gateway.join() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("tollgate: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The start-up report: what is in force, then what only the running process knows.
fn serves(gateway: &Gateway) -> String {
    let in_force = gateway.board.in_force();
    let snapshot = &in_force.snapshot;
    let workers = gateway.board.desks.len();
    let plural = if workers == 1 { "" } else { "s" };
    let memory = Footprint::of(&snapshot.settings, workers);
    let mut text = format!(
        "tollgate {VERSION} serves on {workers} worker{plural}\nmemory: {memory}\n{}",
        snapshot.report
    );
    for (listener, address) in snapshot.listeners.iter().zip(&gateway.addresses) {
        if listener.bind.port() == 0 {
            text +=
                &format!("listener {} got the port of {}://{address}\n", listener.name, listener.scheme());
        }
    }
    if let Some(admin) = gateway.admin_address {
        text += &format!("admin http://{admin}: /healthz /readyz /metrics /state /accounts\n");
    }
    text.truncate(text.trim_end().len());
    text
}

/// Raises the number of files that this process may open as far as it goes; says so when that is too few for
/// the connections that the settings allow.
fn too_few_files(snapshot: &Snapshot) -> Option<String> {
    let settings = &snapshot.settings;
    let workers = settings.workers.cores.map_or_else(|| cores::available().len(), usize::from) as u64;
    let (clients, idle) = (settings.connections.per_worker, settings.upstream.idle_per_worker);
    let needed = workers * (u64::from(clients) + u64::from(idle)) + FILES_OF_PROCESS;
    let may = probe::raise_open_files()?;
    (may < needed).then(|| {
        format!(
            "this process may open {may} files, and {workers} workers with {clients} connections each need {needed}: \
             raise LimitNOFILE in the systemd unit (`ulimit -n`), or lower connections.perWorker"
        )
    })
}

/// Files that are no connections: rings, mailboxes, listeners, the admin endpoint, records.
const FILES_OF_PROCESS: u64 = 64;
