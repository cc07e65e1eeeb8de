//! What a book says to who asks: refusals, notes for who counts, standings for who is told.

use crate::base::Moment;
use crate::limit::{Account, KeyPart, Unit};
use arrayvec::ArrayVec;
use std::sync::Arc;
use std::time::Duration;

/// Why a request may not go on.
#[derive(Clone, Debug)]
pub enum Denied {
    /// A limit is exhausted.
    Refused(Box<Refused>),
    /// The account of this rule is blocked by an operator.
    Blocked(u32),
    /// The request lacks this part of the key of this rule, which wants one.
    MissingKey(u32, KeyPart),
    /// The balance covers it, but it is not on disk yet that so much may be spent: ask again soon.
    Ungranted,
}

/// The limit that refused, and what the client is told.
#[derive(Clone, Debug)]
pub struct Refused {
    /// Position of the rule.
    pub rule: u32,
    /// The account that was short.
    pub account: Arc<Account>,
    /// What would have been reserved.
    pub wanted: u64,
    /// After this time the same request is admitted if nobody else comes. The longest wait of all limits
    /// that are short, so that a client which waits is not refused by the next one. `None` when it depends on
    /// when others end.
    pub wait: Option<Duration>,
    /// The balance that was too little.
    pub balance: i64,
}

/// What a limit did, for who counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// It admitted and reserved this much.
    Admitted(u64),
    /// So much was leased to the worker beside.
    Leased(u64),
    /// It would have refused, were it not in shadow mode.
    ShadowRefused,
    /// The stream outlasted its reservation and this much more was reserved.
    ToppedUp(u64),
}

/// One account of a settled reservation, for the record.
#[derive(Clone, Copy, Debug)]
pub struct Settled {
    /// Position of the rule.
    pub rule: u32,
    /// What had been reserved.
    pub reserved: u64,
    /// What was spent.
    pub spent: u64,
    /// The balance afterwards; negative is debt.
    pub balance: i64,
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
    /// Time until it is full again; zero when nobody can say.
    pub reset: Duration,
}

pub(super) fn standing(account: &Account, now: Moment) -> Standing {
    let (balance, until_full) = account.balance_and_wait(now);
    Standing {
        unit: account.terms().unit,
        limit: account.terms().capacity(),
        remaining: u64::try_from(balance).unwrap_or(0),
        reset: until_full.unwrap_or(Duration::ZERO),
    }
}

pub(super) fn keep_tightest(tightest: &mut ArrayVec<Standing, 4>, standing: Standing) {
    match tightest.iter_mut().find(|other| other.unit == standing.unit) {
        Some(other) if standing.remaining < other.remaining => *other = standing,
        Some(_) => {}
        None => tightest.push(standing),
    }
}
