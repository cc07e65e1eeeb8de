mod limits;

use super::*;
use crate::access;
use crate::base::base64;
use crate::limit::{Measure, Rate, Unit};
use crate::llm::provider::Provider;
use crate::route::filters::PathRewrite;
use std::time::Duration;

const WALKTHROUGH: [Source<'static>; 5] = [
    Source { name: "1-secret.yaml", text: include_str!("../../config/walkthrough/1-secret.yaml") },
    Source { name: "2-gateway.yaml", text: include_str!("../../config/walkthrough/2-gateway.yaml") },
    Source { name: "3-backend.yaml", text: include_str!("../../config/walkthrough/3-backend.yaml") },
    Source { name: "4-httproute.yaml", text: include_str!("../../config/walkthrough/4-httproute.yaml") },
    Source {
        name: "5-trafficpolicy.yaml",
        text: include_str!("../../config/walkthrough/5-trafficpolicy.yaml"),
    },
];

fn loaded(sources: &[Source<'_>], overrides: &Overrides) -> Snapshot {
    let env = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| "sk-ant-api03-x".to_owned());
    load(sources, &env, overrides).unwrap_or_else(|faults| panic!("{faults}"))
}

/// The walkthrough with another policy, backend, or whatever stands in `text`.
fn walkthrough_and(text: &str) -> Snapshot {
    let extra = Source { name: "extra.yaml", text };
    loaded(&[&WALKTHROUGH[..], &[extra]].concat(), &Overrides::default())
}

/// The walkthrough with its backend replaced.
fn with_backend(llm: &str) -> Snapshot {
    let text = format!(
        "apiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\n\
         metadata: {{name: anthropic, namespace: kgateway-system}}\nspec: {{type: ai, ai: {{llm: {llm}}}}}"
    );
    let mut sources = WALKTHROUGH;
    sources[2] = Source { name: "3-backend.yaml", text: &text };
    loaded(&sources, &Overrides::default())
}

fn ai(snapshot: &Snapshot) -> (&Provider, Option<&str>, &Credential, &str) {
    let AiBackend { provider, model, credential, path, .. } =
        snapshot.backends[0].ai().expect("an AI backend");
    (provider, model.as_deref(), credential, path)
}

fn header(credential: &Credential) -> String {
    match credential {
        Credential::Static { name, value } => format!("{name}: {}", String::from_utf8_lossy(value.expose())),
        Credential::Aws { region, signs: Signs::With(keys) } => {
            format!("aws {} in {region}", keys.access_key())
        }
        Credential::Aws { signs: Signs::Fetched(origin), .. } | Credential::Google(origin) => {
            origin.to_string()
        }
        Credential::Passthrough => "passthrough".into(),
        Credential::None => "none".into(),
    }
}

#[test]
fn the_walkthrough_is_accepted_unchanged_and_means_what_it_says() {
    let snapshot = loaded(&WALKTHROUGH, &Overrides::default());
    assert_eq!(snapshot.warnings, []);
    let [listener] = snapshot.listeners.as_slice() else { panic!("one listener") };
    assert_eq!(&*listener.name, "kgateway-system/agentgateway/http");
    assert_eq!((listener.bind.to_string().as_str(), listener.port), ("0.0.0.0:8080", 8080));

    let [rule] = snapshot.rules.as_slice() else { panic!("one rule") };
    assert_eq!((&*rule.route, &*rule.name), ("kgateway-system/claude", "kgateway-system/claude/0"));
    assert_eq!(rule.limits, [0]);
    assert_eq!(
        rule.timeouts,
        RuleTimeouts { request: Some(Duration::from_secs(600)), backend_request: None }
    );
    let path = rule.filters.rewrite.as_ref().and_then(|rewrite| rewrite.path.clone());
    assert_eq!(path, Some(PathRewrite::Full("/v1/chat/completions".into())));
    assert!(matches!(rule.backends.pick(0), Some(BackendChoice::Backend { index: 0, .. })));

    let (provider, model, credential, path) = ai(&snapshot);
    assert_eq!((*provider, model), (Provider::Anthropic, Some("claude-3-5-haiku-latest")));
    assert_eq!((header(credential).as_str(), path), ("x-api-key: sk-ant-api03-x", "/v1/messages"));
    assert_eq!(&*snapshot.backends[0].host_header, "api.anthropic.com");
    let tls = Some("api.anthropic.com".to_owned());
    assert_eq!(
        snapshot.targets,
        [Target { host: "api.anthropic.com".into(), port: 443, tls, own_tls: None }]
    );

    let [limit] = snapshot.limits.as_slice() else { panic!("one limit") };
    assert_eq!((&*limit.name, limit.unit), ("kgateway-system/anthropic-ratelimit", Unit::Requests));
    let rate = Rate { per_fill: 1, fill: Duration::from_secs(100) };
    assert_eq!(limit.measure, Measure::Bucket { capacity: 1, rate });
    assert_eq!(snapshot.settings, Settings::default());
}

#[test]
fn overrides_of_the_command_line_replace_host_port_roots_and_admin() {
    let overrides = Overrides {
        hosts: vec![("api.anthropic.com".into(), "http://127.0.0.1:18081".into())],
        listeners: vec![(8080, "127.0.0.1:18080".into())],
        roots: vec!["ca.pem".into()],
        admin: Some("none".into()),
    };
    let snapshot = loaded(&WALKTHROUGH, &overrides);
    assert_eq!(snapshot.listeners[0].bind.to_string(), "127.0.0.1:18080");
    assert_eq!(
        snapshot.targets,
        [Target { host: "127.0.0.1".into(), port: 18081, tls: None, own_tls: None }]
    );
    assert_eq!(&*snapshot.backends[0].host_header, "127.0.0.1:18081");
    assert_eq!(snapshot.settings.tls.roots, Roots::Files(vec!["ca.pem".into()]));
    assert_eq!(snapshot.settings.admin.address, None);
}

#[test]
fn both_shapes_of_a_backend_and_its_overrides() {
    for (llm, expected) in [
        (
            "{provider: {anthropic: {authToken: {kind: Inline, inline: $ANTHROPIC_API_KEY}}}}",
            "anthropic - x-api-key: sk-ant-api03-x /v1/messages api.anthropic.com",
        ),
        (
            "{openai: {authToken: {kind: SecretRef, secretRef: {name: anthropic-secret}}, model: gpt-4o}}",
            "openai gpt-4o authorization: Bearer sk-ant-api03-x /v1/chat/completions api.openai.com",
        ),
        (
            "{openai: {authToken: {kind: Inline, inline: Bearer abc}}, host: Local.Host, port: 8000, path: {full: /x?v=1}}",
            "openai - authorization: Bearer abc /x?v=1 local.host:8000",
        ),
        (
            "{hostOverride: {host: '::1', port: 443}, pathOverride: {fullPath: /y}, authHeaderOverride: \
             {headerName: API-Key, prefix: ''}, provider: {openai: {authToken: {kind: Inline, inline: abc}}}}",
            "openai - api-key: abc /y [::1]",
        ),
        (
            "{anthropic: {authToken: {kind: Passthrough}}}",
            "anthropic - passthrough /v1/messages api.anthropic.com",
        ),
        ("{openai: {}, host: 127.0.0.1, port: 11434}", "openai - none /v1/chat/completions 127.0.0.1:11434"),
        (
            "{anthropic: {authToken: {kind: Inline, inline: sk-ant-oat01-x}, apiVersion: '2023-06-01'}}",
            "anthropic - authorization: Bearer sk-ant-oat01-x /v1/messages api.anthropic.com",
        ),
        (
            "{openai: {authToken: {kind: Inline, inline: a}}, authHeader: {prefix: Token}}",
            "openai - authorization: Token a /v1/chat/completions api.openai.com",
        ),
    ] {
        let snapshot = with_backend(llm);
        let (provider, model, credential, path) = ai(&snapshot);
        let host = &snapshot.backends[0].host_header;
        let found =
            format!("{} {} {} {path} {host}", provider.name(), model.unwrap_or("-"), header(credential));
        assert_eq!(found, expected, "{llm}");
    }
}

#[test]
fn limits_of_gateway_listener_route_and_rule_add_up() {
    let policy = |name: &str, target: &str| {
        format!(
            "apiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\n\
             metadata: {{name: {name}, namespace: kgateway-system}}\n\
             spec: {{targetRefs: [{{group: gateway.networking.k8s.io, {target}}}], \
             rateLimit: {{local: {{tokenBucket: {{maxTokens: 9, fillInterval: 1s, unit: tokens}}}}}}}}\n---\n"
        )
    };
    let text = [
        policy("a", "kind: Gateway, name: agentgateway"),
        policy("b", "kind: Gateway, name: agentgateway, sectionName: http"),
        policy("c", "kind: HTTPRoute, name: claude"),
    ]
    .concat();
    let snapshot = walkthrough_and(&text);
    assert_eq!(snapshot.rules[0].limits, [0, 1, 2, 3]);
    let is_slow = |measure: &Measure| matches!(measure, Measure::Bucket { rate, .. } if rate.per_fill == 1);
    let others = &snapshot.limits[1..];
    assert!(others.iter().all(|limit| limit.unit == Unit::Tokens && is_slow(&limit.measure)));
}

#[test]
fn listeners_under_different_limits_have_rules_of_their_own() {
    let text = "
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: two, namespace: kgateway-system}
spec:
  gatewayClassName: x
  listeners:
  - {name: a, port: 9001, protocol: HTTP}
  - {name: b, port: 9002, protocol: HTTP}
  - {name: c, port: 9003, protocol: HTTP}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: kgateway-system}
spec:
  parentRefs: [{name: two}]
  rules: [{backendRefs: [{group: gateway.kgateway.dev, kind: Backend, name: anthropic}]}]
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: p, namespace: kgateway-system}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: two, sectionName: b}]
  rateLimit: {local: {tokenBucket: {maxTokens: 9, fillInterval: 1s}}}
";
    let snapshot = walkthrough_and(text);
    let rules: Vec<(&str, &[u32])> =
        snapshot.rules.iter().map(|rule| (&*rule.name, rule.limits.as_slice())).collect();
    let one = "kgateway-system/claude/0";
    assert_eq!(rules, [(one, &[0u32][..]), ("kgateway-system/r/0", &[]), ("kgateway-system/r/0", &[1])]);
    assert_eq!(
        snapshot.listeners.iter().map(|listener| listener.port).collect::<Vec<_>>(),
        [8080, 9001, 9002, 9003]
    );
}

#[test]
fn a_list_of_kubectl_is_its_items() {
    let indented: String = WALKTHROUGH
        .iter()
        .map(|source| {
            let body: String = source.text.lines().map(|line| format!("  {line}\n")).collect();
            format!("-\n{body}")
        })
        .collect();
    let text = format!("apiVersion: v1\nkind: List\nmetadata: {{resourceVersion: ''}}\nitems:\n{indented}");
    assert_eq!(loaded(&[Source { name: "list", text: &text }], &Overrides::default()).rules.len(), 1);
}

#[test]
fn credentials_are_never_in_faults() {
    let sources = ["stringData: {Authorization: sk-very-secret$}", "data: {Authorization: sk-very-secret}"]
        .map(|data| format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ntype: Opaque\n{data}\n"));
    for text in &sources {
        let faults =
            load(&[Source { name: "s", text }], &|_| None, &Overrides::default()).err().expect("a fault");
        assert!(!faults.to_string().contains("very-secret"), "{faults}");
    }
}

#[test]
fn more_limits_on_a_rule_than_a_reservation_holds_are_a_fault() {
    let policies = |count: usize| {
        let policy = |n: usize| {
            format!(
                "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\n\
                 metadata: {{name: limit-{n}, namespace: kgateway-system}}\nspec:\n  \
                 targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: claude}}]\n  \
                 rateLimit: {{local: {{tokenBucket: {{maxTokens: 1, fillInterval: 1s}}}}}}\n"
            )
        };
        (0..count).map(policy).collect::<String>()
    };
    let most = crate::limit::LIMITS_MAX;
    assert_eq!(
        walkthrough_and(&policies(most - 1)).rules[0].limits.len(),
        most,
        "the walkthrough's own is one"
    );
    let text = policies(most);
    let sources = [&WALKTHROUGH[..], &[Source { name: "extra.yaml", text: &text }]].concat();
    let faults = load(&sources, &|_| Some("key".to_owned()), &Overrides::default()).err().expect("a fault");
    assert!(
        faults.to_string().starts_with("4-httproute.yaml:4:9: 17 limits apply to one rule; at most 16 may"),
        "{faults}"
    );
}

#[test]
fn a_hundred_thousand_keys_are_read_and_each_is_known() {
    let secret = |name: &str, data: &str, of: std::ops::Range<usize>, value: fn(usize) -> String| {
        let keys: String = of.map(|number| format!("  key-{number}: {}\n", value(number))).collect();
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: kgateway-system, labels: {{app: callers}}}}\n\
             {data}:\n{keys}"
        )
    };
    let plain = secret("plain", "stringData", 0..50_000, |number| format!("k-{number}"));
    let coded = secret("coded", "data", 50_000..100_000, |number| {
        // Twelve bytes of ASCII need no padding, and are the same in both alphabets.
        let mut text = Vec::new();
        base64::push_url(&mut text, format!("k-{number:010}").as_bytes());
        String::from_utf8_lossy(&text).into_owned()
    });
    let policy = "apiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\n\
                  metadata: {name: callers, namespace: kgateway-system}\nspec:\n  \
                  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: agentgateway}]\n  \
                  traffic: {apiKeyAuthentication: {secretSelector: {matchLabels: {app: callers}}}}";
    let sources = [plain.as_str(), &coded, policy].map(|text| Source { name: "callers.yaml", text });
    let snapshot = loaded(&[&WALKTHROUGH[..], &sources].concat(), &Overrides::default());
    let keys = snapshot.rules[0].access.as_ref().and_then(|access| access.keys.as_deref()).expect("keys");
    assert_eq!(keys.count(), 100_000);
    for key in ["k-0", "k-49999", "k-0000050000", "k-0000099999"] {
        assert!(keys.find(&access::digest(key.as_bytes())).is_some(), "{key}");
    }
    assert!(keys.find(&access::digest(b"k-100000")).is_none());
}
