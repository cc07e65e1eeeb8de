//! What no server may misunderstand: requests that are malformed, ambiguous or too large are refused, the
//! connection ends, and the provider never hears of them.

mod support;

use std::net::Shutdown;
use support::{Rig, manifests, settings, until};
use tollgate_loadtest::Script;

/// Refused whatever the route: by the head. `$P` is the path. A request that is fine follows each of them on
/// the same connection and must not be served.
const HEADS: &[(u16, &[u8])] = &[
    // Where does the body end?
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nX: y\r\ncontent-length: 0\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2,\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: -2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 0x2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2 2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2.0\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: two\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length : 2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length\t: 2\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n 0\r\n\r\n{}"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;a=b\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
    (400, b"POST $P HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (501, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    (501, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n"),
    (501, b"POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    // Where does a line end?
    (400, b"GET $P HTTP/1.1\nHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\n\n"),
    (400, b"GET $P HTTP/1.1\nHost: a\n\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 40\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX: y\rContent-Length: 40\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\rHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    (400, b"\nGET $P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"\r\n\r\n\r\nGET $P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX: y\r\n folded\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX: y\r\n\tfolded\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\n Host: a\r\nHost: a\r\n\r\n"),
    // Header lines.
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\n: y\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX y: z\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX(y): z\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX\0: y\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX: y\0z\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX: y\x7fz\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nX\xc3\xa9: y\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nConnection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r\r\n\r\n"),
    // Host.
    (400, b"GET $P HTTP/1.1\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a\r\nhost: b\r\n\r\n"),
    (400, b"GET $P HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost:\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a b\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a:port\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\r\nHost: a:65536\r\n\r\n"),
    (400, b"GET http://b$P HTTP/1.1\r\n\r\n"),
    (400, b"GET http://b$P HTTP/1.1\r\nHost: a b\r\n\r\n"),
    // The request line.
    (400, b"GET $P\r\n\r\n"),
    (400, b"GET\r\n\r\n"),
    (400, b" GET $P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET  $P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P  HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1.1 \r\nHost: a\r\n\r\n"),
    (400, b"GET $P x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET\t$P\tHTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GE(T $P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P http/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1.10\r\nHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P HTTP/1.1\0\r\nHost: a\r\n\r\n"),
    (400, b"GET $P\0 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P\xff HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P#part HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P\\x HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET $P?a=\"b\" HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET ftp://a$P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET http://u:p@a$P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET http://$P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET a.example:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    (400, b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    (501, b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n"),
    (501, b"CONNECT $P HTTP/1.1\r\nHost: a\r\n\r\n"),
    (505, b"GET $P HTTP/1.2\r\nHost: a\r\n\r\n"),
    (505, b"GET $P HTTP/2.0\r\nHost: a\r\n\r\n"),
    (505, b"GET $P HTTP/0.9\r\nHost: a\r\n\r\n"),
    // Something else altogether.
    (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x5a\x5a\x5a\x5a"),
    (400, b"\0\0\0\0"),
    (400, b"SSH-2.0-OpenSSH_9.6\r\n\r\n"),
    (400, b"{\"model\":\"x\"}\r\n\r\n"),
    (400, b"<html>\r\n\r\n"),
    (400, b"\xef\xbb\xbfGET $P HTTP/1.1\r\nHost: a\r\n\r\n"),
];

/// Refused by the body, which is chunked and starts here.
const CHUNKS: &[(u16, &[u8])] = &[
    (400, b"g\r\n"),
    (400, b"\r\n"),
    (400, b"-1\r\n"),
    (400, b"+2\r\n{}\r\n0\r\n\r\n"),
    (400, b"0x2\r\n{}\r\n0\r\n\r\n"),
    (400, b" 2\r\n{}\r\n0\r\n\r\n"),
    (400, b"2 \r\n{}\r\n0\r\n\r\n"),
    (400, b"2\n{}\r\n0\r\n\r\n"),
    (400, b"2\r{}\r\n0\r\n\r\n"),
    (400, b"2_\r\n{}\r\n0\r\n\r\n"),
    (400, b"00000000000000002\r\n{}\r\n0\r\n\r\n"),
    (413, b"ffffffffffffffff\r\n{}"),
    (413, b"7fffffffffffffff\r\n{}"),
    (400, b"2;a\n{}\r\n0\r\n\r\n"),
    (400, b"2;a\0\r\n{}\r\n0\r\n\r\n"),
    (400, b"2;a\rb\r\n{}\r\n0\r\n\r\n"),
    (400, b"2\r\n{}X\r\n0\r\n\r\n"),
    (400, b"3\r\n{}\r\n0\r\n\r\n"),
    (400, b"2\r\n{}\n0\r\n\r\n"),
    (400, b"2\r\n{}0\r\n\r\n"),
    (400, b"2\r\n{}\r\n0\r\n\n"),
    (400, b"2\r\n{}\r\n0\r\nx y: z\r\n\r\n"),
    (400, b"2\r\n{}\r\n0\r\nx : z\r\n\r\n"),
    (400, b"2\r\n{}\r\n0\r\nno colon\r\n\r\n"),
    (400, b"2\r\n{}\r\n0\r\nx: y\r\n folded\r\n\r\n"),
    (400, b"2\r\n{}\r\n0\r\nx: \0\r\n\r\n"),
    (400, b"2\r\n{}\r\n0\r\nx: y\n\r\n"),
    (400, b"2\r\n{}\r\n-0\r\n\r\n"),
];

const FINE: &[u8] = b"GET /plain/plain?bytes=3 HTTP/1.1\r\nHost: fine\r\n\r\n";

/// Body bytes, head bytes and header lines that the rig of these tests allows.
const BODY_MAX: usize = 2048;
const HEAD_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 20;

fn rig() -> Rig {
    let spec = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n  timeouts: {drain: 2s}\n  \
                requests: {headBytes: 16Ki, headers: 20, bodyBytes: 2Ki}";
    Rig::start_with(Script::default(), &manifests(""), &settings(spec))
}

fn with_path(row: &[u8], path: &str) -> Vec<u8> {
    let Some(at) = row.windows(2).position(|two| two == b"$P") else { return row.to_vec() };
    [&row[..at], path.as_bytes(), &row[at + 2..]].concat()
}

/// Sends `bytes` with a fine request behind it, and asserts the status, the end of the connection, and that
/// the fine request was not answered.
fn check(rig: &Rig, bytes: &[u8], status: u16) {
    let shown = bytes[..bytes.len().min(300)].escape_ascii();
    let mut client = rig.client();
    client.write([bytes, FINE].concat());
    let answer = client.try_answer().unwrap_or_else(|| panic!("no answer: {shown}"));
    assert_eq!(answer.status, status, "{shown}\n{}", answer.text());
    assert!(answer.complete, "{shown}");
    assert_eq!(answer.header("connection"), Some("close"), "{shown}");
    assert!(answer.json()["error"]["message"].is_string(), "{shown}");
    assert!(client.is_over(), "the connection goes on: {shown}");
}

/// Asserts that the provider has not seen anything of all this.
fn assert_nothing_arrived(rig: &Rig) {
    rig.at_rest();
    let ledger = rig.simulator.ledger();
    assert_eq!((ledger.requests, ledger.malformed, ledger.protocol_faults), (0, 0, 0), "{ledger}");
}

#[test]
fn heads_that_could_be_read_in_two_ways_reach_nobody() {
    let rig = rig();
    for (status, row) in HEADS {
        for path in ["/anthropic", "/plain/plain"] {
            check(&rig, &with_path(row, path), *status);
        }
    }
    assert_nothing_arrived(&rig);
    assert_eq!(rig.simulator.ledger().incomplete, 0);
}

#[test]
fn chunks_that_could_be_read_in_two_ways_reach_nobody() {
    let rig = rig();
    for path in ["/anthropic", "/openai", "/plain/plain"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        for (status, row) in CHUNKS {
            check(&rig, &[head.as_bytes(), row].concat(), *status);
        }
    }
    assert_nothing_arrived(&rig);
}

#[test]
fn what_is_too_large_is_refused_by_its_own_status() {
    let rig = rig();
    let lines = |n: usize| (0..n).map(|n| format!("X-{n}: y\r\n")).collect::<String>();
    let (long, longer) = ("a".repeat(9000), "a".repeat(HEAD_MAX));
    let chunk = format!("{:x}\r\n{}\r\n", BODY_MAX, "b".repeat(BODY_MAX));
    let chunked =
        |body: &str| format!("POST $P HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
    let rows: Vec<(u16, String)> = vec![
        (414, format!("GET $P?{long} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (414, format!("GET $P?{longer} HTTP/1.1\r\nHost: a\r\n\r\n")),
        (414, format!("GET $P?{longer}")),
        (431, format!("GET $P HTTP/1.1\r\nHost: a\r\nX: {longer}\r\n\r\n")),
        (431, format!("GET $P HTTP/1.1\r\nHost: a\r\nX: {longer}")),
        (431, format!("GET $P HTTP/1.1\r\nHost: a\r\n{longer}: y\r\n\r\n")),
        (431, format!("GET $P HTTP/1.1\r\nHost: a\r\n{}\r\n", lines(HEADERS_MAX))),
        (413, format!("POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", BODY_MAX + 1)),
        (413, "POST $P HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551615\r\n\r\n".to_owned()),
        (
            413,
            format!(
                "POST $P HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
                BODY_MAX + 1
            ),
        ),
        (413, chunked(&format!("{:x}\r\n", BODY_MAX + 1))),
        (413, chunked(&format!("{chunk}1\r\n"))),
        (400, chunked(&format!("2;{}\r\n", "e".repeat(5000)))),
        (400, chunked(&format!("2\r\n{{}}\r\n0\r\n{}\r\n", lines(40)))),
        (400, chunked(&format!("2\r\n{{}}\r\n0\r\nx: {}\r\n\r\n", "t".repeat(9000)))),
    ];
    for (status, row) in &rows {
        for path in ["/anthropic", "/plain/plain"] {
            check(&rig, &with_path(row.as_bytes(), path), *status);
        }
    }
    assert_nothing_arrived(&rig);
}

#[test]
fn paths_that_hide_their_meaning_are_refused_and_the_connection_goes_on() {
    let rig = rig();
    for target in [
        "/plain/../anthropic",
        "/plain/./plain",
        "/plain/..",
        "/./plain",
        "/plain/%2e%2e/anthropic",
        "/plain/.%2E/anthropic",
        "/plain/%2e/plain",
        "/plain%2fplain",
        "/plain/a%2Fb",
        "/plain/a%5cb",
        "/plain/%00",
        "/plain/%",
        "/plain/%2",
        "/plain/%zz",
        "//plain/plain",
        "/plain//plain",
        "http://a.example/plain/../anthropic",
    ] {
        let mut client = rig.client();
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        client.write([request.as_bytes(), FINE].concat());
        assert_eq!(client.any_answer().status, 400, "{target}");
        let fine = client.any_answer();
        assert_eq!((fine.status, fine.body.len()), (200, 3), "the request behind {target}");
    }
    let ledger = rig.simulator.ledger();
    assert!(rig.simulator.requests().iter().all(|seen| seen.target == "/plain?bytes=3"), "{ledger}");
    support::assert_clean(&ledger);
}

#[test]
fn an_upload_that_goes_wrong_in_its_middle_never_becomes_a_request() {
    let rig = rig();
    let head = "POST /plain/plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    for (status, row) in CHUNKS {
        let before = rig.simulator.ledger().body_bytes_in;
        let mut client = rig.client();
        client.write(head);
        until("the first chunk is there", || rig.simulator.ledger().body_bytes_in >= before + 5);
        client.write([row, FINE].concat());
        assert_eq!(client.any_answer().status, *status, "{}", row.escape_ascii());
        assert!(client.is_over(), "the connection goes on: {}", row.escape_ascii());
    }
    assert_nothing_arrived(&rig);
    let ledger = rig.simulator.ledger();
    assert_eq!(ledger.incomplete, CHUNKS.len() as u64, "{ledger}");
}

#[test]
fn requests_that_end_before_their_end_are_dropped_without_a_word() {
    let rig = rig();
    let rows: &[&[u8]] = &[
        b"",
        b"\r\n",
        b"G",
        b"POST /anthropic HTTP/1.1\r\n",
        b"POST /anthropic HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r",
        b"POST /anthropic HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n",
        b"POST /anthropic HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /anthropic HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"POST /anthropic HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        b"POST /plain/plain HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /plain/plain HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
    ];
    for row in rows {
        let mut client = rig.client();
        client.write(row);
        client.stream.shutdown(Shutdown::Write).unwrap();
        assert!(client.is_over(), "an answer to {}: {:?}", row.escape_ascii(), client.unread());
    }
    assert_nothing_arrived(&rig);
}
