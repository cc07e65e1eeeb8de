//! The conditions of resources as `tollgate check -o` shows them: a table for people, YAML and JSON as `kubectl get` has them.

use crate::config::{Condition, ListenerStatus, ObjectRef, Observed, Status, Truth};
use serde_json::{Value, json};

/// How they are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Table,
    /// A `kind: List`.
    Yaml,
    /// The same.
    Json,
}

impl Output {
    /// The output of that name.
    ///
    /// # Errors
    /// A sentence for the user.
    pub fn named(name: &str) -> Result<Output, String> {
        match name {
            "table" => Ok(Output::Table),
            "yaml" => Ok(Output::Yaml),
            "json" => Ok(Output::Json),
            other => Err(format!("-o: {other:?} is none of table, yaml and json")),
        }
    }
}

/// All `resources`, with a line end.
pub fn shown(resources: &[Observed], output: Output) -> String {
    let list = || json!({"apiVersion": "v1", "kind": "List", "items": resources});
    match output {
        Output::Table => table(resources),
        Output::Yaml => {
            let mut text = String::new();
            block(&list(), 0, &mut text);
            text
        }
        Output::Json => format!("{:#}\n", list()),
    }
}

/// A resource or a part of one, indented, and its conditions.
type Part<'a> = (String, &'a [Condition]);

/// A row for each condition, its message below it.
pub fn table(resources: &[Observed]) -> String {
    let parts: Vec<Part<'_>> = resources.iter().flat_map(parts).collect();
    let names = parts.iter().map(|(name, _)| name.chars().count());
    let kinds = parts.iter().flat_map(|(_, conditions)| *conditions).map(|condition| condition.kind.len());
    let (name_width, kind_width) = (names.fold(8, usize::max), kinds.fold(9, usize::max));
    let row = |name: &str, kind: &str, status: &str, reason: &str| {
        let row = format!("{name:name_width$}  {kind:kind_width$}  {status:7}  {reason}");
        format!("{}\n", row.trim_end())
    };
    let mut text = row("RESOURCE", "CONDITION", "STATUS", "REASON");
    for (name, conditions) in &parts {
        let mut name = name.as_str();
        if conditions.is_empty() {
            text += &row(name, "", "", "");
        }
        for condition in *conditions {
            text += &row(name, condition.kind, truth(condition.status), condition.reason);
            condition.message.lines().for_each(|line| text += &format!("      {line}\n"));
            name = "";
        }
    }
    text
}

fn parts(resource: &Observed) -> Vec<Part<'_>> {
    let namespace = &resource.metadata.namespace;
    let name = format!("{} {namespace}/{}", resource.kind, resource.metadata.name);
    match &resource.status {
        Status::Backend { conditions } => vec![(name, conditions)],
        Status::Gateway { conditions, listeners } => {
            let listeners = listeners.iter().map(|one| (listener(one), one.conditions.as_slice()));
            std::iter::once((name, conditions.as_slice())).chain(listeners).collect()
        }
        Status::Route { parents } => {
            let part = |what: &ObjectRef| format!("  parent {}", reference(what, namespace));
            let parents = parents.iter().map(|one| (part(&one.parent_ref), one.conditions.as_slice()));
            std::iter::once((name, [].as_slice())).chain(parents).collect()
        }
        Status::Policy { ancestors } => {
            let part = |what: &ObjectRef| format!("  on {}", reference(what, namespace));
            let ancestors = ancestors.iter().map(|one| (part(&one.ancestor_ref), one.conditions.as_slice()));
            std::iter::once((name, [].as_slice())).chain(ancestors).collect()
        }
    }
}

/// `  listener http: 2 routes, HTTPRoute`
fn listener(listener: &ListenerStatus) -> String {
    let kinds: Vec<&str> = listener.supported_kinds.iter().map(|kind| kind.kind).collect();
    let kinds = if kinds.is_empty() { "no kind of routes".to_owned() } else { kinds.join(", ") };
    let count = listener.attached_routes;
    let routes = if count == 1 { "route" } else { "routes" };
    format!("  listener {}: {count} {routes}, {kinds}", listener.name)
}

/// `Gateway default/gw section http port 80`
fn reference(what: &ObjectRef, namespace: &str) -> String {
    let namespace = what.namespace.as_deref().unwrap_or(namespace);
    let mut text = format!("{} {namespace}/{}", what.kind, what.name);
    what.section_name.iter().for_each(|section| text += &format!(" section {section}"));
    what.port.iter().for_each(|port| text += &format!(" port {port}"));
    text
}

fn truth(status: Truth) -> &'static str {
    match status {
        Truth::True => "True",
        Truth::False => "False",
        Truth::Unknown => "Unknown",
    }
}

/// Writes a value as a block of YAML whose first line is indented already.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (index, (key, value)) in map.iter().enumerate() {
                let before = if index == 0 { 0 } else { indent };
                *text += &format!("{:before$}{key}:", "");
                member(value, indent, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (index, item) in items.iter().enumerate() {
                let before = if index == 0 { 0 } else { indent };
                *text += &format!("{:before$}- ", "");
                block(item, indent + 2, text);
            }
        }
        other => *text += &format!("{}\n", scalar(other)),
    }
}

/// Writes what stands behind a key; lists are not indented below it, as `kubectl` writes them.
fn member(value: &Value, indent: usize, text: &mut String) {
    let below = match value {
        Value::Object(map) if !map.is_empty() => indent + 2,
        Value::Array(items) if !items.is_empty() => indent,
        other => {
            *text += &format!(" {}\n", scalar(other));
            return;
        }
    };
    *text += &format!("\n{:below$}", "");
    block(value, below, text);
}

/// A text in quotes unless it can be nothing else than a text: what JSON puts into quotes YAML reads too.
fn scalar(value: &Value) -> String {
    const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_plain = |text: &str| {
        let may_stand = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/' | b'-');
        let is_word = WORDS.contains(&text.to_ascii_lowercase().as_str());
        text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(may_stand) && !is_word
    };
    match value {
        Value::String(text) if is_plain(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_in_quotes_where_they_could_be_something_else() {
        for (value, written) in [
            (json!("kgateway-system"), "kgateway-system"),
            (json!("gateway.networking.k8s.io/v1"), "gateway.networking.k8s.io/v1"),
            (json!("True"), "\"True\""),
            (json!("no"), "\"no\""),
            (json!("8080"), "\"8080\""),
            (json!(""), "\"\""),
            (json!("a: \"b\"\nc"), "\"a: \\\"b\\\"\\nc\""),
            (json!(8080), "8080"),
            (json!([]), "[]"),
        ] {
            assert_eq!(scalar(&value), written);
        }
    }

    #[test]
    fn blocks_are_indented_as_kubectl_does() {
        let mut text = String::new();
        block(&json!({"a": [{"b": 1, "c": {"d": []}}, "e"], "f": {"g": "h"}}), 0, &mut text);
        assert_eq!(text, "a:\n- b: 1\n  c:\n    d: []\n- e\nf:\n  g: h\n");
    }
}
