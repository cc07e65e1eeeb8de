//! Any number of edits over the spans of a document.

use crate::base::Span;
use crate::llm::Braces;
use crate::wire::json::write;

/// Edits to a document, in any order, which do not overlap. Unlike [`Edits`](crate::llm::Edits) there may be as many as it has
/// bytes, so that what comes of them is a buffer of its own.
#[derive(Clone, Debug, Default)]
pub(in crate::llm) struct Patch {
    edits: Vec<Edit>,
    /// What comes, one edit after the other.
    text: Vec<u8>,
    /// Members for the outermost object, each with a comma behind it.
    members: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Edit {
    old: Span,
    /// In `text`.
    new: Span,
}

impl Patch {
    /// Whether the document stays as it is.
    pub(in crate::llm) fn is_empty(&self) -> bool {
        self.edits.is_empty() && self.members.is_empty()
    }

    /// What `write` writes comes in place of `old`.
    pub(in crate::llm) fn replace(&mut self, old: Span, write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.text.len();
        write(&mut self.text);
        self.edits.push(Edit { old, new: Span::new(start, self.text.len()) });
    }

    /// What `write` writes comes before the byte at `at`, behind what was put there earlier.
    pub(in crate::llm) fn insert(&mut self, at: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.replace(Span::new(at, at), write);
    }

    /// A member comes into the outermost object, which has none of that name.
    pub(in crate::llm) fn member(&mut self, name: &str, write: impl FnOnce(&mut Vec<u8>)) {
        write::string(&mut self.members, name);
        self.members.push(b':');
        write(&mut self.members);
        self.members.push(b',');
    }

    /// The edited document; `top` is its outermost object.
    pub(in crate::llm) fn applied(mut self, body: &[u8], top: Braces) -> Vec<u8> {
        if let Some((_, without_comma)) = self.members.split_last() {
            let members = if top.empty { without_comma } else { &self.members };
            let (start, at) = (self.text.len(), top.span.start + 1);
            self.text.extend_from_slice(members);
            let new = Span::new(start, self.text.len());
            self.edits.insert(0, Edit { old: Span { start: at, end: at }, new });
        }
        self.edits.sort_by_key(|edit| edit.old.start); // which keeps the order of those at one place
        let mut out = Vec::with_capacity(body.len() + self.text.len());
        let mut done = 0;
        for Edit { old, new } in &self.edits {
            out.extend_from_slice(body.get(done..old.start as usize).unwrap_or_default());
            out.extend_from_slice(new.of(&self.text));
            done = old.end as usize;
        }
        out.extend_from_slice(body.get(done..).unwrap_or_default());
        out
    }
}
