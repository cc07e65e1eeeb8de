//! What a rule, or one of its backends, does to requests on their way: edits header fields, rewrites the target,
//! answers itself, sends copies.
//!
//! Everything here writes into a buffer of the caller's; nothing is parsed or allocated per request.

use super::cors::Cors;
use super::host::without_port;
use super::matches::after_prefix;
use std::sync::Arc;

/// The filters of one rule, or of one of its backends; the default does nothing.
///
/// Those of a backend concern requests that go to it alone, and come after the rule's: header edits are done to what
/// the rule's have left, a rewrite takes the place of the rule's part by part, and so does CORS.
#[derive(Clone, Debug, Default)]
pub struct Filters {
    /// `RequestHeaderModifier`.
    pub request_headers: HeaderEdits,
    /// `ResponseHeaderModifier`.
    pub response_headers: HeaderEdits,
    /// `URLRewrite`.
    pub rewrite: Option<Rewrite>,
    /// `RequestRedirect`; it answers the request, which then goes nowhere.
    pub redirect: Option<Redirect>,
    /// An answer that stands in the configuration; the request goes nowhere either.
    pub direct: Option<Arc<DirectResponse>>,
    /// `CORS`.
    pub cors: Option<Arc<Cors>>,
    /// `RequestMirror`, each of them.
    pub mirrors: Vec<Mirror>,
}

impl Filters {
    /// Whether these answer every request by themselves. Preflights they may answer besides.
    pub fn answer(&self) -> bool {
        self.direct.is_some() || self.redirect.is_some()
    }

    /// The `Host` that these filters of a rule, or rather those of its backend, `share`, want upstream.
    pub fn hostname<'a>(&'a self, share: &'a Filters) -> Option<&'a str> {
        let of = |filters: &'a Filters| filters.rewrite.as_ref()?.hostname.as_deref();
        of(share).or_else(|| of(self))
    }

    /// What becomes of the path, said in the same way.
    pub fn path<'a>(&'a self, share: &'a Filters) -> Option<&'a PathRewrite> {
        let of = |filters: &'a Filters| filters.rewrite.as_ref()?.path.as_ref();
        of(share).or_else(|| of(self))
    }
}

/// kgateway's `DirectResponse`, which an `ExtensionRef` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// Of `text/plain`, unless `ResponseHeaderModifier` sets another type; at most 4,096 characters.
    pub body: String,
}

/// `HTTPRequestMirrorFilter`: a share of requests is sent to another backend too, whose answers nobody reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Where copies go, as who configured it counts its backends.
    pub target: u32,
    /// Of `out_of` requests so many are copied.
    pub numerator: u32,
    /// At least 1.
    pub out_of: u32,
}

impl Mirror {
    /// Whether a request is one of those that are copied; `random` is even over all its bits.
    pub fn takes(&self, random: u64) -> bool {
        let scaled = (u128::from(random) * u128::from(self.out_of)) >> 64;
        scaled < u128::from(self.numerator)
    }
}

/// `HTTPHeaderFilter`: edits applied in the order add, set, remove.
///
/// A head is edited while it is written: pass on every field that [`keeps`](HeaderEdits::keeps) lets
/// through, then write those of [`written`](HeaderEdits::written). Names compare without case; of entries
/// with an equivalent name in one list only the first counts, as the Gateway API demands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderEdits {
    /// Fields that replace all of their name.
    pub set: Vec<(String, String)>,
    /// Fields that are appended to those of their name.
    pub add: Vec<(String, String)>,
    /// Names whose fields are dropped, added and set ones too.
    pub remove: Vec<String>,
}

impl HeaderEdits {
    /// Whether there is nothing to edit.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.add.is_empty() && self.remove.is_empty()
    }

    /// Whether a field `name` of the original head is passed on.
    #[inline]
    pub fn keeps(&self, name: &[u8]) -> bool {
        self.remove.is_empty() && self.set.is_empty() || !self.removes(name) && !contains(&self.set, name)
    }

    /// The fields to write behind those that are kept.
    pub fn written(&self) -> impl Iterator<Item = (&str, &str)> {
        let added = first_of_each_name(&self.add).filter(|(name, _)| self.keeps(name.as_bytes()));
        let set = first_of_each_name(&self.set).filter(|(name, _)| !self.removes(name.as_bytes()));
        added.chain(set)
    }

    fn removes(&self, name: &[u8]) -> bool {
        self.remove.iter().any(|removed| removed.as_bytes().eq_ignore_ascii_case(name))
    }
}

/// `HTTPPathModifier`: what becomes of the path. The query stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathRewrite {
    /// `ReplaceFullPath`: this instead; empty means `/`.
    Full(String),
    /// `ReplacePrefixMatch`: `replacement` instead of the prefix `matched`, by path elements; a `/` at the
    /// end of either does not count.
    Prefix {
        /// The prefix that the rule matched.
        matched: String,
        /// What stands in its place; empty or `/` takes it away.
        replacement: String,
    },
}

/// `HTTPURLRewriteFilter`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// The `Host` to send upstream; with it the host is not rewritten to the backend's.
    pub hostname: Option<String>,
    /// What becomes of the path.
    pub path: Option<PathRewrite>,
}

/// `HTTPRequestRedirectFilter`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// `http` or `https`; without it the request's own.
    pub scheme: Option<String>,
    /// Without it the request's own.
    pub hostname: Option<String>,
    /// Without it the one that belongs to `scheme`, and without a scheme the listener's.
    pub port: Option<u16>,
    /// What becomes of the path; without it the path stays.
    pub path: Option<PathRewrite>,
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
}

/// Where a request came in, for what a redirect leaves as it is.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// `http` or `https`: whether the listener speaks TLS.
    pub scheme: &'a str,
    /// The authority or the `Host` field, with or without a port.
    pub host: &'a [u8],
    /// The port of the listener.
    pub port: u16,
}

impl Redirect {
    /// Appends the value of `Location` for a request that came in at `origin` for `path` and `query`.
    ///
    /// The port is the filter's; else "the well-known port associated with the redirect scheme", else the
    /// listener's. It is left out where it is the well-known one of the location's scheme.
    pub fn location(&self, origin: &Origin<'_>, path: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) {
        let scheme = self.scheme.as_deref().unwrap_or(origin.scheme);
        let host = self.hostname.as_ref().map_or(without_port(origin.host), |name| name.as_bytes());
        let (port, well_known) = (self.port_from(origin), well_known_port(scheme));

        out.extend_from_slice(scheme.as_bytes());
        out.extend_from_slice(b"://");
        out.extend_from_slice(host);
        if Some(port) != well_known {
            out.push(b':');
            push_decimal(port, out);
        }
        match &self.path {
            Some(rewrite) => rewritten_target(rewrite, path, query, out),
            None => push_target(b"", path, query, out),
        }
    }

    /// Whether the location is of another origin than the request was for: another scheme, host or port (RFC 6454 section 4).
    pub fn leaves(&self, origin: &Origin<'_>) -> bool {
        let is_other = |name: &String| !name.as_bytes().eq_ignore_ascii_case(without_port(origin.host));
        self.scheme.as_ref().is_some_and(|scheme| scheme != origin.scheme)
            || self.hostname.as_ref().is_some_and(is_other)
            || self.port_from(origin) != origin.port
    }

    fn port_from(&self, origin: &Origin<'_>) -> u16 {
        let by_scheme = self.scheme.as_deref().and_then(well_known_port);
        self.port.or(by_scheme).unwrap_or(origin.port)
    }
}

/// Appends the target, path and query, that `rewrite` makes of a request's `path` and `query`.
///
/// A path that does not have the matched prefix stays as it is. The target begins with `/`, whatever the
/// replacement begins with. A replacement that holds a query of its own, as Azure's `?api-version=` needs,
/// has the request's appended with `&`.
pub fn rewritten_target(rewrite: &PathRewrite, path: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) {
    match rewrite {
        PathRewrite::Full(full) => push_target(full.as_bytes(), b"", query, out),
        PathRewrite::Prefix { matched, replacement } => match after_prefix(matched, path) {
            Some(rest) => push_target(replacement.trim_end_matches('/').as_bytes(), rest, query, out),
            None => push_target(b"", path, query, out),
        },
    }
}

fn push_target(front: &[u8], rest: &[u8], query: Option<&[u8]>, out: &mut Vec<u8>) {
    let start = out.len();
    if front.first().or(rest.first()) != Some(&b'/') {
        out.push(b'/');
    }
    out.extend_from_slice(front);
    out.extend_from_slice(rest);
    if let Some(query) = query {
        let has_query = out.iter().skip(start).any(|byte| *byte == b'?');
        out.push(if has_query { b'&' } else { b'?' });
        out.extend_from_slice(query);
    }
}

fn push_decimal(port: u16, out: &mut Vec<u8>) {
    let digits = [10_000, 1_000, 100, 10, 1].map(|unit| b'0' + (port / unit % 10) as u8);
    let first = digits.iter().position(|digit| *digit != b'0').unwrap_or(digits.len() - 1);
    out.extend_from_slice(&digits[first..]);
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn contains(entries: &[(String, String)], name: &[u8]) -> bool {
    entries.iter().any(|(known, _)| known.as_bytes().eq_ignore_ascii_case(name))
}

fn first_of_each_name(entries: &[(String, String)]) -> impl Iterator<Item = (&str, &str)> {
    let is_first = |place: usize, name: &str| !contains(&entries[..place], name.as_bytes());
    let numbered = entries.iter().enumerate();
    numbered
        .filter(move |(place, (name, _))| is_first(*place, name))
        .map(|(_, (name, value))| (name.as_str(), value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(rewrite: &PathRewrite, path: &str, query: Option<&str>) -> String {
        let mut out = Vec::new();
        rewritten_target(rewrite, path.as_bytes(), query.map(str::as_bytes), &mut out);
        String::from_utf8(out).expect("text in, text out")
    }

    #[test]
    fn replace_prefix_match_follows_the_table_of_the_gateway_api() {
        for (path, matched, replacement, becomes) in [
            ("/foo/bar", "/foo", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"),
            ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"),
            ("/foo", "/foo", "/xyz", "/xyz"),
            ("/foo/", "/foo", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "", "/bar"),
            ("/foo/", "/foo", "", "/"),
            ("/foo", "/foo", "", "/"),
            ("/foo/", "/foo", "/", "/"),
            ("/foo", "/foo", "/", "/"),
            // Beyond the table.
            ("/foo", "/foo/", "/xyz", "/xyz"),
            ("/foo/bar", "/", "/xyz", "/xyz/foo/bar"),
            ("/", "/", "/xyz", "/xyz/"),
            ("/foo/bar", "/foo", "xyz", "/xyz/bar"),
            ("/foo//bar", "/foo", "/xyz", "/xyz//bar"),
            ("/foobar", "/foo", "/xyz", "/foobar"),
            ("/foo%2Fbar", "/foo", "/xyz", "/foo%2Fbar"),
        ] {
            let rewrite = PathRewrite::Prefix { matched: matched.into(), replacement: replacement.into() };
            assert_eq!(target(&rewrite, path, None), becomes, "{path} {matched} {replacement}");
            assert_eq!(target(&rewrite, path, Some("a=/foo")), format!("{becomes}?a=/foo"));
        }
    }

    #[test]
    fn replace_full_path_keeps_the_query() {
        for (full, query, becomes) in [
            ("/v1/chat/completions", None, "/v1/chat/completions"),
            ("/v1/chat/completions", Some("beta=true"), "/v1/chat/completions?beta=true"),
            ("/one", Some(""), "/one?"),
            ("/one/", None, "/one/"),
            ("", None, "/"),
            ("", Some("a=1"), "/?a=1"),
            ("one", None, "/one"),
            ("/chat?api-version=1", Some("a=1"), "/chat?api-version=1&a=1"),
        ] {
            assert_eq!(target(&PathRewrite::Full(full.into()), "/anthropic", query), becomes);
        }
    }

    #[test]
    fn a_location_has_the_port_that_the_gateway_api_says() {
        let (http, tls) = (Some("http"), Some("https"));
        for (scheme, port, from, location) in [
            (None, None, ("http", 80), "http://example.org/a?b"),
            (None, Some(80), ("http", 80), "http://example.org/a?b"),
            (None, Some(8080), ("http", 80), "http://example.org:8080/a?b"),
            (tls, None, ("http", 80), "https://example.org/a?b"),
            (tls, Some(443), ("http", 80), "https://example.org/a?b"),
            (tls, Some(8443), ("http", 80), "https://example.org:8443/a?b"),
            (None, None, ("http", 8080), "http://example.org:8080/a?b"),
            (None, Some(80), ("http", 8080), "http://example.org/a?b"),
            (tls, None, ("http", 8080), "https://example.org/a?b"),
            (None, None, ("https", 443), "https://example.org/a?b"),
            (None, Some(443), ("https", 443), "https://example.org/a?b"),
            (None, Some(8443), ("https", 443), "https://example.org:8443/a?b"),
            (http, None, ("https", 443), "http://example.org/a?b"),
            (http, Some(80), ("https", 443), "http://example.org/a?b"),
            (http, Some(8080), ("https", 443), "http://example.org:8080/a?b"),
            (Some("ws"), None, ("http", 8080), "ws://example.org:8080/a?b"),
            (tls, Some(80), ("http", 80), "https://example.org:80/a?b"),
            (http, Some(7), ("http", 80), "http://example.org:7/a?b"),
            (http, Some(65535), ("http", 80), "http://example.org:65535/a?b"),
        ] {
            let hostname = Some("example.org".into());
            let redirect =
                Redirect { scheme: scheme.map(String::from), hostname, port, path: None, status: 302 };
            let origin = Origin { scheme: from.0, host: b"here:1234", port: from.1 };
            let mut out = Vec::new();
            redirect.location(&origin, b"/a", Some(b"b"), &mut out);
            assert_eq!(String::from_utf8_lossy(&out), location, "{scheme:?} {port:?} from {from:?}");
        }
    }

    #[test]
    fn a_location_is_of_another_origin_or_not() {
        let here = Origin { scheme: "http", host: b"Here.test:80", port: 80 };
        for (scheme, hostname, port, leaves) in [
            (None, None, None, false),
            (Some("http"), Some("here.test"), Some(80), false),
            (Some("https"), None, None, true),
            (Some("https"), None, Some(80), true),
            (None, Some("there.test"), None, true),
            (None, None, Some(8080), true),
        ] {
            let (hostname, scheme) = (hostname.map(String::from), scheme.map(String::from));
            let redirect = Redirect { scheme, hostname, port, path: None, status: 302 };
            assert_eq!(redirect.leaves(&here), leaves, "{redirect:?}");
        }
    }

    #[test]
    fn a_location_keeps_the_host_and_rewrites_the_path() {
        let prefix = |matched: &str, replacement: &str| PathRewrite::Prefix {
            matched: matched.into(),
            replacement: replacement.into(),
        };
        for (host, path, from, location) in [
            ("a.com:8080", None, "/x", "http://a.com/x"),
            ("[::1]:8080", None, "/x", "http://[::1]/x"),
            ("a.com", None, "", "http://a.com/"),
            ("a.com", Some(prefix("/original", "/new")), "/original/lemon", "http://a.com/new/lemon"),
            ("a.com", Some(PathRewrite::Full("/full".into())), "/full/path", "http://a.com/full"),
        ] {
            let redirect = Redirect { scheme: None, hostname: None, port: None, path, status: 301 };
            let mut out = Vec::new();
            let origin = Origin { scheme: "http", host: host.as_bytes(), port: 80 };
            redirect.location(&origin, from.as_bytes(), None, &mut out);
            assert_eq!(String::from_utf8_lossy(&out), location);
        }
    }

    #[test]
    fn a_mirror_takes_its_share() {
        for (numerator, out_of) in [(0, 100), (1, 100), (50, 100), (100, 100), (1, 3), (7, 1_000_000)] {
            let mirror = Mirror { target: 0, numerator, out_of };
            let taken = (0..u64::from(out_of))
                .filter(|n| {
                    mirror.takes(
                        u64::try_from(((u128::from(*n) << 64) + (1 << 63)) / u128::from(out_of)).unwrap(),
                    )
                })
                .count();
            assert_eq!(taken, numerator as usize, "{numerator} of {out_of}");
        }
    }

    #[test]
    fn headers_are_added_then_set_then_removed() {
        let pairs = |text: &str| -> Vec<(String, String)> {
            let pair = |word: &str| word.split_once('=').map(|(name, value)| (name.into(), value.into()));
            text.split_whitespace().filter_map(pair).collect()
        };
        for (set, add, remove, before, after) in [
            ("", "", "", "a=1 b=2", "a=1 b=2"),
            ("a=9", "", "", "a=1 b=2 A=3", "b=2 a=9"),
            ("X-New=9", "", "", "a=1", "a=1 X-New=9"),
            ("", "a=9", "", "a=1", "a=1 a=9"),
            ("", "", "A", "a=1 b=2 a=3", "b=2"),
            ("a=9", "A=8", "", "a=1", "a=9"),
            ("a=9", "", "a", "a=1 b=2", "b=2"),
            ("", "a=9", "A", "a=1", ""),
            ("a=8 A=9", "b=8 B=9", "", "", "b=8 a=8"),
        ] {
            let remove = remove.split_whitespace().map(String::from).collect();
            let edits = HeaderEdits { set: pairs(set), add: pairs(add), remove };
            assert_eq!(edits.is_empty(), before == after);
            let before = pairs(before);
            let kept = before.iter().filter(|(name, _)| edits.keeps(name.as_bytes()));
            let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
            let shown: Vec<String> = kept.chain(edits.written()).map(|(n, v)| format!("{n}={v}")).collect();
            assert_eq!(shown.join(" "), after, "set {set} add {add}");
        }
    }
}
