//! What a process holds: files and memory, from /proc.

use std::fs;

/// Open files and resident bytes of one process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Vitals {
    pub(crate) files: u64,
    pub(crate) resident: u64,
}

impl Vitals {
    /// Those of `pid` at this moment.
    pub(crate) fn of(pid: u32) -> Result<Vitals, String> {
        let fail = |what: &str, why: &dyn std::fmt::Display| format!("/proc/{pid}/{what}: {why}");
        let files = fs::read_dir(format!("/proc/{pid}/fd")).map_err(|why| fail("fd", &why))?.count() as u64;
        let status = fs::read_to_string(format!("/proc/{pid}/status")).map_err(|why| fail("status", &why))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
        Ok(Vitals { files, resident: kib.ok_or_else(|| fail("status", &"no VmRSS"))? << 10 })
    }
}

/// The files of `pid` and what they are, for whoever looks for a leak.
pub(crate) fn files(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let mut named: Vec<String> = entries
        .filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.to_string_lossy().into_owned()))
        .collect();
    named.sort();
    named
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_more_is_seen() {
        let pid = std::process::id();
        assert!(Vitals::of(pid).unwrap().resident > 1 << 16);
        let held = fs::File::open("/proc/self/status").unwrap();
        assert!(files(pid).iter().any(|name| name.ends_with("/status")));
        drop(held);
        assert!(Vitals::of(0).is_err());
    }
}
