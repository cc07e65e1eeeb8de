//! BackendTLSPolicies, for each Gateway through which their Services are reached (`apis/v1/backendtlspolicy_types.go` and
//! `policy_types.go` of Gateway API 1.4).

use super::{
    AncestorStatus, CONTROLLER, Condition, ObjectRef, Observed, Observer, Scene, Status, Truth, observed,
};
use crate::config::diagnostic::{Place, Reason, Said};
use crate::config::resources::backendtlspolicy::{BackendTlsPolicy, ServiceTarget};
use crate::config::resources::filters::Filter;
use crate::config::resources::httproute::{Referent, ReferentKind, Rule};
use crate::config::resources::{GATEWAY_API, Meta, Reference, Resource};

/// The status of every one of them.
pub(super) fn all<'a>(scene: &'a Scene<'a>) -> impl Iterator<Item = Observed> + 'a {
    let policies = scene.all.backend_tls_policies.iter();
    policies.map(|policy| {
        let status = Status::Policy { ancestors: ancestors(scene, policy) };
        observed("BackendTLSPolicy", &policy.meta, status)
    })
}

fn ancestors(scene: &Scene<'_>, policy: &Resource<BackendTlsPolicy>) -> Vec<AncestorStatus> {
    let Some(spec) = &policy.spec else { return Vec::new() };
    let observer = Observer { generation: policy.meta.generation };
    let said = scene.said_in(policy.meta.extent);
    let (of_targets, said): (Vec<&Said>, Vec<&Said>) =
        said.into_iter().partition(|said| spec.targets.iter().any(|target| is_missing(said, target)));
    let mut list: Vec<AncestorStatus> = Vec::new();
    for target in &spec.targets {
        let missing: Vec<&Said> =
            of_targets.iter().copied().filter(|said| is_missing(said, target)).collect();
        let resolved = || resolved(observer, &of_authorities(scene, policy, spec, &said));
        let found = match missing.is_empty() {
            false => {
                let accepted = observer.no("Accepted", "TargetNotFound", &missing);
                vec![(to_target(&policy.meta, target), [accepted, resolved()])]
            }
            true => {
                let own = said.iter().copied().filter(|said| !is_of_other(said, spec, target)).collect();
                let conditions = || [accepted(scene, observer, policy, spec, &own), resolved()];
                let gateways = through(scene, &policy.meta, target);
                match gateways.is_empty() {
                    true => vec![(to_target(&policy.meta, target), conditions())],
                    false => {
                        gateways.into_iter().map(|gateway| (to_gateway(gateway), conditions())).collect()
                    }
                }
            }
        };
        for (ancestor_ref, conditions) in found {
            let conditions: Vec<Condition> = conditions.into();
            match list.iter_mut().find(|known| known.ancestor_ref == ancestor_ref) {
                // Of several targets behind one Gateway, what is wrong with one is told.
                Some(known) if holds(&known.conditions) => known.conditions = conditions,
                Some(_) => {}
                None => list.push(AncestorStatus { ancestor_ref, controller_name: CONTROLLER, conditions }),
            }
        }
    }
    list
}

fn holds(conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| condition.status == Truth::True)
}

/// Whether it says that a target leads nowhere.
fn is_missing(said: &Said, target: &ServiceTarget) -> bool {
    said.reason == Reason::NotFound && is_at(said, target)
}

fn is_at(said: &Said, target: &ServiceTarget) -> bool {
    target.name.at == said.at || target.section.as_ref().is_some_and(|section| section.at == said.at)
}

/// Whether it is about another target of the policy.
fn is_of_other(said: &Said, spec: &BackendTlsPolicy, target: &ServiceTarget) -> bool {
    !is_at(said, target) && spec.targets.iter().any(|other| is_at(said, other))
}

const OF_REFERENCES: [Reason; 4] =
    [Reason::NotFound, Reason::NotPermitted, Reason::InvalidKind, Reason::InvalidCertificate];

/// What is wrong with references to authorities, and with the ConfigMaps that hold them.
fn of_authorities<'a>(
    scene: &Scene<'a>,
    policy: &Resource<BackendTlsPolicy>,
    spec: &BackendTlsPolicy,
    said: &[&'a Said],
) -> Vec<&'a Said> {
    let own = said.iter().copied().filter(|said| OF_REFERENCES.contains(&said.reason));
    let maps = spec.tls.authorities.iter().flat_map(|one| in_map(scene, &policy.meta, one));
    own.chain(maps).collect()
}

fn in_map<'a>(scene: &Scene<'a>, policy: &Meta, reference: &Reference) -> Vec<&'a Said> {
    let is_meant =
        |meta: &Meta| meta.namespace == policy.namespace && meta.name.value == reference.name.value;
    let map = scene.all.config_maps.iter().find(|map| is_meant(&map.meta));
    map.map_or(Vec::new(), |map| scene.said_in(map.meta.extent))
}

/// A policy of which no authority is left is not accepted; where some are, its references tell of the others.
fn accepted(
    scene: &Scene<'_>,
    observer: Observer,
    policy: &Resource<BackendTlsPolicy>,
    spec: &BackendTlsPolicy,
    said: &Vec<&Said>,
) -> Condition {
    let of = |holds: &dyn Fn(Reason) -> bool| -> Vec<&Said> {
        said.iter().copied().filter(|said| holds(said.reason)).collect()
    };
    let conflicts = of(&|reason| reason == Reason::PolicyConflict);
    let others = of(&|reason| reason != Reason::PolicyConflict && !OF_REFERENCES.contains(&reason));
    let of_authorities = of_authorities(scene, policy, spec, said);
    let is_good = |reference: &&Reference| {
        let is_told = said.iter().any(|said| said.at == reference.at());
        !is_told && in_map(scene, &policy.meta, reference).is_empty()
    };
    let has_good = spec.tls.authorities.iter().any(|reference| is_good(&reference));
    match (others.is_empty(), conflicts.is_empty(), of_authorities.is_empty() || has_good) {
        (false, ..) => observer.no("Accepted", "Invalid", &others),
        (_, false, _) => observer.no("Accepted", "Conflicted", &conflicts),
        (_, _, false) => observer.no("Accepted", "NoValidCACertificate", &of_authorities),
        _ => observer.yes("Accepted", "Accepted"),
    }
}

fn resolved(observer: Observer, said: &[&Said]) -> Condition {
    match said.iter().any(|said| said.reason == Reason::InvalidKind) {
        _ if said.is_empty() => observer.yes("ResolvedRefs", "ResolvedRefs"),
        true => observer.no("ResolvedRefs", "InvalidKind", said),
        false => observer.no("ResolvedRefs", "InvalidCACertificateRef", said),
    }
}

/// The Gateways with routes to a Service, in their order.
fn through<'a>(scene: &Scene<'a>, policy: &Meta, target: &ServiceTarget) -> Vec<&'a Meta> {
    let routes = scene.all.routes.iter().filter(|route| {
        let mut rules = route.spec.iter().flat_map(|spec| &spec.rules);
        rules.any(|rule| referents(rule).any(|to| leads_to(to, &route.meta, policy, target)))
    });
    let ways: Vec<Place> =
        routes.filter_map(|route| scene.gateways.get(&route.meta.name.at)).flatten().copied().collect();
    let gateways = scene.all.gateways.iter().map(|gateway| &gateway.meta);
    gateways.filter(|meta| ways.contains(&meta.name.at)).collect()
}

/// What a rule refers to: backends, and those that get copies.
fn referents(rule: &Rule) -> impl Iterator<Item = &Referent> {
    let shares = rule.backends.iter().flat_map(|share| &share.filters);
    let mirrors = rule.filters.iter().chain(shares).filter_map(|filter| match &filter.value {
        Filter::Mirror(mirror) => Some(&mirror.backend),
        _ => None,
    });
    rule.backends.iter().map(|share| &share.backend).chain(mirrors)
}

fn leads_to(to: &Referent, route: &Meta, policy: &Meta, target: &ServiceTarget) -> bool {
    let namespace = to.to.namespace.as_deref().unwrap_or(&route.namespace);
    let is_service = matches!(to.kind, ReferentKind::Service(_));
    is_service && namespace == policy.namespace && to.to.name.value == target.name.value
}

fn to_gateway(meta: &Meta) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_API,
        kind: "Gateway",
        name: meta.name.value.clone(),
        namespace: Some(meta.namespace.clone()),
        section_name: None,
        port: None,
    }
}

fn to_target(policy: &Meta, target: &ServiceTarget) -> ObjectRef {
    ObjectRef {
        group: "",
        kind: "Service",
        name: target.name.value.clone(),
        namespace: Some(policy.namespace.clone()),
        section_name: target.section.as_ref().map(|section| section.value.clone()),
        port: None,
    }
}
