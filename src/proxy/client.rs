//! A client's connection: reads heads and bodies, remembers what came too early.

mod coded;

use super::caller::Memo;
use super::fault::Fault;
use super::held::{Held, Part};
use super::stream::Stream;
use super::worker::Worker;
use crate::base::{Span, Tick};
use crate::config::{Requests, Timeouts};
use crate::llm::{Ask, BadBody, Inspector};
use crate::runtime::Gather;
use crate::wire::http1::{BodyReader, Framing, HeadFault, HeadScan, Headers, RequestHead, write};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

/// The connection of a client. One exchange after the other: [`head`](Client::head), then the body by
/// [`body`](Client::body) or its kin, then answers by [`send`](Client::send).
pub(super) struct Client {
    pub(super) socket: Stream,
    pub(super) peer: SocketAddr,
    /// Which listener of the configuration it came in at.
    pub(super) listener: usize,
    /// Received and not consumed: the head that is being read, or what a client that pipelines sent ahead.
    buf: Vec<u8>,
    /// Whether no request was waited for yet.
    is_new: bool,
    /// Buffers for the next answer; `theirs` for what the provider says.
    spare: Gather,
    /// The buffer for the next request upstream.
    request: Vec<u8>,
    /// For small texts about the next request: its target, what is edited into its body.
    text: Vec<u8>,
    /// For where the payload of the next part of a body stands.
    spans: Vec<Span>,
    /// For the lines of the next request's head, and of its answer's.
    lines: [Headers; 2],
    /// The keys of the last request.
    pub(super) memo: RefCell<Memo>,
}

/// A request as received: its head, and as much of its body as has been read.
pub(super) struct Message {
    /// The head's bytes, then the body's.
    pub(super) bytes: Vec<u8>,
    /// Where the body stands, once it is complete.
    pub(super) body: Span,
    /// Whether all of the request was read, so that the next one can be found on the connection.
    pub(super) complete: bool,
    /// Bytes of the head and, once it is complete, of the body as it came, framing taken out.
    pub(super) received: u64,
}

impl Message {
    /// Lets go of a large body that nobody asks for any more.
    pub(super) fn forget_body(&mut self) {
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

/// Buffers above this are not kept for the next exchange.
const KEPT_BYTES_MAX: usize = 32 << 10;

/// The most bytes that are reserved for a body that says how long it will be; what is longer grows as it comes.
const RESERVED_BYTES_MAX: u64 = 1 << 20;

/// Lists of spans that are longer are not kept.
const KEPT_SPANS_MAX: usize = 64;

/// Room that the head of a request upstream hardly ever exceeds.
const REQUEST_HEAD_BYTES: usize = 1 << 10;

/// Bytes that are read and thrown away while a connection lingers: what a client can have on its way that does
/// not look for an answer before it has sent everything. Its time is bounded by `timeouts.linger`.
const LINGER_BYTES_MAX: usize = 128 << 20;

impl Client {
    pub(super) fn new(socket: Stream, peer: SocketAddr, listener: usize) -> Client {
        Client {
            socket,
            peer,
            listener,
            is_new: true,
            buf: Vec::new(),
            spare: Gather::default(),
            request: Vec::new(),
            text: Vec::new(),
            spans: Vec::new(),
            lines: [Headers::default(), Headers::default()],
            memo: RefCell::default(),
        }
    }

    /// The next request head; `None` when the client is done, or idle for too long, or the worker drains.
    pub(super) async fn head(&mut self, worker: &Worker) -> Result<Option<RequestHead>, Fault> {
        let serving = worker.serving();
        let settings = &serving.in_force.snapshot.settings;
        let mut scan = HeadScan::reusing(std::mem::take(&mut self.lines[0]));
        // Who was still shaking hands when the others heard of draining has as long as they had, from then on.
        let is_late = std::mem::take(&mut self.is_new) && worker.is_draining();
        if self.buf.is_empty() {
            self.socket.rest();
            let Timeouts { idle, drain_idle, .. } = settings.timeouts;
            self.socket.deadline_in(if is_late { idle.min(drain_idle) } else { idle });
            let filled = match is_late {
                true => self.socket.fill(&mut self.buf).await,
                false => self.fill_unless_draining(worker).await,
            };
            match filled {
                Ok(1..) => {}
                Ok(0) | Err(_) => {
                    self.socket.say_goodbye(settings.timeouts.linger).await;
                    return Ok(None);
                }
            }
        }
        self.socket.deadline_in(settings.timeouts.head);
        loop {
            if let Some(head) = scan.request(&self.buf, &settings.requests.heads).map_err(Fault::Head)? {
                return match head.is_for_https(&self.buf) && !self.socket.is_secure() {
                    true => Err(Fault::Head(HeadFault::Insecure)),
                    false => Ok(Some(head)),
                };
            }
            self.fill("head").await?;
        }
    }

    /// Takes over the bytes of the request whose head was read, with what has come of its body already. What
    /// follows a request without a body is the next one and stays here, whatever becomes of this one.
    pub(super) fn take_message(&mut self, head: &RequestHead) -> Message {
        let mut bytes = std::mem::take(&mut self.buf);
        let complete = matches!(head.framing, Framing::None | Framing::Length(0));
        if complete {
            self.buf = bytes.split_off(head.len);
        }
        Message { bytes, body: Span::default(), complete, received: head.len as u64 }
    }

    /// Reads the whole body into `message`, right behind the head, chunk framing taken out, inspecting it as
    /// it arrives.
    ///
    /// # Errors
    /// Bad framing, too large, too slow, gone; and as the inspector says, as soon as it knows.
    pub(super) async fn body(
        &mut self,
        message: &mut Message,
        head: &RequestHead,
        mut inspector: Inspector,
        (bounds, held): (&Requests, &mut Held),
        timeouts: &Timeouts,
    ) -> Result<Ask, Fault> {
        let reader = BodyReader::new(head.framing, bounds.body_bytes).map_err(Fault::Body)?;
        let mut reader = reader.held_to(bounds.chunks);
        // `decoded` never overtakes `raw`: taking the framing out only moves bytes towards the front.
        let (mut raw, mut decoded) = (head.len, head.len);
        if let Framing::Length(length) = head.framing {
            let rest = (head.len as u64 + length).saturating_sub(message.bytes.len() as u64);
            message.bytes.reserve(rest.min(RESERVED_BYTES_MAX) as usize);
        }
        self.socket.deadline_in(timeouts.body);
        if head.expects_continue && message.bytes.len() == head.len && !reader.is_done() {
            self.send_continue(timeouts).await?;
        }
        loop {
            let spans = &mut self.spans;
            let progress = reader.read(&message.bytes[raw..], |span| spans.push(span.shifted(raw)));
            let progress = progress.map_err(Fault::Body)?;
            for span in spans.drain(..) {
                if span.start as usize != decoded {
                    message.bytes.copy_within(span.range(), decoded);
                }
                decoded += span.len();
            }
            raw += progress.consumed;
            if progress.done {
                break;
            }
            // All that arrived is dealt with. What framed it goes, or a body in tiny chunks would take many times its room.
            message.bytes.truncate(decoded);
            raw = decoded;
            inspector.feed(&message.bytes[head.len..]).map_err(|fault| bad_body(fault.into()))?;
            held.set(Part::Request, message.bytes.len())?;
            let arrived = self.socket.fill_behind(&mut message.bytes).await;
            arrival(arrived, "body")?;
        }
        // What follows belongs to the next request, also when this one is refused for what its body says.
        self.buf.extend_from_slice(&message.bytes[raw..]);
        message.bytes.truncate(decoded);
        message.body = Span::new(head.len, decoded);
        message.complete = true;
        message.received = decoded as u64;
        held.set(Part::Request, decoded)?;
        inspector.feed(message.body.of(&message.bytes)).map_err(|fault| bad_body(fault.into()))?;
        inspector.finish(message.body.of(&message.bytes)).map_err(bad_body)
    }

    /// Sends `gather`, within the time that a client may take to read it.
    pub(super) async fn send(&mut self, gather: Gather, within: Duration) -> Result<Gather, Fault> {
        self.socket.deadline_in(within);
        let (mut gather, sent) = self.socket.send(gather).await;
        gather.clear();
        sent.map_err(|_| Fault::ClientGone)?;
        Ok(gather)
    }

    /// Buffers for an answer: empty, with the capacity of earlier ones.
    pub(super) fn spare(&mut self) -> Gather {
        std::mem::take(&mut self.spare)
    }

    /// A buffer for the bytes of the provider's answer.
    pub(super) fn scratch(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.spare.theirs)
    }

    /// Buffers for a request upstream.
    pub(super) fn spare_request(&mut self) -> Gather {
        let mut ours = std::mem::take(&mut self.request);
        ours.reserve(REQUEST_HEAD_BYTES);
        Gather::of(ours, Vec::new())
    }

    /// Keeps the list of a request's head for the next one.
    pub(super) fn keep_head(&mut self, head: RequestHead) {
        self.lines[0] = head.headers;
    }

    /// The list of an earlier answer's head.
    pub(super) fn spare_lines(&mut self) -> Headers {
        std::mem::take(&mut self.lines[1])
    }

    /// Keeps the list of an answer's head for the next one.
    pub(super) fn keep_lines(&mut self, lines: Headers) {
        self.lines[1] = lines;
    }

    /// A list for the spans of payload: empty, with the capacity of earlier ones.
    pub(super) fn spare_spans(&mut self) -> Vec<Span> {
        std::mem::take(&mut self.spans)
    }

    /// Keeps a list of spans for the next part.
    pub(super) fn keep_spans(&mut self, mut spans: Vec<Span>) {
        spans.clear();
        if spans.capacity() <= KEPT_SPANS_MAX {
            self.spans = spans;
        }
    }

    /// A buffer for a small text: empty, with the capacity of earlier ones.
    pub(super) fn spare_text(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.text)
    }

    /// Keeps the buffer of a text for the next one; of two the larger.
    pub(super) fn keep_text(&mut self, mut text: Vec<u8>) {
        text.clear();
        if (self.text.capacity()..=KEPT_BYTES_MAX).contains(&text.capacity()) {
            self.text = text;
        }
    }

    /// Keeps the buffer of a text for the next one, and leaves an empty text without one.
    pub(super) fn empty_text(&mut self, text: Vec<u8>) -> Vec<u8> {
        self.keep_text(text);
        Vec::new()
    }

    /// Keeps the buffers of a request that was sent for the next one.
    pub(super) fn keep_request(&mut self, sent: Gather) {
        let Gather { mut ours, theirs, .. } = sent;
        ours.clear();
        if ours.capacity() <= KEPT_BYTES_MAX {
            self.request = ours;
        }
        self.keep_message(theirs);
    }

    /// Gives the buffers of an answer back for the next one.
    pub(super) fn recycle(&mut self, mut spare: Gather) {
        spare.clear();
        if spare.ours.capacity() + spare.theirs.capacity() <= KEPT_BYTES_MAX {
            self.spare = spare;
        }
    }

    /// Keeps the buffer of a request for the next one.
    pub(super) fn keep_message(&mut self, mut message: Vec<u8>) {
        message.clear();
        if self.buf.capacity() == 0 && message.capacity() <= KEPT_BYTES_MAX {
            self.buf = message;
        }
    }

    /// Puts back what a streamed body left over.
    pub(super) fn put_back(&mut self, rest: &[u8]) {
        self.buf.extend_from_slice(rest);
    }

    /// Ends the connection so that the client still reads our last answer although it goes on sending: closing
    /// with unread input makes the kernel reset the connection, and the reset destroys the answer on its way
    /// (RFC 9112 section 9.6). It may pause for the linger time, and go on for no longer than a body may take.
    pub(super) async fn linger(mut self, worker: &Worker) {
        let timeouts = worker.serving().in_force.snapshot.settings.timeouts.clone();
        self.socket.say_goodbye(timeouts.linger).await;
        self.socket.socket().shutdown_write();
        let (started, mut thrown) = (worker.ring.now(), 0);
        loop {
            let patience = if worker.is_draining() { timeouts.linger } else { timeouts.body };
            if thrown >= LINGER_BYTES_MAX || worker.ring.now().since(started) >= patience {
                return;
            }
            self.socket.deadline_in(timeouts.linger);
            self.buf.clear();
            match self.socket.fill(&mut self.buf).await {
                Ok(0) | Err(_) => return,
                Ok(n) => thrown += n,
            }
        }
    }

    /// Tells a client that waits for it to send its body.
    pub(super) async fn send_continue(&mut self, timeouts: &Timeouts) -> Result<(), Fault> {
        let mut gather = self.spare();
        gather.ours.extend_from_slice(write::CONTINUE);
        gather.whole();
        self.spare = self.send(gather, timeouts.stream_idle).await?;
        self.socket.deadline_in(timeouts.body);
        Ok(())
    }

    async fn fill(&mut self, what: &'static str) -> Result<(), Fault> {
        let filled = self.socket.fill(&mut self.buf).await;
        arrival(filled, what)
    }

    /// A request that arrives before, or soon after, the worker hears of draining is served.
    async fn fill_unless_draining(&mut self, worker: &Worker) -> io::Result<usize> {
        poll_fn(|cx| match self.socket.poll_fill(cx, &mut self.buf) {
            Poll::Pending if worker.ends_idle() => Poll::Ready(Ok(0)),
            filled => filled,
        })
        .await
    }
}

/// What it means that `filled` came of waiting for a part of the request.
pub(super) fn arrival(filled: io::Result<usize>, what: &'static str) -> Result<(), Fault> {
    match filled {
        Ok(1..) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Fault::Slow(what)),
        Ok(0) | Err(_) => Err(Fault::ClientGone),
    }
}

/// What it means that a body is no request.
pub(super) fn bad_body(bad: BadBody) -> Fault {
    match bad {
        BadBody::Json(fault) => {
            let message = format!("the body is not a valid request: {} at byte {}", fault.reason(), fault.at);
            Fault::BadRequest { param: String::new(), message }
        }
        BadBody::Field { name, expected } => {
            Fault::BadRequest { param: name.to_owned(), message: format!("{name} must be {expected}") }
        }
    }
}

/// The time by which an exchange that began at `started` must be over.
pub(super) fn whole_deadline(started: Tick, request: Option<Duration>) -> Tick {
    request.map_or(Tick(u64::MAX), |time| started + time)
}
