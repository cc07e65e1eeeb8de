//! The beginning of a client's connection. On a port of HTTPS a TLS handshake comes first: the name that the client
//! asks for chooses the listener, and the listener its certificates.

use super::client::Client;
use super::fault::Fault;
use super::serving::Serving;
use super::stream::Stream;
use super::tls::{Session, TlsStream};
use super::worker::{Open, Worker};
use crate::base::Tick;
use crate::config::{HttpsListener, Listener};
use crate::route::Table;
use crate::runtime::{Gather, Socket};
use crate::wire::http1::write;
use ring::digest;
use rustls::crypto::ring::{Ticketer, default_provider};
use rustls::server::{
    Accepted, Acceptor, ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert,
};
use rustls::sign::CertifiedKey;
use rustls::{ConfigBuilder, Connection, HandshakeKind, ServerConfig, WantsVerifier};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

/// What all workers have in common as servers of TLS: versions 1.2 and 1.3, HTTP/1.1 announced by ALPN, and the keys
/// of session tickets. Tickets hold all there is to know of a session, so that nothing is kept for clients that may
/// come again, and a client resumes on whichever worker the kernel gives it to. Each key seals for six hours and
/// opens for twelve, which is how late it may be noticed that the certificate of a client who resumes has expired.
#[derive(Clone)]
pub struct TlsServer {
    versions: ConfigBuilder<ServerConfig, WantsVerifier>,
    ticketer: Arc<dyn ProducesTickets>,
}

impl TlsServer {
    /// With new ticket keys.
    ///
    /// # Errors
    /// When the crypto provider does not support the protocol versions, or has no random bytes; the built-in one does.
    pub fn new() -> Result<TlsServer, rustls::Error> {
        let builder = ServerConfig::builder_with_provider(Arc::new(default_provider()));
        Ok(TlsServer { versions: builder.with_safe_default_protocol_versions()?, ticketer: Ticketer::new()? })
    }

    /// How the HTTPS listeners of a port shake hands, in their order.
    pub(super) fn of_port(&self, listener: &Listener) -> Vec<Arc<ServerConfig>> {
        listener.https.iter().map(|https| self.of_listener(https)).collect()
    }

    fn of_listener(&self, listener: &HttpsListener) -> Arc<ServerConfig> {
        let certificates = Arc::new(Certificates(listener.certificates.clone()));
        let builder = listener.spoken.as_ref().map_or(&self.versions, |spoken| spoken.builder()).clone();
        let builder = match &listener.clients {
            Some(clients) => builder.with_client_cert_verifier(clients.verifier().clone()),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(certificates);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = Arc::new(Tickets { keys: self.ticketer.clone(), listener: fingerprint(listener) });
        Arc::new(config)
    }
}

/// Tells listeners apart, and what one is from what it was with other certificates, or when it asked something else of
/// those of clients.
fn fingerprint(listener: &HttpsListener) -> digest::Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(listener.name.as_bytes());
    for certificate in &listener.certificates {
        certificate.certified().cert.iter().for_each(|der| context.update(der));
    }
    if let Some(clients) = &listener.clients {
        context.update(clients.id());
    }
    if let Some(spoken) = &listener.spoken {
        context.update(spoken.id());
    }
    context.finish()
}

/// Tickets of one listener. A session that began at another one, or under certificates that were replaced since, is
/// not resumed: the client shall see the certificate that it would get now, and show the one that is demanded now.
#[derive(Debug)]
struct Tickets {
    keys: Arc<dyn ProducesTickets>,
    listener: digest::Digest,
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        self.keys.enabled()
    }

    fn lifetime(&self) -> u32 {
        self.keys.lifetime()
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.keys.encrypt(&[self.listener.as_ref(), session].concat())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let mut session = self.keys.decrypt(ticket)?;
        let ours = self.listener.as_ref();
        session.starts_with(ours).then(|| session.split_off(ours.len()))
    }
}

/// The certificates of one listener, in their order.
#[derive(Debug)]
struct Certificates(Vec<Arc<crate::config::Certificate>>);

impl ResolvesServerCert for Certificates {
    /// The first one that is for the name and that the client can verify, else the first that it can verify.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fits = |key: &CertifiedKey| key.key.choose_scheme(hello.signature_schemes()).is_some();
        let mut usable = self.0.iter().filter(|certificate| fits(certificate.certified()));
        let first = usable.next()?;
        let is_for =
            |name: &str| std::iter::once(first).chain(usable).find(|certificate| certificate.is_for(name));
        let chosen = match hello.server_name().filter(|_| self.0.len() > 1) {
            Some(name) => is_for(name).unwrap_or(first),
            None => first,
        };
        Some(chosen.certified().clone())
    }
}

/// The routes that a request for `host` has on this connection.
///
/// On HTTPS they are those of the listener that the handshake chose. A host that another listener of the port covers
/// more closely has come the wrong way (Gateway API, Listener.hostname): certificate and limits would be another's.
pub(super) fn routes<'a>(stream: &Stream, listener: &'a Listener, host: &[u8]) -> Result<&'a Table, Fault> {
    let Stream::Tls(tls) = stream else {
        return listener.http_for(host).map(|own| &own.table).ok_or(Fault::NoRoute);
    };
    // Looked for again with each request: a reload may have changed the listeners since the handshake.
    let place = tls.with_name(|name| listener.https_for(name.unwrap_or_default().as_bytes()));
    let own = place.and_then(|place| listener.https.get(place)).ok_or(Fault::Misdirected)?;
    // Also who came in when nobody was asked, or asked for another authority's: what is demanded holds at once.
    if let Some(clients) = own.clients.as_ref().filter(|clients| clients.is_demanded)
        && tls.checked() != Some(clients.id())
    {
        return Err(Fault::Uncertified);
    }
    match listener.https_for(host) {
        owner if owner == place => Ok(&own.table),
        Some(_) => Err(Fault::Misdirected),
        None => Err(Fault::NoRoute),
    }
}

/// What a connection begins with, on a port of this place among the listeners: nothing where HTTP is spoken in the
/// clear, else a handshake. `None` when there is nobody to serve.
pub(super) async fn welcome(
    worker: &Rc<Worker>,
    socket: Socket,
    peer: SocketAddr,
    listener: usize,
) -> Option<Client> {
    let serving = worker.serving();
    if serving.https.get(listener).is_none_or(Vec::is_empty) {
        return Some(Client::new(Stream::Plain(socket), peer, listener));
    }
    // In a box of its own: what a handshake needs, no task keeps room for afterwards.
    Box::pin(greet(worker, serving, socket, peer, listener)).await
}

/// The handshake, and what becomes of who fails in it.
async fn greet(
    worker: &Rc<Worker>,
    serving: Rc<Serving>,
    socket: Socket,
    peer: SocketAddr,
    listener: usize,
) -> Option<Client> {
    let configs = serving.https.get(listener).map(Vec::as_slice).unwrap_or_default();
    let snapshot = &serving.in_force.snapshot;
    let (settings, counters) = (&snapshot.settings, &worker.desk.counters);
    if counters.handshakes_open.get() >= u64::from(settings.connections.handshakes_per_worker) {
        counters.handshakes_turned_away.add(1);
        return None;
    }
    let open = Open::count(&worker.desk, |counters| &counters.handshakes_open);
    let deadline = worker.ring.now() + settings.timeouts.handshake;
    let mut checked = None;
    let choose = |name: Option<&str>| {
        let https = snapshot.listeners.get(listener)?;
        let place = https.https_for(name.unwrap_or_default().as_bytes())?;
        checked = https.https.get(place)?.clients.as_ref().map(|clients| *clients.id());
        configs.get(place).cloned()
    };
    let done = shake_hands(socket, deadline, choose).await;
    drop(open);
    match done {
        Ok((session, socket, early)) => {
            match session.tls.handshake_kind() {
                Some(HandshakeKind::Resumed) => counters.handshakes_resumed.add(1),
                _ => counters.handshakes_full.add(1),
            }
            let stream = Stream::Tls(Box::new(TlsStream::of_client(socket, session, checked)));
            let mut client = Client::new(stream, peer, listener);
            client.put_back(&early);
            Some(client)
        }
        Err(unwelcome) => {
            counters.handshakes_failed.add(1);
            if let Unwelcome::InTheClear(socket) = unwelcome {
                socket.deadline_in(settings.timeouts.linger);
                tell(&socket, &in_the_clear()).await;
                Client::new(Stream::Plain(socket), peer, listener).linger(worker).await;
            }
            None
        }
    }
}

/// Why there is no session.
enum Unwelcome {
    /// The client speaks HTTP without TLS.
    InTheClear(Socket),
    /// It left, was too slow or spoke no TLS that we do; it was told as far as TLS can tell it.
    Failed,
}

/// An alert of TLS, fatal, before there are keys (RFC 8446 section 6): `unrecognized_name`.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Makes the handshake as the server, with what `choose` has for the name that the client asks for. What comes with the
/// session is plaintext that the client sent right behind its part of the handshake.
async fn shake_hands(
    socket: Socket,
    deadline: Tick,
    choose: impl FnOnce(Option<&str>) -> Option<Arc<ServerConfig>>,
) -> Result<(Session, Socket, Vec<u8>), Unwelcome> {
    socket.set_deadline(deadline);
    let (accepted, raw) = match hello(&socket).await {
        Ok(hello) => hello,
        Err(Hello::InTheClear) => return Err(Unwelcome::InTheClear(socket)),
        Err(Hello::Failed) => return Err(Unwelcome::Failed),
    };
    let Some(config) = choose(accepted.client_hello().server_name()) else {
        tell(&socket, &UNRECOGNIZED_NAME).await;
        return Err(Unwelcome::Failed);
    };
    let tls = match accepted.into_connection(config) {
        Ok(tls) => Connection::Server(tls),
        Err((_, mut alert)) => {
            let mut bytes = Vec::new();
            alert.write_all(&mut bytes).ok();
            tell(&socket, &bytes).await;
            return Err(Unwelcome::Failed);
        }
    };
    let (mut session, mut early) = (Session::new(tls), Vec::new());
    session.raw = raw;
    loop {
        // The first time it is what came with the hello, in `raw` and in the session itself.
        let read = session.tls.process_new_packets().map_err(std::io::Error::other);
        let read = read.and_then(|_| session.unseal(&mut early));
        // Also after a fault: the alert that says why.
        let sent = session.flush(&socket).await;
        if read.is_err() || sent.is_err() {
            return Err(Unwelcome::Failed);
        }
        if !session.tls.is_handshaking() {
            return Ok((session, socket, early));
        }
        session.raw.clear();
        if !matches!(socket.fill(&mut session.raw).await, Ok(1..)) {
            return Err(Unwelcome::Failed);
        }
    }
}

enum Hello {
    InTheClear,
    Failed,
}

/// Reads until the client's hello is there; with it what was received behind it.
async fn hello(socket: &Socket) -> Result<(Accepted, Vec<u8>), Hello> {
    let (mut acceptor, mut raw, mut begun) = (Acceptor::default(), Vec::new(), false);
    loop {
        raw.clear();
        if !matches!(socket.fill(&mut raw).await, Ok(1..)) {
            return Err(Hello::Failed);
        }
        // A record of TLS begins with a number below 32, a request of HTTP with a method.
        if !std::mem::replace(&mut begun, true) && raw[0].is_ascii_uppercase() {
            return Err(Hello::InTheClear);
        }
        let mut rest = raw.as_slice();
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest).map_err(|_| Hello::Failed)?;
            match acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let read = raw.len() - rest.len();
                    raw.drain(..read);
                    return Ok((accepted, raw));
                }
                Err((_, mut alert)) => {
                    let mut bytes = Vec::new();
                    alert.write_all(&mut bytes).ok();
                    tell(socket, &bytes).await;
                    return Err(Hello::Failed);
                }
            }
        }
    }
}

/// Sends the last bytes of a connection that comes to nothing, if there are any.
async fn tell(socket: &Socket, bytes: &[u8]) {
    let mut gather = Gather::of(bytes.to_vec(), Vec::new());
    gather.whole();
    if !gather.is_empty() {
        let _ = socket.send(gather).await; // who does not hear it will see the end
    }
}

/// The answer to somebody who speaks HTTP to a port of HTTPS.
fn in_the_clear() -> Vec<u8> {
    const TEXT: &[u8] = b"this port speaks HTTPS: write https:// instead of http://\n";
    let mut out = Vec::new();
    write::status_line(&mut out, 400);
    write::header(&mut out, b"content-type", b"text/plain");
    out.extend_from_slice(write::CONNECTION_CLOSE);
    write::content_length(&mut out, TEXT.len() as u64);
    write::end(&mut out);
    out.extend_from_slice(TEXT);
    out
}
