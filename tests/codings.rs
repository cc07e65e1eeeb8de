//! Content codings on a whole gateway: answers that a provider compressed although it was asked not to, in every way that
//! an answer passes, and requests that their clients compressed. No usage is lost by it, and nobody gets what he cannot read.

#[path = "codings/broken.rs"]
mod broken;
#[path = "codings/requests.rs"]
mod requests;
mod support;

use std::time::Duration;
use support::{Answer, Client, ROUTES, Rig, Route, USER_TEXT, chat, limits, until};
use tollgate::telemetry::Outcome;
use tollgate::wire::coding::{Codings, Decoder, PIECE_BYTES, SUPPORTED};
use tollgate::wire::http1::{HeadLimits, Method, response};
use tollgate_loadtest::coding::{Coding, content_encoding, encode};
use tollgate_loadtest::{Count, Ending, Fault, Framing, Script, reply_text};

const MODEL: &str = "claude-3-5-haiku-latest";

/// The estimate of the input of the requests here: 21 bytes of text, 4 of the role, 8 tokens for the marks.
const ESTIMATE: u64 = 25_u64.div_ceil(4) + 8;

const CODINGS: [&[Coding]; 7] = [
    &[Coding::Gzip],
    &[Coding::Deflate],
    &[Coding::BareDeflate],
    &[Coding::Brotli],
    &[Coding::Zstd],
    &[Coding::Gzip, Coding::Brotli],
    &[Coding::Zstd, Coding::BareDeflate, Coding::Gzip],
];

const TAKES_ALL: &str = "Accept-Encoding: gzip, deflate, br, zstd\r\n";

/// Lines of clients that do not take `coding`.
fn others(coding: &[Coding]) -> Vec<String> {
    let name = coding[0].name();
    let but_one: Vec<&str> = SUPPORTED.split(", ").filter(|other| *other != name).collect();
    let line = |value: &str| format!("Accept-Encoding: {value}\r\n");
    vec![
        String::new(),
        line(""),
        line("identity"),
        line(&but_one.join(", ")),
        line(&format!("*, {name};q=0")),
    ]
}

fn script(coding: &[Coding]) -> Script {
    let usage = Script { cached_input_tokens: 300, output_tokens: 77, ..Script::default() };
    Script { input_tokens: Count::Fixed(1_000), coding: coding.to_vec(), ..usage }
}

fn decoder(value: &str) -> Decoder {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: {value}\r\n\r\n");
    let parsed =
        response(head.as_bytes(), &HeadLimits::default(), Method::Post).expect("a head").expect("whole");
    let codings = Codings::of(&parsed.headers, head.as_bytes()).expect("known codings");
    Decoder::new(&codings).expect("a coding")
}

/// All that `bytes` decode to.
fn eat(decoder: &mut Decoder, mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(piece) = decoder.next(&mut bytes, PIECE_BYTES).expect("well coded") {
        out.extend_from_slice(piece);
    }
    out
}

/// The answer as a client reads it that undoes its coding.
fn undone(answer: &Answer) -> Answer {
    let mut decoder = decoder(answer.header("content-encoding").expect("it is coded"));
    let body = eat(&mut decoder, &answer.body);
    assert_eq!(decoder.finish(), Ok(()));
    Answer { body, ..answer.clone() }
}

/// Asserts that the answer is whole and says what the simulator says.
fn assert_said(route: Route, answer: &Answer, streamed: bool, script: &Script, what: &str) {
    assert_eq!((answer.status, answer.complete), (200, true), "{what}: {}", answer.text());
    let number = answer.header("x-sim-request").expect("it passes").parse().expect("a number");
    let said = route.read(answer);
    assert_eq!(said.text, reply_text(MODEL, USER_TEXT, number, script), "{what}");
    assert_eq!((said.error, said.done), (None, streamed), "{what}");
}

// === answers ===

#[test]
fn an_answer_passes_as_it_came_to_a_client_that_takes_its_coding() {
    let rig = Rig::start(Script::default(), "");
    let mut client = rig.client();
    let mut asked = 0;
    for route in [ROUTES[1], ROUTES[2]] {
        for coding in CODINGS {
            for streamed in [false, true] {
                let what = format!("{} {coding:?} streamed: {streamed}", route.path);
                rig.simulator.set_script(script(coding));
                let answer = client.ask(route.path, TAKES_ALL, &route.body(MODEL, streamed));
                assert_eq!(answer.header("content-encoding"), Some(&*content_encoding(coding)), "{what}");
                let length = answer.header("content-length").map(str::to_owned);
                assert_eq!(length, (!streamed).then(|| answer.body.len().to_string()), "{what}");
                assert_said(route, &undone(&answer), streamed, &script(coding), &what);
                let seen = rig.simulator.requests().pop().expect("it came");
                assert_eq!(seen.header("accept-encoding"), Some("identity"), "{what}");
                asked += 1;
            }
        }
    }
    rig.assert_ledgers_agree();
    let totals = rig.totals();
    assert_eq!((totals.usage_missing, totals.answers_coded, totals.answers_undecoded), (0, asked, 0));
}

#[test]
fn an_answer_is_decoded_for_a_client_that_does_not_take_its_coding() {
    let rig = Rig::start(Script::default(), "");
    let mut client = rig.client();
    for route in [ROUTES[1], ROUTES[2]] {
        for coding in CODINGS {
            rig.simulator.set_script(script(coding));
            for (accepts, streamed) in others(coding).iter().flat_map(|line| [(line, false), (line, true)]) {
                let what = format!("{} {coding:?} streamed: {streamed} {accepts:?}", route.path);
                let answer = client.ask(route.path, accepts, &route.body(MODEL, streamed));
                assert_eq!(answer.header("content-encoding"), None, "{what}");
                assert_eq!(answer.header("transfer-encoding"), Some("chunked"), "{what}");
                assert_said(route, &answer, streamed, &script(coding), &what);
            }
        }
    }
    rig.assert_ledgers_agree();
    assert_eq!(rig.totals().usage_missing, 0);
}

#[test]
fn a_client_of_http_1_0_gets_a_decoded_answer_to_its_end() {
    let rig = Rig::start(script(&[Coding::Gzip]), "");
    let (route, mut client) = (ROUTES[2], rig.client());
    let body = route.body(MODEL, true);
    client.write(format!(
        "POST {} HTTP/1.0\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
        route.path,
        body.len()
    ));
    let answer = client.answer();
    assert_eq!((answer.header("content-encoding"), answer.header("transfer-encoding")), (None, None));
    assert_said(route, &answer, true, &script(&[Coding::Gzip]), "HTTP/1.0");
    rig.assert_ledgers_agree();
}

#[test]
fn an_answer_is_decoded_to_be_translated() {
    let rig = Rig::start(Script::default(), "");
    let mut client = rig.client();
    for route in [ROUTES[0], ROUTES[3]] {
        for coding in CODINGS {
            rig.simulator.set_script(script(coding));
            for streamed in [false, true] {
                let what = format!("{} {coding:?} streamed: {streamed}", route.path);
                let answer = client.ask(route.path, TAKES_ALL, &route.body(MODEL, streamed));
                assert_eq!(answer.header("content-encoding"), None, "{what}");
                assert_said(route, &answer, streamed, &script(coding), &what);
            }
        }
    }
    rig.assert_ledgers_agree();
    assert_eq!(rig.totals().usage_missing, 0);
}

#[test]
fn an_answer_is_decoded_to_be_rid_of_usage_that_only_we_asked_for() {
    let rig = Rig::start(Script::default(), "");
    let (route, mut client) = (ROUTES[2], rig.client());
    for coding in CODINGS {
        rig.simulator.set_script(script(coding));
        let answer = client.ask(route.path, TAKES_ALL, &chat(MODEL, true));
        assert_eq!(answer.header("content-encoding"), None, "{coding:?}");
        assert_said(route, &answer, true, &script(coding), &format!("{coding:?}"));
        assert!(!answer.text().contains("usage"), "{coding:?}: {}", answer.text());
    }
    let ledger = rig.assert_ledgers_agree();
    assert_eq!(ledger.reported.output, 77 * CODINGS.len() as u64);
}

#[test]
fn an_answer_is_decoded_to_be_cut() {
    for route in ROUTES {
        for coding in CODINGS {
            let what = format!("{} {coding:?}", route.path);
            let limit = "{name: t, unit: tokens, rate: 1/hour, burst: 800, onExhausted: cut}";
            // So long that the provider is still at it when it is left.
            let long = Script {
                chunks: 400,
                chunk_bytes: 40,
                chunk_gap: Duration::from_millis(1),
                ..script(coding)
            };
            let long = Script { input_tokens: Count::Fixed(10), output_tokens: 20_000, ..long };
            let rig = Rig::start(long, &limits(route.name, &[limit]));
            let body = route.body(MODEL, true).replace(r#""max_tokens":100"#, r#""max_tokens":40000"#);
            let answer = rig.client().ask(route.path, TAKES_ALL, &body);
            assert_eq!((answer.status, answer.complete), (200, true), "{what}");
            assert_eq!(answer.header("content-encoding"), None, "{what}");
            let said = route.read(&answer);
            let length = if route.openai_client { "length" } else { "max_tokens" };
            assert_eq!(
                (&*said.finish, said.error, said.done),
                (length, None, true),
                "{what}: {}",
                answer.text()
            );
            let (usage, text) = (said.usage.expect("the usage is told"), said.text.len() as u64 / 4);
            assert!((500..1_100).contains(&text), "{what}: {text}");
            assert_eq!((rig.ended(Outcome::LimitCut), rig.totals().streams_cut), (1, 1), "{what}");
            let settled = rig.settled();
            assert_eq!(settled.output, usage[3], "{what}");
            assert_eq!(rig.balance(0), 800 - (settled.input + settled.output) as i64, "{what}");
            until("the provider was left", || rig.simulator.ledger().client_gone == 1);
        }
    }
}

#[test]
fn events_are_passed_on_one_by_one() {
    for route in ROUTES {
        let rig = Rig::start(Script::default(), "");
        for coding in CODINGS {
            // What the facts are in comes before the provider falls silent, the rest never.
            let stalls = Script { chunks: 8, fault: Fault::StallAfterChunks(4), ..script(coding) };
            let mut facts = reply_text(MODEL, USER_TEXT, 1, &Script { chunks: 1, ..stalls.clone() });
            facts.truncate(20); // before the request's number
            rig.simulator.set_script(stalls);
            for accepts in [TAKES_ALL, ""] {
                let mut client = rig.client();
                client.post(route.path, accepts, &route.body(MODEL, true));
                while !String::from_utf8_lossy(&read_so_far(&mut client)).contains(&facts) {}
            }
        }
    }
}

/// What can be read of an answer when some more of it has come.
fn read_so_far(client: &mut Client) -> Vec<u8> {
    let bytes = client.fill_to(client.unread().len() + 1).to_vec();
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Vec::new() };
    let (head, body) = bytes.split_at(end + 4);
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    match head.split("content-encoding: ").nth(1).and_then(|rest| rest.lines().next()) {
        None => body.to_vec(),
        Some(value) => eat(&mut decoder(value), &payload(body)),
    }
}

/// What stands in the chunks of a body, as far as they have come.
fn payload(mut bytes: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    while let Some(at) = bytes.windows(2).position(|two| two == b"\r\n") {
        let size =
            std::str::from_utf8(&bytes[..at]).ok().and_then(|text| usize::from_str_radix(text, 16).ok());
        let data = &bytes[at + 2..];
        let size = size.expect("a chunk size");
        payload.extend_from_slice(&data[..size.min(data.len())]);
        bytes = data.get(size + 2..).unwrap_or_default();
    }
    payload
}

#[test]
fn errors_are_decoded_to_be_reshaped_and_keep_their_status_whatever_they_are_coded_with() {
    for route in ROUTES {
        let rig = Rig::start(Script::default(), "");
        let mut client = rig.client();
        for coding in CODINGS.iter().copied().chain([&[Coding::Flip][..]]) {
            let what = format!("{} {coding:?}", route.path);
            rig.simulator.set_script(Script { fault: Fault::Status(429), ..script(coding) });
            let is_known = coding != [Coding::Flip];
            for accepts in [TAKES_ALL, ""] {
                let answer = client.ask(route.path, accepts, &route.body(MODEL, false));
                assert_eq!((answer.status, answer.complete), (429, true), "{what}: {}", answer.text());
                assert_eq!(answer.header("retry-after"), Some("1"), "{what}");
                let passes = route.is_native() && (!accepts.is_empty() || !is_known);
                assert_eq!(answer.header("content-encoding").is_some(), passes, "{what}");
                let answer = match passes {
                    true if is_known => undone(&answer),
                    true => continue,
                    false => answer,
                };
                assert!(route.read(&answer).error.is_some(), "{what}");
                let message = answer.json()["error"]["message"].as_str().expect("a message").to_lowercase();
                assert!(!is_known || message.contains("rate limit"), "{what}: {message}");
            }
        }
        assert_eq!(rig.settled(), support::Settled::default(), "{}", route.path);
    }
}

#[test]
fn an_unknown_coding_passes_where_the_answer_may_pass_unread_and_is_a_502_elsewhere() {
    let native = |route: &Route| (*route, route.body(MODEL, false), String::new());
    let cut = "{name: t, unit: tokens, rate: 1/hour, burst: 8000, onExhausted: cut}";
    let rows = [
        (true, native(&ROUTES[1])),
        (true, native(&ROUTES[2])),
        (true, (ROUTES[1], ROUTES[1].body(MODEL, true), String::new())),
        (true, (ROUTES[2], ROUTES[2].body(MODEL, true), String::new())),
        (false, (ROUTES[0], ROUTES[0].body(MODEL, false), String::new())),
        (false, (ROUTES[0], ROUTES[0].body(MODEL, true), String::new())),
        (false, (ROUTES[3], ROUTES[3].body(MODEL, true), String::new())),
        (false, (ROUTES[2], chat(MODEL, true), String::new())), // its usage is to be taken out
        (false, (ROUTES[1], ROUTES[1].body(MODEL, true), limits("messages", &[cut]))),
    ];
    for (passes, (route, body, policies)) in rows {
        for coding in [&[Coding::Flip][..], &[Coding::Gzip, Coding::Flip]] {
            let what = format!("{} {body} {coding:?}", route.path);
            let rig = Rig::start(script(coding), &policies);
            let mut client = rig.client();
            let answer = client.ask(route.path, TAKES_ALL, &body);
            assert_eq!((answer.status, answer.complete), (if passes { 200 } else { 502 }, true), "{what}");
            if passes {
                assert_eq!(answer.header("content-encoding"), Some(&*content_encoding(coding)), "{what}");
                let flipped: Vec<u8> = answer.body.iter().map(|byte| !byte).collect();
                let value = content_encoding(&coding[..coding.len() - 1]);
                let body = if value.is_empty() { flipped } else { eat(&mut decoder(&value), &flipped) };
                let streamed = answer.header("transfer-encoding").is_some();
                assert_said(route, &Answer { body, ..answer }, streamed, &script(coding), &what);
            } else {
                assert!(
                    answer.text().contains("a content coding that is not known here"),
                    "{}",
                    answer.text()
                );
                assert!(route.read(&answer).error.is_some(), "{what}");
            }
            let settled = rig.settled();
            assert_eq!((settled.input, settled.output, settled.counted), (ESTIMATE, 0, 1), "{what}");
            assert_eq!(rig.totals().answers_coded_unknown, 1, "{what}");
            rig.simulator.set_script(script(&[]));
            assert_eq!(client.ask(route.path, "", &body).status, 200, "{what}: the connection lives");
        }
    }
}

#[test]
fn a_coded_stream_that_its_connection_ends_is_whole_only_if_all_was_said() {
    for route in ROUTES {
        let rig = Rig::start(Script::default(), "");
        for coding in CODINGS {
            for accepts in [TAKES_ALL, ""] {
                for (fault, is_whole) in [(Fault::None, true), (Fault::CutAfterChunks(5, Ending::Fin), false)]
                {
                    let what = format!("{} {coding:?} {accepts:?} {fault}", route.path);
                    let framing = Framing::CloseDelimited;
                    rig.simulator.set_script(Script { framing, fault, chunks: 8, ..script(coding) });
                    let answer = rig.client().ask(route.path, accepts, &route.body(MODEL, true));
                    assert_eq!(answer.status, 200, "{what}");
                    assert_eq!(answer.complete, is_whole || !route.is_native(), "{what}: {}", answer.text());
                    if answer.header("content-encoding").is_none() {
                        let said = route.read(&answer);
                        assert_eq!(said.done, is_whole, "{what}: {}", answer.text());
                        assert_eq!(said.error.is_some(), !is_whole && !route.is_native(), "{what}");
                    }
                }
            }
        }
        let cuts = 2 * CODINGS.len() as u64;
        assert_eq!(
            (rig.ended(Outcome::UpstreamCut), rig.totals().usage_missing),
            (cuts, cuts),
            "{}",
            route.path
        );
    }
}

/// A zstd frame of so many blocks that repeat a byte 128 KiB long.
fn bomb(blocks: usize) -> Vec<u8> {
    let block = |last: u32| [&(128u32 << 13 | 1 << 1 | last).to_le_bytes()[..3], b" "].concat();
    let blocks = (1..=blocks).map(|n| block(u32::from(n == blocks)));
    [b"\x28\xb5\x2f\xfd\x00\x38".to_vec(), blocks.collect::<Vec<_>>().concat()].concat()
}

/// A POST of these bytes with these further lines.
fn post(path: &str, lines: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: gateway.test\r\n{lines}Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn coded_line(coding: &[Coding]) -> String {
    format!("Content-Encoding: {}\r\n", content_encoding(coding))
}

// === plain hosts ===

#[test]
fn on_plain_routes_all_codings_pass_untouched() {
    let rig = Rig::start(Script::default(), "");
    let mut client = rig.client();
    for coding in CODINGS.iter().copied().chain([&[Coding::Flip][..]]) {
        rig.simulator.set_script(script(coding));
        for body in [&b"not coded at all"[..], &encode(coding, &[&b"coded"[..]]).concat()] {
            client.write(post(
                "/plain/echo",
                &format!("{}Accept-Encoding: br\r\n", coded_line(coding)),
                body,
            ));
            let answer = client.answer();
            assert_eq!((answer.status, answer.complete), (200, true), "{coding:?}");
            assert_eq!(answer.header("content-encoding"), Some(&*content_encoding(coding)), "{coding:?}");
            assert_eq!(answer.body, encode(coding, &[body]).concat(), "{coding:?}");
            let seen = rig.simulator.requests().pop().expect("it came");
            assert_eq!(seen.body, body, "{coding:?}");
            assert_eq!(seen.header("content-encoding"), Some(&*content_encoding(coding)), "{coding:?}");
            assert_eq!(seen.header("accept-encoding"), Some("br"), "{coding:?}");
        }
    }
    assert_eq!(rig.totals().answers_coded, 0);
}
