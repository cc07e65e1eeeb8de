use super::*;
use Format::{AnthropicMessages, GeminiGenerate, OpenAiChat, OpenAiEmbeddings, OpenAiResponses};
use proptest::prelude::*;
use serde_json::{Value, json};

mod asked;

const BY: By = By { phase: Phase::Request, number: 0, kind: "regex" };
const FORMATS: [Format; 4] = [OpenAiChat, AnthropicMessages, OpenAiResponses, GeminiGenerate];

fn masks(patterns: &[&str]) -> Arc<Guard> {
    let email = Builtin::Email.pattern().unwrap();
    let custom = patterns.iter().map(|pattern| Pattern::custom(pattern, "X").unwrap());
    Arc::new(Guard::new([(std::iter::once(email).chain(custom).collect(), Action::Mask)]))
}

fn rejects(pattern: &str) -> Action {
    Action::Reject(Arc::new(Rejection { by: BY, status: 451, message: pattern.to_owned() }))
}

fn custom(pattern: &str) -> Vec<Pattern> {
    vec![Pattern::custom(pattern, pattern).unwrap()]
}

#[test]
fn patterns_that_cannot_be_used_are_refused() {
    for (pattern, why) in [
        ("a*", "empty text"),
        ("(", "unclosed group"),
        (r"\w{1000}{1000}", "size"),
        (r"(a)\1", "backreferences are not supported"),
        ("(?=a)b", "look-ahead"),
    ] {
        let said = Pattern::custom(pattern, "x").expect_err(pattern);
        assert!(said.contains(why), "{pattern}: {said}");
    }
}

#[test]
fn the_first_mask_counts_and_what_is_masked_rejects_no_more() {
    type Lists = Vec<(Vec<Pattern>, Action)>;
    let rows: [(Lists, &str, Result<&str, &str>); 8] = [
        (vec![(custom("ab"), Action::Mask), (custom("b."), Action::Mask)], "abc bc", Ok("<ab>c <b.>")),
        (vec![(custom("b"), Action::Mask), (custom("abc"), Action::Mask)], "abc b", Ok("<abc> <b>")),
        (vec![(custom("a"), Action::Mask), (custom("ab"), Action::Mask)], "ab", Ok("<a>b")),
        (vec![(custom("secret"), rejects("no"))], "a secret", Err("no")),
        (
            vec![(custom("my secret"), Action::Mask), (custom("secret"), rejects("no"))],
            "my secret",
            Ok("<my secret>"),
        ),
        (
            vec![(custom("secret"), rejects("no")), (custom("my secret"), Action::Mask)],
            "my secret",
            Err("no"),
        ),
        (
            vec![(custom("my secret"), Action::Mask), (custom("secret"), rejects("no"))],
            "my secret secret",
            Err("no"),
        ),
        (vec![(custom("x"), rejects("x")), (custom("y"), rejects("y"))], "y x", Err("y")),
    ];
    for (lists, text, expect) in rows {
        let got = Guard::new(lists).masked(text).map(Option::unwrap_or_default);
        let got = got.as_deref().map_err(|rejection| rejection.message.as_str());
        assert_eq!(got, expect, "{text}");
    }
}

#[test]
fn a_number_in_an_object_becomes_a_text_so_that_it_stays_one() {
    let guard = masks(&["7+"]);
    for (text, expect) in [
        (
            r#"{"a":77,"b":"77","c":"\"77","a@b.de":[7]}"#,
            r#"{"a":"<X>","b":"<X>","c":"\"<X>","<EMAIL>":["<X>"]}"#,
        ),
        (" {7}", r#" {"<X>"}"#),
        ("say {7}", "say {<X>}"),
    ] {
        assert_eq!(guard.masked(text).unwrap().as_deref(), Some(expect), "{text}");
        let pieces: Vec<&str> = text.split_inclusive(['7', '"']).collect();
        let (out, _) = guarded(OpenAiChat, &guard, &stream(OpenAiChat, &pieces), 9);
        assert_eq!(read(OpenAiChat, &out).1, expect, "{text}");
    }
}

#[test]
fn many_masks_under_a_pattern_that_rejects_are_read_in_linear_time() {
    let guard = Guard::new([(custom("a"), Action::Mask), (custom("a"), rejects("no"))]);
    let masked = guard.masked(&"a".repeat(1 << 18)).unwrap().unwrap();
    assert_eq!(masked.len(), 3 << 18);
}

#[test]
fn texts_of_requests_are_masked_and_their_structure_is_not() {
    let mail = "a\\u0040b.de";
    let rows = [
        (
            OpenAiChat,
            r#"{"model":"M","user":"M","messages":[{"role":"system","name":"M","content":"M!"},{"role":"user","content":[{"type":"text","text":"\"M\""},{"type":"image_url","image_url":{"url":"http://M"}}]},{"role":"assistant","tool_calls":[{"id":"M","function":{"name":"M","arguments":"{\"to\":\"M\"}"}}]}],"tools":[{"function":{"description":"M"}}]}"#,
            r#"{"model":"M","user":"M","messages":[{"role":"system","name":"M","content":"<EMAIL>!"},{"role":"user","content":[{"type":"text","text":"\"<EMAIL>\""},{"type":"image_url","image_url":{"url":"http://M"}}]},{"role":"assistant","tool_calls":[{"id":"M","function":{"name":"M","arguments":"{\"to\":\"<EMAIL>\"}"}}]}],"tools":[{"function":{"description":"<EMAIL>"}}]}"#,
        ),
        (
            AnthropicMessages,
            r#"{"system":[{"type":"text","text":"M"}],"messages":[{"content":[{"type":"tool_use","id":"M","input":{"id":"M","n":[77]}},{"type":"document","source":{"data":"M","type":"t\u0065xt"}},{"type":"image","source":{"type":"base64","data":"M"}}]}]}"#,
            r#"{"system":[{"type":"text","text":"<EMAIL>"}],"messages":[{"content":[{"type":"tool_use","id":"M","input":{"id":"<EMAIL>","n":["<X>"]}},{"type":"document","source":{"data":"<EMAIL>","type":"t\u0065xt"}},{"type":"image","source":{"type":"base64","data":"M"}}]}]}"#,
        ),
        (
            OpenAiResponses,
            r#"{"instructions":"M","input":[{"type":"function_call_output","call_id":"M","output":"M"}],"metadata":{"x":"M"}}"#,
            r#"{"instructions":"<EMAIL>","input":[{"type":"function_call_output","call_id":"M","output":"<EMAIL>"}],"metadata":{"x":"M"}}"#,
        ),
        (OpenAiEmbeddings, r#"{"input":["M","x"]}"#, r#"{"input":["<EMAIL>","x"]}"#),
        (
            GeminiGenerate,
            r#"{"contents":[{"parts":[{"text":"M"},{"functionResponse":{"name":"M","response":{"name":"M"}}},{"inlineData":{"data":"M"}}]}]}"#,
            r#"{"contents":[{"parts":[{"text":"<EMAIL>"},{"functionResponse":{"name":"M","response":{"name":"<EMAIL>"}}},{"inlineData":{"data":"M"}}]}]}"#,
        ),
    ];
    let guard = masks(&["77"]);
    for (format, body, expect) in rows {
        let (body, expect) =
            (body.replace('M', mail), expect.replace('M', mail).replace(&format!("E{mail}AIL"), "EMAIL"));
        let got =
            guard.request(format, body.as_bytes()).expect("nothing rejects").expect("something is masked");
        assert_eq!(String::from_utf8(got).unwrap(), expect, "{format:?}");
        let clean = body.replace(mail, "nobody").replace("77", "1");
        assert_eq!(guard.request(format, clean.as_bytes()), Ok(None), "{format:?}");
    }
}

#[test]
fn whole_answers_are_masked_and_probabilities_go() {
    let rows = [
        (
            OpenAiChat,
            r#"{"id":"MAIL","choices":[{"index":0,"message":{"role":"assistant","content":"to MAIL","tool_calls":[{"id":"MAIL","function":{"name":"f","arguments":"MAIL"}}]},"logprobs":{"content":[{"token":"MAIL"}]},"finish_reason":"stop"}]}"#,
            r#"{"id":"MAIL","choices":[{"index":0,"message":{"role":"assistant","content":"to <EMAIL>","tool_calls":[{"id":"MAIL","function":{"name":"f","arguments":"<EMAIL>"}}]},"logprobs":null,"finish_reason":"stop"}]}"#,
        ),
        (
            AnthropicMessages,
            r#"{"type":"message","id":"MAIL","content":[{"type":"thinking","thinking":"MAIL","signature":"MAIL"},{"type":"text","text":"MAIL"},{"type":"tool_use","name":"f","input":{"name":"MAIL"}}],"stop_reason":"end_turn"}"#,
            r#"{"type":"message","id":"MAIL","content":[{"type":"thinking","thinking":"<EMAIL>","signature":"MAIL"},{"type":"text","text":"<EMAIL>"},{"type":"tool_use","name":"f","input":{"name":"<EMAIL>"}}],"stop_reason":"end_turn"}"#,
        ),
        (
            OpenAiResponses,
            r#"{"id":"MAIL","output":[{"type":"message","content":[{"type":"output_text","text":"MAIL","logprobs":[1]}]},{"type":"function_call","arguments":"MAIL"}]}"#,
            r#"{"id":"MAIL","output":[{"type":"message","content":[{"type":"output_text","text":"<EMAIL>","logprobs":[]}]},{"type":"function_call","arguments":"<EMAIL>"}]}"#,
        ),
        (
            GeminiGenerate,
            r#"{"candidates":[{"content":{"parts":[{"text":"MAIL","thoughtSignature":"MAIL"},{"functionCall":{"name":"f","args":{"x":"MAIL"}}}]},"finishReason":"STOP"}],"responseId":"MAIL"}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"<EMAIL>","thoughtSignature":"MAIL"},{"functionCall":{"name":"f","args":{"x":"<EMAIL>"}}}]},"finishReason":"STOP"}],"responseId":"MAIL"}"#,
        ),
    ];
    for (format, body, expect) in rows {
        let (body, expect) = (body.replace("MAIL", "a@b.de"), expect.replace("MAIL", "a@b.de"));
        let expect = expect.replace("<Ea@b.de>", "<EMAIL>");
        let got = masks(&[])
            .answer(format, body.as_bytes())
            .expect("nothing rejects")
            .expect("something is masked");
        assert_eq!(String::from_utf8(got).unwrap(), expect, "{format:?}");
    }
    assert!(matches!(masks(&[]).answer(OpenAiChat, b"{"), Err(Unfit::NotJson)));
}

// === streams ===

/// A stream whose text comes in these pieces.
fn stream(format: Format, pieces: &[&str]) -> String {
    let mut events: Vec<(&str, Value)> = Vec::new();
    if format == AnthropicMessages {
        let block = json!({"type": "text", "text": ""});
        events.push((
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
        ));
    }
    for (number, piece) in pieces.iter().enumerate() {
        events.push(match format {
            OpenAiChat => ("", json!({"choices": [{"delta": {"content": piece}, "index": 0}]})),
            AnthropicMessages => {
                let delta = json!({"type": "text_delta", "text": piece});
                ("content_block_delta", json!({"type": "content_block_delta", "index": 0, "delta": delta}))
            }
            OpenAiResponses => {
                let kind = "response.output_text.delta";
                (kind, json!({"type": kind, "sequence_number": number, "output_index": 0, "delta": piece}))
            }
            _ => ("", json!({"candidates": [{"content": {"parts": [{"text": piece}]}, "index": 0}]})),
        });
    }
    match format {
        OpenAiChat => {
            events.push(("", json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})))
        }
        AnthropicMessages => {
            events.push(("content_block_stop", json!({"type": "content_block_stop", "index": 0})));
            events.push(("message_stop", json!({"type": "message_stop"})));
        }
        OpenAiResponses => {
            let kind = "response.output_text.done";
            events.push((kind, json!({"type": kind, "sequence_number": 99, "text": pieces.concat()})));
        }
        _ => events.push(("", json!({"candidates": [{"finishReason": "STOP", "index": 0}]}))),
    }
    let mut out = Vec::new();
    events
        .iter()
        .for_each(|(name, data)| crate::wire::sse::write(&mut out, name, data.to_string().as_bytes()));
    if format == OpenAiChat {
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
    String::from_utf8(out).unwrap()
}

/// The data of the events, and the running text of them all.
fn read(format: Format, stream: &str) -> (Vec<Value>, String) {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events: Vec<Value> =
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect();
    let pointer = match format {
        OpenAiChat => "/choices/0/delta/content",
        AnthropicMessages => "/delta/text",
        OpenAiResponses => "/delta",
        _ => "/candidates/0/content/parts/0/text",
    };
    let text = events.iter().filter_map(|event| event.pointer(pointer)?.as_str()).collect();
    (events, text)
}

/// What becomes of a stream that arrives in pieces of this many bytes.
fn guarded(format: Format, guard: &Arc<Guard>, stream: &str, size: usize) -> (String, bool) {
    let mut masker = Masker::new(format, guard.clone());
    let mut out = Vec::new();
    stream.as_bytes().chunks(size).for_each(|bytes| masker.feed(bytes, &mut out).unwrap());
    masker.finish(&mut out);
    (String::from_utf8(out).unwrap(), masker.rejected().is_some())
}

#[test]
fn streams_are_masked_wherever_they_are_cut() {
    let guard = masks(&["sk-[a-z]+"]);
    let pieces = ["Write ", "to ann", "@exa", "mple", ".com", ". Or s", "k-abc", "def", "; or x@", "y.de"];
    for format in FORMATS {
        let whole = stream(format, &pieces);
        let (expect, _) = guarded(format, &guard, &whole, usize::MAX);
        let (events, text) = read(format, &expect);
        assert_eq!(text, "Write to <EMAIL>. Or <X>; or <EMAIL>", "{format:?}");
        assert_eq!(events.len(), read(format, &whole).0.len(), "{format:?}: all events pass");
        assert!(!expect.contains("example") && !expect.contains("abc"), "{format:?}: {expect}");
        for size in 1..=whole.len() {
            assert_eq!(guarded(format, &guard, &whole, size).0, expect, "{format:?} by {size}");
        }
    }
}

#[test]
fn a_stream_without_a_match_passes_as_it_is() {
    for format in FORMATS {
        let whole = stream(format, &["nothing \"to\" s", "ee h", "ére", ""]);
        assert_eq!(guarded(format, &masks(&["see me"]), &whole, 7), (whole, false), "{format:?}");
    }
}

#[test]
fn a_stream_that_is_rejected_passes_to_where_it_is() {
    let guard = Arc::new(Guard::new([(custom("top secret"), rejects("no"))]));
    for format in FORMATS {
        let whole = stream(format, &["all is ", "well. ", "This is to", "p sec", "ret stuff", " and more"]);
        let (out, rejected) = guarded(format, &guard, &whole, 11);
        assert_eq!((read(format, &out).1.as_str(), rejected), ("all is well. ", true), "{format:?}");
        let clean = stream(format, &["top", " of the class"]);
        assert_eq!(guarded(format, &guard, &clean, 11), (clean, false), "{format:?}");
    }
}

#[test]
fn an_event_without_its_blank_line_passes_if_it_is_whole() {
    for (end, passes) in
        [("data: [DONE]", true), ("data: {\"choices\":[]}\n", true), ("data: {\"choices\":[", false)]
    {
        let (out, _) = guarded(OpenAiChat, &masks(&[]), end, 3);
        assert_eq!(out.contains("data"), passes, "{end}");
    }
}

#[test]
fn no_more_is_held_than_could_begin_a_match() {
    let mut masker = Masker::new(OpenAiChat, masks(&["secret"]));
    let event = |text: &str| {
        let mut out = Vec::new();
        let data = json!({"choices": [{"index": 0, "delta": {"content": text}}]}).to_string();
        crate::wire::sse::write(&mut out, "", data.as_bytes());
        out
    };
    for (text, passed) in [("a, ", "a, "), ("b se", ""), ("cr", ""), ("ecy. ", "b secrecy. "), ("!", "!")] {
        let mut out = Vec::new();
        masker.feed(&event(text), &mut out).unwrap();
        assert_eq!(read(OpenAiChat, &String::from_utf8(out).unwrap()).1, passed, "{text}");
    }
}

#[test]
fn texts_that_run_side_by_side_are_held_apart() {
    let chunk = |choices: Value| format!("data: {}\n\n", json!({"choices": choices}));
    let both = |a: &str, b: &str| {
        chunk(json!([{"index": 0, "delta": {"content": a}}, {"index": 1, "delta": {"content": b}}]))
    };
    let call = |index: u64, text: &str| {
        let calls = json!([{"index": index, "function": {"arguments": text}}]);
        chunk(json!([{"index": 0, "delta": {"tool_calls": calls}}]))
    };
    let whole =
        [both("a@b", "x@y"), both(".de ", ".z "), call(0, "q@"), call(0, "r.de"), call(1, "s")].concat();
    let (out, _) = guarded(OpenAiChat, &masks(&[]), &whole, 5);
    let expect =
        [both("<EMAIL>", "x@y"), both(" ", ".z "), call(0, "<EMAIL>"), call(0, ""), call(1, "s")].concat();
    assert_eq!(out, expect);
}

#[test]
fn a_match_that_is_longer_than_the_window_passes_in_part_and_nothing_waits_for_ever() {
    let long = "x".repeat(WINDOW_BYTES);
    let whole = stream(OpenAiChat, &["k", &long, &long, "; k", "x;"]);
    let (out, _) = guarded(OpenAiChat, &masks(&["kx+;"]), &whole, 100);
    let text = read(OpenAiChat, &out).1;
    assert!(text.ends_with("x; <X>") && text.len() > 2 * WINDOW_BYTES, "{text}");
}

fn text() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["a@b.de", "ab", "aab", " ", "é", "a", "b", "@", "-a", "\"", "c"])
        .prop_map(str::to_owned)
}

proptest! {
    /// However a text is cut into events and bytes, what comes out is what the whole text becomes.
    #[test]
    fn a_stream_is_masked_as_the_whole_text_is(
        words in prop::collection::vec(text(), 0..12), cuts in prop::collection::vec(0usize..40, 0..8), size in 1usize..50,
        format in prop::sample::select(FORMATS.to_vec()),
    ) {
        let guard = masks(&["a+b", "-a+c?", "é.b"]);
        let text = words.concat();
        let mut cuts: Vec<usize> = cuts.into_iter().filter(|cut| text.is_char_boundary(*cut)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let pieces: Vec<&str> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
        let (out, _) = guarded(format, &guard, &stream(format, &pieces), size);
        let expect = guard.masked(&text).unwrap().unwrap_or(text);
        prop_assert_eq!(read(format, &out).1, expect);
    }

    /// Whatever arrives, the masker neither panics nor loses events that are no JSON.
    #[test]
    fn anything_may_arrive(lines in prop::collection::vec("(data: )?[\\[\\]{}\",:a-z@. ]{0,12}", 0..12), size in 1usize..20) {
        for format in FORMATS {
            guarded(format, &masks(&["[a-c]+"]), &(lines.join("\n\n") + "\n\n"), size);
        }
    }
}
