//! The whole configuration check, from YAML to snapshot; prices.

use super::choice;
use super::wellformed::text as lossy;
use std::mem::discriminant;
use std::time::Duration;
use tollgate::base::Money;
use tollgate::config::{
    Diagnostics, Overrides, Snapshot, Source, key_of, load, load_with_prices, other_measure,
};
use tollgate::limit::{KeyPart, Measure, Rate, Rule, Unit};
use tollgate::llm::Usage;

const WALKTHROUGH: [(&str, &str); 5] = [
    ("1-secret.yaml", include_str!("../../config/walkthrough/1-secret.yaml")),
    ("2-gateway.yaml", include_str!("../../config/walkthrough/2-gateway.yaml")),
    ("3-backend.yaml", include_str!("../../config/walkthrough/3-backend.yaml")),
    ("4-httproute.yaml", include_str!("../../config/walkthrough/4-httproute.yaml")),
    ("5-trafficpolicy.yaml", include_str!("../../config/walkthrough/5-trafficpolicy.yaml")),
];

/// The value of variables that hold a secret, which must not be seen again.
const CANARY: &str = "c4nary-in-the-mine";

/// What manifests name is a secret, and so are keys of clouds; where their SDKs look for more is told.
fn variable(name: &str) -> Option<String> {
    let is_place =
        ["AWS_", "GOOGLE_", "CLOUDSDK_", "GCE_", "HOME"].iter().any(|known| name.starts_with(known));
    let is_secret = ["ACCESS_KEY", "SESSION_TOKEN"].iter().any(|part| name.contains(part));
    (!is_place || is_secret).then(|| CANARY.to_owned())
}

fn checked(text: &str, beside: &[(&str, &str)]) -> Result<Snapshot, Diagnostics> {
    let source = |(name, text): (&'static str, &'static str)| Source { name, text };
    let mut sources: Vec<Source<'_>> = WALKTHROUGH.into_iter().map(source).collect();
    sources.retain(|source| beside.iter().any(|(name, _)| *name == source.name));
    sources.push(Source { name: "fuzz.yaml", text });
    load(&sources, &variable, &Overrides::default())
}

/// The first byte chooses what stands beside the text: nothing, or manifests of the walkthrough.
pub(super) fn config(data: &[u8]) {
    let (chosen, data) = choice(data);
    let text = lossy(data);
    let beside = [&WALKTHROUGH[..], &[], &WALKTHROUGH[..4], &WALKTHROUGH[..2]][chosen & 3];
    match checked(&text, beside) {
        Ok(snapshot) => {
            let shown = format!("{}{:?}", snapshot.report, snapshot.warnings);
            assert!(!shown.contains(CANARY), "a report repeats a secret: {shown}");
            let rules = snapshot.rules.len();
            assert!(rules == 0 || !snapshot.listeners.is_empty(), "rules that nobody can reach");
        }
        Err(faults) => {
            let shown = faults.to_string();
            assert!(!shown.contains(CANARY), "a fault repeats a secret: {shown}");
            places_are_in(&text, &faults);
            let again = checked(&text, beside).err().map(|faults| faults.to_string());
            assert_eq!(again.as_deref(), Some(shown.as_str()), "the faults of another time");
        }
    }
}

/// Faults say where they are, and there is such a place.
fn places_are_in(text: &str, faults: &Diagnostics) {
    assert!(faults.count() > 0, "refused and no fault");
    let lines = text.split(['\n', '\r']).count() as u32; // YAML ends lines with either
    let here = faults.iter().filter(|fault| &*fault.file == "fuzz.yaml" && fault.line > 0);
    assert!(here.map(|fault| fault.line).is_sorted(), "not in the order of their lines: {faults}");
    for fault in faults.iter().filter(|fault| &*fault.file == "fuzz.yaml") {
        assert!(fault.line <= lines + 1, "{fault}: there are {lines} lines");
        assert_eq!(fault.line == 0, fault.column == 0, "{fault}");
        assert!(!fault.message.is_empty());
    }
}

/// What an operator says of one account while the program runs. The first byte chooses the limit.
pub(super) fn account(data: &[u8]) {
    let (chosen, data) = choice(data);
    let text = lossy(data);
    let measure = match chosen & 3 {
        0 => Measure::Bucket { capacity: 10, rate: Rate { per_fill: 1, fill: Duration::from_secs(1) } },
        1 => Measure::Concurrent { max: 3 },
        _ => Measure::Sliding { budget: 1000, length: Duration::from_secs(3600) },
    };
    let unit = if chosen & 3 == 1 { Unit::Concurrency } else { Unit::Tokens };
    let key = vec![KeyPart::Header("x-team".into()), KeyPart::ApiKey, KeyPart::Model];
    let rule = Rule { key, ..Rule::new("limit", unit, measure) };
    match other_measure(&rule, &text) {
        Ok(other) => {
            assert_eq!(discriminant(&other), discriminant(&rule.measure), "another kind of limit");
            assert!(other.capacity() >= 1);
        }
        Err(why) => assert!(!why.is_empty()),
    }
    match key_of(&rule, &text) {
        // It is read as the same, however often.
        Ok(key) => assert_eq!(key_of(&rule, &text), Ok(key)),
        Err(why) => assert!(!why.is_empty()),
    }
}

/// The text is a list of prices.
pub(super) fn prices(data: &[u8]) {
    let text = lossy(data);
    let list = Source { name: "prices.yaml", text: &text };
    let manifests: Vec<Source<'_>> = WALKTHROUGH.iter().map(|(name, text)| Source { name, text }).collect();
    let Ok(snapshot) = load_with_prices(list, &manifests, &|_| None, &Overrides::default()) else { return };
    let usage = |input, output| Usage { input, output, cached_input: input / 2, ..Usage::default() };
    for (vendor, name, listed) in snapshot.catalogue.iter() {
        assert!(snapshot.catalogue.names(vendor) > 0);
        assert!(
            name.ends_with('*') || snapshot.catalogue.find(vendor, &name).is_some(),
            "{name} is not found"
        );
        for input in [0, 1, 200_001, u64::MAX] {
            let amounts = [0, 1, 1_000_000, u64::MAX].map(|output| listed.price.cost(&usage(input, output)));
            assert!(amounts.is_sorted() && amounts[0] >= Money::ZERO, "{name}: {amounts:?}");
        }
    }
}
