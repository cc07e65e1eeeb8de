//! `tollgate demo`: the walkthrough on loopback, shown to a person. A simulated provider takes the place of
//! api.anthropic.com; everything else is the gateway as it runs in production.

use super::cli::Options;
use super::gateway::{Gateway, Life};
use super::screen::{Ink, field, paint, show, tell};
use super::{EXIT_UNUSABLE, files};
use crate::base::Money;
use crate::config::Overrides;
use crate::limit::Wanted;
use crate::runtime::clock;
use crate::wire::json::find;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use tollgate_loadtest::{Count, Script, Simulator};

/// The manifests of `config/walkthrough`, as they are there.
pub const WALKTHROUGH: [(&str, &str); 5] = [
    ("config/walkthrough/1-secret.yaml", include_str!("../../config/walkthrough/1-secret.yaml")),
    ("config/walkthrough/2-gateway.yaml", include_str!("../../config/walkthrough/2-gateway.yaml")),
    ("config/walkthrough/3-backend.yaml", include_str!("../../config/walkthrough/3-backend.yaml")),
    ("config/walkthrough/4-httproute.yaml", include_str!("../../config/walkthrough/4-httproute.yaml")),
    (
        "config/walkthrough/5-trafficpolicy.yaml",
        include_str!("../../config/walkthrough/5-trafficpolicy.yaml"),
    ),
];

/// The walkthrough's request.
pub const REQUEST: &str = include_str!("../../config/walkthrough-request.json");

/// The demo's own settings: it shows records itself, and ends quickly.
const SETTINGS: (&str, &str) = (
    "demo settings",
    "apiVersion: tollgate.dev/v1alpha1\nkind: Settings\nmetadata: {name: demo}\nspec:\n  records: {to: none}\n  \
     timeouts: {drain: 1s}\n",
);

/// Stands in for the key that the Secret takes from the environment; the simulator accepts any, and a real one
/// has no business here.
const KEY: &str = "sk-ant-demo-not-a-real-key";

/// Runs the walkthrough; exit code 0 only if the requests were answered 200, then 429.
pub fn demo(serve: bool) -> ExitCode {
    match run(serve) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            tell(format_args!("tollgate: {error}"));
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

fn run(serve: bool) -> Result<bool, String> {
    let script = Script { input_tokens: Count::FromBody, output_tokens: 96, ..Script::default() };
    let simulator = Simulator::start(script).map_err(|error| format!("the simulated provider: {error}"))?;
    let gateway = start(simulator.addr(), serve)?;
    let address = gateway.addresses.first().copied().ok_or("the walkthrough has a listener")?;

    show(introduction(&gateway, address, simulator.addr()));
    let first = ask(&gateway, address, "request 1")?;
    let second = ask(&gateway, address, "request 2")?;

    let ledger = simulator.ledger();
    let as_promised = (first, second) == (200, 429) && ledger.malformed + ledger.protocol_faults == 0;
    show("\n");
    show(match as_promised {
        true => {
            let promise = paint(Ink::Green, "200, then 429");
            field(
                2,
                "result",
                &format!("{promise}, as the walkthrough promises; the provider saw one request"),
            )
        }
        false => {
            let failed = paint(Ink::Red, "FAILED");
            field(
                2,
                "result",
                &format!("{failed}: {first}, then {second}; the walkthrough promises 200, then 429"),
            )
        }
    });
    match serve {
        true => keep_serving(&gateway, address),
        false => gateway.stop(),
    }
    gateway.join()?;
    Ok(as_promised)
}

fn introduction(gateway: &Gateway, address: SocketAddr, provider: SocketAddr) -> String {
    let mut text =
        "tollgate demo: the rate limiting walkthrough on loopback, its five manifests unchanged\n\n"
            .to_owned();
    let instead = format!("a simulated Anthropic on {provider}, in place of api.anthropic.com");
    text += &field(2, "provider", &instead);
    let workers = gateway.board.desks.len();
    let plural = if workers == 1 { "" } else { "s" };
    text += &field(2, "gateway", &format!("http://{address}, {workers} worker{plural} on io_uring"));
    let in_force = gateway.board.in_force();
    for rule in in_force.rules.rules.iter().map(|ready| &ready.rule) {
        text += &field(2, "limit", &format!("{}: {}", rule.name, rule.allowance()));
    }
    text
}

fn start(provider: SocketAddr, serve: bool) -> Result<Gateway, String> {
    // Whoever goes on trying types the walkthrough's own port, if it is free.
    let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
    let port = if serve && TcpListener::bind(usual).is_ok() { usual.port() } else { 0 };
    let overrides = Overrides {
        hosts: vec![("api.anthropic.com".to_owned(), format!("http://{provider}"))],
        listeners: vec![(8080, format!("127.0.0.1:{port}"))],
        admin: Some(if serve { "127.0.0.1:0" } else { "none" }.to_owned()),
        ..Overrides::default()
    };
    let mut texts = WALKTHROUGH.to_vec();
    texts.push(SETTINGS);
    let env = |_: &str| Some(KEY.to_owned());
    let options = Options { overrides, ..Options::default() };
    let snapshot = files::compile(&texts, &options, &env).map_err(|faults| faults.to_string())?;
    Gateway::start(snapshot, Life { signals: serve, ..Life::default() })
}

/// Sends the walkthrough's request once and shows all that became of it; the status.
fn ask(gateway: &Gateway, address: SocketAddr, title: &str) -> Result<u16, String> {
    let (before, spent_before) = (balance(gateway), cost(gateway));
    let started = Instant::now();
    let answer = post(address).map_err(|error| format!("{title}: {error}"))?;
    let took = started.elapsed();
    let cost = settled(gateway, spent_before);
    let body = answer.body.as_slice();
    let ink = if answer.status == 200 { Ink::Green } else { Ink::Yellow };
    let status = paint(ink, &format!("{} {}", answer.status, answer.reason));

    let mut text = format!("\n  {title}  POST /anthropic\n");
    text += &field(4, "status", &format!("{status} in {:.2} ms", took.as_secs_f64() * 1e3));
    if answer.status == 200 {
        let used = find::string(body, &["model"]).unwrap_or_default();
        let asked = find::string(REQUEST.as_bytes(), &["model"]).unwrap_or_default();
        text += &field(4, "model", &format!("{used}, the Backend's; the client asked for {asked}"));
        let tokens = |name| find::u64(body, &["usage", name]).unwrap_or_default();
        let (input, output) = (tokens("prompt_tokens"), tokens("completion_tokens"));
        text += &field(4, "tokens", &format!("{input} in, {output} out"));
        text += &field(4, "cost", &format!("{} USD", Money(cost)));
    } else {
        text += &field(4, "reason", &find::string(body, &["error", "message"]).unwrap_or_default());
    }
    text += &field(4, "bucket", &format!("{before} before, {} after", balance(gateway)));
    if let Some(seconds) = &answer.retry_after {
        text += &field(
            4,
            "headers",
            &format!("retry-after: {seconds}, retry-after-ms: {}", answer.retry_after_ms),
        );
    }
    show(text);
    Ok(answer.status)
}

fn keep_serving(gateway: &Gateway, address: SocketAddr) {
    let mut text = "\n".to_owned();
    text += &field(2, "serving", "until Ctrl-C; the bucket is empty now and has a request again in 100 s");
    if let Some(admin) = gateway.admin_address {
        text += &field(2, "metrics", &format!("http://{admin}/metrics"));
    }
    let body = r#"{"messages": [{"role": "user", "content": "hello"}]}"#;
    text += &format!(
        "\n  curl -i http://{address}/anthropic -H 'content-type: application/json' \\\n    -d '{body}'\n\n"
    );
    show(text);
    while gateway.board.health.is_ready() {
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What the walkthrough's one account holds.
fn balance(gateway: &Gateway) -> i64 {
    let board = &gateway.board;
    let (rules, now) = (&board.in_force().rules, clock::moment());
    board.accounts.find(&Wanted { rules, rule: 0, key: 0 }, &String::new, now).balance(now)
}

fn cost(gateway: &Gateway) -> u64 {
    gateway.board.desks.iter().map(|desk| desk.counters.cost_nano_usd.get()).sum()
}

/// The cost since `before`, once the exchange is settled: that is a moment after its last byte was sent.
fn settled(gateway: &Gateway, before: u64) -> i64 {
    let in_flight = || gateway.board.desks.iter().any(|desk| desk.counters.requests_in_flight.get() > 0);
    let patience = Instant::now() + Duration::from_secs(1);
    while in_flight() && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
    i64::try_from(cost(gateway) - before).unwrap_or(i64::MAX)
}

struct Answer {
    status: u16,
    reason: String,
    retry_after: Option<String>,
    retry_after_ms: String,
    body: Vec<u8>,
}

/// One request on a connection of its own, as a plain client makes it.
fn post(address: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(
        stream,
        "POST /anthropic HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nx-api-key: mine\r\n\
         anthropic-version: 2023-06-01\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{REQUEST}",
        REQUEST.len()
    )?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes)?;
    parse(&bytes).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer"))
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let mut status_line = lines.next()?.splitn(3, ' ').skip(1);
    let status = status_line.next()?.parse().ok()?;
    let reason = status_line.next().unwrap_or_default().to_owned();
    let header = |name: &str| {
        head.split("\r\n")
            .filter_map(|line| line.split_once(": "))
            .find(|(n, _)| *n == name)
            .map(|(_, v)| v.to_owned())
    };
    Some(Answer {
        status,
        reason,
        retry_after: header("retry-after"),
        retry_after_ms: header("retry-after-ms").unwrap_or_default(),
        body: bytes[end + 4..].to_vec(),
    })
}
