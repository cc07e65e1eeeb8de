//! What an operator has decided of one account, on its way to the accounts and to the disk.

use crate::base::Moment;
use crate::limit::{Accounts, Allowance, Control, Every, Measure, Rate, RuleSet, Terms, Wanted, Zone};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// All that operators have decided of one account. It replaces what was decided before, so whoever keeps it keeps
/// the newest per account, and one that is neither blocked nor has a measure may be forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlChange {
    /// The account's id.
    pub account: u128,
    /// The name of its rule.
    pub rule: Arc<str>,
    /// What its key is called; empty where that is not known.
    pub label: String,
    /// Whether all its requests are refused.
    pub blocked: bool,
    /// What it is allowed in place of what its rule says; [`measure_text`] writes it down.
    pub measure: Option<Measure>,
    /// Who decided it: what the token is called.
    pub by: Arc<str>,
    /// When, in milliseconds since 1970 UTC.
    pub unix_ms: i64,
}

impl ControlChange {
    /// Makes it so, now and whenever the account is opened again; after a restart it is to be said again. `false`
    /// when the rule is not in force: then there is nothing that it could be said of.
    pub fn follow(&self, rules: &RuleSet, accounts: &Accounts, now: Moment) -> bool {
        let Some((place, ready)) = rules.named(&self.rule) else { return false };
        let terms = |measure: &Measure| Arc::new(Terms::new(&ready.rule.name, ready.rule.unit, measure));
        let control = Control { blocked: self.blocked, terms: self.measure.as_ref().map(terms) };
        let wanted = Wanted { rules, rule: place, key: self.account ^ ready.salt };
        accounts.set_control(&wanted, control, now);
        // A worker that opens it right now may not have seen the control: whoever comes second mends it.
        let account = accounts.find(&wanted, &|| self.label.clone(), now);
        if account.id() == wanted.id() {
            account.set_blocked(self.blocked);
        }
        true
    }

    /// What it is allowed instead, in words.
    pub fn allowance(&self, rules: &RuleSet) -> Option<String> {
        let (_, ready) = rules.named(&self.rule)?;
        Some(Allowance::new(ready.rule.unit, self.measure.as_ref()?).to_string())
    }
}

/// A measure as a text of at most 200 bytes that [`measure_of`] reads: JSON.
pub fn measure_text(measure: &Measure) -> String {
    let nanos = |time: &Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    match measure {
        Measure::Bucket { capacity, rate } => {
            json!({"capacity": capacity, "per_fill": rate.per_fill, "fill_ns": nanos(&rate.fill)})
        }
        Measure::Calendar { budget, every, zone } => {
            json!({"budget": budget, "every": every.name(), "zone": zone.name()})
        }
        Measure::Sliding { budget, length } => json!({"budget": budget, "length_ns": nanos(length)}),
        Measure::Concurrent { max } => json!({"max": max}),
    }
    .to_string()
}

/// The measure that [`measure_text`] wrote; `None` for any other text.
pub fn measure_of(text: &str) -> Option<Measure> {
    let value: Value = serde_json::from_str(text).ok()?;
    let number = |name: &str| value.get(name)?.as_u64().filter(|number| *number > 0);
    let word = |name: &str| value.get(name)?.as_str();
    if let Some(capacity) = number("capacity") {
        let fill = Duration::from_nanos(number("fill_ns")?);
        return Some(Measure::Bucket { capacity, rate: Rate { per_fill: number("per_fill")?, fill } });
    }
    if let Some(max) = number("max") {
        return Some(Measure::Concurrent { max });
    }
    let budget = number("budget")?;
    if let Some(length) = number("length_ns") {
        return Some(Measure::Sliding { budget, length: Duration::from_nanos(length) });
    }
    let every = Every::ALL.into_iter().find(|every| Some(every.name()) == word("every"))?;
    Some(Measure::Calendar { budget, every, zone: Zone::named(word("zone")?)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{KeyPart, Rule, Tuning, Unit};

    fn measures() -> Vec<Measure> {
        let rate = Rate { per_fill: 7, fill: Duration::from_millis(1500) };
        let zone = |name: &str| Zone::named(name).expect("a zone");
        vec![
            Measure::Bucket { capacity: u64::MAX, rate },
            Measure::Calendar {
                budget: 5,
                every: Every::Month,
                zone: zone("America/Argentina/ComodRivadavia"),
            },
            Measure::Calendar { budget: 5, every: Every::Minute, zone: Zone::utc() },
            Measure::Sliding { budget: 5, length: Duration::from_secs(8784 * 3600) },
            Measure::Concurrent { max: 1 },
        ]
    }

    #[test]
    fn measures_survive_being_written_down() {
        for measure in measures() {
            let text = measure_text(&measure);
            assert_eq!(measure_of(&text), Some(measure), "{text}");
            assert!(text.len() <= 200, "{text}");
        }
        for text in ["", "{}", "5", r#"{"max":0}"#, r#"{"budget":5,"every":"year","zone":"UTC"}"#] {
            assert_eq!(measure_of(text), None, "{text}");
        }
        let mars = r#"{"budget":5,"every":"day","zone":"Mars/Olympus"}"#;
        assert_eq!(measure_of(mars), None);
    }

    #[test]
    fn what_is_decided_holds_for_accounts_that_are_there_and_that_come() {
        let now = Moment::default();
        for (is_there, bound) in [(true, 9), (false, 9), (false, 0)] {
            let rate = Rate { per_fill: 1, fill: Duration::from_secs(60) };
            let usual = Measure::Bucket { capacity: 5, rate };
            let rule = Rule { key: vec![KeyPart::ApiKey], ..Rule::new("a", Unit::Requests, usual) };
            let rules = RuleSet::new(&[rule]);
            let accounts = Accounts::new(bound, false, Tuning::default());
            let (wanted, other) =
                (Wanted { rules: &rules, rule: 0, key: 7 }, Wanted { rules: &rules, rule: 0, key: 8 });
            if is_there {
                accounts.find(&wanted, &String::new, now);
            }
            let mut change = ControlChange {
                account: wanted.id(),
                rule: "a".into(),
                label: "seven".into(),
                blocked: true,
                measure: Some(Measure::Bucket { capacity: 2, rate }),
                by: "".into(),
                unix_ms: 0,
            };
            let stands = || {
                let account = accounts.find(&wanted, &String::new, now);
                (account.id() == wanted.id(), account.is_blocked(), account.terms().capacity())
            };
            assert!(change.follow(&rules, &accounts, now));
            assert_eq!(stands(), (true, true, 2), "{is_there} {bound}");
            assert_eq!(change.allowance(&rules).as_deref(), Some("2 requests at once, 1 back every 60 s"));
            let neighbour = accounts.find(&other, &String::new, now);
            assert!(!neighbour.is_blocked() && neighbour.terms().capacity() == 5);
            change.blocked = false;
            assert!(change.follow(&rules, &accounts, now));
            assert_eq!(stands(), (true, false, 2));
            change.measure = None;
            assert!(change.follow(&rules, &accounts, now));
            assert_eq!((stands().1, stands().2, accounts.controlled()), (false, 5, 0));
            assert!(!change.follow(&RuleSet::default(), &accounts, now), "the rule is not in force");
        }
    }
}
