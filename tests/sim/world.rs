//! The world: workers with their books and clocks, the accounts they share, and the oracle that knows better.

use super::dice::Dice;
use super::disk::Disk;
use super::draw;
use super::mutants::Mutant;
use super::oracle::Naive;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tollgate::base::{Moment, Tick};
use tollgate::limit::{Account, Accounts, Book, Control, Rule, RuleSet, Ticket, Tuning, Unit, Wanted};

/// What is found wrong, in words.
pub(crate) type Check = Result<(), String>;

/// By how much a worker's clock may be behind: a long turn of its loop.
const LAG_MAX: Duration = Duration::from_millis(3);

/// How long a reservation may be open.
pub(crate) const HOLD: Duration = Duration::from_secs(60);

pub(crate) struct World {
    pub(crate) dice: Dice,
    pub(crate) mutant: Option<Mutant>,
    /// By how much clocks may differ; zero where every turn is so short that all see the same time.
    pub(crate) lag: Duration,
    /// The time whose refill may be lost: of a clock that is behind, and of a lease that has not ended.
    pub(crate) doubt: Duration,
    pub(crate) tuning: Tuning,
    pub(crate) durable: bool,
    tick_ns: u64,
    wall_ns: i64,
    /// How far the wall's clock has been stepped.
    stepped_ms: i64,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) workers: Vec<Worker>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) set: Arc<RuleSet>,
    pub(crate) open: Vec<Open>,
    pub(crate) oracle: BTreeMap<u128, Naive>,
    /// Accounts whose terms were changed by the event that is looked at.
    pub(crate) replaced: BTreeSet<u128>,
    /// What operators have said: by rule and key.
    pub(crate) controls: BTreeMap<(Arc<str>, u128), Control>,
    /// The accounts that they have blocked.
    pub(crate) blocked: BTreeSet<u128>,
    pub(crate) disk: Disk,
    tale: VecDeque<String>,
}

pub(crate) struct Worker {
    pub(crate) book: Book,
    /// Read once per turn.
    pub(crate) now: Moment,
    /// The rules it has adopted.
    pub(crate) set: Arc<RuleSet>,
}

/// A request under way.
pub(crate) struct Open {
    pub(crate) worker: usize,
    pub(crate) ticket: Ticket,
    /// The rules under which it began.
    pub(crate) set: Arc<RuleSet>,
    pub(crate) spend: tollgate::limit::Spend,
    /// Tokens of the last part that a stream reserved.
    pub(crate) last_part: Option<u64>,
    pub(crate) holds: Vec<Hold>,
    pub(crate) until: Tick,
    /// Nobody will settle it.
    pub(crate) leaked: bool,
    /// It was swept.
    pub(crate) dead: bool,
}

/// What it reserved from one account, as the oracle knows.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    pub(crate) rule: u32,
    pub(crate) id: u128,
    pub(crate) unit: Unit,
    pub(crate) reserved: u64,
    /// When it last grew.
    pub(crate) then: Moment,
}

impl World {
    pub(crate) fn new(seed: u64, mutant: Option<Mutant>) -> World {
        let mut dice = Dice::new(seed);
        let workers = dice.between(1, 4) as u32;
        let (leases, lags) = (dice.percent(50), dice.percent(30));
        let tuning = draw::tuning(&mut dice, workers, leases);
        let lag = if lags { LAG_MAX } else { Duration::ZERO };
        let rules = draw::rules(&mut dice);
        // Some begin on the eve of the days on which Berlin moves its clocks.
        let year_2026 = 1_767_225_600_000 + dice.below(365 * 86_400_000) as i64;
        let start_ms = dice.one_of(&[year_2026, year_2026, 1_774_720_000_000, 1_792_870_000_000]);
        let durable = dice.percent(85);
        let mut world = World {
            mutant,
            lag,
            doubt: lag + if leases { tuning.quantum } else { Duration::ZERO },
            tuning,
            durable,
            tick_ns: 1 + dice.any_size(1 << 50),
            wall_ns: start_ms * 1_000_000 + dice.below(1_000_000) as i64,
            stepped_ms: 0,
            accounts: Arc::new(Accounts::new(10_000, durable, tuning)),
            workers: Vec::new(),
            set: Arc::new(RuleSet::new(&rules)),
            rules,
            open: Vec::new(),
            oracle: BTreeMap::new(),
            replaced: BTreeSet::new(),
            controls: BTreeMap::new(),
            blocked: BTreeSet::new(),
            disk: Disk::default(),
            tale: VecDeque::new(),
            dice,
        };
        world.hire();
        world
    }

    /// Workers with new books over the accounts.
    pub(crate) fn hire(&mut self) {
        let now = self.now();
        let worker = |number| Worker {
            book: Book::new(number, self.accounts.clone(), HOLD),
            now,
            set: self.set.clone(),
        };
        self.workers = (0..self.tuning.workers).map(worker).collect();
    }

    // === time ===

    /// What the coordinator's clocks show, which is the time.
    pub(crate) fn now(&self) -> Moment {
        Moment { tick: Tick(self.tick_ns), unix_ms: self.wall_ns.div_euclid(1_000_000) }
    }

    pub(crate) fn advance(&mut self, by: Duration) {
        self.tick_ns += by.as_nanos() as u64;
        self.wall_ns += by.as_nanos() as i64;
        let (now, lag) = (self.now(), self.lag);
        for worker in &mut self.workers {
            if now.tick.since(worker.now.tick) >= lag {
                worker.now = now;
            }
        }
    }

    /// Somebody sets the wall's clock. Workers see it when they next look.
    pub(crate) fn step_clock(&mut self) {
        let by = self.dice.one_of(&[1, 20, 5_000, 61_000, 3_600_000, 90_000_000]);
        let ms = self.dice.below(by) as i64 * self.dice.one_of(&[-1, 1]);
        self.wall_ns += ms * 1_000_000;
        self.stepped_ms += ms;
        self.advance(Duration::ZERO);
        self.tell(format!("the wall's clock steps by {ms} ms"));
    }

    /// A worker begins a turn, perhaps: it looks at the clocks, and may adopt the rules in force.
    pub(crate) fn turn(&mut self) -> usize {
        let number = self.dice.below(self.workers.len() as u64) as usize;
        let (now, looks, adopts) = (self.now(), self.dice.percent(60), self.dice.percent(70));
        let worker = &mut self.workers[number];
        if looks {
            worker.now = now;
        }
        if adopts {
            worker.set = self.set.clone();
        }
        number
    }

    /// The instant as the book is told it.
    pub(crate) fn told(&self, now: Moment) -> Moment {
        match self.mutant {
            Some(Mutant::IgnoreClockSteps) => Moment { unix_ms: now.unix_ms - self.stepped_ms, ..now },
            _ => now,
        }
    }

    /// Whether nothing blurs what is seen: no leases, and all clocks are one.
    pub(crate) fn is_sharp(&self) -> bool {
        self.doubt.is_zero()
    }

    // === the oracle follows ===

    pub(crate) fn id(set: &RuleSet, rule: u32, key: u128) -> u128 {
        Wanted { rules: set, rule, key }.id()
    }

    /// Notices that the account was opened or got other terms at `now`.
    pub(crate) fn follow(&mut self, id: u128, now: Moment) {
        let Some(account) = self.accounts.get(id) else { return };
        let measure = &account.terms().measure;
        match self.oracle.get(&id) {
            Some(naive) if naive.measure == *measure => {
                self.oracle.entry(id).and_modify(|naive| naive.look(now));
            }
            Some(naive) => {
                if measure.is_durable() && !naive.measure.is_durable() {
                    // What was spent so far had not to be on disk; it is with the next grant.
                    self.disk.overspent(id, account.used(now));
                }
                let naive = naive.replaced(measure, now, self.doubt);
                self.oracle.insert(id, naive);
                self.replaced.insert(id);
            }
            None => {
                let mut naive = Naive::new(measure, now);
                naive.look(now);
                self.oracle.insert(id, naive);
            }
        }
    }

    pub(crate) fn naive(&mut self, id: u128) -> Result<&mut Naive, String> {
        self.oracle.get_mut(&id).ok_or_else(|| format!("account {id:x} is not known to the oracle"))
    }

    /// An account with other terms keeps what was used: to a unit, as amounts are whole. From here on both agree.
    pub(crate) fn check_replaced(&mut self, now: Moment) -> Check {
        for id in std::mem::take(&mut self.replaced) {
            let shown = self.shown(id, now)?;
            let doubt = self.doubt;
            let naive = self.naive(id)?;
            let (least, most) = naive.range(now, doubt);
            if !(least.saturating_sub(1)..=most).contains(&shown) {
                return Err(format!(
                    "I6: {id:x} was given other terms and shows {shown}, not {least}..={most}"
                ));
            }
            naive.adopt(shown, now);
        }
        Ok(())
    }

    /// Every account shows what the oracle says, and stands on disk if it must.
    pub(crate) fn check_all(&mut self) -> Check {
        let now = self.now();
        for account in self.all_accounts() {
            let (id, shown) = (account.id(), i128::from(account.balance(now)));
            let naive = self.oracle.get(&id).ok_or_else(|| format!("nobody opened {id:x}"))?;
            let (least, most) = naive.range(now, self.doubt);
            // A debt of so many budgets comes of a reload under a clock that had gone back, and has no exact number.
            let is_endless = shown.max(most) < -i128::from(naive.capacity()) << 16;
            if !is_endless && !(least..=most).contains(&shown) {
                let measure = &naive.measure;
                return Err(format!("I1: {id:x} shows {shown}, not {least}..={most}; {measure:?}"));
            }
            if account.is_durable() != (self.durable && account.terms().measure.is_durable()) {
                return Err(format!("I4: {id:x} is durable: {}", account.is_durable()));
            }
        }
        for (number, worker) in self.workers.iter().enumerate() {
            let open = self.open.iter().filter(|open| open.worker == number && !open.dead).count();
            if worker.book.open_reservations() != open {
                let shown = worker.book.open_reservations();
                return Err(format!("I5: worker {number} has {shown} reservations open, not {open}"));
            }
        }
        Ok(())
    }

    /// No interval holds more than capacity and refill.
    pub(crate) fn check_intervals(&self) -> Check {
        match self.oracle.iter().find_map(|(id, naive)| Some((id, naive.excess(self.doubt)?))) {
            Some((id, excess)) => Err(format!("I2: {id:x} admitted {excess}")),
            None => Ok(()),
        }
    }

    pub(crate) fn shown(&self, id: u128, now: Moment) -> Result<i128, String> {
        let account = self.accounts.get(id).ok_or_else(|| format!("account {id:x} is gone"))?;
        Ok(i128::from(account.balance(now)))
    }

    pub(crate) fn is_blocked(&self, id: u128) -> bool {
        self.blocked.contains(&id)
    }

    /// In the order of their ids, as the table's own order is nobody's business.
    pub(crate) fn all_accounts(&self) -> Vec<Arc<Account>> {
        let mut all = BTreeMap::new();
        self.accounts.for_each(|account| drop(all.insert(account.id(), account.clone())));
        all.into_values().collect()
    }

    // === the tale ===

    /// Keeps the last events for whoever has to understand a failure.
    pub(crate) fn tell(&mut self, what: String) {
        const KEPT: usize = 60;
        if self.tale.len() == KEPT {
            self.tale.pop_front();
        }
        let Moment { tick, unix_ms } = self.now();
        self.tale.push_back(format!("  {:>20} ns, {unix_ms} ms: {what}", tick.0));
    }

    pub(crate) fn tell_of(&mut self, worker: usize, what: String) {
        let Moment { tick, unix_ms } = self.workers[worker].now;
        let (late, by) = (self.now().tick.since(tick), self.now().unix_ms - unix_ms);
        let behind =
            if late.is_zero() && by == 0 { String::new() } else { format!(" ({late:?}, {by} ms late)") };
        self.tell(format!("worker {worker}{behind} {what}"));
    }

    pub(crate) fn tale(&self) -> String {
        let about = format!(
            "  {} workers, clocks {:?} apart, {:?}, durable: {}\n",
            self.workers.len(),
            self.lag,
            self.tuning,
            self.durable
        );
        let rules = (0u32..).zip(&self.rules).map(|(index, rule)| {
            let id = World::id(&self.set, index, 0);
            format!("  {id:x} {}\n", draw::in_brief(rule))
        });
        let tale = self.tale.iter().map(|line| format!("{line}\n"));
        std::iter::once(about).chain(rules).chain(tale).collect()
    }
}
