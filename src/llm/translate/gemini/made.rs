//! What other formats need and no body of Gemini's holds: ids of calls that have none, JSON schemas, tool results as
//! text. It is written as JSON before the body is read, in the order of the body's own lists, so that everything the
//! hub holds can be borrowed.

use super::read_turns::told;
use super::{ids, logprobs, names, schema};
use crate::llm::translate::emit::{Emit, compact};
use crate::llm::translate::read::Value;
use std::collections::{HashMap, HashSet, VecDeque};

/// `{contents: [[part]], tools: [[schema]], schema}` beside a request; a part may have `id`, `text`, `data`,
/// `signature` and `parts`.
pub(in crate::llm::translate) fn of_request(body: Value<'_, '_>) -> Vec<u8> {
    let mut out = Vec::new();
    Emit::new(&mut out).object(|e| {
        let mut calls = Calls::default();
        e.key("contents").array(|e| {
            for content in names::each(body, "contents") {
                calls.turn(names::text(content, "role") == "model");
                e.array(|e| names::each(content, "parts").for_each(|part| write_part(part, &mut calls, e)));
            }
        });
        e.key("tools").array(|e| {
            for tool in names::each(body, "tools") {
                e.array(|e| {
                    names::each(tool, "functionDeclarations")
                        .for_each(|function| write_schema(names::get(function, "parameters"), e));
                });
            }
        });
        let config = names::get(body, "generationConfig");
        write_schema(config.and_then(|config| names::get(config, "responseSchema")), e.key("schema"));
    });
    out
}

/// The calls of the turn that is being read, by the name of their tool: results without an id answer them in their
/// order, whether the calls have ids or not.
#[derive(Default)]
struct Calls<'b> {
    count: u64,
    open: HashMap<&'b str, VecDeque<Id<'b>>>,
    /// The ids that results gave: their calls are open no more.
    answered: HashSet<&'b str>,
    in_model: bool,
}

/// The id of a call.
#[derive(Clone, Copy)]
enum Id<'b> {
    Given(&'b str),
    Made(u64),
}

impl Id<'_> {
    fn write(self, e: &mut Emit<'_>) {
        match self {
            Id::Given(id) => e.str(id),
            Id::Made(number) => e.str(&format!("call_{number}")),
        }
    }
}

impl<'b> Calls<'b> {
    /// A turn begins. What was called before the last turn of the user's is answered no more.
    fn turn(&mut self, of_model: bool) {
        if of_model && !self.in_model {
            self.open.clear();
            self.answered.clear();
        }
        self.in_model = of_model;
    }

    fn make(&mut self) -> Id<'b> {
        self.count += 1;
        Id::Made(self.count - 1)
    }

    /// The id of a call that is given `id`, or none: then it gets one.
    fn call(&mut self, name: &'b str, id: &'b str) -> Id<'b> {
        let id = if id.is_empty() { self.make() } else { Id::Given(id) };
        self.open.entry(name).or_default().push_back(id);
        id
    }

    /// The call that a result answers: the one it names, else the oldest of its tool that is open.
    fn answer(&mut self, name: &str, id: &'b str) -> Id<'b> {
        if !id.is_empty() {
            self.answered.insert(id);
            return Id::Given(id);
        }
        while let Some(oldest) = self.open.get_mut(name).and_then(VecDeque::pop_front) {
            match oldest {
                Id::Given(id) if self.answered.contains(id) => {}
                oldest => return oldest,
            }
        }
        self.make()
    }
}

fn write_part<'b>(part: Value<'_, 'b>, calls: &mut Calls<'b>, e: &mut Emit<'_>) {
    e.object(|e| {
        write_standard("signature", names::text(part, "thoughtSignature"), e);
        write_data(part, e);
        if let Some(call) = names::get(part, "functionCall") {
            calls.call(names::text(call, "name"), names::text(call, "id")).write(e.key("id"));
        }
        let Some(result) = names::get(part, "functionResponse") else { return };
        calls.answer(names::text(result, "name"), names::text(result, "id")).write(e.key("id"));
        let (words, _) = told(result);
        if let Some(words) = words.filter(|words| words.str().is_none()) {
            e.key("text").str(&compact(words));
        }
        e.key("parts")
            .array(|e| names::each(result, "parts").for_each(|part| e.object(|e| write_data(part, e))));
    });
}

fn write_data(part: Value<'_, '_>, e: &mut Emit<'_>) {
    if let Some(data) = names::get(part, "inlineData") {
        write_standard("data", names::text(data, "data"), e);
    }
}

/// Bytes are base64 in either alphabet at Google (ProtoJSON format, `bytes`); others take the standard one alone.
fn write_standard(name: &str, base64: &str, e: &mut Emit<'_>) {
    if base64.contains(['-', '_']) {
        e.key(name).str(&base64.replace('-', "+").replace('_', "/"));
    }
}

fn write_schema(openapi: Option<Value<'_, '_>>, e: &mut Emit<'_>) {
    match openapi {
        Some(openapi) => schema::write(openapi, e),
        None => e.raw("null"),
    }
}

/// `{parts: [part], logprobs}` beside the first candidate of an answer; a part may have `id`.
pub(in crate::llm::translate) fn of_reply(answer: Value<'_, '_>) -> Vec<u8> {
    let mut out = Vec::new();
    let candidate = super::reply::candidate(answer);
    let response = names::text(answer, "responseId");
    Emit::new(&mut out).object(|e| {
        e.key("parts").array(|e| {
            for (number, part) in super::reply::parts(candidate).enumerate() {
                e.object(|e| {
                    let call = names::get(part, "functionCall");
                    if let Some(call) = call.filter(|call| names::text(*call, "id").is_empty()) {
                        e.key("id").str(&call_id(response, number, call));
                    }
                });
            }
        });
        let result = candidate.and_then(|candidate| names::get(candidate, "logprobsResult"));
        if let Some(result) = result {
            logprobs::write_list(result, e.key("logprobs"));
        }
    });
    out
}

/// The id of a call that has none.
pub(super) fn call_id(response: &str, number: usize, call: Value<'_, '_>) -> String {
    let words = if response.is_empty() { compact(call) } else { String::new() };
    ids::make(response, number, &words)
}
