use super::*;
use proptest::prelude::*;
use tollgate_loadtest::eventstream::{Value, event, message};

/// A message as read: what its head says, and its payload.
type Owned = (String, Vec<u8>);
/// Messages, and how the stream ended.
type Read = (Vec<Owned>, Result<(), Fault>);

fn owned(head: &Head<'_>, payload: &[u8]) -> Owned {
    assert_eq!(head.payload_bytes, payload.len());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let kind = match head.kind {
        Kind::Event(name) => format!("event {}", text(name)),
        Kind::Exception(name) => format!("exception {}", text(name)),
        Kind::Error { code, message } => format!("error {} {}", text(code), text(message)),
        Kind::Other => "other".to_owned(),
    };
    (format!("{kind}, {}", text(head.content_type)), payload.to_vec())
}

fn by_reader<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, bytes_max: usize) -> Read {
    let (mut reader, mut read) = (Reader::new(bytes_max), Vec::new());
    for piece in pieces {
        let mut input = piece;
        loop {
            match reader.next(&mut input) {
                Ok(Some(message)) => read.push(owned(&message.head, message.payload)),
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(reader.next(&mut &b"more"[..]), Err(fault));
                    assert_eq!(reader.end(), Err(fault));
                    return (read, Err(fault));
                }
            }
        }
        assert!(input.is_empty());
    }
    (read, reader.end())
}

/// The same by parts, whose payload is put together here.
fn by_parts<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Read {
    let (mut parts, mut read, mut open) = (Parts::new(), Vec::new(), None::<(usize, Owned)>);
    for piece in pieces {
        let mut input = piece;
        loop {
            match parts.next(&mut input) {
                Ok(Some(Part::Head(head))) => {
                    assert!(open.is_none());
                    let kind = owned(&Head { payload_bytes: 0, ..head }, b"").0;
                    open = Some((head.payload_bytes, (kind, Vec::new())));
                }
                Ok(Some(Part::Payload(bytes))) => {
                    assert!(!bytes.is_empty());
                    open.as_mut().expect("a head before it").1.1.extend_from_slice(bytes);
                }
                Ok(Some(Part::End)) => {
                    let (payload_bytes, message) = open.take().expect("a head before it");
                    assert_eq!(payload_bytes, message.1.len());
                    read.push(message);
                }
                Ok(None) => break,
                Err(fault) => return (read, Err(fault)),
            }
        }
    }
    (read, parts.end())
}

fn read_every_way(stream: &[u8]) -> Read {
    let whole = by_reader([stream], usize::MAX);
    assert_eq!(by_parts([stream]), whole, "parts");
    assert_eq!(by_reader(stream.chunks(1), usize::MAX), whole, "byte by byte");
    assert_eq!(by_parts(stream.chunks(1)), whole, "parts, byte by byte");
    for first in 0..=stream.len() {
        let (head, tail) = stream.split_at(first);
        let (middle, end) = tail.split_at(tail.len() / 2);
        assert_eq!(by_reader([head, b"", middle, end], usize::MAX), whole, "split at {first}");
        assert_eq!(by_parts([head, middle, end]), whole, "parts, split at {first}");
    }
    whole
}

fn written(headers: &[(&str, Value<'_>)], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    message(&mut out, headers, payload);
    out
}

/// The vectors that AWS's own decoders are tested with (botocore, aws-c-event-stream).
#[test]
fn messages_of_aws_are_read() {
    let rows: [(&[u8], &str, &str); 7] = [
        (b"\x00\x00\x00\x10\x00\x00\x00\x00\x05\xc2H\xeb}\x98\xc8\xff", "other, ", ""),
        (b"\x00\x00\x00\x1d\x00\x00\x00\x00\xfdR\x8cZ{'foo':'bar'}\xc3e96", "other, ", "{'foo':'bar'}"),
        (
            b"\x00\x00\x00=\x00\x00\x00 \x07\xfd\x83\x96\x0ccontent-type\x07\x00\x10application/json\
              {'foo':'bar'}\x8d\x9c\x08\xb1",
            "other, ",
            "{'foo':'bar'}",
        ),
        (
            b"\x00\x00\x00+\x00\x00\x00\x0e4\x8b\xec{\x08event-id\x04\x00\x00\xa0\x0c{'foo':'bar'}\xd3\x89\x02\x85",
            "other, ",
            "{'foo':'bar'}",
        ),
        (
            b"\x00\x00\x00\x62\x00\x00\x00\x52\x03\xb5\xcb\x9c\x010\x00\x011\x01\x012\x02\x02\x013\x03\x00\x03\
              \x014\x04\x00\x00\x00\x04\x015\x05\x00\x00\x00\x00\x00\x00\x00\x05\x016\x06\x00\x05bytes\
              \x017\x07\x00\x04utf8\x018\x08\x00\x00\x00\x00\x00\x00\x00\x08\x019\x090123456789abcdef\x63\x35\x36\x71",
            "other, ",
            "",
        ),
        (
            b"\x00\x00\x00\x52\x00\x00\x00\x42\xbf\x23\x63\x7e\x0d:message-type\x07\x00\x05error\
              \x0b:error-code\x07\x00\x04code\x0e:error-message\x07\x00\x07message\x6b\x6c\xea\x3d",
            "error code message, ",
            "",
        ),
        (
            b"\x00\x00\x00~\x00\x00\x00O\xc5\xa3\xdd\xc6\r:message-type\x07\x00\x05event\x0b:event-type\x07\x00\x10\
              initial-response\r:content-type\x07\x00\ttext/json{\"InitialResponse\": \"sometext\"}\xf6\x98$\x83",
            "event initial-response, text/json",
            "{\"InitialResponse\": \"sometext\"}",
        ),
    ];
    let expect = |head: &str, payload: &str| (head.to_owned(), payload.as_bytes().to_vec());
    for (stream, head, payload) in rows {
        assert_eq!(read_every_way(stream), (vec![expect(head, payload)], Ok(())), "{head}");
    }
    let all: Vec<u8> = rows.iter().flat_map(|(stream, ..)| *stream).copied().collect();
    let expected = rows.iter().map(|(_, head, payload)| expect(head, payload)).collect();
    assert_eq!(read_every_way(&all), (expected, Ok(())));
}

#[test]
fn kinds_are_told_by_the_message_type() {
    let text = |name, text| (name, Value::String(text));
    let rows: [(&[(&str, Value<'_>)], &str); 7] = [
        (&[text(":event-type", "metadata"), text(":message-type", "event")], "event metadata, "),
        (&[text(":message-type", "event"), text(":exception-type", "x")], "event , "),
        (
            &[text(":message-type", "exception"), text(":exception-type", "throttlingException")],
            "exception throttlingException, ",
        ),
        (&[text(":message-type", "error"), text(":error-code", "InternalError")], "error InternalError , "),
        (&[text(":message-type", "brand-new"), text(":content-type", "a/b")], "other, a/b"),
        (&[text(":message-type", ""), text(":event-type", "x")], "other, "),
        (&[("a", Value::Bool(true)), ("a", Value::Bool(true))], "other, "),
    ];
    for (headers, head) in rows {
        assert_eq!(read_every_way(&written(headers, b"")), (vec![(head.to_owned(), vec![])], Ok(())));
    }
}

#[test]
fn malformed_headers_are_refused() {
    let (type_of, number) = (b"\x0d:message-type".as_slice(), b"\x01n".as_slice());
    let event = b"\x07\x00\x05event".as_slice();
    let rows: [(&str, &[&[u8]]); 15] = [
        ("a name of no bytes", &[b"\x00\x00"]),
        ("a name that is cut off", &[b"\x02n"]),
        ("a name and no type", &[number]),
        ("a type that there is not", &[number, b"\x0a"]),
        ("the last type that there is not", &[number, b"\xff"]),
        ("a byte that is cut off", &[number, b"\x02"]),
        ("a short that is cut off", &[number, b"\x03\x00"]),
        ("an integer that is cut off", &[number, b"\x04\x00\x00\x00"]),
        ("a long that is cut off", &[number, b"\x05\x00\x00\x00\x00\x00\x00\x00"]),
        ("a timestamp that is cut off", &[number, b"\x08\x00\x00\x00\x00\x00\x00\x00"]),
        ("a uuid that is cut off", &[number, b"\x09012345678901234"]),
        ("bytes that are cut off", &[number, b"\x06\x00\x02x"]),
        ("a length that is cut off", &[number, b"\x07\x00"]),
        ("a message type that is a number", &[type_of, b"\x02\x00"]),
        ("a message type twice", &[type_of, event, type_of, event]),
    ];
    for (what, parts) in rows {
        // The writer knows no such headers: they are written as payload, and the length says that they are headers.
        let block = parts.concat();
        let mut stream = written(&[], &block);
        stream[7] = block.len() as u8;
        let checksum = crc32fast::hash(&stream[..8]).to_be_bytes();
        stream[8..12].copy_from_slice(&checksum);
        let end = stream.len() - 4;
        let checksum = crc32fast::hash(&stream[..end]).to_be_bytes();
        stream[end..].copy_from_slice(&checksum);
        assert_eq!(read_every_way(&stream), (vec![], Err(Fault::Headers)), "{what}");
    }
}

/// A prelude with a right checksum.
fn prelude(total: u32, headers: u32) -> Vec<u8> {
    let lengths = [total.to_be_bytes(), headers.to_be_bytes()].concat();
    let checksum = crc32fast::hash(&lengths).to_be_bytes();
    [lengths, checksum.to_vec()].concat()
}

#[test]
fn lengths_that_cannot_be_are_refused_at_once() {
    let headers_max = HEADERS_BYTES_MAX as u32;
    for (total, headers, expected) in [
        (0, 0, Fault::Lengths),
        (15, 0, Fault::Lengths),
        (16, 1, Fault::Lengths),
        (100, 85, Fault::Lengths),
        (u32::MAX, u32::MAX, Fault::Lengths),
        (u32::MAX, headers_max + 1, Fault::HeadersTooLong),
        (u32::MAX, headers_max, Fault::Truncated),
        (100, 84, Fault::Truncated),
        (16, 0, Fault::Truncated),
    ] {
        assert_eq!(read_every_way(&prelude(total, headers)).1, Err(expected), "{total} {headers}");
    }
}

#[test]
fn size_is_bounded_as_soon_as_it_is_known() {
    let stream = written(&[("n", Value::Byte(1))], b"12345");
    for (bytes_max, fault) in [(9, None), (8, Some(Fault::TooLong)), (0, Some(Fault::TooLong))] {
        let (read, end) = by_reader([&stream[..]], bytes_max);
        assert_eq!((read.len(), end.err()), (usize::from(fault.is_none()), fault));
    }
    let (mut reader, mut input) = (Reader::default(), &prelude(16 + MESSAGE_BYTES_MAX as u32 + 1, 0)[..]);
    assert_eq!(reader.next(&mut input), Err(Fault::TooLong), "before any of it has come");
}

/// Both checksums together find every change of one bit, wherever it is.
#[test]
fn no_bit_can_be_changed() {
    let mut stream = Vec::new();
    event(&mut stream, "contentBlockDelta", br#"{"delta":{"text":"x"}}"#);
    let whole = by_reader([&stream[..]], usize::MAX);
    assert_eq!(whole.1, Ok(()));
    for bit in 0..stream.len() * 8 {
        let mut changed = stream.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        let (read, end) = by_reader([&changed[..]], usize::MAX);
        let expected =
            if bit / 8 < 12 { [Fault::PreludeChecksum; 2] } else { [Fault::Checksum, Fault::Headers] };
        assert!(read.is_empty() && expected.map(Err).contains(&end), "bit {bit}: {end:?}");
    }
}

#[test]
fn a_stream_ends_between_messages() {
    let mut stream = Vec::new();
    event(&mut stream, "messageStart", b"{}");
    for len in 0..=stream.len() {
        let expected = if len == 0 || len == stream.len() { Ok(()) } else { Err(Fault::Truncated) };
        assert_eq!(by_reader([&stream[..len]], 1000).1, expected, "{len}");
        assert_eq!(by_parts(stream[..len].chunks(1)).1, expected, "{len}");
    }
}

#[test]
fn parts_within_the_input_are_not_copied() {
    let mut stream = Vec::new();
    event(&mut stream, "metadata", b"payload");
    let (mut parts, mut input) = (Parts::new(), &stream[..]);
    let within = |part: &[u8]| stream.as_ptr_range().contains(&part.as_ptr());
    let Ok(Some(Part::Head(Head { kind: Kind::Event(name), .. }))) = parts.next(&mut input) else {
        panic!("a head");
    };
    assert!(within(name));
    let Ok(Some(Part::Payload(payload))) = parts.next(&mut input) else { panic!("a payload") };
    assert!(within(payload) && payload == b"payload");
    assert_eq!(parts.next(&mut input), Ok(Some(Part::End)));
}

#[test]
fn a_payload_may_be_written_into() {
    let mut stream = Vec::new();
    event(&mut stream, "a", b"xyz");
    event(&mut stream, "b", b"12");
    let (mut reader, mut input) = (Reader::default(), &stream[..]);
    reader.next(&mut input).unwrap().unwrap().payload.fill(b' ');
    assert_eq!(reader.next(&mut input).unwrap().unwrap().payload, b"12");
}

#[test]
fn a_warm_reader_does_not_allocate() {
    let mut stream = Vec::new();
    event(&mut stream, "contentBlockDelta", br#"{"delta":{"text":"x"}}"#);
    let (mut reader, mut parts) = (Reader::default(), Parts::new());
    let mut read = || {
        for mut piece in stream.chunks(7) {
            let mut same = piece;
            while reader.next(&mut same).expect("sound").is_some() {}
            while parts.next(&mut piece).expect("sound").is_some() {}
        }
    };
    read();
    assert_eq!(allocation_counter::measure(|| (0..10).for_each(|_| read())).count_total, 0);
}

/// A name that nobody acts upon, and a value of each kind.
fn headers() -> impl Strategy<Value = Vec<(String, u8, u64, String)>> {
    proptest::collection::vec(("[a-z-]{1,20}", 0u8..10, any::<u64>(), "\\PC{0,30}"), 0..6)
}

fn value<'a>(kind: u8, number: u64, text: &'a str) -> Value<'a> {
    match kind {
        0 => Value::Bool(true),
        1 => Value::Bool(false),
        2 => Value::Byte(number as i8),
        3 => Value::Short(number as i16),
        4 => Value::Integer(number as i32),
        5 => Value::Long(number as i64),
        6 => Value::Bytes(text.as_bytes()),
        7 => Value::String(text),
        8 => Value::Timestamp(number as i64),
        _ => Value::Uuid([number as u8; 16]),
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        messages in proptest::collection::vec(("[a-zA-Z]{0,20}", headers(), any::<Vec<u8>>()), 0..5),
        cuts in proptest::collection::vec(1usize..50, 1..20),
    ) {
        let (mut stream, mut expected) = (Vec::new(), Vec::new());
        for (name, others, payload) in &messages {
            let mut headers: Vec<(&str, Value<'_>)> =
                others.iter().map(|(name, kind, number, text)| (name.as_str(), value(*kind, *number, text))).collect();
            headers.insert(headers.len() / 2, (":event-type", Value::String(name)));
            headers.push((":message-type", Value::String("event")));
            message(&mut stream, &headers, payload);
            expected.push((format!("event {name}, "), payload.clone()));
        }
        let (mut pieces, mut rest) = (Vec::new(), &stream[..]);
        for cut in cuts.iter().cycle() {
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(by_reader(pieces.iter().copied(), usize::MAX), (expected.clone(), Ok(())));
        prop_assert_eq!(by_parts(pieces), (expected, Ok(())));
    }

    /// Noise behind a prelude that is right, so that more than the first checksum is reached.
    #[test]
    fn no_bytes_do_harm(headers in 0u32..60, payload in 0u32..60, noise: Vec<u8>, is_framed: bool) {
        let mut stream = if is_framed { prelude(16 + headers + payload, headers) } else { Vec::new() };
        stream.extend_from_slice(&noise);
        let whole = by_reader([&stream[..]], 100);
        prop_assert_eq!(by_reader(stream.chunks(1), 100), whole);
        prop_assert_eq!(by_parts([&stream[..]]), by_parts(stream.chunks(1)));
    }
}
