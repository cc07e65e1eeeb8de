//! AWS event streams, written (Smithy, "Amazon Event Stream Specification"). The gateway's reader shares nothing with
//! it, its checksum included: a mistake is not made twice.

/// The value of a header; the set of types is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Types 0 and 1.
    Bool(bool),
    /// Type 2.
    Byte(i8),
    /// Type 3.
    Short(i16),
    /// Type 4.
    Integer(i32),
    /// Type 5.
    Long(i64),
    /// Type 6.
    Bytes(&'a [u8]),
    /// Type 7.
    String(&'a str),
    /// Type 8, milliseconds since 1970.
    Timestamp(i64),
    /// Type 9.
    Uuid([u8; 16]),
}

/// Appends a message of less than 4 GiB. What is longer than its length can say is cut: names at 255 bytes, values at
/// 65,535.
pub fn message(out: &mut Vec<u8>, headers: &[(&str, Value<'_>)], payload: &[u8]) {
    let start = out.len();
    let mut block = Vec::new();
    headers.iter().for_each(|(name, value)| header(&mut block, name, value));
    let total = (16 + block.len() + payload.len()) as u32;
    out.extend_from_slice(&total.to_be_bytes());
    out.extend_from_slice(&(block.len() as u32).to_be_bytes());
    out.extend_from_slice(&crc32(&out[start..]).to_be_bytes());
    out.extend_from_slice(&block);
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32(&out[start..]).to_be_bytes());
}

/// Appends an event with a JSON payload, with the headers that Bedrock sends, in its order.
pub fn event(out: &mut Vec<u8>, event_type: &str, payload: &[u8]) {
    json(out, (":event-type", event_type), "event", payload);
}

/// Appends an exception, as an event.
pub fn exception(out: &mut Vec<u8>, exception_type: &str, payload: &[u8]) {
    json(out, (":exception-type", exception_type), "exception", payload);
}

fn json(out: &mut Vec<u8>, (name, what): (&str, &str), message_type: &str, payload: &[u8]) {
    let headers = [(name, what), (":content-type", "application/json"), (":message-type", message_type)];
    message(out, &headers.map(|(name, text)| (name, Value::String(text))), payload);
}

fn header(out: &mut Vec<u8>, name: &str, value: &Value<'_>) {
    let name = &name.as_bytes()[..name.len().min(u8::MAX.into())];
    out.push(name.len() as u8);
    out.extend_from_slice(name);
    let (kind, bytes): (u8, &[u8]) = match value {
        Value::Bool(is) => (u8::from(!is), &[]),
        Value::Byte(number) => (2, &number.to_be_bytes()),
        Value::Short(number) => (3, &number.to_be_bytes()),
        Value::Integer(number) => (4, &number.to_be_bytes()),
        Value::Long(number) => (5, &number.to_be_bytes()),
        Value::Bytes(bytes) => (6, bytes),
        Value::String(text) => (7, text.as_bytes()),
        Value::Timestamp(ms) => (8, &ms.to_be_bytes()),
        Value::Uuid(uuid) => (9, uuid),
    };
    let bytes = &bytes[..bytes.len().min(u16::MAX.into())];
    out.push(kind);
    if let Value::Bytes(_) | Value::String(_) = value {
        out.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
    }
    out.extend_from_slice(bytes);
}

/// CRC-32 as in gzip (RFC 1952 section 8), a byte at a time.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| CRCS[usize::from(crc as u8 ^ byte)] ^ crc >> 8)
}

/// The remainder of each byte, bits reversed.
const CRCS: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let (mut crc, mut bit) = (byte as u32, 0);
        while bit < 8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    /// The vectors that AWS's own decoders are tested with (botocore, aws-c-event-stream).
    #[test]
    fn messages_are_written_as_aws_writes_them() {
        let json = ("content-type", Value::String("application/json"));
        type Headers<'a> = &'a [(&'a str, Value<'a>)];
        let rows: [(Headers<'_>, &str, &[u8]); 5] = [
            (&[], "", b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff"),
            (&[], "{'foo':'bar'}", b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96"),
            (
                &[json],
                "{'foo':'bar'}",
                b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json\
                  {'foo':'bar'}\x8d\x9c\x08\xb1",
            ),
            (
                &[("event-id", Value::Integer(0xa00c))],
                "{'foo':'bar'}",
                b"\x00\x00\x00+\x00\x00\x00\x0e4\x8b\xec{\x08event-id\x04\x00\x00\xa0\x0c{'foo':'bar'}\xd3\x89\x02\x85",
            ),
            (
                &[
                    ("0", Value::Bool(true)),
                    ("1", Value::Bool(false)),
                    ("2", Value::Byte(2)),
                    ("3", Value::Short(3)),
                    ("4", Value::Integer(4)),
                    ("5", Value::Long(5)),
                    ("6", Value::Bytes(b"bytes")),
                    ("7", Value::String("utf8")),
                    ("8", Value::Timestamp(8)),
                    ("9", Value::Uuid(*b"0123456789abcdef")),
                ],
                "",
                b"\x00\x00\x00\x62\x00\x00\x00\x52\x03\xb5\xcb\x9c\x010\x00\x011\x01\x012\x02\x02\x013\x03\x00\x03\
                  \x014\x04\x00\x00\x00\x04\x015\x05\x00\x00\x00\x00\x00\x00\x00\x05\x016\x06\x00\x05bytes\
                  \x017\x07\x00\x04utf8\x018\x08\x00\x00\x00\x00\x00\x00\x00\x08\x019\x090123456789abcdef\x63\x35\x36\x71",
            ),
        ];
        for (headers, payload, expected) in rows {
            let mut out = b"before".to_vec();
            message(&mut out, headers, payload.as_bytes());
            assert_eq!(&out[6..], expected, "{headers:?}");
        }
    }

    #[test]
    fn what_is_too_long_is_cut_and_still_a_message() {
        let (long_name, long_text) = ("n".repeat(256), "t".repeat(65_536));
        let mut out = Vec::new();
        message(&mut out, &[(&long_name, Value::Bool(true)), ("x", Value::String(&long_text))], b"");
        assert_eq!(out.len(), 16 + (1 + 255 + 1) + (2 + 1 + 2 + 65_535));
    }
}
