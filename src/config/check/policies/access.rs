//! What policies demand of callers: parts, each of which the most special policy decides.

use super::parts::{self, Parts};
use super::scope::Scope;
use super::{Way, World, users};
use crate::access::cel::Expression;
use crate::access::{Action, Key, Keys, Location, Policy, Tokens, TwinKeys, Users};
use crate::config::check::environment::Secrets;
use crate::config::diagnostic::{Located, Place, Reason, listing};
use crate::config::resources::access::{Access, ApiKeys, KeySource, Labels, entry};
use crate::config::resources::secret::{Entry, SecretText};
use crate::config::resources::{Meta, Resource};
use crate::limit::{KeyPart, Rule};
use std::collections::HashMap;
use std::sync::Arc;

/// A field of `traffic`.
pub(super) enum Part {
    Tokens(Arc<Tokens>),
    Keys(Arc<Keys>),
    Users(Arc<Users>),
}

/// How many kinds of parts there are.
const KINDS: usize = 3;

/// Rules add up: those of all policies apply.
pub(super) enum RulePart {
    Network(Action, Vec<Arc<Expression>>),
    Rules(Action, Vec<Arc<Expression>>),
}

/// What all policies demand.
#[derive(Default)]
pub(super) struct Demands {
    pub(super) parts: Parts<Part>,
    pub(super) rules: Parts<RulePart>,
}

/// What is in force on one way.
#[derive(Clone)]
pub(in crate::config::check) struct Chosen {
    pub(in crate::config::check) policy: Arc<Policy>,
    /// The places in the list of what it is made of.
    parts: [Option<usize>; KINDS],
    rules: Vec<usize>,
}

impl PartialEq for Chosen {
    fn eq(&self, other: &Chosen) -> bool {
        self.parts == other.parts && self.rules == other.rules
    }
}

impl Eq for Chosen {}

impl parts::Part for Part {
    fn kind(&self) -> (usize, &'static str) {
        match self {
            Part::Tokens(_) => (0, "jwtAuthentication"),
            Part::Keys(_) => (1, "apiKeyAuthentication"),
            Part::Users(_) => (2, "basicAuthentication"),
        }
    }
}

impl parts::Part for RulePart {
    fn kind(&self) -> (usize, &'static str) {
        match self {
            RulePart::Network(..) => (0, "networkAuthorization"),
            RulePart::Rules(..) => (1, "authorization"),
        }
    }
}

/// Adds what a policy demands on its targets. A part with a fault is left out: nothing comes of it.
pub(super) fn add(
    demands: &mut Demands,
    world: &World<'_>,
    secrets: &Secrets,
    (meta, scopes): (&Meta, &[Scope]),
    access: &Access,
    tokens: Option<Tokens>,
) {
    if let (Some(given), Some(tokens)) = (&access.tokens, tokens) {
        demands.parts.add(scopes, given.at, Part::Tokens(Arc::new(tokens)));
    }
    if let Some(given) = &access.users
        && let Some(users) = users::compile(world, secrets, meta, given)
    {
        demands.parts.add(scopes, given.at, Part::Users(Arc::new(users)));
    }
    if let Some(given) = &access.keys
        && let Some(keys) = keys(world, secrets, meta, given)
    {
        demands.parts.add(scopes, given.at, Part::Keys(Arc::new(keys)));
    }
    for (given, part) in [
        (&access.network, RulePart::Network as fn(Action, Vec<Arc<Expression>>) -> RulePart),
        (&access.rules, RulePart::Rules),
    ] {
        if let Some(Located { value, at }) = given {
            demands.rules.add(scopes, *at, part(value.action, value.expressions.clone()));
        }
    }
}

/// What applies to a rule of a route reached through a listener.
pub(super) fn on(demands: &Demands, world: &World<'_>, way: &Way<'_>) -> Option<Chosen> {
    let parts: [Option<usize>; KINDS] = demands.parts.on(world, way);
    let rules = demands.rules.all_on(way);
    let mut policy = Policy::default();
    for place in parts.iter().flatten() {
        match demands.parts.get(*place) {
            Some(Part::Tokens(tokens)) => policy.tokens = Some(tokens.clone()),
            Some(Part::Keys(keys)) => policy.keys = Some(keys.clone()),
            Some(Part::Users(users)) => policy.users = Some(users.clone()),
            None => {}
        }
    }
    for part in rules.iter().filter_map(|place| demands.rules.get(*place)) {
        let (list, action, expressions) = match part {
            RulePart::Network(action, expressions) => (&mut policy.network, action, expressions),
            RulePart::Rules(action, expressions) => (&mut policy.rules, action, expressions),
        };
        expressions.iter().for_each(|expression| list.push(*action, expression.clone()));
    }
    let is_any = parts.iter().any(Option::is_some) || !rules.is_empty();
    is_any.then(|| Chosen { policy: Arc::new(policy), parts, rules })
}

/// Refuses to have the header that holds callers' credentials in records, or as the key of a limit, which accounts are
/// labelled with. Headers that always hold one are refused where they are named.
pub(super) fn refuse_shown<'r>(
    demands: &Demands,
    world: &World<'_>,
    records: &[Arc<str>],
    limits: impl Iterator<Item = (&'r Rule, Place)>,
) {
    let mut by_header: HashMap<&str, Vec<(&Rule, Place)>> = HashMap::new();
    for (rule, at) in limits {
        for part in &rule.key {
            if let KeyPart::Header(header) = part {
                by_header.entry(header).or_default().push((rule, at));
            }
        }
    }
    for (at, part) in demands.parts.all() {
        let location = match part {
            Part::Tokens(tokens) => &tokens.location,
            Part::Keys(keys) => keys.location(),
            Part::Users(_) => continue,
        };
        let Location::Header { name, .. } = location else { continue };
        if records.iter().any(|shown| **shown == **name) {
            let message =
                format!("records would hold the credential: records.headers of Settings names {name:?}");
            let help = "remove it there: the member `identity` of a record says who called";
            world.faults.fault_with_help(at, message, help);
        }
        for (rule, at) in by_header.get(&**name).into_iter().flatten() {
            let message =
                format!("the key of limit {} is the header {name:?}, which holds a credential", rule.name);
            world.faults.fault_with_help(*at, message, "write apiKey: {}, which is hashed, or a claim");
        }
    }
}

/// The keys of a policy; `None` after a fault.
fn keys(world: &World<'_>, secrets: &Secrets, meta: &Meta, given: &ApiKeys) -> Option<Keys> {
    let (mut keys, mut places, mut is_whole) = (Vec::new(), Vec::new(), true);
    let mut read = |entry: &Entry, text: Option<&[u8]>, hashed: bool| {
        let at = entry.value.at;
        match text.map(|text| entry::read(&entry.key, text, hashed)) {
            Some(Ok(key)) => {
                keys.push(key);
                places.push(at);
            }
            Some(Err((what, help))) => {
                world.faults.fault_with_help(at, format!("{:?} {what}", entry.key), help);
                is_whole = false;
            }
            None => is_whole = false, // reported where it was read
        }
    };
    match &given.source {
        KeySource::Secret(name) => {
            let wanted = (meta.namespace.as_str(), name.value.as_str());
            let secret = world.find(&world.all.secrets, "Secret", wanted, name.at)?;
            for entry in secret.spec.iter().flat_map(|secret| &secret.entries) {
                let text = secrets.value(wanted.0, wanted.1, &entry.key).flatten();
                read(entry, text, false);
            }
        }
        KeySource::Secrets(labels) => {
            for secret in labelled(world, &world.all.secrets, "Secret", meta, labels)? {
                for entry in secret.spec.iter().flat_map(|secret| &secret.entries) {
                    let name = secret.meta.name.value.as_str();
                    let text = secrets.value(&meta.namespace, name, &entry.key).flatten();
                    read(entry, text, false);
                }
            }
        }
        KeySource::ConfigMaps(labels) => {
            for map in labelled(world, &world.all.config_maps, "ConfigMap", meta, labels)? {
                for entry in map.spec.iter().flat_map(|map| &map.entries) {
                    match &entry.value.value {
                        SecretText::Bytes(text) => read(entry, Some(text), true),
                        SecretText::Template(_) | SecretText::Refused => {} // a ConfigMap has none
                    }
                }
            }
        }
    }
    if keys.is_empty() && is_whole {
        world.faults.warn(given.at, "there is no API key, so nobody is let in by one");
    }
    is_whole.then(|| distinct(world, given, keys, &places)).flatten()
}

fn distinct(world: &World<'_>, given: &ApiKeys, keys: Vec<Key>, places: &[Place]) -> Option<Keys> {
    let made = Keys::new(given.mode, given.location.clone(), keys);
    made.map_err(|TwinKeys(first, second)| {
        let [first, second] = [first, second].map(|place| places.get(place).copied().unwrap_or(given.at));
        let help = format!("it stands at {} already; keep one", world.faults.name(first));
        world.faults.fault_with_help(second, "this API key is there twice", help);
    })
    .ok()
}

/// The resources of the policy's namespace with all these labels; none is a fault.
fn labelled<'r, T>(
    world: &World<'_>,
    list: &'r [Resource<T>],
    kind: &str,
    meta: &Meta,
    labels: &Located<Labels>,
) -> Option<Vec<&'r Resource<T>>> {
    let has = |found: &Meta| labels.value.iter().all(|label| found.labels.contains(label));
    let found: Vec<_> =
        list.iter().filter(|found| found.meta.namespace == meta.namespace && has(&found.meta)).collect();
    if found.is_empty() {
        let wanted: Vec<String> = labels.value.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let wanted = listing(wanted.iter().map(String::as_str));
        let message = format!("no {kind} in namespace {:?} has the labels {wanted}", meta.namespace);
        let at = labels.at.because(Reason::NotFound);
        world.faults.fault_with_help(at, message, "label the ones that hold the API keys");
        return None;
    }
    Some(found)
}
