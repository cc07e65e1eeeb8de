//! What clients and providers say to each other through the gateway, in all four pairings of formats: answers
//! whole and streamed, usage in every form, errors, refusals, bodies.

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
            assert!(!route.openai_client || !answer.text().contains("\"usage\""), "{what}: {}", answer.text());
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
