//! What the providers say: shapes, texts and usage, whole and streamed.

mod client;

use client::{Answer, CHAT, CHAT_STREAM, Client, MESSAGE, MESSAGE_STREAM, anthropic, get, openai, post};
use serde_json::Value;
use tollgate_loadtest::{Count, Reply, Script, Simulator, Usage, fnv1a64, plain_body, reply_text};

fn metered() -> Script {
    Script {
        input_tokens: Count::Fixed(120),
        output_tokens: 30,
        cached_input_tokens: 50,
        cache_write_tokens: 20,
        reasoning_tokens: 7,
        ..Script::default()
    }
}

const USAGE: Usage = Usage { input: 120, cached_input: 50, cache_write: 20, output: 30, reasoning: 7 };

/// The usage in the shape of OpenAI, normalised.
fn openai_usage(value: &Value) -> Usage {
    assert_eq!(
        value["total_tokens"].as_u64(),
        value["prompt_tokens"].as_u64().zip(value["completion_tokens"].as_u64()).map(|(a, b)| a + b)
    );
    Usage {
        input: value["prompt_tokens"].as_u64().unwrap(),
        cached_input: value["prompt_tokens_details"]["cached_tokens"].as_u64().unwrap(),
        cache_write: value["prompt_tokens_details"]["cache_write_tokens"].as_u64().unwrap_or(0),
        output: value["completion_tokens"].as_u64().unwrap(),
        reasoning: value["completion_tokens_details"]["reasoning_tokens"].as_u64().unwrap(),
    }
}

/// The usage in the shape of Anthropic, normalised; it does not say how much was reasoning.
fn anthropic_usage(value: &Value) -> Usage {
    let read = value["cache_read_input_tokens"].as_u64().unwrap();
    let written = value["cache_creation_input_tokens"].as_u64().unwrap();
    Usage {
        input: value["input_tokens"].as_u64().unwrap() + read + written,
        cached_input: read,
        cache_write: written,
        output: value["output_tokens"].as_u64().unwrap(),
        reasoning: 0,
    }
}

fn openai_text(answer: &Answer) -> String {
    answer.json_events().iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect()
}

fn anthropic_text(answer: &Answer) -> String {
    answer.json_events().iter().filter_map(|event| event["delta"]["text"].as_str()).collect()
}

#[test]
fn openai_whole() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    for number in 1..=3 {
        let answer = client.ask(&openai(CHAT, ""));
        assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
        assert_eq!(answer.number(), number);
        let json = answer.json();
        assert_eq!(json["id"], format!("chatcmpl-sim{number:010}"));
        assert_eq!(json["object"], "chat.completion");
        assert_eq!(json["model"], "gpt-4o-mini");
        assert_eq!(json["choices"][0]["finish_reason"], "stop");
        let text = reply_text("gpt-4o-mini", "hello", number, &metered());
        assert_eq!(json["choices"][0]["message"]["content"], text);
        assert_eq!(openai_usage(&json["usage"]), USAGE);
        let ledger = simulator.ledger();
        assert_eq!((ledger.requests, ledger.completed, ledger.protocol_faults), (number, number, 0));
        assert_eq!((ledger.reported.input, ledger.reported.output), (120 * number, 30 * number));
        assert_eq!(ledger.reported.reasoning, 7 * number);
    }
}

#[test]
fn openai_streamed() {
    let simulator = Simulator::start(Script { chunks: 9, ..metered() }).unwrap();
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT_STREAM, ""));
    assert_eq!(answer.header("content-type"), Some("text/event-stream; charset=utf-8"));
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
    let events = answer.json_events();
    assert_eq!(events.len(), 1 + 9 + 1 + 1);
    assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
    let (last, others) = events.split_last().unwrap();
    assert!(others.iter().all(|event| event.get("usage") == Some(&Value::Null)));
    assert!(events.iter().all(|event| event["id"] == "chatcmpl-sim0000000001"));
    assert_eq!(others.last().unwrap()["choices"][0]["finish_reason"], "stop");
    assert_eq!(last["choices"], Value::Array(vec![]));
    assert_eq!(openai_usage(&last["usage"]), USAGE);
    assert_eq!(
        openai_text(&answer),
        reply_text("gpt-4o-mini", "hello", 1, &Script { chunks: 9, ..metered() })
    );
    assert_eq!(simulator.ledger().reported, USAGE);
}

#[test]
fn openai_streamed_without_usage_reports_none() {
    let simulator = Simulator::start(metered()).unwrap();
    let body = CHAT_STREAM.replace(r#","stream_options":{"include_usage":true}"#, "");
    let answer = Client::to(simulator.addr()).ask(&openai(&body, ""));
    assert!(!answer.text().contains("usage"));
    let ledger = simulator.ledger();
    assert_eq!((ledger.without_usage, ledger.completed, ledger.reported), (1, 1, Usage::default()));
}

#[test]
fn anthropic_whole() {
    let simulator = Simulator::start(metered()).unwrap();
    let answer = Client::to(simulator.addr()).ask(&anthropic(MESSAGE, ""));
    let json = answer.json();
    assert_eq!((json["type"].as_str(), json["role"].as_str()), (Some("message"), Some("assistant")));
    assert_eq!(json["id"], "msg_sim0000000001");
    assert_eq!(json["stop_reason"], "end_turn");
    assert_eq!(json["content"][0]["text"], reply_text("claude-haiku-4-5", "hello", 1, &metered()));
    assert_eq!(anthropic_usage(&json["usage"]), Usage { reasoning: 0, ..USAGE });
    assert_eq!(simulator.ledger().reported, USAGE);
}

#[test]
fn anthropic_streamed() {
    let simulator = Simulator::start(metered()).unwrap();
    let answer = Client::to(simulator.addr()).ask(&anthropic(MESSAGE_STREAM, ""));
    let events = answer.json_events();
    let kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    let expected = "message_start content_block_start ping content_block_delta content_block_delta content_block_delta \
                    content_block_delta content_block_stop message_delta message_stop";
    assert_eq!(kinds.join(" "), expected);
    for (event, kind) in answer.text().split_terminator("\n\n").zip(&kinds) {
        assert!(event.starts_with(&format!("event: {kind}\ndata: ")), "{event}");
    }
    let first = anthropic_usage(&events[0]["message"]["usage"]);
    assert_eq!(first, Usage { output: 1, reasoning: 0, ..USAGE });
    assert_eq!(anthropic_usage(&events[8]["usage"]), Usage { reasoning: 0, ..USAGE });
    assert_eq!(events[8]["delta"]["stop_reason"], "end_turn");
    assert_eq!(anthropic_text(&answer), reply_text("claude-haiku-4-5", "hello", 1, &metered()));
    assert_eq!(simulator.ledger().reported, USAGE);
}

#[test]
fn tool_calls_and_thinking() {
    let script = Script { tool_call: Some("get_weather".into()), thinking: true, chunks: 5, ..metered() };
    let simulator = Simulator::start(script).unwrap();
    let mut client = Client::to(simulator.addr());
    let check = |arguments: &str, model: &str, number: u64| {
        let value: Value = serde_json::from_str(arguments).unwrap();
        assert_eq!(value["model"], model);
        assert_eq!(value["request"], format!("{number:010}"));
        assert_eq!(value["hash"], format!("{:016x}", fnv1a64(b"hello")));
        assert_eq!(value["k4"], 4);
    };

    let whole = client.ask(&openai(CHAT, "")).json();
    let call = &whole["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "get_weather");
    check(call["function"]["arguments"].as_str().unwrap(), "gpt-4o-mini", 1);
    assert_eq!(whole["choices"][0]["finish_reason"], "tool_calls");

    let streamed = client.ask(&openai(CHAT_STREAM, "")).json_events();
    let deltas =
        streamed.iter().map(|event| &event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"]);
    check(&deltas.filter_map(Value::as_str).collect::<String>(), "gpt-4o-mini", 2);

    let whole = client.ask(&anthropic(MESSAGE, "")).json();
    assert_eq!(whole["content"][0]["type"], "thinking");
    check(&whole["content"][1]["input"].to_string(), "claude-haiku-4-5", 3);
    assert_eq!(whole["stop_reason"], "tool_use");

    let streamed = client.ask(&anthropic(MESSAGE_STREAM, "")).json_events();
    let deltas = streamed.iter().filter_map(|event| event["delta"]["partial_json"].as_str());
    check(&deltas.collect::<String>(), "claude-haiku-4-5", 4);
    assert!(streamed.iter().any(|event| event["delta"]["type"] == "signature_delta"));
}

#[test]
fn the_request_limits_the_output() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(&CHAT.replace("\"model\"", "\"max_tokens\":12,\"model\""), ""));
    assert_eq!(answer.json()["choices"][0]["finish_reason"], "length");
    assert_eq!(answer.json()["usage"]["completion_tokens"], 12);
    let answer = client.ask(&anthropic(&MESSAGE.replace("100", "5"), ""));
    assert_eq!(
        (&answer.json()["stop_reason"], &answer.json()["usage"]["output_tokens"]),
        (&"max_tokens".into(), &5.into())
    );
    let reported = simulator.ledger().reported;
    assert_eq!((reported.output, reported.reasoning), (17, 12));
}

#[test]
fn input_from_the_body_and_a_given_reply() {
    let script = Script { reply: Reply::Text("Grüße \"an\"\nalle".into()), chunks: 6, ..Script::default() };
    let simulator = Simulator::start(script).unwrap();
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT, ""));
    assert_eq!(answer.json()["usage"]["prompt_tokens"], CHAT.len() as u64 / 4);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "Grüße \"an\"\nalle");
    assert_eq!(openai_text(&client.ask(&openai(CHAT_STREAM, ""))), "Grüße \"an\"\nalle");
    assert_eq!(anthropic_text(&client.ask(&anthropic(MESSAGE_STREAM, ""))), "Grüße \"an\"\nalle");
}

#[test]
fn headers_override_the_script_for_one_request() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT, "X-Sim-Output-Tokens: 5\r\nx-sim-reply: yes\r\n"));
    assert_eq!(answer.json()["usage"]["completion_tokens"], 5);
    assert_eq!(answer.json()["choices"][0]["message"]["content"], "yes");
    assert_eq!(client.ask(&openai(CHAT, "")).json()["usage"]["completion_tokens"], 30);
    let answer = client.ask(&openai(CHAT, "x-sim-chunks: many\r\n"));
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("x-sim-chunks"), "{}", answer.text());
    simulator.set_script(Script { output_tokens: 1, ..metered() });
    assert_eq!(client.ask(&openai(CHAT, "")).json()["usage"]["completion_tokens"], 1);
}

#[test]
fn refusals_in_the_providers_shapes() {
    let simulator = Simulator::start(Script { expected_key: Some("right".into()), ..metered() }).unwrap();
    let mut client = Client::to(simulator.addr());
    let version = "anthropic-version: 2023-06-01\r\n";
    let cases = [
        (post("/v1/chat/completions", "", CHAT), 401, "invalid_request_error"),
        (post("/v1/chat/completions", "authorization: Basic right\r\n", CHAT), 401, "invalid_request_error"),
        (openai(CHAT, ""), 401, "invalid_request_error"),
        (post("/v1/chat/completions", "authorization: Bearer right\r\n", "{}"), 400, "invalid_request_error"),
        (post("/v1/messages", version, MESSAGE), 401, "authentication_error"),
        (
            post("/v1/messages", &format!("x-api-key: wrong\r\n{version}"), MESSAGE),
            401,
            "authentication_error",
        ),
        (post("/v1/messages", "x-api-key: right\r\n", MESSAGE), 400, "invalid_request_error"),
        (
            post("/v1/messages", &format!("authorization: Bearer right\r\n{version}"), "{}"),
            400,
            "invalid_request_error",
        ),
        (post("/v1/messages/batches", version, "{}"), 404, "not_found_error"),
        (post("/v1/nothing", "", "{}"), 404, "invalid_request_error"),
        (get("/v1/messages"), 405, "invalid_request_error"),
        (get("/v1/chat/completions"), 405, "invalid_request_error"),
    ];
    let count = cases.len() as u64;
    for (request, status, kind) in cases {
        let answer = client.ask(&request);
        assert_eq!(
            (answer.status, &answer.json()["error"]["type"]),
            (status, &kind.into()),
            "{}",
            answer.text()
        );
        assert!(answer.json()["error"]["message"].is_string());
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.refused, ledger.completed, ledger.reported), (count, count, Usage::default()));
    assert_eq!(
        client.ask(&post("/v1/chat/completions", "authorization: Bearer right\r\n", CHAT)).status,
        200
    );
}

#[test]
fn versions_of_the_messages_api() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    for (version, status) in
        [("2023-01-01", 200), ("2023-06-01", 200), ("2026-10-21", 200), ("2024-10-22", 400), ("", 400)]
    {
        let lines = format!("x-api-key: k\r\nanthropic-version: {version}\r\n");
        let answer = client.ask(&post("/v1/messages", &lines, MESSAGE));
        assert_eq!(answer.status, status, "{version}: {}", answer.text());
    }
}

#[test]
fn counting_plain_and_echo() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    let lines = "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n";
    assert_eq!(client.ask(&post("/v1/messages/count_tokens", lines, MESSAGE)).json()["input_tokens"], 120);
    for bytes in [0, 1, 94, 95, 96, 65_535, 65_536, 65_537, 3_000_000] {
        let answer = client.ask(&get(&format!("/plain?bytes={bytes}")));
        assert_eq!(answer.body.len(), bytes);
        assert!(answer.body == plain_body(bytes), "{bytes}");
    }
    client.send(b"HEAD /plain?bytes=77 HTTP/1.1\r\nhost: sim\r\n\r\n");
    client.send(&get("/plain?bytes=3"));
    let mut both = Vec::new();
    while !both.ends_with(b" !\"") {
        client.more().unwrap();
        both = client.peek().to_vec();
    }
    let text = String::from_utf8(both).unwrap();
    assert!(text.contains("content-length: 77\r\n\r\nHTTP/1.1 200 OK"), "{text}");

    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&post("/plain", "", "hello"));
    assert_eq!(answer.json()["bytes"], 5);
    assert_eq!(answer.json()["fnv1a64"], format!("{:016x}", fnv1a64(b"hello")));
    let body = "some text ".repeat(100_000);
    assert_eq!(client.ask(&post("/echo", "", &body)).text(), body);
    assert_eq!(simulator.ledger().without_usage, 0);
}

#[test]
fn usage_where_it_is_not_expected() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());

    let events = client.ask(&openai(CHAT_STREAM, "x-sim-fault: usage-every\r\n")).json_events();
    let outputs: Vec<u64> = events.iter().filter_map(|e| e["usage"]["completion_tokens"].as_u64()).collect();
    assert_eq!(outputs, [0, 7, 15, 22, 30, 30, 30]);
    let events = client.ask(&anthropic(MESSAGE_STREAM, "x-sim-fault: usage-every\r\n")).json_events();
    let outputs: Vec<u64> = events.iter().filter_map(|e| e["usage"]["output_tokens"].as_u64()).collect();
    assert_eq!(outputs, [7, 15, 22, 30, 30]);

    let events = client.ask(&openai(CHAT_STREAM, "x-sim-fault: usage-empty-delta\r\n")).json_events();
    let last = events.last().unwrap();
    assert_eq!((&last["choices"][0]["delta"], openai_usage(&last["usage"])), (&serde_json::json!({}), USAGE));
    let events = client.ask(&anthropic(MESSAGE_STREAM, "x-sim-fault: usage-empty-delta\r\n")).json_events();
    assert_eq!(events[events.len() - 2]["delta"], serde_json::json!({}));

    let ledger = simulator.ledger();
    assert_eq!(ledger.reported.output, 4 * 30, "each answer counts once, with its last statement");

    for request in [
        openai(CHAT, "x-sim-fault: no-usage\r\n"),
        openai(CHAT_STREAM, "x-sim-fault: no-usage\r\n"),
        anthropic(MESSAGE, "x-sim-fault: no-usage\r\n"),
        anthropic(MESSAGE_STREAM, "x-sim-fault: no-usage\r\n"),
    ] {
        let answer = client.ask(&request);
        assert!(answer.complete && !answer.text().contains("usage"), "{}", answer.text());
    }
    let after = simulator.ledger();
    assert_eq!((after.without_usage, after.reported), (4, ledger.reported));
    assert_eq!(after.faulted, 8);
}

// === Responses, embeddings, Gemini ===

/// Usage as each of the three formats says it; none of them knows all five numbers.
fn usage_of(value: &Value, names: [&str; 5]) -> Usage {
    let [input, cached_input, cache_write, output, reasoning] =
        names.map(|name| value.pointer(name).and_then(Value::as_u64).unwrap_or(0));
    Usage { input, cached_input, cache_write, output, reasoning }
}

const RESPONSES_USAGE: [&str; 5] = [
    "/input_tokens",
    "/input_tokens_details/cached_tokens",
    "/input_tokens_details/cache_write_tokens",
    "/output_tokens",
    "/output_tokens_details/reasoning_tokens",
];

#[test]
fn responses_whole_and_streamed() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    let ask = |body: &str| post("/v1/responses", "authorization: Bearer sk-x\r\n", body);
    let whole = client.ask(&ask(r#"{"model":"gpt-5","input":[{"role":"user","content":"hello"}]}"#)).json();
    let text = |number| reply_text("gpt-5", "hello", number, &metered());
    assert_eq!((&whole["object"], &whole["status"]), (&"response".into(), &"completed".into()));
    assert_eq!(whole["output"][0]["content"][0]["text"], text(1));
    assert_eq!(usage_of(&whole["usage"], RESPONSES_USAGE), USAGE);

    let answer = client.ask(&ask(r#"{"model":"gpt-5","input":"hello","stream":true}"#));
    let events = answer.json_events();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number, "{event}");
    }
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let deltas = of("response.output_text.delta");
    assert_eq!(deltas.iter().filter_map(|event| event["delta"].as_str()).collect::<String>(), text(2));
    assert_eq!(of("response.output_text.done")[0]["text"], text(2));
    let last = events.last().unwrap();
    assert_eq!((&last["type"], of("response.created").len()), (&"response.completed".into(), 1));
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], text(2));
    assert_eq!(usage_of(&last["response"]["usage"], RESPONSES_USAGE), USAGE);

    let few = client.ask(&ask(r#"{"model":"gpt-5","input":"hello","max_output_tokens":9}"#)).json();
    assert_eq!((&few["status"], &few["usage"]["output_tokens"]), (&"incomplete".into(), &9.into()));
    let refused = client.ask(&ask(r#"{"model":"gpt-5","messages":[]}"#));
    assert_eq!((refused.status, simulator.ledger().refused), (400, 1));
    assert_eq!(simulator.ledger().reported.output, 30 + 30 + 9);
}

#[test]
fn embeddings_report_their_input() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    for (input, vectors) in [(r#""a""#, 1), (r#"["a","b"]"#, 2), ("[1,2,3]", 1), ("[[1,2],[3]]", 2)] {
        let body = format!(r#"{{"model":"e","input":{input},"dimensions":4}}"#);
        let answer = client.ask(&post("/v1/embeddings", "authorization: Bearer sk-x\r\n", &body)).json();
        assert_eq!(answer["data"].as_array().unwrap().len(), vectors, "{input}");
        assert_eq!(answer["data"][0]["embedding"].as_array().unwrap().len(), 4);
        assert_eq!(answer["usage"]["prompt_tokens"], 120);
    }
    assert_eq!(simulator.ledger().reported, Usage { input: 4 * 120, ..Usage::default() });
}

#[test]
fn embeddings_of_google_and_amazon_report_their_input() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    let text = r#"{"content":{"parts":[{"text":"a"}]}}"#;
    let named = text.replace("{\"content", "{\"model\":\"models/g-1\",\"content");
    let vertex = "/v1/projects/p/locations/l/publishers/google/models";
    let rows = [
        (
            "/v1beta/models/g-1:embedContent".to_owned(),
            text.to_owned(),
            "/embedding/values/7",
            "/usageMetadata/promptTokenCount",
        ),
        (
            "/v1beta/models/g-1:batchEmbedContents".to_owned(),
            format!(r#"{{"requests":[{named},{named}]}}"#),
            "/embeddings/1/values/7",
            "/usageMetadata/promptTokenCount",
        ),
        (
            format!("{vertex}/t-1:predict"),
            r#"{"instances":[{"content":"a"}]}"#.to_owned(),
            "/predictions/0/embeddings/values/7",
            "/predictions/0/embeddings/statistics/token_count",
        ),
        (
            "/model/amazon.titan-embed-text-v2%3A0/invoke".to_owned(),
            r#"{"inputText":"a"}"#.to_owned(),
            "/embedding/7",
            "/inputTextTokenCount",
        ),
    ];
    for (target, body, number, tokens) in &rows {
        let answer = client.ask(&post(target, "authorization: Bearer ya29.x\r\n", body)).json();
        assert!(answer.pointer(number).is_some_and(Value::is_number), "{target}: {answer}");
        assert_eq!(answer.pointer(tokens), Some(&120.into()), "{target}: {answer}");
    }
    assert_eq!(simulator.ledger().reported, Usage { input: 4 * 120, ..Usage::default() });
    for (target, body) in [
        ("/v1beta/models/other:batchEmbedContents".to_owned(), rows[1].1.as_str()),
        (format!("{vertex}/t-1:embedContent"), &named),
        ("/model/cohere.embed-english-v3/invoke".to_owned(), r#"{"texts":["a"]}"#),
    ] {
        let answer = client.ask(&post(&target, "authorization: Bearer ya29.x\r\n", body));
        assert_eq!(answer.status, 400, "{target}");
    }
}

#[test]
fn gemini_whole_and_streamed() {
    const NAMES: [&str; 5] = [
        "/promptTokenCount",
        "/cachedContentTokenCount",
        "/none",
        "/candidatesTokenCount",
        "/thoughtsTokenCount",
    ];
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    let body = r#"{"contents":[{"parts":[{"text":"hello"}]}]}"#;
    let ask = |verb: &str| post(&format!("/v1beta/models/g-1:{verb}"), "x-goog-api-key: AIza\r\n", body);
    let reported = Usage { cache_write: 0, output: 23, ..USAGE };
    let text = |number| reply_text("g-1", "hello", number, &metered());
    let whole = client.ask(&ask("generateContent")).json();
    assert_eq!(whole["candidates"][0]["content"]["parts"][0]["text"], text(1));
    assert_eq!(usage_of(&whole["usageMetadata"], NAMES), reported, "thoughts are apart from the candidates'");

    let chunks = client.ask(&ask("streamGenerateContent?alt=sse")).json_events();
    let said =
        chunks.iter().filter_map(|chunk| chunk["candidates"][0]["content"]["parts"][0]["text"].as_str());
    assert_eq!(said.collect::<String>(), text(2));
    let last = chunks.last().unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(usage_of(&last["usageMetadata"], NAMES), reported);
    assert!(chunks.iter().all(|chunk| chunk["usageMetadata"]["promptTokenCount"] == 120), "on every chunk");
    assert_eq!(client.ask(&ask("countTokens")).json()["totalTokens"], 120);

    let keyless = client.ask(&post("/v1beta/models/g-1:generateContent", "", body));
    assert_eq!((keyless.status, &keyless.json()["error"]["status"]), (403, &"PERMISSION_DENIED".into()));
    let foreign = client.ask(&post(
        "/v1beta/models/g-1:generateContent",
        "x-goog-api-key: AIza\r\n",
        r#"{"messages":[]}"#,
    ));
    assert_eq!((foreign.status, simulator.ledger().refused), (400, 2));
    let ledger = simulator.ledger();
    assert_eq!((ledger.reported.output, ledger.reported.cache_write), (60, 0));
}

#[test]
fn models_are_listed_in_three_shapes() {
    let simulator = Simulator::start(metered()).unwrap();
    let mut client = Client::to(simulator.addr());
    let rows = [
        ("/v1/models", "authorization: Bearer sk-x\r\n", 200, "/data/0/object"),
        ("/v1/models/sim-small", "authorization: Bearer sk-x\r\n", 200, "/object"),
        ("/v1/models/none", "authorization: Bearer sk-x\r\n", 404, "/error/code"),
        ("/v1/models", "x-api-key: k\r\nanthropic-version: 2023-06-01\r\n", 200, "/data/0/type"),
        ("/v1beta/models", "x-goog-api-key: k\r\n", 200, "/models/0/name"),
        ("/v1beta/models/none", "x-goog-api-key: k\r\n", 404, "/error/status"),
    ];
    for (path, headers, status, pointer) in rows {
        let request = format!("GET {path} HTTP/1.1\r\nhost: sim.test\r\n{headers}\r\n");
        let answer = client.ask(request.as_bytes());
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.json().pointer(pointer).is_some(), "{path}: {}", answer.text());
    }
    assert_eq!(simulator.ledger().reported, Usage::default());
}
