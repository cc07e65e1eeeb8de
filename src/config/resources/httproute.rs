use super::backend::Api;
use super::filters::{self, Filter};
use super::meta::{Reference, name};
use super::{AGENTGATEWAY, GATEWAY_API, KGATEWAY};
use crate::base::ascii;
use crate::config::diagnostic::{Located, Place, Reason};
use crate::config::reader::{Cursor, Fields};
use crate::config::values;
use crate::route::matches::{PathMatch, RouteMatch, ValueMatch, full_regex};
use regex::Regex;
use std::time::Duration;

/// An HTTPRoute of gateway.networking.k8s.io.
pub(crate) struct HttpRoute {
    pub(crate) parents: Vec<Parent>,
    /// Empty admits every host that the listener admits.
    pub(crate) hostnames: Vec<Located<String>>,
    pub(crate) rules: Vec<Rule>,
}

/// A Gateway that the route attaches to.
pub(crate) struct Parent {
    pub(crate) gateway: Reference,
    pub(crate) section: Option<Located<String>>,
    pub(crate) port: Option<Located<u16>>,
}

/// One rule of a route.
pub(crate) struct Rule {
    pub(crate) name: Option<Located<String>>,
    /// Never empty: without matches a rule matches every path.
    pub(crate) matches: Vec<RouteMatch>,
    pub(crate) filters: Vec<Located<Filter>>,
    pub(crate) backends: Vec<BackendRef>,
    pub(crate) timeouts: Timeouts,
    pub(crate) retry: Option<Retry>,
    pub(crate) at: Place,
}

/// What a `backendRef` refers to.
pub(crate) struct Referent {
    pub(crate) to: Reference,
    pub(crate) kind: ReferentKind,
}

#[derive(Clone, Copy)]
pub(crate) enum ReferentKind {
    /// It has a port of its own.
    Backend(Api),
    /// With this port.
    Service(Located<u16>),
}

/// A backend of a rule and its share.
pub(crate) struct BackendRef {
    pub(crate) backend: Referent,
    pub(crate) weight: u32,
    pub(crate) filters: Vec<Located<Filter>>,
}

/// When a request is made again that failed.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Retry {
    pub(crate) codes: Vec<u16>,
    pub(crate) attempts: Option<u32>,
    pub(crate) backoff: Option<Duration>,
}

/// Durations of zero mean "no limit", as Gateway API says.
#[derive(Default)]
pub(crate) struct Timeouts {
    pub(crate) request: Option<Located<Duration>>,
    pub(crate) backend_request: Option<Located<Duration>>,
}

// Bounds of Gateway API.
const PARENTS_MAX: usize = 32;
const HOSTNAMES_MAX: usize = 16;
const RULES_MAX: usize = 16;
const MATCHES_PER_RULE_MAX: usize = 64;
const MATCHES_MAX: usize = 128;
const VALUES_MAX: usize = 16;
const BACKENDS_MAX: usize = 16;
const PATH_MAX: usize = 1024;
const WEIGHT_MAX: u64 = 1_000_000;
/// The most statuses of a retry, and the most attempts; ours.
const CODES_MAX: usize = 64;
const RETRIES_MAX: u64 = 16;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<HttpRoute> {
    spec.fields(|fields| {
        let parents = fields.list("parentRefs", PARENTS_MAX, |item| item.fields(parent));
        if !fields.has("parentRefs") {
            let help = "name the Gateway that it attaches to under parentRefs";
            fields.faults().fault_with_help(fields.at(), "the route attaches to no Gateway", help);
        }
        let hostname = |item: Cursor<'_>| item.parsed(|text| values::hostname(text, true));
        let hostnames = fields.list("hostnames", HOSTNAMES_MAX, hostname);
        let rules = match fields.get("rules") {
            Some(field) => {
                if field.is_empty_list() {
                    field.fault("must name at least one rule");
                }
                field.list(RULES_MAX, |item| item.fields(rule))
            }
            None => vec![Rule::bare(spec.at())],
        };
        if rules.iter().map(|rule| rule.matches.len()).sum::<usize>() > MATCHES_MAX {
            fields.faults().fault(fields.at(), format!("the route has more than {MATCHES_MAX} matches"));
        }
        fields.unsupported(&["useDefaultGateways"], "remove it");
        refuse_twins(&rules, fields);
        Some(HttpRoute { parents, hostnames, rules })
    })
}

/// "This name MUST be unique within a Route if it is set": policies refer to it.
fn refuse_twins(rules: &[Rule], fields: &Fields<'_>) {
    for (index, rule) in rules.iter().enumerate() {
        let Some(name) = &rule.name else { continue };
        let earlier = rules.iter().take(index).filter_map(|rule| rule.name.as_ref());
        if earlier.into_iter().any(|other| other.value == name.value) {
            let message = format!("two rules are named {:?}", name.value);
            fields.faults().fault_with_help(name.at, message, "give each rule its own name");
        }
    }
}

impl Rule {
    /// The rule of a route without rules: every path, no backend.
    fn bare(at: Place) -> Rule {
        let (filters, backends) = (Vec::new(), Vec::new());
        Rule {
            name: None,
            matches: vec![every_path()],
            filters,
            backends,
            timeouts: Timeouts::default(),
            retry: None,
            at,
        }
    }
}

fn parent(fields: &mut Fields<'_>) -> Option<Parent> {
    if let Some(group) = fields.get("group") {
        group.one_of(&[(GATEWAY_API, ())]);
    }
    if let Some(kind) = fields.get("kind") {
        kind.one_of(&[("Gateway", ())]);
    }
    let gateway = reference(fields);
    let section = fields.get("sectionName").and_then(|field| field.word());
    let port = fields.get("port").and_then(|field| field.port());
    Some(Parent { gateway: gateway?, section, port })
}

fn reference(fields: &mut Fields<'_>) -> Option<Reference> {
    let target = fields.need("name").and_then(|field| field.parsed(name));
    let namespace = fields.get("namespace").and_then(|field| field.parsed(name));
    Some(Reference { name: target?, namespace: namespace.map(|namespace| namespace.value) })
}

fn rule(fields: &mut Fields<'_>) -> Option<Rule> {
    let name = fields.get("name").and_then(|field| field.parsed(name));
    let mut matches = fields.list("matches", MATCHES_PER_RULE_MAX, |item| item.fields(route_match));
    if !fields.has("matches") || matches.is_empty() {
        matches = vec![every_path()];
    }
    let filters = fields.get("filters").map_or_else(Vec::new, |field| filters::read(&field));
    let backends = fields.list("backendRefs", BACKENDS_MAX, |item| item.fields(backend));
    let timeouts = fields.get("timeouts").and_then(|field| field.fields(timeouts)).unwrap_or_default();
    let retry = fields.get("retry").and_then(|field| field.fields(retry));
    fields.unsupported(&["sessionPersistence"], "remove it");
    Some(Rule { name, matches, filters, backends, timeouts, retry, at: fields.at() })
}

/// The default match: `PathPrefix` `/`.
fn every_path() -> RouteMatch {
    RouteMatch { path: PathMatch::Prefix("/".into()), method: None, headers: Vec::new(), query: Vec::new() }
}

fn route_match(fields: &mut Fields<'_>) -> Option<RouteMatch> {
    let path = fields.get("path").map(|field| field.fields(path_match));
    let headers = fields.get("headers").map_or_else(Vec::new, |field| value_matches(&field, true));
    let query = fields.get("queryParams").map_or_else(Vec::new, |field| value_matches(&field, false));
    let method = fields.get("method").and_then(|field| field.one_of(&METHODS));
    let path = match path {
        Some(path) => path?,
        None => PathMatch::Prefix("/".into()),
    };
    Some(RouteMatch { path, method: method.map(|method| method.value.into()), headers, query })
}

/// Methods, as Gateway API lists them.
pub(super) const METHODS: [(&str, &str); 9] = [
    ("GET", "GET"),
    ("HEAD", "HEAD"),
    ("POST", "POST"),
    ("PUT", "PUT"),
    ("DELETE", "DELETE"),
    ("CONNECT", "CONNECT"),
    ("OPTIONS", "OPTIONS"),
    ("TRACE", "TRACE"),
    ("PATCH", "PATCH"),
];

#[derive(Clone, Copy, PartialEq)]
enum PathType {
    Exact,
    Prefix,
    Regex,
}

fn path_match(fields: &mut Fields<'_>) -> Option<PathMatch> {
    const TYPES: [(&str, PathType); 3] = [
        ("Exact", PathType::Exact),
        ("PathPrefix", PathType::Prefix),
        ("RegularExpression", PathType::Regex),
    ];
    let kind = fields.get("type").map(|field| field.one_of(&TYPES));
    let value = fields.get("value");
    let kind = match kind {
        Some(kind) => kind?.value,
        None => PathType::Prefix,
    };
    let Some(value) = value else { return Some(PathMatch::Prefix("/".into())) };
    match kind {
        PathType::Exact => Some(PathMatch::Exact(value.parsed(matched_path)?.value)),
        PathType::Regex => regex(&value).map(PathMatch::Regex),
        PathType::Prefix => {
            let prefix = value.parsed(matched_path)?.value;
            let bare = prefix.trim_end_matches('/');
            Some(PathMatch::Prefix(if bare.is_empty() { "/" } else { bare }.into()))
        }
    }
}

/// A path of an `Exact` or `PathPrefix` match (Gateway API, HTTPPathMatch): none that no request could have here, since
/// those with dot segments and hidden slashes are refused.
fn matched_path(text: &str) -> Result<String, String> {
    let path = values::path(text)?;
    let has_escaped_slash = path.to_ascii_lowercase().contains("%2f");
    match path.split('/').any(|segment| matches!(segment, "." | "..")) {
        _ if path.len() > PATH_MAX => Err(format!("must have at most {PATH_MAX} characters")),
        true => Err("must not contain dot segments (Gateway API, HTTPPathMatch)".into()),
        false if has_escaped_slash => Err("must not contain \"%2f\" (Gateway API, HTTPPathMatch)".into()),
        false => Ok(path),
    }
}

/// Header or query matches. Of several entries of one name only the first counts (Gateway API).
pub(crate) fn value_matches(field: &Cursor<'_>, is_header: bool) -> Vec<(String, ValueMatch)> {
    let mut matches: Vec<(String, ValueMatch)> = Vec::new();
    let read = |item: Cursor<'_>| {
        let at = item.at();
        let found = item.fields(|fields| value_match(fields, is_header));
        found.map(|found| (at, found))
    };
    for (at, (name, value)) in field.list(VALUES_MAX, read) {
        match matches.iter().any(|(known, _)| *known == name) {
            true => {
                field.faults().warn(at, format!("{name:?} is matched already; only the first entry counts"))
            }
            false => matches.push((name, value)),
        }
    }
    matches
}

fn value_match(fields: &mut Fields<'_>, is_header: bool) -> Option<(String, ValueMatch)> {
    let kind = fields.get("type").map(|field| field.one_of(&[("Exact", false), ("RegularExpression", true)]));
    let name = fields.need("name");
    let name = name.and_then(|field| if is_header { field.parsed(header_name) } else { field.word() });
    let value = fields.need("value");
    let is_regex = match kind {
        Some(kind) => kind?.value,
        None => false,
    };
    let value = match is_regex {
        true => ValueMatch::Regex(regex(&value?)?),
        false => ValueMatch::Exact(value?.word()?.value),
    };
    Some((name?.value, value))
}

/// A header name in lower case.
pub(crate) fn header_name(text: &str) -> Result<String, String> {
    match !text.is_empty() && text.bytes().all(ascii::is_token) {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("must be a header name: letters, digits and hyphens".into()),
    }
}

/// An expression that must match the whole value.
fn regex(field: &Cursor<'_>) -> Option<Regex> {
    let pattern = field.word()?.value;
    match full_regex(&pattern) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let error = error.to_string();
            let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            field.fault(format!("is not a regular expression that can be used: {why}"));
            None
        }
    }
}

fn backend(fields: &mut Fields<'_>) -> Option<BackendRef> {
    let backend = referent(fields);
    let weight = fields.get("weight").map(|field| field.integer(0..=WEIGHT_MAX));
    let filters = fields.get("filters").map_or_else(Vec::new, |field| filters::read(&field));
    let weight = match weight {
        Some(weight) => u32::try_from(weight?.value).ok()?,
        None => 1,
    };
    Some(BackendRef { backend: backend?, weight, filters })
}

/// What names a Backend of either API.
pub(crate) fn backend_reference(fields: &mut Fields<'_>) -> Option<Referent> {
    let at = fields.at();
    let referent = referent(fields)?;
    if matches!(referent.kind, ReferentKind::Service(_)) {
        let help =
            format!("write group: {KGATEWAY} and kind: Backend, of type Static with its host and port");
        fields.faults().fault_with_help(at, "only a Backend can be referred to here", help);
        return None;
    }
    Some(referent)
}

/// `BackendObjectReference`: a Backend of either API, or by default a Service.
pub(super) fn referent(fields: &mut Fields<'_>) -> Option<Referent> {
    let group = fields.get("group").map(|field| (field.clone(), field.text()));
    let kind = fields.get("kind").map(|field| (field.clone(), field.text()));
    let to = reference(fields);
    let port = fields.get("port").map(|field| field.port());
    let is = |field: &Option<(Cursor<'_>, Option<Located<String>>)>, default: &str, wanted: &str| match field
    {
        None => default == wanted,
        Some((_, text)) => text.as_ref().is_none_or(|text| text.value == wanted),
    };
    let is_of = |api: &Api| is(&group, "", api.group()) && is(&kind, "Service", api.kind());
    if let Some(api) = [Api::Kgateway, Api::Agentgateway].into_iter().find(is_of) {
        return Some(Referent { to: to?, kind: ReferentKind::Backend(api) });
    }
    if is(&group, "", "") && is(&kind, "Service", "Service") {
        if port.is_none() {
            let help = "write port: 443, or refer to a Backend: group: gateway.kgateway.dev, kind: Backend";
            fields.faults().fault_with_help(fields.at(), "a reference to a Service lacks its port", help);
        }
        return Some(Referent { to: to?, kind: ReferentKind::Service(port??) });
    }
    let at = kind.or(group).map_or(fields.at(), |(field, _)| field.at());
    let help = format!(
        "write group: {KGATEWAY} and kind: Backend, group: {AGENTGATEWAY} and kind: AgentgatewayBackend, or kind: Service \
         without a group"
    );
    let at = at.because(Reason::InvalidKind);
    fields.faults().fault_with_help(at, "only a Backend or a Service can be referred to", help);
    None
}

fn timeouts(fields: &mut Fields<'_>) -> Option<Timeouts> {
    let request = fields.get("request").and_then(|field| field.duration());
    let backend_request = fields.get("backendRequest").and_then(|field| field.duration());
    if let (Some(request), Some(backend)) = (request, backend_request)
        && !request.value.is_zero()
        && backend.value > request.value
    {
        let help = "the request timeout spans all calls to backends";
        fields.faults().fault_with_help(backend.at, "backendRequest is longer than request", help);
    }
    Some(Timeouts { request, backend_request })
}

pub(super) fn retry(fields: &mut Fields<'_>) -> Option<Retry> {
    let codes = codes(fields, "codes");
    let attempts = attempts(fields);
    let backoff = fields.get("backoff").and_then(|field| field.duration());
    Some(Retry { codes, attempts, backoff: backoff.map(|backoff| backoff.value) })
}

/// Statuses of answers after which a request is made again, under this name.
pub(super) fn codes(fields: &mut Fields<'_>, name: &'static str) -> Vec<u16> {
    let code = |item: Cursor<'_>| item.integer(400..=599).and_then(|code| u16::try_from(code.value).ok());
    fields.list(name, CODES_MAX, code)
}

/// How often it is, at most.
pub(super) fn attempts(fields: &mut Fields<'_>) -> Option<u32> {
    let attempts = fields.get("attempts").and_then(|field| field.integer(0..=RETRIES_MAX));
    attempts.map(|attempts| u32::try_from(attempts.value).unwrap_or(u32::MAX))
}
