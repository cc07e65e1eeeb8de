//! Sockets for tasks: thin handles on slots of the worker's ring.

use super::driver::Driver;
use super::gather::Gather;
use super::ring::{Ring, load};
use super::slots::{End, NEVER};
use crate::base::Tick;
use std::future::poll_fn;
use std::io;
use std::mem::ManuallyDrop;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, IntoRawFd, RawFd};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// A TCP stream on the worker's ring. Receiving starts with the socket and goes on by itself; the bytes wait
/// in an inbox until [`fill`](Socket::fill) takes them, and the end of the stream is known without asking.
///
/// There are four kinds of method: taking what arrived (`fill`, `gone`), sending (`send`, or `start_send` and
/// `sent` when something else must be watched meanwhile), the one deadline (`set_deadline`), and the end
/// (`shutdown_write`; dropping closes). At most one task receives and one sends at a time. Dropping is safe at
/// any moment: what the kernel still uses stays alive until the kernel is done with it.
pub struct Socket {
    ring: Rc<Ring>,
    index: u32,
}

impl Socket {
    /// Takes over a connected descriptor.
    pub(super) fn adopt(ring: &Rc<Ring>, fd: RawFd) -> Socket {
        let (index, _) = ring.with(|inner| inner.add_socket(fd));
        ring.with(|inner| inner.arm_receive(index));
        Socket { ring: ring.clone(), index }
    }

    /// Connects to `address` by `deadline`. TCP_NODELAY is set.
    pub async fn connect(ring: &Rc<Ring>, address: SocketAddr, deadline: Tick) -> io::Result<Socket> {
        let kind = socket2::Type::STREAM.cloexec();
        let kind = if Driver::NONBLOCKING { kind.nonblocking() } else { kind };
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind, None)?;
        socket.set_tcp_nodelay(true)?;
        if let Some(bytes) = ring.receive_buffer.get() {
            socket.set_recv_buffer_size(bytes)?;
        }
        let (index, _) = ring.with(|inner| inner.add_socket(socket.into_raw_fd()));
        let socket = Socket { ring: ring.clone(), index };
        socket.set_deadline(deadline);
        ring.with(|inner| {
            inner.slot(index).outgoing.set_address(&address);
            inner.push_connect(index);
        });
        let (_, connected) = socket.sent().await;
        connected?;
        socket.clear_deadline();
        ring.with(|inner| inner.arm_receive(index));
        Ok(socket)
    }

    // === receiving ===

    /// Appends what has arrived to `buf`, waiting for at least one byte. `Ok(0)`: the peer ended its side.
    /// An empty `buf` is exchanged for the inbox, without a copy.
    pub async fn fill(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill(cx, buf)).await
    }

    /// [`fill`](Socket::fill), to be polled beside something else.
    pub fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        self.ring.with(|inner| {
            let slot = inner.slot(self.index);
            if !slot.inbox.is_empty() {
                let arrived = slot.inbox.len();
                if buf.is_empty() {
                    std::mem::swap(buf, &mut slot.inbox);
                } else {
                    buf.append(&mut slot.inbox);
                }
                inner.arm_receive(self.index);
                return Poll::Ready(Ok(arrived));
            }
            match slot.end {
                Some(End::Closed) => Poll::Ready(Ok(0)),
                Some(End::Failed(error)) => Poll::Ready(Err(io::Error::from_raw_os_error(error))),
                None if slot.timed_out => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
                None => {
                    register(&mut slot.receive_waker, cx);
                    Poll::Pending
                }
            }
        })
    }

    /// [`fill`](Socket::fill) of a large message: while the task waits, the inbox is `buf` itself, so that what arrives
    /// is not copied once more. Who drops this while it waits loses what `buf` held.
    pub async fn fill_behind(&self, buf: &mut Vec<u8>) -> io::Result<usize> {
        poll_fn(|cx| self.poll_fill_behind(cx, buf)).await
    }

    fn poll_fill_behind(&self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let arrived = self.ring.with(|inner| {
            let arrived = inner.slot(self.index).give_back(buf);
            inner.arm_receive(self.index);
            arrived
        });
        if arrived > 0 {
            return Poll::Ready(Ok(arrived));
        }
        let filled = self.poll_fill(cx, buf);
        if filled.is_pending() {
            self.ring.with(|inner| inner.slot(self.index).lend(buf));
        }
        filled
    }

    /// Ready when the peer ended or reset its side, whether or not bytes still wait in the inbox.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.ring.with(|inner| {
            let slot = inner.slot(self.index);
            if slot.end.is_some() {
                return Poll::Ready(());
            }
            register(&mut slot.receive_waker, cx);
            Poll::Pending
        })
    }

    /// Whether the stream is open and silent: nothing waits in the inbox and the peer has not ended it. An
    /// idle connection of a pool that is not quiet must not be used again.
    pub fn is_quiet(&self) -> bool {
        self.ring.with(|inner| {
            let slot = inner.slot(self.index);
            slot.end.is_none() && slot.inbox.is_empty()
        })
    }

    // === sending ===

    /// Sends all of `gather` and gives its buffers back.
    pub async fn send(&self, gather: Gather) -> (Gather, io::Result<()>) {
        self.start_send(gather);
        self.sent().await
    }

    /// Starts sending; [`sent`](Socket::sent) says when it is done. One send at a time.
    pub fn start_send(&self, gather: Gather) {
        self.ring.with(|inner| {
            load(inner.slot(self.index), gather);
            inner.push_send(self.index);
        });
    }

    /// Waits for the send that was started.
    pub async fn sent(&self) -> (Gather, io::Result<()>) {
        poll_fn(|cx| self.poll_sent(cx)).await
    }

    /// [`sent`](Socket::sent), to be polled beside something else. After a time-out the buffers stay with
    /// the kernel and an empty `Gather` comes back; the socket must then be dropped.
    pub fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        self.ring.with(|inner| {
            let slot = inner.slot(self.index);
            if let Some(finished) = slot.outgoing.finished() {
                return Poll::Ready(finished);
            }
            if slot.timed_out {
                return Poll::Ready((Gather::default(), Err(io::ErrorKind::TimedOut.into())));
            }
            register(&mut slot.send_waker, cx);
            slot.wakes_when_sent = true;
            Poll::Pending
        })
    }

    /// [`poll_sent`](Socket::poll_sent) for a task that waits for something else too, and has nothing to do when all
    /// is sent: it is woken when sending fails, else it finds out when it is woken anyway.
    pub fn poll_sent_late(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        let sent = self.poll_sent(cx);
        if sent.is_pending() {
            self.ring.with(|inner| inner.slot(self.index).wakes_when_sent = false);
        }
        sent
    }

    // === deadline, end ===

    /// Sets the deadline of whatever this socket waits for; a wait that passes it fails with `TimedOut`.
    /// Met within two grains of the wheel (16 ms).
    pub fn set_deadline(&self, at: Tick) {
        self.ring.with(|inner| inner.set_deadline(self.index, at));
    }

    /// [`set_deadline`](Socket::set_deadline), counted from the present turn.
    pub fn deadline_in(&self, after: Duration) {
        self.set_deadline(self.ring.now() + after);
    }

    /// Waits may last for ever.
    pub fn clear_deadline(&self) {
        self.set_deadline(NEVER);
    }

    /// Ends our side: the peer reads what was sent, then the end of the stream.
    pub fn shutdown_write(&self) {
        self.ring.with(|inner| inner.push_shutdown_write(self.index));
    }

    /// The address of the other side; `None` when it is gone already.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.descriptor().peer_addr().ok()?.as_socket()
    }

    /// Makes the close of this connection, when it comes, a reset: for an answer that its end alone delimits, and which is
    /// not whole. What the peer has received it can still read.
    pub fn reset_when_closed(&self) {
        let _ = self.descriptor().set_linger(Some(Duration::ZERO)); // on a connection that is gone it changes nothing
    }

    fn descriptor(&self) -> ManuallyDrop<socket2::Socket> {
        let fd = self.ring.with(|inner| inner.slot(self.index).fd);
        // SAFETY: the slot owns an open descriptor while this handle lives; `ManuallyDrop` leaves it open.
        ManuallyDrop::new(unsafe { socket2::Socket::from_raw_fd(fd) })
    }

    /// The ring this socket lives on.
    pub fn ring(&self) -> &Rc<Ring> {
        &self.ring
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.ring.with(|inner| inner.abandon(self.index));
    }
}

/// Remembers the task to wake, without cloning when it is the same one as before.
pub(super) fn register(waker: &mut Option<std::task::Waker>, cx: &Context<'_>) {
    match waker {
        Some(known) if known.will_wake(cx.waker()) => {}
        _ => *waker = Some(cx.waker().clone()),
    }
}
