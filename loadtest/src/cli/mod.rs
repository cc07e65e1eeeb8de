//! The commands.

pub(crate) mod crash;
pub(crate) mod drive;
pub(crate) mod fit;
pub(crate) mod hop;
mod kit;
pub(crate) mod simulate;
pub(crate) mod storm;
