//! Layer 3: may this request spend? Pure and lock-free; knows neither HTTP nor prices.
//!
//! * [`Rule`] is a limit as configuration states it, [`Bucket`] its arithmetic in one atomic number,
//!   [`Account`] the two together: the thing that has a balance, one for the whole host.
//! * [`Book`] is what a worker asks: [`reserve`](Book::reserve) takes from every limit that applies or from
//!   none, [`settle`](Reservation::settle) replaces the estimate by what was really spent.

mod account;
mod book;
mod bucket;
mod describe;
mod key;
mod rule;
mod window;

pub use account::{Account, Standing, carry_over};
pub use book::{Book, LIMITS_MAX, Refused, Reservation, Settled, Spend};
pub use bucket::{Bucket, Short};
pub use describe::{Allowance, Amount};
pub use key::KeyText;
pub use rule::{Every, KeyPart, Measure, MissingKey, Mode, OnExhausted, Override, Rate, Rule, Unit, Weights};
pub use window::{Window, Zone};
