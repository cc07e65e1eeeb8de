//! The clients that hammer one key.

use crate::cli::kit::chat::Chat;
use crate::cli::kit::http::Client;
use crate::cli::kit::random::Random;
use std::io::ErrorKind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What all clients share.
pub(super) struct Storm<'a> {
    pub(super) port: u16,
    pub(super) key: &'a str,
    pub(super) seed: u64,
    pub(super) started: Instant,
    pub(super) until: Instant,
    /// The next request's number.
    pub(super) tags: &'a AtomicU64,
}

/// A request as its client saw it. Times are nanoseconds since the storm began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) tag: u64,
    pub(super) at: u64,
    /// When the client walked away.
    pub(super) left: Option<u64>,
    /// The status; 0 when none came.
    pub(super) status: u16,
    pub(super) stream: bool,
    /// All of the answer came.
    pub(super) complete: bool,
    /// What went against the protocol.
    pub(super) fault: Option<String>,
}

/// How the client ends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Patience {
    Whole,
    /// It leaves if no answer has begun after so long.
    UntilHead(Duration),
    /// It leaves after so many bytes of the body.
    UntilBytes(usize),
}

/// Every two seconds the storm rests for half a second, so that limits fill and are then asked for much at once.
const CYCLE_MS: u128 = 2_000;
const STORM_MS: u128 = 1_500;

/// Bytes of a question: most are short.
const PROMPTS: [(u64, u64); 4] = [(20, 200), (20, 2_000), (500, 4_000), (500, 40_000)];

/// The largest `max_tokens` of these clients, and with it the largest answer.
pub(super) const OUTPUT_MAX: u64 = 600;

/// One client, until the time is up; its requests in order.
pub(super) fn hammer(storm: &Storm<'_>, lane: u64) -> Vec<Sent> {
    let mut random = Random::new(storm.seed, lane);
    let mut client = Client::to(storm.port);
    let mut sent = Vec::new();
    loop {
        let phase = storm.started.elapsed().as_millis() % CYCLE_MS;
        if phase > STORM_MS {
            std::thread::sleep(Duration::from_millis((CYCLE_MS - phase) as u64));
        }
        if Instant::now() >= storm.until {
            return sent;
        }
        let (chat, patience) = draw(&mut random, storm);
        let (one, wait) = exchange(storm, &mut client, &chat, patience);
        let refused = one.status == 429;
        sent.push(one);
        if refused {
            // Some do as they are told, some come back at once.
            let obeys = random.percent(40);
            let wait = if obeys { wait } else { Duration::from_millis(random.between(1, 20)) };
            std::thread::sleep(wait.min(Duration::from_millis(300)));
        }
    }
}

fn draw(random: &mut Random, storm: &Storm<'_>) -> (Chat, Patience) {
    let (low, high) = PROMPTS[random.between(0, PROMPTS.len() as u64 - 1) as usize];
    let mut chat = Chat {
        stream: random.percent(50),
        prompt_bytes: random.between(low, high),
        output: random.between(1, OUTPUT_MAX),
        max_tokens: Some(OUTPUT_MAX).filter(|_| random.percent(80)),
        latency_ms: random.between(0, 60),
        chunks: random.between(2, 30),
        gap_ms: random.between(0, 6),
        ..Chat::whole("storm", storm.tags.fetch_add(1, Relaxed), storm.key, 0)
    };
    let patience = match random.between(0, 99) {
        0..=4 => {
            chat.latency_ms = 80;
            Patience::UntilHead(Duration::from_millis(random.between(1, 40)))
        }
        5..=9 => {
            chat.slow_bytes = Some(64).filter(|_| !chat.stream);
            Patience::UntilBytes(random.between(1, 400) as usize)
        }
        _ => Patience::Whole,
    };
    (chat, patience)
}

/// One request; what became of it, and how long to wait after a refusal.
fn exchange(storm: &Storm<'_>, client: &mut Client, chat: &Chat, patience: Patience) -> (Sent, Duration) {
    let now = || storm.started.elapsed().as_nanos() as u64;
    let bytes = chat.bytes();
    let mut one = Sent { tag: chat.tag, at: now(), stream: chat.stream, ..Sent::default() };
    let mut wait = Duration::ZERO;
    let mut walk = |client: &mut Client, one: &mut Sent| -> std::io::Result<()> {
        client.send(&bytes)?;
        let within = if let Patience::UntilHead(within) = patience { Some(within) } else { None };
        let head = match client.head(within) {
            Err(error) if within.is_some() && error.kind() == ErrorKind::WouldBlock => return Ok(()),
            head => head?,
        };
        one.status = head.status;
        wait = head.retry_after().unwrap_or_default();
        let enough = if let Patience::UntilBytes(bytes) = patience { bytes } else { usize::MAX };
        let enough = if head.status == 200 { enough } else { usize::MAX };
        let (body, complete) = client.body(&head, enough)?;
        one.complete = complete;
        one.fault = match head.status {
            200 if complete && chat.stream && !body.ends_with(b"data: [DONE]\n\n") => {
                Some("a stream ended without its mark".to_string())
            }
            429 if head.retry_after().is_none() => Some("a refusal without retry-after-ms".to_string()),
            200 | 429 => None,
            status => Some(format!("status {status}: {}", String::from_utf8_lossy(&body))),
        };
        Ok(())
    };
    if let Err(error) = walk(client, &mut one) {
        one.fault = Some(format!("the answer broke off: {error}"));
        client.leave();
    }
    if !one.complete {
        one.left = Some(now());
        client.leave();
    }
    (one, wait)
}
