//! How the parts of policies stand on a way: in force, or behind more special ones. For conditions.

use super::parts::{Part, Parts};
use super::scope::Scope;
use super::{Policies, Way};
use crate::config::diagnostic::Place;

impl Policies {
    /// Where the parts stand that apply to a way, and the one that is in force in the place of each, if one is. Limits and
    /// rules add up; of every other sort the most special part is in force.
    pub(in crate::config::check) fn standing(&self, way: &Way<'_>) -> Vec<(Place, Option<Place>)> {
        let limit = |limit: u32| self.places.get(limit as usize).copied();
        let limits = self.scopes.iter().filter(|applied| applied.scope.covers(way));
        let limits = limits.filter_map(|applied| limit(applied.limit));
        let rules = self.access.rules.scoped().filter(|(scope, ..)| scope.covers(way)).map(|(_, at, _)| at);
        let mut all: Vec<(Place, Option<Place>)> = limits.chain(rules).map(|at| (at, None)).collect();
        all.extend(rivals(way, self.tokenizers.iter().map(|(scope, given)| (scope, given.at, 0))));
        all.extend(rivals(way, self.cors.iter().map(|(scope, given)| (scope, given.at, 0))));
        all.extend(rivals(way, self.direct.iter().map(|(scope, given)| (scope, given.at, 0))));
        all.extend(rivals(way, self.timeouts.iter().map(|(scope, given)| (scope, given.at, 0))));
        all.extend(rivals(way, self.retries.iter().map(|(scope, given)| (scope, given.at, 0))));
        all.extend(rivals(way, self.headers.iter().map(|(scope, given)| (scope, given.at, 0))));
        all.extend(rivals(way, self.spoken.iter().map(|(scope, given)| (scope, given.at, 0))));
        all.extend(rivals(way, by_kind(&self.ai)));
        all.extend(rivals(way, by_kind(&self.access.parts)));
        all
    }
}

fn by_kind<P: Part>(parts: &Parts<P>) -> impl Iterator<Item = (&Scope, Place, usize)> {
    parts.scoped().map(|(scope, at, part)| (scope, at, part.kind().0))
}

/// Of those that apply, each with a number of its sort, the most special one of that sort if that is another.
fn rivals<'a>(
    way: &Way<'_>,
    all: impl Iterator<Item = (&'a Scope, Place, usize)>,
) -> impl Iterator<Item = (Place, Option<Place>)> {
    let here: Vec<(u8, Place, usize)> = all
        .filter(|(scope, ..)| scope.covers(way))
        .map(|(scope, at, sort)| (scope.level(), at, sort))
        .collect();
    let levels = here.clone();
    here.into_iter().map(move |(level, at, sort)| {
        let before = levels.iter().filter(|(other, _, known)| *known == sort && *other > level);
        (at, before.max_by_key(|(other, ..)| *other).map(|(_, at, _)| *at))
    })
}
