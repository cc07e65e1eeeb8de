//! What the store remembers of accounts, and how they go on from it.

use crate::base::Moment;
use crate::coordinator::store::{self, Figure, Known, Recovered, SlotFigure};
use crate::limit::{Accounts, Measure, RuleSet, Slot, Terms, Wanted};
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
        if let Measure::Sliding { length, .. } = terms.measure {
            let slots = slots_now(&terms, length, known, recovered.damaged_ms, now);
            if slots.iter().any(|slot| is_young(slot, length, now)) {
                accounts.find(&wanted, &|| known.label.to_string(), now).restore_slots(&slots, now);
            }
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

/// What counts as spent of a sliding budget. When something was found damaged, all of the budget counts as spent then:
/// what the newest records of any slot said may have been among it. It is in that slot from then on, so that the next
/// restart finds it there.
fn slots_now(
    terms: &Terms,
    length: Duration,
    known: &store::Account,
    damaged_ms: Option<i64>,
    now: Moment,
) -> Vec<Slot> {
    let slot = |slot: &SlotFigure| Slot { until_ns: slot.until_ns, units: slot.units };
    let mut slots: Vec<Slot> = known.slots.iter().map(slot).collect();
    if slots.is_empty() {
        // The first form of journals had one figure for all.
        slots.extend(known.figures.iter().map(|figure| match figure.known {
            Known::Spent { units, unix_ms } => Slot::at(unix_ms, u64::try_from(units).unwrap_or(0)),
            // It was a budget of a calendar, of which nobody says when it was spent.
            Known::Ceiling(units) => Slot::at(now.unix_ms, units),
        }));
    }
    let slot_ns = i64::try_from(length.as_nanos().div_ceil(60)).unwrap_or(i64::MAX);
    let holds = |slot: &Slot, at: Slot| slot.until_ns >= at.until_ns && slot.until_ns - slot_ns < at.until_ns;
    if let Some(at) = damaged_ms.map(|at_ms| Slot::at(at_ms, 0)).filter(|_| terms.measure.is_durable()) {
        let there =
            slots.iter().filter(|slot| holds(slot, at)).fold(0u64, |sum, it| sum.saturating_add(it.units));
        slots.push(Slot { units: terms.capacity().saturating_sub(there), ..at });
    }
    slots
}

/// Whether something of it has not become old.
fn is_young(slot: &Slot, length: Duration, now: Moment) -> bool {
    let length = i64::try_from(length.as_nanos()).unwrap_or(i64::MAX);
    // As long again as a slot's time, which is a sixtieth.
    let old = slot.until_ns.saturating_add(length).saturating_add(length / 60);
    slot.units > 0 && old > now.unix_ms.saturating_mul(1_000_000)
}

/// Units that count as used, and how long ago they did. Not of sliding budgets.
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

    const HOUR: Duration = Duration::from_secs(3600);
    const NOW: Moment = Moment { tick: Tick(3_600_000_000_000), unix_ms: 100 * 86_400_000 + 5_000 };

    fn known(figures: &[(i64, Known)]) -> store::Account {
        let certain =
            |(window, known): &(i64, Known)| Figure { window: *window, known: *known, certain: true };
        store::Account {
            id: 7,
            rule: "tokens:a".into(),
            label: "".into(),
            figures: figures.iter().map(certain).collect(),
            slots: Vec::new(),
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
    fn sliding_budgets_go_on_in_their_slots_and_what_may_be_missing_counts_as_spent() {
        let measure = Measure::Sliding { budget: 100, length: HOUR };
        let terms = Terms::new(&"a".into(), Unit::Tokens, &measure);
        let ns = |ms: i64| NOW.unix_ms * 1_000_000 - ms * 1_000_000;
        // When a slot ended or damage was found, in milliseconds before now; units. A slot is of a minute.
        for (slots, damage, expected) in [
            (&[][..], None, &[][..]),
            (&[(90_000, 30), (30_000, 20)], None, &[(90_000, 30), (30_000, 20)]),
            // Whatever the records behind the damage say, those before it are not known.
            (&[(90_000, 30), (30_000, 20)], Some(50_000), &[(90_000, 30), (30_000, 20), (50_000, 80)]),
            (&[(120_000, 70), (3000, 70)], Some(90_000), &[(120_000, 70), (3000, 70), (90_000, 100)]),
            // It was charged at an earlier restart.
            (&[(30_000, 100), (3000, 9)], Some(50_000), &[(30_000, 100), (3000, 9), (50_000, 0)]),
            (&[], Some(50_000), &[(50_000, 100)]),
        ] {
            let figure =
                |(ms, units): &(i64, u64)| SlotFigure { until_ns: ns(*ms), units: *units, certain: true };
            let known = store::Account { slots: slots.iter().map(figure).collect(), ..known(&[]) };
            let found = slots_now(&terms, HOUR, &known, damage.map(|ms| NOW.unix_ms - ms), NOW);
            let of_damage = |ms: i64| i64::from(damage == Some(ms));
            let slot = |(ms, units): &(i64, u64)| Slot { until_ns: ns(*ms) + of_damage(*ms), units: *units };
            assert_eq!(found, expected.iter().map(slot).collect::<Vec<_>>(), "{slots:?} {damage:?}");
        }
        // A journal of the first form.
        let old = known(&[(0, Known::Spent { units: 30, unix_ms: 7 })]);
        assert_eq!(slots_now(&terms, HOUR, &old, None, NOW), [Slot::at(7, 30)]);
        // A rule that was a calendar's.
        let ceiling = known(&[(5, Known::Ceiling(30))]);
        assert_eq!(slots_now(&terms, HOUR, &ceiling, None, NOW), [Slot::at(NOW.unix_ms, 30)]);
        for (ms, is_it) in [(0, true), (3_600_000, true), (3_659_999, true), (3_660_000, false)] {
            let slot = Slot { until_ns: ns(ms), units: 1 };
            assert_eq!(is_young(&slot, Duration::from_secs(3600), NOW), is_it, "{ms}");
        }
    }

    #[test]
    fn shorter_limits_go_on_from_when_they_were_written_down() {
        let spent = |units, ago| Known::Spent { units, unix_ms: NOW.unix_ms - ago };
        let rate = Rate { per_fill: 1, fill: Duration::from_secs(1) };
        let bucket = Measure::Bucket { capacity: 50, rate };
        for (measure, figure, expected) in [
            (&bucket, spent(30, 5_000), (30, 5)),
            (&bucket, spent(-3, 5_000), (0, 5)),
            (&bucket, spent(30, -5_000), (30, 0)),
            (&Measure::Concurrent { max: 5 }, spent(3, 1_000), (0, 0)),
        ] {
            let terms = Terms::new(&"a".into(), Unit::Tokens, measure);
            let (used, ago) = used_now(&terms, &known(&[(0, figure)]), NOW, &|_, _| true);
            assert_eq!((used, ago.as_secs()), expected, "{measure:?} {figure:?}");
        }
    }
}
