//! The outcome of a run: figures in their order, checks with their verdict, as a table and as JSON.

use serde_json::{Map, Value, json};
use std::fmt::{Display, Write};
use std::fs;
use std::path::Path;

/// What a run found.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    command: &'static str,
    rows: Vec<(String, Value)>,
    checks: Vec<(String, bool, String)>,
}

impl Figures {
    pub(crate) fn new(command: &'static str) -> Figures {
        Figures { command, ..Figures::default() }
    }

    /// A figure.
    pub(crate) fn row(&mut self, name: &str, value: impl Into<Value>) {
        self.rows.push((name.to_string(), value.into()));
    }

    /// Something that must hold; `found` says what there is in either case.
    pub(crate) fn check(&mut self, name: &str, holds: bool, found: impl Display) {
        self.checks.push((name.to_string(), holds, found.to_string()));
    }

    /// The checks that failed, as one text.
    pub(crate) fn verdict(&self) -> Result<(), String> {
        let mut text = String::new();
        for (name, _, found) in self.checks.iter().filter(|(_, holds, _)| !holds) {
            let _ = writeln!(text, "VIOLATED: {name}: {found}");
        }
        if self.checks.is_empty() {
            text.push_str("nothing was checked");
        }
        if text.is_empty() { Ok(()) } else { Err(text) }
    }

    /// Two tables.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("# loadtest {}\n\n| figure | value |\n|---|---:|\n", self.command);
        for (name, value) in &self.rows {
            let _ = writeln!(text, "| {name} | {} |", shown(value));
        }
        text.push_str("\n| what must hold | holds | found |\n|---|---|---|\n");
        for (name, holds, found) in &self.checks {
            let holds = if *holds { "yes" } else { "**NO**" };
            let _ = writeln!(text, "| {name} | {holds} | {} |", found.replace('\n', "; "));
        }
        text
    }

    fn json(&self) -> Value {
        let figures: Map<String, Value> = self.rows.iter().cloned().collect();
        let checks = self.checks.iter();
        let checks =
            checks.map(|(name, holds, found)| json!({"check": name, "holds": holds, "found": found}));
        json!({"command": self.command, "figures": figures, "checks": checks.collect::<Vec<_>>()})
    }

    /// Prints the tables, writes `COMMAND.md` and `COMMAND.json` into `dir` if there is one, and gives the verdict.
    pub(crate) fn publish(&self, dir: Option<&Path>) -> Result<(), String> {
        println!("{}", self.markdown());
        if let Some(dir) = dir {
            let fail = |why: std::io::Error| format!("{}: {why}", dir.display());
            fs::create_dir_all(dir).map_err(fail)?;
            fs::write(dir.join(format!("{}.md", self.command)), self.markdown()).map_err(fail)?;
            let json = serde_json::to_string_pretty(&self.json()).map_err(|why| why.to_string())?;
            fs::write(dir.join(format!("{}.json", self.command)), json + "\n").map_err(fail)?;
        }
        self.verdict()
    }
}

/// Text without quotes; an object as `name: value, ...`.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let parts: Vec<String> =
                map.iter().map(|(name, value)| format!("{name}: {}", shown(value))).collect();
            parts.join(", ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_is_a_failed_run_and_stands_in_both_forms() {
        let mut figures = Figures::new("storm");
        assert!(figures.verdict().is_err(), "a run without checks proves nothing");
        figures.row("requests", 12);
        figures.row("a", json!({"used": 5, "of": "6"}));
        figures.check("nothing is left", true, "0 left");
        assert_eq!(figures.verdict(), Ok(()));
        figures.check("within the bound", false, "5 tokens beyond");
        assert!(figures.verdict().unwrap_err().contains("within the bound: 5 tokens beyond"));
        assert!(figures.markdown().contains("| a | of: 6, used: 5 |"), "{}", figures.markdown());
        assert!(figures.markdown().contains("| requests | 12 |") && figures.markdown().contains("**NO**"));
        assert_eq!(figures.json()["figures"]["requests"], 12);
        assert_eq!(figures.json()["checks"][1]["holds"], false);
    }
}
