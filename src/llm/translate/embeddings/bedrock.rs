//! Amazon Bedrock's InvokeModel of models that embed texts, whose makers each have a body of their own: Titan ("Amazon Titan
//! Embeddings G1 - Text"), Cohere ("Cohere Embed v3", "Cohere Embed v4") and Nova ("Complete embeddings request and response
//! schema").

use super::request::{Request, Task, Truncation};
use super::vectors::Place;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::{BadRequest, Lost};

/// The most texts that Cohere's models take at once.
const COHERE_TEXTS_MAX: usize = 96;

/// Whose model it is, read off its id, with a region before it or not, or off an ARN that holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Titan1,
    Titan2,
    Cohere3,
    Cohere4,
    Nova,
}

impl Family {
    fn of(model: &str) -> Option<Family> {
        const MARKS: [(&str, Family); 6] = [
            ("amazon.titan-embed-text-v2", Family::Titan2),
            ("amazon.titan-embed-text-v1", Family::Titan1),
            ("amazon.titan-embed-g1-text", Family::Titan1),
            ("cohere.embed-v4", Family::Cohere4),
            ("cohere.embed-", Family::Cohere3),
            ("amazon.nova-2-multimodal-embeddings", Family::Nova),
        ];
        MARKS.iter().find(|(mark, _)| model.contains(mark)).map(|(_, family)| *family)
    }
}

pub(super) fn write_request(
    request: &Request<'_, '_>,
    model: &str,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let Some(family) = Family::of(model) else {
        let message = format!(
            "{model} is no model of Amazon Bedrock's that is known to embed texts: those are amazon.titan-embed-text, cohere.embed \
             and amazon.nova-2-multimodal-embeddings"
        );
        return Err(BadRequest::new("model", message));
    };
    if request.dimensions.is_some() && matches!(family, Family::Titan1 | Family::Cohere3) {
        return Err(BadRequest::new(
            "dimensions",
            format!("{model} has vectors of one length: leave it out"),
        ));
    }
    request.lose_user(lost);
    request.lose_titles(lost);
    match family {
        Family::Titan1 | Family::Titan2 => write_titan(request, lost, e),
        Family::Cohere3 | Family::Cohere4 => write_cohere(request, family, lost, e),
        Family::Nova => write_nova(request, lost, e),
    }
}

fn write_titan(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let text = request.only()?;
    request.lose_tasks(lost);
    request.lose_truncation(lost);
    e.object(|e| {
        e.key("inputText").text(text.pieces());
        if let Some(dimensions) = request.dimensions {
            e.key("dimensions").u64(dimensions);
        }
    });
    Ok(())
}

/// Cohere wants to know what vectors are for; those of documents are what most are for.
fn write_cohere(
    request: &Request<'_, '_>,
    family: Family,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.at_most(COHERE_TEXTS_MAX)?;
    let task = request.task().and_then(Task::cohere);
    if task.is_none() {
        request.lose_tasks(lost);
    }
    e.object(|e| {
        e.key("texts").array(|e| request.texts.iter().for_each(|text| e.text(text.pieces())));
        e.key("input_type").str(task.unwrap_or("search_document"));
        if let Some(truncation) = request.truncation {
            e.key("truncate").str(match (family, truncation) {
                (Family::Cohere4, Truncation::Start) => "LEFT",
                (Family::Cohere4, Truncation::End) => "RIGHT",
                _ => truncation.word(),
            });
        }
        if let Some(dimensions) = request.dimensions {
            e.key("output_dimension").u64(dimensions);
        }
    });
    Ok(())
}

fn write_nova(request: &Request<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) -> Result<(), BadRequest> {
    let text = request.only()?;
    let purpose = match text.task {
        None | Some(Task::Document) => "GENERIC_INDEX",
        Some(Task::Query) => "TEXT_RETRIEVAL",
        Some(Task::Classification) => "CLASSIFICATION",
        Some(Task::Clustering) => "CLUSTERING",
        Some(_) => {
            lost.add("task_type");
            "GENERIC_INDEX"
        }
    };
    e.object(|e| {
        e.key("taskType").str("SINGLE_EMBEDDING");
        e.key("singleEmbeddingParams").object(|e| {
            e.key("embeddingPurpose").str(purpose);
            if let Some(dimensions) = request.dimensions {
                e.key("embeddingDimension").u64(dimensions);
            }
            e.key("text").object(|e| {
                e.key("truncationMode").str(request.truncation.unwrap_or(Truncation::None).word());
                e.key("value").text(text.pieces());
            });
        });
    });
    Ok(())
}

/// Titan's `embedding`; Cohere's `embeddings`, a list of vectors, or such lists by the type of their numbers; Nova's
/// `embeddings[].embedding`.
pub(super) fn place(parent: Place, key: &[u8]) -> Place {
    match (parent, key) {
        (Place::Top, b"embedding") | (Place::Vector, b"embedding") => Place::Vector,
        (Place::Top, b"embeddings") | (Place::Vectors, b"float") => Place::Vectors,
        _ => Place::Other,
    }
}
