//! A configuration as a worker serves it, with what is known of its backends.

use super::handshake::TlsServer;
use super::tls::TlsClient;
use super::upstream::Pool;
use crate::access::jwt::{KeyRing, Keys};
use crate::config::{Backend, BackendKind, Credential, Fetched, JwksOrigin, JwksSource, Snapshot, Target};
use crate::llm::auth::aws::Signer;
use crate::mail::InForce;
use crate::route::Priority;
use crate::route::failover::Health;
use rustls::ServerConfig;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// A configuration as this worker serves it. An exchange keeps the one that it began with.
pub(super) struct Serving {
    pub(super) in_force: Arc<InForce>,
    pub(super) pools: Vec<Rc<Pool>>,
    /// How each backend of the snapshot does.
    pub(super) health: RefCell<Vec<Health>>,
    /// By backend of the snapshot, of those whose requests are signed, what signs them.
    pub(super) signers: RefCell<Vec<Option<Signer>>>,
    /// By backend of the snapshot, of those whose credential is fetched, the last that came. Shared in this thread alone.
    pub(super) fetched: RefCell<Vec<Option<Rc<Fetched>>>>,
    /// Whether a route of it is critical.
    pub(super) has_critical: bool,
    /// What validates the tokens of callers.
    pub(super) key_ring: KeyRing,
    /// By listener of the snapshot how each of its HTTPS listeners shakes hands.
    pub(super) https: Vec<Vec<Arc<ServerConfig>>>,
}

impl Serving {
    /// What is known of targets and backends that were served `before` stays known.
    pub(super) fn of(
        in_force: Arc<InForce>,
        before: Option<&Serving>,
        (tls, tls_server): (&TlsClient, &TlsServer),
    ) -> Serving {
        let pool_for = |target: &Target| {
            let known = before.and_then(|before| before.pools.iter().find(|pool| pool.target() == target));
            known.cloned().unwrap_or_else(|| Pool::new(target.clone(), tls.to(target)))
        };
        let pools = in_force.snapshot.targets.iter().map(pool_for).collect();
        let health = |backend| health_of(&in_force.snapshot, backend, before);
        let health = in_force.snapshot.backends.iter().map(health).collect();
        let signers = in_force.snapshot.backends.iter().map(signer_of).collect();
        let https = in_force.snapshot.listeners.iter().map(|listener| tls_server.of_port(listener)).collect();
        let fetched = in_force.snapshot.backends.iter().map(|backend| fetched_for(backend, before)).collect();
        let keys = in_force.snapshot.jwks.iter().map(|source| keys_of(source, before)).collect();
        let mut key_ring = KeyRing::new(keys, in_force.key_wishes.clone());
        if let Some(before) = before {
            key_ring = key_ring.sharing(before.key_ring.verdicts().clone());
        }
        let (health, signers, fetched) = (RefCell::new(health), RefCell::new(signers), RefCell::new(fetched));
        let has_critical = in_force.snapshot.rules.iter().any(|rule| rule.priority == Priority::Critical);
        Serving { pools, health, signers, fetched, key_ring, https, has_critical, in_force }
    }

    /// The credential of a backend that has it fetched.
    pub(super) fn fetched(&self, backend: u32) -> Option<Rc<Fetched>> {
        self.fetched.borrow().get(backend as usize).cloned().flatten()
    }
}

/// What was fetched from a backend's origin before a reload.
fn fetched_for(backend: &Backend, before: Option<&Serving>) -> Option<Rc<Fetched>> {
    let before = before?;
    let id = backend.origin()?.id;
    let is_same = |other: &Backend| other.origin().is_some_and(|origin| origin.id == id);
    let place = before.in_force.snapshot.backends.iter().position(is_same)?;
    before.fetched(u32::try_from(place).ok()?)
}

/// The keys of a source that are written down, or that had come before a reload.
fn keys_of(source: &JwksSource, before: Option<&Serving>) -> Option<Arc<Keys>> {
    if let JwksOrigin::Inline(keys) = &source.origin {
        return Some(keys.clone());
    }
    let before = before?;
    let sources = &before.in_force.snapshot.jwks;
    before.key_ring.keys(sources.iter().position(|other| other.name == source.name)?)
}

fn signer_of(backend: &Backend) -> Option<Signer> {
    match &backend.kind {
        BackendKind::Ai { credential: Credential::Aws { region, .. }, .. } => {
            Some(Signer::new(region, "bedrock"))
        }
        _ => None,
    }
}

/// How a backend did, when it was served under its name before: at its target, if several had the name, or at another one.
fn health_of(now: &Snapshot, backend: &Backend, before: Option<&Serving>) -> Health {
    let known = before.and_then(|before| {
        let then = &before.in_force.snapshot;
        let target = now.targets.get(backend.target as usize);
        let is_named = |other: &Backend| other.name == backend.name;
        let is_same = |other: &Backend| is_named(other) && then.targets.get(other.target as usize) == target;
        let place =
            then.backends.iter().position(is_same).or_else(|| then.backends.iter().position(is_named))?;
        before.health.borrow().get(place).copied()
    });
    known.map_or_else(Health::default, Health::carried_over)
}
