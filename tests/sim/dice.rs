//! Everything that is left to chance, from one number.

use std::time::Duration;

/// SplitMix64: small, and the same on every machine.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Dice {
        // Neighbouring seeds begin far apart.
        Dice(seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x5851_f42d_4c95_7f2d)
    }

    pub(crate) fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `bound`, which is not 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// From `least` to `most`, both included.
    pub(crate) fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// True so often in a hundred.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn one_of<T: Clone>(&mut self, those: &[T]) -> T {
        those[self.below(those.len() as u64) as usize].clone()
    }

    /// Every order of magnitude up to `most` is as likely as every other, and so is 0.
    pub(crate) fn any_size(&mut self, most: u64) -> u64 {
        let magnitudes = most.checked_ilog2().map_or(1, |power| u64::from(power) + 2);
        match self.below(magnitudes) {
            0 => 0,
            power => self.between(1 << (power - 1), ((1u64 << (power - 1)) * 2 - 1).min(most)),
        }
    }

    pub(crate) fn any_time(&mut self, most: Duration) -> Duration {
        Duration::from_nanos(self.any_size(most.as_nanos() as u64))
    }
}
