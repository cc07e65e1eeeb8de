//! The admin endpoint against real sockets.

#[path = "admin/accounts.rs"]
mod accounts;
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tollgate::admin::{self, AdminServer, CONNECTIONS_MAX};
use tollgate::base::{Moment, Tick};
use tollgate::config::{self, Overrides, Source};
use tollgate::limit::{Account, Accounts, Book, Caller, KeyPart, Spend, Tuning, Wanted};
use tollgate::mail::{Board, Desk, InForce, Resolved};
use tollgate::runtime::clock;
use tollgate::telemetry::Latencies;
use tollgate::wire::http1::{self, HeadLimits, Known, Method};

const SECRET: &str = "sk-ant-do-not-show";
const LIMIT: &str = r#"rule="kgateway-system/anthropic-ratelimit",unit="requests""#;

macro_rules! manifest {
    ($name:literal) => {
        Source { name: $name, text: include_str!(concat!("../config/walkthrough/", $name)) }
    };
}

/// The walkthrough's configuration, its account opened at tick 0, served by `workers` workers.
fn board(generation: u64, workers: u16) -> Arc<Board> {
    let sources = [
        manifest!("1-secret.yaml"),
        manifest!("2-gateway.yaml"),
        manifest!("3-backend.yaml"),
        manifest!("4-httproute.yaml"),
        manifest!("5-trafficpolicy.yaml"),
    ];
    let env = |name: &str| (name == "ANTHROPIC_API_KEY").then(|| SECRET.to_owned());
    let snapshot = config::load(&sources, &env, &Overrides::default()).expect("the walkthrough is accepted");
    let mut in_force = InForce::after(None, snapshot, usize::from(workers));
    in_force.generation = generation;
    let accounts = Arc::new(Accounts::new(1000, false, Tuning::default()));
    let wanted = Wanted { rules: &in_force.rules, rule: 0, key: 0 };
    accounts.find(&wanted, &String::new, Moment::default());
    Board::new((0..workers).map(|worker| Desk::new(worker, 16)).collect(), Arc::new(in_force), accounts)
}

/// The walkthrough's one account.
fn account(board: &Board) -> Arc<Account> {
    let wanted = Wanted { rules: &board.in_force().rules, rule: 0, key: 0 };
    board.accounts.find(&wanted, &String::new, FROZEN)
}

/// A caller without a key.
struct Nobody;

impl Caller for Nobody {
    fn key(&self, _: &[KeyPart]) -> Result<u128, usize> {
        Err(0)
    }

    fn label(&self, _: &[KeyPart]) -> String {
        String::new()
    }
}

/// Forty seconds after the accounts were opened.
const FROZEN: Moment = Moment { tick: Tick(40_000_000_000), unix_ms: 40_000 };

/// A server for which time stands still.
fn frozen(board: &Arc<Board>) -> AdminServer {
    start(board, || FROZEN)
}

fn start(board: &Arc<Board>, now: fn() -> Moment) -> AdminServer {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    admin::start(any, board.clone(), now, "1.2.3", None).expect("a free port")
}

/// A connection on which nothing waits for ever.
fn connect(server: &AdminServer) -> TcpStream {
    let stream = TcpStream::connect(server.addr().expect("TCP")).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    stream
}

#[derive(Debug)]
struct Answer {
    status: u16,
    content_type: String,
    allow: String,
    body: String,
}

/// What comes until the server closes, held to the rules of HTTP by the parser that upstream answers meet.
fn answer(mut stream: &TcpStream, method: Method) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("an answer and a clean end");
    let head = http1::response(&bytes, &HeadLimits::default(), method).expect("a good head");
    let head = head.unwrap_or_else(|| panic!("no whole head in {:?}", String::from_utf8_lossy(&bytes)));
    let header = |name: &str| {
        let value = head.headers.get(&bytes, name.as_bytes()).map(|value| value.of(&bytes));
        String::from_utf8(value.unwrap_or_default().to_vec()).expect("text")
    };
    let body = String::from_utf8(bytes[head.len..].to_vec()).expect("text");
    let length: usize = header(Known::ContentLength.name()).parse().expect("a length");
    assert_eq!(body.len(), if method == Method::Head { 0 } else { length });
    assert!(length > 0 && !head.keep_alive);
    Answer { status: head.status, content_type: header("content-type"), allow: header("allow"), body }
}

fn ask(server: &AdminServer, request: &[u8]) -> Answer {
    let mut stream = connect(server);
    stream.write_all(request).expect("sent");
    let method = if request.starts_with(b"HEAD ") { Method::Head } else { Method::Get };
    answer(&stream, method)
}

fn get(server: &AdminServer, path: &str) -> Answer {
    ask(server, format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes())
}

fn state(server: &AdminServer) -> serde_json::Value {
    let answer = get(server, "/state");
    assert_eq!((answer.status, &*answer.content_type), (200, "application/json"));
    assert!(!answer.body.contains(SECRET));
    serde_json::from_str(&answer.body).expect("JSON")
}

/// The samples of `/metrics` by series, held to the format: HELP, TYPE, then the family's samples, each once.
fn metrics(server: &AdminServer) -> BTreeMap<String, f64> {
    let answer = get(server, "/metrics");
    assert_eq!((answer.status, &*answer.content_type), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let (mut samples, mut families) = (BTreeMap::new(), BTreeSet::new());
    let (mut family, mut kind) = (String::new(), String::new());
    assert!(answer.body.ends_with('\n'));
    for line in answer.body.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words[..] {
            ["#", "HELP", name, help] => {
                assert!(!help.is_empty() && families.insert(name.to_owned()), "{line}");
                (family, kind) = (name.to_owned(), String::new());
            }
            ["#", "TYPE", name, is] => {
                assert!(name == family && kind.is_empty(), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&is), "{line}");
                kind = is.to_owned();
            }
            _ => {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let suffix = series.split('{').next().and_then(|name| name.strip_prefix(&family));
                let suffixes: &[&str] =
                    if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
                assert!(!kind.is_empty() && suffixes.contains(&suffix.expect("of this family")), "{line}");
                let value = value.parse().expect("a number");
                assert_eq!(samples.insert(series.to_owned(), value), None, "{line}");
            }
        }
    }
    samples
}

#[test]
fn every_page_is_there_and_listed() {
    let server = frozen(&board(1, 1));
    let index = get(&server, "/");
    assert_eq!((index.status, &*index.content_type), (200, "text/plain; charset=utf-8"));
    assert!(index.body.starts_with("tollgate 1.2.3\n"));
    for (path, status, begins) in [
        ("/healthz", 200, "ok\n"),
        ("/readyz", 503, "not ready: 0 of 1 "),
        ("/metrics", 200, "# HELP tollgate_build_info"),
        ("/state", 200, "{\"version\":\"1.2.3\""),
        ("/healthz?verbose=1", 200, "ok\n"),
        ("http://localhost/healthz", 200, "ok\n"),
        ("/healthz/", 404, "no such page"),
        ("/HEALTHZ", 404, "no such page"),
        ("/%68ealthz", 404, "no such page"),
        ("//", 404, "no such page"),
    ] {
        let answer = get(&server, path);
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.body.starts_with(begins), "{path}: {}", answer.body);
        assert!(answer.status == 404 || path.contains(['?', ':']) || index.body.contains(path), "{path}");
        let head = format!("HEAD {path} HTTP/1.0\r\n\r\n");
        let head = ask(&server, head.as_bytes());
        assert_eq!((head.status, head.content_type), (answer.status, answer.content_type), "{path}");
    }
}

#[test]
fn what_is_malformed_or_too_much_is_refused_with_its_status() {
    let server = frozen(&board(1, 1));
    let host = "Host: a\r\n";
    for (request, status) in [
        (format!("POST /metrics HTTP/1.1\r\n{host}Content-Length: 3\r\n\r\nabc"), 405),
        (format!("DELETE / HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("get / HTTP/1.1\r\n{host}\r\n"), 405),
        (format!("POST /metricz HTTP/1.1\r\n{host}\r\n"), 404),
        (format!("OPTIONS * HTTP/1.1\r\n{host}\r\n"), 404),
        ("GET / HTTP/1.1\r\n\r\n".into(), 400),
        (format!("GET  / HTTP/1.1\r\n{host}\r\n"), 400),
        (format!("GET / HTTP/1.1\n{host}\n"), 400),
        ("\u{16}\u{3}\u{1}".into(), 400),
        (format!("GET / HTTP/2.0\r\n{host}\r\n"), 505),
        (format!("CONNECT a:1 HTTP/1.1\r\n{host}\r\n"), 501),
        (format!("GET /{} HTTP/1.1\r\n{host}\r\n", "x".repeat(3000)), 414),
        (format!("GET /{}", "x".repeat(20_000)), 414),
        (format!("GET / HTTP/1.1\r\n{host}x: {}\r\n\r\n", "x".repeat(20_000)), 431),
        (format!("GET / HTTP/1.1\r\n{host}{}\r\n", "x: 1\r\n".repeat(65)), 431),
        // A body is not read for its content, and neither is a second request.
        (format!("GET / HTTP/1.1\r\n{host}Content-Length: 9\r\nExpect: 100-continue\r\n\r\n"), 200),
        (format!("GET / HTTP/1.1\r\n{host}\r\nGET / HTTP/1.1\r\n{host}\r\n"), 200),
    ] {
        let answer = ask(&server, request.as_bytes());
        assert_eq!(answer.status, status, "{:.80}: {}", request, answer.body);
        assert_eq!(answer.allow, if status == 405 { "GET, HEAD" } else { "" }, "{:.80}", request);
    }
    assert_eq!(get(&server, "/healthz").status, 200);
}

#[test]
fn readiness_follows_the_boards_health() {
    let board = board(1, 2);
    let server = frozen(&board);
    let is = |status: u16, part: &str| {
        let answer = get(&server, "/readyz");
        assert_eq!(answer.status, status, "{}", answer.body);
        assert!(answer.body.contains(part), "{}", answer.body);
        assert_eq!(state(&server)["ready"], status == 200);
        assert_eq!(get(&server, "/healthz").status, 200);
    };
    is(503, "0 of 2 workers");
    board.health.worker_adopted();
    is(503, "1 of 2 workers");
    board.health.worker_adopted();
    is(503, "2 of 2 workers");
    board.health.set_ready();
    is(200, "ready");
    board.health.set_draining();
    is(503, "draining");
}

#[test]
fn metrics_are_sums_over_workers_and_debt_is_what_the_account_owes() {
    let board = board(1, 2);
    let server = frozen(&board);
    let before = metrics(&server);
    assert_eq!(before[r#"tollgate_build_info{version="1.2.3"}"#], 1.0);
    assert_eq!(before[&format!("tollgate_limit_debt{{{LIMIT}}}")], 0.0);

    let in_force = board.in_force();
    for (desk, limits) in board.desks.iter().zip(&in_force.limit_counters) {
        desk.counters.connections_accepted.add(3);
        desk.counters.statuses.count(429);
        desk.counters.config_generation.set(u64::from(desk.worker) + 1);
        limits[0].admitted.add(2);
        limits[0].debt.set(1_000); // stale, and on both workers
        let mut latencies = Latencies::default();
        latencies.request.record(Duration::from_millis(15));
        assert!(desk.latencies.push(Box::new(latencies)).is_ok());
    }
    account(&board).settle(0, 4, 0, FROZEN);

    let after = metrics(&server);
    assert!(after.keys().eq(before.keys()), "every series is there from the start");
    for (series, value) in [
        ("tollgate_downstream_connections_total", 6.0),
        (r#"tollgate_requests_total{status="429"}"#, 2.0),
        (r#"tollgate_config_generation{worker="0"}"#, 1.0),
        (r#"tollgate_config_generation{worker="1"}"#, 2.0),
        (&*format!("tollgate_limit_admitted_total{{{LIMIT}}}"), 4.0),
        (&*format!("tollgate_limit_debt{{{LIMIT}}}"), 3.0),
        (&*format!("tollgate_limit_accounts{{{LIMIT}}}"), 1.0),
        ("gen_ai_server_request_duration_count", 2.0),
        ("gen_ai_server_request_duration_sum", 0.03),
    ] {
        assert_eq!(after.get(series), Some(&value), "{series}");
    }
}

#[test]
fn the_state_says_what_is_in_force_and_no_secret() {
    let board = board(7, 2);
    let server = frozen(&board);
    board.desks[1].counters.config_generation.set(7);
    board.desks[1].counters.connections_open.add(5);
    board.health.worker_adopted();
    let fresh = state(&server);
    assert_eq!((&fresh["version"], &fresh["generation"]), (&"1.2.3".into(), &7.into()));
    assert_eq!(fresh["workers_adopted"], 1);
    assert_eq!(
        fresh["workers"][1],
        serde_json::json!({
            "worker": 1, "generation": 7, "connections_open": 5,
            "requests_in_flight": 0, "records_waiting": 0, "records_max": 16,
        })
    );
    assert_eq!(fresh["listeners"][0]["name"], "kgateway-system/agentgateway/http");
    assert!(fresh["listeners"][0]["bind"].as_str().is_some_and(|bind| bind.ends_with(":8080")));
    let mut limit = serde_json::json!({
        "name": "kgateway-system/anthropic-ratelimit", "unit": "requests", "capacity": 1,
        "allows": "1 request at once, 1 back every 100 s", "keyed": false,
        "rate": {"per_fill": 1, "fill_seconds": 100}, "balance": 1, "wait_seconds": 0, "full_seconds": 0,
    });
    assert_eq!(fresh["limits"], serde_json::json!([limit]));
    let mut target = serde_json::json!({
        "host": "api.anthropic.com", "port": 443, "tls": true, "addresses": null,
    });
    assert_eq!(fresh["targets"], serde_json::json!([target]));

    // One request; the next unit comes a whole fill later. Two more are debt.
    let mut book = Book::new(0, board.accounts.clone(), Duration::from_secs(60));
    let (rules, spend) = (&board.in_force().rules, Spend::default());
    let ticket = book.reserve(rules, [0].into_iter(), &Nobody, &spend, FROZEN, |_, _| {});
    book.settle(ticket.expect("the account is full"), rules, &spend, FROZEN, |_| {});
    limit["balance"] = 0.into();
    (limit["wait_seconds"], limit["full_seconds"]) = (100.into(), 100.into());
    assert_eq!(state(&server)["limits"], serde_json::json!([limit]));
    account(&board).settle(0, 2, 0, FROZEN);
    assert_eq!(state(&server)["limits"][0]["balance"], -2);

    let address: SocketAddr = "[2001:db8::1]:443".parse().expect("an address");
    let addresses = vec![Arc::from([address])];
    board.set_resolved(Arc::new(Resolved { generation: 6, addresses: addresses.clone() }));
    assert_eq!(state(&server)["targets"], serde_json::json!([target]), "of another configuration");
    board.set_resolved(Arc::new(Resolved { generation: 7, addresses }));
    target["addresses"] = serde_json::json!(["[2001:db8::1]:443"]);
    assert_eq!(state(&server)["targets"], serde_json::json!([target]));
}

#[test]
fn slow_clients_have_their_time_and_then_others_are_served() {
    let server = start(&board(1, 1), clock::moment);
    let mut slow: Vec<TcpStream> = (1..CONNECTIONS_MAX).map(|_| connect(&server)).collect();
    for mut stream in &slow {
        stream.write_all(b"GET /healthz HT").expect("sent");
    }
    assert_eq!(get(&server, "/healthz").status, 200, "one thread is free");

    // The last one moves all the time, a byte at a time, until it is answered.
    let mut dripping = connect(&server);
    dripping.write_all(b"GET /").expect("sent");
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| get(&server, "/healthz").status);
        dripping.set_read_timeout(Some(Duration::from_millis(20))).expect("a time-out");
        let mut first = [0];
        loop {
            match dripping.read(&mut first) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // The server may have said its word meanwhile; then a write is of no matter.
                    let _ = dripping.write_all(b"x");
                }
                read => break assert_eq!(read.ok(), Some(1), "the answer begins"),
            }
        }
        waiting.join().expect("no panic")
    });
    assert_eq!(waiting, 200, "all were busy until the slow ones had used up their time");
    for stream in slow.drain(..) {
        assert_eq!(answer(&stream, Method::Get).status, 408);
    }
}

#[test]
fn a_client_that_asks_nothing_or_leaves_is_not_answered() {
    let server = start(&board(1, 1), clock::moment);
    let silent = connect(&server);
    let mut leaves = connect(&server);
    leaves.write_all(b"GET / HTTP/1.1\r\n").expect("sent");
    leaves.shutdown(Shutdown::Write).expect("shut");
    for mut stream in [silent, leaves] {
        let mut bytes = Vec::new();
        assert_eq!(stream.read_to_end(&mut bytes).ok(), Some(0));
    }
}

#[test]
fn a_head_may_come_in_pieces() {
    let server = frozen(&board(1, 1));
    let request = b"\r\nGET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut stream = connect(&server);
    stream.set_nodelay(true).expect("no delay");
    for byte in request {
        stream.write_all(&[*byte]).expect("sent");
    }
    assert_eq!(answer(&stream, Method::Get).body, "ok\n");
}

#[test]
fn stopping_breaks_off_who_is_served_and_frees_the_port() {
    for busy in [0, 1, CONNECTIONS_MAX] {
        // The clock stands, so that a slow client would be waited for without end.
        let server = frozen(&board(1, 1));
        let address = server.addr().expect("TCP");
        let slow: Vec<TcpStream> = (0..busy).map(|_| connect(&server)).collect();
        for mut stream in &slow {
            stream.write_all(b"GET /").expect("sent");
        }
        match busy {
            0 => drop(server),
            _ => server.stop(),
        }
        for mut stream in slow {
            let mut bytes = Vec::new();
            let _ = stream.read_to_end(&mut bytes); // an end, or a reset if nobody had accepted it yet
            assert!(bytes.is_empty(), "no answer");
        }
        TcpListener::bind(address).expect("the port is free");
    }
}

#[test]
fn a_port_in_use_is_the_callers_to_hear_of() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("its address");
    let fault = admin::start(address, board(1, 1), clock::moment, "1.2.3", None).expect_err("in use");
    assert_eq!(fault.kind(), ErrorKind::AddrInUse);
}
