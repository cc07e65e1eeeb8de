//! What stands on scopes, looked up by target: a route has few policies of its own, however many there are.

use super::Way;
use super::scope::{On, Scope};
use crate::config::resources::Meta;
use std::collections::HashMap;

/// A list of what policies say, each on a scope, in the order in which it was said.
pub(super) struct Scoped<T> {
    list: Vec<(Scope, T)>,
    /// The places in the list of what stands on a target or a section of it, ascending.
    on: HashMap<On, Vec<usize>>,
}

impl<T> Default for Scoped<T> {
    fn default() -> Scoped<T> {
        Scoped { list: Vec::new(), on: HashMap::new() }
    }
}

impl<T> Extend<(Scope, T)> for Scoped<T> {
    fn extend<I: IntoIterator<Item = (Scope, T)>>(&mut self, all: I) {
        for (scope, said) in all {
            self.on.entry(scope.on()).or_default().push(self.list.len());
            self.list.push((scope, said));
        }
    }
}

impl<T> Scoped<T> {
    /// What covers a way, in its order.
    pub(super) fn covering(&self, way: &Way<'_>) -> impl Iterator<Item = (&Scope, &T)> {
        self.standing_on(way.on()).filter(|(scope, _)| scope.covers(way))
    }

    /// What covers a listener, whatever goes through it, in its order.
    pub(super) fn covering_listener(
        &self,
        gateway: &Meta,
        listener: &str,
    ) -> impl Iterator<Item = (&Scope, &T)> {
        let here = self.standing_on([On::Gateway(gateway.to_string())]);
        here.filter(move |(scope, _)| scope.covers_listener(gateway, listener))
    }

    /// All of it, in its order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Scope, &T)> {
        self.list.iter().map(|(scope, said)| (scope, said))
    }

    /// What stands on a Backend, `namespace/name`, in its order.
    pub(super) fn on_backend(&self, name: &str) -> impl Iterator<Item = (&Scope, &T)> {
        self.standing_on([On::Backend(name.to_owned())])
    }

    /// What stands on these targets and their sections, in its order. Nothing else is looked at.
    fn standing_on(&self, targets: impl IntoIterator<Item = On>) -> impl Iterator<Item = (&Scope, &T)> {
        let found = targets.into_iter().filter_map(|target| self.on.get(&target));
        let mut places: Vec<usize> = found.flatten().copied().collect();
        places.sort_unstable();
        places.into_iter().filter_map(|place| self.list.get(place)).map(|(scope, said)| (scope, said))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::{Extent, Located, Place};
    use crate::config::resources::Meta;
    use crate::config::resources::target::{Target, TargetKind};

    fn meta(name: &str) -> Meta {
        let (at, extent) = (Place::WHOLE, Extent { from: Place::WHOLE, to: Place::WHOLE });
        let (namespace, name) = ("llm".into(), Located { value: name.into(), at });
        let (created, generation, labels) = (None, None, Vec::new());
        Meta {
            name,
            namespace,
            created,
            generation,
            unit: None,
            translation: None,
            priority: None,
            labels,
            extent,
        }
    }

    fn scope(kind: TargetKind, name: &str, section: Option<&str>) -> Scope {
        let located = |value: &str| Located { value: value.to_owned(), at: Place::WHOLE };
        Scope::of("llm", &Target { kind, name: located(name), section: section.map(located) })
    }

    /// As many steps as there are answers, and one: a look at every policy for every route would be 100 million.
    #[test]
    fn of_ten_thousand_policies_those_on_the_way_of_a_request_are_looked_at() {
        const ROUTES: usize = 10_000;
        let mut list = Scoped::default();
        list.extend((0..ROUTES).map(|n| (scope(TargetKind::HttpRoute, &format!("r{n}"), None), n)));
        list.extend([
            (scope(TargetKind::Gateway, "edge", Some("https")), ROUTES),
            (scope(TargetKind::Gateway, "edge", Some("other")), ROUTES + 1),
            (scope(TargetKind::Gateway, "r7", None), ROUTES + 2),
        ]);
        let (gateway, mut steps) = (meta("edge"), 0);
        for n in 0..ROUTES {
            let route = &meta(&format!("r{n}"));
            let way = Way { gateway: &gateway, listener: "https", route, rule: None, backend: None };
            assert_eq!(list.covering(&way).map(|(_, n)| *n).collect::<Vec<_>>(), [n, ROUTES]);
            steps += list.standing_on(way.on()).count();
        }
        assert_eq!(steps, 3 * ROUTES);
    }
}
