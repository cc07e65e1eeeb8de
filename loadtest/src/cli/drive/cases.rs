//! What is driven: one table.

use std::time::Duration;
use tollgate_loadtest::client::{Ask, Leave, Pace};
use tollgate_loadtest::{Count, Script};

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
}

/// What a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole answers, each connection asking again when it was answered.
    Closed { connections: usize },
    /// Whole answers at so many requests per second.
    Open { rate: u32 },
    /// So many streams at once of so many events. Paced ones come event by event, at a rate that the load generator
    /// keeps; the others as fast as they go.
    Streams { concurrent: usize, events: u32, paced: bool },
    /// So many requests per second: seven of ten whole, two streams, one stream whose client leaves.
    Mixed { rate: u32 },
    /// Memory of the gateway's process: at rest, under load, with idle connections, with open streams, afterwards.
    Memory { connections: usize, streams: usize },
    /// CPU and memory of a gateway with nothing to do.
    Idle,
}

const fn streams(name: &'static str, concurrent: usize, events: u32, paced: bool) -> Case {
    Case { name, kind: Kind::Streams { concurrent, events, paced } }
}

/// All rows, in the order in which they are driven.
pub(super) const CASES: [Case; 19] = [
    Case { name: "closed-1", kind: Kind::Closed { connections: 1 } },
    Case { name: "closed-64", kind: Kind::Closed { connections: 64 } },
    Case { name: "open-1000", kind: Kind::Open { rate: 1_000 } },
    Case { name: "open-5000", kind: Kind::Open { rate: 5_000 } },
    Case { name: "open-10000", kind: Kind::Open { rate: 10_000 } },
    streams("streams-64-c1", 1, 64, true),
    streams("streams-64-c64", 64, 64, true),
    streams("streams-64-c512", 512, 64, true),
    streams("streams-64-c2000", 2_000, 64, true),
    streams("streams-1000-c1", 1, 1_000, true),
    streams("streams-1000-c64", 64, 1_000, true),
    streams("streams-1000-c512", 512, 1_000, true),
    streams("streams-1000-c2000", 2_000, 1_000, true),
    streams("burst-64-c64", 64, 64, false),
    streams("burst-1000-c1", 1, 1_000, false),
    streams("burst-1000-c64", 64, 1_000, false),
    Case { name: "mixed-1000", kind: Kind::Mixed { rate: 1_000 } },
    Case { name: "memory", kind: Kind::Memory { connections: 2_000, streams: 1_000 } },
    Case { name: "idle", kind: Kind::Idle },
];

/// Bytes of a request, and the tokens of it that the provider reports.
pub(super) const BODY_BYTES: usize = 1024;
const INPUT_TOKENS: u64 = 250;
/// Different questions, so that an answer to somebody else's is found.
pub(super) const VARIANTS: usize = 4;
/// Connections of open and mixed loads, and requests that may wait for one.
const OPEN_CONNECTIONS: usize = 256;
const BACKLOG: usize = 20_000;
/// Events of a stream beside its text: who speaks, why it ended, the usage, `[DONE]`.
const OTHER_EVENTS: u32 = 4;
/// The shortest time between two events of a paced stream.
const GAP_MIN: Duration = Duration::from_millis(1);
/// Streams of a case begin within this time, or within one's life if that is shorter.
const RAMP_MAX: Duration = Duration::from_secs(2);

/// How a row is driven: what the provider does, and what the client.
#[derive(Clone, Debug)]
pub(super) struct Work {
    pub(super) script: Script,
    pub(super) mix: Vec<(Ask, u32)>,
    pub(super) pace: Pace,
    pub(super) connections: usize,
    /// Longer than an answer can take.
    pub(super) patience: Duration,
    /// Clients leave, so that the ledgers agree within bounds only.
    pub(super) leaves: bool,
}

impl Case {
    /// The cases that one of the patterns names; a pattern may end with `*`. Fails when one of them names none.
    pub(super) fn named(patterns: &[&str]) -> Result<Vec<Case>, String> {
        let fits = |pattern: &str, name: &str| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start),
            None => pattern == name,
        };
        for pattern in patterns {
            if !CASES.iter().any(|case| fits(pattern, case.name)) {
                let names: Vec<&str> = CASES.iter().map(|case| case.name).collect();
                return Err(format!("there is no case {pattern:?}; there are {}", names.join(", ")));
            }
        }
        Ok(CASES.into_iter().filter(|case| patterns.iter().any(|pattern| fits(pattern, case.name))).collect())
    }

    /// How it is driven when `events_per_second` is what paced streams may send in all; `None` for rows that are
    /// no load.
    pub(super) fn work(&self, events_per_second: u32) -> Option<Work> {
        let closed = |ramp| Pace::Closed { ramp };
        let open = |rate: u32| Pace::Open { rate: f64::from(rate), backlog: BACKLOG };
        let whole = script(4, Duration::ZERO);
        let work = match self.kind {
            Kind::Closed { connections } => Work::of(whole, false, closed(Duration::ZERO), connections),
            Kind::Open { rate } => Work::of(whole, false, open(rate), OPEN_CONNECTIONS),
            Kind::Streams { concurrent, events, paced } => {
                let gap = if paced { gap(concurrent, events_per_second) } else { Duration::ZERO };
                let script = script(events, gap);
                let ramp = (gap * events).min(RAMP_MAX);
                Work::of(script, true, closed(ramp), concurrent)
            }
            Kind::Mixed { rate } => {
                let script = script(64, GAP_MIN);
                let streams = asks(&script, true);
                let mut work = Work::of(script, false, open(rate), OPEN_CONNECTIONS);
                work.mix.iter_mut().for_each(|(_, share)| *share = 7);
                let leaving = streams.iter().map(|ask| (ask.clone().leaving(Leave::AfterEvents(8)), 1));
                work.mix.extend(streams.iter().map(|ask| (ask.clone(), 2)).chain(leaving));
                work.leaves = true;
                work
            }
            Kind::Memory { .. } | Kind::Idle => return None,
        };
        Some(work)
    }
}

impl Work {
    /// One kind of answer, to several questions.
    pub(super) fn of(script: Script, stream: bool, pace: Pace, connections: usize) -> Work {
        let life = script.chunk_gap * (script.chunks + OTHER_EVENTS);
        let mix = asks(&script, stream).into_iter().map(|ask| (ask, 1)).collect();
        Work { script, mix, pace, connections, patience: life * 2 + Duration::from_secs(15), leaves: false }
    }
}

/// What the provider does: streams of so many events in all, one token for each piece of text.
pub(super) fn script(events: u32, gap: Duration) -> Script {
    let chunks = events.saturating_sub(OTHER_EVENTS).max(1);
    Script {
        input_tokens: Count::Fixed(INPUT_TOKENS),
        output_tokens: u64::from(chunks),
        chunks,
        chunk_gap: gap,
        record: false,
        ..Script::default()
    }
}

fn asks(script: &Script, stream: bool) -> Vec<Ask> {
    (0..VARIANTS).map(|variant| Ask::chat(script, stream, BODY_BYTES, variant)).collect()
}

/// The time between two events of each of so many streams.
fn gap(concurrent: usize, events_per_second: u32) -> Duration {
    let gap = Duration::from_secs(1).mul_f64(concurrent as f64 / f64::from(events_per_second.max(1)));
    gap.max(GAP_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_named() {
        let names = |patterns: &[&str]| {
            Case::named(patterns).map(|cases| cases.iter().map(|case| case.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["*"]).unwrap().len(), CASES.len());
        assert_eq!(names(&["idle", "open-1*"]).unwrap(), ["open-1000", "open-10000", "idle"]);
        assert!(names(&["idle", "nothing"]).unwrap_err().contains("streams-64-c1"));
    }

    #[test]
    fn streams_have_so_many_events_and_a_gap_that_is_kept() {
        for (name, chunks, gap_us) in
            [("streams-64-c1", 60, 1_000), ("streams-1000-c2000", 996, 50_000), ("burst-64-c64", 60, 0)]
        {
            let work = Case::named(&[name]).unwrap()[0].work(40_000).unwrap();
            assert_eq!((work.script.chunks, work.script.chunk_gap.as_micros()), (chunks, gap_us), "{name}");
            assert_eq!(work.mix.len(), VARIANTS);
            assert!(work.patience > work.script.chunk_gap * (chunks + 4));
        }
        let mixed = Case::named(&["mixed*"]).unwrap()[0].work(1).unwrap();
        let shares: Vec<u32> = mixed.mix.iter().map(|(_, share)| *share).collect();
        assert_eq!(shares, [7, 7, 7, 7, 2, 2, 2, 2, 1, 1, 1, 1]);
        assert!(mixed.leaves && Case::named(&["idle"]).unwrap()[0].work(1).is_none());
    }
}
