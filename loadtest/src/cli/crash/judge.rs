//! What must hold of budgets over all lives of a gateway. Nothing here reads a clock or a file.

use super::Plan;
use crate::cli::kit::config::{INPUT_NANO, OUTPUT_NANO};
use crate::cli::kit::figures::Figures;
use crate::cli::kit::records::Record;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// One request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) tag: u64,
    /// Position of its key in the plan.
    pub(super) key: usize,
    /// Sent alone, before the load of its life.
    pub(super) probe: bool,
    /// The status; 0 when none came.
    pub(super) status: u16,
    /// All of the answer came.
    pub(super) complete: bool,
    pub(super) fault: Option<String>,
}

/// What the provider reported of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) tag: u64,
    pub(super) input: u64,
    pub(super) output: u64,
}

/// One life of the gateway.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    /// It was killed; otherwise it ended by itself when it was told to.
    pub(super) killed: bool,
    pub(super) sent: Vec<Sent>,
    pub(super) used: Vec<Used>,
    pub(super) records: Vec<Record>,
}

/// What a budget counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Tokens,
    NanoUsd,
}

impl Unit {
    pub(super) const ALL: [Unit; 2] = [Unit::Tokens, Unit::NanoUsd];

    /// The name of the limit that counts it.
    pub(super) fn limit(self) -> &'static str {
        match self {
            Unit::Tokens => "tokens",
            Unit::NanoUsd => "usd",
        }
    }

    pub(super) fn amount(self, input: u64, output: u64) -> i64 {
        let amount = match self {
            Unit::Tokens => input + output,
            Unit::NanoUsd => input * INPUT_NANO + output * OUTPUT_NANO,
        };
        i64::try_from(amount).unwrap_or(i64::MAX)
    }
}

/// What became of one budget.
#[derive(Clone, Debug, Default)]
struct Story {
    used: i64,
    /// What requests in flight may have used beyond their reservations when the gateway was killed.
    unforeseen: i64,
    /// What the gateway counts beyond what was used, at the last look.
    lost: i64,
    looks: u64,
    kills_since: u64,
    lost_most: i64,
    refused: u64,
    faults: Vec<String>,
}

/// Enters all figures and checks.
pub(super) fn judge(lives: &[Life], plan: &Plan, figures: &mut Figures) {
    let kills = lives.iter().filter(|life| life.killed).count();
    figures.row("lives", lives.len());
    figures.row("ended by kill -9", kills);
    figures.row("ended by SIGTERM", lives.len() - kills);
    figures.row("requests", lives.iter().map(|life| life.sent.len()).sum::<usize>());
    let whole = |life: &Life| life.sent.iter().filter(|one| one.complete && one.status == 200).count();
    figures.row("answered in full", lives.iter().map(whole).sum::<usize>());
    let faults: Vec<&String> =
        lives.iter().flat_map(|life| &life.sent).filter_map(|one| one.fault.as_ref()).collect();
    let found = faults.first().map_or("none".to_string(), |first| format!("{}: {first}", faults.len()));
    figures.check("no faults seen by clients while it lived", faults.is_empty(), found);
    let months: BTreeSet<&String> =
        lives.iter().flat_map(|life| &life.records).map(|one| &one.month).collect();
    figures.check("all in one month (else run it again)", months.len() == 1, format!("{months:?}"));
    let (mut verdicts, mut looks) = (BTreeMap::new(), 0);
    for key in 0..plan.keys.len() {
        for unit in Unit::ALL {
            let story = story(lives, plan, key, unit);
            looks += story.looks;
            tell(&story, plan, (key, unit), figures, &mut verdicts);
        }
    }
    for (what, faults) in verdicts {
        let found = match faults.first() {
            Some(_) => format!("{}, such as: {}", faults.len(), faults[..faults.len().min(5)].join("; ")),
            None => format!("{} budgets, {looks} looks", plan.keys.len() * Unit::ALL.len()),
        };
        figures.check(what, faults.is_empty(), found);
    }
}

fn story(lives: &[Life], plan: &Plan, key: usize, unit: Unit) -> Story {
    let mut story = Story::default();
    let budget = plan.keys[key].budget(unit);
    // Of all lives: an answer may be in the books only after the life in which it was asked for.
    let used: HashMap<u64, &Used> =
        lives.iter().flat_map(|life| &life.used).map(|one| (one.tag, one)).collect();
    let amount = |tag: u64| used.get(&tag).map_or(0, |one| unit.amount(one.input, one.output));
    for (number, life) in lives.iter().enumerate() {
        let own = || life.sent.iter().filter(|one| one.key == key);
        for probe in own().filter(|one| one.probe) {
            let record = life.records.iter().find(|record| record.tag == probe.tag);
            // Of what refused, the record names the limit that did; of a life cut short there may be none.
            let decision = record.and_then(|record| record.decision(unit.limit()));
            if let Some(decision) = decision {
                let by_now = story.used + amount(probe.tag);
                look(
                    &mut story,
                    number,
                    budget - decision.balance_after - by_now,
                    plan.lease_most(key, unit),
                );
            }
        }
        story.used += own().map(|one| amount(one.tag)).sum::<i64>();
        let tags: BTreeSet<u64> = own().map(|one| one.tag).collect();
        let refused = life.records.iter().filter(|record| tags.contains(&record.tag));
        let refused = refused.filter_map(|record| record.decision(unit.limit()));
        story.refused += refused.filter(|decision| !decision.admitted).count() as u64;
        if life.killed {
            story.kills_since += 1;
            let cut = own().filter(|one| !one.complete).filter_map(|one| used.get(&one.tag));
            let reserved = plan.keys[key].reserved_output;
            let beyond = cut.map(|one| unit.amount(0, one.output.saturating_sub(reserved)));
            story.unforeseen += beyond.sum::<i64>();
        }
    }
    story
}

/// A quiet moment at which the gateway said what is left: `lost` is what it counts beyond what was used.
fn look(story: &mut Story, life: usize, lost: i64, lease_most: i64) {
    if lost < -story.unforeseen {
        story.faults.push(format!("life {life}: {} used and not counted", -lost));
    }
    let more = lost - story.lost;
    if story.kills_since == 0 && more != 0 && story.looks > 0 {
        story.faults.push(format!("life {life}: {more} lost by an orderly end"));
    }
    let kills = i64::try_from(story.kills_since).unwrap_or(i64::MAX);
    if kills > 0 && more > lease_most.saturating_mul(kills) {
        story.faults.push(format!("life {life}: {more} lost by {kills} kills, leases are {lease_most}"));
    }
    if story.kills_since == 1 {
        story.lost_most = story.lost_most.max(more);
    }
    (story.lost, story.kills_since) = (lost, 0);
    story.looks += 1;
}

fn tell(
    story: &Story,
    plan: &Plan,
    (key, unit): (usize, Unit),
    figures: &mut Figures,
    verdicts: &mut BTreeMap<&str, Vec<String>>,
) {
    let Plan { keys, .. } = plan;
    let what = format!("{}, {}", keys[key].key, unit.limit());
    let budget = keys[key].budget(unit);
    let unforeseen = story.unforeseen + keys[key].unforeseen_at_once(unit);
    let told = json!({
        "budget": budget,
        "used": story.used,
        "lost": story.lost,
        "most lost by one kill": story.lost_most,
        "leased at most": plan.lease_most(key, unit),
        "refusals": story.refused,
    });
    figures.row(&what, told);
    let faults = verdicts.entry("no budget is overspent: used <= budget + D").or_default();
    if story.used > budget + unforeseen {
        faults.push(format!("{what}: {} of {budget} + {unforeseen}", story.used));
    }
    let faults =
        verdicts.entry("at each look nothing is forgotten, and nothing lost but leases").or_default();
    faults.extend(story.faults.iter().map(|fault| format!("{what}: {fault}")));
    if story.looks == 0 {
        faults.push(format!("{what}: nobody looked"));
    }
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;
    use crate::cli::kit::records::Decision;

    fn plan() -> Plan {
        let key = Key {
            route: "whole",
            key: "a".to_string(),
            turn: 0,
            lanes: 0,
            tokens: 100_000,
            nano_usd: 100_000_000,
            reserved_output: 50,
            output_most: 50,
        };
        Plan { keys: vec![key] }
    }

    /// Five lives of a probe and three requests of 30 tokens each; the second and fourth were killed, and lost 60.
    fn lives() -> Vec<Life> {
        let (mut lives, mut counted, mut tag) = (Vec::new(), 0, 0);
        for number in 0..5 {
            let mut life = Life { killed: number % 2 == 1, ..Life::default() };
            for place in 0..4 {
                tag += 1;
                counted += 30;
                life.sent.push(Sent {
                    tag,
                    probe: place == 0,
                    status: 200,
                    complete: true,
                    ..Sent::default()
                });
                life.used.push(Used { tag, input: 10, output: 20 });
                let limits = Unit::ALL.map(|unit| {
                    let scale = if unit == Unit::Tokens { 1 } else { 450 };
                    Decision {
                        rule: format!("test/whole/{}", unit.limit()),
                        admitted: true,
                        reserved: 30,
                        settled: 30,
                        balance_after: plan().keys[0].budget(unit) - counted * scale,
                    }
                });
                life.records.push(Record {
                    month: "2026-01".into(),
                    ..Record::completed(tag, (10, 20), limits.to_vec())
                });
            }
            counted += if life.killed { 60 } else { 0 };
            lives.push(life);
        }
        lives
    }

    fn verdict(lives: &[Life]) -> Result<(), String> {
        let mut figures = Figures::new("crash");
        judge(lives, &plan(), &mut figures);
        figures.verdict()
    }

    #[test]
    fn lives_in_order_are_found_in_order() {
        assert_eq!(verdict(&lives()), Ok(()));
    }

    #[test]
    fn every_planted_violation_is_found() {
        type Plant = fn(&mut Vec<Life>);
        let rows: [(&str, Plant); 8] = [
            ("used and not counted", |lives| lives[2].records[0].limits[0].balance_after += 61),
            ("lost by an orderly end", |lives| lives[1].records[0].limits[0].balance_after -= 1),
            ("lost by an orderly end", |lives| lives[3].records[0].limits[1].balance_after += 1),
            ("lost by 1 kills", |lives| lives[4].records[0].limits[0].balance_after -= 2_400),
            ("no budget is overspent", |lives| lives[4].used[3].output = 100_000),
            ("while it lived", |lives| lives[0].sent[1].fault = Some("reset".into())),
            ("all in one month", |lives| lives[4].records[2].month = "2026-02".into()),
            ("nobody looked", |lives| lives.iter_mut().for_each(|life| life.sent[0].probe = false)),
        ];
        for (place, (expected, plant)) in rows.iter().enumerate() {
            let mut lives = lives();
            plant(&mut lives);
            let why = verdict(&lives).expect_err(expected);
            assert!(why.contains(expected), "row {place}: {expected} is not in {why}");
        }
    }

    #[test]
    fn what_was_in_flight_at_a_kill_may_have_used_more_than_was_reserved() {
        // The provider had answered with 50 tokens more than were reserved, and the gateway died with it.
        let mut lives = lives();
        lives[1].used[3].output = 100;
        lives[1].sent[3].complete = false;
        let shift = |lives: &mut Vec<Life>| {
            lives[2..].iter_mut().for_each(|life| life.records[0].limits[0].balance_after += 130);
        };
        shift(&mut lives);
        // Counted: 10 + 20 of it less the lease of 60, plus what the shift took away; used: 110.
        assert!(verdict(&lives).unwrap_err().contains("used and not counted"));
        let mut lives = self::lives();
        lives[1].used[3].output = 100;
        lives[1].sent[3].complete = false;
        lives[2..4].iter_mut().for_each(|life| life.records[0].limits[0].balance_after += 30);
        assert!(!verdict(&lives).is_err_and(|why| why.contains("used and not counted")));
    }
}
