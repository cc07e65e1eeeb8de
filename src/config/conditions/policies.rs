//! Policies, for each Gateway on which they have an effect; conditions and reasons as kgateway and agentgateway have them.

use super::{AncestorStatus, CONTROLLER, Condition, ObjectRef, Observed, Observer, Scene, Status, Truth};
use super::{message, observed};
use crate::config::check::Passage;
use crate::config::diagnostic::{Extent, Place, Reason, Said, listing};
use crate::config::resources::access::Access;
use crate::config::resources::ai::Ai;
use crate::config::resources::handling::Handling;
use crate::config::resources::target::{Target, TargetKind};
use crate::config::resources::{Meta, Resources};
use std::collections::BTreeSet;

/// A policy of any kind.
struct Policy<'a> {
    kind: &'static str,
    meta: &'a Meta,
    targets: &'a [Target],
    /// Where its parts stand, its limits apart.
    parts: Vec<Place>,
    has_limits: bool,
}

/// The status of every policy.
pub(super) fn all(scene: &Scene<'_>) -> Vec<Observed> {
    let status = |policy: &Policy<'_>| Status::Policy { ancestors: ancestors(scene, policy) };
    read(scene.all).iter().map(|policy| observed(policy.kind, policy.meta, status(policy))).collect()
}

/// What every policy covers of the sources, and how it is called.
pub(super) fn names(all: &Resources) -> Vec<(Extent, String)> {
    let name = |policy: Policy<'_>| (policy.meta.extent, format!("{} {}", policy.kind, policy.meta));
    read(all).into_iter().map(name).collect()
}

fn read(all: &Resources) -> Vec<Policy<'_>> {
    let mut policies = Vec::new();
    for resource in &all.policies {
        let spec = resource.spec.as_ref();
        let mut parts = spec.map(|spec| of_ai(spec.ai.as_ref())).unwrap_or_default();
        parts.extend(spec.iter().flat_map(|spec| of_access(&spec.access)));
        parts.extend(spec.and_then(|spec| spec.cors.as_ref()).map(|given| given.at));
        parts.extend(spec.iter().flat_map(|spec| of_handling(&spec.handling)));
        policies.push(Policy {
            kind: "TrafficPolicy",
            meta: &resource.meta,
            targets: spec.map_or(&[], |spec| &spec.targets),
            parts,
            has_limits: spec.is_some_and(|spec| spec.bucket.is_some()),
        });
    }
    for resource in &all.agentgateway_policies {
        let spec = resource.spec.as_ref();
        let mut parts = spec.map(|spec| of_ai(spec.ai.as_ref())).unwrap_or_default();
        parts.extend(spec.iter().flat_map(|spec| of_access(&spec.access)));
        parts.extend(spec.and_then(|spec| spec.cors.as_ref()).map(|given| given.at));
        parts.extend(spec.iter().flat_map(|spec| of_handling(&spec.handling)));
        parts.extend(spec.and_then(|spec| spec.direct.as_ref()).map(|given| given.at));
        parts.extend(spec.and_then(|spec| spec.spoken.as_ref()).map(|given| given.at));
        policies.push(Policy {
            kind: "AgentgatewayPolicy",
            meta: &resource.meta,
            targets: spec.map_or(&[], |spec| &spec.targets),
            parts,
            has_limits: spec.is_some_and(|spec| !spec.entries.is_empty()),
        });
    }
    for resource in &all.limit_policies {
        let spec = resource.spec.as_ref();
        policies.push(Policy {
            kind: "LimitPolicy",
            meta: &resource.meta,
            targets: spec.map_or(&[], |spec| &spec.targets),
            parts: Vec::new(),
            has_limits: spec.is_some_and(|spec| !spec.limits.is_empty()),
        });
    }
    policies
}

fn of_ai(ai: Option<&Ai>) -> Vec<Place> {
    let Some(ai) = ai else { return Vec::new() };
    let fields = [ai.overrides.as_ref(), ai.defaults.as_ref()].map(|given| given.map(|given| given.at));
    let others = [
        ai.aliases.as_ref().map(|given| given.at),
        ai.prompt.as_ref().map(|given| given.at),
        ai.guards.as_ref().map(|given| given.at),
        ai.routes.as_ref().map(|given| given.at),
    ];
    fields.into_iter().chain(others).flatten().collect()
}

fn of_access(access: &Access) -> impl Iterator<Item = Place> {
    let parts = [
        access.tokens.as_ref().map(|given| given.at),
        access.users.as_ref().map(|given| given.at),
        access.keys.as_ref().map(|given| given.at),
        access.rules.as_ref().map(|given| given.at),
        access.network.as_ref().map(|given| given.at),
    ];
    parts.into_iter().flatten()
}

fn of_handling(handling: &Handling) -> impl Iterator<Item = Place> {
    let parts = [
        handling.timeout.as_ref().map(|given| given.at),
        handling.retry.as_ref().map(|given| given.at),
        handling.headers.as_ref().map(|given| given.at),
    ];
    parts.into_iter().flatten()
}

fn ancestors(scene: &Scene<'_>, policy: &Policy<'_>) -> Vec<AncestorStatus> {
    let observer = Observer { generation: policy.meta.generation };
    let said = scene.said_in(policy.meta.extent);
    let is_of = |said: &Said, target: &Target| {
        let section = target.section.as_ref().is_some_and(|section| section.at == said.at);
        said.reason == Reason::NotFound && (target.name.at == said.at || section)
    };
    let (missing, said): (Vec<&Said>, Vec<&Said>) =
        said.into_iter().partition(|said| policy.targets.iter().any(|target| is_of(said, target)));
    let mut list: Vec<AncestorStatus> = Vec::new();
    for target in policy.targets {
        let missing: Vec<&Said> = missing.iter().copied().filter(|said| is_of(said, target)).collect();
        let found = match missing.is_empty() {
            false => vec![(
                to_target(policy.meta, target, target.section.as_ref().map(|section| &section.value)),
                ["Accepted", "Attached"].map(|kind| observer.no(kind, "TargetNotFound", &missing)),
            )],
            true => {
                let conditions = |(ancestor, attached): (ObjectRef, Condition)| {
                    let accepted = accepted(observer, policy, &said);
                    let attached = match accepted.status {
                        Truth::True => attached,
                        _ => observer.write("Attached", Truth::False, "Pending", NOT_ACCEPTED.to_owned()),
                    };
                    (ancestor, [accepted, attached])
                };
                on_target(scene, observer, policy, target).into_iter().map(conditions).collect()
            }
        };
        for (ancestor_ref, conditions) in found {
            if !list.iter().any(|known| known.ancestor_ref == ancestor_ref) {
                let conditions = conditions.into();
                list.push(AncestorStatus { ancestor_ref, controller_name: CONTROLLER, conditions });
            }
        }
    }
    list
}

const NOT_ACCEPTED: &str = "the policy is not accepted";

/// `PartiallyValid` holds, as with agentgateway: references of some parts lead nowhere, and other parts are whole.
fn accepted(observer: Observer, policy: &Policy<'_>, said: &[&Said]) -> Condition {
    if said.is_empty() {
        return observer.yes("Accepted", "Valid");
    }
    let part_of = |said: &&Said| policy.parts.iter().filter(|part| **part <= said.at).max().copied();
    let broken: Option<BTreeSet<Place>> = said.iter().map(part_of).collect();
    let is_reference =
        |said: &&Said| matches!(said.reason, Reason::NotFound | Reason::NotPermitted | Reason::InvalidKind);
    let has_more = broken.is_some_and(|broken| policy.has_limits || policy.parts.len() > broken.len());
    match has_more && said.iter().all(is_reference) {
        true => observer.write("Accepted", Truth::True, "PartiallyValid", message(said)),
        false => observer.no("Accepted", "Invalid", said),
    }
}

/// The Gateways through which a target is reached, and whether the policy is attached there.
fn on_target(
    scene: &Scene<'_>,
    observer: Observer,
    policy: &Policy<'_>,
    target: &Target,
) -> Vec<(ObjectRef, Condition)> {
    let namespace = &policy.meta.namespace;
    let is_meant = |meta: &Meta| meta.namespace == *namespace && meta.name.value == target.name.value;
    let all = || scene.all.gateways.iter().map(|gateway| &gateway.meta);
    let gateways: Vec<&Meta> = match target.kind {
        TargetKind::Gateway => all().filter(|meta| is_meant(meta)).collect(),
        TargetKind::HttpRoute => {
            let route = scene.all.routes.iter().find(|route| is_meant(&route.meta));
            let ways = route.and_then(|route| scene.gateways.get(&route.meta.name.at));
            all().filter(|meta| ways.is_some_and(|ways| ways.contains(&meta.name.at))).collect()
        }
        TargetKind::Backend(_) => {
            return vec![(to_target(policy.meta, target, None), observer.yes("Attached", "Attached"))];
        }
    };
    if gateways.is_empty() {
        let message = format!("HTTPRoute {namespace}/{} is attached to no Gateway", target.name.value);
        let pending = observer.write("Attached", Truth::False, "Pending", message);
        return vec![(to_target(policy.meta, target, None), pending)];
    }
    let to = |meta: &Meta| ObjectRef {
        group: TargetKind::Gateway.group(),
        kind: TargetKind::Gateway.name(),
        name: meta.name.value.clone(),
        namespace: Some(meta.namespace.clone()),
        section_name: None,
        port: None,
    };
    gateways.into_iter().map(|meta| (to(meta), attached(scene, observer, policy, meta))).collect()
}

fn to_target(policy: &Meta, target: &Target, section: Option<&String>) -> ObjectRef {
    ObjectRef {
        group: target.kind.group(),
        kind: target.kind.name(),
        name: target.name.value.clone(),
        namespace: Some(policy.namespace.clone()),
        section_name: section.cloned(),
        port: None,
    }
}

/// `Overridden` if on all of its ways through the Gateway more special policies take the place of all that it says, `Merged`
/// if on some way others are in force beside it.
fn attached(scene: &Scene<'_>, observer: Observer, policy: &Policy<'_>, gateway: &Meta) -> Condition {
    let is_own = |(at, _): &&(Place, Option<Place>)| policy.meta.extent.holds(*at);
    let passages = scene.passages.get(&gateway.name.at).into_iter().flatten();
    let (mut instead, mut beside, mut is_in_force) = (BTreeSet::new(), BTreeSet::new(), false);
    for Passage { parts, .. } in passages {
        let own = || parts.iter().filter(is_own);
        instead.extend(own().filter_map(|(_, instead)| *instead));
        if own().any(|(_, instead)| instead.is_none()) {
            is_in_force = true;
            let others = parts.iter().filter(|part| part.1.is_none() && !is_own(part));
            beside.extend(others.map(|(at, _)| *at));
        }
    }
    let name = |places: &BTreeSet<Place>| {
        let is_there = |extent: &Extent| places.iter().any(|at| extent.holds(*at));
        let named = scene.policies.iter().filter(|(extent, _)| is_there(extent));
        listing(named.map(|(_, name)| name.as_str()))
    };
    match (is_in_force, instead.is_empty(), beside.is_empty()) {
        (false, false, _) => {
            let message = format!("more special ones take its place: {}", name(&instead));
            observer.write("Attached", Truth::False, "Overridden", message)
        }
        (true, _, false) => {
            let message = format!("in force beside it: {}", name(&beside));
            observer.write("Attached", Truth::True, "Merged", message)
        }
        _ => observer.yes("Attached", "Attached"),
    }
}
