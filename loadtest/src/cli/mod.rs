//! The commands.

pub(crate) mod hop;
pub(crate) mod kit;
pub(crate) mod simulate;
