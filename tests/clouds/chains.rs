//! Credentials of AWS and Google that nobody wrote down: fetched where the environment says, in the clear from endpoints
//! near by, renewed before they end.

use super::*;
use crate::endpoint::{BEDROCK, Endpoint, ask, file, in_seconds, signer};
use serde_json::json;
use std::cell::RefCell;
use support::until;
use tollgate_loadtest::AWS_SECRET_KEY;

/// A Backend of Vertex AI's without `authToken`.
const VERTEX: &str = "vertexai: {projectId: house-1, location: europe-west1, model: claude-haiku-4-5}";

/// Keys as endpoints of containers and instances write them.
pub(super) fn keys(access: &str, seconds: i64) -> String {
    json!({
        "Code": "Success", "AccessKeyId": access, "SecretAccessKey": AWS_SECRET_KEY, "Token": format!("token-{access}"),
        "Expiration": in_seconds(seconds),
    })
    .to_string()
}

/// That a request is served, signed with `access` and its token.
fn assert_signed(rig: &Rig, access: &str) {
    let answer = ask(rig);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(signer(rig), access);
    assert_eq!(seen(rig).header("x-amz-security-token"), Some(&*format!("token-{access}")));
}

/// The metadata service of an instance with the role `edge`, whose credentials are `keys`.
fn metadata(number: usize, text: &str, keys: String) -> (u16, String) {
    let roles = "/latest/meta-data/iam/security-credentials/";
    let line = text.lines().next().unwrap_or_default();
    let has_token = text.contains("\r\nx-aws-ec2-metadata-token: AQAA-1==\r\n");
    match number % 3 {
        1 => {
            assert_eq!(line, "PUT /latest/api/token HTTP/1.1");
            assert!(text.contains("\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"), "{text}");
            (200, "AQAA-1==".to_owned())
        }
        2 if has_token && line == format!("GET {roles} HTTP/1.1") => (200, "edge".to_owned()),
        0 if has_token && line == format!("GET {roles}edge HTTP/1.1") => (200, keys),
        _ => (401, String::new()),
    }
}

#[test]
fn an_instance_gives_the_credentials_of_its_role() {
    let endpoint = Endpoint::start(|number, text| metadata(number, text, keys("ASIA1", 3_600)));
    let rig = endpoint.rig(
        script(),
        &backend(BEDROCK),
        &[("AWS_EC2_METADATA_SERVICE_ENDPOINT", &endpoint.url()), ("HOME", "/nowhere")],
    );
    for _ in 0..3 {
        assert_signed(&rig, "ASIA1");
    }
    assert_eq!(endpoint.asked().len(), 3);
    rig.assert_ledgers_agree();
}

#[test]
fn a_container_gives_credentials_for_its_token_which_is_read_anew() {
    let token = file("token", "first\n");
    let endpoint = Endpoint::start(|number, text| match number {
        1 if text.contains("\r\nauthorization: first\r\n") => (200, keys("ASIA1", 4)),
        _ if text.contains("\r\nauthorization: second\r\n") => (200, keys("ASIA2", 3_600)),
        _ => (200, keys("ASIA1", 4)),
    });
    let url = format!("{}/v1/credentials", endpoint.url());
    let rig = endpoint.rig(
        script(),
        &backend(BEDROCK),
        &[
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
            // Where there is a container's endpoint, the instance is not asked.
            ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1"),
        ],
    );
    assert_signed(&rig, "ASIA1");
    std::fs::write(&token, "second\n").expect("a file");
    until("others are used", || ask(&rig).status == 200 && signer(&rig) == "ASIA2");
    assert_signed(&rig, "ASIA2");
    assert!(endpoint.asked().iter().all(|text| text.starts_with("GET /v1/credentials HTTP/1.1\r\n")));
}

#[test]
fn backends_of_one_environment_share_what_is_fetched() {
    let endpoint = Endpoint::start(|_, _| (200, keys("ASIA1", 3_600)));
    let url = format!("{}/x", endpoint.url());
    let elsewhere = format!("host: plain.example, port: 80, {}", BEDROCK.replace("eu-west-1", "us-east-1"));
    let second = backend(&elsewhere).replace("cloud", "second");
    let rig = endpoint.rig(
        script(),
        &(backend(BEDROCK) + &second),
        &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)],
    );
    assert_signed(&rig, "ASIA1");
    let answer = rig.client().ask("/second/v1/chat/completions", "", &support::chat("asked", false));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(seen(&rig).header("authorization").expect("a signature").contains("/us-east-1/bedrock/"));
    assert_eq!((signer(&rig).as_str(), endpoint.asked().len()), ("ASIA1", 1));
}

#[test]
fn an_origin_that_keeps_silent_holds_up_no_other() {
    let endpoint = Endpoint::start(|_, _| (200, keys("ASIA1", 3_600)));
    let (release, gate) = std::sync::mpsc::channel::<()>();
    let gate = std::sync::Mutex::new(gate);
    // Longer than a start waits; it ends with the test.
    let silent = Endpoint::start(move |_, _| {
        let _ = gate.lock().map(|gate| gate.recv_timeout(std::time::Duration::from_secs(10)));
        (503, String::new())
    });
    let url = format!("{}/x", endpoint.url());
    let texts = support::below("brisk", BEDROCK) + &backend(VERTEX);
    let host = silent.address().to_string();
    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url[..]), ("GCE_METADATA_HOST", &host)];
    let rig = endpoint.rig(script(), &texts, &variables);
    let answer = rig.client().ask("/brisk/v1/chat/completions", "", &support::chat("asked", false));
    assert_eq!((answer.status, ask(&rig).status), (200, 503), "{}", answer.text());
    assert_eq!((signer(&rig).as_str(), silent.asked().len()), ("ASIA1", 1));
    drop(release);
}

#[test]
fn without_credentials_requests_get_503_until_there_are_some() {
    let endpoint = Endpoint::start(|number, _| match number {
        1 => (500, json!({"code": "Busy", "message": "later"}).to_string()),
        _ => (200, keys("ASIA2", 3_600)),
    });
    let url = format!("{}/x", endpoint.url());
    let rig = endpoint.rig(script(), &backend(BEDROCK), &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
    let answer = ask(&rig);
    assert_eq!((answer.status, answer.json()["error"]["type"].as_str()), (503, Some("server_error")));
    assert!(answer.text().contains("no credential for the provider"), "{}", answer.text());
    assert!(!answer.text().contains("Busy"), "that is for the operator");
    assert_eq!(rig.settled(), support::Settled::default());
    until("credentials have come", || ask(&rig).status == 200);
    assert_eq!(signer(&rig), "ASIA2");
}

#[test]
fn credentials_that_cannot_be_renewed_serve_until_their_end_and_no_longer() {
    let endpoint = Endpoint::start(|number, _| match number {
        1 => (200, keys("ASIA1", 5)),
        2..=3 => (500, String::new()),
        _ => (200, keys("ASIA2", 3_600)),
    });
    let url = format!("{}/x", endpoint.url());
    let rig = endpoint.rig(script(), &backend(BEDROCK), &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
    assert_signed(&rig, "ASIA1");
    until("it was tried to renew them", || endpoint.asked().len() >= 2);
    let statuses = RefCell::new(Vec::new());
    until("others have come", || {
        let status = ask(&rig).status;
        statuses.borrow_mut().push(status);
        status == 200 && signer(&rig) == "ASIA2"
    });
    // They served, there were none for a while, and then there were others.
    let turns: Vec<u16> = statuses
        .borrow()
        .chunk_by(|one, other| one == other)
        .filter_map(|turn| turn.first().copied())
        .collect();
    assert_eq!(turns, [200, 503, 200]);
}

#[test]
fn a_provider_without_its_credential_is_not_asked_while_another_can_be() {
    let endpoint = Endpoint::start(|_, _| (500, String::new()));
    let url = format!("{}/x", endpoint.url());
    let groups = format!(
        "priorityGroups: [{{providers: [{{name: first, {BEDROCK}}}]}}, {{providers: [{{name: second, openai: {{authToken: \
         {{kind: SecretRef, secretRef: {{name: keys}}}}}}}}]}}]"
    );
    let text = backend("x: {}").replace("llm: {x: {}}", &groups);
    let rig = endpoint.rig(script(), &text, &[("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)]);
    let answer = ask(&rig);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(seen(&rig).target, "/v1/chat/completions");
    rig.assert_ledgers_agree();
}

// === Google ===

#[test]
fn the_metadata_server_gives_access_tokens() {
    let endpoint = Endpoint::start(|number, text| {
        let line = "GET /computeMetadata/v1/instance/service-accounts/default/token HTTP/1.1\r\n";
        assert!(text.starts_with(line) && text.contains("\r\nmetadata-flavor: Google\r\n"), "{text}");
        let seconds = if number == 1 { 4 } else { 3_600 };
        let token = format!("ya29.n{number}");
        (200, json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"}).to_string())
    });
    let host = endpoint.address().to_string();
    let rig = endpoint.rig(script(), &backend(VERTEX), &[("GCE_METADATA_HOST", &host)]);
    let bearer = |rig: &Rig| {
        let answer = ask(rig);
        assert_eq!(answer.status, 200, "{}", answer.text());
        seen(rig).header("authorization").expect("a token").to_owned()
    };
    assert_eq!(bearer(&rig), "Bearer ya29.n1");
    until("another token is used", || bearer(&rig) == "Bearer ya29.n2");
    assert_eq!(seen(&rig).header("x-goog-user-project"), None);
    rig.assert_ledgers_agree();
}

#[test]
fn the_file_that_the_environment_names_goes_before_the_metadata_server() {
    let endpoint = Endpoint::start_secure(|_, text| {
        assert!(text.starts_with("POST /token HTTP/1.1\r\n"), "{text}");
        (200, json!({"access_token": "ya29.f", "expires_in": 3_600, "token_type": "Bearer"}).to_string())
    });
    let key = file("key.json", &crate::accounts::key(&endpoint));
    let variables = [("GOOGLE_APPLICATION_CREDENTIALS", &key[..]), ("GCE_METADATA_HOST", "127.0.0.1:1")];
    let rig = endpoint.rig(script(), &backend(VERTEX), &variables);
    let answer = ask(&rig);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(seen(&rig).header("authorization"), Some("Bearer ya29.f"));
    assert_eq!(endpoint.asked().len(), 1);
}
