//! Where a policy applies: its targets, found among the resources.

use crate::config::check::{World, refs};
use crate::config::diagnostic::{Located, Reason, listing, nearest, quoted};
use crate::config::resources::Meta;
use crate::config::resources::backend::Api;
use crate::config::resources::httproute::Rule;
use crate::config::resources::target::{Target, TargetKind};
use std::fmt;

/// Where a limit applies.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    kind: TargetKind,
    namespace: String,
    name: String,
    /// Listener or rule; `None` is all of them.
    section: Option<String>,
    /// Whether the target says it itself.
    is_own: bool,
}

/// A way that a request goes: a listener, and the rule of a route.
#[derive(Clone, Copy)]
pub(in crate::config::check) struct Way<'a> {
    pub(in crate::config::check) gateway: &'a Meta,
    pub(in crate::config::check) listener: &'a str,
    pub(in crate::config::check) route: &'a Meta,
    /// The rule's name, if it has one.
    pub(in crate::config::check) rule: Option<&'a str>,
    /// The backend at its end, `namespace/name`, where that is asked about.
    pub(in crate::config::check) backend: Option<&'a str>,
}

impl Scope {
    /// Whether a request that goes this way is meant.
    pub(super) fn covers(&self, way: &Way<'_>) -> bool {
        let (meta, section) = match self.kind {
            TargetKind::Gateway => (way.gateway, Some(way.listener)),
            TargetKind::HttpRoute => (way.route, way.rule),
            TargetKind::Backend(_) => return way.backend.is_some_and(|name| self.is_backend(name)),
        };
        let is_target = self.namespace == meta.namespace && self.name == meta.name.value;
        is_target && self.section.as_deref().is_none_or(|wanted| section == Some(wanted))
    }

    /// Whether a listener is meant, whatever goes through it.
    pub(super) fn covers_listener(&self, gateway: &Meta, listener: &str) -> bool {
        let is_gateway = self.kind == TargetKind::Gateway
            && self.namespace == gateway.namespace
            && self.name == gateway.name.value;
        is_gateway && self.section.as_deref().is_none_or(|wanted| wanted == listener)
    }

    /// Whether it is the Backend of that name, `namespace/name`.
    pub(super) fn is_backend(&self, name: &str) -> bool {
        matches!(self.kind, TargetKind::Backend(_))
            && name.split_once('/') == Some((&self.namespace, &self.name))
    }

    /// How special it is, as Gateway API ranks policies: Gateway, listener, route, rule; then as agentgateway does: a
    /// backend, and what the backend says itself.
    pub(super) fn level(&self) -> u8 {
        let base = match self.kind {
            TargetKind::Gateway => 0,
            TargetKind::HttpRoute => 2,
            TargetKind::Backend(_) => 4,
        };
        base + u8::from(self.section.is_some() || self.is_own)
    }

    /// What an AgentgatewayBackend says itself.
    pub(super) fn of_backend(meta: &Meta) -> Scope {
        Scope {
            kind: TargetKind::Backend(Api::Agentgateway),
            namespace: meta.namespace.clone(),
            name: meta.name.value.clone(),
            section: None,
            is_own: true,
        }
    }
}

/// `HTTPRoute llm/chat section main`
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind.name(), self.namespace, self.name)?;
        self.section.iter().try_for_each(|section| write!(f, " section {section}"))
    }
}

/// What the most special policy on a way says; two that are equally special and say other things are a fault.
pub(super) fn most_special_of<T: Clone + PartialEq>(
    world: &World<'_>,
    list: &[(Scope, Located<T>)],
    way: &Way<'_>,
    what: &str,
) -> Option<T> {
    let all = list.iter().map(|(scope, said)| (scope, said));
    let best = most_special(all, way, |scope, first, second| {
        if first.value != second.value {
            let message = format!("{scope} has two {what}");
            let help = format!("the other is at {}; keep one", world.faults.name(first.at));
            world.faults.fault_with_help(second.at, message, help);
        }
    });
    best.map(|said| said.value.clone())
}

/// Of `all` that covers a way what is on its most special scope, the first of these; `twins` hears of every other, with
/// the first.
pub(super) fn most_special<'a, T: Copy>(
    all: impl Iterator<Item = (&'a Scope, T)>,
    way: &Way<'_>,
    twins: impl FnMut(&Scope, T, T),
) -> Option<T> {
    most_special_by(all, |scope| scope.covers(way), twins)
}

/// As [`most_special`], of whatever `covers` says.
pub(super) fn most_special_by<'a, T: Copy>(
    all: impl Iterator<Item = (&'a Scope, T)>,
    covers: impl Fn(&Scope) -> bool,
    mut twins: impl FnMut(&Scope, T, T),
) -> Option<T> {
    let mut best: Option<(&Scope, T)> = None;
    for (scope, this) in all.filter(|(scope, _)| covers(scope)) {
        match best {
            Some((known, _)) if known.level() > scope.level() => {}
            Some((known, first)) if known.level() == scope.level() => twins(known, first, this),
            _ => best = Some((scope, this)),
        }
    }
    best.map(|(_, this)| this)
}

/// What a target means, or `None` after a fault; policies apply within their own namespace only.
pub(super) fn find(world: &World<'_>, meta: &Meta, target: &Target) -> Option<Scope> {
    let (namespace, name) = (meta.namespace.as_str(), target.name.value.as_str());
    let (kind, wanted, at) = (target.kind.name(), (namespace, name), target.name.at);
    let sections: Option<Vec<&str>> = match target.kind {
        TargetKind::Gateway => {
            let found = world.find(&world.all.gateways, kind, wanted, at)?;
            let complete = found.spec.as_ref().filter(|gateway| !gateway.is_partial);
            complete.map(|gateway| {
                gateway.listeners.iter().map(|listener| listener.name.value.as_str()).collect()
            })
        }
        TargetKind::HttpRoute => {
            let found = world.find(&world.all.routes, kind, wanted, at)?;
            found.spec.as_ref().map(|route| route.rules.iter().filter_map(rule_name).collect())
        }
        TargetKind::Backend(api) => {
            refs::find(world, api, wanted, at)?;
            None
        }
    };
    if let (Some(section), Some(sections)) = (&target.section, sections)
        && !sections.contains(&section.value.as_str())
    {
        let what = if target.kind == TargetKind::Gateway { "listener" } else { "rule" };
        let message = format!("{kind} {name:?} has no {what} named {}", quoted(&section.value));
        let help = match nearest(&section.value, sections.iter().copied()) {
            Some(meant) => format!("did you mean {meant:?}?"),
            None => format!("its {what}s are named: {}", listing(sections)),
        };
        world.faults.fault_with_help(section.at.because(Reason::NotFound), message, help);
    }
    Some(Scope {
        kind: target.kind,
        namespace: namespace.into(),
        name: name.into(),
        section: target.section.as_ref().map(|section| section.value.clone()),
        is_own: false,
    })
}

fn rule_name(rule: &Rule) -> Option<&str> {
    rule.name.as_ref().map(|name| name.value.as_str())
}
