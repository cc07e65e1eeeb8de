//! The server as a server: pieces, pipelines, slow readers, many at once, and rules broken by clients.

mod client;

use client::{CHAT, CHAT_STREAM, Client, End, MESSAGE_STREAM, anthropic, get, openai, post};
use std::time::Duration;
use tollgate_loadtest::{AnswerEnd, Count, Script, Simulator, Usage, plain_body, reply_text};

fn metered() -> Script {
    Script { input_tokens: Count::Fixed(120), output_tokens: 30, ..Script::default() }
}

fn start() -> Simulator {
    Simulator::start(metered()).unwrap()
}

/// The same request with its body in chunks of one, two, three... bytes.
fn chunked(body: &str) -> Vec<u8> {
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer k\r\ntransfer-encoding: chunked\r\n\r\n";
    let mut bytes = head.as_bytes().to_vec();
    let (mut rest, mut size) = (body.as_bytes(), 1);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        bytes.extend_from_slice(format!("{:X}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
        (rest, size) = (after, size + 1);
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[test]
fn requests_in_any_two_pieces() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    let mut expected = 0;
    for request in [openai(CHAT, ""), chunked(CHAT)] {
        for cut in 1..request.len() {
            let (a, b) = request.split_at(cut);
            client.send(a);
            // Asking makes the thread look at what it has before the rest is sent.
            assert_eq!(simulator.ledger().completed, expected);
            let answer = client.ask(b);
            expected += 1;
            assert_eq!((answer.status, answer.number()), (200, expected), "cut at {cut}");
            let text = reply_text("gpt-4o-mini", "hello", expected, &metered());
            assert_eq!(answer.json()["choices"][0]["message"]["content"], text);
        }
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.malformed, ledger.protocol_faults, ledger.connections), (0, 0, 1));
    assert_eq!(ledger.reported.output, 30 * expected);
    assert!(simulator.requests().iter().all(|seen| seen.body == CHAT.as_bytes()));
}

#[test]
fn requests_byte_by_byte() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    for request in [openai(CHAT, ""), chunked(CHAT)] {
        for byte in request.chunks(1) {
            client.send(byte);
        }
        assert_eq!(client.answer().status, 200);
    }
}

#[test]
fn pipelines_are_answered_in_order() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    let mut bytes = Vec::new();
    for round in 0..200 {
        match round % 4 {
            0 => bytes.extend(openai(CHAT, "")),
            1 => bytes.extend(anthropic(MESSAGE_STREAM, "")),
            2 => bytes.extend(get("/plain?bytes=1000")),
            _ => bytes.extend(chunked(CHAT_STREAM)),
        }
    }
    client.send(&bytes);
    for round in 0..200 {
        let answer = client.answer();
        assert_eq!((answer.status, answer.number(), answer.complete), (200, round + 1, true));
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.requests, ledger.completed, ledger.reported.output), (200, 200, 150 * 30));
}

#[test]
fn a_pipeline_whose_answers_nobody_reads_stops() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    client.socket().set_nonblocking(true).unwrap();
    let request = get("/plain?bytes=1000000").repeat(1000);
    let mut sent = 0;
    // Sends until nothing moves; asking lets the thread do all it can do in between.
    loop {
        use std::io::Write;
        let before = (sent, simulator.ledger().bytes_out);
        match client.socket().write(&request[sent % request.len()..]) {
            Ok(count) => sent += count,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        if (sent, simulator.ledger().bytes_out) == before {
            break;
        }
    }
    let ledger = simulator.ledger();
    assert!(ledger.bytes_out < 64_000_000, "{}", ledger.bytes_out);
    client.socket().set_nonblocking(false).unwrap();
    for _ in 0..20 {
        assert_eq!(client.answer().body.len(), 1_000_000);
    }
    drop(client);
    let ledger = simulator.ledger();
    assert_eq!(ledger.requests, ledger.completed + ledger.client_gone);
    assert_eq!(simulator.open_connections(), 0);
}

#[test]
fn slow_readers_get_all_of_a_large_answer() {
    let simulator = start();
    let mut slow = Client::to(simulator.addr());
    slow.send(&get("/plain?bytes=20000000"));
    let mut quick = Client::to(simulator.addr());
    for _ in 0..50 {
        assert_eq!(quick.ask(&openai(CHAT, "")).status, 200);
    }
    assert_eq!(simulator.ledger().completed, 50);
    assert!(slow.answer().body == plain_body(20_000_000));
    assert_eq!(simulator.ledger().completed, 51);
}

#[test]
fn two_hundred_streams_at_once() {
    let script = Script {
        chunks: 50,
        chunk_gap: Duration::from_millis(1),
        latency: Duration::from_millis(5),
        ..metered()
    };
    let simulator = Simulator::start(script.clone()).unwrap();
    let mut clients: Vec<Client> = (0..200).map(|_| Client::to(simulator.addr())).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        client.send(&if index % 2 == 0 { openai(CHAT_STREAM, "") } else { anthropic(MESSAGE_STREAM, "") });
    }
    assert_eq!(simulator.open_connections(), 200);
    for (index, client) in clients.iter_mut().enumerate() {
        let answer = client.answer();
        assert!(answer.complete);
        let (model, path) = if index % 2 == 0 { ("gpt-4o-mini", 0) } else { ("claude-haiku-4-5", 1) };
        let events = answer.json_events();
        let texts = events.iter().filter_map(|event| match path {
            0 => event["choices"][0]["delta"]["content"].as_str(),
            _ => event["delta"]["text"].as_str(),
        });
        assert_eq!(texts.collect::<String>(), reply_text(model, "hello", answer.number(), &script));
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.requests, ledger.completed, ledger.connections), (200, 200, 200));
    assert_eq!(ledger.reported, Usage { input: 24_000, output: 6_000, ..Usage::default() });
}

#[test]
fn clients_that_leave_are_counted() {
    let script = Script { chunks: 1000, chunk_gap: Duration::from_millis(50), ..metered() };
    let simulator = Simulator::start(script).unwrap();
    let mut leaving = Client::to(simulator.addr());
    leaving.send(&anthropic(MESSAGE_STREAM, ""));
    while !leaving.peek().ends_with(b"\n\n\r\n") {
        leaving.more().unwrap();
    }
    drop(leaving);
    let mut half = Client::to(simulator.addr());
    half.send(&openai(CHAT, "")[..90]);
    drop(half);
    Client::to(simulator.addr()).send(b"GET /");
    drop(Client::to(simulator.addr()));
    let ledger = simulator.ledger();
    assert_eq!((ledger.requests, ledger.client_gone, ledger.incomplete, ledger.connections), (1, 1, 2, 4));
    assert_eq!(ledger.reported_in_cut, Usage { input: 120, output: 1, ..Usage::default() });
    assert_eq!((simulator.open_connections(), ledger.malformed), (0, 0));
}

#[test]
fn a_client_that_half_closes_gets_its_answer() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    client.send(&openai(CHAT_STREAM, ""));
    client.shutdown();
    assert!(client.answer().complete);
    assert_eq!(client.end(), (vec![], End::Fin));
    assert_eq!(simulator.ledger().completed, 1);
}

#[test]
fn malformed_requests_are_answered_and_end_the_connection() {
    let simulator = start();
    let cases = [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\nhost: sim\n\n",
        "NONSENSE\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: sim\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nhost: sim\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
    ];
    for (index, case) in cases.iter().enumerate() {
        let mut client = Client::to(simulator.addr());
        client.send(&get("/plain?bytes=5"));
        client.send(case.as_bytes());
        client.send(b"GET /plain HTTP/1.1\r\nhost: sim\r\n\r\n");
        assert_eq!(client.answer().status, 200);
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("connection")), (400, Some("close")), "{case:?}");
        client.shutdown();
        assert_eq!(client.end(), (vec![], End::Fin));
        let ledger = simulator.ledger();
        assert_eq!(ledger.malformed, index as u64 + 1);
        assert_eq!((ledger.requests, ledger.completed), (ledger.malformed, ledger.malformed));
    }
    assert_eq!(simulator.ledger().reasons.len(), cases.len());
}

#[test]
fn broken_rules_are_noted_and_the_request_served() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    assert_eq!(client.ask(&openai(CHAT, "keep-alive: 5\r\nte: trailers\r\n")).status, 200);
    assert_eq!(client.ask(&openai(CHAT, "keep-alive: 5\r\n")).status, 200);
    let ledger = simulator.ledger();
    assert_eq!((ledger.protocol_faults, ledger.malformed), (3, 0));
    assert_eq!(
        ledger.reasons,
        ["te is a hop-by-hop field", "keep-alive is a hop-by-hop field"]
            .map(String::from)
            .into_iter()
            .rev()
            .collect::<Vec<_>>()
    );
}

#[test]
fn expectations_are_met() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    let request = openai(CHAT, "expect: 100-continue\r\n");
    let (head, body) = request.split_at(request.len() - CHAT.len());
    client.send(head);
    while !client.peek().ends_with(b"\r\n\r\n") {
        client.more().unwrap();
    }
    let answer = client.ask(body);
    assert_eq!((answer.interim, answer.status), (vec![100], 200));
}

#[test]
fn old_clients_and_closing_clients() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    let request = String::from_utf8(openai(CHAT_STREAM, "")).unwrap().replace("HTTP/1.1", "HTTP/1.0");
    let answer = client.ask(request.as_bytes());
    assert_eq!((answer.header("transfer-encoding"), answer.header("connection")), (None, Some("close")));
    assert_eq!(answer.events().last().map(String::as_str), Some("[DONE]"));
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT, "connection: close\r\n"));
    assert!(answer.complete && answer.header("connection") == Some("close"));
    assert_eq!(client.end(), (vec![], End::Fin));
}

#[test]
fn large_bodies() {
    let script = Script { body_limit: 100_000, ..metered() };
    let simulator = Simulator::start(script).unwrap();
    let mut client = Client::to(simulator.addr());
    let text = "x".repeat(99_000);
    let body = CHAT.replace("hello", &text);
    let answer = client.ask(&openai(&body, ""));
    assert_eq!(
        answer.json()["choices"][0]["message"]["content"],
        reply_text("gpt-4o-mini", &text, 1, &metered())
    );
    let answer = client.ask(&openai(&CHAT.replace("hello", &"x".repeat(100_000)), ""));
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    let mut client = Client::to(simulator.addr());
    let long = "z".repeat(5_000_000);
    assert_eq!(client.ask(&post("/plain", "", &long)).json()["bytes"], 5_000_000);
    let ledger = simulator.ledger();
    assert_eq!((ledger.refused, ledger.completed), (1, 3));
    assert_eq!(simulator.requests().last().map(|seen| seen.body.len()), Some(0));
}

#[test]
fn requests_are_remembered_within_bounds() {
    let simulator = start();
    let mut client = Client::to(simulator.addr());
    client.ask(&openai(CHAT, "X-Custom: One\r\n"));
    let mut other = Client::to(simulator.addr());
    other.ask(&get("/plain?bytes=3&x=y"));
    let seen = simulator.requests();
    assert_eq!((seen.len(), seen[0].number, seen[0].connection, seen[1].connection), (2, 1, 1, 2));
    assert_eq!((seen[0].method.as_str(), seen[1].target.as_str()), ("POST", "/plain?bytes=3&x=y"));
    assert_eq!((seen[0].header("x-custom"), seen[0].body.as_slice()), (Some("One"), CHAT.as_bytes()));
    assert!(seen[0].when <= seen[1].when);
    for _ in 0..1100 {
        other.ask(&get("/plain"));
    }
    let seen = simulator.requests();
    assert_eq!((seen.len(), seen[0].number), (1024, 1102 - 1023));
    simulator.set_script(Script { record: false, ..metered() });
    other.ask(&get("/plain"));
    assert_eq!(simulator.requests().last().map(|seen| seen.number), Some(1102));
}

#[test]
fn starting_and_stopping() {
    let simulator = start();
    let addr = simulator.addr();
    let mut client = Client::to(addr);
    assert_eq!(client.ask(&openai(CHAT, "")).status, 200);
    simulator.reset_connections();
    assert_eq!(client.end().1, End::Rst);
    let mut client = Client::to(addr);
    assert_eq!(client.ask(&openai(CHAT, "")).status, 200);
    assert_eq!(simulator.stop().completed, 2);
    assert_eq!(client.end(), (vec![], End::Fin));
    let again = Simulator::start_on(addr, metered()).unwrap();
    assert_eq!(again.addr(), addr);
    assert!(Simulator::start_on(addr, metered()).is_err());
    assert_eq!(Client::to(addr).ask(&openai(CHAT, "")).number(), 1);
}

#[test]
fn the_journal_tells_how_each_request_ended() {
    let simulator = Simulator::start(Script { journal: true, ..metered() }).unwrap();
    let tagged = |tag: u64, lines: &str, body| openai(body, &format!("x-sim-tag: {tag}\r\n{lines}"));
    let mut client = Client::to(simulator.addr());
    client.ask(&tagged(7, "", CHAT));
    client.ask(&tagged(8, "", CHAT_STREAM));
    // Two at once on one connection, of which the script cuts the second; then one whose client leaves.
    client.send(&[tagged(9, "", CHAT), tagged(10, "x-sim-fault: cut-after:1\r\n", CHAT_STREAM)].concat());
    client.end();
    let mut gone = Client::to(simulator.addr());
    gone.send(&tagged(11, "x-sim-latency: 60s\r\n", CHAT));
    while simulator.ledger().requests < 5 {
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(gone);
    while simulator.open_connections() > 0 {
        std::thread::sleep(Duration::from_millis(1));
    }
    let answers = simulator.take_answers();
    let told =
        answers.list.iter().map(|answer| (answer.tag, answer.end, answer.usage.map(|usage| usage.output)));
    let expected = [
        (7, AnswerEnd::Completed, Some(30)),
        (8, AnswerEnd::Completed, Some(30)),
        (9, AnswerEnd::Completed, Some(30)),
        (10, AnswerEnd::Cut, None),
        (11, AnswerEnd::ClientGone, None),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    assert_eq!(answers.lost, 0);
    client = Client::to(simulator.addr());
    client.ask(&openai(CHAT, "x-sim-journal: false\r\n"));
    assert!(simulator.take_answers().list.is_empty(), "taken once, and kept only when asked for");
}
