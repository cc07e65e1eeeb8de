//! TLS in front of a gateway: a certificate that is made for the run, and the client's side.

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::fs;
use std::io::{Error, Read, Result, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// The program that makes certificates.
pub(crate) const OPENSSL: &str = "openssl";

/// Makes a certificate for 127.0.0.1 and puts it into `dir` in the ways that gateways want it: `tls.crt` and `tls.key`,
/// both in `tls.pem`, and a Secret in `tls-secret.yaml`. What comes back is a client that trusts it alone.
pub(crate) fn certificate(dir: &Path) -> std::result::Result<Arc<ClientConfig>, String> {
    let fail = |why: &dyn std::fmt::Display| format!("{OPENSSL}, for a certificate: {why}");
    let (crt, key) = (dir.join("tls.crt"), dir.join("tls.key"));
    let output = Command::new(OPENSSL)
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=loadtest", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&crt)
        .output()
        .map_err(|why| fail(&why))?;
    if !output.status.success() {
        return Err(fail(&String::from_utf8_lossy(&output.stderr)));
    }
    let [crt, key] = [crt, key].map(|path| fs::read_to_string(path).unwrap_or_default());
    let block = |pem: &str| pem.lines().map(|line| format!("    {line}\n")).collect::<String>();
    let secret = format!(
        "apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: kit, namespace: default}}\nstringData:\n  \
         tls.crt: |\n{}  tls.key: |\n{}",
        block(&crt),
        block(&key)
    );
    for (name, text) in [("tls.pem", crt.clone() + &key), ("tls-secret.yaml", secret)] {
        fs::write(dir.join(name), text).map_err(|why| fail(&why))?;
    }
    let mut roots = RootCertStore::empty();
    let root = CertificateDer::from_pem_slice(crt.as_bytes()).map_err(|why| fail(&why))?;
    roots.add(root).map_err(|why| fail(&why))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(Arc::new(builder.map_err(|why| fail(&why))?.with_root_certificates(roots).with_no_client_auth()))
}

/// A connection, in the clear or by TLS.
pub(crate) enum Socket {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Socket {
    /// Speaks TLS on `socket` if there is a configuration for it.
    pub(crate) fn over(socket: TcpStream, tls: Option<&Arc<ClientConfig>>) -> Result<Socket> {
        let Some(config) = tls else { return Ok(Socket::Plain(socket)) };
        let name = ServerName::IpAddress(socket.peer_addr()?.ip().into());
        let session = ClientConnection::new(config.clone(), name).map_err(Error::other)?;
        Ok(Socket::Tls(Box::new(StreamOwned::new(session, socket))))
    }

    pub(crate) fn set_read_timeout(&self, time: Option<Duration>) -> Result<()> {
        match self {
            Socket::Plain(socket) => socket.set_read_timeout(time),
            Socket::Tls(tls) => tls.sock.set_read_timeout(time),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, piece: &mut [u8]) -> Result<usize> {
        match self {
            Socket::Plain(socket) => socket.read(piece),
            Socket::Tls(tls) => tls.read(piece),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Socket::Plain(socket) => socket.write(bytes),
            Socket::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Socket::Plain(socket) => socket.flush(),
            Socket::Tls(tls) => tls.flush(),
        }
    }
}
