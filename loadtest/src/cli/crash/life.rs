//! One life of the gateway: started, looked at, driven, ended.

use super::judge::{Life, Sent, Used};
use super::{Key, OUTPUT_MOST, Plan};
use crate::cli::kit::chat::Chat;
use crate::cli::kit::gateway::Setup;
use crate::cli::kit::http::Client;
use crate::cli::kit::random::Random;
use crate::cli::kit::records;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::{Duration, Instant};
use tollgate_loadtest::Simulator;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// SIGTERM under load.
    Order,
    /// `kill -9` so long after the load began.
    Kill(Duration),
    /// `kill -9` so long after the process began.
    KillAtStart(Duration),
}

/// How a life goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) end: End,
    /// How long it is driven before SIGTERM.
    pub(super) load: Duration,
    /// Which keys are driven.
    pub(super) turn: u64,
}

/// Input tokens that the provider reports: fewer than the question is estimated at.
const INPUT: u64 = 10;

/// Lives one life; everything that is known of it afterwards.
pub(super) fn live(
    setup: &Setup,
    simulator: &Simulator,
    plan: &Plan,
    way: &Way,
    seed: u64,
    tags: &AtomicU64,
) -> Result<Life, String> {
    let Way { end, load, turn } = *way;
    // What the last life wrote has been read, and its last line may be torn.
    let _ = fs::remove_file(setup.records());
    let mut life = Life { killed: end != End::Order, ..Life::default() };
    if let End::KillAtStart(after) = end {
        let gateway = setup.spawn()?;
        std::thread::sleep(after);
        gateway.kill();
        return Ok(life);
    }
    let gateway = setup.start()?;
    // A key that was never used is left so until its turn: each look has a part of its budget written down.
    for (place, key) in plan.keys.iter().enumerate().filter(|(_, key)| key.turn <= turn) {
        life.sent.push(probe(setup.port, place, key, tags));
    }
    let looks: Vec<u64> = life.sent.iter().map(|sent| sent.tag).collect();
    await_records(setup, &looks)?;
    let ending = AtomicBool::new(false);
    let outcome = std::thread::scope(|scope| {
        let mut clients = Vec::new();
        for (place, key) in plan.keys.iter().enumerate().filter(|(_, key)| key.turn == turn) {
            for lane in 0..key.lanes {
                let random = Random::new(seed, (place * 100 + lane) as u64);
                let ending = &ending;
                clients.push(scope.spawn(move || spend(setup.port, place, key, random, ending, tags)));
            }
        }
        let outcome = match end {
            End::Kill(after) => {
                std::thread::sleep(after);
                // Before the kill: what breaks off from here on is no fault.
                ending.store(true, SeqCst);
                gateway.kill();
                Ok(())
            }
            _ => {
                std::thread::sleep(load);
                ending.store(true, SeqCst);
                gateway.terminate()
            }
        };
        for client in clients {
            let died = || vec![Sent { fault: Some("a client died".to_string()), ..Sent::default() }];
            life.sent.extend(client.join().unwrap_or_else(|_| died()));
        }
        outcome
    });
    outcome?;
    let answers = simulator.take_answers();
    if answers.lost > 0 {
        return Err("the provider's journal overflowed".to_string());
    }
    let used = answers.list.iter().filter_map(|answer| {
        let usage = answer.usage?;
        Some(Used { tag: answer.tag, input: usage.input, output: usage.output })
    });
    life.used = used.collect();
    // Of a life that was short there may be no record yet.
    life.records = if setup.records().exists() { records::read(&setup.records())? } else { Vec::new() };
    Ok(life)
}

/// Waits until requests are recorded, and so settled: that is a moment after the last byte of their answers, and what
/// is sent before it would stand in their balances.
fn await_records(setup: &Setup, tags: &[u64]) -> Result<(), String> {
    let patience = Instant::now() + Duration::from_secs(5);
    loop {
        let known = if setup.records().exists() { records::read(&setup.records())? } else { Vec::new() };
        let is_known = |tag: &u64| known.iter().any(|record| record.tag == *tag);
        if tags.iter().all(is_known) || Instant::now() > patience {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// One small request, alone.
fn probe(port: u16, place: usize, key: &Key, tags: &AtomicU64) -> Sent {
    let chat = chat(key, tags, 1);
    let mut sent = Sent { tag: chat.tag, key: place, probe: true, ..Sent::default() };
    ask(&mut Client::to(port), &chat, &mut sent);
    sent
}

/// Requests one after another until the end.
fn spend(
    port: u16,
    place: usize,
    key: &Key,
    mut random: Random,
    ending: &AtomicBool,
    tags: &AtomicU64,
) -> Vec<Sent> {
    let mut client = Client::to(port);
    let mut all = Vec::new();
    loop {
        let chat = chat(key, tags, random.between(1, OUTPUT_MOST));
        let chat = Chat {
            latency_ms: random.between(0, 8),
            gap_ms: random.between(0, 1),
            chunks: random.between(1, 12),
            ..chat
        };
        let mut sent = Sent { tag: chat.tag, key: place, ..Sent::default() };
        ask(&mut client, &chat, &mut sent);
        // What breaks off once the end has begun is no fault.
        let over = ending.load(SeqCst);
        if over {
            sent.fault = None;
        }
        let (refused, broken) = (sent.status == 429, sent.fault.is_some());
        all.push(sent);
        if over || broken {
            return all;
        }
        if refused {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A whole answer has one length, so that what is learned of it reserves all of it.
fn chat(key: &Key, tags: &AtomicU64, output: u64) -> Chat {
    let output = if key.is_stream() { output } else { OUTPUT_MOST };
    Chat {
        stream: key.is_stream(),
        input: Some(INPUT),
        max_tokens: Some(OUTPUT_MOST),
        ..Chat::whole(key.route, tags.fetch_add(1, Relaxed), &key.key, output)
    }
}

fn ask(client: &mut Client, chat: &Chat, sent: &mut Sent) {
    let mut walk = || -> std::io::Result<()> {
        client.send(&chat.bytes())?;
        let head = client.head(None)?;
        sent.status = head.status;
        let (body, _) = client.body(&head, usize::MAX)?;
        sent.complete = true;
        if !matches!(head.status, 200 | 429) {
            sent.fault = Some(format!("status {}: {}", head.status, String::from_utf8_lossy(&body)));
        }
        Ok(())
    };
    if let Err(error) = walk() {
        sent.fault = Some(format!("the answer broke off: {error}"));
        client.leave();
    }
}
