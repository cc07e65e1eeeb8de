//! What there is of each target's kind already: the golden cases of the translation and of the configuration, read in place.

use super::targets::pairs;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tollgate::llm::Format;

/// Inputs that are no longer: a mutation of a large one changes little of what it means.
const BYTES_MAX: usize = 3 << 10;

/// Inputs for the target of that name, besides its corpus.
pub(crate) fn of(name: &str) -> Vec<Vec<u8>> {
    let seeds = match name {
        "json" => requests().into_iter().chain(replies()).map(|case| case.body).collect(),
        "inspect" | "policy" => {
            requests().into_iter().flat_map(|case| Some(chosen(inspected(case.from)?, case.body))).collect()
        }
        "tokenizer" => requests()
            .into_iter()
            .map(|case| chosen(u8::from(case.from != Format::OpenAiChat) * 2, case.body))
            .collect(),
        "translate_request" => {
            requests().into_iter().flat_map(|case| of_pair(case.from, case.to, &[0], &case.body)).collect()
        }
        "translate_reply" => {
            replies().into_iter().flat_map(|case| of_pair(case.to, case.from, &[], &case.body)).collect()
        }
        "translate_error" => replies()
            .into_iter()
            .flat_map(|case| of_pair(case.to, case.from, &[1, 244], &case.body))
            .collect(),
        "translate_stream" => streams("events")
            .into_iter()
            .flat_map(|case| of_pair(case.to, case.from, &[1], &case.body))
            .collect(),
        "sse" => streams("out").into_iter().map(|case| chosen(0, case.body)).collect(),
        "strip" => streams("out").into_iter().map(|case| case.body).collect(),
        "meter" => {
            let whole = replies().into_iter().map(|case| (case.from, false, case.body));
            let streamed = streams("events").into_iter().map(|case| (case.from, true, case.body));
            whole
                .chain(streamed)
                .map(|(from, streamed, body)| chosen(metered(from, streamed), body))
                .collect()
        }
        "cut" => streams("out")
            .into_iter()
            .map(|case| [&[client(case.to), 128], &case.body[..]].concat())
            .collect(),
        "guard_stream" => streams("out").into_iter().map(|case| chosen(client(case.to), case.body)).collect(),
        "coding" => streams("out").into_iter().map(|case| chosen(8, case.body)).collect(),
        "config" => manifests().into_iter().map(|text| chosen(0, text)).collect(),
        "prices" => manifests().into_iter().filter(|text| contains(text, b"kind: Prices")).collect(),
        _ => Vec::new(),
    };
    seeds.into_iter().filter(|seed: &Vec<u8>| seed.len() <= BYTES_MAX).collect()
}

fn chosen(choice: u8, body: Vec<u8>) -> Vec<u8> {
    [&[choice], &body[..]].concat()
}

fn of_pair(client: Format, provider: Format, terms: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let place = pairs().iter().position(|pair| *pair == (client, provider))?;
    Some([&[place as u8], terms, body].concat())
}

// The places of formats in the tables of the targets.

fn inspected(format: Format) -> Option<u8> {
    match format {
        Format::OpenAiChat => Some(0),
        Format::OpenAiResponses => Some(1),
        Format::AnthropicMessages => Some(3),
        Format::GeminiGenerate => Some(5),
        _ => None,
    }
}

fn metered(format: Format, streamed: bool) -> u8 {
    let place = match format {
        Format::OpenAiChat => 0,
        Format::OpenAiResponses => 2,
        Format::AnthropicMessages => 4,
        Format::GeminiGenerate => 6,
        _ => 8,
    };
    place + u8::from(!streamed)
}

fn client(format: Format) -> u8 {
    match format {
        Format::AnthropicMessages => 1,
        Format::OpenAiResponses => 2,
        Format::GeminiGenerate => 3,
        _ => 0,
    }
}

/// A golden case of the translation.
struct Case {
    from: Format,
    to: Format,
    body: Vec<u8>,
}

fn requests() -> Vec<Case> {
    cases("request", body)
}

fn replies() -> Vec<Case> {
    cases("reply", body)
}

/// Streams of providers (`events`) or of clients (`out`), as SSE.
fn streams(member: &str) -> Vec<Case> {
    cases("stream", |case| Some(case[member].as_array()?.iter().map(event).collect::<String>().into_bytes()))
}

fn body(case: &Value) -> Option<Vec<u8>> {
    Some(case["in_text"].as_str().map_or_else(|| case["in"].to_string(), str::to_owned).into_bytes())
}

/// An event; of Bedrock's, each of which stands under its name, with that name.
fn event(event: &Value) -> String {
    let named = event.as_object().filter(|one| one.len() == 1).and_then(|one| one.iter().next());
    match (event, named) {
        (Value::String(text), _) => format!("data: {text}\n\n"),
        (_, Some((name, data))) if data.is_object() => format!("event: {name}\ndata: {data}\n\n"),
        _ => format!("data: {event}\n\n"),
    }
}

fn cases(kind: &str, body: impl Fn(&Value) -> Option<Vec<u8>>) -> Vec<Case> {
    let format = |name: &str| match name {
        "anthropic" => Format::AnthropicMessages,
        "responses" => Format::OpenAiResponses,
        "gemini" => Format::GeminiGenerate,
        "converse" => Format::BedrockConverse,
        _ => Format::OpenAiChat,
    };
    let mut cases = Vec::new();
    for folder in files(&golden().join("translate").join(kind)) {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (from, to) = name.split_once("-to-").expect("a pair");
        for file in files(&folder) {
            let case = serde_json::from_slice(&std::fs::read(&file).expect("a case")).expect("JSON");
            cases.extend(body(&case).map(|body| Case { from: format(from), to: format(to), body }));
        }
    }
    assert!(cases.len() > 50, "{} cases of {kind}", cases.len());
    cases
}

/// The manifests that the project brings along, and those that its cases put beside them.
fn manifests() -> Vec<Vec<u8>> {
    let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let own = [files(&config), files(&config.join("walkthrough"))].concat();
    let own = own.iter().filter(|file| file.extension().is_some_and(|end| end == "yaml"));
    let mut texts: Vec<Vec<u8>> = own.map(|file| std::fs::read(file).expect("a manifest")).collect();
    // Of what is long a part, up to a document's end.
    texts.iter_mut().for_each(cut_at_line);
    for file in files(&golden().join("config")) {
        let cases = std::fs::read_to_string(&file).expect("cases");
        for case in cases.split("\n== ") {
            let lines = case.lines().filter_map(|line| line.strip_prefix('|'));
            let text: String = lines.map(|line| format!("{line}\n")).collect();
            texts.extend((!text.is_empty()).then(|| text.into_bytes()));
        }
    }
    texts
}

fn cut_at_line(text: &mut Vec<u8>) {
    text.truncate(BYTES_MAX);
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    text.truncate(end);
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    files
}
