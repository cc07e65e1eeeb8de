//! Connections: taken, counted, served exchange by exchange.

use super::Worker;
use crate::mail::Desk;
use crate::proxy::crowd::OfAddress;
use crate::proxy::exchange::{Then, exchange};
use crate::proxy::handshake::welcome;
use crate::runtime::{Listener, Socket, executor, sleep};
use crate::telemetry::{Counters, Gauge};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// How long accepting pauses after an error such as "too many open files".
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// Connections that are taken out of the kernel's queue before a listening socket closes: as many as it holds.
const WAITING_MAX: usize = 4096;

/// How long handshakes of TCP that have begun are waited for before a listening socket closes: what one with a client on
/// the same continent takes; not longer than `timeouts.drainIdle`.
const HANDSHAKES_END: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_millis(5);

/// What a connection's task takes. The allocator hands it out in these steps, so one byte more costs each connection a
/// kilobyte: what is seldom needed is in a box of its own.
const TASK_BYTES: usize = 6144;

/// Takes connections while the gate is open, until the worker drains; then the listening socket closes. Whatever was
/// taken is served, and so is what waits for nobody else: a connection that is closed unserved may have had a request.
pub(super) async fn accept(worker: Rc<Worker>, listener: Listener, index: usize, is_ours: bool) {
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
            take_last(&worker, &listener, index, is_ours).await;
        }
        worker.desk.set_listening(false);
        if worker.is_draining() {
            return;
        }
    }
}

/// Takes who waits in a socket that is about to close, which would reset them. Where it is ours, nobody new gets in first, and
/// handshakes that have begun are waited for.
async fn take_last(worker: &Rc<Worker>, listener: &Listener, index: usize, is_ours: bool) {
    let is_shut = is_ours && listener.turn_away().is_ok();
    let most = worker.serving().in_force.snapshot.settings.timeouts.drain_idle;
    let until = worker.ring.now() + if is_shut { HANDSHAKES_END.min(most) } else { Duration::ZERO };
    loop {
        for socket in (0..WAITING_MAX).map_while(|_| listener.take_waiting()) {
            take(worker, socket, index);
        }
        if worker.ring.now() >= until {
            return;
        }
        sleep(&worker.ring, LAST_PAUSE).await;
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

/// Lets connections without a request wait for a moment more when the worker drains: one may be on its way.
pub(super) async fn end_idle(worker: Rc<Worker>) {
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
pub(in crate::proxy) struct Open {
    desk: Arc<Desk>,
    gauge: fn(&Counters) -> &Gauge,
}

impl Open {
    pub(in crate::proxy) fn count(desk: &Arc<Desk>, gauge: fn(&Counters) -> &Gauge) -> Open {
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
