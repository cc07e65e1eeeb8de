//! Who a request comes from, as far as that was validated.

use super::keys::Key;
use super::location::{Location, usual_in};
use super::{Allowed, Claims, Digest, Refusal, digest};
use crate::wire::http1::{Header, Known, RequestHead};
use crate::wire::url::query_value;
use ring::digest::{Context, SHA256};
use serde_json::Value;
use std::borrow::Cow;
use std::rc::Rc;

/// Who calls. Nothing stands in it that was not validated; a caller whom nobody has to know has none of it.
#[derive(Clone, Debug, Default)]
pub struct Identity<'p> {
    /// The API key it showed.
    pub key: Option<Shown<'p>>,
    /// The name of the user whose password it knows.
    pub user: Option<&'p str>,
    /// What its token says of it.
    pub claims: Option<Rc<Claims>>,
    /// Where that token stands.
    pub(super) token_at: Option<&'p Location>,
    /// Whether tokens are validated: then one that was not says nothing.
    pub is_judged: bool,
    /// Whether API keys are: then one that was not is nobody's.
    pub judges_keys: bool,
    /// Whether it shows a password that is for here, whether that holds or not: it is nobody else's to see.
    pub shows_password: bool,
    /// What rules about its head have said.
    pub(super) allowed: Allowed,
}

/// A key that was shown, and where.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'p> {
    pub(super) key: &'p Key,
    pub(super) location: &'p Location,
    /// Which of the usual headers it is in.
    pub(super) header: Known,
}

impl Shown<'_> {
    /// The key itself, as the request has it.
    pub fn credential<'a>(&self, head: &RequestHead, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        match self.location {
            Location::Usual => usual_in(self.header, head, bytes).map(|(_, credential)| credential.into()),
            location => location.find(head, bytes),
        }
    }
}

impl Identity<'_> {
    /// Whether what `Authorization` holds was validated as something else than an API key.
    pub(super) fn is_authorized(&self) -> bool {
        self.token_at.is_some_and(Location::is_authorization) || self.user.is_some()
    }

    /// What records call the caller: its key's name, or else its own, or else the subject of its token. Never a
    /// credential.
    pub fn name(&self) -> Option<&str> {
        let subject = || self.claims.as_ref()?.all.get("sub")?.as_str();
        self.key.map(|shown| shown.key.name()).or(self.user).or_else(subject)
    }

    /// What stands for an API key of the user whose password it knows: no credential that a request can show has a 0 in it.
    pub fn user_as_key(&self) -> Option<String> {
        self.user.map(|user| format!("\0{user}"))
    }

    /// The digest of that.
    pub fn user_digest(&self) -> Option<Digest> {
        let mut context = Context::new(&SHA256);
        [&b"\0"[..], self.user?.as_bytes()].iter().for_each(|part| context.update(part));
        let mut digest = Digest::default();
        digest.copy_from_slice(context.finish().as_ref());
        Some(digest)
    }

    /// The digest of the API key it showed.
    pub fn key_digest(&self) -> Option<&Digest> {
        self.key.map(|shown| shown.key.digest())
    }

    /// What configuration says of its API key under that name.
    pub fn metadata(&self, name: &str) -> Option<&Value> {
        self.key?.key.metadata().get(name)
    }

    /// What its validated token says under that name.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.as_ref()?.all.get(name)
    }

    /// A number that differs where the caller does, for who remembers what was made of an identity.
    pub fn mark(&self) -> u128 {
        let half = |digest: &Digest, side: usize| {
            let half = digest.as_chunks::<16>().0.get(side).copied();
            u128::from_ne_bytes(half.unwrap_or_default())
        };
        // Different halves, so that two credentials that are one do not cancel each other.
        let key = self.key_digest().map_or(0, |digest| half(digest, 0));
        let claims = self.claims.as_ref().map_or(0, |claims| half(&claims.digest, 1));
        let user = self.user.map_or(0, |user| half(&digest(user.as_bytes()), 0).rotate_left(1));
        key ^ claims ^ user ^ u128::from(self.is_judged) ^ u128::from(self.judges_keys) << 1
    }

    /// Whether its key may be used for `model`, which is empty where the request names none.
    ///
    /// # Errors
    /// It may not.
    pub fn may_use(&self, model: &str) -> Result<(), Refusal> {
        if self.is_for(model) { Ok(()) } else { Err(Refusal::Model(model.into())) }
    }

    /// The same in a word.
    pub fn is_for(&self, model: &str) -> bool {
        self.key.is_none_or(|shown| shown.key.models().allow(model))
    }

    /// Whether a header line of the request holds what was validated here, which is nobody else's to see.
    pub fn hides(&self, header: &Header, name: &[u8]) -> bool {
        let is_token = |location: &Location| location.is_in(Known::Authorization, header, name);
        self.key.is_some_and(|shown| shown.location.is_in(shown.header, header, name))
            || self.token_at.is_some_and(is_token)
            || self.shows_password && header.known == Known::Authorization
    }

    /// The same of a parameter of the query, `name=value` as sent.
    pub fn hides_parameter(&self, pair: &[u8]) -> bool {
        let is_in = |location: &Location| match location {
            Location::Query(name) => query_value(pair, name.as_bytes()).is_some(),
            _ => false,
        };
        self.key.is_some_and(|shown| is_in(shown.location)) || self.token_at.is_some_and(is_in)
    }
}
