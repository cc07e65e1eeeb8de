//! What embeddings cost: limits in tokens and money, answers without usage, broken ones, compressed ones, other attempts.

use super::*;
use support::limits;
use tollgate::telemetry::Outcome;
use tollgate::telemetry::counters::LOSSES;
use tollgate_loadtest::coding::Coding;
use tollgate_loadtest::{Ending, Framing};

const BODY: &str = r#"{"model":"m","input":"How long is a minute?"}"#;

/// The estimate of [`BODY`]: four bytes are a token.
const ESTIMATE: u64 = 21_u64.div_ceil(4);

fn embed(rig: &Rig, host: Embedder) -> Answer {
    rig.client().ask(&host.path("/v1/embeddings"), "", BODY)
}

#[test]
fn usage_that_never_comes_is_counted_and_told() {
    for host in EMBEDDERS {
        let rig = rig(Script { fault: Fault::NoUsage, ..script() }, "");
        let answer = embed(&rig, host);
        let settled = rig.settled();
        assert_eq!((answer.status, settled.counted, settled.input), (200, 1, ESTIMATE), "{}", host.name);
        if host.name != "openai" {
            assert_eq!(answer.json()["usage"]["prompt_tokens"], ESTIMATE, "what is settled is what is told");
        }
    }
}

#[test]
fn tokens_of_every_provider_are_limited() {
    for host in EMBEDDERS {
        let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 1500}";
        let rig = rig(script(), &limits(&format!("to-{}", host.name), &[limit]));
        assert_eq!(embed(&rig, host).status, 200, "{}", host.name);
        rig.assert_ledgers_agree();
        assert_eq!(rig.balance(0), 500, "{}", host.name);
        assert_eq!(embed(&rig, host).status, 200, "{}", host.name);
        rig.assert_ledgers_agree();
        assert_eq!(rig.balance(0), -500, "what was used beyond is debt");
        let refused = embed(&rig, host);
        assert_eq!(refused.status, 429, "{}", host.name);
        assert_eq!(refused.json()["error"]["type"], "tokens", "{}", refused.text());
        assert!(refused.header("retry-after").is_some());
    }
}

#[test]
fn money_is_counted_by_the_prices_of_embeddings() {
    // A thousand tokens at 0.02 USD per million, and where a list of one's own says so.
    let prices = "---\napiVersion: tollgate.dev/v1alpha1\nkind: Prices\nmetadata: {name: own}\nspec:\n  currency: USD\n  \
                  perTokens: 1000000\n  prices:\n  - {provider: bedrock, model: \"amazon.titan-embed-text-v1*\", input: \"0.50\", \
                  output: \"0\"}\n";
    for (name, nano_usd) in [("openai", 20_000), ("gemini", 150_000), ("titan1", 500_000)] {
        let limit = "{name: spend, unit: cost, budget: 1 USD, window: month}";
        let rig = rig(script(), &(prices.to_owned() + &limits(&format!("to-{name}"), &[limit])));
        assert_eq!(embed(&rig, embedder(name)).status, 200);
        rig.assert_ledgers_agree();
        assert_eq!(rig.balance(0), 1_000_000_000 - nano_usd, "{name}");
    }
}

#[test]
fn answers_that_break_off_cost_the_estimated_input_and_are_no_answers() {
    for host in foreign() {
        for fault in [Fault::Truncate(Ending::Fin), Fault::GarbageJson] {
            let rig = rig(Script { fault, ..script() }, "");
            let answer = embed(&rig, host);
            let settled = rig.settled();
            assert_eq!(answer.status, 502, "{} {fault:?}: {}", host.name, answer.text());
            assert!(answer.json()["error"]["message"].is_string(), "{}", answer.text());
            // Bedrock has said in its head what the input was, and a prediction before its numbers.
            let is_told =
                matches!(fault, Fault::Truncate(_)) && (host.fields == BEDROCK || host.name == "vertex");
            let input = if is_told { 1_000 } else { ESTIMATE };
            assert_eq!((settled.counted, settled.input), (1, input), "{} {fault:?}", host.name);
        }
    }
}

#[test]
fn answers_are_read_however_they_are_framed_and_compressed() {
    for host in EMBEDDERS {
        let rig = rig(script(), "");
        let plain = squeezed(&embed(&rig, host));
        for framing in [Framing::ContentLength, Framing::Chunked, Framing::CloseDelimited] {
            for coding in [vec![], vec![Coding::Gzip], vec![Coding::Brotli], vec![Coding::Zstd, Coding::Gzip]]
            {
                let what = format!("{} {framing:?} {coding:?}", host.name);
                rig.simulator.set_script(Script { framing, coding, ..script() });
                let answer = embed(&rig, host);
                assert_eq!((answer.status, answer.complete), (200, true), "{what}");
                assert_eq!(
                    (squeezed(&answer), answer.header("content-encoding")),
                    (plain.clone(), None),
                    "{what}"
                );
            }
        }
        assert_eq!(rig.assert_ledgers_agree().completed, 13, "{}", host.name);
        assert_eq!((rig.settled().counted, rig.ended(Outcome::Completed)), (0, 13), "{}", host.name);
    }
}

#[test]
fn what_cannot_be_said_is_counted_and_refused_on_a_strict_route() {
    let body =
        json!({"model": "m", "input": "a", "user": "u", "input_type": "query", "extra": 1}).to_string();
    let strict = ", annotations: {tollgate.dev/translation: strict}";
    for (annotations, status, requests) in [("", 200, 1), (strict, 400, 0)] {
        let llm = format!("llm: {{{}}}", embedder("titan").llm());
        let rig = rig(script(), &backend("it", &llm, annotations));
        let answer = rig.client().ask("/to-it/v1/embeddings", "", &body);
        assert_eq!((answer.status, rig.simulator.ledger().requests), (status, requests), "{}", answer.text());
        if status == 400 {
            assert!(answer.text().contains("unknown, user, task_type"), "{}", answer.text());
        }
        rig.settled();
        let counted = LOSSES.into_iter().zip(rig.totals().lost.0).filter(|(_, count)| *count > 0);
        assert_eq!(counted.collect::<Vec<_>>(), [("task_type", 1), ("unknown", 1), ("user", 1)]);
    }
}

#[test]
fn the_next_provider_embeds_when_one_fails() {
    let [first, second] = [embedder("openai"), embedder("vertex")]
        .map(|host| format!("{{name: {}, {}}}", host.name, host.llm()));
    let groups = format!("priorityGroups: [{{providers: [{first}]}}, {{providers: [{second}]}}]");
    let fails = Script { fault: Fault::Status(503), fault_times: 1, ..script() };
    let rig = rig(fails, &backend("either", &groups, ""));
    let answer = rig.client().ask("/to-either/v1/embeddings", "", r#"{"model":"m","input":["a","b"]}"#);
    assert_eq!((answer.status, &answer.json()["data"][1]["index"]), (200, &json!(1)), "{}", answer.text());
    assert_eq!(seen(&rig).target, embedder("vertex").target);
    rig.assert_ledgers_agree();
}
