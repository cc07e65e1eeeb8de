//! Formats that pass natively through a whole gateway: OpenAI's Responses, embeddings and models, Anthropic's models and
//! counting of tokens, Gemini's contents. What the simulated provider reported is what is settled, to the token.

use crate::support;
use crate::support::{
    API_MODEL, Answer, Rig, Settled, USER_TEXT, Wire, apis, bucket, limits, read_to, settings, until,
};
use serde_json::{Value, json};
use std::time::Duration;
use tollgate::llm::{Format, Tokenizer};
use tollgate::telemetry::Outcome;
use tollgate_loadtest::{Count, Ending, Fault, Framing, Script, reply_text};

const QUIET: &str = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";

fn rig(script: Script, policies: &str) -> Rig {
    Rig::start_with(script, &apis(policies), &settings(QUIET))
}

/// Tokens of every kind.
fn script() -> Script {
    Script {
        input_tokens: Count::Fixed(1_000),
        cached_input_tokens: 300,
        output_tokens: 77,
        reasoning_tokens: 20,
        ..Script::default()
    }
}

/// What [`script`] makes a client see.
fn usage_seen(wire: Wire) -> Option<[u64; 4]> {
    Some(if wire == Wire::Embeddings { [1_000, 0, 0, 0] } else { [1_000, 300, 77, 20] })
}

/// How an answer to `wire` says that it is whole.
fn finish(wire: Wire) -> &'static str {
    match wire {
        Wire::Responses => "completed",
        Wire::Embeddings => "1",
        Wire::Gemini => "STOP",
    }
}

/// All forms in which answers come.
fn forms() -> impl Iterator<Item = (Wire, bool)> {
    let streamed = Wire::STREAMED.map(|wire| (wire, true));
    Wire::ALL.map(|wire| (wire, false)).into_iter().chain(streamed)
}

fn number(answer: &Answer) -> u64 {
    answer.header("x-sim-request").expect("the provider's headers pass").parse().expect("a number")
}

fn ask(rig: &Rig, wire: Wire, streamed: bool) -> Answer {
    rig.client().ask(&wire.path(streamed), "", &wire.body(streamed))
}

// === answers ===

#[test]
fn answers_pass_as_they_are_and_what_they_report_is_settled() {
    for (wire, streamed) in forms() {
        let rig = rig(script(), "");
        let mut client = rig.client();
        for framing in [Framing::Auto, Framing::ContentLength, Framing::Chunked, Framing::CloseDelimited] {
            let what = format!("{wire:?} streamed: {streamed} {framing:?}");
            rig.simulator.set_script(Script { framing, ..script() });
            let answer = client.ask(&wire.path(streamed), "", &wire.body(streamed));
            assert_eq!((answer.status, answer.complete), (200, true), "{what}: {}", answer.text());
            let heard = wire.read(&answer);
            if wire != Wire::Embeddings {
                let said = reply_text(API_MODEL, USER_TEXT, number(&answer), &script());
                assert_eq!(heard.text, said, "{what}");
            }
            assert_eq!((heard.usage, heard.model.as_str()), (usage_seen(wire), API_MODEL), "{what}");
            assert_eq!((heard.finish.as_str(), heard.error), (finish(wire), false), "{what}");
            let seen = rig.simulator.requests().pop().expect("it came");
            assert_eq!(seen.body, wire.body(streamed).as_bytes(), "{what}: the body goes untouched");
        }
        let ledger = rig.assert_ledgers_agree();
        assert_eq!((ledger.completed, rig.settled().counted), (4, 0), "{wire:?} {streamed}");
        assert_eq!(rig.ended(Outcome::Completed), 4);
    }
}

#[test]
fn calls_and_thoughts_pass_and_are_settled() {
    for wire in Wire::STREAMED {
        for streamed in [false, true] {
            let what = format!("{wire:?} streamed: {streamed}");
            let rig = rig(Script { thinking: true, ..script() }, "");
            let heard = wire.read(&ask(&rig, wire, streamed));
            assert_eq!(
                (heard.thinking.as_str(), heard.usage),
                ("The user asks; I answer.", usage_seen(wire)),
                "{what}"
            );
            rig.simulator.set_script(Script { tool_call: Some("get_weather".to_owned()), ..script() });
            let heard = wire.read(&ask(&rig, wire, streamed));
            assert_eq!((heard.call.0.as_str(), heard.usage), ("get_weather", usage_seen(wire)), "{what}");
            let arguments: Value = serde_json::from_str(&heard.call.1).expect("JSON arguments");
            assert_eq!((&arguments["model"], &arguments["k3"]), (&API_MODEL.into(), &3.into()), "{what}");
            rig.assert_ledgers_agree();
        }
    }
}

#[test]
fn answers_that_end_at_the_clients_ceiling_are_settled() {
    let bodies = [
        (
            Wire::Responses,
            json!({"model": API_MODEL, "input": USER_TEXT, "max_output_tokens": 30}),
            "incomplete",
        ),
        (
            Wire::Gemini,
            json!({"contents": [{"parts": [{"text": USER_TEXT}]}], "generationConfig": {"maxOutputTokens": 30}}),
            "MAX_TOKENS",
        ),
    ];
    for (wire, body, finish) in bodies {
        let rig = rig(script(), "");
        let answer = rig.client().ask(&wire.path(false), "", &body.to_string());
        let heard = wire.read(&answer);
        assert_eq!((heard.finish.as_str(), heard.usage), (finish, Some([1_000, 300, 30, 20])), "{wire:?}");
        rig.assert_ledgers_agree();
    }
}

#[test]
fn usage_that_never_comes_is_counted_from_the_bytes() {
    for (wire, streamed) in forms() {
        let rig = rig(Script { fault: Fault::NoUsage, ..script() }, "");
        let heard = wire.read(&ask(&rig, wire, streamed));
        let settled = rig.settled();
        // Around a conversation are 8 tokens of marks; the role is text too, but for an input that is one text.
        let input = match (wire, streamed) {
            (Wire::Embeddings, _) => 21_u64.div_ceil(4),
            (Wire::Responses, true) => 21_u64.div_ceil(4) + 8,
            _ => 25_u64.div_ceil(4) + 8,
        };
        assert_eq!((settled.counted, settled.input), (1, input), "{wire:?} {streamed}");
        assert_eq!(settled.output, (heard.text.len() as u64).div_ceil(4), "{wire:?} {streamed}");
    }
}

// === what goes wrong ===

#[test]
fn errors_of_the_provider_pass_as_they_are_and_cost_nothing() {
    for (wire, streamed) in forms() {
        let rig = rig(script(), &bucket(wire.route(), 100_000, 1, "1h", "tokens"));
        for status in [400, 429, 500, 503] {
            rig.simulator.set_script(Script { fault: Fault::Status(status), ..script() });
            let answer = ask(&rig, wire, streamed);
            assert_eq!((answer.status, answer.complete), (status, true), "{wire:?} {status}");
            assert_eq!(answer.json()["error"]["code"] == status, wire == Wire::Gemini, "{}", answer.text());
            assert_eq!(answer.header("retry-after").is_some(), [429, 503].contains(&status), "{wire:?}");
        }
        assert_eq!(rig.settled(), Settled::default(), "{wire:?}: nothing was generated");
        assert_eq!((rig.balance(0), rig.ended(Outcome::UpstreamFailed)), (100_000, 4));
    }
}

#[test]
fn an_error_within_a_stream_passes_and_what_came_before_it_is_counted() {
    for wire in Wire::STREAMED {
        let rig = rig(Script { fault: Fault::StreamError(3), ..script() }, "");
        let answer = ask(&rig, wire, true);
        let heard = wire.read(&answer);
        assert!(answer.complete && heard.error && heard.finish.is_empty(), "{wire:?}: {heard:?}");
        assert_eq!(rig.settled().counted, 1, "{wire:?}");
    }
}

/// What is known of the input when a stream ends early: Gemini says it on every chunk.
fn input_known(wire: Wire) -> u64 {
    if wire == Wire::Gemini { 1_000 } else { 21_u64.div_ceil(4) + 8 }
}

#[test]
fn a_provider_that_breaks_off_is_paid_for_what_came() {
    for wire in Wire::STREAMED {
        for ending in [Ending::Fin, Ending::Rst] {
            let rig = rig(Script { fault: Fault::CutAfterChunks(7, ending), chunks: 20, ..script() }, "");
            let answer = ask(&rig, wire, true);
            assert!(!answer.complete, "{wire:?}: closing is all that can be said");
            let text = wire.read(&answer).text;
            let settled = rig.settled();
            let reported = rig.simulator.ledger().reported_in_cut;
            let output = (text.len() as u64).div_ceil(4).max(reported.output);
            assert!(!text.is_empty());
            assert_eq!(
                (settled.counted, settled.input, settled.output),
                (1, input_known(wire), output),
                "{wire:?}"
            );
            assert_eq!((rig.simulator.ledger().cut, rig.ended(Outcome::UpstreamCut)), (1, 1));
        }
    }
}

#[test]
fn a_client_that_leaves_stops_the_provider_and_pays_for_what_came() {
    for wire in Wire::STREAMED {
        let rig = rig(Script { fault: Fault::StallAfterChunks(7), chunks: 20, ..script() }, "");
        let mut client = rig.client();
        client.post(&wire.path(true), "", &wire.body(true));
        read_to(&mut client, " 2xxxx");
        drop(client);
        until("the provider saw it", || rig.simulator.ledger().client_gone == 1);
        let (settled, reported) = (rig.settled(), rig.simulator.ledger().reported_in_cut);
        assert_eq!((settled.counted, settled.input), (1, input_known(wire)), "{wire:?}");
        assert!(settled.output >= reported.output.max(7), "{wire:?}: {settled:?} {reported:?}");
        assert_eq!(rig.ended(Outcome::ClientGone), 1);
    }
}

// === limits ===

#[test]
fn a_limit_refuses_in_the_words_of_the_format() {
    for (wire, streamed) in forms() {
        let rig = rig(script(), &bucket(wire.route(), 1, 1, "100s", "requests"));
        let first = ask(&rig, wire, streamed);
        assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("0"), "{}", first.text());
        let refused = ask(&rig, wire, streamed);
        assert_eq!(refused.status, 429, "{wire:?}");
        let ms: u64 = refused.header("retry-after-ms").expect("it").parse().expect("a number");
        assert!((90_000..=100_000).contains(&ms) && refused.header("retry-after").is_some());
        let error = &refused.json()["error"];
        match wire {
            Wire::Gemini => {
                assert_eq!((&error["code"], &error["status"]), (&json!(429), &json!("RESOURCE_EXHAUSTED")));
                let info = &error["details"][0];
                assert_eq!(info["@type"], "type.googleapis.com/google.rpc.RetryInfo");
                let delay = format!("{}.{:03}s", ms / 1000, ms % 1000);
                assert_eq!(info["retryDelay"], json!(delay), "{error}");
            }
            _ => assert_eq!(
                (&error["type"], &error["code"]),
                (&json!("requests"), &json!("rate_limit_exceeded"))
            ),
        }
        assert_eq!((rig.simulator.ledger().requests, rig.ended(Outcome::Refused)), (1, 1));
        rig.assert_ledgers_agree();
    }
}

#[test]
fn tokens_are_charged_as_reported() {
    for (wire, streamed) in forms() {
        let rig = rig(script(), &bucket(wire.route(), 50_000, 1, "1h", "tokens"));
        ask(&rig, wire, streamed);
        let [input, _, output, _] = usage_seen(wire).expect("it");
        rig.assert_ledgers_agree();
        assert_eq!(rig.balance(0), 50_000 - (input + output) as i64, "{wire:?}");
    }
}

#[test]
fn a_stream_that_outlasts_its_limit_ends_as_its_format_says() {
    let long = Script {
        input_tokens: Count::Fixed(10),
        output_tokens: 20_000,
        chunks: 2_000,
        chunk_bytes: 40,
        chunk_gap: Duration::from_millis(1),
        ..Script::default()
    };
    for wire in Wire::STREAMED {
        let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}";
        let rig = rig(long.clone(), &limits(wire.route(), &[limit]));
        let answer = ask(&rig, wire, true);
        assert!(answer.complete, "{wire:?}");
        let heard = wire.read(&answer);
        assert_eq!(heard.finish, if wire == Wire::Gemini { "MAX_TOKENS" } else { "incomplete" });
        let [_, _, output, _] = heard.usage.expect("the usage is told");
        assert!((500..1_100).contains(&output) && heard.model == API_MODEL, "{wire:?}: {output}");
        assert_eq!(rig.ended(Outcome::LimitCut), 1);
        until("the provider is left", || rig.simulator.ledger().client_gone == 1);
        assert_eq!(rig.settled().output, output, "what the client was told is what is settled");
    }
}

// === what is free ===

#[test]
fn lookups_and_counts_cost_requests_and_no_tokens() {
    let versioned = "anthropic-version: 2023-06-01\r\n";
    let count = json!({"model": API_MODEL, "messages": [{"role": "user", "content": USER_TEXT}]}).to_string();
    let contents = json!({"contents": [{"parts": [{"text": USER_TEXT}]}]}).to_string();
    let google = "x-goog-api-key: AIza-client\r\n";
    let rows: [(&str, &str, &str, Option<&str>, &str); 9] = [
        ("oa", "/oa/v1/models", "", None, "/data/1/id"),
        ("oa", "/oa/v1/models/sim-small", "", None, "/id"),
        ("an", "/an/v1/models?limit=2", versioned, None, "/data/1/id"),
        ("an", "/an/v1/models/sim-small", versioned, None, "/id"),
        ("ge", "/ge/v1beta/models", "", None, "/models/1/displayName"),
        ("ge", "/ge/v1/models", google, None, "/models/1/displayName"),
        ("ge", "/ge/v1beta/models/sim-small?key=AIza-client", "", None, "/displayName"),
        ("an", "/an/v1/messages/count_tokens", "", Some(&count), "/input_tokens"),
        ("ge", "/ge/v1beta/models/model-1:countTokens", "", Some(&contents), "/totalTokens"),
    ];
    for (route, path, headers, body, pointer) in rows {
        let policies = bucket(route, 2, 1, "1h", "requests")
            + &bucket(route, 2_000, 1, "1h", "tokens").replace("-limit", "-tokens");
        let rig = rig(script(), &policies);
        let mut client = rig.client();
        let mut asked = || match body {
            Some(body) => client.ask(path, headers, body),
            None => {
                client.write(format!("GET {path} HTTP/1.1\r\nHost: gateway.test\r\n{headers}\r\n"));
                client.answer()
            }
        };
        for _ in 0..2 {
            let answer = asked();
            assert_eq!((answer.status, answer.complete), (200, true), "{path}: {}", answer.text());
            let found = answer.json().pointer(pointer).cloned().unwrap_or_default();
            assert!(found == "sim-small" || found == 1_000, "{path}: {}", answer.text());
        }
        assert_eq!(asked().status, 429, "{path}: requests are counted");
        assert_eq!((rig.settled(), rig.balance(1)), (Settled::default(), 2_000), "{path}");
        let seen = rig.simulator.requests().pop().expect("it came");
        assert_eq!(seen.method, if body.is_some() { "POST" } else { "GET" });
        assert!(
            !seen.target.contains("AIza") && seen.header("content-length").is_some() == body.is_some(),
            "{path}"
        );
        assert_eq!(rig.ended(Outcome::Completed), 2, "{path}");
        support::assert_clean(&rig.simulator.ledger());
    }
}

// === credentials, models, versions ===

#[test]
fn gemini_gets_the_backends_key_in_its_header_and_the_clients_never() {
    let rig = rig(script(), "");
    let path =
        format!("/ge/v1/models/{API_MODEL}:streamGenerateContent?key=AIza-a&alt=sse&access_token=b&x=1");
    let headers = "x-goog-api-key: AIza-c\r\nx-goog-api-client: genai/1\r\n";
    let answer = rig.client().ask(&path, headers, &Wire::Gemini.body(true));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = rig.simulator.requests().pop().expect("it came");
    assert_eq!(seen.target, format!("/v1beta/models/{API_MODEL}:streamGenerateContent?alt=sse&x=1"));
    assert_eq!(seen.header("x-goog-api-key"), Some("sk-live-secret"));
    assert_eq!((seen.header("x-goog-api-client"), seen.header("authorization")), (Some("genai/1"), None));
    assert_eq!(
        seen.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("x-goog-api-key")).count(),
        1
    );
}

#[test]
fn a_google_key_of_the_client_passes_where_the_backend_says_so() {
    let manifests = apis("")
        .replace("{kind: SecretRef, secretRef: {name: keys}}, apiVersion", "{kind: Passthrough}, apiVersion");
    let rig = Rig::start_with(script(), &manifests, &settings(QUIET));
    let path = Wire::Gemini.path(false);
    for (query, header) in [
        ("?key=AIza-own", ""),
        ("?key=AIza-not", "x-goog-api-key: AIza-own\r\n"),
        ("", "authorization: Bearer AIza-own\r\n"),
    ] {
        let answer = rig.client().ask(&format!("{path}{query}"), header, &Wire::Gemini.body(false));
        assert_eq!(answer.status, 200, "{query} {header}: {}", answer.text());
        let seen = rig.simulator.requests().pop().expect("it came");
        assert_eq!((seen.header("x-goog-api-key"), seen.target.contains('?')), (Some("AIza-own"), false));
    }
}

#[test]
fn a_google_key_tells_callers_apart() {
    let rig = rig(script(), &limits("ge", &["{name: k, unit: requests, rate: 1/hour, key: {apiKey: {}}}"]));
    let status = |key: &str| {
        let headers = format!("x-goog-api-key: {key}\r\n");
        rig.client().ask(&Wire::Gemini.path(false), &headers, &Wire::Gemini.body(false)).status
    };
    assert_eq!([status("AIza-a"), status("AIza-a"), status("AIza-b")], [200, 429, 200]);
}

#[test]
fn the_backends_model_goes_before_the_clients_wherever_it_stands() {
    let manifests = apis("").replace("{authToken:", "{model: forced-model, authToken:");
    let rig = Rig::start_with(script(), &manifests, &settings(QUIET));
    for (wire, streamed) in forms() {
        let heard = wire.read(&ask(&rig, wire, streamed));
        assert_eq!(heard.model, "forced-model", "{wire:?}");
        let seen = rig.simulator.requests().pop().expect("it came");
        assert!(!String::from_utf8_lossy(&seen.body).contains(API_MODEL) && !seen.target.contains(API_MODEL));
    }
    let mut client = rig.client();
    client.write("GET /oa/v1/models/sim-small HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    assert_eq!(client.answer().json()["id"], "sim-small", "who asks about a model is told of that one");
    rig.assert_ledgers_agree();
}

#[test]
fn tokens_are_counted_here_for_who_does_not_count_where_the_route_names_a_tokenizer() {
    let asked =
        |text: &str| json!({"model": API_MODEL, "messages": [{"role": "user", "content": text}]}).to_string();
    let requests = "{name: r, unit: requests, rate: 1/hour, burst: 3}";
    let policy = limits("oa", &[requests]) + "  estimate: {tokenizer: o200k_base}\n";
    let rig = rig(script(), &policy);
    let mut client = rig.client();
    for text in ["hello", "How many tokens are these, counted one by one?"] {
        let answer = client.ask("/oa/v1/messages/count_tokens", "", &asked(text));
        let body = asked(text);
        let counted = Tokenizer::O200kBase.count(Format::AnthropicMessages, body.as_bytes());
        assert_eq!(
            (answer.status, answer.json()["input_tokens"].as_u64()),
            (200, counted),
            "{}",
            answer.text()
        );
    }
    let bad = client.ask("/oa/v1/messages/count_tokens", "", "{\"messages\": ");
    assert_eq!((bad.status, &bad.json()["type"]), (400, &json!("error")), "{}", bad.text());
    assert_eq!(rig.simulator.ledger().requests, 0, "nobody is asked");
    let ask = |text: &str| rig.client().ask("/oa/v1/messages/count_tokens", "", &asked(text)).status;
    assert_eq!([ask("a"), ask("b")], [200, 429], "each is a request, what was malformed is none");
    assert_eq!(rig.settled().input, 0, "and no tokens");
}

// === what is not served ===

#[test]
fn what_is_not_served_is_said_in_the_words_of_its_api() {
    let rig = rig(script(), "");
    let chat = support::chat(API_MODEL, false);
    let openai = ("/error/code", json!("unsupported_endpoint"));
    let anthropic = ("/error/type", json!("invalid_request_error"));
    let gemini = ("/error/status", json!("UNIMPLEMENTED"));
    let rows = [
        ("/oa/v1/completions", &openai, "OpenAI"),
        ("/oa/v1/images/generations", &openai, "OpenAI"),
        ("/oa/v1/responses/resp_1/cancel", &openai, "OpenAI"),
        ("/an/v1/messages/batches", &anthropic, "Anthropic"),
        ("/ge/v1beta/models/model-1:asyncBatchEmbedContent", &gemini, "Gemini"),
        ("/ge/v1beta/cachedContents", &gemini, "Gemini"),
        ("/an/v1/embeddings", &openai, "openai.embeddings with the provider anthropic"),
        ("/an/v1beta/models/model-1:embedContent", &gemini, "gemini.embed with the provider anthropic"),
        ("/oa/v1/messages/count_tokens", &anthropic, "anthropic.count_tokens with the provider openai"),
        ("/oa/v1beta/models/model-1:countTokens", &gemini, "gemini.count_tokens with the provider openai"),
    ];
    for (path, (pointer, value), words) in rows {
        let answer = rig.client().ask(path, "", &chat);
        assert_eq!((answer.status, answer.header("x-should-retry")), (501, Some("false")), "{path}");
        let json = answer.json();
        assert_eq!(json.pointer(pointer), Some(value), "{path}: {json}");
        assert!(json["error"]["message"].as_str().expect("text").contains(words), "{path}: {json}");
    }
    assert_eq!(rig.simulator.ledger().requests, 0);
}

#[test]
fn requests_that_cannot_be_served_so_say_how_they_can() {
    let rig = rig(script(), "");
    let background = json!({"model": API_MODEL, "input": USER_TEXT, "background": true}).to_string();
    let contents = Wire::Gemini.body(true);
    let array = format!("/ge/v1beta/models/{API_MODEL}:streamGenerateContent");
    let rows = [
        ("POST", "/oa/v1/responses", background.as_str(), 400, None, "background must be false"),
        ("POST", array.as_str(), contents.as_str(), 400, None, "alt=sse"),
        ("GET", "/oa/v1/responses", "", 405, Some("POST"), "POST"),
        ("POST", "/oa/v1/models", "{}", 405, Some("GET"), "GET"),
        ("PUT", "/ge/v1beta/models/m:countTokens", "{}", 405, Some("POST"), "POST"),
        ("GET", "/ge/v1beta/models", "{}", 400, None, "no body"),
        ("POST", "/oa/v1/embeddings", "[1]", 400, None, "at byte 0"),
    ];
    for (method, path, body, status, allow, words) in rows {
        let mut client = rig.client();
        client.write(format!(
            "{method} {path} HTTP/1.1\r\nHost: gateway.test\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("allow")), (status, allow), "{method} {path}");
        let message = answer.json()["error"]["message"].as_str().expect("text").to_owned();
        assert!(message.contains(words), "{method} {path}: {message}");
    }
    assert_eq!((rig.simulator.ledger().requests, rig.ended(Outcome::BadRequest)), (0, 7));
}
