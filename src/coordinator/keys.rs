//! Keys of the issuers of callers' tokens: files are read and URLs fetched on a thread of its own, because it waits for
//! them. Workers get them by mail; no request waits for one.

use super::errands::{Errands, pause_after};
use super::http::send;
use super::{Stamp, tell, tell_all};
use crate::access::jwt::{KEYS_BYTES_MAX, Keys};
use crate::access::{self, Digest};
use crate::base::Tick;
use crate::config::{JwksOrigin, JwksSource};
use crate::llm::auth::{Fetch, Url};
use crate::mail::{Board, InForce, KeySets, SourceStands, ToWorker};
use crate::runtime::{MailSender, clock};
use rustls::ClientConfig;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

/// How often at most tokens with an unknown key have a URL asked again: whoever likes can send such tokens.
const WISH_PAUSE: Duration = Duration::from_secs(5);

/// How often it is looked for what is due, and how often where there is nothing to look for; a reload is told.
const LOOK: Duration = Duration::from_millis(500);
const LOOK_IDLE: Duration = Duration::from_secs(60);

/// Starts the thread, and waits a while for the keys of what is in force. Told to look, it reads every file again.
pub(super) fn start(
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    tls: Arc<ClientConfig>,
) -> io::Result<Errands> {
    let needs_any = board.in_force().snapshot.jwks.iter().any(JwksSource::moves);
    let mut sources = Sources { board, mail, tls, known: HashMap::new() };
    Errands::start("keys", needs_any, move |told| sources.look(told))
}

/// What the thread knows.
struct Sources {
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    tls: Arc<ClientConfig>,
    /// By the name of a source.
    known: HashMap<String, Known>,
}

/// What is known of one source.
#[derive(Default)]
struct Known {
    keys: Option<Arc<Keys>>,
    /// Of the text that the keys were read from.
    digest: Digest,
    /// Of the file that was read last.
    stamp: Option<Stamp>,
    /// When a URL was asked last, and when it is due again.
    asked: Tick,
    due: Tick,
    failures: u32,
    /// When it was last well, and all its failures.
    well: Option<Tick>,
    failed: u64,
}

impl Sources {
    /// Reads and fetches what is due, and tells the workers at once of what has changed; of everything where there may be a new
    /// configuration. How long nothing need be looked at again.
    fn look(&mut self, told: bool) -> Duration {
        let in_force = self.board.in_force();
        let sources = &in_force.snapshot.jwks;
        self.known.retain(|name, _| sources.iter().any(|source| source.moves() && source.name == *name));
        for (place, source) in sources.iter().enumerate().filter(|(_, source)| source.moves()) {
            let known = self.known.entry(source.name.clone()).or_default();
            let changed = match &source.origin {
                JwksOrigin::Inline(_) | JwksOrigin::Unasked => false,
                JwksOrigin::File(path) => known.look_at_file(&source.name, path, told),
                JwksOrigin::Url { url, every } => {
                    let now = clock::now();
                    let is_wished = now >= known.asked + WISH_PAUSE && in_force.key_wishes.take(place);
                    (is_wished || now >= known.due) && known.fetch(&source.name, url, *every, &self.tls)
                }
            };
            if changed {
                self.publish(&in_force);
            }
        }
        if told && !sources.is_empty() {
            self.publish(&in_force);
        }
        let stands = |(name, known): (&String, &Known)| (name.clone(), known.stands());
        self.board.set_sources(self.known.iter().map(stands).collect());
        if self.known.is_empty() { LOOK_IDLE } else { LOOK }
    }

    fn publish(&self, in_force: &InForce) {
        let keys = |source: &JwksSource| match &source.origin {
            JwksOrigin::Inline(keys) => Some(keys.clone()),
            _ => self.known.get(&source.name)?.keys.clone(),
        };
        let by_source = in_force.snapshot.jwks.iter().map(keys).collect();
        let sets = Arc::new(KeySets { generation: in_force.generation, by_source });
        self.board.set_keys(sets);
        tell_all(&self.board, &self.mail, ToWorker::Keys);
    }
}

impl Known {
    fn stands(&self) -> SourceStands {
        let keys = self.keys.as_ref().map_or(0, |keys| u32::try_from(keys.len()).unwrap_or(u32::MAX));
        SourceStands { keys, well: self.well, failures: self.failed, failing: self.failures > 0 }
    }

    /// Reads a file that has changed, or every one if `anyway`; whether there are other keys.
    fn look_at_file(&mut self, name: &str, path: &str, anyway: bool) -> bool {
        let stamp = Stamp::of(path).ok();
        if !anyway && stamp == self.stamp && self.failures == 0 {
            self.well = Some(clock::now());
            return false;
        }
        self.stamp = stamp;
        self.take(name, read_file(path).map_err(|error| error.to_string()))
    }

    /// Asks a URL; whether there are other keys.
    fn fetch(&mut self, name: &str, url: &Url, every: Duration, tls: &Arc<ClientConfig>) -> bool {
        let received = send(&Fetch::get(url.clone()), tls).map_err(|error| error.to_string());
        let text = received.and_then(|received| match received.status {
            200 => Ok(received.body.expose().to_vec()),
            status => Err(format!("it answered {status}")),
        });
        self.asked = clock::now();
        let changed = self.take(name, text);
        let pause = match self.failures {
            0 => every,
            failures => pause_after(failures),
        };
        self.due = self.asked + pause;
        changed
    }

    /// What a source says now, or why it says nothing; whether there are other keys. What cannot be read changes nothing.
    fn take(&mut self, name: &str, text: Result<Vec<u8>, String>) -> bool {
        let digest = text.as_ref().map(|text| access::digest(text)).unwrap_or_default();
        if self.keys.is_some() && digest == self.digest {
            (self.failures, self.well) = (0, Some(clock::now()));
            return false;
        }
        let read = text.and_then(|text| Keys::read(&text).map_err(|why| format!("the key set {why}")));
        match read {
            Ok(keys) => {
                for skipped in &keys.skipped {
                    tell(&format!("keys of {name}: {skipped}: skipped"));
                }
                *self = Known {
                    keys: Some(Arc::new(keys)),
                    digest,
                    failures: 0,
                    well: Some(clock::now()),
                    ..*self
                };
                true
            }
            Err(why) => {
                let then = match self.keys {
                    Some(_) => "the last ones are used",
                    None => "callers whose tokens need them are answered 503 until there are some",
                };
                if self.failures == 0 {
                    tell(&format!("no keys of {name} ({why}): {then}"));
                }
                self.failures = self.failures.saturating_add(1);
                self.failed += 1;
                false
            }
        }
    }
}

/// What is longer than a key set may be is cut, and said to be too long by who reads it. A pipe would keep the thread waiting.
fn read_file(path: &str) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = Vec::new();
    File::open(path)?.take(KEYS_BYTES_MAX as u64 + 1).read_to_end(&mut text)?;
    Ok(text)
}
