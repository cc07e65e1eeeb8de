//! The coordinator's part: rules and operators, sweeps, the disk and the mail, crashes and restarts.

use super::draw::{self, KEYS};
use super::mutants::Mutant;
use super::oracle::{Naive, window};
use super::world::{Check, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::Moment;
use tollgate::limit::{Account, Accounts, Control, Measure, Mode, RuleSet, Terms, Wanted};

/// A disk that writes in its own time, and the mail that says so.
#[derive(Default)]
pub(crate) struct Disk {
    /// Accounts of which more has to be on disk.
    asked: Vec<(Arc<Account>, u64)>,
    /// Written, and lost if the host stops now.
    unsynced: Vec<Grant>,
    /// By account and window.
    kept: BTreeMap<(u128, i128), Grant>,
    mail: Vec<Grant>,
    /// Accounts of short windows, as they were a moment ago.
    checkpoints: BTreeMap<u128, Checkpoint>,
    /// What was spent beyond reservations: some of it is on no disk.
    overspent: BTreeMap<u128, u64>,
}

/// On disk it may be that `used` units are used.
#[derive(Clone)]
struct Grant {
    account: Arc<Account>,
    used: u64,
    /// When that was decided.
    at: Moment,
}

struct Checkpoint {
    used: u64,
    naive: Naive,
    at: Moment,
}

impl Disk {
    pub(crate) fn overspent(&mut self, id: u128, amount: u64) {
        *self.overspent.entry(id).or_default() += amount;
    }

    /// Units that may be used in the window of `now`, according to the disk.
    fn granted(&self, id: u128, measure: &Measure, now: Moment) -> u64 {
        let is_same = |grant: &&Grant| is_same_window(&grant.account.terms().measure, measure);
        self.kept.get(&(id, window(measure, now))).filter(is_same).map_or(0, |grant| grant.used)
    }

    fn keep(&mut self, grant: &Grant) {
        let (id, measure) = (grant.account.id(), &grant.account.terms().measure);
        let used = grant.used.max(self.granted(id, measure, grant.at));
        let is_same = |other: &Grant| is_same_window(&other.account.terms().measure, measure);
        self.kept.retain(|(other, _), grant| *other != id || is_same(grant));
        self.insert(Grant { used, ..grant.clone() });
    }

    fn insert(&mut self, grant: Grant) {
        let window = window(&grant.account.terms().measure, grant.at);
        self.kept.insert((grant.account.id(), window), grant);
    }
}

/// Whether two measures count in the same windows, so that what is on disk of one is on disk of the other.
fn is_same_window(one: &Measure, other: &Measure) -> bool {
    match (one, other) {
        (Measure::Calendar { every, zone, .. }, Measure::Calendar { every: e, zone: z, .. }) => {
            (every, zone) == (e, z)
        }
        _ => false,
    }
}

impl World {
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
        control_account(&self.accounts, &Wanted { rules: &set, rule, key }, control, self.told(now));
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
                ended.extend(open.holds.iter().filter(|hold| hold.unit == tollgate::limit::Unit::Concurrency).cloned());
            }
        }
        for hold in ended {
            self.naive(hold.id)?.settle(hold.reserved, 0, hold.then, now);
        }
        self.open.retain(|open| !(open.dead && open.leaked));
        (freed == overdue).then_some(()).ok_or_else(|| format!("I5: {freed} were freed and {overdue} overdue"))
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
        for id in &forgotten {
            self.disk.kept.retain(|(kept, _), _| kept != id);
            self.disk.checkpoints.remove(id);
        }
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

    // === the disk ===

    /// What workers ask for reaches the writer.
    pub(crate) fn collect_asks(&mut self) {
        for worker in &mut self.workers {
            self.disk.asked.extend(worker.book.take_asks());
        }
    }

    pub(crate) fn disk_turns(&mut self) -> Check {
        match self.dice.below(3) {
            0 => self.write(),
            1 => self.sync(),
            _ => {
                let loses = self.dice.percent(15);
                self.deliver(loses);
            }
        }
        Ok(())
    }

    /// All that is asked for is written, and said: nothing is late or lost.
    pub(crate) fn pump(&mut self) -> Check {
        self.collect_asks();
        self.write();
        self.sync();
        while !self.disk.mail.is_empty() {
            self.deliver(false);
        }
        self.check_all()
    }

    fn write(&mut self) {
        let now = self.now();
        for (account, amount) in std::mem::take(&mut self.disk.asked) {
            let capacity = account.terms().capacity();
            let gone = account.gone(now);
            let used = gone.saturating_add(amount.saturating_mul(2).max(capacity / 8)).min(capacity.max(gone));
            self.tell(format!("writes that {:x} may use {used}", account.id()));
            let grant = Grant { account, used, at: now };
            if self.mutant == Some(Mutant::GrantBeforeDurable) {
                self.disk.mail.push(grant.clone());
            }
            self.disk.unsynced.push(grant);
        }
    }

    fn sync(&mut self) {
        for grant in std::mem::take(&mut self.disk.unsynced) {
            self.disk.keep(&grant);
            self.disk.mail.push(grant);
        }
    }

    /// One letter arrives, any of them; or is lost, and is asked for again.
    fn deliver(&mut self, loses: bool) {
        if self.disk.mail.is_empty() {
            return;
        }
        let place = self.dice.below(self.disk.mail.len() as u64) as usize;
        let Grant { account, used, at } = self.disk.mail.swap_remove(place);
        self.tell(format!("{:x} may use {used}, lost: {loses}", account.id()));
        match (loses, self.mutant) {
            (true, Some(Mutant::ForgetLostMail)) => {}
            (true, _) => account.forget_ask(),
            (false, Some(Mutant::GrantForAnotherWindow)) => account.grant(used, self.now()),
            (false, _) => account.grant(used, self.told(at)),
        }
    }

    /// What is used is on disk, but for what was spent beyond reservations.
    pub(crate) fn check_written(&self, id: u128, now: Moment) -> Check {
        let Some(account) = self.accounts.get(id).filter(|account| account.is_durable()) else { return Ok(()) };
        let granted = self.disk.granted(id, &account.terms().measure, now);
        let overspent = self.disk.overspent.get(&id).copied().unwrap_or(0);
        let used = account.gone(now);
        // A grant for a later window, which a clock has shown before it went back, says that this one is over:
        // after a restart nothing of it is left.
        let here = window(&account.terms().measure, now);
        let is_back = self.disk.kept.keys().any(|(other, window)| *other == id && *window > here);
        if !is_back && used > granted.saturating_add(overspent) {
            return Err(format!("I4: {id:x} has used {used} and {granted} are on disk, {overspent} overspent"));
        }
        Ok(())
    }

    /// Short accounts are written down as they are.
    pub(crate) fn checkpoint(&mut self) -> Check {
        let at = self.now();
        for account in self.all_accounts() {
            let is_calendar = matches!(account.terms().measure, Measure::Calendar { .. });
            if is_calendar && self.mutant == Some(Mutant::RefillTwice) {
                account.settle(account.used(at), 0, 0, at);
            }
            let is_under_way = matches!(account.terms().measure, Measure::Concurrent { .. });
            if !account.is_durable() && !is_under_way {
                let (id, used) = (account.id(), account.used(at));
                let naive = self.naive(id)?.clone();
                let checkpoint = Checkpoint { used, naive, at };
                self.disk.checkpoints.insert(id, checkpoint);
            }
        }
        Ok(())
    }

    // === the end of a process, and its beginning ===

    /// `kill -9`. What is on disk is all that is left.
    pub(crate) fn crash(&mut self) -> Check {
        self.tell("crash".to_owned());
        self.check_intervals()?;
        let now = self.now();
        let used: BTreeMap<u128, u64> =
            self.all_accounts().iter().map(|account| (account.id(), account.used(now))).collect();
        self.open.clear();
        // What was granted and not used counts as used.
        self.restart(|grant, id| grant.used.saturating_sub(used.get(&id).copied().unwrap_or(0)))
    }

    /// All requests end, exact balances are written, and the process begins anew.
    pub(crate) fn shut_down(&mut self) -> Check {
        self.tell("clean shutdown".to_owned());
        while let Some(place) = self.open.iter().position(|open| !open.leaked) {
            self.settle(place)?;
        }
        self.check_all()?;
        self.check_intervals()?;
        self.open.clear();
        self.disk.kept.clear();
        self.checkpoint()?;
        let now = self.now();
        for account in self.all_accounts().into_iter().filter(|account| account.is_durable()) {
            account.end_leases(now);
            let grant = Grant { used: account.used(now), account, at: now };
            self.disk.insert(grant);
        }
        self.restart(|_, _| 0)
    }

    fn restart(&mut self, loss: impl Fn(&Grant, u128) -> u64) -> Check {
        self.disk.asked.clear();
        self.disk.unsynced.clear();
        self.disk.mail.clear();
        self.accounts = Arc::new(Accounts::new(10_000, self.durable, self.tuning));
        self.hire();
        self.open_controls();
        let before = std::mem::take(&mut self.oracle);
        let now = self.now();
        // Of several windows the latest: a clock that has gone back finds the earlier ones spent.
        let kept = std::mem::take(&mut self.disk.kept).into_iter().map(|((id, _), grant)| (id, grant));
        for (id, grant) in kept.collect::<BTreeMap<_, _>>() {
            let used = if self.mutant == Some(Mutant::RestoreUnused) { 0 } else { grant.used };
            let measure = &grant.account.terms().measure;
            // As of the window that it was granted for, which need not be the present one.
            let is_same = |now: &Measure| is_same_window(now, measure);
            if self.restore(id, is_same, used, Duration::ZERO, grant.at) {
                let nothing = Naive::new(&grant.account.terms().measure, grant.at);
                let (loss, before) = (loss(&grant, id), before.get(&id).unwrap_or(&nothing));
                self.resume(id, before, Some(loss), grant.at, now)?;
                self.disk.insert(grant);
            }
        }
        for (id, Checkpoint { used, naive, at }) in std::mem::take(&mut self.disk.checkpoints) {
            let used = if self.mutant == Some(Mutant::ResumeFull) { 0 } else { used };
            let ago = Duration::from_millis((now.unix_ms - at.unix_ms).max(0) as u64);
            let is_same = |now: &Measure| *now == naive.measure;
            let as_of = if matches!(naive.measure, Measure::Calendar { .. }) { at } else { now };
            let ago = if as_of == at { Duration::ZERO } else { ago };
            if self.restore(id, is_same, used, ago, as_of) {
                self.resume(id, &naive.awoken(at, now), None, at, now)?;
            }
        }
        Ok(())
    }

    /// Opens an account that is known from before, if its rule is still in force.
    fn restore(
        &mut self,
        id: u128,
        is_same: impl Fn(&Measure) -> bool,
        used: u64,
        ago: Duration,
        now: Moment,
    ) -> bool {
        let set = self.set.clone();
        let wanted = (0..set.rules.len() as u32)
            .flat_map(|rule| (0..=u128::from(KEYS)).map(move |key| (rule, key)))
            .map(|(rule, key)| Wanted { rules: &set, rule, key })
            .find(|wanted| wanted.id() == id && is_same(&self.accounts.terms_of(wanted).measure));
        let Some(wanted) = wanted else { return false };
        self.accounts.find(&wanted, &String::new, now).restore(used, ago, now);
        true
    }

    /// Compares the account with what it was `before`, and agrees with it from here on.
    fn resume(&mut self, id: u128, before: &Naive, loss: Option<u64>, at: Moment, now: Moment) -> Check {
        let shown = self.shown(id, now)?;
        let mut naive = Naive::new(&self.accounts.get(id).ok_or("it is there")?.terms().measure, now);
        naive.look(at);
        // What was spent while a clock had gone back is on disk under the window that it had left.
        if naive.measure == before.measure && !naive.is_back(now) && !before.was_back {
            let (least, most) = before.range(now, self.doubt);
            let most = most.saturating_add(self.disk.overspent.get(&id).map_or(0, |units| i128::from(*units)));
            let least = least.saturating_sub(1 + i128::from(loss.unwrap_or(0)));
            // Slots of a sliding budget are not on disk: all that was spent counts from the restart.
            let least = if matches!(naive.measure, Measure::Sliding { .. }) { i128::MIN } else { least };
            if !(least..=most).contains(&shown) {
                let measure = &before.measure;
                return Err(format!("I4: {id:x} resumes with {shown}, not {least}..={most}: {measure:?}"));
            }
            if loss.is_some() {
                naive.remember(before);
            }
        }
        naive.adopt(shown, now);
        self.oracle.insert(id, naive);
        Ok(())
    }

    fn open_controls(&mut self) {
        if self.mutant == Some(Mutant::ForgetBlocks) {
            return;
        }
        let (now, set) = (self.now(), self.set.clone());
        // Those of rules that are no more are not in force.
        self.controls.retain(|(name, _), _| set.named(name).is_some());
        for ((name, key), control) in &self.controls {
            if let Some((rule, _)) = set.named(name) {
                control_account(&self.accounts, &Wanted { rules: &set, rule, key: *key }, control.clone(), now);
            }
        }
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
            rule.rule.mode == Mode::Enforce && !self.is_blocked(id) && !self.oracle.get(&id).is_some_and(is_short)
        };
        (0..self.set.rules.len() as u32).filter(is_roomy).collect()
    }
}

/// Makes what an operator decides hold, as `mail::ControlChange` does.
fn control_account(accounts: &Accounts, wanted: &Wanted<'_>, control: Control, now: Moment) {
    let blocked = control.blocked;
    accounts.set_control(wanted.id(), control);
    accounts.find(wanted, &String::new, now).set_blocked(blocked);
}
