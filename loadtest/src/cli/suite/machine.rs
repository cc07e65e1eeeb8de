//! What the machine and everything on it was.

use super::peers::Contender;
use crate::cli::kit::process::{cpu_model, first_line, load_average, open_files_max};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::Path;

/// The machine and the versions of all who were measured, and of the clients.
pub(super) fn describe(contenders: &[Contender], installed: &Path, cpus: u32) -> Value {
    let mut versions = Map::new();
    versions.insert("wrk".into(), first_line("wrk", &["-v"]).into());
    if let Ok(version) = fs::read_to_string(installed.join("oha/version")) {
        versions.insert("oha".into(), version.trim().into());
    }
    for contender in contenders {
        versions.insert(contender.name.clone(), contender.says_version().into());
    }
    json!({
        "cpu": cpu_model(), "cpus": cpus, "kernel": first_line("uname", &["-sr"]), "versions": versions,
        "date": first_line("date", &["-u", "+%Y-%m-%d %H:%M UTC"]), "open_files_max": open_files_max(),
        "revision": first_line("git", &["describe", "--always", "--dirty"]),
        "load_average_before": load_average(), "ticks_per_second": first_line("getconf", &["CLK_TCK"]),
        "memory": memory(),
    })
}

fn memory() -> String {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    line.unwrap_or("unknown").trim().to_string()
}
