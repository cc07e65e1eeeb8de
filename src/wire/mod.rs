//! Layer 2: bytes become events and events become bytes. Knows no model, no tenant, no socket.
//!
//! * [`coding`] undoes content codings: gzip, deflate, br, zstd.
//! * [`eventstream`] reads the event streams of AWS.
//! * [`http1`] frames HTTP/1.1 messages, for both sides of the proxy.
//! * [`json`] scans, finds and writes JSON without building trees.
//! * [`jwt`] reads claims out of tokens.
//! * [`sse`] reads and writes Server-Sent Events.
//! * [`url`] reads what stands in a request target and in `Host`.
//!
//! Everything here is a value that eats bytes: it can be fed one byte at a time, says the same thing however
//! the bytes were cut, and has a bound for whatever a peer can make grow.

pub mod coding;
pub mod eventstream;
pub mod http1;
pub mod json;
pub mod jwt;
pub mod sse;
pub mod url;
