use std::mem::MaybeUninit;

use super::head::{Tokens, fault_of, is_other_version, version_of};
use super::{Framing, HeadFault, HeadLimits, Headers, Known, Method, Version, framing};
use crate::base::{Span, ascii};
use crate::wire::url;

/// The head of a request: spans of the buffer it was parsed from.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The method, when it is a common one.
    pub method: Method,
    /// The method as sent.
    pub method_text: Span,
    /// The whole target as sent.
    pub target: Span,
    /// Its path; empty when an absolute-form target has none, which means `/`: see
    /// [`path_of`](RequestHead::path_of). `*` of an OPTIONS request counts as a path.
    pub path: Span,
    /// What follows the first `?`; may be empty.
    pub query: Option<Span>,
    /// Host and optional port, valid: the authority of an absolute-form target, which wins (RFC 9112 section
    /// 3.2.2), else the value of `Host`. `None` in HTTP/1.0 only.
    pub host: Option<Span>,
    /// The version it was sent in.
    pub version: Version,
    /// All header lines.
    pub headers: Headers,
    /// How long the body is; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client lets the connection live after the answer.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends a body that is not empty.
    pub expects_continue: bool,
    /// Bytes of the head; the body starts here.
    pub len: usize,
}

impl RequestHead {
    /// How often a TRACE or OPTIONS request may yet be forwarded (RFC 9110 section 7.6.2); `None` where nothing, or no
    /// number, says so, and of other methods, where it means nothing.
    pub fn forwards_left(&self, buf: &[u8]) -> Option<u64> {
        let counts = matches!(self.method, Method::Trace | Method::Options);
        let value = self.headers.first(Known::MaxForwards).filter(|_| counts)?;
        ascii::decimal(value.of(buf))
    }

    /// Whether the target is absolute and its scheme is https: see [`HeadFault::Insecure`].
    pub fn is_for_https(&self, buf: &[u8]) -> bool {
        let target = self.target.of(buf);
        !target.starts_with(b"/") && starts_with(target, SCHEMES[1])
    }

    /// The path as a server sees it, never empty.
    pub fn path_of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        if self.path.is_empty() { b"/" } else { self.path.of(buf) }
    }

    /// The head that is exactly `buf[start..]`; every LF in it follows a CR, and it ends in an empty line.
    /// Always `Some`, wrapped here because a head is not moved needlessly.
    pub(super) fn parse(
        buf: &[u8],
        start: usize,
        limits: &HeadLimits,
        room_for_lines: Headers,
    ) -> Result<Option<RequestHead>, HeadFault> {
        let mut room: Tokens<'_> = [const { MaybeUninit::uninit() }; _];
        let room_len = limits.headers.min(room.len());
        let mut tokens = httparse::Request::new(&mut []);
        match tokens.parse_with_uninit_headers(&buf[start..], &mut room[..room_len]) {
            Ok(httparse::Status::Complete(len)) if start + len == buf.len() => {}
            Ok(_) => return Err(HeadFault::LineEnd),
            Err(httparse::Error::Version) => return Err(version_fault(buf, tokens.path)),
            Err(httparse::Error::NewLine) => return Err(line_fault(&buf[start..])),
            Err(error) => return Err(fault_of(error, HeadFault::RequestLine)),
        }
        let method_text = Span::within(buf, tokens.method.unwrap_or_default().as_bytes());
        let method = Method::from_bytes(method_text.of(buf));
        let target = Span::within(buf, tokens.path.unwrap_or_default().as_bytes());
        let parts = Target::parse(buf, target, method, limits)?;
        let version = version_of(tokens.version);
        let headers = Headers::from_tokens(buf, tokens.headers, room_for_lines);
        if headers.contains(Known::Disguised) {
            return Err(HeadFault::Disguised);
        }
        if headers.is_repeated(Known::Authorization) {
            return Err(HeadFault::CredentialsRepeated);
        }
        let host = host(&headers, buf, version)?;
        let framing = framing::declared(&headers, buf, version)?;
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        if has_body && method == Method::Trace {
            return Err(HeadFault::TraceContent);
        }
        Ok(Some(RequestHead {
            method,
            method_text,
            target,
            path: parts.path,
            query: parts.query,
            host: parts.authority.or(host),
            version,
            framing,
            keep_alive: framing::persists(&headers, buf, version, false)?,
            expects_continue: expects_continue(&headers, buf, version)? && has_body,
            headers,
            len: buf.len(),
        }))
    }
}

/// A request target taken apart (RFC 9112 section 3.2).
struct Target {
    path: Span,
    query: Option<Span>,
    authority: Option<Span>,
}

impl Target {
    fn parse(buf: &[u8], span: Span, method: Method, limits: &HeadLimits) -> Result<Target, HeadFault> {
        let target = span.of(buf);
        if method == Method::Connect {
            return Err(HeadFault::Connect);
        }
        if target.len() > limits.target_bytes {
            return Err(HeadFault::TargetTooLong);
        }
        if !target.iter().all(|b| url::is_target(*b)) {
            return Err(HeadFault::Target);
        }
        match target {
            [b'/', ..] => Ok(Target::split(buf, span, None)),
            b"*" if method == Method::Options => Ok(Target { path: span, query: None, authority: None }),
            _ => Target::absolute(buf, span).ok_or(HeadFault::Target),
        }
    }

    /// absolute-form: `http://authority[path][?query]`.
    fn absolute(buf: &[u8], span: Span) -> Option<Target> {
        let target = span.of(buf);
        let scheme_len = SCHEMES.iter().find(|scheme| starts_with(target, scheme))?.len();
        let rest = &target[scheme_len..];
        let authority_len = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
        url::host_port(&rest[..authority_len])?;
        let authority = Span::within(buf, &rest[..authority_len]);
        Some(Target::split(buf, Span { start: authority.end, end: span.end }, Some(authority)))
    }

    fn split(buf: &[u8], span: Span, authority: Option<Span>) -> Target {
        let (path, query) = url::split_query(span.of(buf));
        let query = query.map(|query| Span::within(buf, query));
        Target { path: Span::within(buf, path), query, authority }
    }
}

const SCHEMES: [&[u8]; 2] = [b"http://", b"https://"];

fn starts_with(target: &[u8], scheme: &[u8]) -> bool {
    target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
}

/// Whose line is it that has a CR in it or something behind its version: the first one, or a header line?
fn line_fault(head: &[u8]) -> HeadFault {
    let first = head.split(|b| *b == b'\n').next().unwrap_or_default();
    let is_whole = first.ends_with(b" HTTP/1.1\r") || first.ends_with(b" HTTP/1.0\r");
    let count = |wanted: u8| first.iter().filter(|byte| **byte == wanted).count();
    if is_whole && count(b'\r') == 1 && count(b' ') == 2 {
        HeadFault::HeaderName
    } else {
        HeadFault::RequestLine
    }
}

/// A version that is not spoken, or something that is no version at all?
fn version_fault(buf: &[u8], target: Option<&str>) -> HeadFault {
    let end = target.map_or(0, |target| Span::within(buf, target.as_bytes()).range().end);
    let is_other = buf.get(end + 1..).is_some_and(is_other_version);
    if is_other { HeadFault::Version } else { HeadFault::RequestLine }
}

/// RFC 9112 section 3.2: exactly one valid `Host`; HTTP/1.0 may have none.
fn host(headers: &Headers, buf: &[u8], version: Version) -> Result<Option<Span>, HeadFault> {
    let Some(host) = headers.first(Known::Host) else {
        return if version == Version::Http10 { Ok(None) } else { Err(HeadFault::HostMissing) };
    };
    if headers.is_repeated(Known::Host) {
        return Err(HeadFault::HostRepeated);
    }
    url::host_port(host.of(buf)).map(|_| Some(host)).ok_or(HeadFault::HostInvalid)
}

/// RFC 9110 section 10.1.1: ignored in HTTP/1.0.
fn expects_continue(headers: &Headers, buf: &[u8], version: Version) -> Result<bool, HeadFault> {
    if version == Version::Http10 || !headers.contains(Known::Expect) {
        return Ok(false);
    }
    let mut members = headers.all(Known::Expect).flat_map(|value| ascii::list(value.of(buf))).peekable();
    let is_any = members.peek().is_some();
    match members.all(|member| member.eq_ignore_ascii_case(b"100-continue")) {
        true => Ok(is_any),
        false => Err(HeadFault::Expectation),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_stays_small() {
        // It is moved around.
        assert!(size_of::<RequestHead>() <= 128, "{}", size_of::<RequestHead>());
        assert!(size_of::<Option<RequestHead>>() <= size_of::<RequestHead>() + 8);
    }
}
