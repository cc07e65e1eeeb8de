//! The numbers, as a table and as JSON.

use super::Options;
use super::rig::Rig;
use crate::cli::kit::process::{Cpu, first_line, load_average};
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;
use tollgate_loadtest::Ledger;

/// One turn of one proxy.
pub(super) struct Round {
    pub(super) rig: &'static str,
    pub(super) round: usize,
    /// Which turn of the round it had.
    pub(super) turn: usize,
    /// Answers that the provider completed meanwhile.
    pub(super) served: u64,
    pub(super) cpu: Cpu,
    /// What wrk counted.
    pub(super) load: Value,
    /// Load average of the machine at the end.
    pub(super) busy: f64,
}

pub(super) struct Report {
    setting: Value,
    names: Vec<&'static str>,
    notes: Vec<String>,
    rounds: Vec<Round>,
    ledger: Ledger,
}

impl Round {
    /// CPU microseconds per request.
    fn cost(&self) -> f64 {
        self.cpu.schedstat_ns as f64 / 1e3 / self.served.max(1) as f64
    }

    fn json(&self) -> Value {
        json!({
            "proxy": self.rig, "round": self.round, "turn": self.turn, "served": self.served,
            "cpu_us_per_request": self.cost(), "cpu_ns": self.cpu.schedstat_ns, "user_ticks": self.cpu.user_ticks,
            "system_ticks": self.cpu.system_ticks, "wrk": self.load, "load_average": self.busy,
        })
    }
}

impl Report {
    pub(super) fn new(options: &Options, rigs: &[Rig], notes: Vec<String>) -> Report {
        let tollgate =
            options.tollgate.as_ref().map(|path| first_line(&path.display().to_string(), &["--version"]));
        let setting = json!({
            "rounds": options.rounds, "seconds": options.seconds, "connections": options.connections,
            "body_bytes": options.body_bytes, "proxy_cpu": options.proxy_cpu, "load_cpu": options.load_cpu,
            "kernel": first_line("uname", &["-sr"]), "cpu": cpu_model(), "wrk": first_line("wrk", &["-v"]),
            "nginx": first_line(&options.nginx, &["-v"]), "tollgate": tollgate, "load_average_before": load_average(),
            "ticks_per_second": first_line("getconf", &["CLK_TCK"]),
        });
        let names = rigs.iter().map(|rig| rig.name).collect();
        Report { setting, names, notes, rounds: Vec::new(), ledger: Ledger::default() }
    }

    pub(super) fn add(&mut self, round: Round) {
        self.rounds.push(round);
    }

    /// The provider's books at the end.
    pub(super) fn ledger(&mut self, ledger: Ledger) {
        self.ledger = ledger;
    }

    /// Writes `hop.md` and `hop.json`.
    pub(super) fn write(&self, dir: &Path) -> Result<(), String> {
        let json = json!({
            "setting": self.setting, "notes": self.notes, "rounds": self.rounds.iter().map(Round::json).collect::<Vec<_>>(),
            "provider": {
                "requests": self.ledger.requests, "completed": self.ledger.completed, "refused": self.ledger.refused,
                "connections": self.ledger.connections, "malformed": self.ledger.malformed,
                "protocol_faults": self.ledger.protocol_faults, "reasons": self.ledger.reasons,
            },
        });
        let text = serde_json::to_string_pretty(&json).map_err(|why| why.to_string())?;
        for (name, text) in [("hop.json", text), ("hop.md", self.markdown())] {
            fs::write(dir.join(name), text).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }

    pub(super) fn markdown(&self) -> String {
        let s = &self.setting;
        let mut text = format!(
            "# CPU per proxied request\n\n{} s per turn, {} connections, chat requests of {} bytes; proxy on CPU {}, \
             wrk and provider on CPU {}.\n{}; {}; {}; load average before: {}.\n\n",
            s["seconds"],
            s["connections"],
            s["body_bytes"],
            s["proxy_cpu"],
            s["load_cpu"],
            plain(&s["cpu"]),
            plain(&s["kernel"]),
            plain(&s["nginx"]),
            s["load_average_before"],
        );
        self.table(&mut text);
        self.summary(&mut text);
        for note in &self.notes {
            let _ = writeln!(text, "\nNote: {note}.");
        }
        let (bad, faults) = (self.ledger.malformed, self.ledger.protocol_faults);
        let _ = writeln!(
            text,
            "\nThe provider saw {} requests, {bad} malformed, {faults} protocol faults.",
            self.ledger.requests
        );
        for reason in &self.ledger.reasons {
            let _ = writeln!(text, "- {reason}");
        }
        text
    }

    /// One line per round, two columns per proxy, and the ratio.
    fn table(&self, text: &mut String) {
        let mut head = "| round |".to_string();
        for name in &self.names {
            let _ = write!(head, " {name} µs/request | {name} requests/s |");
        }
        for (one, base) in self.pairs() {
            let _ = write!(head, " {one}/{base} |");
        }
        let columns = 1 + 2 * self.names.len() + self.pairs().count();
        let _ = writeln!(text, "{head}\n|{}", "---|".repeat(columns));
        for round in 0..self.rounds.len() / self.names.len().max(1) {
            let _ = write!(text, "| {} |", round + 1);
            for name in &self.names {
                if let Some(turn) = self.turn(name, round) {
                    let _ = write!(text, " {:.2} | {:.0} |", turn.cost(), rate(turn));
                }
            }
            for pair in self.pairs() {
                let ratio = self.ratio(pair, round).map_or("–".to_string(), |ratio| format!("{ratio:.3}"));
                let _ = write!(text, " {ratio} |");
            }
            text.push('\n');
        }
    }

    /// Minimum, median and maximum.
    fn summary(&self, text: &mut String) {
        let _ = writeln!(text, "\n| | min | median | max |\n|---|---|---|---|");
        for name in &self.names {
            let costs = self.rounds.iter().filter(|turn| turn.rig == *name).map(Round::cost).collect();
            let (min, median, max) = spread(costs);
            let _ = writeln!(text, "| {name} µs/request | {min:.2} | {median:.2} | {max:.2} |");
        }
        for pair in self.pairs() {
            let ratios: Vec<f64> =
                (0..self.rounds.len()).filter_map(|round| self.ratio(pair, round)).collect();
            if !ratios.is_empty() {
                let (min, median, max) = spread(ratios);
                let _ = writeln!(text, "| {}/{} | {min:.3} | {median:.3} | {max:.3} |", pair.0, pair.1);
            }
        }
    }

    fn turn(&self, name: &str, round: usize) -> Option<&Round> {
        self.rounds.iter().find(|turn| turn.rig == name && turn.round == round)
    }

    /// What is compared with what: tollgate with nginx, and with its limits on with its limits off.
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        let all = [("tollgate", "nginx"), (super::rig::LIMITED, "tollgate")];
        let is_there = |name| self.names.contains(&name);
        all.into_iter().filter(move |(one, base)| is_there(*one) && is_there(*base))
    }

    /// The two proxies' costs in the same round.
    fn ratio(&self, (one, base): (&str, &str), round: usize) -> Option<f64> {
        Some(self.turn(one, round)?.cost() / self.turn(base, round)?.cost())
    }
}

fn rate(turn: &Round) -> f64 {
    turn.load["requests"].as_f64().unwrap_or(0.0) * 1e6 / turn.load["duration_us"].as_f64().unwrap_or(1.0)
}

fn spread(mut values: Vec<f64>) -> (f64, f64, f64) {
    values.sort_by(f64::total_cmp);
    let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return (0.0, 0.0, 0.0) };
    let half = values.len() / 2;
    let median = if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
    (min, median, max)
}

fn plain(value: &Value) -> String {
    value.as_str().map_or(value.to_string(), str::to_string)
}

fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown CPU", |line| line.trim_start_matches(['\t', ' ', ':'])).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let turn = |rig, round, cost: u64| Round {
            rig,
            round,
            turn: 0,
            served: 1000,
            cpu: Cpu { schedstat_ns: cost * 1_000_000, ..Cpu::default() },
            load: json!({"requests": 1000, "duration_us": 500_000}),
            busy: 0.5,
        };
        let costs = [("tollgate", 0, 10), ("nginx", 0, 20), ("nginx", 1, 10), ("tollgate", 1, 11)];
        Report {
            setting: json!({"seconds": 5}),
            names: vec!["tollgate", "nginx"],
            notes: vec!["a note".into()],
            rounds: costs.into_iter().map(|(rig, round, cost)| turn(rig, round, cost)).collect(),
            ledger: Ledger::default(),
        }
    }

    #[test]
    fn tables() {
        let text = report().markdown();
        for line in [
            "| 1 | 10.00 | 2000 | 20.00 | 2000 | 0.500 |",
            "| 2 | 11.00 | 2000 | 10.00 | 2000 | 1.100 |",
            "| tollgate µs/request | 10.00 | 10.50 | 11.00 |",
            "| tollgate/nginx | 0.500 | 0.800 | 1.100 |",
            "Note: a note.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }

    #[test]
    fn limits_are_compared_with_none() {
        let mut report = report();
        report.names = vec![super::super::rig::LIMITED, "tollgate"];
        report
            .rounds
            .iter_mut()
            .filter(|turn| turn.rig == "nginx")
            .for_each(|turn| turn.rig = report.names[0]);
        assert!(
            report.markdown().contains("| limits/tollgate | 0.909 | 1.455 | 2.000 |"),
            "{}",
            report.markdown()
        );
    }

    #[test]
    fn one_proxy_alone_has_no_ratio() {
        let mut report = report();
        report.rounds.retain(|turn| turn.rig == "nginx");
        report.names = vec!["nginx"];
        assert!(report.markdown().contains("| 2 | 10.00 | 2000 |\n"));
        assert_eq!(spread(vec![]), (0.0, 0.0, 0.0));
    }
}
