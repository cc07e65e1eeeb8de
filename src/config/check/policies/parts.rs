//! Parts of policies of which the most special one applies, field by field, as agentgateway merges them.

use super::scope::Scope;
use super::{Way, World};
use crate::config::diagnostic::Place;

/// The parts of all policies of one sort, and where each applies.
pub(super) struct Parts<P> {
    list: Vec<(Place, P)>,
    scopes: Vec<(Scope, usize)>,
}

/// A part of a policy.
pub(super) trait Part {
    /// The number of its kind, and the kind's name in faults.
    fn kind(&self) -> (usize, &'static str);
}

impl<P> Default for Parts<P> {
    fn default() -> Parts<P> {
        Parts { list: Vec::new(), scopes: Vec::new() }
    }
}

impl<P: Part> Parts<P> {
    /// Adds what a policy says at `at` on its targets.
    pub(super) fn add(&mut self, scopes: &[Scope], at: Place, part: P) {
        self.scopes.extend(scopes.iter().map(|scope| (scope.clone(), self.list.len())));
        self.list.push((at, part));
    }

    /// The part at a place that [`on`](Parts::on) gave.
    pub(super) fn get(&self, place: usize) -> Option<&P> {
        self.list.get(place).map(|(_, part)| part)
    }

    /// What applies to a rule of a route reached through a listener: by kind the place of the most special part. Two that
    /// are equally special are a fault.
    pub(super) fn on<const KINDS: usize>(&self, world: &World<'_>, way: &Way<'_>) -> [Option<usize>; KINDS] {
        let mut best: [Option<(&Scope, usize)>; KINDS] = [None; KINDS];
        for (scope, place) in self.scopes.iter().filter(|(scope, _)| scope.covers(way)) {
            let Some((kind, name)) = self.get(*place).map(Part::kind) else { continue };
            match best[kind] {
                Some((known, other)) if known.level() > scope.level() || other == *place => {}
                Some((known, other)) if known.level() == scope.level() => {
                    self.refuse_twins(world, name, (known, other), *place);
                }
                _ => best[kind] = Some((scope, *place)),
            }
        }
        best.map(|part| part.map(|(_, place)| place))
    }

    /// The places of all parts that apply there, in their order.
    pub(super) fn all_on(&self, way: &Way<'_>) -> Vec<usize> {
        let here = self.scopes.iter().filter(|(scope, _)| scope.covers(way));
        let mut places: Vec<usize> = here.map(|(_, place)| *place).collect();
        places.sort_unstable();
        places.dedup();
        places
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
