//! The loop: one thread, all sockets, readiness by level.

use crate::connection::{Connection, Fate};
use crate::ledger::{Answers, Ledger, Recorder, SeenRequest};
use crate::limits;
use crate::memo::Memo;
use crate::readiness::{Readiness, Ready, Watched, be_punctual};
use crate::script::{Fault, Script};
use crate::timers::{Timers, later};
use std::io;
use std::net::{TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

/// What the handle may ask.
pub(crate) enum Command {
    Ledger(Sender<Ledger>),
    Requests(Sender<Vec<SeenRequest>>),
    TakeAnswers(Sender<Answers>),
    OpenConnections(Sender<usize>),
    SetScript(Box<Script>, Sender<()>),
    ResetConnections(Sender<()>),
    Stop,
}

/// What all connections share.
pub(crate) struct World {
    pub(crate) script: Rc<Script>,
    pub(crate) ledger: Ledger,
    pub(crate) recorder: Recorder,
    pub(crate) answers: Answers,
    pub(crate) memo: Memo,
    pub(crate) started: Instant,
    /// When the events now being handled were taken from the kernel.
    pub(crate) now: Instant,
    /// Requests that could have had the script's fault, and those that had it.
    candidates: u64,
    struck: u64,
}

impl World {
    fn new(script: Script) -> World {
        let now = Instant::now();
        World {
            script: Rc::new(script),
            ledger: Ledger::default(),
            recorder: Recorder::default(),
            answers: Answers::default(),
            memo: Memo::default(),
            started: now,
            now,
            candidates: 0,
            struck: 0,
        }
    }

    fn set_script(&mut self, script: Script) {
        self.script = Rc::new(script);
        self.memo.clear();
        (self.candidates, self.struck) = (0, 0);
    }

    /// The fault of the next request under the script: every n-th has it, until it has struck often enough.
    pub(crate) fn next_fault(&mut self) -> Fault {
        let script = &self.script;
        if script.fault == Fault::None {
            return Fault::None;
        }
        self.candidates += 1;
        let turn = self.candidates.is_multiple_of(script.fault_every.max(1));
        if !turn || self.struck >= script.fault_times {
            return Fault::None;
        }
        self.struck += 1;
        script.fault
    }
}

/// The key of the listener; connections have the keys from 0.
const LISTENER: usize = usize::MAX - 1;

/// Bytes read at a time.
const SCRATCH: usize = 64 * 1024;

/// Passes over fresh events before a question is answered, so that a busy server answers too.
const SETTLING_PASSES: usize = 16;

pub(crate) struct Server {
    readiness: Readiness,
    ready: Ready,
    /// The keys of the events being handled.
    keys: Vec<usize>,
    listener: Watched<TcpListener>,
    listener_rests_until: Option<Instant>,
    /// By key. Boxed, so that one can be taken out cheaply while it is worked on.
    connections: Vec<Option<Box<Connection>>>,
    free: Vec<usize>,
    timers: Timers,
    scratch: Vec<u8>,
    inbox: Receiver<Command>,
    world: World,
}

impl Server {
    pub(crate) fn new(
        listener: TcpListener,
        readiness: Readiness,
        inbox: Receiver<Command>,
        script: Script,
    ) -> io::Result<Server> {
        let listener = readiness.watch(listener, LISTENER)?;
        Ok(Server {
            readiness,
            ready: Ready::new(),
            keys: Vec::new(),
            listener,
            listener_rests_until: None,
            connections: Vec::new(),
            free: Vec::new(),
            timers: Timers::default(),
            scratch: vec![0; SCRATCH],
            inbox,
            world: World::new(script),
        })
    }

    /// Serves until told to stop, or until the kernel refuses to say what is ready.
    pub(crate) fn run(&mut self) {
        be_punctual();
        loop {
            let mut timeout = self.timers.next(self.world.now);
            if let Some(until) = self.listener_rests_until {
                let rest = until.saturating_duration_since(self.world.now);
                timeout = Some(timeout.map_or(rest, |timeout| timeout.min(rest)));
            }
            if self.pass(timeout).is_err() {
                return;
            }
            while let Ok(command) = self.inbox.try_recv() {
                self.settle();
                if self.obey(command).is_break() {
                    return;
                }
            }
        }
    }

    /// One wait and everything that follows from it; how many events there were.
    fn pass(&mut self, timeout: Option<Duration>) -> io::Result<usize> {
        let outcome = self.readiness.wait(&mut self.ready, timeout);
        self.world.now = Instant::now();
        self.keys.clear();
        self.keys.extend(self.ready.keys());
        for index in 0..self.keys.len() {
            match self.keys[index] {
                LISTENER => self.accept(),
                key => self
                    .with_connection(key, |connection, world, scratch| connection.on_ready(world, scratch)),
            }
        }
        self.on_time();
        outcome
    }

    /// Sees everything that has reached the sockets by now.
    fn settle(&mut self) {
        for _ in 0..SETTLING_PASSES {
            if !matches!(self.pass(Some(Duration::ZERO)), Ok(events) if events > 0) {
                return;
            }
        }
    }

    fn obey(&mut self, command: Command) -> std::ops::ControlFlow<()> {
        // Whoever asked may have gone; then the answer is for nobody.
        match command {
            Command::Ledger(reply) => drop(reply.send(self.world.ledger.clone())),
            Command::Requests(reply) => drop(reply.send(self.world.recorder.snapshot())),
            Command::TakeAnswers(reply) => drop(reply.send(std::mem::take(&mut self.world.answers))),
            Command::OpenConnections(reply) => drop(reply.send(self.connections.iter().flatten().count())),
            Command::SetScript(script, reply) => {
                self.world.set_script(*script);
                let _ = reply.send(());
            }
            Command::ResetConnections(reply) => {
                for key in 0..self.connections.len() {
                    self.with_connection(key, |_, _, _| Fate::Reset);
                }
                let _ = reply.send(());
            }
            Command::Stop => return std::ops::ControlFlow::Break(()),
        }
        std::ops::ControlFlow::Continue(())
    }

    fn accept(&mut self) {
        while self.connections.len() - self.free.len() < limits::CONNECTIONS_MAX {
            match self.listener.socket().accept() {
                Ok((socket, _)) => self.admit(socket),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => return self.rest_listener(),
            }
        }
        self.rest_listener();
    }

    /// Stops accepting for a moment: the kernel has nothing to give, or there are connections enough.
    fn rest_listener(&mut self) {
        if self.listener.set_interest(false, false).is_ok() {
            self.listener_rests_until = Some(later(self.world.now, limits::ACCEPT_REST));
        }
    }

    fn admit(&mut self, socket: TcpStream) {
        let key = self.free.pop().unwrap_or_else(|| {
            self.connections.push(None);
            self.connections.len() - 1
        });
        // A socket that cannot be set up is a connection that was never there.
        let bound = self.world.script.send_buffer;
        let bounded =
            bound.map_or(Ok(()), |bytes| socket2::SockRef::from(&socket).set_send_buffer_size(bytes));
        let usable =
            bounded.and_then(|()| socket.set_nonblocking(true)).and_then(|()| socket.set_nodelay(true));
        match usable.and_then(|()| self.readiness.watch(socket, key)) {
            Ok(socket) => {
                self.world.ledger.connections += 1;
                self.connections[key] =
                    Some(Box::new(Connection::new(socket, self.world.ledger.connections)));
            }
            Err(_) => self.free.push(key),
        }
    }

    /// Wakes every connection whose time has come.
    fn on_time(&mut self) {
        let now = self.world.now;
        if self.listener_rests_until.is_some_and(|until| until <= now) {
            self.listener_rests_until = None;
            if self.listener.set_interest(true, false).is_err() {
                self.rest_listener();
            }
        }
        while let Some((when, key, number)) = self.timers.pop(now) {
            let theirs =
                self.connections.get(key).and_then(|slot| slot.as_ref()).is_some_and(|c| c.number == number);
            if theirs {
                self.with_connection(key, |connection, world, _| connection.on_time(world, when));
            }
        }
    }

    /// Works on one connection, and puts it back unless that was its end.
    fn with_connection(
        &mut self,
        key: usize,
        work: impl FnOnce(&mut Connection, &mut World, &mut [u8]) -> Fate,
    ) {
        let Some(mut connection) = self.connections.get_mut(key).and_then(Option::take) else { return };
        match work(&mut connection, &mut self.world, &mut self.scratch) {
            Fate::Keep => {
                if let Some(when) = connection.unarmed_deadline() {
                    self.timers.arm(when, key, connection.number);
                }
                self.connections[key] = Some(connection);
            }
            fate => {
                connection.end(&mut self.world, fate);
                self.free.push(key);
            }
        }
    }
}
