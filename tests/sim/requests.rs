//! What clients do: ask, wait and ask again, stream, end, vanish. Each is judged by the oracle.

use super::draw::{self, Client, TOKENS_MAX};
use super::mutants::Mutant;
use super::oracle::Naive;
use super::world::{Check, HOLD, Hold, Open, World};
use std::time::Duration;
use tollgate::base::{Moment, Money};
use tollgate::limit::{Denied, Measure, MissingKey, Mode, Note, Refused, Spend, Ticket, Unit};

/// One limit that applies to a request.
struct Ask {
    rule: u32,
    id: u128,
    unit: Unit,
    amount: u64,
    enforced: bool,
}

/// A request that can be made again.
pub(crate) struct Wish {
    client: Client,
    limits: Vec<u32>,
    spend: Spend,
}

impl World {
    /// A client asks; if it is refused it may wait as it was told, and ask again just before and just then.
    pub(crate) fn request(&mut self) -> Check {
        let worker = self.turn();
        let set = self.workers[worker].set.clone();
        let client = Client::draw(&mut self.dice);
        let mut limits: Vec<u32> = (0..set.rules.len() as u32).collect();
        limits.retain(|_| self.dice.percent(75));
        let spend = draw::spend(&mut self.dice, &self.rules);
        let wish = Wish { client, limits, spend };
        let Some(wait) = self.ask(worker, &wish)? else { return Ok(()) };
        // A worker that has not seen yet that somebody set the clock says how long it would have been.
        let (now, seen) = (self.now(), self.workers[worker].now);
        let passed = now.tick.since(seen.tick).as_millis() as i64;
        let is_skewed = !(0..=1).contains(&(now.unix_ms - seen.unix_ms - passed));
        if is_skewed {
            return Ok(());
        }
        if wait < Duration::from_secs(3 * 86_400) && self.dice.percent(60) {
            self.retry(worker, &wish, wait)?;
        }
        Ok(())
    }

    /// A small request on every limit that has room for one.
    pub(crate) fn serve_all(&mut self) -> Check {
        let spend = Spend { input: 1, cost: Money(1), ..Spend::default() };
        let wish = Wish { client: Client(Some(1)), limits: self.roomy(), spend };
        let now = self.now();
        self.workers[0].now = now;
        self.ask(0, &wish).map(|_| ())
    }

    /// Asks once. What the client is told to wait, if it is refused by limits that come back with time.
    fn ask(&mut self, worker: usize, wish: &Wish) -> Result<Option<Duration>, String> {
        let Wish { client, limits, spend } = wish;
        let (set, now) = (self.workers[worker].set.clone(), self.workers[worker].now);
        let mut notes = Vec::new();
        let note = |rule, note| notes.push((rule, note));
        let limits = limits.iter().copied();
        let told = self.told(now);
        let book = &mut self.workers[worker].book;
        let mut outcome = book.reserve(&set, limits, client, spend, told, note);
        let said = match &outcome {
            Err(Denied::Refused(refused)) => {
                format!("rule {} refuses, {} left, wait {:?}", refused.rule, refused.balance, refused.wait)
            }
            other => format!("{other:?} {notes:?}"),
        };
        self.tell_of(worker, format!("asks {} for {:?}: {said}", draw::brief(spend), client.0));
        let (asks, missing) = self.asks(worker, wish);
        asks.iter().for_each(|ask| self.follow(ask.id, now));
        if self.mutant == Some(Mutant::RefuseWithoutReclaim) && self.tuning.workers > 1 {
            outcome = self.refuse_without_reclaim(worker, outcome, &asks);
        }
        match outcome {
            Ok(ticket) => self.admitted(worker, wish, ticket, &asks, missing, &notes).map(|()| None),
            Err(Denied::Refused(refused)) => self.refused(&refused, &asks, now),
            Err(Denied::Blocked(rule)) => {
                let is_blocked = asks.iter().any(|ask| ask.rule == rule && self.is_blocked(ask.id));
                is_blocked.then_some(None).ok_or_else(|| format!("rule {rule} is not blocked"))
            }
            Err(Denied::MissingKey(rule, _)) => {
                (missing == Some(rule)).then_some(None).ok_or_else(|| format!("rule {rule} lacks no key"))
            }
            Err(Denied::Ungranted) => {
                let may = asks.iter().any(|ask| self.accounts.get(ask.id).is_some_and(|a| a.is_durable()));
                may.then_some(None).ok_or_else(|| "nothing of this has to be on disk".to_owned())
            }
        }
        .and_then(|wait| self.check_replaced(now).map(|()| wait))
    }

    /// The limits that apply, and the first rule whose key the client lacks although it must have one.
    fn asks(&self, worker: usize, wish: &Wish) -> (Vec<Ask>, Option<u32>) {
        let (mut asks, mut missing, set) = (Vec::new(), None, &self.workers[worker].set);
        for &index in &wish.limits {
            let rule = &set.rules[index as usize].rule;
            let enforced = rule.mode == Mode::Enforce;
            let key = match (rule.key.is_empty(), wish.client.0, rule.on_missing) {
                (true, ..) | (_, None, MissingKey::Shared) => 0,
                (_, Some(key), _) => key,
                (_, None, MissingKey::Skip) => continue,
                (_, None, MissingKey::Deny) => {
                    missing = missing.or(enforced.then_some(index));
                    continue;
                }
            };
            let amount = draw::amount(rule.unit, &wish.spend);
            asks.push(Ask { rule: index, id: World::id(set, index, key), unit: rule.unit, amount, enforced });
        }
        (asks, missing)
    }

    fn admitted(
        &mut self,
        worker: usize,
        wish: &Wish,
        ticket: Ticket,
        asks: &[Ask],
        missing: Option<u32>,
        notes: &[(u32, Note)],
    ) -> Check {
        let now = self.workers[worker].now;
        if let Some(rule) = missing {
            return Err(format!("admitted without the key that rule {rule} wants"));
        }
        let mut holds = Vec::new();
        for ask in asks {
            let said =
                notes.iter().find(|(rule, note)| *rule == ask.rule && !matches!(note, Note::Leased(_)));
            let amount = ask.amount.min(self.naive(ask.id)?.capacity());
            let is_blocked = self.is_blocked(ask.id);
            let is_durable = self.accounts.get(ask.id).is_some_and(|account| account.is_durable());
            let (doubt, leases) = (self.doubt, self.tuning.share_percent > 0);
            let naive = self.naive(ask.id)?;
            match said {
                Some((_, Note::Admitted(taken))) if *taken == amount && !is_blocked => {
                    // A lease is spent even if others have come into debt since it was handed out: the intervals
                    // judge that.
                    if amount > 0 && !leases && !naive.may_cover(amount, now) {
                        return Err(format!(
                            "I2: {amount} of {:x}, which has {:?}",
                            ask.id,
                            naive.range(now, doubt)
                        ));
                    }
                    naive.take(amount, now);
                    let Ask { rule, id, unit, .. } = *ask;
                    holds.push(Hold { rule, id, unit, reserved: amount, then: now });
                }
                Some((_, Note::ShadowRefused)) if !ask.enforced => {
                    if naive.surely_covers(amount, now, doubt) && !is_blocked && !is_durable {
                        return Err(format!("I3: {:x} covers {amount} and would have refused", ask.id));
                    }
                }
                said => return Err(format!("rule {} was to give {amount} and said {said:?}", ask.rule)),
            }
        }
        for hold in holds.iter().filter(|hold| hold.reserved > 0) {
            self.check_written(hold.id, now)?;
        }
        let last_part = self.dice.percent(30).then_some(0);
        self.open.push(Open {
            worker,
            ticket,
            set: self.workers[worker].set.clone(),
            spend: wish.spend,
            last_part,
            holds,
            until: now.tick + HOLD,
            leaked: self.dice.percent(3),
            dead: false,
        });
        Ok(())
    }

    fn refused(&mut self, refused: &Refused, asks: &[Ask], now: Moment) -> Result<Option<Duration>, String> {
        let Some(ask) = asks.iter().find(|ask| ask.rule == refused.rule && ask.enforced) else {
            return Err(format!("refused by rule {}, which does not apply", refused.rule));
        };
        let (doubt, told) = (self.doubt, self.told(now));
        let naive = self.naive(ask.id)?;
        let amount = ask.amount.min(naive.capacity());
        if naive.surely_covers(amount, now, doubt) {
            return Err(format!(
                "I3: refused {amount} of {:x}, which has {:?}",
                ask.id,
                naive.range(now, doubt)
            ));
        }
        if refused.wait == Some(Duration::ZERO) {
            return Err(format!("I3: refused {amount} of {:x} and told to come back at once", ask.id));
        }
        let account = self.accounts.get(ask.id).ok_or("the account that refused is gone")?;
        match self.mutant {
            Some(Mutant::ChargeRefused) => account.settle(0, 1, 0, told),
            Some(Mutant::ChargeTheOthers) => {
                let others = asks.iter().filter(|other| other.id != ask.id && other.amount > 0);
                for other in others.filter_map(|other| self.accounts.get(other.id)) {
                    other.settle(0, 1, 0, told);
                }
            }
            Some(Mutant::RoundWaitDown) => {
                return Ok(refused.wait.map(|wait| Duration::from_secs(wait.as_secs())));
            }
            _ => {}
        }
        Ok(refused.wait)
    }

    /// Waits as long as it was told, and asks a little earlier and then. Nobody else comes.
    fn retry(&mut self, worker: usize, wish: &Wish, wait: Duration) -> Check {
        let is_calendar = |naive: &Naive| matches!(naive.measure, Measure::Calendar { .. });
        let by_calendar =
            self.asks(worker, wish).0.iter().any(|ask| self.oracle.get(&ask.id).is_some_and(is_calendar));
        // Calendars tell time in milliseconds.
        let early = if by_calendar { Duration::from_millis(1) } else { Duration::from_nanos(1) };
        if self.is_sharp() && wait > early {
            self.advance(wait - early);
            self.tell(format!("{early:?} before the wait is over"));
            let before = self.open.len();
            self.ask(worker, wish)?;
            if self.open.len() > before {
                return Err(format!("I3: told to wait {wait:?} and not refused {early:?} earlier"));
            }
            self.advance(early);
        } else {
            self.advance(wait + self.doubt);
        }
        let now = self.now();
        self.workers[worker].now = now;
        for _ in 0..80 {
            let before = self.open.len();
            let wait = self.ask(worker, wish)?;
            if self.open.len() > before {
                return Ok(());
            }
            if let Some(wait) = wait {
                return Err(format!("I3: waited as long as it was told, and is to wait {wait:?} more"));
            }
            // Limits are asked in their order: another one may have said no before these.
            let (asks, missing) = self.asks(worker, wish);
            if missing.is_some() || asks.iter().any(|ask| self.is_blocked(ask.id)) {
                return Ok(());
            }
            self.pump()?;
        }
        Err("I3: waited as long as it was told, and is never admitted".to_owned())
    }

    // === streams, and how a request ends ===

    /// A stream outlasts what it has reserved.
    pub(crate) fn stream(&mut self) -> Check {
        let streams = |open: &Open| open.last_part.is_some() && !open.dead;
        let Some(place) = self.some_open(streams) else { return Ok(()) };
        let output = self.dice.any_size((1 + self.open[place].spend.output * 2).min(TOKENS_MAX));
        let more = Spend { output, cost: Money(self.dice.any_size(100) as i64), ..Spend::default() };
        let (worker, set) = (self.open[place].worker, self.open[place].set.clone());
        let (now, mut notes) = (self.workers[worker].now, Vec::new());
        let told = self.told(now);
        let outcome = match self.mutant {
            Some(Mutant::FreeTopUps) => Ok(()),
            _ => {
                self.workers[worker].book.top_up(&self.open[place].ticket, &set, &more, told, |rule, note| {
                    notes.push((rule, note));
                })
            }
        };
        self.tell_of(worker, format!("tops up {}: {outcome:?} {notes:?}", draw::brief(&more)));
        let mut holds = self.open[place].holds.clone();
        let mut covered = true;
        for hold in holds.iter_mut().filter(|hold| matches!(hold.unit, Unit::Tokens | Unit::Cost)) {
            let Some(account) = self.accounts.get(hold.id) else { continue };
            let (is_blocked, doubt) = (self.is_blocked(hold.id), self.doubt);
            let leases = self.tuning.share_percent > 0;
            let naive = self.naive(hold.id)?;
            naive.look(now);
            let amount = draw::amount(hold.unit, &more).min(naive.capacity());
            covered &= !is_blocked && naive.surely_covers(amount, now, doubt);
            let said = notes.iter().find(|(rule, _)| *rule == hold.rule);
            match said {
                Some((_, Note::ToppedUp(taken))) if *taken == amount && outcome.is_ok() => {
                    if !leases && !naive.may_cover(amount, now) {
                        return Err(format!("I2: {amount} more of {:x}", hold.id));
                    }
                    naive.take(amount, now);
                    (hold.reserved, hold.then) = (hold.reserved + amount, now);
                }
                // The stream does not wait for the disk.
                None if outcome.is_err() || amount == 0 || account.is_durable() => {}
                said => {
                    return Err(format!("I2: {:x} was to give {amount} more, and said {said:?}", hold.id));
                }
            }
        }
        if outcome.is_err() && covered {
            return Err("I3: a stream was cut although all limits cover it".to_owned());
        }
        let open = &mut self.open[place];
        open.holds = holds;
        if outcome.is_ok() {
            open.spend.output += more.output;
            open.spend.cost = Money(open.spend.cost.0 + more.cost.0);
            open.last_part = Some(output);
        }
        Ok(())
    }

    /// A request ends, and used less or more than was reserved.
    pub(crate) fn end(&mut self) -> Check {
        match self.some_open(|open| !open.leaked) {
            Some(place) => self.settle(place),
            None => Ok(()),
        }
    }

    pub(crate) fn settle(&mut self, place: usize) -> Check {
        let open = self.open.swap_remove(place);
        let Open { worker, ticket, set, spend: estimate, last_part, holds, dead, .. } = open;
        let now = self.workers[worker].now;
        let mut spend = self.really_spent(estimate, last_part);
        let told = self.told(now);
        let reserved = holds.iter().map(|hold| (hold.rule, hold.reserved)).collect::<Vec<_>>();
        self.tell_of(worker, format!("settles {reserved:?} as {}", draw::brief(&spend)));
        let is_old = !std::sync::Arc::ptr_eq(&set, &self.set);
        let truth = spend;
        match self.mutant {
            Some(Mutant::SkipRefund) => spend = at_least(spend, estimate),
            Some(Mutant::ForgiveOverspend) => spend = at_most(spend, estimate),
            Some(Mutant::LoseRefundOnReload) if is_old => spend = at_least(spend, estimate),
            _ => {}
        }
        let mut settled = Vec::new();
        self.workers[worker].book.settle(ticket, &set, &spend, told, |one| settled.push(one));
        if dead {
            return settled.is_empty().then_some(()).ok_or_else(|| "I5: an old ticket settled".to_owned());
        }
        for hold in holds {
            let used = if hold.unit == Unit::Concurrency { 0 } else { draw::amount(hold.unit, &truth) };
            let Some(account) = self.accounts.get(hold.id) else {
                return Err(format!("I5: {:x} is gone while it is held", hold.id));
            };
            match self.mutant {
                Some(Mutant::SettleTwice) => account.settle(hold.reserved, used, 0, told),
                Some(Mutant::ForgetConcurrency) if hold.unit == Unit::Concurrency => {
                    account.settle(0, 1, 0, told);
                }
                _ => {}
            }
            self.naive(hold.id)?.settle(hold.reserved, used, hold.then, now);
            self.disk.overspent(hold.id, used.saturating_sub(hold.reserved));
            let said = settled.iter().find(|one| one.rule == hold.rule);
            if said.is_none_or(|said| said.reserved != hold.reserved) {
                return Err(format!("I1: {hold:?} is settled as {said:?}"));
            }
        }
        Ok(())
    }

    /// What it really spent. A stream stays above what it had reserved before its last part.
    fn really_spent(&mut self, reserved: Spend, last_part: Option<u64>) -> Spend {
        let dice = &mut self.dice;
        let Spend { input, output, cost, .. } = reserved;
        let cost = cost.0 as u64;
        let (output, cost) = match (dice.below(3), last_part) {
            (0, _) => (output, cost),
            (1, None) => (dice.below(output + 1), dice.below(cost + 1)),
            (1, Some(last)) => (output - dice.below(last + 1), cost),
            _ => (output + dice.any_size((output + 2).min(TOKENS_MAX)), cost + dice.any_size(cost + 2)),
        };
        Spend { input, output, cost: Money(cost as i64), ..Spend::default() }
    }

    fn some_open(&mut self, fits: impl Fn(&Open) -> bool) -> Option<usize> {
        let those: Vec<usize> = (0..self.open.len()).filter(|place| fits(&self.open[*place])).collect();
        (!those.is_empty()).then(|| self.dice.one_of(&those))
    }

    /// The planted bug: what lies in the leases of others is not looked for.
    fn refuse_without_reclaim(
        &mut self,
        worker: usize,
        outcome: Result<Ticket, Denied>,
        asks: &[Ask],
    ) -> Result<Ticket, Denied> {
        let now = self.told(self.workers[worker].now);
        let short = asks.iter().filter(|ask| ask.enforced).find_map(|ask| {
            let account = self.accounts.get(ask.id)?;
            let share = account.balance(now) / i64::from(self.tuning.workers);
            (i128::from(ask.amount) > i128::from(share)).then_some((ask.rule, ask.amount, account))
        });
        match (outcome, short) {
            (Ok(ticket), Some((rule, wanted, account))) => {
                let set = self.workers[worker].set.clone();
                self.workers[worker].book.settle(ticket, &set, &Spend::default(), now, |_| {});
                let (wait, balance) = (Some(Duration::from_secs(1)), account.balance(now));
                Err(Denied::Refused(Box::new(Refused { rule, account, wanted, wait, balance })))
            }
            (outcome, _) => outcome,
        }
    }
}

fn at_least(spend: Spend, other: Spend) -> Spend {
    let cost = Money(spend.cost.0.max(other.cost.0));
    Spend { input: spend.input.max(other.input), output: spend.output.max(other.output), cost, ..spend }
}

fn at_most(spend: Spend, other: Spend) -> Spend {
    let cost = Money(spend.cost.0.min(other.cost.0));
    Spend { input: spend.input.min(other.input), output: spend.output.min(other.output), cost, ..spend }
}
