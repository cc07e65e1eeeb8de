//! Limits of every kind of policy, as rules of the `limit` room.

use super::keys;
use crate::config::check::World;
use crate::config::diagnostic::{Located, Place};
use crate::config::resources::agentgatewaypolicy::{AgentgatewayPolicy, Entry};
use crate::config::resources::limitpolicy::{Limit, LimitPolicy};
use crate::config::resources::trafficpolicy::{TrafficPolicy, annotated_unit};
use crate::config::resources::{Meta, Resource};
use crate::limit::{Measure, Rate, Rule, Unit};
use std::collections::HashMap;

/// A rule, and where it is written.
pub(super) type Placed = Located<Rule>;

/// kgateway's: one limit, or none.
pub(super) fn traffic(
    world: &World<'_>,
    resource: &Resource<TrafficPolicy>,
    policy: &TrafficPolicy,
) -> Vec<Placed> {
    let Some(bucket) = &policy.bucket else { return Vec::new() };
    let annotated = resource.meta.unit.as_ref().and_then(|text| annotated_unit(text, world.faults));
    let unit = match (&bucket.unit, &annotated) {
        (Some(here), Some(there)) if here.value != there.value => {
            let message = format!("\"unit\" is {}, but the annotation says otherwise", here.value.name());
            world.faults.fault_with_help(here.at, message, "remove one of the two");
            here.value
        }
        (Some(Located { value, .. }), _) | (None, Some(Located { value, .. })) => *value,
        (None, None) => Unit::Requests, // as kgateway counts
    };
    let rate = Rate { per_fill: bucket.per_fill, fill: bucket.fill };
    let measure = Measure::Bucket { capacity: bucket.max, rate };
    let mut rule = Rule::new(&resource.meta.to_string(), unit, measure);
    rule.key = bucket.key.clone();
    vec![Located { value: rule, at: resource.meta.name.at }]
}

/// agentgateway's: a limit for every entry. Its bucket fills up at once at the end of each interval; ours
/// gives the same amount back evenly.
pub(super) fn agentgateway(meta: &Meta, policy: &AgentgatewayPolicy) -> Vec<Placed> {
    let is_alone = policy.entries.len() == 1;
    let rule = |(number, entry): (usize, &Entry)| {
        let name = if is_alone { meta.to_string() } else { format!("{meta}/{number}") };
        let rate = Rate { per_fill: entry.amount, fill: entry.fill };
        let capacity = entry.amount.saturating_add(entry.burst);
        let mut rule = Rule::new(&name, entry.unit, Measure::Bucket { capacity, rate });
        rule.key = entry.key.clone();
        Located { value: rule, at: meta.name.at }
    };
    policy.entries.iter().enumerate().map(rule).collect()
}

/// tollgate's.
pub(super) fn limits(world: &World<'_>, meta: &Meta, policy: &LimitPolicy) -> Vec<Placed> {
    let rule = |limit: &Limit| {
        let name = format!("{meta}/{}", limit.name.value);
        let value = Rule {
            key: limit.key.clone(),
            on_missing: limit.on_missing,
            weights: limit.weights,
            mode: limit.mode,
            on_exhausted: limit.on_exhausted,
            fallback: limit.fallback.as_deref().map(Into::into),
            overrides: keys::compile(world, &limit.exceptions),
            ..Rule::new(&name, limit.unit, limit.measure.clone())
        };
        Located { value, at: limit.name.at }
    };
    policy.limits.iter().map(rule).collect()
}

/// Refuses two limits of one name: their accounts could not be told apart.
pub(super) fn refuse_twins<'r>(world: &World<'_>, rules: impl Iterator<Item = (&'r Rule, Place)>) {
    let mut known = HashMap::new();
    for (rule, at) in rules {
        if let Some(twin) = known.insert(rule.name.clone(), at) {
            let message = format!("two limits are called {}", rule.name);
            let twin = world.faults.name(twin);
            world.faults.fault_with_help(at, message, format!("the other is at {twin}; rename one"));
        }
    }
}
