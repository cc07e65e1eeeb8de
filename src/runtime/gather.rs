//! What goes out in one call: pieces of two buffers, in order.

use crate::base::Span;
use arrayvec::ArrayVec;

/// The most pieces one send takes; more are flattened into `ours` by the caller. Few, because these are moved around
/// with every send.
pub const PIECES_MAX: usize = 8;

/// Bytes to send as one gathered write: text that we wrote and bytes that we received, interleaved.
///
/// A request goes out as `[our head][their body up to an edit][our edit][the rest of their body]` with no
/// copy of the body. Both buffers come back when the send is done, with their capacity, to be used again.
#[derive(Debug, Default)]
pub struct Gather {
    /// What we wrote: heads, chunk heads, edits.
    pub ours: Vec<u8>,
    /// What a peer sent us and is passed on.
    pub theirs: Vec<u8>,
    pieces: ArrayVec<Span, PIECES_MAX>,
    /// Bit `n`: the piece at place `n` is of `theirs`.
    of_theirs: u8,
}

impl Gather {
    /// Takes over the two buffers; no piece yet.
    pub fn of(ours: Vec<u8>, theirs: Vec<u8>) -> Gather {
        Gather { ours, theirs, pieces: ArrayVec::new(), of_theirs: 0 }
    }

    /// Adds a piece of `ours`; `false` when there is no room for one more piece.
    #[must_use]
    pub fn push_ours(&mut self, span: Span) -> bool {
        self.push(span, false)
    }

    /// Adds a piece of `theirs`; `false` when there is no room for one more piece.
    #[must_use]
    pub fn push_theirs(&mut self, span: Span) -> bool {
        self.push(span, true)
    }

    /// All of `ours`, nothing of `theirs`: the message was written in one piece.
    pub fn whole(&mut self) {
        self.pieces.clear();
        self.of_theirs = 0;
        self.pieces.push(Span::new(0, self.ours.len()));
    }

    /// Number of bytes in all pieces.
    pub fn len(&self) -> usize {
        self.pieces.iter().map(|span| span.len()).sum()
    }

    /// Whether there is nothing to send.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The pieces in order.
    pub fn slices(&self) -> impl Iterator<Item = &[u8]> {
        self.pieces.iter().enumerate().map(|(place, span)| match self.of_theirs >> place & 1 {
            0 => span.of(&self.ours),
            _ => span.of(&self.theirs),
        })
    }

    /// Forgets pieces and bytes, keeps capacity.
    pub fn clear(&mut self) {
        self.ours.clear();
        self.theirs.clear();
        self.pieces.clear();
        self.of_theirs = 0;
    }

    fn push(&mut self, span: Span, is_theirs: bool) -> bool {
        let place = self.pieces.len();
        if span.is_empty() {
            return true;
        }
        let fits = self.pieces.try_push(span).is_ok();
        self.of_theirs |= u8::from(fits && is_theirs) << (place % PIECES_MAX);
        fits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_both_buffers_come_out_in_order() {
        let mut gather = Gather::of(b"head:EDIT".to_vec(), b"body-old-rest".to_vec());
        assert!(gather.push_ours(Span::new(0, 5)) && gather.push_theirs(Span::new(0, 5)));
        assert!(gather.push_ours(Span::new(5, 9)) && gather.push_theirs(Span::new(8, 13)));
        assert!(gather.push_theirs(Span::new(3, 3)), "an empty piece takes no room");
        assert_eq!(gather.slices().collect::<Vec<_>>().concat(), b"head:body-EDIT-rest");
        assert_eq!(gather.len(), 19);
    }

    #[test]
    fn one_piece_too_many_is_refused() {
        let mut gather = Gather::of(vec![0; 32], Vec::new());
        for i in 0..PIECES_MAX {
            assert!(gather.push_ours(Span::new(i, i + 1)));
        }
        assert!(!gather.push_ours(Span::new(0, 1)));
        gather.whole();
        assert_eq!(gather.len(), 32);
    }
}
