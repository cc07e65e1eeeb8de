//! Connections to providers: pools of idle ones, and the one an exchange holds.

use super::fault::Fault;
use super::stream::Stream;
use super::tls::TlsStream;
use super::worker::Worker;
use crate::base::Tick;
use crate::config::Target;
use crate::runtime::{Gather, Socket, sleep};
use rustls::{AlertDescription, ClientConfig};
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// The connections of one worker to one target.
///
/// An idle connection goes on receiving, so a provider that ends it is noticed at once and the connection is
/// never handed out again.
pub(super) struct Pool {
    target: Target,
    /// How TLS is spoken to the target, if it is: what differs in it is another target, with a pool of its own.
    tls: Option<Arc<ClientConfig>>,
    /// `None` until its name was looked up for the first time; empty when it does not resolve.
    addresses: RefCell<Option<Arc<[SocketAddr]>>>,
    /// Where the next connection goes, so that several addresses share the load.
    turn: Cell<usize>,
    idle: RefCell<Vec<Idle>>,
    /// The configuration has gone on without this target: nothing is kept any more.
    retired: Cell<bool>,
}

struct Idle {
    stream: Stream,
    until: Tick,
}

/// A connection that an exchange holds. Goes back by [`Upstream::give_back`]; dropping it closes it, which
/// is how a request is aborted.
pub(super) struct Upstream {
    stream: Stream,
    pool: Rc<Pool>,
    reused: bool,
}

/// How often a connection that waits for the first look-up of a name asks whether it is done.
const LOOK_UP_PAUSE: Duration = Duration::from_millis(5);

/// How long the kernel is given to close what was given up.
const FILES_PAUSE: Duration = Duration::from_millis(5);

/// Addresses of a target that are tried before a connection is given up.
const ADDRESSES_TRIED_MAX: usize = 3;

impl Pool {
    pub(super) fn new(target: Target, tls: Option<Arc<ClientConfig>>) -> Rc<Pool> {
        let (addresses, turn, idle) = (RefCell::new(None), Cell::new(0), RefCell::new(Vec::new()));
        Rc::new(Pool { target, tls, addresses, turn, idle, retired: Cell::new(false) })
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    pub(super) fn set_addresses(&self, addresses: Arc<[SocketAddr]>) {
        *self.addresses.borrow_mut() = Some(addresses);
    }

    /// Where the target is. After a start, or when a new configuration brought the target, the look-up may still
    /// be under way: that is waited for.
    async fn addresses(&self, worker: &Worker, deadline: Tick) -> Result<Arc<[SocketAddr]>, Fault> {
        loop {
            let known = self.addresses.borrow().clone();
            match known {
                Some(addresses) if addresses.is_empty() => return Err(Fault::Unresolved),
                Some(addresses) => return Ok(addresses),
                None if worker.ring.now() >= deadline => return Err(Fault::Unresolved),
                None => sleep(&worker.ring, LOOK_UP_PAUSE).await,
            }
        }
    }

    fn take_idle(&self) -> Option<Idle> {
        self.idle.borrow_mut().pop()
    }

    /// Drops what is over its time or was ended by the provider; how many connections that were.
    pub(super) fn sweep(&self, now: Tick) -> u32 {
        let mut idle = self.idle.borrow_mut();
        let before = idle.len();
        idle.retain(|idle| idle.until > now && idle.stream.is_quiet());
        (before - idle.len()) as u32
    }

    /// As [`give_up_idle`](Pool::give_up_idle), for good: exchanges that still hold a connection will not give it back.
    pub(super) fn retire(&self) -> u32 {
        self.retired.set(true);
        self.give_up_idle()
    }

    /// Drops everything that is idle. How many connections that were.
    pub(super) fn give_up_idle(&self) -> u32 {
        let idle = self.idle.take();
        idle.len() as u32
    }
}

impl Upstream {
    /// A connection to the pool's target: an idle one if `may_reuse` and one is alive, else a new one.
    pub(super) async fn checkout(
        worker: &Worker,
        pool: &Rc<Pool>,
        may_reuse: bool,
    ) -> Result<Upstream, Fault> {
        while let Some(idle) = if may_reuse { pool.take_idle() } else { None } {
            worker.idle_upstreams.set(worker.idle_upstreams.get() - 1);
            if idle.until > worker.ring.now() && idle.stream.is_quiet() {
                worker.desk.counters.upstream_reuses.add(1);
                return Ok(Upstream { stream: idle.stream, pool: pool.clone(), reused: true });
            }
        }
        let failed = |_: &Fault| worker.desk.counters.upstream_failures.add(1);
        // In a box of its own: it is seldom needed, and every task would keep room for it.
        let stream = Box::pin(connect(worker, pool)).await.inspect_err(failed)?;
        worker.desk.counters.upstream_connects.add(1);
        Ok(Upstream { stream, pool: pool.clone(), reused: false })
    }

    /// Whether it served another exchange before.
    pub(super) fn is_reused(&self) -> bool {
        self.reused
    }

    /// Puts it among the idle ones. For a connection on which nothing more is to come.
    pub(super) fn give_back(self, worker: &Worker) {
        let settings = &worker.serving().in_force.snapshot.settings.upstream;
        let room = worker.idle_upstreams.get() < settings.idle_per_worker;
        if !room || worker.is_draining() || self.pool.retired.get() || !self.stream.is_quiet() {
            return;
        }
        self.socket().clear_deadline();
        worker.idle_upstreams.set(worker.idle_upstreams.get() + 1);
        let until = worker.ring.now() + settings.idle;
        self.pool.idle.borrow_mut().push(Idle { stream: self.stream, until });
    }

    /// The socket, for deadlines.
    pub(super) fn socket(&self) -> &Socket {
        self.stream.socket()
    }

    /// As [`Socket::start_send`].
    pub(super) fn start_send(&self, gather: Gather) -> io::Result<()> {
        self.stream.start_send(gather)
    }

    /// As [`Socket::poll_sent`].
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        self.stream.poll_sent(cx)
    }

    /// As [`Stream::poll_sent_late`].
    pub(super) fn poll_sent_late(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        self.stream.poll_sent_late(cx)
    }

    /// As [`Socket::poll_fill`].
    pub(super) fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.stream.poll_fill(cx, buf)
    }

    /// As [`Socket::fill`], but ends with [`Fault::ClientGone`] as soon as `client` is gone: then the caller
    /// drops this connection, and the provider stops working for nobody.
    pub(super) async fn fill_for(
        &self,
        client: &Stream,
        buf: &mut Vec<u8>,
    ) -> Result<io::Result<usize>, Fault> {
        poll_fn(|cx| match self.poll_fill(cx, buf) {
            Poll::Ready(filled) => Poll::Ready(Ok(filled)),
            Poll::Pending => client.poll_gone(cx).map(|()| Err(Fault::ClientGone)),
        })
        .await
    }
}

async fn connect(worker: &Worker, pool: &Pool) -> Result<Stream, Fault> {
    let timeouts = worker.serving().in_force.snapshot.settings.timeouts.clone();
    let started = worker.ring.now();
    let deadline = started + timeouts.connect;
    let addresses = pool.addresses(worker, deadline).await?;
    let first = pool.turn.get();
    pool.turn.set(first.wrapping_add(1));
    let mut last = Fault::Unresolved;
    for n in 0..addresses.len().min(ADDRESSES_TRIED_MAX) {
        let address = addresses[first.wrapping_add(n) % addresses.len()];
        let socket = match open(worker, address, deadline).await {
            Ok(socket) => socket,
            Err(error) => {
                last = Fault::Connect(why(&error));
                continue;
            }
        };
        let stream = match (&pool.target.tls, &pool.tls) {
            (None, _) => Stream::Plain(socket),
            (Some(_), None) => return Err(Fault::Connect("there is no TLS to speak to it")), // never in the clear
            (Some(name), Some(config)) => {
                let deadline = worker.ring.now() + timeouts.handshake;
                match TlsStream::open(socket, config.clone(), name, deadline).await {
                    Ok(tls) => Stream::Tls(Box::new(tls)),
                    // A certificate that does not verify is refused by every address of the name.
                    Err(error) => return Err(Fault::Connect(tls_why(&error))),
                }
            }
        };
        worker.latencies.borrow_mut().upstream_connect.record(worker.ring.now().since(started));
        return Ok(stream);
    }
    Err(last)
}

/// A socket; when there is no file left for it, one of those that idle connections to providers have.
async fn open(worker: &Worker, address: SocketAddr, deadline: Tick) -> io::Result<Socket> {
    let opened = Socket::connect(&worker.ring, address, deadline).await;
    if !opened.as_ref().is_err_and(is_out_of_files) || !worker.give_up_idle() {
        return opened;
    }
    sleep(&worker.ring, FILES_PAUSE).await;
    Socket::connect(&worker.ring, address, deadline).await
}

/// The process, or the system, may open no more files.
fn is_out_of_files(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

fn why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::TimedOut => "connecting took too long",
        io::ErrorKind::ConnectionRefused => "connection refused",
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => "no route to it",
        _ if is_out_of_files(error) => "tollgate has as many files open as it may",
        _ => "connecting failed",
    }
}

/// Whether the other side broke off because of the certificate that we showed, or because we showed none.
pub(super) fn is_about_our_certificate(error: &io::Error) -> bool {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(inner, Some(rustls::Error::AlertReceived(alert)) if is_about_ours(*alert))
}

pub(super) fn tls_why(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::TimedOut => "the TLS handshake took too long",
        io::ErrorKind::UnexpectedEof => "the connection ended during the TLS handshake",
        _ => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => "its certificate does not verify",
            _ if is_about_our_certificate(error) => {
                "it does not take the certificate that it was shown, or wants one"
            }
            Some(_) => "the TLS handshake failed",
            None => "the connection broke during the TLS handshake",
        },
    }
}

/// Whether an alert says that the other side cannot do with our certificate, or with none.
fn is_about_ours(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}
