use super::tally::Tally;
use super::{Metered, Reading};
use crate::base::Tokens;
use crate::llm::Usage;
use crate::llm::translate::read::Value;
use crate::wire::eventstream::{Kind, Part, Parts};
use crate::wire::json::{Container, Scalar, Visitor};
use arrayvec::ArrayVec;

/// Meters an answer of Bedrock's Converse, one document, or of ConverseStream, whose events come in AWS's frames.
///
/// An event is known by its members alone, so that the bytes of a frame need not wait for one another.
#[derive(Debug)]
pub(super) struct Answer {
    /// The document at hand: the answer, or the payload of an event.
    document: Reading<Converse>,
    frames: Option<Frames>,
}

/// Where in a stream of frames the bytes are.
#[derive(Debug, Default)]
struct Frames {
    parts: Parts,
    /// The payload at hand is that of an event.
    in_event: bool,
    /// The stream cannot be read further.
    broken: bool,
}

impl Answer {
    pub(super) fn new(streamed: bool) -> Answer {
        Answer { document: Reading::new(false), frames: streamed.then(Frames::default) }
    }

    pub(super) fn tally(&self) -> &Tally {
        self.document.visitor.tally()
    }

    pub(super) fn complete(&self) -> bool {
        match &self.frames {
            Some(_) => self.tally().ended,
            None => self.document.complete(),
        }
    }

    pub(super) fn see(&mut self, document: Value<'_, '_>) {
        self.document.see(document);
    }

    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        let Some(frames) = &mut self.frames else { return self.document.feed(bytes) };
        let Reading { visitor, scanner, .. } = &mut self.document;
        while !frames.broken {
            match frames.parts.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(Part::Head(head))) => {
                    frames.in_event = matches!(head.kind, Kind::Event(_));
                    visitor.tally.failed |= matches!(head.kind, Kind::Exception(_) | Kind::Error { .. });
                    if frames.in_event {
                        scanner.reset();
                        visitor.begin_document();
                    }
                }
                Ok(Some(Part::Payload(piece))) if frames.in_event => {
                    let _ = scanner.feed(piece, visitor); // a fault is final: `finish` tells it again
                }
                Ok(Some(Part::Payload(_))) => {}
                Ok(Some(Part::End)) => {
                    if std::mem::take(&mut frames.in_event) {
                        visitor.tally.events += 1;
                        visitor.tally.malformed += u64::from(scanner.finish(visitor).is_err());
                    }
                }
                Err(_) => {
                    frames.broken = true;
                    visitor.tally.malformed += 1;
                }
            }
        }
    }
}

/// Reads answers of Converse and the events of ConverseStream (Amazon Bedrock API reference, "Converse",
/// "ConverseStreamOutput", "TokenUsage"). Usage is reported once, in a stream after its `messageStop`.
#[derive(Debug, Default)]
pub(super) struct Converse {
    tally: Tally,
    /// The usage object being read.
    report: Report,
    /// Where the tool input being read opened.
    input_open: usize,
}

#[derive(Debug, Default)]
struct Report {
    /// Input that was neither read from the cache nor written to it.
    input: Option<Tokens>,
    cache_read: Option<Tokens>,
    cache_write: Option<Tokens>,
    output: Option<Tokens>,
    /// The part of `cache_write` that is to stay for an hour.
    cache_write_1h: Tokens,
    /// The entry of `cacheDetails` that is being read.
    detail: Detail,
}

#[derive(Debug, Default)]
struct Detail {
    ttl: ArrayVec<u8, { HOUR.len() + 1 }>,
    tokens: Tokens,
}

const HOUR: &[u8] = b"1h";

impl Report {
    /// The same meaning for all providers, see [`Usage`]; `None` when nothing was reported.
    fn normalised(&self) -> Option<Usage> {
        let parts = [self.input, self.cache_read, self.cache_write];
        let cache_write = self.cache_write.unwrap_or_default();
        self.input.or(self.output).map(|_| Usage {
            input: parts.into_iter().flatten().fold(0, Tokens::saturating_add),
            cached_input: self.cache_read.unwrap_or_default(),
            cache_write,
            cache_write_1h: self.cache_write_1h.min(cache_write),
            output: self.output.unwrap_or_default(),
            ..Usage::none()
        })
    }
}

impl Metered for Converse {
    fn tally(&self) -> &Tally {
        &self.tally
    }

    fn tally_mut(&mut self) -> &mut Tally {
        &mut self.tally
    }

    fn begin_document(&mut self) {
        self.report = Report::default();
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Place {
    #[default]
    Top,
    /// `output` and the message in it.
    Message,
    Content,
    /// A block of the content, `start` and `delta`, and the objects in them that hold generated text.
    Block,
    /// `toolUse`.
    Call,
    /// Generated text.
    Output,
    /// The arguments of a call: JSON, or in a stream pieces of its text.
    Input,
    Usage,
    InputTokens,
    CacheReadTokens,
    CacheWriteTokens,
    OutputTokens,
    /// What was written to the cache, by how long it is to stay.
    CacheDetails,
    CacheDetail,
    Ttl,
    DetailTokens,
    StopReason,
    Other,
}

impl Visitor for Converse {
    type Place = Place;

    #[inline]
    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match (parent, key) {
            (Place::Top, b"delta" | b"start") => Place::Block,
            (Place::Top, b"usage") => Place::Usage,
            (Place::Top, b"stopReason") => Place::StopReason,
            (Place::Top, b"output") | (Place::Message, b"message") => Place::Message,
            (Place::Message, b"content") => Place::Content,

            (Place::Block, b"text") => Place::Output,
            (Place::Block, b"reasoningContent" | b"reasoningText") => Place::Block,
            (Place::Block, b"citationsContent") => Place::Message,
            (Place::Block, b"toolUse") => Place::Call,
            (Place::Call, b"name") => Place::Output,
            (Place::Call, b"input") => Place::Input,

            (Place::Usage, b"inputTokens") => Place::InputTokens,
            (Place::Usage, b"outputTokens") => Place::OutputTokens,
            (Place::Usage, b"cacheReadInputTokens" | b"cacheReadInputTokenCount") => Place::CacheReadTokens,
            (Place::Usage, b"cacheWriteInputTokens" | b"cacheWriteInputTokenCount") => {
                Place::CacheWriteTokens
            }
            (Place::Usage, b"cacheDetails") => Place::CacheDetails,
            (Place::CacheDetail, b"ttl") => Place::Ttl,
            (Place::CacheDetail, b"inputTokens") => Place::DetailTokens,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        match parent {
            Place::Content => Place::Block,
            Place::CacheDetails => Place::CacheDetail,
            _ => Place::Other,
        }
    }

    fn open(&mut self, place: Place, _container: Container, at: usize) {
        match place {
            Place::Usage => self.report = Report::default(),
            Place::Input => self.input_open = at,
            Place::CacheDetail => self.report.detail = Detail::default(),
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, _empty: bool) {
        match (place, container) {
            (Place::Usage, Container::Object) => {
                self.tally.usage = self.report.normalised().or(self.tally.usage)
            }
            (Place::CacheDetail, _) if self.report.detail.ttl.as_slice() == HOUR => {
                let report = &mut self.report;
                report.cache_write_1h = report.cache_write_1h.saturating_add(report.detail.tokens);
            }
            (Place::Input, _) => self.tally.output_bytes += (end - self.input_open) as u64,
            _ => {}
        }
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        match place {
            Place::Output | Place::Input => self.tally.output_bytes += part.len() as u64,
            Place::Ttl => {
                let ttl = &mut self.report.detail.ttl;
                ttl.extend(part.iter().copied().take(ttl.remaining_capacity()));
            }
            _ => {}
        }
    }

    fn string(&mut self, place: Place, _start: usize, _end: usize) {
        self.tally.ended |= place == Place::StopReason;
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, _start: usize, _end: usize) {
        let Scalar::Integer(tokens) = scalar else { return };
        let report = &mut self.report;
        let slot = match place {
            Place::InputTokens => &mut report.input,
            Place::OutputTokens => &mut report.output,
            Place::DetailTokens => {
                report.detail.tokens = tokens;
                return;
            }
            Place::CacheReadTokens => &mut report.cache_read,
            Place::CacheWriteTokens => &mut report.cache_write,
            _ => return,
        };
        *slot = Some(tokens);
    }
}
