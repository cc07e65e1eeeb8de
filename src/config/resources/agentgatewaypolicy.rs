//! AgentgatewayPolicy of agentgateway.dev, of which `traffic.rateLimit.local`, what `traffic` demands of callers,
//! and `backend.ai` are understood.

use super::access::{self, Access};
use super::ai::{self, Ai};
use super::limitpolicy::key::{self as keys, rank};
use super::target::{Target, TargetKind, targets};
use crate::config::reader::{Cursor, Fields};
use crate::limit::{KeyPart, Unit};
use std::time::Duration;

/// The policy: every entry is a limit of its own, and all must admit.
pub(crate) struct AgentgatewayPolicy {
    pub(crate) targets: Vec<Target>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) ai: Option<Ai>,
    pub(crate) access: Access,
}

/// An entry of `local`.
pub(crate) struct Entry {
    pub(crate) unit: Unit,
    /// What comes back per `fill`.
    pub(crate) amount: u64,
    pub(crate) fill: Duration,
    /// What the bucket holds beyond `amount`.
    pub(crate) burst: u64,
    /// tollgate's: in canonical order.
    pub(crate) key: Vec<KeyPart>,
}

/// The most entries (agentgateway).
const ENTRIES_MAX: usize = 16;
/// Numbers are of 32 bits (agentgateway).
const NUMBER_MAX: u64 = i32::MAX as u64;

/// Every other field of `traffic`; each changes what happens to a request.
const OTHERS: [&str; 15] = [
    "phase",
    "transformation",
    "extProc",
    "extAuth",
    "cors",
    "csrf",
    "headerModifiers",
    "hostRewrite",
    "timeouts",
    "retry",
    "authorization",
    "basicAuthentication",
    "directResponse",
    "buffer",
    "delay",
];

/// Every other field of `backend`.
const BACKEND_OTHERS: [&str; 9] =
    ["auth", "extAuth", "health", "http", "mcp", "tcp", "tls", "transformation", "tunnel"];

pub(crate) fn read(spec: &Cursor<'_>) -> Option<AgentgatewayPolicy> {
    spec.fields(|fields| {
        let targets = targets(fields, &[TargetKind::Gateway, TargetKind::HttpRoute]);
        fields.unsupported(&["frontend", "strategy"], "remove it");
        let ai = fields.get("backend").map(|field| field.fields(backend));
        let traffic = match ai {
            Some(_) => fields.get("traffic"),
            None => fields.need("traffic"),
        };
        let traffic = traffic.and_then(|field| field.fields(self::traffic));
        let (entries, access) = traffic.unwrap_or_default();
        Some(AgentgatewayPolicy { targets, entries, ai: ai.flatten(), access })
    })
}

fn traffic(fields: &mut Fields<'_>) -> Option<(Vec<Entry>, Access)> {
    fields.unsupported(&OTHERS, "remove it");
    let access = access::agentgateway(fields);
    let limits = match access::FIELDS.iter().any(|name| fields.has(name)) {
        true => fields.get("rateLimit"),
        false => fields.need("rateLimit"),
    };
    Some((limits.and_then(|field| field.fields(rate_limit)).unwrap_or_default(), access))
}

fn backend(fields: &mut Fields<'_>) -> Option<Ai> {
    fields.unsupported(&BACKEND_OTHERS, "remove it");
    ai::agentgateway(&fields.need("ai")?)
}

fn rate_limit(fields: &mut Fields<'_>) -> Option<Vec<Entry>> {
    fields.unsupported(&["global", "conditional"], "use local");
    let local = match fields.has("global") || fields.has("conditional") {
        true => fields.get("local"),
        false => fields.need("local"),
    }?;
    if local.is_empty_list() {
        local.fault("names no limit");
    }
    Some(local.list(ENTRIES_MAX, |item| item.fields(entry)))
}

fn entry(fields: &mut Fields<'_>) -> Option<Entry> {
    const TIMES: [(&str, Duration); 3] = [
        ("Seconds", Duration::from_secs(1)),
        ("Minutes", Duration::from_secs(60)),
        ("Hours", Duration::from_secs(3600)),
    ];
    let requests = fields.get("requests");
    let tokens = fields.get("tokens");
    let fill = fields.need("unit").and_then(|field| field.one_of(&TIMES));
    let burst = fields.get("burst").map(|field| field.integer(0..=NUMBER_MAX));
    let key = fields.get("key").map(|field| keys::read(&field));
    let (unit, field) = match (requests, tokens) {
        (Some(_), Some(tokens)) => {
            tokens.fault_with_help("stands beside requests", "write a second entry: all entries must admit");
            return None;
        }
        (Some(requests), None) => (Unit::Requests, requests),
        (None, Some(tokens)) => (Unit::Tokens, tokens),
        (None, None) => {
            let help = "write requests: 60 or tokens: 10000";
            fields.faults().fault_with_help(fields.at(), "the limit says no amount", help);
            return None;
        }
    };
    let amount = field.integer(1..=NUMBER_MAX)?;
    let burst = match burst {
        Some(burst) => burst?.value,
        None => 0,
    };
    let mut key = match key {
        Some(key) => key?,
        None => Vec::new(),
    };
    key.sort_by_key(rank);
    Some(Entry { unit, amount: amount.value, fill: fill?.value, burst, key })
}
