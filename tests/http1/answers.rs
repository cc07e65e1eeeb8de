//! What providers answer: malformed, ambiguous, cut off, or good all the same; what the client gets of it, and whether the
//! connection is used again.

use super::cases::{Group, Row, bytes, load};
use super::host::answer_to;
use super::refused::{Words, Wrong};
use super::rule;
use crate::support::{
    Answer, Client, Rig, chat, message, provider, read_head, read_request, read_to, settings, until,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// A provider that says what is written for the next request, and to all others what is right.
struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    goes_on: Condvar,
}

#[derive(Default)]
struct State {
    /// What is said to the next request, part by part.
    parts: Option<Vec<Vec<u8>>>,
    /// Whether the connection ends behind it.
    closes: bool,
    /// Whether the request's body is waited for.
    is_early: bool,
    /// Parts after the first that may be said.
    released: usize,
    /// The connections on which requests came, in order.
    requests: Vec<usize>,
    /// The connections that the gateway ended.
    ended: Vec<usize>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request with its body, if it has one and is not to be answered early; `None` when the connection ends first.
    fn read(&self, stream: &mut TcpStream) -> Option<Vec<u8>> {
        let mut first = [0; 5];
        loop {
            match stream.peek(&mut first) {
                Ok(0) | Err(_) => return None,
                Ok(n) if n < first.len() => std::thread::yield_now(),
                Ok(_) if &first == b"POST " && !self.state().is_early => return read_request(stream),
                Ok(_) => return Some(read_head(stream)).filter(|head| !head.is_empty()),
            }
        }
    }

    fn serve(&self, number: usize, mut stream: TcpStream) {
        loop {
            let Some(head) = self.read(&mut stream) else { return self.state().ended.push(number) };
            let (parts, closes) = {
                let mut state = self.state();
                state.requests.push(number);
                state.is_early = false;
                (state.parts.take(), std::mem::take(&mut state.closes))
            };
            let mut line = head.split(|b| *b == b' ');
            let method = line.next().unwrap_or_default().to_vec();
            let target = String::from_utf8_lossy(line.next().unwrap_or_default()).into_owned();
            let right = || {
                let mut answer = answer_to(&method, &target);
                if closes {
                    let line = b"HTTP/1.1 200 OK\r\n";
                    answer.splice(line.len()..line.len(), *b"connection: close\r\n");
                }
                vec![answer]
            };
            for (n, part) in parts.unwrap_or_else(right).iter().enumerate() {
                let mut state = self.state();
                while n > state.released {
                    state = self.goes_on.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                drop(state);
                if stream.write_all(part).is_err() {
                    return self.state().ended.push(number);
                }
            }
            if closes {
                return self.state().ended.push(number);
            }
        }
    }
}

impl Scripted {
    fn start() -> Scripted {
        let shared = Arc::new(Shared::default());
        let of_threads = shared.clone();
        let address = provider(move |number, stream| of_threads.serve(number, stream));
        Scripted { address, shared }
    }

    /// One worker, so that there is one pool of connections; and `more` settings.
    fn rig(&self, more: &str) -> Rig {
        let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
        Rig::start_before(self.address, &settings(&format!("{spec}{more}")))
    }

    fn script(&self, row: &Row) {
        let mut state = self.shared.state();
        let parts: Vec<Vec<u8>> = row.parts();
        (state.parts, state.closes, state.released) = (Some(parts), note(row, "closes").is_some(), 0);
        state.is_early = row.name.contains(": EarlyAnswer");
        state.requests.clear();
        state.ended.clear();
    }

    fn release(&self) {
        self.shared.state().released += 1;
        self.shared.goes_on.notify_all();
    }

    /// Asserts that the next request on the route is answered as is right, on the same connection or, `!kept`, on another
    /// while the first has ended.
    fn check_next(&self, rig: &Rig, path: &str, kept: bool, name: &str) {
        let first = self.shared.state().requests.last().copied();
        let first = first.unwrap_or_else(|| panic!("no request came: {name}"));
        if !kept {
            until("the provider's connection ends", || self.shared.state().ended.contains(&first));
            // The next row begins on a connection of its own: none that is kept would be tried again.
            self.shared.state().closes = true;
        }
        let mut client = rig.client();
        ask(&mut client, path, "GET");
        let answer = client.answer();
        let right = if path.starts_with("/plain") { "ok" } else { "\"hi\"" };
        assert!(answer.status == 200 && answer.text().contains(right), "behind {name}: {}", answer.text());
        let second = self.shared.state().requests.last().copied();
        assert_eq!(second == Some(first), kept, "the connection behind {name}");
    }
}

fn note<'a>(row: &'a Row, word: &str) -> Option<&'a str> {
    row.notes.iter().find(|(noted, _)| noted == word).map(|(_, text)| text.as_str())
}

const PLAIN: &str = "/plain/answer";

fn ask(client: &mut Client, path: &str, method: &str) {
    match path {
        PLAIN => client.write(format!("{method} {PLAIN} HTTP/1.1\r\nHost: a\r\n\r\n")),
        "/openai" | "/anthropic" => client.post(path, "", &chat("m", false)),
        _ => client.post(path, "", &message("m", false)),
    }
}

/// The routes on which a row is tried, and whose words are spoken there.
fn routes(row: &Row) -> &'static [(&'static str, Words)] {
    const ALL: [(&str, Words); 5] = [
        (PLAIN, Words::Nobodys),
        ("/openai", Words::OpenAis),
        ("/messages", Words::Anthropics),
        ("/anthropic", Words::OpenAis),
        ("/cross", Words::Anthropics),
    ];
    if note(row, "asks").is_some() { &ALL[..1] } else { &ALL }
}

fn reason(group: &Group) -> &'static str {
    rule(&group.rule).unwrap_or_else(|| panic!("no rule refuses: {}", group.rule)).1
}

/// Asserts that the row is a 502 on each of its routes.
fn check_malformed(scripted: &Scripted, rig: &Rig, group: &Group, row: &Row, wrong: &mut Wrong) {
    assert_eq!(group.status, Some(502));
    let reason = reason(group);
    for (path, words) in routes(row) {
        let message =
            note(row, "says").map_or(format!("the provider's answer is malformed: {reason}"), str::to_owned);
        wrong.tried(path, || {
            scripted.script(row);
            let mut client = rig.client();
            let method = note(row, "asks").unwrap_or("GET");
            ask(&mut client, path, method);
            let answer = if method == "HEAD" { client.answer_to_head() } else { client.answer() };
            let via = answer.header("via");
            assert_eq!((answer.status, via), (502, None), "{}: {}", row.name, answer.text());
            assert_eq!(answer.header("connection"), None, "the client's connection: {}", row.name);
            if method != "HEAD" {
                assert_eq!(answer.json(), words.refusal(502, &message), "{}", row.name);
            }
            scripted.check_next(rig, path, false, &row.name);
        });
    }
}

#[test]
fn what_is_malformed_is_a_502_in_the_clients_words() {
    let scripted = Scripted::start();
    let rig = scripted.rig("");
    let mut wrong = Wrong::default();
    for group in load("answers.cases") {
        for row in &group.rows {
            check_malformed(&scripted, &rig, &group, row, &mut wrong);
        }
    }
}

#[test]
fn bounds_are_those_of_the_settings() {
    let bounds =
        "headBytes: 1Ki, headers: 8, interimAnswers: 2, extensionBytes: 16, trailers: 2, trailerBytes: 64";
    let scripted = Scripted::start();
    let rig = scripted.rig(&format!("\n  upstream: {{{bounds}}}"));
    let mut wrong = Wrong::default();
    for group in load("answers_bounds.cases") {
        for row in &group.rows {
            match group.status {
                Some(_) => check_malformed(&scripted, &rig, &group, row, &mut wrong),
                None => check_all_taken(&scripted, &rig, row, &mut wrong),
            }
        }
    }
}

#[test]
fn what_goes_wrong_when_it_has_begun_is_seen_to_be_cut() {
    let scripted = Scripted::start();
    let rig = scripted.rig("");
    for group in load("answers_cut.cases") {
        reason(&group); // it is a rule
        for (row, (path, _)) in
            group.rows.iter().flat_map(|row| routes(row)[..3].iter().map(move |route| (row, route)))
        {
            scripted.script(row);
            let mut client = rig.client();
            ask(&mut client, path, "GET");
            read_to(&mut client, "{\"id\":");
            scripted.release();
            let answer = client.answer();
            assert_eq!((answer.status, answer.complete), (200, false), "{}: {}", row.name, answer.text());
            assert!(client.is_over(), "the connection goes on: {}", row.name);
            scripted.check_next(&rig, path, false, &row.name);
        }
    }
}

/// A client of HTTP/1.0 gets answers that end with the connection. There a reset says that this was not the end.
#[test]
fn what_is_cut_is_no_end_to_old_clients_either() {
    let scripted = Scripted::start();
    let rig = scripted.rig("");
    for row in load("answers_cut.cases").iter().flat_map(|group| &group.rows) {
        for path in [PLAIN, "/openai"] {
            scripted.script(row);
            let mut client = rig.client();
            let body = chat("m", false);
            let length = body.len();
            match path {
                PLAIN => client.write(format!("GET {PLAIN} HTTP/1.0\r\n\r\n")),
                _ => client.write(format!("POST {path} HTTP/1.0\r\nContent-Length: {length}\r\n\r\n{body}")),
            }
            read_to(&mut client, "{\"id\":");
            scripted.release();
            let end = loop {
                match client.stream.read(&mut [0; 512]) {
                    Ok(1..) => {}
                    Ok(_) => break None,
                    Err(error) => break Some(error.kind()),
                }
            };
            assert_eq!(end, Some(std::io::ErrorKind::ConnectionReset), "{} at {path}", row.name);
            scripted.check_next(&rig, path, false, &row.name);
        }
    }
}

fn check_taken(scripted: &Scripted, rig: &Rig, row: &Row, path: &str) {
    scripted.script(row);
    let mut client = rig.client();
    let method = note(row, "asks").unwrap_or("GET");
    match method {
        "POST" => client.write(format!("POST {PLAIN} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhal")),
        _ => ask(&mut client, path, method),
    }
    let answer: Answer = if method == "HEAD" { client.answer_to_head() } else { client.answer() };
    let given = note(row, "gives").unwrap_or(if method == "HEAD" { "200" } else { "200 {\"id\":\"a\"}" });
    let (status, body) = given.split_once(' ').unwrap_or((given, ""));
    assert_eq!(answer.status.to_string(), status, "{}", row.name);
    assert_eq!(
        answer.body.escape_ascii().to_string(),
        bytes(body).escape_ascii().to_string(),
        "{}",
        row.name
    );
    assert!(answer.complete, "{}", row.name);
    let trailers = bytes(note(row, "trailers").unwrap_or_default());
    assert_eq!(answer.trailers.as_bytes(), trailers, "{}", row.name);
    for gone in ["x-hop", "keep-alive", "upgrade"] {
        assert_eq!(answer.header(gone), None, "{}", row.name);
    }
    if method == "POST" {
        assert_eq!(answer.header("connection"), Some("close"), "its body was not read: {}", row.name);
    }
    let kept = note(row, "keeps") == Some("yes");
    scripted.check_next(rig, path, kept, &row.name);
}

/// On its routes, or the first three.
fn check_all_taken(scripted: &Scripted, rig: &Rig, row: &Row, wrong: &mut Wrong) {
    let is_for_models = note(row, "gives").is_none();
    let routes = if is_for_models { routes(row) } else { &routes(row)[..1] };
    for (path, _) in routes.iter().take(3) {
        wrong.tried(path, || check_taken(scripted, rig, row, path));
    }
}

#[test]
fn what_is_taken_passes_and_its_connection_is_used_again_if_nothing_is_behind_it() {
    let scripted = Scripted::start();
    let rig = scripted.rig("");
    let mut wrong = Wrong::default();
    for row in load("answers_taken.cases").iter().flat_map(|group| &group.rows) {
        check_all_taken(&scripted, &rig, row, &mut wrong);
    }
}

/// What a provider says on a connection where nothing was asked is no answer to whatever is asked next.
#[test]
fn an_answer_that_nobody_asked_for_is_nobodys() {
    let ended = Arc::new(AtomicBool::new(false));
    let of_thread = ended.clone();
    let address = provider(move |number, mut stream: TcpStream| {
        while !read_head(&mut stream).is_empty() {
            let body = format!("number {number}");
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
            stream.write_all(answer.as_bytes()).expect("it is read");
            if number == 0 {
                // Most likely it is among the idle ones by then; if not, this came behind the answer.
                std::thread::sleep(std::time::Duration::from_millis(20));
                let poison = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison";
                let _ = stream.write_all(poison);
                while matches!(stream.read(&mut [0; 64]), Ok(1..)) {}
                return of_thread.store(true, Ordering::SeqCst);
            }
        }
    });
    let spec = "  records: {to: none}\n  workers: {cores: 1, pin: false}";
    let rig = Rig::start_before(address, &settings(spec));
    let mut client = rig.client();
    ask(&mut client, PLAIN, "GET");
    assert_eq!(client.answer().text(), "number 0");
    until("the gateway ends the connection", || ended.load(Ordering::SeqCst));
    ask(&mut client, PLAIN, "GET");
    assert_eq!(client.answer().text(), "number 1");
}
