//! Gateways and their listeners (`apis/v1/gateway_types.go` of Gateway API).

use super::{Condition, ListenerStatus, Observer, RouteKind, Scene, Status, Truth, concerns, message};
use crate::config::diagnostic::{Extent, Place, Reason, Said, listing};
use crate::config::resources::authorities::Validation;
use crate::config::resources::gateway::{Gateway, Kinds, Listener};
use crate::config::resources::{GATEWAY_API, Meta, Reference, Resource};
use std::collections::HashSet;

/// The status of a Gateway.
pub(super) fn status(scene: &Scene<'_>, gateway: &Resource<Gateway>) -> Status {
    let meta = &gateway.meta;
    let observer = Observer { generation: meta.generation };
    let said = scene.said_in(meta.extent);
    let mut listeners: Vec<(Extent, ListenerStatus)> = Vec::new();
    for listener in gateway.spec.iter().flat_map(|spec| &spec.listeners) {
        let secrets = of_secrets(scene, meta, listener);
        let validation = gateway.spec.as_ref().and_then(|spec| validation_of(spec, listener));
        let authorities = validation.map_or(Vec::new(), |asked| of_authorities(scene, meta, (&said, asked)));
        let is_other = |said: &&Said| !authorities.iter().any(|other| std::ptr::eq(*other, *said));
        let own: Vec<&Said> = of_extent(&said, listener.extent).into_iter().filter(is_other).collect();
        let routes = attached(scene, meta, &listener.name.value);
        let refs = Refs { secrets, authorities };
        let status = one(observer, &listener.name.value, (listener.kinds, routes), &own, refs);
        listeners.push((listener.extent, status));
    }
    for listener in gateway.spec.iter().flat_map(|spec| &spec.refused) {
        let own = of_extent(&said, listener.extent);
        let http = own.iter().all(|said| said.reason != Reason::UnsupportedProtocol);
        let kinds = Kinds { http, others: false };
        listeners.push((listener.extent, one(observer, &listener.name, (kinds, 0), &own, Refs::default())));
    }
    listeners.sort_by_key(|(extent, _)| extent.from);
    let is_own = |said: &&&Said| !listeners.iter().any(|(extent, _)| concerns(*extent, said));
    let asked: Vec<&Validation> = gateway.spec.iter().flat_map(asked).collect();
    let is_told = |said: &&&Said| asked.iter().any(|asked| is_of_authority(asked, said));
    let own: Vec<&Said> = said.iter().filter(is_own).filter(|said| !is_told(said)).copied().collect();
    let listeners: Vec<ListenerStatus> = listeners.into_iter().map(|(_, status)| status).collect();
    let shown = gateway.spec.as_ref().and_then(|spec| spec.shown.as_ref());
    let is_of_shown = |said: &&Said| shown.is_some_and(|shown| shown.extent.holds(said.at));
    let (mut of_shown, own): (Vec<&Said>, Vec<&Said>) = own.into_iter().partition(is_of_shown);
    let mut conditions = summary(observer, &listeners, &own);
    if let Some(shown) = shown {
        of_shown.extend(shown.reference.iter().flat_map(|reference| of_secret(scene, meta, reference)));
        conditions.push(resolved(observer, &of_shown, &listeners));
    }
    if asked.iter().any(|asked| asked.fallback.is_some()) {
        // Who looks at a cluster would say so when it changes; nothing is known here of what was before.
        let message = "clients are let in without a valid certificate".to_owned();
        let name = "InsecureFrontendValidationMode";
        conditions.push(observer.write(name, Truth::True, "ConfigurationChanged", message));
    }
    Status::Gateway { conditions, listeners }
}

/// `ResolvedRefs` of a Gateway that shows a certificate to backends: "all the object references for the Gateway that are not
/// part of a specific Listener", and a summary of those that are.
fn resolved(observer: Observer, said: &[&Said], listeners: &[ListenerStatus]) -> Condition {
    let is_bad = |listener: &&ListenerStatus| !holds(&listener.conditions, "ResolvedRefs");
    let bad: Vec<&str> = listeners.iter().filter(is_bad).map(|listener| listener.name.as_str()).collect();
    match said.first().map(|said| said.reason) {
        Some(Reason::NotPermitted) => observer.no("ResolvedRefs", "RefNotPermitted", said),
        Some(_) => observer.no("ResolvedRefs", "InvalidClientCertificateRef", said),
        None if bad.is_empty() => observer.yes("ResolvedRefs", "ResolvedRefs"),
        None => {
            let message = format!("not resolved: {}", listing(bad));
            observer.write("ResolvedRefs", Truth::False, "ListenersNotResolved", message)
        }
    }
}

/// What is asked of clients of some HTTPS listener.
fn asked(spec: &Gateway) -> impl Iterator<Item = &Validation> {
    spec.listeners.iter().filter_map(|listener| validation_of(spec, listener))
}

fn validation_of<'a>(spec: &'a Gateway, listener: &'a Listener) -> Option<&'a Validation> {
    let tls = listener.tls.as_ref()?;
    tls.validation.as_ref().or_else(|| spec.frontend.of_port(listener.port.value))
}

/// Whether it says of a reference that it leads to no authority.
fn is_of_authority(asked: &Validation, said: &Said) -> bool {
    const REASONS: [Reason; 4] =
        [Reason::NotFound, Reason::NotPermitted, Reason::InvalidKind, Reason::InvalidCertificate];
    asked.extent.holds(said.at) && REASONS.contains(&said.reason)
}

/// Accepted and Programmed. A Gateway of which some listener is good is accepted, and says which are not.
fn summary(observer: Observer, listeners: &[ListenerStatus], own: &[&Said]) -> Vec<Condition> {
    let is_good = |listener: &&ListenerStatus| holds(&listener.conditions, "Programmed");
    let bad: Vec<&str> =
        listeners.iter().filter(|one| !is_good(one)).map(|listener| listener.name.as_str()).collect();
    let some_good = listeners.iter().any(|listener| is_good(&listener));
    let accepted = match (own.is_empty(), bad.is_empty()) {
        (false, _) => observer.no("Accepted", "Invalid", own),
        (true, true) if some_good => observer.yes("Accepted", "Accepted"),
        (true, _) => {
            let truth = if some_good { Truth::True } else { Truth::False };
            let message = format!("not valid: {}", listing(bad));
            observer.write("Accepted", truth, "ListenersNotValid", message)
        }
    };
    let programmed = match accepted.status == Truth::True {
        true => observer.yes("Programmed", "Programmed"),
        false => {
            let message = "the Gateway is not accepted".to_owned();
            observer.write("Programmed", Truth::False, "Invalid", message)
        }
    };
    vec![accepted, programmed]
}

fn holds(conditions: &[Condition], kind: &str) -> bool {
    conditions.iter().any(|condition| condition.kind == kind && condition.status == Truth::True)
}

/// What is said of what a listener refers to.
#[derive(Default)]
struct Refs<'a> {
    secrets: Vec<&'a Said>,
    /// Authorities of clients' certificates.
    authorities: Vec<&'a Said>,
}

/// The status of a listener of which is `said` what stands in it.
fn one<'a>(
    observer: Observer,
    name: &str,
    (kinds, routes): (Kinds, usize),
    said: &[&'a Said],
    Refs { secrets: mut refs, mut authorities }: Refs<'a>,
) -> ListenerStatus {
    let of = |reasons: &[Reason]| -> Vec<&'a Said> {
        said.iter().filter(|said| reasons.contains(&said.reason)).copied().collect()
    };
    let conflicts = of(&[Reason::HostnameConflict, Reason::ProtocolConflict]);
    refs.splice(0..0, of(&[Reason::NotFound, Reason::NotPermitted, Reason::InvalidCertificate]));
    authorities.extend(of(&[Reason::InvalidKind])); // of a listener that could not be read
    let foreign = of(&[Reason::InvalidRouteKind]);
    let faults = of(&[Reason::Invalid, Reason::UnsupportedValue, Reason::UnsupportedProtocol]);
    let conflict = conflicts.first().map(|said| match said.reason {
        Reason::ProtocolConflict => "ProtocolConflict",
        _ => "HostnameConflict",
    });
    let accepted = match (faults.first(), conflict) {
        (None, None) if !authorities.is_empty() => {
            observer.no("Accepted", "NoValidCACertificate", &authorities)
        }
        (None, None) => observer.yes("Accepted", "Accepted"),
        (None, Some(reason)) => observer.no("Accepted", reason, &conflicts),
        (Some(_), _) => {
            let is_protocol = faults.iter().any(|said| said.reason == Reason::UnsupportedProtocol);
            observer.no("Accepted", if is_protocol { "UnsupportedProtocol" } else { "Invalid" }, &faults)
        }
    };
    let resolved = match refs.first().map(|said| said.reason) {
        None if !authorities.is_empty() => {
            let reason = match authorities.first().map(|said| said.reason) {
                Some(Reason::NotPermitted) => "RefNotPermitted",
                Some(Reason::InvalidKind) => "InvalidCACertificateKind",
                _ => "InvalidCACertificateRef",
            };
            observer.no("ResolvedRefs", reason, &authorities)
        }
        None if kinds.others || !foreign.is_empty() => {
            let message = match foreign.is_empty() {
                true => "of the kinds of routes that it admits only HTTPRoute is served".to_owned(),
                false => message(&foreign),
            };
            observer.write("ResolvedRefs", Truth::False, "InvalidRouteKinds", message)
        }
        None => observer.yes("ResolvedRefs", "ResolvedRefs"),
        Some(Reason::NotPermitted) => observer.no("ResolvedRefs", "RefNotPermitted", &refs),
        Some(_) => observer.no("ResolvedRefs", "InvalidCertificateRef", &refs),
    };
    let programmed = match (accepted.status == Truth::True, refs.is_empty()) {
        (true, true) => observer.yes("Programmed", "Programmed"),
        (is_accepted, _) => {
            let why = if is_accepted { "its certificates are not valid" } else { "it is not accepted" };
            observer.write(
                "Programmed",
                Truth::False,
                "Invalid",
                format!("the listener is not opened: {why}"),
            )
        }
    };
    let conflicted = match conflict {
        Some(reason) => observer.write("Conflicted", Truth::True, reason, message(&conflicts)),
        None => observer.write("Conflicted", Truth::False, "NoConflicts", String::new()),
    };
    let kind = RouteKind { group: GATEWAY_API, kind: "HTTPRoute" };
    ListenerStatus {
        name: name.to_owned(),
        attached_routes: routes,
        supported_kinds: kinds.http.then_some(kind).into_iter().collect(),
        conditions: vec![accepted, programmed, resolved, conflicted],
    }
}

fn of_extent<'a>(said: &[&'a Said], extent: Extent) -> Vec<&'a Said> {
    said.iter().filter(|said| concerns(extent, said)).copied().collect()
}

/// Faults of the Secrets that a listener shows: its references are invalid too "when the data within that resource is
/// malformed" (Gateway API, ListenerReasonInvalidCertificateRef).
fn of_secrets<'a>(scene: &Scene<'a>, gateway: &Meta, listener: &Listener) -> Vec<&'a Said> {
    let references = listener.tls.iter().flat_map(|tls| &tls.certificates);
    references.flat_map(|reference| of_secret(scene, gateway, reference)).collect()
}

/// Faults of a Secret that a Gateway refers to.
fn of_secret<'a>(scene: &Scene<'a>, gateway: &Meta, reference: &Reference) -> Vec<&'a Said> {
    let namespace = reference.namespace.as_deref().unwrap_or(&gateway.namespace);
    let is_meant = |meta: &Meta| meta.namespace == namespace && meta.name.value == reference.name.value;
    let secret = scene.all.secrets.iter().find(|secret| is_meant(&secret.meta));
    secret.map_or(Vec::new(), |secret| scene.said_in(secret.meta.extent))
}

/// Faults of references to authorities, and of the ConfigMaps that hold them.
fn of_authorities<'a>(
    scene: &Scene<'a>,
    gateway: &Meta,
    (said, asked): (&[&'a Said], &Validation),
) -> Vec<&'a Said> {
    let mut found: Vec<&Said> = said.iter().filter(|said| is_of_authority(asked, said)).copied().collect();
    for reference in &asked.authorities {
        let namespace = reference.namespace.as_deref().unwrap_or(&gateway.namespace);
        let is_meant = |meta: &Meta| meta.namespace == namespace && meta.name.value == reference.name.value;
        let Some(map) = scene.all.config_maps.iter().find(|map| is_meant(&map.meta)) else { continue };
        found.extend(scene.said_in(map.meta.extent));
    }
    found
}

/// "The number of Routes with the Accepted condition set to True that have been attached to this Listener."
fn attached(scene: &Scene<'_>, gateway: &Meta, listener: &str) -> usize {
    let passages = scene.passages.get(&gateway.name.at).into_iter().flatten();
    let here = passages.filter(|passage| passage.listener == listener);
    here.map(|passage| passage.route).collect::<HashSet<Place>>().len()
}
