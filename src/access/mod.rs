//! Layer 3: who may call.
//!
//! * [`jwt`] validates JSON Web Tokens.

pub mod jwt;
