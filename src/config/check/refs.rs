//! What `backendRefs` refer to: Backends, and ports of Services of type ExternalName.

use super::World;
use super::backends::{Backends, Making};
use super::backendtls::{self, Stores};
use crate::config::diagnostic::{Located, Place, Reason, listing, quoted};
use crate::config::resources::backend::{self, Api};
use crate::config::resources::httproute::{Referent, ReferentKind, Rule};
use crate::config::resources::service::{Port, Service};
use crate::config::resources::settings::Origin;
use crate::config::resources::{KGATEWAY, Meta, Resource};
use crate::config::snapshot::{Backend, BackendKind};
use std::sync::Arc;

/// The index of the backend that a reference of `route` means. `None` is an invalid reference, which was reported: what
/// does not exist is a fault, since the file is at fault; what may not be used is a warning that says `then`, for the rest
/// of the configuration is in force all the same.
pub(super) fn backend(
    world: &World<'_>,
    backends: &Backends,
    route: &Meta,
    given: &Referent,
    then: &str,
) -> Option<u32> {
    let namespace = given.to.namespace.as_deref().unwrap_or(&route.namespace);
    let wanted = (namespace, given.to.name.value.as_str());
    let at = given.to.at();
    let (group, kind, service) = match given.kind {
        ReferentKind::Service(_) => (SERVICES, "Service", Some(service(world, wanted, at)?)),
        // One that was compiled is there: all of them are looked through only for a fault.
        ReferentKind::Backend(api) => {
            if backends.index(api.group(), wanted).is_none() {
                find(world, api, wanted, at)?;
            }
            (api.group(), api.kind(), None)
        }
    };
    if namespace != route.namespace
        && !world.is_granted(("HTTPRoute", &route.namespace), (group, kind), wanted)
    {
        let message = format!(
            "HTTPRoute {route} may not refer to {kind} {namespace}/{}: namespace {namespace:?} has no \
             ReferenceGrant for it, so {then}",
            wanted.1
        );
        world.faults.warn(at.because(Reason::NotPermitted), message);
        return None;
    }
    match (service, given.kind) {
        (Some(service), ReferentKind::Service(port)) => of_service(world, backends, service, port, then),
        _ => backends.index(group, wanted),
    }
}

/// The group of Services.
const SERVICES: &str = "";

/// The backend of an API and a name, or `None` after a fault, which knows one of the other API.
pub(super) fn find<'a>(
    world: &World<'a>,
    api: Api,
    wanted: (&str, &str),
    at: Place,
) -> Option<&'a Resource<backend::Backend>> {
    let all = |api| world.all.backends_of(api);
    let there = |api: Api| world.all.find(all(api), api.kind(), wanted);
    if let (None, Some(_)) = (there(api), there(api.other())) {
        let (kind, other) = (api.kind(), api.other());
        let message = format!("{kind} {} does not exist in namespace {}", quoted(wanted.1), quoted(wanted.0));
        let help =
            format!("it is of the other kind: write group: {} and kind: {}", other.group(), other.kind());
        world.faults.fault_with_help(at.because(Reason::NotFound), message, help);
        return None;
    }
    world.find(all(api), api.kind(), wanted, at)
}

/// The backends that a rule of `route` leads to and that are models, each once: `namespace/name`.
pub(super) fn models(backends: &Backends, route: &Meta, rule: &Rule) -> Vec<String> {
    let mut names = Vec::new();
    for Referent { to, kind } in rule.backends.iter().map(|given| &given.backend) {
        let ReferentKind::Backend(api) = kind else { continue };
        let wanted = (to.namespace.as_deref().unwrap_or(&route.namespace), to.name.value.as_str());
        let index = backends.index(api.group(), wanted);
        let found = index.and_then(|index| backends.list.get(index as usize));
        let resource = found.filter(|found| found.ai().is_some());
        let name = resource.map(|found| found.resource.to_string());
        names.extend(name.filter(|name| !names.contains(name)));
    }
    names
}

/// The Service of that name, if it is one that says where it is.
fn service<'a>(
    world: &World<'a>,
    (namespace, name): (&str, &str),
    at: Place,
) -> Option<&'a Resource<Service>> {
    let found = world.all.find(&world.all.services, "Service", (namespace, name));
    let is_external = |found: &&Resource<Service>| {
        found.spec.as_ref().is_none_or(|spec| spec.external.is_some()) // one with a fault has been told of
    };
    let external = found.filter(is_external);
    if external.is_none() && (found.is_some() || world.all.unread.is_empty()) {
        let why = match found {
            Some(_) => "is not of type ExternalName",
            None => "is in no file",
        };
        let message = format!(
            "Service {namespace}/{name} {why}, and there is no cluster that would know its endpoints"
        );
        let help = format!(
            "refer to a Backend of type Static with its host and port (group: {KGATEWAY}, kind: Backend), or write the \
             Service with type: ExternalName, externalName and ports"
        );
        world.faults.fault_with_help(at.because(Reason::NotFound), message, help);
    }
    external
}

fn of_service(
    world: &World<'_>,
    backends: &Backends,
    service: &Resource<Service>,
    port: Located<u16>,
    then: &str,
) -> Option<u32> {
    let meta = &service.meta;
    let ports = &service.spec.as_ref()?.ports;
    let Some(known) = ports.iter().find(|known| known.port == port.value) else {
        let numbers: Vec<String> = ports.iter().map(|known| known.port.to_string()).collect();
        let message = format!("Service {meta} has no port {}", port.value);
        let help = format!("its ports are: {}", listing(numbers.iter().map(String::as_str)));
        world.faults.fault_with_help(port.at.because(Reason::NotFound), message, help);
        return None;
    };
    if let Err(protocol) = tls(known) {
        let message = format!(
            "Service {meta} speaks {protocol} on port {}, which is not spoken here, so {then}",
            port.value
        );
        world.faults.warn(port.at.because(Reason::UnsupportedProtocol), message);
        return None;
    }
    backends.index(SERVICES, (&meta.namespace, &port_name(&meta.name.value, port.value)))
}

/// Adds a plain host for each port of each Service of type ExternalName.
pub(super) fn services(world: &World<'_>, stores: Stores<'_>, making: &mut Making<'_>) {
    for resource in &world.all.services {
        let Some(Service { external: Some(host), ports }) = &resource.spec else { continue };
        for port in ports {
            let Ok(tls) = tls(port) else { continue };
            let policy = backendtls::of_service(world, resource, port.name.as_deref());
            let own =
                policy.map(|(meta, tls)| backendtls::compile(world, stores, ("BackendTLSPolicy", meta), tls));
            // Without what the policy wants there is no way to it at all.
            let Some(own) = backendtls::all_or_nothing(own) else { continue };
            let name = port_name(&resource.meta.name.value, port.port);
            let shown: Arc<str> = format!("{}/{name}", resource.meta.namespace).into();
            let origin = Origin { host: host.value.clone(), port: port.port, tls: tls || own.is_some() };
            making.warn_of_plain(world, host.at, (&origin, own.as_ref()));
            let index = making.push(shown.clone(), &shown, BackendKind::Static, (origin, own));
            making.backends.name(SERVICES, (&resource.meta.namespace, &name), index);
        }
    }
}

/// How a port of a Service is called among Backends, whose names have no colon.
fn port_name(service: &str, port: u16) -> String {
    format!("{service}:{port}")
}

/// Whether a port is spoken to over TLS; without a word as with a Backend, by its number. The error is a protocol that is
/// not spoken here (Gateway API: "a Kubernetes Service that has an incompatible appProtocol").
fn tls(port: &Port) -> Result<bool, &str> {
    match port.protocol.as_ref().map(|protocol| protocol.value.as_str()) {
        None | Some("http") => Ok(port.port == 443),
        Some("https") => Ok(true),
        Some(other) => Err(other),
    }
}

/// The plain host that a policy refers to, in its own namespace; `None` after a fault.
pub(super) fn plain_host<'b>(
    world: &World<'_>,
    backends: &'b Backends,
    policy: &Meta,
    referent: &Referent,
) -> Option<&'b Backend> {
    let ReferentKind::Backend(api) = referent.kind else { return None }; // refused where it was read
    let reference = &referent.to;
    let (namespace, name) = (policy.namespace.as_str(), reference.name.value.as_str());
    if let Some(other) = reference.namespace.as_deref().filter(|other| *other != namespace) {
        let message = format!("a policy may not refer to a Backend of another namespace ({})", quoted(other));
        let help = format!("write a Backend of type Static into namespace {namespace:?}");
        world.faults.fault_with_help(reference.at().because(Reason::NotPermitted), message, help);
        return None;
    }
    find(world, api, (namespace, name), reference.at())?;
    let backend = backends.list.get(backends.index(api.group(), (namespace, name))? as usize)?;
    if !matches!(backend.kind, BackendKind::Static) {
        let message = format!("{} {} is of type AI, and a plain host is wanted", api.kind(), quoted(name));
        let help = match api {
            Api::Kgateway => "name a Backend of type Static",
            Api::Agentgateway => "name an AgentgatewayBackend with static",
        };
        world.faults.fault_with_help(reference.at().because(Reason::InvalidKind), message, help);
        return None;
    }
    Some(backend)
}
