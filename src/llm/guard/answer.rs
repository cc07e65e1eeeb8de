//! The texts of an answer, whole or an event of a stream, and to which running text each belongs.

use crate::base::Span;
use crate::llm::Format;
use crate::wire::json::{Container, Scalar, Scanner, Visitor};
use arrayvec::ArrayVec;

/// What was found in a document, in its order.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) texts: Vec<Text>,
    /// What spells the texts out again, and what comes in its place.
    pub(super) blanks: Vec<(Span, &'static str)>,
    pub(super) ends: Ends,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// Quotes included.
    pub(super) span: Span,
    /// What it continues; `None` of a text that is whole.
    pub(super) channel: Option<Channel>,
}

/// A text that runs through a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Channel {
    /// Number of the choice, the block, the item or the candidate.
    pub(super) group: u64,
    /// Which text of it.
    pub(super) kind: u64,
}

/// Which running texts have come to their end.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) enum Ends {
    #[default]
    None,
    /// Those of these groups, with this document.
    Groups(Vec<u64>),
    /// All, before this document.
    All,
}

/// Looks through a document in the client's format; `None` when it is not JSON.
pub(super) fn find(format: Format, document: &[u8]) -> Option<Found> {
    let mut finder = Finder::new(format);
    let mut scanner = Scanner::new();
    scanner.feed(document, &mut finder).ok()?;
    scanner.finish(&mut finder).ok()?;
    Some(finder.done())
}

/// Members that give texts their structure, in all formats: they are never texts.
pub(super) fn is_structure(key: &[u8]) -> bool {
    #[rustfmt::skip]
    const NAMES: [&[u8]; 48] = [
        b"role", b"type", b"id", b"name", b"index", b"status", b"object", b"model", b"phase",
        b"call_id", b"tool_call_id", b"tool_use_id", b"item_id", b"response_id", b"container_id",
        b"finish_reason", b"stop_reason", b"stop_sequence", b"finishReason", b"required", b"format", b"detail",
        b"signature", b"thoughtSignature", b"thought_signature", b"encrypted_content", b"encrypted_index",
        b"obfuscation", b"cache_control", b"data", b"result", b"partial_image_b64", b"media_type", b"mimeType", b"mime_type",
        b"url", b"uri", b"image_url", b"file_url", b"file_id", b"file_data", b"fileData", b"inlineData", b"inline_data",
        b"input_audio", b"audio", b"connector_id", b"server_url",
    ];
    NAMES.contains(&key)
}

/// Members whose inside is data of the application, in which any member may be a text: arguments and results of tools.
pub(super) fn is_data(key: &[u8]) -> bool {
    matches!(key, b"input" | b"args" | b"response" | b"json")
}

/// The longest `type` of an event; longer ones are cut.
const TYPE_BYTES_MAX: usize = 64;

struct Finder {
    format: Format,
    found: Found,
    /// Texts before this one belong to earlier groups.
    group_start: usize,
    /// Likewise of calls.
    call_start: usize,
    group: u64,
    /// Of the group, or of the event: which of several.
    part: u64,
    finished: bool,
    ended: Vec<u64>,
    /// The event's `type`.
    kind: ArrayVec<u8, TYPE_BYTES_MAX>,
    blank_open: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Top,
    /// The event's `type`.
    Type,
    /// The list of choices or candidates, and one of them.
    List,
    Group,
    /// The number of the group.
    Number,
    /// The number within the group.
    Part,
    /// Why it ended.
    Finish,
    /// `delta` or `message` of a choice, `delta` or `content_block` of an event of Anthropic's.
    Delta,
    /// Calls of tools within it, and one of them.
    Calls,
    Call,
    /// `content` of a candidate, its parts, and one of them.
    Content,
    Parts,
    Piece,
    /// A response of OpenAI's.
    Response,
    /// Strings belong to the running text of this kind, but for what gives them structure.
    Running(u64),
    /// Strings are whole texts, likewise.
    Whole,
    /// All strings and numbers are whole texts.
    Data,
    /// It spells texts out again.
    Blank,
    Other,
}

/// Tells texts of a group apart by the name of their member.
fn kind_of(key: &[u8]) -> u64 {
    key.iter().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))) << 16
}

impl Finder {
    fn new(format: Format) -> Finder {
        Finder {
            format,
            found: Found::default(),
            group_start: 0,
            call_start: 0,
            group: 0,
            part: 0,
            finished: false,
            ended: Vec::new(),
            kind: ArrayVec::new(),
            blank_open: 0,
        }
    }

    fn top(&self, key: &[u8]) -> Place {
        match (self.format, key) {
            (_, b"type") => Place::Type,
            (Format::OpenAiChat, b"choices") | (Format::GeminiGenerate, b"candidates") => Place::List,
            (Format::AnthropicMessages, b"index") | (Format::OpenAiResponses, b"output_index") => {
                Place::Number
            }
            (Format::AnthropicMessages, b"delta" | b"content_block") => Place::Delta,
            (Format::AnthropicMessages, b"message") => Place::Response,
            (Format::AnthropicMessages, b"content") => Place::Whole,
            (Format::OpenAiResponses, b"content_index" | b"summary_index") => Place::Part,
            (Format::OpenAiResponses, b"delta") => Place::Running(0),
            (Format::OpenAiResponses, b"response") => Place::Response,
            (Format::OpenAiResponses, b"logprobs") => Place::Blank,
            (
                Format::OpenAiResponses,
                b"output" | b"output_text" | b"item" | b"part" | b"text" | b"refusal" | b"arguments"
                | b"annotation" | b"code",
            ) => Place::Whole,
            (Format::OpenAiResponses, b"input") => Place::Data,
            _ => Place::Other,
        }
    }

    fn group_member(key: &[u8]) -> Place {
        match key {
            b"index" => Place::Number,
            b"finish_reason" | b"finishReason" => Place::Finish,
            b"logprobs" | b"logprobsResult" => Place::Blank,
            b"delta" | b"message" => Place::Delta,
            b"content" => Place::Content,
            key if is_structure(key) => Place::Other,
            _ => Place::Whole,
        }
    }

    fn within(key: &[u8], else_in: Place) -> Place {
        match key {
            b"logprobs" => Place::Blank,
            key if is_data(key) => Place::Data,
            key if is_structure(key) => Place::Other,
            _ => else_in,
        }
    }

    fn running(&mut self, kind: u64, start: usize, end: usize) {
        let channel = Channel { group: self.group, kind };
        self.found.texts.push(Text { span: Span::new(start, end), channel: Some(channel) });
    }

    fn done(mut self) -> Found {
        let kind = self.kind.as_slice();
        // In these formats the numbers stand beside the text, in any order.
        for channel in self.found.texts.iter_mut().filter_map(|text| text.channel.as_mut()) {
            match self.format {
                Format::AnthropicMessages => channel.group = self.group,
                Format::OpenAiResponses => {
                    (channel.group, channel.kind) = (self.group, kind_of(kind) + self.part % 0xffff);
                }
                _ => {}
            }
        }
        self.found.ends = match self.format {
            Format::AnthropicMessages if !matches!(kind, b"content_block_delta" | b"ping") => Ends::All,
            Format::OpenAiResponses if !kind.ends_with(b".delta") => Ends::All,
            _ if self.ended.is_empty() => Ends::None,
            _ => Ends::Groups(std::mem::take(&mut self.ended)),
        };
        if self.found.ends == Ends::All {
            self.found.texts.iter_mut().for_each(|text| text.channel = None);
        }
        self.found
    }
}

impl Visitor for Finder {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], _at: usize) -> Place {
        match parent {
            Place::Top => self.top(key),
            Place::Group => Finder::group_member(key),
            Place::Delta => match key {
                b"tool_calls" => Place::Calls,
                b"citation" | b"citations" | b"annotations" => Place::Whole,
                key => Finder::within(key, Place::Running(kind_of(key))),
            },
            Place::Call if key == b"index" => Place::Part,
            Place::Call => Finder::within(key, Place::Running(kind_of(b"tool_calls") + 1)),
            Place::Content if key == b"parts" => Place::Parts,
            Place::Piece if key == b"text" => Place::Running(0),
            Place::Piece => Finder::within(key, Place::Whole),
            Place::Response if matches!(key, b"output" | b"output_text" | b"content") => Place::Whole,
            Place::Running(_) | Place::Whole => Finder::within(key, parent),
            Place::Data => Place::Data,
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        match parent {
            Place::List => Place::Group,
            Place::Calls => Place::Call,
            Place::Parts => Place::Piece,
            Place::Running(_) | Place::Whole | Place::Data => parent,
            _ => Place::Other,
        }
    }

    fn open(&mut self, place: Place, _container: Container, at: usize) {
        match place {
            Place::Group => {
                self.group_start = self.found.texts.len();
                (self.group, self.finished) = (0, false);
            }
            Place::Call => (self.call_start, self.part) = (self.found.texts.len(), 0),
            Place::Blank => self.blank_open = at,
            _ => {}
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, _empty: bool) {
        match (place, container) {
            (Place::Group, Container::Object) => {
                let group = self.group;
                let texts = self.found.texts.iter_mut().skip(self.group_start);
                texts.filter_map(|text| text.channel.as_mut()).for_each(|channel| channel.group = group);
                if self.finished {
                    self.ended.push(group);
                }
            }
            (Place::Call, Container::Object) => {
                let texts = self.found.texts.iter_mut().skip(self.call_start);
                let part = self.part % 0xffff;
                texts.filter_map(|text| text.channel.as_mut()).for_each(|channel| channel.kind += part);
            }
            (Place::Blank, container) => {
                let empty = if container == Container::Array { "[]" } else { "null" };
                self.found.blanks.push((Span::new(self.blank_open, end), empty));
            }
            _ => {}
        }
    }

    fn text(&mut self, place: Place, part: &[u8]) {
        if place == Place::Type {
            self.kind.extend(part.iter().copied().take(self.kind.remaining_capacity()));
        }
    }

    fn string(&mut self, place: Place, start: usize, end: usize) {
        match place {
            Place::Running(kind) => self.running(kind, start, end),
            Place::Whole | Place::Data => {
                self.found.texts.push(Text { span: Span::new(start, end), channel: None });
            }
            Place::Finish => self.finished = true,
            _ => {}
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, start: usize, end: usize) {
        match (place, scalar) {
            (Place::Number, Scalar::Integer(number)) => self.group = number,
            (Place::Part, Scalar::Integer(number)) => self.part = number,
            (Place::Data, Scalar::Integer(_) | Scalar::Number) => {
                self.found.texts.push(Text { span: Span::new(start, end), channel: None });
            }
            _ => {}
        }
    }
}
