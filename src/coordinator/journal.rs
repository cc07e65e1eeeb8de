//! Access records: one JSON line per exchange, written by a thread of its own. Requests never wait for it:
//! when the sink is slow the workers' queues fill, and what does not fit is dropped and counted there.

use crate::config::RecordsTo;
use crate::mail::Board;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a record may wait for the next write.
const FLUSH: Duration = Duration::from_millis(20);

/// Bytes after which a write is made although more records wait.
const WRITE_BYTES: usize = 64 << 10;

/// The running journal.
pub(super) struct Journal {
    end: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Journal {
    /// Opens the sink and starts.
    pub(super) fn start(to: &RecordsTo, board: Arc<Board>) -> io::Result<Journal> {
        let sink: Option<Box<dyn Write + Send>> = match to {
            RecordsTo::None => None,
            RecordsTo::Stdout => Some(Box::new(io::stdout())),
            RecordsTo::File(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                let named =
                    |error: io::Error| io::Error::new(error.kind(), format!("records file {path}: {error}"));
                Some(Box::new(file.map_err(named)?))
            }
        };
        let end = Arc::new(AtomicBool::new(false));
        let ended = end.clone();
        let name = "journal".to_owned();
        let thread = std::thread::Builder::new().name(name).spawn(move || write_all(sink, &board, &ended))?;
        Ok(Journal { end, thread })
    }

    /// Writes what is left and ends.
    pub(super) fn finish(self) {
        self.end.store(true, Ordering::Release);
        self.thread.join().ok();
    }
}

fn write_all(mut sink: Option<Box<dyn Write + Send>>, board: &Board, end: &AtomicBool) {
    let mut lines = Vec::new();
    let mut failing = false;
    loop {
        // Read before the queues: what is pushed before the end is asked for is still written.
        let last = end.load(Ordering::Acquire);
        for desk in &board.desks {
            while let Some(record) = desk.records.pop() {
                if sink.is_some() {
                    record.json_line(&mut lines);
                }
                if lines.len() >= WRITE_BYTES {
                    put(&mut sink, &mut lines, &mut failing);
                }
            }
        }
        put(&mut sink, &mut lines, &mut failing);
        if last {
            return;
        }
        std::thread::sleep(FLUSH);
    }
}

/// Writes and forgets `lines`. A sink that fails is reported when it begins to, and when it works again.
fn put(sink: &mut Option<Box<dyn Write + Send>>, lines: &mut Vec<u8>, failing: &mut bool) {
    let Some(sink) = sink.as_mut().filter(|_| !lines.is_empty()) else { return };
    let written = sink.write_all(lines).and_then(|()| sink.flush());
    lines.clear();
    match (&written, *failing) {
        (Err(error), false) => eprintln!("records cannot be written and are lost: {error}"),
        (Ok(()), true) => eprintln!("records are written again"),
        _ => {}
    }
    *failing = written.is_err();
}
