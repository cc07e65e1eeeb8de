//! Guards: bodies, and the machine that holds streams back.

use super::choice;
use super::cuts::{Dice, every_way};
use super::streams::events;
use super::wellformed::{object, text as lossy};
use serde_json::{Value, json};
use std::sync::{Arc, LazyLock};
use tollgate::llm::Format;
use tollgate::llm::guard::{Action, Builtin, By, Guard, Masker, Pattern, Phase, Rejection, WINDOW_BYTES};
use tollgate::wire::sse;

const CLIENTS: [Format; 4] =
    [Format::OpenAiChat, Format::AnthropicMessages, Format::OpenAiResponses, Format::GeminiGenerate];

fn custom(pattern: &str) -> Pattern {
    Pattern::custom(pattern, "X").unwrap_or_else(|error| panic!("{pattern}: {error}"))
}

fn builtin(kind: Builtin) -> Pattern {
    kind.pattern().unwrap_or_else(|error| panic!("{kind:?}: {error}"))
}

static MASKS: LazyLock<Arc<Guard>> = LazyLock::new(|| {
    let kinds = [Builtin::Email, Builtin::CreditCard, Builtin::Ssn, Builtin::PhoneNumber, Builtin::CaSin];
    let ours = ["sk-[a-z]+", "a+b", "-a+c?", "é.b", r"\bkey\b", "(?s)<.{3}>"].map(custom);
    Arc::new(Guard::new([(kinds.map(builtin).into_iter().chain(ours).collect(), Action::Mask)]))
});

static REJECTS: LazyLock<Arc<Guard>> = LazyLock::new(|| {
    let rejection = Arc::new(Rejection {
        by: By { phase: Phase::Response, number: 0, kind: "regex" },
        status: 403,
        message: "no".to_owned(),
    });
    let masks = vec![custom("my secret")];
    Arc::new(Guard::new([(masks, Action::Mask), (vec![custom("secret")], Action::Reject(rejection))]))
});

fn chosen_guard(chosen: usize) -> &'static Arc<Guard> {
    if chosen & 4 == 0 { &MASKS } else { &REJECTS }
}

/// What becomes of a stream, and whether it was rejected.
fn guarded(format: Format, guard: &Arc<Guard>, pieces: &[&[u8]]) -> (Vec<u8>, bool) {
    let (mut masker, mut out) = (Masker::new(format, guard.clone()), Vec::new());
    for piece in pieces {
        assert!(masker.feed(piece, &mut out).is_ok(), "no event is too long here");
    }
    masker.finish(&mut out);
    let whole = out.len();
    masker.finish(&mut out);
    assert_eq!(out.len(), whole, "something follows the end");
    (out, masker.rejected().is_some())
}

/// The first byte chooses format and guard. Any bytes may be the stream, and the body.
pub(super) fn stream(data: &[u8]) {
    let (chosen, data) = choice(data);
    let (format, guard) = (CLIENTS[chosen & 3], chosen_guard(chosen));
    let (out, rejected) = every_way(data, |pieces| guarded(format, guard, pieces));
    let (Ok((before, _)), Ok((after, rest))) = (events(&[data], 1 << 20), events(&[&out], 1 << 20)) else {
        panic!("an event grew beyond all bounds: {}", lossy(&out))
    };
    assert_eq!(rest, None, "it ends within an event");
    assert!(rejected || after.len() >= before.len(), "an event is gone: {}", lossy(&out));
    for ((_, before), (_, after)) in before.iter().zip(&after) {
        let is_json = |data: &[u8]| serde_json::from_slice::<Value>(data).is_ok();
        assert!(!is_json(before) || is_json(after), "{} became {}", lossy(before), lossy(after));
    }
    // A body: what is masked is masked, and it is JSON still.
    for guarded in [guard.request(format, data), guard.answer(format, data).or(Ok(None))] {
        if let Ok(Some(body)) = guarded
            && serde_json::from_slice::<Value>(data).is_ok()
        {
            object_or_list(&body);
            let again = guard.request(format, &body);
            assert!(
                again.is_err()
                    || again.is_ok_and(|again| again.is_none_or(|again| again.len() < 8 * body.len()))
            );
        }
    }
}

fn object_or_list(json: &[u8]) {
    match json.trim_ascii().first() {
        Some(b'{') => drop(object(json, false)),
        _ => assert!(serde_json::from_slice::<Value>(json).is_ok(), "{}", lossy(json)),
    }
}

/// The first byte chooses the format. A text comes in events that are cut anywhere; what comes out is what the text becomes whole.
pub(super) fn text(data: &[u8]) {
    let (chosen, data) = choice(data);
    let (format, guard) = (CLIENTS[chosen & 3], &*MASKS);
    let mut text = lossy(data);
    // Of a match that is longer than the window a part passes in a stream.
    text.truncate(text.floor_char_boundary(WINDOW_BYTES / 2));
    let mut dice = Dice::of(data);
    let (mut pieces, mut rest) = (Vec::new(), text.as_str());
    while !rest.is_empty() {
        let at = rest.ceil_char_boundary(1 + dice.below(9));
        let (piece, after) = rest.split_at(at);
        pieces.push(piece);
        rest = after;
    }
    let stream = stream_of(format, &pieces);
    let size = dice.below(200) + 1;
    let (out, rejected) = guarded(format, guard, &stream.chunks(size).collect::<Vec<_>>());
    assert!(!rejected);
    let whole = json!({"choices": [{"index": 0, "message": {"content": text}}]}).to_string();
    let masked = match guard.answer(Format::OpenAiChat, whole.as_bytes()) {
        Ok(masked) => masked.unwrap_or(whole.into_bytes()),
        Err(unfit) => panic!("{unfit:?}"),
    };
    let masked = object(&masked, true)["choices"][0]["message"]["content"].clone();
    assert_eq!(Value::from(said(format, &out)), masked, "in pieces of a stream, and whole");
}

/// A stream whose text comes in these pieces.
fn stream_of(format: Format, pieces: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut put = |name: &str, data: Value| sse::write(&mut out, name, data.to_string().as_bytes());
    if format == Format::AnthropicMessages {
        let block = json!({"type": "text", "text": ""});
        put(
            "content_block_start",
            json!({"type": "content_block_start", "index": 0, "content_block": block}),
        );
    }
    for piece in pieces {
        match format {
            Format::OpenAiChat => put("", json!({"choices": [{"index": 0, "delta": {"content": piece}}]})),
            Format::AnthropicMessages => {
                let delta = json!({"type": "text_delta", "text": piece});
                put(
                    "content_block_delta",
                    json!({"type": "content_block_delta", "index": 0, "delta": delta}),
                );
            }
            Format::OpenAiResponses => {
                let kind = "response.output_text.delta";
                put(kind, json!({"type": kind, "output_index": 0, "content_index": 0, "delta": piece}));
            }
            _ => put("", json!({"candidates": [{"content": {"parts": [{"text": piece}]}, "index": 0}]})),
        }
    }
    out
}

/// The running text of a stream.
fn said(format: Format, stream: &[u8]) -> String {
    let pointer = match format {
        Format::OpenAiChat => "/choices/0/delta/content",
        Format::AnthropicMessages => "/delta/text",
        Format::OpenAiResponses => "/delta",
        _ => "/candidates/0/content/parts/0/text",
    };
    let (events, _) = events(&[stream], 1 << 20).unwrap_or_default();
    let parsed = events.iter().map(|(_, data)| object(data, true));
    parsed.filter_map(|event| Some(event.pointer(pointer)?.as_str()?.to_owned())).collect()
}
