//! What a request is for, and the pages that only show.

use super::accounts;
use super::answer::Answer;
use super::auth::Guard;
use super::orders::Order;
use super::{metrics, state};
use crate::base::Moment;
use crate::mail::Board;
use crate::telemetry::prometheus;
use crate::wire::http1::Method;
use std::fmt;
use std::sync::{Arc, Mutex};

/// What answers are made from.
pub(super) struct Pages {
    pub(super) board: Arc<Board>,
    /// The clock of the board's accounts.
    pub(super) now: fn() -> Moment,
    /// Of the running program.
    pub(super) version: &'static str,
    pub(super) guard: Guard,
    /// Held while something is changed.
    pub(super) changing: Mutex<()>,
}

/// What a head says.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// Compared byte for byte.
    pub(super) path: &'a [u8],
    pub(super) query: &'a [u8],
    pub(super) authorization: Option<&'a [u8]>,
    pub(super) content_type: Option<&'a [u8]>,
}

/// What comes of a head.
pub(super) enum Step {
    /// This.
    Answer(Answer),
    /// It may say what it wants in its body.
    Body(Order),
}

/// A page: its path, what it shows, who makes it.
type Page = (&'static str, &'static str, fn(&Pages) -> Answer);

const PAGES: [Page; 5] = [
    ("/", "this list", Pages::index),
    ("/healthz", "200 while the process lives", Pages::healthz),
    ("/readyz", "200 while requests are welcome, else 503 and what is missing", Pages::readyz),
    ("/metrics", "counters, gauges and histograms for Prometheus", Pages::metrics),
    (
        "/state",
        "configuration in force, workers, balances of limits, addresses of targets, as JSON",
        Pages::state,
    ),
];

/// What takes the token of `admin.token`, for the list.
const GUARDED: [(&str, &str); 8] = [
    ("GET /accounts", "accounts by id: ?rule=NAME&limit=N&after=ID&debt=1"),
    ("GET /accounts/ID", "one account"),
    ("POST /accounts/ID/grant", "gives credit back: {\"amount\": N, \"reason\": TEXT}"),
    ("POST /accounts/ID/block", "refuses all its requests: {\"reason\": TEXT}"),
    ("POST /accounts/ID/unblock", "serves them again: {\"reason\": TEXT}"),
    (
        "PUT /accounts/ID/override",
        "allows it something else: {\"rate\": \"60/minute\"}, burst, budget or max",
    ),
    ("DELETE /accounts/ID/override", "allows it what its limit does"),
    ("POST /keys", "the account of a key: {\"rule\": NAME, \"key\": VALUE or [VALUES]}"),
];

/// What a path and a method mean.
enum Purpose {
    Show(fn(&Pages) -> Answer),
    Accounts,
    Account(u128),
    Do(Order),
}

impl Pages {
    /// What to do with a request. Whoever may not have an answer is told so before anything else is looked at.
    pub(super) fn receive(&self, request: &Request<'_>) -> Step {
        self.admit(request).unwrap_or_else(Step::Answer)
    }

    fn admit(&self, request: &Request<'_>) -> Result<Step, Answer> {
        let purpose = purpose(request.method, request.path)?;
        if let Purpose::Show(make) = purpose {
            return Ok(Step::Answer(make(self)));
        }
        self.guard.admit(request.authorization)?;
        Ok(match purpose {
            Purpose::Show(make) => Step::Answer(make(self)),
            Purpose::Accounts => Step::Answer(accounts::list(&self.board, request.query, (self.now)())),
            Purpose::Account(id) => Step::Answer(accounts::one(&self.board, id, (self.now)())),
            // A form of a web page cannot send it without asking (Fetch standard, CORS-safelisted).
            Purpose::Do(_) if !request.content_type.is_some_and(is_json) => {
                return Err(Answer::fault(415, "send content-type: application/json"));
            }
            Purpose::Do(order) => Step::Body(order),
        })
    }

    fn index(&self) -> Answer {
        let mut text = format!("tollgate {}\n", self.version);
        PAGES.iter().for_each(|(path, shows, _)| text.push_str(&format!("\n{path:<9} {shows}")));
        text.push_str("\n\nwith Authorization: Bearer and the token of admin.token in Settings:\n");
        GUARDED.iter().for_each(|(what, does)| text.push_str(&format!("\n{what:<28} {does}")));
        Answer::plain(200, &text)
    }

    fn healthz(&self) -> Answer {
        Answer::plain(200, "ok")
    }

    /// Once all workers serve, health does not tell draining from the instant before all is declared ready.
    fn readyz(&self) -> Answer {
        let health = &self.board.health;
        let (adopted, workers) = (health.workers_adopted(), self.board.desks.len() as u64);
        if health.is_ready() {
            return Answer::plain(200, "ready");
        }
        let rest = if adopted < workers { "" } else { "; draining, or about to be declared ready" };
        let missing = format!("not ready: {adopted} of {workers} workers have adopted a configuration{rest}");
        Answer::plain(503, &missing)
    }

    fn metrics(&self) -> Answer {
        let body = metrics::page(&self.board, (self.now)(), self.version);
        Answer::of(200, prometheus::CONTENT_TYPE, body)
    }

    fn state(&self) -> Answer {
        let body = state::page(&self.board, (self.now)(), self.version);
        Answer::of(200, "application/json", body)
    }
}

fn purpose(method: Method, path: &[u8]) -> Result<Purpose, Answer> {
    if let Some((.., make)) = PAGES.iter().find(|(page, ..)| page.as_bytes() == path) {
        return by_method(method, "GET, HEAD", [(Method::Get, Purpose::Show(*make))]);
    }
    let read = "GET, HEAD";
    match path {
        b"/accounts" => return by_method(method, read, [(Method::Get, Purpose::Accounts)]),
        b"/keys" => return by_method(method, "POST", [(Method::Post, Purpose::Do(Order::Key))]),
        _ => {}
    }
    let missing = || Answer::plain(404, "no such page; / lists those that are here");
    let rest = path.strip_prefix(b"/accounts/").ok_or_else(missing)?;
    let (id, verb) = rest.split_at_checked(32).unwrap_or((rest, b""));
    let id =
        accounts::id_of(id).ok_or_else(|| Answer::fault(404, "an account id is 32 hexadecimal digits"))?;
    let post = |order| by_method(method, "POST", [(Method::Post, Purpose::Do(order))]);
    match verb {
        b"" => by_method(method, read, [(Method::Get, Purpose::Account(id))]),
        b"/grant" => post(Order::Grant(id)),
        b"/block" => post(Order::Block(id, true)),
        b"/unblock" => post(Order::Block(id, false)),
        b"/override" => {
            let set = (Method::Put, Purpose::Do(Order::Override(id)));
            by_method(method, "PUT, DELETE", [set, (Method::Delete, Purpose::Do(Order::RemoveOverride(id)))])
        }
        _ => Err(missing()),
    }
}

/// The purpose that goes with the method. Whoever may GET may also ask for the head alone.
fn by_method<const N: usize>(
    method: Method,
    allowed: &'static str,
    purposes: [(Method, Purpose); N],
) -> Result<Purpose, Answer> {
    let method = if method == Method::Head { Method::Get } else { method };
    let found = purposes.into_iter().find(|(with, _)| *with == method);
    found.map(|(_, purpose)| purpose).ok_or_else(|| {
        let text = format!("this path takes {}", allowed.replace(", ", " or "));
        Answer::plain(405, &text).with("allow", allowed) // a MUST of RFC 9110 section 15.5.6
    })
}

/// Whether a value of `Content-Type` is JSON's; parameters say nothing.
fn is_json(value: &[u8]) -> bool {
    let media = value.split(|byte| *byte == b';').next().unwrap_or_default();
    crate::base::ascii::trim(media).eq_ignore_ascii_case(b"application/json")
}

/// A board is not for printing: it holds credentials.
impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("version", &self.version).finish_non_exhaustive()
    }
}
