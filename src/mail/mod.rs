//! Layer 5: what the threads of tollgate say to one another.
//!
//! Three kinds of thread never call one another: workers serve, the coordinator decides what is in force, the
//! admin thread shows and passes on what operators say. A worker hears of the coordinator by [`ToWorker`] messages
//! in its mailbox, which say only where to look: what holds is on the [`Board`], and whoever looks late misses nothing.
//! It speaks through bounded queues of its [`Desk`] that it never waits for; and everybody reads
//! the [`Board`]. What an operator changes goes from the admin thread by the board: a [`ControlChange`] to the
//! store, an audit line to the journal.

mod board;
mod control;
mod judgement;
mod records;
mod waiting;

pub use board::{Ask, Bell, Board, CONTROLS_MAX, Desk, Health, InForce, Kept};
pub use control::ControlChange;
pub use judgement::{Judgement, Judgements};
pub use records::{Records, Sheet, Sleeper};
pub use waiting::Waiting;

use crate::access::jwt::Keys;
use crate::base::Tick;
use crate::config::Fetched;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a worker is told to look at, or to do. One of a kind waits at most: see [`Waiting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToWorker {
    /// Make ready what is proposed, and say on the desk that it is; forget what was made ready before.
    Prepare,
    /// Serve what is in force from the next request on; requests under way end on what they began with.
    Adopt,
    /// There are other addresses.
    Resolved,
    /// There are other credentials of backends that have them fetched.
    Keyring,
    /// There are other keys of the issuers of callers' tokens.
    Keys,
    /// More of some accounts is on disk: who waits for it may ask again.
    Granted,
    /// The gate has opened or closed: take new connections, or leave them where they wait.
    Gate,
    /// Some of the passwords that it wanted judged are.
    Judged,
    /// Take no new connections; end each connection after the exchange it is in.
    Drain,
    /// End now.
    Stop,
}

impl ToWorker {
    /// All kinds.
    pub const ALL: [ToWorker; 10] = [
        ToWorker::Prepare,
        ToWorker::Adopt,
        ToWorker::Resolved,
        ToWorker::Keyring,
        ToWorker::Keys,
        ToWorker::Granted,
        ToWorker::Gate,
        ToWorker::Judged,
        ToWorker::Drain,
        ToWorker::Stop,
    ];
}

/// The addresses of all targets of one configuration.
#[derive(Debug)]
pub struct Resolved {
    /// The configuration they belong to.
    pub generation: u64,
    /// Where each of `InForce::snapshot.targets` is, in the order to try them; empty when its name does not resolve.
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

/// How a source of issuers' keys stands that is read or asked now and again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceStands {
    /// Its keys that are in use.
    pub keys: u32,
    /// When it was last read or answered well, or was found unchanged.
    pub well: Option<Tick>,
    /// How often it could not be read or did not answer well.
    pub failures: u64,
    /// Whether that was so the last time.
    pub failing: bool,
}

/// Mailbox messages that may wait for a worker: one of each kind.
pub const WORKER_MAIL_MAX: usize = ToWorker::ALL.len();
