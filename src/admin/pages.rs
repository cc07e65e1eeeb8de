//! Which page a request gets.

use super::{metrics, state};
use crate::base::Moment;
use crate::mail::Board;
use crate::telemetry::prometheus;
use crate::wire::http1::Method;
use std::fmt;
use std::sync::Arc;

/// What pages are made from.
pub(super) struct Pages {
    pub(super) board: Arc<Board>,
    /// The clock of the board's accounts.
    pub(super) now: fn() -> Moment,
    /// Of the running program.
    pub(super) version: &'static str,
}

/// A status, and what goes with it.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) content_type: &'static str,
    pub(super) body: Vec<u8>,
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

impl Pages {
    /// The answer to `method` on `path`, which is compared byte for byte and without its query.
    pub(super) fn answer(&self, method: Method, path: &[u8]) -> Answer {
        match PAGES.iter().find(|(page, ..)| page.as_bytes() == path) {
            None => Answer::plain(404, "no such page; / lists those that are here"),
            Some((.., make)) if matches!(method, Method::Get | Method::Head) => make(self),
            Some(_) => Answer::plain(405, "pages are read with GET or HEAD"),
        }
    }

    fn index(&self) -> Answer {
        let mut text = format!("tollgate {}\n", self.version);
        PAGES.iter().for_each(|(path, shows, _)| text.push_str(&format!("\n{path:<9} {shows}")));
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
        Answer { status: 200, content_type: prometheus::CONTENT_TYPE, body }
    }

    fn state(&self) -> Answer {
        let body = state::page(&self.board, (self.now)(), self.version);
        Answer { status: 200, content_type: "application/json", body }
    }
}

impl Answer {
    /// An answer of plain text; a line end is added.
    pub(super) fn plain(status: u16, text: &str) -> Answer {
        let body = format!("{text}\n").into_bytes();
        Answer { status, content_type: "text/plain; charset=utf-8", body }
    }
}

/// A board is not for printing: it holds credentials.
impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pages").field("version", &self.version).finish_non_exhaustive()
    }
}
