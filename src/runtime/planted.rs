//! Errors of the kernel's, planted in a worker's ring: what it says when it has no memory cannot be had by asking. Tests of the
//! library alone are built with this.

use super::driver::{Completion, Op};
use super::ring::Ring;
use std::collections::VecDeque;
use std::os::fd::{FromRawFd, OwnedFd};

/// What is planted, and what has come of it.
#[derive(Default)]
pub(super) struct Planted {
    wanted: Vec<(Op, i32)>,
    struck: VecDeque<Completion>,
}

impl Planted {
    /// Whether this operation fails without the kernel being asked.
    pub(super) fn strikes(&mut self, op: Op, data: u64) -> bool {
        let Some(place) = self.wanted.iter().position(|(wanted, _)| *wanted == op) else { return false };
        let (_, error) = self.wanted.remove(place);
        self.struck.push_back(Completion::planted(data, -error));
        true
    }

    /// What comes of accepting instead of this connection. The kernel would have left it in its queue; here it is closed.
    pub(super) fn instead_of_accepting(&mut self, result: i32) -> i32 {
        let place = self.wanted.iter().position(|(wanted, _)| *wanted == Op::Accept).filter(|_| result >= 0);
        let Some(place) = place else { return result };
        // SAFETY: the kernel made this descriptor for the listener; nobody else has heard of it.
        drop(unsafe { OwnedFd::from_raw_fd(result) });
        -self.wanted.remove(place).1
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        self.struck.pop_front()
    }

    /// Whether there is something that the kernel will not wake the worker for.
    pub(super) fn is_due(&self) -> bool {
        !self.struck.is_empty()
    }
}

impl Ring {
    /// Lets the next operation of that name (`accept`, `connect`, `receive`, `send`) fail with this error's number.
    pub fn plant(&self, name: &str, error: i32) {
        let op = match name {
            "accept" => Op::Accept,
            "connect" => Op::Connect,
            "receive" => Op::Receive,
            "send" => Op::Send,
            other => panic!("there is no operation {other}"),
        };
        self.with(|inner| inner.planted.wanted.push((op, error)));
    }
}
