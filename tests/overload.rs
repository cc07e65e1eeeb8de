//! More than a worker takes: who is turned away, in which words, and that all is as before when it is over.

mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Client, Rig, chat, manifests, message, settings, until};
use tollgate_loadtest::{Reply, Script};

const ONE_WORKER: &str =
    "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}\n";

fn start(script: Script, manifests: &str, more: &str) -> Rig {
    Rig::start_with(script, manifests, &settings(&format!("{ONE_WORKER}{more}")))
}

/// The usual routes, of which these have a priority.
fn with_priorities(priorities: &[(&str, &str)]) -> String {
    priorities.iter().fold(manifests(""), |text, (route, priority)| {
        let plain = format!("kind: HTTPRoute\nmetadata: {{name: {route}, namespace: llm}}");
        assert_eq!(text.matches(&plain).count(), 1);
        let note = format!(", annotations: {{tollgate.dev/priority: {priority}}}}}");
        text.replace(&plain, &format!("{}{note}", plain.trim_end_matches('}')))
    })
}

/// A connection with a request whose body does not come: it is under way.
fn waiting(rig: &Rig, path: &str) -> Client {
    let mut client = rig.client();
    client.write(format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"));
    client
}

fn in_flight(rig: &Rig) -> u64 {
    rig.count(|counters| counters.requests_in_flight.get())
}

#[test]
fn an_address_has_as_many_connections_as_it_may_and_gets_them_back() {
    let rig = start(Script::default(), &manifests(""), "  connections: {perAddress: 2}");
    let (first, second) = (waiting(&rig, "/openai"), waiting(&rig, "/openai"));
    until("both are there", || in_flight(&rig) == 2);
    let mut third = rig.client();
    assert!(third.is_over(), "closed without a word");
    assert_eq!(rig.count(|counters| counters.connections_crowded.get()), 1);
    drop(first);
    until("one has left", || rig.count(|counters| counters.connections_open.get()) == 1);
    assert_eq!(rig.client().ask("/openai", "", &chat("gpt-5", false)).status, 200);
    drop(second);
    until("nobody is there", || in_flight(&rig) == 0);
}

#[test]
fn sheddable_requests_leave_a_quarter_of_the_places_and_standard_ones_the_last_to_critical_ones() {
    let routes = with_priorities(&[("openai", "sheddable"), ("translated", "critical")]);
    let rig = start(Script::default(), &routes, "  limits: {inFlightPerWorker: 16}");
    let body = chat("gpt-5", false);
    // Requests under way, and the statuses of one more that is sheddable, standard, critical.
    let mut open = Vec::new();
    for (under_way, statuses) in [
        (0, [200, 200, 200]),
        (11, [200, 200, 200]),
        (12, [503, 200, 200]),
        (15, [503, 503, 200]),
        (16, [503; 3]),
    ] {
        open.extend((open.len()..under_way).map(|_| waiting(&rig, "/anthropic")));
        until("they are under way", || in_flight(&rig) == under_way as u64);
        let mut asked = ["/openai", "/messages", "/anthropic"].into_iter().map(|path| {
            let body = if path == "/messages" { message("claude-sonnet-4-5", false) } else { body.clone() };
            let answer = rig.client().ask(path, "", &body);
            if answer.status == 503 {
                assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
                let error = &answer.json()["error"];
                assert_eq!(error["message"], "this host has as much to do as it takes; retry soon", "{path}");
            }
            answer.status
        });
        let got: [u16; 3] = std::array::from_fn(|_| asked.next().expect("three"));
        assert_eq!(got, statuses, "{under_way} under way");
        until("they are answered", || in_flight(&rig) == under_way as u64);
    }
    drop(open);
    until("nobody is there", || in_flight(&rig) == 0);
    let totals = rig.totals();
    assert_eq!([totals.shed_sheddable, totals.shed_standard, totals.shed_critical], [3, 2, 1]);
    assert_eq!(rig.client().ask("/openai", "", &body).status, 200);
}

#[test]
fn where_no_route_is_critical_all_places_are_for_standard_requests() {
    let rig = start(Script::default(), &manifests(""), "  limits: {inFlightPerWorker: 16}");
    let mut open: Vec<Client> = (0..15).map(|_| waiting(&rig, "/anthropic")).collect();
    until("they are under way", || in_flight(&rig) == 15);
    assert_eq!(rig.client().ask("/openai", "", &chat("gpt-5", false)).status, 200);
    until("it is answered", || in_flight(&rig) == 15);
    open.push(waiting(&rig, "/anthropic"));
    until("they are under way", || in_flight(&rig) == 16);
    assert_eq!(rig.client().ask("/openai", "", &chat("gpt-5", false)).status, 503);
}

/// A chat with so much to read.
fn long_chat(bytes: usize) -> String {
    chat("gpt-5", false).replace("\"content\":\"", &format!("\"content\":\"{}", "x".repeat(bytes)))
}

#[test]
fn bodies_that_are_held_have_a_bound_together_and_small_ones_always_pass() {
    let rig = start(Script::default(), &manifests(""), "  requests: {bodyBytes: 1Mi, heldBytes: 3Mi}");
    let held = || rig.count(|counters| counters.held_bytes.get());
    let (long, small) = (long_chat(1_000_000), long_chat(10_000));
    // All but the end of a body: it is held.
    let head = format!("POST /anthropic HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", long.len());
    let mut both = [rig.client(), rig.client()];
    both.iter_mut().for_each(|client| client.write(format!("{head}{}", &long[..long.len() - 1])));
    until("they are held", || held() > 1_900_000);
    let refused = rig.client().ask("/messages", "", &long);
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert_eq!(refused.json()["type"], "error", "in the words of its client: {}", refused.text());
    assert_eq!(rig.count(|counters| counters.requests_crowded.get()), 1);
    assert_eq!(rig.client().ask("/openai", "", &small).status, 200);
    let [mut first, second] = both;
    drop(second);
    until("one is gone", || held() < 1_000_000);
    first.write(&long[long.len() - 1..]);
    assert_eq!(first.answer().status, 200);
    until("nothing is held", || held() == 0);
    assert_eq!(rig.client().ask("/openai", "", &long).status, 200);
    until("nothing is held", || held() == 0);
}

#[test]
fn an_answer_that_has_no_room_is_refused_and_charged() {
    let script = Script { reply: Reply::Text("y".repeat(3 << 20)), ..Script::default() };
    let rig = start(script, &manifests(""), "  requests: {bodyBytes: 1Mi, heldBytes: 3Mi}");
    let passed = rig.client().ask("/openai", "", &chat("gpt-5", false));
    assert_eq!(passed.status, 200, "what passes as it is, is not held");
    let refused = rig.client().ask("/anthropic", "", &chat("claude-sonnet-4-5", false));
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert!(refused.text().contains("this host holds as many bytes"), "{}", refused.text());
    until("nothing is held", || rig.count(|counters| counters.held_bytes.get()) == 0);
    assert_eq!(rig.settled().counted, 1, "the provider wrote it");
}

/// Stops those who look at it when it goes.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// A worker that has more to do than it can gives up what is sheddable, and takes it again when it has caught up.
#[test]
fn who_is_far_behind_gives_up_the_sheddable_first() {
    // Counting tokens is all work of this worker's: no provider is asked, and long runs of a letter take it longest.
    let counted = "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: counted, namespace: llm, annotations: \
                   {tollgate.dev/priority: critical}}\nspec:\n  parentRefs: [{name: edge}]\n  rules:\n  - matches: [{path: {value: /count}}]\n    \
                   filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: \
                   /v1/messages/count_tokens}}}]\n    backendRefs: [{group: gateway.kgateway.dev, kind: Backend, name: openai}]\n\
                   ---\napiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {name: exact, namespace: llm}\nspec:\n  \
                   targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: counted}]\n  \
                   estimate: {tokenizer: o200k_base}\n  limits: [{name: t, unit: tokens, budget: 1000000000000, window: month}]\n";
    let routes = with_priorities(&[("openai", "sheddable")]) + counted;
    let rig = start(Script::default(), &routes, "  admission: {lag: 20ms}");
    let body = chat("gpt-5", false);
    // That takes the worker longer than it may be late: more and more of it, until it is.
    let heavy = |n: usize| {
        message("gpt-5", false).replace("minute", &"a".repeat((20_000 * (1 + n / 8)).min(500_000)))
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = rig.client();
                for n in 0.. {
                    if stop.load(Ordering::Acquire) {
                        return;
                    }
                    assert_eq!(
                        client.ask("/count", "", &heavy(n)).status,
                        200,
                        "critical requests are served"
                    );
                }
            });
        }
        let _stops = Stops(&stop); // also when this test fails
        let patience = Instant::now() + Duration::from_secs(120);
        while rig.count(|counters| counters.pressure.get()) < 4 {
            assert!(Instant::now() < patience, "the worker is not far behind");
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(rig.client().ask("/openai", "", &body).status, 503);
    });
    until("it has caught up", || rig.count(|counters| counters.pressure.get()) == 0);
    assert_eq!(rig.client().ask("/openai", "", &body).status, 200);
    assert!(rig.totals().shed_sheddable > 0 && rig.totals().shed_critical == 0);
}
