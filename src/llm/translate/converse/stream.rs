use super::reply::{citation, finish_of, is_clients};
use crate::llm::translate::hub::{Citation, Event};
use crate::llm::translate::read::Value;
use crate::llm::translate::stream::{ReadEvents, Sink};
use crate::llm::translate::{BadReply, usage};
use arrayvec::ArrayVec;

/// At most so many citations wait for the text that they are of, each text of theirs cut at [`CITED_BYTES_MAX`].
const CITATIONS_MAX: usize = 16;
const CITED_BYTES_MAX: usize = 2048;

/// Reads the events of a stream, by their names: `messageStart`, then for each block `contentBlockStart` (only for
/// calls), `contentBlockDelta`, `contentBlockStop`, then `messageStop` with the reason and `metadata` with the usage. The
/// end of the body is the end of the stream. An error is an event whose name ends in `Exception`.
#[derive(Default)]
pub(crate) struct Reader {
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
            "metadata" => match event.get("usage") {
                Some(usage) => to(Event::Usage(usage::from_converse(usage))),
                None => Ok(()),
            },
            _ if name.ends_with("Exception") => {
                to(Event::Failed { kind: name, message: event.text("message") })
            }
            _ => Ok(()),
        }
    }
}

impl Reader {
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
            "reasoningContent" => thought(held, to),
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

fn thought(held: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
    let Some((kind, piece)) = held.members().find_map(|(kind, piece)| Some((kind, piece.str()?))) else {
        return Ok(());
    };
    match kind {
        _ if piece.is_empty() => Ok(()),
        "text" => to(Event::Thinking(piece)),
        "signature" => to(Event::Signature(piece)),
        "redactedContent" => to(Event::Redacted(piece)),
        _ => Ok(()),
    }
}
