//! AWS: credentials, where they come from, and signatures.
//!
//! * [`Credentials`] are two keys and perhaps a token; [`Credentials::from_secret`] reads them out of a Kubernetes
//!   Secret.
//! * [`Chain`] says where to look for them when nobody wrote them down, in the order of the SDKs (AWS SDKs and Tools
//!   Reference Guide, "Standardized credential providers"): the environment, a web identity, the shared files, the
//!   endpoint of a container, the instance. Roles are assumed by way of other profiles; Identity Center and processes are
//!   not looked up.
//! * [`Signer`] signs requests with them.

mod chain;
mod container;
mod credentials;
mod instance;
mod profile;
mod role;
mod sign;
mod sts;
mod webidentity;

pub use chain::Chain;
pub use container::{Container, ContainerToken};
pub use credentials::Credentials;
pub use instance::Instance;
pub use profile::ProfileFiles;
pub use role::Role;
pub use sign::{BodyHash, Request, Signer};
pub use sts::Sts;
pub use webidentity::WebIdentity;

/// Whether `text` may be the name of a region: 1 to 63 lower-case letters, digits and hyphens, as kgateway has it.
pub fn is_region(text: &str) -> bool {
    let is_inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(is_inner)
}

/// The domain that AWS serves a region under (AWS General Reference, "Service endpoints").
pub fn domain(region: &str) -> &'static str {
    if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" }
}
