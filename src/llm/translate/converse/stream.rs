use super::reply::{citation, finish_of, is_clients};
use crate::llm::translate::BadReply;
use crate::llm::translate::hub::{Citation, Event, Maker, Signature};
use crate::llm::translate::read::Value;
use crate::llm::translate::stream::{ReadEvents, Sink};
use arrayvec::ArrayVec;

/// At most so many citations wait for the text that they are of, each text of theirs cut at [`CITED_BYTES_MAX`].
const CITATIONS_MAX: usize = 16;
const CITED_BYTES_MAX: usize = 2048;

/// Reads the events of a stream, by their names: `messageStart`, then for each block `contentBlockStart` (only for
/// calls), `contentBlockDelta`, `contentBlockStop`, then `messageStop` with the reason and `metadata` with the usage. The
/// end of the body is the end of the stream. An error is an event whose name ends in `Exception`.
pub(crate) struct Reader {
    /// Who signs: no event says it.
    maker: Maker,
    /// The index of each call's block, by the call's number.
    calls: ArrayVec<u64, 128>,
    /// The block that is open has some text.
    in_text: bool,
    /// What its text is based on, which Bedrock tells before it.
    cited: ArrayVec<Cited, CITATIONS_MAX>,
}

/// A citation that outlives its event.
struct Cited {
    url: String,
    title: String,
    quote: String,
}

impl ReadEvents for Reader {
    fn read(&mut self, name: &str, event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        match name {
            "contentBlockDelta" => {
                event.get("delta").map_or(Ok(()), |delta| self.delta(index(event), delta, to))
            }
            "contentBlockStart" => {
                let call = event.get("start").and_then(|start| start.get("toolUse"));
                call.map_or(Ok(()), |call| self.call(index(event), call, to))
            }
            "contentBlockStop" => {
                self.in_text = false;
                self.cited.clear();
                to(Event::Close)
            }
            "messageStart" => to(Event::Start { id: "", model: "" }),
            "messageStop" => to(Event::Finish(finish_of(event.text("stopReason")))),
            _ if name.ends_with("Exception") => {
                to(Event::Failed { kind: name, message: event.text("message") })
            }
            _ => Ok(()),
        }
    }
}

impl Reader {
    /// Of a stream in which `maker` signs.
    pub(crate) fn new(maker: Maker) -> Reader {
        Reader { maker, calls: ArrayVec::new(), in_text: false, cited: ArrayVec::new() }
    }

    fn call(&mut self, block: u64, call: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        if !is_clients(call) {
            return Ok(());
        }
        let number = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
        self.calls.try_push(block).map_err(|_| BadReply::TooManyToolCalls)?;
        to(Event::Call { call: number, id: call.text("toolUseId"), name: call.text("name") })
    }

    fn delta(&mut self, block: u64, delta: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let Some((kind, held)) = delta.members().find(|(_, held)| !held.is_null()) else { return Ok(()) };
        match kind {
            "text" => self.text(held.str().unwrap_or_default(), to),
            "toolUse" => {
                let call = self.calls.iter().rposition(|known| *known == block);
                let call = call.and_then(|call| u32::try_from(call).ok());
                match (call, held.text("input")) {
                    (None, _) | (_, "") => Ok(()), // of a call that ran at Bedrock, or nothing
                    (Some(call), piece) => to(Event::Arguments { call, piece }),
                }
            }
            "reasoningContent" => thought(held, self.maker, to),
            "citation" if self.in_text => to(Event::Citation(citation(held))),
            "citation" => {
                let _ = self.cited.try_push(Cited::of(citation(held))); // the bound is stated
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn text(&mut self, text: &str, to: &mut Sink<'_>) -> Result<(), BadReply> {
        if text.is_empty() {
            return Ok(());
        }
        self.in_text = true;
        to(Event::Text(text))?;
        for cited in self.cited.drain(..) {
            to(Event::Citation(Citation {
                url: &cited.url,
                title: &cited.title,
                quote: &cited.quote,
                span: None,
            }))?;
        }
        Ok(())
    }
}

impl Cited {
    fn of(citation: Citation<'_>) -> Cited {
        let cut =
            |text: &str| text.get(..text.floor_char_boundary(CITED_BYTES_MAX)).unwrap_or(text).to_owned();
        Cited { url: cut(citation.url), title: cut(citation.title), quote: cut(citation.quote) }
    }
}

fn index(event: Value<'_, '_>) -> u64 {
    event.get("contentBlockIndex").and_then(Value::u64).unwrap_or_default()
}

fn thought(held: Value<'_, '_>, by: Maker, to: &mut Sink<'_>) -> Result<(), BadReply> {
    let Some((kind, piece)) = held.members().find_map(|(kind, piece)| Some((kind, piece.str()?))) else {
        return Ok(());
    };
    match kind {
        _ if piece.is_empty() => Ok(()),
        "text" => to(Event::Thinking(piece)),
        "signature" => to(Event::Signature(Signature { by, text: piece })),
        "redactedContent" => to(Event::Redacted(Signature { by, text: piece })),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use crate::llm::Format;
    use crate::llm::translate::{BadReply, StreamTerms, StreamTranslator};
    use proptest::prelude::*;
    use serde_json::Value;

    const EVENTS: &[(&str, &str)] = &[
        ("messageStart", r#"{"role":"assistant"}"#),
        ("contentBlockStart", r#"{"contentBlockIndex":1,"start":{"toolUse":{"toolUseId":"t","name":"f"}}}"#),
        (
            "contentBlockStart",
            r#"{"contentBlockIndex":2,"start":{"toolUse":{"toolUseId":"s","name":"g","type":"server_tool_use"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"text":"x"}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":1,"delta":{"toolUse":{"input":"{}"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"text":"h"}}}"#),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"signature":"s"}}}"#),
        (
            "contentBlockDelta",
            r#"{"contentBlockIndex":0,"delta":{"reasoningContent":{"redactedContent":"r"}}}"#,
        ),
        ("contentBlockDelta", r#"{"contentBlockIndex":0,"delta":{"citation":{"title":"t"}}}"#),
        ("contentBlockStop", r#"{"contentBlockIndex":0}"#),
        ("messageStop", r#"{"stopReason":"end_turn"}"#),
        ("metadata", r#"{"usage":{"inputTokens":3,"outputTokens":2,"totalTokens":5}}"#),
        ("throttlingException", r#"{"message":"slow"}"#),
        ("contentBlockDelta", "{"),
    ];

    fn translated(client: Format, events: &[(&str, &str)]) -> Vec<Value> {
        let mut stream = StreamTranslator::new(Format::BedrockConverse, client, StreamTerms::default());
        let mut out = Vec::new();
        for (name, data) in events {
            if stream.event(name, &mut data.as_bytes().to_vec(), &mut out).is_err() {
                break;
            }
        }
        stream.finish(&mut out);
        let text = String::from_utf8(out).unwrap();
        let data = text.lines().filter_map(|line| line.strip_prefix("data: "));
        data.map(|data| serde_json::from_str(data).unwrap_or_else(|_| data.into())).collect()
    }

    proptest! {
        /// Whatever comes in whatever order, blocks are opened and closed in turn, and there is one end.
        #[test]
        fn anthropic_clients_get_well_formed_streams(
            events in prop::collection::vec(prop::sample::select(EVENTS), 0..14),
        ) {
            let got = translated(Format::AnthropicMessages, &events);
            let (mut opened, mut open) = (0, None);
            for (at, event) in got.iter().enumerate() {
                let index = event["index"].as_u64();
                match event["type"].as_str().unwrap() {
                    "message_start" => prop_assert_eq!(at, 0),
                    "content_block_start" => {
                        prop_assert_eq!((index, open), (Some(opened), None));
                        (open, opened) = (Some(opened), opened + 1);
                    }
                    "content_block_delta" => prop_assert!(index.unwrap() < opened),
                    "content_block_stop" => prop_assert_eq!(index, open.take()),
                    "message_delta" => prop_assert_eq!((open, at + 2), (None, got.len())),
                    end => prop_assert!(matches!(end, "message_stop" | "error") && at + 1 == got.len(), "{}", end),
                }
            }
            prop_assert!(matches!(got.last().unwrap()["type"].as_str(), Some("message_stop" | "error")));
        }

        /// The first chunk has the role, calls are numbered, and there is one end.
        #[test]
        fn openai_clients_get_well_formed_streams(
            events in prop::collection::vec(prop::sample::select(EVENTS), 0..14),
        ) {
            let got = translated(Format::OpenAiChat, &events);
            let (last, chunks) = got.split_last().unwrap();
            prop_assert!(last == "[DONE]" || last["error"].is_object());
            let mut calls = 0;
            for (at, chunk) in chunks.iter().enumerate() {
                let delta = &chunk["choices"][0]["delta"];
                prop_assert_eq!(delta["role"].is_string(), at == 0);
                let call = &delta["tool_calls"][0];
                calls += u64::from(call["id"].is_string());
                prop_assert!(call.is_null() || call["index"].as_u64().unwrap() < calls);
            }
            let finishes = chunks.iter().filter(|chunk| chunk["choices"][0]["finish_reason"].is_string()).count();
            prop_assert_eq!(finishes, usize::from(last == "[DONE]"));
        }
    }

    #[test]
    fn calls_and_waiting_citations_are_bounded() {
        let mut stream =
            StreamTranslator::new(Format::BedrockConverse, Format::AnthropicMessages, StreamTerms::default());
        let mut out = Vec::new();
        let long = "é".repeat(4000);
        for _ in 0..100 {
            let event = format!(r#"{{"contentBlockIndex":0,"delta":{{"citation":{{"title":"{long}"}}}}}}"#);
            stream.event("contentBlockDelta", &mut event.into_bytes(), &mut out).unwrap();
        }
        let (name, text) = EVENTS[3];
        stream.event(name, &mut text.as_bytes().to_vec(), &mut out).unwrap();
        let text = std::str::from_utf8(&out).unwrap();
        assert_eq!((text.matches("citations_delta").count(), text.matches('é').count()), (16, 16 * 1024));
        let answers = (0..129).map(|index| {
            let start = format!(r#"{{"contentBlockIndex":{index},"start":{{"toolUse":{{"name":"f"}}}}}}"#);
            stream.event("contentBlockStart", &mut start.into_bytes(), &mut out)
        });
        let answers: Vec<_> = answers.collect();
        assert!(answers[..128].iter().all(Result::is_ok));
        assert_eq!(answers[128], Err(BadReply::TooManyToolCalls));
    }

    #[test]
    fn an_error_outside_of_events_ends_a_stream() {
        let mut stream =
            StreamTranslator::new(Format::BedrockConverse, Format::AnthropicMessages, StreamTerms::default());
        let mut out = Vec::new();
        stream.fail("serviceUnavailableException", "busy", &mut out);
        stream.fail("throttlingException", "again", &mut out);
        stream.finish(&mut out);
        let error = r#"{"type":"error","error":{"type":"overloaded_error","message":"busy"}}"#;
        assert_eq!(std::str::from_utf8(&out).unwrap(), format!("event: error\ndata: {error}\n\n"));
    }
}
