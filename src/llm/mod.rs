//! Layer 3: what a request to a model means. Pure: bytes in, decisions and bytes out.
//!
//! * [`endpoint`] reads off method and path which [`Format`] a request has; [`Usage`] is what a provider says it counted.
//! * [`Inspector`] reads out of a passing request what it asks for; [`Edits`] changes it without rebuilding it.
//! * [`Meter`] reads usage out of a passing answer; [`estimate`] guesses where there is none.
//! * [`learn`] learns what to estimate from what providers report.
//! * [`Tokenizer`] counts the tokens of a request exactly, where a route asks for it.
//! * [`UsageStripper`] takes out of a stream the usage that only we asked for.
//! * [`policy`] is what operators make of requests: members, other names of models, turns.
//! * [`guard`] masks texts of requests and answers, or finds what rejects them.
//! * [`provider`] is the data about each provider: host, paths, the formats it speaks, how it wants its credential.
//! * [`auth`] finds and fetches credentials of clouds, and signs requests to AWS.
//! * [`Cutter`] ends a passing stream before its provider does, well-formed.
//! * [`translate`] turns requests, answers, errors and streams of one API format into another's.
//! * [`refusal`] writes the errors that the gateway itself makes; [`price`] says what usage costs.

pub mod auth;
pub mod cut;
mod edit;
pub mod endpoint;
pub mod estimate;
mod format;
pub mod guard;
mod inspect;
pub mod learn;
mod meter;
pub mod policy;
pub mod price;
pub mod provider;
pub mod refusal;
mod strip;
pub mod tokenizer;
pub mod translate;
mod usage;

pub use cut::{Cutter, NAME_BYTES_MAX};
pub use edit::{Edits, PIECES_MAX, Piece};
pub use format::{Api, Format, ModelPlace, Work};
pub use inspect::{Ask, BadBody, Braces, Inspector};
pub use meter::Meter;
pub use strip::{HELD_BYTES_MAX, UsageStripper};
pub use tokenizer::Tokenizer;
pub use usage::Usage;
