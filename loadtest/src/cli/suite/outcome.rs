//! What a case brought: costs, rates, and ratios round by round.

use super::cases::{Case, Measure, TARGETS, Target};
use super::rig::DIRECT;
use super::turn::Turn;
use crate::cli::kit::spread::Spread;
use serde_json::{Value, json};

/// The turns of a case.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) case: Case,
    /// Who had turns, in the order of the table.
    pub(super) labels: Vec<String>,
    /// Those of them that are not tollgate.
    pub(super) peers: Vec<String>,
    pub(super) turns: Vec<Turn>,
    /// Who was not measured, and why.
    pub(super) notes: Vec<String>,
    /// Answers that were not as the provider's own.
    pub(super) differences: Vec<String>,
}

impl Outcome {
    pub(super) fn new(case: &Case) -> Outcome {
        Outcome {
            case: *case,
            labels: vec![],
            peers: vec![],
            turns: vec![],
            notes: vec![],
            differences: vec![],
        }
    }

    pub(super) fn turns_of<'a>(&'a self, label: &'a str) -> impl Iterator<Item = &'a Turn> {
        self.turns.iter().filter(move |turn| turn.label == label)
    }

    /// CPU microseconds per request.
    pub(super) fn cost(&self, label: &str) -> Option<Spread> {
        Spread::of(self.turns_of(label).map(Turn::cost))
    }

    /// Answers per second.
    pub(super) fn rate(&self, label: &str) -> Option<Spread> {
        Spread::of(self.turns_of(label).map(|turn| turn.load.rate()))
    }

    /// One gateway's measure over another's in the same round.
    pub(super) fn ratio(&self, label: &str, base: &str, measure: fn(&Turn) -> f64) -> Option<Spread> {
        Spread::of(self.turns_of(label).filter_map(|turn| {
            let base = self.turns_of(base).find(|other| other.round == turn.round)?;
            (measure(base) > 0.0).then(|| measure(turn) / measure(base))
        }))
    }

    /// Those of the case's bases that had turns.
    pub(super) fn bases(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.case.bases.iter().copied().filter(|base| self.labels.iter().any(|label| label == base))
    }

    /// Everything that was not right; tollgate's own faults first.
    pub(super) fn faults(&self) -> Vec<String> {
        let in_turns = self.turns.iter().flat_map(|turn| {
            let round = turn.round + 1;
            turn.faults.iter().map(move |fault| format!("{}, round {round}: {fault}", turn.label))
        });
        self.differences.iter().cloned().chain(in_turns).collect()
    }

    /// The case's targets: what is aimed at, and the ratio with its verdict where both were measured.
    pub(super) fn targets(&self) -> Vec<(&'static Target, Option<(Spread, bool)>)> {
        let own = TARGETS.iter().filter(|target| target.case == self.case.name);
        let judged = own.map(|target| {
            let found = match target.measure {
                Measure::CpuAtMost(most) => {
                    self.ratio(target.row, target.base, Turn::cost).map(|ratio| (ratio, ratio.median <= most))
                }
                Measure::RateAtLeast(least) => self
                    .ratio(target.row, target.base, |turn| turn.load.rate())
                    .map(|ratio| (ratio, ratio.median >= least)),
            };
            (target, found)
        });
        judged.collect()
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "case": self.case.name, "title": self.case.title, "body_bytes": self.case.body_bytes,
            "connections": self.case.connections, "client": format!("{:?}", self.case.driver).to_lowercase(),
            "turns": self.turns.iter().map(Turn::json).collect::<Vec<_>>(), "notes": self.notes,
            "differences": self.differences,
        })
    }

    /// Gateways from the cheapest to the dearest; the provider itself is not among them.
    pub(super) fn ranked(&self) -> Vec<(&str, Spread)> {
        let gateways = self.labels.iter().filter(|label| *label != DIRECT);
        let mut ranked: Vec<(&str, Spread)> =
            gateways.filter_map(|label| Some((label.as_str(), self.cost(label)?))).collect();
        ranked.sort_by(|a, b| a.1.median.total_cmp(&b.1.median));
        ranked
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::cases::CASES;
    use super::super::load::Load;
    use super::*;
    use crate::cli::kit::process::Cpu;

    /// Two rounds of plain forwarding.
    pub(in crate::cli::suite) fn outcome() -> Outcome {
        let turn = |label: &str, round, cost: u64| Turn {
            label: label.to_string(),
            round,
            served: 1000,
            cpu: Cpu { schedstat_ns: cost * 1_000_000, ..Cpu::default() },
            load: Load { requests: 1000, duration_us: 500_000, ..Load::default() },
            ..Turn::default()
        };
        let costs =
            [("tollgate", 0, 10), ("nginx", 0, 20), ("nginx", 1, 10), ("tollgate", 1, 11), ("direct", 0, 5)];
        Outcome {
            labels: ["direct", "tollgate", "nginx"].map(String::from).to_vec(),
            turns: costs.into_iter().map(|(label, round, cost)| turn(label, round, cost)).collect(),
            notes: vec!["envoy was not measured: it is not there".into()],
            ..Outcome::new(CASES.iter().find(|case| case.name == "plain-1k").unwrap())
        }
    }

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 3.0, count: 3 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { min: 1.0, median: 2.5, max: 4.0, count: 2 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let outcome = outcome();
        let ratio = outcome.ratio("tollgate", "nginx", Turn::cost).unwrap();
        assert_eq!((ratio.min, ratio.max), (0.5, 1.1));
        assert_eq!(outcome.ratio("tollgate", "haproxy", Turn::cost), None);
        assert_eq!(outcome.bases().collect::<Vec<_>>(), ["nginx"]);
        assert_eq!(
            outcome.ranked().iter().map(|(label, _)| *label).collect::<Vec<_>>(),
            ["tollgate", "nginx"]
        );
        let met: Vec<Option<bool>> =
            outcome.targets().iter().map(|(_, found)| found.map(|(_, met)| met)).collect();
        assert_eq!(met, [Some(true), None], "0.8 of nginx; HAProxy was not there");
    }

    #[test]
    fn faults_name_the_round() {
        let mut outcome = outcome();
        assert!(outcome.faults().is_empty());
        outcome.turns[3].faults.push("3 malformed requests".into());
        assert_eq!(outcome.faults(), ["tollgate, round 2: 3 malformed requests"]);
    }
}
