//! The atomics of accounts and leases: the real ones, or those of the model checker, which tries every order in
//! which threads may see them (`cargo test --features model --test model`).

#[cfg(feature = "model")]
pub(super) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, fence};
#[cfg(not(feature = "model"))]
pub(super) use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, fence};

/// Somebody else is about to do something.
#[cfg(feature = "model")]
pub(super) fn spin() {
    loom::thread::yield_now();
}
#[cfg(not(feature = "model"))]
pub(super) use std::hint::spin_loop as spin;

pub(super) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
