//! Another configuration comes in force: by itself when files change, for all workers or for none, and nobody notices.

mod support;

use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::process::{Process, directory, tollgate};
use support::{Client, chat, limits, manifests, settings, until};
use tollgate_loadtest::{Script, Simulator};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// Every request takes one; it is never used up.
const BUDGET: &str = "{name: all, unit: requests, budget: 1000000000, window: month}";

/// The real program in front of a simulated provider, with a directory of its own.
struct Served {
    _simulator: Simulator,
    here: PathBuf,
    process: Process,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Served {
    fn start(name: &str, text: &str, options: &[&str]) -> Served {
        let simulator = Simulator::start(Script::default()).expect("a simulator");
        let here = directory(name);
        fs::write(here.join("1.yaml"), text).expect("a file");
        let hosts = ["api.openai.com", "api.anthropic.com", "plain.example"]
            .map(|host| format!("{{host: {host}, to: \"http://{}\"}}", simulator.addr()));
        let more = format!(
            "  workers: {{cores: 2, pin: false}}\n  admin: {{address: \"127.0.0.1:0\", token: {TOKEN}}}\n  records: {{to: none}}\n  \
             hostOverrides: [{}]\n  listenerOverrides: [{{port: 8080, address: \"127.0.0.1:0\"}}]",
            hosts.join(", ")
        );
        fs::write(here.join("2.yaml"), settings(&more)).expect("a file");
        let directory = here.display().to_string();
        let (mut process, address) = Process::serve(&mut tollgate(&[&["run", &directory], options].concat()));
        let line = process.says("admin http://");
        let admin =
            line.split("http://").nth(1).and_then(|rest| rest.split(": ").next()).expect("an address");
        let admin = admin.parse().unwrap_or_else(|_| panic!("{line}"));
        Served { _simulator: simulator, here, process, address, admin }
    }

    fn write(&self, text: &str) {
        fs::write(self.here.join("1.yaml"), text).expect("a file");
    }

    fn ask(&self, path: &str) -> u16 {
        Client::connect(self.address).ask(path, "", &chat("gpt-5", false)).status
    }

    /// What was taken of the one limit, by its balance.
    fn spent(&self) -> u64 {
        let mut client = Client::connect(self.admin);
        client.write(format!("GET /accounts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\r\n"));
        let answer = client.answer();
        let accounts: Value = serde_json::from_slice(&answer.body).expect("JSON");
        let balance = accounts["accounts"][0]["balance"].as_u64().unwrap_or_else(|| panic!("{accounts}"));
        1_000_000_000 - balance
    }
}

/// The usual routes with one more, which redirects what is below `/again/N`.
fn with_route(number: usize) -> String {
    let again = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: again, namespace: llm}}\nspec:\n  \
         parentRefs: [{{name: edge}}]\n  rules: [{{matches: [{{path: {{type: PathPrefix, value: /again/{number}}}}}], filters: \
         [{{type: RequestRedirect, requestRedirect: {{hostname: a.example, statusCode: 301}}}}]}}]\n"
    );
    manifests(&(limits("openai", &[BUDGET]) + &again))
}

#[test]
fn files_that_change_come_in_force_by_themselves_and_bad_ones_do_not() {
    let mut served = Served::start("reload-watch", &with_route(1), &[]);
    assert_eq!([served.ask("/again/1/x"), served.ask("/again/2/x")], [301, 404]);
    served.write(&with_route(2));
    served.process.says("reload: configuration 2 is in force");
    assert_eq!([served.ask("/again/1/x"), served.ask("/again/2/x")], [404, 301]);
    served.write("kind: Gatewey\napiVersion: v1\n");
    let why = served.process.says("the kind \"Gatewey\"");
    assert!(why.contains("1.yaml:1:7"), "{why}");
    assert_eq!(served.ask("/again/2/x"), 301);
    fs::remove_file(served.here.join("1.yaml")).expect("it goes");
    fs::write(served.here.join("3.yaml"), with_route(3)).expect("a file");
    served.process.says("reload: configuration 3 is in force");
    assert_eq!([served.ask("/again/2/x"), served.ask("/again/3/x")], [404, 301]);
    assert_eq!(
        served.process.stderr().matches("reload: ").count(),
        3,
        "each once\n{}",
        served.process.stderr()
    );
}

#[test]
fn nobody_looks_at_files_where_that_is_not_wanted() {
    let mut served = Served::start("reload-no-watch", &with_route(1), &["--no-watch"]);
    served.write(&with_route(2));
    // Twice as long as it takes to notice a change and to see that it rests.
    std::thread::sleep(Duration::from_secs(4));
    assert_eq!(served.ask("/again/2/x"), 404);
    served.process.signal("HUP");
    served.process.says("reload: configuration 2 is in force");
    assert_eq!(served.ask("/again/2/x"), 301);
}

/// Clients that ask on kept connections until they are told to stop; what they got wrong.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicU64>,
    clients: Vec<std::thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(address: SocketAddr) -> Load {
        let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |number: usize| {
            let (stop, asked) = (stop.clone(), asked.clone());
            std::thread::spawn(move || {
                let mut wrong = Vec::new();
                let mut client = Client::connect(address);
                while !stop.load(Ordering::Acquire) && wrong.len() < 10 {
                    let answer = client.ask("/openai", "", &chat("gpt-5", number == 2));
                    asked.fetch_add(1, Ordering::AcqRel);
                    if answer.status != 200 {
                        wrong.push(format!("{} {}", answer.status, answer.text()));
                    }
                }
                wrong
            })
        };
        Load { clients: (0..3).map(client).collect(), stop, asked }
    }

    /// How many requests there were; all of them were answered.
    fn end(self) -> u64 {
        self.stop.store(true, Ordering::Release);
        for client in self.clients {
            assert_eq!(client.join().expect("a client ends"), Vec::<String>::new());
        }
        self.asked.load(Ordering::Acquire)
    }
}

/// How many reloads follow one another, at most five in a second; `RELOADS=150` are half a minute.
fn reloads() -> usize {
    std::env::var("RELOADS").ok().and_then(|number| number.parse().ok()).unwrap_or(25)
}

#[test]
fn reloads_without_end_fail_no_request_and_lose_no_balance() {
    let mut served = Served::start("reload-storm", &with_route(0), &["--no-watch"]);
    let load = Load::start(served.address);
    for number in 1..=reloads() {
        let next = Instant::now() + Duration::from_millis(200);
        served.write(&with_route(number % 2));
        served.process.signal("HUP");
        // A slow machine takes longer than the pause: no reload is asked for before the one before is in force.
        served.process.says(&format!("reload: configuration {} is in force", number + 1));
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let asked = load.end();
    assert!(asked > 0, "nobody asked");
    until("all is settled", || served.spent() == asked);
    let said = served.process.stderr();
    assert!(!said.contains("stays in force"), "{said}");
    let kept = said.matches("limit llm/test/all is unchanged and keeps its balance").count();
    assert_eq!(kept, reloads(), "{said}");
}

/// The usual routes, and so many more.
fn many(routes: usize) -> String {
    let mut text = with_route(0);
    for number in 0..routes {
        let _ = write!(
            text,
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r{number}, namespace: llm}}\nspec:\n  \
             parentRefs: [{{name: edge}}]\n  rules: [{{matches: [{{path: {{type: PathPrefix, value: /many/{number}}}}}], filters: \
             [{{type: RequestRedirect, requestRedirect: {{hostname: a.example, statusCode: 301}}}}]}}]\n"
        );
    }
    text
}

#[test]
fn ten_thousand_routes_come_in_force_under_load() {
    let routes = 10_000;
    let mut served = Served::start("reload-many", &with_route(0), &["--no-watch"]);
    let load = Load::start(served.address);
    let text = many(routes);
    // A file has its bound, so they stand in several.
    for (number, part) in parts(&text, 1 << 20).into_iter().enumerate() {
        fs::write(served.here.join(format!("{}.yaml", if number == 0 { 1 } else { number + 2 })), part)
            .expect("a file");
    }
    served.process.signal("HUP");
    served.process.says("reload: configuration 2 is in force");
    let last = format!("/many/{}/x", routes - 1);
    assert_eq!([served.ask(&last), served.ask("/many/10000/x")], [301, 404]);
    let asked = load.end();
    until("all is settled", || served.spent() == asked);
}

/// The documents of a text in pieces of about so many bytes.
fn parts(text: &str, bytes: usize) -> Vec<String> {
    let mut parts = vec![String::new()];
    for document in text.split("---\n") {
        if parts.last().is_some_and(|part| part.len() + document.len() > bytes) {
            parts.push(String::new());
        }
        if let Some(part) = parts.last_mut() {
            *part += &format!("---\n{document}");
        }
    }
    parts
}
