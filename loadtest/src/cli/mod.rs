//! The commands.

pub(crate) mod hop;
pub(crate) mod simulate;
