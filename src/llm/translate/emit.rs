//! Writing JSON straight into a buffer, with the commas where they belong.

use super::read::{Kind, Value};
use std::io::Write as _;

/// Appends one JSON text to a buffer.
///
/// Call [`Emit::key`] before every value inside an object and nothing before a value inside an array;
/// [`Emit::object`] and [`Emit::array`] open and close what the closure writes, so nothing stays open.
/// A string of several pieces is written with [`Emit::text`].
pub(in crate::llm) struct Emit<'o> {
    out: &'o mut Vec<u8>,
    /// Whether a value stands before the next one on this level, so that a comma must part them.
    comma: bool,
}

impl<'o> Emit<'o> {
    /// Writes at the end of `out`.
    pub(in crate::llm) fn new(out: &'o mut Vec<u8>) -> Emit<'o> {
        Emit { out, comma: false }
    }

    /// Goes on writing members into an object that is open at the end of `out`; `comma` says whether it
    /// has members already.
    pub(super) fn inside(out: &'o mut Vec<u8>, comma: bool) -> Emit<'o> {
        Emit { out, comma }
    }

    /// The name of the next member.
    pub(in crate::llm) fn key(&mut self, name: &str) -> &mut Self {
        self.str(name);
        self.out.push(b':');
        self.comma = false;
        self
    }

    /// An object with the members that `body` writes.
    pub(in crate::llm) fn object(&mut self, body: impl FnOnce(&mut Self)) {
        self.open(b'{');
        body(self);
        self.close(b'}');
    }

    /// An array with the elements that `body` writes.
    pub(in crate::llm) fn array(&mut self, body: impl FnOnce(&mut Self)) {
        self.open(b'[');
        body(self);
        self.close(b']');
    }

    /// An array whose `elements` are written already, with their commas.
    pub(super) fn elements(&mut self, elements: &[u8]) {
        self.open(b'[');
        self.out.extend_from_slice(elements);
        self.close(b']');
    }

    /// A value that is written already.
    pub(super) fn written(&mut self, json: &[u8]) {
        self.part();
        self.out.extend_from_slice(json);
        self.comma = true;
    }

    /// Opens an object or array by its bracket; for levels that no closure can span.
    pub(super) fn open(&mut self, bracket: u8) {
        self.part();
        self.out.push(bracket);
        self.comma = false;
    }

    /// Closes what [`Emit::open`] opened.
    pub(super) fn close(&mut self, bracket: u8) {
        self.out.push(bracket);
        self.comma = true;
    }

    /// A string.
    pub(in crate::llm) fn str(&mut self, text: &str) {
        self.text([text]);
    }

    /// One string made of several pieces.
    pub(super) fn text<'p>(&mut self, pieces: impl IntoIterator<Item = &'p str>) {
        self.part();
        self.out.push(b'"');
        for piece in pieces {
            escape(piece, self.out);
        }
        self.out.push(b'"');
        self.comma = true;
    }

    /// A whole number.
    pub(in crate::llm) fn u64(&mut self, number: u64) {
        self.part();
        decimal(number, self.out);
        self.comma = true;
    }

    /// `true` or `false`.
    pub(in crate::llm) fn bool(&mut self, is: bool) {
        self.raw(if is { "true" } else { "false" });
    }

    /// One string of several texts with `joint` between them.
    pub(super) fn joined(&mut self, texts: &[&str], joint: &str) {
        let joints = std::iter::once("").chain(std::iter::repeat(joint));
        self.text(texts.iter().zip(joints).flat_map(|(text, joint)| [joint, text]));
    }

    /// A number with a fraction; finite, as JSON has no other.
    pub(super) fn f64(&mut self, number: f64) {
        // Rust's shortest form that reads back the same: `0.7`, `1.0`, `1e300`; JSON all of them.
        self.shown(format_args!("{number:?}"));
    }

    /// `true`, `false`, `null`, or JSON that the caller knows to be valid.
    pub(in crate::llm) fn raw(&mut self, json: &str) {
        self.part();
        self.out.extend_from_slice(json.as_bytes());
        self.comma = true;
    }

    /// A decoded value as it was, compact.
    pub(super) fn value(&mut self, value: Value<'_, '_>) {
        match value.kind() {
            Kind::String(text) => self.str(text),
            Kind::U64(number) => self.u64(number),
            Kind::I64(number) => self.shown(format_args!("{number}")),
            Kind::F64(number) => self.f64(number),
            Kind::Bool(true) => self.raw("true"),
            Kind::Bool(false) => self.raw("false"),
            Kind::Null => self.raw("null"),
            Kind::Array => self.array(|e| value.elements().for_each(|element| e.value(element))),
            Kind::Object => self.object(|e| {
                value.members().for_each(|(name, member)| e.key(name).value(member));
            }),
        }
    }

    fn shown(&mut self, number: std::fmt::Arguments<'_>) {
        self.part();
        let _ = self.out.write_fmt(number); // a Vec takes everything
        self.comma = true;
    }

    fn part(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
    }
}

/// Appends one SSE event of those formats whose data begins with its type, which is its name.
pub(in crate::llm) fn event(name: &str, out: &mut Vec<u8>, members: impl FnOnce(&mut Emit<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    Emit::new(out).object(|e| {
        e.key("type").str(name);
        members(e);
    });
    out.extend_from_slice(b"\n\n");
}

/// `value` as JSON text.
pub(in crate::llm) fn compact(value: Value<'_, '_>) -> String {
    let mut text = Vec::new();
    Emit::new(&mut text).value(value);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends `number` in decimal.
pub(super) fn decimal(number: u64, out: &mut Vec<u8>) {
    let _ = write!(out, "{number}");
}

/// Appends `text` as it stands between the quotes of a JSON string (RFC 8259 section 7).
pub(super) fn escape(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    out.reserve(rest.len());
    while !rest.is_empty() {
        let plain = plain_run(rest);
        let (run, tail) = rest.split_at(plain);
        out.extend_from_slice(run);
        let Some((byte, tail)) = tail.split_first() else { return };
        escape_byte(*byte, out);
        rest = tail;
    }
}

/// How many bytes at the front need no escape; eight at a time, as nearly all text needs none.
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    // A byte of `x` is zero exactly when some bit of HIGH survives; a false hit only costs the slow loop.
    let zero_in = |x: u64| x.wrapping_sub(ONES) & !x & HIGH;
    let (words, _) = bytes.as_chunks::<8>();
    let plain_words = words
        .iter()
        .take_while(|word| {
            let word = u64::from_le_bytes(**word);
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
            control | zero_in(word ^ (ONES * 0x22)) | zero_in(word ^ (ONES * 0x5c)) == 0
        })
        .count();
    let start = plain_words * 8;
    let tail = bytes.get(start..).unwrap_or_default();
    start + tail.iter().position(|b| needs_escape(*b)).unwrap_or(tail.len())
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cold]
fn escape_byte(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        other => {
            let _ = write!(out, "\\u{other:04x}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::translate::read::Decoder;
    use proptest::prelude::*;

    #[test]
    fn values_are_written_as_they_were_read() {
        for json in [
            r#"{"a":[1,-2,0.7,1e300,true,false,null,"x"],"b":{},"c":[],"d":{"e":[{"f":1},2]}}"#,
            r#"[]"#,
            r#""a\"b\\c\nd\te\u0001é😀""#,
            "18446744073709551615",
            "-9223372036854775808",
            "1.0",
        ] {
            let mut body = json.as_bytes().to_vec();
            let written = Decoder::default().decode(&mut body, compact).unwrap();
            assert_eq!(written, json);
        }
    }

    proptest! {
        #[test]
        fn escaped_text_reads_back_the_same(text in "(?s)[\\x00-\\x7f]{0,40}|.{0,40}") {
            let mut json = Vec::new();
            Emit::new(&mut json).str(&text);
            let back: String = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(back, text);
        }
    }
}
