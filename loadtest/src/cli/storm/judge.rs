//! What must hold after a storm, from what its clients saw, what the provider has in its books and what the gateway
//! wrote down. Nothing here reads a clock or a file.

use super::load::Sent;
use crate::cli::kit::figures::Figures;
use crate::cli::kit::interval::{Allowance, Spent, most_at_once, worst};
use crate::cli::kit::records::Record;
use std::collections::{BTreeMap, HashMap};

/// A request as the provider has it in its books. Times are nanoseconds since the storm began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) tag: u64,
    pub(super) arrived: u64,
    pub(super) ended: u64,
    /// Tokens reported.
    pub(super) tokens: Option<u64>,
}

/// What the limits allow, as configured.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    pub(super) tokens: Allowance,
    pub(super) requests: Allowance,
    pub(super) at_once: u64,
    /// What a stream reserves at a time.
    pub(super) stream_chunk: u64,
}

/// All that is known of the storm's own requests.
#[derive(Clone, Debug)]
pub(super) struct Evidence {
    pub(super) sent: Vec<Sent>,
    pub(super) told: Vec<Told>,
    pub(super) records: Vec<Record>,
    /// Milliseconds of 1970 in nanoseconds when the storm began, to which the records' times refer.
    pub(super) began_unix_ns: u64,
}

/// A worker reads its clock once per turn, so what a record calls the end may be a turn too early. With hundreds of
/// clients on a machine that is too small for them, turns of more than 10 ms were seen.
const TURN_NS: u64 = 20_000_000;
/// What a client takes for the moment of sending may be that much after it.
const CLOCK_NS: u64 = 1_000_000;

/// One request, all sides together.
struct Case<'a> {
    sent: &'a Sent,
    record: &'a Record,
    told: Option<&'a Told>,
}

/// Enters all figures and checks.
pub(super) fn judge(evidence: &Evidence, terms: &Terms, figures: &mut Figures) {
    let cases = cases(evidence, figures);
    clients(evidence, figures);
    refusals(&cases, figures);
    books(&cases, figures);
    bounds(&cases, evidence, terms, figures);
}

/// Brings the three sides together: every request has one record, and the provider knows no others.
fn cases<'a>(evidence: &'a Evidence, figures: &mut Figures) -> Vec<Case<'a>> {
    let mut records: HashMap<u64, Vec<&Record>> = HashMap::new();
    evidence.records.iter().for_each(|record| records.entry(record.tag).or_default().push(record));
    let mut told: HashMap<u64, Vec<&Told>> = HashMap::new();
    evidence.told.iter().for_each(|one| told.entry(one.tag).or_default().push(one));
    let (mut cases, mut odd) = (Vec::new(), Vec::new());
    for sent in &evidence.sent {
        let asked = told.remove(&sent.tag).unwrap_or_default();
        match (records.remove(&sent.tag).unwrap_or_default().as_slice(), asked.as_slice()) {
            ([record], []) => cases.push(Case { sent, record, told: None }),
            ([record], [told]) => cases.push(Case { sent, record, told: Some(told) }),
            // Who left at once may never have been heard.
            ([], []) if sent.left.is_some() && sent.status == 0 => {}
            (records, asked) => odd.push(format!(
                "request {} has {} records and reached the provider {} times",
                sent.tag,
                records.len(),
                asked.len()
            )),
        }
    }
    odd.extend(records.keys().chain(told.keys()).map(|tag| format!("nobody sent {tag}")));
    let found = odd.first().cloned().unwrap_or(format!("{} requests", cases.len()));
    figures.check(
        "one record for each request, and each reached the provider at most once",
        odd.is_empty(),
        found,
    );
    cases
}

fn clients(evidence: &Evidence, figures: &mut Figures) {
    let sent = &evidence.sent;
    let count = |keep: &dyn Fn(&Sent) -> bool| sent.iter().filter(|one| keep(one)).count();
    figures.row("requests sent", sent.len());
    figures.row("answered in full, whole", count(&|one| one.status == 200 && one.complete && !one.stream));
    figures.row("answered in full, streams", count(&|one| one.status == 200 && one.complete && one.stream));
    figures.row("broken off by the client", count(&|one| one.left.is_some()));
    figures.row("refused", count(&|one| one.status == 429));
    let faults: Vec<&String> = sent.iter().filter_map(|one| one.fault.as_ref()).collect();
    let found =
        faults.first().map_or("none".to_string(), |first| format!("{}, such as: {first}", faults.len()));
    figures.check("no faults seen by clients", faults.is_empty(), found);
}

/// What was refused went nowhere and cost nothing; what was not is recorded as admitted.
fn refusals(cases: &[Case<'_>], figures: &mut Figures) {
    let mut by_limit: BTreeMap<&str, u64> = BTreeMap::new();
    let mut odd = Vec::new();
    for Case { sent, record, told } in cases {
        let refused = record.limits.iter().find(|decision| !decision.admitted);
        if let Some(refused) = refused {
            *by_limit.entry(refused.rule.rsplit('/').next().unwrap_or_default()).or_default() += 1;
            if told.is_some() || record.limits.iter().any(|decision| decision.settled > 0) {
                odd.push(format!("request {} was refused and went upstream or was charged", sent.tag));
            }
        }
        if sent.status != 0 && (sent.status == 429) != refused.is_some() {
            odd.push(format!("request {} got {} against its record", sent.tag, sent.status));
        }
    }
    let cut = cases.iter().filter(|case| case.record.outcome == "limit_cut").count();
    figures.row("streams cut by a limit", cut);
    by_limit.iter().for_each(|(limit, count)| figures.row(&format!("refused by {limit}"), *count));
    let often = by_limit.get("tokens").copied().unwrap_or(0);
    figures.check("the token limit was exhausted many times", often >= 50, format!("{often} refusals"));
    let found = odd.first().cloned().unwrap_or("none did".to_string());
    figures.check("a refused request reaches nobody and costs nothing", odd.is_empty(), found);
}

/// What was settled is what the provider reported, to the token.
fn books(cases: &[Case<'_>], figures: &mut Figures) {
    let (mut settled, mut reported, mut count, mut counted, mut unseen) = (0, 0, 0u64, 0u64, 0);
    let mut odd = Vec::new();
    for Case { sent, record, told } in cases.iter().filter(|case| case.record.is_admitted()) {
        let charged = record.decision("tokens").map_or(0, |decision| decision.settled);
        let used = told.and_then(|told| told.tokens);
        match record.source.as_str() {
            "reported" => {
                count += 1;
                settled += charged;
                reported += used.unwrap_or(0);
                if used != Some(charged) || charged != record.input + record.output {
                    odd.push(format!("request {}: settled {charged}, reported {used:?}", sent.tag));
                }
            }
            source => {
                counted += u64::from(source == "counted");
                unseen += used.unwrap_or(0).saturating_sub(charged);
                let whole = sent.complete && sent.status == 200 && record.outcome == "completed";
                if whole {
                    odd.push(format!("request {} was answered in full, its usage is {source}", sent.tag));
                }
            }
        }
    }
    figures.row("settled as reported, requests", count);
    figures.row("settled as reported, tokens", settled);
    figures.row("the same in the provider's books, tokens", reported);
    figures.row("settled by the gateway's own count, requests", counted);
    figures.row("reported to nobody because the client had left, tokens beyond that count", unseen);
    let found = odd.first().cloned().unwrap_or(format!("{settled} = {reported}"));
    figures.check(
        "settled = reported, request by request",
        odd.is_empty() && settled == reported && count > 0,
        found,
    );
}

/// The bounds of the three limits.
fn bounds(cases: &[Case<'_>], evidence: &Evidence, terms: &Terms, figures: &mut Figures) {
    let tokens: Vec<Spent> = cases.iter().filter_map(|case| case.spent("tokens", evidence, terms)).collect();
    let requests: Vec<Spent> =
        cases.iter().filter_map(|case| case.spent("requests", evidence, terms)).collect();
    for (name, spent, allowance) in
        [("tokens", &tokens, terms.tokens), ("requests", &requests, terms.requests)]
    {
        let check = format!("{name}: used <= capacity + rate x interval + D over every interval");
        let Some(worst) = worst(spent, allowance) else {
            figures.check(&check, false, "nothing was admitted");
            continue;
        };
        let pairs = spent.len() as u64 * (spent.len() as u64 + 1) / 2;
        let millis = (worst.until - worst.from) as f64 / 1e6;
        figures.row(&format!("{name}: intervals looked at"), pairs);
        let from = worst.from as f64 / 1e6;
        figures.row(&format!("{name}: tightest interval, ms"), format!("{millis:.1}, from {from:.1} on"));
        figures.row(&format!("{name}: used in it"), worst.used);
        figures.row(&format!("{name}: capacity and refill in it"), worst.allowed);
        figures.row(&format!("{name}: D of it"), worst.excused);
        figures.check(&check, worst.left >= 0, format!("{} left in the tightest", worst.left));
    }
    // Certainly under way: from its arrival at the provider until the provider or the client ended it.
    let spans = cases.iter().filter(|case| case.record.is_admitted()).filter_map(|case| {
        let told = case.told?;
        Some((told.arrived, told.ended.min(case.sent.left.unwrap_or(u64::MAX))))
    });
    let most = most_at_once(spans) as u64;
    figures.row("most requests at the provider at once", most);
    figures.check(
        "never more at once than allowed",
        most <= terms.at_once,
        format!("{most} of {}", terms.at_once),
    );
}

impl Case<'_> {
    /// What the limit of this name gave to it; nothing if it was refused.
    fn spent(&self, limit: &str, evidence: &Evidence, terms: &Terms) -> Option<Spent> {
        let decision = self.record.decision(limit).filter(|_| self.record.is_admitted())?;
        let head_ns = (self.record.time_unix_ms * 1_000_000).saturating_sub(evidence.began_unix_ns);
        let settled_by = head_ns + 1_000_000 + self.record.duration_us * 1_000 + TURN_NS;
        // Not from the record's time: credit is taken as of the turn's beginning, which the client alone bounds.
        let from = self.sent.at.saturating_sub(CLOCK_NS);
        let by = self.told.map_or(settled_by, |told| told.arrived.min(settled_by)).max(from);
        // A stream may have reserved more since, as far as its answer went.
        let first = match self.record.streamed {
            true if limit == "tokens" => decision.reserved.min(terms.stream_chunk),
            _ => decision.reserved,
        };
        Some(Spent {
            from,
            by,
            settled_by: settled_by.max(by),
            used: decision.settled,
            reserved: decision.reserved,
            reserved_first: first,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::kit::records::Decision;

    const TERMS: Terms = Terms {
        tokens: Allowance { capacity: 100, rate: 1_000 },
        requests: Allowance { capacity: 10, rate: 100 },
        at_once: 2,
        stream_chunk: 20,
    };

    /// A request every 10 ms of 10 tokens each, all admitted, and fifty that the token limit refused.
    fn calm() -> Evidence {
        let mut evidence = Evidence { sent: vec![], told: vec![], records: vec![], began_unix_ns: 0 };
        for tag in 1..=200 {
            let (at, refused) = (tag * 10, tag > 150);
            let decision = |rule: &str, amount| Decision {
                rule: format!("test/storm/{rule}"),
                admitted: !refused,
                reserved: if refused { 0 } else { amount },
                settled: if refused { 0 } else { amount },
                balance_after: 0,
            };
            let limits = match refused {
                true => vec![decision("tokens", 0)],
                false => vec![decision("tokens", 10), decision("requests", 1)],
            };
            evidence.sent.push(Sent {
                tag,
                at: at * 1_000_000,
                status: if refused { 429 } else { 200 },
                complete: true,
                ..Sent::default()
            });
            evidence.records.push(Record {
                tag,
                month: String::new(),
                time_unix_ms: at,
                duration_us: 2_000,
                status: if refused { 429 } else { 200 },
                streamed: false,
                outcome: if refused { "refused" } else { "completed" }.to_string(),
                source: if refused { "none" } else { "reported" }.to_string(),
                input: 4,
                output: 6,
                limits,
            });
            if !refused {
                let (arrived, ended) = (at * 1_000_000 + 500_000, at * 1_000_000 + 1_500_000);
                evidence.told.push(Told { tag, arrived, ended, tokens: Some(10) });
            }
        }
        evidence
    }

    fn verdict(evidence: &Evidence) -> Result<(), String> {
        let mut figures = Figures::new("storm");
        judge(evidence, &TERMS, &mut figures);
        figures.verdict()
    }

    fn settle(evidence: &mut Evidence, at: usize, amount: u64) {
        evidence.records[at].limits[0].settled = amount;
        evidence.records[at].input = amount - 6;
        evidence.told[at].tokens = Some(amount);
    }

    #[test]
    fn a_storm_in_order_is_found_in_order() {
        assert_eq!(verdict(&calm()), Ok(()));
    }

    #[test]
    fn every_planted_violation_is_found() {
        type Plant = fn(&mut Evidence);
        let rows: [(&str, Plant); 12] = [
            ("one record for each", |e| drop(e.records.remove(7))),
            ("one record for each", |e| e.records.push(e.records[7].clone())),
            ("one record for each", |e| e.told.push(e.told[7])),
            ("one record for each", |e| e.told[7].tag = 9_999),
            ("no faults seen", |e| e.sent[3].fault = Some("status 500".into())),
            ("costs nothing", |e| e.records[160].limits[0].settled = 1),
            ("costs nothing", |e| e.sent[160].status = 200),
            ("settled = reported", |e| e.told[5].tokens = Some(11)),
            ("settled = reported", |e| e.records[5].source = "counted".into()),
            ("tokens: used <=", |e| {
                // Two hundred tokens more than fit, reserved and used as the books say, 10 ms apart.
                (20..40).for_each(|at| {
                    settle(e, at, 20);
                    e.records[at].limits[0].reserved = 20;
                });
            }),
            ("requests: used <=", |e| {
                (20..40).for_each(|at| {
                    (e.records[at].time_unix_ms, e.sent[at].at) = (300, 300_000_000);
                    (e.told[at].arrived, e.told[at].ended) = (300_500_000, 300_500_000);
                });
            }),
            ("never more at once", |e| (20..23).for_each(|at| e.told[at].ended += 30_000_000)),
        ];
        for (place, (expected, plant)) in rows.iter().enumerate() {
            let mut evidence = calm();
            plant(&mut evidence);
            let why = verdict(&evidence).expect_err(expected);
            assert!(why.contains(expected), "row {place}: {expected} is not in {why}");
        }
    }
}
