//! An endpoint that gives out credentials, in the clear or by TLS, and a gateway that is told where it is.

use super::*;
use crate::front::{Authority, Front, Manner};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use support::process::directory;
use support::{Answer, chat, host};

/// A Backend of Bedrock's without `auth`.
pub(super) const BEDROCK: &str = "bedrock: {model: \"amazon.nova-lite-v1:0\", region: eu-west-1}";

/// A request to the Backend `cloud`.
pub(super) fn ask(rig: &Rig) -> Answer {
    rig.client().ask("/cloud/v1/chat/completions", "Authorization: Bearer theirs\r\n", &chat("asked", false))
}

/// The access key that signed the last request that the provider saw.
pub(super) fn signer(rig: &Rig) -> String {
    let seen = seen(rig);
    let signed = seen.header("authorization").expect("a signature");
    signed.split("Credential=").nth(1).and_then(|rest| rest.split('/').next()).expect("a key").to_owned()
}

/// The endpoint: its `number`-th request, from 1, is answered as a test says. What was asked is kept.
pub(super) struct Endpoint {
    address: SocketAddr,
    secure: Option<(Front, Authority)>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Endpoint {
    /// In the clear.
    pub(super) fn start(answer: impl Fn(usize, &str) -> (u16, String) + Send + Sync + 'static) -> Endpoint {
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let list = asked.clone();
        let address = host(move |mut stream| {
            while let Some(text) = read(&mut stream) {
                let number = {
                    let mut list = list.lock().expect("a list");
                    list.push(text.clone());
                    list.len()
                };
                let (status, body) = answer(number, &text);
                let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len());
                if stream.write_all((head + &body).as_bytes()).is_err() {
                    return;
                }
            }
        });
        Endpoint { address, secure: None, asked }
    }

    /// By TLS, as `localhost`.
    pub(super) fn start_secure(
        answer: impl Fn(usize, &str) -> (u16, String) + Send + Sync + 'static,
    ) -> Endpoint {
        let endpoint = Endpoint::start(answer);
        let authority = Authority::new();
        let identity = authority.identity("localhost", 2020, 2100);
        let front = Front::start(&identity, endpoint.address, Manner::Polite);
        Endpoint { secure: Some((front, authority)), ..endpoint }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What its URLs begin with.
    pub(super) fn url(&self) -> String {
        match &self.secure {
            Some((front, _)) => format!("https://localhost:{}", front.address.port()),
            None => format!("http://{}", self.address),
        }
    }

    /// Everything that was asked so far.
    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("a list").clone()
    }

    /// A file with the authority that its certificate is of.
    pub(super) fn roots(&self) -> Vec<String> {
        let file = |(_, authority): &(Front, Authority)| file("ca.pem", &authority.pem());
        self.secure.iter().map(file).collect()
    }

    /// A gateway with one worker and these manifests beside the usual ones, where the environment has these variables.
    pub(super) fn rig(&self, script: Script, manifests: &str, variables: &[(&str, &str)]) -> Rig {
        let quiet =
            settings("  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}");
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<(String, String)> = variables.iter().map(owned).collect();
        Rig::start_in(script, &support::manifests(manifests), &quiet, &variables, self.roots())
    }
}

/// A file of this test's own; its path.
pub(super) fn file(name: &str, text: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = directory(&format!("endpoint-{number}")).join(name);
    std::fs::write(&path, text).expect("a file");
    path.display().to_string()
}

/// A request to its end, with or without a body; `None` when the connection ends first.
fn read(stream: &mut TcpStream) -> Option<String> {
    let mut read = support::read_head(stream);
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut rest = vec![0; (head + length.unwrap_or(0_usize)).saturating_sub(read.len())];
    stream.read_exact(&mut rest).ok()?;
    read.append(&mut rest);
    Some(String::from_utf8(read).expect("a request in UTF-8"))
}

/// An instant so many seconds from now, as RFC 3339 writes it.
pub(super) fn in_seconds(seconds: i64) -> String {
    let now = tollgate::runtime::clock::moment().unix_ms / 1000;
    jiff::Timestamp::from_second(now + seconds).expect("a time of this age").to_string()
}
