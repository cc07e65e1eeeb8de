//! A client that knows HTTP/1.1 no better than it must, on a blocking socket: it reads what was sent, byte for byte.
#![allow(dead_code)] // each test file uses a part of it

use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// One connection.
pub(crate) struct Client {
    socket: TcpStream,
    buffer: Vec<u8>,
    ended: Option<End>,
}

/// One answer.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// Sizes of the chunks, when it was chunked.
    pub(crate) chunks: Vec<usize>,
    /// Statuses of interim answers before it.
    pub(crate) interim: Vec<u16>,
    /// The answer ended as its framing says.
    pub(crate) complete: bool,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Fin,
    Rst,
}

impl Client {
    pub(crate) fn to(addr: SocketAddr) -> Client {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        // Only so that a broken test ends.
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Client { socket, buffer: Vec::new(), ended: None }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Sends a request, reads its answer.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Answer {
        self.send(request);
        self.answer()
    }

    pub(crate) fn shutdown(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    pub(crate) fn socket(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads one answer as far as it goes.
    pub(crate) fn answer(&mut self) -> Answer {
        let mut answer = Answer::default();
        while let Some(head) = self.until(b"\r\n\r\n") {
            let text = String::from_utf8(head).unwrap();
            let mut lines = text.trim_end().split("\r\n");
            answer.status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
            let fields = lines.map(|line| line.split_once(": ").unwrap());
            answer.headers = fields.map(|(n, v)| (n.to_ascii_lowercase(), v.to_string())).collect();
            if answer.status >= 200 {
                self.body(&mut answer);
                return answer;
            }
            answer.interim.push(answer.status);
        }
        answer
    }

    fn body(&mut self, answer: &mut Answer) {
        if answer.header("transfer-encoding") == Some("chunked") {
            assert_eq!(answer.header("content-length"), None);
            while let Some(line) = self.until(b"\r\n") {
                let size = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim_end(), 16).unwrap();
                let Some(data) = self.exactly(size + 2) else { break };
                assert_eq!(&data[size..], b"\r\n");
                answer.body.extend_from_slice(&data[..size]);
                if size == 0 {
                    answer.complete = true;
                    break;
                }
                answer.chunks.push(size);
            }
        } else if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.exactly(length).unwrap_or_default();
            answer.complete = answer.body.len() == length;
        } else {
            while self.more().is_ok() {}
            answer.body = std::mem::take(&mut self.buffer);
            answer.complete = true;
        }
        if !answer.complete {
            answer.body.append(&mut self.buffer);
        }
    }

    /// Reads to the end of the connection; what was left, and how it ended.
    pub(crate) fn end(&mut self) -> (Vec<u8>, End) {
        loop {
            match self.more() {
                Ok(()) => {}
                Err(end) => return (std::mem::take(&mut self.buffer), end),
            }
        }
    }

    /// Reads once.
    pub(crate) fn more(&mut self) -> Result<(), End> {
        if let Some(end) = self.ended {
            return Err(end);
        }
        let mut piece = [0; 65536];
        match self.socket.read(&mut piece) {
            Ok(0) => self.ended = Some(End::Fin),
            Ok(count) => self.buffer.extend_from_slice(&piece[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => self.ended = Some(End::Rst),
            Err(error) => panic!("reading: {error}"),
        }
        self.ended.map_or(Ok(()), Err)
    }

    /// What has been read and not been taken.
    pub(crate) fn peek(&self) -> &[u8] {
        &self.buffer
    }

    fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return Some(self.buffer.drain(..at + mark.len()).collect());
            }
            self.more().ok()?;
        }
    }

    fn exactly(&mut self, count: usize) -> Option<Vec<u8>> {
        while self.buffer.len() < count {
            self.more().ok()?;
        }
        Some(self.buffer.drain(..count).collect())
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.text()))
    }

    /// The request's number.
    pub(crate) fn number(&self) -> u64 {
        self.header("x-sim-request").unwrap().parse().unwrap()
    }

    /// The data of each event; every event must be one chunk. Gemini ends its lines with CR LF.
    pub(crate) fn events(&self) -> Vec<String> {
        let blank = if self.text().contains("\r\n") { "\r\n\r\n" } else { "\n\n" };
        let events: Vec<&str> = self.text().split_inclusive(blank).collect();
        if !self.chunks.is_empty() && self.complete {
            assert_eq!(self.chunks, events.iter().map(|event| event.len()).collect::<Vec<_>>());
        }
        let data =
            |event: &&str| event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap().to_string();
        events.iter().map(data).collect()
    }

    /// The events that are JSON.
    pub(crate) fn json_events(&self) -> Vec<Value> {
        let events = self.events();
        events
            .iter()
            .filter(|data| *data != "[DONE]")
            .map(|data| serde_json::from_str(data).unwrap())
            .collect()
    }
}

/// A chat request for OpenAI, with more header lines (each ended by CR LF).
pub(crate) fn openai(body: &str, lines: &str) -> Vec<u8> {
    post("/v1/chat/completions", &format!("authorization: Bearer sk-test\r\n{lines}"), body)
}

/// A messages request for Anthropic.
pub(crate) fn anthropic(body: &str, lines: &str) -> Vec<u8> {
    post("/v1/messages", &format!("x-api-key: sk-ant\r\nanthropic-version: 2023-06-01\r\n{lines}"), body)
}

pub(crate) fn post(target: &str, lines: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nhost: sim\r\ncontent-type: application/json\r\n{lines}content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

pub(crate) fn get(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: sim\r\n\r\n").into_bytes()
}

pub(crate) const CHAT: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}"#;
pub(crate) const CHAT_STREAM: &str = r#"{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}],"stream":true,"stream_options":{"include_usage":true}}"#;
pub(crate) const MESSAGE: &str =
    r#"{"model":"claude-haiku-4-5","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}"#;
pub(crate) const MESSAGE_STREAM: &str = r#"{"model":"claude-haiku-4-5","max_tokens":100,"stream":true,"messages":[{"role":"user","content":[{"type":"text","text":"hello"}]}]}"#;
