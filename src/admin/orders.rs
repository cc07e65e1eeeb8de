//! What operators change: credit given back, keys blocked, overrides. Each change is audited, and what has to
//! outlive the process goes to the store before it is done.

use super::accounts;
use super::answer::Answer;
use super::body::Fields;
use super::pages::Pages;
use crate::base::Moment;
use crate::config;
use crate::limit::{Measure, ReadyRule, Wanted};
use crate::mail::{CONTROLS_MAX, ControlChange, InForce, Kept};
use crate::telemetry::{Audit, Change};
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};

/// What a request with a body wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The account id of a key.
    Key,
    /// Give credit back to this account.
    Grant(u128),
    /// Refuse all its requests, or serve them again.
    Block(u128, bool),
    /// Allow it something else than its rule does.
    Override(u128),
    /// Allow it what its rule does.
    RemoveOverride(u128),
}

/// Said of members that are not known.
const KNOWN: &str = "known are reason, rule and key";

impl Pages {
    /// Does what `order` and `body` say, for a client that has shown the token.
    pub(super) fn carry_out(&self, order: Order, body: &[u8], peer: Option<SocketAddr>) -> Answer {
        let now = (self.now)();
        let done = Fields::parse(body).and_then(|fields| {
            // One change at a time: each is made of what the one before has left.
            let _alone = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let in_force = self.board.in_force();
            let clerk = Clerk { pages: self, in_force: &in_force, peer, now };
            match order {
                Order::Key => clerk.key(fields),
                Order::Grant(id) => clerk.grant(id, fields),
                Order::Block(id, blocked) => clerk.block(id, blocked, fields),
                Order::Override(id) => clerk.set_override(id, fields),
                Order::RemoveOverride(id) => clerk.remove_override(id, fields),
            }
        });
        done.unwrap_or_else(|refusal| refusal)
    }
}

/// Who carries out one order.
struct Clerk<'a> {
    pages: &'a Pages,
    in_force: &'a InForce,
    peer: Option<SocketAddr>,
    now: Moment,
}

/// The account that an order is about; it may not be open.
struct Subject<'a> {
    id: u128,
    place: u32,
    ready: &'a ReadyRule,
    label: String,
}

impl Clerk<'_> {
    /// `POST /keys`: where the account of a key is, whether or not it was ever seen. Nothing is stored.
    fn key(&self, mut fields: Fields) -> Result<Answer, Answer> {
        let (rule, key) = (fields.rule()?, fields.raw("key"));
        fields.end("known are rule and key")?;
        let rule = rule.ok_or_else(|| Answer::fault(400, "\"rule\" is missing: the name of a limit"))?;
        let (_, ready) = self.rule(&rule)?;
        let (digest, label) = match key {
            Some(key) => key_of(ready, &key)?,
            None if ready.rule.key.is_empty() => (0, String::new()),
            None => return Err(Answer::fault(400, "\"key\" is missing: the value of each part of the key")),
        };
        let id = ready.salt ^ digest;
        Ok(Answer::json(|object| {
            object.string("rule", &ready.rule.name).string("id", &format!("{id:032x}")).string("key", &label);
            object.bool("open", self.pages.board.accounts.get(id).is_some());
        }))
    }

    fn grant(&self, id: u128, mut fields: Fields) -> Result<Answer, Answer> {
        let (asked, reason) = (fields.amount("amount")?, fields.reason()?);
        let subject = self.subject(id, &mut fields)?;
        fields.end("known are amount, reason, rule and key")?;
        let accounts = &self.pages.board.accounts;
        if accounts.get(id).is_none() {
            return Err(Answer::fault(
                404,
                "the account is not open, so it is full: there is nothing to give back",
            ));
        }
        if matches!(subject.ready.rule.measure, Measure::Concurrent { .. }) {
            return Err(Answer::fault(
                409,
                "the limit counts requests under way: they come back when they end",
            ));
        }
        self.room_to_tell()?;
        let wanted =
            Wanted { rules: &self.in_force.rules, rule: subject.place, key: id ^ subject.ready.salt };
        let account = accounts.find(&wanted, &|| subject.label.clone(), self.now);
        let before = account.balance(self.now);
        let granted = account.forgive(asked, self.now);
        self.tell(&subject, Change::Grant { asked, balance: [before, account.balance(self.now)] }, reason);
        Ok(self.answer(&subject, |object| _ = object.integer("granted", granted)))
    }

    fn block(&self, id: u128, blocked: bool, mut fields: Fields) -> Result<Answer, Answer> {
        let (reason, subject) = (fields.reason()?, self.subject(id, &mut fields)?);
        fields.end(KNOWN)?;
        let before = self.decided(&subject);
        let change = Change::Block([before.blocked, blocked]);
        self.decide(&subject, &before, ControlChange { blocked, ..before.clone() }, change, reason)
    }

    fn set_override(&self, id: u128, mut fields: Fields) -> Result<Answer, Answer> {
        let (reason, subject) = (fields.reason()?, self.subject(id, &mut fields)?);
        let measure = config::other_measure(&subject.ready.rule, &fields.rest());
        self.replace_measure(&subject, Some(measure.map_err(|why| Answer::fault(400, &why))?), reason)
    }

    fn remove_override(&self, id: u128, mut fields: Fields) -> Result<Answer, Answer> {
        let (reason, subject) = (fields.reason()?, self.subject(id, &mut fields)?);
        fields.end(KNOWN)?;
        self.replace_measure(&subject, None, reason)
    }

    fn replace_measure(
        &self,
        subject: &Subject<'_>,
        measure: Option<Measure>,
        reason: String,
    ) -> Result<Answer, Answer> {
        let before = self.decided(subject);
        let after = ControlChange { measure, ..before.clone() };
        let words = |change: &ControlChange| change.allowance();
        let change = Change::Override([words(&before), words(&after)]);
        self.decide(subject, &before, after, change, reason)
    }

    // === parts ===

    /// The account of that id. One that was never seen has to be named by its rule and key as well, which shows
    /// that the id is meant.
    fn subject(&self, id: u128, fields: &mut Fields) -> Result<Subject<'_>, Answer> {
        let (named, key) = (fields.rule()?, fields.raw("key"));
        let accounts = &self.pages.board.accounts;
        let account = accounts.get(id);
        let known = account.as_ref().map(|account| account.terms().rule.clone());
        let known = known.or_else(|| accounts.control(id).terms.map(|terms| terms.rule.clone()));
        let is_seen = known.is_some();
        let rule: Arc<str> = match (known, named) {
            (Some(known), Some(named)) if *known != *named => {
                return Err(Answer::fault(409, &format!("this account belongs to the limit {known}")));
            }
            (Some(known), _) => known,
            (None, Some(named)) => named.into(),
            (None, None) => return Err(Answer::fault(404, UNSEEN)),
        };
        let (place, ready) = self.rule(&rule)?;
        let label = match key {
            Some(key) => {
                let (digest, label) = key_of(ready, &key)?;
                if ready.salt ^ digest != id {
                    let its = ready.salt ^ digest;
                    let why = format!("\"key\" has another account than that of the path: {its:032x}");
                    return Err(Answer::fault(400, &why));
                }
                label
            }
            None if !is_seen && id != ready.salt => return Err(Answer::fault(404, UNSEEN)),
            None => account.map(|account| account.label().to_owned()).unwrap_or_default(),
        };
        Ok(Subject { id, place, ready, label })
    }

    fn rule(&self, name: &str) -> Result<(u32, &ReadyRule), Answer> {
        let why = "no limit in force has this name; /state lists them";
        self.in_force.rules.named(name).ok_or_else(|| Answer::fault(404, why))
    }

    /// What is decided of an account so far.
    fn decided(&self, subject: &Subject<'_>) -> ControlChange {
        let control = self.pages.board.accounts.control(subject.id);
        // What was decided of a limit that counted something else is not in force.
        let is_its = |unit| unit == subject.ready.rule.unit;
        let terms = control.terms.filter(|terms| is_its(terms.unit));
        ControlChange {
            account: subject.id,
            rule: subject.ready.rule.name.clone(),
            unit: subject.ready.rule.unit,
            label: subject.label.clone(),
            blocked: control.blocked,
            measure: terms.map(|terms| terms.measure.clone()),
            by: self.pages.guard.name.clone(),
            unix_ms: self.now.unix_ms,
        }
    }

    /// Makes `after` of `before`: on its way to the disk first, then in force, then told.
    fn decide(
        &self,
        subject: &Subject<'_>,
        before: &ControlChange,
        after: ControlChange,
        change: Change,
        reason: String,
    ) -> Result<Answer, Answer> {
        let board = &self.pages.board;
        let is_new = *before != after;
        let mut kept = Kept::OnDisk;
        if is_new {
            self.room_to_tell()?;
            if board.accounts.controlled() >= CONTROLS_MAX && !before.is_to_keep() {
                let why =
                    format!("{CONTROLS_MAX} accounts are blocked or overridden already: unblock some first");
                return Err(Answer::fault(409, &why));
            }
            kept = board.keep(after.clone());
            if kept == Kept::Refused {
                return Err(Answer::fault(
                    503,
                    "too many changes wait to be written to disk; nothing was changed",
                ));
            }
        }
        after.follow(&self.in_force.rules, &board.accounts, self.now);
        if is_new {
            self.tell(subject, change, reason);
        }
        Ok(self.answer(subject, |object| {
            object.bool("changed", is_new);
            if is_new {
                object.bool("kept", kept == Kept::OnDisk);
            }
        }))
    }

    /// A change that nobody could hear of must not be made. Only who holds the lock adds to the queue.
    fn room_to_tell(&self) -> Result<(), Answer> {
        match self.pages.board.audit.is_full() {
            true => {
                Err(Answer::fault(503, "too many changes wait to be written to the log; nothing was changed"))
            }
            false => Ok(()),
        }
    }

    fn tell(&self, subject: &Subject<'_>, change: Change, reason: String) {
        let _ = self.pages.board.audit.push(Audit {
            time_unix_ms: u64::try_from(self.now.unix_ms).unwrap_or(0),
            peer: self.peer,
            token: self.pages.guard.name.clone(),
            rule: subject.ready.rule.name.clone(),
            account: subject.id,
            label: subject.label.clone(),
            change,
            reason,
        });
        self.pages.board.journal.wake();
    }

    /// How the account stands after the change, and what else there is to say.
    fn answer(
        &self,
        subject: &Subject<'_>,
        more: impl FnOnce(&mut crate::wire::json::write::Object<'_>),
    ) -> Answer {
        let board = &self.pages.board;
        let account = accounts::find(board, subject.id, Some(&subject.ready.rule.name), self.now);
        Answer::json(|object| {
            if let Some(account) = account {
                let control = board.accounts.control(subject.id);
                accounts::fill(&mut object.object("account"), &account, &control, self.now);
            }
            more(object);
        })
    }
}

/// Said of an id that nobody knows.
const UNSEEN: &str = "no account has this id; of a key that was not seen yet, say \"rule\" and \"key\" too, as in \
                      POST /keys";

fn key_of(ready: &ReadyRule, key: &str) -> Result<(u128, String), Answer> {
    config::key_of(&ready.rule, key).map_err(|why| Answer::fault(400, &why))
}
