//! Which sockets are ready: a thin door to the `polling` package, level-triggered.
//!
//! `polling` asks its callers to delete a socket from the poller before the socket is closed; [`Watched`] owns the
//! socket and does so when it is dropped, which is what makes the one unsafe call here sound.
#![allow(unsafe_code)]

use polling::{Event, Events, PollMode, Poller};
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 1024;

/// The poller of one thread, which other threads may wake.
#[derive(Clone)]
pub(crate) struct Readiness {
    poller: Arc<Poller>,
}

/// The events of one wait.
pub(crate) struct Ready(Events);

/// A socket that the poller watches for as long as this value lives.
pub(crate) struct Watched<S: AsFd + AsRawFd> {
    socket: S,
    poller: Arc<Poller>,
    key: usize,
    reads: bool,
    writes: bool,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<Readiness> {
        Ok(Readiness { poller: Arc::new(Poller::new()?) })
    }

    /// Ends the current or the next wait.
    pub(crate) fn wake(&self) {
        // It fails only when the poller is gone, and then nobody waits.
        let _ = self.poller.notify();
    }

    /// Waits for events, a wake-up or the time-out; returns how many events there are.
    pub(crate) fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<usize> {
        ready.0.clear();
        match self.poller.wait(&mut ready.0, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            outcome => outcome,
        }
    }

    /// Watches `socket` for reading under `key`.
    pub(crate) fn watch<S: AsFd + AsRawFd>(&self, socket: S, key: usize) -> io::Result<Watched<S>> {
        // SAFETY: the socket is moved into `Watched`, whose `drop` deletes it from the poller before closing it.
        unsafe { self.poller.add_with_mode(&socket, Event::readable(key), PollMode::Level)? };
        Ok(Watched { socket, poller: Arc::clone(&self.poller), key, reads: true, writes: false })
    }
}

impl Ready {
    pub(crate) fn new() -> Ready {
        Ready(NonZeroUsize::new(EVENTS_MAX).map_or_else(Events::new, Events::with_capacity))
    }

    /// The keys of the ready sockets.
    pub(crate) fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|event| event.key)
    }
}

impl<S: AsFd + AsRawFd> Watched<S> {
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// What to be told about; a call that changes nothing costs nothing. Errors and hang-ups are always told.
    pub(crate) fn set_interest(&mut self, reads: bool, writes: bool) -> io::Result<()> {
        if (reads, writes) != (self.reads, self.writes) {
            let event = Event::new(self.key, reads, writes);
            self.poller.modify_with_mode(&self.socket, event, PollMode::Level)?;
            (self.reads, self.writes) = (reads, writes);
        }
        Ok(())
    }

    pub(crate) fn reads(&self) -> bool {
        self.reads
    }

    pub(crate) fn writes(&self) -> bool {
        self.writes
    }
}

impl<S: AsFd + AsRawFd> Drop for Watched<S> {
    fn drop(&mut self) {
        // It fails only for a socket that is not watched, which this one is.
        let _ = self.poller.delete(&self.socket);
    }
}
