use super::number::{NumberScan, Step, plain_integer};
use super::string::{Progress, StringScan, plain_run};
use super::utf8::{Invalid, Utf8};
use super::{Fault, FaultKind};
use arrayvec::ArrayVec;

/// How many containers may stand inside one another.
pub const MAX_DEPTH: usize = 128;

/// How many bytes of a key, decoded, a visitor is shown. Longer keys are cut there, so they equal no shorter name.
pub const KEY_BYTES_MAX: usize = 64;

/// Receives what a [`Scanner`] sees, in the order of the document.
///
/// A visitor keeps no stack of its own: it names the *place* of each value, from the place of the container and the
/// key, and gets that place back with every event about the value. The place of the outermost value is the default.
/// Offsets count from the start of the document.
pub trait Visitor {
    /// Where a value stands, as far as the visitor cares.
    type Place: Copy + Default;

    /// The place of the member `key` of the object at `parent`. The key is decoded and cut to [`KEY_BYTES_MAX`];
    /// `at` is the offset of its opening quote.
    fn member(&mut self, parent: Self::Place, key: &[u8], at: usize) -> Self::Place;

    /// The place of the elements of the array at `parent`.
    fn element(&mut self, parent: Self::Place) -> Self::Place;

    /// A container opens; its bracket stands at `at`.
    fn open(&mut self, _place: Self::Place, _container: Container, _at: usize) {}

    /// A container closes; `end` is the offset after its bracket.
    fn close(&mut self, _place: Self::Place, _container: Container, _end: usize, _empty: bool) {}

    /// A part of a string value, decoded. How a text is cut into parts depends on how it arrived, and a part may begin
    /// or end inside a character.
    fn text(&mut self, _place: Self::Place, _part: &[u8]) {}

    /// The end of a string value whose quotes stand at `start` and before `end`.
    fn string(&mut self, _place: Self::Place, _start: usize, _end: usize) {}

    /// A number or literal in the bytes `start..end`.
    fn scalar(&mut self, _place: Self::Place, _scalar: Scalar, _start: usize, _end: usize) {}
}

/// A container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Container {
    /// `{}`
    Object,
    /// `[]`
    Array,
}

/// A value that is neither text nor container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number of digits only that fits 64 bits.
    Integer(u64),
    /// Any other number: negative, with a fraction or an exponent, or too large.
    Number,
}

/// Scans one JSON document (RFC 8259) that arrives in pieces, validates it whole, and tells a [`Visitor`] about it.
///
/// Call [`feed`](Scanner::feed) with each piece, then [`finish`](Scanner::finish). For a body that collects in one
/// buffer the next piece is what lies behind [`offset`](Scanner::offset). Nothing is allocated and no byte is kept but
/// a key that was cut; the visitor's events do not depend on where the pieces were cut, except for the parts of texts.
/// A fault is final: every later call returns it again. `P` is the visitor's place.
#[derive(Clone, Debug)]
pub struct Scanner<P> {
    state: State,
    offset: usize,
    fault: Option<Fault>,
    utf8: Utf8,
    /// Place of the value that is expected or being read.
    place: P,
    /// Places of the open containers, `depth` of them.
    parents: [P; MAX_DEPTH],
    depth: usize,
    /// Bit `n`: the open container number `n` is an object.
    objects: u128,
    /// Place of the innermost open container.
    parent: P,
    /// Whether that is an object.
    in_object: bool,
    /// Offset of the first byte of the key, string, number or literal being read.
    start: usize,
    string: StringScan,
    number: NumberScan,
    literal: Literal,
    /// A key that is not plain text in one piece, decoded.
    key: ArrayVec<u8, KEY_BYTES_MAX>,
}

/// What comes next. The first row is between tokens, the second inside one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Value,
    FirstElement,
    FirstKey,
    Key,
    Colon,
    AfterValue,

    InString,
    InKey,
    InNumber,
    InLiteral,
}

/// A literal being read, and how much of it was seen.
#[derive(Clone, Copy, Debug)]
struct Literal {
    word: Word,
    seen: u8,
}

#[derive(Clone, Copy, Debug)]
enum Word {
    Null,
    True,
    False,
}

impl Word {
    const fn text(self) -> &'static [u8] {
        match self {
            Word::Null => b"null",
            Word::True => b"true",
            Word::False => b"false",
        }
    }

    const fn means(self) -> Scalar {
        match self {
            Word::Null => Scalar::Null,
            Word::True => Scalar::Bool(true),
            Word::False => Scalar::Bool(false),
        }
    }
}

impl<P: Copy + Default> Scanner<P> {
    /// A scanner at the start of a document.
    pub fn new() -> Scanner<P> {
        Scanner {
            state: State::Value,
            offset: 0,
            fault: None,
            utf8: Utf8::default(),
            place: P::default(),
            parents: [P::default(); MAX_DEPTH],
            depth: 0,
            objects: 0,
            parent: P::default(),
            in_object: false,
            start: 0,
            string: StringScan::default(),
            number: NumberScan::NEW,
            literal: Literal { word: Word::Null, seen: 0 },
            key: ArrayVec::new_const(),
        }
    }

    /// Makes it ready for another document.
    pub fn reset(&mut self) {
        self.state = State::Value;
        self.offset = 0;
        self.fault = None;
        self.utf8 = Utf8::default();
        self.place = P::default();
        self.parent = P::default();
        self.in_object = false;
        self.depth = 0;
    }

    /// Bytes of the document seen so far; after a fault, up to and with the byte at fault.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Whether the outermost value has ended; only white space may follow. A number ends with the byte after it.
    pub fn is_done(&self) -> bool {
        self.depth == 0 && self.state == State::AfterValue && self.fault.is_none()
    }

    /// Eats the next piece of the document.
    ///
    /// # Errors
    /// The first fault of the document, whatever the pieces.
    pub fn feed<V: Visitor<Place = P>>(&mut self, piece: &[u8], visitor: &mut V) -> Result<(), Fault> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let base = self.offset;
        // First, so that the visitor sees nothing of what follows an invalid sequence, wherever it is cut.
        let invalid = self.utf8.feed(base, piece).err();
        self.tokens(
            invalid.map_or(piece, |invalid| piece.get(..invalid.before).unwrap_or_default()),
            visitor,
        );
        if let Some(Invalid { at, before }) = invalid
            && self.fault.is_none_or(|fault| at < fault.at)
        {
            self.offset = base + before + 1;
            self.fault = Some(Fault { at, kind: FaultKind::InvalidUtf8 });
        } else {
            self.offset = base + self.fault.map_or(piece.len(), |fault| piece.len().min(fault.at + 1 - base));
        }
        self.fault.map_or(Ok(()), Err)
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// The fault that `feed` returned, or that the document ends inside its value.
    pub fn finish<V: Visitor<Place = P>>(&mut self, visitor: &mut V) -> Result<(), Fault> {
        if self.state == State::InNumber && self.number.is_whole() && self.fault.is_none() {
            self.end_number(self.number.scalar(), self.offset, visitor);
        }
        if !self.is_done() {
            self.fault.get_or_insert(Fault { at: self.offset, kind: FaultKind::Truncated });
        }
        self.fault.map_or(Ok(()), Err)
    }

    // The functions below get a piece and where in it they begin, and return where the next one does; `None` after
    // a fault, which is then in `self.fault`. `self.offset` is that of the piece until `feed` moves it.

    fn tokens<V: Visitor<Place = P>>(&mut self, bytes: &[u8], visitor: &mut V) -> Option<()> {
        let mut at = 0;
        // One loop, in which what documents are full of is in line; each turn begins with a byte that is looked at once.
        while let Some(&byte) = bytes.get(at) {
            at = match self.state {
                State::Value | State::FirstElement => self.value(byte, bytes, at, visitor)?,
                State::AfterValue => self.after_value(byte, bytes, at, visitor)?,
                State::FirstKey | State::Key => self.key(byte, bytes, at, visitor)?,
                State::Colon if byte == b':' => {
                    self.state = State::Value;
                    at + 1
                }
                State::Colon if is_space(byte) => at + 1,
                State::Colon => return self.stop(at, FaultKind::Unexpected),
                State::InString => self.string(bytes, at, visitor)?,
                State::InKey => self.cut_key(bytes, at, visitor)?,
                State::InNumber => self.number(bytes, at, visitor)?,
                State::InLiteral => self.literal(bytes, at, visitor)?,
            };
        }
        Some(())
    }

    /// The first byte of a value.
    #[inline(always)]
    fn value<V: Visitor<Place = P>>(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        match byte {
            b'"' => self.begin_string(bytes, at, visitor),
            b'{' => self.open(Container::Object, bytes, at, visitor),
            b'[' => self.open(Container::Array, bytes, at, visitor),
            b'-' | b'0'..=b'9' => self.begin_number(bytes, at, visitor),
            b't' => self.begin_literal(Word::True, bytes, at, visitor),
            b'f' => self.begin_literal(Word::False, bytes, at, visitor),
            b'n' => self.begin_literal(Word::Null, bytes, at, visitor),
            b']' if self.state == State::FirstElement => {
                Some(self.close(Container::Array, at, true, visitor))
            }
            _ if is_space(byte) => Some(skip_space(bytes, at)),
            _ => self.stop(at, FaultKind::Unexpected),
        }
    }

    fn open<V: Visitor<Place = P>>(
        &mut self,
        container: Container,
        bytes: &[u8],
        at: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        let Some(parent) = self.parents.get_mut(self.depth) else { return self.stop(at, FaultKind::TooDeep) };
        *parent = self.place;
        self.parent = self.place;
        self.in_object = container == Container::Object;
        visitor.open(self.place, container, self.offset + at);
        match container {
            Container::Object => {
                self.objects |= 1 << self.depth;
                self.state = State::FirstKey;
            }
            Container::Array => {
                self.objects &= !(1 << self.depth);
                self.place = visitor.element(self.place);
                self.state = State::FirstElement;
            }
        }
        self.depth += 1;
        Some(skip_space(bytes, at))
    }

    fn close<V: Visitor<Place = P>>(
        &mut self,
        container: Container,
        at: usize,
        empty: bool,
        visitor: &mut V,
    ) -> usize {
        let place = self.parent;
        self.depth = self.depth.saturating_sub(1);
        let outer = self.depth.wrapping_sub(1);
        self.parent = self.parents.get(outer).copied().unwrap_or_default();
        self.in_object = self.depth > 0 && self.objects >> outer & 1 == 1;
        self.state = State::AfterValue;
        visitor.close(place, container, self.offset + at + 1, empty);
        at + 1
    }

    #[inline(always)]
    fn after_value<V: Visitor<Place = P>>(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        match byte {
            b',' if self.in_object => {
                self.state = State::Key;
                Some(skip_space(bytes, at))
            }
            b',' if self.depth > 0 => {
                self.place = visitor.element(self.parent);
                self.state = State::Value;
                Some(skip_space(bytes, at))
            }
            b'}' if self.in_object => Some(self.close(Container::Object, at, false, visitor)),
            b']' if !self.in_object && self.depth > 0 => {
                Some(self.close(Container::Array, at, false, visitor))
            }
            _ if is_space(byte) => Some(skip_space(bytes, at)),
            _ if self.depth == 0 => self.stop(at, FaultKind::Trailing),
            _ => self.stop(at, FaultKind::Unexpected),
        }
    }

    /// The first byte where a key is expected. Most keys are plain and whole, and are shown where they stand.
    #[inline(always)]
    fn key<V: Visitor<Place = P>>(
        &mut self,
        byte: u8,
        bytes: &[u8],
        at: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        if byte != b'"' {
            return match byte {
                b'}' if self.state == State::FirstKey => {
                    Some(self.close(Container::Object, at, true, visitor))
                }
                _ if is_space(byte) => Some(skip_space(bytes, at)),
                _ => self.stop(at, FaultKind::Unexpected),
            };
        }
        self.start = self.offset + at;
        let inside = bytes.get(at + 1..).unwrap_or_default();
        let length = plain_run(inside);
        let Some(b'"') = inside.get(length) else {
            self.string = StringScan::default();
            self.key.clear();
            self.state = State::InKey;
            return self.cut_key(bytes, at + 1, visitor);
        };
        let shown = inside.get(..length.min(KEY_BYTES_MAX)).unwrap_or_default();
        self.place = visitor.member(self.parent, shown, self.start);
        let next = at + length + 2;
        if bytes.get(next) != Some(&b':') {
            self.state = State::Colon;
            return Some(next);
        }
        self.state = State::Value;
        // Behind the colon documents for people have a space.
        Some(next + 1 + usize::from(bytes.get(next + 1) == Some(&b' ')))
    }

    /// The inside of a key that has escapes or was cut.
    #[cold]
    fn cut_key<V: Visitor<Place = P>>(&mut self, bytes: &[u8], at: usize, visitor: &mut V) -> Option<usize> {
        let rest = bytes.get(at..).unwrap_or_default();
        let key = &mut self.key;
        let keep = |part: &[u8]| key.extend(part.iter().copied().take(key.remaining_capacity()));
        match self.string.feed(rest, keep) {
            Err((bad, kind)) => self.stop(at + bad, kind),
            Ok(Progress::More) => Some(bytes.len()),
            Ok(Progress::End(eaten)) => {
                self.place = visitor.member(self.parent, &self.key, self.start);
                self.state = State::Colon;
                Some(at + eaten)
            }
        }
    }

    /// A string from its opening quote. Many are plain and whole, and need no state.
    #[inline(always)]
    fn begin_string<V: Visitor<Place = P>>(
        &mut self,
        bytes: &[u8],
        at: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        self.start = self.offset + at;
        let inside = bytes.get(at + 1..).unwrap_or_default();
        let (plain, rest) = inside.split_at_checked(plain_run(inside)).unwrap_or_default();
        if !plain.is_empty() {
            visitor.text(self.place, plain);
        }
        let at = at + 1 + plain.len();
        if rest.first() == Some(&b'"') {
            self.state = State::AfterValue;
            visitor.string(self.place, self.start, self.offset + at + 1);
            return Some(at + 1);
        }
        self.string = StringScan::default();
        self.state = State::InString;
        self.string(bytes, at, visitor)
    }

    /// The inside of a string that has escapes or was cut.
    fn string<V: Visitor<Place = P>>(&mut self, bytes: &[u8], at: usize, visitor: &mut V) -> Option<usize> {
        let rest = bytes.get(at..).unwrap_or_default();
        let place = self.place;
        match self.string.feed(rest, |part| visitor.text(place, part)) {
            Err((bad, kind)) => self.stop(at + bad, kind),
            Ok(Progress::More) => Some(bytes.len()),
            Ok(Progress::End(eaten)) => {
                self.state = State::AfterValue;
                visitor.string(place, self.start, self.offset + at + eaten);
                Some(at + eaten)
            }
        }
    }

    /// A number from its first byte. Many are plain integers, and need no state.
    #[inline]
    fn begin_number<V: Visitor<Place = P>>(
        &mut self,
        bytes: &[u8],
        at: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        self.start = self.offset + at;
        if let Some((integer, digits)) = plain_integer(bytes.get(at..).unwrap_or_default()) {
            self.end_number(Scalar::Integer(integer), self.offset + at + digits, visitor);
            return Some(at + digits);
        }
        self.number = NumberScan::NEW;
        self.state = State::InNumber;
        self.number(bytes, at, visitor)
    }

    fn number<V: Visitor<Place = P>>(&mut self, bytes: &[u8], at: usize, visitor: &mut V) -> Option<usize> {
        for (eaten, byte) in bytes.get(at..).unwrap_or_default().iter().enumerate() {
            match self.number.push(*byte) {
                Step::Eaten => {}
                Step::Ended => {
                    self.end_number(self.number.scalar(), self.offset + at + eaten, visitor);
                    return Some(at + eaten);
                }
                Step::Bad => return self.stop(at + eaten, FaultKind::BadNumber),
            }
        }
        Some(bytes.len())
    }

    fn end_number<V: Visitor<Place = P>>(&mut self, scalar: Scalar, end: usize, visitor: &mut V) {
        self.state = State::AfterValue;
        visitor.scalar(self.place, scalar, self.start, end);
    }

    #[inline(always)]
    fn begin_literal<V: Visitor<Place = P>>(
        &mut self,
        word: Word,
        bytes: &[u8],
        at: usize,
        visitor: &mut V,
    ) -> Option<usize> {
        self.start = self.offset + at;
        let end = at + word.text().len();
        if bytes.get(at..end) == Some(word.text()) {
            self.state = State::AfterValue;
            visitor.scalar(self.place, word.means(), self.start, self.offset + end);
            return Some(end);
        }
        self.literal = Literal { word, seen: 0 };
        self.state = State::InLiteral;
        self.literal(bytes, at, visitor)
    }

    fn literal<V: Visitor<Place = P>>(&mut self, bytes: &[u8], at: usize, visitor: &mut V) -> Option<usize> {
        let Literal { word, seen } = self.literal;
        let expected = word.text().get(usize::from(seen)..).unwrap_or_default();
        let rest = bytes.get(at..).unwrap_or_default();
        let same = expected.iter().zip(rest).take_while(|(a, b)| a == b).count();
        if same == expected.len() {
            self.state = State::AfterValue;
            visitor.scalar(self.place, word.means(), self.start, self.offset + at + same);
        } else if same < rest.len() {
            return self.stop(at + same, FaultKind::BadLiteral);
        }
        self.literal.seen += same as u8;
        Some(at + same)
    }

    #[cold]
    fn stop<T>(&mut self, at: usize, kind: FaultKind) -> Option<T> {
        self.fault = Some(Fault { at: self.offset + at, kind });
        None
    }
}

impl<P: Copy + Default> Default for Scanner<P> {
    fn default() -> Scanner<P> {
        Scanner::new()
    }
}

/// Where what follows the byte at `at` and the white space behind it stands. Documents for people have a line feed and
/// many spaces before each token.
#[inline]
fn skip_space(bytes: &[u8], at: usize) -> usize {
    const SPACES: u64 = 0x2020_2020_2020_2020;
    let mut at = at + 1;
    while let Some(byte) = bytes.get(at)
        && is_space(*byte)
    {
        at += 1;
        while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let others = u64::from_le_bytes(*word) ^ SPACES;
            at += (others.trailing_zeros() / 8) as usize;
            if others != 0 {
                break;
            }
        }
    }
    at
}

/// RFC 8259 section 2, `ws`.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
