//! What operators make of requests: members, other names of models, turns.

use super::choice;
use super::json::INSPECTED;
use super::wellformed::{is_unique, object, text};
use serde_json::Value;
use std::sync::LazyLock;
use tollgate::llm::policy::{Aliases, Field, Policy, Prompt, Role, Turn};
use tollgate::llm::{Format, Inspector, ModelPlace, Work};

const TURN: &str = "an \"operator's\" turn";

/// Members and another name of a model; and the same with turns.
static POLICIES: LazyLock<[Policy; 2]> = LazyLock::new(|| {
    let field = |name: &str, json: &str| Field { name: name.to_owned(), json: json.to_owned() };
    let members = || Policy {
        overrides: [field("x_ours", r#"{"a":[1]}"#), field("temperature", "0.5")].into(),
        defaults: [field("x_default", "7"), field("temperature", "9")].into(),
        aliases: Aliases::new([("gpt-*".to_owned(), "another".to_owned())]).into(),
        ..Policy::default()
    };
    let turn = |role| Turn { role, content: TURN.to_owned() };
    let prompt = Prompt {
        prepend: vec![turn(Role::System), turn(Role::User)],
        append: vec![turn(Role::Assistant), turn(Role::Developer)],
    };
    [members(), Policy { prompt: prompt.into(), ..members() }]
});

/// The first byte chooses the format and whether there are turns.
pub(super) fn policy(data: &[u8]) {
    let (chosen, body) = choice(data);
    let format = INSPECTED[chosen % INSPECTED.len()];
    let policy = &POLICIES[usize::from(chosen & 128 == 128)];
    let Ok(before) = Inspector::new(format).finish(body) else { return };
    let changed = policy.change(format, body, b"");
    let after = changed.body.as_deref().unwrap_or(body);
    let ask = Inspector::new(format).finish(after).unwrap_or_else(|bad| panic!("{bad}: {}", text(after)));
    let turns = ask.text_bytes - before.text_bytes.min(ask.text_bytes);
    assert!(policy.prompt.is_empty() || turns == 0 || turns >= TURN.len() as u64, "a part of a turn");
    assert_eq!((ask.stream, ask.max_output, ask.choices), (before.stream, before.max_output, before.choices));
    if serde_json::from_slice::<Value>(body).is_err() || !is_unique(body) {
        return; // escapes that not everybody reads; members that stand twice
    }
    let (was, is) = (object(body, true), object(after, true));
    if format.work() != Work::Free {
        let was_set = was.get("x_default").is_some_and(|value| !value.is_null());
        assert_eq!(is["x_ours"], serde_json::json!({"a": [1]}));
        assert_eq!(is["temperature"], 0.5);
        assert_eq!(is["x_default"], if was_set { was["x_default"].clone() } else { 7.into() });
    }
    if format.model_place() == ModelPlace::Body {
        let renamed =
            was["model"].as_str().filter(|model| model.starts_with("gpt-")).map(|_| Value::from("another"));
        assert_eq!(is.get("model").cloned(), renamed.or_else(|| was.get("model").cloned()));
    }
    let ours = ["x_ours", "x_default", "temperature", "model", "messages", "system", "input", "instructions"];
    let gemini = ["contents", "systemInstruction", "system_instruction"];
    for (name, value) in was.as_object().into_iter().flatten() {
        let touched = ours.contains(&name.as_str()) || gemini.contains(&name.as_str());
        assert!(touched || is.get(name) == Some(value), "{name} is another: {}", text(after));
    }
    let list = |body: &Value| body["messages"].as_array().map(|list| list.len());
    if let (Format::OpenAiChat, false, Some(count)) = (format, policy.prompt.is_empty(), list(&was)) {
        assert_eq!(list(&is), Some(count + 4), "{}", text(after));
    }
}
