//! Bytes on their way to the kernel, and what it means when they have got there.

use crate::ledger::Usage;
use crate::limits;
use std::collections::VecDeque;
use std::io::{ErrorKind, Result, Write};
use std::net::TcpStream;

/// What the books enter once the byte before it has been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The answer has stated this usage.
    Usage(Usage),
    /// The answer is complete.
    Done { chat: bool },
}

/// The output of one connection.
#[derive(Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    at: usize,
    /// Bytes produced and bytes taken since the connection began.
    produced: u64,
    taken: u64,
    marks: VecDeque<(u64, Mark)>,
}

impl Output {
    /// Bytes not yet taken.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends what `append` appends.
    pub(super) fn write(&mut self, append: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        append(&mut self.bytes);
        self.produced += (self.bytes.len() - before) as u64;
    }

    /// Sets a mark behind the last byte.
    pub(super) fn mark_if(&mut self, mark: Option<Mark>) {
        self.marks.extend(mark.map(|mark| (self.produced, mark)));
    }

    /// The next mark that has been reached.
    pub(super) fn next_mark(&mut self) -> Option<Mark> {
        match self.marks.front() {
            Some((place, _)) if *place <= self.taken => self.marks.pop_front().map(|(_, mark)| mark),
            _ => None,
        }
    }

    /// Hands over as much as the kernel takes; returns how much.
    pub(super) fn flush(&mut self, mut socket: &TcpStream) -> Result<u64> {
        let before = self.taken;
        while self.at < self.bytes.len() {
            match socket.write(&self.bytes[self.at..]) {
                Ok(count) => {
                    self.at += count;
                    self.taken += count as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.make_room();
        Ok(self.taken - before)
    }

    /// Forgets the bytes taken.
    fn make_room(&mut self) {
        if self.is_empty() {
            self.bytes.clear();
            self.at = 0;
            if self.bytes.capacity() > limits::BUFFER_KEPT_MAX {
                self.bytes = Vec::new();
            }
        } else if self.at >= limits::OUTPUT_HIGH_WATER {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
    }
}
