//! A provider's stream in the client's format, event by event.

use super::error::{stream_cut, stream_error, stream_failed};
use super::hub::{Event, Finish};
use super::read::{Decoder, Value};
use super::{BadReply, chat, converse, gemini, messages, responses};
use crate::llm::{Format, Meter, Usage};
use crate::wire::sse;

/// What the gateway knows about a stream before its first event.
#[derive(Clone, Debug, Default)]
pub struct StreamTerms {
    /// Seconds since 1970, for the `created` or `created_at` member of OpenAI's events.
    pub created_unix: u64,
    /// The model that was asked for, named when the provider does not name one; empty when unknown.
    pub asked_model: String,
    /// The model that the provider was asked for; empty when unknown. Bedrock's streams do not say whose thoughts they
    /// tell.
    pub provider_model: String,
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
/// Holds an id, a model name and a bounded map of tool calls; the arguments of calls for Gemini's clients (4 MiB at most), and
/// the text that passes only for clients of responses, whose last event repeats it (16 MiB at most).
pub struct StreamTranslator(Option<Box<Crossing>>);

/// The way of a stream from one format through the hub into another.
struct Crossing {
    client: Format,
    decoder: Decoder,
    /// Reads usage, for all formats: a client is told what is charged.
    meter: Meter,
    reader: Box<dyn ReadEvents>,
    writer: Box<dyn WriteEvents>,
    state: State,
}

/// What is known of a stream so far.
#[derive(Default)]
struct State {
    asked_model: String,
    started: bool,
    /// The model called a tool; it refused.
    called: bool,
    refused: bool,
    finish: Option<Finish>,
    usage: Option<Usage>,
    /// The stream has ended, well or with an error event; all that comes later is dropped.
    over: bool,
}

/// Takes what an event says.
pub(super) type Sink<'s> = dyn FnMut(Event<'_, '_>) -> Result<(), BadReply> + 's;

/// Reads the events of a provider's stream.
pub(super) trait ReadEvents {
    /// Hands on what the event says. `name` is its name where the format does not say it in the data.
    fn read(&mut self, name: &str, event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply>;
}

/// Writes the events of a client's stream, as SSE and ready to send. The three are called in this order.
pub(super) trait WriteEvents {
    /// Once. Both may be empty.
    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>);
    /// What stands between start and end: anything but [`Event::Start`], [`Event::Finish`], [`Event::Fail`],
    /// [`Event::Failed`] and [`Event::End`].
    fn event(&mut self, event: Event<'_, '_>, out: &mut Vec<u8>) -> Result<(), BadReply>;
    /// Once, unless the stream ends with an error.
    fn end(&mut self, finish: Finish, usage: Usage, out: &mut Vec<u8>);
    /// The number of the next event, where the format counts them; for the error that may be it.
    fn sequence(&self) -> u64 {
        0
    }
    /// Bytes of what is kept until the end.
    fn held_bytes(&self) -> usize {
        0
    }
    /// Whether an OpenAI client gets the usage chunk.
    fn include_usage(&mut self, _include: bool) {}
}

impl StreamTranslator {
    /// Bytes of what it keeps of the stream until its end.
    pub fn held_bytes(&self) -> usize {
        self.0.as_ref().map_or(0, |crossing| crossing.writer.held_bytes())
    }

    /// A translator of one stream. Between equal formats, and where there is no translation, events pass as they are.
    pub fn new(provider: Format, client: Format, terms: StreamTerms) -> StreamTranslator {
        if provider == client {
            return StreamTranslator(None);
        }
        let state = State { asked_model: terms.asked_model.clone(), ..State::default() };
        let reader: Box<dyn ReadEvents> = match provider {
            Format::OpenAiChat => Box::new(chat::Reader::default()),
            Format::OpenAiResponses => Box::new(responses::Reader::default()),
            Format::AnthropicMessages => Box::new(messages::Reader::default()),
            Format::GeminiGenerate => Box::new(gemini::Reader::default()),
            Format::BedrockConverse => {
                Box::new(converse::Reader::new(converse::maker(&terms.provider_model)))
            }
            _ => return StreamTranslator(None),
        };
        let writer: Box<dyn WriteEvents> = match client {
            Format::OpenAiChat => Box::new(chat::Writer::new(terms)),
            Format::OpenAiResponses => Box::new(responses::Writer::new(terms.created_unix)),
            Format::AnthropicMessages => Box::new(messages::Writer::default()),
            Format::GeminiGenerate => Box::new(gemini::Writer::default()),
            _ => return StreamTranslator(None),
        };
        StreamTranslator(Some(Box::new(Crossing {
            client,
            decoder: Decoder::default(),
            meter: Meter::new(provider, false),
            reader,
            writer,
            state,
        })))
    }

    /// Appends the client's events for one event of the provider. `data` is used up. Bedrock names its events beside the
    /// data: `event_name` is the `:event-type` of a frame, or its `:exception-type`.
    ///
    /// # Errors
    /// When the data is not what the provider's format allows. The stream is then to be ended with
    /// [`StreamTranslator::finish`], which tells the client.
    pub fn event(&mut self, event_name: &str, data: &mut [u8], out: &mut Vec<u8>) -> Result<(), BadReply> {
        let Some(crossing) = &mut self.0 else {
            sse::write(out, if event_name == "message" { "" } else { event_name }, data);
            return Ok(());
        };
        if crossing.state.over || data.is_empty() {
            return Ok(());
        }
        let Crossing { client, decoder, meter, reader, writer, state } = &mut **crossing;
        if data.trim_ascii() == b"[DONE]" {
            return state.take(Event::End, *client, &mut **writer, out); // which is not JSON
        }
        let read = |event: Value<'_, '_>| {
            meter.see(event);
            state.usage = meter.usage().or(state.usage);
            let mut sink = |event: Event<'_, '_>| state.take(event, *client, &mut **writer, out);
            reader.read(event_name, event, &mut sink)
        };
        decoder.decode(data, read).unwrap_or(Err(BadReply::NotJson))
    }

    /// The provider's body has ended. Appends the rest of a proper end if the answer was complete, an error
    /// event if it was cut, nothing if all was said.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let Some(crossing) = self.0.as_mut().filter(|crossing| !crossing.state.over) else { return };
        match crossing.state.finish {
            Some(_) => crossing.end(None, out),
            None => {
                crossing.state.over = true;
                stream_cut(crossing.client, crossing.writer.sequence(), out);
            }
        }
    }

    /// The provider has told an error outside of its events, by its name and its words (either may be empty). Appends
    /// the error event, unless the stream is over.
    pub fn fail(&mut self, kind: &str, message: &str, out: &mut Vec<u8>) {
        if let Some(crossing) = self.0.as_mut().filter(|crossing| !crossing.state.over) {
            crossing.state.over = true;
            stream_failed(crossing.client, crossing.writer.sequence(), kind, message, out);
        }
    }

    /// Ends the stream now, well-formed, as if the provider had stopped at the length limit: finish reason
    /// `length` (`max_tokens`), usage, terminator. The usage is what the gateway `counted`, else what the
    /// provider reported so far, which before the end is mostly input. Between equal formats it writes nothing.
    pub fn cut(&mut self, counted: Option<Usage>, out: &mut Vec<u8>) {
        if let Some(crossing) = self.0.as_mut().filter(|crossing| !crossing.state.over) {
            crossing.state.finish.get_or_insert(Finish::Length); // unless the answer was complete already
            crossing.end(counted, out);
        }
    }

    /// Whether an OpenAI client gets the usage chunk; overrules [`StreamTerms::include_usage`]. To be called
    /// before the first event.
    pub fn include_usage(&mut self, include: bool) {
        if let Some(crossing) = &mut self.0 {
            crossing.writer.include_usage(include);
        }
    }

    /// What the provider has reported so far; `None` when nothing, and between equal formats.
    pub fn usage(&self) -> Option<Usage> {
        self.0.as_ref().and_then(|crossing| crossing.state.usage)
    }
}

impl Crossing {
    fn end(&mut self, counted: Option<Usage>, out: &mut Vec<u8>) {
        self.state.usage = counted.or(self.state.usage);
        self.state.end(&mut *self.writer, out);
    }
}

impl State {
    fn take(
        &mut self,
        event: Event<'_, '_>,
        client: Format,
        writer: &mut dyn WriteEvents,
        out: &mut Vec<u8>,
    ) -> Result<(), BadReply> {
        if self.over {
            return Ok(());
        }
        match event {
            Event::Start { id, model } => self.start(id, model, writer, out),
            Event::Finish(finish) => self.finish = Some(finish),
            Event::End => self.end(writer, out),
            Event::Fail(event) => {
                self.over = true;
                stream_error(client, writer.sequence(), event, out);
            }
            Event::Failed { kind, message } => {
                self.over = true;
                stream_failed(client, writer.sequence(), kind, message, out);
            }
            event => {
                self.start("", "", writer, out); // if the stream began in the middle
                self.called |= matches!(event, Event::Call { .. });
                self.refused |= matches!(event, Event::Refusal(_));
                return writer.event(event, out);
            }
        }
        Ok(())
    }

    fn start(&mut self, id: &str, model: &str, writer: &mut dyn WriteEvents, out: &mut Vec<u8>) {
        if !std::mem::replace(&mut self.started, true) {
            writer.start(id, if model.is_empty() { &self.asked_model } else { model }, out);
        }
    }

    fn end(&mut self, writer: &mut dyn WriteEvents, out: &mut Vec<u8>) {
        self.over = true;
        self.start("", "", writer, out);
        let finish = self.finish.unwrap_or_default().given(self.called, self.refused);
        writer.end(finish, self.usage.unwrap_or_default(), out);
    }
}

/// The first 256 bytes of an id or a model name, which is more than any has.
pub(super) fn clip(name: &str) -> &str {
    name.get(..name.floor_char_boundary(256)).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llm::Format::{AnthropicMessages, OpenAiChat};
    use proptest::prelude::*;

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

    const ANTHROPIC_EVENTS: &[&str] = &[
        r#"{"type":"message_start","message":{"id":"m","model":"c","usage":{"input_tokens":3}}}"#,
        r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
        r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}"#,
        r#"{"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"s"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"x"}}"#,
        r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{}"}}"#,
        r#"{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"h"}}"#,
        r#"{"type":"content_block_stop","index":0}"#,
        r#"{"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{"output_tokens":2}}"#,
        r#"{"type":"message_stop"}"#,
        r#"{"type":"ping"}"#,
        "{",
    ];

    const OPENAI_EVENTS: &[&str] = &[
        r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"x"}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"reasoning":"h"}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"refusal":"no"}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f"}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","function":{"name":"g"}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
        "[DONE]",
        "{",
    ];

    fn translated(provider: Format, client: Format, events: &[&str]) -> Vec<serde_json::Value> {
        let mut stream = StreamTranslator::new(provider, client, StreamTerms::default());
        let mut out = Vec::new();
        for event in events {
            if stream.event("", &mut event.as_bytes().to_vec(), &mut out).is_err() {
                break;
            }
        }
        stream.finish(&mut out);
        let text = String::from_utf8(out).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
    }

    proptest! {
        /// Whatever a provider sends in whatever order, a client gets blocks that are opened and closed in turn,
        /// and one end: `message_stop`, or an error.
        #[test]
        fn anthropic_clients_get_well_formed_streams(
            events in prop::collection::vec(prop::sample::select(OPENAI_EVENTS), 0..14),
        ) {
            let got = translated(OpenAiChat, AnthropicMessages, &events);
            let (mut opened, mut open) = (0, None);
            for (at, event) in got.iter().enumerate() {
                let is_last = at + 1 == got.len();
                match event["type"].as_str().unwrap() {
                    "message_start" => prop_assert_eq!(at, 0),
                    "content_block_start" => {
                        prop_assert_eq!((event["index"].as_u64(), open), (Some(opened), None));
                        (open, opened) = (Some(opened), opened + 1);
                    }
                    "content_block_delta" => prop_assert!(event["index"].as_u64().unwrap() < opened),
                    "content_block_stop" => prop_assert_eq!(event["index"].as_u64(), open.take()),
                    "message_delta" => prop_assert_eq!((open, at + 2), (None, got.len())),
                    "message_stop" | "error" => prop_assert!(is_last),
                    other => prop_assert!(false, "{}", other),
                }
            }
            prop_assert!(matches!(got.last().unwrap()["type"].as_str(), Some("message_stop" | "error")));
        }

        /// The first chunk has the role, at most one has a finish reason, and one end: `[DONE]`, or an error.
        #[test]
        fn openai_clients_get_well_formed_streams(
            events in prop::collection::vec(prop::sample::select(ANTHROPIC_EVENTS), 0..14),
        ) {
            let got = translated(AnthropicMessages, OpenAiChat, &events);
            let (last, chunks) = got.split_last().unwrap();
            prop_assert!(last == "[DONE]" || last["error"].is_object());
            for (at, chunk) in chunks.iter().enumerate() {
                prop_assert_eq!(chunk["choices"][0]["delta"]["role"].is_string(), at == 0);
            }
            let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
            prop_assert!(finishes <= 1);
            prop_assert!(last != "[DONE]" || finishes == 1);
        }
    }

    #[test]
    fn long_names_are_clipped_at_a_character() {
        let long = "é".repeat(200);
        assert_eq!((clip(&long).len(), clip("short")), (256, "short"));
    }
}
