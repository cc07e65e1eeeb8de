//! Verification of a token in compact serialization (RFC 7515 section 7.1) as a JSON Web Token (RFC 7519 section 7.2), as
//! strict as RFC 8725 asks for.

use super::algorithm::Algorithm;
use super::claims::check;
use super::keys::Keys;
use super::{Claims, Fault, json};
use crate::access::Digest;
use crate::base::base64;
use serde_json::{Map, Value};
use std::sync::Arc;

/// No token is longer, in bytes.
pub const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far clocks of issuers may differ from ours, in seconds (agentgateway's).
pub const LEEWAY_S: i64 = 60;
/// The most keys that one token is tried with: one without `kid` fits every key of its kind.
const TRIES_MAX: usize = 8;

/// Somebody whose tokens are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// What `iss` must be, byte for byte.
    pub name: String,
    /// Whom tokens must be for, one of these; empty takes any.
    pub audiences: Vec<String>,
    /// The place of the source of its keys.
    pub source: u32,
}

/// Verifies tokens of some issuers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifier {
    /// Whose tokens are accepted. Several may have one name.
    pub issuers: Vec<Issuer>,
}

/// What is known of each source of keys, by its place.
pub type KeysBySource = [Option<Arc<Keys>>];

impl Verifier {
    /// The claims of `token`, whose SHA-256 is `digest`, if one of the issuers has signed it, for us, and it holds at `now`, in seconds since 1970.
    ///
    /// # Errors
    /// The first thing that is wrong. Nothing of what the token says is trusted before its signature is.
    pub fn verify(
        &self,
        token: &[u8],
        digest: Digest,
        keys: &KeysBySource,
        now: i64,
    ) -> Result<Claims, Fault> {
        let token = Compact::read(token)?;
        let header = Header::read(token.header)?;
        let claims = decoded(token.payload)?;
        let signature = base64::decode_url_exact(token.signature).ok_or(Fault::Malformed)?;
        let name = claims.get("iss").and_then(Value::as_str).ok_or(Fault::Issuer)?;
        let mut fault = Fault::Issuer;
        for issuer in self.issuers.iter().filter(|issuer| issuer.name == name) {
            match issuer.has_signed(&token, &header, &signature, keys) {
                Ok(()) => match check(&claims, &issuer.audiences, now, LEEWAY_S) {
                    Ok(expires) => return Ok(Claims { all: claims, digest, expires }),
                    // Another entry of the same name may take other audiences.
                    Err(Fault::Audience) => fault = Fault::Audience,
                    Err(other) => return Err(other),
                },
                Err(other) if fault == Fault::Issuer => fault = other,
                Err(_) => {}
            }
        }
        Err(fault)
    }
}

impl Issuer {
    fn has_signed(
        &self,
        token: &Compact<'_>,
        header: &Header,
        signature: &[u8],
        keys: &KeysBySource,
    ) -> Result<(), Fault> {
        let source = self.source;
        let known = keys.get(source as usize).and_then(Option::as_ref).ok_or(Fault::NoKeys { source })?;
        let mut fitting = known.fitting(header.kid.as_deref(), header.algorithm).take(TRIES_MAX).peekable();
        if fitting.peek().is_none() {
            return Err(Fault::Key { source });
        }
        match fitting.any(|key| key.verifies(header.algorithm, token.signed, signature)) {
            true => Ok(()),
            // Who does not name the key may have signed with one that is not known yet.
            false if header.kid.is_none() => Err(Fault::Key { source }),
            false => Err(Fault::Signature),
        }
    }
}

/// The parts of a token, in base64url.
struct Compact<'a> {
    header: &'a [u8],
    payload: &'a [u8],
    signature: &'a [u8],
    /// Header, point and payload.
    signed: &'a [u8],
}

impl Compact<'_> {
    fn read(token: &[u8]) -> Result<Compact<'_>, Fault> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Fault::TooLong);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(header), Some(payload), Some(signature), None) => {
                let signed = token.get(..header.len() + 1 + payload.len()).ok_or(Fault::Malformed)?;
                Ok(Compact { header, payload, signature, signed })
            }
            _ => Err(Fault::Malformed),
        }
    }
}

/// What a token says of its signature (RFC 7515 section 4.1). Keys that it brings along or points at (`jwk`, `jku`, `x5c`, `x5u`)
/// are not looked at: who forges a token brings a key that fits.
struct Header {
    algorithm: Algorithm,
    kid: Option<String>,
}

impl Header {
    fn read(part: &[u8]) -> Result<Header, Fault> {
        let members = decoded(part)?;
        let algorithm = members.get("alg").and_then(Value::as_str).and_then(Algorithm::named);
        let algorithm = algorithm.ok_or(Fault::Algorithm)?;
        if members.contains_key("crit") {
            return Err(Fault::Critical);
        }
        let kid = match members.get("kid") {
            None => None,
            Some(Value::String(kid)) => Some(kid.clone()),
            Some(_) => return Err(Fault::Malformed),
        };
        Ok(Header { algorithm, kid })
    }
}

fn decoded(part: &[u8]) -> Result<Map<String, Value>, Fault> {
    base64::decode_url_exact(part).and_then(|text| json::object(&text)).ok_or(Fault::Malformed)
}
