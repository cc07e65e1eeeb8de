//! A process takes another one's place under load: no connection is refused, no request fails, nothing is spent twice and
//! nothing is forgotten. And the end of a process under load, which no request notices either.

#[path = "support/front.rs"]
mod front;
mod support;

use front::Authority;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};
use serde_json::Value;
use std::cell::RefCell;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::process::{Ended, Process, directory, ended, tollgate};
use support::{Client, chat, limits, manifests, secure, settings, until, with};
use tollgate_loadtest::{Count, Script, Simulator};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// What has to hold of limits whatever the size of the process's store is.
const STORES: [bool; 2] = [true, false];

/// A provider, a configuration, and the processes that serve it one after another.
struct Host {
    simulator: Simulator,
    here: PathBuf,
}

impl Host {
    /// With these limits on `/openai`, and a store if `stored`.
    fn new(name: &str, script: Script, list: &[&str], stored: bool) -> Host {
        let simulator = Simulator::start(script).expect("a simulator");
        let host = Host { simulator, here: directory(name) };
        host.configure(list, stored.then_some("store"));
        host
    }

    /// Has these limits and the store of that name, if any, from the next process on.
    fn configure(&self, list: &[&str], store: Option<&str>) {
        let Host { simulator, here } = self;
        let hosts = ["api.openai.com", "api.anthropic.com", "plain.example"]
            .map(|host| format!("{{host: {host}, to: \"http://{}\"}}", simulator.addr()));
        let store = match store {
            Some(name) => format!("  limits: {{store: {}}}\n", here.join(name).display()),
            None => String::new(),
        };
        let more = format!(
            "{store}  workers: {{cores: 2, pin: false}}\n  admin: {{address: \"127.0.0.1:0\", token: {TOKEN}}}\n  records: \
             {{to: none}}\n  timeouts: {{drain: 20s, drainIdle: 500ms, handshake: 20s}}\n  upgrade: {{socket: {}}}\n  hostOverrides: [{}]\n  \
             listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]",
            here.join("up.sock").display(),
            hosts.join(", ")
        );
        let text = manifests(&limits("openai", list)) + &settings(&more);
        fs::write(here.join("gateway.yaml"), text).expect("a file");
    }

    /// The same behind HTTPS, and the authority of its certificate.
    fn secure(name: &str, script: Script, list: &[&str]) -> (Host, Authority) {
        let host = Host::new(name, script, list, true);
        let authority = Authority::new();
        let identity = authority.identity("gateway.test", 2020, 2100);
        let quoted = |pem: String| format!("\"{}\"", pem.replace('\n', "\\n"));
        let secret = format!(
            "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: crt, namespace: llm}}\n\
             stringData: {{tls.crt: {}, tls.key: {}}}\n",
            quoted(identity.pem()),
            quoted(identity.key_pem())
        );
        let file = host.here.join("gateway.yaml");
        let text = fs::read_to_string(&file).expect("a file");
        let (plain, tls) = ("protocol: HTTP, port: 8080", "tls: {certificateRefs: [{name: crt}]}");
        assert!(text.contains(plain));
        let text = text.replace(plain, &format!("protocol: HTTPS, port: 8080, {tls}"));
        fs::write(&file, text + &secret).expect("a file");
        (host, authority)
    }

    fn socket(&self) -> String {
        self.here.join("up.sock").display().to_string()
    }

    fn arguments(&self, takeover: bool) -> Vec<String> {
        let mut arguments = vec!["run".to_owned(), self.here.join("gateway.yaml").display().to_string()];
        if takeover {
            arguments.extend(["--takeover".to_owned(), self.socket()]);
        }
        arguments
    }

    fn start(&self, takeover: bool) -> (Process, SocketAddr) {
        let arguments = self.arguments(takeover);
        Process::serve(&mut tollgate(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    /// Lets another process take over; it serves when this returns, and the one before has ended well.
    fn upgrade(&self, mut before: Process, at: SocketAddr) -> Process {
        let (after, address) = self.start(true);
        assert_eq!(address, at, "the same port");
        before.says("serves now; this one ends when its last exchanges have");
        let Ended { code, stderr, .. } = before.end();
        assert_eq!(code, Some(0), "{stderr}");
        after
    }

    /// Asks as a process that will not take over: says hello, with 1 that it is ready too, and with 2 waits until
    /// everything is released to it.
    fn pretend(&self, says: usize) -> UnixStream {
        let stream = UnixStream::connect(self.socket()).expect("it offers its place");
        let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
        (&stream).write_all(b"{\"Hello\":{\"version\":\"0\",\"pid\":1,\"store\":null}}\n").expect("heard");
        assert!(lines.next().expect("a line").expect("text").starts_with("{\"Sockets\""));
        assert!(lines.next().expect("a line").expect("text").contains("\"last\":true"));
        if says > 0 {
            (&stream).write_all(b"\"Ready\"\n").expect("heard");
        }
        if says > 1 {
            assert!(lines.any(|line| line.expect("text").starts_with("{\"Released\"")));
        }
        stream
    }

    /// What the provider reports to have been used.
    fn reported(&self) -> u64 {
        let reported = self.simulator.ledger().reported;
        reported.input + reported.output
    }
}

/// What the admin endpoint says.
fn asked(process: &mut Process, path: &str) -> String {
    let line = process.says("admin http://");
    let admin = line.split("http://").nth(1).and_then(|rest| rest.split(": ").next()).expect("an address");
    let mut client = Client::connect(admin.parse().expect("an address"));
    client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"));
    client.answer().text().to_owned()
}

/// What is used of the account of that rule, by its balance: `budget` less.
fn spent(process: &mut Process, rule: &str, budget: i64) -> i64 {
    let accounts: Value = serde_json::from_str(&asked(process, "/accounts")).expect("JSON");
    let list = accounts["accounts"].as_array().expect("a list");
    let account = list.iter().find(|it| it["rule"].as_str().is_some_and(|name| name.ends_with(rule)));
    budget - account.map_or(budget, |it| it["balance"].as_i64().unwrap_or_else(|| panic!("{accounts}")))
}

/// How many handshakes are under way.
fn handshakes(process: &mut Process) -> u64 {
    let metrics = asked(process, "/metrics");
    let line = metrics.lines().find_map(|line| line.strip_prefix("tollgate_downstream_handshakes_open "));
    line.and_then(|number| number.trim().parse().ok()).unwrap_or_else(|| panic!("{metrics}"))
}

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Manner {
    /// It keeps its connection as long as it may.
    Keeps,
    /// It opens a connection for each request.
    Opens,
    /// The same, for answers that are streams.
    Streams,
}

/// What clients met.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    admitted: AtomicU64,
    refused: AtomicU64,
    /// Connections that nobody accepted.
    closed: AtomicU64,
    /// How TLS is spoken, where it is.
    tls: Option<Arc<ClientConfig>>,
    failed: Mutex<Vec<String>>,
}

impl Load {
    /// Clients that ask until they are stopped.
    fn start(address: SocketAddr, manners: &[Manner]) -> (Arc<Load>, Vec<std::thread::JoinHandle<()>>) {
        Load::of(address, manners, None)
    }

    /// By TLS, where it is said how.
    fn of(
        address: SocketAddr,
        manners: &[Manner],
        tls: Option<Arc<ClientConfig>>,
    ) -> (Arc<Load>, Vec<std::thread::JoinHandle<()>>) {
        let load = Arc::new(Load { tls, ..Load::default() });
        let client = |manner: &Manner| {
            let (load, manner) = (load.clone(), *manner);
            std::thread::spawn(move || load.run(address, manner))
        };
        let threads = manners.iter().map(client).collect();
        (load, threads)
    }

    fn run(&self, address: SocketAddr, manner: Manner) {
        let mut kept = None;
        while !self.stop.load(Ordering::Acquire) {
            let mut client = match kept.take() {
                Some(client) => client,
                None => match Client::try_connect(address) {
                    Ok(client) => match self.shake_hands(client) {
                        Ok(client) => client,
                        Err(error) => {
                            self.failed.lock().expect("a list").push(format!("{manner:?}: {error}"));
                            continue;
                        }
                    },
                    Err(_) => {
                        self.closed.fetch_add(1, Ordering::AcqRel);
                        std::thread::sleep(Duration::from_millis(5));
                        continue;
                    }
                },
            };
            client.post(
                "/openai",
                "",
                &with(&chat("gpt-5", manner == Manner::Streams), r#""max_tokens":20"#),
            );
            let answer = client.try_answer().unwrap_or_default();
            let is_whole = match manner {
                Manner::Streams => answer.events().last().is_some_and(|last| last == "[DONE]"),
                _ => answer.complete && serde_json::from_slice::<Value>(&answer.body).is_ok(),
            };
            match answer.status {
                200 if is_whole && answer.complete => drop(self.admitted.fetch_add(1, Ordering::AcqRel)),
                429 if answer.complete => {
                    self.refused.fetch_add(1, Ordering::AcqRel);
                    std::thread::sleep(Duration::from_millis(2));
                }
                _ => self.failed.lock().expect("a list").push(format!("{manner:?}: {answer:?}")),
            }
            let is_kept = manner == Manner::Keeps && answer.header("connection") != Some("close");
            kept = is_kept.then_some(client);
        }
    }

    fn shake_hands(&self, mut client: Client) -> std::io::Result<Client> {
        let Some(config) = &self.tls else { return Ok(client) };
        let mut tls = session(config);
        while tls.is_handshaking() {
            tls.complete_io(&mut client.stream)?;
        }
        Ok(client.over(tls))
    }

    fn admitted(&self) -> u64 {
        self.admitted.load(Ordering::Acquire)
    }

    /// Waits until so many more requests were admitted.
    fn goes_on(&self, more: u64) {
        let from = self.admitted();
        until("requests are admitted", || self.admitted() >= from + more);
    }

    fn end(&self, threads: Vec<std::thread::JoinHandle<()>>) {
        self.stop.store(true, Ordering::Release);
        threads.into_iter().for_each(|thread| thread.join().expect("a client ends"));
        let failed = self.failed.lock().expect("a list");
        assert!(failed.is_empty(), "{} of {} failed: {failed:#?}", failed.len(), self.admitted());
    }
}

fn session(config: &Arc<ClientConfig>) -> ClientConnection {
    let name = ServerName::try_from("gateway.test").expect("a name");
    ClientConnection::new(config.clone(), name).expect("a session")
}

const ALL: [Manner; 7] = [
    Manner::Keeps,
    Manner::Keeps,
    Manner::Keeps,
    Manner::Opens,
    Manner::Opens,
    Manner::Streams,
    Manner::Streams,
];

/// Streams of 300 ms; whole answers at once.
fn script() -> Script {
    let (chunks, chunk_gap) = (16, Duration::from_millis(20));
    Script { input_tokens: Count::Fixed(100), output_tokens: 20, chunks, chunk_gap, ..Script::default() }
}

const AMPLE: i64 = 1_000_000_000;
const AMPLE_LIMITS: [&str; 4] = [
    "{name: day, unit: tokens, budget: 1000000000, window: day}",
    "{name: asked, unit: requests, budget: 1000000000, window: {sliding: 24h}}",
    "{name: slots, unit: concurrency, max: 1000}",
    "{name: rate, unit: requests, rate: 1000000/second, burst: 1000000}",
];

#[test]
fn an_upgrade_under_load_refuses_no_connection_fails_no_request_and_counts_everything_once() {
    for stored in STORES {
        let host = Host::new("upgrade", script(), &AMPLE_LIMITS, stored);
        let (mut process, address) = host.start(false);
        let (load, threads) = Load::start(address, &ALL);
        for _ in 0..3 {
            load.goes_on(150);
            process = host.upgrade(process, address);
        }
        load.goes_on(150);
        load.end(threads);
        assert_eq!(load.closed.load(Ordering::Acquire), 0, "connections refused");
        assert_eq!(load.refused.load(Ordering::Acquire), 0, "requests refused");
        let (tokens, asked) = (host.reported() as i64, load.admitted() as i64);
        let is_settled = |process: &mut Process| {
            let found = [("/day", tokens), ("/asked", asked), ("/slots", 0)].map(|(rule, wanted)| {
                (rule, spent(process, rule, if rule == "/slots" { 1000 } else { AMPLE }), wanted)
            });
            (found.iter().all(|(_, spent, wanted)| spent == wanted), found)
        };
        let patience = std::time::Instant::now() + Duration::from_secs(10);
        while !is_settled(&mut process).0 && std::time::Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (settled, found) = is_settled(&mut process);
        assert!(settled, "stored: {stored}: {found:?}\n{}", process.stderr());
        process.signal("TERM");
        assert_eq!(process.end().code, Some(0));
        if stored {
            let (mut process, _) = host.start(false);
            assert_eq!(spent(&mut process, "/day", AMPLE), tokens, "after a restart");
        }
    }
}

#[test]
fn a_budget_that_ends_during_an_upgrade_admits_exactly_what_it_is() {
    for (stored, window) in [(true, "day"), (true, "{sliding: 24h}"), (false, "day")] {
        let limit = format!("{{name: few, unit: requests, budget: 600, window: {window}}}");
        let host = Host::new("upgrade-few", script(), &[&limit], stored);
        let (process, address) = host.start(false);
        let (load, threads) = Load::start(address, &[&ALL[..], &[Manner::Keeps; 9]].concat());
        load.goes_on(300);
        let process = host.upgrade(process, address);
        until("requests are refused", || load.refused.load(Ordering::Acquire) > 50);
        load.end(threads);
        assert_eq!(load.admitted(), 600, "stored: {stored}, {window}\n{}", process.stderr());
        assert_eq!(host.simulator.ledger().requests, 600);
    }
}

#[test]
fn what_is_under_way_in_the_old_process_counts_in_the_new_one_until_it_ends() {
    let slow = Script { chunks: 12, chunk_gap: Duration::from_millis(250), ..script() };
    let host = Host::new("upgrade-slots", slow, &["{name: slots, unit: concurrency, max: 2}"], true);
    let (mut before, address) = host.start(false);
    let stream = || {
        let mut client = Client::connect(address);
        client.post("/openai", "", &chat("gpt-5", true));
        client.fill_to(1);
        client
    };
    let mut streams = [stream(), stream()];
    let (mut after, _) = host.start(true);
    before.says("serves now");
    let ask = || Client::connect(address).ask("/openai", "", &chat("gpt-5", false)).status;
    assert_eq!(ask(), 429, "both places are taken by streams of the process before");
    for stream in &mut streams {
        let answer = stream.answer();
        assert!(answer.complete && answer.events().last().is_some_and(|last| last == "[DONE]"));
    }
    until("a place is free", || ask() == 200);
    after.says("has ended all it had under way");
    assert_eq!(before.end().code, Some(0));
    assert_eq!(spent(&mut after, "/slots", 2), 0);
}

#[test]
fn a_stream_of_the_old_process_that_a_limit_may_cut_is_covered_by_the_new_one_and_ends_when_it_is_not() {
    // Of each stream 100 tokens of input and 40 of output in each piece.
    let long = |chunks: u32| Script {
        output_tokens: u64::from(chunks) * 40,
        chunks,
        chunk_bytes: 160,
        chunk_gap: Duration::from_millis(20),
        ..script()
    };
    for (budget, is_whole) in [(1_000_000, true), (2_000, false)] {
        let limit = format!("{{name: cut, unit: tokens, budget: {budget}, window: day, onExhausted: cut}}");
        let host = Host::new("upgrade-cut", long(if is_whole { 100 } else { 500 }), &[&limit], true);
        let (before, address) = host.start(false);
        let mut client = Client::connect(address);
        client.post("/openai", "", &chat("gpt-5", true));
        client.fill_to(1);
        let (mut after, _) = host.start(true);
        let answer = client.answer();
        let text = answer.text();
        assert!(answer.complete && text.contains("[DONE]"), "{budget}");
        assert_eq!(
            text.contains("\"finish_reason\":\"length\""),
            !is_whole,
            "{budget}: {} bytes",
            text.len()
        );
        assert_eq!(before.end().code, Some(0));
        after.says("has ended all it had under way");
        let used = spent(&mut after, "/cut", budget);
        match is_whole {
            true => assert_eq!(used, host.reported() as i64),
            // A part, the one during which it asked, and what passed while nobody could be asked: on a slow machine more.
            false => assert!((budget..20_000).contains(&used), "{used} of {budget}"),
        }
    }
}

#[test]
fn nobody_takes_over_who_is_not_ready_and_the_old_process_goes_on() {
    for stored in STORES {
        let host = Host::new("upgrade-back", script(), &AMPLE_LIMITS[..3], stored);
        let (mut process, address) = host.start(false);
        let (load, threads) = Load::start(address, &ALL);
        load.goes_on(50);
        // One whose configuration is not sound.
        let broken = host.here.join("broken.yaml");
        fs::write(&broken, "kind: Gatewey\napiVersion: v1\n").expect("a file");
        let arguments = ["run", broken.to_str().expect("UTF-8"), "--takeover", &host.socket()];
        assert_eq!(ended(&mut tollgate(&arguments)).code, Some(2));
        // Ones that end after they have said hello, after they were ready, and after everything was released to them.
        for says in 0..3 {
            drop(host.pretend(says));
            let told = |process: &Process| process.stderr().matches("nobody takes over").count();
            until("it goes on", || told(&process) > says);
            load.goes_on(50);
        }
        // And one without being asked.
        let arguments = host.arguments(false);
        let Ended { code, stderr, .. } =
            ended(&mut tollgate(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        assert!(code == Some(2) && stderr.contains("take it over with --takeover"), "{stderr}");
        process = host.upgrade(process, address);
        load.goes_on(50);
        load.end(threads);
        assert_eq!(load.closed.load(Ordering::Acquire) + load.refused.load(Ordering::Acquire), 0);
        until("all is settled", || host.simulator.ledger().requests == load.admitted());
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(spent(&mut process, "/day", AMPLE), host.reported() as i64, "{}", process.stderr());
        assert_eq!(spent(&mut process, "/slots", 1000), 0);
    }
}

#[test]
fn the_end_of_a_process_under_load_fails_no_request() {
    let host = Host::new("drain-load", script(), &AMPLE_LIMITS, true);
    let (process, address) = host.start(false);
    let (load, threads) = Load::start(address, &ALL);
    load.goes_on(200);
    process.signal("TERM");
    until("nobody listens", || load.closed.load(Ordering::Acquire) > 20);
    let Ended { code, stderr, .. } = process.end();
    assert_eq!(code, Some(0), "{stderr}");
    load.end(threads);
    let (mut process, _) = host.start(false);
    assert_eq!(spent(&mut process, "/day", AMPLE), host.reported() as i64);
    assert_eq!(spent(&mut process, "/asked", AMPLE), load.admitted() as i64);
}

#[test]
fn there_is_nobody_to_take_over() {
    let host = Host::new("upgrade-none", script(), &[AMPLE_LIMITS[0]], false);
    let arguments = host.arguments(true);
    let Ended { code, stderr, .. } =
        ended(&mut tollgate(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    assert!(code == Some(2) && stderr.contains("start without --takeover"), "{stderr}");
}

#[test]
fn a_store_that_is_in_use_when_nobody_takes_over_is_opened_as_soon_as_it_can_be() {
    let host = Host::new("upgrade-held", script(), &AMPLE_LIMITS[..2], true);
    let (mut process, address) = host.start(false);
    let (load, threads) = Load::start(address, &ALL);
    load.goes_on(50);
    let pretender = host.pretend(2);
    let store = fs::File::open(host.here.join("store")).expect("a folder");
    store.lock().expect("it is free");
    drop(pretender);
    process.says("until it can be opened balances are kept in memory alone");
    load.goes_on(150);
    drop(store);
    process.says("the disk takes balances again");
    load.end(threads);
    process.signal("KILL");
    process.end();
    // Nothing was asked of the disk since: what was granted in memory is there all the same.
    let (mut process, _) = host.start(false);
    let (day, asked) = (spent(&mut process, "/day", AMPLE), spent(&mut process, "/asked", AMPLE));
    assert!(day >= host.reported() as i64, "{day} of {}", host.reported());
    assert!(asked >= load.admitted() as i64, "{asked} of {}", load.admitted());
}

#[test]
fn whose_own_socket_cannot_be_opened_does_not_take_over() {
    let host = Host::new("upgrade-other", script(), &AMPLE_LIMITS[..1], false);
    let (process, address) = host.start(false);
    let (file, other) = (host.here.join("gateway.yaml"), host.here.join("other.sock"));
    let text = fs::read_to_string(&file).expect("a file");
    let somebody = UnixListener::bind(&other).expect("a socket");
    let arguments = host.arguments(true);
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let rows = [("other.sock", "another process offers its place"), ("missing/up.sock", "upgrade.socket: ")];
    for (name, why) in rows {
        fs::write(&file, text.replace("up.sock", name)).expect("a file");
        let Ended { code, stderr, .. } = ended(&mut tollgate(&arguments));
        assert!(code == Some(2) && stderr.contains(why), "{stderr}");
    }
    assert_eq!(process.stderr().matches("serves now").count(), 0, "{}", process.stderr());
    drop(somebody);
    fs::write(&file, text.replace("up.sock", "other.sock")).expect("a file");
    let _after = host.upgrade(process, address);
    UnixStream::connect(&other).expect("the next one asks there");
}

#[test]
fn an_upgrade_of_https_under_load_refuses_no_connection_and_fails_no_request() {
    let (host, authority) = Host::secure("upgrade-tls", script(), &AMPLE_LIMITS);
    let (mut process, address) = host.start(false);
    let config = secure::config(&authority.pem(), &[&TLS12, &TLS13]);
    let (load, threads) = Load::of(address, &ALL, Some(config));
    for _ in 0..2 {
        load.goes_on(100);
        process = host.upgrade(process, address);
    }
    load.goes_on(100);
    load.end(threads);
    assert_eq!(load.closed.load(Ordering::Acquire), 0, "connections refused");
    assert_eq!(load.refused.load(Ordering::Acquire), 0, "requests refused");
    process.signal("TERM");
    assert_eq!(process.end().code, Some(0));
}

/// Who is in the middle of a handshake is served by the process that has begun it, also when all that was idle there has been
/// told goodbye in the meantime.
#[test]
fn a_handshake_that_began_before_an_upgrade_ends_in_a_request_that_is_served() {
    let (host, authority) = Host::secure("upgrade-handshake", script(), &AMPLE_LIMITS[..1]);
    let (before, address) = host.start(false);
    let config = |version| secure::config(&authority.pem(), &[version]);
    let mut idle = Client::secure(address, "gateway.test", &config(&TLS13)).expect("a handshake");
    assert_eq!(idle.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    let begun: Vec<(Client, ClientConnection, Vec<u8>)> = [&TLS12, &TLS13, &TLS12, &TLS13]
        .into_iter()
        .enumerate()
        .map(|(number, version)| {
            let client = Client::connect(address);
            let (mut tls, mut hello) = (session(&config(version)), Vec::new());
            while tls.wants_write() {
                tls.write_tls(&mut hello).expect("a vector takes it");
            }
            // Of the first two the gateway has half a hello, of the others all of it.
            let rest = if number < 2 { hello.split_off(hello.len() / 2) } else { Vec::new() };
            (&client.stream).write_all(&hello).expect("heard");
            (client, tls, rest)
        })
        .collect();
    let asked = RefCell::new(before);
    until("all of them are under way", || handshakes(&mut asked.borrow_mut()) == 4);
    let mut before = asked.into_inner();
    let (mut after, _) = host.start(true);
    before.says("serves now");
    assert!(idle.ends_with_goodbye(), "what is idle is told goodbye");
    for (mut client, mut tls, rest) in begun {
        client.stream.write_all(&rest).expect("heard");
        while tls.is_handshaking() {
            tls.complete_io(&mut client.stream).expect("the handshake goes on");
        }
        // By TLS 1.3 a client is done before the server: its tickets say that it is done too.
        while tls.protocol_version() == Some(rustls::ProtocolVersion::TLSv1_3)
            && tls.tls13_tickets_received() == 0
        {
            tls.complete_io(&mut client.stream).expect("tickets");
        }
        let mut client = client.over(tls);
        let answer = client.ask("/openai", "", &chat("gpt-5", false));
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{}", answer.text());
        assert!(client.ends_with_goodbye());
    }
    assert_eq!(before.end().code, Some(0));
    after.says("has ended all it had under way");
}

/// Longer than a request waits for its budget on disk, and shorter than the process that hangs is waited for.
const HANGS: Duration = Duration::from_millis(5500);

#[test]
fn a_process_that_hangs_when_everything_is_released_to_it_costs_nobody_a_refusal() {
    let host = Host::new("upgrade-hangs", script(), &AMPLE_LIMITS[..2], true);
    let (process, address) = host.start(false);
    let mut kept: Vec<Client> = (0..4).map(|_| Client::connect(address)).collect();
    let body = chat("gpt-5", false);
    kept.iter_mut().for_each(|client| assert_eq!(client.ask("/openai", "", &body).status, 200));
    let pretender = host.pretend(2);
    kept.iter_mut().for_each(|client| client.post("/openai", "", &body));
    std::thread::sleep(HANGS);
    drop(pretender);
    for client in &mut kept {
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{}\n{}", answer.text(), process.stderr());
    }
}

#[test]
fn what_was_used_before_there_was_a_store_is_on_disk_before_the_new_process_serves() {
    for (list, others) in [(&AMPLE_LIMITS[..1], None), (&AMPLE_LIMITS[..2], Some("other"))] {
        let host = Host::new("upgrade-store", script(), list, false);
        host.configure(list, others);
        let (before, address) = host.start(false);
        for _ in 0..20 {
            let answer = Client::connect(address).ask("/openai", "", &chat("gpt-5", false));
            assert_eq!(answer.status, 200);
        }
        host.configure(list, Some("store"));
        let after = host.upgrade(before, address);
        after.signal("KILL");
        after.end();
        let (mut process, _) = host.start(false);
        let used = spent(&mut process, "/day", AMPLE);
        assert!(used >= host.reported() as i64, "{used} of {}", host.reported());
        let asked = spent(&mut process, "/asked", AMPLE);
        assert!(list.len() == 1 || asked >= 20, "{asked}");
    }
}

/// The process before is played here: it ends in order, and something was still under way in it by what it said.
#[test]
fn places_that_the_old_process_had_are_free_when_it_has_ended() {
    let host = Host::new("upgrade-end", script(), &["{name: slots, unit: concurrency, max: 5}"], false);
    let offers = UnixListener::bind(host.here.join("up.sock")).expect("a socket");
    let arguments = host.arguments(true);
    let process = Process::start(&mut tollgate(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
    let (stream, _) = offers.accept().expect("it asks");
    let mut lines = BufReader::new(stream.try_clone().expect("a descriptor")).lines();
    let mut hears = |part: &str| {
        let line = lines.next().expect("a line").expect("text");
        assert!(line.contains(part), "{line}");
    };
    let says = |line: &str| (&stream).write_all(format!("{line}\n").as_bytes()).expect("heard");
    hears("Hello");
    says(r#"{"Sockets":{"names":[],"admin":false,"last":false}}"#);
    says(r#"{"Sockets":{"names":[],"admin":true,"last":true}}"#);
    hears("Ready");
    let slots =
        format!(r#"{{"account":"{:032x}","rule":"llm/test/slots","unit":"concurrency","label":""}}"#, 7);
    says(&format!(r#"{{"Used":[{slots},3]}}"#));
    says(&format!(r#"{{"Released":{{"pid":{}}}}}"#, std::process::id()));
    hears("Serving");
    says("\"Yours\"");
    let process = RefCell::new(process);
    let taken = || spent(&mut process.borrow_mut(), "/slots", 5);
    assert_eq!(taken(), 3);
    says(&format!(r#"{{"Change":[{slots},-1]}}"#));
    until("it has heard", || taken() == 2);
    says("\"End\"");
    process.borrow_mut().says("has ended all it had under way");
    until("all places are free", || taken() == 0);
}
