//! JSON (RFC 8259) without trees: a resumable, validating scanner and what is built from it.
//!
//! * [`Scanner`] eats bytes in any pieces and tells a [`Visitor`] what it sees and where.
//! * [`find`] looks up single values in small complete documents.
//! * [`unescape`] decodes the inside of a string.
//! * [`write`](mod@write) appends values to a buffer.

mod fault;
pub mod find;
mod number;
mod scan;
mod string;
#[cfg(test)]
mod tests;
pub mod unescape;
mod utf8;
pub mod write;

pub use fault::{Fault, FaultKind};
pub use scan::{Container, KEY_BYTES_MAX, MAX_DEPTH, Scalar, Scanner, Visitor};
