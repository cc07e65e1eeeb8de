//! Resources as their users typed them: one file per kind, every value with its place, nothing resolved.

pub(crate) mod access;
pub(crate) mod agentgatewaypolicy;
pub(crate) mod ai;
pub(crate) mod authorities;
pub(crate) mod backend;
pub(crate) mod backendtlspolicy;
pub(crate) mod configmap;
pub(crate) mod cors;
pub(crate) mod directresponse;
pub(crate) mod filters;
pub(crate) mod gateway;
pub(crate) mod grant;
pub(crate) mod handling;
pub(crate) mod httproute;
pub(crate) mod limitpolicy;
pub(crate) mod listenertls;
mod meta;
pub(crate) mod namespace;
pub(crate) mod prices;
pub(crate) mod secret;
pub(crate) mod service;
pub(crate) mod settings;
pub(crate) mod target;
pub(crate) mod tlsoptions;
pub(crate) mod trafficpolicy;

pub(crate) use meta::{Meta, Reference};

use super::diagnostic::{Faults, Place, listing, nearest, quoted};
use super::reader::{Cursor, Fields};
use super::yaml::Node;
use crate::route::filters::DirectResponse;
use std::collections::HashMap;

/// The group of Gateway, HTTPRoute and ReferenceGrant.
pub(crate) const GATEWAY_API: &str = "gateway.networking.k8s.io";
/// The group of Backend and TrafficPolicy.
pub(crate) const KGATEWAY: &str = "gateway.kgateway.dev";
/// The group of AgentgatewayBackend and AgentgatewayPolicy.
pub(crate) const AGENTGATEWAY: &str = "agentgateway.dev";

/// A resource: who it is, and what it says unless that could not be read.
pub(crate) struct Resource<T> {
    pub(crate) meta: Meta,
    pub(crate) spec: Option<T>,
}

/// Everything that was read, by kind, in the order of the sources.
#[derive(Default)]
pub(crate) struct Resources {
    pub(crate) secrets: Vec<Resource<secret::Secret>>,
    pub(crate) config_maps: Vec<Resource<configmap::ConfigMap>>,
    pub(crate) gateways: Vec<Resource<gateway::Gateway>>,
    pub(crate) routes: Vec<Resource<httproute::HttpRoute>>,
    pub(crate) backends: Vec<Resource<backend::Backend>>,
    pub(crate) agentgateway_backends: Vec<Resource<backend::Backend>>,
    pub(crate) policies: Vec<Resource<trafficpolicy::TrafficPolicy>>,
    pub(crate) agentgateway_policies: Vec<Resource<agentgatewaypolicy::AgentgatewayPolicy>>,
    pub(crate) limit_policies: Vec<Resource<limitpolicy::LimitPolicy>>,
    pub(crate) grants: Vec<Resource<grant::ReferenceGrant>>,
    pub(crate) settings: Vec<Resource<settings::SettingsSpec>>,
    pub(crate) prices: Vec<Resource<prices::PriceList>>,
    pub(crate) direct_responses: Vec<Resource<DirectResponse>>,
    pub(crate) services: Vec<Resource<service::Service>>,
    pub(crate) backend_tls_policies: Vec<Resource<backendtlspolicy::BackendTlsPolicy>>,
    /// Of whose labels alone something depends.
    pub(crate) namespaces: Vec<Resource<()>>,
    /// Documents that could not be read; what they hold is unknown.
    pub(crate) unread: Vec<Place>,
    /// Where the name of each stands, and its place in the list of its kind.
    seen: HashMap<(Kind, String, String), (Place, usize)>,
}

/// The kinds that are understood.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Secret,
    ConfigMap,
    Gateway,
    HttpRoute,
    Backend,
    AgentgatewayBackend,
    TrafficPolicy,
    AgentgatewayPolicy,
    LimitPolicy,
    ReferenceGrant,
    Settings,
    Prices,
    DirectResponse,
    Service,
    BackendTlsPolicy,
    Namespace,
    List,
}

/// Every kind by name, with the API versions under which it is understood.
const KINDS: [(&str, Kind, &[&str]); 17] = [
    ("Secret", Kind::Secret, &["v1"]),
    ("ConfigMap", Kind::ConfigMap, &["v1"]),
    ("Gateway", Kind::Gateway, &["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]),
    ("HTTPRoute", Kind::HttpRoute, &["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"]),
    ("Backend", Kind::Backend, &["gateway.kgateway.dev/v1alpha1"]),
    ("AgentgatewayBackend", Kind::AgentgatewayBackend, &["agentgateway.dev/v1alpha1"]),
    ("TrafficPolicy", Kind::TrafficPolicy, &["gateway.kgateway.dev/v1alpha1"]),
    ("AgentgatewayPolicy", Kind::AgentgatewayPolicy, &["agentgateway.dev/v1alpha1"]),
    ("LimitPolicy", Kind::LimitPolicy, &["tollgate.dev/v1alpha1"]),
    (
        "ReferenceGrant",
        Kind::ReferenceGrant,
        &["gateway.networking.k8s.io/v1beta1", "gateway.networking.k8s.io/v1"],
    ),
    ("Settings", Kind::Settings, &["tollgate.dev/v1alpha1"]),
    ("Prices", Kind::Prices, &["tollgate.dev/v1alpha1"]),
    ("DirectResponse", Kind::DirectResponse, &["gateway.kgateway.dev/v1alpha1"]),
    ("Service", Kind::Service, &["v1"]),
    (
        "BackendTLSPolicy",
        Kind::BackendTlsPolicy,
        &["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha3"],
    ),
    ("Namespace", Kind::Namespace, &["v1"]),
    ("List", Kind::List, &["v1"]),
];

/// Kinds that others know and that mean something which is not done here, with what to do instead.
const FOREIGN: [(&str, &str); 11] = [
    ("GRPCRoute", "only HTTP/1.1 is spoken here, which gRPC cannot be carried on; remove it"),
    ("TLSRoute", "TLS ends at this gateway: write a listener of HTTPS and an HTTPRoute"),
    ("TCPRoute", "only HTTP is served: write an HTTPRoute, or let another program pass the connection"),
    ("UDPRoute", "only HTTP is served; let another program pass the packets"),
    ("ListenerSet", "write its listeners into the Gateway"),
    ("XListenerSet", "write its listeners into the Gateway"),
    (
        "EndpointSlice",
        "there is no cluster: write a Backend of type Static with the endpoint's host and port",
    ),
    ("Endpoints", "there is no cluster: write a Backend of type Static with the endpoint's host and port"),
    (
        "AgentgatewayModel",
        "write an AgentgatewayBackend with its provider, and an HTTPRoute that leads there",
    ),
    (
        "AgentgatewayParameters",
        "nothing is deployed here: write a Settings resource of tollgate.dev; remove it",
    ),
    ("GatewayClass", "there is one class of Gateway, this program; remove it"),
];

/// The most items of a `kind: List`.
const LIST_MAX: usize = 10_000;

impl Resources {
    /// The backends of one API.
    pub(crate) fn backends_of(&self, api: backend::Api) -> &[Resource<backend::Backend>] {
        match api {
            backend::Api::Kgateway => &self.backends,
            backend::Api::Agentgateway => &self.agentgateway_backends,
        }
    }

    /// The backends of both.
    pub(crate) fn all_backends(&self) -> impl Iterator<Item = (backend::Api, &Resource<backend::Backend>)> {
        let of = |api| self.backends_of(api).iter().map(move |resource| (api, resource));
        of(backend::Api::Kgateway).chain(of(backend::Api::Agentgateway))
    }

    /// Reads one document, which is a resource or a list of them.
    pub(crate) fn read(&mut self, root: &Node, faults: &Faults) {
        self.read_resource(&Cursor::new(root, "document", faults), true);
    }

    fn read_resource(&mut self, cursor: &Cursor<'_>, lists_allowed: bool) {
        let known = cursor.fields(|fields| {
            let kind = kind(fields);
            match kind {
                Some(Kind::List) if lists_allowed => self.read_items(fields),
                Some(Kind::List) => {
                    fields.faults().fault(fields.at(), "a List must not stand in a List");
                    fields.give_up();
                }
                Some(kind) => self.read_kind(kind, fields),
                None => {}
            }
            Some(kind.is_some())
        });
        if known != Some(true) {
            self.unread.push(cursor.at());
        }
    }

    /// What `kubectl get -o yaml` writes around several resources.
    fn read_items(&mut self, fields: &mut Fields<'_>) {
        fields.pass_over(&["metadata"]);
        fields.list("items", LIST_MAX, |item| {
            self.read_resource(&item, false);
            Some(())
        });
    }

    fn read_kind(&mut self, kind: Kind, fields: &mut Fields<'_>) {
        let metadata = fields.need("metadata");
        let meta = metadata.and_then(|metadata| Meta::read(&metadata, fields.extent()));
        if meta.is_none() {
            self.unread.push(fields.at());
        }
        fields.pass_over(&["status"]); // what a cluster observed; `kubectl get -o yaml` writes it
        if kind == Kind::Secret {
            let spec = secret::read(fields);
            return self.add(kind, meta, spec, fields.faults(), |all| &mut all.secrets);
        }
        if kind == Kind::Namespace {
            fields.pass_over(&["spec"]); // what it keeps until it is deleted
            return self.add(kind, meta, Some(()), fields.faults(), |all| &mut all.namespaces);
        }
        if kind == Kind::ConfigMap {
            let spec = configmap::read(fields);
            return self.add(kind, meta, spec, fields.faults(), |all| &mut all.config_maps);
        }
        let (spec, faults) = (fields.need("spec"), fields.faults());
        match (kind, spec.as_ref()) {
            (Kind::Gateway, spec) => {
                self.add(kind, meta, spec.and_then(gateway::read), faults, |all| &mut all.gateways);
            }
            (Kind::HttpRoute, spec) => {
                self.add(kind, meta, spec.and_then(httproute::read), faults, |all| &mut all.routes);
            }
            (Kind::Backend, spec) => {
                self.add(kind, meta, spec.and_then(backend::read), faults, |all| &mut all.backends);
            }
            (Kind::AgentgatewayBackend, spec) => {
                let spec = spec.and_then(backend::agentgateway::read);
                self.add(kind, meta, spec, faults, |all| &mut all.agentgateway_backends);
            }
            (Kind::TrafficPolicy, spec) => {
                let spec = spec.and_then(trafficpolicy::read);
                self.add(kind, meta, spec, faults, |all| &mut all.policies);
            }
            (Kind::AgentgatewayPolicy, spec) => {
                let spec = spec.and_then(agentgatewaypolicy::read);
                self.add(kind, meta, spec, faults, |all| &mut all.agentgateway_policies);
            }
            (Kind::LimitPolicy, spec) => {
                let spec = spec.and_then(limitpolicy::read);
                self.add(kind, meta, spec, faults, |all| &mut all.limit_policies);
            }
            (Kind::ReferenceGrant, spec) => {
                self.add(kind, meta, spec.and_then(grant::read), faults, |all| &mut all.grants);
            }
            (Kind::Settings, spec) => {
                self.add(kind, meta, spec.and_then(settings::read), faults, |all| &mut all.settings);
            }
            (Kind::Prices, spec) => {
                self.add(kind, meta, spec.and_then(prices::read), faults, |all| &mut all.prices);
            }
            (Kind::DirectResponse, spec) => {
                let spec = spec.and_then(directresponse::read);
                self.add(kind, meta, spec, faults, |all| &mut all.direct_responses);
            }
            (Kind::Service, spec) => {
                self.add(kind, meta, spec.and_then(service::read), faults, |all| &mut all.services);
            }
            (Kind::BackendTlsPolicy, spec) => {
                let spec = spec.and_then(backendtlspolicy::read);
                self.add(kind, meta, spec, faults, |all| &mut all.backend_tls_policies);
            }
            (Kind::List | Kind::Secret | Kind::ConfigMap | Kind::Namespace, _) => {} // read above
        }
    }

    /// Keeps a resource, unless one of its kind and name is there already.
    fn add<T>(
        &mut self,
        kind: Kind,
        meta: Option<Meta>,
        spec: Option<T>,
        faults: &Faults,
        list: impl Fn(&mut Resources) -> &mut Vec<Resource<T>>,
    ) {
        let Some(meta) = meta else { return };
        let identity = (kind, meta.namespace.clone(), meta.name.value.clone());
        // Lists of prices are joined, and a copy of the built-in one keeps its name.
        if let Some((first, _)) = self.seen.get(&identity).filter(|_| kind != Kind::Prices) {
            let message = format!("{} {meta} is defined twice", kind.name());
            let first = faults.name(*first);
            return faults.fault_with_help(
                meta.name.at,
                message,
                format!("it stands at {first} already; keep one"),
            );
        }
        let (at, place) = (meta.name.at, list(self).len());
        list(self).push(Resource { meta, spec });
        self.seen.insert(identity, (at, place));
    }

    /// Of `list`, which is the one of this kind, the resource of that namespace and name. It is looked up: there may be as
    /// many that ask as there are resources.
    pub(crate) fn find<'r, T>(
        &self,
        list: &'r [Resource<T>],
        kind: &str,
        (namespace, name): (&str, &str),
    ) -> Option<&'r Resource<T>> {
        let (_, kind, _) = KINDS.iter().find(|(known, ..)| *known == kind)?;
        let (_, place) = self.seen.get(&(*kind, namespace.to_owned(), name.to_owned()))?;
        list.get(*place)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind, _)| *kind == self).map_or("resource", |(name, ..)| name)
    }
}

/// The API version of a kind, the newest that is understood.
pub(crate) fn api_version(kind: &str) -> &'static str {
    let row = KINDS.iter().find(|(known, ..)| *known == kind);
    row.and_then(|(.., versions)| versions.first()).copied().unwrap_or_default()
}

/// The kind of the resource, if it is one that is understood, in a version that is.
fn kind(fields: &mut Fields<'_>) -> Option<Kind> {
    let version = fields.need("apiVersion").and_then(|field| field.word());
    let name = fields.need("kind").and_then(|field| field.word());
    let (Some(version), Some(name)) = (version, name) else {
        fields.give_up();
        return None;
    };
    let Some((_, kind, versions)) = KINDS.iter().find(|(known, ..)| *known == name.value) else {
        fields.give_up();
        let known = || KINDS.iter().map(|(known, ..)| *known).filter(|known| *known != "List");
        let foreign = FOREIGN.iter().find(|(foreign, _)| *foreign == name.value);
        let help = match (foreign, nearest(&name.value, known())) {
            (Some((_, instead)), _) => (*instead).to_owned(),
            (None, Some(meant)) => format!("did you mean {meant:?}?"),
            (None, None) => format!("supported kinds are: {}", listing(known())),
        };
        let message =
            format!("the kind {} ({}) is not supported", quoted(&name.value), quoted(&version.value));
        fields.faults().fault_with_help(name.at, message, help);
        return None;
    };
    if !versions.contains(&version.value.as_str()) {
        let message = format!("{} is not supported as {}", name.value, quoted(&version.value));
        let help = format!("write apiVersion: {}", versions.first().unwrap_or(&""));
        fields.faults().fault_with_help(version.at, message, help);
    }
    Some(*kind)
}
