use proptest::prelude::*;

use super::*;

const MAX: u64 = 100;

/// Feeds `pieces` one after the other; `payload|trailers|bytes left`, or the fault's name, or `more`.
fn outcome<'a>(framing: Framing, max: u64, pieces: impl Iterator<Item = &'a [u8]>) -> String {
    outcome_of(BodyReader::new(framing, max), pieces)
}

fn outcome_of<'a>(reader: Result<BodyReader, BodyFault>, pieces: impl Iterator<Item = &'a [u8]>) -> String {
    let mut reader = match reader {
        Ok(reader) => reader,
        Err(fault) => return format!("{fault:?}"),
    };
    let (mut payload, mut left) = (Vec::new(), 0);
    for piece in pieces {
        let read = reader.read(piece, |span| {
            assert!(!span.is_empty());
            payload.extend_from_slice(span.of(piece));
        });
        match read {
            Ok(progress) => {
                assert_eq!(progress.done, reader.is_done());
                assert!(progress.done || progress.consumed == piece.len());
                left += piece.len() - progress.consumed;
            }
            Err(fault) => {
                assert_eq!(reader.read(b"x", |_| panic!("payload after a fault")), Err(fault));
                assert_eq!(reader.end_of_stream(), Err(fault));
                return format!(
                    "{}{fault:?}",
                    if payload.is_empty() { String::new() } else { text(&payload) + " " }
                );
            }
        }
    }
    let is_done = reader.is_done();
    let end = if reader.end_of_stream().is_ok() { "" } else { " truncated" };
    let trailers = text(reader.trailers());
    assert!(is_done || trailers.is_empty());
    format!("{}|{trailers}|{left}{end}", text(&payload))
}

fn check_with(framing: Framing, max: u64, bytes: &[u8], expect: &str) {
    let shown = text(&bytes[..bytes.len().min(200)]);
    assert_eq!(outcome(framing, max, [bytes].into_iter()), expect, "whole: {shown}");
    assert_eq!(outcome(framing, max, bytes.chunks(1)), expect, "byte by byte: {shown}");
    for cut in 0..bytes.len().min(300) {
        let pieces = [&bytes[..cut], &bytes[cut..]];
        assert_eq!(outcome(framing, max, pieces.into_iter()), expect, "cut at {cut}: {shown}");
    }
}

#[test]
fn bodies_with_a_length_or_none() {
    for (framing, bytes, expect) in [
        (Framing::None, "", "||0"),
        (Framing::None, "next", "||4"),
        (Framing::Length(0), "next", "||4"),
        (Framing::Length(5), "helloGET", "hello||3"),
        (Framing::Length(5), "hell", "hell||0 truncated"),
        (Framing::Length(5), "", "||0 truncated"),
        (Framing::Length(MAX), "x", "x||0 truncated"),
        (Framing::Length(MAX + 1), "x", "TooLarge"),
        (Framing::Length(u64::MAX), "", "TooLarge"),
        (Framing::UntilClose, "hello\r\n\r\n", "hello\\r\\n\\r\\n||0"),
        (Framing::UntilClose, "", "||0"),
    ] {
        check_with(framing, MAX, bytes.as_bytes(), expect);
    }
    check_with(Framing::UntilClose, 5, b"hello", "hello||0");
    check_with(Framing::UntilClose, 5, b"hello!", "hello TooLarge");
    check_with(Framing::UntilClose, 0, b"", "||0");
    check_with(Framing::Length(u64::MAX), u64::MAX, b"x", "x||0 truncated");
}

#[test]
fn chunked_bodies() {
    let rows: &[(&[u8], &str)] = &[
        // What is good.
        (b"0\r\n\r\n", "||0"),
        (b"5\r\nhello\r\n0\r\n\r\n", "hello||0"),
        (b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\nGET /", "hello!||5"),
        (b"a\r\n0123456789\r\n0\r\n\r\n", "0123456789||0"),
        (b"A\r\n0123456789\r\n0\r\n\r\n", "0123456789||0"),
        (b"0000000000000005\r\nhello\r\n0\r\n\r\n", "hello||0"),
        (b"0000000000000000\r\n\r\n", "||0"),
        (b"7\r\na\r\nb\n\r\x00\r\n0\r\n\r\n", "a\\r\\nb\\n\\r\\x00||0"),
        // Not complete.
        (b"", "||0 truncated"),
        (b"5", "||0 truncated"),
        (b"5\r\nhel", "hel||0 truncated"),
        (b"5\r\nhello\r\n", "hello||0 truncated"),
        (b"5\r\nhello\r\n0\r\n", "hello||0 truncated"),
        (b"5\r\nhello\r\n0\r\n\r", "hello||0 truncated"),
        (b"0\r\nX: y\r\n", "||0 truncated"),
        // Sizes.
        (b"\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"0x5\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"+5\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"-5\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b" 5\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"5_0\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"5.0\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"g\r\n", "ChunkSize"),
        (b";x\r\n", "ChunkSize"),
        (b"5\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"5,\r\n", "ChunkSize"),
        (b"\xef\xbc\x95\r\nhello", "ChunkSize"),
        (b"00000000000000005\r\nhello\r\n0\r\n\r\n", "ChunkSize"),
        (b"10000000000000000\r\n", "ChunkSize"),
        (b"ffffffffffffffff\r\n", "TooLarge"),
        (b"65\r\n", "TooLarge"),
        // Line ends.
        (b"5\rhello", "ChunkExtension"),
        (b"5\r\r\nhello", "ChunkExtension"),
        (b"5\r\nhello0\r\n\r\n", "hello ChunkEnd"),
        (b"5\r\nhello\n0\r\n\r\n", "hello ChunkEnd"),
        (b"5\r\nhello\r0\r\n\r\n", "hello ChunkEnd"),
        (b"5\r\nhello!\r\n0\r\n\r\n", "hello ChunkEnd"),
        (b"5\r\nhell\r\n0\r\n\r\n", "hell\\r ChunkEnd"),
        (b"5\r\nhello\r\n\r\n0\r\n\r\n", "hello ChunkSize"),
        // Extensions.
        (b"5;a=b;c=\"d e\"\r\nhello\r\n0;x\r\n\r\n", "hello||0"),
        (b"5;\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5; \r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a;\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a=\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a=b c\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a b\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a=\"b\"\"c\"\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a=\"\\\"\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a=\"\\\";\" ; b\r\nhello\r\n0\r\n\r\n", "hello||0"),
        (b"5 \t;a = b\r\nhello\r\n0\r\n\r\n", "hello||0"),
        (b"5 \r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5 a\r\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a\nhello\r\n0\r\n\r\n", "ChunkExtension"),
        (b"5;a\r\rhello", "ChunkExtension"),
        (b"5;a\0\r\nhello", "ChunkExtension"),
        (b"5;a=\"\r\n\"\r\nhello", "ChunkExtension"),
        // Trailers.
        (b"0\r\nX: y\r\n\r\n", "|X: y\\r\\n|0"),
        (b"0\r\nX: y\r\nX-B:z\r\n\r\nGET", "|X: y\\r\\nX-B:z\\r\\n|3"),
        (b"0\r\nX:\r\n\r\n", "|X:\\r\\n|0"),
        (b"0\r\nContent-Length: 5\r\nX: y\r\nhost: h\r\n\r\n", "|X: y\\r\\n|0"),
        (b"0\r\ntransfer-encoding: chunked\r\n\r\n", "||0"),
        (b"0\r\nAuthorization: a\r\nx-api-key: b\r\nSet-Cookie: c\r\nTRAILER: d\r\nRange: e\r\n\r\n", "||0"),
        (b"0\r\nConnection: close\r\nX-Forwarded-For: 1\r\nContent-Type: d\r\n\r\n", "||0"),
        (b"0\r\nMax-Forwards: 1\r\nexpires: 0\r\nX-Max: 1\r\n\r\n", "|X-Max: 1\\r\\n|0"),
        (b"0\r\n: y\r\n\r\n", "Trailer"),
        (b"0\r\nX\r\n\r\n", "Trailer"),
        (b"0\r\nX : y\r\n\r\n", "Trailer"),
        (b"0\r\nX: y\n\r\n", "Trailer"),
        (b"0\r\n\n", "Trailer"),
        (b"0\r\nX: y\rz\r\n\r\n", "Trailer"),
        (b"0\r\nX: \0\r\n\r\n", "Trailer"),
        (b"0\r\nX: y\r\n folded\r\n\r\n", "Trailer"),
        (b"0\r\n X: y\r\n\r\n", "Trailer"),
        (b"0\r\nGET / HTTP/1.1\r\n\r\n", "Trailer"),
        (b"0\r\n\r\r\n\r\n", "Trailer"),
    ];
    rows.iter().for_each(|(bytes, expect)| check_with(Framing::Chunked, MAX, bytes, expect));
}

#[test]
fn the_limit_of_payload_is_exact() {
    for (sizes, expect) in [
        (&[100][..], Ok(100)),
        (&[96, 4], Ok(100)),
        (&[96, 5], Err(96)),
        (&[101], Err(0)),
        (&[100, 1], Err(100)),
    ] {
        let chunk = |size: &usize| format!("{size:x}\r\n{}\r\n", "x".repeat(*size));
        let bytes = sizes.iter().map(chunk).collect::<String>() + "0\r\n\r\n";
        let expect = match expect {
            Ok(len) => format!("{}||0", "x".repeat(len)),
            Err(0) => "TooLarge".into(),
            Err(len) => format!("{} TooLarge", "x".repeat(len)),
        };
        check_with(Framing::Chunked, MAX, bytes.as_bytes(), &expect);
    }
}

#[test]
fn what_frames_a_body_is_bounded_too() {
    let check = |bytes: String, expect: &str| check_with(Framing::Chunked, 1 << 20, bytes.as_bytes(), expect);
    // Extensions: 4 KiB, and what payload makes up for.
    check(format!("0;{}\r\n\r\n", "x".repeat(4096)), "||0");
    check(format!("0;{}\r\n\r\n", "x".repeat(4097)), "ExtensionsTooLarge");
    check(format!("0{};\r\n\r\n", " ".repeat(4098)), "ExtensionsTooLarge");
    check(format!("0;a=\"{}\"\r\n\r\n", "x".repeat(4092)), "||0");
    check(format!("0;a=\"{}\"\r\n\r\n", "x".repeat(4093)), "ExtensionsTooLarge");
    let chunk = |extension: usize| format!("5;{}\r\nhello\r\n", "x".repeat(extension));
    check(format!("{}0\r\n\r\n", chunk(6).repeat(20)), &format!("{}||0", "hello".repeat(20)));
    check(format!("{}{}0\r\n\r\n", chunk(4096), chunk(5)), "hellohello||0");
    check(format!("{}{}0\r\n\r\n", chunk(4096), chunk(6)), "hello ExtensionsTooLarge");
    // Trailers: 32 lines, 8 KiB; those that are dropped count.
    let many = |count: usize| format!("0\r\n{}\r\n", "Age: 1\r\n".repeat(count));
    check(many(32), "||0");
    check(many(33), "TrailersTooLarge");
    let long = |len: usize| format!("0\r\nAge: {}\r\n\r\n", "1".repeat(len - "Age: \r\n\r\n".len()));
    check(long(8192), "||0");
    check(long(8193), "TrailersTooLarge");
    check(format!("0\r\nX: {}", "y".repeat(10_000)), "TrailersTooLarge");
}

#[test]
fn what_chunks_may_cost_can_be_said() {
    let limits = ChunkLimits { extension_bytes: 3, trailers: 2, trailer_bytes: 16 };
    for (bytes, expect) in [
        ("1;abc\r\nx\r\n0\r\n\r\n", "x||0"),
        ("1;abcd\r\nx\r\n0\r\n\r\n", "ExtensionsTooLarge"),
        ("1;abc\r\nx\r\n1;d\r\ny\r\n0\r\n\r\n", "xy||0"),
        ("1;abc\r\nx\r\n1;de\r\ny\r\n0\r\n\r\n", "x ExtensionsTooLarge"),
        ("2;abc\r\nxx\r\n1;abc\r\ny\r\n0\r\n\r\n", "xx ExtensionsTooLarge"),
        ("0\r\na: 1\r\nb: 2\r\n\r\n", "|a: 1\\r\\nb: 2\\r\\n|0"),
        ("0\r\na:1\r\nb:2\r\nc:3\r\n\r\n", "TrailersTooLarge"),
        ("0\r\na: 123456789\r\n\r\n", "|a: 123456789\\r\\n|0"),
        ("0\r\na: 1234567890\r\n\r\n", "TrailersTooLarge"),
    ] {
        let reader = || BodyReader::new(Framing::Chunked, 10).map(|reader| reader.held_to(limits));
        assert_eq!(outcome_of(reader(), [bytes.as_bytes()].into_iter()), expect, "{bytes:?}");
        assert_eq!(outcome_of(reader(), bytes.as_bytes().chunks(1)), expect, "byte by byte: {bytes:?}");
    }
}

#[test]
fn only_a_body_that_is_too_large_is_a_413() {
    for (fault, status) in [
        (BodyFault::TooLarge, 413),
        (BodyFault::ChunkSize, 400),
        (BodyFault::ChunkExtension, 400),
        (BodyFault::ExtensionsTooLarge, 400),
        (BodyFault::ChunkEnd, 400),
        (BodyFault::Trailer, 400),
        (BodyFault::TrailersTooLarge, 400),
        (BodyFault::Truncated, 400),
    ] {
        assert_eq!(fault.status(), status);
        assert_eq!(fault.to_string(), fault.reason());
    }
}

/// The chunked coding as RFC 9112 section 7.1 has it, on a whole body without extensions and trailers:
/// payload and length, or nothing when it is not well-formed or not complete.
fn naive(bytes: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut payload, mut rest) = (Vec::new(), bytes);
    loop {
        let line_end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let digits = std::str::from_utf8(&rest[..line_end]).ok()?;
        let is_size =
            !digits.is_empty() && digits.len() <= 16 && digits.bytes().all(|b| b.is_ascii_hexdigit());
        let size = is_size.then(|| usize::from_str_radix(digits, 16).ok())??;
        rest = &rest[line_end + 2..];
        if size == 0 {
            return rest.starts_with(b"\r\n").then(|| (payload, bytes.len() - rest.len() + 2));
        }
        payload.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

proptest! {
    #[test]
    fn chunks_are_read_as_the_naive_reader_reads_them(
        pieces in proptest::collection::vec(
            prop_oneof![
                4 => Just("3\r\nabc\r\n"),
                1 => Just("0\r\n\r\n"),
                1 => Just("0a\r\n0123456789\r\n"),
                1 => Just("1\r\n\r\r\n"),
                4 => proptest::sample::select(vec!["\r\n", "\r", "\n", "5", "g"]),
            ], 0..12),
        step in 1..9usize,
    ) {
        let bytes = [pieces.concat().as_bytes(), b"0\r\n\r\n"].concat();
        let (mut payload, mut consumed, mut is_valid) = (Vec::new(), 0, true);
        let mut reader = BodyReader::new(Framing::Chunked, MAX).expect("no length");
        for piece in bytes.chunks(step) {
            match reader.read(piece, |span| payload.extend_from_slice(span.of(piece))) {
                Ok(progress) => consumed += progress.consumed,
                Err(_) => {
                    is_valid = false;
                    break;
                }
            }
        }
        is_valid &= reader.end_of_stream().is_ok();
        if let Some((expect, len)) = naive(&bytes) {
            prop_assert!(is_valid || expect.len() as u64 > MAX);
            if is_valid {
                prop_assert_eq!((payload, consumed), (expect, len));
            }
        } else {
            prop_assert!(!is_valid);
        }
    }

    #[test]
    fn any_bytes_are_read_the_same_however_they_are_cut(
        bytes in "[0-9a-f;\r\n :xX]{0,60}", step in 1..9usize,
    ) {
        let whole = outcome(Framing::Chunked, MAX, [bytes.as_bytes()].into_iter());
        prop_assert_eq!(outcome(Framing::Chunked, MAX, bytes.as_bytes().chunks(step)), whole);
    }
}
