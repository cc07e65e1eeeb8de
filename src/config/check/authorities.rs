//! Authorities in ConfigMaps, and what HTTPS listeners ask of the certificates of clients.

use super::World;
use crate::config::certificate;
use crate::config::diagnostic::{Reason, listing};
use crate::config::resources::authorities::{CA_KEY, Frontend, Validation};
use crate::config::resources::configmap::ConfigMap;
use crate::config::resources::gateway::Listener;
use crate::config::resources::secret::SecretText;
use crate::config::resources::{Meta, Reference, Resource};
use crate::config::trust::{Authority, ClientCheck, Trust};
use std::collections::HashMap;
use std::sync::Arc;

/// The authorities of all ConfigMaps that hold some.
pub(super) struct Authorities {
    /// By namespace and name; `None` for one that had a fault.
    known: HashMap<(String, String), Option<Arc<Authority>>>,
}

/// Reads the key `ca.crt` of every ConfigMap that has it, referred to or not.
pub(super) fn compile(world: &World<'_>) -> Authorities {
    let mut known = HashMap::new();
    for map in &world.all.config_maps {
        let entries = map.spec.iter().flat_map(|spec| &spec.entries);
        let Some(entry) = entries.into_iter().find(|entry| entry.key == CA_KEY) else { continue };
        let SecretText::Bytes(text) = &entry.value.value else { continue };
        let chain = certificate::chain(text).map_err(|why| {
            let message = format!("{CA_KEY:?} {why}");
            world.faults.fault_with_help(
                entry.value.at.because(Reason::InvalidCertificate),
                message,
                CA_HELP,
            );
        });
        let name = (map.meta.namespace.clone(), map.meta.name.value.clone());
        let told = format!("ConfigMap {}", map.meta).into();
        known.insert(name, chain.ok().map(|chain| Arc::new(Authority { name: told, chain })));
    }
    Authorities { known }
}

const CA_HELP: &str = "write the certificates of authorities, each from -----BEGIN CERTIFICATE----- on";

impl Authorities {
    /// Those that a resource of Gateway API refers to; `None` after a fault.
    pub(super) fn trust(
        &self,
        world: &World<'_>,
        (kind, meta): (&str, &Meta),
        references: &[Reference],
    ) -> Option<Trust> {
        let found: Vec<_> = references.iter().map(|one| self.find(world, (kind, meta), one)).collect();
        let all: Option<Vec<Arc<Authority>>> = found.into_iter().collect();
        let trust = Trust::in_all(&all?).map_err(|why| {
            let at = references.first().map(Reference::at);
            let at = at.unwrap_or(meta.name.at).because(Reason::InvalidCertificate);
            world.faults.fault_with_help(at, format!("{CA_KEY:?} {why}"), CA_HELP);
        });
        trust.ok()
    }

    fn find(
        &self,
        world: &World<'_>,
        (kind, meta): (&str, &Meta),
        reference: &Reference,
    ) -> Option<Arc<Authority>> {
        let namespace = reference.namespace.as_deref().unwrap_or(&meta.namespace);
        let (name, at) = (reference.name.value.as_str(), reference.at());
        let map = world.find(&world.all.config_maps, "ConfigMap", (namespace, name), at)?;
        if !world.may_refer((kind, meta), "ConfigMap", (namespace, name), at) {
            return None;
        }
        match self.known.get(&(namespace.to_owned(), name.to_owned())) {
            Some(authority) => authority.clone(),
            None => {
                refuse_keyless(world, map, reference);
                None
            }
        }
    }

    /// What an HTTPS listener asks of clients: its own validation, or else the Gateway's for its port.
    pub(super) fn of_listener(
        &self,
        world: &World<'_>,
        gateway: &Meta,
        (listener, frontend): (&Listener, &Frontend),
    ) -> Option<Arc<ClientCheck>> {
        let own = listener.tls.as_ref().and_then(|tls| tls.validation.as_ref());
        let Validation { authorities, fallback, .. } =
            own.or_else(|| frontend.of_port(listener.port.value))?;
        if authorities.is_empty() {
            return None; // which was reported
        }
        let trust = self.trust(world, ("Gateway", gateway), authorities)?;
        if let Some(at) = fallback {
            let message = "clients are let in without a valid certificate: AllowInsecureFallback";
            world.faults.warn_with_help(*at, message, "write AllowValidOnly to refuse them in the handshake");
        }
        let check = ClientCheck::new(trust, fallback.is_none()).map_err(|why| {
            let at = authorities.first().map_or(listener.at, Reference::at);
            let at = at.because(Reason::InvalidCertificate);
            world.faults.fault_with_help(at, format!("{CA_KEY:?} {why}"), CA_HELP);
        });
        check.ok().map(Arc::new)
    }
}

/// One that could not be read was reported already.
fn refuse_keyless(world: &World<'_>, map: &Resource<ConfigMap>, reference: &Reference) {
    if let Some(spec) = &map.spec {
        let message = format!("ConfigMap {} has no key {CA_KEY:?}", map.meta);
        let help = format!("it has: {}", listing(spec.entries.iter().map(|entry| entry.key.as_str())));
        world.faults.fault_with_help(reference.at().because(Reason::InvalidCertificate), message, help);
    }
}

/// Warns of what a Gateway asks of clients and no listener does.
pub(super) fn warn_of_unused(world: &World<'_>) {
    for gateway in &world.all.gateways {
        let Some(spec) = gateway.spec.as_ref().filter(|spec| !spec.is_partial) else { continue };
        let is_secure = |port: Option<u16>| {
            let mut secure = spec.listeners.iter().filter(|listener| listener.tls.is_some());
            secure.any(|listener| port.is_none_or(|port| listener.port.value == port))
        };
        for (port, _) in spec.frontend.per_port.iter().filter(|(port, _)| !is_secure(Some(port.value))) {
            let message = format!("no HTTPS listener of the Gateway has port {}", port.value);
            world.faults.warn(port.at, message + ": nothing is asked of clients there");
        }
        if let (Some(validation), false) = (&spec.frontend.default, is_secure(None)) {
            let message = "the Gateway has no HTTPS listener: clients are asked for no certificate";
            world.faults.warn(validation.extent.from, message);
        }
    }
}
