use crate::base::base64;
use crate::llm::auth::google::Key;
use ring::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::{Value, json};

/// Made for these tests with `openssl genpkey -algorithm RSA`; it opens nothing.
const PEM: &str = "-----BEGIN PRIVATE KEY-----
MIIEvgIBADANBgkqhkiG9w0BAQEFAASCBKgwggSkAgEAAoIBAQDbkALYNATy5tjn
Q6EvN3Vx7C+E49DvJuJxTfqrySno9kCGyaorlVec5NPIrU9qrdFNGlhSyFBIiGmE
uesP8dkwjLRy1GLoaiNTLs2N+sArVTeJs9Jcmfw4aFVIVXIqMkA1Wtz2kZoXZ1t0
dOPyHKTqvYRmLaUxEvLNmNWhiGKCHPytqMC6B/z6OCQO/TJjgoQXSDYqNEkzFQNP
O3exrJ8Fg3s7e9EZgh5cv8aFgXmnFdYEbW9Dd4HokDYxgGa5F+41dTKSIX7LcgZb
71sKkTRDqEn9oG9Ubsq//KTK9XTf327zowvH2VzwPHjULkHnSnIdET7v5bOXOWhW
MWtXVWOtAgMBAAECggEABJmOxbLJS8F0V9v923xg9IMLN9CCBxCce90zXDf5rczC
60/8Ra96R2ov2atv139OvDvKD+nsbKiW9VXjy9C4SSEZgrJaZB4dIVgArHHNZtsB
L9xZkuES/KeK6doIa0PkPnnp2SyRut3Kd7UfNWpONjDEPlPEezO3bIFAMIMn9SvW
WoRhoApWGUgcNWt4U1ZCnQqA4+YfkPbEZqYyOXYtsPvWK0vhJYqClbDlAJavRv8m
vYaQ/dZGfXpQeXumx/tuh0MjEnpZbEDPPloJ+C9M0VvYNJqG6toEhikPjteiIsJi
Zm/D+Y5YvZAISmVpfdmqYPVpRKGctBNTczCCKkokIQKBgQD2DJ4k2KiXBnwQyqkl
TI/c+FUAyy6F9hB4UW1s3s7hqu5zIyZ48PGpzYLnVQ3g9Q5PhxO9vwYxBviXe+0G
Z1Ix4W3E0Xasotaos0Jg9beYsYZOp//+YPTWPpnfffA13d8D4Bc6utBc/srt9SIu
AF2oByvzX0UB+mj850F5yulcaQKBgQDkcSwk2D5ewGvPHNw1lf/mdXFDd3IBT5nS
4nirnCkJxPLJ+zzWH049tHBj2o4ZCNYqEbW0bOZY8dmiGmxbufW+zyaBB3DaQA6A
TyAlHEIFWnI84eOnUyOOqzqMoyBJMISVb0AKO2bqtFRL9Oro+AyhUog2fOLSfI1i
ku4zB/u0pQKBgQDE2TNspym6KiX4CStp++bdEpBvIh8GbeafXAX/pAI/6VD8LJML
DzlIcHLaQOHpqCTa22af18RMVRdtmmf3R5Iq9f+sByi61UyHi2L/z5YjQ2QAacgU
69z1yv+wHkGf1vIlV5M+GVe6Dt6rogLGauSDGbm/6+h5vK1iKGHp3rz0gQKBgF0w
qdByAqeGmbRI0rBte5IZENZz8KcGQPsddhqTvs4EcQLiocO7y6AybrLdYqBl0XAh
/10WG7XnG2AcpV2Z890eBlgWn/v4q7G+FZ/t8iTa68VYZRVKPjQiN+VNWotg5oVL
d/V0nBxc6hJ+XCIjpotc7sJDmghB1S+EPvXEaPMdAoGBAM6UEDKfTRp1ChL6UYCC
Bmstj9F1y5e+k02HoMKzvUVRVYG7nrTwupqX7pW3fShpWvaS/3Lcz40CtFejFOYk
ZW24+rJk2DgoBfO7ZtmDaHuZHJXBUbhX9e+OwTNZUDM0+Rk+2r3zojwWc/6PlxA2
8EeSA30lMhBuoggiUzc2/+BA
-----END PRIVATE KEY-----\n";

/// 1024 bits.
const SMALL_PEM: &str = "-----BEGIN PRIVATE KEY-----
MIICeAIBADANBgkqhkiG9w0BAQEFAASCAmIwggJeAgEAAoGBALS730YWMz+3nQaG
VjXM3qtFsl09j6yej5l9aXQV8rlCqT2Vz7EREfpX1HKe4Ehrpcvr3msP/17QybxC
j7T1K+yNS14uuIRSsvBzL8iIh94vE0rt7EdozlRGJ5tzZC8qS4lmEG+Jc/90/rpm
8XJGEGCfdhFTN1au5hLyO+YN/DqvAgMBAAECgYAoH1EIySLlcUityyLWXL3N/fID
2wfLRYQRihLgD4NL922E2345C9YW4mqqa3TU/vjWlW1SDUIe9XDjl0851/fA8vsn
mdGAUT28IHsdynCauE0DoKRSeAStekY0OsvCDNX3uY5EmA5fox655dlf1v0eq0Yd
oJtchAIUeMkF1JaGsQJBAO32fNNpXACg5gZrh7kx1oPMUApcrfhz55KpgZcnLVAq
cthO3BmSvTHWFR/W3Dj1J9jFtM0COnRGrBg8GNpUytcCQQDCbuTk1eKuaW6g7wGG
pCbwNE/vXljWyvnETVWdhwR7ITOPUoJYjG9wfxxR+SRk5F1HwdpxrGgzZd9497/e
/qvpAkEAovJvhaEW9AM5oFnPxZwABZ5JjN7r7j8H6uERsTyNheCbZc2SYBygW1j6
fCP4BzSwxXqUlPGar3aZb7rvVcpMXwJBAJtQOBmv3Q6Te+KkaSSjddNFBmFgjTiv
FQtA91YJZ4PwBp7DOwn+zHohn36/tNm/LeBHMvbA0M/V3chkp2k7KBkCQQCcz/E4
K+OR3wePsddB6XcJcHpszBFnOF2B2luiaj9RRaE1ZZWVaPlN+QjuKf3U8lYEPHjo
yx7ZdcpgYQQvn6l7
-----END PRIVATE KEY-----\n";

/// P-256.
const EC_PEM: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgTs0TFcoCyrjePSWs
BYcsHTCsltRAMTEUI/rA6n9SOgahRANCAASi2HOAYn7vKrp2PssgH34IH2LxhPRi
D/5BLZXHigQEwqX6DWZkoLsjW0j26ik1lb0TW7b2l+2TxRQE8WTT0BWU
-----END PRIVATE KEY-----\n";

/// A key file as Google Cloud gives it out, with these members changed; `null` takes one out.
fn file(changes: Value) -> Vec<u8> {
    let mut file = json!({
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": "0123abcd",
        "private_key": PEM,
        "client_email": "gateway@my-project.iam.gserviceaccount.com",
        "client_id": "1",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    });
    for (name, value) in changes.as_object().expect("members") {
        file[name] = value.clone();
    }
    serde_json::to_vec_pretty(&file).expect("JSON")
}

fn key(changes: Value) -> Result<Key, String> {
    Key::read(&file(changes)).map_err(|fault| fault.to_string())
}

fn decoded(text: &str) -> Vec<u8> {
    base64::decode_url(text.as_bytes()).expect("base64")
}

/// The parts of the token in the request's body: header, claims, and whether the signature is the key's.
fn assertion(key: &Key, unix_s: u64) -> (Value, Value, bool) {
    let fetch = key.fetch(unix_s).expect("a request");
    let body = String::from_utf8_lossy(fetch.body.expose()).into_owned();
    let assertion = body
        .strip_prefix("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=")
        .expect("the form");
    let (signed, signature) = assertion.rsplit_once('.').expect("a signature");
    let (header, claims) = signed.split_once('.').expect("two parts");
    let json = |part| serde_json::from_slice(&decoded(part)).expect("JSON");
    let Key::ServiceAccount(account) = key else { panic!("a service account") };
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, account.key.public_key());
    (json(header), json(claims), public.verify(signed.as_bytes(), &decoded(signature)).is_ok())
}

#[test]
fn the_account_signs_that_it_is_itself() {
    let key = key(json!({})).expect("a key");
    let fetch = key.fetch(1_440_938_160).expect("a request");
    assert!(fetch.url.tls && (fetch.method, &fetch.url.host[..]) == ("POST", "oauth2.googleapis.com"));
    assert_eq!((fetch.url.port, &fetch.url.target[..]), (443, "/token"));
    let (header, claims, is_signed) = assertion(&key, 1_440_938_160);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT", "kid": "0123abcd"}));
    assert_eq!(
        claims,
        json!({
            "iss": "gateway@my-project.iam.gserviceaccount.com",
            "scope": "https://www.googleapis.com/auth/cloud-platform",
            "aud": "https://oauth2.googleapis.com/token",
            "iat": 1_440_938_160,
            "exp": 1_440_941_760,
        })
    );
    assert!(is_signed);
    let shown = format!("{key:?}");
    assert_eq!(
        shown,
        "ServiceAccount(ServiceAccount(gateway@my-project.iam.gserviceaccount.com, key 0123abcd))"
    );
}

#[test]
fn what_may_be_missing_or_other_is_taken() {
    let lean = key(json!({"private_key_id": null, "token_uri": null, "project_id": null})).expect("a key");
    let (header, claims, is_signed) = assertion(&lean, u64::MAX);
    assert_eq!(header, json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(claims["aud"], "https://oauth2.googleapis.com/token");
    assert_eq!(claims["exp"], u64::MAX);
    assert!(is_signed);
    let own = key(json!({"token_uri": "https://tokens.example:8443/a?b"})).expect("a key");
    let url = own.fetch(0).expect("a request").url;
    assert_eq!((&url.host[..], url.port, &url.target[..]), ("tokens.example", 8443, "/a?b"));
    assert_eq!(assertion(&own, 0).1["aud"], "https://tokens.example:8443/a?b");
}

#[test]
fn malformed_accounts_are_named_and_not_shown() {
    let private = |text: String| json!({ "private_key": text });
    let secret = &PEM[40..80];
    for (changes, expected) in [
        (json!({"client_email": null}), "the Google key has no text \"client_email\"; write the whole file"),
        (json!({"client_email": "a b"}), "the \"client_email\" of the Google key cannot be one"),
        (json!({"private_key": null}), "the Google key has no text \"private_key\""),
        (
            json!({"token_uri": "http://oauth2.googleapis.com/token"}),
            "the \"token_uri\" of the Google key is no https",
        ),
        (
            json!({"token_uri": "oauth2.googleapis.com"}),
            "the \"token_uri\" of the Google key is no https URL; Google's",
        ),
        (
            private("nothing".into()),
            "the \"private_key\" of the Google key is no private key in PEM; write it from",
        ),
        (private(PEM[..200].into()), "the \"private_key\" of the Google key is no private key in PEM"),
        (
            private(PEM.replace('\n', "\\n")),
            "the \"private_key\" of the Google key has \"\\n\" where its lines end; in",
        ),
        (
            private(PEM.replace("PRIVATE", "RSA PRIVATE")),
            "the \"private_key\" of the Google key is in PKCS #1; convert",
        ),
        (
            private(PEM.replace("PRIVATE", "ENCRYPTED PRIVATE")),
            "the \"private_key\" of the Google key is encrypted itself; write",
        ),
        (
            private(EC_PEM.into()),
            "the \"private_key\" of the Google key cannot be used: WrongAlgorithm; it must be an RSA",
        ),
        (
            private(SMALL_PEM.into()),
            "the \"private_key\" of the Google key cannot be used: TooSmall; it must be an RSA",
        ),
        (private(PEM.replacen(secret, "AAAA", 1)), "the \"private_key\" of the Google key "),
    ] {
        let fault = key(changes).expect_err(expected);
        assert!(fault.starts_with(expected) && !fault.contains(secret), "{fault}");
    }
}
