//! `tollgate run`: serves until it is told to stop.

use super::cli::Options;
use super::gateway::{Gateway, Life};
use super::screen::tell;
use super::watch::Seen;
use super::{EXIT_UNUSABLE, VERSION, files};
use crate::config::{Footprint, Process, Snapshot};
use crate::coordinator::{Successor, Watch};
use crate::runtime::privileges::{self, Owner};
use crate::runtime::{cores, inherit, notify, probe};
use std::process::{Command, ExitCode, Stdio};

/// Runs a gateway; what is in force goes to standard error, access records to standard output.
pub fn run(options: &Options) -> ExitCode {
    // First of all: their descriptors must not be taken for something else.
    let inherited = match inherit::from_systemd() {
        Ok(inherited) => inherited,
        Err(fault) => {
            tell(format_args!("tollgate: {fault}"));
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
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
    let owner = match rights(&snapshot.settings.process) {
        Ok(owner) => owner,
        Err(fault) => {
            tell(format_args!("tollgate: {fault}"));
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    let seen = Seen::of(&options.paths);
    let (again, read) = (options.clone(), seen.clone());
    let user = snapshot.settings.process.user.clone();
    let reload = move || {
        read.look(); // before reading, so that what changes meanwhile is a change
        files::load(&again).map_err(|faults| match &user {
            Some(user) if faults.contains("ermission denied") => {
                format!(
                    "{faults}\nfiles are read as process.user, {user:?}, since the start: let it read them"
                )
            }
            _ => faults,
        })
    };
    let watch: Option<Watch> = options.watch.then(|| Box::new(move || seen.has_changed()) as Watch);
    let life = Life {
        reload: Some(Box::new(reload)),
        watch,
        signals: true,
        inherited,
        takeover: options.takeover.clone(),
        successor: snapshot.settings.upgrade.socket.as_deref().and_then(successor),
        owner,
    };
    let gateway = match Gateway::start(snapshot, life) {
        Ok(gateway) => gateway,
        Err(error) => {
            tell(format_args!("tollgate: {error}"));
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    tell(serves(&gateway));
    notify::notify_as_main("READY=1");
    match gateway.join() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(format_args!("tollgate: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Gives up what the process needs for nothing, and says who it becomes.
fn rights(settings: &Process) -> Result<Option<Owner>, String> {
    privileges::keep_to_own_rights().map_err(|error| format!("no_new_privs: {error}"))?;
    let owner = settings.user.as_deref().map(|user| privileges::owner(user, settings.group.as_deref()));
    if !settings.core_dumps {
        privileges::keep_memory()
            .map_err(|error| format!("core dumps could not be switched off: {error}"))?;
    }
    owner.transpose()
}

/// What SIGUSR2 does: the program that is at this one's path by then takes over, with the same arguments.
fn successor(socket: &str) -> Option<Successor> {
    // Asked now: when the file is replaced the system tells another name.
    let program = std::env::current_exe().ok()?;
    let mut arguments = Vec::new();
    let mut given = std::env::args_os().skip(1);
    while let Some(argument) = given.next() {
        match argument.to_str() {
            Some("--takeover") => drop(given.next()),
            Some(text) if text.starts_with("--takeover=") => {}
            _ => arguments.push(argument),
        }
    }
    arguments.extend(["--takeover".into(), socket.into()]);
    Some(Box::new(move || {
        let mut command = Command::new(&program);
        command.args(&arguments).stdin(Stdio::null());
        for name in ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] {
            command.env_remove(name);
        }
        let mut child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
        let waits =
            std::thread::Builder::new().name("successor".to_owned()).spawn(move || match child.wait() {
                Ok(status) if !status.success() => {
                    tell(format_args!("the process that was to take over ended: {status}"))
                }
                _ => {}
            });
        waits.map(drop).map_err(|error| format!("the thread that waits for the other process: {error}"))
    }))
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
    let admin = gateway.admin_address.map(|address| format!("http://{address}"));
    if let Some(admin) = admin.or_else(|| snapshot.settings.admin.address.as_ref().map(ToString::to_string)) {
        text += &format!("admin {admin}: /healthz /readyz /metrics /state /accounts\n");
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
