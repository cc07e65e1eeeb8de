//! What outlives a process: a disk that writes in its own time, the mail that says so, crashes and restarts.

use super::draw::KEYS;
use super::mutants::Mutant;
use super::oracle::{Naive, window};
use super::world::{Check, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::Moment;
use tollgate::limit::{Account, Accounts, Measure, Wanted};

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
    /// The account says nothing any more that a new one would not.
    pub(crate) fn forget(&mut self, id: u128) {
        self.kept.retain(|(kept, _), _| *kept != id);
        self.checkpoints.remove(&id);
    }

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

    /// Whether all grants of the account are of these terms.
    fn was_granted_under(&self, id: u128, measure: &Measure) -> bool {
        let grants = self.kept.iter().filter(|((kept, _), _)| *kept == id);
        grants.map(|(_, grant)| &grant.account.terms().measure).all(|granted| granted == measure)
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
            let used =
                gone.saturating_add(amount.saturating_mul(2).max(capacity / 8)).min(capacity.max(gone));
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
            (true, _) => account.forget_ask(),
            (false, Some(Mutant::GrantForAnotherWindow)) => account.grant(used, self.now()),
            (false, _) => account.grant(used, self.told(at)),
        }
    }

    /// What is used is on disk, but for what was spent beyond reservations.
    pub(crate) fn check_written(&self, id: u128, now: Moment) -> Check {
        let Some(account) = self.accounts.get(id).filter(|account| account.is_durable()) else {
            return Ok(());
        };
        let granted = self.disk.granted(id, &account.terms().measure, now);
        let overspent = self.disk.overspent.get(&id).copied().unwrap_or(0);
        let used = account.gone(now);
        // A grant for a later window, which a clock has shown before it went back, says that this one is over:
        // after a restart nothing of it is left.
        let here = window(&account.terms().measure, now);
        let is_back = self.disk.kept.keys().any(|(other, window)| *other == id && *window > here);
        if !is_back && used > granted.saturating_add(overspent) {
            return Err(format!(
                "I4: {id:x} has used {used} and {granted} are on disk, {overspent} overspent"
            ));
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
        self.open.clear();
        // What was granted and not used counts as used.
        let before = self.accounts.clone();
        self.restart(|grant, id| {
            let used = before.get(id).map_or(0, |account| account.used(grant.at));
            grant.used.saturating_sub(used)
        })
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
                self.disk.insert(grant.clone());
                let nothing = Naive::new(&grant.account.terms().measure, grant.at);
                let (loss, before) = (loss(&grant, id), before.get(&id).unwrap_or(&nothing));
                self.resume(id, before, Some(loss), grant.at, now)?;
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
        // Debt of an earlier window is paid by budgets of the size that is in force now.
        let is_comparable = self.disk.was_granted_under(id, &naive.measure);
        // What was spent while a clock had gone back is on disk under the window that it had left.
        if is_comparable && naive.measure == before.measure && !naive.is_back(now) && !before.was_back {
            let (least, most) = before.range(now, self.doubt);
            let most =
                most.saturating_add(self.disk.overspent.get(&id).map_or(0, |units| i128::from(*units)));
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
        // Those of rules that are no more are not in force.
        let set = self.set.clone();
        self.controls.retain(|(name, _), _| set.named(name).is_some());
        self.blocked.clear();
        for ((name, key), control) in &self.controls {
            if let Some((rule, _)) = set.named(name).filter(|_| control.blocked) {
                self.blocked.insert(World::id(&set, rule, *key));
            }
        }
        if self.mutant == Some(Mutant::ForgetBlocks) {
            return;
        }
        for ((name, key), control) in &self.controls {
            if let Some((rule, _)) = set.named(name) {
                self.accounts.set_control(World::id(&set, rule, *key), control.clone());
            }
        }
    }
}
