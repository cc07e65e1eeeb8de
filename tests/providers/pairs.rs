//! Every pair of a client's format and a provider that is served, over sockets: what is said arrives in the client's
//! words, whole and streamed, and the books agree to the token. What a translation loses is counted, or refused where
//! the route is strict.

use crate::support;
use crate::support::{
    API_MODEL, Answer, CLOUD_MODELS, ROUTES, Rig, Route, USER_TEXT, Wire, apis, clouds, limits, settings,
};
use serde_json::json;
use tollgate::llm::translate;
use tollgate::telemetry::counters::LOSSES;
use tollgate_loadtest::{Count, Script, reply_text};

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Client {
    Chat,
    Messages,
    Responses,
    Gemini,
}

const CLIENTS: [Client; 4] = [Client::Chat, Client::Messages, Client::Responses, Client::Gemini];

/// The prefixes of the routes to providers, with their names for policies.
const PROVIDERS: [(&str, &str); 7] =
    [("/oa", "oa"), ("/an", "an"), ("/ge", "ge"), ("/br", "br"), ("/vc", "vc"), ("/vg", "vg"), ("/az", "az")];

/// The model that answers there: that of the Backend, else the client's.
fn model(prefix: &str) -> &'static str {
    let own = CLOUD_MODELS.into_iter().find(|(name, _)| prefix.strip_prefix('/') == Some(name));
    own.map_or(API_MODEL, |(_, model)| model)
}

/// What an answer says.
#[derive(Debug, PartialEq, Eq)]
struct Heard {
    text: String,
    thinking: String,
    call: (String, String),
    /// Input, output.
    usage: Option<(u64, u64)>,
}

impl Client {
    /// The route of the usual rig that speaks the same format; its answers are read the same way.
    fn route(self) -> Route {
        if self == Client::Messages { ROUTES[1] } else { ROUTES[2] }
    }

    fn wire(self) -> Option<Wire> {
        match self {
            Client::Chat | Client::Messages => None,
            Client::Responses => Some(Wire::Responses),
            Client::Gemini => Some(Wire::Gemini),
        }
    }

    fn path(self, prefix: &str, streamed: bool) -> String {
        match self.wire() {
            // Behind the prefix of the provider that its own format belongs to.
            Some(wire) => format!("{prefix}{}", wire.path(streamed).split_at(3).1),
            None if self == Client::Chat => format!("{prefix}/v1/chat/completions"),
            None => format!("{prefix}/v1/messages"),
        }
    }

    fn body(self, streamed: bool) -> String {
        self.wire().map_or_else(|| self.route().body(API_MODEL, streamed), |wire| wire.body(streamed))
    }

    fn read(self, answer: &Answer) -> Heard {
        let arguments = |text: &str| serde_json::from_str(text).unwrap_or(json!(text)).to_string();
        match self.wire() {
            Some(wire) => {
                let support::Heard { text, thinking, call, usage, error, .. } = wire.read(answer);
                assert!(!error, "{}", answer.text());
                let usage = usage.map(|[input, _, output, _]| (input, output));
                Heard { text, thinking, call: (call.0, arguments(&call.1)), usage }
            }
            None => {
                let support::Said { text, thinking, tool, usage, error, .. } = self.route().read(answer);
                assert_eq!(error, None, "{}", answer.text());
                let usage = usage.map(|[input, _, _, output, _]| (input, output));
                Heard { text, thinking, call: (tool.0, arguments(&tool.1)), usage }
            }
        }
    }
}

fn rig(script: Script, policies: &str) -> Rig {
    let quiet = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n  timeouts: {drain: 2s}";
    Rig::start_with(script, &apis(&(clouds() + policies)), &settings(quiet))
}

fn every_pair() -> impl Iterator<Item = (Client, &'static str, bool)> {
    let pairs = CLIENTS.into_iter().flat_map(|client| PROVIDERS.map(|(prefix, _)| (client, prefix)));
    pairs.flat_map(|(client, prefix)| [false, true].map(|streamed| (client, prefix, streamed)))
}

#[test]
fn what_a_provider_says_arrives_in_the_clients_words() {
    let script = Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() };
    let rig = rig(script.clone(), "");
    for (number, (client, prefix, streamed)) in (1..).zip(every_pair()) {
        let answer = rig.client().ask(&client.path(prefix, streamed), "", &client.body(streamed));
        let at = format!("{client:?} {prefix} streamed: {streamed}: {}", answer.text());
        assert_eq!(answer.status, 200, "{at}");
        let heard = client.read(&answer);
        assert_eq!(heard.text, reply_text(model(prefix), USER_TEXT, number, &script), "{at}");
        assert_eq!(heard.usage, Some((1_000, 100)), "{at}");
        let media = answer.header("content-type").unwrap_or_default();
        assert_eq!(media.starts_with("text/event-stream"), streamed, "{at}");
    }
    assert_eq!(rig.assert_ledgers_agree().reported.input, 56_000);
}

#[test]
fn calls_of_tools_and_thoughts_arrive_in_the_clients_words() {
    let plain = Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() };
    let rig = rig(plain.clone(), "");
    for (client, prefix, streamed) in every_pair() {
        let ask = || rig.client().ask(&client.path(prefix, streamed), "", &client.body(streamed));
        rig.simulator.set_script(Script { tool_call: Some("get_weather".into()), ..plain.clone() });
        let answer = ask();
        let at = format!("{client:?} {prefix} streamed: {streamed}: {}", answer.text());
        let heard = client.read(&answer);
        assert_eq!(heard.call.0, "get_weather", "{at}");
        let arguments: serde_json::Value = serde_json::from_str(&heard.call.1).expect("JSON");
        assert!(arguments.as_object().is_some_and(|arguments| !arguments.is_empty()), "{at}");

        rig.simulator.set_script(Script { thinking: true, ..plain.clone() });
        let answer = ask();
        let at = format!("{client:?} {prefix} streamed: {streamed}: {}", answer.text());
        let heard = client.read(&answer);
        assert!(!heard.thinking.is_empty() && !heard.text.is_empty(), "{at}");
        assert_eq!(heard.usage, Some((1_000, 100)), "{at}");
    }
    rig.assert_ledgers_agree();
}

#[test]
fn streams_are_read_wherever_their_bytes_are_cut() {
    let plain = Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() };
    let gap = std::time::Duration::ZERO;
    let scripts = [(1, plain.clone()), (7, Script { thinking: true, ..plain })]
        .map(|(bytes, script)| Script { fault: tollgate_loadtest::Fault::SlowBody { bytes, gap }, ..script });
    let rig = rig(scripts[0].clone(), "");
    for script in scripts {
        rig.simulator.set_script(script.clone());
        for (client, prefix, _) in every_pair().filter(|(_, _, streamed)| *streamed) {
            let answer = rig.client().ask(&client.path(prefix, true), "", &client.body(true));
            let at = format!("{client:?} {prefix}: {}", answer.text());
            let number = answer.header("x-sim-request").and_then(|number| number.parse().ok()).expect(&at);
            let heard = client.read(&answer);
            assert_eq!(heard.text, reply_text(model(prefix), USER_TEXT, number, &script), "{at}");
            assert_eq!(
                (heard.usage, heard.thinking.is_empty()),
                (Some((1_000, 100)), !script.thinking),
                "{at}"
            );
        }
    }
    rig.assert_ledgers_agree();
}

#[test]
fn errors_of_providers_arrive_in_the_clients_shape() {
    let script = Script { fault: tollgate_loadtest::Fault::Status(429), ..Script::default() };
    let rig = rig(script, "");
    for (client, prefix, streamed) in every_pair() {
        let answer = rig.client().ask(&client.path(prefix, streamed), "", &client.body(streamed));
        let at = format!("{client:?} {prefix} streamed: {streamed}: {}", answer.text());
        assert_eq!(answer.status, 429, "{at}");
        let (error, kind) = (&answer.json()["error"], answer.json()["type"].clone());
        match client {
            Client::Chat | Client::Responses => assert!(error["type"].is_string(), "{at}"),
            Client::Messages => {
                assert_eq!((kind, &error["type"]), (json!("error"), &json!("rate_limit_error")), "{at}")
            }
            Client::Gemini => assert_eq!(error["status"], "RESOURCE_EXHAUSTED", "{at}"),
        }
    }
    assert_eq!(rig.settled().input, 0);
}

#[test]
fn a_client_that_leaves_any_stream_pays_for_what_passed() {
    let script = Script {
        input_tokens: Count::Fixed(50),
        output_tokens: 400,
        chunks: 400,
        chunk_gap: std::time::Duration::from_millis(5),
        ..Script::default()
    };
    for client in CLIENTS {
        for (prefix, _) in PROVIDERS {
            let rig = rig(script.clone(), "");
            let mut gone = rig.client();
            gone.post(&client.path(prefix, true), "", &client.body(true));
            support::read_to(&mut gone, "data:");
            support::read_to(&mut gone, "data:");
            drop(gone);
            let settled = rig.settled();
            let at = format!("{client:?} {prefix}: {settled:?}");
            assert!(settled.counted == 1 && settled.input > 0 && settled.output < 400, "{at}");
            support::until("the provider noticed", || rig.simulator.ledger().client_gone == 1);
        }
    }
}

#[test]
fn a_stream_that_a_limit_cuts_ends_as_the_clients_format_says() {
    let script = Script {
        input_tokens: Count::Fixed(10),
        output_tokens: 20_000,
        chunks: 2_000,
        chunk_bytes: 40,
        ..Script::default()
    };
    for client in CLIENTS {
        for (prefix, name) in PROVIDERS {
            let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}";
            let rig = rig(script.clone(), &limits(name, &[limit]));
            let answer = rig.client().ask(&client.path(prefix, true), "", &client.body(true));
            let text = answer.text();
            let end = match client {
                Client::Chat => r#""finish_reason":"length""#,
                Client::Messages => r#""stop_reason":"max_tokens""#,
                Client::Responses => r#""reason":"max_output_tokens""#,
                Client::Gemini => r#""finishReason":"MAX_TOKENS""#,
            };
            let tail = &text[text.len().saturating_sub(1_500)..];
            assert!(text.contains(end), "{client:?} {prefix}: ...{tail}");
            assert_eq!(rig.ended(tollgate::telemetry::Outcome::LimitCut), 1, "{client:?} {prefix}");
            assert!((500..1_200).contains(&rig.settled().output), "{client:?} {prefix}");
        }
    }
}

#[test]
fn tokens_are_counted_in_the_clients_words_and_cost_none() {
    let rig = rig(Script { input_tokens: Count::Fixed(1_000), ..Script::default() }, "");
    let messages = json!({
        "model": API_MODEL, "system": "Be brief.", "messages": [{"role": "user", "content": USER_TEXT}],
        "tools": [{"name": "f", "input_schema": {"type": "object"}}], "tool_choice": {"type": "auto"},
    });
    let contents = json!({"contents": [{"parts": [{"text": USER_TEXT}]}]});
    let whole = json!({"generateContentRequest": {
        "model": "models/x", "contents": contents["contents"], "generationConfig": {"temperature": 1, "maxOutputTokens": 9},
    }});
    let google = format!("/v1beta/models/{API_MODEL}:countTokens");
    let rows = [
        ("/v1/messages/count_tokens", messages, "/input_tokens"),
        (google.as_str(), contents, "/totalTokens"),
        (google.as_str(), whole, "/totalTokens"),
    ];
    // Where they are counted; nobody else can be asked.
    let targets = [
        ("/an", "/v1/messages/count_tokens".to_owned()),
        ("/ge", format!("/v1beta/models/{API_MODEL}:countTokens")),
        ("/br", "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/count-tokens".to_owned()),
        (
            "/vc",
            "/v1/projects/house-1/locations/europe-west1/publishers/anthropic/models/count-tokens:rawPredict".to_owned(),
        ),
        (
            "/vg",
            "/v1/projects/house-1/locations/europe-west1/publishers/google/models/gemini-2.5-flash:countTokens".to_owned(),
        ),
    ];
    for (path, body, pointer) in &rows {
        for (prefix, target) in &targets {
            let answer = rig.client().ask(&format!("{prefix}{path}"), "", &body.to_string());
            let at = format!("{prefix}{path}: {}", answer.text());
            assert_eq!((answer.status, answer.json().pointer(pointer)), (200, Some(&json!(1_000))), "{at}");
            let seen = rig.simulator.requests().pop().expect("it came");
            assert_eq!(&seen.target, target, "{at}");
        }
        for prefix in ["/oa", "/az"] {
            assert_eq!(rig.client().ask(&format!("{prefix}{path}"), "", &body.to_string()).status, 501);
        }
    }
    assert_eq!(rig.settled(), support::Settled::default());
    rig.simulator.set_script(Script { fault: tollgate_loadtest::Fault::Status(429), ..Script::default() });
    for (path, body, pointer) in [
        (rows[0].0, &rows[0].1, ("/error/type", "rate_limit_error")),
        (rows[1].0, &rows[1].1, ("/error/status", "RESOURCE_EXHAUSTED")),
    ] {
        for (prefix, _) in &targets {
            let answer = rig.client().ask(&format!("{prefix}{path}"), "", &body.to_string());
            let told = answer.json().pointer(pointer.0).cloned();
            assert_eq!((answer.status, told), (429, Some(pointer.1.into())), "{prefix}{path}");
        }
    }
}

#[test]
fn models_are_listed_in_the_clients_words() {
    let rig = rig(Script::default(), "");
    let rows = [
        ("/v1/models", "", "/data/1/id", "/id", "sim-small"),
        ("/v1/models", "anthropic-version: 2023-06-01\r\n", "/data/1/id", "/id", "sim-small"),
        ("/v1beta/models", "", "/models/1/name", "/name", "models/sim-small"),
        ("/v1/models", "x-goog-api-key: AIza\r\n", "/models/1/name", "/name", "models/sim-small"),
    ];
    for (path, headers, in_list, alone, expected) in rows {
        for (prefix, page) in [("/oa", ""), ("/an", "?limit=1000"), ("/ge", "?pageSize=1000"), ("/az", "")] {
            let ask = |path: &str| {
                let mut client = rig.client();
                client.write(format!("GET {prefix}{path} HTTP/1.1\r\nHost: gateway.test\r\n{headers}\r\n"));
                let answer = client.answer();
                let at = format!("{prefix}{path} {headers}: {} {}", answer.status, answer.text());
                (answer, rig.simulator.requests().pop().expect("it came").target, at)
            };
            let (answer, target, at) = ask(path);
            assert_eq!(answer.json().pointer(in_list), Some(&json!(expected)), "{at}");
            // The client's own list goes as it is asked for.
            assert!(
                target.ends_with("/models") || target.ends_with(&format!("/models{page}")),
                "{at}: {target}"
            );
            let (answer, target, at) = ask(&format!("{path}/sim-small"));
            assert_eq!(answer.json().pointer(alone), Some(&json!(expected)), "{at}");
            assert!(target.ends_with("/models/sim-small"), "{at}: {target}");
            let (answer, _, at) = ask(&format!("{path}/nobody"));
            assert!(answer.status == 404 && answer.json()["error"]["message"].is_string(), "{at}");
        }
    }
    assert_eq!(rig.settled(), support::Settled::default());
}

#[test]
fn what_cannot_be_said_is_counted_and_refused_on_a_strict_route() {
    let names: Vec<&str> = translate::LOSSES.into_iter().chain(["other"]).collect();
    assert_eq!(names, LOSSES, "every loss has a label of its own");
    let body = json!({
        "model": API_MODEL, "seed": 7, "logit_bias": {"1": 2}, "messages": [{"role": "user", "content": USER_TEXT}],
    });
    let strict = apis("").replace(
        "metadata: {name: an, namespace: llm}",
        "metadata: {name: an, namespace: llm, annotations: {tollgate.dev/translation: strict}}",
    );
    let quiet = settings("  records: {to: none}\n  workers: {cores: 2, pin: false}");
    for (manifests, status, requests) in [(apis(""), 200, 1), (strict, 400, 0)] {
        let rig = Rig::start_with(Script::default(), &manifests, &quiet);
        let answer = rig.client().ask("/an/v1/chat/completions", "", &body.to_string());
        assert_eq!((answer.status, rig.simulator.ledger().requests), (status, requests), "{}", answer.text());
        if status == 400 {
            assert!(answer.text().contains("logit_bias, seed"), "{}", answer.text());
        }
        rig.settled();
        let counted = LOSSES.into_iter().zip(rig.totals().lost.0).filter(|(_, count)| *count > 0);
        assert_eq!(counted.collect::<Vec<_>>(), [("logit_bias", 1), ("seed", 1)]);
    }
}
