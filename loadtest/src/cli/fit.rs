//! `loadtest fit`: does a limit refuse what would have fitted?

mod bucket;
mod trace;

use super::kit::chat::Chat;
use super::kit::config::{Config, Limit, Route};
use super::kit::figures::Figures;
use super::kit::gateway::Setup;
use super::kit::http::Client;
use super::kit::options::Options;
use super::kit::pages::{self, Metrics};
use super::kit::stage::Stage;
use bucket::{Bucket, Made, TooLarge};
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tollgate_loadtest::Simulator;
use trace::Call;

/// What was asked for.
struct Asked {
    tollgate: PathBuf,
    out: Option<PathBuf>,
    seconds: u64,
    agents: u64,
    headroom: u64,
    seed: u64,
}

/// A call that was made, and how it was answered.
struct Answer {
    call: Call,
    tag: u64,
    at: u64,
    ended: u64,
    status: u16,
    fault: Option<String>,
}

/// The refill of the limit, in percent of what the calls use on average. It is the bursts that a bucket is for.
const RATE_PERCENT: u64 = 110;
/// Part of a body that is not the question: names, marks, `max_tokens`.
const BODY_BYTES: u64 = 150;
const KEY: &str = "sk-agents";
const QUIET_MAX: Duration = Duration::from_secs(15);

/// Replays a trace; an error when something was refused that fitted.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(asked) = Asked::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    let life = Duration::from_secs(asked.seconds * 3 + 120);
    let stage = Stage { name: "fit", binary: &asked.tollgate, life };
    stage.run(|setup, simulator| fit(&asked, setup, simulator))
}

fn fit(asked: &Asked, setup: &Setup, simulator: &Simulator) -> Result<(), String> {
    let calls = trace::make(asked.seed, asked.agents, asked.seconds);
    let planned: Vec<Made> = calls.iter().map(planned).collect();
    let total: u64 = planned.iter().map(|made| made.used).sum();
    let rate = (total * RATE_PERCENT / 100 / asked.seconds).max(1);
    let bucket = Bucket::smallest(&planned, rate, asked.headroom);
    setup.configure(&config(bucket, simulator.addr().port()).yaml(setup))?;
    let gateway = setup.start()?;

    let answers = replay(&calls, setup.port);
    pages::quiesce(setup.admin, QUIET_MAX)?;
    let metrics = Metrics::fetch(setup.admin)?;
    gateway.terminate()?;
    let journal = simulator.take_answers().list;
    let used: HashMap<u64, u64> = journal
        .iter()
        .filter_map(|answer| Some((answer.tag, answer.usage.map(|usage| usage.input + usage.output)?)))
        .collect();

    let mut figures = Figures::new("fit");
    for (name, value) in [
        ("agents", asked.agents),
        ("seconds", asked.seconds),
        ("seed", asked.seed),
        ("calls", calls.len() as u64),
        ("tokens used, as planned", total),
        ("most `max_tokens` in one call", calls.iter().map(|call| call.max_tokens).max().unwrap_or(0)),
        ("rate of the limit, tokens per second", bucket.rate),
        ("its capacity, tokens", bucket.capacity),
        ("headroom asked for, percent of the capacity", asked.headroom),
    ] {
        figures.row(name, value);
    }
    judge(&answers, &used, bucket, &mut figures);
    for what in ["reserved", "settled"] {
        let sum = metrics.sum(&format!("tollgate_limit_{what}_total"), &["unit=\"tokens\""]);
        figures.row(&format!("tokens {what}"), sum);
    }
    figures.publish(asked.out.as_deref())
}

/// All calls at their times, each lane on its own thread and connection.
fn replay(calls: &[Call], port: u16) -> Vec<Answer> {
    let mut lanes: BTreeMap<u64, Vec<(u64, Call)>> = BTreeMap::new();
    for (place, call) in calls.iter().enumerate() {
        lanes.entry(call.lane).or_default().push((place as u64 + 1, *call));
    }
    let began = Instant::now();
    std::thread::scope(|scope| {
        let lanes: Vec<_> = lanes.values().map(|lane| scope.spawn(move || walk(lane, port, began))).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap_or_default()).collect()
    })
}

fn walk(lane: &[(u64, Call)], port: u16, began: Instant) -> Vec<Answer> {
    let mut client = Client::to(port);
    let now = || began.elapsed().as_nanos() as u64;
    let one = |(tag, call): &(u64, Call)| {
        let chat = Chat {
            stream: call.stream,
            prompt_bytes: call.prompt_bytes,
            max_tokens: Some(call.max_tokens),
            latency_ms: call.latency_ms,
            chunks: (call.output / 20).max(1),
            ..Chat::whole("fit", *tag, KEY, call.output)
        };
        let bytes = chat.bytes();
        std::thread::sleep(
            (began + Duration::from_millis(call.at_ms)).saturating_duration_since(Instant::now()),
        );
        let at = now();
        let answer = client.ask(&bytes);
        let (status, fault) = match answer {
            Ok((head, _)) if matches!(head.status, 200 | 429) => (head.status, None),
            Ok((head, body)) => (head.status, Some(String::from_utf8_lossy(&body).into_owned())),
            Err(error) => {
                client.leave();
                (0, Some(error.to_string()))
            }
        };
        Answer { call: *call, tag: *tag, at, ended: now(), status, fault }
    };
    lane.iter().map(one).collect()
}

/// The call as it will be if nothing holds it up.
fn planned(call: &Call) -> Made {
    let input = (call.prompt_bytes + BODY_BYTES) / 4;
    let at = call.at_ms * 1_000_000;
    let ended = at + call.latency_ms * 1_000_000;
    Made { at, ended, used: input + call.output, worst: input + call.max_tokens }
}

/// What was refused here, and what the other policy would have refused of the very same calls at the very same times.
fn judge(answers: &[Answer], used: &HashMap<u64, u64>, bucket: Bucket, figures: &mut Figures) {
    let made = |answer: &Answer| {
        let plan = planned(&answer.call);
        let input = plan.used - answer.call.output;
        let used = used.get(&answer.tag).copied().unwrap_or(plan.used);
        Made { at: answer.at, ended: answer.ended, used, worst: input + answer.call.max_tokens }
    };
    let calls: Vec<Made> = answers.iter().map(made).collect();
    let late = answers.iter().map(|answer| answer.at.saturating_sub(answer.call.at_ms * 1_000_000)).max();
    figures.row("latest call behind its time, ms", late.unwrap_or(0) / 1_000_000);
    let least = bucket.least_left(&calls);
    let percent = least * 100 / i64::try_from(bucket.capacity.max(1)).unwrap_or(i64::MAX);
    figures.row("least left by what was used, percent of the capacity", percent);
    figures.check(
        "what was used fits the limit at all times",
        least >= 0,
        format!("at least {least} tokens left"),
    );
    let refused = answers.iter().filter(|answer| answer.status == 429).count();
    figures.row("refused by tollgate", refused);
    let strict = bucket.refused_by_worst_case(&calls, TooLarge::Refuse);
    let lenient = bucket.refused_by_worst_case(&calls, TooLarge::WhenFull);
    figures.row("refused by a worst-case reservation", strict);
    figures.row("the same, if a call beyond the capacity may have a full bucket", lenient);
    figures.check("tollgate refuses none of them", refused == 0, format!("{refused} of {}", answers.len()));
    let found = format!("it refuses {lenient} of {}", answers.len());
    figures.check("the trace is one that a worst-case reservation fails", lenient > 0, found);
    let faults: Vec<&String> = answers.iter().filter_map(|answer| answer.fault.as_ref()).collect();
    let found = faults.first().map_or("none".to_string(), |first| format!("{}: {first}", faults.len()));
    figures.check("no faults", faults.is_empty() && !answers.is_empty(), found);
}

fn config(bucket: Bucket, upstream: u16) -> Config<'static> {
    let limits = vec![Limit::rate("tokens", "tokens", bucket.rate, bucket.capacity)];
    Config {
        workers: 2,
        upstream,
        stores: false,
        records: false,
        output_reserve: 1_024,
        stream_chunk: 256,
        routes: vec![Route { name: "fit", limits }],
    }
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Option<Asked>, String> {
        let Some(mut options) = Options::read(arguments)? else { return Ok(None) };
        let asked = Asked {
            tollgate: options.needed_path("tollgate", "the binary to be tried")?,
            out: options.path("out"),
            seconds: options.number("seconds", 20, 2, 600)?,
            agents: options.number("agents", 12, 1, 200)?,
            headroom: options.number("headroom", 5, 0, 90)?,
            seed: options.number("seed", 1, 0, u64::MAX)?,
        };
        options.end()?;
        Ok(Some(asked))
    }
}

const HELP: &str = "\
loadtest fit: does a token limit refuse what would have fitted?

  --tollgate PATH   the binary to be tried (needed)
  --seconds N       length of the trace, replayed in real time (20)
  --agents N        coding agents, three calls at once each at most (12)
  --headroom N      percent of the capacity that the calls leave at their worst moment (5)
  --seed N          of the trace (1)
  --out DIR         fit.md and fit.json go there

A made-up trace of agents: bursts of calls whose prompts grow to 60,000 bytes, `max_tokens` of 8,192 to 64,000,
answers of 50 to 2,000 tokens, most of them short. From it follows a limit that fits: a rate 10 % above the average,
and the smallest capacity of which --headroom percent stay untouched when each call is charged, as it is made, with
all that it will use. The trace is replayed against tollgate under that limit; it must refuse nothing.

Beside it, by arithmetic on the same calls at the same times under the same limit: a policy that reserves input and
`max_tokens` when a call is made and gives back at its end what was not used.

The exit status is 0 only if tollgate refused none. Needs setpriv (util-linux) and kill on PATH.";

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(status: u16) -> Vec<Answer> {
        let calls = trace::make(3, 4, 5).into_iter().enumerate();
        calls
            .map(|(place, call)| {
                let Made { at, ended, .. } = planned(&call);
                let status = if place == 2 { status } else { 200 };
                Answer { call, tag: place as u64 + 1, at, ended, status, fault: None }
            })
            .collect()
    }

    #[test]
    fn a_false_refusal_a_fault_and_a_trace_that_does_not_fit_are_found() {
        let verdict = |answers: &[Answer], shrink: u64| {
            let planned: Vec<Made> = answers.iter().map(|answer| planned(&answer.call)).collect();
            let mut bucket = Bucket::smallest(&planned, 20_000, 20);
            bucket.capacity /= shrink;
            let mut figures = Figures::new("fit");
            judge(answers, &HashMap::new(), bucket, &mut figures);
            figures.verdict()
        };
        assert_eq!(verdict(&answers(200), 1), Ok(()));
        assert!(verdict(&answers(429), 1).unwrap_err().contains("refuses none"));
        assert!(verdict(&answers(200), 2).unwrap_err().contains("fits the limit"));
        let mut broken = answers(200);
        broken[1].fault = Some("status 502".into());
        assert!(verdict(&broken, 1).unwrap_err().contains("no faults"));
    }
}
