use std::sync::Arc;
use std::time::Duration;

/// What a limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unit {
    /// One per request.
    Requests,
    /// Input and output tokens.
    Tokens,
}

impl Unit {
    /// The name used in configuration, records, metrics and refusals.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
        }
    }
}

/// A smooth rate: `per_fill` units for every `fill`, spread evenly over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Units that come back per `fill`; at least 1.
    pub per_fill: u64,
    /// The time in which `per_fill` units come back; at least 1 ns.
    pub fill: Duration,
}

/// One limit: scope, unit, rate. Identity across reloads is `name`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// `namespace/policy-name` and, where the policy holds several, `/limit-name`.
    pub name: Arc<str>,
    /// What it counts.
    pub unit: Unit,
    /// The most that can be spent at once (the bucket's size); at least 1. The bucket starts full.
    pub capacity: u64,
    /// How fast it refills.
    pub rate: Rate,
}
