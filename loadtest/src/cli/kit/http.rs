//! A blocking client that keeps its connection, can stop in the middle of an answer, and can walk away.

use super::secure::Socket;
use rustls::ClientConfig;
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// Longest answer head, and most lines in it.
const HEAD_BYTES_MAX: usize = 64 << 10;
const HEADERS_MAX: usize = 64;
/// Longest answer that is kept.
const BODY_BYTES_MAX: usize = 64 << 20;
/// How long the client waits for anything before it calls the answer lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// One connection to a port of 127.0.0.1, opened when it is needed.
pub(crate) struct Client {
    addr: SocketAddr,
    socket: Option<Socket>,
    tls: Option<Arc<ClientConfig>>,
    buffer: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Names in lower case.
    fields: Vec<(String, String)>,
}

impl Head {
    /// The first field of this name, which is in lower case.
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// `retry-after-ms`, as tollgate sends it.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.field("retry-after-ms")?.parse().ok().map(Duration::from_millis)
    }

    fn closes(&self) -> bool {
        self.field("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Client {
    pub(crate) fn to(port: u16) -> Client {
        Client::by(None, port)
    }

    /// By TLS, if there is a configuration for it.
    pub(crate) fn by(tls: Option<Arc<ClientConfig>>, port: u16) -> Client {
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Client { addr, socket: None, tls, buffer: Vec::new() }
    }

    /// Whether there is a connection, as far as is known here.
    pub(crate) fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    /// Opens a connection if there is none.
    pub(crate) fn open(&mut self) -> Result<()> {
        if self.socket.is_none() {
            self.socket = Some(self.connect()?);
        }
        Ok(())
    }

    /// Whether a part of an answer has come that is not read yet.
    pub(crate) fn has_unread(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Sends one request.
    pub(crate) fn send(&mut self, request: &[u8]) -> Result<()> {
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => self.connect()?,
        };
        socket.write_all(request)?;
        socket.flush()?;
        self.socket = Some(socket);
        Ok(())
    }

    /// The head of the answer. With `within` it gives up after that time ([`ErrorKind::WouldBlock`]), and the
    /// head may be asked for again.
    pub(crate) fn head(&mut self, within: Option<Duration>) -> Result<Head> {
        if let (Some(socket), Some(within)) = (&self.socket, within) {
            socket.set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        }
        let outcome = self.read_head();
        if let (Some(socket), Some(_)) = (&self.socket, within) {
            socket.set_read_timeout(Some(PATIENCE))?;
        }
        outcome
    }

    /// The body of the answer that began with `head`, or its first bytes when there are `enough` of them. True
    /// when that is all of it; then the connection can be used again.
    pub(crate) fn body(&mut self, head: &Head, enough: usize) -> Result<(Vec<u8>, bool)> {
        let mut body = Vec::new();
        if head.field("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
            if !self.chunks(&mut body, enough)? {
                return Ok((body, false));
            }
        } else if let Some(length) = head.field("content-length") {
            let length: usize = length.parse().map_err(|_| malformed("content-length"))?;
            let wanted = length.min(enough).min(BODY_BYTES_MAX);
            self.take(wanted, &mut body)?;
            if wanted < length {
                return Ok((body, false));
            }
        } else if !self.until_end(&mut body, enough)? {
            return Ok((body, false));
        }
        if head.closes() {
            self.leave();
        }
        Ok((body, true))
    }

    /// One request and all of its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Result<(Head, Vec<u8>)> {
        self.send(request)?;
        let head = self.head(None)?;
        let (body, _) = self.body(&head, usize::MAX)?;
        Ok((head, body))
    }

    /// Closes the connection, whatever is under way on it.
    pub(crate) fn leave(&mut self) {
        self.socket = None;
        self.buffer.clear();
    }

    fn connect(&mut self) -> Result<Socket> {
        self.buffer.clear();
        let socket = TcpStream::connect_timeout(&self.addr, PATIENCE)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Socket::over(socket, self.tls.as_ref())
    }

    fn read_head(&mut self) -> Result<Head> {
        loop {
            let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
            let mut parsed = httparse::Response::new(&mut lines);
            match parsed.parse(&self.buffer) {
                Ok(httparse::Status::Complete(length)) => {
                    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                    let fields =
                        parsed.headers.iter().map(|line| (line.name.to_ascii_lowercase(), text(line.value)));
                    let head = Head { status: parsed.code.unwrap_or(0), fields: fields.collect() };
                    self.buffer.drain(..length);
                    if head.status >= 200 {
                        return Ok(head);
                    }
                }
                Ok(httparse::Status::Partial) if self.buffer.len() < HEAD_BYTES_MAX => self.more()?,
                _ => return Err(malformed("head")),
            }
        }
    }

    /// True at the end of the last chunk.
    fn chunks(&mut self, body: &mut Vec<u8>, enough: usize) -> Result<bool> {
        loop {
            let line = self.line()?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| malformed("chunk size"))?;
            if size == 0 {
                while !self.line()?.is_empty() {}
                return Ok(true);
            }
            if size > BODY_BYTES_MAX - body.len().min(BODY_BYTES_MAX) {
                return Err(malformed("length"));
            }
            self.take(size, body)?;
            if !self.line()?.is_empty() {
                return Err(malformed("chunk"));
            }
            if body.len() >= enough {
                return Ok(false);
            }
        }
    }

    fn until_end(&mut self, body: &mut Vec<u8>, enough: usize) -> Result<bool> {
        loop {
            body.append(&mut self.buffer);
            if body.len() >= enough.min(BODY_BYTES_MAX) {
                return Ok(false);
            }
            match self.more() {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    self.leave();
                    return Ok(true);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn line(&mut self) -> Result<String> {
        loop {
            if let Some(at) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let line = String::from_utf8_lossy(&self.buffer[..at]).into_owned();
                self.buffer.drain(..at + 2);
                return Ok(line);
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Err(malformed("line"));
            }
            self.more()?;
        }
    }

    fn take(&mut self, count: usize, to: &mut Vec<u8>) -> Result<()> {
        while self.buffer.len() < count {
            self.more()?;
        }
        to.extend(self.buffer.drain(..count));
        Ok(())
    }

    fn more(&mut self) -> Result<()> {
        let Some(socket) = &mut self.socket else { return Err(ErrorKind::NotConnected.into()) };
        let mut piece = [0; 16 << 10];
        match socket.read(&mut piece)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(())
            }
        }
    }
}

fn malformed(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("the answer's {what} is malformed"))
}

/// A POST of JSON with more header lines, each ended by CR LF.
pub(crate) fn post(path: &str, key: &str, lines: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         authorization: Bearer {key}\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A GET with more header lines, each ended by CR LF.
pub(crate) fn get(path: &str, lines: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{lines}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_loadtest::{Script, Simulator};

    const CHAT: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}"#;
    const STREAM: &str =
        r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}],"stream":true}"#;

    #[test]
    fn whole_streamed_and_broken_off() {
        let simulator = Simulator::start(Script::default()).unwrap();
        let mut client = Client::to(simulator.addr().port());
        let request = |lines: &str, body: &str| post("/v1/chat/completions", "sk", lines, body);
        for framing in ["length", "chunked", "close"] {
            for body in [CHAT, STREAM] {
                let lines = format!("x-sim-framing: {framing}\r\n");
                let (head, body) = client.ask(&request(&lines, body)).unwrap();
                assert_eq!((head.status, body.is_empty()), (200, false), "{framing}");
            }
        }
        let (head, _) = client.ask(&request("x-sim-fault: status:429\r\n", CHAT)).unwrap();
        assert_eq!((head.status, head.field("retry-after")), (429, Some("1")));
        client.send(&request("x-sim-latency: 200ms\r\n", STREAM)).unwrap();
        let early = client.head(Some(Duration::from_millis(1))).unwrap_err();
        assert_eq!(early.kind(), ErrorKind::WouldBlock);
        let head = client.head(None).unwrap();
        let (part, complete) = client.body(&head, 1).unwrap();
        assert!(!complete && !part.is_empty());
        client.leave();
        assert_eq!(client.ask(&request("", CHAT)).unwrap().0.status, 200, "a new connection");
        let cut = client.ask(&request("x-sim-fault: truncate\r\n", CHAT)).unwrap_err();
        assert_eq!(cut.kind(), ErrorKind::UnexpectedEof);
    }
}
