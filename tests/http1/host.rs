//! A host that answers every request it understands with 200, and tells what it understood.

use super::strict::{self, Seen};
use crate::support::{Rig, provider, settings};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The host, and what it has seen since it was last asked.
pub(crate) struct Host {
    pub address: SocketAddr,
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
pub(crate) struct Told {
    /// Whole requests.
    pub seen: Vec<Seen>,
    /// What a strict server would have refused.
    pub faults: Vec<String>,
    /// Requests that broke off.
    pub partial: usize,
    /// Bytes of everything.
    pub bytes: usize,
    pub connections: usize,
}

impl Host {
    pub(crate) fn start() -> Host {
        let told = Arc::new(Mutex::new(Told::default()));
        let of_threads = told.clone();
        let address = provider(move |_, stream| serve(stream, &of_threads));
        Host { address, told }
    }

    /// What it has seen, which it then forgets.
    pub(crate) fn take(&self) -> Told {
        std::mem::take(&mut *self.told())
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        lock(&self.told)
    }

    /// The usual routes, all of them to this host; `spec` as in [`settings`].
    pub(crate) fn rig(&self, spec: &str) -> Rig {
        Rig::start_before(self.address, &settings(&format!("  records: {{to: none}}\n{spec}")))
    }
}

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

const CHAT: &str = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}"#;

const MESSAGE: &str = r#"{"id":"x","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;

/// An answer to a request for this target.
pub(crate) fn answer_to(method: &[u8], target: &str) -> Vec<u8> {
    let body = match target {
        "/v1/chat/completions" => CHAT,
        "/v1/messages" => MESSAGE,
        _ => "ok",
    };
    let media = if body == "ok" { "text/plain" } else { "application/json" };
    let length = body.len();
    let shown = if method == b"HEAD" { "" } else { body };
    format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {length}\r\n\r\n{shown}")
        .into_bytes()
}

fn serve(mut stream: TcpStream, told: &Mutex<Told>) {
    lock(told).connections += 1;
    let (mut buffer, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        match strict::request(&buffer) {
            Ok(Some((seen, len))) => {
                buffer.drain(..len);
                let answer = answer_to(seen.method(), &seen.target());
                lock(told).seen.push(seen);
                if stream.write_all(&answer).is_err() {
                    return;
                }
                continue;
            }
            Ok(None) => {}
            Err(fault) => {
                lock(told).faults.push(fault);
                return;
            }
        }
        match stream.read(&mut piece) {
            Ok(n @ 1..) => {
                lock(told).bytes += n;
                buffer.extend_from_slice(&piece[..n]);
            }
            _ => {
                lock(told).partial += usize::from(!buffer.is_empty());
                return;
            }
        }
    }
}
