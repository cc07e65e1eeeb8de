//! Hostnames: what is compared of a `Host`, wildcards, and where a listener and a route meet.

use arrayvec::ArrayVec;

/// The longest hostname in bytes (RFC 1035 section 2.3.4, written without the final dot). A longer one in a
/// request matches only rules without a hostname.
pub const HOST_BYTES_MAX: usize = 253;

/// A hostname as it is compared: lower case, without port and final dot.
pub(super) type Hostname = ArrayVec<u8, HOST_BYTES_MAX>;

/// The hostname in a request's authority ("Host header ... the port is ignored when matching"); `None`
/// when it is longer than any hostname can be.
pub(super) fn of_authority(authority: &[u8]) -> Option<Hostname> {
    let name = without_port(authority);
    let name = name.strip_suffix(b".").unwrap_or(name);
    let mut host = Hostname::new();
    host.try_extend_from_slice(name).ok()?;
    host.make_ascii_lowercase();
    Some(host)
}

/// `authority` without `:port`; the brackets of an IPv6 address stay (RFC 3986 section 3.2.2).
pub(super) fn without_port(authority: &[u8]) -> &[u8] {
    let name_end = authority.iter().rposition(|byte| *byte == b']').map_or(0, |bracket| bracket + 1);
    let colon = authority[name_end..].iter().position(|byte| *byte == b':');
    colon.map_or(authority, |at| &authority[..name_end + at])
}

/// Whether `hostname`, which may be `*.suffix`, covers `host`; both in lower case.
///
/// "Hostnames that are prefixed with a wildcard label (`*.`) are interpreted as a suffix match. That means
/// that a match for `*.example.com` would match both `test.example.com`, and `foo.test.example.com`, but
/// not `example.com`."
pub(super) fn covers(hostname: &str, host: &[u8]) -> bool {
    match wildcard_suffix(hostname) {
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix.as_bytes()),
        None => hostname.as_bytes() == host,
    }
}

/// `.example.com` of `*.example.com`; `None` for a hostname without a wildcard label.
pub(super) fn wildcard_suffix(hostname: &str) -> Option<&str> {
    hostname.strip_prefix('*').filter(|suffix| suffix.starts_with('.'))
}

/// Where the hostname of a listener and of a route meet: the narrower of the two when one covers the other.
///
/// A listener without a hostname takes the route's as it is. `None` says that they do not meet: such a
/// hostname of the route is ignored, and a route of which none is left is not accepted.
pub fn intersect(listener: Option<&str>, route: &str) -> Option<String> {
    let listener = listener.map_or_else(String::new, str::to_ascii_lowercase);
    let route = route.to_ascii_lowercase();
    if is_any(&listener) || listener == route || covers_hostname(&listener, &route) {
        Some(route)
    } else if is_any(&route) || covers_hostname(&route, &listener) {
        Some(listener)
    } else {
        None
    }
}

/// The place of that one of `hostnames` which covers the host of `authority` most closely: itself, then the longest
/// wildcard, then `None`, which covers every host and no host at all.
///
/// "Requests are matched to the most specific listener": `hostnames` are those of listeners of one port, none twice.
pub fn narrowest<'a>(hostnames: impl Iterator<Item = Option<&'a str>>, authority: &[u8]) -> Option<usize> {
    let host = of_authority(authority);
    let closeness = |hostname: Option<&str>| match hostname.filter(|hostname| !is_any(hostname)) {
        None => Some(0),
        Some(hostname) if !covers(hostname, host.as_deref()?) => None,
        Some(hostname) => Some(wildcard_suffix(hostname).map_or(usize::MAX, str::len)),
    };
    let covering = hostnames.enumerate().filter_map(|(place, hostname)| Some((closeness(hostname)?, place)));
    covering.max().map(|(_, place)| place)
}

/// Whether `hostname` stands for every host: it is empty or `*`.
pub(super) fn is_any(hostname: &str) -> bool {
    matches!(hostname, "" | "*")
}

/// Whether the wildcard `wide` covers all that `narrow` covers.
fn covers_hostname(wide: &str, narrow: &str) -> bool {
    wildcard_suffix(wide).is_some() && covers(wide, wildcard_suffix(narrow).unwrap_or(narrow).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_case_and_final_dot_of_a_host_do_not_count() {
        for (authority, host) in [
            ("example.com", "example.com"),
            ("Example.COM:8080", "example.com"),
            ("example.com:", "example.com"),
            ("example.com.", "example.com"),
            ("example.com.:80", "example.com"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(of_authority(authority.as_bytes()).as_deref(), Some(host.as_bytes()), "{authority}");
        }
        assert!(of_authority(&[b'a'; HOST_BYTES_MAX]).is_some());
        assert!(of_authority(&[b'a'; HOST_BYTES_MAX + 2]).is_none());
    }

    #[test]
    fn a_wildcard_covers_one_label_or_more_and_never_the_apex() {
        for (hostname, host, covered) in [
            ("*.example.com", "test.example.com", true),
            ("*.example.com", "foo.test.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "testexample.com", false),
            ("*.example.com", "test.example.net", false),
            ("example.com", "example.com", true),
            ("example.com", "test.example.com", false),
        ] {
            assert_eq!(covers(hostname, host.as_bytes()), covered, "{hostname} {host}");
        }
    }

    #[test]
    fn the_listener_that_covers_a_host_most_closely_owns_it() {
        let all = [None, Some("*.example.com"), Some("a.b.example.com"), Some("*.b.example.com")];
        for (host, with_any, without) in [
            ("a.b.example.com", Some(2), Some(2)),
            ("A.b.Example.com:8443", Some(2), Some(2)),
            ("c.b.example.com", Some(3), Some(3)),
            ("d.c.b.example.com", Some(3), Some(3)),
            ("b.example.com", Some(1), Some(1)),
            ("example.com", Some(0), None),
            ("10.0.0.1", Some(0), None),
            ("", Some(0), None),
            (&"a".repeat(300), Some(0), None),
        ] {
            assert_eq!(narrowest(all.into_iter(), host.as_bytes()), with_any, "{host}");
            let named = narrowest(all.into_iter().skip(1), host.as_bytes());
            assert_eq!(named.map(|place| place + 1), without, "{host}");
        }
        assert_eq!(narrowest(std::iter::empty(), b"a.example"), None);
    }

    #[test]
    fn a_listener_and_a_route_meet_in_the_narrower_hostname() {
        for (listener, route, met) in [
            (None, "example.com", Some("example.com")),
            (None, "*.example.com", Some("*.example.com")),
            (Some(""), "Example.com", Some("example.com")),
            (Some("*"), "example.com", Some("example.com")),
            (Some("example.com"), "", Some("example.com")),
            (Some("very.specific.com"), "very.specific.com", Some("very.specific.com")),
            (Some("VERY.specific.com"), "very.Specific.com", Some("very.specific.com")),
            (Some("very.specific.com"), "*.specific.com", Some("very.specific.com")),
            (Some("very.specific.com"), "non.matching.com", None),
            (Some("very.specific.com"), "*.nonmatchingwildcard.io", None),
            (Some("very.specific.com"), "specific.com", None),
            (Some("*.wildcard.io"), "foo.wildcard.io", Some("foo.wildcard.io")),
            (Some("*.wildcard.io"), "foo.bar.wildcard.io", Some("foo.bar.wildcard.io")),
            (Some("*.wildcard.io"), "wildcard.io", None),
            (Some("*.wildcard.io"), "*.wildcard.io", Some("*.wildcard.io")),
            (Some("*.anotherwildcard.io"), "*.anotherwildcard.io", Some("*.anotherwildcard.io")),
            (Some("*.wildcard.io"), "*.sub.wildcard.io", Some("*.sub.wildcard.io")),
            (Some("*.sub.wildcard.io"), "*.wildcard.io", Some("*.sub.wildcard.io")),
            (Some("*.wildcard.io"), "*.otherwildcard.io", None),
            (Some("*.card.io"), "*.wildcard.io", None),
            (Some("*.example.com"), "test.example.net", None),
            (Some("example.com"), "*.example.com", None),
        ] {
            assert_eq!(intersect(listener, route).as_deref(), met, "{listener:?} and {route}");
        }
    }
}
