//! What the live tests share: a gateway as a child process, a client, random numbers, judgement and figures.

pub(crate) mod chat;
pub(crate) mod config;
pub(crate) mod figures;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod interval;
pub(crate) mod options;
pub(crate) mod pages;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod records;
pub(crate) mod secure;
pub(crate) mod spread;
pub(crate) mod stage;
pub(crate) mod vitals;
