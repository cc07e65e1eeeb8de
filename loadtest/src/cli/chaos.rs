//! `loadtest chaos`: everything goes wrong at once, and afterwards nothing is lost, leaked or wrong.

mod bad;
mod config;
mod good;
mod judge;
mod order;
mod steer;
mod weather;

use super::kit::figures::Figures;
use super::kit::gateway::{Setup, beside};
use super::kit::http::Client;
use super::kit::options::Options;
use super::kit::pages::{self, Metrics};
use super::kit::records;
use super::kit::stage::Stage;
use super::kit::vitals::{self, Vitals};
use config::{Ports, RULE};
use good::Sent;
use judge::{Evidence, judge};
use order::{BAD_KEY, GOOD_KEY, May, Order, Whom};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use steer::Steer;
use tollgate_loadtest::Simulator;
use weather::Weather;

/// What was asked for.
struct Asked {
    tollgate: PathBuf,
    out: Option<PathBuf>,
    seconds: u64,
    good: u64,
    bad: u64,
    seed: u64,
}

/// How long the gateway may need to come to rest when everybody has gone: its longest timeout is 8 s.
const QUIET_MAX: Duration = Duration::from_secs(20);
/// How much memory the second half of the last life may add to what the first has left. A leak of a connection's
/// buffers, or of a record, for each of thousands of requests is more than that.
const GROWTH_MAX: u64 = 24 << 20;
/// Stack of a client's thread.
const STACK: usize = 512 << 10;

/// Runs the chaos; an error when something does not hold.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(asked) = Asked::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    println!("seed {}", asked.seed);
    let life = Duration::from_secs(asked.seconds * 3 + 240);
    let stage = Stage { name: "chaos", binary: &asked.tollgate, life };
    stage.run(|setup, simulator| chaos(&asked, setup, simulator))
}

fn chaos(asked: &Asked, setup: &Setup, simulator: &Simulator) -> Result<(), String> {
    let hole = BlackHole::open().map_err(|why| format!("a black hole: {why}"))?;
    let nobody = unused_port().map_err(|why| format!("an unused port: {why}"))?;
    let ports = Ports { provider: simulator.addr().port(), nobody, hole: hole.port };
    let weather = Weather::new(setup.port, asked.seed);
    let mut figures = Figures::new("chaos");
    figures.row("seed", asked.seed);
    figures.row("seconds", asked.seconds);
    let mut steer = Steer::start(setup, ports, &weather)?;
    let at_start = Vitals::of(steer.gateway()?.pid())?;

    let (outcome, mut sent, died) = live(asked, &weather, || {
        let lives = weather_of(asked, &mut steer, setup)?;
        // Everybody rests: what is still held now is held by nobody.
        rest(asked, &weather, setup)?;
        Ok((lives, at_rest(&mut steer, at_start.files)?))
    });
    let (halfway, at_end) = outcome?;
    figures.check("every client lived to the end", died == 0, format!("{died} did not"));
    figures.check(
        "nobody was refused a connection but by a restart",
        weather.refused() == 0,
        weather.refused(),
    );
    leaks(&mut steer, at_start, halfway.vitals, at_end, &mut figures)?;
    let metrics = Metrics::fetch(setup.admin)?;
    idle(&metrics, setup, &mut figures)?;

    let looks =
        [GOOD_KEY, BAD_KEY].map(|key| look(&weather, key)).into_iter().collect::<Result<Vec<_>, _>>()?;
    let answers = simulator.take_answers();
    let books = simulator.ledger();
    for (name, count) in ["reloads", "broken reloads", "admin pages", "rubbish to the admin port", "restarts"]
        .into_iter()
        .zip(steer.done)
    {
        figures.row(name, count);
    }
    let found = steer.complaints.first().cloned().unwrap_or("all did".to_string());
    figures.check("reloads and admin pages did what they should", steer.complaints.is_empty(), found);
    if let Some(gateway) = steer.gateway.take() {
        gateway.terminate()?;
    }
    sent.sort_by_key(|sent| sent.order.tag);
    let records = records::read_numbered(&setup.records())?;
    conservation(&metrics, &records[halfway.records.min(records.len())..], &looks, &mut figures);
    figures.check("the provider's journal is whole", answers.lost == 0, format!("{} lost", answers.lost));
    let bad = books.malformed + books.protocol_faults;
    figures.check("nothing malformed reached the provider", bad == 0, books.reasons.join("; "));
    judge(&Evidence { sent, told: answers.list, records, looks }, &mut figures);
    figures.publish(asked.out.as_deref())
}

/// What is known in the middle of the last life, when it is calm.
struct Halfway {
    vitals: Vitals,
    /// Records that were written before that life.
    records: usize,
}

/// All clients beside `steer`, which ends the weather; what it returns, what was sent, and how many clients died.
fn live<T>(
    asked: &Asked,
    weather: &Weather,
    steer: impl FnOnce() -> Result<T, String>,
) -> (Result<T, String>, Vec<Sent>, u64) {
    let thread = || std::thread::Builder::new().stack_size(STACK);
    std::thread::scope(|scope| {
        let good =
            (0..asked.good).map(|lane| thread().spawn_scoped(scope, move || good::behave(weather, lane)));
        let mut clients: Vec<_> = good.collect();
        let bad = (0..asked.bad)
            .map(|lane| thread().spawn_scoped(scope, move || bad::misbehave(weather, 1_000 + lane)));
        clients.extend(bad);
        let outcome = steer();
        weather.end();
        let (mut sent, mut died) = (Vec::new(), 0);
        for client in clients {
            match client.map(|client| client.join()) {
                Ok(Ok(own)) => sent.extend(own),
                _ => died += 1,
            }
        }
        (outcome, sent, died)
    })
}

/// Goes through the plan, with a calm in the middle of the last life.
fn weather_of(asked: &Asked, steer: &mut Steer<'_>, setup: &Setup) -> Result<Halfway, String> {
    let plan = steer::plan(asked.seed, asked.seconds * 1_000);
    let calm_at = Duration::from_millis(asked.seconds * 1_000 * 3 / 4);
    let (mut began, mut halfway, mut before) = (Instant::now(), None, 0);
    for (at, act) in plan {
        let at = Duration::from_millis(at);
        if halfway.is_none() && at >= calm_at {
            std::thread::sleep(calm_at.saturating_sub(began.elapsed()));
            let stopped = Instant::now();
            rest(asked, steer.weather, setup)?;
            let vitals = at_rest(steer, 0)?;
            halfway = Some(Halfway { vitals, records: before });
            steer.weather.set_calm(false);
            began += stopped.elapsed();
        }
        std::thread::sleep(at.saturating_sub(began.elapsed()));
        steer.act(act)?;
        if act == steer::Act::Restart {
            before = records::read_numbered(&setup.records())?.len();
        }
    }
    std::thread::sleep(Duration::from_secs(asked.seconds).saturating_sub(began.elapsed()));
    halfway.ok_or_else(|| "the plan has nothing in its last quarter".to_string())
}

/// Has all clients rest, and waits until the gateway does.
fn rest(asked: &Asked, weather: &Weather, setup: &Setup) -> Result<(), String> {
    weather.set_calm(true);
    let until = Instant::now() + QUIET_MAX;
    while weather.resting() < asked.good + asked.bad && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(10));
    }
    pages::quiesce(setup.admin, QUIET_MAX).map(drop)
}

/// What the gateway holds at rest: when it has no more than so many files, or is patient enough.
fn at_rest(steer: &mut Steer<'_>, files: u64) -> Result<Vitals, String> {
    let pid = steer.gateway()?.pid();
    let until = Instant::now() + if files > 0 { QUIET_MAX } else { Duration::from_secs(4) };
    loop {
        let now = Vitals::of(pid)?;
        if now.files <= files || Instant::now() > until {
            return Ok(now);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn leaks(
    steer: &mut Steer<'_>,
    start: Vitals,
    halfway: Vitals,
    end: Vitals,
    figures: &mut Figures,
) -> Result<(), String> {
    let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    figures.row("resident at the start", mib(start.resident));
    figures.row("resident in the middle of the last life", mib(halfway.resident));
    figures.row("resident at its end", mib(end.resident));
    let mut found = format!("{} at the start, {} at the end", start.files, end.files);
    if end.files > start.files {
        found += &format!(": {}", vitals::files(steer.gateway()?.pid()).join(", "));
    }
    figures.check("no file more is open than at the start", end.files <= start.files, found);
    let grown = end.resident.saturating_sub(halfway.resident);
    let check = format!("the second half of a life adds at most {} to its memory", mib(GROWTH_MAX));
    figures.check(&check, grown <= GROWTH_MAX, mib(grown));
    Ok(())
}

/// Nothing is open, in flight or reserved.
fn idle(metrics: &Metrics, setup: &Setup, figures: &mut Figures) -> Result<(), String> {
    for family in [
        "tollgate_downstream_connections_open",
        "tollgate_requests_in_flight",
        "tollgate_limit_reservations_open",
        "tollgate_limit_reservations_expired_total",
        "tollgate_connection_panics_total",
        "tollgate_records_dropped_total",
    ] {
        let found = metrics.sum(family, &[]);
        figures.check(&format!("{family} is 0"), found == Some(0), format!("{found:?}"));
    }
    let state = pages::state(setup.admin)?;
    for member in ["connections_open", "requests_in_flight"] {
        let workers = state["workers"].as_array().into_iter().flatten();
        let found: Option<u64> = workers.map(|worker| worker[member].as_u64()).sum();
        figures.check(&format!("/state: {member} is 0"), found == Some(0), format!("{found:?}"));
    }
    Ok(())
}

/// The sums of the last life: metrics, records, and reserved = settled + given back.
fn conservation(
    metrics: &Metrics,
    records: &[records::Record],
    looks: &[(&'static str, u64)],
    figures: &mut Figures,
) {
    let own = records.iter().filter(|record| !looks.iter().any(|(_, tag)| *tag == record.tag));
    let recorded: u64 = own.filter_map(|record| record.decision(RULE)).map(|decision| decision.settled).sum();
    let label = format!("/{RULE}\"");
    let sum = |what: &str| metrics.sum(&format!("tollgate_limit_{what}_total"), &[&label]).unwrap_or(0);
    let [reserved, overspent, settled, refunded] = ["reserved", "overspent", "settled", "refunded"].map(sum);
    let found = format!("{settled} in metrics, {recorded} in records");
    figures.check(
        "last life: settled in metrics = settled in records",
        settled == recorded && settled > 0,
        found,
    );
    let found = format!("{reserved} + {overspent} = {settled} + {refunded}");
    let holds = reserved + overspent == settled + refunded;
    figures.check("last life: reserved + overspent = settled + refunded", holds, found);
}

/// One request after all others, whose record says what is left of the key's budget.
fn look(weather: &Weather, key: &'static str) -> Result<(&'static str, u64), String> {
    let mut random = super::kit::random::Random::new(weather.seed, u64::MAX - 1);
    let order = Order { may: May::BeRight, whom: Whom::Provider, ..Order::good(&mut random, weather.tag()) };
    let order = Order { key, fault: "none".to_string(), ..order };
    let asked =
        Client::to(weather.port).ask(&order.bytes()).map_err(|why| format!("the last request: {why}"))?;
    match asked.0.status {
        200 => Ok((key, order.tag)),
        status => Err(format!("the last request: {status} {}", String::from_utf8_lossy(&asked.1))),
    }
}

/// A port whose queue of connections is full, so that the kernel lets all others wait.
struct BlackHole {
    port: u16,
    _held: Vec<socket2::Socket>,
}

impl BlackHole {
    fn open() -> std::io::Result<BlackHole> {
        let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None);
        let listener = socket()?;
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into())?;
        listener.listen(0)?;
        let address = listener.local_addr()?;
        let port = address.as_socket().map_or(0, |address| address.port());
        let mut held = vec![listener];
        for _ in 0..4 {
            let filler = socket()?;
            filler.set_nonblocking(true)?;
            let _ = filler.connect(&address); // it is under way
            held.push(filler);
        }
        Ok(BlackHole { port, _held: held })
    }
}

/// A port that nobody listens on, below those that the system gives away.
fn unused_port() -> std::io::Result<u16> {
    let port = (5_000..9_000).find(|port| std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    port.ok_or_else(|| std::io::ErrorKind::AddrInUse.into())
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Option<Asked>, String> {
        let Some(mut options) = Options::read(arguments)? else { return Ok(None) };
        let asked = Asked {
            tollgate: beside(options.text("tollgate"))?,
            out: options.path("out"),
            seconds: options.number("seconds", 60, 8, 86_400)?,
            good: options.number("clients", 12, 1, 256)?,
            bad: options.number("attackers", 16, 0, 256)?,
            seed: options.number("seed", seed_of_now(), 0, u64::MAX)?,
        };
        options.end()?;
        Ok(Some(asked))
    }
}

/// A run without a seed has one of its own, which it prints.
fn seed_of_now() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(1, |now| now.as_nanos() as u64 % 1_000_000_007)
}

const HELP: &str = "\
loadtest chaos: everything goes wrong at once; nothing is lost, leaked or wrong afterwards

  --tollgate PATH   the binary to be tried (the one beside this program)
  --seconds N       how long, 8 at least (60); calms and restarts come on top
  --seed N          of everything that is drawn (another one each time; it is printed)
  --clients N       well-behaved clients (12)
  --attackers N     clients that do not behave (16)
  --out DIR         chaos.md and chaos.json go there

The simulated provider runs in this process, tollgate as a child with two workers and short timeouts. Attackers abort at
any byte of a request or an answer, stall, trickle, read slowly, flood and send rubbish. The provider refuses, cannot be
connected to, resets at any byte, answers slowly, early, with 4xx, 5xx, HTML or nonsense, breaks streams off, goes silent,
closes kept connections. Meanwhile the configuration is reloaded, well and broken, by SIGHUP, the admin port is asked
and insulted, and the gateway is restarted on the same store by SIGTERM, all within the first half.

Well-behaved clients speak OpenAI's and Anthropic's API, whole and streamed, on kept connections. Each answer must be
right in text, usage and end, or be what the fault that was ordered allows: an error in the API's shape, the
provider's own error, a stream that ends with an error, or a connection that ends within the answer. A connection that
ends before an answer is no loss only if the gateway has no record of the request, on a kept connection or within a restart.
A 502 is one too where the provider closed a kept connection before it heard the request, and the client did not say by
idempotency-key that it may be sent twice.

Afterwards, when all have gone: no connection, request or reservation is open by /metrics and /state; no file more is
open than at the start; the second half of the last life has added at most 24 MiB to its memory. One record for each
request. Settled is what the provider served, request by request; of an answer that was cut, failed or refused it is
at most what it can have cost, and nothing where nobody served. What is left of each key's budget, through all
restarts, is what its records do not say was settled; in the last life metrics say the same as records.

The exit status is 0 only if all of that holds. Needs setpriv (util-linux) and kill on PATH. Ends all it started.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments() {
        let read = |line: &str| Asked::read(&line.split_whitespace().map(String::from).collect::<Vec<_>>());
        let asked = read("--tollgate t --seconds 9 --seed 4").unwrap().unwrap();
        assert_eq!((asked.seconds, asked.seed, asked.good, asked.bad), (9, 4, 12, 16));
        for line in ["--tollgate t --seconds 7", "--tollgate t --clients 0", "--tollgate t --x 1"] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn a_black_hole_takes_nobody() {
        let hole = BlackHole::open().unwrap();
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, hole.port));
        let outcome = std::net::TcpStream::connect_timeout(&addr, Duration::from_millis(200));
        assert_eq!(outcome.unwrap_err().kind(), std::io::ErrorKind::TimedOut);
    }
}
