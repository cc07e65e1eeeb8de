//! One client: its head is read, and its body where one is wanted; it is answered, and the connection closed; each
//! within its time.

use super::answer::Answer;
use super::pages::{Pages, Request, Step};
use crate::base::{Moment, Tick};
use crate::wire::http1::{Framing, HeadFault, HeadLimits, HeadScan, Known, Method, RequestHead, write};
use socket2::Socket;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// From the connection to the end of the head.
const ASK_MAX: Duration = Duration::from_secs(2);
/// From the end of the head to the end of the body, where one is wanted.
const BODY_WITHIN: Duration = Duration::from_secs(2);
/// From the request to the last byte of the answer in the kernel's hands.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// From the answer to the client's end of the connection.
const LINGER_MAX: Duration = Duration::from_millis(500);
/// How long a read or a write blocks before it is asked again whether it still may: how long a stop takes.
const SLICE: Duration = Duration::from_millis(50);
/// The longest body that is read for its content.
const BODY_MAX: u64 = 64 << 10;
/// What a client may send beyond what is read before it is cut off.
const LINGER_BYTES_MAX: usize = 64 << 10;

const HEAD_BYTES: usize = 8 << 10;
const LIMITS: HeadLimits = HeadLimits { head_bytes: HEAD_BYTES, headers: 64, target_bytes: 2 << 10 };

/// Serves one request and closes. Each answer is the last on its connection: whoever asks here asks once in
/// some seconds, and an idle connection would hold one of few threads.
///
/// # Errors
/// The client is gone, or was slower than it may; there is nobody left to tell.
pub(super) fn serve(
    stream: &Socket,
    peer: Option<SocketAddr>,
    pages: &Pages,
    stopping: &AtomicBool,
) -> io::Result<()> {
    stream.set_read_timeout(Some(SLICE))?;
    stream.set_write_timeout(Some(SLICE))?;
    if peer.is_some() {
        stream.set_tcp_nodelay(true)?;
    }
    let client = Client { stream, stopping, now: pages.now };
    let mut buf = [0; HEAD_BYTES];
    let (answer, has_body) = match client.head(&mut buf)? {
        Asked::For(head, filled) => {
            let answer = match pages.receive(&request(&head, &buf)) {
                Step::Answer(answer) => answer,
                Step::Body(order) => {
                    match client.body(&head, buf.get(head.len..filled).unwrap_or_default())? {
                        Ok(body) => pages.carry_out(order, &body, peer),
                        Err(refusal) => refusal,
                    }
                }
            };
            (answer, head.method != Method::Head)
        }
        Asked::Wrongly(fault) => (Answer::plain(fault.status(), fault.reason()), true),
        Asked::TooSlowly => (Answer::plain(408, "the head did not arrive in time"), true),
    };
    client.write(&encode(&answer, has_body))?;
    client.linger(&mut buf)
}

fn request<'a>(head: &RequestHead, buf: &'a [u8]) -> Request<'a> {
    // Of a header that comes twice, nobody can say which one is meant.
    let only = |known| head.headers.first(known).filter(|_| !head.headers.is_repeated(known));
    Request {
        method: head.method,
        path: head.path_of(buf),
        query: head.query.map_or(&[][..], |query| query.of(buf)),
        authorization: only(Known::Authorization).map(|value| value.of(buf)),
        content_type: only(Known::ContentType).map(|value| value.of(buf)),
    }
}

/// What came of waiting for a head.
enum Asked {
    /// A head, and how many bytes are there with it.
    For(Box<RequestHead>, usize),
    Wrongly(HeadFault),
    TooSlowly,
}

/// A connection and what bounds it.
struct Client<'a> {
    stream: &'a Socket,
    stopping: &'a AtomicBool,
    now: fn() -> Moment,
}

impl Client<'_> {
    /// Reads a head into the start of `buf`. A client that says nothing at all hears nothing.
    fn head(&self, buf: &mut [u8; HEAD_BYTES]) -> io::Result<Asked> {
        let until = self.within(ASK_MAX);
        let (mut scan, mut filled) = (HeadScan::default(), 0);
        loop {
            match self.read(buf.get_mut(filled..).unwrap_or_default(), until) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::TimedOut && filled > 0 => {
                    return Ok(Asked::TooSlowly);
                }
                Err(error) => return Err(error),
            }
            match scan.request(buf.get(..filled).unwrap_or_default(), &LIMITS) {
                Ok(None) => {} // never with a full buffer, which is as long as a head may be
                Ok(Some(head)) => return Ok(Asked::For(Box::new(head), filled)),
                Err(fault) => return Ok(Asked::Wrongly(fault)),
            }
        }
    }

    /// Reads the body to its end, of which `begun` came with the head; or the answer to one that is not taken.
    fn body(&self, head: &RequestHead, begun: &[u8]) -> io::Result<Result<Vec<u8>, Answer>> {
        let length = match head.framing {
            Framing::None => 0,
            Framing::Length(length) if length <= BODY_MAX => length as usize,
            Framing::Length(_) => {
                let why = format!("a body may have at most {BODY_MAX} bytes");
                return Ok(Err(Answer::fault(413, &why)));
            }
            Framing::Chunked | Framing::UntilClose => {
                return Ok(Err(Answer::fault(411, "send content-length, not chunks")));
            }
        };
        let until = self.within(BODY_WITHIN);
        let mut body = vec![0; length];
        let mut filled = begun.len().min(length);
        body[..filled].copy_from_slice(&begun[..filled]);
        if head.expects_continue && filled < length {
            self.write(write::CONTINUE)?;
        }
        while filled < length {
            match self.read(body.get_mut(filled..).unwrap_or_default(), until) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => filled += n,
                Err(error) if error.kind() == ErrorKind::TimedOut => {
                    return Ok(Err(Answer::fault(
                        408,
                        "the body did not arrive in time; nothing was changed",
                    )));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Ok(body))
    }

    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let until = self.within(ANSWER_MAX);
        while !bytes.is_empty() {
            let written = self.patiently(until, |mut stream| stream.write(bytes))?;
            bytes = bytes.get(written..).unwrap_or_default();
        }
        Ok(())
    }

    /// Reads what the client still sends until it closes: closing with unread bytes would reset the
    /// connection, and the client might lose the answer (RFC 9112 section 9.6).
    fn linger(&self, buf: &mut [u8]) -> io::Result<()> {
        let until = self.within(LINGER_MAX);
        self.stream.shutdown(Shutdown::Write)?;
        let mut left = LINGER_BYTES_MAX;
        while left > 0 {
            match self.read(buf, until)? {
                0 => break,
                n => left = left.saturating_sub(n),
            }
        }
        Ok(())
    }

    fn within(&self, time: Duration) -> Tick {
        (self.now)().tick + time
    }

    fn read(&self, buf: &mut [u8], until: Tick) -> io::Result<usize> {
        self.patiently(until, |mut stream| stream.read(buf))
    }

    /// Tries `step`, slice after slice. Time counts also for a client that always moves, a byte at a time.
    ///
    /// # Errors
    /// `TimedOut` after `until`, `ConnectionAborted` when the server stops, and what `step` meets.
    fn patiently(
        &self,
        until: Tick,
        mut step: impl FnMut(&Socket) -> io::Result<usize>,
    ) -> io::Result<usize> {
        loop {
            if self.stopping.load(Ordering::Acquire) {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            if (self.now)().tick >= until {
                return Err(ErrorKind::TimedOut.into());
            }
            match step(self.stream) {
                Err(error) if is_for_now(error.kind()) => {}
                result => return result,
            }
        }
    }
}

/// A time-out of the socket is `WouldBlock` on Linux; the standard library promises no more than either.
fn is_for_now(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// `content-length` is also in the answer to HEAD, which has no body (RFC 9110 section 8.6).
fn encode(answer: &Answer, has_body: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(answer.body.len() + 256);
    write::status_line(&mut out, answer.status);
    write::header(&mut out, b"content-type", answer.content_type.as_bytes());
    write::content_length(&mut out, answer.body.len() as u64);
    write::header(&mut out, b"cache-control", b"no-store");
    if let Some((name, value)) = answer.header {
        write::header(&mut out, name.as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(write::CONNECTION_CLOSE);
    write::end(&mut out);
    if has_body {
        out.extend_from_slice(&answer.body);
    }
    out
}
