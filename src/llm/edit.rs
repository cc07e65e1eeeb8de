use super::Ask;
use crate::base::Span;
use crate::wire::json::write;
use arrayvec::ArrayVec;

/// Changes to a body that leave its other bytes as they are and where they are.
///
/// Make one, say what to change ([`set_model`](Edits::set_model), [`include_usage`](Edits::include_usage)), then send
/// [`pieces`](Edits::pieces) in order with [`body_len`](Edits::body_len) as `Content-Length`. Saying the same change
/// again replaces the earlier one. [`clear`](Edits::clear) keeps the buffer for the next request or attempt.
#[derive(Clone, Debug, Default)]
pub struct Edits {
    /// In the order of the body.
    edits: ArrayVec<Edit, EDITS_MAX>,
    /// The replacements, one after the other.
    scratch: Vec<u8>,
}

/// A run of bytes of an edited body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece {
    /// Of the body as it came.
    Body(Span),
    /// Of [`Edits::scratch`].
    Scratch(Span),
}

/// One kind of edit each.
const EDITS_MAX: usize = 2;

/// The most pieces that a body falls into.
pub const PIECES_MAX: usize = 2 * EDITS_MAX + 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Edit {
    target: Target,
    /// What goes from the body; empty when nothing does.
    old: Span,
    /// What comes, in the scratch buffer.
    new: Span,
    /// It is a member put in after an opening brace: `new` ends with a comma, which is one too many when nothing
    /// follows in the object.
    into_empty: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Model,
    IncludeUsage,
    Version,
}

impl Edits {
    /// No changes.
    pub fn new() -> Edits {
        Edits::default()
    }

    /// No changes yet; those to come are written into `scratch`, which is emptied for it.
    pub fn in_buffer(mut scratch: Vec<u8>) -> Edits {
        scratch.clear();
        Edits { edits: ArrayVec::new(), scratch }
    }

    /// Gives the buffer back.
    pub fn into_buffer(self) -> Vec<u8> {
        self.scratch
    }

    /// Takes all changes back.
    pub fn clear(&mut self) {
        self.edits.clear();
        self.scratch.clear();
    }

    /// Whether the body stays as it is.
    pub fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Makes `name` the value of `model`, whether there was one or not.
    pub fn set_model(&mut self, ask: &Ask, name: &str) {
        let start = self.scratch.len();
        let Some(value) = ask.model_value else {
            self.scratch.extend_from_slice(br#""model":"#);
            write::string(&mut self.scratch, name);
            return self.put_in(Target::Model, ask.top, start);
        };
        write::string(&mut self.scratch, name);
        self.replace(Target::Model, value, start);
    }

    /// Puts `anthropic_version` into a body of Anthropic's formats.
    pub fn set_version(&mut self, ask: &Ask, version: &str) {
        let start = self.version(version);
        self.put_in(Target::Version, ask.top, start);
    }

    /// The same, and the model is no longer named.
    pub fn set_version_for_model(&mut self, ask: &Ask, version: &str) {
        match ask.model_member {
            Some(member) => {
                let start = self.version(version);
                self.replace(Target::Version, member, start);
            }
            None => self.set_version(ask, version),
        }
    }

    /// Writes the member; where it begins.
    fn version(&mut self, version: &str) -> usize {
        let start = self.scratch.len();
        self.scratch.extend_from_slice(br#""anthropic_version":"#);
        write::string(&mut self.scratch, version);
        start
    }

    /// Makes `stream_options.include_usage` true (OpenAI's format), so that the last chunk of a stream tells the usage.
    /// Other members of `stream_options` stay.
    pub fn include_usage(&mut self, ask: &Ask) {
        const OPTIONS: &[u8] = br#"{"include_usage":true}"#;
        let start = self.scratch.len();
        if ask.include_usage == Some(true) {
            return;
        }
        if let Some(value) = ask.include_usage_value {
            self.scratch.extend_from_slice(b"true");
            self.replace(Target::IncludeUsage, value, start);
        } else if let Some(options) = ask.stream_options {
            self.scratch.extend_from_slice(br#""include_usage":true"#);
            self.put_in(Target::IncludeUsage, options, start);
        } else if let Some(null) = ask.stream_options_null {
            self.scratch.extend_from_slice(OPTIONS);
            self.replace(Target::IncludeUsage, null, start);
        } else {
            self.scratch.extend_from_slice(br#""stream_options":"#);
            self.scratch.extend_from_slice(OPTIONS);
            self.put_in(Target::IncludeUsage, ask.top, start);
        }
    }

    /// The bytes that [`Piece::Scratch`] points into.
    pub fn scratch(&self) -> &[u8] {
        &self.scratch
    }

    /// The edited body in order, for a body of `len` bytes that the [`Ask`] was read from. No piece is empty.
    pub fn pieces(&self, len: usize) -> ArrayVec<Piece, PIECES_MAX> {
        let mut pieces = ArrayVec::new();
        let mut done = 0;
        for (index, edit) in self.edits.iter().enumerate() {
            push(&mut pieces, Piece::Body(Span { start: done, end: edit.old.start }));
            let followed =
                self.edits.get(index + 1).is_some_and(|next| next.into_empty && next.old == edit.old);
            let comma = u32::from(edit.into_empty && !followed);
            push(&mut pieces, Piece::Scratch(Span { start: edit.new.start, end: edit.new.end - comma }));
            done = edit.old.end;
        }
        push(&mut pieces, Piece::Body(Span { start: done, end: (len as u32).max(done) }));
        pieces
    }

    /// Bytes of the edited body, for a body of `len` bytes.
    pub fn body_len(&self, len: usize) -> usize {
        self.pieces(len).iter().map(|piece| piece.len()).sum()
    }

    /// Appends the edited body to `out`.
    pub fn apply(&self, body: &[u8], out: &mut Vec<u8>) {
        for piece in self.pieces(body.len()) {
            match piece {
                Piece::Body(span) => out.extend_from_slice(span.of(body)),
                Piece::Scratch(span) => out.extend_from_slice(span.of(&self.scratch)),
            }
        }
    }

    /// Puts the member that was written at `start` of the scratch buffer first into `object`.
    fn put_in(&mut self, target: Target, object: super::Braces, start: usize) {
        self.scratch.push(b',');
        let after_brace = object.span.start + 1;
        let old = Span { start: after_brace, end: after_brace };
        self.add(Edit { target, old, new: Span::new(start, self.scratch.len()), into_empty: object.empty });
    }

    fn replace(&mut self, target: Target, old: Span, start: usize) {
        self.add(Edit { target, old, new: Span::new(start, self.scratch.len()), into_empty: false });
    }

    fn add(&mut self, edit: Edit) {
        self.edits.retain(|other| other.target != edit.target);
        let at = self.edits.iter().take_while(|other| other.old.start <= edit.old.start).count();
        self.edits.insert(at, edit); // one of each target, so there is room
    }
}

impl Piece {
    /// Number of bytes; never 0 in what [`Edits::pieces`] returns.
    #[expect(clippy::len_without_is_empty, reason = "no piece is empty")]
    pub fn len(&self) -> usize {
        match self {
            Piece::Body(span) | Piece::Scratch(span) => span.len(),
        }
    }
}

fn push(pieces: &mut ArrayVec<Piece, PIECES_MAX>, piece: Piece) {
    if piece.len() > 0 {
        pieces.push(piece);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::{Format, Inspector};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    fn edited(body: &str, change: impl Fn(&mut Edits, &Ask)) -> String {
        let ask = Inspector::new(Format::OpenAiChat).finish(body.as_bytes()).unwrap();
        let mut edits = Edits::new();
        change(&mut edits, &ask);
        let mut out = Vec::new();
        edits.apply(body.as_bytes(), &mut out);
        assert_eq!(out.len(), edits.body_len(body.len()), "{body}");
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn bytes_that_are_not_edited_stay() {
        let rows = [
            (r#"{ "model" : "a" , "x":1}"#, r#"{ "model" : "m\"" , "x":1}"#),
            (r#"{"x":1,"model":null}"#, r#"{"x":1,"model":"m\""}"#),
            (r#"{"x":1}"#, r#"{"model":"m\"","x":1}"#),
            (r#" { } "#, r#" {"model":"m\"" } "#),
        ];
        for (body, expect) in rows {
            assert_eq!(edited(body, |edits, ask| edits.set_model(ask, "m\"")), expect);
        }
    }

    #[test]
    fn usage_is_asked_for_whatever_stood_there() {
        let rows = [
            (r#"{}"#, r#"{"stream_options":{"include_usage":true}}"#),
            (r#"{"a":1}"#, r#"{"stream_options":{"include_usage":true},"a":1}"#),
            (r#"{"stream_options":null,"a":1}"#, r#"{"stream_options":{"include_usage":true},"a":1}"#),
            (r#"{"stream_options":{ }}"#, r#"{"stream_options":{"include_usage":true }}"#),
            (r#"{"stream_options":{"b":[]}}"#, r#"{"stream_options":{"include_usage":true,"b":[]}}"#),
            (r#"{"stream_options":{"include_usage":false}}"#, r#"{"stream_options":{"include_usage":true}}"#),
            (
                r#"{"stream_options":{"include_usage": null}}"#,
                r#"{"stream_options":{"include_usage": true}}"#,
            ),
            (r#"{"stream_options":{"include_usage":true}}"#, r#"{"stream_options":{"include_usage":true}}"#),
        ];
        for (body, expect) in rows {
            assert_eq!(edited(body, |edits, ask| edits.include_usage(ask)), expect);
        }
    }

    #[test]
    fn both_edits_together_in_either_order() {
        let rows = [
            (r#"{}"#, r#"{"model":"m","stream_options":{"include_usage":true}}"#),
            (r#"{"a":1}"#, r#"{"model":"m","stream_options":{"include_usage":true},"a":1}"#),
            (r#"{"stream_options":null}"#, r#"{"model":"m","stream_options":{"include_usage":true}}"#),
            (r#"{"model":"x"}"#, r#"{"stream_options":{"include_usage":true},"model":"m"}"#),
        ];
        let both = |edits: &mut Edits, ask: &Ask| {
            edits.set_model(ask, "discarded");
            edits.set_model(ask, "m");
            edits.include_usage(ask);
            edits.include_usage(ask);
        };
        for (body, expect) in rows {
            assert_eq!(edited(body, both), expect);
            let reversed = edited(body, |edits, ask| {
                edits.include_usage(ask);
                edits.set_model(ask, "m");
            });
            let parse = |text: &str| serde_json::from_str::<Value>(text).unwrap();
            assert_eq!(parse(&reversed), parse(expect));
        }
    }

    fn member() -> impl Strategy<Value = (String, Value)> {
        let options = prop_oneof![
            Just(Value::Null),
            Just(json!({})),
            Just(json!({"include_usage": false})),
            Just(json!({"other": 1, "include_usage": null})),
            Just(json!({"include_usage": true, "z": {"include_usage": false}})),
        ];
        let content = any::<String>().prop_map(|text| json!([{"role": "user", "content": text}]));
        prop_oneof![
            prop_oneof![any::<String>().prop_map(Value::from), Just(Value::Null)]
                .prop_map(|value| ("model".to_owned(), value)),
            options.prop_map(|value| ("stream_options".to_owned(), value)),
            content.prop_map(|value| ("messages".to_owned(), value)),
            any::<bool>().prop_map(|value| ("stream".to_owned(), Value::from(value))),
            Just(("x".to_owned(), json!({"model": "inner", "stream_options": {}}))),
        ]
    }

    proptest! {
        #[test]
        fn same_as_an_edit_of_the_tree(
            members in prop::collection::hash_map(any::<u8>(), member(), 0..5),
            name in any::<String>(), pretty: bool, model_first: bool,
        ) {
            let mut tree: serde_json::Map<String, Value> = members.into_values().collect();
            let body = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) }.unwrap();
            let result = edited(&body, |edits, ask| {
                if model_first { edits.set_model(ask, &name); }
                edits.include_usage(ask);
                if !model_first { edits.set_model(ask, &name); }
            });
            tree.insert("model".to_owned(), Value::from(name));
            let options = tree.entry("stream_options").or_insert(Value::Null);
            if options.is_null() { *options = json!({}); }
            options["include_usage"] = Value::from(true);
            prop_assert_eq!(serde_json::from_str::<Value>(&result).unwrap(), Value::Object(tree));
        }
    }
}
