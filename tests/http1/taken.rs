//! Requests that are taken: what upstream sees of them, read by a strict reader, and that the connection stays in step.

use super::cases::{Row, bytes, load};
use super::host::{Host, Told};
use super::refused::{BOUNDS, Wrong};
use super::strict::Seen;
use crate::support::{Client, ROUTES, Rig};

/// Behind a row whose connection goes on.
const NEXT: &[u8] = b"POST /plain/in-step HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nnext";

/// What a row says that comes of it.
struct Expected {
    seen: Vec<Seen>,
    /// Statuses, and whether the answer is the last one.
    given: Vec<(u16, bool)>,
}

impl Expected {
    fn of(row: &Row, host: &Host) -> Expected {
        let mut expected = Expected { seen: Vec::new(), given: Vec::new() };
        for (word, text) in &row.notes {
            let last = expected.seen.last_mut();
            match (word.as_str(), last) {
                ("sees", _) => {
                    let head = bytes(&text.replace("$H", &host.address.to_string()));
                    let lines =
                        head.split(|b| *b == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                    let lines = lines.map(<[u8]>::to_vec).collect();
                    expected.seen.push(Seen { lines, body: Vec::new(), trailers: Vec::new() });
                }
                ("body", Some(seen)) => seen.body = bytes(text),
                ("trailers", Some(seen)) => seen.trailers = bytes(text),
                ("gives", _) => {
                    let (status, is_last) =
                        text.split_once(' ').map_or((text.as_str(), false), |(s, _)| (s, true));
                    expected.given.push((status.parse().expect("a status"), is_last));
                }
                _ => panic!("{}: {word}", row.name),
            }
        }
        if expected.given.is_empty() {
            expected.given.push((200, false));
        }
        expected
    }
}

fn shown(seen: &[Seen]) -> Vec<[String; 3]> {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    seen.iter()
        .map(|seen| [text(&seen.lines.join(&b"\r\n"[..])), text(&seen.body), text(&seen.trailers)])
        .collect()
}

fn check(rig: &Rig, host: &Host, row: &Row) {
    let expected = Expected::of(row, host);
    let bytes = row.bytes("");
    let mut client: Client = rig.client();
    client.write(&bytes);
    let is_head = bytes.starts_with(b"HEAD ");
    let mut is_over = false;
    for (status, is_last) in &expected.given {
        let mut answer = if is_head { client.answer_to_head() } else { client.any_answer() };
        if answer.status == 100 {
            answer = client.any_answer();
        }
        assert_eq!(answer.status, *status, "{}: {}", row.name, answer.text());
        assert_eq!(answer.header("connection") == Some("close"), *is_last, "{}", row.name);
        is_over = *is_last;
    }
    if is_over {
        assert!(client.is_over(), "the connection goes on: {}", row.name);
    }
    let Told { seen, faults, .. } = host.take();
    assert_eq!((shown(&seen), faults), (shown(&expected.seen), vec![]), "{}", row.name);
    if !is_over {
        client.write(NEXT);
        assert_eq!(client.any_answer().status, 200, "behind {}", row.name);
        let told = host.take();
        assert_eq!((told.seen.len(), told.seen[0].target().as_str()), (1, "/in-step"), "behind {}", row.name);
        assert_eq!(told.seen[0].body, b"next", "behind {}", row.name);
    }
}

#[test]
fn what_is_taken_arrives_as_it_was_meant() {
    let host = Host::start();
    let rig = host.rig(BOUNDS);
    let mut wrong = Wrong::default();
    for row in
        ["taken.cases", "sequences.cases"].iter().flat_map(|file| load(file)).flat_map(|group| group.rows)
    {
        wrong.tried(&row.name, || check(&rig, &host, &row));
        host.take();
    }
    rig.at_rest();
    let told = host.take();
    assert_eq!((told.seen, told.faults, told.partial), (vec![], vec![], 0));
}

#[test]
fn to_providers_every_framing_of_a_body_is_the_same_request() {
    let host = Host::start();
    let rig = host.rig("  workers: {cores: 2, pin: false}");
    for route in ROUTES {
        let body = route.body("m", false);
        let chunk = |piece: &str, extension: &str| format!("{:x}{extension}\r\n{piece}\r\n", piece.len());
        let tiny: String = body.chars().map(|letter| chunk(&letter.to_string(), "")).collect();
        let (front, back) = body.split_at(7);
        let forms = [
            format!("Content-Length: {}\r\n\r\n{body}", body.len()),
            format!("content-length:\t00{} \r\n\r\n{body}", body.len()),
            format!("Expect: 100-continue\r\nContent-Length: {}\r\n\r\n{body}", body.len()),
            format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk(&body, "")),
            format!("Transfer-Encoding: CHUNKED\r\n\r\n{tiny}0\r\n\r\n"),
            format!(
                "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n{}{}00;x\r\nX-Sum: 7\r\nContent-Length: 5\r\n\r\n",
                chunk(front, ";a=b"),
                chunk(back, " ;c=\"d\\\"\""),
            ),
        ];
        let mut first: Option<Seen> = None;
        for form in forms {
            let mut client = rig.client();
            client.write(format!("POST {} HTTP/1.1\r\nHost: a\r\n{form}", route.path));
            let answer = client.answer();
            assert_eq!((answer.status, answer.complete), (200, true), "{form}: {}", answer.text());
            let Told { mut seen, faults, .. } = host.take();
            assert_eq!((seen.len(), faults), (1, vec![]), "{form}");
            let seen = seen.remove(0);
            assert_eq!(seen.values("content-length"), [seen.body.len().to_string()], "{form}");
            assert_eq!(seen.values("transfer-encoding"), [""; 0], "{form}");
            assert_eq!((seen.values("expect").len(), seen.values("x-sum").len()), (0, 0), "{form}");
            assert!(seen.trailers.is_empty(), "{form}");
            assert_eq!(&seen, first.get_or_insert_with(|| seen.clone()), "{form}");
        }
    }
}
