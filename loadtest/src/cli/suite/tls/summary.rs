//! What `loadtest tls` writes.

use super::{MEASURES, Measure, Turn};
use crate::cli::kit::spread::{Spread, shown};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// A run.
pub(super) struct Report {
    pub(super) machine: Value,
    /// Rounds, seconds and sizes, in words.
    pub(super) asked: String,
    pub(super) notes: Vec<String>,
    pub(super) turns: Vec<Turn>,
}

impl Turn {
    /// Handshakes, or MiB, in a second.
    pub(super) fn rate(&self) -> f64 {
        let unit = if self.measure == Measure::Bulk { f64::from(1 << 20) } else { 1.0 };
        self.brought.count as f64 / unit / self.brought.seconds.max(f64::MIN_POSITIVE)
    }

    /// CPU microseconds of the gateway for a handshake, or for a MiB.
    pub(super) fn cost(&self) -> f64 {
        let unit = if self.measure == Measure::Bulk { f64::from(1 << 20) } else { 1.0 };
        self.cpu.schedstat_ns as f64 / 1e3 / (self.brought.count as f64 / unit).max(f64::MIN_POSITIVE)
    }

    pub(super) fn shown(&self) -> String {
        let (rate, each) = match self.measure {
            Measure::Bulk => ("MiB/s", "MiB"),
            Measure::Full | Measure::Resumed => ("a second", "handshake"),
        };
        let errors = match &self.brought.why {
            Some(why) => format!(", {} errors: {why}", self.brought.errors),
            None => String::new(),
        };
        format!("{:.0} {rate}, {:.0} µs of CPU for each {each}{errors}", self.rate(), self.cost())
    }

    fn json(&self) -> Value {
        json!({
            "gateway": self.label, "measure": self.measure.name(), "round": self.round, "turn": self.place,
            "count": self.brought.count, "seconds": self.brought.seconds, "rate": self.rate(),
            "cpu_us_each": self.cost(), "cpu_ns": self.cpu.schedstat_ns, "errors": self.brought.errors,
            "why": self.brought.why, "agreed": self.brought.agreed,
        })
    }
}

impl Report {
    pub(super) fn write(&self, out: &Path) -> Result<(), String> {
        let turns: Vec<Value> = self.turns.iter().map(Turn::json).collect();
        let raw = json!({
            "machine": self.machine, "asked": self.asked, "notes": self.notes, "turns": turns,
        });
        for (name, text) in [("tls.json", format!("{raw:#}\n")), ("tls.md", self.markdown())] {
            let path = out.join(name);
            fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))?;
        }
        Ok(())
    }

    fn of(&self, measure: Measure, label: &str) -> impl Iterator<Item = &Turn> {
        self.turns.iter().filter(move |turn| turn.measure == measure && turn.label == label)
    }

    pub(super) fn markdown(&self) -> String {
        let mut labels: Vec<&str> = Vec::new();
        for turn in &self.turns {
            if !labels.contains(&turn.label.as_str()) {
                labels.push(&turn.label);
            }
        }
        let mut text = format!(
            "# TLS 1.3\n\n{}. Median (minimum–maximum) of the rounds; the gateway has one worker on CPU 0, client and provider \
             the last CPU. `raw`: tls.json.\n",
            self.asked
        );
        for measure in MEASURES {
            let (rate, each) = match measure {
                Measure::Bulk => ("MiB/s", "CPU µs per MiB"),
                Measure::Full | Measure::Resumed => ("per second", "CPU µs each"),
            };
            text += &format!(
                "\n## {}\n\n| gateway | {rate} | {each} | beside nginx | agreed on | errors |\n|---|---|---|---|---|---|\n",
                measure.name()
            );
            for label in &labels {
                let turns = || self.of(measure, label);
                let rates = Spread::of(turns().map(Turn::rate));
                let costs = Spread::of(turns().map(Turn::cost));
                let beside = Spread::of(turns().filter_map(|turn| self.beside(turn)));
                let agreed = turns().find_map(|turn| turn.brought.agreed.clone()).unwrap_or_default();
                let errors: u64 = turns().map(|turn| turn.brought.errors).sum();
                text += &format!(
                    "| {label} | {} | {} | {} | {agreed} | {errors} |\n",
                    shown(rates, 0),
                    shown(costs, 1),
                    shown(beside, 2)
                );
            }
        }
        for note in &self.notes {
            text += &format!("\nNote: {note}\n");
        }
        text
    }

    /// The cost of a turn beside nginx's in the same round.
    fn beside(&self, turn: &Turn) -> Option<f64> {
        let mut theirs = self.of(turn.measure, "nginx").filter(|other| other.round == turn.round);
        Some(turn.cost() / theirs.next()?.cost())
    }

    /// What was not right in the turns of this gateway.
    pub(super) fn verdict(&self, label: &str) -> Result<(), String> {
        let is_wrong =
            |turn: &&Turn| turn.label == label && (turn.brought.errors > 0 || turn.brought.count == 0);
        let faults: Vec<String> = self
            .turns
            .iter()
            .filter(is_wrong)
            .map(|turn| {
                format!("{label}, {}, round {}: {}", turn.measure.name(), turn.round + 1, turn.shown())
            })
            .collect();
        if faults.is_empty() { Ok(()) } else { Err(format!("not right:\n{}", faults.join("\n"))) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::client::Brought;
    use super::*;
    use crate::cli::kit::process::Cpu;

    #[test]
    fn costs_are_compared_within_a_round() {
        let turn = |label: &str, round, count, ns| Turn {
            label: label.into(),
            measure: Measure::Full,
            round,
            place: 0,
            brought: Brought { count, seconds: 2.0, ..Brought::default() },
            cpu: Cpu { schedstat_ns: ns, ..Cpu::default() },
        };
        let turns = vec![
            turn("tollgate", 0, 1000, 200_000_000),
            turn("nginx", 0, 1000, 400_000_000),
            turn("nginx", 1, 1000, 400_000_000),
            turn("tollgate", 1, 500, 300_000_000),
        ];
        let report = Report { machine: Value::Null, asked: "asked".into(), notes: Vec::new(), turns };
        assert!(
            (report.turns[0].cost() - 200.0).abs() < 1e-9 && (report.turns[0].rate() - 500.0).abs() < 1e-9
        );
        let text = report.markdown();
        assert!(
            text.contains("| tollgate | 375 (250–500) | 400.0 (200.0–600.0) | 1.00 (0.50–1.50) |"),
            "{text}"
        );
        assert_eq!(report.verdict("tollgate"), Ok(()));
        let mut broken = report;
        broken.turns[3].brought.errors = 1;
        assert!(
            broken.verdict("nginx").is_ok() && broken.verdict("tollgate").unwrap_err().contains("round 2")
        );
    }
}
