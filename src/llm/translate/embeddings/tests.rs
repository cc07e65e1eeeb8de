use super::vectors::{self, Place};
use super::*;
use crate::llm::translate;
use proptest::prelude::*;
use serde_json::json;

/// The formats that answer.
const PROVIDERS: [Format; 5] = [
    Format::OpenAiEmbeddings,
    Format::GeminiEmbed,
    Format::GeminiEmbedBatch,
    Format::GeminiPredict,
    Format::BedrockInvoke,
];

/// Those that ask.
const CLIENTS: [Format; 3] = [Format::OpenAiEmbeddings, Format::GeminiEmbed, Format::GeminiEmbedBatch];

fn reply(provider: Format, client: Format, body: &str, base64: bool) -> Result<String, BadReply> {
    let terms = ReplyTerms { asked_model: Some("m"), input_tokens: 7, base64, ..ReplyTerms::default() };
    let mut out = Vec::new();
    translate::reply(provider, client, &mut body.as_bytes().to_vec(), &terms, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn digits_stay_as_they_came() {
    let numbers =
        "-0.006929283495992422,5.323092E-4,-4.477483162190765e-5,1e300,-0,12345678901234567890123,3.0";
    let spaced = numbers.replace(',', " ,\n        ");
    for (provider, body) in [
        (
            Format::GeminiEmbed,
            format!(r#"{{"embedding": {{"values": [ {spaced} ]}}, "usageMetadata": {{}}}}"#),
        ),
        (Format::GeminiEmbedBatch, format!(r#"{{"embeddings": [{{"values": [{spaced}]}}]}}"#)),
        (
            Format::GeminiPredict,
            format!(
                r#"{{"predictions":[{{"embeddings":{{"statistics":{{"token_count":3}},"values":[{spaced}]}}}}]}}"#
            ),
        ),
        (
            Format::BedrockInvoke,
            format!(
                r#"{{"embedding":[{spaced}],"embeddingsByType":{{"float":[9]}},"inputTextTokenCount":3}}"#
            ),
        ),
        (Format::BedrockInvoke, format!(r#"{{"embeddings":[[{spaced}]],"id":"x","texts":["[1]"]}}"#)),
        (Format::BedrockInvoke, format!(r#"{{"embeddings":{{"int8":[[1]],"float":[[{spaced}]]}}}}"#)),
        (
            Format::BedrockInvoke,
            format!(r#"{{"embeddings":[{{"embeddingType":"TEXT","embedding":[{spaced}]}}]}}"#),
        ),
    ] {
        let expected = format!(
            r#"{{"object":"list","data":[{{"object":"embedding","index":0,"embedding":[{numbers}]}}],"model":"m","usage":{{"prompt_tokens":7,"total_tokens":7}}}}"#
        );
        assert_eq!(reply(provider, Format::OpenAiEmbeddings, &body, false), Ok(expected), "{body}");
    }
    let body = format!(r#"{{"data":[{{"embedding":[{spaced}],"index":0}}],"usage":{{"prompt_tokens":3}}}}"#);
    let expected =
        format!(r#"{{"embedding":{{"values":[{numbers}]}},"usageMetadata":{{"promptTokenCount":7}}}}"#);
    assert_eq!(reply(Format::OpenAiEmbeddings, Format::GeminiEmbed, &body, false), Ok(expected));
}

/// 1.0 is 00 00 80 3f, -2.5 is 00 00 20 c0 (IEEE 754, the least byte first).
#[test]
fn base64_holds_floats_the_least_byte_first() {
    let body = r#"{"embeddings":[{"values":[ 1.0, -25e-1 ]},{"values":[]}]}"#;
    let text = reply(Format::GeminiEmbedBatch, Format::OpenAiEmbeddings, body, true).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["data"][0]["embedding"], "AACAPwAAIMA=");
    assert_eq!(value["data"][1]["embedding"], "");
}

#[test]
fn what_is_no_answer_is_not_passed_on() {
    for (provider, body, bad) in [
        (Format::GeminiEmbedBatch, r#"{"embeddings":[{"values":[1"#, BadReply::NotJson),
        (Format::GeminiEmbedBatch, "", BadReply::NotJson),
        (Format::GeminiEmbedBatch, r#"{"embeddings":[]}"#, BadReply::NotAnAnswer),
        (Format::GeminiEmbedBatch, r#"{"embeddings":[{"values":[1,"2"]}]}"#, BadReply::NotAnAnswer),
        (Format::GeminiEmbedBatch, r#"{"embeddings":[{"values":[[1]]}]}"#, BadReply::NotAnAnswer),
        (Format::GeminiEmbedBatch, r#"{"embeddings":[{"values":[null]}]}"#, BadReply::NotAnAnswer),
        (Format::GeminiEmbed, r#"{"embedding":{"values":7}}"#, BadReply::NotAnAnswer),
        (Format::GeminiPredict, r#"{"predictions":[{"values":[1]}]}"#, BadReply::NotAnAnswer),
        (Format::BedrockInvoke, r#"{"message":"no"}"#, BadReply::NotAnAnswer),
        (Format::OpenAiEmbeddings, r#"{"data":[{"embedding":"AACAPw=="}]}"#, BadReply::NotAnAnswer),
    ] {
        let client = if provider == Format::OpenAiEmbeddings { CLIENTS[1] } else { CLIENTS[0] };
        assert_eq!(reply(provider, client, body, false), Err(bad), "{body}");
    }
    let two = r#"{"embeddings":[[1],[2]]}"#;
    let refused = reply(Format::BedrockInvoke, Format::GeminiEmbed, two, false);
    assert_eq!(refused, Err(BadReply::NotAnAnswer), "one was asked for");
    let many = format!(r#"{{"embeddings":[{}]}}"#, vec!["[1]"; 2_049].join(","));
    assert_eq!(vectors::read(many.as_bytes(), bedrock::place), Err(BadReply::NotAnAnswer));
}

#[test]
fn a_request_names_one_of_the_formats_here() {
    for (from, to) in [
        (Format::OpenAiEmbeddings, Format::OpenAiChat),
        (Format::GeminiEmbed, Format::GeminiGenerate),
        (Format::GeminiPredict, Format::OpenAiEmbeddings),
        (Format::BedrockInvoke, Format::GeminiEmbed),
    ] {
        let body = br#"{"model":"m","input":"x","content":{"parts":[{"text":"x"}]}}"#;
        let bad = translate::request(from, to, &mut body.to_vec(), &RequestTerms::default(), &mut Vec::new());
        assert_eq!(bad, Err(unpaired()), "{from:?} {to:?}");
    }
}

fn bodies() -> impl Strategy<Value = serde_json::Value> {
    const WORDS: [&str; 22] = [
        "model",
        "input",
        "dimensions",
        "content",
        "parts",
        "text",
        "requests",
        "embedContentConfig",
        "taskType",
        "outputDimensionality",
        "embedding",
        "embeddings",
        "values",
        "data",
        "predictions",
        "float",
        "statistics",
        "token_count",
        "title",
        "input_type",
        "truncate",
        "encoding_format",
    ];
    let leaf = prop_oneof![
        Just(json!(null)),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,6}".prop_map(Into::into),
        prop::sample::select(&WORDS[..]).prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::hash_map(prop::sample::select(&WORDS[..]), inner, 0..6).prop_map(|members| {
                let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
                members.collect::<serde_json::Map<_, _>>().into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn what_comes_out_is_json_whatever_goes_in(body in bodies(), base64: bool) {
        let text = body.to_string();
        for from in CLIENTS {
            for to in PROVIDERS {
                let terms = RequestTerms { model: Some("us.cohere.embed-v4:0"), ..RequestTerms::default() };
                let mut out = Vec::new();
                if translate::request(from, to, &mut text.clone().into_bytes(), &terms, &mut out).is_ok() && from != to {
                    prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
                }
                if let Ok(out) = reply(to, from, &text, base64) {
                    prop_assert!(serde_json::from_str::<serde_json::Value>(&out).is_ok(), "{}", out);
                }
            }
        }
    }

    /// As with a tree, where the numbers come back as they were.
    #[test]
    fn vectors_are_those_of_a_tree(vectors in prop::collection::vec(prop::collection::vec(any::<f32>(), 0..5), 1..5)) {
        let body = json!({"embeddings": vectors, "other": [[1]]});
        let text = serde_json::to_string_pretty(&body).unwrap();
        prop_assume!(!text.contains("null")); // JSON has no infinities
        let spans = vectors::read(text.as_bytes(), bedrock::place).unwrap();
        let read: Vec<Vec<f32>> =
            spans.iter().map(|span| serde_json::from_slice(span.of(text.as_bytes())).unwrap()).collect();
        prop_assert_eq!(read, vectors);
    }
}

#[test]
fn places_are_told_by_members_alone() {
    assert_eq!(bedrock::place(Place::Top, b"embeddingsByType"), Place::Other);
    assert_eq!(openai::place(Place::Entry, b"index"), Place::Other);
}
