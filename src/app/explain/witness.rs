//! Stands where every provider and host would be, on loopback: keeps what it is sent and gives an answer that nobody
//! reads.

use crate::wire::http1::{BodyReader, HeadLimits, HeadScan};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// The most requests that are kept: one, and what is mirrored or asked of others beside it.
const REQUESTS_MAX: usize = 16;
/// The largest request that is kept.
const REQUEST_BYTES_MAX: usize = 128 << 20;
/// How long the rest of a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was sent.
pub(super) struct Seen {
    /// Start line and header lines, each without its end.
    pub(super) head: Vec<String>,
    pub(super) body: Vec<u8>,
}

/// A listening witness. Its threads end with the process.
pub(super) struct Witness {
    pub(super) address: SocketAddr,
    pub(super) seen: Receiver<Seen>,
}

impl Witness {
    pub(super) fn start() -> io::Result<Witness> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let (tell, seen) = sync_channel(REQUESTS_MAX);
        std::thread::Builder::new().name("witness".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let tell = tell.clone();
                let serve = move || drop(serve(stream, &tell));
                if std::thread::Builder::new().name("witness".to_owned()).spawn(serve).is_err() {
                    return;
                }
            }
        })?;
        Ok(Witness { address, seen })
    }
}

fn serve(mut stream: TcpStream, tell: &SyncSender<Seen>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut bytes = Vec::new();
    let mut scan = HeadScan::default();
    let head = loop {
        match scan.request(&bytes, &HeadLimits::default()).map_err(broken)? {
            Some(head) => break head,
            None => more(&mut stream, &mut bytes)?,
        }
    };
    let mut body = Vec::new();
    let mut reader = BodyReader::new(head.framing, REQUEST_BYTES_MAX as u64).map_err(broken)?;
    let mut at = head.len;
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let progress = reader.read(rest, |span| body.extend_from_slice(span.of(rest))).map_err(broken)?;
        at += progress.consumed;
        if progress.done {
            break;
        }
        more(&mut stream, &mut bytes)?;
    }
    let lines = bytes.get(..head.len).unwrap_or_default().split(|byte| *byte == b'\n');
    let lines = lines.map(|line| String::from_utf8_lossy(line).trim_end().to_owned());
    let seen = Seen { head: lines.filter(|line| !line.is_empty()).collect(), body };
    let answer = seen.question().map_or("{}", |question| question.passes);
    // Where more come than are kept, the first are what is asked for.
    let _ = tell.try_send(seen);
    let length = answer.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    )
}

/// What a guard asks a service.
pub(super) struct Question {
    line: &'static str,
    /// The answer that lets everything pass.
    passes: &'static str,
}

/// What webhooks and moderation are asked; no provider has anything there.
const QUESTIONS: [Question; 3] = [
    Question { line: "POST /request ", passes: r#"{"action": {}}"# },
    Question { line: "POST /response ", passes: r#"{"action": {}}"# },
    Question { line: "POST /v1/moderations ", passes: r#"{"results": [{"flagged": false}]}"# },
];

impl Seen {
    /// Which question it is, if a guard asked it.
    pub(super) fn question(&self) -> Option<&'static Question> {
        let line = self.head.first()?;
        QUESTIONS.iter().find(|question| line.starts_with(question.line))
    }
}

fn broken<E>(_: E) -> io::Error {
    io::ErrorKind::InvalidData.into()
}

fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<()> {
    let mut piece = [0; 16 << 10];
    let read = stream.read(&mut piece)?;
    if read == 0 || bytes.len() > REQUEST_BYTES_MAX {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    bytes.extend_from_slice(piece.get(..read).unwrap_or_default());
    Ok(())
}
