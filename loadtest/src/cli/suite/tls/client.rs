//! The client of `loadtest tls`: threads that shake hands, or read large answers.

use super::Measure;
use crate::cli::kit::process;
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, StreamOwned};
use socket2::SockRef;
use std::io::{Error, Read, Result, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long one exchange may take before it is an error.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The most errors of one thread: then it gives up.
const ERRORS_MAX: u64 = 10;

/// A load.
pub(super) struct Driver {
    pub(super) port: u16,
    pub(super) config: Arc<ClientConfig>,
    pub(super) measure: Measure,
    /// Threads, each with one connection at a time.
    pub(super) clients: u32,
    pub(super) time: Duration,
    /// Of an answer.
    pub(super) bytes: u64,
    /// Where the threads run.
    pub(super) cpu: u32,
}

/// What a load brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Brought {
    /// Handshakes, or bytes of answers.
    pub(super) count: u64,
    pub(super) errors: u64,
    /// The first error.
    pub(super) why: Option<String>,
    pub(super) seconds: f64,
    /// Cipher suite and key exchange that were agreed on.
    pub(super) agreed: Option<String>,
}

impl Driver {
    pub(super) fn run(&self) -> Brought {
        let began = Instant::now();
        let until = began + self.time;
        let mut all = Brought::default();
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.clients).map(|_| scope.spawn(|| self.one(until))).collect();
            for thread in threads {
                let brought = thread.join().unwrap_or_else(|_| Brought {
                    errors: 1,
                    why: Some("a thread of the client panicked".into()),
                    ..Brought::default()
                });
                all.count += brought.count;
                all.errors += brought.errors;
                all.why = all.why.take().or(brought.why);
                all.agreed = all.agreed.take().or(brought.agreed);
            }
        });
        all.seconds = began.elapsed().as_secs_f64();
        all
    }

    fn one(&self, until: Instant) -> Brought {
        let mut brought = Brought::default();
        let thread = rustix::thread::gettid().as_raw_nonzero().get();
        if let Err(why) = process::pin(thread.unsigned_abs(), self.cpu) {
            return Brought { errors: 1, why: Some(why), ..brought };
        }
        let mut config = ClientConfig::clone(&self.config);
        // Each thread is a client of its own: nobody waits for another's sessions.
        config.resumption = match self.measure {
            Measure::Full => Resumption::disabled(),
            Measure::Resumed | Measure::Bulk => Resumption::in_memory_sessions(8),
        };
        let config = Arc::new(config);
        // The first is a full one in any case.
        let mut expected = HandshakeKind::Full;
        while Instant::now() < until && brought.errors < ERRORS_MAX {
            let done = match self.measure {
                Measure::Bulk => self.read_answers(&config, until, &mut brought),
                Measure::Full | Measure::Resumed => self.shake_hands(&config).and_then(|(kind, agreed)| {
                    brought.agreed = Some(agreed);
                    if kind != expected {
                        return Err(Error::other(format!("a handshake is {kind:?} and not {expected:?}")));
                    }
                    brought.count += 1;
                    Ok(())
                }),
            };
            if self.measure == Measure::Resumed {
                expected = HandshakeKind::Resumed;
            }
            if let Err(why) = done {
                brought.errors += 1;
                brought.why.get_or_insert(why.to_string());
            }
        }
        brought
    }

    /// A connection after its handshake and the first ticket behind it.
    fn connect(&self, config: &Arc<ClientConfig>) -> Result<(ClientConnection, TcpStream)> {
        let mut socket = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        // It ends with a reset: thousands of ports that wait would be too many.
        SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
        let name = ServerName::IpAddress(Ipv4Addr::LOCALHOST.into());
        let mut tls = ClientConnection::new(config.clone(), name).map_err(Error::other)?;
        while tls.is_handshaking() {
            tls.complete_io(&mut socket)?;
        }
        if tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
            return Err(Error::other(format!("it speaks {:?}", tls.protocol_version())));
        }
        while tls.tls13_tickets_received() == 0 {
            if tls.read_tls(&mut socket)? == 0 {
                return Err(Error::other("it ended before a ticket came"));
            }
            tls.process_new_packets().map_err(Error::other)?;
        }
        Ok((tls, socket))
    }

    fn shake_hands(&self, config: &Arc<ClientConfig>) -> Result<(HandshakeKind, String)> {
        let (tls, _socket) = self.connect(config)?;
        let kind = tls.handshake_kind().ok_or(Error::other("there was no handshake"))?;
        Ok((kind, agreed(&tls)))
    }

    /// Asks for one answer after another on one connection.
    fn read_answers(&self, config: &Arc<ClientConfig>, until: Instant, brought: &mut Brought) -> Result<()> {
        let (tls, socket) = self.connect(config)?;
        brought.agreed = Some(agreed(&tls));
        let mut stream = StreamOwned::new(tls, socket);
        let request = format!(
            "GET /plain?bytes={} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer sk-sim\r\n\r\n",
            self.bytes
        );
        let mut piece = vec![0; 64 << 10];
        while Instant::now() < until {
            stream.write_all(request.as_bytes())?;
            let mut left = self.bytes - read_head(&mut stream, self.bytes)?;
            while left > 0 {
                let most = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                match stream.read(&mut piece[..most])? {
                    0 => return Err(Error::other("an answer ended early")),
                    n => left -= n as u64,
                }
            }
            brought.count += self.bytes;
        }
        Ok(())
    }
}

fn agreed(tls: &ClientConnection) -> String {
    let suite = tls.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite()));
    let group = tls.negotiated_key_exchange_group().map(|group| format!("{:?}", group.name()));
    format!("{}, {}", suite.unwrap_or_default(), group.unwrap_or_default())
}

/// Reads the head of an answer, which must be a good one of this length; how many bytes of the body came with it.
fn read_head(stream: &mut impl Read, bytes: u64) -> Result<u64> {
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut piece)? {
            0 => return Err(Error::other("there is no answer")),
            n => read.extend_from_slice(&piece[..n]),
        }
        let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
        let is_whole = length.is_some_and(|length| length.trim().parse() == Ok(bytes));
        if !head.starts_with("http/1.1 200") || !is_whole {
            return Err(Error::other(format!("another answer than was asked for: {head}")));
        }
        return Ok((read.len() - end - 4) as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_and_others_refused() {
        let read = |text: &str, bytes| read_head(&mut text.as_bytes(), bytes);
        assert_eq!(read("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nabc", 7).unwrap(), 3);
        for text in ["HTTP/1.1 503 x\r\ncontent-length: 7\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 2"] {
            assert!(read(text, 7).is_err(), "{text}");
        }
    }
}
