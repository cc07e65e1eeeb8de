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

/// A process's memory in each situation. Load, connections and streams have a fresh process each, so that nothing that
/// another left behind hides what they need.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    pub(super) who: Who,
    /// Started, asked nothing.
    pub(super) rest: Resident,
    /// The most that was seen with 64 connections asking as fast as they could, and afterwards.
    pub(super) load: Resident,
    pub(super) after_load: Resident,
    pub(super) connections: Held,
    pub(super) streams: Held,
    pub(super) checks: Vec<Check>,
}

/// So many of something, held open at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) count: u64,
    /// Before the first, when one request had been answered.
    pub(super) before: Resident,
    pub(super) held: Resident,
    /// When they had ended.
    pub(super) after: Resident,
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
    /// When the process has had time to become quiet.
    fn settled(pid: u32) -> Result<Resident, String> {
        std::thread::sleep(SETTLE);
        Resident::of(pid)
    }

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
}

impl Held {
    /// Bytes of each.
    pub(super) fn each(&self) -> f64 {
        (self.held.rss as f64 - self.before.rss as f64) / self.count.max(1) as f64
    }
}

/// Bytes of a line such as `Rss:   12 kB`.
fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    number.unwrap_or(0) * 1024
}

impl Memory {
    /// Takes fresh processes through all situations.
    pub(super) fn measure(
        who: Who,
        connections: usize,
        streams: usize,
        ground: &Ground,
        bench: &Bench,
    ) -> Result<Memory, String> {
        let (rig, pid) = fresh(who, ground)?;
        let rest = Resident::settled(pid)?;
        let (load, mut checks) = under_load(&rig, pid, bench)?;
        let after_load = Resident::settled(pid)?;
        drop(rig);
        let connections = with_connections(who, connections, ground)?;
        let (streams, check) = with_streams(who, streams, ground, bench)?;
        checks.push(check);
        Ok(Memory { who, rest, load, after_load, connections, streams, checks })
    }
}

impl Idle {
    /// Watches a fresh process that was asked once.
    pub(super) fn measure(who: Who, ground: &Ground) -> Result<Idle, String> {
        let (rig, pid) = fresh(who, ground)?;
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

/// A process that was started and asked nothing.
fn fresh(who: Who, ground: &Ground) -> Result<(Rig, u32), String> {
    let rig = Rig::start(who, ground)?;
    let pid = rig.pid().ok_or("the provider itself is not measured")?;
    Ok((rig, pid))
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

/// Memory with so many idle connections, each of which has been served.
fn with_connections(who: Who, count: usize, ground: &Ground) -> Result<Held, String> {
    let (rig, pid) = fresh(who, ground)?;
    hold(&rig, 1)?;
    let before = Resident::settled(pid)?;
    let clients = hold(&rig, count)?;
    let held = Resident::settled(pid)?;
    drop(clients);
    Ok(Held { count: count as u64, before, held, after: Resident::settled(pid)? })
}

/// Memory when all of so many streams are open and have brought some of their events.
fn with_streams(who: Who, count: usize, ground: &Ground, bench: &Bench) -> Result<(Held, Check), String> {
    let (rig, pid) = fresh(who, ground)?;
    hold(&rig, 1)?;
    let before = Resident::settled(pid)?;
    let ramp = Duration::from_secs(1);
    let work = Work::of(script(64, STREAM_GAP), true, Pace::Closed { ramp }, count);
    bench.simulator.set_script(work.script.clone());
    let mut load = bench.load(&rig, &work, Duration::from_secs(60));
    load.requests = count as u64;
    let (held, tally) = std::thread::scope(|scope| {
        let driven = scope.spawn(|| load.drive());
        let mut held = None;
        while !driven.is_finished() {
            if held.is_none() && open(&bench.simulator.ledger()) == count as u64 {
                std::thread::sleep(ramp);
                held = Some(Resident::of(pid)?);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let tally =
            driven.join().map_err(|_| "the load has died")?.map_err(|why| format!("streams: {why}"))?;
        Ok::<_, String>((held, tally))
    })?;
    let held = held.ok_or(format!("at most {} streams were open at once", tally.open))?;
    let after = Resident::settled(pid)?;
    Ok((Held { count: count as u64, before, held, after }, all_right(&tally, count)))
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
        assert_eq!(Held { count: 4, before: found, held: more, after: found }.each(), 1024.0);
    }
}
