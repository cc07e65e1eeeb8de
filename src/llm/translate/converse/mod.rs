//! Amazon Bedrock's Converse and ConverseStream, one format for the models of many makers.
//!
//! It is a provider's format alone: no client speaks it to the gateway. The model stands in the path
//! (`/model/{id}/converse` and `/converse-stream`), which the caller makes; so does whether it is a stream.
//!
//! Sources: Amazon Bedrock API reference, "Converse", "ConverseStream" and the types that they name; Amazon Bedrock
//! user guide, "Inference parameters", "Prompt caching", "Get validated JSON results from models"; Amazon Nova user
//! guide, "Extended thinking". Where models differ from them, the recordings that `tests/recordings/converse.rs` reads.

mod family;
mod fields;
mod inference;
mod media;
mod reply;
mod stream;
mod tools;
mod write_request;
mod write_turns;

use super::hub::Maker;

pub(super) use reply::read as read_reply;
pub(super) use stream::Reader;
pub(super) use write_request::{count as write_count, request as write_request};

/// Who signs the thoughts of the model `model`.
pub(super) fn maker(model: &str) -> Maker {
    family::Family::of(model).maker()
}
