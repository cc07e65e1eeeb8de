use super::*;

/// `status [reason] version framing keep|close`, or the fault's name.
fn outcome(result: Result<Option<ResponseHead>, HeadFault>, buf: &[u8]) -> Option<String> {
    let head = match result {
        Ok(head) => head?,
        Err(fault) => return Some(format!("{fault:?}")),
    };
    Some(format!(
        "{} [{}] {} {} {}",
        head.status,
        text(head.reason.of(buf)),
        if head.version == Version::Http11 { "1.1" } else { "1.0" },
        framing_text(head.framing),
        if head.keep_alive { "keep" } else { "close" },
    ))
}

fn check(to: Method, bytes: &[u8], expect: &str) {
    let limits = HeadLimits::default();
    check_cuts(bytes, expect, |scan, buf| outcome(scan.response(buf, &limits, to), buf));
    if expect != "more" {
        let followed = [bytes, b"HTTP/1.1 200 OK\r\n\r\n\n\n\0"].concat();
        let got = outcome(response(&followed, &limits, to), &followed);
        assert_eq!(got.as_deref(), Some(expect), "followed: {}", text(bytes));
    }
}

#[test]
fn whole_heads() {
    let rows: &[(&[u8], &str)] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", "200 [OK] 1.1 length=2 keep"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "200 [OK] 1.1 chunked keep"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "200 [OK] 1.1 until-close close"),
        (b"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", "200 [] 1.1 length=0 keep"),
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", "200 [] 1.1 length=0 keep"),
        (
            b"HTTP/1.1 429 Too Many  Requests \r\nContent-Length: 0\r\n\r\n",
            "429 [Too Many  Requests ] 1.1 length=0 keep",
        ),
        (
            b"HTTP/1.1 200 \xc3\x89t\xc3\xa9\r\nContent-Length: 0\r\n\r\n",
            "200 [\\xc3\\x89t\\xc3\\xa9] 1.1 length=0 keep",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", "200 [OK] 1.1 length=2 close"),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n", "200 [OK] 1.0 length=2 close"),
        (
            b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n",
            "200 [OK] 1.0 length=2 keep",
        ),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n", "200 [OK] 1.0 until-close close"),
        (b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "CodingInOldVersion"),
        // No body, whatever is declared.
        (b"HTTP/1.1 100 Continue\r\n\r\n", "100 [Continue] 1.1 none keep"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", "103 [Early Hints] 1.1 none keep"),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 0\r\n\r\n", "103 [Early Hints] 1.1 none keep"),
        (b"HTTP/1.1 103 Early Hints\r\nContent-Length: 1\r\n\r\n", "InterimContent"),
        (b"HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n", "InterimContent"),
        (b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 2\r\n\r\n", "ConnectionOption"),
        (b"HTTP/1.1 200 OK\r\nContent_Length: 2\r\n\r\n", "200 [OK] 1.1 until-close close"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "101 [Switching Protocols] 1.1 none keep"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", "204 [No Content] 1.1 none keep"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", "204 [No Content] 1.1 none keep"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", "204 [No Content] 1.1 none close"),
        (b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n", "204 [No Content] 1.1 none close"),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", "304 [Not Modified] 1.1 none keep"),
        // The rules of framing are those of requests.
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n", "LengthRepeated"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\n", "LengthRepeated"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "LengthInvalid"),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: x\r\n\r\n", "LengthInvalid"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n", "LengthAndCoding"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "CodingUnknown"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "CodingInvalid"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "CodingInvalid",
        ),
        // Status lines.
        (b"HTTP/1.1 99 X\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 099 X\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 000 X\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 600 X\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 999 X\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 2000 X\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 2x0 X\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1  200 OK\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1\t200 OK\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 200\tOK\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 200 O\0K\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1 200 O\rK\r\n\r\n", "StatusLine"),
        (b"HTTP/1.1\r\n\r\n", "StatusLine"),
        (b"http/1.1 200 OK\r\n\r\n", "StatusLine"),
        (b"HTTP/1.10 200 OK\r\n\r\n", "StatusLine"),
        (b"HTTP/1.2 200 OK\r\n\r\n", "Version"),
        (b"HTTP/2.0 200 OK\r\n\r\n", "Version"),
        (b"HTTPS/1.1 200 OK\r\n\r\n", "StatusLine"),
        (b"\r\nHTTP/1.1 200 OK\r\n\r\n", "StatusLine"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "StatusLine"),
        (b"{\"error\": 1}", "StatusLine"),
        // Lines.
        (b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\n", "LineEnd"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\n\n", "LineEnd"),
        (b"HTTP/1.1 200 OK\r\nX : y\r\n\r\n", "HeaderName"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n z\r\n\r\n", "HeaderName"),
        (b"HTTP/1.1 200 OK\r\n X: y\r\n\r\n", "HeaderName"),
        (b"HTTP/1.1 200 OK\r\nX: y\rz\r\n\r\n", "HeaderValue"),
        (b"HTTP/1.1 200 OK\r\nX: \0\r\n\r\n", "HeaderValue"),
        (b"", "more"),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n", "more"),
    ];
    rows.iter().for_each(|(bytes, expect)| check(Method::Post, bytes, expect));
}

#[test]
fn the_method_that_is_answered_decides_too() {
    let with_length = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n";
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(Method::Get, with_length, "200 [OK] 1.1 length=5 keep");
    check(Method::Head, with_length, "200 [OK] 1.1 none keep");
    check(Method::Head, chunked, "200 [OK] 1.1 none keep");
    check(Method::Head, b"HTTP/1.1 200 OK\r\n\r\n", "200 [OK] 1.1 none keep");
    check(Method::Connect, chunked, "200 [OK] 1.1 none keep");
    check(Method::Connect, b"HTTP/1.1 407 No\r\nContent-Length: 5\r\n\r\n", "407 [No] 1.1 length=5 keep");
}

#[test]
fn interim_responses_are_those_that_another_follows() {
    for (status, is_interim) in [(100, true), (101, false), (102, true), (103, true), (200, false)] {
        let buf = format!("HTTP/1.1 {status} X\r\n\r\n");
        let head = response(buf.as_bytes(), &HeadLimits::default(), Method::Get);
        assert_eq!(head.expect("valid").expect("complete").is_interim(), is_interim, "{status}");
    }
}

#[test]
fn a_response_that_never_ends_its_head_is_refused_at_the_limit() {
    let limits = HeadLimits { head_bytes: 30, ..HeadLimits::default() };
    let endless = [&b"HTTP/1.1 200 "[..], &[b'x'; 100]].concat();
    check_cuts(&endless, "HeadTooLarge", |scan, buf| outcome(scan.response(buf, &limits, Method::Get), buf));
    let exact = b"HTTP/1.1 200 OK\r\nABCD: fgh\r\n\r\n";
    assert_eq!(exact.len(), 30);
    let expect = "200 [OK] 1.1 until-close close";
    check_cuts(exact, expect, |scan, buf| outcome(scan.response(buf, &limits, Method::Get), buf));
}
