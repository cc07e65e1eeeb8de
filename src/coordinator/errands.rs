//! A thread that fetches what is due, now and again and when it is told to, because it waits for answers and nobody else does.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

/// How long a start waits for what is fetched before requests are served without it.
const START_MAX: Duration = Duration::from_secs(3);

/// How soon what could not be had is tried again; doubled with each failure, up to [`RETRY_MAX`].
const RETRY: Duration = Duration::from_secs(2);
pub(super) const RETRY_MAX: Duration = Duration::from_secs(60);

/// The running thread. It ends with this handle.
pub(super) struct Errands {
    orders: SyncSender<SyncSender<()>>,
}

impl Errands {
    /// Starts a thread that does `look` at once and waits a while for it, if it is `needed` so soon. `look` hears whether it was
    /// told to, and says how long it need not look again.
    pub(super) fn start(
        name: &str,
        needed: bool,
        mut look: impl FnMut(bool) -> Duration + Send + 'static,
    ) -> io::Result<Errands> {
        let (orders, inbox) = sync_channel::<SyncSender<()>>(1);
        std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            let mut pause = Duration::MAX;
            loop {
                let told = match inbox.recv_timeout(pause) {
                    Ok(done) => Some(done),
                    Err(RecvTimeoutError::Timeout) => None,
                    Err(RecvTimeoutError::Disconnected) => return,
                };
                pause = look(told.is_some());
                if let Some(done) = told {
                    done.try_send(()).ok();
                }
            }
        })?;
        let errands = Errands { orders };
        if let Some(done) = needed.then(|| errands.wake()).flatten() {
            let _ = done.recv_timeout(START_MAX); // what has not come yet comes by mail
        }
        Ok(errands)
    }

    /// Has it look at what is in force now; who waits is told when that is done.
    pub(super) fn wake(&self) -> Option<Receiver<()>> {
        let (done, wait) = sync_channel(1);
        self.orders.try_send(done).ok().map(|()| wait)
    }
}

/// How long to wait after so many failures, from 1.
pub(super) fn pause_after(failures: u32) -> Duration {
    RETRY.saturating_mul(1 << failures.saturating_sub(1).min(5)).min(RETRY_MAX)
}
