//! `loadtest crash`: `kill -9` again and again, and what becomes of budgets.

mod judge;
mod life;

use super::kit::config::{Config, Limit, OUTPUT_NANO, Route};
use super::kit::figures::Figures;
use super::kit::gateway::Setup;
use super::kit::options::Options;
use super::kit::random::Random;
use super::kit::stage::Stage;
use judge::{Life, Unit, judge};
use life::{End, Way, live};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tollgate_loadtest::Simulator;

/// What was asked for.
struct Asked {
    tollgate: PathBuf,
    out: Option<PathBuf>,
    kills: u64,
    seed: u64,
}

/// The keys that spend, and what is known of the gateway's settings.
#[derive(Clone, Debug)]
struct Plan {
    keys: Vec<Key>,
}

/// One key with its budgets.
#[derive(Clone, Debug)]
struct Key {
    route: &'static str,
    key: String,
    /// It is driven while so many fifties of kills have been made; after that it is only looked at.
    turn: u64,
    /// Clients that spend it at once.
    lanes: usize,
    /// Budgets of its route.
    tokens: i64,
    nano_usd: i64,
    /// Output tokens that are reserved before a request goes out, at least.
    reserved_output: u64,
    /// Output tokens of the largest answer.
    output_most: u64,
}

impl Key {
    fn budget(&self, unit: Unit) -> i64 {
        match unit {
            Unit::Tokens => self.tokens,
            Unit::NanoUsd => self.nano_usd,
        }
    }

    /// D: what its clients, all at once, may use beyond what is reserved.
    fn unforeseen_at_once(&self, unit: Unit) -> i64 {
        unit.amount(0, self.output_most.saturating_sub(self.reserved_output)) * self.lanes as i64
    }

    fn is_stream(&self) -> bool {
        self.route == "stream"
    }
}

impl Plan {
    /// The most of a budget that is on disk as spent and is not yet. It is written down a part at a time: a hundredth
    /// of the budget, or twice what a request asks for if that is more. A part begins where reservations and workers'
    /// leases end at that moment, of which the former may come back and the latter are less than the part before.
    fn lease_most(&self, key: usize, unit: Unit) -> i64 {
        let key = &self.keys[key];
        let reserved = unit.amount(INPUT_MOST, OUTPUT_MOST + STREAM_CHUNK);
        2 * (key.budget(unit) / PARTS).max(2 * reserved) + (key.lanes as i64 + 1) * reserved
    }

    /// Budgets that the busier keys use up on the way. Whole answers are reserved in full, streams in part.
    fn of(kills: u64) -> Plan {
        let tokens = 200_000;
        let whole = Key {
            route: "whole",
            key: String::new(),
            turn: 0,
            lanes: 3,
            tokens,
            // Cost is exhausted first.
            nano_usd: tokens * (OUTPUT_NANO as i64 - 100),
            reserved_output: OUTPUT_MOST,
            output_most: OUTPUT_MOST,
        };
        let stream = Key {
            route: "stream",
            lanes: 2,
            nano_usd: tokens * OUTPUT_NANO as i64 * 4,
            reserved_output: STREAM_CHUNK,
            ..whole.clone()
        };
        let mut keys = Vec::new();
        for turn in 0..kills.div_ceil(TURN) {
            for (kind, lanes) in [(&whole, 3), (&whole, 1), (&stream, 2), (&stream, 1)] {
                let key = format!("{}-{turn}-{lanes}", kind.route);
                keys.push(Key { key, turn, lanes, ..kind.clone() });
            }
        }
        Plan { keys }
    }

    fn config(&self, upstream: u16) -> Config<'static> {
        let mut routes: Vec<Route<'static>> = Vec::new();
        for key in &self.keys {
            if routes.iter().any(|route| route.name == key.route) {
                continue;
            }
            let usd = format!("{}.{:09} USD", key.nano_usd / 1_000_000_000, key.nano_usd % 1_000_000_000);
            // Both kinds of windows that must be on disk.
            let window = if key.is_stream() { "{sliding: 1h}" } else { "month" };
            let limits = vec![
                Limit::budget(Unit::Tokens.limit(), "tokens", &key.tokens.to_string(), window),
                Limit::budget(Unit::NanoUsd.limit(), "cost", &usd, window),
            ];
            routes.push(Route { name: key.route, limits });
        }
        Config {
            workers: 2,
            upstream,
            stores: true,
            records: true,
            output_reserve: 1_024,
            stream_chunk: STREAM_CHUNK,
            routes,
        }
    }
}

/// Output tokens of the largest answer here.
const OUTPUT_MOST: u64 = 300;
/// What a stream reserves at a time.
const STREAM_CHUNK: u64 = 64;
/// Kills during which a key is driven.
const TURN: u64 = 50;
/// tollgate writes a budget down in so many parts: `CHUNKS` of its keeper, as its architecture says.
const PARTS: i64 = 100;
/// Input tokens that these questions are estimated at, at most.
const INPUT_MOST: u64 = 64;

/// Kills and restarts; an error when a budget was overspent or more was lost than leases.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(asked) = Asked::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    // A life is half a second and perhaps a drain of five.
    let life = Duration::from_secs(asked.kills * 4 + 120);
    let stage = Stage { name: "crash", binary: &asked.tollgate, life };
    stage.run(|setup, simulator| crash(&asked, setup, simulator))
}

fn crash(asked: &Asked, setup: &Setup, simulator: &Simulator) -> Result<(), String> {
    let plan = Plan::of(asked.kills);
    setup.configure(&plan.config(simulator.addr().port()).yaml(setup))?;
    let (mut random, tags) = (Random::new(asked.seed, 0), AtomicU64::new(1));
    let (mut lives, mut kills, mut at_start) = (Vec::new(), 0, 0);
    while kills < asked.kills {
        // One in ten ends in order; one in ten kills comes before it is ready.
        let end = match random.between(0, 9) {
            0 => End::Order,
            1 => End::KillAtStart(Duration::from_micros(random.between(0, 40_000))),
            _ => End::Kill(Duration::from_micros(random.between(20_000, 300_000))),
        };
        let load = Duration::from_millis(random.between(20, 300));
        let life =
            live(setup, simulator, &plan, &Way { end, load, turn: kills / TURN }, random.next(), &tags)?;
        kills += u64::from(life.killed);
        at_start += u64::from(matches!(end, End::KillAtStart(_)));
        lives.push(life);
    }
    // Two ends in order: the first look sees the last kill, the second that nothing is lost after it.
    for _ in 0..2 {
        let way = Way { end: End::Order, load: Duration::from_millis(100), turn: (kills - 1) / TURN };
        lives.push(live(setup, simulator, &plan, &way, random.next(), &tags)?);
    }
    let mut figures = Figures::new("crash");
    figures.row("seed", asked.seed);
    figures.row("kills before it was ready", at_start);
    let lost = simulator.take_answers().lost;
    figures.check("the provider's journal is whole", lost == 0, format!("{lost} lost"));
    judge(&lives, &plan, &mut figures);
    let lived: Vec<&Life> = lives.iter().filter(|life| !life.sent.is_empty()).collect();
    figures.row("lives that served", lived.len());
    figures.publish(asked.out.as_deref())
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Option<Asked>, String> {
        let Some(mut options) = Options::read(arguments)? else { return Ok(None) };
        let asked = Asked {
            tollgate: options.needed_path("tollgate", "the binary to be tried")?,
            out: options.path("out"),
            kills: options.number("kills", 200, 1, 100_000)?,
            seed: options.number("seed", 1, 0, u64::MAX)?,
        };
        options.end()?;
        Ok(Some(asked))
    }
}

const HELP: &str = "\
loadtest crash: kill -9 again and again; budgets hold, and no more is lost than was leased

  --tollgate PATH   the binary to be tried (needed)
  --kills N         how often it is killed (200)
  --seed N          of moments and of what is asked for (1)
  --out DIR         crash.md and crash.json go there

Keys have budgets of tokens and of money, those of whole answers for a month and those of streams for any hour, kept in
a store in a temporary directory. Again and again tollgate is started on that store, asked once with each key used so
far (the look), driven by seven clients with four keys, and killed after 20 to 300 ms; one kill in ten comes before it is ready, and one life in ten ends by SIGTERM under load. After
every fifty kills four other keys are driven, so that there are fresh, half spent and exhausted budgets at any time.

At each look tollgate's own balance, from its access record, is compared with the provider's ledger of all lives:

  never less is counted than was used, but for D;
  an orderly end loses nothing, to the token;
  a kill loses at most what was leased: credit that is on disk as spent before it is. That is two parts of the
  budget, one written down ahead and one in the leases of workers, and what requests in flight had reserved; a part
  is a hundredth, or twice what a request reserves if that is more.

And over all lives no key uses more than its budget and D. Answers that arrive whole have one length here, so that
they are reserved in full and their D is 0; a stream reserves 64 tokens at a time, so its D is what the streams in flight at a kill, or those that
run at once when the budget ends, had not reserved yet.

The exit status is 0 only if all of that holds. Needs setpriv (util-linux) and kill on PATH.";
