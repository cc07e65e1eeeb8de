//! The matches of one hostname, indexed by path: a map for exact paths, a tree of path elements for
//! prefixes, one list for expressions. Each holds its matches in the order of their rank.

use super::entries::Entries;
use super::matches::{LastHeader, PathMatch, Request, RouteMatch, trimmed_prefix};
use crate::base::FastMap;
use std::iter::successors;

/// The matches of one hostname. They are added by rank, best first.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    exact: FastMap<Box<[u8]>, Entries>,
    /// The tree of prefixes; the first node is `/`, and a node stands behind its parent.
    nodes: Vec<Node>,
    regexes: Entries,
}

/// A prefix of whole path elements.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The nodes one element longer, by that element.
    children: FastMap<Box<[u8]>, usize>,
    /// The node one element shorter; `/` has none.
    parent: Option<usize>,
    /// Matches of exactly this prefix.
    entries: Entries,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths { exact: FastMap::default(), nodes: vec![Node::default()], regexes: Entries::default() }
    }
}

impl Paths {
    /// Adds a normalized match that ranks behind all that were added before.
    pub(super) fn push(&mut self, matches: &RouteMatch, target: u32) {
        let entries = match &matches.path {
            PathMatch::Exact(path) => self.exact.entry(path.as_bytes().into()).or_default(),
            PathMatch::Prefix(prefix) => self.prefix_entries(prefix),
            PathMatch::Regex(_) => &mut self.regexes,
        };
        entries.push(matches, target);
    }

    /// To be called when all matches are there.
    pub(super) fn finish(&mut self) {
        let prefixes = self.nodes.iter_mut().map(|node| &mut node.entries);
        self.exact.values_mut().chain(prefixes).chain([&mut self.regexes]).for_each(Entries::finish);
    }

    /// The target of the first match, by rank, that accepts `request`.
    pub(super) fn find(&self, request: &Request<'_>) -> Option<u32> {
        let path = request.matched_path();
        let mut header = LastHeader::of(request);
        let prefixes = self.prefixes_of(path).map(|node| &node.entries);
        let mut lists = self.exact.get(path).into_iter().chain(prefixes).chain([&self.regexes]);
        lists.find_map(|entries| entries.find(request, &mut header))
    }

    /// Shows every match with its target.
    pub(super) fn for_each(&self, see: &mut dyn FnMut(&RouteMatch, u32)) {
        let prefixes = self.nodes.iter().map(|node| &node.entries);
        let lists = self.exact.values().chain(prefixes).chain([&self.regexes]);
        lists.for_each(|entries| entries.for_each(see));
    }

    /// The nodes whose prefix covers `path`, the longest first.
    fn prefixes_of(&self, path: &[u8]) -> impl Iterator<Item = &Node> {
        let deepest = path.strip_prefix(b"/").map(|elements| self.deepest(elements));
        successors(deepest, |node| node.parent.and_then(|parent| self.nodes.get(parent)))
    }

    /// The longest prefix in the tree that `elements` begin with. The walk ends with the tree, so a request's
    /// path costs no more than the longest prefix that is configured.
    fn deepest(&self, elements: &[u8]) -> &Node {
        let mut node = &self.nodes[0];
        for element in elements.split(|byte| *byte == b'/') {
            match node.children.get(element).and_then(|child| self.nodes.get(*child)) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    /// The list of the matches of `prefix`, with the nodes that lead there.
    fn prefix_entries(&mut self, prefix: &str) -> &mut Entries {
        let mut at = 0;
        for element in trimmed_prefix(prefix).split('/').skip(1) {
            let (parent, next) = (at, self.nodes.len());
            at = *self.nodes[parent].children.entry(element.as_bytes().into()).or_insert(next);
            if at == next {
                self.nodes.push(Node { parent: Some(parent), ..Node::default() });
            }
        }
        &mut self.nodes[at].entries
    }
}
