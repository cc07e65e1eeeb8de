//! Layer 3: may this request spend? Pure and lock-free; knows neither HTTP nor prices.
//!
//! * [`Rule`] is a limit as configuration states it, [`RuleSet`] all of them made ready, [`Terms`] the exact
//!   arithmetic of one, [`Spend`] what a request costs in every unit.
//! * [`Account`] is a rule for one key: the thing that has a balance, one atomic number, shared by all workers.
//!   [`Accounts`] is the table of them all. Leases spare workers that share an account each other's company.
//! * [`Book`] is what a worker asks: [`reserve`](Book::reserve) takes from every limit that applies or from
//!   none, [`top_up`](Book::top_up) follows a stream, [`settle`](Book::settle) replaces the estimate by what
//!   was really spent.

mod account;
mod accounts;
mod book;
mod control;
mod describe;
mod key;
mod lease;
mod rule;
mod rules;
mod sliding;
mod spend;
mod sync;
mod terms;
#[cfg(all(test, not(feature = "model")))]
mod tests;
mod window;

pub use account::{Account, Taking};
pub use accounts::{Accounts, Tally, Wanted};
pub use book::{Book, Caller, Denied, LIMITS_MAX, Note, Refused, Settled, Standing, Ticket};
pub use control::Control;
pub use describe::{Allowance, Amount};
pub use key::KeyText;
pub use lease::Tuning;
pub use rule::{Every, KeyPart, Measure, MissingKey, Mode, OnExhausted, Override, Rate, Rule, Unit, Weights};
pub use rules::{ReadyRule, RuleSet};
pub use sliding::{AMOUNT_MAX as SLIDING_BUDGET_MAX, Slot};
pub use spend::Spend;
pub use terms::Terms;
pub use window::{Window, Zone};
