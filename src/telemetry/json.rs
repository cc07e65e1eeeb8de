//! JSON objects, appended to a buffer member by member.

use super::time::Utc;
use crate::base::ascii::{push_decimal, push_ip};
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

/// A JSON object in the making. Member names are written as they are. Writing to a `Vec` does not fail, so
/// the results of doing so are dropped.
pub(super) struct Object<'o> {
    out: &'o mut Vec<u8>,
    is_empty: bool,
}

impl<'o> Object<'o> {
    /// Opens an object at the end of `out`.
    pub(super) fn begin(out: &'o mut Vec<u8>) -> Object<'o> {
        out.push(b'{');
        Object { out, is_empty: true }
    }

    /// Writes the name of a member; the value is the caller's to append.
    // In line, so that a name is a number of bytes that is known: copying it is a few instructions then.
    #[inline(always)]
    pub(super) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        self.out.reserve(name.len() + 4);
        if !std::mem::replace(&mut self.is_empty, false) {
            self.out.push(b',');
        }
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        self.out
    }

    /// A string of any characters, or null.
    pub(super) fn text(&mut self, name: &str, value: Option<&str>) {
        let out = self.member(name);
        match value {
            None => out.extend_from_slice(b"null"),
            Some(text) if must_be_escaped(text.as_bytes()) => {
                let _ = serde_json::to_writer(out, text);
            }
            Some(text) => quote(out, text.as_bytes()),
        }
    }

    /// A word of ours, in which there is nothing to escape, as a string.
    pub(super) fn word(&mut self, name: &str, value: &'static str) {
        quote(self.member(name), value.as_bytes());
    }

    /// A value whose text has nothing to escape, as a string.
    pub(super) fn quoted(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.member(name), "\"{value}\"");
    }

    /// An instant, as a string.
    pub(super) fn time(&mut self, name: &str, time: Utc) {
        quote(self.member(name), &time.text());
    }

    /// An address and a port, as a string.
    pub(super) fn address(&mut self, name: &str, address: SocketAddr) {
        let SocketAddr::V4(v4) = address else { return self.quoted(name, address) };
        let out = self.member(name);
        out.push(b'"');
        push_ip(out, (*v4.ip()).into());
        out.push(b':');
        push_decimal(out, v4.port().into());
        out.push(b'"');
    }

    /// A number or a boolean.
    pub(super) fn plain(&mut self, name: &str, value: impl Plain) {
        value.append(self.member(name));
    }

    /// A number or a boolean, or null.
    pub(super) fn plain_or_null<V: Plain>(&mut self, name: &str, value: Option<V>) {
        match value {
            Some(value) => self.plain(name, value),
            None => self.member(name).extend_from_slice(b"null"),
        }
    }

    /// Closes the object.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}

/// Whether a JSON string of `text` has escapes (RFC 8259 section 7).
fn must_be_escaped(text: &[u8]) -> bool {
    // Looks at all of it, many bytes at a time, as it is short and seldom has any.
    let special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    text.iter().fold(false, |found, byte| found | special(*byte))
}

fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}
