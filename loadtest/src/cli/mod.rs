//! The commands.

pub(crate) mod simulate;
