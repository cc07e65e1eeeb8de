//! What is asked, as bytes made once, and what must be answered.

use crate::ledger::Usage;
use crate::script::Script;
use crate::text::{NUMBER_DIGITS, NUMBER_MARK, reply_pieces};

/// The model that is asked for.
pub const MODEL: &str = "gpt-4o-mini";

/// One request, prepared, and what a simulator of a certain script must answer.
#[derive(Clone, Debug)]
pub struct Ask {
    pub(crate) bytes: Vec<u8>,
    pub(crate) stream: bool,
    pub(crate) leave: Leave,
    pub(crate) text: Text,
    /// What the answer must state.
    pub(crate) usage: Usage,
}

/// When the client goes before the answer is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Leave {
    /// It does not.
    #[default]
    Never,
    /// As soon as the request is sent.
    AfterRequest,
    /// When so many events have come.
    AfterEvents(u32),
}

/// The text of an answer, in which the request's number stands at one place.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    bytes: Vec<u8>,
    number_at: Option<usize>,
}

impl Ask {
    /// An OpenAI chat request of `body_bytes` bytes, or as few as it takes, answered whole or as a stream by the
    /// simulator under `script`. Requests of another `variant` ask, and are answered, something else.
    pub fn chat(script: &Script, stream: bool, body_bytes: usize, variant: usize) -> Ask {
        let end = match stream {
            true => "\"}],\"stream\":true,\"stream_options\":{\"include_usage\":true}}",
            false => "\"}]}",
        };
        let start = format!("{{\"model\":\"{MODEL}\",\"messages\":[{{\"role\":\"user\",\"content\":\"");
        let filler = body_bytes.saturating_sub(start.len() + end.len()).max(1);
        let question: String = QUESTION.chars().cycle().skip(variant % QUESTION.len()).take(filler).collect();
        let body = format!("{start}{question}{end}");
        let bytes = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             authorization: Bearer sk-client\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ask {
            bytes: bytes.into_bytes(),
            stream,
            leave: Leave::Never,
            text: Text::new(&reply_pieces(script, MODEL, &question).concat()),
            usage: usage(script, body.len()),
        }
    }

    /// The request as it goes over the wire.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same request of a client that goes early.
    pub fn leaving(mut self, leave: Leave) -> Ask {
        self.leave = leave;
        self
    }

    /// The same request with one more header line, without its end.
    pub fn with_line(mut self, line: &str) -> Ask {
        let line = format!("{line}\r\n");
        if let Some(at) = self.bytes.windows(2).position(|pair| pair == b"\r\n") {
            self.bytes.splice(at + 2..at + 2, line.into_bytes());
        }
        self
    }

    /// The answer is to state this usage.
    pub fn stating(mut self, usage: Usage) -> Ask {
        self.usage = usage;
        self
    }
}

/// What a request of so many bytes that sets no maximum uses.
fn usage(script: &Script, bytes: usize) -> Usage {
    let (input, output) = (script.input_tokens.of(bytes), script.output_tokens);
    let cached_input = script.cached_input_tokens.min(input);
    let cache_write = script.cache_write_tokens.min(input - cached_input);
    Usage { input, cached_input, cache_write, output, reasoning: script.reasoning_tokens.min(output) }
}

/// What is asked, over and over.
const QUESTION: &str = "Say it in a few words. ";

impl Text {
    fn new(text: &str) -> Text {
        let number_at = text.find(NUMBER_MARK);
        let text = text.replacen(NUMBER_MARK, &"0".repeat(NUMBER_DIGITS), 1);
        Text { bytes: text.into_bytes(), number_at }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The text from `at` on begins with `part`, when the number has these digits, or any when it is not known.
    pub(crate) fn goes_on(&self, at: usize, part: &[u8], number: Option<&[u8; NUMBER_DIGITS]>) -> bool {
        let Some(here) = self.bytes.get(at..at + part.len()) else { return false };
        let digits = self.number_at.map_or(0..0, |from| from..from + NUMBER_DIGITS);
        here.iter().zip(part).enumerate().all(|(index, (mine, theirs))| {
            match digits.contains(&(at + index)) {
                true => number
                    .map_or(theirs.is_ascii_digit(), |number| number[at + index - digits.start] == *theirs),
                false => mine == theirs,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Count, reply_text};

    #[test]
    fn requests_have_the_size_asked_for_and_the_text_the_number() {
        let script = Script { input_tokens: Count::Fixed(9), chunks: 3, ..Script::default() };
        for (stream, bytes) in [(false, 200), (true, 1024)] {
            let ask = Ask::chat(&script, stream, bytes, 2).with_line("x-a: b");
            let text = String::from_utf8(ask.bytes.clone()).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v1/chat/completions HTTP/1.1\r\nx-a: b\r\nhost: "), "{head}");
            assert!(head.ends_with(&format!("content-length: {bytes}")) && body.len() == bytes);
            let json: serde_json::Value = serde_json::from_str(body).unwrap();
            let question = json["messages"][0]["content"].as_str().unwrap();
            assert!(question.starts_with("y it in"), "variant 2");
            let said = reply_text(MODEL, question, 77, &script);
            assert_eq!((ask.text.len(), ask.usage.input), (said.len(), 9));
            assert!(ask.text.goes_on(0, said.as_bytes(), Some(b"0000000077")));
            assert!(ask.text.goes_on(15, &said.as_bytes()[15..30], Some(b"0000000077")));
            assert!(!ask.text.goes_on(0, said.as_bytes(), Some(b"0000000078")));
            assert!(ask.text.goes_on(0, said.as_bytes(), None), "a gateway that hides the number");
            assert!(!ask.text.goes_on(1, said.as_bytes(), Some(b"0000000077")));
        }
    }
}
