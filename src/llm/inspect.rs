use super::Format;
use crate::base::Span;
use crate::wire::json::{Container, Fault, FaultKind, Scalar, Scanner, Visitor};
use std::fmt;

/// What a request asks for, as far as limits, routing and editing need to know, and where it says so.
///
/// Spans point into the body that was inspected. A member that is `null` counts as absent, as the providers have it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// The model's name: what stands between the quotes, escapes undecoded
    /// (see [`unescape`](crate::wire::json::unescape)).
    pub model: Option<Span>,
    /// The whole value of `model`, with its quotes; a `null` too.
    pub model_value: Option<Span>,
    /// The whole member `model`, from its key on.
    pub model_member: Option<Span>,
    /// Whether the answer shall come as a stream.
    pub stream: Option<bool>,
    /// The most tokens of output per choice: `max_tokens` or `max_completion_tokens`, `max_output_tokens`,
    /// `generationConfig.maxOutputTokens`; the larger when there are two, so that neither hides the other.
    pub max_output: Option<u64>,
    /// How many answers are asked for (`n` of OpenAI, `candidateCount` of Gemini); at least 1.
    pub choices: u64,
    /// `stream_options.include_usage` of OpenAI.
    pub include_usage: Option<bool>,
    /// The whole value of `include_usage`, a `null` too.
    pub include_usage_value: Option<Span>,
    /// `stream_options` of OpenAI, when it is an object.
    pub stream_options: Option<Braces>,
    /// The whole value of `stream_options` when it is `null`.
    pub stream_options_null: Option<Span>,
    /// Bytes of text that the model reads, decoded: all strings in messages, system prompt, tools and answer schema. What
    /// a request only points at is not among them: see [`unseen`](Ask::unseen).
    pub text_bytes: u64,
    /// Whether it points at input that is not in the body, so that the text says little about the tokens.
    pub unseen: bool,
    /// Tokens that the request itself counts out, as numbers: `input` of embeddings.
    pub input_tokens: u64,
    /// How long the vectors shall be: `dimensions` of embeddings.
    pub dimensions: Option<u64>,
    /// Whether the vectors shall come as base64 (`encoding_format` of embeddings).
    pub base64: bool,
    /// Bytes of media in the body (base64), which [`text_bytes`](Ask::text_bytes) leaves out.
    pub media_bytes: u64,
    /// The outermost object.
    pub top: Braces,
}

/// An object: where it stands and whether a member can be put in without a comma.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Braces {
    /// From the opening brace to the closing one, both included.
    pub span: Span,
    /// Whether there is no member.
    pub empty: bool,
}

/// Why a body is no request that we can handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadBody {
    /// It is not JSON, not an object, or it holds a member twice.
    Json(Fault),
    /// A member is of the wrong type.
    Field {
        /// The member's name, with dots for the way to it.
        name: &'static str,
        /// What it must be, to be put after "must be".
        expected: &'static str,
    },
}

impl From<Fault> for BadBody {
    fn from(fault: Fault) -> BadBody {
        BadBody::Json(fault)
    }
}

/// For the client, in the sentence that its format has for it.
impl fmt::Display for BadBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadBody::Json(fault) => {
                write!(f, "the body is not valid JSON: {} at byte {}", fault.reason(), fault.at)
            }
            BadBody::Field { name, expected } => write!(f, "`{name}` must be {expected}"),
        }
    }
}

/// Inspects the body of a request in one pass while it arrives.
///
/// Call [`feed`](Inspector::feed) with the whole buffer whenever it has grown, then [`finish`](Inspector::finish).
/// Nothing is decoded into a tree and nothing is allocated. What is not for us passes unseen but must be valid JSON.
#[derive(Debug)]
pub struct Inspector {
    scanner: Scanner<Place>,
    findings: Findings,
}

impl Inspector {
    /// For a body in the client's format.
    pub fn new(format: Format) -> Inspector {
        Inspector { scanner: Scanner::new(), findings: Findings::new(format) }
    }

    /// Looks at what is new in `body`, which is all of it so far; at most 4 GiB.
    ///
    /// # Errors
    /// The first fault of the body, as soon as it has arrived: malformed, not an object, a member twice.
    pub fn feed(&mut self, body: &[u8]) -> Result<(), Fault> {
        let fresh = body.get(self.scanner.offset()..).unwrap_or_default();
        let scanned = self.scanner.feed(fresh, &mut self.findings);
        self.findings.first_fault(scanned)
    }

    /// Looks at the rest of `body`, which is complete, and says what it asks for.
    ///
    /// # Errors
    /// As [`feed`](Inspector::feed), or a member of the wrong type.
    pub fn finish(mut self, body: &[u8]) -> Result<Ask, BadBody> {
        self.feed(body)?;
        let finished = self.scanner.finish(&mut self.findings);
        self.findings.first_fault(finished)?;
        self.findings.bad.map_or(Ok(self.findings.ask), Err)
    }
}

/// Where a value stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// The outermost value.
    #[default]
    Top,
    Model,
    Stream,
    StreamOptions,
    IncludeUsage,
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    Choices,
    /// Whether an answer is to be fetched later.
    Background,
    /// The name of input that is elsewhere.
    Unseen,
    /// `input` of embeddings: texts, or tokens as numbers.
    Input,
    Dimensions,
    /// `encoding_format` of embeddings. What it must be is for providers and translations to say.
    Encoding,
    /// `requests` of Gemini's, and each of them.
    Requests,
    /// `generationConfig` of Gemini.
    Config,
    /// Its `maxOutputTokens`. What is no number is for Gemini to judge, which takes it in other forms too.
    ConfigMaxTokens,
    /// Its `candidateCount`.
    Candidates,
    /// Strings here are read by the model.
    Text,
    /// A string here is media if it is a `data:` URL.
    Url,
    /// An object that holds media in base64 in `data`: Anthropic's `source`, OpenAI's `input_audio`, Gemini's `inlineData`.
    Source,
    /// A string here is media.
    Media,
    Other,
}

/// The members of the top level that we act upon, one bit each in [`Findings::seen`].
type Members = &'static [(&'static [u8], Place)];

/// Chat completions (OpenAI API reference, "Create chat completion").
const CHAT: Members = &[
    (b"model", Place::Model),
    (b"messages", Place::Text),
    (b"stream", Place::Stream),
    (b"max_tokens", Place::MaxTokens),
    (b"tools", Place::Text),
    (b"system", Place::Text),
    (b"stream_options", Place::StreamOptions),
    (b"max_completion_tokens", Place::MaxCompletionTokens),
    (b"n", Place::Choices),
    (b"functions", Place::Text),
    (b"response_format", Place::Text),
];

/// Messages, and the counting of their tokens (Anthropic API reference, "Create a Message", "Count tokens in a Message").
const MESSAGES: Members = &[
    (b"model", Place::Model),
    (b"messages", Place::Text),
    (b"stream", Place::Stream),
    (b"max_tokens", Place::MaxTokens),
    (b"tools", Place::Text),
    (b"system", Place::Text),
];

/// Responses (OpenAI API reference, "Create a model response").
const RESPONSES: Members = &[
    (b"model", Place::Model),
    (b"input", Place::Text),
    (b"stream", Place::Stream),
    (b"instructions", Place::Text),
    (b"tools", Place::Text),
    (b"max_output_tokens", Place::MaxOutputTokens),
    (b"text", Place::Text),
    (b"prompt", Place::Text),
    (b"background", Place::Background),
    (b"previous_response_id", Place::Unseen),
    (b"conversation", Place::Unseen),
];

/// Embeddings (OpenAI API reference, "Create embeddings").
const EMBEDDINGS: Members = &[
    (b"model", Place::Model),
    (b"input", Place::Input),
    (b"dimensions", Place::Dimensions),
    (b"encoding_format", Place::Encoding),
];

/// One content to embed, and several (Gemini API reference, "models.embedContent", "models.batchEmbedContents").
const EMBED: Members = &[
    (b"content", Place::Text),
    (b"title", Place::Text),
    // A title stands there too.
    (b"embedContentConfig", Place::Text),
    (b"embed_content_config", Place::Text),
];
const EMBED_BATCH: Members = &[(b"requests", Place::Requests)];

/// Contents, in both spellings that Google reads (Gemini API reference, "Generating content", "Counting tokens").
const CONTENTS: Members = &[
    (b"contents", Place::Text),
    (b"systemInstruction", Place::Text),
    (b"system_instruction", Place::Text),
    (b"tools", Place::Text),
    (b"generationConfig", Place::Config),
    (b"generation_config", Place::Config),
    (b"cachedContent", Place::Unseen),
    (b"cached_content", Place::Unseen),
    (b"generateContentRequest", Place::Text),
    (b"generate_content_request", Place::Text),
];

fn members_of(format: Format) -> Members {
    match format {
        Format::OpenAiChat => CHAT,
        Format::OpenAiResponses => RESPONSES,
        Format::OpenAiEmbeddings => EMBEDDINGS,
        Format::AnthropicMessages | Format::AnthropicCountTokens => MESSAGES,
        Format::GeminiGenerate | Format::GeminiCountTokens => CONTENTS,
        Format::GeminiEmbed => EMBED,
        Format::GeminiEmbedBatch => EMBED_BATCH,
        // Those have no body, and the last ones no client.
        Format::OpenAiModels
        | Format::AnthropicModels
        | Format::GeminiModels
        | Format::GeminiPredict
        | Format::BedrockConverse
        | Format::BedrockInvoke
        | Format::BedrockCountTokens => &[],
    }
}

/// Whether the model reads the texts in the member `key` of the outermost object.
pub(super) fn is_read(format: Format, key: &[u8]) -> bool {
    let read = |place: &Place| matches!(place, Place::Text | Place::Input | Place::Requests);
    members_of(format).iter().any(|(name, place)| *name == key && read(place))
}

/// The bit of `stream_options.include_usage` in [`Findings::seen`].
const INCLUDE_USAGE_BIT: usize = CHAT.len();

#[derive(Debug)]
struct Findings {
    ask: Ask,
    members: Members,
    /// Bits of the members that were seen.
    seen: u16,
    fault: Option<Fault>,
    bad: Option<BadBody>,
    /// Decoded bytes of the string being read, in a place where they count.
    string_bytes: u64,
    /// How many bytes of [`DATA_URL`] or [`BASE64`] it begins with.
    matched: usize,
    /// Where `stream_options` opened.
    options_open: usize,
    /// Where the key of `model` begins.
    model_at: usize,
}

const DATA_URL: &[u8] = b"data:";
const BASE64: &[u8] = b"base64";

impl Findings {
    fn new(format: Format) -> Findings {
        Findings {
            ask: Ask { choices: 1, ..Ask::default() },
            members: members_of(format),
            seen: 0,
            fault: None,
            bad: None,
            string_bytes: 0,
            matched: 0,
            options_open: 0,
            model_at: 0,
        }
    }

    fn top_member(&mut self, key: &[u8], at: usize) -> Place {
        let mut members = self.members.iter().enumerate();
        let Some((bit, (_, place))) = members.find(|(_, (name, _))| *name == key) else {
            return Place::Other;
        };
        self.see(bit, at);
        if *place == Place::Model {
            self.model_at = at;
        }
        *place
    }

    /// Notes a member that must not come twice.
    fn see(&mut self, bit: usize, at: usize) {
        if self.seen >> bit & 1 == 1 {
            self.fault(at, FaultKind::DuplicateKey);
        }
        self.seen |= 1 << bit;
    }

    fn fault(&mut self, at: usize, kind: FaultKind) {
        self.fault.get_or_insert(Fault { at, kind });
    }

    /// The earlier of the scanner's fault and ours.
    fn first_fault(&self, scanned: Result<(), Fault>) -> Result<(), Fault> {
        match (self.fault, scanned) {
            (Some(ours), Err(theirs)) if theirs.at < ours.at => Err(theirs),
            (Some(ours), _) => Err(ours),
            (None, scanned) => scanned,
        }
    }

    /// Compares the next part of a string with what it may begin with.
    fn compare(&mut self, beginning: &[u8], part: &[u8]) {
        if self.string_bytes == self.matched as u64 {
            let expected = beginning.get(self.matched..).unwrap_or_default();
            self.matched += expected.iter().zip(part).take_while(|(a, b)| a == b).count();
        }
        self.string_bytes += part.len() as u64;
    }

    /// A value whose type does not fit its place. Only the first such is told.
    fn wrong_type(&mut self, place: Place, at: usize) {
        let (name, expected) = match place {
            Place::Top => return self.fault(at, FaultKind::NotAnObject),
            Place::Model => ("model", "a string"),
            Place::Stream => ("stream", "a boolean"),
            Place::StreamOptions => ("stream_options", "an object"),
            Place::IncludeUsage => ("stream_options.include_usage", "a boolean"),
            Place::MaxTokens => ("max_tokens", "a non-negative integer"),
            Place::MaxCompletionTokens => ("max_completion_tokens", "a non-negative integer"),
            Place::MaxOutputTokens => ("max_output_tokens", "a non-negative integer"),
            Place::Choices => ("n", "a non-negative integer"),
            Place::Background => ("background", "a boolean"),
            Place::Dimensions => ("dimensions", "a non-negative integer"),
            Place::Unseen | Place::Config | Place::ConfigMaxTokens | Place::Candidates => return,
            Place::Encoding | Place::Requests => return,
            Place::Input | Place::Text | Place::Url | Place::Source | Place::Media | Place::Other => return,
        };
        self.bad.get_or_insert(BadBody::Field { name, expected });
    }
}

impl Visitor for Findings {
    type Place = Place;

    fn member(&mut self, parent: Place, key: &[u8], at: usize) -> Place {
        match (parent, key) {
            (Place::Top, _) => self.top_member(key, at),
            (Place::StreamOptions, b"include_usage") => {
                self.see(INCLUDE_USAGE_BIT, at);
                Place::IncludeUsage
            }
            (Place::Config, b"maxOutputTokens" | b"max_output_tokens") => Place::ConfigMaxTokens,
            (Place::Config, b"candidateCount" | b"candidate_count") => Place::Candidates,
            (
                Place::Config,
                b"responseSchema" | b"response_schema" | b"responseJsonSchema" | b"response_json_schema",
            ) => Place::Text,
            (Place::Requests, b"content" | b"title") => Place::Text,
            (Place::Source, b"data") => Place::Media,
            (Place::Text | Place::Url | Place::Source | Place::Media, _) => match key {
                b"url" | b"image_url" | b"file_data" => Place::Url,
                b"source" | b"input_audio" | b"inlineData" | b"inline_data" => Place::Source,
                _ => Place::Text,
            },
            _ => Place::Other,
        }
    }

    fn element(&mut self, parent: Place) -> Place {
        match parent {
            Place::Text | Place::Url | Place::Source | Place::Media => Place::Text,
            Place::Input | Place::Requests => parent,
            _ => Place::Other,
        }
    }

    fn open(&mut self, place: Place, container: Container, at: usize) {
        match (place, container) {
            (Place::Top, Container::Object) => self.ask.top.span = Span::new(at, at),
            (Place::StreamOptions, Container::Object) => self.options_open = at,
            (Place::Unseen, _) => self.ask.unseen = true,
            _ => self.wrong_type(place, at),
        }
    }

    fn close(&mut self, place: Place, container: Container, end: usize, empty: bool) {
        match (place, container) {
            (Place::Top, Container::Object) => {
                self.ask.top.empty = empty;
                self.ask.top.span.end = end as u32;
            }
            (Place::StreamOptions, Container::Object) => {
                self.ask.stream_options = Some(Braces { span: Span::new(self.options_open, end), empty });
            }
            _ => {}
        }
    }

    #[inline]
    fn text(&mut self, place: Place, part: &[u8]) {
        match place {
            Place::Text | Place::Input | Place::Source | Place::Media => {
                self.string_bytes += part.len() as u64;
            }
            Place::Url => self.compare(DATA_URL, part),
            Place::Encoding => self.compare(BASE64, part),
            _ => {}
        }
    }

    fn string(&mut self, place: Place, start: usize, end: usize) {
        let bytes = std::mem::take(&mut self.string_bytes);
        let matched = std::mem::take(&mut self.matched);
        let is_data_url = matched == DATA_URL.len();
        match place {
            Place::Model => {
                self.ask.model = Some(Span::new(start + 1, end - 1));
                self.ask.model_value = Some(Span::new(start, end));
                self.ask.model_member = Some(Span::new(self.model_at, end));
            }
            Place::Unseen => self.ask.unseen = true,
            Place::Media => self.ask.media_bytes += bytes,
            Place::Url if is_data_url => self.ask.media_bytes += bytes,
            Place::Encoding => self.ask.base64 = (matched, bytes) == (BASE64.len(), BASE64.len() as u64),
            Place::Text | Place::Input | Place::Url | Place::Source => self.ask.text_bytes += bytes,
            _ => self.wrong_type(place, start),
        }
    }

    fn scalar(&mut self, place: Place, scalar: Scalar, start: usize, end: usize) {
        let ask = &mut self.ask;
        match (place, scalar) {
            (Place::Model, Scalar::Null) => {
                ask.model_value = Some(Span::new(start, end));
                ask.model_member = Some(Span::new(self.model_at, end));
            }
            (Place::StreamOptions, Scalar::Null) => ask.stream_options_null = Some(Span::new(start, end)),
            (Place::IncludeUsage, Scalar::Null) => ask.include_usage_value = Some(Span::new(start, end)),
            (Place::IncludeUsage, Scalar::Bool(wanted)) => {
                ask.include_usage = Some(wanted);
                ask.include_usage_value = Some(Span::new(start, end));
            }
            (Place::Stream, Scalar::Bool(wanted)) => ask.stream = Some(wanted),
            (
                Place::MaxTokens
                | Place::MaxCompletionTokens
                | Place::MaxOutputTokens
                | Place::ConfigMaxTokens,
                Scalar::Integer(tokens),
            ) => ask.max_output = ask.max_output.max(Some(tokens)),
            (Place::Choices | Place::Candidates, Scalar::Integer(choices)) => ask.choices = choices.max(1),
            (Place::Input, Scalar::Integer(_)) => ask.input_tokens += 1,
            (Place::Dimensions, Scalar::Integer(length)) => ask.dimensions = Some(length),
            (Place::Background, Scalar::Bool(true)) => {
                let expected =
                    "false: the usage of an answer that is fetched later would not pass this gateway";
                self.bad.get_or_insert(BadBody::Field { name: "background", expected });
            }
            (Place::Background, Scalar::Bool(false)) => {}
            (
                Place::Stream
                | Place::MaxTokens
                | Place::MaxCompletionTokens
                | Place::MaxOutputTokens
                | Place::Choices
                | Place::Background
                | Place::Dimensions,
                Scalar::Null,
            ) => {}
            _ => self.wrong_type(place, start),
        }
    }
}

#[cfg(test)]
mod tests;
