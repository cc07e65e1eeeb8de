//! What limits compile to.

use super::*;
use crate::limit::{
    self, Every, KeyPart, KeyText, MissingKey, Mode, OnExhausted, Override, Unit, Weights, Zone,
};

/// The walkthrough and a LimitPolicy with one limit on its route; what that compiles to.
fn compiled(limit: &str) -> limit::Rule {
    let text = format!(
        "apiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {{name: p, namespace: kgateway-system}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: claude}}]\n  \
         limits:\n  - {{name: l, {limit}}}\n"
    );
    let mut snapshot = walkthrough_and(&text);
    assert_eq!(snapshot.rules[0].limits, [0, 1]);
    snapshot.limits.remove(1)
}

fn bucket(capacity: u64, per_fill: u64, seconds: u64) -> Measure {
    Measure::Bucket { capacity, rate: Rate { per_fill, fill: Duration::from_secs(seconds) } }
}

fn header(name: &str) -> KeyPart {
    KeyPart::Header(name.into())
}

#[test]
fn amounts_are_what_is_written() {
    let calendar = |budget, every, zone| {
        let zone = Zone::named(zone).expect("a zone");
        Measure::Calendar { budget, every, zone }
    };
    let sliding = |budget, seconds| Measure::Sliding { budget, length: Duration::from_secs(seconds) };
    let usd = 1_000_000_000;
    for (written, unit, measure) in [
        ("unit: requests, rate: 60/minute", Unit::Requests, bucket(60, 60, 60)),
        ("unit: requests, rate: 60 / minute, burst: 20", Unit::Requests, bucket(20, 60, 60)),
        ("unit: tokens, rate: 5/second, burst: 100000", Unit::Tokens, bucket(100_000, 5, 1)),
        ("unit: tokens, rate: 5/hour", Unit::Tokens, bucket(5, 5, 3600)),
        ("unit: tokens, rate: 5/day", Unit::Tokens, bucket(5, 5, 86400)),
        ("unit: cost, rate: 5 USD/hour", Unit::Cost, bucket(5 * usd, 5 * usd, 3600)),
        ("unit: cost, rate: 5USD/hour, burst: 0.25 USD", Unit::Cost, bucket(usd / 4, 5 * usd, 3600)),
        ("unit: cost, rate: 0.000000001 USD/day", Unit::Cost, bucket(1, 1, 86400)),
        ("unit: requests, budget: 9, window: minute", Unit::Requests, calendar(9, Every::Minute, "UTC")),
        ("unit: tokens, budget: 9, window: hour", Unit::Tokens, calendar(9, Every::Hour, "UTC")),
        ("unit: tokens, budget: 9, window: day", Unit::Tokens, calendar(9, Every::Day, "UTC")),
        ("unit: tokens, budget: 9, window: week", Unit::Tokens, calendar(9, Every::Week, "UTC")),
        (
            "unit: cost, budget: 500 USD, window: month, timeZone: Europe/Berlin",
            Unit::Cost,
            calendar(500 * usd, Every::Month, "Europe/Berlin"),
        ),
        ("unit: tokens, budget: 9, window: {sliding: 1h30m}", Unit::Tokens, sliding(9, 5400)),
        ("unit: cost, budget: 1.5 USD, window: {sliding: 1s}", Unit::Cost, sliding(usd * 3 / 2, 1)),
        ("unit: concurrency, max: 32", Unit::Concurrency, Measure::Concurrent { max: 32 }),
    ] {
        assert_eq!(compiled(written), limit::Rule::new("kgateway-system/p/l", unit, measure), "{written}");
    }
}

#[test]
fn the_rest_of_a_limit_is_what_is_written() {
    let rule = compiled(
        "unit: tokens, rate: 1/second, key: {claim: [sub, org], route: {}, header: [X-User, x-team], model: {}, \
         source: {}, apiKey: {}}, onMissingKey: skip, mode: shadow, onExhausted: cut, \
         weights: {cachedInput: 0.1, cacheWrite: 1.25, output: 4, reasoning: 0.000001}",
    );
    let claim = |name: &str| KeyPart::Claim(name.into());
    let (x_team, x_user) = (header("x-team"), header("x-user"));
    let key = [KeyPart::ApiKey, x_team, x_user, KeyPart::Source, KeyPart::Model, KeyPart::Route];
    assert_eq!(rule.key, [&key[..], &[claim("org"), claim("sub")]].concat(), "in canonical order");
    assert_eq!(
        (rule.on_missing, rule.mode, rule.on_exhausted),
        (MissingKey::Skip, Mode::Shadow, OnExhausted::Cut)
    );
    let weights = Weights {
        input: 1_000_000,
        cached_input: 100_000,
        cache_write: 1_250_000,
        output: 4_000_000,
        reasoning: 1,
    };
    assert_eq!(rule.weights, weights);
    assert_eq!(
        compiled("unit: tokens, rate: 1/second, key: {source: {}}, onMissingKey: deny").on_missing,
        MissingKey::Deny
    );
}

#[test]
fn overrides_name_the_accounts_of_their_keys() {
    let digest = |parts: &[(KeyPart, &str)]| {
        KeyText::digest(parts.iter().map(|(part, value)| (part, value.as_bytes())))
    };
    let (team, user) = (header("x-team"), header("x-user"));
    let of_abc = digest(&[(KeyPart::ApiKey, "abc")]);
    let both = digest(&[(team.clone(), "red"), (user.clone(), "ann")]);
    let with_model = digest(&[(KeyPart::ApiKey, "abc"), (KeyPart::Model, "m")]);
    let address = digest(&[(KeyPart::Source, "192.0.2.1")]);
    for (key, value, expected, label) in [
        ("{apiKey: {}}", "abc", of_abc, "ba7816bf"),
        ("{apiKey: {}}", "Bearer abc", of_abc, "ba7816bf"),
        (
            "{apiKey: {}}",
            "{apiKeySha256: BA7816BF8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad}",
            of_abc,
            "ba7816bf",
        ),
        ("{apiKey: {}}", "{apiKey: abc}", of_abc, "ba7816bf"),
        // The environment of these tests has this one variable.
        ("{apiKey: {}}", "$ANTHROPIC_API_KEY", digest(&[(KeyPart::ApiKey, "sk-ant-api03-x")]), "02405cf3"),
        ("{header: x-team}", "red", digest(&[(team.clone(), "red")]), "red"),
        ("{header: x-team}", "$red", digest(&[(team.clone(), "$red")]), "$red"),
        ("{header: X-Team}", "{header: red}", digest(&[(team.clone(), "red")]), "red"),
        ("{header: x-team}", "{header: {X-Team: red}}", digest(&[(team.clone(), "red")]), "red"),
        // A list is in the order in which the key is written, accounts are not.
        ("{header: [x-user, x-team]}", "[ann, red]", both, "red,ann"),
        ("{header: [x-team, x-user]}", "[red, ann]", both, "red,ann"),
        ("{header: [x-user, x-team]}", "{header: {X-Team: red, x-user: ann}}", both, "red,ann"),
        ("{model: {}, apiKey: {}}", "[m, abc]", with_model, "ba7816bf,m"),
        ("{apiKey: {}, model: {}}", "{model: m, apiKey: abc}", with_model, "ba7816bf,m"),
        ("{source: {}}", "'::ffff:192.0.2.1'", address, "192.0.2.1"),
        ("{source: {}}", "192.0.2.1", address, "192.0.2.1"),
        (
            "{route: {}}",
            "kgateway-system/claude",
            digest(&[(KeyPart::Route, "kgateway-system/claude")]),
            "kgateway-system/claude",
        ),
        ("{claim: sub}", "ann", digest(&[(KeyPart::Claim("sub".into()), "ann")]), "ann"),
    ] {
        let written =
            format!("unit: requests, rate: 1/second, key: {key}, overrides: [{{key: {value}, burst: 7}}]");
        let expected = Override { key: expected, label: label.into(), measure: bucket(7, 1, 1) };
        assert_eq!(compiled(&written).overrides, [expected], "{written}");
        let tier = written
            .replace("overrides: [{key: ", "tiers: [{name: gold, keys: [")
            .replace(", burst", "], burst");
        assert_eq!(&*compiled(&tier).overrides[0].label, "gold", "{tier}");
    }
}

#[test]
fn overrides_change_what_the_limit_has() {
    let day = |budget| Measure::Calendar { budget, every: Every::Day, zone: Zone::utc() };
    for (limit, other, measure) in [
        ("unit: requests, rate: 1/second, burst: 5", "rate: 9/minute", bucket(9, 9, 60)),
        ("unit: requests, rate: 1/second, burst: 5", "burst: 9", bucket(9, 1, 1)),
        ("unit: requests, rate: 1/second, burst: 5", "rate: 9/hour, burst: 3", bucket(3, 9, 3600)),
        ("unit: cost, budget: 1 USD, window: day", "budget: 2 USD", day(2_000_000_000)),
        (
            "unit: tokens, budget: 1, window: {sliding: 60s}",
            "budget: 2",
            Measure::Sliding { budget: 2, length: Duration::from_secs(60) },
        ),
        ("unit: concurrency, max: 1", "max: 2", Measure::Concurrent { max: 2 }),
    ] {
        let written = format!("{limit}, key: {{header: a}}, overrides: [{{key: x, {other}}}]");
        assert_eq!(compiled(&written).overrides[0].measure, measure, "{written}");
    }
}

#[test]
fn limits_of_backends_stand_on_the_backend() {
    let text = "
apiVersion: tollgate.dev/v1alpha1
kind: LimitPolicy
metadata: {name: p, namespace: kgateway-system}
spec:
  targetRefs:
  - {group: gateway.kgateway.dev, kind: Backend, name: anthropic}
  limits:
  - {name: a, unit: concurrency, max: 4}
  - {name: b, unit: requests, rate: 1/second}
---
apiVersion: agentgateway.dev/v1alpha1
kind: AgentgatewayPolicy
metadata: {name: p, namespace: kgateway-system}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: claude}]
  traffic: {rateLimit: {local: [{tokens: 100, unit: Minutes, burst: 50, key: {model: {}, apiKey: {}}}]}}
";
    let snapshot = walkthrough_and(text);
    let names: Vec<&str> = snapshot.limits.iter().map(|limit| &*limit.name).collect();
    let of = |name: &str| format!("kgateway-system/{name}");
    assert_eq!(names, [of("anthropic-ratelimit"), of("p"), of("p/a"), of("p/b")]);
    assert_eq!(snapshot.rules[0].limits, [0, 1]);
    assert_eq!(snapshot.backends[0].limits, [2, 3]);
    let theirs = &snapshot.limits[1];
    assert_eq!((theirs.unit, &theirs.measure), (Unit::Tokens, &bucket(150, 100, 60)));
    assert_eq!(theirs.key, [KeyPart::ApiKey, KeyPart::Model]);
}

#[test]
fn settings_of_limits_are_what_is_written() {
    let text = "
apiVersion: tollgate.dev/v1alpha1
kind: Settings
metadata: {name: s}
spec:
  admin: {token: $ANTHROPIC_API_KEY-$ANTHROPIC_API_KEY}
  limits:
    accounts: 16
    inFlightPerWorker: 17
    lease: {share: 50, quantum: 100ms}
    reserve: {output: 18, streamChunk: 19}
    hold: 20s
    store: state
    checkpoint: 500ms
";
    let settings = walkthrough_and(text).settings;
    let expected = Limits {
        accounts: 16,
        in_flight_per_worker: 17,
        lease_share: 50,
        lease_quantum: Duration::from_millis(100),
        output_reserve: 18,
        stream_chunk: 19,
        hold: Duration::from_secs(20),
        store: Some("state".into()),
        checkpoint: Duration::from_millis(500),
    };
    assert_eq!(settings.limits, expected);
    let token = settings.admin.token.as_ref().expect("a token");
    assert!(token.is(b"sk-ant-api03-x-sk-ant-api03-x"));
    assert!(!format!("{settings:?}").contains("sk-ant"));
}

#[test]
fn api_keys_are_in_no_fault_and_no_snapshot() {
    let faulty = |text: String| {
        let sources = [&WALKTHROUGH[..], &[Source { name: "x", text: &text }]].concat();
        load(&sources, &|_| Some("very-secret".into()), &Overrides::default()).err().expect("a fault")
    };
    let limit = |rest: &str| {
        format!(
            "apiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {{name: p, namespace: kgateway-system}}\n\
             spec: {{targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: claude}}], \
             limits: [{{name: l, unit: requests, rate: 1/second, key: {{apiKey: {{}}, model: {{}}}}, {rest}}}]}}\n"
        )
    };
    for key in
        ["[very-secret$, m]", "['very-secret x', m]", "very-secret", "[very-secret]", "[very-secret, '']"]
    {
        let faults = faulty(limit(&format!("overrides: [{{key: {key}, burst: 2}}]"))).to_string();
        assert!(!faults.contains("very-secret"), "{faults}");
    }
    let token = "apiVersion: tollgate.dev/v1alpha1\nkind: Settings\nmetadata: {name: s}\n\
                 spec: {admin: {token: $SHORT}}\n";
    assert!(!faulty(token.into()).to_string().contains("very-secret"));
    let sound = walkthrough_and(&limit("overrides: [{key: [very-secret, m], burst: 2}]"));
    let shown = format!("{:?} {}", sound.limits, sound.report);
    assert!(!shown.contains("very-secret") && shown.contains("1 override"), "{shown}");
}
