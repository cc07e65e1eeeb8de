//! Well-behaved clients, and how long they wait.

use crate::cli::kit::chat::Chat;
use crate::cli::kit::figures::Figures;
use crate::cli::kit::http::Client;
use crate::cli::kit::random::Random;
use std::time::{Duration, Instant};

/// How long a client rests after an answer, on the average.
const PAUSE_MS: u64 = 100;
const STACK: usize = 256 << 10;

/// What all clients saw in one turn.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Microseconds from the request to the end of its answer, ascending.
    waits_us: Vec<u64>,
    /// What was wrong.
    faults: Vec<String>,
}

/// So many clients for so long.
pub(super) fn drive(port: u16, clients: u64, time: Duration) -> Seen {
    let until = Instant::now() + time;
    let mut seen = Seen::default();
    std::thread::scope(|scope| {
        let thread = || std::thread::Builder::new().stack_size(STACK);
        let started: Vec<_> = (0..clients)
            .map(|lane| thread().spawn_scoped(scope, move || behave(port, lane, until)))
            .collect();
        for client in started {
            match client.map(|client| client.join()) {
                Ok(Ok(own)) => {
                    seen.waits_us.extend(own.waits_us);
                    seen.faults.extend(own.faults);
                }
                _ => seen.faults.push("a client died".to_string()),
            }
        }
    });
    seen.waits_us.sort_unstable();
    seen
}

fn behave(port: u16, lane: u64, until: Instant) -> Seen {
    let mut random = Random::new(7, lane);
    let (mut client, mut seen) = (Client::to(port), Seen::default());
    std::thread::sleep(Duration::from_millis(random.between(0, PAUSE_MS)));
    while Instant::now() < until {
        let stream = random.percent(30);
        let chat = Chat { stream, chunks: 4, ..Chat::whole("connections", lane, "sk-calm", 20) };
        let began = Instant::now();
        match client.ask(&chat.bytes()) {
            Ok((head, body)) if head.status == 200 && (!stream || body.ends_with(b"data: [DONE]\n\n")) => {
                seen.waits_us.push(began.elapsed().as_micros() as u64);
            }
            Ok((head, body)) => {
                seen.faults.push(format!("status {}: {}", head.status, String::from_utf8_lossy(&body)));
            }
            Err(why) => {
                seen.faults.push(why.to_string());
                client.leave();
            }
        }
        std::thread::sleep(Duration::from_millis(random.between(PAUSE_MS / 2, PAUSE_MS * 3 / 2)));
    }
    seen
}

impl Seen {
    /// The wait that 99 of 100 do not exceed; 0 without any.
    pub(super) fn p99_us(&self) -> u64 {
        self.quantile_us(99)
    }

    fn quantile_us(&self, percent: usize) -> u64 {
        let place = (self.waits_us.len() * percent).div_ceil(100).saturating_sub(1);
        self.waits_us.get(place).copied().unwrap_or(0)
    }

    pub(super) fn report(&self, when: &str, figures: &mut Figures) {
        figures.row(&format!("{when}: answers"), self.waits_us.len());
        for percent in [50, 99] {
            figures.row(&format!("{when}: p{percent}, us"), self.quantile_us(percent));
        }
        let found = self
            .faults
            .first()
            .map_or("all".to_string(), |first| format!("{} not: {first}", self.faults.len()));
        let holds = self.faults.is_empty() && !self.waits_us.is_empty();
        figures.check(&format!("{when}: every well-behaved client is served"), holds, found);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_waits_that_were_seen() {
        let seen = Seen { waits_us: (1..=200).collect(), faults: Vec::new() };
        assert_eq!((seen.quantile_us(50), seen.p99_us()), (100, 198));
        assert_eq!(Seen { waits_us: vec![7], faults: Vec::new() }.p99_us(), 7);
        assert_eq!(Seen::default().p99_us(), 0);
        let mut figures = Figures::new("connections");
        Seen::default().report("calm", &mut figures);
        assert!(figures.verdict().is_err(), "who was not served at all is not well served");
    }
}
