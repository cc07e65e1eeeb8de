//! Policies of every kind: their limits, and where each applies.

mod access;
mod ai;
mod keys;
mod parts;
mod rules;
mod scope;
mod spoken;
mod standing;
mod tokens;
mod users;

pub(super) use scope::Way;

use super::World;
use super::backends::index_of_last;
use super::services::Services;
use crate::config::diagnostic::{Located, Place, listing};
use crate::config::resources::Meta;
use crate::config::resources::ai::{Ai, PromptGuard};
use crate::config::resources::backend::Backend;
use crate::config::resources::handling::{Handling, HeaderModifiers, PolicyRetry};
use crate::config::resources::target::Target;
use crate::config::resources::tlsoptions::Options;
use crate::config::settings::Settings;
use crate::limit::{Rule, Unit};
use crate::llm::Tokenizer;
use crate::llm::guard::Guards;
use crate::route::cors::Cors;
use crate::route::filters::DirectResponse;
use parts::Parts;
use rules::Placed;
use scope::{Scope, most_special_of};
use std::sync::Arc;
use std::time::Duration;

/// Limits in force and what they apply to.
#[derive(Default)]
pub(super) struct Policies {
    pub(super) limits: Vec<Rule>,
    /// For each limit what the report says of it.
    pub(super) told: Vec<Told>,
    scopes: Vec<Applied>,
    tokenizers: Vec<(Scope, Located<Tokenizer>)>,
    cors: Vec<(Scope, Located<Arc<Cors>>)>,
    direct: Vec<(Scope, Located<Arc<DirectResponse>>)>,
    timeouts: Vec<(Scope, Located<Arc<Duration>>)>,
    retries: Vec<(Scope, Located<Arc<PolicyRetry>>)>,
    headers: Vec<(Scope, Located<Arc<HeaderModifiers>>)>,
    /// Which TLS listeners speak.
    spoken: Vec<(Scope, Located<Arc<Options>>)>,
    ai: Parts<ai::Part>,
    access: access::Demands,
    /// Whose tokens are accepted.
    pub(super) issuers: tokens::Issuers,
    places: Vec<Place>,
}

/// What the report says of a limit.
pub(super) struct Told {
    /// What it stands on.
    pub(super) on: String,
    /// The kind of its policy.
    pub(super) kind: PolicyKind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum PolicyKind {
    Traffic,
    Agentgateway,
    Limit,
}

struct Applied {
    scope: Scope,
    limit: u32,
    kind: PolicyKind,
}

/// What is in force on one way.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct InForce {
    /// Indices of limits, ascending.
    pub(super) limits: Vec<u32>,
    pub(super) tokenizer: Option<Tokenizer>,
    /// What is made of requests and answers.
    pub(super) ai: Option<ai::Chosen>,
    /// Where the route says nothing of it itself.
    pub(super) cors: Option<Arc<Cors>>,
    pub(super) direct: Option<Arc<DirectResponse>>,
    /// The whole exchange; zero is no limit.
    pub(super) timeout: Option<Arc<Duration>>,
    pub(super) retry: Option<Arc<PolicyRetry>>,
    pub(super) headers: Option<Arc<HeaderModifiers>>,
    /// What is demanded of callers.
    pub(super) access: Option<access::Chosen>,
}

impl Policies {
    /// What applies to a rule of a route reached through a listener, and of the backends that it leads to. All its limits
    /// must admit. `models` are its backends that are models, and where the rule stands.
    pub(super) fn on(&self, world: &World<'_>, way: &Way<'_>, models: (&[String], Place)) -> InForce {
        let found: Vec<&Applied> = self.scopes.iter().filter(|applied| applied.scope.covers(way)).collect();
        self.warn_of_levels(world, way, &found);
        let limits = ascending(found.iter().map(|applied| applied.limit));
        InForce {
            limits,
            tokenizer: most_special_of(world, &self.tokenizers, way, "tokenizers"),
            ai: ai::before_models(&self.ai, world, way, models),
            cors: most_special_of(world, &self.cors, way, "policies with cors"),
            direct: most_special_of(world, &self.direct, way, "policies with directResponse"),
            timeout: most_special_of(world, &self.timeouts, way, "policies with timeouts"),
            retry: most_special_of(world, &self.retries, way, "policies with retry"),
            headers: most_special_of(world, &self.headers, way, "policies with headerModifiers"),
            access: access::on(&self.access, world, way),
        }
    }

    /// The limits on a Backend, ascending; `name` is `namespace/name`.
    pub(super) fn on_backend(&self, name: &str) -> Vec<u32> {
        let here = self.scopes.iter().filter(|applied| applied.scope.is_backend(name));
        ascending(here.map(|applied| applied.limit))
    }

    /// Says where our sum of AgentgatewayPolicies is stricter than agentgateway, which lets the most special
    /// one take the place of the others.
    fn warn_of_levels(&self, world: &World<'_>, way: &Way<'_>, found: &[&Applied]) {
        let theirs = || found.iter().filter(|applied| applied.kind == PolicyKind::Agentgateway);
        let Some(most) = theirs().max_by_key(|applied| applied.scope.level()) else { return };
        for weak in theirs().filter(|applied| applied.scope.level() < most.scope.level()) {
            let name = |limit: u32| self.limits.get(limit as usize).map_or("", |rule| &rule.name);
            let message = format!(
                "limit {} applies to HTTPRoute {} besides {}: agentgateway would apply the latter alone",
                name(weak.limit),
                way.route,
                name(most.limit),
            );
            let at = self.places.get(weak.limit as usize).copied().unwrap_or(Place::WHOLE);
            world.faults.warn(at, message);
        }
    }

    fn handle(&mut self, scopes: &[Scope], handling: &Handling) {
        self.timeouts.extend(on_each(scopes, handling.timeout.as_ref()));
        self.retries.extend(on_each(scopes, handling.retry.as_ref()));
        self.headers.extend(on_each(scopes, handling.headers.as_ref()));
    }

    /// Adds the rules of a policy; its targets share their accounts.
    fn add(
        &mut self,
        world: &World<'_>,
        meta: &Meta,
        targets: &[Target],
        kind: PolicyKind,
        rules: Vec<Placed>,
    ) -> Vec<Scope> {
        let scopes: Vec<Scope> =
            targets.iter().filter_map(|target| scope::find(world, meta, target)).collect();
        let on: Vec<String> = scopes.iter().map(Scope::to_string).collect();
        for Located { value: rule, at } in rules {
            self.limits.push(rule);
            self.places.push(at);
            self.told.push(Told { on: on.join(", "), kind });
            let limit = index_of_last(self.limits.len());
            self.scopes.extend(scopes.iter().map(|scope| Applied { scope: scope.clone(), limit, kind }));
        }
        scopes
    }
}

/// A part of a policy, on each of its scopes.
fn on_each<T: Clone>(
    scopes: &[Scope],
    part: Option<&Located<T>>,
) -> impl Iterator<Item = (Scope, Located<Arc<T>>)> {
    let part = part.map(|part| Located { value: Arc::new(part.value.clone()), at: part.at });
    scopes.iter().filter_map(move |scope| Some((scope.clone(), part.clone()?)))
}

fn ascending(limits: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut list: Vec<u32> = limits.collect();
    list.sort_unstable();
    list.dedup();
    list
}

/// Compiles every policy to limits. `unpriced` says that nothing has a price.
pub(super) fn compile(
    world: &World<'_>,
    settings: &Settings,
    unpriced: bool,
    services: &mut Services<'_>,
) -> Policies {
    let mut policies = Policies::default();
    for resource in &world.all.policies {
        let Some(policy) = &resource.spec else { continue };
        let rules = rules::traffic(world, resource, policy);
        let scopes = policies.add(world, &resource.meta, &policy.targets, PolicyKind::Traffic, rules);
        let of = (&resource.meta, &scopes[..]);
        access::add(&mut policies.access, world, services.secrets, of, &policy.access, None);
        policy.ai.iter().for_each(|ai| {
            ai::add(&mut policies.ai, &scopes, ai, guards(world, &resource.meta, ai, services))
        });
        policies.cors.extend(on_each(&scopes, policy.cors.as_ref()));
        policies.handle(&scopes, &policy.handling);
    }
    for resource in &world.all.agentgateway_policies {
        let Some(policy) = &resource.spec else { continue };
        let rules = rules::agentgateway(&resource.meta, policy);
        let scopes = policies.add(world, &resource.meta, &policy.targets, PolicyKind::Agentgateway, rules);
        let on = scopes.iter().map(Scope::to_string).collect::<Vec<_>>().join(", ");
        let tokens = policy.access.tokens.as_ref().and_then(|given| {
            policies.issuers.compile(world, services.backends, (&resource.meta, &on), given)
        });
        let of = (&resource.meta, &scopes[..]);
        access::add(&mut policies.access, world, services.secrets, of, &policy.access, tokens);
        policy.ai.iter().for_each(|ai| {
            ai::add(&mut policies.ai, &scopes, ai, guards(world, &resource.meta, ai, services))
        });
        policies.cors.extend(on_each(&scopes, policy.cors.as_ref()));
        policies.direct.extend(on_each(&scopes, policy.direct.as_ref()));
        let spoken =
            policy.spoken.iter().flat_map(|said| scopes.iter().map(move |on| (on.clone(), said.clone())));
        policies.spoken.extend(spoken);
        policies.handle(&scopes, &policy.handling);
    }
    for resource in &world.all.agentgateway_backends {
        let Some(Backend::Ai { policy: Some(ai), .. }) = &resource.spec else { continue };
        let guards = guards(world, &resource.meta, ai, services);
        ai::add(&mut policies.ai, &[Scope::of_backend(&resource.meta)], ai, guards);
    }
    for resource in &world.all.limit_policies {
        let Some(policy) = &resource.spec else { continue };
        let rules = rules::limits(world, &resource.meta, policy);
        let scopes = policies.add(world, &resource.meta, &policy.targets, PolicyKind::Limit, rules);
        if let Some(tokenizer) = policy.tokenizer {
            policies.tokenizers.extend(scopes.into_iter().map(|scope| (scope, tokenizer)));
        }
    }
    let placed = policies.limits.iter().zip(policies.places.iter().copied());
    access::refuse_shown(&policies.access, world, &settings.records.headers, placed.clone());
    rules::refuse_twins(world, placed);
    warn(world, settings, &policies, unpriced);
    policies.warn_of_unspoken(world);
    policies
}

/// The guards of a policy, with the services that they ask.
fn guards(world: &World<'_>, policy: &Meta, ai: &Ai, services: &mut Services<'_>) -> Option<Guards> {
    let PromptGuard { request, response, streams_pass } = &ai.guards.as_ref()?.value;
    Some(Guards {
        request: request.patterns.clone(),
        request_services: services.add(world, policy, &request.services),
        response: response.patterns.clone(),
        response_services: services.add(world, policy, &response.services),
        streams_pass: *streams_pass,
    })
}

/// Limits that would not do what is probably meant.
fn warn(world: &World<'_>, settings: &Settings, policies: &Policies, unpriced: bool) {
    let all = || policies.limits.iter().zip(&policies.places);
    let powerless = || all().filter(|(rule, _)| rule.unit == Unit::Cost && unpriced);
    if let Some((_, at)) = powerless().next() {
        let names = listing(powerless().map(|(rule, _)| &*rule.name));
        let message =
            format!("no Prices resource has a row, so nothing has a price and these never refuse: {names}");
        let help =
            "write rows into a Prices resource, or leave its replace out, so that built-in prices apply";
        world.faults.warn_with_help(*at, message, help);
    }
    let forgotten = || all().filter(|(rule, _)| rule.measure.is_durable() && settings.limits.store.is_none());
    if let Some((_, at)) = forgotten().next() {
        let names = listing(forgotten().map(|(rule, _)| &*rule.name));
        let message =
            format!("no store is set, so budgets of an hour and longer begin anew at a restart: {names}");
        let help = "write limits: {store: /var/lib/tollgate} into Settings";
        world.faults.warn_with_help(*at, message, help);
    }
}
