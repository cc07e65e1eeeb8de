//! Which sockets are ready: a thin door to epoll, level-triggered, one system call per wait.

use rustix::buffer::spare_capacity;
use rustix::event::{EventfdFlags, Timespec, epoll, eventfd};
use rustix::io::Errno;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// Events taken from the kernel at a time.
const EVENTS_MAX: usize = 1024;

/// The key of the bell.
const BELL: u64 = u64::MAX;

/// The poller of one thread, which other threads may wake.
#[derive(Clone)]
pub(crate) struct Readiness {
    poller: Arc<Poller>,
}

struct Poller {
    epoll: OwnedFd,
    /// Ready while it has been rung and not been heard.
    bell: OwnedFd,
}

/// The events of one wait.
pub(crate) struct Ready(Vec<epoll::Event>);

/// A socket that the poller watches for as long as this value lives: the kernel forgets a socket that is closed.
pub(crate) struct Watched<S: AsFd> {
    socket: S,
    poller: Arc<Poller>,
    key: usize,
    reads: bool,
    writes: bool,
}

impl Readiness {
    pub(crate) fn new() -> io::Result<Readiness> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &bell, epoll::EventData::new_u64(BELL), epoll::EventFlags::IN)?;
        Ok(Readiness { poller: Arc::new(Poller { epoll, bell }) })
    }

    /// Ends the current or the next wait.
    pub(crate) fn wake(&self) {
        // It fails only when it has been rung more often than it can count, and then it is ready.
        let _ = rustix::io::write(&self.poller.bell, &1_u64.to_ne_bytes());
    }

    /// Waits for events, a wake-up or the time-out; returns how many events there are.
    pub(crate) fn wait(&self, ready: &mut Ready, timeout: Option<Duration>) -> io::Result<usize> {
        ready.0.clear();
        // A time that the kernel cannot count is no limit.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.poller.epoll, spare_capacity(&mut ready.0), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let count = ready.keys().count();
        if count < ready.0.len() {
            // It may be heard only once for many who rang it; each of them will find that it was.
            let _ = rustix::io::read(&self.poller.bell, &mut [0; 8]);
        }
        Ok(count)
    }

    /// Watches `socket` for reading under `key`.
    pub(crate) fn watch<S: AsFd>(&self, socket: S, key: usize) -> io::Result<Watched<S>> {
        epoll::add(&self.poller.epoll, &socket, data(key), epoll::EventFlags::IN)?;
        Ok(Watched { socket, poller: Arc::clone(&self.poller), key, reads: true, writes: false })
    }
}

impl Ready {
    pub(crate) fn new() -> Ready {
        Ready(Vec::with_capacity(EVENTS_MAX))
    }

    /// The keys of the ready sockets.
    pub(crate) fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|event| event.data.u64()).filter(|key| *key != BELL).map(|key| key as usize)
    }
}

impl<S: AsFd> Watched<S> {
    pub(crate) fn socket(&self) -> &S {
        &self.socket
    }

    /// What to be told about; a call that changes nothing costs nothing. Errors and hang-ups are always told.
    pub(crate) fn set_interest(&mut self, reads: bool, writes: bool) -> io::Result<()> {
        if (reads, writes) != (self.reads, self.writes) {
            let mut flags = epoll::EventFlags::empty();
            flags.set(epoll::EventFlags::IN, reads);
            flags.set(epoll::EventFlags::OUT, writes);
            epoll::modify(&self.poller.epoll, &self.socket, data(self.key), flags)?;
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

/// Lets the calling thread's waits end when they are due. By itself the kernel may let each of them last 50 microseconds
/// longer, to wake up less often, which would stand in every gap of a stream and every planned instant.
pub(crate) fn be_punctual() {
    // Where this is not allowed, waits are a little late.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

fn data(key: usize) -> epoll::EventData {
    epoll::EventData::new_u64(key as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_are_ready_for_what_was_asked() {
        let readiness = Readiness::new().unwrap();
        let mut ready = Ready::new();
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut far = readiness.watch(far, 7).unwrap();
        let none = Some(Duration::ZERO);
        assert_eq!(readiness.wait(&mut ready, none).unwrap(), 0);
        near.write_all(b"x").unwrap();
        for _ in 0..2 {
            assert_eq!(readiness.wait(&mut ready, None).unwrap(), 1, "by level");
            assert_eq!(ready.keys().collect::<Vec<_>>(), [7]);
        }
        far.set_interest(false, false).unwrap();
        assert_eq!(readiness.wait(&mut ready, none).unwrap(), 0);
        far.set_interest(false, true).unwrap();
        assert_eq!(readiness.wait(&mut ready, None).unwrap(), 1);
        drop(far);
        assert_eq!(readiness.wait(&mut ready, none).unwrap(), 0, "forgotten");
    }

    #[test]
    fn a_wait_is_ended_by_a_bell_that_is_heard_once() {
        let readiness = Readiness::new().unwrap();
        let mut ready = Ready::new();
        let other = readiness.clone();
        let thread = std::thread::spawn(move || (other.wake(), other.wake()));
        assert_eq!(readiness.wait(&mut ready, None).unwrap(), 0, "this would not end without it");
        thread.join().unwrap();
        // The second may have come after the first was heard.
        readiness.wait(&mut ready, Some(Duration::ZERO)).unwrap();
        let briefly = Some(Duration::from_millis(1));
        assert_eq!(readiness.wait(&mut ready, briefly).unwrap(), 0);
        assert!(ready.0.is_empty(), "it is silent again");
    }
}
