//! Descriptors on their way from one process to another, over a Unix socket (SCM_RIGHTS).

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags,
};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// The most descriptors that go with one message; the kernel takes 253.
pub const PASSED_MAX: usize = 32;

/// Sends a beginning of `bytes`, how much is told, and with its first byte `fds`, at most [`PASSED_MAX`].
///
/// # Errors
/// The other end is gone, or does not read in time.
pub fn send(stream: &UnixStream, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let sent = rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL);
    Ok(sent?)
}

/// Receives bytes, and puts the descriptors that came with them behind `fds`. They are closed when another program is
/// started.
///
/// # Errors
/// As a read of the stream; also when descriptors were lost because this process may open no more.
pub fn receive(stream: &UnixStream, bytes: &mut [u8], fds: &mut Vec<OwnedFd>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    if received.flags.contains(rustix::net::ReturnFlags::CTRUNC) {
        return Err(io::Error::other("sockets were lost on the way: this process may open no more files"));
    }
    Ok(received.bytes)
}

/// The user that the process at the other end runs as.
///
/// # Errors
/// As the system says.
pub fn peer_user(stream: &UnixStream) -> io::Result<u32> {
    Ok(rustix::net::sockopt::socket_peercred(stream)?.uid.as_raw())
}

/// The user that this process runs as.
pub fn own_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsFd;

    #[test]
    fn a_socket_goes_over_with_its_queue() {
        let (one, other) = UnixStream::pair().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let waiting = TcpStream::connect(address).unwrap();
        assert_eq!(send(&one, b"take it", &[listener.as_fd()]).unwrap(), 7);
        drop(listener);
        let (mut bytes, mut fds) = ([0; 32], Vec::new());
        assert_eq!(receive(&other, &mut bytes, &mut fds).unwrap(), 7);
        let taken = TcpListener::from(fds.pop().expect("a descriptor"));
        assert_eq!(taken.accept().unwrap().1, waiting.local_addr().unwrap());
        assert_eq!(peer_user(&one).unwrap(), own_user());
        drop(one);
        assert_eq!(receive(&other, &mut bytes, &mut fds).unwrap(), 0);
    }
}
