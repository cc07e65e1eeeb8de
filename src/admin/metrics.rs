//! `/metrics`: the sums over all desks, as the telemetry room renders them.

use crate::base::Tick;
use crate::limit::Account;
use crate::mail::{Board, InForce};
use crate::telemetry::{LatencySeries, LimitSeries, LimitTotals, Totals, View, render};

/// The page. What workers have handed over of their latencies is taken into the sums first, so that the page
/// is as new as it can be.
pub(super) fn page(board: &Board, now: Tick, version: &str) -> Vec<u8> {
    let mut totals = Totals::default();
    board.desks.iter().for_each(|desk| totals.add(&desk.counters));
    let generations: Vec<u64> =
        board.desks.iter().map(|desk| desk.counters.config_generation.get()).collect();
    let in_force = board.in_force();
    let accounts = || in_force.accounts.iter();
    let sums: Vec<LimitTotals> =
        accounts().enumerate().map(|(place, account)| limit(&in_force, place, account, now)).collect();
    let series = accounts().map(|account| account.rule()).zip(&sums).map(|(rule, totals)| LimitSeries {
        rule: &rule.name,
        unit: rule.unit.name(),
        totals,
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
            // Workers measure all routes and providers together, so there is no label to give.
            latencies: &[LatencySeries { labels: &[], latencies: &latencies }],
        },
        &mut out,
    );
    out
}

/// The sums of one limit, by its place, over all workers.
///
/// `debt` is what the account owes now; the gauge of a worker is as old as its last settlement.
fn limit(in_force: &InForce, place: usize, account: &Account, now: Tick) -> LimitTotals {
    let mut sums = LimitTotals::default();
    in_force.limit_counters.iter().filter_map(|worker| worker.get(place)).for_each(|one| sums.add(one));
    let owed = account.bucket().balance(now).saturating_neg();
    LimitTotals { debt: u64::try_from(owed).unwrap_or(0), accounts: 1, ..sums }
}
