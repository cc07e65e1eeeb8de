//! What a rule's policies make of a request before it counts, and of its answer before it leaves.

use super::call::Call;
use super::client::{Message, bad_body};
use super::fault::Fault;
use crate::base::Span;
use crate::config::Rule;
use crate::llm::guard::{Guard, Unfit};
use crate::llm::policy::Changed;
use crate::llm::{Ask, Format, Inspector, Work};
use std::sync::Arc;

/// Step 5, its end: does to the request what the rule says, and inspects again what came of it, so that limits, prices and
/// the provider see the same. The model to ask for, where the path names another one; nothing is allocated on rules
/// without a policy.
///
/// # Errors
/// A guard rejects it; what a policy made of the body is no request.
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
    let guarded = policy.guards.request.request(format, message.body.of(&message.bytes));
    if let Some(body) = guarded.map_err(Fault::Rejected)? {
        replace(format, message, ask, &body)?;
    }
    Ok(path_model)
}

/// What guards the answer to a call; `None` when it passes unguarded. Errors are no answers of a model.
pub(super) fn guard_of<'a>(call: &Call<'a>, status: u16, streamed: bool) -> Option<&'a Arc<Guard>> {
    let guards = &call.rule.policy.as_ref()?.guards;
    let guarded = (200..300).contains(&status)
        && call.client.work() == Work::Generates
        && !(streamed && guards.streams_pass);
    Some(&guards.response).filter(|guard| guarded && !guard.is_empty())
}

/// A whole answer in the client's format, with what is masked; `None` when it stays as it is.
///
/// # Errors
/// It is rejected, or cannot be looked at.
pub(super) fn guarded(guard: &Guard, client: Format, answer: &[u8]) -> Result<Option<Vec<u8>>, Fault> {
    guard.answer(client, answer).map_err(|unfit| match unfit {
        Unfit::Rejected(rejection) => Fault::Rejected(rejection),
        Unfit::NotJson => Fault::ProviderMalformed("it is no JSON, and a guard has to read it"),
    })
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
