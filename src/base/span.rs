/// A range of bytes in a buffer, remembered instead of borrowed, so that the buffer may grow or move.
///
/// Offsets are 32 bits: a buffer that spans point into is at most 4 GiB, and every buffer's own bound
/// (head bytes, body bytes) is far below that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Offset of the first byte.
    pub start: u32,
    /// Offset after the last byte; never below `start`.
    pub end: u32,
}

impl Span {
    /// The bytes `start..end`.
    ///
    /// # Panics
    /// In debug builds when `end < start` or an offset does not fit 32 bits.
    pub fn new(start: usize, end: usize) -> Span {
        debug_assert!(start <= end && end <= u32::MAX as usize, "span {start}..{end}");
        Span { start: start as u32, end: end as u32 }
    }

    /// Where `part` stands in `whole`; both must belong to the same allocation, `part` inside `whole`.
    ///
    /// # Panics
    /// When `part` does not lie inside `whole`.
    pub fn within(whole: &[u8], part: &[u8]) -> Span {
        let start = (part.as_ptr() as usize).wrapping_sub(whole.as_ptr() as usize);
        assert!(start <= whole.len() && part.len() <= whole.len() - start, "part is not inside whole");
        Span::new(start, start + part.len())
    }

    /// Number of bytes.
    pub fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it covers no byte.
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }

    /// The bytes it covers in `buf`.
    pub fn of(self, buf: &[u8]) -> &[u8] {
        &buf[self.start as usize..self.end as usize]
    }

    /// The same range when everything moved `by` bytes towards the end of the buffer.
    #[must_use]
    pub fn shifted(self, by: usize) -> Span {
        Span::new(self.start as usize + by, self.end as usize + by)
    }

    /// As a range for indexing.
    pub fn range(self) -> std::ops::Range<usize> {
        self.start as usize..self.end as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn within_finds_the_offset_of_a_part() {
        let whole = b"GET /path HTTP/1.1";
        let span = Span::within(whole, &whole[4..9]);
        assert_eq!((span.start, span.end, span.len()), (4, 9, 5));
        assert_eq!(span.of(whole), b"/path");
        assert_eq!(span.shifted(3), Span::new(7, 12));
    }

    #[test]
    fn an_empty_part_at_either_end_is_inside() {
        let whole = b"abc";
        assert!(Span::within(whole, &whole[..0]).is_empty());
        assert_eq!(Span::within(whole, &whole[3..]), Span::new(3, 3));
    }
}
