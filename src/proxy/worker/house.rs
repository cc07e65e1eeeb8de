//! What a worker does beside serving: it keeps house, and looks how far it is behind.

use super::Worker;
use crate::llm::learn::{InputStats, Learned, OutputStats};
use crate::runtime::{clock, sleep};
use crate::telemetry::{Estimates, InputEstimate, OutputEstimate};
use std::rc::Rc;
use std::time::Duration;

/// How often a worker that serves looks how far it is behind; one that rests looks with its housekeeping.
const LOOK: Duration = Duration::from_millis(100);

/// How often idle connections are looked over and latencies handed out.
const HOUSEKEEPING: Duration = Duration::from_secs(1);

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

pub(super) async fn keep_house(worker: Rc<Worker>) {
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
pub(super) async fn keep_pace(worker: Rc<Worker>) {
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
pub(super) fn wall() -> i64 {
    let now = clock::moment();
    now.unix_ms.saturating_sub(i64::try_from(now.tick.0 / 1_000_000).unwrap_or(i64::MAX))
}
