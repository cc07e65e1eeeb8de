//! `HTTPCORSFilter`: which pages of other origins may read an answer, and what a browser is told before it asks
//! at all (WHATWG Fetch, "CORS protocol").
//!
//! Everything is written as header lines into a buffer of the caller's. Every answer of a rule with this filter
//! says `vary: origin`, also where nothing is allowed: it could be another one for another origin.

use super::host::{covers, is_any, of_authority};
use crate::base::ascii;
use crate::wire::http1::write;

/// What a rule lets pages of other origins do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cors {
    /// Who may read answers; nobody when it is empty.
    pub origins: Vec<AllowedOrigin>,
    /// Whether requests may carry cookies and the like: `access-control-allow-credentials`.
    pub credentials: bool,
    /// Methods beside GET, HEAD and POST, which browsers always allow.
    pub methods: Names,
    /// Request headers beside those that browsers always allow.
    pub headers: Names,
    /// Headers of answers that pages may read beside those that they always may.
    pub expose: Names,
    /// For how many seconds a browser may remember what a preflight told; at least 1.
    pub max_age: u32,
}

/// An entry of `allowOrigins`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AllowedOrigin {
    /// `*`
    Any,
    /// `scheme://host(:port)`.
    Like {
        /// `http` or `https`.
        scheme: String,
        /// In lower case; `*` is any, `*.` in front stands for one label or more.
        host: String,
        /// The scheme's own where none was written.
        port: u16,
    },
}

/// A list of methods or of header names, or all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// `*`
    Any,
    /// These, joined by `, `; an empty text says nothing of them.
    These(String),
}

impl Default for Names {
    fn default() -> Names {
        Names::These(String::new())
    }
}

/// What a preflight asks for: a request with the method OPTIONS, an `Origin`, and at least the first of these.
#[derive(Clone, Copy, Debug)]
pub struct Preflight<'a> {
    /// `Access-Control-Request-Method`.
    pub method: &'a [u8],
    /// `Access-Control-Request-Headers`.
    pub headers: Option<&'a [u8]>,
}

/// What names of an answer's headers begin with that this filter writes: those of the backend are not passed on.
pub const CORS_HEADERS: &str = "access-control-";

impl Cors {
    /// Appends the lines for an answer to a request that came from `origin`, if it names one.
    pub fn answer(&self, origin: Option<&[u8]>, out: &mut Vec<u8>) {
        write::header(out, b"vary", b"origin");
        if let Some(origin) = origin.filter(|origin| self.allows(origin)) {
            self.allow(origin, out);
        }
    }

    /// Appends the lines that answer a preflight. An origin that is not allowed is told nothing, and its browser
    /// does not go on.
    ///
    /// Where everything is allowed, what was asked for is repeated: "the gateway must not return `*`" with
    /// credentials, and without them `*` would leave out `authorization` (Fetch, "CORS non-wildcard request-header
    /// name").
    pub fn preflight(&self, origin: &[u8], asked: &Preflight<'_>, out: &mut Vec<u8>) {
        let vary = b"origin, access-control-request-method, access-control-request-headers";
        write::header(out, b"vary", vary);
        if !self.allows(origin) {
            return;
        }
        self.allow(origin, out);
        allow_names(b"access-control-allow-methods", &self.methods, Some(asked.method), out);
        allow_names(b"access-control-allow-headers", &self.headers, asked.headers, out);
        out.extend_from_slice(b"access-control-max-age: ");
        write::number(out, self.max_age.into());
        out.extend_from_slice(b"\r\n");
    }

    /// Whether pages of `origin`, as a browser writes it, may read answers.
    pub fn allows(&self, origin: &[u8]) -> bool {
        self.origins.iter().any(|allowed| allowed.takes(origin))
    }

    fn allow(&self, origin: &[u8], out: &mut Vec<u8>) {
        let everybody = self.origins.contains(&AllowedOrigin::Any) && !self.credentials;
        write::header(out, b"access-control-allow-origin", if everybody { b"*" } else { origin });
        if self.credentials {
            write::header(out, b"access-control-allow-credentials", b"true");
        }
        let exposed = match &self.expose {
            Names::Any if self.credentials => "", // "the gateway cannot use the `*`", and nobody knows all names
            Names::Any => "*",
            Names::These(names) => names,
        };
        if !exposed.is_empty() {
            write::header(out, b"access-control-expose-headers", exposed.as_bytes());
        }
    }
}

/// Writes which names are allowed, if anything is to be said of them.
fn allow_names(header: &[u8], allowed: &Names, asked: Option<&[u8]>, out: &mut Vec<u8>) {
    let told = match allowed {
        Names::Any => asked.unwrap_or_default(),
        Names::These(names) => names.as_bytes(),
    };
    if !told.is_empty() {
        write::header(out, header, told);
    }
}

impl AllowedOrigin {
    fn takes(&self, origin: &[u8]) -> bool {
        let AllowedOrigin::Like { scheme, host, port } = self else { return true };
        let Some((given_scheme, given_host, given_port)) = parts(origin) else { return false };
        let is_host = || of_authority(given_host).is_some_and(|given| is_any(host) || covers(host, &given));
        given_scheme == scheme && given_port == *port && is_host()
    }
}

/// Scheme, host and port of an origin of `http` or `https`, as browsers write them: in lower case, the port only
/// where it is not the scheme's own.
fn parts(origin: &[u8]) -> Option<(&'static str, &[u8], u16)> {
    let (scheme, own_port, authority) = match origin.strip_prefix(b"http://") {
        Some(rest) => ("http", 80, rest),
        None => ("https", 443, origin.strip_prefix(b"https://")?),
    };
    let host = super::host::without_port(authority);
    let port = match authority.get(host.len()..).unwrap_or_default() {
        [] => own_port,
        [_colon, digits @ ..] => u16::try_from(ascii::decimal(digits)?).ok()?,
    };
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(byte);
    Some((scheme, host, port)).filter(|_| !host.is_empty() && host.iter().all(is_name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn like(scheme: &str, host: &str, port: u16) -> AllowedOrigin {
        AllowedOrigin::Like { scheme: scheme.into(), host: host.into(), port }
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (allowed, origin, is) in [
            (AllowedOrigin::Any, "https://a.com", true),
            (AllowedOrigin::Any, "null", true),
            (like("https", "a.com", 443), "https://a.com", true),
            (like("https", "a.com", 443), "https://a.com:443", true),
            (like("https", "a.com", 443), "https://A.com", true),
            (like("https", "a.com", 443), "https://a.com:8443", false),
            (like("https", "a.com", 443), "http://a.com:443", false),
            (like("https", "a.com", 443), "https://b.a.com", false),
            (like("https", "a.com", 443), "https://a.com.evil.net", false),
            (like("https", "a.com", 443), "https://a.com/", false),
            (like("https", "a.com", 443), "null", false),
            (like("https", "a.com", 443), "", false),
            (like("https", "a.com", 443), "https://", false),
            (like("https", "a.com", 443), "https://a.com:", false),
            (like("https", "a.com", 443), "https://a.com:99999", false),
            (like("https", "a.com", 443), "chrome-extension://a.com", false),
            (like("http", "a.com", 8080), "http://a.com:8080", true),
            (like("http", "a.com", 80), "http://a.com:80", true),
            (like("https", "*.a.com", 443), "https://b.a.com", true),
            (like("https", "*.a.com", 443), "https://c.b.a.com", true),
            (like("https", "*.a.com", 443), "https://a.com", false),
            (like("https", "*.a.com", 443), "https://ba.com", false),
            (like("https", "*.a.com", 443), "https://evil.net/.a.com", false),
            (like("http", "*", 80), "http://anything.net", true),
            (like("http", "*", 80), "https://anything.net", false),
            (like("http", "[::1]", 3000), "http://[::1]:3000", true),
        ] {
            let cors = Cors { origins: vec![allowed.clone()], ..Cors::default() };
            assert_eq!(cors.allows(origin.as_bytes()), is, "{allowed:?} {origin}");
        }
        assert!(!Cors::default().allows(b"https://a.com"), "nobody is allowed where nobody is named");
    }

    /// Names and values of the lines that `write` appends, without `access-control-`.
    fn told(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        let text = String::from_utf8(out).expect("text");
        let lines = text.split_terminator("\r\n").map(|line| line.trim_start_matches(CORS_HEADERS));
        lines.collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn answers_tell_what_the_origin_may_do() {
        let any = Cors { origins: vec![AllowedOrigin::Any], max_age: 5, ..Cors::default() };
        let some = Cors { origins: vec![like("https", "a.com", 443)], ..any.clone() };
        let exposing = Cors { expose: Names::These("x-a, x-b".into()), ..some.clone() };
        let all = Cors { expose: Names::Any, ..any.clone() };
        let credentials = |cors: &Cors| Cors { credentials: true, ..cors.clone() };
        for (cors, origin, lines) in [
            (&any, Some("https://a.com"), "allow-origin: *"),
            (&any, None, ""),
            (
                &credentials(&any),
                Some("https://a.com"),
                "allow-origin: https://a.com; allow-credentials: true",
            ),
            (&some, Some("https://a.com"), "allow-origin: https://a.com"),
            (&some, Some("https://b.com"), ""),
            (&exposing, Some("https://a.com"), "allow-origin: https://a.com; expose-headers: x-a, x-b"),
            (&all, Some("https://a.com"), "allow-origin: *; expose-headers: *"),
            (
                &credentials(&all),
                Some("https://a.com"),
                "allow-origin: https://a.com; allow-credentials: true",
            ),
        ] {
            let told = told(|out| cors.answer(origin.map(str::as_bytes), out));
            let expected = format!("vary: origin; {lines}");
            assert_eq!(told, expected.trim_end_matches("; "), "{cors:?} {origin:?}");
        }
    }

    #[test]
    fn preflights_are_told_what_may_be_asked_for() {
        let list = |names: &str| Names::These(names.into());
        let of = |methods, headers| Cors {
            origins: vec![like("https", "a.com", 443)],
            methods,
            headers,
            max_age: 60,
            ..Cors::default()
        };
        for (cors, headers, lines) in [
            (of(list(""), list("")), None, ""),
            (
                of(list("PUT, DELETE"), list("x-a, x-b")),
                Some("x-a"),
                "allow-methods: PUT, DELETE; allow-headers: x-a, x-b",
            ),
            (
                of(Names::Any, Names::Any),
                Some("authorization, x-c"),
                "allow-methods: PUT; allow-headers: authorization, x-c",
            ),
            (of(Names::Any, Names::Any), None, "allow-methods: PUT"),
        ] {
            let asked = Preflight { method: b"PUT", headers: headers.map(str::as_bytes) };
            let lines = lines.split("; ").filter(|line| !line.is_empty()).map(|line| format!("{line}; "));
            let expected = format!(
                "vary: origin, access-control-request-method, access-control-request-headers; \
                 allow-origin: https://a.com; {}max-age: 60",
                lines.collect::<String>()
            );
            assert_eq!(told(|out| cors.preflight(b"https://a.com", &asked, out)), expected);
            let others = told(|out| cors.preflight(b"https://b.com", &asked, out));
            assert_eq!(others, "vary: origin, access-control-request-method, access-control-request-headers");
        }
    }
}
