//! The system calls of the epoll driver, each as the kernel has it: a result, or the number of an error.
//!
//! They concern descriptors that a slot, a listener or a mailbox holds open; a number that is no descriptor any
//! more is an error (`EBADF`) and nothing worse.

use crate::runtime::outgoing::{Address, Message, Pieces};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What came of a system call: the number of the error is positive.
pub(super) type Outcome = Result<usize, i32>;

/// A set of descriptors to wait for.
pub(super) struct Epoll(OwnedFd);

/// What a wait found: which descriptor, and what it is ready for.
pub(super) type Event = libc::epoll_event;

/// Nothing.
pub(super) const NO_EVENT: Event = Event { events: 0, u64: 0 };

impl Epoll {
    pub(super) fn new() -> io::Result<Epoll> {
        // SAFETY: takes a number only; the result is checked before it becomes an `OwnedFd`.
        match unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) } {
            -1 => Err(io::Error::last_os_error()),
            // SAFETY: a descriptor that was just made and that nobody else knows.
            fd => Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) })),
        }
    }

    /// Watches `fd` until it is closed; events carry `data`.
    pub(super) fn add(&self, fd: RawFd, events: i32, data: u64) -> Outcome {
        let mut event = Event { events: events as u32, u64: data };
        // SAFETY: reads one event, which is there.
        let result = unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) };
        outcome(result as isize)
    }

    /// Waits up to `time` for events; how many there are.
    pub(super) fn wait(&self, events: &mut [Event], time: Duration) -> Outcome {
        let most = i32::try_from(events.len()).unwrap_or(i32::MAX);
        // In whole milliseconds, rounded up: deadlines have grains of eight, and this call is on every system.
        let time = i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
        // SAFETY: writes at most `most` events into `events`.
        let result = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), most, time) };
        outcome(result as isize)
    }
}

/// Takes a connection; its descriptor does not block.
pub(super) fn accept(fd: RawFd) -> Outcome {
    let null = std::ptr::null_mut();
    // SAFETY: null pointers ask for no address.
    again(|| unsafe {
        libc::accept4(fd, null, null.cast(), libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC) as isize
    })
}

pub(super) fn receive(fd: RawFd, into: &mut [u8]) -> Outcome {
    // SAFETY: writes at most `into.len()` bytes into `into`.
    again(|| unsafe { libc::recv(fd, into.as_mut_ptr().cast(), into.len(), 0) })
}

/// Sends as much of `message` as there is room for.
///
/// # Safety
/// What it points at is there.
pub(super) unsafe fn send(fd: RawFd, message: Message) -> Outcome {
    const FLAGS: i32 = libc::MSG_NOSIGNAL;
    again(|| match message.pieces {
        // SAFETY: reads the bytes of the message, which are there as the caller says.
        Pieces::One(at) => unsafe { libc::send(fd, at.cast(), message.len, FLAGS) },
        // SAFETY: reads the header of the message and what it points at, which are there as the caller says.
        Pieces::Many(header) => unsafe { libc::sendmsg(fd, header, FLAGS) },
    })
}

/// Begins to connect.
///
/// # Safety
/// The address is there.
pub(super) unsafe fn connect(fd: RawFd, address: Address) -> Outcome {
    // SAFETY: reads the address, which is there as the caller says.
    outcome(unsafe { libc::connect(fd, address.at, address.len) } as isize)
}

/// How a connect ended that could not end at once.
pub(super) fn connected(fd: RawFd) -> Outcome {
    let (mut error, mut len) = (0i32, size_of::<i32>() as libc::socklen_t);
    // SAFETY: writes at most `len` bytes into `error`, and their number into `len`.
    let result = unsafe {
        libc::getsockopt(fd, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &raw mut len)
    };
    outcome(result as isize).and(if error == 0 { Ok(0) } else { Err(error) })
}

pub(super) fn shutdown_write(fd: RawFd) -> Outcome {
    // SAFETY: takes numbers only.
    outcome(unsafe { libc::shutdown(fd, libc::SHUT_WR) } as isize)
}

/// Closes the descriptor of a slot that has been released.
pub(super) fn close(fd: RawFd) {
    // SAFETY: the slot owned it, and a released slot holds it no longer.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// Calls until no signal gets in the way.
fn again(mut call: impl FnMut() -> isize) -> Outcome {
    loop {
        match outcome(call()) {
            Err(libc::EINTR) => {}
            outcome => return outcome,
        }
    }
}

fn outcome(result: isize) -> Outcome {
    usize::try_from(result).map_err(|_| io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
}
