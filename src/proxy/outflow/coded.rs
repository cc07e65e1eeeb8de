//! An answer that its provider, or a box before it, compressed although it was asked not to.
//!
//! It is decoded to be read: for its usage, and for whatever has to be changed in it. Where nothing has to be, and its
//! client takes the coding, the bytes pass as they came, and nothing that is wrong with them can stop them.

use super::{CUT_PART, Delimiter, Outflow, Taken, pass, progress};
use crate::base::Span;
use crate::proxy::call::Call;
use crate::proxy::entry::Entry;
use crate::proxy::fault::Fault;
use crate::proxy::passage::Passage;
use crate::runtime::Gather;
use crate::wire::coding::{Accepts, CodingFault, Codings, Decoder};
use crate::wire::http1::{BodyFault, Framing, Progress, ResponseHead};

/// Bytes that are decoded at once, after which what is ready leaves, and other tasks have their turn.
const DECODED_PART: usize = 64 << 10;

/// Reads a coded body.
pub(super) struct Decoding {
    /// `None` when the rest cannot be read, and passes unread if it passes.
    decoder: Option<Decoder>,
    /// What arrived of the body and is not decoded, from `at`; no more than arrives at once.
    waiting: Vec<u8>,
    at: usize,
    /// There may be more to decode without more from the provider.
    is_behind: bool,
}

impl Decoding {
    fn of(decoder: Option<Decoder>) -> Box<Decoding> {
        Box::new(Decoding { decoder, waiting: Vec::new(), at: 0, is_behind: false })
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.waiting.capacity() + self.decoder.as_ref().map_or(0, Decoder::held_bytes)
    }

    fn receive(&mut self, spans: &[Span], bytes: &[u8]) {
        if self.decoder.is_some() {
            spans.iter().for_each(|span| self.waiting.extend_from_slice(span.of(bytes)));
        }
    }

    /// The next piece, of at most `most` bytes; `None` when there is none before more arrives.
    fn next(&mut self, most: usize) -> Result<Option<&[u8]>, CodingFault> {
        let Decoding { decoder, waiting, at, is_behind } = self;
        let Some(decoder) = decoder else { return Ok(None) };
        *is_behind = most == 0;
        if *is_behind {
            return Ok(None);
        }
        let mut rest = waiting.get(*at..).unwrap_or_default();
        let piece = decoder.next(&mut rest, most)?;
        *at = waiting.len() - rest.len();
        if piece.is_none() {
            waiting.clear();
            *at = 0;
        }
        Ok(piece)
    }

    /// Gives up: the rest cannot be read.
    fn give_up(&mut self) {
        (self.decoder, self.is_behind) = (None, false);
        self.waiting = Vec::new();
    }
}

impl Outflow {
    /// Decides what becomes of the content coding of an answer that has one. `sent` is the request, where it has left in full.
    ///
    /// # Errors
    /// The coding is unknown, and the answer has to be read.
    pub(in crate::proxy) fn decode(
        &mut self,
        call: &Call<'_>,
        head: &ResponseHead,
        bytes: &[u8],
        sent: Option<&Gather>,
        entry: &Entry,
    ) -> Result<(), Fault> {
        let counters = &entry.worker.desk.counters;
        let unchanged = matches!(self.passage, Passage::AsIs) && self.cutter.is_none();
        let Ok(codings) = Codings::of(&head.headers, bytes) else {
            counters.answers_coded_unknown.add(1);
            self.decoding = Some(Decoding::of(None));
            // An error is told by its status if by nothing else.
            return match unchanged || head.status >= 300 {
                true => Ok(()),
                false => Err(Fault::ProviderMalformed(
                    "it has a content coding that is not known here, and it has to be read",
                )),
            };
        };
        let decoder = Decoder::new(&codings).filter(|_| head.framing != Framing::None);
        let Some(decoder) = decoder else { return Ok(()) };
        counters.answers_coded.add(1);
        // The head of the client's request still stands at the beginning of what was sent. If not all of it was, nobody
        // can say, and what is not coded is right for everybody.
        let accepts = |sent: &Gather| Accepts::of(&call.head.headers, &sent.theirs).takes(&codings);
        let passes = unchanged && sent.is_some_and(accepts);
        if passes && entry.meter.is_none() {
            return Ok(()); // nobody has to read it
        }
        if matches!(self.passage, Passage::AsIs) && !passes {
            self.passage = Passage::Decoded;
            self.delimiter = Delimiter::Chunks;
        }
        self.decoding = Some(Decoding::of(Some(decoder)));
        Ok(())
    }

    /// Whether there is something to decode before more is asked of the provider.
    pub(in crate::proxy) fn is_behind(&self) -> bool {
        self.decoding.as_ref().is_some_and(|decoding| decoding.is_behind)
    }

    /// Whether the answer passes unread, so that nobody knows whether all of it was said.
    pub(in crate::proxy) fn is_blind(&self) -> bool {
        self.decoding.as_ref().is_some_and(|decoding| decoding.decoder.is_none())
    }

    /// As [`take`](Outflow::take), of a coded body: `read` says how far it came, and the payload stands in `spans` from the
    /// `first` on. Takes no more than [`DECODED_PART`] decoded bytes, or a part of a stream that may be cut.
    pub(super) fn take_coded(
        &mut self,
        read: Result<Progress, BodyFault>,
        bytes: &[u8],
        first: usize,
        entry: &mut Entry,
    ) -> Result<Taken, Fault> {
        let Outflow { gather, passage, spans, cutter, sieve, is_exhausted, decoding, .. } = self;
        let Some(decoding) = decoding else { return progress(read).map(Taken::from) };
        decoding.receive(&spans[first..], bytes);
        if !matches!(passage, Passage::AsIs) {
            spans.truncate(first);
        }
        let mut left = if cutter.is_some() { CUT_PART } else { DECODED_PART };
        let ended = loop {
            let data = match decoding.next(left) {
                Ok(Some(data)) => data,
                Ok(None) => break Ok(()),
                Err(fault) => break Err(fault),
            };
            left = left.saturating_sub(data.len());
            // Of a stream that ends at its next event, what comes after that is neither passed nor charged.
            let end = match (&*passage, &*cutter) {
                (Passage::Decoded, Some(cutter)) if *is_exhausted => cutter.boundary_in(data),
                _ => None,
            };
            let data = end.and_then(|end| data.get(..end)).unwrap_or(data);
            if let Some(meter) = &mut entry.meter {
                meter.feed(data);
            }
            pass(passage, cutter, sieve, data, &mut gather.ours)?;
        };
        let Progress { consumed, done } = progress(read)?;
        let done = done && !decoding.is_behind;
        let ended = match &decoding.decoder {
            Some(decoder) if done && ended.is_ok() => decoder.finish(),
            _ => ended,
        };
        if let Err(fault) = ended {
            entry.worker.desk.counters.answers_undecoded.add(1);
            if fault != CodingFault::Truncated {
                decoding.give_up();
            }
            judge(fault, passage, entry)?;
        }
        Ok(Taken { consumed, done })
    }
}

/// What a body that cannot be decoded to its end means for its answer. Nothing where it passes as it came, nor for an error,
/// which is told by its status if by nothing else, nor where it only lacks the end of its coding, if all was said.
fn judge(fault: CodingFault, passage: &Passage, entry: &Entry) -> Result<(), Fault> {
    let meter = entry.meter.as_ref();
    match (passage, fault) {
        (Passage::AsIs, _) => Ok(()),
        (Passage::Whole(_), _) if meter.is_none() => Ok(()),
        (_, CodingFault::Truncated) if meter.is_some_and(|meter| meter.complete()) => Ok(()),
        (_, CodingFault::Truncated) => Err(Fault::Cut),
        (_, fault) => Err(Fault::ProviderMalformed(fault.reason())),
    }
}
