//! What a record says by name: routes, backends, and what each limit said.
//!
//! Names are shared with the configuration and are read by another thread than the one that writes them. To count
//! references to them would have every worker and the journal write to one place for every request, so a sheet keeps
//! the names of its last exchange, and the same name again is only looked at.

use arrayvec::ArrayVec;
use std::ops::Deref;
use std::sync::Arc;

/// The most limits that one record tells of.
pub const DECISIONS_MAX: usize = 8;

/// A name, or none.
#[derive(Clone, Debug, Default)]
pub struct Name {
    text: Option<Arc<str>>,
    stands: bool,
}

impl Name {
    /// No name.
    pub const fn none() -> Name {
        Name { text: None, stands: false }
    }

    /// Puts `name` here.
    pub fn write(&mut self, name: &Arc<str>) {
        match &self.text {
            Some(text) if Arc::ptr_eq(text, name) => {}
            _ => self.text = Some(name.clone()),
        }
        self.stands = true;
    }

    /// Takes it away.
    pub fn erase(&mut self) {
        self.stands = false;
    }

    /// What stands here.
    pub fn get(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.stands)
    }
}

/// What one limit said to an exchange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The rule's name.
    pub rule: Arc<str>,
    /// What it said.
    pub verdict: Verdict,
}

/// What a limit said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it counts.
    pub unit: &'static str,
    /// Whether it admitted the request.
    pub admitted: bool,
    /// What was taken before the request went upstream, in `unit`.
    pub reserved: u64,
    /// What was spent, in `unit`.
    pub settled: u64,
    /// The account's balance after settlement, in `unit`; below 0 it is debt.
    pub balance_after: i64,
    /// When refused: after how many milliseconds the same request would have been admitted.
    pub retry_after_ms: u64,
}

/// The decisions of one exchange, in their order; at most [`DECISIONS_MAX`].
#[derive(Clone, Debug, Default)]
pub struct Decisions {
    /// Those of this exchange, then what an earlier one left.
    list: ArrayVec<Decision, DECISIONS_MAX>,
    used: usize,
}

impl Decisions {
    /// No decision.
    pub const fn none() -> Decisions {
        Decisions { list: ArrayVec::new_const(), used: 0 }
    }

    /// Adds what the limit `rule` said; whether there was room.
    pub fn note(&mut self, rule: &Arc<str>, verdict: Verdict) -> bool {
        if let Some(decision) = self.list.get_mut(self.used) {
            decision.verdict = verdict;
            if !Arc::ptr_eq(&decision.rule, rule) {
                decision.rule = rule.clone();
            }
        } else if self.list.try_push(Decision { rule: rule.clone(), verdict }).is_err() {
            return false;
        }
        self.used += 1;
        true
    }

    /// Takes them away.
    pub fn erase(&mut self) {
        self.used = 0;
    }
}

impl Deref for Decisions {
    type Target = [Decision];

    fn deref(&self) -> &[Decision] {
        &self.list[..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(reserved: u64) -> Verdict {
        Verdict { unit: "tokens", admitted: true, reserved, settled: 0, balance_after: 0, retry_after_ms: 0 }
    }

    #[test]
    fn a_name_that_stands_there_already_is_not_counted_again() {
        let (name, mut on_sheet) = (Arc::<str>::from("a"), Name::none());
        for _ in 0..3 {
            assert_eq!(on_sheet.get(), None);
            on_sheet.write(&name);
            assert_eq!((on_sheet.get(), Arc::strong_count(&name)), (Some("a"), 2));
            on_sheet.erase();
        }
        on_sheet.write(&"b".into());
        assert_eq!((on_sheet.get(), Arc::strong_count(&name)), (Some("b"), 1));
    }

    #[test]
    fn decisions_are_those_of_this_exchange() {
        let names: Vec<Arc<str>> = (0..10).map(|n| n.to_string().into()).collect();
        let mut decisions = Decisions::none();
        // How many were noted by each exchange in turn, from which name on.
        for (count, from) in [(3, 0), (1, 0), (0, 0), (8, 1), (10, 0), (2, 5)] {
            decisions.erase();
            for (n, name) in names.iter().cycle().skip(from).take(count).enumerate() {
                assert_eq!(decisions.note(name, verdict(n as u64)), n < DECISIONS_MAX);
            }
            let seen: Vec<_> = decisions.iter().map(|d| (&*d.rule, d.verdict.reserved)).collect();
            let expected = names.iter().skip(from).take(count.min(DECISIONS_MAX)).zip(0..);
            assert_eq!(seen, expected.map(|(name, n)| (&**name, n)).collect::<Vec<_>>());
        }
    }
}
