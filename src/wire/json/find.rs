//! Looks up single values by path in a small document that is complete.
//!
//! Each call scans the whole document. A document that is not valid JSON holds nothing. When a member stands twice,
//! the last one counts, as with most parsers. Names in a path are at most [`KEY_BYTES_MAX`](super::KEY_BYTES_MAX) - 1
//! bytes long; a path goes through objects only.

use super::unescape;
use super::{Container, Scalar, Scanner, Visitor};
use crate::base::Span;
use std::borrow::Cow;

/// A value: where it stands, quotes and brackets included, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// All its bytes.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    String,
    /// A number or literal.
    Scalar(Scalar),
    /// An object or array.
    Container(Container),
}

/// The value at `path`; an empty path is the document itself.
pub fn value(document: &[u8], path: &[&str]) -> Option<Found> {
    let mut search = Search { path, opened: 0, found: None };
    let mut scanner = Scanner::new();
    scanner.feed(document, &mut search).ok()?;
    scanner.finish(&mut search).ok()?;
    search.found
}

/// The number at `path`, if it is an integer that fits.
pub fn u64(document: &[u8], path: &[&str]) -> Option<u64> {
    match value(document, path)?.kind {
        Kind::Scalar(Scalar::Integer(number)) => Some(number),
        _ => None,
    }
}

/// The truth value at `path`.
pub fn bool(document: &[u8], path: &[&str]) -> Option<bool> {
    match value(document, path)?.kind {
        Kind::Scalar(Scalar::Bool(truth)) => Some(truth),
        _ => None,
    }
}

/// The decoded text of the string at `path`.
pub fn string<'a>(document: &'a [u8], path: &[&str]) -> Option<Cow<'a, str>> {
    let found = value(document, path).filter(|found| found.kind == Kind::String)?;
    let inside = document.get(found.span.start as usize + 1..found.span.end as usize - 1)?;
    unescape::text(inside)
}

struct Search<'p> {
    path: &'p [&'p str],
    /// Where the container that is looked for opened.
    opened: usize,
    found: Option<Found>,
}

/// How many names of the path lead here.
#[derive(Clone, Copy)]
enum Place {
    On(usize),
    Off,
}

impl Default for Place {
    fn default() -> Place {
        Place::On(0)
    }
}

impl Search<'_> {
    fn found(&mut self, place: Place, kind: Kind, start: usize, end: usize) {
        if matches!(place, Place::On(names) if names == self.path.len()) {
            self.found = Some(Found { span: Span::new(start, end), kind });
        }
    }
}

impl Visitor for Search<'_> {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match parent {
            Place::On(names) if self.path.get(names).is_some_and(|name| name.as_bytes() == key) => {
                Place::On(names + 1)
            }
            _ => Place::Off,
        }
    }

    fn element(&mut self, _parent: Place) -> Place {
        Place::Off
    }

    fn open(&mut self, place: Place, _container: Container, at: usize) {
        if matches!(place, Place::On(names) if names == self.path.len()) {
            self.opened = at;
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, _empty: bool) {
        self.found(place, Kind::Container(container), self.opened, end);
    }

    fn string(&mut self, place: Place, start: usize, end: usize) {
        self.found(place, Kind::String, start, end);
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, start: usize, end: usize) {
        self.found(place, Kind::Scalar(scalar), start, end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &[u8] =
        br#" {"a":{"b":[1,{"b":2}],"c":"x\ny","d":{}},"n":12,"b":true,"t":"p","t":"q","m\u0061":-1} "#;

    #[test]
    fn values_are_found_by_path() {
        let rows: [(&[&str], Option<&str>); 11] = [
            (&["a", "b"], Some(r#"[1,{"b":2}]"#)),
            (&["a", "c"], Some(r#""x\ny""#)),
            (&["a", "d"], Some("{}")),
            (&["n"], Some("12")),
            (&["b"], Some("true")),
            (&["t"], Some(r#""q""#)),
            (&["ma"], Some("-1")),
            (&["b", "b"], None),
            (&["a", "b", "b"], None),
            (&["zz"], None),
            (&[], std::str::from_utf8(DOCUMENT).ok().map(str::trim)),
        ];
        for (path, expect) in rows {
            let found = value(DOCUMENT, path).map(|found| found.span.of(DOCUMENT));
            assert_eq!(found, expect.map(str::as_bytes), "{path:?}");
        }
    }

    #[test]
    fn typed_values() {
        assert_eq!(u64(DOCUMENT, &["n"]), Some(12));
        assert_eq!(u64(DOCUMENT, &["ma"]), None);
        assert_eq!(bool(DOCUMENT, &["b"]), Some(true));
        assert_eq!(string(DOCUMENT, &["a", "c"]).as_deref(), Some("x\ny"));
        assert_eq!(string(DOCUMENT, &["n"]), None);
        assert_eq!(u64(br#"{"n":1"#, &["n"]), None, "cut short");
    }
}
