use super::Fault;

/// What the headers of a message say of it. Other headers are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head<'a> {
    /// What the message is.
    pub kind: Kind<'a>,
    /// The value of `:content-type`, the media type of the payload; empty when there is none.
    pub content_type: &'a [u8],
    /// Bytes of payload that follow.
    pub payload_bytes: usize,
}

/// What a message is (Smithy, "Amazon Event Semantics"), by its `:message-type`. A value that is missing is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// `event`: the value of `:event-type`, such as `contentBlockDelta`.
    Event(&'a [u8]),
    /// `exception`, an error that the service's model knows: the value of `:exception-type`, such as
    /// `throttlingException`. The payload says more.
    Exception(&'a [u8]),
    /// `error`, one that it does not know: there is no payload.
    Error {
        /// The value of `:error-code`, such as `InternalError`.
        code: &'a [u8],
        /// The value of `:error-message`, for a person.
        message: &'a [u8],
    },
    /// No `:message-type`, or one that the specification does not have.
    Other,
}

impl<'a> Head<'a> {
    /// Reads the headers of a message: `block` is all of them.
    pub(super) fn read(block: &'a [u8], payload_bytes: usize) -> Result<Head<'a>, Fault> {
        let [mut message_type, mut event, mut exception, mut code, mut message, mut content_type] = [None; 6];
        let mut rest = block;
        while !rest.is_empty() {
            let (name, value) = header(&mut rest).ok_or(Fault::Headers)?;
            let place = match name {
                b":message-type" => &mut message_type,
                b":event-type" => &mut event,
                b":exception-type" => &mut exception,
                b":error-code" => &mut code,
                b":error-message" => &mut message,
                b":content-type" => &mut content_type,
                _ => continue,
            };
            match value {
                Value::String(text) if place.is_none() => *place = Some(text),
                _ => return Err(Fault::Headers),
            }
        }
        let or_empty = |value: Option<&'a [u8]>| value.unwrap_or_default();
        let kind = match or_empty(message_type) {
            b"event" => Kind::Event(or_empty(event)),
            b"exception" => Kind::Exception(or_empty(exception)),
            b"error" => Kind::Error { code: or_empty(code), message: or_empty(message) },
            _ => Kind::Other,
        };
        Ok(Head { kind, content_type: or_empty(content_type), payload_bytes })
    }
}

/// The value of a header, as far as we look at it.
enum Value<'a> {
    String(&'a [u8]),
    Other,
}

/// The header that `rest` begins with, its name and its value; `rest` is moved behind it. `None` when it is cut off,
/// has no name, or a type that there is not.
fn header<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], Value<'a>)> {
    let name_bytes = take(rest, 1)?[0];
    let name = take(rest, name_bytes.into()).filter(|name| !name.is_empty())?;
    let value_bytes = match take(rest, 1)?[0] {
        TRUE | FALSE => 0,
        BYTE => 1,
        SHORT => 2,
        INTEGER => 4,
        LONG | TIMESTAMP => 8,
        UUID => 16,
        BYTES => counted(rest)?,
        STRING => {
            let bytes = counted(rest)?;
            return Some((name, Value::String(take(rest, bytes)?)));
        }
        _ => return None,
    };
    take(rest, value_bytes)?;
    Some((name, Value::Other))
}

/// The length that stands before a value whose type does not tell it.
fn counted(rest: &mut &[u8]) -> Option<usize> {
    let length = take(rest, 2)?.first_chunk()?;
    Some(u16::from_be_bytes(*length).into())
}

fn take<'a>(rest: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(bytes)?;
    *rest = after;
    Some(taken)
}

// Types of values; the set is closed.
const TRUE: u8 = 0;
const FALSE: u8 = 1;
const BYTE: u8 = 2;
const SHORT: u8 = 3;
const INTEGER: u8 = 4;
const LONG: u8 = 5;
const BYTES: u8 = 6;
const STRING: u8 = 7;
const TIMESTAMP: u8 = 8;
const UUID: u8 = 9;
