//! Connections of clients: how they go on, how long they may take, how they end.

mod support;

use std::io::Write;
use std::net::TcpStream;
use std::sync::{RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use support::{Answer, Client, Rig, bucket, chat, manifests, message, settings, until};
use tollgate_loadtest::Script;

/// Held by every test; alone by the one that counts what the process has open.
static PROCESS: RwLock<()> = RwLock::new(());

fn among_others() -> RwLockReadGuard<'static, ()> {
    PROCESS.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

fn rig_with(spec: &str) -> Rig {
    let spec = format!("  records: {{to: none}}\n{spec}");
    Rig::start_with(Script::default(), &manifests(""), &settings(&spec))
}

fn post(path: &str, headers: &str, body: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")
}

// === one after the other ===

#[test]
fn a_connection_serves_many_requests() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), "");
    let mut client = rig.client();
    for n in 0..60 {
        client.write(get(&format!("/plain/plain?bytes={n}")));
        assert_eq!(client.answer().body.len(), n);
        assert_eq!(client.ask("/openai", "", &chat("gpt-4o", false)).status, 200);
        let streamed = client.ask("/openai", "", &chat("gpt-4o", true));
        assert!(streamed.complete && streamed.events().last().is_some_and(|last| last == "[DONE]"));
        assert_eq!(client.ask("/anthropic", "", &chat("claude", n % 2 == 0)).status, 200);
        client.write(get("/nowhere"));
        assert_eq!(client.answer().status, 404);
    }
    assert_eq!(rig.count(|c| c.connections_accepted.get()), 1);
    assert!(rig.count(|c| c.upstream_reuses.get()) > 200);
    rig.assert_ledgers_agree();
}

#[test]
fn requests_written_at_once_are_answered_in_order() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), &bucket("messages", 1, 1, "1h", "requests"));
    let mut client = rig.client();
    let mut all = post("/messages", "", &message("claude", false));
    for n in 0..50 {
        all += &match n % 5 {
            0 => get(&format!("/plain/plain?bytes={n}")),
            1 => post("/plain/echo", "", &format!("body {n}")),
            2 => post("/openai", "", &chat(&format!("model-{n}"), n % 2 == 0)),
            3 => get("/nowhere"),
            _ => format!(
                "POST /plain/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{n:02}\r\n0\r\n\r\n"
            ),
        };
    }
    all += &post("/messages", "", &message("claude", false));
    all += &post("/openai", "", "{\"no\": JSON}");
    all += &get("/plain/../x");
    all += &get("/plain/plain?bytes=7");
    all += "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    all += &get("/plain/plain?bytes=8");
    client.write(all);

    assert_eq!(client.answer().status, 200);
    for n in 0..50 {
        let got = client.answer();
        match n % 5 {
            0 => assert_eq!((got.status, got.body.len()), (200, n)),
            1 => assert_eq!((got.status, got.text()), (200, format!("body {n}"))),
            2 => assert!(got.status == 200 && got.text().contains(&format!("model-{n}")), "{}", got.text()),
            3 => assert_eq!(got.status, 404),
            _ => assert_eq!((got.status, got.text()), (200, format!("{n:02}"))),
        }
        assert!(got.complete);
    }
    let rest: Vec<u16> = (0..5).map(|_| client.answer().status).collect();
    assert_eq!(rest, [429, 400, 400, 200, 400]);
    assert!(client.is_over(), "what follows a malformed request is not looked at");
    rig.assert_ledgers_agree();
}

#[test]
fn what_is_refused_for_its_content_leaves_the_connection_as_it_is() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), &bucket("messages", 1, 1, "1h", "requests"));
    let mut client = rig.client();
    client.ask("/messages", "", &message("claude", false));
    let rows = [
        (429, post("/messages", "", &message("claude", false))),
        (400, post("/openai", "", "{")),
        (400, post("/openai", "", "")),
        (400, post("/openai", "", "[1, 2")),
        (400, post("/openai", "", "{\"model\": 7}")),
        (
            400,
            "POST /openai HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n\r\n"
                .to_owned(),
        ),
        (405, get("/openai")),
        (405, "DELETE /openai HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (404, get("/nowhere")),
        (404, post("/nowhere", "", "")),
        (404, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned()),
        (400, get("/plain//x")),
    ];
    for (status, request) in rows {
        client.write(&request);
        let got = client.answer();
        assert_eq!((got.status, got.header("connection")), (status, None), "{request}");
        client.write(get("/plain/plain?bytes=3"));
        assert_eq!(client.answer().body.len(), 3, "behind {request}");
    }
    // A body that nobody read ends it.
    client.write(post("/nowhere", "", "hello"));
    let got = client.answer();
    assert_eq!((got.status, got.header("connection")), (404, Some("close")));
    assert!(client.is_over());
}

#[test]
fn clients_decide_whether_a_connection_goes_on() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), "");
    // (version, connection line, does it go on)
    let rows = [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: close\r\n", false),
        ("1.1", "Connection: x-hop, Close\r\n", false),
        ("1.1", "Connection: keep-alive\r\nConnection: close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: keep-alive\r\n", true),
        ("1.0", "Connection: close\r\n", false),
    ];
    for (version, line, goes_on) in rows {
        for target in ["/plain/plain?bytes=5", "/nowhere", "/plain/./x"] {
            let request = format!("GET {target} HTTP/{version}\r\nHost: a\r\n{line}\r\n");
            let mut client = rig.client();
            client.write(&request);
            let got = client.answer();
            let told = match (goes_on, version) {
                (false, _) => Some("close"),
                (true, "1.0") => Some("keep-alive"),
                (true, _) => None,
            };
            assert_eq!(got.header("connection"), told, "{request}");
            if goes_on {
                client.write(&request);
                assert_eq!(client.answer().status, got.status, "{request}");
            } else {
                assert!(client.is_over(), "{request}");
            }
        }
        let mut client = rig.client();
        let request =
            post("/openai", line, &chat("gpt-4o", false)).replace("HTTP/1.1", &format!("HTTP/{version}"));
        client.write(&request);
        let got = client.answer();
        assert!(got.status == 200 && got.complete);
        // Whatever it is told, it must be true.
        match got.header("connection") {
            Some("close") => assert!(client.is_over(), "{request}"),
            told => {
                assert!(goes_on && (version == "1.1" || told == Some("keep-alive")), "{request}: {told:?}");
                client.write(&request);
                assert_eq!(client.answer().status, 200, "{request}");
            }
        }
    }
}

#[test]
fn old_clients_get_streams_that_end_with_the_connection() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), "");
    for path in ["/openai", "/anthropic"] {
        let mut client = rig.client();
        client.write(post(path, "", &chat("m", true)).replace("HTTP/1.1", "HTTP/1.0"));
        let got = client.answer();
        assert_eq!((got.status, got.header("transfer-encoding")), (200, None));
        assert_eq!(got.events().last().map(String::as_str), Some("[DONE]"));
    }
}

// === time ===

#[test]
fn whoever_is_too_slow_is_told_and_whoever_is_idle_is_not() {
    let _shared = among_others();
    let rig =
        rig_with("  workers: {cores: 2, pin: false}\n  timeouts: {head: 200ms, body: 200ms, idle: 200ms}");
    let slow = [
        "G",
        "GET /\r\n",
        "GET /plain/plain HTTP/1.1\r\nHost: a\r\n",
        "\r\n",
        "POST /openai HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        "POST /openai HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{\"model\"",
        "POST /openai HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{ \r\n",
        "POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n",
        "POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhello",
        "POST /plain/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ];
    let mut waiting: Vec<(Client, &str)> = Vec::new();
    for begun in slow {
        let mut client = rig.client();
        client.write(begun);
        waiting.push((client, begun));
    }
    for (mut client, begun) in waiting {
        let got = client.answer();
        assert_eq!((got.status, got.header("connection")), (408, Some("close")), "{begun:?}");
        assert!(client.is_over(), "{begun:?}");
    }
    let mut silent = rig.client();
    let mut served = rig.client();
    served.write(get("/plain/plain?bytes=3"));
    assert_eq!(served.answer().status, 200);
    assert!(silent.is_over() && served.is_over(), "closed without a word");
    rig.at_rest();
    let ledger = rig.simulator.ledger();
    assert_eq!((ledger.requests, ledger.malformed), (1, 0), "{ledger}");
}

#[test]
fn one_byte_at_a_time_does_not_buy_more_time() {
    let _shared = among_others();
    let rig =
        rig_with("  workers: {cores: 2, pin: false}\n  timeouts: {head: 300ms, body: 300ms, idle: 60s}");
    let rows: [(&str, &[u8]); 2] =
        [("GET /", b"a"), ("POST /openai HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n", b" ")];
    for (head, drop_by_drop) in rows {
        let mut client = rig.client();
        let mut writer = client.stream.try_clone().unwrap();
        let dripping = std::thread::spawn(move || {
            let begun = Instant::now();
            writer.write_all(head.as_bytes()).unwrap();
            while begun.elapsed() < Duration::from_secs(10) && writer.write_all(drop_by_drop).is_ok() {
                std::thread::sleep(Duration::from_millis(10));
            }
            begun.elapsed()
        });
        let begun = Instant::now();
        let got = client.answer();
        assert_eq!(got.status, 408, "{head}");
        assert!(begun.elapsed() < Duration::from_secs(8));
        drop(client);
        dripping.join().unwrap();
    }
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let _shared = among_others();
    let rig = rig_with("  workers: {cores: 2, pin: false}\n  timeouts: {streamIdle: 300ms}");
    let mut client = rig.client();
    client.write(get("/plain/plain?bytes=99999999"));
    until("its exchange has begun", || rig.count(|c| c.requests_in_flight.get()) == 1);
    rig.at_rest();
    until("the host is let go", || rig.simulator.open_connections() == 0);
}

// === what goes on ===

#[test]
fn what_tells_of_the_client_does_not_reach_providers() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), "");
    let headers = "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n\
                   Upgrade: websocket\r\nProxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\n\
                   X-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: inside\r\n\
                   Forwarded: for=10.1.2.3\r\nVia: 1.1 near\r\nCookie: a=b\r\nOrigin: http://inside\r\n\
                   Trailer: x\r\nX-Kept: 1\r\n";
    for (path, body) in [
        ("/openai", chat("m", false)),
        ("/openai", chat("m", true)),
        ("/messages", message("m", false)),
        ("/anthropic", chat("m", true)),
        ("/cross", message("m", false)),
    ] {
        let mut client = rig.client();
        let got = client.ask(path, headers, &body);
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        let seen = rig.simulator.requests().pop().unwrap();
        for gone in [
            "connection",
            "x-hop",
            "keep-alive",
            "te",
            "upgrade",
            "proxy-authorization",
            "proxy-connection",
            "x-forwarded-for",
            "x-forwarded-proto",
            "x-forwarded-host",
            "forwarded",
            "via",
            "cookie",
            "origin",
            "trailer",
            "expect",
            "transfer-encoding",
        ] {
            assert_eq!(seen.header(gone), None, "{path}: {gone}");
        }
        assert_eq!(seen.header("x-kept"), Some("1"), "{path}");
    }
    support::assert_clean(&rig.simulator.ledger());
}

const ROUTES: &str = "\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: llm}
spec:
  gatewayClassName: agentgateway
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: {name: host, namespace: llm}
spec: {type: Static, static: {hosts: [{host: plain.example, port: 80}]}}
---
apiVersion: gateway.kgateway.dev/v1alpha1
kind: Backend
metadata: {name: lost, namespace: llm}
spec: {type: Static, static: {hosts: [{host: nowhere.invalid, port: 80}]}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: any, namespace: llm}
spec:
  parentRefs: [{name: edge}]
  rules:
  - matches: [{path: {type: PathPrefix, value: /old}}]
    filters:
    - {type: RequestRedirect, requestRedirect: {hostname: new.example, statusCode: 301, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}}}
  - matches: [{path: {type: Exact, value: /secure}}]
    filters:
    - {type: RequestRedirect, requestRedirect: {scheme: https}}
  - matches: [{path: {type: PathPrefix, value: /m}, method: DELETE}]
    backendRefs: &host [{group: gateway.kgateway.dev, kind: Backend, name: host}]
  - matches: [{path: {type: PathPrefix, value: /h}, headers: [{name: X-Team, value: blue}]}]
    backendRefs: [{group: gateway.kgateway.dev, kind: Backend, name: host}]
  - matches: [{path: {type: PathPrefix, value: /q}, queryParams: [{name: v, value: \"2\"}]}]
    backendRefs: [{group: gateway.kgateway.dev, kind: Backend, name: host}]
  - matches: [{path: {type: PathPrefix, value: /edited}}]
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier:
        set: [{name: X-Set, value: new}]
        add: [{name: X-Add, value: more}]
        remove: [X-Remove]
    - type: ResponseHeaderModifier
      responseHeaderModifier:
        set: [{name: Content-Type, value: text/edited}]
        add: [{name: X-Answer, value: added}]
        remove: [X-Sim-Request]
    - {type: URLRewrite, urlRewrite: {hostname: inside.example, path: {type: ReplaceFullPath, replaceFullPath: /plain}}}
    backendRefs: [{group: gateway.kgateway.dev, kind: Backend, name: host}]
  - matches: [{path: {type: PathPrefix, value: /lost}}]
    backendRefs: [{group: gateway.kgateway.dev, kind: Backend, name: lost}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: llm}
spec:
  parentRefs: [{name: edge}]
  hostnames: [shop.example, \"*.shop.example\"]
  rules:
  - matches: [{path: {type: PathPrefix, value: /s}}]
    backendRefs: [{group: gateway.kgateway.dev, kind: Backend, name: host}]
";

#[test]
fn routes_lead_where_they_say() {
    let _shared = among_others();
    let spec = "  records: {to: none}\n  workers: {cores: 2, pin: false}";
    let rig = Rig::start_with(Script::default(), &ROUTES.replace("&host ", ""), &settings(spec));
    // (method, host, target, header line, does it reach the host); the gateway's own answer to the rest is 404.
    let rows = [
        ("DELETE", "a", "/m", "", true),
        ("GET", "a", "/m", "", false),
        ("delete", "a", "/m", "", false),
        ("GET", "a", "/h/x", "x-team: blue\r\n", true),
        ("GET", "a", "/h/x", "x-team: Blue\r\n", false),
        ("GET", "a", "/h/x", "", false),
        ("GET", "a", "/hx", "x-team: blue\r\n", false),
        ("GET", "a", "/q?v=2", "", true),
        ("GET", "a", "/q?v=1&v=2", "", false),
        ("GET", "a", "/q", "", false),
        ("GET", "shop.example", "/s", "", true),
        ("GET", "SHOP.example:8080", "/s/x", "", true),
        ("GET", "eu.shop.example", "/s", "", true),
        ("GET", "example", "/s", "", false),
        ("GET", "a", "http://shop.example/s", "", true),
        ("GET", "shop.example", "http://a/s", "", false),
        ("GET", "a", "/", "", false),
    ];
    let mut client = rig.client();
    for (method, host, target, line, reaches) in rows {
        client.write(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{line}\r\n"));
        let got = client.answer();
        assert_eq!(got.header("via").is_some(), reaches, "{method} {host} {target} {line}");
        assert!(reaches || got.status == 404, "{method} {host} {target} {line}");
    }
    for (target, status, location) in [
        ("/old/a?q=1", 301, "http://new.example:8080/new/a?q=1"),
        ("/old", 301, "http://new.example:8080/new"),
        ("/secure", 302, "https://a/secure"),
    ] {
        client.write(get(target));
        let got = client.answer();
        assert_eq!((got.status, got.header("location")), (status, Some(location)));
    }
    client.write("GET /edited?bytes=3 HTTP/1.1\r\nHost: a\r\nX-Set: old\r\nX-Set: older\r\nX-Add: one\r\nX-Remove: x\r\n\r\n");
    let got: Answer = client.answer();
    assert_eq!((got.status, got.body.len()), (200, 3));
    assert_eq!((got.header("content-type"), got.header("x-answer")), (Some("text/edited"), Some("added")));
    assert_eq!(got.header("x-sim-request"), None);
    let seen = rig.simulator.requests().pop().unwrap();
    assert_eq!((seen.target.as_str(), seen.header("host")), ("/plain?bytes=3", Some("inside.example")));
    let all = |name: &str| -> Vec<String> {
        let of_name = seen.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name));
        of_name.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).collect()
    };
    assert_eq!(
        (all("x-set"), all("x-add"), all("x-remove")),
        (vec!["new".into()], vec!["one".into(), "more".into()], vec![])
    );
    let begun = Instant::now();
    client.write(get("/lost"));
    let got = client.answer();
    assert_eq!((got.status, got.text().contains("does not resolve")), (503, true), "{}", got.text());
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert_eq!(rig.simulator.ledger().malformed, 0);
}

// === the end ===

#[test]
fn draining_ends_what_is_idle_and_lets_finish_what_is_not() {
    let _shared = among_others();
    let rig = rig_with("  workers: {cores: 2, pin: false}\n  timeouts: {drain: 20s}");
    let mut idle = rig.client();
    let mut served = rig.client();
    served.write(get("/plain/plain?bytes=3"));
    assert_eq!(served.answer().status, 200);
    let slow = "X-Sim-Latency: 400ms\r\n";
    let requests = [
        post("/openai", slow, &chat("m", false)),
        post("/openai", &format!("{slow}X-Sim-Chunk-Gap: 50ms\r\n"), &chat("m", true)),
        post("/anthropic", slow, &chat("m", false)),
        format!("GET /plain/plain?bytes=9 HTTP/1.1\r\nHost: a\r\n{slow}\r\n"),
    ];
    let mut busy: Vec<Client> = requests
        .iter()
        .map(|request| {
            let mut client = rig.client();
            client.write(request);
            client
        })
        .collect();
    until("they are in flight", || rig.count(|c| c.requests_in_flight.get()) == busy.len() as u64);
    until("and the idle one is there", || rig.count(|c| c.connections_open.get()) == 2 + busy.len() as u64);
    assert!(rig.gateway().board.health.is_ready());
    rig.gateway().stop();
    assert!(idle.is_over() && served.is_over());
    assert!(!rig.gateway().board.health.is_ready());
    for client in &mut busy {
        let got = client.answer();
        assert_eq!((got.status, got.complete, got.header("connection")), (200, true, Some("close")));
        assert!(client.is_over());
    }
    until("new connections are refused", || TcpStream::connect(rig.address).is_err());
    rig.at_rest();
}

#[test]
fn a_worker_takes_as_many_connections_as_it_may_and_serves_again_when_one_has_gone() {
    let _shared = among_others();
    let rig = rig_with("  workers: {cores: 1, pin: false}\n  connections: {perWorker: 4}");
    let mut taken: Vec<Client> = (0..4).map(|_| rig.client()).collect();
    for client in &mut taken {
        client.write(get("/plain/plain?bytes=3"));
        assert_eq!(client.answer().status, 200);
    }
    for n in 1..=3 {
        let mut surplus = rig.client();
        assert!(surplus.is_over());
        assert_eq!(rig.count(|c| c.connections_turned_away.get()), n);
    }
    for client in &mut taken {
        client.write(get("/plain/plain?bytes=3"));
        assert_eq!(client.answer().status, 200, "those that were taken go on");
    }
    taken.pop();
    until("there is room", || rig.count(|c| c.connections_open.get()) == 3);
    let mut next = rig.client();
    next.write(get("/plain/plain?bytes=3"));
    assert_eq!(next.answer().status, 200);
    assert_eq!(rig.count(|c| c.connections_accepted.get()), 5, "those turned away are counted apart");
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn two_thousand_connections_leave_no_descriptor_behind() {
    let _alone = PROCESS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    let rig = Rig::start(Script::default(), "");
    let churn = |n: usize| {
        let mut client = rig.client();
        match n % 8 {
            0 => return,
            1 => return client.write("GET /pl"),
            2 => return client.write(post("/plain/echo", "", "hello")),
            3 => client.write(get("/plain/plain?bytes=9")),
            4 => client.write("NONSENSE\r\n\r\n"),
            5 => client.write(get("/plain/plain?bytes=9").replace("Host", "Connection: close\r\nHost")),
            _ => client.write(get("/nowhere")),
        }
        client.answer();
    };
    (0..64).for_each(churn);
    rig.at_rest();
    let before = open_files();
    (0..2000).for_each(churn);
    rig.at_rest();
    until("what was opened is closed", || open_files() <= before + 8);
}
