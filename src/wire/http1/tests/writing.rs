use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

/// The lines that are copied from a request with these lines.
fn copied(lines: &str) -> String {
    let buf = format!("POST / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
    let head = request(buf.as_bytes(), &HeadLimits::default()).expect("valid").expect("complete");
    let mut out = Vec::new();
    write::copy_end_to_end(&mut out, buf.as_bytes(), &head.headers, |header, name| {
        header.known == Known::Host || name.eq_ignore_ascii_case(b"x-skip")
    });
    String::from_utf8(out).expect("text")
}

#[test]
fn start_lines_headers_and_chunks() {
    let mut out = Vec::new();
    write::status_line(&mut out, 200);
    write::status_line(&mut out, 599);
    write::request_line(&mut out, b"POST", b"/v1?a=b");
    write::header(&mut out, b"x", b"y\r\nz: w\0\x7f");
    for n in [0, 9, 10, 1234567890, u64::MAX] {
        write::content_length(&mut out, n);
    }
    for n in [1, 15, 16, 255, 0xdead_beef, usize::MAX] {
        write::chunk_head(&mut out, n);
    }
    write::via(&mut out, Version::Http10, b"tollgate");
    write::via(&mut out, Version::Http11, b"tollgate");
    write::end(&mut out);
    write::last_chunk(&mut out, b"");
    write::last_chunk(&mut out, b"X: y\r\n");
    let expect = "HTTP/1.1 200 OK\r\nHTTP/1.1 599 \r\nPOST /v1?a=b HTTP/1.1\r\nx: y  z: w  \r\n\
        content-length: 0\r\ncontent-length: 9\r\ncontent-length: 10\r\ncontent-length: 1234567890\r\n\
        content-length: 18446744073709551615\r\n\
        1\r\nf\r\n10\r\nff\r\ndeadbeef\r\nffffffffffffffff\r\n\
        via: 1.0 tollgate\r\nvia: 1.1 tollgate\r\n\r\n0\r\n\r\n0\r\nX: y\r\n\r\n";
    assert_eq!(out.escape_ascii().to_string(), expect.as_bytes().escape_ascii().to_string());
}

#[test]
fn only_end_to_end_headers_are_copied() {
    for (lines, expect) in [
        ("", ""),
        ("Accept:  a \r\nX-Team: b\r\nEmpty:\r\n", "Accept: a\r\nX-Team: b\r\nEmpty: \r\n"),
        ("Via: 1.1 a\r\nvia: 1.0 b\r\n", "Via: 1.1 a\r\nvia: 1.0 b\r\n"),
        ("Content-Length: 5\r\nContent-Type: t\r\n", "Content-Type: t\r\n"),
        ("Transfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\n", ""),
        ("Connection: close\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nProxy-Authorization: y\r\n", ""),
        (
            "Proxy-Authenticate: x\r\nProxy-Authentication-Info: y\r\nProxy-Status: z\r\n",
            "Proxy-Status: z\r\n",
        ),
        ("Connection: x-a, X-B\r\nX-A: 1\r\nx-b: 2\r\nX-C: 3\r\n", "X-C: 3\r\n"),
        ("X-A: 1\r\nConnection: close\r\nConnection: x-a\r\n", ""),
        ("Connection: close, keep-alive\r\nClose: 1\r\nX: 2\r\n", "Close: 1\r\nX: 2\r\n"),
        ("X-Skip: 1\r\nx-skip: 2\r\nX-Skipped: 3\r\n", "X-Skipped: 3\r\n"),
    ] {
        assert_eq!(copied(lines), expect, "{lines}");
    }
}

#[test]
fn forwarded_for_is_one_line_that_ends_in_the_peer() {
    for (lines, peer, is_trusted, expect) in [
        ("", "10.0.0.1", true, "10.0.0.1"),
        ("X-Forwarded-For: 1.1.1.1\r\n", "10.0.0.1", false, "10.0.0.1"),
        ("X-Forwarded-For: 1.1.1.1\r\n", "10.0.0.1", true, "1.1.1.1, 10.0.0.1"),
        ("X-Forwarded-For: a, b\r\nX: y\r\nx-forwarded-for: c\r\n", "::1", true, "a, b, c, ::1"),
        ("X-Forwarded-For:\r\n", "::ffff:10.0.0.1", true, "10.0.0.1"),
    ] {
        let buf = format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n");
        let head = request(buf.as_bytes(), &HeadLimits::default()).expect("valid").expect("complete");
        let peer: IpAddr = peer.parse().expect("an address");
        let mut out = Vec::new();
        write::forwarded_for(&mut out, buf.as_bytes(), &head.headers, peer, is_trusted);
        assert_eq!(String::from_utf8_lossy(&out), format!("x-forwarded-for: {expect}\r\n"));
    }
}

#[test]
fn every_fault_has_a_reason_phrase_for_its_status() {
    for status in [100, 200, 400, 413, 414, 429, 431, 500, 501, 502, 503, 504, 505] {
        assert!(!write::reason(status).is_empty(), "{status}");
    }
    assert!(write::CONTINUE.starts_with(b"HTTP/1.1 100 Continue\r\n"));
}

proptest! {
    /// What is written is parsed back, whatever the values are.
    #[test]
    fn a_written_head_is_parsed_back(
        target in "/[!-\"$-;=?-Z_a-z~]{0,40}",
        headers in proptest::collection::vec(("x-[!#$%&'*+.^_`|~a-zA-Z0-9-]{1,20}", any::<Vec<u8>>()), 0..20),
        length: u64,
    ) {
        let target = target.replace(['"', '^'], "-");
        let mut out = Vec::new();
        write::request_line(&mut out, b"POST", target.as_bytes());
        write::header(&mut out, b"host", b"a.example:8080");
        for (name, value) in &headers {
            write::header(&mut out, name.as_bytes(), value);
        }
        write::content_length(&mut out, length);
        write::end(&mut out);
        let limits = HeadLimits { head_bytes: MAX_HEAD_BYTES, ..HeadLimits::default() };
        let head = request(&out, &limits).expect("valid").expect("complete");
        prop_assert_eq!(head.target.of(&out), target.as_bytes());
        prop_assert_eq!((head.framing, head.len), (Framing::Length(length), out.len()));
        prop_assert_eq!(head.headers.len(), headers.len() + 2);
        for ((name, value), header) in headers.iter().zip(head.headers.iter().skip(1)) {
            let clean: Vec<u8> =
                value.iter().map(|b| if crate::base::ascii::is_value(*b) { *b } else { b' ' }).collect();
            prop_assert_eq!(header.name.of(&out), name.as_bytes());
            prop_assert_eq!(header.value.of(&out), crate::base::ascii::trim(&clean));
        }
    }

    /// Copying what was copied changes nothing, and what was copied is a valid part of a head.
    #[test]
    fn copying_twice_is_copying_once(
        lines in "((X-[A-C]|Te|Via|Connection|Keep-Alive|Accept): [x,-ACa ]{0,9}\r\n){0,8}",
    ) {
        let once = copied(&lines);
        prop_assert_eq!(copied(&once), once);
    }

    #[test]
    fn written_chunks_are_read_back(
        chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..6),
    ) {
        let mut out = Vec::new();
        for chunk in &chunks {
            write::chunk_head(&mut out, chunk.len());
            out.extend_from_slice(chunk);
            out.extend_from_slice(write::CHUNK_END);
        }
        out.extend_from_slice(write::LAST_CHUNK);
        let mut reader = BodyReader::new(Framing::Chunked, 1 << 20).expect("no length");
        let mut payload = Vec::new();
        let progress = reader.read(&out, |span| payload.extend_from_slice(span.of(&out)));
        prop_assert_eq!(progress, Ok(Progress { consumed: out.len(), done: true }));
        prop_assert_eq!(payload, chunks.concat());
    }
}
