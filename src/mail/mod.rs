//! Layer 5: what the threads of tollgate say to one another.
//!
//! Three kinds of thread never call one another: workers serve, the coordinator decides what is in force, the
//! admin thread shows and passes on what operators say. A worker hears of the coordinator by [`ToWorker`] messages
//! in its mailbox; it speaks through bounded queues of its [`Desk`] that it never waits for; and everybody reads
//! the [`Board`]. What an operator changes goes from the admin thread by the board: a [`ControlChange`] to the
//! store, an audit line to the journal.

mod board;
mod control;
mod records;

pub use board::{Ask, Bell, Board, CONTROLS_MAX, Desk, Health, InForce, Kept};
pub use control::ControlChange;
pub use records::{Records, Sheet, Sleeper};

use crate::access::jwt::Keys;
use crate::config::Fetched;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a worker is told.
#[derive(Clone)]
pub enum ToWorker {
    /// Make this ready to be served, and say on the desk that it is.
    Prepare(Arc<InForce>),
    /// Serve what was made ready, if it is of this generation, from the next request on; requests under way end on what they
    /// began with.
    Adopt(u64),
    /// Where each of `InForce::snapshot.targets` is, by position; empty when its name does not resolve.
    Resolved(Arc<Resolved>),
    /// The credentials of backends that have them fetched.
    Keyring(Arc<Keyring>),
    /// The keys of the issuers of callers' tokens.
    Keys(Arc<KeySets>),
    /// More of some accounts is on disk: who waits for it may ask again.
    Granted,
    /// Take no new connections; end each connection after the exchange it is in.
    Drain,
    /// End now.
    Stop,
}

/// The addresses of all targets of one configuration.
#[derive(Debug)]
pub struct Resolved {
    /// The configuration they belong to.
    pub generation: u64,
    /// By target, in the order to try them.
    pub addresses: Vec<Arc<[SocketAddr]>>,
}

/// The credentials of all backends of one configuration that are fetched.
#[derive(Debug)]
pub struct Keyring {
    /// The configuration they belong to.
    pub generation: u64,
    /// By backend; `None` where none is fetched, or none has come that still holds.
    pub by_backend: Vec<Option<Fetched>>,
}

/// The keys of all sources of one configuration.
#[derive(Debug)]
pub struct KeySets {
    /// The configuration they belong to.
    pub generation: u64,
    /// By source; `None` where none have come.
    pub by_source: Vec<Option<Arc<Keys>>>,
}

/// Mailbox messages that may wait for a worker: configuration changes and resolutions are rare.
pub const WORKER_MAIL_MAX: usize = 64;
