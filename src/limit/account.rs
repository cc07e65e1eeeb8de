//! An account: one limit that has a balance.

use super::{Bucket, Rule, Unit};
use crate::base::Tick;
use std::sync::Arc;
use std::time::Duration;

/// One limit with its balance, shared by all workers of the host.
#[derive(Debug)]
pub struct Account {
    rule: Rule,
    bucket: Bucket,
}

/// How an account stands, as a client is told in `x-ratelimit-*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What it counts.
    pub unit: Unit,
    /// Its capacity.
    pub limit: u64,
    /// What is left; zero when in debt.
    pub remaining: u64,
    /// Time until it is full again.
    pub reset: Duration,
}

impl Account {
    /// A full account.
    pub fn open(rule: &Rule, now: Tick) -> Arc<Account> {
        Arc::new(Account { bucket: Bucket::new(rule, now), rule: rule.clone() })
    }

    /// The rule it keeps.
    pub fn rule(&self) -> &Rule {
        &self.rule
    }

    /// Its bucket.
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    /// How it stands now.
    pub fn standing(&self, now: Tick) -> Standing {
        let capacity = self.bucket.capacity();
        Standing {
            unit: self.rule.unit,
            limit: capacity,
            remaining: u64::try_from(self.bucket.balance(now)).unwrap_or(0),
            reset: self.bucket.wait_for(capacity, now),
        }
    }
}

/// Accounts for `rules`, in their order: an account of `before` whose rule is unchanged is kept with its
/// balance, whatever its position; every other one is opened full.
pub fn carry_over(before: &[Arc<Account>], rules: &[Rule], now: Tick) -> Vec<Arc<Account>> {
    let kept = |rule: &Rule| before.iter().find(|account| account.rule == *rule).cloned();
    rules.iter().map(|rule| kept(rule).unwrap_or_else(|| Account::open(rule, now))).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Measure, Rate};
    use super::*;

    fn rule(name: &str, capacity: u64) -> Rule {
        let rate = Rate { per_fill: 1, fill: Duration::from_secs(10) };
        Rule::new(name, Unit::Requests, Measure::Bucket { capacity, rate })
    }

    #[test]
    fn an_unchanged_rule_keeps_its_balance_wherever_it_stands() {
        let now = Tick(1);
        let before = carry_over(&[], &[rule("a", 5), rule("b", 5)], now);
        before[0].bucket().take(4, now).expect("five are there");
        before[1].bucket().take(3, now).expect("five are there");
        let after = carry_over(&before, &[rule("c", 9), rule("b", 6), rule("a", 5)], now);
        let balances: Vec<i64> = after.iter().map(|account| account.bucket().balance(now)).collect();
        assert_eq!(balances, [9, 6, 1]);
    }

    #[test]
    fn standing_tells_what_is_left_and_when_it_is_full() {
        let account = Account::open(&rule("a", 5), Tick(0));
        account.bucket().take(2, Tick(0)).expect("five are there");
        let standing = account.standing(Tick(0));
        assert_eq!((standing.limit, standing.remaining, standing.reset), (5, 3, Duration::from_secs(20)));
        account.bucket().correct(0, 100);
        assert_eq!(account.standing(Tick(0)).remaining, 0);
    }
}
