//! What a rule's policies make of a request before it counts, and of its answer before it leaves.

use super::call::Call;
use super::client::{Message, bad_body};
use super::entry::Entry;
use super::fault::Fault;
use crate::base::Span;
use crate::config::Rule;
use crate::llm::guard::{Guard, Guards, Phase, Unfit};
use crate::llm::policy::Changed;
use crate::llm::{Ask, Format, Inspector, Work};
use crate::telemetry::lists::Check;
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
    entry: &Entry,
) -> Result<Option<String>, Fault> {
    let Some(policy) = rule.policy.as_deref().filter(|_| !format.is_lookup()) else { return Ok(None) };
    let Changed { body, path_model } = policy.change(format, message.body.of(&message.bytes), path_model);
    if let Some(body) = body {
        replace(format, message, ask, &body)?;
    }
    let guard = &policy.guards.request;
    if guard.is_empty() {
        return Ok(path_model);
    }
    let guarded = guard.request(format, message.body.of(&message.bytes));
    note(entry, Phase::Request, checked(guarded.as_ref().map(Option::is_some)));
    if let Some(body) = guarded.map_err(Fault::Rejected)? {
        replace(format, message, ask, &body)?;
    }
    Ok(path_model)
}

/// What guards the answer to a call; `None` when it passes unguarded. Errors are no answers of a model.
pub(super) fn guards_of<'a>(call: &Call<'a>, status: u16, streamed: bool) -> Option<&'a Arc<Guards>> {
    let guards = &call.rule.policy.as_ref()?.guards;
    let guarded = (200..300).contains(&status)
        && call.client.work() == Work::Generates
        && !(streamed && guards.streams_pass);
    Some(guards).filter(|guards| guarded && guards.guard_answers())
}

/// A whole answer in the client's format, with what is masked; `None` when it stays as it is.
///
/// # Errors
/// It is rejected, or cannot be looked at.
pub(super) fn guarded(
    guard: &Guard,
    client: Format,
    answer: &[u8],
    entry: &Entry,
) -> Result<Option<Vec<u8>>, Fault> {
    if guard.is_empty() {
        return Ok(None);
    }
    let guarded = guard.answer(client, answer);
    note(entry, Phase::Response, checked(guarded.as_ref().map(Option::is_some)));
    guarded.map_err(|unfit| match unfit {
        Unfit::Rejected(rejection) => Fault::Rejected(rejection),
        Unfit::NotJson => UNREADABLE,
    })
}

/// What is no JSON says nobody knows what.
pub(super) const UNREADABLE: Fault = Fault::ProviderMalformed("it is no JSON, and a guard has to read it");

fn checked<E>(masked: Result<bool, E>) -> Check {
    match masked {
        Ok(false) => Check::Pass,
        Ok(true) => Check::Mask,
        Err(_) => Check::Reject,
    }
}

/// Counts a look for patterns.
pub(super) fn note(entry: &Entry, phase: Phase, check: Check) {
    entry.worker.desk.counters.guard_checks.count("regex", phase.name(), check);
}

/// Puts another body behind the head.
pub(super) fn replace(
    format: Format,
    message: &mut Message,
    ask: &mut Ask,
    body: &[u8],
) -> Result<(), Fault> {
    *ask = Inspector::new(format).finish(body).map_err(bad_body)?;
    let head = message.body.start as usize;
    message.bytes.truncate(head);
    message.bytes.extend_from_slice(body);
    message.body = Span::new(head, message.bytes.len());
    Ok(())
}
