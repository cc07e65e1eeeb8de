use super::World;
use super::environment::Secrets;
use crate::config::certificate::{self, Certificate};
use crate::config::diagnostic::{Located, Place, Reason, listing};
use crate::config::resources::gateway::Listener;
use crate::config::resources::secret::{Secret, SecretKind, TLS_CERTIFICATE, TLS_KEY};
use crate::config::resources::tlsoptions::Options;
use crate::config::resources::{Meta, Reference, Resource};
use crate::config::spoken::{Spoken, Version};
use std::collections::HashMap;
use std::sync::Arc;

/// The certificates of all Secrets that hold one.
pub(super) struct Certificates {
    /// By namespace and name; `None` for one that had a fault.
    known: HashMap<(String, String), Option<Arc<Certificate>>>,
}

/// Reads the certificate of every Secret of type `kubernetes.io/tls`, referred to or not.
pub(super) fn compile(world: &World<'_>, secrets: &Secrets) -> Certificates {
    let mut known = HashMap::new();
    for secret in &world.all.secrets {
        let Some(spec) = secret.spec.as_ref().filter(|spec| spec.kind == SecretKind::Tls) else { continue };
        let name = (secret.meta.namespace.clone(), secret.meta.name.value.clone());
        known.insert(name, one(world, secrets, &secret.meta, spec).map(Arc::new));
    }
    Certificates { known }
}

fn one(world: &World<'_>, secrets: &Secrets, meta: &Meta, spec: &Secret) -> Option<Certificate> {
    let value = |key: &str| {
        let found = spec.entries.iter().find(|entry| entry.key == key);
        if found.is_none() {
            let keys = spec.entries.iter().map(|entry| entry.key.as_str());
            let message = format!("Secret {meta} of type kubernetes.io/tls has no key {key:?}");
            world.faults.fault_with_help(meta.name.at, message, format!("it has: {}", listing(keys)));
        }
        let bytes = secrets.value(&meta.namespace, &meta.name.value, key).flatten();
        found.map(|entry| entry.value.at).zip(bytes)
    };
    let ((chain_at, chain), (key_at, key)) = match (value(TLS_CERTIFICATE), value(TLS_KEY)) {
        (Some(chain), Some(key)) => (chain, key),
        _ => return None,
    };
    let refused = |at, key: &str, why: &str, help: &str| {
        world.faults.fault_with_help(at, format!("{key:?} {why}"), help);
    };
    let chain = certificate::chain(chain).map_err(|why| refused(chain_at, TLS_CERTIFICATE, why, CHAIN_HELP));
    let key = certificate::key(key).map_err(|why| refused(key_at, TLS_KEY, why, KEY_HELP));
    let made = Certificate::new(meta.to_string().into(), chain.ok()?, key.ok()?);
    made.map_err(|why| refused(key_at, TLS_KEY, why, KEY_HELP)).ok()
}

const CHAIN_HELP: &str =
    "write the server's own certificate and then those above it, each from -----BEGIN CERTIFICATE----- on";
const KEY_HELP: &str = "write the key of the server's own certificate, from -----BEGIN PRIVATE KEY----- on: RSA, ECDSA P-256 or \
                        P-384, or Ed25519, in PKCS #8, PKCS #1 or SEC1, not encrypted";

impl Certificates {
    /// What an HTTPS listener shows; faults about references, a warning when clients will not take it.
    pub(super) fn of_listener(
        &self,
        world: &World<'_>,
        gateway: &Meta,
        listener: &Listener,
    ) -> Vec<Arc<Certificate>> {
        let Some(tls) = &listener.tls else { return Vec::new() };
        let found = tls.certificates.iter().map(|reference| self.find(world, gateway, reference));
        let found: Vec<Option<Arc<Certificate>>> = found.collect();
        let is_whole = found.iter().all(Option::is_some) && !tls.is_partial;
        let certificates: Vec<Arc<Certificate>> = found.into_iter().flatten().collect();
        if let (true, Some(hostname)) = (is_whole, &listener.hostname) {
            // A wildcard stands for any name below it; a certificate's covers one label alone.
            let probe = hostname.value.replace('*', "any");
            if !certificates.iter().any(|certificate| certificate.is_for(&probe)) {
                let names = certificates.iter().map(|certificate| &*certificate.name);
                let message =
                    format!("no certificate of the listener is for {:?}: {}", hostname.value, listing(names));
                let help = "clients that verify certificates will refuse it";
                world.faults.warn_with_help(hostname.at, message, help);
            }
        }
        certificates
    }

    /// Which TLS an HTTPS listener speaks, where its options or a policy say so; part by part, what the policy says goes
    /// before the options, as in agentgateway.
    pub(super) fn spoken(
        &self,
        world: &World<'_>,
        listener: &Listener,
        policy: Option<&Options>,
    ) -> Option<Arc<Spoken>> {
        let own = &listener.tls.as_ref()?.options;
        let first = policy.unwrap_or(own);
        let min = first.min.as_ref().or(own.min.as_ref()).map_or(Version::Tls12, |min| min.value);
        let max = first.max.as_ref().or(own.max.as_ref()).map_or(Version::Tls13, |max| max.value);
        let suites = if first.suites.is_empty() { &own.suites } else { &first.suites };
        let groups = if first.groups.is_empty() { &own.groups } else { &first.groups };
        let is_usual = suites.is_empty() && groups.is_empty();
        let at = first.at.or(own.at).unwrap_or(listener.at);
        if min > max {
            // Where one of the two says so itself, it was told there.
            if policy.is_some_and(|policy| policy.min.is_none() || policy.max.is_none()) {
                let message = format!("no version is left to be spoken by listener {}", listener.name.value);
                world.faults.fault_with_help(at, message, "its own tls.options say the other one");
            }
            return None;
        }
        if (min, max) == (Version::Tls12, Version::Tls13) && is_usual {
            return None;
        }
        let spoken = Spoken::new((min, max), suites, groups);
        spoken.map_err(|why| world.faults.fault(at, why)).ok().map(Arc::new)
    }

    /// What a resource shows by a Secret of its own namespace; `None` after a fault.
    pub(super) fn named(
        &self,
        world: &World<'_>,
        meta: &Meta,
        name: &Located<String>,
    ) -> Option<Arc<Certificate>> {
        let wanted = (meta.namespace.as_str(), name.value.as_str());
        let secret = world.find(&world.all.secrets, "Secret", wanted, name.at)?;
        self.of(world, secret, name.at)
    }

    /// What a Gateway refers to; `None` after a fault.
    pub(super) fn find(
        &self,
        world: &World<'_>,
        gateway: &Meta,
        reference: &Reference,
    ) -> Option<Arc<Certificate>> {
        let namespace = reference.namespace.as_deref().unwrap_or(&gateway.namespace);
        let (name, at) = (reference.name.value.as_str(), reference.at());
        let secret = world.find(&world.all.secrets, "Secret", (namespace, name), at)?;
        if !world.may_refer(("Gateway", gateway), "Secret", (namespace, name), at) {
            return None;
        }
        self.of(world, secret, at)
    }

    fn of(&self, world: &World<'_>, secret: &Resource<Secret>, at: Place) -> Option<Arc<Certificate>> {
        let key = (secret.meta.namespace.clone(), secret.meta.name.value.clone());
        match self.known.get(&key) {
            Some(certificate) => certificate.clone(),
            None => {
                refuse_opaque(world, secret, at);
                None
            }
        }
    }
}

/// A Secret that could not be read was reported already.
fn refuse_opaque(world: &World<'_>, secret: &Resource<Secret>, at: Place) {
    if secret.spec.is_some() {
        let message = format!("Secret {} is not of type kubernetes.io/tls", secret.meta);
        let help = format!("write that type, and its keys {TLS_CERTIFICATE:?} and {TLS_KEY:?}");
        let at = at.because(Reason::InvalidCertificate);
        world.faults.fault_with_help(at, message, help);
    }
}
