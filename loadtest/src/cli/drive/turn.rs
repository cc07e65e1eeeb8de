//! One turn: one rig under one load, and whether everybody's books agree afterwards.

use super::cases::Work;
use super::rigs::{Rig, Who};
use crate::cli::kit::process::{Cpu, load_average, own_thread, pin, thread_ns};
use std::time::{Duration, Instant};
use tollgate_loadtest::client::{Leave, Load, Pace, Tally};
use tollgate_loadtest::{Ledger, Script, Simulator, Usage};

/// How long the provider may need to see that a client has gone.
const QUIET_MAX: Duration = Duration::from_secs(5);

/// The provider and the load client, on one CPU.
pub(super) struct Bench {
    pub(super) simulator: Simulator,
    /// The provider's thread.
    thread: u32,
    pub(super) load_cpu: usize,
}

/// What a turn found.
pub(super) struct Turn {
    pub(super) case: &'static str,
    pub(super) who: Who,
    pub(super) round: usize,
    pub(super) tally: Tally,
    /// CPU time of the proxy.
    pub(super) cpu: Option<Cpu>,
    /// Of the provider's thread, in nanoseconds.
    pub(super) provider_ns: u64,
    /// Load average of the machine at the end.
    pub(super) load_average: f64,
    pub(super) checks: Vec<Check>,
}

/// Something that must hold, and what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Check {
    pub(super) what: &'static str,
    pub(super) holds: bool,
    pub(super) found: String,
}

/// What the provider's ledger gained.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Gain {
    requests: u64,
    completed: u64,
    /// Ended before their end.
    early: u64,
    /// Requests that were not as they should be.
    faulty: u64,
    tokens: (u64, u64),
}

impl Bench {
    /// Starts the provider on `load_cpu`.
    pub(super) fn start(load_cpu: usize) -> Result<Bench, String> {
        let script = Script { record: false, ..Script::default() };
        let simulator = Simulator::start(script).map_err(|why| format!("simulator: {why}"))?;
        let thread = own_thread("simulator").ok_or("the simulator's thread was not found in /proc")?;
        pin(thread, load_cpu as u32)?;
        Ok(Bench { simulator, thread, load_cpu })
    }

    /// Drives `rig` as `work` says, beginning requests for `time`.
    pub(super) fn drive(
        &self,
        rig: &Rig,
        work: &Work,
        time: Duration,
        case: &'static str,
        round: usize,
    ) -> Result<Turn, String> {
        self.simulator.set_script(work.script.clone());
        self.warm(work)?;
        let settled = rig.settled()?;
        let before = self.quiet();
        let mut begun = (Ok(None), 0);
        let load = self.load(rig, work, time);
        let tally = load.drive_after(|| begun = (rig.cpu(), thread_ns(self.thread)));
        let tally = tally.map_err(|why| format!("{} of {case}: {why}", rig.who.name()))?;
        let (cpu, provider_ns) = (rig.cpu()?, thread_ns(self.thread).saturating_sub(begun.1));
        let cpu = cpu.zip(begun.0?).map(|(after, before)| after.since(&before));
        let settled =
            rig.settled()?.zip(settled).map(|(after, before)| (after.0 - before.0, after.1 - before.1));
        let gain = Gain::between(&before, &self.quiet());
        let checks = agree(&tally, &gain, settled, work);
        let load_average = load_average();
        Ok(Turn { case, who: rig.who, round, tally, cpu, provider_ns, load_average, checks })
    }

    /// The load on `rig`.
    pub(super) fn load(&self, rig: &Rig, work: &Work, time: Duration) -> Load {
        Load {
            addr: rig.addr(),
            cpus: vec![self.load_cpu],
            connections: work.connections,
            pace: work.pace,
            mix: work.mix.clone(),
            time,
            requests: u64::MAX,
            patience: work.patience,
        }
    }

    /// Asks everything once, so that the provider has worked its answers out before they are timed.
    fn warm(&self, work: &Work) -> Result<(), String> {
        let early = |(ask, _): &(tollgate_loadtest::client::Ask, u32)| {
            (ask.clone().leaving(Leave::AfterEvents(1)), 1)
        };
        let load = Load {
            addr: self.simulator.addr(),
            cpus: vec![self.load_cpu],
            connections: 1,
            pace: Pace::Closed { ramp: Duration::ZERO },
            mix: work.mix.iter().map(early).collect(),
            time: Duration::from_secs(30),
            requests: work.mix.len() as u64,
            patience: work.patience,
        };
        match load.drive() {
            Ok(tally) if tally.failed() == 0 => Ok(()),
            Ok(tally) => Err(format!("the provider does not answer as expected: {:?}", tally.examples)),
            Err(why) => Err(format!("the provider does not answer: {why}")),
        }
    }

    /// The ledger when no answer is under way any more, or when the patience is at its end.
    pub(super) fn quiet(&self) -> Ledger {
        let until = Instant::now() + QUIET_MAX;
        loop {
            let ledger = self.simulator.ledger();
            let open = open(&ledger);
            if open == 0 || Instant::now() > until {
                return ledger;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Answers under way.
pub(super) fn open(ledger: &Ledger) -> u64 {
    ledger.requests.saturating_sub(ledger.completed + ledger.cut + ledger.client_gone)
}

impl Turn {
    /// Microseconds of the proxy's CPU for each of so many.
    pub(super) fn cpu_us_per(&self, count: u64) -> Option<f64> {
        self.cpu.as_ref().map(|cpu| cpu.schedstat_ns as f64 / 1e3 / count.max(1) as f64)
    }

    /// How much of its CPU client and provider used together: near 1 it is they that bound the rate.
    pub(super) fn load_share(&self) -> f64 {
        let used = self.tally.cpu.as_secs_f64() + self.provider_ns as f64 / 1e9;
        used / self.tally.elapsed.as_secs_f64().max(1e-9)
    }

    /// Answers per second.
    pub(super) fn rate(&self) -> f64 {
        self.tally.completed as f64 / self.tally.elapsed.as_secs_f64().max(1e-9)
    }
}

impl Gain {
    fn between(before: &Ledger, after: &Ledger) -> Gain {
        let early = |ledger: &Ledger| ledger.cut + ledger.client_gone;
        let faulty = |ledger: &Ledger| ledger.malformed + ledger.protocol_faults + ledger.refused;
        let tokens = |usage: Usage| (usage.input, usage.output);
        let (old, new) = (tokens(before.reported), tokens(after.reported));
        Gain {
            requests: after.requests - before.requests,
            completed: after.completed - before.completed,
            early: early(after) - early(before),
            faulty: faulty(after) - faulty(before),
            tokens: (new.0 - old.0, new.1 - old.1),
        }
    }
}

/// Compares the client's counts with the provider's, and the gateway's with both.
fn agree(tally: &Tally, gain: &Gain, settled: Option<(u64, u64)>, work: &Work) -> Vec<Check> {
    let mut checks = Vec::new();
    let mut check = |what, holds, found: String| checks.push(Check { what, holds, found });
    let tokens = (tally.usage.input, tally.usage.output);
    let examples: Vec<String> =
        tally.examples.iter().map(|example| format!("{}: {}", example.kind, example.what)).collect();
    check(
        "every answer is right, content and usage",
        tally.failed() == 0 && tally.completed > 0,
        format!(
            "{} right, {} different, {} broken off, {} unfinished, {} connections refused, {} stray{}{}",
            tally.completed,
            tally.different,
            tally.broken,
            tally.unfinished,
            tally.connect_failures,
            tally.strays,
            if examples.is_empty() { "" } else { "; " },
            examples.join("; ")
        ),
    );
    check("the provider found no fault in a request", gain.faulty == 0, format!("{} faults", gain.faulty));
    let answered = tally.completed + tally.different;
    let (requests, completed, told) = if work.leaves {
        // Who leaves may not have been heard, and may have been answered to the end without noticing.
        let within = gain.completed >= answered && gain.completed <= answered + tally.left;
        let told = gain.tokens.0 >= tokens.0 && gain.tokens.1 >= tokens.1;
        (gain.requests <= tally.sent && gain.requests == gain.completed + gain.early, within, told)
    } else {
        (gain.requests == tally.sent, gain.completed == answered, gain.tokens == tokens)
    };
    check("requests agree", requests, format!("{} sent, {} received", tally.sent, gain.requests));
    check(
        "completed answers agree",
        completed,
        format!("{answered} by the client ({} left), {} by the provider", tally.left, gain.completed),
    );
    check("tokens agree", told, format!("{tokens:?} by the client, {:?} by the provider", gain.tokens));
    if let Some(settled) = settled {
        // A stream whose client left is settled with what was counted, at most all of it.
        let most = (tokens.0 + tally.left * most(work).0, tokens.1 + tally.left * most(work).1);
        let within =
            settled.0 >= tokens.0 && settled.1 >= tokens.1 && settled.0 <= most.0 && settled.1 <= most.1;
        let holds = if work.leaves { within } else { settled == gain.tokens };
        check(
            "settled tokens agree",
            holds,
            format!("{settled:?} by tollgate, {:?} by the provider", gain.tokens),
        );
    }
    checks
}

/// The tokens of one answer, and as many as a gateway may count in their place: one for each byte of the text.
fn most(work: &Work) -> (u64, u64) {
    let text = u64::from(work.script.chunks) * u64::from(work.script.chunk_bytes.max(64));
    (super::cases::BODY_BYTES as u64, text.max(work.script.output_tokens))
}

#[cfg(test)]
mod tests {
    use super::super::cases::script;
    use super::*;
    use tollgate_loadtest::client::Ask;

    /// A small load without anybody between client and provider, and what both counted.
    fn driven(leaves: bool) -> (Tally, Gain, Work) {
        let script = script(8, Duration::from_millis(1));
        let simulator = Simulator::start(script.clone()).unwrap();
        let mut work = Work::of(script.clone(), true, Pace::Closed { ramp: Duration::ZERO }, 4);
        if leaves {
            work.mix.push((Ask::chat(&script, true, 1024, 0).leaving(Leave::AfterEvents(2)), 4));
        }
        work.leaves = leaves;
        let mut load = Load::closed(simulator.addr(), 4, work.mix[0].0.clone(), Duration::from_secs(30));
        (load.mix, load.requests) = (work.mix.clone(), 40);
        let tally = load.drive().unwrap();
        while open(&simulator.ledger()) > 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
        (tally, Gain::between(&Ledger::default(), &simulator.stop()), work)
    }

    fn failed(checks: &[Check]) -> Vec<&'static str> {
        checks.iter().filter(|check| !check.holds).map(|check| check.what).collect()
    }

    #[test]
    fn books_that_agree_and_books_that_do_not() {
        let (tally, gain, work) = driven(false);
        let tokens = Some(gain.tokens);
        assert_eq!(failed(&agree(&tally, &gain, tokens, &work)), [""; 0]);
        let rows = [
            (Gain { requests: gain.requests + 1, ..gain }, tokens, vec!["requests agree"]),
            (Gain { completed: gain.completed - 1, ..gain }, tokens, vec!["completed answers agree"]),
            (
                Gain { tokens: (gain.tokens.0, gain.tokens.1 + 1), ..gain },
                tokens,
                vec!["tokens agree", "settled tokens agree"],
            ),
            (Gain { faulty: 1, ..gain }, tokens, vec!["the provider found no fault in a request"]),
            (gain, Some((gain.tokens.0 - 1, gain.tokens.1)), vec!["settled tokens agree"]),
            (gain, None, vec![]),
        ];
        for (gain, settled, expected) in rows {
            assert_eq!(failed(&agree(&tally, &gain, settled, &work)), expected, "{gain:?}");
        }
    }

    #[test]
    fn who_left_is_settled_within_bounds() {
        let (tally, gain, work) = driven(true);
        assert_eq!((tally.completed, tally.left, gain.requests), (20, 20, 40));
        let told = (tally.usage.input, tally.usage.output);
        assert_eq!(failed(&agree(&tally, &gain, Some(told), &work)), [""; 0]);
        let counted = (told.0 + 20 * 250, told.1 + 20 * 3);
        assert_eq!(failed(&agree(&tally, &gain, Some(counted), &work)), [""; 0]);
        let less = (told.0 - 1, told.1);
        assert_eq!(failed(&agree(&tally, &gain, Some(less), &work)), ["settled tokens agree"]);
        let more = (told.0 + 20 * 2_000, told.1);
        assert_eq!(failed(&agree(&tally, &gain, Some(more), &work)), ["settled tokens agree"]);
    }
}
