//! One worker thread: glommio places it and runs its tasks, the pump drives its ring.
//!
//! The pump is a task like any other. It lets all runnable tasks run, then submits what they queued and waits
//! for completions in one system call. It never parks in glommio while the worker lives: waiting on the ring
//! itself saves the four further calls of a park. Why, with figures: ARCHITECTURE.md, "The runtime".

use super::ring::{Ring, RingConfig};
use glommio::{LocalExecutorBuilder, Placement};
use std::any::Any;
use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long the pump waits at most, however far the next deadline is: a pulse is heard after that time.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Rounds of tasks waking tasks after which the ring is served in any case.
const ROUNDS_MAX: u32 = 16;

/// Registered memory per glommio ring. Files are not read on workers, so the least that glommio accepts.
const GLOMMIO_IO_MEMORY: usize = 64 << 10;

thread_local! {
    /// Polls of tasks spawned on this worker: when one round adds none, nothing was runnable.
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static STOP: Cell<bool> = const { Cell::new(false) };
}

/// A running worker thread.
pub struct WorkerThread {
    handle: glommio::ExecutorJoinHandle<io::Result<()>>,
    pulse: Pulse,
}

/// Wakes a worker's executor from outside, so that one that parked although tasks were runnable goes on.
///
/// glommio (all releases up to the pinned one) can park with runnable tasks when it is preempted between
/// arming its timer and running the first task. A regular pulse turns that hang into a short pause.
#[derive(Clone, Default)]
pub struct Pulse {
    waker: Arc<Mutex<Option<Waker>>>,
}

impl Pulse {
    /// Wakes the worker. Cheap, from any thread.
    pub fn beat(&self) {
        let waker = self.waker.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn listen(self) {
        poll_fn(|cx| {
            *self.waker.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = Some(cx.waker().clone());
            Poll::<()>::Pending
        })
        .await;
    }
}

/// Starts a worker thread named `name`, on core `cpu` if given, that runs `main` until [`stop`] is called.
///
/// # Errors
/// When the thread or glommio's rings cannot be made. A failing private ring ends the thread with its error,
/// which [`WorkerThread::join`] returns.
pub fn start<F, M>(name: &str, cpu: Option<usize>, config: RingConfig, main: M) -> io::Result<WorkerThread>
where
    F: Future<Output = ()> + 'static,
    M: FnOnce(Rc<Ring>) -> F + Send + 'static,
{
    let pulse = Pulse::default();
    let listener = pulse.clone();
    let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
    let handle = LocalExecutorBuilder::new(placement)
        .name(name)
        .io_memory(GLOMMIO_IO_MEMORY)
        .ring_depth(32)
        .spawn(move || async move {
            let ring = Ring::open(&config)?;
            glommio::spawn_local(listener.listen()).detach();
            spawn(main(ring.clone()), |_| {});
            pump(&ring).await
        })
        .map_err(|error| io::Error::other(error.to_string()))?;
    Ok(WorkerThread { handle, pulse })
}

impl WorkerThread {
    /// What the watchdog beats.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Waits for the thread to end.
    pub fn join(self) -> io::Result<()> {
        self.handle.join().map_err(|error| io::Error::other(error.to_string()))?
    }
}

/// Spawns a task on the present worker. A panic in it is caught, the task's values are dropped, and
/// `on_panic` is told; no other task notices.
pub fn spawn(task: impl Future<Output = ()> + 'static, on_panic: impl FnOnce(Box<dyn Any + Send>) + 'static) {
    // In a box, as a future that is moved into another one and pinned there takes its room twice.
    let mut task = Box::pin(task);
    glommio::spawn_local(async move {
        let outcome = {
            poll_fn(|cx| {
                POLLS.set(POLLS.get() + 1);
                match catch_unwind(AssertUnwindSafe(|| task.as_mut().poll(cx))) {
                    Ok(poll) => poll.map(|()| Ok(())),
                    Err(panic) => Poll::Ready(Err(panic)),
                }
            })
            .await
        };
        if let Err(panic) = outcome {
            on_panic(panic);
        }
    })
    .detach();
}

/// Lets the other tasks of the present worker have their turn: for one that has much to do and nothing to wait for.
pub async fn yield_now() {
    let mut yielded = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Ends the present worker after this turn: its tasks are dropped.
pub fn stop() {
    STOP.set(true);
}

async fn pump(ring: &Rc<Ring>) -> io::Result<()> {
    while !STOP.get() {
        let mut rounds = 0;
        let mut seen;
        loop {
            seen = POLLS.get();
            glommio::executor().yield_now().await;
            rounds += 1;
            if POLLS.get() == seen || rounds == ROUNDS_MAX {
                break;
            }
        }
        let all_rest = POLLS.get() == seen;
        let rests = all_rest && !STOP.get();
        ring.turn(if rests { ring.next_deadline().min(WAIT_MAX) } else { Duration::ZERO })?;
    }
    Ok(())
}
