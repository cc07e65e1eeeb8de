//! How certificates of backends are verified: by whom, and for which name.

use crate::config::{Name, Names};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use std::sync::Arc;
use webpki::EndEntityCert;

/// Verifies certificates against `roots` for `names`. Whoever shows one has to have its key, whatever else is asked.
#[derive(Debug)]
pub struct Verifier {
    /// Whose certificates are believed.
    pub roots: Arc<RootCertStore>,
    /// What they have to be for.
    pub names: Names,
    /// Whose signatures are understood.
    pub crypto: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        asked: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if self.names == Names::Unverified {
            return Ok(ServerCertVerified::assertion());
        }
        let parsed = ParsedCertificate::try_from(shown)?;
        let algorithms = self.crypto.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, chain, now, algorithms)?;
        match &self.names {
            Names::Asked => verify_server_name(&parsed, asked)?,
            Names::OneOf(names) if !names.iter().any(|name| is_for(shown, &parsed, name)) => {
                return Err(Error::InvalidCertificate(CertificateError::NotValidForName));
            }
            Names::OneOf(_) | Names::Any | Names::Unverified => {}
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.crypto.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.crypto.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}

fn is_for(shown: &CertificateDer<'_>, parsed: &ParsedCertificate<'_>, name: &Name) -> bool {
    match name {
        Name::Host(host) => {
            ServerName::try_from(host.as_str()).is_ok_and(|name| verify_server_name(parsed, &name).is_ok())
        }
        Name::Uri(uri) => {
            EndEntityCert::try_from(shown).is_ok_and(|cert| cert.valid_uri_names().any(|own| own == uri))
        }
    }
}
