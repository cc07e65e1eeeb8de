//! The coordinator's part: rules and operators, sweeps, and the quiet after which everything must be back.

use super::draw::{self, KEYS};
use super::mutants::Mutant;
use super::oracle::Naive;
use super::world::{Check, World};
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::Moment;
use tollgate::limit::{Control, Mode, RuleSet, Terms, Wanted};

impl World {
    /// Makes what an operator decides hold, as `mail::ControlChange` does, but opens no account for it.
    pub(crate) fn control_account(&self, wanted: &Wanted<'_>, control: Control, now: Moment) {
        let blocked = control.blocked;
        self.accounts.set_control(wanted.id(), control);
        if self.accounts.get(wanted.id()).is_some() {
            self.accounts.find(wanted, &String::new, now).set_blocked(blocked);
        }
    }

    // === rules, operators, sweeps ===

    pub(crate) fn reload(&mut self) -> Check {
        let before = self.rules.clone();
        let mut rules = Vec::new();
        for rule in &before {
            match self.dice.below(10) {
                0 => {}
                1..=4 => rules.push(draw::changed(&mut self.dice, rule)),
                _ => rules.push(rule.clone()),
            }
        }
        let absent = (0..4).filter(|n| before.iter().all(|rule| *rule.name != *format!("rule-{n}")));
        for number in absent.collect::<Vec<_>>() {
            if self.dice.percent(40) {
                rules.insert(0, draw::rule(&mut self.dice, number));
            }
        }
        self.set = Arc::new(RuleSet::after(&self.set, &rules));
        let brief = rules.iter().map(draw::in_brief).collect::<Vec<_>>().join("; ");
        self.tell(format!("reload: {brief}"));
        self.rules = rules;
        if self.mutant == Some(Mutant::ForgetOnReload) {
            let now = self.now();
            self.all_accounts().iter().for_each(|account| account.settle(account.used(now), 0, 0, now));
        }
        Ok(())
    }

    /// An operator blocks or unblocks a key, or gives it another measure.
    pub(crate) fn control(&mut self) -> Check {
        if self.rules.is_empty() {
            return Ok(());
        }
        let rule = self.dice.below(self.rules.len() as u64) as u32;
        let ready = &self.set.rules[rule as usize].rule.clone();
        let key = if ready.key.is_empty() { 0 } else { u128::from(self.dice.below(KEYS + 1)) };
        let other = draw::changed(&mut self.dice, ready).measure;
        let terms = self.dice.percent(30).then(|| Arc::new(Terms::new(&ready.name, ready.unit, &other)));
        let control = Control { blocked: self.dice.percent(30), terms };
        let now = self.now();
        self.tell(format!("control of {} {key}: {control:?}", ready.name));
        self.controls.insert((ready.name.clone(), key), control.clone());
        let set = self.set.clone();
        match control.blocked {
            true => self.blocked.insert(World::id(&set, rule, key)),
            false => self.blocked.remove(&World::id(&set, rule, key)),
        };
        self.control_account(&Wanted { rules: &set, rule, key }, control, self.told(now));
        self.follow(World::id(&set, rule, key), now);
        self.check_replaced(now)
    }

    pub(crate) fn sweep_book(&mut self) -> Check {
        let worker = self.turn();
        let now = self.workers[worker].now;
        if self.mutant == Some(Mutant::NeverSweepLeaks) {
            return Ok(());
        }
        let told = self.told(now);
        let freed = self.workers[worker].book.sweep(told);
        self.tell_of(worker, format!("sweeps: {freed}"));
        let mut overdue = 0;
        let mut ended = Vec::new();
        for open in &mut self.open {
            if open.worker == worker && !open.dead && open.until <= now.tick {
                open.dead = true;
                overdue += 1;
                ended.extend(
                    open.holds.iter().filter(|hold| hold.unit == tollgate::limit::Unit::Concurrency).cloned(),
                );
            }
        }
        for hold in ended {
            self.naive(hold.id)?.settle(hold.reserved, 0, hold.then, now);
        }
        self.open.retain(|open| !(open.dead && open.leaked));
        (freed == overdue)
            .then_some(())
            .ok_or_else(|| format!("I5: {freed} were freed and {overdue} overdue"))
    }

    pub(crate) fn sweep_accounts(&mut self) -> Check {
        let now = self.now();
        if self.mutant == Some(Mutant::ForgiveDebtAtSweep) {
            for account in self.all_accounts().iter().filter(|account| account.balance(now) < 0) {
                account.settle(account.balance(now).unsigned_abs(), 0, 0, now);
            }
        }
        let mut forgotten = Vec::new();
        self.accounts.sweep(self.told(now), |account| forgotten.push(account.id()));
        forgotten.into_iter().for_each(|id| self.disk.forget(id));
        let gone: Vec<u128> =
            self.oracle.keys().copied().filter(|id| self.accounts.get(*id).is_none()).collect();
        self.tell(format!("accounts are swept: {gone:x?}"));
        for id in gone {
            let naive = self.naive(id)?;
            if naive.range(now, Duration::ZERO).1 < i128::from(naive.capacity()) {
                return Err(format!("I6: {id:x} was swept at {:?}", naive.range(now, Duration::ZERO)));
            }
            if self.open.iter().any(|open| !open.dead && open.holds.iter().any(|hold| hold.id == id)) {
                return Err(format!("I6: {id:x} was swept while it is held"));
            }
            self.oracle.remove(&id);
        }
        Ok(())
    }

    // === quiet ===

    /// Nobody comes any more: everything must come back by itself.
    pub(crate) fn quieten(&mut self) -> Check {
        self.tell("quiet".to_owned());
        while let Some(place) = self.open.iter().position(|open| !open.leaked) {
            self.settle(place)?;
        }
        self.check_all()?;
        self.check_intervals()?;
        self.advance(Duration::from_secs(3600));
        for _ in 0..60 {
            self.sweep_book()?;
        }
        self.check_all()?;
        if let Some(open) = self.open.first() {
            return Err(format!("I5: worker {} still holds {:?}", open.worker, open.holds));
        }
        self.advance(Duration::from_secs(3 * 86_400));
        for _ in 0..60 {
            self.sweep_book()?;
        }
        self.sweep_accounts()?;
        let (now, doubt) = (self.now(), self.doubt);
        for account in self.all_accounts() {
            let naive = self.naive(account.id())?;
            if naive.is_long_full(now, doubt) && !account.is_blocked() {
                return Err(format!("I6: {:x} is idle and full, and is not swept", account.id()));
            }
        }
        self.everybody_is_served()
    }

    /// Who comes to a full account is admitted, once what has to be on disk is there.
    fn everybody_is_served(&mut self) -> Check {
        self.workers.iter_mut().for_each(|worker| worker.set = self.set.clone());
        for _ in 0..80 {
            self.pump()?;
            let before = self.open.len();
            self.serve_all()?;
            if self.open.len() == before + 1 {
                return Ok(());
            }
        }
        Err("I3: with all accounts full nobody is served".to_owned())
    }

    /// Enforced limits that are not blocked and have room for one.
    pub(crate) fn roomy(&self) -> Vec<u32> {
        let now = self.now();
        let is_roomy = |index: &u32| {
            let rule = &self.set.rules[*index as usize];
            let id = World::id(&self.set, *index, if rule.key.is_none() { 0 } else { 1 });
            let is_short = |naive: &Naive| !naive.surely_covers(1, now, self.doubt);
            rule.rule.mode == Mode::Enforce
                && !self.is_blocked(id)
                && !self.oracle.get(&id).is_some_and(is_short)
        };
        (0..self.set.rules.len() as u32).filter(is_roomy).collect()
    }
}
