//! `targetRefs`: what a policy applies to, the same in every kind of policy.

use super::GATEWAY_API;
use super::backend::Api;
use super::meta::name;
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};

/// What a policy applies to, in the policy's own namespace.
pub(crate) struct Target {
    pub(crate) kind: TargetKind,
    pub(crate) name: Located<String>,
    /// A listener of a Gateway, or a rule of an HTTPRoute.
    pub(crate) section: Option<Located<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TargetKind {
    Gateway,
    HttpRoute,
    Backend(Api),
}

impl TargetKind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            TargetKind::Gateway => "Gateway",
            TargetKind::HttpRoute => "HTTPRoute",
            TargetKind::Backend(api) => api.kind(),
        }
    }

    pub(crate) const fn group(self) -> &'static str {
        match self {
            TargetKind::Gateway | TargetKind::HttpRoute => GATEWAY_API,
            TargetKind::Backend(api) => api.group(),
        }
    }
}

/// The most targets (kgateway, agentgateway).
const TARGETS_MAX: usize = 16;

/// Reads `targetRefs`; targets must be of `kinds`. A policy without any is a fault.
pub(crate) fn targets(fields: &mut Fields<'_>, kinds: &[TargetKind]) -> Vec<Target> {
    let targets = fields.list("targetRefs", TARGETS_MAX, |item| item.fields(|fields| target(fields, kinds)));
    let names_none = fields.get("targetRefs").is_none_or(|field| field.is_empty_list());
    if names_none && !fields.has("targetSelectors") {
        fields.faults().fault(fields.at(), "the policy applies to nothing: targetRefs names no target");
    }
    fields.unsupported(&["targetSelectors"], "name the targets under targetRefs");
    targets
}

fn target(fields: &mut Fields<'_>, kinds: &[TargetKind]) -> Option<Target> {
    let group = fields.need("group");
    let names: Vec<(&'static str, TargetKind)> = kinds.iter().map(|kind| (kind.name(), *kind)).collect();
    let kind = fields.need("kind").and_then(|field| field.one_of(&names));
    if let Some(group) = group {
        check_group(&group, kind.as_ref().map_or(kinds, |kind| std::slice::from_ref(&kind.value)));
    }
    let name = fields.need("name").and_then(|field| field.parsed(name));
    let section = fields.get("sectionName");
    let kind = kind?.value;
    let section = match section {
        Some(field) if kind == TargetKind::Backend(Api::Kgateway) => {
            field.fault_with_help("does not belong to a Backend", "remove it: a Backend has no sections");
            None
        }
        Some(field) if kind == TargetKind::Backend(Api::Agentgateway) => {
            let help = "remove it: the policy applies to all its providers";
            field.fault_with_help("names one provider, which is not supported yet", help);
            None
        }
        section => section.and_then(|field| field.word()),
    };
    Some(Target { kind, name: name?, section })
}

fn check_group(field: &Cursor<'_>, kinds: &[TargetKind]) {
    let mut groups: Vec<(&'static str, ())> = kinds.iter().map(|kind| (kind.group(), ())).collect();
    groups.dedup();
    field.one_of(&groups);
}
