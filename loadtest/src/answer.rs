//! Answers as bytes: a [`Sheet`] is what a provider says, a [`Plan`] is what goes over the wire and when.
//!
//! A provider writes a sheet: pieces of body, each perhaps stating usage. [`Sheet::plan`] puts head and framing
//! around it and applies the fault. A plan holds no state: many connections may follow one plan at a time, each
//! with its own position. The request's number is left open in it (`slots`) and is filled in when bytes are copied
//! out, so that one plan serves all requests with the same body.

mod plan;
mod sheet;

pub(crate) use plan::{After, Plan, StepKind};
pub(crate) use sheet::{Envelope, Sheet};
