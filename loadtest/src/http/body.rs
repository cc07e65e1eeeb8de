//! Where a request's body ends: Content-Length and the chunked coding (RFC 9112, sections 6 and 7.1).

use crate::limits;

/// Reads one body from bytes that arrive in any pieces. Call [`BodyReader::eat`] with what is there until it says
/// that the body has ended or is malformed; every byte of body is handed to the sink once, in order.
#[derive(Debug)]
pub(crate) struct BodyReader {
    state: State,
    /// Bytes of the current chunk-size line or trailer section, to bound them.
    line: usize,
}

/// What became of the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyStep {
    /// All eaten; more is needed.
    More,
    /// The body ended after this many of the bytes.
    End(usize),
    /// The framing is broken.
    Malformed(&'static str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// This many bytes of a Content-Length body remain.
    Length(u64),
    /// In a chunk-size line, with the digits read so far.
    Size {
        value: u64,
        digits: u8,
    },
    /// In a chunk extension.
    Extension {
        value: u64,
    },
    /// After the CR of a chunk-size line.
    SizeLf {
        value: u64,
    },
    /// This many bytes of a chunk remain.
    Data(u64),
    /// At the CR, then the LF, after a chunk's data.
    DataCr,
    DataLf,
    /// At the start of a line after the last chunk, within one, at its LF, and at the LF that ends the body.
    TrailerStart,
    Trailer,
    TrailerLf,
    EndLf,
}

impl BodyReader {
    pub(crate) fn length(bytes: u64) -> BodyReader {
        BodyReader { state: State::Length(bytes), line: 0 }
    }

    pub(crate) fn chunked() -> BodyReader {
        BodyReader { state: State::Size { value: 0, digits: 0 }, line: 0 }
    }

    /// Takes bytes; see [`BodyStep`].
    pub(crate) fn eat(&mut self, input: &[u8], mut sink: impl FnMut(&[u8])) -> BodyStep {
        let mut at = 0;
        loop {
            match self.state {
                State::Length(left) => {
                    let (taken, rest) = take(input, &mut at, left, &mut sink);
                    self.state = State::Length(left - taken);
                    return if rest == 0 { BodyStep::End(at) } else { BodyStep::More };
                }
                State::Data(left) => {
                    let (taken, rest) = take(input, &mut at, left, &mut sink);
                    self.state = if rest == 0 { State::DataCr } else { State::Data(left - taken) };
                    if rest > 0 {
                        return BodyStep::More;
                    }
                }
                _ => {
                    let Some(&byte) = input.get(at) else { return BodyStep::More };
                    at += 1;
                    match self.state.after(byte) {
                        Ok(Some(next)) => self.enter(next),
                        Ok(None) => return BodyStep::End(at),
                        Err(why) => return BodyStep::Malformed(why),
                    }
                    if self.line > limits::CHUNK_LINE_MAX {
                        return BodyStep::Malformed("a chunk-size line or trailer section is too long");
                    }
                }
            }
        }
    }

    fn enter(&mut self, next: State) {
        self.line =
            if matches!(next, State::Data(_) | State::DataCr | State::DataLf) { 0 } else { self.line + 1 };
        self.state = next;
    }
}

impl State {
    /// The state after one byte of framing; `None` ends the body.
    fn after(self, byte: u8) -> Result<Option<State>, &'static str> {
        let next = match (self, byte) {
            (State::Size { digits: 0, .. }, b'\r' | b';' | b' ') => return Err("a chunk has no size"),
            (State::Size { value, .. }, b'\r') | (State::Extension { value }, b'\r') => {
                State::SizeLf { value }
            }
            (State::Size { value, .. }, b';') => State::Extension { value },
            (State::Size { digits: 15.., .. }, _) => return Err("a chunk size is too large"),
            (State::Size { value, digits }, _) => match (byte as char).to_digit(16) {
                Some(digit) => State::Size { value: value * 16 + u64::from(digit), digits: digits + 1 },
                None => return Err("a chunk size is not hexadecimal"),
            },
            (State::Extension { .. }, b'\n') => return Err("a chunk-size line ends with a bare LF"),
            (State::Extension { value }, _) => State::Extension { value },
            (State::SizeLf { value: 0 }, b'\n') => State::TrailerStart,
            (State::SizeLf { value }, b'\n') => State::Data(value),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size { value: 0, digits: 0 },
            (State::TrailerStart, b'\r') => State::EndLf,
            (State::TrailerStart | State::Trailer, b'\n') => {
                return Err("a trailer line ends with a bare LF");
            }
            (State::Trailer, b'\r') => State::TrailerLf,
            (State::TrailerStart | State::Trailer, _) => State::Trailer,
            (State::TrailerLf, b'\n') => State::TrailerStart,
            (State::EndLf, b'\n') => return Ok(None),
            _ => return Err("a chunk does not end with CR LF"),
        };
        Ok(Some(next))
    }
}

/// Hands over up to `left` bytes from `at`; returns how many, and how many are still missing.
fn take(input: &[u8], at: &mut usize, left: u64, sink: &mut impl FnMut(&[u8])) -> (u64, u64) {
    let there = input.get(*at..).unwrap_or_default();
    let taken = there.len().min(usize::try_from(left).unwrap_or(usize::MAX));
    sink(&there[..taken]);
    *at += taken;
    (taken as u64, left - taken as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and what follows it, or why it is malformed, when the bytes arrive cut at `cuts`.
    fn read(mut reader: BodyReader, pieces: &[&[u8]]) -> Result<(Vec<u8>, Vec<u8>), &'static str> {
        let mut body = Vec::new();
        for (index, piece) in pieces.iter().enumerate() {
            match reader.eat(piece, |bytes| body.extend_from_slice(bytes)) {
                BodyStep::More => {}
                BodyStep::End(used) => {
                    let mut rest = piece[used..].to_vec();
                    pieces[index + 1..].iter().for_each(|later| rest.extend_from_slice(later));
                    return Ok((body, rest));
                }
                BodyStep::Malformed(why) => return Err(why),
            }
        }
        Err("unfinished")
    }

    const GOOD: &[(&str, &str, &str)] = &[
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\nGET / ", "hello world", "GET / "),
        ("A;name=value\r\n0123456789\r\n00\r\n\r\n", "0123456789", ""),
        ("1\r\n\n\r\n0\r\nexpires: never\r\nx: y\r\n\r\n0", "\n", "0"),
        ("0\r\n\r\n", "", ""),
    ];

    const BAD: &[&str] = &[
        "\r\n",
        "g\r\n",
        "-1\r\n",
        " 5\r\nhello",
        "0x5\r\nhello",
        "5\nhello",
        "5\r\nhelloX",
        "5\r\nhello\rX",
        "5\r\nhello\n0",
        "5;a\nhello",
        "1000000000000000\r\n",
        "0\r\n\n",
        "0\r\na: b\n\r\n",
    ];

    #[test]
    fn chunked_bodies_in_any_pieces() {
        for (text, body, rest) in GOOD {
            let bytes = text.as_bytes();
            let expected = Ok((body.as_bytes().to_vec(), rest.as_bytes().to_vec()));
            assert_eq!(read(BodyReader::chunked(), &[bytes]), expected, "{text:?}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(read(BodyReader::chunked(), &single), expected, "{text:?} byte by byte");
            for cut in 0..=bytes.len() {
                let (a, b) = bytes.split_at(cut);
                assert_eq!(read(BodyReader::chunked(), &[a, b]), expected, "{text:?} cut at {cut}");
            }
        }
    }

    #[test]
    fn broken_chunks_in_any_pieces() {
        for text in BAD {
            let bytes = text.as_bytes();
            let whole = read(BodyReader::chunked(), &[bytes]).unwrap_err();
            assert_ne!(whole, "unfinished", "{text:?}");
            for cut in 0..=bytes.len() {
                let (a, b) = bytes.split_at(cut);
                assert_eq!(read(BodyReader::chunked(), &[a, b]), Err(whole), "{text:?} cut at {cut}");
            }
        }
        let long = format!("5;{}", "x".repeat(limits::CHUNK_LINE_MAX));
        assert_eq!(
            read(BodyReader::chunked(), &[long.as_bytes()]),
            Err("a chunk-size line or trailer section is too long")
        );
    }

    #[test]
    fn counted_bodies() {
        for cut in 0..=8 {
            let (a, b) = b"hello...".split_at(cut);
            assert_eq!(read(BodyReader::length(5), &[a, b]), Ok((b"hello".to_vec(), b"...".to_vec())));
        }
        assert_eq!(read(BodyReader::length(0), &[b""]), Ok((vec![], vec![])));
    }
}
