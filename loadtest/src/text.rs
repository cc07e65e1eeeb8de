//! What answers say, computable by a test that knows the request.

use crate::script::{Reply, Script};

/// Digits of a request's number where it stands in an answer.
pub(crate) const NUMBER_DIGITS: usize = 10;

/// The text of the answer to request `number` (from `x-sim-request`), which asked for `model` and whose last message
/// of role `user` had this text (text parts of a list joined). Whole answers hold it; the deltas of streams make it.
///
/// It is `"<model> <number, 10 digits> <fnv1a64 of user_text, 16 hex digits>"`, followed by the padding that
/// `chunks` and `chunk_bytes` ask for. With [`Reply::Text`] it is that text.
pub fn reply_text(model: &str, user_text: &str, number: u64, script: &Script) -> String {
    let number = format!("{number:010}");
    reply_pieces(script, model, user_text).concat().replace(NUMBER_MARK, &number)
}

/// Stands for the request's number in [`reply_pieces`]. A control character that no model's name holds in JSON text.
pub(crate) const NUMBER_MARK: &str = "\u{1}";

/// The text of an answer in the pieces of a stream.
pub(crate) fn reply_pieces(script: &Script, model: &str, user_text: &str) -> Vec<String> {
    let count = script.chunk_count();
    match &script.reply {
        Reply::Text(text) => split_evenly(&text.replace(NUMBER_MARK, ""), count),
        Reply::Derived => {
            let model = model.replace(NUMBER_MARK, "");
            let first = format!("{model} {NUMBER_MARK} {:016x}", fnv1a64(user_text.as_bytes()));
            let padding = (1..count).map(|index| padding(index, script.chunk_size()));
            std::iter::once(first).chain(padding).collect()
        }
    }
}

/// FNV-1a, 64 bits: the hash that answers carry.
pub fn fnv1a64(bytes: &[u8]) -> u64 {
    fnv1a64_more(0xcbf2_9ce4_8422_2325, bytes)
}

/// Continues a hash.
pub(crate) fn fnv1a64_more(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// The first `bytes` bytes of the body of `GET /plain`: printable ASCII from the space to the tilde, over and over.
pub fn plain_body(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| plain_byte(at as u64)).collect()
}

/// The byte at a position of the plain body.
pub(crate) fn plain_byte(at: u64) -> u8 {
    b' ' + (at % PLAIN_PERIOD) as u8
}

/// The plain body repeats after this many bytes.
pub(crate) const PLAIN_PERIOD: u64 = 95;

/// The filler of one content event: a space, its index, and `x` up to the size.
fn padding(index: usize, size: usize) -> String {
    let mut text = format!(" {index}");
    while text.len() < size {
        text.push('x');
    }
    text.truncate(size);
    text
}

/// `count` pieces of about the same size, cut between characters.
fn split_evenly(text: &str, count: usize) -> Vec<String> {
    let mut pieces = Vec::with_capacity(count);
    let mut from = 0;
    for index in 1..=count {
        let mut to = text.len() * index / count;
        while !text.is_char_boundary(to) {
            to += 1;
        }
        let to = to.max(from);
        pieces.push(text[from..to].to_string());
        from = to;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_can_be_computed() {
        let script = Script { chunks: 3, chunk_bytes: 5, ..Script::default() };
        let hash = format!("{:016x}", fnv1a64(b"hi"));
        assert_eq!(reply_text("m", "hi", 7, &script), format!("m 0000000007 {hash} 1xxx 2xxx"));
        let script = Script { reply: Reply::Text("häßlich".into()), chunks: 4, ..Script::default() };
        assert_eq!(reply_text("m", "hi", 7, &script), "häßlich");
        assert_eq!(reply_pieces(&script, "m", "hi").len(), 4);
        assert_eq!(fnv1a64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a64(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn plain_bodies_repeat() {
        let body = plain_body(200);
        assert_eq!((body[0], body[94], body[95]), (b' ', b'~', b' '));
    }
}
