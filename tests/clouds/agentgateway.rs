//! AgentgatewayBackend: each provider gets the very requests that it gets through a Backend, to the byte but for signatures.

use super::*;
use serde_json::json;
use support::{chat, message};
use tollgate_loadtest::{AWS_SECRET_KEY, Fault, Simulator};

const KEYS: &str = "auth: {secretRef: {name: keys}}";
const TOKEN: &str = "authToken: {kind: SecretRef, secretRef: {name: keys}}";

/// A provider as a Backend has it under `llm`, and as an AgentgatewayBackend has it under `provider` and in `policies`.
struct Row {
    backend: String,
    provider: &'static str,
    policies: &'static str,
}

fn rows() -> Vec<Row> {
    let row = |backend: &str, provider, policies| Row {
        backend: backend.replace("TOKEN", TOKEN),
        provider,
        policies,
    };
    vec![
        row("openai: {TOKEN}", "openai: {}", KEYS),
        row("openai: {TOKEN, model: own}", "openai: {model: own}", "auth: {key: sk-live-secret}"),
        row("anthropic: {TOKEN, model: own}", "anthropic: {model: own}", KEYS),
        row("anthropic: {authToken: {kind: Passthrough}}", "anthropic: {}", "auth: {passthrough: {}}"),
        row("gemini: {TOKEN, model: own, apiVersion: v1beta}", "gemini: {model: own}", KEYS),
        row(
            "azureopenai: {TOKEN, endpoint: \"https://house.openai.azure.com/\", deploymentName: fast, apiVersion: v1}",
            "azureopenai: {endpoint: house.openai.azure.com, deploymentName: fast}",
            KEYS,
        ),
        row(
            "azureopenai: {TOKEN, endpoint: house.openai.azure.com, deploymentName: fast, apiVersion: 2024-10-21}",
            "azure: {resourceName: house, resourceType: OpenAI, model: fast, apiVersion: 2024-10-21}",
            KEYS,
        ),
        row(
            "vertexai: {authToken: {kind: Inline, inline: ya29.token}, projectId: house-1, location: europe-west1, \
             apiVersion: v1, model: claude-haiku-4-5@20251001}",
            "vertexai: {projectId: house-1, region: europe-west1, model: anthropic/claude-haiku-4-5@20251001}",
            "auth: {key: ya29.token}",
        ),
        row(
            "vertexai: {authToken: {kind: Inline, inline: ya29.token}, projectId: house-1, location: europe-west1, \
             apiVersion: v1, model: gemini-2.5-flash}",
            "vertexai: {projectId: house-1, region: europe-west1, model: gemini-2.5-flash}",
            "auth: {key: ya29.token}",
        ),
        row(
            "bedrock: {auth: {type: Secret, secretRef: {name: aws}}, model: \"amazon.nova-lite-v1:0\", region: eu-west-1, \
             guardrail: {identifier: house, version: \"3\"}}",
            "bedrock: {model: \"amazon.nova-lite-v1:0\", region: eu-west-1, guardrail: {identifier: house, version: \"3\"}}",
            "auth: {aws: {secretRef: {name: aws}}}",
        ),
        row(
            "bedrock: {TOKEN, model: \"amazon.nova-lite-v1:0\", region: eu-west-1}",
            "bedrock: {model: \"amazon.nova-lite-v1:0\", region: eu-west-1}",
            KEYS,
        ),
        row("groq: {TOKEN}", "groq: {}", KEYS),
        row(
            "host: plain.example, port: 8000, path: {full: /inference/v1/chat/completions}, includeUsage: true, openai: {TOKEN}",
            "host: plain.example, port: 8000, pathPrefix: /inference/v1, includeUsage: true, openai: {}",
            KEYS,
        ),
        row(
            "host: plain.example, port: 8000, path: {full: /anthropic/v1/messages}, authHeader: {prefix: Bearer, headerName: \
             Authorization}, anthropic: {TOKEN, model: own}",
            "host: plain.example, port: 8000, path: /anthropic/v1/messages, anthropic: {model: own}",
            "auth: {secretRef: {name: keys}, location: {header: {name: Authorization, prefix: \"Bearer \"}}}",
        ),
    ]
}

/// An AgentgatewayBackend with this in its spec, and a route to it below its name.
fn below(name: &str, spec: &str) -> String {
    let route = support::below(name, "openai: {}");
    let (_, route) = route.split_at(route.find("---\napiVersion: gateway.networking").expect("a route"));
    let route = route.replace(
        "group: gateway.kgateway.dev, kind: Backend",
        "group: agentgateway.dev, kind: AgentgatewayBackend",
    );
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayBackend\nmetadata: {{name: {name}, namespace: \
         llm}}\nspec: {{{spec}}}\n{route}"
    )
}

fn secret() -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: aws, namespace: llm}}\nstringData: {{accessKey: AKIASIM, \
         secretKey: {AWS_SECRET_KEY}}}\n"
    )
}

/// What a provider sees, without what differs from one request to the next.
fn wire(rig: &Rig) -> (String, Vec<(String, String)>, String) {
    let seen = seen(rig);
    let header = |(name, value): &(String, Vec<u8>)| {
        let value = String::from_utf8_lossy(value);
        let steady = match name.as_str() {
            "x-amz-date" => "a date",
            _ => value.split_once(" Credential=").map_or(&*value, |(scheme, _)| scheme),
        };
        (name.clone(), steady.to_owned())
    };
    (
        seen.target.clone(),
        seen.headers.iter().map(header).collect(),
        String::from_utf8_lossy(&seen.body).into_owned(),
    )
}

#[test]
fn every_provider_gets_what_it_gets_through_a_backend() {
    for Row { backend, provider, policies } in rows() {
        let both =
            secret() + &below("new", &format!("ai: {{provider: {{{provider}}}}}, policies: {{{policies}}}"));
        let rig = rig(script(), &backend, &both);
        let mut client = rig.client();
        let mut asked = 0;
        for streamed in [false, true] {
            let asks = [
                ("/v1/chat/completions", chat("asked", streamed)),
                ("/v1/messages", message("asked", streamed)),
            ];
            for (path, body) in asks {
                let mut through = |prefix: &str| {
                    let headers = "Authorization: Bearer sk-ant-theirs\r\n";
                    let answer = client.ask(&format!("{prefix}{path}"), headers, &body);
                    assert_eq!(
                        (answer.status, answer.complete),
                        (200, true),
                        "{provider} {path}: {}",
                        answer.text()
                    );
                    asked += 1;
                    wire(&rig)
                };
                assert_eq!(through("/cloud"), through("/new"), "{provider} {path} streamed: {streamed}");
            }
        }
        let ledger = rig.assert_ledgers_agree();
        assert_eq!((ledger.completed, ledger.refused), (asked, 0), "{provider}");
    }
}

#[test]
fn groups_are_asked_by_priority_with_policies_of_their_own() {
    let failing = Script { fault: Fault::Status(503), retry_after: None, ..script() };
    let (bad, good) =
        (Simulator::start(failing).expect("it starts"), Simulator::start(script()).expect("it starts"));
    let provider = |name: &str, at: std::net::SocketAddr, more: &str| {
        format!("{{name: {name}, openai: {{}}, host: {}, port: {}{more}}}", at.ip(), at.port())
    };
    let first = provider("first", bad.addr(), "");
    let second = provider("second", good.addr(), ", policies: {auth: {key: sk-of-the-second}}");
    let spec = format!(
        "ai: {{groups: [{{providers: [{first}]}}, {{providers: [{second}]}}]}}, policies: {{{KEYS}}}"
    );
    let rig = rig(script(), "openai: {authToken: {kind: Passthrough}}", &below("new", &spec));
    for streamed in [false, true] {
        let answer = rig.client().ask("/new/v1/chat/completions", "", &chat("asked", streamed));
        assert_eq!((answer.status, answer.complete), (200, true), "{}", answer.text());
        for (simulator, key) in [(&bad, "Bearer sk-live-secret"), (&good, "Bearer sk-of-the-second")] {
            let seen = simulator.requests().pop().expect("it came");
            assert_eq!(seen.header("authorization"), Some(key), "streamed: {streamed}");
        }
    }
    assert_eq!((bad.ledger().requests, good.ledger().completed, rig.settled().counted), (2, 2, 0));
}

#[test]
fn policies_make_of_requests_what_they_say_the_backends_own_first() {
    let spec =
        format!("ai: {{provider: {{openai: {{}}}}}}, policies: {{{KEYS}, ai: {{defaults: {{top_p: 0.1}}}}}}");
    let policy = |name: &str, target: &str, ai: &str| {
        format!(
            "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: {name}, namespace: \
             llm}}\nspec:\n  targetRefs: [{{{target}}}]\n  backend: {{ai: {{{ai}}}}}\n"
        )
    };
    let on_backend = "group: agentgateway.dev, kind: AgentgatewayBackend, name: new";
    let on_route = "group: gateway.networking.k8s.io, kind: HTTPRoute, name: new";
    let policies = below("new", &spec)
        + &policy("one", on_backend, "defaults: {top_p: 0.2}, overrides: {seed: 2}")
        + &policy("other", on_route, "overrides: {seed: 3}, modelAliases: {asked: gpt-4o}");
    let rig = rig(script(), "openai: {authToken: {kind: Passthrough}}", &policies);
    let answer = rig.client().ask("/new/v1/chat/completions", "", &chat("asked", false));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = sent(&rig);
    assert_eq!((&sent["top_p"], &sent["seed"], &sent["model"]), (&json!(0.1), &json!(2), &json!("gpt-4o")));
}

#[test]
fn limits_and_keys_of_policies_hold_for_a_backend() {
    let target = "targetRefs: [{group: agentgateway.dev, kind: AgentgatewayBackend, name: new}]";
    let policies = format!(
        "{}---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: key, namespace: \
         llm}}\nspec: {{{target}, backend: {{{KEYS}}}}}\n---\napiVersion: tollgate.dev/v1alpha1\nkind: \
         LimitPolicy\nmetadata: {{name: one, namespace: llm}}\nspec: {{{target}, limits: [{{name: a, unit: requests, rate: \
         1/hour, burst: 1}}]}}\n",
        below("new", "ai: {provider: {anthropic: {model: own}}}"),
    );
    let rig = rig(script(), "openai: {authToken: {kind: Passthrough}}", &policies);
    let mut client = rig.client();
    assert_eq!(client.ask("/new/v1/messages", "", &message("asked", false)).status, 200);
    assert_eq!(seen(&rig).header("x-api-key"), Some("sk-live-secret"));
    assert_eq!(client.ask("/new/v1/messages", "", &message("asked", false)).status, 429);
    rig.assert_ledgers_agree();
}
