//! The thread that finds out whether passwords hold. A hash takes a core tens of milliseconds, and a worker serves thousands of
//! requests in that time; here nobody else waits.

use super::tell_one;
use crate::mail::{Board, ToWorker};
use crate::runtime::MailSender;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often the thread looks whether the process still needs it.
const LOOK: Duration = Duration::from_secs(1);

/// Starts it. It ends with the board, of which nobody but it has a share then.
pub(super) fn start(board: &Arc<Board>, mail: Vec<MailSender<ToWorker>>) -> io::Result<()> {
    let weak = Arc::downgrade(board);
    let thread = std::thread::Builder::new().name("passwords".to_owned()).spawn(move || {
        while let Some(board) = weak.upgrade() {
            while let Some(judgement) = board.judgements.next() {
                judgement.judge();
                tell_one(&board, &mail, usize::from(judgement.worker), ToWorker::Judged);
            }
            drop(board);
            std::thread::park_timeout(LOOK);
        }
    })?;
    let thread = thread.thread().clone();
    board.judgements.set_bell(Box::new(move || thread.unpark()));
    Ok(())
}
