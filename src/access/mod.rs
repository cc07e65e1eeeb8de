//! Layer 3: who may call. A request's head, the address it comes from and the time go in; who it is, or why it is
//! turned away, comes out.
//!
//! * A [`Policy`] is what a rule demands of its callers. [`Policy::admit`] looks at a head and gives an [`Identity`] or a
//!   [`Refusal`]; [`Policy::admit_model`] is asked again when it is known which model is wanted.
//! * [`Keys`] are the API keys that are known, by their SHA-256 alone, however many there are.
//! * [`Tokens`] are the issuers whose JSON Web Tokens are accepted; [`jwt`] verifies them.
//! * [`basic`] has the users who are known by a password, and what is remembered of passwords.
//! * [`Rules`] in [`cel`] say who may do what; [`Action`]s of all levels are merged.
//! * [`usual`] is where clients of the formats put their credential; a [`Location`] says where else one stands.
//!
//! What was validated is borrowed from the policy, claims from what the worker remembers: an identity costs no allocation, and
//! no count of references that another thread touches.

pub mod basic;
pub mod cel;
mod identity;
pub mod jwt;
mod keys;
mod location;
mod network;
mod policy;
mod refusal;
mod rules;
mod tokens;

#[cfg(test)]
mod tests;

pub use basic::Users;
pub use identity::{Identity, Shown};
pub use jwt::Claims;
pub use keys::{AllowedModels, Key, Keys, TwinKeys};
pub use location::{Location, is_basic, strip_bearer, usual};
pub use policy::{Asked, Mode, Models, Policy};
pub use refusal::Refusal;
pub use rules::{Action, Allowed, Rules};
pub use tokens::Tokens;

/// The SHA-256 of a credential.
pub type Digest = [u8; 32];

/// The SHA-256 of `credential`.
pub fn digest(credential: &[u8]) -> Digest {
    let mut digest = Digest::default();
    digest.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, credential).as_ref());
    digest
}
