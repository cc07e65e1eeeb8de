//! Is an answer what the provider must have said?
//!
//! The first answer of its kind is read as JSON and judged. Its bytes are then remembered with the places of the
//! request's number, and a later answer that is the same but for the number is right without being read again: a
//! comparison costs a fraction of a microsecond, where reading costs several. Whatever differs is read and judged.

use super::ask::Ask;
use super::events;
use crate::ledger::Usage;
use serde_json::Value;

/// Judges the answers to one [`Ask`].
pub(crate) struct Checker<'a> {
    pub(crate) ask: &'a Ask,
    /// The parts of a right answer: the body of a whole one, each event of a stream.
    known: Vec<Known>,
}

/// A part of an answer that was found right.
struct Known {
    bytes: Vec<u8>,
    /// Where the number stands in it.
    numbers: Vec<usize>,
    /// What had been said before it, and with it.
    before: Said,
    after: Said,
}

/// What an answer has said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// Parts.
    pub(crate) parts: usize,
    /// Bytes of the expected text.
    text: usize,
    pub(crate) usage: Option<Usage>,
    /// The reason for its end was given; `[DONE]` came.
    finished: bool,
    done: bool,
}

impl<'a> Checker<'a> {
    pub(crate) fn new(ask: &'a Ask) -> Checker<'a> {
        Checker { ask, known: Vec::new() }
    }

    /// Takes the next part of an answer whose number is this; the error says what is wrong with it.
    pub(crate) fn part(
        &mut self,
        said: &mut Said,
        part: &[u8],
        number: Option<&[u8; 10]>,
    ) -> Result<(), String> {
        if let (Some(known), Some(number)) = (self.known.get(said.parts), number)
            && known.before == *said
            && known.is(part, number)
        {
            *said = known.after;
            return Ok(());
        }
        let before = *said;
        if self.ask.stream {
            self.read_event(said, part, number)?;
        } else {
            self.read_whole(said, part, number)?;
        }
        said.parts += 1;
        if let Some(number) = number
            && before.parts == self.known.len()
        {
            let numbers = find_all(part, number);
            self.known.push(Known { bytes: part.to_vec(), numbers, before, after: *said });
        }
        Ok(())
    }

    /// The answer is complete: has it said everything?
    pub(crate) fn end(&self, said: &Said) -> Result<(), String> {
        if said.text != self.ask.text.len() {
            return Err(format!("it said {} bytes of a text of {}", said.text, self.ask.text.len()));
        }
        if !said.finished || !said.done {
            return Err("it gave no reason for its end, or no end".to_string());
        }
        match said.usage {
            Some(usage) if usage == self.ask.usage => Ok(()),
            Some(usage) => Err(format!("it stated {usage:?} instead of {:?}", self.ask.usage)),
            None => Err("it stated no usage".to_string()),
        }
    }

    fn read_whole(&self, said: &mut Said, body: &[u8], number: Option<&[u8; 10]>) -> Result<(), String> {
        let json = parse(body)?;
        self.say(said, &json["choices"][0]["message"]["content"], number)?;
        finish(said, &json["choices"][0]["finish_reason"])?;
        said.usage = usage(&json["usage"]);
        said.done = true;
        Ok(())
    }

    fn read_event(&self, said: &mut Said, event: &[u8], number: Option<&[u8; 10]>) -> Result<(), String> {
        let data = events::data(event);
        if said.done {
            return Err(format!("it went on after its end: {}", shown(event)));
        }
        match data.as_slice() {
            b"" => return Ok(()), // a comment
            b"[DONE]" => {
                said.done = true;
                return Ok(());
            }
            _ => {}
        }
        let json = parse(&data)?;
        if !json["error"].is_null() {
            return Err(format!("an error within the stream: {}", shown(&data)));
        }
        let choice = &json["choices"][0];
        self.say(said, &choice["delta"]["content"], number)?;
        finish(said, &choice["finish_reason"])?;
        said.usage = usage(&json["usage"]).or(said.usage);
        Ok(())
    }

    /// More of the text, which must go on as expected.
    fn say(&self, said: &mut Said, content: &Value, number: Option<&[u8; 10]>) -> Result<(), String> {
        let Some(content) = content.as_str() else { return Ok(()) };
        if !self.ask.text.goes_on(said.text, content.as_bytes(), number) {
            return Err(format!("after {} bytes of text it said {content:?}", said.text));
        }
        said.text += content.len();
        Ok(())
    }
}

impl Known {
    /// `part` is this, with the other number.
    fn is(&self, part: &[u8], number: &[u8; 10]) -> bool {
        if part.len() != self.bytes.len() {
            return false;
        }
        let mut from = 0;
        for &at in &self.numbers {
            if part[from..at] != self.bytes[from..at] || part[at..at + number.len()] != number[..] {
                return false;
            }
            from = at + number.len();
        }
        part[from..] == self.bytes[from..]
    }
}

fn finish(said: &mut Said, reason: &Value) -> Result<(), String> {
    match reason.as_str() {
        None => Ok(()),
        Some("stop" | "length") => {
            said.finished = true;
            Ok(())
        }
        Some(reason) => Err(format!("it ended for {reason:?}")),
    }
}

/// OpenAI's usage object in the ledger's terms.
fn usage(json: &Value) -> Option<Usage> {
    let detail = |part: &str, name: &str| json[part][name].as_u64().unwrap_or(0);
    Some(Usage {
        input: json["prompt_tokens"].as_u64()?,
        output: json["completion_tokens"].as_u64()?,
        cached_input: detail("prompt_tokens_details", "cached_tokens"),
        cache_write: detail("prompt_tokens_details", "cache_write_tokens"),
        reasoning: detail("completion_tokens_details", "reasoning_tokens"),
    })
}

fn parse(text: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(text).map_err(|why| format!("{why}: {}", shown(text)))
}

/// The beginning of bytes as text.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned()
}

/// Where `number` stands in `bytes`.
fn find_all(bytes: &[u8], number: &[u8; 10]) -> Vec<usize> {
    let mut found: Vec<usize> = Vec::new();
    for at in 0..bytes.len().saturating_sub(number.len() - 1) {
        let apart = found.last().is_none_or(|last| last + number.len() <= at);
        if apart && bytes[at..].starts_with(number) {
            found.push(at);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Count, Script};

    fn ask(stream: bool) -> Ask {
        let script =
            Script { input_tokens: Count::Fixed(9), output_tokens: 5, chunks: 2, ..Script::default() };
        Ask::chat(&script, stream, 200, 0)
    }

    /// What the simulator under that script says to request `number`, in parts.
    fn answer(stream: bool, number: &str) -> Vec<String> {
        let question: String = "Say it in a few words. ".chars().cycle().take(200).collect();
        let ask = ask(stream);
        let body = String::from_utf8_lossy(&ask.bytes).into_owned();
        let question =
            body.split("\"content\":\"").nth(1).unwrap().split('"').next().map_or(question, str::to_string);
        let hash = crate::fnv1a64(question.as_bytes());
        let usage = r#"{"prompt_tokens":9,"completion_tokens":5}"#;
        let (first, second) = (format!("gpt-4o-mini {number} {hash:016x}"), " 1xxxx");
        if !stream {
            return vec![format!(
                r#"{{"id":"{number}","choices":[{{"message":{{"content":"{first}{second}"}},"finish_reason":"stop"}}],"usage":{usage}}}"#
            )];
        }
        let choice = |delta: &str, reason: &str| {
            format!(
                "data: {{\"id\":\"{number}\",\"choices\":[{{\"delta\":{delta},\"finish_reason\":{reason}}}]}}\n\n"
            )
        };
        vec![
            choice(r#"{"role":"assistant","content":""}"#, "null"),
            choice(&format!("{{\"content\":\"{first}\"}}"), "null"),
            choice(&format!("{{\"content\":\"{second}\"}}"), "null"),
            choice("{}", "\"stop\""),
            format!("data: {{\"choices\":[],\"usage\":{usage}}}\n\n"),
            "data: [DONE]\n\n".to_string(),
        ]
    }

    fn judge(checker: &mut Checker<'_>, parts: &[String], number: &[u8; 10]) -> Result<Said, String> {
        let mut said = Said::default();
        for part in parts {
            checker.part(&mut said, part.as_bytes(), Some(number))?;
        }
        checker.end(&said).map(|()| said)
    }

    #[test]
    fn right_answers_are_right_read_or_remembered() {
        for stream in [false, true] {
            let ask = ask(stream);
            let mut checker = Checker::new(&ask);
            for number in ["0000000001", "0000000002", "0123456789"] {
                let bytes: [u8; 10] = number.as_bytes().try_into().unwrap();
                let said = judge(&mut checker, &answer(stream, number), &bytes).unwrap();
                assert_eq!(said.usage, Some(ask.usage));
            }
            assert_eq!(checker.known.len(), answer(stream, "0000000001").len());
        }
    }

    #[test]
    fn whatever_differs_is_found_before_and_after_a_right_one() {
        let rows: [(&str, &str, &str); 7] = [
            ("xxxx", "xxxy", "after"),
            ("0000000003 ", "0000000004 ", "after"),
            ("\"completion_tokens\":5", "\"completion_tokens\":6", "it stated Usage"),
            ("\"prompt_tokens\":9", "\"other\":9", "no usage"),
            ("\"stop\"", "null", "no reason"),
            ("\"stop\"", "\"content_filter\"", "content_filter"),
            ("\"choices\":[", "\"choices\":[[", "expected"),
        ];
        for stream in [false, true] {
            let ask = ask(stream);
            for learned in [false, true] {
                for (right, wrong, expected) in rows {
                    let mut checker = Checker::new(&ask);
                    if learned {
                        judge(&mut checker, &answer(stream, "0000000001"), b"0000000001").unwrap();
                    }
                    let parts = answer(stream, "0000000003");
                    let parts: Vec<String> =
                        parts.iter().map(|part| part.replacen(right, wrong, 1)).collect();
                    let why = judge(&mut checker, &parts, b"0000000003").unwrap_err();
                    assert!(why.contains(expected), "{right} -> {wrong}: {why}");
                }
            }
        }
    }

    #[test]
    fn events_lost_doubled_or_late_are_found() {
        let ask = ask(true);
        let right = answer(true, "0000000001");
        for learned in [false, true] {
            for change in 0..right.len() {
                let mut checker = Checker::new(&ask);
                if learned {
                    judge(&mut checker, &right, b"0000000001").unwrap();
                }
                let mut lost = right.clone();
                lost.remove(change);
                // The event that says who speaks says nothing of the text, and the last one's loss is a missing end.
                assert_eq!(judge(&mut checker, &lost, b"0000000001").is_err(), change != 0, "{change}");
                let mut doubled = right.clone();
                doubled.insert(change, right[change].clone());
                let harmless = matches!(change, 0 | 3 | 4);
                assert_eq!(judge(&mut checker, &doubled, b"0000000001").is_err(), !harmless, "{change}");
            }
        }
    }
}
