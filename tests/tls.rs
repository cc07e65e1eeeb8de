//! TLS to providers: certificates, sizes, ends, and never a word in the clear.

#[path = "support/front.rs"]
mod front;
#[path = "tls/own.rs"]
mod own;
mod support;

use front::{Authority, Front, Identity, Manner, Seen};
use rustls::ProtocolVersion;
use std::net::SocketAddr;
use std::time::Duration;
use support::process::directory;
use support::{Answer, Client, chat, gateway, manifests, message, settings, until};
use tollgate::app::gateway::Gateway;
use tollgate::config::Overrides;
use tollgate::telemetry::{Outcome, Totals};
use tollgate_loadtest::{Count, Fault, Framing, Reply, Script, Simulator};

/// A TLS handshake's first byte (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 22;

/// A gateway, a TLS server, and the simulator behind that.
struct Rig {
    simulator: Simulator,
    front: Front,
    gateway: Option<Gateway>,
    address: SocketAddr,
}

impl Rig {
    /// With a certificate that verifies.
    fn start(script: Script, manner: Manner) -> Rig {
        Rig::with(script, manner, rustls::ALL_VERSIONS, |authority| {
            authority.identity("localhost", 2020, 2100)
        })
    }

    fn with(
        script: Script,
        manner: Manner,
        versions: &[&'static rustls::SupportedProtocolVersion],
        identity: impl FnOnce(&Authority) -> Identity,
    ) -> Rig {
        let trusted = Authority::new();
        let simulator = Simulator::start(script).expect("a simulator");
        let front = Front::of_versions(&identity(&trusted), simulator.addr(), manner, versions);
        let to = format!("https://localhost:{}", front.address.port());
        Rig::to(simulator, front, &to, &trusted)
    }

    fn to(simulator: Simulator, front: Front, to: &str, trusted: &Authority) -> Rig {
        let hosts = ["api.anthropic.com", "api.openai.com", "plain.example"];
        let hosts = hosts.iter().map(|host| ((*host).to_owned(), to.to_owned())).collect();
        Rig::serving(simulator, front, (&manifests(""), hosts), trusted)
    }

    /// With these manifests and overrides of hosts.
    fn serving(
        simulator: Simulator,
        front: Front,
        (manifests, hosts): (&str, Vec<(String, String)>),
        trusted: &Authority,
    ) -> Rig {
        static NUMBER: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let roots = directory(&format!("tls-{number}")).join("ca.pem");
        std::fs::write(&roots, trusted.pem()).expect("a file");
        let overrides = Overrides {
            hosts,
            listeners: vec![(8080, "127.0.0.1:0".to_owned()), (8081, "127.0.0.1:0".to_owned())],
            roots: vec![roots.display().to_string()],
            admin: Some("none".to_owned()),
        };
        let quiet = settings(
            "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {handshake: 300ms, drain: 1s}",
        );
        let gateway = gateway(&[("manifests.yaml", manifests), ("settings.yaml", &quiet)], overrides);
        let address = gateway.addresses[0];
        Rig { simulator, front, gateway: Some(gateway), address }
    }

    /// By the listener of port 8081, if there is one.
    fn ask_beside(&self, path: &str, body: &str) -> Answer {
        let address = self.gateway.as_ref().expect("it runs").addresses[1];
        Client::connect(address).ask(path, "", body)
    }

    fn ask(&self, path: &str, body: &str) -> Answer {
        Client::connect(self.address).ask(path, "", body)
    }

    fn seen(&self) -> Vec<Seen> {
        self.front.seen()
    }

    fn count(&self, read: impl Fn(&tollgate::telemetry::Counters) -> u64) -> u64 {
        self.gateway.as_ref().expect("it runs").board.desks.iter().map(|desk| read(&desk.counters)).sum()
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let everything_is_tls = self.seen().iter().all(|seen| seen.first_byte == Some(HANDSHAKE));
        assert!(std::thread::panicking() || everything_is_tls, "{:?}", self.seen());
        if let Some(gateway) = self.gateway.take() {
            gateway.stop();
            gateway.stop();
            gateway.join().ok();
        }
    }
}

/// A chat request with so many bytes of text.
fn large(bytes: usize, stream: bool) -> String {
    format!(
        r#"{{"model":"gpt-5","messages":[{{"role":"user","content":"{}"}}],"stream":{stream}}}"#,
        "x".repeat(bytes)
    )
}

// === what works ===

#[test]
fn the_name_is_sent_http_1_is_agreed_on_and_the_connection_is_used_again() {
    let rig = Rig::start(Script { input_tokens: Count::Fixed(7), ..Script::default() }, Manner::Polite);
    let mut client = Client::connect(rig.address);
    for path in ["/openai", "/anthropic", "/openai", "/anthropic"] {
        for stream in [false, true] {
            let answer = client.ask(path, "", &chat("gpt-5", stream));
            assert!(answer.status == 200 && answer.complete, "{path}: {}", answer.text());
        }
    }
    assert_eq!(client.ask("/messages", "", &message("claude-haiku-4-5", true)).status, 200);
    let seen = rig.seen();
    assert_eq!(seen.len(), 1, "one connection for all: {seen:?}");
    assert_eq!(seen[0].name.as_deref(), Some("localhost"));
    assert_eq!(seen[0].alpn.as_deref(), Some("http/1.1"), "though the server likes h2 better");
    assert_eq!(seen[0].version, Some(ProtocolVersion::TLSv1_3));
    assert_eq!((rig.count(|c| c.upstream_connects.get()), rig.count(|c| c.upstream_reuses.get())), (1, 8));
    let host = format!("localhost:{}", rig.front.address.port());
    assert!(rig.simulator.requests().iter().all(|request| request.header("host") == Some(&host)));
}

#[test]
fn a_server_of_tls_1_2_will_do() {
    let identity = |authority: &Authority| authority.identity("localhost", 2020, 2100);
    let rig = Rig::with(Script::default(), Manner::Polite, &[&rustls::version::TLS12], identity);
    let mut client = Client::connect(rig.address);
    for stream in [false, true, false] {
        assert_eq!(client.ask("/openai", "", &chat("gpt-5", stream)).status, 200);
    }
    let seen = rig.seen();
    assert_eq!((seen.len(), seen[0].version), (1, Some(ProtocolVersion::TLSv1_2)));
    assert_eq!(seen[0].alpn.as_deref(), Some("http/1.1"));
}

#[test]
fn an_address_is_verified_as_an_address_and_not_sent_as_a_name() {
    let trusted = Authority::new();
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let identity = trusted.identity("127.0.0.1", 2020, 2100);
    let front = Front::start(&identity, simulator.addr(), Manner::Polite);
    let to = format!("https://{}", front.address);
    let rig = Rig::to(simulator, front, &to, &trusted);
    assert_eq!(rig.ask("/openai", &chat("gpt-5", false)).status, 200);
    assert_eq!(rig.seen()[0].name, None, "RFC 6066 section 3: no literal addresses");
}

#[test]
fn five_megabytes_come_back_whole_and_as_a_stream() {
    let script = Script { chunks: 2_500, chunk_bytes: 2_000, ..Script::default() };
    let text = "0123456789".repeat(500_000);
    for manner in [Manner::Polite, Manner::Rekey] {
        let rig = Rig::start(script.clone(), manner);
        for path in ["/openai", "/anthropic"] {
            let stream = rig.ask(path, &chat("gpt-5", true));
            assert!(stream.complete && stream.body.len() > 5_000_000, "{path}: {}", stream.body.len());
            assert_eq!(stream.events().last().map(String::as_str), Some("[DONE]"));
            assert!(stream.events().iter().filter(|event| event.contains("\"content\"")).count() >= 2_500);
        }
        rig.simulator.set_script(Script { reply: Reply::Text(text.clone()), ..Script::default() });
        for path in ["/openai", "/anthropic"] {
            let whole = rig.ask(path, &chat("gpt-5", false));
            assert_eq!(whole.json()["choices"][0]["message"]["content"], text, "{path}");
        }
        assert_eq!(rig.seen().len(), 1);
    }
}

#[test]
fn eight_megabytes_go_up_unchanged() {
    let rig = Rig::start(Script::default(), Manner::Polite);
    let mut client = Client::connect(rig.address);
    // Sizes about the edges of what is encrypted at a time.
    for bytes in [8 << 20, (64 << 10) - 500, 64 << 10, (128 << 10) - 1, 1] {
        let body = large(bytes, false);
        assert_eq!(client.ask("/openai", "", &body).status, 200, "{bytes}");
        assert!(rig.simulator.requests().last().is_some_and(|seen| seen.body == body.as_bytes()), "{bytes}");
    }
    assert_eq!(client.ask("/anthropic", "", &large(8 << 20, true)).status, 200);
    let before = rig.simulator.ledger().body_bytes_in;
    assert_eq!(client.ask("/plain/echo", "", &"y".repeat(8 << 20)).status, 200);
    assert_eq!(rig.simulator.ledger().body_bytes_in - before, 8 << 20);
    support::assert_clean(&rig.simulator.ledger());
}

#[test]
fn a_provider_that_answers_before_it_has_read_all_is_heard() {
    let rig = Rig::start(Script { fault: Fault::EarlyAnswer, ..Script::default() }, Manner::Polite);
    let answer = rig.ask("/openai", &large(8 << 20, false));
    assert!(matches!(answer.status, 413 | 502), "{}: {}", answer.status, answer.text());
    rig.simulator.set_script(Script::default());
    assert_eq!(rig.ask("/openai", &chat("gpt-5", false)).status, 200);
}

// === what is refused ===

#[test]
fn a_certificate_that_does_not_verify_gets_no_request() {
    type Make = fn(&Authority) -> Identity;
    let cases: [(&str, Make); 4] = [
        ("another authority", |_| Authority::new().identity("localhost", 2020, 2100)),
        ("another name", |authority| authority.identity("api.example", 2020, 2100)),
        ("expired", |authority| authority.identity("localhost", 2020, 2021)),
        ("not valid yet", |authority| authority.identity("localhost", 2098, 2100)),
    ];
    for (case, identity) in cases {
        let rig = Rig::with(Script::default(), Manner::Polite, rustls::ALL_VERSIONS, identity);
        for path in ["/openai", "/messages", "/plain"] {
            let answer = rig.ask(path, &chat("gpt-5", false));
            assert_eq!(answer.status, 503, "{case}: {}", answer.text());
            assert!(answer.text().contains("its certificate does not verify"), "{case}: {}", answer.text());
        }
        let seen = rig.seen();
        assert!(seen.len() == 3 && seen.iter().all(|seen| seen.received == 0), "{case}: {seen:?}");
        until("the server is told why", || rig.seen().iter().all(|seen| seen.fault.is_some()));
        assert_eq!(rig.simulator.ledger().requests, 0, "{case}");
    }
}

#[test]
fn a_handshake_that_does_not_come_about_is_503_with_its_reason() {
    for (manner, reason) in [
        (Manner::Stall, "the TLS handshake took too long"),
        (Manner::HangUp, "during the TLS handshake"),
        (Manner::Plain, "the TLS handshake failed"),
    ] {
        let rig = Rig::start(Script::default(), manner);
        let answer = rig.ask("/openai", &chat("gpt-5", false));
        assert_eq!(answer.status, 503, "{manner:?}: {}", answer.text());
        assert!(answer.text().contains(reason), "{manner:?}: {}", answer.text());
        rig.front.set(Manner::Polite);
        assert_eq!(rig.ask("/openai", &chat("gpt-5", false)).status, 200, "after {manner:?}");
        assert_eq!(rig.simulator.ledger().requests, 1);
    }
}

// === ends ===

#[test]
fn an_answer_with_its_length_is_complete_without_a_goodbye() {
    for fault in [Fault::CloseUnannounced, Fault::CloseAfterResponse] {
        let rig = Rig::start(Script { fault, ..Script::default() }, Manner::Rude);
        let mut client = Client::connect(rig.address);
        for stream in [false, true, false] {
            let answer = client.ask("/openai", "", &chat("gpt-5", stream));
            assert!(answer.status == 200 && answer.complete, "{fault}: {}", answer.text());
            std::thread::sleep(Duration::from_millis(20)); // the close is on its way
        }
        assert_eq!(rig.seen().len(), 3, "a connection that ended is not used again");
    }
}

#[test]
fn an_answer_that_its_end_delimits_is_complete_only_with_a_goodbye() {
    let script = Script { framing: Framing::CloseDelimited, ..Script::default() };
    let rig = Rig::start(script, Manner::Polite);
    for path in ["/openai", "/anthropic", "/plain/plain"] {
        let whole = rig.ask(path, &chat("gpt-5", false));
        assert!(whole.status == 200 && whole.complete, "{path}: {}", whole.text());
    }
    rig.front.set(Manner::Rude);
    for path in ["/openai", "/plain/plain"] {
        let cut = rig.ask(path, &chat("gpt-5", false));
        assert!(!cut.complete, "{path}: somebody between may have cut it: {}", cut.text());
    }
    let cut = rig.ask("/anthropic", &chat("gpt-5", false));
    assert_eq!(cut.status, 502, "{}", cut.text());
}

#[test]
fn an_answer_that_breaks_off_is_cut() {
    let script = Script { chunks: 500, chunk_bytes: 400, ..Script::default() };
    let text = "0123456789".repeat(20_000);
    for manner in [Manner::CutAfter(100_000), Manner::GarbageAfter(100_000), Manner::GoodbyeAfter(100_000)] {
        let rig = Rig::start(script.clone(), manner);
        let stream = rig.ask("/openai", &chat("gpt-5", true));
        assert!(stream.status == 200 && !stream.complete, "{manner:?}");
        rig.simulator.set_script(Script { reply: Reply::Text(text.clone()), ..Script::default() });
        let whole = rig.ask("/openai", &chat("gpt-5", false));
        assert!(whole.status == 200 && !whole.complete, "{manner:?}");
        assert_eq!(rig.ask("/anthropic", &chat("gpt-5", false)).status, 502, "{manner:?}");
        let desks = &rig.gateway.as_ref().expect("it runs").board.desks;
        let mut totals = Totals::default();
        until("all three are recorded", || {
            desks.iter().all(|desk| desk.counters.requests_in_flight.get() == 0)
        });
        desks.iter().for_each(|desk| totals.add(&desk.counters));
        let ended = |outcome: Outcome| totals.outcomes[outcome as usize];
        let (cut, failed) = (ended(Outcome::UpstreamCut), ended(Outcome::UpstreamFailed));
        assert_eq!((cut, failed), (2, 1), "{manner:?}");
        assert_eq!(rig.seen().len(), 3, "{manner:?}");
    }
}

#[test]
fn a_connection_whose_peer_said_goodbye_is_not_used_again() {
    let rig = Rig::start(Script::default(), Manner::Polite);
    let answer = rig.ask("/openai", &chat("gpt-5", false));
    assert_eq!(answer.status, 200);
    // The bytes of one answer: everything that the simulator has sent.
    let bytes = usize::try_from(rig.simulator.ledger().bytes_out).expect("few");
    let other = Rig::start(Script::default(), Manner::GoodbyeAfter(bytes));
    for _ in 0..3 {
        let answer = other.ask("/openai", &chat("gpt-5", false));
        assert!(answer.status == 200 && answer.complete, "{}", answer.text());
        std::thread::sleep(Duration::from_millis(20)); // the goodbye comes behind the answer
    }
    assert_eq!((other.seen().len(), other.count(|c| c.upstream_reuses.get())), (3, 0));
}

#[test]
fn idle_connections_that_the_provider_ends_are_never_handed_out() {
    let script = Script { idle_timeout: Some(Duration::from_millis(30)), ..Script::default() };
    for manner in [Manner::Polite, Manner::Rude] {
        let rig = Rig::start(script.clone(), manner);
        let mut client = Client::connect(rig.address);
        for _ in 0..3 {
            assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200, "{manner:?}");
            std::thread::sleep(Duration::from_millis(120));
        }
        assert_eq!((rig.seen().len(), rig.count(|c| c.retries.get())), (3, 0), "{manner:?}");
    }
}
