//! HTTP/1.1 that cannot be smuggled: tables of requests and answers that are malformed, ambiguous, too large, or good all the
//! same, said byte by byte over sockets; what each gives, and what the other side saw of it.
//!
//! The rows stand in `tests/golden/http1`, under the rules of `wire::http1::strictness`: every rule has rows, and every row
//! names a rule. What arrives upstream is read by a reader of its own (`http1/strict.rs`), which forgives nothing.

mod support;

#[path = "http1/answers.rs"]
mod answers;
#[path = "http1/cases.rs"]
mod cases;
#[path = "http1/host.rs"]
mod host;
#[path = "http1/mutants.rs"]
mod mutants;
#[path = "http1/refused.rs"]
mod refused;
#[path = "http1/strict.rs"]
mod strict;
#[path = "http1/taken.rs"]
mod taken;

use std::collections::BTreeSet;
use tollgate::wire::http1::strictness::{BODIES, HEADS, PATHS, TAKEN};

/// Status and reason of the rule of this name; `None` for what is taken.
fn rule(name: &str) -> Option<(u16, &'static str)> {
    let heads = HEADS.iter().map(|rule| (format!("{:?}", rule.fault), rule.status, rule.reason));
    let bodies = BODIES.iter().map(|rule| (format!("{:?}", rule.fault), rule.status, rule.reason));
    let paths = PATHS.iter().map(|rule| (format!("{:?}", rule.fault), rule.status, rule.reason));
    let mut rules = heads.chain(bodies).chain(paths);
    rules.find(|(rule, ..)| rule == name).map(|(_, status, reason)| (status, reason))
}

const OF_REQUESTS: [&str; 5] =
    ["heads.cases", "bodies.cases", "paths.cases", "taken.cases", "sequences.cases"];
const OF_ANSWERS: [&str; 4] =
    ["answers.cases", "answers_cut.cases", "answers_taken.cases", "answers_bounds.cases"];

#[test]
fn every_rule_has_rows_and_every_row_has_a_rule() {
    let mut without: BTreeSet<String> = TAKEN.iter().map(|taken| taken.name.to_owned()).collect();
    without.extend(HEADS.iter().map(|rule| format!("{:?}", rule.fault)));
    without.extend(BODIES.iter().map(|rule| format!("{:?}", rule.fault)));
    without.extend(PATHS.iter().map(|rule| format!("{:?}", rule.fault)));
    let known = without.clone();
    let mut counts = [0, 0];
    for (count, files) in counts.iter_mut().zip([&OF_REQUESTS[..], &OF_ANSWERS]) {
        for group in files.iter().flat_map(|file| cases::load(file)) {
            assert!(known.contains(&group.rule), "no rule: {}", group.rule);
            assert!(!group.rows.is_empty(), "a group without rows: {}", group.rule);
            without.remove(&group.rule);
            *count += group.rows.len();
        }
    }
    assert!(without.is_empty(), "rules without rows: {without:?}");
    let sources = HEADS.iter().map(|rule| rule.source).chain(BODIES.iter().map(|rule| rule.source));
    let sources =
        sources.chain(PATHS.iter().map(|rule| rule.source)).chain(TAKEN.iter().map(|taken| taken.source));
    sources.for_each(|source| assert!(source.starts_with("RFC "), "no source: {source}"));
    assert!(counts[0] >= 600 && counts[1] >= 100, "rows are missing: {counts:?}");
}
