//! HTTPS listeners: real handshakes by real sockets, and behind them the same exchanges as in the clear.

#[path = "support/front.rs"]
mod front;
mod support;

use front::{Authority, Identity};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::process::{Process, directory, tollgate};
use support::{Client, ROUTES, Rig, chat, manifests, secure, settings, until};
use tollgate::telemetry::{Counters, Outcome};
use tollgate_loadtest::{Count, Ending, Fault, Framing, Reply, Script};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Two workers that share the machine with the test.
const QUIET: &str = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n  timeouts: {drain: 1s}";

/// The plainest way to write base64.
fn base64(text: &str) -> String {
    const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |chunk: &[u8]| {
        let bits = (0..3).fold(0u32, |bits, i| bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        let digit = |i: usize| DIGITS[(bits >> (18 - 6 * i) & 63) as usize] as char;
        (0..4).map(|i| if i <= chunk.len() { digit(i) } else { '=' }).collect::<String>()
    };
    text.as_bytes().chunks(3).map(group).collect()
}

/// A Secret with this certificate, as `kubectl create secret tls` writes it.
fn secret(name: &str, identity: &Identity) -> String {
    format!(
        "---\napiVersion: v1\nkind: Secret\ntype: kubernetes.io/tls\nmetadata: {{name: {name}, namespace: llm}}\n\
         data: {{tls.crt: {}, tls.key: {}}}\n",
        base64(&identity.pem()),
        base64(&identity.key_pem())
    )
}

/// A listener on the usual port; `hostname` is empty or `hostname: HOST, `.
fn listener(name: &str, hostname: &str, secrets: &str) -> String {
    format!("{{name: {name}, protocol: HTTPS, port: 8080, {hostname}tls: {{certificateRefs: [{secrets}]}}}}")
}

/// The usual manifests with these listeners instead of the one in the clear.
fn behind(listeners: &[String], more: &str) -> String {
    let plain = "{name: http, protocol: HTTP, port: 8080}";
    let usual = manifests(more);
    assert!(usual.contains(plain));
    usual.replace(plain, &listeners.join(", "))
}

/// The usual rig behind one certificate, and a client's configuration that trusts it.
fn rig(script: Script, settings_spec: &str) -> (Rig, Authority) {
    let authority = Authority::new();
    let listeners = [listener("https", "", "{name: crt}")];
    let certificate = secret("crt", &authority.identity("gateway.test", 2020, 2100));
    let rig = Rig::start_with(script, &behind(&listeners, &certificate), &settings(settings_spec));
    (rig, authority)
}

fn trusting(authority: &Authority) -> Arc<ClientConfig> {
    secure::config(&authority.pem(), &VERSIONS)
}

fn connect(rig: &Rig, config: &Arc<ClientConfig>) -> Client {
    Client::secure(rig.address, "gateway.test", config).expect("a handshake")
}

fn count(rig: &Rig, read: impl Fn(&Counters) -> u64) -> u64 {
    rig.gateway().board.desks.iter().map(|desk| read(&desk.counters)).sum()
}

/// Full, resumed, failed, turned away.
fn handshakes(rig: &Rig) -> [u64; 4] {
    [
        count(rig, |c| c.handshakes_full.get()),
        count(rig, |c| c.handshakes_resumed.get()),
        count(rig, |c| c.handshakes_failed.get()),
        count(rig, |c| c.handshakes_turned_away.get()),
    ]
}

/// What a raw connection reads to its end.
fn read_all(mut socket: &TcpStream) -> Vec<u8> {
    socket.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let mut all = Vec::new();
    if let Err(error) = socket.read_to_end(&mut all) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    all
}

// === exchanges ===

#[test]
fn requests_are_answered_and_settled_as_in_the_clear() {
    let script = Script { input_tokens: Count::Fixed(70), output_tokens: 31, ..Script::default() };
    let plain = Rig::start(script.clone(), "");
    let (tls, authority) = rig(script, QUIET);
    for version in VERSIONS {
        let config = secure::config(&authority.pem(), &[version]);
        let (mut clear, mut client) = (plain.client(), connect(&tls, &config));
        assert_eq!(client.session().tls.protocol_version(), Some(version.version));
        assert_eq!(client.session().tls.alpn_protocol(), Some(&b"http/1.1"[..]), "though it likes h2 better");
        for route in ROUTES {
            for stream in [false, true] {
                let body = route.body("gpt-5", stream);
                let (theirs, ours) = (clear.ask(route.path, "", &body), client.ask(route.path, "", &body));
                assert!(ours.status == 200 && ours.complete, "{}", ours.text());
                let (mut theirs, mut ours) = (route.read(&theirs), route.read(&ours));
                // The simulator numbers its answers.
                [&mut theirs, &mut ours].into_iter().for_each(|said| said.text.clear());
                assert_eq!(theirs, ours, "{} {stream}", route.path);
            }
        }
        let text = "y".repeat(3 << 20);
        assert_eq!(client.ask("/plain/echo", "", &text).status, 200);
        assert_eq!(clear.ask("/plain/echo", "", &text).status, 200);
    }
    assert_eq!(plain.settled(), tls.settled());
    plain.assert_ledgers_agree();
    tls.assert_ledgers_agree();
    assert_eq!(tls.ended(Outcome::Completed), plain.ended(Outcome::Completed));
    assert_eq!(handshakes(&tls), [2, 0, 0, 0]);
}

#[test]
fn large_bodies_pass_both_ways() {
    let text = "0123456789".repeat(500_000);
    let script = Script { chunks: 2_500, chunk_bytes: 2_000, ..Script::default() };
    let (rig, authority) = rig(script, QUIET);
    for version in VERSIONS {
        let mut client = connect(&rig, &secure::config(&authority.pem(), &[version]));
        // Sizes about the edges of records and of what is encrypted at a time.
        for bytes in [8 << 20, (64 << 10) - 200, 64 << 10, 16 << 10, (16 << 10) + 1, 1] {
            let body = chat(&"x".repeat(bytes), false);
            assert_eq!(client.ask("/openai", "", &body).status, 200, "{bytes}");
            assert_eq!(rig.simulator.requests().last().map(|seen| seen.body.len()), Some(body.len()));
        }
        let stream = client.ask("/openai", "", &chat("gpt-5", true));
        assert!(stream.complete && stream.body.len() > 5_000_000, "{}", stream.body.len());
        rig.simulator.set_script(Script { reply: Reply::Text(text.clone()), ..Script::default() });
        let whole = client.ask("/anthropic", "", &chat("gpt-5", false));
        assert_eq!(whole.json()["choices"][0]["message"]["content"], text);
        rig.simulator.set_script(Script { chunks: 2_500, chunk_bytes: 2_000, ..Script::default() });
    }
    rig.assert_ledgers_agree();
}

#[test]
fn requests_that_come_together_are_answered_in_order() {
    let (rig, authority) = rig(Script::default(), QUIET);
    let config = trusting(&authority);
    let mut client = connect(&rig, &config);
    for models in [["a", "b", "c"], ["d", "e", "f"]] {
        let one = |model: &str| {
            let body = chat(model, false);
            format!("POST /openai HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        client.write(models.map(one).concat());
        for model in models {
            assert_eq!(client.answer().json()["model"], model);
        }
    }
}

#[test]
fn a_handshake_comes_in_any_pieces() {
    let (rig, authority) = rig(Script::default(), QUIET);
    let config = trusting(&authority);
    for bytewise in [false, true] {
        let mut client = Client::connect(rig.address);
        let mut tls =
            rustls::ClientConnection::new(config.clone(), "gateway.test".try_into().expect("a name"))
                .expect("a session");
        let say = |tls: &mut rustls::ClientConnection, client: &mut Client| {
            let mut bytes = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut bytes).expect("memory");
            }
            match bytewise {
                true => bytes.iter().for_each(|byte| client.write([*byte])),
                false => client.write(bytes),
            }
        };
        say(&mut tls, &mut client);
        while tls.is_handshaking() {
            tls.read_tls(&mut client.stream).expect("it answers");
            tls.process_new_packets().expect("sound records");
        }
        // The last words of the handshake, and the first request, in one packet.
        let body = chat("first", false);
        let request =
            format!("POST /openai HTTP/1.1\r\nContent-Length: {}\r\nHost: x\r\n\r\n{body}", body.len());
        tls.writer().write_all(request.as_bytes()).expect("room");
        say(&mut tls, &mut client);
        let mut client = client.over(tls);
        assert_eq!(client.answer().json()["model"], "first", "{bytewise}");
        assert_eq!(client.ask("/openai", "", &chat("second", false)).json()["model"], "second");
    }
}

#[test]
fn the_host_behind_is_told_the_scheme_and_redirects_keep_it() {
    let redirect = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: moved, namespace: llm}\n\
                    spec:\n  parentRefs: [{name: edge}]\n  rules:\n  - matches: [{path: {value: /moved}}]\n    \
                    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}}}]\n";
    let authority = Authority::new();
    let more = secret("crt", &authority.identity("gateway.test", 2020, 2100)) + redirect;
    let listeners = [listener("https", "", "{name: crt}")];
    let rig = Rig::start_with(Script::default(), &behind(&listeners, &more), &settings(QUIET));
    let mut client = connect(&rig, &trusting(&authority));
    assert_eq!(client.ask("/plain/plain", "X-Forwarded-Proto: http\r\n", "{}").status, 200);
    let seen = rig.simulator.requests();
    assert_eq!(seen.last().and_then(|request| request.header("x-forwarded-proto")), Some("https"));
    let answer = client.ask("/moved", "", "{}");
    assert_eq!((answer.status, answer.header("location")), (302, Some("https://gateway.test:8080/new")));
}

// === names ===

/// A route that redirects to a path that says through which listener it was reached.
fn says(listener: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: at-{listener}, namespace: llm}}\n\
         spec:\n  parentRefs: [{{name: edge, sectionName: {listener}}}]\n  rules:\n  - matches: [{{path: {{value: /who}}}}]\n    \
         filters: [{{type: RequestRedirect, requestRedirect: {{hostname: who, path: {{type: ReplaceFullPath, \
         replaceFullPath: /{listener}}}}}}}]\n"
    )
}

#[test]
fn the_name_chooses_the_listener_its_certificate_and_its_routes() {
    let authority = Authority::new();
    let identity = |name: &str| authority.identity(name, 2020, 2100);
    // Each is told by its certificate; the client looks at the certificate itself.
    let (any, wild, exact, deep) = (
        identity("any.test"),
        identity("*.example.com"),
        identity("a.example.com"),
        identity("*.b.example.com"),
    );
    let listeners = [
        listener("any", "", "{name: any}"),
        listener("wild", "hostname: \"*.example.com\", ", "{name: wild}"),
        listener("exact", "hostname: a.example.com, ", "{name: exact}"),
        listener("deep", "hostname: \"*.b.example.com\", ", "{name: deep}"),
    ];
    let more = [
        secret("any", &any) + &secret("wild", &wild) + &secret("exact", &exact) + &secret("deep", &deep),
        ["any", "wild", "exact", "deep"].map(says).concat(),
    ];
    let rig = Rig::start_with(Script::default(), &behind(&listeners, &more.concat()), &settings(QUIET));
    let careless = secure::careless();
    for (name, host, shown, answered) in [
        ("a.example.com", "a.example.com", &exact, Ok("exact")),
        ("a.example.com", "A.Example.com:8443", &exact, Ok("exact")),
        ("A.EXAMPLE.com", "a.example.com", &exact, Ok("exact")),
        ("x.example.com", "x.example.com", &wild, Ok("wild")),
        ("x.example.com", "y.example.com", &wild, Ok("wild")),
        ("y.x.example.com", "x.example.com", &wild, Ok("wild")),
        ("c.b.example.com", "d.c.b.example.com", &deep, Ok("deep")),
        ("b.example.com", "b.example.com", &wild, Ok("wild")),
        ("example.com", "example.com", &any, Ok("any")),
        ("other.test", "another.test", &any, Ok("any")),
        ("127.0.0.1", "127.0.0.1", &any, Ok("any")), // no name is sent
        // The host is another listener's: nothing of it may be had under this certificate.
        ("a.example.com", "x.example.com", &exact, Err(421)),
        ("x.example.com", "a.example.com", &wild, Err(421)),
        ("x.example.com", "c.b.example.com", &wild, Err(421)),
        ("c.b.example.com", "b.example.com", &deep, Err(421)),
        ("other.test", "a.example.com", &any, Err(421)),
        ("127.0.0.1", "x.example.com", &any, Err(421)),
        ("a.example.com", "other.test", &exact, Err(421)),
    ] {
        let mut client = Client::secure(rig.address, name, &careless).expect("a handshake");
        assert_eq!(client.certificate(), Some(shown.der()), "{name}");
        client.write(format!("GET /who HTTP/1.1\r\nHost: {host}\r\n\r\n"));
        let answer = client.answer();
        let found = match answer.status {
            302 => Ok(answer.header("location").and_then(|at| at.rsplit('/').next()).unwrap_or_default()),
            status => Err(status),
        };
        assert_eq!(found, answered, "{name} {host}: {}", answer.text());
        client.write("GET /who HTTP/1.1\r\nHost: nowhere.test\r\n\r\n");
        assert!(matches!(client.answer().status, 302 | 421), "the connection goes on");
    }
}

#[test]
fn a_name_that_nobody_has_is_refused_in_the_handshake() {
    let authority = Authority::new();
    let listeners = [listener("https", "hostname: \"*.example.com\", ", "{name: crt}")];
    let certificate = secret("crt", &authority.identity("*.example.com", 2020, 2100));
    let rig = Rig::start_with(Script::default(), &behind(&listeners, &certificate), &settings(QUIET));
    for version in VERSIONS {
        let config = secure::config(&authority.pem(), &[version]);
        for name in ["other.test", "example.com", "127.0.0.1"] {
            let refused = Client::secure(rig.address, name, &config).err().expect("a refusal").to_string();
            assert!(refused.contains("UnrecognisedName"), "{name}: {refused}");
        }
        let mut client = Client::secure(rig.address, "a.example.com", &config).expect("a handshake");
        client.write("GET /openai HTTP/1.1\r\nHost: other.test\r\n\r\n");
        assert_eq!(client.answer().status, 404, "no listener of the port has this host");
    }
    until("all are counted", || handshakes(&rig) == [2, 0, 6, 0]);
}

#[test]
fn a_listener_with_several_certificates_shows_the_one_that_is_for_the_name() {
    let authority = Authority::new();
    let names = ["a.test", "b.test", "*.c.test"];
    let identities = names.map(|name| authority.identity(name, 2020, 2100));
    let secrets: String =
        identities.iter().zip(["a", "b", "c"]).map(|(identity, name)| secret(name, identity)).collect();
    let listeners = [listener("https", "", "{name: a}, {name: b}, {kind: Secret, group: \"\", name: c}")];
    let rig = Rig::start_with(Script::default(), &behind(&listeners, &secrets), &settings(QUIET));
    let careless = secure::careless();
    for (name, shown) in [("a.test", 0), ("b.test", 1), ("x.c.test", 2), ("c.test", 0), ("127.0.0.1", 0)] {
        let client = Client::secure(rig.address, name, &careless).expect("a handshake");
        assert_eq!(client.certificate(), Some(identities[shown].der()), "{name}");
    }
}

// === sessions ===

#[test]
fn sessions_are_resumed_on_every_worker() {
    let (rig, authority) = rig(Script::default(), QUIET);
    for version in VERSIONS {
        let config = secure::config(&authority.pem(), &[version]);
        for round in 0..24 {
            let mut client = connect(&rig, &config);
            assert_eq!(client.is_resumed(), round > 0, "{round}");
            assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
        }
    }
    assert_eq!(handshakes(&rig), [2, 46, 0, 0]);
    let by_worker: Vec<u64> =
        rig.gateway().board.desks.iter().map(|desk| desk.counters.handshakes_resumed.get()).collect();
    assert!(by_worker.iter().all(|resumed| *resumed > 0), "{by_worker:?}");
    let strangers = secure::config(&authority.pem(), &VERSIONS);
    assert!(!connect(&rig, &strangers).is_resumed());
}

#[test]
fn another_certificate_after_a_reload_is_for_new_connections() {
    let authority = Authority::new();
    let (old, new) =
        (authority.identity("gateway.test", 2020, 2100), authority.identity("gateway.test", 2020, 2099));
    let listeners = [listener("https", "", "{name: crt}")];
    let text = |identity: &Identity| behind(&listeners, &secret("crt", identity));
    let simulator = tollgate_loadtest::Simulator::start(Script::default()).expect("a simulator");
    let hosts = ["api.anthropic.com", "api.openai.com", "plain.example"];
    let to = simulator.addr();
    let over: String =
        hosts.iter().map(|host| format!("  - {{host: {host}, to: \"http://{to}\"}}\n")).collect();
    let folder = directory("tls-reload");
    let spec = format!(
        "  admin: {{address: none}}\n  workers: {{cores: 2, pin: false}}\n  listenerOverrides: [{{port: 8080, address: \
         \"127.0.0.1:0\"}}]\n  hostOverrides:\n{over}"
    );
    std::fs::write(folder.join("1.yaml"), text(&old)).expect("a file");
    std::fs::write(folder.join("2.yaml"), settings(&spec)).expect("a file");
    let (mut process, address) = Process::serve(&mut tollgate(&["run", folder.to_str().expect("a path")]));
    let config = trusting(&authority);
    let open = || Client::secure(address, "gateway.test", &config).expect("a handshake");

    let mut before = open();
    assert_eq!(before.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    // Each answer brings new tickets; a client uses each once.
    let goes_on = || {
        let mut client = open();
        client.ask("/openai", "", &chat("gpt-5", false)).status == 200 && client.is_resumed()
    };
    assert!(goes_on());
    // A reload that changes nothing about certificates keeps sessions.
    process.signal("HUP");
    process.says("configuration 2 is in force");
    until("both workers serve it", || (0..8).all(|_| goes_on()));
    std::fs::write(folder.join("1.yaml"), text(&new)).expect("a file");
    process.signal("HUP");
    process.says("configuration 3 is in force");
    // The first connections may still meet a worker that has not heard of it.
    until("new connections see the new one", || {
        (0..8).all(|_| {
            let mut client = open();
            let served = client.ask("/openai", "", &chat("gpt-5", false)).status == 200;
            served && client.certificate() == Some(new.der())
        })
    });
    assert_eq!(before.ask("/openai", "", &chat("gpt-5", true)).status, 200, "open ones go on");
    assert_eq!(before.certificate(), Some(old.der()));
    // One that cannot be is told, and changes nothing.
    let broken = text(&new).replace(&base64(&new.key_pem()), &base64(&old.key_pem()));
    std::fs::write(folder.join("1.yaml"), broken).expect("a file");
    process.signal("HUP");
    process.says("is not the key of the first certificate");
    assert_eq!(open().certificate(), Some(new.der()));

    process.signal("TERM");
    drop(before);
    let ended = process.end();
    let said = ended.stdout + &ended.stderr;
    for key in [old.key_pem(), new.key_pem()] {
        let line = key.lines().nth(1).expect("a line of the key");
        let encoded = base64(&key);
        assert!(!said.contains(&line[20..40]) && !said.contains(&encoded[80..120]), "{said}");
    }
}

// === ends and faults ===

#[test]
fn a_connection_ends_with_a_goodbye_unless_its_answer_was_cut() {
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s, idle: 1s}";
    let (mut rig, authority) = rig(Script::default(), spec);
    let config = trusting(&authority);
    let asked = |headers: &str| {
        let mut client = connect(&rig, &config);
        assert_eq!(client.ask("/openai", headers, &chat("gpt-5", false)).status, 200);
        client
    };
    assert!(asked("Connection: close\r\n").ends_with_goodbye());
    assert!(asked("").ends_with_goodbye(), "idle for too long");
    let mut silent = connect(&rig, &config);
    assert!(silent.ends_with_goodbye(), "never a request");
    let mut malformed = connect(&rig, &config);
    malformed.write("nonsense\r\n\r\n");
    assert_eq!(malformed.answer().status, 400);
    assert!(malformed.ends_with_goodbye());

    // To an HTTP/1.0 client the end of the connection is the end of the answer.
    let old = |rig: &Rig, path: &str| {
        let (mut client, body) = (connect(rig, &config), chat("gpt-5", true));
        client.write(format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len()));
        assert_eq!(client.answer().status, 200);
        client.ends_with_goodbye()
    };
    rig.simulator.set_script(Script { framing: Framing::CloseDelimited, ..Script::default() });
    assert!(old(&rig, "/openai") && old(&rig, "/plain/plain"));
    rig.simulator.set_script(Script {
        chunks: 50,
        fault: Fault::CutAfterChunks(3, Ending::Fin),
        ..Script::default()
    });
    assert!(!old(&rig, "/openai"), "half an answer must not look whole");

    rig.simulator.set_script(Script::default());
    let mut idle = asked("");
    rig.gateway().stop();
    assert!(idle.ends_with_goodbye(), "the worker drains");
    rig.gateway.take().expect("it runs").join().expect("an orderly end");
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let script = Script { chunks: 2_000, chunk_gap: Duration::from_millis(10), ..Script::default() };
    let (rig, authority) = rig(script, QUIET);
    let mut client = connect(&rig, &trusting(&authority));
    client.post("/openai", "", &chat("gpt-5", true));
    client.fill_to(1);
    client.stream.shutdown(Shutdown::Write).expect("half closed");
    until("the provider sees that nobody wants it", || rig.simulator.ledger().client_gone == 1);
    assert_eq!(rig.ended(Outcome::ClientGone), 1);
}

#[test]
fn http_in_the_clear_is_told_so() {
    let (rig, _) = rig(Script::default(), QUIET);
    for request in [
        "GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n".to_owned(),
        format!("POST /openai HTTP/1.1\r\nContent-Length: 900000\r\n\r\n{}", "x".repeat(900_000)),
        "G".to_owned(),
    ] {
        let mut client = Client::connect(rig.address);
        client.write(&request);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")));
        assert!(answer.text().contains("https://"), "{}", answer.text());
        client.stream.shutdown(Shutdown::Write).expect("half closed");
        assert!(client.is_over());
    }
    until("each has failed", || handshakes(&rig) == [0, 0, 3, 0]);
    assert_eq!(rig.simulator.ledger().requests, 0);
}

#[test]
fn what_is_no_handshake_ends_soon() {
    let (rig, authority) = rig(Script::default(), &QUIET.replace("drain: 1s", "drain: 1s, handshake: 300ms"));
    let hello = hello(&trusting(&authority));
    let cases: [(&str, Vec<u8>); 8] = [
        ("nothing", Vec::new()),
        ("garbage", vec![0xff; 300]),
        ("zeros", vec![0; 300]),
        ("a record that is too long", [22, 3, 1, 0xff, 0xff].into_iter().chain([7; 900]).collect()),
        ("a record that never comes", vec![22, 3, 1, 0x20, 0]),
        ("half a hello", hello[..hello.len() / 2].to_vec()),
        ("a hello and no more", hello.clone()),
        ("a hello and garbage", [hello.as_slice(), &[0xff; 300]].concat()),
    ];
    let began = Instant::now();
    let open: Vec<(&str, TcpStream)> = cases
        .into_iter()
        .map(|(case, bytes)| {
            let mut socket = TcpStream::connect(rig.address).expect("it listens");
            socket.write_all(&bytes).expect("it reads");
            (case, socket)
        })
        .collect();
    for (case, socket) in &open {
        read_all(socket);
        assert!(began.elapsed() < Duration::from_secs(5), "{case}");
    }
    until("all have failed", || handshakes(&rig) == [0, 0, 8, 0]);
    assert_eq!(count(&rig, |c| c.handshakes_open.get()), 0);
    // One that leaves in the middle.
    drop(TcpStream::connect(rig.address).expect("it listens"));
    until("that is seen too", || handshakes(&rig) == [0, 0, 9, 0]);
    assert_eq!(connect(&rig, &trusting(&authority)).ask("/openai", "", &chat("gpt-5", false)).status, 200);
}

/// The first bytes of a client.
fn hello(config: &Arc<ClientConfig>) -> Vec<u8> {
    let name = "gateway.test".try_into().expect("a name");
    let mut tls = rustls::ClientConnection::new(config.clone(), name).expect("a session");
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).expect("memory");
    }
    bytes
}

#[test]
fn a_session_that_breaks_ends() {
    let (rig, authority) = rig(Script::default(), QUIET);
    for version in VERSIONS {
        let mut client = connect(&rig, &secure::config(&authority.pem(), &[version]));
        assert_eq!(client.ask("/openai", "", &chat("gpt-5", false)).status, 200);
        client
            .stream
            .write_all(&[23, 3, 3, 0, 40].into_iter().chain([9; 40]).collect::<Vec<u8>>())
            .expect("it reads");
        assert!(!client.fill(), "nobody is answered who was not understood");
    }
}

#[test]
fn handshakes_under_way_are_bounded() {
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  connections: {handshakesPerWorker: 2}\n  \
                timeouts: {drain: 1s, handshake: 10s}";
    let (rig, authority) = rig(Script::default(), spec);
    let config = trusting(&authority);
    let mut served = connect(&rig, &config);
    assert_eq!(served.ask("/openai", "", &chat("gpt-5", false)).status, 200);
    let slow: Vec<TcpStream> = (0..2).map(|_| TcpStream::connect(rig.address).expect("it listens")).collect();
    until("both are under way", || count(&rig, |c| c.handshakes_open.get()) == 2);
    for _ in 0..3 {
        let began = Instant::now();
        assert!(read_all(&TcpStream::connect(rig.address).expect("it listens")).is_empty());
        assert!(began.elapsed() < Duration::from_secs(5), "at once");
    }
    assert_eq!(handshakes(&rig), [1, 0, 0, 3]);
    assert_eq!(served.ask("/openai", "", &chat("gpt-5", false)).status, 200, "who is in is served");
    drop(slow);
    until("they have gone", || count(&rig, |c| c.handshakes_open.get()) == 0);
    assert_eq!(connect(&rig, &config).ask("/openai", "", &chat("gpt-5", false)).status, 200);
}

// === the example ===

/// `config/https.yaml` as it stands, with a certificate from the environment.
#[test]
fn the_example_of_https_is_served() {
    let authority = Authority::new();
    let identity = authority.identity("gateway.example.com", 2020, 2100);
    let at = |port: u16| format!("{port}=127.0.0.1:0");
    let mut command =
        tollgate(&["run", "config/https.yaml", "--listen", &at(80), "--listen", &at(443), "--admin", "none"]);
    command.env("GATEWAY_CRT", identity.pem()).env("GATEWAY_KEY", identity.key_pem());
    command.env("ANTHROPIC_API_KEY", "sk-ant-test").current_dir(env!("CARGO_MANIFEST_DIR"));
    let mut process = Process::start(&mut command);
    let address = |line: String| -> SocketAddr {
        line.rsplit("://").next().and_then(|at| at.trim().parse().ok()).unwrap_or_else(|| panic!("{line}"))
    };
    let plain = address(process.says("got the port of http://"));
    let https = address(process.says("got the port of https://"));
    let mut clear = Client::connect(plain);
    clear.write("GET /x?y HTTP/1.1\r\nHost: gateway.example.com\r\n\r\n");
    let answer = clear.answer();
    assert_eq!((answer.status, answer.header("location")), (301, Some("https://gateway.example.com/x?y")));
    let config = secure::config(&authority.pem(), &VERSIONS);
    let mut client = Client::secure(https, "gateway.example.com", &config).expect("a handshake");
    client.write("GET /v1/chat/completions HTTP/1.1\r\nHost: gateway.example.com\r\n\r\n");
    assert_eq!(client.answer().status, 405, "a model is asked by POST");
    assert!(Client::secure(https, "other.example.com", &config).is_err());
}
