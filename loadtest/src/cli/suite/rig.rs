//! Gateways that run, each with the configuration written for it, and the provider itself.

use super::cases::{Row, Setup};
use super::check::{Answer, Sameness};
use super::load::Request;
use super::peers::{Contender, Kind, Values};
use crate::cli::kit::gateway::two_free_ports;
use crate::cli::kit::pages::{self, Metrics};
use crate::cli::kit::process::{Cpu, Process, thread_ns};
use crate::cli::kit::secure;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a gateway may need before it answers.
const START_MAX: Duration = Duration::from_secs(60);
/// How long one may need to notice that everybody has gone.
const QUIET_MAX: Duration = Duration::from_secs(10);

/// Where and for how long gateways run.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// The provider's port, and its thread.
    pub(super) upstream: u16,
    pub(super) provider: u32,
    /// Configurations go here.
    pub(super) configs: PathBuf,
    /// Logs and all that gateways write go here.
    pub(super) scratch: PathBuf,
    /// Longer than all of it can take.
    pub(super) life: Duration,
    /// CPUs of the machine.
    pub(super) cpus: u32,
}

/// What has turns: a running gateway, or the provider itself.
pub(super) struct Rig {
    pub(super) label: String,
    pub(super) port: u16,
    /// The admin port of tollgate, whose own sums are compared with the provider's.
    pub(super) admin: Option<u16>,
    /// What its requests are.
    pub(super) request: Request,
    pub(super) sameness: Sameness,
    process: Option<Process>,
    provider: u32,
}

impl Rig {
    /// The provider, which is the ceiling: what load and provider can do without anybody between them.
    pub(super) fn direct(place: &Place, request: Request) -> Rig {
        Rig {
            label: DIRECT.to_string(),
            port: place.upstream,
            admin: None,
            request,
            sameness: Sameness::Bytes,
            process: None,
            provider: place.provider,
        }
    }

    /// Starts a gateway, and waits until it carries a request to the provider and back.
    pub(super) fn start(
        contender: &Contender,
        row: &Row,
        label: &str,
        sockets: u64,
        mut request: Request,
        place: &Place,
    ) -> Result<Rig, String> {
        let (port, admin) = two_free_ports()?;
        let port = contender.own_port().unwrap_or(port);
        let values = Values::default()
            .and("PORT", port)
            .and("ADMIN", admin)
            .and("UPSTREAM", place.upstream)
            .and("WORKERS", row.workers)
            .and("SOCKETS", sockets)
            .and("KEEP", sockets.max(256))
            // Three limits are by key.
            .and("ACCOUNTS", row.keys * 4 + 10_000);
        let name = label.replace([' ', ','], "-");
        let dir = fresh(&place.scratch.join(&name))?;
        if row.setup.is_secure() {
            request.tls = Some(secure::certificate(&dir)?);
        }
        let rendered = contender.render(row.setup, values, &dir)?;
        keep(&rendered.files, &place.configs.join(&name))?;
        request.headers = rendered.headers;
        let log = place.scratch.join(format!("{name}.log"));
        let cpus = (0..row.workers.min(place.cpus)).map(|cpu| cpu.to_string()).collect::<Vec<_>>().join(",");
        let mut process = Process::pinned(&cpus, &rendered.command, &log, place.life)?;
        let is_tollgate = contender.is_tollgate();
        let admin = is_tollgate.then_some(admin);
        await_answer(&mut process, port, admin, &request, &log).map_err(|why| format!("{label}: {why}"))?;
        let passes = contender.kind == Kind::Forward || (is_tollgate && row.setup != Setup::Translated);
        let sameness = if passes { Sameness::Bytes } else { Sameness::Meaning };
        let process = Some(process);
        Ok(Rig {
            label: label.to_string(),
            port,
            admin,
            request,
            sameness,
            process,
            provider: place.provider,
        })
    }

    /// CPU time of the gateway so far; of the provider's thread when there is none.
    pub(super) fn cpu(&self) -> Result<Cpu, String> {
        match &self.process {
            Some(process) => Cpu::of(process.pid()),
            None => Ok(Cpu { schedstat_ns: thread_ns(self.provider), ..Cpu::default() }),
        }
    }

    /// A whole request and its answer.
    pub(super) fn ask(&self) -> Result<Answer, String> {
        Answer::to(self.port, &self.request)
    }

    /// tollgate's own sum of settled tokens, once nothing is under way; `None` without a token limit.
    pub(super) fn settled(&self) -> Result<Option<u64>, String> {
        let Some(admin) = self.admin else { return Ok(None) };
        pages::quiesce(admin, QUIET_MAX)?;
        Ok(Metrics::fetch(admin)?.sum("tollgate_limit_settled_total", &["/tokens\""]))
    }
}

/// The name of the provider itself in the tables.
pub(super) const DIRECT: &str = "direct";

fn await_answer(
    process: &mut Process,
    port: u16,
    admin: Option<u16>,
    request: &Request,
    log: &Path,
) -> Result<(), String> {
    let patience = Instant::now() + START_MAX;
    loop {
        let answer = Answer::to(port, request);
        let is_ready = admin.is_none_or(|admin| pages::fetch(admin, "/readyz").is_ok());
        if is_ready && answer.as_ref().is_ok_and(|answer| answer.status == 200) {
            return Ok(());
        }
        if process.has_ended() || Instant::now() > patience {
            let said = fs::read(log).unwrap_or_default();
            let said = String::from_utf8_lossy(&said);
            let lines: Vec<&str> = said.lines().collect();
            let last = lines[lines.len().saturating_sub(10)..].join("\n");
            let answer = answer.map_or_else(|why| why, |answer| answer.shown());
            return Err(format!("it does not serve on port {port}: {answer}; it said\n{last}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn fresh(dir: &Path) -> Result<PathBuf, String> {
    fs::create_dir_all(dir)
        .and_then(|()| dir.canonicalize())
        .map_err(|why| format!("{}: {why}", dir.display()))
}

/// Copies configurations to where the run's results are.
fn keep(files: &[PathBuf], dir: &Path) -> Result<(), String> {
    let dir = fresh(dir)?;
    for file in files {
        let to = dir.join(file.file_name().unwrap_or_default());
        fs::copy(file, to).map_err(|why| format!("{}: {why}", file.display()))?;
    }
    Ok(())
}
