//! How the bytes of a provider's answer become the client's.

use super::call::Call;
use super::entry::Entry;
use super::fault::Fault;
use crate::llm::UsageStripper;
use crate::llm::translate::{self, ReplyTerms, StreamTerms, StreamTranslator};
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
    reader: sse::Reader,
    pub(super) translator: StreamTranslator,
    /// The translator decodes in place; the event's data is copied here for it.
    data: Vec<u8>,
    /// The stream cannot be read further; what comes is dropped.
    broken: bool,
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
        include_usage: call.ask.include_usage == Some(true),
    };
    Passage::Stream(Box::new(Translation {
        reader: sse::Reader::new(EVENT_BYTES_MAX),
        translator: StreamTranslator::new(call.upstream, call.client, terms),
        data: Vec::new(),
        broken: false,
    }))
}

impl Translation {
    pub(super) fn feed(&mut self, mut input: &[u8], out: &mut Vec<u8>) {
        while !self.broken {
            let event = match self.reader.next(&mut input) {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(sse::TooLong) => {
                    self.broken = true;
                    return self.translator.finish(out);
                }
            };
            self.data.clear();
            self.data.extend_from_slice(event.data);
            let name = std::str::from_utf8(event.name).unwrap_or_default();
            if self.translator.event(name, &mut self.data, out).is_err() {
                self.broken = true;
                self.translator.finish(out);
            }
        }
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
    };
    translate::reply(provider, call.client, whole, &terms, out)
        .map_err(|_| Fault::ProviderMalformed("its body is not what its format promises"))?;
    Ok(status)
}
