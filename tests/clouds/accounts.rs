//! Keys of Google's service accounts: access tokens are fetched by TLS, off the way of requests, and again before they end.

use super::*;
use crate::front::{Authority, Front, Manner};
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use support::process::directory;
use support::{chat, gateway, host, read_request, until};
use tollgate::config::Overrides;
use tollgate_loadtest::Simulator;

/// A key that is good for nothing else.
const PEM: &str = include_str!("account.pem");

/// Google's token endpoint: the `number`-th request, from 1, gets what `answer` says. What was asked is kept.
struct Endpoint {
    front: Front,
    authority: Authority,
    asked: Arc<AtomicU32>,
}

impl Endpoint {
    fn start(answer: impl Fn(u32) -> (u16, Value) + Send + Sync + 'static) -> Endpoint {
        let authority = Authority::new();
        let asked = Arc::new(AtomicU32::new(0));
        let count = asked.clone();
        let provider = host(move |mut stream| {
            while let Some(request) = read_request(&mut stream) {
                let text = String::from_utf8_lossy(&request);
                assert!(text.starts_with("POST /token HTTP/1.1\r\n"), "{text}");
                assert!(
                    text.contains(
                        "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="
                    )
                );
                let number = count.fetch_add(1, Ordering::SeqCst) + 1;
                let (status, body) = answer(number);
                let body = body.to_string();
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
                );
                if stream.write_all((head + &body).as_bytes()).is_err() {
                    return;
                }
            }
        });
        let front = Front::start(&authority.identity("localhost", 2020, 2100), provider, Manner::Polite);
        Endpoint { front, authority, asked }
    }

    /// A gateway whose Backend has a service account of this endpoint's.
    fn rig(&self) -> Rig {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let roots = directory(&format!("accounts-{number}")).join("ca.pem");
        std::fs::write(&roots, self.authority.pem()).expect("a file");
        let key = json!({
            "type": "service_account", "client_email": "house@house-1.iam.gserviceaccount.com", "private_key_id": "k1",
            "private_key": PEM, "token_uri": format!("https://localhost:{}/token", self.front.address.port()),
        });
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google", "namespace": "llm"},
            "stringData": {"Authorization": key.to_string()},
        });
        let llm = "vertexai: {authToken: {kind: SecretRef, secretRef: {name: google}}, projectId: house-1, location: \
                   europe-west1, model: claude-haiku-4-5}";
        let text = manifests(&(backend(llm) + &format!("---\n{secret}\n")));
        let simulator = Simulator::start(script()).expect("the simulator starts");
        let to = format!("http://{}", simulator.addr());
        let overrides = Overrides {
            hosts: vec![
                ("europe-west1-aiplatform.googleapis.com".to_owned(), to.clone()),
                ("api.anthropic.com".to_owned(), to.clone()),
                ("api.openai.com".to_owned(), to.clone()),
                ("plain.example".to_owned(), to),
            ],
            listeners: vec![(8080, "127.0.0.1:0".to_owned())],
            roots: vec![roots.display().to_string()],
            admin: Some("none".to_owned()),
        };
        let quiet = settings("  records: {to: none}\n  workers: {cores: 2, pin: false}");
        let gateway = gateway(&[("manifests.yaml", &text), ("settings.yaml", &quiet)], overrides);
        let address = gateway.addresses[0];
        Rig { simulator, gateway: Some(gateway), address }
    }
}

fn token(number: u32, seconds: u64) -> (u16, Value) {
    (200, json!({"access_token": format!("ya29.n{number}"), "expires_in": seconds, "token_type": "Bearer"}))
}

fn ask(rig: &Rig) -> support::Answer {
    rig.client().ask("/cloud/v1/chat/completions", "Authorization: Bearer theirs\r\n", &chat("asked", false))
}

#[test]
fn a_token_is_there_with_the_first_request_and_serves_all_of_them() {
    let endpoint = Endpoint::start(|number| token(number, 3_600));
    let rig = endpoint.rig();
    for _ in 0..4 {
        let answer = ask(&rig);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(seen(&rig).header("authorization"), Some("Bearer ya29.n1"));
    }
    assert_eq!(endpoint.asked.load(Ordering::SeqCst), 1);
    rig.assert_ledgers_agree();
}

#[test]
fn a_token_that_ends_soon_is_fetched_again() {
    let endpoint = Endpoint::start(|number| token(number, 4));
    let rig = endpoint.rig();
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
    let endpoint = Endpoint::start(move |number| match number {
        1 => (400, refusal.clone()),
        _ => token(number, 3_600),
    });
    let rig = endpoint.rig();
    let answer = ask(&rig);
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (503, Some("server_error")));
    assert!(answer.text().contains("no access token for the provider"), "{}", answer.text());
    assert!(!answer.text().contains("invalid_grant"), "that is for the operator");
    assert_eq!(rig.settled(), support::Settled::default());
    until("a token has come", || ask(&rig).status == 200);
    assert_eq!(seen(&rig).header("authorization"), Some("Bearer ya29.n2"));
}
