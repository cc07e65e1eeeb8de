use super::*;
use proptest::prelude::*;

/// A rate for each kind, no two the same.
const RATES: Rates = Rates {
    input: 800_000_000,
    cached_input: 80_000_000,
    cache_write: 1_000_000_000,
    cache_write_1h: 1_600_000_000,
    audio_input: 10_000_000_000,
    output: 4_000_000_000,
    reasoning: 3_000_000_000,
    audio_output: 20_000_000_000,
};

/// Input, of it cached, written to the cache, written for an hour, audio; output, of it reasoning, audio.
fn usage(
    [input, cached_input, cache_write, cache_write_1h, audio_input, output, reasoning, audio_output]: [u64;
        8],
) -> Usage {
    Usage { input, cached_input, cache_write, cache_write_1h, audio_input, output, reasoning, audio_output }
}

fn row(vendor: &'static str, model: &str, input: u64) -> PriceRow {
    let price = Rates { input, ..Rates::default() }.into();
    PriceRow { vendor, model: model.into(), price, origin: input.to_string() }
}

#[test]
fn each_kind_of_token_has_its_own_price() {
    for (tokens, nano) in [
        ([0; 8], 0),
        ([1_000_000, 0, 0, 0, 0, 0, 0, 0], 800_000_000),
        ([10, 0, 0, 0, 0, 5, 0, 0], 8_000 + 20_000),
        ([100, 60, 30, 0, 0, 1, 0, 0], 10 * 800 + 60 * 80 + 30 * 1_000 + 4_000),
        ([100, 60, 30, 20, 0, 0, 0, 0], 10 * 800 + 60 * 80 + 10 * 1_000 + 20 * 1_600),
        ([100, 0, 0, 0, 40, 0, 0, 0], 60 * 800 + 40 * 10_000),
        ([0, 0, 0, 0, 0, 100, 70, 20], 10 * 4_000 + 70 * 3_000 + 20 * 20_000),
        // Parts beyond their whole: no negative rest.
        ([10, 60, 0, 0, 0, 0, 0, 0], 60 * 80),
        ([10, 6, 0, 0, 8, 1, 0, 2], 6 * 80 + 8 * 10_000 + 2 * 20_000),
        ([10, 0, 5, 7, 0, 0, 0, 0], 5 * 800 + 5 * 1_600),
    ] {
        assert_eq!(RATES.cost(&usage(tokens)), Money(nano), "{tokens:?}");
    }
}

#[test]
fn a_flat_rate_knows_input_and_output_alone() {
    let (input, output) = (7_000_000, 9_000_000);
    let tokens = usage([100, 20, 30, 10, 5, 50, 20, 10]);
    assert_eq!(Rates::flat(input, output).cost(&tokens), Money(100 * 7 + 50 * 9));
}

#[test]
fn the_tier_of_the_input_prices_the_whole_request() {
    let tier = |above, input| Tier { above, rates: Rates::flat(input, 10 * input) };
    let price = Price { base: Rates::flat(1, 10), tiers: vec![tier(200_000, 2), tier(1_000_000, 3)] };
    for (input, rate) in [(0, 1), (200_000, 1), (200_001, 2), (1_000_000, 2), (1_000_001, 3), (u64::MAX, 3)] {
        assert_eq!(*price.rates(input), Rates::flat(rate, 10 * rate), "{input}");
    }
    // Cached input counts for the tier as any other does.
    let cached = Usage { input: 300_000, cached_input: 300_000, output: 1_000_000, ..Usage::default() };
    assert_eq!(price.cost(&cached), Money(1 + 20), "0.6 nano-dollars rounded up, and the output");
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
        row("bedrock", "anthropic.claude-*", 9),
        row("bedrock", "global.anthropic.claude-*", 10),
        row("vertexai", "gemini-2.5-pro", 11),
    ]);
    for (vendor, model, input) in [
        ("anthropic", "claude-3-5-haiku-latest", Some(4)),
        ("anthropic", "claude-3-5-haiku-20241022", Some(3)),
        ("anthropic", "claude-3-5-sonnet", Some(2)),
        ("anthropic", "x", Some(1)),
        ("openai", "gpt-4o", Some(6)),
        ("openai", "gpt-4o-mini", None),
        ("openai", "o1", Some(8)),
        ("openai", "", None),
        ("gemini", "gpt-4o", None),
        ("bedrock", "anthropic.claude-x", Some(9)),
        ("bedrock", "eu.anthropic.claude-x", Some(9)),
        ("bedrock", "global.anthropic.claude-x", Some(10)),
        ("bedrock", "arn:aws:bedrock:us-east-1:1:inference-profile/global.anthropic.claude-x", Some(10)),
        ("bedrock", "mars.anthropic.claude-x", None),
        ("vertexai", "publishers/google/models/gemini-2.5-pro", Some(11)),
    ] {
        let listed = catalogue.find(vendor, model).and_then(|id| catalogue.get(id));
        assert_eq!(listed.map(|listed| listed.price.base.input), input, "{vendor} {model}");
        assert_eq!(listed.map(|listed| listed.origin.clone()), input.map(|input| input.to_string()));
    }
    assert_eq!((catalogue.names("openai"), catalogue.names("groq")), (2, 0));
}

/// What usage costs, kind by kind, in plain arithmetic that cannot overflow.
fn oracle(rates: &Rates, usage: &Usage) -> u128 {
    let part = |tokens: i128, rate: u64| (tokens.max(0) as u128 * u128::from(rate)).div_ceil(1_000_000);
    let [input, cached, written, hour, audio_in] =
        [usage.input, usage.cached_input, usage.cache_write, usage.cache_write_1h, usage.audio_input]
            .map(i128::from);
    let [output, reasoning, audio_out] = [usage.output, usage.reasoning, usage.audio_output].map(i128::from);
    let hour = hour.min(written);
    part(input - cached - written - audio_in, rates.input)
        + part(cached, rates.cached_input)
        + part(written - hour, rates.cache_write)
        + part(hour, rates.cache_write_1h)
        + part(audio_in, rates.audio_input)
        + part(output - reasoning - audio_out, rates.output)
        + part(reasoning, rates.reasoning)
        + part(audio_out, rates.audio_output)
}

fn rates() -> impl Strategy<Value = Rates> {
    // Prices as they are, and as nobody would write them.
    let rate = prop_oneof![0u64..200_000_000_000, any::<u64>()];
    proptest::array::uniform8(rate).prop_map(
        |[input, cached_input, cache_write, cache_write_1h, audio_input, output, reasoning, audio_output]| {
            Rates {
                input,
                cached_input,
                cache_write,
                cache_write_1h,
                audio_input,
                output,
                reasoning,
                audio_output,
            }
        },
    )
}

fn tokens() -> impl Strategy<Value = Usage> {
    proptest::array::uniform8(prop_oneof![0u64..2_000_000, any::<u64>()]).prop_map(usage)
}

proptest! {
    #[test]
    fn costs_are_those_of_the_oracle(rates in rates(), usage in tokens()) {
        let exact = i64::try_from(oracle(&rates, &usage)).unwrap_or(i64::MAX);
        prop_assert_eq!(rates.cost(&usage), Money(exact));
    }

    #[test]
    fn the_tier_is_the_last_that_the_input_exceeds(
        mut bounds in proptest::collection::vec(0u64..1_000_000, 0..4),
        usage in tokens(),
    ) {
        bounds.sort_unstable();
        bounds.dedup();
        let tiers = bounds.iter().map(|above| Tier { above: *above, rates: Rates::flat(*above, 1) }).collect();
        let price = Price { base: Rates::flat(7, 1), tiers };
        let mut expected = Rates::flat(7, 1);
        for above in bounds {
            if usage.input > above {
                expected = Rates::flat(above, 1);
            }
        }
        prop_assert_eq!(price.cost(&usage), expected.cost(&usage));
    }

    #[test]
    fn nothing_is_free_that_has_a_price(usage in tokens(), rate in 1u64..) {
        let nothing = usage == Usage { cache_write_1h: usage.cache_write_1h, ..Usage::default() };
        prop_assert_eq!(Rates::flat(rate, rate).cost(&usage) == Money::ZERO, nothing);
    }
}
