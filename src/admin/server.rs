use super::auth::Guard;
use super::connection;
use super::pages::Pages;
use crate::base::Moment;
use crate::config::Secret;
use crate::mail::Board;
use socket2::{SockAddr, Socket, Type};
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Clients that are served at a time. Others wait in the backlog, at most until the slowest of these has used
/// up its time: 2 s to ask, 2 s for a body, 2 s to take the answer, half a second to go.
pub const CONNECTIONS_MAX: usize = 8;

/// Binds `address` and [`serve`]s there.
///
/// # Errors
/// The address is in use (`AddrInUse`) or not ours (`AddrNotAvailable`, `PermissionDenied`), or the system
/// gives no more threads. Nothing runs then.
pub fn start(
    address: SocketAddr,
    board: Arc<Board>,
    now: fn() -> Moment,
    version: &'static str,
    token: Option<Arc<Secret>>,
) -> io::Result<AdminServer> {
    let listener = Socket::from(TcpListener::bind(address)?);
    serve(listener, false, board, now, version, token)
}

/// Serves at `listener`, of TCP or a Unix socket, what `board` says, until the server is stopped or dropped. It is
/// `shared` if another process has it too, or will: then it goes on listening when this one has stopped.
///
/// `now` is the clock that opened the accounts of the board: balances are told by it, and clients have to be
/// done by it. `version` is that of the running program. Whoever shows `token` may see accounts and change them;
/// without one nobody may.
///
/// # Errors
/// The system gives no more threads. Nothing runs then.
pub fn serve(
    listener: Socket,
    shared: bool,
    board: Arc<Board>,
    now: fn() -> Moment,
    version: &'static str,
    token: Option<Arc<Secret>>,
) -> io::Result<AdminServer> {
    listener.set_nonblocking(false)?;
    let address = listener.local_addr()?;
    let guard = Guard::new(token);
    let pages = Pages { board, now, version, guard, changing: Mutex::new(()) };
    let (closing, stopping) = (AtomicBool::new(false), AtomicBool::new(false));
    let state = Arc::new(Shared { listener, pages, closing, stopping });
    let mut server = AdminServer { address, shared, state, threads: Vec::with_capacity(CONNECTIONS_MAX) };
    for _ in 0..CONNECTIONS_MAX {
        let state = server.state.clone();
        let thread = thread::Builder::new().name("admin".into());
        server.threads.push(thread.spawn(move || state.run())?);
    }
    Ok(server)
}

/// The endpoint while it runs. Dropping it stops it too.
///
/// Every client is served by one of [`CONNECTIONS_MAX`] threads that all wait in `accept`: what is bounded
/// there needs no queue, and a slow client keeps nobody waiting but the one thread it has.
#[derive(Debug)]
pub struct AdminServer {
    address: SockAddr,
    shared: bool,
    state: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How often it is looked whether threads have ended.
const LOOK: Duration = Duration::from_millis(5);

impl AdminServer {
    /// Where it listens; the port is a real one also when it was started with port 0. `None` for a Unix socket.
    pub fn addr(&self) -> Option<SocketAddr> {
        self.address.as_socket()
    }

    /// Closes the socket, breaks off whom it serves, and returns when its threads have ended: within about
    /// 100 ms.
    pub fn stop(self) {
        drop(self);
    }

    /// Takes no more clients, so that another process may, and serves those that it has for so long; then
    /// [stops](AdminServer::stop). The socket goes on listening where somebody else has it too.
    pub fn finish(mut self, within: Duration) {
        self.shared = true;
        self.state.closing.store(true, Ordering::Release);
        let until = (self.state.pages.now)().tick + within;
        self.wake();
        let is_done = |server: &AdminServer| server.threads.iter().all(JoinHandle::is_finished);
        while !is_done(&self) && (self.state.pages.now)().tick < until {
            thread::sleep(LOOK);
        }
    }

    /// Wakes threads that wait for a client, by as many clients that leave at once; whether that could be done.
    fn wake(&self) -> bool {
        // Counted before: one that is woken may end before it is looked at.
        let waiting = self.threads.iter().filter(|thread| !thread.is_finished()).count();
        (0..waiting).all(|_| {
            let socket = Socket::new(self.address.domain(), Type::STREAM, None);
            socket.and_then(|socket| socket.connect_timeout(&self.address, WAKE_MAX)).is_ok()
        })
    }
}

/// How long a socket of our own may take to be connected to.
const WAKE_MAX: Duration = Duration::from_secs(1);

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.state.closing.store(true, Ordering::Release);
        self.state.stopping.store(true, Ordering::Release);
        if self.shared {
            if !self.wake() {
                return; // they end with the process
            }
        } else {
            // On Linux this ends every `accept` that waits and every later one, with EINVAL, in every process that has the
            // socket. It cannot fail on a listening socket.
            let _ = self.state.listener.shutdown(Shutdown::Both);
        }
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join(); // a panic has been told on stderr, and there is nothing else to do
        }
    }
}

#[derive(Debug)]
struct Shared {
    listener: Socket,
    pages: Pages,
    /// No more clients are taken.
    closing: AtomicBool,
    /// Nobody is served to the end.
    stopping: AtomicBool,
}

/// How long a thread rests when `accept` fails, which is when the process has no descriptor left.
const REST: Duration = Duration::from_millis(50);

impl Shared {
    fn run(&self) {
        while !self.closing.load(Ordering::Acquire) {
            match self.listener.accept() {
                // A fault in a page must not take the health check away with it.
                Ok((stream, peer)) => drop(catch_unwind(AssertUnwindSafe(|| {
                    connection::serve(&stream, peer.as_socket(), &self.pages, &self.stopping)
                }))),
                Err(_) if self.closing.load(Ordering::Acquire) => return,
                Err(_) => thread::park_timeout(REST),
            }
        }
    }
}
