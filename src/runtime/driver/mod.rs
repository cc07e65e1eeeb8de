//! What carries a worker's operations to the kernel and brings back what came of them.
//!
//! `ring.rs` decides what is to be done and what it means; a driver only does it. An operation is named by its
//! user data. Whatever becomes of it, it has a last completion, without which its slot would never be free
//! again: one that is cancelled completes with `ECANCELED`. Accepting, receiving and watching go on by themselves
//! and complete again and again; all but their last completion say that there will be [more](Completion::more).
//!
//! The driver is [`uring`], unless the feature `epoll` chose the one that stands in for it, so that what io_uring
//! brings can be measured. There is no trait: only one of them is in a build, and nobody pays for a choice.

#[cfg(feature = "epoll")]
mod epoll;
#[cfg(not(feature = "epoll"))]
mod uring;

#[cfg(feature = "epoll")]
pub(super) use epoll::Driver;
#[cfg(not(feature = "epoll"))]
pub(super) use uring::Driver;

/// What an operation does; the first byte of its user data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Op {
    Accept = 1,
    Receive,
    Send,
    Connect,
    /// Cancel and shutdown: nobody waits for their result.
    Side,
    /// Close, and the end of accepting: nobody looks at their result.
    Close,
    Mail,
}

/// What came of an operation: the result of the system call that it stands for, or an error's number below zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) data: u64,
    pub(super) result: i32,
    /// As io_uring has them.
    flags: u32,
}

/// The flag of completions that are not the last one (`IORING_CQE_F_MORE`).
const MORE: u32 = 1 << 1;

impl Completion {
    /// The last one of an operation that the kernel was not asked for.
    #[cfg(test)]
    pub(super) fn planted(data: u64, result: i32) -> Completion {
        Completion { data, result, flags: 0 }
    }

    /// Whether the operation goes on.
    pub(super) fn more(&self) -> bool {
        self.flags & MORE != 0
    }
}

/// The bits of a slot's generation that user data has room for.
pub(super) const GENERATION_MASK: u32 = 0x00ff_ffff;

/// Names an operation on a slot. Two at once on the same slot have different `op`s, or nobody tells them apart.
pub(super) fn user_data(op: Op, generation: u32, index: u32) -> u64 {
    (op as u64) << 56 | u64::from(generation & GENERATION_MASK) << 32 | u64::from(index)
}
