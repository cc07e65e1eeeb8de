//! The driver of every ordinary build: one private io_uring.
//!
//! Operations go into the submission queue as they come; a turn submits them and waits for completions in one
//! system call. Receiving is multishot, into buffers that the kernel chooses (see `buffers.rs`).

mod buffers;

use super::{Completion, Op, user_data};
use crate::runtime::outgoing::{Address, Message, Pieces};
use crate::runtime::ring::RingConfig;
use buffers::{GROUP, ReceiveBuffers};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

/// A worker's io_uring.
pub(in crate::runtime) struct Driver {
    // Declared first so that it is closed before the buffers, which the kernel may use, go away.
    uring: IoUring,
    buffers: ReceiveBuffers,
    /// Completions taken from the kernel, and how many of them are handed out.
    batch: Vec<Completion>,
    handed_out: usize,
    overflows: u64,
    /// Operations for which the queue has no room because the kernel has no memory to take any out of it.
    waiting: VecDeque<squeue::Entry>,
    #[cfg(test)]
    has_no_memory: bool,
}

impl Driver {
    /// Sockets block: what cannot go on at once waits in the kernel, not in a table of ours.
    pub(in crate::runtime) const NONBLOCKING: bool = false;

    pub(in crate::runtime) fn open(config: &RingConfig) -> io::Result<Driver> {
        let uring: IoUring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_coop_taskrun()
            .setup_clamp()
            .setup_cqsize(config.completion_entries)
            .build(config.submission_entries)?;
        let buffers = ReceiveBuffers::register(&uring, config.receive_buffers, config.receive_buffer_bytes)?;
        Ok(Driver {
            uring,
            buffers,
            batch: Vec::new(),
            handed_out: 0,
            overflows: 0,
            waiting: VecDeque::new(),
            #[cfg(test)]
            has_no_memory: false,
        })
    }
}

// === operations ===

impl Driver {
    /// Accepts connections until it is cancelled or fails; each completion is a descriptor.
    pub(in crate::runtime) fn accept(&mut self, fd: RawFd, data: u64) {
        let accept = opcode::AcceptMulti::new(types::Fd(fd)).flags(libc::SOCK_CLOEXEC);
        self.push(accept.build(), data);
    }

    /// Receives until it is cancelled, fails or the stream ends; [`received`](Driver::received) has the bytes.
    pub(in crate::runtime) fn receive(&mut self, fd: RawFd, data: u64) {
        self.push(opcode::RecvMulti::new(types::Fd(fd), GROUP).build(), data);
    }

    /// Sends `message`.
    ///
    /// # Safety
    /// What it points at stays as it is until the completion has come.
    pub(in crate::runtime) unsafe fn send(&mut self, fd: RawFd, message: Message, data: u64) {
        const FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let fd = types::Fd(fd);
        let entry = match message.pieces {
            Pieces::One(at) => {
                let len = u32::try_from(message.len).unwrap_or(u32::MAX);
                opcode::Send::new(fd, at, len).flags(FLAGS).build()
            }
            Pieces::Many(header) => opcode::SendMsg::new(fd, header).flags(FLAGS as u32).build(),
        };
        self.push(entry, data);
    }

    /// Connects to `address`.
    ///
    /// # Safety
    /// It stays where it is until the completion has come.
    pub(in crate::runtime) unsafe fn connect(&mut self, fd: RawFd, address: Address, data: u64) {
        self.push(opcode::Connect::new(types::Fd(fd), address.at, address.len).build(), data);
    }

    /// Ends our side of the stream.
    pub(in crate::runtime) fn shutdown_write(&mut self, fd: RawFd, data: u64) {
        self.push(opcode::Shutdown::new(types::Fd(fd), libc::SHUT_WR).build(), data);
    }

    /// Tells whenever `fd` becomes readable.
    pub(in crate::runtime) fn watch(&mut self, fd: RawFd, data: u64) {
        self.push(opcode::PollAdd::new(types::Fd(fd), libc::POLLIN as u32).multi(true).build(), data);
    }

    /// Cancels the operation that `target` names.
    pub(in crate::runtime) fn cancel(&mut self, target: u64, data: u64) {
        self.push(opcode::AsyncCancel2::new(types::CancelBuilder::user_data(target)).build(), data);
    }

    /// Cancels all operations of the slot `index`, whose descriptor is `fd`.
    pub(in crate::runtime) fn cancel_all(&mut self, _index: u32, fd: RawFd, data: u64) {
        let all = types::CancelBuilder::fd(types::Fd(fd)).all();
        self.push(opcode::AsyncCancel2::new(all).build(), data);
    }

    /// Closes the descriptor of the slot `index`, which has no operation any more.
    pub(in crate::runtime) fn close(&mut self, index: u32, fd: RawFd) {
        self.push(opcode::Close::new(types::Fd(fd)).build(), user_data(Op::Close, 0, index));
    }

    fn push(&mut self, entry: squeue::Entry, data: u64) {
        let entry = entry.user_data(data);
        // They keep their order. There are no more of them than slots have operations.
        if !self.waiting.is_empty() || !self.try_push(&entry) {
            self.waiting.push_back(entry);
        }
    }

    /// Puts it into the queue; if that is full, hands over what it holds first. Whether that went: a failure shows up in the
    /// next turn.
    fn try_push(&mut self, entry: &squeue::Entry) -> bool {
        for _ in 0..2 {
            // SAFETY: pointers come only with `send` and `connect`, whose callers keep them valid.
            if unsafe { self.uring.submission().push(entry) }.is_ok() {
                return true;
            }
            if self.submit().is_err() {
                return false;
            }
        }
        false
    }

    fn push_waiting(&mut self) {
        while let Some(entry) = self.waiting.pop_front() {
            if !self.try_push(&entry) {
                return self.waiting.push_front(entry);
            }
        }
    }

    fn submit(&mut self) -> io::Result<usize> {
        #[cfg(test)]
        if self.has_no_memory {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        self.uring.submit()
    }
}

// === one turn ===

impl Driver {
    /// Submits, and waits up to `wait` for at least one completion (zero: does not wait).
    pub(in crate::runtime) fn turn(&mut self, wait: Duration) -> io::Result<()> {
        self.push_waiting();
        let result = if wait.is_zero() || !self.waiting.is_empty() {
            let queued = self.uring.submission().len() as u32;
            self.run(queued)
        } else {
            let timespec = types::Timespec::from(wait);
            self.uring.submitter().submit_with_args(1, &types::SubmitArgs::new().timespec(&timespec))
        };
        let result = match result {
            // A kernel that has no memory for what is queued does not come to what is done, which may free some.
            Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => self.run(0),
            result => result,
        };
        match result {
            Err(error) if !is_usual(&error) => Err(error),
            _ => self.look_at_overflow(),
        }
    }

    /// Submits what is queued and runs what is done, which GETEVENTS makes a DEFER_TASKRUN ring do.
    fn run(&mut self, queued: u32) -> io::Result<usize> {
        const GETEVENTS: u32 = 1;
        #[cfg(test)]
        if self.has_no_memory && queued > 0 {
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        // SAFETY: no argument is passed.
        unsafe { self.uring.submitter().enter::<libc::sigset_t>(queued, 0, GETEVENTS, None) }
    }

    /// What the completion queue has no room for the kernel keeps (IORING_FEAT_NODROP) until the next turn, which begins with
    /// it. Only where it has no memory to keep it in is a completion lost, and with it a slot that waits for it for ever.
    fn look_at_overflow(&mut self) -> io::Result<()> {
        self.overflows += u64::from(self.uring.submission().cq_overflow());
        match self.uring.completion().overflow() {
            0 => Ok(()),
            lost => Err(io::Error::other(format!(
                "the kernel had no memory for {lost} completions: they are lost"
            ))),
        }
    }

    /// Turns that brought more completions than the queue has room for.
    pub(in crate::runtime) fn overflows(&self) -> u64 {
        self.overflows
    }

    /// The next completion; `None` when the turn has no more.
    pub(in crate::runtime) fn completion(&mut self) -> Option<Completion> {
        if self.handed_out == self.batch.len() {
            self.batch.clear();
            self.handed_out = 0;
            self.collect();
        }
        let next = self.batch.get(self.handed_out).copied()?;
        self.handed_out += 1;
        Some(next)
    }

    fn collect(&mut self) {
        let found = self.uring.completion();
        self.batch.extend(found.map(|c| Completion {
            data: c.user_data(),
            result: c.result(),
            flags: c.flags(),
        }));
    }

    /// Hands the bytes of a receive to `take`, if it brought any; its buffer is the kernel's again afterwards.
    pub(in crate::runtime) fn received(&mut self, completion: &Completion, take: impl FnOnce(&[u8])) {
        let Some(id) = cqueue::buffer_select(completion.flags) else { return };
        if completion.result > 0 {
            take(self.buffers.filled(id, completion.result as usize));
        }
        self.buffers.give_back(id);
    }

    /// The worker ends: what is queued, closes above all, runs now. If even that fails, the process is ending
    /// and the kernel closes them.
    pub(in crate::runtime) fn finish(&mut self) {
        self.push_waiting();
        self.submit().ok();
    }
}

/// Whether it only says that time is up, a signal came, the completion queue must be emptied first, or there is no memory for
/// what is queued, which stays where it is.
fn is_usual(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_that_the_kernel_has_no_memory_for_are_done_later_and_in_their_order() {
        const COUNT: u64 = 50;
        let config = RingConfig {
            submission_entries: 4,
            completion_entries: 128,
            receive_buffers: 16,
            receive_buffer_bytes: 4096,
            inbox_bytes: 4096,
        };
        let mut driver = Driver::open(&config).expect("a ring");
        driver.has_no_memory = true;
        (1..=COUNT).for_each(|data| driver.cancel(u64::MAX, data));
        driver.turn(Duration::from_secs(5)).expect("it goes on, and does not wait");
        assert!(driver.completion().is_none());
        driver.has_no_memory = false;
        let mut done = Vec::new();
        while done.len() < COUNT as usize {
            driver.turn(Duration::ZERO).expect("it goes on");
            done.extend(std::iter::from_fn(|| driver.completion()).map(|completion| completion.data));
        }
        assert_eq!(done, (1..=COUNT).collect::<Vec<_>>());
    }
}
