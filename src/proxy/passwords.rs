//! Passwords that were not seen before: another thread judges them, and the request waits.

use super::admission::asked;
use super::client::Client;
use super::crowd::key_of;
use super::entry::Entry;
use super::fault::Fault;
use crate::access::basic::Question;
use crate::access::{Digest, Refusal};
use crate::config::Rule;
use crate::mail::Judgement;
use crate::wire::http1::RequestHead;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long a request waits for its password to be judged, others before it included.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a password that does not hold is remembered at most. Who tries one again and again costs one judgement each time.
const WRONG_MAX: Duration = Duration::from_secs(60);

/// The passwords of one worker that are being judged. One that several requests show is judged once.
#[derive(Default)]
pub(super) struct Guesses(Vec<Weak<Guess>>);

/// A password that is being judged, for as long as a request waits for it.
struct Guess {
    /// Of its host: see [`key_of`].
    address: u128,
    judgement: Arc<Judgement>,
}

impl Guess {
    fn question(&self) -> &Question {
        &self.judgement.question
    }
}

impl Guesses {
    /// The guess of that mark.
    fn same(&self, mark: &Digest) -> Option<Rc<Guess>> {
        self.0.iter().filter_map(Weak::upgrade).find(|guess| guess.question().mark == *mark)
    }

    /// Whether the caller has fewer than `most` under way, by its address and by the user that it says it is, known or not.
    fn has_room(&self, address: u128, user: &Digest, most: u32) -> bool {
        let (mut here, mut of_user) = (0, 0);
        for guess in self.0.iter().filter_map(Weak::upgrade) {
            here += u32::from(guess.address == address);
            of_user += u32::from(guess.question().user == *user);
        }
        here.max(of_user) < most
    }

    fn add(&mut self, guess: &Rc<Guess>) {
        self.0.retain(|known| known.strong_count() > 0);
        self.0.push(Rc::downgrade(guess));
    }
}

/// Has the request's password judged; the verdict is remembered then. Why not, if there is no room for it or it takes too long.
///
/// # Errors
/// The client left.
pub(super) async fn judged(
    rule: &Rule,
    client: &Client,
    head: &RequestHead,
    bytes: &[u8],
    entry: &Entry,
) -> Result<Option<Refusal>, Fault> {
    let question = rule.access.as_deref().and_then(|access| {
        let asked = asked(client, head, bytes, None, entry);
        access.question(&asked)
    });
    let Some(question) = question else { return Ok(Some(Refusal::Unjudged)) };
    let (worker, settings) = (&entry.worker, &entry.serving.in_force.snapshot.settings.passwords);
    let guess = match guess(entry, key_of(client.peer.ip()), question, settings.per_caller) {
        Ok(guess) => guess,
        Err(refusal) => return Ok(Some(refusal)),
    };
    let until = worker.ring.now() + WAIT_MAX;
    let holds = loop {
        let version = worker.judged.version();
        if let Some(holds) = guess.judgement.verdict() {
            break holds;
        }
        if worker.ring.now() >= until {
            return Ok(Some(Refusal::Unjudged));
        }
        let mut change = pin!(worker.judged.changed_since(&worker.ring, version));
        poll_fn(|cx| match change.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(())),
            Poll::Pending => client.socket.poll_gone(cx).map(|()| Err(Fault::ClientGone)),
        })
        .await?;
    };
    let life = if holds { settings.remember } else { settings.remember.min(WRONG_MAX) };
    let now_ms = worker.moment().unix_ms;
    let until_ms = now_ms.saturating_add(i64::try_from(life.as_millis()).unwrap_or(i64::MAX));
    let verdicts = entry.serving.key_ring.verdicts();
    verdicts.borrow_mut().put(guess.question().mark, holds, (now_ms, until_ms));
    Ok(None)
}

/// The guess that is under way, or a new one.
fn guess(entry: &Entry, address: u128, question: Question, most: u32) -> Result<Rc<Guess>, Refusal> {
    let worker = &entry.worker;
    let mut guesses = worker.guesses.borrow_mut();
    if let Some(same) = guesses.same(&question.mark) {
        return Ok(same);
    }
    if !guesses.has_room(address, &question.user, most) {
        return Err(Refusal::Guessing);
    }
    let judgement = Judgement::new(question, worker.desk.worker);
    if !worker.board.judgements.ask(judgement.clone()) {
        return Err(Refusal::Unjudged);
    }
    let guess = Rc::new(Guess { address, judgement });
    guesses.add(&guess);
    Ok(guess)
}
