use super::NAME_BYTES_MAX;
use arrayvec::ArrayVec;

/// Texts of the events that passed, which the last events repeat: the first of each that was not empty.
#[derive(Clone, Debug)]
pub(super) struct Names<const N: usize> {
    kept: [Vec<u8>; N],
    /// The one being read.
    text: ArrayVec<u8, NAME_BYTES_MAX>,
}

impl<const N: usize> Default for Names<N> {
    fn default() -> Names<N> {
        Names { kept: [const { Vec::new() }; N], text: ArrayVec::new() }
    }
}

impl<const N: usize> Names<N> {
    /// Forgets what an event left half-read.
    pub(super) fn begin_event(&mut self) {
        self.text.clear();
    }

    /// A part of the text with this number.
    pub(super) fn part(&mut self, number: usize, part: &[u8]) {
        if self.kept.get(number).is_some_and(Vec::is_empty) {
            self.text.extend(part.iter().copied().take(self.text.remaining_capacity()));
        }
    }

    /// The text with this number has ended.
    pub(super) fn end(&mut self, number: usize) {
        if let Some(kept) = self.kept.get_mut(number).filter(|kept| kept.is_empty()) {
            kept.extend_from_slice(&self.text);
            self.text.clear();
        }
    }

    /// All of them; empty where none was told. They were valid UTF-8 until they were cut.
    pub(super) fn texts(&self) -> [&str; N] {
        self.kept.each_ref().map(|kept| kept.utf8_chunks().next().map_or("", |chunk| chunk.valid()))
    }
}
