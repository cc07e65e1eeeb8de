//! One ring per worker: every socket, deadline and mailbox of that worker is driven from here.
//!
//! What is done and what it means is decided here; the [`Driver`] does it, by an io_uring or, in a control build, by epoll.
//!
//! The rules that keep it sound:
//!
//! * memory that the kernel may touch (a [`Gather`] being sent, an address being connected to) is owned by
//!   the socket's slot, and the slot is not reused before the last completion of its operations has come;
//! * received bytes are copied from the driver's buffer into the socket's inbox at once, so a provided
//!   buffer is never held longer than one turn;
//! * an inbox that reached its high-water mark stops the multishot receive: TCP's window does the rest.
//!
//! Turns follow one order: submit what the tasks queued, reap all completions, note who can go on, then wake
//! them; nothing is woken while the ring is borrowed.

use super::clock;
use super::driver::{Completion, Driver, GENERATION_MASK, Op, user_data};
use super::gather::Gather;
use super::slots::{End, ListenerSlot, MailSlot, NEVER, Receive, Reminder, SleepSlot, Slot};
use super::wheel::Wheel;
use crate::base::Tick;
use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;
use std::task::Waker;
use std::time::Duration;

/// Sizes of one worker's ring.
#[derive(Clone, Copy, Debug)]
pub struct RingConfig {
    /// Entries of the submission queue; a power of two.
    pub submission_entries: u32,
    /// Entries of the completion queue; a power of two, larger than the submission queue.
    pub completion_entries: u32,
    /// Number of receive buffers the kernel may fill in one turn; a power of two, at most 32,768.
    pub receive_buffers: u16,
    /// Bytes of each receive buffer.
    pub receive_buffer_bytes: usize,
    /// Bytes that may wait for the reader of one socket before receiving stops. What had already arrived
    /// when it is reached is kept, so an inbox may hold up to one turn's buffers more.
    pub inbox_bytes: usize,
}

/// A worker's ring and everything that waits on it. Lives in an [`Rc`] on its own thread.
pub struct Ring {
    inner: RefCell<Inner>,
    now: Cell<Tick>,
    /// Bytes that the kernel may hold of what has arrived at a socket that connects from now on and is not received; `None`
    /// leaves them to it (`tcp_rmem`). It doubles them for its own bookkeeping.
    pub receive_buffer: Cell<Option<usize>>,
}

pub(super) struct Inner {
    // Declared first so that it is closed before the memory below, which the kernel may use, goes away.
    driver: Driver,
    pub(super) sockets: Vec<Slot>,
    free: Vec<u32>,
    pub(super) listeners: Vec<ListenerSlot>,
    pub(super) sleeps: Vec<SleepSlot>,
    pub(super) free_sleeps: Vec<u32>,
    pub(super) mail: MailSlot,
    wheel: Wheel<Reminder>,
    wakes: Vec<Waker>,
    starved: Vec<u32>,
    inbox_bytes: usize,
    #[cfg(test)]
    pub(super) planted: super::planted::Planted,
}

/// How long memory that is not there is waited for.
const RELEASE_MAX: Duration = Duration::from_secs(2);

/// Opens a driver. The kernel counts the memory of rings against their user (RLIMIT_MEMLOCK) until a moment after they are
/// closed, so a process that takes another's place may have to wait for that moment.
fn open_soon(config: &RingConfig) -> io::Result<Driver> {
    let until = clock::now() + RELEASE_MAX;
    loop {
        match Driver::open(config) {
            Err(error) if error.raw_os_error() == Some(libc::ENOMEM) && clock::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            opened => return opened,
        }
    }
}

impl Ring {
    /// Opens a ring on the present thread, which must be the only one that ever uses it.
    pub fn open(config: &RingConfig) -> io::Result<Rc<Ring>> {
        let driver = open_soon(config)?;
        let now = clock::now();
        let inner = Inner {
            driver,
            sockets: Vec::new(),
            free: Vec::new(),
            listeners: Vec::new(),
            sleeps: Vec::new(),
            free_sleeps: Vec::new(),
            mail: MailSlot::default(),
            wheel: Wheel::new(now),
            wakes: Vec::new(),
            starved: Vec::new(),
            inbox_bytes: config.inbox_bytes,
            #[cfg(test)]
            planted: super::planted::Planted::default(),
        };
        Ok(Rc::new(Ring { inner: RefCell::new(inner), now: Cell::new(now), receive_buffer: Cell::new(None) }))
    }

    /// The time of the present turn: read from the clock once per turn.
    pub fn now(&self) -> Tick {
        self.now.get()
    }

    /// One turn: submits, waits up to `wait` for at least one completion (zero: does not wait), reaps all,
    /// wakes whoever can go on.
    pub fn turn(&self, wait: Duration) -> io::Result<()> {
        let mut wakes = {
            let mut inner = self.inner.borrow_mut();
            #[cfg(test)]
            let wait = if inner.planted.is_due() { Duration::ZERO } else { wait };
            inner.driver.turn(wait)?;
            self.now.set(clock::now());
            inner.reap();
            inner.expire(self.now.get());
            std::mem::take(&mut inner.wakes)
        };
        wakes.drain(..).for_each(Waker::wake);
        // Give the list back so that its capacity is kept, unless waking made a new one.
        let mut inner = self.inner.borrow_mut();
        if inner.wakes.is_empty() {
            inner.wakes = wakes;
        }
        Ok(())
    }

    /// Time until deadlines and sleeps must be looked at; longer than it takes to be worth asking again.
    pub fn next_deadline(&self) -> Duration {
        self.inner.borrow().wheel.wait(self.now.get())
    }

    /// Wakes every task that waits to receive, to send or to accept, so that it looks at what changed
    /// elsewhere: that the worker drains, say.
    pub fn nudge(&self) {
        let wakes: Vec<Waker> = self.with(|inner| {
            let of_socket = |slot: &mut Slot| [slot.receive_waker.take(), slot.send_waker.take()];
            let sockets = inner.sockets.iter_mut().flat_map(of_socket).flatten();
            let listeners = inner.listeners.iter_mut().filter_map(|listener| listener.waker.take());
            sockets.chain(listeners).collect()
        });
        wakes.into_iter().for_each(Waker::wake);
    }

    /// Sockets whose descriptor is not closed yet, for metrics and tests.
    pub fn sockets_open(&self) -> usize {
        let inner = self.inner.borrow();
        inner.sockets.len() - inner.free.len()
    }

    /// Turns so far that brought more completions than the queue has room for. The kernel keeps those until the next turn.
    pub fn overflows(&self) -> u64 {
        self.inner.borrow().driver.overflows()
    }

    /// Ends both directions of every socket without a submission: for a worker that fails, whose ring may not take any.
    /// Listening sockets are left alone: another process may have them too.
    pub(super) fn shut(&self) {
        let inner = self.inner.borrow();
        for slot in inner.sockets.iter().filter(|slot| slot.fd >= 0) {
            // SAFETY: no memory is handed over, and a slot owns its descriptor until it is released. A socket that is not
            // connected any more is no fault.
            unsafe { libc::shutdown(slot.fd, libc::SHUT_RDWR) };
        }
    }

    /// Runs `f` on the inside; `f` must not wake a task.
    pub(super) fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.inner.borrow_mut())
    }
}

/// The worker ends: what its sockets still hold open is closed. Operations that are under way keep their own
/// reference in the kernel until the ring itself closes, which comes next.
impl Drop for Inner {
    fn drop(&mut self) {
        self.driver.finish();
        for slot in self.sockets.iter().filter(|slot| slot.fd >= 0) {
            // SAFETY: a slot owns its descriptor until it is released, and a released slot holds -1.
            drop(unsafe { OwnedFd::from_raw_fd(slot.fd) });
        }
    }
}

// === slots ===

impl Inner {
    /// A slot for a connected or connecting socket. Takes ownership of `fd`.
    pub(super) fn add_socket(&mut self, fd: RawFd) -> (u32, u32) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.sockets.push(Slot::new());
            (self.sockets.len() - 1) as u32
        });
        let slot = &mut self.sockets[index as usize];
        slot.fd = fd;
        (index, slot.generation)
    }

    /// The owner is gone: cancels what is under way; the descriptor is closed after the last completion.
    pub(super) fn abandon(&mut self, index: u32) {
        let slot = &mut self.sockets[index as usize];
        slot.abandoned = true;
        slot.receive_waker = None;
        slot.send_waker = None;
        let (fd, under_way) = (slot.fd, slot.pending > 0);
        if under_way {
            let data = self.begin(Op::Side, index);
            self.driver.cancel_all(index, fd, data);
        }
        self.release_if_done(index);
    }

    fn release_if_done(&mut self, index: u32) {
        let slot = &mut self.sockets[index as usize];
        if !slot.abandoned || slot.pending > 0 {
            return;
        }
        let fd = slot.fd;
        let generation = (slot.generation + 1) & GENERATION_MASK;
        let mut inbox = std::mem::take(&mut slot.inbox);
        inbox.clear();
        *slot = Slot { generation, ..Slot::new() };
        self.free.push(index);
        self.driver.close(index, fd);
    }

    /// Whether the handle `(index, generation)` still names this slot.
    pub(super) fn slot(&mut self, index: u32) -> &mut Slot {
        &mut self.sockets[index as usize]
    }
}

// === operations ===

impl Inner {
    /// Starts receiving unless it runs already, the stream has ended, or the inbox is full.
    pub(super) fn arm_receive(&mut self, index: u32) {
        let slot = &self.sockets[index as usize];
        let room = slot.waiting() < self.inbox_bytes;
        if slot.receive != Receive::Idle || slot.end.is_some() || slot.abandoned || !room {
            return;
        }
        let fd = slot.fd;
        self.sockets[index as usize].receive = Receive::Armed;
        let data = self.begin(Op::Receive, index);
        #[cfg(test)]
        if self.planted.strikes(Op::Receive, data) {
            return;
        }
        self.driver.receive(fd, data);
    }

    /// Starts or continues sending what the slot's `outgoing` holds.
    pub(super) fn push_send(&mut self, index: u32) {
        let data = self.begin(Op::Send, index);
        #[cfg(test)]
        if self.planted.strikes(Op::Send, data) {
            return;
        }
        let slot = &mut self.sockets[index as usize];
        let message = slot.outgoing.message();
        // SAFETY: the message points into memory owned by its slot (`Outgoing`), which outlives the operation
        // because slots wait for their last completion; one send at a time changes it.
        unsafe { self.driver.send(slot.fd, message, data) };
    }

    pub(super) fn push_connect(&mut self, index: u32) {
        let data = self.begin(Op::Connect, index);
        #[cfg(test)]
        if self.planted.strikes(Op::Connect, data) {
            return;
        }
        let slot = &self.sockets[index as usize];
        // SAFETY: the address lies in a box of the slot's `Outgoing`; as for a send.
        unsafe { self.driver.connect(slot.fd, slot.outgoing.address(), data) };
    }

    /// Ends our side of the stream: the peer reads what was sent, then end of file.
    pub(super) fn push_shutdown_write(&mut self, index: u32) {
        let data = self.begin(Op::Side, index);
        self.driver.shutdown_write(self.sockets[index as usize].fd, data);
    }

    /// Sets the one deadline of a socket; `NEVER` clears it. Also clears an earlier time-out.
    pub(super) fn set_deadline(&mut self, index: u32, at: Tick) {
        let slot = &mut self.sockets[index as usize];
        slot.deadline = at;
        slot.timed_out = false;
        if at < slot.reminder {
            slot.reminder = at;
            self.wheel.insert(at, Reminder::Socket(index, slot.generation));
        }
    }

    pub(super) fn start_sleep(&mut self, until: Tick) -> (u32, u32) {
        let index = self.free_sleeps.pop().unwrap_or_else(|| {
            self.sleeps.push(SleepSlot { generation: 0, fired: false, waker: None });
            (self.sleeps.len() - 1) as u32
        });
        let generation = self.sleeps[index as usize].generation;
        self.wheel.insert(until, Reminder::Sleep(index, generation));
        (index, generation)
    }

    pub(super) fn end_sleep(&mut self, index: u32) {
        let sleep = &mut self.sleeps[index as usize];
        *sleep = SleepSlot { generation: sleep.generation.wrapping_add(1), fired: false, waker: None };
        self.free_sleeps.push(index);
    }

    pub(super) fn add_listener(&mut self, fd: RawFd) -> usize {
        self.listeners.push(ListenerSlot { fd, ..ListenerSlot::default() });
        self.listeners.len() - 1
    }

    pub(super) fn arm_accept(&mut self, index: usize) {
        let listener = &mut self.listeners[index];
        if listener.armed {
            return;
        }
        listener.armed = true;
        self.driver.accept(listener.fd, user_data(Op::Accept, 0, index as u32));
    }

    /// Stops accepting for now. What was accepted and is not reaped yet still comes, until the slot is not `armed`.
    pub(super) fn pause_accept(&mut self, index: usize) {
        let listener = &mut self.listeners[index];
        if listener.armed && !listener.pausing {
            listener.pausing = true;
            self.driver.cancel(user_data(Op::Accept, 0, index as u32), user_data(Op::Close, 0, 0));
        }
    }

    /// Stops accepting for good; connections that wait in the kernel's queue are reset when `fd` closes. What was
    /// accepted and is not reaped yet is closed when it comes.
    pub(super) fn stop_accept(&mut self, index: usize) {
        self.listeners[index].gone = true;
        self.driver.cancel(user_data(Op::Accept, 0, index as u32), user_data(Op::Close, 0, 0));
    }

    pub(super) fn watch_mail(&mut self, fd: RawFd) {
        self.mail.fd = Some(fd);
        self.arm_mail();
    }

    fn arm_mail(&mut self) {
        let Some(fd) = self.mail.fd.filter(|_| !self.mail.armed) else { return };
        self.mail.armed = true;
        self.driver.watch(fd, user_data(Op::Mail, 0, 0));
    }

    /// Counts an operation that begins on a slot; what it is called.
    fn begin(&mut self, op: Op, index: u32) -> u64 {
        let slot = &mut self.sockets[index as usize];
        slot.pending += 1;
        user_data(op, slot.generation, index)
    }
}

// === one turn ===

impl Inner {
    fn reap(&mut self) {
        while let Some(completion) = self.driver.completion() {
            self.complete(&completion);
        }
        #[cfg(test)]
        while let Some(completion) = self.planted.next() {
            self.complete(&completion);
        }
        // Buffers are back with the kernel now: those that found none start again.
        while let Some(index) = self.starved.pop() {
            self.rearm(index);
        }
    }

    fn complete(&mut self, completion: &Completion) {
        let (index, result) = (completion.data as u32, completion.result);
        match (completion.data >> 56) as u8 {
            op if op == Op::Receive as u8 => self.received(index, completion),
            op if op == Op::Send as u8 => self.sent(index, result),
            op if op == Op::Connect as u8 => self.connected(index, result),
            op if op == Op::Side as u8 => self.completed_one(index),
            op if op == Op::Accept as u8 => self.accepted(index as usize, completion),
            op if op == Op::Mail as u8 => {
                self.mail.armed = completion.more();
                self.arm_mail();
                self.wakes.extend(self.mail.waker.take());
            }
            _ => {} // Close: nobody waits for it
        }
    }

    fn received(&mut self, index: u32, completion: &Completion) {
        let slot = &mut self.sockets[index as usize];
        self.driver.received(completion, |bytes| {
            if !slot.abandoned {
                slot.inbox.extend_from_slice(bytes);
            }
        });
        match completion.result {
            1.. => {}
            0 => slot.end = Some(End::Closed),
            error if -error == libc::ENOBUFS => self.starved.push(index),
            error if -error == libc::ECANCELED => {}
            error => slot.end = Some(End::Failed(-error)),
        }
        self.wakes.extend(slot.receive_waker.take());
        let full = slot.waiting() >= self.inbox_bytes;
        if !completion.more() {
            slot.receive = Receive::Idle;
            self.completed_one(index);
            // The kernel may end a multishot for reasons of its own; ours are handled above.
            if -completion.result != libc::ENOBUFS {
                self.rearm(index);
            }
        } else if full && slot.receive == Receive::Armed {
            slot.receive = Receive::Cancelling;
            let target = user_data(Op::Receive, slot.generation, index);
            let data = self.begin(Op::Side, index);
            self.driver.cancel(target, data);
        }
    }

    /// Like `arm_receive`, but safe for a slot that `completed_one` may just have released.
    fn rearm(&mut self, index: u32) {
        if self.sockets[index as usize].fd >= 0 {
            self.arm_receive(index);
        }
    }

    fn sent(&mut self, index: u32, result: i32) {
        let slot = &mut self.sockets[index as usize];
        slot.pending -= 1;
        if slot.outgoing.advance(result) && !slot.abandoned {
            self.push_send(index);
        } else {
            if slot.wakes_when_sent || slot.outgoing.has_failed() {
                self.wakes.extend(slot.send_waker.take());
            }
            self.release_if_done(index);
        }
    }

    fn connected(&mut self, index: u32, result: i32) {
        let slot = &mut self.sockets[index as usize];
        slot.outgoing.connected(result);
        self.wakes.extend(slot.send_waker.take());
        self.completed_one(index);
    }

    fn completed_one(&mut self, index: u32) {
        self.sockets[index as usize].pending -= 1;
        self.release_if_done(index);
    }

    fn accepted(&mut self, index: usize, completion: &Completion) {
        let (listener, result) = (&mut self.listeners[index], completion.result);
        #[cfg(test)]
        let result = self.planted.instead_of_accepting(result);
        let paused = listener.pausing;
        listener.armed = completion.more();
        listener.pausing &= listener.armed;
        if result >= 0 && listener.gone {
            // SAFETY: the kernel made this descriptor for the listener; nobody else has heard of it.
            drop(unsafe { OwnedFd::from_raw_fd(result) });
        } else if result >= 0 {
            listener.accepted.push(result);
        } else if !(paused && -result == libc::ECANCELED) {
            listener.failed = Some(-result);
        }
        self.wakes.extend(listener.waker.take());
    }

    fn expire(&mut self, now: Tick) {
        let Inner { wheel, sockets, sleeps, wakes, .. } = self;
        let mut again = Vec::new();
        wheel.expire(now, |reminder| match reminder {
            Reminder::Socket(index, generation) => {
                let slot = &mut sockets[index as usize];
                if slot.generation != generation || slot.abandoned {
                    return;
                }
                slot.reminder = NEVER;
                if slot.deadline <= now {
                    slot.deadline = NEVER;
                    slot.timed_out = true;
                    wakes.extend(slot.receive_waker.take());
                    wakes.extend(slot.send_waker.take());
                } else if slot.deadline != NEVER {
                    slot.reminder = slot.deadline;
                    again.push((slot.deadline, Reminder::Socket(index, generation)));
                }
            }
            Reminder::Sleep(index, generation) => {
                let sleep = &mut sleeps[index as usize];
                if sleep.generation == generation {
                    sleep.fired = true;
                    wakes.extend(sleep.waker.take());
                }
            }
        });
        for (at, reminder) in again {
            self.wheel.insert(at, reminder);
        }
    }
}

/// Gives a gather's buffers to the slot that sends them.
pub(super) fn load(slot: &mut Slot, gather: Gather) {
    slot.outgoing.load(gather);
}
