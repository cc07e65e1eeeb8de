//! AgentgatewayPolicy of agentgateway.dev, of which `traffic.rateLimit.local`, `traffic.cors`, `traffic.directResponse`,
//! `traffic.timeouts`, `traffic.retry`, `traffic.headerModifiers`, what
//! `traffic` and `frontend.networkAuthorization` demand of callers, `frontend.tls`, `backend.ai`, `backend.auth` and `backend.tls` are
//! understood.

use super::access::{self, Access, Authorization};
use super::ai::{self, Ai};
use super::backend::auth::{self, Auth};
use super::backend::tls::{self, Tls};
use super::backend::{Api, agentgateway};
use super::handling::{self, Handling};
use super::limitpolicy::key::{self as keys, rank};
use super::target::{Target, TargetKind, targets};
use super::tlsoptions::{self, Options};
use super::trafficpolicy::located;
use super::{cors, directresponse};
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::limit::{KeyPart, Unit};
use crate::route::cors::Cors;
use crate::route::filters::DirectResponse;
use std::sync::Arc;
use std::time::Duration;

/// The policy: every entry is a limit of its own, and all must admit.
pub(crate) struct AgentgatewayPolicy {
    pub(crate) targets: Vec<Target>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) ai: Option<Ai>,
    /// On backends alone, which may say it themselves.
    pub(crate) auth: Option<Auth>,
    /// As `auth`: how TLS is spoken to them.
    pub(crate) tls: Option<Tls>,
    pub(crate) cors: Option<Located<Cors>>,
    pub(crate) direct: Option<Located<DirectResponse>>,
    pub(crate) access: Access,
    /// Which TLS listeners speak.
    pub(crate) spoken: Option<Located<Arc<Options>>>,
    pub(crate) handling: Handling,
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
const OTHERS: [&str; 8] =
    ["phase", "transformation", "extProc", "extAuth", "csrf", "hostRewrite", "buffer", "delay"];

/// Every other field of `frontend`.
const FRONTEND_OTHERS: [&str; 7] =
    ["tcp", "http", "proxyProtocol", "connect", "accessLog", "tracing", "metrics"];

pub(crate) fn read(spec: &Cursor<'_>) -> Option<AgentgatewayPolicy> {
    spec.fields(|fields| {
        const BACKEND: TargetKind = TargetKind::Backend(Api::Agentgateway);
        let targets = targets(fields, &[TargetKind::Gateway, TargetKind::HttpRoute, BACKEND]);
        let backends = targets.iter().filter(|target| target.kind == BACKEND).count();
        fields.unsupported(&["strategy"], "remove it");
        let frontend = fields.get("frontend").map(|field| field.fields(|fields| frontend(fields, &targets)));
        let is_of_backends = backends == targets.len();
        let backend =
            fields.get("backend").map(|field| field.fields(|fields| backend(fields, is_of_backends)));
        if let (true, Some(field)) = (backends > 0, fields.get("traffic")) {
            let help = "write a policy of its own, on the HTTPRoute; limits on a backend are a LimitPolicy's";
            field.fault_with_help("applies to Gateways and HTTPRoutes alone", help);
        }
        let traffic = match backend.is_some() || frontend.is_some() {
            true => fields.get("traffic"),
            false => fields.need("traffic"),
        };
        let traffic = traffic.and_then(|field| field.fields(self::traffic)).unwrap_or_default();
        let Traffic { entries, access, cors, direct, handling } = traffic;
        let (network, spoken) = frontend.flatten().unwrap_or_default();
        let access = Access { network, ..access };
        let Backend { ai, auth, tls } = backend.flatten().unwrap_or_default();
        Some(AgentgatewayPolicy { targets, entries, ai, auth, tls, cors, direct, access, spoken, handling })
    })
}

/// What is understood of `traffic`.
#[derive(Default)]
struct Traffic {
    entries: Vec<Entry>,
    access: Access,
    cors: Option<Located<Cors>>,
    direct: Option<Located<DirectResponse>>,
    handling: Handling,
}

fn traffic(fields: &mut Fields<'_>) -> Option<Traffic> {
    fields.unsupported(&OTHERS, "remove it");
    let says_more = access::FIELDS.iter().chain(&handling::FIELDS).any(|name| fields.has(name));
    let handling = handling::agentgateway(fields);
    let access = access::agentgateway(fields);
    let cors = fields.get("cors").map(|field| located(&field, field.fields(cors::read)));
    let direct = fields.get("directResponse").map(|field| located(&field, directresponse::read(&field)));
    let limit = match says_more || cors.is_some() || direct.is_some() {
        true => fields.get("rateLimit"),
        false => fields.need("rateLimit"),
    };
    let entries = limit.and_then(|field| field.fields(rate_limit)).unwrap_or_default();
    Some(Traffic { entries, access, cors: cors.flatten(), direct: direct.flatten(), handling })
}

/// What is asked of connections.
type OfConnections = (Option<Located<Authorization>>, Option<Located<Arc<Options>>>);

/// What is asked of connections, which only a Gateway has.
fn frontend(fields: &mut Fields<'_>, targets: &[Target]) -> Option<OfConnections> {
    fields.unsupported(&FRONTEND_OTHERS, "remove it");
    let spoken = fields.get("tls").map(|field| located(&field, field.fields(tlsoptions::frontend)));
    let network = match spoken.is_some() || FRONTEND_OTHERS.iter().any(|name| fields.has(name)) {
        true => fields.get("networkAuthorization"),
        false => fields.need("networkAuthorization"),
    };
    let network = network.and_then(|field| access::network(&field));
    if targets.iter().any(|target| target.kind != TargetKind::Gateway) {
        let help = "write a policy of its own, whose targetRefs name Gateways alone";
        fields.faults().fault_with_help(fields.at(), "frontend applies to Gateways alone", help);
    }
    Some((network, spoken.flatten()))
}

/// What is understood of `backend`.
#[derive(Default)]
struct Backend {
    ai: Option<Ai>,
    auth: Option<Auth>,
    tls: Option<Tls>,
}

/// `auth` and `tls` are understood where all targets are AgentgatewayBackends.
fn backend(fields: &mut Fields<'_>, is_of_backends: bool) -> Option<Backend> {
    agentgateway::refuse_others(fields);
    fields.unsupported(&["http"], "write it into policies of the AgentgatewayBackend");
    let (auth, tls) = (fields.get("auth"), fields.get("tls"));
    for field in [&auth, &tls].into_iter().flatten().filter(|_| !is_of_backends) {
        let help =
            "write it into policies of the AgentgatewayBackend, or into a policy that targets it alone";
        field.fault_with_help("is a backend's", help);
    }
    let ai = match auth.is_some() || tls.is_some() {
        true => fields.get("ai"),
        false => fields.need("ai"),
    };
    Some(Backend {
        ai: ai.and_then(|field| ai::agentgateway(&field)),
        auth: auth.and_then(|field| auth::read(&field)),
        tls: tls.and_then(|field| field.fields(tls::agentgateway)),
    })
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
