//! Who may see accounts and change them: whoever shows the token.

use super::answer::Answer;
use crate::base::ascii;
use crate::config::Secret;
use crate::limit::KeyText;
use std::sync::Arc;

/// What a request must show.
#[derive(Debug)]
pub(super) struct Guard {
    token: Option<Arc<Secret>>,
    /// What the token is called in the log.
    pub(super) name: Arc<str>,
}

/// Said where no token is configured.
const UNSET: &str = "accounts are shown and changed only where a token is configured: set admin.token in Settings to \
                     16 or more visible characters (or to $NAME of the environment), restart, and send it as \
                     Authorization: Bearer TOKEN";

impl Guard {
    pub(super) fn new(token: Option<Arc<Secret>>) -> Guard {
        let name = token.as_ref().map(|token| KeyText::name_of(KeyText::of_api_key(token.expose())));
        Guard { token, name: name.unwrap_or_default().into() }
    }

    /// Lets a request pass whose `Authorization` is this.
    ///
    /// # Errors
    /// The answer that it gets instead: 401, or 403 where nobody may pass.
    pub(super) fn admit(&self, authorization: Option<&[u8]>) -> Result<(), Answer> {
        let Some(token) = &self.token else { return Err(Answer::fault(403, UNSET)) };
        match authorization.and_then(bearer) {
            Some(given) if token.is(given) => Ok(()),
            Some(_) => Err(refusal("this is not the token of admin.token in Settings")),
            None => Err(refusal("send the token of admin.token in Settings as Authorization: Bearer TOKEN")),
        }
    }
}

fn refusal(why: &str) -> Answer {
    Answer::fault(401, why).with("www-authenticate", "Bearer")
}

/// The token of a value of `Authorization` (RFC 6750 section 2.1; the scheme's case does not matter).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| ascii::trim(token))
}
