//! What a limit is, as configuration states it.

use super::window::Zone;
use std::sync::Arc;
use std::time::Duration;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// One per request.
    Requests,
    /// Tokens, weighted by kind: see [`Weights`].
    Tokens,
    /// Money, in nano-dollars.
    Cost,
    /// Requests that are under way at the same time.
    Concurrency,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 4] = [Unit::Requests, Unit::Tokens, Unit::Cost, Unit::Concurrency];

    /// Whether clients are told how accounts of it stand: no API has headers for the others.
    pub const fn is_told(self) -> bool {
        matches!(self, Unit::Requests | Unit::Tokens)
    }

    /// The name used in configuration, records, metrics and refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
            Unit::Cost => "cost",
            Unit::Concurrency => "concurrency",
        }
    }
}

/// A smooth rate: `per_fill` units for every `fill`, spread evenly over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Units that come back per `fill`; at least 1.
    pub per_fill: u64,
    /// The time in which `per_fill` units come back; at least 1 ns.
    pub fill: Duration,
}

/// How much is allowed, and when it comes back. Amounts are in the rule's unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Measure {
    /// A bucket that refills smoothly. It starts full.
    Bucket {
        /// The most that can be spent at once; at least 1.
        capacity: u64,
        /// How fast it refills.
        rate: Rate,
    },
    /// A budget for each window of a calendar; what is not spent in one is not carried into the next.
    Calendar {
        /// What may be spent in a window; at least 1.
        budget: u64,
        /// How long the windows are.
        every: Every,
        /// Whose midnight it is.
        zone: Zone,
    },
    /// A budget for any interval of a length, wherever it begins.
    Sliding {
        /// What may be spent in an interval; at least 1.
        budget: u64,
        /// Its length.
        length: Duration,
    },
    /// So many at the same time; what ends makes room.
    Concurrent {
        /// The most; at least 1.
        max: u64,
    },
}

impl Measure {
    /// The most that can be spent at once.
    pub const fn capacity(&self) -> u64 {
        match self {
            Measure::Bucket { capacity, .. } => *capacity,
            Measure::Calendar { budget, .. } | Measure::Sliding { budget, .. } => *budget,
            Measure::Concurrent { max } => *max,
        }
    }

    /// Whether its balance is on disk before it is spent, so that neither a restart nor a crash begins it anew: windows
    /// of an hour and longer. All others are written down about once a second.
    pub fn is_durable(&self) -> bool {
        const HOUR: Duration = Duration::from_secs(3600);
        match self {
            Measure::Calendar { every, .. } => *every != Every::Minute,
            Measure::Sliding { length, .. } => *length >= HOUR,
            Measure::Bucket { .. } | Measure::Concurrent { .. } => false,
        }
    }

    /// Whether both count in the same windows of a calendar: then what is on disk of one says as much of the
    /// other.
    pub(super) fn has_windows_of(&self, other: &Measure) -> bool {
        let windows = |measure: &Measure| match measure {
            Measure::Calendar { every, zone, .. } => Some((*every, zone.clone())),
            _ => None,
        };
        windows(self).is_some_and(|ours| windows(other) == Some(ours))
    }
}

/// The length of a calendar window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Every {
    /// From second 0.
    Minute,
    /// From minute 0.
    Hour,
    /// From midnight.
    Day,
    /// From Monday's midnight (ISO 8601).
    Week,
    /// From the first day's midnight.
    Month,
}

impl Every {
    /// Every length.
    pub const ALL: [Every; 5] = [Every::Minute, Every::Hour, Every::Day, Every::Week, Every::Month];

    /// The name used in configuration and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Every::Minute => "minute",
            Every::Hour => "hour",
            Every::Day => "day",
            Every::Week => "week",
            Every::Month => "month",
        }
    }
}

/// A part of what tells one account of a rule from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeyPart {
    /// The API key, hashed: the one that was validated, else the user whose password was, else the token of `Authorization` or what
    /// is in `x-api-key`.
    ApiKey,
    /// The value of a header; its name in lower case.
    Header(Arc<str>),
    /// The client's address.
    Source,
    /// The model that the client asks for.
    Model,
    /// The route, `namespace/name`.
    Route,
    /// A claim of the token that was validated, else of the bearer token if that is a JWT, whose signature nobody verified.
    Claim(Arc<str>),
    /// What configuration says of the API key that was validated.
    Metadata(Arc<str>),
    /// The name of the user whose password was validated.
    User,
}

impl KeyPart {
    /// Whether it is, or stands for, what a caller shows to be known.
    pub fn is_credential(&self) -> bool {
        matches!(self, KeyPart::ApiKey | KeyPart::Claim(_) | KeyPart::Metadata(_) | KeyPart::User)
    }
}

/// What happens to a request that lacks a part of the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MissingKey {
    /// It is refused.
    Deny,
    /// All such requests share one account.
    #[default]
    Shared,
    /// The limit does not apply to it.
    Skip,
}

/// What a token of each kind counts, in millionths of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Input that is neither read from nor written to the provider's cache.
    pub input: u32,
    /// Input read from the provider's cache.
    pub cached_input: u32,
    /// Input written to the provider's cache.
    pub cache_write: u32,
    /// Output that is not reasoning.
    pub output: u32,
    /// Output that is reasoning.
    pub reasoning: u32,
}

impl Weights {
    /// A weight of 1.
    pub const ONE: u32 = 1_000_000;
}

/// Every token counts as one.
impl Default for Weights {
    fn default() -> Weights {
        let one = Weights::ONE;
        Weights { input: one, cached_input: one, cache_write: one, output: one, reasoning: one }
    }
}

/// Whether a limit refuses or only says that it would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// It refuses.
    #[default]
    Enforce,
    /// It counts and reports, and refuses nobody.
    Shadow,
}

/// What becomes of a stream whose next part no account covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum OnExhausted {
    /// It goes on to its end, and what it spends is debt.
    #[default]
    Finish,
    /// It ends here, as the client's format says that an answer ends which reached its length.
    Cut,
}

/// Another measure for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// The digest of the key: see [`KeyText::digest`](super::KeyText::digest).
    pub key: u128,
    /// What the key is called in reports: `gold`, or the value itself if that is no secret.
    pub label: Arc<str>,
    /// What it is allowed.
    pub measure: Measure,
}

/// One limit. Its identity across reloads and restarts is its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `namespace/policy-name` and, where the policy holds several, `/limit-name`. No two have the same.
    pub name: Arc<str>,
    /// What it counts.
    pub unit: Unit,
    /// How much is allowed.
    pub measure: Measure,
    /// What tells its accounts apart; without parts there is one account.
    pub key: Vec<KeyPart>,
    /// What happens to requests that lack a part of the key.
    pub on_missing: MissingKey,
    /// What tokens count, for a limit on tokens.
    pub weights: Weights,
    /// Whether it refuses.
    pub mode: Mode,
    /// What becomes of streams that outlast it.
    pub on_exhausted: OnExhausted,
    /// The model that is asked for in place of a request that it would refuse; then it does not apply.
    pub fallback: Option<Arc<str>>,
    /// Keys with a measure of their own.
    pub overrides: Vec<Override>,
}

impl Rule {
    /// An enforced rule with one account, as kgateway's policies state them.
    pub fn new(name: &str, unit: Unit, measure: Measure) -> Rule {
        Rule {
            name: name.into(),
            unit,
            measure,
            key: Vec::new(),
            on_missing: MissingKey::default(),
            weights: Weights::default(),
            mode: Mode::default(),
            on_exhausted: OnExhausted::default(),
            fallback: None,
            overrides: Vec::new(),
        }
    }
}
