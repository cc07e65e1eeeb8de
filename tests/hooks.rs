//! Guards that ask services: webhooks and OpenAI's moderation, over sockets, through a whole gateway.

#[path = "support/front.rs"]
mod front;
#[path = "support/service.rs"]
mod service;
mod support;

use front::{Authority, Front, Manner};
use serde_json::{Value, json};
use service::{Hook, Says, mask, pass, reject, texts};
use std::time::Duration;
use support::process::directory;
use support::{
    API_MODEL, Rig, Settled, USER_TEXT, Wire, apis, assert_secret_is_rejected, chat, gateway, heard, limits,
    ok, seen, settings, traffic, until, ways,
};
use tollgate::config::Overrides;
use tollgate::llm::guard::CONTEXT_BYTES;
use tollgate::telemetry::Outcome;
use tollgate_loadtest::{Count, Reply, Script, Simulator};

const QUIET: &str = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n";
/// The hook is given up soon, and so would a provider be.
const HASTY: &str = "  timeouts: {drain: 2s, firstByte: 300ms}";
const PATIENT: &str = "  timeouts: {drain: 2s}";

fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 77, ..Script::default() }
}

fn saying(text: &str) -> Script {
    Script { reply: Reply::Text(text.to_owned()), chunks: 17, ..script() }
}

fn rig(script: Script, policies: &str) -> Rig {
    Rig::start_with(script, &apis(policies), &settings(&format!("{QUIET}{PATIENT}")))
}

/// A Backend that is this hook, for `backendRef`s.
fn backend(hook: &Hook) -> String {
    let address = hook.address;
    format!(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: judge, namespace: llm}}\nspec:\n  \
         type: Static\n  static: {{hosts: [{{host: {}, port: {}}}]}}\n",
        address.ip(),
        address.port()
    )
}

/// A webhook guard, as the older resource spells it.
fn webhook(hook: &Hook, more: &str) -> String {
    let address = hook.address;
    format!("{{webhook: {{host: {{host: {}, port: {}}}{more}}}}}", address.ip(), address.port())
}

fn guard(side: &str, guard: &str) -> String {
    format!("{{promptGuard: {{{side}: [{guard}]}}}}")
}

/// How often guards of this kind came to this verdict, as the metrics say.
fn checks(rig: &Rig, guard: &str, phase: &str, verdict: &str) -> u64 {
    use tollgate::telemetry::lists::{CHECKS, GUARDS, PHASES};
    let place = |list: &[&str], name: &str| list.iter().position(|known| *known == name).expect("a name");
    let (guard, phase, verdict) = (place(&GUARDS, guard), place(&PHASES, phase), place(&CHECKS, verdict));
    rig.totals().guard_checks[(guard * PHASES.len() + phase) * CHECKS.len() + verdict]
}

// === requests ===

#[test]
fn requests_are_judged_before_anybody_reads_them() {
    let hook = Hook::start(|asked| Says::Json(mask(asked, "secret", "\"thing\"")));
    let reference = "{webhook: {backendRef: {group: gateway.kgateway.dev, kind: Backend, name: judge}}}";
    let policies = ["translated", "messages", "openai", "cross", "oa", "ge"]
        .map(|route| traffic(route, &guard("request", reference)));
    let rig = rig(script(), &(backend(&hook) + &policies.concat()));
    let embeddings = (
        "oa",
        Wire::Embeddings.path(false),
        Wire::Embeddings.body(false).replace(USER_TEXT, "my secret"),
        false,
    );
    let mut client = rig.client();
    let mut asked = 0;
    for (_, path, body, _) in ways("my secret").into_iter().chain([embeddings]) {
        ok(client.ask(&path, "X-Team: a\r\n", &body));
        let (_, body) = seen(&rig);
        assert!(body.to_string().contains(r#"my \"thing\""#), "{path}: {body}");
        assert!(!body.to_string().contains("secret"), "{path}: {body}");
        asked += 1;
        let question = hook.asked().pop().expect("it was asked");
        assert_eq!(question.target, "/request", "{path}");
        assert_eq!(question.body, json!({"body": {"messages": [{"role": "user", "content": "my secret"}]}}));
        assert_eq!(question.header("host"), Some(hook.address.to_string().as_str()));
        assert_eq!((question.header("x-team"), question.header("authorization")), (None, None));
    }
    assert_eq!(checks(&rig, "webhook", "request", "mask"), asked);
    assert_eq!(hook.connections(), 1, "the connection is kept");
    rig.assert_ledgers_agree();
}

#[test]
fn a_request_that_a_hook_rejects_costs_nothing_and_is_told_in_its_format() {
    let hook = Hook::start(|asked| match asked.body.to_string().contains("secret") {
        true => Says::Json(reject("Not here", 422)),
        false => Says::Json(pass()),
    });
    for (route, path, body, _) in ways("It is a secret") {
        let limit = limits(route, &["{name: t, unit: tokens, rate: 1/hour, burst: 9000}"]);
        let rig = rig(script(), &(traffic(route, &guard("request", &webhook(&hook, ""))) + &limit));
        assert_secret_is_rejected(&rig, &path, &body);
        let counted = ["reject", "pass"].map(|verdict| checks(&rig, "webhook", "request", verdict));
        assert_eq!(counted, [1, 1], "{path}");
    }
}

/// What a key is not for is nobody's to judge: no service is asked, or paid, for it.
#[test]
fn a_request_that_its_key_is_not_for_is_not_judged() {
    let hook = Hook::start(|asked| Says::Json(mask(asked, "secret", "thing")));
    let keys = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: callers, namespace: llm}\n\
                stringData: {one: '{\"key\": \"k-one\", \"allowedModels\": [\"model-1\"]}'}\n\
                ---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {name: keys, namespace: llm}\n\
                spec:\n  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]\n  \
                traffic: {apiKeyAuthentication: {secretRef: {name: callers}}}\n";
    let rig = rig(script(), &(traffic("openai", &guard("request", &webhook(&hook, ""))) + keys));
    let headers = "x-api-key: k-one\r\n";
    for (model, status, asked) in [("model-2", 403, 0), ("model-1", 200, 1)] {
        let body = chat(model, false).replace(USER_TEXT, "my secret");
        let answer = rig.client().ask("/openai", headers, &body);
        assert_eq!((answer.status, hook.asked().len()), (status, asked), "{model}: {}", answer.text());
    }
    let body = seen(&rig).1;
    assert_eq!((&body["model"], &body["messages"][0]["content"]), (&"model-1".into(), &"my thing".into()));
}

#[test]
fn patterns_come_first_and_services_are_asked_in_their_order() {
    let first = Hook::start(|asked| Says::Json(mask(asked, "one", "two")));
    let second = Hook::start(|asked| Says::Json(mask(asked, "two", "three")));
    let guards = [webhook(&first, ""), "{regex: {builtins: [EMAIL]}}".to_owned(), webhook(&second, "")];
    let rig = rig(script(), &traffic("openai", &guard("request", &guards.join(", "))));
    ok(rig.client().ask("/openai", "", &chat(API_MODEL, false).replace(USER_TEXT, "one a@b.de")));
    assert_eq!(texts(&first.asked()[0]), ["one <EMAIL>"]);
    assert_eq!(texts(&second.asked()[0]), ["two <EMAIL>"]);
    assert_eq!(seen(&rig).1["messages"][0]["content"], "three <EMAIL>");
    assert_eq!(checks(&rig, "regex", "request", "mask"), 1);
}

#[test]
fn headers_are_sent_on_that_match() {
    let hook = Hook::start(|_| Says::Json(pass()));
    let lines =
        |name: &str, value: &str| format!("{{type: RegularExpression, name: {name}, value: '{value}'}}");
    let of_request = [
        lines("x-team", "a.*"),
        lines("X-Other", "b"),
        lines("authorization", "Bearer .*"),
        lines("content-length", ".*"),
        lines("host", ".*"),
        lines("x-hop", ".*"),
        "{name: x-exact, value: same}".to_owned(),
    ];
    let both = format!(
        "{{promptGuard: {{request: {}, response: {}}}}}",
        webhook(&hook, &format!(", forwardHeaderMatches: [{}]", of_request.join(", "))),
        webhook(&hook, &format!(", forwardHeaderMatches: [{}]", lines("x-request-id", ".+"))),
    );
    let rig = rig(script(), &traffic("openai", &both));
    let sent = "X-Team: none\r\nX-Team: alpha\r\nX-Other: c\r\nX-Exact: same\r\nAuthorization: Bearer k\r\nConnection: \
                keep-alive, x-hop\r\nX-Hop: 1\r\n";
    ok(rig.client().ask("/openai", sent, &chat(API_MODEL, false)));
    let [request, response] = &hook.asked()[..] else { panic!("two questions") };
    assert_eq!(request.all("x-team"), ["none", "alpha"], "all lines, when one matches");
    assert_eq!((request.header("x-other"), request.header("x-exact")), (None, Some("same")));
    assert_eq!((request.header("authorization"), request.header("x-hop")), (Some("Bearer k"), None));
    assert_eq!((request.all("host").len(), request.all("content-length").len()), (1, 1));
    assert_eq!((response.target.as_str(), response.header("x-team")), ("/response", None));
    assert_eq!(response.header("authorization"), None);
}

// === answers ===

#[test]
fn answers_are_masked_in_every_format_and_settled_as_reported() {
    let hook = Hook::start(|asked| Says::Json(mask(asked, "the secret", "\"it\"")));
    for (route, path, body, streamed) in ways(USER_TEXT) {
        let rig = rig(
            saying("This is the secret of life."),
            &traffic(route, &guard("response", &webhook(&hook, ""))),
        );
        let what = format!("{path} streamed: {streamed}");
        let mut client = rig.client();
        for _ in 0..2 {
            let answer = ok(client.ask(&path, "", &body));
            assert_eq!(heard(&path, &answer).0, "This is \"it\" of life.", "{what}: {}", answer.text());
            assert!(!answer.text().contains("secret"), "{what}: {}", answer.text());
        }
        assert_eq!((rig.assert_ledgers_agree().completed, rig.settled().counted), (2, 0), "{what}");
        assert_eq!(rig.ended(Outcome::Completed), 2, "{what}");
        assert_eq!(checks(&rig, "webhook", "response", "mask"), 2, "{what}");
        let question = hook.asked().pop().expect("asked");
        assert_eq!(question.target, "/response", "{what}");
        let choice = json!({"message": {"role": "assistant", "content": "This is the secret of life."}});
        let choices = question.body["body"]["choices"].as_array().expect("choices").clone();
        assert!(choices.contains(&choice), "{what}: {choices:?}");
    }
}

#[test]
fn answers_that_pass_are_what_they_were() {
    let hook = Hook::start(|_| Says::Json(pass()));
    for (route, path, body, streamed) in ways(USER_TEXT) {
        let (guarded, free) = (
            rig(saying("Well."), &traffic(route, &guard("response", &webhook(&hook, "")))),
            rig(saying("Well."), ""),
        );
        let of = |rig: &Rig| heard(&path, &ok(rig.client().ask(&path, "", &body)));
        assert_eq!(of(&guarded), of(&free), "{path} streamed: {streamed}");
        guarded.assert_ledgers_agree();
    }
}

#[test]
fn an_answer_that_a_hook_rejects_is_charged() {
    let hook = Hook::start(|_| Says::Json(reject("Not that", 451)));
    for (route, path, body, streamed) in ways(USER_TEXT) {
        let limit = limits(route, &["{name: t, unit: tokens, rate: 1/hour, burst: 90000}"]);
        let rig =
            rig(saying("the secret"), &(traffic(route, &guard("response", &webhook(&hook, ""))) + &limit));
        let answer = rig.client().ask(&path, "", &body);
        let what = format!("{path} streamed: {streamed}: {}", answer.text());
        assert!(answer.complete && !answer.text().contains("secret"), "{what}");
        if streamed {
            assert_eq!(
                (answer.status, heard(&path, &answer)),
                (200, (String::new(), filtered(&path).to_owned())),
                "{what}"
            );
        } else {
            assert_eq!(
                (answer.status, &answer.json()["error"]["message"]),
                (451, &json!("Not that")),
                "{what}"
            );
        }
        let settled = rig.settled();
        assert!(settled.input > 0 && settled.output > 0, "{what}: {settled:?}");
        assert_eq!(rig.balance(0), 90_000 - (settled.input + settled.output) as i64, "{what}");
        assert_eq!((rig.ended(Outcome::Rejected), rig.totals().upstream_failures), (1, 0), "{what}");
    }
}

/// How a stream for that path's client says that it was filtered.
fn filtered(path: &str) -> &'static str {
    match path {
        "/messages" | "/cross" => "refusal",
        path if path.starts_with("/ge") => "SAFETY",
        path if path.starts_with("/oa") => "incomplete",
        _ => "content_filter",
    }
}

#[test]
fn of_a_long_stream_nothing_passes_that_was_not_let_pass() {
    let words: String = (0..900).map(|number| format!("word{number} ")).collect();
    let bad = |asked: &service::Asked| texts(asked).iter().any(|text| text.contains("word600 "));
    let hook = Hook::start(move |asked| match bad(asked) {
        true => Says::Json(reject("no", 403)),
        false => Says::Json(pass()),
    });
    for (route, path, body, _) in ways(USER_TEXT).into_iter().filter(|way| way.3) {
        let before = hook.asked().len();
        let script = Script { chunks: 300, ..saying(&words) };
        let rig = rig(script, &traffic(route, &guard("response", &webhook(&hook, ""))));
        let answer = ok(rig.client().ask(&path, "", &body));
        let (text, finish) = heard(&path, &answer);
        assert!(words.starts_with(&text) && !text.contains("word600 "), "{path}: {text}");
        assert_eq!(finish, filtered(&path), "{path}");
        let asked = hook.asked().split_off(before);
        let judged: String = asked.iter().filter(|asked| !bad(asked)).flat_map(texts).collect();
        let windows = asked.len() as u64;
        let last_word = text.trim_end().rsplit(' ').next().unwrap_or_default();
        assert!(windows == 1 || judged.contains(last_word), "{path}: {last_word} was judged");
        let counted = ["reject", "pass"].map(|verdict| checks(&rig, "webhook", "response", verdict));
        assert_eq!(counted, [1, windows - 1], "{path}");
        assert_eq!(rig.ended(Outcome::Rejected), 1, "{path}");
    }
}

#[test]
fn a_stream_is_asked_about_while_it_goes_on() {
    let words: String = (0..900).map(|number| format!("word{number} ")).collect();
    let hook = Hook::start(|_| Says::Json(pass()));
    let script = Script { chunks: 200, chunk_gap: Duration::from_millis(2), ..saying(&words) };
    let rig = rig(script, &traffic("openai", &guard("response", &webhook(&hook, ""))));
    let mut client = rig.client();
    client.post("/openai", "", &chat(API_MODEL, true));
    support::read_to(&mut client, "word50 ");
    let heard = heard("/openai", &ok(client.answer()));
    assert_eq!(heard, (words.clone(), "stop".to_owned()));
    let asked = hook.asked();
    assert!(asked.len() > 3, "{} windows", asked.len());
    let [first, second] = [0, 1].map(|place| texts(&asked[place])[0].clone());
    assert!(first.ends_with(&second[..CONTEXT_BYTES]), "with what went before: {first} {second}");
    rig.assert_ledgers_agree();
}

#[test]
fn what_is_out_already_cannot_be_masked() {
    let words: String = (0..900).map(|number| format!("word{number} ")).collect();
    // In the second window the first is context.
    let hook = Hook::start(|asked| match texts(asked)[0].contains("word300 ") {
        true => Says::Json(mask(asked, "word1", "WORD1")),
        false => Says::Json(pass()),
    });
    let script = Script { chunks: 300, chunk_gap: Duration::from_millis(1), ..saying(&words) };
    let rig = rig(script, &traffic("openai", &guard("response", &webhook(&hook, ""))));
    let answer = ok(rig.client().ask("/openai", "", &chat(API_MODEL, true)));
    let (text, finish) = heard("/openai", &answer);
    assert!(words.starts_with(&text) && finish == "content_filter", "{finish}: {text}");
}

#[test]
fn a_stream_under_a_limit_ends_when_nothing_covers_more() {
    let words: String = (0..3_000).map(|number| format!("word{number} ")).collect();
    let hook = Hook::start(|_| Says::Json(pass()));
    for (route, path, body, _) in ways(USER_TEXT).into_iter().filter(|way| way.3) {
        let body = body.replace(r#""max_tokens":100"#, r#""max_tokens":40000"#);
        let limit = limits(route, &["{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}"]);
        let script = Script {
            reply: Reply::Text(words.clone()),
            input_tokens: Count::Fixed(10),
            output_tokens: 9_000,
            chunks: 1_000,
            chunk_gap: Duration::from_millis(1),
            ..Script::default()
        };
        let rig = rig(script, &(traffic(route, &guard("response", &webhook(&hook, ""))) + &limit));
        let (text, finish) = heard(&path, &ok(rig.client().ask(&path, "", &body)));
        let expect = match path.as_str() {
            "/messages" | "/cross" => "max_tokens",
            path if path.starts_with("/ge") => "MAX_TOKENS",
            path if path.starts_with("/oa") => "incomplete",
            _ => "length",
        };
        assert_eq!(finish, expect, "{path}");
        assert!(words.starts_with(&text) && text.len() < words.len(), "{path}: {text}");
        assert_eq!(rig.ended(Outcome::LimitCut), 1, "{path}");
    }
}

#[test]
fn streams_pass_unasked_where_the_policy_says_so() {
    let hook = Hook::start(|_| Says::Json(reject("no", 403)));
    let ai = format!("{{promptGuard: {{streaming: Disabled, response: [{}]}}}}", webhook(&hook, ""));
    let rig = rig(saying("Well."), &traffic("openai", &ai));
    let status = |streamed| rig.client().ask("/openai", "", &chat(API_MODEL, streamed)).status;
    assert_eq!([status(true), status(false)], [200, 403]);
    assert_eq!(hook.asked().len(), 1);
}

// === services that do not answer ===

/// What a hook may say that says nothing.
fn failures() -> Vec<(&'static str, Says)> {
    let raw = |head: &str, body: &str| Says::Raw(format!("HTTP/1.1 {head}\r\n\r\n{body}").into_bytes());
    vec![
        ("no JSON", Says::Json(Value::String("pass".into()))),
        ("an error", raw("500 No\r\nContent-Length: 13", r#"{"action":{}}"#)),
        ("not found", raw("404 No\r\nContent-Length: 13", r#"{"action":{}}"#)),
        ("a redirect", raw("302 No\r\nLocation: /x\r\nContent-Length: 0", "")),
        ("nothing", raw("204 No", "")),
        ("half of it", raw("200 OK\r\nContent-Length: 14", r#"{"action":{}}"#)),
        ("no head", Says::Raw(b"hello\r\n\r\n".to_vec())),
        ("a coding", raw("200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 13", r#"{"action":{}}"#)),
        ("another protocol", raw("101 Switching\r\nUpgrade: x", "")),
        ("no such length", raw("200 OK\r\nContent-Length: 99999999999", "")),
        ("bad chunks", raw("200 OK\r\nTransfer-Encoding: chunked", "zz\r\n")),
        ("fewer texts", Says::Json(json!({"action": {"body": {"messages": []}}}))),
        ("other texts", Says::Json(json!({"action": {"body": {"choices": []}}}))),
        ("no status", Says::Json(json!({"action": {"body": "No."}}))),
        ("the end", Says::Gone),
        ("silence", Says::Silence),
    ]
}

#[test]
fn who_says_nothing_lets_nothing_pass_unless_it_fails_open() {
    for (what, says) in failures() {
        let hook = Hook::start(move |_| says.clone());
        for (mode, statuses) in [(", failureMode: FailOpen", [200, 200]), ("", [503, 503])] {
            let guards = format!(
                "{{promptGuard: {{request: {}, response: {}}}}}",
                webhook(&hook, mode),
                webhook(&hook, mode)
            );
            // The answer is guarded where the request is not.
            let policies =
                traffic("openai", &guards) + &traffic("messages", &guard("response", &webhook(&hook, mode)));
            let rig =
                Rig::start_with(saying("Well."), &apis(&policies), &settings(&format!("{QUIET}{HASTY}")));
            let answer = rig.client().ask("/openai", "", &chat(API_MODEL, false));
            let other = rig.client().ask("/messages", "", &support::message(API_MODEL, false));
            assert_eq!(
                [answer.status, other.status],
                statuses,
                "{what}{mode}: {} {}",
                answer.text(),
                other.text()
            );
            let open = statuses[0] == 200;
            assert_eq!(rig.simulator.ledger().requests, if open { 2 } else { 1 }, "{what}{mode}");
            let verdict = if open { "fail_open" } else { "fail_closed" };
            let counted = ["request", "response"].map(|phase| checks(&rig, "webhook", phase, verdict));
            assert_eq!(counted, if open { [1, 2] } else { [1, 1] }, "{what}{mode}");
            let ended = [rig.ended(Outcome::Completed), rig.ended(Outcome::Rejected)];
            assert_eq!(ended, if open { [2, 0] } else { [0, 2] }, "{what}{mode}");
            if !open {
                let error = answer.json()["error"].clone();
                let said = error["message"].as_str().expect("words");
                assert!(said.starts_with("a guard has to judge this, and cannot: "), "{what}: {said}");
                assert_eq!(other.json()["type"], "error", "{what}: in the client's words");
                assert_eq!(other.header("x-should-retry"), None, "{what}: it is worth to come back");
                // What the provider generated is charged, and what was not asked for is not.
                assert_eq!(rig.settled().output, 77, "{what}");
            }
        }
    }
}

#[test]
fn a_stream_that_nobody_judges_ends_as_one_that_is_rejected() {
    for (what, says) in failures() {
        if matches!(says, Says::Silence) {
            continue; // the same as above, and slow
        }
        let hook = Hook::start(move |_| says.clone());
        for (mode, expect) in [("", ("", "content_filter")), (", failureMode: FailOpen", ("Well.", "stop"))] {
            let rig = rig(saying("Well."), &traffic("openai", &guard("response", &webhook(&hook, mode))));
            let answer = ok(rig.client().ask("/openai", "", &chat(API_MODEL, true)));
            let (text, finish) = heard("/openai", &answer);
            assert_eq!((text.as_str(), finish.as_str()), expect, "{what}{mode}");
        }
    }
}

#[test]
fn a_hook_that_is_gone_is_told_of() {
    let closed =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let guards = format!("{{webhook: {{host: {{host: 127.0.0.1, port: {}}}}}}}", closed.port());
    let rig = rig(script(), &traffic("openai", &guard("request", &guards)));
    let answer = rig.client().ask("/openai", "", &chat(API_MODEL, false));
    assert_eq!(answer.status, 503);
    assert!(answer.text().contains("connection refused"), "{}", answer.text());
    assert_eq!((rig.simulator.ledger().requests, rig.settled()), (0, Settled::default()));
}

#[test]
fn the_time_of_the_whole_is_not_exceeded_for_a_hook() {
    let hook = Hook::start(|_| Says::Silence);
    for mode in ["", ", failureMode: FailOpen"] {
        let spec = format!("{QUIET}  timeouts: {{drain: 2s, request: 300ms}}");
        let policy = traffic("openai", &guard("request", &webhook(&hook, mode)));
        let rig = Rig::start_with(script(), &apis(&policy), &settings(&spec));
        let answer = rig.client().ask("/openai", "", &chat(API_MODEL, false));
        assert_eq!(answer.status, 504, "{mode}: {}", answer.text());
        assert_eq!((rig.simulator.ledger().requests, rig.ended(Outcome::Timeout)), (0, 1), "{mode}");
    }
}

#[test]
fn a_client_that_leaves_is_not_judged_for() {
    let hook = Hook::start(|_| Says::Silence);
    for side in ["request", "response"] {
        let policy = traffic("openai", &guard(side, &webhook(&hook, ", failureMode: FailOpen")));
        let limit = limits("openai", &["{name: t, unit: tokens, rate: 1/hour, burst: 9000}"]);
        let rig = rig(script(), &(policy + &limit));
        let before = hook.asked().len();
        let mut client = rig.client();
        client.post("/openai", "", &chat(API_MODEL, false));
        until("the hook is asked", || hook.asked().len() > before);
        drop(client);
        until("its connection is closed", || hook.open() == 0);
        assert_eq!(rig.ended(Outcome::ClientGone), 1, "{side}");
        let spent = if side == "request" { 0 } else { 1_077 };
        assert_eq!(rig.balance(0), 9_000 - spent, "{side}: what was generated is charged");
    }
}

#[test]
fn a_kept_connection_that_has_died_is_tried_anew_once() {
    // The second question on a connection is read and not answered.
    let hook =
        Hook::start(|asked| if asked.number_on_connection > 0 { Says::Gone } else { Says::Json(pass()) });
    let rig = rig(script(), &traffic("openai", &guard("request", &webhook(&hook, ""))));
    let mut client = rig.client();
    for _ in 0..3 {
        ok(client.ask("/openai", "", &chat(API_MODEL, false)));
    }
    assert_eq!(checks(&rig, "webhook", "request", "pass"), 3);
    assert_eq!(hook.connections(), 3);
}

#[test]
fn more_text_than_may_be_asked_about_does_not_pass() {
    let hook = Hook::start(|_| Says::Json(pass()));
    for mode in ["", ", failureMode: FailOpen"] {
        let rig = rig(script(), &traffic("openai", &guard("request", &webhook(&hook, mode))));
        let large = "x".repeat(9 << 20);
        let answer = rig.client().ask("/openai", "", &chat(API_MODEL, false).replace(USER_TEXT, &large));
        assert_eq!((answer.status, answer.header("x-should-retry")), (413, Some("false")), "{mode}");
        assert_eq!((rig.simulator.ledger().requests, hook.asked().len()), (0, 0), "{mode}");
    }
}

// === moderation, TLS, records ===

/// A gateway that finds api.openai.com, or another host, at `to`.
fn with_host(host: &str, to: &str, roots: Vec<String>, texts: &[(&str, &str)]) -> Rig {
    let simulator = Simulator::start(script()).expect("the simulator starts");
    let provider = format!("http://{}", simulator.addr());
    let mut hosts = vec![(host.to_owned(), to.to_owned())];
    hosts.extend(
        ["api.anthropic.com", "api.openai.com", "plain.example", "generativelanguage.googleapis.com"]
            .map(|known| (known.to_owned(), provider.clone())),
    );
    let overrides = Overrides {
        hosts,
        listeners: vec![(8080, "127.0.0.1:0".to_owned())],
        roots,
        admin: Some("none".to_owned()),
    };
    let gateway = gateway(texts, overrides);
    let address = gateway.addresses[0];
    Rig { simulator, gateway: Some(gateway), address }
}

#[test]
fn moderation_is_asked_with_a_credential_of_its_own() {
    let spellings = [
        "{openAIModeration: {policies: {auth: {secretRef: {name: keys}}}}, response: {message: Be nice, statusCode: 400}}",
        "{openAIModeration: {model: omni-moderation-latest, policies: {auth: {key: sk-live-secret}}}, customResponse: {message: Be \
         nice, statusCode: 400}}",
        "{moderation: {openAIModeration: {authToken: {kind: SecretRef, secretRef: {name: keys}}}}, customResponse: {message: Be nice, \
         statusCode: 400}}",
    ];
    for spelling in spellings {
        let hook = Hook::start(|asked| {
            let flagged =
                |text: &Value| json!({"flagged": text.as_str().is_some_and(|text| text.contains("hate"))});
            let inputs = asked.body["input"].as_array().expect("inputs");
            Says::Json(json!({"id": "modr-1", "results": inputs.iter().map(flagged).collect::<Vec<_>>()}))
        });
        let policy = apis(&traffic("messages", &guard("request", spelling)));
        let set = settings(&format!("{QUIET}{PATIENT}"));
        let to = format!("http://{}", hook.address);
        let rig = with_host("api.openai.com", &to, Vec::new(), &[("m.yaml", &policy), ("s.yaml", &set)]);
        let body = support::message(API_MODEL, false);
        let mut client = rig.client();
        ok(client.ask("/messages", "Authorization: Bearer client\r\n", &body));
        let answer = client.ask("/messages", "", &body.replace(USER_TEXT, "I hate it"));
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["message"]), (400, &json!("Be nice")), "{spelling}");
        let asked = hook.asked();
        assert_eq!(asked[0].body, json!({"model": "omni-moderation-latest", "input": [USER_TEXT]}));
        for question in &asked {
            assert_eq!(question.target, "/v1/moderations");
            assert_eq!(question.all("authorization"), ["Bearer sk-live-secret"]);
        }
        let counted = ["pass", "reject"].map(|verdict| checks(&rig, "moderation", "request", verdict));
        assert_eq!(counted, [1, 1]);
        // What it judges is nobody's tokens.
        assert_eq!(rig.assert_ledgers_agree().requests, 1);
    }
}

#[test]
fn a_hook_is_asked_by_tls_where_its_port_says_so() {
    let hook = Hook::start(|asked| Says::Json(mask(asked, "secret", "thing")));
    let trusted = Authority::new();
    let front = Front::start(&trusted.identity("localhost", 2020, 2100), hook.address, Manner::Polite);
    let roots = directory("hooks-tls").join("ca.pem");
    std::fs::write(&roots, trusted.pem()).expect("a file");
    let roots = vec![roots.display().to_string()];
    let policy =
        apis(&traffic("openai", &guard("request", "{webhook: {host: {host: judge.example, port: 443}}}")));
    let set = settings(&format!("{QUIET}{PATIENT}"));
    let texts = [("m.yaml", policy.as_str()), ("s.yaml", &set)];
    let to = format!("https://localhost:{}", front.address.port());
    let rig = with_host("judge.example", &to, roots, &texts);
    ok(rig.client().ask("/openai", "", &chat(API_MODEL, false).replace(USER_TEXT, "my secret")));
    assert_eq!(seen(&rig).1["messages"][0]["content"], "my thing");
    drop(rig);
    // Whose certificate does not verify judges nothing.
    let stranger = Authority::new();
    let roots = directory("hooks-tls-stranger").join("ca.pem");
    std::fs::write(&roots, stranger.pem()).expect("a file");
    let rig = with_host("judge.example", &to, vec![roots.display().to_string()], &texts);
    let answer = rig.client().ask("/openai", "", &chat(API_MODEL, false));
    assert!(answer.status == 503 && answer.text().contains("certificate"), "{}", answer.text());
}

#[test]
fn records_say_which_guard_rejected() {
    let hook = Hook::start(|asked| match asked.body.to_string().contains("hook") {
        true => Says::Json(reject("no", 403)),
        false => Says::Gone,
    });
    let path = directory("hooks-records").join("records.jsonl");
    let spec =
        format!("  records: {{to: \"{}\"}}\n  workers: {{cores: 1, pin: false}}\n{PATIENT}", path.display());
    let pattern = "{regex: {matches: [pattern], action: REJECT}}";
    let ai = format!("{{promptGuard: {{request: [{pattern}, {}]}}}}", webhook(&hook, ""));
    let answers = format!("{{promptGuard: {{response: [{pattern}]}}}}");
    let policies = traffic("openai", &ai) + &traffic("messages", &answers);
    let rig = Rig::start_with(saying("a pattern"), &apis(&policies), &settings(&spec));
    let mut client = rig.client();
    for text in ["pattern", "hook", "gone"] {
        client.ask("/openai", "", &chat(API_MODEL, false).replace(USER_TEXT, text));
    }
    for streamed in [false, true] {
        client.ask("/messages", "", &support::message(API_MODEL, streamed));
    }
    client.ask("/anthropic", "", &chat(API_MODEL, false));
    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    until("the records are written", || lines().lines().count() == 6);
    let records: Vec<Value> = lines().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let guards: Vec<Value> = records.iter().map(|record| record["guard"].clone()).collect();
    let expect = [
        json!("request/0 regex"),
        json!("request/1 webhook"),
        json!("request/1 webhook"),
        json!("response/0 regex"),
        json!("response/0 regex"),
        json!(null),
    ];
    assert_eq!(guards, expect);
    let outcomes: Vec<&Value> = records.iter().map(|record| &record["outcome"]).collect();
    assert_eq!(outcomes, ["rejected", "rejected", "rejected", "rejected", "rejected", "completed"]);
}
