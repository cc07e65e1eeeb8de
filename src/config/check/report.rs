//! What is in force, in words for people.

use super::attach;
use super::policies::{PolicyKind, Told};
use crate::access;
use crate::config::diagnostic::listing;
use crate::config::snapshot::{
    AiBackend, Backend, BackendChoice, HttpsListener, Listener, Rule, Snapshot, Target,
};
use crate::config::trust::ClientCheck;
use crate::limit::{self, KeyPart, MissingKey, Mode, OnExhausted, Unit};
use crate::llm::policy::Policy;
use crate::route::cors::AllowedOrigin;
use crate::route::matches::RouteMatch;

/// What is in force: listeners with the ways through them, then limits.
pub(super) fn lines(snapshot: &Snapshot, told: &[Vec<attach::Told>], policies: &[Told]) -> Vec<String> {
    let mut lines = Vec::new();
    for (head, ways) in snapshot.listeners.iter().flat_map(listener_lines).zip(told) {
        lines.push(head);
        for way in ways {
            let Some(rule) = snapshot.rules.get(way.target as usize) else { continue };
            let host = way.hostname.as_deref().unwrap_or("any host");
            let answer = answer(snapshot, rule);
            let counted = match rule.tokenizer {
                Some(tokenizer) => format!(", input counted by {}", tokenizer.name()),
                None => String::new(),
            };
            let matches = matches(&way.matches);
            let policy = rule.policy.as_ref().map_or(String::new(), |policy| policy_part(snapshot, policy));
            let callers = rule.access.as_ref().map_or(String::new(), |access| access_part(access));
            let filters = filters_part(snapshot, rule);
            lines.push(format!(
                "  HTTPRoute {}: {host}, {matches} -> {answer}{counted}{policy}{callers}{filters}",
                rule.name
            ));
        }
    }
    let chunk = snapshot.settings.limits.stream_chunk;
    lines.extend(snapshot.limits.iter().zip(policies).map(|(limit, told)| limit_line(limit, told, chunk)));
    lines
}

/// One line for each table.
fn listener_lines(listener: &Listener) -> Vec<String> {
    if let [only] = listener.http.as_slice() {
        return vec![format!("listener {}: http://{}", only.name, listener.bind)];
    }
    let in_the_clear = listener.http.iter().map(|http| {
        let host = http.hostname.as_deref().unwrap_or("every other host");
        format!("listener {}: http://{} for {host}", http.name, listener.bind)
    });
    let line = |https: &HttpsListener| {
        let host = https.hostname.as_deref().unwrap_or("any host");
        let secrets: Vec<&str> = https.certificates.iter().map(|certificate| &*certificate.name).collect();
        let certificates = format!("certificate of Secret {}", secrets.join(", "));
        let clients = https.clients.as_ref().map_or(String::new(), |clients| clients_part(clients));
        let spoken = https.spoken.as_ref().map_or(String::new(), |spoken| format!(", {spoken}"));
        format!(
            "listener {}: https://{} for {host}, {certificates}{spoken}{clients}",
            https.name, listener.bind
        )
    };
    in_the_clear.chain(listener.https.iter().map(line)).collect()
}

/// `, clients with a certificate of ConfigMap llm/ca alone`
fn clients_part(clients: &ClientCheck) -> String {
    let name = &clients.trust.name;
    match clients.is_demanded {
        true => format!(", clients with a certificate of {name} alone"),
        false => format!(", clients asked for a certificate of {name} and let in without"),
    }
}

fn matches(matches: &RouteMatch) -> String {
    let mut line = format!("path {}", matches.path);
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
    if let Some(direct) = &rule.filters.direct {
        return format!("answer {}", direct.status);
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

/// `; copies of 10 in 100 to Backend llm/shadow at http://shadow:80; cors for 2 origins`
fn filters_part(snapshot: &Snapshot, rule: &Rule) -> String {
    let mut parts = String::new();
    for mirror in &rule.filters.mirrors {
        if let Some(backend) = snapshot.backends.get(mirror.target as usize) {
            let share = match mirror.numerator == mirror.out_of {
                true => "all".to_owned(),
                false => format!("{} in {}", mirror.numerator, mirror.out_of),
            };
            parts.push_str(&format!("; copies of {share} to {}", backend_line(snapshot, backend)));
        }
    }
    if let Some(cors) = &rule.filters.cors {
        let origins = match cors.origins.as_slice() {
            origins if origins.contains(&AllowedOrigin::Any) => "every origin".to_owned(),
            [_] => "1 origin".to_owned(),
            many => format!("{} origins", many.len()),
        };
        parts.push_str(&format!("; cors for {origins}"));
    }
    parts
}

fn backend_line(snapshot: &Snapshot, backend: &Backend) -> String {
    let target = snapshot.targets.get(backend.target as usize);
    let origin = target.map(Target::to_string).unwrap_or_default();
    let tls = target.map_or(String::new(), tls_part);
    match backend.ai() {
        None => format!("Backend {} at {origin}{tls}", backend.name),
        Some(AiBackend { dialect, model, path, .. }) => {
            let model = model.as_deref().unwrap_or("the client's model");
            format!("Backend {} ({}, {model}) at {origin}{path}{tls}", backend.name, dialect.name)
        }
    }
}

/// ` (as a.test, verified by ConfigMap llm/ca)`
fn tls_part(target: &Target) -> String {
    let name = target.tls.as_ref().filter(|name| **name != target.host).map(|name| format!("as {name}"));
    let own = target.own_tls.as_ref().map(|own| own.to_string());
    let parts: Vec<String> = name.into_iter().chain(own).collect();
    if parts.is_empty() { String::new() } else { format!(" ({})", parts.join(", ")) }
}

/// `; callers: 2 rules of addresses, tokens of 1 issuer (Strict), 2 users with passwords (Strict), 3 API keys (Optional), 1 rule`
fn access_part(access: &access::Policy) -> String {
    let counted = |count: usize, one: &str, more: &str| match count {
        0 => None,
        1 => Some(format!("1 {one}")),
        many => Some(format!("{many} {more}")),
    };
    let keys = |keys: &access::Keys| {
        let count = counted(keys.count(), "API key", "API keys").unwrap_or("no API key".into());
        format!("{count} ({})", keys.mode.name())
    };
    let tokens = |tokens: &access::Tokens| {
        let count = counted(tokens.verifier.issuers.len(), "issuer", "issuers").unwrap_or("nobody".into());
        format!("tokens of {count} ({})", tokens.mode.name())
    };
    let users = |users: &access::Users| {
        let count = counted(users.count(), "user with a password", "users with passwords");
        format!("{} ({})", count.unwrap_or("no user".into()), users.mode.name())
    };
    let parts = [
        counted(access.network.len(), "rule of addresses", "rules of addresses"),
        access.tokens.as_deref().map(tokens),
        access.users.as_deref().map(users),
        access.keys.as_deref().map(keys),
        counted(access.rules.len(), "rule", "rules"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("; callers: {}", parts.join(", "))
}

/// `; overrides model; defaults temperature; 2 aliases; 1 turn before and 0 behind`
fn policy_part(snapshot: &Snapshot, policy: &Policy) -> String {
    let mut parts = String::new();
    for (what, fields) in [("overrides", &policy.overrides), ("defaults", &policy.defaults)] {
        if !fields.is_empty() {
            let names = listing(fields.iter().map(|field| field.name.as_str()));
            parts.push_str(&format!("; {what} {names}"));
        }
    }
    match policy.aliases.len() {
        0 => {}
        1 => parts.push_str("; 1 alias"),
        many => parts.push_str(&format!("; {many} aliases")),
    }
    if !policy.prompt.is_empty() {
        let (before, behind) = (policy.prompt.prepend.len(), policy.prompt.append.len());
        let turns = if before == 1 { "turn" } else { "turns" };
        parts.push_str(&format!("; {before} {turns} before the client's and {behind} behind"));
    }
    match policy.routes.len() {
        0 => {}
        1 => parts.push_str("; the format of 1 ending of paths is given"),
        many => parts.push_str(&format!("; the formats of {many} endings of paths are given")),
    }
    for (what, guard) in [("requests", &policy.guards.request), ("answers", &policy.guards.response)] {
        match guard.len() {
            0 => {}
            1 => parts.push_str(&format!("; {what} guarded by 1 pattern")),
            many => parts.push_str(&format!("; {what} guarded by {many} patterns")),
        }
    }
    let guards = &policy.guards;
    for (what, services) in [("requests", &guards.request_services), ("answers", &guards.response_services)] {
        for service in services.iter().filter_map(|index| snapshot.services.get(*index as usize)) {
            let at = snapshot.targets.get(service.target as usize).map(Target::to_string).unwrap_or_default();
            parts.push_str(&format!("; {what} judged by {} at {at}", service.asks.name()));
        }
    }
    parts
}

fn limit_line(limit: &limit::Rule, told: &Told, chunk: u64) -> String {
    let hint = match (limit.unit, told.kind) {
        (Unit::Requests, PolicyKind::Traffic) => "; write \"unit: tokens\" for LLM tokens",
        _ => "",
    };
    let unit = limit.unit.name();
    let (allowance, key, on) = (limit.allowance(), key(limit), &told.on);
    let bound = bound(limit, chunk);
    let fallback = limit.fallback.as_ref().map(|model| format!("; then {model}")).unwrap_or_default();
    format!("limit {}: {allowance} (unit: {unit}{hint}){key} on {on}{fallback}; {bound}", limit.name)
}

/// ` per API key, header x-team (missing: deny; 3 overrides)`
fn key(limit: &limit::Rule) -> String {
    if limit.key.is_empty() {
        return String::new();
    }
    let part = |part: &KeyPart| match part {
        KeyPart::ApiKey => "API key".to_owned(),
        KeyPart::Header(name) => format!("header {name}"),
        KeyPart::Source => "source address".into(),
        KeyPart::Model => "model".into(),
        KeyPart::Route => "route".into(),
        KeyPart::Claim(name) => format!("claim {name}"),
        KeyPart::Metadata(name) => format!("metadata {name}"),
        KeyPart::User => "user".into(),
    };
    let parts: Vec<String> = limit.key.iter().map(part).collect();
    let missing = match limit.on_missing {
        MissingKey::Deny => "deny",
        MissingKey::Shared => "shared",
        MissingKey::Skip => "skip",
    };
    let overrides = match limit.overrides.len() {
        0 => String::new(),
        1 => "; 1 override".into(),
        many => format!("; {many} overrides"),
    };
    format!(" per {} (missing: {missing}{overrides})", parts.join(", "))
}

/// The mode, and D: by how much what is admitted can exceed what is allowed.
fn bound(limit: &limit::Rule, chunk: u64) -> String {
    if limit.mode == Mode::Shadow {
        return "shadow, refuses nobody".into();
    }
    match (limit.unit, limit.on_exhausted) {
        (Unit::Requests | Unit::Concurrency, _) => "enforced, D = 0".into(),
        (Unit::Tokens | Unit::Cost, OnExhausted::Cut) => format!(
            "enforced, D = one chunk of {chunk} tokens per stream in flight, and what whole answers use beyond \
             their reservation"
        ),
        (Unit::Tokens | Unit::Cost, OnExhausted::Finish) => {
            "enforced, D = what requests in flight use beyond their reservations; carried as debt".into()
        }
    }
}
