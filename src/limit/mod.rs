//! Layer 3: may this request spend? Pure and lock-free; knows neither HTTP nor prices.
//!
//! * [`Rule`] is a limit as configuration states it.

mod rule;

pub use rule::{Rate, Rule, Unit};
