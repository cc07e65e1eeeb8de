//! The body of a request that its client compressed.

use super::{Client, Message, arrival, bad_body};
use crate::base::Span;
use crate::config::{Requests, Timeouts};
use crate::llm::{Ask, Inspector};
use crate::proxy::fault::Fault;
use crate::proxy::held::{Held, Part};
use crate::runtime::executor::yield_now;
use crate::wire::coding::{CodingFault, Decoder, PIECE_BYTES};
use crate::wire::http1::{BodyFault, BodyReader, RequestHead};

/// Bytes that are decoded and inspected in one turn of the worker.
const TURN_BYTES: usize = 256 << 10;

impl Client {
    /// As [`body`](Client::body), of a body with content codings: `message` has it decoded, right behind the head. Both
    /// forms of it have at most `body_bytes` of the bounds; of the coded one, no more is held than what arrives at once.
    ///
    /// # Errors
    /// As [`body`](Client::body); what it was compressed with is malformed, ends early, or wants too much memory.
    pub(in crate::proxy) async fn coded_body(
        &mut self,
        message: &mut Message,
        head: &RequestHead,
        mut decoder: Decoder,
        mut inspector: Inspector,
        (bounds, held): (&Requests, &mut Held),
        timeouts: &Timeouts,
    ) -> Result<Ask, Fault> {
        let bytes_max = bounds.body_bytes;
        let mut reader =
            BodyReader::new(head.framing, bytes_max).map_err(Fault::Body)?.held_to(bounds.chunks);
        let mut plain = Plain { bytes: message.bytes[..head.len].to_vec(), head: head.len, bytes_max };
        self.socket.deadline_in(timeouts.body);
        if head.expects_continue && message.bytes.len() == head.len && !reader.is_done() {
            self.send_continue(timeouts).await?;
        }
        loop {
            let mut spans = std::mem::take(&mut self.spans);
            let arrived = &message.bytes[head.len..];
            let progress = reader.read(arrived, |span| spans.push(span)).map_err(Fault::Body)?;
            if progress.done {
                // What follows belongs to the next request, also when this one is refused for what its body says.
                self.buf.extend_from_slice(&arrived[progress.consumed..]);
                message.complete = true;
            }
            for span in spans.drain(..) {
                let mut coded = span.of(arrived);
                message.received += coded.len() as u64;
                while plain.take(&mut decoder, &mut coded)? {
                    inspector.feed(plain.body()).map_err(|fault| bad_body(fault.into()))?;
                    held.set(Part::Request, plain.bytes.len() + decoder.held_bytes())?;
                    yield_now().await;
                }
            }
            self.spans = spans;
            if progress.done {
                break;
            }
            inspector.feed(plain.body()).map_err(|fault| bad_body(fault.into()))?;
            held.set(Part::Request, plain.bytes.len() + decoder.held_bytes())?;
            message.bytes.truncate(head.len);
            let arrived = self.socket.fill_behind(&mut message.bytes).await;
            arrival(arrived, "body")?;
        }
        decoder.finish().map_err(undecodable)?;
        held.set(Part::Request, plain.bytes.len())?;
        message.body = Span::new(head.len, plain.bytes.len());
        message.bytes = plain.bytes;
        inspector.finish(message.body.of(&message.bytes)).map_err(bad_body)
    }
}

/// A head, and behind it what was decoded so far of the body.
struct Plain {
    bytes: Vec<u8>,
    head: usize,
    bytes_max: u64,
}

impl Plain {
    /// Adds what `coded` decodes to, as much as one turn may bring; whether there is more.
    fn take(&mut self, decoder: &mut Decoder, coded: &mut &[u8]) -> Result<bool, Fault> {
        let until = self.bytes.len() + TURN_BYTES;
        while let Some(piece) = decoder.next(coded, PIECE_BYTES).map_err(undecodable)? {
            self.bytes.extend_from_slice(piece);
            if self.body().len() as u64 > self.bytes_max {
                return Err(Fault::Body(BodyFault::TooLarge));
            }
            if self.bytes.len() >= until {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn body(&self) -> &[u8] {
        self.bytes.get(self.head..).unwrap_or_default()
    }
}

fn undecodable(fault: CodingFault) -> Fault {
    match fault {
        CodingFault::Expansion => Fault::Body(BodyFault::TooLarge),
        fault => {
            let message = format!("the body cannot be decoded: {}", fault.reason());
            Fault::BadRequest { param: String::new(), message }
        }
    }
}
