//! One kept connection: a request out, its answer in, judged while it comes.

use super::answer::{Head, Piece, Reader};
use super::check::{Checker, Said};
use super::events::Events;
use super::{Ask, BODY_BYTES_MAX, Leave, Tally};
use crate::readiness::{Readiness, Watched};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

/// What has become of a connection when its socket was ready.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing yet.
    Wait,
    /// It is open.
    Opened,
    /// It could not be opened.
    Refused(String),
    /// The exchange has ended, and the connection can be used again.
    Done(End),
    /// The exchange has ended, if there was one, and the connection with it.
    Gone(Option<End>),
}

/// How an exchange ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Completed,
    Left,
    Different(String),
    Broken(String),
}

/// Where the answers of a thread are judged and counted.
pub(crate) struct Desk<'a> {
    /// One for each ask.
    pub(crate) checkers: Vec<Checker<'a>>,
    pub(crate) tally: Tally,
}

#[derive(Default)]
pub(crate) struct Connection {
    socket: Option<Watched<TcpStream>>,
    opening: bool,
    reader: Reader,
    events: Events,
    /// The body of a whole answer, and the beginning of any that is not right.
    body: Vec<u8>,
    exchange: Option<Exchange>,
}

/// A request and its answer so far.
struct Exchange {
    /// Which of the asks it is.
    ask: usize,
    planned: Instant,
    sent: Instant,
    /// Bytes of the request that the kernel has taken.
    written: usize,
    head: Option<Head>,
    said: Said,
    /// When the first and the last event came.
    first: Option<Instant>,
    last: Instant,
    /// Why it is not right.
    wrong: Option<String>,
}

impl Connection {
    /// Begins to open it; [`Connection::on_ready`] tells when it is open.
    pub(crate) fn open(&mut self, readiness: &Readiness, key: usize, addr: SocketAddr) -> io::Result<()> {
        use socket2::{Domain, Protocol, Socket, Type};
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        match socket.connect(&addr.into()) {
            Err(error) if error.raw_os_error() != Some(EINPROGRESS) => return Err(error),
            _ => {}
        }
        let mut socket = readiness.watch(TcpStream::from(socket), key)?;
        socket.set_interest(true, true)?;
        *self = Connection { socket: Some(socket), opening: true, ..Connection::default() };
        Ok(())
    }

    /// Closes it, whatever is under way.
    pub(crate) fn close(&mut self) {
        *self = Connection::default();
    }

    /// Sends a request that was planned for `planned`.
    pub(crate) fn begin(&mut self, ask: usize, planned: Instant, desk: &mut Desk<'_>) -> Step {
        let sent = Instant::now();
        self.body.clear();
        self.events.clear();
        self.exchange = Some(Exchange {
            ask,
            planned,
            sent,
            written: 0,
            head: None,
            said: Said::default(),
            first: None,
            last: sent,
            wrong: None,
        });
        self.send(desk)
    }

    /// The socket is ready for something.
    pub(crate) fn on_ready(&mut self, scratch: &mut [u8], desk: &mut Desk<'_>) -> Step {
        if self.opening {
            return self.on_opened();
        }
        if self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.written < desk.checkers[exchange.ask].ask.bytes.len())
        {
            match self.send(desk) {
                Step::Wait => {}
                step => return step,
            }
        }
        let Some(socket) = &self.socket else { return Step::Wait };
        match socket.socket().read(scratch) {
            Ok(0) => self.on_end(desk),
            Ok(count) => {
                let now = Instant::now();
                desk.tally.bytes += count as u64;
                self.receive(&scratch[..count], now, desk)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                Step::Wait
            }
            Err(error) => self.broken(&format!("reading: {error}")),
        }
    }

    fn on_opened(&mut self) -> Step {
        let Some(socket) = &mut self.socket else { return Step::Wait };
        let failed = match socket.socket().take_error() {
            Ok(None) => socket.set_interest(true, false).err(),
            Ok(failed) => failed,
            Err(error) => Some(error),
        };
        match failed {
            Some(error) => Step::Refused(error.to_string()),
            None => {
                self.opening = false;
                Step::Opened
            }
        }
    }

    /// Hands over what the kernel takes of the request.
    fn send(&mut self, desk: &mut Desk<'_>) -> Step {
        let (Some(socket), Some(exchange)) = (&mut self.socket, &mut self.exchange) else {
            return Step::Wait;
        };
        let ask = desk.checkers[exchange.ask].ask;
        while exchange.written < ask.bytes.len() {
            match socket.socket().write(&ask.bytes[exchange.written..]) {
                Ok(count) => exchange.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return self.broken(&format!("sending: {error}")),
            }
        }
        let sent = exchange.written == ask.bytes.len();
        if let Err(error) = socket.set_interest(true, !sent) {
            return self.broken(&error.to_string());
        }
        if !sent {
            return Step::Wait;
        }
        desk.tally.sent += 1;
        if ask.leave == Leave::AfterRequest { Step::Gone(Some(End::Left)) } else { Step::Wait }
    }

    /// Reads on in the answer.
    fn receive(&mut self, mut bytes: &[u8], now: Instant, desk: &mut Desk<'_>) -> Step {
        if self.exchange.is_none() {
            desk.tally.strays += 1;
            desk.tally.example("stray", &String::from_utf8_lossy(&bytes[..bytes.len().min(300)]));
            return Step::Gone(None);
        }
        loop {
            match self.reader.next(&mut bytes) {
                Ok(None) => return Step::Wait,
                Ok(Some(Piece::Head(head))) => self.on_head(head),
                Ok(Some(Piece::Body(piece))) => match self.on_body(piece, now, desk) {
                    Ok(false) => {}
                    Ok(true) => return Step::Gone(Some(End::Left)),
                    Err(why) => return self.broken(&why),
                },
                Ok(Some(Piece::End)) => {
                    return self.on_complete(now, !bytes.is_empty(), desk);
                }
                Err(why) => return self.broken(why),
            }
        }
    }

    fn on_head(&mut self, head: Head) {
        let Some(exchange) = &mut self.exchange else { return };
        exchange.head = Some(head);
        if head.status != 200 {
            exchange.wrong = Some(format!("status {}", head.status));
        }
    }

    /// True when it is time to leave.
    fn on_body(&mut self, piece: &[u8], now: Instant, desk: &mut Desk<'_>) -> Result<bool, String> {
        let Some(exchange) = &mut self.exchange else { return Ok(false) };
        let head = exchange.head.unwrap_or_default();
        if !head.events {
            if self.body.len() + piece.len() > BODY_BYTES_MAX {
                return Err("the answer is too long".to_string());
            }
            self.body.extend_from_slice(piece);
            return Ok(false);
        }
        let Desk { checkers, tally } = desk;
        let checker = &mut checkers[exchange.ask];
        self.events.eat(piece, |event| {
            tally.events += 1;
            exchange.on_event(now, tally);
            if exchange.wrong.is_none()
                && let Err(why) = checker.part(&mut exchange.said, event, head.number.as_ref())
            {
                exchange.wrong = Some(why);
            }
            Ok::<(), String>(())
        })?;
        let come = exchange.said.parts as u32;
        Ok(matches!(checker.ask.leave, Leave::AfterEvents(events) if come >= events))
    }

    /// The answer has come to its end.
    fn on_complete(&mut self, now: Instant, more: bool, desk: &mut Desk<'_>) -> Step {
        let Some(mut exchange) = self.exchange.take() else { return Step::Wait };
        let head = exchange.head.unwrap_or_default();
        let checker = &mut desk.checkers[exchange.ask];
        let ask = checker.ask;
        let verdict = exchange.judge(checker, &self.body, self.events.open());
        desk.tally.usage += exchange.said.usage.unwrap_or_default();
        exchange.record(now, ask, &mut desk.tally);
        let end = verdict.map_or_else(End::Different, |()| End::Completed);
        if more {
            desk.tally.strays += 1;
            desk.tally.example("stray", "bytes behind the end of an answer");
        }
        let usable = head.keeps && !more && exchange.written == ask.bytes.len();
        if usable { Step::Done(end) } else { Step::Gone(Some(end)) }
    }

    /// The other side has closed.
    fn on_end(&mut self, desk: &mut Desk<'_>) -> Step {
        if self.exchange.is_some() && self.reader.ended() {
            return self.on_complete(Instant::now(), false, desk);
        }
        let place = if self.reader.is_fresh() { "before an answer" } else { "within an answer" };
        self.broken(&format!("the connection ended {place}"))
    }

    fn broken(&mut self, why: &str) -> Step {
        let far = self.exchange.take().map(|exchange| (exchange.said.parts, exchange.wrong));
        Step::Gone(far.map(|(parts, wrong)| {
            let wrong = wrong.map(|wrong| format!("; and {wrong}")).unwrap_or_default();
            End::Broken(format!("{why}, after {parts} events{wrong}"))
        }))
    }
}

impl Exchange {
    fn on_event(&mut self, now: Instant, tally: &mut Tally) {
        match self.first {
            None => {
                self.first = Some(now);
                tally.first.record(
                    now.saturating_duration_since(self.planned),
                    now.saturating_duration_since(self.sent),
                );
            }
            Some(_) => tally.gaps.record(now.saturating_duration_since(self.last)),
        }
        self.last = now;
    }

    /// The verdict on an answer that is complete.
    fn judge(&mut self, checker: &mut Checker<'_>, body: &[u8], open: usize) -> Result<(), String> {
        let head = self.head.unwrap_or_default();
        if let Some(wrong) = self.wrong.take() {
            let body = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
            return Err(if body.is_empty() { wrong } else { format!("{wrong}: {body}") });
        }
        let stream = checker.ask.stream;
        if head.events != stream {
            return Err("it is a stream and should be whole, or the other way round".to_string());
        }
        if open > 0 {
            return Err(format!("its last event has no end; {open} bytes of it came"));
        }
        if !stream {
            checker.part(&mut self.said, body, head.number.as_ref())?;
        }
        checker.end(&self.said)
    }

    /// Enters how long it took.
    fn record(&self, now: Instant, ask: &Ask, tally: &mut Tally) {
        let (planned, sent) =
            (now.saturating_duration_since(self.planned), now.saturating_duration_since(self.sent));
        if !ask.stream {
            tally.whole.record(planned, sent);
            return;
        }
        tally.streams.record(planned, sent);
        let talking = self.first.map(|first| self.last.saturating_duration_since(first)).unwrap_or_default();
        if let (false, Some(usage)) = (talking.is_zero(), self.said.usage) {
            tally.speeds.record_number((usage.output as f64 / talking.as_secs_f64()) as u64);
        }
    }
}

/// A connection that is being opened says so with this error.
const EINPROGRESS: i32 = rustix::io::Errno::INPROGRESS.raw_os_error();
