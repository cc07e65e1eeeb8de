//! TLS to providers: a rustls session over a ring socket.

use crate::base::{Span, Tick};
use crate::runtime::{Gather, Socket};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore};
use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::task::{Context, Poll};

/// How providers are verified: certificates against `roots`, TLS 1.2 or 1.3, HTTP/1.1 announced by ALPN.
///
/// # Errors
/// When the crypto provider does not support the protocol versions; with the built-in one it does.
pub fn client_config(roots: RootCertStore) -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let mut config = versions.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// A TLS connection as its client. Sends and fills like a [`Socket`].
pub(super) struct TlsStream {
    socket: Socket,
    session: RefCell<Session>,
}

struct Session {
    tls: ClientConnection,
    /// Ciphertext that was received and not read yet.
    raw: Vec<u8>,
    /// The plaintext of the send under way, kept because a failed request may be sent again.
    sending: Gather,
    /// The buffer that the ciphertext of a send goes out in.
    sealed: Vec<u8>,
}

impl TlsStream {
    /// Makes the handshake on a connected socket; `name` is what the certificate must be for.
    pub(super) async fn open(
        socket: Socket,
        config: Arc<ClientConfig>,
        name: &str,
        deadline: Tick,
    ) -> io::Result<TlsStream> {
        let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        // The bound on what waits to be sent is that of the request, which is checked before.
        tls.set_buffer_limit(None);
        socket.set_deadline(deadline);
        let mut session = Session { tls, raw: Vec::new(), sending: Gather::default(), sealed: Vec::new() };
        while session.tls.is_handshaking() {
            session.flush(&socket).await?;
            if session.tls.is_handshaking() && session.tls.wants_read() {
                session.raw.clear();
                if socket.fill(&mut session.raw).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                if let Err(error) = session.unseal(&mut Vec::new()) {
                    session.flush(&socket).await.ok(); // the alert that says why
                    return Err(error);
                }
            }
        }
        session.flush(&socket).await?;
        socket.clear_deadline();
        Ok(TlsStream { socket, session: RefCell::new(session) })
    }

    /// The socket underneath, for deadlines.
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// As [`Socket::start_send`]. The plaintext is kept and comes back with `poll_sent`.
    pub(super) fn start_send(&self, gather: Gather) -> io::Result<()> {
        let mut session = self.session.borrow_mut();
        let session = &mut *session;
        for slice in gather.slices() {
            session.tls.writer().write_all(slice)?;
        }
        session.sending = gather;
        self.socket.start_send(session.seal()?);
        Ok(())
    }

    /// As [`Socket::poll_sent`].
    pub(super) fn poll_sent(&self, cx: &mut Context<'_>) -> Poll<(Gather, io::Result<()>)> {
        let Poll::Ready((mut sealed, result)) = self.socket.poll_sent(cx) else { return Poll::Pending };
        let mut session = self.session.borrow_mut();
        sealed.clear();
        session.sealed = sealed.ours;
        Poll::Ready((std::mem::take(&mut session.sending), result))
    }

    /// As [`Socket::poll_fill`]. An end of the stream without TLS's own goodbye is an end all the same: what
    /// it cut off, the framing of the answer finds out.
    pub(super) fn poll_fill(&self, cx: &mut Context<'_>, buf: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let mut session = self.session.borrow_mut();
        loop {
            session.raw.clear();
            let mut raw = std::mem::take(&mut session.raw);
            let filled = self.socket.poll_fill(cx, &mut raw);
            session.raw = raw;
            match filled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(0)),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(_)) => {}
            }
            let before = buf.len();
            let ended = session.unseal(buf)?;
            if buf.len() > before || ended {
                return Poll::Ready(Ok(buf.len() - before));
            }
        }
    }
}

impl Session {
    /// Decrypts all of `raw` to the end of `plain`; whether the peer said goodbye.
    fn unseal(&mut self, plain: &mut Vec<u8>) -> io::Result<bool> {
        let mut rest = self.raw.as_slice();
        let mut ended = false;
        while !rest.is_empty() && !ended {
            self.tls.read_tls(&mut rest)?;
            let state = self.tls.process_new_packets().map_err(io::Error::other)?;
            let (start, arrived) = (plain.len(), state.plaintext_bytes_to_read());
            plain.resize(start + arrived, 0);
            self.tls.reader().read_exact(&mut plain[start..])?;
            ended = state.peer_has_closed();
        }
        Ok(ended)
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

    async fn flush(&mut self, socket: &Socket) -> io::Result<()> {
        if self.tls.wants_write() {
            let gather = self.seal()?;
            let (gather, sent) = socket.send(gather).await;
            self.sealed = gather.ours;
            sent?;
        }
        Ok(())
    }
}
