//! What requests cost, by the built-in prices and by one's own: tiers, kinds of tokens, whose prices apply, and what becomes
//! of a model that has none.

use crate::support::process::{Process, directory, ended, tollgate};
use crate::support::{
    Answer, Client, Rig, chat, gateway, limits, manifests, message, provider, read_request, settings,
};
use std::io::Write;
use std::net::SocketAddr;
use tollgate::app::cli::Options;
use tollgate::app::files;
use tollgate::base::Money;
use tollgate::config::{Overrides, Snapshot};
use tollgate::llm::Usage;
use tollgate::llm::price::vendor::VENDORS;
use tollgate::llm::price::{Price, Rates};
use tollgate::telemetry::counters::PAID;
use tollgate::telemetry::{Outcome, Totals};
use tollgate_loadtest::{Count, Script, Simulator};

// === the built-in list ===

/// The usual manifests and these texts, over the built-in prices.
fn compiled(texts: &[(&str, &str)]) -> Snapshot {
    let manifests = manifests("");
    let all: Vec<(&str, &str)> = texts.iter().copied().chain([("manifests.yaml", &*manifests)]).collect();
    files::compile(&all, &Options::default(), &|_| None).unwrap_or_else(|faults| panic!("{faults}"))
}

/// Models whose output is cheaper than their input, with the reason.
const CHEAP_OUTPUT: [(&str, &str, &str); 0] = [];

/// Every row has a day and a page, of its vendor or of who tells its prices (the reader refuses days that are none, vendors
/// that are not known and models that are there twice), and no price is out of its place.
#[test]
fn the_built_in_prices_are_sane() {
    let snapshot = compiled(&[]);
    let (mut names, mut vendors) = (0, Vec::new());
    for (vendor, model, listed) in snapshot.catalogue.iter() {
        let what = format!("{model} at {vendor}");
        let parts: Vec<&str> = listed.origin.split(", ").collect();
        let [place, as_of, source] = parts[..] else { panic!("{what}: {}", listed.origin) };
        assert_eq!(place, "built in", "{what}");
        assert!(as_of.starts_with("as of 202"), "{what}: {as_of}");
        assert!(source.starts_with("https://"), "{what}: {source}");
        let Price { base, tiers } = &listed.price;
        let mut below = None;
        for rates in std::iter::once(base).chain(tiers.iter().map(|tier| &tier.rates)) {
            let Rates { input, output, cached_input, cache_write, cache_write_1h, .. } = *rates;
            assert!(input > 0, "{what}");
            assert!(cached_input <= input, "{what}");
            assert!(cache_write >= input && cache_write_1h >= cache_write, "{what}");
            assert!(rates.audio_input >= input && rates.audio_output >= output, "{what}");
            let excused = CHEAP_OUTPUT.iter().any(|(v, m, _)| (*v, *m) == (vendor, &*model));
            let embeds = model.contains("embed"); // and has no output
            assert!(output >= input || excused || embeds && output == 0, "{what}");
            // A long request is dearer, never by more than a slip of the decimal point would be.
            let dearer = below.is_none_or(|below| input > below && input <= 5 * below);
            assert!(dearer, "{what}");
            below = Some(input);
        }
        names += 1;
        vendors.push(vendor);
    }
    assert!(names >= 250, "{names}");
    // Of some no list is built in: they resell, or let hardware.
    const UNLISTED: [&str; 8] =
        ["openrouter", "cerebras", "deepinfra", "huggingface", "baseten", "nvidia", "ollama", "vllm"];
    for vendor in VENDORS.iter().filter(|vendor| !UNLISTED.contains(&vendor.name)) {
        assert!(vendors.contains(&vendor.name), "{}", vendor.name);
    }
}

#[test]
fn every_vendor_has_a_label_of_its_own() {
    let names: Vec<&str> = VENDORS.iter().map(|vendor| vendor.name).chain(["other"]).collect();
    assert_eq!(names, PAID);
}

/// Bills as their vendors' price pages make them.
#[test]
fn what_requests_cost_by_the_built_in_prices() {
    let tokens = |input, output| Usage { input, output, ..Usage::default() };
    let million = 1_000_000;
    let rows: [(&str, &str, Usage, &str); 22] = [
        ("openai", "gpt-4o", tokens(million, million), "12.50"),
        ("openai", "gpt-4o-2024-05-13", tokens(million, million), "20.00"),
        ("openai", "gpt-4o-mini-2024-07-18", tokens(million, million), "0.75"),
        ("openai", "gpt-5-2025-08-07", Usage { cached_input: million, ..tokens(million, 0) }, "0.125"),
        ("openai", "gpt-5.4", tokens(272_000, 1_000), "0.695"),
        ("openai", "gpt-5.4-2026-03-05", tokens(272_001, 1_000), "1.382505"),
        ("openai", "gpt-5.4-mini", tokens(300_000, 1_000), "0.2295"),
        ("openai", "gpt-audio", Usage { audio_input: 1_000, ..tokens(2_000, 0) }, "0.0345"),
        ("openai", "gpt-audio", Usage { audio_output: 1_000, ..tokens(0, 1_500) }, "0.069"),
        ("anthropic", "claude-sonnet-4-5-20250929", tokens(200_000, 1_000), "0.615"),
        ("anthropic", "claude-sonnet-4-5-20250929", tokens(200_001, 1_000), "1.222506"),
        ("anthropic", "claude-sonnet-4-6", tokens(200_001, 1_000), "0.615003"),
        ("anthropic", "claude-haiku-5-5", Usage { cached_input: 90_000, ..tokens(100_001, 0) }, "0.0095005"),
        (
            "anthropic",
            "claude-opus-4-5-20251101",
            Usage { cache_write: 3_000, cache_write_1h: 1_000, ..tokens(3_000, 0) },
            "0.0225",
        ),
        ("gemini", "models/gemini-2.5-pro", tokens(200_001, 1_000), "0.5150025"),
        ("gemini", "gemini-2.5-flash", Usage { audio_input: 1_000, ..tokens(1_000, 1_000) }, "0.0035"),
        ("vertexai", "claude-haiku-4-5@20251001", tokens(1_000, 1_000), "0.006"),
        ("bedrock", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", tokens(1_000, 1_000), "0.0198"),
        ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", tokens(1_000, 1_000), "0.018"),
        ("bedrock", "eu.amazon.nova-lite-v1:0", tokens(million, million), "0.30"),
        ("groq", "llama-3.3-70b-versatile", tokens(million, million), "1.38"),
        ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", tokens(million, million), "1.76"),
    ];
    let snapshot = compiled(&[]);
    for (vendor, model, usage, dollars) in rows {
        let id = snapshot.catalogue.find(vendor, model).unwrap_or_else(|| panic!("{model} at {vendor}"));
        let listed = snapshot.catalogue.get(id).expect("what was found");
        assert_eq!(listed.price.cost(&usage).to_string(), dollars, "{model} at {vendor}: {usage:?}");
    }
    for (vendor, model) in [
        ("openai", "gpt-4o-realtime-preview"),
        ("openai", "gpt-4"),
        ("openai", "gpt-5.5-turbo"),
        ("anthropic", "claude-opus-9"),
        ("bedrock", "us.unknown.model"),
    ] {
        assert_eq!(snapshot.catalogue.find(vendor, model).is_some(), model == "gpt-4", "{model}");
    }
}

#[test]
fn rows_of_ones_own_take_the_place_of_built_in_ones_and_replace_does_without_them() {
    let list = |replace| {
        format!(
            "apiVersion: tollgate.dev/v1alpha1\nkind: Prices\nmetadata: {{name: openai}}\nspec: {{currency: USD, perTokens: \
             1000000, replace: {replace}, prices: [{{provider: openai, model: gpt-4o, input: 1, output: 1}}]}}\n"
        )
    };
    for (replace, mini) in [(false, true), (true, false)] {
        // Two lists: it does not matter which of them says so, and the other's rows stay.
        let other = list(false).replace("gpt-4o", "gpt-other").replace("name: openai", "name: other");
        let texts = [("ours.yaml", &*list(replace)), ("other.yaml", &*other)];
        let snapshot = compiled(&texts);
        let find = |model| snapshot.catalogue.find("openai", model).and_then(|id| snapshot.catalogue.get(id));
        assert!(find("gpt-4o").is_some_and(|listed| listed.origin.starts_with("ours.yaml:4:")));
        assert_eq!(find("gpt-4o-mini").is_some(), mini, "replace: {replace}");
        assert!(find("gpt-other").is_some());
    }
}

// === live ===

/// A list of one's own, the only one: `rows` are flow maps.
fn only(rows: &[&str]) -> String {
    let rows: String = rows.iter().map(|row| format!("  - {row}\n")).collect();
    format!(
        "---\napiVersion: tollgate.dev/v1alpha1\nkind: Prices\nmetadata: {{name: only}}\nspec:\n  currency: USD\n  perTokens: \
         1000000\n  replace: true\n  prices:\n{rows}"
    )
}

const KNOWN: &str = "{provider: openai, model: known, input: 1, output: 10}";
const SPEND: &str = "{name: spend, unit: cost, budget: 100 USD, window: month}";
const REQUESTS: &str = "{name: requests, unit: requests, rate: 9/hour}";
/// The balances of these limits, untouched.
const UNTOUCHED: [i64; 2] = [100_000_000_000, 9];

/// 1,000 tokens in and 100 out: 0.002 USD at the price of `known`.
fn script() -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 100, ..Script::default() }
}

/// The usual rig with these prices and this policy; limits on money and requests on the routes to OpenAI.
fn rig(prices: &str, unknown_model: &str) -> Rig {
    let policies = prices.to_owned() + &limits("openai", &[SPEND, REQUESTS]);
    Rig::start_with(script(), &manifests(&policies), &quiet(unknown_model))
}

fn quiet(unknown_model: &str) -> String {
    settings(&format!(
        "  records: {{to: none}}\n  workers: {{cores: 1, pin: false}}\n  timeouts: {{drain: 2s}}\n  prices: {{unknownModel: \
         {unknown_model}}}"
    ))
}

fn balances(rig: &Rig) -> [i64; 2] {
    rig.settled();
    [rig.balance(0), rig.balance(1)]
}

fn totals(rig: &Rig) -> Totals {
    let mut totals = Totals::default();
    rig.gateway().board.desks.iter().for_each(|desk| totals.add(&desk.counters));
    totals
}

/// Requests whose model had no price, by who was to be paid.
fn unpriced(rig: &Rig) -> Vec<(&'static str, u64)> {
    PAID.into_iter().zip(totals(rig).unpriced).filter(|(_, count)| *count > 0).collect()
}

#[test]
fn a_model_without_a_price_is_free_unless_the_operator_says_otherwise_and_is_counted() {
    let rig = rig(&only(&[KNOWN]), "free");
    let mut client = rig.client();
    for (model, spent, counted) in [("known", 2_000_000, 0), ("secret", 0, 1), ("known", 2_000_000, 1)] {
        let before = balances(&rig)[0];
        assert_eq!(client.ask("/openai", "", &chat(model, false)).status, 200);
        assert_eq!(before - balances(&rig)[0], spent, "{model}");
        let expected = if counted > 0 { vec![("openai", counted)] } else { vec![] };
        assert_eq!(unpriced(&rig), expected);
    }
    assert_eq!(totals(&rig).cost_nano_usd, 4_000_000);
}

#[test]
fn a_model_without_a_price_costs_the_default_and_is_counted_all_the_same() {
    let rig = rig(&only(&[KNOWN]), "{defaultPrice: {input: 3, output: 30}}");
    let mut client = rig.client();
    for (model, spent) in [("known", 2_000_000), ("secret", 6_000_000)] {
        let before = balances(&rig)[0];
        assert_eq!(client.ask("/openai", "", &chat(model, true)).status, 200);
        assert_eq!(before - balances(&rig)[0], spent, "{model}");
    }
    assert_eq!(unpriced(&rig), [("openai", 1)]);
}

#[test]
fn a_model_without_a_price_is_refused_before_anything_is_sent_or_charged() {
    let rig = rig(&only(&[KNOWN]), "deny");
    let mut client = rig.client();
    let openai = client.ask("/openai", "", &chat("secret", true));
    assert_eq!((openai.status, openai.header("content-type")), (403, Some("application/json")));
    let error = &openai.json()["error"];
    assert_eq!(error["type"], "invalid_request_error");
    assert_eq!([&error["param"], &error["code"]], ["model", "model_not_priced"]);
    let said = error["message"].as_str().expect("a message");
    assert!(said.contains("\"secret\" has no price at openai"), "{said}");

    let anthropic = client.ask("/cross", "", &message("secret", false));
    assert_eq!(anthropic.status, 403);
    assert_eq!(anthropic.json()["type"], "error");
    assert_eq!(anthropic.json()["error"]["type"], "permission_error");

    let nameless = client.ask("/openai", "", r#"{"messages":[{"role":"user","content":"hi"}]}"#);
    assert_eq!(nameless.status, 403, "{}", nameless.text());
    assert!(nameless.text().contains("names no model"), "{}", nameless.text());

    assert_eq!(rig.simulator.ledger().requests, 0, "nothing was sent");
    assert_eq!(balances(&rig), UNTOUCHED, "nothing was charged");
    assert_eq!(unpriced(&rig), [("openai", 3)]);
    assert_eq!(totals(&rig).outcomes[Outcome::Refused as usize], 3);
    // The connection goes on, and so do models that have a price and hosts that have no models.
    assert_eq!(client.ask("/openai", "", &chat("known", false)).status, 200);
    assert_eq!(client.ask("/plain/echo", "", &chat("secret", false)).status, 200);
    assert_eq!(unpriced(&rig), [("openai", 3)]);
}

/// The policy looks at what the provider would be asked for.
#[test]
fn a_backends_own_model_is_what_counts() {
    for (own, status) in [("known", 200), ("secret", 403)] {
        let with_model = manifests(&(only(&[KNOWN]) + &limits("openai", &[SPEND])))
            .replace("openai: {authToken", &format!("openai: {{model: {own}, authToken"));
        let rig = Rig::start_with(script(), &with_model, &quiet("deny"));
        for asked in ["known", "secret"] {
            assert_eq!(rig.client().ask("/openai", "", &chat(asked, false)).status, status, "{own}, {asked}");
        }
        rig.settled();
        let spent = if own == "known" { 2 * 2_000_000 } else { 0 };
        assert_eq!(rig.balance(0), UNTOUCHED[0] - spent, "{own}");
    }
}

/// By the estimate a short request falls in one tier, by what is reported in another: each is priced by its own.
#[test]
fn reservations_are_priced_by_the_tier_of_the_estimate_and_settled_by_the_real_one() {
    // (price of short, price of long) per million tokens of either kind; input as reported; what is reserved, what settled.
    let free = |price: &str| price == "0";
    for (short, long, reported) in [("0", "7", 5), ("7", "0", 1_000), ("7", "0", 5), ("0", "7", 1_000)] {
        let row = format!(
            "{{provider: openai, model: known, input: {short}, output: {short}, tiers: [{{above: 100, input: {long}, output: \
             {long}}}]}}"
        );
        let policies = only(&[&row]) + &limits("openai", &[SPEND]);
        let script = Script { input_tokens: Count::Fixed(reported), output_tokens: 100, ..Script::default() };
        let rig = Rig::start_with(script, &manifests(&policies), &quiet("free"));
        let text = "How long is a minute? ".repeat(200); // some 1,000 tokens: a long one
        let long_one = chat("known", false).replace("How long is a minute?", &text);
        assert_eq!(rig.client().ask("/openai", "", &long_one).status, 200);
        rig.settled();
        let in_force = rig.gateway().board.in_force();
        let reserved: u64 = in_force.limit_counters.iter().map(|worker| worker[0].reserved.get()).sum();
        assert_eq!(reserved == 0, free(long), "{short} {long} {reported}");
        let rate = if reported > 100 { long } else { short };
        let nano = (reported as i64 + 100) * 1_000 * rate.parse::<i64>().expect("a number");
        assert_eq!(UNTOUCHED[0] - rig.balance(0), nano, "{short} {long} {reported}");
    }
}

/// All of a stream is reserved by one tier: what is topped up has no input of its own.
#[test]
fn a_long_request_tops_up_by_the_price_of_its_tier() {
    let row =
        "{provider: openai, model: known, input: 0, output: 0, tiers: [{above: 100, input: 0, output: 7}]}";
    // Streams that may be cut are looked at in small parts, so that there is something to top up.
    let spend = SPEND.replace('}', ", onExhausted: cut}");
    let policies = only(&[row]) + &limits("openai", &[&spend]);
    let script = Script {
        input_tokens: Count::Fixed(1_000),
        output_tokens: 5_000,
        chunks: 50,
        chunk_bytes: 400,
        ..Script::default()
    };
    let rig = Rig::start_with(script, &manifests(&policies), &quiet("free"));
    let text = "How long is a minute? ".repeat(200);
    let body = chat("known", true).replace("How long is a minute?", &text);
    assert_eq!(rig.client().ask("/openai", "", &body).status, 200);
    rig.settled();
    let in_force = rig.gateway().board.in_force();
    let reserved: u64 = in_force.limit_counters.iter().map(|worker| worker[0].reserved.get()).sum();
    let chunk = 256 * 7_000;
    assert!(reserved > chunk, "{reserved} is no more than the first chunk's {chunk}");
    assert_eq!(UNTOUCHED[0] - rig.balance(0), 5_000 * 7_000);
}

// === what providers report ===

/// A provider that answers every request with this JSON.
fn answering(json: &'static str) -> SocketAddr {
    provider(move |_, mut stream| {
        while read_request(&mut stream).is_some() {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                json.len()
            );
            if stream.write_all((head + json).as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// The usual routes to providers that are all at `provider`, by the built-in prices and these policies.
fn rig_at(provider: SocketAddr, manifests: &str, hosts: &[&str]) -> Rig {
    let overrides = Overrides {
        hosts: hosts.iter().map(|host| ((*host).to_owned(), format!("http://{provider}"))).collect(),
        listeners: vec![(8080, "127.0.0.1:0".to_owned())],
        admin: Some("none".to_owned()),
        ..Overrides::default()
    };
    let gateway = gateway(&[("manifests.yaml", manifests), ("settings.yaml", &quiet("free"))], overrides);
    let address = gateway.addresses[0];
    Rig {
        simulator: Simulator::start(script()).expect("the simulator starts"),
        gateway: Some(gateway),
        address,
    }
}

/// What one answer cost: the model that is asked for, the answer.
fn cost_of(path: &str, model: &str, answer: &'static str) -> (Money, Vec<(&'static str, u64)>) {
    let hosts = ["api.anthropic.com", "api.openai.com", "plain.example"];
    let rig = rig_at(answering(answer), &manifests(""), &hosts);
    let body = if path == "/messages" { message(model, false) } else { chat(model, false) };
    assert_eq!(rig.client().ask(path, "", &body).status, 200);
    rig.settled();
    let nano = i64::try_from(totals(&rig).cost_nano_usd).expect("a small amount");
    (Money(nano), unpriced(&rig))
}

#[test]
fn every_kind_of_token_is_read_and_priced() {
    let chat_answer = r#"{"model":"gpt-audio-2025-08-28","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":1000,"completion_tokens":500,"total_tokens":1500,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":400},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":300}}}"#;
    // 600 x 2.50 + 400 x 32 + 200 x 10 + 300 x 64
    assert_eq!(cost_of("/openai", "gpt-audio", chat_answer), (Money(35_500_000), vec![]));
    let message_answer = r#"{"id":"m","type":"message","role":"assistant","model":"claude-opus-4-5-20251101","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":100,"cache_read_input_tokens":1000,"cache_creation_input_tokens":3000,"cache_creation":{"ephemeral_5m_input_tokens":2000,"ephemeral_1h_input_tokens":1000},"output_tokens":10}}"#;
    // 100 x 5 + 1000 x 0.50 + 2000 x 6.25 + 1000 x 10 + 10 x 25
    assert_eq!(cost_of("/messages", "claude-opus-4-5", message_answer), (Money(23_750_000), vec![]));
}

#[test]
fn the_model_that_was_used_has_the_price_else_the_one_that_was_asked_for() {
    let used = r#"{"model":"gpt-4o-2024-05-13","choices":[{"index":0,"finish_reason":"stop","message":{"content":"hi"}}],"usage":{"prompt_tokens":1000,"completion_tokens":0}}"#;
    let house = r#"{"model":"house-name","choices":[{"index":0,"finish_reason":"stop","message":{"content":"hi"}}],"usage":{"prompt_tokens":1000,"completion_tokens":0}}"#;
    for (asked, answer, nano, counted) in [
        ("gpt-4o", used, 5_000_000, vec![]),
        ("an-alias", used, 5_000_000, vec![]),
        ("gpt-4o", house, 2_500_000, vec![]),
        ("an-alias", house, 0, vec![("openai", 1)]),
    ] {
        assert_eq!(cost_of("/openai", asked, answer), (Money(nano), counted), "{asked}");
    }
}

/// The same model costs what the host asks that serves it; a host of one's own, what OpenAI asks.
#[test]
fn a_host_that_is_known_has_prices_of_its_own() {
    let answer = r#"{"model":"openai/gpt-oss-120b","choices":[{"index":0,"finish_reason":"stop","message":{"content":"hi"}}],"usage":{"prompt_tokens":1000,"completion_tokens":1000}}"#;
    for (host, nano, counted) in [
        ("api.groq.com", 750_000, vec![]),
        ("api.mistral.ai", 0, vec![("mistral", 1)]),
        ("llm.internal", 0, vec![("openai", 1)]),
    ] {
        let elsewhere = manifests("")
            .replace("openai: {authToken", &format!("host: {host}, port: 443, openai: {{authToken"));
        let hosts = ["api.anthropic.com", host, "plain.example"];
        let rig = rig_at(answering(answer), &elsewhere, &hosts);
        assert_eq!(rig.client().ask("/openai", "", &chat("openai/gpt-oss-120b", false)).status, 200);
        rig.settled();
        assert_eq!(totals(&rig).cost_nano_usd, nano, "{host}");
        assert_eq!(unpriced(&rig), counted, "{host}");
    }
}

// === what operators are told ===

#[test]
fn check_tells_the_prices_in_force_and_the_model_that_has_none() {
    let here = directory("prices-check");
    let spend = limits("openai", &[SPEND]);
    let text = manifests(&spend).replace("openai: {authToken", "openai: {model: secret, authToken");
    let text = text.replace("anthropic: {authToken", "anthropic: {model: claude-sonnet-4-5, authToken");
    std::fs::write(here.join("1.yaml"), text).expect("a file");
    let checked = ended(&mut tollgate(&["check", here.to_str().expect("UTF-8")]));
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let prices: Vec<&str> = checked.stdout.lines().filter(|line| line.starts_with("price")).collect();
    assert_eq!(
        prices,
        [
            "price of claude-sonnet-4-5 at anthropic: 3.00 input, 0.30 cached, 3.75 cache write, 6.00 cache write for 1 h, 15.00 \
             output; above 200000 tokens of input 6.00 input, 0.60 cached, 7.50 cache write, 12.00 cache write for 1 h, 22.50 \
             output; USD per million (built in, as of 2026-10-24, https://platform.claude.com/docs/en/about-claude/pricing)",
            "price of secret at openai: none; models without a price cost nothing",
        ]
    );
    let warning = "Backend llm/openai asks for \"secret\", which has no price at openai: it counts nothing for limit llm/test/spend";
    assert!(checked.stderr.contains(warning), "{}", checked.stderr);
}

#[test]
fn a_model_without_a_price_is_told_of_once_and_stands_in_the_records() {
    let simulator = Simulator::start(script()).expect("a simulator");
    let here = directory("prices-run");
    std::fs::write(here.join("1.yaml"), manifests("")).expect("a file");
    let (mut process, address) = Process::serve_folder(&here, simulator.addr());
    let mut client = Client::connect(address);
    for model in ["secret", "gpt-4o", "secret", "other", "secret"] {
        let answer: Answer = client.ask("/openai", "", &chat(model, false));
        assert_eq!(answer.status, 200);
    }
    process.says("the model \"other\" has no price at openai (Backend llm/openai) and counts no money");
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.stderr.matches("the model \"secret\" has no price").count(), 1, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("has no price").count(), 2, "{}", ended.stderr);
    let prices: Vec<String> = ended
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["price"].to_string())
        .collect();
    assert_eq!(prices, [r#""unknown""#, r#""listed""#, r#""unknown""#, r#""unknown""#, r#""unknown""#]);
}
