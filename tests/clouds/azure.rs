//! Azure OpenAI: deployments by dated versions of its API and by v1.

use super::*;
use support::{ROUTES, chat, message};

const TOKEN: &str = "authToken: {kind: SecretRef, secretRef: {name: keys}}";

fn azure(version: &str) -> String {
    format!(
        "azureopenai: {{{TOKEN}, endpoint: \"https://house.openai.azure.com/\", deploymentName: fast, apiVersion: {version}}}"
    )
}

#[test]
fn the_deployment_stands_in_the_path_or_in_the_body_as_the_version_wants_it() {
    let responses = r#"{"model":"asked","input":"How long is a minute?"}"#;
    let embeddings = r#"{"model":"asked","input":"How long is a minute?"}"#;
    let deployments = "/openai/deployments/fast";
    let dated = "?api-version=2024-10-21";
    // The client's endpoint and body; where it goes by a dated version, by v1, by preview, below the prefix of the latter two.
    let rows = [
        (
            "/v1/chat/completions",
            chat("asked", false),
            format!("{deployments}/chat/completions"),
            "/chat/completions",
        ),
        (
            "/v1/chat/completions",
            chat("asked", true),
            format!("{deployments}/chat/completions"),
            "/chat/completions",
        ),
        (
            "/v1/messages",
            message("asked", true),
            format!("{deployments}/chat/completions"),
            "/chat/completions",
        ),
        ("/v1/responses", responses.to_owned(), format!("{deployments}/chat/completions"), "/responses"),
        ("/v1/embeddings", embeddings.to_owned(), format!("{deployments}/embeddings"), "/embeddings"),
    ];
    for version in ["2024-10-21", "v1", "preview"] {
        let rig = rig(script(), &azure(version), "");
        let mut client = rig.client();
        for (path, body, old, new) in &rows {
            let answer = client.ask(&format!("/cloud{path}"), "", body);
            assert_eq!((answer.status, answer.complete), (200, true), "{version} {path}: {}", answer.text());
            let target = match version {
                "v1" => format!("/openai/v1{new}"),
                "preview" => format!("/openai/v1{new}?api-version=preview"),
                _ => format!("{old}{dated}"),
            };
            let seen = seen(&rig);
            assert_eq!(seen.target, target, "{version} {path}");
            assert_eq!(seen.header("api-key"), Some("sk-live-secret"), "{version} {path}");
            assert_eq!((seen.header("authorization"), seen.header("x-api-key")), (None, None));
            assert_eq!(sent(&rig)["model"], "fast", "{version} {path}: the deployment is the model");
        }
        rig.assert_ledgers_agree();
        assert_eq!(rig.settled().counted, 0, "{version}");
    }
}

#[test]
fn what_clients_say_of_versions_and_keys_is_not_for_azure() {
    let rig = rig(script(), &azure("2024-10-21"), "");
    let mut client = rig.client();
    let path = "/cloud/openai/deployments/theirs/chat/completions?api-version=2023-05-15&x=1";
    let answer =
        client.ask(path, "api-key: theirs\r\nAuthorization: Bearer theirs\r\n", &chat("asked", false));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let seen = seen(&rig);
    assert_eq!(seen.target, "/openai/deployments/fast/chat/completions?api-version=2024-10-21&x=1");
    assert_eq!((seen.header("api-key"), seen.header("authorization")), (Some("sk-live-secret"), None));
}

#[test]
fn models_are_those_of_the_resource() {
    for (version, target) in
        [("2024-10-21", "/openai/models?api-version=2024-10-21"), ("v1", "/openai/v1/models")]
    {
        let rig = rig(script(), &azure(version), "");
        let mut client = rig.client();
        client.write("GET /cloud/v1/models HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
        let answer = client.answer();
        assert_eq!((answer.status, answer.json()["object"].as_str()), (200, Some("list")), "{version}");
        assert_eq!(seen(&rig).target, target);
    }
}

#[test]
fn entra_tokens_and_tokens_of_clients_travel_as_azure_wants_them() {
    let azure = |token: &str| {
        format!("azureopenai: {{authToken: {token}, endpoint: house.openai.azure.com, deploymentName: fast}}")
    };
    let rows = [
        ("{kind: Inline, inline: eyJ0eXAi.x.y}", "", None, Some("Bearer eyJ0eXAi.x.y")),
        ("{kind: Inline, inline: 0123abc}", "", Some("0123abc"), None),
        ("{kind: Passthrough}", "api-key: theirs\r\n", Some("theirs"), None),
        ("{kind: Passthrough}", "Authorization: Bearer eyJx\r\n", None, Some("Bearer eyJx")),
    ];
    for (token, headers, key, bearer) in rows {
        let rig = rig(script(), &azure(token), "");
        let answer = rig.client().ask("/cloud/v1/chat/completions", headers, &chat("asked", false));
        assert_eq!(answer.status, 200, "{token}: {}", answer.text());
        let seen = seen(&rig);
        assert_eq!((seen.header("api-key"), seen.header("authorization")), (key, bearer), "{token}");
    }
}

#[test]
fn members_that_are_newer_than_the_version_are_not_sent() {
    let rows = [("2024-02-01", false), ("2024-10-21", true)];
    for (version, newer) in rows {
        let rig = rig(script(), &azure(version), "");
        let mut client = rig.client();
        // An OpenAI client's stream, and an Anthropic client's, which is translated.
        for (path, body) in [
            ("/cloud/v1/chat/completions", chat("asked", true)),
            ("/cloud/v1/messages", message("asked", true)),
        ] {
            let answer = client.ask(path, "", &body);
            assert_eq!((answer.status, answer.complete), (200, true), "{version} {path}: {}", answer.text());
            let sent = sent(&rig);
            assert_eq!(sent["stream_options"]["include_usage"] == true, newer, "{version} {path}: {sent}");
            let translated = path.ends_with("/messages");
            assert_eq!(sent["max_tokens"].is_u64(), translated && !newer, "{version} {path}");
            assert_eq!(sent["max_completion_tokens"].is_u64(), translated && newer, "{version} {path}");
        }
        // Without usage, it is counted here.
        assert_eq!(rig.settled().counted, if newer { 0 } else { 2 }, "{version}");
    }
}

#[test]
fn claude_on_foundry_is_anthropics_provider_at_a_host_of_azures() {
    let key = "authToken: {kind: SecretRef, secretRef: {name: keys}}, model: claude";
    let llm = format!(
        "host: plain.example, port: 80, path: {{full: /anthropic/v1/messages}}, anthropic: {{{key}}}"
    );
    let rig = rig(script(), &llm, "");
    let mut client = rig.client();
    let contents = support::Wire::Gemini;
    for (path, body, target) in [
        ("/v1/messages", message("asked", true), "/anthropic/v1/messages"),
        ("/v1/chat/completions", chat("asked", true), "/anthropic/v1/messages"),
        ("/v1beta/models/m:generateContent", contents.body(false), "/anthropic/v1/messages"),
        ("/v1/messages/count_tokens", message("asked", false), "/anthropic/v1/messages/count_tokens"),
    ] {
        let answer = client.ask(&format!("/cloud{path}"), "", &body);
        assert_eq!((answer.status, answer.complete), (200, true), "{path}: {}", answer.text());
        let seen = seen(&rig);
        assert_eq!((seen.target.as_str(), seen.header("x-api-key")), (target, Some("sk-live-secret")));
        assert_eq!(seen.header("anthropic-version"), Some("2023-06-01"), "{path}");
    }
    rig.assert_ledgers_agree();
}

#[test]
fn a_backend_at_azure_answers_in_the_place_of_openai() {
    // The usual routes, but their OpenAI is Azure.
    let llm = azure("v1");
    let usual =
        manifests("").replace("openai: {authToken: {kind: SecretRef, secretRef: {name: keys}}}", &llm);
    assert!(usual.contains("azureopenai"));
    let quiet = settings("  records: {to: none}\n  workers: {cores: 1, pin: false}");
    let rig = Rig::start_with(script(), &usual, &quiet);
    let mut client = rig.client();
    for route in ROUTES.into_iter().filter(|route| route.openai_provider) {
        for streamed in [false, true] {
            let said: Said = route.read(&client.ask(route.path, "", &route.body("asked", streamed)));
            assert_eq!((said.model.as_str(), said.usage), ("fast", Some([1_000, 300, 0, 77, 0])));
        }
    }
    rig.assert_ledgers_agree();
}
