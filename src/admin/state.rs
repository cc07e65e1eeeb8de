//! `/state`: what is in force and how it stands, as JSON.
//!
//! Times are seconds, amounts are in each limit's own unit. What is written is listed here member by member
//! and never taken over whole: a snapshot holds credentials, and paths and header values that may be some.

use super::issuers::{Standing, standings};
use crate::base::Moment;
use crate::config::Snapshot;
use crate::limit::{Account, Measure, ReadyRule, Wanted};
use crate::mail::{Board, Desk, Resolved};
use crate::wire::json::write::{Array, Object};
use std::time::Duration;

/// The page.
pub(super) fn page(board: &Board, now: Moment, version: &str) -> Vec<u8> {
    let in_force = board.in_force();
    let resolved = board.resolved().filter(|resolved| resolved.generation == in_force.generation);
    let mut out = Vec::with_capacity(4 << 10);
    let mut state = Object::new(&mut out);
    state.string("version", version).integer("generation", in_force.generation);
    state.bool("ready", board.health.is_ready());
    state.integer("workers_adopted", board.health.workers_adopted());
    let mut workers = state.array("workers");
    board.desks.iter().for_each(|desk| worker(workers.object(), desk));
    drop(workers);
    listeners(state.array("listeners"), &in_force.snapshot);
    let mut limits = state.array("limits");
    for (place, ready) in (0..).zip(&in_force.rules.rules) {
        let wanted = Wanted { rules: &in_force.rules, rule: place, key: 0 };
        limit(limits.object(), ready, &board.accounts.find(&wanted, &String::new, now), now);
    }
    drop(limits);
    targets(state.array("targets"), &in_force.snapshot, resolved.as_deref());
    let mut issuers = state.array("issuer_keys");
    standings(board, &in_force, now).iter().for_each(|source| issuer_keys(issuers.object(), source));
    drop(issuers);
    drop(state);
    out.push(b'\n');
    out
}

/// `generation` is the configuration that the worker serves, 0 before its first.
fn worker(mut to: Object<'_>, desk: &Desk) {
    to.integer("worker", desk.worker.into());
    to.integer("generation", desk.counters.config_generation.get());
    to.integer("connections_open", desk.counters.connections_open.get());
    to.integer("requests_in_flight", desk.counters.requests_in_flight.get());
    to.integer("records_waiting", desk.records.len() as u64);
    to.integer("records_max", desk.records.capacity() as u64);
}

fn listeners(mut to: Array<'_>, snapshot: &Snapshot) {
    for listener in &snapshot.listeners {
        to.object().string("name", &listener.name).string("bind", &listener.bind.to_string());
    }
}

/// `balance` is negative in debt. After `wait` a request for one unit is admitted if nobody else comes, and
/// after `full` the balance is the capacity again.
///
/// Of a rule with a key it is the account that requests without one share.
fn limit(mut to: Object<'_>, ready: &ReadyRule, account: &Account, now: Moment) {
    let terms = account.terms();
    to.string("name", &terms.rule).string("unit", terms.unit.name());
    to.string("allows", &ready.rule.allowance().to_string());
    to.bool("keyed", !ready.rule.key.is_empty());
    to.integer("capacity", terms.capacity());
    if let Measure::Bucket { rate: given, .. } = terms.measure {
        let mut rate = to.object("rate");
        rate.integer("per_fill", given.per_fill).raw("fill_seconds", seconds(given.fill).as_bytes());
    }
    to.raw("balance", account.balance(now).to_string().as_bytes());
    to.raw("wait_seconds", wait(account.wait_for(1, now)).as_bytes());
    to.raw("full_seconds", wait(account.wait_for(terms.capacity(), now)).as_bytes());
}

/// `addresses` is null until the names of this configuration have been looked up, and empty for a name that
/// does not resolve.
fn targets(mut to: Array<'_>, snapshot: &Snapshot, resolved: Option<&Resolved>) {
    for (place, target) in snapshot.targets.iter().enumerate() {
        let mut one = to.object();
        one.string("host", &target.host).integer("port", target.port.into());
        one.bool("tls", target.tls.is_some());
        let Some(addresses) = resolved.and_then(|resolved| resolved.addresses.get(place)) else {
            one.null("addresses");
            continue;
        };
        let mut list = one.array("addresses");
        for address in addresses.iter() {
            list.string(&address.to_string());
        }
    }
}

/// `age_seconds` is the time since the source was last read or answered well: null before that, and of keys that are written down.
fn issuer_keys(mut to: Object<'_>, source: &Standing) {
    to.string("source", &source.source).integer("keys", source.keys);
    to.raw("age_seconds", wait(source.age).as_bytes());
    to.integer("failures", source.failures).bool("failing", source.failing);
}

/// As [`seconds`]; `null` when nobody can say.
pub(super) fn wait(duration: Option<Duration>) -> String {
    duration.map_or("null".to_owned(), seconds)
}

/// A duration as a JSON number of seconds, exact to the nanosecond.
fn seconds(duration: Duration) -> String {
    match duration.subsec_nanos() {
        0 => duration.as_secs().to_string(),
        nanos => format!("{}.{nanos:09}", duration.as_secs()).trim_end_matches('0').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_exact_json_numbers() {
        for (nanos, shown) in [
            (0, "0"),
            (1, "0.000000001"),
            (500_000_000, "0.5"),
            (100_000_000_000, "100"),
            (1_010_000_000, "1.01"),
            (u64::MAX, "18446744073.709551615"),
        ] {
            let text = seconds(Duration::from_nanos(nanos));
            assert_eq!(text, shown);
            assert!(serde_json::from_str::<f64>(&text).is_ok(), "{text}");
        }
    }
}
