//! Listening sockets: one per worker and address, shared by the kernel through SO_REUSEPORT.

use super::driver::Driver;
use super::ring::Ring;
use super::socket::{Socket, register};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll};

/// Connections that may wait in the kernel for a worker to take them.
pub(super) const BACKLOG: i32 = 4096;

/// Opens a listening socket that other workers' sockets on the same address share connections with.
///
/// Done by the thread that starts the workers, so that a port in use is reported before anything runs.
/// TCP_NODELAY is inherited by every connection that is accepted.
pub fn bind(address: SocketAddr) -> io::Result<socket2::Socket> {
    let kind = socket2::Type::STREAM.cloexec().nonblocking();
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), kind, None)?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// A listening socket on a worker's ring.
pub struct Listener {
    ring: Rc<Ring>,
    index: usize,
    socket: socket2::Socket,
}

impl Listener {
    /// Takes connections as soon as it is asked for one.
    pub fn new(ring: &Rc<Ring>, socket: socket2::Socket) -> Listener {
        let index = ring.with(|inner| inner.add_listener(socket.as_raw_fd()));
        Listener { ring: ring.clone(), index, socket }
    }

    /// Stops accepting, and gives what was accepted before, one by one; `None` when that was all. Whoever asks
    /// [`poll_accept`](Listener::poll_accept) again goes on accepting.
    pub fn poll_rest(&self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Socket>>> {
        let taken = self.ring.with(|inner| {
            inner.pause_accept(self.index);
            let listener = &mut inner.listeners[self.index];
            listener.failed = None;
            let taken = listener.accepted.pop();
            if taken.is_none() && listener.armed {
                register(&mut listener.waker, cx);
                return Poll::Pending;
            }
            Poll::Ready(taken)
        });
        taken.map(|fd| fd.map(|fd| Ok(Socket::adopt(&self.ring, fd))))
    }

    /// Has the task woken by the next [`Ring::nudge`].
    pub fn wait(&self, cx: &mut Context<'_>) {
        self.ring.with(|inner| register(&mut inner.listeners[self.index].waker, cx));
    }

    /// A connection that waits in the kernel's queue, taken past the ring; closing the socket would reset it.
    pub fn take_waiting(&self) -> Option<Socket> {
        let (socket, _) = self.socket.accept().ok()?;
        socket.set_nonblocking(Driver::NONBLOCKING).ok()?;
        Some(Socket::adopt(&self.ring, socket.into_raw_fd()))
    }

    /// Lets nobody new in: the kernel drops what asks for a connection, and who asks does so again a second later, of whoever
    /// listens then. Handshakes that have begun end. For a socket that nobody else has and that is about to close.
    pub fn turn_away(&self) -> io::Result<()> {
        let op = |code: u32, on_true, on_false, operand| {
            socket2::SockFilter::new(code as u16, on_true, on_false, operand) // codes have 16 bits
        };
        // A program over the segment (RFC 9293 section 3.1): its flags are byte 13, and SYN is the second lowest.
        self.socket.attach_filter(&[
            op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, 13),
            op(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0, 1, 0b10),
            op(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
            op(libc::BPF_RET | libc::BPF_K, 0, 0, u32::MAX),
        ])
    }

    /// The next connection. An error (too many open files, say) ends nothing: wait a moment and call again.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Socket>> {
        let taken = self.ring.with(|inner| {
            let listener = &mut inner.listeners[self.index];
            if let Some(fd) = listener.accepted.pop() {
                return Some(Ok(fd));
            }
            if let Some(error) = listener.failed.take() {
                return Some(Err(io::Error::from_raw_os_error(error)));
            }
            register(&mut listener.waker, cx);
            inner.arm_accept(self.index);
            None
        });
        match taken {
            Some(Ok(fd)) => Poll::Ready(Ok(Socket::adopt(&self.ring, fd))),
            Some(Err(error)) => Poll::Ready(Err(error)),
            None => Poll::Pending,
        }
    }

    /// [`poll_accept`](Listener::poll_accept) as a future.
    pub async fn accept(&self) -> io::Result<Socket> {
        poll_fn(|cx| self.poll_accept(cx)).await
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.ring.with(|inner| {
            inner.stop_accept(self.index);
            for fd in inner.listeners[self.index].accepted.drain(..) {
                // SAFETY: an accepted descriptor that nobody took yet belongs to this list alone.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
        });
    }
}
