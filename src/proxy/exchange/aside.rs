//! Requests of which no provider hears: for a plain host, and for a count that is made here.

use super::asked::{models_of, named_model, read_ask};
use super::known::{Known, asking};
use super::{Then, manner};
use crate::access::Models;
use crate::config::{Backend, Rule};
use crate::limit::Spend;
use crate::llm::{Format, Tokenizer};
use crate::proxy::client::{Client, Message};
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::reply::Own;
use crate::proxy::serving::Serving;
use crate::proxy::worker::Worker;
use crate::proxy::{credit, plain, policy, reply};
use crate::telemetry::record::bounded;
use crate::wire::http1::{Method, RequestHead};
use arrayvec::ArrayString;
use std::rc::Rc;

/// The rest for a plain host, of which nothing is known but who asks.
pub(super) async fn serve_plain(
    worker: &Rc<Worker>,
    serving: &Serving,
    client: &mut Client,
    head: &RequestHead,
    message: &mut Message,
    entry: &mut Entry,
    (known, to): (&Known<'_>, plain::To<'_>),
) -> Result<Then, Fault> {
    known.may_ask(to.rule, client, (head, &message.bytes), Models::default(), entry)?;
    if head.forwards_left(&message.bytes) == Some(0) {
        // RFC 9110 section 7.6.2: it "MUST respond as the final recipient", which knows no TRACE.
        let status = if head.method == Method::Options { 200 } else { 501 };
        let manner = manner(worker, head, message, &serving.in_force.snapshot.settings.timeouts);
        return Ok(reply::own(client, entry, &Own { status, lines: b"", body: b"" }, &manner).await);
    }
    let asked = ArrayString::new();
    let asking = asking(known, client, serving, head, &message.bytes, &asked, to.rule);
    entry.reserve(&to.rule.limits_with(to.backend), &asking, Spend::default()).await?;
    plain::serve(worker, serving, client, head, message, entry, to).await
}

/// What counts the tokens of a request for a count that no provider of the backend answers: the tokenizer that the route asks
/// for. Without one such requests are refused, for a guess would pass for the provider's number.
pub(super) fn counts_here(rule: &Rule, backend: &Backend, format: Format) -> Option<Tokenizer> {
    let ai = backend.ai()?;
    let is_alone = format == Format::AnthropicCountTokens && ai.dialect.speaks(ai.provider, format).is_none();
    rule.tokenizer.filter(|_| is_alone)
}

/// The rest for such a request, of which nothing goes out.
pub(super) async fn serve_count(
    client: &mut Client,
    head: &RequestHead,
    message: &mut Message,
    entry: &mut Entry,
    (known, rule, backend, tokenizer): (&Known<'_>, &Rule, &Backend, Tokenizer),
) -> Result<Then, Fault> {
    let (worker, serving) = (entry.worker.clone(), entry.serving.clone());
    let (format, settings) = (Format::AnthropicCountTokens, &serving.in_force.snapshot.settings);
    let mut ask = read_ask(client, message, head, format, entry).await?;
    policy::apply(rule, format, message, &mut ask, b"", entry)?;
    let named = named_model(&ask, message, b"")?;
    entry.record.bytes_in = message.received;
    entry.record.model_asked = bounded(named.as_bytes());
    let own = backend.ai().and_then(|ai| ai.model.as_deref());
    known.may_ask(rule, client, (head, &message.bytes), models_of(format, &named, own), entry)?;
    let asked = entry.record.model_asked;
    let asking = asking(known, client, &serving, head, &message.bytes, &asked, rule);
    entry.reserve(&rule.limits_with(backend), &asking, Spend::default()).await?;
    let ratio = worker.learned.borrow().ratio(own.unwrap_or(&named));
    let body = message.body.of(&message.bytes);
    let tokens = credit::input_of(Some(tokenizer), Format::AnthropicMessages, &ask, body, ratio);
    let answer = format!("{{\"input_tokens\":{tokens}}}");
    let own = Own { status: 200, lines: b"content-type: application/json\r\n", body: answer.as_bytes() };
    let manner = manner(&worker, head, message, &settings.timeouts);
    Ok(reply::own(client, entry, &own, &manner).await)
}
