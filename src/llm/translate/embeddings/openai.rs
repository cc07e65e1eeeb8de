//! OpenAI's embeddings (API reference, "Create embeddings"), and what hosts that are compatible with it add to requests:
//! `input_type` and `truncate`, in Cohere's words.

use super::request::{Request, TEXTS_MAX, Task, Text, Truncation};
use super::vectors::{self, Place};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::read::{Kind, Value};
use crate::llm::translate::{BadRequest, Lost, ReplyTerms};

const INPUT: &str = "input";

/// What is read here, and what the gateway itself has read.
const MEMBERS: [&str; 7] =
    ["model", INPUT, "dimensions", "encoding_format", "user", "input_type", "truncate"];

pub(super) fn read_request<'t, 'b>(body: Value<'t, 'b>) -> Result<Request<'t, 'b>, BadRequest> {
    let mut lost = Lost::default();
    if body.members().any(|(name, value)| !MEMBERS.contains(&name) && !value.is_null()) {
        lost.add("unknown");
    }
    if let Some(format) = body.get("encoding_format")
        && !matches!(format.str(), Some("float" | "base64"))
    {
        return Err(BadRequest::new("encoding_format", "must be float or base64"));
    }
    let task = word(
        body,
        "input_type",
        Task::of_input_type,
        "search_document or search_query, or one of their like",
    )?;
    let named = |word: &str| Truncation::WORDS.iter().find(|(known, _)| *known == word).map(|(_, one)| *one);
    let truncation = word(body, "truncate", named, "NONE, START or END")?;
    let dimensions = match body.get("dimensions") {
        Some(length) => Some(
            length.u64().ok_or_else(|| BadRequest::new("dimensions", "must be a non-negative integer"))?,
        ),
        None => None,
    };
    let user = body.get("user").and_then(Value::str);
    Ok(Request { texts: texts(body, task)?, param: INPUT, dimensions, truncation, user, lost })
}

/// The meaning of a member that is a word of a list.
fn word<T>(
    body: Value<'_, '_>,
    name: &str,
    meaning: impl Fn(&str) -> Option<T>,
    list: &str,
) -> Result<Option<T>, BadRequest> {
    let Some(value) = body.get(name) else { return Ok(None) };
    let meant = value.str().and_then(meaning);
    meant.map(Some).ok_or_else(|| BadRequest::new(name, format!("must be {list}")))
}

fn texts<'t, 'b>(body: Value<'t, 'b>, task: Option<Task>) -> Result<Vec<Text<'t, 'b>>, BadRequest> {
    let input = body.get(INPUT).ok_or_else(|| BadRequest::new(INPUT, "must be given"))?;
    if let Some(text) = input.str() {
        return Ok(vec![Text::whole(text, task)]);
    }
    let refuse = |why: &str| Err(BadRequest::new(INPUT, why));
    let mut texts = Vec::new();
    for element in input.elements() {
        match element.kind() {
            Kind::String(_) if texts.len() == TEXTS_MAX => {
                return refuse(&format!("must hold at most {TEXTS_MAX} texts"));
            }
            Kind::String(text) => texts.push(Text::whole(text, task)),
            Kind::U64(_) | Kind::Array => {
                return refuse("must be a text or a list of texts: this provider takes no tokens as numbers");
            }
            _ => return refuse("must be a text or a list of texts"),
        }
    }
    match (texts.is_empty(), input.is_array()) {
        (false, _) => Ok(texts),
        (true, true) => refuse("must not be empty"),
        (true, false) => refuse("must be a text or a list of texts"),
    }
}

pub(super) fn write_request(
    request: &Request<'_, '_>,
    model: &str,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.at_most(TEXTS_MAX)?;
    request.lose_tasks(lost);
    request.lose_titles(lost);
    request.lose_truncation(lost);
    e.object(|e| {
        e.key("model").str(model);
        e.key(INPUT).array(|e| request.texts.iter().for_each(|text| e.text(text.pieces())));
        if let Some(dimensions) = request.dimensions {
            e.key("dimensions").u64(dimensions);
        }
    });
    Ok(())
}

/// `data[].embedding`.
pub(super) fn place(parent: Place, key: &[u8]) -> Place {
    match (parent, key) {
        (Place::Top, b"data") => Place::Entries,
        (Place::Entry, b"embedding") => Place::Vector,
        _ => Place::Other,
    }
}

pub(super) fn write_reply<'v>(
    vectors: impl Iterator<Item = &'v [u8]>,
    terms: &ReplyTerms<'_>,
    e: &mut Emit<'_>,
) {
    let mut scratch = Vec::new();
    e.object(|e| {
        e.key("object").str("list");
        e.key("data").array(|e| {
            for (index, vector) in (0..).zip(vectors) {
                e.object(|e| {
                    e.key("object").str("embedding");
                    e.key("index").u64(index);
                    match terms.base64 {
                        true => vectors::write_base64(vector, &mut scratch, e.key("embedding")),
                        false => vectors::write(vector, &mut scratch, e.key("embedding")),
                    }
                });
            }
        });
        e.key("model").str(terms.asked_model.unwrap_or_default());
        e.key("usage").object(|e| {
            e.key("prompt_tokens").u64(terms.input_tokens);
            e.key("total_tokens").u64(terms.input_tokens);
        });
    });
}
