use super::Framing;
use super::extension::Extension;
use super::strictness::BODIES;
use super::trailers::Trailers;
use crate::base::Span;

/// Reads one message's body out of the bytes that follow its head, however they were cut.
///
/// Give [`read`](BodyReader::read) what has arrived and not been consumed; it says which of it is payload and
/// how far it went. When the transport closes, tell it by [`end_of_stream`](BodyReader::end_of_stream). After
/// `done`, bytes that are not consumed belong to the next message. After a fault it repeats that fault.
#[derive(Clone, Debug)]
pub struct BodyReader {
    state: State,
    /// Payload bytes that may still be announced or come.
    room: u64,
    /// Bytes of chunk extensions that may still come.
    extension_room: u64,
    limits: ChunkLimits,
    trailers: Trailers,
}

/// What a chunked body may cost beside its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkLimits {
    /// Bytes of all chunk extensions, and as many more as there is payload between them.
    pub extension_bytes: u32,
    /// Trailer lines, also those that are dropped.
    pub trailers: u32,
    /// Bytes of all trailer lines, with the empty line after them.
    pub trailer_bytes: u32,
}

impl Default for ChunkLimits {
    /// 4 KiB of extensions, 32 trailers of 8 KiB in all.
    fn default() -> ChunkLimits {
        ChunkLimits { extension_bytes: 4 << 10, trailers: 32, trailer_bytes: 8 << 10 }
    }
}

/// How far [`BodyReader::read`] went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the input that are dealt with; all of them unless the body ended before.
    pub consumed: usize,
    /// Whether the body is complete, with its trailers.
    pub done: bool,
}

/// Why a body is refused. The rules of the chunked coding stand here at length; the table of them, with sources and
/// answers, is [`BODIES`](super::strictness::BODIES).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BodyFault {
    /// The body is, or says it will be, longer than the limit (RFC 9110 section 15.5.14).
    TooLarge,
    /// A chunk size that is not 1*HEXDIG, or has more than 16 of them (RFC 9112 section 7.1: "MUST anticipate
    /// potentially large hexadecimal numerals and prevent parsing errors due to integer conversion
    /// overflows").
    ChunkSize,
    /// Whitespace after a size that no extension follows, an extension that is not `;name`, `;name=value` or
    /// `;name="value"` (an open quote, a control byte), or a line of a size that does not end in CRLF. Servers that end
    /// it at a bare LF, or take anything up to CRLF, can be made to see other chunks than we do.
    ChunkExtension,
    /// More extensions than [`ChunkLimits`] allow, which payload did not make up for (RFC 9112 section 7.1.1: "ought to
    /// limit the total length of chunk extensions").
    ExtensionsTooLarge,
    /// The data of a chunk is not followed by CRLF (RFC 9112 section 7.1).
    ChunkEnd,
    /// A trailer line that is no header line; the rules are those of heads.
    Trailer,
    /// More trailers, or more bytes of them, than [`ChunkLimits`] allow.
    TrailersTooLarge,
    /// The transport closed before the end (RFC 9112 section 8).
    Truncated,
}

impl BodyFault {
    /// The status to refuse a request with: 400 or 413.
    pub const fn status(self) -> u16 {
        BODIES[self as usize].status
    }

    /// What is wrong, for a person.
    pub const fn reason(self) -> &'static str {
        BODIES[self as usize].reason
    }
}

impl std::fmt::Display for BodyFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for BodyFault {}

/// 16 digits are 64 bits.
const SIZE_DIGITS_MAX: u8 = 16;

/// What the next byte is. Sizes ride along until the line that gives them has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Payload of a body with a length, so many bytes more.
    Counted(u64),
    /// Payload until the transport closes.
    UntilClose,
    /// A digit of a chunk's size, or what ends it.
    Size {
        size: u64,
        digits: u8,
    },
    /// Whitespace before the `;` of an extension.
    Blank(u64),
    /// A byte of an extension.
    Extension(u64, Extension),
    /// The LF of the line with the size.
    SizeLf(u64),
    /// Payload of a chunk, so many bytes more.
    Chunk(u64),
    /// The CR after a chunk's payload.
    ChunkCr,
    /// The LF after a chunk's payload.
    ChunkLf,
    /// The trailer section, with the empty line that ends it.
    Trailers,
    Done,
    Failed(BodyFault),
}

/// What a step made of the bytes it was given.
enum Step {
    Payload(usize),
    Frame(usize),
}

impl BodyReader {
    /// Ready for a body that is framed so and has at most `max_body_bytes` of payload, and as much beside it as is usual.
    ///
    /// # Errors
    /// [`BodyFault::TooLarge`] at once, when the length is known to exceed the limit: then a client that
    /// waits for `100 Continue` need not send it.
    pub fn new(framing: Framing, max_body_bytes: u64) -> Result<BodyReader, BodyFault> {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(length) if length > max_body_bytes => return Err(BodyFault::TooLarge),
            Framing::Length(length) => State::Counted(length),
            Framing::Chunked => State::Size { size: 0, digits: 0 },
            Framing::UntilClose => State::UntilClose,
        };
        let limits = ChunkLimits::default();
        let (room, extension_room) = (max_body_bytes, limits.extension_bytes.into());
        Ok(BodyReader { state, room, extension_room, limits, trailers: Trailers::default() })
    }

    /// With other limits. It has read nothing yet.
    #[must_use]
    pub fn held_to(mut self, limits: ChunkLimits) -> BodyReader {
        (self.limits, self.extension_room) = (limits, limits.extension_bytes.into());
        self
    }

    /// Eats from `input`, and calls `data` with the spans of it that are payload, in order, none empty.
    ///
    /// # Errors
    /// See [`BodyFault`]. What `data` was given before the fault is payload that came before it.
    pub fn read(&mut self, input: &[u8], mut data: impl FnMut(Span)) -> Result<Progress, BodyFault> {
        let mut consumed = 0;
        while consumed < input.len() && self.state != State::Done {
            match self.step(&input[consumed..]) {
                Ok(Step::Frame(len)) => consumed += len,
                Ok(Step::Payload(len)) => {
                    data(Span::new(consumed, consumed + len));
                    consumed += len;
                }
                Err(fault) => {
                    self.state = State::Failed(fault);
                    return Err(fault);
                }
            }
        }
        match self.state {
            State::Failed(fault) => Err(fault),
            state => Ok(Progress { consumed, done: state == State::Done }),
        }
    }

    /// The transport closed: the good end of a body that lasts until then.
    ///
    /// # Errors
    /// [`BodyFault::Truncated`] when the body should have gone on; the fault that [`read`](BodyReader::read)
    /// gave, if it did.
    pub fn end_of_stream(&mut self) -> Result<(), BodyFault> {
        self.state = match self.state {
            State::Done | State::UntilClose => State::Done,
            State::Failed(fault) => State::Failed(fault),
            _ => State::Failed(BodyFault::Truncated),
        };
        match self.state {
            State::Failed(fault) => Err(fault),
            _ => Ok(()),
        }
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// The trailer lines that may be forwarded, each `name: value CRLF`. There are none before the end.
    ///
    /// Left out are those that a recipient must not merge into what it decided by the head (RFC 9110 section
    /// 6.5.1): framing, routing, credentials, whatever tollgate acts upon.
    pub fn trailers(&self) -> &[u8] {
        if self.is_done() { self.trailers.lines() } else { &[] }
    }

    /// `input` is never empty, and the step eats at least one byte of it.
    fn step(&mut self, input: &[u8]) -> Result<Step, BodyFault> {
        let first = input.first().copied().unwrap_or_default();
        match self.state {
            State::Counted(left) => Ok(self.payload(input, left, State::Counted, State::Done)),
            State::Chunk(left) => Ok(self.payload(input, left, State::Chunk, State::ChunkCr)),
            State::UntilClose => self.unbounded(input),
            State::Size { size, digits } => self.size(input, size, digits),
            State::Blank(size) => self.blank(first, size),
            State::Extension(size, at) => self.extension(input, size, at),
            State::SizeLf(size) if first == b'\n' => self.begin_chunk(size),
            State::SizeLf(_) => Err(BodyFault::ChunkExtension),
            State::ChunkCr if first == b'\r' => Ok(self.go(State::ChunkLf, 1)),
            State::ChunkLf if first == b'\n' => Ok(self.go(State::Size { size: 0, digits: 0 }, 1)),
            State::ChunkCr | State::ChunkLf => Err(BodyFault::ChunkEnd),
            State::Trailers => self.trailer(input),
            State::Done => Ok(Step::Frame(input.len())),
            State::Failed(fault) => Err(fault),
        }
    }

    fn go(&mut self, state: State, len: usize) -> Step {
        self.state = state;
        Step::Frame(len)
    }

    fn payload(&mut self, input: &[u8], left: u64, more: fn(u64) -> State, after: State) -> Step {
        let len = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let left = left - len as u64;
        self.state = if left == 0 { after } else { more(left) };
        Step::Payload(len)
    }

    fn unbounded(&mut self, input: &[u8]) -> Result<Step, BodyFault> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        if room == 0 {
            return Err(BodyFault::TooLarge);
        }
        let len = room.min(input.len());
        self.room -= len as u64;
        Ok(Step::Payload(len))
    }

    fn size(&mut self, input: &[u8], size: u64, digits: u8) -> Result<Step, BodyFault> {
        let (mut size, mut digits) = (size, digits);
        for (at, byte) in input.iter().enumerate() {
            if let Some(digit) = char::from(*byte).to_digit(16) {
                if digits == SIZE_DIGITS_MAX {
                    return Err(BodyFault::ChunkSize);
                }
                size = size << 4 | u64::from(digit);
                digits += 1;
                continue;
            }
            let next = match byte {
                _ if digits == 0 => return Err(BodyFault::ChunkSize),
                b'\r' => State::SizeLf(size),
                b';' => State::Extension(size, Extension::Start),
                b' ' | b'\t' => State::Blank(size),
                _ => return Err(BodyFault::ChunkSize),
            };
            return Ok(self.go(next, at + 1));
        }
        Ok(self.go(State::Size { size, digits }, input.len()))
    }

    /// RFC 9112 section 7.1.1 lets "bad whitespace" stand before a `;`, and nowhere else.
    fn blank(&mut self, first: u8, size: u64) -> Result<Step, BodyFault> {
        let next = match first {
            b';' => State::Extension(size, Extension::Start),
            b' ' | b'\t' => State::Blank(size),
            _ => return Err(BodyFault::ChunkExtension),
        };
        self.spend_extension(1)?;
        Ok(self.go(next, 1))
    }

    /// Extensions are dropped ("A recipient MUST ignore unrecognized chunk extensions"): up to the CR.
    fn extension(&mut self, input: &[u8], size: u64, mut at: Extension) -> Result<Step, BodyFault> {
        for (len, byte) in input.iter().enumerate() {
            if *byte == b'\r' && at.may_end() {
                return Ok(self.go(State::SizeLf(size), len + 1));
            }
            at = at.behind(*byte).ok_or(BodyFault::ChunkExtension)?;
            self.spend_extension(1)?;
        }
        Ok(self.go(State::Extension(size, at), input.len()))
    }

    fn spend_extension(&mut self, len: u64) -> Result<(), BodyFault> {
        self.extension_room = self.extension_room.checked_sub(len).ok_or(BodyFault::ExtensionsTooLarge)?;
        Ok(())
    }

    fn begin_chunk(&mut self, size: u64) -> Result<Step, BodyFault> {
        self.room = self.room.checked_sub(size).ok_or(BodyFault::TooLarge)?;
        self.extension_room =
            self.extension_room.saturating_add(size).min(self.limits.extension_bytes.into());
        Ok(self.go(if size == 0 { State::Trailers } else { State::Chunk(size) }, 1))
    }

    fn trailer(&mut self, input: &[u8]) -> Result<Step, BodyFault> {
        let (len, is_end) = self.trailers.read(input, &self.limits)?;
        Ok(self.go(if is_end { State::Done } else { State::Trailers }, len))
    }
}
