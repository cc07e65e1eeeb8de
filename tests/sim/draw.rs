//! What a world is made of, at random: rules, tunings, requests.

use super::dice::Dice;
use std::time::Duration;
use tollgate::base::Money;
use tollgate::limit::{
    Caller, Every, KeyPart, Measure, MissingKey, Mode, OnExhausted, Override, Rate, Rule, Spend, Tuning,
    Unit, Zone,
};

const HOUR: Duration = Duration::from_secs(3600);

/// Who asks: a key, or none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client(pub(crate) Option<u128>);

impl Caller for Client {
    fn key(&self, _: &[KeyPart]) -> Result<u128, usize> {
        self.0.ok_or(0)
    }

    fn label(&self, _: &[KeyPart]) -> String {
        String::new()
    }
}

/// No capacity is more.
const AMOUNT_MAX: u64 = 1 << 32;
/// Nor that of tokens and requests.
pub(crate) const TOKENS_MAX: u64 = 1 << 20;

/// Keys are from 1 to this.
pub(crate) const KEYS: u64 = 3;

impl Client {
    pub(crate) fn draw(dice: &mut Dice) -> Client {
        Client((!dice.percent(15)).then(|| u128::from(dice.between(1, KEYS))))
    }
}

pub(crate) fn tuning(dice: &mut Dice, workers: u32, leases: bool) -> Tuning {
    let share_percent = if leases { dice.one_of(&[1, 12, 50, 100]) } else { 0 };
    let quantum = dice.one_of(&[1, 50_000, 1_000_000, 1_000_000, 20_000_000]);
    Tuning { workers, share_percent, quantum: Duration::from_nanos(quantum) }
}

pub(crate) fn rules(dice: &mut Dice) -> Vec<Rule> {
    (0..dice.between(1, 4)).map(|number| rule(dice, number)).collect()
}

/// A rule of that number. A number has one unit for ever: a rule that counts something else is another rule.
pub(crate) fn rule(dice: &mut Dice, number: u64) -> Rule {
    let unit = [Unit::Tokens, Unit::Requests, Unit::Concurrency, Unit::Cost][number as usize % 4];
    let key = dice.one_of(&[vec![], vec![KeyPart::ApiKey], vec![KeyPart::Header("x-team".into())]]);
    let mut rule = Rule { key, ..Rule::new(&format!("rule-{number}"), unit, measure(dice, unit)) };
    rule.on_missing =
        dice.one_of(&[MissingKey::Shared, MissingKey::Shared, MissingKey::Skip, MissingKey::Deny]);
    rule.mode = if dice.percent(12) { Mode::Shadow } else { Mode::Enforce };
    rule.on_exhausted = dice.one_of(&[OnExhausted::Finish, OnExhausted::Cut]);
    if !rule.key.is_empty() && dice.percent(30) {
        rule.overrides.push(Override { key: 1, label: "gold".into(), measure: measure(dice, unit) });
    }
    rule
}

pub(crate) fn measure(dice: &mut Dice, unit: Unit) -> Measure {
    if unit == Unit::Concurrency {
        return Measure::Concurrent { max: dice.between(1, 4) };
    }
    // Amounts of a unit are of one size, as debts of a million times a capacity are beyond all numbers.
    let (least, most) = if unit == Unit::Cost { (1 << 28, AMOUNT_MAX) } else { (1, TOKENS_MAX) };
    let most = dice.one_of(&[3, 100, 100_000, most]);
    let amount = least + dice.any_size(most);
    match dice.below(8) {
        0..=3 => {
            let longest = dice.one_of(&[Duration::from_millis(1), Duration::from_secs(100), 24 * HOUR]);
            let fill = Duration::from_nanos(1) + dice.any_time(longest);
            let per_fill = (least >> 8).max(1) + dice.any_size(amount);
            // A faster one fills all numbers before the world ends.
            let fill = fill.max(Duration::from_nanos(per_fill / 100));
            Measure::Bucket { capacity: amount, rate: Rate { per_fill, fill } }
        }
        4..=6 => Measure::Calendar {
            budget: amount,
            every: dice.one_of(&[Every::Minute, Every::Hour, Every::Hour, Every::Day]),
            zone: dice.one_of(&[Zone::utc(), zone("Asia/Kolkata"), zone("Europe/Berlin")]),
        },
        _ => Measure::Sliding {
            budget: amount,
            length: Duration::from_secs(dice.one_of(&[10, 61, 3600, 7200])),
        },
    }
}

fn zone(name: &str) -> Zone {
    Zone::named(name).expect("a zone of the database")
}

/// What a request is expected to spend, somewhere below and a little above what the rules hold.
pub(crate) fn spend(dice: &mut Dice, rules: &[Rule]) -> Spend {
    let about = |dice: &mut Dice, unit| {
        let capacities: Vec<u64> =
            rules.iter().filter(|rule| rule.unit == unit).map(|rule| rule.measure.capacity()).collect();
        let most = capacities.get(dice.below(capacities.len().max(1) as u64) as usize).copied().unwrap_or(10);
        let part = dice.one_of(&[1, 2, 3, 10, 50]);
        if dice.percent(10) { most } else { dice.any_size(most / part + 1) }
    };
    let tokens = about(dice, Unit::Tokens);
    let output = dice.below(tokens + 1);
    let cost = Money(i64::try_from(about(dice, Unit::Cost)).expect("small"));
    Spend { input: tokens - output, output, cost, ..Spend::default() }
}

/// A rule in a line.
pub(crate) fn in_brief(rule: &Rule) -> String {
    let Rule { name, measure, key, on_missing, mode, overrides, .. } = rule;
    let gold = overrides.first().map(|gold| &gold.measure);
    format!("{name} {measure:?} {key:?} {on_missing:?} {mode:?} {gold:?}")
}

/// A spend in a few letters.
pub(crate) fn brief(spend: &Spend) -> String {
    format!("{}+{} ${}", spend.input, spend.output, spend.cost.0)
}

/// The amount that a rule counts: all tokens, without weights.
pub(crate) fn amount(unit: Unit, spend: &Spend) -> u64 {
    match unit {
        Unit::Requests | Unit::Concurrency => 1,
        Unit::Tokens => spend.input + spend.output,
        Unit::Cost => spend.cost.0 as u64,
    }
}

/// A rule like `rule` that allows another amount, or in another way.
pub(crate) fn changed(dice: &mut Dice, rule: &Rule) -> Rule {
    let scaled = |dice: &mut Dice, amount: u64| {
        let most = if amount > TOKENS_MAX { AMOUNT_MAX } else { TOKENS_MAX };
        (amount * dice.between(1, 8) / 4).clamp(1, most)
    };
    let mut rule = rule.clone();
    rule.measure = match rule.measure {
        _ if dice.percent(20) => measure(dice, rule.unit),
        Measure::Bucket { capacity, rate } => Measure::Bucket { capacity: scaled(dice, capacity), rate },
        Measure::Calendar { budget, every, zone } => {
            Measure::Calendar { budget: scaled(dice, budget), every, zone }
        }
        Measure::Sliding { budget, length } => Measure::Sliding { budget: scaled(dice, budget), length },
        Measure::Concurrent { max } => Measure::Concurrent { max: scaled(dice, max) },
    };
    rule
}
