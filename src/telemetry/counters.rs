//! Counters of one worker, read by other threads without a lock.
//!
//! Readers see every number whole but not all of one instant: a request may be counted as begun and its
//! bytes not yet. Sums over workers are [`Totals`], which are plain numbers.
//!
//! What is counted is listed once, in the two tables below; the structs, the sums and the exported families
//! all come from them.

pub use super::cells::{Counter, Gauge};
use super::lists::{
    CHECKS, Denials, GUARDS, Generation, GuardChecks, Lost, LostTotals, Outcomes, PHASES, SizeTotals,
    Statuses, TokenSizes, Unpriced,
};
pub use super::lists::{DENIALS, LOSSES, PAID, STATUSES, TOKEN_TYPES};
use super::record::Outcome;
use crate::base::Tokens;

/// How a number is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// As a counter, whole.
    Counter,
    /// As a gauge, whole.
    Gauge,
    /// As a counter of dollars; the number is in nano-dollars.
    Dollars,
}

/// One exported number of a `Totals` type: its family, its labels, and where it stands.
#[derive(Debug)]
pub struct Series<T> {
    /// The family's name without the prefix `tollgate_`. Series of one family stand side by side.
    pub family: &'static str,
    /// The family's help.
    pub help: &'static str,
    /// How it is shown.
    pub shown: Shown,
    /// Labels that tell it from the others of its family.
    pub labels: &'static [(&'static str, &'static str)],
    /// Reads it.
    pub value: fn(&T) -> u64,
}

/// Makes of a table of numbers the struct that a worker writes, the struct of their sums, and their series.
macro_rules! numbers {
    (
        $(#[$doc:meta])* $name:ident, $totals:ident;
        $($field:ident: $kind:ident $shown:ident $family:literal $([$label:literal = $value:literal])?
            $help:literal)*
        $(; $($(#[$list_doc:meta])* $list:ident: $list_type:ty => $sums_type:ty,)*)?
    ) => {
        $(#[$doc])*
        #[derive(Debug, Default)]
        // Two cache lines, which processors fetch together: no two workers write to one of them.
        #[repr(align(128))]
        pub struct $name {
            $(#[doc = $help] pub $field: $kind,)*
            $($($(#[$list_doc])* pub $list: $list_type,)*)?
        }

        #[doc = concat!("Sums over the [`", stringify!($name), "`] of several workers.")]
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct $totals {
            $(#[doc = $help] pub $field: u64,)*
            $($($(#[$list_doc])* pub $list: $sums_type,)*)?
        }

        impl $totals {
            /// Every number in the table, families side by side.
            pub const SERIES: &[Series<$totals>] = &[$(Series {
                family: $family,
                help: $help,
                shown: Shown::$shown,
                labels: &[$(($label, $value))?],
                value: |totals| totals.$field,
            }),*];

            /// Adds the present numbers of one worker.
            pub fn add(&mut self, worker: &$name) {
                $(self.$field = self.$field.wrapping_add(worker.$field.get());)*
                $($(worker.$list.add_to(&mut self.$list);)*)?
            }
        }
    };
}

numbers! {
    /// Everything that one worker counts, apart from limits. It lives as long as the process.
    Counters, Totals;
    connections_accepted: Counter Counter "downstream_connections_total"
        "Connections accepted from clients."
    connections_open: Gauge Gauge "downstream_connections_open"
        "Connections of clients that are open."
    connections_turned_away: Counter Counter "downstream_connections_turned_away_total"
        "Connections closed at once because the worker had as many as it may."
    accepts_failed: Counter Counter "accept_errors_total"
        "How often no connection could be accepted because no file was left; it waits until there is one."
    connections_crowded: Counter Counter "downstream_connections_crowded_total"
        "Connections closed at once because there were as many from their address as there may be."
    handshakes_full: Counter Counter "downstream_handshakes_total" ["result" = "full"]
        "TLS handshakes with clients; turned_away are connections closed at once because too many were under way."
    handshakes_resumed: Counter Counter "downstream_handshakes_total" ["result" = "resumed"]
        "TLS handshakes with clients; turned_away are connections closed at once because too many were under way."
    handshakes_failed: Counter Counter "downstream_handshakes_total" ["result" = "failed"]
        "TLS handshakes with clients; turned_away are connections closed at once because too many were under way."
    handshakes_turned_away: Counter Counter "downstream_handshakes_total" ["result" = "turned_away"]
        "TLS handshakes with clients; turned_away are connections closed at once because too many were under way."
    handshakes_open: Gauge Gauge "downstream_handshakes_open"
        "TLS handshakes with clients that are under way."
    ring_overflows: Counter Counter "ring_overflows_total"
        "Turns of io_uring that brought more completions than its queue has room for; they came with the next turn."
    connections_panicked: Counter Counter "connection_panics_total"
        "Connections ended by a fault in tollgate; the worker lives on."
    requests_in_flight: Gauge Gauge "requests_in_flight"
        "Requests that are not answered to the end."
    requests_crowded: Counter Counter "requests_crowded_total"
        "Requests given up because the worker held as many bytes as it may."
    shed_sheddable: Counter Counter "requests_shed_total" ["priority" = "sheddable"]
        "Requests given up because there were too many or the worker was too far behind."
    shed_standard: Counter Counter "requests_shed_total" ["priority" = "standard"]
        "Requests given up because there were too many or the worker was too far behind."
    shed_critical: Counter Counter "requests_shed_total" ["priority" = "critical"]
        "Requests given up because there were too many or the worker was too far behind."
    pressure: Gauge Gauge "pressure_steps"
        "How much is given up, 0 to 15 of each worker: 4 is all that is sheddable, each one above a twelfth of what is standard."
    held_bytes: Gauge Gauge "held_bytes"
        "Bytes of bodies, events and windows that exchanges hold."
    downstream_bytes_in: Counter Counter "downstream_received_bytes_total"
        "Bytes received from clients."
    downstream_bytes_out: Counter Counter "downstream_sent_bytes_total"
        "Bytes sent to clients."
    upstream_bytes_in: Counter Counter "upstream_received_bytes_total"
        "Bytes received from providers."
    upstream_bytes_out: Counter Counter "upstream_sent_bytes_total"
        "Bytes sent to providers."
    upstream_connects: Counter Counter "upstream_connects_total"
        "Connections opened to providers."
    upstream_reuses: Counter Counter "upstream_reuses_total"
        "Requests sent on a connection that had served one before."
    upstream_failures: Counter Counter "upstream_failures_total"
        "Attempts at a provider that ended without a whole answer."
    retries: Counter Counter "retries_total"
        "Attempts after the first of a request."
    mirrors_answered: Counter Counter "mirrors_total" ["result" = "answered"]
        "Copies of requests for RequestMirror; skipped were those for which there was no room."
    mirrors_failed: Counter Counter "mirrors_total" ["result" = "failed"]
        "Copies of requests for RequestMirror; skipped were those for which there was no room."
    mirrors_skipped: Counter Counter "mirrors_total" ["result" = "skipped"]
        "Copies of requests for RequestMirror; skipped were those for which there was no room."
    mirrors_open: Gauge Gauge "mirrors_open"
        "Copies of requests in the making or under way."
    tokens_input: Counter Counter "tokens_total" ["kind" = "input"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    tokens_cached_input: Counter Counter "tokens_total" ["kind" = "cached_input"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    tokens_cache_write: Counter Counter "tokens_total" ["kind" = "cache_write"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    tokens_output: Counter Counter "tokens_total" ["kind" = "output"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    tokens_reasoning: Counter Counter "tokens_total" ["kind" = "reasoning"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    tokens_cache_write_1h: Counter Counter "tokens_total" ["kind" = "cache_write_1h"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    tokens_audio_input: Counter Counter "tokens_total" ["kind" = "audio_input"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    tokens_audio_output: Counter Counter "tokens_total" ["kind" = "audio_output"]
        "Tokens settled; cached_input, cache_write, cache_write_1h and audio_input are parts of input, the others of output."
    cost_nano_usd: Counter Dollars "cost_usd_total"
        "Cost of settled tokens by the configured prices, in USD."
    usage_missing: Counter Counter "usage_missing_total"
        "Answers whose provider reported no usage, so that tollgate's own count was settled."
    usage_lost_fields: Counter Counter "usage_lost_fields_total"
        "Usage fields that were there but could not be read."
    answers_coded: Counter Counter "coded_answers_total" ["coding" = "known"]
        "Answers that providers compressed although they were asked not to; of unknown codings, usage cannot be read."
    answers_coded_unknown: Counter Counter "coded_answers_total" ["coding" = "unknown"]
        "Answers that providers compressed although they were asked not to; of unknown codings, usage cannot be read."
    answers_undecoded: Counter Counter "coded_answers_malformed_total"
        "Compressed answers that could not be decoded to their end."
    streams_cut: Counter Counter "streams_cut_total"
        "Streams ended early because a limit was exhausted."
    reservations_expired: Counter Counter "limit_reservations_expired_total"
        "Reservations that nobody settled and that freed themselves; each is a fault in tollgate."
    reservations_open: Gauge Gauge "limit_reservations_open"
        "Reservations that are not settled."
    records_dropped: Counter Counter "records_dropped_total"
        "Access records lost because the coordinator did not keep up.";
    /// Answered requests by status: see [`STATUSES`].
    statuses: Statuses => [u64; STATUSES.len()],
    /// Ended exchanges by outcome, in the order of [`Outcome::ALL`].
    outcomes: Outcomes => [u64; Outcome::ALL.len()],
    /// Requests whose model has no price: see [`PAID`].
    unpriced: Unpriced => [u64; PAID.len()],
    /// Requests that were not let in: see [`DENIALS`].
    denials: Denials => [u64; DENIALS.len()],
    /// What translated requests lost: see [`LOSSES`].
    lost: Lost => LostTotals,
    /// Looks of guards: see [`GuardChecks`].
    guard_checks: GuardChecks => [u64; GUARDS.len() * PHASES.len() * CHECKS.len()],
    /// Sizes of input, output, cached input and cache write per answer: see [`TOKEN_TYPES`].
    token_sizes: TokenSizes => [SizeTotals; TOKEN_TYPES.len()],
    /// Which configuration the worker serves, counted from 1; in sums, the oldest that is still served.
    config_generation: Generation => Option<u64>,
}

numbers! {
    /// What one worker counts of one limit. A snapshot of the configuration has one per rule and worker;
    /// before it goes, whoever holds the sums adds its last numbers to those of the rule of the same name.
    LimitCounters, LimitTotals;
    admitted: Counter Counter "limit_admitted_total"
        "Requests that the limit admitted."
    refused: Counter Counter "limit_refused_total"
        "Requests that the limit refused."
    shadow_refused: Counter Counter "limit_shadow_refused_total"
        "Requests that a limit in shadow mode would have refused."
    reserved: Counter Counter "limit_reserved_total"
        "Credit taken before requests went upstream, in the limit's unit."
    settled: Counter Counter "limit_settled_total"
        "Credit really spent, in the limit's unit."
    refunded: Counter Counter "limit_refunded_total"
        "Credit reserved, not spent and given back, in the limit's unit."
    overspent: Counter Counter "limit_overspent_total"
        "Credit spent beyond what was reserved, in the limit's unit."
    reported: Counter Counter "limit_reported_total"
        "Credit settled by what providers reported, in the limit's unit."
    counted: Counter Counter "limit_counted_total"
        "Credit settled by tollgate's own count, where no usage was reported, in the limit's unit."
    leased: Counter Counter "limit_leased_total"
        "Credit moved into leases of workers, in the limit's unit."
    debt: Gauge Gauge "limit_debt"
        "Overspent credit that the next refill pays back first, in the limit's unit."
    accounts: Gauge Gauge "limit_accounts"
        "Key values that have an account."
}

/// Tokens of one answer, as settled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UsageCounts {
    /// All input, cached input and cache write included.
    pub input: Tokens,
    /// The part of `input` read from the provider's cache.
    pub cached_input: Tokens,
    /// The part of `input` written to the provider's cache.
    pub cache_write: Tokens,
    /// All output, reasoning included.
    pub output: Tokens,
    /// The part of `output` that is reasoning.
    pub reasoning: Tokens,
    /// The part of `cache_write` that is to stay for an hour.
    pub cache_write_1h: Tokens,
    /// The part of `input` that is audio.
    pub audio_input: Tokens,
    /// The part of `output` that is audio.
    pub audio_output: Tokens,
}

impl UsageCounts {
    /// No tokens.
    pub const fn none() -> UsageCounts {
        UsageCounts {
            input: 0,
            cached_input: 0,
            cache_write: 0,
            output: 0,
            reasoning: 0,
            cache_write_1h: 0,
            audio_input: 0,
            audio_output: 0,
        }
    }
}

impl Counters {
    /// Counts the usage of one answer and its cost in nano-dollars.
    pub fn count_usage(&self, usage: &UsageCounts, cost_nano_usd: u64) {
        self.tokens_input.add(usage.input);
        self.tokens_cached_input.add(usage.cached_input);
        self.tokens_cache_write.add(usage.cache_write);
        self.tokens_output.add(usage.output);
        self.tokens_reasoning.add(usage.reasoning);
        self.tokens_cache_write_1h.add(usage.cache_write_1h);
        self.tokens_audio_input.add(usage.audio_input);
        self.tokens_audio_output.add(usage.audio_output);
        self.cost_nano_usd.add(cost_nano_usd);
        self.token_sizes.count([usage.input, usage.output, usage.cached_input, usage.cache_write]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn totals_are_sums_over_workers() {
        let workers = [Counters::default(), Counters::default()];
        for (worker, generation) in workers.iter().zip([3, 2]) {
            worker.connections_accepted.add(2);
            worker.connections_open.add(2);
            worker.connections_open.sub(1);
            worker.config_generation.set(generation);
            worker.outcomes.count(Outcome::Refused);
        }
        workers[0].statuses.count(429);
        let mut totals = Totals::default();
        workers.iter().for_each(|worker| totals.add(worker));
        assert_eq!((totals.connections_accepted, totals.connections_open), (4, 2));
        assert_eq!(totals.config_generation, Some(2), "the oldest that is served");
        assert_eq!(totals.outcomes[Outcome::Refused as usize], 2);
        assert_eq!(totals.statuses.iter().sum::<u64>(), 1);
    }

    #[test]
    fn usage_is_counted_by_kind_and_by_size() {
        let counters = Counters::default();
        let usage = UsageCounts {
            input: 100,
            cached_input: 60,
            cache_write: 10,
            output: 7,
            reasoning: 3,
            cache_write_1h: 4,
            audio_input: 5,
            audio_output: 2,
        };
        counters.count_usage(&usage, 1_500);
        let mut totals = Totals::default();
        totals.add(&counters);
        let kinds = [totals.tokens_input, totals.tokens_cached_input, totals.tokens_cache_write];
        assert_eq!(kinds, [100, 60, 10]);
        assert_eq!((totals.tokens_output, totals.tokens_reasoning, totals.cost_nano_usd), (7, 3, 1_500));
        let parts = [totals.tokens_cache_write_1h, totals.tokens_audio_input, totals.tokens_audio_output];
        assert_eq!(parts, [4, 5, 2]);
        assert_eq!(totals.token_sizes.map(|sizes| sizes.sum), [100, 7, 60, 10]);
    }
}
