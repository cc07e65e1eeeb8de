//! How another configuration comes in force: read and checked whole, made ready by every worker, then adopted by all of them
//! or by none. What is in flight ends on the one that it began with.

use super::{Helpers, Seed, beat, publish, tell, tell_all};
use crate::config::{Limits, Settings, Snapshot};
use crate::mail::{InForce, ToWorker};
use crate::runtime::clock;
use std::time::Duration;

/// How long all workers together may take to make a configuration ready.
const READY_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether they are.
const READY_LOOK: Duration = Duration::from_millis(1);
/// Looks between two beats of the pulse, which goes on meanwhile.
const LOOKS_PER_BEAT: u32 = 200;

/// Adopts a configuration that was read again, if it is sound; a bad one changes nothing.
pub(super) fn reload(seed: &mut Seed, helpers: &Helpers) {
    let Some(read) = &mut seed.reload else { return };
    let board = &helpers.board;
    let before = board.in_force();
    let next = read().and_then(|snapshot| next_in_force(&before, snapshot, board.desks.len()));
    let next = next.map(|next| board.propose(next));
    match next.and_then(|next| made_ready(seed, helpers, &next).map(|()| next)) {
        Ok(next) => {
            let resolved = helpers.resolver.look_up(&next);
            board.adopt(next.clone());
            tell_all(board, &helpers.mail, ToWorker::Adopt);
            match resolved {
                Some(resolved) => publish(board, &helpers.mail, resolved),
                None => helpers.resolver.wake(),
            }
            helpers.credentials.wake();
            helpers.keys.wake();
            tell(&adopted(&before, &next));
        }
        Err(faults) => {
            if board.proposed().is_some() {
                board.withdraw();
                tell_all(board, &helpers.mail, ToWorker::Prepare); // those that were ready need not keep it
            }
            tell(&format!("reload: configuration {} stays in force\n{faults}", before.generation));
        }
    }
}

/// Has every worker make it ready, and waits until all have: what a worker must do for a large configuration is done
/// before any of them serves by it. One that does not come to it keeps the others from it, too.
fn made_ready(seed: &Seed, helpers: &Helpers, next: &InForce) -> Result<(), String> {
    let board = &helpers.board;
    tell_all(board, &helpers.mail, ToWorker::Prepare);
    let is_ready = |worker: usize| board.desks.get(worker).is_none_or(|desk| desk.ready() == next.generation);
    let until = clock::now() + READY_MAX;
    let mut looks = 0u32;
    loop {
        let Some(late) = (0..board.desks.len()).find(|worker| !is_ready(*worker)) else { return Ok(()) };
        if clock::now() > until {
            return Err(format!("worker-{late} was not ready for it within {} s", READY_MAX.as_secs()));
        }
        std::thread::sleep(READY_LOOK);
        looks += 1;
        if looks.is_multiple_of(LOOKS_PER_BEAT) {
            beat(seed, board);
        }
    }
}

/// What the operator is told of a configuration that took the place of `before`.
fn adopted(before: &InForce, next: &InForce) -> String {
    let mut text = format!("reload: configuration {} is in force\n{}", next.generation, next.snapshot.report);
    for ready in &next.rules.rules {
        let balance = match before.rules.named(&ready.rule.name) {
            Some((_, old)) if old.rule == ready.rule => "is unchanged and keeps its balance",
            Some((_, old)) if old.rule.unit == ready.rule.unit => "has changed; what was used stays used",
            _ => "is new and begins full",
        };
        text += &format!("limit {} {balance}\n", ready.rule.name);
    }
    for warning in &next.snapshot.warnings {
        text += &format!("warning: {warning}\n");
    }
    let fixed = fixed_changes(&before.snapshot.settings, &next.snapshot.settings);
    if !fixed.is_empty() {
        text += &format!("warning: changed, but read at the start only: {}; restart\n", fixed.join(", "));
    }
    text.truncate(text.trim_end().len());
    text
}

/// Settings that differ and take a restart.
fn fixed_changes(before: &Settings, next: &Settings) -> Vec<&'static str> {
    let fixed = |limits: &Limits| Limits {
        in_flight_per_worker: 0,
        output_reserve: 0,
        stream_chunk: 0,
        ..limits.clone()
    };
    let sections = [
        ("workers", before.workers == next.workers),
        ("ring", before.ring == next.ring),
        ("connections.sendBufferBytes", before.connections.send_buffer == next.connections.send_buffer),
        ("admin", before.admin == next.admin),
        ("process", before.process == next.process),
        ("upgrade", before.upgrade == next.upgrade),
        ("records", before.records == next.records),
        ("passwords.waiting", before.passwords.waiting == next.passwords.waiting),
        ("tls", before.tls == next.tls),
        ("limits (all but reserve and inFlightPerWorker)", fixed(&before.limits) == fixed(&next.limits)),
    ];
    sections.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// What `snapshot` becomes after `before`: limits whose rule is unchanged keep their balance.
fn next_in_force(before: &InForce, snapshot: Snapshot, workers: usize) -> Result<InForce, String> {
    let addresses = |snapshot: &Snapshot| snapshot.listeners.iter().map(|l| l.bind).collect::<Vec<_>>();
    if addresses(&before.snapshot) != addresses(&snapshot) {
        return Err("listeners were added, removed or moved, which takes a restart".to_owned());
    }
    Ok(InForce::after(Some(before), snapshot, workers))
}
