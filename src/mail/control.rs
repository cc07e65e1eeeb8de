//! What an operator has decided of one account, on its way to the accounts and to the disk.

use crate::base::Moment;
use crate::limit::{Accounts, Allowance, Control, Every, Measure, Rate, RuleSet, Terms, Unit, Wanted, Zone};
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
    /// What the rule counts: a rule that counts something else is another one.
    pub unit: Unit,
    /// What its key is called; empty where that is not known.
    pub label: String,
    /// Whether all its requests are refused.
    pub blocked: bool,
    /// What it is allowed in place of what its rule says.
    pub measure: Option<Measure>,
    /// Who decided it: what the token is called.
    pub by: Arc<str>,
    /// When, in milliseconds since 1970 UTC.
    pub unix_ms: i64,
}

impl ControlChange {
    /// Makes it so, now and whenever the account is opened again; after a restart it is to be said again. Of a rule
    /// that is not in force it is remembered: the rule may come back.
    pub fn follow(&self, rules: &RuleSet, accounts: &Accounts, now: Moment) {
        let terms = |measure: &Measure| Arc::new(Terms::new(&self.rule, self.unit, measure));
        let control = Control { blocked: self.blocked, terms: self.measure.as_ref().map(terms) };
        accounts.set_control(self.account, control);
        let Some((place, ready)) = rules.named(&self.rule) else { return };
        let wanted = Wanted { rules, rule: place, key: self.account ^ ready.salt };
        // A worker that opens it right now may not have seen the control: whoever comes second mends it.
        let account = accounts.find(&wanted, &|| self.label.clone(), now);
        if account.id() == wanted.id() {
            account.set_blocked(self.blocked);
        }
    }

    /// Whether it says anything that is to be remembered.
    pub fn is_to_keep(&self) -> bool {
        self.blocked || self.measure.is_some()
    }

    /// It as a text for the disk, apart from the account and who decided when: JSON of less than 1,000 bytes where
    /// the rule's name has less than 500.
    pub fn text(&self) -> String {
        let measure = self.measure.as_ref().map(measure_json);
        json!({
            "rule": &*self.rule, "unit": self.unit.name(), "label": self.label, "blocked": self.blocked,
            "measure": measure,
        })
        .to_string()
    }

    /// What [`text`](ControlChange::text) wrote; `None` for any other text.
    pub fn of_text(account: u128, text: &str, by: &Arc<str>, unix_ms: i64) -> Option<ControlChange> {
        let value: Value = serde_json::from_str(text).ok()?;
        let word = |name: &str| value.get(name)?.as_str();
        let measure = match value.get("measure")? {
            Value::Null => None,
            measure => Some(measure_of(measure)?),
        };
        Some(ControlChange {
            account,
            rule: word("rule")?.into(),
            unit: Unit::ALL.into_iter().find(|unit| Some(unit.name()) == word("unit"))?,
            label: word("label")?.to_owned(),
            blocked: value.get("blocked")?.as_bool()?,
            measure,
            by: by.clone(),
            unix_ms,
        })
    }

    /// What it is allowed instead, in words.
    pub fn allowance(&self) -> Option<String> {
        self.measure.as_ref().map(|measure| Allowance::new(self.unit, measure).to_string())
    }
}

fn measure_json(measure: &Measure) -> Value {
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
}

fn measure_of(value: &Value) -> Option<Measure> {
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
    use crate::limit::{KeyPart, Rule, Tuning};

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

    fn change(account: u128, blocked: bool, measure: Option<Measure>) -> ControlChange {
        let (rule, label, by) = ("a".into(), "seven \"7\"\n".to_owned(), "ops".into());
        ControlChange { account, rule, unit: Unit::Requests, label, blocked, measure, by, unix_ms: 9 }
    }

    #[test]
    fn decisions_survive_being_written_down() {
        let measures = measures().into_iter().map(Some).chain([None]);
        for (measure, blocked) in measures.flat_map(|measure| [(measure.clone(), true), (measure, false)]) {
            let change = ControlChange { rule: "n".repeat(500).into(), ..change(7, blocked, measure) };
            let text = change.text();
            assert_eq!(ControlChange::of_text(7, &text, &"ops".into(), 9), Some(change), "{text}");
            assert!(text.len() < 1000, "{text}");
        }
        let with = |from: &str, to: &str| {
            change(7, true, Some(Measure::Concurrent { max: 5 })).text().replace(from, to)
        };
        assert!(ControlChange::of_text(7, &with("", ""), &"ops".into(), 9).is_some());
        for text in [
            String::new(),
            "{}".to_owned(),
            with("true", "1"),
            with("\"requests\"", "\"roses\""),
            with("{\"max\":5}", "{}"),
            with("{\"max\":5}", "{\"max\":0}"),
            with("{\"max\":5}", r#"{"budget":5,"every":"year","zone":"UTC"}"#),
            with("{\"max\":5}", r#"{"budget":5,"every":"day","zone":"Mars/Olympus"}"#),
        ] {
            assert_eq!(ControlChange::of_text(7, &text, &"ops".into(), 9), None, "{text}");
        }
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
            let mut change = change(wanted.id(), true, Some(Measure::Bucket { capacity: 2, rate }));
            if is_there {
                // Said while the rule is not in force, it is remembered.
                change.follow(&RuleSet::default(), &accounts, now);
                assert_eq!(accounts.controlled(), 1);
            }
            let stands = || {
                let account = accounts.find(&wanted, &String::new, now);
                (account.id() == wanted.id(), account.is_blocked(), account.terms().capacity())
            };
            change.follow(&rules, &accounts, now);
            assert_eq!(stands(), (true, true, 2), "{is_there} {bound}");
            assert_eq!(change.allowance().as_deref(), Some("2 requests at once, 1 back every 60 s"));
            let neighbour = accounts.find(&other, &String::new, now);
            assert!(!neighbour.is_blocked() && neighbour.terms().capacity() == 5);
            change.blocked = false;
            change.follow(&rules, &accounts, now);
            assert_eq!(stands(), (true, false, 2));
            change.measure = None;
            change.follow(&rules, &accounts, now);
            assert_eq!((stands().1, stands().2, accounts.controlled()), (false, 5, 0));
        }
    }
}
