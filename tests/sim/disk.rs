//! What outlives a process: a disk that writes in its own time, the mail that says so, crashes and restarts.

use super::draw::KEYS;
use super::mutants::Mutant;
use super::oracle::{Naive, SLOT_SHIFT, window};
use super::world::{Check, World};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::Moment;
use tollgate::limit::{Account, Accounts, Measure, Slot, Wanted};

/// A disk that writes in its own time, and the mail that says so.
#[derive(Default)]
pub(crate) struct Disk {
    /// Accounts of which more has to be on disk.
    asked: Vec<(Arc<Account>, u64)>,
    /// Written, and lost if the host stops now.
    unsynced: Vec<Grant>,
    /// By account and window.
    kept: BTreeMap<(u128, i128), Grant>,
    /// Of sliding budgets, and when that was written.
    slots: BTreeMap<u128, (Slots, Moment)>,
    mail: Vec<Grant>,
    /// Accounts of short windows, as they were a moment ago.
    checkpoints: BTreeMap<u128, Checkpoint>,
    /// What was spent beyond reservations: some of it is on no disk.
    overspent: BTreeMap<u128, u64>,
}

/// On disk it may be that `used` units are used, or so much in the last of the slots of a sliding budget.
#[derive(Clone)]
struct Grant {
    account: Arc<Account>,
    used: u64,
    slots: Slots,
    /// When that was decided.
    at: Moment,
}

/// Ends by the wall's clock, and units.
type Slots = BTreeMap<i64, u64>;

struct Checkpoint {
    used: u64,
    slots: Slots,
    naive: Naive,
    at: Moment,
}

/// What is known of an account when a process begins.
enum Past {
    /// Units that were used so long ago.
    Used(u64, Duration),
    /// The slots of a sliding budget.
    In(Slots),
}

impl Disk {
    /// The account says nothing any more that a new one would not.
    pub(crate) fn forget(&mut self, id: u128) {
        self.kept.retain(|(kept, _), _| *kept != id);
        self.slots.remove(&id);
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
        if !grant.slots.is_empty() {
            self.keep_slots(grant.account.id(), grant.slots.clone(), grant.at);
            return;
        }
        let (id, measure) = (grant.account.id(), &grant.account.terms().measure);
        let used = grant.used.max(self.granted(id, measure, grant.at));
        let is_same = |other: &Grant| is_same_window(&other.account.terms().measure, measure);
        self.kept.retain(|(other, _), grant| *other != id || is_same(grant));
        self.insert(Grant { used, ..grant.clone() });
    }

    /// Replaces what is known of a sliding budget. What is written takes back no grant that is under way.
    fn keep_slots(&mut self, id: u128, mut slots: Slots, at: Moment) {
        if let (Some(mut last), Some((before, _))) = (slots.last_entry(), self.slots.get(&id)) {
            let granted = before.get(last.key()).copied().unwrap_or(0);
            last.insert(granted.max(*last.get()));
        }
        // The store has one place for the slots of an account, whatever its length is now.
        self.checkpoints.remove(&id);
        self.slots.insert(id, (slots, at));
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
        for (asked, amount) in std::mem::take(&mut self.disk.asked) {
            let in_force = asked.in_force().filter(|account| account.is_durable());
            let Some(account) = in_force.cloned() else { continue };
            let capacity = account.terms().capacity();
            let (gone, more) = (account.gone(now), amount.saturating_mul(2).max(capacity / 8));
            let used = gone.saturating_add(more).min(capacity.max(gone));
            let slots = self.slots_with(&account, account.close_slots(more, now), now);
            self.tell(format!("writes that {:x} may use {used}, {slots:?}", account.id()));
            let grant = Grant { account, used, slots, at: now };
            if self.mutant == Some(Mutant::GrantBeforeDurable) {
                self.disk.mail.push(grant.clone());
            }
            self.disk.unsynced.push(grant);
        }
    }

    /// What is to be on disk of a sliding budget: of the last slot, what may be in it.
    fn slots_with(&self, account: &Account, last: Option<Slot>, now: Moment) -> Slots {
        let mut slots: Slots = account.slots(now).map(|slot| (slot.until_ns, slot.units)).collect();
        if last.is_some() && self.mutant == Some(Mutant::ForgetClosedSlots) {
            slots.clear();
        }
        slots.extend(last.map(|slot| (slot.until_ns, slot.units)));
        slots
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
        let Grant { account, used, slots, at } = self.disk.mail.swap_remove(place);
        self.tell(format!("{:x} may use {used}, lost: {loses}", account.id()));
        let slot =
            slots.last_key_value().map(|(until_ns, units)| Slot { until_ns: *until_ns, units: *units });
        match (loses, self.mutant) {
            (true, _) => account.forget_ask(),
            (false, _) if slot.is_some() => account.grant_slot(slot.expect("there is one")),
            (false, Some(Mutant::GrantForAnotherWindow)) => account.grant(used, self.now()),
            (false, _) => account.grant(used, self.told(at)),
        }
    }

    /// What is used is on disk, but for what was spent beyond reservations.
    pub(crate) fn check_written(&self, id: u128, now: Moment) -> Check {
        let Some(account) = self.accounts.get(id).filter(|account| account.is_durable()) else {
            return Ok(());
        };
        let overspent = self.disk.overspent.get(&id).copied().unwrap_or(0);
        if matches!(account.terms().measure, Measure::Sliding { .. }) {
            let kept = self.disk.slots.get(&id).map(|(slots, _)| slots.clone()).unwrap_or_default();
            let on_disk = |slot: &Slot| kept.get(&slot.until_ns).copied().unwrap_or(0);
            let lacking: u64 = account.slots(now).map(|slot| slot.units.saturating_sub(on_disk(&slot))).sum();
            let fault = || {
                let slots: Vec<Slot> = account.slots(now).collect();
                format!("I4: {id:x} has {slots:?}, {kept:?} is on disk, {overspent} overspent")
            };
            return if lacking > overspent { Err(fault()) } else { Ok(()) };
        }
        let granted = self.disk.granted(id, &account.terms().measure, now);
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
            let last = account.close_slots(0, at);
            let slots = self.slots_with(&account, last, at);
            if last.is_some() {
                self.disk.keep_slots(account.id(), slots, at);
            } else if !account.is_durable() && !is_under_way {
                let (id, used) = (account.id(), account.used(at));
                let naive = self.naive(id)?.clone();
                let checkpoint = Checkpoint { used, slots, naive, at };
                self.disk.slots.remove(&id);
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
            let Some(account) = before.get(id) else { return grant.used + grant.slots.values().sum::<u64>() };
            if grant.slots.is_empty() {
                return grant.used.saturating_sub(account.used(grant.at));
            }
            let used: Slots = account.slots(grant.at).map(|slot| (slot.until_ns, slot.units)).collect();
            let lost = |(until_ns, units): (&i64, &u64)| {
                units.saturating_sub(used.get(until_ns).copied().unwrap_or(0))
            };
            grant.slots.iter().map(lost).sum()
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
        self.disk.slots.clear();
        self.checkpoint()?;
        let now = self.now();
        for account in self.all_accounts().into_iter().filter(|account| account.is_durable()) {
            account.end_leases(now);
            let (used, slots) = (account.used(now), self.slots_with(&account, None, now));
            if matches!(account.terms().measure, Measure::Sliding { .. }) {
                self.disk.slots.insert(account.id(), (slots, now));
            } else {
                self.disk.insert(Grant { account, used, slots, at: now });
            }
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
            if self.restore(id, is_same, &Past::Used(used, Duration::ZERO), grant.at) {
                self.disk.insert(grant.clone());
                let nothing = Naive::new(&grant.account.terms().measure, grant.at);
                let (loss, before) = (loss(&grant, id), before.get(&id).unwrap_or(&nothing));
                self.resume(id, before, Some(loss), grant.at, now)?;
            }
        }
        for (id, (slots, at)) in std::mem::take(&mut self.disk.slots) {
            let is_same = |now: &Measure| matches!(now, Measure::Sliding { .. });
            if self.restore(id, is_same, &Past::In(slots.clone()), now) {
                let account = self.accounts.get(id).ok_or("it is there")?;
                let nothing = Naive::new(&account.terms().measure, now);
                let loss = loss(&Grant { account, used: 0, slots: slots.clone(), at: now }, id);
                self.resume(id, before.get(&id).unwrap_or(&nothing), Some(loss), at, now)?;
                self.disk.slots.insert(id, (slots, now));
            }
        }
        for (id, Checkpoint { used, slots, naive, at }) in std::mem::take(&mut self.disk.checkpoints) {
            let used = if self.mutant == Some(Mutant::ResumeFull) { 0 } else { used };
            let ago = Duration::from_millis((now.unix_ms - at.unix_ms).max(0) as u64);
            let is_same = |now: &Measure| *now == naive.measure;
            let as_of = if matches!(naive.measure, Measure::Calendar { .. }) { at } else { now };
            let ago = if as_of == at { Duration::ZERO } else { ago };
            let is_sliding = matches!(naive.measure, Measure::Sliding { .. });
            let slots = if self.mutant == Some(Mutant::ResumeFull) { Slots::new() } else { slots };
            let past = if is_sliding { Past::In(slots) } else { Past::Used(used, ago) };
            if self.restore(id, is_same, &past, as_of) {
                self.resume(id, &naive.awoken(at, now), None, at, now)?;
            }
        }
        Ok(())
    }

    /// Opens an account that is known from before, if its rule is still in force.
    fn restore(&mut self, id: u128, is_same: impl Fn(&Measure) -> bool, past: &Past, now: Moment) -> bool {
        let set = self.set.clone();
        let wanted = (0..set.rules.len() as u32)
            .flat_map(|rule| (0..=u128::from(KEYS)).map(move |key| (rule, key)))
            .map(|(rule, key)| Wanted { rules: &set, rule, key })
            .find(|wanted| wanted.id() == id && is_same(&self.accounts.terms_of(wanted).measure));
        let Some(wanted) = wanted else { return false };
        let account = self.accounts.find(&wanted, &String::new, now);
        let older = if self.mutant == Some(Mutant::RestoreSlotsAsOld) { 600_000_000_000 } else { 0 };
        match past {
            Past::Used(used, ago) => account.restore(*used, *ago, now),
            Past::In(_) if self.mutant == Some(Mutant::RestoreUnused) => {}
            Past::In(slots) => {
                let slot =
                    |(until_ns, units): (&i64, &u64)| Slot { until_ns: until_ns - older, units: *units };
                account.restore_slots(&slots.iter().map(slot).collect::<Vec<_>>(), now);
            }
        }
        true
    }

    /// Compares the account with what it was `before`, and agrees with it from here on.
    fn resume(&mut self, id: u128, before: &Naive, loss: Option<u64>, at: Moment, now: Moment) -> Check {
        let shown = self.shown(id, now)?;
        let mut naive = Naive::new(&self.accounts.get(id).ok_or("it is there")?.terms().measure, now);
        naive.look(at);
        // Debt of an earlier window is paid by budgets of the size that is in force now.
        let is_comparable = self.disk.was_granted_under(id, &naive.measure);
        let is_sliding = matches!(naive.measure, Measure::Sliding { .. });
        // After somebody has set the clock, slots are of other times. Of a budget that was longer before a reload,
        // what was written then is all there is.
        let was_kept = loss.is_none() || naive.measure.is_durable();
        let is_of_now = before.has_epoch_of(at) && before.has_epoch_of(now);
        let is_comparable = is_comparable && (!is_sliding || is_of_now && was_kept);
        let doubt = self.doubt + Duration::from_nanos(if is_sliding { SLOT_SHIFT as u64 } else { 0 });
        // What was spent while a clock had gone back is on disk under the window that it had left.
        if is_comparable && naive.measure == before.measure && !naive.is_back(now) && !before.was_back {
            let (least, most) = before.range(now, doubt);
            let most =
                most.saturating_add(self.disk.overspent.get(&id).map_or(0, |units| i128::from(*units)));
            let least = least.saturating_sub(1 + i128::from(loss.unwrap_or(0)));
            if !(least..=most).contains(&shown) {
                let measure = &before.measure;
                return Err(format!("I4: {id:x} resumes with {shown}, not {least}..={most}: {measure:?}"));
            }
            if loss.is_some() {
                naive.remember(before);
            }
        }
        naive.adopt(shown, now);
        if let Some(account) = self.accounts.get(id).filter(|_| is_sliding) {
            let slots: Vec<_> = account.slots(now).map(|slot| (slot.until_ns, slot.units)).collect();
            self.tell(format!("{id:x} resumes with {shown} and {slots:?}"));
            naive.adopt_slots(&slots, now);
        }
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
