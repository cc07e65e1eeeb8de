//! The load client against the simulator: what it counts, what it finds, and what it makes of a server that stalls.

use std::time::Duration;
use tollgate_loadtest::client::{Ask, Leave, Load, Pace, Tally, own_cpus, raise_open_files};
use tollgate_loadtest::{Count, Ending, Fault, Framing, Ledger, Script, Simulator, Usage};

fn script() -> Script {
    Script { input_tokens: Count::Fixed(120), output_tokens: 30, ..Script::default() }
}

/// A closed loop of so many connections and requests.
fn closed(simulator: &Simulator, connections: usize, requests: u64, mix: Vec<(Ask, u32)>) -> Load {
    let mut load = Load::closed(simulator.addr(), connections, mix[0].0.clone(), Duration::from_secs(60));
    (load.mix, load.requests) = (mix, requests);
    load
}

fn whole(script: &Script) -> Ask {
    Ask::chat(script, false, 1024, 0)
}

fn stream(script: &Script) -> Ask {
    Ask::chat(script, true, 1024, 1)
}

/// What the provider and the client say must be the same, when no client left and nothing was cut.
fn agree(tally: &Tally, ledger: &Ledger) {
    assert_eq!((ledger.malformed, ledger.protocol_faults, &ledger.reasons[..]), (0, 0, &[][..]));
    assert_eq!(ledger.requests, tally.sent);
    assert_eq!(ledger.completed, tally.completed + tally.different);
    assert_eq!(ledger.reported, tally.usage);
    assert_eq!(ledger.bytes_out, tally.bytes);
    assert_eq!(ledger.connections, tally.connections);
}

#[test]
fn whole_answers_and_streams_in_every_framing() {
    for framing in [Framing::Auto, Framing::ContentLength, Framing::Chunked, Framing::CloseDelimited] {
        for chunks in [1, 5, 1_000] {
            let script = Script { framing, chunks, cached_input_tokens: 7, reasoning_tokens: 3, ..script() };
            let simulator = Simulator::start(script.clone()).unwrap();
            let mix = vec![(whole(&script), 2), (stream(&script), 1)];
            let tally = closed(&simulator, 8, 90, mix).drive().unwrap();
            assert_eq!(
                (tally.completed, tally.planned(), tally.failed()),
                (90, 90, 0),
                "{:?}",
                tally.examples
            );
            // Who speaks, the text, why it ends, the usage, [DONE].
            assert_eq!(tally.events, 30 * u64::from(chunks + 4));
            assert_eq!((tally.whole.sent.count(), tally.first.sent.count()), (60, 30));
            assert_eq!(tally.gaps.count(), tally.events - 30);
            agree(&tally, &simulator.stop());
        }
    }
}

#[test]
fn two_thousand_streams_at_once() {
    let files = raise_open_files();
    if files < 5_000 {
        println!("this process may open {files} files, which is too few: nothing is checked");
        return;
    }
    let script = Script { chunks: 3, chunk_gap: Duration::from_millis(400), ..script() };
    let simulator = Simulator::start(script.clone()).unwrap();
    let load = closed(&simulator, 2_000, 2_000, vec![(stream(&script), 1)]);
    let tally = load.drive().unwrap();
    assert_eq!((tally.completed, tally.failed(), tally.events), (2_000, 0, 14_000), "{:?}", tally.examples);
    assert!(tally.open > 1_000, "{} at once", tally.open);
    agree(&tally, &simulator.stop());
}

#[test]
fn threads_share_one_load() {
    let simulator = Simulator::start(script()).unwrap();
    for pace in
        [Pace::Closed { ramp: Duration::from_millis(5) }, Pace::Open { rate: 2_000.0, backlog: 1_000_000 }]
    {
        let mut load = closed(&simulator, 7, 300, vec![(whole(&script()), 1)]);
        (load.pace, load.cpus) = (pace, vec![own_cpus()[0]; 3]);
        let before = simulator.ledger();
        let tally = load.drive().unwrap();
        assert_eq!((tally.completed, tally.failed(), tally.not_sent), (300, 0, 0), "{:?}", tally.examples);
        let ledger = simulator.ledger();
        assert_eq!((ledger.requests - before.requests, ledger.connections - before.connections), (300, 7));
    }
}

/// Where answers to whole and streamed requests are counted.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Counted {
    Completed,
    Different,
    Broken,
    Unfinished,
}

#[test]
fn what_goes_wrong_is_counted_for_what_it_is() {
    use Counted::{Broken, Completed, Different, Unfinished};
    use Ending::{Fin, Rst};
    let slow = Fault::SlowBody { bytes: 50, gap: Duration::from_micros(100) };
    let rows = [
        (Fault::Status(429), Different, Different, "status 429"),
        (Fault::Html(502), Different, Different, "status 502"),
        (Fault::GarbageJson, Different, Different, ""),
        (Fault::EarlyAnswer, Different, Different, "status 413"),
        (Fault::NoUsage, Different, Different, "no usage"),
        (Fault::StreamError(2), Completed, Different, "an error within the stream"),
        (Fault::NoAnswer(Fin), Broken, Broken, "before an answer"),
        (Fault::NoAnswer(Rst), Broken, Broken, ""),
        (Fault::CutInHead(Fin), Broken, Broken, "within an answer"),
        (Fault::CutAfterChunks(1, Fin), Broken, Broken, "within an answer"),
        (Fault::CutAfterChunks(3, Rst), Broken, Broken, ""),
        (Fault::Truncate(Fin), Broken, Broken, "within an answer"),
        (Fault::Stall, Unfinished, Unfinished, ""),
        (Fault::StallAfterChunks(2), Unfinished, Unfinished, ""),
        (Fault::UsageOnEveryChunk, Completed, Completed, ""),
        (Fault::UsageWithEmptyDelta, Completed, Completed, ""),
        (Fault::CloseAfterResponse, Completed, Completed, ""),
        (Fault::Interim(103), Completed, Completed, ""),
        (slow, Completed, Completed, ""),
    ];
    for (fault, of_whole, of_stream, says) in rows {
        for (streamed, expected) in [(false, of_whole), (true, of_stream)] {
            // The first answers are right, so that the client has learned what is.
            let script = Script { fault, fault_every: 3, ..script() };
            let simulator = Simulator::start(script.clone()).unwrap();
            let ask = if streamed { stream(&script) } else { whole(&script) };
            let mut load = closed(&simulator, 1, 6, vec![(ask, 1)]);
            load.patience = Duration::from_millis(300);
            let stalls = expected == Unfinished;
            if stalls {
                load.time = Duration::from_millis(100);
            }
            let tally = load.drive().unwrap();
            let found = [tally.completed, tally.different, tally.broken, tally.unfinished];
            let row = match expected {
                Completed => [6, 0, 0, 0],
                Different => [4, 2, 0, 0],
                Broken => [4, 0, 2, 0],
                Unfinished => [2, 0, 0, 1],
            };
            assert_eq!(found, row, "{fault}, stream {streamed}: {:?}", tally.examples);
            assert_eq!(tally.failed(), row[1..].iter().sum::<u64>(), "{fault}");
            if expected != Completed {
                assert!(
                    tally.examples.iter().any(|example| example.what.contains(says)),
                    "{fault}: {:?}",
                    tally.examples
                );
            }
        }
    }
}

#[test]
fn a_usage_that_differs_by_one_token_is_found() {
    let simulator = Simulator::start(script()).unwrap();
    let usage = Usage { input: 120, output: 31, ..Usage::default() };
    let mix = vec![(whole(&script()).stating(usage), 1), (stream(&script()).stating(usage), 1)];
    let tally = closed(&simulator, 2, 10, mix).drive().unwrap();
    assert_eq!((tally.completed, tally.different), (0, 10));
    assert!(tally.examples[0].what.contains("output: 30"), "{:?}", tally.examples);
    agree(&tally, &simulator.stop());
}

#[test]
fn an_answer_to_another_question_is_found() {
    let simulator = Simulator::start(script()).unwrap();
    let right = [whole(&script()), stream(&script())];
    let other = Script { chunk_bytes: 7, ..script() };
    for (ask, wrong) in right.into_iter().zip([whole(&other), stream(&other)]) {
        assert_eq!(closed(&simulator, 1, 5, vec![(ask, 1)]).drive().unwrap().completed, 5);
        assert_eq!(closed(&simulator, 1, 5, vec![(wrong, 1)]).drive().unwrap().different, 5);
    }
}

#[test]
fn clients_that_leave_are_not_failures() {
    let script = Script { chunks: 60, chunk_gap: Duration::from_millis(2), ..script() };
    let simulator = Simulator::start(script.clone()).unwrap();
    let mix = vec![
        (whole(&script), 1),
        (stream(&script), 1),
        (stream(&script).leaving(Leave::AfterEvents(5)), 1),
        (stream(&script).leaving(Leave::AfterRequest), 1),
    ];
    let tally = closed(&simulator, 8, 80, mix).drive().unwrap();
    assert_eq!((tally.completed, tally.left, tally.failed()), (40, 40, 0), "{:?}", tally.examples);
    assert_eq!(tally.connections, 8 + 40);
    let settled = |ledger: &Ledger| ledger.completed + ledger.client_gone + ledger.incomplete >= 80;
    while !settled(&simulator.ledger()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let ledger = simulator.stop();
    assert_eq!((ledger.completed, ledger.client_gone + ledger.incomplete), (40, 40));
    assert_eq!(ledger.reported, tally.usage);
}

/// One connection, 200 requests a second for a second; the answer to the first is 300 ms late.
fn stalled(backlog: usize) -> (Tally, Ledger) {
    let fault = Fault::SlowBody { bytes: 1 << 20, gap: Duration::from_millis(300) };
    let script = Script { fault, fault_times: 1, ..script() };
    let simulator = Simulator::start(script.clone()).unwrap();
    let mut load = closed(&simulator, 1, u64::MAX, vec![(whole(&script), 1)]);
    (load.pace, load.time) = (Pace::Open { rate: 200.0, backlog }, Duration::from_secs(1));
    (load.drive().unwrap(), simulator.stop())
}

#[test]
fn an_open_loop_keeps_its_plan_when_the_server_stalls() {
    let (tally, ledger) = stalled(1_000);
    assert_eq!((tally.completed, tally.not_sent, tally.failed()), (200, 0, 0), "{:?}", tally.examples);
    agree(&tally, &ledger);
    assert!(tally.backlog >= 55, "{} waited", tally.backlog);
    // Forty requests were planned for the first 200 ms of the stall, and none of them could be answered within it.
    let (planned, sent) = (&tally.whole.planned, &tally.whole.sent);
    assert!(planned.count_from(100_000_000) >= 40, "{} late", planned.count_from(100_000_000));
    for percent in [50.0, 75.0, 90.0, 99.0, 100.0] {
        assert!(planned.percentile(percent) >= sent.percentile(percent), "{percent}");
    }
}

#[test]
fn what_a_full_backlog_does_not_take_is_told() {
    let (tally, ledger) = stalled(10);
    assert!(
        tally.not_sent >= 40 && tally.backlog <= 11,
        "{} of them, {} waited",
        tally.not_sent,
        tally.backlog
    );
    assert_eq!((tally.completed + tally.not_sent, tally.planned(), tally.failed()), (200, 200, 0));
    agree(&tally, &ledger);
}

#[test]
fn nobody_to_ask_is_an_error() {
    let simulator = Simulator::start(script()).unwrap();
    let load = closed(&simulator, 4, 4, vec![(whole(&script()), 1)]);
    drop(simulator);
    assert!(load.drive().is_err());
    let nothing = Load { connections: 0, ..load.clone() };
    assert!(nothing.drive().is_err() && Load { mix: Vec::new(), ..load }.drive().is_err());
}
