use super::{HeadFault, Headers, Known, Version};
use crate::base::ascii;

/// How the end of a message's body is known (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Framing {
    /// There is no body and nothing says how long it is.
    None,
    /// So many bytes; may be 0.
    Length(u64),
    /// The chunked transfer coding (RFC 9112 section 7.1).
    Chunked,
    /// Until the sender closes; responses only.
    UntilClose,
}

/// More connection options than this are refused: see [`HeadFault::ConnectionOptions`].
pub(super) const MAX_CONNECTION_OPTIONS: usize = 16;

/// What `Content-Length` and `Transfer-Encoding` say together; [`Framing::None`] when both are absent.
pub(super) fn declared(headers: &Headers, buf: &[u8], version: Version) -> Result<Framing, HeadFault> {
    match (headers.contains(Known::ContentLength), headers.contains(Known::TransferEncoding)) {
        (false, false) => Ok(Framing::None),
        (true, false) => content_length(headers, buf),
        (_, true) if version == Version::Http10 => Err(HeadFault::CodingInOldVersion),
        (false, true) => transfer_coding(headers, buf),
        (true, true) => Err(HeadFault::LengthAndCoding),
    }
}

/// Whether the connection may be used again after the message, as far as `Connection` says (RFC 9112 section
/// 9.3); refused, when it says what it must not. Servers that name `Transfer-Encoding` in it are `lenient`ly taken: the field
/// concerns one connection anyway, and is read whatever stands here.
pub(super) fn persists(
    headers: &Headers,
    buf: &[u8],
    version: Version,
    lenient: bool,
) -> Result<bool, HeadFault> {
    let (mut close, mut keep, mut count) = (false, false, 0);
    for value in headers.all(Known::Connection) {
        for option in ascii::list(value.of(buf)) {
            count += 1;
            if option.eq_ignore_ascii_case(b"close") {
                close = true;
            } else if option.eq_ignore_ascii_case(b"keep-alive") {
                keep = true;
            } else {
                match Known::of(option) {
                    Known::TransferEncoding if lenient => {}
                    Known::ContentLength | Known::TransferEncoding | Known::Host => {
                        return Err(HeadFault::ConnectionOption);
                    }
                    _ => {}
                }
            }
        }
    }
    if count > MAX_CONNECTION_OPTIONS {
        return Err(HeadFault::ConnectionOptions);
    }
    Ok(!close && (keep || version == Version::Http11))
}

fn content_length(headers: &Headers, buf: &[u8]) -> Result<Framing, HeadFault> {
    let value = headers.first(Known::ContentLength).unwrap_or_default().of(buf);
    if headers.is_repeated(Known::ContentLength) || value.contains(&b',') {
        return Err(HeadFault::LengthRepeated);
    }
    ascii::decimal(value).map(Framing::Length).ok_or(HeadFault::LengthInvalid)
}

/// Only a single line that is exactly `chunked` passes; the rest is about which fault it is.
fn transfer_coding(headers: &Headers, buf: &[u8]) -> Result<Framing, HeadFault> {
    let values = || headers.all(Known::TransferEncoding).map(|value| value.of(buf));
    if !headers.is_repeated(Known::TransferEncoding) && values().all(is_chunked) {
        return Ok(Framing::Chunked);
    }
    let codings = || values().flat_map(|value| value.split(|b| *b == b',')).map(ascii::trim);
    let is_proper = codings().all(|coding| coding.first().is_some_and(|first| ascii::is_token(*first)));
    let chunked_once = codings().filter(|coding| is_chunked(name_of(coding))).count() == 1;
    let chunked_last = codings().last().is_some_and(is_chunked);
    Err(if is_proper && chunked_once && chunked_last {
        HeadFault::CodingUnknown
    } else {
        HeadFault::CodingInvalid
    })
}

fn is_chunked(coding: &[u8]) -> bool {
    coding.eq_ignore_ascii_case(b"chunked")
}

/// A transfer coding without its parameters.
fn name_of(coding: &[u8]) -> &[u8] {
    ascii::trim(coding.split(|b| *b == b';').next().unwrap_or_default())
}
