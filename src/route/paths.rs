//! The matches of one hostname, indexed by path: a map for exact paths, a tree of path elements for
//! prefixes, a list for expressions. Each holds its matches in the order of their rank.

use super::matches::{LastHeader, PathMatch, Request, RouteMatch, trimmed_prefix};
use crate::base::FastMap;
use std::iter::successors;

/// The matches of one hostname. They are added by rank, best first.
#[derive(Clone, Debug)]
pub(super) struct Paths {
    exact: FastMap<Box<[u8]>, Vec<Entry>>,
    /// The tree of prefixes; the first node is `/`, and a node stands behind its parent.
    nodes: Vec<Node>,
    regexes: Vec<Entry>,
}

/// A match and what it leads to.
#[derive(Clone, Debug)]
struct Entry {
    matches: RouteMatch,
    target: u32,
}

/// A prefix of whole path elements.
#[derive(Clone, Debug, Default)]
struct Node {
    /// The nodes one element longer, by that element.
    children: FastMap<Box<[u8]>, usize>,
    /// The node one element shorter; `/` has none.
    parent: Option<usize>,
    /// Matches of exactly this prefix.
    entries: Vec<Entry>,
}

impl Default for Paths {
    fn default() -> Paths {
        Paths { exact: FastMap::default(), nodes: vec![Node::default()], regexes: Vec::new() }
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
        entries.push(Entry { matches: matches.clone(), target });
    }

    /// The target of the first match, by rank, that accepts `request`.
    pub(super) fn find(&self, request: &Request<'_>) -> Option<u32> {
        let path = request.matched_path();
        let mut header = LastHeader::of(request);
        let exact = self.exact.get(path).map_or(&[][..], |entries| entries);
        let prefixes = self.prefixes_of(path).flat_map(|node| &node.entries);
        let regexes = self.regexes.iter().filter(|entry| entry.matches.path.accepts(path));
        exact
            .iter()
            .chain(prefixes)
            .chain(regexes)
            .find(|entry| entry.matches.accepts_beside_path(request, &mut header))
            .map(|entry| entry.target)
    }

    /// Shows every match with its target.
    pub(super) fn for_each(&self, see: &mut dyn FnMut(&RouteMatch, u32)) {
        let exact = self.exact.values().flatten();
        let prefixes = self.nodes.iter().flat_map(|node| &node.entries);
        exact.chain(prefixes).chain(&self.regexes).for_each(|entry| see(&entry.matches, entry.target));
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
    fn prefix_entries(&mut self, prefix: &str) -> &mut Vec<Entry> {
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
