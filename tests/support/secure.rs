//! The client's side of TLS for [`Client`](super::Client).

use super::Client;
use rustls::client::WantsClientCert;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, ConfigBuilder, HandshakeKind, RootCertStore, SupportedProtocolVersion,
};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// A TLS session, and how it ended.
pub struct Session {
    pub tls: ClientConnection,
    /// The gateway has said goodbye.
    pub ended: bool,
}

/// A client that trusts the authority with this certificate and speaks these versions. Sessions are resumed by all
/// connections that are opened with it.
pub fn config(root: &str, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
    config_as(root, versions, None)
}

/// As [`config`], showing this certificate and key in PEM when it is asked for one, whoever it is to be of.
pub fn config_as(
    root: &str,
    versions: &[&'static SupportedProtocolVersion],
    shown: Option<(&str, &str)>,
) -> Arc<ClientConfig> {
    let builder = trusting(root, versions, rustls::crypto::ring::default_provider());
    let config = match shown {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("they fit")
        }
    };
    announcing(config)
}

/// As [`config`], in these groups alone.
pub fn config_in(
    root: &str,
    versions: &[&'static SupportedProtocolVersion],
    groups: &[&'static dyn SupportedKxGroup],
) -> Arc<ClientConfig> {
    let usual = rustls::crypto::ring::default_provider();
    let crypto = CryptoProvider { kx_groups: groups.to_vec(), ..usual };
    announcing(trusting(root, versions, crypto).with_no_client_auth())
}

fn trusting(
    root: &str,
    versions: &[&'static SupportedProtocolVersion],
    crypto: CryptoProvider,
) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(root.as_bytes()).expect("a certificate")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(crypto)).with_protocol_versions(versions);
    builder.expect("versions").with_root_certificates(roots)
}

fn announcing(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A client that believes any certificate and says afterwards which one it was shown.
pub fn careless() -> Arc<ClientConfig> {
    tollgate::app::explain::careless().expect("versions")
}

impl Session {
    pub fn write(&mut self, socket: &mut TcpStream, bytes: &[u8]) -> io::Result<()> {
        for piece in bytes.chunks(16 << 10) {
            self.tls.writer().write_all(piece)?;
            self.flush(socket)?;
        }
        Ok(())
    }

    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            self.tls.write_tls(socket)?;
        }
        Ok(())
    }

    /// As from the socket; 0 is the end, with or without a goodbye.
    pub fn read(&mut self, socket: &mut TcpStream, piece: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(piece) {
                Ok(0) => {
                    self.ended = true;
                    return Ok(0);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(0),
                read => return read,
            }
            self.tls.read_tls(socket)?;
            self.tls.process_new_packets().map_err(io::Error::other)?;
        }
    }
}

impl Client {
    /// A connection by TLS that asks for `name`, after its handshake.
    pub fn secure(address: SocketAddr, name: &str, config: &Arc<ClientConfig>) -> io::Result<Client> {
        let mut client = Client::connect(address);
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let mut tls = ClientConnection::new(config.clone(), name).map_err(io::Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut client.stream)?;
        }
        Ok(client.over(tls))
    }

    /// Says everything from now on by this session.
    pub fn over(mut self, tls: ClientConnection) -> Client {
        self.tls = Some(Box::new(Session { tls, ended: false }));
        self
    }

    pub fn session(&self) -> &Session {
        self.tls.as_ref().expect("it speaks TLS")
    }

    /// Whether a session of an earlier connection went on.
    pub fn is_resumed(&self) -> bool {
        self.session().tls.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// The certificate that the gateway has shown, in DER.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        self.session().tls.peer_certificates()?.first().map(|der| der.to_vec())
    }

    /// Reads to the end of the connection; whether the gateway said goodbye before it.
    pub fn ends_with_goodbye(&mut self) -> bool {
        while self.fill() {}
        self.session().ended
    }
}
