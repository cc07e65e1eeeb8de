//! What a rule demands of its callers, in the order in which it is demanded.

use super::basic::Question;
use super::cel::World;
use super::jwt::KeyRing;
use super::{Digest, Identity, Keys, Refusal, Rules, Tokens, Users};
use crate::wire::http1::RequestHead;
use std::net::SocketAddr;
use std::sync::Arc;

/// What a rule demands; each part is shared by the rules that it applies to.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// What is asked of the other end of the connection, before all else (agentgateway, `frontend.networkAuthorization`).
    pub network: Rules,
    /// Tokens of issuers.
    pub tokens: Option<Arc<Tokens>>,
    /// Users and their passwords.
    pub users: Option<Arc<Users>>,
    /// API keys.
    pub keys: Option<Arc<Keys>>,
    /// What is asked of whoever was let in so far (agentgateway, `traffic.authorization`).
    pub rules: Rules,
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
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// The wall's time in milliseconds since 1970 UTC.
    pub unix_ms: i64,
    /// The digest of the credential in its [usual](super::usual) place.
    pub digest: Option<Digest>,
}

impl Policy {
    /// Who asks, as far as the head tells. Each part is asked in its order; what one has validated, the next does not take
    /// for a credential of its own. `ring` is what the worker knows of issuers and their tokens.
    ///
    /// # Errors
    /// The first part that turns it away says why. [`Refusal::Unjudged`] where a password was not judged before: ask again
    /// when the verdict on the [`question`](Policy::question) is in the ring.
    pub fn admit<'p>(&'p self, asked: &Asked<'_>, ring: &KeyRing) -> Result<Identity<'p>, Refusal> {
        self.admit_with(asked, ring, false)
    }

    /// As [`admit`](Policy::admit), of a password for which there is no room to be judged. Where a wrong one passes as nobody's
    /// ([`Mode::Permissive`]), so does this one: whoever shows it gets no more than who shows none.
    ///
    /// # Errors
    /// [`Refusal::Unjudged`] with every other mode, and all others of `admit`.
    pub fn admit_unjudged<'p>(&'p self, asked: &Asked<'_>, ring: &KeyRing) -> Result<Identity<'p>, Refusal> {
        self.admit_with(asked, ring, true)
    }

    fn admit_with<'p>(
        &'p self,
        asked: &Asked<'_>,
        ring: &KeyRing,
        is_given_up: bool,
    ) -> Result<Identity<'p>, Refusal> {
        let mut identity = Identity::default();
        if !self.network.is_empty() {
            let world = World { asked, identity: &identity, model: None };
            let allowed = self.network.of_head(&world).and_then(|open| self.network.of_model(&world, open));
            allowed.map_err(|_| Refusal::Address)?;
        }
        if let Some(tokens) = &self.tokens {
            identity.is_judged = true;
            identity.claims = tokens.admit(asked, ring)?;
            identity.token_at = identity.claims.as_ref().map(|_| &tokens.location);
        }
        if let Some(users) = &self.users {
            identity.shows_password = users.are_asked(asked);
            identity.user = users.admit(asked, &mut ring.verdicts().borrow_mut(), is_given_up)?;
        }
        if let Some(keys) = &self.keys {
            identity.judges_keys = true;
            identity.key = keys.admit(asked, identity.is_authorized())?;
        }
        if !self.rules.is_empty() {
            identity.allowed = self.rules.of_head(&World { asked, identity: &identity, model: None })?;
        }
        Ok(identity)
    }

    /// What has to be found out before [`admit`](Policy::admit) can say more than [`Refusal::Unjudged`].
    pub fn question(&self, asked: &Asked<'_>) -> Option<Question> {
        self.users.as_ref()?.question(asked)
    }

    /// Whether it may ask for what it asks for, once that is known and before anything is reserved.
    ///
    /// # Errors
    /// It may not.
    pub fn admit_model(
        &self,
        identity: &Identity<'_>,
        asked: &Asked<'_>,
        models: Models<'_>,
    ) -> Result<(), Refusal> {
        if let Some(model) = models.wanted {
            identity.may_use(model)?;
        }
        if self.rules.is_empty() {
            return Ok(());
        }
        self.rules.of_model(&World { asked, identity, model: models.named }, identity.allowed)
    }
}

/// The models of a request; `None` where it is for none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Models<'a> {
    /// The one that the client names, after aliases; empty where it names none.
    pub named: Option<&'a str>,
    /// The one that will be asked for, which is the Backend's where it has one.
    pub wanted: Option<&'a str>,
}
