//! The quick run: is everything right? Nothing is timed, and nothing but tollgate is needed.
//!
//! A client of our own sends a fixed number of requests through every setup. Each answer is compared with the
//! provider's own, and since nobody stops in the middle, all books must agree to the token.

use super::Asked;
use super::cases::{Row, Setup, Who};
use super::check::{Answer, Sameness, since};
use super::load::Request;
use super::peers::Contender;
use super::rig::{Place, Rig};
use super::stand::{provider, request};
use crate::cli::kit::figures::Figures;
use crate::cli::kit::gateway::end_after;
use crate::cli::kit::http::Client;
use crate::cli::kit::process::is_program;
use crate::cli::kit::secure::OPENSSL;
use std::fs;
use std::path::Path;
use std::time::Duration;
use tollgate_loadtest::Ledger;

/// Longest run.
const LIFE: Duration = Duration::from_secs(120);
/// Clients at once, and requests of each.
const CLIENTS: u64 = 8;
const REQUESTS: u64 = 150;
/// Requests of each client where bodies are large.
const LARGE_REQUESTS: u64 = 10;

/// Setups, and the size of bodies.
const ROWS: [(Setup, usize); 7] = [
    (Setup::Plain, 1 << 10),
    (Setup::Chat, 1 << 10),
    (Setup::Chat, 16 << 10),
    (Setup::Chat, 256 << 10),
    (Setup::Translated, 1 << 10),
    (Setup::Limits, 1 << 10),
    (Setup::Tls, 1 << 10),
];

/// Checks every setup; an error when anything differs.
pub(super) fn run(asked: &Asked) -> Result<(), String> {
    end_after(LIFE);
    let mut figures = Figures::new("quick");
    let scratch = std::env::temp_dir().join(format!("tollgate-quick-{}", std::process::id()));
    fs::create_dir_all(&scratch).map_err(|why| format!("{}: {why}", scratch.display()))?;
    let tollgate = Contender::tollgate(&asked.tollgate, &asked.home);
    for (setup, body_bytes) in ROWS {
        if setup == Setup::Tls && !is_program(OPENSSL) {
            eprintln!("note: TLS was not looked at: {OPENSSL} is not on this machine");
            continue;
        }
        try_setup(&tollgate, setup, body_bytes, &scratch, &mut figures)?;
    }
    let out = (!asked.out.as_os_str().is_empty()).then_some(asked.out.as_path());
    let outcome = figures.publish(out);
    match &outcome {
        Ok(()) => drop(fs::remove_dir_all(&scratch)),
        Err(_) => eprintln!("configurations and logs are in {}", scratch.display()),
    }
    outcome
}

fn try_setup(
    tollgate: &Contender,
    setup: Setup,
    body_bytes: usize,
    scratch: &Path,
    figures: &mut Figures,
) -> Result<(), String> {
    let label = format!("{} {} KiB", setup.name(), body_bytes >> 10);
    let (simulator, tokens_each) = provider(body_bytes)?;
    let place = Place {
        upstream: simulator.addr().port(),
        provider: 0,
        configs: scratch.join("configs"),
        scratch: scratch.to_path_buf(),
        life: LIFE,
        cpus: std::thread::available_parallelism().map_or(1, |cpus| cpus.get() as u32),
    };
    let row = Row { who: Who::Tollgate(""), setup, keys: 1, workers: 2 };
    let rig = Rig::start(tollgate, &row, &label, 1024, request(setup, body_bytes), &place)?;
    let direct = Answer::to(place.upstream, &Request { tls: None, ..rig.request.clone() })?;
    let (before, settled) = (simulator.ledger(), rig.settled()?);
    let each = if body_bytes > 64 << 10 { LARGE_REQUESTS } else { REQUESTS };
    let wrong = drive(&rig, &direct, each);
    let books = since(&simulator.ledger(), &before);
    let settled = rig.settled()?.map(|sum| sum - settled.unwrap_or(0));

    let sent = CLIENTS * each;
    figures.row(&format!("{label}: requests"), sent);
    let found = wrong.first().cloned().unwrap_or(format!("{sent} right"));
    figures.check(&format!("{label}: every answer is the provider's own"), wrong.is_empty(), found);
    judge(&label, &books, sent, tokens_each, figures);
    if setup == Setup::Limits {
        let reported = books.reported.input + books.reported.output;
        let found = format!("{settled:?} settled, {reported} reported");
        figures.check(
            &format!("{label}: settled = reported, to the token"),
            settled == Some(reported),
            found,
        );
    }
    Ok(())
}

/// All clients at once; what was wrong, one line for each answer.
fn drive(rig: &Rig, direct: &Answer, each: u64) -> Vec<String> {
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| scope.spawn(|| ask(rig.port, &rig.request, direct, rig.sameness, each)))
            .collect();
        let ended = clients.into_iter().map(|client| client.join());
        ended.flat_map(|wrong| wrong.unwrap_or(vec!["a client died".to_string()])).collect()
    })
}

/// One client: its requests one after another on one connection.
fn ask(port: u16, request: &Request, direct: &Answer, sameness: Sameness, each: u64) -> Vec<String> {
    let (mut client, bytes) = (Client::by(request.tls.clone(), port), request.bytes());
    let once = |_| {
        let (head, body) = client.ask(&bytes).map_err(|why| format!("no answer: {why}"))?;
        let answer = Answer { status: head.status, body: String::from_utf8_lossy(&body).into_owned() };
        answer.compare(direct, sameness)
    };
    (0..each).map(once).filter_map(Result::err).collect()
}

fn judge(label: &str, books: &Ledger, sent: u64, tokens_each: u64, figures: &mut Figures) {
    let found = format!("{} received, {} completed, {sent} sent", books.requests, books.completed);
    let holds = (books.requests, books.completed) == (sent, sent);
    figures.check(&format!("{label}: the provider counts what was sent"), holds, found);
    let reported = books.reported.input + books.reported.output;
    let found = format!("{reported} tokens, {tokens_each} each");
    figures.check(&format!("{label}: usage is as it was ordered"), reported == sent * tokens_each, found);
    let bad = books.malformed + books.protocol_faults + books.refused + books.without_usage + books.cut;
    let found = format!("{bad} faults {}", books.reasons.join("; "));
    figures.check(
        &format!("{label}: the provider found nothing wrong with what it was sent"),
        bad == 0,
        found,
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_loadtest::{Script, Simulator};

    #[test]
    fn a_provider_that_says_something_else_is_noticed() {
        let (simulator, _) = provider(1024).unwrap();
        let request = request(Setup::Chat, 1024);
        let direct = Answer::to(simulator.addr().port(), &request).unwrap();
        let port = simulator.addr().port();
        assert_eq!(ask(port, &request, &direct, Sameness::Bytes, 5), Vec::<String>::new());
        simulator.set_script(Script { output_tokens: 15, ..Script::default() });
        assert_eq!(ask(port, &request, &direct, Sameness::Meaning, 5).len(), 5);
        wrong_books(&simulator);
    }

    fn wrong_books(simulator: &Simulator) {
        let mut figures = Figures::new("quick");
        judge("x", &simulator.ledger(), 11, 1, &mut figures);
        let verdict = figures.verdict().unwrap_err();
        assert!(
            verdict.contains("usage is as it was ordered") && !verdict.contains("counts what was sent"),
            "{verdict}"
        );
    }
}
