use super::family::Family;
use super::fields::{self, Fields};
use super::{inference, tools, write_turns};
use crate::llm::translate::claude::{can_be_closed, closed_text};
use crate::llm::translate::emit::{Emit, compact};
use crate::llm::translate::hub::{Request, Shape, Wish};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadRequest, Lost, RequestTerms};

/// What Converse can say.
const HAS: &[Wish] = &[Wish::TopK, Wish::Notes, Wish::Tier];

/// Bedrock takes at most so many entries of `requestMetadata`, each name and value at most so long in bytes.
const METADATA_MAX: usize = 16;
const METADATA_BYTES_MAX: usize = 256;

/// Writes the body of a Converse or ConverseStream request, which are the same.
pub(crate) fn request(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    request.lose_all_but(HAS, lost);
    let family = Family::of(terms.model.unwrap_or(request.model));
    let mut fields = Fields::given(request, family, lost);
    e.open(b'{');
    fields::write_own(request, terms.guardrail, e);
    inference::write(request, family, terms, &mut fields, lost, e);
    write_shape(&request.shape, family, lost, e);
    write_serving(request, family, lost, e);
    tools::write(request, family, &mut fields, lost, e)?;
    fields.write(e);
    write_turns::write_system(request, family, e)?;
    e.key("messages");
    write_turns::write(request, family, lost, e)?;
    e.close(b'}');
    Ok(())
}

/// Writes a request to count the tokens of one: what is read, and nothing of how it is answered (`ConverseTokensRequest`).
pub(crate) fn count(
    request: &Request<'_, '_>,
    terms: &RequestTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) -> Result<(), BadRequest> {
    let family = Family::of(terms.model.unwrap_or(request.model));
    e.open(b'{');
    e.key("input").open(b'{');
    e.key("converse").open(b'{');
    tools::write(request, family, &mut Fields::none(), lost, e)?;
    write_turns::write_system(request, family, e)?;
    e.key("messages");
    write_turns::write(request, family, lost, e)?;
    for _ in ["converse", "input", "body"] {
        e.close(b'}');
    }
    Ok(())
}

/// The schema is a string that holds its JSON (`JsonSchemaDefinition`).
fn write_shape(shape: &Shape<'_, '_>, family: Family, lost: &mut Lost, e: &mut Emit<'_>) {
    let Shape::Schema { name, description, schema, .. } = *shape else { return };
    let closes = family.is_claude();
    if !family.takes_schemas() || (closes && !can_be_closed(schema)) {
        return lost.add("response_format");
    }
    let schema = if closes { closed_text(schema, lost) } else { compact(schema) };
    e.key("outputConfig").object(|e| {
        e.key("textFormat").object(|e| {
            e.key("type").str("json_schema");
            e.key("structure").object(|e| {
                e.key("jsonSchema").object(|e| {
                    e.key("schema").str(&schema);
                    if !name.is_empty() {
                        e.key("name").str(name);
                    }
                    if let Some(description) = description {
                        e.key("description").str(description);
                    }
                });
            });
        });
    });
}

/// What is not about the answer: the tier, the notes, and which stop sequence shall be told, which Claude alone says.
fn write_serving(request: &Request<'_, '_>, family: Family, lost: &mut Lost, e: &mut Emit<'_>) {
    match request.tier {
        Some(tier @ ("flex" | "priority")) if request.extra("serviceTier").is_none() => {
            e.key("serviceTier").object(|e| e.key("type").str(tier));
        }
        None | Some("auto" | "default" | "flex" | "priority") => {}
        Some(_) => lost.add("service_tier"),
    }
    match request.notes {
        Some(notes) if notes.members().next().is_some() => match request.extra("requestMetadata") {
            None if are_metadata(notes) => e.key("requestMetadata").value(notes),
            _ => lost.add("metadata"),
        },
        _ => {}
    }
    // A stream has no place for it.
    let tells_stop = family.is_claude() && !request.stop.is_empty() && request.stream != Some(true);
    if tells_stop && request.extra("additionalModelResponseFieldPaths").is_none() {
        e.key("additionalModelResponseFieldPaths").raw(r#"["/stop_sequence"]"#);
    }
}

/// Whether Bedrock takes them as `requestMetadata` (API reference, "Converse").
fn are_metadata(notes: Value<'_, '_>) -> bool {
    let fits = |text: &str| {
        let is_taken =
            |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c);
        text.len() <= METADATA_BYTES_MAX && text.chars().all(is_taken)
    };
    notes.members().take(METADATA_MAX + 1).count() <= METADATA_MAX
        && notes
            .members()
            .all(|(name, value)| !name.is_empty() && fits(name) && value.str().is_some_and(fits))
}
