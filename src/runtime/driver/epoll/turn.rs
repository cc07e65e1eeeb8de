//! A turn: what is queued is done, epoll is asked, and what is ready is read piece by piece as it is wanted.

use super::super::{Completion, MORE, Op};
use super::calls::{self, Event};
use super::{ACCEPTS_MAX, Active, Driver, Queued};
use crate::runtime::outgoing::{Address, Message};
use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

impl Driver {
    /// Does what is queued, and waits up to `wait` for events unless there is something to tell.
    pub(in crate::runtime) fn turn(&mut self, wait: Duration) -> io::Result<()> {
        if let Some(error) = self.deaf {
            return Err(io::Error::from_raw_os_error(error));
        }
        self.active.extend(self.later.drain(..));
        self.accepts_left = ACCEPTS_MAX;
        self.run_queued();
        let busy = !self.done.is_empty() || !self.active.is_empty();
        // Sends seldom wait, so most turns after one that woke tasks have something to tell without asking epoll:
        // one call for each batch of events is enough. Two such turns in a row, and others might wait for long.
        if busy && !self.passed_by {
            self.passed_by = true;
            return Ok(());
        }
        self.passed_by = false;
        let count = match self.epoll.wait(&mut self.events, if busy { Duration::ZERO } else { wait }) {
            Ok(count) => count,
            Err(libc::EINTR) => 0,
            Err(error) => return Err(io::Error::from_raw_os_error(error)),
        };
        for at in 0..count {
            let Event { events, u64: data } = self.events[at];
            self.event(events as i32, data);
        }
        Ok(())
    }

    /// The next completion; `None` when the turn has no more.
    pub(in crate::runtime) fn completion(&mut self) -> Option<Completion> {
        loop {
            if let Some(done) = self.done.pop_front() {
                return Some(done);
            }
            let brought = match self.active.pop_front()? {
                Active::Socket(index) => self.read(index),
                Active::Listener(index) => self.take_connection(index),
            };
            if brought.is_some() {
                return brought;
            }
        }
    }

    /// Hands the bytes of a receive to `take`, if it brought any. They are those of the last completion.
    pub(in crate::runtime) fn received(&mut self, completion: &Completion, take: impl FnOnce(&[u8])) {
        if completion.result > 0 {
            take(&self.scratch[..completion.result as usize]);
        }
    }

    /// Turns that brought more than there is room for: events that are not taken wait in the kernel, so none does.
    pub(in crate::runtime) fn overflows(&self) -> u64 {
        0
    }

    /// The worker ends: what is queued runs now.
    pub(in crate::runtime) fn finish(&mut self) {
        self.run_queued();
    }

    fn run_queued(&mut self) {
        let mut queued = std::mem::take(&mut self.queued);
        for operation in queued.drain(..) {
            match operation {
                Queued::Send(fd, message, data) => self.try_send(fd, message, data),
                Queued::Connect(fd, address, data) => self.start_connect(fd, address, data),
                Queued::ShutdownWrite(fd, data) => {
                    let result = calls::shutdown_write(fd).err().map_or(0, |error| -error);
                    self.complete(data, result, 0);
                }
                Queued::CancelAll(index, data) => {
                    if let Some(socket) = self.sockets.get_mut(index as usize) {
                        let send = socket.send.take().map(|(_, data)| data);
                        let all = [socket.receive.take(), socket.connect.take(), send];
                        all.into_iter().flatten().for_each(|one| self.complete(one, -libc::ECANCELED, 0));
                    }
                    self.complete(data, 0, 0);
                }
            }
        }
        self.queued = queued;
    }

    /// Notes what a descriptor is ready for, and lets whoever waited for room go on.
    fn event(&mut self, events: i32, data: u64) {
        let index = data as u32;
        if data >> 56 == Op::Mail as u64 {
            return self.complete(data, events, MORE);
        }
        if data >> 56 == Op::Accept as u64 {
            let listener = &mut self.listeners[index as usize];
            listener.readable = true;
            if listener.accept.is_some() && !listener.listed {
                listener.listed = true;
                self.active.push_back(Active::Listener(index));
            }
            return;
        }
        let socket = &mut self.sockets[index as usize];
        let broken = events & (libc::EPOLLHUP | libc::EPOLLERR) != 0;
        if broken || events & (libc::EPOLLIN | libc::EPOLLRDHUP) != 0 {
            socket.readable = true;
            socket.ended |= broken || events & libc::EPOLLRDHUP != 0;
            if socket.receive.is_some() && !socket.listed {
                socket.listed = true;
                self.active.push_back(Active::Socket(index));
            }
        }
        if broken || events & libc::EPOLLOUT != 0 {
            self.room(index);
        }
    }

    /// A socket can be written to, or fails when one tries.
    fn room(&mut self, index: u32) {
        let socket = &mut self.sockets[index as usize];
        socket.full = false;
        let (fd, connect, send) = (socket.fd, socket.connect.take(), socket.send.take());
        if let Some(data) = connect {
            let result = calls::connected(fd).err().map_or(0, |error| -error);
            self.complete(data, result, 0);
        }
        if let Some((message, data)) = send {
            self.try_send(fd, message, data);
        }
    }
}

// === what a turn does ===

impl Driver {
    fn try_send(&mut self, fd: RawFd, message: Message, data: u64) {
        let socket = match self.register(data as u32, fd) {
            Ok(socket) => socket,
            Err(error) => return self.complete(data, -error, 0),
        };
        if socket.full {
            socket.send = Some((message, data));
            return;
        }
        // SAFETY: the message was given to `send`, whose caller keeps it until the completion, which comes below.
        match unsafe { calls::send(fd, message) } {
            Ok(sent) => {
                // What did not fit waits for the edge without another try.
                socket.full = sent < message.len;
                self.complete(data, sent as i32, 0);
            }
            Err(libc::EAGAIN) => {
                socket.full = true;
                socket.send = Some((message, data));
            }
            Err(error) => self.complete(data, -error, 0),
        }
    }

    fn start_connect(&mut self, fd: RawFd, address: Address, data: u64) {
        // SAFETY: the address was given to `connect`, whose caller keeps it until the completion, which comes later.
        match unsafe { calls::connect(fd, address) } {
            Ok(_) => self.complete(data, 0, 0),
            // Registered only now: a socket that connects to nothing yet counts as broken.
            Err(libc::EINPROGRESS) => match self.register(data as u32, fd) {
                Ok(socket) => socket.connect = Some(data),
                Err(error) => self.complete(data, -error, 0),
            },
            Err(error) => self.complete(data, -error, 0),
        }
    }

    /// One read in a turn, so that nobody keeps the others waiting; two when the second finds the end.
    fn read(&mut self, index: u32) -> Option<Completion> {
        let socket = &mut self.sockets[index as usize];
        socket.listed = false;
        let data = socket.receive.filter(|_| socket.readable)?;
        match calls::receive(socket.fd, &mut self.scratch) {
            Ok(0) => {
                socket.receive = None;
                Some(Completion { data, result: 0, flags: 0 })
            }
            Ok(read) => {
                let is_short = read < self.scratch.len();
                socket.readable = socket.ended || !is_short;
                socket.listed = socket.readable;
                match is_short {
                    false => self.later.push(Active::Socket(index)),
                    true if socket.ended => self.active.push_front(Active::Socket(index)),
                    true => {}
                }
                Some(Completion { data, result: read as i32, flags: MORE })
            }
            Err(libc::EAGAIN) => {
                socket.readable = false;
                None
            }
            Err(error) => {
                socket.receive = None;
                Some(Completion { data, result: -error, flags: 0 })
            }
        }
    }

    fn take_connection(&mut self, index: u32) -> Option<Completion> {
        let listener = &mut self.listeners[index as usize];
        listener.listed = false;
        let data = listener.accept.filter(|_| listener.readable)?;
        if self.accepts_left == 0 {
            listener.listed = true;
            self.later.push(Active::Listener(index));
            return None;
        }
        match calls::accept(listener.fd) {
            Ok(fd) => {
                self.accepts_left -= 1;
                listener.listed = true;
                self.active.push_back(Active::Listener(index));
                Some(Completion { data, result: fd as i32, flags: MORE })
            }
            Err(libc::EAGAIN) => {
                listener.readable = false;
                None
            }
            // Connections may still wait: whoever starts again looks for them.
            Err(error) => {
                listener.accept = None;
                Some(Completion { data, result: -error, flags: 0 })
            }
        }
    }
}
