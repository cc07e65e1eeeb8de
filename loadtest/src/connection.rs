//! One client: bytes in, requests, answers, bytes out.
//!
//! [`Connection::advance`] is the whole life of a connection: it goes on with whatever the connection is about
//! (a head, a body, an answer, the end) until that needs bytes, room or time that is not there. The server calls it
//! when the socket is ready and when the deadline has come; nothing else drives it.

mod output;
mod request;

use crate::answer::{After, Plan, StepKind};
use crate::http::{BodyReader, Head};
use crate::ledger::{AnswerEnd, Answered, Usage};
use crate::limits;
use crate::readiness::Watched;
use crate::script::{Ending, Fault, Script};
use crate::server::World;
use crate::text::{PLAIN_PERIOD, plain_byte};
use crate::timers::later;
use output::{Mark, Output};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read};
use std::net::{Shutdown, TcpStream};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Keep,
    /// Close it.
    Close,
    /// Reset it.
    Reset,
}

pub(crate) struct Connection {
    /// From 1, in order of arrival.
    pub(crate) number: u64,
    socket: Watched<TcpStream>,
    phase: Phase,
    /// Received and not yet read, from `input_at`.
    input: Vec<u8>,
    input_at: usize,
    /// Bytes of the head after `input_at` already searched for its end.
    searched: usize,
    request: Request,
    output: Output,
    /// Answers begun and not completed, oldest first.
    open_answers: VecDeque<OpenAnswer>,
    /// Usage stated so far by the first of them.
    stated: Option<Usage>,
    /// The client will send no more.
    eof: bool,
    /// How often the output may still be filled before the other connections have their turn.
    fillings_left: u32,
    idle_timeout: Option<Duration>,
    /// When to be woken, and the earliest wake-up asked for.
    deadline: Option<Instant>,
    armed: Option<Instant>,
}

/// The request being received or answered.
#[derive(Default)]
struct Request {
    head: Option<Box<Head>>,
    /// The head's bytes.
    bytes: Vec<u8>,
    body: Vec<u8>,
    /// Length and hash of the body received.
    counted: (u64, u64),
    script: Option<Rc<Script>>,
    fault: Fault,
    /// Why the settings in its head could not be followed.
    unsettled: Option<String>,
}

enum Phase {
    Head,
    Body(BodyReader),
    Answer(Current),
    /// The last answer is on its way out.
    Finishing,
    /// The sending side is shut; what still comes in is thrown away until the client closes or the time is up.
    Lingering,
}

/// The position in an answer.
struct Current {
    plan: Rc<Plan>,
    number: u64,
    step: usize,
    /// Bytes of a plain body sent so far, in all and in this step.
    filled: u64,
    filled_in_step: u64,
    /// The moment from which the next wait counts, so that the gaps of a stream do not drift.
    clock: Instant,
    due: Option<Instant>,
}

/// An answer that has been begun.
struct OpenAnswer {
    number: u64,
    tag: u64,
    arrived: Instant,
    /// The journal wants it.
    kept: bool,
}

impl OpenAnswer {
    /// Enters it in the journal.
    fn enter(self, world: &mut World, usage: Option<Usage>, end: AnswerEnd) {
        if self.kept {
            let OpenAnswer { number, tag, arrived, .. } = self;
            world.answers.push(Answered { number, tag, arrived, ended: world.now, usage, end });
        }
    }
}

/// Where producing an answer stopped.
enum Produced {
    Finished(After),
    /// Until this moment, or for ever.
    Waiting(Option<Instant>),
    /// The output is full.
    Full,
    Cut(Ending),
}

impl Connection {
    pub(crate) fn new(socket: Watched<TcpStream>, number: u64) -> Connection {
        Connection {
            number,
            socket,
            phase: Phase::Head,
            input: Vec::new(),
            input_at: 0,
            searched: 0,
            request: Request::default(),
            output: Output::default(),
            open_answers: VecDeque::new(),
            stated: None,
            eof: false,
            fillings_left: limits::FILLINGS_PER_TURN,
            idle_timeout: None,
            deadline: None,
            armed: None,
        }
    }

    /// The socket is ready for something.
    pub(crate) fn on_ready(&mut self, world: &mut World, scratch: &mut [u8]) -> Fate {
        if !self.socket.reads() && !self.socket.writes() {
            // Nothing was asked for, so this is an error or a hang-up.
            return Fate::Close;
        }
        if self.wants_read() && self.receive(scratch).is_err() {
            return Fate::Close;
        }
        self.advance(world)
    }

    /// A wake-up asked for `when`.
    pub(crate) fn on_time(&mut self, world: &mut World, when: Instant) -> Fate {
        if self.armed == Some(when) {
            self.armed = None;
        }
        match self.deadline {
            Some(deadline) if deadline <= world.now => match self.phase {
                Phase::Lingering => Fate::Close,
                Phase::Head => self.on_idle(world),
                _ => self.advance(world),
            },
            _ => Fate::Keep,
        }
    }

    /// The deadline, when no wake-up that early has been asked for; the caller asks for it.
    pub(crate) fn unarmed_deadline(&mut self) -> Option<Instant> {
        let deadline = self.deadline?;
        if self.armed.is_some_and(|armed| armed <= deadline) {
            return None;
        }
        self.armed = Some(deadline);
        Some(deadline)
    }

    /// Enters in the books what is left open, and ends the connection.
    pub(crate) fn end(mut self: Box<Self>, world: &mut World, fate: Fate) {
        let end = if fate == Fate::Reset { AnswerEnd::Cut } else { AnswerEnd::ClientGone };
        self.break_off(world, end);
        let ledger = &mut world.ledger;
        let between = matches!(self.phase, Phase::Head) && self.input.len() == self.input_at;
        if !between && matches!(self.phase, Phase::Head | Phase::Body(_)) {
            ledger.incomplete += 1;
        }
        if fate == Fate::Reset {
            // Closing with SO_LINGER 0 resets. If it cannot be set, an orderly end is the next best.
            let _ = socket2::SockRef::from(self.socket.socket()).set_linger(Some(Duration::ZERO));
        }
    }

    /// Reads what there is, up to the size of `scratch`.
    fn receive(&mut self, scratch: &mut [u8]) -> std::io::Result<()> {
        match self.socket.socket().read(scratch) {
            Ok(0) => self.eof = true,
            Ok(_) if matches!(self.phase, Phase::Lingering) => {}
            Ok(count) => {
                self.input.drain(..self.input_at);
                self.input_at = 0;
                self.input.extend_from_slice(&scratch[..count]);
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Goes on until something is missing.
    fn advance(&mut self, world: &mut World) -> Fate {
        if !matches!(self.phase, Phase::Lingering) {
            self.deadline = None;
        }
        self.fillings_left = limits::FILLINGS_PER_TURN;
        loop {
            let goes_on = match &mut self.phase {
                Phase::Head => self.read_head(world),
                Phase::Body(_) => self.read_body(world),
                Phase::Answer(_) => match self.answer(world) {
                    Ok(goes_on) => goes_on,
                    Err(fate) => return fate,
                },
                Phase::Finishing | Phase::Lingering => false,
            };
            if !goes_on {
                break;
            }
        }
        if self.flush(world).is_err() {
            return Fate::Close;
        }
        if matches!(self.phase, Phase::Finishing) && self.output.is_empty() {
            self.linger(world.now);
        }
        self.rest(world)
    }

    /// Follows the plan. True when there is more to do at once.
    fn answer(&mut self, world: &mut World) -> Result<bool, Fate> {
        match self.produce(world.now) {
            Produced::Finished(after) => {
                self.after_answer(after);
                Ok(true)
            }
            Produced::Waiting(until) => {
                self.deadline = until;
                Ok(false)
            }
            Produced::Full => {
                self.flush(world).map_err(|_| Fate::Close)?;
                self.fillings_left = self.fillings_left.saturating_sub(1);
                if self.output.len() >= limits::OUTPUT_HIGH_WATER {
                    // On when the socket is writable, even if the flush at the end of this turn takes it all.
                    self.fillings_left = 0;
                }
                Ok(self.fillings_left > 0)
            }
            Produced::Cut(ending) => {
                self.flush(world).map_err(|_| Fate::Close)?;
                if self.output.is_empty() {
                    return self.cut(ending, world);
                }
                self.fillings_left = 0; // as above
                Ok(false)
            }
        }
    }

    /// Produces output until the plan ends, waits, or the output is full.
    fn produce(&mut self, now: Instant) -> Produced {
        let Phase::Answer(current) = &mut self.phase else { return Produced::Waiting(None) };
        loop {
            if self.output.len() >= limits::OUTPUT_HIGH_WATER {
                return Produced::Full;
            }
            let Some(step) = current.plan.steps.get(current.step) else {
                return Produced::Finished(current.plan.after);
            };
            if !step.wait.is_zero() && current.filled_in_step == 0 {
                let due = *current.due.get_or_insert(later(current.clock, step.wait));
                if now < due {
                    return Produced::Waiting(Some(due));
                }
                current.clock = due;
            }
            match step.kind {
                StepKind::Send => {
                    self.output.write(|bytes| current.plan.copy_out(step, current.number, bytes));
                    self.output.mark_if(step.usage.map(Mark::Usage));
                }
                StepKind::Fill { bytes, chunked } => {
                    let left = bytes - current.filled_in_step;
                    let count = left.min(FILL_PIECE);
                    self.output.write(|out| fill(out, current.filled, count, chunked));
                    current.filled += count;
                    current.filled_in_step += count;
                    if count < left {
                        continue;
                    }
                }
                StepKind::Cut(ending) => return Produced::Cut(ending),
                StepKind::Stall => return Produced::Waiting(None),
            }
            current.step += 1;
            current.filled_in_step = 0;
            current.due = None;
        }
    }

    /// The answer is produced to its end.
    fn after_answer(&mut self, after: After) {
        if let Phase::Answer(current) = &self.phase {
            self.output.mark_if(Some(Mark::Done { chat: current.plan.is_chat }));
        }
        self.request.clear();
        self.phase = match after {
            After::Close => Phase::Finishing,
            After::KeepAlive => Phase::Head,
        };
    }

    /// The script ends the connection here.
    fn cut(&mut self, ending: Ending, world: &mut World) -> Result<bool, Fate> {
        self.break_off(world, AnswerEnd::Cut);
        match ending {
            Ending::Rst => Err(Fate::Reset),
            Ending::Fin => {
                self.linger(world.now);
                Ok(false)
            }
        }
    }

    /// Shuts the sending side, and waits for the client to do the same: closing at once while the client is still
    /// sending would reset the connection and might destroy the answer on its way (RFC 9112, section 9.6).
    fn linger(&mut self, now: Instant) {
        // It fails when the client has closed already, which the next read will say.
        let _ = self.socket.socket().shutdown(Shutdown::Write);
        self.phase = Phase::Lingering;
        self.input.clear();
        self.input_at = 0;
        self.deadline = Some(later(now, limits::LINGER));
    }

    /// Nothing more can be done now: judges an end of input, and says what to wait for.
    fn rest(&mut self, world: &World) -> Fate {
        // After its last filling it goes on when the socket is writable, which it is, after the others.
        let yielded = self.fillings_left == 0;
        let drained = self.output.is_empty() && !yielded;
        if self.eof && (drained || matches!(self.phase, Phase::Lingering)) {
            return Fate::Close;
        }
        if let (Phase::Head, Some(timeout)) = (&self.phase, self.idle_timeout)
            && self.is_idle()
        {
            self.deadline = Some(later(world.now, timeout));
        }
        let (reads, writes) = (self.wants_read(), !drained);
        match self.socket.set_interest(reads, writes) {
            Ok(()) => Fate::Keep,
            Err(_) => Fate::Close,
        }
    }

    fn on_idle(&mut self, world: &mut World) -> Fate {
        if self.is_idle() { Fate::Close } else { self.advance(world) }
    }

    fn is_idle(&self) -> bool {
        self.input.len() == self.input_at && self.output.is_empty()
    }

    fn wants_read(&self) -> bool {
        !self.eof
            && (matches!(self.phase, Phase::Lingering)
                || self.input.len() - self.input_at < limits::PENDING_BYTES_MAX)
    }

    /// Hands output to the kernel, and enters in the books what has been handed over.
    fn flush(&mut self, world: &mut World) -> std::io::Result<()> {
        world.ledger.bytes_out += self.output.flush(self.socket.socket())?;
        while let Some(mark) = self.output.next_mark() {
            match mark {
                Mark::Usage(usage) => self.stated = Some(usage),
                Mark::Done { chat } => {
                    let stated = self.stated.take();
                    world.ledger.completed += 1;
                    world.ledger.without_usage += u64::from(chat && stated.is_none());
                    world.ledger.reported += stated.unwrap_or_default();
                    if let Some(open) = self.open_answers.pop_front() {
                        open.enter(world, stated, AnswerEnd::Completed);
                    }
                }
            }
        }
        Ok(())
    }

    /// Enters in the books all answers that are still open as ended early.
    fn break_off(&mut self, world: &mut World, end: AnswerEnd) {
        let mut stated = self.stated.take();
        world.ledger.reported_in_cut += stated.unwrap_or_default();
        let count = match end {
            AnswerEnd::Cut => &mut world.ledger.cut,
            _ => &mut world.ledger.client_gone,
        };
        *count += self.open_answers.len() as u64;
        for open in self.open_answers.drain(..) {
            open.enter(world, stated.take(), end);
        }
    }
}

impl Request {
    /// Forgets the request, and gives back buffers that grew large.
    fn clear(&mut self) {
        self.head = None;
        self.script = None;
        self.unsettled = None;
        self.bytes.clear();
        self.body.clear();
        if self.body.capacity() > limits::BUFFER_KEPT_MAX {
            self.body = Vec::new();
        }
    }
}

/// Bytes of a plain body produced at a time.
const FILL_PIECE: u64 = 64 * 1024;

/// Appends `count` bytes of the plain body from `at`.
fn fill(out: &mut Vec<u8>, at: u64, count: u64, chunked: bool) {
    if count == 0 {
        return;
    }
    if chunked {
        out.extend_from_slice(format!("{count:x}\r\n").as_bytes());
    }
    let start = out.len();
    let count = count as usize;
    let period = PLAIN_PERIOD as usize;
    out.extend((at..at + count.min(period) as u64).map(plain_byte));
    while out.len() - start < count {
        let have = out.len() - start;
        // Whole periods, doubled until it is enough.
        let more = (have / period * period).min(count - have);
        out.extend_from_within(start..start + more);
    }
    if chunked {
        out.extend_from_slice(b"\r\n");
    }
}
