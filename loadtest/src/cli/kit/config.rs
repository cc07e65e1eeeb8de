//! The configuration of a gateway under test: routes to one simulated provider, each with its limits.

use super::chat::MODEL;
use super::gateway::Setup;
use std::fmt::Write;

/// A gateway.
#[derive(Clone, Debug)]
pub(crate) struct Config<'a> {
    pub(crate) workers: u64,
    /// The provider's port.
    pub(crate) upstream: u16,
    /// Balances are kept in the setup's directory.
    pub(crate) stores: bool,
    /// Access records are written.
    pub(crate) records: bool,
    /// `limits.reserve`.
    pub(crate) output_reserve: u64,
    pub(crate) stream_chunk: u64,
    pub(crate) routes: Vec<Route<'a>>,
}

/// Requests whose path begins with `/NAME/`, and the limits of a LimitPolicy on them.
#[derive(Clone, Debug)]
pub(crate) struct Route<'a> {
    pub(crate) name: &'a str,
    pub(crate) limits: Vec<Limit<'a>>,
}

/// One limit, per API key.
#[derive(Clone, Debug)]
pub(crate) struct Limit<'a> {
    pub(crate) name: &'a str,
    pub(crate) unit: &'a str,
    /// The lines of YAML that say how much, such as `rate: 60/minute`.
    pub(crate) measure: Vec<String>,
}

/// Nano-dollars that a token costs by the prices of these configurations.
pub(crate) const INPUT_NANO: u64 = 150;
pub(crate) const OUTPUT_NANO: u64 = 600;

impl Config<'_> {
    /// The resources as YAML.
    pub(crate) fn yaml(&self, setup: &Setup) -> String {
        let mut text = String::new();
        self.settings(setup, &mut text);
        self.gateway(setup.port, &mut text);
        self.routes.iter().for_each(|route| route.yaml(&mut text));
        text
    }

    fn settings(&self, setup: &Setup, text: &mut String) {
        let records = if self.records { setup.records().display().to_string() } else { "none".into() };
        let store = if self.stores { setup.store().display().to_string() } else { "none".into() };
        let _ = write!(
            text,
            "apiVersion: tollgate.dev/v1alpha1
kind: Settings
metadata: {{name: test}}
spec:
  workers: {{cores: {}, pin: false}}
  timeouts: {{drain: 5s}}
  listenerOverrides:
  - {{port: {}, address: \"127.0.0.1:{}\"}}
  admin: {{address: \"127.0.0.1:{}\"}}
  records: {{to: \"{records}\", queue: 65536}}
  limits:
    store: \"{store}\"
    reserve: {{output: {}, streamChunk: {}}}
---
",
            self.workers, setup.port, setup.port, setup.admin, self.output_reserve, self.stream_chunk
        );
    }

    fn gateway(&self, port: u16, text: &mut String) {
        let usd = |nano: u64| format!("{}.{:03}", nano / 1000, nano % 1000);
        let _ = write!(
            text,
            "apiVersion: tollgate.dev/v1alpha1
kind: Prices
metadata: {{name: test}}
spec:
  currency: USD
  perTokens: 1000000
  prices:
  - {{provider: openai, model: {MODEL}, input: \"{}\", output: \"{}\", asOf: \"2026-01-01\", source: \"https://example.com/test\"}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: test, namespace: test}}
spec:
  gatewayClassName: tollgate
  listeners:
  - {{name: http, protocol: HTTP, port: {port}}}
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: {{name: provider, namespace: test}}
spec:
  type: AI
  ai:
    llm:
      openai:
        authToken: {{kind: Inline, inline: sk-sim}}
      host: 127.0.0.1
      port: {}
",
            usd(INPUT_NANO),
            usd(OUTPUT_NANO),
            self.upstream
        );
    }
}

impl Route<'_> {
    fn yaml(&self, text: &mut String) {
        let name = self.name;
        let _ = write!(
            text,
            "---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: {name}, namespace: test}}
spec:
  parentRefs:
  - {{name: test}}
  rules:
  - matches:
    - path: {{type: PathPrefix, value: /{name}}}
    backendRefs:
    - {{group: gateway.kgateway.dev, kind: Backend, name: provider}}
"
        );
        if self.limits.is_empty() {
            return;
        }
        let _ = write!(
            text,
            "---
apiVersion: tollgate.dev/v1alpha1
kind: LimitPolicy
metadata: {{name: {name}, namespace: test}}
spec:
  targetRefs:
  - {{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {name}}}
  limits:
"
        );
        for Limit { name, unit, measure } in &self.limits {
            let _ = writeln!(text, "  - name: {name}\n    unit: {unit}\n    key: {{apiKey: {{}}}}");
            for line in measure {
                let _ = writeln!(text, "    {line}");
            }
        }
    }
}

impl<'a> Limit<'a> {
    /// `rate` per second, and `burst` at once.
    pub(crate) fn rate(name: &'a str, unit: &'a str, rate: u64, burst: u64) -> Limit<'a> {
        Limit { name, unit, measure: vec![format!("rate: {rate}/second"), format!("burst: {burst}")] }
    }

    /// So many at the same time.
    pub(crate) fn at_once(name: &'a str, max: u64) -> Limit<'a> {
        Limit { name, unit: "concurrency", measure: vec![format!("max: {max}")] }
    }

    /// A budget for a window: both as they are written.
    pub(crate) fn budget(name: &'a str, unit: &'a str, budget: &str, window: &str) -> Limit<'a> {
        Limit { name, unit, measure: vec![format!("budget: {budget}"), format!("window: {window}")] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn limits_stand_on_their_route() {
        let setup = Setup { binary: PathBuf::new(), dir: PathBuf::from("dir"), port: 1, admin: 2 };
        let limits =
            vec![Limit::rate("tokens", "tokens", 50, 100), Limit::budget("usd", "cost", "5 USD", "month")];
        let routes = vec![Route { name: "c", limits }, Route { name: "free", limits: Vec::new() }];
        let config = Config {
            workers: 2,
            upstream: 3,
            stores: true,
            records: true,
            output_reserve: 64,
            stream_chunk: 32,
            routes,
        };
        let text = config.yaml(&setup);
        for line in [
            "    store: \"dir/store\"",
            "    rate: 50/second",
            "    burst: 100",
            "    budget: 5 USD",
            "    - path: {type: PathPrefix, value: /free}",
        ] {
            assert!(text.lines().any(|other| other == line), "{line}\n{text}");
        }
        assert_eq!(text.matches("kind: LimitPolicy").count(), 1);
        assert!(text.contains("input: \"0.150\", output: \"0.600\""));
    }
}
