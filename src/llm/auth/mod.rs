//! Credentials of clouds: where they come from, which requests fetch them, and what they put on a request.
//!
//! * [`aws`] finds AWS credentials where the SDKs look for them, and signs requests.
//! * [`google`] makes access tokens out of service accounts and what else Google's libraries look for.
//! * An [`Origin`] is either of them, as a configuration has it; what comes of it is [`Fetched`], and ends.
//! * [`Fetch`] is a request that somebody else sends; an [`Answer`] is what came back.
//!
//! No file is read here and nothing is sent: whoever holds files and sockets lends them as an [`Outside`]. Time is an
//! argument, in seconds since 1970. No [`Fault`] repeats a credential.

mod answer;
pub mod aws;
mod fetch;
pub mod google;
mod origin;
mod outside;

pub use answer::{ANSWER_BYTES_MAX, Answer, Received};
pub use fetch::{Fetch, Url};
pub use origin::{Cloud, Fetched, Origin};
pub use outside::{Files, Outside};

use std::borrow::Cow;
use std::fmt;

/// Looks up a variable of the environment.
pub type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The value of a variable, if it is set to something.
fn variable(env: Env<'_>, name: &str) -> Option<String> {
    env(name).filter(|value| !value.is_empty())
}

/// Why there is no credential, for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub help: Cow<'static, str>,
}

impl Fault {
    fn new(what: impl Into<String>, help: impl Into<Cow<'static, str>>) -> Fault {
        Fault { what: what.into(), help: help.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.help)
    }
}

impl std::error::Error for Fault {}
