//! Tokens of issuers, through whole gateways: who is let in, in which words the others are turned away, and where the keys come
//! from that decide it.

#[path = "jwt/issuers.rs"]
mod issuers;
#[path = "jwt/keys.rs"]
mod keys;

use crate::support::{Answer, Rig, Wire, apis, chat, limits, message};
use crate::tokens::{Signer, encoded, key_set};
use issuers::{PATH, claims, jwt, start};
use serde_json::{Value, json};
use tollgate::telemetry::counters::DENIALS;

/// The formats by a path of theirs, and how each says that a caller is not known.
const FORMATS: [(&str, &str, &str); 4] = [
    ("/oa/v1/chat/completions", "/error/code", "invalid_api_key"),
    ("/oa/v1/responses", "/error/code", "invalid_api_key"),
    ("/an/v1/messages", "/error/type", "authentication_error"),
    ("/ge/v1beta/models/model-1:generateContent", "/error/status", "UNAUTHENTICATED"),
];

/// A body for that path.
fn body(path: &str) -> String {
    match path {
        path if path.contains("/responses") => Wire::Responses.body(false),
        path if path.contains(":generateContent") => Wire::Gemini.body(false),
        path if path.contains("/messages") => message("model-1", false),
        _ => chat("model-1", false),
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

fn ask(rig: &Rig, path: &str, headers: &str) -> Answer {
    rig.client().ask(path, headers, &body(path))
}

/// A policy on all routes, whose only issuer has these keys written there.
fn inline(mode: &str, signers: &[&Signer]) -> String {
    let jwks = json!({"inline": key_set(signers.iter().copied())});
    jwt("{group: gateway.networking.k8s.io, kind: Gateway, name: edge}", mode, &jwks, "")
}

/// What is said of a token that has expired.
const EXPIRED: &str = "Bearer error=\"invalid_token\", error_description=\"the bearer token has expired\"";

#[test]
fn each_mode_lets_in_whom_it_says_and_every_format_has_its_words() {
    let signer = Signer::new("RS256", Some("k1"));
    let (good, expired) = (bearer(&signer.token(&claims(300))), bearer(&signer.token(&claims(-300))));
    // How a good token, none, and one that has expired are challenged.
    for (mode, challenges) in
        [("Strict", ["", "Bearer", EXPIRED]), ("Optional", ["", "", EXPIRED]), ("Permissive", ["", "", ""])]
    {
        let rig = start(&apis(&inline(mode, &[&signer])));
        for (path, place, word) in FORMATS {
            for (headers, challenge) in [&*good, "", &*expired].into_iter().zip(challenges) {
                let before = rig.simulator.requests().len();
                let answer = ask(&rig, path, headers);
                let (passes, what) = (challenge.is_empty(), format!("{mode} {path}: {}", answer.text()));
                assert_eq!(answer.status, if passes { 200 } else { 401 }, "{what}");
                assert_eq!(answer.header("www-authenticate").unwrap_or_default(), challenge, "{what}");
                assert_eq!(rig.simulator.requests().len() - before, usize::from(passes), "{what}");
                if !passes {
                    assert_eq!(answer.json().pointer(place).and_then(Value::as_str), Some(word), "{what}");
                }
            }
        }
        rig.assert_ledgers_agree();
        let denials = rig.totals().denials;
        let place = |name: &str| DENIALS.iter().position(|known| *known == name).expect("a reason");
        let counted = ["no_token", "expired_token"].map(|name| denials[place(name)]);
        let expected = ["Bearer", EXPIRED]
            .map(|challenge| if challenges.contains(&challenge) { FORMATS.len() as u64 } else { 0 });
        assert_eq!(counted, expected, "{mode}");
    }
}

#[test]
fn what_is_wrong_with_a_token_is_told_to_its_bearer_and_nothing_is_sent() {
    let [signer, stranger] = ["k1", "k1"].map(|kid| Signer::new("ES256", Some(kid)));
    let rig = start(&apis(&inline("Strict", &[&signer])));
    let with = |name: &str, value: Value| {
        let mut claims = claims(300);
        claims[name] = value;
        signer.token(&claims)
    };
    let good = signer.token(&claims(300));
    let parts: Vec<&str> = good.split('.').collect();
    let none = format!("{}.{}.", encoded(br#"{"alg":"none"}"#), parts[1]);
    let other = Signer::new("ES256", Some("k2"));
    for (token, why) in [
        (with("exp", json!(1)), "has expired"),
        (with("nbf", json!(4_000_000_000_u64)), "is not valid yet"),
        (with("aud", json!("other")), "is not for this audience"),
        (with("iss", json!("https://evil.example")), "from an issuer that is not accepted"),
        (with("exp", json!("soon")), "has no exp, or an exp"),
        (stranger.token(&claims(300)), "signature of the bearer token is wrong"),
        (other.token(&claims(300)), "with a key that its issuer does not have"),
        (none, "not signed in a way that this gateway accepts"),
        (signer.signed(r#"{"alg":"ES256","crit":["x"]}"#, &claims(300).to_string()), "wants an extension"),
        (good[..good.len() - 1].to_owned(), "is not a JSON Web Token"),
        (format!("{}.{}", parts[0], parts[1]), "is not a JSON Web Token"),
        ("sk-live-secret".to_owned(), "is not a JSON Web Token"),
        ("x".repeat(20_000), "is longer than this gateway reads"),
    ] {
        let answer = ask(&rig, PATH, &bearer(&token));
        assert_eq!(answer.status, 401, "{token}: {}", answer.text());
        let told = answer.header("www-authenticate").expect("a challenge").to_owned();
        assert!(answer.text().contains(why) && told.contains(why), "{why}: {told} {}", answer.text());
        assert!(!answer.text().contains(&token), "it is not repeated");
    }
    // What is no bearer token is none at all.
    for headers in [
        "Authorization: Basic YTpi\r\n".to_owned(),
        format!("Authorization: {good}\r\n"),
        format!("x-api-key: {good}\r\n"),
    ] {
        let answer = ask(&rig, PATH, &headers);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{headers}");
    }
    assert_eq!(rig.simulator.requests().len(), 0);
    assert_eq!(ask(&rig, PATH, &format!("authorization: bEARER {good}\r\n")).status, 200);
    assert_eq!(rig.settled().counted, 0);
}

/// Neither providers nor plain hosts see a token that was validated, wherever it stood.
#[test]
fn a_token_goes_no_further() {
    let signer = Signer::new("EdDSA", None);
    let token = signer.token(&claims(300));
    let target = "{group: gateway.networking.k8s.io, kind: Gateway, name: edge}";
    let jwks = json!({"inline": key_set([&signer])});
    for (location, headers, query) in [
        ("", bearer(&token), String::new()),
        (
            "{header: {name: X-Caller, prefix: \"Token \"}}",
            format!("X-Caller: token {token}\r\n"),
            String::new(),
        ),
        ("{queryParameter: {name: caller}}", String::new(), format!("?a=b&caller={token}&c=d")),
        ("{cookie: {name: caller}}", format!("Cookie: a=b; caller={token}\r\n"), String::new()),
    ] {
        let rig = start(&apis(&jwt(target, "Strict", &jwks, location)));
        for path in ["/oa/v1/chat/completions", "/an/v1/messages", "/plain/plain"] {
            let answer = ask(&rig, &format!("{path}{query}"), &headers);
            assert_eq!(answer.status, 200, "{location} {path}: {}", answer.text());
            let seen = rig.simulator.requests().pop().expect("it came");
            let all = format!(
                "{} {:?}",
                seen.target,
                seen.headers
                    .iter()
                    .map(|(name, value)| (name, String::from_utf8_lossy(value)))
                    .collect::<Vec<_>>()
            );
            assert!(!all.contains(&token), "{location} {path}: {all}");
            assert!(
                !path.starts_with("/plain") || query.is_empty() || seen.target.ends_with("/plain?a=b&c=d"),
                "{all}"
            );
            assert_eq!(ask(&rig, path, "").status, 401, "{location} {path}");
        }
    }
}

/// A caller may show who it is and, beside that, its key: what the one part has validated does not hide the other.
#[test]
fn a_key_beside_a_token_is_found_and_goes_no_further() {
    let signer = Signer::new("EdDSA", None);
    let keys = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: gate, namespace: llm}\n\
                stringData: {one: k-one, two: k-two}\n\
                ---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {name: gate, namespace: llm}\n\
                spec:\n  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]\n  \
                traffic: {apiKeyAuthentication: {secretRef: {name: gate}}}\n";
    let limit = "{name: each, unit: requests, rate: 1/hour, burst: 1, key: {apiKey: {}, route: {}}}";
    let rig = start(&apis(&(inline("Strict", &[&signer]) + keys + &limits("oa", &[limit]))));
    let token = signer.token(&claims(300));
    for (key, path, expected) in [
        ("", PATH, 401),
        ("x-api-key: k-unknown\r\n", PATH, 401),
        ("x-api-key: k-one\r\n", PATH, 200),
        ("x-goog-api-key: k-one\r\n", PATH, 429),
        ("x-goog-api-key: k-two\r\n", PATH, 200),
        ("x-api-key: k-two\r\n", "/plain/plain", 200),
    ] {
        let before = rig.simulator.requests().len();
        let answer = ask(&rig, path, &format!("{}{key}", bearer(&token)));
        assert_eq!(answer.status, expected, "{key} {path}: {}", answer.text());
        for seen in rig.simulator.requests().iter().skip(before) {
            let values = seen.headers.iter().map(|(_, value)| String::from_utf8_lossy(value));
            let theirs = [&*token, "k-one", "k-two"];
            let shown: Vec<_> = values.filter(|value| theirs.iter().any(|one| value.contains(one))).collect();
            assert!(shown.is_empty(), "{key} {path}: {shown:?}");
        }
    }
    assert_eq!(ask(&rig, PATH, "x-api-key: k-one\r\n").status, 401, "the key alone is not enough");
}

/// Limits go by the claims of validated tokens alone: nobody spends in another's name.
#[test]
fn limits_by_claim_go_by_what_was_validated() {
    let signer = Signer::new("ES256", None);
    let limit = "{name: each, unit: requests, rate: 1/hour, burst: 1, key: {claim: sub}, onMissingKey: deny}";
    let of = |who: &str, life: i64| {
        let mut claims = claims(life);
        claims["sub"] = json!(who);
        bearer(&signer.token(&claims))
    };
    for mode in ["Strict", "Permissive"] {
        let rig = start(&apis(&(inline(mode, &[&signer]) + &limits("oa", &[limit]))));
        let status = |headers: &str| ask(&rig, PATH, headers).status;
        assert_eq!(status(&of("ann", -300)), 401, "{mode}: an expired token is nobody's");
        assert_eq!(status(&of("ann", 300)), 200, "{mode}");
        assert_eq!(status(&of("ann", 301)), 429, "{mode}: another token of the same caller");
        assert_eq!(status(&of("bob", 300)), 200, "{mode}");
        let mut client = rig.client();
        for (headers, expected) in [(of("ann", 300), 429), (of("cid", 300), 200), (of("cid", 301), 429)] {
            let answer = client.ask(PATH, &headers, &body(PATH));
            assert_eq!(answer.status, expected, "{mode}: on one connection");
        }
    }
}

/// A route's own policy takes the place of its Gateway's, and one issuer's token is nothing to the other.
#[test]
fn the_most_special_policy_decides_and_remembers_for_itself() {
    let [wide, narrow] = ["a", "b"].map(|kid| Signer::new("ES384", Some(kid)));
    let own = jwt(
        "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: oa}",
        "Strict",
        &json!({"inline": key_set([&narrow])}),
        "",
    );
    let rig = start(&apis(&(inline("Strict", &[&wide]) + &own.replace("name: callers", "name: own"))));
    let [wide, narrow] = [&wide, &narrow].map(|signer| bearer(&signer.token(&claims(300))));
    for _ in 0..3 {
        for (path, headers, expected) in [
            ("/oa/v1/chat/completions", &narrow, 200),
            ("/oa/v1/chat/completions", &wide, 401),
            ("/an/v1/messages", &wide, 200),
            ("/an/v1/messages", &narrow, 401),
        ] {
            assert_eq!(ask(&rig, path, headers).status, expected, "{path}");
        }
    }
}

/// A refusal that found no body to read leaves the connection as it is, and what is let in may be a stream.
#[test]
fn a_connection_goes_on_after_a_refusal() {
    let signer = Signer::new("PS256", Some("k1"));
    let rig = start(&apis(&inline("Strict", &[&signer])));
    let good = bearer(&signer.token(&claims(300)));
    let mut client = rig.client();
    let mut models = |headers: &str| {
        client.write(format!("GET /oa/v1/models HTTP/1.1\r\nHost: gateway.test\r\n{headers}\r\n"));
        client.answer().status
    };
    assert_eq!([models(""), models(&good), models(""), models(&good)], [401, 200, 401, 200]);
    for (path, body) in [("/openai", chat("a", true)), ("/messages", message("a", true))] {
        let answer = client.ask(path, &good, &body);
        assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
    }
    rig.assert_ledgers_agree();
}
