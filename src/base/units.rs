use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

/// A number of tokens, as a provider counts them.
pub type Tokens = u64;

/// An amount of money in nano-dollars (10^-9 USD), an integer so that sums are exact.
///
/// One token of the cheapest model in use costs about 10 nano-dollars; 2^63 of them are 9.2 billion USD.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Money(pub i64);

impl Money {
    /// No money.
    pub const ZERO: Money = Money(0);

    /// What `tokens` cost at `nano_per_million` nano-dollars per million tokens, rounded up to a whole
    /// nano-dollar so that a price is never lost to rounding.
    pub fn for_tokens(tokens: Tokens, nano_per_million: u64) -> Money {
        let nano = (u128::from(tokens) * u128::from(nano_per_million)).div_ceil(1_000_000);
        Money(i64::try_from(nano).unwrap_or(i64::MAX))
    }

    /// In dollars, for people and for JSON; not for sums.
    pub fn dollars(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for Money {
    type Output = Money;
    fn add(self, other: Money) -> Money {
        Money(self.0.saturating_add(other.0))
    }
}

impl AddAssign for Money {
    fn add_assign(&mut self, other: Money) {
        *self = *self + other;
    }
}

impl Sum for Money {
    fn sum<I: Iterator<Item = Money>>(amounts: I) -> Money {
        amounts.fold(Money::ZERO, Add::add)
    }
}

/// Exact decimal dollars with at least two decimals: `0.00`, `0.0000124`.
impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let (whole, part) = (self.0.unsigned_abs() / 1_000_000_000, self.0.unsigned_abs() % 1_000_000_000);
        let digits = format!("{part:09}");
        let shown = digits.trim_end_matches('0').len().max(2);
        write!(f, "{sign}{whole}.{}", &digits[..shown])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn price_of_tokens_is_exact_and_rounds_up() {
        let haiku_input = 800_000_000; // 0.80 USD per million
        assert_eq!(Money::for_tokens(1_000_000, haiku_input), Money(800_000_000));
        assert_eq!(Money::for_tokens(1, haiku_input), Money(800));
        assert_eq!(Money::for_tokens(1, 1), Money(1));
        assert_eq!(Money::for_tokens(0, haiku_input), Money::ZERO);
        assert_eq!(Money::for_tokens(u64::MAX, u64::MAX), Money(i64::MAX));
    }

    #[test]
    fn money_is_shown_exactly() {
        for (nano, shown) in
            [(0, "0.00"), (12_400, "0.0000124"), (1_500_000_000, "1.50"), (-1, "-0.000000001")]
        {
            assert_eq!(Money(nano).to_string(), shown);
        }
        assert_eq!([Money(1), Money(2)].into_iter().sum::<Money>(), Money(3));
    }
}
