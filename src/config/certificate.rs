use rustls::InconsistentKeys;
use rustls::client::verify_server_name;
use rustls::crypto::ring::sign::any_supported_type;
use rustls::pki_types::pem::{Error as PemError, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;
use zeroize::Zeroize;

/// A certificate with the chain above it and its private key, which belong together: what an HTTPS listener shows.
///
/// `Debug` prints the Secret's name alone.
pub struct Certificate {
    /// `namespace/name` of the Secret.
    pub name: Arc<str>,
    certified: Arc<CertifiedKey>,
}

/// A chain as read, the server's own certificate first.
pub(crate) type Chain = Vec<CertificateDer<'static>>;

impl Certificate {
    /// Puts a chain and the key of its first certificate together. The error completes the sentence `"tls.key" ...`. What
    /// signs is within rustls from now on; the key that was read is overwritten.
    pub(crate) fn new(
        name: Arc<str>,
        chain: Chain,
        mut key: PrivateKeyDer<'static>,
    ) -> Result<Certificate, &'static str> {
        let signs = any_supported_type(&key);
        key.zeroize();
        let signs =
            signs.map_err(|_| "holds a key that cannot be read or is of a kind that is not supported")?;
        let certified = CertifiedKey::new(chain, signs);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Certificate { name, certified: Arc::new(certified) })
            }
            Err(_) => Err("is not the key of the first certificate in \"tls.crt\""),
        }
    }

    /// Whether clients that ask for this name in lower case will take it for the server's, as far as names go.
    pub fn is_for(&self, name: &str) -> bool {
        let own = self.certified.end_entity_cert().and_then(ParsedCertificate::try_from);
        match (own, ServerName::try_from(name)) {
            (Ok(own), Ok(name)) => verify_server_name(&own, &name).is_ok(),
            _ => false,
        }
    }

    /// Both, for the handshake.
    pub fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }
}

/// Reads a chain in PEM; what else stands there is passed over. The error completes the sentence `"tls.crt" ...`, and
/// nothing of the text stands in it.
pub(crate) fn chain(text: &[u8]) -> Result<Chain, &'static str> {
    let chain: Result<Chain, PemError> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|_| "is broken PEM")?;
    match chain.iter().all(|certificate| ParsedCertificate::try_from(certificate).is_ok()) {
        true if chain.is_empty() => Err("holds no certificate in PEM"),
        true => Ok(chain),
        false => Err("holds a certificate that cannot be read"),
    }
}

/// Reads a key in PEM, as [`chain`].
pub(crate) fn key(text: &[u8]) -> Result<PrivateKeyDer<'static>, &'static str> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        _ if text.windows(9).any(|nine| nine == b"ENCRYPTED") => "holds a key that is encrypted itself",
        PemError::NoItemsFound => "holds no private key in PEM",
        _ => "is broken PEM",
    })
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({})", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_knows_its_names_and_shows_nothing_else() {
        let names = ["a.example.com", "*.b.example.com"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let pem = made.signing_key.serialize_pem();
        let read = || chain(made.cert.pem().as_bytes()).expect("a chain");
        let certificate = Certificate::new("llm/crt".into(), read(), key(pem.as_bytes()).expect("a key"));
        let certificate = certificate.expect("they fit");
        for (name, is) in [
            ("a.example.com", true),
            ("A.example.com", true),
            ("x.b.example.com", true),
            ("y.x.b.example.com", false),
            ("b.example.com", false),
            ("", false),
            ("10.0.0.1", false),
            ("*.b.example.com", false),
        ] {
            assert_eq!(certificate.is_for(name), is, "{name}");
        }
        assert_eq!(format!("{certificate:?}"), "Certificate(llm/crt)");
        let other = rcgen::KeyPair::generate().expect("a key").serialize_pem();
        let other = Certificate::new("x".into(), read(), key(other.as_bytes()).expect("a key"));
        assert!(other.is_err_and(|why| why.starts_with("is not the key of the first")));
    }
}
