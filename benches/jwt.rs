//! What a caller's token costs: verified for the first time, by algorithm; looked up after that, with and without its digest.

#[path = "../tests/support/tokens.rs"]
mod tokens;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use serde_json::json;
use std::hint::black_box;
use std::sync::Arc;
use tokens::{Signer, key_set};
use tollgate::access::digest;
use tollgate::access::jwt::{Issuer, KeyRing, Keys, Verifier, Wishes};
use tollgate::base::base64;

criterion_group!(benches, cold, remembered);
criterion_main!(benches);

const NOW: i64 = 1_800_000_000;

/// A verifier, its key, and a token of some 700 bytes, as identity providers give out.
struct Case {
    verifier: Verifier,
    keys: Vec<Option<Arc<Keys>>>,
    token: String,
}

impl Case {
    fn of(algorithm: &'static str) -> Case {
        let signer = Signer::new(algorithm, Some("key-1"));
        let keys = Keys::read(key_set([&signer]).as_bytes()).expect("a key set");
        let issuer = "https://issuer.example/realms/house".to_owned();
        let claims = json!({
            "iss": issuer, "aud": ["tollgate", "account"], "sub": "0b6f1f0e-6c0f-4c4f-9a53-0c64a4f3f0b7", "exp": NOW + 300,
            "iat": NOW, "jti": "4b1f3d0e-2f77-43a4-8f34-0f5f0bb5f0aa", "azp": "agents", "scope": "openid profile email",
            "realm_access": {"roles": ["default-roles-house", "engineers"]}, "email": "ann@house.example", "team": "red",
        });
        let issuer = Issuer { name: issuer, audiences: vec!["tollgate".to_owned()], source: 0 };
        let verifier = Verifier { issuers: vec![issuer] };
        Case { verifier, keys: vec![Some(Arc::new(keys))], token: signer.token(&claims) }
    }
}

fn cold(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jwt/verify");
    for algorithm in ["RS256", "PS256", "ES256", "ES384", "EdDSA"] {
        let Case { verifier, keys, token } = Case::of(algorithm);
        let token = token.as_bytes();
        group.bench_function(BenchmarkId::from_parameter(algorithm), |bencher| {
            bencher
                .iter(|| verifier.verify(black_box(token), digest(token), &keys, NOW).expect("it is good"));
        });
    }
}

fn remembered(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("jwt/remembered");
    let Case { verifier, keys, token } = Case::of("RS256");
    let (token, ring) = (token.as_bytes(), KeyRing::new(keys, Wishes::new(1)));
    let known = digest(token);
    ring.claims((0, &verifier), token, known, NOW).expect("it is good");
    group.bench_function("look-up", |bencher| {
        bencher.iter(|| ring.claims((0, &verifier), token, black_box(known), NOW).expect("it is known"));
    });
    group.bench_function("digest and look-up", |bencher| {
        bencher.iter(|| {
            let digest = digest(black_box(token));
            ring.claims((0, &verifier), token, digest, NOW).expect("it is known")
        });
    });
}
