use super::World;
use super::backends::index_of_last;
use crate::config::diagnostic::{Located, listing, nearest, quoted};
use crate::config::resources::trafficpolicy::{Target, TargetKind, TrafficPolicy, annotated_unit};
use crate::config::resources::{Meta, Resource};
use crate::limit::{Measure, Rate, Rule, Unit};

/// Limits in force and what they apply to.
pub(super) struct Policies {
    pub(super) limits: Vec<Rule>,
    /// For each limit what it stands on, for the report.
    pub(super) told: Vec<String>,
    scopes: Vec<(Scope, u32)>,
}

/// Where a limit applies.
struct Scope {
    kind: TargetKind,
    namespace: String,
    name: String,
    /// Listener or rule; `None` is all of them.
    section: Option<String>,
}

impl Policies {
    /// The limits that apply to a rule of a route reached through a listener, ascending. All must admit.
    pub(super) fn on(&self, gateway: &Meta, listener: &str, route: &Meta, rule: Option<&str>) -> Vec<u32> {
        let applies = |scope: &Scope| {
            let (meta, section) = match scope.kind {
                TargetKind::Gateway => (gateway, Some(listener)),
                TargetKind::HttpRoute => (route, rule),
            };
            let is_target = scope.namespace == meta.namespace && scope.name == meta.name.value;
            is_target && scope.section.as_deref().is_none_or(|wanted| section == Some(wanted))
        };
        let mut found: Vec<u32> =
            self.scopes.iter().filter(|(scope, _)| applies(scope)).map(|(_, limit)| *limit).collect();
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// Compiles every TrafficPolicy to a limit. A policy is one account: its targets share the bucket.
pub(super) fn compile(world: &World<'_>) -> Policies {
    let mut policies = Policies { limits: Vec::new(), told: Vec::new(), scopes: Vec::new() };
    for resource in &world.all.policies {
        let Some(policy) = &resource.spec else { continue };
        policies.limits.push(limit(world, resource, policy));
        let index = index_of_last(policies.limits.len());
        let mut told = Vec::new();
        for target in &policy.targets {
            let Some(scope) = scope(world, &resource.meta, target) else { continue };
            let section =
                scope.section.as_ref().map(|section| format!(" section {section}")).unwrap_or_default();
            told.push(format!("{} {}/{}{section}", scope.kind.name(), scope.namespace, scope.name));
            policies.scopes.push((scope, index));
        }
        policies.told.push(told.join(", "));
    }
    policies
}

fn limit(world: &World<'_>, resource: &Resource<TrafficPolicy>, policy: &TrafficPolicy) -> Rule {
    let bucket = &policy.bucket;
    let annotated = resource.meta.unit.as_ref().and_then(|text| annotated_unit(text, world.faults));
    let unit = match (&bucket.unit, &annotated) {
        (Some(here), Some(there)) if here.value != there.value => {
            let message = format!("\"unit\" is {}, but the annotation says otherwise", here.value.name());
            world.faults.fault_with_help(here.at, message, "remove one of the two");
            here.value
        }
        (Some(Located { value, .. }), _) | (None, Some(Located { value, .. })) => *value,
        (None, None) => Unit::Requests, // as kgateway counts
    };
    let rate = Rate { per_fill: bucket.per_fill, fill: bucket.fill };
    Rule::new(&resource.meta.to_string(), unit, Measure::Bucket { capacity: bucket.max, rate })
}

/// What a target means; policies apply within their own namespace only.
fn scope(world: &World<'_>, meta: &Meta, target: &Target) -> Option<Scope> {
    let (namespace, name) = (meta.namespace.as_str(), target.name.value.as_str());
    let sections: Option<Vec<&str>> = match target.kind {
        TargetKind::Gateway => {
            let found =
                world.find(&world.all.gateways, target.kind.name(), (namespace, name), target.name.at)?;
            let complete = found.spec.as_ref().filter(|gateway| !gateway.is_partial);
            complete.map(|gateway| {
                gateway.listeners.iter().map(|listener| listener.name.value.as_str()).collect()
            })
        }
        TargetKind::HttpRoute => {
            let found =
                world.find(&world.all.routes, target.kind.name(), (namespace, name), target.name.at)?;
            found.spec.as_ref().map(|route| route.rules.iter().filter_map(rule_name).collect())
        }
    };
    if let (Some(section), Some(sections)) = (&target.section, sections)
        && !sections.contains(&section.value.as_str())
    {
        let what = if target.kind == TargetKind::Gateway { "listener" } else { "rule" };
        let message =
            format!("{} {name:?} has no {what} named {}", target.kind.name(), quoted(&section.value));
        let help = match nearest(&section.value, sections.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("its {what}s are named: {}", listing(sections)),
        };
        world.faults.fault_with_help(section.at, message, help);
    }
    Some(Scope {
        kind: target.kind,
        namespace: namespace.into(),
        name: name.into(),
        section: target.section.as_ref().map(|section| section.value.clone()),
    })
}

fn rule_name(rule: &crate::config::resources::httproute::Rule) -> Option<&str> {
    rule.name.as_ref().map(|name| name.value.as_str())
}

impl TargetKind {
    fn name(self) -> &'static str {
        match self {
            TargetKind::Gateway => "Gateway",
            TargetKind::HttpRoute => "HTTPRoute",
        }
    }
}
