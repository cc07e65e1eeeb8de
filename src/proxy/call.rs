//! A call to a provider: the request as it goes upstream, and the attempts to get an answer's head.

mod request;
mod sending;
mod signature;

pub(super) use request::{EVENT_STREAM, starts_with, write};
pub(super) use sending::{Heads, Sending, is_theirs};

use super::client::Client;
use super::entry::{Entry, Reached};
use super::fault::Fault;
use super::serving::Serving;
use super::upstream::Upstream;
use super::worker::Worker;
use crate::access::Identity;
use crate::base::Tick;
use crate::config::{Backend, Credential, Rule};
use crate::llm::provider::{Dialect, Provider};
use crate::llm::translate::Guardrail;
use crate::llm::{Ask, Format};
use crate::route::filters::Filters;
use crate::runtime::Gather;
use crate::wire::http1::{RequestHead, ResponseHead};
use sending::{Began, Failure, attempt};

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
