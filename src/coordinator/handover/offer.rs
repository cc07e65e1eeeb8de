//! The old process's side of a hand-over: a thread that waits for one to take its place.

use super::{ANSWER_MAX, Link, Message, READY_MAX};
use crate::coordinator::keeper::Orders;
use crate::coordinator::{Stop, tell, tell_all};
use crate::mail::{Board, ToWorker};
use crate::runtime::passing::{self, PASSED_MAX};
use crate::runtime::unix_listener::{self, Draft};
use crate::runtime::{MailSender, clock};
use std::io;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often it is looked whether somebody asks.
const LOOK: Duration = Duration::from_millis(50);

/// How long workers may take to hand on the connections that they have taken from the kernel.
const HUSH_MAX: Duration = Duration::from_secs(5);

/// Opens the socket at which a process asks that takes this one's place. It is not found there yet. `takeover` is where
/// this process asks itself: only the socket there is replaced, and no other one on which somebody listens.
///
/// # Errors
/// A sentence for the operator.
pub fn draft(path: &str, takeover: Option<&Path>) -> Result<Draft, String> {
    let at = Path::new(path);
    let is_same = |other: &Path| {
        other == at
            || std::fs::canonicalize(other).is_ok_and(|it| std::fs::canonicalize(at).is_ok_and(|at| at == it))
    };
    let free = if takeover.is_some_and(is_same) { Ok(()) } else { unix_listener::check_free(at) };
    free.and_then(|()| Draft::beside(at)).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "upgrade.socket: another process offers its place at {path}: take it over with --takeover {path}, or stop it"
        ),
        _ => format!("upgrade.socket: {path}: {error}"),
    })
}

/// What can be handed over.
pub struct Offer {
    /// Where to ask for it: the socket takes its place when this process serves.
    pub socket: Draft,
    /// Sockets that listen, each with the name of its listener; second descriptors, on which nobody waits.
    pub sockets: Offered,
    /// The admin endpoint's socket, with its address as the configuration has it: what the system calls a Unix socket
    /// is what it was called when it was made.
    pub admin: Option<(String, socket2::Socket)>,
    /// Stops the admin endpoint, or lets it go on.
    pub hush: Hush,
}

/// Sockets that can be handed over. Whoever ends without doing so closes them first: a connection that came to one on
/// which no worker waits any more would be reset.
pub type Offered = Arc<Mutex<Vec<(String, socket2::Socket)>>>;

/// Stops the admin endpoint, with `true`, or starts it again.
pub type Hush = Box<dyn FnMut(bool) + Send>;

/// What the thread works with.
pub(in crate::coordinator) struct Offering {
    pub(in crate::coordinator) sockets: Offered,
    pub(in crate::coordinator) admin: Option<(String, socket2::Socket)>,
    pub(in crate::coordinator) hush: Hush,
    pub(in crate::coordinator) board: Arc<Board>,
    pub(in crate::coordinator) mail: Vec<MailSender<ToWorker>>,
    pub(in crate::coordinator) orders: Orders,
    pub(in crate::coordinator) stop: Arc<Stop>,
    /// The process that this one has replaced is not at its end yet.
    pub(in crate::coordinator) inherits: Arc<AtomicBool>,
}

impl Offering {
    /// Puts `socket` at its place and starts the thread, which ends when the process drains.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub(in crate::coordinator) fn start(mut self, socket: Draft) -> Result<(), String> {
        let path = socket.path().to_owned();
        let told = |error: io::Error| format!("upgrade.socket: {}: {error}", path.display());
        let listener = socket.place().map_err(told)?;
        let thread = std::thread::Builder::new().name("hand-over".to_owned());
        let at = path.clone();
        thread.spawn(move || self.run(&listener, &at)).map_err(told)?;
        Ok(())
    }

    fn run(&mut self, listener: &UnixListener, path: &Path) {
        while self.stop.asked.load(Ordering::Acquire) == 0 {
            let stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(_) => {
                    std::thread::sleep(LOOK);
                    continue;
                }
            };
            match self.hand_over(stream) {
                Ok(pid) => {
                    tell(&format!("process {pid} serves now; this one ends when its last exchanges have"));
                    self.stop.hand_over();
                    return; // the path is the other's by now
                }
                Err(why) => tell(&format!("nobody takes over: {why}; this process goes on serving")),
            }
        }
        unix_listener::remove(path);
    }

    /// Hands everything over; the number of the process that has it then.
    fn hand_over(&mut self, stream: UnixStream) -> Result<u32, String> {
        let told = |error: io::Error| format!("the process that asked: {error}");
        let user = passing::peer_user(&stream).map_err(told)?;
        let mut link = Link::new(stream).map_err(told)?;
        if user != 0 && user != passing::own_user() {
            return Err(format!("user {user} may not ask"));
        }
        let Message::Hello { version, pid, store } = link.receive().map_err(told)? else {
            return Err("it did not say who it is".to_owned());
        };
        if self.inherits.load(Ordering::Acquire) {
            let why =
                "the process that this one has replaced has exchanges under way; ask again when it has ended";
            let _ = link.send(&Message::Refused(why.to_owned()));
            return Err(why.to_owned());
        }
        tell(&format!("process {pid} ({version}) makes ready to take over"));
        self.send_sockets(&link).map_err(told)?;
        link.patience(Some(READY_MAX)).map_err(told)?;
        match link.receive() {
            Ok(Message::Ready) => {}
            Ok(_) => return Err("it spoke out of turn".to_owned()),
            Err(error) => return Err(format!("process {pid} did not become ready: {error}")),
        }
        link.patience(Some(ANSWER_MAX)).map_err(told)?;
        (self.hush)(true);
        // In this order: a worker that has closed its gate opens no account of its own any more.
        self.board.accounts.set_away(true);
        let released = self.gate(false).and_then(|()| self.orders.hand_over(link, store));
        if released.is_err() {
            self.board.accounts.set_away(false);
            let _ = self.gate(true);
            self.orders.come_back();
            (self.hush)(false);
        }
        released.map(|()| pid)
    }

    fn send_sockets(&self, link: &Link) -> io::Result<()> {
        let sockets = self.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        for batch in sockets.chunks(PASSED_MAX) {
            let names = batch.iter().map(|(name, _)| name.clone()).collect();
            let sockets: Vec<_> = batch.iter().map(|(_, socket)| socket).collect();
            link.send_with(&Message::Sockets { names, admin: false, last: false }, &sockets)?;
        }
        let names = self.admin.iter().map(|(address, _)| address.clone()).collect();
        let sockets: Vec<_> = self.admin.iter().map(|(_, socket)| socket).collect();
        link.send_with(&Message::Sockets { names, admin: true, last: true }, &sockets)
    }

    /// Opens or closes the gate, and waits until every worker has done so.
    fn gate(&self, open: bool) -> Result<(), String> {
        self.board.health.set_gate(open);
        tell_all(&self.board, &self.mail, ToWorker::Gate);
        let until = clock::now() + HUSH_MAX;
        let is_done = || self.board.desks.iter().all(|desk| (desk.listening() > 0) == open);
        while !is_done() {
            if clock::now() > until {
                return Err("a worker did not hand on its connections in time".to_owned());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}
