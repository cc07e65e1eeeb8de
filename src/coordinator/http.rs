//! One request to an endpoint that is no provider, and its answer: for threads that may wait, never for a worker.

use crate::base::{Secret, Tick};
use crate::llm::auth::{ANSWER_BYTES_MAX, Fetch, Received};
use crate::runtime::clock;
use crate::wire::http1::{BodyReader, HeadLimits, HeadScan, Method};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

/// How long a connection to one address may take.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// How long all of it may take, from the first connection to the last byte. The look-up of the name comes before.
const EXCHANGE_MAX: Duration = Duration::from_secs(10);

/// The same of what is asked in the clear: it is on this machine or the next one, and often not there at all.
const CONNECT_NEAR_MAX: Duration = Duration::from_secs(1);
const EXCHANGE_NEAR_MAX: Duration = Duration::from_secs(5);

/// Sends a request on a connection of its own, by verified TLS where its URL says `https`, and waits for the answer.
/// Redirections are not followed: what is sent may be a credential.
///
/// # Errors
/// No connection, no answer in time, one that is malformed or too long; the message names the host.
pub(super) fn send(fetch: &Fetch, tls: &Arc<ClientConfig>) -> io::Result<Received> {
    exchange(fetch, tls).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", fetch.url.host)))
}

fn exchange(fetch: &Fetch, tls: &Arc<ClientConfig>) -> io::Result<Received> {
    let mut request = Vec::new();
    fetch.write(&mut request);
    let request = Secret::new(request);
    let mut wire = Wire::connect(fetch)?;
    let method = Method::from_bytes(fetch.method.as_bytes());
    if !fetch.url.tls {
        return talk(&mut wire, request.expose(), method);
    }
    let name = ServerName::try_from(fetch.url.host.clone()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    talk(&mut rustls::Stream::new(&mut session, &mut wire), request.expose(), method)
}

fn talk(stream: &mut (impl Read + Write), request: &[u8], method: Method) -> io::Result<Received> {
    stream.write_all(request)?;
    let malformed =
        |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its answer is malformed: {why}"));
    let mut bytes = Vec::new();
    let mut scan = HeadScan::default();
    let head = loop {
        let head = scan.response(&bytes, &HeadLimits::default(), method);
        match head.map_err(|fault| malformed(fault.reason()))? {
            Some(head) => break head,
            None if read(stream, &mut bytes)? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            None => {}
        }
    };
    let reader = BodyReader::new(head.framing, ANSWER_BYTES_MAX as u64);
    let mut reader = reader.map_err(|fault| malformed(fault.reason()))?;
    let (mut body, mut at) = (Vec::new(), head.len);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let progress = reader.read(rest, |span| body.extend_from_slice(span.of(rest)));
        let progress = progress.map_err(|fault| malformed(fault.reason()))?;
        at += progress.consumed;
        if progress.done {
            break;
        }
        if read(stream, &mut bytes)? == 0 {
            reader.end_of_stream().map_err(|fault| malformed(fault.reason()))?;
            break;
        }
    }
    Ok(Received { status: head.status, body: Secret::new(body) })
}

/// Reads what has come behind `bytes`; 0 at the end.
fn read(stream: &mut impl Read, bytes: &mut Vec<u8>) -> io::Result<usize> {
    let mut piece = [0; 4096];
    let read = match stream.read(&mut piece) {
        // An end without goodbye, which the answer's own framing judges.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
        read => read?,
    };
    bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
    Ok(read)
}

/// A connection whose waits end at an instant, however the bytes trickle.
struct Wire {
    socket: TcpStream,
    until: Tick,
}

impl Wire {
    fn connect(fetch: &Fetch) -> io::Result<Wire> {
        let (each, all) = match fetch.url.tls {
            true => (CONNECT_MAX, EXCHANGE_MAX),
            false => (CONNECT_NEAR_MAX, EXCHANGE_NEAR_MAX),
        };
        let addresses = (fetch.url.host.as_str(), fetch.url.port).to_socket_addrs()?;
        let until = clock::now() + all;
        let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
        for address in addresses {
            match TcpStream::connect_timeout(&address, left(until)?.min(each)) {
                Ok(socket) => return Ok(Wire { socket, until }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }
}

impl Read for Wire {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(left(self.until)?))?;
        self.socket.read(out).map_err(in_words)
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(left(self.until)?))?;
        self.socket.write(bytes).map_err(in_words)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

/// The time that is left, more than none: a socket's timeout of zero is an error of another kind.
fn left(until: Tick) -> io::Result<Duration> {
    match until.since(clock::now()) {
        Duration::ZERO => Err(too_late()),
        left => Ok(left),
    }
}

/// A socket calls a wait that was too long "temporarily unavailable".
fn in_words(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::WouldBlock { too_late() } else { error }
}

fn too_late() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "no answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    /// Bytes of an answer that come a few at a time, and what was sent for them.
    struct Peer {
        answer: Cursor<Vec<u8>>,
        each: usize,
        asked: Vec<u8>,
    }

    impl Read for Peer {
        fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
            let most = self.each.min(out.len());
            self.answer.read(&mut out[..most])
        }
    }

    impl Write for Peer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.asked.extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn received(answer: &str, each: usize) -> Result<(u16, String), String> {
        let mut peer = Peer { answer: Cursor::new(answer.as_bytes().to_vec()), each, asked: Vec::new() };
        let received = talk(&mut peer, b"GET / HTTP/1.1\r\n\r\n", Method::Get);
        assert_eq!(peer.asked, b"GET / HTTP/1.1\r\n\r\n");
        let text = |received: Received| String::from_utf8_lossy(received.body.expose()).into_owned();
        received.map(|received| (received.status, text(received))).map_err(|error| error.to_string())
    }

    #[test]
    fn answers_are_read_to_their_end_however_they_are_framed_and_cut() {
        for (answer, status, body) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcdef", 200, "abc"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
                200,
                "abc",
            ),
            ("HTTP/1.0 404 No\r\n\r\nabc", 404, "abc"),
            ("HTTP/1.1 204 None\r\n\r\n", 204, ""),
        ] {
            for each in [1, 2, 7, 4096] {
                assert_eq!(received(answer, each), Ok((status, body.to_owned())), "{answer:?} by {each}");
            }
        }
    }

    #[test]
    fn answers_that_are_none_or_too_long_are_refused() {
        let long = "HTTP/1.1 200 OK\r\ncontent-length: 65537\r\n\r\n";
        let endless = format!("HTTP/1.0 200 OK\r\n\r\n{}", "x".repeat(ANSWER_BYTES_MAX + 1));
        for (answer, expected) in [
            ("", "unexpected end of file"),
            ("HTTP/1.1 200 OK\r\n", "unexpected end of file"),
            ("SSH-2.0-x\r\n\r\n", "its answer is malformed"),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nabc",
                "its answer is malformed: connection closed inside",
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx",
                "its answer is malformed: invalid chunk size",
            ),
            (long, "its answer is malformed: body is too large"),
            (&endless, "its answer is malformed: body is too large"),
        ] {
            let fault = received(answer, 4096).expect_err(expected);
            assert!(fault.starts_with(expected), "{fault}");
        }
    }
}
