//! Answers that are not what their content coding says: cut off, damaged, blown up.

use super::support::{ROUTES, Rig, Route, provider, read_request};
use super::{ESTIMATE, MODEL, TAKES_ALL, bomb};
use std::io::Write;
use tollgate_loadtest::coding::{Coding, encode};

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

#[test]
fn an_error_keeps_its_status_however_it_is_damaged() {
    let error = br#"{"error":{"message":"too many","type":"requests","param":null,"code":null}}"#;
    let coded = encode(&[Coding::Gzip], &[&error[..]]).concat();
    let rows = [
        (coded.clone(), Some("too many")),
        (coded[..coded.len() - 4].to_vec(), Some("too many")),
        (coded[..30].to_vec(), None),
        (b"no gzip".to_vec(), None),
    ];
    for (body, message) in rows {
        let head = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 7\r\n";
        let head = format!("{head}content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
        let bytes = [head.into_bytes(), body].concat();
        let provider = provider(move |_, mut stream| {
            while read_request(&mut stream).is_some() {
                stream.write_all(&bytes).expect("it is read");
            }
        });
        let rig = Rig::start_towards(provider, "", "");
        let answer = rig.client().ask(ROUTES[3].path, "", &ROUTES[3].body(MODEL, false));
        assert_eq!((answer.status, answer.header("retry-after")), (429, Some("7")), "{message:?}");
        let said = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
        assert!(said.contains(message.unwrap_or("429")), "{message:?}: {said}");
    }
}
