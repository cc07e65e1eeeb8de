//! Access records: one JSON line per exchange, written by a thread of its own. Requests never wait for it:
//! when the sink is slow the workers' queues fill, and what does not fit is dropped and counted there. What
//! operators change goes to the same place as lines of its own, and to standard error; so does, there alone, what has no
//! price.

use super::tell;
use super::unpriced::Unpriced;
use crate::config::RecordsTo;
use crate::mail::Board;
use crate::runtime::clock;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a record may wait for the next write.
const FLUSH: Duration = Duration::from_millis(20);

/// How long the thread sleeps while nothing is to be written, unless it is woken. A worker that brings a record in the
/// very moment in which it falls asleep may not be seen.
const SLEEP: Duration = Duration::from_millis(500);

/// Bytes after which a write is made although more records wait.
const WRITE_BYTES: usize = 64 << 10;

/// How long the end of the process waits for a sink that takes nothing.
const FINISH_MAX: Duration = Duration::from_secs(2);

/// The running journal.
pub(super) struct Journal {
    orders: Arc<Orders>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Orders {
    end: AtomicBool,
    reopen: AtomicBool,
}

type Sink = Box<dyn Write + Send>;

impl Journal {
    /// Opens the sink and starts.
    ///
    /// # Errors
    /// A sentence for the operator: the file cannot be opened, or no thread be had.
    pub(super) fn start(to: &RecordsTo, board: Arc<Board>) -> Result<Journal, String> {
        let sink = open(to)?;
        let orders = Arc::new(Orders::default());
        let (theirs, to) = (orders.clone(), to.clone());
        let run = move || {
            Writer { sink, to, failing: false, torn: false, unpriced: Unpriced::default() }
                .run(&board, &theirs)
        };
        let thread = std::thread::Builder::new().name("journal".to_owned()).spawn(run);
        Ok(Journal { orders, thread: thread.map_err(|error| format!("the journal's thread: {error}"))? })
    }

    /// Asks for the file to be opened anew, because it may have been moved away.
    pub(super) fn reopen(&self) {
        self.orders.reopen.store(true, Ordering::Release);
        self.thread.thread().unpark();
    }

    /// Writes what is left and ends. A sink that takes nothing is given up after two seconds.
    pub(super) fn finish(self) {
        self.orders.end.store(true, Ordering::Release);
        self.thread.thread().unpark();
        let until = clock::now() + FINISH_MAX;
        while !self.thread.is_finished() {
            if clock::now() > until {
                return tell("the last records are lost: nobody takes them");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

fn open(to: &RecordsTo) -> Result<Option<Sink>, String> {
    Ok(match to {
        RecordsTo::None => None,
        RecordsTo::Stdout => Some(Box::new(io::stdout())),
        RecordsTo::File(path) => {
            let file = open_file(path).map_err(|error| {
                format!("records cannot be written to {path}: {error}; see records.to in Settings")
            })?;
            Some(Box::new(file))
        }
    })
}

/// Opens for appending. A FIFO is opened for both directions, which on Linux neither waits for a reader nor
/// fails without one.
fn open_file(path: &str) -> io::Result<File> {
    let is_fifo = fs::metadata(path).is_ok_and(|meta| meta.file_type().is_fifo());
    let mut options = OpenOptions::new();
    match is_fifo {
        true => options.read(true).write(true),
        false => options.append(true).create(true),
    };
    options.open(path)
}

/// Sleeps until a record comes, or for a while.
fn sleep_until_needed(board: &Board) {
    board.journal.falls_asleep();
    if board.desks.iter().all(|desk| desk.records.is_empty()) {
        std::thread::park_timeout(SLEEP);
    }
    board.journal.is_awake();
}

struct Writer {
    sink: Option<Sink>,
    to: RecordsTo,
    failing: bool,
    /// The last line in the sink has no end.
    torn: bool,
    unpriced: Unpriced,
}

impl Writer {
    fn run(mut self, board: &Board, orders: &Orders) {
        let mut lines = Vec::new();
        let journal = std::thread::current();
        board.journal.set_bell(Box::new(move || journal.unpark()));
        loop {
            // Read before the queues: what is pushed before the end is asked for is still written.
            let last = orders.end.load(Ordering::Acquire);
            if orders.reopen.swap(false, Ordering::AcqRel) {
                self.reopen();
            }
            let mut any = false;
            for desk in &board.desks {
                let write = self.sink.is_some();
                let mut warning = None;
                while desk.records.take(|record| {
                    warning = self.unpriced.look_at(record);
                    if write {
                        record.json_line(&mut lines)
                    }
                }) {
                    any = true;
                    warning.take().iter().for_each(|warning| tell(warning));
                    if lines.len() >= WRITE_BYTES {
                        self.put(&mut lines, board);
                    }
                }
            }
            while let Some(audit) = board.audit.pop() {
                let begin = lines.len();
                audit.json_line(&mut lines);
                tell(String::from_utf8_lossy(lines.get(begin..).unwrap_or_default()).trim_end());
            }
            self.put(&mut lines, board);
            if last {
                return;
            }
            match any {
                true => std::thread::sleep(FLUSH),
                false => sleep_until_needed(board),
            }
        }
    }

    fn reopen(&mut self) {
        match open(&self.to) {
            Ok(sink) => (self.sink, self.torn) = (sink, false),
            Err(why) => tell(&format!("{why}; they go on to the file that was open")),
        }
    }

    /// Writes and forgets `lines`. A sink that fails is reported when it begins to, and when it works again; what it did
    /// not take is counted. A line of which it took a part is ended before the next one.
    fn put(&mut self, lines: &mut Vec<u8>, board: &Board) {
        let Some(sink) = self.sink.as_mut().filter(|_| !lines.is_empty()) else { return lines.clear() };
        let torn = self.torn;
        if torn {
            lines.insert(0, b'\n');
        }
        let (taken, written) = write_all(sink, lines);
        let (whole, rest) = lines.split_at(taken);
        self.torn = whole.last().map_or(torn, |last| *last != b'\n');
        let ends = rest.iter().filter(|byte| **byte == b'\n').count();
        board.health.lose_records(ends as u64 - u64::from(torn && whole.is_empty()));
        lines.clear();
        match (&written, self.failing) {
            (Err(error), false) => tell(&format!("records cannot be written and are lost: {error}")),
            (Ok(()), true) => tell("records are written again"),
            _ => {}
        }
        self.failing = written.is_err();
    }
}

/// Writes all of `bytes`; how many were taken, and why no more.
fn write_all(sink: &mut Sink, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut taken = 0;
    while taken < bytes.len() {
        match sink.write(&bytes[taken..]) {
            Ok(0) => return (taken, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => taken += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (taken, Err(error)),
        }
    }
    (taken, sink.flush())
}
