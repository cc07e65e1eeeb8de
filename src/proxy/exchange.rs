//! THE request: one exchange from the first byte of its head to its settled account, told in order.

use super::attempts::{self, Needs};
use super::call::Call;
use super::caller::{self, Asking};
use super::client::{Client, Message};
use super::entry::{Entry, Reached};
use super::fault::Fault;
use super::mirror::Copies;
use super::reply::{Manner, Own};
use super::serving::Serving;
use super::worker::Worker;
use super::{admission, credit, filters, handshake, judge, passwords, plain, policy, relay, reply};
use crate::access::{self, Digest, Identity, Models, Refusal};
use crate::config::{Backend, BackendChoice, BackendKind, Credential, Rule, Settings, Timeouts};
use crate::limit::{KeyText, LIMITS_MAX, Spend};
use crate::llm::endpoint::{self, Endpoint};
use crate::llm::provider::{Dialect, Provider};
use crate::llm::translate::Guardrail;
use crate::llm::{Api, Ask, Format, Inspector, Tokenizer, Work};
use crate::route::filters::Filters;
use crate::route::table::{HeaderLookup, Request, Table};
use crate::telemetry::Record;
use crate::telemetry::record::bounded;
use crate::wire::coding::{Codings, Decoder};
use crate::wire::http1::{self, Method, RequestHead, Version};
use crate::wire::json::unescape;
use crate::wire::url;
use arrayvec::{ArrayString, ArrayVec};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

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

/// What is known of the request when something goes wrong, so that it can be answered in the right words.
#[derive(Default)]
pub(super) struct Known<'a> {
    format: Option<Format>,
    /// The digest of the client's credential.
    api_key: Option<Digest>,
    /// Who asks, as far as that was validated.
    identity: Identity<'a>,
}

impl Known<'_> {
    /// Whether it may ask for what it asks for.
    fn may_ask(
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

/// The rest for a plain host, of which nothing is known but who asks.
async fn serve_plain(
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
fn counts_here(rule: &Rule, backend: &Backend, format: Format) -> Option<Tokenizer> {
    let BackendKind::Ai { provider, dialect, .. } = &backend.kind else { return None };
    let is_alone = format == Format::AnthropicCountTokens && dialect.speaks(*provider, format).is_none();
    rule.tokenizer.filter(|_| is_alone)
}

/// The rest for such a request, of which nothing goes out.
async fn serve_count(
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
    let own = match &backend.kind {
        BackendKind::Ai { model, .. } => model.as_deref(),
        BackendKind::Static => None,
    };
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

/// The endpoint that is asked first.
struct First<'a> {
    index: u32,
    backend: &'a Backend,
    provider: Provider,
    dialect: &'a Dialect,
    model: Option<&'a str>,
    credential: &'a Credential,
    path: &'a str,
    guardrail: Option<&'a Guardrail>,
    /// The format that is spoken with it.
    upstream: Format,
}

/// Which endpoint of the backend at `at` is asked first; it stands in the books from then on.
fn first_choice<'s>(
    worker: &Worker,
    serving: &'s Serving,
    entry: &mut Entry,
    at: u32,
    needs: Needs<'_>,
) -> Result<First<'s>, Fault> {
    let index = attempts::first_choice(worker, serving, at, needs);
    let backend = backend_at(serving, index)?;
    let BackendKind::Ai { provider, dialect, model, credential, path, guardrail } = &backend.kind else {
        return Err(Fault::NoBackend);
    };
    entry.record.backend.write(&backend.name);
    entry.record.provider = Some(dialect.name);
    let unpaired = Fault::Unpaired(needs.format, dialect.name);
    let upstream = dialect.speaks(*provider, needs.format).ok_or(unpaired)?;
    let (provider, model, guardrail) = (*provider, model.as_deref(), guardrail.as_ref());
    Ok(First { index, backend, provider, dialect, model, credential, path, guardrail, upstream })
}

/// A request as far as it decides what it may cost.
struct Wanted<'a> {
    rule: &'a Rule,
    backend: &'a Backend,
    head: &'a RequestHead,
    message: &'a Message,
    format: Format,
    ask: &'a Ask,
    /// The model that the client names; empty when it names none.
    named: &'a str,
}

/// The second half of step 5, and 6: prices and estimates the request and reserves that. The model that a limit falls
/// back to, if one would have refused: then that limit does not apply, and all others are asked again.
async fn reserve<'a>(
    entry: &mut Entry,
    serving: &'a Serving,
    client: &Client,
    known: &Known<'_>,
    wanted: &Wanted<'_>,
    mut limits: ArrayVec<u32, LIMITS_MAX>,
) -> Result<Option<&'a str>, Fault> {
    let Wanted { rule, backend, head, message, format, ask, named } = *wanted;
    let BackendKind::Ai { model: own, .. } = &backend.kind else { return Err(Fault::NoBackend) };
    let body = message.body.of(&message.bytes);
    let mut fallback: Option<&'a str> = None;
    loop {
        let own = own.as_deref().filter(|_| !format.is_lookup());
        let model = fallback.or(own).unwrap_or(named).as_bytes();
        if format.work() != Work::Free {
            entry.find_price(backend.vendor, model)?;
        }
        let spend = entry.estimate(rule, format, ask, body, bounded(model));
        let key = fallback.map_or(entry.record.model_asked, |model| bounded(model.as_bytes()));
        let asking = asking(known, client, serving, head, &message.bytes, &key, rule);
        let reserved = entry.reserve(&limits, &asking, spend).await;
        #[cfg(test)]
        super::planted::strike("reserved", entry);
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

/// Step 4: who asks, if the rule demands to know it. How it is told that it may not is `known` then too.
async fn admit<'s>(
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

/// The model that the client names, and the one that will be asked for: the endpoint's `own`, where it has one and is not
/// asked about another. A list of models is asked for without any.
fn models_of<'a>(format: Format, named: &'a str, own: Option<&'a str>) -> Models<'a> {
    let wanted = match own.filter(|_| !format.is_lookup()) {
        None if named.is_empty() && format.is_lookup() => None,
        own => own.or(Some(named)),
    };
    Models { named: Some(named), wanted }
}

/// The endpoint that a request is for; how it is to be told what is wrong is `known` then too.
fn endpoint_of(
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
fn format_of(
    serving: &Serving,
    (rule, share): (&Rule, &Filters),
    head: &RequestHead,
    bytes: &[u8],
) -> Option<Format> {
    let is_model = |(_, choice): (u32, &BackendChoice)| match choice {
        BackendChoice::Backend { index, .. } => {
            backend_at(serving, *index).is_ok_and(|backend| matches!(backend.kind, BackendKind::Ai { .. }))
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
async fn read_ask(
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

/// The host that a request is for; empty when it names none.
fn host_of<'a>(head: &RequestHead, bytes: &'a [u8]) -> &'a [u8] {
    head.host.map_or(&[][..], |host| host.of(bytes))
}

fn find_rule<'a>(
    serving: &'a Serving,
    routes: &Table,
    head: &RequestHead,
    bytes: &[u8],
) -> Result<&'a Rule, Fault> {
    let path = head.path_of(bytes);
    url::check_path(path).map_err(|fault| Fault::Path(fault.reason()))?;
    let request = Request {
        host: host_of(head, bytes),
        method: head.method_text.of(bytes),
        path,
        query: head.query.map(|query| query.of(bytes)),
        headers: &Fields { head, bytes },
    };
    let rule = |index: u32| serving.in_force.snapshot.rules.get(index as usize);
    if let Some(found) = routes.find(&request).and_then(rule) {
        return Ok(found);
    }
    // Browsers ask about a request of another method, which is the one that a rule may be for.
    let (_, asked) = filters::announced(head, bytes).ok_or(Fault::NoRoute)?;
    let announced = routes.find(&Request { method: asked.method, ..request }).and_then(rule);
    announced.filter(|rule| filters::speak_of_cors(rule)).ok_or(Fault::NoRoute)
}

/// The headers of a request, as routing looks them up.
struct Fields<'a> {
    head: &'a RequestHead,
    bytes: &'a [u8],
}

impl HeaderLookup for Fields<'_> {
    fn value(&self, name: &str) -> Option<&[u8]> {
        self.head.headers.get(self.bytes, name.as_bytes()).map(|span| span.of(self.bytes))
    }
}

fn choose<'a>(worker: &Worker, rule: &'a Rule) -> Result<(u32, &'a Filters), Fault> {
    match rule.backends.pick(worker.random()) {
        Some(BackendChoice::Backend { index, filters }) => Ok((*index, filters)),
        Some(BackendChoice::Invalid) | None => Err(Fault::NoBackend),
    }
}

fn backend_at(serving: &Serving, index: u32) -> Result<&Backend, Fault> {
    serving.in_force.snapshot.backends.get(index as usize).ok_or(Fault::NoBackend)
}

/// The model that the body names, or else the path, without escapes: a model has one spelling for limits and prices, as it
/// has one for the provider.
fn named_model<'a>(ask: &Ask, message: &'a Message, path_model: &'a [u8]) -> Result<Cow<'a, str>, Fault> {
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

fn asking<'a>(
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

fn note_request(
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
