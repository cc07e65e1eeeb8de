//! `/accounts`: how accounts stand, as JSON; a page of them, or one.
//!
//! Times are seconds, amounts are in each limit's own unit (money in nano-dollars).

use super::answer::Answer;
use super::state::wait;
use crate::base::Moment;
use crate::limit::{Account, Allowance, Control, Wanted};
use crate::mail::Board;
use crate::wire::json::write::Object;
use crate::wire::url;
use std::collections::BinaryHeap;
use std::sync::Arc;

/// The most accounts of one answer.
const PAGE_MAX: usize = 1000;
/// What one answer has unless the client says otherwise.
const PAGE: usize = 100;

/// Which accounts a client wants to see.
#[derive(Debug, PartialEq, Eq)]
struct Asked {
    rule: Option<String>,
    limit: usize,
    after: Option<u128>,
    debt: bool,
}

impl Asked {
    fn parse(query: &[u8]) -> Result<Asked, String> {
        let mut asked = Asked { rule: None, limit: PAGE, after: None, debt: false };
        for (name, _) in url::query_pairs(query) {
            let value = url::query_value(query, name).unwrap_or_default();
            let value = std::str::from_utf8(&value).map_err(|_| "the query must be UTF-8".to_owned())?;
            match name {
                b"rule" => asked.rule = Some(value.to_owned()),
                b"limit" => {
                    let number = value.parse().ok().filter(|number| (1..=PAGE_MAX).contains(number));
                    asked.limit = number.ok_or_else(|| format!("limit must be from 1 to {PAGE_MAX}"))?;
                }
                b"after" => {
                    let what =
                        "after must be an account id: 32 hexadecimal digits, the \"next\" of an answer";
                    asked.after = Some(id_of(value.as_bytes()).ok_or(what)?);
                }
                b"debt" => {
                    asked.debt = match value {
                        "1" | "true" => true,
                        "0" | "false" => false,
                        _ => return Err("debt must be 1 or 0".to_owned()),
                    }
                }
                _ => return Err("the query may have rule, limit, after and debt".to_owned()),
            }
        }
        Ok(asked)
    }

    fn wants(&self, id: u128, rule: &str) -> bool {
        self.after.is_none_or(|after| id > after) && self.rule.as_deref().is_none_or(|wanted| wanted == rule)
    }
}

/// The id that 32 hexadecimal digits are.
pub(super) fn id_of(text: &[u8]) -> Option<u128> {
    let is_id = text.len() == 32 && text.iter().all(u8::is_ascii_hexdigit);
    u128::from_str_radix(std::str::from_utf8(text).ok().filter(|_| is_id)?, 16).ok()
}

/// The accounts that `query` wants, by id: `{"accounts": [...], "next": id or null}`. `next` is there when there
/// are more, to be sent as `after`.
pub(super) fn list(board: &Board, query: &[u8], now: Moment) -> Answer {
    let asked = match Asked::parse(query) {
        Ok(asked) => asked,
        Err(why) => return Answer::fault(400, &why),
    };
    let mut ids = ids(board, &asked, now);
    let is_rule = |rule: &str| board.in_force().rules.named(rule).is_some();
    match &asked.rule {
        Some(rule) if ids.is_empty() && !is_rule(rule) => {
            return Answer::fault(404, "no limit in force has this name; /state lists them");
        }
        _ => {}
    }
    let has_more = ids.len() > asked.limit;
    ids.truncate(asked.limit);
    Answer::json(|object| {
        let mut list = object.array("accounts");
        for id in &ids {
            if let Some(account) = find(board, *id, None, now) {
                show(list.object(), &account, &board.accounts.control(*id), now);
            }
        }
        drop(list);
        match ids.last().filter(|_| has_more) {
            Some(id) => object.string("next", &format!("{id:032x}")),
            None => object.null("next"),
        };
    })
}

/// One account.
pub(super) fn one(board: &Board, id: u128, now: Moment) -> Answer {
    match find(board, id, None, now) {
        Some(account) => Answer::json(|object| fill(object, &account, &board.accounts.control(id), now)),
        None => Answer::fault(
            404,
            "no account has this id: its key was not seen, or not for long, and it is full",
        ),
    }
}

/// The ids of a page and one more, in order. The table has no order: all of it is looked at, and only as many ids
/// are held as are wanted.
fn ids(board: &Board, asked: &Asked, now: Moment) -> Vec<u128> {
    let mut least = BinaryHeap::new();
    let is_far = |least: &BinaryHeap<u128>, id: u128| {
        least.len() > asked.limit && least.peek().is_some_and(|most| id > *most)
    };
    let keep = |least: &mut BinaryHeap<u128>, id: u128| {
        least.push(id);
        if least.len() > asked.limit + 1 {
            least.pop();
        }
    };
    board.accounts.for_each(|account| {
        let id = account.id();
        if is_far(&least, id) || !asked.wants(id, &account.terms().rule) {
            return;
        }
        if !asked.debt || account.balance(now) < 0 {
            keep(&mut least, id);
        }
    });
    // An account with an override only is forgotten when it is full; what was said of it stays.
    board.accounts.for_each_control(|id, control| {
        let is_wanted = |rule: &str| !asked.debt && asked.wants(id, rule);
        let is_alone = control.terms.as_ref().is_some_and(|terms| is_wanted(&terms.rule));
        if is_alone && !is_far(&least, id) && board.accounts.get(id).is_none() {
            keep(&mut least, id);
        }
    });
    least.into_sorted_vec()
}

/// The account of that id; one that was forgotten, or never opened, as it would be opened now, where its rule is
/// known: by what was said of it, or because it is `rule`.
pub(super) fn find(board: &Board, id: u128, rule: Option<&str>, now: Moment) -> Option<Arc<Account>> {
    board.accounts.get(id).or_else(|| {
        let (in_force, said) = (board.in_force(), board.accounts.control(id).terms);
        let name = said.as_ref().map(|terms| &*terms.rule).or(rule)?;
        let terms = match in_force.rules.named(name) {
            Some((place, ready)) => {
                let wanted = Wanted { rules: &in_force.rules, rule: place, key: id ^ ready.salt };
                board.accounts.terms_of(&wanted)
            }
            None => said?,
        };
        Some(Arc::new(Account::open(id, "", &terms, false, now)))
    })
}

fn show(mut to: Object<'_>, account: &Account, control: &Control, now: Moment) {
    fill(&mut to, account, control, now);
}

/// `balance` is negative in debt, and with `used` it makes the capacity. After `wait_seconds` a request for one
/// unit is admitted if nobody else comes; null when nobody can say. `override` is what an operator allows it while
/// the program runs, in words.
pub(super) fn fill(to: &mut Object<'_>, account: &Account, control: &Control, now: Moment) {
    let (terms, balance) = (account.terms(), account.balance(now));
    to.string("id", &format!("{:032x}", account.id()));
    to.string("rule", &terms.rule).string("unit", terms.unit.name()).string("key", account.label());
    to.string("allows", &Allowance::new(terms.unit, &terms.measure).to_string());
    to.integer("capacity", terms.capacity());
    to.raw("balance", balance.to_string().as_bytes());
    to.raw("used", (i128::from(terms.capacity()) - i128::from(balance)).to_string().as_bytes());
    to.raw("wait_seconds", wait(account.wait_for(1, now)).as_bytes());
    to.bool("blocked", account.is_blocked());
    // Said of a limit that counted something else, it is not in force.
    match control.terms.as_ref().filter(|said| said.unit == terms.unit) {
        Some(terms) => to.string("override", &Allowance::new(terms.unit, &terms.measure).to_string()),
        None => to.null("override"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_say_which_accounts() {
        let usual = || Asked { rule: None, limit: PAGE, after: None, debt: false };
        let id = "000000000000000000000000000000Ff";
        for (query, expected) in [
            ("", Ok(usual())),
            ("rule=ns/a", Ok(Asked { rule: Some("ns/a".into()), ..usual() })),
            ("rule=ns%2Fa&debt=1", Ok(Asked { rule: Some("ns/a".into()), debt: true, ..usual() })),
            ("limit=1000&debt=false", Ok(Asked { limit: 1000, ..usual() })),
            (&format!("after={id}"), Ok(Asked { after: Some(255), ..usual() })),
            ("limit=0", Err("limit must be from 1 to 1000")),
            ("limit=1001", Err("limit must be from 1 to 1000")),
            ("limit=x", Err("limit must be from 1 to 1000")),
            ("after=ff", Err("after must be an account id")),
            ("after=+0000000000000000000000000000000", Err("after must be an account id")),
            ("debt=2", Err("debt must be 1 or 0")),
            ("rules=a", Err("the query may have rule, limit, after and debt")),
            ("rule=%ff", Err("the query must be UTF-8")),
        ] {
            match (Asked::parse(query.as_bytes()), expected) {
                (Ok(asked), Ok(expected)) => assert_eq!(asked, expected, "{query}"),
                (Err(why), Err(says)) => assert!(why.contains(says), "{query}: {why}"),
                (found, expected) => panic!("{query}: {found:?}, not {expected:?}"),
            }
        }
    }
}
