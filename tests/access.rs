//! Who may call: keys, rules, addresses, through a whole gateway.

#[path = "access/basic.rs"]
mod basic;
#[path = "access/filters.rs"]
mod filters;
#[path = "support/front.rs"]
mod front;
#[path = "access/jwt.rs"]
mod jwt;
mod support;
#[path = "support/tokens.rs"]
mod tokens;

use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use support::process::{Process, directory};
use support::{Answer, Client, Rig, apis, chat, limits, message, settings, until};
use tollgate::base::base64; // that of tokens
use tollgate_loadtest::{Script, Simulator};

const QUIET: &str = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";

/// The keys of all tests: two without conditions, and one for each condition.
const KEYS: &str = r#"---
apiVersion: v1
kind: Secret
metadata: {name: callers, namespace: llm, labels: {app: callers}}
stringData:
  plain: k-plain
  red: '{"key": "k-red", "metadata": {"team": "red", "tier": 1}}'
  blue: '{"key": "k-blue", "metadata": {"team": "blue"}}'
  hashed: '{"keyHash": "sha256:f7f9cdf7ff1bbfd90a1ac2ee0df72d5f08a40d6f44d9e88ed0a1fbbf9f2c0e3b"}'
  past: '{"key": "k-past", "expires": "2020-01-01T00:00:00Z"}'
  future: '{"key": "k-future", "expires": "2999-01-01T00:00:00Z"}'
  small: '{"key": "k-small", "allowedModels": ["gpt-5-mini", "claude-haiku-*", "*-1"]}'
  none: '{"key": "k-none", "allowedModels": []}'
"#;

/// An AgentgatewayPolicy with this body on a target, `Kind/name`.
fn policy(name: &str, target: &str, spec: &str) -> String {
    let (kind, of) = target.split_once('/').expect("a kind and a name");
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: {name}, namespace: llm}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {of}}}]\n  {spec}\n"
    )
}

fn keys(target: &str, more: &str) -> String {
    KEYS.to_owned()
        + &policy(
            "keys",
            target,
            &format!("traffic: {{apiKeyAuthentication: {{secretRef: {{name: callers}}{more}}}}}"),
        )
}

fn rig(policies: &str) -> Rig {
    Rig::start_with(Script::default(), &apis(policies), &settings(QUIET))
}

/// One request on a connection of its own, which a refusal before its body closes.
fn ask(rig: &Rig, path: &str, headers: &str, body: &str) -> Answer {
    rig.client().ask(path, headers, body)
}

fn status(rig: &Rig, path: &str, headers: &str) -> u16 {
    let body =
        if path.starts_with("/messages") { message("claude-haiku-4-5", false) } else { chat("gpt-5", false) };
    ask(rig, path, headers, &body).status
}

fn denials(rig: &Rig, reason: &str) -> u64 {
    use tollgate::telemetry::{Totals, lists::DENIALS};
    let mut totals = Totals::default();
    rig.gateway().board.desks.iter().for_each(|desk| totals.add(&desk.counters));
    let place = DENIALS.iter().position(|known| *known == reason).unwrap_or_else(|| panic!("{reason}"));
    totals.denials[place]
}

#[test]
fn every_reason_has_a_name_in_metrics_and_every_401_a_challenge() {
    use tollgate::access::Refusal;
    use tollgate::access::jwt::Fault;
    use tollgate::telemetry::lists::DENIALS;
    let all = [
        Refusal::NoKey,
        Refusal::UnknownKey,
        Refusal::ExpiredKey,
        Refusal::NoToken,
        Refusal::Token(Fault::Signature),
        Refusal::Token(Fault::Expired),
        Refusal::Token(Fault::NoKeys { source: 0 }),
        Refusal::NoPassword("Basic realm=\"a\"".into()),
        Refusal::WrongPassword("Basic realm=\"a\"".into()),
        Refusal::Unjudged,
        Refusal::Guessing,
        Refusal::Model("m".into()),
        Refusal::Address,
        Refusal::Rules,
    ];
    for (refusal, name) in all.iter().zip(DENIALS) {
        assert_eq!(refusal.name(), name);
        assert_eq!(refusal.status() == 401, refusal.challenge().is_some(), "{name}");
    }
    assert_eq!(all.len() + 1, DENIALS.len(), "the last is for all others");
}

// === API keys ===

#[test]
fn each_mode_lets_in_whom_it_says() {
    let (bearer, usual) = ("Authorization: Bearer k-plain\r\n", "x-api-key: k-plain\r\n");
    let google = "x-goog-api-key: k-plain\r\n";
    let (unknown, past) = ("Authorization: Bearer k-unknown\r\n", "x-api-key: k-past\r\n");
    let (future, basic) = ("x-api-key: k-future\r\n", "Authorization: Basic YTpi\r\n");
    let both = format!("{basic}{usual}");
    for (mode, none, wrong) in
        [("", 401, 401), ("Strict", 401, 401), ("Optional", 200, 401), ("Permissive", 200, 200)]
    {
        let given = if mode.is_empty() { String::new() } else { format!(", mode: {mode}") };
        let rig = rig(&keys("HTTPRoute/openai", &given));
        for (headers, expected) in [
            ("", none),
            (bearer, 200),
            (usual, 200),
            (google, 200),
            (future, 200),
            (unknown, wrong),
            (past, wrong),
            (basic, none),
            (&*both, 200),
            ("Authorization: Bearer\r\n", wrong),
        ] {
            assert_eq!(status(&rig, "/openai", headers), expected, "{mode}: {headers}");
        }
        assert_eq!(status(&rig, "/messages", ""), 200, "another route is as before");
        let counted = [denials(&rig, "no_key"), denials(&rig, "unknown_key"), denials(&rig, "expired_key")];
        let expected = match mode {
            "Permissive" => [0, 0, 0],
            "Optional" => [0, 2, 1],
            _ => [2, 2, 1],
        };
        assert_eq!(counted, expected, "{mode}");
    }
}

#[test]
fn refusals_are_in_every_formats_words_and_challenge() {
    let rig = rig(&keys("Gateway/edge", ""));
    let gemini = "/ge/v1beta/models/model-1:generateContent";
    let rows: [(&str, String, &str, &str); 6] = [
        ("/openai", chat("gpt-5", false), "/error/type", "invalid_request_error"),
        ("/oa/v1/responses", r#"{"model":"gpt-5","input":"x"}"#.to_owned(), "/error/code", "invalid_api_key"),
        ("/oa/v1/embeddings", r#"{"model":"m","input":"x"}"#.to_owned(), "/error/code", "invalid_api_key"),
        ("/messages", message("claude-haiku-4-5", true), "/error/type", "authentication_error"),
        (gemini, r#"{"contents":[{"parts":[{"text":"x"}]}]}"#.to_owned(), "/error/status", "UNAUTHENTICATED"),
        ("/plain/echo", "{}".to_owned(), "/error/type", "authentication"),
    ];
    for (path, body, pointer, word) in rows {
        for (headers, challenge, message) in [
            ("", "Bearer", "the request has no API key where one is looked for"),
            ("x-api-key: k-unknown\r\n", "Bearer error=\"invalid_token\"", "the API key is not known here"),
            ("x-api-key: k-past\r\n", "Bearer error=\"invalid_token\"", "the API key has expired"),
        ] {
            let answer = ask(&rig, path, headers, &body);
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some(challenge)), "{path}");
            let error = answer.json();
            assert_eq!(error.pointer(pointer), Some(&json!(word)), "{path}: {error}");
            assert_eq!(error.pointer("/error/message"), Some(&json!(message)), "{path}: {error}");
            assert!(!answer.text().contains("k-"), "{error}");
        }
    }
    assert!(rig.simulator.requests().is_empty(), "none of it went further");
}

#[test]
fn a_key_is_looked_for_where_it_is_said_and_nobody_else_sees_it() {
    let rows = [
        ("header: {name: x-gateway-key}", "X-Gateway-Key: k-plain\r\n", ""),
        ("header: {name: Authorization, prefix: 'Key '}", "Authorization: Key k-plain\r\n", ""),
        ("queryParameter: {name: gate}", "", "?gate=k%2Dplain&a=1"),
        ("cookie: {name: gate}", "Cookie: a=1; gate=k-plain\r\n", ""),
    ];
    for (location, headers, query) in rows {
        let rig = rig(&keys("Gateway/edge", &format!(", location: {{{location}}}")));
        for path in ["/openai", "/messages", "/plain/echo"] {
            let path = |query: &str| format!("{path}{query}");
            assert_eq!(status(&rig, &path(""), "x-api-key: k-plain\r\n"), 401, "{location}");
            assert_eq!(status(&rig, &path(query), headers), 200, "{location}");
            let seen = rig.simulator.requests().pop().expect("it came");
            let lines: Vec<String> = seen
                .headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value)))
                .collect();
            let all = format!("{} {}", seen.target, lines.join("\n"));
            assert!(!all.contains("k-plain") && !all.contains("k%2Dplain"), "{location}: {all}");
            assert_eq!(seen.target.contains("a=1"), !query.is_empty(), "{location}: {}", seen.target);
        }
    }
    // In its usual place it goes no further either; another header than the one that holds it does.
    let rig = rig(&keys("Gateway/edge", ""));
    assert_eq!(status(&rig, "/plain/echo", "x-api-key: k-plain\r\nx-goog-api-key: theirs\r\n"), 200);
    let seen = rig.simulator.requests().pop().expect("it came");
    let value = |name: &str| {
        seen.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| &value[..])
    };
    assert_eq!((value("x-api-key"), value("x-goog-api-key")), (None, Some(&b"theirs"[..])));
}

#[test]
fn a_key_is_for_its_models_wherever_they_are_named() {
    let limit = limits("oa", &["{name: n, unit: requests, rate: 1/hour, key: {apiKey: {}}}"]);
    let rig = rig(&(keys("Gateway/edge", "") + &limit));
    let (small, none) = ("x-api-key: k-small\r\n", "x-api-key: k-none\r\n");
    let gemini = |model: &str| format!("/ge/v1beta/models/{model}:generateContent");
    let contents = || r#"{"contents":[{"parts":[{"text":"x"}]}]}"#.to_owned();
    let nameless = r#"{"messages":[{"role":"user","content":"x"}]}"#.to_owned();
    let rows: [(&str, &str, String, Option<&str>); 10] = [
        (small, "/openai", chat("gpt-5-mini", false), None),
        (small, "/openai", chat("gpt-5", false), Some("gpt-5")),
        (small, "/openai", chat("gpt-5-mini-2", true), Some("gpt-5-mini-2")),
        (small, "/messages", message("claude-haiku-4-5", false), None),
        (small, "/messages", message("claude-opus-4-1", false), None),
        (small, "/messages", message("claude-opus-4", true), Some("claude-opus-4")),
        (small, &gemini("model-1"), contents(), None),
        (small, &gemini("model%2D2"), contents(), Some("model-2")),
        (none, "/openai", chat("gpt-5-mini", false), Some("gpt-5-mini")),
        (small, "/openai", nameless, Some("")),
    ];
    for (headers, path, body, refused) in rows {
        let answer = ask(&rig, path, headers, &body);
        let Some(model) = refused else {
            assert_eq!(answer.status, 200, "{path} {body}: {}", answer.text());
            continue;
        };
        assert_eq!(answer.status, 403, "{path} {body}: {}", answer.text());
        let error = answer.json();
        let said = error.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
        let expected = if model.is_empty() {
            "names no model".to_owned()
        } else {
            format!("is not for the model {model:?}")
        };
        assert!(said.contains(&expected), "{error}");
        match path {
            "/openai" => assert_eq!(error.pointer("/error/code"), Some(&json!("model_not_allowed"))),
            "/messages" => assert_eq!(error.pointer("/error/type"), Some(&json!("permission_error"))),
            _ => assert_eq!(error.pointer("/error/status"), Some(&json!("PERMISSION_DENIED"))),
        }
    }
    assert_eq!(denials(&rig, "model"), 6);
    // A refusal reserves nothing: the one request of the hour is still there.
    let openai = |model: &str| ask(&rig, "/oa/v1/chat/completions", small, &chat(model, false)).status;
    assert_eq!([openai("gpt-5"), openai("gpt-5-mini"), openai("gpt-5-mini")], [403, 200, 429]);
    // Lists name no model, and plain hosts know none.
    let mut client = rig.client();
    client.write(
        "GET /an/v1/models HTTP/1.1\r\nHost: a\r\nanthropic-version: 2023-06-01\r\nx-api-key: k-none\r\n\r\n",
    );
    assert_eq!(client.answer().status, 200);
    assert_eq!(status(&rig, "/plain/echo", none), 200);
}

/// A limit falls back to no model that the caller's key is not for: then it refuses.
#[test]
fn a_key_is_for_its_models_also_where_a_limit_falls_back() {
    for (fallback, small) in [("gpt-5", 429), ("model-1", 200)] {
        let limit =
            format!("{{name: n, unit: requests, rate: 1/hour, onExhausted: {{fallback: {fallback}}}}}");
        let rig = rig(&(keys("Gateway/edge", "") + &limits("oa", &[&limit])));
        let ask = |key: &str| {
            let headers = format!("x-api-key: {key}\r\n");
            ask(&rig, "/oa/v1/chat/completions", &headers, &chat("gpt-5-mini", false)).status
        };
        assert_eq!([ask("k-small"), ask("k-small"), ask("k-plain")], [200, small, 200], "{fallback}");
    }
}

#[test]
fn a_refused_request_leaves_the_connection_to_no_doubt() {
    let rig = rig(&keys("Gateway/edge", ""));
    // Without a body the connection goes on; with one that was not read it ends.
    let mut client = rig.client();
    let get = |key: &str| format!("GET /oa/v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: {key}\r\n\r\n");
    for (key, expected) in [("k-unknown", 401), ("k-plain", 200), ("k-red", 200), ("", 401), ("k-plain", 200)]
    {
        client.write(get(key));
        assert_eq!(client.answer().status, expected, "{key}");
    }
    let answer = client.ask("/openai", "x-api-key: k-unknown\r\n", &chat("gpt-5", false));
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    assert!(client.is_over());
}

#[test]
fn keys_come_from_everything_with_a_label() {
    let more = r#"---
apiVersion: v1
kind: Secret
metadata: {name: more, namespace: llm, labels: {app: callers, tier: more}}
data: {extra: ay1leHRyYQ==}
"#;
    let select = |what: &str, labels: &str| {
        let spec = format!("traffic: {{apiKeyAuthentication: {{{what}: {{matchLabels: {{{labels}}}}}}}}}");
        KEYS.to_owned() + more + &policy("keys", "HTTPRoute/openai", &spec)
    };
    for (labels, plain, extra) in [("app: callers", 200, 200), ("app: callers, tier: more", 401, 200)] {
        let rig = rig(&select("secretSelector", labels));
        assert_eq!(status(&rig, "/openai", "x-api-key: k-plain\r\n"), plain, "{labels}");
        assert_eq!(status(&rig, "/openai", "x-api-key: k-extra\r\n"), extra, "{labels}");
    }
    // FIPS 180-2 appendix B.1: the SHA-256 of "abc".
    let map = r#"---
apiVersion: v1
kind: ConfigMap
metadata: {name: hashes, namespace: llm, labels: {app: callers}}
data: {one: '{"keyHash": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}'}
"#;
    let rig = rig(&(select("configMapSelector", "app: callers") + map));
    assert_eq!(
        [status(&rig, "/openai", "x-api-key: abc\r\n"), status(&rig, "/openai", "x-api-key: k-plain\r\n")],
        [200, 401]
    );
}

#[test]
fn the_most_special_policy_says_which_keys_hold() {
    let other = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: other, namespace: llm}\nstringData: {o: k-other}\n";
    let special =
        policy("special", "HTTPRoute/openai", "traffic: {apiKeyAuthentication: {secretRef: {name: other}}}");
    let rig = rig(&(keys("Gateway/edge", "") + other + &special));
    for (path, key, expected) in [
        ("/openai", "k-other", 200),
        ("/openai", "k-plain", 401),
        ("/messages", "k-other", 401),
        ("/messages", "k-plain", 200),
    ] {
        assert_eq!(status(&rig, path, &format!("x-api-key: {key}\r\n")), expected, "{path} {key}");
    }
}

#[test]
fn limits_go_by_what_is_known_of_a_key() {
    let by = |key: &str| {
        limits(
            "openai",
            &[&format!("{{name: n, unit: requests, rate: 1/hour, key: {key}, onMissingKey: deny}}")],
        )
    };
    let ask = |rig: &Rig, key: &str| status(rig, "/openai", &format!("x-api-key: {key}\r\n"));
    let rig = rig(&(keys("HTTPRoute/openai", "") + &by("{metadata: team}")));
    assert_eq!([ask(&rig, "k-red"), ask(&rig, "k-red"), ask(&rig, "k-blue")], [200, 429, 200]);
    let lacking = crate::ask(&rig, "/openai", "x-api-key: k-plain\r\n", &chat("gpt-5", false));
    assert_eq!(lacking.status, 401, "{}", lacking.text());
    assert!(lacking.text().contains("an API key with team in its metadata"), "{}", lacking.text());
    assert_eq!(lacking.header("www-authenticate"), Some("Bearer"));
    // The key that was validated is the account's, wherever it stood.
    let rig = self::rig(
        &(keys("HTTPRoute/openai", ", location: {header: {name: x-gate}}") + &by("{apiKey: {}, model: {}}")),
    );
    let ask = |gate: &str| status(&rig, "/openai", &format!("x-gate: {gate}\r\nx-api-key: same\r\n"));
    assert_eq!([ask("k-red"), ask("k-red"), ask("k-blue"), ask("k-blue")], [200, 429, 200, 429]);
}

/// Where keys are validated, one that was not is nobody's: who invents keys gets no account for each of them.
#[test]
fn an_invented_key_has_no_account_of_its_own() {
    let limit =
        |key: &str| limits("openai", &[&format!("{{name: n, unit: requests, rate: 1/hour, key: {key}}}")]);
    for (mode, invented) in [
        (", mode: Permissive", ["x-api-key: k-new-1\r\n", "Authorization: Bearer k-new-2\r\n"]),
        (
            ", mode: Optional, location: {header: {name: x-gate}}",
            ["x-api-key: k-new-1\r\n", "x-goog-api-key: k-new-2\r\n"],
        ),
    ] {
        for key in ["{apiKey: {}}", "{apiKey: {}, model: {}}"] {
            let rig = rig(&(keys("HTTPRoute/openai", mode) + &limit(key)));
            let found = invented.map(|headers| status(&rig, "/openai", headers));
            assert_eq!(found, [200, 429], "{mode} {key}");
            // On a connection on which somebody was known before, too.
            let mut client = rig.client();
            let known = "x-api-key: k-plain\r\nx-gate: k-plain\r\n";
            let next = [known, invented[0], known]
                .map(|headers| client.ask("/openai", headers, &chat("gpt-5", false)).status);
            assert_eq!(next, [200, 429, 429], "{mode} {key}");
        }
    }
}

#[test]
fn records_name_who_called_and_never_the_key() {
    let path = directory("access").join("records.jsonl");
    let to = format!(
        "  records: {{to: \"{}\"}}\n  workers: {{cores: 1, pin: false}}\n  timeouts: {{drain: 2s}}",
        path.display()
    );
    let rig = Rig::start_with(Script::default(), &apis(&keys("Gateway/edge", "")), &settings(&to));
    let mut expected = Vec::new();
    for (key, status, identity, outcome) in [
        ("k-red", 200, json!("red"), "completed"),
        ("k-past", 401, Value::Null, "denied"),
        ("k-none", 403, json!("none"), "denied"),
    ] {
        assert_eq!(self::status(&rig, "/openai", &format!("x-api-key: {key}\r\n")), status);
        expected.push((json!(status), identity, json!(outcome)));
    }
    let lines = || fs::read_to_string(&path).unwrap_or_default();
    until("the records are written", || lines().matches('\n').count() == 3);
    let records: Vec<Value> = lines().lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    let shown: Vec<_> =
        records.iter().map(|r| (r["status"].clone(), r["identity"].clone(), r["outcome"].clone())).collect();
    assert_eq!(shown, expected);
    assert!(!lines().contains("k-red") && !lines().contains("k-past"), "{}", lines());
}

#[test]
fn a_reload_takes_and_revokes_keys_on_connections_that_are_kept() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let here = directory("revoke");
    let write = |keys: &str| fs::write(here.join("1.yaml"), apis(keys)).expect("a file");
    let policies = keys("Gateway/edge", "");
    write(&policies);
    let (mut process, address) = Process::serve_folder(&here, simulator.addr());
    let get = |client: &mut Client, key: &str| {
        client.write(format!("GET /oa/v1/models HTTP/1.1\r\nHost: a\r\nx-api-key: {key}\r\n\r\n"));
        client.answer().status
    };
    let kept = RefCell::new(Client::connect(address));
    let ask = |key: &str| get(&mut kept.borrow_mut(), key);
    assert_eq!([ask("k-plain"), ask("k-new"), ask("k-plain")], [200, 401, 200]);
    write(&policies.replace("k-plain", "k-new"));
    process.signal("HUP");
    process.says("configuration 2 is in force");
    // Each worker takes it over between two requests, in its own time.
    until("the key is revoked", || get(&mut Client::connect(address), "k-plain") == 401);
    until("it is revoked for those who are here", || ask("k-plain") == 401);
    assert_eq!([ask("k-new"), ask("k-plain"), ask("k-red")], [200, 401, 200]);
}

// === rules ===

fn authorization(name: &str, target: &str, action: &str, expressions: &[&str]) -> String {
    let list: Vec<String> = expressions.iter().map(|text| format!("\"{text}\"")).collect();
    let list = list.join(", ");
    policy(
        name,
        target,
        &format!("traffic: {{authorization: {{action: {action}, policy: {{matchExpressions: [{list}]}}}}}}"),
    )
}

#[test]
fn rules_of_all_levels_say_who_may_ask_for_what() {
    let rules = keys("Gateway/edge", ", mode: Optional")
        + &authorization(
            "deny",
            "Gateway/edge",
            "Deny",
            &["apiKey.team == 'blue'", "request.headers['x-bad'] == 'yes'"],
        )
        + &authorization(
            "allow",
            "HTTPRoute/openai",
            "Allow",
            &["has(apiKey.team)", "llm.requestModel.startsWith('gpt-5-mini')"],
        )
        + &authorization(
            "require",
            "HTTPRoute/openai",
            "Require",
            &["request.method == 'POST'", "llm.requestModel != 'gpt-3'"],
        )
        + &authorization(
            "plain",
            "HTTPRoute/plain",
            "Require",
            &["request.path.startsWith('/plain/e')", "!request.pathAndQuery.startsWith('/plain/echo?x')"],
        );
    let rig = rig(&rules);
    let (red, blue, plain) = ("x-api-key: k-red\r\n", "x-api-key: k-blue\r\n", "x-api-key: k-plain\r\n");
    let bad = format!("{red}X-Bad: yes\r\n");
    for (path, headers, model, expected) in [
        ("/openai", red, "gpt-5", 200),
        ("/openai", blue, "gpt-5", 403),
        ("/openai", plain, "gpt-5", 403),
        ("/openai", plain, "gpt-5-mini", 200),
        ("/openai", "", "gpt-5-mini", 200),
        ("/openai", "", "gpt-5", 403),
        ("/openai", red, "gpt-3", 403),
        ("/openai", &bad, "gpt-5", 403),
        ("/messages", "", "claude-haiku-4-5", 200),
        ("/messages", blue, "claude-haiku-4-5", 403),
        ("/plain/echo", "", "", 200),
        ("/plain/v2/x", "", "", 403),
        ("/plain/%65cho?x", "", "", 403),
        ("/plain/echo?x", "", "", 403),
        ("/plain/ech%6f?%78", "", "", 403),
        ("http://a/plain/echo?x", "", "", 403),
    ] {
        let body = if path == "/messages" { message(model, false) } else { chat(model, false) };
        let answer = ask(&rig, path, headers, &body);
        assert_eq!(answer.status, expected, "{path} {headers} {model}: {}", answer.text());
        if expected == 403 {
            let said = answer.json().pointer("/error/message").cloned();
            assert_eq!(said, Some(json!("the rules of this gateway do not allow this request")), "{path}");
            assert_eq!(answer.header("www-authenticate"), None);
        }
    }
    assert_eq!(denials(&rig, "rules"), 11);
}

#[test]
fn kgateways_rbac_is_the_same() {
    let rbac = "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: rbac, namespace: llm}\n\
                spec:\n  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: openai}]\n  \
                rbac: {policy: {matchExpressions: [\"request.headers['x-team'] == 'red'\"]}}\n";
    let rig = rig(rbac);
    assert_eq!([status(&rig, "/openai", "X-Team: red\r\n"), status(&rig, "/openai", "")], [200, 403]);
    assert_eq!(status(&rig, "/messages", ""), 200);
}

#[test]
fn addresses_are_asked_before_all_else() {
    let network = |action: &str, expression: &str| {
        let spec = format!(
            "frontend: {{networkAuthorization: {{action: {action}, policy: {{matchExpressions: [\"{expression}\"]}}}}}}"
        );
        policy("network", "Gateway/edge", &spec)
    };
    let home = "cidr('127.0.0.0/8').containsIP(source.address)";
    for (action, expression, allowed) in [
        ("Allow", home, true),
        ("Deny", home, false),
        ("Allow", "cidr('192.0.2.0/24').containsIP(source.address)", false),
        ("Require", "source.address in ['127.0.0.1', '::1']", true),
        ("Deny", "cidr('2001:db8::/32').containsIP(source.address)", true),
    ] {
        let rig = rig(&(keys("Gateway/edge", "") + &network(action, expression)));
        let expected = if allowed { [200, 401] } else { [403, 403] };
        let found = [status(&rig, "/openai", "x-api-key: k-plain\r\n"), status(&rig, "/openai", "")];
        assert_eq!(found, expected, "{action} {expression}");
        assert_eq!(denials(&rig, "address"), if allowed { 0 } else { 2 });
    }
}
