//! What operators have decided, on the disk: two entries of an account, each present only where it says something.

use crate::base::Moment;
use crate::coordinator::store::{Entry, Recovered, Store};
use crate::limit::{Accounts, RuleSet};
use crate::mail::{ControlChange, measure_of, measure_text};
use std::collections::BTreeMap;

/// All its requests are refused.
const BLOCKED: u8 = 0;
/// It has a measure of its own.
const MEASURE: u8 = 1;

/// Writes a decision; the entries replace what was decided before.
pub(super) fn append(store: &mut Store, change: &ControlChange) {
    let ControlChange { account, unix_ms, by, .. } = change;
    let name = format!("{}\n{}", change.rule, change.label);
    let measure = change.measure.as_ref().map(|measure| format!("{name}\n{}", measure_text(measure)));
    let blocked = change.blocked.then_some(&*name);
    for (kind, text) in [(BLOCKED, blocked), (MEASURE, measure.as_deref())] {
        store.append(&[match text {
            Some(text) => Entry::Control { account: *account, kind, amount: 0, unix_ms: *unix_ms, text, by },
            None => Entry::Withdraw { account: *account, kind },
        }]);
    }
}

/// Follows every decision that was written, where its rule is in force.
pub(super) fn take_up(recovered: &Recovered, rules: &RuleSet, accounts: &Accounts, now: Moment) {
    let mut changes = BTreeMap::<u128, ControlChange>::new();
    for control in &recovered.controls {
        let mut lines = control.text.splitn(3, '\n');
        let (rule, label) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
        let change = changes.entry(control.account).or_insert_with(|| ControlChange {
            account: control.account,
            rule: rule.into(),
            label: label.to_owned(),
            blocked: false,
            measure: None,
            by: control.by.clone(),
            unix_ms: control.unix_ms,
        });
        match control.kind {
            BLOCKED => change.blocked = true,
            MEASURE => change.measure = lines.next().and_then(measure_of),
            _ => {} // of a newer version
        }
    }
    for change in changes.values() {
        // A rule that is not in force has no accounts; its decisions stay on the disk.
        change.follow(rules, accounts, now);
    }
}
