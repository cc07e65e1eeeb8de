//! One turn: a load on one gateway, the CPU time that it took, and whether the books agree.

use super::check::{Books, since};
use super::load::{Client, Load};
use super::rig::Rig;
use crate::cli::kit::process::{Cpu, load_average};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tollgate_loadtest::{Ledger, Simulator};

/// What a turn brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Turn {
    pub(super) label: String,
    pub(super) round: usize,
    /// Which turn of the round it had.
    pub(super) place: usize,
    /// Answers that the provider completed meanwhile.
    pub(super) served: u64,
    /// Connections that the gateway opened to the provider meanwhile.
    pub(super) opened: u64,
    pub(super) cpu: Cpu,
    pub(super) load: Load,
    /// Tokens: what the provider reported, and what tollgate settled.
    pub(super) reported: u64,
    pub(super) settled: Option<u64>,
    pub(super) faults: Vec<String>,
    /// Load average of the machine at the end.
    pub(super) busy: f64,
}

/// How long those that were under way when a client stopped may take, and how long nothing must have come.
const REST_MAX: Duration = Duration::from_secs(10);
const QUIET: Duration = Duration::from_millis(200);

impl Turn {
    /// Drives one rig for some time.
    pub(super) fn take(
        rig: &Rig,
        client: &Client,
        simulator: &Simulator,
        seconds: u64,
        (connections, tokens_each, first): (u32, u64, u64),
    ) -> Result<Turn, String> {
        let (books, settled, cpu) = (rest(simulator), rig.settled()?, rig.cpu()?);
        let load = client.drive(rig.port, Duration::from_secs(seconds), first)?;
        let busy = load_average();
        // What was under way when the client stopped is served and paid for, too.
        let ledger = since(&rest(simulator), &books);
        let cpu = rig.cpu()?.since(&cpu);
        let settled = rig.settled()?.map(|sum| sum - settled.unwrap_or(0));
        let books = Books { ledger, load, settled, connections, tokens_each };
        Ok(Turn {
            label: rig.label.clone(),
            served: books.ledger.completed,
            opened: books.ledger.connections,
            cpu,
            reported: books.ledger.reported.input + books.ledger.reported.output,
            settled,
            faults: books.faults(),
            load: books.load,
            busy,
            ..Turn::default()
        })
    }

    /// CPU microseconds per request.
    pub(super) fn cost(&self) -> f64 {
        self.cpu.schedstat_ns as f64 / 1e3 / self.served.max(1) as f64
    }

    pub(super) fn json(&self) -> Value {
        json!({
            "gateway": self.label, "round": self.round, "turn": self.place, "served": self.served,
            "cpu_us_per_request": self.cost(), "cpu_ns": self.cpu.schedstat_ns, "user_ticks": self.cpu.user_ticks,
            "system_ticks": self.cpu.system_ticks, "connections_opened": self.opened, "client": self.load.json(),
            "tokens_reported": self.reported, "tokens_settled": self.settled, "faults": self.faults,
            "load_average": self.busy,
        })
    }
}

/// The provider's books once all that was under way has ended, and nothing more has come from a gateway that had
/// requests in store.
fn rest(simulator: &Simulator) -> Ledger {
    let until = Instant::now() + REST_MAX;
    let mut books = simulator.ledger();
    loop {
        std::thread::sleep(QUIET);
        let later = simulator.ledger();
        if Instant::now() > until || (later == books && later.requests == ended(&later)) {
            return later;
        }
        books = later;
    }
}

fn ended(books: &Ledger) -> u64 {
    books.completed + books.cut + books.client_gone
}
