//! JSON objects, appended to a buffer member by member.

use std::fmt::Display;
use std::io::Write;

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
    pub(super) fn member(&mut self, name: &str) -> &mut Vec<u8> {
        let before = if self.is_empty { "" } else { "," };
        self.is_empty = false;
        let _ = write!(self.out, "{before}\"{name}\":");
        self.out
    }

    /// A string of any characters, or null.
    pub(super) fn text(&mut self, name: &str, value: Option<&str>) {
        let _ = serde_json::to_writer(self.member(name), &value);
    }

    /// A value whose text has nothing to escape, as a string.
    pub(super) fn quoted(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.member(name), "\"{value}\"");
    }

    /// A number or a boolean.
    pub(super) fn plain(&mut self, name: &str, value: impl Display) {
        let _ = write!(self.member(name), "{value}");
    }

    /// A number or a boolean, or null.
    pub(super) fn plain_or_null<V: Display>(&mut self, name: &str, value: Option<V>) {
        match value {
            Some(value) => self.plain(name, value),
            None => self.plain(name, "null"),
        }
    }

    /// Closes the object.
    pub(super) fn end(self) {
        self.out.push(b'}');
    }
}
