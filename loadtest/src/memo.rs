//! Answers already worked out: load tests ask the same thing again and again.

use crate::answer::Plan;
use crate::provider::Route;
use std::rc::Rc;

/// Longest body remembered, and how many.
const BODY_MAX: usize = 64 * 1024;
const SLOTS: usize = 64;

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
        let entry = self.slots.get(place(body))?.as_ref()?;
        (entry.route == route && entry.body == body).then(|| Rc::clone(&entry.plan))
    }

    pub(crate) fn put(&mut self, route: Route, body: &[u8], plan: &Rc<Plan>) {
        if body.len() > BODY_MAX {
            return;
        }
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, || None);
        }
        if let Some(slot) = self.slots.get_mut(place(body)) {
            *slot = Some(Entry { route, body: body.to_vec(), plan: Rc::clone(plan) });
        }
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
