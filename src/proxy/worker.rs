//! One core's worth of tollgate: accepts, serves, hears of the coordinator.

mod accept;
mod house;

pub(super) use accept::Open;

use super::changes::Changes;
use super::crowd::Crowd;
use super::handshake::TlsServer;
use super::passwords::Guesses;
use super::serving::Serving;
use super::tls::TlsClient;
use crate::base::Moment;
use crate::config::Fetched;
use crate::limit::Book;
use crate::llm::learn::Learned;
use crate::mail::{Board, Desk, Sheet, ToWorker};
use crate::route::{Pressure, Priority};
use crate::runtime::{Listener, MailReceiver, Ring, executor, sleep};
use crate::telemetry::Latencies;
use accept::{accept, end_idle};
use house::{keep_house, keep_pace, wall};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// The most models, and pairs of a route and a model, that a worker learns about.
const MODELS_MAX: usize = 256;
const ROUTES_MAX: usize = 512;

/// How long a worker that stops waits for its exchanges to end.
const END_MAX: Duration = Duration::from_secs(2);

/// A socket that a worker takes connections from.
pub struct Entrance {
    /// The place of its listener in the configuration.
    pub listener: usize,
    /// It listens.
    pub socket: socket2::Socket,
    /// Whether this process opened it: else it lives on elsewhere when it is closed here, and so does what waits in it.
    pub is_ours: bool,
}

/// What a worker is started with. Everything in it is ready before the thread begins.
pub struct WorkerSeed {
    /// What it hands out.
    pub desk: Arc<Desk>,
    /// What everybody reads.
    pub board: Arc<Board>,
    /// What it is told.
    pub mail: MailReceiver<ToWorker>,
    /// The sockets that it takes connections from.
    pub sockets: Vec<Entrance>,
    /// How TLS is spoken to backends.
    pub tls: TlsClient,
    /// What clients of HTTPS listeners meet.
    pub tls_server: TlsServer,
}

/// A worker's state. Owned by its thread; shared among its tasks by [`Rc`].
pub(super) struct Worker {
    pub(super) ring: Rc<Ring>,
    pub(super) desk: Arc<Desk>,
    tls: TlsClient,
    tls_server: TlsServer,
    pub(super) board: Arc<Board>,
    pub(super) latencies: RefCell<Latencies>,
    /// Its accounts and reservations.
    pub(super) book: RefCell<Book>,
    /// What requests and answers of each model are like.
    pub(super) learned: RefCell<Learned>,
    /// Changes when more of some accounts is on disk.
    pub(super) grants: Changes,
    /// Changes when passwords were judged.
    pub(super) judged: Changes,
    /// The passwords that are being judged.
    pub(super) guesses: RefCell<Guesses>,
    /// The wall's time at tick 0, in milliseconds since 1970; set anew every second.
    wall: Cell<i64>,
    /// Bytes that exchanges hold, and may: see [`Held`](super::held::Held).
    pub(super) held_bytes: Cell<usize>,
    pub(super) held_bytes_max: Cell<usize>,
    /// Connections of clients by address.
    pub(super) crowd: RefCell<Crowd>,
    /// How far it is behind.
    pressure: Cell<Pressure>,
    /// Bytes of bodies that copies of requests hold.
    pub(super) copied_bytes: Cell<usize>,
    /// Connections in all pools.
    pub(super) idle_upstreams: Cell<u32>,
    serving: RefCell<Rc<Serving>>,
    /// What it is to serve next, once all workers could.
    ready: RefCell<Option<Serving>>,
    draining: Cell<bool>,
    /// The time is over in which a connection without a request is left open although the worker drains.
    idle_over: Cell<bool>,
    stopping: Cell<bool>,
    random: Cell<u64>,
}

/// The life of a worker, to be run by [`executor::start`]: serves until it is told to stop.
pub async fn run(ring: Rc<Ring>, seed: WorkerSeed) {
    let WorkerSeed { desk, board, mail, sockets, tls, tls_server } = seed;
    let serving = Serving::of(board.in_force(), None, (&tls, &tls_server));
    let hold = serving.in_force.snapshot.settings.limits.hold;
    let worker = Rc::new(Worker {
        random: Cell::new(0x9e37_79b9_7f4a_7c15 ^ (u64::from(desk.worker) + 1) << 32 ^ ring.now().0),
        latencies: RefCell::new(Latencies::default()),
        book: RefCell::new(Book::new(u32::from(desk.worker), board.accounts.clone(), hold)),
        learned: RefCell::new(Learned::new(MODELS_MAX, ROUTES_MAX)),
        grants: Changes::default(),
        judged: Changes::default(),
        guesses: RefCell::default(),
        wall: Cell::new(wall()),
        board: board.clone(),
        held_bytes: Cell::new(0),
        held_bytes_max: Cell::new(0),
        crowd: RefCell::default(),
        pressure: Cell::default(),
        copied_bytes: Cell::new(0),
        idle_upstreams: Cell::new(0),
        serving: RefCell::new(Rc::new(serving)),
        ready: RefCell::new(None),
        draining: Cell::new(false),
        idle_over: Cell::new(false),
        stopping: Cell::new(false),
        ring: ring.clone(),
        desk,
        tls,
        tls_server,
    });
    worker.desk.counters.config_generation.set(worker.serving().in_force.generation);
    worker.adopt();
    for Entrance { listener, socket, is_ours } in sockets {
        let accept = accept(worker.clone(), Listener::new(&ring, socket), listener, is_ours);
        executor::spawn_vital("the task that accepts connections", accept);
    }
    executor::spawn_vital("its housekeeping", keep_house(worker.clone()));
    executor::spawn_vital("the task that keeps its pace", keep_pace(worker.clone()));
    let failing = worker.clone();
    executor::at_failure(move || failing.give_up());
    mail.attach(&ring);
    board.health.worker_adopted();
    loop {
        let told = mail.receive(&ring).await;
        worker.desk.waiting.taken(told);
        match told {
            ToWorker::Prepare => worker.prepare(),
            ToWorker::Adopt => worker.adopt(),
            ToWorker::Resolved => worker.take_addresses(),
            ToWorker::Keyring => worker.take_credentials(),
            ToWorker::Keys => worker.take_keys(),
            ToWorker::Granted => worker.grants.change(),
            ToWorker::Gate => ring.nudge(),
            ToWorker::Judged => worker.judged.change(),
            ToWorker::Drain => {
                worker.draining.set(true);
                executor::spawn(end_idle(worker.clone()), |_| {});
                ring.nudge();
            }
            ToWorker::Stop => {
                worker.stopping.set(true);
                worker.end_exchanges().await;
                return executor::stop();
            }
        }
    }
}

impl Worker {
    /// The present instant of this turn of the loop, on both clocks.
    pub(super) fn moment(&self) -> Moment {
        let tick = self.ring.now();
        let ms = i64::try_from(tick.0 / 1_000_000).unwrap_or(i64::MAX);
        Moment { tick, unix_ms: self.wall.get().saturating_add(ms) }
    }

    /// The configuration for a new exchange.
    pub(super) fn serving(&self) -> Rc<Serving> {
        self.serving.borrow().clone()
    }

    /// Whether connections end after the exchange they are in.
    pub(super) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Whether it takes new connections.
    fn takes_connections(&self) -> bool {
        !self.is_draining() && self.board.health.is_open()
    }

    /// Whether another process is about to take this one's place, and it is not decided whether it does.
    pub(super) fn is_undecided(&self) -> bool {
        self.board.accounts.is_away() && !self.board.health.is_open() && !self.board.health.is_draining()
    }

    /// Whether connections without a request end.
    pub(super) fn ends_idle(&self) -> bool {
        self.idle_over.get()
    }

    /// Whether the worker ends now, whatever is under way.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.get()
    }

    /// A number that is even over all its bits (xorshift64*); for weighted choices, not for secrets.
    pub(super) fn random(&self) -> u64 {
        let mut x = self.random.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.random.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Waits until every exchange has been dropped where it stood, and so settled and recorded. One that was about
    /// to wait when the others were woken is woken with the next round.
    async fn end_exchanges(&self) {
        let until = self.ring.now() + END_MAX;
        loop {
            self.ring.nudge();
            sleep(&self.ring, Duration::from_millis(1)).await;
            if self.desk.counters.requests_in_flight.get() == 0 || self.ring.now() >= until {
                return;
            }
        }
    }

    /// The worker cannot go on: its listeners close, so that no connection comes to it any more, and every exchange is
    /// dropped where it stands. Whether all have been.
    fn give_up(&self) -> bool {
        self.draining.set(true);
        self.stopping.set(true);
        let counters = &self.desk.counters;
        counters.requests_in_flight.get() == 0 && counters.connections_open.get() == 0
    }

    /// Closes all idle connections to providers, because no file is left for what is wanted now; whether there were any.
    pub(super) fn give_up_idle(&self) -> bool {
        let closed: u32 = self.serving().pools.iter().map(|pool| pool.give_up_idle()).sum();
        self.idle_upstreams.set(self.idle_upstreams.get() - closed);
        closed > 0
    }

    /// Hands a finished exchange's record to the journal, or drops and counts it.
    pub(super) fn log(&self, record: &mut Sheet) {
        match self.desk.records.push(record) {
            true => self.board.journal.wake(),
            false => self.desk.counters.records_dropped.add(1),
        }
    }

    /// Whether more requests are under way than may be, the one that asks among them.
    fn is_busy(&self, most: u32) -> bool {
        self.desk.counters.requests_in_flight.get() > u64::from(most)
    }

    /// Whether a request of this priority is given up, because there are too many or they come too fast.
    pub(super) fn gives_up(&self, serving: &Serving, priority: Priority) -> bool {
        let places = serving.in_force.snapshot.settings.limits.in_flight_per_worker;
        let pressure = self.pressure.get();
        let gives_up = self.is_busy(priority.places(places, serving.has_critical))
            || pressure.steps() > 0 && pressure.gives_up(priority, self.random());
        if gives_up {
            let counters = &self.desk.counters;
            let shed = [&counters.shed_sheddable, &counters.shed_standard, &counters.shed_critical];
            shed[priority as usize].add(1);
        }
        gives_up
    }

    /// Says how many bytes exchanges hold.
    pub(super) fn hold(&self, bytes: usize) {
        self.held_bytes.set(bytes);
        self.desk.counters.held_bytes.set(bytes as u64);
    }

    fn is_full(&self) -> bool {
        let most = self.serving().in_force.snapshot.settings.connections.per_worker;
        self.desk.counters.connections_open.get() >= u64::from(most)
    }

    /// Makes what is proposed ready to be served, in place of what was made ready before and is not to be.
    fn prepare(&self) {
        self.ready.take();
        let Some(in_force) = self.board.proposed() else { return };
        let generation = in_force.generation;
        let next = Serving::of(in_force, Some(&self.serving()), (&self.tls, &self.tls_server));
        self.ready.replace(Some(next));
        self.desk.set_ready(generation);
    }

    /// Serves what is in force from the next exchange on, with all that is known of it: whatever this worker has heard before.
    /// Pools of targets that stay keep their connections.
    fn adopt(&self) {
        let (in_force, before) = (self.board.in_force(), self.serving());
        if in_force.generation != before.in_force.generation {
            let ready = self.ready.take().filter(|next| next.in_force.generation == in_force.generation);
            let next =
                ready.unwrap_or_else(|| Serving::of(in_force, Some(&before), (&self.tls, &self.tls_server)));
            let gone = before.pools.iter().filter(|old| !next.pools.iter().any(|new| Rc::ptr_eq(old, new)));
            let closed: u32 = gone.map(|pool| pool.retire()).sum();
            self.idle_upstreams.set(self.idle_upstreams.get() - closed);
            self.desk.counters.config_generation.set(next.in_force.generation);
            self.serving.replace(Rc::new(next));
        }
        let serving = self.serving();
        let settings = &serving.in_force.snapshot.settings;
        self.held_bytes_max.set(usize::try_from(settings.requests.held_bytes).unwrap_or(usize::MAX));
        self.ring.receive_buffer.set(settings.upstream.receive_buffer.map(|bytes| bytes as usize));
        self.take_addresses();
        self.take_credentials();
        self.take_keys();
    }

    fn take_credentials(&self) {
        let serving = self.serving();
        let Some(keyring) = self.board.keyring() else { return };
        if keyring.generation == serving.in_force.generation {
            let mine = |fetched: &Option<Fetched>| fetched.clone().map(Rc::new);
            *serving.fetched.borrow_mut() = keyring.by_backend.iter().map(mine).collect();
        }
    }

    fn take_keys(&self) {
        let serving = self.serving();
        let Some(keys) = self.board.keys() else { return };
        if keys.generation == serving.in_force.generation {
            serving.key_ring.set(&keys.by_source);
        }
    }

    fn take_addresses(&self) {
        let serving = self.serving();
        let Some(resolved) = self.board.resolved() else { return };
        if resolved.generation == serving.in_force.generation {
            for (pool, addresses) in serving.pools.iter().zip(&resolved.addresses) {
                pool.set_addresses(addresses.clone());
            }
        }
    }
}
