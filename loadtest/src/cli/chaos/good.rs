//! Well-behaved clients, each of whose answers is checked.

use super::order::{Order, Shape};
use super::weather::Weather;
use crate::cli::kit::http::{Client, Head};
use crate::cli::kit::random::Random;
use serde_json::Value;
use std::io::{Error, ErrorKind};
use std::time::Duration;

/// What a client saw of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Saw {
    /// All of it, and it was right.
    Right,
    /// An error of this status in the shape of the client's API.
    Error(u16),
    /// An error of this status in another shape.
    Foreign(u16),
    /// A stream that ended with an error in the shape of the client's API.
    ErrorAtEnd,
    /// The connection ended within the answer.
    Cut,
    /// The connection ended before any answer, and the client does not know why.
    Nothing,
    /// A complete answer that is not right; what was wrong.
    Wrong(String),
}

/// One request and its end.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) order: Order,
    /// `None` where the client did not wait for it: it does not behave.
    pub(super) saw: Option<Saw>,
    /// The connection had served another request before.
    pub(super) reused: bool,
    /// The gateway was being restarted at some moment between the beginning and the end.
    pub(super) restarting: bool,
}

/// One client, until the weather is over; its requests in order.
pub(super) fn behave(weather: &Weather, lane: u64) -> Vec<Sent> {
    let mut random = Random::new(weather.seed, lane);
    let mut client = Client::to(weather.port);
    let mut sent = Vec::new();
    while weather.lasts(&mut || client.leave()) {
        // Now and then a connection is left, as clients do.
        if random.percent(5) {
            client.leave();
        }
        let order = Order::good(&mut random, weather.tag());
        let (before, reused) = (weather.restarts(), client.is_open());
        if client.open().is_err() {
            weather.unreachable(before);
            std::thread::sleep(Duration::from_millis(20));
            continue;
        }
        let saw = ask(&mut client, &order);
        if saw == Saw::Nothing || saw == Saw::Cut {
            client.leave();
        }
        let restarting = before % 2 == 1 || weather.restarts() != before;
        sent.push(Sent { order, saw: Some(saw), reused, restarting });
        std::thread::sleep(Duration::from_millis(random.between(0, 10)));
    }
    sent
}

fn ask(client: &mut Client, order: &Order) -> Saw {
    let gone = |error: &Error| {
        let kinds = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset, ErrorKind::BrokenPipe];
        kinds.contains(&error.kind())
    };
    // A gateway that answers before it has read all may close while the rest is being sent: the answer is there.
    let sent = client.send(&order.bytes());
    if sent.as_ref().is_err_and(|error| !gone(error)) || !client.is_open() {
        return match sent {
            Err(error) if !gone(&error) => Saw::Wrong(format!("sending: {error}")),
            _ => Saw::Nothing,
        };
    }
    let head = match client.head(None) {
        Ok(head) => head,
        Err(error) if gone(&error) && !client.has_unread() => return Saw::Nothing,
        Err(error) => return Saw::Wrong(format!("no head: {error}")),
    };
    match client.body(&head, usize::MAX) {
        Ok((body, _)) => judge(order, &head, &body),
        Err(error) if gone(&error) => Saw::Cut,
        Err(error) => Saw::Wrong(format!("status {}, within the body: {error}", head.status)),
    }
}

/// What a complete answer is.
fn judge(order: &Order, head: &Head, body: &[u8]) -> Saw {
    let wrong = |what: String| {
        let shown = String::from_utf8_lossy(&body[..body.len().min(300)]).into_owned();
        Saw::Wrong(format!("status {}, {what}: {shown}", head.status))
    };
    if head.status != 200 {
        let is_error = serde_json::from_slice(body).is_ok_and(|json| is_error(order.shape, &json));
        return if is_error { Saw::Error(head.status) } else { Saw::Foreign(head.status) };
    }
    let said = match (order.stream, order.shape) {
        (false, shape) => whole(shape, body),
        (true, shape) => streamed(shape, body),
    };
    match said {
        Ok(Said { error: true, .. }) => Saw::ErrorAtEnd,
        Ok(said) => match said.fault(order) {
            None => Saw::Right,
            Some(why) => wrong(why),
        },
        Err(why) => wrong(why),
    }
}

/// What an answer said.
#[derive(Debug, Default)]
struct Said {
    text: String,
    output: Option<u64>,
    /// It came to its end as its API has it.
    ended: bool,
    /// It ended with an error.
    error: bool,
}

impl Said {
    fn fault(&self, order: &Order) -> Option<String> {
        let number = self.text.split(' ').nth(1).and_then(|number| number.parse().ok()).unwrap_or(0);
        if self.text != order.text(number) {
            return Some("another text".to_string());
        }
        if self.output != Some(order.output) {
            return Some(format!("{:?} tokens instead of {}", self.output, order.output));
        }
        (!self.ended).then(|| "without its end".to_string())
    }
}

fn is_error(shape: Shape, json: &Value) -> bool {
    let has_words = json["error"]["message"].as_str().is_some_and(|words| !words.is_empty());
    has_words && (shape == Shape::OpenAi || json["type"] == "error")
}

fn whole(shape: Shape, body: &[u8]) -> Result<Said, String> {
    let json: Value = serde_json::from_slice(body).map_err(|why| format!("no JSON ({why})"))?;
    let (text, output, reason) = match shape {
        Shape::OpenAi => (
            &json["choices"][0]["message"]["content"],
            &json["usage"]["completion_tokens"],
            &json["choices"][0]["finish_reason"],
        ),
        Shape::Anthropic => {
            (&json["content"][0]["text"], &json["usage"]["output_tokens"], &json["stop_reason"])
        }
    };
    let text = text.as_str().unwrap_or_default().to_string();
    Ok(Said { text, output: output.as_u64(), ended: reason.is_string(), error: false })
}

fn streamed(shape: Shape, body: &[u8]) -> Result<Said, String> {
    let text = std::str::from_utf8(body).map_err(|_| "no text".to_string())?;
    if !text.ends_with("\n\n") && !text.is_empty() {
        return Err("the last event has no end".to_string());
    }
    let mut said = Said::default();
    let datas = text.lines().filter_map(|line| line.strip_prefix("data:"));
    for data in datas.map(str::trim) {
        if said.ended || said.error {
            // OpenAI's mark may follow an error; nothing follows the mark.
            if said.error && data == "[DONE]" {
                continue;
            }
            return Err("it went on after its end".to_string());
        }
        if data == "[DONE]" && shape == Shape::OpenAi {
            said.ended = true;
            continue;
        }
        let json: Value =
            serde_json::from_str(data).map_err(|why| format!("an event that is no JSON ({why})"))?;
        said.error = is_error(shape, &json);
        let (more, output) = match shape {
            Shape::OpenAi => (&json["choices"][0]["delta"]["content"], &json["usage"]["completion_tokens"]),
            Shape::Anthropic => (&json["delta"]["text"], &json["usage"]["output_tokens"]),
        };
        said.text.push_str(more.as_str().unwrap_or_default());
        said.output = output.as_u64().or(said.output);
        said.ended = shape == Shape::Anthropic && json["type"] == "message_stop";
    }
    Ok(said)
}

#[cfg(test)]
mod tests {
    use super::super::order::{May, Whom};
    use super::*;
    use tollgate_loadtest::{Script, Simulator};

    /// An order as the provider itself takes it.
    fn direct(order: &Order) -> Vec<u8> {
        let text = String::from_utf8(order.bytes()).unwrap();
        let (path, rest) = text.split_once(" HTTP/1.1").unwrap();
        let end = path.find("/v1/").unwrap();
        format!("POST {} HTTP/1.1{rest}", &path[end..]).into_bytes()
    }

    fn saw(client: &mut Client, order: &Order) -> Saw {
        client.leave();
        client.send(&direct(order)).unwrap();
        match client.head(None) {
            Ok(head) => match client.body(&head, usize::MAX) {
                Ok((body, _)) => judge(order, &head, &body),
                Err(_) => Saw::Cut,
            },
            Err(_) => Saw::Nothing,
        }
    }

    #[test]
    fn the_providers_own_answers_are_told_apart() {
        let simulator = Simulator::start(Script::default()).unwrap();
        let mut client = Client::to(simulator.addr().port());
        let mut random = Random::new(5, 5);
        for tag in 0..60 {
            let base = Order { may: May::BeRight, whom: Whom::Provider, ..Order::bad(&mut random, tag) };
            let mut try_one = |fault: &str, expected: &[Saw]| {
                let order = Order { fault: fault.to_string(), chunks: 6, ..base.clone() };
                let found = saw(&mut client, &order);
                assert!(expected.contains(&found), "{fault}: {found:?}");
            };
            try_one("none", &[Saw::Right]);
            try_one("status:503", &[Saw::Error(503)]);
            try_one("html:502", &[Saw::Foreign(502)]);
            try_one("truncate", &[Saw::Cut]);
            try_one("no-answer", &[Saw::Nothing]);
            let at_end = if base.stream { Saw::ErrorAtEnd } else { Saw::Right };
            try_one("stream-error:2", &[at_end]);
        }
        let order = Order { stream: false, ..Order::good(&mut random, 99) };
        let other = Order { tag: 98, ..order.clone() };
        let (head, body) = client.ask(&direct(&Order { fault: "none".into(), ..order })).unwrap();
        assert!(matches!(judge(&other, &head, &body), Saw::Wrong(_)), "the answer to another question");
    }
}
