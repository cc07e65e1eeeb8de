//! What a socket is sending, in memory that stays where the kernel was told it is.

use super::gather::{Gather, PIECES_MAX};
use std::io;
use std::net::SocketAddr;

/// The sending side of a slot: one gathered write, or one connect, at a time.
#[derive(Default)]
pub(super) struct Outgoing {
    gather: Gather,
    /// Bytes of `gather` that the kernel has taken.
    taken: usize,
    total: usize,
    result: Option<io::Result<()>>,
    vectors: Option<Box<Vectors>>,
    address: Option<Box<Stored>>,
}

/// What is left to send, as the kernel takes it. Points into the `Outgoing` that it is of.
#[derive(Clone, Copy)]
pub(super) struct Message {
    pub(super) pieces: Pieces,
    /// Bytes in all of them.
    pub(super) len: usize,
}

#[derive(Clone, Copy)]
pub(super) enum Pieces {
    One(*const u8),
    Many(*const libc::msghdr),
}

/// Where a connect goes to, as the kernel takes it. Points into the `Outgoing` that it is of.
#[derive(Clone, Copy)]
pub(super) struct Address {
    pub(super) at: *const libc::sockaddr,
    pub(super) len: libc::socklen_t,
}

/// The structures of one `sendmsg`; boxed, because the slot they belong to may move.
struct Vectors {
    header: libc::msghdr,
    list: [libc::iovec; PIECES_MAX],
}

struct Stored {
    storage: libc::sockaddr_storage,
    len: libc::socklen_t,
}

impl Outgoing {
    pub(super) fn load(&mut self, gather: Gather) {
        debug_assert!(self.result.is_none(), "one send at a time");
        self.total = gather.len();
        self.taken = 0;
        self.gather = gather;
    }

    /// What is left.
    pub(super) fn message(&mut self) -> Message {
        let mut skip = self.taken;
        let vectors = self.vectors.get_or_insert_with(|| {
            // SAFETY: both are plain C structures for which all zeroes (null, length 0) is a valid value.
            Box::new(unsafe { std::mem::zeroed() })
        });
        let mut used = 0;
        for slice in self.gather.slices() {
            let passed = skip.min(slice.len());
            skip -= passed;
            let rest = &slice[passed..];
            if !rest.is_empty() {
                vectors.list[used] =
                    libc::iovec { iov_base: rest.as_ptr().cast_mut().cast(), iov_len: rest.len() };
                used += 1;
            }
        }
        if used == 1 {
            let only = vectors.list[0];
            return Message { pieces: Pieces::One(only.iov_base.cast_const().cast()), len: only.iov_len };
        }
        vectors.header.msg_iov = vectors.list.as_mut_ptr();
        vectors.header.msg_iovlen = used as _;
        Message { pieces: Pieces::Many(&raw const vectors.header), len: self.total - self.taken }
    }

    /// Takes the result of a send; `true` when there is more to send.
    pub(super) fn advance(&mut self, result: i32) -> bool {
        match result {
            sent @ 0.. => self.taken += sent as usize,
            error if -error == libc::EINTR || -error == libc::EAGAIN => return true,
            error => {
                self.result = Some(Err(io::Error::from_raw_os_error(-error)));
                return false;
            }
        }
        if self.taken < self.total && result > 0 {
            return true;
        }
        let done = self.taken >= self.total;
        self.result = Some(if done { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) });
        false
    }

    /// The finished send, with its buffers; `None` while it is under way.
    pub(super) fn finished(&mut self) -> Option<(Gather, io::Result<()>)> {
        let result = self.result.take()?;
        Some((std::mem::take(&mut self.gather), result))
    }

    /// Whether the send is over and not all was taken.
    pub(super) fn has_failed(&self) -> bool {
        matches!(self.result, Some(Err(_)))
    }

    pub(super) fn set_address(&mut self, address: &SocketAddr) {
        let address = socket2::SockAddr::from(*address);
        // SAFETY: `sockaddr_storage` is a plain C structure for which all zeroes is a valid value.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let len = address.len() as usize;
        // SAFETY: `address` is `len` initialised bytes, and `len` never exceeds a `sockaddr_storage`.
        unsafe {
            std::ptr::copy_nonoverlapping(address.as_ptr().cast::<u8>(), (&raw mut storage).cast(), len)
        };
        self.address = Some(Box::new(Stored { storage, len: len as libc::socklen_t }));
    }

    /// Where the connect under way goes to.
    pub(super) fn address(&self) -> Address {
        match &self.address {
            Some(stored) => Address { at: (&raw const stored.storage).cast(), len: stored.len },
            None => Address { at: std::ptr::null(), len: 0 },
        }
    }

    pub(super) fn connected(&mut self, result: i32) {
        self.result = Some(if result < 0 { Err(io::Error::from_raw_os_error(-result)) } else { Ok(()) });
    }
}
