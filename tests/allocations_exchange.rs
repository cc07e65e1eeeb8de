//! What a whole request costs in allocations once a worker is warm, socket to socket: where bytes pass through, none,
//! with limits or without, on the worker and in the journal. Where something is translated, what is told here.

#![allow(unsafe_code)] // a global allocator cannot be written without

mod support;
#[path = "support/tokens.rs"]
mod tokens;

use serde_json::json;
use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use support::{Rig, Wire, apis, limits, settings};
use tokens::{Signer, key_set};
use tollgate::base::base64;
use tollgate_loadtest::Script;

/// The system's allocator, which counts what workers and the journal ask of it while it is told to.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
/// Whether it is looked where what is counted comes from, which takes long: each is a backtrace.
static LOOKS: AtomicBool = AtomicBool::new(false);
static COUNTED: AtomicU64 = AtomicU64::new(0);
/// What is counted is of one test at a time.
static ALONE: Mutex<()> = Mutex::new(());
/// Where they come from: what a failure has to tell.
static PLACES: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

thread_local! {
    /// This thread is noting a place, which allocates too.
    static NOTES: Cell<bool> = const { Cell::new(false) };
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the system's too.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the system's too.
    unsafe fn realloc(&self, old: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note();
        // SAFETY: as above.
        unsafe { System.realloc(old, layout, size) }
    }

    // SAFETY: the caller keeps the contract of `GlobalAlloc`, which is the system's too.
    unsafe fn dealloc(&self, old: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(old, layout) }
    }
}

fn note() {
    if !COUNTS.load(Relaxed) || NOTES.get() || !is_watched() {
        return;
    }
    if !LOOKS.load(Relaxed) {
        COUNTED.fetch_add(1, Relaxed);
        return;
    }
    NOTES.set(true);
    let place = place(&Backtrace::force_capture().to_string());
    // What goes by time and not by request: glommio's own timers, places of the wheel, the housekeeping of each second, of
    // which a build with line tables alone names only what it calls.
    let by_time = ["worker::house::", "Latencies::take", "wheel::"];
    if !place.is_empty() && !by_time.iter().any(|what| place.contains(what)) {
        COUNTED.fetch_add(1, Relaxed);
        if let Ok(mut places) = PLACES.lock() {
            *places.entry(place).or_default() += 1;
        }
    }
    NOTES.set(false);
}

/// Whether this thread serves requests or writes their records, by the name that the kernel knows it by.
fn is_watched() -> bool {
    let mut name = [0_u8; 16];
    // SAFETY: PR_GET_NAME writes at most 16 bytes, the last of them 0.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    name.starts_with(b"worker-") || name.starts_with(b"journal")
}

/// The functions of ours that a backtrace goes through, the innermost four.
fn place(backtrace: &str) -> String {
    let ours = |line: &str| line.split_once(": tollgate::").map(|(_, name)| name.to_owned());
    let names: Vec<String> = backtrace.lines().filter_map(ours).take(5).collect();
    names.join(" < ")
}

/// All four units, on all kinds of keys, with room for everything.
const LIMITS: [&str; 4] = [
    "{name: requests, unit: requests, rate: 1000000000/minute, key: {apiKey: {}}}",
    "{name: tokens, unit: tokens, rate: 1000000000000/minute, key: {apiKey: {}, model: {}}}",
    "{name: month, unit: cost, budget: 10000000 USD, window: month, key: {apiKey: {}}}",
    "{name: at-once, unit: concurrency, max: 100000, key: {route: {}}}",
];

/// Everybody has to show a key, and rules of each kind are asked.
const ACCESS: &str = r#"---
apiVersion: v1
kind: Secret
metadata: {name: callers, namespace: llm}
stringData: {one: '{"key": "sk-caller", "metadata": {"team": "red"}, "allowedModels": ["gpt-*", "claude-*", "model-*"]}'}
---
apiVersion: agentgateway.dev/v1alpha1
kind: AgentgatewayPolicy
metadata: {name: access, namespace: llm}
spec:
  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]
  frontend: {networkAuthorization: {policy: {matchExpressions: ["cidr('127.0.0.0/8').containsIP(source.address)"]}}}
  traffic:
    apiKeyAuthentication: {secretRef: {name: callers}}
    authorization:
      action: Require
      policy:
        matchExpressions:
        - "apiKey.team in ['blue', 'red'] && request.path.matches('^/[a-z]') && 'host' in request.headers"
        - "default(llm.requestModel, 'none') != 'gpt-3'"
"#;

const KEYED: &str = "keys and rules";

const WARM: usize = 200;
const REQUESTS: u64 = 500;

/// What a run may add: paper for more records than ever waited for the journal so far, of which the queue has 16.
const SLACK: u64 = 20;

/// That [`REQUESTS`] requests with this value of `Authorization` on a warm connection cost no more than `most` allocations each;
/// else how many they cost, and where these come from.
fn few(rig: &Rig, path: &str, authorization: &str, body: &str, most: u64) -> Result<(), String> {
    let mut client = rig.client();
    let headers = format!("Authorization: {authorization}\r\n");
    let mut ask = || {
        let answer = client.ask(path, &headers, body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    };
    (0..WARM).for_each(|_| ask());
    let mut count = |looks: bool| {
        COUNTED.store(0, Relaxed);
        PLACES.lock().expect("no panic in it").clear();
        LOOKS.store(looks, Relaxed);
        COUNTS.store(true, Relaxed);
        (0..REQUESTS).for_each(|_| ask());
        COUNTS.store(false, Relaxed);
        COUNTED.load(Relaxed)
    };
    let most = most * REQUESTS + SLACK;
    // What goes by time counts at first. Where that is too much, it is looked which is which.
    if count(false) <= most {
        return Ok(());
    }
    let counted = count(true);
    let places = PLACES.lock().expect("no panic in it");
    let places: String = places.iter().map(|(place, n)| format!("\n  {n:3} {place}")).collect();
    if counted <= most { Ok(()) } else { Err(format!("{counted} in {REQUESTS}:{places}")) }
}

fn chat(prompt: usize, more: &str) -> String {
    let prompt = "lorem ipsum ".repeat(prompt / 12);
    format!(r#"{{"model":"gpt-4o-mini",{more}"messages":[{{"role":"user","content":"{prompt}"}}]}}"#)
}

fn message(more: &str) -> String {
    let prompt = "lorem ipsum ".repeat(80);
    format!(
        r#"{{"model":"claude-haiku-4-5","max_tokens":100,{more}"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    )
}

#[test]
fn a_warm_worker_serves_without_allocating() {
    let _alone = ALONE.lock();
    let spec =
        "  records: {to: /dev/null, queue: 16}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
    // Name, path, body, and how many allocations a request may cost. What is translated is decoded into trees.
    let of = |wire: Wire, streamed| (wire.path(streamed), wire.body(streamed));
    let (responses, streamed_responses) = (of(Wire::Responses, false), of(Wire::Responses, true));
    let (embeddings, gemini, streamed_gemini) =
        (of(Wire::Embeddings, false), of(Wire::Gemini, false), of(Wire::Gemini, true));
    let rows: [(&str, &str, String, u64); 12] = [
        ("plain", "/plain/v1/chat/completions", chat(1 << 10, ""), 0),
        ("chat", "/openai", chat(1 << 10, ""), 0),
        ("chat of 12 KiB", "/openai", chat(12 << 10, ""), 0),
        ("messages", "/messages", message(""), 0),
        ("streamed messages", "/messages", message(r#""stream":true,"#), 0),
        ("streamed chat", "/openai", chat(1 << 10, r#""stream":true,"#), 0),
        ("translated chat", "/anthropic", chat(1 << 10, ""), 28),
        ("responses", &responses.0, responses.1, 0),
        ("streamed responses", &streamed_responses.0, streamed_responses.1, 0),
        ("embeddings", &embeddings.0, embeddings.1, 0),
        ("gemini", &gemini.0, gemini.1, 0),
        ("streamed gemini", &streamed_gemini.0, streamed_gemini.1, 0),
    ];
    let mut faults = Vec::new();
    for (which, policies) in [
        ("no policies", String::new()),
        ("limits on openai", limits("openai", &LIMITS)),
        ("limits on messages", limits("messages", &LIMITS)),
        (KEYED, ACCESS.to_owned() + &limits("openai", &LIMITS)),
    ] {
        let rig = Rig::start_with(Script::default(), &apis(&policies), &settings(spec));
        for (name, path, body, most) in &rows {
            // Whoever is behind the plain route would want the key that goes no further.
            let path = if (*name, which) == ("plain", KEYED) { "/plain/echo" } else { path };
            if let Err(fault) = few(&rig, path, "Bearer sk-caller", body, *most) {
                faults.push(format!("{name}, {which}: {fault}"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A token that was verified before is looked up, with a limit by what it says.
#[test]
fn a_caller_whose_token_is_known_costs_no_allocation() {
    let _alone = ALONE.lock();
    let signer = Signer::new("RS256", Some("k1"));
    let claims = json!({"iss": "a", "sub": "ann", "exp": u32::MAX});
    let policy = format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: callers, namespace: llm}}\nspec:\n  \
         targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: edge}}]\n  traffic: {{jwtAuthentication: {{providers: \
         [{{issuer: a, jwks: {}}}]}}}}\n",
        json!({"inline": key_set([&signer])})
    );
    let limit = "{name: each, unit: tokens, rate: 1000000000000/minute, key: {claim: sub}}";
    let spec =
        "  records: {to: /dev/null, queue: 16}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
    let rig =
        Rig::start_with(Script::default(), &apis(&(policy + &limits("openai", &[limit]))), &settings(spec));
    for path in ["/openai", "/plain/plain"] {
        let bearer = format!("Bearer {}", signer.token(&claims));
        few(&rig, path, &bearer, &chat(1 << 10, ""), 0).unwrap_or_else(|fault| panic!("{path}: {fault}"));
    }
}

/// So is a password that was judged before, with limits by whose it is.
#[test]
fn a_caller_whose_password_is_known_costs_no_allocation() {
    let _alone = ALONE.lock();
    let policy = "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {name: callers, namespace: llm}\n\
                  spec:\n  targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]\n  traffic: {basicAuthentication: \
                  {users: ['ann:$2b$04$abcdefghijklmnopqrstuuFuhxWRTXIsURoluSTZ1N4tYaWGn9oOi']}}\n";
    let by_user = "{name: each, unit: tokens, rate: 1000000000000/minute, key: {user: {}}}";
    let by_key = "{name: key, unit: requests, rate: 1000000000000/minute, key: {apiKey: {}, model: {}}}";
    let spec =
        "  records: {to: /dev/null, queue: 16}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
    let manifests = apis(&(policy.to_owned() + &limits("openai", &[by_user, by_key])));
    let rig = Rig::start_with(Script::default(), &manifests, &settings(spec));
    let mut basic = b"Basic ".to_vec();
    base64::push(&mut basic, b"ann:opensesame");
    let basic = String::from_utf8(basic).expect("it is ASCII");
    for path in ["/openai", "/plain/plain"] {
        few(&rig, path, &basic, &chat(1 << 10, ""), 0).unwrap_or_else(|fault| panic!("{path}: {fault}"));
    }
}
