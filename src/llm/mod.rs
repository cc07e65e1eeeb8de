//! Layer 3: what a request to a model means. Pure: bytes in, decisions and bytes out.
//!
//! * [`Format`] is the wire shape of a request; [`Usage`] is what a provider says it counted.
//! * [`provider`] is the data about each provider: host, path, how it wants its credential.

mod format;
pub mod provider;
mod usage;

pub use format::Format;
pub use usage::Usage;
