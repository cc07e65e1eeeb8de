//! AWS event streams, `application/vnd.amazon.eventstream` (Smithy, "Amazon Event Stream Specification"): reading a
//! sequence of binary messages.
//!
//! * [`Parts`] splits a stream into heads and pieces of payload while they pass, and copies no payload.
//! * [`Reader`] puts the pieces together to whole messages, with a bound on their size.
//! * [`Head`] is what the headers of a message say of it.
//!
//! A message is a prelude of two lengths with a checksum of its own, headers, payload, and a checksum of all of it,
//! all numbers big-endian:
//!
//! ```text
//! | total length 4 | headers length 4 | CRC-32 of the 8 before | headers | payload | CRC-32 of all before |
//! ```
//!
//! Whoever reads on after a wrong checksum reads noise: a stream that has a fault stays at it. A stream ends between
//! two messages; whether it did is asked of [`Parts::end`] or [`Reader::end`].

mod fault;
mod head;
mod parts;
mod reader;
#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use head::{Head, Kind};
pub use parts::{HEADERS_BYTES_MAX, Part, Parts};
pub use reader::{MESSAGE_BYTES_MAX, Message, Reader};
