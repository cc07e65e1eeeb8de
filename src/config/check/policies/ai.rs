//! What policies say of requests to models: parts, each of which the most special policy decides.

use super::parts::{self, Parts};
use super::scope::Scope;
use super::{Way, World};
use crate::config::diagnostic::Place;
use crate::config::resources::ai::Ai;
use crate::llm::guard::Guards;
use crate::llm::policy::{Aliases, Field, Policy, Prompt, Routes};
use std::sync::Arc;

/// A field of `ai`.
pub(super) enum Part {
    Overrides(Arc<[Field]>),
    Defaults(Arc<[Field]>),
    Aliases(Arc<Aliases>),
    Prompt(Arc<Prompt>),
    Guards(Arc<Guards>),
    Routes(Arc<Routes>),
}

/// How many kinds of parts there are.
const KINDS: usize = 6;

/// What is in force on one way.
#[derive(Clone)]
pub(in crate::config::check) struct Chosen {
    pub(in crate::config::check) policy: Arc<Policy>,
    /// The places in the list of what it is made of.
    parts: [Option<usize>; KINDS],
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Chosen) -> bool {
        self.parts == other.parts
    }
}

impl Eq for Chosen {}

impl parts::Part for Part {
    fn kind(&self) -> (usize, &'static str) {
        match self {
            Part::Overrides(_) => (0, "overrides"),
            Part::Defaults(_) => (1, "defaults"),
            Part::Aliases(_) => (2, "modelAliases"),
            Part::Prompt(_) => (3, "a prompt"),
            Part::Guards(_) => (4, "promptGuard"),
            Part::Routes(_) => (5, "routes"),
        }
    }
}

/// Adds what a policy says on its targets; `guards` are its guards.
pub(super) fn add(list: &mut Parts<Part>, scopes: &[Scope], ai: &Ai, guards: Option<Guards>) {
    let fields = |fields: &Vec<Field>| -> Arc<[Field]> { fields.clone().into() };
    let parts = [
        ai.overrides.as_ref().map(|given| (given.at, Part::Overrides(fields(&given.value)))),
        ai.defaults.as_ref().map(|given| (given.at, Part::Defaults(fields(&given.value)))),
        ai.aliases.as_ref().map(|given| (given.at, Part::Aliases(Arc::new(given.value.clone())))),
        ai.prompt.as_ref().map(|given| (given.at, Part::Prompt(Arc::new(given.value.clone())))),
        ai.guards.as_ref().zip(guards).map(|(given, guards)| (given.at, Part::Guards(Arc::new(guards)))),
        ai.routes.as_ref().map(|given| (given.at, Part::Routes(Arc::new(given.value.clone())))),
    ];
    parts.into_iter().flatten().for_each(|(at, part)| list.add(scopes, at, part));
}

/// What applies to a rule that leads to these backends. A request is made ready before one of them is chosen for good, so
/// they must want the same: what concerns one alone is a fault of the rule at `at`.
pub(super) fn before_models(
    list: &Parts<Part>,
    world: &World<'_>,
    way: &Way<'_>,
    (models, at): (&[String], Place),
) -> Option<Chosen> {
    let mut each = models.iter().map(|name| on(list, world, &Way { backend: Some(name), ..*way }));
    let Some(first) = each.next() else { return on(list, world, way) };
    if each.any(|other| other != first) {
        let message = "the backends of this rule have different policies for requests to models (ai)";
        let help =
            "give each a rule of its own, or write what all of them have into a policy on the HTTPRoute";
        world.faults.fault_with_help(at, message, help);
    }
    first
}

/// What applies to a rule of a route reached through a listener.
fn on(list: &Parts<Part>, world: &World<'_>, way: &Way<'_>) -> Option<Chosen> {
    let parts: [Option<usize>; KINDS] = list.on(world, way);
    let mut policy = Policy::default();
    for place in parts.iter().flatten() {
        match list.get(*place) {
            Some(Part::Overrides(fields)) => policy.overrides = fields.clone(),
            Some(Part::Defaults(fields)) => policy.defaults = fields.clone(),
            Some(Part::Aliases(aliases)) => policy.aliases = aliases.clone(),
            Some(Part::Prompt(prompt)) => policy.prompt = prompt.clone(),
            Some(Part::Guards(guards)) => policy.guards = guards.clone(),
            Some(Part::Routes(routes)) => policy.routes = routes.clone(),
            None => {}
        }
    }
    parts.iter().any(Option::is_some).then(|| Chosen { policy: Arc::new(policy), parts })
}
