//! Gemini's contents to embed (API reference, "models.embedContent", "models.batchEmbedContents"). Vertex AI has the first
//! of the two ("models.embedContent").

use super::request::{Content, Request, TEXTS_MAX, Task, Text, Truncation};
use super::vectors::{self, Place};
use crate::llm::Format;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadReply, BadRequest, Lost, ReplyTerms};

/// The most contents of one batch, as the API itself says in refusing more.
const BATCH_MAX: usize = 100;

/// What a request of one content holds, or its `embedContentConfig`; the model is read elsewhere.
const MEMBERS: [&str; 10] = [
    "content",
    "model",
    "taskType",
    "task_type",
    "title",
    "outputDimensionality",
    "output_dimensionality",
    "autoTruncate",
    "auto_truncate",
    "embedContentConfig",
];

pub(super) fn read_one<'t, 'b>(body: Value<'t, 'b>) -> Result<Request<'t, 'b>, BadRequest> {
    let one = One::read(body, "")?;
    let One { text, dimensions, truncation, lost } = one;
    Ok(Request { texts: vec![text], param: "content", dimensions, truncation, user: None, lost })
}

pub(super) fn read_batch<'t, 'b>(body: Value<'t, 'b>) -> Result<Request<'t, 'b>, BadRequest> {
    const PARAM: &str = "requests";
    let mut request: Option<Request<'t, 'b>> = None;
    let requests = body.get(PARAM).into_iter().flat_map(Value::elements);
    for (at, one) in requests.enumerate() {
        let path = format!("{PARAM}[{at}].");
        let One { text, dimensions, truncation, lost } = One::read(one, &path)?;
        let Some(request) = &mut request else {
            let texts = vec![text];
            request = Some(Request { texts, param: PARAM, dimensions, truncation, user: None, lost });
            continue;
        };
        if request.texts.len() == TEXTS_MAX {
            return Err(BadRequest::new(PARAM, format!("must hold at most {TEXTS_MAX} requests")));
        }
        if (request.dimensions, request.truncation) != (dimensions, truncation) {
            let message = "must have the outputDimensionality and autoTruncate of the other requests: this provider takes one \
                           for all";
            return Err(BadRequest::new(path.trim_end_matches('.'), message));
        }
        request.texts.push(text);
        lost.names().iter().for_each(|name| request.lost.add(name));
    }
    request.ok_or_else(|| BadRequest::new(PARAM, "must be a list of requests, and not empty"))
}

/// One content and what is wanted of it.
struct One<'t, 'b> {
    text: Text<'t, 'b>,
    dimensions: Option<u64>,
    truncation: Option<Truncation>,
    lost: Lost,
}

impl<'t, 'b> One<'t, 'b> {
    /// `path` is what stands before the names of its members.
    fn read(body: Value<'t, 'b>, path: &str) -> Result<One<'t, 'b>, BadRequest> {
        let config = body.get("embedContentConfig").or_else(|| body.get("embed_content_config"));
        let of = |camel: &str, snake: &str| {
            let either = |holder: Value<'t, 'b>| holder.get(camel).or_else(|| holder.get(snake));
            config.and_then(either).or_else(|| either(body))
        };
        let mut lost = Lost::default();
        let known = |name: &str| MEMBERS.contains(&name) || name == "embed_content_config";
        let members = body.members().chain(config.into_iter().flat_map(Value::members));
        if members.into_iter().any(|(name, value)| !known(name) && !value.is_null()) {
            lost.add("unknown");
        }
        let task = of("taskType", "task_type").and_then(Value::str);
        let truncation = of("autoTruncate", "auto_truncate").and_then(Value::bool);
        let text = Text {
            content: Content::Parts(parts(body, path)?),
            task: task.and_then(Task::of_google),
            title: of("title", "title").and_then(Value::str).unwrap_or_default(),
        };
        Ok(One {
            text,
            dimensions: of("outputDimensionality", "output_dimensionality").and_then(Value::u64),
            truncation: truncation.map(|cuts| if cuts { Truncation::End } else { Truncation::None }),
            lost,
        })
    }
}

/// The parts of a content, which are texts alone.
fn parts<'t, 'b>(body: Value<'t, 'b>, path: &str) -> Result<Value<'t, 'b>, BadRequest> {
    let parts = body.get("content").and_then(|content| content.get("parts"));
    let Some(parts) = parts.filter(|parts| parts.elements().next().is_some()) else {
        return Err(BadRequest::new(format!("{path}content.parts"), "must be a list, and not empty"));
    };
    let is_text = |part: Value<'t, 'b>| part.get("text").is_some_and(|text| text.str().is_some());
    match parts.elements().position(|part| !is_text(part)) {
        Some(at) => {
            let param = format!("{path}content.parts[{at}]");
            Err(BadRequest::new(param, "must be a text: this provider embeds nothing else"))
        }
        None => Ok(parts),
    }
}

pub(super) fn write_one(
    request: &Request<'_, '_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let text = request.only()?;
    request.lose_user(lost);
    e.object(|e| {
        write_content(request, text, e);
        match request.truncation {
            Some(Truncation::Start) => lost.add("truncation"),
            Some(truncation) => e.key("autoTruncate").bool(truncation == Truncation::End),
            None => {}
        }
    });
    Ok(())
}

pub(super) fn write_batch(
    request: &Request<'_, '_>,
    model: &str,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.at_most(BATCH_MAX)?;
    request.lose_user(lost);
    if request.truncation.is_some() {
        lost.add("truncation"); // of Vertex AI alone
    }
    e.object(|e| {
        e.key("requests").array(|e| {
            for text in &request.texts {
                e.object(|e| {
                    e.key("model").text(resource(model));
                    write_content(request, *text, e);
                });
            }
        });
    });
    Ok(())
}

/// The members that both methods have.
fn write_content(request: &Request<'_, '_>, text: Text<'_, '_>, e: &mut Emit<'_>) {
    e.key("content").object(|e| {
        e.key("parts").array(|e| e.object(|e| e.key("text").text(text.pieces())));
    });
    if let Some(task) = text.task {
        e.key("taskType").str(task.google());
    }
    if !text.title.is_empty() {
        e.key("title").str(text.title);
    }
    if let Some(dimensions) = request.dimensions {
        e.key("outputDimensionality").u64(dimensions);
    }
}

/// A model's name as bodies have it.
fn resource(model: &str) -> [&str; 2] {
    ["models/", model.strip_prefix("models/").unwrap_or(model)]
}

/// Writes a request of either method as it is, but for the model: in a batch each request names it, and it must be the one
/// of the path; one content need not.
pub(super) fn rename(body: Value<'_, '_>, format: Format, model: &str, e: &mut Emit<'_>) {
    let but_model = |value: Value<'_, '_>, e: &mut Emit<'_>| {
        for (name, member) in value.members().filter(|(name, _)| *name != "model") {
            e.key(name).value(member);
        }
    };
    e.object(|e| {
        if format != Format::GeminiEmbedBatch {
            return but_model(body, e);
        }
        for (name, member) in body.members() {
            e.key(name);
            if name != "requests" {
                e.value(member);
                continue;
            }
            e.array(|e| {
                for one in member.elements() {
                    e.object(|e| {
                        e.key("model").text(resource(model));
                        but_model(one, e);
                    });
                }
            });
        }
    });
}

/// `embedding.values`.
pub(super) fn place_of_one(parent: Place, key: &[u8]) -> Place {
    match (parent, key) {
        (Place::Top, b"embedding") => Place::Holder,
        (Place::Holder, b"values") => Place::Vector,
        _ => Place::Other,
    }
}

/// `embeddings[].values`.
pub(super) fn place_in_batch(parent: Place, key: &[u8]) -> Place {
    match (parent, key) {
        (Place::Top, b"embeddings") => Place::Entries,
        (Place::Entry, b"values") => Place::Vector,
        _ => Place::Other,
    }
}

pub(super) fn write_one_reply<'v>(
    mut vectors: impl Iterator<Item = &'v [u8]>,
    terms: &ReplyTerms<'_>,
    e: &mut Emit<'_>,
) -> Result<(), BadReply> {
    let (Some(vector), None) = (vectors.next(), vectors.next()) else { return Err(BadReply::NotAnAnswer) };
    e.object(|e| {
        e.key("embedding").object(|e| vectors::write(vector, &mut Vec::new(), e.key("values")));
        write_usage(terms, e);
    });
    Ok(())
}

pub(super) fn write_batch_reply<'v>(
    vectors: impl Iterator<Item = &'v [u8]>,
    terms: &ReplyTerms<'_>,
    e: &mut Emit<'_>,
) {
    let mut scratch = Vec::new();
    e.object(|e| {
        e.key("embeddings").array(|e| {
            for vector in vectors {
                e.object(|e| vectors::write(vector, &mut scratch, e.key("values")));
            }
        });
        write_usage(terms, e);
    });
}

fn write_usage(terms: &ReplyTerms<'_>, e: &mut Emit<'_>) {
    e.key("usageMetadata").object(|e| e.key("promptTokenCount").u64(terms.input_tokens));
}
