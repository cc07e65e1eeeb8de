//! What a token says (RFC 7519 section 4), and whether it says it to us and now.

use super::Fault;
use crate::access::Digest;
use crate::wire::jwt;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::fmt;

/// The claims of a token that was verified.
///
/// `Debug` shows their names alone.
pub struct Claims {
    /// All of them, by name.
    pub all: Map<String, Value>,
    /// The token's SHA-256.
    pub digest: Digest,
    /// The first second, since 1970, in which the token is accepted no longer; the leeway is in it.
    pub expires: i64,
}

impl Claims {
    /// A claim that is a text that says something, a number or a truth value, as text.
    pub fn text(&self, name: &str) -> Option<Cow<'_, str>> {
        jwt::scalar(self.all.get(name)?).filter(|text| !text.is_empty())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.all.keys()).finish()
    }
}

/// Checks what is known to be its issuer's: that it holds at `now`, give or take `leeway`, and is for one of `audiences`, if any
/// are given. When it ends; all in seconds since 1970.
pub(super) fn check(
    claims: &Map<String, Value>,
    audiences: &[String],
    now: i64,
    leeway: i64,
) -> Result<i64, Fault> {
    if !audiences.is_empty() && !is_for(claims.get("aud"), audiences)? {
        return Err(Fault::Audience);
    }
    let expires = instant(claims.get("exp").ok_or(Fault::Claims)?)?.saturating_add(leeway);
    if now >= expires {
        return Err(Fault::Expired);
    }
    if let Some(begins) = claims.get("nbf")
        && now < instant(begins)?.saturating_sub(leeway)
    {
        return Err(Fault::NotYet);
    }
    Ok(expires)
}

/// Whether `aud`, a text or a list of texts (section 4.1.3), names one of `audiences`.
fn is_for(aud: Option<&Value>, audiences: &[String]) -> Result<bool, Fault> {
    let is_one = |name: &str| audiences.iter().any(|known| known == name);
    match aud {
        None => Ok(false),
        Some(Value::String(name)) => Ok(is_one(name)),
        Some(Value::Array(names)) => {
            let names = names.iter().map(|name| name.as_str().ok_or(Fault::Claims));
            names.collect::<Result<Vec<_>, _>>().map(|names| names.into_iter().any(is_one))
        }
        Some(_) => Err(Fault::Claims),
    }
}

/// A NumericDate (section 2), which may have a fraction, as the first whole second that is not before it.
fn instant(value: &Value) -> Result<i64, Fault> {
    let number = match value {
        Value::Number(number) => number,
        _ => return Err(Fault::Claims),
    };
    match number.as_i64() {
        Some(whole) => Ok(whole),
        // What does not fit ends at the bounds, which no clock reaches.
        None => number.as_f64().map(|seconds| seconds.ceil() as i64).ok_or(Fault::Claims),
    }
}
