//! What all clients share: the port, the seed, numbers for requests, and whether the gateway is being restarted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

/// The weather that clients live in.
#[derive(Debug)]
pub(super) struct Weather {
    pub(super) port: u16,
    pub(super) seed: u64,
    tags: AtomicU64,
    /// Odd while the gateway is being restarted.
    restarts: AtomicU64,
    calm: AtomicBool,
    over: AtomicBool,
    /// Clients that have noticed that it is calm.
    resting: AtomicU64,
    /// Connections refused while the gateway was there.
    unreachable: AtomicU64,
}

impl Weather {
    pub(super) fn new(port: u16, seed: u64) -> Weather {
        Weather {
            port,
            seed,
            tags: AtomicU64::new(1),
            restarts: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            over: AtomicBool::new(false),
            resting: AtomicU64::new(0),
            unreachable: AtomicU64::new(0),
        }
    }

    /// A number that no other request has.
    pub(super) fn tag(&self) -> u64 {
        self.tags.fetch_add(1, SeqCst)
    }

    /// Goes on when there is something to do; false when it is over. While it is calm the client has called `leave`
    /// and waits here.
    pub(super) fn lasts(&self, leave: &mut dyn FnMut()) -> bool {
        if self.calm.load(SeqCst) && !self.over.load(SeqCst) {
            leave();
            self.resting.fetch_add(1, SeqCst);
            while self.calm.load(SeqCst) && !self.over.load(SeqCst) {
                std::thread::sleep(Duration::from_millis(5));
            }
            self.resting.fetch_sub(1, SeqCst);
        }
        !self.over.load(SeqCst)
    }

    /// Whether clients that hold something shall let it go.
    pub(super) fn is_calm(&self) -> bool {
        self.calm.load(SeqCst) || self.over.load(SeqCst)
    }

    pub(super) fn set_calm(&self, calm: bool) {
        self.calm.store(calm, SeqCst);
    }

    /// Clients that wait for the end of the calm.
    pub(super) fn resting(&self) -> u64 {
        self.resting.load(SeqCst)
    }

    pub(super) fn end(&self) {
        self.over.store(true, SeqCst);
    }

    /// A restart begins or ends.
    pub(super) fn restart(&self) {
        self.restarts.fetch_add(1, SeqCst);
    }

    /// How many have begun and ended: odd within one.
    pub(super) fn restarts(&self) -> u64 {
        self.restarts.load(SeqCst)
    }

    /// A connection was refused that was tried when `before` restarts had begun or ended.
    pub(super) fn unreachable(&self, before: u64) {
        if before.is_multiple_of(2) && self.restarts() == before {
            self.unreachable.fetch_add(1, SeqCst);
        }
    }

    /// Connections refused although nothing was restarted.
    pub(super) fn refused(&self) -> u64 {
        self.unreachable.load(SeqCst)
    }
}
