//! The commands.

pub(crate) mod chaos;
pub(crate) mod connections;
pub(crate) mod crash;
pub(crate) mod drive;
pub(crate) mod fit;
mod kit;
pub(crate) mod simulate;
pub(crate) mod storm;
pub(crate) mod suite;
