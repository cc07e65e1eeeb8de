//! TLS over a ring socket, as its client or as its server: a rustls session and the buffers that it works in.

use super::verify::Verifier;
use crate::base::{Span, Tick};
use crate::config::{Target, TlsId};
use crate::runtime::{Gather, Socket};
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, ClientConnection, ConfigBuilder, Connection, RootCertStore, WantsVerifier};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

/// How TLS is spoken to backends: versions 1.2 and 1.3, HTTP/1.1 announced by ALPN.
#[derive(Clone)]
pub struct TlsClient {
    versions: ConfigBuilder<ClientConfig, WantsVerifier>,
    roots: Arc<RootCertStore>,
    usual: Arc<ClientConfig>,
}

impl TlsClient {
    /// Certificates are verified against `roots`, where a backend does not say whom to believe.
    ///
    /// # Errors
    /// When the crypto provider does not support the protocol versions; with the built-in one it does.
    pub fn new(roots: RootCertStore) -> Result<TlsClient, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let roots = Arc::new(roots);
        let usual = versions.clone().with_root_certificates(roots.clone()).with_no_client_auth();
        Ok(TlsClient { versions, roots, usual: announcing(usual) })
    }

    /// How it is spoken to everybody who does not say otherwise.
    pub fn usual(&self) -> &Arc<ClientConfig> {
        &self.usual
    }

    /// How it is spoken to a target; `None` where it is not. What is its own has its own store of sessions, so that none is
    /// resumed that began with another identity.
    pub(super) fn to(&self, target: &Target) -> Option<Arc<ClientConfig>> {
        target.tls.as_ref()?;
        let Some(own) = &target.own_tls else { return Some(self.usual.clone()) };
        let versions = own.groups.as_ref().map_or(&self.versions, |groups| groups.builder()).clone();
        let crypto = versions.crypto_provider().clone();
        let roots = own.trust.as_ref().map_or(&self.roots, |trust| &trust.roots).clone();
        let verifier = Arc::new(Verifier { roots, names: own.names.clone(), crypto });
        let verified = versions.dangerous().with_custom_certificate_verifier(verifier);
        Some(announcing(match &own.certificate {
            Some(certificate) => {
                let shown = SingleCertAndKey::from(certificate.certified().clone());
                verified.with_client_cert_resolver(Arc::new(shown))
            }
            None => verified.with_no_client_auth(),
        }))
    }
}

fn announcing(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// A TLS connection after its handshake. Sends and fills like a [`Socket`].
pub(super) struct TlsStream {
    socket: Socket,
    session: RefCell<Session>,
    /// What was asked of the client's certificate in the handshake.
    checked: Option<TlsId>,
}

/// A TLS session and its buffers.
pub(super) struct Session {
    pub(super) tls: Connection,
    /// Ciphertext that was received and not read yet.
    pub(super) raw: Vec<u8>,
    /// The plaintext of the send under way, kept because a failed request may be sent again.
    sending: Gather,
    /// Bytes of `sending` that were encrypted.
    taken: usize,
    /// The buffer that the ciphertext of a send goes out in.
    sealed: Vec<u8>,
    /// The peer has said that nothing more comes.
    ended: bool,
    /// What made the rest unreadable; told when everything before it was taken.
    failed: Option<io::Error>,
}

/// Plaintext that is encrypted at a time: four records. A large request goes out piece by piece, so that it
/// neither keeps other connections waiting nor stands in memory twice.
const SEAL_BYTES: usize = 64 << 10;

/// Buffers of ciphertext above this are not kept while nothing is said.
const KEPT_BYTES_MAX: usize = 4 << 10;

impl TlsStream {
    /// Makes the handshake on a connected socket; `name` is what the certificate must be for.
    pub(super) async fn open(
        socket: Socket,
        config: Arc<ClientConfig>,
        name: &str,
        deadline: Tick,
    ) -> io::Result<TlsStream> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        socket.set_deadline(deadline);
        let mut session = Session::new(tls.into());
        let mut early = Vec::new();
        while session.tls.is_handshaking() {
            session.flush(&socket).await?;
            if session.tls.is_handshaking() && session.tls.wants_read() {
                session.raw.clear();
                if socket.fill(&mut session.raw).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if let Err(error) = session.unseal(&mut early) {
                    session.flush(&socket).await.ok(); // the alert that says why
                    return Err(error);
                }
            }
        }
        if !early.is_empty() {
            return Err(io::Error::other("it spoke before it was asked"));
        }
        session.flush(&socket).await?;
        Ok(TlsStream::new(socket, session, None))
    }

    /// A connection whose handshake is done.
    fn new(socket: Socket, session: Session, checked: Option<TlsId>) -> TlsStream {
        socket.clear_deadline();
        TlsStream { socket, session: RefCell::new(session), checked }
    }

    /// A client's, in whose handshake this was asked of its certificate.
    pub(super) fn of_client(socket: Socket, session: Session, checked: Option<TlsId>) -> TlsStream {
        TlsStream::new(socket, session, checked)
    }

    /// What was asked of the client's certificate in the handshake.
    pub(super) fn checked(&self) -> Option<&TlsId> {
        self.checked.as_ref()
    }

    /// The socket underneath, for deadlines.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Reads the name that the client asked for by SNI, in lower case; `None` when it named none.
    pub(super) fn with_name<T>(&self, read: impl FnOnce(Option<&str>) -> T) -> T {
        match &self.session.borrow().tls {
            Connection::Server(tls) => read(tls.server_name()),
            Connection::Client(_) => read(None),
        }
    }

    /// Whether it can carry another request: as [`Socket::is_quiet`], and the peer has not said goodbye.
    pub(super) fn is_quiet(&self) -> bool {
        self.socket.is_quiet() && self.session.borrow().is_open()
    }

    /// As [`Socket::start_send`]. The plaintext is kept and comes back with `poll_sent`.
    pub(super) fn start_send(&self, gather: Gather) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        session.sending = gather;
        session.taken = 0;
        self.socket.start_send(session.seal_next()?);
        Ok(())
    }

    /// As [`Socket::poll_sent`].
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        let mut session = self.session.borrow_mut();
        loop {
            let Poll::Ready((mut sealed, result)) = self.socket.poll_sent(cx) else { return Poll::Pending };
            sealed.clear();
            session.sealed = sealed.ours;
            let next = match result {
                Ok(()) if session.taken < session.sending.len() => session.seal_next(),
                result => return Poll::Ready((std::mem::take(&mut session.sending), result)),
            };
            match next {
                Ok(gather) => self.socket.start_send(gather),
                Err(error) => return Poll::Ready((std::mem::take(&mut session.sending), Err(error))),
            }
        }
    }

    /// Sends TLS's own goodbye (RFC 8446 section 6.1), which tells the peer that nothing was cut off. When nothing is being
    /// sent.
    pub(super) async fn say_goodbye(&self) {
        let sealed = {
            let mut session = self.session.borrow_mut();
            session.tls.send_close_notify();
            session.seal()
        };
        if let Ok(gather) = sealed {
            let _ = self.socket.send(gather).await; // who does not hear it is gone
        }
    }

    /// Gives large buffers back. When nothing is being sent.
    pub(super) fn rest(&self) {
        let session = &mut *self.session.borrow_mut();
        for buf in [&mut session.raw, &mut session.sealed] {
            if buf.capacity() > KEPT_BYTES_MAX {
                *buf = Vec::new();
            }
        }
    }

    /// As [`Socket::poll_fill`]; `Ok(0)` only after TLS's own goodbye. Without it the stream was cut, perhaps
    /// by somebody between: an answer that its end delimits is not complete then (RFC 9112 section 9.8).
    pub(super) fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        let before = buf.len();
        while buf.len() == before {
            if let Some(error) = session.failed.take() {
                return Poll::Ready(Err(error));
            }
            if session.ended {
                return Poll::Ready(Ok(0));
            }
            session.raw.clear();
            match self.socket.poll_fill(cx, &mut session.raw) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) => session.failed = session.unseal(buf).err(),
            }
        }
        Poll::Ready(Ok(buf.len() - before))
    }
}

impl Session {
    pub(super) fn new(mut tls: Connection) -> Session {
        // What waits to be sent is bounded by `SEAL_BYTES`.
        tls.set_buffer_limit(None);
        let (raw, sealed, sending) = (Vec::new(), Vec::new(), Gather::default());
        Session { tls, raw, sending, taken: 0, sealed, ended: false, failed: None }
    }

    fn is_open(&self) -> bool {
        !self.ended && self.failed.is_none()
    }

    /// Decrypts all of `raw` to the end of `plain`, and notes the peer's goodbye. What stands before a fault
    /// is decrypted too.
    pub(super) fn unseal(&mut self, plain: &mut Vec<u8>) -> io::Result<()> {
        let mut rest = self.raw.as_slice();
        while !rest.is_empty() && !self.ended {
            self.tls.read_tls(&mut rest)?;
            match self.tls.process_new_packets() {
                Ok(state) => {
                    let (start, arrived) = (plain.len(), state.plaintext_bytes_to_read());
                    plain.resize(start + arrived, 0);
                    self.tls.reader().read_exact(&mut plain[start..])?;
                    self.ended = state.peer_has_closed();
                }
                Err(error) => {
                    // It always ends with an error of its own, after what there was.
                    let _ = self.tls.reader().read_to_end(plain);
                    return Err(io::Error::other(error));
                }
            }
        }
        Ok(())
    }

    /// The ciphertext of the next piece of what is being sent.
    fn seal_next(&mut self) -> io::Result<Gather> {
        let (mut skip, mut room) = (self.taken, SEAL_BYTES);
        for slice in self.sending.slices() {
            let passed = skip.min(slice.len());
            skip -= passed;
            let piece = &slice[passed..slice.len().min(passed + room)];
            self.tls.writer().write_all(piece)?;
            room -= piece.len();
        }
        self.taken += SEAL_BYTES - room;
        self.seal()
    }

    /// All ciphertext that waits to go out.
    fn seal(&mut self) -> io::Result<Gather> {
        let mut sealed = std::mem::take(&mut self.sealed);
        sealed.clear();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut sealed)?;
        }
        let mut gather = Gather::of(sealed, Vec::new());
        let all = Span::new(0, gather.ours.len());
        let pushed = gather.push_ours(all);
        debug_assert!(pushed, "one piece always fits");
        Ok(gather)
    }

    /// Sends all ciphertext that waits to go out, if there is any.
    pub(super) async fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        if self.tls.wants_write() {
            let gather = self.seal()?;
            let (gather, sent) = socket.send(gather).await;
            self.sealed = gather.ours;
            sent?;
        }
        Ok(())
    }
}
