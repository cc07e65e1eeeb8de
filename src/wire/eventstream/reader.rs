use super::parts::Step;
use super::{Fault, Head, Parts};

/// A whole message, its checksum verified.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it is.
    pub head: Head<'a>,
    /// Its payload, in the reader's own buffer: a decoder may write into it.
    pub payload: &'a mut [u8],
}

/// Reads a stream into whole [`Message`]s.
///
/// Call [`next`](Reader::next) with each piece of input until it gives `None`, then with the next piece. Buffers are
/// kept from message to message.
#[derive(Clone, Debug)]
pub struct Reader {
    parts: Parts,
    headers: Vec<u8>,
    payload: Vec<u8>,
    bytes_max: usize,
}

/// The bound of a reader that nobody gave another, in bytes of headers and payload: 4 MiB. AWS allows 24 MiB of payload.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

impl Default for Reader {
    fn default() -> Reader {
        Reader::new(MESSAGE_BYTES_MAX)
    }
}

impl Reader {
    /// A reader whose messages have at most `bytes_max` bytes of headers and payload.
    pub fn new(bytes_max: usize) -> Reader {
        Reader { parts: Parts::new(), headers: Vec::new(), payload: Vec::new(), bytes_max }
    }

    /// Bytes of the buffers that it keeps.
    pub fn held_bytes(&self) -> usize {
        self.headers.capacity() + self.payload.capacity()
    }

    /// The next message of `input`, which is moved behind it; `None` when `input` is used up.
    ///
    /// # Errors
    /// See [`Fault`]; a message that is too long is refused when its head has come. The fault is repeated by every
    /// further call.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Message<'_>>, Fault> {
        while let Some(step) = self.parts.step(input)? {
            match step {
                Step::Head { block, head }
                    if block.len().saturating_add(head.payload_bytes) <= self.bytes_max =>
                {
                    self.headers.clear();
                    self.headers.extend_from_slice(block);
                    self.payload.clear();
                }
                Step::Head { .. } => return Err(self.parts.fail(Fault::TooLong)),
                Step::Payload(piece) => self.payload.extend_from_slice(piece),
                Step::End => {
                    let head = Head::read(&self.headers, self.payload.len())?;
                    return Ok(Some(Message { head, payload: &mut self.payload }));
                }
            }
        }
        Ok(None)
    }

    /// The stream ended: whether it ended between two messages.
    ///
    /// # Errors
    /// As [`Parts::end`].
    pub fn end(&self) -> Result<(), Fault> {
        self.parts.end()
    }
}
