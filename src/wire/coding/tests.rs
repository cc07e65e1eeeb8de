//! Each coding against an encoder that is not ours, cut everywhere, cut off, damaged, and blown up.

use super::*;
use crate::wire::http1::{HeadLimits, Method, response};
use proptest::prelude::*;
use tollgate_loadtest::coding::{Coding as Applied, content_encoding, encode};

/// What is decoded here: alone, and in lists.
const LISTS: [&[Applied]; 9] = [
    &[Applied::Gzip],
    &[Applied::Deflate],
    &[Applied::BareDeflate],
    &[Applied::Brotli],
    &[Applied::Zstd],
    &[Applied::Gzip, Applied::Brotli],
    &[Applied::Zstd, Applied::Deflate],
    &[Applied::Brotli, Applied::BareDeflate, Applied::Zstd],
    &[Applied::Gzip, Applied::Gzip, Applied::Zstd, Applied::Brotli],
];

/// Events of a stream, which an encoder flushes one by one.
fn events() -> Vec<Vec<u8>> {
    let event = |n| format!("data: {{\"id\":\"chatcmpl-{n}\",\"delta\":{{\"content\":\"word {n}\"}}}}\n\n");
    (0..5).map(|n| event(n).into_bytes()).collect()
}

fn encoded(codings: &[Applied], pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    encode(codings, &pieces.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// What lines of these names and values say.
fn head(lines: &str) -> (Vec<u8>, Headers) {
    let bytes = format!("HTTP/1.1 200 OK\r\n{lines}\r\n").into_bytes();
    let parsed = response(&bytes, &HeadLimits::default(), Method::Post).unwrap().unwrap();
    (bytes, parsed.headers)
}

fn codings(lines: &str) -> Result<Codings, UnknownCoding> {
    let (bytes, headers) = head(lines);
    Codings::of(&headers, &bytes)
}

fn decoder(applied: &[Applied]) -> Decoder {
    let value = content_encoding(applied);
    Decoder::new(&codings(&format!("content-encoding: {value}\r\n")).unwrap()).unwrap()
}

/// All that comes out of the next bytes.
fn eat(decoder: &mut Decoder, mut bytes: &[u8], most: usize, out: &mut Vec<u8>) -> Result<(), CodingFault> {
    while let Some(piece) = decoder.next(&mut bytes, most)? {
        assert!(!piece.is_empty() && piece.len() <= most, "a piece of {}", piece.len());
        out.extend_from_slice(piece);
    }
    assert!(bytes.is_empty(), "it said that all was eaten");
    Ok(())
}

/// What a body decodes to that arrives in these pieces, and how it ends.
fn decode<'a>(
    mut decoder: Decoder,
    pieces: impl IntoIterator<Item = &'a [u8]>,
    most: usize,
) -> (Vec<u8>, Result<(), CodingFault>) {
    let mut out = Vec::new();
    let eaten = pieces.into_iter().try_for_each(|piece| eat(&mut decoder, piece, most, &mut out));
    if let Err(fault) = eaten {
        assert_eq!(decoder.next(&mut &b"more"[..], 1), Err(fault), "a fault is final");
        assert_eq!(decoder.finish(), Err(fault), "a fault is final");
    }
    (out, decoder.finish())
}

// === names ===

#[test]
fn names_are_known_in_any_case_and_identity_is_nothing() {
    use Coding::*;
    let rows: [(&str, Result<&[Coding], UnknownCoding>); 15] = [
        ("", Ok(&[])),
        ("content-encoding:\r\n", Ok(&[])),
        ("content-encoding: identity\r\n", Ok(&[])),
        ("content-encoding: gzip\r\n", Ok(&[Gzip])),
        ("Content-Encoding: X-GZip\r\n", Ok(&[Gzip])),
        ("content-encoding: DEFLATE\r\n", Ok(&[Deflate])),
        ("content-encoding: br\r\n", Ok(&[Brotli])),
        ("content-encoding: zstd\r\n", Ok(&[Zstd])),
        ("content-encoding: gzip, br\r\n", Ok(&[Gzip, Brotli])),
        ("content-encoding: gzip ,, Identity,br ,\r\ncontent-encoding: zstd\r\n", Ok(&[Gzip, Brotli, Zstd])),
        ("content-encoding: gzip, gzip, gzip, gzip\r\n", Ok(&[Gzip; 4])),
        ("content-encoding: gzip, gzip, gzip, gzip, gzip\r\n", Err(UnknownCoding)),
        ("content-encoding: compress\r\n", Err(UnknownCoding)),
        ("content-encoding: gzip, aes128gcm\r\n", Err(UnknownCoding)),
        ("content-encoding: gzip;q=1\r\n", Err(UnknownCoding)),
    ];
    for (lines, expected) in rows {
        let found = codings(lines).map(|codings| codings.iter().collect::<Vec<_>>());
        assert_eq!(found, expected.map(<[_]>::to_vec), "{lines:?}");
    }
    assert!(Decoder::new(&Codings::default()).is_none());
    assert_eq!(SUPPORTED, Coding::ALL.map(Coding::name).join(", "));
}

#[test]
fn a_client_takes_what_it_names_and_does_not_weigh_zero() {
    let rows = [
        ("", ""),
        ("accept-encoding:\r\n", ""),
        ("accept-encoding: identity\r\n", ""),
        ("accept-encoding: gzip, deflate\r\n", "gzip deflate"),
        ("accept-encoding: X-GZIP, Br;q=0.5\r\naccept-encoding: zstd;q=1.0\r\n", "gzip br zstd"),
        ("accept-encoding: *\r\n", "gzip deflate br zstd"),
        ("accept-encoding: *;q=0\r\n", ""),
        ("accept-encoding: gzip;q=0, *\r\n", "deflate br zstd"),
        ("accept-encoding: *;q=0, br\r\n", "br"),
        ("accept-encoding: gzip ; q=0.000, br ; Q = 0 , zstd;q=0.001\r\n", "zstd"),
        ("accept-encoding: gzip;level=0\r\n", "gzip"),
        ("accept-encoding: compress, gzipp, bro\r\n", ""),
    ];
    for (lines, expected) in rows {
        let (bytes, headers) = head(lines);
        let accepts = Accepts::of(&headers, &bytes);
        let one = |coding: &Coding| codings(&format!("content-encoding: {}\r\n", coding.name())).unwrap();
        let taken: Vec<&str> =
            Coding::ALL.iter().filter(|coding| accepts.takes(&one(coding))).map(|c| c.name()).collect();
        assert_eq!(taken.join(" "), expected, "{lines:?}");
        assert!(accepts.takes(&Codings::default()), "what is not coded is taken by all");
        let both = codings("content-encoding: gzip, br\r\n").unwrap();
        let has_both = taken.contains(&"gzip") && taken.contains(&"br");
        assert_eq!(accepts.takes(&both), has_both, "{lines:?}");
    }
}

// === bodies that are well ===

#[test]
fn each_coding_decodes_however_it_is_cut() {
    let (plain, whole) = (events(), events().concat());
    for list in LISTS {
        let coded = encoded(list, &plain).concat();
        for at in 0..=coded.len() {
            let (head, tail) = coded.split_at(at);
            let decoded = decode(decoder(list), [head, tail], PIECE_BYTES);
            assert_eq!(decoded, (whole.clone(), Ok(())), "{list:?} cut at {at}");
        }
        for most in [1, 7, PIECE_BYTES] {
            let decoded = decode(decoder(list), coded.chunks(1), most);
            assert_eq!(decoded, (whole.clone(), Ok(())), "{list:?} byte by byte, pieces of {most}");
            let decoded = decode(decoder(list), [&coded[..]], most);
            assert_eq!(decoded, (whole.clone(), Ok(())), "{list:?} whole, pieces of {most}");
        }
    }
}

#[test]
fn what_was_flushed_comes_out_at_once() {
    let plain = events();
    for list in LISTS {
        let (mut decoder, mut out) = (decoder(list), Vec::new());
        for (n, coded) in encoded(list, &plain).iter().enumerate() {
            eat(&mut decoder, coded, PIECE_BYTES, &mut out).unwrap();
            assert_eq!(out, plain[..=n].concat(), "{list:?} event {n}");
        }
        assert_eq!(decoder.finish(), Ok(()), "{list:?}");
    }
}

#[test]
fn a_body_of_nothing_is_whole() {
    for list in LISTS {
        assert_eq!(decode(decoder(list), [], 1), (Vec::new(), Ok(())), "{list:?}");
        let coded = encoded(list, &[Vec::new()]).concat();
        assert_eq!(decode(decoder(list), [&coded[..]], 1), (Vec::new(), Ok(())), "{list:?}");
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    let [one, two] = [b"one ".to_vec(), b"two".to_vec()];
    // A skippable frame, and one of no bytes (RFC 8878 sections 3.1.1 and 3.1.2).
    let skipped = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc".to_vec();
    let empty = b"\x28\xb5\x2f\xfd\x00\x00\x01\x00\x00".to_vec();
    let gzip = |text: &Vec<u8>| encoded(&[Applied::Gzip], std::slice::from_ref(text)).concat();
    let zstd = |text: &Vec<u8>| encoded(&[Applied::Zstd], std::slice::from_ref(text)).concat();
    let rows = [
        (Applied::Gzip, [gzip(&one), gzip(&Vec::new()), gzip(&two)].concat()),
        (Applied::Zstd, [zstd(&one), skipped, empty.clone(), empty, zstd(&two)].concat()),
    ];
    for (coding, coded) in rows {
        for at in 0..=coded.len() {
            let (head, tail) = coded.split_at(at);
            let decoded = decode(decoder(&[coding]), [head, tail], 3);
            assert_eq!(decoded, (b"one two".to_vec(), Ok(())), "{coding:?} cut at {at}");
        }
    }
}

#[test]
fn all_fields_of_a_gzip_header_are_read_over() {
    let plain = b"body".to_vec();
    let bare = encoded(&[Applied::BareDeflate], std::slice::from_ref(&plain)).concat();
    let trailer = [crc32fast::hash(&plain).to_le_bytes(), 4u32.to_le_bytes()].concat();
    let fields: [(u8, &[u8]); 3] = [(4, b"\x03\x00abc"), (8, b"name\0"), (16, b"a comment\0")];
    for combination in 0..16u8 {
        let chosen = || fields.iter().enumerate().filter(|(place, _)| combination >> place & 1 == 1);
        let with_check = combination & 8 != 0;
        let flags = chosen().map(|(_, (flag, _))| flag).sum::<u8>() | if with_check { 2 } else { 0 };
        let mut header = vec![0x1f, 0x8b, 8, flags, 1, 2, 3, 4, 2, 3];
        chosen().for_each(|(_, (_, field))| header.extend_from_slice(field));
        let check = crc32fast::hash(&header) as u16;
        let body = |check: u16| {
            let check = if with_check { check.to_le_bytes().to_vec() } else { Vec::new() };
            [header.clone(), check, bare.clone(), trailer.clone()].concat()
        };
        let coded = body(check);
        for at in 0..=coded.len() {
            let (head, tail) = coded.split_at(at);
            let decoded = decode(decoder(&[Applied::Gzip]), [head, tail], PIECE_BYTES);
            assert_eq!(decoded, (plain.clone(), Ok(())), "flags {flags:#b} cut at {at}");
        }
        if with_check {
            let decoded = decode(decoder(&[Applied::Gzip]), [&body(check ^ 0x0100)[..]], 1);
            assert_eq!(decoded.1, Err(CodingFault::Corrupt), "flags {flags:#b}");
        }
    }
}

// === bodies that are not ===

#[test]
fn a_body_that_is_cut_off_is_no_whole_one() {
    let (plain, whole) = (events(), events().concat());
    for list in LISTS {
        let coded = encoded(list, &plain).concat();
        for end in 1..coded.len() {
            let (decoded, ended) = decode(decoder(list), [&coded[..end]], PIECE_BYTES);
            assert!(whole.starts_with(&decoded), "{list:?} cut off at {end}");
            assert_eq!(ended, Err(CodingFault::Truncated), "{list:?} cut off at {end}");
        }
    }
}

#[test]
fn a_body_that_goes_on_is_refused() {
    use Applied::*;
    let rows: [(Applied, &[u8], CodingFault); 10] = [
        (Gzip, b"x", CodingFault::Trailing),
        (Gzip, b"\0\0\0", CodingFault::Trailing),
        (Gzip, b"\x1f", CodingFault::Truncated), // so far it might be another member
        (Gzip, b"\x1f\x8c", CodingFault::Corrupt),
        (Deflate, b"x", CodingFault::Trailing),
        (BareDeflate, b"\0", CodingFault::Trailing),
        (Brotli, b"x", CodingFault::Trailing),
        (Brotli, b"\0\0", CodingFault::Trailing),
        (Zstd, b"\x28", CodingFault::Truncated), // so far it might be another frame
        (Zstd, b"xxxx", CodingFault::Corrupt),
    ];
    for (coding, more, expected) in rows {
        let coded = [encoded(&[coding], &events()).concat(), more.to_vec()].concat();
        for size in [1, coded.len()] {
            let (decoded, ended) = decode(decoder(&[coding]), coded.chunks(size), PIECE_BYTES);
            assert_eq!(ended, Err(expected), "{coding:?} {more:?} in pieces of {size}");
            assert_eq!(decoded, events().concat(), "{coding:?} {more:?} in pieces of {size}");
        }
    }
}

#[test]
fn damage_is_found_where_there_is_a_checksum_and_never_does_harm() {
    let (plain, whole) = (events(), events().concat());
    for list in LISTS {
        let coded = encoded(list, &plain).concat();
        // How many bytes at its end tell what was decoded.
        let trailer = match list {
            [Applied::Gzip] => Some(8),
            [Applied::Deflate | Applied::Zstd] => Some(4),
            _ => None,
        };
        for at in 0..coded.len() {
            for bit in 0..8 {
                let mut damaged = coded.clone();
                damaged[at] ^= 1 << bit;
                let (decoded, ended) = decode(decoder(list), damaged.chunks(13), PIECE_BYTES);
                if let Some(trailer) = trailer {
                    let may_pass = at + trailer < coded.len() && decoded == whole;
                    assert!(ended.is_err() || may_pass, "{list:?}, bit {bit} of byte {at}");
                }
            }
        }
    }
}

#[test]
fn windows_beyond_the_bound_are_refused() {
    // A zstd frame of one byte in a stored block, with a window descriptor (RFC 8878 section 3.1.1.1.2).
    let frame = |window: u8| [b"\x28\xb5\x2f\xfd\x00", &[window][..], b"\x09\x00\x00!"].concat();
    for (window, expected) in [
        (0, Ok(())),
        (13 << 3, Ok(())), // 8 MiB
        (13 << 3 | 1, Err(CodingFault::Window)),
        (14 << 3, Err(CodingFault::Window)),
        (31 << 3, Err(CodingFault::Window)),
    ] {
        let (decoded, ended) = decode(decoder(&[Applied::Zstd]), [&frame(window)[..]], 1);
        assert_eq!(ended, expected, "window {window:#x}");
        assert_eq!(decoded.is_empty(), ended.is_err(), "window {window:#x}");
    }
    // What begins a br stream with a large window.
    let (_, ended) = decode(decoder(&[Applied::Brotli]), [&[0x11, 0x1e, 0, 0, 0, 0][..]], 1);
    assert_eq!(ended, Err(CodingFault::Corrupt));
}

/// A zstd frame of so many blocks that repeat a byte 128 KiB long.
fn bomb(blocks: u64) -> Vec<u8> {
    let block = |last: u32| (128u32 << 13 | 1 << 1 | last).to_le_bytes()[..3].to_vec();
    let mut frame = b"\x28\xb5\x2f\xfd\x00\x38".to_vec(); // a window of 128 KiB
    for n in 1..=blocks {
        frame.extend(block(u32::from(n == blocks)));
        frame.push(b'0');
    }
    frame
}

#[test]
fn a_bomb_is_given_up_at_the_bound() {
    let decoded = |bytes: &[u8]| {
        let (mut decoder, mut rest, mut made) = (decoder(&[Applied::Zstd]), bytes, 0);
        loop {
            match decoder.next(&mut rest, PIECE_BYTES) {
                Ok(Some(piece)) => made += piece.len() as u64,
                Ok(None) => return (made, decoder.finish()),
                Err(fault) => return (made, Err(fault)),
            }
        }
    };
    let blocks = FREE_BYTES / (128 << 10);
    assert_eq!(decoded(&bomb(blocks)), (FREE_BYTES, Ok(())));
    let (made, ended) = decoded(&bomb(20 * blocks));
    assert_eq!(ended, Err(CodingFault::Expansion));
    let most = FREE_BYTES + EXPANSION_MAX * bomb(20 * blocks).len() as u64;
    assert!((FREE_BYTES..=most).contains(&made), "{made} of at most {most}");
}

// === what nobody thought of ===

fn list() -> impl Strategy<Value = Vec<Applied>> {
    let one = prop::sample::select(&Applied::ALL[..5]);
    prop::collection::vec(one, 1..=CODINGS_MAX)
}

fn body() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let text = "[a-c ]{0,60}".prop_map(String::into_bytes);
    let noise = prop::collection::vec(any::<u8>(), 0..200);
    let run = (any::<u8>(), 0..70_000usize).prop_map(|(byte, length)| vec![byte; length]);
    prop::collection::vec(prop_oneof![4 => text, 4 => noise, 1 => run], 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_was_encoded_is_decoded(list in list(), body in body(), size in 1..3_000usize, most in 1..20_000usize) {
        let most = most.min(PIECE_BYTES);
        let coded = encoded(&list, &body).concat();
        let (decoded, ended) = decode(decoder(&list), coded.chunks(size), most);
        prop_assert!(decoded == body.concat(), "{list:?}");
        prop_assert_eq!(ended, Ok(()));
    }

    #[test]
    fn nonsense_is_refused_or_decoded_but_does_no_harm(
        list in list(),
        body in prop::collection::vec(any::<u8>(), 0..300),
        keep in 0..40usize,
        size in 1..50usize,
    ) {
        // With a beginning that is well, so that it gets past the first bytes.
        let well = encoded(&list, &events()).concat();
        let nonsense = [&well[..keep.min(well.len())], &body].concat();
        let whole = decode(decoder(&list), [&nonsense[..]], PIECE_BYTES);
        let pieces = decode(decoder(&list), nonsense.chunks(size), 11);
        if whole.1.is_ok() || pieces.1.is_ok() {
            prop_assert_eq!(whole, pieces);
        }
    }
}
