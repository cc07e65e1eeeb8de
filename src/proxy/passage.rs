//! How the bytes of a provider's answer become the client's.

use super::call::Call;
use super::entry::Entry;
use super::fault::Fault;
use crate::llm::translate::{self, ReplyTerms, StreamTerms, StreamTranslator};
use crate::llm::{Format, UsageStripper};
use crate::wire::eventstream::{self, Kind};
use crate::wire::http1::ResponseHead;
use crate::wire::sse;

/// How the bytes of an answer become the client's.
pub(super) enum Passage {
    /// They are the client's already.
    AsIs,
    /// They are the client's once their content coding is undone.
    Decoded,
    /// The usage that only we asked for is taken out.
    Strip(UsageStripper),
    /// Event by event into another format.
    Stream(Box<Translation>),
    /// Collected to the end, then translated: an answer that arrives whole, or an error.
    Whole(Vec<u8>),
}

pub(super) struct Translation {
    reader: Reader,
    pub(super) translator: StreamTranslator,
    /// The translator decodes in place; the event's data is copied here for it.
    data: Vec<u8>,
    /// The stream cannot be read further; what comes is dropped.
    broken: bool,
}

/// What splits a provider's stream into events.
enum Reader {
    Events(sse::Reader),
    /// AWS's frames.
    Frames(eventstream::Reader),
}

/// The most bytes of one event of a stream.
const EVENT_BYTES_MAX: usize = 4 << 20;

/// The most bytes of an answer that is collected to be translated.
pub(super) const WHOLE_BYTES_MAX: usize = 32 << 20;

pub(super) fn passage(call: &Call<'_>, head: &ResponseHead, streamed: bool, entry: &Entry) -> Passage {
    if !call.translates() {
        return match streamed && call.injects_usage() && head.status < 300 {
            true => Passage::Strip(UsageStripper::new()),
            false => Passage::AsIs,
        };
    }
    if !streamed || head.status >= 300 {
        return Passage::Whole(Vec::new());
    }
    let terms = StreamTerms {
        created_unix: entry.record.time_unix_ms / 1000,
        asked_model: call.asked_model.to_string(),
        provider_model: call.model.unwrap_or(&call.asked_model).to_owned(),
        include_usage: call.ask.include_usage == Some(true),
    };
    let reader = match call.upstream {
        Format::BedrockConverse => Reader::Frames(eventstream::Reader::new(EVENT_BYTES_MAX)),
        _ => Reader::Events(sse::Reader::new(EVENT_BYTES_MAX)),
    };
    Passage::Stream(Box::new(Translation {
        reader,
        translator: StreamTranslator::new(call.upstream, call.client, terms),
        data: Vec::new(),
        broken: false,
    }))
}

impl Passage {
    /// Bytes that are kept of the answer.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Passage::AsIs | Passage::Decoded | Passage::Strip(_) => 0,
            Passage::Stream(translation) => translation.held_bytes(),
            // As it came, and in the client's format at its end.
            Passage::Whole(whole) => whole.capacity().saturating_mul(2),
        }
    }
}

impl Translation {
    fn held_bytes(&self) -> usize {
        let reader = match &self.reader {
            Reader::Events(reader) => reader.held_bytes(),
            Reader::Frames(reader) => reader.held_bytes(),
        };
        reader + self.data.capacity() + self.translator.held_bytes()
    }

    pub(super) fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        let mut goes_on = true;
        while !self.broken && goes_on {
            match self.next(&mut input, out) {
                Some(more) => goes_on = more,
                None => {
                    self.broken = true;
                    self.translator.finish(out);
                }
            }
        }
    }

    /// Translates the next event of `input`, which is moved behind it; whether there was one. `None` when the stream
    /// cannot be read further.
    fn next(&mut self, input: &mut &[u8], out: &mut Vec<u8>) -> Option<bool> {
        match &mut self.reader {
            Reader::Events(reader) => {
                let Some(event) = reader.next(input).ok()? else { return Some(false) };
                self.data.clear();
                self.data.extend_from_slice(event.data);
                let name = std::str::from_utf8(event.name).unwrap_or_default();
                self.translator.event(name, &mut self.data, out).ok()?;
            }
            Reader::Frames(reader) => {
                let Some(message) = reader.next(input).ok()? else { return Some(false) };
                let text = |bytes| std::str::from_utf8(bytes).unwrap_or_default();
                match message.head.kind {
                    Kind::Exception(name) if message.payload.is_empty() => {
                        self.translator.fail(text(name), "", out);
                    }
                    Kind::Event(name) | Kind::Exception(name) => {
                        self.translator.event(text(name), message.payload, out).ok()?;
                    }
                    Kind::Error { code, message } => self.translator.fail(text(code), text(message), out),
                    Kind::Other => {}
                }
            }
        }
        Some(true)
    }
}

/// Translates an answer that has come whole; the status to send.
pub(super) fn translate_whole(
    call: &Call<'_>,
    status: u16,
    whole: &mut [u8],
    entry: &Entry,
    out: &mut Vec<u8>,
) -> Result<u16, Fault> {
    let provider = call.upstream;
    if status >= 300 {
        return Ok(translate::error(provider, call.client, status, whole, out));
    }
    let terms = ReplyTerms {
        created_unix: entry.record.time_unix_ms / 1000,
        asked_model: Some(call.asked_model.as_str()),
        input_tokens: entry.usage_of_answer().0.input,
        base64: call.ask.base64,
        provider_model: Some(call.model.unwrap_or(&call.asked_model)),
    };
    let lost = translate::reply(provider, call.client, whole, &terms, out)
        .map_err(|_| Fault::ProviderMalformed("its body is not what its format promises"))?;
    entry.count_lost(&lost);
    Ok(status)
}
