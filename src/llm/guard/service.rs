//! Services that judge texts: what they are asked, and what they say.
//!
//! * A **webhook** is asked as kgateway and agentgateway ask theirs ("Guardrail Webhook API"): `POST /request` with
//!   `{"body": {"messages": [{"role", "content"}]}}`, `POST /response` with `{"body": {"choices": [{"message": {"role",
//!   "content"}}]}}`. Each text is a message, or a choice, of its own, so that what comes back can be told apart. It says
//!   `{"action": {...}}`: with a `body` as it was asked, texts are masked; with a `body` that is a text, and a `status_code`, all is
//!   rejected; without a `body` all passes.
//! * **Moderation** is OpenAI's ("Create moderation"): `POST /v1/moderations` with `{"model", "input": [...]}`, answered by
//!   `{"results": [{"flagged"}]}`.

use super::texts::Said;
use crate::base::Span;
use crate::wire::json::write::Object;
use crate::wire::json::{Container, Scalar, Scanner, Visitor, unescape};
use std::sync::Arc;

/// The most bytes of a question, and the most of its answer's body.
pub const QUESTION_BYTES_MAX: usize = 8 << 20;

/// The most texts of one question.
pub const TEXTS_MAX: usize = 1 << 14;

/// The most bytes of a service's own words that a client is told.
const MESSAGE_BYTES_MAX: usize = 4 << 10;

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// A webhook.
    Webhook,
    /// OpenAI's moderation.
    Moderation {
        /// By this model.
        model: Arc<str>,
    },
}

/// What is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// What a client sends.
    Request,
    /// What a provider answers.
    Response,
}

/// What a service says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All may pass.
    Pass,
    /// These texts come in place of those that were asked about: as many, in their order.
    Masked(Vec<String>),
    /// Nothing may pass, and the client is told this.
    Rejected {
        /// The status, 200 to 599.
        status: u16,
        /// In words.
        message: String,
    },
    /// Nothing may pass, and what the client is told is for the configuration to say.
    Flagged,
}

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Garbage(pub &'static str);

impl Phase {
    /// Its name in metrics and records.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Request => "request",
            Phase::Response => "response",
        }
    }

    /// The list in a webhook's bodies.
    fn list(self) -> &'static str {
        match self {
            Phase::Request => "messages",
            Phase::Response => "choices",
        }
    }
}

impl Service {
    /// Its name in metrics and records.
    pub fn name(&self) -> &'static str {
        match self {
            Service::Webhook => "webhook",
            Service::Moderation { .. } => "moderation",
        }
    }

    /// Where it is asked.
    pub fn path(&self, phase: Phase) -> &'static str {
        match (self, phase) {
            (Service::Webhook, Phase::Request) => "/request",
            (Service::Webhook, Phase::Response) => "/response",
            (Service::Moderation { .. }, _) => "/v1/moderations",
        }
    }

    /// The body of the question about `said`; `None` when that is more than may be asked about.
    pub fn question(&self, phase: Phase, said: &[Said]) -> Option<Vec<u8>> {
        if said.len() > TEXTS_MAX
            || said.iter().map(|said| said.text.len()).sum::<usize>() > QUESTION_BYTES_MAX
        {
            return None;
        }
        let mut out = Vec::new();
        let mut question = Object::new(&mut out);
        match self {
            Service::Webhook => {
                let mut body = question.object("body");
                let mut list = body.array(phase.list());
                for said in said {
                    let mut entry = list.object();
                    let message = |mut message: Object<'_>| {
                        message.string("role", said.role.name()).string("content", &said.text);
                    };
                    match phase {
                        Phase::Request => message(entry),
                        Phase::Response => message(entry.object("message")),
                    }
                }
            }
            Service::Moderation { model } => {
                let mut input = question.string("model", model).array("input");
                said.iter().for_each(|said| {
                    input.string(&said.text);
                });
            }
        }
        drop(question);
        Some(out).filter(|question| question.len() <= QUESTION_BYTES_MAX)
    }

    /// What an answer's body says to a question about so many texts.
    ///
    /// # Errors
    /// It says nothing that is understood. Then nothing is judged.
    pub fn verdict(&self, phase: Phase, answer: &[u8], asked: usize) -> Result<Verdict, Garbage> {
        match self {
            Service::Webhook => {
                let said: Action = read(answer, Action::of(phase))?;
                said.verdict(answer, asked)
            }
            Service::Moderation { .. } => read(answer, Results::default())?.verdict(),
        }
    }
}

fn read<V: Visitor>(answer: &[u8], mut visitor: V) -> Result<V, Garbage> {
    let mut scanner = Scanner::new();
    let read = scanner.feed(answer, &mut visitor).and_then(|()| scanner.finish(&mut visitor));
    read.map(|()| visitor).map_err(|_| Garbage("its answer is no JSON"))
}

/// A webhook's action as it is read.
struct Action {
    phase: Phase,
    is_there: bool,
    body: Body,
    status: Option<u16>,
    /// Whether there is a `status_code`, whatever it is.
    has_status: bool,
    contents: Vec<Option<Span>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Body {
    None,
    Text(Span),
    /// An object, and whether it has the list that was asked for.
    List(bool),
    /// Something else.
    Wrong,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Top,
    Action,
    Body,
    Status,
    List,
    /// A message, or a choice around one.
    Entry,
    Choice,
    Content,
    Other,
}

impl Action {
    fn of(phase: Phase) -> Action {
        let (body, status, contents) = (Body::None, None, Vec::new());
        Action { phase, is_there: false, body, status, has_status: false, contents }
    }

    fn verdict(self, answer: &[u8], asked: usize) -> Result<Verdict, Garbage> {
        match (self.body, self.status) {
            _ if !self.is_there => Err(Garbage("its answer has no action")),
            (Body::None, _) if !self.has_status => Ok(Verdict::Pass),
            (Body::Text(span), Some(status)) => {
                let mut message = text(answer, span).ok_or(Garbage("its words are no text"))?;
                message.truncate(message.floor_char_boundary(MESSAGE_BYTES_MAX));
                Ok(Verdict::Rejected { status, message })
            }
            (Body::List(true), _) if self.contents.len() == asked => {
                let texts = self.contents.into_iter().map(|content| text(answer, content?));
                texts
                    .collect::<Option<Vec<String>>>()
                    .map(Verdict::Masked)
                    .ok_or(Garbage("it masks what is no text"))
            }
            (Body::List(true), _) => Err(Garbage("it masks other texts than it was asked about")),
            _ => Err(Garbage("its action is none that is known")),
        }
    }
}

/// The decoded text of the string at `span`, which has its quotes.
fn text(answer: &[u8], span: Span) -> Option<String> {
    let inside = answer.get(span.range())?.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    unescape::text(inside).map(Into::into)
}

impl Visitor for Action {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"action") => Place::Action,
            (Place::Action, b"body") => Place::Body,
            (Place::Action, b"status_code") => Place::Status,
            (Place::Body, key) if key == self.phase.list().as_bytes() => Place::List,
            (Place::Entry, b"message") if self.phase == Phase::Response => Place::Choice,
            (Place::Entry, b"content") if self.phase == Phase::Request => Place::Content,
            (Place::Choice, b"content") => Place::Content,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        if parent == Place::List { Place::Entry } else { Place::Other }
    }

    fn open(&mut self, place: Place, container: Container, _at: usize) {
        let is_object = container == Container::Object;
        match place {
            Place::Action => self.is_there = is_object,
            Place::Body => self.body = if is_object { Body::List(false) } else { Body::Wrong },
            Place::List if !is_object => self.body = Body::List(true),
            Place::Entry => self.contents.push(None),
            Place::Status => self.has_status = true,
            _ => {}
        }
    }

    fn string(&mut self, place: Place, start: usize, end: usize) {
        match place {
            Place::Body => self.body = Body::Text(Span::new(start, end)),
            Place::Entry => self.contents.push(None),
            Place::Status => self.has_status = true,
            Place::Content => {
                if let Some(content) = self.contents.last_mut() {
                    *content = Some(Span::new(start, end));
                }
            }
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        match (place, scalar) {
            (Place::Body | Place::Status, Scalar::Null) => {}
            (Place::Body, _) => self.body = Body::Wrong,
            (Place::Status, Scalar::Integer(status)) => {
                let status = u16::try_from(status).ok();
                (self.status, self.has_status) = (status.filter(|status| (200..600).contains(status)), true);
            }
            (Place::Status, _) => self.has_status = true,
            (Place::Entry, _) => self.contents.push(None),
            _ => {}
        }
    }
}

/// Moderation's results as they are read.
#[derive(Default)]
struct Results {
    results: usize,
    judged: usize,
    flagged: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Top,
    Results,
    Result,
    Flagged,
    Other,
}

impl Results {
    fn verdict(self) -> Result<Verdict, Garbage> {
        match self {
            Results { flagged: true, .. } => Ok(Verdict::Flagged),
            Results { results, judged, .. } if results == judged && results > 0 => Ok(Verdict::Pass),
            _ => Err(Garbage("its answer has no results")),
        }
    }
}

impl Visitor for Results {
    type Place = Part;

    fn member(&mut self, parent: Part, key: &[u8], _at: usize) -> Part {
        match (parent, key) {
            (Part::Top, b"results") => Part::Results,
            (Part::Result, b"flagged") => Part::Flagged,
            _ => Part::Other,
        }
    }

    fn element(&mut self, parent: Part) -> Part {
        if parent == Part::Results { Part::Result } else { Part::Other }
    }

    fn open(&mut self, place: Part, _container: Container, _at: usize) {
        self.results += usize::from(place == Part::Result);
    }

    fn scalar(&mut self, place: Part, scalar: Scalar, _start: usize, _end: usize) {
        if let (Part::Flagged, Scalar::Bool(flagged)) = (place, scalar) {
            self.judged += 1;
            self.flagged |= flagged;
        }
    }
}
