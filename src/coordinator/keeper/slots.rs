//! Slots of sliding budgets, on the disk: what of them is to be written.

use crate::coordinator::store;
use crate::limit::Slot;

/// What has to be written so that the store knows of `slots`, the earliest first, and of no others, in an order of which
/// every beginning says at least as much as was spent.
///
/// A slot that the account has no more is old, or of a length that it had before: then what was in it is in another one
/// now, which therefore goes first.
pub(super) fn changes(known: Option<&store::Account>, slots: &[Slot]) -> Vec<Slot> {
    let before = |slot: &Slot| known.and_then(|known| known.slot(slot.until_ns));
    let is_known = |slot: &Slot| before(slot).is_some_and(|it| it.certain && it.units == slot.units);
    let is_more = |slot: &Slot| before(slot).is_none_or(|it| it.units <= slot.units);
    let changed = slots.iter().filter(|slot| !is_known(slot)).copied();
    let (mut changes, less): (Vec<Slot>, Vec<Slot>) = changed.partition(is_more);
    let is_gone = |until_ns: i64| slots.binary_search_by_key(&until_ns, |slot| slot.until_ns).is_err();
    let gone = known.into_iter().flat_map(|known| &known.slots).filter(|slot| is_gone(slot.until_ns));
    changes.extend(less);
    changes.extend(gone.map(|slot| Slot { until_ns: slot.until_ns, units: 0 }));
    changes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::store::SlotFigure;

    fn slots(slots: &[(i64, u64)]) -> Vec<Slot> {
        slots.iter().map(|(until_ns, units)| Slot { until_ns: *until_ns, units: *units }).collect()
    }

    #[test]
    fn what_grew_is_written_first_and_what_is_no_more_last() {
        for (known, now, expected) in [
            (&[][..], &[(60, 5), (120, 1)][..], &[(60, 5), (120, 1)][..]),
            (&[(60, 5, true)], &[(60, 5)], &[]),
            (&[(60, 5, false)], &[(60, 5)], &[(60, 5)]),
            (&[(60, 9, true), (120, 8, true)], &[(60, 4), (120, 8), (180, 3)], &[(180, 3), (60, 4)]),
            (&[(60, 9, true), (61, 2, true)], &[(61, 3)], &[(61, 3), (60, 0)]),
            // A longer length: what was in two slots is in one.
            (&[(60, 9, true), (120, 8, true)], &[(1440, 17)], &[(1440, 17), (60, 0), (120, 0)]),
        ] {
            let known = store::Account {
                id: 7,
                rule: "tokens:a".into(),
                label: "".into(),
                figures: Default::default(),
                slots: known
                    .iter()
                    .map(|(until_ns, units, certain)| SlotFigure {
                        until_ns: *until_ns,
                        units: *units,
                        certain: *certain,
                    })
                    .collect(),
            };
            assert_eq!(changes(Some(&known), &slots(now)), slots(expected), "{known:?} {now:?}");
        }
        assert_eq!(changes(None, &slots(&[(60, 5)])), slots(&[(60, 5)]));
    }
}
