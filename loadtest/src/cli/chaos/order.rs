//! One request of the chaos, the answer that it orders, and what may become of it.

use crate::cli::kit::random::Random;
use tollgate_loadtest::{Script, reply_text};

/// The API that the client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    OpenAi,
    Anthropic,
}

/// Who is to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    Provider,
    /// A port that nobody listens on.
    Nobody,
    /// A port whose queue is full: connections to it are never answered.
    BlackHole,
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) tag: u64,
    pub(super) shape: Shape,
    pub(super) whom: Whom,
    pub(super) stream: bool,
    pub(super) key: &'static str,
    /// The route's first part: `good` or `bad`.
    pub(super) side: &'static str,
    pub(super) prompt_bytes: u64,
    pub(super) output: u64,
    pub(super) chunks: u32,
    pub(super) chunk_bytes: u32,
    pub(super) latency_ms: u64,
    pub(super) gap_ms: u64,
    /// It says that it may be sent again.
    pub(super) repeatable: bool,
    /// What goes wrong at the provider, in the words of its script.
    pub(super) fault: String,
    /// What the client may be told.
    pub(super) may: May,
}

/// What may become of an order that its client waits for. Any that may not be sent twice can also meet a kept
/// connection that the provider closes at that moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    /// The right answer and nothing else.
    BeRight,
    /// An error in the API's shape, before an answer began.
    Fail,
    /// The provider's own error of this status.
    Pass(u16),
    /// The provider breaks off somewhere: an error, a stream with an error at its end, or a connection that ends
    /// within the answer; all of it only if the break comes behind the answer.
    Break,
    /// The provider says what is no answer, and says it well: it passes.
    BeOdd,
}

/// Faults that a client must not notice.
const HARMLESS: [&str; 5] = ["interim:100", "interim:103", "close", "close-unannounced", "usage-every"];

impl Order {
    /// What a well-behaved client asks for: two in three are answered well.
    pub(super) fn good(random: &mut Random, tag: u64) -> Order {
        let mut order = Order::plain(random, tag, "good");
        let place = random.between(0, 99);
        let drawn = |random: &mut Random, list: &[&str]| {
            list[random.between(0, list.len() as u64 - 1) as usize].to_string()
        };
        let ends = if random.percent(50) { ":rst" } else { "" };
        (order.fault, order.may) = match place {
            0..=49 => ("none".to_string(), May::BeRight),
            50..=59 => (drawn(random, &HARMLESS), May::BeRight),
            60..=64 => (format!("slow:{}:1ms", random.between(20, 400)), May::BeRight),
            65..=69 => {
                let status = [400, 401, 404, 429, 500, 502, 503, 529][random.between(0, 7) as usize];
                (format!("status:{status}"), May::Pass(status))
            }
            70..=71 => ("html:502".to_string(), May::Pass(502)),
            72..=73 => ("garbage".to_string(), May::BeOdd),
            74..=77 => (format!("no-answer{ends}"), May::Fail),
            78..=79 => (format!("cut-in-head{ends}"), May::Fail),
            80..=82 => (format!("nonsense:{}", random.between(0, 9_999)), May::Fail),
            83..=89 => (format!("cut-at:{}{ends}", random.between(0, 3_000)), May::Break),
            90..=91 => (format!("cut-after:{}{ends}", random.between(0, 6)), May::Break),
            92 => (format!("truncate{ends}"), May::Break),
            93 => ("stall".to_string(), May::Fail),
            94 => (format!("stall-after:{}", random.between(0, 4)), May::Break),
            95 if order.stream => (format!("stream-error:{}", random.between(1, 3)), May::Break),
            96 => ("early".to_string(), May::Break),
            97 => {
                order.whom = Whom::Nobody;
                ("none".to_string(), May::Fail)
            }
            98 => {
                order.whom = Whom::BlackHole;
                ("none".to_string(), May::Fail)
            }
            _ => ("none".to_string(), May::BeRight),
        };
        order
    }

    /// What clients ask for that will not behave: all is the provider's best, some of it long.
    pub(super) fn bad(random: &mut Random, tag: u64) -> Order {
        let mut order = Order::plain(random, tag, "bad");
        order.output = random.between(1, 400);
        if random.percent(30) {
            order.fault = format!("cut-at:{}", random.between(0, 3_000));
        }
        if random.percent(10) {
            order.whom = if random.percent(50) { Whom::Nobody } else { Whom::BlackHole };
        }
        order
    }

    /// With an answer of most of a megabyte, as fast as it goes.
    pub(super) fn long(mut self) -> Order {
        (self.stream, self.chunks, self.chunk_bytes, self.gap_ms) = (true, 400, 2_000, 0);
        self
    }

    fn plain(random: &mut Random, tag: u64, side: &'static str) -> Order {
        let most = if random.percent(90) { 3_000 } else { 60_000 };
        Order {
            tag,
            shape: if random.percent(50) { Shape::OpenAi } else { Shape::Anthropic },
            whom: Whom::Provider,
            stream: random.percent(50),
            key: if side == "good" { GOOD_KEY } else { BAD_KEY },
            side,
            prompt_bytes: random.between(5, most),
            output: random.between(1, 200),
            chunks: random.between(1, 12) as u32,
            chunk_bytes: random.between(6, 60) as u32,
            latency_ms: random.between(0, 20),
            gap_ms: random.between(0, 4),
            repeatable: random.percent(50),
            fault: "none".to_string(),
            may: May::BeRight,
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Order { tag, output, latency_ms, chunks, chunk_bytes, gap_ms, fault, .. } = self;
        let route = match (self.whom, self.shape) {
            (Whom::Nobody, _) => "nobody".to_string(),
            (Whom::BlackHole, _) => "hole".to_string(),
            (Whom::Provider, Shape::OpenAi) => format!("{}-openai", self.side),
            (Whom::Provider, Shape::Anthropic) => format!("{}-anthropic", self.side),
        };
        let end = match self.shape {
            Shape::OpenAi => "v1/chat/completions",
            Shape::Anthropic => "v1/messages",
        };
        let who = match self.shape {
            Shape::OpenAi => format!("authorization: Bearer {}", self.key),
            Shape::Anthropic => format!("x-api-key: {}\r\nanthropic-version: 2023-06-01", self.key),
        };
        let body = self.body();
        let again = if self.repeatable { format!("idempotency-key: {tag}\r\n") } else { String::new() };
        format!(
            "POST /{route}/{tag}/{end} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{who}\r\n\
             x-sim-tag: {tag}\r\nx-sim-output-tokens: {output}\r\nx-sim-latency: {latency_ms}ms\r\n\
             x-sim-chunks: {chunks}\r\nx-sim-chunk-bytes: {chunk_bytes}\r\nx-sim-chunk-gap: {gap_ms}ms\r\n\
             x-sim-fault: {fault}\r\n{again}content-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn body(&self) -> String {
        let question = self.question();
        let stream = match (self.stream, self.shape) {
            (false, _) => "",
            (true, Shape::Anthropic) => ",\"stream\":true",
            (true, Shape::OpenAi) => ",\"stream\":true,\"stream_options\":{\"include_usage\":true}",
        };
        let max = if self.shape == Shape::OpenAi { "max_completion_tokens" } else { "max_tokens" };
        format!(
            "{{\"model\":\"{MODEL}\",\"{max}\":{OUTPUT_MAX},\"messages\":[{{\"role\":\"user\",\"content\":\"{question}\"}}]{stream}}}"
        )
    }

    /// No two ask the same.
    fn question(&self) -> String {
        format!("{} {}", self.tag, "word ".repeat(self.prompt_bytes as usize / 5))
    }

    /// What the answer to the provider's request of this number must say.
    pub(super) fn text(&self, number: u64) -> String {
        let script = Script { chunks: self.chunks, chunk_bytes: self.chunk_bytes, ..Script::default() };
        reply_text(MODEL, &self.question(), number, &script)
    }

    /// More tokens than it can cost, whoever counts: those that the provider would report, or a token for each byte
    /// of question and answer.
    pub(super) fn dearest(&self) -> u64 {
        let text = 64 + u64::from(self.chunks) * u64::from(self.chunk_bytes);
        self.body().len() as u64 + self.output.max(text)
    }
}

/// Keys of the two sides, the model, and the most tokens that an answer may have.
pub(super) const GOOD_KEY: &str = "sk-good";
pub(super) const BAD_KEY: &str = "sk-bad";
pub(super) const MODEL: &str = "sim-model";
const OUTPUT_MAX: u64 = 4_000;

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate_loadtest::Fault;

    #[test]
    fn a_seed_repeats_its_orders_and_all_kinds_are_among_them() {
        let draw = |seed| {
            let mut random = Random::new(seed, 3);
            (1..600).map(|tag| Order::good(&mut random, tag)).collect::<Vec<_>>()
        };
        let orders = draw(7);
        assert_eq!(orders, draw(7));
        assert_ne!(orders, draw(8));
        for order in &orders {
            assert!(order.fault.parse::<Fault>().is_ok(), "{}", order.fault);
        }
        for word in
            ["none", "slow", "status", "html", "garbage", "no-answer", "cut-in-head", "nonsense", "cut-at"]
        {
            assert!(orders.iter().any(|order| order.fault.starts_with(word)), "{word}");
        }
        for word in
            ["cut-after", "truncate", "stall", "stall-after", "stream-error", "early", "close", "interim"]
        {
            assert!(orders.iter().any(|order| order.fault.starts_with(word)), "{word}");
        }
        for whom in [Whom::Provider, Whom::Nobody, Whom::BlackHole] {
            assert!(orders.iter().any(|order| order.whom == whom), "{whom:?}");
        }
    }
}
