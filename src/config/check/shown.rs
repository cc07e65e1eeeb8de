//! What Gateways show to backends (`spec.tls.backend.clientCertificateRef`): a backend that is reached through such a Gateway by
//! TLS, and has no certificate to be shown of its own, is another one, with a target of its own. So it is known before any
//! request comes, and pools and sessions are as apart as those of any other two targets.

use super::World;
use super::backends::{Backends, index_of_last};
use super::certificates::Certificates;
use crate::config::backendtls::{BackendTls, Names};
use crate::config::certificate::Certificate;
use crate::config::diagnostic::Place;
use crate::config::snapshot::{Backend, BackendChoice, Rule, Target};
use std::collections::HashMap;
use std::sync::Arc;

/// What each Gateway shows, by the place of its name; nothing after a fault.
pub(super) fn by_gateway(world: &World<'_>, certificates: &Certificates) -> HashMap<Place, Arc<Certificate>> {
    let shown = world.all.gateways.iter().filter_map(|gateway| {
        let reference = gateway.spec.as_ref()?.shown.as_ref()?.reference.as_ref()?;
        Some((gateway.meta.name.at, certificates.find(world, &gateway.meta, reference)?))
    });
    shown.collect()
}

/// Backends that are shown something by Gateways.
#[derive(Default)]
pub(super) struct Shown {
    /// By the backend and the name of the certificate.
    known: HashMap<(u32, Arc<str>), u32>,
}

impl Shown {
    /// Leads a rule to backends that are shown `certificate`.
    pub(super) fn to(&mut self, backends: &mut Backends, rule: &mut Rule, certificate: &Arc<Certificate>) {
        let mut indices: Vec<&mut u32> = rule.filters.mirrors.iter_mut().map(|it| &mut it.target).collect();
        for choice in rule.backends.choices_mut() {
            let BackendChoice::Backend { index, filters } = choice else { continue };
            indices.push(index);
            indices.extend(filters.mirrors.iter_mut().map(|mirror| &mut mirror.target));
        }
        for index in indices {
            *index = self.backend(backends, *index, certificate);
        }
    }

    /// The backend that is as this one, and shown the certificate; itself where that changes nothing.
    fn backend(&mut self, backends: &mut Backends, index: u32, certificate: &Arc<Certificate>) -> u32 {
        let key = (index, certificate.name.clone());
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let groups =
            backends.list.get(index as usize).map(|backend| backend.groups.clone()).unwrap_or_default();
        let found = match groups.is_empty() {
            true => alone(backends, index, certificate),
            false => standing_for_all(backends, index, groups, certificate),
        };
        self.known.insert(key, found);
        found
    }
}

/// One addressee by itself.
fn alone(backends: &mut Backends, index: u32, certificate: &Arc<Certificate>) -> u32 {
    let made = backends.list.get(index as usize).and_then(|backend| {
        let target = shown_at(backends.targets.get(backend.target as usize)?, certificate)?;
        Some(Backend { groups: Vec::new(), ..backend.clone() }).zip(Some(target))
    });
    let Some((backend, target)) = made else { return index };
    let target = backends.intern(target);
    push(backends, Backend { target, ..backend })
}

/// The first one of several providers, which stands for all in what rules choose.
fn standing_for_all(
    backends: &mut Backends,
    first: u32,
    mut groups: Vec<Box<[u32]>>,
    certificate: &Arc<Certificate>,
) -> u32 {
    let before = groups.clone();
    for member in groups.iter_mut().flat_map(|group| group.iter_mut()) {
        *member = alone(backends, *member, certificate);
    }
    if groups == before {
        return first;
    }
    let place =
        |groups: &[Box<[u32]>]| groups.iter().flat_map(|group| group.iter()).copied().collect::<Vec<u32>>();
    let mine = place(&before).iter().position(|member| *member == first);
    let mine = mine.and_then(|at| place(&groups).get(at).copied()).unwrap_or(first);
    // One that is shown nothing stands for others than before all the same.
    let mine = match backends.list.get(mine as usize) {
        Some(backend) if mine == first => {
            let again = Backend { groups: Vec::new(), ..backend.clone() };
            push(backends, again)
        }
        _ => mine,
    };
    for member in groups.iter_mut().flat_map(|group| group.iter_mut()).filter(|member| **member == first) {
        *member = mine;
    }
    if let Some(backend) = backends.list.get_mut(mine as usize) {
        backend.groups = groups;
    }
    mine
}

fn push(backends: &mut Backends, backend: Backend) -> u32 {
    backends.list.push(backend);
    index_of_last(backends.list.len())
}

/// The target with the certificate; `None` where no TLS is spoken, or another certificate is shown: what a backend says itself
/// is more special.
fn shown_at(target: &Target, certificate: &Arc<Certificate>) -> Option<Target> {
    target.tls.as_ref()?;
    let own = match &target.own_tls {
        Some(own) if own.certificate.is_some() => return None,
        Some(own) => {
            let (trust, names, groups) = (own.trust.clone(), own.names.clone(), own.groups.clone());
            BackendTls::new(trust, Some(certificate.clone()), names, groups)
        }
        None => BackendTls::new(None, Some(certificate.clone()), Names::Asked, None),
    };
    Some(Target { own_tls: Some(Arc::new(own)), ..target.clone() })
}
