use super::*;
use crate::wire::json::unescape;

/// Inspects `body` at once, byte by byte and cut everywhere, and expects the same of all.
fn inspect(format: Format, body: &[u8]) -> Result<Ask, BadBody> {
    let whole = Inspector::new(format).finish(body);
    let mut bytewise = Inspector::new(format);
    let fed = (0..=body.len()).try_for_each(|end| bytewise.feed(&body[..end]));
    assert_eq!(fed.map_err(BadBody::from).and_then(|()| bytewise.finish(body)), whole, "byte by byte");
    for cut in 0..=body.len() {
        let mut inspector = Inspector::new(format);
        let fed = inspector.feed(&body[..cut]).map_err(BadBody::from);
        assert_eq!(fed.and_then(|()| inspector.finish(body)), whole, "cut at {cut}");
    }
    whole
}

fn openai(body: &str) -> Result<Ask, BadBody> {
    inspect(Format::OpenAiChat, body.as_bytes())
}

#[test]
fn a_chat_request_is_read() {
    let body = r#" {"model":"gpt-4o","stream":true,"stream_options":{"include_usage":false,"x":1},"n":3,
        "max_tokens":10,"max_completion_tokens":20,"messages":[{"role":"user","content":"hi\n"}],"user":"unseen"}"#;
    let ask = openai(body).unwrap();
    let text = |span: Option<Span>| span.map(|span| &body[span.range()]);
    assert_eq!(text(ask.model), Some("gpt-4o"));
    assert_eq!(text(ask.model_value), Some("\"gpt-4o\""));
    assert_eq!((ask.stream, ask.include_usage), (Some(true), Some(false)));
    assert_eq!(text(ask.include_usage_value), Some("false"));
    assert_eq!(text(ask.stream_options.map(|o| o.span)), Some(r#"{"include_usage":false,"x":1}"#));
    assert_eq!((ask.max_output, ask.choices), (Some(20), 3));
    assert_eq!(ask.text_bytes, "user".len() as u64 + 3);
    assert_eq!(ask.media_bytes, 0);
}

#[test]
fn an_anthropic_request_is_read() {
    let body = r#"{"model":"claude","max_tokens":1024,"n":"ignored","stream_options":7,
        "system":[{"type":"text","text":"be kind"}],"messages":[{"role":"user","content":[
        {"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAABBBB"}}]}],
        "tools":[{"name":"t","input_schema":{"type":"object","description":"d"}}]}"#;
    let ask = inspect(Format::AnthropicMessages, body.as_bytes()).unwrap();
    assert_eq!((ask.max_output, ask.choices, ask.stream_options), (Some(1024), 1, None));
    assert_eq!(ask.media_bytes, 8);
    let text =
        "text".len() + "be kind".len() + "user".len() + "image".len() + "base64".len() + "image/png".len();
    assert_eq!(ask.text_bytes as usize, text + "t".len() + "object".len() + "d".len());
}

#[test]
fn text_and_media_are_told_apart() {
    let rows = [
        (r#"{"messages":"abc"}"#, 3, 0),
        (r#"{"messages":["a",["b",{"c":"cc"}]],"system":"s","tools":["t"],"functions":["f"]}"#, 7, 0),
        (r#"{"user":"abc","metadata":{"messages":"abc"}}"#, 0, 0),
        (r#"{"messages":"\u4e2d\ud83d\ude00\n\""}"#, 3 + 4 + 2, 0),
        (r#"{"messages":[{"image_url":{"url":"data:image/png;base64,AAAA"}}]}"#, 0, 26),
        (r#"{"messages":[{"image_url":{"url":"\u0064ata:,AAAA"}}]}"#, 0, 10),
        (r#"{"messages":[{"image_url":{"url":"https://a.b/c"}}]}"#, 13, 0),
        (r#"{"messages":[{"image_url":"data:,A"}]}"#, 0, 7),
        (r#"{"messages":[{"image_url":"dat:data:,A"}]}"#, 11, 0),
        (r#"{"messages":[{"file":{"file_data":"data:,A","filename":"f"}}]}"#, 1, 7),
        (r#"{"messages":[{"input_audio":{"data":"AAAA","format":"wav"}}]}"#, 3, 4),
        (r#"{"messages":[{"content":"data: not media","data":"text"}]}"#, 19, 0),
        (r#"{"messages":[{"source":"abc"}]}"#, 3, 0),
        (r#"{"messages":[{"source":{"data":{"text":"deeper"}}}]}"#, 6, 0),
    ];
    for (body, text, media) in rows {
        let ask = openai(body).unwrap();
        assert_eq!((ask.text_bytes, ask.media_bytes), (text, media), "{body}");
    }
}

#[test]
fn null_is_absent() {
    let ask =
        openai(r#"{"model":null,"stream":null,"stream_options":null,"max_tokens":null,"n":null}"#).unwrap();
    assert_eq!((ask.model, ask.stream, ask.stream_options, ask.max_output), (None, None, None, None));
    assert_eq!(ask.choices, 1);
    assert!(ask.model_value.is_some() && ask.stream_options_null.is_some());
    let ask = openai(r#"{"max_tokens":5,"max_completion_tokens":null}"#).unwrap();
    assert_eq!(ask.max_output, Some(5));
    let ask = openai("{}").unwrap();
    assert_eq!(ask, Ask { choices: 1, top: Braces { span: Span::new(0, 2), empty: true }, ..Ask::default() });
}

#[test]
fn names_are_compared_decoded() {
    let body = r#"{"mod\u0065l":"gpt\u002d4o"}"#;
    let ask = openai(body).unwrap();
    let model = ask.model.and_then(|span| unescape::bounded::<64>(span.of(body.as_bytes())));
    assert_eq!(model.as_deref(), Some("gpt-4o"));
}

#[test]
fn wrong_types_name_the_field() {
    let rows = [
        (r#"{"model":1}"#, "model"),
        (r#"{"model":["a"]}"#, "model"),
        (r#"{"stream":"yes"}"#, "stream"),
        (r#"{"stream":1}"#, "stream"),
        (r#"{"stream_options":[]}"#, "stream_options"),
        (r#"{"stream_options":true}"#, "stream_options"),
        (r#"{"stream_options":{"include_usage":"true"}}"#, "stream_options.include_usage"),
        (r#"{"max_tokens":-1}"#, "max_tokens"),
        (r#"{"max_tokens":1.5}"#, "max_tokens"),
        (r#"{"max_completion_tokens":{}}"#, "max_completion_tokens"),
        (r#"{"n":"2","stream":0}"#, "n"),
    ];
    for (body, field) in rows {
        let Err(BadBody::Field { name, .. }) = openai(body) else { panic!("{body} passed") };
        assert_eq!(name, field, "{body}");
    }
    let said = |body| openai(body).unwrap_err().to_string();
    assert_eq!(said(r#"{"stream":"yes"}"#), "`stream` must be a boolean");
    assert_eq!(said("{,"), "the body is not valid JSON: unexpected character at byte 1");
}

#[test]
fn faults_are_told_with_their_place() {
    let rows = [
        (r#"[]"#, FaultKind::NotAnObject, 0),
        (r#" "text""#, FaultKind::NotAnObject, 1),
        ("null", FaultKind::NotAnObject, 0),
        ("17", FaultKind::NotAnObject, 0),
        ("", FaultKind::Truncated, 0),
        (r#"{"model":"a""#, FaultKind::Truncated, 12),
        (r#"{"model":"a"}{}"#, FaultKind::Trailing, 13),
        (r#"{"model":"a","model":"b"}"#, FaultKind::DuplicateKey, 13),
        (r#"{"model":"a","m\u006fdel":"b"}"#, FaultKind::DuplicateKey, 13),
        (r#"{"messages":[],"x":1,"messages":[]}"#, FaultKind::DuplicateKey, 21),
        (r#"{"stream_options":{"include_usage":true,"include_usage":false}}"#, FaultKind::DuplicateKey, 40),
        (r#"{"n":1,"n":2,,"#, FaultKind::DuplicateKey, 7),
    ];
    for (body, kind, at) in rows {
        assert_eq!(openai(body), Err(BadBody::Json(Fault { at, kind })), "{body}");
    }
    let body = b"{\"x\":\"\xff\",\"n\":1,\"n\":1}";
    let fault = Fault { at: 6, kind: FaultKind::InvalidUtf8 };
    assert_eq!(inspect(Format::OpenAiChat, body), Err(BadBody::Json(fault)));
    assert!(openai(r#"{"x":1,"x":2,"metadata":{"model":"a","model":"b"}}"#).is_ok(), "not for us");
}

#[test]
fn a_responses_request_is_read() {
    let body = r#"{"model":"gpt-5","input":[{"role":"user","content":[{"type":"input_text","text":"hi"},
        {"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}],"instructions":"kind","stream":true,
        "max_output_tokens":99,"tools":[{"name":"t"}],"text":{"format":{"type":"json"}},"n":"unseen",
        "previous_response_id":"resp_1","max_tokens":"unseen","background":false}"#;
    let ask = inspect(Format::OpenAiResponses, body.as_bytes()).unwrap();
    assert_eq!((ask.stream, ask.max_output, ask.choices), (Some(true), Some(99), 1));
    let text = "user".len() + "input_text".len() + 2 + "input_image".len() + 4 + 1 + "json".len();
    assert_eq!((ask.text_bytes as usize, ask.media_bytes), (text, 26));
    assert!(ask.unseen);
    for (body, unseen) in [
        (r#"{"conversation":{"id":"conv_1"}}"#, true),
        (r#"{"previous_response_id":null,"conversation":null,"input":[{"conversation":"c"}]}"#, false),
    ] {
        assert_eq!(inspect(Format::OpenAiResponses, body.as_bytes()).unwrap().unseen, unseen, "{body}");
    }
    let cached = br#"{"cachedContent":"cachedContents/1"}"#;
    assert!(inspect(Format::GeminiGenerate, cached).unwrap().unseen);
    let rows = [
        (r#"{"background":true}"#, "background", "false: "),
        (r#"{"background":1}"#, "background", "a boolean"),
        (r#"{"max_output_tokens":"9"}"#, "max_output_tokens", "a non-negative integer"),
    ];
    for (body, field, said) in rows {
        let bad = inspect(Format::OpenAiResponses, body.as_bytes()).unwrap_err();
        let BadBody::Field { name, expected } = bad else { panic!("{body}: {bad:?}") };
        assert!(name == field && expected.starts_with(said), "{body}: {bad}");
    }
    let twice = inspect(Format::OpenAiResponses, br#"{"background":false,"background":true}"#);
    assert_eq!(twice, Err(BadBody::Json(Fault { at: 20, kind: FaultKind::DuplicateKey })));
}

#[test]
fn an_embeddings_request_is_read_in_all_its_forms() {
    // Text bytes, tokens.
    let rows = [
        (r#""four""#, 4, 0),
        (r#"["four","and five"]"#, 12, 0),
        ("[1, 22, 333]", 0, 3),
        ("[[1,2],[3]]", 0, 3),
        ("[]", 0, 0),
    ];
    for (input, text, tokens) in rows {
        let body = format!(r#"{{"input":{input},"model":"e","dimensions":256,"encoding_format":"float"}}"#);
        let ask = inspect(Format::OpenAiEmbeddings, body.as_bytes()).unwrap();
        assert_eq!((ask.text_bytes, ask.input_tokens, ask.dimensions), (text, tokens, Some(256)), "{input}");
        assert_eq!(ask.model.map(|model| &body[model.range()]), Some("e"));
    }
    for (format, base64) in [
        (r#""base64""#, true),
        (r#""b\u0061se64""#, true),
        (r#""base64x""#, false),
        (r#""xbase64""#, false),
        (r#""base""#, false),
        (r#""float""#, false),
        (r#"["base64"]"#, false),
        ("null", false),
    ] {
        let body = format!(r#"{{"encoding_format":{format}}}"#);
        assert_eq!(inspect(Format::OpenAiEmbeddings, body.as_bytes()).unwrap().base64, base64, "{format}");
    }
}

#[test]
fn contents_to_embed_are_read() {
    let content = r#""content":{"parts":[{"text":"four"},{"inlineData":{"mimeType":"a/b","data":"AAAA"}}]}"#;
    let one = format!(r#"{{{content},"title":"by","taskType":"unseen","model":"unseen"}}"#);
    let configured = format!(r#"{{{content},"embedContentConfig":{{"title":"by"}}}}"#);
    let batch = format!(r#"{{"requests":[{one},{{"model":"unseen",{content}}}],"model":"unseen"}}"#);
    for (format, body, text, media) in [
        (Format::GeminiEmbed, one, 4 + 3 + 2, 4),
        (Format::GeminiEmbed, configured, 4 + 3 + 2, 4),
        (Format::GeminiEmbedBatch, batch, 2 * 7 + 2, 8),
    ] {
        let ask = inspect(format, body.as_bytes()).unwrap();
        assert_eq!((ask.text_bytes, ask.media_bytes, ask.model), (text, media, None), "{body}");
    }
}

#[test]
fn a_gemini_request_is_read_in_both_spellings() {
    let rows = [
        r#"{"contents":[{"role":"user","parts":[{"text":"hi"},{"inlineData":{"mimeType":"a/b","data":"AAAA"}}]}],
            "systemInstruction":{"parts":[{"text":"kind"}]},"tools":[{"functionDeclarations":[{"name":"f"}]}],
            "generationConfig":{"maxOutputTokens":7,"candidateCount":2,"responseSchema":{"type":"S"},"topK":"unseen"},
            "safetySettings":[{"category":"unseen"}],"model":"unseen"}"#,
        r#"{"contents":[{"role":"user","parts":[{"text":"hi"},{"inline_data":{"mime_type":"a/b","data":"AAAA"}}]}],
            "system_instruction":{"parts":[{"text":"kind"}]},"tools":[{"function_declarations":[{"name":"f"}]}],
            "generation_config":{"max_output_tokens":7,"candidate_count":2,"response_json_schema":{"type":"S"}}}"#,
    ];
    for body in rows {
        for format in [Format::GeminiGenerate, Format::GeminiCountTokens] {
            let ask = inspect(format, body.as_bytes()).unwrap();
            assert_eq!((ask.model, ask.stream, ask.max_output, ask.choices), (None, None, Some(7), 2));
            assert_eq!((ask.text_bytes, ask.media_bytes), (4 + 2 + 3 + 4 + 1 + 1, 4), "{body}");
        }
    }
    let lenient = r#"{"generationConfig":{"maxOutputTokens":"7","candidateCount":1.0}}"#;
    assert_eq!(inspect(Format::GeminiGenerate, lenient.as_bytes()).unwrap().max_output, None);
}
