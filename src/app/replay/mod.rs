//! `tollgate replay`: lets the requests of access records pass a configuration's limits, and says who would have been
//! refused, and when.
//!
//! * `past` reads records; `course` asks the limits for each in its turn, with the books that workers have and on the
//!   records' own clock; `asker` finds the values of keys in a record; `tally` is what came of it.
//!
//! What a replay cannot know is said where it matters: what requests that were refused would have used (as much as the
//! others of their route and model), a client's `max_tokens`, headers that records were not told to hold, and that clients
//! which are refused come again.

mod asker;
mod course;
mod past;
mod tally;

use super::cli::Replay;
use super::screen::{show, tell};
use super::{EXIT_UNUSABLE, files};
use course::Course;
use past::Log;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::Path;
use std::process::ExitCode;
use tally::Refusal;

/// Reads the logs, replays them, and shows what came of it.
pub fn replay(wanted: &Replay) -> ExitCode {
    let snapshot = match files::load(&wanted.options) {
        Ok(snapshot) => snapshot,
        Err(faults) => {
            tell(faults);
            return ExitCode::from(EXIT_UNUSABLE);
        }
    };
    let mut log = Log::default();
    for path in &wanted.logs {
        if let Err(error) = read(path, &mut log) {
            tell(format_args!("tollgate: {}: {error}", path.display()));
            return ExitCode::from(EXIT_UNUSABLE);
        }
    }
    if log.records.is_empty() && log.unread > 0 {
        let (number, why) = log.first_unread.clone().unwrap_or_default();
        tell(format_args!("tollgate: there is no access record in it; line {number}: {why}"));
        return ExitCode::from(EXIT_UNUSABLE);
    }
    let mut course = Course::new(&snapshot);
    course.run(&log.records, &mut |refusal: &Refusal<'_>| {
        if wanted.json {
            show(refusal.json());
        }
    });
    match wanted.json {
        true => show(course.tally.json(&log)),
        false => show(course.tally.table(&log)),
    }
    ExitCode::SUCCESS
}

/// Reads the log at `path`; `-` is standard input.
fn read(path: &Path, log: &mut Log) -> io::Result<()> {
    match path.as_os_str() == "-" {
        true => log.read(io::stdin().lock()),
        false => log.read(BufReader::new(File::open(path)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::past::tests::record;
    use super::*;
    use crate::config::{self, Overrides, Snapshot, Source};
    use serde_json::{Value, json};

    fn snapshot(limits: &str, settings: &str) -> Snapshot {
        let text = format!(
            "apiVersion: v1\nkind: Secret\nmetadata: {{name: keys, namespace: llm}}\nstringData: {{Authorization: sk}}\n---\n\
             apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: llm}}\nspec:\n  \
             gatewayClassName: agentgateway\n  listeners: [{{name: http, protocol: HTTP, port: 8080}}]\n---\n\
             apiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: openai, namespace: llm}}\nspec:\n  \
             type: AI\n  ai: {{llm: {{openai: {{authToken: {{kind: SecretRef, secretRef: {{name: keys}}}}}}}}}}\n---\n\
             apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: chat, namespace: llm}}\nspec:\n  \
             parentRefs: [{{name: edge}}]\n  rules:\n  - backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: openai}}]\n---\n\
             apiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {{name: p, namespace: llm}}\nspec:\n  \
             targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: chat}}]\n  limits:\n{limits}---\n\
             apiVersion: tollgate.dev/v1alpha1\nkind: Settings\nmetadata: {{name: s}}\nspec: {settings}\n"
        );
        let source = Source { name: "c.yaml", text: &text };
        config::load(&[source], &|_| None, &Overrides::default()).unwrap_or_else(|faults| panic!("{faults}"))
    }

    /// The lines of `-o json`: refusals, then the whole.
    fn replayed(limits: &str, records: &[String]) -> (Vec<Value>, Value) {
        let snapshot = snapshot(limits, "{prices: {unknownModel: {defaultPrice: {input: 1, output: 2}}}}");
        let mut log = Log::default();
        log.read(records.concat().as_bytes()).expect("it is read");
        let mut course = Course::new(&snapshot);
        let mut refusals = Vec::new();
        course.run(&log.records, &mut |refusal| refusals.push(refusal.json()));
        let parse = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
        let whole = parse(&course.tally.json(&log));
        assert!(course.tally.table(&log).contains("requests"), "it can be shown");
        (refusals.iter().map(|line| parse(line)).collect(), whole)
    }

    fn seconds(refusals: &[Value]) -> Vec<u64> {
        let second = |refusal: &Value| refusal["time"].as_str()?.get(17..19)?.parse().ok();
        refusals.iter().map(|refusal| second(refusal).unwrap_or_else(|| panic!("{refusal}"))).collect()
    }

    #[test]
    fn a_bucket_refuses_what_comes_too_soon_and_fills_by_the_clock_of_the_records() {
        let records: Vec<_> = [0, 1, 2, 9, 10, 11, 40].map(|second| record(second, &[])).into();
        let (refusals, whole) =
            replayed("  - {name: r, unit: requests, rate: 6/minute, burst: 1}\n", &records);
        assert_eq!(seconds(&refusals), [1, 2, 9, 11]);
        assert_eq!(refusals[1]["retry_after_ms"], 8000);
        assert_eq!((&whole["now"]["admitted"], &whole["now"]["refused"]), (&json!(3), &json!(4)));
        assert_eq!(whole["limits"][0]["first"], "2026-01-02T03:00:01.000Z");
    }

    #[test]
    fn tokens_that_were_used_are_what_is_spent_and_overspending_is_debt() {
        // 150 tokens each; the reservation of the first is 100 + 1024.
        let records: Vec<_> = (0..10).map(|second| record(second, &[])).collect();
        let (refusals, whole) =
            replayed("  - {name: t, unit: tokens, budget: 1124, window: hour}\n", &records);
        // Until less is known an answer is reserved at 1,024 tokens, so only a full budget admits.
        assert_eq!(seconds(&refusals), (1..10).collect::<Vec<_>>());
        assert_eq!(whole["limits"][0]["spent"], 150);
        let streams: Vec<_> = (0..10).map(|second| record(second, &[("streamed", true.into())])).collect();
        let (refusals, whole) =
            replayed("  - {name: t, unit: tokens, budget: 1124, window: hour}\n", &streams);
        assert_eq!(whole["limits"][0]["spent"], 150 * (10 - refusals.len()));
        assert!(
            refusals.len() < 9 && !refusals.is_empty(),
            "a stream needs a chunk to begin with: {refusals:?}"
        );
    }

    #[test]
    fn keys_are_told_apart_as_far_as_records_hold_them() {
        let of = |second, key: &str, team: &str| {
            record(second, &[("key", key.into()), ("headers", json!({"x-team": team}))])
        };
        let records = [
            of(0, "aaaaaaaa", "red"),
            of(1, "bbbbbbbb", "red"),
            of(2, "aaaaaaaa", "blue"),
            of(3, "aaaaaaaa", "red"),
        ];
        let by =
            |key: &str| format!("  - {{name: r, unit: requests, budget: 1, window: hour, key: {key}}}\n");
        for (key, expected) in [
            ("{apiKey: {}}", vec![(2, "sha256:aaaaaaaa"), (3, "sha256:aaaaaaaa")]),
            ("{header: x-team}", vec![(1, "red"), (3, "red")]),
            ("{apiKey: {}, header: x-team}", vec![(3, "sha256:aaaaaaaa red")]),
            ("{model: {}}", vec![(1, "gpt-5"), (2, "gpt-5"), (3, "gpt-5")]),
            (
                "{source: {}, route: {}}",
                vec![(1, "10.0.0.7 llm/chat"), (2, "10.0.0.7 llm/chat"), (3, "10.0.0.7 llm/chat")],
            ),
            ("{header: x-other}", vec![]),
            ("{claim: sub}", vec![]),
        ] {
            let (refusals, whole) = replayed(&by(key), &records);
            let labels = refusals.iter().map(|refusal| refusal["key"].as_str().unwrap_or_default());
            let seen: Vec<_> = seconds(&refusals).into_iter().zip(labels).collect();
            assert_eq!(seen, expected, "{key}");
            let unknown = expected.is_empty();
            assert_eq!(whole["limits"][0]["not_judged"], if unknown { 4 } else { 0 }, "{key}");
            assert_eq!(whole["limits"][0]["why"].is_string(), unknown, "{key}");
        }
    }

    #[test]
    fn a_key_with_a_measure_of_its_own_is_known_by_the_start_of_its_hash() {
        // FIPS 180-2 appendix B.1: SHA-256 of "abc" begins with ba7816bf.
        let limit = "  - {name: r, unit: requests, budget: 1, window: hour, key: {apiKey: {}}, overrides: [{key: {apiKey: abc}, \
                     budget: 3}]}\n";
        let records: Vec<_> = (0..5).map(|second| record(second, &[])).collect();
        assert_eq!(seconds(&replayed(limit, &records).0), [3, 4]);
    }

    #[test]
    fn what_was_refused_then_counts_as_the_others_of_its_route_and_model() {
        let refused = [
            ("outcome", json!("refused")),
            ("attempts", json!(0)),
            ("limits", json!([{"admitted": false}])),
            (
                "usage",
                json!({"source": "none", "input": 0,
            "cached_input": 0, "cache_write": 0, "output": 0, "reasoning": 0}),
            ),
        ];
        let records = [record(0, &[]), record(1, &refused), record(2, &refused)];
        let (refusals, whole) =
            replayed("  - {name: t, unit: tokens, budget: 100000, window: hour}\n", &records);
        assert!(refusals.is_empty());
        assert_eq!((&whole["limits"][0]["spent"], &whole["now"]["newly_admitted"]), (&json!(450), &json!(2)));
        // 100 of input at 1 USD per million, 50 of output at 2.
        assert_eq!(whole["now"]["cost_nano_usd"], 3 * 200_000);
    }

    #[test]
    fn what_is_under_way_makes_room_when_it_ends() {
        let long = |second| record(second, &[("duration_us", 5_000_000.into())]);
        let records = [long(0), long(1), long(5), long(6), long(11)];
        let (refusals, _) = replayed("  - {name: c, unit: concurrency, max: 1}\n", &records);
        assert_eq!(seconds(&refusals), [1, 6]);
    }

    #[test]
    fn a_stream_is_cut_where_the_limit_ends_it() {
        let stream = |second| {
            record(
                second,
                &[
                    ("streamed", true.into()),
                    ("duration_us", 1_000_000.into()),
                    (
                        "usage",
                        json!({"source": "reported", "input": 0, "cached_input": 0, "cache_write": 0, "output": 10_000, "reasoning": 0}),
                    ),
                ],
            )
        };
        let limit = "  - {name: t, unit: tokens, budget: 2000, window: day, onExhausted: cut}\n";
        let (refusals, whole) = replayed(limit, &[stream(0), stream(5)]);
        // Streams reserve 256 tokens at a time; the eighth time the budget is short of them, and so it is for the next.
        assert_eq!((&whole["limits"][0]["spent"], &whole["now"]["cut"]), (&json!(7 * 256), &json!(1)));
        assert_eq!(seconds(&refusals), [5]);
    }

    #[test]
    fn what_a_host_says_beyond_belief_comes_to_an_end() {
        let stream = |second| {
            let usage = json!({"source": "reported", "input": u64::MAX, "cached_input": 0, "cache_write": 0,
                "output": u64::MAX, "reasoning": 0});
            record(second, &[("streamed", true.into()), ("usage", usage)])
        };
        let limit = "  - {name: t, unit: tokens, budget: 2000, window: day}\n";
        let (refusals, whole) = replayed(limit, &[stream(0), stream(5), stream(9)]);
        assert_eq!((seconds(&refusals), &whole["now"]["admitted"]), (vec![5, 9], &json!(1)));
    }

    #[test]
    fn rules_that_are_no_more_are_counted() {
        let (_, whole) =
            replayed("  - {name: r, unit: requests, rate: 6/minute}\n", &[record(0, &[("rule", 7.into())])]);
        assert_eq!((&whole["unrouted"], &whole["now"]["admitted"]), (&json!(1), &json!(0)));
    }
}
