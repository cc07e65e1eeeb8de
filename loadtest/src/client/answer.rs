//! Answers of HTTP/1.1 as a value that eats bytes, cut anywhere.

use super::{HEAD_BYTES_MAX, HEADERS_MAX};

/// Reads one answer after another. [`Reader::next`] takes bytes from the front of what it is given and says what they
/// are, until it wants more.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    place: Place,
    /// The beginning of a head or a line whose end has not come.
    held: Vec<u8>,
}

/// Where in an answer it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Head,
    /// So many bytes of the body are to come.
    Length(u64),
    ChunkSize,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    /// The end of the connection is the end of the body.
    UntilEnd,
    /// The end is to be told.
    End,
}

/// A part of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    Head(Head),
    Body(&'a [u8]),
    /// The answer is complete.
    End,
}

/// What a head says that matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// `text/event-stream`.
    pub(crate) events: bool,
    /// Another request may follow on the connection.
    pub(crate) keeps: bool,
    /// The number that the simulator gave the request, as it is written.
    pub(crate) number: Option<[u8; 10]>,
    length: Option<u64>,
    chunked: bool,
}

/// Not an answer of HTTP/1.1: why.
pub(crate) type Malformed = &'static str;

impl Reader {
    /// The next part of the answer; `None` when `bytes` are used up.
    pub(crate) fn next<'a>(&mut self, bytes: &mut &'a [u8]) -> Result<Option<Piece<'a>>, Malformed> {
        loop {
            if self.place == Place::End {
                self.place = Place::Head;
                return Ok(Some(Piece::End));
            }
            if bytes.is_empty() {
                return Ok(None);
            }
            match self.place {
                Place::Head => match self.head(bytes)? {
                    Some(head) if head.status >= 200 => return Ok(Some(Piece::Head(head))),
                    Some(_) => {} // an interim answer
                    None => return Ok(None),
                },
                Place::Length(left) => {
                    let piece = take(bytes, left);
                    self.place = match left - piece.len() as u64 {
                        0 => Place::End,
                        left => Place::Length(left),
                    };
                    return Ok(Some(Piece::Body(piece)));
                }
                Place::Chunk(left) => {
                    let piece = take(bytes, left);
                    self.place = match left - piece.len() as u64 {
                        0 => Place::ChunkEnd,
                        left => Place::Chunk(left),
                    };
                    return Ok(Some(Piece::Body(piece)));
                }
                Place::ChunkSize | Place::ChunkEnd | Place::Trailer => {
                    if !self.line(bytes)? {
                        return Ok(None);
                    }
                }
                Place::UntilEnd => return Ok(Some(Piece::Body(std::mem::take(bytes)))),
                Place::End => {}
            }
        }
    }

    /// The connection has ended: was that the end of the answer?
    pub(crate) fn ended(&self) -> bool {
        self.place == Place::UntilEnd
    }

    /// Nothing of an answer has come yet.
    pub(crate) fn is_fresh(&self) -> bool {
        self.place == Place::Head && self.held.is_empty()
    }

    fn head(&mut self, bytes: &mut &[u8]) -> Result<Option<Head>, Malformed> {
        let before = self.held.len();
        let parsed = if before == 0 {
            parse(bytes)?
        } else {
            self.held.extend_from_slice(bytes);
            parse(&self.held)?
        };
        match parsed {
            Some((head, length)) => {
                *bytes = &bytes[length - before..];
                self.held.clear();
                self.place = head.body();
                Ok(Some(head))
            }
            None => {
                if before == 0 {
                    self.held.extend_from_slice(bytes);
                }
                *bytes = &[];
                if self.held.len() > HEAD_BYTES_MAX { Err("its head is too long") } else { Ok(None) }
            }
        }
    }

    /// Reads a line of the chunked framing; false when its end has not come.
    fn line(&mut self, bytes: &mut &[u8]) -> Result<bool, Malformed> {
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.held.extend_from_slice(bytes);
            *bytes = &[];
            return if self.held.len() > HEAD_BYTES_MAX {
                Err("a line of its chunks is too long")
            } else {
                Ok(false)
            };
        };
        let (line, rest) = bytes.split_at(end + 1);
        *bytes = rest;
        if self.held.is_empty() {
            self.place = after_line(self.place, line)?;
        } else {
            self.held.extend_from_slice(line);
            self.place = after_line(self.place, &self.held)?;
            self.held.clear();
        }
        Ok(true)
    }
}

impl Head {
    /// How the body is framed (RFC 9112, section 6.3), for answers to POST.
    fn body(&self) -> Place {
        match (self.status, self.chunked, self.length) {
            (100..=199, ..) => Place::Head,
            (204 | 304, ..) | (_, false, Some(0)) => Place::End,
            (_, true, _) => Place::ChunkSize,
            (_, false, Some(length)) => Place::Length(length),
            (_, false, None) => Place::UntilEnd,
        }
    }
}

/// A head and its length, if it is there to its end.
fn parse(bytes: &[u8]) -> Result<Option<(Head, usize)>, Malformed> {
    let mut lines = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut lines);
    let length = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(_) => return Err("its head is not HTTP/1.1"),
    };
    let mut head =
        Head { status: parsed.code.unwrap_or(0), keeps: parsed.version == Some(1), ..Head::default() };
    for line in parsed.headers.iter() {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        let text = || std::str::from_utf8(line.value).unwrap_or_default().trim();
        if is("content-length") {
            head.length = Some(text().parse().map_err(|_| "its content-length is no number")?);
        } else if is("transfer-encoding") {
            head.chunked = text().eq_ignore_ascii_case("chunked");
        } else if is("content-type") {
            head.events = text().starts_with("text/event-stream");
        } else if is("connection") {
            head.keeps &= !text().eq_ignore_ascii_case("close");
        } else if is("x-sim-request") {
            head.number = line.value.try_into().ok();
        }
    }
    head.keeps &= head.body() != Place::UntilEnd;
    Ok(Some((head, length)))
}

/// The place behind a line of the chunked framing.
fn after_line(place: Place, line: &[u8]) -> Result<Place, Malformed> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match place {
        Place::ChunkSize => {
            let size = line.split(|&byte| byte == b';').next().unwrap_or_default();
            let size = std::str::from_utf8(size).unwrap_or_default().trim();
            match u64::from_str_radix(size, 16) {
                Ok(0) => Ok(Place::Trailer),
                Ok(size) => Ok(Place::Chunk(size)),
                Err(_) => Err("the size of a chunk is no number"),
            }
        }
        Place::ChunkEnd if line.is_empty() => Ok(Place::ChunkSize),
        Place::ChunkEnd => Err("a chunk is longer than its size"),
        _ if line.is_empty() => Ok(Place::End),
        _ => Ok(Place::Trailer),
    }
}

/// Takes up to `most` bytes from the front.
fn take<'a>(bytes: &mut &'a [u8], most: u64) -> &'a [u8] {
    let count = usize::try_from(most).map_or(bytes.len(), |most| most.min(bytes.len()));
    let (piece, rest) = bytes.split_at(count);
    *bytes = rest;
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A head, its body, and whether it came to its end.
    type Found = (Option<Head>, Vec<u8>, bool);

    /// All answers of `wire`, given in pieces of `size` bytes.
    fn read(wire: &[u8], size: usize) -> Result<Vec<Found>, Malformed> {
        let mut reader = Reader::default();
        let mut answers: Vec<Found> = Vec::new();
        for piece in wire.chunks(size) {
            let mut bytes = piece;
            while let Some(part) = reader.next(&mut bytes)? {
                match (part, answers.last_mut()) {
                    (Piece::Head(head), _) => answers.push((Some(head), Vec::new(), false)),
                    (Piece::Body(body), Some(last)) => last.1.extend_from_slice(body),
                    (Piece::End, Some(last)) => last.2 = true,
                    (_, None) => panic!("a body without a head"),
                }
            }
        }
        Ok(answers)
    }

    #[test]
    fn answers_cut_anywhere() {
        let rows: [(&str, u16, &str, bool, bool); 6] = [
            ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, "hello", true, true),
            ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, "", true, true),
            (
                "HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 429 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno",
                429,
                "no",
                true,
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\na;x=y\r\n, world of\r\n0\r\nx: y\r\n\r\n",
                200,
                "hello, world of",
                true,
                true,
            ),
            ("HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, "until the end", false, false),
            ("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", 200, "half", false, true),
        ];
        for (wire, status, body, complete, keeps) in rows {
            for size in 1..=wire.len() {
                let answers = read(wire.as_bytes(), size).unwrap();
                let [(Some(head), found, ended)] = &answers[..] else { panic!("{wire}: {answers:?}") };
                assert_eq!((head.status, head.keeps, *ended), (status, keeps, complete), "{wire} by {size}");
                assert_eq!(found, body.as_bytes(), "{wire} by {size}");
            }
        }
        let two = "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nx-sim-request: 0000000007\r\n\r\na".repeat(2);
        let answers = read(two.as_bytes(), 7).unwrap();
        assert_eq!(answers.len(), 2);
        assert!(
            answers.iter().all(|(head, _, ended)| *ended && head.unwrap().number == Some(*b"0000000007"))
        );
    }

    #[test]
    fn what_is_no_answer_is_told() {
        for wire in [
            "nonsense\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nab\r\n",
        ] {
            assert!(read(wire.as_bytes(), 3).is_err() && read(wire.as_bytes(), 99).is_err(), "{wire}");
        }
        let endless = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'y'; HEAD_BYTES_MAX + 99]].concat();
        assert!(read(&endless, 1000).is_err());
    }
}
