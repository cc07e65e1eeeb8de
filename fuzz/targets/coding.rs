//! Content codings, alone and in lists.

use super::choice;
use super::cuts::Dice;
use tollgate::wire::coding::{CodingFault, Codings, Decoder, EXPANSION_MAX, FREE_BYTES, PIECE_BYTES};
use tollgate::wire::http1::{HeadLimits, Method, response};
use tollgate_loadtest::coding::{Coding, content_encoding, encode};

const LISTS: [&[Coding]; 8] = [
    &[Coding::Gzip],
    &[Coding::Deflate],
    &[Coding::BareDeflate],
    &[Coding::Brotli],
    &[Coding::Zstd],
    &[Coding::Gzip, Coding::Brotli],
    &[Coding::Zstd, Coding::Deflate],
    &[Coding::Gzip, Coding::Gzip, Coding::Zstd, Coding::Brotli],
];

/// Of a body that goes on expanding no more is looked at.
const MADE_MAX: u64 = 1 << 20;

/// The first byte chooses the list, and whether the bytes come as they are, or encoded and perhaps damaged.
pub(super) fn coding(data: &[u8]) {
    let (chosen, data) = choice(data);
    let list = LISTS[chosen % LISTS.len()];
    let pieces: Vec<&[u8]> = data.chunks(data.len().div_ceil(3).max(1)).collect();
    match chosen / LISTS.len() % 3 {
        0 => _ = read(list, data),
        1 => {
            let coded = encode(list, &pieces).concat();
            assert_eq!(read(list, &coded), Some((digest(data), data.len() as u64, Ok(()))), "{list:?}");
        }
        _ => {
            let mut coded = encode(list, &pieces).concat();
            let mut dice = Dice::of(data);
            match dice.below(3) {
                0 => coded.truncate(dice.below(coded.len())),
                1 => coded.insert(dice.below(coded.len() + 1), 0),
                _ if coded.is_empty() => {}
                _ => {
                    let at = dice.below(coded.len());
                    coded[at] ^= 1 << dice.below(8);
                }
            }
            _ = read(list, &coded);
        }
    }
}

/// A digest of what was decoded, how much it is, and how it ended; `None` when it is too much to look at.
type Decoded = Option<(u64, u64, Result<(), CodingFault>)>;

/// What a body decodes to, in whatever pieces it arrives.
fn read(list: &[Coding], coded: &[u8]) -> Decoded {
    let whole = decode(list, &[coded], PIECE_BYTES);
    let bytes: Vec<&[u8]> = coded.chunks(1).collect();
    let some: Vec<&[u8]> = coded.chunks(Dice::of(coded).below(200) + 1).collect();
    for (pieces, most) in [(bytes, 7), (some, PIECE_BYTES)] {
        if pieces.len() > 4096 {
            continue;
        }
        let cut = decode(list, &pieces, most);
        // Of a body that is not well, how much came out before the fault was seen may differ.
        match (&whole, &cut) {
            (Some((.., Err(_))), Some((.., Err(_)))) | (None, _) | (_, None) => {}
            _ => assert_eq!(cut, whole, "{list:?} in pieces"),
        }
    }
    whole
}

fn decode(list: &[Coding], pieces: &[&[u8]], most: usize) -> Decoded {
    let mut decoder = decoder(list);
    let (mut digest, mut made, mut received) = (DIGEST, 0u64, 0u64);
    for piece in pieces {
        let mut rest = *piece;
        received += piece.len() as u64;
        loop {
            match decoder.next(&mut rest, most) {
                Ok(Some(bytes)) => {
                    assert!(!bytes.is_empty() && bytes.len() <= most);
                    digest = bytes.iter().fold(digest, fold);
                    made += bytes.len() as u64;
                    assert!(made <= FREE_BYTES + EXPANSION_MAX * received, "a bomb");
                    if made > MADE_MAX {
                        return None;
                    }
                }
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(decoder.next(&mut &b"x"[..], 1), Err(fault), "a fault is final");
                    assert_eq!(decoder.finish(), Err(fault), "a fault is final");
                    return Some((digest, made, Err(fault)));
                }
            }
        }
        assert!(rest.is_empty(), "it said that all was eaten");
    }
    Some((digest, made, decoder.finish()))
}

fn decoder(list: &[Coding]) -> Decoder {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {}\r\n\r\n", content_encoding(list));
    let parsed = response(head.as_bytes(), &HeadLimits::default(), Method::Post).ok().flatten();
    let codings = parsed.and_then(|parsed| Codings::of(&parsed.headers, head.as_bytes()).ok());
    let codings = codings.unwrap_or_else(|| panic!("codings that are not known: {head}"));
    Decoder::new(&codings).unwrap_or_else(|| panic!("no codings: {head}"))
}

const DIGEST: u64 = 0xcbf2_9ce4_8422_2325;

fn fold(digest: u64, byte: &u8) -> u64 {
    (digest ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
}

fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(DIGEST, fold)
}
