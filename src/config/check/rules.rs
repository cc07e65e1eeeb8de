use super::World;
use super::backends::Backends;
use super::policies::InForce;
use crate::config::diagnostic::Located;
use crate::config::resources::filters::{Filter, PathModifier};
use crate::config::resources::httproute::{self, BackendRef, Timeouts};
use crate::config::resources::{KGATEWAY, Meta};
use crate::config::settings::Settings;
use crate::config::snapshot::{BackendChoice, BackendFilters, Retry, Rule, RuleTimeouts};
use crate::route::filters::{Filters, PathRewrite, Redirect, Rewrite};
use crate::route::matches::PathMatch;
use crate::route::weighted::Weighted;
use std::time::Duration;

/// Compiles rule `number` of a route under what is in force on it.
pub(super) fn compile(
    world: &World<'_>,
    backends: &Backends,
    settings: &Settings,
    route: &Meta,
    (number, rule): (usize, &httproute::Rule),
    in_force: InForce,
) -> Rule {
    let filters = filters(world, rule);
    if let (Some(_), Some(first)) = (&filters.redirect, rule.backends.first()) {
        let help = "remove backendRefs: the redirect is the whole answer";
        world.faults.fault_with_help(first.backend.at(), "a rule with RequestRedirect has no backend", help);
    }
    if filters.redirect.is_none() && rule.backends.iter().all(|backend| backend.weight == 0) {
        world
            .faults
            .warn(rule.at, "the rule has no backend with a weight: its requests are answered with 500");
    }
    let choices = rule
        .backends
        .iter()
        .map(|backend| (backend.weight, choice(world, backends, route, backend)))
        .collect();
    Rule {
        route: route.to_string().into(),
        name: format!("{route}/{number}").into(),
        filters,
        backends: Weighted::new(choices),
        limits: in_force.limits,
        timeouts: timeouts(&rule.timeouts, settings),
        tokenizer: in_force.tokenizer,
        policy: in_force.ai.map(|ai| ai.policy),
        access: in_force.access.map(|access| access.policy),
        strict: strict(world, route),
        retry: rule.retry.as_ref().map(retry),
    }
}

/// `tollgate.dev/translation`: whether a route refuses what a translation would lose.
fn strict(world: &World<'_>, route: &Meta) -> bool {
    match &route.translation {
        Some(text) if text.value == "strict" => true,
        Some(text) if text.value != "lenient" => {
            world.faults.fault(text.at, "\"tollgate.dev/translation\" must be strict or lenient");
            false
        }
        _ => false,
    }
}

/// What a retry leaves open is implementation-specific (Gateway API, HTTPRouteRetry): one more attempt, the least time of
/// kgateway between two.
fn retry(given: &httproute::Retry) -> Retry {
    const ATTEMPTS: u32 = 1;
    const BACKOFF: Duration = Duration::from_millis(25);
    Retry {
        codes: given.codes.clone(),
        attempts: given.attempts.unwrap_or(ATTEMPTS),
        backoff: given.backoff.unwrap_or(BACKOFF),
    }
}

/// A timeout of zero is none (Gateway API, HTTPRouteTimeouts).
fn timeouts(given: &Timeouts, settings: &Settings) -> RuleTimeouts {
    let unless_zero = |given: Located<Duration>| Some(given.value).filter(|timeout| !timeout.is_zero());
    RuleTimeouts {
        request: given.request.map_or(Some(settings.timeouts.request), unless_zero),
        backend_request: given.backend_request.and_then(unless_zero),
    }
}

fn choice(world: &World<'_>, backends: &Backends, route: &Meta, given: &BackendRef) -> BackendChoice {
    let namespace = given.backend.namespace.as_deref().unwrap_or(&route.namespace);
    let name = given.backend.name.value.as_str();
    let at = given.backend.at();
    if world.find(&world.all.backends, "Backend", (namespace, name), at).is_none() {
        return BackendChoice::Invalid;
    }
    if namespace != route.namespace
        && !world.is_granted(("HTTPRoute", &route.namespace), (KGATEWAY, "Backend"), (namespace, name))
    {
        let message = format!(
            "HTTPRoute {route} may not refer to Backend {namespace}/{name}: namespace {namespace:?} has no \
             ReferenceGrant for it, so this share of requests is answered with 500"
        );
        world.faults.warn(at, message);
        return BackendChoice::Invalid;
    }
    match backends.index(namespace, name) {
        Some(index) => BackendChoice::Backend { index, filters: backend_filters(&given.filters) },
        None => BackendChoice::Invalid,
    }
}

fn backend_filters(given: &[Located<Filter>]) -> BackendFilters {
    let mut filters = BackendFilters::default();
    for filter in given {
        match &filter.value {
            Filter::RequestHeaders(edits) => filters.request_headers = edits.clone(),
            Filter::ResponseHeaders(edits) => filters.response_headers = edits.clone(),
            Filter::Rewrite { .. } | Filter::Redirect(_) => {} // refused by the reader
        }
    }
    filters
}

fn filters(world: &World<'_>, rule: &httproute::Rule) -> Filters {
    let mut filters = Filters::default();
    for filter in &rule.filters {
        match &filter.value {
            Filter::RequestHeaders(edits) => filters.request_headers = edits.clone(),
            Filter::ResponseHeaders(edits) => filters.response_headers = edits.clone(),
            Filter::Rewrite { hostname, path } => {
                let path = path.as_ref().and_then(|path| path_rewrite(world, rule, path));
                filters.rewrite = Some(Rewrite { hostname: hostname.clone(), path });
            }
            Filter::Redirect(redirect) => {
                filters.redirect = Some(Redirect {
                    scheme: redirect.scheme.clone(),
                    hostname: redirect.hostname.clone(),
                    port: redirect.port,
                    path: redirect.path.as_ref().and_then(|path| path_rewrite(world, rule, path)),
                    status: redirect.status,
                });
            }
        }
    }
    filters
}

/// A prefix can be replaced only where it is clear which: exactly one match, a PathPrefix (Gateway API).
fn path_rewrite(world: &World<'_>, rule: &httproute::Rule, path: &PathModifier) -> Option<PathRewrite> {
    let replacement = match path {
        PathModifier::Full(path) => return Some(PathRewrite::Full(path.clone())),
        PathModifier::Prefix(replacement) => replacement,
    };
    match rule.matches.as_slice() {
        [only] if matches!(only.path, PathMatch::Prefix(_)) => match &only.path {
            PathMatch::Prefix(matched) => {
                Some(PathRewrite::Prefix { matched: matched.clone(), replacement: replacement.value.clone() })
            }
            _ => None,
        },
        _ => {
            let message = "ReplacePrefixMatch needs a rule with exactly one match, of type PathPrefix";
            let help = "split the rule, or use ReplaceFullPath";
            world.faults.fault_with_help(replacement.at, message, help);
            None
        }
    }
}
