//! What a rule's policies make of a request before it counts, and of its answer before it leaves.

use super::client::{Message, bad_body};
use super::fault::Fault;
use crate::base::Span;
use crate::config::Rule;
use crate::llm::policy::Changed;
use crate::llm::{Ask, Format, Inspector};

/// Step 5, its end: does to the request what the rule says, and inspects again what came of it, so that limits, prices and
/// the provider see the same. The model to ask for, where the path names another one; nothing is allocated on rules
/// without a policy.
///
/// # Errors
/// What a policy made of the body is no request.
pub(super) fn apply(
    rule: &Rule,
    format: Format,
    message: &mut Message,
    ask: &mut Ask,
    path_model: &[u8],
) -> Result<Option<String>, Fault> {
    let Some(policy) = rule.policy.as_deref().filter(|_| !format.is_lookup()) else { return Ok(None) };
    let Changed { body, path_model } = policy.change(format, message.body.of(&message.bytes), path_model);
    if let Some(body) = body {
        replace(format, message, ask, &body)?;
    }
    Ok(path_model)
}

/// Puts another body behind the head.
fn replace(format: Format, message: &mut Message, ask: &mut Ask, body: &[u8]) -> Result<(), Fault> {
    *ask = Inspector::new(format).finish(body).map_err(bad_body)?;
    let head = message.body.start as usize;
    message.bytes.truncate(head);
    message.bytes.extend_from_slice(body);
    message.body = Span::new(head, message.bytes.len());
    Ok(())
}
