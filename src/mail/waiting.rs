use super::ToWorker;
use std::sync::atomic::{AtomicU16, Ordering};

/// Which kinds of mail wait in a worker's box. No second one of a kind is put in: who takes the first out looks at what holds
/// by then. So a box with room for one of each is never full, and none is lost however long the worker does not run.
#[derive(Debug, Default)]
pub struct Waiting(AtomicU16);

impl Waiting {
    /// Notes that there is mail of this kind, once what it speaks of can be seen; whether it is to be put into the box, because none
    /// waits there.
    pub fn note(&self, mail: ToWorker) -> bool {
        self.0.fetch_or(bit(mail), Ordering::AcqRel) & bit(mail) == 0
    }

    /// Notes that none of this kind waits any more. Whoever took it out says so *before* looking: what comes later is new mail.
    pub fn taken(&self, mail: ToWorker) {
        self.0.fetch_and(!bit(mail), Ordering::AcqRel);
    }
}

fn bit(mail: ToWorker) -> u16 {
    1 << mail as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_waits() {
        let waiting = Waiting::default();
        for mail in ToWorker::ALL {
            assert!(waiting.note(mail), "{mail:?} waits by itself");
            assert!(!waiting.note(mail), "{mail:?} waits already");
        }
        for mail in ToWorker::ALL {
            waiting.taken(mail);
            let others = ToWorker::ALL.into_iter().filter(|other| *other != mail);
            assert!(waiting.note(mail) && others.into_iter().all(|other| !waiting.note(other)), "{mail:?}");
        }
    }
}
