//! Layer 1: the values everything else is made of. Knows no HTTP.
//!
//! * [`Span`] remembers where something stands in a buffer without borrowing it.
//! * [`Tick`] is an instant that somebody else read from a clock; pure rooms take it as an argument. [`Moment`]
//!   has the wall's time beside it.
//! * [`Money`] is an integer amount of nano-dollars; [`Tokens`] counts tokens.
//! * [`FastMap`] is the map that requests are looked up in.
//! * [`ascii`] holds the tables that decide what an HTTP token, a space or a digit is.
//! * [`base64`] decodes base64, and reads and writes it as URLs take it.
//! * [`lanes`] looks at sixteen bytes at once.
//! * [`LOSSES`] names what a translation may lose.
//! * [`Secret`] is a credential: nothing shows it. [`is_same`] compares two without telling where they differ.

pub mod ascii;
pub mod base64;
pub mod lanes;
mod losses;
mod map;
mod secret;
mod span;
mod tick;
mod units;

pub use losses::LOSSES;
pub use map::{FastMap, FastSeed};
pub use secret::{Secret, is_same};
pub use span::Span;
pub use tick::{Moment, Tick};
pub use units::{Money, Tokens};
