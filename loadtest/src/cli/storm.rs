//! `loadtest storm`: many clients on one key, and what the provider's books say about the limits.

mod judge;
mod load;
mod retry;

use super::kit::chat::Chat;
use super::kit::config::{Config, Limit, Route};
use super::kit::figures::Figures;
use super::kit::gateway::Setup;
use super::kit::http::Client;
use super::kit::interval::Allowance;
use super::kit::options::Options;
use super::kit::pages::{self, Metrics};
use super::kit::records::{self, Record};
use super::kit::stage::Stage;
use judge::{Evidence, Terms, Told, judge};
use load::{Sent, Storm, hammer};
use retry::{Retries, retry};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tollgate_loadtest::{Answers, Simulator};

/// What was asked for.
struct Asked {
    tollgate: PathBuf,
    out: Option<PathBuf>,
    seconds: u64,
    clients: u64,
    workers: u64,
    seed: u64,
    cut: bool,
}

/// The limits of the storm. Rates are per second and so small that they are exhausted all the time.
const TERMS: Terms = Terms {
    tokens: Allowance { capacity: 20_000, rate: 20_000 },
    requests: Allowance { capacity: 20, rate: 45 },
    at_once: 12,
    stream_chunk: 128,
};
/// Output reserved for an answer about which nothing is known: less than many of them have, so that there is debt.
const OUTPUT_RESERVE: u64 = 256;
/// A budget that nothing comes back to: what is left of it tells every token.
const BUDGET: u64 = 1_000_000_000;
/// The number of the request after all others.
const LOOK: u64 = 0;
/// The key of the storm.
const KEY: &str = "sk-storm";
/// Clients that come back when they are told to: half are held by requests, half by tokens.
const RETRYING: u64 = 6;
/// How long the gateway may need to notice that everybody has gone.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// Stack of a client's thread.
const STACK: usize = 512 << 10;

/// Runs the storm; an error when something does not hold.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(asked) = Asked::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    let life = Duration::from_secs(asked.seconds + 120);
    let stage = Stage { name: "storm", binary: &asked.tollgate, life };
    stage.run(|setup, simulator| storm(&asked, setup, simulator))
}

fn storm(asked: &Asked, setup: &Setup, simulator: &Simulator) -> Result<(), String> {
    setup.configure(&config(asked, simulator.addr().port()).yaml(setup))?;
    let mut gateway = setup.start()?;

    let mut figures = Figures::new("storm");
    figures.row("seconds", asked.seconds);
    figures.row("clients of one key", asked.clients);
    figures.row("workers", asked.workers);
    figures.row("seed", asked.seed);
    let began_unix = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|why| why.to_string())?;
    let started = Instant::now();
    let (sent, retries, lost) = weather(asked, setup.port, started);
    figures.check("every client lived to the end", lost == 0, format!("{lost} did not"));

    let in_flight = pages::quiesce(setup.admin, QUIET_MAX)?;
    figures.check("nothing is in flight after the storm", in_flight == 0, format!("{in_flight} requests"));
    let metrics = Metrics::fetch(setup.admin)?;
    let open = metrics.sum("tollgate_limit_reservations_open", &[]);
    figures.check("no reservation is open after the storm", open == Some(0), format!("{open:?}"));
    look(setup.port)?;
    let answers = simulator.take_answers();
    let ended = gateway.ended();
    let found = ended.map_or("it did".to_string(), |status| format!("{status}: {}", gateway.said()));
    figures.check("the gateway lived", ended.is_none(), found);
    gateway.terminate()?;

    let own: HashSet<u64> = sent.iter().map(|one| one.tag).collect();
    let mut records = records::read(&setup.records())?;
    let looked = records.iter().find(|record| record.tag == LOOK && record.is_admitted()).cloned();
    records.retain(|record| own.contains(&record.tag));
    let told = told(&answers, &own, started);
    let evidence = Evidence { sent, told, records, began_unix_ns: began_unix.as_nanos() as u64 };
    figures.check("the provider's journal is whole", answers.lost == 0, format!("{} lost", answers.lost));
    judge(&evidence, &TERMS, &mut figures);
    conservation(&metrics, &evidence, &mut figures);
    balance(looked.as_ref(), &evidence, &mut figures);
    judge_retries(&retries, &mut figures);
    figures.publish(asked.out.as_deref())
}

/// All clients, until the time is up; and how many could not be started or died.
fn weather(asked: &Asked, port: u16, started: Instant) -> (Vec<Sent>, Retries, u64) {
    let tags = AtomicU64::new(1);
    let until = started + Duration::from_secs(asked.seconds);
    let storm = Storm { port, key: KEY, seed: asked.seed, started, until, tags: &tags };
    let thread = || std::thread::Builder::new().stack_size(STACK);
    std::thread::scope(|scope| {
        let (storm, tags) = (&storm, &tags);
        let clients =
            (0..asked.clients).map(|lane| thread().spawn_scoped(scope, move || hammer(storm, lane)));
        let clients: Vec<_> = clients.collect();
        let retrying = (0..RETRYING).map(|lane| {
            let max_tokens = if lane % 2 == 0 { 4 } else { 220 };
            let key = format!("sk-retry-{lane}");
            thread().spawn_scoped(scope, move || retry(port, &key, max_tokens, until, tags))
        });
        let retrying: Vec<_> = retrying.collect();
        let (mut sent, mut retries, mut lost) = (Vec::new(), Retries::default(), 0);
        for client in clients {
            match client.map(|client| client.join()) {
                Ok(Ok(own)) => sent.extend(own),
                _ => lost += 1,
            }
        }
        for client in retrying {
            match client.map(|client| client.join()) {
                Ok(Ok(own)) => retries.add(own),
                _ => lost += 1,
            }
        }
        (sent, retries, lost)
    })
}

fn config(asked: &Asked, upstream: u16) -> Config<'static> {
    let mut tokens = Limit::rate("tokens", "tokens", TERMS.tokens.rate, TERMS.tokens.capacity);
    if asked.cut {
        tokens.measure.push("onExhausted: cut".to_string());
    }
    let limits = vec![
        tokens,
        Limit::rate("requests", "requests", TERMS.requests.rate, TERMS.requests.capacity),
        Limit::at_once("at-once", TERMS.at_once),
        Limit::budget("budget", "tokens", &BUDGET.to_string(), "month"),
    ];
    let retry = vec![
        Limit::rate("retry-tokens", "tokens", 1_000, 1_000),
        Limit::rate("retry-requests", "requests", 8, 3),
    ];
    let routes = vec![Route { name: "storm", limits }, Route { name: "retry", limits: retry }];
    Config {
        workers: asked.workers,
        upstream,
        stores: true,
        records: true,
        output_reserve: OUTPUT_RESERVE,
        stream_chunk: TERMS.stream_chunk,
        routes,
    }
}

/// The provider's books about the storm's own requests.
fn told(answers: &Answers, own: &HashSet<u64>, started: Instant) -> Vec<Told> {
    let nanos = |when: Instant| when.saturating_duration_since(started).as_nanos() as u64;
    let own = answers.list.iter().filter(|answer| own.contains(&answer.tag));
    own.map(|answer| Told {
        tag: answer.tag,
        arrived: nanos(answer.arrived),
        ended: nanos(answer.ended),
        tokens: answer.usage.map(|usage| usage.input + usage.output),
    })
    .collect()
}

/// The gateway's own sums agree with its records, and everything reserved was settled or given back.
fn conservation(metrics: &Metrics, evidence: &Evidence, figures: &mut Figures) {
    let sum = |what: &str, rule: &str| {
        let (family, label) = (format!("tollgate_limit_{what}_total"), format!("/{rule}\""));
        metrics.sum(&family, &["rule=\"test/storm/", &label])
    };
    for rule in ["tokens", "budget"] {
        let decisions = evidence.records.iter().filter_map(|record| record.decision(rule));
        let recorded: u64 = decisions.map(|decision| decision.settled).sum();
        let settled = sum("settled", rule);
        let found = format!("{settled:?} in metrics, {recorded} in records");
        figures.check(
            &format!("{rule}: settled in metrics = settled in records"),
            settled == Some(recorded),
            found,
        );
        let parts = ["reserved", "overspent", "settled", "refunded"].map(|what| sum(what, rule).unwrap_or(0));
        let [reserved, overspent, settled, refunded] = parts;
        let found = format!("{reserved} + {overspent} = {settled} + {refunded}");
        let holds = reserved + overspent == settled + refunded && settled > 0;
        figures.check(
            &format!("{rule}: reserved + overspent = settled + refunded: no reservation is left"),
            holds,
            found,
        );
    }
}

/// One request after all others, whose record says what is left of the budget.
fn look(port: u16) -> Result<(), String> {
    let bytes = Chat::whole("storm", LOOK, KEY, 5).bytes();
    let mut client = Client::to(port);
    for _ in 0..50 {
        let (head, body) = client.ask(&bytes).map_err(|why| format!("the last request: {why}"))?;
        match head.status {
            200 => return Ok(()),
            429 => std::thread::sleep(Duration::from_millis(100)),
            status => return Err(format!("the last request: {status} {}", String::from_utf8_lossy(&body))),
        }
    }
    Err("the last request was refused for five seconds, although nobody else came".to_string())
}

/// What is left of a budget that nothing comes back to is what was not settled, to the token.
fn balance(looked: Option<&Record>, evidence: &Evidence, figures: &mut Figures) {
    let decision = looked.and_then(|record| record.decision("budget"));
    let settled: u64 =
        evidence.records.iter().filter_map(|record| record.decision("budget")).map(|one| one.settled).sum();
    let expected = decision.map(|decision| BUDGET as i64 - (settled + decision.settled) as i64);
    let left = decision.map(|decision| decision.balance_after);
    let found = format!("{left:?} left, {expected:?} expected");
    figures.check(
        "the budget's balance = budget - settled, to the token",
        left.is_some() && left == expected,
        found,
    );
}

fn judge_retries(retries: &Retries, figures: &mut Figures) {
    let Retries { on_time, on_time_admitted, early, early_refused, unsure, faults } = retries;
    figures.row("retries on time", *on_time);
    figures.row("of them admitted", *on_time_admitted);
    figures.row("retries about 5 ms early", *early);
    figures.row("of them refused", *early_refused);
    figures.row("meant to be early, answered too late to tell", *unsure);
    let found = format!("{on_time_admitted} of {on_time}");
    figures.check(
        "at least 99 % of retries on time are admitted",
        *on_time >= 20 && on_time_admitted * 100 >= on_time * 99,
        found,
    );
    let found = format!("{early_refused} of {early}");
    figures.check("all early retries are refused", *early >= 10 && early_refused == early, found);
    let found = faults.first().cloned().unwrap_or("none".to_string());
    figures.check("no faults seen by retrying clients", faults.is_empty(), found);
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Option<Asked>, String> {
        let Some(mut options) = Options::read(arguments)? else { return Ok(None) };
        let asked = Asked {
            tollgate: options.needed_path("tollgate", "the binary to be tried")?,
            out: options.path("out"),
            seconds: options.number("seconds", 20, 3, 3_600)?,
            clients: options.number("clients", 256, 1, 4_096)?,
            workers: options.number("workers", 2, 1, 64)?,
            seed: options.number("seed", 1, 0, u64::MAX)?,
            cut: match options.text("on-exhausted").as_deref() {
                None | Some("finish") => false,
                Some("cut") => true,
                Some(other) => return Err(format!("--on-exhausted: {other:?} is neither finish nor cut")),
            },
        };
        options.end()?;
        Ok(Some(asked))
    }
}

const HELP: &str = "\
loadtest storm: many clients on one key; what the provider's books say about the limits

  --tollgate PATH     the binary to be tried (needed)
  --seconds N         how long (20)
  --clients N         clients of the one key (256)
  --workers N         workers of the gateway (2)
  --seed N            of what the clients ask for (1)
  --on-exhausted HOW  finish or cut: what becomes of streams that outlast the token limit (finish)
  --out DIR           storm.md and storm.json go there

The simulated provider runs in this process, tollgate as a child with a configuration of its own in a temporary
directory. The clients ask for whole answers and streams of 1 to 600 tokens on questions of 20 to 40,000 bytes; one
in ten walks away in the middle. The key has a token limit, a request limit, a limit on requests at once and a
monthly budget, which must all admit. Every two seconds the storm rests, so that limits fill and are rushed.

Checked afterwards, with the provider's ledger against the gateway's access records and metrics: one record for each
request; a refused request reached nobody and cost nothing; what was settled is what the provider reported, request
by request; over every interval that begins and ends with an admission the tokens and the requests are within

  capacity + rate x interval + D,
  D = what requests in flight at its beginning gave back later
    + what requests in flight at its end used beyond their reservation;

never more requests at once than allowed; nothing in flight and no reservation left when all have gone; what is then
left of the monthly budget is what was not settled, to the token. A request counts where it was certainly admitted
within the interval: its client sent it after the beginning, and it had reached the provider before the end. Six clients
of idle keys come back exactly when retry-after-ms says (at least 99 % must be admitted) or 5 ms before (all must be
refused; an answer that comes too late to tell is not counted).

The exit status is 0 only if all of that holds. Needs setpriv (util-linux) and kill on PATH. Ends all it started.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_judged() {
        let good = Retries {
            on_time: 100,
            on_time_admitted: 99,
            early: 10,
            early_refused: 10,
            ..Retries::default()
        };
        let rows: [(Retries, bool); 6] = [
            (good.clone(), true),
            (Retries { on_time_admitted: 98, ..good.clone() }, false),
            (Retries { early_refused: 9, ..good.clone() }, false),
            (Retries { early: 0, early_refused: 0, ..good.clone() }, false),
            (Retries { on_time: 0, on_time_admitted: 0, ..good.clone() }, false),
            (Retries { faults: vec!["status 500".into()], ..good }, false),
        ];
        for (retries, holds) in rows {
            let mut figures = Figures::new("storm");
            judge_retries(&retries, &mut figures);
            assert_eq!(figures.verdict().is_ok(), holds, "{retries:?}");
        }
    }

    #[test]
    fn a_balance_that_is_off_by_one_is_found() {
        let record = |settled: u64, balance_after: i64| {
            let decision = records::Decision {
                rule: "test/storm/budget".into(),
                admitted: true,
                reserved: settled,
                settled,
                balance_after,
            };
            Record::completed(1, (0, settled), vec![decision])
        };
        let evidence = Evidence {
            sent: Vec::new(),
            told: Vec::new(),
            records: vec![record(40, 0), record(2, 0)],
            began_unix_ns: 0,
        };
        let left = BUDGET as i64 - 45;
        for (looked, holds) in [
            (Some(record(3, left)), true),
            (Some(record(3, left - 1)), false),
            (Some(record(3, left + 1)), false),
            (None, false),
        ] {
            let mut figures = Figures::new("storm");
            balance(looked.as_ref(), &evidence, &mut figures);
            assert_eq!(figures.verdict().is_ok(), holds, "{looked:?}");
        }
    }

    #[test]
    fn arguments() {
        let read = |line: &str| Asked::read(&line.split_whitespace().map(String::from).collect::<Vec<_>>());
        let asked = read("--tollgate t --seconds 5 --on-exhausted cut").unwrap().unwrap();
        assert!((asked.seconds, asked.clients, asked.workers, asked.cut) == (5, 256, 2, true));
        for line in ["", "--tollgate t --seconds 0", "--tollgate t --on-exhausted wait", "--tollgate t --x 1"]
        {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
