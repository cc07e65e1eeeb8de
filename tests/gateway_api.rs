//! HTTPRoute to the word of its specification (`apis/v1/httproute_types.go` of Gateway API 1.4): a row for each sentence
//! that can be tested and for each example, asked of a running gateway. A title names the field, the sentence in short,
//! and the conformance test of the same, where there is one.
//!
//! Cases stand in `golden/gateway_api/*.cases` and begin with `== title`. What is in force:
//!
//! ```text
//! listen PORT...                         the ports of Gateway gw; 80 unless given
//! listener HOST                          its one listener has this hostname
//! listeners NAME=HOST...                 it has these on port 80; - is no hostname
//! yaml                                   then lines |TEXT: a resource of another kind; a Gateway goes before gw
//! route NAME [NAMESPACE [CREATED]]       then lines |TEXT: the spec of an HTTPRoute, of gw unless it has parentRefs
//! ```
//!
//! `<a>` to `<d>` stand for a reference to a Backend of that name, a plain host that answers with its name and what it was
//! asked; there is a `d` in namespace `other` too. What is asked of that, and expected:
//!
//! ```text
//! ! TEXT                                 a fault that has this text; what was in force is forgotten
//! ! warning: TEXT                        a warning that does
//! ? METHOD HOST/PATH                     a request; then lines "with NAME: VALUE" and "body TEXT"
//! = STATUS [NAME]                        its answer, by that host
//! got LINE / never LINE / not NAME       what the host was asked: its request line or a header; a header it did not get
//! has LINE / lacks NAME / says TEXT      headers of the answer, and its body
//! share N HOST/PATH WHO=PERCENT...       of N requests, by hosts or statuses
//! ```

#[path = "gateway_api/filters.rs"]
mod filters;
#[path = "gateway_api/matching.rs"]
mod matching;
mod support;

use std::fmt::Write as _;
use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::LazyLock;
use support::{Answer, Client, gateway, host, read_head_only, settings};
use tollgate::app::gateway::Gateway;
use tollgate::config::{Overrides, Source, load};
use tollgate::route::{HeaderLookup, Request};

#[test]
fn hostnames() {
    every_row_of("hostnames.cases");
}

#[test]
fn matches_and_their_precedence() {
    every_row_of("matches.cases");
}

#[test]
fn filters() {
    every_row_of("filters.cases");
}

#[test]
fn pages_of_other_origins() {
    every_row_of("cors.cases");
}

#[test]
fn backends() {
    every_row_of("backends.cases");
}

#[test]
fn gateways() {
    every_row_of("gateway.cases");
}

/// A third of them is told apart by host, a third by path, a third by path and header.
#[test]
fn ten_thousand_routes_load_and_the_right_one_is_found() {
    const ROUTES: usize = 10_000;
    let route_of = |number: usize| {
        let (hostnames, matches) = match number % 3 {
            0 => (format!("[team-{number}.example.com]"), "[{path: {value: /v1}}]".to_owned()),
            1 => ("[]".to_owned(), format!("[{{path: {{value: /team-{number}}}}}]")),
            _ => {
                let header = format!("headers: [{{name: x-team, value: t{number}}}]");
                ("[]".to_owned(), format!("[{{path: {{value: /shared-{}}}, {header}}}]", number % 100))
            }
        };
        route(
            &format!("r{number}"),
            &[],
            &format!("hostnames: {hostnames}\nrules: [{{matches: {matches}, backendRefs: [{{<a>}}]}}]"),
        )
    };
    let documents = (0..ROUTES).map(route_of).collect();
    let world = World { documents, ..World::default() };
    // Of one source at most 200,000 values are read.
    let text = world.text();
    let documents: Vec<&str> = text.split("---\n").collect();
    let parts: Vec<String> = documents.chunks(ROUTES / 5).map(|part| part.join("---\n")).collect();
    let sources: Vec<Source<'_>> = parts.iter().map(|text| Source { name: "routes.yaml", text }).collect();
    let snapshot = load(&sources, &|_| None, &world.overrides()).unwrap_or_else(|faults| panic!("{faults}"));
    assert_eq!(snapshot.rules.len(), ROUTES);
    let table = &snapshot.listeners[0].http[0].table;
    for number in (0..ROUTES).step_by(7).chain([ROUTES - 1]) {
        let (host, path, team) = match number % 3 {
            0 => (format!("team-{number}.example.com"), "/v1/x".to_owned(), String::new()),
            1 => ("x.com".to_owned(), format!("/team-{number}/x"), String::new()),
            _ => ("x.com".to_owned(), format!("/shared-{}/x", number % 100), format!("t{number}")),
        };
        let (host, path, headers) = (host.as_bytes(), path.as_bytes(), &Team(team));
        let found = table.find(&Request { host, method: b"GET", path, query: None, headers });
        let rule = found.and_then(|target| snapshot.rules.get(target as usize)).expect("a rule");
        assert_eq!(&*rule.route, format!("default/r{number}"));
    }
    let headers = &Team("t0".into());
    let other = Request { host: b"x.com", method: b"GET", path: b"/team-2/x", query: None, headers };
    assert_eq!(table.find(&other), None);
}

/// A request whose one header is `x-team`.
struct Team(String);

impl HeaderLookup for Team {
    fn value(&self, name: &str) -> Option<&[u8]> {
        Some(self.0.as_bytes()).filter(|value| name == "x-team" && !value.is_empty())
    }
}

/// Asks everything that a file asks, and tells all that was not as expected.
fn every_row_of(file: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gateway_api").join(file);
    let text = std::fs::read_to_string(path).expect("a file of cases");
    let (mut wrong, mut rows) = (String::new(), 0);
    for case in text.split("\n== ").skip(1) {
        let (title, body) = case.split_once('\n').expect("a title");
        let mut world = World::default();
        let mut lines = body.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).peekable();
        while let Some(line) = lines.next() {
            let mut block = |mark: fn(&str) -> bool| {
                let mut block = Vec::new();
                while let Some(line) = lines.next_if(|line| mark(line)) {
                    block.push(line);
                }
                block
            };
            let asks = line.starts_with(['?', '!']) || line.starts_with("share ");
            if asks {
                rows += 1;
                let expected = block(is_detail);
                if let Err(why) = world.ask(line, &expected) {
                    let _ = writeln!(wrong, "== {title}\n{line}\n{}\n   {why}\n", expected.join("\n"));
                }
            } else {
                world.set(line, &block(|line| line.starts_with('|')));
            }
        }
    }
    assert!(rows >= 10, "{rows} rows in {file}");
    assert!(wrong.is_empty(), "{file}, of {rows} rows:\n{wrong}");
}

fn is_detail(line: &str) -> bool {
    let words = ["=", "with", "body", "got", "never", "not", "has", "lacks", "says"];
    words.contains(&line.split(' ').next().unwrap_or_default())
}

/// What is in force, and the gateway that serves it once it was asked something.
#[derive(Default)]
struct World {
    /// Name, port and hostname.
    listeners: Vec<(String, u16, Option<String>)>,
    documents: Vec<String>,
    running: Option<Gateway>,
    /// Something was asked: what comes next is of another world.
    asked: bool,
}

impl World {
    fn set(&mut self, line: &str, block: &[&str]) {
        if std::mem::take(&mut self.asked) {
            *self = World { listeners: std::mem::take(&mut self.listeners), ..World::default() };
        }
        let words: Vec<&str> = line.split(' ').collect();
        let text = block.iter().fold(String::new(), |text, line| text + &line[1..] + "\n");
        match words.as_slice() {
            ["listen", ports @ ..] => {
                let port = |port: &&str| (format!("p{port}"), port.parse().expect("a port"), None);
                self.listeners = ports.iter().map(port).collect();
            }
            ["listener", host] => self.listeners = vec![("http".into(), 80, Some((*host).into()))],
            ["listeners", all @ ..] => {
                let one = |one: &&str| {
                    let (name, host) = one.split_once('=').expect("a name and a host");
                    (name.to_owned(), 80, Some(host.to_owned()).filter(|host| host != "-"))
                };
                self.listeners = all.iter().map(one).collect();
            }
            ["yaml"] => self.documents.push(text),
            ["route", name, rest @ ..] => self.documents.push(route(name, rest, &text)),
            _ => panic!("not an instruction: {line}"),
        }
    }

    fn ask(&mut self, line: &str, details: &[&str]) -> Result<(), String> {
        if let Some(warning) = line.strip_prefix("! warning: ") {
            let snapshot = load(&self.sources(), &|_| None, &self.overrides()).map_err(|f| f.to_string())?;
            let found = snapshot.warnings.iter().any(|one| one.to_string().contains(warning));
            return found.then_some(()).ok_or_else(|| format!("warnings are {:?}", snapshot.warnings));
        }
        if let Some(fault) = line.strip_prefix("! ") {
            let said = load(&self.sources(), &|_| None, &self.overrides()).err().map(|f| f.to_string());
            self.asked = true;
            return match said {
                Some(said) if said.contains(fault) => Ok(()),
                Some(said) => Err(said),
                None => Err("there is no fault".into()),
            };
        }
        self.asked = true;
        let ports: Vec<u16> = self.ports();
        let running = match self.running.take() {
            Some(running) => running,
            None => {
                load(&self.sources(), &|_| None, &self.overrides()).map_err(|faults| faults.to_string())?;
                gateway(&[("case.yaml", &self.text())], self.overrides())
            }
        };
        let running = self.running.insert(running);
        let words: Vec<&str> = line.split(' ').collect();
        match words.as_slice() {
            ["?", method, url] => {
                let asked = Asked::of(method, url, details, &ports);
                let place = ports.iter().position(|port| *port == asked.port).expect("a port of the case");
                let answer = asked.send(&mut Client::connect(running.addresses[place]));
                details.iter().try_for_each(|detail| judge(&answer, detail))
            }
            ["share", count, url, shares @ ..] => {
                share(running.addresses[0], count.parse().expect("a number"), url, shares)
            }
            _ => panic!("not a question: {line}"),
        }
    }

    fn ports(&self) -> Vec<u16> {
        let mut ports: Vec<u16> = self.listeners.iter().map(|(_, port, _)| *port).collect();
        ports.sort_unstable();
        ports.dedup();
        if ports.is_empty() { vec![80] } else { ports }
    }

    fn text(&self) -> String {
        let mut text = settings("  records: {to: none}\n  workers: {cores: 1, pin: false}");
        if !self.documents.iter().any(|document| document.contains("\nkind: Gateway\n")) {
            text += &self.gateway();
        }
        for (name, namespace) in
            [("a", "default"), ("b", "default"), ("c", "default"), ("d", "default"), ("d", "other")]
        {
            let _ = write!(
                text,
                "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: {name}, namespace: \
                 {namespace}}}\nspec: {{type: Static, static: {{hosts: [{{host: {name}.test, port: 80}}]}}}}\n"
            );
        }
        for document in &self.documents {
            text += "---\n";
            text += document;
        }
        for name in ["a", "b", "c", "d"] {
            let reference = format!("group: gateway.kgateway.dev, kind: Backend, name: {name}");
            text = text.replace(&format!("<{name}>"), &reference);
        }
        text
    }

    /// Gateway gw.
    fn gateway(&self) -> String {
        let mut text = String::from(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: gw}\nspec:\n  \
             gatewayClassName: tollgate\n  listeners:\n",
        );
        let usual = [("http".to_owned(), 80, None)];
        let listeners = if self.listeners.is_empty() { &usual[..] } else { &self.listeners };
        for (name, port, host) in listeners {
            let host = host.as_ref().map_or(String::new(), |host| format!(", hostname: {host:?}"));
            let _ = writeln!(
                text,
                "  - {{name: {name}, protocol: HTTP, port: {port}, allowedRoutes: {{namespaces: {{from: All}}}}{host}}}"
            );
        }
        text
    }

    fn sources(&self) -> [Source<'static>; 1] {
        [Source { name: "case.yaml", text: self.text().leak() }]
    }

    fn overrides(&self) -> Overrides {
        let at = |host: &(&str, SocketAddr)| (format!("{}.test", host.0), format!("http://{}", host.1));
        Overrides {
            hosts: HOSTS.iter().map(at).collect(),
            listeners: self.ports().iter().map(|port| (*port, "127.0.0.1:0".to_owned())).collect(),
            admin: Some("none".to_owned()),
            ..Overrides::default()
        }
    }
}

fn route(name: &str, rest: &[&str], spec: &str) -> String {
    let namespace = rest.first().unwrap_or(&"default");
    let created = rest.get(1).map_or(String::new(), |at| format!(", creationTimestamp: {at}"));
    let parents = if spec.contains("parentRefs:") { "" } else { "  parentRefs: [{name: gw}]\n" };
    let spec: String = spec.lines().filter(|line| *line != "{}").map(|line| format!("  {line}\n")).collect();
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: \
         {namespace}{created}}}\nspec:\n{parents}{spec}"
    )
}

/// A request of a row.
struct Asked {
    text: String,
    port: u16,
    is_head: bool,
}

impl Asked {
    fn of(method: &str, url: &str, details: &[&str], ports: &[u16]) -> Asked {
        let (authority, path) = url.split_once('/').expect("a path");
        // A port that no listener has may stand there to be ignored.
        let port = authority.split_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.filter(|port| ports.contains(port)).unwrap_or(80);
        let mut text = format!("{method} /{path} HTTP/1.1\r\nHost: {authority}\r\n");
        let mut body = None;
        for detail in details {
            match detail.split_once(' ') {
                Some(("with", header)) => text += &format!("{header}\r\n"),
                Some(("body", given)) => body = Some(given),
                _ => {}
            }
        }
        match body {
            Some(body) => text += &format!("Content-Length: {}\r\n\r\n{body}", body.len()),
            None => text += "\r\n",
        }
        Asked { text, port, is_head: method == "HEAD" }
    }

    fn send(&self, client: &mut Client) -> Answer {
        client.write(&self.text);
        if self.is_head { client.answer_to_head() } else { client.answer() }
    }
}

/// Whether an answer is as one line of a row says.
fn judge(answer: &Answer, detail: &str) -> Result<(), String> {
    let (word, rest) = detail.split_once(' ').expect("a word and what it says");
    let text = answer.text();
    let is_line = |line: &str, wanted: &str| match (line.split_once(": "), wanted.split_once(": ")) {
        (Some((name, value)), Some((wanted, wanted_value))) => {
            name.eq_ignore_ascii_case(wanted) && value == wanted_value
        }
        _ => line == wanted,
    };
    let got = || text.lines().any(|line| is_line(line, rest));
    let header = |name: &str| answer.header(name);
    let holds = match word {
        "with" | "body" => true,
        "=" => {
            let (status, who) =
                rest.split_once(' ').map_or((rest, None), |(status, who)| (status, Some(who)));
            answer.status.to_string() == status && who.is_none_or(|who| text.lines().next() == Some(who))
        }
        "got" => got(),
        "never" => !got(),
        "not" => !text.to_ascii_lowercase().contains(&format!("\n{}: ", rest.to_ascii_lowercase())),
        "has" => answer.headers.iter().any(|(name, value)| is_line(&format!("{name}: {value}"), rest)),
        "lacks" => header(rest).is_none(),
        "says" => text == rest,
        _ => panic!("not an expectation: {detail}"),
    };
    holds.then_some(()).ok_or_else(|| {
        format!("{detail}: but it was {}, {:?}\n{}", answer.status, answer.headers, answer.text())
    })
}

/// Asks so often, and compares who answered with the shares in percent. What is random may be off by 12 percent of all,
/// which it is once in a million runs.
fn share(address: SocketAddr, count: usize, url: &str, shares: &[&str]) -> Result<(), String> {
    let asked = Asked::of("GET", url, &[], &[]);
    let mut client = Client::connect(address);
    let answers: Vec<String> = (0..count)
        .map(|_| match asked.send(&mut client) {
            answer if answer.status == 200 => answer.text().lines().next().unwrap_or_default().to_owned(),
            answer => answer.status.to_string(),
        })
        .collect();
    for share in shares {
        let (who, percent) = share.split_once('=').expect("who and how many");
        let percent: usize = percent.parse().expect("a number");
        let got = answers.iter().filter(|answer| *answer == who).count() * 100 / count;
        if got.abs_diff(percent) > 12 || (percent == 0 && got > 0) {
            return Err(format!("{who} got {got} %"));
        }
    }
    Ok(())
}

/// The plain hosts, which serve all cases.
static HOSTS: LazyLock<[(&str, SocketAddr); 4]> =
    LazyLock::new(|| ["a", "b", "c", "d"].map(|name| (name, host(move |stream| echo(name, stream)))));

/// Answers with the host's name and what it was asked, and says things about CORS that are not for it to say.
fn echo(name: &str, mut stream: TcpStream) {
    loop {
        let head = read_head_only(&mut stream);
        if head.is_empty() {
            return;
        }
        let lower = head.to_ascii_lowercase();
        let length =
            lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        if stream.read_exact(&mut body).is_err() {
            return;
        }
        let asked = head.replacen(" HTTP/1.1", "", 1).replace("\r\n", "\n");
        let said = format!("{name}\n{asked}{}", String::from_utf8_lossy(&body));
        let length = said.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nx-from: {name}\r\nx-upstream: theirs\r\nx-secret: 1\r\nAccess-Control-Allow-Origin: \
             https://upstream.test\r\naccess-control-allow-methods: BREW\r\ncontent-length: {length}\r\n\r\n"
        );
        let said = if head.starts_with("HEAD") { String::new() } else { said };
        if stream.write_all((answer + &said).as_bytes()).is_err() {
            return;
        }
    }
}
