//! The request as it goes upstream: its head, and its body edited over spans or translated.

use super::{Call, Outgoing, signature};
use crate::access::strip_bearer;
use crate::base::Span;
use crate::config::{Credential, Fetched};
use crate::llm::provider::{Provider, is_credential};
use crate::llm::translate::{self, Lost, RequestTerms};
use crate::llm::{Api, Edits, Format, ModelPlace, Piece};
use crate::proxy::client::{Client, Message};
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::serving::Serving;
use crate::proxy::worker::Worker;
use crate::wire::http1::{Header, Known, RequestHead, write};
use crate::wire::json::unescape;
use crate::wire::url;

/// The most tokens that a provider is asked for when it needs a number and the client gave none.
const DEFAULT_MAX_TOKENS: u64 = 4096;

/// Writes the request into buffers of the client's connection: head, and the body as it came with edits over spans,
/// or translated.
///
/// # Errors
/// What the provider's format cannot express.
pub(in crate::proxy) fn write(
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
pub(in crate::proxy) const EVENT_STREAM: &[u8] = b"application/vnd.amazon.eventstream";

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
pub(in crate::proxy) fn starts_with(name: &[u8], prefix: &[u8]) -> bool {
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
