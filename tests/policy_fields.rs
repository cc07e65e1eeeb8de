//! Every field that policies and AgentgatewayBackends have elsewhere, by the tables of their documents (kgateway `TrafficPolicy` v1alpha1,
//! agentgateway `AgentgatewayPolicy` and `AgentgatewayBackend` v1alpha1): each is honoured, or refused by its name with what to
//! write instead. None is passed over.

use std::sync::LazyLock;
use std::time::Duration;
use tollgate::config::{Overrides, Snapshot, Source, load};

/// Everything that fields refer to.
const WORLD: &str = r#"
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: llm}
spec: {gatewayClassName: agentgateway, listeners: [{name: http, protocol: HTTP, port: 8080}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: chat, namespace: llm}
spec:
  parentRefs: [{name: edge}]
  rules: [{backendRefs: [{group: agentgateway.dev, kind: AgentgatewayBackend, name: model}]}]
---
apiVersion: agentgateway.dev/v1alpha1
kind: AgentgatewayBackend
metadata: {name: model, namespace: llm}
spec: {ai: {provider: {openai: {}}}, policies: {auth: {key: k-provider}}}
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: {name: hook, namespace: llm}
spec: {type: Static, static: {hosts: [{host: hook.example, port: 80}]}}
---
apiVersion: v1
kind: Secret
metadata: {name: callers, namespace: llm, labels: {app: callers}}
stringData: {one: k-caller}
---
apiVersion: v1
kind: Secret
metadata: {name: provider, namespace: llm}
stringData: {Authorization: k-provider}
---
apiVersion: v1
kind: Secret
metadata: {name: people, namespace: llm}
stringData: {.htaccess: 'ann:$apr1$ab$6Cm1F.e/FFPuga.Gaxy1M.'}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: hashes, namespace: llm, labels: {app: callers}}
data: {one: '{"keyHash": "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"}'}
"#;

/// A certificate that vouches for itself, as an authority and as what a client shows.
static CERTIFICATES: LazyLock<String> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).expect("a certificate");
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: authorities, namespace: llm}}\ndata: {{ca.crt: {certificate:?}}}\n---\n\
         apiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: identity, namespace: llm}}\n\
         stringData: {{tls.crt: {certificate:?}, tls.key: {key:?}}}\n"
    )
});

/// What becomes of a field.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Fate {
    /// It is honoured.
    Honoured,
    /// It is refused by its name.
    Refused,
}
use Fate::{Honoured, Refused};

/// The spec, with the field in question, and what becomes of the field. The last name of the path is the field.
type Row = (&'static str, &'static str, Fate);

const LOCAL: &str = "rateLimit: {local: [{requests: 5, unit: Minutes}]}";

#[rustfmt::skip]
const TRAFFIC_POLICY: &[Row] = &[
    ("targetSelectors", "targetSelectors: [{group: gateway.networking.k8s.io, kind: HTTPRoute, matchLabels: {a: b}}], rbac: {policy: {matchExpressions: ['true']}}", Refused),
    ("ai.promptEnrichment", "ai: {promptEnrichment: {prepend: [{role: system, content: a}]}}", Honoured),
    ("ai.promptGuard", "ai: {promptGuard: {request: {regex: {builtins: [SSN], action: REJECT}}}}", Honoured),
    ("ai.promptGuard.request.webhook", "ai: {promptGuard: {request: {webhook: {host: {host: hook.example, port: 80}}}}}", Honoured),
    ("ai.defaults", "ai: {defaults: [{field: temperature, value: '0.5', override: true}]}", Honoured),
    ("ai.routeType", "ai: {routeType: CHAT, defaults: [{field: temperature, value: '0.5'}]}", Honoured),
    ("ai.modelAliases", "ai: {modelAliases: {fast: gpt-5-mini}}", Honoured),
    ("ai.promptCaching", "ai: {promptCaching: {cacheSystem: true}}", Refused),
    ("transformation", "transformation: {request: {set: []}}", Refused),
    ("extProc", "extProc: {extensionRef: {name: a}}", Refused),
    ("extAuth", "extAuth: {extensionRef: {name: a}}", Refused),
    ("rateLimit.local.tokenBucket", "rateLimit: {local: {tokenBucket: {maxTokens: 5, tokensPerFill: 5, fillInterval: 1m}}}", Honoured),
    ("rateLimit.local.shareAcrossGateway", "rateLimit: {local: {shareAcrossGateway: true, tokenBucket: {maxTokens: 5, fillInterval: 1m}}}", Refused),
    ("rateLimit.global", "rateLimit: {global: {descriptors: []}}", Refused),
    ("cors", "cors: {allowOrigins: ['https://a.example']}", Honoured),
    ("cors.disable", "cors: {allowOrigins: ['https://a.example'], disable: {}}", Refused),
    ("csrf", "csrf: {percentageEnabled: 100}", Refused),
    ("headerModifiers", "headerModifiers: {request: {set: [{name: x-a, value: b}]}, response: {remove: [x-b]}}", Honoured),
    ("autoHostRewrite", "autoHostRewrite: true", Refused),
    ("buffer", "buffer: {maxRequestSize: 1Mi}", Refused),
    ("compression", "compression: {responseCompression: {}}", Refused),
    ("jwt", "jwt: {extensionRef: {name: a}}", Refused),
    ("timeouts.request", "timeouts: {request: 30s}", Honoured),
    ("timeouts.streamIdle", "timeouts: {streamIdle: 30s}", Refused),
    ("retry.retryOn", "retry: {retryOn: [gateway-error, reset]}", Honoured),
    ("retry.attempts", "retry: {retryOn: [5xx], attempts: 3}", Honoured),
    ("retry.perTryTimeout", "retry: {retryOn: [5xx], perTryTimeout: 5s}", Honoured),
    ("retry.statusCodes", "retry: {statusCodes: [429, 503]}", Honoured),
    ("retry.backoffBaseInterval", "retry: {statusCodes: [503], backoffBaseInterval: 100ms}", Honoured),
    ("rbac", "rbac: {action: Deny, policy: {matchExpressions: ['request.method == \"PUT\"']}}", Honoured),
];

#[rustfmt::skip]
const TRAFFIC: &[Row] = &[
    ("phase", "phase: PreRouting", Refused),
    ("transformation", "transformation: {request: {}}", Refused),
    ("extProc", "extProc: {backendRef: {name: a}}", Refused),
    ("extAuth", "extAuth: {backendRef: {name: a}}", Refused),
    ("rateLimit.local", LOCAL, Honoured),
    ("rateLimit.local.burst", "rateLimit: {local: [{tokens: 5, unit: Hours, burst: 2}]}", Honoured),
    ("rateLimit.global", "rateLimit: {global: {domain: a}}", Refused),
    ("rateLimit.conditional", "rateLimit: {conditional: []}", Refused),
    ("cors", "cors: {allowOrigins: ['https://a.example']}", Honoured),
    ("csrf", "csrf: {additionalOrigins: []}", Refused),
    ("headerModifiers", "headerModifiers: {request: {add: [{name: x-a, value: b}]}}", Honoured),
    ("hostRewrite", "hostRewrite: {mode: Auto}", Refused),
    ("timeouts.request", "timeouts: {request: 30s}", Honoured),
    ("retry", "retry: {codes: [503], attempts: 2, backoff: 100ms}", Honoured),
    ("retry.precondition", "retry: {codes: [503], precondition: 'true'}", Refused),
    ("retry.condition", "retry: {condition: 'response.code == 503'}", Refused),
    ("authorization", "authorization: {action: Require, policy: {matchExpressions: ['true']}}", Honoured),
    ("jwtAuthentication", "jwtAuthentication: {mode: Optional, providers: [{issuer: a, audiences: [b], jwks: {url: 'https://a.example/keys'}}]}", Honoured),
    ("jwtAuthentication.providers.jwks.remote", "jwtAuthentication: {providers: [{issuer: a, jwks: {remote: {jwksPath: keys, backendRef: {group: gateway.kgateway.dev, kind: Backend, name: hook}}}}]}", Honoured),
    ("jwtAuthentication.location.header", "jwtAuthentication: {location: {header: {name: x-token}}, providers: [{issuer: a, jwks: {url: 'https://a.example/keys'}}]}", Honoured),
    ("jwtAuthentication.mcp", "jwtAuthentication: {mcp: {}, providers: [{issuer: a, jwks: {url: 'https://a.example/keys'}}]}", Refused),
    ("basicAuthentication.users", "basicAuthentication: {mode: Optional, realm: a, users: ['ann:$apr1$ab$6Cm1F.e/FFPuga.Gaxy1M.']}", Honoured),
    ("basicAuthentication.secretRef", "basicAuthentication: {secretRef: {name: people}}", Honoured),
    ("apiKeyAuthentication.secretRef", "apiKeyAuthentication: {mode: Permissive, secretRef: {name: callers}}", Honoured),
    ("apiKeyAuthentication.secretSelector", "apiKeyAuthentication: {secretSelector: {matchLabels: {app: callers}}}", Honoured),
    ("apiKeyAuthentication.configMapSelector", "apiKeyAuthentication: {configMapSelector: {matchLabels: {app: callers}}}", Honoured),
    ("apiKeyAuthentication.location.expression", "apiKeyAuthentication: {location: {expression: 'a'}, secretRef: {name: callers}}", Refused),
    ("directResponse", "directResponse: {status: 503, body: soon}", Honoured),
    ("buffer", "buffer: {request: {maxBytes: 1Mi}}", Refused),
    ("delay", "delay: {duration: 1s}", Refused),
];

#[rustfmt::skip]
const FRONTEND: &[Row] = &[
    ("tcp", "tcp: {keepalive: {}}", Refused),
    ("tls.handshakeTimeout", "tls: {handshakeTimeout: 5s}", Refused),
    ("tls.alpnProtocols", "tls: {alpnProtocols: [http/1.1]}", Honoured),
    ("tls.minProtocolVersion", "tls: {minProtocolVersion: '1.3'}", Honoured),
    ("tls.maxProtocolVersion", "tls: {maxProtocolVersion: '1.2'}", Honoured),
    ("tls.cipherSuites", "tls: {cipherSuites: [TLS13_AES_256_GCM_SHA384]}", Honoured),
    ("tls.keyExchangeGroups", "tls: {keyExchangeGroups: [X25519, P-256, P-384]}", Honoured),
    ("http", "http: {maxBufferSize: 1Mi}", Refused),
    ("networkAuthorization", "networkAuthorization: {action: Deny, policy: {matchExpressions: [\"cidr('192.0.2.0/24').containsIP(source.address)\"]}}", Honoured),
    ("proxyProtocol", "proxyProtocol: {version: V2}", Refused),
    ("connect", "connect: {mode: Deny}", Refused),
    ("accessLog", "accessLog: {filter: 'true'}", Refused),
    ("tracing", "tracing: {url: 'http://a.example'}", Refused),
    ("metrics", "metrics: {attributes: {add: []}}", Refused),
];

/// Of `backend` in a policy, and of `policies` in an AgentgatewayBackend.
#[rustfmt::skip]
const BACKEND: &[Row] = &[
    ("tcp", "tcp: {connectTimeout: 1s}", Refused),
    ("tunnel", "tunnel: {backendRef: {name: a}}", Refused),
    ("transformation", "transformation: {}", Refused),
    ("health", "health: {eviction: {duration: 3s}}", Refused),
    ("extAuth", "extAuth: {}", Refused),
    ("mcp", "mcp: {}", Refused),
    ("sessionAffinity", "sessionAffinity: {}", Refused),
    ("ai.prompt", "ai: {prompt: {append: [{role: user, content: a}]}}", Honoured),
    ("ai.promptGuard", "ai: {promptGuard: {request: [{regex: {builtins: [Email]}}]}}", Honoured),
    ("ai.defaults", "ai: {defaults: {temperature: 0.5}}", Honoured),
    ("ai.overrides", "ai: {overrides: {temperature: 0.5}}", Honoured),
    ("ai.transformations", "ai: {transformations: {}}", Refused),
    ("ai.finalTransformations", "ai: {finalTransformations: {}}", Refused),
    ("ai.modelAliases", "ai: {modelAliases: {fast: gpt-5-mini}}", Honoured),
    ("ai.promptCaching", "ai: {promptCaching: {}}", Refused),
    ("ai.routes", "ai: {routes: {'/v1/messages': Messages}}", Honoured),
];

/// Of `backend` in a policy: a backend has to say these itself.
const BACKEND_OF_POLICY: &[Row] =
    &[("tls", "tls: {sni: a.example}", Refused), ("http", "http: {version: HTTP1}", Refused)];

/// Of `policies` in an AgentgatewayBackend.
#[rustfmt::skip]
const POLICIES: &[Row] = &[
    ("tls.sni", "tls: {sni: api.openai.com}", Honoured),
    ("tls.caCertificateRefs", "tls: {caCertificateRefs: [{name: authorities}]}", Honoured),
    ("tls.mtlsCertificateRef", "tls: {mtlsCertificateRef: [{name: identity}]}", Honoured),
    ("tls.insecureSkipVerify", "tls: {insecureSkipVerify: All}", Honoured),
    ("tls.verifySubjectAltNames", "tls: {verifySubjectAltNames: [a.example]}", Honoured),
    ("tls.alpnProtocols", "tls: {alpnProtocols: [http/1.1]}", Honoured),
    ("tls.keyExchangeGroups", "tls: {keyExchangeGroups: [X25519, P-256, P-384]}", Honoured),
    ("tls.certificateSource", "tls: {certificateSource: Inline}", Refused),
    ("http.requestTimeout", "http: {requestTimeout: 5s}", Refused),
    ("auth.key", "auth: {key: k}", Honoured),
    ("auth.secretRef", "auth: {secretRef: {name: provider}}", Honoured),
    ("auth.passthrough", "auth: {passthrough: {}}", Honoured),
    ("auth.azure", "auth: {azure: {}}", Refused),
    ("auth.oauthTokenExchange", "auth: {oauthTokenExchange: {}}", Refused),
    ("auth.crossAppAccess", "auth: {crossAppAccess: {}}", Refused),
    ("auth.jwtSign", "auth: {jwtSign: {}}", Refused),
    ("auth.credentials", "auth: {credentials: []}", Refused),
    ("auth.location.header", "auth: {key: k, location: {header: {name: x-key}}}", Honoured),
    ("auth.location.queryParameter", "auth: {key: k, location: {queryParameter: {name: key}}}", Refused),
    ("auth.location.cookie", "auth: {key: k, location: {cookie: {name: key}}}", Refused),
];

/// Of an AgentgatewayBackend, the policies apart.
#[rustfmt::skip]
const AGENTGATEWAY_BACKEND: &[Row] = &[
    ("ai.provider.openai", "ai: {provider: {openai: {model: gpt-5}}}, policies: {auth: {key: k}}", Honoured),
    ("ai.provider.openai.moderation", "ai: {provider: {openai: {moderation: {}}}}, policies: {auth: {key: k}}", Refused),
    ("ai.provider.azureopenai", "ai: {provider: {azureopenai: {endpoint: a.openai.azure.com, deploymentName: b}}}, policies: {auth: {key: k}}", Honoured),
    ("ai.provider.azure", "ai: {provider: {azure: {resourceName: a, resourceType: OpenAI, model: b}}}, policies: {auth: {key: k}}", Honoured),
    ("ai.provider.anthropic", "ai: {provider: {anthropic: {model: claude-haiku-4-5}}}, policies: {auth: {key: k}}", Honoured),
    ("ai.provider.gemini", "ai: {provider: {gemini: {model: gemini-2.5-flash}}}, policies: {auth: {key: k}}", Honoured),
    ("ai.provider.vertexai", "ai: {provider: {vertexai: {projectId: a, region: global, model: gemini-2.5-flash}}}, policies: {auth: {gcp: {}}}", Honoured),
    ("ai.provider.bedrock", "ai: {provider: {bedrock: {region: eu-west-1, model: amazon.nova-lite-v1:0, guardrail: {identifier: a, version: '1'}}}}, policies: {auth: {aws: {}}}", Honoured),
    ("ai.provider.custom", "ai: {provider: {custom: {model: a, formats: [{type: Completions, path: /v1/chat/completions}]}, host: a.example, port: 443}}", Refused),
    ("ai.provider.path", "ai: {provider: {openai: {}, host: a.example, port: 443, path: /v2/chat}}, policies: {auth: {key: k}}", Honoured),
    ("ai.provider.pathPrefix", "ai: {provider: {openai: {}, host: a.example, port: 443, pathPrefix: /v2}}, policies: {auth: {key: k}}", Honoured),
    ("ai.groups", "ai: {groups: [{providers: [{name: one, openai: {model: gpt-5}, policies: {auth: {key: k}}}]}]}", Honoured),
    ("static", "static: {host: a.example, port: 80}", Honoured),
    ("static.unixPath", "static: {unixPath: /run/a}", Refused),
    ("dynamicForwardProxy", "dynamicForwardProxy: {}", Refused),
    ("mcp", "mcp: {targets: []}", Refused),
    ("aws", "aws: {agentCore: {}}", Refused),
    ("a2a", "a2a: {}", Refused),
];

fn policy(api: &str, kind: &str, target: &str, spec: &str) -> String {
    format!(
        "apiVersion: {api}/v1alpha1\nkind: {kind}\nmetadata: {{name: asked, namespace: llm}}\nspec: {{targetRefs: [{target}], {spec}}}\n"
    )
}

const ROUTE: &str = "{group: gateway.networking.k8s.io, kind: HTTPRoute, name: chat}";
const GATEWAY: &str = "{group: gateway.networking.k8s.io, kind: Gateway, name: edge}";

fn traffic_policy(spec: &str) -> String {
    // A selector stands in the place of targets.
    policy("gateway.kgateway.dev", "TrafficPolicy", ROUTE, spec)
        .replace(&format!("targetRefs: [{ROUTE}], targetSel"), "targetSel")
}

fn agentgateway(target: &str, spec: &str) -> String {
    policy("agentgateway.dev", "AgentgatewayPolicy", target, spec)
}

fn backend(spec: &str) -> String {
    format!(
        "apiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayBackend\nmetadata: {{name: asked, namespace: llm}}\nspec: {{{spec}}}\n"
    )
}

/// With a credential, if the policies do not say one themselves.
fn policies(spec: &str) -> String {
    let auth = if spec.contains("auth: {") { "" } else { "auth: {key: k}, " };
    backend(&format!("ai: {{provider: {{openai: {{}}}}}}, policies: {{{auth}{spec}}}"))
}

fn read(asked: &str) -> Result<Snapshot, String> {
    let sources = [
        Source { name: "world.yaml", text: WORLD },
        Source { name: "tls.yaml", text: &CERTIFICATES },
        Source { name: "asked.yaml", text: asked },
    ];
    load(&sources, &|_| None, &Overrides::default()).map_err(|faults| faults.to_string())
}

#[test]
fn every_field_is_honoured_or_refused_by_name() {
    type Wrap = fn(&str) -> String;
    let tables: [(&str, &[Row], Wrap); 8] = [
        ("TrafficPolicy", TRAFFIC_POLICY, traffic_policy),
        ("traffic", TRAFFIC, |spec| agentgateway(ROUTE, &format!("traffic: {{{spec}}}"))),
        ("frontend", FRONTEND, |spec| agentgateway(GATEWAY, &format!("frontend: {{{spec}}}"))),
        ("backend", BACKEND, |spec| agentgateway(ROUTE, &format!("backend: {{{spec}}}"))),
        ("backend", BACKEND_OF_POLICY, |spec| agentgateway(ROUTE, &format!("backend: {{{spec}}}"))),
        ("policies", BACKEND, policies),
        ("policies", POLICIES, policies),
        ("AgentgatewayBackend", AGENTGATEWAY_BACKEND, backend),
    ];
    let mut wrong = Vec::new();
    for (table, rows, wrap) in tables {
        for (path, spec, fate) in rows {
            let said = read(&wrap(spec));
            let field = format!("\"{}\"", path.rsplit('.').next().unwrap_or(path));
            let as_told = match (&said, fate) {
                (Ok(_), fate) => *fate == Honoured,
                (Err(_), Honoured) => false,
                // By its name, with what to write in its place.
                (Err(said), Refused) => {
                    let mut lines = said.lines();
                    lines.any(|line| line.starts_with("asked.yaml:") && line.contains(&field))
                        && lines.next().is_some_and(|line| line.starts_with("  help: "))
                }
            };
            if !as_told {
                wrong.push(format!("{table}: {path} is not {fate:?}: {:?}", said.err()));
            }
            // Beside it, nothing that nobody knows is passed over, wherever it stands.
            for (at, _) in spec.match_indices('{') {
                let more = format!("{}{{nobody: 1, {}", &spec[..at], &spec[at + 1..]).replace(", }", "}");
                let is_free =
                    ["defaults: {", "overrides: {", "modelAliases: {", "matchLabels: {", "routes: {"];
                let is_map_of_names = is_free.iter().any(|free| spec[..=at].ends_with(free));
                if *fate == Honoured && !is_map_of_names && read(&wrap(&more)).is_ok() {
                    wrong.push(format!("{table}: nobody is passed over: {more}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} rows\n{}", wrong.len(), wrong.join("\n"));
}

/// What policies say of timeouts, retries and headers is in force on the rule, unless the rule says it itself.
#[test]
fn policies_say_how_a_request_is_handled_where_its_rule_does_not() {
    let seconds = |seconds| Some(Duration::from_secs(seconds));
    let of = |asked: &str, rule: &str| {
        let world = WORLD.replace("rules: [{", &format!("rules: [{{{rule}"));
        let sources =
            [Source { name: "world.yaml", text: &world }, Source { name: "asked.yaml", text: asked }];
        let snapshot =
            load(&sources, &|_| None, &Overrides::default()).unwrap_or_else(|faults| panic!("{faults}"));
        let [rule] = snapshot.rules.as_slice() else { panic!("{} rules", snapshot.rules.len()) };
        let retry = rule.retry.clone().map(|retry| (retry.codes, retry.attempts, retry.backoff.as_millis()));
        let set = rule.filters.request_headers.set.clone();
        (
            rule.timeouts.request,
            rule.timeouts.backend_request,
            retry,
            set,
            rule.filters.response_headers.remove.clone(),
        )
    };
    let pair = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
    let said = "timeouts: {request: 30s}, retry: {retryOn: [gateway-error, connect-failure], statusCodes: [429, 503], \
                attempts: 3, perTryTimeout: 5s}, headerModifiers: {request: {set: [{name: X-A, value: b}]}, response: {remove: [x-b]}}";
    let codes = vec![429, 502, 503, 504];
    let whole = (seconds(30), seconds(5), Some((codes, 3, 25)), pair("x-a", "b"), vec!["x-b".to_owned()]);
    assert_eq!(of(&traffic_policy(said), ""), whole);
    let own = "timeouts: {request: 0s}, retry: {codes: [500], backoff: 1s}, filters: [{type: RequestHeaderModifier, \
               requestHeaderModifier: {set: [{name: x-own, value: c}]}}], ";
    let of_rule = (None, None, Some((vec![500], 1, 1000)), pair("x-own", "c"), vec!["x-b".to_owned()]);
    assert_eq!(of(&traffic_policy(said), own), of_rule);

    let (wide, narrow) = (
        "traffic: {timeouts: {request: 30s}, retry: {codes: [503], attempts: 2}}",
        "traffic: {timeouts: {request: 0s}, headerModifiers: {request: {set: [{name: x-a, value: b}]}}}",
    );
    let both =
        agentgateway(GATEWAY, wide) + "---\n" + &agentgateway(ROUTE, narrow).replace("asked", "narrow");
    let merged = (None, None, Some((vec![503], 2, 25)), pair("x-a", "b"), Vec::new());
    assert_eq!(of(&both, ""), merged, "field by field, the most special policy");

    for (spec, message) in [
        ("timeouts: {request: 100us}", "must be a duration"),
        ("timeouts: {}", "lacks the field \"request\""),
        ("retry: {attempts: 2}", "retry does not say when"),
        ("retry: {retryOn: [cancelled]}", "but must be one of 5xx, gateway-error"),
        ("retry: {statusCodes: [200]}", "must be from 400 to 599"),
        (
            "timeouts: {request: 5s}, retry: {retryOn: [reset], perTryTimeout: 5s}",
            "perTryTimeout is no shorter",
        ),
        ("headerModifiers: {}", "headerModifiers says nothing"),
        ("headerModifiers: {request: {set: [{name: host, value: a}]}}", "must not be host"),
    ] {
        let said = read(&traffic_policy(spec)).err().unwrap_or_default();
        assert!(said.contains(message), "{spec}: {said}");
    }
    let on_gateway = policy("gateway.kgateway.dev", "TrafficPolicy", GATEWAY, "timeouts: {request: 5s}");
    assert!(read(&on_gateway).err().unwrap_or_default().contains("applies to HTTPRoutes alone"));
}
