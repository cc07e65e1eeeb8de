//! A service that judges: it notes what it is asked and says what it is told to.
#![allow(dead_code)] // each who includes it uses a part of it

use super::support::{host, read_request};
use serde_json::{Value, json};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A question as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Value,
    /// How many came before on the same connection.
    pub(crate) number_on_connection: usize,
}

/// What is answered.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Json(Value),
    /// These bytes, and then the connection is closed.
    Raw(Vec<u8>),
    /// The connection is closed.
    Gone,
    /// Nothing, until the other side closes.
    Silence,
}

#[derive(Default)]
struct Notes {
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    open: AtomicUsize,
}

/// The service while the test runs.
pub(crate) struct Hook {
    pub(crate) address: SocketAddr,
    notes: Arc<Notes>,
}

impl Asked {
    fn read(bytes: &[u8], number_on_connection: usize) -> Asked {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut lines = head.trim_end().split("\r\n");
        let mut words = lines.next().expect("a line").split(' ').map(str::to_owned);
        assert_eq!(words.next().as_deref(), Some("POST"));
        let target = words.next().expect("a target");
        let field =
            |line: &str| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        let body = serde_json::from_slice(&bytes[end..]).expect("JSON");
        Asked { target, headers: lines.filter_map(field).collect(), body, number_on_connection }
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let is_named = |(known, _): &&(String, String)| known.eq_ignore_ascii_case(name);
        self.headers.iter().filter(is_named).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }
}

impl Hook {
    pub(crate) fn start(answer: impl Fn(&Asked) -> Says + Send + Sync + 'static) -> Hook {
        let notes = Arc::new(Notes::default());
        let noted = notes.clone();
        let address = host(move |mut stream| {
            noted.connections.fetch_add(1, Ordering::SeqCst);
            noted.open.fetch_add(1, Ordering::SeqCst);
            serve(&mut stream, &noted, &answer);
            noted.open.fetch_sub(1, Ordering::SeqCst);
        });
        Hook { address, notes }
    }

    /// What it was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.notes.asked.lock().expect("a list").clone()
    }

    /// How many connections it has taken.
    pub(crate) fn connections(&self) -> usize {
        self.notes.connections.load(Ordering::SeqCst)
    }

    /// How many are open.
    pub(crate) fn open(&self) -> usize {
        self.notes.open.load(Ordering::SeqCst)
    }
}

fn serve(stream: &mut TcpStream, notes: &Notes, answer: &impl Fn(&Asked) -> Says) {
    for number in 0.. {
        let Some(bytes) = read_request(stream) else { return };
        let asked = Asked::read(&bytes, number);
        let says = answer(&asked);
        notes.asked.lock().expect("a list").push(asked);
        match says {
            Says::Json(value) => {
                let body = value.to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                if stream.write_all((head + &body).as_bytes()).is_err() {
                    return;
                }
            }
            Says::Raw(bytes) => {
                let _ = stream.write_all(&bytes);
                return;
            }
            Says::Gone => return,
            Says::Silence => {
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                let _ = read_request(stream);
                return;
            }
        }
    }
}

// === what hooks say ===

/// The texts of a webhook's question.
pub(crate) fn texts(asked: &Asked) -> Vec<String> {
    let body = &asked.body["body"];
    let content = |entry: &Value| {
        let message = if entry["message"].is_object() { &entry["message"] } else { entry };
        message["content"].as_str().expect("a text").to_owned()
    };
    let list = if body["messages"].is_array() { &body["messages"] } else { &body["choices"] };
    list.as_array().expect("a list").iter().map(content).collect()
}

pub(crate) fn pass() -> Value {
    json!({"action": {"reason": "fine"}})
}

pub(crate) fn reject(message: &str, status: u16) -> Value {
    json!({"action": {"body": message, "status_code": status, "reason": "not fine"}})
}

/// What was asked, with `to` in place of `from`.
pub(crate) fn mask(asked: &Asked, from: &str, to: &str) -> Value {
    let mut body = asked.body["body"].clone();
    for list in ["messages", "choices"] {
        for entry in body[list].as_array_mut().into_iter().flatten() {
            let message = if entry["message"].is_object() { &mut entry["message"] } else { entry };
            message["content"] = message["content"].as_str().expect("a text").replace(from, to).into();
        }
    }
    json!({"action": {"body": body, "reason": "masked"}})
}
