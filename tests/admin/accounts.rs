//! What operators see and change of accounts, over real sockets.

use crate::support::process::directory;
use crate::support::{Answer, Client, Rig, chat, manifests, message, settings, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tollgate::admin::{self, AdminServer};
use tollgate::app::cli::Options;
use tollgate::app::files;
use tollgate::base::{Moment, Tick};
use tollgate::config::{Secret, Snapshot};
use tollgate::limit::{Account, Accounts, KeyPart, KeyText, Measure, Rate, Tuning, Unit, Wanted};
use tollgate::mail::{Board, ControlChange, Desk, InForce};
use tollgate::runtime::clock;
use tollgate_loadtest::Script;

const TOKEN: &str = "an-admin-token-of-32-characters!";
const REQUESTS: &str = "llm/teams/requests";

/// Limits on the routes `openai` and `messages`.
const TEAMS: &str = "
  - {name: requests, unit: requests, rate: 100/hour, key: {header: x-team}}
  - {name: tokens, unit: tokens, budget: 1000, window: {sliding: 1h}, key: {apiKey: {}, header: x-team}}
  - {name: month, unit: cost, budget: 5 USD, window: month, key: {header: x-team}}
  - {name: running, unit: concurrency, max: 8, key: {header: x-team}}
";

fn policy(limits: &str) -> String {
    let target =
        |name: &str| format!("  - {{group: gateway.networking.k8s.io, kind: HTTPRoute, name: {name}}}\n");
    format!(
        "---\napiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {{name: teams, namespace: llm}}\nspec:\n  \
         targetRefs:\n{}{}  limits:{limits}",
        target("openai"),
        target("messages")
    )
}

fn snapshot(limits: &str) -> Snapshot {
    let text = manifests(&policy(limits));
    let compiled = files::compile(&[("manifests.yaml", &text)], &Options::default(), &|_| None);
    compiled.unwrap_or_else(|faults| panic!("{faults}"))
}

/// A board without threads behind it, and without a store.
fn board() -> Arc<Board> {
    board_of(false)
}

fn board_of(stored: bool) -> Arc<Board> {
    let in_force = InForce::after(None, snapshot(TEAMS), 1);
    Board::new(
        vec![Desk::new(0, 16)],
        Arc::new(in_force),
        Arc::new(Accounts::new(1000, stored, Tuning::default())),
    )
}

const NOW: Moment = Moment { tick: Tick(40_000_000_000_000), unix_ms: 1_767_323_045_678 };

/// A server for which time stands still.
fn frozen(board: &Arc<Board>, token: Option<&str>) -> AdminServer {
    start(board, || NOW, token)
}

fn start(board: &Arc<Board>, now: fn() -> Moment, token: Option<&str>) -> AdminServer {
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let token = token.map(|token| Arc::new(Secret::new(token.as_bytes())));
    admin::start(any, board.clone(), now, "1.2.3", token).expect("a free port")
}

/// The digest of a team's key.
fn team(name: &str) -> u128 {
    KeyText::digest([(&KeyPart::Header("x-team".into()), name.as_bytes())])
}

/// The account of that key, opened if it is not.
fn account(board: &Board, rule: &str, key: u128, label: &str) -> Arc<Account> {
    let in_force = board.in_force();
    let (rule, _) = in_force.rules.named(rule).expect("a rule");
    let wanted = Wanted { rules: &in_force.rules, rule, key };
    board.accounts.find(&wanted, &|| label.to_owned(), NOW)
}

fn id(account: &Account) -> String {
    format!("{:032x}", account.id())
}

/// Sends these bytes, and reads the one answer of the connection.
fn raw(server: &AdminServer, request: &str) -> Answer {
    let mut client = Client::connect(server.addr().expect("TCP"));
    client.write(request);
    let answer = client.answer();
    assert!(!answer.text().contains(TOKEN) && !format!("{:?}", answer.headers).contains(TOKEN));
    answer
}

/// A request of an operator.
fn ask(server: &AdminServer, method: &str, path: &str, body: &str) -> Answer {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    raw(
        server,
        &format!(
            "{method} {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n\
             Content-Type: application/json\r\n{length}\r\n{body}"
        ),
    )
}

/// The same, which is carried out.
#[track_caller]
fn done(server: &AdminServer, method: &str, path: &str, body: Value) -> Value {
    let answer = ask(server, method, path, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    answer.json()
}

/// The path of the account of `team`.
fn path_of(server: &AdminServer, rule: &str, team: &str) -> String {
    let known = done(server, "POST", "/keys", json!({"rule": rule, "key": team}));
    format!("/accounts/{}", known["id"].as_str().expect("an id"))
}

/// The changes that the log would be told, oldest first.
fn audited(board: &Board) -> Vec<Value> {
    let mut lines = Vec::new();
    while let Some(audit) = board.audit.pop() {
        audit.json_line(&mut lines);
    }
    let text = String::from_utf8(lines).expect("text");
    assert!(!text.contains(TOKEN));
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn only_who_shows_the_token_sees_or_changes_accounts() {
    let board = board();
    let of = account(&board, REQUESTS, team("red"), "red");
    let (closed, open) = (frozen(&board, None), frozen(&board, Some(TOKEN)));
    let one = format!("/accounts/{}", id(&of));
    let good = format!("Authorization: Bearer {TOKEN}\r\n");
    let rows = [
        ("", 401),
        ("Authorization: Bearer an-admin-token-of-32-characters?\r\n", 401),
        ("Authorization: Bearer an-admin-token\r\n", 401),
        ("Authorization: Bearer\r\n", 401),
        ("Authorization: Bearer \r\n", 401),
        (&format!("Authorization: Basic {TOKEN}\r\n"), 401),
        (&format!("Authorization: {TOKEN}\r\n"), 401),
        (&format!("X-Api-Key: {TOKEN}\r\n"), 401),
        (&good, 200),
        (&format!("authorization: bEARER  {TOKEN} \r\n"), 200),
    ];
    for (method, path, body) in [
        ("GET", "/accounts", ""),
        ("GET", "/accounts?limit=nonsense", ""),
        ("GET", &one, ""),
        ("POST", "/keys", r#"{"rule":"llm/teams/requests","key":"red"}"#),
        ("POST", &format!("{one}/grant"), r#"{"amount":1}"#),
        ("POST", &format!("{one}/block"), "{}"),
        ("POST", &format!("{one}/unblock"), "{}"),
        ("PUT", &format!("{one}/override"), r#"{"burst":1}"#),
        ("DELETE", &format!("{one}/override"), ""),
    ] {
        for (header, status) in rows {
            let length = body.len();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: a\r\n{header}Content-Type: application/json\r\nContent-Length: \
                 {length}\r\n\r\n{body}"
            );
            let answer = raw(&open, &request);
            let status = if status == 200 && path.contains('?') { 400 } else { status };
            assert_eq!(answer.status, status, "{method} {path} {header}: {}", answer.text());
            assert_eq!(answer.header("www-authenticate"), (status == 401).then_some("Bearer"));
            assert_eq!(answer.text().contains("red"), status == 200 && path != "/accounts?limit=nonsense");
            let refused = raw(&closed, &request);
            assert_eq!(refused.status, 403, "{method} {path} {header}");
            assert!(refused.text().contains("admin.token in Settings"), "{}", refused.text());
        }
    }
    // Of two credentials nobody knows which one is meant, even where they are the same: the head is refused.
    let twice = raw(&open, &format!("GET /accounts HTTP/1.1\r\nHost: a\r\n{good}{good}\r\n"));
    assert_eq!(twice.status, 400, "{}", twice.text());
    assert!(!twice.text().contains("red"), "{}", twice.text());
    // The other pages are open, and list these.
    for server in [&closed, &open] {
        let index = raw(server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        assert!(
            index.status == 200 && index.text().contains("\nPOST /accounts/ID/block "),
            "{}",
            index.text()
        );
        assert_eq!(raw(server, "GET /state HTTP/1.1\r\nHost: a\r\n\r\n").status, 200);
    }
}

#[test]
fn what_is_malformed_changes_nothing_and_hears_why() {
    let board = board();
    let server = frozen(&board, Some(TOKEN));
    let of = format!("/accounts/{}", id(&account(&board, REQUESTS, team("red"), "red")));
    let running = format!("/accounts/{}", id(&account(&board, "llm/teams/running", team("red"), "red")));
    let unseen = path_of(&server, REQUESTS, "blue");
    let (grant, block, other) = (format!("{of}/grant"), format!("{of}/block"), format!("{of}/override"));
    let many = format!(r#"{{"reason":"{}"}}"#, "x".repeat(501));
    let sound = r#"{"rule":"llm/teams/requests","key":"red"}"#;
    for (method, path, body, status, says) in [
        ("PUT", "/accounts", "", 405, "GET or HEAD"),
        ("GET", "/keys", "", 405, "POST"),
        ("GET", &*grant, "", 405, "POST"),
        ("POST", &other, "{}", 405, "PUT or DELETE"),
        ("DELETE", &of, "{}", 405, "GET or HEAD"),
        ("GET", "/accounts/", "", 404, "32 hexadecimal digits"),
        ("GET", "/accounts/0123", "", 404, "32 hexadecimal digits"),
        ("GET", "/accounts/0000000000000000000000000000000g", "", 404, "32 hexadecimal digits"),
        ("GET", &format!("{of}/grants"), "", 404, "no such page"),
        ("GET", &format!("{of}0"), "", 404, "no such page"),
        ("GET", &unseen, "", 404, "no account has this id"),
        ("GET", "/accounts?rule=llm/nobody", "", 404, "no limit in force"),
        ("GET", "/accounts?limit=1001", "", 400, "from 1 to 1000"),
        ("POST", &block, "{", 400, "the body is not JSON: it goes wrong at line 1 column 1"),
        ("POST", &block, "[]", 400, "must be a JSON object"),
        ("POST", &block, "\"\\ud800\"", 400, "not JSON"),
        ("POST", &block, &"[".repeat(10_000), 400, "not JSON"),
        ("POST", &block, r#"{"reason":5}"#, 400, "\"reason\\\" must be a text of at most 500 bytes"),
        ("POST", &block, &many, 400, "at most 500 bytes"),
        ("POST", &block, r#"{"resaon":"x"}"#, 400, "unknown member"),
        ("POST", &block, r#"{"rule":"llm/teams/month"}"#, 409, "belongs to the limit llm/teams/requests"),
        ("POST", &block, r#"{"key":"blue"}"#, 400, "has another account"),
        ("POST", &format!("{unseen}/block"), "{}", 404, "as in POST /keys"),
        ("POST", &format!("{unseen}/block"), r#"{"rule":"llm/teams/requests"}"#, 404, "as in POST /keys"),
        ("POST", &format!("{unseen}/block"), sound, 400, "has another account"),
        ("POST", &format!("{unseen}/grant"), r#"{"amount":1,"rule":"llm/x","key":"a"}"#, 404, "in force"),
        (
            "POST",
            &format!("{unseen}/grant"),
            r#"{"amount":1,"rule":"llm/teams/requests","key":"blue"}"#,
            404,
            "it is full",
        ),
        ("POST", &grant, "", 400, "\"amount\\\" must be a whole number above zero"),
        ("POST", &grant, r#"{"amount":0}"#, 400, "above zero"),
        ("POST", &grant, r#"{"amount":-1}"#, 400, "above zero"),
        ("POST", &grant, r#"{"amount":1.5}"#, 400, "above zero"),
        ("POST", &grant, r#"{"amount":"9"}"#, 400, "above zero"),
        ("POST", &grant, r#"{"amount":18446744073709551616}"#, 400, "above zero"),
        ("POST", &format!("{running}/grant"), r#"{"amount":1}"#, 409, "under way"),
        ("PUT", &other, "", 400, "allows no other amount"),
        ("PUT", &other, r#"{"budget":5}"#, 400, "is not what the limit has; write rate, burst or both"),
        ("PUT", &other, r#"{"rate":"5/minutes"}"#, 400, "did you mean \\\"minute\\\"?"),
        ("PUT", &other, r#"{"burst":0}"#, 400, "above zero"),
        ("PUT", &other, r#"{"burst":5,"amount":5}"#, 400, "unknown field"),
        ("DELETE", &other, r#"{"burst":5}"#, 400, "unknown member"),
        ("POST", "/keys", "{}", 400, "\"rule\\\" is missing"),
        ("POST", "/keys", r#"{"rule":"llm/teams/requests"}"#, 400, "\"key\\\" is missing"),
        ("POST", "/keys", r#"{"rule":"llm/teams/tokens","key":["sk-1"]}"#, 400, "must have 2 values"),
        ("POST", "/keys", r#"{"rule":"llm/teams/requests","key":"red","x":1}"#, 400, "unknown member"),
    ] {
        let answer = ask(&server, method, path, body);
        let shown = format!("{method} {path} {body:.80}: {}", answer.text());
        assert_eq!(answer.status, status, "{shown}");
        assert!(answer.text().contains(says.trim_start_matches('"')), "{shown}");
        assert!(!answer.text().contains("sk-1"), "{shown}");
        assert_eq!(answer.header("allow").is_some(), status == 405, "{shown}");
    }
    assert!(board.audit.is_empty() && board.accounts.controlled() == 0);
}

#[test]
fn bodies_are_bounded_and_of_one_kind() {
    let board = board();
    let server = frozen(&board, Some(TOKEN));
    let of = account(&board, REQUESTS, team("red"), "red");
    let begin =
        format!("POST /accounts/{}/block HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {TOKEN}\r\n", id(&of));
    let json = "Content-Type: application/json\r\n";
    let padded = |bytes: usize| format!("{{{}}}", " ".repeat(bytes - 2));
    let sized = |bytes: usize| format!("{json}Content-Length: {bytes}\r\n\r\n{}", padded(bytes));
    for (rest, status) in [
        ("Content-Length: 2\r\n\r\n{}".to_owned(), 415),
        ("Content-Type: text/plain\r\nContent-Length: 2\r\n\r\n{}".to_owned(), 415),
        ("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 2\r\n\r\n{}".to_owned(), 415),
        (format!("{json}{json}Content-Length: 2\r\n\r\n{{}}"), 415),
        (format!("{json}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"), 411),
        (format!("{json}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 400),
        (format!("{json}Content-Length: 65537\r\n\r\n"), 413),
        (format!("{json}Content-Length: 99999999999\r\n\r\n"), 413),
        (format!("{json}Content-Length: -1\r\n\r\n"), 400),
    ] {
        let answer = raw(&server, &format!("{begin}{rest}"));
        assert_eq!(answer.status, status, "{rest:.120}: {}", answer.text());
    }
    assert!(!of.is_blocked() && board.audit.is_empty());
    for rest in [
        sized(65536),
        sized(9000),
        format!("{json}\r\n"),
        format!("{json}Content-Length: 0\r\n\r\n"),
        "Content-Type: Application/JSON; charset=utf-8\r\nContent-Length: 2\r\n\r\n{}".to_owned(),
    ] {
        let answer = raw(&server, &format!("{begin}{rest}"));
        assert_eq!(answer.status, 200, "{rest:.120}: {}", answer.text());
    }
    assert_eq!(audited(&board).len(), 1, "blocking again changes nothing");

    // A client that waits to be asked for its body is asked, and a body may come in pieces.
    let mut waiting = Client::connect(server.addr().expect("TCP"));
    waiting.write(format!("{begin}{json}Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
    assert_eq!(waiting.any_answer().status, 100);
    waiting.write("{");
    waiting.write("}");
    assert_eq!(waiting.answer().status, 200);

    // A body that does not come is waited for, but not for long; one that ends early has no answer.
    let server = start(&board, clock::moment, Some(TOKEN));
    let late = raw(&server, &format!("{begin}{json}Content-Length: 2\r\n\r\n{{"));
    assert_eq!(late.status, 408);
    let mut gone = Client::connect(server.addr().expect("TCP"));
    gone.write(format!("{begin}{json}Content-Length: 2\r\n\r\n{{"));
    gone.stream.shutdown(std::net::Shutdown::Write).expect("shut");
    assert!(gone.try_answer().is_none());
}

#[test]
fn pages_hold_every_account_once_in_order() {
    let board = board();
    let server = frozen(&board, Some(TOKEN));
    let mut all = BTreeSet::new();
    let mut debtors = BTreeSet::new();
    for number in 0..25u64 {
        let name = format!("team-{number}");
        for rule in [REQUESTS, "llm/teams/month"] {
            let account = account(&board, rule, team(&name), &name);
            all.insert((id(&account), rule.to_owned()));
            if number % 5 == 0 && rule == REQUESTS {
                account.settle(0, 100 + number + 1, 0, NOW);
                debtors.insert((id(&account), rule.to_owned()));
            }
        }
    }
    // An account of a key that was never seen.
    let forgotten = path_of(&server, "llm/teams/month", "gone");
    let other = json!({"rule": "llm/teams/month", "key": "gone", "budget": "1 USD"});
    done(&server, "PUT", &format!("{forgotten}/override"), other);
    assert!(board.accounts.len() == 51 && board.accounts.controlled() == 1);
    all.insert((forgotten.trim_start_matches("/accounts/").to_owned(), "llm/teams/month".to_owned()));

    let of_rule = |rule: &str| all.iter().filter(|(_, of)| of == rule).cloned().collect::<BTreeSet<_>>();
    for (query, expected) in [
        ("limit=7", all.clone()),
        ("limit=1", all.clone()),
        ("limit=1000", all.clone()),
        ("limit=51", all.clone()),
        ("", all.clone()),
        ("limit=4&rule=llm/teams/requests", of_rule(REQUESTS)),
        ("limit=4&rule=llm%2Fteams%2Fmonth", of_rule("llm/teams/month")),
        ("limit=2&debt=1", debtors.clone()),
        ("debt=1&rule=llm/teams/month", BTreeSet::new()),
        ("rule=llm/teams/tokens", BTreeSet::new()),
    ] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = ask(&server, "GET", &format!("/accounts?{query}{after}"), "").json();
            let listed = page["accounts"].as_array().expect("a list");
            assert!(listed.len() <= 51 && (page["next"].is_null() || !listed.is_empty()));
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            seen.extend(listed.iter().map(|account| (text(&account["id"]), text(&account["rule"]))));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert!(seen.is_sorted(), "{query}");
        assert_eq!(seen.len(), expected.len(), "{query}");
        assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), expected, "{query}");
    }

    let shown = ask(&server, "GET", &path_of(&server, REQUESTS, "team-5"), "").json();
    let expected = json!({
        "id": shown["id"], "rule": REQUESTS, "unit": "requests", "key": "team-5",
        "allows": "100 requests at once, 100 back every 3600 s", "capacity": 100, "balance": -6, "used": 106,
        "wait_seconds": 252, "blocked": false, "override": null,
    });
    assert_eq!(shown, expected);
    // Of accounts that are forgotten, those remain of which something was said.
    board.accounts.sweep(NOW, |_| {});
    assert_eq!(board.accounts.len(), debtors.len());
    let left = ask(&server, "GET", "/accounts", "").json();
    let left: Vec<_> = left["accounts"].as_array().expect("a list").iter().map(|a| a["id"].clone()).collect();
    assert!(
        left.len() == debtors.len() + 1 && left.contains(&json!(forgotten.trim_start_matches("/accounts/")))
    );
    let gone = ask(&server, "GET", &forgotten, "").json();
    assert_eq!(
        (&gone["balance"], &gone["override"]),
        (&json!(1_000_000_000), &json!("1.00 USD per month (UTC)"))
    );
}

#[test]
fn a_grant_gives_back_no_more_than_was_spent() {
    let board = board();
    let server = frozen(&board, Some(TOKEN));
    let both = KeyText::digest([
        (&KeyPart::ApiKey, &b"sk-client"[..]),
        (&KeyPart::Header("x-team".into()), &b"red"[..]),
    ]);
    for (rule, key, capacity) in [
        (REQUESTS, team("red"), 100),
        ("llm/teams/tokens", both, 1000),
        ("llm/teams/month", team("red"), 5_000_000_000i64),
    ] {
        let account = account(&board, rule, key, "red");
        let path = format!("/accounts/{}/grant", id(&account));
        let step = capacity as u64 / 10;
        for (spent, amount, granted, balance) in [
            (3 * step, step, step, capacity - 2 * capacity / 10),
            (0, step, step, capacity - capacity / 10),
            (0, 5 * step, step, capacity),
            (0, step, 0, capacity),
            (15 * step, step, step, -4 * capacity / 10),
            (0, u64::MAX, 14 * step, capacity),
        ] {
            account.settle(0, spent, 0, NOW);
            let answer = done(&server, "POST", &path, json!({"amount": amount, "reason": "we were wrong"}));
            assert_eq!(answer["granted"], granted, "{rule} {spent} {amount}");
            assert_eq!(answer["account"]["balance"], balance, "{rule} {spent} {amount}");
            assert_eq!(account.balance(NOW), balance);
        }
        let told = audited(&board);
        assert_eq!(told.len(), 6);
        assert_eq!((&told[1]["before"], &told[1]["after"]), (&told[0]["after"], &told[2]["before"]));
        let last = json!({
            "audit": "grant", "time": "2026-01-02T03:04:05.678Z", "peer": told[5]["peer"],
            "token": KeyText::name_of(KeyText::of_api_key(TOKEN.as_bytes())), "rule": rule,
            "account": id(&account), "key": "red", "asked": u64::MAX, "before": -4 * capacity / 10,
            "after": capacity, "reason": "we were wrong",
        });
        assert_eq!(told[5], last);
    }
    assert!(board.accounts.controlled() == 0 && board.controls.is_empty(), "balances are kept by other ways");
}

#[test]
fn an_override_is_for_one_key_and_outlives_reloads_and_sweeps() {
    let board = board();
    let server = frozen(&board, Some(TOKEN));
    let capacity = |name: &str| account(&board, REQUESTS, team(name), name).terms().capacity();
    let path = format!("{}/override", path_of(&server, REQUESTS, "red"));
    account(&board, REQUESTS, team("red"), "red").settle(0, 30, 0, NOW);
    assert_eq!((capacity("red"), capacity("blue")), (100, 100));
    let answer = done(&server, "PUT", &path, json!({"rate": "500/minute", "burst": 400, "reason": "paid"}));
    let words = "400 requests at once, 500 back every 60 s";
    assert_eq!((&answer["changed"], &answer["kept"]), (&json!(true), &json!(false)), "there is no store");
    assert_eq!(
        (&answer["account"]["override"], &answer["account"]["allows"]),
        (&json!(words), &json!(words))
    );
    assert_eq!((&answer["account"]["balance"], &answer["account"]["key"]), (&json!(370), &json!("red")));
    assert_eq!((capacity("red"), capacity("blue")), (400, 100));
    let told = audited(&board);
    assert_eq!((&told[0]["audit"], &told[0]["before"]), (&json!("override"), &Value::Null));
    assert_eq!((&told[0]["after"], &told[0]["reason"], told.len()), (&json!(words), &json!("paid"), 1));

    let again = done(&server, "PUT", &path, json!({"rate": "500/minute", "burst": 400}));
    assert!(again["changed"] == false && audited(&board).is_empty(), "{again}");

    // The rule changes below it, then its account is forgotten.
    let reload = |limits: &str| {
        let next = InForce::after(Some(&board.in_force()), snapshot(limits), 1);
        board.adopt(Arc::new(next));
    };
    reload(&TEAMS.replace("100/hour", "50/hour"));
    assert_eq!((capacity("red"), capacity("blue")), (400, 50));
    board.accounts.sweep(NOW.later(Duration::from_secs(7200)), |_| {});
    assert_eq!(board.accounts.len(), 0);
    assert_eq!((capacity("red"), capacity("blue")), (400, 50));
    // Of a limit that counts something else it says nothing.
    reload(&TEAMS.replace("unit: requests, rate: 100/hour", "unit: tokens, rate: 70/hour"));
    assert_eq!((capacity("red"), capacity("blue")), (70, 70));
    reload(TEAMS);
    assert_eq!((capacity("red"), capacity("blue")), (400, 100));

    let answer = ask(&server, "DELETE", &path, "");
    assert_eq!((answer.status, &answer.json()["account"]["override"]), (200, &Value::Null));
    assert_eq!((capacity("red"), board.accounts.controlled()), (100, 0));
    let told = audited(&board);
    assert_eq!((&told[0]["audit"], &told[0]["after"]), (&json!("remove-override"), &Value::Null));
}

#[test]
fn what_is_decided_holds_though_workers_open_the_account_at_that_moment() {
    let board = board();
    let in_force = board.in_force();
    let (place, ready) = in_force.rules.named(REQUESTS).expect("a rule");
    for key in 1..=500u128 {
        let wanted = Wanted { rules: &in_force.rules, rule: place, key };
        let change = ControlChange {
            account: wanted.id(),
            rule: REQUESTS.into(),
            unit: Unit::Requests,
            label: String::new(),
            blocked: true,
            measure: Some(Measure::Bucket {
                capacity: 7,
                rate: Rate { per_fill: 7, fill: Duration::from_secs(1) },
            }),
            by: "".into(),
            unix_ms: 0,
        };
        let begin = std::sync::Barrier::new(3);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    begin.wait();
                    board.accounts.find(&wanted, &String::new, NOW);
                });
            }
            begin.wait();
            change.follow(&in_force.rules, &board.accounts, NOW);
        });
        let account = board.accounts.get(key ^ ready.salt).expect("it is open");
        assert!(account.is_blocked() && account.terms().capacity() == 7, "{key}");
    }
}

#[test]
fn the_store_hears_of_blocks_and_overrides_before_they_hold() {
    let board = board_of(true);
    let server = frozen(&board, Some(TOKEN));
    let rings = Arc::new(AtomicUsize::new(0));
    let heard = rings.clone();
    board.set_bell(Box::new(move || _ = heard.fetch_add(1, Ordering::Relaxed)));
    let path = path_of(&server, REQUESTS, "red");
    let named = |more: Value| {
        let mut body = json!({"rule": REQUESTS, "key": "red"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        body
    };
    for (method, verb, body) in [
        ("PUT", "override", named(json!({"burst": 7}))),
        ("POST", "block", named(json!({"reason": "stolen"}))),
        ("POST", "block", named(json!({}))),
        ("POST", "unblock", named(json!({}))),
        ("DELETE", "override", named(json!({}))),
    ] {
        let answer = done(&server, method, &format!("{path}/{verb}"), body);
        assert_eq!(answer.get("kept").is_some_and(|kept| kept == true), answer["changed"] == true);
    }
    assert_eq!(rings.load(Ordering::Relaxed), 4);
    let mut kept = Vec::new();
    while let Some(change) = board.controls.pop() {
        let capacity = change.measure.as_ref().map(|measure| measure.capacity());
        assert_eq!((&*change.rule, &*change.label, change.unix_ms), (REQUESTS, "red", NOW.unix_ms));
        assert_eq!(format!("/accounts/{:032x}", change.account), path);
        kept.push((change.blocked, capacity));
    }
    assert_eq!(kept, [(false, Some(7)), (true, Some(7)), (false, Some(7)), (false, None)]);

    // Where it cannot be told, nothing is changed.
    let block = || ask(&server, "POST", &format!("{path}/block"), &named(json!({})).to_string());
    let red = account(&board, REQUESTS, team("red"), "red");
    let filler = ControlChange {
        account: 0,
        rule: "".into(),
        unit: Unit::Requests,
        label: String::new(),
        blocked: true,
        measure: None,
        by: "".into(),
        unix_ms: 0,
    };
    while board.controls.push(filler.clone()).is_ok() {}
    audited(&board);
    assert_eq!((block().status, red.is_blocked(), board.audit.len()), (503, false, 0));
    while board.controls.pop().is_some() {}
    assert_eq!((block().status, red.is_blocked(), board.audit.len()), (200, true, 1));
    let told = board.audit.pop().expect("the block");
    while board.audit.push(told.clone()).is_ok() {}
    let unblock = ask(&server, "POST", &format!("{path}/unblock"), &named(json!({})).to_string());
    assert_eq!((unblock.status, red.is_blocked()), (503, true));
}

#[test]
fn a_blocked_key_is_refused_in_its_format_until_it_is_unblocked() {
    let path = directory("audit").join("records.jsonl");
    let records = settings(&format!(
        "  records: {{to: \"{}\"}}\n  workers: {{cores: 2, pin: false}}\n  timeouts: {{drain: 2s}}",
        path.display()
    ));
    let rig = Rig::start_with(
        Script::default(),
        &manifests(&policy(&TEAMS.replace("1000,", "1000000,"))),
        &records,
    );
    let server = start(&rig.gateway().board, clock::moment, Some(TOKEN));
    let send = |team: &str| {
        let team = format!("X-Team: {team}\r\nAuthorization: Bearer sk-client\r\n");
        ["/openai", "/messages"].map(|route| {
            let body =
                if route == "/openai" { chat("gpt-4o", false) } else { message("claude-sonnet-4-5", false) };
            rig.client().ask(route, &team, &body)
        })
    };
    let statuses = |team: &str| send(team).map(|answer| answer.status);
    // Blue was never seen, red was.
    assert_eq!(statuses("red"), [200, 200]);
    for team in ["red", "blue"] {
        let path = path_of(&server, REQUESTS, team);
        let body = json!({"rule": REQUESTS, "key": team, "reason": "its key was stolen"});
        let answer = done(&server, "POST", &format!("{path}/block"), body.clone());
        assert!(answer["account"]["blocked"] == true && answer["account"]["key"] == team, "{answer}");
        let [openai, anthropic] = send(team);
        assert_eq!((openai.status, anthropic.status), (403, 403));
        for answer in [&openai, &anthropic] {
            let message = answer.json()["error"]["message"].as_str().expect("a message").to_owned();
            assert!(message.contains("blocked") && message.contains(REQUESTS), "{message}");
            assert!(!message.contains("stolen"), "what operators say to one another is not for the client");
        }
        assert!(openai.json().get("type").is_none() && anthropic.json()["type"] == "error");
        assert_eq!(statuses("green"), [200, 200]);
        done(&server, "POST", &format!("{path}/unblock"), body);
        assert_eq!(statuses(team), [200, 200]);
    }
    // An override holds for the very next request of that key, on every worker.
    let path_of_red = path_of(&server, REQUESTS, "red");
    done(&server, "PUT", &format!("{path_of_red}/override"), json!({"burst": 1, "rate": "1/day"}));
    assert_eq!((statuses("red"), statuses("green")), ([429, 429], [200, 200]));
    done(&server, "DELETE", &format!("{path_of_red}/override"), json!({}));

    let lines = || std::fs::read_to_string(&path).unwrap_or_default();
    until("the changes are in the log", || lines().matches("\"audit\"").count() >= 6);
    let told: Vec<Value> = lines()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"))
        .filter(|line| line.get("audit").is_some())
        .collect();
    let actions: Vec<_> = told.iter().map(|line| (line["audit"].as_str(), line["key"].as_str())).collect();
    let expected = [
        ("block", "red"),
        ("unblock", "red"),
        ("block", "blue"),
        ("unblock", "blue"),
        ("override", "red"),
        ("remove-override", "red"),
    ];
    assert_eq!(actions, expected.map(|(action, key)| (Some(action), Some(key))));
    assert!(!lines().contains(TOKEN) && !lines().contains("sk-client"));
}

#[test]
fn what_is_decided_holds_after_a_restart() {
    let store = directory("decided");
    let start_over = |limits: &str| {
        let set = format!(
            "  records: {{to: none}}\n  workers: {{cores: 2, pin: false}}\n  limits: {{store: \"{}\"}}",
            store.display()
        );
        let limits = limits.replace("1000,", "1000000,");
        let rig = Rig::start_with(Script::default(), &manifests(&policy(&limits)), &settings(&set));
        let server = start(&rig.gateway().board, clock::moment, Some(TOKEN));
        (rig, server)
    };
    let status = |rig: &Rig, team: &str| {
        rig.client().ask("/openai", &format!("X-Team: {team}\r\n"), &chat("gpt-4o", false)).status
    };
    let (rig, server) = start_over(TEAMS);
    for (team, method, verb, more) in [
        ("red", "POST", "block", json!({"reason": "stolen"})),
        ("blue", "PUT", "override", json!({"rate": "7/day"})),
        ("green", "POST", "block", json!({})),
        ("green", "POST", "unblock", json!({})),
    ] {
        let mut body = json!({"rule": REQUESTS, "key": team});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let path = path_of(&server, REQUESTS, team);
        let answer = done(&server, method, &format!("{path}/{verb}"), body);
        assert_eq!((&answer["changed"], &answer["kept"]), (&json!(true), &json!(true)), "{team} {verb}");
    }
    drop((server, rig));
    // Once under a limit that counts something else, of which it says nothing; it is remembered all the same.
    let (rig, server) =
        start_over(&TEAMS.replace("unit: requests, rate: 100/hour", "unit: tokens, rate: 100000/hour"));
    let blue = ask(&server, "GET", &path_of(&server, REQUESTS, "blue"), "");
    assert_eq!((blue.status, &blue.json()["capacity"]), (200, &json!(100_000)), "{}", blue.text());
    drop((server, rig));
    let (rig, server) = start_over(TEAMS);
    assert_eq!(["red", "blue", "green"].map(|team| status(&rig, team)), [403, 200, 200]);
    let blue = ask(&server, "GET", &path_of(&server, REQUESTS, "blue"), "").json();
    assert_eq!((&blue["capacity"], &blue["balance"], &blue["key"]), (&json!(7), &json!(6), &json!("blue")));
    let path = path_of(&server, REQUESTS, "red");
    done(&server, "POST", &format!("{path}/unblock"), json!({}));
    assert_eq!(status(&rig, "red"), 200);
}
