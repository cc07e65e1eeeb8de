//! Finished exchanges on their way from a worker to the journal.

use super::Bell;
use crate::telemetry::Record;
use crossbeam::queue::ArrayQueue;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The records of one worker: those that wait, and the paper of those that were written.
///
/// A record is large and a queue has room for many, so they lie in boxes that are made as they are needed and used
/// again: a worker that is at rest holds no more than the queues' own places, and one that is busy makes no new ones.
pub struct Records {
    written: ArrayQueue<Box<Record>>,
    blank: ArrayQueue<Box<Record>>,
}

/// A record in the making: the paper of an earlier one. What is handed over reads as blank from then on.
pub struct Sheet(Option<Box<Record>>);

static BLANK: Record = Record::blank();

impl Deref for Sheet {
    type Target = Record;

    fn deref(&self) -> &Record {
        self.0.as_deref().unwrap_or(&BLANK)
    }
}

impl DerefMut for Sheet {
    fn deref_mut(&mut self) -> &mut Record {
        self.0.get_or_insert_with(|| Box::new(Record::blank()))
    }
}

impl Records {
    /// Room for `capacity` records, at least one.
    pub fn new(capacity: usize) -> Records {
        let capacity = capacity.max(1);
        Records { written: ArrayQueue::new(capacity), blank: ArrayQueue::new(capacity) }
    }

    /// A sheet on which no more stands than when, where and who.
    pub fn begin(&self, time_unix_ms: u64, worker: u16, client: SocketAddr) -> Sheet {
        let mut sheet = Sheet(self.blank.pop());
        sheet.deref_mut().begin(time_unix_ms, worker, client);
        sheet
    }

    /// Hands a record over; says whether there was room. Never waits.
    pub fn push(&self, sheet: &mut Sheet) -> bool {
        let Some(record) = sheet.0.take() else { return true };
        match self.written.push(record) {
            Ok(()) => true,
            Err(record) => {
                // Where more are blank than can wait, they go.
                let _ = self.blank.push(record);
                false
            }
        }
    }

    /// Lets `read` see the oldest record that waits; says whether there was one.
    pub fn take(&self, read: impl FnOnce(&Record)) -> bool {
        let Some(sheet) = self.written.pop() else { return false };
        read(&sheet);
        let _ = self.blank.push(sheet);
        true
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.written.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.written.is_empty()
    }

    /// How many can wait.
    pub fn capacity(&self) -> usize {
        self.written.capacity()
    }
}

/// A thread that sleeps while there is nothing to do, and is woken by whoever brings something.
#[derive(Default)]
pub struct Sleeper {
    bell: OnceLock<Bell>,
    sleeps: AtomicBool,
}

impl Sleeper {
    /// What wakes the thread. Once.
    pub fn set_bell(&self, bell: Bell) {
        let _ = self.bell.set(bell);
    }

    /// Says that the thread is about to sleep: what comes from now on wakes it. Look once more for what came just
    /// before, and sleep for a bounded time: that nobody is missed would cost everybody a fence.
    pub fn falls_asleep(&self) {
        self.sleeps.store(true, Relaxed);
    }

    /// Says that it does not sleep.
    pub fn is_awake(&self) {
        self.sleeps.store(false, Relaxed);
    }

    /// Wakes the thread if it sleeps.
    pub fn wake(&self) {
        if self.sleeps.load(Relaxed)
            && self.sleeps.swap(false, Relaxed)
            && let Some(bell) = self.bell.get()
        {
            bell();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(records: &Records, time_unix_ms: u64) -> bool {
        let mut sheet = records.begin(time_unix_ms, 0, SocketAddr::from(([127, 0, 0, 1], 1)));
        sheet.bytes_in += 1;
        assert_eq!(sheet.bytes_in, 1, "nothing of an earlier one stands there");
        let taken = records.push(&mut sheet);
        assert_eq!((sheet.time_unix_ms, records.push(&mut sheet)), (0, true), "it is handed over once");
        taken
    }

    #[test]
    fn records_come_in_their_order_and_one_too_many_is_refused() {
        let records = Records::new(2);
        for round in 0..3 {
            assert!(write(&records, round) && write(&records, round + 1));
            assert!(!write(&records, 9), "it is full");
            assert_eq!((records.len(), records.capacity()), (2, 2));
            let mut seen = Vec::new();
            while records.take(|record| seen.push(record.time_unix_ms)) {}
            assert_eq!(seen, [round, round + 1]);
            assert!(records.is_empty());
        }
        assert_eq!(records.blank.len(), 2, "their paper is used again");
    }

    #[test]
    fn who_sleeps_is_woken_once() {
        let rung = std::sync::Arc::new(std::sync::atomic::AtomicU32::new(0));
        let (sleeper, bell) = (Sleeper::default(), rung.clone());
        sleeper.set_bell(Box::new(move || {
            bell.fetch_add(1, Relaxed);
        }));
        sleeper.wake();
        assert_eq!(rung.load(Relaxed), 0, "it is awake");
        sleeper.falls_asleep();
        sleeper.wake();
        sleeper.wake();
        assert_eq!(rung.load(Relaxed), 1);
        sleeper.falls_asleep();
        sleeper.is_awake();
        sleeper.wake();
        assert_eq!(rung.load(Relaxed), 1);
    }
}
