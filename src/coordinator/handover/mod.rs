//! A process hands its work over to the one that takes its place, without refusing a connection or counting anything twice.
//!
//! The old one offers this at a Unix socket ([`offer`], `upgrade.socket`); the new one asks there ([`takeover`],
//! `--takeover`). What is said, a line of JSON each:
//!
//! | who | says | and then |
//! |---|---|---|
//! | new | `Hello` | |
//! | old | `Sockets`, with the descriptors | goes on serving |
//! | new | `Ready`: all is made ready but the accounts | |
//! | old | `Used` of accounts that no store keeps, `Released` | takes no connections any more: they wait in queues that both have |
//! | new | `Serving`: it has the store | |
//! | old | `Yours` | drains; the new one takes connections |
//! | old | `Ask`, `Change`, at last `End` | spends what the new one lends, and tells what exchanges used that it still has |
//! | new | `Lent` to each `Ask` | |
//!
//! Until `Yours` the old one can take everything back: nothing was served by the new one. From then on the new one is the
//! authority over all accounts ([`super::keeper`], `limit::Account::send_away`).

pub(super) mod offer;
pub(super) mod takeover;

use crate::runtime::passing::{self, PASSED_MAX};
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// The longest line; names and labels have bounds far below.
const LINE_MAX: usize = 64 << 10;

/// How long the other process may take to be ready, from its reading of the sockets on: its certificates, credentials and
/// workers are made ready meanwhile.
pub(super) const READY_MAX: Duration = Duration::from_secs(60);

/// How long each may take for everything else that it is waited for.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(10);

/// An account by name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Named {
    /// Its id, in hexadecimal digits: numbers of JSON are not so long everywhere.
    pub(super) account: String,
    /// The name of its rule.
    pub(super) rule: String,
    /// What the rule counts, by the name of the unit.
    pub(super) unit: String,
    /// What its key is called; may be empty.
    pub(super) label: String,
}

/// What the two processes say to one another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Message {
    /// Who wants to take over, and where it keeps balances.
    Hello { version: String, pid: u32, store: Option<String> },
    /// The other is not served now.
    Refused(String),
    /// Sockets, of which as many descriptors come along. More follow unless it is the `last`.
    Sockets { names: Vec<String>, admin: bool, last: bool },
    /// Everything is ready but the accounts.
    Ready,
    /// Of an account that no store keeps for both: units that are used.
    Used(Named, u64),
    /// The store is free; the process that says so takes no connections any more.
    Released { pid: u32 },
    /// The new process keeps the accounts and takes connections.
    Serving,
    /// It may: this one takes nothing back any more.
    Yours,
    /// So many units are to be lent to the old process.
    Ask(Named, u64),
    /// Whether they are.
    Lent(bool),
    /// Beside what was lent, so many units more were used, or fewer.
    Change(Named, i64),
    /// The old process has nothing under way any more.
    End,
}

/// A connection between the two.
pub(super) struct Link {
    stream: UnixStream,
    received: Vec<u8>,
    fds: Vec<OwnedFd>,
}

impl Link {
    /// Over this connection, whose other end is given [`ANSWER_MAX`] for each answer.
    pub(super) fn new(stream: UnixStream) -> io::Result<Link> {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(ANSWER_MAX))?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        Ok(Link { stream, received: Vec::new(), fds: Vec::new() })
    }

    /// How long [`receive`](Link::receive) waits from now on; `None` without end.
    pub(super) fn patience(&self, time: Option<Duration>) -> io::Result<()> {
        self.stream.set_read_timeout(time)
    }

    /// Says something.
    pub(super) fn send(&self, message: &Message) -> io::Result<()> {
        self.send_with(message, &[])
    }

    /// Says something that descriptors go with, at most [`PASSED_MAX`].
    fn send_with(&self, message: &Message, sockets: &[&socket2::Socket]) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.push(b'\n');
        let fds: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
        let mut sent = 0;
        while sent < line.len() {
            let fds = if sent == 0 { &fds[..] } else { &[] }; // they go with the first byte
            match passing::send(&self.stream, &line[sent..], fds) {
                Ok(n) => sent += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next thing that the other says.
    ///
    /// # Errors
    /// It is gone (`UnexpectedEof`), says nothing in time, or speaks otherwise.
    pub(super) fn receive(&mut self) -> io::Result<Message> {
        let mut looked = 0;
        loop {
            if let Some(end) = self.received[looked..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.received.drain(..=looked + end).collect();
                return Ok(serde_json::from_slice(&line)?);
            }
            looked = self.received.len();
            if looked > LINE_MAX {
                return Err(io::Error::other("a line without an end"));
            }
            let mut piece = [0; 16 << 10];
            match passing::receive(&self.stream, &mut piece, &mut self.fds) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.received.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The first `count` descriptors of those that have come.
    fn take_fds(&mut self, count: usize) -> Option<Vec<OwnedFd>> {
        (count <= self.fds.len().min(PASSED_MAX)).then(|| self.fds.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_they_were_said_however_many_come_at_once() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let (one, mut other) = (Link::new(one).expect("a link"), Link::new(other).expect("a link"));
        let named = Named {
            account: format!("{:032x}", u128::MAX),
            rule: "llm/daily\n".to_owned(),
            unit: "tokens".to_owned(),
            label: "ä".repeat(300),
        };
        let said = [
            Message::Hello { version: "1".to_owned(), pid: 7, store: Some("budgets".to_owned()) },
            Message::Used(named.clone(), u64::MAX),
            Message::Change(named, i64::MIN),
            Message::Lent(false),
            Message::End,
        ];
        said.iter().for_each(|message| one.send(message).expect("it is said"));
        for message in said {
            assert_eq!(other.receive().expect("it is heard"), message);
        }
        drop(one);
        assert_eq!(other.receive().expect_err("nobody is there").kind(), io::ErrorKind::UnexpectedEof);
    }
}
