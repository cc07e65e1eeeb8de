//! `tollgate check -o`: the conditions of resources as the program prints them. What they say is in
//! `golden/config/conditions.cases`.

use crate::support::process::{Ended, directory, ended, tollgate};
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// The walkthrough in a directory of this test's own, with `old` in its HTTPRoute made to `new`.
fn walkthrough(name: &str, old: &str, new: &str) -> PathBuf {
    let here = directory(name);
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("config/walkthrough"));
    for file in files.expect("the walkthrough").map(|file| file.expect("a file").path()) {
        let name = file.file_name().expect("a name");
        let text = fs::read_to_string(&file).expect("a text");
        fs::write(here.join(name), text.replace(old, new)).expect("a copy");
    }
    here
}

fn check(here: &Path, output: &[&str]) -> Ended {
    let mut command = tollgate(&["check"]);
    ended(command.args(output).arg(here).env("ANTHROPIC_API_KEY", "sk-ant-test"))
}

#[test]
fn yaml_and_json_are_one_list_in_the_shape_of_kubernetes() {
    let here =
        walkthrough("conditions", "metadata:\n  name: claude", "metadata:\n  generation: 3\n  name: claude");
    let Ended { code, stdout, stderr } = check(&here, &["-o", "yaml"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let read = value(&mut events(&stdout).into_iter());
    let as_json = check(&here, &["-o", "json"]);
    assert_eq!(read, serde_json::from_str::<Value>(&as_json.stdout).expect("JSON"), "{stdout}");
    assert_eq!((&read["apiVersion"], &read["kind"]), (&json!("v1"), &json!("List")));
    let items = read["items"].as_array().expect("items");
    let kinds: Vec<&str> = items.iter().filter_map(|item| item["kind"].as_str()).collect();
    assert_eq!(kinds, ["Gateway", "HTTPRoute", "Backend", "TrafficPolicy"]);
    let well =
        |kind: &str, reason: &str| json!({"type": kind, "status": "True", "reason": reason, "message": ""});
    let of_route = |kind: &str, reason: &str| {
        let mut condition = well(kind, reason);
        condition["observedGeneration"] = json!(3);
        condition
    };
    assert_eq!(
        items[0]["status"],
        json!({
            "conditions": [well("Accepted", "Accepted"), well("Programmed", "Programmed")],
            "listeners": [{
                "name": "http",
                "attachedRoutes": 1,
                "supportedKinds": [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute"}],
                "conditions": [
                    well("Accepted", "Accepted"),
                    well("Programmed", "Programmed"),
                    well("ResolvedRefs", "ResolvedRefs"),
                    {"type": "Conflicted", "status": "False", "reason": "NoConflicts", "message": ""},
                ],
            }],
        })
    );
    let gateway = json!({
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": "agentgateway",
        "namespace": "kgateway-system",
    });
    assert_eq!(
        items[1],
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "claude", "namespace": "kgateway-system", "generation": 3},
            "status": {"parents": [{
                "parentRef": gateway,
                "controllerName": "tollgate.dev/gateway-controller",
                "conditions": [of_route("Accepted", "Accepted"), of_route("ResolvedRefs", "ResolvedRefs")],
            }]},
        })
    );
    assert_eq!(items[2]["status"], json!({"conditions": [well("Accepted", "Accepted")]}));
    assert_eq!(
        items[3]["status"],
        json!({"ancestors": [{
            "ancestorRef": gateway,
            "controllerName": "tollgate.dev/gateway-controller",
            "conditions": [well("Accepted", "Valid"), well("Attached", "Attached")],
        }]})
    );
}

#[test]
fn a_fault_is_told_by_its_condition_and_by_the_exit_code() {
    let here = walkthrough("conditions-fault", "    - name: anthropic\n", "    - name: antropic\n");
    let Ended { code, stdout, stderr } = check(&here, &["-o", "yaml"]);
    assert_eq!((code, stderr.as_str()), (Some(2), ""), "{stdout}");
    let read = value(&mut events(&stdout).into_iter());
    let condition = &read["items"][1]["status"]["parents"][0]["conditions"][1];
    assert_eq!((&condition["status"], &condition["reason"]), (&json!("False"), &json!("BackendNotFound")));
    let message = condition["message"].as_str().expect("a message");
    let part = "4-httproute.yaml:24:13: Backend \"antropic\" does not exist in namespace \"kgateway-system\"; did you mean";
    assert!(message.contains(part), "{message}");
    let table = check(&here, &["-o", "table"]);
    assert_eq!(table.code, Some(2));
    assert!(table.stdout.contains(part) && table.stdout.contains("BackendNotFound"), "{}", table.stdout);
    let plain = check(&here, &[]);
    assert_eq!((plain.code, plain.stdout.as_str()), (Some(2), ""));
    assert!(plain.stderr.contains("4-httproute.yaml:24:13: Backend \"antropic\""), "{}", plain.stderr);
}

#[test]
fn a_fault_that_stands_in_no_such_resource_is_told_as_ever() {
    let here = walkthrough("conditions-secret", "type: Opaque", "type: Opak");
    let Ended { code, stdout, stderr } = check(&here, &["-o", "json"]);
    assert_eq!(code, Some(2));
    assert!(serde_json::from_str::<Value>(&stdout).is_ok(), "{stdout}");
    assert!(stderr.contains("1-secret.yaml:8:7: "), "{stderr}");
}

fn events(text: &str) -> Vec<Event<'_>> {
    Parser::new_from_str(text).map(|event| event.expect("YAML").0).collect()
}

/// The next value; what stands between quotes is a text, all else is what JSON takes it for, or a text.
fn value<'e>(events: &mut dyn Iterator<Item = Event<'e>>) -> Value {
    loop {
        match events.next().expect("a value") {
            Event::Scalar(text, ScalarStyle::Plain, ..) => {
                return serde_json::from_str(&text).unwrap_or_else(|_| Value::String(text.into()));
            }
            Event::Scalar(text, ..) => return Value::String(text.into()),
            Event::SequenceStart(..) => return Value::Array(members(events)),
            Event::MappingStart(..) => {
                let members = members(events);
                let pair = |pair: &[Value]| (pair[0].as_str().expect("a key").to_owned(), pair[1].clone());
                return Value::Object(members.chunks(2).map(pair).collect::<Map<_, _>>());
            }
            Event::SequenceEnd | Event::MappingEnd => return END.clone(),
            _ => {}
        }
    }
}

/// The end of a list or a map, which is nothing that is written.
const END: Value = Value::Null;

fn members<'e>(events: &mut dyn Iterator<Item = Event<'e>>) -> Vec<Value> {
    std::iter::from_fn(|| Some(value(events)).filter(|value| *value != END)).collect()
}
