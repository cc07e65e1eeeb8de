use super::part::Citation;
use super::reply::Finish;
use super::signature::Signature;
use crate::llm::translate::read::Value;

/// What one event of a provider's stream says; it may say several such things.
#[derive(Clone, Copy)]
pub(crate) enum Event<'t, 'b> {
    /// The answer begins. Either may be empty.
    Start { id: &'b str, model: &'b str },
    /// More text, never empty. Text after anything else is a new piece.
    Text(&'b str),
    /// More of what the model thinks, never empty.
    Thinking(&'b str),
    /// The signature of the thought, or of the call, that came last; it may come in pieces.
    Signature(Signature<'b>),
    /// A signature of Gemini's that belongs to what comes next, or to the text before it when nothing does; for formats
    /// that tell it as a thought's. If a call comes next, [`Event::Signature`] follows that for all others.
    Seal(&'b str),
    /// A thought that the provider encrypted, whole.
    Redacted(Signature<'b>),
    /// More of why the model does not answer, never empty.
    Refusal(&'b str),
    /// A call begins. The reader numbers them from 0; id and name may be empty.
    Call { call: u32, id: &'b str, name: &'b str },
    /// More of the arguments of a call, never empty.
    Arguments { call: u32, piece: &'b str },
    /// What the text that came last is based on.
    Citation(Citation<'b>),
    /// The tokens of the text that came last, as OpenAI lists them.
    Logprobs(Value<'t, 'b>),
    /// The text, thought or call that came last is complete. Formats that do not say so leave it out.
    Close,
    /// Why the answer ends.
    Finish(Finish),
    /// The provider tells an error in place of the rest: the event that does.
    Fail(Value<'t, 'b>),
    /// As [`Event::Fail`], by the error's name and its words, which may be empty.
    Failed { kind: &'b str, message: &'b str },
    /// The stream is over.
    End,
}
