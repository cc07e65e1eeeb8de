//! When a request matches: path, method, headers and query parameters, all of which must hold.

use super::query;
use regex::{Regex, RegexBuilder};

/// What routing reads of a request. Nothing in it is copied or changed.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The authority of an absolute-form target, else the `Host` field; any case, with or without a port.
    pub host: &'a [u8],
    /// The method as sent; methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a [u8],
    /// The path as sent, percent-escapes undecoded, without the query. Empty means `/` (RFC 9110 section
    /// 4.2.3), which is also what a CONNECT without a path is matched as.
    pub path: &'a [u8],
    /// What stands after `?`, when there is one.
    pub query: Option<&'a [u8]>,
    /// The header fields.
    pub headers: &'a dyn HeaderLookup,
}

impl Request<'_> {
    /// The path to match against; never empty.
    pub(super) fn matched_path(&self) -> &[u8] {
        if self.path.is_empty() { b"/" } else { self.path }
    }
}

/// Reads header fields by name, so that routing need not know how a head is kept.
pub trait HeaderLookup {
    /// The value of the field `name`, which is given in lower case; names compare without case. For a name
    /// that is repeated it is the first value or all of them joined by commas, as the implementer chooses:
    /// the Gateway API leaves that to implementations.
    fn value(&self, name: &str) -> Option<&[u8]>;
}

/// `HTTPPathMatch`: how a rule wants the path.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path, byte for byte: `/abc` is not `/abc/`.
    Exact(String),
    /// A prefix by path element: `/abc` takes `/abc`, `/abc/` and `/abc/def`, not `/abcd`. Written without
    /// a trailing `/`, except that `/` alone takes every path.
    Prefix(String),
    /// An expression from [`full_regex`]; a path that is not UTF-8 does not match.
    Regex(Regex),
}

impl PathMatch {
    /// Whether `path`, which is not empty, is taken.
    pub fn accepts(&self, path: &[u8]) -> bool {
        match self {
            PathMatch::Exact(whole) => whole.as_bytes() == path,
            PathMatch::Prefix(prefix) => after_prefix(prefix, path).is_some(),
            PathMatch::Regex(regex) => is_match(regex, path),
        }
    }
}

/// How a rule wants the value of a header or of a query parameter.
#[derive(Clone, Debug)]
pub enum ValueMatch {
    /// Byte for byte, with case.
    Exact(String),
    /// An expression from [`full_regex`]; a value that is not UTF-8 does not match.
    Regex(Regex),
}

impl ValueMatch {
    /// Whether `value` is taken.
    pub fn accepts(&self, value: &[u8]) -> bool {
        match self {
            ValueMatch::Exact(whole) => whole.as_bytes() == value,
            ValueMatch::Regex(regex) => is_match(regex, value),
        }
    }
}

/// `HTTPRouteMatch`: everything in it must hold.
#[derive(Clone, Debug)]
pub struct RouteMatch {
    /// How the path must be.
    pub path: PathMatch,
    /// The method, or any.
    pub method: Option<String>,
    /// Header fields that must be there with such a value; names in lower case.
    pub headers: Vec<(String, ValueMatch)>,
    /// Query parameters that must be there with such a value; names with case.
    pub query: Vec<(String, ValueMatch)>,
}

impl RouteMatch {
    /// Whether everything holds for `request`.
    pub fn accepts(&self, request: &Request<'_>) -> bool {
        self.path.accepts(request.matched_path())
            && self.accepts_beside_path(request, &mut LastHeader::of(request))
    }

    /// Whether everything but the path holds.
    pub(super) fn accepts_beside_path<'m>(
        &'m self,
        request: &Request<'_>,
        last_header: &mut LastHeader<'m, '_>,
    ) -> bool {
        self.method.as_ref().is_none_or(|method| method.as_bytes() == request.method)
            && self
                .headers
                .iter()
                .all(|(name, wanted)| last_header.value(name).is_some_and(|value| wanted.accepts(value)))
            && self.query.iter().all(|(name, wanted)| query::accepts(request.query, name, wanted))
    }

    /// The same match in the form that the rest of this room counts on: a prefix with a `/` before and none
    /// after, header names in lower case, and of entries with an equivalent name the first alone ("If
    /// multiple entries specify equivalent header names, only the first entry with an equivalent name MUST be
    /// considered", likewise for query parameters).
    #[must_use]
    pub fn normalized(mut self) -> RouteMatch {
        if let PathMatch::Prefix(prefix) = &mut self.path {
            prefix.truncate(trimmed_prefix(prefix).len());
            if !prefix.starts_with('/') {
                prefix.insert(0, '/');
            }
        }
        for (name, _) in &mut self.headers {
            name.make_ascii_lowercase();
        }
        keep_first_of_each_name(&mut self.headers);
        keep_first_of_each_name(&mut self.query);
        self
    }
}

/// Header values of one request, the last one looked up kept at hand: neighbours in a list of matches mostly
/// ask for the same field, and a look-up reads the whole head.
pub(super) struct LastHeader<'m, 'r> {
    headers: &'r dyn HeaderLookup,
    last: Option<(&'m str, Option<&'r [u8]>)>,
}

impl<'m, 'r> LastHeader<'m, 'r> {
    pub(super) fn of(request: &Request<'r>) -> LastHeader<'m, 'r> {
        LastHeader { headers: request.headers, last: None }
    }

    /// The value of the field `name`, which is given in lower case.
    pub(super) fn value(&mut self, name: &'m str) -> Option<&'r [u8]> {
        match self.last {
            Some((last, value)) if last == name => value,
            _ => {
                let value = self.headers.value(name);
                self.last = Some((name, value));
                value
            }
        }
    }
}

/// Compiles `pattern` so that it must match the whole value, as the Gateway API's `RegularExpression` is
/// read here. Matching takes time linear in the value; memory is bounded by [`REGEX_BYTES_MAX`].
///
/// # Errors
/// When the pattern is not an expression of the `regex` crate or compiles to more than the bound.
pub fn full_regex(pattern: &str) -> Result<Regex, regex::Error> {
    // On its own first: `a)|(b` is no expression, though it would become one between our brackets.
    compile(pattern)?;
    compile(&format!(r"\A(?:{pattern})\z"))
}

/// An expression of [`full_regex`] as it was written.
pub(super) fn written(regex: &Regex) -> &str {
    let text = regex.as_str();
    text.strip_prefix(r"\A(?:").and_then(|text| text.strip_suffix(r")\z")).unwrap_or(text)
}

/// The most memory that one compiled expression may take, in bytes; its lazy automaton may take as much
/// again.
pub const REGEX_BYTES_MAX: usize = 1 << 20;

/// What follows `prefix` in `path`, when `prefix` covers whole path elements of it.
pub(super) fn after_prefix<'p>(prefix: &str, path: &'p [u8]) -> Option<&'p [u8]> {
    let rest = path.strip_prefix(trimmed_prefix(prefix).as_bytes())?;
    (rest.is_empty() || rest.starts_with(b"/")).then_some(rest)
}

/// `prefix` without `/` at its end: the empty string for `/`, which then takes all that begins with `/`.
pub(super) fn trimmed_prefix(prefix: &str) -> &str {
    prefix.trim_end_matches('/')
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    RegexBuilder::new(pattern).size_limit(REGEX_BYTES_MAX).dfa_size_limit(REGEX_BYTES_MAX).build()
}

fn is_match(regex: &Regex, value: &[u8]) -> bool {
    std::str::from_utf8(value).is_ok_and(|text| regex.is_match(text))
}

fn keep_first_of_each_name(entries: &mut Vec<(String, ValueMatch)>) {
    let mut seen: Vec<String> = Vec::with_capacity(entries.len());
    entries.retain(|(name, _)| {
        let first = !seen.contains(name);
        if first {
            seen.push(name.clone());
        }
        first
    });
}
