use super::{BodyFault, ChunkLimits, Known};
use crate::base::ascii;

/// The trailer section of a chunked body (RFC 9112 section 7.1.2), line by line.
///
/// Allocates when there is a trailer, or when the final empty line comes in two pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Trailers {
    /// Lines that are kept, then the part of a line that has no end yet.
    bytes: Vec<u8>,
    /// Where that part starts.
    line: usize,
    /// Bytes received, kept or not.
    received: usize,
    /// Lines received, kept or not.
    count: usize,
}

impl Trailers {
    /// Eats up to one line; how many bytes, and whether the section ended with them. `input` is not empty, and the limits
    /// are the same each time.
    pub(super) fn read(&mut self, input: &[u8], limits: &ChunkLimits) -> Result<(usize, bool), BodyFault> {
        let room = (limits.trailer_bytes as usize).saturating_sub(self.received);
        let within = &input[..input.len().min(room)];
        let Some(lf) = memchr::memchr(b'\n', within) else {
            if within.len() == room {
                return Err(BodyFault::TrailersTooLarge);
            }
            self.bytes.extend_from_slice(within);
            self.received += within.len();
            return Ok((within.len(), false));
        };
        self.received += lf + 1;
        let piece = &within[..lf + 1];
        if self.bytes.len() == self.line && piece == b"\r\n" {
            return Ok((piece.len(), true));
        }
        self.bytes.extend_from_slice(piece);
        self.end_line(limits).map(|is_end| (piece.len(), is_end))
    }

    /// The lines kept.
    pub(super) fn lines(&self) -> &[u8] {
        &self.bytes[..self.line]
    }

    /// Judges the line that has just ended; whether it was the empty one.
    fn end_line(&mut self, limits: &ChunkLimits) -> Result<bool, BodyFault> {
        let line = self.bytes[self.line..].strip_suffix(b"\r\n").ok_or(BodyFault::Trailer)?;
        if line.is_empty() {
            self.bytes.truncate(self.line);
            return Ok(true);
        }
        self.count += 1;
        if self.count > limits.trailers as usize {
            return Err(BodyFault::TrailersTooLarge);
        }
        let name = name_of(line).ok_or(BodyFault::Trailer)?;
        if is_kept(name) {
            self.line = self.bytes.len();
        } else {
            self.bytes.truncate(self.line);
        }
        Ok(false)
    }
}

/// The name of a valid field line; `None` when it is not valid.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at(colon);
    let is_name = !name.is_empty() && name.iter().all(|b| ascii::is_token(*b));
    (is_name && value.iter().all(|b| ascii::is_value(*b))).then_some(name)
}

/// Names that tollgate acts upon in a head must not come again later; of the others, those that RFC 9110
/// section 6.5.1 calls necessary before the content is received.
fn is_kept(name: &[u8]) -> bool {
    Known::of(name) == Known::Other && !NEVER_KEPT.iter().any(|never| never.eq_ignore_ascii_case(name))
}

const NEVER_KEPT: [&[u8]; 11] = [
    b"age",
    b"content-range",
    b"expires",
    b"if-match",
    b"if-none-match",
    b"if-modified-since",
    b"if-unmodified-since",
    b"if-range",
    b"pragma",
    b"range",
    b"vary",
];
