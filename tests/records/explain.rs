//! `tollgate explain`: what it tells is what a gateway would do, and nobody hears of it.

use crate::support::process::{directory, ended, tollgate};
use crate::support::{Client, below, bucket, gateway, host, limits, manifests, settings};
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tollgate::base::base64;
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

/// A host whom nobody is to ask: how many connections came.
fn unasked() -> (Arc<AtomicU32>, SocketAddr) {
    let count = Arc::new(AtomicU32::new(0));
    let counted = count.clone();
    let address = host(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    (count, address)
}

/// A JSON Web Token of that issuer, which nobody signed.
fn token(issuer: &str) -> String {
    let part = |json: String| {
        let mut text = Vec::new();
        base64::push_url(&mut text, json.as_bytes());
        String::from_utf8(text).expect("ASCII")
    };
    let claims = format!(r#"{{"iss":"{issuer}","exp":4000000000}}"#);
    format!("{}.{}.{}", part(r#"{"alg":"ES256","kid":"k"}"#.to_owned()), part(claims), "A".repeat(86))
}

#[test]
fn keys_of_issuers_are_not_asked_for() {
    let (count, address) = unasked();
    let url = format!("http://{address}/keys");
    let target = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: openai}";
    let policy = format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: callers, namespace: llm}}\nspec:\n  \
         targetRefs: [{target}]\n  traffic: {{jwtAuthentication: {{providers: [{{issuer: \"https://one.test\", jwks: {{url: \
         \"{url}\"}}}}]}}}}\n"
    );
    let here = config("explain-issuers", &policy);
    let unknown = format!("unknown      the keys of {url}");
    for (issuer, answer) in
        [("https://one.test", "answers      503"), ("https://two.test", "answers      401")]
    {
        let bearer = format!("Authorization: Bearer {}", token(issuer));
        let (text, code) = explained(&here, &["POST /openai", "-H", &bearer, "-d", BODY]);
        assert_eq!(code, Some(0), "{text}");
        has(&text, &[answer, &unknown]);
    }
    let (text, _) = explained(&here, &["POST /anthropic", "-d", BODY]);
    assert!(!text.contains("unknown "), "another route asks for no token: {text}");
    assert_eq!(count.load(Ordering::Relaxed), 0, "nobody was asked");
}

#[test]
fn who_is_let_in_is_told_by_name() {
    let target = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: openai}";
    let policy = format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: callers, namespace: llm}}\nstringData: {{batch: k-batch}}\n---\napiVersion: \
         agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: callers, namespace: llm}}\nspec:\n  targetRefs: \
         [{target}]\n  traffic: {{apiKeyAuthentication: {{secretRef: {{name: callers}}}}}}\n"
    );
    let here = config("explain-callers", &policy);
    let (text, _) = explained(&here, &["POST /openai", "-H", "x-api-key: k-batch", "-d", BODY]);
    let digest = &tollgate::access::digest(b"k-batch")[..4];
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    has(
        &text,
        &[
            &format!("caller       key sha256:{digest}, known as batch"),
            "sends        POST /v1/chat/completions",
        ],
    );
    assert!(!text.contains("k-batch"), "{text}");
    let (text, _) = explained(&here, &["POST /openai", "-H", "x-api-key: k-other", "-d", BODY]);
    has(&text, &["answers      401", "www-authenticate: Bearer"]);
    // A password is judged as the real one judges it: `ann:opensesame`, hashed by OpenSSL.
    let keys = "apiKeyAuthentication: {secretRef: {name: callers}}";
    let users = "basicAuthentication: {users: ['ann:$apr1$ab$6Cm1F.e/FFPuga.Gaxy1M.']}";
    let here = config("explain-users", &policy.replace(keys, users));
    let (good, bad) = ("Authorization: Basic YW5uOm9wZW5zZXNhbWU=", "Authorization: Basic YW5uOm9wZW4=");
    let (text, _) = explained(&here, &["POST /openai", "-H", good, "-d", BODY]);
    has(&text, &["caller       known as ann", "sends        POST /v1/chat/completions"]);
    assert!(!text.contains("YW5u"), "{text}");
    let (text, _) = explained(&here, &["POST /openai", "-H", bad, "-d", BODY]);
    has(&text, &["answers      401", "www-authenticate: Basic realm=\"Restricted\""]);
}

#[test]
fn credentials_of_clouds_are_not_fetched() {
    let (count, address) = unasked();
    let here = config(
        "explain-clouds",
        &below("cloud", "bedrock: {region: eu-west-1, model: eu.amazon.nova-lite-v1:0}"),
    );
    let config = here.display().to_string();
    let mut command =
        tollgate(&["explain", "--config", &config, "POST /cloud/v1/chat/completions", "-d", BODY]);
    let told = ended(command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{address}/keys")));
    let text = told.stdout + &told.stderr;
    has(
        &text,
        &[
            "backend      llm/cloud (bedrock) at https://bedrock-runtime.eu-west-1.amazonaws.com:443",
            "authorization: (a credential)",
            "x-amz-security-token: (a credential)",
        ],
    );
    assert_eq!((told.code, count.load(Ordering::Relaxed)), (Some(0), 0), "{text}");
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

#[test]
fn a_guard_that_asks_is_told_and_lets_everything_pass() {
    let guards = "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: guards, namespace: llm}\nspec:\n  \
                  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: openai}]\n  ai: {promptGuard: {request: \
                  {webhook: {host: {host: judge.example, port: 8000}}}}}\n";
    let here = config("explain-guards", guards);
    let (text, code) = explained(&here, &["POST /openai", "-d", BODY]);
    assert_eq!(code, Some(0), "{text}");
    has(&text, &["guard asks   POST /request HTTP/1.1", "sends        POST /v1/chat/completions HTTP/1.1"]);
    assert!(!text.contains("answers "), "{text}");
}
