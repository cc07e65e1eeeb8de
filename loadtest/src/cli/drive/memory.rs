//! What a proxy's process holds in memory, and what it does when it has nothing to do.

use super::cases::{BODY_BYTES, Work, script};
use super::rigs::{Ground, Rig, Who};
use super::turn::{Bench, Check, open};
use crate::cli::kit::http::Client;
use crate::cli::kit::process::{Cpu, family};
use std::fs;
use std::time::{Duration, Instant};
use tollgate_loadtest::client::{Ask, Pace, Tally};

/// How long a process is given to become quiet, and to give memory back.
const SETTLE: Duration = Duration::from_secs(2);
/// How long an idle process is watched.
const IDLE: Duration = Duration::from_secs(10);
/// Time between two events of the streams that are held open: they all live for some seconds.
const STREAM_GAP: Duration = Duration::from_millis(125);

/// Resident memory of a process's family, in bytes, from /proc/PID/smaps_rollup. What the kernel holds for it
/// (socket buffers, rings) is not part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Resident {
    pub(super) rss: u64,
    /// The part that is its own and on no disk.
    pub(super) anonymous: u64,
}

/// A process's memory in each situation.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) who: Who,
    /// Started, asked nothing.
    pub(super) rest: Resident,
    /// The most that was seen with 64 connections asking as fast as they could.
    pub(super) load: Resident,
    /// Nothing under way after that.
    pub(super) quiet: Resident,
    /// With so many idle connections, each of which has been served.
    pub(super) connections: u64,
    pub(super) connected: Resident,
    /// With so many streams open, and just before.
    pub(super) streams: u64,
    pub(super) before_streams: Resident,
    pub(super) streaming: Resident,
    /// Some seconds after they ended.
    pub(super) after: Resident,
    pub(super) checks: Vec<Check>,
}

/// A process that has nothing to do.
#[derive(Clone, Debug)]
pub(super) struct Idle {
    pub(super) who: Who,
    /// CPU time used, and in how long.
    pub(super) cpu_ns: u64,
    pub(super) watched: Duration,
    pub(super) resident: Resident,
}

impl Resident {
    /// Of the process that was started and its descendants, without the `timeout` that watches over them.
    fn of(pid: u32) -> Result<Resident, String> {
        let mut sum = Resident::default();
        for pid in family(pid) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.trim() != "timeout" {
                let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
                sum.rss += field(&text, "Rss:");
                sum.anonymous += field(&text, "Anonymous:");
            }
        }
        if sum.rss == 0 { Err(format!("/proc/{pid}/smaps_rollup cannot be read")) } else { Ok(sum) }
    }

    /// Bytes for each of `count` that it grew by since `before`.
    pub(super) fn each(&self, before: &Resident, count: u64) -> f64 {
        (self.rss as f64 - before.rss as f64) / count.max(1) as f64
    }
}

/// Bytes of a line such as `Rss:   12 kB`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

impl Memory {
    /// Takes a fresh process through all situations.
    pub(super) fn measure(
        who: Who,
        connections: usize,
        streams: usize,
        ground: &Ground,
        bench: &Bench,
    ) -> Result<Memory, String> {
        let rig = Rig::start(who, ground)?;
        let pid = rig.pid().ok_or("the provider itself is not measured")?;
        std::thread::sleep(SETTLE);
        let rest = Resident::of(pid)?;
        let (load, mut checks) = under_load(&rig, pid, bench)?;
        std::thread::sleep(SETTLE);
        let quiet = Resident::of(pid)?;
        let held = hold(&rig, connections)?;
        std::thread::sleep(SETTLE);
        let connected = Resident::of(pid)?;
        drop(held);
        std::thread::sleep(SETTLE);
        let before_streams = Resident::of(pid)?;
        let (streaming, check) = with_streams(&rig, pid, streams, bench)?;
        checks.push(check);
        std::thread::sleep(SETTLE);
        let after = Resident::of(pid)?;
        let (connections, streams) = (connections as u64, streams as u64);
        Ok(Memory {
            who,
            rest,
            load,
            quiet,
            connections,
            connected,
            streams,
            before_streams,
            streaming,
            after,
            checks,
        })
    }
}

impl Idle {
    /// Watches a fresh process that was asked once.
    pub(super) fn measure(who: Who, ground: &Ground) -> Result<Idle, String> {
        let rig = Rig::start(who, ground)?;
        let pid = rig.pid().ok_or("the provider itself is not measured")?;
        let held = hold(&rig, 1)?;
        std::thread::sleep(SETTLE);
        let (before, begin) = (Cpu::of(pid)?, Instant::now());
        std::thread::sleep(IDLE);
        let (cpu, watched) = (Cpu::of(pid)?.since(&before), begin.elapsed());
        drop(held);
        Ok(Idle { who, cpu_ns: cpu.schedstat_ns, watched, resident: Resident::of(pid)? })
    }

    /// The part of one core that it used.
    pub(super) fn share(&self) -> f64 {
        self.cpu_ns as f64 / self.watched.as_nanos().max(1) as f64
    }
}

/// The most memory that is seen under a closed loop of 64 connections.
fn under_load(rig: &Rig, pid: u32, bench: &Bench) -> Result<(Resident, Vec<Check>), String> {
    let work = Work::of(script(4, Duration::ZERO), false, Pace::Closed { ramp: Duration::ZERO }, 64);
    std::thread::scope(|scope| {
        let driven = scope.spawn(|| bench.drive(rig, &work, Duration::from_secs(3), "memory", 0));
        let mut most = Resident::of(pid)?;
        while !driven.is_finished() {
            let now = Resident::of(pid)?;
            most = if now.rss > most.rss { now } else { most };
            std::thread::sleep(Duration::from_millis(200));
        }
        let turn = driven.join().map_err(|_| "the load has died")??;
        Ok((most, turn.checks))
    })
}

/// So many connections, each of which was served one answer and is kept.
fn hold(rig: &Rig, connections: usize) -> Result<Vec<Client>, String> {
    let ask = Ask::chat(&script(4, Duration::ZERO), false, BODY_BYTES, 0);
    let one = || {
        let mut client = Client::to(rig.port);
        match client.ask(ask.bytes()) {
            Ok((head, _)) if head.status == 200 => Ok(client),
            Ok((head, _)) => Err(format!("an idle connection was answered {}", head.status)),
            Err(why) => Err(format!("an idle connection: {why}")),
        }
    };
    (0..connections).map(|_| one()).collect()
}

/// Memory when all of so many streams are open.
fn with_streams(rig: &Rig, pid: u32, streams: usize, bench: &Bench) -> Result<(Resident, Check), String> {
    let ramp = Duration::from_secs(1);
    let work = Work::of(script(64, STREAM_GAP), true, Pace::Closed { ramp }, streams);
    bench.simulator.set_script(work.script.clone());
    let mut load = bench.load(rig, &work, Duration::from_secs(60));
    load.requests = streams as u64;
    std::thread::scope(|scope| {
        let driven = scope.spawn(|| load.drive());
        let mut found = None;
        while !driven.is_finished() && found.is_none() {
            if open(&bench.simulator.ledger()) == streams as u64 {
                // All have had some of their events by then.
                std::thread::sleep(ramp);
                found = Some(Resident::of(pid)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let tally =
            driven.join().map_err(|_| "the load has died")?.map_err(|why| format!("streams: {why}"))?;
        let found = found.ok_or(format!("at most {} streams were open at once", tally.open))?;
        Ok((found, all_right(&tally, streams)))
    })
}

fn all_right(tally: &Tally, streams: usize) -> Check {
    let found = format!("{} of {streams}; {:?}", tally.completed, tally.examples);
    let holds = tally.completed == streams as u64 && tally.failed() == 0;
    Check { what: "every stream that was held open is right", holds, found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_memory_is_found() {
        let found = Resident::of(std::process::id()).unwrap();
        assert!(found.rss > found.anonymous && found.anonymous > 0, "{found:?}");
        assert_eq!(field("Rss:       12 kB\nPss: 4 kB\n", "Pss:"), 4096);
        let more = Resident { rss: found.rss + 4096, ..found };
        assert_eq!((more.each(&found, 4), found.each(&more, 4)), (1024.0, -1024.0));
    }
}
