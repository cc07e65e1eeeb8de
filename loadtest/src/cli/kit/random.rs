//! Random numbers that a seed repeats: SplitMix64.

/// A stream of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream of `seed`; `lane` tells the streams of one seed apart.
    pub(crate) fn new(seed: u64, lane: u64) -> Random {
        let mut random = Random(seed ^ lane.wrapping_mul(0xd134_2543_de82_ef95));
        // Seeds that are near one another begin alike otherwise.
        random.next();
        random
    }

    /// The next number.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` to `high`, both included; `low` when there is none between.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        let span = u128::from(high.saturating_sub(low)) + 1;
        low + ((u128::from(self.next()) * span) >> 64) as u64
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.between(0, 99) < percent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_repeat_and_bounds_are_reached_and_kept() {
        let draw = |seed, lane| {
            let mut random = Random::new(seed, lane);
            (0..200).map(|_| random.between(3, 7)).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, 0), draw(1, 0));
        assert!(draw(1, 0) != draw(2, 0) && draw(1, 0) != draw(1, 1));
        assert_eq!(draw(1, 0).iter().min().zip(draw(1, 0).iter().max()), Some((&3, &7)));
        let mut random = Random::new(9, 9);
        assert_eq!((random.between(5, 5), random.between(5, 4)), (5, 5));
        assert!((0..50).all(|_| random.percent(100) && !random.percent(0)));
        random.between(0, u64::MAX);
    }
}
