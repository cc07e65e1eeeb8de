//! One core's worth of tollgate: accepts, serves, hears of the coordinator.

use super::changes::Changes;
use super::crowd::{Crowd, OfAddress};
use super::exchange::{Then, exchange};
use super::handshake::{TlsServer, welcome};
use super::passwords::Guesses;
use super::serving::Serving;
use super::tls::TlsClient;
use crate::base::Moment;
use crate::config::Fetched;
use crate::limit::Book;
use crate::llm::learn::{InputStats, Learned, OutputStats};
use crate::mail::{Board, Desk, Sheet, ToWorker};
use crate::route::{Pressure, Priority};
use crate::runtime::{Listener, MailReceiver, Ring, Socket, clock, executor, sleep};
use crate::telemetry::{Counters, Estimates, Gauge, InputEstimate, Latencies, OutputEstimate};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How often a worker that serves looks how far it is behind; one that rests looks with its housekeeping.
const LOOK: Duration = Duration::from_millis(100);

/// How often idle connections are looked over and latencies handed out.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

/// The most models, and pairs of a route and a model, that a worker learns about.
const MODELS_MAX: usize = 256;
const ROUTES_MAX: usize = 512;

/// How long a worker that stops waits for its exchanges to end.
const END_MAX: Duration = Duration::from_secs(2);

/// How long accepting pauses after an error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Connections that are taken out of the kernel's queue before a listening socket closes: as many as it holds.
const WAITING_MAX: usize = 4096;

/// What a worker is started with. Everything in it is ready before the thread begins.
pub struct WorkerSeed {
    /// What it hands out.
    pub desk: Arc<Desk>,
    /// What everybody reads.
    pub board: Arc<Board>,
    /// What it is told.
    pub mail: MailReceiver<ToWorker>,
    /// The sockets that it takes connections from, each with the place of its listener in the configuration.
    pub sockets: Vec<(usize, socket2::Socket)>,
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
    for (index, socket) in sockets {
        let accept = accept(worker.clone(), Listener::new(&ring, socket), index);
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

/// Takes connections while the gate is open, until the worker drains; then the listening socket closes. Whatever was
/// taken is served, and so is what waits for nobody else: a connection that is closed unserved may have had a request.
async fn accept(worker: Rc<Worker>, listener: Listener, index: usize) {
    loop {
        poll_fn(|cx| match worker.takes_connections() || worker.is_draining() {
            true => Poll::Ready(()),
            false => {
                listener.wait(cx);
                Poll::Pending
            }
        })
        .await;
        worker.desk.set_listening(true);
        take_all(&worker, &listener, index).await;
        if worker.is_draining() && worker.board.health.is_open() {
            for socket in (0..WAITING_MAX).map_while(|_| listener.take_waiting()) {
                take(&worker, socket, index);
            }
        }
        worker.desk.set_listening(false);
        if worker.is_draining() {
            return;
        }
    }
}

/// Serves every connection that comes until none shall be taken any more.
async fn take_all(worker: &Rc<Worker>, listener: &Listener, index: usize) {
    loop {
        let accepted = poll_fn(|cx| match worker.takes_connections() {
            true => listener.poll_accept(cx).map(Some),
            false => listener.poll_rest(cx),
        });
        match accepted.await {
            None => return,
            Some(Ok(socket)) => take(worker, socket, index),
            Some(Err(_)) => {
                worker.desk.counters.accepts_failed.add(1);
                worker.give_up_idle();
                sleep(&worker.ring, ACCEPT_PAUSE).await;
            }
        }
    }
}

fn take(worker: &Rc<Worker>, socket: Socket, index: usize) {
    if worker.is_full() {
        worker.desk.counters.connections_turned_away.add(1);
        return drop(socket);
    }
    // Counted at once: who asks whether all have ended must not find one between here and its task's first turn.
    let open = Open::connection(&worker.desk);
    let panicked = worker.clone();
    let serve = serve(worker.clone(), socket, index, open);
    // Faults are planted in unit tests, which takes room.
    debug_assert!(cfg!(test) || size_of_val(&serve) <= TASK_BYTES, "{} bytes", size_of_val(&serve));
    executor::spawn(serve, move |_| panicked.desk.counters.connections_panicked.add(1));
}

/// What a connection's task takes. The allocator hands it out in these steps, so one byte more costs each connection a
/// kilobyte: what is seldom needed is in a box of its own.
const TASK_BYTES: usize = 6144;

/// Lets connections without a request wait for a moment more when the worker drains: one may be on its way.
async fn end_idle(worker: Rc<Worker>) {
    let timeouts = worker.serving().in_force.snapshot.settings.timeouts.clone();
    sleep(&worker.ring, timeouts.drain_idle.min(timeouts.drain)).await;
    worker.idle_over.set(true);
    worker.ring.nudge();
}

/// Serves one connection, exchange by exchange.
async fn serve(worker: Rc<Worker>, socket: Socket, listener: usize, _open: Open) {
    let mut served = pin!(serve_all(&worker, socket, listener));
    // A worker that stops drops its exchanges where they stand: each settles and writes its record.
    let until_stopped = |cx: &mut Context<'_>| match worker.is_stopping() {
        true => Poll::Ready(()),
        false => served.as_mut().poll(cx),
    };
    poll_fn(until_stopped).await;
}

async fn serve_all(worker: &Rc<Worker>, socket: Socket, listener: usize) {
    let Some(peer) = socket.peer() else { return };
    let per_address = worker.serving().in_force.snapshot.settings.connections.per_address;
    let _of_address = match per_address.map(|most| OfAddress::enter(worker, peer, most)) {
        Some(None) => return worker.desk.counters.connections_crowded.add(1),
        entered => entered,
    };
    let Some(mut client) = welcome(worker, socket, peer, listener).await else { return };
    loop {
        match exchange(worker, &mut client).await {
            Then::Next => {}
            Then::Close => return,
            Then::Linger => return client.linger(worker).await,
        }
    }
}

/// Counts something in a gauge for as long as it lives, a panic included.
pub(super) struct Open {
    desk: Arc<Desk>,
    gauge: fn(&Counters) -> &Gauge,
}

impl Open {
    pub(super) fn count(desk: &Arc<Desk>, gauge: fn(&Counters) -> &Gauge) -> Open {
        gauge(&desk.counters).add(1);
        Open { desk: desk.clone(), gauge }
    }

    fn connection(desk: &Arc<Desk>) -> Open {
        desk.counters.connections_accepted.add(1);
        Open::count(desk, |counters| &counters.connections_open)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        (self.gauge)(&self.desk.counters).sub(1);
    }
}

/// What a worker has learned, for the board.
fn estimates(learned: &Learned) -> Estimates {
    let input = |(model, stats): (&str, InputStats)| {
        let known = InputEstimate {
            bytes_per_1000_tokens: u64::from(stats.ratio.bytes_per_1000_tokens),
            samples: stats.samples,
            error_permille_sum: stats.error_permille_sum,
        };
        (model.to_owned(), known)
    };
    let output = |(route, model, stats): (&str, &str, OutputStats)| {
        let known =
            OutputEstimate { p95: stats.p95.unwrap_or(0), expected: stats.expected, covered: stats.covered };
        ((route.to_owned(), model.to_owned()), known)
    };
    Estimates {
        inputs: learned.models().map(input).collect(),
        outputs: learned.outputs().map(output).collect(),
    }
}

async fn keep_house(worker: Rc<Worker>) {
    loop {
        sleep(&worker.ring, HOUSEKEEPING).await;
        let now = worker.ring.now();
        let swept: u32 = worker.serving().pools.iter().map(|pool| pool.sweep(now)).sum();
        worker.idle_upstreams.set(worker.idle_upstreams.get() - swept);
        worker.wall.set(wall());
        let overflows = &worker.desk.counters.ring_overflows;
        overflows.add(worker.ring.overflows() - overflows.get());
        let freed = worker.book.borrow_mut().sweep(worker.moment());
        worker.desk.counters.reservations_expired.add(freed as u64);
        if worker.latencies.borrow().request.count() > 0 {
            let part = Box::new(worker.latencies.borrow_mut().take());
            worker.desk.latencies.force_push(part);
            worker.desk.estimates.force_push(Box::new(estimates(&worker.learned.borrow())));
        }
    }
}

/// Looks how late a timer fires: so long does whatever arrives wait for its turn.
async fn keep_pace(worker: Rc<Worker>) {
    loop {
        // One that gives up requests looks often whatever it has to do: it may have nothing to do because of that.
        let is_at_rest =
            worker.desk.counters.requests_in_flight.get() == 0 && worker.pressure.get().steps() == 0;
        let due = worker.ring.now() + if is_at_rest { HOUSEKEEPING } else { LOOK };
        sleep(&worker.ring, due.since(worker.ring.now())).await;
        let lag = worker.serving().in_force.snapshot.settings.admission.lag;
        let mut pressure = worker.pressure.get();
        pressure.look(worker.ring.now().since(due), lag.unwrap_or(Duration::MAX));
        worker.pressure.set(pressure);
        worker.desk.counters.pressure.set(u64::from(pressure.steps()));
    }
}

/// The wall's time at tick 0.
fn wall() -> i64 {
    let now = clock::moment();
    now.unix_ms.saturating_sub(i64::try_from(now.tick.0 / 1_000_000).unwrap_or(i64::MAX))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::RingConfig;

    #[test]
    fn a_panic_in_a_connection_is_counted_and_no_other_connection_notices() {
        let desk = Desk::new(0, 16);
        let theirs = desk.clone();
        let config = RingConfig {
            submission_entries: 64,
            completion_entries: 128,
            receive_buffers: 16,
            receive_buffer_bytes: 4096,
            inbox_bytes: 4096,
        };
        let worker = executor::start("test", None, config, move |ring| async move {
            let (doomed, other, panicked) =
                (Open::connection(&theirs), Open::connection(&theirs), theirs.clone());
            let fails = async move {
                let _open = doomed;
                panic!("planted");
            };
            executor::spawn(fails, move |_| panicked.counters.connections_panicked.add(1));
            while theirs.counters.connections_panicked.get() == 0 {
                sleep(&ring, Duration::from_millis(1)).await;
            }
            let open = theirs.counters.connections_open.get();
            drop(other);
            theirs.counters.connections_turned_away.add(open);
            executor::stop();
        });
        worker.expect("a worker starts").join().expect("it ends cleanly");
        let counters = &desk.counters;
        assert_eq!(counters.connections_panicked.get(), 1);
        assert_eq!(counters.connections_turned_away.get(), 1, "the other was open when the panic was over");
        assert_eq!(counters.connections_open.get(), 0);
    }
}
