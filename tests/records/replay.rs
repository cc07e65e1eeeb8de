//! `tollgate replay`: records of a real run through the limits that made them, and through others.

use crate::support::process::{Ended, directory, ended, tollgate};
use crate::support::{Rig, chat, limits, manifests, settings, until};
use serde_json::Value;
use std::fs;
use std::path::Path;
use tollgate_loadtest::{Count, Script};

const BY_TEAM: &str = "{name: team, unit: requests, rate: 3/hour, burst: 3, key: {header: x-team}}";
const BY_KEY: &str = "{name: key, unit: tokens, budget: 1570, window: day, key: {apiKey: {}}}";

/// Serves the usual routes with these limits on `/openai`, asks as `asks` say (team, key), and leaves a directory with the
/// configuration and a log. The statuses.
fn served(name: &str, limited: &[&str], asks: &[(&str, &str)]) -> (std::path::PathBuf, Vec<u16>) {
    let here = directory(name);
    let log = here.join("access.log");
    let script = Script { input_tokens: Count::Fixed(100), output_tokens: 40, ..Script::default() };
    let settings = settings(&format!(
        "  records: {{to: \"{}\", headers: [x-team]}}\n  workers: {{cores: 1, pin: false}}\n  timeouts: {{drain: 2s}}",
        log.display()
    ));
    let text = manifests(&limits("openai", limited));
    fs::write(here.join("1.yaml"), &text).expect("a file");
    let rig = Rig::start_with(script, &text, &settings);
    let statuses = asks.iter().map(|(team, key)| {
        let headers = format!("x-team: {team}\r\nAuthorization: Bearer {key}\r\n");
        rig.client().ask("/openai", &headers, &chat("gpt-5", false)).status
    });
    let statuses = statuses.collect();
    until("all is recorded", || {
        fs::read_to_string(&log).unwrap_or_default().matches('\n').count() == asks.len()
    });
    drop(rig);
    (here, statuses)
}

fn replay(here: &Path, config: &str, more: &[&str]) -> Ended {
    let (log, config) = (here.join("access.log"), here.join(config));
    let (log, config) = (log.display().to_string(), config.display().to_string());
    ended(&mut tollgate(&[&["replay", &log, "--config", &config], more].concat()))
}

/// The refusals and the whole.
fn lines(ended: &Ended) -> (Vec<Value>, Value) {
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let mut lines: Vec<Value> =
        ended.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let whole = lines.pop().expect("the whole");
    (lines, whole)
}

#[test]
fn the_limits_that_made_a_log_say_the_same_of_it_again() {
    let asks: Vec<_> = (0..12).map(|n| (["red", "blue", "green"][n % 3], ["k1", "k2"][n / 6])).collect();
    for (name, limit) in [("replay-team", BY_TEAM), ("replay-key", BY_KEY)] {
        let (here, statuses) = served(name, &[limit], &asks);
        let refused = statuses.iter().filter(|status| **status == 429).count();
        assert!(refused > 0 && refused < asks.len(), "{statuses:?}");
        let (refusals, whole) = lines(&replay(&here, "1.yaml", &["-o", "json"]));
        assert_eq!(refusals.len(), refused, "{statuses:?} {whole}");
        assert!(refusals.iter().all(|refusal| refusal["then"] == "refused"), "{refusals:?}");
        assert_eq!(
            (&whole["then"]["refused"], &whole["now"]["newly_admitted"]),
            (&refused.into(), &0.into())
        );
    }
}

#[test]
fn other_limits_say_whom_they_would_refuse() {
    let asks = [("red", "k1"), ("red", "k2"), ("blue", "k1"), ("red", "k1"), ("red", "k1")];
    let (here, statuses) = served("replay-other", &[BY_TEAM], &asks);
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
    let text =
        manifests(&limits("openai", &[&BY_TEAM.replace("rate: 3/hour, burst: 3", "rate: 1/hour, burst: 1")]));
    fs::write(here.join("2.yaml"), text).expect("a file");
    let (refusals, whole) = lines(&replay(&here, "2.yaml", &["-o", "json"]));
    let told: Vec<_> = refusals.iter().map(|it| (&it["key"], &it["then"], &it["limit"])).collect();
    let (red, limit) = (Value::from("red"), Value::from("llm/test/team"));
    let (then, again) = (Value::from("admitted"), Value::from("refused"));
    assert_eq!(told, [(&red, &then, &limit), (&red, &then, &limit), (&red, &again, &limit)]);
    assert_eq!(whole["limits"][0]["keys"][0]["refused"], 3);
    let shown = replay(&here, "2.yaml", &[]);
    assert!(shown.stdout.contains("llm/test/team: 1 request at once"), "{}", shown.stdout);
    assert!(shown.stdout.contains("5 requests, 20"), "{}", shown.stdout);
}

#[test]
fn what_cannot_be_replayed_is_said() {
    let here = directory("replay-faults");
    fs::write(here.join("1.yaml"), manifests("")).expect("a file");
    fs::write(here.join("bad.yaml"), "kind: Gatewey\n").expect("a file");
    fs::write(here.join("access.log"), "not a record\n").expect("a file");
    let config = here.join("1.yaml").display().to_string();
    for (arguments, expected) in [
        (vec!["replay"], "name a log"),
        (vec!["replay", "x.log"], "no configuration"),
        (vec!["replay", "/no/such.log", "--config", &config], "/no/such.log: No such file"),
        (vec!["replay", "x.log", "--config", &config, "-o", "xml"], "neither table nor json"),
    ] {
        let ended = ended(&mut tollgate(&arguments));
        assert_eq!(ended.code, Some(2), "{arguments:?}");
        assert!(ended.stderr.contains(expected), "{arguments:?}: {}", ended.stderr);
    }
    let ended = replay(&here, "1.yaml", &[]);
    assert!(
        ended.code == Some(2) && ended.stderr.contains("no access record in it; line 1:"),
        "{}",
        ended.stderr
    );
    assert_eq!(replay(&here, "bad.yaml", &[]).code, Some(2));
    fs::write(here.join("access.log"), "").expect("a file");
    let empty = replay(&here, "1.yaml", &[]);
    assert!(empty.code == Some(0) && empty.stdout.starts_with("0 requests\n"), "{}", empty.stdout);
}
