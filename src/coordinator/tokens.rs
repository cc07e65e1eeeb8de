//! Access tokens of backends whose credential has to be fetched, on a thread of its own because it waits for an answer.
//! Workers get them by mail; no request waits for one.

use super::http::send;
use super::{tell, tell_all};
use crate::base::Secret;
use crate::config::{BackendKind, Credential};
use crate::llm::auth::google::{Key, Token};
use crate::mail::{Board, InForce, ToWorker, Tokens};
use crate::runtime::{MailSender, clock};
use rustls::ClientConfig;
use std::collections::HashMap;
use std::io;
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
            let received = send(&fetch, tls).map_err(|error| error.to_string())?;
            Token::read(received.answer(), now).map_err(|fault| fault.to_string())
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
