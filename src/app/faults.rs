//! Faults of our own, planted in a whole gateway: see `proxy/planted.rs`. No program has these doors.

use super::cli::Options;
use super::files;
use super::gateway::{Gateway, Life};
use crate::base::Moment;
use crate::limit::Wanted;
use crate::runtime::clock;
use serde_json::Value;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tollgate_loadtest::{Count, Script, Simulator};

const BUDGET: i64 = 1_000_000;
/// What a request uses: input and output as the provider reports them.
const USED: i64 = 9 + 50;

/// A directory of a test's own for records and balances, removed at its end.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Directory {
        let path = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        fs::remove_dir_all(&path).ok();
        fs::create_dir_all(&path).expect("a directory");
        Directory(path)
    }

    fn records(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.0.join("records.jsonl")).unwrap_or_default();
        let whole = &text[..text.rfind('\n').map_or(0, |at| at + 1)];
        whole.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }

    /// What all records together say was settled.
    fn settled(&self) -> i64 {
        let settled = |record: &Value| record["limits"][0]["settled"].as_i64().unwrap_or(0);
        self.records().iter().map(settled).sum()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

fn start(directory: &Path, provider: SocketAddr, workers: u16) -> Gateway {
    start_with(directory, provider, workers, "")
}

/// With more lines of Settings.
fn start_with(directory: &Path, provider: SocketAddr, workers: u16, more: &str) -> Gateway {
    let text = format!(
        "apiVersion: tollgate.dev/v1alpha1
kind: Settings
metadata: {{name: test}}
spec:
  workers: {{cores: {workers}, pin: false}}
  admin: {{address: none}}
  timeouts: {{drain: 10s}}
  listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]
  records: {{to: \"{directory}/records.jsonl\"}}
  limits: {{store: \"{directory}/store\"}}
{more}---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {{name: edge, namespace: llm}}
spec: {{gatewayClassName: tollgate, listeners: [{{name: http, protocol: HTTP, port: 8080}}]}}
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: {{name: openai, namespace: llm}}
spec: {{type: AI, ai: {{llm: {{openai: {{authToken: {{kind: Inline, inline: sk-sim}}}}, host: 127.0.0.1, port: {port}}}}}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {{name: chat, namespace: llm}}
spec:
  parentRefs: [{{name: edge}}]
  rules: [{{backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: openai}}]}}]
---
apiVersion: tollgate.dev/v1alpha1
kind: LimitPolicy
metadata: {{name: all, namespace: llm}}
spec:
  targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: chat}}]
  limits: [{{name: budget, unit: tokens, budget: {BUDGET}, window: month}}]
",
        directory = directory.display(),
        port = provider.port(),
    );
    let snapshot = files::compile(&[("test.yaml", &text)], &Options::default(), &|_| None);
    let snapshot = snapshot.unwrap_or_else(|faults| panic!("{faults}"));
    Gateway::start(snapshot, Life::default()).unwrap_or_else(|error| panic!("{error}"))
}

fn simulator() -> Simulator {
    let script = Script { input_tokens: Count::Fixed(9), output_tokens: 50, ..Script::default() };
    Simulator::start(script).expect("a simulator")
}

/// Sends a request with these header lines.
fn send(address: SocketAddr, lines: &str, stream: bool) -> TcpStream {
    let body = format!(
        r#"{{"model":"gpt-5","messages":[{{"role":"user","content":"hello"}}],"stream":{stream},"stream_options":{{"include_usage":true}}}}"#
    );
    let body = if stream { body } else { body.replace(r#","stream_options":{"include_usage":true}"#, "") };
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(Duration::from_secs(30))).expect("a time-out");
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{lines}content-length: {}\r\n\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).expect("it is sent");
    socket
}

/// All that comes until the connection ends, however it does.
fn rest(mut socket: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
}

fn until(what: &str, holds: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < patience, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn balance(gateway: &Gateway) -> i64 {
    let in_force = gateway.board.in_force();
    let now: Moment = clock::moment();
    let wanted = Wanted { rules: &in_force.rules, rule: 0, key: 0 };
    gateway.board.accounts.find(&wanted, &String::new, now).balance(now)
}

/// A stream that lasts for a while, after its first bytes have come.
fn streaming(address: SocketAddr) -> TcpStream {
    let socket = send(address, "x-sim-chunks: 120\r\nx-sim-chunk-gap: 25ms\r\n", true);
    let mut peeked = [0; 1];
    socket.peek(&mut peeked).expect("the stream begins");
    socket
}

#[test]
fn a_panic_ends_one_connection_is_settled_and_counted_and_nobody_else_notices() {
    let (directory, simulator) = (Directory::new("panic"), simulator());
    let gateway = start(&directory.0, simulator.addr(), 1);
    let address = gateway.addresses[0];
    let other = streaming(address);
    for (place, doomed) in ["reserved", "answered"].into_iter().enumerate() {
        let said = rest(send(address, &format!("x-planted: panic-{doomed}\r\n"), false));
        assert_eq!(said, "", "{doomed}: the connection ends without an answer");
        let counters = &gateway.board.desks[0].counters;
        until("the panic is counted", || counters.connections_panicked.get() == place as u64 + 1);
    }
    let said = rest(other);
    assert!(said.contains("data: [DONE]") && said.ends_with("0\r\n\r\n"), "{said}");
    assert!(rest(send(address, "", false)).starts_with("HTTP/1.1 200"), "the worker lives on");
    until("nothing is open", || {
        let counters = &gateway.board.desks[0].counters;
        counters.requests_in_flight.get() + counters.connections_open.get() == 0
    });
    until("all is recorded", || directory.records().len() == 4);
    let records = directory.records();
    let of = |outcome: &str| records.iter().filter(|record| record["outcome"] == outcome).collect::<Vec<_>>();
    let settled = |record: &Value| record["limits"][0]["settled"].as_i64();
    assert_eq!(of("completed").into_iter().map(settled).collect::<Vec<_>>(), [Some(USED), Some(USED)]);
    let faults: Vec<_> = of("fault").into_iter().map(settled).collect();
    assert_eq!(faults[0], Some(0), "nothing had been sent: all of the reservation came back");
    assert!(faults[1].is_some_and(|input| input > 0 && input < USED), "the estimated input: {faults:?}");
    assert_eq!(balance(&gateway), BUDGET - directory.settled());
    gateway.stop();
    gateway.join().expect("it ends well");
}

#[test]
fn a_worker_that_fails_brings_the_process_to_an_orderly_end_and_accounts_are_intact() {
    let (directory, simulator) = (Directory::new("worker"), simulator());
    let gateway = start(&directory.0, simulator.addr(), 2);
    let address = gateway.addresses[0];
    let open = |worker: usize| gateway.board.desks[worker].counters.connections_open.get();
    // The kernel chooses who accepts, so streams are opened until both workers have some.
    let mut streams = Vec::new();
    while open(0) == 0 || open(1) == 0 {
        assert!(streams.len() < 200, "one worker gets no connection");
        streams.push(streaming(address));
    }
    let fails = rest(send(address, "x-planted: worker-reserved\r\n", false));
    assert!(!fails.starts_with("HTTP/1.1 200"), "{fails}");
    let said: Vec<String> = streams.into_iter().map(rest).collect();
    let whole = said.iter().filter(|said| said.contains("data: [DONE]")).count();
    assert!(whole > 0 && whole < said.len(), "those of the other worker end: {whole} of {}", said.len());
    let board = gateway.board.clone();
    let error = gateway.join().expect_err("a worker has failed");
    assert!(error.contains("planted"), "{error}");
    for desk in &board.desks {
        assert_eq!((desk.counters.requests_in_flight.get(), desk.counters.connections_open.get()), (0, 0));
    }
    // What broke off with the worker is settled and recorded as what had passed of it.
    let records = directory.records();
    assert_eq!(records.len(), said.len() + 1);
    assert!(records.iter().any(|record| record["outcome"] == "shutdown"), "{records:?}");
    let settled = directory.settled();

    let gateway = start(&directory.0, simulator.addr(), 2);
    assert!(rest(send(gateway.addresses[0], "", false)).starts_with("HTTP/1.1 200"), "it serves again");
    until("it is settled", || balance(&gateway) == BUDGET - settled - USED);
    gateway.stop();
    gateway.join().expect("it ends well");
}

/// Numbers of errors: the kernel has no memory for it, no room in its buffers, no file for the host.
const ENOMEM: i32 = 12;
const ENOBUFS: i32 = 105;
const ENFILE: i32 = 23;

#[test]
fn what_the_kernel_has_no_memory_for_costs_one_exchange_at_most_and_leaves_nothing_behind() {
    for is_kept in [false, true] {
        memory_fails(is_kept);
    }
}

/// With connections to the provider that are kept, or not.
fn memory_fails(is_kept: bool) {
    let (directory, simulator) = (Directory::new(&format!("memory-{is_kept}")), simulator());
    let more = if is_kept { "" } else { "  upstream: {idlePerWorker: 0}\n" };
    let gateway = start_with(&directory.0, simulator.addr(), 1, more);
    let address = gateway.addresses[0];
    let counters = &gateway.board.desks[0].counters;
    let at_rest = || {
        until("nothing is open", || {
            counters.requests_in_flight.get() + counters.connections_open.get() == 0
                && counters.reservations_open.get() == 0
        });
    };
    assert!(rest(send(address, "", false)).starts_with("HTTP/1.1 200"));
    let mut asked = 1;
    // The first operation of that kind after the request has reserved is towards the provider, the first after it has answered
    // towards the client. What is answered then, if anything.
    for (operation, error, place, kept, expected) in [
        ("connect", ENOBUFS, "reserved", false, "503"),
        ("connect", ENOMEM, "reserved", false, "503"),
        // A kept connection that fails may have been closed meanwhile: it is tried once more on a new one.
        ("send", ENOBUFS, "reserved", true, "200"),
        ("send", ENOBUFS, "reserved", false, "502"),
        ("send", ENOMEM, "reserved", false, "502"),
        ("receive", ENOMEM, "reserved", false, "502"),
        // No buffer of the worker's is free: there is one in the next turn.
        ("receive", ENOBUFS, "reserved", false, "200"),
        ("send", ENOBUFS, "answered", false, ""),
        ("send", ENOMEM, "answered", true, ""),
    ] {
        if kept != is_kept {
            continue;
        }
        let row = format!("{operation} {error} {place} {kept}");
        let said = rest(send(address, &format!("x-planted: {operation}:{error}-{place}\r\n"), false));
        assert_eq!(said.get(9..12).unwrap_or_default(), expected, "{row}: {said}");
        at_rest();
        assert!(rest(send(address, "", false)).starts_with("HTTP/1.1 200"), "{row}: the worker goes on");
        asked += 2;
    }
    if is_kept {
        asked += accepting_fails(&gateway);
    }
    at_rest();
    until("all is recorded", || directory.records().len() == asked);
    assert_eq!(balance(&gateway), BUDGET - directory.settled());
    gateway.stop();
    gateway.join().expect("it ends well");
}

/// Accepting pauses, whoever is there is served on, and it goes on; how many requests that were.
fn accepting_fails(gateway: &Gateway) -> usize {
    let (address, counters) = (gateway.addresses[0], &gateway.board.desks[0].counters);
    let stream = streaming(address);
    let errors = [ENOMEM, ENOBUFS, ENFILE];
    for (place, error) in errors.into_iter().enumerate() {
        let said = rest(send(address, &format!("x-planted: accept:{error}-reserved\r\n"), false));
        assert!(said.starts_with("HTTP/1.1 200"), "{error}: {said}");
        assert_eq!(rest(send(address, "", false)), "", "{error}: it is not accepted");
        until("it is counted", || counters.accepts_failed.get() == place as u64 + 1);
        assert!(rest(send(address, "", false)).starts_with("HTTP/1.1 200"), "{error}: accepting goes on");
    }
    assert!(rest(stream).contains("data: [DONE]"));
    2 * errors.len() + 1
}
