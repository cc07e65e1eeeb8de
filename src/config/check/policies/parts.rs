//! Parts of policies of which the most special one applies, field by field, as agentgateway merges them.

use super::scope::{Scope, most_special};
use super::scoped::Scoped;
use super::{Way, World};
use crate::config::diagnostic::Place;

/// The parts of all policies of one sort, and where each applies.
pub(super) struct Parts<P> {
    list: Vec<(Place, P)>,
    /// Their places in the list.
    scopes: Scoped<usize>,
}

/// A part of a policy.
pub(super) trait Part {
    /// The number of its kind, and the kind's name in faults.
    fn kind(&self) -> (usize, &'static str);
}

impl<P> Default for Parts<P> {
    fn default() -> Parts<P> {
        Parts { list: Vec::new(), scopes: Scoped::default() }
    }
}

impl<P: Part> Parts<P> {
    /// Adds what a policy says at `at` on its targets.
    pub(super) fn add(&mut self, scopes: &[Scope], at: Place, part: P) {
        let place = self.list.len();
        self.scopes.extend(scopes.iter().map(|scope| (scope.clone(), place)));
        self.list.push((at, part));
    }

    /// The part at a place that [`on`](Parts::on) gave.
    pub(super) fn get(&self, place: usize) -> Option<&P> {
        self.list.get(place).map(|(_, part)| part)
    }

    /// All of them, and where they stand.
    pub(super) fn all(&self) -> impl Iterator<Item = (Place, &P)> {
        self.list.iter().map(|(at, part)| (*at, part))
    }

    /// What applies to a rule of a route reached through a listener: by kind the place of the most special part. Two that
    /// are equally special are a fault.
    pub(super) fn on<const KINDS: usize>(&self, world: &World<'_>, way: &Way<'_>) -> [Option<usize>; KINDS] {
        let here: Vec<(&Scope, usize)> =
            self.scopes.covering(way).map(|(scope, place)| (scope, *place)).collect();
        std::array::from_fn(|kind| {
            let is_meant = |place: usize| self.get(place).is_some_and(|part| part.kind().0 == kind);
            most_special(
                here.iter().copied().filter(|(_, place)| is_meant(*place)),
                |scope, first, second| {
                    self.refuse_twins(world, scope, (first, second));
                },
            )
        })
    }

    /// The places of all parts that apply there, in their order.
    pub(super) fn all_on(&self, way: &Way<'_>) -> Vec<usize> {
        let mut places: Vec<usize> = self.scopes.covering(way).map(|(_, place)| *place).collect();
        places.sort_unstable();
        places.dedup();
        places
    }

    /// Every part that applies there with the scope by which it does, and where it stands.
    pub(super) fn covering(&self, way: &Way<'_>) -> impl Iterator<Item = (&Scope, Place, &P)> {
        self.scopes.covering(way).filter_map(|(scope, place)| {
            let (at, part) = self.list.get(*place)?;
            Some((scope, *at, part))
        })
    }

    fn refuse_twins(&self, world: &World<'_>, scope: &Scope, (first, second): (usize, usize)) {
        if first == second {
            return; // a policy may name a target twice
        }
        let (Some((first, part)), Some((second, _))) = (self.list.get(first), self.list.get(second)) else {
            return;
        };
        let message = format!("{scope} has {} from two policies", part.kind().1);
        let help = format!("the other is at {}; keep one of them", world.faults.name(*first));
        world.faults.fault_with_help(*second, message, help);
    }
}
