//! What usage costs: prices by provider and model, in integers.

use super::Usage;
use crate::base::{FastMap, Money};

/// Prices of one model, each in nano-dollars per million tokens (0.80 USD per million is 800,000,000).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    /// Input that is neither read from nor written to the provider's prompt cache.
    pub input: u64,
    /// Input read from the cache.
    pub cached_input: u64,
    /// Input written to the cache.
    pub cache_write: u64,
    /// Output, reasoning included.
    pub output: u64,
}

/// One row of a price list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceRow {
    /// The provider's name, as [`crate::llm::provider::Provider::name`] gives it.
    pub provider: String,
    /// The model's name, or the beginning of it and a `*`.
    pub model: String,
    /// What it costs.
    pub price: Price,
}

/// The prices that are known. A model has the price of the row with exactly its name, else of the row with the
/// longest beginning (`claude-3-5-haiku-*`) that fits.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    providers: FastMap<Box<str>, Models>,
}

#[derive(Clone, Debug, Default)]
struct Models {
    exact: FastMap<Box<str>, Price>,
    /// Beginnings without their `*`, longest first.
    beginnings: Vec<(Box<str>, Price)>,
}

impl Catalogue {
    /// A catalogue of these rows; a later row replaces an earlier one for the same provider and model, so
    /// that a user's rows can follow built-in ones.
    pub fn new(rows: impl IntoIterator<Item = PriceRow>) -> Catalogue {
        let mut catalogue = Catalogue::default();
        for PriceRow { provider, model, price } in rows {
            let models = catalogue.providers.entry(provider.into()).or_default();
            match model.strip_suffix('*') {
                None => {
                    models.exact.insert(model.into(), price);
                }
                Some(beginning) => {
                    models.beginnings.retain(|(known, _)| **known != *beginning);
                    models.beginnings.push((beginning.into(), price));
                }
            }
        }
        for models in catalogue.providers.values_mut() {
            models.beginnings.sort_by_key(|(beginning, _)| std::cmp::Reverse(beginning.len()));
        }
        catalogue
    }

    /// The price of a model; `None` when no row fits, and the caller's policy decides.
    pub fn price(&self, provider: &str, model: &str) -> Option<&Price> {
        let models = self.providers.get(provider)?;
        let beginning = || models.beginnings.iter().find(|(beginning, _)| model.starts_with(&**beginning));
        models.exact.get(model).or_else(|| beginning().map(|(_, price)| price))
    }
}

/// What `usage` costs. Each kind of token is priced by itself and rounded up to a whole nano-dollar
/// ([`Money::for_tokens`]). Usage whose parts exceed its input is charged for the parts.
pub fn cost(price: &Price, usage: &Usage) -> Money {
    let fresh = usage.input.saturating_sub(usage.cached_input).saturating_sub(usage.cache_write);
    [
        (fresh, price.input),
        (usage.cached_input, price.cached_input),
        (usage.cache_write, price.cache_write),
        (usage.output, price.output),
    ]
    .into_iter()
    .map(|(tokens, nano_per_million)| Money::for_tokens(tokens, nano_per_million))
    .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HAIKU: Price = Price {
        input: 800_000_000,
        cached_input: 80_000_000,
        cache_write: 1_000_000_000,
        output: 4_000_000_000,
    };

    fn row(provider: &str, model: &str, input: u64) -> PriceRow {
        PriceRow {
            provider: provider.into(),
            model: model.into(),
            price: Price { input, ..Price::default() },
        }
    }

    #[test]
    fn each_kind_of_token_has_its_own_price() {
        let usage = |input, cached_input, cache_write, output| Usage {
            input,
            cached_input,
            cache_write,
            output,
            reasoning: output,
        };
        for (usage, nano) in [
            (usage(0, 0, 0, 0), 0),
            (usage(1_000_000, 0, 0, 0), 800_000_000),
            (usage(10, 0, 0, 5), 8_000 + 20_000),
            (usage(100, 60, 30, 1), 10 * 800 + 60 * 80 + 30 * 1_000 + 4_000),
            (usage(10, 60, 0, 0), 60 * 80), // parts beyond the whole: no negative rest
        ] {
            assert_eq!(cost(&HAIKU, &usage), Money(nano), "{usage:?}");
        }
    }

    #[test]
    fn the_exact_name_wins_then_the_longest_beginning() {
        let catalogue = Catalogue::new([
            row("anthropic", "*", 1),
            row("anthropic", "claude-3-5-*", 2),
            row("anthropic", "claude-3-5-haiku-*", 3),
            row("anthropic", "claude-3-5-haiku-latest", 4),
            row("openai", "gpt-4o", 5),
            row("openai", "gpt-4o", 6),
            row("openai", "o1*", 7),
            row("openai", "o1*", 8),
        ]);
        for (provider, model, input) in [
            ("anthropic", "claude-3-5-haiku-latest", Some(4)),
            ("anthropic", "claude-3-5-haiku-20241022", Some(3)),
            ("anthropic", "claude-3-5-sonnet", Some(2)),
            ("anthropic", "x", Some(1)),
            ("openai", "gpt-4o", Some(6)),
            ("openai", "gpt-4o-mini", None),
            ("openai", "o1", Some(8)),
            ("gemini", "gpt-4o", None),
        ] {
            assert_eq!(catalogue.price(provider, model).map(|p| p.input), input, "{provider} {model}");
        }
    }

    proptest! {
        #[test]
        fn nothing_overflows_and_nothing_is_free(input: u64, cached_input: u64, output: u64, rate in 1u64..) {
            let price = Price { input: rate, cached_input: rate, cache_write: rate, output: rate };
            let usage = Usage { input, cached_input, output, ..Usage::default() };
            prop_assert!(cost(&price, &usage) >= Money::ZERO);
            prop_assert_eq!(cost(&price, &usage) == Money::ZERO, input == 0 && cached_input == 0 && output == 0);
        }
    }
}
