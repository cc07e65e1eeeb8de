//! The routing table of one listener: finds the rule that serves a request without trying them all.

use super::host;
use super::matches::RouteMatch;
use super::paths::Paths;
use super::rank::Rank;
use crate::base::FastMap;

pub use super::host::{HOST_BYTES_MAX, intersect};
pub use super::matches::{HeaderLookup, Request};

/// One match of one rule under one hostname; a rule with two matches and three hostnames makes six.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The hostname in lower case, as the route has it; it may begin with `*.`. `None` takes every host. That a request's
    /// host is one of the listener's is seen to before.
    pub hostname: Option<String>,
    /// When it takes a request.
    pub matches: RouteMatch,
    /// The route's `creationTimestamp` in RFC 3339; the older route wins a tie.
    pub created: Option<String>,
    /// `namespace/name` of the route.
    pub route: String,
    /// Which rule of the route, from 0.
    pub rule: u32,
    /// What [`Table::find`] answers when this match serves the request.
    pub target: u32,
}

/// The matches of one listener, indexed: by hostname, within a hostname by path, and where many share a path by
/// the headers and query parameters that tell them apart.
///
/// Build it once with [`new`](Table::new), ask it with [`find`](Table::find). It answers as a scan of all
/// candidates in the order of their rank would. A look-up does not allocate, except that an expression
/// sets up its memory when first used. Give each worker its own clone: a clone shares compiled expressions
/// but not the memory that they work in, for which threads would have to queue.
#[derive(Clone, Debug, Default)]
pub struct Table {
    exact: FastMap<Box<[u8]>, Paths>,
    /// By what follows the `*`: `.example.com`.
    wildcards: FastMap<Box<[u8]>, Paths>,
    any: Paths,
}

impl Table {
    /// A table of `candidates`, in any order. A hostname longer than [`HOST_BYTES_MAX`] takes no request.
    pub fn new(candidates: Vec<Candidate>) -> Table {
        let candidates: Vec<Candidate> = candidates.into_iter().map(normalized).collect();
        let mut order: Vec<usize> = (0..candidates.len()).collect();
        order.sort_by_cached_key(|&place| Rank::of(&candidates[place], place));

        let mut table = Table::default();
        for place in order {
            table.push(&candidates[place]);
        }
        let named = table.exact.values_mut().chain(table.wildcards.values_mut());
        named.chain([&mut table.any]).for_each(Paths::finish);
        table
    }

    /// The target of the candidate that serves `request`; `None` when none does, which is a 404.
    pub fn find(&self, request: &Request<'_>) -> Option<u32> {
        let host = host::of_authority(request.host);
        host.and_then(|host| self.find_by_host(&host, request)).or_else(|| self.any.find(request))
    }

    /// Shows every match with its hostname, which is empty where it takes every host, and its target.
    pub(super) fn for_each(&self, see: &mut dyn FnMut(&str, &RouteMatch, u32)) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for (name, paths) in &self.exact {
            let name = text(name);
            paths.for_each(&mut |matches, target| see(&name, matches, target));
        }
        for (suffix, paths) in &self.wildcards {
            let name = format!("*{}", text(suffix));
            paths.for_each(&mut |matches, target| see(&name, matches, target));
        }
        self.any.for_each(&mut |matches, target| see("", matches, target));
    }

    /// Adds a candidate that ranks behind all that were added before.
    fn push(&mut self, candidate: &Candidate) {
        let hostname = candidate.hostname.as_deref().unwrap_or_default();
        let paths = match host::wildcard_suffix(hostname) {
            _ if host::is_any(hostname) => &mut self.any,
            Some(suffix) => self.wildcards.entry(suffix.as_bytes().into()).or_default(),
            None => self.exact.entry(hostname.as_bytes().into()).or_default(),
        };
        paths.push(&candidate.matches, candidate.target);
    }

    /// The exact hostname first, then wildcards from the most specific.
    fn find_by_host(&self, host: &[u8], request: &Request<'_>) -> Option<u32> {
        let exact = self.exact.get(host).and_then(|paths| paths.find(request));
        if exact.is_some() || self.wildcards.is_empty() {
            return exact;
        }
        let suffixes = (1..host.len()).filter(|at| host[*at] == b'.').map(|at| &host[at..]);
        suffixes.filter_map(|suffix| self.wildcards.get(suffix)).find_map(|paths| paths.find(request))
    }
}

fn normalized(candidate: Candidate) -> Candidate {
    Candidate {
        hostname: candidate.hostname.map(|hostname| hostname.to_ascii_lowercase()),
        matches: candidate.matches.normalized(),
        ..candidate
    }
}
