//! HTTPRoutes, for each parentRef (`apis/v1/shared_types.go` of Gateway API).

use super::{CONTROLLER, Condition, ObjectRef, Observer, ParentStatus, Scene, Status, Truth};
use crate::config::diagnostic::{Place, Reason, Said};
use crate::config::resources::httproute::{HttpRoute, Parent};
use crate::config::resources::{GATEWAY_API, Meta, Resource};
use std::collections::HashSet;

/// What is said of a route.
#[derive(Default)]
struct About<'a> {
    /// Of one of its parents.
    parents: Vec<&'a Said>,
    /// Of what it refers to.
    references: Vec<&'a Said>,
    /// Of itself.
    own: Vec<&'a Said>,
}

/// Routes that no Gateway accepts because of what they say themselves.
pub(super) fn refused(scene: &Scene<'_>) -> HashSet<Place> {
    let is_refused = |route: &&Resource<HttpRoute>| !About::new(scene, route).own.is_empty();
    scene.all.routes.iter().filter(is_refused).map(|route| route.meta.name.at).collect()
}

/// The status of a route.
pub(super) fn status(scene: &Scene<'_>, route: &Resource<HttpRoute>) -> Status {
    let observer = Observer { generation: route.meta.generation };
    let about = About::new(scene, route);
    let parent = |parent: &Parent| {
        let accepted = accepted(scene, observer, &route.meta, parent, &about);
        let resolved = match about.references.first().map(|said| said.reason) {
            None => observer.yes("ResolvedRefs", "ResolvedRefs"),
            Some(reason) => observer.no("ResolvedRefs", unresolved(reason), &about.references),
        };
        let conditions = vec![accepted, resolved];
        ParentStatus { parent_ref: reference(parent), controller_name: CONTROLLER, conditions }
    };
    Status::Route { parents: route.spec.iter().flat_map(|spec| &spec.parents).map(parent).collect() }
}

fn unresolved(reason: Reason) -> &'static str {
    match reason {
        Reason::NotPermitted => "RefNotPermitted",
        Reason::InvalidKind => "InvalidKind",
        Reason::UnsupportedProtocol => "UnsupportedProtocol",
        _ => "BackendNotFound",
    }
}

fn accepted(
    scene: &Scene<'_>,
    observer: Observer,
    route: &Meta,
    parent: &Parent,
    about: &About<'_>,
) -> Condition {
    let at = parent.gateway.at();
    let is_meant = |said: &&Said| said.at == at || said.about.contains(&at);
    let parents = about.parents.iter().copied().filter(is_meant);
    let why: Vec<&Said> = parents.chain(about.own.iter().copied()).collect();
    let reason = match why.first().map(|said| said.reason) {
        None => return not_refused(scene, observer, route, parent),
        Some(Reason::NoMatchingParent | Reason::NotFound) => "NoMatchingParent",
        Some(Reason::NotAllowedByListeners) => "NotAllowedByListeners",
        Some(Reason::NoMatchingListenerHostname) => "NoMatchingListenerHostname",
        Some(Reason::UnsupportedValue) => "UnsupportedValue",
        Some(_) => "Invalid",
    };
    observer.no("Accepted", reason, &why)
}

/// Accepted, unless that depends on a listener that could not be read.
fn not_refused(scene: &Scene<'_>, observer: Observer, route: &Meta, parent: &Parent) -> Condition {
    let namespace = parent.gateway.namespace.as_deref().unwrap_or(&route.namespace);
    let is_meant = |meta: &Meta| meta.namespace == namespace && meta.name.value == parent.gateway.name.value;
    let gateway = scene.all.gateways.iter().find(|gateway| is_meant(&gateway.meta));
    let ways = scene.gateways.get(&route.name.at);
    match gateway {
        Some(gateway) if !ways.is_some_and(|ways| ways.contains(&gateway.meta.name.at)) => {
            let message = format!("Gateway {} has listeners that could not be read", gateway.meta);
            observer.write("Accepted", Truth::Unknown, "Pending", message)
        }
        _ => observer.yes("Accepted", "Accepted"),
    }
}

/// The parentRef as it is written, with the defaults of group and kind.
fn reference(parent: &Parent) -> ObjectRef {
    ObjectRef {
        group: GATEWAY_API,
        kind: "Gateway",
        name: parent.gateway.name.value.clone(),
        namespace: parent.gateway.namespace.clone(),
        section_name: parent.section.as_ref().map(|section| section.value.clone()),
        port: parent.port.map(|port| port.value),
    }
}

impl<'a> About<'a> {
    fn new(scene: &Scene<'a>, route: &Resource<HttpRoute>) -> About<'a> {
        let parents: Vec<Place> =
            route.spec.iter().flat_map(|spec| &spec.parents).map(|parent| parent.gateway.at()).collect();
        let mut about = About::default();
        for said in scene.said_in(route.meta.extent) {
            let list = match said.reason {
                Reason::NoMatchingParent
                | Reason::NotAllowedByListeners
                | Reason::NoMatchingListenerHostname => &mut about.parents,
                Reason::NotFound if parents.contains(&said.at) => &mut about.parents,
                Reason::NotFound
                | Reason::NotPermitted
                | Reason::InvalidKind
                | Reason::UnsupportedProtocol => &mut about.references,
                _ => &mut about.own,
            };
            list.push(said);
        }
        about
    }
}
