use super::aws::{BodyHash, Credentials, Request, Signer};
use crate::base::Secret;
use crate::base::ascii::push_decimal;
use crate::wire::http1::write;
use crate::wire::url;
use std::fmt;

/// A request whose answer is a credential, or a step to one.
///
/// `Debug` shows where it goes and not what it says.
pub struct Fetch {
    /// Where it goes.
    pub url: Url,
    /// `GET`, `PUT` or `POST`.
    pub method: &'static str,
    /// Names in lower case, besides `host` and `content-length`.
    pub headers: Vec<(&'static str, Secret)>,
    /// Further header lines as they are sent: those of a signature.
    lines: Secret,
    /// Empty when there is none.
    pub body: Secret,
}

impl Fetch {
    /// Asks for what is there.
    pub fn get(url: Url) -> Fetch {
        Fetch::new("GET", url)
    }

    pub(super) fn new(method: &'static str, url: Url) -> Fetch {
        Fetch { url, method, headers: Vec::new(), lines: Secret::new([]), body: Secret::new([]) }
    }

    /// Posts a form (`application/x-www-form-urlencoded`).
    pub(super) fn form(url: Url, fields: &[(&str, &str)]) -> Fetch {
        let mut body = Vec::new();
        for (name, value) in fields {
            if !body.is_empty() {
                body.push(b'&');
            }
            url::percent_encode(&mut body, name.as_bytes());
            body.push(b'=');
            url::percent_encode(&mut body, value.as_bytes());
        }
        let mut fetch = Fetch::new("POST", url).header("content-type", "application/x-www-form-urlencoded");
        fetch.body = Secret::new(body);
        fetch
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Fetch {
        self.headers.push((name, Secret::new(value.as_bytes())));
        self
    }

    /// Signs it as it is; nothing may be added afterwards.
    pub(super) fn signed(mut self, signer: &mut Signer, credentials: &Credentials, unix_s: u64) -> Fetch {
        let host = self.url.authority();
        let (path, query) = self.url.target.split_once('?').unwrap_or((&self.url.target, ""));
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (*name, value.expose())).collect();
        let request = Request {
            method: self.method,
            host: &host,
            path: path.as_bytes(),
            query: query.as_bytes(),
            headers: &headers,
            body: &BodyHash::of([self.body.expose()]),
        };
        let mut lines = Vec::new();
        signer.sign(&request, credentials, unix_s, &mut lines);
        self.lines = Secret::new(lines);
        self
    }

    /// Writes the whole request, head and body, as HTTP/1.1.
    pub fn write(&self, out: &mut Vec<u8>) {
        write::request_line(out, self.method.as_bytes(), self.url.target.as_bytes());
        write::header(out, b"host", &self.url.authority());
        for (name, value) in &self.headers {
            write::header(out, name.as_bytes(), value.expose());
        }
        out.extend_from_slice(self.lines.expose());
        if self.method != "GET" {
            write::content_length(out, self.body.expose().len() as u64);
        }
        write::end(out);
        out.extend_from_slice(self.body.expose());
    }
}

impl fmt::Debug for Fetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fetch({} {:?})", self.method, self.url)
    }
}

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// `https`.
    pub tls: bool,
    /// A name, or an address; IPv6 without brackets.
    pub host: String,
    /// The port; the scheme's own where none was given.
    pub port: u16,
    /// Path and query, as sent.
    pub target: String,
}

impl Url {
    /// `https://host/target`.
    pub(super) fn https(host: String, target: &str) -> Url {
        Url { tls: true, host, port: 443, target: target.to_owned() }
    }

    /// `http://host/target`.
    pub(super) fn http(host: &str, target: &str) -> Url {
        Url { tls: false, host: host.to_owned(), port: 80, target: target.to_owned() }
    }

    /// Reads `http://` or `https://`, host, port and target; no user and no fragment.
    pub fn parse(text: &str) -> Option<Url> {
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, rest) => (false, rest?),
        };
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let parsed = url::host_port(authority.as_bytes())?;
        let host = std::str::from_utf8(parsed.host).ok()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let port = parsed.port.unwrap_or(if tls { 443 } else { 80 });
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        target.bytes().all(url::is_target).then_some(Url { tls, host, port, target })
    }

    /// The value of `Host`.
    pub fn authority(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.host.len() + 8);
        let brackets = if self.host.contains(':') { ["[", "]"] } else { ["", ""] };
        [brackets[0], &self.host, brackets[1]].iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        if self.port != if self.tls { 443 } else { 80 } {
            out.push(b':');
            push_decimal(&mut out, self.port.into());
        }
        out
    }

    /// The same host, another target.
    pub(super) fn at(&self, target: &str) -> Url {
        Url { target: target.to_owned(), ..self.clone() }
    }
}

/// As it is typed.
impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", String::from_utf8_lossy(&self.authority()), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart_and_named_in_host() {
        for (text, expected, authority) in [
            ("http://a", Some((false, "a", 80, "/")), "a"),
            ("https://A.example/x?y=z", Some((true, "a.example", 443, "/x?y=z")), "a.example"),
            ("https://a:8443?q", Some((true, "a", 8443, "/?q")), "a:8443"),
            ("https://a:80/", Some((true, "a", 80, "/")), "a:80"),
            ("http://[fd00:ec2::23]/v1", Some((false, "fd00:ec2::23", 80, "/v1")), "[fd00:ec2::23]"),
            ("http://[::1]:81/v1", Some((false, "::1", 81, "/v1")), "[::1]:81"),
            ("ftp://a", None, ""),
            ("a.example/x", None, ""),
            ("http://", None, ""),
            ("http://user@a/", None, ""),
            ("http://a/ b", None, ""),
            ("http://a/b\r\nx: y", None, ""),
            ("http://a/#b", None, ""),
            ("http://a:x/", None, ""),
        ] {
            let url = Url::parse(text);
            let parts = url.as_ref().map(|url| (url.tls, &url.host[..], url.port, &url.target[..]));
            assert_eq!(parts, expected, "{text}");
            if let Some(url) = url {
                assert_eq!(String::from_utf8_lossy(&url.authority()), authority, "{text}");
                assert_eq!(Url::parse(&url.to_string()), Some(url), "{text}");
            }
        }
    }

    #[test]
    fn requests_are_written_and_not_shown() {
        let url = Url::parse("https://a.example/token").expect("a URL");
        let fetch = Fetch::form(url.clone(), &[("a", "x&y"), ("b", "z")]).header("x-secret", "s3cret");
        let mut out = Vec::new();
        fetch.write(&mut out);
        let expected = "POST /token HTTP/1.1\r\nhost: a.example\r\ncontent-type: application/x-www-form-urlencoded\r\n\
                        x-secret: s3cret\r\ncontent-length: 11\r\n\r\na=x%26y&b=z";
        assert_eq!(String::from_utf8_lossy(&out), expected);
        let shown = format!("{fetch:?}");
        assert!(
            shown.contains("a.example") && !shown.contains("s3cret") && !shown.contains("x%26y"),
            "{shown}"
        );
        out.clear();
        Fetch::new("GET", url).write(&mut out);
        assert_eq!(out, b"GET /token HTTP/1.1\r\nhost: a.example\r\n\r\n");
        out.clear();
        Fetch::new("PUT", Url::http("a", "/t")).write(&mut out);
        assert_eq!(out, b"PUT /t HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n");
    }
}
