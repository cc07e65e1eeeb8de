//! The vectors of an answer, found where they stand and copied digit by digit: to read a number and to write it again
//! would make another text of it, and takes longer.

use crate::base::{Span, base64};
use crate::llm::translate::BadReply;
use crate::llm::translate::emit::Emit;
use crate::wire::json::{Container, Scalar, Scanner, Visitor};

/// The most vectors of one answer: as many as a request may hold texts.
const VECTORS_MAX: usize = super::request::TEXTS_MAX;

/// Where a value stands in an answer, as each provider's room tells it of members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    /// A list of objects with a vector in each.
    Entries,
    /// One of them.
    Entry,
    /// An object that has the vector, within one of them.
    Holder,
    /// A list of vectors.
    Vectors,
    /// A vector, if it is a list.
    Vector,
    Number,
    Other,
}

/// The place of a member of the object at a place.
pub(super) type Members = fn(Place, &[u8]) -> Place;

/// Where the vectors of an answer stand, brackets included.
///
/// # Errors
/// It is no JSON, or has no vectors, or too many, or some that are not made of numbers.
pub(super) fn read(body: &[u8], members: Members) -> Result<Vec<Span>, BadReply> {
    let mut reading = Reading { members, vectors: Vec::new(), opened: 0, is_bad: false };
    let mut scanner = Scanner::new();
    let scanned = scanner.feed(body, &mut reading).and_then(|()| scanner.finish(&mut reading));
    scanned.map_err(|_| BadReply::NotJson)?;
    match reading.is_bad || reading.vectors.is_empty() {
        true => Err(BadReply::NotAnAnswer),
        false => Ok(reading.vectors),
    }
}

struct Reading {
    members: Members,
    vectors: Vec<Span>,
    /// Where the vector at hand begins.
    opened: usize,
    /// There is something else where vectors should be.
    is_bad: bool,
}

impl Visitor for Reading {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        (self.members)(parent, key)
    }

    #[inline]
    fn element(&mut self, parent: Place) -> Place {
        match parent {
            Place::Entries => Place::Entry,
            Place::Vectors => Place::Vector,
            Place::Vector => Place::Number,
            _ => Place::Other,
        }
    }

    fn open(&mut self, place: Place, container: Container, at: usize) {
        match (place, container) {
            (Place::Vector, Container::Array) => self.opened = at,
            (Place::Number, _) => self.is_bad = true,
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, _empty: bool) {
        if (place, container) == (Place::Vector, Container::Array) {
            match self.vectors.len() < VECTORS_MAX {
                true => self.vectors.push(Span::new(self.opened, end)),
                false => self.is_bad = true,
            }
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        self.is_bad |= matches!(place, Place::Vector | Place::Number);
    }

    #[inline]
    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        self.is_bad |= match place {
            Place::Number => !matches!(scalar, Scalar::Integer(_) | Scalar::Number),
            Place::Vector => true,
            _ => false,
        };
    }
}

/// Writes a vector as it stands, without the white space in it; `scratch` is used up.
pub(super) fn write(vector: &[u8], scratch: &mut Vec<u8>, e: &mut Emit<'_>) {
    if !vector.iter().any(u8::is_ascii_whitespace) {
        return e.written(vector);
    }
    scratch.clear();
    scratch.extend(vector.iter().copied().filter(|byte| !byte.is_ascii_whitespace()));
    e.written(scratch);
}

/// Writes a vector as the base64 of its numbers, each in four bytes, the least first (OpenAI's SDKs, `embeddings.create`).
pub(super) fn write_base64(vector: &[u8], scratch: &mut Vec<u8>, e: &mut Emit<'_>) {
    scratch.clear();
    scratch.push(b'"');
    let digits = vector.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or_default();
    let numbers = digits.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    // All of them are numbers of JSON, which Rust reads too.
    let floats = numbers.filter_map(|number| std::str::from_utf8(number).ok()?.parse::<f32>().ok());
    let bytes: Vec<u8> = floats.flat_map(f32::to_le_bytes).collect();
    base64::push(scratch, &bytes);
    scratch.push(b'"');
    e.written(scratch);
}
