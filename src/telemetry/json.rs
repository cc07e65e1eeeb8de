//! JSON objects, appended to a buffer member by member.

use super::time::Utc;
use crate::base::ascii::{push_decimal, push_ip};
use crate::base::lanes::{self, is_unquotable};
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;

/// A value whose JSON is its plain text. Records are many and have many of them, so that none of it goes through
/// `fmt`.
pub(super) trait Plain {
    fn append(self, out: &mut Vec<u8>);
}

macro_rules! plain_numbers {
    ($($number:ty)*) => {$(
        impl Plain for $number {
            fn append(self, out: &mut Vec<u8>) {
                push_decimal(out, u64::from(self));
            }
        }
    )*};
}

plain_numbers!(u8 u16 u32 u64);

impl Plain for i64 {
    fn append(self, out: &mut Vec<u8>) {
        if self < 0 {
            out.push(b'-');
        }
        push_decimal(out, self.unsigned_abs());
    }
}

impl Plain for bool {
    fn append(self, out: &mut Vec<u8>) {
        out.extend_from_slice(if self { b"true" } else { b"false" });
    }
}

/// How a member named so begins: `,"name":`. One literal, so that it is one copy of a length that is known.
macro_rules! lead {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}
pub(super) use lead;

/// A JSON object in the making. Members begin with a [`lead`]. Writing to a `Vec` does not fail, so the results of doing so
/// are dropped.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    /// Where it begins: the comma of its first member becomes its bracket.
    begin: usize,
}

// What each member needs is in line, so that the length of its lead is known where it is copied.
impl<'o> Object<'o> {
    /// Opens an object at the end of `out`.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Object<'o> {
        Object { begin: out.len(), out }
    }

    /// Begins a member; the value is the caller's to append.
    #[inline(always)]
    pub(super) fn member(&mut self, lead: &'static str) -> &mut Vec<u8> {
        self.out.extend_from_slice(lead.as_bytes());
        self.out
    }

    /// A string of any characters, or null, with a name that is not known here and that needs no escapes.
    pub(super) fn named_text(&mut self, name: &str, value: Option<&str>) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        text_or_null(self.out, value);
    }

    /// A string of any characters, or null.
    #[inline(always)]
    pub(super) fn text(&mut self, lead: &'static str, value: Option<&str>) {
        text_or_null(self.member(lead), value);
    }

    /// A word of ours, in which there is nothing to escape, as a string.
    #[inline(always)]
    pub(super) fn word(&mut self, lead: &'static str, value: &'static str) {
        quote(self.member(lead), value.as_bytes());
    }

    /// A word of ours, or null.
    #[inline(always)]
    pub(super) fn word_or_null(&mut self, lead: &'static str, value: Option<&'static str>) {
        match value {
            Some(word) => self.word(lead, word),
            None => self.member(lead).extend_from_slice(b"null"),
        }
    }

    /// A value whose text has nothing to escape, as a string.
    pub(super) fn quoted(&mut self, lead: &'static str, value: impl Display) {
        let _ = write!(self.member(lead), "\"{value}\"");
    }

    /// An instant, as a string.
    pub(super) fn time(&mut self, lead: &'static str, time: Utc) {
        quote(self.member(lead), &time.text());
    }

    /// An address and a port, as a string.
    pub(super) fn address(&mut self, lead: &'static str, address: SocketAddr) {
        let SocketAddr::V4(v4) = address else { return self.quoted(lead, address) };
        let out = self.member(lead);
        out.push(b'"');
        push_ip(out, (*v4.ip()).into());
        out.push(b':');
        push_decimal(out, v4.port().into());
        out.push(b'"');
    }

    /// A number or a boolean.
    #[inline(always)]
    pub(super) fn plain(&mut self, lead: &'static str, value: impl Plain) {
        value.append(self.member(lead));
    }

    /// A number or a boolean, or null.
    #[inline(always)]
    pub(super) fn plain_or_null<V: Plain>(&mut self, lead: &'static str, value: Option<V>) {
        match value {
            Some(value) => self.plain(lead, value),
            None => self.member(lead).extend_from_slice(b"null"),
        }
    }

    /// Closes the object.
    #[inline(always)]
    pub(super) fn end(self) {
        match self.out.get_mut(self.begin) {
            Some(comma) => *comma = b'{',
            None => self.out.push(b'{'),
        }
        self.out.push(b'}');
    }
}

fn text_or_null(out: &mut Vec<u8>, value: Option<&str>) {
    match value {
        None => out.extend_from_slice(b"null"),
        Some(text) if must_be_escaped(text.as_bytes()) => {
            let _ = serde_json::to_writer(out, text);
        }
        Some(text) => quote(out, text.as_bytes()),
    }
}

/// Whether a JSON string of `text` has escapes (RFC 8259 section 7).
fn must_be_escaped(text: &[u8]) -> bool {
    let (blocks, tail) = text.as_chunks();
    if blocks.iter().any(|block| lanes::unquotable(block) != 0) {
        return true;
    }
    match text.last_chunk() {
        Some(last) => lanes::unquotable(last) != 0, // the tail, and some bytes again
        None => tail.iter().any(|byte| is_unquotable(*byte)),
    }
}

fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}
