//! `loadtest drive`: streams, open loop, mixed work, memory and idleness, by our own client.
//!
//! The provider itself, tollgate before it and nginx before it are driven in turns, in an order that rotates from round
//! to round, so that whatever else the machine does falls on all of them. What a gateway adds is the difference to the
//! provider's own in the same round. Every answer is checked to its last byte, and after every turn the client's counts,
//! the provider's ledger and tollgate's settled tokens must agree.

mod cases;
mod memory;
mod report;
mod rigs;
mod tables;
mod turn;

use super::kit::gateway::end_after;
use super::kit::options;
use super::kit::process::{cpu_model, first_line, is_program, load_average};
use cases::{Case, Kind};
use memory::{Idle, Memory};
use report::Report;
use rigs::{Ground, Rig, Who};
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tollgate_loadtest::client::{own_cpus, raise_open_files};
use turn::Bench;

/// Files that 2,000 streams through a proxy need: the client's, the provider's and the proxy's are three processes' at
/// most, and the first two are one.
const OPEN_FILES: u64 = 6_000;

/// What was asked for.
struct Options {
    tollgate: PathBuf,
    nginx: String,
    out: PathBuf,
    cases: Vec<Case>,
    rounds: usize,
    seconds: u64,
    events_per_second: u32,
    proxy_cpu: usize,
    load_cpu: usize,
}

/// Measures, prints the tables, and writes `drive.md`, `drive.json` and the configurations used under `--out`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    let life = options.life();
    end_after(life);
    let fail = |why: std::io::Error| format!("{}: {why}", options.out.display());
    fs::create_dir_all(&options.out).map_err(fail)?;
    let mut notes = Vec::new();
    let files = raise_open_files();
    if files < OPEN_FILES {
        notes.push(format!(
            "only {files} files may be open, where {OPEN_FILES} are needed for all cases: raise `ulimit -n`"
        ));
    }
    if options.proxy_cpu == options.load_cpu {
        notes.push("proxy, client and provider share one CPU: latencies hold each other's work".to_string());
    }
    let bench = Bench::start(options.load_cpu)?;
    let ground = Ground {
        tollgate: options.tollgate.clone(),
        nginx: options.nginx.clone(),
        upstream: bench.simulator.addr().port(),
        proxy_cpu: options.proxy_cpu,
        scratch: std::env::temp_dir().join(format!("tollgate-drive-{}", std::process::id())),
        configs: options.out.join("config"),
        life,
    };
    let mut proxies = vec![Who::Tollgate];
    match options.nginx.as_str() {
        "none" => notes.push("nginx was not asked for".to_string()),
        nginx if is_program(nginx) => proxies.push(Who::Nginx),
        nginx => notes.push(format!("nginx was not measured: {nginx} is not on this machine")),
    }
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    let mut report = options.report(notes);
    let outcome = rounds(&options, &ground, &bench, &proxies, &mut report)
        .and_then(|()| at_rest(&options, &ground, &bench, &proxies, &mut report));
    match &outcome {
        Ok(()) => drop(fs::remove_dir_all(&ground.scratch)),
        Err(_) => eprintln!("what the proxies wrote is in {}", ground.scratch.display()),
    }
    // What was found before something failed is kept, too.
    report.write(&options.out)?;
    println!("{}", tables::markdown(&report));
    outcome.and(report.verdict())
}

/// All turns of all loads.
fn rounds(
    options: &Options,
    ground: &Ground,
    bench: &Bench,
    proxies: &[Who],
    report: &mut Report,
) -> Result<(), String> {
    let time = Duration::from_secs(options.seconds);
    let works = options.cases.iter().filter_map(|case| Some((case, case.work(options.events_per_second)?)));
    let works: Vec<_> = works.collect();
    if works.is_empty() {
        return Ok(());
    }
    let rigs = std::iter::once(&Who::Direct).chain(proxies).map(|who| Rig::start(*who, ground));
    let rigs = rigs.collect::<Result<Vec<Rig>, String>>()?;
    for round in 0..options.rounds {
        for (case, work) in &works {
            for turn in 0..rigs.len() {
                let rig = &rigs[(turn + round) % rigs.len()];
                let turn = bench.drive(rig, work, time, case.name, round)?;
                let (who, done) = (turn.who.name(), turn.tally.completed);
                eprintln!(
                    "round {} of {}: {:<18} {who:<9} {done} answers",
                    round + 1,
                    options.rounds,
                    case.name
                );
                report.turns.push(turn);
            }
        }
    }
    Ok(())
}

/// The cases that are no loads.
fn at_rest(
    options: &Options,
    ground: &Ground,
    bench: &Bench,
    proxies: &[Who],
    report: &mut Report,
) -> Result<(), String> {
    for case in &options.cases {
        for who in proxies {
            match case.kind {
                Kind::Memory { connections, streams } => {
                    eprintln!("memory: {}", who.name());
                    report.memory.push(Memory::measure(*who, connections, streams, ground, bench)?);
                }
                Kind::Idle => {
                    eprintln!("idle: {}", who.name());
                    report.idle.push(Idle::measure(*who, ground)?);
                }
                _ => {}
            }
        }
    }
    Ok(())
}

impl Options {
    fn read(arguments: &[String]) -> Result<Option<Options>, String> {
        let Some(mut given) = options::Options::read(arguments)? else { return Ok(None) };
        let cases = given.text("case").unwrap_or("*".to_string());
        let patterns: Vec<&str> = cases.split(',').map(str::trim).collect();
        let own = own_cpus();
        let options = Options {
            tollgate: given.needed_path("tollgate", "the binary to measure")?,
            nginx: given.text("nginx").unwrap_or("nginx".to_string()),
            out: given.needed_path("out", "where the tables go")?,
            cases: Case::named(&patterns)?,
            rounds: given.number("rounds", 3, 1, 100)?,
            seconds: given.number("seconds", 4, 1, 600)?,
            events_per_second: given.number("events-per-second", 40_000, 100, 10_000_000)?,
            proxy_cpu: given.number("proxy-cpu", own.first().copied().unwrap_or(0), 0, 1023)?,
            load_cpu: given.number("load-cpu", own.last().copied().unwrap_or(0), 0, 1023)?,
        };
        given.end()?;
        if !options.tollgate.is_file() {
            return Err(format!("--tollgate: there is no file {}", options.tollgate.display()));
        }
        Ok(Some(options))
    }

    /// Longer than all of it can take.
    fn life(&self) -> Duration {
        let turns = self.cases.iter().filter_map(|case| case.work(self.events_per_second));
        let turns: Duration =
            turns.map(|work| work.patience * 2 + Duration::from_secs(self.seconds + 30)).sum();
        turns * 3 * self.rounds as u32 + Duration::from_secs(600)
    }

    /// The report, in which nothing has been found yet.
    fn report(&self, notes: Vec<String>) -> Report {
        let version = |program: &str, arguments: &[&str]| first_line(program, arguments);
        let setting = json!({
            "rounds": self.rounds, "seconds per turn": self.seconds, "events per second of paced streams": self.events_per_second,
            "request bytes": cases::BODY_BYTES, "proxy on CPU": self.proxy_cpu, "client and provider on CPU": self.load_cpu,
            "cpu": cpu_model(), "kernel": version("uname", &["-sr"]), "nginx": if self.nginx == "none" { "none".to_string() } else { version(&self.nginx, &["-v"]) },
            "tollgate": version(&self.tollgate.display().to_string(), &["--version"]), "load average before": load_average(),
        });
        let gap = |case: &Case| {
            let work = case.work(self.events_per_second)?;
            Some((case.name, work.script.chunk_gap.as_secs_f64() * 1e6))
        };
        let gaps_us = self.cases.iter().filter_map(gap).collect();
        Report {
            setting,
            notes,
            cases: self.cases.clone(),
            gaps_us,
            turns: Vec::new(),
            memory: Vec::new(),
            idle: Vec::new(),
        }
    }
}

const HELP: &str = "\
loadtest drive: streams, open loop, mixed work, memory and idleness of tollgate beside nginx, by our own client

  --tollgate PATH          the binary to measure
  --out DIR                drive.md, drive.json and the configurations used go here
  --case NAME,...          which cases; a name may end with * (all)
  --rounds N               rounds; in each, every rig has one turn per case, in rotating order (3)
  --seconds N              how long requests are begun in a turn; streams are waited for beyond that (4)
  --events-per-second N    what the provider sends in all in the paced cases; streams wait between events (40000)
  --nginx PATH|none        nginx, with proxy_buffering off (found on PATH); left out when it is not there
  --proxy-cpu N            the proxies run on this CPU alone (the first that is ours)
  --load-cpu N             client and simulated provider run on this one (the last that is ours)

Cases
  closed-N                 N connections, each asks again when it was answered
  open-R                   R requests per second at planned instants; latency is counted from the plan
  streams-E-cN             N streams at once of E events, one by one
  burst-E-cN               the same, as fast as they go
  mixed-R                  R per second: seven of ten whole, two streams, one stream whose client leaves
  memory                   at rest, under load, with 2,000 idle connections, with 1,000 open streams, afterwards
  idle                     CPU and memory with nothing to do

CPU time is the sum over all threads of the proxy's processes from /proc/PID/task/*/schedstat, memory is from
/proc/PID/smaps_rollup. Every answer is checked, content and usage; a difference makes the run fail, a missed target does
not. Needs taskset and timeout on PATH, and about 6,000 open files, to which the limit is raised where that is allowed.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read() {
        let read = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(String::from).collect();
            Options::read(&words)
        };
        let own = std::env::current_exe().unwrap().display().to_string();
        let options =
            read(&format!("--tollgate {own} --out x --case idle,open-5* --rounds 2")).unwrap().unwrap();
        assert_eq!((options.cases.len(), options.rounds, options.seconds), (2, 2, 4));
        assert!(options.life() > Duration::from_secs(600));
        for wrong in
            ["--out x", "--tollgate /nowhere --out x", &format!("--tollgate {own} --out x --case none")]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read("--help").unwrap().is_none());
    }
}
