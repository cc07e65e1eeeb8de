//! What stands in a request target and in `Host`: bytes, hosts and ports, paths, query parameters.
//!
//! Nothing is rewritten. A path that servers behind us could read in two ways is found by [`check_path`], so
//! that it can be refused before a route is chosen by one reading and the request served by the other.

use std::borrow::Cow;
use std::net::Ipv6Addr;

/// Whether `byte` may stand in a request target: the characters of RFC 3986 section 2 without `#`.
pub const fn is_target(byte: u8) -> bool {
    TARGET[byte as usize]
}

/// A target's path and what follows its first `?`.
pub fn split_query(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memchr(b'?', target) {
        Some(at) => (&target[..at], Some(&target[at + 1..])),
        None => (target, None),
    }
}

/// A host and its port, as in `Host` or in the authority of a URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort<'a> {
    /// A name, an IPv4 address, or an IPv6 address with its brackets; in the case it was sent.
    pub host: &'a [u8],
    /// The port, when one is given.
    pub port: Option<u16>,
}

/// Takes `host[:port]` apart; `None` when it is not valid.
///
/// Narrower than RFC 3986 section 3.2.2: a name has letters, digits, `-`, `.`, `_` and `~`, 1..=255 of them.
/// Percent-encoding and sub-delimiters (`,` `;` `=` and others) are in no host that DNS knows. An IPv6
/// address stands in brackets; zones and future address kinds are refused. An empty port is allowed.
pub fn host_port(authority: &[u8]) -> Option<HostPort<'_>> {
    let host_len = match authority {
        [b'[', ..] => memchr::memchr(b']', authority)? + 1,
        _ => memchr::memchr(b':', authority).unwrap_or(authority.len()),
    };
    let (host, rest) = authority.split_at(host_len);
    if !is_host(host) {
        return None;
    }
    let port = match rest {
        [] | [b':'] => None,
        [b':', digits @ ..] => Some(port(digits)?),
        _ => return None,
    };
    Some(HostPort { host, port })
}

/// `host` in lower case, without a copy when it is so already.
pub fn lower(host: &[u8]) -> Cow<'_, [u8]> {
    if host.iter().any(u8::is_ascii_uppercase) {
        Cow::Owned(host.to_ascii_lowercase())
    } else {
        Cow::Borrowed(host)
    }
}

/// What makes a path ambiguous: another server may read another path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathFault {
    /// A segment `.` or `..`, also percent-encoded, also before `;` (RFC 3986 section 5.2.4 removes them).
    DotSegment,
    /// `//`, which some servers merge.
    EmptySegment,
    /// `%2F` or `%5C`: a slash to those who decode before they split.
    EncodedSlash,
    /// `\`, which some servers take for `/`.
    Backslash,
    /// `%00`, or a NUL, which ends the path for some.
    Nul,
    /// `%` without two hexadecimal digits (RFC 3986 section 2.1).
    Escape,
}

impl PathFault {
    /// What is wrong, for a person.
    pub const fn reason(self) -> &'static str {
        match self {
            PathFault::DotSegment => "path has a dot segment",
            PathFault::EmptySegment => "path has an empty segment",
            PathFault::EncodedSlash => "path has an encoded slash or backslash",
            PathFault::Backslash => "path has a backslash",
            PathFault::Nul => "path has a NUL",
            PathFault::Escape => "path has a malformed percent-encoding",
        }
    }
}

/// Whether a path means the same to everybody.
///
/// # Errors
/// The first fault, from the left; whoever routes by path answers 400.
pub fn check_path(path: &[u8]) -> Result<(), PathFault> {
    let mut segments = path.strip_prefix(b"/").unwrap_or(path).split(|b| *b == b'/').peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        if segment.is_empty() && !is_last {
            return Err(PathFault::EmptySegment);
        }
        check_segment(segment)?;
    }
    Ok(())
}

/// Decodes percent-encoding (RFC 3986 section 2.1), without a copy when there is none; `None` when malformed.
pub fn percent_decode(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    decode(text, false)
}

/// `text` with the escapes of unreserved characters decoded, which say the same as those (RFC 3986 section 2.3), and all
/// others as they stand; without a copy when there is none to decode.
pub fn decode_unreserved(text: &[u8]) -> Cow<'_, [u8]> {
    let found = |rest: &[u8]| match rest {
        [b'%', high, low, ..] => hex_pair(*high, *low).filter(|byte| is_unreserved(*byte)),
        _ => None,
    };
    let mut escapes = memchr::memchr_iter(b'%', text);
    if !escapes.any(|at| found(&text[at..]).is_some()) {
        return Cow::Borrowed(text);
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, following @ ..] = rest {
        let byte = found(rest);
        decoded.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { following.get(2..).unwrap_or_default() } else { following };
    }
    Cow::Owned(decoded)
}

/// Appends `bytes` with everything but unreserved characters percent-encoded, in upper case (RFC 3986 sections 2.1, 2.3).
pub fn percent_encode(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        if is_unreserved(*byte) {
            out.push(*byte);
        } else {
            let digit = |nibble: u8| b"0123456789ABCDEF"[usize::from(nibble & 15)];
            out.extend_from_slice(&[b'%', digit(byte >> 4), digit(*byte)]);
        }
    }
}

/// The pairs of a query as sent, undecoded. A part without `=` has an empty value; empty parts are left out.
pub fn query_pairs(query: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    query.split(|b| *b == b'&').filter(|part| !part.is_empty()).map(|part| match memchr::memchr(b'=', part) {
        Some(at) => (&part[..at], &part[at + 1..]),
        None => (part, &[][..]),
    })
}

/// The decoded value of the first pair whose decoded name is `name`.
///
/// `+` is a space, as in forms. Gateway API, HTTPQueryParamMatch, of a parameter that is repeated: "it is
/// recommended that implementations should match against the first value". Malformed pairs are passed over.
pub fn query_value<'a>(query: &'a [u8], name: &[u8]) -> Option<Cow<'a, [u8]>> {
    query_pairs(query).find_map(|(key, value)| {
        let is_it = key == name || decode(key, true).is_some_and(|key| *key == *name);
        if is_it { decode(value, true) } else { None }
    })
}

const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = is_unreserved(b)
            || matches!(b, b':' | b'/' | b'?' | b'[' | b']' | b'@' | b'%')
            || matches!(b, b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=');
        byte += 1;
    }
    table
};

/// RFC 3986 section 2.3.
const fn is_unreserved(b: u8) -> bool {
    b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~')
}

fn is_host(host: &[u8]) -> bool {
    match host {
        [b'[', address @ .., b']'] => {
            std::str::from_utf8(address).is_ok_and(|address| address.parse::<Ipv6Addr>().is_ok())
        }
        _ => (1..=255).contains(&host.len()) && host.iter().all(|b| is_unreserved(*b)),
    }
}

/// 1..=5 digits that are a port.
fn port(digits: &[u8]) -> Option<u16> {
    if digits.len() > 5 {
        return None;
    }
    crate::base::ascii::decimal(digits).and_then(|port| u16::try_from(port).ok())
}

fn check_segment(segment: &[u8]) -> Result<(), PathFault> {
    // What stands in an ordinary segment does not make it to the slow part.
    if !segment.starts_with(b".") && memchr::memchr3(b'%', b'\\', 0, segment).is_none() {
        return Ok(());
    }
    let mut dots = Some(0); // how many dots it is so far, while it is nothing else
    let mut rest = segment;
    while let [first, following @ ..] = rest {
        let (byte, is_encoded, after) = unescape(*first, following)?;
        match byte {
            0 => return Err(PathFault::Nul),
            b'\\' if !is_encoded => return Err(PathFault::Backslash),
            b'/' | b'\\' => return Err(PathFault::EncodedSlash),
            b';' if is_dots(dots) => return Err(PathFault::DotSegment),
            b'.' => dots = dots.map(|count| count + 1),
            _ => dots = None,
        }
        rest = after;
    }
    if is_dots(dots) { Err(PathFault::DotSegment) } else { Ok(()) }
}

fn is_dots(dots: Option<usize>) -> bool {
    matches!(dots, Some(1 | 2))
}

/// The byte that `first` and what follows it stand for, whether it is percent-encoded, and the rest.
fn unescape(first: u8, following: &[u8]) -> Result<(u8, bool, &[u8]), PathFault> {
    match (first, following) {
        (b'%', [high, low, rest @ ..]) => {
            let byte = hex_pair(*high, *low).ok_or(PathFault::Escape)?;
            Ok((byte, true, rest))
        }
        (b'%', _) => Err(PathFault::Escape),
        (byte, rest) => Ok((byte, false, rest)),
    }
}

fn decode(text: &[u8], plus_is_space: bool) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr2(b'%', if plus_is_space { b'+' } else { b'%' }, text).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, following @ ..] = rest {
        let (byte, is_encoded, after) = unescape(*first, following).ok()?;
        let is_space = plus_is_space && byte == b'+' && !is_encoded;
        decoded.push(if is_space { b' ' } else { byte });
        rest = after;
    }
    Some(Cow::Owned(decoded))
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_bytes_are_those_of_rfc_3986() {
        let allowed = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:/?[]@!$&'()*+,;=%";
        for byte in 0..=255u8 {
            assert_eq!(is_target(byte), allowed.contains(&byte), "byte {byte:#x}");
        }
    }

    #[test]
    fn hosts_and_ports() {
        let long = "a".repeat(255);
        let too_long = "a".repeat(256);
        for (authority, expect) in [
            ("a.example", Some(("a.example", None))),
            ("A.Example:8080", Some(("A.Example", Some(8080)))),
            ("a:", Some(("a", None))),
            ("a:65535", Some(("a", Some(65535)))),
            ("10.0.0.1:80", Some(("10.0.0.1", Some(80)))),
            ("under_score", Some(("under_score", None))),
            ("[::1]", Some(("[::1]", None))),
            ("[fe80::1]:443", Some(("[fe80::1]", Some(443)))),
            (&long, Some((&long[..], None))),
            (&too_long, None),
            ("", None),
            (":80", None),
            ("a:65536", None),
            ("a:000080", None),
            ("a:+80", None),
            ("a:80:80", None),
            ("a b", None),
            ("a,b", None),
            ("a%2eb", None),
            ("a/b", None),
            ("user@a", None),
            ("user:pw@a", None),
            ("::1", None),
            ("[]", None),
            ("[::1", None),
            ("[::1]x", None),
            ("[::1%25eth0]", None),
            ("[v1.x]", None),
            ("[[::1]]", None),
            ("é", None),
        ] {
            let got = host_port(authority.as_bytes());
            let expect = expect.map(|(host, port)| HostPort { host: host.as_bytes(), port });
            assert_eq!(got, expect, "{authority}");
        }
    }

    #[test]
    fn escapes_of_unreserved_characters_are_decoded_alone() {
        for (text, expect) in [
            ("", ""),
            ("/admin", "/admin"),
            ("/%61dmin", "/admin"),
            ("/a%2Db%2db%2E%5f%7E%30%5A", "/a-b-b._~0Z"),
            ("/%2561", "/%2561"),
            ("/%41%2f%c3%a9%41", "/A%2f%c3%a9A"),
            ("/%25%36%31", "/%2561"),
            ("/a%6", "/a%6"),
            ("/%%61%", "/%a%"),
            ("/%4G", "/%4G"),
        ] {
            let got = decode_unreserved(text.as_bytes());
            assert_eq!(got, expect.as_bytes(), "{text}");
            assert_eq!(
                matches!(got, Cow::Borrowed(_)),
                text == expect,
                "{text} is copied only where it has to be"
            );
        }
    }

    #[test]
    fn paths_with_two_meanings() {
        for (path, fault) in [
            ("/", None),
            ("", None),
            ("*", None),
            ("/v1/chat/completions", None),
            ("/v1/", None),
            ("/v1/models/gemini-2.5-pro:generateContent", None),
            ("/.well-known/x", None),
            ("/...", None),
            ("/a..b/..c/d..", None),
            ("/caf%C3%A9/%20/%25", None),
            ("/a;x=1/b", None),
            ("/..", Some(PathFault::DotSegment)),
            ("/.", Some(PathFault::DotSegment)),
            ("/a/../b", Some(PathFault::DotSegment)),
            ("/a/./b", Some(PathFault::DotSegment)),
            ("/a/%2e%2E/b", Some(PathFault::DotSegment)),
            ("/a/.%2e", Some(PathFault::DotSegment)),
            ("/a/..;/b", Some(PathFault::DotSegment)),
            ("/a/.;x=1/b", Some(PathFault::DotSegment)),
            ("//", Some(PathFault::EmptySegment)),
            ("//a", Some(PathFault::EmptySegment)),
            ("/a//b", Some(PathFault::EmptySegment)),
            ("/a//", Some(PathFault::EmptySegment)),
            ("/a%2fb", Some(PathFault::EncodedSlash)),
            ("/a%2Fb", Some(PathFault::EncodedSlash)),
            ("/a%5cb", Some(PathFault::EncodedSlash)),
            ("/a\\b", Some(PathFault::Backslash)),
            ("/a%00", Some(PathFault::Nul)),
            ("/a\0", Some(PathFault::Nul)),
            ("/a%", Some(PathFault::Escape)),
            ("/a%2", Some(PathFault::Escape)),
            ("/a%zz", Some(PathFault::Escape)),
            ("/a%+1", Some(PathFault::Escape)),
        ] {
            assert_eq!(check_path(path.as_bytes()).err(), fault, "{path}");
        }
    }

    #[test]
    fn query_parameters() {
        let query = b"a=1&b=&c&&d=x%20y+z&a=2&e%3D=%26&f=%zz&f=ok&=nameless";
        for (name, value) in [
            ("a", Some("1")),
            ("b", Some("")),
            ("c", Some("")),
            ("d", Some("x y z")),
            ("e=", Some("&")),
            ("f", Some("ok")),
            ("", Some("nameless")),
            ("g", None),
            ("A", None),
        ] {
            assert_eq!(query_value(query, name.as_bytes()).as_deref(), value.map(str::as_bytes), "{name}");
        }
        assert_eq!(query_pairs(b"").count(), 0);
        assert_eq!(split_query(b"/p?a?b"), (&b"/p"[..], Some(&b"a?b"[..])));
        assert_eq!(split_query(b"/p?"), (&b"/p"[..], Some(&b""[..])));
        assert_eq!(split_query(b"/p"), (&b"/p"[..], None));
    }

    #[test]
    fn the_common_case_copies_nothing() {
        assert!(matches!(lower(b"a.example"), Cow::Borrowed(_)));
        assert_eq!(*lower(b"A.Example"), *b"a.example");
        assert!(matches!(percent_decode(b"a+b"), Some(Cow::Borrowed(b"a+b"))));
        assert!(matches!(query_value(b"key=AIza", b"key"), Some(Cow::Borrowed(b"AIza"))));
        assert_eq!(percent_decode(b"%41%e2").as_deref(), Some(&b"A\xe2"[..]));
        assert_eq!(percent_decode(b"100%"), None);
    }

    #[test]
    fn unreserved_characters_alone_are_written_as_they_are() {
        let mut out = Vec::new();
        percent_encode(&mut out, "aZ09-._~ :/%+é\0".as_bytes());
        assert_eq!(out, b"aZ09-._~%20%3A%2F%25%2B%C3%A9%00");
    }

    proptest::proptest! {
        #[test]
        fn decoding_undoes_encoding(bytes: Vec<u8>) {
            let encoded: String = bytes.iter().map(|b| format!("%{b:02x}")).collect();
            let mut written = Vec::new();
            percent_encode(&mut written, &bytes);
            for encoded in [encoded.as_bytes(), &written] {
                let decoded = percent_decode(encoded);
                proptest::prop_assert_eq!(decoded.as_deref(), Some(&bytes[..]));
            }
        }

        /// A path passes exactly when decoding it whole and splitting it then gives the same segments.
        #[test]
        fn a_path_that_passes_has_one_meaning(path in "(/([a.;\\\\]|%2[eEfF]|%5c|%00|%41|%4){0,4}){0,4}") {
            if check_path(path.as_bytes()).is_ok() {
                let whole = percent_decode(path.as_bytes()).expect("a valid escape");
                let slashes = |text: &[u8]| text.iter().filter(|b| **b == b'/').count();
                proptest::prop_assert_eq!(slashes(&whole), slashes(path.as_bytes()));
                for segment in whole.split(|b| *b == b'/') {
                    let name = segment.split(|b| *b == b';').next().unwrap_or_default();
                    proptest::prop_assert!(name != b"." && name != b"..", "{}", path);
                }
                proptest::prop_assert!(!whole.contains(&0) && !whole.contains(&b'\\'));
            }
        }
    }
}
