//! The reader of event streams against what Amazon Bedrock sent.

use crate::recordings;
use serde_json::Value;
use tollgate::base::base64;
use tollgate::wire::eventstream::{Kind, Part, Parts, Reader};
use tollgate_loadtest::eventstream::event;

#[test]
fn recorded_streams_are_read_whole_and_split_at_every_byte() {
    if recordings::root().is_none() {
        return;
    }
    let (mut streams, mut messages) = (0, 0);
    for (folder, first, last) in [
        ("bedrock/converse-stream", "messageStart", "metadata"),
        ("bedrock/invoke-with-response-stream", "chunk", "chunk"),
    ] {
        let recorded = recordings::all(folder);
        assert!(!recorded.is_empty(), "no recordings in {folder}");
        for (name, recording) in recorded {
            let body = recording["response"]["body_b64"].as_str().expect("a stream");
            let body = base64::decode(body.as_bytes()).expect("base64");
            let read = by_reader([&body[..]]);
            assert_eq!(read.first().map(|(name, _)| &name[..]), Some(first), "{name}");
            assert_eq!(read.last().map(|(name, _)| &name[..]), Some(last), "{name}");
            for (_, payload) in &read {
                serde_json::from_slice::<Value>(payload).expect("JSON");
            }
            assert_eq!(by_reader(body.chunks(1)), read, "{name}: byte by byte");
            for at in 0..=body.len() {
                let (head, tail) = body.split_at(at);
                assert!(by_reader([head, tail]) == read, "{name}: split at {at}");
            }
            let payload = read.iter().map(|(_, payload)| payload.len()).sum();
            assert_eq!(count_parts(body.chunks(1)), [read.len(), payload, read.len()], "{name}: parts");
            let mut written = Vec::new();
            read.iter().for_each(|(name, payload)| event(&mut written, name, payload));
            assert!(written == body, "{name}: the load kit writes what Bedrock sends");
            (streams, messages) = (streams + 1, messages + read.len());
        }
    }
    eprintln!("{streams} streams with {messages} messages checked");
    assert!(streams >= 12 && messages >= 150);
}

/// The types and payloads of all events; there is nothing but events.
fn by_reader<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Vec<(String, Vec<u8>)> {
    let (mut reader, mut read) = (Reader::default(), Vec::new());
    for mut piece in pieces {
        while let Some(message) = reader.next(&mut piece).expect("a sound stream") {
            let Kind::Event(name) = message.head.kind else { panic!("no event: {:?}", message.head) };
            assert_eq!(message.head.content_type, b"application/json");
            read.push((String::from_utf8_lossy(name).into_owned(), message.payload.to_vec()));
        }
    }
    reader.end().expect("an end between messages");
    read
}

/// How many heads, bytes of payload and ends there are.
fn count_parts<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> [usize; 3] {
    let (mut parts, mut count) = (Parts::new(), [0; 3]);
    for mut piece in pieces {
        while let Some(part) = parts.next(&mut piece).expect("a sound stream") {
            match part {
                Part::Head(_) => count[0] += 1,
                Part::Payload(bytes) => count[1] += bytes.len(),
                Part::End => count[2] += 1,
            }
        }
    }
    parts.end().expect("an end between messages");
    count
}
