//! Heads and bodies of HTTP/1.1.

use super::choice;
use super::cuts::every_way;
use std::ops::Range;
use tollgate::wire::http1::{
    BodyFault, BodyReader, ChunkLimits, Framing, HeadFault, HeadLimits, HeadScan, Headers, Known, Method,
    RequestHead, ResponseHead, write,
};
use tollgate::wire::url;

/// Small ones, so that they are reached, and those that are in force where nobody says otherwise.
fn limits(choice: usize) -> HeadLimits {
    match choice & 1 {
        0 => HeadLimits::default(),
        _ => HeadLimits { head_bytes: 120, headers: 4, target_bytes: 20 },
    }
}

/// What a scan says of a buffer that grows by these pieces: the head, or the fault.
fn arrives<T>(
    pieces: &[&[u8]],
    mut scan: impl FnMut(&[u8]) -> Result<Option<T>, HeadFault>,
) -> Option<Result<T, HeadFault>> {
    let mut buffer = Vec::new();
    pieces.iter().find_map(|piece| {
        buffer.extend_from_slice(piece);
        scan(&buffer).transpose()
    })
}

/// The first byte chooses the limits.
pub(super) fn request_head(data: &[u8]) {
    let (chosen, data) = choice(data);
    let limits = limits(chosen);
    let read = |pieces: &[&[u8]]| {
        let mut scan = HeadScan::default();
        arrives(pieces, |buffer| scan.request(buffer, &limits)).map(|read| read.map(|head| said(&head, data)))
    };
    let Some(Ok(_)) = every_way(data, read) else {
        assert!(data.len() < limits.head_bytes || read(&[data]).is_some(), "it waits beyond the limit");
        return;
    };
    let Ok(Some(head)) = HeadScan::default().request(data, &limits) else { return };
    lines_are_clean(&data[..head.len], &head.headers, &limits);
    let target = head.target.of(data);
    assert!(target.len() <= limits.target_bytes && target.iter().all(|byte| url::is_target(*byte)));
    assert!(head.framing != Framing::UntilClose, "a request ends");
    assert!(!head.headers.contains(Known::Disguised) && !head.headers.is_repeated(Known::Authorization));
    assert!(head.method != Method::Trace || matches!(head.framing, Framing::None | Framing::Length(0)));
    if let Some(host) = head.host {
        assert!(url::host_port(host.of(data)).is_some(), "a host that is none");
    }
    end_to_end(&head, data);
    // What is sent on means the same to the next one who reads it.
    let mut again = Vec::new();
    write::request_line(&mut again, head.method_text.of(data), target);
    again_lines(&mut again, &head.headers, data);
    if head.version == tollgate::wire::http1::Version::Http11 {
        let roomy = HeadLimits { head_bytes: 64 << 10, ..HeadLimits::default() };
        let Ok(Some(second)) = HeadScan::default().request(&again, &roomy) else {
            panic!("not read again: {}", again.escape_ascii())
        };
        let strip = |head: &RequestHead, bytes: &[u8]| RequestSaid { len: 0, ..said(head, bytes) };
        assert_eq!(strip(&second, &again), strip(&head, data));
    }
}

/// The first byte chooses the limits and the request's method.
pub(super) fn response_head(data: &[u8]) {
    let (chosen, data) = choice(data);
    let limits = limits(chosen);
    let to = [Method::Get, Method::Head, Method::Connect, Method::Post][chosen >> 1 & 3];
    every_way(data, |pieces| {
        let mut scan = HeadScan::default();
        let read = arrives(pieces, |buffer| scan.response(buffer, &limits, to));
        read.map(|read| read.map(|head| answer_said(&head, data)))
    });
    let Ok(Some(head)) = HeadScan::default().response(data, &limits, to) else { return };
    lines_are_clean(&data[..head.len], &head.headers, &limits);
    assert!((100..600).contains(&head.status));
    let announces =
        |name| head.headers.first(name).is_some_and(|value| !value.of(data).iter().all(|b| *b == b'0'));
    if head.status < 200 {
        assert!(!announces(Known::ContentLength) && !announces(Known::TransferEncoding), "is it the answer?");
    }
    if to == Method::Head || matches!(head.status, 100..=199 | 204 | 304) {
        assert_eq!(head.framing, Framing::None);
    }
    assert!(head.framing != Framing::UntilClose || !head.keep_alive, "who knows where it ends?");
}

/// No byte of an accepted head can end a line or a message for somebody else.
fn lines_are_clean(head: &[u8], headers: &Headers, limits: &HeadLimits) {
    assert!(head.len() <= limits.head_bytes && headers.len() <= limits.headers);
    assert!(head.ends_with(b"\r\n\r\n") && !head.contains(&0));
    let count = |wanted: u8| head.iter().filter(|byte| **byte == wanted).count();
    assert_eq!(count(b'\n'), count(b'\r'));
    for header in headers.iter() {
        let (name, value) = (header.name.of(head), header.value.of(head));
        assert!(!name.is_empty() && name.iter().all(|b| b.is_ascii_graphic() && !b":,;()".contains(b)));
        assert!(value.iter().all(|b| *b >= b' ' && *b != 0x7f || *b == b'\t'), "{}", value.escape_ascii());
        assert_eq!(header.known, Known::of(name));
    }
    let lengths = headers.all(Known::ContentLength).count();
    let codings = headers.all(Known::TransferEncoding).count();
    assert!(lengths + codings <= 1, "two ways to tell where the body ends");
    let options = headers.all(Known::Connection).flat_map(|value| value.of(head).split(|byte| *byte == b','));
    for option in options.map(|option| option.trim_ascii().to_ascii_lowercase()) {
        assert!(
            ![&b"content-length"[..], b"transfer-encoding", b"host"].contains(&&option[..]),
            "taken away?"
        );
    }
}

/// What is for this connection alone is not sent on.
fn end_to_end(head: &RequestHead, data: &[u8]) {
    let mut passed = Vec::new();
    write::copy_end_to_end(&mut passed, data, &head.headers, |_, _| false);
    let lower = passed.to_ascii_lowercase();
    let names: Vec<&[u8]> =
        lower.split(|byte| *byte == b'\n').filter_map(|line| line.split(|b| *b == b':').next()).collect();
    let nominated =
        head.headers.all(Known::Connection).flat_map(|value| value.of(data).split(|byte| *byte == b','));
    let nominated = nominated.map(|name| name.trim_ascii().to_ascii_lowercase());
    let always = ["connection", "transfer-encoding", "content-length", "keep-alive", "te", "upgrade"];
    let always = always.iter().map(|name| name.as_bytes().to_vec());
    for name in nominated.chain(always).filter(|name| !name.is_empty()) {
        assert!(!names.contains(&&name[..]), "{} was passed on", name.escape_ascii());
    }
}

fn again_lines(out: &mut Vec<u8>, headers: &Headers, data: &[u8]) {
    headers.iter().for_each(|header| write::header(out, header.name.of(data), header.value.of(data)));
    write::end(out);
}

/// What a head says, to be compared.
#[derive(Debug, PartialEq)]
struct RequestSaid {
    method: Vec<u8>,
    path: Vec<u8>,
    query: Option<Vec<u8>>,
    host: Option<Vec<u8>>,
    lines: Vec<[Vec<u8>; 2]>,
    framing: Framing,
    lives: [bool; 2],
    len: usize,
}

fn said(head: &RequestHead, data: &[u8]) -> RequestSaid {
    RequestSaid {
        method: head.method_text.of(data).to_vec(),
        path: head.path_of(data).to_vec(),
        query: head.query.map(|query| query.of(data).to_vec()),
        host: head.host.map(|host| host.of(data).to_vec()),
        lines: lines(&head.headers, data),
        framing: head.framing,
        lives: [head.keep_alive, head.expects_continue],
        len: head.len,
    }
}

fn lines(headers: &Headers, data: &[u8]) -> Vec<[Vec<u8>; 2]> {
    headers.iter().map(|header| [header.name.of(data).to_vec(), header.value.of(data).to_vec()]).collect()
}

type AnswerSaid = (u16, Vec<u8>, Vec<[Vec<u8>; 2]>, Framing, bool, usize);

fn answer_said(head: &ResponseHead, data: &[u8]) -> AnswerSaid {
    let reason = head.reason.of(data).to_vec();
    (head.status, reason, lines(&head.headers, data), head.framing, head.keep_alive, head.len)
}

/// As [`limits`], of what a chunked body costs beside its payload.
fn chunk_limits(choice: usize) -> ChunkLimits {
    match choice & 1 {
        0 => ChunkLimits::default(),
        _ => ChunkLimits { extension_bytes: 8, trailers: 2, trailer_bytes: 40 },
    }
}

/// The first byte chooses framing and bounds.
pub(super) fn body(data: &[u8]) {
    let (chosen, data) = choice(data);
    let framing = match chosen & 3 {
        0 | 1 => Framing::Chunked,
        2 => Framing::Length((chosen >> 3) as u64),
        _ => Framing::UntilClose,
    };
    let most = if chosen & 4 == 0 { 1 << 20 } else { 24 };
    let limits = chunk_limits(chosen);
    let read = every_way(data, |pieces| body_of(framing, most, limits, pieces));
    assert!(read.payload.len() as u64 <= most, "more than the bound");
    assert!(read.trailers.len() <= limits.trailer_bytes as usize);
    if framing == Framing::Chunked && read.ended.is_ok() {
        let (payload, _) = dechunked(data).unwrap_or_else(|| panic!("a naive reader finds no chunks"));
        assert_eq!(payload, read.payload);
    }
    let mut chunks = Vec::new();
    for piece in data.chunks(7) {
        write::chunk_head(&mut chunks, piece.len());
        chunks.extend_from_slice(piece);
        chunks.extend_from_slice(write::CHUNK_END);
    }
    chunks.extend_from_slice(write::LAST_CHUNK);
    let again = body_of(Framing::Chunked, 1 << 20, limits, &[&chunks]);
    assert_eq!((again.payload.as_slice(), again.ended), (data, Ok(())));
}

#[derive(Debug, PartialEq)]
struct Body {
    payload: Vec<u8>,
    trailers: Vec<u8>,
    consumed: usize,
    ended: Result<(), BodyFault>,
}

fn body_of(framing: Framing, most: u64, limits: ChunkLimits, pieces: &[&[u8]]) -> Body {
    let mut read = Body { payload: Vec::new(), trailers: Vec::new(), consumed: 0, ended: Ok(()) };
    let mut reader = match BodyReader::new(framing, most) {
        Ok(reader) => reader.held_to(limits),
        Err(fault) => return Body { ended: Err(fault), ..read },
    };
    for piece in pieces {
        let mut spans: Vec<Range<usize>> = Vec::new();
        let progress = reader.read(piece, |span| spans.push(span.range()));
        assert!(spans.windows(2).all(|pair| pair[0].end <= pair[1].start), "out of order: {spans:?}");
        spans.into_iter().for_each(|span| read.payload.extend_from_slice(&piece[span]));
        match progress {
            Ok(progress) => {
                read.consumed += progress.consumed;
                assert_eq!(progress.done, reader.is_done());
                assert!(progress.done || progress.consumed == piece.len(), "it left some");
            }
            Err(fault) => {
                assert_eq!(reader.read(b"x", |_| ()), Err(fault), "a fault is final");
                return Body { consumed: 0, ended: Err(fault), ..read };
            }
        }
    }
    read.ended = reader.end_of_stream();
    read.trailers = reader.trailers().to_vec();
    read
}

/// The payload of a body that is known to be well-formed, and how long it is.
fn dechunked(data: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut payload, mut at) = (Vec::new(), 0);
    loop {
        let line = data[at..].windows(2).position(|pair| pair == b"\r\n")?;
        let digits = data[at..at + line].iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        assert!(are_extensions(&data[at + digits..at + line]), "what is behind the size means two things");
        let size = std::str::from_utf8(&data[at..at + digits]).ok()?;
        let size = usize::from_str_radix(size, 16).ok()?;
        at += line + 2;
        if size == 0 {
            return Some((payload, at));
        }
        payload.extend_from_slice(data.get(at..at + size)?);
        at += size + 2;
    }
}

/// Whether these are extensions of a chunk, one after the other, and nothing else.
fn are_extensions(mut rest: &[u8]) -> bool {
    let blank = |text: &[u8]| text.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let token = |text: &[u8]| {
        text.iter().take_while(|b| b.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(b)).count()
    };
    while !rest.is_empty() {
        let Some(name) = rest[blank(rest)..].strip_prefix(b";") else { return false };
        let name = &name[blank(name)..];
        rest = &name[token(name)..];
        if rest.len() == name.len() {
            return false;
        }
        let Some(value) = rest[blank(rest)..].strip_prefix(b"=") else { continue };
        let value = &value[blank(value)..];
        rest = match value.strip_prefix(b"\"") {
            Some(quoted) => {
                let mut at = 0;
                while quoted.get(at).is_some_and(|byte| *byte != b'"') {
                    at += if quoted[at] == b'\\' { 2 } else { 1 };
                }
                if at >= quoted.len() {
                    return false;
                }
                &quoted[at + 1..]
            }
            None => &value[token(value)..],
        };
        if rest.len() == value.len() {
            return false;
        }
    }
    true
}
