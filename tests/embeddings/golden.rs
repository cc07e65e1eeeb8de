//! Golden rows of the translation of embeddings: `tests/golden/embeddings/requests.json` and `replies.json`.
//!
//! A row names two formats (`from`, `to`), what goes in (`in`; of an answer its text, for its numbers stay as they are
//! written) and what the gateway knows (`model`, `path_model`, `base64`), and what must come out: `out`, as text, with
//! `lost`, or `error`. Set `TOLLGATE_BLESS=1` to write what comes out into the files, and read the difference before keeping it.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tollgate::llm::Format;
use tollgate::llm::translate::{self, ReplyTerms, RequestTerms};

#[test]
fn requests() {
    check("requests.json", 39, |from, to, row| {
        let terms = RequestTerms {
            model: row["model"].as_str(),
            path_model: row["path_model"].as_str(),
            ..RequestTerms::default()
        };
        let (mut body, mut out) = (row["in"].to_string().into_bytes(), Vec::new());
        match translate::request(from, to, &mut body, &terms, &mut out) {
            Ok(lost) => json!({"out": text(out), "lost": lost.names()}),
            Err(bad) => json!({"error": {"param": bad.param, "message": bad.message}}),
        }
    });
}

#[test]
fn replies() {
    check("replies.json", 14, |from, to, row| {
        let terms = ReplyTerms {
            asked_model: Some("asked"),
            input_tokens: 7,
            base64: row["base64"] == true,
            ..ReplyTerms::default()
        };
        let (mut body, mut out) = (row["in"].as_str().expect("text").as_bytes().to_vec(), Vec::new());
        match translate::reply(from, to, &mut body, &terms, &mut out) {
            Ok(lost) => json!({"out": text(out), "lost": lost.names()}),
            Err(bad) => json!({"error": bad.reason()}),
        }
    });
}

/// What was written, which is one JSON text.
fn text(out: Vec<u8>) -> String {
    let text = String::from_utf8(out).expect("UTF-8");
    let read: Result<Value, _> = serde_json::from_str(&text);
    assert!(read.is_ok(), "{text}");
    text
}

fn format(name: &Value) -> Format {
    let named = Format::ALL.into_iter().find(|format| *name == format.name());
    named.unwrap_or_else(|| panic!("no format is called {name}"))
}

/// Runs every row of a file, of which there are at least `least`.
fn check(file: &str, least: usize, run: impl Fn(Format, Format, &Value) -> Value) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/embeddings").join(file);
    let text = std::fs::read(&path).expect("readable rows");
    let mut rows: Vec<Value> = serde_json::from_slice(&text).expect("rows are JSON");
    let mut failed = Vec::new();
    for row in &mut rows {
        let got = run(format(&row["from"]), format(&row["to"]), row);
        let said = ["out", "lost", "error"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), row.get(name)?.clone())));
        let expected: Value = said.collect::<serde_json::Map<_, _>>().into();
        if got != expected {
            failed.push(format!("{}\n  expected {expected}\n  got      {got}", row["in"]));
            let object = row.as_object_mut().expect("a row is an object");
            ["out", "lost", "error"].iter().for_each(|name| drop(object.remove(*name)));
            object.extend(got.as_object().cloned().unwrap_or_default());
        }
    }
    if std::env::var_os("TOLLGATE_BLESS").is_some() {
        let lines: Vec<String> = rows.iter().map(Value::to_string).collect();
        std::fs::write(&path, format!("[\n{}\n]\n", lines.join(",\n"))).expect("writable rows");
        return;
    }
    assert!(failed.is_empty(), "{} of {} rows differ:\n{}", failed.len(), rows.len(), failed.join("\n"));
    assert!(rows.len() >= least, "only {} rows", rows.len());
}
