//! A Backend of several providers, and retries: who is asked, in what order, what of it the client sees, and that the
//! books are right whatever happens on the way.

mod support;

use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::{Client, Rig, Settled, chat, limits, message, provider, read_request, settings};
use tollgate_loadtest::{Count, Fault, Script, Simulator};

/// A provider of a Backend, as YAML has it.
fn openai(name: &str, at: SocketAddr) -> String {
    let token = "authToken: {kind: Inline, inline: sk-live-secret}";
    format!("{{name: {name}, openai: {{{token}}}, host: {}, port: {}}}", at.ip(), at.port())
}

fn anthropic(name: &str, at: SocketAddr) -> String {
    let token = "authToken: {kind: Inline, inline: sk-live-secret}, model: claude-x";
    format!("{{name: {name}, anthropic: {{{token}}}, host: {}, port: {}}}", at.ip(), at.port())
}

/// A gateway whose route `chat` leads to a Backend of these groups; `retry` is the rule's.
fn rig(groups: &[&[String]], retry: &str, policies: &str) -> Rig {
    let groups: String =
        groups.iter().map(|group| format!("    - providers: [{}]\n", group.join(", "))).collect();
    let retry = if retry.is_empty() { String::new() } else { format!("    retry: {retry}\n") };
    let manifests = format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: llm}}\nspec:\n  \
         gatewayClassName: agentgateway\n  listeners: [{{name: http, protocol: HTTP, port: 8080}}]\n\
         ---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: models, namespace: llm}}\nspec:\n  \
         type: AI\n  ai:\n    priorityGroups:\n{groups}\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: chat, namespace: llm}}\n\
         spec:\n  parentRefs: [{{name: edge}}]\n  rules:\n  - backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, \
         name: models}}]\n{retry}{policies}"
    );
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s, firstByte: 1s}\n  \
                upstream: {ejection: {failures: 2, first: 60s}}";
    Rig::start_with(Script::default(), &manifests, &settings(spec))
}

fn well() -> Simulator {
    let script = Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() };
    Simulator::start(script).expect("the simulator starts")
}

fn failing(fault: Fault) -> Simulator {
    Simulator::start(Script { fault, retry_after: None, ..Script::default() }).expect("the simulator starts")
}

/// An address at which nobody listens.
fn nobody() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address")
}

fn ask(rig: &Rig) -> support::Answer {
    rig.client().ask("/v1/chat/completions", "", &chat("gpt-x", false))
}

const REPORTED: Settled =
    Settled { input: 1_000, cached_input: 0, cache_write: 0, output: 100, reasoning: 0, counted: 0 };

fn times(n: u64) -> Settled {
    Settled { input: n * REPORTED.input, output: n * REPORTED.output, ..REPORTED }
}

#[test]
fn the_next_group_answers_when_a_provider_refuses_whole_and_streamed() {
    for status in [429, 500, 502, 503, 529] {
        let (bad, good) = (failing(Fault::Status(status)), well());
        let rig = rig(&[&[openai("a", bad.addr())], &[openai("b", good.addr())]], "", "");
        assert_eq!(ask(&rig).status, 200, "{status}");
        let streamed = rig.client().ask("/v1/chat/completions", "", &chat("gpt-x", true));
        assert!(streamed.text().ends_with("data: [DONE]\n\n"), "{status}");
        assert_eq!(rig.settled(), times(2), "{status}");
        let asked = bad.ledger().requests;
        assert!(if status == 429 { asked == 1 } else { asked == 2 }, "{status}: asked {asked} times");
    }
}

#[test]
fn an_answer_that_blames_the_client_is_final() {
    for status in [400, 401, 403, 404, 413, 422] {
        let (bad, good) = (failing(Fault::Status(status)), well());
        let rig = rig(&[&[openai("a", bad.addr())], &[openai("b", good.addr())]], "{codes: [500]}", "");
        assert_eq!(ask(&rig).status, status);
        assert_eq!((good.ledger().requests, rig.settled()), (0, times(0)));
    }
}

#[test]
fn a_provider_that_cannot_be_reached_or_breaks_off_before_it_has_all_is_passed_over() {
    let good = well();
    let rig = rig(&[&[openai("a", nobody())], &[openai("b", good.addr())]], "", "");
    for _ in 0..3 {
        assert_eq!(ask(&rig).status, 200);
    }
    assert_eq!(rig.settled(), times(3));
}

#[test]
fn a_provider_that_failed_often_is_left_alone_and_comes_back_last() {
    let (bad, good) = (failing(Fault::Status(500)), well());
    let rig = rig(&[&[openai("a", bad.addr())], &[openai("b", good.addr())]], "", "");
    for _ in 0..5 {
        assert_eq!(ask(&rig).status, 200);
    }
    assert_eq!((bad.ledger().requests, rig.settled()), (2, times(5)), "two failures eject");
}

#[test]
fn when_all_refuse_the_client_gets_the_last_ones_word() {
    let (one, other) = (failing(Fault::Status(503)), failing(Fault::Status(429)));
    let rig = rig(&[&[openai("a", one.addr())], &[openai("b", other.addr())]], "", "");
    assert_eq!(ask(&rig).status, 429);
    assert_eq!(rig.settled(), times(0));
    // Both are known to be unwell by now; they are asked all the same.
    assert!(matches!(ask(&rig).status, 429 | 503));
}

#[test]
fn a_translated_request_is_sent_on_to_a_provider_of_another_format() {
    let (bad, good) = (failing(Fault::Status(529)), well());
    for (path, body) in
        [("/v1/chat/completions", chat("gpt-x", false)), ("/v1/messages", message("gpt-x", false))]
    {
        for groups in [
            [anthropic("a", bad.addr()), openai("b", good.addr())],
            [openai("a", bad.addr()), anthropic("b", good.addr())],
        ] {
            let before = good.ledger().requests;
            let rig = rig(&[&groups[..1], &groups[1..]], "", "");
            let answer = rig.client().ask(path, "", &body);
            assert_eq!(answer.status, 200, "{path} {groups:?}: {}", answer.text());
            assert_eq!((good.ledger().requests - before, rig.settled()), (1, REPORTED), "{path} {groups:?}");
            support::assert_clean(&good.ledger());
        }
    }
}

#[test]
fn limits_are_charged_once_however_many_attempts_there_were() {
    let (bad, good) = (failing(Fault::Status(500)), well());
    let list =
        ["{name: r, unit: requests, rate: 9/hour}", "{name: t, unit: tokens, rate: 1/hour, burst: 5000}"];
    let rig = rig(&[&[openai("a", bad.addr())], &[openai("b", good.addr())]], "", &limits("chat", &list));
    assert_eq!(ask(&rig).status, 200);
    assert_eq!(rig.settled(), REPORTED);
    assert_eq!((rig.balance(0), rig.balance(1)), (8, 3_900));
}

#[test]
fn a_stream_that_breaks_off_is_not_begun_again() {
    let broken = Fault::CutAfterChunks(2, tollgate_loadtest::Ending::Fin);
    let (bad, good) = (failing(broken), well());
    let rig =
        rig(&[&[openai("a", bad.addr())], &[openai("b", good.addr())]], "{attempts: 3, codes: [500]}", "");
    let mut client = rig.client();
    client.post("/v1/chat/completions", "", &chat("gpt-x", true));
    assert!(client.try_answer().is_none_or(|answer| !answer.text().contains("[DONE]")));
    rig.settled();
    assert_eq!((bad.ledger().requests, good.ledger().requests), (1, 0));
}

/// A provider that treats its first connections as `first` does, and later ones well.
fn recovering(
    failures: usize,
    first: impl Fn(&mut TcpStream) + Send + Sync + 'static,
) -> (SocketAddr, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = asked.clone();
    let body = r#"{"id":"c","object":"chat.completion","created":1,"model":"gpt-x","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1000,"completion_tokens":100,"total_tokens":1100}}"#;
    let address = provider(move |_, mut stream| {
        while read_request(&mut stream).is_some() {
            if count.fetch_add(1, Ordering::Relaxed) < failures {
                return first(&mut stream);
            }
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes());
        }
    });
    (address, asked)
}

fn unavailable(stream: &mut TcpStream) {
    let _ = stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn a_rule_may_have_one_provider_asked_again() {
    // How often it fails, the rule's word on it, what the client gets, how often it is asked.
    for (failures, retry, status, asked) in [
        (1, "", 503, 1),
        (1, "{codes: [500]}", 503, 1),
        (1, "{codes: [503]}", 200, 2),
        (3, "{codes: [503], attempts: 2, backoff: 5ms}", 503, 3),
        (2, "{codes: [500, 503], attempts: 2, backoff: 5ms}", 200, 3),
    ] {
        let (at, count) = recovering(failures, unavailable);
        let rig = rig(&[&[openai("a", at)]], retry, "");
        assert_eq!(ask(&rig).status, status, "{failures} {retry}");
        assert_eq!(rig.settled(), times(u64::from(status == 200)), "{failures} {retry}");
        assert_eq!(count.load(Ordering::Relaxed), asked, "{failures} {retry}");
        assert_eq!(rig.count(|c| c.retries.get()), asked as u64 - 1, "{failures} {retry}");
    }
}

#[test]
fn an_attempt_that_broke_off_unanswered_is_made_again_only_by_order_and_its_input_is_charged() {
    for (retry, status, asked) in [("", 502, 1), ("{attempts: 1}", 200, 2)] {
        let (at, count) = recovering(1, |_| {});
        let rig = rig(&[&[openai("a", at)]], retry, "");
        assert_eq!(ask(&rig).status, status, "{retry}");
        assert_eq!(count.load(Ordering::Relaxed), asked, "{retry}");
        let settled = rig.settled();
        let given_up = settled.input - times(u64::from(status == 200)).input;
        assert!((1..100).contains(&given_up) && settled.counted == 1, "{retry}: {settled:?}");
    }
}

#[test]
fn a_provider_that_does_not_answer_is_asked_again_where_the_rule_says_so() {
    let stalled = failing(Fault::Stall);
    let (asks, retry) = (stalled.addr(), "{attempts: 1, codes: [504], backoff: 1ms}");
    let rig = rig(&[&[openai("a", asks)]], retry, "");
    let answer = rig.client().ask("/v1/chat/completions", "", &chat("gpt-x", false));
    assert_eq!(answer.status, 504);
    assert_eq!(stalled.ledger().requests, 2);
    let settled = rig.settled();
    assert!(settled.input >= 2 && settled.counted == 1, "both attempts may have been worked on: {settled:?}");
}

#[test]
fn of_equals_both_are_asked() {
    let (one, other) = (well(), well());
    let rig = rig(&[&[openai("a", one.addr()), openai("b", other.addr())]], "", "");
    let mut client: Client = rig.client();
    for _ in 0..40 {
        assert_eq!(client.ask("/v1/chat/completions", "", &chat("gpt-x", false)).status, 200);
    }
    assert_eq!(rig.settled(), times(40));
    let asked = [one.ledger().requests, other.ledger().requests];
    assert!(asked.iter().all(|asked| *asked >= 1), "{asked:?}");
}

#[test]
fn a_request_whose_time_is_over_goes_to_nobody_else() {
    let (stalled, good) = (failing(Fault::Stall), well());
    let groups: [&[String]; 2] = [&[openai("a", stalled.addr())], &[openai("b", good.addr())]];
    let rig = rig(&groups, "{attempts: 3, codes: [504]}\n    timeouts: {request: 300ms}", "");
    assert_eq!(ask(&rig).status, 504);
    rig.settled();
    assert_eq!((stalled.ledger().requests, good.ledger().requests), (1, 0));
}

#[test]
fn a_provider_that_refuses_the_operators_key_is_left_alone() {
    let (bad, good) = (failing(Fault::Status(401)), well());
    let rig = rig(&[&[openai("a", bad.addr())], &[openai("b", good.addr())]], "", "");
    let statuses: Vec<u16> = (0..4).map(|_| ask(&rig).status).collect();
    assert_eq!(statuses, [401, 401, 200, 200], "two failures eject");
}

#[test]
fn only_providers_that_serve_the_clients_format_are_asked() {
    let (one, other) = (well(), well());
    let rig = rig(&[&[anthropic("a", one.addr()), openai("b", other.addr())]], "", "");
    let body = r#"{"model":"gpt-x","input":"How long is a minute?"}"#;
    for _ in 0..6 {
        assert_eq!(rig.client().ask("/v1/embeddings", "", body).status, 200);
    }
    assert_eq!((one.ledger().requests, other.ledger().requests), (0, 6));
}

/// Two keys, one of them for the model `small` alone.
const KEYS: &str = r#"---
apiVersion: v1
kind: Secret
metadata: {name: callers, namespace: llm}
stringData:
  any: k-any
  small: '{"key": "k-small", "allowedModels": ["small"]}'
---
apiVersion: agentgateway.dev/v1alpha1
kind: AgentgatewayPolicy
metadata: {name: keys, namespace: llm}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  traffic: {apiKeyAuthentication: {secretRef: {name: callers}}}
"#;

/// A provider with a model of its own; empty is none.
fn with_model(name: &str, at: SocketAddr, model: &str) -> String {
    let own = if model.is_empty() { String::new() } else { format!(", model: {model}") };
    openai(name, at).replace("sk-live-secret}", &format!("sk-live-secret}}{own}"))
}

#[test]
fn only_providers_are_asked_whose_model_the_key_is_for() {
    let (bad, good) = (failing(Fault::Status(500)), well());
    for (first, second, asked, small, any) in [
        ((&good, "big"), (&good, "small"), "gpt-x", (200, "small"), (200, "big")),
        ((&bad, "small"), (&good, "big"), "gpt-x", (500, ""), (200, "big")),
        ((&good, "big"), (&good, ""), "gpt-x", (403, ""), (200, "big")),
        ((&good, "big"), (&good, ""), "small", (200, "small"), (200, "big")),
        ((&good, ""), (&good, "small"), "gpt-x", (200, "small"), (200, "gpt-x")),
        ((&bad, "small"), (&good, ""), "gpt-x", (500, ""), (200, "gpt-x")),
        ((&bad, ""), (&good, "big"), "small", (500, ""), (200, "big")),
        ((&bad, "small"), (&good, ""), "small", (200, "small"), (200, "small")),
        ((&good, "big"), (&good, "huge"), "small", (403, ""), (200, "big")),
    ] {
        let [one, other] = [("a", first), ("b", second)]
            .map(|(name, (provider, model))| with_model(name, provider.addr(), model));
        let what = format!("{one} {other} {asked}");
        let rig = rig(&[&[one], &[other]], "", KEYS);
        for (key, (status, model)) in [("k-small", small), ("k-any", any)] {
            let before = good.ledger().requests;
            let headers = format!("x-api-key: {key}\r\n");
            let answer = rig.client().ask("/v1/chat/completions", &headers, &chat(asked, false));
            assert_eq!(answer.status, status, "{key} {what}: {}", answer.text());
            assert_eq!(good.ledger().requests - before, u64::from(status == 200), "{key} {what}");
            assert!(status != 200 || answer.json()["model"] == model, "{key} {what}: {}", answer.text());
        }
    }
}

/// What is asked about a model is not asked of the Backend's: here the provider says that it has none of that name.
#[test]
fn a_key_may_ask_about_its_models_whatever_the_providers_is() {
    let good = well();
    let rig = rig(&[&[with_model("a", good.addr(), "big")]], "", KEYS);
    for (path, expected) in [("/v1/models", 200), ("/v1/models/small", 404), ("/v1/models/big", 403)] {
        let mut client = rig.client();
        client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\nx-api-key: k-small\r\n\r\n"));
        let answer = client.answer();
        assert_eq!(answer.status, expected, "{path}: {}", answer.text());
    }
}

#[test]
fn a_rule_may_have_answers_repeated_that_blame_nobody() {
    let conflict = |stream: &mut TcpStream| {
        let _ = stream.write_all(b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n");
    };
    for (retry, status) in [("{codes: [500]}", 409), ("{codes: [409], backoff: 1ms}", 200)] {
        let (at, _) = recovering(1, conflict);
        let rig = rig(&[&[openai("a", at)]], retry, "");
        assert_eq!(ask(&rig).status, status, "{retry}");
    }
}

#[test]
fn a_model_has_one_account_however_its_name_is_spelled() {
    let good = well();
    let list = ["{name: m, unit: requests, rate: 2/hour, key: {model: {}}}"];
    let rig = rig(&[&[openai("a", good.addr())]], "", &limits("chat", &list));
    let statuses = ["gpt-x", r"gpt\u002dx", r"\u0067pt-x"]
        .map(|model| rig.client().ask("/v1/chat/completions", "", &chat(model, false)).status);
    assert_eq!(statuses, [200, 200, 429]);
}
