//! Google's `generateContent` and `streamGenerateContent`, which the Gemini API and Vertex AI speak alike.
//!
//! Sources: Gemini API reference, "Generating content", with the guides "Function calling", "Thinking", "Thought
//! signatures", "Structured output"; Vertex AI reference, `GenerateContentRequest`; where they are silent, the
//! recordings that `tests/recordings/gemini.rs` reads.
//!
//! The model, and whether the answer streams, stand in the path and not in the body: [`RequestTerms`] brings what a
//! client's path said, and whoever calls Gemini makes the path of the two. Names of members are read in both spellings
//! and written in lowerCamelCase.
//!
//! **Schemas** of other clients go into `parametersJsonSchema` and `responseJsonSchema`, which take JSON schema as it
//! is, so nothing of it is lost. The Gemini API has both in `v1beta`, Vertex AI in `v1` and `v1beta1`. What Gemini's own
//! clients say in the older `parameters` and `responseSchema` becomes JSON schema ([`schema`]).
//!
//! **Ids of calls** are missing where Gemini gives none. Other clients get `gemini_<responseId>_<number of the part>`,
//! which no other call of the conversation has; it is left out again on the way back. Ids that were given are kept.
//!
//! **Thought signatures** must come back unchanged with the part that had them. OpenAI's chat has
//! `extra_content.google.thought_signature` for those of calls, as Google's own hosts have it. For other formats a
//! signature is one of a thought that stands before its part, behind the [mark](super::hub::Maker) of its maker: a `thinking`
//! block of Anthropic's, which its clients give back with a tool loop. [`write_turns`] puts it back where it was. Where
//! a model demands one and there is none, since another model made the call, Google's own word for it stands there.
//!
//! [`RequestTerms`]: super::RequestTerms

mod grounding;
mod ids;
mod logprobs;
mod made;
mod media;
mod model;
mod names;
mod read_request;
mod read_turns;
mod reply;
mod schema;
mod signature;
mod stream;
#[cfg(test)]
mod tests;
mod thinking;
mod tools;
mod write_reply;
mod write_request;
mod write_stream;
mod write_turns;

pub(super) use made::{of_reply as made_of_reply, of_request as made_of_request};
pub(super) use read_request::{counted, request as read_request};
pub(super) use reply::read as read_reply;
pub(super) use stream::Reader;
pub(super) use write_reply::write as write_reply;
pub(super) use write_request::{count as write_count, request as write_request};
pub(super) use write_stream::Writer;
