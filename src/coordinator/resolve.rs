//! Names to addresses, on a thread of its own because the system's resolver blocks. Workers never resolve.

use super::tell;
use crate::base::Tick;
use crate::config::Target;
use crate::mail::{Board, InForce, Resolved, ToWorker};
use crate::runtime::{MailSender, clock};
use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How old addresses get before they are looked up again.
const REFRESH: Duration = Duration::from_secs(30);

/// How soon names that do not resolve are looked up again.
const RETRY: Duration = Duration::from_secs(2);

/// How long a new configuration waits for its addresses before it is served without them.
const NEW_MAX: Duration = Duration::from_secs(2);

/// A look-up that takes longer has what was found before it sent to the workers first.
const SLOW: Duration = Duration::from_millis(100);

/// The running resolver. It ends with this handle.
pub(super) struct Resolver {
    orders: SyncSender<Order>,
    next: Tick,
}

enum Order {
    /// Look up what is in force and tell everybody.
    Refresh,
    /// Look up what is to be in force, and tell who asked.
    LookUp(Arc<InForce>, SyncSender<Arc<Resolved>>),
}

impl Resolver {
    /// Starts its thread.
    pub(super) fn start(board: Arc<Board>, mail: Vec<MailSender<ToWorker>>) -> io::Result<Resolver> {
        // Few may wait: what an order finds is newest however often it was given.
        let (orders, inbox) = sync_channel(2);
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            Names { board, mail, known: HashMap::new(), failing: HashSet::new() }.run(&inbox);
        })?;
        Ok(Resolver { orders, next: clock::now() + REFRESH })
    }

    /// The addresses of a configuration that is not in force yet; `None` when they do not come soon. A name
    /// that does not resolve keeps nobody waiting.
    pub(super) fn look_up(&self, in_force: &Arc<InForce>) -> Option<Arc<Resolved>> {
        let (reply, answer) = sync_channel(1);
        self.orders.try_send(Order::LookUp(in_force.clone(), reply)).ok()?;
        answer.recv_timeout(NEW_MAX).ok()
    }

    /// Asks for a look-up now.
    pub(super) fn wake(&self) {
        match self.orders.try_send(Order::Refresh) {
            Ok(()) | Err(TrySendError::Full(_)) => {}
            Err(TrySendError::Disconnected(_)) => tell("the resolver has ended: addresses stay as they are"),
        }
    }

    /// Asks for a look-up when the last one is old, or when a name does not resolve yet.
    pub(super) fn tick(&mut self, board: &Board) {
        let missing = |resolved: Arc<Resolved>| resolved.addresses.iter().any(|list| list.is_empty());
        let now = clock::now();
        if board.resolved().is_none_or(missing) {
            self.next = self.next.min(now + RETRY);
        }
        if now >= self.next {
            self.next = now + REFRESH;
            self.wake();
        }
    }
}

/// What the thread knows.
struct Names {
    board: Arc<Board>,
    mail: Vec<MailSender<ToWorker>>,
    /// The addresses of every target in force; those of a name that stops resolving stay.
    known: HashMap<Target, Arc<[SocketAddr]>>,
    /// Names whose last look-up failed, so that each failure is told once.
    failing: HashSet<String>,
}

impl Names {
    fn run(&mut self, orders: &Receiver<Order>) {
        while let Ok(order) = orders.recv() {
            match order {
                Order::Refresh => {
                    let in_force = self.board.in_force();
                    self.look_up_all(&in_force, |names| names.publish(&in_force));
                    self.publish(&in_force);
                }
                Order::LookUp(in_force, reply) => {
                    self.look_up_all(&in_force, |_| {});
                    reply.try_send(Arc::new(self.resolved(&in_force))).ok();
                }
            }
        }
    }

    /// Looks every target's name up, those that fail last; says when one was slow.
    fn look_up_all(&mut self, in_force: &InForce, slow: impl Fn(&Names)) {
        let targets = &in_force.snapshot.targets;
        self.known.retain(|target, _| targets.contains(target));
        self.failing.retain(|name| targets.iter().any(|target| target.host == *name));
        let mut order: Vec<&Target> = targets.iter().collect();
        order.sort_by_key(|target| self.failing.contains(&target.host));
        for target in order {
            let started = clock::now();
            self.look_up(target);
            if clock::now().since(started) > SLOW {
                slow(self);
            }
        }
    }

    fn look_up(&mut self, target: &Target) {
        let host = &target.host;
        match (host.as_str(), target.port).to_socket_addrs() {
            Ok(found) => {
                self.known.insert(target.clone(), found.collect());
                if self.failing.remove(host) {
                    tell(&format!("{host} resolves again"));
                }
            }
            Err(error) => {
                if self.failing.insert(host.clone()) {
                    let then = match self.known.contains_key(target) {
                        true => "its last addresses stay in use",
                        false => "requests that need it are answered 503 until it does",
                    };
                    tell(&format!("{host} does not resolve ({error}): {then}"));
                }
            }
        }
    }

    fn resolved(&self, in_force: &InForce) -> Resolved {
        let nowhere: Arc<[SocketAddr]> = Arc::new([]);
        let targets = in_force.snapshot.targets.iter();
        let addresses = targets.map(|target| self.known.get(target).unwrap_or(&nowhere).clone()).collect();
        Resolved { generation: in_force.generation, addresses }
    }

    fn publish(&self, in_force: &InForce) {
        super::publish(&self.board, &self.mail, Arc::new(self.resolved(in_force)));
    }
}
