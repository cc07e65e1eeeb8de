//! Key sets, good and bad.

use super::super::{KEYS_BYTES_MAX, KEYS_MAX};
use super::*;
use proptest::prelude::*;

/// How many keys a set has, and what is said of the others; or why it is none.
fn read(set: &str) -> Result<(usize, Vec<String>), String> {
    Keys::read(set.as_bytes()).map(|keys| (keys.len(), keys.skipped))
}

#[test]
fn keys_that_verify_nothing_are_skipped_with_the_reason() {
    let good = Signer::new("ES256", Some("k1")).jwk();
    let [rsa, ec, ed] = ["RS256", "ES384", "EdDSA"].map(|algorithm| Signer::new(algorithm, None).jwk());
    let but = |jwk: &Value, name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let padded = base64::decode_url(rsa["n"].as_str().expect("a text").as_bytes()).expect("base64");
    let padded = encoded(&[&[0], &padded[..]].concat());
    for (jwk, skipped) in [
        (good.clone(), None),
        (rsa.clone(), None),
        (ec.clone(), None),
        (ed.clone(), None),
        (but(&good, "x5c", json!(["MII"])), None),
        (but(&good, "key_ops", json!(["verify"])), None),
        (but(&rsa, "n", json!(padded)), None),
        (but(&ed, "alg", json!("Ed25519")), None),
        (but(&good, "use", json!("enc")), Some("is not for signatures (use)")),
        (but(&good, "use", json!(null)), Some("is not for signatures (use)")),
        (but(&good, "key_ops", json!(["sign"])), Some("is not for verifying (key_ops)")),
        (but(&good, "key_ops", json!("verify")), Some("is not for verifying (key_ops)")),
        (but(&good, "kid", json!(7)), Some("has a kid that is no text of at most 512 bytes")),
        (but(&good, "kid", json!("k".repeat(513))), Some("has a kid that is no text of at most 512 bytes")),
        (but(&good, "alg", json!("ECDH-ES")), Some("has an alg that is not accepted")),
        (but(&good, "alg", json!("HS256")), Some("has an alg that is not accepted")),
        (but(&good, "alg", json!(null)), Some("has an alg that is not accepted")),
        (but(&good, "alg", json!("RS256")), Some("has an alg of another kind of key")),
        (but(&rsa, "alg", json!("ES256")), Some("has an alg of another kind of key")),
        (but(&good, "crv", json!("P-521")), Some("is on a curve that is not P-256, P-384 or Ed25519 (crv)")),
        (but(&good, "crv", json!("P-384")), Some("has an x or y that is not as long as its curve has it")),
        (but(&ed, "crv", json!("X25519")), Some("is on a curve that is not P-256, P-384 or Ed25519 (crv)")),
        (but(&ed, "x", json!("AA")), Some("has an x that is not 32 bytes")),
        (but(&good, "y", json!("AA")), Some("has an x or y that is not as long as its curve has it")),
        (but(&good, "y", json!("+/")), Some("has an x or y that is not as long as its curve has it")),
        (but(&rsa, "n", json!(encoded(&[255; 255]))), Some("has a modulus that is not of 2048 to 8192 bits")),
        (but(&rsa, "n", json!(encoded(&[1; 1025]))), Some("has a modulus that is not of 2048 to 8192 bits")),
        (but(&rsa, "n", json!("")), Some("has a modulus that is not of 2048 to 8192 bits")),
        (but(&rsa, "n", json!(7)), Some("has no n")),
        (but(&rsa, "e", json!("AQ")), Some("has an exponent that cannot be one")),
        (but(&rsa, "e", json!("AA")), Some("has an exponent that cannot be one")),
        (but(&rsa, "e", json!("AQAA")), Some("has an exponent that cannot be one")),
        (but(&rsa, "e", json!(encoded(&[255; 9]))), Some("has an exponent that cannot be one")),
        (but(&rsa, "e", json!(null)), Some("has no e")),
        (json!({"kty": "oct", "k": "AA"}), Some("is a shared secret, which is not accepted (kty)")),
        (json!({"kty": "AKP"}), Some("is not RSA, EC or OKP (kty)")),
        (json!({"kty": "rsa"}), Some("is not RSA, EC or OKP (kty)")),
        (json!({}), Some("is not RSA, EC or OKP (kty)")),
        (json!(7), Some("is no object")),
    ] {
        let set = json!({"keys": [jwk.clone(), good.clone()], "other": 1}).to_string();
        let expected = match skipped {
            None => (2, Vec::new()),
            Some(why) => (1, vec![format!("key 0 {why}")]),
        };
        assert_eq!(read(&set), Ok(expected), "{jwk}");
        let alone = read(&json!({"keys": [jwk]}).to_string());
        let refused = |why: &str| Err(format!("has no key that verifies signatures (key 0 {why})"));
        assert_eq!(alone, skipped.map_or(Ok((1, Vec::new())), refused));
    }
}

#[test]
fn what_is_no_set_is_refused() {
    let many = |count| json!({"keys": vec![Signer::new("EdDSA", None).jwk(); count]}).to_string();
    assert_eq!(read(&many(KEYS_MAX)), Ok((KEYS_MAX, Vec::new())));
    for (set, expected) in [
        (many(KEYS_MAX + 1), "has 65 keys; at most 64 are read"),
        (" ".repeat(KEYS_BYTES_MAX + 1), "has more than 65536 bytes"),
        (String::new(), "is not a JSON object that names each member once"),
        ("[]".to_owned(), "is not a JSON object that names each member once"),
        (r#"{"keys":[],"keys":[]}"#.to_owned(), "is not a JSON object that names each member once"),
        (
            r#"{"keys":[{"kty":"EC","kty":"EC"}]}"#.to_owned(),
            "is not a JSON object that names each member once",
        ),
        ("{}".to_owned(), r#"has no list "keys" (RFC 7517 section 5)"#),
        (r#"{"keys":{}}"#.to_owned(), r#"has no list "keys" (RFC 7517 section 5)"#),
        (r#"{"keys":[]}"#.to_owned(), "is empty"),
        (Signer::new("EdDSA", None).jwk().to_string(), r#"has no list "keys" (RFC 7517 section 5)"#),
    ] {
        assert_eq!(read(&set), Err(expected.to_owned()));
    }
}

proptest! {
    #[test]
    fn no_set_and_no_token_does_harm(text: Vec<u8>, header: String, payload: String) {
        let _ = Keys::read(&text);
        let signer = Signer::new("EdDSA", None);
        let world = World::of([&signer], &[]);
        prop_assert!(world.read(&text).is_err());
        prop_assert!(world.check(&signer.signed(&header, &payload)).is_err());
    }
}
