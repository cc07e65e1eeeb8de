//! Providers and hosts that say exactly what they are told, and further ways to look at a gateway.

use super::{Answer, Client, Rig, gateway, manifests, settings, until};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use tollgate::config::Overrides;
use tollgate_loadtest::{Script, Simulator};

// === providers that do what the simulator does not ===

/// A provider that hands every connection, numbered from 0, to `serve` on a thread of its own.
pub fn provider(serve: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serve = std::sync::Arc::new(serve);
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(number, stream));
        }
    });
    address
}

/// Reads the head of a request to its end, and its body as far as it came with it; what was read. Empty when
/// the connection ends first.
pub fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut read, mut piece) = (Vec::new(), [0; 4096]);
    while !read.windows(4).any(|four| four == b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(n @ 1..) => read.extend_from_slice(&piece[..n]),
            _ => return Vec::new(),
        }
    }
    read
}

/// Reads a request with a Content-Length to its end; `None` when the connection ends first.
pub fn read_request(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut read = read_head(stream);
    let head = read.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
    let length: usize = text.split("content-length: ").nth(1)?.lines().next()?.parse().ok()?;
    let mut rest = vec![0; (head + length).saturating_sub(read.len())];
    stream.read_exact(&mut rest).ok()?;
    read.append(&mut rest);
    Some(read)
}

// === hosts that say exactly what they are told, and further ways to read ===

/// A host on loopback that serves each connection on a thread of its own by `serve`, until the process ends.
pub fn host(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> SocketAddr {
    provider(move |_, stream| serve(stream))
}

/// Reads a request's head off a connection, byte by byte; empty when the connection ends before.
pub fn read_head_only(stream: &mut TcpStream) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if !matches!(stream.read(&mut byte), Ok(1)) {
            return String::new();
        }
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("a head in ASCII")
}

impl Rig {
    /// The usual routes, but the plain host is at `plain`.
    pub fn with_plain_host(plain: SocketAddr, spec: &str) -> Rig {
        let simulator = Simulator::start(Script::default()).expect("the simulator starts");
        let to = format!("http://{}", simulator.addr());
        let overrides = Overrides {
            hosts: vec![
                ("api.anthropic.com".to_owned(), to.clone()),
                ("api.openai.com".to_owned(), to),
                ("plain.example".to_owned(), format!("http://{plain}")),
            ],
            listeners: vec![(8080, "127.0.0.1:0".to_owned())],
            admin: Some("none".to_owned()),
            ..Overrides::default()
        };
        let texts = [("manifests.yaml", &*manifests("")), ("settings.yaml", &settings(spec))];
        let gateway = gateway(&texts, overrides);
        let address = gateway.addresses[0];
        Rig { simulator, gateway: Some(gateway), address }
    }

    /// The sum of a counter over all workers.
    pub fn count(&self, counter: impl Fn(&tollgate::telemetry::Counters) -> u64) -> u64 {
        self.gateway().board.desks.iter().map(|desk| counter(&desk.counters)).sum()
    }

    /// Waits until no client is connected and nothing is in flight.
    pub fn at_rest(&self) {
        until("all connections of clients are gone", || {
            self.count(|c| c.connections_open.get()) == 0 && self.count(|c| c.requests_in_flight.get()) == 0
        });
    }
}

impl Client {
    /// Reads an answer to HEAD: it has a head alone, whatever length that states.
    pub fn answer_to_head(&mut self) -> Answer {
        while !self.buf.windows(4).any(|four| four == b"\r\n\r\n") && self.fill() {}
        let end = self.buf.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        let head = String::from_utf8(self.buf.drain(..end).collect()).expect("a head in ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let field = |line: &str| line.split_once(':').map(|(n, v)| (n.to_owned(), v.trim().to_owned()));
        let status = status.parse().expect("a number");
        Answer { status, headers: lines.filter_map(field).collect(), complete: true, ..Answer::default() }
    }

    /// What has come so far and was not read as an answer.
    pub fn unread(&self) -> &[u8] {
        &self.buf
    }
}

// === more of the rig ===

/// No records, two workers that share the machine with the test.
const QUIET: &str = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n";

impl Rig {
    /// The usual rig with more settings: `spec` as in [`settings`], beside no records and two workers.
    pub fn start_set(script: Script, policies: &str, spec: &str) -> Rig {
        Rig::start_with(script, &manifests(policies), &settings(&format!("{QUIET}{spec}")))
    }

    /// The same, but every provider is at `provider` instead of being the simulator.
    pub fn start_towards(provider: SocketAddr, policies: &str, spec: &str) -> Rig {
        let simulator = Simulator::start(Script::default()).expect("the simulator starts");
        Rig::assemble(simulator, provider, &manifests(policies), &settings(&format!("{QUIET}{spec}")))
    }

    /// Asserts that a stream that would go on for longer was ended as its format says that one ends at its length, by the one
    /// limit that is in force, of so many tokens: where that runs out, or a few events beyond, however much came with one read.
    pub fn assert_cut(&self, route: super::Route, answer: &super::Answer, tokens: i64) {
        assert_eq!((answer.status, answer.complete), (200, true), "{}", route.path);
        let said = route.read(answer);
        let length = if route.openai_client { "length" } else { "max_tokens" };
        assert_eq!((&*said.finish, said.error, said.done), (length, None, true), "{}", answer.text());
        let usage = said.usage.expect("the usage is told");
        let text = said.text.len() as u64 / 4;
        assert!((500..1_100).contains(&text), "{}: {text}", route.path);
        // Of a translated stream, an event that had come in part is counted and not passed: 40 bytes of text.
        assert!(usage[3].abs_diff(text) <= 12, "{}: {usage:?} {text}", route.path);
        assert_eq!((self.ended(tollgate::telemetry::Outcome::LimitCut), self.totals().streams_cut), (1, 1));
        let settled = self.settled();
        assert_eq!(settled.output, usage[3], "{}", route.path);
        assert_eq!(self.balance(0), tokens - (settled.input + settled.output) as i64, "{}", route.path);
        until("the provider was left", || self.simulator.ledger().client_gone == 1);
    }

    /// Everything that the workers count, summed, once nothing is in flight.
    pub fn totals(&self) -> tollgate::telemetry::Totals {
        self.settled();
        let mut totals = tollgate::telemetry::Totals::default();
        self.gateway().board.desks.iter().for_each(|desk| totals.add(&desk.counters));
        totals
    }

    /// How many exchanges ended so.
    pub fn ended(&self, outcome: tollgate::telemetry::Outcome) -> u64 {
        self.totals().outcomes[outcome as usize]
    }
}

/// Reads of an answer until `text` has come.
pub fn read_to(client: &mut Client, text: &str) {
    let mut have = 0;
    loop {
        let bytes = client.fill_to(have + 1);
        assert!(bytes.len() > have, "the answer ended: {}", String::from_utf8_lossy(bytes));
        have = bytes.len();
        if bytes.windows(text.len()).any(|window| window == text.as_bytes()) {
            return;
        }
    }
}
