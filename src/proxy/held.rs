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
    /// It is more than before, and more than the worker may hold.
    pub(super) fn set(&mut self, part: Part, bytes: usize) -> Result<(), Fault> {
        let counted = bytes.saturating_sub(FREE_BYTES);
        let (before, all) = (self.parts[part as usize], self.worker.held_bytes.get());
        if counted == before {
            return Ok(());
        }
        let (now, most) = (all - before + counted, self.worker.held_bytes_max.get());
        let most = if matches!(part, Part::Answer) { most } else { most / 4 * 3 };
        if counted > before && now > most {
            // Without a copy the request goes on.
            self.worker.desk.counters.requests_crowded.add(u64::from(!matches!(part, Part::Copy)));
            return Err(Fault::Crowded);
        }
        self.parts[part as usize] = counted;
        self.worker.hold(now);
        Ok(())
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
