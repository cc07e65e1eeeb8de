//! What must hold afterwards, from what clients saw, what the provider has in its books and what the gateway wrote
//! down. Nothing here reads a clock or a file.

use super::config::{BUDGET, RULE};
use super::good::{Saw, Sent};
use super::order::{May, Whom};
use crate::cli::kit::figures::Figures;
use crate::cli::kit::records::Record;
use std::collections::{BTreeMap, HashMap};
use tollgate_loadtest::{AnswerEnd, Answered};

/// All that is known.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) sent: Vec<Sent>,
    pub(super) told: Vec<Answered>,
    pub(super) records: Vec<Record>,
    /// The requests after all others, one with each key, by key.
    pub(super) looks: Vec<(&'static str, u64)>,
}

/// One request, all sides together.
struct Case<'a> {
    sent: &'a Sent,
    record: Option<&'a Record>,
    told: &'a [&'a Answered],
}

impl Case<'_> {
    /// It went out on a connection that the provider closed as it went, and it may not be sent twice (RFC 9110
    /// section 9.2.2): the provider has never heard of it.
    fn met_a_closed_connection(&self) -> bool {
        let failed = self.record.is_some_and(|record| record.outcome == "upstream_failed");
        failed && self.told.is_empty() && !self.sent.order.repeatable
    }
}

/// The most lines of a list that are shown.
const SHOWN: usize = 8;

/// Enters all figures and checks.
pub(super) fn judge(evidence: &Evidence, figures: &mut Figures) {
    let mut records: HashMap<u64, Vec<&Record>> = HashMap::new();
    evidence.records.iter().for_each(|record| records.entry(record.tag).or_default().push(record));
    let mut told: HashMap<u64, Vec<&Answered>> = HashMap::new();
    evidence.told.iter().for_each(|one| told.entry(one.tag).or_default().push(one));
    let mut odd = Vec::new();
    let mut cases = Vec::new();
    for sent in &evidence.sent {
        let tag = sent.order.tag;
        let own = records.get(&tag).map(Vec::as_slice).unwrap_or_default();
        let answered = sent.saw.as_ref().is_some_and(|saw| *saw != Saw::Nothing);
        if own.len() > 1 || (answered && own.is_empty()) {
            odd.push(format!("request {tag} has {} records ({:?})", own.len(), sent.saw));
        }
        let told = told.get(&tag).map(Vec::as_slice).unwrap_or_default();
        cases.push(Case { sent, record: own.first().copied(), told });
    }
    let known = |tag: &u64| {
        let sent = evidence.sent.binary_search_by_key(tag, |sent| sent.order.tag).is_ok();
        sent || evidence.looks.iter().any(|(_, look)| look == tag)
    };
    odd.extend(
        records.keys().filter(|tag| !known(tag)).map(|tag| format!("nobody sent {tag}, which has a record")),
    );
    odd.extend(
        told.keys().filter(|tag| !known(tag)).map(|tag| format!("nobody sent {tag}, which the provider has")),
    );
    list(figures, "one record for each request that was answered, and none that nobody sent", &odd);
    clients(&cases, figures);
    books(&cases, figures);
    accounts(evidence, figures);
}

fn list(figures: &mut Figures, check: &str, odd: &[String]) {
    let shown = odd.iter().take(SHOWN).cloned().collect::<Vec<_>>().join("; ");
    let found = if odd.is_empty() { "all".to_string() } else { format!("{} not: {shown}", odd.len()) };
    figures.check(check, odd.is_empty(), found);
}

/// Whether a well-behaved client may have seen this.
fn is_allowed(case: &Case<'_>, saw: &Saw) -> bool {
    let failed = |status: &u16| (500..=504).contains(status);
    match (case.sent.order.may, saw) {
        // A connection that ends before an answer may be tried anew, if nobody has heard the request.
        (_, Saw::Nothing) => case.record.is_none() && (case.sent.reused || case.sent.restarting),
        (_, Saw::Error(502)) if case.met_a_closed_connection() => true,
        (May::BeRight, saw) => *saw == Saw::Right,
        (May::Fail, Saw::Error(status)) => failed(status),
        (May::Pass(expected), Saw::Error(status) | Saw::Foreign(status)) => *status == expected,
        (May::Break, Saw::Right | Saw::ErrorAtEnd | Saw::Cut) => true,
        (May::Break, Saw::Error(status)) => failed(status) || *status == 413,
        (May::BeOdd, Saw::Wrong(_)) => true,
        (May::BeOdd, Saw::Error(status)) => failed(status),
        _ => false,
    }
}

fn clients(cases: &[Case<'_>], figures: &mut Figures) {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    let mut odd = Vec::new();
    for case in cases {
        let Some(saw) = &case.sent.saw else {
            *counts.entry("of clients that do not behave").or_default() += 1;
            continue;
        };
        let name = match saw {
            Saw::Right => "answered right",
            Saw::Error(_) | Saw::Foreign(_) => "answered with an error",
            Saw::ErrorAtEnd => "streams that ended with an error",
            Saw::Cut => "broken off within the answer",
            Saw::Nothing => "ended before an answer, to be sent again",
            Saw::Wrong(_) => "answered with what is no answer",
        };
        *counts.entry(name).or_default() += 1;
        if !is_allowed(case, saw) {
            let order = &case.sent.order;
            let outcome = case.record.map_or("no record", |record| record.outcome.as_str());
            odd.push(format!(
                "request {} ({:?}, stream {}, {:?}, {}{}{}): {saw:?}, recorded {outcome}",
                order.tag,
                order.shape,
                order.stream,
                order.whom,
                order.fault,
                if case.sent.restarting { ", within a restart" } else { "" },
                if case.sent.reused { ", kept connection" } else { "" },
            ));
        }
    }
    counts.iter().for_each(|(name, count)| figures.row(name, *count));
    let right = counts.get("answered right").copied().unwrap_or(0);
    figures.check("well-behaved clients were answered at all", right >= 20, format!("{right} right answers"));
    list(figures, "every well-behaved client got a right answer or a clear error", &odd);
    let faults = cases.iter().filter_map(|case| case.record).filter(|record| record.outcome == "fault");
    let faults: Vec<String> = faults.map(|record| format!("request {}", record.tag)).collect();
    list(figures, "no request ended by a fault of the gateway's own", &faults);
}

/// Request by request: what was settled is what the provider served, and never more than it can have cost.
fn books(cases: &[Case<'_>], figures: &mut Figures) {
    let (mut exact, mut tokens, mut bounded) = (0u64, 0u64, 0u64);
    let mut odd = Vec::new();
    for case in cases {
        let Some(record) = case.record else { continue };
        let settled = record.decision(RULE).map_or(0, |decision| decision.settled);
        let tag = record.tag;
        let admitted = record.is_admitted();
        if settled != record.input + record.output && admitted {
            odd.push(format!("request {tag}: settled {settled}, used {} + {}", record.input, record.output));
        }
        let whole = case.told.iter().all(|told| told.end == AnswerEnd::Completed);
        let served: u64 =
            case.told.iter().filter_map(|told| told.usage).map(|usage| usage.input + usage.output).sum();
        let reported = record.source == "reported" && record.outcome == "completed";
        let order = &case.sent.order;
        if reported && whole {
            exact += 1;
            tokens += settled;
            if settled != served {
                odd.push(format!("request {tag}: settled {settled}, the provider served {served}"));
            }
        } else {
            bounded += 1;
            if settled > order.dearest() {
                odd.push(format!(
                    "request {tag}: settled {settled}, it cannot cost more than {}",
                    order.dearest()
                ));
            }
        }
        let free = order.whom != Whom::Provider
            || !admitted
            || (matches!(order.may, May::Pass(_)) && !case.told.is_empty());
        if settled > 0 && free {
            odd.push(format!(
                "request {tag}: settled {settled}, although nobody served it ({})",
                order.fault
            ));
        }
        if case.sent.saw == Some(Saw::Right) && !reported {
            odd.push(format!(
                "request {tag}: answered right, its usage is {} ({})",
                record.source, record.outcome
            ));
        }
    }
    figures.row("settled as the provider reported, requests", exact);
    figures.row("settled as the provider reported, tokens", tokens);
    figures.row("ended early, refused or failed, requests", bounded);
    list(figures, "settled = served, request by request; what was cut within what it can have cost", &odd);
}

/// What is left of each key's budget, through all restarts, is what its records do not say was settled.
fn accounts(evidence: &Evidence, figures: &mut Figures) {
    let keys: HashMap<u64, &str> =
        evidence.sent.iter().map(|sent| (sent.order.tag, sent.order.key)).collect();
    let settled = |record: &Record| record.decision(RULE).map_or(0, |decision| decision.settled);
    for (key, tag) in &evidence.looks {
        let look = evidence.records.iter().find(|record| record.tag == *tag);
        let own = evidence.records.iter().filter(|record| keys.get(&record.tag) == Some(key));
        let sum: u64 = own.map(settled).sum();
        let expected = look.map(|look| BUDGET as i64 - (sum + settled(look)) as i64);
        let left = look.and_then(|look| look.decision(RULE)).map(|decision| decision.balance_after);
        let found = format!("{left:?} left, {expected:?} expected after {sum} settled");
        let holds = left.is_some() && left == expected;
        figures.check(&format!("{key}: account = budget - records, through all restarts"), holds, found);
    }
    figures.check("there is an account to look at", !evidence.looks.is_empty(), evidence.looks.len());
}

#[cfg(test)]
mod tests {
    use super::super::order::{GOOD_KEY, Order};
    use super::*;
    use crate::cli::kit::random::Random;
    use crate::cli::kit::records::Decision;
    use std::time::Instant;
    use tollgate_loadtest::Usage;

    fn record(tag: u64, settled: u64, balance_after: i64) -> Record {
        let decision = Decision {
            rule: format!("test/chaos/{RULE}"),
            admitted: true,
            reserved: settled,
            settled,
            balance_after,
        };
        Record::completed(tag, (0, settled), vec![decision])
    }

    /// Thirty right answers of 10 tokens each, and a look.
    fn calm() -> Evidence {
        let mut random = Random::new(1, 1);
        let mut evidence = Evidence::default();
        for tag in 1..=30 {
            let order = Order { may: May::BeRight, whom: Whom::Provider, ..Order::bad(&mut random, tag) };
            let order = Order { key: GOOD_KEY, ..order };
            evidence.sent.push(Sent { order, saw: Some(Saw::Right), reused: true, restarting: false });
            let now = Instant::now();
            let usage = Some(Usage { input: 4, output: 6, ..Usage::default() });
            let end = AnswerEnd::Completed;
            evidence.told.push(Answered { number: tag, tag, arrived: now, ended: now, usage, end });
            evidence.records.push(record(tag, 10, 0));
        }
        evidence.looks.push((GOOD_KEY, 31));
        evidence.records.push(record(31, 5, BUDGET as i64 - 305));
        evidence
    }

    fn verdict(evidence: &Evidence) -> Result<(), String> {
        let mut figures = Figures::new("chaos");
        judge(evidence, &mut figures);
        figures.verdict()
    }

    #[test]
    fn every_planted_violation_is_found() {
        assert_eq!(verdict(&calm()), Ok(()));
        type Plant = fn(&mut Evidence);
        let rows: [(&str, Plant); 14] = [
            ("one record for each", |e| drop(e.records.remove(7))),
            ("one record for each", |e| e.records.push(e.records[7].clone())),
            ("one record for each", |e| e.told[7].tag = 999),
            ("right answer or a clear", |e| e.sent[3].saw = Some(Saw::Wrong("another text".into()))),
            ("right answer or a clear", |e| e.sent[3].saw = Some(Saw::Error(502))),
            ("right answer or a clear", |e| {
                // The provider has heard of it.
                e.sent[3].saw = Some(Saw::Error(502));
                e.sent[3].order.repeatable = false;
                e.records[3].outcome = "upstream_failed".into();
            }),
            ("right answer or a clear", |e| e.sent[3].saw = Some(Saw::Nothing)),
            ("right answer or a clear", |e| {
                e.sent[3].order.may = May::Fail;
                e.sent[3].saw = Some(Saw::Cut);
            }),
            ("settled = served", |e| e.told[5].usage = None),
            ("settled = served", |e| e.records[5].source = "counted".into()),
            ("settled = served", |e| e.records[5].input = 1),
            ("settled = served", |e| e.sent[5].order.whom = Whom::Nobody),
            ("account = budget", |e| e.records[30].limits[0].balance_after += 1),
            ("fault of the gateway", |e| e.records[5].outcome = "fault".into()),
        ];
        for (expected, plant) in rows {
            let mut evidence = calm();
            plant(&mut evidence);
            let why = verdict(&evidence).unwrap_err();
            assert!(why.contains(expected), "{expected}: {why}");
        }
        // A connection that was closed before anybody heard the request is no loss.
        let mut evidence = calm();
        evidence.sent[3].saw = Some(Saw::Nothing);
        evidence.records.remove(3);
        evidence.told.remove(3);
        evidence.records.last_mut().unwrap().limits[0].balance_after += 10;
        assert_eq!(verdict(&evidence), Ok(()));
    }
}
