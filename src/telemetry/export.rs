//! The families that tollgate shows to Prometheus.
//!
//! Names begin with `tollgate_`, but for the `gen_ai_*` families, whose names, labels and buckets are those
//! that dashboards for LLM gateways know.

use super::counters::{LimitTotals, Series, Shown, Totals};
use super::estimates::{Estimates, InputEstimate, OutputEstimate};
use super::histogram::{
    Buckets, CONNECT_BOUNDS_US, FIRST_TOKEN_BOUNDS_US, Latencies, Latency, PER_OUTPUT_TOKEN_BOUNDS_US,
    PROCESSING_BOUNDS_US, REQUEST_BOUNDS_US,
};
use super::lists::{DENIALS, LOSSES, PAID, STATUSES, SizeTotals, TOKEN_TYPES, check_labels};
use super::prometheus::{Exposition, Family, Kind, Labels};
use super::record::Outcome;

/// All that is shown at one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The version of the running program.
    pub version: &'a str,
    /// Sums over all workers.
    pub totals: &'a Totals,
    /// The configuration that each worker serves, by worker.
    pub generations: &'a [u64],
    /// Every limit.
    pub limits: &'a [LimitSeries<'a>],
    /// What workers have learned, added.
    pub estimates: &'a Estimates,
    /// How accounts are kept.
    pub keeping: Keeping,
    /// Every source of issuers' keys.
    pub sources: &'a [SourceSeries<'a>],
    /// Latencies merged from all workers; each entry has labels of its own.
    pub latencies: &'a [LatencySeries<'a>],
}

/// How accounts are kept.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keeping {
    /// Accounts of all limits.
    pub accounts: u64,
    /// How often a key had to share an account because there were as many as there may be.
    pub crowded: u64,
    /// Whether the disk takes balances, as far as it is to.
    pub stored: bool,
    /// Access records that their sink did not take.
    pub records_lost: u64,
}

/// One limit's sums.
#[derive(Clone, Copy, Debug)]
pub struct LimitSeries<'a> {
    /// The rule's name; no two have the same.
    pub rule: &'a str,
    /// What the rule counts: `requests`, `tokens`, ...
    pub unit: &'a str,
    /// Its numbers.
    pub totals: &'a LimitTotals,
}

/// A source of the keys of issuers of tokens.
#[derive(Clone, Copy, Debug)]
pub struct SourceSeries<'a> {
    /// What it is called; no two are called the same.
    pub name: &'a str,
    /// Its keys that are in use.
    pub keys: u64,
    /// Milliseconds since it was last read or answered well; `None` before that, and of keys that are written down.
    pub age_ms: Option<u64>,
    /// How often it could not be read or did not answer well.
    pub failures: u64,
}

/// The latencies of one set of labels.
#[derive(Clone, Copy, Debug)]
pub struct LatencySeries<'a> {
    /// For instance `gen_ai_operation_name`, `gen_ai_system`, `gen_ai_request_model`, `route`.
    pub labels: Labels<'a>,
    /// The latencies.
    pub latencies: &'a Latencies,
}

/// Appends `view` to `out` in the text exposition format.
pub fn render(view: &View<'_>, out: &mut Vec<u8>) {
    let mut exposition = Exposition::new(out);
    let help = "The running program; always 1.";
    exposition.family("tollgate_build_info", Kind::Gauge, help).sample(&[("version", view.version)], 1);
    generations(view, &mut exposition);
    requests(view.totals, &mut exposition);
    each_family(Totals::SERIES, &mut exposition, |series, family| {
        show(family, series.labels, series.shown, (series.value)(view.totals));
    });
    each_family(LimitTotals::SERIES, &mut exposition, |series, family| {
        for limit in view.limits {
            let labels = [("rule", limit.rule), ("unit", limit.unit)];
            show(family, &labels, series.shown, (series.value)(limit.totals));
        }
    });
    drift(view.limits, &mut exposition);
    keeping(&view.keeping, &mut exposition);
    sources(view.sources, &mut exposition);
    estimates(view.estimates, &mut exposition);
    gen_ai_usage(view.totals, &mut exposition);
    latencies(view.latencies, &mut exposition);
}

/// Writes the families of `table` one after the other, `samples` those of each of its series.
fn each_family<T>(
    table: &[Series<T>],
    exposition: &mut Exposition<'_>,
    samples: impl Fn(&Series<T>, &mut Family<'_>),
) {
    for group in table.chunk_by(|one, next| one.family == next.family) {
        let Some(first) = group.first() else { continue };
        let kind = if first.shown == Shown::Gauge { Kind::Gauge } else { Kind::Counter };
        let name = format!("tollgate_{}", first.family);
        let mut family = exposition.family(&name, kind, first.help);
        group.iter().for_each(|series| samples(series, &mut family));
    }
}

fn show(family: &mut Family<'_>, labels: Labels<'_>, shown: Shown, value: u64) {
    let decimals = if shown == Shown::Dollars { 9 } else { 0 };
    family.decimal(labels, value, decimals);
}

fn generations(view: &View<'_>, exposition: &mut Exposition<'_>) {
    let help = "The configuration that a worker serves, counted from 1.";
    let mut family = exposition.family("tollgate_config_generation", Kind::Gauge, help);
    for (worker, generation) in view.generations.iter().enumerate() {
        family.sample(&[("worker", &worker.to_string())], *generation);
    }
}

fn requests(totals: &Totals, exposition: &mut Exposition<'_>) {
    let help = "Requests by the status of their answer; 499 means that the client left before it.";
    let mut family = exposition.family("tollgate_requests_total", Kind::Counter, help);
    for (status, count) in STATUSES.iter().zip(&totals.statuses) {
        family.sample(&[("status", status)], *count);
    }
    let help = "Exchanges by the way they ended.";
    let mut family = exposition.family("tollgate_exchanges_total", Kind::Counter, help);
    for (outcome, count) in Outcome::ALL.iter().zip(&totals.outcomes) {
        family.sample(&[("outcome", outcome.name())], *count);
    }
    let help =
        "Requests whose model has no price, by who is paid: counted as free, at the default, or refused.";
    let mut family = exposition.family("tollgate_price_unknown_total", Kind::Counter, help);
    for (vendor, count) in PAID.iter().zip(&totals.unpriced) {
        family.sample(&[("provider", vendor)], *count);
    }
    let help = "Requests that were not let in, by the reason.";
    let mut family = exposition.family("tollgate_denials_total", Kind::Counter, help);
    for (reason, count) in DENIALS.iter().zip(&totals.denials) {
        family.sample(&[("reason", reason)], *count);
    }
    let help = "Things that translated requests asked for and their provider's format cannot say.";
    let mut family = exposition.family("tollgate_translation_lost_total", Kind::Counter, help);
    for (what, count) in LOSSES.iter().zip(&totals.lost.0).filter(|(_, count)| **count > 0) {
        family.sample(&[("what", what)], *count);
    }
    let help = "Looks of guards at requests and answers, by what came of them.";
    let mut family = exposition.family("tollgate_guard_checks_total", Kind::Counter, help);
    for (place, count) in totals.guard_checks.iter().enumerate().filter(|(_, count)| **count > 0) {
        family.sample(&check_labels(place), *count);
    }
}

/// What limits settled and what providers reported of the same requests are counted in two places.
fn drift(limits: &[LimitSeries<'_>], exposition: &mut Exposition<'_>) {
    let help = "Credit settled beyond or below what was reported or counted of the same requests; anything but 0 is \
                a fault in tollgate.";
    let mut family = exposition.family("tollgate_limit_drift", Kind::Gauge, help);
    for limit in limits {
        let LimitTotals { settled, reported, counted, .. } = limit.totals;
        let drift = settled.abs_diff(reported.wrapping_add(*counted));
        family.sample(&[("rule", limit.rule), ("unit", limit.unit)], drift);
    }
}

fn keeping(keeping: &Keeping, exposition: &mut Exposition<'_>) {
    let rows = [
        ("tollgate_accounts", Kind::Gauge, "Accounts of all limits.", keeping.accounts),
        (
            "tollgate_accounts_crowded_total",
            Kind::Counter,
            "How often a key shared an account because there were as many as there may be.",
            keeping.crowded,
        ),
        (
            "tollgate_store_healthy",
            Kind::Gauge,
            "1 while balances that belong on disk can be written there.",
            keeping.stored.into(),
        ),
        (
            "tollgate_records_lost_total",
            Kind::Counter,
            "Access records that could not be written where they go.",
            keeping.records_lost,
        ),
    ];
    for (name, kind, help, value) in rows {
        exposition.family(name, kind, help).sample(&[], value);
    }
}

fn sources(sources: &[SourceSeries<'_>], exposition: &mut Exposition<'_>) {
    let help = "Keys of issuers of tokens that are in use, by where they come from.";
    let mut family = exposition.family("tollgate_issuer_keys", Kind::Gauge, help);
    sources.iter().for_each(|source| family.sample(&[("source", source.name)], source.keys));
    let help =
        "Time since a source of such keys was last read or answered well, in seconds; absent before that.";
    let mut family = exposition.family("tollgate_issuer_keys_age_seconds", Kind::Gauge, help);
    for (source, age) in sources.iter().filter_map(|source| Some((source, source.age_ms?))) {
        family.decimal(&[("source", source.name)], age, 3);
    }
    let help = "How often a source of such keys could not be read or did not answer well.";
    let mut family = exposition.family("tollgate_issuer_keys_failures_total", Kind::Counter, help);
    sources.iter().for_each(|source| family.sample(&[("source", source.name)], source.failures));
}

fn estimates(estimates: &Estimates, exposition: &mut Exposition<'_>) {
    type Input = fn(&InputEstimate) -> u64;
    let inputs: [(&str, Kind, &str, Input); 3] = [
        (
            "tollgate_estimate_input_bytes_per_1000_tokens",
            Kind::Gauge,
            "Bytes of text per 1000 tokens, as learned.",
            |input| input.bytes_per_1000_tokens,
        ),
        (
            "tollgate_estimate_input_samples_total",
            Kind::Counter,
            "Requests whose input was estimated and then reported.",
            |input| input.samples,
        ),
        (
            "tollgate_estimate_input_error_permille_total",
            Kind::Counter,
            "Sum of the relative errors of these estimates, in thousandths of what was reported.",
            |input| input.error_permille_sum,
        ),
    ];
    for (name, kind, help, value) in inputs {
        let mut family = exposition.family(name, kind, help);
        for (model, input) in &estimates.inputs {
            family.sample(&[("model", model)], value(input));
        }
    }
    type Output = fn(&OutputEstimate) -> u64;
    let outputs: [(&str, Kind, &str, Output); 3] = [
        (
            "tollgate_estimate_output_tokens",
            Kind::Gauge,
            "Tokens of output that 95 of 100 answers did not exceed, as learned; 0 while unknown.",
            |output| output.p95,
        ),
        (
            "tollgate_estimate_output_samples_total",
            Kind::Counter,
            "Answers for which there was such an expectation.",
            |output| output.expected,
        ),
        (
            "tollgate_estimate_output_covered_total",
            Kind::Counter,
            "Those of them that were not longer.",
            |output| output.covered,
        ),
    ];
    for (name, kind, help, value) in outputs {
        let mut family = exposition.family(name, kind, help);
        for ((route, model), output) in &estimates.outputs {
            family.sample(&[("route", route), ("model", model)], value(output));
        }
    }
}

fn gen_ai_usage(totals: &Totals, exposition: &mut Exposition<'_>) {
    let help = "Tokens per answer, by type.";
    let mut family = exposition.family("gen_ai_client_token_usage", Kind::Histogram, help);
    for (token_type, sizes) in TOKEN_TYPES.iter().zip(&totals.token_sizes) {
        family.histogram(&[("gen_ai_token_type", token_type)], &size_buckets(sizes));
    }
    let help = "Cost of settled tokens by the configured prices, in USD.";
    let mut family = exposition.family("gen_ai_client_cost_usd_total", Kind::Counter, help);
    show(&mut family, &[], Shown::Dollars, totals.cost_nano_usd);
}

fn size_buckets(sizes: &SizeTotals) -> Buckets {
    let bounds = (0..sizes.counts.len() as u32 - 1).map(|power| 4u64.pow(power)).collect();
    Buckets { bounds, counts: sizes.counts.to_vec(), sum: sizes.sum, decimals: 0 }
}

/// A family of latencies: its name, its help, its bounds, which latency.
type LatencyFamily = (&'static str, &'static str, &'static [u64], fn(&Latencies) -> &Latency);

const LATENCY_FAMILIES: [LatencyFamily; 5] = [
    (
        "gen_ai_server_request_duration",
        "From the first byte of a request to the last of its answer, in seconds.",
        REQUEST_BOUNDS_US,
        |all| &all.request,
    ),
    (
        "gen_ai_server_time_to_first_token",
        "From the first byte of a request to the first content of its answer, in seconds.",
        FIRST_TOKEN_BOUNDS_US,
        |all| &all.first_token,
    ),
    (
        "gen_ai_server_time_per_output_token",
        "Time between tokens of a stream after the first, in seconds.",
        PER_OUTPUT_TOKEN_BOUNDS_US,
        |all| &all.per_output_token,
    ),
    (
        "tollgate_request_processing_seconds",
        "What tollgate itself takes before a request goes upstream.",
        PROCESSING_BOUNDS_US,
        |all| &all.processing,
    ),
    (
        "tollgate_upstream_connect_duration_seconds",
        "Opening a connection to a provider, TLS included.",
        CONNECT_BOUNDS_US,
        |all| &all.upstream_connect,
    ),
];

fn latencies(series: &[LatencySeries<'_>], exposition: &mut Exposition<'_>) {
    for (name, help, bounds, latency) in LATENCY_FAMILIES {
        let mut family = exposition.family(name, Kind::Histogram, help);
        for one in series {
            family.histogram(one.labels, &latency(one.latencies).buckets(bounds));
        }
    }
}
