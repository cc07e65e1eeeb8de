mod examples;
mod sets;
mod store;
#[path = "../../../../tests/support/tokens.rs"]
mod tokens;

use super::{Claims, Fault, Issuer, Keys, LEEWAY_S, TOKEN_BYTES_MAX, Verifier};
use crate::access::digest;
use crate::base::base64;
use serde_json::{Value, json};
use std::sync::Arc;
use tokens::{ALGORITHMS, Signer, encoded, key_set};

const NOW: i64 = 1_800_000_000;
const ISSUER: &str = "https://issuer.example/";

/// One issuer whose keys are those of `signers`, for these audiences.
struct World {
    verifier: Verifier,
    keys: Vec<Option<Arc<Keys>>>,
}

impl World {
    fn of<'a>(signers: impl IntoIterator<Item = &'a Signer>, audiences: &[&str]) -> World {
        let keys = Keys::read(key_set(signers).as_bytes()).expect("a key set");
        let audiences = audiences.iter().map(|name| (*name).to_owned()).collect();
        let issuer = Issuer { name: ISSUER.to_owned(), audiences, source: 0 };
        World { verifier: Verifier { issuers: vec![issuer] }, keys: vec![Some(Arc::new(keys))] }
    }

    fn read(&self, token: &[u8]) -> Result<Claims, Fault> {
        self.verifier.verify(token, digest(token), &self.keys, NOW)
    }

    fn check(&self, token: &str) -> Result<(), Fault> {
        self.read(token.as_bytes()).map(|_| ())
    }
}

fn claims() -> Value {
    json!({"iss": ISSUER, "aud": "tollgate", "sub": "ann", "exp": NOW + 300})
}

/// [`claims`] with these in their place.
fn with(others: Value) -> Value {
    let mut claims = claims();
    for (name, value) in others.as_object().expect("an object") {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn every_algorithm_is_verified_with_its_own_key_alone() {
    let signers: Vec<Signer> =
        ALGORITHMS.into_iter().map(|algorithm| Signer::new(algorithm, Some(algorithm))).collect();
    let world = World::of(&signers, &["tollgate"]);
    for signer in &signers {
        let token = signer.token(&claims());
        assert_eq!(world.check(&token), Ok(()), "{}", signer.algorithm);
        let alone = World::of([signer], &[]);
        assert_eq!(alone.check(&token), Ok(()), "{}", signer.algorithm);
        for other in signers.iter().filter(|other| other.algorithm != signer.algorithm) {
            // The key of the other, by its `kid`, for a token that names this algorithm: no key is found, however it is signed.
            let header = json!({"alg": signer.algorithm, "kid": other.algorithm}).to_string();
            for signed_by in [signer, other] {
                let token = signed_by.signed(&header, &claims().to_string());
                assert_eq!(world.check(&token), Err(Fault::Key { source: 0 }), "{header}");
            }
            assert_eq!(World::of([other], &[]).check(&token), Err(Fault::Key { source: 0 }));
        }
        let stranger = Signer::new(signer.algorithm, Some(signer.algorithm));
        let forged = stranger.token(&claims());
        let expected = match signer.algorithm.starts_with("RS") || signer.algorithm.starts_with("PS") {
            true => Ok(()), // the tests have one key of RSA
            false => Err(Fault::Signature),
        };
        assert_eq!(world.check(&forged), expected);
    }
}

/// What a key set says of a key binds also where the key could do more.
#[test]
fn a_key_that_says_its_algorithm_is_for_no_other() {
    let signer = Signer::new("RS256", None);
    let mut jwk = signer.jwk();
    let world = |jwk: &Value| {
        let keys = Keys::read(json!({"keys": [jwk]}).to_string().as_bytes()).expect("a key set");
        World { keys: vec![Some(Arc::new(keys))], ..World::of([&signer], &[]) }
    };
    let others: Vec<Signer> =
        ["RS512", "PS256"].into_iter().map(|algorithm| Signer::new(algorithm, None)).collect();
    for other in &others {
        assert_eq!(world(&jwk).check(&other.token(&claims())), Err(Fault::Key { source: 0 }));
    }
    jwk.as_object_mut().expect("an object").remove("alg");
    for other in &others {
        assert_eq!(world(&jwk).check(&other.token(&claims())), Ok(()));
    }
}

#[test]
fn claims_are_held_to_us_and_to_now() {
    let signer = Signer::new("ES256", Some("k1"));
    let (bound, open) = (World::of([&signer], &["tollgate", "other"]), World::of([&signer], &[]));
    let (early, late) = (NOW - LEEWAY_S, NOW + LEEWAY_S);
    for (others, bound_says, open_says) in [
        (json!({}), Ok(()), Ok(())),
        (json!({"aud": ["a", "other"]}), Ok(()), Ok(())),
        (json!({"aud": []}), Err(Fault::Audience), Ok(())),
        (json!({"aud": "Tollgate"}), Err(Fault::Audience), Ok(())),
        (json!({"aud": null}), Err(Fault::Claims), Ok(())),
        (json!({"aud": [7]}), Err(Fault::Claims), Ok(())),
        (json!({"aud": {"tollgate": 1}}), Err(Fault::Claims), Ok(())),
        (json!({"iss": "https://issuer.example"}), Err(Fault::Issuer), Err(Fault::Issuer)),
        (json!({"iss": [ISSUER]}), Err(Fault::Issuer), Err(Fault::Issuer)),
        (json!({"iss": null}), Err(Fault::Issuer), Err(Fault::Issuer)),
        (json!({"exp": early + 1}), Ok(()), Ok(())),
        (json!({"exp": early}), Err(Fault::Expired), Err(Fault::Expired)),
        (json!({"exp": early as f64 + 0.5}), Ok(()), Ok(())),
        (json!({"exp": early as f64 - 0.5}), Err(Fault::Expired), Err(Fault::Expired)),
        (json!({"exp": -1}), Err(Fault::Expired), Err(Fault::Expired)),
        (json!({"exp": i64::MIN}), Err(Fault::Expired), Err(Fault::Expired)),
        (json!({"exp": -1e300}), Err(Fault::Expired), Err(Fault::Expired)),
        (json!({"exp": u64::MAX}), Ok(()), Ok(())),
        (json!({"exp": 1e300}), Ok(()), Ok(())),
        (json!({"exp": (NOW + 300).to_string()}), Err(Fault::Claims), Err(Fault::Claims)),
        (json!({"exp": null}), Err(Fault::Claims), Err(Fault::Claims)),
        (json!({"nbf": late}), Ok(()), Ok(())),
        (json!({"nbf": late + 1}), Err(Fault::NotYet), Err(Fault::NotYet)),
        (json!({"nbf": late as f64 + 0.5}), Err(Fault::NotYet), Err(Fault::NotYet)),
        (json!({"nbf": i64::MIN}), Ok(()), Ok(())),
        (json!({"nbf": "now"}), Err(Fault::Claims), Err(Fault::Claims)),
        (json!({"iat": NOW + 10_000_000, "jti": {}, "sub": 7}), Ok(()), Ok(())),
    ] {
        let token = signer.token(&with(others.clone()));
        assert_eq!((bound.check(&token), open.check(&token)), (bound_says, open_says), "{others}");
    }
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().expect("an object").remove(name);
        signer.token(&claims)
    };
    assert_eq!(bound.check(&without("aud")), Err(Fault::Audience));
    assert_eq!(open.check(&without("aud")), Ok(()));
    assert_eq!(open.check(&without("exp")), Err(Fault::Claims));
    assert_eq!(open.check(&without("iss")), Err(Fault::Issuer));
    assert_eq!(open.check(&without("sub")), Ok(()));
}

#[test]
fn what_is_signed_and_still_no_token_is_refused() {
    let signer = Signer::new("ES256", Some("k1"));
    let world = World::of([&signer], &[]);
    let (header, payload) = (r#"{"alg":"ES256","kid":"k1"}"#, claims().to_string());
    assert_eq!(world.check(&signer.signed(header, &payload)), Ok(()));
    for (header, expected) in [
        (r#"{"alg":"none","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"None","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":null,"kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":["ES256"],"kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"HS256","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"HS384","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"HS512","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"ES512","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"ES256K","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"es256","kid":"k1"}"#, Fault::Algorithm),
        (r#"{"alg":"ES384","kid":"k1"}"#, Fault::Key { source: 0 }),
        (r#"{"alg":"ES256","kid":"k2"}"#, Fault::Key { source: 0 }),
        (r#"{"alg":"ES256","kid":""}"#, Fault::Key { source: 0 }),
        (r#"{"alg":"ES256","kid":7}"#, Fault::Malformed),
        (r#"{"alg":"ES256","kid":null}"#, Fault::Malformed),
        (r#"{"alg":"ES256","kid":"k1","crit":["exp"],"exp":1}"#, Fault::Critical),
        (r#"{"alg":"ES256","kid":"k1","crit":[]}"#, Fault::Critical),
        (r#"{"alg":"ES256","kid":"k1","b64":false,"crit":["b64"]}"#, Fault::Critical),
        (r#"{"alg":"ES256","kid":"k1","alg":"ES256"}"#, Fault::Malformed),
        (r#"{"alg":"none","kid":"k1","alg":"ES256"}"#, Fault::Malformed),
        (r#"{"alg":"ES256","kid":"k1","\u0061lg":"ES256"}"#, Fault::Malformed),
        (r#"["ES256"]"#, Fault::Malformed),
        (r#"{"alg":"ES256""#, Fault::Malformed),
        ("", Fault::Malformed),
    ] {
        assert_eq!(world.check(&signer.signed(header, &payload)), Err(expected), "{header}");
    }
    for payload in [
        format!(r#"{{"iss":"evil","iss":"{ISSUER}","exp":{}}}"#, NOW + 300),
        format!(r#"{{"iss":"{ISSUER}","exp":1,"exp":{}}}"#, NOW + 300),
        format!(r#"{{"iss":"{ISSUER}","exp":{},"a":{{"b":1,"b":2}}}}"#, NOW + 300),
        format!(r#"[{payload}]"#),
        format!(r#""{payload}""#),
        format!("{payload} x"),
        String::new(),
    ] {
        assert_eq!(world.check(&signer.signed(header, &payload)), Err(Fault::Malformed), "{payload}");
    }
    let long = with(json!({"x": "x".repeat(TOKEN_BYTES_MAX)}));
    assert_eq!(world.check(&signer.token(&long)), Err(Fault::TooLong));
}

/// A key that comes with the token is nobody's.
#[test]
fn keys_that_a_token_brings_along_are_not_looked_at() {
    let (signer, stranger) = (Signer::new("ES256", Some("k1")), Signer::new("ES256", Some("k1")));
    let world = World::of([&signer], &[]);
    let header = json!({
        "alg": "ES256", "kid": "k1", "jwk": stranger.jwk(), "jku": "https://evil.example/", "x5u": "https://evil.example/",
    });
    assert_eq!(
        world.check(&stranger.signed(&header.to_string(), &claims().to_string())),
        Err(Fault::Signature)
    );
    assert_eq!(world.check(&signer.signed(&header.to_string(), &claims().to_string())), Ok(()));
}

/// The classic confusion: the text of the public key as the secret of HMAC.
#[test]
fn a_public_key_is_no_shared_secret() {
    let signer = Signer::new("RS256", Some("k1"));
    let world = World::of([&signer], &[]);
    let parts =
        format!("{}.{}", encoded(br#"{"alg":"HS256","kid":"k1"}"#), encoded(claims().to_string().as_bytes()));
    for secret in [signer.jwk().to_string(), signer.jwk()["n"].to_string(), String::new()] {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        let tag = ring::hmac::sign(&key, parts.as_bytes());
        assert_eq!(world.check(&format!("{parts}.{}", encoded(tag.as_ref()))), Err(Fault::Algorithm));
    }
}

#[test]
fn every_changed_bit_and_every_cut_is_noticed() {
    for algorithm in ["RS256", "PS384", "ES256", "ES384", "EdDSA"] {
        let signer = Signer::new(algorithm, Some("k1"));
        let world = World::of([&signer], &["tollgate"]);
        let token = signer.token(&json!({"iss": ISSUER, "aud": "tollgate", "exp": NOW + 300}));
        assert_eq!(world.check(&token), Ok(()));
        let verify = |token: &[u8]| world.read(token);
        for place in 0..token.len() {
            for bit in 0..8 {
                let mut bytes = token.clone().into_bytes();
                bytes[place] ^= 1 << bit;
                assert!(verify(&bytes).is_err(), "{algorithm}: bit {bit} of byte {place}");
            }
            assert!(verify(&token.as_bytes()[..place]).is_err(), "{algorithm}: cut at {place}");
            assert!(verify(&token.as_bytes()[place + 1..]).is_err(), "{algorithm}: begun at {place}");
        }
        for broken in [
            format!("{token}."),
            format!("{token}="),
            format!("{token}A"),
            format!(" {token}"),
            format!("{token}\n"),
            format!(".{token}"),
            token.replace('.', ""),
            token.replacen('.', "..", 1),
        ] {
            assert!(world.check(&broken).is_err(), "{broken}");
        }
        let (signed, _) = token.rsplit_once('.').expect("three parts");
        for signature in ["", "AA", &encoded(&[0; 64]), &encoded(&[0; 256]), &encoded(&[255; 64])] {
            assert_eq!(world.check(&format!("{signed}.{signature}")), Err(Fault::Signature), "{signature}");
        }
    }
}

#[test]
fn keys_are_found_by_kid_or_tried() {
    let [a, b, c] = ["a", "b", "c"].map(|kid| Signer::new("ES256", Some(kid)));
    let bare = Signer::new("ES256", None);
    let named = |signer: &Signer, kid: Option<&str>| {
        let header = match kid {
            Some(kid) => json!({"alg": "ES256", "kid": kid}),
            None => json!({"alg": "ES256"}),
        };
        signer.signed(&header.to_string(), &claims().to_string())
    };
    let world = World::of([&a, &b], &[]);
    for (signer, kid, expected) in [
        (&a, Some("a"), Ok(())),
        (&a, Some("b"), Err(Fault::Signature)),
        (&c, Some("c"), Err(Fault::Key { source: 0 })),
        (&b, None, Ok(())),
        (&c, None, Err(Fault::Key { source: 0 })),
    ] {
        assert_eq!(world.check(&named(signer, kid)), expected, "{kid:?}");
    }
    // A key without a name may be the one that is meant.
    let world = World::of([&a, &bare], &[]);
    for (signer, kid, expected) in [
        (&bare, Some("x"), Ok(())),
        (&bare, Some("a"), Ok(())),
        (&c, Some("c"), Err(Fault::Signature)),
        (&bare, None, Ok(())),
    ] {
        assert_eq!(world.check(&named(signer, kid)), expected, "{kid:?}");
    }
    // Two keys of one name, as while one takes the place of the other.
    let twin = Signer::new("ES256", Some("a"));
    let world = World::of([&twin, &a], &[]);
    assert_eq!((world.check(&named(&a, Some("a"))), world.check(&named(&twin, Some("a")))), (Ok(()), Ok(())));
    // Of many keys a token without a name is tried with the first ones.
    let many: Vec<Signer> = (0..9).map(|_| Signer::new("ES256", None)).collect();
    let world = World::of(&many, &[]);
    assert_eq!(world.check(&named(&many[7], None)), Ok(()));
    assert_eq!(world.check(&named(&many[8], None)), Err(Fault::Key { source: 0 }));
}

#[test]
fn each_issuer_has_its_own_keys_and_audiences() {
    let [a, b] = ["one", "one"].map(|kid| Signer::new("EdDSA", Some(kid)));
    let keys = |signer: &Signer| Keys::read(key_set([signer]).as_bytes()).map(Arc::new).ok();
    let issuer = |name: &str, audiences: &[&str], source| Issuer {
        name: name.to_owned(),
        audiences: audiences.iter().map(|name| (*name).to_owned()).collect(),
        source,
    };
    let issuers = vec![
        issuer("a", &["x"], 0),
        issuer("b", &[], 1),
        issuer("a", &["y"], 0),
        issuer("late", &[], 2),
        issuer("gone", &[], 9),
    ];
    let world = World { verifier: Verifier { issuers }, keys: vec![keys(&a), keys(&b), None] };
    for (signer, iss, aud, expected) in [
        (&a, "a", "x", Ok(())),
        (&a, "a", "y", Ok(())),
        (&a, "a", "z", Err(Fault::Audience)),
        (&b, "b", "z", Ok(())),
        (&b, "a", "x", Err(Fault::Signature)),
        (&a, "b", "x", Err(Fault::Signature)),
        (&a, "c", "x", Err(Fault::Issuer)),
        (&a, "late", "x", Err(Fault::NoKeys { source: 2 })),
        (&a, "gone", "x", Err(Fault::NoKeys { source: 9 })),
    ] {
        let token = signer.token(&with(json!({"iss": iss, "aud": aud})));
        assert_eq!(world.check(&token), expected, "{iss} {aud}");
    }
    let nobody = World { verifier: Verifier::default(), ..world };
    assert_eq!(nobody.check(&a.token(&claims())), Err(Fault::Issuer));
}

#[test]
fn claims_are_read_as_texts_and_shown_by_name() {
    let signer = Signer::new("EdDSA", None);
    let world = World::of([&signer], &[]);
    let others = json!({"org": 7, "half": 0.5, "admin": true, "none": null, "list": ["a"], "map": {"a": 1}, "empty": ""});
    let token = signer.token(&with(others));
    let claims = world.read(token.as_bytes()).expect("it is good");
    for (name, expected) in [
        ("sub", Some("ann")),
        ("org", Some("7")),
        ("half", Some("0.5")),
        ("admin", Some("true")),
        ("none", None),
        ("list", None),
        ("map", None),
        ("empty", None),
        ("who", None),
    ] {
        assert_eq!(claims.text(name).as_deref(), expected, "{name}");
    }
    assert_eq!(claims.expires, NOW + 300 + LEEWAY_S);
    assert_eq!(claims.all["map"]["a"], 1);
    let shown = format!("{claims:?}");
    assert!(shown.contains("sub") && !shown.contains("ann"), "{shown}");
}

/// RFC 6750 section 3: `error_description` has no quotes and no backslash.
#[test]
fn reasons_can_stand_in_a_header() {
    for fault in [
        Fault::TooLong,
        Fault::Malformed,
        Fault::Algorithm,
        Fault::Critical,
        Fault::Issuer,
        Fault::NoKeys { source: 0 },
        Fault::Key { source: 0 },
        Fault::Signature,
        Fault::Audience,
        Fault::Expired,
        Fault::NotYet,
        Fault::Claims,
    ] {
        let reason = fault.to_string();
        assert!(reason.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\'), "{reason}");
    }
}
