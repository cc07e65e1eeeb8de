//! The numbers of a run: a table for each case, every turn as JSON, and plots.

use super::cases::{Measure, Target};
use super::outcome::Outcome;
use super::plot::{bars, number};
use super::rig::DIRECT;
use super::turn::Turn;
use crate::cli::kit::spread::Spread;
use serde_json::{Value, json};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// A run as far as it has come.
pub(super) struct Report {
    pub(super) machine: Value,
    pub(super) rounds: usize,
    pub(super) seconds: u64,
    /// Where gateways, load and provider run, in words.
    pub(super) places: String,
    /// Who and what was not measured, and why.
    pub(super) notes: Vec<String>,
    pub(super) outcomes: Vec<Outcome>,
}

impl Report {
    /// Writes `raw.json`, `summary.md` and a plot for each case; again after each case, so that a run that is ended early
    /// has brought something.
    pub(super) fn write(&self, dir: &Path) -> Result<(), String> {
        let raw = json!({
            "machine": self.machine, "rounds": self.rounds, "seconds": self.seconds, "places": self.places,
            "notes": self.notes, "cases": self.outcomes.iter().map(Outcome::json).collect::<Vec<_>>(),
        });
        let raw = serde_json::to_string_pretty(&raw).map_err(|why| why.to_string())?;
        let mut files =
            vec![("raw.json".to_string(), raw + "\n"), ("summary.md".to_string(), self.markdown())];
        let plots = self.outcomes.iter().filter(|outcome| !outcome.turns.is_empty());
        files.extend(plots.map(|outcome| (plot_name(outcome), plot(outcome))));
        for (name, text) in files {
            fs::write(dir.join(&name), text).map_err(|why| format!("{name}: {why}"))?;
        }
        Ok(())
    }

    pub(super) fn markdown(&self) -> String {
        let machine = &self.machine;
        let text = |value: &Value| value.as_str().map_or(value.to_string(), str::to_string);
        let mut page = format!(
            "# Load kit: CPU per request\n\n{}, {} CPUs, {} of memory; {}; {}; tollgate {}. {} rounds of {} s per turn; {}. \
             Load average before: {}.\n\nCPU is the time of all threads of a gateway's processes (`/proc/PID/task/*/schedstat`) \
             over the requests that the provider answered. A ratio is taken in each round between two turns of that round; \
             below 1 the gateway is cheaper than the one it is compared with, above 1 dearer. `{DIRECT}` has nobody between \
             client and provider: its rate is the ceiling, its CPU the provider's own.\n",
            text(&machine["cpu"]),
            machine["cpus"],
            text(&machine["memory"]),
            text(&machine["kernel"]),
            text(&machine["date"]),
            text(&machine["revision"]),
            self.rounds,
            self.seconds,
            self.places,
            machine["load_average_before"],
        );
        self.targets(&mut page);
        self.outcomes.iter().for_each(|outcome| case(outcome, &mut page));
        let _ = writeln!(page, "\n## Who was measured\n");
        if let Some(versions) = machine["versions"].as_object() {
            for (name, version) in versions {
                let _ = writeln!(page, "- {name}: {}", text(version));
            }
        }
        for note in &self.notes {
            let _ = writeln!(page, "- Note: {note}");
        }
        page
    }

    fn targets(&self, page: &mut String) {
        let _ = writeln!(
            page,
            "\n## Targets\n\n| case | what | aimed at | median | min to max | |\n|---|---|---|---|---|---|"
        );
        for (target, found) in self.outcomes.iter().flat_map(Outcome::targets) {
            let Target { case, row, base, measure } = target;
            let (what, aim) = match measure {
                Measure::CpuAtMost(most) => ("CPU", format!("at most {most}")),
                Measure::RateAtLeast(least) => ("rate", format!("at least {least}")),
            };
            let found = match found {
                Some((ratio, met)) => {
                    let verdict = if met { "met" } else { "**missed**" };
                    format!("{:.3} | {:.3} to {:.3} | {verdict}", ratio.median, ratio.min, ratio.max)
                }
                None => "– | – | not measured".into(),
            };
            let _ = writeln!(page, "| {case} | {what} of {row} / {base} | {aim} | {found} |");
        }
    }
}

/// One case's table, from the cheapest gateway to the dearest.
fn case(outcome: &Outcome, page: &mut String) {
    let case = &outcome.case;
    let _ = writeln!(
        page,
        "\n## {}\n\n`{}`: {} kept, bodies of {} bytes, driven by {}.\n",
        case.title,
        case.name,
        if case.connections == 1 {
            "1 connection".to_string()
        } else {
            format!("{} connections", case.connections)
        },
        case.body_bytes,
        format!("{:?}", case.driver).to_lowercase()
    );
    if !outcome.turns.is_empty() {
        let mut head = "| | µs/request: median | min to max | requests/s | p50 µs | p99 µs |".to_string();
        for base in outcome.bases() {
            let _ = write!(head, " CPU / {base}: median | min to max |");
        }
        let columns = head.matches('|').count() - 1;
        let _ = writeln!(page, "{head}\n|{}", "---|".repeat(columns));
        let gateways = outcome.ranked().into_iter().map(|(label, _)| label);
        for label in gateways.chain([DIRECT]) {
            let _ = writeln!(page, "{}", row(outcome, label));
        }
        let _ = writeln!(page, "\n![{}]({})", case.title, plot_name(outcome));
    }
    for note in &outcome.notes {
        let _ = writeln!(page, "\nNote: {note}.");
    }
    let faults = outcome.faults();
    if faults.is_empty() && !outcome.turns.is_empty() {
        let _ = writeln!(page, "\nEvery answer that was looked at was right, and all books agree.");
    }
    for fault in faults {
        let _ = writeln!(page, "\n**Not right**: {}.", fault.replace('\n', "; "));
    }
}

fn row(outcome: &Outcome, label: &str) -> String {
    let Some((cost, rate)) = outcome.cost(label).zip(outcome.rate(label)) else {
        return format!("| {label} | – |");
    };
    let latency =
        |pick: fn(&Turn) -> f64| Spread::of(outcome.turns_of(label).map(pick)).unwrap_or_default().median;
    let (p50, p99) = (latency(|turn| turn.load.p50_us as f64), latency(|turn| turn.load.p99_us as f64));
    let doubt = if outcome.turns_of(label).any(|turn| !turn.faults.is_empty()) {
        " (not right, see below)"
    } else {
        ""
    };
    let mut line = format!(
        "| {label}{doubt} | {} | {} to {} | {:.0} | {p50:.0} | {p99:.0} |",
        number(cost.median),
        number(cost.min),
        number(cost.max),
        rate.median
    );
    for base in outcome.bases() {
        let ratio = outcome.ratio(label, base, Turn::cost).filter(|_| label != base && label != DIRECT);
        let _ = match ratio {
            Some(Spread { min, median, max, .. }) => write!(line, " {median:.3} | {min:.3} to {max:.3} |"),
            None => write!(line, " | |"),
        };
    }
    line
}

fn plot_name(outcome: &Outcome) -> String {
    format!("cpu-{}.svg", outcome.case.name)
}

fn plot(outcome: &Outcome) -> String {
    let own = |label: &str| !outcome.peers.iter().any(|peer| peer == label);
    bars(outcome.case.name, "CPU microseconds per request", &outcome.ranked(), own)
}

#[cfg(test)]
mod tests {
    use super::super::outcome::tests::outcome;
    use super::*;

    #[test]
    fn the_page_shows_losses_like_wins() {
        let report = Report {
            machine: json!({"cpu": "a cpu", "cpus": 2, "versions": {"nginx": "nginx/1.22.1"}}),
            rounds: 2,
            seconds: 5,
            places: "gateway on CPU 0".into(),
            notes: vec!["smg was not measured".into()],
            outcomes: vec![outcome()],
        };
        let page = report.markdown();
        for line in [
            "| plain-1k | CPU of tollgate / nginx | at most 0.8 | 0.800 | 0.500 to 1.100 | met |",
            "| plain-1k | CPU of tollgate / haproxy | at most 0.8 | – | – | not measured |",
            "| tollgate | 10.5 | 10.0 to 11.0 | 2000 | 0 | 0 | 0.800 | 0.500 to 1.100 |",
            "| nginx | 15.0 | 10.0 to 20.0 | 2000 | 0 | 0 | | |",
            "| direct | 5.00 | 5.00 to 5.00 | 2000 | 0 | 0 | | |",
            "Note: envoy was not measured: it is not there.",
            "Every answer that was looked at was right, and all books agree.",
            "- nginx: nginx/1.22.1",
            "- Note: smg was not measured",
        ] {
            assert!(page.lines().any(|found| found == line), "{line}\n{page}");
        }
    }

    #[test]
    fn what_is_not_right_is_said_at_its_row() {
        let mut outcome = outcome();
        outcome.turns[1].faults.push("3 protocol faults".into());
        let mut page = String::new();
        case(&outcome, &mut page);
        assert!(page.contains("| nginx (not right, see below) |"), "{page}");
        assert!(page.contains("**Not right**: nginx, round 1: 3 protocol faults."), "{page}");
    }
}
