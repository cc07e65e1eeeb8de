//! What a request asks for: of its path, its body, and the two together.

use super::known::Known;
use super::routing::backend_at;
use crate::access::Models;
use crate::config::{BackendChoice, Rule, Settings};
use crate::llm::endpoint::{self, Endpoint};
use crate::llm::{Api, Ask, Format, Inspector};
use crate::proxy::client::{Client, Message};
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::plain;
use crate::proxy::serving::Serving;
use crate::route::filters::Filters;
use crate::telemetry::Record;
use crate::wire::coding::{Codings, Decoder};
use crate::wire::http1::{self, RequestHead};
use crate::wire::json::unescape;
use crate::wire::url;
use std::borrow::Cow;

/// The endpoint that a request is for; how it is to be told what is wrong is `known` then too.
pub(super) fn endpoint_of(
    rule: &Rule,
    head: &RequestHead,
    target: &[u8],
    known: &mut Known<'_>,
    record: &mut Record,
) -> Result<Endpoint, Fault> {
    let headers = match &head.headers {
        headers if headers.contains(http1::Known::AnthropicVersion) => Some(Api::Anthropic),
        headers if headers.contains(http1::Known::XGoogApiKey) => Some(Api::Gemini),
        _ => None,
    };
    let given = rule.policy.as_ref().and_then(|policy| policy.routes.of(target));
    let read = match given {
        Some(format) => endpoint::read_as(format, head.method, target, headers),
        None => endpoint::read(head.method, target, headers),
    };
    known.format = Some(read.map_or_else(|mismatch| mismatch.format(), |endpoint| endpoint.format));
    let endpoint = read.map_err(Fault::Endpoint)?;
    record.format = Some(endpoint.format.name());
    Ok(endpoint)
}

/// The format of a request that goes no further, if its rule leads to a model at all.
pub(super) fn format_of(
    serving: &Serving,
    (rule, share): (&Rule, &Filters),
    head: &RequestHead,
    bytes: &[u8],
) -> Option<Format> {
    let is_model = |(_, choice): (u32, &BackendChoice)| match choice {
        BackendChoice::Backend { index, .. } => {
            backend_at(serving, *index).is_ok_and(|backend| backend.ai().is_some())
        }
        BackendChoice::Invalid => false,
    };
    let mut known = Known::default();
    if rule.backends.iter().any(is_model) {
        // An endpoint that is not served has a format all the same.
        let target = plain::rewritten((&rule.filters, share), head, bytes, Vec::new());
        let _ = endpoint_of(rule, head, &target, &mut known, &mut Record::blank());
    }
    known.format
}

/// The first half of step 5: reads the body, and what it asks for, in one pass.
pub(super) async fn read_ask(
    client: &mut Client,
    message: &mut Message,
    head: &RequestHead,
    format: Format,
    entry: &mut Entry,
) -> Result<Ask, Fault> {
    let serving = entry.serving.clone();
    let Settings { requests, timeouts, .. } = &serving.in_force.snapshot.settings;
    let held = &mut entry.held;
    let codings = Codings::of(&head.headers, &message.bytes).map_err(|_| Fault::UnknownCoding)?;
    if format.is_lookup() {
        return no_body(message);
    }
    let inspector = Inspector::new(format);
    match Decoder::new(&codings) {
        None => client.body(message, head, inspector, (requests, held), timeouts).await,
        Some(it) => {
            Box::pin(client.coded_body(message, head, it, inspector, (requests, held), timeouts)).await
        }
    }
}

/// What a request asks for that has no body and may have none.
fn no_body(message: &Message) -> Result<Ask, Fault> {
    match message.complete {
        true => Ok(Ask { choices: 1, ..Ask::default() }),
        false => {
            let message = "requests to this endpoint have no body".to_owned();
            Err(Fault::BadRequest { param: String::new(), message })
        }
    }
}

/// The model that the body names, or else the path, without escapes: a model has one spelling for limits and prices, as it
/// has one for the provider.
pub(super) fn named_model<'a>(
    ask: &Ask,
    message: &'a Message,
    path_model: &'a [u8],
) -> Result<Cow<'a, str>, Fault> {
    let named = match ask.model {
        Some(model) => unescape::text(model.of(message.body.of(&message.bytes))),
        None => url::percent_decode(path_model).and_then(text),
    };
    let words = || "must be a name in UTF-8".to_owned();
    named.ok_or_else(|| Fault::BadRequest { param: "model".to_owned(), message: words() })
}

fn text(bytes: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    match bytes {
        Cow::Borrowed(bytes) => str::from_utf8(bytes).ok().map(Cow::Borrowed),
        Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
    }
}

/// The model that the client names, and the one that will be asked for: the endpoint's `own`, where it has one and is not
/// asked about another. A list of models is asked for without any.
pub(super) fn models_of<'a>(format: Format, named: &'a str, own: Option<&'a str>) -> Models<'a> {
    let wanted = match own.filter(|_| !format.is_lookup()) {
        None if named.is_empty() && format.is_lookup() => None,
        own => own.or(Some(named)),
    };
    Models { named: Some(named), wanted }
}
