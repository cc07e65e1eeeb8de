//! The driver of the control build: epoll, as a good event loop of its own would use it.
//!
//! Sockets do not block and are registered once, edge-triggered. An edge is told once, so what a descriptor is
//! ready for is kept here until a system call says otherwise: `readable` outlives a receive that is paused, and
//! `full` a send that is given up. A read or write that is cut short proves as much as one that fails, and spares it.
//!
//! When things happen: what only changes this table (accept, receive, watch, cancel one) happens at once. What
//! the peer may notice (send, connect, shutdown), and the cancelling of all that, waits for the turn and keeps
//! its order, as it would in a submission queue. A close comes when nothing is left to wait for it.

mod calls;
#[cfg(test)]
mod tests;
mod turn;

use super::{Completion, Op, user_data};
use crate::runtime::outgoing::{Address, Message};
use crate::runtime::ring::RingConfig;
use calls::{Epoll, Event, NO_EVENT};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;

/// Events taken from the kernel in one turn at most; the others keep.
const EVENTS_MAX: usize = 512;

/// Connections taken in one turn at most.
const ACCEPTS_MAX: u32 = 64;

/// The most that one read takes.
const READ_MAX: usize = 64 << 10;

/// What sockets are registered for.
const SOCKET_EVENTS: i32 = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;

/// A worker's epoll, and what is under way on it.
pub(in crate::runtime) struct Driver {
    epoll: Epoll,
    events: Box<[Event]>,
    /// Where every read goes first, so that a connection which waits holds no buffer.
    scratch: Box<[u8]>,
    /// By the index of their slots.
    sockets: Vec<Watched>,
    listeners: Vec<Accepting>,
    /// What the next turn does before it waits.
    queued: Vec<Queued>,
    done: VecDeque<Completion>,
    /// What there is to read and to accept, in this turn and in the next one.
    active: VecDeque<Active>,
    later: Vec<Active>,
    accepts_left: u32,
    /// The last turn did not ask epoll.
    passed_by: bool,
    /// Why no mail can be heard, if so.
    deaf: Option<i32>,
}

/// A socket as epoll sees it.
struct Watched {
    fd: RawFd,
    registered: bool,
    /// A read may find something: bytes or the end.
    readable: bool,
    /// The peer has ended or broken the stream: after the last bytes there is that to read.
    ended: bool,
    /// There was no room for the last send, and no edge since.
    full: bool,
    /// It is in `active` or `later`.
    listed: bool,
    receive: Option<u64>,
    connect: Option<u64>,
    /// A send that waits for room.
    send: Option<(Message, u64)>,
}

#[derive(Default)]
struct Accepting {
    fd: RawFd,
    registered: bool,
    readable: bool,
    listed: bool,
    accept: Option<u64>,
}

#[derive(Clone, Copy)]
enum Active {
    Socket(u32),
    Listener(u32),
}

enum Queued {
    Send(RawFd, Message, u64),
    Connect(RawFd, Address, u64),
    ShutdownWrite(RawFd, u64),
    CancelAll(u32, u64),
}

impl Driver {
    /// Sockets do not block: what cannot go on at once waits here.
    pub(in crate::runtime) const NONBLOCKING: bool = true;

    pub(in crate::runtime) fn open(config: &RingConfig) -> io::Result<Driver> {
        // No more than an inbox may hold: a reader that is slow gets one read too many, as small as it can be.
        let scratch = config.inbox_bytes.min(READ_MAX).max(config.receive_buffer_bytes);
        Ok(Driver {
            epoll: Epoll::new()?,
            events: vec![NO_EVENT; EVENTS_MAX].into(),
            scratch: vec![0; scratch].into(),
            sockets: Vec::new(),
            listeners: Vec::new(),
            queued: Vec::new(),
            done: VecDeque::new(),
            active: VecDeque::new(),
            later: Vec::new(),
            accepts_left: 0,
            passed_by: false,
            deaf: None,
        })
    }
}

// === operations ===

impl Driver {
    /// Accepts connections until it is cancelled or fails; each completion is a descriptor.
    pub(in crate::runtime) fn accept(&mut self, fd: RawFd, data: u64) {
        let index = data as u32;
        if self.listeners.len() <= index as usize {
            self.listeners.resize_with(index as usize + 1, Accepting::default);
        }
        let listener = &mut self.listeners[index as usize];
        if !listener.registered {
            if let Err(error) = self.epoll.add(fd, libc::EPOLLIN | libc::EPOLLET, data) {
                return self.complete(data, -error, 0);
            }
            (listener.fd, listener.registered) = (fd, true);
        }
        listener.accept = Some(data);
        if listener.readable && !listener.listed {
            listener.listed = true;
            self.later.push(Active::Listener(index));
        }
    }

    /// Receives until it is cancelled, fails or the stream ends; [`received`](Driver::received) has the bytes.
    pub(in crate::runtime) fn receive(&mut self, fd: RawFd, data: u64) {
        let index = data as u32;
        match self.register(index, fd) {
            Ok(socket) => {
                socket.receive = Some(data);
                if socket.readable && !socket.listed {
                    socket.listed = true;
                    self.later.push(Active::Socket(index));
                }
            }
            Err(error) => self.complete(data, -error, 0),
        }
    }

    /// Sends `message`.
    ///
    /// # Safety
    /// What it points at stays as it is until the completion has come.
    pub(in crate::runtime) unsafe fn send(&mut self, fd: RawFd, message: Message, data: u64) {
        self.queued.push(Queued::Send(fd, message, data));
    }

    /// Connects to `address`.
    ///
    /// # Safety
    /// It stays where it is until the completion has come.
    pub(in crate::runtime) unsafe fn connect(&mut self, fd: RawFd, address: Address, data: u64) {
        self.queued.push(Queued::Connect(fd, address, data));
    }

    /// Ends our side of the stream.
    pub(in crate::runtime) fn shutdown_write(&mut self, fd: RawFd, data: u64) {
        self.queued.push(Queued::ShutdownWrite(fd, data));
    }

    /// Tells whenever `fd` becomes readable, which is watched until it is closed.
    pub(in crate::runtime) fn watch(&mut self, fd: RawFd, data: u64) {
        self.deaf = self.epoll.add(fd, libc::EPOLLIN | libc::EPOLLET, data).err();
    }

    /// Cancels the receive or accept that `target` names.
    pub(in crate::runtime) fn cancel(&mut self, target: u64, data: u64) {
        let index = target as u32 as usize;
        let under_way = match target >> 56 {
            op if op == Op::Accept as u64 => self.listeners.get_mut(index).map(|found| &mut found.accept),
            _ => self.sockets.get_mut(index).map(|found| &mut found.receive),
        };
        if under_way.and_then(|found| found.take_if(|found| *found == target)).is_some() {
            self.complete(target, -libc::ECANCELED, 0);
        }
        self.complete(data, 0, 0);
    }

    /// Cancels all operations of the slot `index`.
    pub(in crate::runtime) fn cancel_all(&mut self, index: u32, _fd: RawFd, data: u64) {
        self.queued.push(Queued::CancelAll(index, data));
    }

    /// Closes the descriptor of the slot `index`, which has no operation any more. epoll forgets it by that: no
    /// event of it can come, as all that were taken from the kernel have been looked at.
    pub(in crate::runtime) fn close(&mut self, index: u32, fd: RawFd) {
        if let Some(socket) = self.sockets.get_mut(index as usize) {
            *socket = Watched::new();
        }
        calls::close(fd);
    }

    /// The socket of a slot, registered with epoll.
    fn register(&mut self, index: u32, fd: RawFd) -> Result<&mut Watched, i32> {
        if self.sockets.len() <= index as usize {
            self.sockets.resize_with(index as usize + 1, Watched::new);
        }
        let socket = &mut self.sockets[index as usize];
        if !socket.registered {
            self.epoll.add(fd, SOCKET_EVENTS, user_data(Op::Receive, 0, index))?;
            (socket.fd, socket.registered) = (fd, true);
        }
        Ok(socket)
    }

    fn complete(&mut self, data: u64, result: i32, flags: u32) {
        self.done.push_back(Completion { data, result, flags });
    }
}

impl Watched {
    fn new() -> Watched {
        Watched {
            fd: -1,
            registered: false,
            readable: false,
            ended: false,
            full: false,
            listed: false,
            receive: None,
            connect: None,
            send: None,
        }
    }
}
