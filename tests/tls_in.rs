//! HTTPS listeners: real handshakes by real sockets, and behind them the same exchanges as in the clear.

#[path = "support/front.rs"]
mod front;
mod support;

#[path = "tls_in/clients.rs"]
mod clients;
#[path = "tls_in/ends.rs"]
mod ends;
#[path = "tls_in/names.rs"]
mod names;
#[path = "tls_in/sessions.rs"]
mod sessions;

use front::{Authority, Identity};
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, SupportedProtocolVersion};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use support::process::{Process, directory, tollgate};
use support::{Client, ROUTES, Rig, chat, manifests, secure, settings, until};
use tollgate::telemetry::{Counters, Outcome};
use tollgate_loadtest::{Count, Ending, Fault, Framing, Reply, Script, Simulator};

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

/// A process that serves these manifests from a folder: a reload is another text in its `1.yaml`, and SIGHUP.
fn served(name: &str, text: &str) -> (Simulator, PathBuf, Process, SocketAddr) {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let hosts = ["api.anthropic.com", "api.openai.com", "plain.example"];
    let to = simulator.addr();
    let over: String =
        hosts.iter().map(|host| format!("  - {{host: {host}, to: \"http://{to}\"}}\n")).collect();
    let folder = directory(name);
    let spec = format!(
        "  admin: {{address: none}}\n  workers: {{cores: 2, pin: false}}\n  listenerOverrides: [{{port: 8080, address: \
         \"127.0.0.1:0\"}}]\n  hostOverrides:\n{over}"
    );
    std::fs::write(folder.join("1.yaml"), text).expect("a file");
    std::fs::write(folder.join("2.yaml"), settings(&spec)).expect("a file");
    let (process, address) = Process::serve(&mut tollgate(&["run", folder.to_str().expect("a path")]));
    (simulator, folder, process, address)
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
