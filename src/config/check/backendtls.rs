//! How TLS is spoken to backends: what is said of it, with its references resolved.

use super::World;
use super::authorities::Authorities;
use super::certificates::Certificates;
use super::environment::Secrets;
use crate::config::backendtls::{BackendTls, Name, Names};
use crate::config::certificate;
use crate::config::diagnostic::{Located, Reason};
use crate::config::resources::backend::tls::{Subject, Tls, Wanted};
use crate::config::resources::backendtlspolicy::BackendTlsPolicy;
use crate::config::resources::service::Service;
use crate::config::resources::{Meta, Resource};
use crate::config::spoken::Groups;
use crate::config::trust::{Authority, Trust};
use std::sync::Arc;

/// What a Secret of `mtlsCertificateRef` may hold beside certificate and key: an authority that vouches for the backend.
const CA_IN_SECRET: &str = "ca.cert";

/// Where certificates are.
#[derive(Clone, Copy)]
pub(super) struct Stores<'a> {
    pub(super) secrets: &'a Secrets,
    pub(super) certificates: &'a Certificates,
    pub(super) authorities: &'a Authorities,
}

/// How TLS is spoken to a target, beyond that it is.
pub(super) struct OwnTls {
    /// The name that is asked for, in place of the host's.
    pub(super) name: Option<String>,
    /// What differs from all others, if anything does.
    pub(super) tls: Option<Arc<BackendTls>>,
}

/// What `tls` of a resource comes to; `None` after a fault.
pub(super) fn compile(
    world: &World<'_>,
    stores: Stores<'_>,
    (kind, meta): (&str, &Meta),
    tls: &Tls,
) -> Option<OwnTls> {
    let certificate = tls.certificate.as_ref().map(|name| stores.certificates.named(world, meta, name));
    let trust = match (tls.authorities.as_slice(), &tls.certificate) {
        ([], Some(name)) => in_secret(world, stores.secrets, meta, name),
        ([], None) => None,
        (authorities, _) => Some(stores.authorities.trust(world, (kind, meta), authorities)),
    };
    let names = match &tls.wanted {
        Wanted::Name => Names::Asked,
        Wanted::OneOf(names) => Names::OneOf(names.iter().map(name).collect()),
        Wanted::Anything(at) => {
            let message = "the backend's certificate may be for any name: who has one of another host can take its place";
            world.faults.warn_with_help(
                *at,
                message,
                "write verifySubjectAltNames with the names that it is for",
            );
            Names::Any
        }
        Wanted::Nothing(at) => {
            let message =
                "the backend's certificate is not verified: who is on the way can read and change everything";
            world.faults.warn_with_help(
                *at,
                message,
                "write caCertificateRefs with the authority that vouches for it",
            );
            Names::Unverified
        }
    };
    let (certificate, trust) = (all_or_nothing(certificate)?, all_or_nothing(trust)?);
    let groups = match tls.groups.as_slice() {
        [] => None,
        groups => Some(Groups::new(groups).map_err(|why| world.faults.fault(tls.at, why)).ok()?),
    };
    let is_usual = certificate.is_none() && trust.is_none() && names == Names::Asked && groups.is_none();
    let own = (!is_usual).then(|| Arc::new(BackendTls::new(trust, certificate, names, groups)));
    Some(OwnTls { name: tls.name.as_ref().map(|name| name.value.clone()), tls: own })
}

/// `None` for what was asked for and not found.
pub(super) fn all_or_nothing<T>(found: Option<Option<T>>) -> Option<Option<T>> {
    match found {
        Some(found) => found.map(Some),
        None => Some(None),
    }
}

fn name(subject: &Subject) -> Name {
    match subject {
        Subject::Host(host) => Name::Host(host.to_ascii_lowercase()),
        Subject::Uri(uri) => Name::Uri(uri.clone()),
    }
}

/// The authority that stands in a Secret beside a certificate, if one does; `None` within after a fault.
fn in_secret(
    world: &World<'_>,
    secrets: &Secrets,
    meta: &Meta,
    name: &Located<String>,
) -> Option<Option<Trust>> {
    let text = secrets.value(&meta.namespace, &name.value, CA_IN_SECRET)??;
    let told = format!("Secret {}/{}", meta.namespace, name.value).into();
    let chain = certificate::chain(text);
    let trust = chain.and_then(|chain| Trust::in_all(&[Arc::new(Authority { name: told, chain })]));
    let refused = |why: &str| {
        let message = format!("{CA_IN_SECRET:?} of Secret {}/{} {why}", meta.namespace, name.value);
        let help = "write the authority of the backend's certificate, or take the key out of the Secret";
        world.faults.fault_with_help(name.at.because(Reason::InvalidCertificate), message, help);
    };
    Some(trust.map_err(refused).ok())
}

/// What AgentgatewayPolicies and BackendTLSPolicies say of a port of a Service; that of a single port goes before that of all.
pub(super) fn of_service<'a>(
    world: &World<'a>,
    service: &Resource<Service>,
    port: Option<&str>,
) -> Option<(&'a Meta, &'a Tls)> {
    let here = world
        .all
        .backend_tls_policies
        .iter()
        .filter(|policy| policy.meta.namespace == service.meta.namespace && policy.spec.is_some());
    let mut found: [Option<(&Resource<BackendTlsPolicy>, &Tls)>; 2] = [None, None];
    for policy in here {
        let Some(spec) = &policy.spec else { continue };
        for target in spec.targets.iter().filter(|target| target.name.value == service.meta.name.value) {
            let place = match &target.section {
                Some(section) if Some(section.value.as_str()) == port => 0,
                Some(_) => continue,
                None => 1,
            };
            match found[place] {
                Some((first, _)) => {
                    let message = format!("Service {} has TLS from two policies", service.meta);
                    let first = world.faults.name(first.meta.name.at);
                    let help = format!("the other is at {first}; keep one of them");
                    let at = target.name.at.because(Reason::PolicyConflict);
                    world.faults.fault_with_help(at, message, help);
                }
                None => found[place] = Some((policy, &spec.tls)),
            }
        }
    }
    let [own, every] = found;
    own.or(every).map(|(policy, tls)| (&policy.meta, tls))
}

/// Faults of targets that lead nowhere. What a policy says is looked at where a Service has it; else here.
pub(super) fn check_targets(world: &World<'_>, stores: Stores<'_>) {
    for policy in &world.all.backend_tls_policies {
        let Some(spec) = &policy.spec else { continue };
        compile(world, stores, ("BackendTLSPolicy", &policy.meta), &spec.tls);
        for target in &spec.targets {
            let wanted = (policy.meta.namespace.as_str(), target.name.value.as_str());
            let Some(service) = world.find(&world.all.services, "Service", wanted, target.name.at) else {
                continue;
            };
            let (Some(section), Some(service)) = (&target.section, &service.spec) else { continue };
            let mut names = service.ports.iter().filter_map(|port| port.name.as_deref());
            if !names.any(|name| name == section.value) {
                let names = service.ports.iter().filter_map(|port| port.name.as_deref());
                let message =
                    format!("Service {}/{} has no port named {:?}", wanted.0, wanted.1, section.value);
                let help = format!("its ports are named: {}", crate::config::diagnostic::listing(names));
                world.faults.fault_with_help(section.at.because(Reason::NotFound), message, help);
            }
        }
    }
}
