//! The program as a process: what it prints and where, exit codes, signals, reload.

#[path = "process/service.rs"]
mod service;
mod support;

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use support::process::{Ended, Process, directory, ended, tollgate};
use support::{Client, bucket, chat, manifests, settings};
use tollgate::app::VERSION;
use tollgate::app::demo::REQUEST;
use tollgate_loadtest::{Script, Simulator};

/// Settings of the processes here: small, unpinned, and every provider at `provider`.
fn quiet(provider: SocketAddr, more: &str) -> String {
    let hosts = ["api.anthropic.com", "api.openai.com", "plain.example"];
    let hosts: Vec<String> =
        hosts.iter().map(|host| format!("{{host: {host}, to: \"http://{provider}\"}}")).collect();
    settings(&format!(
        "  workers: {{cores: 2, pin: false}}\n  admin: {{address: none}}\n  hostOverrides: [{}]\n  \
         listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]\n{more}",
        hosts.join(", ")
    ))
}

fn write(directory: &Path, name: &str, text: &str) {
    fs::write(directory.join(name), text).expect("a file");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

// === demo ===

#[test]
fn the_demo_shows_200_then_429_and_exits_0() {
    let Ended { code, stdout, stderr } = ended(&mut tollgate(&["demo"]));
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{stdout}");
    let order =
        ["status   200 OK", "bucket   1 before, 0 after", "status   429 Too Many Requests", "retry-after: "];
    let mut rest = stdout.as_str();
    for part in order {
        rest = rest.split_once(part).unwrap_or_else(|| panic!("no {part:?} in\n{stdout}")).1;
    }
    assert!(rest.contains("result     200, then 429"), "{stdout}");
    assert!(stdout.contains("1 request at"), "the plural is right\n{stdout}");
    assert!(stdout.lines().all(|line| line.chars().count() <= 100 && line.trim_end() == line), "{stdout}");
    assert!(!stdout.contains('\x1b'), "no colours where nobody sees them");
}

#[test]
fn the_demo_needs_no_key_and_does_not_use_a_real_one() {
    for key in ["", "sk-ant-real"] {
        assert_eq!(ended(tollgate(&["demo"]).env("ANTHROPIC_API_KEY", key)).code, Some(0), "{key:?}");
    }
}

#[test]
fn the_demo_goes_on_serving_what_its_curl_line_asks_until_it_is_ended() {
    let mut process = Process::start(&mut tollgate(&["demo", "--serve"]));
    let curl = process.prints("curl -i http://");
    let body = process.prints("-d '{");
    let address = curl.split(['/', ' ']).find_map(|part| part.parse().ok()).expect("an address");
    let body = body.split('\'').nth(1).expect("a body between quotes");
    let answer = Client::connect(address).ask("/anthropic", "", body);
    assert_eq!(answer.status, 429, "the demo's own request was the only one for 100 s");
    assert!(answer.header("retry-after").is_some());
    assert!(process.is_running());
    process.signal("TERM");
    assert_eq!(process.end().code, Some(0));
}

// === run ===

#[test]
fn the_walkthrough_directory_runs_with_a_key_in_the_environment() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let host = format!("api.anthropic.com=http://{}", simulator.addr());
    let arguments = [
        "run",
        "config/walkthrough",
        "--host",
        &host,
        "--listen",
        "8080=127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
    ];
    let (process, address) =
        Process::serve(tollgate(&arguments).env("ANTHROPIC_API_KEY", "sk-ant-from-the-environment"));
    let mut client = Client::connect(address);
    assert_eq!(client.ask("/anthropic", "", REQUEST).status, 200);
    assert_eq!(client.ask("/anthropic", "", REQUEST).status, 429);
    drop(client);
    process.signal("TERM");
    let Ended { code, stdout, stderr } = process.end();
    assert_eq!(code, Some(0), "{stderr}");
    assert_eq!(simulator.requests()[0].header("x-api-key"), Some("sk-ant-from-the-environment"));

    for part in [
        &format!("tollgate {VERSION} serves on "),
        "HTTPRoute kgateway-system/claude/0",
        "limit kgateway-system/anthropic-ratelimit: 1 request",
        "/metrics",
    ] {
        assert!(stderr.contains(part), "no {part:?} in\n{stderr}");
    }
    let records: Vec<serde_json::Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("standard output is for records"))
        .collect();
    assert_eq!(records.iter().map(|record| &record["status"]).collect::<Vec<_>>(), [200, 429]);
}

#[test]
fn what_cannot_be_used_ends_with_2_and_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken_at = taken.local_addr().expect("an address").to_string();
    let here = directory("faulty");
    let one = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge}\nspec: {listenrs: []}\n";
    let other = "apiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {name: b}\nspec:\n  type: AI\n  \
                 ai: {llm: {anthropic: {modl: x}}}\n";
    write(&here, "1-gateway.yaml", one);
    write(&here, "2-backend.yaml", other);
    write(&here, "notes.txt", "not for tollgate");
    let empty = directory("empty");
    let listen = format!("8080={taken_at}");
    let walk = |more: &[&'static str]| {
        [&["run", "config/walkthrough", "--listen", "8080=127.0.0.1:0"], more].concat()
    };
    let key = "sk-ant-key";

    let cases: Vec<(Vec<&str>, &str, Vec<&str>)> = vec![
        (
            walk(&[]),
            "",
            vec!["config/walkthrough/1-secret.yaml:10:18: ", "ANTHROPIC_API_KEY is not set", "export"],
        ),
        (vec!["check", "config/walkthrough"], "", vec!["1-secret.yaml:10:18: "]),
        (vec!["run", text(&here)], key, vec!["1-gateway.yaml:4:", "listenrs", "2-backend.yaml:6:", "modl"]),
        (vec!["check", text(&here)], key, vec!["1-gateway.yaml:4:", "2-backend.yaml:6:"]),
        (
            vec!["run", "config/walkthrough", "--listen", &listen],
            key,
            vec![&taken_at, "another process listens there", "--listen PORT=ADDR"],
        ),
        (
            vec!["run", "config/walkthrough", "--listen", "8080=127.0.0.1:0", "--admin", &taken_at],
            key,
            vec!["admin", &taken_at, "another process listens there", "--admin ADDR"],
        ),
        (
            vec!["run", "config/walkthrough", "--listen", "8080=192.0.2.1:80"],
            key,
            vec!["listener kgateway-system/agentgateway/http cannot open 192.0.2.1:80"],
        ),
        (vec!["run", "/no/such/place"], key, vec!["/no/such/place: No such file"]),
        (vec!["run", text(&empty)], key, vec!["no .yaml, .yml or .json file in this directory"]),
        (vec!["run"], key, vec!["no configuration", "--help"]),
        (vec!["serve"], key, vec!["there is no command \"serve\"", "--help"]),
        (walk(&["--roots", "/no/such.pem"]), key, vec!["/no/such.pem: No such file"]),
        (walk(&["--roots", "Cargo.toml"]), key, vec!["Cargo.toml: there is no certificate in it"]),
    ];
    for (arguments, key, parts) in cases {
        let mut command = tollgate(&arguments);
        if !key.is_empty() {
            command.env("ANTHROPIC_API_KEY", key);
        }
        let Ended { code, stdout, stderr } = ended(&mut command);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?}\n{stderr}");
        for part in parts {
            assert!(stderr.contains(part), "{arguments:?}: no {part:?} in\n{stderr}");
        }
        assert!(!stderr.contains("panicked") && !stderr.contains("sk-ant-key"), "{arguments:?}\n{stderr}");
    }
}

#[test]
fn a_machine_that_cannot_carry_it_is_told_apart_from_a_bad_configuration() {
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command.args(["-c", script, env!("CARGO_BIN_EXE_tollgate")]).current_dir(env!("CARGO_MANIFEST_DIR"));
        ended(command.env("ANTHROPIC_API_KEY", "key"))
    };
    let low = shell("ulimit -l 64 && exec \"$0\" demo");
    assert_eq!(low.code, Some(2), "{}", low.stderr);
    assert!(
        low.stderr.contains("RLIMIT_MEMLOCK is 65536") && low.stderr.contains("ulimit -l"),
        "{}",
        low.stderr
    );

    let run = "exec \"$0\" run config/walkthrough --admin none --listen 8080=127.0.0.1:0";
    let bare = shell(&format!("SSL_CERT_FILE=/dev/null SSL_CERT_DIR=/no/such {run}"));
    assert_eq!(bare.code, Some(2), "{}", bare.stderr);
    for part in
        ["https://api.anthropic.com", "no root certificates", "ca-certificates", "tls.roots", "--roots"]
    {
        assert!(bare.stderr.contains(part), "no {part:?} in\n{}", bare.stderr);
    }
}

#[test]
fn too_few_files_are_a_warning() {
    let script = "ulimit -n 1000 && exec \"$0\" run config/walkthrough --admin none --listen 8080=127.0.0.1:0 \
                  --host api.anthropic.com=http://127.0.0.1:9";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_tollgate")]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let (mut process, _) = Process::serve(command.env("ANTHROPIC_API_KEY", "key"));
    assert!(process.says("may open 1000 files").contains("LimitNOFILE"));
}

#[test]
fn check_prints_what_would_be_in_force_and_help_goes_to_standard_output() {
    let command = |arguments: &[&str]| ended(tollgate(arguments).env("ANTHROPIC_API_KEY", "sk-ant-key"));
    let Ended { code, stdout, stderr } = command(&["check", "config/walkthrough"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    for part in [
        "listener kgateway-system/agentgateway/http",
        "HTTPRoute kgateway-system/claude/0",
        "claude-3-5-haiku-latest",
        "(unit: requests",
    ] {
        assert!(stdout.contains(part), "no {part:?} in\n{stdout}");
    }
    assert!(!stdout.contains("sk-ant-key"));
    for arguments in [&[][..], &["--help"], &["help"], &["run", "--help"]] {
        let help = command(arguments);
        assert!(
            help.code == Some(0) && help.stdout.contains("tollgate run") && help.stderr.is_empty(),
            "{help:?}"
        );
    }
    assert_eq!(command(&["--version"]).stdout, format!("tollgate {VERSION}\n"));
    assert_eq!(VERSION, if cfg!(feature = "epoll") { "0.1.0+epoll" } else { "0.1.0" });
}

#[test]
fn readers_that_go_away_are_no_fault() {
    for arguments in [&["check", "config/walkthrough"][..], &["--help"], &["demo"]] {
        let mut command = tollgate(arguments);
        command.env("ANTHROPIC_API_KEY", "key").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        drop(child.stdout.take());
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{arguments:?}");
    }
}

// === signals ===

/// A configuration in a directory of its own, served by a process.
struct Served {
    simulator: Simulator,
    directory: std::path::PathBuf,
    process: Process,
    address: SocketAddr,
}

impl Served {
    fn start(name: &str, script: Script, policies: &str, more: &str) -> Served {
        let simulator = Simulator::start(script).expect("a simulator");
        let directory = directory(name);
        write(&directory, "1.yaml", &manifests(policies));
        write(&directory, "2.yaml", &quiet(simulator.addr(), more));
        let (process, address) = Process::serve(&mut tollgate(&["run", text(&directory)]));
        Served { simulator, directory, process, address }
    }

    fn ask(&self, path: &str) -> u16 {
        Client::connect(self.address).ask(path, "", &chat("gpt-5", false)).status
    }

    /// Puts `policies` in place of the former ones and waits until the process has said `part` about it.
    fn reload(&mut self, manifests: &str, part: &str) -> String {
        write(&self.directory, "1.yaml", manifests);
        self.process.signal("HUP");
        self.process.says(part)
    }
}

/// A stream of `events` pieces, `gap` apart.
fn slow(events: u32, gap: Duration) -> Script {
    Script { chunks: events, chunk_gap: gap, ..Script::default() }
}

/// A client in the middle of its stream.
fn streaming(address: SocketAddr) -> Client {
    let mut client = Client::connect(address);
    client.post("/openai", "", &chat("gpt-5", true));
    client.fill_to(1);
    client
}

/// Waits until nobody listens there any more.
fn closed(address: SocketAddr) {
    support::until("the listener is closed", || TcpStream::connect(address).is_err());
}

#[test]
fn sigterm_lets_a_stream_end_and_takes_no_new_connection() {
    let served = Served::start("drain", slow(20, Duration::from_millis(40)), "", "  timeouts: {drain: 20s}");
    let mut client = streaming(served.address);
    let idle = Client::connect(served.address);
    served.process.signal("TERM");
    closed(served.address);
    let answer = client.answer();
    assert!(answer.complete && answer.events().last().is_some_and(|last| last == "[DONE]"));
    assert!(client.is_over(), "the connection ends after the answer");
    drop(idle);
    let Ended { code, stdout, stderr } = served.process.end();
    assert_eq!(code, Some(0), "{stderr}");
    let record: serde_json::Value = serde_json::from_str(stdout.trim()).expect("one record");
    assert_eq!((&record["outcome"], &record["status"]), (&"completed".into(), &200.into()));
}

#[test]
fn an_idle_client_does_not_hold_up_the_end() {
    let served = Served::start("idle", Script::default(), "", "  timeouts: {drain: 20s}");
    let mut client = Client::connect(served.address);
    assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    let asked = Instant::now();
    served.process.signal("INT");
    assert!(client.is_over());
    assert_eq!(served.process.end().code, Some(0));
    assert!(asked.elapsed() < Duration::from_secs(10), "well before the time for draining is over");
}

#[test]
fn the_time_for_draining_is_an_end_too() {
    let served = Served::start("drained", slow(4, Duration::from_secs(60)), "", "  timeouts: {drain: 300ms}");
    let client = streaming(served.address);
    served.process.signal("TERM");
    assert_eq!(served.process.end().code, Some(0));
    drop(client);
}

#[test]
fn a_second_signal_ends_at_once() {
    let served = Served::start("twice", slow(4, Duration::from_secs(60)), "", "  timeouts: {drain: 1h}");
    let mut client = streaming(served.address);
    served.process.signal("TERM");
    closed(served.address);
    served.process.signal("TERM");
    assert_eq!(served.process.end().code, Some(0));
    assert!(!client.answer().complete);
}

#[test]
fn sighup_changes_one_bucket_and_leaves_the_balance_of_another() {
    let policies = |openai: u64| {
        let kept = bucket("translated", 2, 1, "1h", "requests");
        kept + &bucket("openai", openai, 1, "1h", "requests")
    };
    let mut served = Served::start("reload", Script::default(), &policies(1), "");
    assert_eq!([served.ask("/anthropic"), served.ask("/openai"), served.ask("/openai")], [200, 200, 429]);
    served.reload(&manifests(&policies(2)), "limit llm/openai-limit has changed; what was used stays used");
    let kept = "limit llm/translated-limit is unchanged and keeps its balance";
    assert!(served.process.stderr().contains(kept));
    assert_eq!([served.ask("/openai"), served.ask("/openai")], [200, 429], "one of two was used before");
    assert_eq!(
        [served.ask("/anthropic"), served.ask("/anthropic")],
        [200, 429],
        "one of two was spent before"
    );
    served.process.signal("TERM");
    assert_eq!(served.process.end().code, Some(0));
}

#[test]
fn sighup_with_faults_changes_nothing_and_names_them_all() {
    let mut served =
        Served::start("broken", Script::default(), &bucket("openai", 2, 1, "1h", "requests"), "");
    assert_eq!(served.ask("/openai"), 200);
    let sound = manifests(&bucket("openai", 2, 1, "1h", "requests"));
    let broken = sound.replace("maxTokens", "maxToken") + "---\nkind: Nonsense\napiVersion: v1\n";
    served.reload(&broken, "Nonsense");
    let said = served.process.stderr();
    assert!(
        said.contains("reload: configuration 1 stays in force") && said.contains("\"maxToken\""),
        "{said}"
    );
    assert_eq!([served.ask("/openai"), served.ask("/openai")], [200, 429]);

    served.reload(&sound.replace("port: 8080", "port: 8081"), "listeners were added, removed or moved");
    assert_eq!(served.ask("/openai"), 429);
    served.reload(&sound, "configuration 2 is in force");
    assert_eq!(served.ask("/openai"), 429, "the rule is the same, and so is its balance");
}

#[test]
fn sighup_brings_new_models_and_backends_and_says_what_takes_a_restart() {
    let mut served = Served::start("renewed", Script::default(), "", "");
    assert_eq!(served.ask("/openai"), 200);
    let other = Simulator::start(Script::default()).expect("another provider");
    let changed = manifests("").replace(
        "ai: {llm: {openai: {authToken",
        &format!(
            "ai: {{llm: {{host: 127.0.0.1, port: {}, openai: {{model: gpt-other, authToken",
            other.addr().port()
        ),
    );
    write(&served.directory, "2.yaml", &quiet(served.simulator.addr(), "  records: {to: none}"));
    served.reload(&changed, "changed, but read at the start only: records; restart");
    assert_eq!(served.ask("/openai"), 200);
    let seen = other.requests();
    assert_eq!(seen.len(), 1, "the new backend is asked, and found at once");
    let body: serde_json::Value = serde_json::from_slice(&seen[0].body).expect("JSON");
    assert_eq!(body["model"], "gpt-other");
    assert_eq!(served.simulator.ledger().requests, 1);
}

#[test]
fn an_operator_who_does_not_listen_costs_no_thread() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let here = directory("deaf");
    write(&here, "1.yaml", &manifests(""));
    // The port must be known beforehand here: nobody can read it.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    write(&here, "2.yaml", &quiet(simulator.addr(), "").replace("127.0.0.1:0", &format!("127.0.0.1:{port}")));
    let mut command = tollgate(&["run", text(&here)]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop((child.stdout.take(), child.stderr.take()));
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    support::until("it serves", || TcpStream::connect(address).is_ok());
    let kill = |name: &str| {
        let kill = format!("kill -{name} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    };
    let ask = || Client::connect(address).ask("/openai", "", &chat("gpt-5", false)).status;
    // Records that cannot be written are told to nobody, and so is each reload.
    assert_eq!(ask(), 200);
    write(&here, "1.yaml", &manifests("").replace("value: /openai", "value: /renamed"));
    support::until("the reload is in force", || {
        kill("HUP");
        ask() == 404
    });
    kill("TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}
