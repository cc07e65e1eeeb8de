//! Server-Sent Events, and AWS's event streams.

use super::choice;
use super::cuts::{Dice, every_way};
use tollgate::wire::eventstream::{Fault, Head, Kind, Part, Parts, Reader};
use tollgate::wire::sse::{self, TooLong};

/// The name and the data of an event.
type Event = (Vec<u8>, Vec<u8>);

/// The first byte chooses the bound.
pub(super) fn sse(data: &[u8]) {
    let (chosen, data) = choice(data);
    let bound = if chosen & 1 == 0 { 1 << 20 } else { 12 };
    let read = every_way(data, |pieces| events(pieces, bound));
    let naive = naive(data);
    match &read {
        Ok((events, _)) => assert_eq!(events, &naive),
        Err(TooLong) => assert!(bound == 12),
    }
    let mut written = Vec::new();
    for (name, data) in &naive {
        sse::write(&mut written, &String::from_utf8_lossy(name), data);
    }
    let named =
        |(name, data): &Event| (String::from_utf8_lossy(name).into_owned().into_bytes(), data.clone());
    let expected: Vec<Event> = naive.iter().map(named).collect();
    assert_eq!(events(&[&written], 1 << 20), Ok((expected, None)), "what is written is read");
}

/// The events of a stream, and what stands at its end without a blank line.
pub(super) fn events(pieces: &[&[u8]], bound: usize) -> Result<(Vec<Event>, Option<Event>), TooLong> {
    let mut reader = sse::Reader::new(bound);
    let mut events = Vec::new();
    let owned = |event: sse::Event<'_>| (event.name.to_vec(), event.data.to_vec());
    for piece in pieces {
        let mut input = *piece;
        while let Some(event) = reader.next(&mut input)? {
            assert!(event.name.len() + event.data.len() <= bound, "more than the bound");
            events.push(owned(event));
        }
        assert!(input.is_empty());
    }
    let rest = reader.rest().map(owned);
    Ok((events, rest))
}

/// The standard's own words (WHATWG HTML, section 9.2.6), line by line.
fn naive(data: &[u8]) -> Vec<Event> {
    let data = data.strip_prefix(b"\xef\xbb\xbf").unwrap_or(data);
    let (mut events, mut name, mut lines) = (Vec::new(), Vec::new(), Vec::<&[u8]>::new());
    let mut rest = data;
    while let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        let line = &rest[..end];
        rest = rest[end..].strip_prefix(b"\r\n").unwrap_or(&rest[end + 1..]);
        if line.is_empty() {
            if !lines.is_empty() {
                events.push((name, lines.join(&b'\n')));
            }
            (name, lines) = (Vec::new(), Vec::new());
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').unwrap_or(line.len());
        let value = line.get(colon + 1..).unwrap_or_default();
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match &line[..colon] {
            b"event" => name = value.to_vec(),
            b"data" => lines.push(value),
            _ => {}
        }
    }
    events
}

/// A message as read: what its head says, and its payload.
type Message = (String, Vec<u8>);

/// The first byte chooses: bytes as they are, or headers and payloads that are framed here, of which one bit may be flipped.
pub(super) fn eventstream(data: &[u8]) {
    let (chosen, data) = choice(data);
    let mut stream = data.to_vec();
    let mut payloads = Vec::new();
    if chosen & 1 == 1 {
        (stream, payloads) = framed(data);
        if chosen & 2 == 2 && !stream.is_empty() {
            let mut dice = Dice::of(data);
            let at = dice.below(stream.len());
            stream[at] ^= 1 << dice.below(8);
            payloads.clear();
        }
    }
    let (messages, ended) = every_way(&stream, |pieces| by_reader(pieces, usize::MAX));
    let parts = every_way(&stream, by_parts);
    assert_eq!(parts, (messages.clone(), ended), "two readers disagree");
    for (read, put_in) in messages.iter().zip(&payloads) {
        assert_eq!(&read.1, put_in);
    }
    assert!(payloads.is_empty() || !matches!(ended, Err(Fault::Checksum | Fault::PreludeChecksum)));
    if chosen & 3 == 3 && ended.is_ok() && !stream.is_empty() {
        panic!("a flipped bit passed: {}", stream.escape_ascii());
    }
    let bounded = every_way(&stream, |pieces| by_reader(pieces, 40));
    assert!(bounded.0.iter().all(|(_, payload)| payload.len() <= 40), "more than the bound");
}

/// Messages whose headers and payloads are these bytes, each with its length before it.
fn framed(mut data: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut stream, mut payloads) = (Vec::new(), Vec::new());
    while let [headers, payload, rest @ ..] = data {
        let (headers, rest) = rest.split_at(rest.len().min(usize::from(*headers)));
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*payload)));
        let start = stream.len();
        let total = (16 + headers.len() + payload.len()) as u32;
        stream.extend_from_slice(&total.to_be_bytes());
        stream.extend_from_slice(&(headers.len() as u32).to_be_bytes());
        let prelude = crc32fast::hash(&stream[start..]);
        stream.extend_from_slice(&prelude.to_be_bytes());
        stream.extend_from_slice(headers);
        stream.extend_from_slice(payload);
        let message = crc32fast::hash(&stream[start..]);
        stream.extend_from_slice(&message.to_be_bytes());
        payloads.push(payload.to_vec());
        data = rest;
    }
    (stream, payloads)
}

fn owned(head: &Head<'_>) -> String {
    let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
    let kind = match head.kind {
        Kind::Event(name) => format!("event {}", text(name)),
        Kind::Exception(name) => format!("exception {}", text(name)),
        Kind::Error { code, message } => format!("error {} {}", text(code), text(message)),
        Kind::Other => "other".to_owned(),
    };
    format!("{kind}, {}", text(head.content_type))
}

fn by_reader(pieces: &[&[u8]], bound: usize) -> (Vec<Message>, Result<(), Fault>) {
    let (mut reader, mut read) = (Reader::new(bound), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.next(&mut input) {
                Ok(Some(message)) => {
                    assert_eq!(message.head.payload_bytes, message.payload.len());
                    read.push((owned(&message.head), message.payload.to_vec()));
                }
                Ok(None) => break,
                Err(fault) => {
                    assert_eq!(reader.next(&mut &b"x"[..]), Err(fault), "a fault is final");
                    assert_eq!(reader.end(), Err(fault), "a fault is final");
                    return (read, Err(fault));
                }
            }
        }
    }
    (read, reader.end())
}

fn by_parts(pieces: &[&[u8]]) -> (Vec<Message>, Result<(), Fault>) {
    let (mut parts, mut read, mut open) = (Parts::new(), Vec::new(), None::<(usize, Message)>);
    for piece in pieces {
        let mut input = *piece;
        loop {
            match parts.next(&mut input) {
                Ok(Some(Part::Head(head))) => open = Some((head.payload_bytes, (owned(&head), Vec::new()))),
                Ok(Some(Part::Payload(bytes))) => {
                    let (_, message) = open.as_mut().unwrap_or_else(|| panic!("payload without a head"));
                    message.1.extend_from_slice(bytes);
                }
                Ok(Some(Part::End)) => {
                    let (length, message) = open.take().unwrap_or_else(|| panic!("an end without a head"));
                    assert_eq!(length, message.1.len());
                    read.push(message);
                }
                Ok(None) => break,
                Err(fault) => return (read, Err(fault)),
            }
        }
    }
    (read, parts.end())
}
