use super::thought;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Citation, openai, write_call_id};

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    InProgress,
    Completed,
    Incomplete,
}

impl Status {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Status::InProgress => "in_progress",
            Status::Completed => "completed",
            Status::Incomplete => "incomplete",
        }
    }
}

/// The id of the `number`-th item of a response: made up, and always the same.
pub(super) fn id(kind: &str, response: &str, number: u64) -> String {
    format!("{kind}_{response}_{number}")
}

/// Writes an item of type `message` whose parts `content` writes.
pub(super) fn write_message(id: &str, status: Status, e: &mut Emit<'_>, content: impl FnOnce(&mut Emit<'_>)) {
    e.object(|e| {
        e.key("id").str(id);
        e.key("type").str("message");
        e.key("status").str(status.word());
        e.key("role").str("assistant");
        e.key("content").array(content);
    });
}

/// Writes a part of type `output_text`; `annotations` and `logprobs` write a list each.
pub(super) fn write_text(
    text: &str,
    annotations: impl FnOnce(&mut Emit<'_>),
    logprobs: impl FnOnce(&mut Emit<'_>),
    e: &mut Emit<'_>,
) {
    e.object(|e| {
        e.key("type").str("output_text");
        e.key("text").str(text);
        annotations(e.key("annotations"));
        logprobs(e.key("logprobs"));
    });
}

/// Writes a part of type `refusal`.
pub(super) fn write_refusal(text: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("refusal");
        e.key("refusal").str(text);
    });
}

/// Writes an annotation of a text: the page that it is based on.
pub(super) fn write_annotation(page: &Citation<'_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("url_citation");
        openai::write_citation(page, e);
    });
}

/// What is called.
pub(super) struct Call<'a> {
    /// Empty where the provider has none; then it is made of the number of the call.
    pub(super) call_id: &'a str,
    pub(super) number: u64,
    pub(super) name: &'a str,
    pub(super) arguments: &'a str,
    pub(super) signature: &'a str,
}

/// Writes an item of type `function_call`.
pub(super) fn write_call(id: &str, status: Status, call: &Call<'_>, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("id").str(id);
        e.key("type").str("function_call");
        e.key("status").str(status.word());
        write_call_id(call.call_id, call.number, e.key("call_id"));
        e.key("name").str(call.name);
        e.key("arguments").str(call.arguments);
        openai::write_signature(call.signature, e);
    });
}

/// Writes an item of type `reasoning`.
pub(super) fn write_thought(id: &str, summary: &str, encrypted: thought::Encrypted<'_>, e: &mut Emit<'_>) {
    thought::write(Some(id), &[summary], encrypted, e);
}
