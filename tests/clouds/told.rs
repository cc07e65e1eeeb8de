//! What the program tells of credentials that it fetches, as a process: where it looks, what it refuses, what fails; and no
//! secret.

use super::*;
use crate::chains::keys;
use crate::endpoint::{BEDROCK, Endpoint, file};
use serde_json::json;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use support::process::{Ended, Process, directory, ended, tollgate};
use support::{Client, chat, until};
use tollgate_loadtest::{AWS_SECRET_KEY, Simulator};

/// `tollgate COMMAND` on these manifests, where the environment has these variables and no other of clouds.
fn command(name: &str, command: &str, texts: &[String], variables: &[(&str, &str)]) -> Command {
    let folder = directory(&format!("told-{name}"));
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(folder.join(format!("{number}.yaml")), text).expect("a file");
    }
    let mut tollgate = tollgate(&[command, folder.to_str().expect("a path in UTF-8")]);
    tollgate.env_clear().env("ANTHROPIC_API_KEY", "sk-ant-x").envs(variables.iter().copied());
    tollgate
}

fn check(name: &str, llm: &str, variables: &[(&str, &str)]) -> Ended {
    ended(&mut command(name, "check", &[manifests(&backend(llm))], variables))
}

#[test]
fn a_check_says_where_credentials_are_looked_for() {
    let endpoint = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1");
    let vertex = "vertexai: {projectId: p, location: global, model: gemini-2.5-flash}";
    for (name, llm, variables, expected) in [
        (
            "aws",
            BEDROCK,
            &[("HOME", "/h"), endpoint][..],
            "credentials of AWS: the profile \"default\" of \"/h/.aws/credentials\" and \"/h/.aws/config\", else the EC2 \
             metadata service at 127.0.0.1",
        ),
        (
            "google",
            vertex,
            &[("HOME", "/h")],
            "access token of Google: the key in \"/h/.config/gcloud/application_default_credentials.json\", else the metadata \
             server at 169.254.169.254",
        ),
    ] {
        let said = check(name, llm, variables);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.lines().any(|line| line == expected), "{}", said.stdout);
    }
}

#[test]
fn files_that_ask_for_what_is_not_done_are_refused() {
    let google = json!({"type": "external_account", "audience": "s3cret"}).to_string();
    let aws = |text: &str| ("AWS_CONFIG_FILE", file("config", &format!("[default]\n{text}\n")), BEDROCK);
    let google = (
        "GOOGLE_APPLICATION_CREDENTIALS",
        file("key.json", &google),
        "vertexai: {projectId: p, location: global, model: gemini-2.5-flash}",
    );
    let rows = [
        (
            aws("sso_session = s3cret"),
            "has \"sso_session\", which is not looked up; give it keys, or a role_arn",
        ),
        (aws("sso_start_url = s3cret"), "has \"sso_start_url\", which is not looked up"),
        (aws("credential_process = s3cret"), "has \"credential_process\", which is not looked up"),
        (aws("login_session = s3cret"), "has \"login_session\", which is not looked up"),
        (aws("role_arn = r"), "has \"role_arn\" and nothing to assume it with"),
        (aws("role_arn = r\nsource_profile = s3"), "the profile \"s3\" of"),
        (aws("role_arn = r\ncredential_source = EcsContainer"), "AWS_CONTAINER_CREDENTIALS_FULL_URI and"),
        (
            aws("role_arn = r\ncredential_source = Environment"),
            "and AWS_ACCESS_KEY_ID is not set; correct either",
        ),
        (aws("role_arn = r\nsource_profile = default\nmfa_serial = s3cret"), "nobody is here to type a code"),
        (aws("s3cret"), "config:2: neither a section nor a setting"),
        (google, "key.json: the Google key is of type \"external_account\", which is not supported"),
    ];
    for (number, ((variable, path, llm), expected)) in rows.iter().enumerate() {
        let said = check(&format!("refused-{number}"), llm, &[(variable, path)]);
        let fault = said.stderr;
        assert_eq!(said.code, Some(2), "{fault}");
        assert!(fault.starts_with("Backend llm/cloud: ") && fault.contains(expected), "{expected}: {fault}");
        assert!(!fault.contains("s3cret") && fault.lines().count() == 1, "{fault}");
    }
}

/// What is at `path` of the admin endpoint.
fn get(admin: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(admin).expect("the admin endpoint");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").expect("it listens");
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("an answer");
    text
}

/// A failure is told once, and its end; a reload fetches nothing anew; neither log nor metrics show a secret.
#[test]
fn failures_are_told_once_and_secrets_never() {
    let endpoint = Endpoint::start(|number, _| match number {
        1..=2 => (500, json!({"message": "busy\nlater"}).to_string()),
        _ => (200, keys("ASIAFETCHED", 3_600)),
    });
    let simulator = Simulator::start(script()).expect("the simulator starts");
    let settings = settings(&format!(
        "  workers: {{cores: 1, pin: false}}\n  admin: {{address: \"127.0.0.1:0\"}}\n  hostOverrides: [{{host: \
         bedrock-runtime.eu-west-1.amazonaws.com, to: \"http://{}\"}}]\n  listenerOverrides: [{{port: 8080, address: \
         \"127.0.0.1:0\"}}]\n",
        simulator.addr()
    ));
    let url = format!("{}/x", endpoint.url());
    let variables = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url[..]),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN", "bearer-s3cret"),
    ];
    let texts = [manifests(&backend(BEDROCK)), settings];
    let (mut process, address) = Process::serve(&mut command("run", "run", &texts, &variables));
    let status = |path: &str| Client::connect(address).ask(path, "", &chat("asked", false)).status;
    until("credentials have come", || status("/cloud/v1/chat/completions") == 200);
    process.says("there is a credential again (credentials of AWS: the container's endpoint at 127.0.0.1)");
    assert_eq!(endpoint.asked().len(), 3);

    process.signal("HUP");
    process.says("configuration 2 is in force");
    for _ in 0..20 {
        assert_eq!(status("/cloud/v1/chat/completions"), 200);
    }
    assert_eq!(endpoint.asked().len(), 3, "a reload that changes nothing fetches nothing");

    let failures = "no credentials of AWS: the container's endpoint at 127.0.0.1 (the container's credential endpoint answered \
                    500: busy later; make sure that a role is associated with the service account or the task): requests that \
                    need it are answered 503 until there is one";
    assert_eq!(process.stderr().matches("no credentials of AWS").count(), 1, "{}", process.stderr());
    assert!(process.stderr().contains(failures), "{}", process.stderr());
    let line = process.says("admin http://");
    let admin = line.split("http://").nth(1).and_then(|rest| rest.split(": ").next()).expect("an address");
    let shown: String = ["/metrics", "/state", "/accounts"].map(|path| get(admin, path)).concat();
    assert!(shown.contains("tollgate_"), "{shown}");
    process.signal("TERM");
    let Ended { code, stdout, stderr } = process.end();
    assert_eq!(code, Some(0), "{stderr}");
    for secret in [AWS_SECRET_KEY, "ASIAFETCHED", "bearer-s3cret"] {
        assert!(
            [&stdout, &stderr, &shown].iter().all(|text| !text.contains(secret)),
            "{secret}\n{stdout}---\n{stderr}"
        );
    }
}
