//! What it costs to know a caller: a key among few and many, one that nobody knows, and a rule.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use tollgate::access::cel::Expression;
use tollgate::access::jwt::KeyRing;
use tollgate::access::{Action, Asked, Key, Keys, Location, Mode, Models, Policy, digest};
use tollgate::wire::http1::{HeadLimits, HeadScan, RequestHead};

criterion_group!(benches, keys, rules);
criterion_main!(benches);

const HEAD: &[u8] =
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: gateway.test\r\nAuthorization: Bearer key-7\r\n\
                      X-Team: red\r\nContent-Length: 2\r\n\r\n";

fn head() -> RequestHead {
    HeadScan::default().request(HEAD, &HeadLimits::default()).expect("a head").expect("all of it")
}

fn asked<'a>(head: &'a RequestHead, key: &str) -> Asked<'a> {
    let peer = ([10, 1, 2, 3], 4000).into();
    Asked { head, bytes: HEAD, peer, unix_ms: 0, digest: Some(digest(key.as_bytes())) }
}

/// A policy with so many keys, of which one is `key-7`.
fn policy(count: usize) -> Policy {
    let key = |number: usize| {
        let metadata = json!({"team": "red"}).as_object().cloned().unwrap_or_default();
        Key::new(digest(format!("key-{number}").as_bytes()), "one").with_metadata(metadata)
    };
    let keys =
        Keys::new(Mode::Strict, Location::Usual, (7..7 + count).map(key).collect()).expect("no key twice");
    Policy { keys: Some(Arc::new(keys)), ..Policy::default() }
}

fn keys(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access/key among");
    let (head, ring) = (head(), KeyRing::default());
    for count in [1, 10_000, 100_000] {
        let policy = policy(count);
        let (known, unknown) = (asked(&head, "key-7"), asked(&head, "nobody's"));
        assert!(policy.admit(&known, &ring).is_ok() && policy.admit(&unknown, &ring).is_err());
        group.bench_function(BenchmarkId::new("known", count), |bencher| {
            bencher.iter(|| policy.admit(black_box(&known), &ring).is_ok());
        });
        group.bench_function(BenchmarkId::new("unknown", count), |bencher| {
            bencher.iter(|| policy.admit(black_box(&unknown), &ring).is_ok());
        });
    }
}

fn rules(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access/a key and a rule");
    let (head, ring) = (head(), KeyRing::default());
    for (name, text) in [
        ("metadata", "apiKey.team == 'red'"),
        ("header", "request.headers['x-team'] in ['blue', 'red']"),
        ("path and model", "request.path.matches('^/v1/') && llm.requestModel.startsWith('gpt-')"),
        ("network", "cidr('10.0.0.0/8').containsIP(source.address)"),
    ] {
        let mut policy = policy(1);
        policy.rules.push(Action::Require, Arc::new(Expression::compile(text).expect("an expression")));
        let asked = asked(&head, "key-7");
        let judge = || {
            let identity = policy.admit(black_box(&asked), &ring)?;
            policy.admit_model(&identity, &asked, Models { named: Some("gpt-5"), wanted: Some("gpt-5") })
        };
        assert_eq!(judge(), Ok(()));
        group.bench_function(name, |bencher| bencher.iter(|| judge().is_ok()));
    }
}
