//! Reading a decoded JSON text without copying it: a view over the tape that simd-json fills.

use simd_json::{Buffers, Node, StaticNode, Tape};
use std::mem;

/// The deepest nesting that is accepted; what a request or an answer of a provider needs is below 30.
///
/// It bounds the recursion of [`super::emit::Emit::value`].
const DEPTH_MAX: usize = 128;

/// Decodes JSON texts one after another, keeping its buffers for the next.
pub(in crate::llm) struct Decoder {
    buffers: Buffers,
    tape: Tape<'static>,
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder { buffers: Buffers::with_max_depth(0, DEPTH_MAX), tape: Tape(Vec::new()) }
    }
}

impl Decoder {
    /// Hands the value in `text` to `read`; `None` when it is not one whole JSON text, is nested deeper
    /// than 128 levels, or holds an integer beyond 64 bits. Strings are unescaped in place, so `text` is not
    /// to be read afterwards.
    pub(in crate::llm) fn decode<R>(
        &mut self,
        text: &mut [u8],
        read: impl FnOnce(Value<'_, '_>) -> R,
    ) -> Option<R> {
        let mut tape = mem::replace(&mut self.tape, Tape(Vec::new())).reset();
        let filled = simd_json::fill_tape(text, &mut self.buffers, &mut tape);
        let answer = filled.is_ok().then(|| read(Value(&tape.0)));
        self.tape = tape.reset();
        answer
    }
}

/// A decoded text that stays, for values that are made while another text is read.
pub(super) struct Kept<'b>(Tape<'b>);

impl<'b> Kept<'b> {
    /// Decodes `text`; of what is no JSON, and of nothing, the value is null.
    pub(super) fn of(text: &'b mut [u8]) -> Kept<'b> {
        let mut tape = Tape(Vec::new());
        let filled = text.is_empty()
            || simd_json::fill_tape(text, &mut Buffers::with_max_depth(0, DEPTH_MAX), &mut tape).is_ok();
        if filled { Kept(tape) } else { Kept(Tape(Vec::new())) }
    }

    pub(super) fn value(&self) -> Value<'_, 'b> {
        Value(&self.0.0)
    }
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::llm) enum Kind<'b> {
    Null,
    Bool(bool),
    U64(u64),
    I64(i64),
    F64(f64),
    String(&'b str),
    Array,
    Object,
}

/// One value on the tape: its own node and, after it, the nodes of what it holds.
#[derive(Clone, Copy)]
pub(in crate::llm) struct Value<'t, 'b>(&'t [Node<'b>]);

impl<'t, 'b> Value<'t, 'b> {
    pub(in crate::llm) fn kind(self) -> Kind<'b> {
        match self.0.first() {
            Some(Node::String(text)) => Kind::String(text),
            Some(Node::Object { .. }) => Kind::Object,
            Some(Node::Array { .. }) => Kind::Array,
            Some(Node::Static(StaticNode::Bool(is))) => Kind::Bool(*is),
            Some(Node::Static(StaticNode::U64(number))) => Kind::U64(*number),
            Some(Node::Static(StaticNode::I64(number))) => Kind::I64(*number),
            Some(Node::Static(StaticNode::F64(number))) => Kind::F64(*number),
            Some(Node::Static(StaticNode::Null)) | None => Kind::Null,
        }
    }

    pub(in crate::llm) fn is_object(self) -> bool {
        self.kind() == Kind::Object
    }

    pub(in crate::llm) fn is_array(self) -> bool {
        self.kind() == Kind::Array
    }

    pub(in crate::llm) fn is_null(self) -> bool {
        self.kind() == Kind::Null
    }

    pub(in crate::llm) fn str(self) -> Option<&'b str> {
        if let Kind::String(text) = self.kind() { Some(text) } else { None }
    }

    pub(in crate::llm) fn bool(self) -> Option<bool> {
        if let Kind::Bool(is) = self.kind() { Some(is) } else { None }
    }

    /// A whole number of zero or more; `4096.0` counts as one, as some clients write all numbers so.
    pub(in crate::llm) fn u64(self) -> Option<u64> {
        match self.kind() {
            Kind::U64(number) => Some(number),
            Kind::F64(number) if number.fract() == 0.0 && (0.0..=9e15).contains(&number) => {
                Some(number as u64)
            }
            _ => None,
        }
    }

    pub(in crate::llm) fn f64(self) -> Option<f64> {
        match self.kind() {
            Kind::U64(number) => Some(number as f64),
            Kind::I64(number) => Some(number as f64),
            Kind::F64(number) => Some(number),
            _ => None,
        }
    }

    /// The member called `name`, the last one if it is given twice; `None` when it is missing or null, which
    /// mean the same in both formats.
    pub(in crate::llm) fn get(self, name: &str) -> Option<Value<'t, 'b>> {
        let named = self.members().filter(|(key, _)| *key == name).last();
        named.map(|(_, value)| value).filter(|value| !value.is_null())
    }

    /// The string member called `name`; empty when there is none.
    pub(in crate::llm) fn text(self, name: &str) -> &'b str {
        self.get(name).and_then(Value::str).unwrap_or_default()
    }

    /// Names and values of an object; nothing for any other value.
    pub(in crate::llm) fn members(self) -> impl Iterator<Item = (&'b str, Value<'t, 'b>)> + use<'t, 'b> {
        let mut rest = if self.is_object() { self.held() } else { &[] };
        std::iter::from_fn(move || {
            let (name, after) = rest.split_first()?;
            let (value, after) = first_value(after)?;
            rest = after;
            if let Node::String(name) = name { Some((*name, value)) } else { None }
        })
    }

    /// The values of an array; nothing for any other value.
    pub(in crate::llm) fn elements(self) -> impl Iterator<Item = Value<'t, 'b>> + use<'t, 'b> {
        let mut rest = if self.is_array() { self.held() } else { &[] };
        std::iter::from_fn(move || {
            let (value, after) = first_value(rest)?;
            rest = after;
            Some(value)
        })
    }

    fn held(self) -> &'t [Node<'b>] {
        self.0.get(1..).unwrap_or_default()
    }
}

fn first_value<'t, 'b>(nodes: &'t [Node<'b>]) -> Option<(Value<'t, 'b>, &'t [Node<'b>])> {
    let held = match nodes.first()? {
        Node::Object { count, .. } | Node::Array { count, .. } => *count,
        Node::String(_) | Node::Static(_) => 0,
    };
    let (value, after) = nodes.split_at_checked(held + 1)?;
    Some((Value(value), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with<R>(json: &str, read: impl FnOnce(Value<'_, '_>) -> R) -> Option<R> {
        Decoder::default().decode(&mut json.as_bytes().to_vec(), read)
    }

    #[test]
    fn members_and_elements_are_found_behind_nested_ones() {
        let json = r#"{"a":[[1,2],{"x":[]}],"b":null,"c":"s","a2":{"d":1.0},"c":"last"}"#;
        with(json, |v| {
            assert_eq!(v.get("a").unwrap().elements().count(), 2);
            assert!(v.get("b").is_none() && v.get("zz").is_none());
            assert_eq!(v.text("c"), "last");
            assert_eq!(v.get("a2").unwrap().get("d").unwrap().u64(), Some(1));
            assert_eq!(v.members().count(), 5);
            assert_eq!((v.elements().count(), v.get("c").unwrap().members().count()), (0, 0));
        })
        .unwrap();
    }

    #[test]
    fn a_decoder_is_used_again_after_a_bad_text() {
        let mut decoder = Decoder::default();
        for (json, good) in [("{\"a\":1}", true), ("{\"a\":", false), ("[1]", true), ("", false), ("2", true)]
        {
            assert_eq!(decoder.decode(&mut json.as_bytes().to_vec(), |_| ()).is_some(), good, "{json}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for (depth, good) in [(128, true), (129, false), (100_000, false)] {
            let json = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(with(&json, |_| ()).is_some(), good, "{depth}");
        }
    }
}
