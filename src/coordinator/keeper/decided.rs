//! What operators have decided, on the disk: one entry of an account, present only where it says something.

use crate::base::Moment;
use crate::coordinator::store::{Control, Entry, Recovered, Store};
use crate::limit::{Accounts, RuleSet};
use crate::mail::ControlChange;

/// The kind of the entry that holds all that is decided of an account.
const DECIDED: u8 = 0;

/// Writes a decision; it replaces what was decided before.
pub(super) fn append(store: &mut Store, change: &ControlChange) {
    let ControlChange { account, unix_ms, by, .. } = change;
    let (account, kind, unix_ms, text) = (*account, DECIDED, *unix_ms, change.text());
    store.append(&[match change.is_to_keep() {
        true => Entry::Control { account, kind, amount: 0, unix_ms, text: &text, by },
        false => Entry::Withdraw { account, kind },
    }]);
}

/// Follows every decision that was written. One whose rule is not in force holds when the rule comes back.
pub(super) fn take_up(recovered: &Recovered, rules: &RuleSet, accounts: &Accounts, now: Moment) {
    for control in recovered.controls.iter().filter(|control| control.kind == DECIDED) {
        let Control { account, text, by, unix_ms, .. } = control;
        if let Some(change) = ControlChange::of_text(*account, text, by, *unix_ms) {
            change.follow(rules, accounts, now);
        }
    }
}
