//! Reads usage and progress out of an answer while its bytes pass.

mod anthropic;
mod converse;
mod embeddings;
mod gemini;
mod openai;
mod responses;
mod tally;
#[cfg(test)]
mod tests;

use super::translate::read::{Kind, Value};
use super::{Format, Usage};
use crate::base::Tokens;
use crate::wire::json::{Container, Scalar, Scanner, Visitor};
use crate::wire::sse::{Part, Parts};
use anthropic::Anthropic;
use arrayvec::ArrayVec;
use embeddings::Embeddings;
use gemini::Gemini;
use openai::OpenAi;
use responses::Responses;
use tally::Tally;

/// Meters one answer of a provider while its bytes pass; keeps none of them.
///
/// Call [`feed`](Meter::feed) with the bytes of the body in order (content coding removed); everything else may be asked
/// at any time. It never fails: what is malformed is counted and skipped, for a meter must not break an answer. Error
/// bodies pass without usage. Nothing is allocated, but for the heads of Bedrock's frames where the bytes end within one.
#[derive(Debug)]
pub struct Meter(Inner);

#[derive(Debug)]
enum Inner {
    OpenAi(Reading<OpenAi>),
    Responses(Reading<Responses>),
    Embeddings(Reading<Embeddings>),
    Anthropic(Reading<Anthropic>),
    Gemini(Reading<Gemini>),
    Converse(converse::Answer),
}

/// Does the same to the reading of whichever format it is.
macro_rules! each {
    ($inner:expr, $reading:ident => $body:expr) => {
        match $inner {
            Inner::OpenAi($reading) => $body,
            Inner::Responses($reading) => $body,
            Inner::Embeddings($reading) => $body,
            Inner::Anthropic($reading) => $body,
            Inner::Gemini($reading) => $body,
            Inner::Converse($reading) => $body,
        }
    };
}

impl Meter {
    /// For an answer in the *provider's* format. `streamed` says that its content type is `text/event-stream`, or
    /// AWS's `application/vnd.amazon.eventstream` from Bedrock; else it is one JSON document. Answers that cost nothing
    /// ([`Work::Free`](super::Work::Free)) have no usage.
    pub fn new(format: Format, streamed: bool) -> Meter {
        Meter(match format {
            Format::OpenAiChat | Format::OpenAiModels => Inner::OpenAi(Reading::new(streamed)),
            Format::OpenAiResponses => Inner::Responses(Reading::new(streamed)),
            Format::OpenAiEmbeddings | Format::GeminiPredict | Format::BedrockInvoke => {
                Inner::Embeddings(Reading::new(streamed))
            }
            Format::AnthropicMessages | Format::AnthropicCountTokens | Format::AnthropicModels => {
                Inner::Anthropic(Reading::new(streamed))
            }
            Format::GeminiGenerate
            | Format::GeminiCountTokens
            | Format::GeminiModels
            | Format::GeminiEmbed
            | Format::GeminiEmbedBatch => Inner::Gemini(Reading::new(streamed)),
            Format::BedrockConverse | Format::BedrockCountTokens => {
                Inner::Converse(converse::Answer::new(streamed))
            }
        })
    }

    /// Looks at the next bytes of the answer.
    pub fn feed(&mut self, bytes: &[u8]) {
        each!(&mut self.0, reading => reading.feed(bytes));
    }

    /// Takes what the head of an answer says of its input. What the body says goes before it.
    pub fn note_input(&mut self, input: Tokens) {
        if let Inner::Embeddings(reading) = &mut self.0 {
            let usage = &mut reading.visitor.tally_mut().usage;
            *usage = usage.or(Some(Usage { input, ..Usage::none() }));
        }
    }

    /// Looks at the next document of the answer where it is decoded already, in place of its bytes: so what is said of
    /// usage in another format is what is metered.
    pub(in crate::llm) fn see(&mut self, document: Value<'_, '_>) {
        each!(&mut self.0, reading => reading.see(document));
    }

    /// What the provider has reported so far; `None` when nothing. Reports in a stream are cumulative, so that the
    /// last one counts.
    pub fn usage(&self) -> Option<Usage> {
        self.tally().usage
    }

    /// The model that the provider says it used; `None` when not told or longer than 128 bytes.
    pub fn model(&self) -> Option<&str> {
        self.tally().model()
    }

    /// Bytes of generated text so far, decoded: content, reasoning, refusals, names and arguments of tool calls. The
    /// basis of an estimate when usage never comes.
    pub fn output_bytes(&self) -> u64 {
        self.tally().output_bytes
    }

    /// Whether the answer ended as the format says: `finish_reason` for a choice or `[DONE]`, `message_stop`,
    /// `response.completed` and its kin, `finishReason`, `messageStop`; for an answer that is no stream, the end of its
    /// document.
    pub fn complete(&self) -> bool {
        each!(&self.0, reading => reading.complete())
    }

    /// Whether the provider told an error, in place of an answer or in the middle of it.
    pub fn failed(&self) -> bool {
        self.tally().failed
    }

    /// Events of a stream so far that carried data; 0 when it is no stream.
    pub fn events(&self) -> u64 {
        self.tally().events
    }

    /// Events (or the one document) that were not JSON.
    pub fn malformed(&self) -> u64 {
        self.tally().malformed
    }

    fn tally(&self) -> &Tally {
        each!(&self.0, reading => reading.tally())
    }
}

/// A format's visitor and what it counts into.
trait Metered: Visitor + Default {
    fn tally(&self) -> &Tally;
    fn tally_mut(&mut self) -> &mut Tally;
    /// Forgets what a document that broke off left half-read.
    fn begin_document(&mut self);
}

/// The scanner of the document at hand, with the splitter of the stream around it.
#[derive(Debug)]
struct Reading<V: Metered> {
    visitor: V,
    scanner: Scanner<V::Place>,
    stream: Option<Stream>,
}

impl<V: Metered> Reading<V> {
    fn new(streamed: bool) -> Reading<V> {
        Reading { visitor: V::default(), scanner: Scanner::new(), stream: streamed.then(Stream::default) }
    }

    fn feed(&mut self, bytes: &[u8]) {
        let Reading { visitor, scanner, stream } = self;
        match stream {
            Some(stream) => stream.feed(bytes, scanner, visitor),
            None if scanner.feed(bytes, visitor).is_err() => visitor.tally_mut().malformed = 1,
            None => {}
        }
    }

    fn see(&mut self, document: Value<'_, '_>) {
        self.visitor.begin_document();
        show(document, V::Place::default(), &mut self.visitor);
    }

    fn tally(&self) -> &Tally {
        self.visitor.tally()
    }

    fn complete(&self) -> bool {
        match &self.stream {
            Some(stream) => stream.done() || self.visitor.tally().ended,
            None => self.scanner.is_done(),
        }
    }
}

/// Tells a visitor about a value as a scanner would, but for where its bytes are. Decoding has bounded its depth.
fn show<V: Visitor>(value: Value<'_, '_>, place: V::Place, visitor: &mut V) {
    let scalar = match value.kind() {
        Kind::String(text) => {
            visitor.text(place, text.as_bytes());
            return visitor.string(place, 0, 0);
        }
        Kind::Object => {
            visitor.open(place, Container::Object, 0);
            let mut empty = true;
            for (name, member) in value.members() {
                let inner = visitor.member(place, name.as_bytes(), 0);
                show(member, inner, visitor);
                empty = false;
            }
            return visitor.close(place, Container::Object, 0, empty);
        }
        Kind::Array => {
            visitor.open(place, Container::Array, 0);
            let mut empty = true;
            for element in value.elements() {
                let inner = visitor.element(place);
                show(element, inner, visitor);
                empty = false;
            }
            return visitor.close(place, Container::Array, 0, empty);
        }
        Kind::Null => Scalar::Null,
        Kind::Bool(is) => Scalar::Bool(is),
        Kind::U64(number) => Scalar::Integer(number),
        Kind::I64(_) | Kind::F64(_) => Scalar::Number,
    };
    visitor.scalar(place, scalar, 0, 0);
}

/// Where in a stream of events the bytes are.
#[derive(Debug, Default)]
struct Stream {
    parts: Parts,
    /// Values belong to a `data` field.
    in_data: bool,
    /// The event has a `data` field.
    has_data: bool,
    /// How the event's data begins, to know the terminator, which is not JSON.
    head: ArrayVec<u8, { DONE.len() + 1 }>,
    /// The terminator was seen.
    done: bool,
}

/// The data of the event that ends OpenAI's streams.
const DONE: &[u8] = b"[DONE]";

impl Stream {
    fn feed<V: Metered>(&mut self, mut bytes: &[u8], scanner: &mut Scanner<V::Place>, visitor: &mut V) {
        while let Some(part) = self.parts.next(&mut bytes) {
            match part {
                Part::Name => self.in_data = false,
                Part::Data => {
                    self.in_data = true;
                    if std::mem::replace(&mut self.has_data, true) {
                        let _ = scanner.feed(b"\n", visitor); // lines of data are joined with LF
                    } else {
                        self.head.clear();
                        scanner.reset();
                        visitor.begin_document();
                    }
                }
                Part::Value(value) if self.in_data => {
                    self.head.extend(value.iter().copied().take(self.head.remaining_capacity()));
                    let _ = scanner.feed(value, visitor); // a fault is final: `finish` tells it again
                }
                Part::Value(_) => {}
                Part::Blank => self.end_event(scanner, visitor),
            }
        }
    }

    fn end_event<V: Metered>(&mut self, scanner: &mut Scanner<V::Place>, visitor: &mut V) {
        if !std::mem::take(&mut self.has_data) || self.head.is_empty() {
            return;
        }
        visitor.tally_mut().events += 1;
        if self.head.as_slice() == DONE {
            self.done = true;
        } else if scanner.finish(visitor).is_err() {
            visitor.tally_mut().malformed += 1;
        }
        self.head.clear();
    }

    /// Whether the terminator came, its blank line or not.
    fn done(&self) -> bool {
        self.done || self.head.as_slice() == DONE
    }
}
