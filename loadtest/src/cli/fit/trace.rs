//! Made-up traffic of coding agents: bursts of calls with long prompts that grow, huge `max_tokens`, small answers.

use crate::cli::kit::random::Random;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Call {
    /// When it is made, in milliseconds from the beginning.
    pub(super) at_ms: u64,
    /// Calls of one lane follow one another: an agent has a few.
    pub(super) lane: u64,
    pub(super) prompt_bytes: u64,
    pub(super) max_tokens: u64,
    /// Output tokens of the answer.
    pub(super) output: u64,
    pub(super) stream: bool,
    pub(super) latency_ms: u64,
}

/// Lanes of one agent: itself and what it sends out.
const LANES: u64 = 3;
/// What these tools send as a ceiling.
const CEILINGS: [u64; 4] = [32_000, 32_000, 64_000, 8_192];
/// Bytes that a tool's definition and instructions take in every call.
const PREAMBLE: u64 = 4_000;
/// The longest conversation before it is made shorter.
const PROMPT_MAX: u64 = 60_000;

/// The calls of so many agents over so many seconds, in their order. The same seed makes the same calls.
pub(super) fn make(seed: u64, agents: u64, seconds: u64) -> Vec<Call> {
    let end = seconds * 1_000;
    let mut calls = Vec::new();
    for lane in 0..agents * LANES {
        let mut random = Random::new(seed, lane);
        // The first lane of an agent works most of the time, the others now and then.
        let rest = if lane.is_multiple_of(LANES) { 4_000 } else { 15_000 };
        let mut at = random.between(0, rest);
        while at < end {
            let mut prompt = PREAMBLE + random.between(500, 8_000);
            for _ in 0..random.between(3, 14) {
                let output = answer(&mut random);
                // Ten times as fast as the real ones.
                let latency_ms = 200 + output * 6 / 10 + random.between(0, 600);
                let max_tokens = CEILINGS[random.between(0, CEILINGS.len() as u64 - 1) as usize];
                let stream = random.percent(70);
                if at < end {
                    calls.push(Call {
                        at_ms: at,
                        lane,
                        prompt_bytes: prompt,
                        max_tokens,
                        output,
                        stream,
                        latency_ms,
                    });
                }
                // The answer and what the tool said to it stand in the next prompt.
                prompt = (prompt + output * 4 + random.between(200, 3_000)).min(PROMPT_MAX);
                at += latency_ms + random.between(20, 400);
            }
            at += random.between(rest / 3, rest);
        }
    }
    calls.sort_by_key(|call| (call.at_ms, call.lane));
    calls
}

/// 50 to 2,000 tokens, most of them few.
fn answer(random: &mut Random) -> u64 {
    match random.between(0, 9) {
        0..=5 => random.between(50, 200),
        6..=8 => random.between(200, 700),
        _ => random.between(700, 2_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_repeat_and_look_like_agents() {
        let calls = make(1, 12, 20);
        assert_eq!(calls, make(1, 12, 20));
        assert!(calls != make(2, 12, 20));
        assert!(calls.len() > 200 && calls.is_sorted_by_key(|call| call.at_ms));
        assert!(calls.iter().all(|call| call.at_ms < 20_000 && (50..=2_000).contains(&call.output)));
        assert!(calls.iter().all(|call| call.max_tokens >= 8_192 && call.prompt_bytes <= PROMPT_MAX));
        let small = calls.iter().filter(|call| call.output <= 700).count();
        assert!(small * 10 > calls.len() * 8);
    }
}
