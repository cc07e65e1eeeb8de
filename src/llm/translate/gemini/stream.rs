use super::grounding::{self, CITATIONS_MAX, Ruler};
use super::reply::{blocked, candidate, finish_of, parts, refusal, text_of};
use super::{logprobs, made, names};
use crate::llm::translate::BadReply;
use crate::llm::translate::emit::{Emit, compact};
use crate::llm::translate::hub::{Event, Finish, Maker, Signature};
use crate::llm::translate::read::{Decoder, Value};
use crate::llm::translate::stream::{ReadEvents, Sink};

/// The most calls of a stream, as in all formats.
pub(super) const CALLS_MAX: u32 = 128;

/// Reads the events of a stream, each a whole answer that holds a piece. The finish reason comes with
/// the last piece, and nothing after it says that the stream is over.
#[derive(Default)]
pub(crate) struct Reader {
    /// Parts so far, calls among them.
    parts: usize,
    calls: u32,
    /// The text so far, for the places of what it is based on.
    text: Ruler,
    /// Events that told what the text is based on, of which as many are read as citations are told.
    grounded: usize,
    cited: usize,
}

impl ReadEvents for Reader {
    fn read(&mut self, _: &str, chunk: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        // A stream that fails may also send a list with the error in it.
        if chunk.get("error").is_some() || chunk.is_array() {
            return to(Event::Fail(chunk));
        }
        let (candidate, blocked) = (candidate(chunk), blocked(chunk));
        if candidate.is_none() && blocked.is_none() {
            return Ok(());
        }
        let response = names::text(chunk, "responseId");
        to(Event::Start { id: response, model: names::text(chunk, "modelVersion") })?;
        match (candidate, blocked) {
            (Some(candidate), _) => self.candidate(candidate, response, to),
            (None, Some(words)) => {
                to(Event::Refusal(words))?;
                to(Event::Finish(Finish::Refused))
            }
            (None, None) => Ok(()),
        }
    }
}

impl Reader {
    fn candidate(
        &mut self,
        candidate: Value<'_, '_>,
        response: &str,
        to: &mut Sink<'_>,
    ) -> Result<(), BadReply> {
        for part in parts(Some(candidate)) {
            self.part(part, response, to)?;
        }
        if let Some(words) = refusal(candidate).filter(|_| self.parts == 0) {
            to(Event::Refusal(words))?;
        }
        self.cite(candidate, to)?;
        if let Some(result) = names::get(candidate, "logprobsResult") {
            let mut list = Vec::new();
            logprobs::write_list(result, &mut Emit::new(&mut list));
            Decoder::default().decode(&mut list, |list| to(Event::Logprobs(list))).unwrap_or(Ok(()))?;
        }
        finish_of(candidate).map_or(Ok(()), |finish| to(Event::Finish(finish)))
    }

    fn cite(&mut self, candidate: Value<'_, '_>, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let told = ["groundingMetadata", "citationMetadata"];
        if self.grounded >= CITATIONS_MAX || !told.iter().any(|name| names::get(candidate, name).is_some()) {
            return Ok(());
        }
        self.grounded += 1;
        let left = CITATIONS_MAX - self.cited;
        for cited in grounding::read(candidate, &self.text, |_| 0).into_iter().take(left) {
            self.cited += 1;
            to(Event::Citation(cited))?;
        }
        Ok(())
    }

    fn part(&mut self, part: Value<'_, '_>, response: &str, to: &mut Sink<'_>) -> Result<(), BadReply> {
        let number = self.parts;
        self.parts += 1;
        let signature = Some(names::text(part, "thoughtSignature")).filter(|one| !one.is_empty());
        if let Some(signature) = signature {
            to(Event::Seal(signature))?;
        }
        if let Some(call) = names::get(part, "functionCall") {
            return self.call(call, number, response, signature, to);
        }
        match text_of(part) {
            None | Some(("", _)) => Ok(()),
            Some((text, true)) => to(Event::Thinking(text)),
            Some((text, false)) => {
                self.text.add(text);
                to(Event::Text(text))
            }
        }
    }

    /// A call comes whole.
    fn call(
        &mut self,
        given: Value<'_, '_>,
        number: usize,
        response: &str,
        signature: Option<&str>,
        to: &mut Sink<'_>,
    ) -> Result<(), BadReply> {
        if self.calls >= CALLS_MAX {
            return Err(BadReply::TooManyToolCalls);
        }
        let call = self.calls;
        self.calls += 1;
        let made = match names::text(given, "id") {
            "" => made::call_id(response, number, given),
            id => id.to_owned(),
        };
        to(Event::Call { call, id: &made, name: names::text(given, "name") })?;
        if let Some(signature) = signature {
            to(Event::Signature(Signature { by: Maker::Gemini, text: signature }))?;
        }
        let piece = names::get(given, "args").map_or_else(|| "{}".to_owned(), compact);
        to(Event::Arguments { call, piece: &piece })?;
        to(Event::Close)
    }
}
