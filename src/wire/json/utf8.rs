/// Validates UTF-8 (RFC 3629) that arrives in pieces; a sequence may be cut anywhere.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Utf8 {
    /// The bytes of a sequence that the last piece cut short.
    carry: [u8; 4],
    /// How many of them; at most 3 between calls.
    carried: usize,
}

/// A sequence that is invalid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid {
    /// The offset of its first byte in the document.
    pub(super) at: usize,
    /// How many bytes of the piece stand before the one that makes it invalid. That is the same byte however the document is
    /// cut, and not always the sequence's first.
    pub(super) before: usize,
}

impl Utf8 {
    /// Eats the next piece, which begins at offset `base` of the document.
    ///
    /// # Errors
    /// The first sequence that is invalid.
    pub(super) fn feed(&mut self, base: usize, piece: &[u8]) -> Result<(), Invalid> {
        let carried = self.carried;
        if carried == 0 && piece.is_ascii() {
            return Ok(()); // which most are, and what is found out four times as fast
        }
        let joined = self.complete_carry(piece).map_err(|before| Invalid { at: base - carried, before })?;
        let rest = piece.get(joined..).unwrap_or_default();
        let Err(error) = simdutf8::compat::from_utf8(rest) else { return Ok(()) };
        let valid = error.valid_up_to();
        if let Some(length) = error.error_len() {
            let sequence = rest.get(valid..valid + length).unwrap_or_default();
            // A byte that no sequence begins with is invalid by itself; others are made so by the next one.
            let begins = std::str::from_utf8(sequence).is_err_and(|error| error.error_len().is_none());
            let before = joined + valid + if begins { length } else { 0 };
            return Err(Invalid { at: base + joined + valid, before });
        }
        for byte in rest.iter().skip(valid) {
            self.push(*byte);
        }
        Ok(())
    }

    /// Adds bytes of `piece` to the carried sequence until it is whole; how many that took, or how many before the one that
    /// makes it invalid.
    fn complete_carry(&mut self, piece: &[u8]) -> Result<usize, usize> {
        if self.carried == 0 {
            return Ok(0);
        }
        for (used, byte) in piece.iter().enumerate() {
            self.push(*byte);
            match std::str::from_utf8(self.carry.get(..self.carried).unwrap_or_default()) {
                Ok(_) => {
                    self.carried = 0;
                    return Ok(used + 1);
                }
                Err(error) if error.error_len().is_some() => return Err(used),
                Err(_) => {}
            }
        }
        Ok(piece.len())
    }

    fn push(&mut self, byte: u8) {
        if let Some(slot) = self.carry.get_mut(self.carried) {
            *slot = byte;
            self.carried += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_split_finds_the_same_fault() {
        let rows: [(&[u8], Option<usize>); 9] = [
            (b"plain", None),
            ("aé中😀z".as_bytes(), None),
            (b"a\xff", Some(1)),
            (b"a\xe2\x28\xa1", Some(1)),
            (b"ab\xf0\x9f\x98", None), // cut short: not yet wrong
            (b"ab\xf0\x9f\x98x", Some(2)),
            (b"\xed\xa0\x80", Some(0)), // a surrogate
            (b"\xc0\xaf", Some(0)),
            (b"\x80", Some(0)),
        ];
        for (bytes, fault) in rows {
            let whole = Utf8::default().feed(0, bytes).err();
            assert_eq!(whole.map(|invalid| invalid.at), fault, "{bytes:?}");
            for first in 0..=bytes.len() {
                for second in first..=bytes.len() {
                    let mut utf8 = Utf8::default();
                    let pieces = [0..first, first..second, second..bytes.len()];
                    let found = pieces.into_iter().find_map(|piece| {
                        let start = piece.start;
                        let invalid = utf8.feed(start, &bytes[piece]).err()?;
                        Some(Invalid { before: start + invalid.before, ..invalid })
                    });
                    assert_eq!(found, whole, "{bytes:?} split at {first}, {second}");
                }
            }
        }
    }
}
