//! What clients and providers say to each other through the gateway, in all four pairings of formats: answers
//! whole and streamed, usage in every form, errors, refusals, bodies.

#[path = "providers/formats.rs"]
mod formats;
#[path = "providers/pairs.rs"]
mod pairs;
#[path = "providers/policies.rs"]
mod policies;
mod support;

use support::{Answer, Client, ROUTES, Rig, Route, USER_TEXT, bucket, chat, message, with};
use tollgate::telemetry::Outcome;
use tollgate_loadtest::{Count, Fault, Framing, Script, reply_text};

const MODEL: &str = "claude-3-5-haiku-latest";

/// Tokens of every kind that the provider of `route` reports.
fn script(route: Route) -> Script {
    Script {
        input_tokens: Count::Fixed(1_000),
        cached_input_tokens: 300,
        cache_write_tokens: 50,
        output_tokens: 77,
        reasoning_tokens: if route.openai_provider { 20 } else { 0 },
        ..Script::default()
    }
}

/// What [`script`] makes a client of `route` see.
fn usage_seen(route: Route) -> [u64; 5] {
    let reasoning = if route.openai_provider && route.openai_client { 20 } else { 0 };
    [1_000, 300, 50, 77, reasoning]
}

fn number(answer: &Answer) -> u64 {
    let number = answer.header("x-sim-request").expect("the provider's headers pass");
    number.parse().expect("a number")
}

fn assert_said(route: Route, answer: &Answer, script: &Script, what: &str) {
    assert_eq!((answer.status, answer.complete), (200, true), "{what}: {}", answer.text());
    let said = route.read(answer);
    assert_eq!(said.text, reply_text(MODEL, USER_TEXT, number(answer), script), "{what}");
    assert_eq!(said.model, MODEL, "{what}");
    assert_eq!(said.finish, if route.openai_client { "stop" } else { "end_turn" }, "{what}");
    assert_eq!(said.usage, Some(usage_seen(route)), "{what}");
    assert_eq!(said.error, None, "{what}");
}

#[test]
fn every_pairing_says_what_the_provider_said_however_it_is_framed() {
    for route in ROUTES {
        let rig = Rig::start(script(route), "");
        let mut client = rig.client();
        let mut asked = 0;
        for framing in [Framing::Auto, Framing::ContentLength, Framing::Chunked, Framing::CloseDelimited] {
            let script = Script { framing, ..script(route) };
            rig.simulator.set_script(script.clone());
            for streamed in [false, true] {
                let what = format!("{} {framing:?} streamed: {streamed}", route.path);
                let body = route.body(MODEL, streamed);
                let answer = client.ask(route.path, "", &body);
                assert_said(route, &answer, &script, &what);
                assert_eq!(route.read(&answer).done, streamed, "{what}");

                let mut old = rig.client();
                let head = format!("POST {} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", route.path, body.len());
                old.write(head + &body);
                let answer = old.answer();
                assert_said(route, &answer, &script, &format!("{what}, to a client of HTTP/1.0"));
                assert_eq!(answer.header("transfer-encoding"), None, "{what}");
                assert!(old.is_over(), "{what}: HTTP/1.0 closes");
                asked += 2;
            }
        }
        let ledger = rig.assert_ledgers_agree();
        assert_eq!((ledger.requests, ledger.completed), (asked, asked));
        assert_eq!(rig.settled().counted, 0, "the provider reported every time");
        assert_eq!(rig.ended(Outcome::Completed), asked);
    }
}

#[test]
fn the_backends_model_goes_before_the_clients() {
    let manifests = support::manifests("").replace("{authToken:", "{model: forced-model, authToken:");
    let quiet = support::settings("  records: {to: none}\n  workers: {cores: 1, pin: false}");
    let rig = Rig::start_with(Script::default(), &manifests, &quiet);
    let mut client = rig.client();
    for route in ROUTES {
        for streamed in [false, true] {
            let answer = client.ask(route.path, "", &route.body("asked-model", streamed));
            assert_eq!(route.read(&answer).model, "forced-model", "{} {}", route.path, answer.text());
            let seen = rig.simulator.requests().pop().expect("it came");
            let sent: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
            assert_eq!(sent["model"], "forced-model");
        }
    }
    rig.assert_ledgers_agree();
}

#[test]
fn tool_calls_and_thinking_come_through_in_every_pairing() {
    for route in ROUTES {
        let rig = Rig::start(Script { thinking: true, ..script(route) }, "");
        let mut client = rig.client();
        for streamed in [false, true] {
            let what = format!("{} streamed: {streamed}", route.path);
            rig.simulator.set_script(Script { thinking: true, ..script(route) });
            let answer = client.ask(route.path, "", &route.body(MODEL, streamed));
            let said = route.read(&answer);
            assert_eq!(said.thinking, "The user asks; I answer.", "{what}: {}", answer.text());
            assert_eq!(said.usage, Some(usage_seen(route)), "{what}");

            let tool = Script { tool_call: Some("get_weather".to_owned()), ..script(route) };
            rig.simulator.set_script(tool);
            let answer = client.ask(route.path, "", &route.body(MODEL, streamed));
            let said = route.read(&answer);
            assert_eq!(said.tool.0, "get_weather", "{what}: {}", answer.text());
            let arguments: serde_json::Value = serde_json::from_str(&said.tool.1).expect("JSON arguments");
            assert_eq!((&arguments["model"], &arguments["k3"]), (&MODEL.into(), &3.into()), "{what}");
            assert_eq!(said.finish, if route.openai_client { "tool_calls" } else { "tool_use" }, "{what}");
        }
        rig.assert_ledgers_agree();
    }
}

// === usage ===

#[test]
fn usage_that_only_the_gateway_asked_for_is_not_shown() {
    let openai = ROUTES[2];
    let rig = Rig::start(script(openai), "");
    let mut client = rig.client();
    let rows = [
        ("not asked", None, false),
        ("options null", Some(r#""stream_options":null"#), false),
        ("options empty", Some(r#""stream_options":{}"#), false),
        ("other options", Some(r#""stream_options":{"include_obfuscation":false}"#), false),
        ("asked false", Some(r#""stream_options":{"include_usage":false}"#), false),
        ("asked null", Some(r#""stream_options":{"include_usage":null}"#), false),
        ("asked", Some(r#""stream_options":{"include_usage":true}"#), true),
    ];
    for (what, member, asked) in rows {
        let body = member.map_or(chat(MODEL, true), |member| with(&chat(MODEL, true), member));
        let answer = client.ask(openai.path, "", &body);
        let said = openai.read(&answer);
        assert_eq!(said.text, reply_text(MODEL, USER_TEXT, number(&answer), &script(openai)), "{what}");
        assert_eq!(said.usage, asked.then(|| usage_seen(openai)), "{what}");
        assert_eq!(answer.text().contains("\"usage\""), asked, "{what}: {}", answer.text());
        assert!(said.done && answer.complete, "{what}");
        let seen = rig.simulator.requests().pop().expect("it came");
        let sent: serde_json::Value = serde_json::from_slice(&seen.body).expect("JSON");
        assert_eq!(sent["stream_options"]["include_usage"], true, "{what}");
        if asked {
            assert_eq!(seen.body, body.as_bytes(), "the body goes untouched");
        }
    }
    rig.assert_ledgers_agree();
    assert_eq!(rig.settled().counted, 0);
}

#[test]
fn usage_in_odd_places_is_settled_all_the_same() {
    for route in ROUTES {
        let rig = Rig::start(Script::default(), "");
        let mut client = rig.client();
        for fault in [Fault::UsageOnEveryChunk, Fault::UsageWithEmptyDelta] {
            let what = format!("{} {fault}", route.path);
            rig.simulator.set_script(Script { fault, ..script(route) });
            let answer = client.ask(route.path, "", &route.body(MODEL, true));
            assert_said(route, &answer, &script(route), &what);
            let unasked = if route.openai_client { chat(MODEL, true) } else { message(MODEL, true) };
            let answer = client.ask(route.path, "", &unasked);
            let shown = if route.openai_client { None } else { Some(usage_seen(route)) };
            assert_eq!(route.read(&answer).usage, shown, "{what}: {}", answer.text());
            assert!(
                !route.openai_client || !answer.text().contains("\"usage\""),
                "{what}: {}",
                answer.text()
            );
        }
        rig.assert_ledgers_agree();
        assert_eq!(rig.settled().counted, 0, "{}", route.path);
    }
}

#[test]
fn usage_that_never_comes_is_counted_from_the_bytes() {
    for route in ROUTES {
        let limit = bucket(route.name, 100_000, 1, "1h", "tokens");
        let rig = Rig::start(Script { fault: Fault::NoUsage, ..script(route) }, &limit);
        let mut client = rig.client();
        let mut output = 0;
        for streamed in [false, true] {
            let answer = client.ask(route.path, "", &route.body(MODEL, streamed));
            assert_eq!((answer.status, answer.complete), (200, true), "{}", route.path);
            output += route.read(&answer).text.len().div_ceil(4) as u64;
        }
        let settled = rig.settled();
        assert_eq!((settled.counted, settled.output), (2, output), "{}", route.path);
        // 21 bytes of text and 4 of the role; 8 tokens are for the marks.
        assert_eq!(settled.input, 2 * (25_u64.div_ceil(4) + 8), "{}", route.path);
        assert_eq!(rig.balance(0), 100_000 - (settled.input + settled.output) as i64, "{}", route.path);
        assert_eq!(rig.simulator.ledger().without_usage, 2);
    }
}

// === errors of the provider ===

/// `error.type` in the client's format.
fn error_of(route: Route, answer: &Answer) -> String {
    let json = answer.json();
    assert_eq!(json.get("type").is_some(), !route.openai_client, "{}: {json}", route.path);
    json["error"]["type"].as_str().unwrap_or_else(|| panic!("{json}")).to_owned()
}

#[test]
fn errors_come_in_the_clients_format_and_cost_nothing() {
    // Fault, status and type for an OpenAI client, for an Anthropic client; of the translated routes.
    let rows = [
        (Fault::Status(400), (400, "invalid_request_error"), (400, "invalid_request_error")),
        (Fault::Status(401), (401, "invalid_request_error"), (401, "authentication_error")),
        (Fault::Status(429), (429, "rate_limit_error"), (429, "rate_limit_error")),
        (Fault::Status(500), (500, "server_error"), (500, "api_error")),
        (Fault::Status(503), (503, "server_error"), (503, "overloaded_error")),
        (Fault::Status(529), (503, "server_error"), (529, "overloaded_error")),
        (Fault::Html(502), (502, "server_error"), (502, "api_error")),
    ];
    for route in ROUTES {
        let limits = bucket(route.name, 100_000, 1, "1h", "tokens");
        let rig = Rig::start(script(route), &limits);
        let mut client = rig.client();
        for (fault, openai, anthropic) in rows {
            rig.simulator.set_script(Script { fault, ..script(route) });
            for streamed in [false, true] {
                let what = format!("{} {fault} streamed: {streamed}", route.path);
                let answer = client.ask(route.path, "", &route.body(MODEL, streamed));
                assert!(answer.complete, "{what}");
                assert_eq!(answer.header("retry-after").is_some(), retries(fault), "{what}");
                if route.is_native() {
                    let (Fault::Status(status) | Fault::Html(status)) = fault else { unreachable!() };
                    assert_eq!(answer.status, status, "{what}");
                    let html = matches!(fault, Fault::Html(_));
                    let media = if html { "text/html" } else { "application/json" };
                    assert_eq!(answer.header("content-type"), Some(media), "{what}");
                    assert!(!html || answer.text().contains("cloudflare"), "{what}: passed as it is");
                    continue;
                }
                let expected = if route.openai_client { openai } else { anthropic };
                assert_eq!((answer.status, error_of(route, &answer).as_str()), expected, "{what}");
                assert_eq!(answer.header("content-type"), Some("application/json"), "{what}");
            }
        }
        assert_eq!(rig.settled(), support::Settled::default(), "{}: nothing was generated", route.path);
        assert_eq!(rig.balance(0), 100_000, "{}", route.path);
        assert_eq!(rig.ended(Outcome::UpstreamFailed), 14, "{}", route.path);
        assert_eq!(rig.simulator.ledger().connections, 1, "an error is no reason to reconnect");
    }
}

fn retries(fault: Fault) -> bool {
    matches!(fault, Fault::Status(429 | 503 | 529))
}

#[test]
fn an_answer_that_is_no_json_passes_natively_and_is_a_502_where_it_must_be_translated() {
    for route in ROUTES {
        let rig = Rig::start(Script { fault: Fault::GarbageJson, ..script(route) }, "");
        let mut client = rig.client();
        let answer = client.ask(route.path, "", &route.body(MODEL, false));
        if route.is_native() {
            assert_eq!((answer.status, answer.complete), (200, true));
            assert!(answer.text().contains("<<<]"));
        } else {
            assert_eq!(answer.status, 502);
            let kind = if route.openai_client { "server_error" } else { "api_error" };
            assert_eq!(error_of(route, &answer), kind);
        }
        // The provider says that it worked, so the input counts as an estimate.
        let settled = rig.settled();
        assert_eq!((settled.counted, settled.output), (1, 0), "{}", route.path);
        rig.simulator.set_script(script(route));
        assert_eq!(client.ask(route.path, "", &route.body(MODEL, false)).status, 200, "and it goes on");
    }
}

#[test]
fn an_error_within_a_stream_reaches_the_client_in_its_format() {
    for route in ROUTES {
        let fault = Fault::StreamError(3);
        let rig = Rig::start(Script { fault, ..script(route) }, "");
        let mut client = rig.client();
        let answer = client.ask(route.path, "", &route.body(MODEL, true));
        assert_eq!((answer.status, answer.complete), (200, true), "{}", route.path);
        let said = route.read(&answer);
        let kinds: &[&str] =
            if route.openai_client { &["server_error"] } else { &["overloaded_error", "api_error"] };
        assert!(kinds.contains(&said.error.as_deref().unwrap_or("none")), "{}: {said:?}", route.path);
        assert!(!said.done, "{}: an error is no proper end", route.path);
        assert_eq!(rig.settled().counted, 1, "{}", route.path);
    }
}

// === refusals ===

/// The name of a limit's header, as the client's format has it.
fn limit_header(route: Route, what: &str, unit: &str) -> String {
    match route.openai_client {
        true => format!("x-ratelimit-{what}-{unit}"),
        false => format!("anthropic-ratelimit-{unit}-{what}"),
    }
}

#[test]
fn limits_are_told_in_the_clients_format_on_every_answer() {
    for route in ROUTES {
        let limits = bucket(route.name, 2, 1, "100s", "requests")
            + &bucket(route.name, 50_000, 1, "1h", "tokens").replace("-limit", "-tokens");
        let rig = Rig::start(script(route), &limits);
        let mut client = rig.client();
        for (left, streamed) in [("1", false), ("0", true)] {
            let answer = client.ask(route.path, "", &route.body(MODEL, streamed));
            assert_eq!(answer.status, 200, "{}", answer.text());
            let header = |what, unit| answer.header(&limit_header(route, what, unit));
            assert_eq!(header("limit", "requests"), Some("2"));
            assert_eq!(header("remaining", "requests"), Some(left));
            assert_eq!(header("limit", "tokens"), Some("50000"));
            let left: u64 = header("remaining", "tokens").expect("it").parse().expect("a number");
            assert!((40_000..50_000).contains(&left), "{left}");
        }
        rig.assert_ledgers_agree();
        assert_eq!(rig.balance(1), 50_000 - 2 * 1_077);
        let refused = client.ask(route.path, "", &route.body(MODEL, true));
        assert_eq!(refused.status, 429);
        let kind = if route.openai_client { "requests" } else { "rate_limit_error" };
        assert_eq!(error_of(route, &refused), kind);
        assert_eq!(refused.header(&limit_header(route, "remaining", "requests")), Some("0"));
        let seconds: u64 = refused.header("retry-after").expect("it").parse().expect("seconds");
        assert!((90..=100).contains(&seconds), "{seconds}");
        assert_eq!(rig.balance(1), 50_000 - 2 * 1_077, "a refused request takes from no account");
        assert_eq!(rig.ended(Outcome::Refused), 1);
        assert_eq!(rig.simulator.ledger().requests, 2, "it reached nobody");
    }
}

#[test]
fn requests_that_cannot_be_understood_are_refused_in_the_clients_format() {
    let no_json = r#"{"model":"m","messages":[}"#.to_owned();
    let rows = |good: &str| {
        [
            ("no JSON", no_json.clone(), 400, "at byte 25"),
            ("empty", String::new(), 400, "at byte 0"),
            ("a list", "[]".to_owned(), 400, "at byte 0"),
            ("cut", good[..good.len() - 1].to_owned(), 400, "at byte"),
            ("stream is text", with(good, r#""stream":"yes""#), 400, "stream"),
            ("a member twice", with(good, r#""model":"other""#), 400, "at byte"),
        ]
    };
    for route in ROUTES {
        let rig = Rig::start(Script::default(), &bucket(route.name, 5, 1, "1h", "requests"));
        for (what, body, status, words) in rows(&route.body(MODEL, false)) {
            let what = format!("{} {what}", route.path);
            let answer = rig.client().ask(route.path, "", &body);
            assert_eq!((answer.status, answer.complete), (status, true), "{what}");
            assert_eq!(error_of(route, &answer), "invalid_request_error", "{what}");
            let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
            assert!(message.contains(words), "{what}: {message}");
        }
        let mut client = rig.client();
        for method in ["GET", "DELETE"] {
            client.write(format!("{method} {} HTTP/1.1\r\nHost: gateway.test\r\n\r\n", route.path));
            let answer = client.answer();
            assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")), "{}", route.path);
            assert_eq!(error_of(route, &answer), "invalid_request_error", "{}", route.path);
        }
        assert_eq!(client.ask(route.path, "", &route.body(MODEL, false)).status, 200, "the connection lives");
        assert_eq!(rig.balance(0), 4, "nothing but the last was admitted");
        assert_eq!((rig.ended(Outcome::BadRequest), rig.simulator.ledger().requests), (8, 1));
    }
}

// === bodies ===

/// A request with `bytes` bytes of prompt.
fn large(route: Route, bytes: usize) -> String {
    route.body(MODEL, false).replace(USER_TEXT, &"x".repeat(bytes))
}

#[test]
fn a_prompt_of_20_mb_passes_whole() {
    let rig = Rig::start(Script::default(), "");
    for (route, bytes) in [(ROUTES[1], 20 << 20), (ROUTES[0], 4 << 20)] {
        let answer = rig.client().ask(route.path, "", &large(route, bytes));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let expected = reply_text(MODEL, &"x".repeat(bytes), number(&answer), &Script::default());
        assert_eq!(route.read(&answer).text, expected, "{}", route.path);
    }
    rig.assert_ledgers_agree();
}

#[test]
fn a_body_beyond_the_bound_is_refused_before_it_is_sent() {
    let rig = Rig::start(Script::default(), "");
    for route in ROUTES {
        let head =
            |headers: &str| format!("POST {} HTTP/1.1\r\nHost: gateway.test\r\n{headers}\r\n", route.path);
        let kind = if route.openai_client { "invalid_request_error" } else { "request_too_large" };

        let mut client = rig.client();
        client.write(head("Expect: 100-continue\r\nContent-Length: 34603008\r\n"));
        let answer = client.any_answer();
        assert_eq!((answer.status, error_of(route, &answer).as_str()), (413, kind), "before 100 Continue");
        assert_eq!(answer.header("connection"), Some("close"));

        let mut client = rig.client();
        client.write(head("Expect: 100-continue\r\nContent-Length: 90\r\n"));
        assert_eq!(client.any_answer().status, 100);
    }
    assert_eq!(rig.simulator.ledger().requests, 0);
}

#[test]
fn a_client_that_sends_33_mb_without_asking_still_reads_the_413() {
    let rig = Rig::start(Script::default(), "");
    let piece = vec![b' '; 1 << 20];
    for chunked in [false, true] {
        let mut client = rig.client();
        let framing = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 34603008" };
        client.write(format!("POST /messages HTTP/1.1\r\nHost: gateway.test\r\n{framing}\r\n\r\n"));
        for _ in 0..33 {
            if chunked {
                client.write("100000\r\n");
            }
            client.write(&piece);
            if chunked {
                client.write("\r\n");
            }
        }
        let answer = client.answer();
        assert_eq!((answer.status, answer.complete), (413, true), "chunked: {chunked}");
    }
}

#[test]
fn chunked_requests_arrive_whole_however_they_are_cut() {
    let rig = Rig::start(Script::default(), "");
    for route in ROUTES {
        let body = route.body(MODEL, false);
        let (one, two) = body.split_at(body.len() / 3);
        let chunks = format!(
            "{:x};ext=\"a;b\"\r\n{one}\r\n{:04X}\r\n{two}\r\n0\r\nX-Trailer: 1\r\n\r\n",
            one.len(),
            two.len()
        );
        let head = format!(
            "POST {} HTTP/1.1\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n",
            route.path
        );
        let request = head + &chunks;
        let mut client = rig.client();
        for size in [1, 2, 3, 7, 64, 1000] {
            request.as_bytes().chunks(size).for_each(|piece| client.write(piece));
            let answer = client.answer();
            assert_eq!(answer.status, 200, "{} in pieces of {size}: {}", route.path, answer.text());
        }
        // Five at once, in one write, are answered in order.
        client.write(request.repeat(5));
        let numbers: Vec<u64> = (0..5).map(|_| number(&client.answer())).collect();
        assert!(numbers.is_sorted(), "{numbers:?}");
        let seen = rig.simulator.requests().pop().expect("it came");
        assert_eq!(seen.header("transfer-encoding"), None, "sent on with its length");
        if route.is_native() {
            assert_eq!(seen.body, body.as_bytes());
        }
    }
    rig.assert_ledgers_agree();
}

// === secrets ===

#[test]
fn the_secret_is_in_no_answer_and_no_record() {
    let file = std::env::temp_dir().join(format!("tollgate-records-{}.jsonl", std::process::id()));
    let spec = format!("  records: {{to: {}}}\n  workers: {{cores: 1, pin: false}}", file.display());
    let wrong = Script { expected_key: Some("another".to_owned()), ..Script::default() };
    let rig = Rig::start_with(wrong.clone(), &support::manifests(""), &support::settings(&spec));
    let mut read = String::new();
    let mut look = |answer: Answer| {
        answer.headers.iter().for_each(|(name, value)| read += &format!("{name}: {value}\n"));
        read += &answer.text();
    };
    let faults = [Fault::None, Fault::Status(500), Fault::GarbageJson, Fault::NoAnswer(Default::default())];
    for route in ROUTES {
        rig.simulator.set_script(wrong.clone());
        look(rig.client().ask(route.path, "", &route.body(MODEL, false)));
        for fault in faults {
            rig.simulator.set_script(Script { fault, ..Script::default() });
            let mut client: Client = rig.client();
            look(client.ask(route.path, "Authorization: Bearer mine\r\n", &route.body(MODEL, false)));
            look(rig.client().ask(route.path, "", "{"));
        }
        let key = if route.openai_provider { "authorization" } else { "x-api-key" };
        let seen = rig.simulator.requests().pop().expect("it came");
        assert!(seen.header(key).is_some_and(|value| value.ends_with("sk-live-secret")), "{}", route.path);
    }
    rig.settled();
    drop(rig);
    let records = std::fs::read_to_string(&file).expect("records");
    std::fs::remove_file(&file).expect("it is ours");
    assert_eq!(records.lines().count(), 4 * 9);
    assert!(!read.contains("sk-live") && !records.contains("sk-live"));
}
