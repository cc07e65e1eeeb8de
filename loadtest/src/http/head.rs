//! Request heads, read as strictly as the strictest provider might: what a gateway sends must be beyond doubt.

use crate::limits;
use std::ops::Range;

/// What was found at the start of the bytes.
#[derive(Debug)]
pub(crate) enum HeadStep {
    /// No complete head yet. The bytes before this position need not be looked at again.
    More(usize),
    /// A head.
    Head(Box<Head>),
    /// Not HTTP/1.1; the reason for the ledger.
    Malformed(String),
}

/// How the request's body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFraming {
    None,
    Length(u64),
    Chunked,
}

/// The facts of one head. Ranges are positions in the bytes of the head.
#[derive(Debug)]
pub(crate) struct Head {
    /// Bytes of the head, the empty line included.
    pub(crate) len: usize,
    pub(crate) method: Range<usize>,
    pub(crate) target: Range<usize>,
    pub(crate) http_1_1: bool,
    pub(crate) framing: BodyFraming,
    /// The client wants the connection kept.
    pub(crate) keep_alive: bool,
    /// The client waits for `100 Continue`.
    pub(crate) expects_continue: bool,
    pub(crate) authorization: Option<Range<usize>>,
    pub(crate) api_key: Option<Range<usize>>,
    pub(crate) goog_api_key: Option<Range<usize>>,
    pub(crate) azure_api_key: Option<Range<usize>>,
    pub(crate) anthropic_version: Option<Range<usize>>,
    /// `x-sim-*` lines: the name after the prefix, and the value.
    pub(crate) settings: Vec<(Range<usize>, Range<usize>)>,
    /// Rules broken by a head that could be read all the same.
    pub(crate) faults: Vec<String>,
}

/// Reads a head from the start of `bytes`, having looked at the first `seen` before.
pub(crate) fn read_head(bytes: &[u8], seen: usize) -> HeadStep {
    match end_of_head(bytes, seen) {
        Ok(Some(end)) => match Head::read(&bytes[..end]) {
            Ok(head) => HeadStep::Head(Box::new(head)),
            Err(why) => HeadStep::Malformed(why),
        },
        Ok(None) if bytes.len() >= limits::HEAD_BYTES_MAX => {
            HeadStep::Malformed("the head is too long".into())
        }
        Ok(None) => HeadStep::More(bytes.len()),
        Err(why) => HeadStep::Malformed(why.into()),
    }
}

/// The position after the empty line. RFC 9112 lets a recipient take a bare LF for a line end; a sender may not
/// write one (section 2.2), and the sender is what is under test.
fn end_of_head(bytes: &[u8], seen: usize) -> Result<Option<usize>, &'static str> {
    let mut at = seen;
    while let Some(step) = bytes.get(at..).and_then(|rest| rest.iter().position(|&b| b == b'\n')) {
        let lf = at + step;
        if lf == 0 || bytes[lf - 1] != b'\r' {
            return Err("a line of the head ends with a bare LF");
        }
        if lf == 1 {
            return Err("an empty line before the request line");
        }
        if lf >= 3 && bytes[lf - 2] == b'\n' {
            return Ok(Some(lf + 1));
        }
        at = lf + 1;
    }
    Ok(None)
}

impl Head {
    fn read(bytes: &[u8]) -> Result<Head, String> {
        let mut lines = [httparse::EMPTY_HEADER; limits::HEADERS_MAX];
        let mut request = httparse::Request::new(&mut lines);
        match request.parse(bytes) {
            Ok(httparse::Status::Complete(len)) if len == bytes.len() => {}
            Ok(_) => return Err("the head does not end at its empty line".into()),
            Err(why) => return Err(why.to_string()),
        }
        let (Some(method), Some(target)) = (request.method, request.path) else {
            return Err("the request line is incomplete".into());
        };
        let mut head = Head {
            len: bytes.len(),
            method: place(bytes, method.as_bytes()),
            target: place(bytes, target.as_bytes()),
            http_1_1: request.version == Some(1),
            framing: BodyFraming::None,
            keep_alive: request.version == Some(1),
            expects_continue: false,
            authorization: None,
            api_key: None,
            goog_api_key: None,
            azure_api_key: None,
            anthropic_version: None,
            settings: Vec::new(),
            faults: Vec::new(),
        };
        let mut fields = Fields::default();
        for line in request.headers.iter() {
            head.field(&mut fields, bytes, line)?;
        }
        head.conclude(fields, request.headers, method, target)?;
        Ok(head)
    }

    /// Takes one header line.
    fn field<'b>(
        &mut self,
        fields: &mut Fields<'b>,
        bytes: &'b [u8],
        line: &httparse::Header<'b>,
    ) -> Result<(), String> {
        let (name, value) = (line.name, line.value);
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match name.len() {
            2 if is("te") => fields.hop_by_hop.push("te"),
            4 if is("host") => fields.host.push(value),
            6 if is("expect") => self.expects_continue = value.eq_ignore_ascii_case(b"100-continue"),
            7 if is("api-key") => self.single("api-key", |h| &mut h.azure_api_key, place(bytes, value)),
            7 if is("upgrade") => fields.hop_by_hop.push("upgrade"),
            9 if is("x-api-key") => self.single("x-api-key", |h| &mut h.api_key, place(bytes, value)),
            10 if is("connection") => fields.connection.push(value),
            10 if is("keep-alive") => fields.hop_by_hop.push("keep-alive"),
            12 if is("content-type") => fields.content_types += 1,
            13 if is("authorization") => {
                self.single("authorization", |h| &mut h.authorization, place(bytes, value));
            }
            14 if is("x-goog-api-key") => {
                self.single("x-goog-api-key", |h| &mut h.goog_api_key, place(bytes, value));
            }
            14 if is("content-length") => fields.length.push(value),
            16 if is("proxy-connection") => fields.hop_by_hop.push("proxy-connection"),
            17 if is("transfer-encoding") => fields.coding.push(value),
            17 if is("anthropic-version") => {
                self.single("anthropic-version", |h| &mut h.anthropic_version, place(bytes, value));
            }
            19 if is("proxy-authorization") => fields.hop_by_hop.push("proxy-authorization"),
            _ if name.len() > 6 && name.get(..6).is_some_and(|p| p.eq_ignore_ascii_case("x-sim-")) => {
                self.settings.push((place(bytes, &name.as_bytes()[6..]), place(bytes, value)));
            }
            _ => {}
        }
        Ok(())
    }

    /// Remembers the value of a field that may occur once.
    fn single(&mut self, name: &str, slot: fn(&mut Head) -> &mut Option<Range<usize>>, value: Range<usize>) {
        if slot(self).replace(value).is_some() {
            self.faults.push(format!("{name} is there more than once"));
        }
    }

    /// Judges the head as a whole.
    fn conclude(
        &mut self,
        fields: Fields<'_>,
        lines: &[httparse::Header<'_>],
        method: &str,
        target: &str,
    ) -> Result<(), String> {
        if !self.http_1_1 {
            self.faults.push("the request is HTTP/1.0".into());
        }
        if !target.starts_with('/') || target.contains('#') {
            return Err(format!("the target {target:?} is not in origin form"));
        }
        self.framing = fields.framing()?;
        if self.framing == BodyFraming::None && matches!(method, "POST" | "PUT" | "PATCH") {
            self.faults.push(format!("a {method} has neither content-length nor transfer-encoding"));
        }
        match fields.host.as_slice() {
            [host] if is_host(host) => {}
            [_] => return Err("the host field is not a host".into()),
            [] => return Err("there is no host field".into()),
            _ => return Err("there are several host fields".into()),
        }
        if fields.content_types > 1 {
            self.faults.push("content-type is there more than once".into());
        }
        self.connection_options(&fields, lines);
        Ok(())
    }

    /// RFC 9110, section 7.6.1: a proxy removes Connection, what it names, and the fields known to be hop-by-hop.
    fn connection_options(&mut self, fields: &Fields<'_>, lines: &[httparse::Header<'_>]) {
        for value in &fields.connection {
            for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii).filter(|o| !o.is_empty()) {
                if option.eq_ignore_ascii_case(b"close") {
                    self.keep_alive = false;
                } else if option.eq_ignore_ascii_case(b"keep-alive") {
                    self.keep_alive |= !self.http_1_1;
                } else {
                    let option = String::from_utf8_lossy(option).into_owned();
                    self.faults.push(format!("connection names {option}"));
                }
            }
        }
        if fields.connection.len() > 1 {
            self.faults.push("connection is there more than once".into());
        }
        for name in &fields.hop_by_hop {
            self.faults.push(format!("{name} is a hop-by-hop field"));
        }
        for value in &fields.connection {
            for option in value.split(|&b| b == b',').map(<[u8]>::trim_ascii) {
                let left = lines.iter().find(|line| line.name.as_bytes().eq_ignore_ascii_case(option));
                self.faults.extend(left.map(|line| format!("{} is named by connection", line.name)));
            }
        }
    }
}

/// What must be judged together.
#[derive(Default)]
struct Fields<'b> {
    host: Vec<&'b [u8]>,
    length: Vec<&'b [u8]>,
    coding: Vec<&'b [u8]>,
    connection: Vec<&'b [u8]>,
    hop_by_hop: Vec<&'static str>,
    content_types: usize,
}

impl Fields<'_> {
    /// Exactly one of Content-Length and Transfer-Encoding, once, in the one form that nobody reads differently.
    fn framing(&self) -> Result<BodyFraming, String> {
        match (self.length.as_slice(), self.coding.as_slice()) {
            ([], []) => Ok(BodyFraming::None),
            ([digits], []) => length(digits).map(BodyFraming::Length),
            ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") => Ok(BodyFraming::Chunked),
            ([], [_]) => Err("transfer-encoding is not chunked".into()),
            ([], _) => Err("transfer-encoding is there more than once".into()),
            (_, []) => Err("content-length is there more than once".into()),
            _ => Err("both content-length and transfer-encoding".into()),
        }
    }
}

fn length(digits: &[u8]) -> Result<u64, String> {
    let plain = !digits.is_empty() && digits.len() <= 15 && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).unwrap_or_default();
    if plain {
        text.parse().map_err(|_| "content-length".into())
    } else {
        Err("content-length is no number".into())
    }
}

/// `uri-host [":" port]` of RFC 9110, section 7.2, by its characters.
fn is_host(value: &[u8]) -> bool {
    let allowed = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:[]%".contains(b);
    !value.is_empty() && value.iter().all(allowed)
}

/// Where `part` lies in `whole`, of which it is a slice.
fn place(whole: &[u8], part: &[u8]) -> Range<usize> {
    let start = (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize);
    start..start + part.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Head, String> {
        match read_head(text.as_bytes(), 0) {
            HeadStep::Head(head) => Ok(*head),
            HeadStep::Malformed(why) => Err(why),
            HeadStep::More(_) => Err("unfinished".into()),
        }
    }

    #[test]
    fn facts_of_a_head() {
        let text = "POST /v1/messages?beta=true HTTP/1.1\r\nHost: api.example:8080\r\nX-Api-Key: k\r\n\
                    anthropic-version: 2023-06-01\r\nX-Sim-Chunks: 9\r\ncontent-length: 12\r\n\r\n";
        let head = read(text).unwrap();
        assert_eq!(&text[head.method.clone()], "POST");
        assert_eq!(&text[head.target.clone()], "/v1/messages?beta=true");
        assert_eq!(head.framing, BodyFraming::Length(12));
        assert_eq!(&text[head.api_key.clone().unwrap()], "k");
        assert_eq!(&text[head.anthropic_version.clone().unwrap()], "2023-06-01");
        let (name, value) = head.settings[0].clone();
        assert_eq!((&text[name], &text[value]), ("Chunks", "9"));
        assert!(head.keep_alive && head.faults.is_empty(), "{:?}", head.faults);
        assert_eq!(head.len, text.len());
    }

    #[test]
    fn heads_in_any_pieces() {
        let text = b"GET /plain?bytes=1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
        for cut in 0..text.len() {
            let HeadStep::More(seen) = read_head(&text[..cut], 0) else { panic!("cut at {cut}") };
            let HeadStep::Head(head) = read_head(text, seen) else { panic!("cut at {cut}") };
            assert_eq!((head.len, head.keep_alive), (text.len(), false));
        }
    }

    #[test]
    fn malformed_heads() {
        let cases = [
            ("GET / HTTP/1.1\r\n\r\n", "there is no host field"),
            ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", "there are several host fields"),
            ("GET / HTTP/1.1\r\nhost:\r\n\r\n", "the host field is not a host"),
            ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", "the host field is not a host"),
            ("GET / HTTP/1.1\nhost: a\r\n\r\n", "a line of the head ends with a bare LF"),
            ("\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", "an empty line before the request line"),
            ("GET http://a/ HTTP/1.1\r\nhost: a\r\n\r\n", "the target \"http://a/\" is not in origin form"),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
                "both content-length and transfer-encoding",
            ),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\n",
                "content-length is there more than once",
            ),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\n", "content-length is no number"),
            ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\n", "content-length is no number"),
            (
                "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
                "transfer-encoding is not chunked",
            ),
        ];
        for (text, why) in cases {
            assert_eq!(read(text).unwrap_err(), why, "{text:?}");
        }
        for text in
            ["GET / HTTP/1.1\r\nhost : a\r\n\r\n", "GET / HTTP/2\r\nhost: a\r\n\r\n", "G@T / x\r\n\r\n"]
        {
            assert!(read(text).is_err(), "{text:?}");
        }
        let long = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}", "y".repeat(limits::HEAD_BYTES_MAX));
        assert_eq!(read(&long).unwrap_err(), "the head is too long");
    }

    #[test]
    fn readable_heads_that_break_a_rule() {
        let cases = [
            ("connection: keep-alive, x-a\r\nx-a: 1\r\n", "connection names x-a; x-a is named by connection"),
            ("te: trailers\r\n", "te is a hop-by-hop field"),
            ("keep-alive: 5\r\n", "keep-alive is a hop-by-hop field"),
            ("proxy-connection: close\r\n", "proxy-connection is a hop-by-hop field"),
            ("upgrade: h2c\r\n", "upgrade is a hop-by-hop field"),
            ("authorization: a\r\nAuthorization: b\r\n", "authorization is there more than once"),
            ("connection: close\r\n", ""),
            ("connection: keep-alive\r\n", ""),
        ];
        for (lines, faults) in cases {
            let head = read(&format!("GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n")).unwrap();
            assert_eq!(head.faults.join("; "), faults, "{lines:?}");
        }
        let head = read("POST / HTTP/1.0\r\nhost: a\r\n\r\n").unwrap();
        assert_eq!(head.faults.len(), 2, "{:?}", head.faults);
        assert!(!head.keep_alive);
    }
}
