//! `tollgate explain`: what it tells is what a gateway would do, and nobody hears of it.

mod support;

use std::fs;
use std::path::PathBuf;
use support::process::{directory, ended, tollgate};
use support::{Client, bucket, gateway, limits, manifests, settings};
use tollgate::config::Overrides;
use tollgate_loadtest::{Script, Simulator};

const BODY: &str =
    r#"{"model": "gpt-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}"#;

/// A directory with the usual routes and these policies.
fn config(name: &str, policies: &str) -> PathBuf {
    let here = directory(name);
    fs::write(here.join("1.yaml"), manifests(policies)).expect("a file");
    here
}

/// What is told of a request, and the exit code.
fn explained(here: &std::path::Path, arguments: &[&str]) -> (String, Option<i32>) {
    let config = here.display().to_string();
    let all = [&["explain", "--config", &config], arguments].concat();
    let ended = ended(&mut tollgate(&all));
    (ended.stdout + &ended.stderr, ended.code)
}

/// Lines without their indentation.
fn lines(text: &str) -> Vec<&str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect()
}

fn has(text: &str, expected: &[&str]) {
    let all = lines(text);
    for line in expected {
        assert!(all.iter().any(|known| known.starts_with(line)), "no line {line:?} in\n{text}");
    }
}

#[test]
fn a_translated_request_is_told_from_the_listener_to_what_would_be_sent() {
    let here = config("explain-whole", &bucket("translated", 5, 1, "100s", "requests"));
    let key = "Authorization: Bearer the-client's-own-key";
    let (text, code) = explained(&here, &["POST /anthropic?x=1", "-H", key, "-H", "x-team: red", "-d", BODY]);
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &[
            "listener     llm/edge/http (http, port 8080)",
            "rule         HTTPRoute llm/translated/0",
            "caller       key sha256:47f4493a",
            "asks for     gpt-5 in openai.chat",
            "limit        llm/translated-limit: 5 requests at once, 1 back every 100 s",
            "backend      llm/anthropic (anthropic) at https://api.anthropic.com:443",
            "sends        POST /v1/messages",
            "host: api.anthropic.com",
            "x-api-key: (a credential)",
            "\"max_tokens\": 9,",
            "not          llm/openai/0: wants path prefix /openai",
            "not          llm/plain/0: wants path prefix /plain",
        ],
    );
    assert!(text.contains("takes 1 request of 5"), "{text}");
    for secret in ["sk-live-secret", "the-client's-own-key"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn what_would_not_be_served_is_told_with_the_answer() {
    let here =
        config("explain-refused", &limits("openai", &["{name: t, unit: tokens, budget: 5, window: day}"]));
    for (request, body, expected) in [
        ("POST /nowhere", BODY, &["rule         none takes it", "answers      404 Not Found"][..]),
        (
            "POST /openai",
            "{\"model\":",
            &["rule         HTTPRoute llm/openai/0", "answers      400 Bad Request"],
        ),
        ("GET /openai", "", &["answers      405", "allow: POST"]),
    ] {
        let data: &[&str] = if body.is_empty() { &[] } else { &["-d", body] };
        let (text, code) = explained(&here, &[&[request], data].concat());
        assert_eq!(code, Some(0), "{text}");
        has(&text, expected);
        assert!(!text.contains("sends "), "{text}");
    }
    // A bucket that starts full admits more than fits once, so five tokens take what they are asked for.
    let (text, _) = explained(&here, &["POST /openai", "-d", BODY]);
    has(
        &text,
        &[
            "limit        llm/test/t: 5 tokens per day (UTC)",
            "sends        POST /v1/chat/completions HTTP/1.1",
        ],
    );
}

#[test]
fn a_plain_host_and_a_query_with_a_key_are_told_too() {
    let here = config("explain-plain", "");
    let (text, code) = explained(&here, &["GET http://any.example/plain/a?key=secret&b=c"]);
    assert_eq!(code, Some(0), "{text}");
    has(
        &text,
        &[
            "backend      llm/host at http://plain.example:80",
            "sends        GET /a?key=(a credential)&b=c HTTP/1.1",
            "host: any.example",
        ],
    );
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn a_running_gateway_tells_how_its_accounts_stand() {
    let by_key = "{name: k, unit: requests, rate: 3/hour, burst: 3, key: {apiKey: {}}}";
    let policies = limits("openai", &[by_key]);
    let here = config("explain-balances", &policies);
    let token = "0123456789abcdef";
    let more =
        format!("  records: {{to: none}}\n  workers: {{cores: 1, pin: false}}\n  admin: {{token: {token}}}");
    let simulator = Simulator::start(Script::default()).expect("the simulator starts");
    let host = |name: &str| (name.to_owned(), format!("http://{}", simulator.addr()));
    let overrides = Overrides {
        hosts: ["api.anthropic.com", "api.openai.com", "plain.example"].map(host).into(),
        listeners: vec![(8080, "127.0.0.1:0".to_owned())],
        admin: Some("127.0.0.1:0".to_owned()),
        ..Overrides::default()
    };
    let gateway = gateway(&[("1.yaml", &manifests(&policies)), ("2.yaml", &settings(&more))], overrides);
    let address = gateway.addresses[0];
    let ask =
        |key: &str| Client::connect(address).ask("/openai", &format!("x-api-key: {key}\r\n"), BODY).status;
    assert_eq!([ask("k1"), ask("k1")], [200, 200]);
    let admin = format!("http://{}", gateway.admin_address.expect("an admin endpoint"));
    let config = here.display().to_string();
    let asked = |key: &str, token: &str| {
        let key = format!("x-api-key: {key}");
        let arguments =
            ["explain", "POST /openai", "-d", BODY, "-H", &key, "--config", &config, "--admin", &admin];
        ended(tollgate(&arguments).env("TOLLGATE_ADMIN_TOKEN", token))
    };
    for (key, expected) in [("k1", "now 1 left"), ("k2", "now full: its key was not seen there")] {
        let told = asked(key, token);
        assert!(
            told.stdout.replace("\n             ", " ").contains(expected),
            "{} {}",
            told.stdout,
            told.stderr
        );
    }
    let told = asked("k1", "another-token-xx");
    assert!(told.code == Some(2) && told.stderr.contains("TOLLGATE_ADMIN_TOKEN"), "{}", told.stderr);
    gateway.stop();
    gateway.join().expect("it ends well");
}

#[test]
fn what_cannot_be_explained_is_said() {
    let here = config("explain-faults", "");
    for (arguments, expected) in [
        (&["GET /", "--port", "99"][..], "no listener has the port 99; there are 8080"),
        (&["GET nowhere"], "'METHOD /path'"),
        (&["GET /", "-H", "x"], "'name: value'"),
        (&["GET /", "--admin", "http://127.0.0.1:1"], ""),
    ] {
        let (text, code) = explained(&here, arguments);
        assert!(text.contains(expected), "{arguments:?}: {text}");
        assert_eq!(code, Some(if expected.is_empty() { 0 } else { 2 }), "{arguments:?}: {text}");
    }
    let ended = ended(&mut tollgate(&["explain", "GET /"]));
    assert!(ended.code == Some(2) && ended.stderr.contains("--config"), "{}", ended.stderr);
}
