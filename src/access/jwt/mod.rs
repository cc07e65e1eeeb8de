//! JSON Web Tokens: who calls, as an issuer has signed it.
//!
//! * [`Keys`] is a set of an issuer's public keys.
//! * [`Verifier`] says of a token whether one of its issuers has signed it, for us and for now; the [`Claims`] are what it says.
//! * [`Remembered`] keeps what was verified, so that a token is verified once; a [`KeyRing`] is all that one worker knows.
//!
//! No key is fetched here and no clock is read.

mod algorithm;
mod claims;
mod fault;
mod json;
mod keyring;
mod keys;
mod remembered;
#[cfg(test)]
mod tests;
mod verifier;

pub use algorithm::Algorithm;
pub use claims::Claims;
pub use fault::Fault;
pub use keyring::{KeyRing, Wishes};
pub use keys::{KEYS_BYTES_MAX, KEYS_MAX, Keys};
pub use remembered::{REMEMBERED_MAX, Remembered};
pub use verifier::{Issuer, KeysBySource, LEEWAY_S, TOKEN_BYTES_MAX, Verifier};
