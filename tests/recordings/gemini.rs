//! Gemini's room against real traffic of the Gemini API and Vertex AI, recorded elsewhere and not part of the repository.

use crate::recordings::{load, report, request, split, stream};
use serde_json::{Value, json};
use tollgate::llm::translate::{self, ReplyTerms, StreamTerms};
use tollgate::llm::{Format, Usage};

use Format::{AnthropicMessages, GeminiGenerate, OpenAiChat};

const WHOLE: [&str; 2] = ["gemini/generateContent", "vertex/generateContent"];
const STREAMED: [&str; 2] = ["gemini/streamGenerateContent", "vertex/streamGenerateContent"];

#[test]
fn gemini_requests_become_those_of_others() {
    let (mut good, mut refused) = (0, Vec::new());
    for case in WHOLE.iter().chain(&STREAMED).flat_map(load) {
        let Some(body) = case.request.as_str().filter(|body| !body.is_empty()) else { continue };
        let theirs: Value = serde_json::from_str(body).expect("JSON");
        for to in [OpenAiChat, AnthropicMessages] {
            match request(GeminiGenerate, to, body) {
                Ok(got) => {
                    check_request(to, &got, &theirs, &case.name);
                    good += 1;
                }
                Err(bad) => refused.push((case.name.clone(), bad)),
            }
        }
    }
    report("Gemini requests", good, &refused);
    let why = ["kept at another", "cannot be sent", "a cache at Google", "at least one message"];
    assert!(refused.iter().all(|(_, bad)| why.iter().any(|why| bad.message.contains(why))), "{refused:#?}");
}

#[test]
fn requests_of_others_become_gemini_requests() {
    let (mut good, mut refused) = (0, Vec::new());
    let openai = ["openai/chat", "openai/chat-stream", "openrouter/chat", "mistral/chat", "deepseek/chat"];
    let anthropic = ["anthropic/messages", "anthropic/messages-stream"];
    let cases = openai.iter().map(|folder| (OpenAiChat, folder));
    for (from, folder) in cases.chain(anthropic.iter().map(|folder| (AnthropicMessages, folder))) {
        for case in load(folder) {
            let Some(body) = case.request.as_str().filter(|body| !body.is_empty()) else { continue };
            match request(from, GeminiGenerate, body) {
                Ok(got) => {
                    check_gemini_request(&got, &case.name);
                    good += 1;
                }
                Err(bad) => refused.push((case.name, bad)),
            }
        }
    }
    report("requests towards Gemini", good, &refused);
    let why = ["deprecated", "kept at another", "must be one of text", "function", "cannot be sent"];
    assert!(refused.iter().all(|(_, bad)| why.iter().any(|why| bad.message.contains(why))), "{refused:#?}");
}

#[test]
fn gemini_replies_become_those_of_others() {
    let mut good = 0;
    for case in WHOLE.iter().flat_map(load).filter(|case| case.status == 200) {
        let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
        let (text, thought, calls) = said(std::slice::from_ref(&theirs));
        for client in [OpenAiChat, AnthropicMessages] {
            let mut out = Vec::new();
            let terms = ReplyTerms::default();
            translate::reply(GeminiGenerate, client, &mut case.body.clone().into_bytes(), &terms, &mut out)
                .unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let got: Value = serde_json::from_slice(&out).expect("JSON");
            assert_eq!(heard(client, &got), (text.clone(), thought.clone(), calls.clone()), "{}", case.name);
            assert_eq!(reported(client, &got["usage"]), usage(client, &case.usage), "{}", case.name);
        }
        good += 1;
    }
    report("Gemini replies", good, &[]);
}

#[test]
fn gemini_streams_become_those_of_others() {
    let mut good = 0;
    for case in STREAMED.iter().flat_map(load).filter(|case| case.status == 200) {
        let theirs = split(&case.body);
        let (text, thought, calls) = said(&theirs);
        for client in [OpenAiChat, AnthropicMessages] {
            let (events, reported) = stream(GeminiGenerate, client, StreamTerms::default(), &case.body);
            assert_eq!(reported, Some(usage(OpenAiChat, &case.usage)), "{}", case.name);
            let joined = |of: fn(&Value) -> &Value| -> String {
                events.iter().filter_map(|event| of(event).as_str().map(str::to_owned)).collect()
            };
            let (ends, got_text, got_thought) = match client {
                OpenAiChat => (
                    events.last() == Some(&json!("[DONE]")),
                    joined(|chunk| &chunk["choices"][0]["delta"]["content"]),
                    joined(|chunk| &chunk["choices"][0]["delta"]["reasoning_content"]),
                ),
                _ => (
                    events.last().is_some_and(|last| last["type"] == "message_stop"),
                    joined(|event| &event["delta"]["text"]),
                    joined(|event| &event["delta"]["thinking"]),
                ),
            };
            assert!(ends, "{}", case.name);
            assert_eq!((got_text, got_thought), (text.clone(), thought.clone()), "{}", case.name);
            let names = events.iter().filter_map(|event| {
                let call = &event["choices"][0]["delta"]["tool_calls"][0]["function"]["name"];
                call.as_str().or(event["content_block"]["name"].as_str())
            });
            let expected: Vec<&str> = calls.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names.collect::<Vec<_>>(), expected, "{}", case.name);
        }
        good += 1;
    }
    report("Gemini streams", good, &[]);
}

#[test]
fn replies_and_streams_of_others_become_geminis() {
    let mut good = 0;
    for (provider, folder) in [(OpenAiChat, "openai/chat"), (AnthropicMessages, "anthropic/messages")] {
        for case in load(folder).into_iter().filter(|case| case.status == 200) {
            let mut out = Vec::new();
            let mut body = case.body.clone().into_bytes();
            translate::reply(provider, GeminiGenerate, &mut body, &ReplyTerms::default(), &mut out)
                .unwrap_or_else(|e| panic!("{}: {e}", case.name));
            let got: Value = serde_json::from_slice(&out).expect("JSON");
            let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
            let (text, _, calls) = said(std::slice::from_ref(&got));
            let (their_text, _, their_calls) = heard(provider, &theirs);
            assert!(text.starts_with(&their_text), "{}: {text} {their_text}", case.name);
            assert_eq!(calls.len(), their_calls.len(), "{}", case.name);
            assert!(got["candidates"][0]["finishReason"].is_string(), "{}", case.name);
            good += 1;
        }
        for case in load(format!("{folder}-stream")).into_iter().filter(|case| case.status == 200) {
            let (events, reported) = stream(provider, GeminiGenerate, StreamTerms::default(), &case.body);
            let last = events.last().expect("an end");
            assert!(last["candidates"][0]["finishReason"].is_string(), "{}: {last}", case.name);
            let told = &last["usageMetadata"]["totalTokenCount"];
            assert_eq!(told.as_u64(), Some(reported.unwrap_or_default().total()), "{}", case.name);
            let (text, _, _) = said(&events);
            let first = |event: &&Value| event["choices"][0]["index"].as_u64().is_none_or(|index| index == 0);
            let theirs = split(&case.body);
            let pieces = theirs.iter().filter(first).filter_map(|event| {
                event["choices"][0]["delta"]["content"].as_str().or(event["delta"]["text"].as_str())
            });
            assert!(text.starts_with(&pieces.collect::<String>()), "{}", case.name);
            good += 1;
        }
    }
    report("replies and streams towards Gemini's clients", good, &[]);
}

/// A tool loop goes on: what was recorded as a client's next request comes out of the other formats' as it was.
#[test]
fn tool_loops_come_back_through_other_formats() {
    let mut good = 0;
    for case in WHOLE.iter().flat_map(load).filter(|case| case.status == 200) {
        let theirs: Value = serde_json::from_str(&case.body).expect("JSON");
        let parts = theirs["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default();
        let known = |part: &Value| part["text"].is_string() || part["functionCall"].is_object();
        if parts.is_empty() || !parts.iter().all(known) {
            continue; // with what ran at Google
        }
        let mut out = Vec::new();
        let mut body = case.body.clone().into_bytes();
        translate::reply(GeminiGenerate, AnthropicMessages, &mut body, &ReplyTerms::default(), &mut out)
            .unwrap_or_else(|e| panic!("{}: {e}", case.name));
        let got: Value = serde_json::from_slice(&out).expect("JSON");
        let kept = json!({"role": "assistant", "content": got["content"]});
        let next = json!({"model": "gemini-2.5-pro", "max_tokens": 9, "messages": [kept, {"role": "user", "content": "x"}]});
        let back = request(AnthropicMessages, GeminiGenerate, &next.to_string()).expect("own output");
        assert_eq!(back["contents"][0]["parts"], Value::from(parts), "{}", case.name);
        good += 1;
    }
    report("answers given back", good, &[]);
}

// --- what is demanded of a translation ------------------------------------------------------------

fn check_request(to: Format, got: &Value, theirs: &Value, name: &str) {
    assert_eq!(got["model"], "model-of-the-path", "{name}");
    let text = got.to_string();
    for gone in
        ["contents", "generationConfig", "systemInstruction", "\"STRING\"", "\"OBJECT\"", "thoughtSignature"]
    {
        assert!(!text.contains(gone), "{name}: {gone} in {text}");
    }
    let count = |tools: &Value, functions: &str| -> usize {
        let tools = tools.as_array().into_iter().flatten();
        tools.map(|tool| tool[functions].as_array().map_or(0, Vec::len)).sum()
    };
    let declared = count(&theirs["tools"], "functionDeclarations");
    assert_eq!(got["tools"].as_array().map_or(0, Vec::len), declared, "{name}");
    let messages = got["messages"].as_array().expect("messages");
    let (mut open, mut answered) = (Vec::new(), 0);
    for message in messages {
        let blocks = message["content"].as_array().into_iter().flatten();
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        let results = blocks.clone().filter_map(|block| block["tool_use_id"].as_str());
        for id in message["tool_call_id"].as_str().into_iter().chain(results) {
            let at = open.iter().position(|open: &&str| *open == id);
            open.remove(at.unwrap_or_else(|| panic!("{name}: a result without its call")));
            answered += 1;
        }
        open.extend(
            blocks.filter(|block| block["type"] == "tool_use").filter_map(|block| block["id"].as_str()),
        );
        open.extend(calls.filter_map(|call| call["id"].as_str()));
    }
    let parts = theirs["contents"].as_array().into_iter().flatten();
    let parts = parts.flat_map(|content| content["parts"].as_array().into_iter().flatten());
    let results =
        parts.filter(|part| part["functionResponse"].is_object() || part["function_response"].is_object());
    assert_eq!((answered, open.len()), (results.count(), 0), "{name}: {to:?}");
}

fn check_gemini_request(got: &Value, name: &str) {
    let contents = got["contents"].as_array().expect("contents");
    assert!(!contents.is_empty(), "{name}");
    for pair in contents.windows(2) {
        assert_ne!(pair[0]["role"], pair[1]["role"], "{name}: roles alternate");
        let count = |content: &Value, kind: &str| {
            content["parts"].as_array().expect("parts").iter().filter(|part| part[kind].is_object()).count()
        };
        let results = count(&pair[1], "functionResponse");
        assert!(
            results == 0 || results == count(&pair[0], "functionCall"),
            "{name}: all calls are answered at once"
        );
    }
    for part in contents.iter().flat_map(|content| content["parts"].as_array().expect("parts")) {
        let kinds = ["text", "inlineData", "fileData", "functionCall", "functionResponse"];
        assert_eq!(kinds.iter().filter(|kind| part.get(**kind).is_some()).count(), 1, "{name}: {part}");
        if part["functionResponse"].is_object() {
            let result = &part["functionResponse"];
            assert!(result["name"].is_string() && result["response"].is_object(), "{name}: {result}");
        }
    }
    let known =
        ["contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "serviceTier", "labels"];
    let members = got.as_object().expect("an object").keys();
    let unknown: Vec<&String> = members.filter(|member| !known.contains(&member.as_str())).collect();
    assert!(unknown.is_empty(), "{name}: {unknown:?}");
}

type Said = (String, String, Vec<(String, Value)>);

/// Text, thoughts and calls of answers of Gemini's.
fn said(answers: &[Value]) -> Said {
    let mut said = Said::default();
    let parts = answers.iter().flat_map(|answer| answer["candidates"][0]["content"]["parts"].as_array());
    for part in parts.flatten() {
        let text = part["text"].as_str().unwrap_or_default();
        if part["thought"] == true { &mut said.1 } else { &mut said.0 }.push_str(text);
        if let Some(name) = part["functionCall"]["name"].as_str() {
            said.2.push((name.to_owned(), part["functionCall"]["args"].clone()));
        }
    }
    said
}

/// The same of an answer in another format.
fn heard(format: Format, answer: &Value) -> Said {
    let mut heard = Said::default();
    if format == OpenAiChat {
        let message = &answer["choices"][0]["message"];
        heard.0 = message["content"].as_str().unwrap_or_default().to_owned();
        heard.1 = message["reasoning_content"].as_str().unwrap_or_default().to_owned();
        let old = message["function_call"].is_object().then(|| &message["function_call"]);
        let calls = message["tool_calls"].as_array().into_iter().flatten().map(|call| &call["function"]);
        heard.2 = calls
            .chain(old)
            .map(|call| {
                let arguments = serde_json::from_str(call["arguments"].as_str().unwrap_or("{}"));
                (call["name"].as_str().unwrap_or_default().to_owned(), arguments.unwrap_or_default())
            })
            .collect();
        return heard;
    }
    for block in answer["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("text") => heard.0.push_str(block["text"].as_str().unwrap_or_default()),
            Some("thinking") => heard.1.push_str(block["thinking"].as_str().unwrap_or_default()),
            Some("tool_use") => {
                heard.2.push((block["name"].as_str().unwrap_or_default().to_owned(), block["input"].clone()));
            }
            _ => {}
        }
    }
    heard
}

/// What the recording counted; Anthropic's clients are not told of reasoning.
fn usage(client: Format, recorded: &Value) -> Usage {
    let count = |name: &str| recorded[name].as_u64().unwrap_or_default();
    let reasoning = count("thoughtsTokenCount");
    Usage {
        input: count("promptTokenCount") + count("toolUsePromptTokenCount"),
        cached_input: count("cachedContentTokenCount"),
        output: count("candidatesTokenCount") + reasoning,
        reasoning: if client == AnthropicMessages { 0 } else { reasoning },
        ..Usage::default()
    }
}

fn reported(client: Format, usage: &Value) -> Usage {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    match client {
        OpenAiChat => Usage {
            input: count(&usage["prompt_tokens"]),
            cached_input: count(&usage["prompt_tokens_details"]["cached_tokens"]),
            output: count(&usage["completion_tokens"]),
            reasoning: count(&usage["completion_tokens_details"]["reasoning_tokens"]),
            ..Usage::default()
        },
        _ => {
            let cached_input = count(&usage["cache_read_input_tokens"]);
            let input = count(&usage["input_tokens"]) + cached_input;
            Usage { input, cached_input, output: count(&usage["output_tokens"]), ..Usage::default() }
        }
    }
}
