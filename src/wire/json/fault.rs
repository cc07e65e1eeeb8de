/// Why a document is not JSON, or not JSON that we take, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Offset of the byte at fault from the start of the document; the document's length when it is cut short.
    pub at: usize,
    /// What is wrong there.
    pub kind: FaultKind,
}

/// What is wrong with a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// A byte that cannot stand there (RFC 8259 section 2).
    Unexpected,
    /// A control character inside a string that is not escaped (section 7).
    ControlInString,
    /// A backslash followed by something that is no escape (section 7).
    BadEscape,
    /// A number with a leading zero, or without digits where some must be (section 6).
    BadNumber,
    /// Something that begins like `true`, `false` or `null` and goes on differently (section 3).
    BadLiteral,
    /// Bytes that are not UTF-8 (section 8.1).
    InvalidUtf8,
    /// More containers inside one another than [`MAX_DEPTH`](super::MAX_DEPTH) (section 9 allows a limit).
    TooDeep,
    /// Something other than white space after the value (section 2).
    Trailing,
    /// The document ends inside its value.
    Truncated,
    /// A member that we act upon stands twice in one object. Parsers differ in which one counts (section 4), so
    /// that what we check would not be what the provider does.
    DuplicateKey,
    /// The document is a value, but not an object.
    NotAnObject,
}

impl Fault {
    /// What is wrong, as the end of a sentence that begins "the body is not valid JSON:".
    pub const fn reason(self) -> &'static str {
        match self.kind {
            FaultKind::Unexpected => "unexpected character",
            FaultKind::ControlInString => "control character in a string",
            FaultKind::BadEscape => "unknown escape in a string",
            FaultKind::BadNumber => "malformed number",
            FaultKind::BadLiteral => "malformed literal",
            FaultKind::InvalidUtf8 => "invalid UTF-8",
            FaultKind::TooDeep => "nested too deeply",
            FaultKind::Trailing => "more than one value",
            FaultKind::Truncated => "ends too early",
            FaultKind::DuplicateKey => "the same member twice",
            FaultKind::NotAnObject => "not an object",
        }
    }
}
