//! The memory that exchanges hold of what others decide the length of: bodies, events, windows. A worker knows the sum.

use super::fault::Fault;
use super::worker::Worker;
use std::rc::Rc;

/// Bytes of each part that are not counted: a connection keeps buffers of as many between exchanges anyway.
const FREE_BYTES: usize = 32 << 10;

/// What is held.
#[derive(Clone, Copy)]
pub(super) enum Part {
    /// The body of the request, as it came or decoded.
    Request,
    /// A copy of it for another attempt.
    Copy,
    /// What is kept of the answer.
    Answer,
}

/// What one exchange holds. Its worker forgets it when it goes.
pub(super) struct Held {
    worker: Rc<Worker>,
    parts: [usize; 3],
}

impl Held {
    pub(super) fn new(worker: &Rc<Worker>) -> Held {
        Held { worker: worker.clone(), parts: [0; 3] }
    }

    /// Takes note that so many bytes of this part are held.
    ///
    /// # Errors
    /// It is more than before, and more than the worker may hold: the exchange is given up, which is counted.
    pub(super) fn set(&mut self, part: Part, bytes: usize) -> Result<(), Fault> {
        if self.try_set(part, bytes) {
            return Ok(());
        }
        self.worker.desk.counters.requests_crowded.add(1);
        Err(Fault::Crowded)
    }

    /// The same for what an exchange can do without; whether there is room for it.
    pub(super) fn try_set(&mut self, part: Part, bytes: usize) -> bool {
        let counted = bytes.saturating_sub(FREE_BYTES);
        let (before, all) = (self.parts[part as usize], self.worker.held_bytes.get());
        if counted == before {
            return true;
        }
        let (now, most) = (all - before + counted, self.worker.held_bytes_max.get());
        let most = if matches!(part, Part::Answer) { most } else { most / 4 * 3 };
        let has_room = counted < before || now <= most;
        if has_room {
            self.parts[part as usize] = counted;
            self.worker.hold(now);
        }
        has_room
    }

    /// The request is not held any more, in no copy.
    pub(super) fn let_request_go(&mut self) {
        [Part::Request, Part::Copy].into_iter().for_each(|part| {
            self.try_set(part, 0); // there is room for less
        });
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mine: usize = self.parts.iter().sum();
        if mine > 0 {
            self.worker.hold(self.worker.held_bytes.get() - mine);
        }
    }
}
