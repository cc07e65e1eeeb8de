use super::reply::{citation, logprobs};
use super::response::finish_of;
use super::thought;
use crate::llm::translate::BadReply;
use crate::llm::translate::hub::{Event, Maker, Signature, What, openai};
use crate::llm::translate::read::Value;
use crate::llm::translate::stream::{ReadEvents, Sink};
use arrayvec::ArrayVec;

/// Reads the events of a stream. Items are opened and closed one after another; each tells its pieces in `.delta` events
/// and repeats the whole of them in `.done` ones, which count only where a provider sent no piece. Unknown events are
/// ignored: most are of tools that run at the provider.
#[derive(Default)]
pub(crate) struct Reader {
    calls: ArrayVec<Call, 128>,
    /// Whether a piece of the part that is open came, of a text or a thought.
    heard: bool,
}

/// A call by its place among the items.
struct Call {
    item: u64,
    /// Whether a piece of its arguments came.
    heard: bool,
}

impl ReadEvents for Reader {
    fn read(&mut self, name: &str, event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let kind = match event.text("type") {
            "" => name,
            kind => kind,
        };
        match kind {
            "response.output_text.delta" => {
                self.piece(event.text("delta"), Event::Text, to)?;
                logprobs(event).map_or(Ok(()), |list| to(Event::Logprobs(list)))
            }
            "response.refusal.delta" => self.piece(event.text("delta"), Event::Refusal, to),
            "response.reasoning_summary_text.delta" | "response.reasoning_text.delta" => {
                self.piece(event.text("delta"), Event::Thinking, to)
            }
            "response.output_text.done" => self.whole(event.text("text"), Event::Text, to),
            "response.refusal.done" => self.whole(event.text("refusal"), Event::Refusal, to),
            "response.reasoning_summary_text.done" | "response.reasoning_text.done" => {
                self.whole(event.text("text"), Event::Thinking, to)
            }
            "response.content_part.added" => self.part(event, "content_index", to),
            "response.reasoning_summary_part.added" => self.part(event, "summary_index", to),
            "response.output_text.annotation.added" => {
                let cited = event.get("annotation").and_then(citation);
                cited.map_or(Ok(()), |cited| to(Event::Citation(cited)))
            }
            "response.function_call_arguments.delta" => self.arguments(event, to),
            "response.output_item.added" => self.item_added(event, to),
            "response.output_item.done" => self.item_done(event, to),
            "response.created" | "response.in_progress" | "response.queued" => start(event, to),
            "response.completed" | "response.incomplete" => end(event, to),
            "response.failed" | "response.cancelled" => {
                to(Event::Fail(event.get("response").unwrap_or(event)))
            }
            "error" => to(Event::Fail(event)),
            "" if event.get("error").is_some() => to(Event::Fail(event)),
            _ => Ok(()),
        }
    }
}

impl Reader {
    fn piece<'b>(
        &mut self,
        piece: &'b str,
        event: impl FnOnce(&'b str) -> Event<'b, 'b>,
        to: &mut Sink<'_>,
    ) -> Result<(), BadReply> {
        if piece.is_empty() {
            return Ok(());
        }
        self.heard = true;
        to(event(piece))
    }

    /// The whole of a part, which is new only if none of its pieces came.
    fn whole<'b>(
        &mut self,
        whole: &'b str,
        event: impl FnOnce(&'b str) -> Event<'b, 'b>,
        to: &mut Sink<'_>,
    ) -> Result<(), BadReply> {
        if self.heard { Ok(()) } else { self.piece(whole, event, to) }
    }

    /// A part begins: the one before is complete. The item may not be, and a thought's signature is still to come.
    fn part(&mut self, event: Value<'_, '_>, index: &str, to: &mut Sink<'_>) -> Result<(), BadReply> {
        self.heard = false;
        match event.get(index).and_then(Value::u64) {
            None | Some(0) => Ok(()),
            Some(_) => to(Event::Close),
        }
    }

    fn item_added(&mut self, event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        self.heard = false;
        match event.get("item").filter(|item| item.text("type") == "function_call") {
            Some(item) => self.call(place(event), item, to).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Begins a call and says its number.
    fn call(&mut self, item: u64, call: Value<'_, '_>, to: &mut Sink<'_>) -> Result<usize, BadReply> {
        let number = self.calls.len();
        self.calls.try_push(Call { item, heard: false }).map_err(|_| BadReply::TooManyToolCalls)?;
        to(Event::Call { call: short(number), id: call.text("call_id"), name: call.text("name") })?;
        Ok(number)
    }

    fn arguments(&mut self, event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let (item, piece) = (place(event), event.text("delta"));
        let Some(number) = self.calls.iter().rposition(|call| call.item == item) else { return Ok(()) };
        match self.calls.get_mut(number).filter(|_| !piece.is_empty()) {
            Some(call) => {
                call.heard = true;
                to(Event::Arguments { call: short(number), piece })
            }
            None => Ok(()),
        }
    }

    fn item_done(&mut self, event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let Some(item) = event.get("item") else { return Ok(()) };
        match item.text("type") {
            "function_call" => self.call_done(place(event), item, to)?,
            "reasoning" => self.thought_done(item, to)?,
            "message" => {}
            _ => return Ok(()),
        }
        self.heard = false;
        to(Event::Close)
    }

    fn call_done(&mut self, place: u64, item: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let number = match self.calls.iter().rposition(|call| call.item == place) {
            Some(number) => number,
            None => self.call(place, item, to)?,
        };
        let heard = self.calls.get(number).is_some_and(|call| call.heard);
        let piece = item.text("arguments");
        if !heard && !piece.is_empty() {
            to(Event::Arguments { call: short(number), piece })?;
        }
        match openai::signature(item) {
            "" => Ok(()),
            text => to(Event::Signature(Signature { by: Maker::Gemini, text })),
        }
    }

    /// What a thought is signed with comes when it is complete; without a text, it is the thought itself.
    fn thought_done(&mut self, item: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let heard = self.heard;
        for what in thought::told(item) {
            match what {
                What::Thinking { text, signature } => {
                    if !heard {
                        to(Event::Thinking(text))?;
                    }
                    if !signature.is_empty() {
                        to(Event::Signature(signature))?;
                    }
                }
                What::Redacted(encrypted) if heard => to(Event::Signature(encrypted))?,
                What::Redacted(encrypted) => to(Event::Redacted(encrypted))?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// The place of the item that an event is about.
fn place(event: Value<'_, '_>) -> u64 {
    event.get("output_index").and_then(Value::u64).unwrap_or_default()
}

fn short(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX) // there are at most 128
}

fn start(event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
    let response = event.get("response");
    let of = |name: &str| response.map_or("", |response| response.text(name));
    to(Event::Start { id: of("id"), model: of("model") })
}

fn end(event: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
    start(event, to)?; // where nothing came before
    let response = event.get("response");
    let details = response.and_then(|response| response.get("incomplete_details"));
    to(Event::Finish(finish_of(details.map_or("", |details| details.text("reason")))))?;
    to(Event::End)
}
