//! Requests that are refused: by what status, in whose words, and that nobody upstream hears of them.

use super::cases::{Group, load};
use super::host::{Host, Told};
use super::rule;
use super::strict::Seen;
use crate::support::{Client, until};
use serde_json::{Value, json};
use std::net::Shutdown;

/// Behind every row; it must not be served.
const FINE: &[u8] = b"GET /plain/fine HTTP/1.1\r\nHost: a\r\n\r\n";

/// Before some; it must be.
const GOOD: &[u8] = b"POST /plain/good HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi";

/// The bounds that the rows are made for, and little patience.
pub(crate) const BOUNDS: &str = "  workers: {cores: 2, pin: false}\n  timeouts: {drain: 2s}\n  \
                          requests: {headBytes: 16Ki, headers: 20, bodyBytes: 2Ki}";

/// Whose words an error is in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Words {
    /// No format is known.
    Nobodys,
    OpenAis,
    Anthropics,
}

/// The routes, and in whose words their clients are told what is wrong.
pub(crate) const ROUTES: [(&str, Words); 5] = [
    ("/plain/echo", Words::Nobodys),
    ("/openai", Words::OpenAis),
    ("/anthropic", Words::OpenAis),
    ("/messages", Words::Anthropics),
    ("/cross", Words::Anthropics),
];

impl Words {
    /// The body of a refusal.
    pub(crate) fn refusal(self, status: u16, reason: &str) -> Value {
        let [kind, openai, code, anthropic] = match status {
            413 => ["too_large", "invalid_request_error", "request_too_large", "request_too_large"],
            501 | 505 => {
                ["unserved", "invalid_request_error", "unsupported_endpoint", "invalid_request_error"]
            }
            502 => ["upstream", "server_error", "upstream_error", "api_error"],
            400..=499 => ["invalid_request", "invalid_request_error", "", "invalid_request_error"],
            _ => panic!("status {status}"),
        };
        let code = Some(code).filter(|code| !code.is_empty());
        match self {
            Words::Nobodys => json!({"error": {"type": kind, "message": reason}}),
            Words::OpenAis => {
                json!({"error": {"message": reason, "type": openai, "param": null, "code": code}})
            }
            Words::Anthropics => {
                json!({"type": "error", "error": {"type": anthropic, "message": reason}})
            }
        }
    }
}

/// What the group's rule says; the group says the status too.
fn expected(group: &Group) -> (u16, &'static str) {
    let (status, reason) = rule(&group.rule).unwrap_or_else(|| panic!("no rule refuses: {}", group.rule));
    assert_eq!(group.status, Some(status), "the status of {}", group.rule);
    (status, reason)
}

/// Reads the refusal and the end of the connection.
fn check_refused(client: &mut Client, status: u16, body: &Value, name: &str) {
    let answer = client.try_answer().unwrap_or_else(|| panic!("no answer: {name}"));
    assert_eq!((answer.status, &answer.json()), (status, body), "{name}");
    assert_eq!(answer.header("connection"), Some("close"), "{name}");
    assert_eq!(answer.header("via"), None, "{name}");
    assert!(answer.complete && client.is_over(), "the connection goes on: {name}");
}

/// Collects what is wrong, so that one run tells of all rows.
#[derive(Default)]
pub(crate) struct Wrong(Vec<String>);

impl Wrong {
    pub(crate) fn tried(&mut self, name: &str, row: impl FnOnce()) {
        if let Err(panic) = std::panic::catch_unwind(std::panic::AssertUnwindSafe(row)) {
            let text = panic.downcast_ref::<String>().cloned();
            self.0.push(text.or(panic.downcast_ref::<&str>().map(|s| (*s).to_owned())).unwrap_or_default());
            self.0.push(format!("  in {name}"));
        }
    }
}

impl Drop for Wrong {
    fn drop(&mut self) {
        assert!(self.0.is_empty() || std::thread::panicking(), "{}", self.0.join("\n"));
    }
}

#[test]
fn heads() {
    let host = Host::start();
    let rig = host.rig(BOUNDS);
    let mut wrong = Wrong::default();
    for group in load("heads.cases") {
        let (status, reason) = expected(&group);
        // Nothing is known of who asks, so that nobody's words are meant.
        let body = Words::Nobodys.refusal(status, reason);
        for row in &group.rows {
            let paths = if row.has_path() { &["/plain/echo", "/openai", "/messages"][..] } else { &["/"] };
            for (path, before) in paths.iter().flat_map(|path| [(path, &b""[..]), (path, GOOD)]) {
                wrong.tried(path, || {
                    let mut client = rig.client();
                    client.write([before, &row.bytes(path), FINE].concat());
                    if !before.is_empty() {
                        assert_eq!(client.any_answer().status, 200, "the request before {}", row.name);
                    }
                    check_refused(&mut client, status, &body, &row.name);
                });
                let Told { seen, faults, bytes, .. } = host.take();
                wrong.tried(path, || {
                    let good = if before.is_empty() { vec![] } else { vec!["/good"] };
                    let seen: Vec<String> = seen.iter().map(Seen::target).collect();
                    assert_eq!(
                        (seen, faults),
                        (good.iter().map(|s| s.to_string()).collect(), vec![]),
                        "{}",
                        row.name
                    );
                    assert!(!before.is_empty() || bytes == 0, "{bytes} bytes upstream: {}", row.name);
                });
            }
        }
    }
    rig.at_rest();
    let told = host.take();
    assert_eq!((told.seen.len(), told.bytes, told.partial), (0, 0, 0));
}

#[test]
fn bodies() {
    let mut wrong = Wrong::default();
    for (path, words) in ROUTES {
        let host = Host::start();
        let rig = host.rig(BOUNDS);
        for group in load("bodies.cases") {
            let (status, reason) = expected(&group);
            let body = words.refusal(status, reason);
            for row in &group.rows {
                let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
                let head = if row.has_path() { "" } else { &head };
                wrong.tried(path, || {
                    let mut client = rig.client();
                    client.write([head.as_bytes(), &row.bytes(path), FINE].concat());
                    check_refused(&mut client, status, &body, &row.name);
                });
                let Told { seen, faults, connections, .. } = host.take();
                wrong.tried(path, || {
                    assert_eq!((&seen[..], &faults[..]), (&[][..], &[][..]), "{}", row.name);
                    // A plain host may have the beginning of an upload, a provider has nothing.
                    assert!(words == Words::Nobodys || connections == 0, "asked: {}", row.name);
                });
            }
        }
        rig.at_rest();
        assert_eq!(host.take().seen, []);
    }
}

#[test]
fn bounds_are_those_of_the_settings() {
    let host = Host::start();
    let bounds =
        "headBytes: 1Ki, headers: 8, targetBytes: 256, extensionBytes: 16, trailers: 2, trailerBytes: 64";
    let rig = host.rig(&format!("  workers: {{cores: 1, pin: false}}\n  requests: {{{bounds}}}"));
    let get = |target: usize, lines: &str| {
        format!("GET /plain/{} HTTP/1.1\r\nHost: a\r\n{lines}\r\n", "t".repeat(target - "/plain/".len()))
    };
    let value = |length: usize| format!("x: {}\r\n", "v".repeat(length));
    let head = get(20, &value(0)).len();
    let post = |chunks: String| {
        format!("POST /plain/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}")
    };
    let extended = |length: usize| post(format!("2;{}\r\nhi\r\n0\r\n\r\n", "e".repeat(length)));
    let trailed = |lines: String| post(format!("2\r\nhi\r\n0\r\n{lines}\r\n"));
    for (fits, over, rule) in [
        (get(20, &value(1024 - head)), get(20, &value(1025 - head)), "HeadTooLarge"),
        (get(20, &value(1).repeat(7)), get(20, &value(1).repeat(8)), "TooManyHeaders"),
        (get(256, ""), get(257, ""), "TargetTooLong"),
        (extended(16), extended(17), "ExtensionsTooLarge"),
        (trailed(value(1).repeat(2)), trailed(value(1).repeat(3)), "TrailersTooLarge"),
        (trailed(value(57)), trailed(value(58)), "TrailersTooLarge"),
    ] {
        let mut client = rig.client();
        client.write(&fits);
        assert_eq!(client.any_answer().status, 200, "{rule}: {fits}");
        client.write(&over);
        let (status, reason) = super::rule(rule).expect("a rule");
        check_refused(&mut client, status, &Words::Nobodys.refusal(status, reason), rule);
    }
}

#[test]
fn an_upload_that_goes_wrong_in_its_middle_never_becomes_a_request() {
    let host = Host::start();
    let rig = host.rig(BOUNDS);
    let head = "POST /plain/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let mut rows = 0;
    for group in load("bodies.cases") {
        let (status, reason) = expected(&group);
        let body = Words::Nobodys.refusal(status, reason);
        for row in group.rows.iter().filter(|row| !row.has_path()) {
            let mut client = rig.client();
            client.write(head);
            until("head and first chunk, which go out together, are there", || host.told().bytes > 0);
            client.write([&row.bytes(""), FINE].concat());
            check_refused(&mut client, status, &body, &row.name);
            until("the host's connection ends", || host.told().partial == 1);
            let told = host.take();
            assert_eq!((told.seen.len(), told.faults.len(), told.connections), (0, 0, 1), "{}", row.name);
            rows += 1;
        }
    }
    assert!(rows > 90, "{rows} rows");
}

#[test]
fn paths_with_two_meanings_are_refused_and_the_connection_goes_on() {
    let host = Host::start();
    let rig = host.rig(BOUNDS);
    for group in load("paths.cases") {
        let (status, reason) = expected(&group);
        for row in &group.rows {
            let mut client = rig.client();
            let target = String::from_utf8(row.bytes("")).expect("text");
            let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
            client.write([request.as_bytes(), FINE].concat());
            let answer = client.any_answer();
            let body = Words::Nobodys.refusal(status, reason);
            assert_eq!((answer.status, answer.json()), (status, body), "{}", row.name);
            assert_eq!(client.any_answer().status, 200, "the request behind {}", row.name);
            let told = host.take();
            assert_eq!((told.seen.len(), told.seen[0].target().as_str()), (1, "/fine"), "{}", row.name);
        }
    }
}

#[test]
fn requests_that_end_before_their_end_are_dropped_without_a_word() {
    let host = Host::start();
    let rig = host.rig(BOUNDS);
    let rows: &[&[u8]] = &[
        b"\r\nGET /plain/echo HTTP/1.1\r\nHost: a\r\n\r\n",
        b"POST /anthropic HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{} ",
        b"POST /messages HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\nx: y\r\n\r\n",
        b"POST /openai HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        b"POST /plain/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    ];
    for (row, cut) in rows.iter().flat_map(|row| (0..row.len()).map(move |cut| (row, cut))) {
        let mut client = rig.client();
        client.write(&row[..cut]);
        client.stream.shutdown(Shutdown::Write).expect("it is open");
        assert!(client.is_over(), "an answer to {}: {:?}", row[..cut].escape_ascii(), client.unread());
    }
    rig.at_rest();
    // The gateway has ended its connections; the host's threads may not have read them to their ends.
    until("the beginnings of uploads are there", || host.told().partial > 0);
    let told = host.take();
    assert_eq!((&told.seen[..], &told.faults[..]), (&[][..], &[][..]));
}
