//! The conditions of resources: what a controller of Gateway API would write into their `status`, computed from the
//! resources, the faults that stand in them, and the ways that were found.
//!
//! * Gateways and their listeners: `gateways`; HTTPRoutes for each parentRef: `routes`; policies for each ancestor:
//!   `policies`, and `backendtls` for those of Services. Reasons are those of `apis/v1/shared_types.go` and `gateway_types.go` of Gateway API, for other policies and
//!   Backends those of kgateway and agentgateway.
//! * Each resource is looked at by itself, as a controller does. What comes into force is another question: nothing, as long
//!   as there is a fault anywhere.
//! * There is no `lastTransitionTime`: time is an argument, and nobody gives it here.

mod backendtls;
mod gateways;
mod policies;
mod routes;

use super::check::Passage;
use super::diagnostic::{Diagnostics, Extent, Place, Reason, Said};
use super::resources::{Meta, Resources, api_version};
use super::snapshot::Snapshot;
use serde::Serialize;
use std::collections::{BTreeSet, HashMap};

/// Who says so, in `status`.
pub const CONTROLLER: &str = "tollgate.dev/gateway-controller";

/// What [`conditions`](super::conditions) found.
pub struct Conditions {
    /// Every Gateway, HTTPRoute, Backend and policy with its status, by kind in the order of the sources.
    pub resources: Vec<Observed>,
    /// What is in force. Else there are faults: these are the ones that no condition tells, maybe none.
    pub in_force: Result<Snapshot, Diagnostics>,
}

/// A resource and its status, as a cluster has it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Observed {
    /// Group and version.
    pub api_version: &'static str,
    /// `Gateway`, `HTTPRoute`...
    pub kind: &'static str,
    /// Who it is.
    pub metadata: Metadata,
    /// How it stands.
    pub status: Status,
}

/// Who a resource is.
#[derive(Clone, Debug, Serialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// As written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u64>,
}

/// `status`, by kind.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Status {
    /// Of a Gateway.
    Gateway {
        /// Accepted, Programmed; ResolvedRefs where it shows a certificate to backends.
        conditions: Vec<Condition>,
        /// In the order in which they are written.
        listeners: Vec<ListenerStatus>,
    },
    /// Of an HTTPRoute.
    Route {
        /// One for each parentRef.
        parents: Vec<ParentStatus>,
    },
    /// Of a policy.
    Policy {
        /// One for each Gateway on which it has an effect.
        ancestors: Vec<AncestorStatus>,
    },
    /// Of a Backend.
    Backend {
        /// Accepted.
        conditions: Vec<Condition>,
    },
}

/// How a listener stands.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListenerStatus {
    /// Its name.
    pub name: String,
    /// Routes that are accepted and have a way in through it.
    pub attached_routes: usize,
    /// Kinds of routes that it admits and that are served.
    pub supported_kinds: Vec<RouteKind>,
    /// Accepted, Programmed, ResolvedRefs, Conflicted.
    pub conditions: Vec<Condition>,
}

/// A kind of routes.
#[derive(Clone, Debug, Serialize)]
pub struct RouteKind {
    /// Its group.
    pub group: &'static str,
    /// Its name.
    pub kind: &'static str,
}

/// How a route stands with one of its parents.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    /// As the route has it.
    pub parent_ref: ObjectRef,
    /// [`CONTROLLER`].
    pub controller_name: &'static str,
    /// Accepted, ResolvedRefs.
    pub conditions: Vec<Condition>,
}

/// How a policy stands on one Gateway.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AncestorStatus {
    /// The Gateway. What the policy names itself, where that is on no Gateway.
    pub ancestor_ref: ObjectRef,
    /// [`CONTROLLER`].
    pub controller_name: &'static str,
    /// Accepted, Attached; of a BackendTLSPolicy Accepted, ResolvedRefs.
    pub conditions: Vec<Condition>,
}

/// `ParentReference` of Gateway API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectRef {
    /// Its group.
    pub group: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Left out where the reference leaves it out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A listener or a rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub section_name: Option<String>,
    /// Of listeners.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

/// `Condition` of Kubernetes, without the time of its last change.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Accepted`...
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Whether it holds.
    pub status: Truth,
    /// Why, in a word of the specification.
    pub reason: &'static str,
    /// Why, in words for people: every fault with its place; empty where all is well.
    pub message: String,
    /// The generation that the resource has, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<u64>,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Truth {
    /// It does.
    True,
    /// It does not.
    False,
    /// It depends on what could not be read.
    Unknown,
}

/// What all conditions are computed from.
struct Scene<'a> {
    all: &'a Resources,
    faults: &'a [Said],
    warnings: &'a [Said],
    /// By Gateway, without those of routes that none accepts.
    passages: HashMap<Place, Vec<&'a Passage>>,
    /// By route the Gateways that it goes through.
    gateways: HashMap<Place, BTreeSet<Place>>,
    /// Policies by what they cover of the sources, with their kinds and names.
    policies: Vec<(Extent, String)>,
}

/// The status of every resource that has one. Faults that a condition tells are marked.
pub(super) fn of(
    all: &Resources,
    passages: &[Passage],
    (faults, warnings): (&[Said], &[Said]),
) -> Vec<Observed> {
    let mut scene = Scene {
        all,
        faults,
        warnings,
        passages: HashMap::new(),
        gateways: HashMap::new(),
        policies: policies::names(all),
    };
    let refused = routes::refused(&scene);
    for passage in passages.iter().filter(|passage| !refused.contains(&passage.route)) {
        scene.passages.entry(passage.gateway).or_default().push(passage);
        scene.gateways.entry(passage.route).or_default().insert(passage.gateway);
    }
    let gateways =
        all.gateways.iter().map(|one| observed("Gateway", &one.meta, gateways::status(&scene, one)));
    let routes = all.routes.iter().map(|one| observed("HTTPRoute", &one.meta, routes::status(&scene, one)));
    let backends =
        all.all_backends().map(|(api, one)| observed(api.kind(), &one.meta, backend(&scene, &one.meta)));
    let policies = policies::all(&scene).into_iter().chain(backendtls::all(&scene));
    gateways.chain(routes).chain(backends).chain(policies).collect()
}

fn observed(kind: &'static str, meta: &Meta, status: Status) -> Observed {
    let (name, namespace) = (meta.name.value.clone(), meta.namespace.clone());
    let metadata = Metadata { name, namespace, generation: meta.generation };
    Observed { api_version: api_version(kind), kind, metadata, status }
}

/// `Accepted`, and `Invalid` if it is not (kgateway, agentgateway).
fn backend(scene: &Scene<'_>, meta: &Meta) -> Status {
    let observer = Observer { generation: meta.generation };
    let said = scene.said_in(meta.extent);
    let accepted = match said.is_empty() {
        true => observer.yes("Accepted", "Accepted"),
        false => observer.no("Accepted", "Invalid", &said),
    };
    Status::Backend { conditions: vec![accepted] }
}

impl<'a> Scene<'a> {
    /// What stands there, or is about something there: faults, and warnings that have a reason of their own; by place.
    fn said_in(&self, extent: Extent) -> Vec<&'a Said> {
        let warnings = self.warnings.iter().filter(|warning| warning.reason != Reason::Invalid);
        let all = self.faults.iter().chain(warnings);
        let mut found: Vec<&Said> = all.filter(|said| concerns(extent, said)).collect();
        found.sort_by_key(|said| said.at);
        found
    }
}

fn concerns(extent: Extent, said: &Said) -> bool {
    extent.holds(said.at) || said.about.iter().any(|at| extent.holds(*at))
}

/// Writes conditions of one resource.
#[derive(Clone, Copy)]
struct Observer {
    generation: Option<u64>,
}

impl Observer {
    fn write(self, kind: &'static str, status: Truth, reason: &'static str, message: String) -> Condition {
        Condition { kind, status, reason, message, observed_generation: self.generation }
    }

    fn yes(self, kind: &'static str, reason: &'static str) -> Condition {
        self.write(kind, Truth::True, reason, String::new())
    }

    /// It does not hold because of all of `said`.
    fn no(self, kind: &'static str, reason: &'static str, said: &[&Said]) -> Condition {
        self.write(kind, Truth::False, reason, message(said))
    }
}

/// All of `said`, a line for each, which is told thereby.
fn message(said: &[&Said]) -> String {
    let line = |said: &&Said| {
        said.is_told.set(true);
        said.diagnostic.to_string().replace("\n  help: ", "; ")
    };
    said.iter().map(line).collect::<Vec<String>>().join("\n")
}
