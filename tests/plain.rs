//! Plain hosts: what passes passes unchanged, whatever its framing, and what concerns one hop stays there.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::sync::{RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};
use support::{Rig, host, manifests, read_head_only, settings, until};
use tollgate_loadtest::{Script, fnv1a64, plain_body};

const QUIET: &str = "  records: {to: none}\n  workers: {cores: 2, pin: false}";

/// Held by every test; alone by those that measure the process.
static PROCESS: RwLock<()> = RwLock::new(());

fn among_others() -> RwLockReadGuard<'static, ()> {
    PROCESS.read().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A rig whose plain host answers every request with these bytes, in pieces, and goes on reading.
fn answering(pieces: &'static [&'static [u8]], gap: Duration) -> Rig {
    let address = host(move |mut stream| {
        stream.set_nodelay(true).unwrap();
        while !read_head_only(&mut stream).is_empty() {
            for piece in pieces {
                if stream.write_all(piece).is_err() {
                    return;
                }
                std::thread::sleep(gap);
            }
        }
    });
    Rig::with_plain_host(address, QUIET)
}

/// As [`answering`], but the host closes behind its answer.
fn answering_once(answer: &'static [u8]) -> Rig {
    let address = host(move |mut stream| {
        if !read_head_only(&mut stream).is_empty() {
            stream.write_all(answer).ok();
            stream.shutdown(Shutdown::Write).ok();
            std::io::copy(&mut stream, &mut std::io::sink()).ok();
        }
    });
    Rig::with_plain_host(address, QUIET)
}

const GET: &str = "GET /plain/x HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn bodies_pass_whole_however_they_are_framed_and_cut() {
    let _shared = among_others();
    // (answer, status, body, its end is marked by): byte by byte, and twice on one connection.
    type Row = (&'static [u8], u16, &'static str, &'static str);
    let rows: &[Row] = &[
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", "content-length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, "", "content-length"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello", "chunked"),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nh\r\n11;x=y\r\nello, and so long\r\n0\r\n\r\n",
            200,
            "hello, and so long",
            "chunked",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", "chunked"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, "", ""),
        (b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", 204, "", ""),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: x\r\n\r\n", 304, "", "content-length"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "hi", "content-length"),
        (
            b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\nno",
            404,
            "no",
            "content-length",
        ),
    ];
    for (answer, status, body, mark) in rows {
        let bytes: &[&[u8]] = Box::leak(answer.chunks(1).collect::<Vec<_>>().into_boxed_slice());
        let whole: &[&[u8]] = Box::leak(vec![*answer].into_boxed_slice());
        for (pieces, gap) in [(whole, Duration::ZERO), (bytes, Duration::from_micros(300))] {
            let rig = answering(pieces, gap);
            let mut client = rig.client();
            for round in 0..2 {
                client.write(GET);
                let got = client.answer();
                let shown = format!("{} round {round}", answer.escape_ascii());
                assert_eq!(
                    (got.status, got.text().as_str(), got.complete),
                    (*status, *body, true),
                    "{shown}"
                );
                let length = got.header("content-length").map(str::to_owned);
                match *mark {
                    "chunked" => assert_eq!(got.header("transfer-encoding"), Some("chunked"), "{shown}"),
                    "" => assert_eq!(length, None, "{shown}"),
                    _ => assert!(length.is_some() && got.header("transfer-encoding").is_none(), "{shown}"),
                }
                assert_eq!(got.header("via"), Some("1.1 tollgate"), "{shown}");
            }
            assert!(client.unread().is_empty());
            assert_eq!(rig.count(|c| c.upstream_reuses.get()), 1, "{}", answer.escape_ascii());
        }
    }
}

#[test]
fn an_answer_that_ends_with_its_connection_is_chunked_for_those_who_know_chunks() {
    let _shared = among_others();
    for answer in [&b"HTTP/1.1 200 OK\r\n\r\nuntil the end"[..], b"HTTP/1.0 200 OK\r\n\r\nuntil the end"] {
        let rig = answering_once(answer);
        let mut client = rig.client();
        for _ in 0..2 {
            client.write(GET);
            let got = client.answer();
            assert_eq!((got.text().as_str(), got.complete), ("until the end", true));
            assert_eq!(got.header("transfer-encoding"), Some("chunked"));
        }
        for line in ["", "Connection: keep-alive\r\n"] {
            let mut old = rig.client();
            old.write(format!("GET /plain/x HTTP/1.0\r\n{line}\r\n"));
            let got = old.answer();
            assert_eq!((got.text().as_str(), got.header("connection")), ("until the end", Some("close")));
            assert_eq!(got.header("transfer-encoding"), None);
            assert!(old.is_over());
        }
    }
}

#[test]
fn trailers_pass_and_those_that_would_change_meaning_do_not() {
    let _shared = among_others();
    let answer: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n"];
    let rig = answering(answer, Duration::ZERO);
    let mut client = rig.client();
    client.write(GET);
    let end = b"\r\n0\r\nx-sum: 7\r\n\r\n";
    let mut raw = Vec::new();
    while !raw.ends_with(end) {
        assert!(client.fill(), "{}", raw.escape_ascii());
        raw = client.unread().to_vec();
    }
    assert!(!raw.windows(15).any(|w| w.eq_ignore_ascii_case(b"content-length:")), "{}", raw.escape_ascii());
}

#[test]
fn broken_answers_become_502_or_a_broken_connection_never_a_whole_answer() {
    let _shared = among_others();
    // (answer, status that the client sees; 0: the connection ends before the answer is complete)
    let rows: &[(&[u8], u16)] = &[
        (b"", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Le", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nX: y\r\n folded\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 502),
        (b"HTTP/2.0 200 OK\r\n\r\n", 502),
        (b"SSH-2.0-OpenSSH\r\n", 502),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", 502),
        (b"HTTP/1.1 99 X\r\n\r\n", 502),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnot a chunk", 502),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 0),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 0),
    ];
    for (answer, status) in rows {
        let rig = answering_once(answer);
        let mut client = rig.client();
        client.write(GET);
        let got = client.answer();
        let shown = answer.escape_ascii();
        match status {
            0 => {
                assert_eq!((got.status, got.complete), (200, false), "{shown}");
                assert!(client.is_over(), "{shown}");
            }
            _ => {
                assert_eq!((got.status, got.complete), (*status, true), "{shown}");
                assert_ne!(got.header("connection"), Some("close"), "the fault is not the client's: {shown}");
                client.write(GET);
                assert_eq!(client.answer().status, *status, "the connection goes on: {shown}");
            }
        }
    }
}

#[test]
fn answers_to_head_have_a_head_alone() {
    let _shared = among_others();
    let answer: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"];
    let rig = answering(answer, Duration::ZERO);
    let mut client = rig.client();
    for (target, status) in [("/plain/x", 200), ("/nowhere", 404), ("/plain/../x", 400), ("/openai", 405)] {
        client.write(format!("HEAD {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        let got = client.answer_to_head();
        assert_eq!(got.status, status, "{target}");
        let length: usize = got.header("content-length").unwrap().parse().unwrap();
        assert!(length > 0, "{target} says how long the answer to GET is");
    }
    client.write("HEAD /plain/x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.answer_to_head().status, 200, "no byte of a body came in between");
    assert!(client.unread().is_empty());
}

#[test]
fn methods_and_bodies_reach_the_host_as_they_were_sent() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), "");
    let mut client = rig.client();
    for method in ["GET", "OPTIONS", "DELETE", "TRACE", "M-SEARCH", "get"] {
        client.write(format!("{method} /plain/plain?a=b&c HTTP/1.1\r\nHost: a\r\n\r\n"));
        client.answer();
        let seen = rig.simulator.requests().pop().unwrap();
        assert_eq!((seen.method.as_str(), seen.target.as_str()), (method, "/plain?a=b&c"));
    }
    client.write("POST /plain/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nx-sum: 5\r\n\r\n");
    assert_eq!(client.answer().text(), "hello");
    client.write("POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    client.write("hello");
    assert_eq!(client.answer().text(), "hello");
    client.write("POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().text(), "");
    support::assert_clean(&rig.simulator.ledger());
}

#[test]
fn trailers_of_a_request_pass() {
    let _shared = among_others();
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let address = host(move |mut stream| {
        let head = read_head_only(&mut stream);
        let (mut body, mut byte) = (Vec::new(), [0]);
        while !body.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
            body.push(byte[0]);
        }
        tell.lock().unwrap().send((head, String::from_utf8(body).unwrap())).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let rig = Rig::with_plain_host(address, QUIET);
    let mut client = rig.client();
    client.write("POST /plain/x HTTP/1.1\r\nHost: a\r\nTrailer: x-sum\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.write("5\r\nhello\r\n0\r\nx-sum: 5\r\nhost: evil\r\nauthorization: evil\r\n\r\n");
    assert_eq!(client.answer().status, 200);
    let (head, body) = told.recv().unwrap();
    assert!(head.to_ascii_lowercase().contains("transfer-encoding: chunked\r\n"), "{head}");
    assert!(body.ends_with("0\r\nx-sum: 5\r\n\r\n") && !body.contains("evil"), "{body}");
}

#[test]
fn what_concerns_one_hop_stays_there_and_the_way_is_told() {
    let _shared = among_others();
    let answer: &[&[u8]] = &[b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: x-hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
                              Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: x\r\nX-End: 2\r\nVia: 1.0 far\r\n\r\n"];
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let address = host(move |mut stream| {
        loop {
            let head = read_head_only(&mut stream);
            if head.is_empty() {
                return;
            }
            tell.lock().unwrap().send(head.to_ascii_lowercase()).unwrap();
            stream.write_all(answer[0]).unwrap();
        }
    });
    let rig = Rig::with_plain_host(address, QUIET);
    let mut client = rig.client();
    client.write(
        "GET /plain/x HTTP/1.1\r\nHost: Shop.example:8080\r\nConnection: keep-alive, X-Hop, close-not\r\nX-Hop: 1\r\n\
         Close-Not: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nUpgrade: websocket\r\nProxy-Authorization: Basic x\r\n\
         Proxy-Connection: keep-alive\r\nX-Forwarded-For: 10.1.2.3\r\nX-Forwarded-Proto: gopher\r\n\
         X-Forwarded-Host: evil\r\nVia: 1.0 near\r\nX-End: 2\r\nCookie: a=b\r\nAuthorization: Bearer t\r\n\r\n",
    );
    let got = client.answer();
    let head = told.recv().unwrap();
    for gone in [
        "x-hop",
        "close-not",
        "keep-alive",
        "te:",
        "upgrade",
        "proxy-",
        "gopher",
        "evil",
        "connection:",
        "expect",
    ] {
        assert!(!head.contains(gone), "{gone} in {head}");
    }
    for kept in [
        "get /x http/1.1\r\n",
        "\r\nhost: shop.example:8080\r\n",
        "\r\nx-end: 2\r\n",
        "\r\ncookie: a=b\r\n",
        "\r\nauthorization: bearer t\r\n",
        "\r\nvia: 1.0 near\r\n",
        "\r\nvia: 1.1 tollgate\r\n",
        "\r\nx-forwarded-for: 10.1.2.3, 127.0.0.1\r\n",
        "\r\nx-forwarded-proto: http\r\n",
        "\r\nx-forwarded-host: shop.example:8080\r\n",
    ] {
        assert_eq!(head.matches(kept).count(), 1, "{kept:?} in {head}");
    }
    for gone in ["x-hop", "keep-alive", "proxy-authenticate", "upgrade", "trailer", "connection"] {
        assert_eq!(got.header(gone), None);
    }
    assert_eq!(got.header("x-end"), Some("2"));
    let via: Vec<_> = got.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("via")).collect();
    assert_eq!(via.len(), 2, "{via:?}");
}

#[test]
fn the_interim_answer_comes_when_it_is_waited_for_and_only_then() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), "");
    let body = support::chat("gpt-4o", false);
    for (path, body) in [("/plain/echo", "hello"), ("/openai", body.as_str())] {
        let head = |length: usize| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {length}\r\n\r\n"
            )
        };
        let mut client = rig.client();
        client.write(head(body.len()));
        assert_eq!(client.any_answer().status, 100, "{path}: before the body");
        client.write(body);
        assert_eq!(client.any_answer().status, 200, "{path}");
        client.write(head(body.len()) + body);
        assert_eq!(client.any_answer().status, 200, "{path}: no interim answer when the body came along");
        client.write(head(64 << 20));
        assert_eq!(client.any_answer().status, 413, "{path}: instead of an interim answer");
        assert!(client.is_over());
    }
    assert!(rig.simulator.requests().iter().all(|seen| seen.header("expect").is_none()));
}

#[test]
fn a_slow_upload_has_all_the_time_it_needs_and_the_host_as_much_after_it() {
    let _shared = among_others();
    let spec = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n  timeouts: {firstByte: 400ms}";
    let rig = Rig::start_with(Script::default(), &manifests(""), &settings(spec));
    let mut client = rig.client();
    client.write("POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for piece in ["ab", "cd", "ef", "gh"] {
        std::thread::sleep(Duration::from_millis(200));
        client.write(piece);
    }
    let got = client.answer();
    assert_eq!((got.status, got.text().as_str()), (200, "abcdefgh"));
    // And a host that does not begin to answer is given up.
    client.write("GET /plain/plain HTTP/1.1\r\nHost: a\r\nX-Sim-Fault: stall\r\n\r\n");
    assert_eq!(client.answer().status, 504);
}

#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let _shared = among_others();
    let spec = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n  requests: {bodyBytes: 64Mi}";
    let rig = Rig::start_with(Script::default(), &manifests(""), &settings(spec));
    for total in [1 << 20, 16 << 20] {
        let mut client = rig.client();
        client.write(format!(
            "POST /plain/echo HTTP/1.1\r\nHost: a\r\nX-Sim-Fault: early\r\nContent-Length: {total}\r\n\r\n"
        ));
        let mut writer = client.stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || {
            let piece = vec![b'x'; 64 << 10];
            (0..total / piece.len()).take_while(|_| writer.write_all(&piece).is_ok()).count()
        });
        let sent = sender.join().unwrap();
        assert!(sent >= 1, "{sent}");
        let got = client.answer();
        assert_eq!((got.status, got.complete), (413, true));
        // Only when all of the body had been read by then may the connection go on.
        if got.header("connection").is_some() {
            assert!(client.is_over());
        } else {
            client.write(GET);
            assert_eq!(client.answer().status, 404);
        }
    }
    rig.at_rest();
    until("no connection to the host is left", || rig.simulator.open_connections() <= 2);
}

#[test]
fn an_answer_of_a_host_that_then_resets_the_upload_is_not_lost() {
    let _shared = among_others();
    // Closing with unread input resets the connection: the next piece of the upload cannot be sent.
    let address = host(|mut stream| {
        read_head_only(&mut stream);
        stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno").unwrap();
        // Long enough that the answer has arrived, on a machine with much else to do too: what is on its way may be lost to
        // the reset.
        std::thread::sleep(Duration::from_millis(500));
    });
    let rig = Rig::with_plain_host(address, "  records: {to: none}\n  workers: {cores: 1, pin: false}");
    for _ in 0..4 {
        let mut client = rig.client();
        client.write("POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 4194304\r\n\r\n");
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..64 {
            if client.stream.write_all(&piece).is_err() {
                break;
            }
        }
        let got = client.answer();
        assert_eq!((got.status, got.text().as_str(), got.complete), (403, "no", true));
    }
}

#[test]
fn an_answer_before_the_request_was_sent_costs_the_connection_to_the_host() {
    let _shared = among_others();
    // The host answers when it has the head, and reads the body later, so that it is still on its way.
    let (ask, go) = mpsc::channel::<()>();
    let go = std::sync::Mutex::new(go);
    let address = host(move |mut stream| {
        while !read_head_only(&mut stream).is_empty() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
            go.lock().unwrap().recv().ok();
        }
    });
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  requests: {bodyBytes: 64Mi}";
    let rig = Rig::with_plain_host(address, spec);
    let mut client = rig.client();
    let body = vec![b'x'; 24 << 20];
    client.write(format!("POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&body).is_ok());
    assert_eq!(client.answer().text(), "hi");
    sender.join().unwrap();
    for _ in 0..3 {
        ask.send(()).unwrap();
    }
    let mut next = rig.client();
    next.write(GET);
    assert_eq!(next.answer().text(), "hi");
    assert_eq!(rig.count(|c| c.upstream_reuses.get()), 0);
}

#[test]
fn pooled_connections_are_used_again_and_dead_ones_replaced() {
    let _shared = among_others();
    let script = Script { idle_timeout: Some(Duration::from_millis(30)), ..Script::default() };
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}";
    let rig = Rig::start_with(script, &manifests(""), &settings(spec));
    let get = "GET /plain/plain?bytes=3 HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = rig.client();
    for _ in 0..20 {
        client.write(get);
        assert_eq!(client.answer().status, 200);
    }
    let (connects, reuses) =
        (rig.count(|c| c.upstream_connects.get()), rig.count(|c| c.upstream_reuses.get()));
    assert!(connects + reuses >= 20 && reuses > 0, "{connects} {reuses}");
    for _ in 0..3 {
        until("the host has closed the idle connection", || rig.simulator.open_connections() == 0);
        client.write(get);
        assert_eq!(client.answer().status, 200);
    }
    rig.simulator.set_script(Script::default());
    client.write(get);
    client.answer();
    for _ in 0..20 {
        client.write(get);
        assert_eq!(client.answer().status, 200);
        rig.simulator.reset_connections();
    }
    // A host that closes behind a complete answer that did not announce it, and one that dies on a request.
    let unannounced = get.replace("Host: a", "Host: a\r\nX-Sim-Fault: close-unannounced");
    for request in [unannounced.as_str(), get, unannounced.as_str(), get] {
        client.write(request);
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn a_get_on_a_pooled_connection_that_dies_is_tried_again_and_a_post_is_not() {
    let _shared = among_others();
    // Every connection serves one request, and is closed when the second has arrived on it.
    let address = host(|mut stream| {
        if !read_head_only(&mut stream).is_empty() {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi").unwrap();
            read_head_only(&mut stream);
        }
    });
    let rig = Rig::with_plain_host(address, "  records: {to: none}\n  workers: {cores: 1, pin: false}");
    let mut client = rig.client();
    for _ in 0..5 {
        client.write(GET);
        assert_eq!(client.answer().text(), "hi");
    }
    assert_eq!(rig.count(|c| c.retries.get()), 4);
    client.write("POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(client.answer().status, 502, "a POST may have been acted upon");
    assert_eq!(rig.count(|c| c.retries.get()), 4);
}

#[test]
fn hosts_that_are_not_there_are_503_at_once() {
    let _shared = among_others();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let rig = Rig::with_plain_host(gone, QUIET);
    let mut client = rig.client();
    let begun = Instant::now();
    client.write([GET, GET].concat());
    for _ in 0..2 {
        let got = client.answer();
        assert_eq!(got.status, 503);
        assert!(got.text().contains("refused"), "{}", got.text());
    }
    client.write("POST /plain/x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(client.answer().status, 503);
    assert!(begun.elapsed() < Duration::from_secs(3));
}

#[test]
fn clients_that_vanish_leave_nothing_behind() {
    let _shared = among_others();
    let rig = Rig::start(Script::default(), "");
    let stages: &[&str] = &[
        "",
        "GET /plain/pl",
        "POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
        "POST /plain/echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhello",
        "POST /plain/echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "GET /plain/plain?bytes=9 HTTP/1.1\r\nHost: a\r\nX-Sim-Fault: stall\r\n\r\n",
        "GET /plain/plain?bytes=99999999 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /plain/plain?bytes=99999 HTTP/1.1\r\nHost: a\r\nX-Sim-Fault: slow:1000:50ms\r\n\r\n",
        "POST /openai HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
        "POST /openai HTTP/1.1\r\nHost: a\r\nX-Sim-Fault: stall\r\nContent-Length: 57\r\n\r\n\
         {\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
    ];
    for stage in stages {
        for reset in [false, true] {
            for wait in [0, 20] {
                let mut client = rig.client();
                client.write(stage);
                std::thread::sleep(Duration::from_millis(wait));
                if reset {
                    let socket = socket2::SockRef::from(&client.stream);
                    socket.set_linger(Some(Duration::ZERO)).unwrap();
                }
                drop(client);
            }
        }
        rig.at_rest();
    }
    until("no connection to the provider is left but idle ones", || rig.simulator.open_connections() <= 4);
}

fn resident_bytes() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// The most resident memory that `work` takes beyond what was there before.
fn growth(work: impl FnOnce()) -> usize {
    let before = resident_bytes();
    let (done, stop) = mpsc::channel::<()>();
    let watcher = std::thread::spawn(move || {
        let mut most = 0;
        while stop.recv_timeout(Duration::from_millis(5)) == Err(mpsc::RecvTimeoutError::Timeout) {
            most = most.max(resident_bytes());
        }
        most
    });
    work();
    drop(done);
    watcher.join().unwrap().saturating_sub(before)
}

const BIG: usize = 64 << 20;
const GROWTH_MAX: usize = 24 << 20;

#[test]
fn big_bodies_pass_exactly_and_memory_stays_small() {
    let _alone = PROCESS.write().unwrap_or_else(|poisoned| poisoned.into_inner());
    let spec = "  records: {to: none}\n  workers: {cores: 2, pin: false}\n  requests: {bodyBytes: 128Mi}";

    // Up, to a host that is slow to read: its hash is that of what was sent.
    let (tell, told) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let address = host(move |mut stream| {
        let head = read_head_only(&mut stream);
        assert!(head.to_ascii_lowercase().contains(&format!("content-length: {BIG}\r\n")), "{head}");
        let (mut piece, mut read, mut sum) = (vec![0; 256 << 10], 0, Sum::default());
        while read < BIG {
            let n = stream.read(&mut piece).unwrap();
            assert!(n > 0, "the upload ended early");
            sum.add(&piece[..n]);
            read += n;
            if read % (8 << 20) < n {
                std::thread::sleep(Duration::from_millis(30));
            }
        }
        tell.lock().unwrap().send(sum.0).unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap();
    });
    let rig = Rig::with_plain_host(address, spec);
    let mut client = rig.client();
    client
        .write(GET.replace("GET", "POST").replace("\r\n\r\n", &format!("\r\nContent-Length: {BIG}\r\n\r\n")));
    let (piece, mut sum) = (plain_body(95 * 1024), Sum::default());
    let grown = growth(|| {
        let mut left = BIG;
        while left > 0 {
            let part = &piece[..left.min(piece.len())];
            client.write(part);
            sum.add(part);
            left -= part.len();
        }
        assert_eq!(client.answer().status, 200);
    });
    assert_eq!(told.recv().unwrap(), sum.0);
    assert!(grown < GROWTH_MAX, "{grown} bytes for an upload");
    drop(rig);

    // Down, to a client that is slow to read.
    let rig = Rig::start_with(Script::default(), &manifests(""), &settings(spec));
    let mut client = rig.client();
    let grown = growth(|| {
        client
            .write(format!("GET /plain/plain?bytes={BIG} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
        read_slowly(&mut client.stream);
    });
    assert!(grown < GROWTH_MAX, "{grown} bytes for a download");

    // And through the simulator, which hashes what it gets.
    let body = plain_body(4 << 20);
    let mut client = rig.client();
    client.write(format!("POST /plain/plain HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len()));
    client.write(&body);
    let got = client.answer().json();
    assert_eq!(got["bytes"], body.len());
    assert_eq!(got["fnv1a64"], format!("{:016x}", fnv1a64(&body)));
}

/// A sum that depends on every byte and its place, and costs little in a debug build.
#[derive(Default)]
struct Sum(u64);

impl Sum {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(31).wrapping_add(u64::from(*byte));
        }
    }
}

/// Reads an answer of [`BIG`] plain bytes in pieces, with pauses, and asserts every byte.
fn read_slowly(stream: &mut TcpStream) {
    let head = read_head_only(stream);
    assert!(head.to_ascii_lowercase().contains(&format!("content-length: {BIG}\r\n")), "{head}");
    let (mut at, mut piece) = (0, vec![0; 95 * 1024]);
    let expect = plain_body(2 * piece.len());
    loop {
        let n = stream.read(&mut piece).unwrap();
        if n == 0 {
            break;
        }
        let from = at % 95;
        assert!(piece[..n] == expect[from..from + n], "at {at}");
        if (at + n) / (8 << 20) > at / (8 << 20) {
            std::thread::sleep(Duration::from_millis(30));
        }
        at += n;
    }
    assert_eq!(at, BIG);
}
