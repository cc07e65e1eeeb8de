//! Where gateways stand before the provider and have their turns.

use super::Asked;
use super::cases::{Case, Row, Setup, Who};
use super::check::Answer;
use super::load::{Client, Request, chat_body, program};
use super::outcome::Outcome;
use super::peers::{Contender, Kind};
use super::rig::{DIRECT, Place, Rig};
use super::turn::Turn;
use crate::cli::kit::process;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use tollgate_loadtest::{Count, Script, Simulator};

/// Output tokens of every answer.
const OUTPUT: u64 = 16;
/// Most output tokens that the requests to be translated allow.
const MAX_TOKENS: u64 = 64;
/// Callers that are thought to come in a second of warming up, and how often that may have been too many.
const KEYS_A_SECOND: u64 = 30_000;
const WARM_UPS: u32 = 5;

/// The stand.
pub(super) struct Stand<'a> {
    asked: &'a Asked,
    contenders: &'a [Contender],
    scratch: PathBuf,
    cpus: u32,
}

/// Who has a turn, with the client that drives it.
struct Entrant {
    rig: Rig,
    client: Client,
    keys: u64,
    /// Requests so far: the next caller's number.
    sent: u64,
}

impl Entrant {
    /// Drives it until every caller has come once, for two seconds at least.
    fn warm_up(&mut self) {
        for _ in 0..WARM_UPS {
            let left = self.keys - self.sent.min(self.keys);
            let time = Duration::from_secs(2 + left / KEYS_A_SECOND);
            let load = self.client.drive(self.rig.port, time, self.sent);
            self.sent += load.map_or(0, |load| load.requests);
            if self.sent >= self.keys {
                return;
            }
        }
    }
}

/// A provider that says what one answer costs.
pub(super) fn provider(body_bytes: usize) -> Result<(Simulator, u64), String> {
    let input = (body_bytes / 4) as u64;
    let script = Script {
        input_tokens: Count::Fixed(input),
        output_tokens: OUTPUT,
        record: false,
        ..Script::default()
    };
    let simulator = Simulator::start(script).map_err(|why| format!("simulator: {why}"))?;
    Ok((simulator, input + OUTPUT))
}

/// The request of a setup.
pub(super) fn request(setup: Setup, body_bytes: usize) -> Request {
    let max_tokens = (setup == Setup::Translated).then_some(MAX_TOKENS);
    Request { body: chat_body(body_bytes, max_tokens), headers: Vec::new(), keys: 1, tls: None }
}

impl<'a> Stand<'a> {
    pub(super) fn new(asked: &'a Asked, contenders: &'a [Contender]) -> Result<Stand<'a>, String> {
        let cpus = std::thread::available_parallelism().map_err(|why| why.to_string())?.get() as u32;
        let scratch = std::env::temp_dir().join(format!("tollgate-suite-{}", std::process::id()));
        fs::create_dir_all(&scratch).map_err(|why| format!("{}: {why}", scratch.display()))?;
        Ok(Stand { asked, contenders, scratch, cpus })
    }

    /// Removes what gateways wrote.
    pub(super) fn clear(&self) {
        let _ = fs::remove_dir_all(&self.scratch);
    }

    pub(super) fn cpus(&self) -> u32 {
        self.cpus
    }

    /// Who runs where, in words.
    pub(super) fn places(&self) -> String {
        let (load, provider) = (self.load_cpu(), self.provider_cpu());
        format!(
            "a gateway with one worker on CPU 0, the client on CPU {load}, the provider on CPU {provider}"
        )
    }

    fn load_cpu(&self) -> u32 {
        self.cpus - 1
    }

    /// Beside the client, unless there are CPUs enough.
    fn provider_cpu(&self) -> u32 {
        if self.cpus >= 4 { self.cpus - 2 } else { self.cpus - 1 }
    }

    /// All rounds of a case. What cannot be measured is noted; nothing stops the cases after it.
    pub(super) fn measure(&self, case: &Case) -> Outcome {
        let mut outcome = Outcome::new(case);
        if let Err(why) = self.try_to_measure(case, &mut outcome) {
            eprintln!("note: {why}");
            outcome.notes.push(why);
        }
        // Logs of a case may be large.
        self.clear();
        outcome
    }

    fn try_to_measure(&self, case: &Case, outcome: &mut Outcome) -> Result<(), String> {
        let program = program(case.driver, &self.asked.installed);
        let program = program.ok_or(format!("not measured: {:?} is not on this machine", case.driver))?;
        let files = process::open_files_max();
        if case.sockets() > files {
            return Err(format!(
                "not measured: it takes {} open files, the limit is {files}",
                case.sockets()
            ));
        }
        fs::create_dir_all(&self.scratch).map_err(|why| format!("{}: {why}", self.scratch.display()))?;
        let (simulator, tokens_each) = provider(case.body_bytes)?;
        let thread =
            process::own_thread("simulator").ok_or("the simulator's thread was not found in /proc")?;
        process::pin(thread, self.provider_cpu())?;
        let place = Place {
            upstream: simulator.addr().port(),
            provider: thread,
            configs: self.asked.out.join("configs").join(case.name),
            scratch: self.scratch.clone(),
            life: self.asked.life(case, self.contenders.len()),
            cpus: self.cpus,
        };
        let mut entrants = Vec::new();
        let rigs = self.rigs(case, &place, outcome);
        for (rig, keys) in rigs {
            let name = rig.label.replace([' ', ','], "-");
            let driver = (case.driver, program.clone());
            let client = Client::prepare(
                driver,
                &self.scratch,
                &name,
                rig.request.clone(),
                self.load_cpu(),
                case.connections,
            )?;
            entrants.push(Entrant { rig, client, keys, sent: 0 });
        }
        look(&entrants, outcome, "before the turns");
        self.rounds(case, &mut entrants, &simulator, tokens_each, outcome);
        look(&entrants, outcome, "after the turns");
        Ok(())
    }

    /// The provider itself and everybody who can be started; who cannot is noted.
    fn rigs(&self, case: &Case, place: &Place, outcome: &mut Outcome) -> Vec<(Rig, u64)> {
        // All ask the same question; where one has to translate it, it is one that can be translated.
        let is_translated = case.rows.iter().any(|row| row.setup == Setup::Translated);
        let setup = if is_translated { Setup::Translated } else { Setup::Chat };
        let request = request(setup, case.body_bytes);
        let mut rigs = vec![(Rig::direct(place, request.clone()), 1)];
        for (contender, row, label) in self.rows(case) {
            let request = Request { keys: row.keys, ..request.clone() };
            match Rig::start(contender, row, &label, case.sockets(), request, place) {
                Ok(rig) => rigs.push((rig, row.keys)),
                Err(why) => {
                    eprintln!("note: {why}");
                    match contender.is_tollgate() {
                        true => outcome.differences.push(why),
                        false => outcome.notes.push(format!("{} was not measured: {why}", contender.name)),
                    }
                }
            }
            if !contender.is_tollgate() {
                outcome.peers.push(label);
            }
        }
        outcome.labels = rigs.iter().map(|(rig, _)| rig.label.clone()).collect();
        rigs
    }

    /// The rows of a case with those who are there for them, and their names.
    fn rows<'c>(&self, case: &'c Case) -> Vec<(&'a Contender, &'c Row, String)> {
        let mut rows = Vec::new();
        for row in case.rows {
            for contender in self.contenders.iter().filter(|contender| contender.can(row.setup)) {
                let takes_part = match row.who {
                    Who::Tollgate(_) => contender.kind == Kind::Tollgate,
                    Who::Control => contender.kind == Kind::Control,
                    Who::Peers(kind) => contender.kind == kind,
                    Who::Limiters => !contender.is_tollgate() && contender.may_limit(),
                    Who::Peer(name) => contender.name == name,
                };
                let label = match row.who {
                    Who::Tollgate(label) => label.to_string(),
                    _ => contender.label(row.setup),
                };
                if takes_part {
                    rows.push((contender, row, label));
                }
            }
        }
        rows
    }

    /// Warms everybody up, then gives everybody a turn in each round, in an order that rotates.
    fn rounds(
        &self,
        case: &Case,
        entrants: &mut [Entrant],
        simulator: &Simulator,
        tokens_each: u64,
        outcome: &mut Outcome,
    ) {
        entrants.iter_mut().for_each(Entrant::warm_up);
        let count = entrants.len();
        for round in 0..self.asked.rounds {
            for place in 0..count {
                let entrant = &mut entrants[(place + round) % count];
                let (rig, client) = (&entrant.rig, &entrant.client);
                let first = entrant.sent % entrant.keys.max(1);
                let terms = (case.connections, tokens_each, first);
                match Turn::take(rig, client, simulator, case.seconds(self.asked.seconds), terms) {
                    Ok(turn) => {
                        eprintln!(
                            "round {} of {}: {:<16} {:>8} requests, {:.2} µs each{}",
                            round + 1,
                            self.asked.rounds,
                            rig.label,
                            turn.served,
                            turn.cost(),
                            if turn.faults.is_empty() { "" } else { ", NOT RIGHT" }
                        );
                        entrant.sent += turn.load.requests;
                        outcome.turns.push(Turn { round, place, ..turn });
                    }
                    Err(why) => {
                        outcome.differences.push(format!("{}, round {}: {why}", rig.label, round + 1))
                    }
                }
            }
        }
    }
}

/// Compares everybody's answer with the provider's own.
fn look(entrants: &[Entrant], outcome: &mut Outcome, when: &str) {
    let direct = entrants.iter().find(|entrant| entrant.rig.label == DIRECT);
    let direct = direct.map_or(Err("it is not there".to_string()), |direct| direct.rig.ask());
    let direct: Answer = match direct {
        Ok(answer) => answer,
        Err(why) => return outcome.differences.push(format!("{DIRECT}, {when}: {why}")),
    };
    for Entrant { rig, .. } in entrants {
        let same = rig.ask().and_then(|answer| answer.compare(&direct, rig.sameness));
        if let Err(why) = same {
            eprintln!("note: {}, {when}: {why}", rig.label);
            outcome.differences.push(format!("{}, {when}: {why}", rig.label));
        }
    }
}
