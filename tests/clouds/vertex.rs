//! Vertex AI: Gemini's own format, and Claude for clients of three formats.

use super::*;
use serde_json::json;
use support::{API_MODEL, Answer, Route, USER_TEXT, Wire, limits, with};
use tollgate_loadtest::{Fault, reply_text};

const CLAUDE: &str = "claude-haiku-4-5@20251001";
const PROJECT: &str = "/v1/projects/house-1/locations/europe-west1/publishers";

/// The routes of OpenAI's and Anthropic's clients to Vertex AI.
fn routes() -> [Route; 2] {
    let paths = [(true, "/cloud/v1/chat/completions"), (false, "/cloud/v1/messages")];
    paths.map(|(openai_client, path)| Route { path, name: "cloud", openai_client, openai_provider: false })
}

fn llm(model: &str) -> String {
    format!(
        "vertexai: {{authToken: {{kind: Inline, inline: ya29.token}}, projectId: house-1, location: europe-west1, apiVersion: \
         v1, model: \"{model}\"}}"
    )
}

fn script() -> Script {
    Script { cache_write_tokens: 50, ..super::script() }
}

fn said_by(answer: &Answer, model: &str, script: &Script) -> String {
    let number =
        answer.header("x-sim-request").expect("the provider's headers pass").parse().expect("a number");
    reply_text(model, USER_TEXT, number, script)
}

#[test]
fn claude_answers_every_client_whole_and_streamed() {
    let rig = rig(script(), &llm(CLAUDE), "");
    let mut client = rig.client();
    for streamed in [false, true] {
        let verb = if streamed { "streamRawPredict" } else { "rawPredict" };
        for route in routes() {
            let what = format!("{} streamed: {streamed}", route.path);
            let headers = "anthropic-version: 2023-06-01\r\nx-api-key: theirs\r\n";
            let answer = client.ask(route.path, headers, &route.body("asked", streamed));
            assert_eq!((answer.status, answer.complete), (200, true), "{what}: {}", answer.text());
            let said = route.read(&answer);
            assert_eq!(said.text, said_by(&answer, CLAUDE, &script()), "{what}");
            assert_eq!((said.usage, said.model.as_str()), (Some([1_000, 300, 50, 77, 0]), CLAUDE), "{what}");
            assert_eq!((said.done, said.error), (streamed, None), "{what}");
            let seen = seen(&rig);
            assert_eq!(seen.target, format!("{PROJECT}/anthropic/models/{CLAUDE}:{verb}"), "{what}");
            assert_eq!(seen.header("authorization"), Some("Bearer ya29.token"), "{what}");
            assert_eq!((seen.header("anthropic-version"), seen.header("x-api-key")), (None, None), "{what}");
            let sent = sent(&rig);
            assert_eq!(sent["anthropic_version"], "vertex-2023-10-16", "{what}");
            assert!(sent.get("model").is_none(), "{what}: {sent}");
        }
        let answer = client.ask("/cloud/v1/responses", "", &Wire::Responses.body(streamed));
        assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
        let heard = Wire::Responses.read(&answer);
        assert_eq!((heard.text, heard.finish.as_str()), (said_by(&answer, CLAUDE, &script()), "completed"));
        assert_eq!(heard.usage, Some([1_000, 300, 77, 0]), "{}", answer.text());
    }
    let ledger = rig.assert_ledgers_agree();
    assert_eq!((ledger.completed, ledger.refused, rig.settled().counted), (6, 0, 0));
}

#[test]
fn the_model_goes_out_of_the_body_wherever_it_stands() {
    let rig = rig(script(), &llm(CLAUDE), "");
    let rest = r#""max_tokens":9,"messages":[{"role":"user","content":"model"}]"#;
    for body in [
        format!(r#"{{"model":"a",{rest}}}"#),
        format!(r#"{{{rest},"model":"a"}}"#),
        r#"{"max_tokens" : 9 , "model" : "a\"b" ,"messages":[{"role":"user","content":"model"}]}"#.to_owned(),
        format!(r#"{{{rest},"model":null}}"#),
        format!("{{{rest}}}"),
        format!(r#"{{"mod\u0065l":"a",{rest}}}"#),
    ] {
        let answer = rig.client().ask("/cloud/v1/messages", "", &body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        let expected = json!({
            "anthropic_version": "vertex-2023-10-16", "max_tokens": 9, "messages": [{"role": "user", "content": "model"}],
        });
        assert_eq!(sent(&rig), expected, "{body}");
    }
}

#[test]
fn tokens_of_claude_are_counted_by_its_model() {
    let rig = rig(script(), &llm(CLAUDE), "");
    let body = r#"{"model":"asked","messages":[{"role":"user","content":"x"}]}"#;
    let answer = rig.client().ask("/cloud/v1/messages/count_tokens", "", body);
    assert_eq!(
        (answer.status, answer.json()["input_tokens"].as_u64()),
        (200, Some(1_000)),
        "{}",
        answer.text()
    );
    assert_eq!(seen(&rig).target, format!("{PROJECT}/anthropic/models/count-tokens:rawPredict"));
    assert_eq!(
        (&sent(&rig)["model"], &sent(&rig)["anthropic_version"]),
        (&CLAUDE.into(), &"vertex-2023-10-16".into())
    );
    assert_eq!(rig.settled(), support::Settled::default(), "counting is free");
}

#[test]
fn gemini_answers_its_own_clients() {
    let rig = rig(Script { reasoning_tokens: 20, ..script() }, &llm("gemini-2.5-flash"), "");
    for streamed in [false, true] {
        let path = Wire::Gemini.path(streamed).replacen("/ge", "/cloud", 1);
        let answer = rig.client().ask(&path, "x-goog-api-key: theirs\r\n", &Wire::Gemini.body(streamed));
        assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
        let heard = Wire::Gemini.read(&answer);
        assert_eq!(heard.text, said_by(&answer, "gemini-2.5-flash", &script()));
        assert_eq!((heard.usage, heard.finish.as_str()), (Some([1_000, 300, 77, 20]), "STOP"));
        let verb = if streamed { "streamGenerateContent?alt=sse" } else { "generateContent" };
        let seen = seen(&rig);
        assert_eq!(seen.target, format!("{PROJECT}/google/models/gemini-2.5-flash:{verb}"));
        assert_eq!(
            (seen.header("authorization"), seen.header("x-goog-api-key")),
            (Some("Bearer ya29.token"), None)
        );
    }
    let path = format!("/cloud/v1beta/models/{API_MODEL}:countTokens");
    let answer = rig.client().ask(&path, "", &Wire::Gemini.body(false));
    assert_eq!(
        (answer.status, answer.json()["totalTokens"].as_u64()),
        (200, Some(1_000)),
        "{}",
        answer.text()
    );
    rig.assert_ledgers_agree();
}

#[test]
fn what_a_publishers_models_do_not_speak_is_refused_in_the_clients_words() {
    let rig = rig(script(), &llm(CLAUDE), "");
    let answer = rig.client().ask("/cloud/v1/embeddings", "", &Wire::Embeddings.body(false));
    assert_eq!(answer.status, 501, "{}", answer.text());
    assert!(answer.text().contains("with the provider vertexai"), "{}", answer.text());
}

#[test]
fn errors_tools_and_limits_are_as_with_claude_elsewhere() {
    let bucket = "{name: t, unit: tokens, rate: 1/hour, burst: 100000}";
    let rig = rig(
        Script { tool_call: Some("get_weather".to_owned()), ..script() },
        &llm(CLAUDE),
        &limits("cloud", &[bucket]),
    );
    let [openai, anthropic] = routes();
    let tools =
        r#""tools":[{"type":"function","function":{"name":"get_weather","parameters":{"type":"object"}}}]"#;
    let said = openai.read(&rig.client().ask(openai.path, "", &with(&openai.body("m", true), tools)));
    assert_eq!((said.tool.0.as_str(), said.finish.as_str()), ("get_weather", "tool_calls"));
    rig.settled();
    assert_eq!(rig.balance(0), 100_000 - 1_077);
    rig.simulator.set_script(Script { fault: Fault::Status(529), ..script() });
    for (route, status, kind) in [(openai, 503, "server_error"), (anthropic, 529, "overloaded_error")] {
        let answer = rig.client().ask(route.path, "", &route.body("m", false));
        assert_eq!(
            (answer.status, &answer.json()["error"]["type"]),
            (status, &kind.into()),
            "{}",
            answer.text()
        );
    }
    rig.simulator.set_script(Script { fault: Fault::StreamError(3), ..script() });
    let said = anthropic.read(&rig.client().ask(anthropic.path, "", &anthropic.body("m", true)));
    assert_eq!(said.error.as_deref(), Some("overloaded_error"));
    rig.settled();
    assert!(rig.balance(0) < 98_923);
}
