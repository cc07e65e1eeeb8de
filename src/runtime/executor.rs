//! One worker thread: glommio places it and runs its tasks, the pump drives its ring.
//!
//! The pump is a task like any other. It lets all runnable tasks run, then submits what they queued and waits
//! for completions in one system call. It never parks in glommio while the worker lives: waiting on the ring
//! itself saves the four further calls of a park. Why, with figures: ARCHITECTURE.md, "The runtime".

use super::clock;
use super::ring::{Ring, RingConfig};
use glommio::{LocalExecutorBuilder, Placement};
use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How long the pump waits at most, however far the next deadline is: a pulse is heard after that time.
const WAIT_MAX: Duration = Duration::from_secs(1);

/// Rounds of tasks waking tasks after which the ring is served in any case.
const ROUNDS_MAX: u32 = 16;

/// Registered memory per glommio ring. Files are not read on workers, so the least that glommio accepts.
const GLOMMIO_IO_MEMORY: usize = 64 << 10;

/// How long a worker that fails goes on, so that what is under way on it can end.
const LAST_MAX: Duration = Duration::from_secs(2);

/// Turns of its ring after that: what was dropped is cancelled in one, and closed in the next.
const TURNS_AFTER: u32 = 5;

/// What a worker does when it fails: called again and again, until it says that all is done.
type LastRites = Box<dyn Fn() -> bool>;

thread_local! {
    /// Polls of tasks spawned on this worker: when one round adds none, nothing was runnable.
    static POLLS: Cell<u64> = const { Cell::new(0) };
    static STOP: Cell<bool> = const { Cell::new(false) };
    /// Why this worker cannot go on.
    static FAILED: RefCell<Option<String>> = const { RefCell::new(None) };
    static LAST_RITES: RefCell<Option<LastRites>> = const { RefCell::new(None) };
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
    ended: Arc<AtomicBool>,
}

/// Says, however a worker's thread ends, that it has.
struct Ended(Arc<AtomicBool>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

impl Pulse {
    /// Wakes the worker. Cheap, from any thread.
    pub fn beat(&self) {
        let waker = self.waker.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether the worker has ended, by order or by a fault.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
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
/// When the thread or glommio's rings cannot be made. A failing private ring, a panic in `main` and [`fail`] end the
/// thread with an error, which [`WorkerThread::join`] returns; [`Pulse::has_ended`] tells that there is one.
pub fn start<F, M>(name: &str, cpu: Option<usize>, config: RingConfig, main: M) -> io::Result<WorkerThread>
where
    F: Future<Output = ()> + 'static,
    M: FnOnce(Rc<Ring>) -> F + Send + 'static,
{
    let pulse = Pulse::default();
    let (listener, ended) = (pulse.clone(), Ended(pulse.ended.clone()));
    let placement = cpu.map_or(Placement::Unbound, Placement::Fixed);
    let handle = LocalExecutorBuilder::new(placement)
        .name(name)
        .io_memory(GLOMMIO_IO_MEMORY)
        .ring_depth(32)
        .spawn(move || async move {
            let _ended = ended;
            let ring = Ring::open(&config)?;
            glommio::spawn_local(listener.listen()).detach();
            spawn_vital("its main task", main(ring.clone()));
            let mut pump = Box::pin(pump(&ring));
            let pumped = poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| pump.as_mut().poll(cx))) {
                Ok(poll) => poll.map_err(|error| format!("its io_uring: {error}")),
                Err(_) => Poll::Ready(Err("its loop panicked".to_owned())),
            });
            let why = pumped.await.err().or_else(|| FAILED.take());
            drop(pump);
            let Some(why) = why else {
                drop(LAST_RITES.take());
                return Ok(());
            };
            end_well(&ring).await;
            Err(io::Error::other(why))
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

/// Spawns a task without which the present worker is none: a panic in it is the worker's end, as by [`fail`].
pub fn spawn_vital(name: &'static str, task: impl Future<Output = ()> + 'static) {
    spawn(task, move |_| fail(format!("{name} panicked")));
}

/// Ends the present worker after this turn, because it cannot go on: its tasks are brought to their ends, then the
/// thread ends with this error.
pub fn fail(why: String) {
    FAILED.with_borrow_mut(|failed| failed.get_or_insert(why).len());
}

/// What the present worker does first when it fails. It is called once in each turn, at most for two seconds, until it
/// says that nothing is under way any more.
pub fn at_failure(last_rites: impl Fn() -> bool + 'static) {
    LAST_RITES.set(Some(Box::new(last_rites)));
}

/// Lets the tasks of a worker that has failed come to their ends. Its ring may not serve any more.
async fn end_well(ring: &Rc<Ring>) {
    let Some(all_ended) = LAST_RITES.take() else { return };
    let until = clock::now() + LAST_MAX;
    let mut turns_after = 0;
    // Descriptors may stay open as long as the process lives, if the ring that would close them is not served any more.
    all_ended();
    ring.shut();
    while turns_after < TURNS_AFTER && clock::now() < until {
        turns_after += u32::from(all_ended());
        ring.nudge();
        for _ in 0..ROUNDS_MAX {
            glommio::executor().yield_now().await;
        }
        let turned = catch_unwind(AssertUnwindSafe(|| ring.turn(Duration::from_millis(1))));
        if !matches!(turned, Ok(Ok(()))) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
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
    while !STOP.get() && FAILED.with_borrow(Option::is_none) {
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
