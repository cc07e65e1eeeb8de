//! Every file of `config/` is served as it stands, but for where the providers are, and does what its comments say.

use crate::service::{Asked, Hook, Says, pass};
use crate::support::process::{Process, directory, ended, tollgate};
use crate::support::{Answer, Client, chat, message};
use crate::tokens::{Signer, key_set};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use tollgate_loadtest::{Script, Simulator};

const EXAMPLE: &str = include_str!("../../config/example.yaml");

/// Each file, and the test that serves it.
const FILES: [(&str, &str); 5] = [
    ("example.yaml", "the_example_serves_every_route_that_it_shows"),
    ("https.yaml", "tls_in: the example of HTTPS"),
    ("prices.yaml", "the_built_in_prices_load_as_a_file_of_ones_own"),
    ("walkthrough", "process: the_walkthrough_directory_runs_with_a_key_in_the_environment"),
    ("walkthrough-request.json", "readme"),
];

#[test]
fn no_file_is_without_a_test() {
    let entries = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config")).expect("a directory");
    let found: BTreeSet<String> =
        entries.map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(found, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn the_built_in_prices_load_as_a_file_of_ones_own() {
    let mut checked = tollgate(&["check", "config/walkthrough", "config/prices.yaml"]);
    let ended = ended(checked.env("ANTHROPIC_API_KEY", "sk-ant"));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert!(ended.stdout.contains("(config/prices.yaml:"), "{}", ended.stdout);
}

/// OpenAI, but for its models: moderation finds nothing, and chats are short.
fn openai(asked: &Asked) -> Says {
    Says::Json(match asked.target.as_str() {
        "/v1/moderations" => {
            json!({"id": "modr-1", "model": "omni-moderation-latest", "results": [{"flagged": false}]})
        }
        _ => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked.body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Well."}}],
            "usage": {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11},
        }),
    })
}

/// The example as a running gateway, and who is behind it.
struct Example {
    _process: Process,
    address: SocketAddr,
    simulator: Simulator,
    openai: Hook,
    docs: Hook,
    signer: Signer,
}

impl Example {
    fn start() -> Example {
        let simulator = Simulator::start(Script::default()).expect("a simulator");
        let (openai, docs) = (Hook::start(openai), Hook::start(|_| Says::Json(pass())));
        let signer = Signer::new("EdDSA", Some("ci-1"));
        let here = directory("example");
        fs::write(here.join("keys.json"), key_set([&signer])).expect("a file");
        let mut text = EXAMPLE.to_owned();
        let mut replace = |from: &str, to: String| {
            assert_eq!(text.matches(from).count(), 1, "{from}");
            text = text.replace(from, &to);
        };
        replace("/var/lib/tollgate ", format!("{} ", here.join("store").display()));
        replace("/etc/tollgate/ci-keys.json", here.join("keys.json").display().to_string());
        replace("port: 11434", format!("port: {}", openai.address.port()));
        replace("    pin: true", "    pin: false".to_owned());
        fs::write(here.join("example.yaml"), text).expect("a file");
        fs::create_dir(here.join("store")).expect("a directory");

        let hosts = [
            ("api.anthropic.com", simulator.addr()),
            ("generativelanguage.googleapis.com", simulator.addr()),
            ("api.openai.com", openai.address),
            ("docs.example.com", docs.address),
            ("idp.example.org", simulator.addr()),
        ]
        .map(|(host, to)| format!("{host}=http://{to}"));
        let file = here.join("example.yaml").display().to_string();
        let mut arguments = vec!["run", &file, "--listen", "8080=127.0.0.1:0", "--admin", "127.0.0.1:0"];
        hosts.iter().for_each(|host| arguments.extend(["--host", host]));
        let mut command = tollgate(&arguments);
        for name in ["ANTHROPIC", "OPENAI", "GEMINI", "GROQ", "BATCH"] {
            command.env(format!("{name}_API_KEY"), format!("key-of-{name}"));
        }
        let (process, address) = Process::serve(&mut command);
        Example { _process: process, address, simulator, openai, docs, signer }
    }

    fn ask(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut client = Client::connect(self.address);
        let host = if headers.contains("Host: ") { "" } else { "Host: gateway\r\n" };
        let length = body.len();
        client.write(format!(
            "{method} {path} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\n\r\n{body}"
        ));
        client.any_answer()
    }

    fn token(&self) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs();
        let claims = json!({"iss": "https://ci.example.org", "sub": "ann", "exp": now + 600});
        format!("Authorization: Bearer {}\r\n", self.signer.token(&claims))
    }
}

const RESEARCH: &str = "Authorization: Bearer password\r\n";
const BATCH: &str = "x-api-key: key-of-BATCH\r\n";

#[test]
fn the_example_serves_every_route_that_it_shows() {
    let example = Example::start();
    let token = example.token();
    let red = format!("{token}x-team: red\r\n");
    let secret = chat("gpt-4o-mini", false).replace("\"content\":\"", "\"content\":\"078-05-1120 ");
    let contents = json!({"contents": [{"parts": [{"text": "Hello."}]}]}).to_string();
    let (small, large) = (chat("gpt-4o-mini", false), chat("gpt-4o", false));
    let page = "Host: docs.example.org\r\n";
    let preflight = "Origin: https://app.example.com\r\nAccess-Control-Request-Method: POST\r\n";
    // Method, path, headers, body, status, and what is in the answer or its Location.
    let rows: [(&str, &str, &str, &str, u16, &str); 17] = [
        ("POST", "/v1/chat/completions", "", &small, 401, "token"),
        ("POST", "/v1/chat/completions", &token, &small, 200, "chat.completion"),
        ("OPTIONS", "/v1/chat/completions", preflight, "", 200, ""),
        ("GET", "/v1/chat/completions", &token, "", 404, ""),
        ("POST", "/local/chat/completions", &red, &small, 200, "chat.completion"),
        ("POST", "/local/ask", &red, &message("any", false), 200, "\"role\":\"assistant\""),
        ("POST", "/local/chat/completions", &token, &small, 404, ""),
        ("POST", "/openai/v1/chat/completions", "", &small, 401, "key"),
        ("POST", "/openai/v1/chat/completions", RESEARCH, &large, 200, "Well."),
        ("POST", "/openai/v1/chat/completions", BATCH, &small, 200, "Well."),
        ("POST", "/openai/v1/chat/completions", BATCH, &large, 403, ""),
        ("POST", "/openai/v1/chat/completions", RESEARCH, &secret, 422, "No personal data here."),
        (
            "POST",
            "/gemini/v1beta/models/gemini-x-mini:generateContent",
            RESEARCH,
            &contents,
            200,
            "candidates",
        ),
        ("POST", "/models/v1/chat/completions", RESEARCH, &small, 200, "chat.completion"),
        ("GET", "/old/page", page, "", 301, "https://docs.example.com/old/page"),
        ("GET", "/admin", page, "", 403, "Not from here."),
        ("POST", "/page", page, "{}", 200, "fine"),
    ];
    for (method, path, headers, body, status, part) in rows {
        let answer = example.ask(method, path, headers, body);
        let (text, location) = (answer.text(), answer.header("location").unwrap_or_default());
        assert_eq!(answer.status, status, "{method} {path} {headers:?}: {text}");
        assert!(text.contains(part) || location.contains(part), "{method} {path}: {text}");
    }

    let asked = example.openai.asked();
    let of = |model: &str| -> Vec<&Value> {
        asked.iter().map(|asked| &asked.body).filter(|body| body["model"] == model).collect()
    };
    let (large, small) = (of("gpt-4o"), of("gpt-4o-mini"));
    assert_eq!([&large[0]["temperature"], &large[0]["user"]], [&json!(0.2), &json!("edge")]);
    assert_eq!(large[0]["messages"][0]["content"], "Answer in one paragraph.");
    let last = small.last().expect("what was asked of models");
    assert_eq!(
        [&last["temperature"], &last["user"]],
        [&json!(0.2), &Value::Null],
        "its key is for gpt-*: Claude, the first of the groups, is not asked"
    );
    let moderations = asked.iter().filter(|asked| asked.target == "/v1/moderations").count();
    assert_eq!(moderations, 2, "the one that was rejected by its number was not asked about");
    let (pages, judged): (Vec<_>, Vec<_>) =
        example.docs.asked().into_iter().partition(|asked| asked.target == "/page");
    assert_eq!(pages[0].header("x-from"), Some("edge"));
    assert_eq!(judged.iter().filter(|asked| asked.target == "/response").count(), 2);
    // Nine of ten chats are for Claude, by chance: of ten more one is, for certain enough.
    for _ in 0..10 {
        assert_eq!(
            example.ask("POST", "/v1/chat/completions", &token, &chat("gpt-4o-mini", false)).status,
            200
        );
    }
    let seen = example.simulator.requests();
    assert!(seen.iter().all(|request| request.header("x-team").is_none()), "it is taken off");
    let keys: BTreeSet<&str> = seen.iter().filter_map(|request| request.header("x-api-key")).collect();
    assert_eq!(keys, BTreeSet::from(["key-of-ANTHROPIC"]));
}
