//! Prices in force: lists joined, what is told of them, and what has none although somebody counts its cost.

use super::World;
use crate::base::Money;
use crate::config::diagnostic::{Place, quoted};
use crate::config::resources::backend;
use crate::config::settings::UnknownModel;
use crate::config::snapshot::{Backend, BackendChoice, Snapshot};
use crate::limit::Unit;
use crate::llm::price::{Catalogue, PriceRow, Rates, Tier};

/// Joins all lists in the order of their sources, later rows in the place of earlier ones. The first `built_in` of the
/// sources are the program's own.
pub(super) fn compile(world: &World<'_>, built_in: u32) -> Catalogue {
    let is_ours = |at: Place| at.file < built_in;
    let lists = || world.all.prices.iter().filter_map(|list| Some((list.meta.name.at, list.spec.as_ref()?)));
    let replaced = lists().any(|(_, list)| list.replace);
    let rows = lists().filter(|(at, _)| !(replaced && is_ours(*at))).flat_map(|(_, list)| &list.rows);
    Catalogue::new(rows.flat_map(|row| {
        let place = if is_ours(row.at()) { "built in".to_owned() } else { world.faults.name(row.at()) };
        let origin = row.origin(&place);
        row.models.iter().map(move |model| PriceRow {
            vendor: row.vendor,
            model: model.value.clone(),
            price: row.price.clone(),
            origin: origin.clone(),
        })
    }))
}

/// Says which Backends ask for models whose cost is counted and is nothing, or whose requests are all refused.
pub(super) fn warn(world: &World<'_>, snapshot: &Snapshot) {
    for (_, resource) in world.all.all_backends() {
        let Some(backend::Backend::Ai { groups, .. }) = &resource.spec else { continue };
        for member in groups.iter().flatten() {
            let resource = resource.meta.to_string();
            let name = member.name.as_ref().map_or(resource.clone(), |name| format!("{resource}/{name}"));
            if let Some(backend) = snapshot.backends.iter().find(|backend| *backend.name == *name) {
                warn_of(world, snapshot, backend, member.ai.at);
            }
        }
    }
}

/// The same of one provider of a Backend.
fn warn_of(world: &World<'_>, snapshot: &Snapshot, backend: &Backend, at: Place) {
    let policy = snapshot.settings.prices.unknown_model;
    let empty = snapshot.catalogue.is_empty(); // then the limits are warned of
    let name = &backend.name;
    let Some((vendor, model)) =
        asks_for(backend).filter(|(vendor, model)| !has_price(snapshot, vendor, model))
    else {
        return;
    };
    let what = format!("Backend {name} asks for {}, which has no price at {vendor}", quoted(model));
    let help = format!(
        "add a row for it to a Prices resource: {{provider: {vendor}, model: ..., input: ..., output: ...}}"
    );
    match policy {
        UnknownModel::Deny => {
            let message = format!("{what}: all its requests are refused (prices.unknownModel: deny)");
            world.faults.warn_with_help(at, message, help);
        }
        UnknownModel::Free if !empty => {
            let Some(limit) = cost_limit(snapshot, backend) else { return };
            let message = format!("{what}: it counts nothing for limit {limit}");
            world.faults.warn_with_help(at, message, help);
        }
        UnknownModel::Free | UnknownModel::At(_) => {}
    }
}

/// Who is paid by a backend, and the model that it asks for whatever the client names.
fn asks_for(backend: &Backend) -> Option<(&'static str, &str)> {
    Some((backend.vendor?, backend.ai()?.model.as_deref()?))
}

fn has_price(snapshot: &Snapshot, vendor: &str, model: &str) -> bool {
    snapshot.catalogue.find(vendor, model).is_some()
}

/// The first limit on money that a request to this backend is counted by.
fn cost_limit<'a>(snapshot: &'a Snapshot, backend: &Backend) -> Option<&'a str> {
    let leads_here = |choice: &BackendChoice| match choice {
        BackendChoice::Backend { index, .. } => {
            snapshot.backends.get(*index as usize).is_some_and(|other| other.resource == backend.resource)
        }
        BackendChoice::Invalid => false,
    };
    let rules =
        snapshot.rules.iter().filter(|rule| rule.backends.iter().any(|(_, choice)| leads_here(choice)));
    let limits = rules.flat_map(|rule| &rule.limits).chain(&backend.limits);
    let mut limits = limits.filter_map(|limit| snapshot.limits.get(*limit as usize));
    limits.find(|limit| limit.unit == Unit::Cost).map(|limit| &*limit.name)
}

/// What the models cost that Backends ask for, a line each; and for vendors at which clients name the model, how many
/// names have a price.
pub(super) fn lines(snapshot: &Snapshot) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let unknown = unknown(&snapshot.settings.prices.unknown_model);
    for backend in &snapshot.backends {
        let (Some(vendor), asked) = (backend.vendor, asks_for(backend)) else { continue };
        let line = match asked {
            None => {
                let names = snapshot.catalogue.names(vendor);

                format!(
                    "prices at {vendor}: of the model that the client names, {names} are listed; {unknown}"
                )
            }
            Some((_, model)) => {
                match snapshot.catalogue.find(vendor, model).and_then(|id| snapshot.catalogue.get(id)) {
                    None => format!("price of {model} at {vendor}: none; {unknown}"),
                    Some(listed) => {
                        let tier = |tier: &Tier| {
                            format!("; above {} tokens of input {}", tier.above, amounts(&tier.rates))
                        };
                        let tiers: String = listed.price.tiers.iter().map(tier).collect();
                        let base = amounts(&listed.price.base);
                        format!(
                            "price of {model} at {vendor}: {base}{tiers}; USD per million ({})",
                            listed.origin
                        )
                    }
                }
            }
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

fn unknown(policy: &UnknownModel) -> String {
    match policy {
        UnknownModel::Free => "models without a price cost nothing".into(),
        UnknownModel::Deny => "models without a price are refused".into(),
        UnknownModel::At(rates) => {
            format!("models without a price cost {}; USD per million (prices.unknownModel)", amounts(rates))
        }
    }
}

/// `1.00 input, 0.10 cached, 1.25 cache write, 5.00 output`: all prices but those that are another's anyway.
fn amounts(rates: &Rates) -> String {
    let dollars = |nano: u64| Money(i64::try_from(nano).unwrap_or(i64::MAX)).to_string();
    let amount = |(nano, usual, name): (u64, Option<u64>, &str)| {
        (Some(nano) != usual).then(|| format!("{} {name}", dollars(nano)))
    };
    let all = [
        (rates.input, None, "input"),
        (rates.cached_input, Some(rates.input), "cached"),
        (rates.cache_write, Some(rates.input), "cache write"),
        (rates.cache_write_1h, Some(rates.cache_write), "cache write for 1 h"),
        (rates.audio_input, Some(rates.input), "audio input"),
        (rates.output, None, "output"),
        (rates.reasoning, Some(rates.output), "reasoning"),
        (rates.audio_output, Some(rates.output), "audio output"),
    ];
    all.into_iter().filter_map(amount).collect::<Vec<_>>().join(", ")
}
