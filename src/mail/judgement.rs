//! Passwords on their way from workers to the thread that has time for them, and what it found.

use super::Bell;
use crate::access::basic::Question;
use crossbeam::queue::ArrayQueue;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

/// A password that a worker wants judged. Whoever waits for it holds it; one that nobody holds but the queue is not judged.
#[derive(Debug)]
pub struct Judgement {
    /// What is to be found out.
    pub question: Question,
    /// The number of the worker that asks.
    pub worker: u16,
    verdict: AtomicU8,
}

/// Values of `Judgement::verdict`.
const OPEN: u8 = 0;
const WRONG: u8 = 1;
const RIGHT: u8 = 2;

impl Judgement {
    /// One that nobody has judged.
    pub fn new(question: Question, worker: u16) -> Arc<Judgement> {
        Arc::new(Judgement { question, worker, verdict: AtomicU8::new(OPEN) })
    }

    /// Finds it out, which takes as long as the hash was meant to.
    pub fn judge(&self) {
        let holds = self.question.holds();
        self.verdict.store(if holds { RIGHT } else { WRONG }, Ordering::Release);
    }

    /// Whether the password holds, once that is known.
    pub fn verdict(&self) -> Option<bool> {
        match self.verdict.load(Ordering::Acquire) {
            OPEN => None,
            verdict => Some(verdict == RIGHT),
        }
    }
}

/// The passwords that wait for the thread, of all workers together.
pub struct Judgements {
    queue: ArrayQueue<Arc<Judgement>>,
    bell: OnceLock<Bell>,
}

impl Judgements {
    /// Room for so many.
    pub fn new(most: usize) -> Judgements {
        Judgements { queue: ArrayQueue::new(most.max(1)), bell: OnceLock::new() }
    }

    /// What wakes the thread, also if it rings before the thread sleeps. Once.
    pub fn set_bell(&self, bell: Bell) {
        let _ = self.bell.set(bell);
    }

    /// Hands one over; whether there was room for it.
    pub fn ask(&self, judgement: Arc<Judgement>) -> bool {
        let is_taken = self.queue.push(judgement).is_ok();
        if let (true, Some(bell)) = (is_taken, self.bell.get()) {
            bell();
        }
        is_taken
    }

    /// The next one for which somebody waits.
    pub fn next(&self) -> Option<Arc<Judgement>> {
        std::iter::from_fn(|| self.queue.pop()).find(|judgement| Arc::strong_count(judgement) > 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::basic::User;

    /// Of a password that is ann's, shown by her or by somebody who is not known.
    fn judgement(is_known: bool) -> Arc<Judgement> {
        let ann = User::read("ann:{SHA}F2GPAaOiG5EcklvLUlodIavTBnM=").expect("a line");
        Judgement::new(Question::of(is_known.then_some(&ann), b"opensesame"), 0)
    }

    #[test]
    fn a_judgement_is_open_until_it_is_judged() {
        for is_known in [true, false] {
            let judgement = judgement(is_known);
            assert_eq!(judgement.verdict(), None);
            judgement.judge();
            assert_eq!(judgement.verdict(), Some(is_known));
        }
    }

    #[test]
    fn one_that_nobody_waits_for_is_passed_over_and_one_too_many_is_refused() {
        let judgements = Judgements::new(2);
        let (left, waited) = (judgement(true), judgement(true));
        assert!(judgements.ask(left.clone()) && judgements.ask(waited.clone()));
        assert!(!judgements.ask(judgement(true)), "it is full");
        drop(left);
        assert!(judgements.next().is_some_and(|next| Arc::ptr_eq(&next, &waited)));
        assert!(judgements.next().is_none());
    }
}
