//! The hub: what requests, answers and streams of all formats have in common.
//!
//! A format reads its own JSON into these values and writes its own JSON from them, and knows no other format.
//! Texts are borrowed from the decoded body, and whatever has no form of its own here (schemas, tool input,
//! cache markers) is a [`Value`](super::read::Value) of it: nothing is copied on the way through.
//!
//! What a format cannot carry it names in [`Lost`](super::Lost), by the hub's word for it, which is the same
//! whatever the client calls it.

mod blocks;
mod event;
pub(super) mod openai;
mod part;
mod reply;
mod request;
mod runs;
mod signature;

pub(super) use blocks::Blocks;
pub(super) use event::Event;
pub(super) use part::{
    At, Citation, Json, Media, MediaKind, Part, Source, What, bare_type, digest, image_type, write_call_id,
    write_plain_id,
};
pub(super) use reply::{Finish, Reply};
pub(super) use request::{
    Choice, Effort, Function, Reasoning, Request, Role, Shape, Tool, Turn, Wish, at_least_one, effort,
    number, positive, write_object_schema,
};
pub(super) use runs::{Run, runs};
pub(super) use signature::{Maker, Signature};
