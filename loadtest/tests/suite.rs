//! The comparison as a program: what is not right is told, in the exit status and in the summary.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A port that was free a moment ago.
fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn directory(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    fs::remove_dir_all(&path).ok();
    fs::create_dir_all(&path).unwrap();
    path
}

fn suite(arguments: &[&str]) -> (Output, String) {
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    let mut command = Command::new("timeout");
    command.args(["120", env!("CARGO_BIN_EXE_loadtest"), "suite", "--home"]).arg(home).args(arguments);
    // What is left for whoever wants to know why it failed is left among the tests' own files.
    let output = command.env("TMPDIR", env!("CARGO_TARGET_TMPDIR")).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, errors)
}

#[test]
fn a_gateway_that_does_not_start_fails_the_quick_run() {
    let (output, errors) = suite(&["--quick", "--tollgate", "/bin/false"]);
    assert!(!output.status.success() && errors.contains("it does not serve on port"), "{errors}");
}

#[test]
fn an_unknown_case_names_those_that_there_are() {
    let out = directory("suite-unknown");
    let out = out.display().to_string();
    let (output, errors) = suite(&["--tollgate", "/bin/false", "--out", &out, "--cases", "colour"]);
    assert!(!output.status.success() && errors.contains("chat-1k"), "{errors}");
}

/// Its answers are perfect, and none of them is the provider's: only the books tell.
#[test]
fn a_gateway_that_answers_by_itself_is_found_out() {
    let (dir, out) = (directory("suite-liar"), directory("suite-liar-out"));
    let script = dir.join("liar.sh");
    let simulate = format!("sleep 60 | {} simulate --port @PORT@", env!("CARGO_BIN_EXE_loadtest"));
    fs::write(&script, format!("{simulate} --input-tokens 256 --record false\n")).unwrap();
    let peer = format!("liar=/bin/sh,{},{}", script.display(), free_port());
    let out = out.display().to_string();
    let (output, errors) = suite(&[
        "--tollgate",
        "/bin/false",
        "--out",
        &out,
        "--peers",
        "none",
        "--peer",
        &peer,
        "--cases",
        "chat-1k",
        "--rounds",
        "1",
        "--seconds",
        "1",
    ]);
    let summary = fs::read_to_string(Path::new(&out).join("summary.md")).unwrap();
    if summary.contains("Wrk is not on this machine") {
        return; // nobody there who could drive a load
    }
    assert!(!output.status.success(), "tollgate did not start");
    assert!(errors.contains("chat-1k: tollgate: it does not serve"), "{errors}");
    assert!(summary.contains("| liar (not right, see below) |"), "{summary}");
    assert!(summary.contains("the provider completed 0"), "{summary}");
    assert!(Path::new(&out).join("configs/chat-1k/liar/liar.sh").is_file());
    let raw = fs::read_to_string(Path::new(&out).join("raw.json")).unwrap();
    let raw: serde_json::Value = serde_json::from_str(&raw).unwrap();
    assert_eq!(raw["cases"][0]["turns"].as_array().unwrap().len(), 2, "direct and liar");
}
