//! The texts of a request that its model reads.

use super::answer::{is_data, is_structure};
use crate::base::Span;
use crate::llm::{Format, inspect};
use crate::wire::json::{Container, Scalar, Scanner, Visitor};
use arrayvec::ArrayVec;

/// Where they stand in a body that was inspected, in its order, quotes included; numbers in arguments of tools too.
pub(super) fn texts(format: Format, body: &[u8]) -> Vec<Span> {
    let mut finder = Finder { format, texts: Vec::new(), sources: Vec::new(), kind: ArrayVec::new() };
    let mut scanner = Scanner::new();
    // What is no JSON was refused before.
    let _ = scanner.feed(body, &mut finder).and_then(|()| scanner.finish(&mut finder));
    finder.texts
}

struct Finder {
    format: Format,
    texts: Vec<Span>,
    /// Of the open sources of media: how many texts there were before, and whether it is text itself.
    sources: Vec<(usize, bool)>,
    /// The `type` of the source that is being read, cut.
    kind: ArrayVec<u8, 8>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Top,
    /// Strings are texts, but for what gives them structure.
    Text,
    /// All strings and numbers are.
    Data,
    /// Where media come from: texts too, if its `type` says so (Anthropic API reference, "Document", plain text source).
    Source,
    SourceType,
    SourceData,
    Other,
}

impl Visitor for Finder {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, _) if inspect::is_read(self.format, key) => Place::Text,
            (Place::Source, b"type") => Place::SourceType,
            (Place::Source, b"data") => Place::SourceData,
            (Place::Source, b"content") => Place::Text,
            (Place::Text, b"source") => Place::Source,
            (Place::Text, key) if is_data(key) => Place::Data,
            (Place::Text, key) if !is_structure(key) => Place::Text,
            (Place::Data, _) => Place::Data,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        if matches!(parent, Place::Text | Place::Data) { parent } else { Place::Other }
    }

    fn open(&mut self, place: Place, container: Container, _at: usize) {
        if (place, container) == (Place::Source, Container::Object) {
            self.sources.push((self.texts.len(), false));
        }
    }

    fn close(&mut self, place: Place, container: Container, _end: usize, _empty: bool) {
        if (place, container) == (Place::Source, Container::Object)
            && let Some((before, is_text)) = self.sources.pop()
            && !is_text
        {
            self.texts.truncate(before);
        }
    }

    fn text(&mut self, place: Place, part: &[u8]) {
        if place == Place::SourceType {
            self.kind.extend(part.iter().copied().take(self.kind.remaining_capacity()));
        }
    }

    fn string(&mut self, place: Place, start: usize, end: usize) {
        match place {
            Place::Text | Place::Data | Place::SourceData | Place::Source => {
                self.texts.push(Span::new(start, end));
            }
            Place::SourceType => {
                let is_text = matches!(self.kind.as_slice(), b"text" | b"content");
                self.kind.clear();
                if let Some((_, known)) = self.sources.last_mut() {
                    *known = is_text;
                }
            }
            Place::Top | Place::Other => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, start: usize, end: usize) {
        if place == Place::Data && matches!(scalar, Scalar::Integer(_) | Scalar::Number) {
            self.texts.push(Span::new(start, end));
        }
    }
}
