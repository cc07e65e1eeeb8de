//! Heads and chunks, written at the end of a `Vec` that the caller keeps and reuses.
//!
//! A head is a start line, header lines, and [`end`]. Names are written as given, in lower case by custom.

use std::net::IpAddr;

use super::{Header, Headers, Known, Version};
use crate::base::ascii;

/// The interim response to a client that expects it (RFC 9110 section 15.2.1).
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// What follows the data of every chunk.
pub const CHUNK_END: &[u8] = b"\r\n";
/// The end of a chunked body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";
/// The end of the last chunk's data and of the body, for one write.
pub const CHUNK_END_AND_LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";
/// The header line of a chunked body.
pub const TRANSFER_ENCODING_CHUNKED: &[u8] = b"transfer-encoding: chunked\r\n";
/// The header line of the last message on a connection.
pub const CONNECTION_CLOSE: &[u8] = b"connection: close\r\n";

/// Writes `HTTP/1.1 200 OK CRLF`. `status` is three digits; what we do not know has an empty reason.
pub fn status_line(out: &mut Vec<u8>, status: u16) {
    debug_assert!((100..=999).contains(&status), "status {status}");
    out.extend_from_slice(b"HTTP/1.1 ");
    number(out, status.into());
    out.push(b' ');
    out.extend_from_slice(reason(status).as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// Writes `POST /v1/messages HTTP/1.1 CRLF`. `method` is a token and `target` has no spaces or controls: both
/// come from a parsed head or from checked configuration.
pub fn request_line(out: &mut Vec<u8>, method: &[u8], target: &[u8]) {
    debug_assert!(!method.is_empty() && method.iter().all(|b| ascii::is_token(*b)), "{method:?}");
    debug_assert!(!target.is_empty() && target.iter().all(u8::is_ascii_graphic), "{target:?}");
    for part in [method, b" ", target, b" HTTP/1.1\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes `name: value CRLF`. `name` is a token.
///
/// Control bytes in `value` become spaces (RFC 9110 section 5.5: "replace each of those characters with SP"),
/// so that no value, wherever it came from, makes a second header or ends the head.
pub fn header(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    debug_assert!(!name.is_empty() && name.iter().all(|b| ascii::is_token(*b)), "{name:?}");
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let start = out.len();
    out.extend_from_slice(value);
    for byte in out[start..].iter_mut().filter(|byte| !ascii::is_value(**byte)) {
        *byte = b' ';
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes `content-length: n CRLF`.
pub fn content_length(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(b"content-length: ");
    number(out, n);
    out.extend_from_slice(b"\r\n");
}

/// Writes the empty line that ends a head.
pub fn end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Writes the line before a chunk of `n` bytes; after them comes [`CHUNK_END`]. `n` is not 0, which would end
/// the body: see [`LAST_CHUNK`].
pub fn chunk_head(out: &mut Vec<u8>, n: usize) {
    debug_assert!(n > 0, "a chunk of no bytes ends the body");
    let mut digits = [0; 16];
    let mut at = digits.len();
    let mut rest = n;
    while rest > 0 {
        at -= 1;
        digits[at] = b"0123456789abcdef"[rest & 15];
        rest >>= 4;
    }
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\r\n");
}

/// Writes the end of a chunked body with `trailers` as [`BodyReader::trailers`](super::BodyReader::trailers)
/// gives them.
pub fn last_chunk(out: &mut Vec<u8>, trailers: &[u8]) {
    for part in [b"0\r\n", trailers, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes `n` in decimal digits.
pub fn number(out: &mut Vec<u8>, n: u64) {
    ascii::push_decimal(out, n);
}

/// Copies every end-to-end header of a head parsed from `buf`, in order, unless `skip` says so of it and its
/// name.
///
/// Left out are the hop-by-hop headers, `Connection` and those it names (RFC 9110 section 7.6.1), and
/// `Content-Length`, because the framing of what is sent is written by who sends it. `Host`, credentials and
/// an `Expect` that has been answered are for `skip` to leave out.
pub fn copy_end_to_end(
    out: &mut Vec<u8>,
    buf: &[u8],
    headers: &Headers,
    skip: impl Fn(&Header, &[u8]) -> bool,
) {
    let nominates = nominated(buf, headers).next().is_some();
    for header in headers.iter() {
        let name = header.name.of(buf);
        if header.known.is_hop_by_hop() || header.known == Known::ContentLength {
            continue;
        }
        if nominates && nominated(buf, headers).any(|option| option.eq_ignore_ascii_case(name)) {
            continue;
        }
        if skip(&header, name) {
            continue;
        }
        for part in [name, b": ", header.value.of(buf), b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// Writes the `Via` line of this hop (RFC 9110 section 7.6.3): `received` is the version of the message that
/// is forwarded, `by` a pseudonym. It goes after the received `Via` lines that [`copy_end_to_end`] copies;
/// several lines are one list.
pub fn via(out: &mut Vec<u8>, received: Version, by: &[u8]) {
    out.extend_from_slice(match received {
        Version::Http10 => b"via: 1.0 ",
        Version::Http11 => b"via: 1.1 ",
    });
    out.extend_from_slice(by);
    out.extend_from_slice(b"\r\n");
}

/// Writes one `X-Forwarded-For` line that ends in `peer`; before it, when `is_trusted`, what the peer sent.
///
/// Whoever calls it skips the received lines in [`copy_end_to_end`]. One line, because many servers read the
/// first only. An IPv4 address mapped into IPv6 is written as IPv4.
pub fn forwarded_for(out: &mut Vec<u8>, buf: &[u8], headers: &Headers, peer: IpAddr, is_trusted: bool) {
    out.extend_from_slice(b"x-forwarded-for: ");
    if is_trusted {
        for value in headers.all(Known::XForwardedFor).filter(|value| !value.is_empty()) {
            out.extend_from_slice(value.of(buf));
            out.extend_from_slice(b", ");
        }
    }
    ascii::push_ip(out, peer.to_canonical());
    out.extend_from_slice(b"\r\n");
}

/// The reason phrase of a status (RFC 9110 section 15, RFC 6585); empty for those that we do not know.
pub const fn reason(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        424 => "Failed Dependency",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        511 => "Network Authentication Required",
        _ => "",
    }
}

/// The names that `Connection` gives for removal, apart from the two options that are no names; a parsed head has
/// few of them.
fn nominated<'a>(buf: &'a [u8], headers: &'a Headers) -> impl Iterator<Item = &'a [u8]> {
    let is_option =
        |option: &[u8]| option.eq_ignore_ascii_case(b"close") || option.eq_ignore_ascii_case(b"keep-alive");
    let options = headers.all(Known::Connection).flat_map(|value| ascii::list(value.of(buf)));
    options.filter(move |option| !is_option(option))
}
