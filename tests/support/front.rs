//! A TLS server in front of a simulated provider: certificates made here, bytes relayed, misbehaviour on demand.
#![allow(dead_code, unreachable_pub)] // every test binary that includes it uses a part of it

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::crypto::ring::ALL_KX_GROUPS;
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{
    HandshakeKind, NamedGroup, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A certificate authority.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

/// What a server shows.
pub struct Identity {
    certificate: String,
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Authority(CertifiedIssuer::self_signed(params, key).expect("a certificate"))
    }

    pub fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for `name` that is valid from and until the beginning of these years.
    pub fn identity(&self, name: &str, from: i32, until: i32) -> Identity {
        let params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        self.sign(params, from, until)
    }

    /// A certificate that is for no host, but for this URI.
    pub fn identity_of_uri(&self, uri: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.subject_alt_names.push(SanType::URI(uri.try_into().expect("a URI")));
        self.sign(params, 2020, 2100)
    }

    fn sign(&self, mut params: CertificateParams, from: i32, until: i32) -> Identity {
        params.not_before = date_time_ymd(from, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.0).expect("a certificate");
        Identity { certificate: certificate.pem(), chain: vec![certificate.der().clone()], key }
    }
}

impl Identity {
    /// The certificate in PEM.
    pub fn pem(&self) -> String {
        self.certificate.clone()
    }

    /// The certificate in DER.
    pub fn der(&self) -> Vec<u8> {
        self.chain[0].to_vec()
    }

    /// Its key in PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// What the server does once a client has connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Relays, and says goodbye before it closes.
    Polite,
    /// Relays, and closes without a goodbye.
    Rude,
    /// Closes without a goodbye after so many bytes of answers.
    CutAfter(usize),
    /// Sends bytes that are no TLS record after so many bytes of answers.
    GarbageAfter(usize),
    /// Says goodbye after so many bytes of answers and leaves the connection open.
    GoodbyeAfter(usize),
    /// Changes its keys with every piece of an answer and asks the client for the same.
    Rekey,
    /// Takes the connection and never says a word.
    Stall,
    /// Closes when it has read the client's first words.
    HangUp,
    /// Answers without TLS.
    Plain,
}

/// One connection as the server saw it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub first_byte: Option<u8>,
    pub name: Option<String>,
    pub alpn: Option<String>,
    pub version: Option<ProtocolVersion>,
    /// In which the keys were agreed on.
    pub group: Option<NamedGroup>,
    /// What the client has shown, in DER.
    pub certificate: Option<Vec<u8>>,
    /// A session of an earlier connection went on.
    pub resumed: bool,
    /// Bytes of plaintext from the client.
    pub received: usize,
    /// What ended it, when that was a fault of TLS.
    pub fault: Option<String>,
}

/// The server while it runs.
pub struct Front {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    manner: Arc<Mutex<Manner>>,
    end: Arc<AtomicBool>,
}

impl Front {
    pub fn start(identity: &Identity, provider: SocketAddr, manner: Manner) -> Front {
        Front::of_versions(identity, provider, manner, rustls::ALL_VERSIONS)
    }

    pub fn of_versions(
        identity: &Identity,
        provider: SocketAddr,
        manner: Manner,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Front {
        Front::asking(identity, provider, manner, (versions, ALL_KX_GROUPS), None)
    }

    /// One that takes only clients with a certificate of this authority, and that agree on keys in one of these groups.
    pub fn asking(
        identity: &Identity,
        provider: SocketAddr,
        manner: Manner,
        (versions, groups): (&[&'static SupportedProtocolVersion], &[&'static dyn SupportedKxGroup]),
        clients: Option<&Authority>,
    ) -> Front {
        let usual = rustls::crypto::ring::default_provider();
        let crypto = Arc::new(CryptoProvider { kx_groups: groups.to_vec(), ..usual });
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.serialize_der()));
        let builder = ServerConfig::builder_with_provider(crypto.clone());
        let builder = builder.with_protocol_versions(versions).expect("versions");
        let builder = match clients {
            None => builder.with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.0.der().clone()).expect("a root");
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), crypto);
                builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
            }
        };
        let mut config =
            builder.with_single_cert(identity.chain.clone(), key).expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let front = Front {
            address,
            seen: Arc::default(),
            manner: Arc::new(Mutex::new(manner)),
            end: Arc::new(AtomicBool::new(false)),
        };
        let (seen, manner, end) = (front.seen.clone(), front.manner.clone(), front.end.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if end.load(Ordering::Acquire) {
                    return;
                }
                let number = {
                    let mut seen = seen.lock().expect("a list");
                    seen.push(Seen::default());
                    seen.len() - 1
                };
                let manner = *manner.lock().expect("a manner");
                let (seen, end, config) = (seen.clone(), end.clone(), config.clone());
                let note =
                    move |change: &dyn Fn(&mut Seen)| change(&mut seen.lock().expect("a list")[number]);
                std::thread::spawn(move || serve(stream, config, provider, manner, &note, &end));
            }
        });
        front
    }

    /// The connections so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("a list").clone()
    }

    /// For connections from now on.
    pub fn set(&self, manner: Manner) {
        *self.manner.lock().expect("a manner") = manner;
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Release);
        TcpStream::connect(self.address).ok();
    }
}

type Note<'a> = &'a dyn Fn(&dyn Fn(&mut Seen));

fn serve(
    mut client: TcpStream,
    config: Arc<ServerConfig>,
    provider: SocketAddr,
    manner: Manner,
    note: Note<'_>,
    end: &AtomicBool,
) {
    let mut first = [0];
    if matches!(client.peek(&mut first), Ok(1)) {
        note(&|seen| seen.first_byte = Some(first[0]));
    }
    match manner {
        Manner::Stall => {
            while !end.load(Ordering::Acquire) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Manner::HangUp => {
            let _ = client.read(&mut [0; 4096]);
        }
        Manner::Plain => {
            let _ = client.read(&mut [0; 4096]);
            client.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").ok();
            let _ = client.read(&mut [0; 4096]);
        }
        _ => relay(client, config, provider, manner, note, end),
    }
}

fn relay(
    mut client: TcpStream,
    config: Arc<ServerConfig>,
    provider: SocketAddr,
    manner: Manner,
    note: Note<'_>,
    end: &AtomicBool,
) {
    let mut tls = ServerConnection::new(config).expect("a session");
    let mut provider = TcpStream::connect(provider).expect("the simulator listens");
    for socket in [&client, &provider] {
        socket.set_nonblocking(true).expect("no waiting");
        socket.set_nodelay(true).expect("no delay");
    }
    let (mut answered, mut piece) = (0, vec![0; 64 << 10]);
    while !end.load(Ordering::Acquire) {
        let mut idle = true;
        match tls.read_tls(&mut client) {
            Ok(0) => return,
            Ok(_) => {
                idle = false;
                if let Err(error) = tls.process_new_packets() {
                    flush(&mut tls, &mut client);
                    return note(&|seen| seen.fault = Some(error.to_string()));
                }
                note(&|seen| {
                    seen.name = tls.server_name().map(str::to_owned);
                    seen.alpn = tls.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned());
                    seen.version = tls.protocol_version();
                    seen.group = tls.negotiated_key_exchange_group().map(|group| group.name());
                    let shown = tls.peer_certificates().and_then(|chain| chain.first());
                    seen.certificate = shown.map(|der| der.to_vec());
                    seen.resumed = tls.handshake_kind() == Some(HandshakeKind::Resumed);
                });
                while let Ok(n @ 1..) = tls.reader().read(&mut piece) {
                    note(&|seen| seen.received += n);
                    if !write_all(&mut provider, &piece[..n]) {
                        return;
                    }
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        match provider.read(&mut piece) {
            Ok(0) => {
                if manner != Manner::Rude {
                    tls.send_close_notify();
                    flush(&mut tls, &mut client);
                }
                client.shutdown(Shutdown::Both).ok();
                return;
            }
            Ok(n) => {
                idle = false;
                let most = match manner {
                    Manner::CutAfter(most) | Manner::GarbageAfter(most) | Manner::GoodbyeAfter(most) => most,
                    _ => usize::MAX,
                };
                for part in piece[..n.min(most - answered)].chunks(16 << 10) {
                    if manner == Manner::Rekey {
                        tls.refresh_traffic_keys().ok(); // TLS 1.2 has none
                    }
                    tls.writer().write_all(part).expect("room for a record");
                    flush(&mut tls, &mut client);
                }
                answered += n.min(most - answered);
                if answered == most {
                    match manner {
                        Manner::GarbageAfter(_) => drop(write_all(&mut client, &[0x17; 100])),
                        Manner::GoodbyeAfter(_) => {
                            tls.send_close_notify();
                            flush(&mut tls, &mut client);
                            wait_for_end(&mut client, end);
                        }
                        _ => {}
                    }
                    client.shutdown(Shutdown::Both).ok();
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
        flush(&mut tls, &mut client);
        if idle {
            std::thread::sleep(Duration::from_micros(200));
        }
    }
}

fn wait_for_end(client: &mut TcpStream, end: &AtomicBool) {
    let mut piece = [0; 4096];
    while !end.load(Ordering::Acquire) {
        match client.read(&mut piece) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return,
        }
    }
}

fn flush(tls: &mut ServerConnection, client: &mut TcpStream) {
    while tls.wants_write() {
        match tls.write_tls(client) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(_) => return,
        }
    }
}

fn write_all(socket: &mut TcpStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match socket.write(bytes) {
            Ok(n) => bytes = &bytes[n..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(Duration::from_micros(100));
            }
            Err(_) => return false,
        }
    }
    true
}
