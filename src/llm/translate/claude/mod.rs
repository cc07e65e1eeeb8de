//! What Claude models take, whoever hosts them: the rules that Anthropic's own API and Bedrock's have in common.
//!
//! Anthropic's releases differ in which members of a request they refuse with a 400.

mod release;
mod sampling;
mod schema;
mod thinking;

pub(super) use release::Claude;
pub(super) use sampling::Sampling;
pub(super) use schema::{can_be_closed, closed_text, write_arguments, write_closed};
pub(super) use thinking::{Thinking, knows};
