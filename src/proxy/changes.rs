//! Something that changes now and then, and tasks that wait for it.

use crate::runtime::{Ring, sleep};
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long a task waits before it looks again although it heard of no change.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Counts changes and wakes who waits for the next one. One worker's.
#[derive(Default)]
pub(super) struct Changes {
    version: Cell<u64>,
    waiting: RefCell<Vec<Waker>>,
}

impl Changes {
    /// How many changes there have been.
    pub(super) fn version(&self) -> u64 {
        self.version.get()
    }

    /// Says that there was one.
    pub(super) fn change(&self) {
        self.version.set(self.version.get().wrapping_add(1));
        self.waiting.take().into_iter().for_each(Waker::wake);
    }

    /// Waits for a change after `version`, but not for long: a message can be lost.
    pub(super) async fn changed_since(&self, ring: &Rc<Ring>, version: u64) {
        let mut long = pin!(sleep(ring, WAIT_MAX));
        poll_fn(|cx| {
            if self.version.get() != version {
                return Poll::Ready(());
            }
            let mut waiting = self.waiting.borrow_mut();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
            drop(waiting);
            long.as_mut().poll(cx)
        })
        .await;
    }
}
