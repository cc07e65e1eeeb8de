use super::*;
use crate::llm::estimate;
use proptest::prelude::*;

/// Numbers below `bound` that look random and are the same each time.
fn noise(bound: u64) -> impl FnMut() -> u64 {
    let mut state = 1u64;
    move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % bound
    }
}

fn real(text_bytes: u64, bytes_per_1000_tokens: u32) -> u64 {
    estimate::input_tokens(text_bytes, 0, Ratio { bytes_per_1000_tokens })
}

fn bytes_per_1000(learned: &Learned, model: &str) -> u32 {
    learned.ratio(model).bytes_per_1000_tokens
}

fn only_model(learned: &Learned) -> InputStats {
    learned.models().next().unwrap().1
}

#[test]
fn a_ratio_is_learned_after_nine_requests() {
    for ratio in [900, 1800, 3100, 4000, 5600] {
        let mut learned = Learned::new(4, 4);
        let mut size = noise(20_000);
        for _ in 0..8 {
            let bytes = TEXT_BYTES_MIN + size();
            learned.observe_input("m", bytes, 0, real(bytes, ratio));
            assert_eq!(learned.ratio("m"), Ratio::DEFAULT);
        }
        learned.observe_input("m", 10_000, 0, real(10_000, ratio));
        assert!(bytes_per_1000(&learned, "m").abs_diff(ratio) <= ratio / 100, "{ratio}");
        assert_eq!(learned.ratio("another"), Ratio::DEFAULT);
    }
}

#[test]
fn what_says_nothing_about_text_teaches_nothing() {
    let mut learned = Learned::new(4, 4);
    for _ in 0..100 {
        learned.observe_input("m", TEXT_BYTES_MIN - 1, 0, 9000);
        learned.observe_input("m", 10_000, 1, 9000);
        learned.observe_input("m", 10_000, 0, 0);
        learned.observe_input(&"m".repeat(NAME_BYTES_MAX + 1), 10_000, 0, 9000);
    }
    assert_eq!(learned.models().count(), 0);
}

#[test]
fn outliers_move_little() {
    let mut learned = Learned::new(4, 4);
    // Three of the first nine are absurd; the median does not mind.
    for input in [2500, 2500, u64::MAX, 2500, 1, 2500, 2500, 1_000_000, 2500] {
        learned.observe_input("m", 10_000, 0, input + u64::from(input == 2500) * estimate::OVERHEAD_TOKENS);
    }
    assert_eq!(bytes_per_1000(&learned, "m"), 4000);
    for _ in 0..200 {
        learned.observe_input("m", 10_000, 0, real(10_000, 4000));
    }
    for absurd in [u64::MAX, 1] {
        let before = bytes_per_1000(&learned, "m");
        learned.observe_input("m", 10_000, 0, absurd);
        assert!(bytes_per_1000(&learned, "m").abs_diff(before) <= before / 60, "{absurd}");
    }
}

#[test]
fn a_change_of_the_ratio_is_followed() {
    let mut learned = Learned::new(4, 4);
    for ratio in [4000, 2600, 1500, 4400] {
        for _ in 0..400 {
            learned.observe_input("m", 10_000, 0, real(10_000, ratio));
        }
        assert!(bytes_per_1000(&learned, "m").abs_diff(ratio) <= ratio / 50, "{ratio}");
    }
}

#[test]
fn the_error_is_that_of_the_estimate_that_was_in_force() {
    let mut learned = Learned::new(4, 4);
    for _ in 0..9 {
        learned.observe_input("m", 8000, 0, 1000); // estimated as 2008
    }
    assert_eq!(only_model(&learned).error_permille_sum, 9 * 1008);
    for _ in 0..9 {
        learned.observe_input("m", 8000, 0, 1000);
    }
    let stats = only_model(&learned);
    assert_eq!((stats.samples, stats.error_permille()), (18, 504));
    learned.observe_input("m", 1 << 40, 0, 1);
    assert_eq!(only_model(&learned).error_permille_sum, 9 * 1008 + 10_000);
    assert_eq!(InputStats::default().error_permille(), 0);
}

#[test]
fn output_is_expected_as_observed_and_never_above_the_ceiling() {
    let mut learned = Learned::new(4, 4);
    // Observed before, each of 100 tokens; the client's ceiling; what is expected.
    let rows = [
        (0, None, 1024),
        (0, Some(50), 50),
        (19, Some(5000), 1024),
        (20, None, 103),
        (20, Some(5000), 103),
        (20, Some(102), 102),
        (20, Some(0), 0),
    ];
    let mut observed = 0;
    for (answers, max_tokens, expect) in rows {
        while observed < answers {
            learned.observe_output("r", "m", 100);
            observed += 1;
        }
        assert_eq!(learned.expected_output("r", "m", max_tokens, 1024), expect, "{answers} {max_tokens:?}");
    }
    assert_eq!(learned.expected_output("r", "other", None, 7), 7);
    assert_eq!(learned.expected_output("other", "m", None, 7), 7);
}

#[test]
fn longer_answers_are_expected_soon_and_shorter_ones_later() {
    let mut learned = Learned::new(4, 4);
    let expect_after = |learned: &mut Learned, answers: usize, tokens: u64| {
        (0..answers).for_each(|_| learned.observe_output("r", "m", tokens));
        learned.expected_output("r", "m", None, 0)
    };
    assert_eq!(expect_after(&mut learned, 1000, 100), 103);
    assert_eq!(expect_after(&mut learned, 40, 1000), 1023);
    assert_eq!(expect_after(&mut learned, 1300, 100), 103);
}

#[test]
fn about_95_of_100_answers_are_covered() {
    let mut learned = Learned::new(4, 4);
    let mut tokens = noise(3000);
    (0..5000).for_each(|_| learned.observe_output("r", "m", tokens()));
    let (route, model, stats) = learned.outputs().next().unwrap();
    assert_eq!((route, model, stats.samples, stats.expected), ("r", "m", 5000, 4980));
    assert!((940..=1000).contains(&stats.covered_permille()), "{stats:?}");
    assert_eq!(OutputStats::default().covered_permille(), 0);
}

proptest! {
    /// Whatever is observed, the ratio lies between the smallest and the largest of what was.
    #[test]
    fn a_ratio_is_one_of_those_observed(
        ratios in prop::collection::vec(600..30_000u32, 9..200),
        bytes in 4_000_000..8_000_000u64,
    ) {
        let mut learned = Learned::new(1, 1);
        for ratio in &ratios {
            learned.observe_input("m", bytes, 0, real(bytes, *ratio));
        }
        let (least, most) = (*ratios.iter().min().unwrap(), *ratios.iter().max().unwrap());
        let ratio = bytes_per_1000(&learned, "m");
        prop_assert!(ratio >= least - least / 100 - 1 && ratio <= most + most / 100 + 1, "{}", ratio);
    }

    #[test]
    fn no_more_is_held_than_allowed(
        models_max in 0..5usize,
        routes_max in 0..5usize,
        names in prop::collection::vec(("[a-h]", "[a-h]"), 0..80),
    ) {
        let mut learned = Learned::new(models_max, routes_max);
        for (route, model) in &names {
            let _ = (learned.ratio(model), learned.expected_output(route, model, None, 1));
            learned.observe_input(model, 1000, 0, 250);
            learned.observe_output(route, model, 9);
            prop_assert!(learned.models().count() <= models_max && learned.outputs().count() <= routes_max);
        }
        let distinct = |names: Vec<String>| names.into_iter().collect::<std::collections::HashSet<_>>().len();
        let models = distinct(names.iter().map(|(_, model)| model.clone()).collect());
        let routes = distinct(names.iter().map(|(route, model)| format!("{route} {model}")).collect());
        prop_assert_eq!(learned.models().count(), models.min(models_max));
        prop_assert_eq!(learned.outputs().count(), routes.min(routes_max));
    }

    /// Any numbers are survived, and the error of an estimate is finite.
    #[test]
    fn any_numbers_are_survived(observed in prop::collection::vec((any::<u64>(), any::<u64>()), 0..40)) {
        let mut learned = Learned::new(1, 1);
        for (bytes, tokens) in observed {
            learned.observe_input("m", bytes, 0, tokens);
            learned.observe_output("r", "m", tokens);
            prop_assert!((500..=32_000).contains(&bytes_per_1000(&learned, "m")));
            prop_assert!(learned.expected_output("r", "m", None, 0) <= OUTPUT_TOKENS_MAX);
        }
    }
}
