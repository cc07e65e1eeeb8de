//! The texts of a request that its model reads.

use super::answer::{is_data, is_structure};
use super::texts::Role;
use crate::base::Span;
use crate::llm::{Format, inspect};
use crate::wire::json::{Container, Scalar, Scanner, Visitor};
use arrayvec::ArrayVec;

/// Where they stand in a body that was inspected, in its order, quotes included, and who says each; numbers in arguments of
/// tools too.
pub(super) fn texts(format: Format, body: &[u8]) -> Vec<(Span, Role)> {
    let mut finder = Finder {
        format,
        texts: Vec::new(),
        sources: Vec::new(),
        word: ArrayVec::new(),
        role: Role::default(),
        turn: (0, Role::default()),
    };
    let mut scanner = Scanner::new();
    // What is no JSON was refused before.
    let _ = scanner.feed(body, &mut finder).and_then(|()| scanner.finish(&mut finder));
    finder.texts
}

struct Finder {
    format: Format,
    texts: Vec<(Span, Role)>,
    /// Of the open sources of media: how many texts there were before, and whether it is text itself.
    sources: Vec<(usize, bool)>,
    /// The `type` or `role` that is being read, cut.
    word: ArrayVec<u8, WORD_BYTES_MAX>,
    /// Who says what is found now, unless its turn says otherwise.
    role: Role,
    /// The open turn: how many texts there were before, and whose it is.
    turn: (usize, Role),
}

/// Longer names of roles and types are cut: none that is known is as long.
const WORD_BYTES_MAX: usize = 24;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Top,
    /// The conversation, and one turn of it.
    Turns,
    Turn,
    /// Whose turn it is: `role`, or the `type` of an item of Responses.
    Role,
    Item,
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

/// The members that hold the conversation; what else is read says the operator or the application.
fn is_conversation(key: &[u8]) -> bool {
    matches!(key, b"messages" | b"input" | b"contents")
}

impl Visitor for Finder {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, _) if inspect::is_read(self.format, key) => {
                let turns = is_conversation(key);
                self.role = if turns { Role::User } else { Role::System };
                if turns { Place::Turns } else { Place::Text }
            }
            (Place::Turn, b"role") => Place::Role,
            (Place::Turn, b"type") => Place::Item,
            (Place::Source, b"type") => Place::SourceType,
            (Place::Source, b"data") => Place::SourceData,
            (Place::Source, b"content") => Place::Text,
            (Place::Text | Place::Turn | Place::Turns, key) => match key {
                b"source" => Place::Source,
                key if is_data(key) => Place::Data,
                key if !is_structure(key) => Place::Text,
                _ => Place::Other,
            },
            (Place::Data, _) => Place::Data,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        match parent {
            Place::Turns => Place::Turn,
            Place::Turn => Place::Text,
            Place::Text | Place::Data => parent,
            _ => Place::Other,
        }
    }

    fn open(&mut self, place: Place, container: Container, _at: usize) {
        match (place, container) {
            (Place::Source, Container::Object) => self.sources.push((self.texts.len(), false)),
            (Place::Turn, _) => self.turn = (self.texts.len(), self.role),
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, _end: usize, _empty: bool) {
        match (place, container) {
            (Place::Source, Container::Object) => {
                if let Some((before, false)) = self.sources.pop() {
                    self.texts.truncate(before);
                }
            }
            // Its role may stand behind what it says.
            (Place::Turn, _) => {
                let (before, role) = self.turn;
                self.texts.iter_mut().skip(before).for_each(|(_, by)| *by = role);
            }
            _ => {}
        }
    }

    fn text(&mut self, place: Place, part: &[u8]) {
        if matches!(place, Place::SourceType | Place::Role | Place::Item) {
            self.word.extend(part.iter().copied().take(self.word.remaining_capacity()));
        }
    }

    fn string(&mut self, place: Place, start: usize, end: usize) {
        match place {
            Place::Text | Place::Data | Place::SourceData | Place::Source | Place::Turns | Place::Turn => {
                self.texts.push((Span::new(start, end), self.role));
            }
            Place::SourceType => {
                let is_text = matches!(self.word.as_slice(), b"text" | b"content");
                if let Some((_, known)) = self.sources.last_mut() {
                    *known = is_text;
                }
            }
            Place::Role => self.turn.1 = Role::named(&self.word),
            Place::Item => self.turn.1 = Role::of_item(&self.word).unwrap_or(self.turn.1),
            Place::Top | Place::Other => {}
        }
        self.word.clear();
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, start: usize, end: usize) {
        if place == Place::Data && matches!(scalar, Scalar::Integer(_) | Scalar::Number) {
            self.texts.push((Span::new(start, end), self.role));
        }
    }
}
