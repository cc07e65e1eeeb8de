//! `loadtest hop`: what one proxied request costs in CPU, tollgate beside nginx.
//!
//! Both proxies stand before the same simulator at the same time and are driven in turns, in an order that rotates
//! from round to round, so that whatever else the machine does falls on both. What is compared is not speed but
//! CPU time per request, which a busy neighbour disturbs far less.

mod report;
mod rig;
mod wrk;

use super::kit::process::{self, Cpu};
use report::{Report, Round};
use rig::Rig;
use std::path::PathBuf;
use std::time::Duration;
use tollgate_loadtest::{Count, Script, Simulator};
use wrk::Wrk;

/// What was asked for.
struct Options {
    tollgate: Option<PathBuf>,
    nginx: String,
    limits: bool,
    out: PathBuf,
    rounds: usize,
    seconds: u64,
    connections: u32,
    body_bytes: usize,
    proxy_cpu: u32,
    load_cpu: u32,
}

/// Measures, prints the table, and writes `hop.md`, `hop.json` and the configurations used under `--out`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(options) = Options::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    std::fs::create_dir_all(&options.out).map_err(|why| format!("{}: {why}", options.out.display()))?;
    let simulator = upstream(&options)?;
    let (rigs, notes) = rig::start_all(&options, simulator.addr().port())?;
    if rigs.is_empty() {
        return Err(format!("nothing to measure: {}", notes.join("; ")));
    }
    let wrk = Wrk::prepare(&options)?;
    for rig in &rigs {
        wrk.drive(rig.port, Duration::from_secs(1))?;
    }
    let mut report = Report::new(&options, &rigs, notes);
    for round in 0..options.rounds {
        for turn in 0..rigs.len() {
            let rig = &rigs[(turn + round) % rigs.len()];
            report.add(measure(rig, round, turn, &wrk, &simulator, &options)?);
        }
    }
    for rig in rigs {
        rig.stop();
    }
    report.ledger(simulator.stop());
    report.write(&options.out)?;
    println!("{}", report.markdown());
    Ok(())
}

/// The simulator in this process, its thread pinned beside the load client.
fn upstream(options: &Options) -> Result<Simulator, String> {
    let script = Script { input_tokens: Count::FromBody, record: false, ..Script::default() };
    let simulator = Simulator::start(script).map_err(|why| format!("simulator: {why}"))?;
    let thread = process::own_thread("simulator").ok_or("the simulator's thread was not found in /proc")?;
    process::pin(thread, options.load_cpu)?;
    Ok(simulator)
}

fn measure(
    rig: &Rig,
    round: usize,
    turn: usize,
    wrk: &Wrk,
    simulator: &Simulator,
    options: &Options,
) -> Result<Round, String> {
    let served = simulator.ledger().completed;
    let before = Cpu::of(rig.pid)?;
    let load = wrk.drive(rig.port, Duration::from_secs(options.seconds))?;
    let after = Cpu::of(rig.pid)?;
    let served = simulator.ledger().completed - served;
    eprintln!("round {} of {}: {:<9} {served} requests", round + 1, options.rounds, rig.name);
    Ok(Round {
        rig: rig.name,
        round,
        turn,
        served,
        cpu: after.since(&before),
        load,
        busy: process::load_average(),
    })
}

impl Options {
    /// Longer than all of it can take.
    fn life(&self) -> Duration {
        Duration::from_secs(300 + self.rounds as u64 * self.seconds * 4)
    }

    fn read(arguments: &[String]) -> Result<Option<Options>, String> {
        let mut options = Options {
            tollgate: None,
            nginx: "nginx".into(),
            limits: false,
            out: PathBuf::new(),
            rounds: 6,
            seconds: 5,
            connections: 64,
            body_bytes: 1024,
            proxy_cpu: 0,
            load_cpu: 1,
        };
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            if argument == "--help" {
                return Ok(None);
            }
            if argument == "--limits" {
                options.limits = true;
                continue;
            }
            let value = rest.next().ok_or(format!("{argument} needs a value; see --help"))?;
            let wrong = |_| format!("{argument}: {value:?} is not a number");
            match argument.as_str() {
                "--tollgate" => options.tollgate = Some(value.into()),
                "--nginx" => options.nginx = value.clone(),
                "--out" => options.out = value.into(),
                "--rounds" => options.rounds = value.parse::<usize>().map_err(wrong)?.max(1),
                "--seconds" => options.seconds = value.parse::<u64>().map_err(wrong)?.max(1),
                "--connections" => options.connections = value.parse::<u32>().map_err(wrong)?.max(1),
                "--body-bytes" => options.body_bytes = value.parse().map_err(wrong)?,
                "--proxy-cpu" => options.proxy_cpu = value.parse().map_err(wrong)?,
                "--load-cpu" => options.load_cpu = value.parse().map_err(wrong)?,
                _ => return Err(format!("there is no {argument}; see --help")),
            }
        }
        if options.out.as_os_str().is_empty() {
            return Err("--out DIR is missing: where the tables go".into());
        }
        Ok(Some(options))
    }
}

const HELP: &str = "\
loadtest hop: CPU time per proxied request, tollgate beside nginx, on this machine and loopback

  --tollgate PATH     the binary to measure; without it only nginx is
  --limits            tollgate with limits in all units is measured too, beside itself without any
  --nginx PATH        nginx (found on PATH); when it is not there only tollgate is measured
  --out DIR           hop.md, hop.json and the configurations used go here
  --rounds N          rounds; in each, every proxy has one turn, in rotating order (6)
  --seconds N         how long a turn is (5)
  --connections N     connections of wrk (64)
  --body-bytes N      size of the chat request posted (1024)
  --proxy-cpu N       the proxies run on this CPU alone (0)
  --load-cpu N        wrk and the simulated provider run on this one (1)

Both proxies stand before the same simulated provider and keep their connections to it. CPU time is the sum over all
threads of the proxy's processes from /proc/PID/task/*/schedstat; requests are those the provider answered.
Needs wrk, taskset and timeout on PATH. Ends everything that it started.";
