//! What every stream and every body that is written for a client must be.

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use tollgate::llm::Format;

/// JSON in which no object names a member twice.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Unique, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Unique, A::Error> {
        while list.next_element::<Unique>()?.is_some() {}
        Ok(Unique)
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Unique, A::Error> {
        let mut names = HashSet::new();
        while let Some((name, _)) = members.next_entry::<String, Unique>()? {
            if names.contains(&name) {
                return Err(A::Error::custom(format!("{name:?} stands twice")));
            }
            names.insert(name);
        }
        Ok(Unique)
    }
}

/// Whether `json` is JSON in which no object names a member twice.
pub(super) fn is_unique(json: &[u8]) -> bool {
    serde_json::from_slice::<Unique>(json).is_ok()
}

/// The object that `json` is. No member stands twice in it, if none did in what it was made of.
pub(super) fn object(json: &[u8], made_of_unique: bool) -> Value {
    let value: Value = serde_json::from_slice(json).unwrap_or_else(|e| panic!("{e}: {}", text(json)));
    assert!(value.is_object(), "no object: {}", text(json));
    if made_of_unique && let Err(error) = serde_json::from_slice::<Unique>(json) {
        panic!("{error}: {}", text(json));
    }
    value
}

/// The data of events as they are written here: an `event` field or none, one line of data, a blank line. A name is the type
/// that the data gives.
pub(super) fn events(client: Format, out: &[u8]) -> Vec<Value> {
    let written = std::str::from_utf8(out).unwrap_or_else(|e| panic!("{e}: {}", text(out)));
    let written = written.strip_prefix('\n').unwrap_or(written);
    assert!(written.is_empty() || written.ends_with("\n\n"), "ends within an event: {}", text(out));
    let event = |event: &str| {
        let (name, data) = match event.strip_prefix("event: ").and_then(|rest| rest.split_once("\ndata: ")) {
            Some((name, data)) => (Some(name), data),
            None => (None, event.strip_prefix("data: ").unwrap_or_else(|| panic!("no event: {event:?}"))),
        };
        assert!(!data.contains(['\n', '\r']), "data of several lines: {data:?}");
        if data == "[DONE]" {
            assert_eq!(client, Format::OpenAiChat);
            return Value::from(data);
        }
        let data = object(data.as_bytes(), true);
        assert!(name.is_none_or(|name| data["type"] == name), "{name:?} is not the type of {data}");
        data
    };
    written.split_terminator("\n\n").map(event).collect()
}

/// Whether an event says that the stream failed.
fn is_error(event: &Value) -> bool {
    event["error"].is_object() || event["type"] == "error" || event["type"] == "response.failed"
}

/// A whole stream for a client: begun, gone on and ended as its format has it, or ended with an error.
pub(super) fn stream(client: Format, out: &[u8]) {
    let events = events(client, out);
    let shown = text(out);
    let errors = events.iter().filter(|event| is_error(event)).count();
    assert!(errors <= 1, "two errors: {shown}");
    let Some(last) = events.last() else { panic!("nothing was said") };
    if errors == 1 {
        let follows = usize::from(client == Format::OpenAiChat && last == "[DONE]");
        assert!(is_error(&events[events.len() - 1 - follows]), "it goes on behind an error: {shown}");
    }
    match client {
        Format::AnthropicMessages => message(&events, errors == 1, &shown),
        Format::OpenAiResponses => response(&events, &shown),
        Format::OpenAiChat => chat(&events, errors == 1, &shown),
        _ => {}
    }
}

/// Blocks are opened and closed in turn, and the message once.
fn message(events: &[Value], failed: bool, shown: &str) {
    let (mut next, mut open, mut ended) = (0, None, false);
    for (at, event) in events.iter().enumerate() {
        let index = event["index"].as_u64();
        assert!(!ended, "behind the end: {shown}");
        match event["type"].as_str().unwrap_or_default() {
            "message_start" => assert_eq!(at, 0, "{shown}"),
            "content_block_start" => {
                assert_eq!((index, open), (Some(next), None), "{shown}");
                (open, next) = (index, next + 1);
            }
            // A provider may mix its calls: a piece of one whose block is closed goes to its index all the same.
            "content_block_delta" if event["delta"]["type"] == "input_json_delta" => {
                assert!(index.is_some_and(|index| index < next), "{shown}");
            }
            "content_block_delta" => assert!(index.is_some() && index == open, "{shown}"),
            "content_block_stop" => {
                assert!(index.is_some() && index == open, "{shown}");
                open = None;
            }
            "message_delta" => assert_eq!(open, None, "{shown}"),
            "message_stop" => ended = true,
            "ping" => {}
            "error" => ended = true,
            other => panic!("{other:?}: {shown}"),
        }
    }
    assert!(ended && (failed || open.is_none()), "no end: {shown}");
    assert!(failed || events[0]["type"] == "message_start", "{shown}");
}

/// The numbers go up by one, items are added before they are done, and one event ends the response.
fn response(events: &[Value], shown: &str) {
    let mut open = HashSet::new();
    for (at, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"].as_u64(), Some(at as u64), "{shown}");
        let index = event["output_index"].as_u64();
        match event["type"].as_str().unwrap_or_default() {
            "response.output_item.added" => assert!(open.insert(index), "added twice: {shown}"),
            "response.output_item.done" => assert!(open.contains(&index), "done and never added: {shown}"),
            _ => assert!(index.is_none() || open.contains(&index), "of no item: {shown}"),
        }
    }
    let last = events.last().and_then(|event| event["type"].as_str()).unwrap_or_default();
    let ends = ["response.completed", "response.incomplete", "response.failed", "error"];
    assert!(ends.contains(&last), "no end: {shown}");
}

/// Chunks agree in what they are, and unless it failed one says why it ends and `[DONE]` comes last, once.
fn chat(events: &[Value], failed: bool, shown: &str) {
    let chunks = || events.iter().filter(|event| event.is_object() && !is_error(event));
    let reasons = chunks().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
    for chunk in chunks() {
        assert!(
            chunk["choices"].is_array() && chunk["id"].is_string() && chunk["model"].is_string(),
            "{shown}"
        );
    }
    assert!(reasons <= 1 && (failed || reasons == 1), "{reasons} ends: {shown}");
    let dones = events.iter().filter(|event| *event == "[DONE]").count();
    assert!(dones <= 1 && (dones == 0 || events.last().is_some_and(|last| last == "[DONE]")), "{shown}");
    assert!(failed || dones == 1, "no [DONE]: {shown}");
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
