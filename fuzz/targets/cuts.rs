//! Inputs in pieces: whoever reads them must not see where they were cut.

use std::fmt::Debug;

/// Inputs that are no longer are cut at every place, others at a few.
const CUT_EVERYWHERE: usize = 48;
/// Inputs that are no longer are also read byte by byte.
const BYTE_BY_BYTE: usize = 4 << 10;
const SOME: usize = 6;

/// Numbers that a seed leads to (SplitMix64): the same for the same input, so that a crash repeats.
pub(super) struct Dice(u64);

impl Dice {
    /// Seeded by the bytes (FNV-1a).
    pub(super) fn of(data: &[u8]) -> Dice {
        Dice(data.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        }))
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % bound.max(1) as u64) as usize
    }
}

/// What `read` makes of `data` in one piece; in others it must be the same.
pub(super) fn every_way<T: PartialEq + Debug>(data: &[u8], read: impl Fn(&[&[u8]]) -> T) -> T {
    let whole = read(&[data]);
    let same = |pieces: &[&[u8]], how: &dyn Debug| {
        let got = read(pieces);
        assert!(got == whole, "cut {how:?}: {got:?}\nwhole: {whole:?}");
    };
    if data.len() <= BYTE_BY_BYTE {
        same(&data.chunks(1).collect::<Vec<_>>(), &"byte by byte");
    }
    let mut dice = Dice::of(data);
    let everywhere = data.len() <= CUT_EVERYWHERE;
    let places: Vec<usize> = match everywhere {
        true => (0..=data.len()).collect(),
        false => (0..SOME).map(|_| dice.below(data.len() + 1)).collect(),
    };
    for at in places {
        let (head, tail) = data.split_at(at);
        same(&[head, tail], &at);
        let (middle, end) = tail.split_at(dice.below(tail.len().min(64) + 1));
        same(&[head, b"", middle, end], &(at, middle.len()));
    }
    whole
}
