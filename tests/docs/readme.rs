//! What the README shows is what happens: its commands run, its YAML loads, its messages are said.

use crate::support;
use crate::support::process::{Ended, Process, directory, ended, tollgate};
use crate::support::{Client, chat, manifests};
use std::fs;
use tollgate::config::Overrides;
use tollgate_loadtest::{Script, Simulator};

const README: &str = include_str!("../../README.md");

/// The blocks between fences, each with what stands behind its opening.
fn blocks() -> Vec<(&'static str, &'static str)> {
    let parts: Vec<&str> = README.split("```").collect();
    let insides = parts.iter().skip(1).step_by(2);
    insides.map(|inside| inside.split_once('\n').expect("a line")).collect()
}

/// The one block that begins with this language and has this text.
fn block(language: &str, part: &str) -> &'static str {
    let found: Vec<_> =
        blocks().into_iter().filter(|(known, text)| *known == language && text.contains(part)).collect();
    assert_eq!(found.len(), 1, "{language} {part:?}");
    found[0].1
}

/// A line of a shell, as far as the README needs one: words, in single quotes or not.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (place, part) in line.split('\'').enumerate() {
        match place % 2 {
            1 => words.push(part.to_owned()),
            _ => words.extend(part.split_whitespace().map(str::to_owned)),
        }
    }
    words
}

/// Every command that the README tells to run, and who runs it. A new one needs a row here.
#[test]
fn every_command_is_run_by_a_test() {
    const KNOWN: [(&str, &str); 13] = [
        ("cargo run --release -- demo", "process: the_demo_shows_200_then_429_and_exits_0"),
        ("cargo test --workspace", "this is it"),
        ("cargo run --release -- run config/walkthrough", "the_walkthrough_answers_as_shown"),
        ("curl -i localhost:8080/anthropic", "the_walkthrough_answers_as_shown"),
        ("cargo run --release -p loadtest -- chaos", "by loadtest/run --quick, which .ci/run has"),
        ("tollgate check DIR", "a_fault_is_told_as_shown"),
        ("tollgate check -o table|yaml|json DIR", "the_other_commands_do_what_is_said_of_them"),
        ("tollgate explain 'POST /anthropic'", "the_other_commands_do_what_is_said_of_them"),
        ("tollgate replay access.log --config DIR", "the_other_commands_do_what_is_said_of_them"),
        ("tollgate check", "the_limits_are_in_force"),
        ("tollgate run --takeover PATH", "upgrade: an_upgrade_under_load_refuses_no_connection_..."),
        ("cargo test --release --test sim", "a test target"),
        ("cargo test --features model --test model", "a test target, by .ci/run"),
    ];
    let inline = README.split('`').skip(1).step_by(2).filter(|text| !text.contains('\n'));
    let lines =
        blocks().into_iter().filter(|(language, _)| *language == "sh").flat_map(|(_, text)| text.lines());
    let is_command = |text: &&str| {
        ["tollgate ", "cargo run", "cargo test", "curl "].iter().any(|program| text.starts_with(program))
    };
    let commands: Vec<&str> = inline.chain(lines).map(str::trim).filter(is_command).collect();
    assert!(commands.len() > 8, "{commands:?}");
    for command in commands {
        let target = command.strip_prefix("cargo test --test ").map(|name| format!("tests/{name}.rs"));
        let is_target = target.is_some_and(|path| fs::exists(path).expect("a path"));
        let is_known = KNOWN.iter().any(|(known, _)| command.starts_with(known));
        assert!(is_target || is_known, "nobody runs {command:?}");
    }
}

#[test]
fn the_walkthrough_answers_as_shown() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let lines = block("sh", "curl -i");
    let line = |beginning: &str| lines.lines().find(|line| line.starts_with(beginning)).expect("a line");
    let key = line("export ").strip_prefix("export ANTHROPIC_API_KEY=").expect("a variable");
    let run = words(line("cargo run")).split_off(4);
    let host = format!("api.anthropic.com=http://{}", simulator.addr());
    let mut arguments: Vec<&str> = run.iter().map(String::as_str).collect();
    arguments.extend(["--host", &host, "--listen", "8080=127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let (_process, address) = Process::serve(tollgate(&arguments).env("ANTHROPIC_API_KEY", key));

    let curl = words(line("curl"));
    let path = curl[2].strip_prefix("localhost:8080").expect("a path");
    let after = |option: &str| &curl[curl.iter().position(|word| word == option).expect("an option") + 1];
    let headers = format!("{}\r\n", after("-H"));
    let body = fs::read_to_string(after("-d").strip_prefix('@').expect("a file")).expect("a file");
    let mut client = Client::connect(address);
    let first = client.ask(path, &headers, &body);
    assert_eq!((first.status, first.json()["object"].as_str()), (200, Some("chat.completion")));
    let second = client.ask(path, &headers, &body);
    let shown = block("", "HTTP/1.1 429");
    assert!(shown.starts_with(&format!("HTTP/1.1 {} Too Many Requests\n", second.status)));
    for line in shown.lines().skip(1) {
        let (name, value) = line.split_once(": ").expect("a field");
        let said = second.header(name).unwrap_or_else(|| panic!("no {name}"));
        let shape = |text: &str| text.replace(|letter: char| letter.is_ascii_digit(), "").replace('.', "");
        assert_eq!(shape(said), shape(value), "{name}");
    }
    assert_eq!(simulator.requests()[0].header("x-api-key"), Some(key));
}

#[test]
fn a_fault_is_told_as_shown() {
    let shown = block("", "maxToken");
    let here = directory("readme-fault");
    fs::create_dir(here.join("config")).expect("a directory");
    let file = "\
# A policy whose mistake stands where the README says.
apiVersion: gateway.kgateway.dev/v1alpha1
kind: TrafficPolicy
metadata:
  name: bucket
spec:
  targetRefs:
  - group: gateway.networking.k8s.io
    kind: Gateway
    name: edge
  rateLimit:
    local:
     tokenBucket:
      maxToken: 1
      fillInterval: 1s
";
    fs::write(here.join("config/gateway.yaml"), file).expect("a file");
    let Ended { code, stderr, .. } = ended(tollgate(&["check", "config"]).current_dir(&here));
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains(shown.trim_end()), "{stderr}");
}

#[test]
fn the_limits_are_in_force() {
    let simulator = Simulator::start(Script::default()).expect("a simulator");
    let (policy, host) = (block("yaml", "kind: LimitPolicy"), format!("http://{}", simulator.addr()));
    let overrides = Overrides {
        hosts: vec![("api.openai.com".to_owned(), host)],
        listeners: vec![(8080, "127.0.0.1:0".to_owned())],
        admin: Some("none".to_owned()),
        ..Overrides::default()
    };
    let routes = manifests("").replace(
        "name: openai, namespace: llm}\nspec:\n  parentRefs",
        "name: chat, namespace: llm}\nspec:\n  parentRefs",
    );
    let text = format!("{routes}---\n{policy}{}", support::settings("  records: {to: none}"));
    let gateway = support::gateway(&[("readme.yaml", &text)], overrides);
    let mut client = Client::connect(gateway.addresses[0]);
    let answer = client.ask("/openai", "Authorization: Bearer a\r\nX-Team: red\r\n", &chat("gpt-5", false));
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("x-ratelimit-limit-requests"), Some("20"));
    assert_eq!(answer.header("x-ratelimit-limit-tokens"), Some("100000"));
    gateway.stop();
    gateway.stop();
    gateway.join().expect("it ends");
}

#[test]
fn the_other_commands_do_what_is_said_of_them() {
    let here = directory("readme-commands");
    fs::copy("config/walkthrough-request.json", here.join("body.json")).expect("a file");
    fs::write(here.join("access.log"), "").expect("a file");
    let dir = fs::canonicalize("config/walkthrough").expect("a path").display().to_string();
    let said = |beginning: &str| {
        let all = README.split('`').skip(1).step_by(2);
        let command = all.into_iter().find(|text| text.starts_with(beginning)).expect("a command");
        words(command)
            .split_off(1)
            .into_iter()
            .map(|word| if word == "DIR" { dir.clone() } else { word })
            .collect::<Vec<_>>()
    };
    let run = |arguments: &[String]| {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let ended = ended(tollgate(&arguments).current_dir(&here).env("ANTHROPIC_API_KEY", "sk-ant-secret"));
        assert_eq!(ended.code, Some(0), "{arguments:?}\n{}{}", ended.stdout, ended.stderr);
        assert!(!(ended.stdout.clone() + &ended.stderr).contains("sk-ant-secret"), "{arguments:?}");
        ended.stdout
    };
    let explained = run(&said("tollgate explain"));
    for part in ["HTTPRoute kgateway-system/claude", "kgateway-system/anthropic-ratelimit", "/v1/messages"] {
        assert!(explained.contains(part), "no {part:?} in\n{explained}");
    }
    run(&said("tollgate replay"));
    let check = said("tollgate check -o");
    let forms = check.iter().find(|word| word.contains('|')).expect("forms");
    for (form, part) in forms.split('|').zip(["Accepted", "type: Accepted", "\"Accepted\""]) {
        let one: Vec<String> =
            check.iter().map(|word| if word == forms { form.to_owned() } else { word.clone() }).collect();
        assert!(run(&one).contains(part), "{form}");
    }
}
