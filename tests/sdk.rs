//! The official SDKs of OpenAI, Anthropic and Google for Python, and of the first two for JavaScript, against a whole
//! gateway: they read its answers and its refusals, find the limits' headers, come back when they are told to, and read a
//! cut stream to its end.
//!
//! `TOLLGATE_SDK_PYTHON` names an interpreter that has what tests/sdk/requirements.txt lists, `TOLLGATE_SDK_NODE` a
//! folder in which what tests/sdk/node/package.json lists is installed; `loadtest/sdk/install` makes both. Of a
//! language that is not there these tests say so and check nothing.

#[path = "sdk/embeddings.rs"]
mod embeddings;
mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;
use support::{
    CLOUD_MODELS, Client, ROUTES, Rig, Route, USER_TEXT, apis, clouds, limits, read_to, settings, until,
};
use tollgate::runtime::clock::unix_ms;
use tollgate::telemetry::Outcome;
use tollgate_loadtest::{Count, Script, reply_text};

/// What the programs ask for.
const MODEL: &str = "claude-3-5-haiku-latest";
/// The ways in which each SDK asks: for a whole answer, for a stream event by event, by its helper for streams.
const WAYS: [&str; 3] = ["whole", "stream", "helper"];
const HOUR_MS: u64 = 3_600_000;

// === the programs ===

/// A running program of tests/sdk, which takes an order a line. It ends when this process does.
struct Program {
    _child: Child,
    orders: ChildStdin,
    reports: BufReader<ChildStdout>,
}

/// A language that SDKs are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Language {
    Python,
    JavaScript,
}

/// Programs of one language by [`Sdk`]: to start one takes seconds, so all tests share them.
type Programs = LazyLock<Option<Vec<Mutex<Program>>>>;

static PYTHON: Programs = LazyLock::new(|| {
    let python = named("TOLLGATE_SDK_PYTHON")?;
    let files = ["openai_program.py", "anthropic_program.py", "gemini_program.py"];
    // -B: no compiled files beside the sources.
    Some(files.map(|file| start(&python, &["-B", &program(file)])).into())
});

static JAVASCRIPT: Programs = LazyLock::new(|| {
    let modules = named("TOLLGATE_SDK_NODE")?;
    let files = ["node/openai_program.mjs", "node/anthropic_program.mjs"];
    Some(files.map(|file| start("node", &[&program(file), &modules])).into())
});

/// What a variable of the environment names.
fn named(variable: &str) -> Option<String> {
    let value = std::env::var(variable).ok().filter(|value| !value.is_empty());
    if value.is_none() {
        eprintln!("no SDKs: {variable} is not set; loadtest/sdk/install says what to set it to");
    }
    value
}

/// The languages whose SDKs are there to test with.
fn languages() -> impl Iterator<Item = Language> {
    [Language::Python, Language::JavaScript].into_iter().filter(|language| programs(*language).is_some())
}

/// Every route with every language whose SDKs are there.
fn rounds() -> impl Iterator<Item = (Route, Order)> {
    languages().flat_map(|language| ROUTES.map(|route| (route, Order { language, ..ORDER })))
}

fn programs(language: Language) -> Option<&'static [Mutex<Program>]> {
    match language {
        Language::Python => PYTHON.as_deref(),
        Language::JavaScript => JAVASCRIPT.as_deref(),
    }
}

fn program(file: &str) -> String {
    format!("{}/tests/sdk/{file}", env!("CARGO_MANIFEST_DIR"))
}

fn start(interpreter: &str, arguments: &[&str]) -> Mutex<Program> {
    // The environment could name keys, addresses, proxies.
    let command = Command::new(interpreter)
        .args(arguments)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = command.unwrap_or_else(|error| panic!("{interpreter}: {error}"));
    let orders = child.stdin.take().expect("it is piped");
    let reports = BufReader::new(child.stdout.take().expect("it is piped"));
    Mutex::new(Program { _child: child, orders, reports })
}

/// What an SDK is to do.
#[derive(Clone, Copy)]
struct Order {
    language: Language,
    way: &'static str,
    /// How often it asks, on one client.
    times: u32,
    /// How often the SDK may try again by itself.
    retries: u32,
    max_tokens: u64,
    keyless: bool,
    header: Option<(&'static str, &'static str)>,
}

const ORDER: Order = Order {
    language: Language::Python,
    way: "whole",
    times: 1,
    retries: 0,
    max_tokens: 4_000,
    keyless: false,
    header: None,
};

/// What came of it: a report for each time asked.
fn told(rig: &Rig, route: Route, order: Order) -> Vec<Value> {
    told_while(rig, route, order, || {})
}

/// The same; `meanwhile` runs while the SDK is busy.
fn told_while(rig: &Rig, route: Route, order: Order, meanwhile: impl FnOnce()) -> Vec<Value> {
    let sdk = if route.openai_client { Sdk::OpenAi } else { Sdk::Anthropic };
    told_by(sdk, rig, route.path, order, meanwhile)
}

/// Whose SDK; its place among [`Programs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sdk {
    OpenAi,
    Anthropic,
    Google,
}

/// What came of an order to the SDK `sdk`, for which the gateway's paths begin with `base`.
fn told_by(sdk: Sdk, rig: &Rig, base: &str, order: Order, meanwhile: impl FnOnce()) -> Vec<Value> {
    let programs = programs(order.language).expect("tests ask whether there are any");
    let program = &programs[sdk as usize];
    let mut program = program.lock().unwrap_or_else(PoisonError::into_inner);
    let Order { way, times, retries, max_tokens, keyless, header, .. } = order;
    let headers: serde_json::Map<_, _> =
        header.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let line = json!({
        "base": format!("http://{}{base}", rig.address), "way": way, "times": times, "retries": retries,
        "max_tokens": max_tokens, "keyless": keyless, "headers": headers,
    });
    writeln!(program.orders, "{line}").expect("the program reads");
    meanwhile();
    let mut reports = String::new();
    program.reports.read_line(&mut reports).expect("the program reports");
    serde_json::from_str(&reports).unwrap_or_else(|error| panic!("{error}: {reports:?}"))
}

fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() }
}

/// How long it slept between its attempts, in seconds.
fn slept(report: &Value) -> Vec<f64> {
    let pauses = report["slept"].as_array().unwrap_or_else(|| panic!("no list: {report}"));
    pauses.iter().map(|pause| pause.as_f64().expect("a number")).collect()
}

/// The number that a header holds.
fn number(report: &Value, header: &str) -> u64 {
    let value = report["headers"][header].as_str().unwrap_or_else(|| panic!("no {header}: {report}"));
    value.parse().unwrap_or_else(|error| panic!("{header}: {value:?}: {error}"))
}

/// The name of a limit's header in the client's format; `what` is `limit` or `remaining`.
fn header(route: Route, unit: &str, what: &str) -> String {
    match route.openai_client {
        true => format!("x-ratelimit-{what}-{unit}"),
        false => format!("anthropic-ratelimit-{unit}-{what}"),
    }
}

/// How far ahead, in milliseconds, the instant lies at which all of an Anthropic limit is back.
fn reset_ms(report: &Value, unit: &str) -> u64 {
    let reset = report["resets"][format!("anthropic-ratelimit-{unit}-reset")].as_u64().expect("RFC 3339");
    reset.checked_sub(unix_ms()).expect("it is in the future")
}

fn refused(rig: &Rig) -> u64 {
    rig.gateway().board.in_force().limit_counters.iter().map(|worker| worker[0].refused.get()).sum()
}

// === answers ===

#[test]
fn answers_are_read_on_every_route_whole_and_streamed() {
    for (route, order) in rounds() {
        let rig = Rig::start(script(), &limits(route.name, &["{name: r, unit: requests, rate: 9/hour}"]));
        for (number, way) in (1..).zip(WAYS) {
            let report = &told(&rig, route, Order { way, ..order })[0];
            let at = format!("{} {way}: {report}", route.path);
            assert_eq!(report["text"], reply_text(MODEL, USER_TEXT, number, &script()), "{at}");
            assert_eq!(report["usage"], json!([1_000, 100]), "{at}");
            assert_eq!(report["finish"], if route.openai_client { "stop" } else { "end_turn" }, "{at}");
        }
        let ledger = rig.assert_ledgers_agree();
        assert_eq!((ledger.completed, rig.balance(0)), (3, 6));
    }
}

#[test]
fn the_headers_of_an_admitted_answer_tell_how_its_limits_stand() {
    let list = ["{name: r, unit: requests, rate: 9/hour}", "{name: t, unit: tokens, rate: 100000/hour}"];
    for (route, order) in rounds() {
        let rig = Rig::start(script(), &limits(route.name, &list));
        for (asked, way) in (1..).zip(["whole", "stream"]) {
            let report = &told(&rig, route, Order { way, ..order })[0];
            let told = |unit, what| number(report, &header(route, unit, what));
            assert_eq!(
                (told("requests", "limit"), told("requests", "remaining")),
                (9, 9 - asked),
                "{report}"
            );
            // Some are reserved for an answer that has only begun, and some were spent before.
            let remaining = told("tokens", "remaining");
            assert_eq!(told("tokens", "limit"), 100_000);
            assert!((95_000..100_000).contains(&remaining), "{report}");
            if !route.openai_client {
                // A ninth of an hour for each request.
                assert!(reset_ms(report, "requests").abs_diff(asked * 400_000) < 10_000, "{report}");
            }
            rig.settled();
        }
    }
}

// === refusals ===

#[test]
fn a_refusal_is_the_sdks_own_error_and_names_the_limit() {
    let rows = [
        ("requests", "{name: calls, unit: requests, rate: 1/hour}"),
        ("tokens", "{name: calls, unit: tokens, rate: 1000/hour, burst: 1100}"),
    ];
    for ((route, order), (unit, limit)) in rounds().flat_map(|round| rows.map(|row| (round, row))) {
        let rig = Rig::start(script(), &limits(route.name, &[limit]));
        assert_eq!(told(&rig, route, order)[0]["usage"], json!([1_000, 100]));
        rig.settled();
        for way in WAYS {
            let report = &told(&rig, route, Order { way, ..order })[0];
            let at = format!("{} {unit} {way}: {report}", route.path);
            assert_eq!(
                (&report["raised"], &report["status"]),
                (&json!("RateLimitError"), &json!(429)),
                "{at}"
            );
            // OpenAI's SDK hands out what is within "error", and its type is what the limit counts.
            let (kind, error) = match route.openai_client {
                true => (unit, &report["body"]),
                false => ("rate_limit_error", &report["body"]["error"]),
            };
            assert_eq!((&report["type"], &error["type"]), (&json!(kind), &json!(kind)), "{at}");
            let message = error["message"].as_str().expect("text");
            assert!(message.contains("limit llm/test/calls allows"), "{at}");
            let (ms, seconds) = (number(report, "retry-after-ms"), number(report, "retry-after"));
            assert!((10_000..=HOUR_MS * 11 / 10).contains(&ms) && seconds == ms.div_ceil(1000), "{at}");
            assert_eq!(number(report, &header(route, unit, "remaining")), 0, "{at}");
            if !route.openai_client {
                // All is back when one request is.
                let ahead = reset_ms(report, unit);
                assert!(unit == "tokens" || ahead.abs_diff(ms) < 10_000, "{ahead} {at}");
            }
        }
        assert_eq!((refused(&rig), rig.simulator.ledger().requests), (3, 1));
    }
}

#[test]
fn a_key_that_is_wanted_and_missing_is_the_error_of_its_status() {
    let rows = [
        ("{header: x-team}", "BadRequestError", 400, ("x-team", "red")),
        ("{apiKey: {}}", "AuthenticationError", 401, ("x-api-key", "sk-other")),
        // {"sub":"ann"}
        ("{claim: sub}", "AuthenticationError", 401, ("authorization", "Bearer a.eyJzdWIiOiJhbm4ifQ.x")),
    ];
    for ((route, order), (key, raised, status, header)) in
        rounds().flat_map(|round| rows.map(|row| (round, row)))
    {
        let limit = format!("{{name: keys, unit: requests, rate: 9/hour, key: {key}, onMissingKey: deny}}");
        let rig = Rig::start(script(), &limits(route.name, &[&limit]));
        let report = &told(&rig, route, Order { keyless: true, retries: 2, ..order })[0];
        assert_eq!(
            (&report["raised"], &report["status"]),
            (&json!(raised), &json!(status)),
            "{key}: {report}"
        );
        assert_eq!(report["attempts"], json!([[status, null]]), "it is not tried again");
        assert!(report["body"].to_string().contains("llm/test/keys"), "{report}");
        let report = &told(&rig, route, Order { header: Some(header), ..order })[0];
        assert_eq!(report["usage"], json!([1_000, 100]), "{key}: {report}");
    }
}

// === coming back ===

#[test]
fn an_sdk_comes_back_once_exactly_when_it_is_told_to() {
    // Shorter than a second, which is what `retry-after` says, and longer than the half that SDKs wait by themselves.
    let limit = "{name: r, unit: requests, rate: 100/minute, burst: 1}";
    for ((route, order), way) in rounds().flat_map(|round| WAYS.map(|way| (round, way))) {
        let rig = Rig::start(script(), &limits(route.name, &[limit]));
        // On a busy machine an SDK may be too slow to be refused; of twenty requests one is not.
        let mut asked = 0;
        let report = loop {
            let reports = told(&rig, route, Order { way, times: 2, retries: 2, ..order });
            asked += 2;
            let last = reports.into_iter().find(|report| !slept(report).is_empty());
            if let Some(report) = last {
                break report;
            }
            assert!(asked < 20, "{} {way}: never refused", route.path);
        };
        let at = format!("{} {way}: {report}", route.path);
        let ms = report["attempts"][0][1].as_u64().expect("it was told");
        assert!((1..=600).contains(&ms), "{at}");
        assert_eq!(report["attempts"], json!([[429, ms], [200, null]]), "{at}");
        assert_eq!(slept(&report), [ms as f64 / 1000.0], "{at}");
        assert_eq!(report["usage"], json!([1_000, 100]), "{at}");
        if way != "helper" {
            assert_eq!(report["retries"], 1, "{at}");
        }
    }
}

#[test]
fn an_sdk_comes_back_until_another_has_ended() {
    for (route, order) in rounds() {
        let rig = Rig::start(script(), &limits(route.name, &["{name: c, unit: concurrency, max: 1}"]));
        let mut other = rig.client();
        hold(&mut other, route);
        let reports = told_while(&rig, route, Order { retries: 5, ..order }, || {
            until("it was refused", || refused(&rig) > 0);
            drop(other);
        });
        let report = &reports[0];
        let again = refused(&rig);
        let mut attempts = vec![json!([429, 1_000]); again as usize];
        attempts.push(json!([200, null]));
        assert_eq!(report["attempts"], json!(attempts), "{report}");
        assert_eq!(slept(report), vec![1.0; again as usize], "nobody knows when: a second each time");
        assert_eq!((&report["usage"], &report["retries"]), (&json!([1_000, 100]), &json!(again)));
        rig.settled();
        assert_eq!(rig.balance(0), 1);
    }
}

#[test]
fn an_sdk_does_not_wait_for_an_hour() {
    for (route, order) in rounds() {
        let rig = Rig::start(script(), &limits(route.name, &["{name: r, unit: requests, rate: 1/hour}"]));
        let report = &told(&rig, route, Order { times: 2, retries: 2, ..order })[1];
        let told = number(report, "retry-after-ms");
        assert_eq!(report["attempts"], json!([[429, told]]), "{report}");
        assert!(slept(report).is_empty() && report["raised"] == "RateLimitError", "{report}");
    }
}

/// Has a slow stream under way.
fn hold(client: &mut Client, route: Route) {
    client.post(route.path, "x-sim-chunk-gap: 20ms\r\nx-sim-chunks: 4000\r\n", &route.body(MODEL, true));
    read_to(client, "data:");
}

// === streams that outlast their limit ===

/// 2,000 events of 40 bytes, some 20,000 tokens.
fn long() -> Script {
    Script {
        input_tokens: Count::Fixed(10),
        output_tokens: 20_000,
        chunks: 2_000,
        chunk_bytes: 40,
        chunk_gap: Duration::from_millis(1),
        ..Script::default()
    }
}

#[test]
fn a_cut_stream_is_read_to_its_end_as_one_that_reached_its_length() {
    let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}";
    for ((route, order), way) in rounds().flat_map(|round| ["stream", "helper"].map(|way| (round, way))) {
        let rig = Rig::start(long(), &limits(route.name, &[limit]));
        let report = &told(&rig, route, Order { way, ..order })[0];
        let at = format!("{} {way}: {report}", route.path);
        assert_eq!(rig.ended(Outcome::LimitCut), 1, "{at}");
        // Of an answer that was cut short OpenAI's helper for Python makes an error by design, whoever cut it; it has
        // read the stream to its end and has the usage by then.
        if (route.openai_client, way, order.language) == (true, "helper", Language::Python) {
            assert_eq!(report["raised"], "LengthFinishReasonError", "{at}");
            assert!(report["why"].as_str().expect("text").contains("completion_tokens="), "{at}");
            continue;
        }
        assert_eq!(report["finish"], if route.openai_client { "length" } else { "max_tokens" }, "{at}");
        let text = report["text"].as_str().expect("text").len() as u64 / 4;
        assert!((500..1_100).contains(&text), "{at}");
        let output = report["usage"][1].as_u64().expect("the usage is told");
        // Of a translated stream, an event that had come in part is counted and not passed: 40 bytes of text.
        assert!(output.abs_diff(text) <= 12, "{at}");
        // An OpenAI provider that was left has not said what the input was: it is estimated.
        let input = report["usage"][0].as_u64().expect("the usage is told");
        assert!(if route.openai_provider { (1..100).contains(&input) } else { input == 10 }, "{at}");
    }
}

// === whole APIs ===

/// How each SDK asks for what has text.
const OPENAI_WAYS: &[&str] = &["whole", "stream", "responses", "responses-stream", "responses-helper"];
const ANTHROPIC_WAYS: &[&str] = &["whole", "stream", "helper"];
const GOOGLE_WAYS: &[&str] = &["whole", "stream"];

/// SDK, where a provider's API is, the HTTPRoute, and the ways: each SDK with each provider, its own among them.
const APIS: [(Sdk, &str, &str, &[&str]); 14] = [
    (Sdk::OpenAi, "/oa/v1", "oa", OPENAI_WAYS),
    (Sdk::OpenAi, "/an/v1", "an", OPENAI_WAYS),
    (Sdk::OpenAi, "/ge/v1", "ge", OPENAI_WAYS),
    (Sdk::Anthropic, "/oa", "oa", ANTHROPIC_WAYS),
    (Sdk::Anthropic, "/an", "an", ANTHROPIC_WAYS),
    (Sdk::Anthropic, "/ge", "ge", ANTHROPIC_WAYS),
    (Sdk::Google, "/oa", "oa", GOOGLE_WAYS),
    (Sdk::Google, "/an", "an", GOOGLE_WAYS),
    (Sdk::Google, "/ge", "ge", GOOGLE_WAYS),
    (Sdk::Google, "/br", "br", GOOGLE_WAYS),
    (Sdk::Google, "/az", "az", GOOGLE_WAYS),
    (Sdk::Google, "/vc", "vc", GOOGLE_WAYS),
    (Sdk::OpenAi, "/vg/v1", "vg", OPENAI_WAYS),
    (Sdk::Anthropic, "/vg", "vg", ANTHROPIC_WAYS),
];

/// A row of a test of `sdk`, with an order for each language that has that SDK.
fn each_language<R: Clone>(sdk: Sdk, row: R) -> impl Iterator<Item = (R, Order)> {
    let has =
        move |language: &Language| programs(*language).is_some_and(|programs| programs.len() > sdk as usize);
    languages().filter(has).map(move |language| (row.clone(), Order { language, ..ORDER }))
}

fn apis_rig(script: Script, policies: &str) -> Rig {
    let quiet = "  records: {to: none}\n  workers: {cores: 2, pin: false}";
    Rig::start_with(script, &apis(&(clouds() + policies)), &settings(quiet))
}

/// The model that answers on a route: that of the Backend, else what the programs ask for.
fn model_of(route: &str) -> &'static str {
    CLOUD_MODELS.into_iter().find(|(name, _)| *name == route).map_or(MODEL, |(_, model)| model)
}

fn report(sdk: Sdk, rig: &Rig, base: &str, order: Order) -> Value {
    told_by(sdk, rig, base, order, || {}).remove(0)
}

#[test]
fn every_sdk_reads_every_provider() {
    for ((sdk, base, route, ways), order) in APIS.into_iter().flat_map(|api| each_language(api.0, api)) {
        let rig = apis_rig(script(), &limits(route, &["{name: r, unit: requests, rate: 99/hour}"]));
        for (number, way) in (1..).zip(ways) {
            let report = report(sdk, &rig, base, Order { way, ..order });
            let at = format!("{sdk:?} {way}: {report}");
            assert_eq!(report["text"], reply_text(model_of(route), USER_TEXT, number, &script()), "{at}");
            assert_eq!(report["usage"], json!([1_000, 100]), "{at}");
            let finish = ["stop", "end_turn", "completed", "STOP"];
            assert!(finish.contains(&report["finish"].as_str().expect("text")), "{at}");
        }
        rig.assert_ledgers_agree();
    }
}

#[test]
fn every_sdk_reads_calls_of_tools_from_every_provider() {
    let script = Script { tool_call: Some("get_weather".to_owned()), ..script() };
    for ((sdk, base, route, _), order) in APIS.into_iter().flat_map(|api| each_language(api.0, api)) {
        let rig = apis_rig(script.clone(), &limits(route, &["{name: r, unit: requests, rate: 99/hour}"]));
        let more = if sdk == Sdk::OpenAi { &["responses-tools"][..] } else { &[] };
        for way in ["tools", "tools-stream"].iter().chain(more) {
            let report = report(sdk, &rig, base, Order { way, ..order });
            let at = format!("{sdk:?} {base} {way}: {report}");
            assert_eq!(report["text"], "get_weather", "{at}");
            assert_eq!(report["arguments"]["k3"], 3, "{at}");
            // Google tells tokens that tools brought in apart from the prompt's.
            let input = if (sdk, route) == (Sdk::Google, "ge") { 900 } else { 1_000 };
            assert_eq!(report["usage"], json!([input, 100]), "{at}");
            let finish = ["tool_calls", "tool_use", "completed", "STOP"];
            assert!(finish.contains(&report["finish"].as_str().expect("text")), "{at}");
        }
        rig.assert_ledgers_agree();
    }
}

#[test]
fn embeddings_models_and_counts_are_read() {
    let listed = json!("sim-large sim-small");
    let (names, one) = (json!("sim-large sim-small"), json!("sim-small"));
    let rows = [
        (Sdk::OpenAi, "/an/v1", "models", names.clone(), one.clone(), Value::Null),
        (Sdk::OpenAi, "/ge/v1", "models", names.clone(), one.clone(), Value::Null),
        (Sdk::Anthropic, "/oa", "models", names.clone(), one.clone(), Value::Null),
        (Sdk::Anthropic, "/ge", "models", names.clone(), one, Value::Null),
        (Sdk::Google, "/oa", "models", names.clone(), json!("models/sim-small"), Value::Null),
        (Sdk::Google, "/an", "models", names, json!("models/sim-small"), Value::Null),
        (Sdk::Anthropic, "/ge", "count", json!(""), Value::Null, json!([1_000, 0])),
        (Sdk::Anthropic, "/br", "count", json!(""), Value::Null, json!([1_000, 0])),
        (Sdk::Google, "/an", "count", json!(""), Value::Null, json!([1_000, 0])),
        (Sdk::Google, "/br", "count", json!(""), Value::Null, json!([1_000, 0])),
        (Sdk::OpenAi, "/oa/v1", "embeddings", json!(""), json!([8, 8]), json!([1_000, 0])),
        (Sdk::OpenAi, "/oa/v1", "models", listed.clone(), json!("sim-small"), Value::Null),
        (Sdk::Anthropic, "/an", "count", json!(""), Value::Null, json!([1_000, 0])),
        (Sdk::Anthropic, "/an", "models", listed.clone(), json!("sim-small"), Value::Null),
        (Sdk::Google, "/ge", "count", json!(""), Value::Null, json!([1_000, 0])),
        (Sdk::Google, "/ge", "models", listed, json!("models/sim-small"), Value::Null),
    ];
    let rig = apis_rig(script(), "");
    let mut embedded = 0;
    for ((sdk, base, way, text, finish, usage), order) in
        rows.into_iter().flat_map(|row| each_language(row.0, row))
    {
        embedded += u64::from(way == "embeddings");
        let report = report(sdk, &rig, base, Order { way, ..order });
        let at = format!("{sdk:?} {way}: {report}");
        assert_eq!((&report["text"], &report["finish"], &report["usage"]), (&text, &finish, &usage), "{at}");
    }
    assert_eq!(rig.assert_ledgers_agree().reported.input, 1_000 * embedded, "embeddings alone cost tokens");
}

#[test]
fn refusals_of_every_format_are_the_sdks_own_errors() {
    let rows = [
        (Sdk::OpenAi, "/oa/v1", "oa", "responses", "RateLimitError"),
        (Sdk::OpenAi, "/oa/v1", "oa", "responses-stream", "RateLimitError"),
        (Sdk::OpenAi, "/oa/v1", "oa", "embeddings", "RateLimitError"),
        (Sdk::Anthropic, "/an", "an", "count", "RateLimitError"),
        (Sdk::Google, "/ge", "ge", "whole", "ClientError"),
        (Sdk::Google, "/ge", "ge", "stream", "ClientError"),
    ];
    for ((sdk, base, route, way, raised), order) in rows.into_iter().flat_map(|row| each_language(row.0, row))
    {
        let rig = apis_rig(script(), &limits(route, &["{name: calls, unit: requests, rate: 1/hour}"]));
        report(sdk, &rig, base, Order { way, ..order });
        let report = report(sdk, &rig, base, Order { way, ..order });
        let at = format!("{sdk:?} {way}: {report}");
        assert_eq!((&report["raised"], &report["status"]), (&json!(raised), &json!(429)), "{at}");
        assert!(report["body"].to_string().contains("limit llm/test/calls allows"), "{at}");
        let ms = number(&report, "retry-after-ms");
        if sdk == Sdk::Google {
            assert_eq!(report["type"], "RESOURCE_EXHAUSTED", "{at}");
            let delay = report["body"]["error"]["details"][0]["retryDelay"].as_str().expect("a delay");
            assert_eq!(delay, format!("{}.{:03}s", ms / 1000, ms % 1000), "{at}");
        }
        assert_eq!((refused(&rig), rig.simulator.ledger().requests), (1, 1), "{at}");
    }
}

#[test]
fn sdks_of_every_format_come_back() {
    // Google's waits a second and more by itself, whatever it is told; the others as long as they are told.
    let limit = "{name: r, unit: requests, rate: 100/minute, burst: 1}";
    let rows = [
        (Sdk::OpenAi, "/oa/v1", "oa", "responses"),
        (Sdk::OpenAi, "/oa/v1", "oa", "embeddings"),
        (Sdk::Google, "/ge", "ge", "whole"),
        (Sdk::Google, "/ge", "ge", "stream"),
    ];
    for ((sdk, base, route, way), order) in rows.into_iter().flat_map(|row| each_language(row.0, row)) {
        let rig = apis_rig(script(), &limits(route, &[limit]));
        let report = (0..10)
            .flat_map(|_| told_by(sdk, &rig, base, Order { way, times: 2, retries: 2, ..order }, || {}))
            .find(|report| !slept(report).is_empty())
            .unwrap_or_else(|| panic!("{sdk:?} {way}: never refused"));
        let at = format!("{sdk:?} {way}: {report}");
        let ms = report["attempts"][0][1].as_u64().expect("it was told");
        assert_eq!(report["attempts"], json!([[429, ms], [200, null]]), "{at}");
        let slept = slept(&report)[0];
        assert!(slept == ms as f64 / 1000.0 || sdk == Sdk::Google && slept >= 1.0, "{at}");
        assert_eq!(report["usage"][0], 1_000, "{at}");
    }
}

#[test]
fn cut_streams_of_every_format_are_read_to_their_end() {
    let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}";
    let rows = [
        (Sdk::OpenAi, "/oa/v1", "oa", "responses-stream", "incomplete"),
        (Sdk::Google, "/ge", "ge", "stream", "MAX_TOKENS"),
    ];
    for ((sdk, base, route, way, finish), order) in rows.into_iter().flat_map(|row| each_language(row.0, row))
    {
        let rig = apis_rig(long(), &limits(route, &[limit]));
        let report = report(sdk, &rig, base, Order { way, max_tokens: 30_000, ..order });
        let at = format!("{sdk:?} {way}: {report}");
        assert_eq!((rig.ended(Outcome::LimitCut), &report["finish"]), (1, &json!(finish)), "{at}");
        let text = report["text"].as_str().expect("text").len() as u64 / 4;
        let output = report["usage"][1].as_u64().expect("the usage is told");
        assert!((400..1_100).contains(&text) && (500..1_100).contains(&output), "{at}");
    }
}
