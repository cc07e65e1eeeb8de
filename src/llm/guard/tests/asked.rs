//! What services are asked, what their answers say, and what a stream holds back for them.

use super::*;

fn moderation() -> Service {
    Service::Moderation { model: "m".into() }
}

/// Roles and texts of a request.
fn said(format: Format, body: &str) -> Vec<(&'static str, String)> {
    let texts = Texts::of_request(format, body.as_bytes());
    texts.said.into_iter().map(|said| (said.role.name(), said.text)).collect()
}

#[test]
fn every_format_says_who_says_what() {
    type Row<'a> = (Format, &'a str, &'a [(&'a str, &'a str)]);
    let rows: [Row<'_>; 7] = [
        (
            OpenAiChat,
            r#"{"messages":[{"role":"developer","content":"a"},{"content":[{"type":"text","text":"b"},{"type":"text","text":"c"}],"role":"user"},{"role":"assistant","content":null,"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]},{"role":"tool","tool_call_id":"t","content":"d\u0021"},{"role":"user","content":""}],"tools":[{"function":{"description":"e"}}]}"#,
            &[
                ("system", "a"),
                ("user", "b"),
                ("user", "c"),
                ("assistant", "{}"),
                ("tool", "d!"),
                ("system", "e"),
            ],
        ),
        (
            AnthropicMessages,
            r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"tool_use","input":{"x":"b","n":7}}]}],"system":[{"type":"text","text":"c"}]}"#,
            &[("user", "a"), ("assistant", "b"), ("assistant", "7"), ("system", "c")],
        ),
        (OpenAiResponses, r#"{"instructions":"a","input":"b"}"#, &[("system", "a"), ("user", "b")]),
        (
            OpenAiResponses,
            r#"{"input":[{"role":"system","content":"a"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"b"}]},{"type":"function_call","arguments":"c"},{"type":"function_call_output","output":"d"},{"content":"e"},{"type":"reasoning","summary":[{"text":"f"}]}]}"#,
            &[
                ("system", "a"),
                ("assistant", "b"),
                ("assistant", "c"),
                ("tool", "d"),
                ("user", "e"),
                ("assistant", "f"),
            ],
        ),
        (OpenAiEmbeddings, r#"{"input":["a","b"]}"#, &[("user", "a"), ("user", "b")]),
        (OpenAiEmbeddings, r#"{"input":[[1,2],[3]]}"#, &[]),
        (
            GeminiGenerate,
            r#"{"systemInstruction":{"parts":[{"text":"a"}]},"contents":[{"parts":[{"text":"b"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":"c"}}}]},{"role":"function","parts":[{"functionResponse":{"name":"f","response":{"y":"d"}}}]}]}"#,
            &[("system", "a"), ("user", "b"), ("assistant", "c"), ("tool", "d")],
        ),
    ];
    for (format, body, expect) in rows {
        let expect: Vec<_> = expect.iter().map(|(role, text)| (*role, (*text).to_owned())).collect();
        assert_eq!(said(format, body), expect, "{format:?} {body}");
    }
}

fn texts(list: &[&str]) -> Vec<Said> {
    let said = |text: &&str| Said { role: Role::User, text: (*text).to_owned(), passed: 0 };
    list.iter().map(said).collect()
}

#[test]
fn questions_are_those_of_the_services() {
    let (said, request, response) = (texts(&["a\"", "b"]), Phase::Request, Phase::Response);
    let asked = |service: &Service, phase| -> Value {
        serde_json::from_slice(&service.question(phase, &said).expect("not too large")).expect("JSON")
    };
    let messages = [json!({"role": "user", "content": "a\""}), json!({"role": "user", "content": "b"})];
    assert_eq!(asked(&Service::Webhook, request), json!({"body": {"messages": messages}}));
    let choices: Vec<Value> = messages.iter().map(|message| json!({"message": message})).collect();
    assert_eq!(asked(&Service::Webhook, response), json!({"body": {"choices": choices}}));
    assert_eq!(asked(&moderation(), request), json!({"model": "m", "input": ["a\"", "b"]}));
    let paths = [(Service::Webhook, request), (Service::Webhook, response), (moderation(), request)];
    assert_eq!(
        paths.map(|(service, phase)| service.path(phase)),
        ["/request", "/response", "/v1/moderations"]
    );
}

#[test]
fn there_is_a_bound_to_what_is_asked() {
    let most = texts(&vec!["x"; TEXTS_MAX]);
    let more = texts(&vec!["x"; TEXTS_MAX + 1]);
    let large = texts(&[&"x".repeat(QUESTION_BYTES_MAX)]);
    let escaped = texts(&[&"\u{1}".repeat(QUESTION_BYTES_MAX / 5)]);
    for service in [Service::Webhook, moderation()] {
        let fits = |said: &[Said]| service.question(Phase::Request, said).is_some();
        assert_eq!([fits(&most), fits(&more), fits(&large), fits(&escaped)], [true, false, false, false]);
    }
}

#[test]
fn what_a_webhook_says() {
    let mask = |list: &[&str]| Ok(Verdict::Masked(list.iter().map(|text| (*text).to_owned()).collect()));
    let reject = |status, message: &str| Ok(Verdict::Rejected { status, message: message.to_owned() });
    type Said<'a> = Result<Verdict, &'a str>;
    let rows: [(&str, Said<'_>); 26] = [
        (r#"{"action":{}}"#, Ok(Verdict::Pass)),
        (r#"{"action":{"reason":"fine","body":null,"status_code":null}}"#, Ok(Verdict::Pass)),
        (r#"{"more":[],"action":{"reason":null}}"#, Ok(Verdict::Pass)),
        (
            r#"{"action":{"body":{"messages":[{"role":"user","content":"a"},{"content":"\u0062"}]}}}"#,
            mask(&["a", "b"]),
        ),
        (
            r#"{"action":{"reason":"x","body":{"messages":[{"content":""},{"content":"b","role":1}],"x":0}}}"#,
            mask(&["", "b"]),
        ),
        (r#"{"action":{"body":"No.","status_code":422,"reason":"x"}}"#, reject(422, "No.")),
        (r#"{"action":{"status_code":200,"body":"caf\u00e9"}}"#, reject(200, "café")),
        ("", Err("no JSON")),
        ("ok", Err("no JSON")),
        (r#"{"action":{}"#, Err("no JSON")),
        ("{}", Err("no action")),
        ("[]", Err("no action")),
        (r#"{"action":"pass"}"#, Err("no action")),
        (r#"{"action":[]}"#, Err("no action")),
        (r#"{"action":{"status_code":403}}"#, Err("none that is known")),
        (r#"{"action":{"body":"No."}}"#, Err("none that is known")),
        (r#"{"action":{"body":"No.","status_code":"403"}}"#, Err("none that is known")),
        (r#"{"action":{"body":"No.","status_code":199}}"#, Err("none that is known")),
        (r#"{"action":{"body":"No.","status_code":600}}"#, Err("none that is known")),
        (r#"{"action":{"body":true}}"#, Err("none that is known")),
        (r#"{"action":{"body":[]}}"#, Err("none that is known")),
        (r#"{"action":{"body":{}}}"#, Err("none that is known")),
        (
            r#"{"action":{"body":{"choices":[{"message":{"content":"a"}},{"message":{"content":"b"}}]}}}"#,
            Err("none that is known"),
        ),
        (r#"{"action":{"body":{"messages":[{"content":"a"}]}}}"#, Err("other texts")),
        (r#"{"action":{"body":{"messages":[{"content":"a"},{"content":null}]}}}"#, Err("no text")),
        (r#"{"action":{"body":{"messages":[{"content":"a"},"b"]}}}"#, Err("no text")),
    ];
    for (answer, expect) in rows {
        let got = Service::Webhook.verdict(Phase::Request, answer.as_bytes(), 2);
        match expect {
            Ok(verdict) => assert_eq!(got, Ok(verdict), "{answer}"),
            Err(why) => {
                let Garbage(said) = got.expect_err(answer);
                assert!(said.contains(why), "{answer}: {said}");
            }
        }
    }
    let choices = r#"{"action":{"body":{"choices":[{"message":{"role":"assistant","content":"x"}}]}}}"#;
    let got = Service::Webhook.verdict(Phase::Response, choices.as_bytes(), 1);
    assert_eq!(got, Ok(Verdict::Masked(vec!["x".to_owned()])));
    let long = format!(r#"{{"action":{{"body":"{}","status_code":403}}}}"#, "é".repeat(9_000));
    let Ok(Verdict::Rejected { message, .. }) = Service::Webhook.verdict(Phase::Request, long.as_bytes(), 1)
    else {
        panic!("it rejects");
    };
    assert_eq!(message, "é".repeat(2_048));
}

#[test]
fn what_moderation_says() {
    let rows = [
        (r#"{"results":[{"flagged":false,"categories":{"flagged":true}}]}"#, Ok(Verdict::Pass)),
        (r#"{"results":[{"flagged":false},{"flagged":true}]}"#, Ok(Verdict::Flagged)),
        (r#"{"results":[]}"#, Err(())),
        (r#"{"results":[{}]}"#, Err(())),
        (r#"{"results":[{"flagged":false},{"flagged":"no"}]}"#, Err(())),
        (r#"{"flagged":false}"#, Err(())),
        (r#"{"error":{"message":"no"}}"#, Err(())),
        ("<html>", Err(())),
    ];
    for (answer, expect) in rows {
        let got = moderation().verdict(Phase::Request, answer.as_bytes(), 2);
        assert_eq!(got.map_err(|_| ()), expect, "{answer}");
    }
}

#[test]
fn a_body_is_put_together_again_around_what_is_masked() {
    let body = r#"{"messages":[{"role":"user","content":"a\u0062"},{"content":"c","role":"user"}],"n":1}"#;
    let mut texts = Texts::of_request(OpenAiChat, body.as_bytes());
    assert_eq!(texts.said.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["ab", "c"]);
    texts.said[1].text = "\"x\"".into();
    let masked = String::from_utf8(texts.applied(body.as_bytes()).expect("it is another")).expect("text");
    assert_eq!(masked, body.replace(r#""c""#, r#""\"x\"""#));
    assert_eq!(Texts::of_request(OpenAiChat, body.as_bytes()).applied(body.as_bytes()), None);
    // An answer that repeats itself is asked about once and masked everywhere.
    let answer =
        r#"{"output":[{"content":[{"type":"output_text","text":"x","logprobs":[1]}]}],"output_text":"x"}"#;
    let mut texts = Texts::of_answer(OpenAiResponses, answer.as_bytes()).expect("JSON");
    assert_eq!(texts.said.len(), 1);
    texts.said[0].text = "y".into();
    let masked = String::from_utf8(texts.applied(answer.as_bytes()).expect("it is another")).expect("text");
    assert_eq!(masked, answer.replace(r#""x""#, r#""y""#).replace("[1]", "[]"));
}

/// A stream in pieces of this many bytes, each of its windows judged by `judge`; and the questions.
fn judged(
    format: Format,
    stream: &str,
    size: usize,
    judge: impl Fn(&mut Vec<Said>) -> bool,
) -> (String, Vec<Vec<(String, usize)>>) {
    let mut window = Window::new(format);
    let (mut out, mut questions) = (Vec::new(), Vec::new());
    let mut ask = |window: &mut Window, out: &mut Vec<u8>| {
        let mut said = window.question();
        questions.push(said.iter().map(|said| (said.text.clone(), said.passed)).collect());
        let passes = judge(&mut said);
        match passes {
            true => window.judged(&said, out),
            false => window.drop_held(out),
        }
        passes
    };
    for bytes in stream.as_bytes().chunks(size) {
        window.feed(bytes, &mut out).expect("short events");
        if window.is_due() && !ask(&mut window, &mut out) {
            return (String::from_utf8(out).expect("text"), questions);
        }
    }
    window.finish(&mut out);
    if window.is_due() {
        ask(&mut window, &mut out);
    }
    assert!(!window.is_due(), "nothing is left");
    (String::from_utf8(out).expect("text"), questions)
}

#[test]
fn a_stream_that_is_let_pass_is_what_it_was_wherever_it_is_cut() {
    for format in FORMATS {
        let whole = stream(format, &["one ", "two \"three\"", "", " four"]);
        for size in (1..60).chain([whole.len()]) {
            let (out, questions) = judged(format, &whole, size, |_| true);
            assert_eq!(out, whole, "{format:?} by {size}");
            let text = ("one two \"three\" four".to_owned(), 0);
            assert_eq!(questions, [vec![text]], "{format:?}: what is said twice is asked once");
        }
    }
}

#[test]
fn windows_are_asked_about_with_what_went_before() {
    let word = "0123456789 ".repeat(30);
    let pieces: Vec<&str> = std::iter::repeat_n(word.as_str(), 13).collect();
    for format in [OpenAiChat, AnthropicMessages, GeminiGenerate] {
        let whole = stream(format, &pieces);
        let (out, questions) = judged(format, &whole, 64, |_| true);
        assert_eq!(out, whole, "{format:?}");
        let all = word.repeat(13);
        let (mut at, mut windows) = (0, 0);
        for (text, passed) in questions.iter().flatten() {
            assert!(
                *passed <= CONTEXT_BYTES && *passed == at.min(CONTEXT_BYTES),
                "{format:?}: {passed} at {at}"
            );
            assert_eq!(&all[at - passed..at + text.len() - passed], text, "{format:?}");
            (at, windows) = (at + text.len() - passed, windows + 1);
        }
        assert_eq!((at, windows), (all.len(), all.len().div_ceil(4 * word.len())), "{format:?}");
    }
}

#[test]
fn a_text_that_is_masked_stands_where_it_began() {
    for format in FORMATS {
        let whole = stream(format, &["a sec", "ret", " that is"]);
        let mask = |said: &mut Vec<Said>| {
            said.iter_mut().for_each(|said| said.text = said.text.replace("secret", "\"thing\""));
            true
        };
        let (out, _) = judged(format, &whole, 9, mask);
        let (events, text) = read(format, &out);
        assert_eq!(text, "a \"thing\" that is", "{format:?}");
        assert_eq!(events.len(), read(format, &whole).0.len(), "{format:?}: all events pass");
        assert!(!out.contains("ret"), "{format:?}: {out}");
    }
}

#[test]
fn nothing_that_has_a_text_passes_unjudged() {
    for format in FORMATS {
        let whole = stream(format, &["secret", " and more"]);
        for size in 1..80 {
            let (out, _) = judged(format, &whole, size, |_| false);
            let (_, text) = read(format, &out);
            assert_eq!((text.as_str(), out.contains("secret")), ("", false), "{format:?} by {size}: {out}");
        }
    }
    // Events without a text are told at once; what is no JSON is left out.
    let mut window = Window::new(OpenAiChat);
    let mut out = Vec::new();
    let role = r#"data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    window.feed(format!("{role}\n\n: comment\n\ndata: what?\n\n").as_bytes(), &mut out).expect("short");
    assert_eq!(String::from_utf8(out).expect("text"), format!("{role}\n\n"));
}

#[test]
fn many_events_without_text_are_not_held_for_long() {
    let mut window = Window::new(OpenAiChat);
    let mut out = Vec::new();
    let text = r#"data: {"choices":[{"index":0,"delta":{"content":"x"}}]}"#;
    window.feed(format!("{text}\n\n").as_bytes(), &mut out).expect("short");
    let mut events = 1;
    while !window.is_due() {
        window.feed(b"data: {\"choices\":[]}\n\n", &mut out).expect("short");
        events += 1;
    }
    assert_eq!(events, 1 << 12);
}
