//! What is exported, read back by a strict reader of the text exposition format.

use super::*;
use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

/// One family as read: its type, and its samples by name and labels as they stand in the document.
#[derive(Debug, Default)]
struct ReadFamily {
    kind: String,
    samples: BTreeMap<String, f64>,
}

type ReadLabels = Vec<(String, String)>;

/// Reads a document and holds it to the format: HELP, then TYPE, once per family; samples behind them and
/// nowhere else, each once; names, labels and escapes as the grammar says; histograms complete.
fn read(document: &str) -> Result<BTreeMap<String, ReadFamily>, String> {
    let mut families: BTreeMap<String, ReadFamily> = BTreeMap::new();
    let mut current = String::new();
    let mut has_type = true;
    if !document.ends_with('\n') {
        return Err("the last line has no end".into());
    }
    for line in document.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, _) = help.split_once(' ').ok_or("HELP without text")?;
            if !has_type
                || !is_name(name, true)
                || families.insert(name.into(), ReadFamily::default()).is_some()
            {
                return Err(line.into());
            }
            (current, has_type) = (name.into(), false);
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').ok_or("TYPE without a type")?;
            if has_type || name != current || !["counter", "gauge", "histogram"].contains(&kind) {
                return Err(line.into());
            }
            families.entry(current.clone()).or_default().kind = kind.into();
            has_type = true;
        } else {
            let family =
                families.get_mut(&current).filter(|_| has_type).ok_or("a sample without a family")?;
            read_sample(line, &current, family)?;
        }
    }
    families.values().filter(|family| family.kind == "histogram").try_for_each(check_histogram)?;
    Ok(families)
}

fn read_sample(line: &str, family_name: &str, family: &mut ReadFamily) -> Result<(), String> {
    let fault = |what: &str| format!("{what}: {line}");
    let (series, value) = line.rsplit_once(' ').ok_or(fault("no value"))?;
    let value: f64 = value.parse().map_err(|_| fault("not a number"))?;
    let name = series.split('{').next().unwrap_or_default();
    let suffixes: &[&str] = if family.kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
    if !is_name(name, true) || !suffixes.iter().any(|suffix| name == format!("{family_name}{suffix}")) {
        return Err(fault("not a name of this family"));
    }
    let labels = read_labels(&series[name.len()..]).map_err(|what| fault(&what))?;
    if labels.iter().map(|(name, _)| name).collect::<HashSet<_>>().len() != labels.len() {
        return Err(fault("a label twice"));
    }
    match family.samples.insert(series.into(), value) {
        Some(_) => Err(fault("a series twice")),
        None if family.kind == "counter" && !family_name.ends_with("_total") => Err(fault("not _total")),
        None => Ok(()),
    }
}

/// `{name="value",...}` or nothing.
fn read_labels(text: &str) -> Result<ReadLabels, String> {
    let mut labels = Vec::new();
    if text.is_empty() {
        return Ok(labels);
    }
    let mut rest = text.strip_prefix('{').ok_or("no {")?;
    loop {
        let (name, after) = rest.split_once("=\"").ok_or("no value of a label")?;
        if !is_name(name, false) {
            return Err(format!("label {name}"));
        }
        let (mut value, mut chars) = (String::new(), after.chars());
        loop {
            match chars.next().ok_or("a value without end")? {
                '"' => break,
                '\\' => match chars.next() {
                    Some(escaped @ ('\\' | '"')) => value.push(escaped),
                    Some('n') => value.push('\n'),
                    other => return Err(format!("escape {other:?}")),
                },
                plain => value.push(plain),
            }
        }
        labels.push((name.to_owned(), value));
        rest = chars.as_str();
        match rest.strip_prefix(',') {
            Some(more) => rest = more,
            None if rest == "}" => return Ok(labels),
            None => return Err(format!("after labels: {rest}")),
        }
    }
}

fn is_name(text: &str, colon: bool) -> bool {
    let plain = |c: char| c.is_ascii_alphabetic() || c == '_' || (colon && c == ':');
    text.starts_with(plain) && text.chars().all(|c| plain(c) || c.is_ascii_digit())
}

/// Buckets ascend in bound and count, the last is +Inf and equals the count; a sum is there.
fn check_histogram(family: &ReadFamily) -> Result<(), String> {
    let mut sets: BTreeMap<ReadLabels, Vec<(f64, f64)>> = BTreeMap::new();
    let mut totals: BTreeMap<ReadLabels, (bool, Option<f64>)> = BTreeMap::new();
    for (series, value) in &family.samples {
        let (name, labels) = series.split_at(series.find('{').unwrap_or(series.len()));
        let mut labels = read_labels(labels)?;
        let bound = labels.iter().position(|(name, _)| name == "le").map(|place| labels.remove(place).1);
        match bound {
            Some(bound) => {
                let bound = bound.parse().map_err(|_| "a bound that is no number")?;
                sets.entry(labels).or_default().push((bound, *value));
            }
            None if name.ends_with("_sum") => totals.entry(labels).or_default().0 = true,
            None => totals.entry(labels).or_default().1 = Some(*value),
        }
    }
    for (labels, mut buckets) in sets {
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ascends = buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1);
        let last = buckets.last().copied();
        if !ascends || last.map(|last| last.0) != Some(f64::INFINITY) {
            return Err(format!("buckets of {labels:?}: {buckets:?}"));
        }
        if totals.remove(&labels) != Some((true, last.map(|last| last.1))) {
            return Err(format!("sum or count of {labels:?}"));
        }
    }
    if totals.is_empty() { Ok(()) } else { Err(format!("without buckets: {totals:?}")) }
}

fn shown(view: &View<'_>) -> BTreeMap<String, ReadFamily> {
    let mut out = Vec::new();
    render(view, &mut out);
    let document = String::from_utf8(out).expect("text");
    read(&document).unwrap_or_else(|fault| panic!("{fault}\n{document}"))
}

#[test]
fn what_is_shown_is_what_was_counted() {
    let workers = [Counters::default(), Counters::default()];
    for worker in &workers {
        worker.connections_open.add(3);
        worker.statuses.count(429);
        worker.outcomes.count(Outcome::Refused);
        worker.downstream_bytes_in.add(100);
        worker.count_usage(&UsageCounts { input: 10, output: 5, ..UsageCounts::default() }, 1_500);
        worker.unpriced.count(Payee::named("groq"));
    }
    let mut totals = Totals::default();
    workers.iter().for_each(|worker| totals.add(worker));

    let limit = LimitCounters::default();
    limit.admitted.add(7);
    limit.debt.set(9);
    let (mut first, second) = (LimitTotals::default(), LimitTotals::default());
    first.add(&limit);
    let mut latencies = Latencies::default();
    for ms in [5, 15, 15, 100_000] {
        latencies.request.record(Duration::from_millis(ms));
    }
    let families = shown(&View {
        version: "0.1.0",
        totals: &totals,
        generations: &[4, 3],
        limits: &[
            LimitSeries { rule: "ns/p/\"odd\\name\"", unit: "tokens", totals: &first },
            LimitSeries { rule: "ns/p/rpm", unit: "requests", totals: &second },
        ],
        estimates: &Estimates {
            inputs: [(
                "gpt".to_owned(),
                InputEstimate { bytes_per_1000_tokens: 4_200, samples: 3, error_permille_sum: 30 },
            )]
            .into(),
            outputs: [(
                ("ns/r".to_owned(), "gpt".to_owned()),
                OutputEstimate { p95: 77, expected: 20, covered: 19 },
            )]
            .into(),
        },
        keeping: Keeping { accounts: 5, crowded: 2, stored: true, records_lost: 3 },
        sources: &[
            SourceSeries { name: "https://a/keys", keys: 2, age_ms: Some(1_500), failures: 3 },
            SourceSeries { name: "file b", keys: 0, age_ms: None, failures: 1 },
        ],
        latencies: &[
            LatencySeries { labels: &[("gen_ai_system", "anthropic")], latencies: &latencies },
            LatencySeries { labels: &[("gen_ai_system", "openai")], latencies: &Latencies::default() },
        ],
    });

    for (series, value) in [
        (r#"tollgate_build_info{version="0.1.0"}"#, 1.0),
        (r#"tollgate_config_generation{worker="1"}"#, 3.0),
        ("tollgate_downstream_connections_open", 6.0),
        ("tollgate_downstream_received_bytes_total", 200.0),
        (r#"tollgate_requests_total{status="429"}"#, 2.0),
        (r#"tollgate_requests_total{status="200"}"#, 0.0),
        (r#"tollgate_exchanges_total{outcome="refused"}"#, 2.0),
        (r#"tollgate_tokens_total{kind="input"}"#, 20.0),
        (r#"tollgate_tokens_total{kind="output"}"#, 10.0),
        (r#"tollgate_price_unknown_total{provider="groq"}"#, 2.0),
        (r#"tollgate_price_unknown_total{provider="openai"}"#, 0.0),
        ("tollgate_cost_usd_total", 0.000_003),
        ("gen_ai_client_cost_usd_total", 0.000_003),
        (r#"tollgate_limit_admitted_total{rule="ns/p/\"odd\\name\"",unit="tokens"}"#, 7.0),
        (r#"tollgate_limit_debt{rule="ns/p/\"odd\\name\"",unit="tokens"}"#, 9.0),
        (r#"tollgate_limit_debt{rule="ns/p/rpm",unit="requests"}"#, 0.0),
        (r#"tollgate_limit_drift{rule="ns/p/rpm",unit="requests"}"#, 0.0),
        ("tollgate_accounts", 5.0),
        ("tollgate_accounts_crowded_total", 2.0),
        ("tollgate_store_healthy", 1.0),
        ("tollgate_records_lost_total", 3.0),
        (r#"tollgate_issuer_keys{source="https://a/keys"}"#, 2.0),
        (r#"tollgate_issuer_keys{source="file b"}"#, 0.0),
        (r#"tollgate_issuer_keys_age_seconds{source="https://a/keys"}"#, 1.5),
        (r#"tollgate_issuer_keys_failures_total{source="file b"}"#, 1.0),
        (r#"tollgate_estimate_input_bytes_per_1000_tokens{model="gpt"}"#, 4_200.0),
        (r#"tollgate_estimate_output_covered_total{route="ns/r",model="gpt"}"#, 19.0),
        (r#"gen_ai_client_token_usage_bucket{gen_ai_token_type="input",le="4"}"#, 0.0),
        (r#"gen_ai_client_token_usage_bucket{gen_ai_token_type="input",le="16"}"#, 2.0),
        (r#"gen_ai_client_token_usage_bucket{gen_ai_token_type="input",le="67108864"}"#, 2.0),
        (r#"gen_ai_client_token_usage_sum{gen_ai_token_type="input"}"#, 20.0),
        (r#"gen_ai_server_request_duration_bucket{gen_ai_system="anthropic",le="0.01"}"#, 1.0),
        (r#"gen_ai_server_request_duration_bucket{gen_ai_system="anthropic",le="0.02"}"#, 3.0),
        (r#"gen_ai_server_request_duration_bucket{gen_ai_system="anthropic",le="81.92"}"#, 3.0),
        (r#"gen_ai_server_request_duration_bucket{gen_ai_system="anthropic",le="+Inf"}"#, 4.0),
        (r#"gen_ai_server_request_duration_sum{gen_ai_system="anthropic"}"#, 100.035),
        (r#"gen_ai_server_request_duration_count{gen_ai_system="openai"}"#, 0.0),
        (r#"gen_ai_server_time_to_first_token_bucket{gen_ai_system="openai",le="7.5"}"#, 0.0),
    ] {
        let found = families.values().find_map(|family| family.samples.get(series));
        assert_eq!(found, Some(&value), "{series}");
    }
}

#[test]
fn every_family_is_ours_or_gen_ai_and_is_there_from_the_start() {
    let totals = Totals::default();
    let families = shown(&View {
        version: "",
        totals: &totals,
        generations: &[],
        limits: &[],
        estimates: &Estimates::default(),
        keeping: Keeping::default(),
        sources: &[],
        latencies: &[],
    });
    let ours = |name: &String| name.starts_with("tollgate_") || name.starts_with("gen_ai_");
    assert!(families.keys().all(ours));
    let listed = [Totals::SERIES.len(), LimitTotals::SERIES.len()];
    assert!(families.len() > listed.iter().sum::<usize>() - 5, "{} families", families.len());
}

#[test]
fn the_reader_is_strict() {
    let head = "# HELP a_total h\n# TYPE a_total counter\n";
    let histogram = "# HELP b h\n# TYPE b histogram\n";
    assert!(read(&format!("{head}a_total{{x=\"\\\\ \\\" \\n\"}} 1\n")).is_ok());
    assert!(read(&format!("{histogram}b_bucket{{le=\"+Inf\"}} 1\nb_sum 1\nb_count 1\n")).is_ok());
    for bad in [
        "a_total 1\n".to_owned(),
        "# TYPE a_total counter\na_total 1\n".to_owned(),
        format!("{head}{head}"),
        format!("{head}a_total 1"),
        format!("{head}a_total one\n"),
        format!("{head}b_total 1\n"),
        format!("{head}a_total 1\na_total 2\n"),
        format!("{head}a_total{{x=\"1\",x=\"2\"}} 1\n"),
        format!("{head}a_total{{x=\"\\t\"}} 1\n"),
        format!("{head}a_total{{1x=\"\"}} 1\n"),
        format!("{head}a_total{{x=\"\"}}}} 1\n"),
        format!("{head}a_total{{}} 1\n"),
        "# HELP a h\n# TYPE a counter\na 1\n".to_owned(),
        format!("{histogram}b_bucket{{le=\"1\"}} 1\nb_sum 1\nb_count 1\n"),
        format!("{histogram}b_bucket{{le=\"+Inf\"}} 1\nb_sum 1\nb_count 2\n"),
        format!("{histogram}b_bucket{{le=\"+Inf\"}} 1\nb_count 1\n"),
        format!("{histogram}b_bucket{{le=\"1\"}} 2\nb_bucket{{le=\"+Inf\"}} 1\nb_sum 1\nb_count 1\n"),
    ] {
        assert!(read(&bad).is_err(), "{bad}");
    }
}
