//! What policies make of requests to models and of their answers, through a whole gateway.

mod support;

use serde_json::{Value, json};
use support::{API_MODEL, Answer, Rig, USER_TEXT, Wire, apis, chat, limits, message, settings};
use tollgate_loadtest::{Count, Fault, Script};

const QUIET: &str = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";

fn rig(script: Script, policies: &str) -> Rig {
    Rig::start_with(script, &apis(policies), &settings(QUIET))
}

fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 77, ..Script::default() }
}

/// A TrafficPolicy whose `ai` is this, in YAML's flow style, on a route.
fn traffic(route: &str, ai: &str) -> String {
    format!(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {route}-ai, namespace: llm}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {route}}}]\n  ai: {ai}\n"
    )
}

/// An AgentgatewayPolicy whose `backend.ai` is this, on the whole Gateway.
fn agentgateway(ai: &str) -> String {
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: ai, namespace: llm}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  backend: {{ai: {ai}}}\n"
    )
}

/// What the provider saw last: its target, and its body.
fn seen(rig: &Rig) -> (String, Value) {
    let seen = rig.simulator.requests().pop().expect("it came");
    (seen.target.clone(), serde_json::from_slice(&seen.body).expect("JSON"))
}

fn ok(answer: Answer) -> Answer {
    assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
    answer
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
