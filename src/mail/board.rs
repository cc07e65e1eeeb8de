use super::{ControlChange, Judgements, KeySets, Keyring, Records, Resolved, Sleeper, SourceStands, Waiting};
use crate::access::jwt::Wishes;
use crate::config::Snapshot;
use crate::limit::{Account, Accounts, RuleSet};
use crate::telemetry::{Audit, Counters, Estimates, Latencies, LimitCounters};
use crossbeam::queue::ArrayQueue;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

/// A configuration that was checked whole, with its limits made ready.
pub struct InForce {
    /// Counted from 1; every one that is proposed has a number of its own, whether it comes in force or not.
    pub generation: u64,
    /// What it says.
    pub snapshot: Snapshot,
    /// The limits of the snapshot, in its order.
    pub rules: Arc<RuleSet>,
    /// What each worker counts of each limit: by worker, then by limit. A limit that stays keeps its counters.
    pub limit_counters: Vec<Vec<Arc<LimitCounters>>>,
    /// By source of keys, whether a token has come that none of them fits.
    pub key_wishes: Arc<Wishes>,
}

impl InForce {
    /// `snapshot` in force after `before`: limits that stay keep their terms and their counters.
    pub fn after(before: Option<&InForce>, snapshot: Snapshot, workers: usize) -> InForce {
        let rules = match before {
            Some(before) => RuleSet::after(&before.rules, &snapshot.limits),
            None => RuleSet::new(&snapshot.limits),
        };
        let counters = |worker: usize, name: &str| {
            let (place, _) = before?.rules.named(name)?;
            before?.limit_counters.get(worker)?.get(place as usize).cloned()
        };
        let of_worker = |worker| {
            let of_rule = |rule: &crate::limit::Rule| counters(worker, &rule.name).unwrap_or_default();
            snapshot.limits.iter().map(of_rule).collect()
        };
        InForce {
            generation: before.map_or(1, |before| before.generation + 1),
            limit_counters: (0..workers).map(of_worker).collect(),
            rules: Arc::new(rules),
            key_wishes: Wishes::new(snapshot.jwks.len()),
            snapshot,
        }
    }
}

/// What a worker hands out without waiting. All of it is bounded and none of it blocks.
pub struct Desk {
    /// Number of the worker, from 0.
    pub worker: u16,
    /// What it counts; read by others at any time.
    pub counters: Counters,
    /// Finished exchanges on their way to the journal. A record that finds it full is dropped and counted.
    pub records: Records,
    /// Latencies of the last second or so, on their way to the board.
    pub latencies: ArrayQueue<Box<Latencies>>,
    /// What the worker has learned so far, on its way to the board; the newest takes the place of the last.
    pub estimates: ArrayQueue<Box<Estimates>>,
    /// Which mail waits in the worker's box.
    pub waiting: Waiting,
    ready: AtomicU64,
    listening: AtomicUsize,
}

impl Desk {
    /// A desk with room for `records` records.
    pub fn new(worker: u16, records: usize) -> Arc<Desk> {
        let latencies = ArrayQueue::new(4);
        let (counters, records) = (Counters::default(), Records::new(records));
        let (estimates, ready) = (ArrayQueue::new(1), AtomicU64::new(0));
        let (waiting, listening) = (Waiting::default(), AtomicUsize::new(0));
        Arc::new(Desk { worker, counters, records, latencies, estimates, waiting, ready, listening })
    }

    /// The worker says that it could serve the configuration of that generation at once.
    pub fn set_ready(&self, generation: u64) {
        self.ready.store(generation, Ordering::Release);
    }

    /// One of the worker's sockets takes connections from now on, or has handed on all that it had taken.
    pub fn set_listening(&self, is_listening: bool) {
        match is_listening {
            true => self.listening.fetch_add(1, Ordering::AcqRel),
            false => self.listening.fetch_sub(1, Ordering::AcqRel),
        };
    }

    /// How many of the worker's sockets take connections.
    pub fn listening(&self) -> usize {
        self.listening.load(Ordering::Acquire)
    }

    /// The generation of the last configuration that the worker has made ready.
    pub fn ready(&self) -> u64 {
        self.ready.load(Ordering::Acquire)
    }
}

/// Whether tollgate lives and takes requests.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
    draining: AtomicBool,
    gate: AtomicBool,
    adopted: AtomicU64,
    unstored: AtomicBool,
    records_lost: AtomicU64,
}

impl Health {
    /// Says that all workers serve.
    pub fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// Says that no new connections are taken.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether no new connections are taken any more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Opens or closes the gate: workers take new connections only while it is open. Tell them by [`ToWorker::Gate`].
    ///
    /// [`ToWorker::Gate`]: crate::mail::ToWorker::Gate
    pub fn set_gate(&self, open: bool) {
        self.gate.store(open, Ordering::Release);
    }

    /// Whether new connections are taken.
    pub fn is_open(&self) -> bool {
        self.gate.load(Ordering::Acquire)
    }

    /// Whether requests are welcome.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.draining.load(Ordering::Acquire)
    }

    /// Says whether balances can be written to disk.
    pub fn set_stored(&self, stored: bool) {
        self.unstored.store(!stored, Ordering::Release);
    }

    /// Counts records that their sink did not take.
    pub fn lose_records(&self, count: u64) {
        self.records_lost.fetch_add(count, Ordering::Relaxed);
    }

    /// How many records were lost so.
    pub fn records_lost(&self) -> u64 {
        self.records_lost.load(Ordering::Relaxed)
    }

    /// Whether balances can be written to disk, as far as they are to be.
    pub fn is_stored(&self) -> bool {
        !self.unstored.load(Ordering::Acquire)
    }

    /// A worker says that it has adopted its first configuration.
    pub fn worker_adopted(&self) {
        self.adopted.fetch_add(1, Ordering::AcqRel);
    }

    /// Workers that have adopted their first configuration.
    pub fn workers_adopted(&self) -> u64 {
        self.adopted.load(Ordering::Acquire)
    }
}

/// An account that wants more on disk.
#[derive(Clone)]
pub struct Ask {
    /// The account.
    pub account: Arc<Account>,
    /// What a request wants of it; 0 where it only comes near its ceiling.
    pub amount: u64,
}

/// What wakes another thread.
pub type Bell = Box<dyn Fn() + Send + Sync>;

/// The most accounts that wait for the store.
const ASKS_MAX: usize = 8192;

/// The most accounts of which operators have said something, and the most of their changes that wait for the
/// store.
pub const CONTROLS_MAX: usize = 10_000;

/// The most changes of operators that wait to be written to the log.
const AUDITS_MAX: usize = 1024;

/// Whether a change of an operator outlives the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// The store has it.
    OnDisk,
    /// There is no store.
    Nowhere,
    /// The store has too many changes to write already: it was not taken.
    Refused,
}

/// What everybody may read: who works, what is in force, how it goes. Locks here are held for a copy only;
/// a worker takes one when it begins and when it has mail, never for a request.
pub struct Board {
    /// The desks of all workers.
    pub desks: Vec<Arc<Desk>>,
    /// Whether requests are welcome.
    pub health: Health,
    /// All accounts of all limits.
    pub accounts: Arc<Accounts>,
    /// Accounts of which more must be on disk before it is spent; from workers to the store.
    pub asks: ArrayQueue<Ask>,
    /// What operators have changed, on its way to the log: from the admin threads to the journal.
    pub audit: ArrayQueue<Audit>,
    /// The journal, which sleeps while nothing is to be written.
    pub journal: Sleeper,
    /// What operators have decided, on its way to the disk: from the admin threads to the store.
    pub controls: ArrayQueue<ControlChange>,
    /// Passwords of callers that are to be judged; from workers to the thread that does it.
    pub judgements: Judgements,
    bell: OnceLock<Bell>,
    in_force: Mutex<Arc<InForce>>,
    proposed: Mutex<Proposed>,
    resolved: Mutex<Option<Arc<Resolved>>>,
    keyring: Mutex<Option<Arc<Keyring>>>,
    keys: Mutex<Option<Arc<KeySets>>>,
    sources: Mutex<Vec<(String, SourceStands)>>,
    latencies: Mutex<Latencies>,
    /// By worker.
    estimates: Mutex<Vec<Estimates>>,
}

/// What may come in force next.
struct Proposed {
    /// The last number that a configuration has got.
    generation: u64,
    next: Option<Arc<InForce>>,
}

impl Board {
    /// A board for these workers and their first configuration.
    pub fn new(desks: Vec<Arc<Desk>>, in_force: Arc<InForce>, accounts: Arc<Accounts>) -> Arc<Board> {
        Arc::new(Board {
            desks,
            health: Health::default(),
            accounts,
            asks: ArrayQueue::new(ASKS_MAX),
            audit: ArrayQueue::new(AUDITS_MAX),
            journal: Sleeper::default(),
            controls: ArrayQueue::new(CONTROLS_MAX),
            judgements: Judgements::new(in_force.snapshot.settings.passwords.waiting as usize),
            bell: OnceLock::new(),
            proposed: Mutex::new(Proposed { generation: in_force.generation, next: None }),
            in_force: Mutex::new(in_force),
            resolved: Mutex::new(None),
            keyring: Mutex::new(None),
            keys: Mutex::new(None),
            sources: Mutex::default(),
            latencies: Mutex::new(Latencies::default()),
            estimates: Mutex::default(),
        })
    }

    /// The configuration that new requests get.
    pub fn in_force(&self) -> Arc<InForce> {
        open(&self.in_force).clone()
    }

    /// Gives a configuration its number and has workers make it ready: see [`adopt`](Board::adopt). A number is not used twice, so
    /// whoever is ready for one that failed is ready for no other.
    pub fn propose(&self, next: InForce) -> Arc<InForce> {
        let mut proposed = open(&self.proposed);
        proposed.generation += 1;
        let next = Arc::new(InForce { generation: proposed.generation, ..next });
        proposed.next = Some(next.clone());
        next
    }

    /// What workers are to make ready.
    pub fn proposed(&self) -> Option<Arc<InForce>> {
        open(&self.proposed).next.clone()
    }

    /// What is proposed does not come in force.
    pub fn withdraw(&self) {
        open(&self.proposed).next = None;
    }

    /// Replaces what is in force. Nothing is proposed then.
    pub fn adopt(&self, next: Arc<InForce>) {
        *open(&self.in_force) = next;
        self.withdraw();
    }

    /// The newest addresses of all targets.
    pub fn resolved(&self) -> Option<Arc<Resolved>> {
        open(&self.resolved).clone()
    }

    /// Replaces the addresses, unless those that are known are of a later configuration.
    pub fn set_resolved(&self, resolved: Arc<Resolved>) {
        replace(&self.resolved, resolved, |resolved| resolved.generation);
    }

    /// The credentials that were last fetched.
    pub fn keyring(&self) -> Option<Arc<Keyring>> {
        open(&self.keyring).clone()
    }

    /// Replaces the credentials, unless those that are known are of a later configuration.
    pub fn set_keyring(&self, keyring: Arc<Keyring>) {
        replace(&self.keyring, keyring, |keyring| keyring.generation);
    }

    /// The keys of issuers that were last read.
    pub fn keys(&self) -> Option<Arc<KeySets>> {
        open(&self.keys).clone()
    }

    /// Replaces the keys of issuers, unless those that are known are of a later configuration.
    pub fn set_keys(&self, keys: Arc<KeySets>) {
        replace(&self.keys, keys, |keys| keys.generation);
    }

    /// How the sources of issuers' keys stand, by their names; those that are written down are not among them.
    pub fn sources(&self) -> Vec<(String, SourceStands)> {
        open(&self.sources).clone()
    }

    /// Says how they stand.
    pub fn set_sources(&self, sources: Vec<(String, SourceStands)>) {
        *open(&self.sources) = sources;
    }

    /// Asks the store to put more of these accounts on disk. Never waits: what does not fit is asked again.
    pub fn ask(&self, asks: impl Iterator<Item = (Arc<Account>, u64)>) {
        let mut rings = false;
        for (account, amount) in asks {
            rings = true;
            if let Err(ask) = self.asks.push(Ask { account, amount }) {
                ask.account.forget_ask();
            }
        }
        if let (true, Some(bell)) = (rings, self.bell.get()) {
            bell();
        }
    }

    /// Hands what an operator has decided to the store, if there is one: whoever drains the queue has set the bell.
    pub fn keep(&self, change: ControlChange) -> Kept {
        let Some(bell) = self.bell.get().filter(|_| self.accounts.is_kept()) else { return Kept::Nowhere };
        match self.controls.push(change) {
            Ok(()) => bell(),
            Err(_) => return Kept::Refused,
        }
        Kept::OnDisk
    }

    /// What is to be done when an account is asked for, or an operator has decided something. Once.
    pub fn set_bell(&self, bell: Bell) {
        let _ = self.bell.set(bell);
    }

    /// Takes what workers have measured since the last call into the sums.
    pub fn collect_latencies(&self) {
        let mut sums = open(&self.latencies);
        for part in self.desks.iter().flat_map(|desk| std::iter::from_fn(|| desk.latencies.pop())) {
            sums.merge(&part);
        }
    }

    /// What all workers have learned, added.
    pub fn estimates(&self) -> Estimates {
        let mut known = open(&self.estimates);
        known.resize_with(self.desks.len(), Estimates::default);
        let mut sum = Estimates::default();
        for (desk, known) in self.desks.iter().zip(known.iter_mut()) {
            if let Some(newest) = desk.estimates.pop() {
                *known = *newest;
            }
            sum.add(known);
        }
        sum
    }

    /// The latencies of all workers so far.
    pub fn latencies(&self) -> MutexGuard<'_, Latencies> {
        open(&self.latencies)
    }
}

/// Who was long about an earlier configuration must not take from workers what the present one has.
fn replace<T>(known: &Mutex<Option<Arc<T>>>, newest: Arc<T>, generation: impl Fn(&T) -> u64) {
    let mut known = open(known);
    if known.as_ref().is_none_or(|known| generation(known) <= generation(&newest)) {
        *known = Some(newest);
    }
}

/// Nothing of ours can panic while it holds one of these locks; if something did, the value is still whole.
fn open<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
