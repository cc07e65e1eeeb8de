/// Why a stream cannot be read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The checksum of a message's two lengths is wrong.
    PreludeChecksum,
    /// A message that is shorter than its headers and the 16 bytes which every message has.
    Lengths,
    /// Headers longer than [`HEADERS_BYTES_MAX`](super::HEADERS_BYTES_MAX).
    HeadersTooLong,
    /// Headers that do not end where their length says, a header without a name or of a type that there is not, or one
    /// that we act upon which stands twice ("Any given header name MUST only appear once") or is no string.
    Headers,
    /// Headers and payload longer than the reader's bound.
    TooLong,
    /// The checksum of a message is wrong.
    Checksum,
    /// The stream ended inside a message.
    Truncated,
}

impl Fault {
    /// What is wrong, for records.
    pub const fn reason(self) -> &'static str {
        match self {
            Fault::PreludeChecksum => "a message of the event stream has lengths with a wrong checksum",
            Fault::Lengths => "a message of the event stream is shorter than its parts",
            Fault::HeadersTooLong => "the headers of a message of the event stream are too long",
            Fault::Headers => "a message of the event stream has malformed headers",
            Fault::TooLong => "a message of the event stream is too long",
            Fault::Checksum => "a message of the event stream has a wrong checksum",
            Fault::Truncated => "the event stream ended inside a message",
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Fault {}
