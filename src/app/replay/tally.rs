//! What a replay found, for people and for programs.

use super::course::remedy;
use super::past::{Log, Past};
use crate::base::{FastMap, Money};
use crate::limit::{self, Amount, KeyPart, Spend, Unit};
use serde_json::json;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

/// Keys that are counted one by one for each limit; more are counted together.
const KEYS_MAX: usize = 10_000;
/// Refused keys of a limit that the table shows.
const SHOWN_KEYS: usize = 5;

/// A request that would have been refused.
pub(super) struct Refusal<'a> {
    pub(super) past: &'a Past,
    /// The limit.
    pub(super) limit: &'a str,
    /// What the key of its account is called.
    pub(super) label: String,
    /// After what time it would have been admitted, if nobody else came; `None` where waiting does not help.
    pub(super) wait: Option<Duration>,
    /// What the account held.
    pub(super) balance: Option<i64>,
}

/// What was found so far.
pub(super) struct Tally {
    then_admitted: u64,
    then_refused: u64,
    admitted: u64,
    refused: u64,
    /// Admitted now and refused then, and the other way round.
    newly_admitted: u64,
    newly_refused: u64,
    fell_back: u64,
    /// Streams that a limit would have ended.
    pub(super) cut: u64,
    /// Requests whose rule is not in the configuration.
    pub(super) unrouted: u64,
    tokens: u128,
    cost: i128,
    pub(super) limits: Vec<LimitTally>,
}

/// What was found of one limit.
pub(super) struct LimitTally {
    name: Arc<str>,
    unit: Unit,
    allows: String,
    pub(super) spent: u128,
    /// Requests that it would have refused, were it enforced.
    pub(super) shadow: u64,
    refused: u64,
    first: Option<u64>,
    keys: FastMap<String, u64>,
    /// Requests that it could not be asked about, and why.
    not_judged: u64,
    why: Option<String>,
}

impl LimitTally {
    pub(super) fn not_judged(&mut self, part: &KeyPart) {
        self.not_judged += 1;
        self.why.get_or_insert_with(|| remedy(part));
    }
}

impl Tally {
    pub(super) fn of(limits: &[limit::Rule]) -> Tally {
        let limits = limits.iter().map(|rule| LimitTally {
            name: rule.name.clone(),
            unit: rule.unit,
            allows: rule.allowance().to_string(),
            spent: 0,
            shadow: 0,
            refused: 0,
            first: None,
            keys: FastMap::default(),
            not_judged: 0,
            why: None,
        });
        Tally {
            then_admitted: 0,
            then_refused: 0,
            admitted: 0,
            refused: 0,
            newly_admitted: 0,
            newly_refused: 0,
            fell_back: 0,
            cut: 0,
            unrouted: 0,
            tokens: 0,
            cost: 0,
            limits: limits.collect(),
        }
    }

    pub(super) fn asked(&mut self, past: &Past) {
        match past.refused {
            true => self.then_refused += 1,
            false => self.then_admitted += 1,
        }
    }

    pub(super) fn admitted(&mut self, past: &Past, fell_back: bool) {
        self.admitted += 1;
        self.newly_admitted += u64::from(past.refused);
        self.fell_back += u64::from(fell_back);
    }

    pub(super) fn refused(&mut self, limit: usize, refusal: &Refusal<'_>) {
        self.refused += 1;
        self.newly_refused += u64::from(!refusal.past.refused);
        let Some(limit) = self.limits.get_mut(limit) else { return };
        limit.refused += 1;
        limit.first.get_or_insert(refusal.past.begin_ms);
        if let Some(count) = limit.keys.get_mut(&refusal.label) {
            *count += 1;
        } else if limit.keys.len() < KEYS_MAX {
            limit.keys.insert(refusal.label.clone(), 1);
        }
    }

    pub(super) fn spent(&mut self, spend: &Spend) {
        self.tokens += u128::from(spend.input.saturating_add(spend.output));
        self.cost += i128::from(spend.cost.0);
    }

    /// For people.
    pub(super) fn table(&self, log: &Log) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = self.write_table(log, &mut text);
        text
    }

    fn write_table(&self, log: &Log, out: &mut String) -> std::fmt::Result {
        let (first, last) = (log.records.first(), log.records.last());
        let span = first
            .zip(last)
            .map(|(first, last)| format!(", {} to {}", time(first.begin_ms), time(last.begin_ms)));
        let count = log.records.len();
        writeln!(out, "{count} request{}{}", if count == 1 { "" } else { "s" }, span.unwrap_or_default())?;
        if log.passed_over > 0 {
            writeln!(out, "{} more never came to be asked of limits", log.passed_over)?;
        }
        if let Some((number, why)) = &log.first_unread {
            writeln!(
                out,
                "{} lines are no records and were left out; the first is line {number}: {why}",
                log.unread
            )?;
        }
        if self.unrouted > 0 {
            writeln!(out, "{} are of rules that this configuration has not", self.unrouted)?;
        }
        writeln!(out, "\n{:<10}{:>12}{:>12}", "", "then", "now")?;
        writeln!(
            out,
            "{:<10}{:>12}{:>12}  {} of them refused then",
            "admitted", self.then_admitted, self.admitted, self.newly_admitted
        )?;
        writeln!(
            out,
            "{:<10}{:>12}{:>12}  {} of them admitted then",
            "refused", self.then_refused, self.refused, self.newly_refused
        )?;
        let cost = Money(i64::try_from(self.cost).unwrap_or(i64::MAX));
        writeln!(out, "{:<10}{:>12}{:>12}  {cost} USD by the prices in force", "tokens", "", self.tokens)?;
        if self.fell_back > 0 {
            writeln!(out, "{} would have been made with another model, as a limit says", self.fell_back)?;
        }
        if self.cut > 0 {
            writeln!(out, "{} streams would have been cut by a limit", self.cut)?;
        }
        for limit in &self.limits {
            writeln!(out)?;
            limit.write(out)?;
        }
        Ok(())
    }

    /// For programs: one object.
    pub(super) fn json(&self, log: &Log) -> String {
        let limits: Vec<_> = self.limits.iter().map(LimitTally::json).collect();
        json!({
            "records": log.records.len(), "passed_over": log.passed_over, "unread": log.unread, "unrouted": self.unrouted,
            "then": {"admitted": self.then_admitted, "refused": self.then_refused},
            "now": {"admitted": self.admitted, "refused": self.refused, "newly_admitted": self.newly_admitted,
                    "newly_refused": self.newly_refused, "fell_back": self.fell_back, "cut": self.cut,
                    "tokens": self.tokens as u64, "cost_nano_usd": self.cost as i64},
            "limits": limits,
        })
        .to_string()
            + "\n"
    }
}

impl LimitTally {
    /// Its keys, the one that was refused most often first.
    fn by_count(&self) -> Vec<(&str, u64)> {
        let mut keys: Vec<(&str, u64)> = self.keys.iter().map(|(key, count)| (&**key, *count)).collect();
        keys.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        keys
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "{}: {}", self.name, self.allows)?;
        let amount = u64::try_from(self.spent).unwrap_or(u64::MAX);
        match self.unit {
            Unit::Concurrency => {}
            unit => writeln!(out, "  spent        {}", Amount { unit, amount })?,
        }
        let first = self.first.map(|at| format!(", the first at {}", time(at)));
        writeln!(out, "  refused      {}{}", self.refused, first.unwrap_or_default())?;
        if self.shadow > 0 {
            writeln!(out, "  in shadow    {} more would be, were it enforced", self.shadow)?;
        }
        if let Some(why) = &self.why {
            writeln!(out, "  not judged   {} requests: {why}", self.not_judged)?;
        }
        let keys = self.by_count();
        for (key, count) in keys.iter().take(SHOWN_KEYS).filter(|(key, _)| !key.is_empty()) {
            writeln!(out, "    {count:>9}  {key}")?;
        }
        if keys.len() > SHOWN_KEYS {
            writeln!(out, "    {:>9}  keys more", keys.len() - SHOWN_KEYS)?;
        }
        Ok(())
    }

    fn json(&self) -> serde_json::Value {
        let keys: Vec<_> =
            self.by_count().into_iter().map(|(key, count)| json!({"key": key, "refused": count})).collect();
        json!({
            "limit": &*self.name, "unit": self.unit.name(), "spent": self.spent as u64, "refused": self.refused,
            "first": self.first.map(time), "shadow": self.shadow, "not_judged": self.not_judged, "why": self.why,
            "keys": keys,
        })
    }
}

impl Refusal<'_> {
    /// One line for programs.
    pub(super) fn json(&self) -> String {
        let wait = self.wait.map(|wait| u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        json!({
            "time": time(self.past.begin_ms), "route": &*self.past.route, "limit": self.limit, "key": self.label,
            "model": &*self.past.asked, "then": if self.past.refused { "refused" } else { "admitted" },
            "retry_after_ms": wait, "balance": self.balance,
        })
        .to_string()
            + "\n"
    }
}

fn time(unix_ms: u64) -> String {
    let at = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or_else(String::new, |at| format!("{at:.3}"))
}
