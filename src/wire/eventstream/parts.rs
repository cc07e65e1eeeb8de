use super::{Fault, Head};

/// A piece of a stream, see [`Parts::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// A message begins.
    Head(Head<'a>),
    /// A piece of its payload, never empty; a payload may come in several, or in none.
    Payload(&'a [u8]),
    /// The message is complete, and its checksum is right. What came of a message that has no such end is not to be
    /// relied upon.
    End,
}

/// Splits a stream into [`Part`]s.
///
/// Call [`next`](Parts::next) with each piece of input until it gives `None`, then with the next piece. Payload is not
/// copied, nor are heads that lie within one piece; room for those that do not is kept for the next one.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    state: State,
    hold: Hold,
    /// The checksum of the message so far.
    checksum: u32,
}

/// Headers of a message may be this long: the specification's own bound, 128 KiB.
pub const HEADERS_BYTES_MAX: usize = 128 << 10;

/// What comes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Prelude,
    Headers {
        bytes: usize,
        payload: usize,
    },
    /// So many bytes of payload more.
    Payload(usize),
    Checksum,
    Failed(Fault),
}

/// A [`Part`], with the headers as they stand.
pub(super) enum Step<'a> {
    Head { block: &'a [u8], head: Head<'a> },
    Payload(&'a [u8]),
    End,
}

impl Parts {
    /// A splitter at the start of a stream.
    pub fn new() -> Parts {
        Parts::default()
    }

    /// The next part of `input`, which is moved behind it; `None` when `input` is used up.
    ///
    /// # Errors
    /// See [`Fault`]. It is repeated by every further call.
    pub fn next<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Part<'a>>, Fault> {
        Ok(self.step(input)?.map(|step| match step {
            Step::Head { head, .. } => Part::Head(head),
            Step::Payload(piece) => Part::Payload(piece),
            Step::End => Part::End,
        }))
    }

    /// The stream ended: whether it ended between two messages.
    ///
    /// # Errors
    /// [`Fault::Truncated`] when it did not; the fault that [`next`](Parts::next) gave, if it did.
    pub fn end(&self) -> Result<(), Fault> {
        match self.state {
            State::Prelude if self.hold.is_empty() => Ok(()),
            State::Failed(fault) => Err(fault),
            _ => Err(Fault::Truncated),
        }
    }

    /// Refuses to read on, for a reason of the caller's.
    pub(super) fn fail(&mut self, fault: Fault) -> Fault {
        self.state = State::Failed(fault);
        fault
    }

    pub(super) fn step<'a, 'i: 'a>(&'a mut self, input: &mut &'i [u8]) -> Result<Option<Step<'a>>, Fault> {
        loop {
            match self.state {
                State::Prelude => {
                    let Some(prelude) = self.hold.take(PRELUDE_BYTES, input) else { return Ok(None) };
                    self.checksum = crc(0, prelude);
                    self.state = lengths(prelude).unwrap_or_else(State::Failed);
                }
                State::Headers { bytes, payload } => {
                    let Some(block) = self.hold.take(bytes, input) else { return Ok(None) };
                    self.checksum = crc(self.checksum, block);
                    let head = Head::read(block, payload);
                    self.state = head.map_or_else(State::Failed, |_| after_payload(payload));
                    return Ok(Some(Step::Head { block, head: head? }));
                }
                State::Payload(left) => {
                    let (piece, rest) = input.split_at(left.min(input.len()));
                    if piece.is_empty() {
                        return Ok(None);
                    }
                    *input = rest;
                    self.checksum = crc(self.checksum, piece);
                    self.state = after_payload(left - piece.len());
                    return Ok(Some(Step::Payload(piece)));
                }
                State::Checksum => {
                    let Some(stated) = self.hold.take(CHECKSUM_BYTES, input) else { return Ok(None) };
                    let is_right = stated == self.checksum.to_be_bytes();
                    self.state = if is_right { State::Prelude } else { State::Failed(Fault::Checksum) };
                    if is_right {
                        return Ok(Some(Step::End));
                    }
                }
                State::Failed(fault) => return Err(fault),
            }
        }
    }
}

const PRELUDE_BYTES: usize = 12;
const CHECKSUM_BYTES: usize = 4;
/// Bytes of a message beside headers and payload.
const FRAME_BYTES: usize = PRELUDE_BYTES + CHECKSUM_BYTES;

/// What follows a prelude. Lengths are not believed before their checksum is right.
fn lengths(prelude: &[u8]) -> Result<State, Fault> {
    let (lengths, checksum) = prelude.split_last_chunk().ok_or(Fault::Lengths)?;
    if crc(0, lengths) != u32::from_be_bytes(*checksum) {
        return Err(Fault::PreludeChecksum);
    }
    let (lengths, _) = lengths.as_chunks::<4>();
    let &[total, headers] = lengths else { return Err(Fault::Lengths) };
    let [total, headers] = [total, headers].map(|length| u32::from_be_bytes(length) as usize);
    let payload = total.checked_sub(FRAME_BYTES).and_then(|both| both.checked_sub(headers));
    match payload {
        None => Err(Fault::Lengths),
        Some(_) if headers > HEADERS_BYTES_MAX => Err(Fault::HeadersTooLong),
        Some(payload) => Ok(State::Headers { bytes: headers, payload }),
    }
}

fn after_payload(left: usize) -> State {
    if left == 0 { State::Checksum } else { State::Payload(left) }
}

/// CRC-32 as in gzip, going on from `start`.
fn crc(start: u32, bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(start);
    hasher.update(bytes);
    hasher.finalize()
}

/// Keeps the beginning of what is needed whole and was cut.
#[derive(Clone, Debug, Default)]
struct Hold {
    bytes: Vec<u8>,
    /// The bytes were given out.
    used: bool,
}

impl Hold {
    /// The next `len` bytes, copied only if a piece of input ended within them; `input` is moved behind them. `None`
    /// when it is used up before.
    fn take<'a, 'i: 'a>(&'a mut self, len: usize, input: &mut &'i [u8]) -> Option<&'a [u8]> {
        if std::mem::take(&mut self.used) {
            self.bytes.clear();
        }
        if self.bytes.is_empty()
            && let Some((whole, rest)) = input.split_at_checked(len)
        {
            *input = rest;
            return Some(whole);
        }
        let missing = len.saturating_sub(self.bytes.len());
        let (part, rest) = input.split_at(missing.min(input.len()));
        self.bytes.extend_from_slice(part);
        *input = rest;
        self.used = self.bytes.len() == len;
        self.used.then_some(&self.bytes)
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() || self.used
    }
}
