//! From resources as typed to the snapshot as meant: references resolved, environment substituted, defaults
//! filled in. Everything is checked even after a fault, so that one load reports them all; what is built
//! after a fault is never handed out.

mod attach;
mod authorities;
mod backends;
mod backendtls;
mod certificates;
mod clouds;
mod credentials;
mod environment;
mod overrides;
mod policies;
mod prices;
mod refs;
mod report;
mod rules;
mod services;
mod shown;

pub use overrides::Overrides;

use super::diagnostic::{Faults, Place, Reason, listing, nearest, quoted};
use super::resources::grant::{From, To};
use super::resources::{GATEWAY_API, Meta, Resource, Resources};
use super::settings::UnknownModel;
use super::snapshot::Snapshot;

/// What every check looks at.
pub(crate) struct World<'a> {
    pub(crate) all: &'a Resources,
    pub(crate) faults: &'a Faults,
    /// Looks a variable of the environment up.
    pub(crate) env: &'a dyn Fn(&str) -> Option<String>,
}

/// A way that requests can go, as conditions ask about it. Resources are told apart by the places of their names.
pub(crate) struct Passage {
    pub(crate) gateway: Place,
    pub(crate) listener: String,
    pub(crate) route: Place,
    /// Where the parts of policies stand that apply there, and the more special one that takes the place of each, if one does.
    pub(crate) parts: Vec<(Place, Option<Place>)>,
}

/// Checks `all` and builds the snapshot; its warnings are still with the faults. The first `built_in` of the sources are
/// the program's own.
pub(crate) fn compile(
    all: &Resources,
    built_in: u32,
    env: &dyn Fn(&str) -> Option<String>,
    given: &Overrides,
    faults: &Faults,
) -> Snapshot {
    build(all, built_in, env, given, faults, |_, _| ()).0
}

/// As [`compile`], and every way that was found.
pub(crate) fn compile_with_passages(
    all: &Resources,
    built_in: u32,
    env: &dyn Fn(&str) -> Option<String>,
    given: &Overrides,
    faults: &Faults,
) -> (Snapshot, Vec<Passage>) {
    build(all, built_in, env, given, faults, |ways, policies| {
        let passage = |way: &policies::Way<'_>| Passage {
            gateway: way.gateway.name.at,
            listener: way.listener.to_owned(),
            route: way.route.name.at,
            parts: policies.standing(way),
        };
        ways.iter().map(passage).collect()
    })
}

/// `look` sees what was attached.
fn build<T>(
    all: &Resources,
    built_in: u32,
    env: &dyn Fn(&str) -> Option<String>,
    given: &Overrides,
    faults: &Faults,
    look: impl FnOnce(&[policies::Way<'_>], &policies::Policies) -> T,
) -> (Snapshot, T) {
    let world = World { all, faults, env };
    let effective = overrides::join(&world, given);
    let credentials = environment::secrets(&world);
    let certificates = certificates::compile(&world, &credentials);
    let authorities = authorities::compile(&world);
    let stores =
        backendtls::Stores { secrets: &credentials, certificates: &certificates, authorities: &authorities };
    backendtls::check_targets(&world, stores);
    let mut backends = backends::compile(&world, stores, &effective.hosts);
    let catalogue = prices::compile(&world, built_in);
    let unpriced = catalogue.is_empty() && effective.settings.prices.unknown_model == UnknownModel::Free;
    let mut services = services::Services {
        secrets: &credentials,
        hosts: &effective.hosts,
        backends: &mut backends,
        list: Vec::new(),
    };
    let policies = policies::compile(&world, &effective.settings, unpriced, &mut services);
    let services = services.list;
    backends::warn_of_unused(&world, &effective.hosts);
    for backend in &mut backends.list {
        backend.limits = policies.on_backend(&backend.resource);
    }
    let attached =
        attach::compile(&world, &mut backends, &policies, (&certificates, &authorities), &effective);
    authorities::warn_of_unused(&world);
    let looked = look(&attached.ways, &policies);
    let mut snapshot = Snapshot {
        listeners: attached.listeners,
        rules: attached.rules,
        backends: backends.list,
        limits: policies.limits,
        targets: backends.targets,
        services,
        jwks: policies.issuers.sources,
        settings: effective.settings,
        catalogue,
        report: Default::default(),
        warnings: Vec::new(),
    };
    prices::warn(&world, &snapshot);
    snapshot.report.lines = report::lines(&snapshot, &attached.told, &policies.told);
    snapshot.report.lines.extend(policies.issuers.told);
    snapshot.report.lines.extend(prices::lines(&snapshot));
    snapshot.report.lines.extend(clouds::lines(&snapshot));
    (snapshot, looked)
}

impl World<'_> {
    /// The resource of that name, or `None` after a fault that says which ones there are.
    pub(crate) fn find<'r, T>(
        &self,
        list: &'r [Resource<T>],
        kind: &str,
        (namespace, name): (&str, &str),
        at: Place,
    ) -> Option<&'r Resource<T>> {
        let is_meant =
            |found: &&Resource<T>| found.meta.namespace == namespace && found.meta.name.value == name;
        let found = list.iter().find(is_meant);
        if found.is_none() {
            self.dangling(list, kind, (namespace, name), at);
        }
        found
    }

    /// Whether a ReferenceGrant in the namespace of what is referred to, given by group and kind, and by namespace and
    /// name, admits resources of Gateway API of this kind and namespace.
    pub(crate) fn is_granted(
        &self,
        (kind, from): (&str, &str),
        (to_group, to_kind): (&str, &str),
        (namespace, name): (&str, &str),
    ) -> bool {
        let grants = self.all.grants.iter().filter(|grant| grant.meta.namespace == namespace);
        grants.filter_map(|grant| grant.spec.as_ref()).any(|grant| {
            let is_from =
                |given: &From| given.group == GATEWAY_API && given.kind == kind && given.namespace == from;
            let is_to = |given: &To| {
                let is_named = given.name.as_deref().is_none_or(|wanted| wanted == name);
                given.group == to_group && given.kind == to_kind && is_named
            };
            grant.from.iter().any(is_from) && grant.to.iter().any(is_to)
        })
    }

    /// Whether a resource of Gateway API may refer to what the core has of this kind, which is a fault at `at` if a
    /// ReferenceGrant is missing.
    pub(crate) fn may_refer(
        &self,
        (kind, meta): (&str, &Meta),
        to_kind: &str,
        (namespace, name): (&str, &str),
        at: Place,
    ) -> bool {
        if namespace == meta.namespace
            || self.is_granted((kind, &meta.namespace), ("", to_kind), (namespace, name))
        {
            return true;
        }
        let message = format!(
            "{kind} {meta} may not refer to {to_kind} {namespace}/{name}: namespace {namespace:?} has no ReferenceGrant \
             for it"
        );
        let help = format!(
            "write one there, from kind: {kind} in namespace: {} to kind: {to_kind} in group: \"\"",
            meta.namespace
        );
        self.faults.fault_with_help(at.because(Reason::NotPermitted), message, help);
        false
    }

    fn dangling<T>(&self, list: &[Resource<T>], kind: &str, (namespace, name): (&str, &str), at: Place) {
        let message = format!("{kind} {} does not exist in namespace {}", quoted(name), quoted(namespace));
        let here = list.iter().filter(|found| found.meta.namespace == namespace);
        let elsewhere = list.iter().find(|found| found.meta.name.value == name);
        let help = match (nearest(name, here.map(|found| found.meta.name.value.as_str())), elsewhere) {
            (_, Some(found)) => format!("there is one in namespace {:?}", found.meta.namespace),
            (Some(meant), None) => format!("did you mean {meant:?}?"),
            (None, None) => {
                let names: Vec<String> = list.iter().map(|found| found.meta.to_string()).collect();
                format!("there are: {}", listing(names.iter().map(String::as_str)))
            }
        };
        let help = match self.all.unread.first() {
            Some(at) => {
                format!("{help}; or it stands in what could not be read at {}", self.faults.name(*at))
            }
            None => help,
        };
        self.faults.fault_with_help(at.because(Reason::NotFound), message, help);
    }
}
