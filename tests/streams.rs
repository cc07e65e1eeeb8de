//! Answers that take their time or come to a bad end: cuts, stalls, clients that leave, connections that die,
//! and what is settled for them.

mod support;

use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use support::{ROUTES, Rig, Route, USER_TEXT, bucket, provider, read_head, read_request, read_to, until};
use tollgate::telemetry::Outcome;
use tollgate_loadtest::{Count, Ending, Fault, Framing, Script, reply_text};

const MODEL: &str = "claude-3-5-haiku-latest";

/// The estimate of the input of the requests here: 21 bytes of text, 4 of the role, 8 tokens for the marks.
const ESTIMATE: u64 = 25_u64.div_ceil(4) + 8;

const CAPACITY: u64 = 100_000;

fn script(fault: Fault) -> Script {
    Script { input_tokens: Count::Fixed(1_000), output_tokens: 77, chunks: 8, fault, ..Script::default() }
}

fn limit(route: Route) -> String {
    bucket(route.name, CAPACITY, 1, "1h", "tokens")
}

/// Asserts that so many tokens were settled, of them `input` as input, and nothing else is missing from the account.
fn assert_settled(rig: &Rig, route: Route, input: u64, output: u64, what: &str) {
    let settled = rig.settled();
    assert_eq!((settled.input, settled.output), (input, output), "{} {what}", route.path);
    assert_eq!(rig.balance(0), CAPACITY as i64 - (input + output) as i64, "{} {what}", route.path);
}

/// Input tokens that a broken stream is settled at: Anthropic reports them in the first event, OpenAI at the end.
fn input_known(route: Route) -> u64 {
    if route.openai_provider { ESTIMATE } else { 1_000 }
}

fn error_type(route: Route) -> &'static str {
    if route.openai_client { "server_error" } else { "api_error" }
}

// === the provider breaks off ===

#[test]
fn a_stream_that_breaks_off_is_told_and_settled_at_what_passed() {
    for route in ROUTES {
        let rig = Rig::start(script(Fault::None), &limit(route));
        let (mut cuts, mut input, mut output) = (0, 0, 0);
        for ending in [Ending::Fin, Ending::Rst] {
            for events in [1, 4, 7] {
                let fault = Fault::CutAfterChunks(events, ending);
                let what = format!("{} {fault}", route.path);
                rig.simulator.set_script(script(fault));
                let mut client = rig.client();
                let answer = client.ask(route.path, "", &route.body(MODEL, true));
                let said = route.read(&answer);
                assert_eq!(answer.status, 200, "{what}");
                assert_eq!(answer.complete, !route.is_native(), "{what}: {}", answer.text());
                let error = (!route.is_native()).then(|| error_type(route).to_owned());
                assert_eq!((said.error, said.done), (error, false), "{what}: {}", answer.text());
                assert!(client.is_over(), "{what}");
                cuts += 1;
                assert!(reply_text(MODEL, USER_TEXT, cuts, &script(fault)).starts_with(&said.text), "{what}");
                let first = u64::from(!route.openai_provider); // `message_start` reports one token of output
                input += input_known(route);
                output += (said.text.len().div_ceil(4) as u64).max(first);
                assert_settled(&rig, route, input, output, &what);
                assert_eq!(rig.settled().counted, cuts, "{what}");
                assert_eq!(rig.ended(Outcome::UpstreamCut), cuts, "{what}");
                assert_eq!(rig.totals().upstream_failures, cuts, "{what}");
                assert_eq!(rig.simulator.ledger().cut, cuts, "{what}");
            }
        }
    }
}

#[test]
fn a_stream_that_lacks_only_its_framing_is_settled_as_reported() {
    for route in ROUTES {
        let rig = Rig::start(script(Fault::CutAfterChunks(1_000, Ending::Fin)), &limit(route));
        let mut client = rig.client();
        let answer = client.ask(route.path, "", &route.body(MODEL, true));
        let said = route.read(&answer);
        assert_eq!(answer.complete, !route.is_native(), "{}", route.path);
        assert_eq!((said.done, said.error), (true, None), "{}: everything was said", route.path);
        assert_eq!(said.usage, Some([1_000, 0, 0, 77, 0]), "{}", route.path);
        assert_settled(&rig, route, 1_000, 77, "");
        assert_eq!(rig.settled().counted, 0, "{}", route.path);
        assert!(client.is_over(), "{}", route.path);
    }
}

#[test]
fn a_cut_stream_that_ends_with_its_connection_is_a_cut_all_the_same() {
    for route in ROUTES {
        let script =
            Script { framing: Framing::CloseDelimited, ..script(Fault::CutAfterChunks(5, Ending::Fin)) };
        let rig = Rig::start(script, &limit(route));
        let answer = rig.client().ask(route.path, "", &route.body(MODEL, true));
        let said = route.read(&answer);
        let error = (!route.is_native()).then(|| error_type(route).to_owned());
        assert_eq!((said.error, said.done), (error, false), "{}: {}", route.path, answer.text());
        assert_settled(&rig, route, input_known(route), said.text.len().div_ceil(4) as u64, "");
        assert_eq!(rig.ended(Outcome::UpstreamCut), 1, "{}", route.path);
    }
}

#[test]
fn an_answer_that_comes_to_nothing_is_a_502_and_is_not_asked_for_again() {
    let endings = [Ending::Fin, Ending::Rst];
    let faults =
        endings.map(|ending| [Fault::NoAnswer(ending), Fault::CutInHead(ending), Fault::Truncate(ending)]);
    for route in ROUTES {
        let rig = Rig::start(script(Fault::None), &limit(route));
        let (mut good, mut bad) = (0, 0);
        for fault in faults.into_iter().flatten() {
            for reused in [false, true] {
                let what = format!("{} {fault} reused: {reused}", route.path);
                let mut client = rig.client();
                if reused {
                    rig.simulator.set_script(script(Fault::None));
                    assert_eq!(client.ask(route.path, "", &route.body(MODEL, false)).status, 200, "{what}");
                    good += 1;
                } else {
                    rig.simulator.reset_connections();
                }
                rig.settled();
                rig.simulator.set_script(script(fault));
                let answer = client.ask(route.path, "", &route.body(MODEL, false));
                bad += 1;
                if route.is_native() && matches!(fault, Fault::Truncate(_)) {
                    assert_eq!((answer.status, answer.complete), (200, false), "{what}");
                } else {
                    assert_eq!((answer.status, answer.complete), (502, true), "{what}");
                    assert_eq!(route.read(&answer).error.as_deref(), Some(error_type(route)), "{what}");
                }
                let settled = rig.settled();
                let ledger = rig.simulator.ledger();
                assert_eq!((ledger.requests, ledger.cut), (good + bad, bad), "{what}");
                assert_eq!(settled.input, 1_000 * good + ESTIMATE * bad, "{what}");
                assert_eq!(settled.counted, bad, "{what}: the provider may have worked");
                assert_eq!(rig.balance(0), CAPACITY as i64 - (settled.input + settled.output) as i64);
                assert_eq!(rig.totals().upstream_failures, bad, "{what}");
            }
        }
        assert_eq!(rig.totals().retries, 0, "{}", route.path);
    }
}

#[test]
fn a_request_with_an_idempotency_key_is_sent_again_after_a_connection_died() {
    for route in ROUTES {
        let rig = Rig::start(script(Fault::None), &limit(route));
        let mut client = rig.client();
        assert_eq!(client.ask(route.path, "", &route.body(MODEL, false)).status, 200);
        let mut again = 0;
        for streamed in [false, true] {
            for ending in [Ending::Fin, Ending::Rst] {
                let what = format!("{} {ending:?} streamed: {streamed}", route.path);
                rig.settled();
                rig.simulator.set_script(Script { fault_times: 1, ..script(Fault::NoAnswer(ending)) });
                let key = "Idempotency-Key: 7\r\n";
                let answer = client.ask(route.path, key, &route.body(MODEL, streamed));
                again += 1;
                assert_eq!((answer.status, answer.complete), (200, true), "{what}: {}", answer.text());
                let ledger = rig.simulator.ledger();
                assert_eq!((rig.totals().retries, ledger.requests), (again, 1 + 2 * again), "{what}");
                assert_settled(&rig, route, 1_000 * (1 + again), 77 * (1 + again), &what);
                assert_eq!(rig.settled().counted, 0, "{what}: what is answered is settled, once");
            }
        }
    }
}

// === connections die while they are idle ===

#[test]
fn a_connection_that_the_provider_closed_is_not_used_again() {
    for fault in [Fault::CloseUnannounced, Fault::CloseAfterResponse] {
        let rig = Rig::start(script(fault), "");
        let mut client = rig.client();
        for n in 0..100 {
            let route = ROUTES[n % 4];
            let answer = client.ask(route.path, "", &route.body(MODEL, n % 3 == 0));
            assert_eq!(answer.status, 200, "{fault}, request {n}: {}", answer.text());
            // The books are shown when the provider has done what it was at: the end has been sent. A request that
            // crosses it on the way is lost, as any that is not idempotent must be.
            rig.simulator.ledger();
        }
        assert_eq!(rig.assert_ledgers_agree().connections, 100);
    }
}

#[test]
fn an_idle_connection_that_the_provider_gave_up_is_not_used_again() {
    let idle = Script { idle_timeout: Some(Duration::from_millis(1)), ..script(Fault::None) };
    let rig = Rig::start(idle, "");
    let mut client = rig.client();
    for n in 0..100 {
        let route = ROUTES[n % 4];
        let answer = client.ask(route.path, "", &route.body(MODEL, false));
        assert_eq!(answer.status, 200, "request {n}: {}", answer.text());
        until("the provider gave the connection up", || rig.simulator.open_connections() == 0);
    }
    assert_eq!(rig.assert_ledgers_agree().connections, 100);
    rig.simulator.set_script(script(Fault::None));
    for n in 0..20 {
        assert_eq!(client.ask("/openai", "", &ROUTES[2].body(MODEL, false)).status, 200, "request {n}");
        rig.simulator.reset_connections();
    }
}

// === the client leaves ===

#[test]
fn a_client_that_leaves_a_stream_stops_the_provider_and_pays_for_what_passed() {
    for route in ROUTES {
        for resets in [false, true] {
            let what = format!("resets: {resets}");
            let fault = Fault::StallAfterChunks(if route.openai_provider { 3 } else { 5 });
            let rig = Rig::start(script(fault), &limit(route));
            let mut client = rig.client();
            client.post(route.path, "", &route.body(MODEL, true));
            // Two pieces of text come: the one with the facts, and the first of the padding.
            read_to(&mut client, " 1xxxx");
            if resets {
                let socket = socket2::SockRef::from(&client.stream);
                socket.set_linger(Some(Duration::ZERO)).expect("a socket");
            }
            drop(client);
            until("the provider saw it", || rig.simulator.ledger().client_gone == 1);
            let facts = reply_text(MODEL, USER_TEXT, 1, &Script { chunks: 1, ..Script::default() });
            let output = (facts.len() + 6).div_ceil(4) as u64;
            assert_settled(&rig, route, input_known(route), output, &what);
            assert_eq!(rig.ended(Outcome::ClientGone), 1, "{} {what}", route.path);
        }
    }
}

#[test]
fn a_client_that_leaves_before_the_answer_stops_the_provider_and_pays_for_its_input() {
    for route in ROUTES {
        for streamed in [false, true] {
            let script = Script { latency: Duration::from_secs(3600), ..script(Fault::None) };
            let rig = Rig::start(script, &limit(route));
            let mut client = rig.client();
            client.post(route.path, "", &route.body(MODEL, streamed));
            until("the provider has the request", || rig.simulator.ledger().requests == 1);
            drop(client);
            until("the provider saw it", || rig.simulator.ledger().client_gone == 1);
            assert_settled(&rig, route, ESTIMATE, 0, "the provider has begun to read");
            assert_eq!(rig.ended(Outcome::ClientGone), 1, "{}", route.path);
        }
    }
}

// === time-outs ===

#[test]
fn a_provider_that_does_not_answer_is_a_504() {
    for route in ROUTES {
        let rig = Rig::start_set(script(Fault::Stall), &limit(route), "  timeouts: {firstByte: 50ms}");
        let mut client = rig.client();
        let answer = client.ask(route.path, "", &route.body(MODEL, true));
        assert_eq!((answer.status, answer.complete), (504, true), "{}", route.path);
        let kind = if route.openai_client { "server_error" } else { "timeout_error" };
        assert_eq!(route.read(&answer).error.as_deref(), Some(kind));
        until("the provider is left", || rig.simulator.ledger().client_gone == 1);
        assert_settled(&rig, route, ESTIMATE, 0, "the provider has begun to read");
        assert_eq!((rig.ended(Outcome::Timeout), rig.totals().upstream_failures), (1, 1), "{}", route.path);
        rig.simulator.set_script(script(Fault::None));
        assert_eq!(client.ask(route.path, "", &route.body(MODEL, false)).status, 200, "the connection lives");
    }
}

#[test]
fn a_stream_that_stalls_or_takes_too_long_is_ended() {
    let stalls = script(Fault::StallAfterChunks(6));
    let drips = Script { chunk_gap: Duration::from_millis(30), chunks: 1_000, ..script(Fault::None) };
    for (what, script, spec) in [
        ("stalls", stalls, "  timeouts: {streamIdle: 50ms}"),
        ("takes too long", drips, "  timeouts: {request: 300ms}"),
    ] {
        for route in ROUTES {
            let rig = Rig::start_set(script.clone(), &limit(route), spec);
            let mut client = rig.client();
            let answer = client.ask(route.path, "", &route.body(MODEL, true));
            let said = route.read(&answer);
            assert_eq!(answer.complete, !route.is_native(), "{} {what}", route.path);
            let error = (!route.is_native()).then(|| error_type(route).to_owned());
            assert_eq!((said.error, said.done), (error, false), "{} {what}: {}", route.path, answer.text());
            assert!(client.is_over(), "{}", route.path);
            until("the provider is left", || rig.simulator.ledger().client_gone == 1);
            assert_settled(&rig, route, input_known(route), said.text.len().div_ceil(4) as u64, what);
            assert_eq!(rig.ended(Outcome::Timeout), 1, "{} {what}", route.path);
        }
    }
}

#[test]
fn a_client_that_stops_reading_is_left() {
    let flood = Script { chunks: 2_000, chunk_bytes: 16 << 10, ..script(Fault::None) };
    for route in [ROUTES[1], ROUTES[3]] {
        let rig = Rig::start_set(flood.clone(), &limit(route), "  timeouts: {streamIdle: 200ms}");
        let mut client = rig.client();
        client.post(route.path, "", &route.body(MODEL, true));
        until("the provider is left", || rig.simulator.ledger().client_gone == 1);
        let settled = rig.settled();
        assert_eq!((settled.input, settled.counted), (input_known(route), 1), "{}", route.path);
        assert!(settled.output > 77, "{}", route.path);
    }
}

#[test]
fn the_time_of_a_request_ends_for_a_stream_that_never_pauses_too() {
    let provider = provider(|_, mut stream| {
        read_request(&mut stream);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = format!("2000\r\ndata: {}\n\n\r\n", "x".repeat(0x2000 - 8));
        let mut sent = stream.write_all(head.as_bytes());
        while sent.is_ok() {
            sent = stream.write_all(chunk.as_bytes());
        }
    });
    let rig = Rig::start_towards(provider, "", "  timeouts: {request: 300ms}");
    let mut client = rig.client();
    let answer = client.ask("/messages", "", &ROUTES[1].body(MODEL, true));
    assert_eq!((answer.status, answer.complete), (200, false));
    assert_eq!(rig.ended(Outcome::Timeout), 1);
}

// === what comes before and beside the answer ===

#[test]
fn interim_answers_are_not_passed_on() {
    for route in ROUTES {
        let rig = Rig::start(Script::default(), "");
        let mut client = rig.client();
        for code in [100, 102, 103] {
            rig.simulator.set_script(script(Fault::Interim(code)));
            for streamed in [false, true] {
                client.post(route.path, "", &route.body(MODEL, streamed));
                let answer = client.any_answer();
                assert_eq!((answer.status, answer.complete), (200, true), "{} {code}", route.path);
                assert_eq!(route.read(&answer).usage, Some([1_000, 0, 0, 77, 0]), "{} {code}", route.path);
            }
        }
        assert_eq!(rig.assert_ledgers_agree().connections, 1, "{}", route.path);
    }
}

#[test]
fn an_answer_that_comes_before_the_request_was_read_is_the_answer() {
    for route in ROUTES {
        let body = route.body(MODEL, false).replace(USER_TEXT, &"x".repeat(8 << 20));
        let rig = Rig::start(script(Fault::EarlyAnswer), &bucket(route.name, 10_000_000, 1, "1h", "tokens"));
        let mut client = rig.client();
        let answer = client.ask(route.path, "", &body);
        assert_eq!((answer.status, answer.complete), (413, true), "{}", route.path);
        assert_eq!(rig.settled(), support::Settled::default(), "{}", route.path);
        assert_eq!(rig.balance(0), 10_000_000);
        rig.simulator.set_script(script(Fault::None));
        assert_eq!(client.ask(route.path, "", &route.body(MODEL, false)).status, 200, "{}", route.path);
    }
}

#[test]
fn an_early_answer_is_heard_although_the_connection_is_reset_after_it() {
    let provider = provider(|_, mut stream| {
        read_head(&mut stream);
        let body = r#"{"type":"error","error":{"type":"request_too_large","message":"too large"}}"#;
        let length = body.len();
        let head = format!(
            "HTTP/1.1 413 Content Too Large\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).expect("it is read");
        // Closing with unread input resets the connection.
    });
    let rig = Rig::start_towards(provider, "", "");
    for route in [ROUTES[0], ROUTES[1]] {
        let body = route.body(MODEL, false).replace(USER_TEXT, &"x".repeat(8 << 20));
        for n in 0..5 {
            let answer = rig.client().ask(route.path, "", &body);
            assert_eq!(
                (answer.status, answer.complete),
                (413, true),
                "{} {n}: {}",
                route.path,
                answer.text()
            );
        }
    }
}

#[test]
fn a_request_of_which_a_dead_connection_took_a_part_is_sent_again() {
    let refused = Arc::new(AtomicU64::new(0));
    let count = refused.clone();
    let whole = r#"{"id":"m","type":"message","role":"assistant","model":"c","content":[],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":2}}"#;
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{whole}",
        whole.len()
    );
    let provider = provider(move |number, mut stream| {
        read_request(&mut stream);
        stream.write_all(answer.as_bytes()).expect("it is read");
        if number == 0 {
            // The second request's head arrives just as this side ends the connection; the body is never read.
            read_head(&mut stream);
            count.fetch_add(1, Ordering::SeqCst);
            stream.shutdown(Shutdown::Write).expect("it is open");
            std::thread::sleep(Duration::from_secs(60));
        }
    });
    let rig = Rig::start_towards(provider, "", "");
    let mut client = rig.client();
    let route = ROUTES[1];
    assert_eq!(client.ask(route.path, "", &route.body(MODEL, false)).status, 200);
    let body = route.body(MODEL, false).replace(USER_TEXT, &"x".repeat(16 << 20));
    let answer = client.ask(route.path, "", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!((refused.load(Ordering::SeqCst), rig.totals().retries), (1, 1));
    assert_eq!(rig.settled().input, 6);
}

#[test]
fn a_head_that_stalls_is_a_504() {
    let provider = provider(|_, mut stream| {
        read_request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-").expect("it is read");
        let _ = stream.read(&mut [0; 16]);
    });
    let rig = Rig::start_towards(provider, "", "  timeouts: {firstByte: 50ms}");
    let answer = rig.client().ask("/openai", "", &ROUTES[2].body(MODEL, false));
    assert_eq!(answer.status, 504, "{}", answer.text());
    assert_eq!(rig.ended(Outcome::Timeout), 1);
}

#[test]
fn a_stream_whose_framing_goes_wrong_is_cut_and_nothing_is_said_in_its_middle() {
    let event = r#"data: {"type":"message_start","message":{"model":"m","usage":{"input_tokens":9,"output_tokens":1}}}"#;
    let chunk = format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2);
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let provider = provider(move |_, mut stream| {
        read_request(&mut stream);
        stream.write_all(format!("{head}{chunk}").as_bytes()).expect("it is read");
        until("the client has the first event", || seen_by_client().load(Ordering::SeqCst) > 0);
        seen_by_client().store(0, Ordering::SeqCst);
        let _ = stream.write_all(b"what? this is no chunk\r\n");
    });
    for route in [ROUTES[0], ROUTES[1]] {
        let rig = Rig::start_towards(provider, &limit(route), "");
        let mut client = rig.client();
        client.post(route.path, "", &route.body(MODEL, true));
        read_to(&mut client, "data: ");
        seen_by_client().store(1, Ordering::SeqCst);
        let answer = client.answer();
        assert_eq!((answer.status, answer.complete), (200, !route.is_native()), "{}", answer.text());
        assert_eq!(route.read(&answer).error.is_some(), !route.is_native(), "{}", answer.text());
        assert!(client.is_over());
        assert_settled(&rig, route, 9, 1, "");
        assert_eq!(rig.ended(Outcome::UpstreamCut), 1);
    }
}

/// How the test above tells its provider to go on.
fn seen_by_client() -> &'static AtomicU64 {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    &SEEN
}

#[test]
fn answers_in_crumbs_come_whole() {
    for route in ROUTES {
        let crumbs = Fault::SlowBody { bytes: 3, gap: Duration::from_micros(1) };
        let rig = Rig::start(script(crumbs), "");
        for streamed in [false, true] {
            let answer = rig.client().ask(route.path, "", &route.body(MODEL, streamed));
            let number = answer.header("x-sim-request").expect("it passes").parse().expect("a number");
            let said = route.read(&answer);
            assert_eq!(said.text, reply_text(MODEL, USER_TEXT, number, &script(crumbs)), "{}", route.path);
            assert_eq!(said.usage, Some([1_000, 0, 0, 77, 0]), "{}", route.path);
        }
        rig.assert_ledgers_agree();
    }
}

#[test]
fn many_tiny_chunks_at_once_pass_in_order() {
    let text: String = (0..500).map(|n| format!("{n},")).collect();
    let chunks: String = text.chars().map(|c| format!("1\r\n{c}\r\n")).collect();
    let bytes = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
    );
    let provider = provider(move |_, mut stream| {
        while read_request(&mut stream).is_some() {
            stream.write_all(bytes.as_bytes()).expect("it is read");
        }
    });
    let rig = Rig::start_towards(provider, "", "");
    let mut client = rig.client();
    for _ in 0..3 {
        let answer = client.ask("/openai", "", &ROUTES[2].body(MODEL, false));
        assert!(answer.complete && answer.text() == text, "{}", answer.text());
    }
}
