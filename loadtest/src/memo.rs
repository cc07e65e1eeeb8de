//! Answers already worked out: load tests ask the same thing again and again.

use crate::answer::Plan;
use crate::provider::Route;
use std::rc::Rc;

/// Longest body remembered, and how many.
const BODY_MAX: usize = 64 * 1024;
const SLOTS: usize = 64;
/// How many slots, one behind the other, a body may be in: a few that meet in one place do not drive each other out.
const WAYS: usize = 8;

/// Plans by route and body, for requests that the script alone decides about. A plan leaves the request's number
/// open, so the answers still differ where they must.
#[derive(Default)]
pub(crate) struct Memo {
    slots: Vec<Option<Entry>>,
}

struct Entry {
    route: Route,
    body: Vec<u8>,
    plan: Rc<Plan>,
}

impl Memo {
    /// Forgets everything: the script has changed.
    pub(crate) fn clear(&mut self) {
        self.slots.clear();
    }

    pub(crate) fn get(&self, route: Route, body: &[u8]) -> Option<Rc<Plan>> {
        let found = self.ways(body).find_map(|slot| slot.as_ref().filter(|entry| entry.is(route, body)));
        found.map(|entry| Rc::clone(&entry.plan))
    }

    pub(crate) fn put(&mut self, route: Route, body: &[u8], plan: &Rc<Plan>) {
        if body.len() > BODY_MAX {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        // Where it is, or where there is room, or else in the place of the first.
        let is_it = |slot: &Option<Entry>| slot.as_ref().is_some_and(|entry| entry.is(route, body));
        let way = self.ways(body).position(is_it).or(self.ways(body).position(Option::is_none)).unwrap_or(0);
        if let Some(slot) = self.slots.get_mut((place(body) + way) % SLOTS) {
            *slot = Some(Entry { route, body: body.to_vec(), plan: Rc::clone(plan) });
        }
    }

    /// The slots that a body may be in; none before the first is put.
    fn ways(&self, body: &[u8]) -> impl Iterator<Item = &Option<Entry>> {
        let first = place(body);
        (first..first + WAYS).filter_map(|at| self.slots.get(at % SLOTS))
    }
}

impl Entry {
    fn is(&self, route: Route, body: &[u8]) -> bool {
        self.route == route && self.body == body
    }
}

/// A slot for a body, from its length and a few of its bytes: `get` compares it whole.
fn place(body: &[u8]) -> usize {
    let step = (body.len() / 32).max(1);
    let sample = body.iter().step_by(step);
    let hash = sample.fold(body.len(), |hash, &byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
    hash % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_that_meet_in_one_slot_stay() {
        let mut memo = Memo::default();
        // They differ where the sample does not look.
        let bodies: Vec<Vec<u8>> = (0..=WAYS as u8)
            .map(|number| {
                let mut body = vec![b'x'; 6400];
                body[1] = number;
                body
            })
            .collect();
        let plans: Vec<Rc<Plan>> = bodies.iter().map(|_| Rc::new(Plan::default())).collect();
        for _ in 0..2 {
            for (body, plan) in bodies.iter().zip(&plans).take(WAYS) {
                memo.put(Route::OpenAiChat, body, plan);
            }
        }
        let is_there = |memo: &Memo, at: usize| {
            memo.get(Route::OpenAiChat, &bodies[at]).is_some_and(|found| Rc::ptr_eq(&found, &plans[at]))
        };
        assert!((0..WAYS).all(|at| is_there(&memo, at)));
        memo.put(Route::OpenAiChat, &bodies[WAYS], &plans[WAYS]);
        assert!(!is_there(&memo, 0) && (1..=WAYS).all(|at| is_there(&memo, at)), "one too many");
    }

    #[test]
    fn equal_bodies_share_a_plan() {
        let mut memo = Memo::default();
        let plan = Rc::new(Plan::default());
        memo.put(Route::OpenAiChat, b"abc", &plan);
        assert!(memo.get(Route::OpenAiChat, b"abc").is_some_and(|found| Rc::ptr_eq(&found, &plan)));
        assert!(memo.get(Route::OpenAiChat, b"abd").is_none());
        assert!(memo.get(Route::AnthropicMessages, b"abc").is_none());
        memo.clear();
        assert!(memo.get(Route::OpenAiChat, b"abc").is_none());
    }
}
