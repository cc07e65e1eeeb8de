//! A worker's view of all accounts, and reservations: every limit that applies gives, or none does.

use super::{Account, Standing, Unit};
use crate::base::{Tick, Tokens};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::Duration;

/// The most limits that can apply to one request; configuration refuses more.
pub const LIMITS_MAX: usize = 16;

/// What a request is expected to spend, or has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spend {
    /// Input and output tokens.
    pub tokens: Tokens,
}

impl Spend {
    /// The amount in `unit`; a request is one request whatever becomes of it.
    pub fn amount(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => 1,
            Unit::Tokens => self.tokens,
            Unit::Cost | Unit::Concurrency => 0,
        }
    }
}

/// The accounts of the configuration in force, by position.
#[derive(Clone, Debug, Default)]
pub struct Book {
    accounts: Vec<Arc<Account>>,
}

/// Credit taken from the accounts of a [`Book`] before a request goes upstream. Settled exactly once: by
/// [`Book::settle`], or, when it is dropped because its exchange died, at what it reserved.
#[must_use = "a reservation holds credit until it is settled"]
#[derive(Debug, Default)]
pub struct Reservation {
    holds: ArrayVec<Hold, LIMITS_MAX>,
}

#[derive(Debug)]
struct Hold {
    /// Position of the account in the book.
    index: u32,
    reserved: u64,
}

/// The limit that refused, and what the client is told.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Position of the account in the configuration.
    pub index: u32,
    /// The account that was short.
    pub account: Arc<Account>,
    /// What would have been reserved.
    pub wanted: u64,
    /// After this time the same request is admitted if nobody else comes. The longest wait of all limits
    /// that are short, so that a client which waits is not refused by the next one.
    pub wait: Duration,
}

/// One account of a settled reservation, for the record.
#[derive(Clone, Copy, Debug)]
pub struct Settled<'a> {
    /// Position of the account in the configuration.
    pub index: u32,
    /// The account.
    pub account: &'a Arc<Account>,
    /// What had been reserved.
    pub reserved: u64,
    /// What was spent.
    pub spent: u64,
    /// The balance afterwards; negative is debt.
    pub balance: i64,
}

impl Book {
    /// A book of these accounts.
    pub fn new(accounts: Vec<Arc<Account>>) -> Book {
        Book { accounts }
    }

    /// Reserves `estimate` from every account in `limits`, or from none.
    ///
    /// # Errors
    /// [`Refused`] names the limit with the longest wait.
    pub fn reserve(&self, limits: &[u32], estimate: Spend, now: Tick) -> Result<Reservation, Box<Refused>> {
        let mut reservation = Reservation::default();
        for (index, account) in self.accounts_of(limits) {
            let wanted = estimate.amount(account.rule().unit);
            match account.bucket().take(wanted, now) {
                Ok(reserved) => {
                    let hold = Hold { index, reserved };
                    // Configuration holds lists to LIMITS_MAX; one more would go uncounted, never unsettled.
                    debug_assert!(!reservation.holds.is_full());
                    let _ = reservation.holds.try_push(hold);
                }
                Err(_) => {
                    self.give_back(reservation);
                    return Err(self.refusal(limits, estimate, now, index));
                }
            }
        }
        Ok(reservation)
    }

    /// Ends a reservation of this book with what was really spent: refunds go back, overspend becomes debt.
    /// Tells `note` of each account.
    pub fn settle<'a>(
        &'a self,
        reservation: Reservation,
        spend: Spend,
        now: Tick,
        mut note: impl FnMut(Settled<'a>),
    ) {
        for Hold { index, reserved } in reservation.holds {
            let Some(account) = self.accounts.get(index as usize) else { continue };
            let spent = spend.amount(account.rule().unit);
            account.bucket().correct(reserved, spent);
            note(Settled { index, account, reserved, spent, balance: account.bucket().balance(now) });
        }
    }

    /// How the tightest account of each unit stands.
    pub fn standings(&self, limits: &[u32], now: Tick) -> ArrayVec<Standing, 2> {
        let mut tightest = ArrayVec::<Standing, 2>::new();
        for (_, account) in self.accounts_of(limits) {
            let standing = account.standing(now);
            match tightest.iter_mut().find(|other| other.unit == standing.unit) {
                Some(other) if standing.remaining < other.remaining => *other = standing,
                Some(_) => {}
                None => tightest.push(standing),
            }
        }
        tightest
    }

    /// All accounts, by position.
    pub fn accounts(&self) -> &[Arc<Account>] {
        &self.accounts
    }

    fn give_back(&self, reservation: Reservation) {
        for Hold { index, reserved } in reservation.holds {
            if let Some(account) = self.accounts.get(index as usize) {
                account.bucket().correct(reserved, 0);
            }
        }
    }

    fn accounts_of<'a>(&'a self, limits: &'a [u32]) -> impl Iterator<Item = (u32, &'a Arc<Account>)> {
        limits.iter().filter_map(|index| Some((*index, self.accounts.get(*index as usize)?)))
    }

    fn refusal(&self, limits: &[u32], estimate: Spend, now: Tick, short: u32) -> Box<Refused> {
        let refusals = self.accounts_of(limits).map(|(index, account)| {
            let wanted = estimate.amount(account.rule().unit);
            let wait = account.bucket().wait_for(wanted, now);
            Refused { index, account: account.clone(), wanted, wait }
        });
        // `max_by_key` keeps the last of equals; the account that refused wins a tie by its second key.
        let longest = refusals.max_by_key(|refused| (refused.wait, refused.index == short));
        Box::new(longest.unwrap_or_else(|| unreachable!("a refusal comes from one of the limits")))
    }
}

impl Reservation {
    /// What is held: the position of each account and what was taken from it.
    pub fn held(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.holds.iter().map(|hold| (hold.index, hold.reserved))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Measure, Rate, Rule};
    use super::*;

    fn book(rules: &[(Unit, u64, u64)]) -> Book {
        let rules = rules.iter().enumerate().map(|(i, (unit, capacity, seconds))| {
            let rate = Rate { per_fill: 1, fill: Duration::from_secs(*seconds) };
            let measure = Measure::Bucket { capacity: *capacity, rate };
            Account::open(&Rule::new(&format!("ns/{i}"), *unit, measure), Tick(0))
        });
        Book::new(rules.collect())
    }

    fn balances(book: &Book) -> Vec<i64> {
        book.accounts().iter().map(|account| account.bucket().balance(Tick(0))).collect()
    }

    #[test]
    fn all_give_or_none_does() {
        let book = book(&[(Unit::Requests, 10, 1), (Unit::Tokens, 100, 1), (Unit::Requests, 1, 60)]);
        let first = book.reserve(&[0, 1, 2], Spend { tokens: 30 }, Tick(0)).expect("all full");
        assert_eq!(balances(&book), [9, 70, 0]);
        let refused = book.reserve(&[0, 1, 2], Spend { tokens: 30 }, Tick(0)).expect_err("one is empty");
        assert_eq!((refused.index, refused.wait), (2, Duration::from_secs(60)));
        assert_eq!(balances(&book), [9, 70, 0], "nothing was taken by the refused one");
        let mut settled = Vec::new();
        book.settle(first, Spend { tokens: 45 }, Tick(0), |s| settled.push((s.reserved, s.spent, s.balance)));
        assert_eq!(settled, [(1, 1, 9), (30, 45, 55), (1, 1, 0)]);
    }

    #[test]
    fn the_wait_is_the_longest_of_all_that_are_short() {
        let book = book(&[(Unit::Requests, 1, 5), (Unit::Requests, 1, 50)]);
        let both = book.reserve(&[0, 1], Spend::default(), Tick(0)).expect("both full");
        let refused = book.reserve(&[0, 1], Spend::default(), Tick(0)).expect_err("both empty");
        assert_eq!((refused.index, refused.wait), (1, Duration::from_secs(50)));
        drop(both);
    }

    #[test]
    fn a_reservation_that_dies_stays_spent() {
        let book = book(&[(Unit::Tokens, 100, 1)]);
        drop(book.reserve(&[0], Spend { tokens: 40 }, Tick(0)).expect("full"));
        assert_eq!(balances(&book), [60]);
    }

    #[test]
    fn standings_show_the_tightest_of_each_unit() {
        let book = book(&[(Unit::Requests, 10, 1), (Unit::Requests, 3, 1), (Unit::Tokens, 100, 1)]);
        let standings = book.standings(&[0, 1, 2], Tick(0));
        let shown: Vec<_> = standings.iter().map(|s| (s.unit, s.limit, s.remaining)).collect();
        assert_eq!(shown, [(Unit::Requests, 3, 3), (Unit::Tokens, 100, 100)]);
    }
}
