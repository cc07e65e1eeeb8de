//! What policies say of requests to models: parts, each of which the most special policy decides.

use super::scope::Scope;
use super::{Way, World};
use crate::config::diagnostic::Place;
use crate::config::resources::ai::Ai;
use crate::llm::guard::Guards;
use crate::llm::policy::{Aliases, Field, Policy, Prompt, Routes};
use std::sync::Arc;

/// The parts of all policies, and where each applies.
#[derive(Default)]
pub(super) struct Parts {
    list: Vec<(Place, Part)>,
    scopes: Vec<(Scope, usize)>,
}

/// A field of `ai`.
enum Part {
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

impl Part {
    /// Its number, and its name in faults.
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

impl Parts {
    /// Adds what a policy says on its targets; `guards` are its guards.
    pub(super) fn add(&mut self, scopes: &[Scope], ai: &Ai, guards: Option<Guards>) {
        let fields = |fields: &Vec<Field>| -> Arc<[Field]> { fields.clone().into() };
        let parts = [
            ai.overrides.as_ref().map(|given| (given.at, Part::Overrides(fields(&given.value)))),
            ai.defaults.as_ref().map(|given| (given.at, Part::Defaults(fields(&given.value)))),
            ai.aliases.as_ref().map(|given| (given.at, Part::Aliases(Arc::new(given.value.clone())))),
            ai.prompt.as_ref().map(|given| (given.at, Part::Prompt(Arc::new(given.value.clone())))),
            ai.guards.as_ref().zip(guards).map(|(given, guards)| (given.at, Part::Guards(Arc::new(guards)))),
            ai.routes.as_ref().map(|given| (given.at, Part::Routes(Arc::new(given.value.clone())))),
        ];
        for part in parts.into_iter().flatten() {
            self.scopes.extend(scopes.iter().map(|scope| (scope.clone(), self.list.len())));
            self.list.push(part);
        }
    }

    /// What applies to a rule of a route reached through a listener: of each part that of the most special policy, as
    /// agentgateway merges.
    pub(super) fn on(&self, world: &World<'_>, way: &Way<'_>) -> Option<Chosen> {
        let mut best: [Option<(&Scope, usize)>; KINDS] = [None; KINDS];
        for (scope, place) in self.scopes.iter().filter(|(scope, _)| scope.covers(way)) {
            let Some((_, part)) = self.list.get(*place) else { continue };
            let (kind, name) = part.kind();
            match best[kind] {
                Some((known, other)) if known.level() > scope.level() || other == *place => {}
                Some((known, other)) if known.level() == scope.level() => {
                    self.refuse_twins(world, name, (known, other), *place);
                }
                _ => best[kind] = Some((scope, *place)),
            }
        }
        let mut policy = Policy::default();
        for (_, place) in best.iter().flatten() {
            match self.list.get(*place).map(|(_, part)| part) {
                Some(Part::Overrides(fields)) => policy.overrides = fields.clone(),
                Some(Part::Defaults(fields)) => policy.defaults = fields.clone(),
                Some(Part::Aliases(aliases)) => policy.aliases = aliases.clone(),
                Some(Part::Prompt(prompt)) => policy.prompt = prompt.clone(),
                Some(Part::Guards(guards)) => policy.guards = guards.clone(),
                Some(Part::Routes(routes)) => policy.routes = routes.clone(),
                None => {}
            }
        }
        let parts = best.map(|part| part.map(|(_, place)| place));
        parts.iter().any(Option::is_some).then(|| Chosen { policy: Arc::new(policy), parts })
    }

    fn refuse_twins(&self, world: &World<'_>, name: &str, (scope, first): (&Scope, usize), second: usize) {
        let (Some((first, _)), Some((second, _))) = (self.list.get(first), self.list.get(second)) else {
            return;
        };
        let message = format!("{scope} has {name} from two policies");
        let help = format!("the other is at {}; keep one of them", world.faults.name(*first));
        world.faults.fault_with_help(*second, message, help);
    }
}
