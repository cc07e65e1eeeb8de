//! A connection, in the clear or by TLS. One match where the two differ, and nothing else: a connection in the clear
//! pays for no more than that, and the box keeps it as small as it was.

use super::tls::TlsStream;
use crate::base::Tick;
use crate::runtime::{Gather, Socket};
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};
use std::time::Duration;

/// The connection of a client, or one to a provider. Sends and fills like a [`Socket`].
pub(super) enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream>),
}

impl Stream {
    /// The socket underneath, for deadlines.
    pub(super) fn socket(&self) -> &Socket {
        match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(tls) => tls.socket(),
        }
    }

    /// What a URL for it begins with.
    pub(super) fn scheme(&self) -> &'static str {
        match self {
            Stream::Plain(_) => "http",
            Stream::Tls(_) => "https",
        }
    }

    /// Whether nobody on the way can read it.
    pub(super) fn is_secure(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Whether it can carry another request: it is open and silent.
    pub(super) fn is_quiet(&self) -> bool {
        match self {
            Stream::Plain(socket) => socket.is_quiet(),
            Stream::Tls(tls) => tls.is_quiet(),
        }
    }

    /// As [`Socket::poll_gone`]: the peer has ended its side.
    pub(super) fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.socket().poll_gone(cx)
    }

    /// As [`Socket::set_deadline`].
    pub(super) fn set_deadline(&self, at: Tick) {
        self.socket().set_deadline(at);
    }

    /// As [`Socket::deadline_in`].
    pub(super) fn deadline_in(&self, after: Duration) {
        self.socket().deadline_in(after);
    }

    /// As [`Socket::poll_fill`].
    pub(super) fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        match self {
            Stream::Plain(socket) => socket.poll_fill(cx, buf),
            Stream::Tls(tls) => tls.poll_fill(cx, buf),
        }
    }

    /// As [`Socket::fill`].
    pub(super) async fn fill(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, buf)).await
    }

    /// As [`Socket::fill_behind`]; what TLS decrypts is copied in any case.
    pub(super) async fn fill_behind(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        match self {
            Stream::Plain(socket) => socket.fill_behind(buf).await,
            Stream::Tls(_) => self.fill(buf).await,
        }
    }

    /// As [`Socket::start_send`].
    pub(super) fn start_send(&self, gather: Gather) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => {
                socket.start_send(gather);
                Ok(())
            }
            Stream::Tls(tls) => tls.start_send(gather),
        }
    }

    /// As [`Socket::poll_sent`].
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        match self {
            Stream::Plain(socket) => socket.poll_sent(cx),
            Stream::Tls(tls) => tls.poll_sent(cx),
        }
    }

    /// As [`Socket::poll_sent_late`]. TLS has more to do when a part is sent, so it is woken for that.
    pub(super) fn poll_sent_late(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        match self {
            Stream::Plain(socket) => socket.poll_sent_late(cx),
            Stream::Tls(tls) => tls.poll_sent(cx),
        }
    }

    /// As [`Socket::send`].
    pub(super) async fn send(&self, gather: Gather) -> (Gather, io::Result<()>) {
        match self.start_send(gather) {
            Ok(()) => poll_fn(|cx| self.poll_sent(cx)).await,
            Err(error) => (Gather::default(), Err(error)),
        }
    }

    /// Gives large buffers back before it waits for a peer that may be silent for long.
    pub(super) fn rest(&self) {
        if let Stream::Tls(tls) = self {
            tls.rest();
        }
    }

    /// Says by TLS that nothing more comes, within this time; in the clear there is nothing to say. Not for a connection
    /// whose last answer was cut: to a client that reads to the end it would say that this was all of it.
    pub(super) async fn say_goodbye(&self, within: Duration) {
        if let Stream::Tls(tls) = self {
            tls.socket().deadline_in(within);
            tls.say_goodbye().await;
        }
    }
}
