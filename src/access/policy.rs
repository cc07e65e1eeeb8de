//! What a rule demands of its callers, in the order in which it is demanded.

use super::jwt::KeyRing;
use super::{Digest, Identity, Keys, Refusal, Tokens};
use crate::wire::http1::RequestHead;
use std::net::IpAddr;
use std::sync::Arc;

/// What a rule demands; each part is shared by the rules that it applies to.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Tokens of issuers.
    pub tokens: Option<Arc<Tokens>>,
    /// API keys.
    pub keys: Option<Arc<Keys>>,
}

/// What becomes of a request whose credential is missing or does not hold (agentgateway, `mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Both are refused.
    #[default]
    Strict,
    /// One that is missing is let in, one that does not hold is refused.
    Optional,
    /// All are let in, as nobody where the credential does not hold.
    Permissive,
}

impl Mode {
    /// Its name in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Mode::Strict => "Strict",
            Mode::Optional => "Optional",
            Mode::Permissive => "Permissive",
        }
    }
}

/// A request, as far as it says who asks.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Its head.
    pub head: &'a RequestHead,
    /// What the head's spans point into.
    pub bytes: &'a [u8],
    /// The other end of the connection, in canonical form.
    pub peer: IpAddr,
    /// The wall's time in milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// The digest of the credential in its [usual](super::usual) place.
    pub digest: Option<Digest>,
    /// What the worker knows of issuers and their tokens.
    pub ring: &'a KeyRing,
}

impl Policy {
    /// Who asks, as far as the head tells. Each part is asked in its order; what one has validated, the next does not take
    /// for a credential of its own.
    ///
    /// # Errors
    /// The first part that turns it away says why.
    pub fn admit<'p>(&'p self, asked: &Asked<'_>) -> Result<Identity<'p>, Refusal> {
        let mut identity = Identity::default();
        if let Some(tokens) = &self.tokens {
            identity.is_judged = true;
            identity.claims = tokens.admit(asked)?;
            identity.token_at = identity.claims.as_ref().map(|_| &tokens.location);
        }
        if let Some(keys) = &self.keys {
            identity.key = keys.admit(asked, identity.is_authorized())?;
        }
        Ok(identity)
    }

    /// Whether it may ask for `model`, once that is known and before anything is reserved: the one that will be asked for,
    /// empty where nobody names one; `None` where the request is for no model.
    ///
    /// # Errors
    /// It may not.
    pub fn admit_model(&self, identity: &Identity<'_>, model: Option<&str>) -> Result<(), Refusal> {
        model.map_or(Ok(()), |model| identity.may_use(model))
    }
}
