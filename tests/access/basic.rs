//! Who may call by a name and a password, through a whole gateway.

use crate::denials;
use crate::support::process::{Process, directory};
use crate::support::{Answer, Client, Rig, apis, chat, limits, settings, until};
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs;
use tollgate::base::base64;
use tollgate_loadtest::{Script, Simulator};

const QUIET: &str = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";

/// Made by `crypt(3)` of libxcrypt and by OpenSSL: `opensesame` in bcrypt and apr1, `a:b` in SHA-1.
const ANN: &str = "ann:$2b$04$abcdefghijklmnopqrstuuFuhxWRTXIsURoluSTZ1N4tYaWGn9oOi";
const BOB: &str = "bob:$apr1$r31.....$AjcS1XH/jjX33z4ivNvI1/";
const EVE: &str = "eve:{SHA}3OptnM09ILoVSfbZtd3mB0IViII=";
/// `opensesame` too, and so slow that what is sent at once comes while it is judged.
const SLOW: &str = "slow:$2b$12$abcdefghijklmnopqrstuut8eXPatx3twAPJa78BFnmw/6pro63MO";

/// An AgentgatewayPolicy with this `traffic` on a target, `Kind/name`.
fn policy(name: &str, target: &str, traffic: &str) -> String {
    let (kind, of) = target.split_once('/').expect("a kind and a name");
    format!(
        "---\napiVersion: agentgateway.dev/v1alpha1\nkind: AgentgatewayPolicy\nmetadata: {{name: {name}, namespace: llm}}\n\
         spec:\n  targetRefs: [{{group: gateway.networking.k8s.io, kind: {kind}, name: {of}}}]\n  traffic: {traffic}\n"
    )
}

/// The users of all tests, inline.
fn users(target: &str, more: &str) -> String {
    let list = format!("['{ANN}', '{BOB}', '{EVE}']");
    policy("users", target, &format!("{{basicAuthentication: {{users: {list}{more}}}}}"))
}

fn rig(policies: &str) -> Rig {
    Rig::start_with(Script::default(), &apis(policies), &settings(QUIET))
}

fn basic(credentials: &str) -> String {
    let mut text = Vec::new();
    base64::push(&mut text, credentials.as_bytes());
    format!("Authorization: Basic {}\r\n", String::from_utf8(text).expect("it is ASCII"))
}

fn ask(rig: &Rig, path: &str, headers: &str) -> Answer {
    rig.client().ask(path, headers, &chat("gpt-5", false))
}

#[test]
fn each_mode_lets_in_whom_it_says() {
    for (mode, none, wrong) in
        [("", 401, 401), ("Strict", 401, 401), ("Optional", 200, 401), ("Permissive", 200, 200)]
    {
        let given = if mode.is_empty() { String::new() } else { format!(", mode: {mode}") };
        let rig = rig(&users("HTTPRoute/openai", &given));
        let rows = [
            (String::new(), none),
            ("Authorization: Bearer ann\r\n".to_owned(), none),
            ("x-api-key: ann\r\n".to_owned(), none),
            (basic("ann:opensesame"), 200),
            (basic("bob:opensesame"), 200),
            (basic("eve:a:b"), 200),
            (basic("eve:opensesame"), wrong),
            (basic("ann:opensesam"), wrong),
            (basic("ANN:opensesame"), wrong),
            (basic("nobody:opensesame"), wrong),
            ("Authorization: Basic !\r\n".to_owned(), wrong),
        ];
        // The second time all of it is remembered.
        for (headers, expected) in rows.iter().chain(&rows) {
            assert_eq!(ask(&rig, "/openai", headers).status, *expected, "{mode}: {headers}");
        }
        assert_eq!(ask(&rig, "/oa/v1/chat/completions", "").status, 200, "another route is as before");
        let counted = [denials(&rig, "no_password"), denials(&rig, "wrong_password")];
        let refused = |status| if status == 401 { 2 } else { 0 };
        assert_eq!(counted, [3 * refused(none), 5 * refused(wrong)], "{mode}");
    }
}

#[test]
fn who_is_refused_is_challenged_in_its_formats_words_and_told_nothing_else() {
    for (realm, challenge) in
        [("", "Basic realm=\"Restricted\""), (", realm: 'the \"edge\"'", "Basic realm=\"the \\\"edge\\\"\"")]
    {
        let rig = rig(&users("Gateway/edge", realm));
        for (path, pointer, word) in [
            ("/openai", "/error/type", "invalid_request_error"),
            ("/messages", "/error/type", "authentication_error"),
            ("/plain/echo", "/error/type", "authentication"),
        ] {
            for (headers, message) in [
                (String::new(), "the request has no name and password"),
                (basic("ann:s3cret"), "no user here has this name and password"),
            ] {
                let answer = ask(&rig, path, &headers);
                assert_eq!(
                    (answer.status, answer.header("www-authenticate")),
                    (401, Some(challenge)),
                    "{path}"
                );
                let error = answer.json();
                assert_eq!(error.pointer(pointer), Some(&json!(word)), "{path}: {error}");
                assert_eq!(error.pointer("/error/message"), Some(&json!(message)), "{path}: {error}");
                assert!(!answer.text().contains("s3cret") && !answer.text().contains("ann"), "{error}");
            }
        }
        assert!(rig.simulator.requests().is_empty(), "none of it went further");
    }
}

#[test]
fn users_come_from_a_secret_as_htpasswd_writes_it_and_passwords_go_no_further() {
    let mut encoded = Vec::new();
    base64::push(&mut encoded, format!("{ANN}\n{BOB}\n").as_bytes());
    let encoded = String::from_utf8(encoded).expect("it is ASCII");
    let file = format!("|\n    # who may call\n    {ANN}\n\n    {BOB}\n");
    for (data, key) in [
        (format!("stringData:\n  .htaccess: {file}"), ".htaccess"),
        (format!("stringData:\n  other: '$$'\n  .htpasswd: {file}"), ".htpasswd"),
        (format!("data: {{.htaccess: {encoded}}}\n"), "data"),
    ] {
        let secret =
            format!("---\napiVersion: v1\nkind: Secret\nmetadata: {{name: people, namespace: llm}}\n{data}");
        let of = "{basicAuthentication: {secretRef: {name: people}}}";
        let rig = rig(&(secret + &policy("users", "Gateway/edge", of)));
        for path in ["/openai", "/plain/echo"] {
            for (headers, expected) in [
                (basic("ann:opensesame"), 200),
                (basic("bob:opensesame") + "x-api-key: theirs\r\n", 200),
                (basic("eve:a:b"), 401),
            ] {
                assert_eq!(ask(&rig, path, &headers).status, expected, "{key}: {path} {headers}");
            }
            let seen = rig.simulator.requests().pop().expect("it came");
            let shown = seen.headers.iter().any(|(_, value)| value.starts_with(b"Basic"));
            assert!(!shown, "{key}: {path}: {:?}", seen.headers);
        }
    }
}

/// A provider that is given the client's own key is not given the password for the gateway.
#[test]
fn a_password_is_no_key_of_a_provider() {
    let own = "---\napiVersion: gateway.kgateway.dev/v1alpha1\nkind: Backend\nmetadata: {name: own, namespace: llm}\nspec: {type: AI, ai: {llm: \
               {openai: {authToken: {kind: Passthrough}}}}}\n---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: own, \
               namespace: llm}\nspec:\n  parentRefs: [{name: edge}]\n  rules:\n  - matches: [{path: {value: /own}}]\n    backendRefs: [{group: \
               gateway.kgateway.dev, kind: Backend, name: own}]\n";
    let rig = rig(&(own.to_owned() + &users("HTTPRoute/own", ", mode: Optional")));
    for (headers, expected) in [
        (basic("ann:opensesame") + "x-api-key: k-theirs\r\n", Some("Bearer k-theirs")),
        (basic("ann:opensesame"), None),
        ("Authorization: Bearer k-theirs\r\n".to_owned(), Some("Bearer k-theirs")),
    ] {
        ask(&rig, "/own/v1/chat/completions", &headers);
        let seen = rig.simulator.requests().pop().expect("it came");
        let value = seen.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("authorization"));
        let value = value.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
        assert_eq!(value.as_deref(), expected, "{headers}");
    }
}

/// A name is asked for by rules, beside keys and behind tokens, and limits are each user's own.
#[test]
fn rules_and_limits_know_the_user() {
    let rules = "['basicAuth.username in [\"ann\", \"eve\"]', 'apiKey.team == \"red\"']";
    let traffic = format!(
        "{{basicAuthentication: {{mode: Optional, users: ['{ANN}', '{BOB}', '{EVE}']}}, \
         apiKeyAuthentication: {{mode: Optional, secretRef: {{name: callers}}}}, \
         authorization: {{policy: {{matchExpressions: {rules}}}}}}}"
    );
    let secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: callers, namespace: llm}\nstringData: {red: '{\"key\": \
                  \"k-red\", \"metadata\": {\"team\": \"red\"}}'}\n";
    let one = rig(&(secret.to_owned() + &policy("callers", "HTTPRoute/openai", &traffic)));
    for (headers, expected) in [
        (String::new(), 403),
        (basic("ann:opensesame"), 200),
        (basic("bob:opensesame"), 403),
        ("x-api-key: k-red\r\n".to_owned(), 200),
        ("Authorization: Bearer k-red\r\n".to_owned(), 200),
        (basic("bob:opensesame") + "x-api-key: k-red\r\n", 200),
        (basic("ann:wrong") + "x-api-key: k-red\r\n", 401),
        (basic("ann:opensesame") + "x-api-key: k-blue\r\n", 401),
    ] {
        assert_eq!(ask(&one, "/openai", &headers).status, expected, "{headers}");
    }
    for key in ["user", "apiKey"] {
        let limit =
            format!("{{name: each, unit: requests, rate: 1/hour, onMissingKey: deny, key: {{{key}: {{}}}}}}");
        let rig = rig(&(users("HTTPRoute/openai", ", mode: Optional") + &limits("openai", &[&limit])));
        for (headers, expected) in [
            (basic("ann:opensesame"), 200),
            (basic("bob:opensesame"), 200),
            (basic("ann:opensesame"), 429),
            (basic("bob:opensesame"), 429),
            // What is not validated is no user's account, and who shows nothing has none.
            ("x-api-key: ann\r\n".to_owned(), if key == "user" { 401 } else { 200 }),
            (String::new(), 401),
        ] {
            assert_eq!(ask(&rig, "/openai", &headers).status, expected, "{key}: {headers}");
        }
        let mut labels = Vec::new();
        rig.gateway().board.accounts.for_each(|account| labels.push(account.label().to_owned()));
        assert_eq!(labels.iter().any(|label| label == "ann"), key == "user", "{labels:?}");
    }
}

/// One worker, and bounds of one. What is sent at once comes while the first is judged.
#[test]
fn what_may_be_judged_at_a_time_is_bounded_and_nobody_is_judged_twice() {
    let ask_at_once = |rig: &Rig, credentials: &[String]| -> Vec<Answer> {
        let mut clients: Vec<Client> = credentials.iter().map(|_| rig.client()).collect();
        let body = chat("gpt-5", false);
        for (client, credentials) in clients.iter_mut().zip(credentials) {
            let head = format!("POST /openai HTTP/1.1\r\nHost: a\r\n{}", basic(credentials));
            client.write(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()));
        }
        clients.iter_mut().map(Client::answer).collect()
    };
    let guesses: Vec<String> = (0..12).map(|number| format!("slow:{number}")).collect();
    for (bounds, status, reason) in
        [("perCaller: 1", 429, "guessing"), ("perCaller: 100, waiting: 1", 503, "unjudged_password")]
    {
        let spec = format!("{QUIET}\n  passwords: {{{bounds}}}");
        let list = format!("{{basicAuthentication: {{users: ['{ANN}', '{BOB}', '{SLOW}']}}}}");
        let manifests = apis(&policy("users", "HTTPRoute/openai", &list));
        let rig = Rig::start_with(Script::default(), &manifests, &settings(&spec));
        // Many requests with one password are one judgement, whatever the bounds are.
        let same = ask_at_once(&rig, &vec!["slow:opensesame".to_owned(); 12]);
        assert!(same.iter().all(|answer| answer.status == 200), "{bounds}");
        let answers = ask_at_once(&rig, &guesses);
        let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status == status).collect();
        let wrong = answers.iter().filter(|answer| answer.status == 401).count();
        assert!(
            wrong >= 1 && !refused.is_empty() && wrong + refused.len() == answers.len(),
            "{bounds}: {wrong}"
        );
        assert!(refused.iter().all(|answer| answer.header("retry-after") == Some("1")), "{bounds}");
        assert_eq!(denials(&rig, reason), refused.len() as u64, "{bounds}");
        // Who is remembered does not wait, and the room is there again for who is not.
        assert_eq!(ask(&rig, "/openai", &basic("slow:opensesame")).status, 200, "{bounds}");
        until("there is room", || ask(&rig, "/openai", &basic("ann:opensesame")).status == 200);
        // Who leaves waits no longer.
        let mut gone = rig.client();
        gone.write(format!("GET /openai HTTP/1.1\r\nHost: a\r\n{}\r\n", basic("slow:gone")));
        drop(gone);
        until("there is room", || ask(&rig, "/openai", &basic("bob:opensesame")).status == 200);
    }
}

/// Where a wrong password passes, one that there is no room to judge passes, too: as nobody's, and it goes no further.
#[test]
fn what_there_is_no_room_to_judge_is_nobodys_where_a_wrong_one_passes() {
    for bounds in ["perCaller: 1", "perCaller: 100, waiting: 1"] {
        let spec = format!("{QUIET}\n  passwords: {{{bounds}}}");
        let list = format!("{{basicAuthentication: {{mode: Permissive, users: ['{ANN}', '{SLOW}']}}}}");
        let manifests = apis(&policy("users", "HTTPRoute/openai", &list));
        let rig = Rig::start_with(Script::default(), &manifests, &settings(&spec));
        let body = chat("gpt-5", false);
        let mut clients: Vec<Client> = (0..12).map(|_| rig.client()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.post("/openai", &basic(&format!("slow:{number}")), &body);
        }
        for client in &mut clients {
            assert_eq!(client.answer().status, 200, "{bounds}");
        }
        assert_eq!([denials(&rig, "guessing"), denials(&rig, "unjudged_password")], [0, 0], "{bounds}");
        for seen in rig.simulator.requests() {
            assert!(!seen.headers.iter().any(|(_, value)| value.starts_with(b"Basic")), "{:?}", seen.headers);
        }
    }
}

#[test]
fn records_name_the_user_and_say_nothing_of_a_password() {
    let log = directory("basic-records").join("records.jsonl");
    let spec = format!("  records: {{to: {}}}\n  workers: {{cores: 1, pin: false}}", log.display());
    let manifests = apis(&users("HTTPRoute/openai", ""));
    let rig = Rig::start_with(Script::default(), &manifests, &settings(&spec));
    for (headers, status) in [(basic("ann:opensesame"), 200), (basic("ann:opensesam"), 401)] {
        assert_eq!(ask(&rig, "/openai", &headers).status, status);
    }
    let read = || -> Vec<Value> {
        let text = fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    };
    until("both are written", || read().len() == 2);
    let records = read();
    let said = |record: &Value, name: &str| record.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let of = |place: usize| (said(&records[place], "identity"), said(&records[place], "key"));
    assert_eq!(of(0), ("ann".to_owned(), String::new()), "{records:?}");
    assert_eq!(of(1), (String::new(), String::new()), "{records:?}");
}

#[test]
fn a_reload_takes_other_passwords_on_connections_that_are_kept() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let here = directory("basic-reload");
    let write = |line: &str| {
        let secret = format!(
            "---\napiVersion: v1\nkind: Secret\nmetadata: {{name: people, namespace: llm}}\nstringData: {{.htaccess: '{line}'}}\n"
        );
        let of = "{basicAuthentication: {secretRef: {name: people}}}";
        fs::write(here.join("1.yaml"), apis(&(secret + &policy("users", "Gateway/edge", of))))
            .expect("a file");
    };
    write(ANN);
    let (mut process, address) = Process::serve_folder(&here, simulator.addr());
    let get = |client: &mut Client, credentials: &str| {
        client.write(format!("GET /oa/v1/models HTTP/1.1\r\nHost: a\r\n{}\r\n", basic(credentials)));
        client.answer().status
    };
    let kept = RefCell::new(Client::connect(address));
    let ask = |who: &str| get(&mut kept.borrow_mut(), who);
    assert_eq!([ask("ann:opensesame"), ask("ann:a:b")], [200, 401]);
    write(&EVE.replace("eve", "ann"));
    process.signal("HUP");
    process.says("configuration 2 is in force");
    until("the password is another", || get(&mut Client::connect(address), "ann:opensesame") == 401);
    until("it is for those who are here", || ask("ann:opensesame") == 401);
    assert_eq!([ask("ann:a:b"), ask("ann:opensesame")], [200, 401]);
    // A file that cannot be meant changes nothing.
    write("ann:opensesame");
    process.signal("HUP");
    process.says("stays in force");
    assert_eq!(ask("ann:a:b"), 200);
}
