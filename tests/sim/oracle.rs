//! The naive account: a balance that refills and is cut at the capacity, in whole parts of a unit, on one thread.
//!
//! Nothing here is taken from `src/limit` but what a rule says. A unit has as many parts as its refill takes
//! nanoseconds, so that every instant refills a whole number of parts and nothing is ever rounded.

use std::time::Duration;
use tollgate::base::Moment;
use tollgate::limit::{Every, Measure, Zone};

/// One rule for one key, as the documents say that it works.
#[derive(Clone, Debug)]
pub(crate) struct Naive {
    pub(crate) measure: Measure,
    /// Parts of a unit.
    one: i128,
    full: i128,
    /// Parts that come per step of time: per nanosecond, or per window.
    flow: i128,
    born: i128,
    /// When `balance` was true.
    at: i128,
    balance: i128,
    /// The same, if all that was taken while a clock had gone back counts now.
    least: i128,
    /// The latest window that anybody has seen. While a clock shows an earlier one nothing is promised but the
    /// bound: how much of a budget was left then is not known any more.
    newest: i128,
    /// Nothing is known of it until it is looked at.
    is_lost: bool,
    /// A clock has gone back before.
    pub(crate) was_back: bool,
    /// What was spent before this counts as spent then.
    first: i128,
    /// Slots of a sliding budget begin at whole multiples of their time since 1970, as the wall's clock told it at
    /// first: the wall's time at tick 0, in nanoseconds.
    epoch: i128,
    /// What was spent and when, for a sliding budget.
    spent: Vec<Spent>,
    /// What was admitted and what came back, for the intervals.
    passed: Vec<Passed>,
}

#[derive(Clone, Copy, Debug)]
struct Spent {
    tick: i128,
    amount: i128,
}

#[derive(Clone, Copy, Debug)]
struct Passed {
    tick: i128,
    window: i128,
    /// Units admitted; negative for a refund.
    amount: i128,
}

/// Ten years in nanoseconds and 2^59: the real account promises exactness to a nanosecond where as many parts as
/// refill in the first fit into the second.
const LIFETIME: i128 = 315_360_000_000_000_000;
const PARTS_MAX: i128 = 1 << 59;
/// It leaves room for a debt of four million units, whatever the rate.
const UNITS_MIN: i128 = 1 << 19;

impl Naive {
    /// A full account.
    pub(crate) fn new(measure: &Measure, now: Moment) -> Naive {
        let (one, flow) = match measure {
            Measure::Bucket { rate, .. } => (rate.fill.as_nanos() as i128, i128::from(rate.per_fill)),
            Measure::Calendar { budget, .. } => (1, i128::from(*budget)),
            Measure::Sliding { .. } | Measure::Concurrent { .. } => (1, 0),
        };
        let full = i128::from(measure.capacity()) * one;
        let mut new = Naive {
            measure: measure.clone(),
            one,
            full,
            flow,
            born: i128::MIN,
            at: 0,
            balance: full,
            least: full,
            newest: -1,
            is_lost: false,
            was_back: false,
            first: 0,
            epoch: epoch(now),
            spent: Vec::new(),
            passed: Vec::new(),
        };
        new.at = new.position(now);
        if matches!(measure, Measure::Bucket { .. }) {
            new.born = new.at;
        }
        new
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.measure.capacity()
    }

    /// The least and the most that may be shown at `now`, in units. `doubt` is the time whose refill may be
    /// lost.
    pub(crate) fn range(&self, now: Moment, doubt: Duration) -> (i128, i128) {
        let (least, most) = self.parts(now, doubt);
        (least.div_euclid(self.one), most.div_euclid(self.one))
    }

    /// Whether `amount` is covered for certain.
    pub(crate) fn surely_covers(&self, amount: u64, now: Moment, doubt: Duration) -> bool {
        self.parts(now, doubt).0 >= i128::from(amount) * self.one
    }

    /// Whether it may be that `amount` is covered.
    pub(crate) fn may_cover(&self, amount: u64, now: Moment) -> bool {
        self.parts(now, Duration::ZERO).1 >= i128::from(amount) * self.one
    }

    /// Whether it has been full for long enough that nobody could see it otherwise.
    pub(crate) fn is_long_full(&self, now: Moment, doubt: Duration) -> bool {
        match self.measure {
            Measure::Sliding { .. } => self.parts(now, doubt).0 >= self.full,
            Measure::Bucket { .. } | Measure::Calendar { .. } | Measure::Concurrent { .. } => {
                let least = self.unclipped(now) - (self.balance - self.least);
                !self.is_back(now)
                    && least - self.slack() - doubt.as_nanos() as i128 * self.loss() >= self.full
            }
        }
    }

    /// Somebody has seen what the clocks show.
    pub(crate) fn look(&mut self, now: Moment) {
        if matches!(self.measure, Measure::Calendar { .. }) {
            self.was_back |= self.is_back(now);
            self.newest = self.newest.max(self.position(now));
        }
    }

    /// Whether the clock shows a window before one that was seen.
    pub(crate) fn is_back(&self, now: Moment) -> bool {
        self.is_lost || self.position(now) < self.newest
    }

    pub(crate) fn take(&mut self, amount: u64, now: Moment) {
        if amount == 0 {
            return;
        }
        self.clip(now);
        self.spend(i128::from(amount), now);
        self.passed(i128::from(amount), now);
    }

    /// `reserved`, the last of it at `then`, is replaced by `used`. What comes back of a sliding budget comes back
    /// where the newest of it was noted.
    pub(crate) fn settle(&mut self, reserved: u64, used: u64, then: Moment, now: Moment) {
        let refund = i128::from(reserved) - i128::from(used);
        if refund == 0 {
            return;
        }
        if refund > 0 && matches!(self.measure, Measure::Sliding { .. }) {
            let then = self.end_of_slot(tick(then).max(self.first));
            let spent = self.spent.iter_mut().map(|spent| (spent.tick, &mut spent.amount));
            take_back(spent.rev(), refund, then);
            let passed = self.passed.iter_mut().map(|passed| (passed.tick, &mut passed.amount));
            return take_back(passed.rev(), refund, then);
        }
        self.clip(now);
        self.spend(-refund, now);
        self.clip(now);
        if refund > 0 {
            self.passed(-refund, now);
        }
    }

    /// What is used stays used under another measure: more capacity gives the difference, less takes what no
    /// longer fits. The real account carries whole units, and may show up to one less.
    pub(crate) fn replaced(&self, measure: &Measure, now: Moment, doubt: Duration) -> Naive {
        let mut next = Naive::new(measure, now);
        let carried = |parts: i128| {
            let used = self.full.saturating_sub(parts).clamp(0, i128::MAX / 4);
            let debt = (used - self.full).max(0);
            let scaled = |parts: i128| {
                (parts / self.one).saturating_mul(next.one) + parts % self.one * next.one / self.one
            };
            next.full.saturating_sub(scaled(used - debt).min(next.full)).saturating_sub(scaled(debt))
        };
        let (least, most) = self.parts(now, doubt);
        (next.least, next.balance) = (carried(least).max(-(1 << 100)) - next.one, carried(most));
        let new = next.full;
        if matches!(measure, Measure::Sliding { .. }) {
            next.spent.push(Spent { tick: tick(now), amount: new - next.balance });
            next.first = tick(now);
        }
        next.is_lost = self.is_back(now);
        next.was_back = self.was_back || self.is_back(now);
        next
    }

    /// Takes over what the real account shows, after it was found to be within bounds: a whole number.
    pub(crate) fn adopt(&mut self, units: i128, now: Moment) {
        self.is_lost = false;
        self.look(now);
        (self.at, self.balance, self.least) = (self.position(now), units * self.one, units * self.one);
        if matches!(self.measure, Measure::Sliding { .. }) {
            self.spent = vec![Spent { tick: tick(now), amount: self.full - self.balance }];
            self.first = tick(now);
        }
    }

    /// The balance after `elapsed` was spent in no process at all; by the wall's clock, by which a bucket
    /// refills then.
    pub(crate) fn awoken(&self, then: Moment, now: Moment) -> Naive {
        let elapsed = i128::from((now.unix_ms - then.unix_ms).max(0)) * 1_000_000;
        let mut next = Naive::new(&self.measure, now);
        next.balance = match self.measure {
            Measure::Bucket { .. } => {
                (self.parts(then, Duration::ZERO).1 + elapsed * self.flow).min(self.full)
            }
            _ => self.parts(now, Duration::ZERO).1,
        };
        next.is_lost = self.is_back(then);
        next.least = next.balance - (self.balance - self.least);
        next.spent = self.spent.clone();
        next.epoch = self.epoch;
        next
    }

    /// Whether slots are where they were: nobody has set the clock since the account was opened.
    pub(crate) fn has_epoch_of(&self, now: Moment) -> bool {
        (epoch(now) - self.epoch).abs() <= SLOT_SHIFT
    }

    /// Takes over what an account has in its slots after a restart: their ends by the wall's clock, and units.
    pub(crate) fn adopt_slots(&mut self, slots: &[(i64, u64)], now: Moment) {
        let until = |slot: &(i64, u64)| i128::from(slot.0) - 1;
        // All slots are up to a millisecond later than they were.
        self.epoch = epoch(now) - 1_000_000;
        let spent = |slot: &(i64, u64)| Spent { tick: until(slot) - self.epoch, amount: i128::from(slot.1) };
        self.spent = slots.iter().map(spent).collect();
        self.balance = self.full - self.spent.iter().map(|spent| spent.amount).sum::<i128>();
        (self.least, self.first, self.at) = (self.balance, 0, self.position(now));
    }

    /// Whether more was admitted in any interval than capacity and refill, whatever came back before it; the
    /// interval, in words. `doubt` is by how much clocks may differ.
    pub(crate) fn excess(&self, doubt: Duration) -> Option<String> {
        for (first, from) in self.passed.iter().enumerate() {
            let mut sum = 0;
            for to in &self.passed[first..] {
                if matches!(self.measure, Measure::Calendar { .. }) && to.window != from.window {
                    break;
                }
                sum += to.amount;
                let time = (to.tick - from.tick).abs() + 2 * doubt.as_nanos() as i128;
                let refill =
                    if matches!(self.measure, Measure::Bucket { .. }) { time * self.flow } else { 0 };
                let is_bucket_like = !matches!(self.measure, Measure::Sliding { .. });
                if is_bucket_like && sum * self.one > self.full + refill + self.slack() {
                    return Some(format!("{sum} in {time} ns from {}, {:?}", from.tick, self.measure));
                }
            }
        }
        self.excess_of_sliding()
    }

    fn excess_of_sliding(&self) -> Option<String> {
        let Measure::Sliding { length, .. } = self.measure else { return None };
        self.passed.iter().find_map(|from| {
            let until = from.tick + length.as_nanos() as i128;
            let within = |one: &&Passed| (from.tick..until).contains(&one.tick);
            let sum: i128 = self.passed.iter().filter(within).map(|one| one.amount).sum();
            (sum > self.full).then(|| format!("{sum} from {}, {:?}", from.tick, self.measure))
        })
    }

    /// Before a crash and after it, what was admitted in one window counts together.
    pub(crate) fn remember(&mut self, before: &Naive) {
        self.passed.clone_from(&before.passed);
        self.newest = self.newest.max(before.newest);
        self.was_back |= before.was_back;
    }

    // === parts ===

    fn slot(&self) -> i128 {
        let Measure::Sliding { length, .. } = self.measure else { return 1 };
        (length.as_nanos() as i128 + 59) / 60
    }

    /// Refunds are of a slot, a sixtieth of the length.
    fn end_of_slot(&self, tick: i128) -> i128 {
        let slot = self.slot();
        ((tick + self.epoch) / slot + 1) * slot - 1 - self.epoch
    }

    fn spend(&mut self, amount: i128, now: Moment) {
        if amount < 0 || !self.is_back(now) {
            self.balance -= amount * self.one;
        }
        self.least -= amount * self.one;
        if matches!(self.measure, Measure::Sliding { .. }) && amount > 0 {
            self.spent.push(Spent { tick: tick(now), amount });
        }
    }

    fn passed(&mut self, amount: i128, now: Moment) {
        self.passed.push(Passed { tick: tick(now), window: window(&self.measure, now), amount });
    }

    /// What overflows until `now` is lost.
    fn clip(&mut self, now: Moment) {
        self.look(now);
        let flown = (self.position(now) - self.at) * self.flow;
        self.at = self.position(now);
        self.balance += flown;
        self.least += flown;
        if !self.is_back(now) {
            self.balance = self.balance.min(self.full);
        }
        // Whoever saw a later window may have taken something then and put it back.
        let later = (self.newest - self.at).max(0) * self.flow;
        self.least = (self.least + later).min(self.full) - later;
    }

    fn unclipped(&self, now: Moment) -> i128 {
        self.balance + (self.position(now) - self.at) * self.flow
    }

    /// The least and the most parts that there may be.
    fn parts(&self, now: Moment, doubt: Duration) -> (i128, i128) {
        if self.is_back(now) {
            return (i128::MIN, i128::MAX);
        }
        let Measure::Sliding { length, .. } = self.measure else {
            let most = self.unclipped(now);
            let least = (most - (self.balance - self.least)).min(self.full);
            let doubt = self.slack() + doubt.as_nanos() as i128 * self.loss();
            return (least - doubt, most.min(self.full) + self.slack());
        };
        // A slot is a sixtieth of the length and comes back as a whole, when its end is a length old.
        let (length, slot) = (length.as_nanos() as i128, (length.as_nanos() as i128 + 59) / 60);
        let unfreed = |until: i128| {
            let young = |spent: &&Spent| spent.tick + until > tick(now);
            self.spent.iter().filter(young).map(|spent| spent.amount).sum::<i128>()
        };
        let doubt = doubt.as_nanos() as i128;
        let least = self.full - unfreed(length.max(slot * 60) + slot + doubt) - (self.balance - self.least);
        (least, self.full - unfreed(length))
    }

    /// Parts that are lost per nanosecond of doubt.
    fn loss(&self) -> i128 {
        if matches!(self.measure, Measure::Bucket { .. }) { self.flow } else { 0 }
    }

    /// How far the real account may be off because its amounts have grains: one nanosecond of refill, and more
    /// where the capacity is huge beside the rate.
    fn slack(&self) -> i128 {
        match self.measure {
            Measure::Bucket { .. } => {
                let of_a_lifetime = LIFETIME * self.flow / self.one + 1;
                let units = of_a_lifetime.max(self.full / self.one).max(UNITS_MIN);
                self.flow + 2 * self.one * units / PARTS_MAX + 1
            }
            _ => 0,
        }
    }

    fn position(&self, now: Moment) -> i128 {
        match &self.measure {
            Measure::Bucket { .. } => tick(now).max(self.born),
            measure => window(measure, now),
        }
    }
}

/// Takes `amount` out of what is not newer than `then`, the newest first.
fn take_back<'a>(those: impl Iterator<Item = (i128, &'a mut i128)>, mut amount: i128, then: i128) {
    for (_, left) in those.filter(|(at, _)| *at <= then) {
        let back = amount.min(*left);
        *left -= back;
        amount -= back;
    }
}

/// By how much slots may be elsewhere after a restart: the wall's clock is told in milliseconds.
pub(crate) const SLOT_SHIFT: i128 = 2_000_000;

fn epoch(now: Moment) -> i128 {
    i128::from(now.unix_ms) * 1_000_000 - tick(now)
}

fn tick(now: Moment) -> i128 {
    i128::from(now.tick.0)
}

/// The number of the window by a calendar that knows three zones: UTC, Kolkata, and Berlin in 2026.
pub(crate) fn window(measure: &Measure, now: Moment) -> i128 {
    let Measure::Calendar { every, zone, .. } = measure else { return 0 };
    let length = length_ms(*every);
    // Hours do not move with the clocks, as some would come twice.
    let offset = if *every == Every::Day { 86_400_000 } else { 3_600_000 };
    let local = now.unix_ms + offset_ms(zone, now.unix_ms) % offset;
    i128::from(local.div_euclid(length))
}

fn length_ms(every: Every) -> i64 {
    match every {
        Every::Minute => 60_000,
        Every::Hour => 3_600_000,
        _ => 86_400_000,
    }
}

fn offset_ms(zone: &Zone, unix_ms: i64) -> i64 {
    const SUMMER_2026: std::ops::Range<i64> = 1_774_746_000_000..1_792_890_000_000;
    match zone.name() {
        "Asia/Kolkata" => 19_800_000,
        "Europe/Berlin" if SUMMER_2026.contains(&unix_ms) => 7_200_000,
        "Europe/Berlin" => 3_600_000,
        _ => 0,
    }
}
