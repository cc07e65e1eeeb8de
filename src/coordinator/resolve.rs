//! Names to addresses, on a thread of its own because the system's resolver blocks. Workers never resolve.

use crate::base::Tick;
use crate::mail::{Board, Resolved, ToWorker};
use crate::runtime::{MailSender, clock};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::time::Duration;

/// How old addresses get before they are looked up again.
const REFRESH: Duration = Duration::from_secs(30);

/// The running resolver. It ends with this handle.
pub(super) struct Resolver {
    work: SyncSender<()>,
    next: Tick,
}

impl Resolver {
    /// Starts, and asks for the first look-up.
    pub(super) fn start(board: Arc<Board>, mail: Vec<MailSender<ToWorker>>) -> io::Result<Resolver> {
        // One order may wait: what it finds is newest however often it was asked for.
        let (work, orders) = sync_channel::<()>(1);
        std::thread::Builder::new().name("resolver".to_owned()).spawn(move || {
            while orders.recv().is_ok() {
                resolve_all(&board, &mail);
            }
        })?;
        let resolver = Resolver { work, next: clock::now() + REFRESH };
        resolver.wake();
        Ok(resolver)
    }

    /// Asks for a look-up now.
    pub(super) fn wake(&self) {
        match self.work.try_send(()) {
            Ok(()) | Err(TrySendError::Full(())) => {}
            Err(TrySendError::Disconnected(())) => {
                eprintln!("the resolver has ended: addresses stay as they are")
            }
        }
    }

    /// Asks for a look-up when the last one is old.
    pub(super) fn tick(&mut self, board: &Board) {
        // Names that do not resolve yet are tried again soon.
        let missing =
            board.resolved().is_none_or(|resolved| resolved.addresses.iter().any(|list| list.is_empty()));
        if clock::now() >= self.next {
            self.next = clock::now() + if missing { Duration::from_secs(2) } else { REFRESH };
            self.wake();
        }
    }
}

/// Looks every target's name up. One that cannot be resolved now keeps the addresses it had.
fn resolve_all(board: &Board, mail: &[MailSender<ToWorker>]) {
    let in_force = board.in_force();
    let before = board.resolved().filter(|resolved| resolved.generation == in_force.generation);
    let look_up = |(index, target): (usize, &crate::config::Target)| -> Arc<[SocketAddr]> {
        match (target.host.as_str(), target.port).to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                let known = before.as_ref().and_then(|resolved| resolved.addresses.get(index)).cloned();
                if known.as_ref().is_none_or(|known| known.is_empty()) {
                    eprintln!("{} does not resolve: {error}", target.host);
                }
                known.unwrap_or_else(|| Arc::new([]))
            }
        }
    };
    let addresses = in_force.snapshot.targets.iter().enumerate().map(look_up).collect();
    let resolved = Arc::new(Resolved { generation: in_force.generation, addresses });
    board.set_resolved(resolved.clone());
    for mail in mail {
        mail.send(ToWorker::Resolved(resolved.clone())).ok();
    }
}
