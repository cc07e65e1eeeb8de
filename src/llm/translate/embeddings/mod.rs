//! Texts to vectors. There is no conversation in it, so it does not go through the hub: a room of its own, with one
//! request ([`request::Request`]) and answers whose vectors are copied as they stand ([`vectors`]).
//!
//! | format | room | of clients | of providers |
//! |---|---|---|---|
//! | `openai.embeddings` | [`openai`] | yes | yes |
//! | `gemini.embed`, `gemini.embed_batch` | [`gemini`] | yes | yes |
//! | `gemini.predict` | [`vertex`] | | Vertex AI, models that have no `:embedContent` |
//! | `bedrock.invoke` | [`bedrock`] | | Amazon Bedrock: Titan, Cohere, Nova |

mod bedrock;
mod gemini;
mod openai;
mod request;
#[cfg(test)]
mod tests;
mod vectors;
mod vertex;

use super::emit::Emit;
use super::read::Value;
use super::{BadReply, BadRequest, Lost, ReplyTerms, RequestTerms, unpaired};
use crate::llm::Format;

/// Whether a request of the format may name its model where a path does too, so that one for another model is written
/// anew although nothing else about it changes.
pub(super) fn names_model_twice(format: Format) -> bool {
    matches!(format, Format::GeminiEmbed | Format::GeminiEmbedBatch)
}

/// Appends the request in format `to` that means what `body` in format `from` means; between equal formats only the model
/// is another one.
pub(super) fn request(
    from: Format,
    to: Format,
    body: Value<'_, '_>,
    terms: &RequestTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadRequest> {
    let model = terms.model.or(terms.path_model).unwrap_or_else(|| body.text("model"));
    if model.is_empty() {
        return Err(BadRequest::new("model", "you must provide a model"));
    }
    let e = &mut Emit::new(out);
    if from == to {
        gemini::rename(body, from, model, e);
        return Ok(Lost::default());
    }
    let request = match from {
        Format::OpenAiEmbeddings => openai::read_request(body),
        Format::GeminiEmbed => gemini::read_one(body),
        Format::GeminiEmbedBatch => gemini::read_batch(body),
        _ => Err(unpaired()),
    }?;
    let mut lost = request.lost.clone();
    match to {
        Format::OpenAiEmbeddings => openai::write_request(&request, model, &mut lost, e),
        Format::GeminiEmbed => gemini::write_one(&request, &mut lost, e),
        Format::GeminiEmbedBatch => gemini::write_batch(&request, model, &mut lost, e),
        Format::GeminiPredict => vertex::write_request(&request, &mut lost, e),
        Format::BedrockInvoke => bedrock::write_request(&request, model, &mut lost, e),
        _ => Err(unpaired()),
    }?;
    Ok(lost)
}

/// Appends the whole answer in the client's format that means what `body` from the provider means.
pub(super) fn reply(
    provider: Format,
    client: Format,
    body: &[u8],
    terms: &ReplyTerms<'_>,
    out: &mut Vec<u8>,
) -> Result<Lost, BadReply> {
    let place = match provider {
        Format::OpenAiEmbeddings => openai::place,
        Format::GeminiEmbed => gemini::place_of_one,
        Format::GeminiEmbedBatch => gemini::place_in_batch,
        Format::GeminiPredict => vertex::place,
        Format::BedrockInvoke => bedrock::place,
        _ => return Err(BadReply::NotAnAnswer),
    };
    let vectors = vectors::read(body, place)?;
    let vectors = vectors.iter().map(|span| span.of(body));
    let e = &mut Emit::new(out);
    match client {
        Format::OpenAiEmbeddings => openai::write_reply(vectors, terms, e),
        Format::GeminiEmbed => gemini::write_one_reply(vectors, terms, e)?,
        Format::GeminiEmbedBatch => gemini::write_batch_reply(vectors, terms, e),
        _ => return Err(BadReply::NotAnAnswer),
    }
    Ok(Lost::default())
}
