use super::access::{self, Access};
use super::ai::{self, Ai};
use super::cors;
use super::handling::{self, Handling};
use super::limitpolicy::key::{self as keys, rank};
use super::target::{Target, TargetKind, targets};
use crate::config::diagnostic::{Faults, Located, listing};
use crate::config::reader::{Cursor, Fields};
use crate::config::values::show_duration;
use crate::limit::{KeyPart, Unit};
use crate::route::cors::Cors;
use std::time::Duration;

/// A TrafficPolicy of gateway.kgateway.dev.
pub(crate) struct TrafficPolicy {
    pub(crate) targets: Vec<Target>,
    pub(crate) bucket: Option<TokenBucket>,
    pub(crate) ai: Option<Ai>,
    pub(crate) cors: Option<Located<Cors>>,
    pub(crate) access: Access,
    pub(crate) handling: Handling,
}

/// `rateLimit.local.tokenBucket`; the bucket starts full.
pub(crate) struct TokenBucket {
    pub(crate) max: u64,
    pub(crate) per_fill: u64,
    pub(crate) fill: Duration,
    /// `unit` as written in the bucket.
    pub(crate) unit: Option<Located<Unit>>,
    /// tollgate's: in canonical order.
    pub(crate) key: Vec<KeyPart>,
}

/// The names of units, in the bucket and in the annotation.
pub(crate) const UNITS: [(&str, Unit); 2] = [("requests", Unit::Requests), ("tokens", Unit::Tokens)];

/// Every other field of the resource; each changes what happens to a request.
const OTHERS: [&str; 8] =
    ["autoHostRewrite", "buffer", "compression", "csrf", "extAuth", "extProc", "jwt", "transformation"];

/// The largest bucket: far above any use, and far from overflow.
const TOKENS_MAX: u64 = 1 << 50;
/// The shortest interval between fills (kgateway).
const FILL_MIN: Duration = Duration::from_millis(50);

pub(crate) fn read(spec: &Cursor<'_>) -> Option<TrafficPolicy> {
    spec.fields(|fields| {
        let targets = targets(fields, &[TargetKind::Gateway, TargetKind::HttpRoute]);
        let is_more = OTHERS.iter().chain(&handling::FIELDS).any(|name| fields.has(name));
        let handling = handling::kgateway(fields, &targets);
        fields.unsupported(&OTHERS, "remove it");
        let ai = fields.get("ai").map(|field| ai::kgateway(&field));
        let limit = fields.get("rateLimit").map(|limit| limit.fields(rate_limit));
        let cors = fields.get("cors").map(|field| located(&field, field.fields(kgateway_cors)));
        let rbac = fields.get("rbac").map(|field| access::rbac(&field));
        if limit.is_none() && ai.is_none() && cors.is_none() && rbac.is_none() && !is_more {
            let help =
                "write rateLimit.local.tokenBucket, ai, cors, rbac, timeouts, retry or headerModifiers";
            fields.faults().fault_with_help(fields.at(), "the policy says nothing", help);
        }
        // A part that had a fault is told of already.
        let access = Access { rules: rbac.flatten(), ..Access::default() };
        let (bucket, ai, cors) = (limit.flatten(), ai.flatten(), cors.flatten());
        Some(TrafficPolicy { targets, bucket, ai, cors, access, handling })
    })
}

/// What was read of a field, with its place.
pub(crate) fn located<T>(field: &Cursor<'_>, value: Option<T>) -> Option<Located<T>> {
    value.map(|value| Located { value, at: field.at() })
}

/// The filter of Gateway API; kgateway's `disable` would take that of a wider policy away.
fn kgateway_cors(fields: &mut Fields<'_>) -> Option<Cors> {
    fields.unsupported(&["disable"], "remove cors from the wider policy");
    cors::read(fields)
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
    let key = fields.get("key").map(|field| keys::read(&field));
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
    let mut key = match key {
        Some(key) => key?,
        None => Vec::new(),
    };
    key.sort_by_key(rank);
    Some(TokenBucket { max, per_fill, fill, unit, key })
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
