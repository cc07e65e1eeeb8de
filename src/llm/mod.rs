//! Layer 3: what a request to a model means. Pure: bytes in, decisions and bytes out.
//!
//! * [`Format`] is the wire shape of a request; [`Usage`] is what a provider says it counted.
//! * [`provider`] is the data about each provider: host, path, how it wants its credential.
//! * [`translate`] turns requests, answers, errors and streams of one API format into another's.
//! * [`refusal`] writes the errors that the gateway itself makes; [`price`] says what usage costs.

mod format;
pub mod price;
pub mod provider;
pub mod refusal;
pub mod translate;
mod usage;

pub use format::Format;
pub use usage::Usage;
