//! The request that is explained, as a client would send it.

use std::fs;
use std::path::PathBuf;

/// The largest body; more than any setting allows need not be explained.
const BODY_MAX: u64 = 64 << 20;

/// A request on the command line.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// `METHOD TARGET`, the target a path, perhaps with a query, or a URL.
    pub line: String,
    /// Of `-H`, as they were written: `name: value`.
    pub headers: Vec<String>,
    /// Of `-d`: the body, or `@` and the file that holds it.
    pub body: Option<String>,
}

/// A request that can be sent.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// The authority: of the URL, else of the `Host` given, else `localhost`.
    pub(super) host: String,
    /// Of the URL; `None` when there was none.
    pub(super) scheme: Option<String>,
    /// Without `Host`.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl Asked {
    /// # Errors
    /// A sentence for the operator: what cannot be read, and what to write.
    pub(super) fn request(&self) -> Result<Request, String> {
        let (method, target) = match self.line.split_once(' ') {
            Some((method, target)) => (method.to_owned(), target.trim()),
            None => (if self.body.is_some() { "POST" } else { "GET" }.to_owned(), self.line.as_str()),
        };
        let (scheme, authority, target) = match target.split_once("://") {
            Some((scheme, rest)) => {
                let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
                (Some(scheme.to_ascii_lowercase()), Some(authority.to_owned()), path)
            }
            None => (None, None, target.to_owned()),
        };
        let mut request =
            Request { method, target, host: String::new(), scheme, headers: Vec::new(), body: Vec::new() };
        request.check()?;
        for line in &self.headers {
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| format!("-H: {line:?} is no header: write 'name: value'"))?;
            if line.contains(['\r', '\n']) || name.is_empty() {
                return Err(format!("-H: {line:?} is no header: write 'name: value'"));
            }
            let (name, value) = (name.trim().to_owned(), value.trim().to_owned());
            match name.eq_ignore_ascii_case("host") {
                true => request.host = value,
                false => request.headers.push((name, value)),
            }
        }
        if let Some(authority) = authority {
            request.host = authority;
        }
        if request.host.is_empty() {
            request.host = "localhost".to_owned();
        }
        if let Some(body) = &self.body {
            request.body = read_body(body)?;
            if !request.has("content-type") {
                request.headers.push(("content-type".to_owned(), "application/json".to_owned()));
            }
        }
        Ok(request)
    }
}

impl Request {
    fn check(&self) -> Result<(), String> {
        let sound = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !sound(&self.method) || !sound(&self.target) || !self.target.starts_with('/') {
            return Err("the request must be 'METHOD /path', or 'METHOD https://host/path'".to_owned());
        }
        match self.scheme.as_deref() {
            None | Some("http" | "https") => Ok(()),
            Some(scheme) => Err(format!("{scheme}:// is neither http:// nor https://")),
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }

    /// The port that the URL or the `Host` names, or that its scheme has.
    pub(super) fn port(&self) -> Option<u16> {
        let named = self.host.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        named.or(match self.scheme.as_deref() {
            Some("https") => Some(443),
            Some(_) => Some(80),
            None => None,
        })
    }

    /// What goes over the connection, which is closed afterwards.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.host);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        if !self.has("connection") {
            text += "Connection: close\r\n";
        }
        if !self.body.is_empty() && !self.has("content-length") && !self.has("transfer-encoding") {
            text += &format!("Content-Length: {}\r\n", self.body.len());
        }
        text += "\r\n";
        [text.as_bytes(), &self.body].concat()
    }
}

fn read_body(body: &str) -> Result<Vec<u8>, String> {
    let Some(path) = body.strip_prefix('@').map(PathBuf::from) else { return Ok(body.as_bytes().to_vec()) };
    let told = |why: &dyn std::fmt::Display| format!("-d: {}: {why}", path.display());
    let size = fs::metadata(&path).map_err(|error| told(&error))?.len();
    if size > BODY_MAX {
        return Err(told(&format_args!("{size} bytes are too many for a request")));
    }
    fs::read(&path).map_err(|error| told(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str, headers: &[&str], body: Option<&str>) -> Result<Request, String> {
        let headers = headers.iter().map(|&header| header.to_owned()).collect();
        Asked { line: line.to_owned(), headers, body: body.map(str::to_owned) }.request()
    }

    #[test]
    fn a_request_is_sent_as_it_is_written() {
        for (line, headers, body, expected, port) in [
            ("/a", &[][..], None, "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", None),
            (
                "POST /a?b=c",
                &["host: x.example:8080", "X-Team:  red"][..],
                Some("{}"),
                "POST /a?b=c HTTP/1.1\r\nHost: x.example:8080\r\nX-Team: red\r\ncontent-type: application/json\r\n\
                 Connection: close\r\nContent-Length: 2\r\n\r\n{}",
                Some(8080),
            ),
            (
                "GET https://a.example",
                &[],
                None,
                "GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
                Some(443),
            ),
            (
                "GET http://[::1]:81/?x",
                &[],
                None,
                "GET /?x HTTP/1.1\r\nHost: [::1]:81\r\nConnection: close\r\n\r\n",
                Some(81),
            ),
            (
                "/a",
                &["Connection: keep-alive", "content-type: text/plain", "content-length: 9"],
                Some("x"),
                "POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\ncontent-type: text/plain\r\ncontent-length: 9\r\n\r\nx",
                None,
            ),
        ] {
            let request = asked(line, headers, body).unwrap_or_else(|why| panic!("{line}: {why}"));
            assert_eq!(String::from_utf8_lossy(&request.bytes()), expected);
            assert_eq!(request.port(), port, "{line}");
        }
    }

    #[test]
    fn what_is_no_request_is_told_with_what_to_write() {
        for (line, headers, body, expected) in [
            ("", &[][..], None, "'METHOD /path'"),
            ("GET a", &[], None, "'METHOD /path'"),
            ("GET /a b", &[], None, "'METHOD /path'"),
            ("GET ftp://a/", &[], None, "neither http"),
            ("GET /", &["x-team"][..], None, "'name: value'"),
            ("GET /", &["a: b\r\nc: d"][..], None, "'name: value'"),
            ("POST /", &[], Some("@/no/such/file"), "No such file"),
        ] {
            let why = asked(line, headers, body).expect_err(line);
            assert!(why.contains(expected), "{line}: {why}");
        }
    }
}
