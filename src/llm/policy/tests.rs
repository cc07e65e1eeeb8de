use super::*;
use crate::llm::Inspector;
use Format::{AnthropicCountTokens, AnthropicMessages, GeminiCountTokens, GeminiGenerate};
use Format::{OpenAiChat, OpenAiEmbeddings, OpenAiResponses};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn fields(fields: &[(&str, &str)]) -> Arc<[Field]> {
    fields.iter().map(|(name, json)| Field { name: (*name).to_owned(), json: (*json).to_owned() }).collect()
}

fn turn(role: Role, content: &str) -> Turn {
    Turn { role, content: content.to_owned() }
}

/// What becomes of `body`, which stays a request of its format.
fn changed(policy: &Policy, format: Format, body: &str) -> String {
    let changed = policy.change(format, body.as_bytes(), b"").body;
    let changed = changed.map_or(body.to_owned(), |body| String::from_utf8(body).unwrap());
    Inspector::new(format).finish(changed.as_bytes()).unwrap_or_else(|bad| panic!("{bad}: {changed}"));
    changed
}

#[test]
fn members_are_set_and_other_bytes_stay() {
    let policy = Policy {
        overrides: fields(&[("user", r#""gate""#), ("t", "0.5")]),
        defaults: fields(&[("n", "1"), ("t", "9")]),
        ..Policy::default()
    };
    for (body, expect) in [
        (r#"{ }"#, r#"{"user":"gate","t":0.5,"n":1 }"#),
        (r#" {"n" : 2, "a":[1]}"#, r#" {"user":"gate","t":0.5,"n" : 2, "a":[1]}"#),
        (r#"{"t":{"x":1},"n":null,"user":"me"}"#, r#"{"t":0.5,"n":1,"user":"gate"}"#),
        // Whichever of two counts with a provider, it is the operator's.
        (r#"{"t":1,"t":2,"us\u0065r":[],"n":0}"#, r#"{"t":0.5,"t":0.5,"us\u0065r":"gate","n":0}"#),
        (
            r#"{"a":{"t":1,"n":2,"user":3},"n":false}"#,
            r#"{"user":"gate","t":0.5,"a":{"t":1,"n":2,"user":3},"n":false}"#,
        ),
    ] {
        // `n` of chat is inspected, so these are read as messages.
        assert_eq!(changed(&policy, AnthropicMessages, body), expect);
        assert_eq!(
            changed(&policy, AnthropicCountTokens, body),
            body,
            "counts are strict about their members"
        );
    }
}

#[test]
fn the_model_is_overridden_defaulted_and_renamed_in_this_order() {
    let aliases = |pairs: &[(&str, &str)]| {
        Arc::new(Aliases::new(pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()))))
    };
    type Pairs = &'static [(&'static str, &'static str)];
    let rows: [(Pairs, Pairs, Pairs, &str, &str); 8] = [
        (&[], &[], &[("fast", "gpt")], "fast", "gpt"),
        (&[], &[], &[("fast", "gpt")], "slow", "slow"),
        (&[], &[("model", r#""fast""#)], &[("fast", "gpt")], "", "gpt"),
        (&[], &[("model", r#""fast""#)], &[("fast", "gpt")], "mine", "mine"),
        (&[("model", r#""fast""#)], &[("model", r#""x""#)], &[("fast", "gpt")], "mine", "gpt"),
        (&[("model", r#""a\"b""#)], &[], &[], "mine", "a\"b"),
        (&[], &[], &[("*", "one")], "", ""),
        (&[], &[], &[("é*", "one")], "école", "one"),
    ];
    for (overrides, defaults, alias, asked, expect) in rows {
        let policy = Policy {
            overrides: fields(overrides),
            defaults: fields(defaults),
            aliases: aliases(alias),
            ..Policy::default()
        };
        for format in [OpenAiChat, OpenAiEmbeddings, AnthropicCountTokens] {
            let body = if asked.is_empty() { json!({"a": 1}) } else { json!({"a": 1, "model": asked}) };
            let got: Value = serde_json::from_str(&changed(&policy, format, &body.to_string())).unwrap();
            let expect = if expect.is_empty() { json!({"a": 1}) } else { json!({"a": 1, "model": expect}) };
            assert_eq!(got, expect, "{format:?} {asked}");
        }
        for format in [GeminiGenerate, GeminiCountTokens] {
            let got = policy.change(format, b"{}", asked.as_bytes());
            let renamed = (asked != expect).then(|| expect.to_owned());
            assert_eq!(got, Changed { body: None, path_model: renamed }, "{format:?} {asked}");
        }
    }
}

#[test]
fn a_model_has_its_other_names_however_its_path_is_escaped() {
    let names = [("gemini-2.5-*", "gemini"), ("a b", "c")].map(|(from, to)| (from.to_owned(), to.to_owned()));
    let policy = Policy { aliases: Arc::new(Aliases::new(names)), ..Policy::default() };
    for (asked, renamed) in [
        ("gemini-2.5-pro", Some("gemini")),
        ("gemini-2%2E5-pro", Some("gemini")),
        ("%67emini%2d2.5-pro", Some("gemini")),
        ("a%20b", Some("c")),
        ("gemini%2D3", None),
        ("%", None),
    ] {
        let got = policy.change(GeminiGenerate, b"{}", asked.as_bytes());
        assert_eq!(got, Changed { body: None, path_model: renamed.map(str::to_owned) }, "{asked}");
    }
}

#[test]
fn turns_come_where_the_format_has_them() {
    let both = Policy {
        prompt: Arc::new(Prompt {
            prepend: vec![turn(Role::System, "S\"1"), turn(Role::User, "U1")],
            append: vec![turn(Role::Assistant, "A2"), turn(Role::Developer, "D2")],
        }),
        ..Policy::default()
    };
    let rows = [
        (
            OpenAiChat,
            r#"{"messages":[{"role":"user","content":"x"}]}"#,
            r#"{"messages":[{"role":"system","content":"S\"1"},{"role":"user","content":"U1"},{"role":"user","content":"x"},{"role":"assistant","content":"A2"},{"role":"developer","content":"D2"}]}"#,
        ),
        (
            OpenAiChat,
            r#"{"messages":[ ]}"#,
            r#"{"messages":[{"role":"system","content":"S\"1"},{"role":"user","content":"U1"} ,{"role":"assistant","content":"A2"},{"role":"developer","content":"D2"}]}"#,
        ),
        (OpenAiChat, r#"{"messages":"x"}"#, r#"{"messages":"x"}"#),
        (OpenAiEmbeddings, r#"{"input":"x"}"#, r#"{"input":"x"}"#),
        (
            AnthropicMessages,
            r#"{"messages":[1],"system":"mine"}"#,
            r#"{"messages":[{"role":"user","content":"U1"},1,{"role":"assistant","content":"A2"}],"system":"S\"1\n\nmine\n\nD2"}"#,
        ),
        (
            AnthropicMessages,
            r#"{"system":[{"type":"text","text":"mine"}],"messages":[1]}"#,
            r#"{"system":[{"type":"text","text":"S\"1"},{"type":"text","text":"mine"},{"type":"text","text":"D2"}],"messages":[{"role":"user","content":"U1"},1,{"role":"assistant","content":"A2"}]}"#,
        ),
        (
            AnthropicCountTokens,
            r#"{"messages":[]}"#,
            r#"{"system":"S\"1\n\nD2","messages":[{"role":"user","content":"U1"},{"role":"assistant","content":"A2"}]}"#,
        ),
        (AnthropicMessages, r#"{"system":null}"#, r#"{"system":"S\"1\n\nD2"}"#),
        (
            OpenAiResponses,
            r#"{"input":"x"}"#,
            r#"{"instructions":"S\"1","input":[{"role":"user","content":"U1"},{"role":"user","content":"x"},{"role":"assistant","content":"A2"},{"role":"developer","content":"D2"}]}"#,
        ),
        (
            OpenAiResponses,
            r#"{"instructions":"","input":[]}"#,
            r#"{"instructions":"S\"1\n\n","input":[{"role":"user","content":"U1"},{"role":"assistant","content":"A2"},{"role":"developer","content":"D2"}]}"#,
        ),
        (
            OpenAiResponses,
            r#"{"prompt":{"id":"p"},"instructions":null}"#,
            r#"{"input":[{"role":"user","content":"U1"},{"role":"assistant","content":"A2"},{"role":"developer","content":"D2"}],"prompt":{"id":"p"},"instructions":"S\"1"}"#,
        ),
        (
            GeminiGenerate,
            r#"{"contents":[1]}"#,
            r#"{"systemInstruction":{"parts":[{"text":"S\"1"},{"text":"D2"}]},"contents":[{"role":"user","parts":[{"text":"U1"}]},1,{"role":"model","parts":[{"text":"A2"}]}]}"#,
        ),
        (
            GeminiGenerate,
            r#"{"contents":{"parts":{"text":"x"}},"system_instruction":{"parts":{"text":"mine"}}}"#,
            r#"{"contents":[{"role":"user","parts":[{"text":"U1"}]},{"parts":{"text":"x"}},{"role":"model","parts":[{"text":"A2"}]}],"system_instruction":{"parts":[{"text":"S\"1"},{"text":"mine"},{"text":"D2"}]}}"#,
        ),
        (
            GeminiGenerate,
            r#"{"systemInstruction":{"role":"x"},"contents":null}"#,
            r#"{"systemInstruction":{"parts":[{"text":"S\"1"},{"text":"D2"}],"role":"x"},"contents":null}"#,
        ),
        (
            GeminiGenerate,
            r#"{"systemInstruction":{"parts":[ ]}}"#,
            r#"{"systemInstruction":{"parts":[{"text":"S\"1"} ,{"text":"D2"}]}}"#,
        ),
        (GeminiCountTokens, r#"{"contents":[1]}"#, r#"{"contents":[1]}"#),
    ];
    for (format, body, expect) in rows {
        assert_eq!(changed(&both, format, body), expect, "{format:?} {body}");
    }
}

#[test]
fn the_prompt_comes_into_what_the_members_made() {
    let policy = Policy {
        overrides: fields(&[("system", r#""ours""#)]),
        prompt: Arc::new(Prompt { append: vec![turn(Role::System, "more")], ..Prompt::default() }),
        ..Policy::default()
    };
    let body = changed(&policy, AnthropicMessages, r#"{"system":["theirs"],"messages":[]}"#);
    assert_eq!(body, r#"{"system":"ours\n\nmore","messages":[]}"#);
}

fn member() -> impl Strategy<Value = (String, Value)> {
    let name = prop::sample::select(vec!["a", "b", "c", "é", "model"]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!({"a": [null, {"b": 1}]})),
    ];
    (name, value).prop_map(|(name, value)| {
        let value = if name == "model" && !value.is_null() { json!("m") } else { value };
        (name.to_owned(), value)
    })
}

proptest! {
    #[test]
    fn the_same_as_an_edit_of_the_tree(
        body in prop::collection::vec(member(), 0..6), pretty: bool,
        overrides in prop::collection::btree_map("[abc]", any::<i16>(), 0..3),
        defaults in prop::collection::btree_map("[abcé]", any::<i16>(), 0..3),
        renamed: bool,
    ) {
        let body: Map<String, Value> = body.into_iter().collect();
        let list = |map: &std::collections::BTreeMap<String, i16>| -> Arc<[Field]> {
            map.iter().map(|(name, n)| Field { name: name.clone(), json: n.to_string() }).collect()
        };
        let aliases = renamed.then(|| ("m*".to_owned(), "other".to_owned()));
        let policy = Policy {
            overrides: list(&overrides),
            defaults: list(&defaults),
            aliases: Arc::new(Aliases::new(aliases)),
            ..Policy::default()
        };
        let text = if pretty { serde_json::to_string_pretty(&body) } else { serde_json::to_string(&body) }.unwrap();
        let got: Value = serde_json::from_str(&changed(&policy, AnthropicMessages, &text)).unwrap();
        let mut expect = body;
        for (name, n) in &overrides { expect.insert(name.clone(), json!(n)); }
        for (name, n) in &defaults {
            if expect.get(name).is_none_or(Value::is_null) { expect.insert(name.clone(), json!(n)); }
        }
        if renamed && expect.get("model") == Some(&json!("m")) { expect.insert("model".to_owned(), json!("other")); }
        prop_assert_eq!(got, Value::Object(expect));
    }
}
