//! The loop of one thread: plans that come due, connections that are free, answers that arrive.

use super::check::Checker;
use super::connection::{Connection, Desk, End, Step};
use super::pace::{Instants, order, part};
use super::{CONNECT_FAILURES_MAX, CONNECT_PATIENCE, Load, Pace, Tally, moment, pin_to};
use crate::readiness::{Readiness, Ready, be_punctual};
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Bytes read at a time.
const SCRATCH: usize = 64 * 1024;
/// Connections being opened at a time before the load begins: fewer than any server's backlog.
const OPENING_MAX: usize = 64;

pub(crate) struct Worker<'a> {
    load: &'a Load,
    index: usize,
    threads: usize,
    readiness: Readiness,
    ready: Ready,
    /// The keys of the sockets being looked at.
    keys: Vec<usize>,
    connections: Vec<Connection>,
    /// Connections that are open and not busy.
    free: Vec<usize>,
    /// Connections being opened.
    opening: usize,
    failures_in_a_row: u32,
    /// What is asked, in turn.
    order: Vec<usize>,
    /// Requests begun, and how many there may be.
    begun: u64,
    begun_max: u64,
    /// Instants whose requests wait for a connection.
    backlog: VecDeque<Instant>,
    busy: usize,
    /// Until then, who was answered asks again.
    again_until: Option<Instant>,
    desk: Desk<'a>,
    scratch: Vec<u8>,
}

impl<'a> Worker<'a> {
    /// The thread at `index` of so many.
    pub(crate) fn new(load: &'a Load, index: usize, threads: usize) -> io::Result<Worker<'a>> {
        if let Some(cpu) = load.cpus.get(index) {
            pin_to(*cpu)?;
        }
        be_punctual();
        let count = part(load.connections as u64, index as u64, threads as u64) as usize;
        Ok(Worker {
            load,
            index,
            threads,
            readiness: Readiness::new()?,
            ready: Ready::new(),
            keys: Vec::new(),
            connections: (0..count).map(|_| Connection::default()).collect(),
            free: Vec::with_capacity(count),
            opening: 0,
            failures_in_a_row: 0,
            order: order(&load.mix),
            begun: 0,
            begun_max: part(load.requests, index as u64, threads as u64),
            backlog: VecDeque::new(),
            busy: 0,
            again_until: None,
            desk: Desk {
                checkers: load.mix.iter().map(|(ask, _)| Checker::new(ask)).collect(),
                tally: Tally::new()?,
            },
            scratch: vec![0; SCRATCH],
        })
    }

    /// Opens the connections, a few at a time.
    pub(crate) fn open_all(&mut self) -> io::Result<()> {
        let give_up = Instant::now() + CONNECT_PATIENCE;
        let mut next = 0;
        while next < self.connections.len() || self.opening > 0 {
            while next < self.connections.len() && self.opening < OPENING_MAX {
                self.open(next)?;
                next += 1;
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "connections were not opened in time"));
            }
            self.turn(left)?;
        }
        // The first connection is the first to be asked on.
        self.free.reverse();
        Ok(())
    }

    /// Drives until every request has ended or the patience has.
    pub(crate) fn run(mut self, begin: Instant) -> io::Result<Tally> {
        let cpu = cpu_time();
        let end = moment(begin, self.load.time);
        let give_up = moment(end, self.load.patience);
        let mut instants = Instants::of(self.load, begin, self.index, self.threads);
        self.again_until = matches!(self.load.pace, Pace::Closed { .. }).then_some(end);
        let mut now = begin;
        while now < give_up {
            self.plan(&mut instants, now);
            self.send(now)?;
            let planned = instants.peek();
            let idle = self.busy == 0 && self.backlog.is_empty() && self.opening == 0;
            if idle && planned.is_none() {
                break;
            }
            let wake = planned.unwrap_or(give_up).min(give_up);
            self.turn(wake.saturating_duration_since(Instant::now()))?;
            now = Instant::now();
        }
        self.desk.tally.elapsed = begin.elapsed();
        self.desk.tally.cpu = cpu_time().saturating_sub(cpu);
        self.desk.tally.not_sent += self.backlog.len() as u64 + instants.left();
        self.desk.tally.unfinished += self.busy as u64;
        if self.busy > 0 {
            self.desk.tally.example("unfinished", "no end of the answer within the patience");
        }
        Ok(self.desk.tally)
    }

    fn open(&mut self, key: usize) -> io::Result<()> {
        self.connections[key].open(&self.readiness, key, self.load.addr)?;
        self.opening += 1;
        Ok(())
    }

    /// Moves what has come due to the backlog; what finds it full will not be sent.
    fn plan(&mut self, instants: &mut Instants, now: Instant) {
        let room = match self.load.pace {
            Pace::Closed { .. } => usize::MAX,
            Pace::Open { backlog, .. } => backlog.saturating_add(self.free.len()),
        };
        while let Some(instant) = instants.take(now) {
            match self.backlog.len() < room {
                true => self.backlog.push_back(instant),
                false => self.desk.tally.not_sent += 1,
            }
        }
    }

    /// Sends what waits, on the connections that are free.
    fn send(&mut self, now: Instant) -> io::Result<()> {
        while let Some(key) = self.free.pop() {
            let Some(planned) = self.backlog.pop_front() else {
                self.free.push(key);
                break;
            };
            let place = (self.begun % self.order.len().max(1) as u64) as usize;
            let ask = self.order.get(place).copied().unwrap_or(0);
            self.begun += 1;
            self.busy += 1;
            let step = self.connections[key].begin(ask, planned, &mut self.desk);
            self.desk.tally.open = self.desk.tally.open.max(self.busy);
            self.follow(key, step, now)?;
        }
        self.desk.tally.backlog = self.desk.tally.backlog.max(self.backlog.len());
        Ok(())
    }

    /// Waits, and sees to every socket that is ready.
    fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        self.readiness.wait(&mut self.ready, Some(timeout))?;
        self.keys.clear();
        self.keys.extend(self.ready.keys());
        for index in 0..self.keys.len() {
            let key = self.keys[index];
            let Some(connection) = self.connections.get_mut(key) else { continue };
            let step = connection.on_ready(&mut self.scratch, &mut self.desk);
            if step != Step::Wait {
                self.follow(key, step, Instant::now())?;
            }
        }
        Ok(())
    }

    /// What follows from what became of a connection.
    fn follow(&mut self, key: usize, step: Step, now: Instant) -> io::Result<()> {
        match step {
            Step::Wait => {}
            Step::Opened => {
                self.opening -= 1;
                self.failures_in_a_row = 0;
                self.desk.tally.connections += 1;
                self.free.push(key);
            }
            Step::Refused(why) => {
                self.opening -= 1;
                self.failures_in_a_row += 1;
                self.desk.tally.connect_failures += 1;
                self.desk.tally.example("refused", &why);
                if self.failures_in_a_row >= CONNECT_FAILURES_MAX {
                    return Err(io::Error::new(io::ErrorKind::ConnectionRefused, why));
                }
                self.open(key)?;
            }
            Step::Done(end) => {
                self.count(end, now);
                self.free.push(key);
            }
            Step::Gone(end) => {
                if let Some(end) = end {
                    self.count(end, now);
                }
                self.connections[key].close();
                self.open(key)?;
            }
        }
        Ok(())
    }

    /// Enters the end of an exchange, and plans the next one of a closed loop.
    fn count(&mut self, end: End, now: Instant) {
        self.busy -= 1;
        let tally = &mut self.desk.tally;
        match end {
            End::Completed => tally.completed += 1,
            End::Left => tally.left += 1,
            End::Different(why) => {
                tally.different += 1;
                tally.example("different", &why);
            }
            End::Broken(why) => {
                tally.broken += 1;
                tally.example("broken", &why);
            }
        }
        let planned = self.begun + self.backlog.len() as u64;
        if self.again_until.is_some_and(|until| now < until) && planned < self.begun_max {
            self.backlog.push_back(now);
        }
    }
}

/// CPU time of this thread so far.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
