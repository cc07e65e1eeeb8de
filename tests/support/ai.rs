//! Policies on what models are asked and answer, and every way in which they generate text.

use super::{API_MODEL, Answer, ROUTES, Rig, Settled, USER_TEXT, Wire};
use serde_json::{Value, json};
use tollgate::telemetry::Outcome;

/// A TrafficPolicy whose `ai` is this, in YAML's flow style, on a route.
pub fn traffic(route: &str, ai: &str) -> String {
    format!(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {route}-ai, namespace: llm}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {route}}}]\n  ai: {ai}\n"
    )
}

/// An AgentgatewayPolicy whose `backend.ai` is this, on the whole Gateway.
pub fn agentgateway(ai: &str) -> String {
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: ai, namespace: llm}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  backend: {{ai: {ai}}}\n"
    )
}

/// What the provider saw last: its target, and its body.
pub fn seen(rig: &Rig) -> (String, Value) {
    let seen = rig.simulator.requests().pop().expect("it came");
    (seen.target.clone(), serde_json::from_slice(&seen.body).expect("JSON"))
}

pub fn ok(answer: Answer) -> Answer {
    assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
    answer
}

/// What holds a secret is rejected with 422 and "Not here" in the words of its path's format, and costs nothing of the 9,000
/// tokens that there are; without it, the same passes.
pub fn assert_secret_is_rejected(rig: &Rig, path: &str, body: &str) {
    let mut client = rig.client();
    let answer = client.ask(path, "", body);
    assert_eq!((answer.status, answer.header("x-should-retry")), (422, Some("false")), "{path}");
    let error = answer.json()["error"].clone();
    assert_eq!(error["message"], "Not here", "{path}");
    let word = match path {
        "/messages" | "/cross" => ("type", json!("permission_error")),
        path if path.starts_with("/ge") => ("status", json!("PERMISSION_DENIED")),
        _ => ("code", json!("content_filter")),
    };
    assert_eq!(error[word.0], word.1, "{path}: {error}");
    assert_eq!((rig.simulator.ledger().requests, rig.balance(0)), (0, 9_000), "{path}");
    assert_eq!((rig.settled(), rig.ended(Outcome::Rejected)), (Settled::default(), 1), "{path}");
    ok(client.ask(path, "", &body.replace("secret", "story")));
}

/// Every way in which text is generated: the name of the HTTPRoute, the path, the body, whether it streams.
pub fn ways(said: &str) -> Vec<(&'static str, String, String, bool)> {
    let said = |body: String| body.replace(USER_TEXT, said);
    let mut ways = Vec::new();
    for streamed in [false, true] {
        for route in ROUTES {
            ways.push((route.name, route.path.to_owned(), said(route.body(API_MODEL, streamed)), streamed));
        }
        for wire in Wire::STREAMED {
            ways.push((wire.route(), wire.path(streamed), said(wire.body(streamed)), streamed));
        }
    }
    ways
}

/// The text of an answer to the request of that path, and why it ended.
pub fn heard(path: &str, answer: &Answer) -> (String, String) {
    if let Some(route) = ROUTES.iter().find(|route| route.path == path) {
        let said = route.read(answer);
        return (said.text, said.finish);
    }
    let wire = if path.starts_with("/ge") { Wire::Gemini } else { Wire::Responses };
    let heard = wire.read(answer);
    (heard.text, heard.finish)
}
