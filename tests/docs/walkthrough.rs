//! The main job: the five manifests unchanged, two requests, 200 then 429; in both units.

use crate::support;
use crate::support::{Client, Rig, bucket, chat, gateway, settings};
use tollgate::app::demo::{REQUEST, WALKTHROUGH};
use tollgate::config::Overrides;
use tollgate_loadtest::{Count, Script, Simulator};

#[test]
fn the_five_manifests_unchanged_admit_one_request_and_refuse_the_second() {
    let script = Script { input_tokens: Count::Fixed(43), output_tokens: 12, ..Script::default() };
    let simulator = Simulator::start(script).unwrap();
    let overrides = Overrides {
        hosts: vec![("api.anthropic.com".to_owned(), format!("http://{}", simulator.addr()))],
        listeners: vec![(8080, "127.0.0.1:0".to_owned())],
        admin: Some("none".to_owned()),
        ..Overrides::default()
    };
    let quiet = settings("  records: {to: none}");
    let mut texts = WALKTHROUGH.to_vec();
    texts.push(("settings.yaml", &quiet));
    let gateway = gateway(&texts, overrides);
    let mut client = Client::connect(gateway.addresses[0]);

    let headers = "x-api-key: the-client's-own\r\nanthropic-version: 2023-06-01\r\n";
    let first = client.ask("/anthropic", headers, REQUEST);
    assert_eq!(first.status, 200, "{}", first.text());
    let body = first.json();
    assert_eq!(body["object"], "chat.completion");
    assert_eq!(body["model"], "claude-3-5-haiku-latest", "the Backend's model goes first");
    assert_eq!(body["choices"][0]["finish_reason"], "stop");
    let usage = &body["usage"];
    let tokens = ["prompt_tokens", "completion_tokens", "total_tokens"].map(|name| usage[name].as_u64());
    assert_eq!(tokens, [Some(43), Some(12), Some(55)]);
    assert_eq!(first.header("x-ratelimit-remaining-requests"), Some("0"));

    let second = client.ask("/anthropic", headers, REQUEST);
    assert_eq!(second.status, 429);
    assert_eq!(second.json()["error"]["code"], "rate_limit_exceeded");
    let retry_after: u64 = second.header("retry-after").unwrap().parse().unwrap();
    assert!((99..=100).contains(&retry_after), "{retry_after}");
    let millis: u64 = second.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((95_000..=100_000).contains(&millis), "{millis}");
    assert_eq!(second.header("x-ratelimit-limit-requests"), Some("1"));

    let seen = simulator.requests();
    assert_eq!(seen.len(), 1, "the refused request reached nobody");
    let sent: serde_json::Value = serde_json::from_slice(&seen[0].body).unwrap();
    assert_eq!(seen[0].target, "/v1/messages");
    assert_eq!(seen[0].header("x-api-key"), Some("sk-ant-live-secret"), "the Secret's key, not the client's");
    assert_eq!(seen[0].header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(sent["model"], "claude-3-5-haiku-latest");
    assert_eq!(sent["max_tokens"], 4096);
    assert_eq!(sent["system"], "You are a skilled cloud-native network engineer.");
    assert_eq!(sent["messages"][0]["role"], "user");
    support::assert_clean(&simulator.ledger());
    gateway.stop();
    gateway.stop();
    gateway.join().unwrap();
}

#[test]
fn with_the_unit_tokens_the_same_bucket_is_exhausted_by_any_usage_and_debt_is_carried() {
    let script = Script { input_tokens: Count::Fixed(30), output_tokens: 20, ..Script::default() };
    let rig = Rig::start(script, &bucket("translated", 1, 1, "100s", "tokens"));
    let mut client = rig.client();
    assert_eq!(client.ask("/anthropic", "", &chat("claude-3-5-haiku-latest", false)).status, 200);
    rig.assert_ledgers_agree();
    assert_eq!(rig.balance(0), 1 - 50, "what was spent beyond the bucket is debt");
    let refused = client.ask("/anthropic", "", &chat("claude-3-5-haiku-latest", false));
    assert_eq!(refused.status, 429);
    assert!(
        refused.json()["error"]["message"].as_str().unwrap().contains("1 token at once"),
        "{}",
        refused.text()
    );
    let millis: u64 = refused.header("retry-after-ms").unwrap().parse().unwrap();
    assert!((4_990_000..=5_000_000).contains(&millis), "50 tokens at 100 s each: {millis}");
}

#[test]
fn one_account_serves_all_workers_however_connections_fall() {
    let rig = Rig::start(Script::default(), &bucket("translated", 25, 1, "1h", "requests"));
    let statuses: Vec<u16> = (0..100)
        .map(|_| rig.client().ask("/anthropic", "", &chat("claude-3-5-haiku-latest", false)).status)
        .collect();
    let admitted = statuses.iter().filter(|status| **status == 200).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!((admitted, refused), (25, 75));
    let accepted: Vec<u64> =
        rig.gateway().board.desks.iter().map(|desk| desk.counters.connections_accepted.get()).collect();
    assert!(accepted.iter().all(|n| *n > 10), "both workers took part: {accepted:?}");
    assert_eq!(rig.assert_ledgers_agree().requests, 25);
}

#[test]
fn what_was_reserved_and_not_used_comes_back() {
    let script = Script { input_tokens: Count::Fixed(40), output_tokens: 10, ..Script::default() };
    let rig = Rig::start(script, &bucket("translated", 5_000, 1, "1h", "tokens"));
    let mut client = rig.client();
    for done in 1..=20 {
        assert_eq!(client.ask("/anthropic", "", &chat("claude-3-5-haiku-latest", false)).status, 200);
        rig.settled();
        assert_eq!(rig.balance(0), 5_000 - 50 * done);
    }
    rig.assert_ledgers_agree();
}
