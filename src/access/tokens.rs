//! Tokens of issuers, as a policy demands them.

use super::jwt::{Claims, KeyRing, Verifier};
use super::location::{Location, usual};
use super::policy::{Asked, Mode};
use super::{Refusal, digest};
use std::rc::Rc;

/// Whose tokens a policy accepts, and where they are looked for.
#[derive(Debug)]
pub struct Tokens {
    /// What becomes of requests without a token that holds.
    pub mode: Mode,
    /// Where they are looked for.
    pub location: Location,
    /// Whose they are.
    pub verifier: Verifier,
    /// The number of the verifier among all of the configuration.
    pub number: u32,
}

impl Tokens {
    /// Where a token is looked for when a policy does not say it (RFC 6750 section 2.1, agentgateway).
    pub fn bearer() -> Location {
        Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }
    }

    /// What the request's token says, if it has to show one or does.
    pub(super) fn admit(&self, asked: &Asked<'_>, ring: &KeyRing) -> Result<Option<Rc<Claims>>, Refusal> {
        let Some(token) = self.location.find(asked.head, asked.bytes) else {
            return if self.mode == Mode::Strict { Err(Refusal::NoToken) } else { Ok(None) };
        };
        let is_usual =
            || usual(asked.head, asked.bytes).is_some_and(|(_, shown)| std::ptr::eq(shown, &*token));
        let digest = asked.digest.filter(|_| is_usual()).unwrap_or_else(|| digest(&token));
        let now_s = asked.unix_ms.div_euclid(1000);
        match ring.claims((self.number, &self.verifier), &token, digest, now_s) {
            Ok(claims) => Ok(Some(claims)),
            Err(_) if self.mode == Mode::Permissive => Ok(None),
            Err(fault) => Err(Refusal::Token(fault)),
        }
    }
}
