use super::attach::Told;
use crate::config::snapshot::{Backend, BackendChoice, BackendKind, Rule, Snapshot, Target};
use crate::limit::{self, Unit};
use crate::route::matches::{PathMatch, RouteMatch};

/// What is in force: listeners with the ways through them, then limits.
pub(super) fn lines(snapshot: &Snapshot, told: &[Vec<Told>], on: &[String]) -> Vec<String> {
    let mut lines = Vec::new();
    for (listener, ways) in snapshot.listeners.iter().zip(told) {
        lines.push(format!("listener {}: http://{}", listener.name, listener.bind));
        for way in ways {
            let Some(rule) = snapshot.rules.get(way.target as usize) else { continue };
            let host = way.hostname.as_deref().unwrap_or("any host");
            let answer = answer(snapshot, rule);
            lines.push(format!("  HTTPRoute {}: {host}, {} -> {answer}", rule.name, matches(&way.matches)));
        }
    }
    lines.extend(snapshot.limits.iter().zip(on).map(|(limit, on)| limit_line(limit, on)));
    lines
}

fn matches(matches: &RouteMatch) -> String {
    let mut line = match &matches.path {
        PathMatch::Exact(path) => format!("path {path}"),
        PathMatch::Prefix(prefix) => format!("path prefix {prefix}"),
        PathMatch::Regex(regex) => format!("path like {}", regex.as_str()),
    };
    if let Some(method) = &matches.method {
        line = format!("{method} {line}");
    }
    for (what, names) in [("header", &matches.headers), ("query", &matches.query)] {
        names.iter().for_each(|(name, _)| line.push_str(&format!(", {what} {name}")));
    }
    line
}

fn answer(snapshot: &Snapshot, rule: &Rule) -> String {
    if let Some(redirect) = &rule.filters.redirect {
        return format!("redirect {}", redirect.status);
    }
    let choice = |(weight, choice): (u32, &BackendChoice)| match choice {
        BackendChoice::Invalid => format!("500 (weight {weight})"),
        BackendChoice::Backend { index, .. } => match snapshot.backends.get(*index as usize) {
            Some(backend) if rule.backends.iter().count() == 1 => backend_line(snapshot, backend),
            Some(backend) => format!("{} (weight {weight})", backend_line(snapshot, backend)),
            None => String::new(),
        },
    };
    let choices: Vec<String> = rule.backends.iter().map(choice).collect();
    match choices.is_empty() {
        true => "500, no backend".into(),
        false => choices.join(" | "),
    }
}

fn backend_line(snapshot: &Snapshot, backend: &Backend) -> String {
    let origin = snapshot.targets.get(backend.target as usize).map(show_target).unwrap_or_default();
    match &backend.kind {
        BackendKind::Static => format!("Backend {} at {origin}", backend.name),
        BackendKind::Ai { provider, model, path, .. } => {
            let model = model.as_deref().unwrap_or("the client's model");
            format!("Backend {} ({}, {model}) at {origin}{path}", backend.name, provider.name())
        }
    }
}

fn show_target(target: &Target) -> String {
    let scheme = if target.tls.is_some() { "https" } else { "http" };
    match target.host.contains(':') {
        true => format!("{scheme}://[{}]:{}", target.host, target.port),
        false => format!("{scheme}://{}:{}", target.host, target.port),
    }
}

fn limit_line(limit: &limit::Rule, on: &str) -> String {
    let hint = match limit.unit {
        Unit::Requests => "; write \"unit: tokens\" for LLM tokens",
        _ => "",
    };
    format!("limit {}: {} (unit: {}{hint}) on {on}", limit.name, limit.allowance(), limit.unit.name())
}
