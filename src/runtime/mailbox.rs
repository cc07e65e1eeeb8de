//! Bounded mailboxes between threads: a lock-free queue and an eventfd that wakes the reader.

use super::ring::Ring;
use super::socket::register;
use crossbeam::queue::ArrayQueue;
use std::future::poll_fn;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// The sending side of a worker's mailbox; any thread may hold a copy.
pub struct MailSender<M> {
    shared: Arc<Shared<M>>,
}

/// The reading side; moves to the worker's thread.
pub struct MailReceiver<M> {
    shared: Arc<Shared<M>>,
}

struct Shared<M> {
    queue: ArrayQueue<M>,
    bell: OwnedFd,
}

/// A mailbox that holds at most `capacity` messages.
pub fn mailbox<M>(capacity: usize) -> io::Result<(MailSender<M>, MailReceiver<M>)> {
    // SAFETY: eventfd has no preconditions; the result is checked before it becomes an `OwnedFd`.
    let bell = unsafe {
        match libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) {
            -1 => return Err(io::Error::last_os_error()),
            fd => OwnedFd::from_raw_fd(fd),
        }
    };
    let shared = Arc::new(Shared { queue: ArrayQueue::new(capacity), bell });
    Ok((MailSender { shared: shared.clone() }, MailReceiver { shared }))
}

impl<M> MailSender<M> {
    /// Puts `message` into the box and rings the bell; gives it back when the box is full.
    pub fn send(&self, message: M) -> Result<(), M> {
        self.shared.queue.push(message)?;
        let one = 1u64.to_ne_bytes();
        // SAFETY: eight readable bytes, which is what an eventfd takes. It fails only when the counter is at
        // its maximum, and then the bell is ringing already.
        unsafe { libc::write(self.shared.bell.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        Ok(())
    }
}

impl<M> Clone for MailSender<M> {
    fn clone(&self) -> Self {
        MailSender { shared: self.shared.clone() }
    }
}

impl<M> MailReceiver<M> {
    /// Lets the worker's ring listen for the bell. Once per worker.
    pub fn attach(&self, ring: &Rc<Ring>) {
        ring.with(|inner| inner.watch_mail(self.shared.bell.as_raw_fd()));
    }

    /// The next message.
    pub async fn receive(&self, ring: &Rc<Ring>) -> M {
        poll_fn(|cx| {
            if let Some(message) = self.shared.queue.pop() {
                return Poll::Ready(message);
            }
            self.silence();
            ring.with(|inner| register(&mut inner.mail.waker, cx));
            // A message that came between the first look and the silencing has rung in vain: look again.
            self.shared.queue.pop().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn silence(&self) {
        let mut count = [0u8; 8];
        // SAFETY: eight writable bytes; the eventfd does not block.
        unsafe { libc::read(self.shared.bell.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}
