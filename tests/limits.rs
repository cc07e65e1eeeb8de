//! LimitPolicies on a whole gateway: who is told from whom, what is counted, what refusals say, how streams that
//! outlast their limit end, and that everything that was under way makes room again.

#[path = "limits/budgets.rs"]
mod budgets;
#[path = "limits/fallback.rs"]
mod fallback;
#[path = "limits/prices.rs"]
mod prices;
mod support;

use std::time::Duration;
use support::{Answer, Client, ROUTES, Rig, Route, chat, limits, read_to, until, with};
use tollgate_loadtest::{Count, Ending, Fault, Script};

const MODEL: &str = "claude-3-5-haiku-latest";

fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() }
}

/// The status of an OpenAI request with these header lines.
fn ask(client: &mut Client, headers: &str) -> Answer {
    client.ask("/openai", headers, &chat(MODEL, false))
}

fn statuses(rig: &Rig, asks: &[&str]) -> Vec<u16> {
    let mut client = rig.client();
    asks.iter().map(|headers| ask(&mut client, headers).status).collect()
}

// === keys ===

#[test]
fn each_key_has_an_account_of_its_own_and_no_key_is_an_account_too() {
    let limit = "{name: keys, unit: requests, rate: 1/hour, burst: 2, key: {apiKey: {}}}";
    let rig = Rig::start(script(), &limits("openai", &[limit]));
    let (ann, bob) = ("authorization: Bearer ann\r\n", "authorization: Bearer bob\r\n");
    assert_eq!(statuses(&rig, &[ann, bob, ann, bob, ann, bob]), [200, 200, 200, 200, 429, 429]);
    // The same key in the other header is the same caller.
    assert_eq!(statuses(&rig, &["x-api-key: ann\r\n", "x-api-key: cat\r\n"]), [429, 200]);
    assert_eq!(statuses(&rig, &["", "authorization:\r\n", ""]), [200, 200, 429], "without a key they share");
}

#[test]
fn keys_are_headers_addresses_models_routes_and_several_together() {
    let rows: [(&str, &[&str], &[u16]); 5] = [
        ("{header: x-team}", &["x-team: red\r\n", "x-team: red\r\n", "x-team: blue\r\n"], &[200, 429, 200]),
        ("{source: {}}", &["x-team: red\r\n", "x-team: blue\r\n"], &[200, 429]),
        ("{model: {}, route: {}}", &["", ""], &[200, 429]),
        (
            "{apiKey: {}, header: x-team}",
            &[
                "x-api-key: a\r\nx-team: r\r\n",
                "x-api-key: a\r\nx-team: s\r\n",
                "x-api-key: a\r\nx-team: r\r\n",
            ],
            &[200, 200, 429],
        ),
        (
            "{claim: sub}",
            // {"sub":"ann"}, {"sub":"bob"}
            &[
                "authorization: Bearer a.eyJzdWIiOiJhbm4ifQ.x\r\n",
                "authorization: Bearer b.eyJzdWIiOiJhbm4ifQ.y\r\n",
                "authorization: Bearer a.eyJzdWIiOiJib2IifQ.x\r\n",
            ],
            &[200, 429, 200],
        ),
    ];
    for (key, asks, expected) in rows {
        let limit = format!("{{name: keys, unit: requests, rate: 1/hour, key: {key}}}");
        let rig = Rig::start(script(), &limits("openai", &[&limit]));
        assert_eq!(statuses(&rig, asks), expected, "{key}");
    }
}

#[test]
fn a_key_that_is_wanted_and_missing_is_refused_by_name() {
    for (key, status, names) in [
        ("{header: x-team}", 400, "the header x-team"),
        ("{apiKey: {}}", 401, "a key in Authorization, x-api-key or x-goog-api-key"),
        ("{claim: sub}", 401, "the claim sub"),
    ] {
        let limit = format!("{{name: keys, unit: requests, rate: 9/hour, key: {key}, onMissingKey: deny}}");
        let rig = Rig::start(script(), &limits("openai", &[&limit]));
        let answer = ask(&mut rig.client(), "");
        assert_eq!(answer.status, status, "{key}");
        let message = answer.json()["error"]["message"].as_str().expect("text").to_owned();
        assert!(message.contains("llm/test/keys") && message.contains(names), "{message}");
        assert_eq!(rig.simulator.ledger().requests, 0);
    }
    let limit = "{name: keys, unit: requests, rate: 1/hour, key: {header: x-team}, onMissingKey: skip}";
    let rig = Rig::start(script(), &limits("openai", &[limit]));
    assert_eq!(statuses(&rig, &["", "", "x-team: a\r\n", "x-team: a\r\n"]), [200, 200, 200, 429]);
}

#[test]
fn some_keys_have_limits_of_their_own() {
    let limit = "{name: keys, unit: requests, rate: 1/hour, key: {header: x-team}, \
                 overrides: [{key: red, rate: 1/hour, burst: 3}], \
                 tiers: [{name: gold, keys: [blue, green], rate: 1/hour, burst: 2}]}";
    let rig = Rig::start(script(), &limits("openai", &[limit]));
    for (team, admitted) in [("red", 3), ("blue", 2), ("green", 2), ("gray", 1)] {
        let header = format!("x-team: {team}\r\n");
        let asks = vec![&*header; 5];
        let got = statuses(&rig, &asks).iter().filter(|status| **status == 200).count();
        assert_eq!(got, admitted, "{team}");
    }
}

// === what is counted ===

#[test]
fn all_limits_must_admit_or_none_is_charged() {
    let (a, b) =
        ("{name: a, unit: requests, rate: 1/hour, burst: 10}", "{name: b, unit: requests, rate: 1/hour}");
    let c = "{name: c, unit: tokens, rate: 1/hour, burst: 50000}";
    let rig = Rig::start(script(), &limits("openai", &[a, b, c]));
    assert_eq!(statuses(&rig, &["", "", ""]), [200, 429, 429]);
    rig.settled();
    assert_eq!([rig.balance(0), rig.balance(1), rig.balance(2)], [9, 0, 50_000 - 1_100]);
}

#[test]
fn money_is_counted_by_the_configured_prices() {
    let prices = "---\napiVersion: tollgate.dev/v1alpha1\nkind: Prices\nmetadata: {name: p}\nspec:\n  currency: USD\n  \
                  perTokens: 1000000\n  prices:\n  - {provider: openai, model: m, input: \"2.00\", cachedInput: \"0.50\", \
                  output: \"10.00\", asOf: \"2026-01-01\", source: test}\n";
    // 600 fresh x 2.00 + 400 cached x 0.50 + 100 x 10.00 per million are 0.0024 USD.
    let limit = "{name: spend, unit: cost, budget: 0.01 USD, window: day}";
    let script = Script { cached_input_tokens: 400, ..script() };
    let rig = Rig::start(script, &(prices.to_owned() + &limits("openai", &[limit])));
    let mut client = rig.client();
    let mut asked = 0;
    while client.ask("/openai", "", &chat("m", false)).status == 200 {
        asked += 1;
        rig.settled();
        assert_eq!(rig.balance(0), 10_000_000 - asked * 2_400_000);
    }
    // The estimate of the output, 1,024 tokens, is 0.01024 USD: more than there ever is, so that a full budget
    // admits; what is learned of the output would admit more.
    assert_eq!(asked, 1);
}

#[test]
fn weights_say_what_each_kind_of_token_counts() {
    let limit = "{name: w, unit: tokens, rate: 1/hour, burst: 10000, \
                 weights: {input: 1, cachedInput: 0.1, output: 4, reasoning: 0}}";
    let script = Script { cached_input_tokens: 405, reasoning_tokens: 30, ..script() };
    let rig = Rig::start(script, &limits("openai", &[limit]));
    assert_eq!(statuses(&rig, &[""]), [200]);
    rig.settled();
    // 595 + 40.5 + 70 x 4, rounded up.
    assert_eq!(rig.balance(0), 10_000 - 916);
}

#[test]
fn a_limit_on_a_backend_counts_what_goes_to_it_and_a_limit_on_both_counts_once() {
    let policy = limits("openai", &["{name: a, unit: requests, rate: 1/hour, burst: 3}"]).replace(
        "targetRefs: [",
        "targetRefs: [{group: gateway.kgateway.dev, kind: Backend, name: openai}, ",
    );
    let rig = Rig::start(script(), &policy);
    assert_eq!(statuses(&rig, &[""]), [200]);
    let mut client = rig.client();
    let cross = ROUTES[3];
    let ask = |client: &mut Client| client.ask(cross.path, "", &cross.body(MODEL, false)).status;
    // The other route goes to the same backend.
    assert_eq!([ask(&mut client), ask(&mut client), ask(&mut client)], [200, 200, 429]);
}

#[test]
fn shadow_refuses_nobody_and_counts_whom_it_would_have() {
    let limit = "{name: s, unit: requests, rate: 1/hour, mode: shadow}";
    let rig = Rig::start(script(), &limits("openai", &[limit]));
    assert_eq!(statuses(&rig, &["", "", ""]), [200, 200, 200]);
    let in_force = rig.gateway().board.in_force();
    let shadow: u64 = in_force.limit_counters.iter().map(|worker| worker[0].shadow_refused.get()).sum();
    assert_eq!(shadow, 2);
}

// === when to come back ===

#[test]
fn who_comes_back_exactly_when_told_is_admitted_and_a_little_before_is_not() {
    let limit = "{name: r, unit: requests, rate: 2/second, burst: 1, key: {header: x-team}}";
    let rig = Rig::start(script(), &limits("openai", &[limit]));
    for early in [false, true] {
        let mut client = rig.client();
        let team = format!("x-team: {early}\r\n");
        for _ in 0..5 {
            let refused = loop {
                let answer = ask(&mut client, &team);
                if answer.status == 429 {
                    break answer;
                }
            };
            let ms: u64 = refused.header("retry-after-ms").expect("it").parse().expect("a number");
            assert!((1..=500).contains(&ms), "{ms}");
            let seconds: u64 = refused.header("retry-after").expect("it").parse().expect("a number");
            assert_eq!(seconds, ms.div_ceil(1000));
            // A busy machine wakes late, so "before" is half of the time here; to the nanosecond it is a property of
            // accounts.
            std::thread::sleep(Duration::from_millis(if early { ms / 2 } else { ms }));
            let again = ask(&mut client, &team).status;
            match early {
                false => assert_eq!(again, 200, "{ms}"),
                true if ms > 250 => assert_eq!(again, 429, "{ms}"),
                true => {} // too little was left to be early by
            }
        }
    }
}

#[test]
fn a_budget_comes_back_with_its_window() {
    let limit = "{name: b, unit: requests, budget: 2, window: minute}";
    let rig = Rig::start(script(), &limits("openai", &[limit]));
    let mut client = rig.client();
    // Should the minute end between two requests, the third of a window is refused all the same.
    let refused =
        (0..6).map(|_| ask(&mut client, "")).find(|answer| answer.status == 429).expect("a refusal");
    let ms: u64 = refused.header("retry-after-ms").expect("it").parse().expect("a number");
    let now = tollgate::runtime::clock::unix_ms();
    let next = now.div_ceil(60_000) * 60_000 - now;
    assert!(ms.abs_diff(next) < 2_000, "{ms} {next}");
    let message = refused.json()["error"]["message"].to_string();
    assert!(message.contains("llm/test/b allows 2 requests per minute (UTC)"), "{message}");
}

// === what is under way ===

const SLOW: &str = "x-sim-chunk-gap: 20ms\r\nx-sim-chunks: 400\r\n";

fn concurrency(rig: &Rig) -> i64 {
    rig.balance(0)
}

#[test]
fn what_is_under_way_counts_until_it_ends_however_it_ends() {
    let limit = "{name: c, unit: concurrency, max: 2}";
    let rig = Rig::start(script(), &limits("openai", &[limit]));
    let slow = |rig: &Rig| {
        let mut client = rig.client();
        client.post("/openai", SLOW, &chat(MODEL, true));
        read_to(&mut client, "data:");
        client
    };
    let (one, two) = (slow(&rig), slow(&rig));
    let refused = ask(&mut rig.client(), "");
    assert_eq!((refused.status, refused.header("retry-after")), (429, Some("1")));
    assert!(refused.text().contains("2 requests under way"), "{}", refused.text());
    // The client goes.
    drop(one);
    until("one has left", || concurrency(&rig) == 1);
    assert_eq!(ask(&mut rig.client(), "").status, 200);
    drop(two);
    until("both have left", || concurrency(&rig) == 2);
    // The provider breaks off, stalls, refuses, answers garbage; the request is malformed or goes to nobody.
    for fault in [
        Fault::CutAfterChunks(1, Ending::Rst),
        Fault::CutAfterChunks(2, Ending::Fin),
        Fault::Status(500),
        Fault::Status(429),
        Fault::GarbageJson,
        Fault::NoAnswer(Ending::Rst),
    ] {
        rig.simulator.set_script(Script { fault, ..script() });
        for streamed in [true, false] {
            let mut client = rig.client();
            client.post("/openai", "", &chat(MODEL, streamed));
            let _ = client.any_answer();
            until("it has ended", || concurrency(&rig) == 2);
        }
    }
    let mut client = rig.client();
    assert_eq!(client.ask("/openai", "", "{").status, 400);
    assert_eq!(concurrency(&rig), 2);
    let open: u64 = rig.gateway().board.desks.iter().map(|d| d.counters.reservations_open.get()).sum();
    assert_eq!(open, 0);
}

#[test]
fn a_worker_takes_only_as_many_requests_as_it_may() {
    let one = "  limits: {inFlightPerWorker: 16}\n  workers: {cores: 1, pin: false}";
    let manifests = support::manifests("");
    let settings = support::settings(&format!("  records: {{to: none}}\n{one}"));
    let rig = Rig::start_with(script(), &manifests, &settings);
    let held: Vec<Client> = (0..16)
        .map(|_| {
            let mut client = rig.client();
            client.post("/openai", SLOW, &chat(MODEL, true));
            read_to(&mut client, "data:");
            client
        })
        .collect();
    let refused = ask(&mut rig.client(), "");
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    drop(held);
    until("they have left", || ask(&mut rig.client(), "").status == 200);
}

// === streams that outlast their limit ===

/// 200 events of 40 bytes, some 2,000 tokens.
fn long() -> Script {
    Script {
        input_tokens: Count::Fixed(10),
        output_tokens: 2_000,
        chunks: 200,
        chunk_bytes: 40,
        chunk_gap: Duration::from_millis(1),
        ..Script::default()
    }
}

fn ask_stream(rig: &Rig, route: Route) -> Answer {
    let body = route.body(MODEL, true).replace(r#""max_tokens":100"#, r#""max_tokens":4000"#);
    rig.client().ask(route.path, "", &body)
}

#[test]
fn a_stream_is_cut_where_its_limit_ends_as_its_format_ends_at_the_length() {
    for route in ROUTES {
        let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}";
        // So long that the provider is still at it when it is left.
        let script = Script { chunks: 2_000, output_tokens: 20_000, ..long() };
        let rig = Rig::start(script, &limits(route.name, &[limit]));
        rig.assert_cut(route, &ask_stream(&rig, route), 800);
        // What is left is less than the first chunk of another stream.
        assert_eq!(ask_stream(&rig, route).status, 429);
    }
}

#[test]
fn a_stream_whose_end_has_come_when_its_limit_ends_has_an_end() {
    for route in [ROUTES[1], ROUTES[2]] {
        let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 300, onExhausted: cut}";
        let mut finishes = Vec::new();
        // Wherever the limit ends, all that follows has come with the same bytes.
        for chunk_bytes in (300..700).step_by(20) {
            let script = Script { chunks: 4, chunk_bytes, chunk_gap: Duration::ZERO, ..long() };
            let rig = Rig::start(script, &limits(route.name, &[limit]));
            let answer = ask_stream(&rig, route);
            let said = route.read(&answer);
            let what = format!("{} {chunk_bytes}: {}", route.path, answer.text());
            assert_eq!((answer.complete, said.done, said.error), (true, true, None), "{what}");
            finishes.push(said.finish);
        }
        let (cut, end) = if route.openai_client { ("length", "stop") } else { ("max_tokens", "end_turn") };
        assert!(finishes.iter().all(|finish| finish == cut || finish == end), "{finishes:?}");
        assert!(finishes.iter().any(|finish| finish == cut), "{finishes:?}");
    }
}

#[test]
fn a_stream_that_may_finish_does_and_the_rest_is_debt() {
    for route in ROUTES {
        let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800}";
        let rig = Rig::start(long(), &limits(route.name, &[limit]));
        let answer = ask_stream(&rig, route);
        let said = route.read(&answer);
        assert_eq!((answer.complete, said.done, said.error), (true, true, None), "{}", route.path);
        rig.assert_ledgers_agree();
        assert_eq!(rig.balance(0), 800 - 2_010, "{}", route.path);
        assert_eq!(rig.totals().streams_cut, 0);
    }
}

#[test]
fn a_stream_reserves_as_it_goes_and_not_what_it_might_become() {
    let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 100000}";
    let rig =
        Rig::start(Script { chunk_gap: Duration::from_millis(5), ..long() }, &limits("openai", &[limit]));
    let mut client = rig.client();
    client.post("/openai", "", &with(&chat(MODEL, true), r#""max_tokens":64000"#));
    read_to(&mut client, "data:");
    let held = 100_000 - rig.balance(0);
    assert!((256..600).contains(&held), "a first chunk and the input: {held}");
    until("it has grown", || 100_000 - rig.balance(0) > 1_000);
    drop(client);
}
