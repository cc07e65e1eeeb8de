//! What the live tests share: a gateway and a simulated provider in this process, and a raw client.
#![allow(dead_code, unreachable_pub, unused_imports)] // every test binary includes it and uses a part of it

mod ai;
mod apis;
mod embedders;
mod hosts;
pub mod process;
pub mod secure;

pub use ai::*;
pub use apis::*;
pub use embedders::*;
pub use hosts::*;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use tollgate::app::cli::Options;
use tollgate::app::files;
use tollgate::app::gateway::{Gateway, Life};
use tollgate::config::Overrides;
use tollgate::limit::Wanted;
use tollgate::llm::provider::PRESETS;
use tollgate_loadtest::{Ledger, Script, Simulator};

/// A gateway in front of a simulated provider, both on loopback, both ended when this is dropped.
pub struct Rig {
    pub simulator: Simulator,
    pub gateway: Option<Gateway>,
    pub address: SocketAddr,
}

/// What a gateway counted, summed over its workers, once nothing is in flight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    pub input: u64,
    pub cached_input: u64,
    pub cache_write: u64,
    pub output: u64,
    pub reasoning: u64,
    /// Exchanges whose usage no provider reported to the end: counted from bytes.
    pub counted: u64,
}

/// Routes of the usual rig, by path prefix: `/anthropic` (OpenAI clients, translated), `/messages` (Anthropic
/// clients, native), `/openai` (OpenAI clients, native), `/cross` (Anthropic clients, translated to OpenAI),
/// `/plain` (a plain host). Both providers and the plain host are the simulator. `policies` is appended.
pub fn manifests(policies: &str) -> String {
    let route = |name: &str, path: &str, target: &str, backend: &str| {
        format!(
            "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: llm}}\n\
             spec:\n  parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{type: PathPrefix, value: {path}}}}}]\n    \
             filters: [{{type: URLRewrite, urlRewrite: {{path: {{{target}}}}}}}]\n    \
             backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: {backend}}}]\n"
        )
    };
    let full = |path: &str| format!("type: ReplaceFullPath, replaceFullPath: {path}");
    let mut text = String::from(
        "apiVersion: v1\nkind: Secret\nmetadata: {name: keys, namespace: llm}\nstringData: {Authorization: sk-live-secret}\n\
         ---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: llm}\nspec:\n  \
         gatewayClassName: agentgateway\n  listeners: [{name: http, protocol: HTTP, port: 8080}]\n\
         ---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {name: anthropic, namespace: llm}\nspec:\n  \
         type: AI\n  ai: {llm: {anthropic: {authToken: {kind: SecretRef, secretRef: {name: keys}}}}}\n\
         ---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {name: openai, namespace: llm}\nspec:\n  \
         type: AI\n  ai: {llm: {openai: {authToken: {kind: SecretRef, secretRef: {name: keys}}}}}\n\
         ---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {name: host, namespace: llm}\nspec:\n  \
         type: Static\n  static: {hosts: [{host: plain.example, port: 80}]}\n",
    );
    text += &route("translated", "/anthropic", &full("/v1/chat/completions"), "anthropic");
    text += &route("messages", "/messages", &full("/v1/messages"), "anthropic");
    text += &route("openai", "/openai", &full("/v1/chat/completions"), "openai");
    text += &route("cross", "/cross", &full("/v1/messages"), "openai");
    text += &route("plain", "/plain", "type: ReplacePrefixMatch, replacePrefixMatch: /", "host");
    text + policies
}

/// A TrafficPolicy on one route.
pub fn bucket(route: &str, max: u64, per_fill: u64, fill: &str, unit: &str) -> String {
    format!(
        "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {{name: {route}-limit, \
         namespace: llm, annotations: {{tollgate.dev/unit: {unit}}}}}\nspec:\n  targetRefs: [{{group: \
         gateway.networking.k8s.io, kind: HTTPRoute, name: {route}}}]\n  rateLimit: {{local: {{tokenBucket: {{maxTokens: \
         {max}, tokensPerFill: {per_fill}, fillInterval: {fill}}}}}}}\n"
    )
}

/// A LimitPolicy on a route with these limits, each a map in YAML's flow style.
pub fn limits(route: &str, limits: &[&str]) -> String {
    let list: String = limits.iter().map(|limit| format!("  - {limit}\n")).collect();
    format!(
        "---\napiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {{name: test, namespace: llm}}\nspec:\n  \
         targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {route}}}]\n  limits:\n{list}"
    )
}

/// A Settings resource; `spec` is its body, indented by two spaces. A machine that is busy with other tests gives nothing up.
pub fn settings(spec: &str) -> String {
    let patient = if spec.contains("admission:") { "" } else { "\n  admission: {lag: none}" };
    format!(
        "---\napiVersion: tollgate.dev/v1alpha1\nkind: Settings\nmetadata: {{name: test}}\nspec:\n{spec}{patient}\n"
    )
}

/// The hosts in whose place the simulator is.
const HOSTS: [&str; 7] = [
    "europe-west1-aiplatform.googleapis.com",
    "bedrock-runtime.eu-west-1.amazonaws.com",
    "api.anthropic.com",
    "api.openai.com",
    "generativelanguage.googleapis.com",
    "house.openai.azure.com",
    "plain.example",
];

impl Rig {
    /// The usual routes with these policies, two unpinned workers, no records.
    pub fn start(script: Script, policies: &str) -> Rig {
        let quiet = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n  timeouts: {drain: 2s}";
        Rig::start_with(script, &manifests(policies), &settings(quiet))
    }

    /// These manifests, and this Settings resource.
    pub fn start_with(script: Script, manifests: &str, settings: &str) -> Rig {
        let simulator = Simulator::start(script).expect("the simulator starts");
        let provider = simulator.addr();
        Rig::assemble(simulator, provider, manifests, settings)
    }

    /// The same where the environment has these variables, and servers are verified by these authorities, in files of PEM.
    pub fn start_in(
        script: Script,
        manifests: &str,
        settings: &str,
        variables: &[(String, String)],
        roots: Vec<String>,
    ) -> Rig {
        let simulator = Simulator::start(script).expect("the simulator starts");
        let overrides = Overrides { roots, ..Rig::overrides(simulator.addr()) };
        let env = |name: &str| Some(variables.iter().find(|(known, _)| known == name)?.1.clone());
        let texts = [("manifests.yaml", manifests), ("settings.yaml", settings)];
        let gateway = gateway_in(&texts, overrides, &|name| env(name).or_else(|| anthropic_key(name)));
        let address = gateway.addresses[0];
        Rig { simulator, gateway: Some(gateway), address }
    }

    /// The usual routes to `provider`, which is in the place of all hosts, with this Settings resource.
    pub fn start_before(provider: SocketAddr, settings: &str) -> Rig {
        let simulator = Simulator::start(Script::default()).expect("the simulator starts");
        Rig::assemble(simulator, provider, &manifests(""), settings)
    }

    /// A gateway whose providers are all at `provider`.
    fn assemble(simulator: Simulator, provider: SocketAddr, manifests: &str, settings: &str) -> Rig {
        let overrides = Rig::overrides(provider);
        let gateway = gateway(&[("manifests.yaml", manifests), ("settings.yaml", settings)], overrides);
        let address = gateway.addresses[0];
        Rig { simulator, gateway: Some(gateway), address }
    }

    /// All providers are at `provider`.
    fn overrides(provider: SocketAddr) -> Overrides {
        let to = format!("http://{provider}");
        Overrides {
            hosts: HOSTS
                .into_iter()
                .chain(PRESETS.iter().filter_map(|preset| preset.host))
                .map(|host| (host.to_owned(), to.clone()))
                .collect(),
            listeners: vec![(8080, "127.0.0.1:0".to_owned())],
            admin: Some("none".to_owned()),
            ..Overrides::default()
        }
    }

    pub fn gateway(&self) -> &Gateway {
        self.gateway.as_ref().expect("it runs")
    }

    /// A connection to the gateway.
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Waits until no exchange is in flight, then says what was settled.
    pub fn settled(&self) -> Settled {
        let desks = &self.gateway().board.desks;
        until("no exchange is in flight", || {
            desks.iter().all(|desk| desk.counters.requests_in_flight.get() == 0)
        });
        let mut sum = Settled::default();
        for counters in desks.iter().map(|desk| &desk.counters) {
            sum.input += counters.tokens_input.get();
            sum.cached_input += counters.tokens_cached_input.get();
            sum.cache_write += counters.tokens_cache_write.get();
            sum.output += counters.tokens_output.get();
            sum.reasoning += counters.tokens_reasoning.get();
            sum.counted += counters.usage_missing.get();
        }
        sum
    }

    /// Asserts that gateway and provider agree to the token, and that the provider saw nothing malformed.
    pub fn assert_ledgers_agree(&self) -> Ledger {
        let settled = self.settled();
        let ledger = self.simulator.ledger();
        let theirs = ledger.reported;
        let of_provider = Settled {
            input: theirs.input,
            cached_input: theirs.cached_input,
            cache_write: theirs.cache_write,
            output: theirs.output,
            reasoning: theirs.reasoning,
            counted: settled.counted,
        };
        assert_eq!(settled, of_provider, "gateway and provider disagree");
        assert_clean(&ledger);
        ledger
    }

    /// The balance of the account at this place.
    pub fn balance(&self, index: usize) -> i64 {
        let (board, now) = (&self.gateway().board, tollgate::runtime::clock::moment());
        let wanted = Wanted { rules: &board.in_force().rules, rule: index as u32, key: 0 };
        board.accounts.find(&wanted, &String::new, now).balance(now)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        if let Some(gateway) = self.gateway.take() {
            gateway.stop();
            gateway.stop(); // at once: tests do not wait for connections to drain
            let ended = gateway.join();
            assert!(std::thread::panicking() || ended.is_ok(), "{ended:?}");
        }
    }
}

/// Asserts that the provider saw nothing malformed.
pub fn assert_clean(ledger: &Ledger) {
    assert_eq!((ledger.malformed, ledger.protocol_faults), (0, 0), "{:?}", ledger.reasons);
}

/// Starts a gateway on these texts.
pub fn gateway(texts: &[(&str, &str)], overrides: Overrides) -> Gateway {
    gateway_in(texts, overrides, &anthropic_key)
}

/// The one variable that the environment has.
fn anthropic_key(name: &str) -> Option<String> {
    (name == "ANTHROPIC_API_KEY").then(|| "sk-ant-live-secret".to_owned())
}

/// Starts a gateway on these texts, in this environment.
pub fn gateway_in(
    texts: &[(&str, &str)],
    overrides: Overrides,
    env: &dyn Fn(&str) -> Option<String>,
) -> Gateway {
    let options = Options { overrides, ..Options::default() };
    let snapshot = files::compile(texts, &options, env).unwrap_or_else(|faults| panic!("{faults}"));
    Gateway::start(snapshot, Life::default()).unwrap_or_else(|error| panic!("{error}"))
}

/// Waits until `holds`, at most ten seconds.
pub fn until(what: &str, holds: impl Fn() -> bool) {
    let patience = Instant::now() + Duration::from_secs(10);
    while !holds() {
        assert!(Instant::now() < patience, "still waiting: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A client that says exactly what it is told and reads exactly what comes.
pub struct Client {
    pub stream: TcpStream,
    buf: Vec<u8>,
    /// What is said goes through it, if it is there: see [`Client::secure`].
    pub tls: Option<Box<secure::Session>>,
}

/// An answer, its framing taken off.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// What stood behind the last chunk, line by line.
    pub trailers: String,
    /// Whether the body came to the end that its framing promised.
    pub complete: bool,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The data of each event of a stream.
    pub fn events(&self) -> Vec<String> {
        let text = self.text();
        let data =
            |event: &str| event.lines().find_map(|line| line.strip_prefix("data: ").map(str::to_owned));
        text.split("\n\n").filter_map(data).collect()
    }
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("the gateway accepts")
    }

    /// A client; an error where nobody listens.
    pub fn try_connect(address: SocketAddr) -> io::Result<Client> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Ok(Client { stream, buf: Vec::new(), tls: None })
    }

    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        match &mut self.tls {
            Some(tls) => tls.write(&mut self.stream, bytes.as_ref()).expect("the gateway reads"),
            None => self.stream.write_all(bytes.as_ref()).expect("the gateway reads"),
        }
    }

    /// Sends a POST with a JSON body and these further header lines (each with its CRLF).
    pub fn post(&mut self, path: &str, headers: &str, body: &str) {
        let length = body.len();
        self.write(format!(
            "POST {path} HTTP/1.1\r\nHost: gateway.test\r\nContent-Type: application/json\r\n{headers}Content-Length: \
             {length}\r\n\r\n{body}"
        ));
    }

    /// Sends a POST and reads the answer.
    pub fn ask(&mut self, path: &str, headers: &str, body: &str) -> Answer {
        self.post(path, headers, body);
        self.answer()
    }

    /// Reads one answer, skipping interim ones.
    pub fn answer(&mut self) -> Answer {
        loop {
            let answer = self.any_answer();
            if answer.status >= 200 {
                return answer;
            }
        }
    }

    /// Reads one answer, interim or not. Panics when the connection ends before its head does.
    pub fn any_answer(&mut self) -> Answer {
        self.try_answer().expect("an answer")
    }

    /// Reads one answer; `None` when the connection ends or resets before one begins.
    pub fn try_answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buf.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill() {
                return None;
            }
        };
        let head = String::from_utf8(self.buf.drain(..end).collect()).expect("a head in ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next()?.split(' ').nth(1)?.parse().expect("a status");
        let field = |line: &str| line.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
        let headers: Vec<_> = lines.filter_map(field).collect();
        let mut answer = Answer { status, headers, ..Answer::default() };
        self.read_body(&mut answer);
        Some(answer)
    }

    fn read_body(&mut self, answer: &mut Answer) {
        let chunked = answer.header("transfer-encoding").is_some_and(|te| te == "chunked");
        let length = answer.header("content-length").map(|n| n.parse::<usize>().expect("a length"));
        if answer.status < 200 || answer.status == 204 || answer.status == 304 {
            answer.complete = true;
        } else if chunked {
            (answer.complete, answer.trailers) = self.read_chunks(&mut answer.body);
        } else if let Some(length) = length {
            while self.buf.len() < length && self.fill() {}
            let there = length.min(self.buf.len());
            answer.body.extend(self.buf.drain(..there));
            answer.complete = there == length;
        } else {
            while self.fill() {}
            answer.body.append(&mut self.buf);
            answer.complete = true;
        }
    }

    /// Whether they came to their end, and what stood behind it.
    fn read_chunks(&mut self, body: &mut Vec<u8>) -> (bool, String) {
        loop {
            let Some(line) = self.line() else { return (false, String::new()) };
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk size");
            if size == 0 {
                return self.read_trailers();
            }
            while self.buf.len() < size + 2 {
                if !self.fill() {
                    body.append(&mut self.buf);
                    return (false, String::new());
                }
            }
            body.extend(self.buf.drain(..size));
            assert_eq!(self.buf.drain(..2).collect::<Vec<_>>(), b"\r\n", "a chunk ends where it says");
        }
    }

    fn read_trailers(&mut self) -> (bool, String) {
        let mut trailers = String::new();
        loop {
            match self.line() {
                None => return (false, trailers),
                Some(line) if line == "\r\n" => return (true, trailers),
                Some(line) => trailers += &line,
            }
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(at) = self.buf.windows(2).position(|two| two == b"\r\n") {
                return String::from_utf8(self.buf.drain(..at + 2).collect()).ok();
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads what is there; `false` at the end of the stream. Panics on a time-out.
    pub fn fill(&mut self) -> bool {
        let mut piece = [0; 16 << 10];
        let read = match &mut self.tls {
            Some(tls) => tls.read(&mut self.stream, &mut piece),
            None => self.stream.read(&mut piece),
        };
        match read {
            Ok(0) => false,
            Ok(n) => {
                self.buf.extend_from_slice(&piece[..n]);
                true
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("nothing came in 20 s")
            }
            Err(_) => false,
        }
    }

    /// Reads until `n` bytes are there in all, framing included; for tests that stop in the middle.
    pub fn fill_to(&mut self, n: usize) -> &[u8] {
        while self.buf.len() < n && self.fill() {}
        &self.buf
    }

    /// Whether the gateway has ended the connection: nothing more comes.
    pub fn is_over(&mut self) -> bool {
        self.buf.is_empty() && !self.fill()
    }
}

/// An OpenAI chat request.
pub fn chat(model: &str, stream: bool) -> String {
    let stream = if stream { r#","stream":true"# } else { "" };
    format!(
        r#"{{"model":"{model}","messages":[{{"role":"user","content":"How long is a minute?"}}]{stream}}}"#
    )
}

/// An Anthropic messages request.
pub fn message(model: &str, stream: bool) -> String {
    let stream = if stream { r#","stream":true"# } else { "" };
    format!(
        r#"{{"model":"{model}","max_tokens":100,"messages":[{{"role":"user","content":"How long is a minute?"}}]{stream}}}"#
    )
}

// === what answers say, in either format ===

/// Who speaks what on a route of the usual rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    pub path: &'static str,
    /// The name of the HTTPRoute, for policies.
    pub name: &'static str,
    /// Whether the client speaks OpenAI's format; else Anthropic's.
    pub openai_client: bool,
    /// Whether the provider does.
    pub openai_provider: bool,
}

/// The four routes to models.
pub const ROUTES: [Route; 4] = [
    Route { path: "/anthropic", name: "translated", openai_client: true, openai_provider: false },
    Route { path: "/messages", name: "messages", openai_client: false, openai_provider: false },
    Route { path: "/openai", name: "openai", openai_client: true, openai_provider: true },
    Route { path: "/cross", name: "cross", openai_client: false, openai_provider: true },
];

/// What the user says in [`chat`] and [`message`].
pub const USER_TEXT: &str = "How long is a minute?";

impl Route {
    pub fn is_native(self) -> bool {
        self.openai_client == self.openai_provider
    }

    /// A request in the client's format; an OpenAI client asks for the usage of a stream.
    pub fn body(self, model: &str, stream: bool) -> String {
        match (self.openai_client, stream) {
            (true, true) => with(&chat(model, true), r#""stream_options":{"include_usage":true}"#),
            (true, false) => chat(model, false),
            (false, _) => message(model, stream),
        }
    }

    /// Reads an answer in the client's format.
    pub fn read(self, answer: &Answer) -> Said {
        let streamed =
            answer.header("content-type").is_some_and(|media| media.starts_with("text/event-stream"));
        let mut said = Said::default();
        if !streamed {
            said.take(&answer.json(), self.openai_client);
            return said;
        }
        for data in answer.events() {
            match serde_json::from_str(&data) {
                Ok(event) => said.take(&event, self.openai_client),
                Err(_) => {
                    assert_eq!(data, "[DONE]", "in {}", answer.text());
                    said.done = true;
                }
            }
        }
        said
    }
}

/// `body`, a JSON object, with one more member.
pub fn with(body: &str, member: &str) -> String {
    format!("{},{member}}}", &body[..body.len() - 1])
}

/// What an answer says, the same for both formats and for streams.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub model: String,
    pub text: String,
    pub thinking: String,
    /// Name and arguments of a tool call.
    pub tool: (String, String),
    pub finish: String,
    /// Input, cached input, cache write, output, reasoning.
    pub usage: Option<[u64; 5]>,
    /// `error.type`.
    pub error: Option<String>,
    /// A stream's terminator came.
    pub done: bool,
}

impl Said {
    /// Adds what a whole answer or one event says.
    fn take(&mut self, value: &serde_json::Value, openai: bool) {
        if let Some(error) = value.get("error") {
            self.error = Some(error["type"].as_str().expect("errors have a type").to_owned());
        } else if openai {
            self.take_openai(value);
        } else {
            self.take_anthropic(value);
        }
    }

    fn take_openai(&mut self, value: &serde_json::Value) {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        self.model = text(&value["model"]);
        let choice = &value["choices"][0];
        let message = if choice["message"].is_object() { &choice["message"] } else { &choice["delta"] };
        self.text += &text(&message["content"]);
        self.thinking += &text(&message["reasoning_content"]);
        self.tool.0 += &text(&message["tool_calls"][0]["function"]["name"]);
        self.tool.1 += &text(&message["tool_calls"][0]["function"]["arguments"]);
        self.finish += &text(&choice["finish_reason"]);
        let usage = &value["usage"];
        if usage.is_object() {
            let count = |value: &serde_json::Value| value.as_u64().unwrap_or_default();
            let prompt = &usage["prompt_tokens_details"];
            self.usage = Some([
                count(&usage["prompt_tokens"]),
                count(&prompt["cached_tokens"]),
                count(&prompt["cache_write_tokens"]),
                count(&usage["completion_tokens"]),
                count(&usage["completion_tokens_details"]["reasoning_tokens"]),
            ]);
        }
    }

    fn take_anthropic(&mut self, value: &serde_json::Value) {
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        match text(&value["type"]).as_str() {
            "message" => {
                value["content"].as_array().expect("blocks").iter().for_each(|block| self.take_block(block));
                self.model = text(&value["model"]);
                self.finish = text(&value["stop_reason"]);
                self.take_anthropic_usage(&value["usage"]);
            }
            "message_start" => {
                self.model = text(&value["message"]["model"]);
                self.take_anthropic_usage(&value["message"]["usage"]);
            }
            "content_block_start" => self.take_block(&value["content_block"]),
            "content_block_delta" => {
                let delta = &value["delta"];
                self.text += &text(&delta["text"]);
                self.thinking += &text(&delta["thinking"]);
                self.tool.1 += &text(&delta["partial_json"]);
            }
            "message_delta" => {
                self.finish += &text(&value["delta"]["stop_reason"]);
                self.take_anthropic_usage(&value["usage"]);
            }
            "message_stop" => self.done = true,
            "content_block_stop" | "ping" => {}
            other => panic!("an event of type {other}"),
        }
    }

    fn take_block(&mut self, block: &serde_json::Value) {
        self.text += block["text"].as_str().unwrap_or_default();
        self.thinking += block["thinking"].as_str().unwrap_or_default();
        self.tool.0 += block["name"].as_str().unwrap_or_default();
        if block["input"].as_object().is_some_and(|input| !input.is_empty()) {
            self.tool.1 += &block["input"].to_string();
        }
    }

    fn take_anthropic_usage(&mut self, usage: &serde_json::Value) {
        if !usage.is_object() {
            return;
        }
        let count = |name: &str| usage[name].as_u64().unwrap_or_default();
        let (cached, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
        self.usage =
            Some([count("input_tokens") + cached + written, cached, written, count("output_tokens"), 0]);
    }
}
