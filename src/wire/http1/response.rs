use std::mem::MaybeUninit;

use super::head::{Tokens, fault_of, is_other_version, version_of};
use super::{Framing, HeadFault, HeadLimits, Headers, Known, Method, Version, framing};
use crate::base::Span;

/// The head of a response: spans of the buffer it was parsed from.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// 100..=599.
    pub status: u16,
    /// The reason phrase as sent; often empty, and of no meaning (RFC 9112 section 4).
    pub reason: Span,
    /// The version it was sent in.
    pub version: Version,
    /// All header lines.
    pub headers: Headers,
    /// How long the body is, with what the status and the request's method say about it.
    pub framing: Framing,
    /// Whether the connection may be used again after the body.
    pub keep_alive: bool,
    /// Bytes of the head; the body starts here.
    pub len: usize,
}

impl ResponseHead {
    /// Whether another response to the same request follows (RFC 9110 section 15.2).
    ///
    /// 101 is not among them: after it the connection speaks another protocol. tollgate never asks for one,
    /// so who gets a 101 must refuse it.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// The head that is exactly `buf`; every LF in it follows a CR, and it ends in an empty line.
    /// Always `Some`, wrapped here because a head is not moved needlessly.
    pub(super) fn parse(
        buf: &[u8],
        limits: &HeadLimits,
        to: Method,
        room_for_lines: Headers,
    ) -> Result<Option<ResponseHead>, HeadFault> {
        let mut room: Tokens<'_> = [const { MaybeUninit::uninit() }; _];
        let room_len = limits.headers.min(room.len());
        let mut tokens = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut tokens, buf, &mut room[..room_len]) {
            Ok(httparse::Status::Complete(len)) if len == buf.len() => {}
            Ok(_) => return Err(HeadFault::LineEnd),
            Err(httparse::Error::Version) if !is_other_version(buf) => return Err(HeadFault::StatusLine),
            Err(error) => return Err(fault_of(error, HeadFault::StatusLine)),
        }
        let status = tokens.code.unwrap_or_default();
        if !(100..=599).contains(&status) {
            return Err(HeadFault::StatusLine);
        }
        let version = version_of(tokens.version);
        let headers = Headers::from_tokens(buf, tokens.headers, room_for_lines);
        let declared = framing::declared(&headers, buf, version)?;
        if status < 200 && !matches!(declared, Framing::None | Framing::Length(0)) {
            return Err(HeadFault::InterimContent);
        }
        let framing = of_response(declared, status, to);
        Ok(Some(ResponseHead {
            status,
            reason: reason(buf),
            version,
            framing,
            keep_alive: framing::persists(&headers, buf, version, true)?
                && framing != Framing::UntilClose
                && !is_followed(declared, status),
            headers,
            len: buf.len(),
        }))
    }

    /// What `Content-Length` says, also where there is no body: of a HEAD or a 304 (RFC 9110 section 8.6).
    pub fn content_length<'a>(&self, buf: &'a [u8]) -> Option<&'a [u8]> {
        self.headers.first(Known::ContentLength).map(|value| value.of(buf))
    }
}

/// RFC 9112 section 6.3, items 1, 2 and 8.
fn of_response(declared: Framing, status: u16, to: Method) -> Framing {
    let has_none = matches!(status, 100..=199 | 204 | 304)
        || to == Method::Head
        || (to == Method::Connect && matches!(status, 200..=299));
    match declared {
        _ if has_none => Framing::None,
        Framing::None => Framing::UntilClose,
        framing => framing,
    }
}

/// A 204 that announces a body must not (RFC 9110 section 8.6, RFC 9112 section 6.1). If the body comes all
/// the same it would be taken for the next response, so such a connection is not used again.
fn is_followed(declared: Framing, status: u16) -> bool {
    status == 204 && !matches!(declared, Framing::None | Framing::Length(0))
}

/// The rest of the status line. Not taken from httparse, which gives an empty string from elsewhere when the
/// phrase has bytes that are not ASCII.
fn reason(buf: &[u8]) -> Span {
    let start = "HTTP/1.1 200".len();
    let end = memchr::memchr(b'\r', buf).unwrap_or(start).max(start);
    Span::new((start + 1).min(end), end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_stays_small() {
        // It is moved around.
        assert!(size_of::<ResponseHead>() <= 96, "{}", size_of::<ResponseHead>());
    }
}
