//! The load client: many requests at once from a few threads, every answer checked, at little cost of its own.
//!
//! A [`Load`] says what is asked ([`Ask`], in shares), how fast ([`Pace`]) and how long; [`Load::drive`] does it and
//! returns a [`Tally`]. A closed loop asks again when it was answered. An open loop asks at planned instants, whether or
//! not earlier answers have come, and counts latency **from the planned instant**: a server that stalls for a second
//! delays everything that was to be asked in that second, and all of it is in the figures. (Counting from the instant at
//! which a request could be sent after all is called coordinated omission; that figure stands beside it.)
//!
//! Reading order: `ask` (what is asked and must be answered), `answer` and `events` (HTTP and SSE as values that eat
//! bytes), `check` (is it what the provider must have said?), `connection` (one socket), `pace` (when), `worker` (the
//! loop of a thread), `tally` (what came of it).
//!
//! Invariants: every request that was planned is in exactly one of the tally's counts; an answer that was not checked
//! to its last byte does not count as completed; everything has a bound, and a run ends by itself.

mod answer;
mod ask;
mod check;
mod connection;
mod events;
mod pace;
mod tally;
mod worker;

pub use ask::{Ask, Leave, MODEL};
pub use tally::{Delay, Example, Tally, Times};

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use worker::Worker;

/// Connections of one load, at most.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Longest answer body that is kept to be checked, and longest event of a stream.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// Longest head of an answer, and most lines in it.
pub const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most lines of an answer's head.
pub const HEADERS_MAX: usize = 64;
/// How long connections may take to be opened before the load begins.
pub const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// Connections that failed in a row before a thread gives up.
pub const CONNECT_FAILURES_MAX: u32 = 100;

/// What is to be driven.
#[derive(Clone, Debug)]
pub struct Load {
    /// Who is asked.
    pub addr: SocketAddr,
    /// The CPUs to run on, one thread each; without any, one thread wherever the system puts it.
    pub cpus: Vec<usize>,
    /// Kept connections, shared out among the threads.
    pub connections: usize,
    /// When requests are sent.
    pub pace: Pace,
    /// What is asked, each with its share.
    pub mix: Vec<(Ask, u32)>,
    /// How long requests are begun.
    pub time: Duration,
    /// How many requests are begun at most, over all threads.
    pub requests: u64,
    /// How long, after that, answers are waited for.
    pub patience: Duration,
}

/// When requests are sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Each connection asks again as soon as it was answered. The first requests are spread evenly over `ramp`.
    Closed {
        /// Until then all connections have begun.
        ramp: Duration,
    },
    /// So many per second at evenly spaced instants, each on a connection that is free.
    Open {
        /// Requests per second, over all threads.
        rate: f64,
        /// Requests whose time has come and that no connection is free for; what is beyond is counted and not sent.
        backlog: usize,
    },
}

impl Load {
    /// A closed loop of `connections` that asks one thing for `time`.
    pub fn closed(addr: SocketAddr, connections: usize, ask: Ask, time: Duration) -> Load {
        Load {
            addr,
            cpus: Vec::new(),
            connections,
            pace: Pace::Closed { ramp: Duration::ZERO },
            mix: vec![(ask, 1)],
            time,
            requests: u64::MAX,
            patience: Duration::from_secs(15),
        }
    }

    /// Drives it to its end. Fails when it makes no sense, or when connections cannot be opened.
    pub fn drive(&self) -> io::Result<Tally> {
        self.drive_after(|| ())
    }

    /// The same; `opened` is called when all connections are open and nothing has been asked yet.
    pub fn drive_after(&self, opened: impl FnOnce()) -> io::Result<Tally> {
        self.check()?;
        let count = self.cpus.len().max(1);
        std::thread::scope(|scope| {
            let (told, heard) = channel();
            let mut threads = Vec::with_capacity(count);
            for index in 0..count {
                let (go, gone) = channel();
                let told = told.clone();
                let builder = std::thread::Builder::new().name(format!("load-{index}"));
                threads.push((builder.spawn_scoped(scope, move || self.work(index, count, told, gone))?, go));
            }
            drop(told);
            // A thread that fails tells nothing, and the others need not wait for it.
            while heard.recv().is_ok() {}
            opened();
            let begin = Instant::now();
            for (_, go) in &threads {
                // Who failed is not there to hear it.
                let _ = go.send(begin);
            }
            let mut sum = Tally::new()?;
            for (thread, _) in threads {
                let tally = thread.join();
                sum.add(tally.map_err(|_| io::Error::other("a thread of the load client has died"))??);
            }
            Ok(sum)
        })
    }

    /// One thread: opens its connections, says so, and drives when it is told.
    fn work(
        &self,
        index: usize,
        count: usize,
        told: Sender<()>,
        gone: Receiver<Instant>,
    ) -> io::Result<Tally> {
        let mut worker = Worker::new(self, index, count)?;
        worker.open_all()?;
        drop(told);
        let begin = gone.recv().map_err(io::Error::other)?;
        worker.run(begin)
    }

    fn check(&self) -> io::Result<()> {
        let wrong = |what: &str| Err(io::Error::new(io::ErrorKind::InvalidInput, what.to_string()));
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            return wrong("a load has 1 to 10,000 connections");
        }
        if self.mix.iter().all(|(_, share)| *share == 0) {
            return wrong("a load asks something");
        }
        match self.pace {
            Pace::Open { rate, .. } if !(0.001..=1e7).contains(&rate) => {
                wrong("a rate is from 0.001 to 10,000,000 per second")
            }
            _ => Ok(()),
        }
    }
}

/// Puts the calling thread on one CPU.
pub fn pin_to(cpu: usize) -> io::Result<()> {
    let mut set = rustix::thread::CpuSet::new();
    if cpu >= rustix::thread::CpuSet::MAX_CPU {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("there is no CPU {cpu}")));
    }
    set.set(cpu);
    rustix::thread::sched_setaffinity(None, &set)?;
    Ok(())
}

/// The CPUs that the calling thread may run on, in their order; none if the system does not say.
pub fn own_cpus() -> Vec<usize> {
    let set = rustix::thread::sched_getaffinity(None);
    let is_ours = |cpu: &usize| set.as_ref().is_ok_and(|set| set.is_set(*cpu));
    (0..rustix::thread::CpuSet::MAX_CPU).filter(is_ours).collect()
}

/// Raises the limit on open files as far as this process may, for itself and for what it starts, and returns it.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let reached = match setrlimit(Resource::Nofile, wanted) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    reached.unwrap_or(u64::MAX)
}

/// The moment `after` the beginning, or a year later if that is no moment.
fn moment(begin: Instant, after: Duration) -> Instant {
    crate::timers::later(begin, after)
}
