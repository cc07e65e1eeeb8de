//! Layer 6: the data plane. One worker per core serves connections from the first byte to the settled account.
//!
//! Read [`exchange`] first: it is one request, told in order. Around it: [`client`] reads requests, `attempts`
//! chooses who is asked, and asks again, `call` writes to them and waits for an answer's head over a connection from `upstream` (a `stream`, perhaps of
//! [`tls`], as those of clients are after their [`handshake`]; [`verify`] says whose certificates are believed),
//! `relay` brings the answer back, `plain` does both for hosts that are no providers, `reply` holds the answers
//! that we make ourselves, `filters` those that a route asks for, `mirror` sends copies, `caller` who asks, `admission` who may, `fault` what
//! can go wrong, `policy` what operators make of requests and answers, `judge` whom guards ask about them, `pricing` what they cost, and `entry` the books: whatever
//! happens, it settles.

mod admission;
mod attempts;
mod call;
mod caller;
mod changes;
mod client;
mod credit;
mod crowd;
mod entry;
mod exchange;
mod fault;
mod filters;
pub mod handshake;
mod held;
mod judge;
mod mirror;
mod outflow;
mod passage;
mod passwords;
mod plain;
#[cfg(test)]
mod planted;
mod policy;
mod pricing;
mod relay;
mod reply;
mod serving;
mod stream;
pub mod tls;
mod upstream;
pub mod verify;
mod worker;

pub(crate) use credit::spend;
pub use worker::{Entrance, WorkerSeed, run};
