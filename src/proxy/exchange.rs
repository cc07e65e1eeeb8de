//! THE request: one exchange from the first byte of its head to its settled account, told in order.

mod aside;
mod asked;
mod known;
mod reserve;
mod routing;

use super::attempts::{self, Needs};
use super::call::Call;
use super::client::{Client, Message};
use super::entry::{Entry, Reached};
use super::fault::Fault;
use super::mirror::Copies;
use super::reply::Manner;
use super::serving::Serving;
use super::worker::Worker;
use super::{admission, filters, handshake, judge, plain, policy, relay, reply};
use crate::config::{BackendKind, Timeouts};
use crate::telemetry::record::bounded;
use crate::wire::http1::{Method, RequestHead, Version};
use aside::{counts_here, serve_count, serve_plain};
use asked::{endpoint_of, models_of, named_model, read_ask};
use known::{Known, admit, note_request};
use reserve::{Wanted, reserve};
use routing::{First, backend_at, choose, find_rule, first_choice, host_of};
use std::rc::Rc;

/// What becomes of the client's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// The next request may come.
    Next,
    /// It is closed now.
    Close,
    /// It is closed after the client had time to read the answer.
    Linger,
}

/// Serves one request. Whatever happens in it, its [`Entry`] settles and records it.
pub(super) async fn exchange(worker: &Rc<Worker>, client: &mut Client) -> Then {
    // 1, 2: bytes arrive, the head is parsed to spans.
    let head = match client.head(worker).await {
        Ok(Some(head)) => head,
        Ok(None) => return Then::Close,
        Err(fault) => return refuse_unread(worker, client, fault).await,
    };
    let serving = worker.serving();
    let mut message = client.take_message(&head);
    let then = settled(worker, &serving, client, &head, &mut message).await;
    client.keep_message(message.bytes);
    client.keep_head(head);
    then
}

/// Serves a request whose head is known, and settles and records it.
async fn settled(
    worker: &Rc<Worker>,
    serving: &Rc<Serving>,
    client: &mut Client,
    head: &RequestHead,
    message: &mut Message,
) -> Then {
    let mut entry = Entry::begin(worker, serving, client.peer);
    let api_key = client.memo.get_mut().api_key(head, &message.bytes);
    let mut known = Known { api_key, ..Known::default() };
    let named = &serving.in_force.snapshot.settings.records.headers;
    note_request(&mut entry.record, head, &message.bytes, known.api_key.as_ref(), named);
    #[cfg(test)]
    super::planted::note(&mut entry, head, &message.bytes);

    let served = serve(worker, serving, client, head, message, &mut entry, &mut known).await;
    let timeouts = &serving.in_force.snapshot.settings.timeouts;
    match served {
        Ok(then) => then,
        Err(fault) => {
            let standings = entry.standings();
            let mut manner = manner(worker, head, message, timeouts);
            manner.keep_alive &= !fault.ends_connection();
            reply::fault(client, &mut entry, &fault, known.format, &standings, &manner).await
        }
    }
    // 10: settled and recorded, as `entry` goes.
}

/// Steps 3 to 9 of a request whose head is known.
async fn serve<'s>(
    worker: &Rc<Worker>,
    serving: &'s Serving,
    client: &mut Client,
    head: &RequestHead,
    message: &mut Message,
    entry: &mut Entry,
    known: &mut Known<'s>,
) -> Result<Then, Fault> {
    let snapshot = &serving.in_force.snapshot;
    let timeouts = &snapshot.settings.timeouts;
    // 3: the route; a browser that asks what it may ask is told so, for it does not say yet who calls.
    let listener = &snapshot.listeners[client.listener.min(snapshot.listeners.len() - 1)];
    let routes = handshake::routes(&client.socket, listener, host_of(head, &message.bytes))?;
    let rule = find_rule(serving, routes, head, &message.bytes)?;
    entry.record.route.write(&rule.route);
    entry.record.rule = rule.number;
    if worker.gives_up(serving, rule.priority) {
        return Err(Fault::Busy);
    }
    let chosen = choose(worker, rule);
    let share = chosen.as_ref().map_or(&rule.filters, |(_, edits)| edits);
    let manner = manner(worker, head, message, timeouts);
    let asked = filters::Asked { listener, head, bytes: &message.bytes, manner };
    if let Some(then) = filters::preflight(client, entry, [&rule.filters, share], &asked).await {
        return Ok(then);
    }

    // 4: who may call; filters that answer callers do so.
    admit(serving, (rule, share), client, head, &message.bytes, entry, known).await?;
    if let Some(then) = filters::answer(client, entry, [&rule.filters, share], &asked, &known.identity).await
    {
        return Ok(then);
    }

    // 7, its first half: which backend; it decides what the bytes of the body mean.
    let (at, edits) = chosen?;
    let whole = backend_at(serving, at)?;
    entry.record.backend.write(&whole.name);
    let target = plain::rewritten((&rule.filters, edits), head, &message.bytes, client.spare_text());
    if let BackendKind::Static = whole.kind {
        let target = admission::without_key(&known.identity, target);
        let to = plain::To { rule, backend: whole, edits, target: &target, identity: &known.identity };
        let served = serve_plain(worker, serving, client, head, message, entry, (known, to)).await;
        client.keep_text(target);
        return served;
    }
    let endpoint = endpoint_of(rule, head, &target, known, &mut entry.record)?;
    let format = endpoint.format;
    if let Some(tokenizer) = counts_here(rule, whole, format) {
        return Box::pin(serve_count(client, head, message, entry, (known, rule, whole, tokenizer))).await;
    }
    let mut needs = Needs { format, identity: &known.identity, fallback: None, is_for_named: true };
    let mut first = first_choice(worker, serving, entry, at, needs)?;
    // What a path says of the model is needed when the request goes out; chat's buffer is needed before.
    let target = if endpoint.model.is_some() { target } else { client.empty_text(target) };
    let path_model = endpoint.model.map_or(&[][..], |model| model.of(&target));

    // 5: the body is inspected in one pass while it arrives; what it may cost is estimated.
    let mut ask = read_ask(client, message, head, format, entry).await?;
    let copies = Copies::whole(serving, (rule, edits), client, (head, message), &known.identity, entry);
    let renamed = policy::apply(rule, format, message, &mut ask, path_model, entry)?;
    let path_model = renamed.as_deref().map_or(path_model, str::as_bytes);
    let mut named = named_model(&ask, message, path_model)?;
    entry.record.bytes_in = message.received;
    entry.record.streamed = endpoint.streamed.or(ask.stream).unwrap_or(false);
    entry.record.model_asked = bounded(named.as_bytes());
    needs.is_for_named = named.is_empty() && format.is_lookup() || known.identity.is_for(&named);
    if !needs.may_ask(first.model) {
        first = first_choice(worker, serving, entry, at, needs)?;
    }
    let First { index, backend, provider, dialect, model, credential, path, guardrail, upstream } = first;
    known.may_ask(rule, client, (head, &message.bytes), models_of(format, &named, model), entry)?;
    if judge::is_asked(rule, format) {
        Box::pin(judge::request(client, entry, (rule, head, format), message, &mut ask)).await?;
        named = named_model(&ask, message, path_model)?; // the same, where it stands now
    }
    ask.stream = endpoint.streamed.or(ask.stream);

    // 6: every limit that applies reserves, or none does; one that is exhausted may name another model to ask for.
    let wanted = Wanted { rule, backend, head, message, format, ask: &ask, named: &named };
    let fallback = reserve(entry, serving, client, known, &wanted, rule.limits_with(whole)).await?;
    copies.into_iter().for_each(Copies::send);

    // 7, 8: a connection; the body edited over spans or translated; sent.
    let call = Call {
        rule,
        index,
        backend,
        edits,
        provider,
        dialect,
        model: fallback.or(model),
        fallback,
        credential,
        path,
        guardrail,
        path_model,
        is_renamed: renamed.is_some(),
        head,
        identity: &known.identity,
        is_for_named: needs.is_for_named,
        client: format,
        upstream,
        ask,
        asked_model: entry.record.model_asked,
        keep_alive: head.keep_alive,
        http10: head.version == Version::Http10,
    };
    worker.latencies.borrow_mut().processing.record(worker.ring.now().since(entry.started));
    let (call, answered) =
        attempts::until_answered(worker, serving, client, entry, whole, call, message).await?;

    // 9: the answer is relayed; usage is read out of the passing bytes.
    entry.reached = Reached::Answer;
    let then = relay::answer(worker, client, entry, &call, answered, timeouts).await;
    client.keep_text(target);
    then
}

/// Answers a head that could not be read. There is nothing to settle and no next request.
async fn refuse_unread(worker: &Rc<Worker>, client: &mut Client, fault: Fault) -> Then {
    let serving = worker.serving();
    let mut entry = Entry::begin(worker, &serving, client.peer);
    let timeouts = &serving.in_force.snapshot.settings.timeouts;
    let manner = Manner { keep_alive: false, head_only: false, version: Version::Http11, timeouts };
    reply::fault(client, &mut entry, &fault, None, &[], &manner).await
}

/// How an answer of ours goes out to this request.
fn manner<'a>(worker: &Worker, head: &RequestHead, message: &Message, timeouts: &'a Timeouts) -> Manner<'a> {
    Manner {
        keep_alive: head.keep_alive && message.complete && !worker.is_draining(),
        head_only: head.method == Method::Head,
        version: head.version,
        timeouts,
    }
}
