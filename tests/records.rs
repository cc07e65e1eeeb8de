//! Access records: complete, discreet, and nothing that a request ever waits for.

#[path = "records/explain.rs"]
mod explain;
#[path = "records/replay.rs"]
mod replay;
mod support;

use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use support::process::{Process, directory, ended, tollgate};
use support::{Client, Rig, bucket, chat, manifests, message, settings, until};
use tollgate_loadtest::{Count, Ending, Fault, Script, Simulator};

/// Every member of a record, in order: what `Record::json_line` documents.
const MEMBERS: [&str; 28] = [
    "time",
    "worker",
    "route",
    "rule",
    "backend",
    "client",
    "key",
    "method",
    "path",
    "format",
    "provider",
    "model_asked",
    "model_used",
    "status",
    "streamed",
    "usage",
    "cost_nano_usd",
    "limits",
    "first_byte_us",
    "duration_us",
    "bytes_in",
    "bytes_out",
    "attempts",
    "outcome",
    "price",
    "headers",
    "guard",
    "identity",
];

const PROMPT: &str = "How long is a minute?";
const KEY: &str = "the-client's-own-key";
/// The first 8 hexadecimal digits of the SHA-256 of `KEY`.
const KEY_ID: &str = "47f4493a";

fn to_file(path: &Path, more: &str) -> String {
    let path = path.display();
    settings(&format!(
        "  records: {{to: \"{path}\"{more}}}\n  workers: {{cores: 1, pin: false}}\n  timeouts: {{drain: 2s}}"
    ))
}

/// The records in a file, once there are so many.
fn records(path: &Path, wanted: usize) -> Vec<Value> {
    let lines = || fs::read_to_string(path).unwrap_or_default();
    until("the records are written", || lines().matches('\n').count() >= wanted);
    lines().lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
}

#[test]
fn every_exchange_is_one_line_with_every_member_and_neither_key_nor_prompt() {
    let path = directory("records").join("records.jsonl");
    let script = Script { input_tokens: Count::Fixed(40), output_tokens: 10, ..Script::default() };
    let limit = bucket("openai", 2, 1, "1h", "requests");
    let rig = Rig::start_with(script, &manifests(&limit), &to_file(&path, ""));
    let bearer = format!("Authorization: Bearer {KEY}\r\n");
    let api_key = format!("x-api-key: {KEY}\r\n");
    // What cannot be read to its end closes the connection, so each has its own.
    let ask = |path: &str, headers: &str, body: &str| rig.client().ask(path, headers, body).status;
    let statuses = [
        ask("/openai?key=in-the-query", &bearer, &chat("claude-haiku-4-5", false)),
        ask("/openai", &api_key, &chat("gpt-5", true)),
        ask("/openai", "", &chat("gpt-5", false)),
        ask("/nowhere", "", &chat("gpt-5", false)),
        ask("/messages", "", "{\"messages\": 1,}"),
        ask("/anthropic", "", &chat("claude-haiku-4-5", true)),
    ];
    assert_eq!(statuses, [200, 200, 429, 404, 400, 200]);
    rig.simulator.set_script(Script { fault: Fault::CutAfterChunks(2, Ending::Fin), ..Script::default() });
    assert!(!Client::connect(rig.address).ask("/messages", &api_key, &message("m", true)).complete);

    let records = records(&path, 7);
    let text = fs::read_to_string(&path).expect("a file");
    for secret in [KEY, PROMPT, "sk-live-secret", "in-the-query"] {
        assert!(!text.contains(secret), "{secret:?} in\n{text}");
    }
    for (line, record) in text.lines().zip(&records) {
        let members = record.as_object().expect("an object");
        assert_eq!(members.len(), MEMBERS.len(), "{line}");
        let places: Vec<_> = MEMBERS.iter().map(|name| line.find(&format!("\"{name}\":"))).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{line}");
    }
    let shown = |name: &str| records.iter().map(|record| record[name].clone()).collect::<Vec<_>>();
    assert_eq!(shown("status"), [200, 200, 429, 404, 400, 200, 200]);
    let outcomes =
        ["completed", "completed", "refused", "no_route", "bad_request", "completed", "upstream_cut"];
    assert_eq!(shown("outcome"), outcomes);
    let (id, none) = (Value::from(KEY_ID), Value::Null);
    assert_eq!(shown("key"), [&id, &id, &none, &none, &none, &none, &id].map(Clone::clone));
    assert_eq!(shown("streamed"), [false, true, false, false, false, true, true]);
    assert_eq!(records[0]["path"], "/openai");
    assert_eq!(records[0]["usage"]["source"], "reported");
    assert_eq!([&records[0]["usage"]["input"], &records[0]["usage"]["output"]], [40, 10]);
    assert_eq!(records[0]["limits"][0]["balance_after"], 1);
    assert_eq!(records[2]["limits"][0]["admitted"], false);
    assert!(records[2]["limits"][0]["retry_after_ms"].as_u64().is_some_and(|ms| ms > 3_500_000));
    assert!(records[5]["cost_nano_usd"].as_u64() > Some(0), "{}", records[5]);
    // The first asks OpenAI for a model of another house.
    let price = ["unknown", "listed", "", "", "", "listed", "unknown"];
    assert_eq!(shown("price"), price.map(|price| if price.is_empty() { none.clone() } else { price.into() }));
    assert_eq!(records[3]["route"], Value::Null);
    assert_eq!([&records[5]["provider"], &records[5]["model_used"]], ["anthropic", "claude-haiku-4-5"]);
    assert_eq!(records[6]["usage"]["source"], "counted");
}

#[test]
fn records_go_to_standard_output_alone_and_all_of_them() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let here = directory("stdout");
    fs::write(here.join("1.yaml"), manifests("")).expect("a file");
    let (process, address) = Process::serve_folder(&here, simulator.addr());
    let asked: u64 = 1_000;
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                for _ in 0..asked / 4 {
                    assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
                }
            });
        }
    });
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len() as u64, asked, "the end waits for all records");
    assert!(lines.iter().all(|record| record["outcome"] == "completed"));
    assert!(!ended.stderr.contains("\"outcome\""), "{}", ended.stderr);
}

/// What a provider answers is told by the status, and by the outcome whether the client got what it asked for.
#[test]
fn an_error_of_a_provider_is_no_completed_exchange_and_one_of_a_plain_host_is() {
    let path = directory("errors").join("records.jsonl");
    let rig = Rig::start_with(Script::default(), &manifests(""), &to_file(&path, ""));
    let (native, plain) = (chat("gpt-5", false), chat("gpt-5", true));
    let rows = [
        ("/openai", "none", 200, "completed"),
        ("/openai", "status:400", 400, "upstream_failed"),
        ("/openai", "status:404", 404, "upstream_failed"),
        ("/openai", "status:429", 429, "upstream_failed"),
        ("/openai", "status:500", 500, "upstream_failed"),
        ("/anthropic", "status:400", 400, "upstream_failed"),
        ("/anthropic", "status:503", 503, "upstream_failed"),
        ("/openai", "no-answer", 502, "upstream_failed"),
        ("/plain/v1/chat/completions", "none", 200, "completed"),
        ("/plain/v1/chat/completions", "status:404", 404, "completed"),
        ("/plain/v1/chat/completions", "status:500", 500, "completed"),
        ("/plain/v1/chat/completions", "no-answer", 502, "upstream_failed"),
    ];
    for (number, (path, fault, status, _)) in rows.iter().enumerate() {
        let body = if number % 2 == 0 { &native } else { &plain };
        // The plain host wants a key too, and nobody adds one on the way there.
        let headers = format!("Authorization: Bearer {KEY}\r\nx-sim-fault: {fault}\r\n");
        let answer = rig.client().ask(path, &headers, body);
        assert_eq!(answer.status, *status, "{path} {fault}: {}", answer.text());
    }
    for (record, (path, fault, status, outcome)) in records(&path, rows.len()).iter().zip(rows) {
        assert_eq!(
            (&record["status"], &record["outcome"]),
            (&status.into(), &outcome.into()),
            "{path} {fault}"
        );
        let is_charged = record["usage"]["source"] != "none";
        assert_eq!(
            is_charged,
            status == 200 && !path.starts_with("/plain") || fault == "no-answer" && path == "/openai",
            "{path} {fault}"
        );
    }
}

/// A request that is answered here, on a connection that goes on.
fn nowhere(client: &mut Client) {
    client.write("GET /nowhere HTTP/1.1\r\nHost: gateway.test\r\n\r\n");
    assert_eq!(client.answer().status, 404);
}

/// Asks so often that no queue holds all records, and says how many were dropped.
fn overwhelm(rig: &Rig, requests: usize) -> u64 {
    let mut client = rig.client();
    (0..requests).for_each(|_| nowhere(&mut client));
    rig.settled();
    rig.gateway().board.desks.iter().map(|desk| desk.counters.records_dropped.get()).sum()
}

fn fifo(name: &str) -> PathBuf {
    let path = directory(name).join("fifo");
    assert!(Command::new("mkfifo").arg(&path).status().expect("mkfifo").success());
    path
}

#[test]
fn a_fifo_that_nobody_reads_keeps_no_request_waiting_and_not_the_end_either() {
    let path = fifo("unread");
    let rig = Rig::start_with(Script::default(), &manifests(""), &to_file(&path, ", queue: 16"));
    // A pipe holds 64 KiB: some 130 records.
    let dropped = overwhelm(&rig, 1_500);
    assert!((1_000..1_500).contains(&dropped), "{dropped}");
    // When somebody reads at last, records come again.
    let reader = path.clone();
    let reader = std::thread::spawn(move || {
        let mut file = fs::File::open(reader).expect("a FIFO");
        let mut text = Vec::new();
        let mut piece = [0; 4096];
        while !String::from_utf8_lossy(&text).contains("/openai") {
            let n = std::io::Read::read(&mut file, &mut piece).expect("records");
            text.extend_from_slice(&piece[..n]);
        }
    });
    until("a later record comes through", || {
        assert_eq!(rig.client().ask("/openai", "", &chat("gpt-5", false)).status, 200);
        reader.is_finished()
    });
    reader.join().expect("every byte was read");
}

#[test]
fn a_pipe_that_is_not_drained_neither_stops_requests_nor_the_end_of_the_process() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let here = directory("undrained");
    fs::write(here.join("1.yaml"), manifests("")).expect("a file");
    let quiet = "  records: {queue: 16}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 100ms}";
    fs::write(here.join("2.yaml"), settings(quiet)).expect("a file");
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let (host, listen) =
        (format!("api.openai.com=http://{}", simulator.addr()), format!("8080=127.0.0.1:{port}"));
    let directory = here.to_str().expect("UTF-8");
    let mut command = tollgate(&["run", directory, "--listen", &listen, "--host", &host, "--admin", "none"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    until("it serves", || std::net::TcpStream::connect(address).is_ok());
    let mut client = Client::connect(address);
    (0..1_000).for_each(|_| nowhere(&mut client));
    assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    let kill = format!("kill -TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    drop(child.stdout.take());
}

#[test]
fn a_file_that_cannot_be_opened_is_told_before_anything_runs() {
    let here = directory("closed");
    fs::write(here.join("1.yaml"), manifests("")).expect("a file");
    for (to, reason) in [("/no/such/place/records", "No such file"), ("/tmp", "Is a directory")] {
        fs::write(here.join("2.yaml"), settings(&format!("  records: {{to: {to}}}"))).expect("a file");
        let arguments =
            ["run", here.to_str().expect("UTF-8"), "--listen", "8080=127.0.0.1:0", "--admin", "none"];
        let hosts = ["api.openai.com", "api.anthropic.com", "plain.example"]
            .map(|host| ["--host".to_owned(), format!("{host}=http://127.0.0.1:9")])
            .concat();
        let hosts: Vec<&str> = hosts.iter().map(String::as_str).collect();
        let ended = ended(&mut tollgate(&[&arguments[..], &hosts].concat()));
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        for part in [to, reason, "records.to in Settings"] {
            assert!(ended.stderr.contains(part), "no {part:?} in\n{}", ended.stderr);
        }
    }
}

#[test]
fn sighup_opens_the_file_anew_after_it_was_moved_away() {
    let here = directory("moved");
    let file = here.join("records.jsonl");
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    fs::create_dir(here.join("config")).expect("a directory");
    fs::write(here.join("config/1.yaml"), manifests("")).expect("a file");
    fs::write(here.join("config/2.yaml"), to_file(&file, "")).expect("a file");
    let (mut process, address) = Process::serve_folder(&here.join("config"), simulator.addr());
    assert_eq!(Client::connect(address).ask("/openai", "", &chat("gpt-5", false)).status, 200);
    assert_eq!(records(&file, 1).len(), 1);
    fs::rename(&file, here.join("records.jsonl.1")).expect("moved");
    process.signal("HUP");
    process.says("configuration 2 is in force");
    until("the new file is there", || file.exists());
    assert_eq!(Client::connect(address).ask("/nowhere", "", "{}").status, 404);
    assert_eq!(records(&file, 1)[0]["status"], 404);
    assert_eq!(records(&here.join("records.jsonl.1"), 1).len(), 1, "and the old one has its own");
}

#[test]
fn an_exchange_that_the_end_of_the_process_cuts_has_its_record() {
    let path = directory("cut").join("records.jsonl");
    let script = Script { chunks: 4, chunk_gap: Duration::from_secs(60), ..Script::default() };
    let rig = Rig::start_with(script, &manifests(""), &to_file(&path, ""));
    let mut client = rig.client();
    client.post("/openai", "", &chat("gpt-5", true));
    client.fill_to(1);
    drop(rig);
    let records = records(&path, 1);
    assert_eq!((records.len(), &records[0]["outcome"]), (1, &Value::from("shutdown")));
}
