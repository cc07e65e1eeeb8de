//! One of several, in proportion to weights.

/// Choices with weights: each is picked `weight / sum of weights` of the time, exactly.
///
/// A weight of 0 is never picked ("if a weight is set to 0, no traffic should be forwarded for this entry").
#[derive(Clone, Debug)]
pub struct Weighted<T> {
    choices: Vec<(u32, T)>,
    /// For each choice the sum of the weights up to and with it.
    sums: Vec<u64>,
}

impl<T> Weighted<T> {
    /// The choices with their weights.
    pub fn new(choices: Vec<(u32, T)>) -> Weighted<T> {
        let sums = choices.iter().scan(0u64, |sum, (weight, _)| {
            *sum += u64::from(*weight);
            Some(*sum)
        });
        Weighted { sums: sums.collect(), choices }
    }

    /// The choice that `random` falls on; `None` when there is none with a weight above 0.
    ///
    /// `random` has to be uniform over all 64 bits: the choices divide the range of u64 among them, one after
    /// the other, so that the high bits decide.
    pub fn pick(&self, random: u64) -> Option<&T> {
        let sum = *self.sums.last()?;
        let point = (u128::from(random) * u128::from(sum)) >> 64;
        let place = self.sums.partition_point(|upto| u128::from(*upto) <= point);
        self.choices.get(place).map(|(_, choice)| choice)
    }

    /// All choices, which may be changed; their weights stay.
    pub fn choices_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.choices.iter_mut().map(|(_, choice)| choice)
    }

    /// All choices with their weights, in the order given.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.choices.iter().map(|(weight, choice)| (*weight, choice))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// How often each choice is picked by `draws` numbers that lie evenly over the range of u64.
    fn picked(weights: &[u32], draws: u64) -> Vec<u64> {
        let weighted = Weighted::new(weights.iter().copied().zip(0..).collect());
        let mut counts = vec![0; weights.len()];
        for draw in 0..draws {
            let middle = ((u128::from(draw) * 2 + 1) << 63) / u128::from(draws);
            let choice: &usize = weighted.pick(middle as u64).expect("a weight above 0");
            counts[*choice] += 1;
        }
        counts
    }

    #[test]
    fn proportions_are_exact() {
        for weights in [&[1][..], &[1, 1], &[9, 1], &[70, 30, 0], &[0, 1, 0], &[1, 2, 3, 4], &[0, 0, 5]] {
            let sum: u32 = weights.iter().sum();
            let expected: Vec<u64> = weights.iter().map(|weight| u64::from(*weight) * 10).collect();
            assert_eq!(picked(weights, u64::from(sum) * 10), expected);
        }
    }

    #[test]
    fn without_a_weight_above_zero_nothing_is_picked() {
        for weights in [&[][..], &[(0, 'a')], &[(0, 'a'), (0, 'b')]] {
            for random in [0, 1, u64::MAX] {
                assert_eq!(Weighted::new(weights.to_vec()).pick(random), None);
            }
        }
    }

    #[test]
    fn all_choices_are_listed_in_order() {
        let weighted = Weighted::new(vec![(0, 'a'), (u32::MAX, 'b')]);
        assert_eq!(weighted.iter().collect::<Vec<_>>(), [(0, &'a'), (u32::MAX, &'b')]);
    }

    proptest! {
        #[test]
        fn whatever_the_number_a_weight_above_zero_is_picked(
            weights in prop::collection::vec(0u32.., 1..20), random: u64,
        ) {
            let weighted = Weighted::new(weights.iter().copied().zip(0..).collect());
            match weighted.pick(random) {
                Some(place) => prop_assert!(weights[*place as usize] > 0),
                None => prop_assert!(weights.iter().all(|weight| *weight == 0)),
            }
        }
    }
}
