//! Keys of Google's service accounts: access tokens are fetched by TLS, off the way of requests, and again before they end.

use super::*;
use crate::endpoint::{Endpoint, ask};
use serde_json::json;
use support::until;

/// A key that is good for nothing else.
const PEM: &str = include_str!("account.pem");

/// Google's token endpoint, by TLS: the `number`-th request, from 1, gets what `answer` says.
fn start(answer: impl Fn(usize) -> (u16, Value) + Send + Sync + 'static) -> Endpoint {
    Endpoint::start_secure(move |number, text| {
        assert!(text.starts_with("POST /token HTTP/1.1\r\n"), "{text}");
        let grant = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
        assert!(text.contains(grant), "{text}");
        let (status, body) = answer(number);
        (status, body.to_string())
    })
}

/// A gateway whose Backend has a service account of this endpoint's.
fn rig(endpoint: &Endpoint) -> Rig {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google", "namespace": "llm"},
        "stringData": {"Authorization": key(endpoint)},
    });
    let llm = "vertexai: {authToken: {kind: SecretRef, secretRef: {name: google}}, projectId: house-1, location: \
               europe-west1, model: claude-haiku-4-5}";
    endpoint.rig(script(), &(backend(llm) + &format!("---\n{secret}\n")), &[])
}

/// The JSON of a service account's key whose token endpoint is this one.
pub(super) fn key(endpoint: &Endpoint) -> String {
    let key = json!({
        "type": "service_account", "client_email": "house@house-1.iam.gserviceaccount.com", "private_key_id": "k1",
        "private_key": PEM, "token_uri": format!("{}/token", endpoint.url()),
    });
    key.to_string()
}

fn token(number: usize, seconds: u64) -> (u16, Value) {
    (200, json!({"access_token": format!("ya29.n{number}"), "expires_in": seconds, "token_type": "Bearer"}))
}

#[test]
fn a_token_is_there_with_the_first_request_and_serves_all_of_them() {
    let endpoint = start(|number| token(number, 3_600));
    let rig = rig(&endpoint);
    for _ in 0..4 {
        let answer = ask(&rig);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(seen(&rig).header("authorization"), Some("Bearer ya29.n1"));
    }
    assert_eq!(endpoint.asked().len(), 1);
    rig.assert_ledgers_agree();
}

#[test]
fn a_token_that_ends_soon_is_fetched_again() {
    let endpoint = start(|number| token(number, 4));
    let rig = rig(&endpoint);
    let served = |rig: &Rig| {
        let answer = ask(rig);
        assert_eq!(answer.status, 200, "{}", answer.text());
        seen(rig).header("authorization").expect("a token").to_owned()
    };
    let first = served(&rig);
    until("another token is used", || served(&rig) != first);
}

#[test]
fn without_a_token_requests_get_503_until_there_is_one() {
    let refusal = json!({"error": "invalid_grant", "error_description": "Invalid JWT Signature."});
    let endpoint = start(move |number| match number {
        1 => (400, refusal.clone()),
        _ => token(number, 3_600),
    });
    let rig = rig(&endpoint);
    let answer = ask(&rig);
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (503, Some("server_error")));
    assert!(answer.text().contains("no credential for the provider"), "{}", answer.text());
    assert!(!answer.text().contains("invalid_grant"), "that is for the operator");
    assert_eq!(rig.settled(), support::Settled::default());
    until("a token has come", || ask(&rig).status == 200);
    assert_eq!(seen(&rig).header("authorization"), Some("Bearer ya29.n2"));
}
