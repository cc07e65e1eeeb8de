//! How the parts of policies stand on a way: in force, or behind more special ones. For conditions.

use super::parts::{Part, Parts};
use super::scope::Scope;
use super::scoped::Scoped;
use super::{Policies, Way};
use crate::config::diagnostic::{Located, Place};

impl Policies {
    /// Where the parts stand that apply to a way, and the one that is in force in the place of each, if one is. Limits and
    /// rules add up; of every other sort the most special part is in force.
    pub(in crate::config::check) fn standing(&self, way: &Way<'_>) -> Vec<(Place, Option<Place>)> {
        let limit = |limit: u32| self.places.get(limit as usize).copied();
        let limits = self.scopes.covering(way).filter_map(|(_, applied)| limit(applied.limit));
        let rules = self.access.rules.covering(way).map(|(_, at, _)| at);
        let mut all: Vec<(Place, Option<Place>)> = limits.chain(rules).map(|at| (at, None)).collect();
        all.extend(rivals(alike(&self.tokenizers, way)));
        all.extend(rivals(alike(&self.cors, way)));
        all.extend(rivals(alike(&self.direct, way)));
        all.extend(rivals(alike(&self.timeouts, way)));
        all.extend(rivals(alike(&self.retries, way)));
        all.extend(rivals(alike(&self.headers, way)));
        all.extend(rivals(alike(&self.spoken, way)));
        all.extend(rivals(by_kind(&self.ai, way)));
        all.extend(rivals(by_kind(&self.access.parts, way)));
        all
    }
}

/// What applies of one sort.
fn alike<'a, T>(
    list: &'a Scoped<Located<T>>,
    way: &Way<'_>,
) -> impl Iterator<Item = (&'a Scope, Place, usize)> {
    list.covering(way).map(|(scope, given)| (scope, given.at, 0))
}

fn by_kind<'a, P: Part>(
    parts: &'a Parts<P>,
    way: &Way<'_>,
) -> impl Iterator<Item = (&'a Scope, Place, usize)> {
    parts.covering(way).map(|(scope, at, part)| (scope, at, part.kind().0))
}

/// Of those that apply, each with a number of its sort, the most special one of that sort if that is another.
fn rivals<'a>(
    here: impl Iterator<Item = (&'a Scope, Place, usize)>,
) -> impl Iterator<Item = (Place, Option<Place>)> {
    let here: Vec<(u8, Place, usize)> = here.map(|(scope, at, sort)| (scope.level(), at, sort)).collect();
    let levels = here.clone();
    here.into_iter().map(move |(level, at, sort)| {
        let before = levels.iter().filter(|(other, _, known)| *known == sort && *other > level);
        (at, before.max_by_key(|(other, ..)| *other).map(|(_, at, _)| *at))
    })
}
