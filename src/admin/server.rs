use super::auth::Guard;
use super::connection;
use super::pages::Pages;
use crate::base::Moment;
use crate::config::Secret;
use crate::mail::Board;
use socket2::SockRef;
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

/// Binds `address` and serves what `board` says, until the server is stopped or dropped.
///
/// `now` is the clock that opened the accounts of the board: balances are told by it, and clients have to be
/// done by it. `version` is that of the running program. Whoever shows `token` may see accounts and change them;
/// without one nobody may.
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
    let listener = TcpListener::bind(address)?;
    let address = listener.local_addr()?;
    let guard = Guard::new(token);
    let pages = Pages { board, now, version, guard, changing: Mutex::new(()) };
    let shared = Arc::new(Shared { listener, pages, stopping: AtomicBool::new(false) });
    let mut server = AdminServer { address, shared, threads: Vec::with_capacity(CONNECTIONS_MAX) };
    for _ in 0..CONNECTIONS_MAX {
        let shared = server.shared.clone();
        let thread = thread::Builder::new().name("admin".into());
        server.threads.push(thread.spawn(move || shared.run())?);
    }
    Ok(server)
}

/// The endpoint while it runs. Dropping it stops it too.
///
/// Every client is served by one of [`CONNECTIONS_MAX`] threads that all wait in `accept`: what is bounded
/// there needs no queue, and a slow client keeps nobody waiting but the one thread it has.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl AdminServer {
    /// Where it listens; the port is a real one also when it was started with port 0.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// Closes the socket, breaks off whom it serves, and returns when its threads have ended: within about
    /// 100 ms.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        // On Linux this ends every `accept` that waits and every later one, with EINVAL. It cannot fail on a
        // listening socket.
        let _ = SockRef::from(&self.shared.listener).shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            let _ = thread.join(); // a panic has been told on stderr, and there is nothing else to do
        }
    }
}

#[derive(Debug)]
struct Shared {
    listener: TcpListener,
    pages: Pages,
    stopping: AtomicBool,
}

/// How long a thread rests when `accept` fails, which is when the process has no descriptor left.
const REST: Duration = Duration::from_millis(50);

impl Shared {
    fn run(&self) {
        while !self.stopping.load(Ordering::Acquire) {
            match self.listener.accept() {
                // A fault in a page must not take the health check away with it.
                Ok((stream, peer)) => drop(catch_unwind(AssertUnwindSafe(|| {
                    connection::serve(&stream, peer, &self.pages, &self.stopping)
                }))),
                Err(_) if self.stopping.load(Ordering::Acquire) => return,
                Err(_) => thread::park_timeout(REST),
            }
        }
    }
}
