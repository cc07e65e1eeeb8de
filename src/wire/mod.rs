//! Layer 2: bytes to events and back. Pure: every reader is a value that eats bytes and resumes at any of them.
//!
//! * [`json`] scans, finds and writes JSON without building trees.
//! * [`sse`] reads and writes Server-Sent Events.

pub mod json;
pub mod sse;
