//! Names and passwords (RFC 7617): who is known by which hash, and what was judged before.
//!
//! A hash that is worth anything takes a core tens of milliseconds, so no worker computes one: [`Policy::admit`] says
//! [`Refusal::Unjudged`] where a password was not seen before, [`Users::question`] what is to be found out, and
//! [`Verdicts`] remembers the answer. [`Question::holds`] is the work itself, for a thread that may be slow.
//!
//! [`Policy::admit`]: super::Policy::admit

mod apr1;
mod hash;
mod verdicts;
mod work;

#[cfg(test)]
mod tests;

pub use hash::{COST_MAX, Hash, Wrong, WrongHash};
pub use verdicts::{REMEMBERED_MAX, Verdicts};
use work::Work;

use super::location::is_basic;
use super::policy::{Asked, Mode};
use super::{Digest, Refusal};
use crate::base::{FastMap, Secret, Span, ascii, base64};
use crate::wire::http1::Known;
use ring::digest::{Context, SHA256};
use std::fmt;
use std::sync::Arc;

/// The longest credentials, `name:password`, in bytes; longer ones are nobody's.
pub const CREDENTIALS_MAX: usize = 768;
/// The longest name, in bytes (Apache's `htpasswd`).
pub const NAME_MAX: usize = 255;

/// Somebody who is known, and the hash of the password.
pub struct User {
    name: Box<str>,
    hash: Arc<Hash>,
    /// Tells this name with this hash from all others.
    line: Digest,
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User").field("name", &self.name).finish_non_exhaustive()
    }
}

impl User {
    /// Reads a line of an htpasswd file, `name:hash`.
    ///
    /// # Errors
    /// What is wrong with it, without repeating any of it but the name.
    pub fn read(line: &str) -> Result<User, Wrong> {
        let (name, text) = line.split_once(':').ok_or(Wrong::NoColon)?;
        let is_name = !name.is_empty() && name.len() <= NAME_MAX && !name.chars().any(char::is_control);
        if !is_name {
            return Err(Wrong::Name);
        }
        let hash = Hash::read(text).map_err(|form| Wrong::Hash(name.to_owned(), form))?;
        let line = digest_of(&[name.as_bytes(), text.as_bytes()]);
        Ok(User { name: name.into(), hash: Arc::new(hash), line })
    }

    /// What the user is called.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How the password is hashed.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }
}

/// Whom a policy knows by a password.
#[derive(Debug)]
pub struct Users {
    /// What becomes of requests without a password that holds.
    pub mode: Mode,
    /// The value of `WWW-Authenticate`.
    challenge: Arc<str>,
    list: Box<[User]>,
    places: FastMap<Box<str>, u32>,
    /// What every password costs that does not hold, whoever shows it.
    work: Work,
}

/// Two lines with one name: their places in the list that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwinUsers(pub usize, pub usize);

/// A password that was not judged before.
#[derive(Debug)]
pub struct Question {
    /// By what the verdict is remembered.
    pub mark: Digest,
    /// Tells users apart, those who are not known too: who would be bounded otherwise than others could be told from them.
    pub user: Digest,
    /// What the password is held against; nothing, where nobody has that name.
    hash: Option<Arc<Hash>>,
    password: Secret,
    work: Work,
}

impl Question {
    /// Whether the password is this user's, for who has no request.
    #[cfg(test)]
    pub(crate) fn of(user: Option<&User>, password: &[u8]) -> Question {
        Question {
            mark: Digest::default(),
            user: Digest::default(),
            hash: user.map(|user| user.hash.clone()),
            password: Secret::new(password),
            work: Work::default(),
        }
    }

    /// Whether the password holds. That it does not takes as long for every name of a list: see [`COST_MAX`].
    pub fn holds(&self) -> bool {
        let password = self.password.expose();
        let holds = self.hash.as_ref().is_some_and(|hash| hash.is_of(password));
        if !holds {
            self.work.beside(self.hash.as_deref()).for_each(|decoy| decoy.run(password));
        }
        holds
    }
}

/// What a request shows.
struct Shown {
    bytes: [u8; CREDENTIALS_MAX],
    name: Span,
    password: Span,
}

impl Users {
    /// These users. `realm` is what they are asked for.
    ///
    /// # Errors
    /// Two of them have one name.
    pub fn new(mode: Mode, realm: &str, users: Vec<User>) -> Result<Users, TwinUsers> {
        let mut places: FastMap<Box<str>, u32> = FastMap::default();
        for (place, user) in (0u32..).zip(&users) {
            if let Some(first) = places.insert(user.name.clone(), place) {
                return Err(TwinUsers(first as usize, place as usize));
            }
        }
        let work = Work::of(users.iter().map(|user| &*user.hash));
        let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
        let challenge = format!("Basic realm=\"{quoted}\"").into();
        Ok(Users { mode, challenge, list: users.into(), places, work })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.list.len()
    }

    /// The name of the user whose password the request shows, if it has to show one or does. With `is_given_up`, a password
    /// that was not judged is nobody's where one that is wrong would be, too.
    pub(super) fn admit(
        &self,
        asked: &Asked<'_>,
        verdicts: &mut Verdicts,
        is_given_up: bool,
    ) -> Result<Option<&str>, Refusal> {
        let Some(value) = shown(asked) else {
            let refusal = Refusal::NoPassword(self.challenge.clone());
            return if self.mode == Mode::Strict { Err(refusal) } else { Ok(None) };
        };
        let known = match Shown::read(value) {
            // Where nobody is known there is nothing to find out.
            Some(_) if self.list.is_empty() => Some(None),
            None => Some(None),
            Some(shown) => {
                let user = self.find(shown.name());
                let verdict = verdicts.get(&mark(user, &shown), asked.unix_ms);
                verdict.map(|holds| user.filter(|_| holds))
            }
        };
        let is_nobodys = is_given_up && self.mode == Mode::Permissive;
        match known.or(is_nobodys.then_some(None)).ok_or(Refusal::Unjudged)? {
            Some(user) => Ok(Some(user.name())),
            None if self.mode == Mode::Permissive => Ok(None),
            None => Err(Refusal::WrongPassword(self.challenge.clone())),
        }
    }

    /// Whether the request shows a password, for whomever.
    pub(super) fn are_asked(&self, asked: &Asked<'_>) -> bool {
        shown(asked).is_some()
    }

    /// What has to be found out for a request of which [`admit`](Users::admit) could not say anything.
    pub fn question(&self, asked: &Asked<'_>) -> Option<Question> {
        let shown = Shown::read(shown(asked)?)?;
        let user = self.find(shown.name());
        Some(Question {
            mark: mark(user, &shown),
            user: user.map_or_else(|| digest_of(&[b"unknown", shown.name()]), |user| user.line),
            hash: user.map(|user| user.hash.clone()),
            password: Secret::new(shown.password()),
            work: self.work,
        })
    }

    fn find(&self, name: &[u8]) -> Option<&User> {
        let place = self.places.get(std::str::from_utf8(name).ok()?)?;
        self.list.get(*place as usize)
    }
}

/// The value of `Authorization`, if that is a name and a password.
fn shown<'a>(asked: &Asked<'a>) -> Option<&'a [u8]> {
    let value = asked.head.headers.first(Known::Authorization)?.of(asked.bytes);
    is_basic(value).then_some(value)
}

/// By what a verdict is remembered. Of somebody who is not known the name is in it, of others the line: so a password is
/// judged again where the line has changed.
fn mark(user: Option<&User>, shown: &Shown) -> Digest {
    match user {
        Some(user) => digest_of(&[b"known", &user.line, shown.password()]),
        None => digest_of(&[b"unknown", shown.name(), shown.password()]),
    }
}

/// The SHA-256 of these, their lengths before them, so that no two lists make the same bytes.
fn digest_of(parts: &[&[u8]]) -> Digest {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

impl Shown {
    /// Reads `Basic` and base64 of `name:password`. Neither may have control characters (RFC 7617 section 2).
    fn read(value: &[u8]) -> Option<Shown> {
        let mut bytes = [0; CREDENTIALS_MAX];
        let end = base64::decode_into(ascii::trim(value.get(6..)?), &mut bytes)?;
        let text = bytes.get(..end)?;
        if text.iter().any(u8::is_ascii_control) {
            return None;
        }
        let colon = text.iter().position(|byte| *byte == b':')?;
        let span = |start: usize, end: usize| Span { start: start as u32, end: end as u32 };
        let (name, password) = (span(0, colon), span(colon + 1, end));
        Some(Shown { bytes, name, password })
    }

    fn name(&self) -> &[u8] {
        self.name.of(&self.bytes)
    }

    fn password(&self) -> &[u8] {
        self.password.of(&self.bytes)
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.bytes.fill(0);
        std::hint::black_box(&self.bytes);
    }
}
