//! The handle: starts the thread, asks it, stops it.

use crate::ledger::{Answers, Ledger, SeenRequest};
use crate::readiness::Readiness;
use crate::script::Script;
use crate::server::{Command, Server};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

/// A provider on a socket, running on a thread of its own until it is stopped or dropped.
///
/// Start it with [`Simulator::start`], send requests to [`Simulator::addr`], then compare. The questions
/// ([`ledger`](Simulator::ledger), [`requests`](Simulator::requests), [`open_connections`](Simulator::open_connections))
/// are answered by the thread itself between two events, after it has seen everything that has reached its sockets,
/// so they cost the requests nothing and are exact. [`set_script`](Simulator::set_script) returns when the new script
/// is in force for every request whose head arrives from then on.
pub struct Simulator {
    addr: SocketAddr,
    commands: Sender<Command>,
    readiness: Readiness,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts on a free port of 127.0.0.1.
    pub fn start(script: Script) -> io::Result<Simulator> {
        Simulator::start_on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), script)
    }

    /// Starts on `addr`; fails when it cannot be bound.
    pub fn start_on(addr: SocketAddr, script: Script) -> io::Result<Simulator> {
        let listener = listen(addr)?;
        let addr = listener.local_addr()?;
        let readiness = Readiness::new()?;
        let (commands, inbox) = channel();
        let theirs = readiness.clone();
        // The server is made on its own thread: its plans are shared without locks and may not travel.
        let (started, outcome) = channel();
        let thread =
            std::thread::Builder::new().name("simulator".into()).spawn(move || {
                match Server::new(listener, theirs, inbox, script) {
                    Ok(mut server) => {
                        let _ = started.send(Ok(()));
                        server.run();
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            })?;
        outcome.recv().map_err(io::Error::other)??;
        Ok(Simulator { addr, commands, readiness, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The books as they are now.
    pub fn ledger(&self) -> Ledger {
        self.ask(Command::Ledger)
    }

    /// The last 1,024 requests (64 MiB of bodies at most), oldest first; empty when the script does not record.
    pub fn requests(&self) -> Vec<SeenRequest> {
        self.ask(Command::Requests)
    }

    /// How the requests ended that ended since this was last asked; empty unless the script says `journal`.
    pub fn take_answers(&self) -> Answers {
        self.ask(Command::TakeAnswers)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.ask(Command::OpenConnections)
    }

    /// Replaces the script. Answers already begun go on as they began.
    pub fn set_script(&self, script: Script) {
        self.ask(|reply| Command::SetScript(Box::new(script), reply));
    }

    /// Resets every open connection, as a provider that is restarted does; the listener stays.
    pub fn reset_connections(&self) {
        self.ask(Command::ResetConnections);
    }

    /// Stops it: every connection is closed and the thread has ended when this returns. The books as they were.
    pub fn stop(mut self) -> Ledger {
        let ledger = self.ledger();
        self.end();
        ledger
    }

    /// Asks the thread. Books that nobody keeps any more must not be taken for empty ones: when the thread has died,
    /// which only a mistake in this package can bring about, this panics.
    fn ask<T>(&self, command: impl FnOnce(Sender<T>) -> Command) -> T {
        let (reply, answer) = channel();
        let sent = self.commands.send(command(reply));
        self.readiness.wake();
        match sent.ok().and_then(|()| answer.recv().ok()) {
            Some(answer) => answer,
            None => panic!("the simulator's thread has died"),
        }
    }

    fn end(&mut self) {
        // When the thread has ended already there is nobody to tell.
        let _ = self.commands.send(Command::Stop);
        self.readiness.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.end();
    }
}

fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // A stopped simulator may be started again on the same port at once.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}
