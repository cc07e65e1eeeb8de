//! Guards that ask a service: a question goes out over the worker's own connections, and what it is about waits.
//!
//! A request is asked about before anything is reserved for it. While a service thinks, the client's leaving and the end of the
//! exchange's time are noticed.

use super::call::{Heads, Sending};
use super::client::{Client, Message, whole_deadline};
use super::entry::Entry;
use super::fault::Fault;
use super::policy::{self, UNREADABLE};
use super::stream::Stream;
use super::upstream::{Pool, Upstream};
use super::worker::Worker;
use crate::base::Tick;
use crate::config::{self, GuardService, Rule};
use crate::llm::guard::{Garbage, Phase, QUESTION_BYTES_MAX, Rejection, Said, Texts, Verdict};
use crate::llm::{Ask, Format};
use crate::runtime::{Gather, sleep};
use crate::telemetry::lists::Check;
use crate::wire::http1::{BodyReader, Framing, Headers, Known, RequestHead, ResponseHead, write};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How long a service may take, connecting included (agentgateway gives as much); no longer than `timeouts.firstByte`.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// Whom to ask about what, for one exchange.
pub(super) struct Judges {
    phase: Phase,
    /// Indices of the snapshot's services.
    services: Arc<[u32]>,
    /// The header lines that each of them is sent.
    lines: Vec<Vec<u8>>,
    /// The end of the exchange's time.
    until: Tick,
}

/// Whether a service is to be asked about requests of this format.
pub(super) fn is_asked(rule: &Rule, format: Format) -> bool {
    let policy = rule.policy.as_ref().filter(|_| !format.is_lookup());
    policy.is_some_and(|policy| !policy.guards.request_services.is_empty())
}

/// Step 5, its very end, when it is known that the caller may ask for its model: has a request judged, and inspects again what came of it.
///
/// # Errors
/// It is rejected, or nobody could say whether it is to be; what came of it is no request.
pub(super) async fn request(
    client: &Client,
    entry: &mut Entry,
    (rule, head, format): (&Rule, &RequestHead, Format),
    message: &mut Message,
    ask: &mut Ask,
) -> Result<(), Fault> {
    let Some(policy) = rule.policy.as_deref() else { return Ok(()) };
    let mut judges = Judges::new(Phase::Request, policy.guards.request_services.clone(), rule, entry);
    judges.read_lines(&head.headers, &message.bytes, entry);
    let mut texts = Texts::of_request(format, message.body.of(&message.bytes));
    judges.judge(&client.socket, entry, &mut texts.said).await?;
    match texts.applied(message.body.of(&message.bytes)) {
        Some(body) => policy::replace(format, message, ask, &body),
        None => Ok(()),
    }
}

impl Judges {
    pub(super) fn new(phase: Phase, services: Arc<[u32]>, rule: &Rule, entry: &Entry) -> Judges {
        let until = whole_deadline(entry.started, rule.timeouts.request);
        Judges { phase, services, lines: Vec::new(), until }
    }

    /// Keeps what is to be sent on of the head of what is judged, which stands in `bytes`.
    pub(super) fn read_lines(&mut self, headers: &Headers, bytes: &[u8], entry: &Entry) {
        let of_service = |index: &u32| {
            let mut lines = Vec::new();
            if let Some(service) = entry.serving.in_force.snapshot.services.get(*index as usize) {
                write::copy_end_to_end(&mut lines, bytes, headers, |header, name| {
                    is_ours(header.known) || !is_forwarded(service, headers, bytes, name)
                });
            }
            lines
        };
        self.lines = self.services.iter().map(of_service).collect();
    }

    /// A whole answer in the client's format, with what is masked; `None` when it stays as it is.
    ///
    /// # Errors
    /// As [`judge`](Judges::judge), or it cannot be looked at.
    pub(super) async fn answer(
        &self,
        client: &Stream,
        entry: &mut Entry,
        format: Format,
        answer: &[u8],
    ) -> Result<Option<Vec<u8>>, Fault> {
        let mut texts = Texts::of_answer(format, answer).ok_or(UNREADABLE)?;
        self.judge(client, entry, &mut texts.said).await?;
        Ok(texts.applied(answer))
    }

    /// Asks one service after the other about `said`, each about what the one before it has left, until all have let it pass,
    /// some of it perhaps masked.
    ///
    /// # Errors
    /// It is rejected, or a service said nothing and what it does not judge does not pass; the client left.
    pub(super) async fn judge(
        &self,
        client: &Stream,
        entry: &mut Entry,
        said: &mut [Said],
    ) -> Result<(), Fault> {
        let serving = entry.serving.clone();
        for (place, index) in self.services.iter().enumerate() {
            let Some(service) = serving.in_force.snapshot.services.get(*index as usize) else { continue };
            if said.is_empty() {
                return Ok(());
            }
            let lines = self.lines.get(place).map(Vec::as_slice).unwrap_or_default();
            let verdict = match service.asks.question(self.phase, said) {
                Some(question) => self.ask(client, entry, service, lines, &question, said.len()).await,
                None => Err(Fault::Unaskable),
            };
            let checked = match verdict {
                Ok(verdict) => apply(verdict, service, said),
                Err(fault) => Err(fault),
            };
            let counters = &entry.worker.desk.counters.guard_checks;
            let count = |check| counters.count(service.asks.name(), self.phase.name(), check);
            match checked {
                Ok(check) => count(check),
                Err(Fault::Unjudged(_)) if service.fails_open => count(Check::FailOpen),
                Err(fault) => {
                    match &fault {
                        Fault::ClientGone => return Err(fault),
                        Fault::Rejected(_) => count(Check::Reject),
                        _ => count(Check::FailClosed),
                    }
                    entry.rejected_by(service.rejection.by);
                    return Err(fault);
                }
            }
        }
        Ok(())
    }

    /// Asks one service.
    async fn ask(
        &self,
        client: &Stream,
        entry: &Entry,
        service: &GuardService,
        lines: &[u8],
        question: &[u8],
        asked: usize,
    ) -> Result<Verdict, Fault> {
        let (worker, serving) = (&entry.worker, &entry.serving);
        let Some(pool) = serving.pools.get(service.target as usize) else { return Err(Fault::NoBackend) };
        let most = ANSWER_MAX.min(serving.in_force.snapshot.settings.timeouts.first_byte);
        let until = self.until.min(worker.ring.now() + most);
        let mut request = head_of(service, self.phase, lines, question.len());
        request.extend_from_slice(question);
        let bounds = &serving.in_force.snapshot.settings.upstream;
        let asking = Asking { worker, client, until, bounds };
        match asking.answer(pool, &request).await {
            Ok(answer) => {
                let verdict = service.asks.verdict(self.phase, &answer, asked);
                verdict.map_err(|Garbage(why)| Fault::Unjudged(why))
            }
            Err(Fault::ClientGone) => Err(Fault::ClientGone),
            Err(_) if worker.ring.now() >= self.until => Err(Fault::JudgedLate),
            Err(fault) => Err(Fault::Unjudged(why(&fault))),
        }
    }
}

/// Lines that we write ourselves, or that are about the body that we do not send.
fn is_ours(known: Known) -> bool {
    matches!(
        known,
        Known::Host | Known::Expect | Known::AcceptEncoding | Known::ContentType | Known::ContentEncoding
    )
}

/// Whether lines of that name are sent on: all of them are, when one has a value that is looked for.
fn is_forwarded(service: &GuardService, headers: &Headers, bytes: &[u8], name: &[u8]) -> bool {
    let mut matches =
        service.forward.iter().filter(|(wanted, _)| wanted.as_bytes().eq_ignore_ascii_case(name));
    matches.any(|(_, wanted)| headers.named(bytes, name).any(|value| wanted.accepts(value.of(bytes))))
}

fn head_of(service: &GuardService, phase: Phase, lines: &[u8], length: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(length + lines.len() + 512);
    write::request_line(&mut out, b"POST", service.asks.path(phase).as_bytes());
    write::header(&mut out, b"host", service.host_header.as_bytes());
    if let Some(credential) = &service.credential {
        write::header(&mut out, b"authorization", credential.expose());
    }
    out.extend_from_slice(lines);
    write::header(&mut out, b"accept", b"application/json");
    write::header(&mut out, b"accept-encoding", b"identity");
    write::header(&mut out, b"content-type", b"application/json");
    write::content_length(&mut out, length as u64);
    write::end(&mut out);
    out
}

/// Does to the texts what a service says.
fn apply(verdict: Verdict, service: &GuardService, said: &mut [Said]) -> Result<Check, Fault> {
    let reject = |rejection| Err(Fault::Rejected(rejection));
    match verdict {
        Verdict::Pass => Ok(Check::Pass),
        Verdict::Flagged => reject(service.rejection.clone()),
        Verdict::Rejected { status, message } => {
            reject(Arc::new(Rejection { by: service.rejection.by, status, message }))
        }
        Verdict::Masked(texts) => {
            // What is out already cannot be masked any more.
            let is_out =
                |(said, text): (&Said, &String)| said.text.get(..said.passed) != text.get(..said.passed);
            if said.iter().zip(&texts).any(is_out) {
                return reject(service.rejection.clone());
            }
            let mut check = Check::Pass;
            for (said, text) in said.iter_mut().zip(texts) {
                if said.text != text {
                    (said.text, check) = (text, Check::Mask);
                }
            }
            Ok(check)
        }
    }
}

fn why(fault: &Fault) -> &'static str {
    match fault {
        Fault::ProviderSlow => "it did not answer in time",
        Fault::Unresolved => "its name does not resolve",
        Fault::Connect(why) => why,
        Fault::Broken => "it closed the connection without an answer",
        Fault::Unjudged(why) => why,
        _ => "its answer is malformed",
    }
}

/// A question on its way.
struct Asking<'a> {
    worker: &'a Rc<Worker>,
    client: &'a Stream,
    until: Tick,
    bounds: &'a config::Upstream,
}

impl Asking<'_> {
    /// The body of the answer to `request`. One more attempt is made, on a new connection, when the first was made on an idle one
    /// that had died.
    async fn answer(&self, pool: &Rc<Pool>, request: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut reuse = true;
        loop {
            let upstream = self.in_time(Upstream::checkout(self.worker, pool, reuse)).await??;
            let again = upstream.is_reused();
            match self.once(upstream, request).await {
                Err(Fault::Broken) if again => reuse = false,
                answered => return answered,
            }
        }
    }

    async fn once(&self, upstream: Upstream, request: &[u8]) -> Result<Vec<u8>, Fault> {
        let mut gather = Gather::of(request.to_vec(), Vec::new());
        gather.whole();
        upstream.socket().set_deadline(self.until);
        if upstream.start_send(gather).is_err() {
            return Err(Fault::Broken);
        }
        let mut sending = Sending::default();
        let heads = Heads::new(self.bounds, Headers::default());
        let began = sending.until_answered(&upstream, self.client, (heads, Vec::new())).await?;
        let (head, bytes) = began.ok_or(Fault::Broken)?;
        if !(200..300).contains(&head.status) {
            return Err(Fault::Unjudged("it answered with an error"));
        }
        if head.headers.contains(Known::ContentEncoding) {
            return Err(Fault::Unjudged("its answer has a content coding that it was asked not to use"));
        }
        let (answer, is_clean) = self.body(&upstream, &head, bytes).await?;
        if is_clean && sending.is_sent() && head.keep_alive && head.framing != Framing::UntilClose {
            upstream.give_back(self.worker);
        }
        Ok(answer)
    }

    /// The body of an answer, and whether nothing came behind it. `bytes` hold its head and what came with it.
    async fn body(
        &self,
        upstream: &Upstream,
        head: &ResponseHead,
        mut bytes: Vec<u8>,
    ) -> Result<(Vec<u8>, bool), Fault> {
        let malformed = |_| Fault::Unjudged("its answer is malformed, or larger than the question may be");
        let reader = BodyReader::new(head.framing, QUESTION_BYTES_MAX as u64).map_err(malformed)?;
        let mut reader = reader.held_to(self.bounds.chunks);
        let (mut answer, mut at) = (Vec::new(), head.len);
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let progress = reader.read(rest, |span| answer.extend_from_slice(span.of(rest)));
            let progress = progress.map_err(malformed)?;
            if progress.done || reader.is_done() {
                return Ok((answer, progress.consumed == rest.len()));
            }
            bytes.clear();
            at = 0;
            match upstream.fill_for(self.client, &mut bytes).await? {
                Ok(0) => reader.end_of_stream().map_err(malformed)?,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                    return Err(Fault::ProviderSlow);
                }
                Err(_) => return Err(Fault::Unjudged("its answer broke off")),
            }
        }
    }

    /// What comes of `doing`, unless the client leaves or the time is over before.
    async fn in_time<T>(&self, doing: impl Future<Output = T>) -> Result<T, Fault> {
        let mut doing = pin!(doing);
        let left = self.until.since(self.worker.ring.now());
        let mut over = pin!(sleep(&self.worker.ring, left));
        poll_fn(|cx| {
            if let Poll::Ready(done) = doing.as_mut().poll(cx) {
                return Poll::Ready(Ok(done));
            }
            if over.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Err(Fault::ProviderSlow));
            }
            self.client.poll_gone(cx).map(|()| Err(Fault::ClientGone))
        })
        .await
    }
}
