//! What the store remembers of accounts, and how they go on from it.

use crate::base::Moment;
use crate::coordinator::store::{self, Figure, Known, Recovered};
use crate::limit::{Accounts, Measure, RuleSet, Terms, Wanted};
use std::time::Duration;

/// The name by which the store knows a rule. A rule that counts something else is another one.
pub(super) fn rule_text(terms: &Terms) -> String {
    format!("{}:{}", terms.unit.name(), terms.rule)
}

/// Opens every account that is remembered and whose rule is in force, with what is known to be used.
///
/// Accounts of rules that are not in force stay in the store: the rule may come back.
pub(super) fn take_up(recovered: &Recovered, rules: &RuleSet, accounts: &Accounts, now: Moment) {
    if let Some(damaged_ms) = recovered.damaged_ms {
        accounts.distrust(damaged_ms);
    }
    for known in &recovered.accounts {
        let name = known.rule.split_once(':').map_or("", |(_, name)| name);
        let Some((rule, ready)) = rules.named(name) else { continue };
        let wanted = Wanted { rules, rule, key: known.id ^ ready.salt };
        let terms = accounts.terms_of(&wanted);
        if rule_text(&terms) != *known.rule {
            continue;
        }
        let (used, ago) =
            used_now(&terms, known, now, &|figure, from_ms| recovered.is_unsure(figure, from_ms));
        if used > 0 {
            let account = accounts.find(&wanted, &|| known.label.to_string(), now);
            account.restore(used, ago, now);
        }
    }
}

/// Units that count as used, and how long ago they did.
fn used_now(
    terms: &Terms,
    known: &store::Account,
    now: Moment,
    is_unsure: &dyn Fn(Option<&Figure>, i64) -> bool,
) -> (u64, Duration) {
    let Some(window) = terms.window_at(now) else {
        let of_moment = |figure: &Figure| match figure.known {
            Known::Spent { units, unix_ms } => (u64::try_from(units).unwrap_or(0), since(unix_ms, now)),
            Known::Ceiling(units) => (units, Duration::ZERO),
        };
        let figure = known.figures.iter().max_by_key(|figure| match figure.known {
            Known::Spent { unix_ms, .. } => unix_ms,
            Known::Ceiling(_) => i64::MAX,
        });
        return match (&terms.measure, figure.map(of_moment)) {
            // An interval that has passed holds nothing of it.
            (Measure::Sliding { length, .. }, Some((_, ago))) if ago >= *length => (0, ago),
            (Measure::Concurrent { .. }, _) | (_, None) => (0, Duration::ZERO),
            (_, Some(used)) => used,
        };
    };
    let newest = known.figures.iter().filter(|figure| figure.window <= window.index);
    let newest = newest.max_by_key(|figure| figure.window);
    let here = newest.filter(|figure| figure.window == window.index);
    let used = newest.map_or(0, |figure| {
        let units = match figure.known {
            Known::Ceiling(units) => units,
            Known::Spent { units, .. } => u64::try_from(units).unwrap_or(0),
        };
        // What was spent beyond earlier windows' budgets is debt, and each window since has paid its budget.
        let windows = u64::try_from(window.index - figure.window).unwrap_or(0);
        units.saturating_sub(terms.capacity().saturating_mul(windows))
    });
    let least = if is_unsure(here, window.from_ms) { terms.capacity() } else { 0 };
    (used.max(least), Duration::ZERO)
}

fn since(unix_ms: i64, now: Moment) -> Duration {
    Duration::from_millis(u64::try_from(now.unix_ms.saturating_sub(unix_ms)).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Tick;
    use crate::limit::{Every, Rate, Unit, Zone};

    const NOW: Moment = Moment { tick: Tick(3_600_000_000_000), unix_ms: 100 * 86_400_000 + 5_000 };

    fn known(figures: &[(i64, Known)]) -> store::Account {
        let certain =
            |(window, known): &(i64, Known)| Figure { window: *window, known: *known, certain: true };
        store::Account {
            id: 7,
            rule: "tokens:a".into(),
            label: "".into(),
            figures: figures.iter().map(certain).collect(),
        }
    }

    #[test]
    fn budgets_go_on_in_their_window_and_debt_goes_into_the_next() {
        let measure = Measure::Calendar { budget: 100, every: Every::Day, zone: Zone::utc() };
        let terms = Terms::new(&"a".into(), Unit::Tokens, &measure);
        let spent = |units| Known::Spent { units, unix_ms: 0 };
        for (figures, used) in [
            (&[][..], 0),
            (&[(100, Known::Ceiling(30))], 30),
            (&[(100, spent(30))], 30),
            (&[(100, spent(170))], 170),
            (&[(99, spent(99))], 0),
            (&[(99, spent(170))], 70),
            (&[(98, spent(170))], 0),
            (&[(98, spent(270))], 70),
            (&[(99, spent(170)), (100, Known::Ceiling(80))], 80),
            (&[(101, spent(50))], 0), // a clock that went back
        ] {
            let account = known(figures);
            assert_eq!(used_now(&terms, &account, NOW, &|_, _| false).0, used, "{figures:?}");
            let unsure = used_now(&terms, &account, NOW, &|figure, _| figure.is_none()).0;
            let listed = figures.iter().any(|(window, _)| *window == 100);
            assert_eq!(unsure, if listed { used } else { 100 }, "{figures:?}");
        }
    }

    #[test]
    fn shorter_limits_go_on_from_when_they_were_written_down() {
        let spent = |units, ago| Known::Spent { units, unix_ms: NOW.unix_ms - ago };
        let rate = Rate { per_fill: 1, fill: Duration::from_secs(1) };
        let bucket = Measure::Bucket { capacity: 50, rate };
        let sliding = Measure::Sliding { budget: 50, length: Duration::from_secs(60) };
        for (measure, figure, expected) in [
            (&bucket, spent(30, 5_000), (30, 5)),
            (&bucket, spent(-3, 5_000), (0, 5)),
            (&bucket, spent(30, -5_000), (30, 0)),
            (&sliding, spent(30, 59_000), (30, 59)),
            (&sliding, spent(30, 60_000), (0, 60)),
            (&Measure::Concurrent { max: 5 }, spent(3, 1_000), (0, 0)),
        ] {
            let terms = Terms::new(&"a".into(), Unit::Tokens, measure);
            let (used, ago) = used_now(&terms, &known(&[(0, figure)]), NOW, &|_, _| true);
            assert_eq!((used, ago.as_secs()), expected, "{measure:?} {figure:?}");
        }
    }
}
