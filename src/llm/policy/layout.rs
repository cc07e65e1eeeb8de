//! Where the members of a body's outermost object stand.

use crate::base::Span;
use crate::llm::Braces;
use crate::wire::json::find::Kind;
use crate::wire::json::{Container, Scalar, Scanner, Visitor};

/// The members that were looked for, in the order of the body; a name may come twice.
#[derive(Debug, Default)]
pub(super) struct Layout {
    members: Vec<Member>,
    /// The object itself.
    pub(super) top: Braces,
}

/// A member.
#[derive(Debug)]
pub(super) struct Member {
    name: Vec<u8>,
    /// All bytes of its value.
    pub(super) value: Span,
    pub(super) kind: Kind,
    /// It is an object or array without anything in it.
    pub(super) empty: bool,
}

impl Layout {
    /// The members of `body` whose names are `wanted`; `None` when it is no JSON object.
    pub(super) fn of(body: &[u8], wanted: &dyn Fn(&[u8]) -> bool) -> Option<Layout> {
        let mut reading = Reading { wanted, layout: Layout::default(), name: Vec::new(), opened: 0 };
        let mut scanner = Scanner::new();
        scanner.feed(body, &mut reading).ok()?;
        scanner.finish(&mut reading).ok()?;
        Some(reading.layout).filter(|layout| !layout.top.span.is_empty())
    }

    /// Those of that name.
    pub(super) fn named<'l>(&'l self, name: &'l str) -> impl Iterator<Item = &'l Member> {
        self.members.iter().filter(move |member| member.name == name.as_bytes())
    }

    /// The last one of that name, which is the one that counts with most parsers.
    pub(super) fn last(&self, name: &str) -> Option<&Member> {
        self.members.iter().rev().find(|member| member.name == name.as_bytes())
    }
}

struct Reading<'w> {
    wanted: &'w dyn Fn(&[u8]) -> bool,
    layout: Layout,
    /// Of the member at hand.
    name: Vec<u8>,
    /// Where its container opened.
    opened: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Top,
    Wanted,
    Other,
}

impl Reading<'_> {
    fn found(&mut self, place: Place, kind: Kind, start: usize, end: usize, empty: bool) {
        if place == Place::Wanted {
            let name = std::mem::take(&mut self.name);
            self.layout.members.push(Member { name, value: Span::new(start, end), kind, empty });
        }
    }
}

impl Visitor for Reading<'_> {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        if parent == Place::Top && (self.wanted)(key) {
            self.name = key.to_vec();
            return Place::Wanted;
        }
        Place::Other
    }

    fn element(&mut self, _parent: Place) -> Place {
        Place::Other
    }

    fn open(&mut self, place: Place, _container: Container, at: usize) {
        match place {
            Place::Top => self.layout.top.span = Span::new(at, at),
            Place::Wanted => self.opened = at,
            Place::Other => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, empty: bool) {
        match (place, container) {
            (Place::Top, Container::Object) => {
                self.layout.top.empty = empty;
                self.layout.top.span.end = end as u32;
            }
            _ => self.found(place, Kind::Container(container), self.opened, end, empty),
        }
    }

    fn string(&mut self, place: Place, start: usize, end: usize) {
        self.found(place, Kind::String, start, end, false);
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, start: usize, end: usize) {
        self.found(place, Kind::Scalar(scalar), start, end, false);
    }
}
