use std::mem::MaybeUninit;

use super::{HeadFault, Headers, MAX_HEADERS, Method, RequestHead, ResponseHead};
use crate::base::ascii;
use crate::base::lanes::{self, LANES};

/// The most bytes that a head may have, whatever the limits say: its offsets are kept in 16 bits.
pub const MAX_HEAD_BYTES: usize = u16::MAX as usize;

/// What a head may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head with its final empty line; more than [`MAX_HEAD_BYTES`] means that.
    pub head_bytes: usize,
    /// Header lines; more than [`MAX_HEADERS`] means that.
    pub headers: usize,
    /// Bytes of a request target.
    pub target_bytes: usize,
}

impl Default for HeadLimits {
    /// 32 KiB, 100 lines, targets of 8 KiB.
    fn default() -> HeadLimits {
        HeadLimits { head_bytes: 32 << 10, headers: MAX_HEADERS, target_bytes: 8 << 10 }
    }
}

/// The versions of HTTP/1 that are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
}

/// Reads the request head that `buf` starts with; `None` when it needs more bytes.
///
/// For a head that arrived at once. One that comes in pieces is read with a [`HeadScan`], which looks at no
/// byte twice before the head is complete.
///
/// # Errors
/// As [`HeadScan::request`].
pub fn request(buf: &[u8], limits: &HeadLimits) -> Result<Option<RequestHead>, HeadFault> {
    HeadScan::default().request(buf, limits)
}

/// Reads the response head that `buf` starts with, of an answer to a request with method `to`.
///
/// # Errors
/// As [`HeadScan::response`].
pub fn response(buf: &[u8], limits: &HeadLimits, to: Method) -> Result<Option<ResponseHead>, HeadFault> {
    HeadScan::default().response(buf, limits, to)
}

/// Looks for the end of one head in a buffer that grows, then parses the head once.
///
/// Call [`request`](HeadScan::request) or [`response`](HeadScan::response) after every arrival, with the same
/// buffer from the head's first byte on, until one returns something else than `Ok(None)`; take a new scan
/// for the next head. However the bytes were cut, the result is the same.
#[derive(Clone, Debug, Default)]
pub struct HeadScan {
    /// Where the first line starts: after the empty lines that may precede a request.
    start: usize,
    /// Where the line that is not ended yet starts.
    line: usize,
    /// Bytes searched for LF.
    seen: usize,
    /// What the head's list of lines is made in.
    room: Headers,
}

impl HeadScan {
    /// A new scan; the head that it finds keeps its lines where an earlier one, which is done with, kept `headers`.
    pub fn reusing(headers: Headers) -> HeadScan {
        HeadScan { room: headers, ..HeadScan::default() }
    }

    /// The request head at the start of `buf`, or `None` when its end has not arrived.
    ///
    /// # Errors
    /// See [`HeadFault`], which holds all rules. A fault may be found before the head is complete; that is
    /// sure to happen at the latest when `buf` reaches the limit.
    pub fn request(&mut self, buf: &[u8], limits: &HeadLimits) -> Result<Option<RequestHead>, HeadFault> {
        match self.complete(buf, limits, Side::Request)? {
            Some(len) => RequestHead::parse(&buf[..len], self.start, limits, std::mem::take(&mut self.room)),
            None => Ok(None),
        }
    }

    /// The response head at the start of `buf`, or `None` when its end has not arrived. `to` is the method of
    /// the request that it answers, on which its framing depends.
    ///
    /// # Errors
    /// See [`HeadFault`]; they mean that the connection is of no further use.
    pub fn response(
        &mut self,
        buf: &[u8],
        limits: &HeadLimits,
        to: Method,
    ) -> Result<Option<ResponseHead>, HeadFault> {
        match self.complete(buf, limits, Side::Response)? {
            Some(len) => ResponseHead::parse(&buf[..len], limits, to, std::mem::take(&mut self.room)),
            None => Ok(None),
        }
    }

    /// The length of the head with its final empty line, once that has arrived.
    fn complete(&mut self, buf: &[u8], limits: &HeadLimits, side: Side) -> Result<Option<usize>, HeadFault> {
        let limit = limits.head_bytes.min(MAX_HEAD_BYTES);
        let within = &buf[..buf.len().min(limit)];
        if !self.has_begun(within, side)? {
            return self.more(buf.len() >= limit, side);
        }
        let mut at = self.seen;
        while let Some(block) = within.get(at..).and_then(<[u8]>::first_chunk) {
            let mut feeds = lanes::equal(block, b'\n');
            while feeds != 0 {
                if let Some(len) = self.line_feed(within, at + feeds.trailing_zeros() as usize)? {
                    return Ok(Some(len));
                }
                feeds &= feeds - 1;
            }
            at += LANES;
        }
        for lf in at..within.len() {
            if within[lf] == b'\n'
                && let Some(len) = self.line_feed(within, lf)?
            {
                return Ok(Some(len));
            }
        }
        self.seen = within.len();
        self.more(buf.len() >= limit, side)
    }

    /// A line ends at `lf`. The length of the head, if it was the empty one.
    #[inline]
    fn line_feed(&mut self, within: &[u8], lf: usize) -> Result<Option<usize>, HeadFault> {
        if lf == self.line || within[lf - 1] != b'\r' {
            return Err(HeadFault::LineEnd);
        }
        if lf == self.line + 1 {
            return Ok(Some(lf + 1)); // `seen` stays, so that asking again finds it again
        }
        self.line = lf + 1;
        self.seen = lf + 1;
        Ok(None)
    }

    /// Steps over the empty lines that may precede a request; whether the first line's first byte is there,
    /// which is where a peer that speaks TLS or something else is found out.
    fn has_begun(&mut self, within: &[u8], side: Side) -> Result<bool, HeadFault> {
        loop {
            match (within.get(self.start..).unwrap_or_default(), side) {
                ([], _) => return Ok(false),
                ([b'H', ..], Side::Response) => return Ok(true),
                (_, Side::Response) => return Err(HeadFault::StatusLine),
                ([b'\r'], _) => return Ok(false),
                ([b'\r', b'\n', ..], _) if self.start < 2 * MAX_EMPTY_LINES => self.start += 2,
                ([b'\r' | b'\n', ..], _) => return Err(HeadFault::LineEnd),
                ([first, ..], _) if ascii::is_token(*first) => break,
                _ => return Err(HeadFault::RequestLine),
            }
        }
        self.line = self.line.max(self.start);
        self.seen = self.seen.max(self.start);
        Ok(true)
    }

    /// More bytes are needed: are they allowed to come?
    fn more(&self, is_full: bool, side: Side) -> Result<Option<usize>, HeadFault> {
        match (is_full, side) {
            (false, _) => Ok(None),
            (true, Side::Request) if self.line == self.start => Err(HeadFault::TargetTooLong),
            (true, _) => Err(HeadFault::HeadTooLarge),
        }
    }
}

/// Whose head it is.
#[derive(Clone, Copy)]
enum Side {
    Request,
    Response,
}

/// Empty lines that are stepped over before a request line.
const MAX_EMPTY_LINES: usize = 2;

/// Room for httparse's tokens; it is not zeroed first.
pub(super) type Tokens<'a> = [MaybeUninit<httparse::Header<'a>>; MAX_HEADERS];

/// What httparse objects to, in our words; `start_line` is the fault of everything in the first line.
pub(super) fn fault_of(error: httparse::Error, start_line: HeadFault) -> HeadFault {
    match error {
        httparse::Error::HeaderName => HeadFault::HeaderName,
        httparse::Error::HeaderValue => HeadFault::HeaderValue,
        httparse::Error::NewLine | httparse::Error::Status | httparse::Error::Token => start_line,
        httparse::Error::TooManyHeaders => HeadFault::TooManyHeaders,
        httparse::Error::Version => HeadFault::Version,
    }
}

/// Which version httparse's minor number means; it knows 0 and 1 only.
pub(super) fn version_of(minor: Option<u8>) -> Version {
    if minor == Some(0) { Version::Http10 } else { Version::Http11 }
}

/// Whether `text`, in which httparse found no version it knows, starts with another one: `HTTP/` DIGIT `.`
/// DIGIT. When it starts with a known one all the same, what follows the version is at fault.
pub(super) fn is_other_version(text: &[u8]) -> bool {
    match text {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0' | b'1', ..] => false,
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9', ..] => true,
        _ => false,
    }
}
