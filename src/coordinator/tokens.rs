//! Access tokens of backends whose credential has to be fetched, on a thread of its own because it waits for an answer.
//! Workers get them by mail; no request waits for one.

use super::{tell, tell_all};
use crate::base::Secret;
use crate::config::{BackendKind, Credential};
use crate::llm::auth::google::{Key, Token};
use crate::llm::auth::{ANSWER_BYTES_MAX, Answer, Fault, Fetch};
use crate::mail::{Board, InForce, ToWorker, Tokens};
use crate::runtime::{MailSender, clock};
use crate::wire::http1::{BodyReader, HeadLimits, HeadScan, Method};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// A token is fetched again when so much of its life is left.
const AHEAD_S: u64 = 300;

/// How soon it is tried again after a failure; doubled with each, up to [`RETRY_MAX_S`].
const RETRY_S: u64 = 2;
const RETRY_MAX_S: u64 = 60;

/// How often it is looked whether one ends soon, and how often where nobody has a key; a reload is told.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_IDLE: Duration = Duration::from_secs(60);

/// How long a start waits for tokens before requests are served without them.
const START_MAX: Duration = Duration::from_secs(3);

/// How long a connection to an endpoint may take, and each wait for its bytes.
const CONNECT_MAX: Duration = Duration::from_secs(5);
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The running fetcher. It ends with this handle.
pub(super) struct Fetcher {
    orders: SyncSender<SyncSender<()>>,
}

impl Fetcher {
    /// Starts its thread, and waits a while for the tokens of what is in force.
    pub(super) fn start(
        board: Arc<Board>,
        mail: Vec<MailSender<ToWorker>>,
        tls: Arc<ClientConfig>,
    ) -> io::Result<Fetcher> {
        let (orders, inbox) = sync_channel(1);
        let needs_any =
            board.in_force().snapshot.backends.iter().any(|backend| key_of(&backend.kind).is_some());
        std::thread::Builder::new().name("tokens".to_owned()).spawn(move || {
            Keys { board, mail, tls, known: HashMap::new(), published: 0 }.run(&inbox);
        })?;
        let fetcher = Fetcher { orders };
        if let Some(done) = needs_any.then(|| fetcher.wake()).flatten() {
            let _ = done.recv_timeout(START_MAX); // what has not come yet comes by mail
        }
        Ok(fetcher)
    }

    /// Has it look at what is in force now; who waits is told when that is done.
    pub(super) fn wake(&self) -> Option<Receiver<()>> {
        let (done, wait) = sync_channel(1);
        self.orders.try_send(done).ok().map(|()| wait)
    }
}

/// What the thread knows.
struct Keys {
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    tls: Arc<ClientConfig>,
    /// By the digest of a key.
    known: HashMap<[u8; 32], Known>,
    /// The configuration whose tokens were told last.
    published: u64,
}

/// What is known of one key's token. Times are seconds since 1970.
#[derive(Default)]
struct Known {
    token: Option<Arc<Secret>>,
    expires: u64,
    next_try: u64,
    failures: u32,
}

impl Keys {
    fn run(&mut self, orders: &Receiver<SyncSender<()>>) {
        loop {
            let look = if self.known.is_empty() { LOOK_IDLE } else { LOOK };
            let asked = match orders.recv_timeout(look) {
                Ok(done) => Some(done),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            self.look();
            if let Some(done) = asked {
                done.try_send(()).ok();
            }
        }
    }

    /// Fetches what is due, and tells the workers if anything has changed.
    fn look(&mut self) {
        let in_force = self.board.in_force();
        let keys = || in_force.snapshot.backends.iter().filter_map(|backend| key_of(&backend.kind));
        self.known.retain(|id, _| keys().any(|(_, other)| other == id));
        let mut changed = self.published != in_force.generation && keys().next().is_some();
        for (key, id) in keys() {
            let known = self.known.entry(*id).or_default();
            let now = unix_s();
            if known.token.is_some() && known.expires <= now {
                known.token = None;
                changed = true;
            }
            if now >= known.next_try && known.expires.saturating_sub(AHEAD_S) <= now {
                changed |= known.fetch(key, &self.tls);
            }
        }
        if changed {
            self.publish(&in_force);
        }
    }

    fn publish(&mut self, in_force: &InForce) {
        let token = |kind: &BackendKind| self.known.get(key_of(kind)?.1)?.token.clone();
        let by_backend = in_force.snapshot.backends.iter().map(|backend| token(&backend.kind)).collect();
        let tokens = Arc::new(Tokens { generation: in_force.generation, by_backend });
        self.published = in_force.generation;
        self.board.set_tokens(tokens.clone());
        tell_all(&self.mail, &ToWorker::Tokens(tokens));
    }
}

impl Known {
    /// Fetches a token; whether there is another one.
    fn fetch(&mut self, key: &Key, tls: &Arc<ClientConfig>) -> bool {
        let now = unix_s();
        let fetched = key.fetch(now).map_err(|fault| fault.to_string()).and_then(|fetch| {
            let (status, body) = send(&fetch, tls).map_err(|error| format!("{}: {error}", fetch.url.host))?;
            let answer = Answer { status, body: body.expose() };
            Token::read(answer, now).map_err(|fault: Fault| fault.to_string())
        });
        match fetched {
            Ok(Token { authorization, expires }) => {
                // One with less life than is left at least would be fetched all the time.
                let next_try = now + (expires.saturating_sub(now) / 2).min(RETRY_MAX_S);
                *self = Known { token: Some(Arc::new(authorization)), expires, next_try, failures: 0 };
                true
            }
            Err(why) => {
                let then = match self.token {
                    Some(_) => "the last one is used as long as it holds",
                    None => "requests that need it are answered 503 until there is one",
                };
                if self.failures == 0 {
                    tell(&format!("no access token for {key:?} ({why}): {then}"));
                }
                let pause = (RETRY_S << self.failures.min(5)).min(RETRY_MAX_S);
                self.failures += 1;
                self.next_try = now + pause;
                false
            }
        }
    }
}

fn key_of(kind: &BackendKind) -> Option<(&Arc<Key>, &[u8; 32])> {
    match kind {
        BackendKind::Ai { credential: Credential::Google { key, id }, .. } => Some((key, id)),
        _ => None,
    }
}

fn unix_s() -> u64 {
    u64::try_from(clock::moment().unix_ms / 1000).unwrap_or_default()
}

/// Sends a request by verified TLS; status and body of the answer, which may hold a credential.
fn send(fetch: &Fetch, tls: &Arc<ClientConfig>) -> io::Result<(u16, Secret)> {
    let mut socket = connect(&fetch.url.host, fetch.url.port)?;
    let name = ServerName::try_from(fetch.url.host.clone()).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(tls.clone(), name).map_err(io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    let mut request = Vec::new();
    fetch.write(&mut request);
    let request = Secret::new(request);
    stream.write_all(request.expose())?;
    let mut bytes = Vec::new();
    let mut scan = HeadScan::default();
    let malformed =
        |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("its answer is malformed: {why}"));
    let head = loop {
        let head = scan.response(&bytes, &HeadLimits::default(), Method::Post);
        match head.map_err(|fault| malformed(fault.reason()))? {
            Some(head) => break head,
            None if read(&mut stream, &mut bytes)? == 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
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
        if read(&mut stream, &mut bytes)? == 0 {
            reader.end_of_stream().map_err(|fault| malformed(fault.reason()))?;
            break;
        }
    }
    Ok((head.status, Secret::new(body)))
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

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "it has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_MAX) {
            Ok(socket) => {
                socket.set_read_timeout(Some(ANSWER_MAX))?;
                socket.set_write_timeout(Some(ANSWER_MAX))?;
                return Ok(socket);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}
