//! What an operator changed while the program ran: who, which account, what it was before and after.

use super::json::{Object, Plain, lead};
use super::time::Utc;
use std::net::SocketAddr;
use std::sync::Arc;

/// One change that took effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audit {
    /// When, in milliseconds since 1970 UTC.
    pub time_unix_ms: u64,
    /// Who connected; `None` over a Unix socket.
    pub peer: Option<SocketAddr>,
    /// What the token that was shown is called: the start of its hash, never the token.
    pub token: Arc<str>,
    /// The rule's name.
    pub rule: Arc<str>,
    /// The account.
    pub account: u128,
    /// What its key is called; empty where that is not known.
    pub label: String,
    /// What was changed.
    pub change: Change,
    /// Why, as the operator says; may be empty.
    pub reason: String,
}

/// What was changed of an account, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Credit was given back.
    Grant {
        /// What was asked for, in the rule's unit.
        asked: u64,
        /// Balances, in the rule's unit.
        balance: [i64; 2],
    },
    /// It was blocked, or let spend again.
    Block([bool; 2]),
    /// What it is allowed in place of what its rule says, in words.
    Override([Option<String>; 2]),
}

impl Change {
    /// The name of what was done.
    pub const fn action(&self) -> &'static str {
        match self {
            Change::Grant { .. } => "grant",
            Change::Block([_, true]) => "block",
            Change::Block([_, false]) => "unblock",
            Change::Override([_, Some(_)]) => "override",
            Change::Override([_, None]) => "remove-override",
        }
    }
}

impl Audit {
    /// Appends it as one line: a JSON object (RFC 8259) and a line feed. What tells it from a record is that its
    /// first member is `audit`, the action.
    ///
    /// Its members are always in this order: `audit`, `time` (RFC 3339, UTC), `peer`, `token`, `rule`, `account`
    /// (32 hexadecimal digits), `key`, `asked` (of a grant only), `before`, `after` (balances, truth values, or
    /// words or null, as the action has them), `reason`. New members will be added at the end.
    pub fn json_line(&self, out: &mut Vec<u8>) {
        let mut json = Object::begin(out);
        json.quoted(lead!("audit"), self.change.action());
        json.time(lead!("time"), Utc(self.time_unix_ms));
        match self.peer {
            Some(peer) => json.address(lead!("peer"), peer),
            None => json.text(lead!("peer"), Some("unix")),
        }
        json.quoted(lead!("token"), &self.token);
        json.text(lead!("rule"), Some(&self.rule));
        json.quoted(lead!("account"), format_args!("{:032x}", self.account));
        json.text(lead!("key"), Some(&self.label));
        match &self.change {
            Change::Grant { asked, balance } => {
                json.plain(lead!("asked"), *asked);
                plain_pair(&mut json, balance);
            }
            Change::Block(pair) => plain_pair(&mut json, pair),
            Change::Override([before, after]) => {
                json.text(lead!("before"), before.as_deref());
                json.text(lead!("after"), after.as_deref());
            }
        }
        json.text(lead!("reason"), Some(&self.reason));
        json.end();
        out.push(b'\n');
    }
}

fn plain_pair<V: Plain + Copy>(json: &mut Object<'_>, [before, after]: &[V; 2]) {
    json.plain(lead!("before"), *before);
    json.plain(lead!("after"), *after);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_is_one_line_of_json() {
        let audit = Audit {
            time_unix_ms: 1_767_323_045_678,
            peer: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
            token: "sha256:ba7816bf".into(),
            rule: "ns/p/l".into(),
            account: 0xab,
            label: "red \"team\"".into(),
            change: Change::Block([false, true]),
            reason: "line\nend".into(),
        };
        let begin = r#"","time":"2026-01-02T03:04:05.678Z","peer":"127.0.0.1:9","token":"sha256:ba7816bf","#
            .to_owned()
            + r#""rule":"ns/p/l","account":"000000000000000000000000000000ab","key":"red \"team\"","#;
        let words = || Some("2 requests under way".to_owned());
        for (change, action, rest) in [
            (Change::Block([false, true]), "block", r#""before":false,"after":true"#),
            (Change::Block([true, false]), "unblock", r#""before":true,"after":false"#),
            (Change::Grant { asked: 9, balance: [-5, 4] }, "grant", r#""asked":9,"before":-5,"after":4"#),
            (
                Change::Override([None, words()]),
                "override",
                r#""before":null,"after":"2 requests under way""#,
            ),
            (
                Change::Override([words(), None]),
                "remove-override",
                r#""before":"2 requests under way","after":null"#,
            ),
        ] {
            let mut line = Vec::new();
            Audit { change, ..audit.clone() }.json_line(&mut line);
            let expected = format!("{{\"audit\":\"{action}{begin}{rest},\"reason\":\"line\\nend\"}}\n");
            assert_eq!(String::from_utf8(line).expect("text"), expected);
        }
    }
}
