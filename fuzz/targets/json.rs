//! The scan of JSON, and what requests are inspected for.

use super::choice;
use super::cuts::every_way;
use serde_json::Value;
use tollgate::llm::{Ask, BadBody, Edits, Format, Inspector, ModelPlace};
use tollgate::wire::json::{
    Container, Fault, FaultKind, KEY_BYTES_MAX, Scalar, Scanner, Visitor, find, unescape,
};

/// Writes down every event, with neighbouring parts of texts joined.
#[derive(Debug, Default, PartialEq)]
struct Log {
    lines: Vec<String>,
    /// Strings with the place that they stand at.
    strings: Vec<(usize, usize, Vec<u8>)>,
    text: Vec<u8>,
    open: usize,
}

impl Visitor for Log {
    type Place = u8;

    fn member(&mut self, parent: u8, key: &[u8], at: usize) -> u8 {
        assert!(key.len() <= KEY_BYTES_MAX);
        self.lines.push(format!("{parent} key {} at {at}", key.escape_ascii()));
        parent.wrapping_add(1)
    }
    fn element(&mut self, parent: u8) -> u8 {
        parent.wrapping_add(10)
    }
    fn open(&mut self, place: u8, container: Container, at: usize) {
        self.open += 1;
        self.lines.push(format!("{place} open {container:?} at {at}"));
    }
    fn close(&mut self, place: u8, container: Container, end: usize, empty: bool) {
        self.open -= 1;
        self.lines.push(format!("{place} close {container:?} end {end} empty {empty}"));
    }
    fn text(&mut self, _place: u8, part: &[u8]) {
        self.text.extend_from_slice(part);
    }
    fn string(&mut self, _place: u8, start: usize, end: usize) {
        self.strings.push((start, end, std::mem::take(&mut self.text)));
    }
    fn scalar(&mut self, place: u8, scalar: Scalar, start: usize, end: usize) {
        self.lines.push(format!("{place} {scalar:?} {start}..{end}"));
    }
}

/// What is seen of a document, how it ends, and how far it was read.
fn scan(pieces: &[&[u8]]) -> (Log, Result<(), Fault>, usize) {
    let (mut scanner, mut log) = (Scanner::new(), Log::default());
    let fed = pieces.iter().try_for_each(|piece| scanner.feed(piece, &mut log));
    let ended = fed.and_then(|()| scanner.finish(&mut log));
    (log, ended, scanner.offset())
}

pub(super) fn json(data: &[u8]) {
    let (log, ended, _) = every_way(data, scan);
    let is_valid =
        std::str::from_utf8(data).is_ok() && serde_json::from_slice::<serde::de::IgnoredAny>(data).is_ok();
    match ended {
        Err(Fault { kind: FaultKind::TooDeep, .. }) => {}
        _ => assert_eq!(ended.is_ok(), is_valid, "{ended:?} of {}", data.escape_ascii()),
    }
    assert_eq!(find::value(data, &[]).is_some(), ended.is_ok());
    if ended.is_err() {
        return;
    }
    assert_eq!(log.open, 0);
    for (start, end, text) in &log.strings {
        let inside = &data[start + 1..end - 1];
        let decoded = unescape::text(inside).unwrap_or_else(|| panic!("{}", inside.escape_ascii()));
        assert_eq!(decoded.as_bytes(), text);
        if let Ok(theirs) = serde_json::from_slice::<String>(&data[*start..*end]) {
            assert_eq!(theirs.as_bytes(), text);
        }
    }
    if let Ok(Value::Object(members)) = serde_json::from_slice::<Value>(data) {
        for (name, value) in members.iter().filter(|(name, _)| name.len() < KEY_BYTES_MAX) {
            assert_eq!(find::u64(data, &[name]), value.as_u64(), "{name:?}");
            assert_eq!(find::string(data, &[name]).as_deref(), value.as_str(), "{name:?}");
        }
    }
}

/// The formats whose requests have bodies.
pub(super) const INSPECTED: [Format; 7] = [
    Format::OpenAiChat,
    Format::OpenAiResponses,
    Format::OpenAiEmbeddings,
    Format::AnthropicMessages,
    Format::AnthropicCountTokens,
    Format::GeminiGenerate,
    Format::GeminiCountTokens,
];

fn asked(format: Format, pieces: &[&[u8]]) -> Result<Ask, BadBody> {
    let (mut inspector, mut body) = (Inspector::new(format), Vec::new());
    for piece in pieces {
        body.extend_from_slice(piece);
        inspector.feed(&body)?;
    }
    inspector.finish(&body)
}

/// The first byte chooses the format.
pub(super) fn inspect(data: &[u8]) {
    let (chosen, body) = choice(data);
    let format = INSPECTED[chosen % INSPECTED.len()];
    let Ok(ask) = every_way(body, |pieces| asked(format, pieces)) else { return };
    let theirs = serde_json::from_slice::<Value>(body).ok();
    assert!(ask.choices >= 1 && ask.text_bytes + ask.media_bytes <= body.len() as u64);
    let top = ask.top.span.of(body);
    assert!(top.starts_with(b"{") && top.ends_with(b"}"));
    if let (Some(model), Some(theirs)) = (ask.model, &theirs) {
        let named = unescape::text(model.of(body));
        assert_eq!(named.as_deref(), theirs["model"].as_str());
    }
    if format.model_place() != ModelPlace::Body {
        return;
    }
    // Edits, in either order, and the edited body says what was asked for, and all else as before.
    const NAME: &str = "a \"name\"\u{7f}";
    let wants_usage = format == Format::OpenAiChat;
    for model_first in [false, true] {
        let mut edits = Edits::new();
        if model_first {
            edits.set_model(&ask, NAME);
        }
        if wants_usage {
            edits.include_usage(&ask);
        }
        edits.set_model(&ask, NAME);
        let mut edited = Vec::new();
        edits.apply(body, &mut edited);
        assert_eq!(edited.len(), edits.body_len(body.len()));
        let again =
            asked(format, &[&edited]).unwrap_or_else(|bad| panic!("{bad}: {}", edited.escape_ascii()));
        let named = again.model.and_then(|model| unescape::text(model.of(&edited)));
        assert_eq!(named.as_deref(), Some(NAME));
        assert_eq!(unplaced(&again, wants_usage), unplaced(&ask, wants_usage));
        let Some(mut theirs) = theirs.clone() else { continue };
        theirs["model"] = NAME.into();
        if wants_usage {
            assert_eq!(again.include_usage, Some(true));
            if theirs["stream_options"].is_null() {
                theirs["stream_options"] = Value::Object(Default::default());
            }
            theirs["stream_options"]["include_usage"] = true.into();
        }
        assert_eq!(serde_json::from_slice::<Value>(&edited).ok(), Some(theirs));
    }
}

/// What an edit leaves as it is: all but places, and what was edited.
fn unplaced(ask: &Ask, wants_usage: bool) -> Ask {
    Ask {
        model: None,
        model_value: None,
        model_member: None,
        include_usage: ask.include_usage.filter(|_| !wants_usage),
        include_usage_value: None,
        stream_options: None,
        stream_options_null: None,
        top: Default::default(),
        ..*ask
    }
}
