//! The second half of step 5, and 6: what a request may cost, and the limits that it takes that from.

use super::known::{Known, asking};
use crate::config::{Backend, Rule};
use crate::limit::LIMITS_MAX;
use crate::llm::{Ask, Format, Work};
use crate::proxy::client::{Client, Message};
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::serving::Serving;
use crate::telemetry::record::bounded;
use crate::wire::http1::RequestHead;
use arrayvec::ArrayVec;

/// A request as far as it decides what it may cost.
pub(super) struct Wanted<'a> {
    pub(super) rule: &'a Rule,
    pub(super) backend: &'a Backend,
    pub(super) head: &'a RequestHead,
    pub(super) message: &'a Message,
    pub(super) format: Format,
    pub(super) ask: &'a Ask,
    /// The model that the client names; empty when it names none.
    pub(super) named: &'a str,
}

/// The second half of step 5, and 6: prices and estimates the request and reserves that. The model that a limit falls
/// back to, if one would have refused: then that limit does not apply, and all others are asked again.
pub(super) async fn reserve<'a>(
    entry: &mut Entry,
    serving: &'a Serving,
    client: &Client,
    known: &Known<'_>,
    wanted: &Wanted<'_>,
    mut limits: ArrayVec<u32, LIMITS_MAX>,
) -> Result<Option<&'a str>, Fault> {
    let Wanted { rule, backend, head, message, format, ask, named } = *wanted;
    let ai = backend.ai().ok_or(Fault::NoBackend)?;
    let body = message.body.of(&message.bytes);
    let mut fallback: Option<&'a str> = None;
    loop {
        let own = ai.model.as_deref().filter(|_| !format.is_lookup());
        let model = fallback.or(own).unwrap_or(named).as_bytes();
        if format.work() != Work::Free {
            entry.find_price(backend.vendor, model)?;
        }
        let spend = entry.estimate(rule, format, ask, body, bounded(model));
        let key = fallback.map_or(entry.record.model_asked, |model| bounded(model.as_bytes()));
        let asking = asking(known, client, serving, head, &message.bytes, &key, rule);
        let reserved = entry.reserve(&limits, &asking, spend).await;
        #[cfg(test)]
        crate::proxy::planted::strike("reserved", entry);
        let refused = match reserved {
            Err(Fault::Refused(refused)) => refused,
            other => return other.map(|()| fallback),
        };
        let limit = serving.in_force.snapshot.limits.get(refused.rule as usize);
        // What the caller's key is not for is nothing to fall back to.
        let may_be = |model: &&str| format.work() == Work::Generates && known.identity.is_for(model);
        let next = limit.and_then(|limit| limit.fallback.as_deref()).filter(may_be);
        if next.is_none() {
            return Err(Fault::Refused(refused));
        }
        fallback = next;
        limits.retain(|limit| *limit != refused.rule);
    }
}
