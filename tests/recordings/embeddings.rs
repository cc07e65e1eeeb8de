//! Real embeddings of Google's and Amazon's: their vectors reach clients of OpenAI's digit by digit, and what was used is
//! read where it was told.

use crate::recordings;
use serde_json::Value;
use tollgate::llm::translate::{self, ReplyTerms, RequestTerms};
use tollgate::llm::{Format, Inspector, Meter};

/// Folder, and the format of its answers.
const FOLDERS: [(&str, Format); 2] =
    [("gemini/batchEmbedContents", Format::GeminiEmbedBatch), ("bedrock/invoke", Format::BedrockInvoke)];

#[test]
fn recorded_vectors_reach_clients_of_openai() {
    let mut read = 0;
    for (folder, format) in FOLDERS {
        for (name, recorded) in recordings::all(folder) {
            let path = recorded["request"]["path"].as_str().unwrap_or_default();
            if !path.contains("embed") || recordings::status(&recorded) != 200 {
                continue;
            }
            let body = recorded["response"]["body"].as_str().expect("text");
            let terms = ReplyTerms { asked_model: Some("m"), ..ReplyTerms::default() };
            let mut out = Vec::new();
            translate::reply(
                format,
                Format::OpenAiEmbeddings,
                &mut body.as_bytes().to_vec(),
                &terms,
                &mut out,
            )
            .unwrap_or_else(|bad| panic!("{name}: {bad}"));
            let out = String::from_utf8(out).expect("UTF-8");
            let squeezed: String = body.chars().filter(|c| !c.is_ascii_whitespace()).collect();
            let answer: Value = serde_json::from_str(&out).expect("JSON");
            let vectors = answer["data"].as_array().expect("a list").len();
            assert!(vectors > 0, "{name}");
            for vector in out.split("\"embedding\":[").skip(1) {
                let digits = vector.split(']').next().expect("an end");
                assert!(digits.len() > 100 && squeezed.contains(digits), "{name}: {digits}");
            }
            assert_metered(format, &recorded, body, &name);
            read += 1;
        }
    }
    assert!(recordings::root().is_none() || read >= 9, "only {read} were read");
}

/// What was used is what the recording says, in its body or its head.
fn assert_metered(format: Format, recorded: &Value, body: &str, name: &str) {
    let told = recorded["response"]["headers"]["x-amzn-bedrock-input-token-count"].as_str();
    let told = told.map(|count| count.parse::<u64>().expect("a number"));
    let mut meter = Meter::new(format, false);
    if let Some(input) = told {
        meter.note_input(input);
    }
    meter.feed(body.as_bytes());
    let expected = told.or(recorded["usage"]["promptTokenCount"].as_u64());
    assert_eq!((meter.usage().map(|usage| usage.input), meter.complete()), (expected, true), "{name}");
}

#[test]
fn recorded_batches_are_inspected_and_translated() {
    for (name, recorded) in recordings::all("gemini/batchEmbedContents") {
        let body = recorded["request"]["body"].as_str().expect("text");
        let ask = Inspector::new(Format::GeminiEmbedBatch).finish(body.as_bytes()).expect("a request");
        assert!(ask.text_bytes > 0, "{name}");
        let terms = RequestTerms { model: Some("text-embedding-005"), ..RequestTerms::default() };
        let mut body = body.as_bytes().to_vec();
        let written = translate::request(
            Format::GeminiEmbedBatch,
            Format::GeminiPredict,
            &mut body,
            &terms,
            &mut Vec::new(),
        );
        // One has an image, which that model does not embed.
        assert_eq!(written.is_ok(), ask.media_bytes == 0, "{name}: {written:?}");
    }
}
