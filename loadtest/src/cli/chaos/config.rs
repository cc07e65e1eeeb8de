//! The configuration of the gateway in the chaos, in the versions that reloads go through.

use super::order::MODEL;
use crate::cli::kit::gateway::Setup;
use std::fmt::Write;

/// Where the routes lead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) provider: u16,
    /// Refuses.
    pub(super) nobody: u16,
    /// Never answers a connection.
    pub(super) hole: u16,
}

/// Tokens of a month that each key may use. Nothing comes back to it: what is left tells every token.
pub(super) const BUDGET: u64 = 1_000_000_000_000;
/// The limit that is compared with the books.
pub(super) const RULE: &str = "budget";

/// Who may see accounts.
pub(super) const ADMIN_TOKEN: &str = "chaos-chaos-chaos";

/// The routes and the Backend of each.
const ROUTES: [(&str, &str); 6] = [
    ("good-openai", "openai"),
    ("good-anthropic", "anthropic"),
    ("bad-openai", "openai"),
    ("bad-anthropic", "anthropic"),
    ("nobody", "nobody"),
    ("hole", "hole"),
];

/// Version `version`: all mean the same to whoever calls the six routes.
pub(super) fn yaml(setup: &Setup, ports: Ports, version: u64) -> String {
    let mut text = settings(setup);
    let backend = |name: &str, llm: &str, port: u16| {
        format!(
            "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  \
             type: AI\n  ai:\n    llm:\n      {llm}:\n        authToken: {{kind: Inline, inline: sk-sim}}\n      \
             host: 127.0.0.1\n      port: {port}\n"
        )
    };
    text += &backend("openai", "openai", ports.provider);
    text += &backend("anthropic", "anthropic", ports.provider);
    text += &backend("nobody", "openai", ports.nobody);
    text += &backend("hole", "openai", ports.hole);
    for (name, target) in ROUTES {
        text += &route(name, target);
    }
    // What comes and goes with versions: routes that nobody calls, and a limit of theirs.
    for extra in 0..version % 4 {
        text += &route(&format!("extra-{extra}"), "openai");
    }
    text += &policy(
        "chaos",
        &ROUTES.map(|(name, _)| name),
        &[&format!("budget: {BUDGET}, window: month, unit: tokens")],
    );
    let bad = ["max: 32, unit: concurrency", "rate: 40000/second, burst: 40000, unit: tokens"];
    text += &policy("bad", &["bad-openai", "bad-anthropic"], &bad);
    text
}

/// What nobody can use: one of a few kinds.
pub(super) fn broken(setup: &Setup, ports: Ports, kind: u64) -> String {
    let text = yaml(setup, ports, 0);
    match kind % 4 {
        0 => text.replace("kind: Gateway\n", "kind: Gateway\n  bad indentation: [\n"),
        1 => text.replace("name: openai}", "name: nowhere}"),
        2 => text.replace("window: month", "window: fortnight"),
        _ => text[..text.len() / 2].to_string() + "\u{0}",
    }
}

fn settings(setup: &Setup) -> String {
    let (port, admin) = (setup.port, setup.admin);
    format!(
        "apiVersion: tollgate.dev/v1alpha1
kind: Settings
metadata: {{name: test}}
spec:
  workers: {{cores: 2, pin: false}}
  timeouts: {{head: 2s, body: 2s, idle: 3s, connect: 500ms, firstByte: 2s, streamIdle: 2s, request: 8s, drain: 12s}}
  upstream: {{idle: 1s}}
  listenerOverrides:
  - {{port: {port}, address: \"127.0.0.1:{port}\"}}
  admin: {{address: \"127.0.0.1:{admin}\", token: {ADMIN_TOKEN}}}
  records: {{to: \"{}\", queue: 65536}}
  limits: {{store: \"{}\"}}
---
apiVersion: tollgate.dev/v1alpha1
kind: Prices
metadata: {{name: test}}
spec:
  currency: USD
  perTokens: 1000000
  prices:
  - {{provider: openai, model: {MODEL}, input: \"0.150\", output: \"0.600\", asOf: \"2026-01-01\", source: \"https://example.com/test\"}}
  - {{provider: anthropic, model: {MODEL}, input: \"0.150\", output: \"0.600\", asOf: \"2026-01-01\", source: \"https://example.com/test\"}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: test, namespace: test}}
spec:
  gatewayClassName: tollgate
  listeners:
  - {{name: http, protocol: HTTP, port: {port}}}
",
        setup.records().display(),
        setup.store().display(),
    )
}

fn route(name: &str, backend: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  \
         parentRefs:\n  - {{name: test}}\n  rules:\n  - matches:\n    - path: {{type: PathPrefix, value: /{name}}}\n    \
         backendRefs:\n    - {{group: gateway.kgateway.dev, kind: Backend, name: {backend}}}\n"
    )
}

fn policy(name: &str, routes: &[&str], limits: &[&str]) -> String {
    let mut text = format!(
        "---\napiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {{name: {name}, namespace: test}}\nspec:\n  \
         targetRefs:\n"
    );
    for route in routes {
        let _ = writeln!(text, "  - {{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {route}}}");
    }
    text.push_str("  limits:\n");
    for (place, limit) in limits.iter().enumerate() {
        let rule = if name == "chaos" { RULE.to_string() } else { format!("{name}-{place}") };
        let _ = writeln!(text, "  - {{name: {rule}, key: {{apiKey: {{}}}}, {limit}}}");
    }
    text
}
