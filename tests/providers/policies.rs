//! What policies make of requests to models and of their answers, through a whole gateway.

use crate::support;
use crate::support::{
    API_MODEL, Rig, USER_TEXT, Wire, agentgateway, apis, assert_secret_is_rejected, chat, heard, limits,
    message, ok, seen, settings, traffic, ways,
};
use serde_json::{Value, json};
use std::time::Duration;
use tollgate::telemetry::Outcome;
use tollgate_loadtest::coding::{Coding, encode};
use tollgate_loadtest::{Count, Fault, Reply, Script};

const QUIET: &str = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";

fn rig(script: Script, policies: &str) -> Rig {
    Rig::start_with(script, &apis(policies), &settings(QUIET))
}

fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 77, ..Script::default() }
}

// === what is made of requests ===

#[test]
fn members_models_and_turns_reach_every_provider_in_its_format() {
    let models = agentgateway(
        "{modelAliases: {fast: model-2, \"model-*\": model-3}, prompt: {prepend: [{role: system, content: Be brief.}], \
         append: [{role: assistant, content: Well.}]}}",
    );
    // Gemini has these members elsewhere.
    let members = ["translated", "messages", "openai", "cross", "oa"].map(|route| {
        traffic(
            route,
            "{defaults: [{field: temperature, value: 0.5, override: true}, {field: top_p, value: '0.25'}]}",
        )
    });
    let policy = models + &members.concat();
    let rig = rig(script(), &policy);
    let mut client = rig.client();
    let turn = json!({"role": "user", "content": USER_TEXT});
    let appended = json!({"role": "assistant", "content": "Well."});
    let system = json!({"role": "system", "content": "Be brief."});
    let blocks = |body: &Value| {
        let text = |message: &Value| match &message["content"] {
            Value::String(text) => json!(text),
            blocks => blocks[0]["text"].clone(),
        };
        body["messages"].as_array().map(|list| list.iter().map(text).collect::<Vec<_>>())
    };
    let said = |body: &Value| (body["model"].clone(), body["temperature"].clone(), body["top_p"].clone());
    let expect = |model: &str, top_p: f64| (json!(model), json!(0.5), json!(top_p));

    ok(client.ask("/openai", "", &support::with(&chat("fast", false), r#""temperature":2,"top_p":1.0"#)));
    let (_, body) = seen(&rig);
    assert_eq!(said(&body), expect("model-2", 1.0), "{body}");
    assert_eq!(body["messages"], json!([system, turn, appended]));

    ok(client.ask("/anthropic", "", &chat("fast", false)));
    let (target, body) = seen(&rig);
    assert_eq!((target.as_str(), said(&body)), ("/v1/messages", expect("model-2", 0.25)), "{body}");
    assert!(body["system"].to_string().contains("Be brief."), "{body}");
    let texts = body["messages"].to_string();
    assert!(texts.contains(USER_TEXT) && texts.contains("Well."), "{body}");

    ok(client.ask("/messages", "", &message("other", false)));
    let (_, body) = seen(&rig);
    assert_eq!((said(&body), &body["system"]), (expect("other", 0.25), &json!("Be brief.")), "{body}");
    assert_eq!(blocks(&body), Some(vec![json!(USER_TEXT), json!("Well.")]));

    ok(client.ask("/cross", "", &message("fast", true)));
    let (target, body) = seen(&rig);
    assert_eq!(target, "/v1/chat/completions");
    assert_eq!(
        (said(&body), &body["messages"][0]["role"]),
        (expect("model-2", 0.25), &json!("system")),
        "{body}"
    );

    ok(client.ask(&Wire::Responses.path(true), "", &Wire::Responses.body(true)));
    let (_, body) = seen(&rig);
    assert_eq!(
        (said(&body), &body["instructions"]),
        (expect("model-3", 0.25), &json!("Be brief.")),
        "{body}"
    );
    assert_eq!(body["input"], json!([turn, appended]));

    ok(client.ask(&Wire::Gemini.path(true), "", &Wire::Gemini.body(true)));
    let (target, body) = seen(&rig);
    assert_eq!(target, "/v1beta/models/model-3:streamGenerateContent?alt=sse");
    assert_eq!(body["systemInstruction"], json!({"parts": [{"text": "Be brief."}]}));
    assert_eq!(body["contents"][1], json!({"role": "model", "parts": [{"text": "Well."}]}));

    ok(client.ask(&Wire::Embeddings.path(false), "", &Wire::Embeddings.body(false)));
    let (_, body) = seen(&rig);
    assert_eq!((said(&body), &body["input"]), (expect("model-3", 0.25), &json!(USER_TEXT)), "{body}");

    rig.assert_ledgers_agree();
}

#[test]
fn a_request_that_is_compressed_is_changed_too_and_the_next_one_is_found() {
    let policy = traffic(
        "openai",
        r#"{modelAliases: {"*": model-2}, promptGuard: {request: {regex: {builtins: [EMAIL]}}}}"#,
    );
    let rig = rig(script(), &policy);
    let mut client = rig.client();
    let body = chat(API_MODEL, false).replace(USER_TEXT, TEXT);
    let coded = encode(&[Coding::Gzip], &[body.as_bytes()]).concat();
    let head = format!(
        "POST /openai HTTP/1.1\r\nHost: gateway.test\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        coded.len()
    );
    // Both at once: what follows a body that is changed is the next request.
    client.write([head.as_bytes(), &coded, head.as_bytes(), &coded].concat());
    for _ in 0..2 {
        ok(client.answer());
        let (_, body) = seen(&rig);
        assert_eq!(body["model"], "model-2");
        assert!(body["messages"].to_string().contains("Write to <EMAIL>, pay"), "{body}");
    }
    rig.assert_ledgers_agree();
}

#[test]
fn the_model_that_counts_is_the_one_that_is_asked_for() {
    let aliases = traffic("openai", r#"{modelAliases: {fast: model-2, quick: model-2}}"#);
    let limit = limits("openai", &["{name: m, unit: requests, rate: 1/hour, key: {model: {}}}"]);
    let rig = rig(script(), &(aliases + &limit));
    let status = |model: &str| rig.client().ask("/openai", "", &chat(model, false)).status;
    // Three names of one model have one account.
    assert_eq!([status("fast"), status("quick"), status("model-2"), status("model-1")], [200, 429, 429, 200]);
}

#[test]
fn what_is_added_is_part_of_the_estimate() {
    let counted = |policy: &str| {
        let rig = rig(Script { fault: Fault::NoUsage, ..script() }, policy);
        ok(rig.client().ask("/openai", "", &chat(API_MODEL, false)));
        rig.settled().input
    };
    let text = "lorem ipsum ".repeat(40);
    let turns = traffic(
        "openai",
        &format!("{{promptEnrichment: {{prepend: [{{role: user, content: \"{text}\"}}]}}}}"),
    );
    let added = ("user".len() + text.len()) as u64;
    assert_eq!(counted(&turns) - counted(""), (25 + added).div_ceil(4) - 25_u64.div_ceil(4));
}

#[test]
fn a_policy_that_makes_no_request_of_a_body_is_told() {
    let rig = rig(
        script(),
        &traffic("openai", r#"{defaults: [{field: max_tokens, value: many, override: true}]}"#),
    );
    let answer = rig.client().ask("/openai", "", &chat(API_MODEL, false));
    assert_eq!((answer.status, answer.json()["error"]["param"].as_str()), (400, Some("max_tokens")));
    assert_eq!(rig.simulator.ledger().requests, 0);
}

// === types of routes ===

#[test]
fn paths_have_the_formats_that_they_are_given() {
    let types = "{routes: {/ask: Messages, /v1/ask: Responses, /vectors: Embeddings, /count: AnthropicTokenCount, \
                 /list: Models, /say: GenerateContent, \"*\": Completions}}";
    let backend =
        json!({"model": API_MODEL, "messages": [{"role": "user", "content": USER_TEXT}], "max_tokens": 9});
    let gemini =
        apis(&agentgateway(types)).replace("apiVersion: v1beta", "apiVersion: v1beta, model: model-9");
    let rig = Rig::start_with(script(), &gemini, &settings(QUIET));
    let rows = [
        ("/an/ask", backend.to_string(), "/v1/messages"),
        ("/oa/x/ask", backend.to_string(), "/v1/chat/completions"),
        ("/oa/v1/ask?x=1", Wire::Responses.body(false), "/v1/responses?x=1"),
        ("/oa/vectors", Wire::Embeddings.body(false), "/v1/embeddings"),
        (
            "/an/count",
            message(API_MODEL, false).replace(r#""max_tokens":100,"#, ""),
            "/v1/messages/count_tokens",
        ),
        ("/ge/say", Wire::Gemini.body(false), "/v1beta/models/model-9:generateContent"),
        // Every other path, also one that would be another endpoint's.
        ("/oa/v1/responses", chat(API_MODEL, false), "/v1/chat/completions"),
    ];
    for (path, body, target) in rows {
        ok(rig.client().ask(path, "", &body));
        assert_eq!(seen(&rig).0, target, "{path}");
    }
    let mut client = rig.client();
    client.write("GET /oa/list HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    assert_eq!(ok(client.answer()).json()["object"], "list");
    let wrong = client.ask("/oa/list", "", "{}");
    assert_eq!((wrong.status, wrong.header("allow")), (405, Some("GET")));
    rig.assert_ledgers_agree();
}

// === guards ===

fn saying(text: &str) -> Script {
    Script { reply: Reply::Text(text.to_owned()), chunks: 17, ..script() }
}

const TEXT: &str =
    "Write to ann.lee@mail.example.com, pay with 4111 1111 1111 1111, and call (212) 555-0123 at noon.";
const MASKED: &str = "Write to <EMAIL>, pay with <CREDIT_CARD>, and call <PHONE_NUMBER> at noon.";
const ALL: &str = "builtins: [SSN, CREDIT_CARD, PHONE_NUMBER, EMAIL]";

#[test]
fn requests_are_masked_before_anybody_reads_them() {
    let policy = agentgateway(
        "{promptGuard: {request: [{regex: {builtins: [Email, CreditCard, PhoneNumber]}}, {regex: {matches: [{pattern: noon, name: TIME}]}}]}}",
    );
    let rig = rig(script(), &policy);
    let expect = MASKED.replace("noon", "<TIME>");
    let embeddings =
        ("oa", Wire::Embeddings.path(false), Wire::Embeddings.body(false).replace(USER_TEXT, TEXT), false);
    for (_, path, body, _) in ways(TEXT).into_iter().chain([embeddings]) {
        ok(rig.client().ask(&path, "", &body));
        let (_, seen) = seen(&rig);
        let seen = seen.to_string();
        assert!(seen.contains(&expect) && !seen.contains("mail.example"), "{path}: {seen}");
    }
    rig.assert_ledgers_agree();
}

#[test]
fn a_request_that_is_rejected_costs_nothing_and_is_told_in_its_format() {
    let guard = "{promptGuard: {request: {regex: {matches: [secret], action: REJECT}, customResponse: {message: Not here, \
                 statusCode: 422}}}}";
    for (route, path, body, _) in ways("It is a secret") {
        let limit = limits(route, &["{name: t, unit: tokens, rate: 1/hour, burst: 9000}"]);
        let rig = rig(script(), &(traffic(route, guard) + &limit));
        assert_secret_is_rejected(&rig, &path, &body);
    }
}

#[test]
fn a_rejection_that_has_no_body_is_followed_by_the_next_answer() {
    for status in [204, 304] {
        let guard = format!(
            "{{promptGuard: {{request: {{regex: {{matches: [secret], action: REJECT}}, customResponse: {{statusCode: {status}}}}}}}}}"
        );
        let rig = rig(script(), &traffic("openai", &guard));
        let mut client = rig.client();
        let body = r#"{"model": "gpt-5", "messages": [{"role": "user", "content": "It is a secret"}]}"#;
        client.post("/openai", "", body);
        let answer = client.answer_to_head();
        assert_eq!((answer.status, answer.header("content-length")), (status, None));
        ok(client.ask("/openai", "", &body.replace("secret", "story")));
    }
}

#[test]
fn answers_are_masked_in_every_format_and_settled_as_reported() {
    for (route, path, body, streamed) in ways(USER_TEXT) {
        let policy = traffic(route, &format!("{{promptGuard: {{response: [{{regex: {{{ALL}}}}}]}}}}"));
        for coding in [vec![], vec![Coding::Gzip]] {
            let rig = rig(Script { coding: coding.clone(), ..saying(TEXT) }, &policy);
            let what = format!("{path} streamed: {streamed} {coding:?}");
            let mut client = rig.client();
            for _ in 0..2 {
                let answer = ok(client.ask(&path, "", &body));
                assert_eq!(heard(&path, &answer).0, MASKED, "{what}: {}", answer.text());
                assert!(!answer.text().contains("example"), "{what}: {}", answer.text());
            }
            assert_eq!((rig.assert_ledgers_agree().completed, rig.settled().counted), (2, 0), "{what}");
            assert_eq!(rig.ended(Outcome::Completed), 2, "{what}");
            rig.simulator.set_script(Script { fault: Fault::Status(503), ..saying(TEXT) });
            assert_eq!(client.ask(&path, "", &body).status, 503, "{what}: errors pass");
        }
    }
}

#[test]
fn usage_that_only_we_asked_for_is_taken_out_of_a_masked_stream() {
    let policy = traffic("openai", &format!("{{promptGuard: {{response: {{regex: {{{ALL}}}}}}}}}"));
    let rig = rig(saying(TEXT), &policy);
    let answer = ok(rig.client().ask("/openai", "", &chat(API_MODEL, true)));
    assert_eq!(heard("/openai", &answer).0, MASKED);
    assert!(!answer.text().contains("usage"), "{}", answer.text());
    rig.assert_ledgers_agree();
}

#[test]
fn an_answer_that_is_rejected_is_charged() {
    let guard = "{promptGuard: {response: {regex: {matches: ['call \\(\\d+'], action: REJECT}, customResponse: {statusCode: 451}}}}";
    for (route, path, body, streamed) in ways(USER_TEXT) {
        let limit = limits(route, &["{name: t, unit: tokens, rate: 1/hour, burst: 90000}"]);
        let rig = rig(saying(TEXT), &(traffic(route, guard) + &limit));
        let answer = rig.client().ask(&path, "", &body);
        let what = format!("{path} streamed: {streamed}: {}", answer.text());
        assert!(answer.complete, "{what}");
        if streamed {
            let (text, finish) = heard(&path, &answer);
            assert!(TEXT.starts_with(&text) && text.contains("pay with") && !text.contains("call"), "{what}");
            let expect = match path.as_str() {
                "/messages" | "/cross" => "refusal",
                path if path.starts_with("/ge") => "SAFETY",
                path if path.starts_with("/oa") => "incomplete",
                _ => "content_filter",
            };
            assert_eq!((answer.status, finish.as_str()), (200, expect), "{what}");
            assert_eq!(
                expect == "incomplete",
                answer.text().contains(r#""reason":"content_filter""#),
                "{what}"
            );
        } else {
            let message = "The request was rejected due to inappropriate content";
            assert_eq!((answer.status, &answer.json()["error"]["message"]), (451, &json!(message)), "{what}");
        }
        let settled = rig.settled();
        assert!(settled.input > 0 && settled.output > 0, "{what}: {settled:?}");
        assert_eq!(rig.balance(0), 90_000 - (settled.input + settled.output) as i64, "{what}");
        assert_eq!((settled.counted > 0, rig.ended(Outcome::Rejected)), (streamed, 1), "{what}");
        assert_eq!(rig.totals().upstream_failures, 0, "{what}");
    }
}

#[test]
fn a_masked_stream_that_outlasts_its_limit_ends_as_its_format_says() {
    let text = "mail ann.lee@mail.example.com now! ".repeat(2_000);
    for (route, path, body, _) in ways(USER_TEXT).into_iter().filter(|way| way.3) {
        let body = body.replace(r#""max_tokens":100"#, r#""max_tokens":40000"#);
        let policy = traffic(route, &format!("{{promptGuard: {{response: {{regex: {{{ALL}}}}}}}}}"));
        let limit = limits(route, &["{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}"]);
        let script = Script {
            reply: Reply::Text(text.clone()),
            input_tokens: Count::Fixed(10),
            output_tokens: 20_000,
            chunks: 2_000,
            chunk_gap: Duration::from_millis(1),
            ..Script::default()
        };
        let rig = rig(script, &(policy + &limit));
        let answer = ok(rig.client().ask(&path, "", &body));
        let (said, finish) = heard(&path, &answer);
        let expect = match path.as_str() {
            "/messages" | "/cross" => "max_tokens",
            path if path.starts_with("/ge") => "MAX_TOKENS",
            path if path.starts_with("/oa") => "incomplete",
            _ => "length",
        };
        assert_eq!(finish, expect, "{path}");
        let masked = "mail <EMAIL> now! ".repeat(2_000);
        let whole = &said[..said.rfind("now! ").expect("some of it") + 5];
        assert!(masked.starts_with(whole) && whole.len() > 500, "{path}: {said}");
        assert_eq!(rig.ended(Outcome::LimitCut), 1, "{path}");
    }
}

#[test]
fn streams_pass_where_the_policy_says_so() {
    let guard = "{promptGuard: {streaming: Disabled, response: [{regex: {builtins: [EMAIL]}}]}}";
    let rig = rig(saying(TEXT), &traffic("openai", guard));
    let text =
        |streamed| heard("/openai", &ok(rig.client().ask("/openai", "", &chat(API_MODEL, streamed)))).0;
    assert_eq!((text(true).as_str(), text(false).contains("<EMAIL>")), (TEXT, true));
}
