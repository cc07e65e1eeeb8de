//! `loadtest connections`: what an idle connection and a slow stream cost, and what attackers with many of them do to others.

mod attack;
mod calm;

use super::kit::chat::Chat;
use super::kit::config::{Config, Route};
use super::kit::figures::Figures;
use super::kit::gateway::{Gateway, Setup, beside};
use super::kit::http::Client;
use super::kit::options::Options;
use super::kit::stage::Stage;
use super::kit::vitals::Vitals;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tollgate_loadtest::{Script, Simulator};

/// What was asked for.
struct Asked {
    tollgate: PathBuf,
    out: Option<PathBuf>,
    idle: u64,
    streams: u64,
    attackers: u64,
    clients: u64,
    answer: u64,
    seconds: u64,
}

/// How long a process is given to become quiet.
const SETTLE: Duration = Duration::from_secs(2);
/// Time between two events of a slow stream.
const GAP_MS: u64 = 250;
/// Files that are no connections of clients, and what each of those may need beside itself.
const FILES: u64 = 512;
/// The p99 of well-behaved clients under attack is to be at most so many times the calm one.
const TARGET: f64 = 2.0;

/// Measures; an error when an answer was wrong or a process did not do as it should.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Some(asked) = Asked::read(arguments)? else {
        println!("{HELP}");
        return Ok(());
    };
    asked.raise_files()?;
    let opened = asked.idle + asked.streams * 2 + asked.attackers;
    let life = Duration::from_secs(300 + asked.seconds * 6 + opened / 20);
    let stage = Stage { name: "connections", binary: &asked.tollgate, life };
    stage.run(|setup, simulator| {
        // What makes long answers for attackers makes none for others, whom it would keep waiting; and what it has sent and
        // nobody read is not to fill the memory of this host, on which the gateway would be alone.
        let script = Script { send_buffer: Some(64 << 10), ..Script::default() };
        let host = Simulator::start(script).map_err(|why| format!("the plain host: {why}"))?;
        setup.configure(&asked.yaml(setup, simulator.addr().port(), host.addr().port()))?;
        let mut figures = Figures::new("connections");
        idle(&asked, setup, &mut figures)?;
        streams(&asked, setup, simulator, &mut figures)?;
        attacks(&asked, setup, &mut figures)?;
        let books = simulator.ledger();
        let bad = books.malformed + books.protocol_faults + books.refused;
        figures.check("nothing malformed reached the provider", bad == 0, books.reasons.join("; "));
        figures.publish(asked.out.as_deref())
    })
}

/// A gateway that has served one request and become quiet, and what it holds.
fn fresh(setup: &Setup) -> Result<(Gateway, Vitals), String> {
    let gateway = setup.start()?;
    drop(served(setup.port, 0)?);
    std::thread::sleep(SETTLE);
    let vitals = Vitals::of(gateway.pid())?;
    Ok((gateway, vitals))
}

/// A connection that was served one answer and is kept.
fn served(port: u16, tag: u64) -> Result<Client, String> {
    let mut client = Client::to(port);
    match client.ask(&Chat::whole("connections", tag, "sk-idle", 20).bytes()) {
        Ok((head, _)) if head.status == 200 => Ok(client),
        Ok((head, body)) => Err(format!("status {}: {}", head.status, String::from_utf8_lossy(&body))),
        Err(why) => Err(format!("a connection that is to be idle: {why}")),
    }
}

fn idle(asked: &Asked, setup: &Setup, figures: &mut Figures) -> Result<(), String> {
    let (gateway, before) = fresh(setup)?;
    let held: Result<Vec<Client>, String> = (0..asked.idle).map(|tag| served(setup.port, tag)).collect();
    let mut held = held?;
    std::thread::sleep(SETTLE);
    let vitals = Vitals::of(gateway.pid())?;
    report("idle connection", asked.idle, before, vitals, figures);
    let open = vitals.files.saturating_sub(before.files);
    figures.check("all idle connections are open at once", open >= asked.idle, format!("{open} more files"));
    // All of them are still good.
    let ask = |client: &mut Client| client.ask(&Chat::whole("connections", 1, "sk-idle", 20).bytes());
    let lost = held.iter_mut().filter_map(|client| ask(client).err()).count();
    figures.check("every idle connection is served again", lost == 0, format!("{lost} are not"));
    drop(held);
    gateway.terminate()
}

fn streams(asked: &Asked, setup: &Setup, simulator: &Simulator, figures: &mut Figures) -> Result<(), String> {
    let (gateway, before) = fresh(setup)?;
    // They live until the last has been opened, and some seconds more.
    let chunks = (10 + asked.streams / 150) * 1_000 / GAP_MS;
    let open = |tag: u64| {
        let chat = Chat {
            stream: true,
            chunks,
            gap_ms: GAP_MS,
            ..Chat::whole("connections", tag, "sk-slow", chunks)
        };
        let mut client = Client::to(setup.port);
        client.send(&chat.bytes()).map_err(|why| format!("a slow stream: {why}"))?;
        Ok(client)
    };
    let began = simulator.ledger();
    let held: Result<Vec<Client>, String> = (0..asked.streams).map(open).collect();
    let held = held?;
    std::thread::sleep(SETTLE);
    let now = simulator.ledger();
    let under_way = (now.requests - began.requests) - (now.completed - began.completed);
    let vitals = Vitals::of(gateway.pid())?;
    report("slow stream", asked.streams, before, vitals, figures);
    figures.check("all streams are open at once", under_way == asked.streams, format!("{under_way}"));
    let whole = |mut client: Client| {
        let head = client.head(None)?;
        client
            .body(&head, usize::MAX)
            .map(|(body, _)| head.status == 200 && body.ends_with(b"data: [DONE]\n\n"))
    };
    let right = held.into_iter().map(whole).filter(|outcome| matches!(outcome, Ok(true))).count();
    figures.check("every slow stream comes to its end", right as u64 == asked.streams, format!("{right}"));
    gateway.terminate()
}

/// Well-behaved clients in the calm and under each attack.
fn attacks(asked: &Asked, setup: &Setup, figures: &mut Figures) -> Result<(), String> {
    let (gateway, _) = fresh(setup)?;
    let time = Duration::from_secs(asked.seconds);
    let calm = calm::drive(setup.port, asked.clients, time);
    figures.row("well-behaved clients", asked.clients);
    figures.row("attackers", asked.attackers);
    figures.row("bytes of each answer that they read slowly", asked.answer);
    calm.report("calm", figures);
    for attack in [attack::Attack::Heads, attack::Attack::Reading] {
        let attackers = attack::Attackers::start(attack, setup.port, asked.attackers, asked.answer);
        let began = Instant::now();
        while attackers.open() < asked.attackers * 9 / 10 && began.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // The attack itself is measured, not the making of its connections, which the provider shares a CPU with.
        std::thread::sleep(SETTLE);
        figures.row(&format!("{}: connections of attackers", attack.name()), attackers.open());
        let beside = calm::drive(setup.port, asked.clients, time);
        let opened = attackers.end();
        beside.report(attack.name(), figures);
        figures.row(&format!("{}: opened by attackers in all", attack.name()), opened);
        let ratio = beside.p99_us() as f64 / calm.p99_us().max(1) as f64;
        let within = if ratio <= TARGET { "met" } else { "missed" };
        figures.row(
            &format!("{}: p99 / calm p99", attack.name()),
            format!("{ratio:.2} (at most {TARGET}: {within})"),
        );
    }
    gateway.terminate()
}

fn report(what: &str, count: u64, before: Vitals, held: Vitals, figures: &mut Figures) {
    let each = held.resident.saturating_sub(before.resident) / count.max(1);
    figures.row(&format!("{what}s"), count);
    figures.row(&format!("resident before the first {what}, bytes"), before.resident);
    figures.row(&format!("resident with all {what}s, bytes"), held.resident);
    figures.row(&format!("bytes for each {what}"), each);
}

impl Asked {
    fn read(arguments: &[String]) -> Result<Option<Asked>, String> {
        let Some(mut options) = Options::read(arguments)? else { return Ok(None) };
        let asked = Asked {
            tollgate: beside(options.text("tollgate"))?,
            out: options.path("out"),
            idle: options.number("idle", 10_000, 1, 18_000)?,
            streams: options.number("streams", 2_000, 1, 9_000)?,
            attackers: options.number("attackers", 1_000, 1, 10_000)?,
            clients: options.number("clients", 100, 1, 1_000)?,
            answer: options.number("answer", 1 << 20, 1, 1 << 30)?,
            seconds: options.number("seconds", 10, 1, 3_600)?,
        };
        options.end()?;
        Ok(Some(asked))
    }

    /// This process holds a file for each connection, and the provider's side of streams; so may its child.
    fn raise_files(&self) -> Result<(), String> {
        let needed = self.idle.max(self.streams * 2).max(self.attackers * 2 + self.clients * 2) + FILES;
        let limit = getrlimit(Resource::Nofile);
        let may = limit.maximum.unwrap_or(u64::MAX);
        if may < needed {
            return Err(format!("{needed} files are needed and this process may open {may}: see ulimit -Hn"));
        }
        let raised = Rlimit { current: Some(needed.max(limit.current.unwrap_or(0))), maximum: limit.maximum };
        setrlimit(Resource::Nofile, raised).map_err(|why| format!("the limit on open files: {why}"))
    }

    /// Room for all, and times that only attackers meet.
    fn yaml(&self, setup: &Setup, upstream: u16, host: u16) -> String {
        let config = Config {
            workers: 2,
            upstream,
            stores: false,
            records: false,
            output_reserve: 1_024,
            stream_chunk: 256,
            routes: vec![Route { name: "connections", limits: Vec::new() }],
        };
        let most = self.idle + self.streams + self.attackers + self.clients + FILES;
        let timeouts = "  timeouts: {drain: 5s";
        let with_room = format!("  connections: {{perWorker: {most}}}\n{timeouts}, idle: 10m");
        config.yaml(setup).replacen(timeouts, &with_room, 1) + &plain(host)
    }
}

/// A route to a plain host: what it sends costs it nothing to make.
fn plain(port: u16) -> String {
    format!(
        "---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: {{name: plain, namespace: test}}
spec: {{type: Static, static: {{hosts: [{{host: 127.0.0.1, port: {port}}}]}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: plain, namespace: test}}
spec:
  parentRefs:
  - {{name: test}}
  rules:
  - matches:
    - path: {{type: PathPrefix, value: /plain}}
    backendRefs:
    - {{group: gateway.kgateway.dev, kind: Backend, name: plain}}
"
    )
}

const HELP: &str = "\
loadtest connections: what connections cost, and what attackers with many of them do to others

  --tollgate PATH   the binary to be measured (the one beside this program)
  --idle N          idle kept connections, each of which has been served (10000)
  --streams N       streams at once, an event each 250 ms (2000)
  --attackers N     connections of attackers (1000)
  --clients N       well-behaved clients beside them (100)
  --answer N        bytes of the answers that attackers order and read slowly (1048576)
  --seconds N       how long each of three turns of theirs lasts (10)
  --out DIR         connections.md and connections.json go there

Bytes of each are the difference of the gateway's resident memory (VmRSS) over their number, in a fresh process that has
served one request; what the kernel holds for sockets is not part of it. Then well-behaved clients ask, each on a kept connection
with a pause between two requests, first in the calm, then beside attackers who trickle heads (slowloris), then beside
attackers who order long answers of a plain host and read a few bytes at a time. The p99 beside attackers is to be at most twice the
calm one: the ratio is a figure, which a busy machine disturbs. The exit status is 0 if every connection was there, every
answer right. Needs setpriv (util-linux) and kill on PATH, and as many files as connections (`ulimit -Hn`).";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_and_room() {
        let read = |line: &str| Asked::read(&line.split_whitespace().map(String::from).collect::<Vec<_>>());
        let asked = read("--tollgate t --idle 10 --streams 5").unwrap().unwrap();
        assert_eq!((asked.idle, asked.streams, asked.attackers, asked.clients), (10, 5, 1_000, 100));
        assert!(read("--tollgate t --idle 0").is_err() && read("--tollgate t --x 1").is_err());
        let setup = Setup { binary: PathBuf::new(), dir: PathBuf::from("dir"), port: 1, admin: 2 };
        let text = asked.yaml(&setup, 3, 4);
        assert!(text.contains("perWorker: 1627}") && text.contains("{drain: 5s, idle: 10m}"), "{text}");
    }
}
