//! Records of counts: plain tables with what was true when they were made, in `benches/record`.

use std::fs;
use std::path::Path;
use std::process::Command;

/// How wide a case's name is printed.
const NAME: usize = 40;

/// Counts, and what they are counts of.
pub(crate) struct Record {
    pub(crate) facts: Facts,
    pub(crate) rows: Vec<(String, u64)>,
}

/// What decides, besides the code, how many instructions are counted.
pub(crate) struct Facts {
    pub(crate) commit: String,
    rustc: String,
    valgrind: String,
    processor: String,
}

impl Facts {
    pub(crate) fn of_now(valgrind: String, processor: String) -> Facts {
        let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
        let changed = if changed.is_empty() { "" } else { ", and changes that are not committed" };
        let commit = format!("{}{changed}", said("git", &["rev-parse", "--short=10", "HEAD"]));
        Facts { commit, rustc: said("rustc", &["--version"]), valgrind, processor }
    }

    /// What is not as it was, so that ratios are not of the code alone.
    pub(crate) fn differences<'a>(&'a self, before: &'a Facts) -> impl Iterator<Item = String> {
        let pairs = self.named().into_iter().zip(before.named()).skip(1);
        let other = pairs.filter(|((_, now), (_, then))| now != then);
        other.map(|((name, now), (_, then))| format!("another {name}: {now:?} now, {then:?} before"))
    }

    fn named(&self) -> [(&'static str, &str); 4] {
        let Facts { commit, rustc, valgrind, processor } = self;
        [("commit", commit), ("rustc", rustc), ("valgrind", valgrind), ("processor", processor)]
    }
}

impl Record {
    /// The newest record and its file's name.
    pub(crate) fn newest(folder: &Path) -> Result<Option<(String, Record)>, String> {
        let entries = fs::read_dir(folder).map_err(|why| format!("{}: {why}", folder.display()))?;
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let records = names.filter(|name| name.starts_with("instructions-") && name.ends_with(".txt"));
        // The date is what a name ends with.
        let Some(name) =
            records.max_by_key(|name| name.get(name.len().saturating_sub(14)..).map(str::to_owned))
        else {
            return Ok(None);
        };
        let text = fs::read_to_string(folder.join(&name)).map_err(|why| format!("{name}: {why}"))?;
        Ok(Some((name, Record::read(&text))))
    }

    fn read(text: &str) -> Record {
        let fact = |name: &str| {
            let found =
                text.lines().find_map(|line| line.strip_prefix("# ")?.strip_prefix(name)?.strip_prefix(": "));
            found.unwrap_or("unknown").to_owned()
        };
        let facts = Facts {
            commit: fact("commit"),
            rustc: fact("rustc"),
            valgrind: fact("valgrind"),
            processor: fact("processor"),
        };
        // The headline has no number, so that it is no row.
        let row = |line: &str| {
            let (name, count) = line.rsplit_once(' ')?;
            Some((name.trim_end().to_owned(), count.parse().ok()?))
        };
        let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(row).collect();
        Record { facts, rows }
    }

    /// The count of a case; `None` when it was not counted.
    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.rows.iter().find(|(known, _)| known == name).map(|(_, count)| *count)
    }

    /// Writes the record, over an earlier one of the same day and compiler; the name of its file.
    pub(crate) fn save(&self, folder: &Path) -> Result<String, String> {
        let compiler = self.facts.rustc.split(' ').nth(1).unwrap_or("unknown");
        let today = jiff::Timestamp::now().strftime("%Y-%m-%d");
        let name = format!("instructions-{compiler}-{today}.txt");
        let mut text = String::from(
            "# Instructions of one run of each case; benches/README.md says how they are read.\n",
        );
        for (what, value) in self.facts.named() {
            text.push_str(&format!("# {what}: {value}\n"));
        }
        text.push_str(&format!("{:NAME$} instructions\n", "case"));
        for (case, count) in &self.rows {
            text.push_str(&format!("{case:NAME$} {count:>12}\n"));
        }
        fs::write(folder.join(&name), text).map_err(|why| format!("{name}: {why}"))?;
        Ok(name)
    }
}

/// What stands above [`line`]s.
pub(crate) fn headline() -> String {
    format!("{:NAME$} {:>12} {:>12} {:>7}", "case", "instructions", "before", "ratio")
}

/// A case beside its count of before; without one there is no ratio.
pub(crate) fn line(name: &str, now: u64, before: Option<u64>) -> String {
    let Some(before) = before else { return format!("{name:NAME$} {now:>12} {:>12}", "-") };
    format!("{name:NAME$} {now:>12} {before:>12} {:>7.3}", now as f64 / before as f64)
}

/// The first line that a program prints; empty when it prints nothing or cannot be run.
fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}
