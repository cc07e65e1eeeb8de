//! The new process's side of a hand-over.

use super::{ANSWER_MAX, Link, Message, Named, READY_MAX};
use crate::coordinator::{keeper, tell};
use crate::limit::{Account, Taking, Unit, Wanted};
use crate::mail::Board;
use crate::runtime::clock;
use crate::runtime::inherit::Inherited;
use std::collections::HashMap;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// How long the old process waits at most for a loan that must be on disk first.
const GRANT_MAX: Duration = Duration::from_secs(2);

/// Accounts that are written down at a time: far fewer than may wait for the store.
const ASKED_MAX: usize = 1024;

/// A process that this one is about to replace.
pub struct Takeover {
    link: Link,
    /// Its sockets, each with the name of its listener.
    pub sockets: Vec<Inherited>,
    /// That of its admin endpoint, with its address in that process's configuration.
    pub admin: Option<Inherited>,
}

impl Takeover {
    /// Asks the process at `path` for its sockets. It goes on serving until this one is ready. `store` is where this one
    /// will keep balances.
    ///
    /// # Errors
    /// A sentence for the operator: nobody is there, or this one may not take over.
    pub fn ask(path: &Path, version: &str, store: Option<&str>) -> Result<Takeover, String> {
        let told = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => format!(
                "--takeover: no process offers its place at {}: start without --takeover, or write the path that the \
                 running one has as upgrade.socket",
                path.display()
            ),
            _ => format!("--takeover: {}: {error}", path.display()),
        };
        let stream = UnixStream::connect(path).map_err(told)?;
        let mut link = Link::new(stream).map_err(told)?;
        let (version, pid) = (version.to_owned(), std::process::id());
        link.send(&Message::Hello { version, pid, store: store.and_then(keeper::identity_of) })
            .map_err(told)?;
        link.patience(Some(READY_MAX)).map_err(told)?; // it may be busy with another one
        let (mut sockets, mut admin) = (Vec::new(), None);
        loop {
            match link.receive().map_err(told)? {
                Message::Refused(why) => return Err(format!("--takeover: {why}")),
                Message::Sockets { names, admin: is_admin, last } => {
                    let fds = link.take_fds(names.len()).ok_or("--takeover: sockets are missing")?;
                    for (name, fd) in names.into_iter().zip(fds) {
                        match is_admin {
                            // The other process waits on it, and whether it blocks is so for both.
                            true => admin = Some(Inherited::as_it_is(name, fd).map_err(told)?),
                            false => sockets.push(Inherited::of(name, fd).map_err(told)?),
                        }
                    }
                    if last {
                        return Ok(Takeover { link, sockets, admin });
                    }
                }
                _ => return Err("--takeover: the other process spoke out of turn".to_owned()),
            }
        }
    }

    /// Says that this process is ready, and waits until the other takes no connections any more and its store is free.
    pub(in crate::coordinator) fn release(mut self) -> Result<Released, String> {
        let told = |error: io::Error| format!("the process that is to be replaced: {error}");
        self.link.send(&Message::Ready).map_err(told)?;
        self.link.patience(Some(ANSWER_MAX)).map_err(told)?;
        let mut used = Vec::new();
        loop {
            match self.link.receive().map_err(told)? {
                Message::Used(named, units) => used.push((named, units)),
                Message::Released { pid } => return Ok(Released { link: self.link, used, pid }),
                _ => return Err("the process that is to be replaced spoke out of turn".to_owned()),
            }
        }
    }
}

/// What a process has given up.
pub(in crate::coordinator) struct Released {
    link: Link,
    used: Vec<(Named, u64)>,
    pid: u32,
}

impl Released {
    /// Takes on what was used of accounts that no store keeps, says that this process serves, and starts a thread that
    /// lends to the other one, and hears of it, until its end; `inherits` is true for so long.
    pub(in crate::coordinator) fn serve(
        self,
        board: &Arc<Board>,
        inherits: &Arc<AtomicBool>,
    ) -> Result<(), String> {
        let told = |error: io::Error| format!("the process that is to be replaced: {error}");
        let mut heir =
            Heir { board: board.clone(), link: self.link, pid: self.pid, under_way: HashMap::new() };
        let begun = self.used.iter().filter_map(|(named, units)| heir.begin(named, *units)).collect();
        heir.have_written(begun);
        inherits.store(true, Ordering::Release);
        let theirs = inherits.clone();
        let (go, gone) = sync_channel::<Heir>(1);
        let thread = std::thread::Builder::new().name("heir".to_owned());
        let thread = thread.spawn(move || {
            if let Ok(mut heir) = gone.recv() {
                heir.run();
            }
            theirs.store(false, Ordering::Release);
        });
        drop(thread.map_err(told)?);
        // The last thing that can fail: the other process takes nothing back once it has agreed, and goes on serving if
        // this one does not hear of it.
        heir.link.send(&Message::Serving).map_err(told)?;
        match heir.link.receive().map_err(told)? {
            Message::Yours => {}
            _ => return Err("the process that is to be replaced spoke out of turn".to_owned()),
        }
        heir.link.patience(None).map_err(told)?;
        go.send(heir).map_err(|_| "no thread for the accounts of the process before".to_owned())
    }
}

/// Keeps accounts for the process before this one, too, until its end.
struct Heir {
    board: Arc<Board>,
    link: Link,
    pid: u32,
    /// Of limits on what is under way: how much of it is there, by account.
    under_way: HashMap<u128, (Arc<Account>, i64)>,
}

impl Heir {
    fn run(&mut self) {
        match self.listen() {
            Ok(()) => tell(&format!("process {} has ended all it had under way", self.pid)),
            // What it had reserved stays spent, as after a crash.
            Err(error) => tell(&format!(
                "process {} ended before it said what its last exchanges used ({error})",
                self.pid
            )),
        }
        // It is gone, and with it what it had under way.
        let now = clock::moment();
        for (_, (account, units)) in self.under_way.drain() {
            // Of one that is forgotten nothing is under way.
            let _ = account.adjust(u64::try_from(units).unwrap_or(0), 0, now);
        }
    }

    /// Does what the other process says, until it says that it ends.
    fn listen(&mut self) -> io::Result<()> {
        loop {
            match self.link.receive()? {
                Message::Ask(named, amount) => {
                    let lent = self.lend(&named, amount);
                    self.link.send(&Message::Lent(lent))?;
                }
                Message::Change(named, change) => self.change(&named, change),
                Message::End => return Ok(()),
                _ => return Err(io::Error::other("it spoke out of turn")),
            }
        }
    }

    /// The account of that name; `None` where this process has no such limit.
    fn account(&self, named: &Named) -> Option<Arc<Account>> {
        let id = u128::from_str_radix(&named.account, 16).ok()?;
        let rules = &self.board.in_force().rules;
        let (rule, ready) = rules.named(&named.rule).filter(|(_, it)| it.rule.unit.name() == named.unit)?;
        let wanted = Wanted { rules, rule, key: id ^ ready.salt };
        Some(self.board.accounts.find(&wanted, &|| named.label.clone(), clock::moment()))
    }

    /// Takes on what is used of an account, as far as the store has not said so. The account, where there is one.
    fn begin(&mut self, named: &Named, units: u64) -> Option<Arc<Account>> {
        loop {
            let account = self.account(named)?;
            let now = clock::moment();
            let known = account.used(now);
            if units <= known || account.adjust(known, units, now) {
                self.note(&account, i64::try_from(units).unwrap_or(i64::MAX));
                return Some(account);
            }
        }
    }

    /// Has the store write down how accounts stand that it did not know of, before anybody is served; but does not wait for a
    /// disk that takes nothing. Who asks no more of them would otherwise have spent nothing after a crash.
    fn have_written(&self, mut accounts: Vec<Arc<Account>>) {
        let until = clock::now() + GRANT_MAX;
        accounts.retain(|account| account.is_durable());
        for some in accounts.chunks(ASKED_MAX) {
            self.board.ask(some.iter().filter(|account| account.ask()).map(|account| (account.clone(), 0)));
            while some.iter().any(|account| account.is_asked()) && clock::now() < until {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn lend(&mut self, named: &Named, amount: u64) -> bool {
        let until = clock::now() + GRANT_MAX;
        loop {
            // Where there is no such limit any more nothing is refused.
            let Some(account) = self.account(named) else { return true };
            match account.lend(amount, clock::moment()) {
                Taking::Took { amount, .. } => {
                    self.note(&account, i64::try_from(amount).unwrap_or(i64::MAX));
                    return true;
                }
                Taking::Ungranted if clock::now() < until => {
                    account.ask();
                    self.board.ask(std::iter::once((account, amount)));
                    std::thread::sleep(Duration::from_millis(1));
                }
                Taking::Closed if clock::now() < until => {}
                Taking::Ungranted | Taking::Closed | Taking::Short | Taking::Blocked => return false,
            }
        }
    }

    fn change(&mut self, named: &Named, change: i64) {
        let (less, more) = (change.min(0).unsigned_abs(), change.max(0).unsigned_abs());
        // One that is forgotten between hears of nothing, and is looked up again.
        while let Some(account) = self.account(named) {
            if account.adjust(less, more, clock::moment()) {
                return self.note(&account, change);
            }
        }
    }

    fn note(&mut self, account: &Arc<Account>, change: i64) {
        if account.terms().unit == Unit::Concurrency {
            let (_, units) = self.under_way.entry(account.id()).or_insert_with(|| (account.clone(), 0));
            *units = units.saturating_add(change);
        }
    }
}
