//! A call to a provider: the request as it goes upstream, and the attempts to get an answer's head.

mod signature;

use super::client::{Client, Message};
use super::entry::{Entry, Reached};
use super::fault::Fault;
use super::serving::Serving;
use super::stream::Stream;
use super::upstream::{Upstream, is_about_our_certificate, tls_why};
use super::worker::Worker;
use crate::access::{Identity, strip_bearer};
use crate::base::{Span, Tick};
use crate::config::{self, Backend, Credential, Fetched, Rule};
use crate::llm::provider::{Dialect, Provider, is_credential};
use crate::llm::translate::{self, Guardrail, Lost, RequestTerms};
use crate::llm::{Api, Ask, Edits, Format, ModelPlace, Piece};
use crate::route::filters::Filters;
use crate::runtime::Gather;
use crate::wire::http1::{
    HeadFault, HeadLimits, HeadScan, Header, Headers, Known, Method, RequestHead, ResponseHead, write,
};
use crate::wire::json::unescape;
use crate::wire::url;
use std::future::poll_fn;
use std::io;
use std::task::Poll;

/// Everything that decides how a request goes to its provider and how the answer comes back.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) rule: &'a Rule,
    /// The index of `backend`.
    pub(super) index: u32,
    pub(super) backend: &'a Backend,
    /// The filters of the backend's share.
    pub(super) edits: &'a Filters,
    pub(super) provider: Provider,
    pub(super) dialect: &'a Dialect,
    /// The backend's model, which goes before the client's, or the one that a limit fell back to.
    pub(super) model: Option<&'a str>,
    /// The one that a limit fell back to, whichever provider is asked.
    pub(super) fallback: Option<&'a str>,
    pub(super) credential: &'a Credential,
    pub(super) path: &'a str,
    pub(super) guardrail: Option<&'a Guardrail>,
    /// The model that the client's path names, as it stands there; empty when it names none.
    pub(super) path_model: &'a [u8],
    /// A policy has put it there.
    pub(super) is_renamed: bool,
    /// The head of the client's request, which stands at the beginning of the message.
    pub(super) head: &'a RequestHead,
    /// Who asks, as far as that was validated.
    pub(super) identity: &'a Identity<'a>,
    /// Whether its key is for the model that it names, which endpoints without one of their own are asked for.
    pub(super) is_for_named: bool,
    /// The format that the client speaks.
    pub(super) client: Format,
    /// The format that the provider speaks.
    pub(super) upstream: Format,
    pub(super) ask: Ask,
    pub(super) asked_model: arrayvec::ArrayString<64>,
    pub(super) keep_alive: bool,
    /// The client speaks HTTP/1.0, which knows no chunks.
    pub(super) http10: bool,
}

/// A request ready to go.
pub(super) struct Outgoing {
    gather: Gather,
    /// Whether it may be sent again although the provider may have seen it: the client said so by an
    /// `Idempotency-Key`.
    replayable: bool,
}

impl Outgoing {
    /// Bytes of its body.
    pub(super) fn body_bytes(&self) -> usize {
        self.gather.theirs.len()
    }
}

/// An answer whose head has come.
pub(super) struct Answered {
    pub(super) upstream: Upstream,
    pub(super) head: ResponseHead,
    /// The head's bytes and what came with them.
    pub(super) bytes: Vec<u8>,
    /// The request's buffers if it was sent in full; if not, the connection cannot be used again.
    pub(super) sent: Option<Gather>,
}

/// The most tokens that a provider is asked for when it needs a number and the client gave none.
const DEFAULT_MAX_TOKENS: u64 = 4096;

impl Call<'_> {
    /// Whether bodies are translated and not just edited: the formats differ, or the model stands in places that no edit
    /// knows.
    pub(super) fn translates(&self) -> bool {
        self.client != self.upstream || self.renames()
    }

    /// Whether another model is asked for than each of the requests of a body may name beside the path.
    fn renames(&self) -> bool {
        let names_it_twice = matches!(self.upstream, Format::GeminiEmbed | Format::GeminiEmbedBatch);
        names_it_twice && (self.model.is_some() || self.is_renamed)
    }

    /// The value of `Host`.
    pub(super) fn host(&self) -> &str {
        self.rule.filters.hostname(self.edits).unwrap_or(&self.backend.host_header)
    }

    /// Whether we ask an OpenAI provider for the usage of a stream that the client did not ask for.
    pub(super) fn injects_usage(&self) -> bool {
        let native = self.client == Format::OpenAiChat && self.upstream == Format::OpenAiChat;
        native
            && self.dialect.takes_include_usage
            && self.ask.stream == Some(true)
            && self.ask.include_usage != Some(true)
    }
}

// === the request ===

/// Writes the request into buffers of the client's connection: head, and the body as it came with edits over spans,
/// or translated.
///
/// # Errors
/// What the provider's format cannot express.
pub(super) fn write(
    worker: &Worker,
    serving: &Serving,
    call: &Call<'_>,
    message: &mut Message,
    client: &mut Client,
    entry: &Entry,
) -> Result<Outgoing, Fault> {
    let head = call.head;
    let mut gather = client.spare_request();
    let fetched = match call.credential.origin() {
        Some(_) => Some(serving.fetched(call.index).ok_or(Fault::NoCredential)?),
        None => None,
    };
    let fetched = fetched.as_deref();
    let replayable = head.method.is_safe() || head.headers.get(&message.bytes, b"idempotency-key").is_some();
    if call.translates() && !call.upstream.is_lookup() {
        let (bytes, body) = (&mut message.bytes, message.body.range());
        // What a path says is percent-encoded there, and not in a body.
        let path_model = url::percent_decode(call.path_model).unwrap_or(call.path_model.into());
        let path_model = str::from_utf8(&path_model).ok().filter(|model| !model.is_empty());
        let terms = RequestTerms {
            model: call.model,
            default_max_tokens: DEFAULT_MAX_TOKENS,
            path_model,
            path_stream: call.ask.stream,
            include_usage: call.dialect.takes_include_usage,
            says_max_tokens: call.dialect.says_max_tokens,
            body_version: call.provider.body_version(),
            at_vertex: call.provider == Provider::VertexAi,
            guardrail: call.guardrail,
        };
        // The other way round the body's is needed when the body is used up.
        let in_path = call.provider.model_place(call.upstream) == ModelPlace::Path;
        let named = call.ask.model.filter(|_| in_path && call.model.is_none());
        let named = named.and_then(|model| unescape::text(model.of(&bytes[body.clone()])));
        let named = match named {
            Some(model) => encoded(&model),
            None if in_path => call.path_model.to_vec(),
            None => Vec::new(),
        };
        // The decoder writes into what it decodes, and the head is still needed: it stands before the body.
        let (head_bytes, body) = bytes.split_at_mut(body.start);
        let lost = translate::request(call.client, call.upstream, body, &terms, &mut gather.theirs)
            .map_err(|bad| Fault::BadRequest { message: bad.to_string(), param: bad.param })?;
        note_lost(call, &lost, entry)?;
        let length = gather.theirs.len();
        let target = request_head(call, head, (head_bytes, &named), fetched, length, &mut gather.ours);
        // A signature covers what is sent, so it comes last.
        signature::write(worker, serving, call, fetched, target, &gather.theirs, &mut gather.ours);
        write::end(&mut gather.ours);
        let (ours, theirs) = (Span::new(0, gather.ours.len()), Span::new(0, length));
        let fits = gather.push_ours(ours) && gather.push_theirs(theirs);
        debug_assert!(fits, "two pieces fit");
        return Ok(Outgoing { gather, replayable });
    }
    let mut edits = Edits::in_buffer(client.spare_text());
    let place = call.provider.model_place(call.upstream);
    if let Some(model) = call.model.filter(|_| place == ModelPlace::Body) {
        edits.set_model(&call.ask, model);
    }
    match call.provider.body_version().filter(|_| call.upstream.api() == Api::Anthropic) {
        Some(version) if place == ModelPlace::Path => edits.set_version_for_model(&call.ask, version),
        Some(version) => edits.set_version(&call.ask, version),
        None => {}
    }
    if call.injects_usage() {
        edits.include_usage(&call.ask);
    }
    let body = message.body;
    let length = edits.body_len(body.len());
    request_head(call, head, (&message.bytes, call.path_model), fetched, length, &mut gather.ours);
    write::end(&mut gather.ours);
    let head_len = gather.ours.len();
    gather.ours.extend_from_slice(edits.scratch());
    gather.theirs = std::mem::take(&mut message.bytes);
    let mut fits = gather.push_ours(Span::new(0, head_len));
    for piece in edits.pieces(body.len()) {
        fits &= match piece {
            Piece::Body(span) => gather.push_theirs(span.shifted(body.start as usize)),
            Piece::Scratch(span) => gather.push_ours(span.shifted(head_len)),
        };
    }
    debug_assert!(fits, "edits fall into few pieces");
    client.keep_text(edits.into_buffer());
    Ok(Outgoing { gather, replayable })
}

/// A model's name as a segment of a path.
fn encoded(model: &str) -> Vec<u8> {
    let mut segment = Vec::with_capacity(model.len());
    url::percent_encode(&mut segment, model.as_bytes());
    segment
}

/// Counts what the provider's format cannot say of a request, and refuses it where the route wants that.
fn note_lost(call: &Call<'_>, lost: &Lost, entry: &Entry) -> Result<(), Fault> {
    entry.count_lost(lost);
    if !call.rule.strict || lost.is_empty() {
        return Ok(());
    }
    let provider = call.dialect.name;
    let message = format!(
        "this route is strict, and the request asks for what cannot be said to the provider {provider}: {}",
        lost.names().join(", ")
    );
    Err(Fault::BadRequest { param: String::new(), message })
}

/// Writes a head but for the empty line that ends it; where its target stands. `named` is the model that the client named, where the provider's path wants one.
fn request_head(
    call: &Call<'_>,
    head: &RequestHead,
    (bytes, named): (&[u8], &[u8]),
    fetched: Option<&Fetched>,
    length: usize,
    out: &mut Vec<u8>,
) -> Span {
    let is_lookup = call.upstream.is_lookup();
    out.extend_from_slice(if is_lookup { b"GET " } else { b"POST " });
    let begin = out.len();
    let model = match (call.provider.model_place(call.upstream), call.model) {
        (ModelPlace::Path, Some(model)) => model.as_bytes(),
        _ => named,
    };
    let streamed = call.ask.stream == Some(true);
    call.provider.path(call.upstream, call.path, model, streamed, out);
    if call.translates() && call.upstream == Format::GeminiGenerate && streamed {
        out.extend_from_slice(b"?alt=sse"); // else the stream is one array of JSON that grows
    }
    if call.translates() && named.is_empty() {
        out.extend_from_slice(largest_page(call.upstream));
    }
    if let Some(query) = head.query.filter(|_| !call.translates()) {
        write_query(call, query.of(bytes), begin, out);
    }
    let target = Span::new(begin, out.len());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write::header(out, b"host", call.host().as_bytes());
    credential(call, head, bytes, fetched, out);
    let versioned = !call.translates() && head.headers.contains(Known::AnthropicVersion);
    for (name, value) in call.provider.required_headers() {
        if !(versioned && *name == "anthropic-version") {
            write::header(out, name.as_bytes(), value.as_bytes());
        }
    }
    let (rule, share) = (&call.rule.filters.request_headers, &call.edits.request_headers);
    write::copy_end_to_end(out, bytes, &head.headers, |header, name| {
        !passes(call, header, name) || !rule.keeps(name) || !share.keeps(name)
    });
    for (name, value) in rule.written().chain(share.written()) {
        write::header(out, name.as_bytes(), value.as_bytes());
    }
    // Usage is read out of the passing answer, and what is not compressed need not be decoded for it.
    write::header(out, b"accept-encoding", b"identity");
    if !is_lookup {
        write::header(out, b"content-type", b"application/json");
        write::content_length(out, length as u64);
    }
    if call.upstream.api() == Api::Bedrock {
        let streamed = call.ask.stream == Some(true);
        write::header(out, b"accept", if streamed { EVENT_STREAM } else { b"application/json" });
    }
    target
}

/// The query for as many models as a list ever has, where it comes in pages ("Models" in the references of both).
fn largest_page(upstream: Format) -> &'static [u8] {
    match upstream {
        Format::AnthropicModels => b"?limit=1000",
        Format::GeminiModels => b"?pageSize=1000",
        _ => b"",
    }
}

/// The media type of AWS's event streams.
pub(super) const EVENT_STREAM: &[u8] = b"application/vnd.amazon.eventstream";

/// Appends the client's query to the path that begins at `begin`, without what is the client's credential.
fn write_query(call: &Call<'_>, query: &[u8], begin: usize, out: &mut Vec<u8>) {
    let mut has_query = out.get(begin..).is_some_and(|path| path.contains(&b'?'));
    let keeps = |field: &&[u8]| {
        let is_ours = is_credential(call.client.api(), field) || call.identity.hides_parameter(field);
        !field.is_empty() && !is_ours && !call.provider.overrules(field)
    };
    for field in query.split(|byte| *byte == b'&').filter(keeps) {
        out.push(if std::mem::replace(&mut has_query, true) { b'&' } else { b'?' });
        out.extend_from_slice(field);
    }
}

/// Which of the client's headers a provider gets: not the credential for us, not what we answer ourselves,
/// and nothing that tells a third party about the client's network or browser.
fn passes(call: &Call<'_>, header: &Header, name: &[u8]) -> bool {
    match header.known {
        Known::Host | Known::Expect | Known::AcceptEncoding | Known::ContentType | Known::ContentEncoding => {
            false
        }
        Known::Authorization | Known::XApiKey | Known::XGoogApiKey => false,
        Known::XForwardedFor
        | Known::XForwardedProto
        | Known::XForwardedHost
        | Known::Via
        | Known::Origin => false,
        Known::AnthropicVersion => !call.translates() && call.provider.body_version().is_none(),
        Known::Accept => call.upstream.api() != Api::Bedrock,
        _ if call.identity.hides(header, name) => false,
        // What AWS reads is written and signed here.
        _ if starts_with(name, b"x-amz") && call.upstream.api() == Api::Bedrock => false,
        _ => {
            let private: [&[u8]; 4] = [b"sec-fetch-", b"forwarded", b"cookie", b"api-key"];
            !private.iter().any(|prefix| starts_with(name, prefix))
        }
    }
}

/// Whether a name begins so, in whatever case.
pub(super) fn starts_with(name: &[u8], prefix: &[u8]) -> bool {
    name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn credential(
    call: &Call<'_>,
    head: &RequestHead,
    bytes: &[u8],
    fetched: Option<&Fetched>,
    out: &mut Vec<u8>,
) {
    match call.credential {
        Credential::Static { name, value } => write::header(out, name.as_bytes(), value.expose()),
        Credential::Passthrough => {
            if let Some(token) = clients_token(call, head, bytes) {
                let header = call.provider.credential_header(&String::from_utf8_lossy(token));
                let value = [header.prefix.as_bytes(), token].concat();
                write::header(out, header.name.as_bytes(), &value);
            }
        }
        Credential::Google(_) => {
            let Some(Fetched::Google(token)) = fetched else { return };
            write::header(out, b"authorization", token.authorization.expose());
            if let Some(project) = &token.quota_project {
                write::header(out, b"x-goog-user-project", project.as_bytes());
            }
        }
        Credential::Aws { .. } | Credential::None => {}
    }
}

/// The client's own credential, where the formats' clients put it. A password that was for here is none of the provider's.
fn clients_token<'a>(call: &Call<'_>, head: &RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let header = |name| head.headers.first(name).map(|span| span.of(bytes));
    let query = head.query.filter(|_| call.client.api() == Api::Gemini).map(|query| query.of(bytes));
    let in_query = || query?.split(|byte| *byte == b'&').find_map(|field| field.strip_prefix(b"key="));
    let azures = || head.headers.get(bytes, b"api-key").map(|span| span.of(bytes));
    header(Known::Authorization)
        .filter(|_| !call.identity.shows_password)
        .map(strip_bearer)
        .or_else(|| header(Known::XApiKey))
        .or_else(|| header(Known::XGoogApiKey))
        .or_else(azures)
        .or_else(in_query)
}

// === the attempts ===

/// Sends `outgoing` until a provider's answer begins.
///
/// One more attempt is made, on a new connection, when the first was made on an idle one that had died: if
/// not all of the request had left, or if the client made it repeatable.
pub(super) async fn ask(
    worker: &Worker,
    serving: &Serving,
    client: &mut Client,
    entry: &mut Entry,
    call: &Call<'_>,
    outgoing: Outgoing,
) -> Result<Answered, Failed> {
    let Outgoing { mut gather, replayable } = outgoing;
    let failed = |fault, request| Failed { fault, request, replayable };
    let Some(pool) = serving.pools.get(call.backend.target as usize) else {
        return Err(failed(Fault::NoBackend, Some(gather)));
    };
    let mut reuse = true;
    loop {
        entry.record.attempts += 1;
        let upstream = match Upstream::checkout(worker, pool, reuse).await {
            Ok(upstream) => upstream,
            Err(fault) => return Err(failed(fault, Some(gather))),
        };
        let bytes = client.scratch();
        worker.desk.counters.upstream_bytes_out.add(gather.len() as u64);
        upstream.socket().set_deadline(first_byte_deadline(worker, serving, entry, call));
        let again = upstream.is_reused();
        let heads = Heads::new(&serving.in_force.snapshot.settings.upstream, client.spare_lines());
        match attempt(&upstream, &client.socket, gather, (heads, bytes), entry).await {
            Ok(Began { head, bytes, sent }) => return Ok(Answered { upstream, head, bytes, sent }),
            Err(Failure::Final { fault, request }) => {
                let theirs = !matches!(fault, Fault::ClientGone);
                worker.desk.counters.upstream_failures.add(theirs.into());
                return Err(failed(fault, request));
            }
            Err(Failure::Broken { request, unsent }) => {
                worker.desk.counters.upstream_failures.add(1);
                match request {
                    Some(request) if again && (unsent || replayable) => (gather, reuse) = (request, false),
                    request => return Err(failed(Fault::Broken, request)),
                }
                worker.desk.counters.retries.add(1);
                entry.reached = Reached::Nobody;
            }
        }
    }
}

/// An attempt that no answer came of.
pub(super) struct Failed {
    pub(super) fault: Fault,
    /// The request, if it is here again: it is not while a part of it is on its way.
    pub(super) request: Option<Gather>,
    /// Whether the client said that it may be repeated whoever has seen it.
    pub(super) replayable: bool,
}

struct Began {
    head: ResponseHead,
    bytes: Vec<u8>,
    sent: Option<Gather>,
}

enum Failure {
    /// The connection broke before any byte of an answer; the request comes back if it can be sent again.
    Broken {
        request: Option<Gather>,
        unsent: bool,
    },
    Final {
        fault: Fault,
        request: Option<Gather>,
    },
}

/// One attempt: sends, and meanwhile listens for an early answer, into `answer`, and for the client's leaving.
async fn attempt(
    upstream: &Upstream,
    client: &Stream,
    gather: Gather,
    answer: (Heads, Vec<u8>),
    entry: &mut Entry,
) -> Result<Began, Failure> {
    if upstream.start_send(gather).is_err() {
        return Err(Failure::Broken { request: None, unsent: true });
    }
    // Nobody is woken for the good news that all is sent. Who drops this meanwhile leaves a provider that may work.
    entry.reached = Reached::Provider;
    let mut sending = Sending::default();
    let outcome = sending.until_answered(upstream, client, answer).await;
    if sending.request.is_none() || sending.unsent {
        entry.reached = Reached::Nobody;
    }
    let Sending { request, unsent } = sending;
    match outcome {
        Ok(Some((head, bytes))) => Ok(Began { head, bytes, sent: request.filter(|_| !unsent) }),
        Ok(None) => Err(Failure::Broken { request, unsent }),
        Err(fault) => Err(Failure::Final { fault, request }),
    }
}

/// A request on its way.
#[derive(Default)]
pub(super) struct Sending {
    /// The request when its send is over.
    request: Option<Gather>,
    /// Some of it was not taken.
    unsent: bool,
}

impl Sending {
    /// Whether all of the request has left, so that the connection can be used again.
    pub(super) fn is_sent(&self) -> bool {
        self.request.is_some() && !self.unsent
    }

    /// The answer's head and what came with it; `None` when the connection broke before any byte of one.
    pub(super) async fn until_answered(
        &mut self,
        upstream: &Upstream,
        client: &Stream,
        (mut heads, mut bytes): (Heads, Vec<u8>),
    ) -> Result<Option<(ResponseHead, Vec<u8>)>, Fault> {
        loop {
            match next_event(upstream, client, self.request.is_none(), &mut bytes).await {
                Event::Sent(gather, Ok(())) => self.request = Some(gather),
                Event::Sent(_, Err(error)) | Event::Filled(Err(error)) if is_timeout(&error) => {
                    return Err(Fault::ProviderSlow);
                }
                Event::Sent(gather, Err(error)) => {
                    (self.request, self.unsent) = (Some(gather), true);
                    if !is_theirs(&error) {
                        return if bytes.is_empty() { Ok(None) } else { Err(Fault::Broken) };
                    }
                }
                // By TLS 1.3 a server looks at our certificate when the handshake is over for us, and at the request after that.
                Event::Filled(Err(error)) if bytes.is_empty() && is_about_our_certificate(&error) => {
                    if self.request.is_none() {
                        self.request = Some(take_back(upstream).await?.0);
                    }
                    self.unsent = true;
                    return Err(Fault::Connect(tls_why(&error)));
                }
                Event::Filled(Ok(0) | Err(_)) if bytes.is_empty() => {
                    if self.request.is_none() {
                        let (gather, sent) = take_back(upstream).await?;
                        (self.request, self.unsent) = (Some(gather), !sent);
                    }
                    return Ok(None);
                }
                Event::Filled(Ok(0) | Err(_)) => {
                    return Err(Fault::ProviderMalformed("it ended inside its head"));
                }
                Event::ClientGone => return Err(Fault::ClientGone),
                Event::Filled(Ok(_)) => {
                    if let Some(head) = heads.read(&mut bytes, Method::Post)? {
                        return Ok(Some((head, bytes)));
                    }
                }
            }
        }
    }
}

/// What happens next to an attempt; the send is watched as long as it is `sending`.
async fn next_event(upstream: &Upstream, client: &Stream, sending: bool, bytes: &mut Vec<u8>) -> Event {
    poll_fn(|cx| {
        if sending && let Poll::Ready((gather, result)) = upstream.poll_sent_late(cx) {
            return Poll::Ready(Event::Sent(gather, result));
        }
        if let Poll::Ready(filled) = upstream.poll_fill(cx, bytes) {
            return Poll::Ready(Event::Filled(filled));
        }
        client.poll_gone(cx).map(|()| Event::ClientGone)
    })
    .await
}

/// Ends the send to a provider that has ended its side; the request, and whether all of it had left after all.
async fn take_back(upstream: &Upstream) -> Result<(Gather, bool), Fault> {
    upstream.socket().shutdown_write();
    match poll_fn(|cx| upstream.poll_sent(cx)).await {
        (_, Err(error)) if is_timeout(&error) => Err(Fault::ProviderSlow),
        (gather, result) => Ok((gather, result.is_ok())),
    }
}

/// Finds the head of the answer behind any interim ones.
pub(super) struct Heads {
    scan: HeadScan,
    limits: HeadLimits,
    /// How many interim ones may still come.
    interim_left: u32,
}

impl Heads {
    /// Heads within these bounds; the head's lines are listed where those of an earlier one were.
    pub(super) fn new(bounds: &config::Upstream, lines: Headers) -> Heads {
        let scan = HeadScan::reusing(lines);
        Heads { scan, limits: bounds.heads, interim_left: bounds.interim_answers }
    }

    /// The head that `bytes` begin with, once it is there, of an answer to a request with method `to`; interim
    /// ones are taken away.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>, to: Method) -> Result<Option<ResponseHead>, Fault> {
        loop {
            let head = self.scan.response(bytes, &self.limits, to);
            let Some(head) = head.map_err(|fault| Fault::ProviderMalformed(fault.reason()))? else {
                return Ok(None);
            };
            match head.status {
                101 => return Err(Fault::ProviderMalformed(HeadFault::Switched.reason())),
                _ if !head.is_interim() => return Ok(Some(head)),
                _ => {
                    let left = self.interim_left.checked_sub(1);
                    let flood = Fault::ProviderMalformed(HeadFault::InterimFlood.reason());
                    self.interim_left = left.ok_or(flood)?;
                }
            }
            bytes.drain(..head.len);
            self.scan = HeadScan::reusing(head.headers);
        }
    }
}

fn is_timeout(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::TimedOut
}

/// Whether a send failed because the other side takes no more: it may have said why before, so an answer or the end comes next.
/// After every other error (the kernel has no memory for it, say) it waits for the rest of the request and says nothing.
pub(super) fn is_theirs(error: &io::Error) -> bool {
    let is_closed = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
    is_closed || error.raw_os_error().is_none()
}

enum Event {
    Sent(Gather, io::Result<()>),
    Filled(io::Result<usize>),
    ClientGone,
}

fn first_byte_deadline(worker: &Worker, serving: &Serving, entry: &Entry, call: &Call<'_>) -> Tick {
    let now = worker.ring.now();
    let first_byte = now + serving.in_force.snapshot.settings.timeouts.first_byte;
    deadline(entry, call, now).min(first_byte)
}

/// The time by which this exchange, or this call, must be over.
pub(super) fn deadline(entry: &Entry, call: &Call<'_>, now: Tick) -> Tick {
    let timeouts = &call.rule.timeouts;
    let whole = super::client::whole_deadline(entry.started, timeouts.request);
    let backend = timeouts.backend_request.map_or(Tick(u64::MAX), |time| now + time);
    whole.min(backend)
}
