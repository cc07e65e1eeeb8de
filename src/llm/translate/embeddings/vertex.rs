//! Vertex AI's models of texts, by `:predict` ("Text embeddings API").

use super::request::{Request, Truncation};
use super::vectors::Place;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::{BadRequest, Lost};

/// The most texts of one request ("Get text embeddings", API limits).
const INSTANCES_MAX: usize = 250;

pub(super) fn write_request(
    request: &Request<'_, '_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.at_most(INSTANCES_MAX)?;
    request.lose_user(lost);
    let truncation = match request.truncation {
        Some(Truncation::Start) => {
            lost.add("truncation");
            None
        }
        truncation => truncation,
    };
    e.object(|e| {
        e.key("instances").array(|e| {
            for text in &request.texts {
                e.object(|e| {
                    e.key("content").text(text.pieces());
                    if let Some(task) = text.task {
                        e.key("task_type").str(task.google());
                    }
                    if !text.title.is_empty() {
                        e.key("title").str(text.title);
                    }
                });
            }
        });
        if request.dimensions.is_none() && truncation.is_none() {
            return;
        }
        e.key("parameters").object(|e| {
            if let Some(dimensions) = request.dimensions {
                e.key("outputDimensionality").u64(dimensions);
            }
            if let Some(truncation) = truncation {
                e.key("autoTruncate").bool(truncation == Truncation::End);
            }
        });
    });
    Ok(())
}

/// `predictions[].embeddings.values`.
pub(super) fn place(parent: Place, key: &[u8]) -> Place {
    match (parent, key) {
        (Place::Top, b"predictions") => Place::Entries,
        (Place::Entry, b"embeddings") => Place::Holder,
        (Place::Holder, b"values") => Place::Vector,
        _ => Place::Other,
    }
}
