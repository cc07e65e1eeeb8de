//! What a worker's ring knows of each socket, listener, sleep and mailbox.

use super::outgoing::Outgoing;
use crate::base::Tick;
use std::os::fd::RawFd;
use std::task::Waker;

/// A deadline that never comes.
pub(super) const NEVER: Tick = Tick(u64::MAX);

/// A socket as the ring sees it.
pub(super) struct Slot {
    pub(super) fd: RawFd,
    pub(super) generation: u32,
    /// Operations whose last completion has not come; the slot is reused only at zero.
    pub(super) pending: u32,
    /// The [`super::Socket`] that owned it is gone.
    pub(super) abandoned: bool,
    pub(super) receive: Receive,
    pub(super) inbox: Vec<u8>,
    /// How many bytes at the beginning of `inbox` are the reader's, who waits for what comes behind them.
    pub(super) lent: usize,
    /// How the peer's side of the stream ended, if it did.
    pub(super) end: Option<End>,
    pub(super) receive_waker: Option<Waker>,
    pub(super) outgoing: Outgoing,
    pub(super) send_waker: Option<Waker>,
    /// Whoever waits for the send is woken by its success, too.
    pub(super) wakes_when_sent: bool,
    pub(super) deadline: Tick,
    pub(super) reminder: Tick,
    pub(super) timed_out: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Receive {
    Idle,
    Armed,
    Cancelling,
}

/// How a peer's side of a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Failed(i32),
}

#[derive(Default)]
pub(super) struct ListenerSlot {
    pub(super) fd: RawFd,
    pub(super) armed: bool,
    /// Accepting was told to end, and has not ended yet.
    pub(super) pausing: bool,
    /// The [`super::Listener`] that owned it is gone; its last completions may still come.
    pub(super) gone: bool,
    pub(super) accepted: Vec<RawFd>,
    pub(super) failed: Option<i32>,
    pub(super) waker: Option<Waker>,
}

pub(super) struct SleepSlot {
    pub(super) generation: u32,
    pub(super) fired: bool,
    pub(super) waker: Option<Waker>,
}

#[derive(Default)]
pub(super) struct MailSlot {
    pub(super) fd: Option<RawFd>,
    pub(super) armed: bool,
    pub(super) waker: Option<Waker>,
}

/// Whom the wheel reminds: an index and the generation that is meant.
pub(super) enum Reminder {
    Socket(u32, u32),
    Sleep(u32, u32),
}

impl Slot {
    /// How many bytes wait for the reader.
    pub(super) fn waiting(&self) -> usize {
        self.inbox.len() - self.lent
    }

    /// Makes `buf` the inbox, which is empty.
    pub(super) fn lend(&mut self, buf: &mut Vec<u8>) {
        std::mem::swap(buf, &mut self.inbox);
        self.lent = self.inbox.len();
    }

    /// Undoes [`lend`](Slot::lend), if it was done; how many bytes came meanwhile.
    pub(super) fn give_back(&mut self, buf: &mut Vec<u8>) -> usize {
        if self.lent == 0 {
            return 0;
        }
        let arrived = self.waiting();
        std::mem::swap(buf, &mut self.inbox);
        self.lent = 0;
        arrived
    }

    pub(super) fn new() -> Slot {
        Slot {
            fd: -1,
            generation: 0,
            pending: 0,
            abandoned: false,
            receive: Receive::Idle,
            inbox: Vec::new(),
            lent: 0,
            end: None,
            receive_waker: None,
            outgoing: Outgoing::default(),
            send_waker: None,
            wakes_when_sent: true,
            deadline: NEVER,
            reminder: NEVER,
            timed_out: false,
        }
    }
}
