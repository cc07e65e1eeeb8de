use super::certificate::Chain;
use ring::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use std::fmt;
use std::sync::Arc;

/// Tells configurations of TLS apart: SHA-256 over all that one depends on.
pub type TlsId = [u8; digest::SHA256_OUTPUT_LEN];

/// Certificates of authorities, as one resource holds them.
pub(crate) struct Authority {
    /// What operators call the resource, such as `ConfigMap namespace/name`.
    pub(crate) name: Arc<str>,
    pub(crate) chain: Chain,
}

/// Authorities whose certificates are believed.
#[derive(Clone)]
pub struct Trust {
    /// The resources that hold their certificates, for people.
    pub name: Arc<str>,
    /// Their certificates.
    pub roots: Arc<RootCertStore>,
    id: TlsId,
}

impl Trust {
    /// In all of these. The error completes the sentence `"ca.crt" ...`.
    pub(crate) fn in_all(authorities: &[Arc<Authority>]) -> Result<Trust, &'static str> {
        let mut roots = RootCertStore::empty();
        let mut id = digest::Context::new(&digest::SHA256);
        for certificate in authorities.iter().flat_map(|authority| &authority.chain) {
            roots.add(certificate.clone()).map_err(|_| "holds a certificate that is not an authority's")?;
            let digest = digest::digest(&digest::SHA256, certificate);
            id.update(digest.as_ref());
        }
        let names: Vec<&str> = authorities.iter().map(|authority| &*authority.name).collect();
        Ok(Trust { name: names.join(", ").into(), roots: Arc::new(roots), id: finish(id) })
    }

    /// Differs where other certificates are believed.
    pub fn id(&self) -> &TlsId {
        &self.id
    }
}

/// As bytes of a fixed length.
pub(crate) fn finish(context: digest::Context) -> TlsId {
    let mut id = TlsId::default();
    id.copy_from_slice(context.finish().as_ref());
    id
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trust({})", self.name)
    }
}

/// What is asked of the certificates of clients (Gateway API, FrontendTLSValidation).
pub struct ClientCheck {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// Who has no valid certificate is refused; else a certificate is asked for and nothing depends on it.
    pub is_demanded: bool,
    verifier: Arc<dyn ClientCertVerifier>,
    id: TlsId,
}

impl ClientCheck {
    /// The error completes the sentence `"ca.crt" ...`.
    pub(crate) fn new(trust: Trust, is_demanded: bool) -> Result<ClientCheck, &'static str> {
        let provider = Arc::new(default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(trust.roots.clone(), provider);
        let strict = builder.build().map_err(|_| "holds no certificate that could verify a client's")?;
        let verifier: Arc<dyn ClientCertVerifier> = match is_demanded {
            true => strict,
            false => Arc::new(Lenient(strict)),
        };
        let mut id = digest::Context::new(&digest::SHA256);
        id.update(&[u8::from(is_demanded)]);
        id.update(trust.id());
        Ok(ClientCheck { trust, is_demanded, verifier, id: finish(id) })
    }

    /// For the handshake.
    pub fn verifier(&self) -> &Arc<dyn ClientCertVerifier> {
        &self.verifier
    }

    /// Differs where something else is asked of clients.
    pub fn id(&self) -> &TlsId {
        &self.id
    }
}

impl fmt::Debug for ClientCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCheck")
            .field("trust", &self.trust)
            .field("is_demanded", &self.is_demanded)
            .finish()
    }
}

/// Asks for a certificate and takes any, or none (`AllowInsecureFallback`). Who shows one has to have its key.
#[derive(Debug)]
struct Lenient(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for Lenient {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
