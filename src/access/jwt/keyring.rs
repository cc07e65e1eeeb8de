//! What one worker knows of issuers and of the tokens that it has seen.

use super::{Claims, Fault, Keys, KeysBySource, Remembered, Verifier};
use crate::access::Digest;
use crate::access::basic::Verdicts;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The keys of all sources of one configuration, the tokens that were verified with them, and the passwords that were judged.
///
/// A worker has one for each configuration that it serves; what comes later of the keys is [`set`](KeyRing::set).
#[derive(Default)]
pub struct KeyRing {
    keys: RefCell<Vec<Option<Arc<Keys>>>>,
    remembered: RefCell<Remembered>,
    wishes: Arc<Wishes>,
    verdicts: Rc<RefCell<Verdicts>>,
}

impl KeyRing {
    /// With what is known of each source, by its place.
    pub fn new(keys: Vec<Option<Arc<Keys>>>, wishes: Arc<Wishes>) -> KeyRing {
        KeyRing { keys: RefCell::new(keys), wishes, ..KeyRing::default() }
    }

    /// With the verdicts of another configuration: they hold in every one.
    #[must_use]
    pub fn sharing(self, verdicts: Rc<RefCell<Verdicts>>) -> KeyRing {
        KeyRing { verdicts, ..self }
    }

    /// What was judged of passwords.
    pub fn verdicts(&self) -> &Rc<RefCell<Verdicts>> {
        &self.verdicts
    }

    /// What is known of a source.
    pub fn keys(&self, source: usize) -> Option<Arc<Keys>> {
        self.keys.borrow().get(source).cloned().flatten()
    }

    /// Replaces the keys of all sources. Tokens that were verified with others are verified again.
    pub fn set(&self, keys: &KeysBySource) {
        *self.keys.borrow_mut() = keys.to_vec();
        self.remembered.borrow_mut().clear();
    }

    /// The claims of `token`, whose SHA-256 is `digest`, if `verifier`, which goes by that `number` in the configuration,
    /// accepts it at `now_s`, in seconds since 1970. A token that was seen before costs a look-up and allocates nothing.
    ///
    /// # Errors
    /// As [`Verifier::verify`]. Where another key might help, that is wished for.
    pub fn claims(
        &self,
        (number, verifier): (u32, &Verifier),
        token: &[u8],
        digest: Digest,
        now_s: i64,
    ) -> Result<Rc<Claims>, Fault> {
        let mut remembered = self.remembered.borrow_mut();
        if let Some(claims) = remembered.get(&digest, number, now_s) {
            return Ok(claims);
        }
        match verifier.verify(token, digest, &self.keys.borrow(), now_s) {
            Ok(claims) => {
                let claims = Rc::new(claims);
                remembered.put(number, claims.clone(), now_s);
                Ok(claims)
            }
            Err(fault) => {
                if let Fault::Key { source } | Fault::NoKeys { source } = fault {
                    self.wishes.ask(source as usize);
                }
                Err(fault)
            }
        }
    }
}

/// Sources of which somebody has seen a token that no known key fits: from all workers to who fetches keys.
#[derive(Debug, Default)]
pub struct Wishes(Box<[AtomicBool]>);

impl Wishes {
    /// For so many sources.
    pub fn new(sources: usize) -> Arc<Wishes> {
        Arc::new(Wishes((0..sources).map(|_| AtomicBool::default()).collect()))
    }

    fn ask(&self, source: usize) {
        if let Some(wish) = self.0.get(source) {
            wish.store(true, Ordering::Relaxed);
        }
    }

    /// Whether anybody has asked since the last call.
    pub fn take(&self, source: usize) -> bool {
        self.0.get(source).is_some_and(|wish| wish.swap(false, Ordering::Relaxed))
    }
}
