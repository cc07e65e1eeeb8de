//! Translation of a request and of its answer, with the copy of the body that it uses up.

use std::hint::black_box;
use tollgate::llm::Format::{AnthropicMessages, OpenAiChat};
use tollgate::llm::translate::{self, ReplyTerms, RequestTerms};

const MODEL: &str = "claude-haiku-4-5-20251001";

/// A whole answer of about a kilobyte, as Anthropic sends it.
const REPLY: &str = r#"{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-haiku-4-5-20251001","content":[{"type":"text","text":"@TEXT@"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":230,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0},"output_tokens":85,"service_tier":"standard"}}"#;

/// Makes Anthropic's request of one of OpenAI's format.
pub(crate) fn request(body: Vec<u8>) -> impl FnMut() {
    let terms = RequestTerms { model: Some(MODEL), ..RequestTerms::default() };
    again_and_again(body, move |body, out| {
        translate::request(OpenAiChat, AnthropicMessages, body, &terms, out).unwrap();
    })
}

/// Makes OpenAI's answer of Anthropic's.
pub(crate) fn reply() -> impl FnMut() {
    let terms =
        ReplyTerms { created_unix: 1_767_323_045, asked_model: Some("gpt-4o-mini"), ..ReplyTerms::default() };
    let text = "All is well, and all will be well. ".repeat(16);
    again_and_again(REPLY.replace("@TEXT@", &text).into_bytes(), move |body, out| {
        translate::reply(AnthropicMessages, OpenAiChat, body, &terms, out).unwrap();
    })
}

fn again_and_again(body: Vec<u8>, translate: impl Fn(&mut [u8], &mut Vec<u8>)) -> impl FnMut() {
    let (mut copy, mut out) = (Vec::new(), Vec::new());
    move || {
        copy.clone_from(black_box(&body));
        out.clear();
        translate(&mut copy, &mut out);
        black_box(&out);
    }
}
