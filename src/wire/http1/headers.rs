use super::Known;
use crate::base::Span;

/// The most header lines that a head may have, whatever the limits say.
pub const MAX_HEADERS: usize = 100;

/// One header line: spans of the buffer that the head stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The name as sent; a token.
    pub name: Span,
    /// The value without whitespace around it; may be empty.
    pub value: Span,
    /// Which name it is, when tollgate acts upon it.
    pub known: Known,
}

/// The header lines of one head, in order; at most [`MAX_HEADERS`].
///
/// A head that is done with leaves its list to the next one: see [`HeadScan::reusing`](super::HeadScan::reusing).
///
/// Two sets, of the known names that are present and of those that come again, spare most searches: asking
/// for an absent name is nearly free, and asking for all lines of a name that comes once stops at the first.
#[derive(Clone, Debug, Default)]
pub struct Headers {
    slots: Vec<Slot>,
    present: u64,
    repeated: u64,
}

impl Headers {
    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// All lines, in the order received.
    pub fn iter(&self) -> impl Iterator<Item = Header> + '_ {
        self.slots.iter().map(|slot| slot.header())
    }

    /// Whether a line with this name is there.
    pub fn contains(&self, known: Known) -> bool {
        self.present & known.bit() != 0
    }

    /// Whether more than one line with this name is there.
    pub fn is_repeated(&self, known: Known) -> bool {
        self.repeated & known.bit() != 0
    }

    /// The value of the first line with this name.
    pub fn first(&self, known: Known) -> Option<Span> {
        self.all(known).next()
    }

    /// The values of all lines with this name, in order. (Of [`Known::Other`]: of all other lines.)
    pub fn all(&self, known: Known) -> impl Iterator<Item = Span> + '_ {
        let slots = if self.contains(known) { &self.slots[..] } else { &[] };
        let count = if self.is_repeated(known) { usize::MAX } else { 1 };
        slots.iter().filter(move |slot| slot.known == known).map(|slot| slot.value()).take(count)
    }

    /// The value of the first line named `name`, in any case. `buf` is the buffer the head was parsed from.
    pub fn get(&self, buf: &[u8], name: &[u8]) -> Option<Span> {
        self.named(buf, name).next()
    }

    /// The values of all lines named `name`, in any case, in order.
    pub fn named<'a>(&'a self, buf: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = Span> + 'a {
        let is_named = move |slot: &&Slot| slot.name().of(buf).eq_ignore_ascii_case(name);
        self.slots.iter().filter(is_named).map(|slot| slot.value())
    }

    /// From httparse's tokens, which must lie in `buf`; there are at most [`MAX_HEADERS`], and `buf` is at
    /// most [`MAX_HEAD_BYTES`](super::MAX_HEAD_BYTES) long. The list is made in that of `old`.
    pub(super) fn from_tokens(buf: &[u8], tokens: &[httparse::Header<'_>], old: Headers) -> Headers {
        let mut headers = Headers { slots: old.slots, present: 0, repeated: 0 };
        headers.slots.clear();
        headers.slots.reserve(tokens.len().min(MAX_HEADERS));
        for token in tokens.iter().take(MAX_HEADERS) {
            let known = Known::of(token.name.as_bytes());
            headers.repeated |= headers.present & known.bit();
            headers.present |= known.bit();
            let (name, value) = (Span::within(buf, token.name.as_bytes()), Span::within(buf, token.value));
            headers.slots.push(Slot::new(name, value, known));
        }
        headers
    }
}

/// A [`Header`] in 10 bytes instead of 20: a head is shorter than 64 KiB.
#[derive(Clone, Copy, Debug)]
struct Slot {
    name: (u16, u16),
    value: (u16, u16),
    known: Known,
}

impl Slot {
    fn new(name: Span, value: Span, known: Known) -> Slot {
        debug_assert!(value.end <= u32::from(u16::MAX) && name.end <= value.start);
        let narrow = |span: Span| (span.start as u16, span.end as u16);
        Slot { name: narrow(name), value: narrow(value), known }
    }

    fn name(&self) -> Span {
        Span { start: self.name.0.into(), end: self.name.1.into() }
    }

    fn value(&self) -> Span {
        Span { start: self.value.0.into(), end: self.value.1.into() }
    }

    fn header(&self) -> Header {
        Header { name: self.name(), value: self.value(), known: self.known }
    }
}
