use super::GATEWAY_API;
use super::meta::name;
use crate::config::diagnostic::{Faults, Located, listing};
use crate::config::reader::{Cursor, Fields};
use crate::config::values::show_duration;
use crate::limit::Unit;
use std::time::Duration;

/// A TrafficPolicy of gateway.kgateway.dev.
pub(crate) struct TrafficPolicy {
    pub(crate) targets: Vec<Target>,
    pub(crate) bucket: TokenBucket,
}

/// What the policy applies to.
pub(crate) struct Target {
    pub(crate) kind: TargetKind,
    pub(crate) name: Located<String>,
    /// A listener of a Gateway, or a rule of an HTTPRoute.
    pub(crate) section: Option<Located<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TargetKind {
    Gateway,
    HttpRoute,
}

/// `rateLimit.local.tokenBucket`; the bucket starts full.
pub(crate) struct TokenBucket {
    pub(crate) max: u64,
    pub(crate) per_fill: u64,
    pub(crate) fill: Duration,
    /// `unit` as written in the bucket.
    pub(crate) unit: Option<Located<Unit>>,
}

/// The names of units, in the bucket and in the annotation.
pub(crate) const UNITS: [(&str, Unit); 2] = [("requests", Unit::Requests), ("tokens", Unit::Tokens)];

/// Every other field of the resource; each changes what happens to a request.
const OTHERS: [&str; 14] = [
    "ai",
    "autoHostRewrite",
    "buffer",
    "compression",
    "cors",
    "csrf",
    "extAuth",
    "extProc",
    "headerModifiers",
    "jwt",
    "rbac",
    "retry",
    "timeouts",
    "transformation",
];

/// The most targets (kgateway).
const TARGETS_MAX: usize = 16;
/// The largest bucket: far above any use, and far from overflow.
const TOKENS_MAX: u64 = 1 << 50;
/// The shortest interval between fills (kgateway).
const FILL_MIN: Duration = Duration::from_millis(50);

pub(crate) fn read(spec: &Cursor<'_>) -> Option<TrafficPolicy> {
    spec.fields(|fields| {
        let targets = fields.list("targetRefs", TARGETS_MAX, |item| item.fields(target));
        let names_none = fields.get("targetRefs").is_none_or(|field| field.is_empty_list());
        if names_none && !fields.has("targetSelectors") {
            fields.faults().fault(fields.at(), "the policy applies to nothing: targetRefs names no target");
        }
        fields.unsupported(&["targetSelectors"], "name the targets under targetRefs");
        let others_given = OTHERS.iter().any(|name| fields.has(name));
        fields.unsupported(&OTHERS, "remove it");
        let limit = match fields.get("rateLimit") {
            Some(limit) => limit.fields(rate_limit),
            None if others_given => None,
            None => {
                let help = "write rateLimit.local.tokenBucket";
                fields.faults().fault_with_help(fields.at(), "the policy says nothing", help);
                None
            }
        };
        Some(TrafficPolicy { targets, bucket: limit? })
    })
}

fn target(fields: &mut Fields<'_>) -> Option<Target> {
    const KINDS: [(&str, TargetKind); 2] =
        [("Gateway", TargetKind::Gateway), ("HTTPRoute", TargetKind::HttpRoute)];
    if let Some(group) = fields.need("group") {
        group.one_of(&[(GATEWAY_API, ())]);
    }
    let kind = fields.need("kind").and_then(|field| field.one_of(&KINDS));
    let name = fields.need("name").and_then(|field| field.parsed(name));
    let section = fields.get("sectionName").and_then(|field| field.word());
    Some(Target { kind: kind?.value, name: name?, section })
}

fn rate_limit(fields: &mut Fields<'_>) -> Option<TokenBucket> {
    fields.unsupported(&["global"], "use local");
    match fields.has("global") {
        true => fields.get("local"),
        false => fields.need("local"),
    }?
    .fields(|fields| {
        fields.unsupported(&["shareAcrossGateway"], "remove it");
        fields.need("tokenBucket")?.fields(token_bucket)
    })
}

fn token_bucket(fields: &mut Fields<'_>) -> Option<TokenBucket> {
    let max = fields.need("maxTokens").and_then(|field| field.integer(1..=TOKENS_MAX));
    let per_fill = fields.get("tokensPerFill").map(|field| field.integer(1..=TOKENS_MAX));
    let fill = fields.need("fillInterval").and_then(|field| fill_interval(&field));
    let unit = fields.get("unit").and_then(|field| field.one_of(&UNITS));
    let (max, fill) = (max?.value, fill?);
    let per_fill = match per_fill {
        Some(given) => {
            let given = given?;
            if given.value > max {
                let message =
                    format!("\"tokensPerFill\" is {}, above maxTokens, which is {max}", given.value);
                let help = format!("the bucket holds {max}: write at most {max}, or raise maxTokens");
                fields.faults().fault_with_help(given.at, message, help);
            }
            given.value
        }
        None => 1,
    };
    Some(TokenBucket { max, per_fill, fill, unit })
}

fn fill_interval(field: &Cursor<'_>) -> Option<Duration> {
    let fill = field.duration()?.value;
    if fill < FILL_MIN {
        field.fault(format!("must be at least {}, not {}", show_duration(FILL_MIN), show_duration(fill)));
        return None;
    }
    Some(fill)
}

/// The unit that stands in an annotation, for a faulty one a fault.
pub(crate) fn annotated_unit(text: &Located<String>, faults: &Faults) -> Option<Located<Unit>> {
    let found = UNITS.iter().find(|(name, _)| *name == text.value);
    if found.is_none() {
        let names = listing(UNITS.iter().map(|(name, _)| *name));
        faults.fault(text.at, format!("\"tollgate.dev/unit\" must be one of {names}"));
    }
    found.map(|(_, unit)| Located { value: *unit, at: text.at })
}
