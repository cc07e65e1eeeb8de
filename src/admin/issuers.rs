//! How the sources of issuers' keys stand.

use crate::base::{Moment, Tick};
use crate::config::{JwksOrigin, JwksSource};
use crate::mail::{Board, InForce, SourceStands};
use std::time::Duration;

/// One source, for people.
pub(super) struct Standing {
    /// What it is called, without the query of its URL; no two are called the same.
    pub(super) source: String,
    /// The keys of it by which tokens are verified now.
    pub(super) keys: u64,
    /// How long ago it was last read or answered well; `None` before that, and of keys that are written down.
    pub(super) age: Option<Duration>,
    /// How often it could not be read or did not answer well, since the process began.
    pub(super) failures: u64,
    /// Whether that was so the last time.
    pub(super) failing: bool,
}

/// All of what is in force, in its order.
pub(super) fn standings(board: &Board, in_force: &InForce, now: Moment) -> Vec<Standing> {
    let known = board.sources();
    let mut all: Vec<Standing> = Vec::new();
    for source in &in_force.snapshot.jwks {
        let stands = known.iter().find(|(name, _)| *name == source.name).map(|(_, stands)| *stands);
        let called = called(source, &all);
        all.push(of(source, called, stands.unwrap_or_default(), now.tick));
    }
    all
}

fn of(source: &JwksSource, called: String, stands: SourceStands, now: Tick) -> Standing {
    let SourceStands { keys, well, failures, failing } = stands;
    match &source.origin {
        JwksOrigin::Inline(keys) => {
            Standing { source: called, keys: keys.len() as u64, age: None, failures: 0, failing: false }
        }
        JwksOrigin::File(_) | JwksOrigin::Url { .. } | JwksOrigin::Unasked => {
            let age = well.map(|well| now.since(well));
            Standing { source: called, keys: u64::from(keys), age, failures, failing }
        }
    }
}

/// The name of a source as it may be shown: what stands in the query of a URL may be nobody's to see.
fn called(source: &JwksSource, before: &[Standing]) -> String {
    let name = source.name.split_once('?').map_or(&*source.name, |(name, _)| name);
    let is_taken = |name: &str| before.iter().any(|other| other.source == name);
    let numbered = (2u32..).map(|number| format!("{name} ({number})"));
    std::iter::once(name.to_owned()).chain(numbered).find(|name| !is_taken(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_are_called_the_same_and_no_query_is_shown() {
        let mut all = Vec::new();
        for (name, expected) in [
            ("https://a/keys?token=s3cret", "https://a/keys"),
            ("https://a/keys?token=s3cret2", "https://a/keys (2)"),
            ("https://a/keys", "https://a/keys (3)"),
            ("file $KEYS/a.json", "file $KEYS/a.json"),
        ] {
            let source = JwksSource { name: name.to_owned(), origin: JwksOrigin::Unasked };
            let called = called(&source, &all);
            assert_eq!(called, expected);
            let stands = SourceStands { keys: 2, well: Some(Tick(5)), failures: 3, failing: true };
            let one = of(&source, called, stands, Tick(12));
            assert_eq!((one.keys, one.age, one.failures), (2, Some(Duration::from_nanos(7)), 3));
            all.push(one);
        }
    }
}
