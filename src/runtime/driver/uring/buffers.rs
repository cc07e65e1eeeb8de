//! Receive buffers that the kernel chooses from: one ring of provided buffers per worker.
//!
//! The kernel fills a buffer only when bytes are there, so idle connections hold none. A filled buffer is
//! copied out and given back in the same turn of the loop (see `ring.rs`), so no slow reader can keep one.

use io_uring::types::BufRingEntry;
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

/// The group number of the one buffer ring that a worker registers.
pub(super) const GROUP: u16 = 0;

/// A registered ring of receive buffers; all memory is one private mapping.
pub(super) struct ReceiveBuffers {
    /// INVARIANT: a live mapping of `mapped` bytes that starts with `count` ring entries, page-aligned,
    /// followed at `data_at` by `count` buffers of `size` bytes. Unmapped only in `drop`.
    base: *mut u8,
    mapped: usize,
    data_at: usize,
    count: u16,
    size: usize,
    tail: u16,
}

impl ReceiveBuffers {
    /// Maps `count` buffers (a power of two, at most 32,768) of `size` bytes and registers them with `ring`.
    pub(super) fn register(ring: &io_uring::IoUring, count: u16, size: usize) -> io::Result<ReceiveBuffers> {
        assert!(count.is_power_of_two() && count <= 1 << 15, "a buffer ring holds a power of two of buffers");
        let data_at = (usize::from(count) * size_of::<BufRingEntry>()).next_multiple_of(4096);
        let mapped = data_at + usize::from(count) * size;
        // SAFETY: an anonymous private mapping with no address hint has no preconditions; the result is checked.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                mapped,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mut buffers = ReceiveBuffers { base: base.cast(), mapped, data_at, count, size, tail: 0 };
        // SAFETY: the entries are at the page-aligned start of a mapping that lives until the ring is gone:
        // `Driver` drops its `IoUring` before this value (field order), and unregistering happens with it.
        unsafe { ring.submitter().register_buf_ring_with_flags(buffers.base as u64, count, GROUP, 0)? };
        for id in 0..count {
            buffers.put_entry(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// The first `len` bytes of buffer `id`, as the completion that named it says.
    pub(super) fn filled(&self, id: u16, len: usize) -> &[u8] {
        assert!(id < self.count && len <= self.size, "the kernel names a buffer that was never provided");
        // SAFETY: inside the mapping by the INVARIANT and the check; the kernel gave the buffer back with the
        // completion and does not write to it until `give_back` publishes it again, which needs `&mut self`.
        unsafe { std::slice::from_raw_parts(self.base.add(self.data_at + usize::from(id) * self.size), len) }
    }

    /// Returns buffer `id` to the kernel.
    pub(super) fn give_back(&mut self, id: u16) {
        assert!(id < self.count, "the kernel names a buffer that was never provided");
        self.put_entry(id);
        self.publish();
    }

    fn put_entry(&mut self, id: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let address = self.base as u64 + (self.data_at + usize::from(id) * self.size) as u64;
        // SAFETY: `slot < count`, so the entry is inside the mapping (INVARIANT) and aligned as its type;
        // the kernel reads entries only below the published tail, which this slot is not yet.
        let entry = unsafe { &mut *self.base.cast::<BufRingEntry>().add(slot) };
        entry.set_addr(address);
        entry.set_len(self.size as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&mut self) {
        // SAFETY: `base` is the first entry of the registered ring, so `tail` is the address of its tail
        // field; the kernel reads it with acquire order, hence the atomic release store.
        unsafe {
            let tail = BufRingEntry::tail(self.base.cast::<BufRingEntry>()).cast_mut();
            AtomicU16::from_ptr(tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for ReceiveBuffers {
    fn drop(&mut self) {
        // SAFETY: the mapping of the INVARIANT; the ring that used it is already closed (field order in `Driver`).
        unsafe { libc::munmap(self.base.cast(), self.mapped) };
    }
}
