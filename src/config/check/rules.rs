use super::World;
use super::backends::Backends;
use super::policies::InForce;
use super::refs;
use crate::config::diagnostic::{Located, Reason};
use crate::config::resources::Meta;
use crate::config::resources::filters::{self, Filter, PathModifier};
use crate::config::resources::httproute::{self, BackendRef, Timeouts};
use crate::config::settings::Settings;
use crate::config::snapshot::{Backend, BackendChoice, BackendKind, Retry, Rule, RuleTimeouts};
use crate::route::filters::{Filters, Mirror, PathRewrite, Redirect, Rewrite};
use crate::route::matches::PathMatch;
use crate::route::priority::Priority;
use crate::route::weighted::Weighted;
use std::sync::Arc;
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
    let mut filters = filters(world, backends, route, rule, &rule.filters);
    let own_answer = match (&filters.redirect, &filters.direct) {
        (Some(_), _) => Some(("RequestRedirect", "redirect")),
        (None, Some(_)) => Some(("a DirectResponse", "DirectResponse")),
        (None, None) => None,
    };
    if let (Some((with, what)), Some(first)) = (own_answer, rule.backends.first()) {
        let message = format!("a rule with {with} has no backend");
        let help = format!("remove backendRefs: the {what} is the whole answer");
        world.faults.fault_with_help(first.backend.to.at(), message, help);
    }
    filters.cors = filters.cors.or(in_force.cors);
    filters.direct = filters.direct.or(in_force.direct);
    if let Some(headers) = &in_force.headers {
        // Those of the rule itself take their place.
        for (own, of_policy) in [
            (&mut filters.request_headers, &headers.request),
            (&mut filters.response_headers, &headers.response),
        ] {
            if own.is_empty() {
                *own = of_policy.clone();
            }
        }
    }
    let of_policy = in_force.retry.as_deref();
    let own_retry = rule.retry.as_ref();
    let per_try = of_policy.filter(|_| own_retry.is_none()).and_then(|given| given.per_try);
    let choices: Vec<(u32, BackendChoice)> = rule
        .backends
        .iter()
        .map(|backend| (backend.weight, choice(world, backends, route, rule, backend)))
        .collect();
    if filters.redirect.is_none() && filters.direct.is_none() {
        warn_of_500(world, rule, &choices);
    }
    Rule {
        route: route.to_string().into(),
        name: format!("{route}/{number}").into(),
        number: u32::try_from(number).unwrap_or(u32::MAX),
        filters,
        backends: Weighted::new(choices),
        limits: in_force.limits,
        timeouts: timeouts(&rule.timeouts, (in_force.timeout.as_deref().copied(), per_try), settings),
        tokenizer: in_force.tokenizer,
        policy: in_force.ai.map(|ai| ai.policy),
        access: in_force.access.map(|access| access.policy),
        strict: strict(world, route),
        priority: priority(world, route),
        retry: own_retry.or(of_policy.map(|given| &given.retry)).map(retry),
    }
}

/// "If all entries in BackendRefs are invalid [...] all traffic which matches this rule MUST receive a 500": what a
/// cluster would say in the condition `ResolvedRefs`.
fn warn_of_500(world: &World<'_>, rule: &httproute::Rule, choices: &[(u32, BackendChoice)]) {
    let mut weighted = choices.iter().filter(|(weight, _)| *weight > 0);
    let why = match weighted.clone().count() {
        0 => "the rule has no backend with a weight",
        _ if weighted.all(|(_, choice)| matches!(choice, BackendChoice::Invalid)) => {
            "no backendRef of the rule is valid"
        }
        _ => return,
    };
    world.faults.warn(rule.at, format!("{why}: its requests are answered with 500"));
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

/// `tollgate.dev/priority`: how much the requests of a route matter.
fn priority(world: &World<'_>, route: &Meta) -> Priority {
    let Some(text) = &route.priority else { return Priority::default() };
    Priority::of_name(&text.value).unwrap_or_else(|| {
        let message = "\"tollgate.dev/priority\" must be sheddable, standard or critical";
        world.faults.fault(text.at, message);
        Priority::default()
    })
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

/// A timeout of zero is none (Gateway API, HTTPRouteTimeouts). What the rule says itself takes the place of what policies say.
fn timeouts(
    given: &Timeouts,
    (request, per_try): (Option<Duration>, Option<Duration>),
    settings: &Settings,
) -> RuleTimeouts {
    let unless_zero = |timeout: Duration| Some(timeout).filter(|timeout| !timeout.is_zero());
    let own = |given: Option<Located<Duration>>| given.map(|given| given.value);
    RuleTimeouts {
        request: own(given.request).or(request).map_or(Some(settings.timeouts.request), unless_zero),
        backend_request: own(given.backend_request).or(per_try).and_then(unless_zero),
    }
}

fn choice(
    world: &World<'_>,
    backends: &Backends,
    route: &Meta,
    rule: &httproute::Rule,
    given: &BackendRef,
) -> BackendChoice {
    let then = "this share of requests is answered with 500";
    let found = refs::backend(world, backends, route, &given.backend, then);
    let filters = filters(world, backends, route, rule, &given.filters);
    match found {
        Some(index) => BackendChoice::Backend { index, filters: Box::new(filters) },
        None => BackendChoice::Invalid,
    }
}

/// The filters of a rule, or of one of its backends.
fn filters(
    world: &World<'_>,
    backends: &Backends,
    route: &Meta,
    rule: &httproute::Rule,
    given: &[Located<Filter>],
) -> Filters {
    let mut filters = Filters::default();
    let rewritten =
        |path: &Option<PathModifier>| path.as_ref().and_then(|path| path_rewrite(world, rule, path));
    for filter in given {
        match &filter.value {
            Filter::RequestHeaders(edits) => filters.request_headers = edits.clone(),
            Filter::ResponseHeaders(edits) => filters.response_headers = edits.clone(),
            Filter::Rewrite { hostname, path } => {
                filters.rewrite = Some(Rewrite { hostname: hostname.clone(), path: rewritten(path) });
            }
            Filter::Redirect(redirect) => {
                filters.redirect = Some(Redirect {
                    scheme: redirect.scheme.clone(),
                    hostname: redirect.hostname.clone(),
                    port: redirect.port,
                    path: rewritten(&redirect.path),
                    status: redirect.status,
                });
            }
            Filter::Cors(cors) => filters.cors = Some(Arc::new(cors.clone())),
            Filter::Mirror(mirror) => filters.mirrors.extend(self::mirror(world, backends, route, mirror)),
            Filter::Direct(name) => {
                let wanted = (route.namespace.as_str(), name.name.value.as_str());
                let found = world.find(&world.all.direct_responses, "DirectResponse", wanted, name.at());
                filters.direct = found.and_then(|found| found.spec.clone()).map(Arc::new);
            }
        }
    }
    filters
}

/// An invalid mirror "must be dropped" (Gateway API, HTTPRequestMirrorFilter).
fn mirror(world: &World<'_>, backends: &Backends, route: &Meta, given: &filters::Mirror) -> Option<Mirror> {
    let target = refs::backend(world, backends, route, &given.backend, "nothing is mirrored")?;
    if let Some(Backend { kind: BackendKind::Ai(_), name, .. }) = backends.list.get(target as usize) {
        let message = format!("Backend {name} is a provider, which would have to be paid for copies");
        let help = "refer to a Backend of type Static, or to a Service";
        let at = given.backend.to.at().because(Reason::InvalidKind);
        world.faults.fault_with_help(at, message, help);
        return None;
    }
    Some(Mirror { target, numerator: given.numerator, out_of: given.out_of })
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
