//! What the keeper does in a process that another one has replaced: its disk is the other process.
//!
//! Accounts are closed, each with an exact figure for the store, and reservations are settled in others in their place
//! that have no credit of their own (`limit::Account::send_away`). What an exchange wants is asked of the other process,
//! what was used is told to it, and so nothing is spent twice and nothing is forgotten.

use super::{Entry, Keeping, balance_of, identity_of};
use crate::base::{Moment, Tick};
use crate::coordinator::handover::{Link, Message, Named};
use crate::coordinator::{tell, tell_all};
use crate::limit::{Account, Measure, Unit};
use crate::mail::ToWorker;
use crate::runtime::clock;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// How often what was used is told.
pub(super) const ROUND: Duration = Duration::from_millis(20);

/// How long what was lent and is not spent is kept.
const LOAN: Duration = Duration::from_secs(1);

/// How often a loan that was refused is asked for again: until it is lent, the account refuses by itself.
const AGAIN: Duration = Duration::from_millis(200);

/// What is known of accounts that the other process keeps.
pub(super) struct Away {
    /// `None` when the other process is gone.
    link: Option<Link>,
    accounts: HashMap<u128, Told>,
}

/// What the other process has heard of an account.
struct Told {
    /// Units that count as used there on behalf of this process.
    held: u64,
    /// When something was lent last.
    lent: Tick,
    /// A loan that was refused, and when.
    refused: Option<(u64, Tick)>,
}

impl Told {
    fn of(held: u64, now: Tick) -> Told {
        Told { held, lent: now, refused: None }
    }
}

fn named(account: &Account) -> Named {
    Named {
        account: format!("{:032x}", account.id()),
        rule: account.terms().rule.to_string(),
        unit: account.terms().unit.name().to_owned(),
        label: account.label().to_owned(),
    }
}

impl Keeping {
    /// Closes all accounts, writes them down, frees the store, and waits until the other process keeps them. `store` is
    /// where that one keeps balances.
    pub(super) fn hand_over(&mut self, mut link: Link, store: Option<String>) -> Result<(), String> {
        self.note_decisions();
        self.grant();
        let (now, board) = (clock::moment(), self.board.clone());
        let (mut accounts, mut closed) = (HashMap::new(), Vec::new());
        board.accounts.send_away(now, |account, next, used| {
            accounts.insert(next.id(), Told::of(used, now.tick));
            self.note_closed(account, used, now);
            closed.push((next.clone(), used));
        });
        if let Some(store) = &mut self.store {
            store.append(&[Entry::Clean { unix_ms: now.unix_ms }]);
            self.dirty = true;
        }
        self.commit();
        let is_written = self.store.take().is_some_and(|store| store.is_healthy());
        let is_shared = is_written && store.is_some() && store == self.place.as_deref().and_then(identity_of);
        let told = |error: io::Error| format!("it did not take the accounts: {error}");
        for (account, used) in &closed {
            if *used > 0 && (!is_shared || account.terms().unit == Unit::Concurrency) {
                link.send(&Message::Used(named(account), *used)).map_err(told)?;
            }
        }
        link.send(&Message::Released { pid: std::process::id() }).map_err(told)?;
        match link.receive().map_err(told)? {
            Message::Serving => link.send(&Message::Yours).map_err(told)?,
            _ => return Err("it spoke out of turn".to_owned()),
        }
        self.away = Some(Away { link: Some(link), accounts });
        Ok(())
    }

    /// Writes down how an account stood that was just closed.
    fn note_closed(&mut self, account: &Account, used: u64, now: Moment) {
        if account.terms().unit == Unit::Concurrency {
            return;
        }
        match account.terms().measure {
            Measure::Sliding { .. } => self.append_slots(account, account.slot_of_rest(used, now), now),
            _ => self.append(account, &[balance_of(account, used, now)]),
        }
    }

    /// Keeps the accounts here again: nobody took them.
    pub(super) fn come_back(&mut self) {
        let board = self.board.clone();
        self.reopen();
        board.accounts.come_back(&board.in_force().rules, clock::moment());
        tell_all(&board, &self.mail, ToWorker::Granted);
    }

    /// Lends what is asked for, and tells what was used.
    pub(super) fn round(&mut self, at_end: bool) {
        let Some(mut away) = self.away.take() else { return };
        let mut outcome = self.borrow(&mut away);
        if outcome.is_ok() {
            outcome = self.tell_used(&mut away, at_end);
        }
        if let (Ok(()), true, Some(link)) = (&outcome, at_end, &away.link) {
            outcome = link.send(&Message::End);
        }
        if let Err(error) = outcome {
            away.link = None;
            tell(&format!(
                "the process that serves now does not answer ({error}): what is used here is not counted"
            ));
        }
        self.away = Some(away);
    }

    /// Asks for what exchanges want; who waits for it may look again.
    fn borrow(&mut self, away: &mut Away) -> io::Result<()> {
        let (mut any, mut outcome) = (false, Ok(()));
        while let Some(ask) = self.board.asks.pop() {
            let account = ask.account.newest();
            if ask.amount > 0 && account.is_away() {
                any = true;
                // After a fault the others are refused at once: there is no link any more.
                outcome = outcome.and(away.ask(account, ask.amount, clock::now()));
            }
        }
        if any {
            tell_all(&self.board, &self.mail, ToWorker::Granted);
        }
        outcome
    }

    fn tell_used(&mut self, away: &mut Away, at_end: bool) -> io::Result<()> {
        let now = clock::now();
        let mut outcome = Ok(());
        self.board.accounts.for_each(|account| {
            if outcome.is_err() || !account.is_away() {
                return;
            }
            outcome = away.tell(account, now, at_end);
        });
        outcome
    }
}

/// Whether what is asked for is lent. After a fault there is no link any more: an answer that comes late would be taken
/// for that to another question, and each question would be waited for as long.
fn ask_over(link: &mut Option<Link>, ask: &Message) -> io::Result<bool> {
    let Some(open) = link else { return Ok(false) };
    let answer = open.send(ask).and_then(|()| match open.receive()? {
        Message::Lent(lent) => Ok(lent),
        _ => Err(io::Error::other("it spoke out of turn")),
    });
    if answer.is_err() {
        *link = None;
    }
    answer
}

impl Away {
    /// Asks for a loan; the account has it then, or refuses.
    fn ask(&mut self, account: &Arc<Account>, amount: u64, now: Tick) -> io::Result<()> {
        let told = self.accounts.entry(account.id()).or_insert_with(|| Told::of(0, now));
        let lent = ask_over(&mut self.link, &Message::Ask(named(account), amount));
        if matches!(lent, Ok(true)) {
            account.borrow(amount);
            told.held = told.held.saturating_add(amount);
            (told.lent, told.refused) = (now, None);
        } else {
            account.set_refused(true);
            told.refused = Some((amount, now));
        }
        lent.map(drop)
    }

    fn tell(&mut self, account: &Arc<Account>, now: Tick, at_end: bool) -> io::Result<()> {
        let told = self.accounts.entry(account.id()).or_insert_with(|| Told::of(0, now));
        if let Some((amount, _)) = told.refused.filter(|(_, at)| now.since(*at) > AGAIN && !at_end) {
            return self.ask(account, amount, now);
        }
        if at_end {
            account.stop_borrowing(); // no worker is there any more
        }
        let held = account.held();
        // What is spent at this very moment is seen in the next round: until then it counts as lent.
        if account.is_borrowing() && now.since(told.lent) > LOAN {
            account.stop_borrowing();
        }
        let change = i128::from(held) - i128::from(told.held);
        let Some(link) = self.link.as_ref().filter(|_| change != 0) else { return Ok(()) };
        let change = i64::try_from(change).unwrap_or(i64::MAX);
        link.send(&Message::Change(named(account), change))?;
        told.held = held;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixStream;

    #[test]
    fn a_process_that_did_not_answer_in_time_is_asked_nothing_more() {
        let (one, other) = UnixStream::pair().expect("a pair");
        let (one, other) = (Link::new(one).expect("a link"), Link::new(other).expect("a link"));
        one.patience(Some(Duration::from_millis(1))).expect("a time-out");
        let ask = |amount| {
            let text = || String::from("a");
            Message::Ask(Named { account: text(), rule: text(), unit: text(), label: text() }, amount)
        };
        let mut link = Some(one);
        assert!(ask_over(&mut link, &ask(1)).is_err() && link.is_none());
        let _ = other.send(&Message::Lent(true)); // too late
        assert!(!ask_over(&mut link, &ask(2)).expect("refused at once"));
    }
}
