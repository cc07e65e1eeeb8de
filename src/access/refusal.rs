//! Why a caller is turned away, in words for it, for operators and for HTTP.

use super::jwt;
use std::borrow::Cow;
use std::sync::Arc;

/// Why a request is not let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It shows no API key.
    NoKey,
    /// Nobody knows its API key.
    UnknownKey,
    /// The time of its API key is over.
    ExpiredKey,
    /// It shows no token.
    NoToken,
    /// Its token does not hold, or the keys of its issuer have not come.
    Token(jwt::Fault),
    /// Its API key is not for the model of that name; empty where the request names none.
    Model(Box<str>),
    /// It shows no name and password; what it is challenged with.
    NoPassword(Arc<str>),
    /// Nobody here has that name and password; what it is challenged with.
    WrongPassword(Arc<str>),
    /// Its password was not judged before, and is not yet.
    Unjudged,
    /// As many other passwords of this user, or from this address, are being judged as may be.
    Guessing,
    /// It comes from an address that may not call.
    Address,
    /// The rules do not let it.
    Rules,
}

impl Refusal {
    /// 401 where other credentials might help, 503 where time might, 429 where the caller is to take its time, else 403 (RFC 9110
    /// sections 15.5.2, 15.5.4, 15.6.4; RFC 6585 section 4).
    pub fn status(&self) -> u16 {
        match self {
            Refusal::NoKey | Refusal::UnknownKey | Refusal::ExpiredKey | Refusal::NoToken => 401,
            Refusal::NoPassword(_) | Refusal::WrongPassword(_) => 401,
            // The token may be good: that is for us to find out.
            Refusal::Token(jwt::Fault::NoKeys { .. }) => 503,
            Refusal::Token(_) => 401,
            Refusal::Unjudged => 503,
            Refusal::Guessing => 429,
            Refusal::Model(_) | Refusal::Address | Refusal::Rules => 403,
        }
    }

    /// Its name in metrics: one of `DENIALS` of the telemetry room.
    pub fn name(&self) -> &'static str {
        match self {
            Refusal::NoKey => "no_key",
            Refusal::UnknownKey => "unknown_key",
            Refusal::ExpiredKey => "expired_key",
            Refusal::NoToken => "no_token",
            Refusal::Token(jwt::Fault::NoKeys { .. }) => "no_issuer_keys",
            Refusal::Token(jwt::Fault::Expired) => "expired_token",
            Refusal::Token(_) => "bad_token",
            Refusal::NoPassword(_) => "no_password",
            Refusal::WrongPassword(_) => "wrong_password",
            Refusal::Unjudged => "unjudged_password",
            Refusal::Guessing => "guessing",
            Refusal::Model(_) => "model",
            Refusal::Address => "address",
            Refusal::Rules => "rules",
        }
    }

    /// For the person who wrote the client.
    pub fn message(&self) -> Cow<'static, str> {
        match self {
            Refusal::NoKey => "the request has no API key where one is looked for".into(),
            Refusal::UnknownKey => "the API key is not known here".into(),
            Refusal::ExpiredKey => "the API key has expired".into(),
            Refusal::NoToken => "the request has no bearer token where one is looked for".into(),
            Refusal::Token(fault) => fault.reason().into(),
            Refusal::NoPassword(_) => "the request has no name and password".into(),
            Refusal::WrongPassword(_) => "no user here has this name and password".into(),
            Refusal::Unjudged => {
                "too many passwords are being checked to check this one now; retry soon".into()
            }
            Refusal::Guessing => {
                "other passwords of this user, or from this address, are being checked; retry soon".into()
            }
            Refusal::Model(model) if model.is_empty() => {
                "the request names no model, and its API key is for certain models only".into()
            }
            Refusal::Address => "this address may not call here".into(),
            Refusal::Rules => "the rules of this gateway do not allow this request".into(),
            Refusal::Model(model) => format!("the API key is not for the model {model:?}").into(),
        }
    }

    /// A word for programs, where the status says too little.
    pub fn code(&self) -> Option<&'static str> {
        match self {
            Refusal::Model(_) => Some("model_not_allowed"),
            _ => None,
        }
    }

    /// The value of `WWW-Authenticate`, which every 401 has (RFC 9110 section 11.6.1). A credential that was shown and
    /// does not hold is an invalid token; where none was, there is nothing to say of it (RFC 6750 section 3.1).
    pub fn challenge(&self) -> Option<Cow<'static, str>> {
        match self {
            Refusal::NoKey | Refusal::NoToken => Some("Bearer".into()),
            Refusal::Token(jwt::Fault::NoKeys { .. }) => None,
            Refusal::Token(fault) => {
                Some(format!("Bearer error=\"invalid_token\", error_description=\"{fault}\"").into())
            }
            Refusal::UnknownKey | Refusal::ExpiredKey => Some("Bearer error=\"invalid_token\"".into()),
            Refusal::NoPassword(challenge) | Refusal::WrongPassword(challenge) => {
                Some(challenge.to_string().into())
            }
            Refusal::Unjudged | Refusal::Guessing => None,
            Refusal::Model(_) | Refusal::Address | Refusal::Rules => None,
        }
    }
}
