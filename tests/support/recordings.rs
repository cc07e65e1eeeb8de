//! Real exchanges with providers, recorded elsewhere and not part of the repository.
//!
//! They are looked for in `$TOLLGATE_FIXTURES`, else in `../shared/fixtures`; tests say so and pass without them. A
//! recording is `{request: {body}, response: {status, body}, usage}`, see the README beside them.
#![allow(dead_code, unreachable_pub)] // every test binary includes it and uses a part of it

use serde_json::Value;
use std::path::{Path, PathBuf};
use tollgate::llm::translate::{self, BadRequest, RequestTerms, StreamTerms, StreamTranslator};
use tollgate::llm::{Format, Usage};

/// Where the recordings are; says so if there are none.
pub fn root() -> Option<PathBuf> {
    let root = folder();
    if root.is_none() {
        eprintln!("no recordings found: set TOLLGATE_FIXTURES to check against them");
    }
    root
}

fn folder() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/fixtures");
    let root = std::env::var_os("TOLLGATE_FIXTURES").map_or_else(beside, PathBuf::from);
    root.is_dir().then_some(root)
}

/// The recordings of a folder, by folder and file; none where there is no such folder.
pub fn all(name: &str) -> Vec<(String, Value)> {
    let Some(root) = folder() else { return Vec::new() };
    let mut recorded = files(&root.join(name));
    let short = |path: &str| format!("{name}/{}", path.rsplit('/').next().unwrap_or(path));
    recorded.iter_mut().for_each(|(path, _)| *path = short(path));
    recorded
}

/// The JSON files of a folder by path; none where there is no such folder.
pub fn files(folder: &Path) -> Vec<(String, Value)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("entry").path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read(&path).expect("readable");
        (path.display().to_string(), serde_json::from_slice(&text).expect("JSON"))
    };
    paths.into_iter().map(read).collect()
}

/// A recording whose answer is text.
pub struct Case {
    pub name: String,
    pub request: Value,
    pub status: u16,
    pub body: String,
    pub usage: Value,
}

/// The recordings of a folder whose answers are text.
pub fn load(folder: impl AsRef<str>) -> Vec<Case> {
    let case = |(name, mut recorded): (String, Value)| Case {
        name,
        request: recorded["request"]["body"].take(),
        status: status(&recorded),
        body: recorded["response"]["body"].as_str().unwrap_or_default().to_owned(),
        usage: recorded["usage"].take(),
    };
    all(folder.as_ref()).into_iter().map(case).collect()
}

/// The status of the answer; 0 when there is none.
pub fn status(recorded: &Value) -> u16 {
    let status = recorded["response"]["status"].as_u64();
    status.and_then(|status| status.try_into().ok()).unwrap_or_default()
}

/// Tells what was translated and what was refused; something must have been, if there are recordings.
pub fn report(what: &str, good: usize, refused: &[(String, BadRequest)]) {
    if root().is_none() {
        return;
    }
    eprintln!("{what}: {good} translated, {} refused", refused.len());
    refused.iter().for_each(|(name, bad)| eprintln!("  {name}: {bad}"));
    assert!(good > 0, "{what}: nothing was translated");
}

/// The data of the events of a stream.
pub fn data(stream: &str) -> impl Iterator<Item = String> + '_ {
    stream.lines().filter_map(|line| line.strip_prefix("data:")).map(|data| data.trim().to_owned())
}

/// The same as JSON; what is none, as `[DONE]`, as a string.
pub fn split(stream: &str) -> Vec<Value> {
    data(stream).map(|data| serde_json::from_str(&data).unwrap_or(Value::from(data))).collect()
}

/// A recorded request in another format; Gemini's have their model in the path.
pub fn request(from: Format, to: Format, body: &str) -> Result<Value, BadRequest> {
    let mut out = Vec::new();
    let path_model = (from == Format::GeminiGenerate).then_some("model-of-the-path");
    let terms = RequestTerms { path_model, ..RequestTerms::default() };
    translate::request(from, to, &mut body.as_bytes().to_vec(), &terms, &mut out)?;
    Ok(serde_json::from_slice(&out).expect("a translation is JSON"))
}

/// The events of a recorded stream in another format, and what it used.
pub fn stream(
    provider: Format,
    client: Format,
    terms: StreamTerms,
    body: &str,
) -> (Vec<Value>, Option<Usage>) {
    let mut stream = StreamTranslator::new(provider, client, terms);
    let mut out = Vec::new();
    for event in data(body) {
        stream.event("", &mut event.into_bytes(), &mut out).expect("a recorded event");
    }
    stream.finish(&mut out);
    (split(std::str::from_utf8(&out).expect("UTF-8")), stream.usage())
}

/// What Anthropic says was used, normalised by hand.
pub fn anthropic_usage(usage: &Value) -> Usage {
    let count = |name: &str| usage[name].as_u64().unwrap_or_default();
    let (read, written) = (count("cache_read_input_tokens"), count("cache_creation_input_tokens"));
    Usage {
        input: count("input_tokens") + read + written,
        cached_input: read,
        cache_write: written,
        output: count("output_tokens"),
        reasoning: usage["output_tokens_details"]["thinking_tokens"].as_u64().unwrap_or_default(),
        ..Usage::default()
    }
}
