//! Sets of keys (RFC 7517, RFC 7518 section 6, RFC 8037 section 2).

use super::algorithm::{Algorithm, PublicKey};
use super::json;
use crate::base::base64;
use serde_json::{Map, Value};
use std::fmt;

/// No set of keys is longer, in bytes (agentgateway's bound of `inline`).
pub const KEYS_BYTES_MAX: usize = 64 << 10;
/// No set has more keys.
pub const KEYS_MAX: usize = 64;
/// Bits of an RSA modulus (RFC 7518 section 3.3; what `ring` takes).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// No `kid` is longer, in bytes.
const KID_BYTES_MAX: usize = 512;

/// The keys of one issuer.
///
/// `Debug` tells how many.
pub struct Keys {
    keys: Vec<Key>,
    /// Keys of the set that verify nothing here, each with the reason, for operators.
    pub skipped: Vec<String>,
}

/// One key of a set.
struct Key {
    kid: Option<Box<str>>,
    /// The only algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: PublicKey,
}

impl Keys {
    /// Reads a JSON Web Key Set. Keys that are for something else, or of a kind that is not known, are skipped, as section 5
    /// says.
    ///
    /// # Errors
    /// What is wrong, to stand behind "the key set": it is no set, too large, or nothing in it verifies.
    pub fn read(text: &[u8]) -> Result<Keys, String> {
        if text.len() > KEYS_BYTES_MAX {
            return Err(format!("has more than {KEYS_BYTES_MAX} bytes"));
        }
        let set = json::object(text).ok_or("is not a JSON object that names each member once")?;
        let Some(Value::Array(listed)) = set.get("keys") else {
            return Err("has no list \"keys\" (RFC 7517 section 5)".to_owned());
        };
        if listed.len() > KEYS_MAX {
            return Err(format!("has {} keys; at most {KEYS_MAX} are read", listed.len()));
        }
        let (mut keys, mut skipped) = (Vec::new(), Vec::new());
        for (place, jwk) in listed.iter().enumerate() {
            match jwk.as_object().ok_or("is no object").and_then(read) {
                Ok(key) => keys.push(key),
                Err(why) => skipped.push(format!("key {place} {why}")),
            }
        }
        match keys.is_empty() {
            true if skipped.is_empty() => Err("is empty".to_owned()),
            true => Err(format!("has no key that verifies signatures ({})", skipped.join("; "))),
            false => Ok(Keys { keys, skipped }),
        }
    }

    /// How many can verify.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none, which [`read`](Keys::read) refuses.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys that a token with this `kid` and `alg` may be signed with. A key without `kid` may be any; a token without
    /// `kid` may be signed with any.
    pub(super) fn fitting(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &PublicKey> {
        let fits = move |key: &&Key| {
            let is_named = match (&key.kid, kid) {
                (Some(known), Some(wanted)) => **known == *wanted,
                _ => true,
            };
            is_named && key.algorithm.is_none_or(|only| only == algorithm) && key.key.takes(algorithm)
        };
        self.keys.iter().filter(fits).map(|key| &key.key)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Keys({}, {} skipped)", self.keys.len(), self.skipped.len())
    }
}

/// A key that verifies signatures, or why it is none, to stand behind "key N".
fn read(jwk: &Map<String, Value>) -> Result<Key, &'static str> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.contains_key("use") && text("use") != Some("sig") {
        return Err("is not for signatures (use)");
    }
    if let Some(operations) = jwk.get("key_ops") {
        let verifies = |list: &Vec<Value>| list.iter().any(|one| one.as_str() == Some("verify"));
        if !operations.as_array().is_some_and(verifies) {
            return Err("is not for verifying (key_ops)");
        }
    }
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= KID_BYTES_MAX => Some(kid.as_str().into()),
        Some(_) => return Err("has a kid that is no text of at most 512 bytes"),
    };
    let algorithm = match jwk.get("alg") {
        None => None,
        Some(alg) => {
            let known = alg.as_str().and_then(Algorithm::named);
            Some(known.ok_or("has an alg that is not accepted")?)
        }
    };
    let key = public_key(jwk)?;
    if algorithm.is_some_and(|algorithm| !key.takes(algorithm)) {
        return Err("has an alg of another kind of key");
    }
    Ok(Key { kid, algorithm, key })
}

fn public_key(jwk: &Map<String, Value>) -> Result<PublicKey, &'static str> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| text(name).and_then(|text| base64::decode_url_exact(text.as_bytes()));
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => {
            let (n, e) = (bytes("n").ok_or("has no n")?, bytes("e").ok_or("has no e")?);
            rsa(&n, &e)
        }
        (Some("EC"), Some("P-256")) => Ok(PublicKey::P256(point::<32, 65>(bytes("x"), bytes("y"))?)),
        (Some("EC"), Some("P-384")) => Ok(PublicKey::P384(point::<48, 97>(bytes("x"), bytes("y"))?)),
        (Some("OKP"), Some("Ed25519")) => {
            let key = bytes("x").and_then(|x| <[u8; 32]>::try_from(x).ok());
            key.map(PublicKey::Ed25519).ok_or("has an x that is not 32 bytes")
        }
        (Some("EC" | "OKP"), _) => Err("is on a curve that is not P-256, P-384 or Ed25519 (crv)"),
        (Some("oct"), _) => Err("is a shared secret, which is not accepted (kty)"),
        _ => Err("is not RSA, EC or OKP (kty)"),
    }
}

fn rsa(n: &[u8], e: &[u8]) -> Result<PublicKey, &'static str> {
    // RFC 7518 section 6.3.1.1 forbids zeros in front and tells that some write one.
    let (n, e) = (unpadded(n), unpadded(e));
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err("has a modulus that is not of 2048 to 8192 bits");
    }
    // What `ring` takes: odd, from 3 to 33 bits.
    let exponent = e.iter().take(8).fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
    if e.len() > 5 || exponent % 2 == 0 || !(3..1 << 33).contains(&exponent) {
        return Err("has an exponent that cannot be one");
    }
    Ok(PublicKey::Rsa { n: n.into(), e: e.into() })
}

fn unpadded(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// Both coordinates whole (RFC 7518 section 6.2.1.2), behind the 4 that says so.
fn point<const N: usize, const POINT: usize>(
    x: Option<Vec<u8>>,
    y: Option<Vec<u8>>,
) -> Result<[u8; POINT], &'static str> {
    let whole = |coordinate: Option<Vec<u8>>| coordinate.filter(|bytes| bytes.len() == N);
    let (Some(x), Some(y)) = (whole(x), whole(y)) else {
        return Err("has an x or y that is not as long as its curve has it");
    };
    [&[4][..], &x, &y].concat().try_into().map_err(|_| "has no point")
}
