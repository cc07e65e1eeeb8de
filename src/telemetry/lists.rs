//! Counters that stand in lists: by status, by outcome, by size.

use super::cells::{Counter, Gauge};
use super::record::Outcome;
use crate::base::{self, Tokens};
use std::fmt;

/// What the label `status` says: statuses of which tollgate counts each, then the classes of all others.
pub const STATUSES: [&str; 24] = [
    "200", "400", "401", "403", "404", "408", "413", "415", "421", "429", "431", "499", "500", "501", "502",
    "503", "504", "529", "1xx", "2xx", "3xx", "4xx", "5xx", "other",
];

/// Requests by status.
#[derive(Debug, Default)]
pub struct Statuses([Counter; STATUSES.len()]);

impl Statuses {
    /// Counts one request that was answered with `status`; 499 says that the client left before the answer.
    pub fn count(&self, status: u16) {
        let own = [200, 400, 401, 403, 404, 408, 413, 415, 421, 429, 431, 499, 500, 501, 502, 503, 504, 529];
        let place = own.iter().position(|known| *known == status).unwrap_or(match status {
            100..=599 => own.len() + usize::from(status / 100) - 1,
            _ => STATUSES.len() - 1,
        });
        self.0[place].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut [u64; STATUSES.len()]) {
        add_all(&self.0, sums);
    }
}

/// Exchanges by outcome.
#[derive(Debug, Default)]
pub struct Outcomes([Counter; Outcome::ALL.len()]);

impl Outcomes {
    /// Counts one exchange.
    pub fn count(&self, outcome: Outcome) {
        self.0[outcome as usize].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut [u64; Outcome::ALL.len()]) {
        add_all(&self.0, sums);
    }
}

/// What the label `provider` says of those who are paid: the names that price lists have, then all others.
pub const PAID: [&str; 23] = [
    "openai",
    "anthropic",
    "gemini",
    "vertexai",
    "bedrock",
    "azureopenai",
    "mistral",
    "deepseek",
    "groq",
    "together",
    "xai",
    "cohere",
    "fireworks",
    "perplexity",
    "openrouter",
    "cerebras",
    "deepinfra",
    "huggingface",
    "baseten",
    "nvidia",
    "ollama",
    "vllm",
    "other",
];

/// Who is paid for a request: one of [`PAID`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Payee(u8);

impl Payee {
    /// Whoever has that name; another, if nobody of the list has.
    pub fn named(name: &str) -> Payee {
        let place = PAID.iter().position(|known| *known == name).unwrap_or(PAID.len() - 1);
        Payee(u8::try_from(place).unwrap_or(u8::MAX))
    }

    /// The name.
    pub fn name(self) -> &'static str {
        PAID.get(usize::from(self.0)).copied().unwrap_or("other")
    }
}

/// Requests whose model has no price, by who is paid for them.
#[derive(Debug, Default)]
pub struct Unpriced([Counter; PAID.len()]);

impl Unpriced {
    /// Counts one request.
    pub fn count(&self, payee: Payee) {
        self.0[usize::from(payee.0).min(PAID.len() - 1)].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut [u64; PAID.len()]) {
        add_all(&self.0, sums);
    }
}

/// What the label `reason` says of callers that were not let in.
pub const DENIALS: [&str; 15] = [
    "no_key",
    "unknown_key",
    "expired_key",
    "no_token",
    "bad_token",
    "expired_token",
    "no_issuer_keys",
    "no_password",
    "wrong_password",
    "unjudged_password",
    "guessing",
    "model",
    "address",
    "rules",
    "other",
];

/// Requests that were not let in, by the reason.
#[derive(Debug, Default)]
pub struct Denials([Counter; DENIALS.len()]);

impl Denials {
    /// Counts one request.
    pub fn count(&self, reason: &str) {
        let place = DENIALS.iter().position(|known| *known == reason).unwrap_or(DENIALS.len() - 1);
        self.0[place].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut [u64; DENIALS.len()]) {
        add_all(&self.0, sums);
    }
}

/// What the label `what` says of things that a translation could not carry: the names of [`base::LOSSES`], then all others.
pub const LOSSES: [&str; base::LOSSES.len() + 1] = {
    let mut names = ["other"; base::LOSSES.len() + 1];
    names.split_at_mut(base::LOSSES.len()).0.copy_from_slice(&base::LOSSES);
    names
};

/// Things that a translated request asked for and the provider's format cannot say, by what they are.
#[derive(Debug)]
pub struct Lost([Counter; LOSSES.len()]);

/// Sums of [`Lost`], in the order of [`LOSSES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostTotals(pub [u64; LOSSES.len()]);

impl Default for Lost {
    fn default() -> Lost {
        Lost(std::array::from_fn(|_| Counter::default()))
    }
}

impl Default for LostTotals {
    fn default() -> LostTotals {
        LostTotals([0; LOSSES.len()])
    }
}

impl Lost {
    /// Counts one thing of one request.
    pub fn count(&self, name: &str) {
        let place = LOSSES.iter().position(|known| *known == name).unwrap_or(LOSSES.len() - 1);
        self.0[place].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut LostTotals) {
        add_all(&self.0, &mut sums.0);
    }
}

/// What the label `guard` says: what kinds of guards there are.
pub const GUARDS: [&str; 3] = ["regex", "webhook", "moderation"];

/// What the label `phase` says of what a guard looked at.
pub const PHASES: [&str; 2] = ["request", "response"];

/// What came of a guard's look at a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// All may pass.
    Pass,
    /// Something is masked.
    Mask,
    /// Nothing may pass.
    Reject,
    /// A service said nothing, and all may pass.
    FailOpen,
    /// A service said nothing, so nothing may pass.
    FailClosed,
}

/// What the label `verdict` says: the names of [`Check`], in its order.
pub const CHECKS: [&str; 5] = ["pass", "mask", "reject", "fail_open", "fail_closed"];

const CHECK_SERIES: usize = GUARDS.len() * PHASES.len() * CHECKS.len();

/// Looks of guards, by kind, by what they looked at, and by what came of it.
#[derive(Debug, Default)]
pub struct GuardChecks([Counter; CHECK_SERIES]);

impl GuardChecks {
    /// Counts one look of a guard of that kind; names are those of [`GUARDS`] and [`PHASES`].
    pub fn count(&self, guard: &str, phase: &str, check: Check) {
        let guard = GUARDS.iter().position(|known| *known == guard).unwrap_or_default();
        let phase = PHASES.iter().position(|known| *known == phase).unwrap_or_default();
        self.0[(guard * PHASES.len() + phase) * CHECKS.len() + check as usize].add(1);
    }

    pub(super) fn add_to(&self, sums: &mut [u64; CHECK_SERIES]) {
        add_all(&self.0, sums);
    }
}

/// A guard, as records call it: `request/0 regex` is the first of a policy's guards of requests, with an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuardName {
    phase: u8,
    number: u8,
    kind: u8,
}

impl GuardName {
    /// The guard at that place of its list; names are those of [`PHASES`] and [`GUARDS`].
    pub fn new(phase: &str, number: usize, kind: &str) -> GuardName {
        let place =
            |list: &[&str], name: &str| list.iter().position(|known| *known == name).unwrap_or_default();
        let narrow = |place: usize| u8::try_from(place).unwrap_or(u8::MAX);
        let (phase, kind) = (place(&PHASES, phase), place(&GUARDS, kind));
        GuardName { phase: narrow(phase), number: narrow(number), kind: narrow(kind) }
    }
}

impl fmt::Display for GuardName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |list: &[&'static str], place: u8| list.get(usize::from(place)).copied().unwrap_or_default();
        write!(f, "{}/{} {}", of(&PHASES, self.phase), self.number, of(&GUARDS, self.kind))
    }
}

/// The labels of a sum of [`GuardChecks`] by its place.
pub(super) fn check_labels(place: usize) -> [(&'static str, &'static str); 3] {
    let of = |list: &[&'static str], place: usize| list.get(place % list.len()).copied().unwrap_or_default();
    let (of_verdict, of_phase) = (CHECKS.len(), CHECKS.len() * PHASES.len());
    [
        ("guard", of(&GUARDS, place / of_phase)),
        ("phase", of(&PHASES, place / of_verdict)),
        ("verdict", of(&CHECKS, place)),
    ]
}

/// What the label `gen_ai_token_type` says.
pub const TOKEN_TYPES: [&str; 4] = ["input", "output", "input_cache_read", "input_cache_write"];

/// A histogram per type of token.
#[derive(Debug, Default)]
pub struct TokenSizes([Sizes; TOKEN_TYPES.len()]);

impl TokenSizes {
    /// Counts one answer's tokens, in the order of [`TOKEN_TYPES`].
    pub fn count(&self, tokens: [Tokens; TOKEN_TYPES.len()]) {
        self.0.iter().zip(tokens).for_each(|(sizes, tokens)| sizes.record(tokens));
    }

    pub(super) fn add_to(&self, sums: &mut [SizeTotals; TOKEN_TYPES.len()]) {
        for (sizes, sums) in self.0.iter().zip(sums) {
            add_all(&sizes.counts, &mut sums.counts);
            sums.sum = sums.sum.wrapping_add(sizes.sum.get());
        }
    }
}

/// How many powers of 4 bound the buckets of a histogram of sizes: 1, 4, 16 ... 67108864.
pub const SIZE_BOUNDS: usize = 14;

/// A histogram with buckets up to 1, 4, 16 ... 4^13, and one for all above.
#[derive(Debug, Default)]
struct Sizes {
    counts: [Counter; SIZE_BOUNDS + 1],
    sum: Counter,
}

impl Sizes {
    fn record(&self, size: u64) {
        let bits = u64::BITS - size.saturating_sub(1).leading_zeros();
        let place = bits.div_ceil(2) as usize;
        self.counts[place.min(SIZE_BOUNDS)].add(1);
        self.sum.add(size);
    }
}

/// Sums of a histogram of sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SizeTotals {
    /// How many fell in each bucket alone.
    pub counts: [u64; SIZE_BOUNDS + 1],
    /// The sum of all sizes.
    pub sum: u64,
}

/// The generation of the configuration that a worker serves; 0 until it serves one.
#[derive(Debug, Default)]
pub struct Generation(Gauge);

impl Generation {
    /// Says that the worker now serves `generation`.
    pub fn set(&self, generation: u64) {
        self.0.set(generation);
    }

    /// The generation now.
    pub fn get(&self) -> u64 {
        self.0.get()
    }

    pub(super) fn add_to(&self, oldest: &mut Option<u64>) {
        *oldest = Some(oldest.map_or(self.get(), |other| other.min(self.get())));
    }
}

fn add_all(counters: &[Counter], sums: &mut [u64]) {
    for (counter, sum) in counters.iter().zip(sums) {
        *sum = sum.wrapping_add(counter.get());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_its_label() {
        for (status, label) in [
            (200, "200"),
            (201, "2xx"),
            (100, "1xx"),
            (302, "3xx"),
            (404, "404"),
            (418, "4xx"),
            (429, "429"),
            (499, "499"),
            (529, "529"),
            (599, "5xx"),
            (0, "other"),
            (99, "other"),
            (600, "other"),
            (u16::MAX, "other"),
        ] {
            let statuses = Statuses::default();
            statuses.count(status);
            let counted = STATUSES.iter().zip(&statuses.0).find(|(_, counter)| counter.get() == 1);
            assert_eq!(counted.map(|(label, _)| *label), Some(label), "{status}");
        }
    }

    #[test]
    fn whoever_is_not_in_the_list_is_another() {
        let unpriced = Unpriced::default();
        ["groq", "nobody", "groq", ""].into_iter().for_each(|name| unpriced.count(Payee::named(name)));
        assert_eq!([Payee::named("openai").name(), Payee::named("nobody").name()], ["openai", "other"]);
        let mut sums = [0; PAID.len()];
        unpriced.add_to(&mut sums);
        let counted: Vec<(&str, u64)> = PAID.into_iter().zip(sums).filter(|(_, count)| *count > 0).collect();
        assert_eq!(counted, [("groq", 2), ("other", 2)]);
    }

    #[test]
    fn every_check_of_a_guard_has_labels_of_its_own() {
        let checks = [Check::Pass, Check::Mask, Check::Reject, Check::FailOpen, Check::FailClosed];
        for guard in GUARDS {
            for phase in PHASES {
                for (check, verdict) in checks.into_iter().zip(CHECKS) {
                    let counted = GuardChecks::default();
                    counted.count(guard, phase, check);
                    let place = counted.0.iter().position(|counter| counter.get() == 1).expect("one");
                    let labels = check_labels(place).map(|(_, value)| value);
                    assert_eq!(labels, [guard, phase, verdict]);
                }
            }
        }
    }

    #[test]
    fn a_size_falls_in_the_first_bucket_that_bounds_it() {
        let mut sizes: Vec<u64> = (0..SIZE_BOUNDS as u32).map(|power| 4u64.pow(power)).collect();
        sizes.extend([0, 2, 3, 5, 15, 17, 1 << 26, (1 << 26) + 1, u64::MAX]);
        for size in sizes {
            let histogram = Sizes::default();
            histogram.record(size);
            let expected = (0..SIZE_BOUNDS as u32).position(|power| size <= 4u64.pow(power));
            let place = histogram.counts.iter().position(|counter| counter.get() == 1);
            assert_eq!(place, Some(expected.unwrap_or(SIZE_BOUNDS)), "{size}");
        }
    }
}
