//! Anthropic's messages.
//!
//! Sources: Anthropic API reference, "Create a Message", "Streaming messages", "Errors".

mod read_request;
mod read_turns;
mod reply;
mod stream;
mod tools;
mod write_request;
mod write_turns;

pub(super) use read_request::request as read_request;
pub(super) use reply::{read as read_reply, thinking, write as write_reply};
pub(super) use stream::{Reader, Writer};
pub(super) use write_request::{count as write_count, request as write_request};
