//! A provider's stream in the client's format, event by event.

use super::BadReply;
use super::read::Decoder;
use super::stream_to_anthropic::ToAnthropic;
use super::stream_to_openai::ToOpenAi;
use crate::llm::{Format, Usage};

/// What the gateway knows about a stream before its first event.
#[derive(Clone, Debug, Default)]
pub struct StreamTerms {
    /// Seconds since 1970, for the `created` member of OpenAI chunks.
    pub created_unix: u64,
    /// The model that was asked for, named when the provider does not name one; empty when unknown.
    pub asked_model: String,
    /// Whether an OpenAI client asked for the usage chunk (`stream_options.include_usage`).
    pub include_usage: bool,
}

/// Turns the events of a provider's stream into those of the client's format.
///
/// Give every event's data to [`StreamTranslator::event`] in order; each call appends whole SSE events, ready to
/// send, to `out` (or nothing). When the provider's body has ended, for whatever reason, call
/// [`StreamTranslator::finish`] once: it appends what is missing of a proper end, or an error event if the
/// stream was cut. [`StreamTranslator::cut`] ends the stream early on the gateway's own decision.
///
/// Holds an id, a model name and a bounded map of tool calls; never the text that passes.
pub struct StreamTranslator {
    direction: Direction,
    decoder: Decoder,
    /// The stream has ended, well or with an error event; all that comes later is dropped.
    over: bool,
}

enum Direction {
    Same,
    ToOpenAi(Box<ToOpenAi>),
    ToAnthropic(Box<ToAnthropic>),
}

/// Whether more events are expected.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    More,
    Over,
}

impl StreamTranslator {
    /// A translator of one stream. Between equal formats events pass as they are.
    pub fn new(provider: Format, client: Format, terms: StreamTerms) -> StreamTranslator {
        let direction = match (provider, client) {
            (Format::AnthropicMessages, Format::OpenAiChat) => {
                Direction::ToOpenAi(Box::new(ToOpenAi::new(terms)))
            }
            (Format::OpenAiChat, Format::AnthropicMessages) => {
                Direction::ToAnthropic(Box::new(ToAnthropic::new(terms)))
            }
            (Format::OpenAiChat, Format::OpenAiChat)
            | (Format::AnthropicMessages, Format::AnthropicMessages) => Direction::Same,
        };
        StreamTranslator { direction, decoder: Decoder::default(), over: false }
    }

    /// Appends the client's events for one event of the provider. `data` is used up.
    ///
    /// `event_name` matters only between equal formats: both formats say in the data what an event is.
    ///
    /// # Errors
    /// When the data is not what the provider's format allows. The stream is then to be ended with
    /// [`StreamTranslator::finish`], which tells the client.
    pub fn event(&mut self, event_name: &str, data: &mut [u8], out: &mut Vec<u8>) -> Result<(), BadReply> {
        if self.over || data.is_empty() {
            return Ok(());
        }
        let progress = match &mut self.direction {
            Direction::Same => {
                copy(event_name, data, out);
                Progress::More
            }
            Direction::ToOpenAi(to) => {
                self.decoder.decode(data, |event| to.event(event, out)).ok_or(BadReply::NotJson)?
            }
            Direction::ToAnthropic(to) if data.trim_ascii() == b"[DONE]" => {
                to.end(out);
                Progress::Over
            }
            Direction::ToAnthropic(to) => {
                self.decoder.decode(data, |chunk| to.chunk(chunk, out)).unwrap_or(Err(BadReply::NotJson))?
            }
        };
        self.over = progress == Progress::Over;
        Ok(())
    }

    /// The provider's body has ended. Appends the rest of a proper end if the answer was complete, an error
    /// event if it was cut, nothing if all was said.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        match &mut self.direction {
            Direction::Same => {}
            Direction::ToOpenAi(to) => to.finish(out),
            Direction::ToAnthropic(to) => to.finish(out),
        }
    }

    /// Ends the stream now, well-formed, as if the provider had stopped at the length limit: finish reason
    /// `length` (`max_tokens`), usage, terminator. The usage is what the gateway `counted`, else what the
    /// provider reported so far, which before the end is mostly input. Between equal formats it writes nothing.
    pub fn cut(&mut self, counted: Option<Usage>, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.over, true) {
            return;
        }
        match &mut self.direction {
            Direction::Same => {}
            Direction::ToOpenAi(to) => to.cut(counted, out),
            Direction::ToAnthropic(to) => to.cut(counted, out),
        }
    }

    /// Whether an OpenAI client gets the usage chunk; overrules [`StreamTerms::include_usage`]. To be called
    /// before the first event.
    pub fn include_usage(&mut self, include: bool) {
        if let Direction::ToOpenAi(to) = &mut self.direction {
            to.include_usage(include);
        }
    }

    /// What the provider has reported so far; `None` when nothing, and between equal formats.
    pub fn usage(&self) -> Option<Usage> {
        match &self.direction {
            Direction::Same => None,
            Direction::ToOpenAi(to) => to.usage(),
            Direction::ToAnthropic(to) => to.usage(),
        }
    }
}

/// One SSE event as it was: name, then a `data` line per line.
fn copy(event_name: &str, data: &[u8], out: &mut Vec<u8>) {
    if !matches!(event_name, "" | "message") {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event_name.as_bytes());
        out.push(b'\n');
    }
    for line in data.split(|byte| *byte == b'\n') {
        out.extend_from_slice(b"data: ");
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out.push(b'\n');
}

/// The first 256 bytes of an id or a model name, which is more than any has.
pub(super) fn clip(name: &str) -> &str {
    name.get(..name.floor_char_boundary(256)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Format::{AnthropicMessages, OpenAiChat};

    #[test]
    fn tool_calls_of_one_stream_are_bounded() {
        let mut stream = StreamTranslator::new(OpenAiChat, AnthropicMessages, StreamTerms::default());
        let mut out = Vec::new();
        let answers = (0..129).map(|index| {
            let call = format!(
                r#"{{"index":{index},"id":"c{index}","function":{{"name":"f","arguments":"{{}}"}}}}"#
            );
            let chunk = format!(r#"{{"choices":[{{"index":0,"delta":{{"tool_calls":[{call}]}}}}]}}"#);
            stream.event("", &mut chunk.into_bytes(), &mut out)
        });
        let answers: Vec<_> = answers.collect();
        assert!(answers[..128].iter().all(Result::is_ok));
        assert_eq!(answers[128], Err(BadReply::TooManyToolCalls));
    }

    #[test]
    fn between_equal_formats_events_pass_as_they_are() {
        let mut stream = StreamTranslator::new(OpenAiChat, OpenAiChat, StreamTerms::default());
        let mut out = Vec::new();
        for (name, data) in [("", "{not json"), ("message", "[DONE]"), ("odd", "two\nlines")] {
            stream.event(name, &mut data.as_bytes().to_vec(), &mut out).unwrap();
        }
        stream.finish(&mut out);
        let expected = "data: {not json\n\ndata: [DONE]\n\nevent: odd\ndata: two\ndata: lines\n\n";
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
    }

    #[test]
    fn what_the_gateway_counted_is_reported_when_it_cuts() {
        let terms = StreamTerms { include_usage: true, ..StreamTerms::default() };
        let mut stream = StreamTranslator::new(AnthropicMessages, OpenAiChat, terms);
        let mut out = Vec::new();
        stream.cut(Some(Usage { input: 3, output: 2, ..Usage::default() }), &mut out);
        let text = std::str::from_utf8(&out).unwrap();
        assert!(
            text.contains(r#""finish_reason":"length""#) && text.contains(r#""total_tokens":5"#),
            "{text}"
        );
        assert!(text.ends_with("data: [DONE]\n\n"));
    }

    #[test]
    fn long_names_are_clipped_at_a_character() {
        let long = "é".repeat(200);
        assert_eq!((clip(&long).len(), clip("short")), (256, "short"));
    }
}
