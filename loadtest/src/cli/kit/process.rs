//! Processes: pinned, watched through /proc, and ended.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A child that is ended when this is dropped.
pub(crate) struct Process {
    child: Child,
}

/// CPU time of a process and its descendants so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cpu {
    /// Sum over all threads that are alive.
    pub(crate) schedstat_ns: u64,
    /// User and system time in clock ticks, ended threads included: the coarser witness.
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
}

impl Process {
    /// Starts a command on some CPUs (`0` or `0,1`); its output goes to `log`. It runs under `timeout`, so that it ends
    /// by itself after `life`, and it is ended when the thread that calls this ends, whatever becomes of this process.
    pub(crate) fn pinned(
        cpus: &str,
        command: &[String],
        log: &Path,
        life: Duration,
    ) -> Result<Process, String> {
        let program = command.first().map_or("", String::as_str);
        let fail = |why: std::io::Error| format!("{program}: {why}");
        let out = fs::File::create(log).map_err(fail)?;
        let errors = out.try_clone().map_err(fail)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "TERM", "--"])
            .args(["timeout", "-k", "3", &life.as_secs().to_string(), "taskset", "-c", cpus])
            .args(command)
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .spawn()
            .map_err(fail)?;
        Ok(Process { child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// It has ended already.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// SIGTERM, which `timeout` hands on, adding SIGKILL when it is not heard within three seconds.
    fn end(&mut self) {
        if self.has_ended() {
            return;
        }
        let _ = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status();
        let patience = Instant::now() + Duration::from_secs(6);
        while Instant::now() < patience {
            if self.has_ended() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

impl Cpu {
    /// What `pid` and its descendants have used.
    pub(crate) fn of(pid: u32) -> Result<Cpu, String> {
        let mut sum = Cpu::default();
        for pid in family(pid) {
            sum.add(pid);
        }
        if sum.schedstat_ns == 0 {
            return Err(format!("process {pid} has ended, or /proc/{pid}/task/*/schedstat cannot be read"));
        }
        Ok(sum)
    }

    pub(crate) fn since(&self, before: &Cpu) -> Cpu {
        Cpu {
            schedstat_ns: self.schedstat_ns.saturating_sub(before.schedstat_ns),
            user_ticks: self.user_ticks.saturating_sub(before.user_ticks),
            system_ticks: self.system_ticks.saturating_sub(before.system_ticks),
        }
    }

    fn add(&mut self, pid: u32) {
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        for task in tasks {
            let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
            self.schedstat_ns += number(text.split(' ').next());
        }
        // Fields 14 and 15; the second field is the name in parentheses, which may hold spaces.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let mut fields = after_name(&stat).skip(11);
        self.user_ticks += number(fields.next());
        self.system_ticks += number(fields.next());
    }
}

/// A process and all its descendants.
pub(crate) fn family(root: u32) -> Vec<u32> {
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<u32> = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let parents: Vec<(u32, u32)> = pids.into_iter().map(|pid| (pid, parent(pid))).collect();
    let mut family = vec![root];
    let mut at = 0;
    while let Some(&elder) = family.get(at) {
        family.extend(parents.iter().filter(|(_, parent)| *parent == elder).map(|(pid, _)| pid));
        at += 1;
    }
    family
}

fn parent(pid: u32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    after_name(&stat).nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

/// The fields of /proc/PID/stat from the third.
fn after_name(stat: &str) -> impl Iterator<Item = &str> {
    stat.rsplit_once(") ").map_or("", |(_, rest)| rest).split(' ')
}

fn number(field: Option<&str>) -> u64 {
    field.and_then(|field| field.trim().parse().ok()).unwrap_or(0)
}

/// CPU time of a thread of this process so far.
pub(crate) fn thread_ns(thread: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/self/task/{thread}/schedstat")).unwrap_or_default();
    number(text.split(' ').next())
}

/// The thread of this process with this name.
pub(crate) fn own_thread(name: &str) -> Option<u32> {
    let tasks = fs::read_dir("/proc/self/task").ok()?.flatten();
    let is_it = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|comm| comm.trim() == name)
    };
    tasks.filter(is_it).find_map(|task| task.file_name().to_str()?.parse().ok())
}

/// Pins a running thread.
pub(crate) fn pin(thread: u32, cpu: u32) -> Result<(), String> {
    let taskset = Command::new("taskset").args(["-c", "-p", &cpu.to_string(), &thread.to_string()]).output();
    match taskset {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(why) => Err(format!("taskset: {why}")),
    }
}

/// The first line of what a program prints, for the record. It may take ten seconds.
pub(crate) fn first_line(program: &str, arguments: &[&str]) -> String {
    let output = Command::new("timeout").args(["10", program]).args(arguments).stdin(Stdio::null()).output();
    let text = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown").to_string()
}

/// What the processor calls itself.
pub(crate) fn cpu_model() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown CPU", |line| line.trim_start_matches(['\t', ' ', ':'])).to_string()
}

/// How many files this process may have open.
pub(crate) fn open_files_max() -> u64 {
    let text = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
    number(line.and_then(|line| line.split_whitespace().next()))
}

/// A path that exists, or a name found on PATH.
pub(crate) fn is_program(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    Path::new(name).is_file() || std::env::split_paths(&path).any(|dir| dir.join(name).is_file())
}

/// The load average over a minute: who else was busy.
pub(crate) fn load_average() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|field| field.parse().ok()).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_cpu_time_is_found() {
        let pid = std::process::id();
        let before = Cpu::of(pid).unwrap();
        assert!(before.schedstat_ns > 0 && family(pid).contains(&pid));
        assert!(Cpu::of(pid).unwrap().schedstat_ns >= before.schedstat_ns);
        assert_eq!(after_name("12 (a b) c) S 1 2").collect::<Vec<_>>(), ["S", "1", "2"]);
    }
}
