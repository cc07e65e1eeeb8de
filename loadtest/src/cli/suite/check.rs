//! Whether what came back is right: single answers, and the books of a whole turn.

use super::load::{Load, Request};
use crate::cli::kit::http::Client;
use serde_json::Value;
use tollgate_loadtest::{Ledger, Usage};

/// How near an answer must come to the provider's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sameness {
    /// Every byte of the body but the request's number.
    Bytes,
    /// Text, end and usage: what a gateway that reads answers must keep.
    Meaning,
}

/// A whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

/// What happened in a turn, by all who counted.
#[derive(Clone, Debug, Default)]
pub(super) struct Books {
    /// The provider's, as differences.
    pub(super) ledger: Ledger,
    pub(super) load: Load,
    /// What tollgate settled.
    pub(super) settled: Option<u64>,
    pub(super) connections: u32,
    /// Tokens that each answer reports.
    pub(super) tokens_each: u64,
}

impl Answer {
    /// Asks once, on a connection of its own.
    pub(super) fn to(port: u16, request: &Request) -> Result<Answer, String> {
        let (head, body) = Client::by(request.tls.clone(), port)
            .ask(&request.bytes())
            .map_err(|why| format!("no answer: {why}"))?;
        Ok(Answer { status: head.status, body: String::from_utf8_lossy(&body).into_owned() })
    }

    /// Says what differs from the provider's own answer to the same question.
    pub(super) fn compare(&self, direct: &Answer, sameness: Sameness) -> Result<(), String> {
        if self.status != 200 {
            return Err(format!("it is {}", self.shown()));
        }
        let (own, other) = (Told::of(&self.body), Told::of(&direct.body));
        let (Some(own), Some(other)) = (own, other) else {
            return Err(format!("it is no chat completion: {}", self.shown()));
        };
        let same = match sameness {
            Sameness::Bytes => self.body.replace(&own.number, "#") == direct.body.replace(&other.number, "#"),
            Sameness::Meaning => (&own.text, &own.rest) == (&other.text, &other.rest),
        };
        if same {
            Ok(())
        } else {
            Err(format!("it is {} where the provider says {}", self.shown(), direct.shown()))
        }
    }

    /// Its first part, in one line.
    pub(super) fn shown(&self) -> String {
        let line = self.body.split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}: {}", self.status, line.chars().take(600).collect::<String>())
    }
}

/// The parts of a chat completion that must be kept.
struct Told {
    /// The number of the request, which differs from answer to answer.
    number: String,
    /// The text after model and number, with the hash of the question in it.
    text: String,
    /// End, role, and usage.
    rest: [Value; 5],
}

impl Told {
    fn of(body: &str) -> Option<Told> {
        let json: Value = serde_json::from_str(body).ok()?;
        let choice = &json["choices"][0];
        let mut words = choice["message"]["content"].as_str()?.splitn(3, ' ');
        let (_model, number, text) = (words.next()?, words.next()?, words.next()?);
        let usage =
            ["prompt_tokens", "completion_tokens", "total_tokens"].map(|name| json["usage"][name].clone());
        let [input, output, total] = usage;
        let rest = [choice["finish_reason"].clone(), choice["message"]["role"].clone(), input, output, total];
        Some(Told { number: number.to_string(), text: text.to_string(), rest })
    }
}

impl Books {
    /// Everything in which two who counted do not agree.
    ///
    /// A client that stops when its time is up leaves as many requests unanswered as it has connections, at most. Only
    /// those may make a difference between it, the provider and tollgate's accounts.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut say = |wrong: bool, text: String| wrong.then(|| faults.push(text));
        let Books { ledger, load, .. } = self;
        let connections = u64::from(self.connections);
        say(load.errors > 0, format!("{} of the client's requests failed", load.errors));
        say(load.requests == 0, "the client had no answer at all".into());
        let ended = ledger.completed + ledger.client_gone;
        say(
            load.requests > ledger.completed || ended > load.requests + connections,
            format!(
                "the client had {} answers on {connections} connections, the provider completed {} and saw {} leave",
                load.requests, ledger.completed, ledger.client_gone
            ),
        );
        for (count, what) in [
            (ledger.refused, "requests refused by the provider"),
            (ledger.without_usage, "answers without usage"),
            (ledger.malformed, "malformed requests"),
            (ledger.protocol_faults, "protocol faults"),
            (ledger.cut, "answers cut"),
        ] {
            say(count > 0, format!("{count} {what}: {}", ledger.reasons.join("; ")));
        }
        if let Some(settled) = self.settled {
            let least = load.requests * self.tokens_each;
            let reported = tokens(&ledger.reported) + tokens(&ledger.reported_in_cut);
            // One that nobody waited for may be settled as it was estimated.
            let most = reported.max(least) + connections * self.tokens_each * 2;
            say(
                settled < least || settled > most,
                format!("tollgate settled {settled} tokens, the provider reported {reported}"),
            );
        }
        faults
    }
}

fn tokens(usage: &Usage) -> u64 {
    usage.input + usage.output
}

/// What was added to the books between two looks.
pub(super) fn since(after: &Ledger, before: &Ledger) -> Ledger {
    let usage = |after: Usage, before: Usage| Usage {
        input: after.input - before.input,
        cached_input: after.cached_input - before.cached_input,
        cache_write: after.cache_write - before.cache_write,
        output: after.output - before.output,
        reasoning: after.reasoning - before.reasoning,
    };
    Ledger {
        connections: after.connections - before.connections,
        requests: after.requests - before.requests,
        completed: after.completed - before.completed,
        cut: after.cut - before.cut,
        client_gone: after.client_gone - before.client_gone,
        incomplete: after.incomplete - before.incomplete,
        refused: after.refused - before.refused,
        faulted: after.faulted - before.faulted,
        without_usage: after.without_usage - before.without_usage,
        reported: usage(after.reported, before.reported),
        reported_in_cut: usage(after.reported_in_cut, before.reported_in_cut),
        body_bytes_in: after.body_bytes_in - before.body_bytes_in,
        bytes_out: after.bytes_out - before.bytes_out,
        malformed: after.malformed - before.malformed,
        protocol_faults: after.protocol_faults - before.protocol_faults,
        reasons: after.reasons.iter().filter(|reason| !before.reasons.contains(reason)).cloned().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::load::chat_body;
    use super::*;
    use tollgate_loadtest::{Count, Script, Simulator};

    #[test]
    fn answers_are_compared_by_bytes_and_by_meaning() {
        let script = Script { input_tokens: Count::Fixed(256), ..Script::default() };
        let simulator = Simulator::start(script.clone()).unwrap();
        let port = simulator.addr().port();
        let ask = |body_bytes, lines: &[(&str, &str)]| {
            let headers = lines.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            Answer::to(port, &Request { body: chat_body(body_bytes, None), headers, keys: 1, tls: None })
                .unwrap()
        };
        let direct = ask(500, &[]);
        assert_eq!(
            ask(500, &[]).compare(&direct, Sameness::Bytes),
            Ok(()),
            "another number, the same answer"
        );
        let mut spaced = ask(500, &[]);
        spaced.body = serde_json::from_str::<Value>(&spaced.body).unwrap().to_string();
        assert_eq!(spaced.compare(&direct, Sameness::Meaning), Ok(()));
        assert!(spaced.compare(&direct, Sameness::Bytes).is_err());
        for lines in [
            [("x-sim-output-tokens", "17")],
            [("x-sim-input-tokens", "255")],
            [("x-sim-chunks", "5")],
            [("x-sim-fault", "status:500")],
            [("x-sim-fault", "no-usage")],
        ] {
            assert!(ask(500, &lines).compare(&direct, Sameness::Meaning).is_err(), "{lines:?}");
        }
        assert!(ask(501, &[]).compare(&direct, Sameness::Meaning).is_err(), "the answer to another question");
        assert!(Answer { status: 200, body: "{}".into() }.compare(&direct, Sameness::Meaning).is_err());
    }

    fn books() -> Books {
        let reported = Usage { input: 1030, output: 206, ..Usage::default() };
        let ledger = Ledger { requests: 103, completed: 103, reported, ..Ledger::default() };
        let load = Load { requests: 100, ..Load::default() };
        Books { ledger, load, settled: Some(1220), connections: 4, tokens_each: 12 }
    }

    #[test]
    fn books_that_agree_but_for_the_last_requests_are_right() {
        assert_eq!(books().faults(), Vec::<String>::new());
    }

    #[test]
    fn each_disagreement_is_told() {
        type Change = fn(&mut Books);
        let rows: [(&str, Change); 10] = [
            ("failed", |books| books.load.errors = 1),
            ("saw", |books| books.ledger.completed = 99),
            ("saw", |books| books.ledger.completed = 105),
            ("saw", |books| books.ledger.client_gone = 2),
            ("refused", |books| books.ledger.refused = 1),
            ("without usage", |books| books.ledger.without_usage = 1),
            ("malformed", |books| books.ledger.malformed = 1),
            ("protocol", |books| books.ledger.protocol_faults = 1),
            ("settled", |books| books.settled = Some(1199)),
            ("settled", |books| books.settled = Some(1400)),
        ];
        for (word, change) in rows {
            let mut changed = books();
            change(&mut changed);
            let faults = changed.faults();
            assert!(faults.len() == 1 && faults[0].contains(word), "{word}: {faults:?}");
        }
    }

    #[test]
    fn differences_of_books() {
        let before = Ledger { completed: 3, reasons: vec!["old".into()], ..Ledger::default() };
        let after = Ledger { completed: 5, reasons: vec!["old".into(), "new".into()], ..Ledger::default() };
        let since = since(&after, &before);
        assert_eq!((since.completed, since.reasons), (2, vec!["new".to_string()]));
    }
}
