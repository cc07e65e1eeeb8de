//! Chat requests that say how the simulated provider is to answer them.

use super::http;

/// A request to the gateway and the answer that it orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chat {
    /// The first part of the path, which chooses the route.
    pub(crate) route: &'static str,
    /// What records and the provider's journal call it; no two have the same.
    pub(crate) tag: u64,
    /// The caller's key.
    pub(crate) key: String,
    pub(crate) stream: bool,
    /// Bytes of the question.
    pub(crate) prompt_bytes: u64,
    /// Input tokens that the provider will report; without it the body's bytes / 4.
    pub(crate) input: Option<u64>,
    /// Output tokens that the provider will report, unless `max_tokens` allows fewer.
    pub(crate) output: u64,
    pub(crate) max_tokens: Option<u64>,
    /// Milliseconds before the answer, and between two events of a stream.
    pub(crate) latency_ms: u64,
    pub(crate) gap_ms: u64,
    /// Content events of a stream.
    pub(crate) chunks: u64,
    /// A whole answer's body comes in so many bytes every 2 ms.
    pub(crate) slow_bytes: Option<u64>,
}

impl Chat {
    /// A whole answer of so many tokens, at once.
    pub(crate) fn whole(route: &'static str, tag: u64, key: &str, output: u64) -> Chat {
        Chat {
            route,
            tag,
            key: key.to_string(),
            stream: false,
            prompt_bytes: 100,
            input: None,
            output,
            max_tokens: None,
            latency_ms: 0,
            gap_ms: 0,
            chunks: 1,
            slow_bytes: None,
        }
    }

    /// Its bytes. The text of the answer is as long as so many tokens are, four bytes each, so that a gateway that
    /// counts what passes comes near to what the provider will report.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let output = self.output.min(self.max_tokens.unwrap_or(u64::MAX));
        let chunk_bytes = output * 4 / self.chunks.max(1);
        let mut lines = format!(
            "x-sim-tag: {}\r\nx-sim-output-tokens: {}\r\nx-sim-latency: {}ms\r\nx-sim-chunks: {}\r\n\
             x-sim-chunk-bytes: {chunk_bytes}\r\nx-sim-chunk-gap: {}ms\r\n",
            self.tag, self.output, self.latency_ms, self.chunks, self.gap_ms
        );
        if let Some(input) = self.input {
            lines.push_str(&format!("x-sim-input-tokens: {input}\r\n"));
        }
        if let Some(bytes) = self.slow_bytes {
            lines.push_str(&format!("x-sim-fault: slow:{bytes}:2ms\r\n"));
        }
        let max = self.max_tokens.map(|max| format!(",\"max_completion_tokens\":{max}")).unwrap_or_default();
        let stream = match self.stream {
            true => ",\"stream\":true,\"stream_options\":{\"include_usage\":true}",
            false => "",
        };
        let body = format!(
            "{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"{}\"}}]{max}{stream}}}",
            "word ".repeat(self.prompt_bytes as usize / 5)
        );
        http::post(&format!("/{}/{}", self.route, self.tag), &self.key, &lines, &body)
    }
}

/// The model that is asked for.
pub(crate) const MODEL: &str = "sim-model";

#[cfg(test)]
mod tests {
    use super::super::http::Client;
    use super::*;
    use tollgate_loadtest::{AnswerEnd, Script, Simulator};

    #[test]
    fn the_provider_answers_as_ordered() {
        let simulator = Simulator::start(Script { journal: true, ..Script::default() }).unwrap();
        let mut client = Client::to(simulator.addr().port());
        let whole = Chat { input: Some(9), ..Chat::whole("v1", 5, "sk-a", 300) };
        let stream = Chat { tag: 6, stream: true, chunks: 7, max_tokens: Some(40), ..whole.clone() };
        for chat in [&whole, &stream] {
            // The simulator serves the provider's own path.
            let bytes = String::from_utf8(chat.bytes()).unwrap();
            let bytes = bytes.replacen(&format!("/v1/{}", chat.tag), "/v1/chat/completions", 1);
            let (head, body) = client.ask(bytes.as_bytes()).unwrap();
            assert_eq!(head.status, 200, "{}", String::from_utf8_lossy(&body));
        }
        let answers = simulator.take_answers();
        assert_eq!(answers.lost, 0);
        let seen: Vec<_> = answers.list.iter().map(|a| (a.tag, a.end, a.usage.unwrap())).collect();
        let seen: Vec<_> =
            seen.iter().map(|(tag, end, usage)| (*tag, *end, usage.input, usage.output)).collect();
        assert_eq!(seen, [(5, AnswerEnd::Completed, 9, 300), (6, AnswerEnd::Completed, 9, 40)]);
        assert!(simulator.take_answers().list.is_empty(), "taken once");
    }
}
