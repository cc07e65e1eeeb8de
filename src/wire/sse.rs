//! Server-Sent Events (WHATWG HTML, section 9.2 "Server-sent events"): reading and writing a stream of them.
//!
//! * [`Parts`] splits a stream into the pieces that matter, copies nothing and has no bound to hit.
//! * [`Reader`] puts the pieces together to whole events, with a bound on their size.
//! * [`write()`] appends an event to a buffer.

use memchr::memchr2;

/// A piece of a stream, see [`Parts::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'i> {
    /// An `event` field begins; what follows replaces the event's name.
    Name,
    /// A `data` field begins; what follows is another line of the event's data.
    Data,
    /// A piece of the value of the field that began last; a value may come in several, or in none.
    Value(&'i [u8]),
    /// A blank line. It ends an event if there was any `data` field (section 9.2.6), else it ends nothing.
    Blank,
}

/// Splits a stream into [`Part`]s: lines that end in CR, LF or CRLF, comments and other fields left out.
///
/// Resumes at any byte and keeps none but the beginning of a field's name.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    state: State,
    /// The last byte was a CR that ended a line: an LF right after it belongs to it.
    after_cr: bool,
    /// The field's name so far.
    name: arrayvec::ArrayVec<u8, 5>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Before anything but so many bytes of a byte order mark.
    #[default]
    Start,
    Bom(u8),
    LineStart,
    FieldName,
    /// After the colon: one space belongs to it.
    Colon,
    Value,
    /// In a line that is not for us.
    Skip,
}

impl Parts {
    /// A splitter at the start of a stream.
    pub fn new() -> Parts {
        Parts::default()
    }

    /// The next part of `input`, which is moved behind it; `None` when `input` is used up.
    #[inline]
    pub fn next<'i>(&mut self, input: &mut &'i [u8]) -> Option<Part<'i>> {
        loop {
            let (&byte, after) = input.split_first()?;
            match self.state {
                State::Start if byte == BOM[0] => {
                    self.state = State::Bom(1);
                    *input = after;
                }
                State::Start => self.state = State::LineStart,
                State::Bom(seen) => match (seen, byte) {
                    (1, 0xbb) => {
                        self.state = State::Bom(2);
                        *input = after;
                    }
                    (2, 0xbf) => {
                        self.state = State::LineStart;
                        *input = after;
                    }
                    _ => self.state = State::Skip, // no mark: the line's name begins with its bytes
                },
                State::LineStart => {
                    if std::mem::take(&mut self.after_cr) && byte == b'\n' {
                        *input = after;
                    } else if byte == b'\n' || byte == b'\r' {
                        self.end_line(input);
                        return Some(Part::Blank);
                    } else if let Some(value) = input.strip_prefix(b"data:") {
                        self.state = State::Colon;
                        *input = value;
                        return Some(Part::Data);
                    } else {
                        self.name.clear();
                        self.state = State::FieldName;
                    }
                }
                State::FieldName => {
                    if let Some(part) = self.field_name(byte, input) {
                        return Some(part);
                    }
                }
                State::Colon => {
                    self.state = State::Value;
                    *input = input.strip_prefix(b" ").unwrap_or(input);
                }
                State::Value => {
                    let line = memchr2(b'\n', b'\r', input).unwrap_or(input.len());
                    let (value, rest) = input.split_at(line);
                    *input = rest;
                    if !value.is_empty() {
                        return Some(Part::Value(value));
                    }
                    self.end_line(input);
                }
                State::Skip => {
                    let line = memchr2(b'\n', b'\r', input).unwrap_or(input.len());
                    *input = input.get(line..).unwrap_or_default();
                    self.end_line(input);
                }
            }
        }
    }

    /// A byte of a field's name, or what ends it; a line without a colon is a name with an empty value.
    fn field_name<'i>(&mut self, byte: u8, input: &mut &'i [u8]) -> Option<Part<'i>> {
        let part = match &self.name[..] {
            b"data" => Some(Part::Data),
            b"event" => Some(Part::Name),
            _ => None,
        };
        match byte {
            b'\n' | b'\r' => {
                self.end_line(input);
                return part;
            }
            b':' if part.is_some() => self.state = State::Colon,
            b':' => self.state = State::Skip,
            _ => {
                if self.name.try_push(byte).is_err() {
                    self.state = State::Skip;
                }
                *input = input.get(1..).unwrap_or_default();
                return None;
            }
        }
        *input = input.get(1..).unwrap_or_default();
        part
    }

    /// Eats the CR or LF that `input` begins with, if it begins with anything.
    fn end_line(&mut self, input: &mut &[u8]) {
        if let Some((&byte, after)) = input.split_first() {
            self.after_cr = byte == b'\r';
            self.state = State::LineStart;
            *input = after;
        }
    }
}

/// An event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The value of the `event` field; empty when there is none, which means "message".
    pub name: &'a [u8],
    /// The values of the `data` fields, joined with LF.
    pub data: &'a [u8],
}

/// An event is larger than the reader's bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl TooLong {
    /// What is wrong, for records.
    pub const fn reason(self) -> &'static str {
        "an event of the stream is too long"
    }
}

/// Reads a stream into whole [`Event`]s.
///
/// Call [`next`](Reader::next) with each piece of input until it gives `None`, then with the next piece. An event that
/// lies within one piece and has one line of data is not copied. What follows the last blank line at the end of a
/// stream is no event (section 9.2.6); [`rest`](Reader::rest) tolerates providers that leave the blank line out.
#[derive(Clone, Debug)]
pub struct Reader {
    parts: Parts,
    name: Vec<u8>,
    data: Vec<u8>,
    /// The field that values belong to is `data`.
    in_data: bool,
    /// `data` fields of the event so far.
    data_lines: usize,
    /// The buffers hold an event that was given out.
    used: bool,
    bytes_max: usize,
}

impl Reader {
    /// A reader whose events have at most `bytes_max` bytes of name and data.
    pub fn new(bytes_max: usize) -> Reader {
        Reader {
            parts: Parts::new(),
            name: Vec::new(),
            data: Vec::new(),
            in_data: false,
            data_lines: 0,
            used: false,
            bytes_max,
        }
    }

    /// Bytes of the buffers that it keeps.
    pub fn held_bytes(&self) -> usize {
        self.name.capacity() + self.data.capacity()
    }

    /// The next event of `input`, which is moved behind it; `None` when `input` is used up.
    ///
    /// # Errors
    /// When an event is larger than the bound. The stream cannot be read further.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Event<'a>>, TooLong> {
        if std::mem::take(&mut self.used) {
            self.forget();
        }
        let (mut name, mut data): (Option<&'i [u8]>, Option<&'i [u8]>) = (None, None);
        let complete = loop {
            match self.parts.next(input) {
                Some(Part::Value(value)) => {
                    let (here, buffer) =
                        if self.in_data { (&mut data, &mut self.data) } else { (&mut name, &mut self.name) };
                    if here.is_none() && buffer.is_empty() && self.data_lines < 2 {
                        *here = Some(value);
                    } else {
                        spill(here, buffer);
                        buffer.extend_from_slice(value);
                    }
                }
                Some(Part::Data) => {
                    if self.data_lines > 0 {
                        spill(&mut data, &mut self.data);
                        self.data.push(b'\n');
                    }
                    self.data_lines += 1;
                    self.in_data = true;
                }
                Some(Part::Name) => {
                    name = None;
                    self.name.clear();
                    self.in_data = false;
                }
                Some(Part::Blank) if self.data_lines == 0 => {
                    name = None;
                    self.name.clear();
                }
                Some(Part::Blank) => break true,
                None => break false,
            }
            let size = self.name.len() + self.data.len() + len(name) + len(data);
            if size > self.bytes_max {
                return Err(TooLong);
            }
        };
        if !complete {
            spill(&mut name, &mut self.name);
            spill(&mut data, &mut self.data);
            return Ok(None);
        }
        self.used = true;
        Ok(Some(Event { name: name.unwrap_or(&self.name), data: data.unwrap_or(&self.data) }))
    }

    /// At the end of the stream: an event that only lacks its blank line.
    pub fn rest(&mut self) -> Option<Event<'_>> {
        (self.data_lines > 0 && !self.used).then_some(Event { name: &self.name, data: &self.data })
    }

    fn forget(&mut self) {
        self.name.clear();
        self.data.clear();
        self.data_lines = 0;
        self.in_data = false;
    }
}

/// Appends an event: an `event` field unless `name` is empty, a `data` field per line of `data`, a blank line.
///
/// `name` must hold no line end.
pub fn write(out: &mut Vec<u8>, name: &str, data: &[u8]) {
    if !name.is_empty() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

const BOM: [u8; 3] = [0xef, 0xbb, 0xbf];

fn spill(here: &mut Option<&[u8]>, buffer: &mut Vec<u8>) {
    if let Some(bytes) = here.take() {
        buffer.extend_from_slice(bytes);
    }
}

fn len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Owned = (String, String);

    fn read<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, bytes_max: usize) -> Result<Vec<Owned>, TooLong> {
        let mut reader = Reader::new(bytes_max);
        let mut events = Vec::new();
        for piece in pieces {
            let mut input = piece;
            while let Some(event) = reader.next(&mut input)? {
                let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                events.push((text(event.name), text(event.data)));
            }
        }
        Ok(events)
    }

    fn read_every_way(stream: &[u8], bytes_max: usize) -> Result<Vec<Owned>, TooLong> {
        let whole = read([stream], bytes_max);
        assert_eq!(read(stream.chunks(1), bytes_max), whole, "byte by byte");
        for first in 0..=stream.len() {
            let (head, tail) = stream.split_at(first);
            assert_eq!(read([head, tail], bytes_max), whole, "split at {first}");
            let (middle, tail) = tail.split_at(tail.len() / 2);
            assert_eq!(read([head, middle, tail], bytes_max), whole, "split at {first} and after");
        }
        whole
    }

    #[test]
    fn events_are_read_as_the_standard_says() {
        let rows: [(&str, &[(&str, &str)]); 21] = [
            ("data: a\n\n", &[("", "a")]),
            ("data:a\n\n", &[("", "a")]),
            ("data:  a\n\n", &[("", " a")]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &[("", "a"), ("", "b")]),
            ("data: a\r\rdata: b\r\r", &[("", "a"), ("", "b")]),
            ("data: a\r\n\ndata: b\n\r\n", &[("", "a"), ("", "b")]),
            ("event: ping\ndata: {}\n\n", &[("ping", "{}")]),
            ("data: {}\nevent: ping\n\n", &[("ping", "{}")]),
            ("event: a\nevent: b\ndata: x\n\n", &[("b", "x")]),
            ("event: a\nevent:\ndata: x\n\n", &[("", "x")]),
            ("event: lost\n\ndata: x\n\n", &[("", "x")]),
            ("data: a\ndata: b\ndata:\ndata: c\n\n", &[("", "a\nb\n\nc")]),
            ("data\n\n", &[("", "")]),
            ("data:\n\n", &[("", "")]),
            ("data\ndata\n\n", &[("", "\n")]),
            (": comment\n\n:\ndata: a\n: more\nid: 7\nretry: 9\n\n", &[("", "a")]),
            ("database: a\nevents: x\ndat: b\nDATA: c\ndata: d\n\n", &[("", "d")]),
            ("\u{feff}data: a\n\n", &[("", "a")]),
            ("\u{feff}\u{feff}data: a\n\ndata: b\n\n", &[("", "b")]),
            ("data: a\n\ndata: unfinished\n", &[("", "a")]),
            ("\n\n\ndata: a: b\n\n\n", &[("", "a: b")]),
        ];
        for (stream, events) in rows {
            let expect: Vec<Owned> = events.iter().map(|(n, d)| ((*n).to_owned(), (*d).to_owned())).collect();
            assert_eq!(read_every_way(stream.as_bytes(), 100), Ok(expect), "{stream:?}");
        }
    }

    #[test]
    fn size_is_bounded_and_comments_are_free() {
        assert_eq!(read_every_way(b"event: ab\ndata: 123\ndata: 56\n\n", 8).map(|e| e.len()), Ok(1));
        assert_eq!(read_every_way(b"event: ab\ndata: 123\ndata: 56\n\n", 7), Err(TooLong));
        assert_eq!(
            read_every_way(b": a long comment\nunknown: field\ndata: 1\n\n", 1).map(|e| e.len()),
            Ok(1)
        );
    }

    #[test]
    fn an_event_within_the_input_is_not_copied() {
        let stream = b"event: e\ndata: abc\n\n".as_slice();
        let (mut reader, mut input) = (Reader::new(10), stream);
        let event = reader.next(&mut input).unwrap().unwrap();
        assert_eq!(event.data.as_ptr(), stream[15..].as_ptr());
        assert_eq!(event.name.as_ptr(), stream[7..].as_ptr());
    }

    #[test]
    fn the_rest_is_an_event_without_its_blank_line() {
        let mut reader = Reader::new(100);
        let mut input: &[u8] = b"data: a\n\ndata: [DONE]\n";
        assert!(reader.next(&mut input).unwrap().is_some());
        assert_eq!(reader.next(&mut input), Ok(None));
        assert_eq!(reader.rest(), Some(Event { name: b"", data: b"[DONE]" }));
        let mut more: &[u8] = b"\n";
        assert!(reader.next(&mut more).unwrap().is_some());
        assert_eq!(reader.rest(), None);
    }

    #[test]
    fn what_is_written_reads_back() {
        let mut out = Vec::new();
        write(&mut out, "", b"[DONE]");
        write(&mut out, "message_stop", b"a\nb");
        assert_eq!(out, b"data: [DONE]\n\nevent: message_stop\ndata: a\ndata: b\n\n");
        let expect = [("", "[DONE]"), ("message_stop", "a\nb")].map(|(n, d)| (n.to_owned(), d.to_owned()));
        assert_eq!(read([&out[..]], 100), Ok(expect.to_vec()));
    }
}
