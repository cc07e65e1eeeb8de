//! Everything that goes wrong on purpose, and what the books say about it.

mod client;

use client::{CHAT, CHAT_STREAM, Client, End, MESSAGE, MESSAGE_STREAM, anthropic, get, openai};
use std::time::{Duration, Instant};
use tollgate_loadtest::{Count, Ending, Fault, Framing, Script, Simulator, Usage};

fn metered() -> Script {
    Script { input_tokens: Count::Fixed(120), output_tokens: 30, ..Script::default() }
}

fn start(fault: Fault) -> Simulator {
    Simulator::start(Script { fault, ..metered() }).unwrap()
}

#[test]
fn statuses_in_the_providers_shapes() {
    for (status, openai_kind, anthropic_kind) in [
        (429, "requests", "rate_limit_error"),
        (500, "server_error", "api_error"),
        (503, "server_error", "api_error"),
        (529, "server_error", "overloaded_error"),
    ] {
        let simulator = start(Fault::Status(status));
        let mut client = Client::to(simulator.addr());
        let wait = (status != 500).then_some("1");
        for request in [openai(CHAT, ""), openai(CHAT_STREAM, "")] {
            let answer = client.ask(&request);
            assert_eq!((answer.status, answer.header("retry-after")), (status, wait));
            assert_eq!(answer.json()["error"]["type"], openai_kind);
        }
        let answer = client.ask(&anthropic(MESSAGE, ""));
        assert_eq!((answer.status, answer.header("retry-after")), (status, wait));
        assert_eq!(answer.json()["error"]["type"], anthropic_kind);
        let ledger = simulator.ledger();
        assert_eq!((ledger.faulted, ledger.completed, ledger.refused), (3, 3, 0));
        assert_eq!(ledger.reported, Usage::default());
    }
}

#[test]
fn answers_that_are_no_answers() {
    let simulator = start(Fault::Html(502));
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT, ""));
    assert_eq!((answer.status, answer.header("content-type")), (502, Some("text/html")));
    simulator.set_script(Script { fault: Fault::GarbageJson, ..metered() });
    let answer = client.ask(&openai(CHAT, ""));
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")));
    assert!(serde_json::from_slice::<serde_json::Value>(&answer.body).is_err());
    assert_eq!(simulator.ledger().reported, Usage::default());
}

#[test]
fn streams_cut_after_so_many_events() {
    for ending in [Ending::Fin, Ending::Rst] {
        let end = if ending == Ending::Fin { End::Fin } else { End::Rst };
        // Anthropic states the input in its first event and the output in the last but one, of ten.
        let first = Usage { input: 120, output: 1, ..Usage::default() };
        let all = Usage { input: 120, output: 30, ..Usage::default() };
        for (events, stated) in
            [(0, Usage::default()), (1, first), (8, first), (9, all), (10, all), (99, all)]
        {
            let simulator = start(Fault::CutAfterChunks(events, ending));
            let mut client = Client::to(simulator.addr());
            let answer = client.ask(&anthropic(MESSAGE_STREAM, ""));
            assert_eq!((answer.status, answer.complete), (200, false));
            assert_eq!(answer.events().len(), (events as usize).min(10));
            assert_eq!(client.end(), (vec![], end));
            drop(client);
            let ledger = simulator.ledger();
            assert_eq!((ledger.requests, ledger.cut, ledger.completed, ledger.client_gone), (1, 1, 0, 0));
            assert_eq!((ledger.reported, ledger.reported_in_cut), (Usage::default(), stated), "{events}");
            assert_eq!(simulator.open_connections(), 0);
        }
    }
}

#[test]
fn whole_answers_cut() {
    let cases = [
        (Fault::NoAnswer(Ending::Fin), 0),
        (Fault::CutInHead(Ending::Fin), 0),
        (Fault::CutAfterChunks(0, Ending::Fin), 0),
        (Fault::CutAfterChunks(1, Ending::Fin), 30),
        (Fault::Truncate(Ending::Fin), 0),
    ];
    for (fault, output) in cases {
        for framing in [Framing::Auto, Framing::Chunked, Framing::CloseDelimited] {
            let simulator = Simulator::start(Script { fault, framing, ..metered() }).unwrap();
            let mut client = Client::to(simulator.addr());
            client.send(&openai(CHAT, ""));
            let (bytes, end) = client.end();
            assert_eq!(end, End::Fin);
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(text.is_empty(), matches!(fault, Fault::NoAnswer(_)), "{fault}: {text}");
            let whole_head = text.contains("\r\n\r\n");
            assert_eq!(
                whole_head,
                !matches!(fault, Fault::NoAnswer(_) | Fault::CutInHead(_)),
                "{fault}: {text}"
            );
            drop(client);
            let ledger = simulator.ledger();
            assert_eq!((ledger.cut, ledger.completed), (1, 0), "{fault}");
            if framing == Framing::Auto {
                assert_eq!(ledger.reported_in_cut.output, output, "{fault}");
            }
        }
    }
}

#[test]
fn resets_are_resets() {
    for fault in [Fault::NoAnswer(Ending::Rst), Fault::CutInHead(Ending::Rst), Fault::Truncate(Ending::Rst)] {
        let simulator = start(fault);
        let mut client = Client::to(simulator.addr());
        client.send(&openai(CHAT, ""));
        assert_eq!(client.end().1, End::Rst, "{fault}");
    }
}

#[test]
fn streams_truncated_in_the_middle_of_an_event() {
    let simulator = start(Fault::Truncate(Ending::Fin));
    let answer = Client::to(simulator.addr()).ask(&openai(CHAT_STREAM, ""));
    assert!(!answer.complete && !answer.text().ends_with("\n\n") && answer.text().starts_with("data: "));
    assert_eq!(simulator.ledger().cut, 1);
}

#[test]
fn errors_within_a_stream() {
    let simulator = start(Fault::StreamError(4));
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT_STREAM, ""));
    assert!(answer.complete);
    let events = answer.json_events();
    assert_eq!((events.len(), &events[4]["error"]["type"]), (5, &"server_error".into()));
    let answer = client.ask(&anthropic(MESSAGE_STREAM, ""));
    let events = answer.json_events();
    assert_eq!((events.len(), &events[4]["error"]["type"]), (5, &"overloaded_error".into()));
    assert!(answer.text().contains("event: error\n"));
    let ledger = simulator.ledger();
    assert_eq!((ledger.completed, ledger.without_usage), (2, 1));
    assert_eq!(ledger.reported, Usage { input: 120, output: 1, ..Usage::default() });
}

#[test]
fn silence_until_the_client_goes() {
    let simulator = start(Fault::StallAfterChunks(2));
    let mut client = Client::to(simulator.addr());
    client.send(&anthropic(MESSAGE_STREAM, ""));
    while client.peek().windows(2).filter(|pair| pair == b"\n\n").count() < 2 {
        client.more().unwrap();
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.requests, ledger.completed + ledger.cut + ledger.client_gone), (1, 0));
    drop(client);
    let mut client = Client::to(simulator.addr());
    client.send(&openai(CHAT, "x-sim-fault: stall\r\n"));
    assert_eq!(simulator.ledger().requests, 2);
    client.shutdown();
    let ledger = simulator.ledger();
    assert_eq!((ledger.client_gone, ledger.completed, ledger.cut), (2, 0, 0));
    assert_eq!(ledger.reported_in_cut, Usage { input: 120, output: 1, ..Usage::default() });
    assert_eq!(simulator.open_connections(), 0);
}

#[test]
fn slow_bodies_arrive_whole() {
    let simulator = start(Fault::SlowBody { bytes: 100, gap: Duration::from_micros(200) });
    let mut client = Client::to(simulator.addr());
    for request in
        [openai(CHAT, ""), openai(CHAT_STREAM, ""), anthropic(MESSAGE_STREAM, ""), get("/plain?bytes=1000")]
    {
        let answer = client.ask(&request);
        assert!(answer.complete && answer.status == 200);
    }
    let ledger = simulator.ledger();
    assert_eq!((ledger.completed, ledger.reported.output), (4, 90));
}

#[test]
fn latency_and_gaps_are_kept() {
    let script =
        Script { latency: Duration::from_millis(20), chunk_gap: Duration::from_millis(3), ..metered() };
    let simulator = Simulator::start(script).unwrap();
    let began = Instant::now();
    let answer = Client::to(simulator.addr()).ask(&openai(CHAT_STREAM, ""));
    // A lower bound: an upper one would test the machine.
    let gaps = answer.chunks.len() as u32 - 1;
    assert!(began.elapsed() >= Duration::from_millis(20 + 3 * u64::from(gaps)), "{:?}", began.elapsed());
    // A whole answer is no stream: with such a gap it would never come.
    simulator.set_script(Script { chunk_gap: Duration::from_secs(3600), ..metered() });
    for framing in ["length", "chunked"] {
        let line = format!("x-sim-framing: {framing}\r\n");
        assert!(Client::to(simulator.addr()).ask(&openai(CHAT, &line)).complete, "{framing}");
    }
}

#[test]
fn closings() {
    let simulator = start(Fault::CloseAfterResponse);
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT, ""));
    assert_eq!(answer.header("connection"), Some("close"));
    assert_eq!(client.end(), (vec![], End::Fin));

    simulator.set_script(Script { fault: Fault::CloseUnannounced, ..metered() });
    let mut client = Client::to(simulator.addr());
    let answer = client.ask(&openai(CHAT, ""));
    assert!(answer.complete && answer.header("connection").is_none());
    assert_eq!(client.end(), (vec![], End::Fin));

    simulator.set_script(Script { idle_timeout: Some(Duration::from_millis(30)), ..metered() });
    let mut client = Client::to(simulator.addr());
    assert!(client.ask(&openai(CHAT, "")).complete);
    assert_eq!(client.end(), (vec![], End::Fin));
    let ledger = simulator.ledger();
    assert_eq!((ledger.completed, ledger.client_gone, ledger.cut, ledger.incomplete), (3, 0, 0, 0));
}

#[test]
fn an_answer_before_the_body() {
    let simulator = start(Fault::EarlyAnswer);
    let mut client = Client::to(simulator.addr());
    client.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost: sim\r\nauthorization: Bearer k\r\ncontent-length: 9000000\r\n\r\n");
    let answer = client.answer();
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    // What is sent afterwards is read and thrown away, so that the answer is not lost to a reset.
    client.send(&vec![b'x'; 1_000_000]);
    client.shutdown();
    assert_eq!(client.end(), (vec![], End::Fin));
    let ledger = simulator.ledger();
    assert_eq!((ledger.requests, ledger.completed, ledger.faulted), (1, 1, 1));
}

#[test]
fn interim_answers_come_first() {
    for code in [100, 102, 103] {
        let simulator = start(Fault::Interim(code));
        let mut client = Client::to(simulator.addr());
        for _ in 0..2 {
            let answer = client.ask(&openai(CHAT_STREAM, ""));
            assert_eq!((answer.interim.as_slice(), answer.status, answer.complete), (&[code][..], 200, true));
        }
    }
}

#[test]
fn every_framing_carries_every_answer() {
    for framing in [Framing::Auto, Framing::ContentLength, Framing::Chunked, Framing::CloseDelimited] {
        let simulator = Simulator::start(Script { framing, ..metered() }).unwrap();
        let requests = [
            openai(CHAT, ""),
            openai(CHAT_STREAM, ""),
            anthropic(MESSAGE, ""),
            anthropic(MESSAGE_STREAM, ""),
            get("/plain?bytes=200000"),
        ];
        for (index, request) in requests.iter().enumerate() {
            let mut client = Client::to(simulator.addr());
            let answer = client.ask(request);
            assert!(answer.complete, "{framing:?}");
            assert!(answer.body.len() > 100, "{framing:?}");
            let chunked =
                framing == Framing::Chunked || framing == Framing::Auto && (index == 1 || index == 3);
            assert_eq!(answer.header("transfer-encoding").is_some(), chunked, "{framing:?}");
            let counted = framing == Framing::ContentLength || framing == Framing::Auto && !chunked;
            assert_eq!(answer.header("content-length").is_some(), counted, "{framing:?}");
            let closes = framing == Framing::CloseDelimited;
            assert_eq!(answer.header("connection").is_some(), closes);
        }
        let ledger = simulator.ledger();
        assert_eq!(
            (ledger.completed, ledger.reported.output, ledger.reported.input),
            (5, 120, 480),
            "{framing:?}"
        );
    }
}

#[test]
fn faults_strike_now_and_then() {
    let script = Script { fault: Fault::Status(500), fault_every: 3, fault_times: 2, ..metered() };
    let simulator = Simulator::start(script.clone()).unwrap();
    let mut client = Client::to(simulator.addr());
    let mut statuses = |count| (0..count).map(|_| client.ask(&openai(CHAT, "")).status).collect::<Vec<_>>();
    assert_eq!(statuses(10), [200, 200, 500, 200, 200, 500, 200, 200, 200, 200]);
    simulator.set_script(script);
    assert_eq!(statuses(3), [200, 200, 500]);
    assert_eq!(simulator.ledger().faulted, 3);
}
