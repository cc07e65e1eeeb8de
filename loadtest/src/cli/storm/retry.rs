//! Clients of idle keys that come back exactly when they were told to, or a little earlier.

use crate::cli::kit::chat::Chat;
use crate::cli::kit::http::Client;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How retries went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Retries {
    /// Came back `retry-after-ms` after the refusal had arrived.
    pub(super) on_time: u64,
    pub(super) on_time_admitted: u64,
    /// Came back about 5 ms before that, and had the answer so soon that it was certainly too early.
    pub(super) early: u64,
    pub(super) early_refused: u64,
    /// Meant to be early, but the answer came too late to tell.
    pub(super) unsure: u64,
    pub(super) faults: Vec<String>,
}

impl Retries {
    pub(super) fn add(&mut self, other: Retries) {
        self.on_time += other.on_time;
        self.on_time_admitted += other.on_time_admitted;
        self.early += other.early;
        self.early_refused += other.early_refused;
        self.unsure += other.unsure;
        self.faults.extend(other.faults);
    }
}

/// How much too early an early client means to be.
const EARLY: Duration = Duration::from_millis(5);

/// One request and how it went.
struct Attempt {
    sent: Instant,
    received: Instant,
    status: u16,
    wait: Duration,
}

/// A client with a key of its own, which asks for `max_tokens`, until the time is up.
pub(super) fn retry(port: u16, key: &str, max_tokens: u64, until: Instant, tags: &AtomicU64) -> Retries {
    let mut client = Client::to(port);
    let mut retries = Retries::default();
    let mut early = false;
    while Instant::now() < until && retries.faults.len() < 10 {
        let outcome = round(&mut client, key, max_tokens, early, tags, &mut retries);
        if let Err(why) = outcome {
            retries.faults.push(why);
            client.leave();
        }
        early = !early;
    }
    retries
}

/// Spends until refused, and comes back.
fn round(
    client: &mut Client,
    key: &str,
    max_tokens: u64,
    early: bool,
    tags: &AtomicU64,
    retries: &mut Retries,
) -> Result<(), String> {
    let mut attempt = || ask(client, key, max_tokens, tags.fetch_add(1, Relaxed));
    let mut refused = attempt()?;
    for _ in 0..50 {
        if refused.status == 429 {
            break;
        }
        refused = attempt()?;
    }
    if refused.status != 429 {
        return Err("50 requests in a row and no refusal".to_string());
    }
    if early {
        let way = refused.received - refused.sent;
        sleep_until(refused.sent + refused.wait.saturating_sub(EARLY + way));
        let again = attempt()?;
        // The wait is rounded up to a millisecond.
        let certain = again.received + Duration::from_millis(1) < refused.sent + refused.wait;
        match certain {
            true => {
                retries.early += 1;
                retries.early_refused += u64::from(again.status == 429);
            }
            false => retries.unsure += 1,
        }
        if again.status != 429 {
            return Ok(());
        }
        refused = again;
    }
    sleep_until(refused.received + refused.wait);
    let again = attempt()?;
    retries.on_time += 1;
    retries.on_time_admitted += u64::from(again.status == 200);
    Ok(())
}

fn ask(client: &mut Client, key: &str, max_tokens: u64, tag: u64) -> Result<Attempt, String> {
    // All that is reserved is used, so that a settlement changes no balance between a refusal and the retry.
    let chat = Chat { max_tokens: Some(max_tokens), ..Chat::whole("retry", tag, key, max_tokens) };
    let bytes = chat.bytes();
    let sent = Instant::now();
    let (head, body) = client.ask(&bytes).map_err(|why| format!("a retrying client: {why}"))?;
    let received = Instant::now();
    match (head.status, head.retry_after()) {
        (200, _) => Ok(Attempt { sent, received, status: 200, wait: Duration::ZERO }),
        (429, Some(wait)) => Ok(Attempt { sent, received, status: 429, wait }),
        (429, None) => Err("a refusal without retry-after-ms".to_string()),
        (status, _) => Err(format!("status {status}: {}", String::from_utf8_lossy(&body))),
    }
}

fn sleep_until(when: Instant) {
    std::thread::sleep(when.saturating_duration_since(Instant::now()));
}
