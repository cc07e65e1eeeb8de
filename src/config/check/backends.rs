use super::World;
use super::backendtls::{self, OwnTls, Stores};
use super::clouds::Clouds;
use super::credentials;
use super::environment::{Secrets, substitute};
use super::overrides::Replacements;
use super::refs;
use crate::config::diagnostic::{Located, Place};
use crate::config::resources::backend::auth::Auth;
use crate::config::resources::backend::tls::Tls;
use crate::config::resources::backend::{self, Ai, Api, Host};
use crate::config::resources::settings::Origin;
use crate::config::resources::target::TargetKind;
use crate::config::resources::{Meta, Resource};
use crate::config::snapshot::{Backend, BackendKind, Credential, Target};
use crate::config::values;
use crate::llm::price::vendor::paid_at;
use crate::llm::provider::Provider;
use std::collections::HashMap;
use std::sync::Arc;

/// Compiled backends and the targets they share.
pub(super) struct Backends {
    pub(super) list: Vec<Backend>,
    pub(super) targets: Vec<Target>,
    /// By group of the API, namespace and name.
    indices: HashMap<(&'static str, String, String), u32>,
    /// Where each target stands.
    known: HashMap<Target, u32>,
}

impl Backends {
    /// The index of where `origin` is, which is put to the others when it is new.
    pub(super) fn target(&mut self, origin: &Origin, own: Option<&OwnTls>) -> u32 {
        let own = own.filter(|_| origin.tls);
        let name = own.and_then(|own| own.name.as_ref()).unwrap_or(&origin.host);
        let target = Target {
            tls: origin.tls.then(|| name.clone()),
            own_tls: own.and_then(|own| own.tls.clone()),
            host: origin.host.clone(),
            port: origin.port,
        };
        self.intern(target)
    }

    /// The index of a target, which is put to the others when it is new.
    pub(super) fn intern(&mut self, target: Target) -> u32 {
        let targets = &mut self.targets;
        *self.known.entry(target).or_insert_with_key(|target| {
            targets.push(target.clone());
            index_of_last(targets.len())
        })
    }

    /// The index of a backend; `None` when it does not exist or had a fault.
    pub(super) fn index(&self, group: &'static str, (namespace, name): (&str, &str)) -> Option<u32> {
        self.indices.get(&(group, namespace.to_owned(), name.to_owned())).copied()
    }
}

/// Backends in the making.
pub(super) struct Making<'a> {
    pub(super) backends: Backends,
    hosts: &'a Replacements<String, Origin>,
}

impl Backends {
    /// Gives the backend of an index a name that references find it by.
    pub(super) fn name(&mut self, group: &'static str, (namespace, name): (&str, &str), index: u32) {
        self.indices.insert((group, namespace.to_owned(), name.to_owned()), index);
    }
}

impl Making<'_> {
    /// An override is an operator's word, and goes before what a resource says of TLS.
    pub(super) fn warn_of_plain(
        &self,
        world: &World<'_>,
        at: Place,
        (origin, own): (&Origin, Option<&OwnTls>),
    ) {
        if own.is_some() && self.hosts.get(&origin.host).is_some_and(|to| !to.tls) {
            let message =
                format!("a hostOverride leads from {:?} to http://: no TLS is spoken there", origin.host);
            world.faults.warn_with_help(at, message, "write https:// in the override");
        }
    }

    /// Adds one addressee, under the name of its own and of its resource; its index.
    pub(super) fn push(
        &mut self,
        name: Arc<str>,
        resource: &Arc<str>,
        kind: BackendKind,
        (origin, own): (Origin, Option<OwnTls>),
    ) -> u32 {
        let vendor = vendor_of(&kind, &origin);
        let origin = self.hosts.get(&origin.host).unwrap_or(origin);
        let target = self.backends.target(&origin, own.as_ref());
        self.backends.list.push(Backend {
            name,
            resource: resource.clone(),
            groups: Vec::new(),
            kind,
            target,
            host_header: authority(&origin).into(),
            vendor,
            limits: Vec::new(),
        });
        index_of_last(self.backends.list.len())
    }
}

/// Whose prices apply there.
fn vendor_of(kind: &BackendKind, origin: &Origin) -> Option<&'static str> {
    match kind {
        // A host that was named is paid wherever it is reached.
        BackendKind::Ai { provider, dialect, .. } if dialect.name != provider.name() => Some(dialect.name),
        BackendKind::Ai { provider, .. } => Some(paid_at(*provider, &origin.host)),
        BackendKind::Static => None,
    }
}

/// Compiles every backend of both APIs and every Service that says where it is, referred to or not.
pub(super) fn compile(
    world: &World<'_>,
    stores: Stores<'_>,
    hosts: &Replacements<String, Origin>,
) -> Backends {
    let (list, targets) = (Vec::new(), Vec::new());
    let backends = Backends { list, targets, indices: HashMap::new(), known: HashMap::new() };
    let mut making = Making { backends, hosts };
    let clouds = Clouds::default();
    refuse_namesakes(world);
    refuse_at_plain_hosts(world);
    for (api, resource) in world.all.all_backends() {
        let of_policy = OfPolicy {
            auth: credentials::of_policy(world, api, &resource.meta, ("auth", |policy| policy.auth.as_ref())),
            tls: credentials::of_policy(world, api, &resource.meta, ("tls", |policy| policy.tls.as_ref())),
        };
        let resource_name: Arc<str> = resource.meta.to_string().into();
        let first = making.backends.list.len();
        let mut groups: Vec<Box<[u32]>> = Vec::new();
        let mut shared = None;
        for group in resource.spec.as_ref().map(members).unwrap_or_default() {
            let start = making.backends.list.len();
            for (name, spec) in group {
                let at = spec.at();
                let own = spec.own_tls().or(of_policy.tls);
                let own =
                    own.map(|tls| backendtls::compile(world, stores, (api.kind(), &resource.meta), tls));
                let found = one(world, stores.secrets, &clouds, &resource.meta, spec, of_policy.auth);
                let (Some((kind, mut origin)), Some(own)) = (found, backendtls::all_or_nothing(own)) else {
                    continue;
                };
                origin.tls |= own.is_some();
                making.warn_of_plain(world, at, (&origin, own.as_ref()));
                refuse_sharing(world, &mut shared, (at, &kind, vendor_of(&kind, &origin)));
                let name =
                    name.map_or(resource_name.clone(), |name| format!("{resource_name}/{name}").into());
                making.push(name, &resource_name, kind, (origin, own));
            }
            groups.push((start..making.backends.list.len()).map(|index| index_of_last(index + 1)).collect());
        }
        let Some(stands_for_all) = making.backends.list.get_mut(first) else { continue };
        if groups.iter().map(|group| group.len()).sum::<usize>() > 1 {
            stands_for_all.groups = groups;
        }
        let meta = &resource.meta;
        let name = (meta.namespace.as_str(), meta.name.value.as_str());
        making.backends.name(api.group(), name, index_of_last(first + 1));
    }
    refs::services(world, stores, &mut making);
    making.backends
}

/// What AgentgatewayPolicies say of a backend that does not say it itself.
struct OfPolicy<'a> {
    auth: Option<&'a Auth>,
    tls: Option<&'a Tls>,
}

/// Refuses a name that backends of both APIs have: what is written down of them would not say which.
fn refuse_namesakes(world: &World<'_>) {
    for resource in &world.all.agentgateway_backends {
        let meta = &resource.meta;
        let is_namesake = |other: &&Resource<backend::Backend>| {
            other.meta.namespace == meta.namespace && other.meta.name.value == meta.name.value
        };
        if let Some(other) = world.all.backends.iter().find(is_namesake) {
            let message = format!("AgentgatewayBackend {meta} and Backend {meta} have one name");
            let other = world.faults.name(other.meta.name.at);
            let help = format!(
                "the other is at {other}; rename one: records and metrics tell backends by their names"
            );
            world.faults.fault_with_help(meta.name.at, message, help);
        }
    }
}

/// Refuses what AgentgatewayPolicies say of a plain host: nothing is read or added on the way there.
fn refuse_at_plain_hosts(world: &World<'_>) {
    for policy in &world.all.agentgateway_policies {
        let Some(spec) = policy.spec.as_ref().filter(|spec| spec.auth.is_some() || spec.ai.is_some()) else {
            continue;
        };
        for target in
            spec.targets.iter().filter(|target| target.kind == TargetKind::Backend(Api::Agentgateway))
        {
            let is_plain = |resource: &Resource<backend::Backend>| {
                resource.meta.namespace == policy.meta.namespace
                    && resource.meta.name.value == target.name.value
                    && matches!(resource.spec, Some(backend::Backend::Static(_)))
            };
            if world.all.agentgateway_backends.iter().any(is_plain) {
                let message = format!(
                    "AgentgatewayBackend {:?} is a plain host, which has neither auth nor ai",
                    target.name.value
                );
                world.faults.fault_with_help(target.name.at, message, "take it off targetRefs");
            }
        }
    }
}

/// Warns of overrides of hosts to which neither a Backend nor a guard connects.
pub(super) fn warn_of_unused(world: &World<'_>, hosts: &Replacements<String, Origin>) {
    for host in hosts.unused() {
        world
            .faults
            .warn(host.at, format!("no Backend connects to {:?}: its override has no effect", host.value));
    }
}

/// What one addressee of a Backend is.
enum Member<'a> {
    Ai(&'a Ai),
    Static(&'a Host),
}

impl<'a> Member<'a> {
    /// What the resource says itself of the TLS to it.
    fn own_tls(&self) -> Option<&'a Tls> {
        match self {
            Member::Ai(ai) => ai.own_tls.as_ref(),
            Member::Static(host) => host.own_tls.as_ref(),
        }
    }

    fn at(&self) -> Place {
        match self {
            Member::Ai(ai) => ai.at,
            Member::Static(host) => host.host.at,
        }
    }
}

/// A client's own key is one vendor's: reports a provider that would get it beside another vendor's, which is `shared`.
fn refuse_sharing(
    world: &World<'_>,
    shared: &mut Option<&'static str>,
    (at, kind, vendor): (Place, &BackendKind, Option<&'static str>),
) {
    let BackendKind::Ai { credential: Credential::Passthrough, .. } = kind else { return };
    match (*shared, vendor) {
        (Some(first), Some(vendor)) if first != vendor => {
            let message = format!("the client's own key would go to {first} and to {vendor}");
            let help = "a key is one vendor's: give the providers of all others a credential of your own";
            world.faults.fault_with_help(at, message, help);
        }
        _ => *shared = shared.or(vendor),
    }
}

/// The addressees of a Backend by priority, with their names if there are several.
fn members(spec: &backend::Backend) -> Vec<Vec<(Option<&str>, Member<'_>)>> {
    match spec {
        backend::Backend::Static(host) => vec![vec![(None, Member::Static(host))]],
        backend::Backend::Ai { groups, .. } => {
            groups.iter().map(|group| group.iter().map(named).collect()).collect()
        }
    }
}

fn named(member: &backend::Member) -> (Option<&str>, Member<'_>) {
    (member.name.as_deref(), Member::Ai(&member.ai))
}

/// Lists are bounded by the size of the texts, far below 2^32.
pub(super) fn index_of_last(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// What a backend is and where it is.
fn one(
    world: &World<'_>,
    secrets: &Secrets,
    clouds: &Clouds,
    meta: &Meta,
    spec: Member<'_>,
    of_policy: Option<&Auth>,
) -> Option<(BackendKind, Origin)> {
    match spec {
        Member::Static(host) => Some((BackendKind::Static, origin(world, host)?)),
        Member::Ai(ai) => {
            let credential =
                credentials::credential(world, secrets, clouds, meta, (ai, ai.auth.as_ref().or(of_policy)));
            let origin = match ai.host.as_ref().or(ai.own_host.as_ref()) {
                Some(host) => origin(world, host),
                None => Some(Origin { host: ai.provider.default_host().into(), port: 443, tls: true }),
            };
            let kind = BackendKind::Ai {
                provider: ai.provider,
                dialect: ai.dialect,
                model: ai.model.as_deref().map(|model| bare_model(ai.provider, model).into()),
                credential: credential?,
                path: ai.path.as_deref().unwrap_or(ai.provider.default_path()).into(),
                guardrail: ai.guardrail.clone(),
            };
            Some((kind, origin?))
        }
    }
}

/// A model's name as its provider's paths have it: Gemini's lists show names with `models/` in front.
fn bare_model(provider: Provider, model: &str) -> &str {
    match provider {
        Provider::Gemini => model.strip_prefix("models/").unwrap_or(model),
        _ => model,
    }
}

/// A host with the environment substituted.
pub(super) fn origin(world: &World<'_>, host: &Host) -> Option<Origin> {
    let text = Located { value: host.host.value.as_str(), at: host.host.at };
    match values::host(&substitute(world, text)?) {
        Ok(name) => Some(Origin { host: name, port: host.port, tls: host.tls }),
        Err(why) => {
            world.faults.fault(host.host.at, format!("\"host\" {why}"));
            None
        }
    }
}

/// The value of `Host` (RFC 9110 section 7.2): no port where it is the scheme's own.
pub(super) fn authority(origin: &Origin) -> String {
    let host = match origin.host.contains(':') {
        true => format!("[{}]", origin.host),
        false => origin.host.clone(),
    };
    match (origin.tls, origin.port) {
        (true, 443) | (false, 80) => host,
        (_, port) => format!("{host}:{port}"),
    }
}
