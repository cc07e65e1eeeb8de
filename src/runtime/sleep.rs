//! Waiting for a while.

use super::ring::Ring;
use super::socket::register;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Completes after a time; see [`sleep`].
pub struct Sleep {
    ring: Rc<Ring>,
    index: u32,
}

/// Waits for `time`, up to two grains of the wheel (16 ms) longer.
pub fn sleep(ring: &Rc<Ring>, time: Duration) -> Sleep {
    let until = ring.now() + time;
    let (index, _) = ring.with(|inner| inner.start_sleep(until));
    Sleep { ring: ring.clone(), index }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.ring.with(|inner| {
            let slot = &mut inner.sleeps[self.index as usize];
            if slot.fired {
                return Poll::Ready(());
            }
            register(&mut slot.waker, cx);
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.ring.with(|inner| inner.end_sleep(self.index));
    }
}
