//! Filters beside providers: copies of requests to other hosts, and what pages of other origins are told of every kind of
//! answer.

use crate::support;
use crate::support::{Rig, bucket, chat, host, manifests, message, read_head_only, settings, until};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex};
use tollgate_loadtest::Script;
use tollgate_loadtest::coding::{Coding, encode};

/// A host that keeps what it is asked, head and body, and answers with these bytes.
#[derive(Clone, Default)]
struct Shadow(Arc<Mutex<Vec<Seen>>>);

/// The head and the body of a request.
type Seen = (String, Vec<u8>);

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno";

impl Shadow {
    fn start(answer: &'static str) -> (Shadow, SocketAddr) {
        let shadow = Shadow::default();
        let kept = shadow.clone();
        let address = host(move |stream| kept.keep(stream, answer));
        (shadow, address)
    }

    fn keep(&self, mut stream: TcpStream, answer: &str) {
        loop {
            let head = read_head_only(&mut stream);
            if head.is_empty() {
                return;
            }
            let length =
                head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            let mut body = vec![0; length.unwrap_or(0)];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            self.0.lock().unwrap().push((head, body));
            if stream.write_all(answer.as_bytes()).is_err() || answer.is_empty() {
                return std::mem::forget(stream); // neither answers nor closes
            }
        }
    }

    fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }
}

/// A Backend of its own for each address, `shadow0` and so on.
fn shadows(addresses: &[SocketAddr]) -> String {
    let backend = |(number, address): (usize, &SocketAddr)| {
        format!(
            "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {{name: shadow{number}, namespace: \
             llm}}\nspec: {{type: Static, static: {{hosts: [{{host: {}, port: {}}}]}}}}\n",
            address.ip(),
            address.port()
        )
    };
    addresses.iter().enumerate().map(backend).collect()
}

/// A route below `/NAME` to a backend, with these filters besides the usual rewrite of its path.
fn route(name: &str, to: &str, backend: &str, filters: &str) -> String {
    format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  \
         parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{value: /{name}}}}}]\n    filters:\n    - {{type: \
         URLRewrite, urlRewrite: {{path: {{type: ReplacePrefixMatch, replacePrefixMatch: {to}}}}}}}\n{filters}    \
         backendRefs: [{{group: gateway.kgateway.dev, kind: Backend, name: {backend}}}]\n"
    )
}

fn mirror(number: usize, share: &str) -> String {
    format!(
        "    - {{type: RequestMirror, requestMirror: {{backendRef: {{group: gateway.kgateway.dev, kind: Backend, name: \
         shadow{number}}}{share}}}}}\n"
    )
}

const CORS: &str =
    "    - {type: CORS, cors: {allowOrigins: [\"https://app.test\"], exposeHeaders: [x-request-id]}}\n";

fn start(policies: &str) -> Rig {
    let quiet = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
    Rig::start_with(Script::default(), &manifests(policies), &settings(quiet))
}

/// How many copies were answered, failed, skipped.
fn copies(rig: &Rig) -> [u64; 3] {
    [
        rig.count(|c| c.mirrors_answered.get()),
        rig.count(|c| c.mirrors_failed.get()),
        rig.count(|c| c.mirrors_skipped.get()),
    ]
}

#[test]
fn copies_have_the_bytes_that_the_client_sent_and_the_head_of_a_plain_upstream() {
    let (shadow, address) = Shadow::start(OK);
    let rig = start(
        &[
            shadows(&[address]),
            route("chat", "/v1", "openai", &mirror(0, "")),
            bucket("chat", 1, 1, "1h", "requests"),
        ]
        .concat(),
    );
    let body = chat("gpt-4o-mini", false);
    let mut client = rig.client();
    let answer =
        client.ask("/chat/chat/completions?a=b", "Authorization: Bearer sk-mine\r\nX-Mine: 1\r\n", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    until("the copy is answered", || copies(&rig) == [1, 0, 0]);
    let (head, copied) = shadow.seen().remove(0);
    assert!(head.starts_with("POST /v1/chat/completions?a=b HTTP/1.1\r\n"), "{head}");
    for line in [
        "host: gateway.test",
        "X-Mine: 1",
        "x-forwarded-proto: http",
        "x-forwarded-host: gateway.test",
        "via: 1.1 tollgate",
    ] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line} in {head}");
    }
    assert_eq!(String::from_utf8(copied).expect("text"), body);

    // What is refused goes nowhere.
    assert_eq!(client.ask("/chat/chat/completions", "", &body).status, 429);
    assert_eq!(shadow.seen().len(), 1);
    assert_eq!(rig.count(|c| c.mirrors_open.get()), 0);
    assert_eq!(
        rig.assert_ledgers_agree().requests,
        1,
        "the provider was asked once, and what it said was charged once"
    );
}

#[test]
fn a_coded_body_is_copied_decoded() {
    let (shadow, address) = Shadow::start(OK);
    let rig = start(&[shadows(&[address]), route("chat", "/v1", "openai", &mirror(0, ""))].concat());
    let body = chat("gpt-4o-mini", false);
    let coded = encode(&[Coding::Gzip], &[body.as_bytes()]).concat();
    let mut client = rig.client();
    client.write(format!(
        "POST /chat/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        coded.len()
    ));
    client.write(&coded);
    assert_eq!(client.answer().status, 200);
    until("the copy is answered", || copies(&rig) == [1, 0, 0]);
    let (head, copied) = shadow.seen().remove(0);
    assert!(!head.to_ascii_lowercase().contains("content-encoding"), "{head}");
    assert_eq!(String::from_utf8(copied).expect("text"), body);
}

#[test]
fn requests_to_plain_hosts_are_copied_whole_whatever_their_framing() {
    let (shadow, address) = Shadow::start(OK);
    let rig = start(&[shadows(&[address]), route("files", "/", "host", &mirror(0, ""))].concat());
    let mut client = rig.client();
    let rows: [(&str, &[u8]); 4] = [
        ("GET /files/x HTTP/1.1\r\nHost: a\r\n\r\n", b""),
        ("PUT /files/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", b""),
        ("PUT /files/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", b"hello"),
        (
            "PUT /files/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n",
            b"hello",
        ),
    ];
    for (count, (request, body)) in rows.iter().enumerate() {
        client.write(request);
        client.answer();
        until("the copy is answered", || copies(&rig) == [count as u64 + 1, 0, 0]);
        let (head, copied) = shadow.seen().remove(count);
        assert_eq!(&copied, body, "{request}");
        assert!(!head.to_ascii_lowercase().contains("transfer-encoding"), "{head}");
        assert_eq!(head.contains("\r\ncontent-length: "), !request.starts_with("GET"), "{head}");
    }
}

#[test]
fn a_mirror_that_fails_or_says_nothing_is_not_noticed() {
    let (silent, silent_at) = Shadow::start("");
    let (_, odd_at) = Shadow::start("HTTP/9 what\r\n\r\n");
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let all = [mirror(0, ""), mirror(1, ""), mirror(2, "")].concat();
    let rig = start(&[shadows(&[silent_at, odd_at, nobody]), route("chat", "/v1", "openai", &all)].concat());
    for round in 1..=3 {
        let answer = rig.client().ask("/chat/chat/completions", "", &chat("gpt-4o-mini", round == 2));
        assert_eq!(answer.status, 200);
        assert!(answer.complete);
        until("the silent one has its copy", || silent.seen().len() == round);
    }
    until("the others have failed", || copies(&rig) == [0, 6, 0]);
    assert_eq!(rig.count(|c| c.mirrors_open.get()), 3, "copies under way do not hold their requests");
    rig.assert_ledgers_agree();
}

#[test]
fn shares_are_kept_and_mirrors_of_a_backend_are_its_own() {
    let (shadow, address) = Shadow::start(OK);
    let backend = |name: &str, filters: &str| {
        format!("{{group: gateway.kgateway.dev, kind: Backend, name: {name}, filters: [{filters}]}}")
    };
    let of_share = mirror(0, ", percent: 100");
    let of_share = of_share.trim().trim_start_matches("- ");
    let with_share = format!(
        "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: share, namespace: llm}}\nspec:\n  \
         parentRefs: [{{name: edge}}]\n  rules:\n  - matches: [{{path: {{value: /share}}}}]\n    backendRefs: [{}]\n",
        backend("host", of_share)
    );
    let half = mirror(0, ", fraction: {numerator: 1, denominator: 2}");
    let none = mirror(0, ", percent: 0");
    let rig = start(
        &[
            shadows(&[address]),
            route("none", "/", "host", &none),
            route("half", "/", "host", &half),
            with_share,
        ]
        .concat(),
    );
    let mut client = rig.client();
    let mut ask = |path: &str, times: usize| {
        for _ in 0..times {
            client.write(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
            client.answer();
        }
    };
    ask("/none/", 50);
    ask("/share", 1);
    until("the copy of the share is answered", || copies(&rig)[0] == 1);
    assert_eq!(shadow.seen().len(), 1, "none of the first fifty");
    ask("/half/", 200);
    until("no copy is under way", || rig.count(|c| c.mirrors_open.get()) == 0);
    let copied = shadow.seen().len() - 1;
    assert!((50..150).contains(&copied), "{copied} of 200");
}

#[test]
fn copies_beyond_their_room_are_skipped_and_counted() {
    // 256 copies that nobody answers fill a worker; bodies are small, so their number is what is reached.
    let (silent, address) = Shadow::start("");
    let rig = start(&[shadows(&[address]), route("files", "/", "host", &mirror(0, ""))].concat());
    let mut client = rig.client();
    for _ in 0..300 {
        client.write("GET /files/x HTTP/1.1\r\nHost: a\r\n\r\n");
        client.answer();
    }
    until("the first 256 have arrived", || silent.seen().len() == 256);
    assert_eq!(rig.count(|c| c.mirrors_skipped.get()), 44);
}

#[test]
fn bodies_that_have_no_room_are_not_copied_and_their_requests_are_served() {
    let (first, first_at) = Shadow::start(OK);
    let (served, served_at) = Shadow::start(OK);
    let three = mirror(0, "").repeat(3);
    let rig = start(&[shadows(&[first_at, served_at]), route("files", "/", "shadow1", &three)].concat());
    let body = "x".repeat(24 << 20); // three times that is more than a worker's copies may hold
    let answer = rig.client().ask("/files/x", "", &body);
    assert_eq!((answer.status, served.seen()[0].1.len()), (200, body.len()));
    assert_eq!((copies(&rig), first.seen().len()), ([0, 0, 3], 0));
    // The room is free again.
    assert_eq!(rig.client().ask("/files/x", "", "hello").status, 200);
    until("all three are answered", || copies(&rig) == [3, 0, 3]);
    assert!(first.seen().iter().all(|(_, body)| body == b"hello"));
}

#[test]
fn every_kind_of_answer_tells_what_the_origin_may_read() {
    let limited = [bucket("limited", 1, 1, "1h", "requests")].concat();
    let rig = start(
        &[
            route("chat", "/v1", "openai", CORS),
            route("cross", "/v1", "anthropic", CORS).replace("name: cross,", "name: crossed,"),
            route("files", "/", "host", CORS),
            route("limited", "/v1", "openai", CORS),
            limited,
        ]
        .concat()
        .replace("value: /cross}", "value: /crossed}"),
    );
    let origin = "Origin: https://app.test\r\n";
    let allowed = |answer: &support::Answer, what: &str| {
        let count = |name: &str| answer.headers.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).count();
        assert_eq!(answer.header("access-control-allow-origin"), Some("https://app.test"), "{what}");
        assert_eq!(answer.header("access-control-expose-headers"), Some("x-request-id"), "{what}");
        assert_eq!((count("access-control-allow-origin"), count("vary")), (1, 1), "{what}");
    };
    for (path, body, status, what) in [
        ("/chat/chat/completions", chat("gpt-4o-mini", false), 200, "passed through"),
        ("/chat/chat/completions", chat("gpt-4o-mini", true), 200, "a stream"),
        ("/crossed/chat/completions", chat("claude-haiku", false), 200, "translated"),
        ("/crossed/chat/completions", chat("claude-haiku", true), 200, "a translated stream"),
        ("/chat/messages", message("gpt-4o-mini", false), 200, "translated for another client"),
        ("/chat/chat/completions", "{".to_owned(), 400, "a body that is no request"),
        ("/chat/completions", "{}".to_owned(), 501, "an endpoint that is not served"),
        ("/limited/chat/completions", chat("gpt-4o-mini", false), 200, "the last that a limit admits"),
        ("/limited/chat/completions", chat("gpt-4o-mini", false), 429, "one that a limit refuses"),
        ("/files/x", "hello".to_owned(), 404, "a plain host, whatever it says"),
    ] {
        let answer = rig.client().ask(path, origin, &body);
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        allowed(&answer, what);
    }
    // Preflights take nothing: neither the limit's last, nor a provider.
    let before = rig.totals().upstream_connects;
    let mut client = rig.client();
    for _ in 0..5 {
        client.write(format!(
            "OPTIONS /limited/chat/completions HTTP/1.1\r\nHost: a\r\n{origin}Access-Control-Request-Method: POST\r\n\r\n"
        ));
        let answer = client.answer();
        assert_eq!((answer.status, answer.body.len()), (200, 0));
        allowed(&answer, "a preflight");
    }
    assert_eq!(rig.totals().upstream_connects, before);
}

/// A host that answers its requests, counted over all connections, with these statuses, and 0 by closing, -1 never.
fn answering(statuses: &'static [i32]) -> (Arc<Mutex<usize>>, SocketAddr) {
    let count = Arc::new(Mutex::new(0));
    let counted = count.clone();
    let address = host(move |mut stream| {
        while !read_head_only(&mut stream).is_empty() {
            let place = {
                let mut count = counted.lock().unwrap();
                *count += 1;
                *count - 1
            };
            match statuses.get(place).or(statuses.last()) {
                Some(0) | None => return,
                Some(-1) => return std::mem::forget(stream),
                Some(status) => {
                    let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            }
        }
    });
    (count, address)
}

#[test]
fn requests_to_plain_hosts_time_out_and_are_made_again_as_the_rule_says() {
    const GET: &str = "GET /files/x HTTP/1.1\r\nHost: a\r\n\r\n";
    const PUT: &str = "PUT /files/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";
    const BARE_POST: &str = "POST /files/x HTTP/1.1\r\nHost: a\r\n\r\n";
    let retry =
        |attempts: u32| format!("retry: {{codes: [500, 502, 503, 504], attempts: {attempts}, backoff: 1ms}}");
    // What the rule says, what the host does, the request, its status, how often the host was asked.
    for (rule, host, request, status, asked) in [
        (String::new(), &[503][..], GET, 503, 1),
        (retry(2), &[503, 500, 200], GET, 200, 3),
        (retry(2), &[502, 504, 500, 200], GET, 500, 3),
        (retry(0), &[503, 200], GET, 503, 1),
        (retry(2), &[501, 200], GET, 501, 1),
        (retry(2), &[503, 200], BARE_POST, 200, 2),
        (retry(2), &[503, 200], PUT, 503, 1), // its body is gone
        (retry(2), &[0, 200], GET, 200, 2),
        (retry(2), &[0, 200], BARE_POST, 502, 1), // it may have been done
        ("timeouts: {request: 100ms}".to_owned(), &[-1], GET, 504, 1),
        ("timeouts: {backendRequest: 100ms}".to_owned(), &[-1], GET, 504, 1),
        (retry(2) + "\n    timeouts: {backendRequest: 100ms}", &[-1, 200], GET, 200, 2),
        (retry(9) + "\n    timeouts: {request: 250ms, backendRequest: 100ms}", &[-1], GET, 504, 3),
    ] {
        let (count, address) = answering(host);
        let files = route("files", "/", "shadow0", "")
            .replace("    backendRefs", &format!("    {rule}\n    backendRefs"));
        let rig = start(&[shadows(&[address]), files].concat());
        let mut client = rig.client();
        client.write(request);
        let answer = client.answer();
        let what = format!("{rule} {host:?} {request}");
        assert_eq!((answer.status, *count.lock().unwrap()), (status, asked), "{what}");
    }
}

#[test]
fn a_host_that_cannot_be_reached_is_tried_again_if_the_rule_says_so() {
    let nobody =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for (rule, attempts) in [("timeouts: {request: 10s}", 0), ("retry: {attempts: 3, backoff: 1ms}", 3)] {
        let files = route("files", "/", "shadow0", "")
            .replace("    backendRefs", &format!("    {rule}\n    backendRefs"));
        let rig = start(&[shadows(&[nobody]), files].concat());
        let answer = rig.client().ask("/files/x", "", "with a body, which has not left");
        assert_eq!((answer.status, rig.totals().retries), (503, attempts), "{rule}");
    }
}

/// Headers that a policy changes are changed for every rule on which it is, for plain hosts and providers, both ways.
#[test]
fn headers_are_changed_by_policies_as_by_filters() {
    let policy = |name: &str, route: &str, api: &str, kind: &str, spec: &str| {
        format!(
            "---\napiVersion: {api}/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: llm}}\nspec:\n  targetRefs: \
             [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {route}}}]\n  {spec}\n"
        )
    };
    let edits = "headerModifiers: {request: {set: [{name: x-team, value: red}], remove: [x-gone]}, response: {add: [{name: x-edge, value: one}]}}";
    let ours = policy("plain", "plain", "gateway.kgateway.dev", "TrafficPolicy", edits);
    let theirs = format!("traffic: {{{edits}}}");
    let theirs = policy("openai", "openai", "agentgateway.dev", "AgentgatewayPolicy", &theirs);
    let rig = start(&(ours + &theirs));
    for (path, is_edited) in [("/plain/echo", true), ("/openai", true), ("/messages", false)] {
        let body = if path == "/messages" { message("m", false) } else { chat("m", false) };
        let answer = rig.client().ask(path, "x-team: blue\r\nx-gone: yes\r\n", &body);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        assert_eq!(answer.header("x-edge"), is_edited.then_some("one"), "{path}");
        let seen = rig.simulator.requests().pop().expect("it came");
        let value = |name: &str| {
            seen.headers
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| &value[..])
        };
        let expected =
            if is_edited { (Some(&b"red"[..]), None) } else { (Some(&b"blue"[..]), Some(&b"yes"[..])) };
        assert_eq!((value("x-team"), value("x-gone")), expected, "{path}");
    }
}
