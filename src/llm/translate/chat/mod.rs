//! OpenAI's chat completions, which most providers speak too.
//!
//! Sources: OpenAI API reference, "Chat Completions"; where hosts that are compatible differ from it, the
//! recordings that `tests/recordings/translate.rs` reads.

mod read_request;
mod read_turns;
mod reply;
mod stream;
mod tools;
mod write_request;
mod write_turns;

pub(super) use read_request::request as read_request;
pub(super) use reply::{read as read_reply, write as write_reply};
pub(super) use stream::{Reader, Writer};
pub(super) use write_request::request as write_request;
