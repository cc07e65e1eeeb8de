//! `loadtest tls`: what a handshake costs, full and resumed, and a byte of a large answer, tollgate beside nginx.
//!
//! As in the suite, all stand at the same time and have turns that rotate; and CPU time is what is compared first. The
//! client is our own, on rustls.

mod client;
mod summary;

use super::cases::{Row, Setup, Who};
use super::machine;
use super::peers::Contender;
use super::rig::{Place, Rig};
use super::stand::{provider, request};
use crate::cli::kit::gateway::end_after;
use crate::cli::kit::options::Options;
use crate::cli::kit::process::{self, Cpu};
use client::{Brought, Driver};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use summary::Report;

/// What is measured, in this order in each round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Measure {
    /// Handshakes of clients that have never come.
    Full,
    /// Handshakes of clients that come again.
    Resumed,
    /// Large answers, on connections that stay.
    Bulk,
}

const MEASURES: [Measure; 3] = [Measure::Full, Measure::Resumed, Measure::Bulk];

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Measure::Full => "full handshakes",
            Measure::Resumed => "resumed handshakes",
            Measure::Bulk => "bulk",
        }
    }
}

/// What a turn brought.
#[derive(Clone, Debug)]
struct Turn {
    label: String,
    measure: Measure,
    round: usize,
    place: usize,
    brought: Brought,
    /// CPU time of the gateway meanwhile.
    cpu: Cpu,
}

struct Asked {
    tollgate: PathBuf,
    home: PathBuf,
    installed: PathBuf,
    out: PathBuf,
    with_nginx: bool,
    rounds: usize,
    seconds: u64,
    clients: u32,
    mebibytes: u64,
}

/// Measures, writes the results, and prints the summary; an error when a turn of tollgate's was not right.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(asked) = Asked::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    fs::create_dir_all(&asked.out).map_err(|why| format!("{}: {why}", asked.out.display()))?;
    let life = asked.life();
    end_after(life);
    let mut contenders = vec![Contender::tollgate(&asked.tollgate, &asked.home)];
    let mut notes = Vec::new();
    if asked.with_nginx {
        match Contender::known("nginx", &asked.home, &asked.installed) {
            Ok(nginx) => contenders.push(nginx),
            Err(note) => notes.push(note),
        }
    }
    let cpus = std::thread::available_parallelism().map_err(|why| why.to_string())?.get() as u32;
    let scratch = std::env::temp_dir().join(format!("tollgate-tls-{}", std::process::id()));
    let measured = measure(&asked, &contenders, (&scratch, cpus, life), &mut notes);
    let _ = fs::remove_dir_all(&scratch);
    notes.iter().for_each(|note| eprintln!("note: {note}"));
    let report = Report {
        machine: machine::describe(&contenders, &asked.installed, cpus),
        asked: format!(
            "{} rounds of {} s for each turn, {} clients at a time, answers of {} MiB",
            asked.rounds, asked.seconds, asked.clients, asked.mebibytes
        ),
        notes,
        turns: measured?,
    };
    report.write(&asked.out)?;
    println!("{}", report.markdown());
    report.verdict("tollgate")
}

fn measure(
    asked: &Asked,
    contenders: &[Contender],
    (scratch, cpus, life): (&PathBuf, u32, Duration),
    notes: &mut Vec<String>,
) -> Result<Vec<Turn>, String> {
    fs::create_dir_all(scratch).map_err(|why| format!("{}: {why}", scratch.display()))?;
    let (simulator, _) = provider(1 << 10)?;
    let thread = process::own_thread("simulator").ok_or("the simulator's thread was not found in /proc")?;
    process::pin(thread, cpus - 1)?;
    let place = Place {
        upstream: simulator.addr().port(),
        provider: thread,
        configs: asked.out.join("configs"),
        scratch: scratch.clone(),
        life,
        cpus,
    };
    let mut rigs = Vec::new();
    for contender in contenders {
        let row = Row { who: Who::Tollgate("tollgate"), setup: Setup::Bulk, keys: 1, workers: 1 };
        let (label, request) = (contender.name.clone(), request(Setup::Chat, 1 << 10));
        let sockets = u64::from(asked.clients) * 2 + 1024;
        match Rig::start(contender, &row, &label, sockets, request, &place) {
            Ok(rig) => rigs.push(rig),
            Err(why) if contender.is_tollgate() => return Err(why),
            Err(why) => notes.push(format!("{label} was not measured: {why}")),
        }
    }
    let mut turns = Vec::new();
    for round in 0..asked.rounds {
        for measure in MEASURES {
            for place in 0..rigs.len() {
                let rig = &rigs[(place + round) % rigs.len()];
                let turn = take(asked, rig, measure, cpus - 1)?;
                eprintln!(
                    "round {} of {}: {:<9} {:<18} {}",
                    round + 1,
                    asked.rounds,
                    rig.label,
                    measure.name(),
                    turn.shown()
                );
                turns.push(Turn { round, place, ..turn });
            }
        }
    }
    Ok(turns)
}

fn take(asked: &Asked, rig: &Rig, measure: Measure, cpu: u32) -> Result<Turn, String> {
    let config = rig.request.tls.clone().ok_or("it has no certificate")?;
    let driver = Driver {
        port: rig.port,
        config,
        measure,
        clients: asked.clients,
        time: Duration::from_secs(asked.seconds),
        bytes: asked.mebibytes << 20,
        cpu,
    };
    let before = rig.cpu()?;
    let brought = driver.run();
    let cpu = rig.cpu()?.since(&before);
    Ok(Turn { label: rig.label.clone(), measure, round: 0, place: 0, brought, cpu })
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Option<Asked>, String> {
        let Some(mut options) = Options::read(arguments)? else { return Ok(None) };
        let mut path =
            |name: &str, otherwise: &str| PathBuf::from(options.text(name).unwrap_or(otherwise.into()));
        let (home, installed) = (path("home", "loadtest/peers"), path("installed", "target/peers"));
        let with_nginx = match options.text("peers").as_deref() {
            None | Some("nginx") => true,
            Some("none") => false,
            Some(other) => return Err(format!("--peers: {other:?} is neither nginx nor none")),
        };
        let asked = Asked {
            tollgate: options.needed_path("tollgate", "the binary to be measured")?,
            out: options.needed_path("out", "where the results go")?,
            home,
            installed,
            with_nginx,
            rounds: options.number("rounds", 6, 1, 100)?,
            seconds: options.number("seconds", 4, 1, 60)?,
            clients: options.number("clients", 8, 1, 256)?,
            mebibytes: options.number("mebibytes", 8, 1, 1024)?,
        };
        options.end()?;
        Ok(Some(asked))
    }

    /// Longer than all of it can take.
    fn life(&self) -> Duration {
        let turns = self.rounds as u64 * MEASURES.len() as u64 * 2;
        Duration::from_secs(180 + turns * (self.seconds + client::PATIENCE.as_secs()))
    }
}

const HELP: &str = "\
loadtest tls: handshakes, full and resumed, and bulk by TLS 1.3, tollgate beside nginx, on this machine and loopback

  --tollgate PATH   the binary to be measured (needed)
  --out DIR         tls.json, tls.md and configs/ go here (needed)
  --peers nginx     or none (nginx); if it is not installed that is noted, and it is left out
  --rounds N        rounds; in each, everybody has a turn of each measure, in rotating order (6)
  --seconds N       how long a turn is (4)
  --clients N       threads of the client, a connection each at a time (8)
  --mebibytes N     how large an answer of bulk is (8)
  --home DIR        templates of peers (loadtest/peers)
  --installed DIR   what was installed (target/peers)

Both stand before the same simulated provider as plain proxies with one worker on the first CPU; client and provider have
the last. A handshake counts when the client has the ticket that comes behind it, so that the server is done with it,
too; then the connection is reset. A resumed one counts only if it was resumed. The certificate is ECDSA P-256. CPU
time is that of all threads of the gateway's processes. Needs openssl, taskset, setpriv and timeout on PATH. Ends
everything that it started.";

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Option<Asked>, String> {
        Asked::read(&line.split_whitespace().map(String::from).collect::<Vec<_>>())
    }

    #[test]
    fn what_is_asked_for() {
        let asked = read("--tollgate t --out o --peers none --rounds 2 --clients 3").unwrap().unwrap();
        assert_eq!((asked.with_nginx, asked.rounds, asked.clients, asked.seconds), (false, 2, 3, 4));
        assert!(read("--tollgate t --out o").unwrap().unwrap().with_nginx);
        assert!(read("--tollgate t").is_err() && read("--out o").is_err(), "both are needed");
        assert!(read("--tollgate t --out o --peers haproxy").is_err() && read("--help").unwrap().is_none());
    }
}
