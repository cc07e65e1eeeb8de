//! Layer 6: the thread that decides what is in force. It serves no request and no request waits for it.
//!
//! It hears the signals (SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads), watches over the
//! workers' executors, and gathers their latencies. Two helpers of its own do what blocks: [`journal`] writes
//! access records, `resolve` looks names up.

mod journal;
mod resolve;

use crate::config::{RecordsTo, Snapshot};
use crate::limit::carry_over;
use crate::mail::{Board, InForce, ToWorker};
use crate::runtime::executor::Pulse;
use crate::runtime::{MailSender, clock};
use crate::telemetry::LimitCounters;
use journal::Journal;
use resolve::Resolver;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often signals, stop requests and workers are looked at.
const BEAT: Duration = Duration::from_millis(50);

/// Reads the configuration again and checks it; the error is for the operator.
pub type Reload = Box<dyn FnMut() -> Result<Snapshot, String> + Send>;

/// What a coordinator is started with.
pub struct Seed {
    /// What everybody reads.
    pub board: Arc<Board>,
    /// The mailbox of each worker.
    pub mail: Vec<MailSender<ToWorker>>,
    /// The executor of each worker.
    pub pulses: Vec<Pulse>,
    /// What SIGHUP does; `None` where there is nothing to read again.
    pub reload: Option<Reload>,
    /// Whether it listens to the signals of the process.
    pub signals: bool,
}

/// A running coordinator.
pub struct Coordinator {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

/// How the process was asked to end.
#[derive(Default)]
struct Stop {
    /// Requests to end: one drains, two end at once.
    asked: AtomicUsize,
    hangup: Arc<AtomicBool>,
}

impl Coordinator {
    /// Looks all names up, starts the journal, and then the thread.
    ///
    /// # Errors
    /// When the file of the records cannot be opened or a thread not be started.
    pub fn start(seed: Seed) -> io::Result<Coordinator> {
        let in_force = seed.board.in_force();
        let journal = Journal::start(&in_force.snapshot.settings.records.to, seed.board.clone())?;
        let resolver = Resolver::start(seed.board.clone(), seed.mail.clone())?;
        let stop = Arc::new(Stop::default());
        let signals = Signals::listen(&stop, seed.signals)?;
        let shared = stop.clone();
        let thread = std::thread::Builder::new().name("coordinator".to_owned()).spawn(move || {
            run(seed, &shared, resolver);
            drop(signals);
            journal.finish();
        })?;
        Ok(Coordinator { stop, thread: Some(thread) })
    }

    /// Asks for the end: the first call drains, a second one ends at once.
    pub fn stop(&self) {
        self.stop.asked.fetch_add(1, Ordering::AcqRel);
    }

    /// Waits until the workers were told to stop and all records are written.
    pub fn join(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

fn run(mut seed: Seed, stop: &Stop, mut resolver: Resolver) {
    while stop.asked.load(Ordering::Acquire) == 0 {
        std::thread::sleep(BEAT);
        beat(&seed);
        if stop.hangup.swap(false, Ordering::AcqRel) {
            reload(&mut seed, &resolver);
        }
        resolver.tick(&seed.board);
    }
    drain(&seed, stop);
    tell_all(&seed, &ToWorker::Stop);
}

fn beat(seed: &Seed) {
    seed.pulses.iter().for_each(Pulse::beat);
    seed.board.collect_latencies();
}

/// Waits until every connection has ended, a second request to stop comes, or the time for it is over.
fn drain(seed: &Seed, stop: &Stop) {
    seed.board.health.set_draining();
    tell_all(seed, &ToWorker::Drain);
    let until = clock::now() + seed.board.in_force().snapshot.settings.timeouts.drain;
    let open = || seed.board.desks.iter().map(|desk| desk.counters.connections_open.get()).sum::<u64>();
    while open() > 0 && stop.asked.load(Ordering::Acquire) < 2 && clock::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        beat(seed);
    }
}

/// Adopts a configuration that was read again, if it is sound; a bad one changes nothing.
fn reload(seed: &mut Seed, resolver: &Resolver) {
    let Some(read) = &mut seed.reload else { return };
    let before = seed.board.in_force();
    match read().and_then(|snapshot| next_in_force(&before, snapshot, seed.board.desks.len())) {
        Ok(next) => {
            let next = Arc::new(next);
            eprintln!("reload: configuration {} is in force", next.generation);
            seed.board.adopt(next.clone());
            tell_all(seed, &ToWorker::Adopt(next));
            resolver.wake();
        }
        Err(faults) => eprintln!("reload: the configuration in force stays\n{faults}"),
    }
}

/// What `snapshot` becomes after `before`: limits whose rule is unchanged keep their balance.
fn next_in_force(before: &InForce, snapshot: Snapshot, workers: usize) -> Result<InForce, String> {
    let addresses = |snapshot: &Snapshot| snapshot.listeners.iter().map(|l| l.bind).collect::<Vec<_>>();
    if addresses(&before.snapshot) != addresses(&snapshot) {
        return Err("listeners were added, removed or moved: that takes a restart".to_owned());
    }
    let accounts = carry_over(&before.accounts, &snapshot.limits, clock::now());
    let limit_counters = counters(workers, accounts.len());
    Ok(InForce { generation: before.generation + 1, snapshot, accounts, limit_counters })
}

/// The first configuration of a process.
pub fn first_in_force(snapshot: Snapshot, workers: usize) -> InForce {
    let accounts = carry_over(&[], &snapshot.limits, clock::now());
    let limit_counters = counters(workers, accounts.len());
    InForce { generation: 1, snapshot, accounts, limit_counters }
}

fn counters(workers: usize, limits: usize) -> Vec<Vec<LimitCounters>> {
    let of_worker = || (0..limits).map(|_| LimitCounters::default()).collect();
    (0..workers).map(|_| of_worker()).collect()
}

/// A full mailbox means that the worker does not run; the pulse is what helps it then, not more mail.
fn tell_all(seed: &Seed, message: &ToWorker) {
    for mail in &seed.mail {
        mail.send(message.clone()).ok();
    }
}

/// Signal handlers; they go when this is dropped.
struct Signals(Vec<signal_hook::SigId>);

impl Signals {
    fn listen(stop: &Arc<Stop>, wanted: bool) -> io::Result<Signals> {
        let mut ids = Signals(Vec::new());
        if wanted {
            for signal in [SIGTERM, SIGINT] {
                ids.0.push(count(signal, stop.clone())?);
            }
            ids.0.push(signal_hook::flag::register(SIGHUP, stop.hangup.clone())?);
        }
        Ok(ids)
    }
}

/// Counts `signal` as a request to end.
#[allow(unsafe_code)] // the crate's own interface for a handler that does more than set a flag
fn count(signal: i32, stop: Arc<Stop>) -> io::Result<signal_hook::SigId> {
    // SAFETY: the handler makes one atomic addition, which is async-signal-safe: no lock, no allocation.
    unsafe {
        signal_hook::low_level::register(signal, move || {
            stop.asked.fetch_add(1, Ordering::AcqRel);
        })
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.0.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

/// Whether access records leave through standard output, which then belongs to them.
pub fn writes_to_stdout(snapshot: &Snapshot) -> bool {
    snapshot.settings.records.to == RecordsTo::Stdout
}
