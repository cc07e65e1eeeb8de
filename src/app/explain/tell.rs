//! What a person reads of it.

use super::rehearsal::{Became, capacity};
use super::witness::Seen;
use crate::app::screen::{Ink, field, paint};
use crate::config::{Backend, JwksOrigin, JwksSource, Rule, Snapshot, Target};
use crate::limit::Amount;
use crate::route::why::Judged;
use serde_json::Value;

/// Matches that are told of, unless all are wanted.
const OTHERS: usize = 8;
/// The most of a body that is shown, in bytes.
const SHOWN: usize = 4 << 10;
/// Headers of what is sent whose values are credentials.
const CREDENTIALS: [&str; 7] = [
    "authorization",
    "proxy-authorization",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "x-amz-security-token",
    "cookie",
];

/// What is known of the configuration before it was rehearsed.
pub(super) struct Known {
    /// The listener that the request comes in by.
    pub(super) listener: String,
    /// Why matches take it or do not; the rule's name with each.
    pub(super) judged: Vec<(String, Judged)>,
    /// By name of the backend, where it is.
    backends: Vec<(String, String)>,
    /// By name, what limits allow.
    limits: Vec<(String, String)>,
    /// By name of the rule, the sources of issuers' keys that would have to be asked.
    unasked: Vec<(String, String)>,
}

impl Known {
    pub(super) fn of(snapshot: &Snapshot, listener: String, judged: Vec<Judged>) -> Known {
        let name = |target: u32| snapshot.rules.get(target as usize).map(|rule| rule.name.to_string());
        let judged = judged.into_iter().filter_map(|judged| Some((name(judged.target)?, judged)));
        let place = |backend: &Backend| snapshot.targets.get(backend.target as usize).map(Target::to_string);
        let backends = snapshot
            .backends
            .iter()
            .map(|backend| (backend.name.to_string(), place(backend).unwrap_or_default()));
        let limits = snapshot.limits.iter().map(|rule| (rule.name.to_string(), rule.allowance().to_string()));
        let unasked = snapshot.rules.iter().flat_map(|rule| unasked(snapshot, rule));
        Known {
            listener,
            judged: judged.collect(),
            backends: backends.collect(),
            limits: limits.collect(),
            unasked: unasked.collect(),
        }
    }
}

/// The sources of keys for tokens of a rule's callers that are URLs, each with the rule's name.
fn unasked<'a>(snapshot: &'a Snapshot, rule: &'a Rule) -> impl Iterator<Item = (String, String)> + 'a {
    let tokens = rule.access.iter().filter_map(|access| access.tokens.as_deref());
    let sources = tokens.flat_map(|tokens| &tokens.verifier.issuers).map(|issuer| issuer.source as usize);
    let urls = sources.filter_map(|source| match snapshot.jwks.get(source)? {
        JwksSource { name, origin: JwksOrigin::Url { .. } } => Some(name.clone()),
        _ => None,
    });
    urls.map(|name| (rule.name.to_string(), name))
}

/// All of it. `balances` are lines that a running gateway said of accounts, by id.
pub(super) fn text(known: &Known, became: &Became, balances: &[(u128, String)], all: bool) -> String {
    let record = &became.record;
    let word = |name: &str| record[name].as_str();
    let mut out = field(0, "listener", &known.listener);
    match word("route") {
        Some(route) => out += &field(0, "rule", &format!("HTTPRoute {route}/{}", record["rule"])),
        None => out += &field(0, "rule", "none takes it"),
    }
    let key = word("key").map(|key| format!("key sha256:{key}"));
    let caller: Vec<String> =
        key.into_iter().chain(word("identity").map(|name| format!("known as {name}"))).collect();
    if !caller.is_empty() {
        out += &field(0, "caller", &caller.join(", "));
    }
    let rule = word("route").map(|route| format!("{route}/{}", record["rule"]));
    for (_, source) in known.unasked.iter().filter(|(name, _)| Some(name) == rule.as_ref()) {
        let meaning = "are not fetched here, so that a token of their issuer cannot be verified";
        out += &field(0, "unknown", &format!("the keys of {source} {meaning}"));
    }
    if let Some(format) = word("format") {
        let model = word("model_asked").unwrap_or("no model");
        let streamed = if record["streamed"] == true { ", streamed" } else { "" };
        out += &field(0, "asks for", &format!("{model} in {format}{streamed}"));
    }
    out += &limits(known, became, balances);
    if let Some(backend) = word("backend") {
        let place = known.backends.iter().find(|(name, _)| name == backend).map(|(_, place)| place.as_str());
        let provider = word("provider").map_or(String::new(), |provider| format!(" ({provider})"));
        out += &field(0, "backend", &format!("{backend}{provider} at {}", place.unwrap_or("?")));
    }
    became.seen.iter().for_each(|seen| out += &sent(seen));
    if became.seen.iter().all(|seen| seen.question().is_some()) {
        out += &answer(&became.answer);
    }
    out + &others(known, record, all)
}

fn limits(known: &Known, became: &Became, balances: &[(u128, String)]) -> String {
    let mut out = String::new();
    let decisions = became.record["limits"].as_array().map(Vec::as_slice).unwrap_or_default();
    for decision in decisions {
        let name = decision["rule"].as_str().unwrap_or_default();
        let allows = known.limits.iter().find(|(known, _)| known == name).map_or("", |(_, allows)| allows);
        let account = became.accounts.iter().find(|account| *account.terms().rule == *name);
        let mut line = format!("{name}: {allows}");
        if let Some(account) = account {
            let unit = account.terms().unit;
            let amount = |amount: u64| Amount { unit, amount };
            let key = if account.label().is_empty() { "" } else { " for " };
            let reserved = decision["reserved"].as_u64().unwrap_or_default();
            let verdict = match decision["admitted"] == true {
                true => {
                    paint(Ink::Green, &format!("takes {} of {}", amount(reserved), amount(capacity(account))))
                }
                false => paint(Ink::Yellow, "refuses"),
            };
            line += &format!("; {verdict}{key}{}", account.label());
            if let Some((_, balance)) = balances.iter().find(|(id, _)| *id == account.id()) {
                line += &format!("; now {balance}");
            }
        }
        out += &field(0, "limit", &line);
    }
    out
}

/// What a provider or a host would be sent.
fn sent(seen: &Seen) -> String {
    let mut lines = seen.head.iter();
    let what = if seen.question().is_some() { "guard asks" } else { "sends" };
    let mut out = field(0, what, &without_key(lines.next().map_or("", String::as_str)));
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let shown = match CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known)) {
            true => " (a credential)",
            false => value,
        };
        out += &format!("             {name}:{shown}\n");
    }
    out + &body(&seen.body)
}

/// A start line without the value of a credential in its query.
fn without_key(line: &str) -> String {
    let (before, query) = line.split_once('?').unwrap_or((line, ""));
    let fields = query.split('&').map(|field| match field.split_once('=') {
        Some((name @ ("key" | "$key" | "access_token"), value)) => {
            let rest = value.find(' ').map_or("", |at| value.get(at..).unwrap_or_default());
            format!("{name}=(a credential){rest}")
        }
        _ => field.to_owned(),
    });
    let fields: Vec<String> = fields.collect();
    if query.is_empty() { before.to_owned() } else { format!("{before}?{}", fields.join("&")) }
}

/// The answer of the gateway itself.
fn answer(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let (head, rest) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default().trim_start_matches("HTTP/1.1 ");
    let mut out = field(0, "answers", &paint(Ink::Yellow, status));
    lines.for_each(|line| out += &format!("             {line}\n"));
    out + &body(rest.as_bytes())
}

/// JSON with its members on lines, other text as it is; as much as fits.
fn body(body: &[u8]) -> String {
    if body.is_empty() {
        return String::new();
    }
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
    let text = String::from_utf8_lossy(body);
    let text = if is_json { on_lines(&text) } else { text.into_owned() };
    let end = (0..=SHOWN.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let (shown, rest) = text.split_at(end);
    let mut out = String::from("\n");
    shown.lines().for_each(|line| out += &format!("             {line}\n"));
    if !rest.is_empty() {
        out += &format!("             ... and {} bytes more\n", rest.len());
    }
    out
}

/// JSON with a line for each member and element, in the order in which they are sent.
fn on_lines(json: &str) -> String {
    let (mut out, mut depth, mut in_text, mut escaped) = (String::new(), 0usize, false, false);
    let mut rest = json.chars().peekable();
    while let Some(character) = rest.next() {
        if in_text {
            out.push(character);
            in_text = escaped || character != '"';
            escaped = !escaped && character == '\\';
            continue;
        }
        let line = |out: &mut String, depth: usize| *out += &format!("\n{}", "  ".repeat(depth));
        match character {
            '{' | '[' => {
                out.push(character);
                while rest.next_if(|next| next.is_ascii_whitespace()).is_some() {}
                match rest.next_if(|next| matches!(next, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(character);
            }
            ',' => {
                out.push(character);
                line(&mut out, depth);
            }
            ':' => out += ": ",
            _ if character.is_ascii_whitespace() => {}
            _ => {
                in_text = character == '"';
                out.push(character);
            }
        }
    }
    out
}

/// Rules that do not serve it, and why.
fn others(known: &Known, record: &Value, all: bool) -> String {
    let winner = record["route"].as_str().map(|route| format!("{route}/{}", record["rule"]));
    let others: Vec<_> = known.judged.iter().filter(|(name, _)| Some(name) != winner.as_ref()).collect();
    let shown = if all { others.len() } else { OTHERS.min(others.len()) };
    let mut out = String::new();
    for (name, judged) in others.iter().take(shown) {
        let missing: Vec<String> = judged.missing.iter().map(ToString::to_string).collect();
        let why = match missing.is_empty() {
            true => "takes it too, and ranks behind".to_owned(),
            false => format!("wants {}", missing.join(", ")),
        };
        out += &field(0, "not", &format!("{name}: {why}"));
    }
    if others.len() > shown {
        out += &field(0, "", &format!("and {} matches more; --all tells them", others.len() - shown));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_put_on_lines_and_nothing_of_it_changes() {
        for (json, expected) in [
            ("{}", "{}"),
            ("[ ]", "[]"),
            ("1.50e3", "1.50e3"),
            (
                r#"{"b":1,"a":[true, {"x" : "y,:{}\\\" "}],"c":{ }}"#,
                "{\n  \"b\": 1,\n  \"a\": [\n    true,\n    {\n      \"x\": \"y,:{}\\\\\\\" \"\n    }\n  ],\n  \"c\": {}\n}",
            ),
        ] {
            assert_eq!(on_lines(json), expected);
            let same = |text: &str| serde_json::from_str::<Value>(text).expect("JSON");
            assert_eq!(same(&on_lines(json)), same(json));
        }
    }

    #[test]
    fn keys_in_queries_are_not_shown() {
        for (line, shown) in [
            ("GET /a HTTP/1.1", "GET /a HTTP/1.1"),
            ("GET /a?key=s HTTP/1.1", "GET /a?key=(a credential) HTTP/1.1"),
            ("GET /a?b=c&access_token=s&d HTTP/1.1", "GET /a?b=c&access_token=(a credential)&d HTTP/1.1"),
        ] {
            assert_eq!(without_key(line), shown);
        }
    }
}
