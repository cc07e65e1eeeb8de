//! `/metrics`: the sums over all desks, as the telemetry room renders them.

use super::issuers::standings;
use crate::base::Moment;
use crate::limit::Tally;
use crate::mail::{Board, InForce};
use crate::telemetry::{
    Keeping, LatencySeries, LimitSeries, LimitTotals, SourceSeries, Totals, View, render,
};

/// The page. What workers have handed over of their latencies is taken into the sums first, so that the page
/// is as new as it can be.
pub(super) fn page(board: &Board, now: Moment, version: &str) -> Vec<u8> {
    let mut totals = Totals::default();
    board.desks.iter().for_each(|desk| totals.add(&desk.counters));
    let generations: Vec<u64> =
        board.desks.iter().map(|desk| desk.counters.config_generation.get()).collect();
    let in_force = board.in_force();
    let tallies = board.accounts.tally(now);
    let rules = || in_force.rules.rules.iter().map(|ready| &ready.rule);
    let tally = |name| tallies.get(name).copied().unwrap_or_default();
    let sums: Vec<LimitTotals> =
        rules().enumerate().map(|(place, rule)| limit(&in_force, place, tally(&rule.name))).collect();
    let series = rules().zip(&sums).map(|(rule, totals)| LimitSeries {
        rule: &rule.name,
        unit: rule.unit.name(),
        totals,
    });
    let standings = standings(board, &in_force, now);
    let sources = standings.iter().map(|source| SourceSeries {
        name: &source.source,
        keys: source.keys,
        age_ms: source.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        failures: source.failures,
    });
    board.collect_latencies();
    let latencies = board.latencies().clone(); // the lock is held for this copy only
    let mut out = Vec::with_capacity(32 << 10);
    render(
        &View {
            version,
            totals: &totals,
            generations: &generations,
            limits: &series.collect::<Vec<_>>(),
            estimates: &board.estimates(),
            keeping: Keeping {
                accounts: board.accounts.len() as u64,
                crowded: board.accounts.crowded(),
                stored: board.health.is_stored(),
                records_lost: board.health.records_lost(),
            },
            sources: &sources.collect::<Vec<_>>(),
            // Workers measure all routes and providers together, so there is no label to give.
            latencies: &[LatencySeries { labels: &[], latencies: &latencies }],
        },
        &mut out,
    );
    out
}

/// The sums of one limit, by its place, over all workers; debt and the number of accounts as they stand now.
fn limit(in_force: &InForce, place: usize, tally: Tally) -> LimitTotals {
    let mut sums = LimitTotals::default();
    in_force.limit_counters.iter().filter_map(|worker| worker.get(place)).for_each(|one| sums.add(one));
    LimitTotals { debt: tally.debt, accounts: tally.accounts, ..sums }
}
