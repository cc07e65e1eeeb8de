//! Puts the threads together: workers, coordinator, admin; and takes them apart.

use super::openings::{self, AdminSocket, Opened};
use super::screen::tell;
use crate::admin::{self, AdminServer};
use crate::config::{JwksOrigin, Limits, Roots, Secret, Settings, Snapshot, Target};
use crate::coordinator::{
    Coordinator, Offer, Prepared, Reload, Seed, Signals, Successor, Takeover, Waiting, Watch, draft_offer,
};
use crate::limit::{Accounts, Tuning};
use crate::mail::{Board, Desk, InForce, ToWorker, WORKER_MAIL_MAX};
use crate::proxy::handshake::TlsServer;
use crate::proxy::tls::TlsClient;
use crate::proxy::{self, WorkerSeed};
use crate::runtime::executor::{self, WorkerThread};
use crate::runtime::inherit::Inherited;
use crate::runtime::privileges::{self, Owner};
use crate::runtime::unix_listener::Draft;
use crate::runtime::{MailReceiver, MailSender, RingConfig, clock, cores, mailbox, probe};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A gateway that serves.
pub struct Gateway {
    /// Where it listens, by listener of the configuration.
    pub addresses: Vec<SocketAddr>,
    /// Where its admin thread listens, if it has one.
    pub admin_address: Option<SocketAddr>,
    /// What everybody may read.
    pub board: Arc<Board>,
    coordinator: Coordinator,
    workers: Vec<WorkerThread>,
    admin: Admin,
}

/// How a gateway lives in its process.
#[derive(Default)]
pub struct Life {
    /// What SIGHUP does.
    pub reload: Option<Reload>,
    /// What does the same without being asked, when files have changed.
    pub watch: Option<Watch>,
    /// Whether it listens to the signals of the process.
    pub signals: bool,
    /// Sockets that are open already.
    pub inherited: Vec<Inherited>,
    /// Where to ask the process that this one is to replace.
    pub takeover: Option<PathBuf>,
    /// What SIGUSR2 does.
    pub successor: Option<Successor>,
    /// Who the process becomes when its sockets are open.
    pub owner: Option<Owner>,
}

/// How long clients of the admin endpoint are served on when another process takes it over.
const ADMIN_FINISH: Duration = Duration::from_millis(500);

/// How long a worker may take to begin.
const START_MAX: Duration = Duration::from_secs(20);

impl Gateway {
    /// Starts everything; when this returns, requests are served.
    ///
    /// # Errors
    /// One message for the operator: what this machine lacks, which port is in use, which file is not there.
    pub fn start(snapshot: Snapshot, life: Life) -> Result<Gateway, String> {
        // First of all: a reload that is asked for too early must not end the process.
        let signals = Signals::listen(life.signals).map_err(told("signals"))?;
        let ring = ring_config(&snapshot.settings);
        probe::check(&ring)?;
        let cores = worker_cores(&snapshot.settings)?;
        let roots = roots(&snapshot)?;
        let tls = TlsClient::new(roots).map_err(|error| error.to_string())?;
        let tls_server = TlsServer::new().map_err(|error| error.to_string())?;
        let admin_token = snapshot.settings.admin.token.clone();
        let upgrade = snapshot.settings.upgrade.socket.clone();
        let takeover = life
            .takeover
            .as_deref()
            .map(|path| Takeover::ask(path, super::VERSION, snapshot.settings.limits.store.as_deref()));
        let mut takeover = takeover.transpose()?;
        let Opened { addresses, mut by_worker, offered, admin: admin_socket } =
            openings::open(&snapshot, life.inherited, takeover.as_mut(), cores.len())?;
        if let Some(owner) = life.owner {
            admin_socket.iter().try_for_each(|opened| opened.give_to(owner))?;
            privileges::become_owner(owner)?; // before there are files and threads
            if !snapshot.settings.process.core_dumps {
                privileges::keep_memory().map_err(told("core dumps could not be switched off"))?; // again
            }
        }

        let queue = snapshot.settings.records.queue as usize;
        let desks: Vec<Arc<Desk>> = (0..cores.len()).map(|n| Desk::new(n as u16, queue)).collect();
        let accounts = accounts(&snapshot.settings, cores.len());
        let in_force = InForce::after(None, snapshot, cores.len());
        let board = Board::new(desks, Arc::new(in_force), Arc::new(accounts));
        let (senders, mut receivers) = mailboxes(cores.len())?;
        let prepared = Prepared::start(&board, senders, tls.usual().clone())?;

        let mut workers = Vec::new();
        for (number, cpu) in cores.into_iter().enumerate() {
            let seed = WorkerSeed {
                desk: board.desks[number].clone(),
                board: board.clone(),
                mail: receivers.remove(0),
                sockets: by_worker.pop().unwrap_or_default(),
                tls: tls.clone(),
                tls_server: tls_server.clone(),
            };
            let name = format!("worker-{number}");
            let worker = executor::start(&name, cpu, ring, move |ring| proxy::run(ring, seed));
            workers.push(worker.map_err(told("a worker thread"))?);
        }
        wait_for_workers(&board, workers.len())?;
        // Before another process gives its place up: what can fail is done by then.
        let admin = Admin::default();
        let offer = upgrade.map(|path| {
            let socket = draft_offer(&path, life.takeover.as_deref())?;
            offer(socket, offered, admin_socket.as_ref(), &admin, (&board, admin_token.clone()))
        });
        let offer = offer.transpose()?;
        let waiting = Waiting::start()?;
        let replaces = takeover.is_some();
        let helpers = prepared.begin(takeover)?;
        let pulses = workers.iter().map(WorkerThread::pulse).collect();
        let seed = Seed {
            pulses,
            reload: life.reload,
            watch: life.watch,
            signals,
            offer,
            successor: life.successor,
            replaces,
        };
        let coordinator = Coordinator::start(waiting, seed, helpers)?;
        board.health.set_ready();
        let server = match admin_socket.map(|opened| start_admin(opened, &board, admin_token)).transpose() {
            Err(why) if replaces => {
                tell(format_args!("{why}: this process serves without it"));
                None
            }
            started => started?,
        };
        let admin_address = server.as_ref().and_then(AdminServer::addr);
        *admin.lock().unwrap_or_else(PoisonError::into_inner) = server;
        Ok(Gateway { addresses, admin_address, board, coordinator, workers, admin })
    }

    /// Asks for the end: new connections are refused, exchanges end, then the threads do.
    pub fn stop(&self) {
        self.coordinator.stop();
    }

    /// Waits for the end, which a signal or [`stop`](Gateway::stop) brings.
    ///
    /// # Errors
    /// When a worker failed.
    pub fn join(self) -> Result<(), String> {
        let ending = self.coordinator.join();
        let ended: Vec<io::Result<()>> = self.workers.into_iter().map(WorkerThread::join).collect();
        if let Some(admin) = self.admin.lock().unwrap_or_else(PoisonError::into_inner).take() {
            admin.stop(); // before the journal ends, so that it hears of every change
        }
        ending.finish();
        ended.into_iter().collect::<io::Result<()>>().map_err(told("a worker"))
    }
}

/// The table of accounts, empty.
fn accounts(settings: &Settings, workers: usize) -> Accounts {
    let Limits { accounts, lease_share, lease_quantum, store, .. } = &settings.limits;
    let (workers, quantum) = (u32::try_from(workers).unwrap_or(1), *lease_quantum);
    let tuning = Tuning { workers, share_percent: *lease_share, quantum };
    Accounts::new(*accounts as usize, store.is_some(), tuning)
}

fn ring_config(settings: &Settings) -> RingConfig {
    RingConfig {
        submission_entries: settings.ring.submission_entries,
        completion_entries: settings.ring.completion_entries,
        receive_buffers: settings.ring.receive_buffers,
        receive_buffer_bytes: settings.ring.receive_buffer_bytes as usize,
        inbox_bytes: settings.ring.inbox_bytes as usize,
    }
}

/// The core of each worker; `None` is a worker that is not pinned.
fn worker_cores(settings: &Settings) -> Result<Vec<Option<usize>>, String> {
    let available = cores::available();
    let wanted = settings.workers.cores.map_or(available.len(), usize::from);
    if settings.workers.pin && wanted > available.len() {
        return Err(format!(
            "Settings workers.cores is {wanted}, but this process may run on {} cores: lower it, or set workers.pin \
             to false",
            available.len()
        ));
    }
    Ok((0..wanted).map(|n| settings.workers.pin.then(|| available[n])).collect())
}

fn wait_for_workers(board: &Board, workers: usize) -> Result<(), String> {
    let until = clock::now() + START_MAX;
    while board.health.workers_adopted() < workers as u64 {
        if clock::now() > until {
            return Err("a worker did not start within 20 s: it could not open its io_uring".to_owned());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// One mailbox per worker.
type Mailboxes = (Vec<MailSender<ToWorker>>, Vec<MailReceiver<ToWorker>>);

fn mailboxes(workers: usize) -> Result<Mailboxes, String> {
    let boxes = (0..workers).map(|_| mailbox(WORKER_MAIL_MAX)).collect::<io::Result<Vec<_>>>();
    Ok(boxes.map_err(told("a mailbox"))?.into_iter().unzip())
}

/// The admin endpoint as long as it runs: a hand-over ends it, and starts it again if it fails.
type Admin = Arc<Mutex<Option<AdminServer>>>;

/// Starts the admin endpoint on a socket that is another process's too, or may become so.
fn start_admin(
    opened: AdminSocket,
    board: &Arc<Board>,
    token: Option<Arc<Secret>>,
) -> Result<AdminServer, String> {
    let AdminSocket { socket, shared, address } = opened;
    let started = admin::serve(socket, shared, board.clone(), clock::moment, super::VERSION, token);
    started.map_err(|error| format!("the admin endpoint at {address}: {error}"))
}

/// What another process gets that takes this one's place.
fn offer(
    socket: Draft,
    offered: Vec<(String, socket2::Socket)>,
    admin_socket: Option<&AdminSocket>,
    admin: &Admin,
    (board, token): (&Arc<Board>, Option<Arc<Secret>>),
) -> Result<Offer, String> {
    let second = |opened: &AdminSocket| opened.second().map_err(told("the admin endpoint"));
    let again = admin_socket.map(second).transpose()?;
    let for_other =
        again.as_ref().map(second).transpose()?.map(|opened| (opened.address.to_string(), opened.socket));
    let (admin, board) = (admin.clone(), board.clone());
    let hush = move |quiet: bool| {
        let mut running = admin.lock().unwrap_or_else(PoisonError::into_inner);
        match (quiet, &again) {
            (true, _) => drop(running.take().map(|server| server.finish(ADMIN_FINISH))),
            (false, Some(opened)) => {
                let started = opened.second().map_err(told("the admin endpoint"));
                *running = started.and_then(|opened| start_admin(opened, &board, token.clone())).ok();
            }
            (false, None) => {}
        }
    };
    Ok(Offer { socket, sockets: Arc::new(Mutex::new(offered)), admin: for_other, hush: Box::new(hush) })
}

/// The certificates that providers are verified against.
fn roots(snapshot: &Snapshot) -> Result<RootCertStore, String> {
    match &snapshot.settings.tls.roots {
        Roots::System => system_roots(snapshot),
        Roots::Files(files) => {
            let mut store = RootCertStore::empty();
            files.iter().try_for_each(|file| add_roots(&mut store, file))?;
            Ok(store)
        }
    }
}

/// The system's. To have none is a fault only where a provider, or an issuer's keys, are reached by TLS.
fn system_roots(snapshot: &Snapshot) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    store.add_parsable_certificates(found.certs);
    let needs_roots = |target: &&Target| {
        target.tls.is_some() && target.own_tls.as_ref().is_none_or(|own| own.needs_roots())
    };
    let mut targets = snapshot.targets.iter().filter(needs_roots);
    let mut issuers = snapshot.jwks.iter().filter_map(|source| match &source.origin {
        JwksOrigin::Url { url, .. } if url.tls => Some(url.host.as_str()),
        _ => None,
    });
    let needed = targets.next().map(|target| target.host.as_str()).or_else(|| issuers.next());
    if let Some(host) = needed.filter(|_| store.is_empty()) {
        let errors: Vec<String> = found.errors.iter().map(|error| format!(" ({error})")).collect();
        return Err(format!(
            "https://{host} cannot be verified: this system has no root certificates{}; install the package \
             ca-certificates, or name PEM files in tls.roots of Settings or with --roots FILE",
            errors.concat()
        ));
    }
    Ok(store)
}

fn add_roots(store: &mut RootCertStore, file: &str) -> Result<(), String> {
    let fault = |why: &dyn std::fmt::Display| format!("tls.roots: {file}: {why}");
    let pem = std::fs::read(file).map_err(|error| fault(&error))?;
    let before = store.len();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| fault(&error))?;
        store.add(certificate).map_err(|error| fault(&error))?;
    }
    match store.len() > before {
        true => Ok(()),
        false => Err(fault(&"there is no certificate in it (PEM: -----BEGIN CERTIFICATE-----)")),
    }
}

fn told(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}
