use super::*;

/// `METHOD path[?query] host=H version framing keep|close [continue]`, or the fault's name.
pub(super) fn outcome(result: Result<Option<RequestHead>, HeadFault>, buf: &[u8]) -> Option<String> {
    let head = match result {
        Ok(head) => head?,
        Err(fault) => return Some(format!("{fault:?}")),
    };
    let query = head.query.map_or(String::new(), |query| format!("?{}", text(query.of(buf))));
    Some(format!(
        "{} {}{query} host={} {} {} {}{}",
        text(head.method_text.of(buf)),
        text(head.path_of(buf)),
        head.host.map_or("-".into(), |host| text(host.of(buf))),
        if head.version == Version::Http11 { "1.1" } else { "1.0" },
        framing_text(head.framing),
        if head.keep_alive { "keep" } else { "close" },
        if head.expects_continue { " continue" } else { "" },
    ))
}

fn check_with(limits: &HeadLimits, bytes: &[u8], expect: &str) {
    check_cuts(bytes, expect, |scan, buf| outcome(scan.request(buf, limits), buf));
    if expect != "more" {
        let followed = [bytes, b"GET /next HTTP/1.1\r\n\r\n\n\n\0"].concat();
        let got = outcome(request(&followed, limits), &followed);
        assert_eq!(got.as_deref(), Some(expect), "followed: {}", text(bytes));
    }
}

fn check(bytes: &[u8], expect: &str) {
    check_with(&HeadLimits::default(), bytes, expect);
}

#[test]
fn whole_heads() {
    let rows: &[(&[u8], &str)] = &[
        // What is good.
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / host=a 1.1 none keep"),
        (b"GET / HTTP/1.0\r\n\r\n", "GET / host=- 1.0 none close"),
        (b"GET / HTTP/1.0\r\nHost: a\r\n\r\n", "GET / host=a 1.0 none close"),
        (b"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", "GET / host=- 1.0 none keep"),
        (b"GET / HTTP/1.1\r\nhOsT:a\r\n\r\n", "GET / host=a 1.1 none keep"),
        (b"GET / HTTP/1.1\r\nHost: \t a:80 \t \r\n\r\n", "GET / host=a:80 1.1 none keep"),
        (b"M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n", "M-SEARCH / host=a 1.1 none keep"),
        (b"get / HTTP/1.1\r\nHost: a\r\n\r\n", "get / host=a 1.1 none keep"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX:\r\n\r\n", "GET / host=a 1.1 none keep"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \t\r\n\r\n", "GET / host=a 1.1 none keep"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: \x80\xff\t~\r\n\r\n", "GET / host=a 1.1 none keep"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~09azAZ: v\r\n\r\n", "GET / host=a 1.1 none keep"),
        // Empty lines before.
        (b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / host=a 1.1 none keep"),
        (b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "GET / host=a 1.1 none keep"),
        (b"\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "LineEnd"),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "LineEnd"),
        (b"\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "LineEnd"),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", "LineEnd"),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"\r\n GET / HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"\0GET / HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"\xef\xbb\xbfGET / HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        // Not HTTP at all.
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "RequestLine"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Version"),
        (b"{\"model\": \"x\"}\r\n\r\n", "RequestLine"),
        (b"", "more"),
        (b"\r", "more"),
        (b"\r\n\r\n", "more"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", "more"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", "more"),
        // Line ends.
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", "LineEnd"),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", "LineEnd"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", "LineEnd"),
        (b"GET / HTTP/1.1\nHost: a\n\n", "LineEnd"),
        (b"GET / HTTP/1.1\r\nX: y\nHost: a\r\n\r\n", "LineEnd"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\n\r\n\r\n", "LineEnd"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\rTransfer-Encoding: chunked\r\n\r\n", "HeaderValue"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\r\n\r\n", "HeaderValue"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX\r: y\r\n\r\n", "HeaderName"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rX: y\r\n\r\n", "HeaderName"),
        (b"GET / HTTP/1.1\r\n\rHost: a\r\n\r\n", "HeaderName"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n", "TRACE / host=a 1.1 none keep"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "TRACE / host=a 1.1 length=0 keep"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n", "TraceContent"),
        (b"TRACE / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", "TraceContent"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nAuthorization: x\r\nauthorization: x\r\n\r\n", "CredentialsRepeated"),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/1.1\rHost: a\r\n\r\n", "RequestLine"),
        // The request line.
        (b"GET /\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET /\tHTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/1.1\0\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"G\xc3\x89T / HTTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/11.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/ 1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP-1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / FTP/1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", "RequestLine"),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "Version"),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", "Version"),
        (b"GET / HTTP/1.9\r\nHost: a\r\n\r\n", "Version"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "Version"),
        (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", "Version"),
        // Host.
        (b"GET / HTTP/1.1\r\n\r\n", "HostMissing"),
        (b"GET / HTTP/1.1\r\nX-Host: a\r\n\r\n", "HostMissing"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", "HostRepeated"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: y\r\nhost: b\r\n\r\n", "HostRepeated"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", "HostRepeated"),
        (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: a:99999\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: http://a\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.0\r\nHost: a?b\r\n\r\n", "HostInvalid"),
        (b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "GET / host=[::1]:8080 1.1 none keep"),
        // Absolute targets still need a valid Host, which then does not count.
        (b"GET http://b/p?q HTTP/1.1\r\nHost: a\r\n\r\n", "GET /p?q host=b 1.1 none keep"),
        (b"GET http://b/p HTTP/1.1\r\n\r\n", "HostMissing"),
        (b"GET http://b/p HTTP/1.1\r\nHost: a b\r\n\r\n", "HostInvalid"),
        (b"GET http://b/p HTTP/1.0\r\n\r\n", "GET /p host=b 1.0 none close"),
        // CONNECT, whatever it wants.
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", "Connect"),
        (b"CONNECT / HTTP/1.1\r\n\r\n", "Connect"),
    ];
    rows.iter().for_each(|(bytes, expect)| check(bytes, expect));
}

#[test]
fn targets() {
    for (target, expect) in [
        ("/v1/chat/completions", "/v1/chat/completions host=h"),
        ("/?", "/? host=h"),
        ("/a?b=c&d?e", "/a?b=c&d?e host=h"),
        ("/a%20b;c=d,e+f!$&()*~-._:@[]", "/a%20b;c=d,e+f!$&()*~-._:@[] host=h"),
        ("//a/b", "//a/b host=h"),
        ("/http://x/", "/http://x/ host=h"),
        ("http://b", "/ host=b"),
        ("http://b/", "/ host=b"),
        ("http://b?q", "/?q host=b"),
        ("HTTPS://B:8443/p", "/p host=B:8443"),
        ("http://[::1]:1/p", "/p host=[::1]:1"),
        ("http:///p", "Target"),
        ("http://", "Target"),
        ("http://u@b/p", "Target"),
        ("http://u:p@b/p", "Target"),
        ("http://b:x/p", "Target"),
        ("http:/b/p", "Target"),
        ("ftp://b/p", "Target"),
        ("a.example:443", "Target"),
        ("v1/chat", "Target"),
        ("?q", "Target"),
        ("*", "Target"),
        ("**", "Target"),
        ("/a#b", "Target"),
        ("http://b#c", "Target"),
        ("/a\\b", "Target"),
        ("/a\"b", "Target"),
        ("/<a>", "Target"),
        ("/{a}", "Target"),
        ("/a|b", "Target"),
        ("/a^b", "Target"),
        ("/`a`", "Target"),
        ("/caf\u{e9}", "Target"),
        ("/a\x7fb", "RequestLine"),
        ("/a\x01b", "RequestLine"),
        ("/a\0b", "RequestLine"),
        ("/0123456789012345678901234567890123456789\x7f", "RequestLine"),
        ("/0123456789012345678901234567890123456789\x1f", "RequestLine"),
    ] {
        let bytes = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n");
        let is_fault = !expect.contains(' ');
        let expect = if is_fault { expect.into() } else { format!("GET {expect} 1.1 none keep") };
        check(bytes.as_bytes(), &expect);
    }
    check(b"OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n", "OPTIONS * host=h 1.1 none keep");
    check(b"GET /\xff HTTP/1.1\r\nHost: h\r\n\r\n", "RequestLine");
}

#[test]
fn header_lines_and_framing() {
    for (lines, expect) in [
        // Content-Length.
        ("Content-Length: 0", "length=0 keep"),
        ("content-length:5", "length=5 keep"),
        ("Content-Length: 007", "length=7 keep"),
        ("Content-Length: 18446744073709551615", "length=18446744073709551615 keep"),
        ("Content-Length: 18446744073709551616", "LengthInvalid"),
        ("Content-Length: 99999999999999999999999", "LengthInvalid"),
        ("Content-Length:", "LengthInvalid"),
        ("Content-Length: +5", "LengthInvalid"),
        ("Content-Length: -5", "LengthInvalid"),
        ("Content-Length: 5 5", "LengthInvalid"),
        ("Content-Length: 5\t", "length=5 keep"),
        ("Content-Length: 5;", "LengthInvalid"),
        ("Content-Length: 0x5", "LengthInvalid"),
        ("Content-Length: 5.0", "LengthInvalid"),
        ("Content-Length: 5e1", "LengthInvalid"),
        ("Content-Length: \"5\"", "LengthInvalid"),
        ("Content-Length: five", "LengthInvalid"),
        ("Content-Length: \u{665}", "LengthInvalid"),
        ("Content-Length: 5, 5", "LengthRepeated"),
        ("Content-Length: 5,", "LengthRepeated"),
        ("Content-Length: ,5", "LengthRepeated"),
        ("Content-Length: 5\r\nContent-Length: 5", "LengthRepeated"),
        ("Content-Length: 5\r\nContent-Length: 6", "LengthRepeated"),
        ("Content-Length: 5\r\nX: y\r\nCONTENT-LENGTH: 5", "LengthRepeated"),
        ("Content_Length: 5", "Disguised"),
        ("Content_Lengths: 5", "none keep"),
        ("Content-Length : 5", "HeaderName"),
        // Transfer-Encoding.
        ("Transfer-Encoding: chunked", "chunked keep"),
        ("transfer-encoding:CHUNKED", "chunked keep"),
        ("Transfer-Encoding: \tchunked \t", "chunked keep"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "LengthAndCoding"),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", "LengthAndCoding"),
        ("Content-Length: 5\r\nTransfer-Encoding: identity", "LengthAndCoding"),
        ("Content-Length: x\r\nTransfer-Encoding:", "LengthAndCoding"),
        ("Transfer-Encoding: gzip, chunked", "CodingUnknown"),
        ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", "CodingUnknown"),
        ("Transfer-Encoding: identity, chunked", "CodingUnknown"),
        ("Transfer-Encoding: deflate;q=1, gzip, chunked", "CodingUnknown"),
        ("Transfer-Encoding: gzip", "CodingInvalid"),
        ("Transfer-Encoding: identity", "CodingInvalid"),
        ("Transfer-Encoding: xchunked", "CodingInvalid"),
        ("Transfer-Encoding: chunkedx", "CodingInvalid"),
        ("Transfer-Encoding: chunked, gzip", "CodingInvalid"),
        ("Transfer-Encoding: chunked, chunked", "CodingInvalid"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "CodingInvalid"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "CodingInvalid"),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding:", "CodingInvalid"),
        ("Transfer-Encoding: chunked, gzip, chunked", "CodingInvalid"),
        ("Transfer-Encoding: chunked;x, chunked", "CodingInvalid"),
        ("Transfer-Encoding: chunked;x=y", "CodingInvalid"),
        ("Transfer-Encoding: chunked;", "CodingInvalid"),
        ("Transfer-Encoding: ,chunked", "CodingInvalid"),
        ("Transfer-Encoding: chunked,", "CodingInvalid"),
        ("Transfer-Encoding: \"chunked\"", "CodingInvalid"),
        ("Transfer-Encoding: 'chunked'", "CodingInvalid"),
        ("Transfer-Encoding: chunked chunked", "CodingInvalid"),
        ("Transfer-Encoding: \u{b}chunked", "HeaderValue"),
        ("Transfer-Encoding: chunked\0", "HeaderValue"),
        ("Transfer-Encoding:", "CodingInvalid"),
        ("Transfer-Encoding : chunked", "HeaderName"),
        ("Transfer-Encoding\t: chunked", "HeaderName"),
        ("Transfer_Encoding: chunked", "Disguised"),
        ("x-forwarded_for: 1", "Disguised"),
        ("api_key: 1", "none keep"),
        ("Transfer-Encoding:\r\n chunked", "HeaderName"),
        // Lines.
        (" X: y", "HeaderName"),
        ("X: y\r\n folded", "HeaderName"),
        ("X: y\r\n\tfolded", "HeaderName"),
        ("X: y\r\n ", "HeaderName"),
        (": y", "HeaderName"),
        ("X", "HeaderName"),
        ("X y", "HeaderName"),
        ("X Y: z", "HeaderName"),
        ("X(: z", "HeaderName"),
        ("X@: z", "HeaderName"),
        ("\"X\": z", "HeaderName"),
        ("X\0: z", "HeaderName"),
        ("X\u{e9}: z", "HeaderName"),
        ("X: a\0b", "HeaderValue"),
        ("X: a\x08b", "HeaderValue"),
        ("X: a\x1bb", "HeaderValue"),
        ("X: a\x7fb", "HeaderValue"),
        ("X: \x7f", "HeaderValue"),
        ("X: 0123456789012345678901234567890123456789\x7f012345678901234567890", "HeaderValue"),
        ("X: 0123456789012345678901234567890123456789\x01", "HeaderValue"),
        ("X: : y", "none keep"),
    ] {
        check_lines(lines, expect);
    }
}

#[test]
fn connection_and_expectations() {
    for (lines, expect) in [
        // The connection.
        ("Connection: close", "none close"),
        ("Connection: CLOSE", "none close"),
        ("Connection: keep-alive, close", "none close"),
        ("Connection: keep-alive\r\nConnection: x, close", "none close"),
        ("Connection: keep-alive", "none keep"),
        ("Connection: closed", "none keep"),
        ("Connection: content-length", "ConnectionOption"),
        ("Connection: close\r\nConnection: x, Transfer-Encoding", "ConnectionOption"),
        ("Connection: HOST", "ConnectionOption"),
        ("Connection: authorization", "none keep"),
        ("Connection: ", "none keep"),
        ("Connection: , ,x-a", "none keep"),
        ("Proxy-Connection: close", "none keep"),
        ("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "none keep"),
        ("Connection: a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p\r\nConnection: q", "ConnectionOptions"),
        // Expect.
        ("Expect: 100-continue\r\nContent-Length: 5", "length=5 keep continue"),
        ("Transfer-Encoding: chunked\r\nexpect: 100-Continue", "chunked keep continue"),
        ("Expect: 100-continue\r\nContent-Length: 0", "length=0 keep"),
        ("Expect: 100-continue", "none keep"),
        ("Expect: 200-ok\r\nContent-Length: 5", "Expectation"),
        ("Expect: 100-continue, 100-Continue\r\nContent-Length: 5", "length=5 keep continue"),
        ("Expect: 100-continue, x\r\nContent-Length: 5", "Expectation"),
        ("Expect:\r\nContent-Length: 5", "length=5 keep"),
    ] {
        check_lines(lines, expect);
    }
}

/// `expect` is a fault, or framing and what becomes of the connection.
fn check_lines(lines: &str, expect: &str) {
    let bytes = format!("POST /p HTTP/1.1\r\nHost: h\r\n{lines}\r\n\r\n");
    let is_fault = !expect.contains(' ');
    let expect = if is_fault { expect.into() } else { format!("POST /p host=h 1.1 {expect}") };
    check(bytes.as_bytes(), &expect);
}

#[test]
fn http_1_0_has_no_chunks_and_no_continue() {
    for (lines, expect) in [
        ("Transfer-Encoding: chunked", "CodingInOldVersion"),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", "CodingInOldVersion"),
        ("Content-Length: 5\r\nExpect: 100-continue", "POST / host=- 1.0 length=5 close"),
        ("Content-Length: 5\r\nExpect: x", "POST / host=- 1.0 length=5 close"),
        ("Connection: keep-alive, close", "POST / host=- 1.0 none close"),
    ] {
        check(format!("POST / HTTP/1.0\r\n{lines}\r\n\r\n").as_bytes(), expect);
    }
}

#[test]
fn limits_are_exact() {
    let head = b"GET /ab HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    let whole = HeadLimits { head_bytes: head.len(), headers: 2, target_bytes: 3 };
    check_with(&whole, head, "GET /ab host=a 1.1 none keep");
    check_with(&HeadLimits { head_bytes: head.len() - 1, ..whole }, head, "HeadTooLarge");
    check_with(&HeadLimits { headers: 1, ..whole }, head, "TooManyHeaders");
    check_with(&HeadLimits { headers: 0, ..whole }, head, "TooManyHeaders");
    check_with(&HeadLimits { target_bytes: 2, ..whole }, head, "TargetTooLong");
    check_with(&HeadLimits { head_bytes: 17, ..whole }, head, "TargetTooLong");
    check_with(&HeadLimits { head_bytes: 18, ..whole }, head, "HeadTooLarge");
    check_with(&HeadLimits { head_bytes: 0, ..whole }, head, "TargetTooLong");
}

#[test]
fn a_head_is_refused_as_soon_as_it_cannot_end_within_the_limit() {
    let limits = HeadLimits { head_bytes: 40, ..HeadLimits::default() };
    let head = [&b"GET / HTTP/1.1\r\nHost: "[..], &[b'a'; 100]].concat();
    let mut scan = HeadScan::default();
    let refused = (0..head.len()).find(|arrived| scan.request(&head[..*arrived], &limits).is_err());
    assert_eq!(refused, Some(40));
}

#[test]
fn asking_again_gives_the_same_answer() {
    let limits = HeadLimits::default();
    for bytes in
        [&b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\nGET"[..], b"GET / HTTP/1.1\r\nX: y\r\nHost: a\n\r\n"]
    {
        let mut scan = HeadScan::default();
        let first = outcome(scan.request(bytes, &limits), bytes);
        let again = outcome(scan.request(bytes, &limits), bytes);
        assert_eq!(again, first);
    }
}

#[test]
fn no_limit_goes_beyond_what_is_built_in() {
    let endless = HeadLimits { head_bytes: usize::MAX, headers: usize::MAX, target_bytes: usize::MAX };
    let with_headers = |count: usize| {
        let lines: String = (1..count).map(|i| format!("X{i}: y\r\n")).collect();
        format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes()
    };
    let head = request(&with_headers(MAX_HEADERS), &endless).expect("fits").expect("complete");
    assert_eq!(head.headers.len(), MAX_HEADERS);
    assert_eq!(request(&with_headers(MAX_HEADERS + 1), &endless).err(), Some(HeadFault::TooManyHeaders));

    let with_value = |len: usize| {
        let frame = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\n".len();
        format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "v".repeat(len - frame)).into_bytes()
    };
    let largest = with_value(MAX_HEAD_BYTES);
    let head = request(&largest, &endless).expect("fits").expect("complete");
    assert_eq!((head.len, head.headers.get(&largest, b"x").map(|v| v.range().end)), (65535, Some(65531)));
    let larger = with_value(MAX_HEAD_BYTES + 1);
    assert_eq!(request(&larger, &endless).err(), Some(HeadFault::HeadTooLarge));
    assert_eq!(request(&[b'A'; 1 << 20], &endless).err(), Some(HeadFault::TargetTooLong));
}

#[test]
fn spans_point_into_the_buffer() {
    let buf = b"\r\nPOST /p?q=1 HTTP/1.1\r\nHost: h\r\nX-Team: a\r\nAccept: b\r\nx-team: \r\n\r\n{}";
    let head = request(buf, &HeadLimits::default()).expect("valid").expect("complete");
    assert_eq!((head.len, &buf[head.len..]), (buf.len() - 2, &b"{}"[..]));
    assert_eq!(head.target.of(buf), b"/p?q=1");
    assert_eq!((head.method, head.method_text.of(buf)), (Method::Post, &b"POST"[..]));
    let named: Vec<_> = head.headers.named(buf, b"X-TEAM").map(|value| value.of(buf)).collect();
    assert_eq!(named, [&b"a"[..], b""]);
    assert_eq!(head.headers.get(buf, b"x-team").map(|value| value.of(buf)), Some(&b"a"[..]));
    assert_eq!(head.headers.get(buf, b"x-tea"), None);
    assert_eq!(head.headers.first(Known::Accept).map(|value| value.of(buf)), Some(&b"b"[..]));
    assert_eq!(head.headers.first(Known::Cookie), None);
    assert!(head.headers.contains(Known::Host) && !head.headers.contains(Known::Te));
    let names: Vec<_> = head.headers.iter().map(|header| (header.name.of(buf), header.known)).collect();
    let expect: [(&[u8], Known); 4] = [
        (b"Host", Known::Host),
        (b"X-Team", Known::Other),
        (b"Accept", Known::Accept),
        (b"x-team", Known::Other),
    ];
    assert_eq!(names, expect);
}

#[test]
fn every_fault_has_a_status_of_its_kind() {
    use HeadFault::*;
    for (fault, status) in [
        (LineEnd, 400),
        (RequestLine, 400),
        (Version, 505),
        (Connect, 501),
        (TargetTooLong, 414),
        (HeadTooLarge, 431),
        (TooManyHeaders, 431),
        (LengthAndCoding, 400),
        (CodingInvalid, 400),
        (CodingUnknown, 501),
    ] {
        assert_eq!(fault.status(), status, "{fault:?}");
        assert!(!fault.reason().is_empty() && fault.to_string() == fault.reason());
    }
}
