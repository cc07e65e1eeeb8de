//! The rules of a configuration, made ready to be asked.

use super::{KeyPart, KeyText, Measure, Rule, Terms};
use std::collections::HashMap;
use std::sync::Arc;

/// All rules in force, by position.
#[derive(Debug, Default)]
pub struct RuleSet {
    /// The rules.
    pub rules: Vec<ReadyRule>,
    /// The distinct lists of key parts that rules have; a request's key is computed once for each.
    pub keys: Vec<Vec<KeyPart>>,
}

/// One rule with what is computed from it once.
#[derive(Debug)]
pub struct ReadyRule {
    /// The rule.
    pub rule: Rule,
    /// Position of its key parts in [`RuleSet::keys`]; `None` for a rule with one account.
    pub key: Option<u16>,
    /// What is mixed into the ids of its accounts: the digest of its name.
    pub salt: u128,
    terms: Arc<Terms>,
    overrides: HashMap<u128, Arc<Terms>>,
}

impl RuleSet {
    /// Makes `rules` ready, in their order.
    pub fn new(rules: &[Rule]) -> RuleSet {
        RuleSet::after(&RuleSet::default(), rules)
    }

    /// As [`new`](RuleSet::new), after `before`: what is the same is shared with it, so that workers need not
    /// look accounts up again.
    pub fn after(before: &RuleSet, rules: &[Rule]) -> RuleSet {
        let mut keys: Vec<Vec<KeyPart>> = Vec::new();
        let rules = rules.iter().map(|rule| {
            let place = keys.iter().position(|parts| *parts == rule.key).unwrap_or(keys.len());
            if place == keys.len() && !rule.key.is_empty() {
                keys.push(rule.key.clone());
            }
            let before = before.named(&rule.name).map(|(_, ready)| ready);
            ReadyRule::new(rule, (!rule.key.is_empty()).then_some(place as u16), before)
        });
        RuleSet { rules: rules.collect(), keys }
    }

    /// The rule of that name, and its position.
    pub fn named(&self, name: &str) -> Option<(u32, &ReadyRule)> {
        (0u32..).zip(&self.rules).find(|(_, ready)| *ready.rule.name == *name)
    }
}

impl ReadyRule {
    fn new(rule: &Rule, key: Option<u16>, before: Option<&ReadyRule>) -> ReadyRule {
        let ready = |measure: &Measure, known: Option<&Arc<Terms>>| {
            let terms = Terms::new(&rule.name, rule.unit, measure);
            known.filter(|known| ***known == terms).cloned().unwrap_or_else(|| Arc::new(terms))
        };
        let mut overrides = HashMap::new();
        for other in &rule.overrides {
            let known = before.and_then(|before| before.overrides.get(&other.key));
            overrides.insert(other.key, ready(&other.measure, known));
        }
        ReadyRule {
            key,
            salt: KeyText::of_api_key(rule.name.as_bytes()),
            terms: ready(&rule.measure, before.map(|before| &before.terms)),
            overrides,
            rule: rule.clone(),
        }
    }

    /// What an account of that key is allowed.
    pub fn terms_for(&self, key: u128) -> &Arc<Terms> {
        match self.overrides.is_empty() {
            true => &self.terms,
            false => self.overrides.get(&key).unwrap_or(&self.terms),
        }
    }
}
