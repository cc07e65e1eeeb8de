//! Layer 6: the thread that decides what is in force. It serves no request and no request waits for it.
//!
//! It hears the signals (SIGTERM and SIGINT drain, a second one ends at once, SIGHUP reloads), watches over the
//! workers' executors, and gathers their latencies. Helpers of its own do what blocks: [`journal`] writes
//! access records, `resolve` looks names up, `passwords` judges those of callers. Both run before the first worker does: see [`Helpers`]. [`Store`]
//! keeps budgets on disk. [`reload`] is how another configuration comes in force.

mod credentials;
mod errands;
mod handover;
mod http;
mod journal;
mod keeper;
mod keys;
mod passwords;
mod reload;
mod resolve;
mod stamp;
mod store;
mod unpriced;

pub use credentials::credential_file;
pub use handover::offer::{Hush, Offer, Offered, draft as draft_offer};
pub use handover::takeover::Takeover;
pub use stamp::Stamp;
pub use store::{
    Account, Control, Corrupt, Directory, Disk, Entry, FaultKind, Figure, Known, Recovered, Store,
    StoreFault, TEXT_MAX, WINDOWS_KEPT,
};

use crate::base::Tick;
use crate::config::Snapshot;
use crate::mail::{Board, Desk, Resolved, ToWorker};
use crate::runtime::executor::Pulse;
use crate::runtime::{MailSender, clock, notify};
use errands::Errands;
use handover::offer::Offering;
use journal::Journal;
use keeper::Keeper;
use resolve::Resolver;
use rustls::ClientConfig;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR2, SIGXFSZ};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often signals and workers are looked at.
const BEAT: Duration = Duration::from_millis(200);

/// Reads the configuration again and checks it; the error is for the operator.
pub type Reload = Box<dyn FnMut() -> Result<Snapshot, String> + Send>;

/// Whether what the configuration is read from has changed since it was read, and is not being written any more.
pub type Watch = Box<dyn FnMut() -> bool + Send>;

/// How often the files of the configuration are looked at.
const WATCH: Duration = Duration::from_secs(1);

/// How long a process that was replaced stays at least where a service manager listens, which has to hear of the other
/// process before it sees the end of this one.
const STAY: Duration = Duration::from_secs(2);

/// What a coordinator is started with.
pub struct Seed {
    /// The executor of each worker.
    pub pulses: Vec<Pulse>,
    /// What SIGHUP does; `None` where there is nothing to read again.
    pub reload: Option<Reload>,
    /// What does the same by itself; `None` where nobody watches.
    pub watch: Option<Watch>,
    /// What it is asked by.
    pub signals: Signals,
    /// What is handed over to a process that takes this one's place; `None` where none may.
    pub offer: Option<Offer>,
    /// What SIGUSR2 does: starts a process that asks for the offer.
    pub successor: Option<Successor>,
    /// This process has taken another one's place.
    pub replaces: bool,
}

/// Starts a process that takes this one's place; the error is for the operator.
pub type Successor = Box<dyn FnMut() -> Result<(), String> + Send>;

/// What must run before the first worker does: records can be written, addresses are known.
pub struct Prepared {
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    journal: Journal,
    resolver: Resolver,
    credentials: Errands,
    keys: Errands,
}

/// What runs beside the workers.
pub struct Helpers {
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    journal: Journal,
    keeper: Keeper,
    resolver: Resolver,
    credentials: Errands,
    keys: Errands,
    /// The process that this one has replaced is not at its end yet.
    inherits: Arc<AtomicBool>,
}

impl Prepared {
    /// Opens the sink of the records, and looks all names up; the slow ones are left for later.
    ///
    /// # Errors
    /// A sentence for the operator: the file of the records cannot be opened, or a thread not be started.
    pub fn start(
        board: &Arc<Board>,
        mail: Vec<MailSender<ToWorker>>,
        tls: Arc<ClientConfig>,
    ) -> Result<Prepared, String> {
        let in_force = board.in_force();
        let journal = Journal::start(&in_force.snapshot.settings.records.to, board.clone())?;
        let resolver = Resolver::start(board.clone(), mail.clone());
        let resolver = resolver.map_err(|error| format!("the resolver's thread: {error}"))?;
        match resolver.look_up(&in_force) {
            Some(resolved) => board.set_resolved(resolved),
            None => resolver.wake(),
        }
        passwords::start(board, mail.clone()).map_err(|error| format!("the thread of passwords: {error}"))?;
        let credentials = credentials::start(board.clone(), mail.clone(), tls.clone());
        let credentials =
            credentials.map_err(|error| format!("the thread that fetches credentials: {error}"))?;
        let keys = keys::start(board.clone(), mail.clone(), tls);
        let keys = keys.map_err(|error| format!("the thread of issuers' keys: {error}"))?;
        Ok(Prepared { board: board.clone(), mail, journal, resolver, credentials, keys })
    }

    /// Takes the accounts up, from the store and from a process that this one replaces, and opens the gate: from then on
    /// workers, which wait for it, take connections.
    ///
    /// # Errors
    /// A sentence for the operator: the store cannot be opened, or a thread not be started; or the other process does not
    /// let go, and goes on serving.
    pub fn begin(self, takeover: Option<Takeover>) -> Result<Helpers, String> {
        let Prepared { board, mail, journal, resolver, credentials, keys } = self;
        let released = takeover.map(Takeover::release).transpose()?;
        let keeper = Keeper::start(&board, &board.in_force().snapshot.settings.limits, mail.clone())?;
        let inherits = Arc::new(AtomicBool::new(false));
        if let Some(released) = released {
            released.serve(&board, &inherits)?;
            // At once: when the other process ends before it is told, a service manager takes that for the service's end.
            notify::notify(&format!("MAINPID={}", std::process::id()));
        }
        board.health.set_gate(true);
        tell_all(&board, &mail, ToWorker::Gate);
        Ok(Helpers { board, mail, journal, keeper, resolver, credentials, keys, inherits })
    }
}

/// A running coordinator.
pub struct Coordinator {
    stop: Arc<Stop>,
    thread: JoinHandle<Option<(Journal, Keeper)>>,
}

/// Its thread, which waits for what it is to work with: it can be had before another process gives its place up.
pub struct Waiting {
    go: SyncSender<(Seed, Helpers, Offered)>,
    thread: JoinHandle<Option<(Journal, Keeper)>>,
}

impl Waiting {
    /// Starts the thread. It ends when this is dropped.
    ///
    /// # Errors
    /// A sentence for the operator: it cannot be started.
    pub fn start() -> Result<Waiting, String> {
        let (go, gone) = sync_channel::<(Seed, Helpers, Offered)>(1);
        let thread = std::thread::Builder::new().name("coordinator".to_owned());
        let thread = thread.spawn(move || {
            let (seed, helpers, offered) = gone.recv().ok()?;
            Some(run(seed, helpers, &offered))
        });
        let thread = thread.map_err(|error| format!("the coordinator: {error}"))?;
        Ok(Waiting { go, thread })
    }
}

/// How the process was asked to end.
#[derive(Default)]
struct Stop {
    /// Requests to end: one drains, two end at once.
    asked: AtomicUsize,
    /// A signal asked for the end since the last look. Two within one beat count once.
    signalled: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    /// Nobody looks at it.
    too_large: Arc<AtomicBool>,
    upgrade: Arc<AtomicBool>,
    /// Another process has taken this one's place.
    replaced: AtomicBool,
}

impl Stop {
    /// How often the end was asked for, by calls and by signals.
    fn asked(&self) -> usize {
        if self.signalled.swap(false, Ordering::AcqRel) {
            self.asked.fetch_add(1, Ordering::AcqRel);
        }
        self.asked.load(Ordering::Acquire)
    }

    /// Another process serves: this one drains, if it does not already.
    fn hand_over(&self) {
        self.replaced.store(true, Ordering::Release);
        let _ = self.asked.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Tells the service manager about this process, unless another one is the service by now.
    fn notify(&self, tell: impl FnOnce()) {
        if !self.replaced.load(Ordering::Acquire) {
            tell();
        }
    }
}

impl Coordinator {
    /// Sets the thread to work, and starts the one that a process asks which takes this one's place.
    ///
    /// That nobody can take this one's place ends no process that has taken another one's: it is told.
    ///
    /// # Errors
    /// A sentence for the operator: a thread cannot be started, or the socket not take its place at which to ask.
    pub fn start(waiting: Waiting, mut seed: Seed, helpers: Helpers) -> Result<Coordinator, String> {
        let stop = seed.signals.stop.clone();
        let mut offered = Offered::default();
        if let Some(offer) = seed.offer.take() {
            offered = offer.sockets.clone();
            let (board, mail, orders) =
                (helpers.board.clone(), helpers.mail.clone(), helpers.keeper.orders());
            let inherits = helpers.inherits.clone();
            let Offer { socket, sockets, admin, hush } = offer;
            let offering =
                Offering { sockets, admin, hush, board, mail, orders, stop: stop.clone(), inherits };
            match offering.start(socket) {
                Err(why) if seed.replaces => tell(&format!("{why}: nobody can take this process's place")),
                started => started?,
            }
        }
        let Waiting { go, thread } = waiting;
        go.send((seed, helpers, offered)).map_err(|_| "the coordinator's thread has ended".to_owned())?;
        Ok(Coordinator { stop, thread })
    }

    /// Asks for the end: the first call drains, a second one ends at once.
    pub fn stop(&self) {
        self.stop.asked.fetch_add(1, Ordering::AcqRel);
        self.thread.thread().unpark();
    }

    /// Waits until the workers were told to stop. Their last records are written by [`Ending::finish`].
    pub fn join(self) -> Ending {
        Ending(self.thread.join().ok().flatten())
    }
}

/// What is left to do when the workers have ended.
pub struct Ending(Option<(Journal, Keeper)>);

impl Ending {
    /// Writes balances down, and the last records, those for at most two seconds.
    pub fn finish(self) {
        if let Some((journal, keeper)) = self.0 {
            keeper.finish();
            journal.finish();
        }
    }
}

fn run(mut seed: Seed, mut helpers: Helpers, offered: &Offered) -> (Journal, Keeper) {
    let stop = seed.signals.stop.clone();
    let mut watched = clock::now();
    while stop.asked() == 0 {
        std::thread::park_timeout(BEAT); // a call to stop wakes it
        beat(&seed, &helpers.board);
        if let Some(number) = seed.pulses.iter().position(Pulse::has_ended) {
            tell(&format!(
                "worker-{number} has ended by a fault of its own: the others end what they have under way, then the \
                 process ends with 1, to be started anew"
            ));
            break;
        }
        let hung_up = stop.hangup.swap(false, Ordering::AcqRel);
        if hung_up {
            helpers.journal.reopen();
        }
        if hung_up || has_changed(&mut seed.watch, &mut watched) {
            stop.notify(notify::notify_reloading);
            reload::reload(&mut seed, &helpers);
            stop.notify(|| notify::notify("READY=1"));
        }
        if stop.upgrade.swap(false, Ordering::AcqRel) {
            let none = || Err("nobody may take over: set upgrade.socket in Settings and restart".to_owned());
            if let Err(why) = seed.successor.as_mut().map_or_else(none, |start| start()) {
                tell(&format!("SIGUSR2: {why}"));
            }
        }
        helpers.resolver.tick(&helpers.board);
    }
    stop.notify(|| notify::notify("STOPPING=1"));
    offered.lock().unwrap_or_else(PoisonError::into_inner).clear();
    drain(&seed, &helpers, &stop);
    tell_all(&helpers.board, &helpers.mail, ToWorker::Stop);
    (helpers.journal, helpers.keeper)
}

fn has_changed(watch: &mut Option<Watch>, watched: &mut Tick) -> bool {
    let now = clock::now();
    let Some(watch) = watch.as_mut().filter(|_| now.since(*watched) >= WATCH) else { return false };
    *watched = now;
    watch()
}

fn beat(seed: &Seed, board: &Board) {
    seed.pulses.iter().for_each(Pulse::beat);
    board.collect_latencies();
}

/// Waits until every connection has ended, a second request to stop comes, or the time for it is over.
fn drain(seed: &Seed, helpers: &Helpers, stop: &Stop) {
    let board = &helpers.board;
    board.health.set_draining();
    tell_all(board, &helpers.mail, ToWorker::Drain);
    let until = clock::now() + board.in_force().snapshot.settings.timeouts.drain;
    let is_watched = stop.replaced.load(Ordering::Acquire) && notify::is_heard();
    let stay = clock::now() + if is_watched { STAY } else { Duration::ZERO };
    // A worker that still takes connections may be about to open one; what one that has ended left open has gone with it.
    let is_busy = |desk: &Arc<Desk>| desk.listening() > 0 || desk.counters.connections_open.get() > 0;
    let living = || board.desks.iter().zip(&seed.pulses).filter(|(_, pulse)| !pulse.has_ended());
    let is_busy = || living().any(|(desk, _)| is_busy(desk)) || helpers.inherits.load(Ordering::Acquire);
    while (clock::now() < stay || is_busy() && clock::now() < until) && stop.asked() < 2 {
        std::thread::sleep(Duration::from_millis(5));
        beat(seed, board);
    }
}

/// Has all workers look at something that the board has by now. One that has such mail already, and has not looked, gets no
/// other: no box is ever full, and a worker that does not run finds in its own what it has missed.
fn tell_all(board: &Board, mail: &[MailSender<ToWorker>], message: ToWorker) {
    (0..board.desks.len()).for_each(|worker| tell_one(board, mail, worker, message));
}

/// The same for one worker.
fn tell_one(board: &Board, mail: &[MailSender<ToWorker>], worker: usize, message: ToWorker) {
    if let (Some(desk), Some(mail)) = (board.desks.get(worker), mail.get(worker))
        && desk.waiting.note(message)
        && mail.send(message).is_err()
    {
        desk.waiting.taken(message);
    }
}

/// Makes addresses known to everybody.
fn publish(board: &Board, mail: &[MailSender<ToWorker>], resolved: Arc<Resolved>) {
    board.set_resolved(resolved);
    tell_all(board, mail, ToWorker::Resolved);
}

/// Says something to the operator. Nobody may be there to read it, which must end no thread.
fn tell(text: &str) {
    let _ = io::stderr().write_all(format!("{text}\n").as_bytes());
}

/// What a coordinator is asked to do, by [`Coordinator::stop`] or by signals. The handlers go when this is
/// dropped.
pub struct Signals {
    stop: Arc<Stop>,
    handlers: Vec<signal_hook::SigId>,
}

impl Signals {
    /// Listens to SIGTERM, SIGINT, SIGHUP and SIGUSR2 if `wanted`. What comes before there is a coordinator waits for it.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen(wanted: bool) -> io::Result<Signals> {
        let mut signals = Signals { stop: Arc::new(Stop::default()), handlers: Vec::new() };
        if wanted {
            let flags = [
                (SIGTERM, &signals.stop.signalled),
                (SIGINT, &signals.stop.signalled),
                (SIGHUP, &signals.stop.hangup),
                // That a file is as large as it may be is an error of the write, as a full disk is; not the end.
                (SIGXFSZ, &signals.stop.too_large),
                (SIGUSR2, &signals.stop.upgrade),
            ];
            for (signal, flag) in flags {
                signals.handlers.push(signal_hook::flag::register(signal, flag.clone())?);
            }
        }
        Ok(signals)
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for id in self.handlers.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
