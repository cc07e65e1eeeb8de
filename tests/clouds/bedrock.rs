//! Amazon Bedrock: Converse for clients of three formats, signed, in frames. The simulator verifies every signature.

use super::*;
use serde_json::json;
use std::time::Duration;
use support::{API_MODEL, Answer, Route, USER_TEXT, Wire, limits, until, with};
use tollgate::telemetry::Outcome;
use tollgate_loadtest::{AWS_SECRET_KEY, Ending, Fault, Framing, reply_text};

const MODEL: &str = "eu.anthropic.claude-haiku-4-5-20251001-v1:0";
const PATH: &str = "/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0";

/// The routes of OpenAI's and Anthropic's clients to Bedrock.
fn routes() -> [Route; 2] {
    let paths = [(true, "/cloud/v1/chat/completions"), (false, "/cloud/v1/messages")];
    paths.map(|(openai_client, path)| Route { path, name: "cloud", openai_client, openai_provider: false })
}

fn secret(more: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: aws, namespace: llm}}\nstringData: {{accessKey: AKIASIM, \
         secretKey: {AWS_SECRET_KEY}{more}}}\n"
    )
}

/// What stands under `llm`, with more fields of `bedrock`.
fn llm(more: &str) -> String {
    let auth = "auth: {type: Secret, secretRef: {name: aws}}";
    format!("bedrock: {{{auth}, model: \"{MODEL}\", region: eu-west-1{more}}}")
}

fn start(script: Script, policies: &str) -> Rig {
    rig(script, &llm(""), &(secret("") + policies))
}

/// Tokens of every kind that Bedrock tells.
fn script() -> Script {
    Script { cache_write_tokens: 50, ..super::script() }
}

const USAGE: [u64; 5] = [1_000, 300, 50, 77, 0];

/// How a client of `route` asks for up to 4,000 tokens.
fn body(route: Route, streamed: bool) -> String {
    route.body("asked", streamed).replace(r#""max_tokens":100"#, r#""max_tokens":4000"#)
}

fn said_by(answer: &Answer, script: &Script) -> String {
    let number =
        answer.header("x-sim-request").expect("the provider's headers pass").parse().expect("a number");
    reply_text(MODEL, USER_TEXT, number, script)
}

#[test]
fn every_client_is_answered_whole_and_streamed_however_it_is_framed() {
    let rig = start(script(), "");
    let mut client = rig.client();
    let mut asked = 0;
    for framing in [Framing::Auto, Framing::ContentLength, Framing::Chunked, Framing::CloseDelimited] {
        let script = Script { framing, ..script() };
        rig.simulator.set_script(script.clone());
        for streamed in [false, true] {
            let verb = if streamed { "converse-stream" } else { "converse" };
            let accepts = if streamed { "application/vnd.amazon.eventstream" } else { "application/json" };
            let media = if streamed { "text/event-stream" } else { "application/json" };
            for route in routes() {
                let what = format!("{} {framing:?} streamed: {streamed}", route.path);
                let headers = "Accept: text/event-stream\r\nX-Amz-Date: never\r\nx-api-key: theirs\r\n";
                let answer = client.ask(route.path, headers, &body(route, streamed));
                assert_eq!((answer.status, answer.complete), (200, true), "{what}: {}", answer.text());
                let said = route.read(&answer);
                assert_eq!(said.text, said_by(&answer, &script), "{what}");
                assert_eq!((said.usage, said.model.as_str()), (Some(USAGE), "asked"), "{what}");
                assert_eq!(said.finish, if route.openai_client { "stop" } else { "end_turn" }, "{what}");
                assert_eq!((said.done, said.error), (streamed, None), "{what}");
                assert_eq!(answer.header("content-type"), Some(media), "{what}");
                let seen = seen(&rig);
                assert_eq!(seen.target, format!("{PATH}/{verb}"), "{what}");
                assert_eq!(seen.header("accept"), Some(accepts), "{what}");
                assert_eq!(seen.header("x-api-key"), None, "{what}");
                asked += 1;
            }
            let wire = Wire::Responses;
            let answer = client.ask("/cloud/v1/responses", "", &wire.body(streamed));
            assert_eq!((answer.status, answer.complete), (200, true), "{framing:?}: {}", answer.text());
            let heard = wire.read(&answer);
            assert_eq!((heard.text, heard.finish.as_str()), (said_by(&answer, &script), "completed"));
            assert_eq!((heard.usage, heard.model.as_str()), (Some([1_000, 300, 77, 0]), API_MODEL));
            asked += 1;
        }
    }
    let ledger = rig.assert_ledgers_agree();
    assert_eq!((ledger.requests, ledger.completed, ledger.refused), (asked, asked, 0));
    assert_eq!((rig.settled().counted, rig.ended(Outcome::Completed)), (0, asked));
}

#[test]
fn signatures_cover_temporary_credentials_and_a_wrong_key_is_refused_in_the_clients_words() {
    let rig = rig(script(), &llm(""), &secret(", sessionToken: \"FwoGZXIvYXdzEA==\""));
    for route in routes() {
        let answer = rig.client().ask(route.path, "X-Amz-Security-Token: theirs\r\n", &body(route, true));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let seen = seen(&rig);
        assert_eq!(seen.header("x-amz-security-token"), Some("FwoGZXIvYXdzEA=="));
        let signed = seen.header("authorization").expect("a signature");
        assert!(signed.contains("/eu-west-1/bedrock/aws4_request"), "{signed}");
        assert!(
            signed.contains("SignedHeaders=content-type;host;x-amz-date;x-amz-security-token"),
            "{signed}"
        );
        assert_eq!(seen.headers.iter().filter(|(name, _)| name.starts_with("x-amz")).count(), 2);
        // The clock of the signature is the wall's.
        let date = seen.header("x-amz-date").expect("a date");
        assert!(days().iter().any(|day| date.starts_with(day)), "{date}");
    }
    rig.simulator.set_script(Script { expected_key: Some("another".to_owned()), ..script() });
    for route in routes() {
        let answer = rig.client().ask(route.path, "", &body(route, false));
        let said = route.read(&answer);
        let kind = if route.openai_client { "invalid_request_error" } else { "permission_error" };
        assert_eq!((answer.status, said.error.as_deref()), (403, Some(kind)), "{}", answer.text());
        assert!(!answer.text().contains(AWS_SECRET_KEY));
    }
}

/// The days in UTC of a minute ago and of now: a test may run at midnight.
fn days() -> [String; 2] {
    let unix_ms = tollgate::runtime::clock::moment().unix_ms;
    [unix_ms - 60_000, unix_ms].map(|unix_ms| {
        let at = jiff::Timestamp::from_millisecond(unix_ms).expect("a time of this age");
        jiff::tz::Offset::UTC.to_datetime(at).strftime("%Y%m%d").to_string()
    })
}

#[test]
fn an_api_key_travels_as_a_bearer_and_nothing_is_signed() {
    let llm = format!(
        "bedrock: {{authToken: {{kind: SecretRef, secretRef: {{name: keys}}}}, model: \"{MODEL}\", region: eu-west-1}}"
    );
    let rig = rig(script(), &llm, "");
    let answer = rig.client().ask(routes()[0].path, "", &body(routes()[0], true));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = seen(&rig);
    assert_eq!(
        (seen.header("authorization"), seen.header("x-amz-date")),
        (Some("Bearer sk-live-secret"), None)
    );
}

#[test]
fn the_operators_guardrail_goes_before_the_clients() {
    let rig = rig(script(), &llm(", guardrail: {identifier: house, version: \"3\"}"), &secret(""));
    let expected = json!({"guardrailIdentifier": "house", "guardrailVersion": "3"});
    for theirs in ["", r#""guardrailConfig":{"guardrailIdentifier":"theirs","guardrailVersion":"1"}"#] {
        let asks = body(routes()[0], false);
        let asks = if theirs.is_empty() { asks } else { with(&asks, theirs) };
        let answer = rig.client().ask(routes()[0].path, "", &asks);
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(sent(&rig)["guardrailConfig"], expected);
    }
}

#[test]
fn calls_and_thoughts_come_through() {
    for route in routes() {
        for streamed in [false, true] {
            let what = format!("{} streamed: {streamed}", route.path);
            let rig = start(Script { thinking: true, ..script() }, "");
            let said = route.read(&rig.client().ask(route.path, "", &body(route, streamed)));
            assert_eq!(
                (said.thinking.as_str(), said.usage),
                ("The user asks; I answer.", Some(USAGE)),
                "{what}"
            );

            rig.simulator.set_script(Script { tool_call: Some("get_weather".to_owned()), ..script() });
            let tools = match route.openai_client {
                true => {
                    r#""tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}]"#
                }
                false => r#""tools":[{"name":"get_weather","input_schema":{"type":"object"}}]"#,
            };
            let said = route.read(&rig.client().ask(route.path, "", &with(&body(route, streamed), tools)));
            assert_eq!(said.tool.0, "get_weather", "{what}");
            let arguments: Value = serde_json::from_str(&said.tool.1).expect("JSON arguments");
            assert_eq!((&arguments["model"], &arguments["k3"]), (&MODEL.into(), &3.into()), "{what}");
            assert_eq!(said.finish, if route.openai_client { "tool_calls" } else { "tool_use" }, "{what}");
            assert_eq!(sent(&rig)["toolConfig"]["tools"][0]["toolSpec"]["name"], "get_weather", "{what}");
            rig.assert_ledgers_agree();
        }
    }
}

#[test]
fn frames_are_read_wherever_their_bytes_are_cut() {
    for bytes in [1, 7, 100] {
        let script = Script { fault: Fault::SlowBody { bytes, gap: Duration::ZERO }, ..script() };
        let rig = start(script.clone(), "");
        for route in routes() {
            let answer = rig.client().ask(route.path, "", &body(route, true));
            let said = route.read(&answer);
            assert_eq!((said.text, said.usage), (said_by(&answer, &script), Some(USAGE)), "{bytes}");
            assert!(said.done && answer.complete, "{bytes}");
        }
        rig.assert_ledgers_agree();
    }
}

// === what goes wrong ===

#[test]
fn errors_come_in_the_clients_format_and_cost_nothing() {
    let bucket = "{name: t, unit: tokens, rate: 1/hour, burst: 100000}";
    let rig = start(script(), &limits("cloud", &[bucket]));
    for (status, openai, anthropic) in [
        (400, "invalid_request_error", "invalid_request_error"),
        (429, "rate_limit_error", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (503, "server_error", "overloaded_error"),
    ] {
        rig.simulator.set_script(Script { fault: Fault::Status(status), ..script() });
        for route in routes() {
            for streamed in [false, true] {
                let answer = rig.client().ask(route.path, "", &body(route, streamed));
                let kind = if route.openai_client { openai } else { anthropic };
                assert_eq!(
                    (answer.status, answer.header("content-type")),
                    (status, Some("application/json"))
                );
                assert_eq!(answer.json()["error"]["type"], kind, "{}", answer.text());
                assert_eq!(answer.header("retry-after").is_some(), [429, 503].contains(&status));
            }
        }
    }
    assert_eq!((rig.settled(), rig.balance(0)), (support::Settled::default(), 100_000));
}

#[test]
fn an_exception_within_a_stream_ends_it_with_the_error_of_the_clients_format() {
    for route in routes() {
        let rig = start(Script { fault: Fault::StreamError(3), ..script() }, "");
        let answer = rig.client().ask(route.path, "", &body(route, true));
        let said = route.read(&answer);
        assert_eq!(said.error.as_deref(), Some("rate_limit_error"), "{}: {}", route.path, answer.text());
        assert!(answer.complete && !said.done && !said.text.is_empty(), "{}", route.path);
        // What had passed is paid for.
        let settled = rig.settled();
        assert_eq!(
            (settled.counted, settled.output),
            (1, (said.text.len() as u64).div_ceil(4)),
            "{}",
            route.path
        );
    }
}

#[test]
fn a_stream_that_breaks_off_says_so_and_is_paid_for_what_came() {
    for route in routes() {
        for ending in [Ending::Fin, Ending::Rst] {
            for fault in [Fault::CutAfterChunks(4, ending), Fault::Truncate(ending)] {
                let rig = start(Script { fault, chunks: 20, ..script() }, "");
                let answer = rig.client().ask(route.path, "", &body(route, true));
                let said = route.read(&answer);
                assert!(
                    said.error.is_some() && !said.done && !said.text.is_empty(),
                    "{fault}: {}",
                    answer.text()
                );
                let settled = rig.settled();
                assert_eq!((settled.counted, rig.ended(Outcome::UpstreamCut)), (1, 1), "{fault}");
                // Of a frame that came in part, the text that came is counted too.
                let passed = (said.text.len() as u64).div_ceil(4);
                assert!((passed..passed + 4).contains(&settled.output), "{fault}: {settled:?} {passed}");
            }
        }
    }
}

#[test]
fn a_client_that_leaves_stops_the_provider_and_pays_for_what_passed() {
    for route in routes() {
        let script = Script { chunks: 200, chunk_gap: Duration::from_millis(5), ..script() };
        let rig = start(script, "");
        let mut client = rig.client();
        client.post(route.path, "", &body(route, true));
        support::read_to(&mut client, " 3x");
        drop(client);
        until("the provider saw it", || rig.simulator.ledger().client_gone == 1);
        let settled = rig.settled();
        assert_eq!((settled.counted, rig.ended(Outcome::ClientGone)), (1, 1), "{}", route.path);
        assert!(settled.output > 0 && settled.output < 200, "{}: {settled:?}", route.path);
    }
}

#[test]
fn usage_that_never_comes_is_counted_from_the_bytes() {
    let rig = start(Script { fault: Fault::NoUsage, ..script() }, "");
    let mut output = 0;
    for (route, streamed) in routes().into_iter().flat_map(|route| [(route, false), (route, true)]) {
        let answer = rig.client().ask(route.path, "", &body(route, streamed));
        assert_eq!((answer.status, answer.complete), (200, true));
        output += (route.read(&answer).text.len() as u64).div_ceil(4);
    }
    assert_eq!((rig.settled().counted, rig.settled().output), (4, output));
}

#[test]
fn a_limit_refuses_and_cuts_streams_of_frames_as_it_does_others() {
    let long = Script {
        input_tokens: Count::Fixed(10),
        cached_input_tokens: 0,
        cache_write_tokens: 0,
        output_tokens: 20_000,
        chunks: 2_000,
        chunk_bytes: 40,
        chunk_gap: Duration::from_millis(1),
        ..script()
    };
    for route in routes() {
        let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}";
        let rig = start(long.clone(), &limits("cloud", &[limit]));
        rig.assert_cut(route, &rig.client().ask(route.path, "", &body(route, true)), 800);
        assert_eq!(rig.client().ask(route.path, "", &body(route, true)).status, 429);
    }
}

#[test]
fn bedrock_stands_in_for_another_provider_that_fails_and_signs_for_itself() {
    let groups = format!(
        "priorityGroups: [{{providers: [{{name: first, openai: {{authToken: {{kind: SecretRef, secretRef: {{name: keys}}}}}}, \
         host: plain.example, port: 80}}]}}, {{providers: [{{name: second, {}}}]}}]",
        llm("")
    );
    let text = backend("x: {}").replace("llm: {x: {}}", &groups) + &secret("");
    let quiet = settings("  records: {to: none}\n  workers: {cores: 1, pin: false}");
    // The first request of the simulator fails: that to OpenAI.
    let script = Script { fault: Fault::Status(503), fault_times: 1, ..script() };
    let rig = Rig::start_with(script, &manifests(&text), &quiet);
    let route = routes()[0];
    let said = route.read(&rig.client().ask(route.path, "", &body(route, true)));
    assert_eq!((said.usage, said.done), (Some(USAGE), true));
    assert_eq!(seen(&rig).target, format!("{PATH}/converse-stream"));
    rig.assert_ledgers_agree();
}
