//! Where keys come from: URLs and files, as they change, fail and come back.

use super::issuers::{Endpoint, PATH, claims, policy, start};
use super::{ask, bearer, body};
use crate::front::Manner;
use crate::support::process::{Process, directory, tollgate};
use crate::support::{Client, Rig, apis, settings, until};
use crate::tokens::{Signer, key_set};
use serde_json::json;
use tollgate_loadtest::{Script, Simulator};

fn status(rig: &Rig, headers: &str) -> u16 {
    ask(rig, PATH, headers).status
}

/// One signer with keys of these names, each with a token of its own that holds for an hour.
fn signers<const N: usize>(kids: [&str; N]) -> [(Signer, String); N] {
    kids.map(|kid| {
        let signer = Signer::new("ES256", Some(kid));
        let token = bearer(&signer.token(&claims(3600)));
        (signer, token)
    })
}

#[test]
fn keys_are_there_with_the_first_request_and_fetched_once() {
    let [(signer, token)] = signers(["k1"]);
    let endpoint = Endpoint::start(200, &key_set([&signer]));
    let url = endpoint.rig(&json!({"url": endpoint.url()}), "");
    for _ in 0..4 {
        assert_eq!(status(&url, &token), 200);
        assert_eq!(status(&url, ""), 401);
    }
    assert_eq!(endpoint.asked(), 1);
    drop(url);
    let backend = "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {name: keycloak, namespace: llm}\n\
                   spec: {type: Static, static: {hosts: [{host: keys.example, port: 443}]}}\n";
    let remote = json!({"remote": {
        "jwksPath": "realms/a/certs?v=1",
        "backendRef": {"group": "gateway.kgateway.dev", "kind": "Backend", "name": "keycloak"},
    }});
    let rig = endpoint.rig(&remote, backend);
    assert_eq!((status(&rig, &token), endpoint.asked()), (200, 2));
}

/// A token with a key that is not known is refused at once, and has the keys asked for again; the key that has gone is no key
/// any more, not even for tokens that were verified before.
#[test]
fn a_new_key_is_fetched_when_its_first_token_comes() {
    let [(old, with_old), (new, with_new)] = signers(["old", "new"]);
    let endpoint = Endpoint::start(200, &key_set([&old]));
    let rig = endpoint.rig(&json!({"url": endpoint.url(), "cacheDuration": "1h"}), "");
    assert_eq!((status(&rig, &with_old), status(&rig, &with_new)), (200, 401));
    endpoint.set(200, &key_set([&old, &new]));
    until("the new key has come", || status(&rig, &with_new) == 200);
    assert_eq!(status(&rig, &with_old), 200, "both hold");
    endpoint.set(200, &key_set([&new]));
    let [(_, unknown)] = signers(["unknown"]);
    until("the old key has gone", || (status(&rig, &unknown), status(&rig, &with_old)) == (401, 401));
    assert_eq!(status(&rig, &with_new), 200);
    assert!(endpoint.asked() < 12, "{} questions", endpoint.asked());
}

/// Without any keys nobody can tell whether a token is good: that is no fault of its bearer.
#[test]
fn an_endpoint_that_is_down_is_asked_again_and_its_last_keys_serve() {
    let [(signer, token), (other, with_other)] = signers(["k1", "k2"]);
    let endpoint = Endpoint::start(503, "s3cret");
    let rig = endpoint.rig(&json!({"url": endpoint.url(), "cacheDuration": "1s"}), "");
    let answer = ask(&rig, PATH, &token);
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("1")), "{}", answer.text());
    assert!(answer.text().contains("keys of the issuer") && !answer.text().contains("s3cret"));
    assert_eq!(answer.header("www-authenticate"), None);
    assert_eq!(status(&rig, ""), 401, "no token is no token");
    endpoint.set(200, &key_set([&signer]));
    until("the keys have come", || status(&rig, &token) == 200);
    let worse = [
        (200, "{}".to_owned()),
        (404, key_set([&other])),
        (200, format!("{}{}", key_set([&other]), " ".repeat(70_000))),
    ];
    for (failing, body) in worse {
        endpoint.set(failing, &body);
        let asked = endpoint.asked();
        until("it was asked", || {
            let served = (status(&rig, &token), status(&rig, &with_other));
            assert_eq!(served, (200, 401), "{failing}: the last keys serve");
            endpoint.asked() > asked
        });
        // What is well again is asked as often as before.
        endpoint.set(200, &key_set([&signer]));
        let asked = endpoint.asked();
        until("it is well again", || endpoint.asked() > asked);
    }
    endpoint.front.set(Manner::HangUp);
    assert_eq!((status(&rig, &token), status(&rig, &with_other)), (200, 401));
    endpoint.front.set(Manner::Polite);
    endpoint.set(200, &key_set([&other]));
    until("the next keys have come", || (status(&rig, &token), status(&rig, &with_other)) == (401, 200));
}

/// How many keys a source has, how often it failed, whether it does now, and whether it ever did not, by `/state` and `/metrics`.
#[test]
fn how_each_source_stands_is_shown_without_its_query() {
    let [(signer, _)] = signers(["k1"]);
    let endpoint = Endpoint::start(200, &key_set([&signer]));
    let path = directory("jwks-shown").join("keys.json");
    let more = format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: more, namespace: llm}}\nspec:\n  \
         targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: plain}}]\n  traffic: {{jwtAuthentication: {{providers: \
         [{{issuer: b, jwks: {}}}, {{issuer: c, jwks: {}}}]}}}}\n",
        json!({"file": path.display().to_string()}),
        json!({"inline": key_set([&signer])}),
    );
    let rig = endpoint.rig(&json!({"url": endpoint.url(), "cacheDuration": "1s"}), &more);
    let admin = rig.gateway().admin_address.expect("an admin endpoint");
    let get = |page: &str| {
        let mut client = Client::connect(admin);
        client.write(format!("GET {page} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        client.answer()
    };
    let url = endpoint.url().split_once('?').expect("it has a query").0.to_owned();
    let stands = |place: usize| {
        let all = get("/state").json()["issuer_keys"].clone();
        assert_eq!(all.as_array().map(Vec::len), Some(3), "{all}");
        let one = &all[place];
        (one["source"].clone(), one["keys"].clone(), one["age_seconds"].is_number(), one["failing"].clone())
    };
    assert_eq!(stands(0), (json!(url), json!(1), true, json!(false)));
    assert_eq!(stands(1), (json!(format!("file {}", path.display())), json!(0), false, json!(true)));
    assert_eq!(
        stands(2),
        (json!("provider 1 of AgentgatewayPolicy llm/more"), json!(1), false, json!(false))
    );
    // Who fails is told of, and has its last keys.
    std::fs::write(&path, key_set([&signer])).expect("a file");
    endpoint.set(503, "s3cret");
    until("it fails", || stands(0).3 == json!(true));
    assert_eq!((stands(0).1, stands(0).2), (json!(1), true));
    until("the file was read", || (stands(1).1, stands(1).2, stands(1).3) == (json!(1), true, json!(false)));
    let metrics = get("/metrics").text();
    let value = |family: &str, source: &str| -> Option<f64> {
        let series = format!("{family}{{source=\"{source}\"}} ");
        metrics.lines().find_map(|line| line.strip_prefix(&series)?.parse().ok())
    };
    let file = format!("file {}", path.display());
    for (family, source, least) in [
        ("tollgate_issuer_keys", &url, 1.0),
        ("tollgate_issuer_keys", &file, 1.0),
        ("tollgate_issuer_keys_age_seconds", &url, 0.001),
        ("tollgate_issuer_keys_age_seconds", &file, 0.0),
        ("tollgate_issuer_keys_failures_total", &url, 1.0),
        ("tollgate_issuer_keys_failures_total", &file, 1.0),
    ] {
        assert!(value(family, source).is_some_and(|value| value >= least), "{family} {source}: {metrics}");
    }
    assert!(!metrics.contains("v=1") && !get("/state").text().contains("v=1"), "a query is nobody's to see");
}

/// Keys are taken from nobody whose certificate is not verified.
#[test]
fn keys_come_by_verified_tls_alone() {
    let [(signer, token)] = signers(["k1"]);
    let (endpoint, stranger) = (Endpoint::start(200, &key_set([&signer])), Endpoint::start(200, ""));
    let rig = stranger.rig(&json!({"url": endpoint.url()}), "");
    assert_eq!(status(&rig, &token), 503);
    assert_eq!(endpoint.asked(), 0);
    assert!(
        endpoint.front.seen().iter().any(|seen| seen.first_byte == Some(0x16)),
        "it was spoken to in TLS"
    );
}

#[test]
fn a_file_is_read_whenever_it_has_changed() {
    let [(old, with_old), (new, with_new)] = signers(["old", "new"]);
    let path = directory("jwks").join("keys.json");
    let rig = start(&apis(&policy(&json!({"file": path.display().to_string()}))));
    assert_eq!(status(&rig, &with_old), 503, "it is not there");
    std::fs::write(&path, key_set([&old])).expect("a file");
    until("it was read", || status(&rig, &with_old) == 200);
    std::fs::write(&path, "{").expect("a file");
    std::fs::remove_file(&path).expect("it was there");
    assert_eq!(status(&rig, &with_old), 200);
    std::fs::write(&path, key_set([&new])).expect("a file");
    until("it was read", || (status(&rig, &with_old), status(&rig, &with_new)) == (401, 200));
}

/// What was verified under one configuration has to be verified under the next one.
#[test]
fn a_reload_takes_other_keys_and_keeps_those_that_are_fetched() {
    let [(old, with_old), (new, with_new)] = signers(["old", "new"]);
    let endpoint = Endpoint::start(200, &key_set([&old]));
    let simulator = Simulator::start(Script::default()).expect("the simulator starts");
    let directory = directory("jwt-reload");
    let write = |jwks: serde_json::Value, cores: &str| {
        let quiet = settings(&format!("  records: {{to: none}}\n  workers: {{cores: {cores}, pin: false}}"));
        std::fs::write(directory.join("all.yaml"), apis(&policy(&jwks)) + &quiet).expect("a file");
    };
    write(json!({"inline": key_set([&old])}), "1");
    let to = |host: &str| format!("{host}=http://{}", simulator.addr());
    let hosts =
        ["api.anthropic.com", "api.openai.com", "generativelanguage.googleapis.com", "plain.example"].map(to);
    let (place, roots) = (directory.display().to_string(), endpoint.roots());
    let mut arguments =
        vec!["run", &place, "--admin", "none", "--listen", "8080=127.0.0.1:0", "--roots", &roots];
    hosts.iter().for_each(|host| arguments.extend(["--host", host]));
    let (mut process, address) = Process::serve(&mut tollgate(&arguments));
    let asked = |headers: &str| Client::connect(address).ask(PATH, headers, &body(PATH)).status;
    assert_eq!((asked(&with_old), asked(&with_old), asked(&with_new)), (200, 200, 401));

    write(json!({"inline": key_set([&new])}), "1");
    process.signal("HUP");
    process.says("configuration 2 is in force");
    until_is((401, 200), || (asked(&with_old), asked(&with_new)));

    write(json!({"url": endpoint.url(), "cacheDuration": "1h"}), "1");
    process.signal("HUP");
    process.says("configuration 3 is in force");
    until_is((200, 401), || (asked(&with_old), asked(&with_new)));
    let before = endpoint.asked();

    // The endpoint is gone, and the source stays: so do its keys.
    endpoint.front.set(Manner::HangUp);
    process.signal("HUP");
    process.says("configuration 4 is in force");
    assert_eq!(asked(&with_old), 200);
    assert_eq!(endpoint.asked(), before);
}

/// Waits until the next answers are these.
fn until_is<T: PartialEq + std::fmt::Debug>(expected: T, mut now: impl FnMut() -> T) {
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(10);
    loop {
        let found = now();
        if found == expected {
            return;
        }
        assert!(std::time::Instant::now() < patience, "still {found:?}");
        std::thread::sleep(std::time::Duration::from_millis(2));
    }
}
