//! Layer 3: who may call.
//!
//! * [`jwt`] validates JSON Web Tokens.

pub mod jwt;

/// The SHA-256 of a credential.
pub type Digest = [u8; 32];

/// The SHA-256 of `credential`.
pub fn digest(credential: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, credential).as_ref());
    digest
}
