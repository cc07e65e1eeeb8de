//! Credentials of backends that have to be fetched because they end, on a thread of its own because it waits for answers.
//! Workers get them by mail; no request waits for one.

use super::errands::{Errands, RETRY_MAX, pause_after};
use super::http::send;
use super::{tell, tell_all};
use crate::llm::auth::{Fetched, Origin, Outside};
use crate::mail::{Board, InForce, Keyring, ToWorker};
use crate::runtime::{MailSender, clock};
use rustls::ClientConfig;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

/// A credential is fetched again when so much of its life is left.
const AHEAD_S: u64 = 300;

/// How often one is looked up again that says of no end: the keys in a file, which somebody may change.
const AGAIN_S: u64 = 60;

/// How often it is looked whether one ends soon, and how often where nobody has one; a reload is told.
const LOOK: Duration = Duration::from_secs(1);
const LOOK_IDLE: Duration = Duration::from_secs(60);

/// No file is larger that leads to a credential.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Starts the thread, and waits a while for the credentials of what is in force.
pub(super) fn start(
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    tls: Arc<ClientConfig>,
) -> io::Result<Errands> {
    let needs_any = board.in_force().snapshot.backends.iter().any(|backend| backend.origin().is_some());
    let mut vault = Vault { board, mail, tls, known: HashMap::new(), published: 0 };
    Errands::start("credentials", needs_any, move |_| vault.look())
}

/// What the thread knows.
struct Vault {
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    tls: Arc<ClientConfig>,
    /// By the id of an origin.
    known: HashMap<[u8; 32], Known>,
    /// The configuration whose credentials were told last.
    published: u64,
}

/// What is known of one origin. Times are seconds since 1970.
#[derive(Default)]
struct Known {
    fetched: Option<Fetched>,
    next_try: u64,
    failures: u32,
}

impl Vault {
    /// Fetches what is due, and tells the workers at once of what has changed: another origin may keep silent for long. How long
    /// nothing need be looked at again.
    fn look(&mut self) -> Duration {
        let in_force = self.board.in_force();
        let origins = || in_force.snapshot.backends.iter().filter_map(|backend| backend.origin());
        self.known.retain(|id, _| origins().any(|origin| origin.id == *id));
        if self.published != in_force.generation && origins().next().is_some() {
            self.publish(&in_force);
        }
        for origin in origins() {
            let known = self.known.entry(origin.id).or_default();
            let now = unix_s();
            let mut changed = known.expire(origin, now);
            if known.is_due(now) {
                let fetched = origin.fetch(&Outside {
                    files: &credential_file,
                    send: &|fetch| send(fetch, &self.tls).map_err(|error| error.to_string()),
                    unix_s: now,
                });
                changed |= known.note(origin, fetched.map_err(|fault| fault.to_string()), now);
            }
            if changed {
                self.publish(&in_force);
            }
        }
        if self.known.is_empty() { LOOK_IDLE } else { LOOK }
    }

    fn publish(&mut self, in_force: &InForce) {
        let fetched = |origin: &Arc<Origin>| self.known.get(&origin.id)?.fetched.clone();
        let by_backend =
            in_force.snapshot.backends.iter().map(|backend| fetched(backend.origin()?)).collect();
        let keyring = Arc::new(Keyring { generation: in_force.generation, by_backend });
        self.published = in_force.generation;
        self.board.set_keyring(keyring);
        tell_all(&self.board, &self.mail, ToWorker::Keyring);
    }
}

impl Known {
    fn expires(&self) -> Option<u64> {
        self.fetched.as_ref()?.expires()
    }

    /// Forgets what has ended; whether anything has.
    fn expire(&mut self, origin: &Origin, now: u64) -> bool {
        let has_ended = self.expires().is_some_and(|expires| expires <= now);
        if has_ended {
            self.fetched = None;
            tell(&format!(
                "it has ended: {origin}; requests that need it are answered 503 until there is another"
            ));
        }
        has_ended
    }

    fn is_due(&self, now: u64) -> bool {
        let is_long = self.expires().is_some_and(|expires| expires.saturating_sub(AHEAD_S) > now);
        now >= self.next_try && !is_long
    }

    /// Notes what was fetched, or why nothing was; whether it is something else than before.
    fn note(&mut self, origin: &Origin, fetched: Result<Fetched, String>, now: u64) -> bool {
        let fetched = fetched.and_then(|fetched| match fetched.expires() {
            Some(expires) if expires <= now => {
                Err("it had ended when it came: is the clock right?".to_owned())
            }
            _ => Ok(fetched),
        });
        match fetched {
            Ok(fetched) => {
                // One with less life than is left at least would be fetched all the time.
                let pause = match fetched.expires() {
                    Some(expires) => (expires.saturating_sub(now) / 2).clamp(1, RETRY_MAX.as_secs()),
                    None => AGAIN_S,
                };
                if self.failures > 0 {
                    tell(&format!("there is a credential again ({origin})"));
                }
                let is_other = self.fetched.as_ref() != Some(&fetched);
                *self = Known { fetched: Some(fetched), next_try: now + pause, failures: 0 };
                is_other
            }
            Err(why) => {
                let then = match self.fetched {
                    Some(_) => "the last one is used as long as it holds",
                    None => "requests that need it are answered 503 until there is one",
                };
                if self.failures == 0 {
                    tell(&format!("no {origin} ({why}): {then}"));
                }
                self.failures = self.failures.saturating_add(1);
                self.next_try = now + pause_after(self.failures).as_secs();
                false
            }
        }
    }
}

fn unix_s() -> u64 {
    u64::try_from(clock::moment().unix_ms / 1000).unwrap_or_default()
}

/// The text of a file that leads to a credential; `None` where there is none.
///
/// # Errors
/// Why it cannot be read, and nothing of what is in it.
pub fn credential_file(path: &str) -> Result<Option<String>, String> {
    let file = match File::open(path) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        file => file.map_err(|error| error.to_string())?,
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err("it is larger than 1 MiB".to_owned()),
        false => Ok(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::auth::Cloud;
    use crate::llm::auth::google::{Chain, Token};

    fn origin() -> Origin {
        Origin::new(Cloud::Google(Chain::from_env(&|_| None).expect("places")), b"x")
    }

    fn token(text: &str, expires: u64) -> Result<Fetched, String> {
        let authorization = crate::base::Secret::new(text.as_bytes());
        Ok(Fetched::Google(Arc::new(Token { authorization, expires, quota_project: None })))
    }

    /// The seconds, of those up to `until`, at which it would be fetched, when each try has no other result than the last.
    fn tries(
        known: &mut Known,
        from: u64,
        until: u64,
        result: impl Fn(u64) -> Result<Fetched, String>,
    ) -> Vec<u64> {
        let mut tries = Vec::new();
        for now in from..=until {
            known.expire(&origin(), now);
            if known.is_due(now) {
                known.note(&origin(), result(now), now);
                tries.push(now);
            }
        }
        tries
    }

    #[test]
    fn a_credential_is_renewed_ahead_of_its_end() {
        // An hour: five minutes before its end.
        assert_eq!(
            tries(&mut Known::default(), 1000, 8000, |now| token("a", now + 3600)),
            [1000, 4300, 7600]
        );
        // Less life than is left at least: at half of it, and once in a minute at most.
        assert_eq!(tries(&mut Known::default(), 1000, 1005, |now| token("a", now + 4)), [1000, 1002, 1004]);
        assert_eq!(tries(&mut Known::default(), 1000, 1130, |now| token("a", now + 290)), [1000, 1060, 1120]);
        // The same one comes again, as endpoints that keep it give it, until there is another.
        assert_eq!(tries(&mut Known::default(), 1000, 1130, |_| token("a", 1200)), [1000, 1060, 1120]);
    }

    #[test]
    fn failures_are_tried_again_after_longer_and_longer_pauses() {
        let mut known = Known::default();
        let fails = |_| Err("no".to_owned());
        let mut at = 1000;
        for pause in [2, 4, 8, 16, 32, 60, 60, 60] {
            assert_eq!(tries(&mut known, at, at + pause - 1, fails), [at]);
            at += pause;
        }
        assert!(known.note(&origin(), token("a", at + 3600), at));
        assert_eq!((known.failures, known.is_due(at + 3299), known.is_due(at + 3300)), (0, false, true));
    }

    #[test]
    fn what_was_fetched_holds_to_its_end_whatever_fails() {
        let mut known = Known::default();
        assert!(known.note(&origin(), token("a", 2000), 1000), "the first one is another");
        assert!(!known.note(&origin(), token("a", 2000), 1700), "the same is no other");
        assert!(!known.note(&origin(), Err("no".to_owned()), 1800));
        assert!(!known.expire(&origin(), 1999) && known.fetched.is_some());
        assert!(known.expire(&origin(), 2000) && known.fetched.is_none());
        assert!(!known.expire(&origin(), 2001), "it ends once");
        assert!(!known.note(&origin(), token("b", 2001), 2001), "one that has ended is none");
        assert!(known.fetched.is_none());
        assert!(known.note(&origin(), token("b", 2002), 2001));
    }

    #[test]
    fn files_are_read_and_are_not_endless() {
        let folder = std::env::temp_dir().join(format!("tollgate-credential-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("token").display().to_string();
        assert_eq!(credential_file(&path), Ok(None));
        assert_eq!(credential_file(&format!("{path}/below")), Ok(None));
        std::fs::write(&path, "eyJ").expect("a file");
        assert_eq!(credential_file(&path), Ok(Some("eyJ".to_owned())));
        assert_eq!(credential_file(&format!("{path}/below")), Ok(None), "below a file is none");
        std::fs::write(&path, vec![b'x'; (1 << 20) + 1]).expect("a file");
        assert_eq!(credential_file(&path), Err("it is larger than 1 MiB".to_owned()));
        std::fs::write(&path, [0xff, b's', b'3']).expect("a file");
        assert!(credential_file(&path).is_err_and(|why| !why.contains("s3")));
        std::fs::remove_dir_all(&folder).ok();
    }
}
