//! What goes wrong around a running process, and that it stands: no files, no room, names that change, signals, providers
//! that break off at any byte. Each with a real process or real sockets.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;
use support::process::{Process, directory};
use support::{Answer, Client, Rig, chat, manifests, settings, until};
use tollgate::telemetry::Outcome;
use tollgate_loadtest::{Script, Simulator};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A process of one worker, in front of a simulated provider.
struct Served {
    simulator: Simulator,
    directory: PathBuf,
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Served {
    /// `before` is what a shell does before it becomes the program.
    fn start(name: &str, before: &str, more: &str) -> Served {
        let simulator = Simulator::start(Script::default()).expect("a simulator");
        let provider = simulator.addr();
        let host = |host: &str| format!("{{host: {host}, to: \"http://{provider}\"}}");
        let hosts = ["api.anthropic.com", "api.openai.com", "plain.example"].map(host).join(", ");
        let spec = format!(
            "  workers: {{cores: 1, pin: false}}\n  admin: {{address: \"127.0.0.1:0\"}}\n  hostOverrides: [{hosts}]\n  \
             listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]\n{more}"
        );
        Served::serving(name, &["sh"], before, &manifests(""), &settings(&spec), simulator)
    }

    fn serving(
        name: &str,
        shell: &[&str],
        before: &str,
        manifests: &str,
        settings: &str,
        simulator: Simulator,
    ) -> Served {
        let directory = directory(name);
        fs::write(directory.join("1.yaml"), manifests).expect("a file");
        fs::write(directory.join("2.yaml"), settings.replace("DIRECTORY", text(&directory))).expect("a file");
        let mut command = Command::new(shell[0]);
        command.args(&shell[1..]);
        command.args([
            "-c",
            &format!("{before}\nexec \"$0\" run --no-watch \"$1\""),
            env!("CARGO_BIN_EXE_tollgate"),
        ]);
        command.arg(&directory).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
        let (mut process, address) = Process::serve(&mut command);
        let line = process.says("admin http://");
        let admin = line
            .split("http://")
            .nth(1)
            .and_then(|rest| rest.split(':').take(2).collect::<Vec<_>>().join(":").parse().ok());
        Served { simulator, directory, process, address, admin: admin.expect("an address") }
    }

    fn ask(&self) -> Answer {
        Client::connect(self.address).ask("/openai", "", &chat("gpt-5", false))
    }

    fn metric(&self, name: &str) -> u64 {
        let mut stream = TcpStream::connect(self.admin).expect("a connection");
        stream
            .write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .expect("it is sent");
        let mut page = String::new();
        stream.read_to_string(&mut page).expect("a page");
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in\n{page}"))
    }

    fn files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.process.id())).expect("a process").count()
    }

    /// Whether it has the last file that it may have: the least number that is free is always taken first. (Those that
    /// wait in `accept`, as the admin threads do, have theirs already.)
    fn is_full(&self) -> bool {
        fs::symlink_metadata(format!("/proc/{}/fd/{}", self.process.id(), FILES - 1)).is_ok()
    }

    /// Ends well; what it had said.
    fn end(self) -> String {
        self.process.signal("TERM");
        let ended = self.process.end();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        ended.stderr
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

// === files ===

/// The most files of the process here, and connections that are more than they allow.
const FILES: usize = 64;
const TOO_MANY: usize = 100;

#[test]
fn without_files_idle_connections_to_providers_go_first_and_clients_wait_until_there_are_some() {
    let served = Served::start("files", &format!("ulimit -n {FILES}"), "  timeouts: {idle: 60s}");
    // Eight connections to the provider are idle afterwards.
    let mut streams: Vec<Client> = (0..8).map(|_| Client::connect(served.address)).collect();
    let lines = "x-sim-latency: 300ms\r\n";
    streams.iter_mut().for_each(|client| client.post("/openai", lines, &chat("gpt-5", false)));
    streams.iter_mut().for_each(|client| assert_eq!(client.answer().status, 200));
    drop(streams);
    let idle = served.simulator.open_connections();
    assert!(idle >= 2, "{idle} idle connections");

    let began = Instant::now();
    let mut held: Vec<Client> = (0..TOO_MANY).map(|_| Client::connect(served.address)).collect();
    until("idle connections are given up", || served.simulator.open_connections() == 0);
    until("all files are used", || served.is_full());
    // Who has a connection gets an answer, although there is no file for one to the provider.
    let failed = served.metric("tollgate_accept_errors_total");
    until("none is left again", || served.metric("tollgate_accept_errors_total") > failed + 1);
    let answer = held[0].ask("/openai", "", &chat("gpt-5", false));
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert!(answer.json()["error"]["message"].as_str().is_some_and(|text| text.contains("files open")));
    // Those that wait are served when others have gone.
    let mut waiting = held.split_off(TOO_MANY - 10);
    waiting.iter_mut().for_each(|client| client.post("/openai", "", &chat("gpt-5", false)));
    drop(held);
    waiting.iter_mut().for_each(|client| assert_eq!(client.answer().status, 200));
    drop(waiting);
    assert_eq!(served.ask().status, 200);
    // It paused between two tries, 20 ms each time, however slow the machine was.
    let failed = served.metric("tollgate_accept_errors_total");
    let most = began.elapsed().as_millis() as u64 / 20 + 10;
    assert!((1..=most).contains(&failed), "{failed} tries, at most {most}");
    served.end();
}

#[test]
fn an_idle_connection_gives_its_file_to_one_that_is_needed() {
    let plain = Simulator::start(Script::default()).expect("a simulator");
    let before = format!("ulimit -n {FILES}");
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let spec = format!(
        "  workers: {{cores: 1, pin: false}}\n  admin: {{address: \"127.0.0.1:0\"}}\n  hostOverrides: [{{host: \
         api.anthropic.com, to: \"http://{0}\"}}, {{host: api.openai.com, to: \"http://{0}\"}}, {{host: plain.example, to: \
         \"http://{1}\"}}]\n  listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]\n  timeouts: {{idle: 60s}}",
        simulator.addr(),
        plain.addr()
    );
    let served = Served::serving("file", &["sh"], &before, &manifests(""), &settings(&spec), simulator);
    let mut client = Client::connect(served.address);
    assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    assert_eq!(served.simulator.open_connections(), 1);
    let mut held = Vec::new();
    while !served.is_full() {
        let before = served.files();
        held.push(TcpStream::connect(served.address).expect("a connection"));
        until("it is accepted", || served.files() > before);
    }
    client.write("GET /plain/plain?bytes=5 HTTP/1.1\r\nhost: a\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.text().len()), (200, 5), "{}", answer.text());
    until("the idle one is closed", || served.simulator.open_connections() == 0);
    drop((held, client));
    served.end();
}

// === room ===

#[test]
fn a_full_disk_for_records_costs_records_and_nothing_else_and_they_go_on_as_whole_lines() {
    // A limit on the size of files fills at any byte, as a disk does, and can be lifted from outside.
    let more = "  records: {to: \"DIRECTORY/records.jsonl\"}";
    let mut served = Served::start("records-full", "ulimit -S -f 8", more);
    let lines = |served: &Served| {
        let text = fs::read_to_string(served.directory.join("records.jsonl")).expect("records");
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    for _ in 0..40 {
        assert_eq!(served.ask().status, 200);
    }
    served.process.says("records cannot be written and are lost: ");
    until("lost records are counted", || served.metric("tollgate_records_lost_total") > 0);
    let pid = served.process.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(lifted.expect("prlimit, of util-linux").success());
    assert_eq!(served.ask().status, 200);
    served.process.says("records are written again");
    let is_whole = |line: &&String| serde_json::from_str::<serde_json::Value>(line).is_ok();
    until("each record is there or counted", || {
        let whole = lines(&served).iter().filter(is_whole).count() as u64;
        whole + served.metric("tollgate_records_lost_total") == 41
    });
    let all = lines(&served);
    let torn = all.iter().filter(|line| !is_whole(line)).count();
    assert!(torn <= 1, "one line at most is torn: {all:?}");
    assert!(all.last().as_ref().is_some_and(is_whole), "the last record is whole");
    let said = served.end();
    assert_eq!(said.matches("records cannot be written").count(), 1, "told once\n{said}");
}

#[test]
fn a_sink_that_takes_nothing_is_told_once() {
    let mut served = Served::start("records-never", "", "  records: {to: /dev/full}");
    for _ in 0..20 {
        assert_eq!(served.ask().status, 200);
    }
    served.process.says("records cannot be written and are lost: ");
    until("all are counted", || served.metric("tollgate_records_lost_total") == 20);
    let said = served.end();
    assert_eq!(said.matches("records cannot be written").count(), 1, "{said}");
}

#[test]
fn a_store_without_room_stops_nobody_and_is_written_when_there_is_some() {
    let policy = support::limits(
        "openai",
        &["{name: budget, unit: requests, budget: 1000000, window: month, key: {header: x-team}}"],
    );
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let spec = format!(
        "  workers: {{cores: 1, pin: false}}\n  admin: {{address: \"127.0.0.1:0\"}}\n  records: {{to: none}}\n  \
         limits: {{store: \"DIRECTORY/store\"}}\n  hostOverrides: [{{host: api.openai.com, to: \"http://{0}\"}}, {{host: \
         api.anthropic.com, to: \"http://{0}\"}}, {{host: plain.example, to: \"http://{0}\"}}]\n  \
         listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]",
        simulator.addr()
    );
    let before = "ulimit -S -f 8";
    let mut served =
        Served::serving("store-full", &["sh"], before, &manifests(&policy), &settings(&spec), simulator);
    let ask = |served: &Served, team: &str| {
        let line = format!("x-team: {team}\r\n");
        Client::connect(served.address).ask("/openai", &line, &chat("gpt-5", false)).status
    };
    for team in 0..60 {
        assert_eq!(ask(&served, &format!("team-{team}-{}", "x".repeat(100))), 200);
    }
    served.process.says("limits.store: ");
    assert_eq!(served.metric("tollgate_store_healthy"), 0);
    let pid = served.process.id().to_string();
    let lifted = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status();
    assert!(lifted.expect("prlimit, of util-linux").success());
    served.process.says("the disk takes balances again");
    until("it says so", || served.metric("tollgate_store_healthy") == 1);
    assert_eq!(ask(&served, "another"), 200);
    served.end();
}

// === memory ===

/// A process that gets no memory any more ends at once, by SIGABRT, wherever it was: as far as budgets go that is what SIGKILL
/// does. Nothing that was spent is forgotten, and it serves again.
#[test]
fn a_process_that_has_no_memory_left_ends_and_no_budget_is_spent_twice() {
    const BUDGET: u64 = 1_000_000_000;
    let limit = format!("{{name: day, unit: tokens, budget: {BUDGET}, window: day}}");
    let policy = support::limits("openai", &[&limit]);
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let spec = format!(
        "  workers: {{cores: 1, pin: false}}\n  admin: {{address: \"127.0.0.1:0\", token: {TOKEN}}}\n  records: {{to: none}}\n  \
         limits: {{store: \"DIRECTORY/store\"}}\n  hostOverrides: [{{host: api.openai.com, to: \"http://{0}\"}}, {{host: \
         api.anthropic.com, to: \"http://{0}\"}}, {{host: plain.example, to: \"http://{0}\"}}]\n  \
         listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]",
        simulator.addr()
    );
    let manifests = manifests(&policy);
    // The allocator takes memory when it needs it, not a gigabyte at the start.
    let before = "export MIMALLOC_ARENA_EAGER_COMMIT=0";
    let mut served = Served::serving("no-memory", &["sh"], before, &manifests, &settings(&spec), simulator);
    for _ in 0..20 {
        assert_eq!(served.ask().status, 200);
    }
    // It may have what it has, and no more.
    let status = fs::read_to_string(format!("/proc/{}/status", served.process.id())).expect("a process");
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:")?.trim().strip_suffix(" kB"));
    let most = format!("--data={}", data.and_then(|data| data.parse::<u64>().ok()).expect("a number") << 10);
    let lowered = Command::new("prlimit").args(["--pid", &served.process.id().to_string(), &most]).status();
    assert!(lowered.expect("prlimit, of util-linux").success());
    // Bodies that are collected and never end.
    let text = "a".repeat(1 << 20);
    let mut held = Vec::new();
    while served.process.is_running() {
        assert!(held.len() < 300, "it has all of that");
        let Ok(mut stream) = TcpStream::connect(served.address) else { break };
        let head =
            format!("POST /openai HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{{\"a\":\"", 2 << 20);
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
        held.push(stream);
    }
    assert_eq!(served.process.code(), None, "a signal ends it\n{}", served.process.stderr());
    let reported = served.simulator.ledger().reported;
    let mut again = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    again.args(["run", "--no-watch"]).arg(&served.directory).current_dir(env!("CARGO_MANIFEST_DIR"));
    let (mut process, address) = Process::serve(&mut again);
    let line = process.says("admin http://");
    let admin: SocketAddr = line
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split(": ").next()?.parse().ok())
        .unwrap_or_else(|| panic!("{line}"));
    let mut client = Client::connect(admin);
    client.write(format!("GET /accounts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"));
    let balance = client.answer().json()["accounts"][0]["balance"].as_u64().expect("a balance");
    assert!(BUDGET - balance >= reported.input + reported.output, "{balance} of {BUDGET}");
    assert_eq!(Client::connect(address).ask("/openai", "", &chat("gpt-5", false)).status, 200);
}

// === signals ===

#[test]
fn signals_of_broken_pipes_and_full_files_end_nothing() {
    let mut served = Served::start("signals", "", "  records: {to: none}");
    for signal in ["PIPE", "XFSZ"] {
        served.process.signal(signal);
        assert_eq!(served.ask().status, 200, "{signal}");
    }
    // A client that is gone before its answer is written breaks its pipe, too.
    for _ in 0..20 {
        let mut client = Client::connect(served.address);
        client.post("/openai", "x-sim-chunk-gap: 1ms\r\nx-sim-chunks: 50\r\n", &chat("gpt-5", true));
        client.fill_to(1);
    }
    assert!(served.process.is_running() && served.ask().status == 200);
    served.end();
}

// === names ===

/// Names are changed by a file of hosts of this test's own, which needs a name space; where none can be had, nothing is
/// shown here.
#[test]
fn a_name_that_fails_comes_back_moves_and_goes_again() {
    let allowed = Command::new("unshare").args(["-m", "true"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        return;
    }
    let here = directory("names-hosts");
    let hosts = here.join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").expect("a file");
    let first = Simulator::start(Script::default()).expect("a simulator");
    let port = first.addr().port();
    let second = SocketAddr::from((Ipv4Addr::new(127, 0, 0, 2), port));
    let second = Simulator::start_on(second, Script::default()).expect("another address of this machine");
    let backend = format!(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: moving, namespace: llm}}\nspec:\n  \
         type: AI\n  ai: {{llm: {{openai: {{authToken: {{kind: Inline, inline: sk-sim}}}}, host: moving.test, port: {port}}}}}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: moving, namespace: llm}}\n\
         spec:\n  parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{type: PathPrefix, value: /moving}}}}]\n    \
         backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: moving}}]\n"
    );
    let spec = format!(
        "  workers: {{cores: 1, pin: false}}\n  admin: {{address: \"127.0.0.1:0\"}}\n  records: {{to: none}}\n  \
         upstream: {{idlePerWorker: 0}}\n  hostOverrides: [{{host: api.openai.com, to: \"http://{0}\"}}, {{host: \
         api.anthropic.com, to: \"http://{0}\"}}, {{host: plain.example, to: \"http://{0}\"}}]\n  \
         listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]",
        first.addr()
    );
    let before = format!("mount --bind '{}' /etc/hosts || exit 9", text(&hosts));
    let shell = ["unshare", "-m", "sh"];
    let mut served = Served::serving("names", &shell, &before, &manifests(&backend), &settings(&spec), first);
    let ask =
        |served: &Served| Client::connect(served.address).ask("/moving", "", &chat("gpt-5", false)).status;
    let says = |line: &str| fs::write(&hosts, format!("127.0.0.1 localhost\n{line}\n")).expect("a file");
    served.process.says("moving.test does not resolve");
    assert_eq!(ask(&served), 503);
    says("127.0.0.1 moving.test");
    served.process.says("moving.test resolves again");
    until("it is served", || ask(&served) == 200);
    assert_eq!(second.ledger().requests, 0);
    // A reload looks names up anew at once.
    says("127.0.0.2 moving.test");
    served.process.signal("HUP");
    until("it is served elsewhere", || ask(&served) == 200 && second.ledger().requests > 0);
    says("");
    served.process.signal("HUP");
    served.process.says("its last addresses stay in use");
    assert_eq!(ask(&served), 200);
    served.end();
}

// === providers ===

/// Times of these rows: whatever is waited for here comes to an end soon.
const SHORT: &str = "  timeouts: {connect: 500ms, firstByte: 1s, streamIdle: 1s, request: 5s}";

#[test]
fn every_way_in_which_a_provider_fails_has_its_answer() {
    // Fault of the provider, whether a stream is asked for, status (0: the connection ends before an answer), whether
    // the answer is whole, and how it is counted.
    let rows: [(&str, bool, u16, bool, Outcome); 20] = [
        ("none", false, 200, true, Outcome::Completed),
        ("no-answer", false, 502, true, Outcome::UpstreamFailed),
        ("no-answer:rst", true, 502, true, Outcome::UpstreamFailed),
        ("cut-in-head", false, 502, true, Outcome::UpstreamFailed),
        ("cut-in-head:rst", true, 502, true, Outcome::UpstreamFailed),
        ("nonsense:1", false, 502, true, Outcome::UpstreamFailed),
        ("nonsense:2", true, 502, true, Outcome::UpstreamFailed),
        ("stall", false, 504, true, Outcome::Timeout),
        ("stall", true, 504, true, Outcome::Timeout),
        ("stall-after:2", true, 200, false, Outcome::Timeout),
        ("slow:40:1ms", false, 200, true, Outcome::Completed),
        ("slow:40:1ms", true, 200, true, Outcome::Completed),
        ("slow:1:20ms", false, 200, false, Outcome::Timeout),
        ("truncate", false, 200, false, Outcome::UpstreamCut),
        ("truncate:rst", true, 200, false, Outcome::UpstreamCut),
        ("early", false, 413, true, Outcome::UpstreamFailed),
        ("status:429", false, 429, true, Outcome::UpstreamFailed),
        ("status:503", true, 503, true, Outcome::UpstreamFailed),
        ("html:502", false, 502, true, Outcome::UpstreamFailed),
        ("stream-error:2", true, 200, true, Outcome::Completed),
    ];
    let mut odd = Vec::new();
    for (fault, stream, status, whole, outcome) in rows {
        // Who is slow without being at fault must not be taken for one that is.
        let spec = if outcome == Outcome::Timeout { SHORT } else { "" };
        let rig = Rig::start_set(Script::default(), "", spec);
        let mut client = rig.client();
        client.post("/openai", &format!("x-sim-fault: {fault}\r\n"), &chat("gpt-5", stream));
        let answer = client.any_answer();
        drop(client);
        rig.at_rest();
        let found = Outcome::ALL.into_iter().find(|outcome| rig.ended(*outcome) == 1);
        if (answer.status, answer.complete, found) != (status, whole, Some(outcome)) {
            odd.push(format!(
                "{fault} {stream}: {} {} {found:?}: {}",
                answer.status,
                answer.complete,
                answer.text()
            ));
        }
        let is_error = answer.status != 200 && !fault.starts_with("html") && answer.complete;
        if is_error && !answer.json()["error"]["message"].is_string() {
            odd.push(format!("{fault} {stream} is no error of the API: {}", answer.text()));
        }
    }
    assert!(odd.is_empty(), "{}", odd.join("\n"));
}

#[test]
fn a_provider_that_breaks_off_at_any_byte_is_never_taken_for_one_that_ended() {
    let rig = Rig::start_set(Script::default(), "", "");
    for stream in [false, true] {
        let whole = rig.client().ask("/openai", "", &chat("gpt-5", stream));
        assert!(whole.complete);
        let mut counts = [0; 3];
        for at in (0..4_000).step_by(7) {
            let ending = if at % 2 == 0 { "" } else { ":rst" };
            let mut client = rig.client();
            client.post("/openai", &format!("x-sim-fault: cut-at:{at}{ending}\r\n"), &chat("gpt-5", stream));
            let answer = client.any_answer();
            let said = answer.text();
            let is_error =
                answer.status == 502 && answer.complete && answer.json()["error"]["message"].is_string();
            let ends_in_error = answer.complete && said.contains("\"error\"");
            // What lacks its framing's end alone has said all; then it may be whole, and must be all.
            let is_whole = answer.complete
                && if stream { said.contains("[DONE]") } else { said.len() >= whole.body.len() };
            let place = match (answer.status, answer.complete) {
                (502, _) if is_error => 0,
                (200, false) => 1,
                (200, true) if ends_in_error && stream => 1,
                (200, true) if is_whole => 2,
                _ => panic!("cut at {at}, stream {stream}: {} {said}", answer.status),
            };
            counts[place] += 1;
        }
        assert!(counts.iter().all(|count| *count > 0), "heads, bodies, and cuts behind the end: {counts:?}");
    }
    rig.at_rest();
}

#[test]
fn a_provider_that_lets_nobody_connect_is_given_up_in_time() {
    // A queue of connections that is full: the kernel lets all others wait.
    let socket =
        || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let listener = socket();
    listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    listener.listen(0).expect("a queue");
    let address = listener.local_addr().expect("an address");
    let fillers: Vec<_> = (0..4).map(|_| socket()).collect();
    for filler in &fillers {
        filler.set_nonblocking(true).expect("it does not block");
        let _ = filler.connect(&address); // it is under way
    }
    let hole = address.as_socket().expect("an address");
    let nobody = TcpListener::bind("127.0.0.1:0").and_then(|gone| gone.local_addr()).expect("a port");
    for (provider, reason) in [(hole, "too long"), (nobody, "refused")] {
        let rig = Rig::start_towards(provider, "", SHORT);
        let answer = rig.client().ask("/openai", "", &chat("gpt-5", false));
        assert_eq!((answer.status, answer.complete), (503, true), "{reason}: {}", answer.text());
        assert!(answer.text().contains(reason), "{}", answer.text());
        rig.at_rest();
        assert_eq!(rig.ended(Outcome::UpstreamFailed), 1, "{reason}");
        assert_eq!(rig.settled(), support::Settled::default(), "nothing was sent");
    }
}
