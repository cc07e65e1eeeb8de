//! Why a match does not take a request, for who asks; serving does not come here.

use super::host::{self, Hostname};
use super::matches::{PathMatch, Request, RouteMatch, ValueMatch, written};
use super::query;
use super::table::Table;
use std::fmt;

/// What a match wants and a request has not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mismatch {
    /// The hostname.
    Host(String),
    /// The path: what is wanted of it.
    Path(String),
    /// The method.
    Method(String),
    /// A header: its name, and what its value must be.
    Header(String, String),
    /// A query parameter: its name, and what its value must be.
    Query(String, String),
}

/// One match of a table, and why it does not take the request; nothing where it does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// What [`Table::find`] answers when it serves a request.
    pub target: u32,
    /// What is missing, in the order host, path, method, headers, query.
    pub missing: Vec<Mismatch>,
}

impl Table {
    /// Every match of the table, the one that wants the least more first; of those that want as much, the one of the
    /// longer path.
    pub fn judge(&self, request: &Request<'_>) -> Vec<Judged> {
        let host = host::of_authority(request.host);
        let mut judged = Vec::new();
        self.for_each(&mut |hostname, matches, target| {
            let mut missing = Vec::new();
            if !covers(hostname, host.as_ref()) {
                missing.push(Mismatch::Host(hostname.to_owned()));
            }
            matches.judge(request, &mut missing);
            judged.push((missing.len(), usize::MAX - matches.path.len(), Judged { target, missing }));
        });
        judged.sort_by_key(|(missing, path, judged)| (*missing, *path, judged.target));
        judged.into_iter().map(|(_, _, judged)| judged).collect()
    }
}

fn covers(hostname: &str, host: Option<&Hostname>) -> bool {
    host::is_any(hostname) || host.is_some_and(|host| host::covers(hostname, host))
}

impl RouteMatch {
    fn judge(&self, request: &Request<'_>, missing: &mut Vec<Mismatch>) {
        if !self.path.accepts(request.matched_path()) {
            missing.push(Mismatch::Path(self.path.to_string()));
        }
        if let Some(method) = self.method.as_ref().filter(|method| method.as_bytes() != request.method) {
            missing.push(Mismatch::Method(method.clone()));
        }
        for (name, wanted) in &self.headers {
            if !request.headers.value(name).is_some_and(|value| wanted.accepts(value)) {
                missing.push(Mismatch::Header(name.clone(), wanted.to_string()));
            }
        }
        for (name, wanted) in &self.query {
            if !query::accepts(request.query, name, wanted) {
                missing.push(Mismatch::Query(name.clone(), wanted.to_string()));
            }
        }
    }
}

impl PathMatch {
    fn len(&self) -> usize {
        match self {
            PathMatch::Exact(text) | PathMatch::Prefix(text) => text.len(),
            PathMatch::Regex(_) => 0,
        }
    }
}

impl fmt::Display for PathMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathMatch::Exact(path) => write!(f, "{path}"),
            PathMatch::Prefix(prefix) => write!(f, "prefix {prefix}"),
            PathMatch::Regex(regex) => write!(f, "like {}", written(regex)),
        }
    }
}

impl fmt::Display for ValueMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ValueMatch::Exact(value) => write!(f, "{value}"),
            ValueMatch::Regex(regex) => write!(f, "like {}", written(regex)),
        }
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Host(name) => write!(f, "host {name}"),
            Mismatch::Path(path) => write!(f, "path {path}"),
            Mismatch::Method(method) => write!(f, "method {method}"),
            Mismatch::Header(name, value) => write!(f, "header {name}: {value}"),
            Mismatch::Query(name, value) => write!(f, "query {name}={value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::matches::full_regex;
    use super::super::table::Candidate;
    use super::*;
    use crate::route::table::HeaderLookup;

    struct Fields(&'static [(&'static str, &'static str)]);

    impl HeaderLookup for Fields {
        fn value(&self, name: &str) -> Option<&[u8]> {
            self.0.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_bytes())
        }
    }

    fn candidate(hostname: Option<&str>, path: PathMatch, target: u32) -> Candidate {
        let matches = RouteMatch { path, method: None, headers: Vec::new(), query: Vec::new() };
        let hostname = hostname.map(str::to_owned);
        Candidate { hostname, matches, created: None, route: format!("ns/{target}"), rule: 0, target }
    }

    #[test]
    fn what_is_missing_is_told_by_the_words_of_the_match() {
        let exact = |value: &str| ValueMatch::Exact(value.to_owned());
        let mut picky = candidate(Some("*.example.com"), PathMatch::Exact("/v1/chat".to_owned()), 0);
        picky.matches.method = Some("POST".to_owned());
        picky.matches.headers = vec![("x-team".to_owned(), exact("red"))];
        let like = ValueMatch::Regex(full_regex("[0-9]+").expect("an expression"));
        picky.matches.query = vec![("n".to_owned(), like)];
        let prefix = candidate(None, PathMatch::Prefix("/v1".to_owned()), 1);
        let regex =
            candidate(Some("a.org"), PathMatch::Regex(full_regex("/v[2-9]").expect("an expression")), 2);
        let table = Table::new(vec![picky, prefix, regex]);
        let request = |host: &'static str, path: &'static str, query, headers| {
            let request =
                Request { host: host.as_bytes(), method: b"GET", path: path.as_bytes(), query, headers };
            let judged = table.judge(&request);
            let found = judged.first().filter(|first| first.missing.is_empty()).map(|first| first.target);
            assert_eq!(
                found,
                table.find(&request),
                "{host} {path}: the first without a want is the one that serves"
            );
            judged
        };
        let told = |judged: &[Judged]| -> Vec<(u32, String)> {
            let words = |judged: &Judged| {
                judged.missing.iter().map(Mismatch::to_string).collect::<Vec<_>>().join(", ")
            };
            judged.iter().map(|judged| (judged.target, words(judged))).collect()
        };
        let row = |target: u32, words: &str| (target, words.to_owned());
        let all = "host *.example.com, path /v1/chat, method POST, header x-team: red, query n=like [0-9]+";
        assert_eq!(
            told(&request("a.org:8080", "/", None, &Fields(&[]))),
            [row(1, "path prefix /v1"), row(2, "path like /v[2-9]"), row(0, all)]
        );
        let near = request("x.example.com", "/v1/chat", Some(b"n=7"), &Fields(&[("x-team", "blue")]));
        assert_eq!(told(&near)[..2], [row(1, ""), row(0, "method POST, header x-team: red")]);
    }
}
