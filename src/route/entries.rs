//! Matches that the path alone does not tell apart: a list in the order of their rank and, where it is long, an index
//! by what they want besides, so that a request is compared with few of them.

use super::matches::{LastHeader, PathMatch, Request, RouteMatch, ValueMatch, written};
use super::query::{self, DECODED_BYTES_MAX};
use crate::base::FastMap;
use regex_syntax::hir::literal::Extractor;
use std::collections::HashMap;

/// Lists up to this length are read through: looking into an index would take as long.
const SCANNED_MAX: usize = 8;

/// Matches of one hostname that share a path, or those whose paths are expressions. They are added by rank, best first.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    list: Vec<Entry>,
    /// There where the list is long and complete.
    index: Option<Index>,
}

/// A match and what it leads to.
#[derive(Clone, Debug)]
struct Entry {
    matches: RouteMatch,
    target: u32,
}

/// The places of a list's matches, each in exactly one row: under one value that it wants, or among the others.
#[derive(Clone, Debug, Default)]
struct Index {
    /// One for each name of a header or parameter, and each length of a path's beginning, by which matches are told apart.
    /// A request is looked up in every one, so that what is left to grow with the number of matches are different *names*.
    columns: Vec<(Aspect, Rows)>,
    /// Those that want no single value of anything.
    others: Vec<usize>,
}

/// Places by the value that their matches want.
type Rows = FastMap<Box<[u8]>, Vec<usize>>;

/// What of a request has a value that can be looked up.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Aspect {
    /// The header of this name.
    Header(String),
    /// The first value of this query parameter.
    Query(String),
    /// So many bytes at the beginning of the path.
    PathStart(usize),
}

impl Entries {
    /// Adds a normalized match that ranks behind all that were added before.
    pub(super) fn push(&mut self, matches: &RouteMatch, target: u32) {
        self.list.push(Entry { matches: matches.clone(), target });
    }

    /// To be called when all are there: makes the index of a long list.
    pub(super) fn finish(&mut self) {
        self.index = (self.list.len() > SCANNED_MAX).then(|| Index::of(&self.list));
    }

    /// The target of the first match that accepts `request`, whose path is compared if it is an expression.
    pub(super) fn find<'m>(&'m self, request: &Request<'_>, header: &mut LastHeader<'m, '_>) -> Option<u32> {
        let place = match &self.index {
            Some(index) => index.find(&self.list, request, header),
            None => self.list.iter().position(|entry| entry.accepts(request, header)),
        };
        place.and_then(|place| self.list.get(place)).map(|entry| entry.target)
    }

    /// Shows every match with its target.
    pub(super) fn for_each(&self, see: &mut dyn FnMut(&RouteMatch, u32)) {
        self.list.iter().for_each(|entry| see(&entry.matches, entry.target));
    }
}

impl Entry {
    fn accepts<'m>(&'m self, request: &Request<'_>, header: &mut LastHeader<'m, '_>) -> bool {
        let is_open = !matches!(self.matches.path, PathMatch::Regex(_));
        (is_open || self.matches.path.accepts(request.matched_path()))
            && self.matches.accepts_beside_path(request, header)
    }

    /// The values that a request must have for this match, each with what it is the value of.
    fn wants(&self) -> impl Iterator<Item = (Aspect, Box<[u8]>)> {
        let exact = |wanted: &ValueMatch| match wanted {
            ValueMatch::Exact(value) => Some(value.as_bytes().into()),
            ValueMatch::Regex(_) => None,
        };
        let headers = self.matches.headers.iter();
        let headers =
            headers.filter_map(move |(name, wanted)| Some((Aspect::Header(name.clone()), exact(wanted)?)));
        let query = self.matches.query.iter();
        let query =
            query.filter_map(move |(name, wanted)| Some((Aspect::Query(name.clone()), exact(wanted)?)));
        let query = query.filter(|(_, value): &(Aspect, Box<[u8]>)| value.len() <= DECODED_BYTES_MAX);
        let start = match &self.matches.path {
            PathMatch::Regex(regex) => beginning(written(regex)),
            PathMatch::Exact(_) | PathMatch::Prefix(_) => None,
        };
        headers.chain(query).chain(start.map(|start| (Aspect::PathStart(start.len()), start)))
    }
}

impl Index {
    /// Each match is filed under what it shares with the fewest: `x-team` rather than `x-environment`.
    fn of(list: &[Entry]) -> Index {
        let mut shared: HashMap<(Aspect, Box<[u8]>), usize> = HashMap::new();
        let wants: Vec<Vec<(Aspect, Box<[u8]>)>> = list.iter().map(|entry| entry.wants().collect()).collect();
        for want in wants.iter().flatten() {
            *shared.entry(want.clone()).or_default() += 1;
        }
        let mut columns: HashMap<Aspect, usize> = HashMap::new();
        let mut index = Index::default();
        for (place, wants) in wants.into_iter().enumerate() {
            let Some((aspect, value)) = wants.into_iter().min_by_key(|want| shared.get(want).copied()) else {
                index.others.push(place);
                continue;
            };
            let column = *columns.entry(aspect).or_insert_with_key(|aspect| {
                index.columns.push((aspect.clone(), Rows::default()));
                index.columns.len() - 1
            });
            index.columns[column].1.entry(value).or_default().push(place);
        }
        index
    }

    /// The place of the first match in `list` that accepts `request`.
    fn find<'m>(
        &'m self,
        list: &'m [Entry],
        request: &Request<'_>,
        header: &mut LastHeader<'m, '_>,
    ) -> Option<usize> {
        let mut best = None;
        for (aspect, rows) in &self.columns {
            let row = match aspect {
                Aspect::Header(name) => header.value(name).and_then(|value| rows.get(value)),
                Aspect::Query(name) => query::with_value(request.query, name, |value| rows.get(value)),
                Aspect::PathStart(bytes) => {
                    request.matched_path().get(..*bytes).and_then(|start| rows.get(start))
                }
            };
            let row = row.map_or(&[][..], |row| row);
            best = first_before(best, row, |place| list[place].accepts(request, header));
        }
        first_before(best, &self.others, |place| list[place].accepts(request, header))
    }
}

/// The first of `places`, which ascend, that is accepted, if it is before `best`; else `best`.
fn first_before(
    best: Option<usize>,
    places: &[usize],
    mut accepts: impl FnMut(usize) -> bool,
) -> Option<usize> {
    let better = places.iter().copied().take_while(|place| best.is_none_or(|best| *place < best));
    better.into_iter().find(|place| accepts(*place)).or(best)
}

/// What every text begins with that the expression takes as a whole; nothing where that is not known.
fn beginning(pattern: &str) -> Option<Box<[u8]>> {
    let hir = regex_syntax::parse(pattern).ok()?;
    let literals = Extractor::new().extract(&hir);
    literals.longest_common_prefix().filter(|start| !start.is_empty()).map(Box::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_of_an_expression_is_what_all_that_it_takes_have_in_common() {
        for (pattern, known) in [
            ("/team-7/v[12]/.*", "/team-7/v"),
            ("/a|/ab", "/a"),
            ("/a|b", ""),
            (".*", ""),
            ("^/a$", "/a"),
            ("(/a)?/b", "/"),
            ("(?i)/a", "/"),
            ("(?i)a", ""),
            ("/v(1|2)/x", "/v"),
            ("(?m)^/a", "/a"),
            ("/a{2,}", "/aa"),
            ("", ""),
        ] {
            let found = beginning(pattern).map(|start| String::from_utf8_lossy(&start).into_owned());
            assert_eq!(found.unwrap_or_default(), known, "{pattern}");
        }
    }
}
