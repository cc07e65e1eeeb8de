//! The client's side of TLS to a server of this very process, whose certificate proves nothing that is not known.

use crate::config::Names;
use crate::proxy::verify::Verifier;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::sync::Arc;

/// What shakes hands with anybody. For who speaks to itself: nobody else is told apart from an impostor by it.
///
/// # Errors
/// When the crypto of this build speaks no version of TLS.
pub fn careless() -> io::Result<Arc<ClientConfig>> {
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(crypto.clone()).with_safe_default_protocol_versions();
    let builder = builder.map_err(io::Error::other)?.dangerous();
    let anybody = Verifier { roots: Arc::new(RootCertStore::empty()), names: Names::Unverified, crypto };
    Ok(Arc::new(builder.with_custom_certificate_verifier(Arc::new(anybody)).with_no_client_auth()))
}
