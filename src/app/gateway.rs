//! Puts the threads together: workers, coordinator, admin; and takes them apart.

use crate::admin::{self, AdminServer};
use crate::config::{Roots, Settings, Snapshot};
use crate::coordinator::{self, Coordinator, Reload, Seed};
use crate::mail::{Board, Desk, ToWorker, WORKER_MAIL_MAX};
use crate::proxy::{self, WorkerSeed, tls};
use crate::runtime::executor::{self, WorkerThread};
use crate::runtime::{RingConfig, bind, clock, cores, mailbox, probe};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
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
    admin: Option<AdminServer>,
}

/// How a gateway lives in its process.
#[derive(Default)]
pub struct Life {
    /// What SIGHUP does.
    pub reload: Option<Reload>,
    /// Whether it listens to the signals of the process.
    pub signals: bool,
}

/// How long a worker may take to begin.
const START_MAX: Duration = Duration::from_secs(20);

impl Gateway {
    /// Starts everything; when this returns, requests are served.
    ///
    /// # Errors
    /// One message for the operator: what this machine lacks, which port is in use, which file is not there.
    pub fn start(snapshot: Snapshot, life: Life) -> Result<Gateway, String> {
        let ring = ring_config(&snapshot.settings);
        probe::check(&ring)?;
        let cores = worker_cores(&snapshot.settings)?;
        let tls =
            tls::client_config(roots(&snapshot.settings.tls.roots)?).map_err(|error| error.to_string())?;
        let (addresses, mut sockets) = bind_all(&snapshot, cores.len())?;

        let queue = snapshot.settings.records.queue as usize;
        let admin_address = snapshot.settings.admin.address;
        let desks: Vec<Arc<Desk>> = (0..cores.len()).map(|n| Desk::new(n as u16, queue)).collect();
        let in_force = coordinator::first_in_force(snapshot, cores.len());
        let board = Board::new(desks, Arc::new(in_force));

        let (mut workers, mut mail) = (Vec::new(), Vec::new());
        for (number, cpu) in cores.into_iter().enumerate() {
            let (sender, receiver) = mailbox::<ToWorker>(WORKER_MAIL_MAX).map_err(told("a mailbox"))?;
            let seed = WorkerSeed {
                desk: board.desks[number].clone(),
                board: board.clone(),
                mail: receiver,
                sockets: sockets.pop().unwrap_or_default(),
                tls: tls.clone(),
            };
            let name = format!("worker-{number}");
            let worker = executor::start(&name, cpu, ring, move |ring| proxy::run(ring, seed));
            workers.push(worker.map_err(told("a worker thread"))?);
            mail.push(sender);
        }
        let pulses = workers.iter().map(WorkerThread::pulse).collect();
        wait_for_workers(&board, workers.len())?;

        let seed = Seed { board: board.clone(), mail, pulses, reload: life.reload, signals: life.signals };
        let coordinator = Coordinator::start(seed).map_err(told("the coordinator"))?;
        wait_for_addresses(&board);
        board.health.set_ready();
        let admin = admin_address.map(|address| start_admin(address, &board)).transpose()?;
        let admin_address = admin.as_ref().map(AdminServer::addr);
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
        self.coordinator.join();
        let ended: Vec<io::Result<()>> = self.workers.into_iter().map(WorkerThread::join).collect();
        if let Some(admin) = self.admin {
            admin.stop();
        }
        ended.into_iter().collect::<io::Result<()>>().map_err(told("a worker"))
    }
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

/// Opens every listener once per worker. By worker, the last one first.
fn bind_all(
    snapshot: &Snapshot,
    workers: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<socket2::Socket>>), String> {
    let mut addresses = Vec::new();
    let mut sockets: Vec<Vec<socket2::Socket>> = (0..workers).map(|_| Vec::new()).collect();
    for listener in &snapshot.listeners {
        let (name, wanted) = (&listener.name, listener.bind);
        let refused = |error: io::Error| format!("listener {name} cannot open {wanted}: {}", why(&error));
        // Without SO_REUSEPORT first: with it, two processes would share a port and nobody would be told.
        let alone = TcpListener::bind(wanted).map_err(refused)?;
        let address = alone.local_addr().map_err(refused)?;
        drop(alone);
        for of_worker in &mut sockets {
            of_worker.push(bind(address).map_err(refused)?);
        }
        addresses.push(address);
    }
    Ok((addresses, sockets))
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; stop it, or choose another address with \
                                     listenerOverrides in Settings or with --listen PORT=ADDR"
            .to_owned(),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"
                .to_owned()
        }
        _ => error.to_string(),
    }
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

/// Gives the first look-up of names a moment, so that the first request finds its provider. A name that does
/// not resolve keeps nobody from starting: its requests are answered 503 until it does.
fn wait_for_addresses(board: &Board) {
    let until = clock::now() + Duration::from_secs(2);
    while board.resolved().is_none() && clock::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn start_admin(address: SocketAddr, board: &Arc<Board>) -> Result<AdminServer, String> {
    admin::start(address, board.clone(), clock::now, super::VERSION).map_err(|error| {
        let change = "choose another with admin.address in Settings or with --admin ADDR, or none";
        format!("the admin address {address} cannot be opened: {}; {change}", error)
    })
}

/// The certificates that providers are verified against.
fn roots(roots: &Roots) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    match roots {
        Roots::System => {
            let found = rustls_native_certs::load_native_certs();
            store.add_parsable_certificates(found.certs);
        }
        Roots::Files(files) => {
            for file in files {
                let named = |error: String| format!("tls.roots {file}: {error}");
                let pem = std::fs::read(file).map_err(|error| named(error.to_string()))?;
                for certificate in CertificateDer::pem_slice_iter(&pem) {
                    let certificate = certificate.map_err(|error| named(error.to_string()))?;
                    store.add(certificate).map_err(|error| named(error.to_string()))?;
                }
            }
            if store.is_empty() {
                return Err("tls.roots: there is no certificate in these files".to_owned());
            }
        }
    }
    Ok(store)
}

fn told(what: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{what}: {error}")
}
