//! A request on its way, and the head of what comes back.

use crate::config;
use crate::proxy::entry::{Entry, Reached};
use crate::proxy::fault::Fault;
use crate::proxy::stream::Stream;
use crate::proxy::upstream::{Upstream, is_about_our_certificate, tls_why};
use crate::runtime::Gather;
use crate::wire::http1::{HeadFault, HeadLimits, HeadScan, Headers, Method, ResponseHead};
use std::future::poll_fn;
use std::io;
use std::task::Poll;

/// An answer that has begun: its head, the bytes of that and what came with them, and the request if all of it has left.
pub(super) struct Began {
    pub(super) head: ResponseHead,
    pub(super) bytes: Vec<u8>,
    pub(super) sent: Option<Gather>,
}

/// Why no answer has begun.
pub(super) enum Failure {
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
pub(super) async fn attempt(
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
pub(in crate::proxy) struct Sending {
    /// The request when its send is over.
    request: Option<Gather>,
    /// Some of it was not taken.
    unsent: bool,
}

impl Sending {
    /// Whether all of the request has left, so that the connection can be used again.
    pub(in crate::proxy) fn is_sent(&self) -> bool {
        self.request.is_some() && !self.unsent
    }

    /// The answer's head and what came with it; `None` when the connection broke before any byte of one.
    pub(in crate::proxy) async fn until_answered(
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
pub(in crate::proxy) struct Heads {
    scan: HeadScan,
    limits: HeadLimits,
    /// How many interim ones may still come.
    interim_left: u32,
}

impl Heads {
    /// Heads within these bounds; the head's lines are listed where those of an earlier one were.
    pub(in crate::proxy) fn new(bounds: &config::Upstream, lines: Headers) -> Heads {
        let scan = HeadScan::reusing(lines);
        Heads { scan, limits: bounds.heads, interim_left: bounds.interim_answers }
    }

    /// The head that `bytes` begin with, once it is there, of an answer to a request with method `to`; interim
    /// ones are taken away.
    pub(in crate::proxy) fn read(
        &mut self,
        bytes: &mut Vec<u8>,
        to: Method,
    ) -> Result<Option<ResponseHead>, Fault> {
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
pub(in crate::proxy) fn is_theirs(error: &io::Error) -> bool {
    let is_closed = matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset);
    is_closed || error.raw_os_error().is_none()
}

enum Event {
    Sent(Gather, io::Result<()>),
    Filled(io::Result<usize>),
    ClientGone,
}
