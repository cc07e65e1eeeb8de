//! OpenAI's responses.
//!
//! Sources: OpenAI API reference, "Responses" and "Streaming events"; where hosts that are compatible differ from
//! it, the recordings that `tests/recordings/responses.rs` reads.
//!
//! A conversation is a list of items, and an answer is one too. A client that keeps its conversation itself sends
//! the items of the answers back, so that what a provider wants back unchanged rides on them:
//!
//! | what | where |
//! |---|---|
//! | a thought and its signature | an item `reasoning`: `summary` is the thought, `encrypted_content` the signature behind its maker (`claude:`) |
//! | a thought that its provider encrypted | an item `reasoning` without `summary`, whose `encrypted_content` is `redacted_thinking:`, the maker, and what the provider gave |
//! | the signature of a call (Gemini's) | the member `extra_content.google.thought_signature` of `function_call`, as in chat completions |
//!
//! What stands behind no maker is of OpenAI, or of who else speaks this format, and goes to nobody else.
//!
//! What OpenAI keeps at home (`previous_response_id`, `conversation`, `prompt`, item references, compacted items) is
//! part of what is said, so that a request which points to it is refused towards every other provider. Towards a
//! provider of this format nothing is kept: `store` is false.

mod items;
mod open;
mod read_items;
mod read_request;
mod read_stream;
mod reply;
mod response;
#[cfg(test)]
mod tests;
mod thought;
mod tools;
mod write_items;
mod write_request;
mod write_stream;

pub(super) use read_request::request as read_request;
pub(super) use read_stream::Reader;
pub(super) use reply::{read as read_reply, write as write_reply};
pub(super) use write_request::request as write_request;
pub(super) use write_stream::Writer;
