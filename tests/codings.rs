//! Content codings on a whole gateway: answers that a provider compressed although it was asked not to, in every way that
//! an answer passes, and requests that their clients compressed. No usage is lost by it, and nobody gets what he cannot read.

mod support;

use std::io::Write;
use std::time::Duration;
use support::{Answer, Client, ROUTES, Rig, Route, USER_TEXT, chat, limits, provider, read_request, until};
use tollgate::telemetry::Outcome;
use tollgate::wire::coding::{Codings, Decoder, PIECE_BYTES, SUPPORTED};
use tollgate::wire::http1::{HeadLimits, Method, response};
use tollgate_loadtest::coding::{Coding, content_encoding, encode};
use tollgate_loadtest::{Count, Fault, Script, reply_text};

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

// === answers that are not what they say ===

const USAGE: &str = r#""usage":{"prompt_tokens":1000,"completion_tokens":77,"total_tokens":1077}"#;

/// A whole answer in OpenAI's format.
fn whole() -> Vec<u8> {
    let answer = r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],"#;
    format!("{answer}{USAGE}}}").into_bytes()
}

/// The same as a stream.
fn stream() -> Vec<u8> {
    let chunk = |delta: &str, finish: &str| {
        format!(
            r#"data: {{"id":"x","object":"chat.completion.chunk","created":1,"model":"m","choices":[{{"index":0,"delta":{{{delta}}},"finish_reason":{finish}}}]}}{}"#,
            "\n\n"
        )
    };
    let usage = format!(
        "data: {{\"id\":\"x\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[],{USAGE}}}\n\n"
    );
    let text = |text: &str| chunk(&format!(r#""role":"assistant","content":"{text}""#), "null");
    [text("hel"), text("lo"), chunk("", r#""stop""#), usage, "data: [DONE]\n\n".to_owned()]
        .concat()
        .into_bytes()
}

/// A gateway before a provider that always answers so.
fn rig_before(media: &'static str, value: &str, body: Vec<u8>) -> Rig {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-encoding: {value}\r\ncontent-length: {length}\r\n\r\n"
    );
    let bytes = [head.into_bytes(), body].concat();
    let provider = provider(move |_, mut stream| {
        while read_request(&mut stream).is_some() {
            stream.write_all(&bytes).ok(); // it may be given up before all of it is read
        }
    });
    Rig::start_towards(provider, "", "")
}

/// A zstd frame of so many blocks that repeat a byte 128 KiB long.
fn bomb(blocks: usize) -> Vec<u8> {
    let block = |last: u32| [&(128u32 << 13 | 1 << 1 | last).to_le_bytes()[..3], b" "].concat();
    let blocks = (1..=blocks).map(|n| block(u32::from(n == blocks)));
    [b"\x28\xb5\x2f\xfd\x00\x38".to_vec(), blocks.collect::<Vec<_>>().concat()].concat()
}

/// What happens to an answer that cannot be decoded to its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// A 502 in the client's format.
    Refused,
    /// It is cut where it cannot be read further.
    Cut,
    /// It ends with an error event.
    Told,
    /// All is well, since all was said.
    Well,
}

#[test]
fn an_answer_that_cannot_be_decoded_passes_untouched_or_is_told_but_never_taken_for_whole() {
    let coded = |coding, body: Vec<u8>| encode(&[coding], &[&body]).concat();
    let damaged = |coding, body: Vec<u8>, at: usize| {
        let mut bytes = coded(coding, body);
        let last = bytes.len() - 1;
        bytes[at.min(last)] ^= 0xff;
        bytes
    };
    let cut = |coding, body: Vec<u8>, by: usize| {
        let mut bytes = coded(coding, body);
        bytes.truncate(bytes.len() - by);
        bytes
    };
    let (json, events) = ("application/json", "text/event-stream");
    let half = |body: Vec<u8>| [&body[..body.len() / 2], b" "].concat();
    let rows: [(&str, &str, Vec<u8>, [End; 2]); 13] = [
        // What it is, and what becomes of it decoded for an OpenAI client, and translated for an Anthropic one.
        (json, "gzip", b"this is no gzip".to_vec(), [End::Refused, End::Refused]),
        (json, "br", damaged(Coding::Brotli, whole(), 2), [End::Refused, End::Refused]),
        (json, "zstd", b"\x28\xb5\x2f\xfd\x00\x70\x09\x00\x00!".to_vec(), [End::Refused, End::Refused]), // 16 MiB
        (json, "gzip", damaged(Coding::Gzip, whole(), usize::MAX), [End::Refused, End::Refused]), // its length
        (json, "zstd", cut(Coding::Zstd, whole(), 90), [End::Refused, End::Refused]),
        (json, "gzip", cut(Coding::Gzip, whole(), 8), [End::Well, End::Well]), // its trailer
        (
            json,
            "gzip",
            [coded(Coding::Gzip, whole()), b"more".to_vec()].concat(),
            [End::Refused, End::Refused],
        ),
        (json, "deflate", cut(Coding::Deflate, half(whole()), 5), [End::Refused, End::Refused]),
        (json, "zstd", bomb(400), [End::Cut, End::Refused]),
        (events, "gzip", b"this is no gzip".to_vec(), [End::Refused, End::Refused]),
        (events, "gzip", cut(Coding::Gzip, stream(), 10), [End::Well, End::Well]),
        (events, "br", cut(Coding::Brotli, half(stream()), 1), [End::Refused, End::Refused]),
        (
            events,
            "zstd",
            [coded(Coding::Zstd, vec![b' '; 200_000]), b"more".to_vec()].concat(),
            [End::Cut, End::Told],
        ),
    ];
    for (media, value, body, ends) in rows {
        let what = format!("{media} {value} {} bytes", body.len());
        let streamed = media == events;
        let rig = rig_before(media, value, body.clone());
        let ask = |route: Route, accepts| rig.client().ask(route.path, accepts, &route.body(MODEL, streamed));
        let native = ask(ROUTES[2], TAKES_ALL);
        assert_eq!((native.status, native.complete), (200, true), "{what}");
        assert_eq!(native.header("content-encoding"), Some(value), "{what}");
        assert!(native.body == body, "{what}: not a byte is changed");
        let was_said = ends[0] == End::Well || body.len() > 60 && value == "gzip" && !streamed;
        let settled = rig.settled();
        let expected = if was_said { (1_000, 77, 0) } else { (ESTIMATE, 0, 1) };
        let (input, output, counted) = (settled.input, settled.output, settled.counted);
        assert_eq!((input, counted), (expected.0, expected.2), "{what}: {settled:?}");
        assert!(output >= expected.1, "{what}: {settled:?}");
        assert_eq!(rig.totals().answers_undecoded, 1, "{what}");
        for (route, end) in [(ROUTES[2], ends[0]), (ROUTES[3], ends[1])] {
            let answer = ask(route, "");
            assert_eq!(answer.header("content-encoding"), None, "{what}");
            let found = match (answer.status, answer.complete) {
                (502, true) => End::Refused,
                (200, false) => End::Cut,
                (200, true) if route.read(&answer).error.is_some() => End::Told,
                (200, true) => {
                    let said = route.read(&answer);
                    assert_eq!((&*said.text, said.done), ("hello", streamed), "{what}");
                    End::Well
                }
                other => panic!("{what}: {other:?}"),
            };
            assert_eq!(found, end, "{what} {}: {}", route.path, answer.text());
        }
        // A bomb is too large to translate before it is too large to be one.
        let undecoded = if ends == [End::Cut, End::Refused] { 2 } else { 3 };
        assert_eq!((rig.totals().answers_coded, rig.totals().answers_undecoded), (3, undecoded), "{what}");
    }
}

// === requests ===

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

#[test]
fn a_coded_request_goes_upstream_decoded() {
    for route in ROUTES {
        let rig = Rig::start(script(&[]), "");
        let mut client = rig.client();
        let mut sent = 0;
        for coding in CODINGS {
            for streamed in [false, true] {
                let what = format!("{} {coding:?} streamed: {streamed}", route.path);
                let body = route.body(MODEL, streamed);
                let coded = encode(coding, &[body.as_bytes()]).concat();
                let request = post(route.path, &coded_line(coding), &coded);
                // Whole, in crumbs, and with the next request behind it.
                let crumbs = |client: &mut Client| request.chunks(7).for_each(|crumb| client.write(crumb));
                client.write(&request);
                let answers = [client.answer(), {
                    crumbs(&mut client);
                    client.answer()
                }];
                client.write(request.repeat(2));
                for answer in answers.into_iter().chain([client.answer(), client.answer()]) {
                    assert_said(route, &answer, streamed, &script(&[]), &what);
                }
                sent += 4 * request.len() as u64;
                let seen = rig.simulator.requests().pop().expect("it came");
                assert_eq!(seen.header("content-encoding"), None, "{what}");
                assert_eq!(seen.header("content-length"), Some(&*seen.body.len().to_string()), "{what}");
                assert!(!route.is_native() || seen.body == body.as_bytes(), "{what}");
            }
        }
        rig.assert_ledgers_agree();
        assert_eq!(rig.totals().downstream_bytes_in, sent, "{}: as they came", route.path);
    }
}

#[test]
fn a_coded_request_may_be_chunked_or_wait_to_be_asked_for_and_what_it_holds_is_edited() {
    let rig = Rig::start(script(&[]), "");
    let mut client = rig.client();
    let body = chat(MODEL, true); // usage is asked for upstream
    let coded = encode(&[Coding::Brotli, Coding::Gzip], &[body.as_bytes()]).concat();
    let chunks: Vec<u8> = coded
        .chunks(5)
        .flat_map(|c| [format!("{:x}\r\n", c.len()).as_bytes(), c, b"\r\n"].concat())
        .collect();
    let head =
        "POST /openai HTTP/1.1\r\nHost: a\r\nContent-Encoding: br\r\nContent-Encoding: identity, X-GZIP\r\n";
    client.write(
        [format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes(), &chunks, b"0\r\n\r\n"].concat(),
    );
    assert_said(ROUTES[2], &client.answer(), true, &script(&[]), "chunked");
    let seen = rig.simulator.requests().pop().expect("it came");
    assert!(String::from_utf8_lossy(&seen.body).contains(r#""include_usage":true"#));

    client.write(format!("{head}Expect: 100-continue\r\nContent-Length: {}\r\n\r\n", coded.len()));
    assert_eq!(client.any_answer().status, 100);
    client.write(&coded);
    assert_said(ROUTES[2], &client.answer(), true, &script(&[]), "100-continue");
    rig.assert_ledgers_agree();
}

#[test]
fn a_large_coded_request_is_read_part_by_part_and_other_requests_meanwhile() {
    let rig = Rig::start_set(script(&[]), "", "  requests: {bodyBytes: 40Mi}");
    for coding in [Coding::Gzip, Coding::Zstd, Coding::Brotli] {
        let body = ROUTES[2].body(MODEL, false).replace(USER_TEXT, &"word ".repeat(1 << 20));
        let coded = encode(&[coding], &[body.as_bytes()]).concat();
        let (mut client, mut other) = (rig.client(), rig.client());
        client.write(post("/openai", &coded_line(&[coding]), &coded));
        assert_eq!(other.ask("/openai", "", &chat(MODEL, false)).status, 200);
        let answer = client.answer();
        assert_eq!(answer.status, 200, "{coding:?}: {}", answer.text());
        assert!(rig.simulator.requests().iter().any(|seen| seen.body == body.as_bytes()), "{coding:?}");
    }
    rig.assert_ledgers_agree();
}

#[test]
fn a_request_that_cannot_be_decoded_is_refused_in_the_words_of_its_client() {
    let rig = Rig::start_set(script(&[]), "", "  requests: {bodyBytes: 64Ki}");
    let damaged = |coded: &[u8]| {
        let mut bytes = coded.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 0xff;
        bytes
    };
    for route in ROUTES {
        let body = route.body(MODEL, false);
        let gzip = encode(&[Coding::Gzip], &[body.as_bytes()]).concat();
        let large = body.replace(USER_TEXT, &"x".repeat(64 << 10));
        let large = encode(&[Coding::Gzip], &[large.as_bytes()]).concat();
        let rows: [(&str, Vec<u8>, u16, bool, &str); 12] = [
            // Coding, body, status, whether the connection goes on, and what is said.
            ("compress", gzip.clone(), 415, false, "content-encoding"),
            ("gzip, x-flip", gzip.clone(), 415, false, "gzip, deflate, br, zstd"),
            ("gzip, gzip, gzip, gzip, gzip", gzip.clone(), 415, false, "content-encoding"),
            ("gzip", body.clone().into_bytes(), 400, true, "the body cannot be decoded"),
            ("br", gzip.clone(), 400, true, "corrupt"),
            ("gzip", damaged(&gzip), 400, true, "corrupt"),
            ("gzip", gzip[..gzip.len() - 1].to_vec(), 400, true, "ends too early"),
            ("gzip", [&gzip[..], b"{}"].concat(), 400, true, "goes on after its end"),
            ("zstd", b"\x28\xb5\x2f\xfd\x00\x70\x09\x00\x00!".to_vec(), 400, true, "window"),
            ("identity", gzip.clone(), 400, true, "not a valid request"),
            ("gzip", large, 413, false, "too large"),
            ("zstd", bomb(1_000), 413, false, "too large"),
        ];
        for (value, coded, status, goes_on, why) in rows {
            let what = format!("{} {value} {} bytes", route.path, coded.len());
            let mut client = rig.client();
            client.write(post(route.path, &format!("Content-Encoding: {value}\r\n"), &coded));
            let answer = client.answer();
            assert_eq!((answer.status, answer.complete), (status, true), "{what}: {}", answer.text());
            assert!(answer.text().contains(why), "{what}: {}", answer.text());
            let supported = (status == 415).then_some(SUPPORTED);
            assert_eq!(answer.header("accept-encoding"), supported, "{what}");
            assert!(route.read(&answer).error.is_some(), "{what}");
            match goes_on {
                true => {
                    assert_eq!(client.ask(route.path, "", &body).status, 200, "{what}: the connection lives")
                }
                false => assert!(client.is_over(), "{what}"),
            }
        }
    }
    let refused = rig.totals().outcomes[Outcome::BadRequest as usize];
    assert_eq!(refused, 12 * ROUTES.len() as u64);
    rig.assert_ledgers_agree();
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
