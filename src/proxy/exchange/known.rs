//! Who asks, as far as it is known by then: what a refusal is worded by, accounts are told apart by, and records say.

use super::asked::format_of;
use crate::access::{self, Digest, Identity, Models, Refusal};
use crate::config::Rule;
use crate::limit::KeyText;
use crate::llm::Format;
use crate::proxy::caller::{self, Asking};
use crate::proxy::client::Client;
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::serving::Serving;
use crate::proxy::{admission, passwords};
use crate::route::filters::Filters;
use crate::telemetry::Record;
use crate::telemetry::record::bounded;
use crate::wire::http1::RequestHead;
use arrayvec::ArrayString;
use std::sync::Arc;

/// What is known of the request when something goes wrong, so that it can be answered in the right words.
#[derive(Default)]
pub(super) struct Known<'a> {
    pub(super) format: Option<Format>,
    /// The digest of the client's credential.
    pub(super) api_key: Option<Digest>,
    /// Who asks, as far as that was validated.
    pub(super) identity: Identity<'a>,
}

impl Known<'_> {
    /// Whether it may ask for what it asks for.
    pub(super) fn may_ask(
        &self,
        rule: &Rule,
        client: &Client,
        request: (&RequestHead, &[u8]),
        models: Models<'_>,
        entry: &Entry,
    ) -> Result<(), Fault> {
        admission::admit_model(rule, client, request, &self.identity, models, entry)
    }
}

/// Step 4: who asks, if the rule demands to know it. How it is told that it may not is `known` then too.
pub(super) async fn admit<'s>(
    serving: &Serving,
    (rule, share): (&'s Rule, &Filters),
    client: &Client,
    head: &RequestHead,
    bytes: &[u8],
    entry: &mut Entry,
    known: &mut Known<'s>,
) -> Result<(), Fault> {
    let mut admitted = admission::admit(rule, client, head, bytes, known.api_key, entry);
    if let Err(Fault::Denied(Refusal::Unjudged)) = admitted {
        let judged = Box::pin(passwords::judged(rule, client, head, bytes, entry)).await;
        admitted = judged.and_then(|given_up| match given_up {
            None => admission::admit(rule, client, head, bytes, known.api_key, entry),
            Some(why) => admission::admit_unjudged(rule, client, (head, bytes), known.api_key, why, entry),
        });
    }
    known.identity =
        admitted.inspect_err(|_| known.format = format_of(serving, (rule, share), head, bytes))?;
    if known.identity.judges_keys {
        known.api_key = known.identity.key_digest().copied();
        entry.record.key = caller::key_id(known.api_key.as_ref());
    } else if let Some(user) = known.identity.user_digest() {
        known.api_key = Some(user);
    }
    match rule.filters.answer() || share.answer() {
        true => known.may_ask(rule, client, (head, bytes), Models::default(), entry),
        false => Ok(()),
    }
}

/// The values by which the accounts of a request are found.
pub(super) fn asking<'a>(
    known: &'a Known<'a>,
    client: &'a Client,
    serving: &Serving,
    head: &'a RequestHead,
    bytes: &'a [u8],
    model: &'a ArrayString<64>,
    rule: &'a Rule,
) -> Asking<'a> {
    let Client { memo, peer, .. } = client;
    let identity = &known.identity;
    memo.borrow_mut().look_at(serving.in_force.generation, identity, model, &rule.route);
    let api_key = known.api_key.as_ref().map(KeyText::of_sha256);
    Asking { head, bytes, peer: *peer, api_key, identity, model, route: &rule.route, memo }
}

/// Writes down what its head says; `named` are the headers that records are to have.
pub(super) fn note_request(
    record: &mut Record,
    head: &RequestHead,
    bytes: &[u8],
    api_key: Option<&Digest>,
    named: &[Arc<str>],
) {
    record.method = bounded(head.method_text.of(bytes));
    record.set_path(head.path_of(bytes));
    record.bytes_in = head.len as u64;
    // Of a password even the beginning of a hash would help to guess it.
    let is_password = || access::usual(head, bytes).is_some_and(|(_, value)| access::is_basic(value));
    record.key = caller::key_id(api_key.filter(|_| !is_password()));
    for name in named {
        // Configuration holds them to what has room.
        record.headers.note(name, head.headers.get(bytes, name.as_bytes()).map(|span| span.of(bytes)));
    }
}
