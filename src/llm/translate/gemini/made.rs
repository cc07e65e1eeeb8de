//! What other formats need and no body of Gemini's holds: ids of calls that have none, JSON schemas, tool results as
//! text. It is written as JSON before the body is read, in the order of the body's own lists, so that everything the
//! hub holds can be borrowed.

use super::read_turns::told;
use super::{ids, logprobs, names, schema};
use crate::llm::translate::emit::{Emit, compact};
use crate::llm::translate::hub::GEMINI_SIGNED;
use crate::llm::translate::read::Value;
use std::collections::{HashMap, VecDeque};

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

/// The calls of the turn that is being read and have no id, by the name of their tool: results without an id answer
/// them in their order.
#[derive(Default)]
struct Calls<'b> {
    count: u64,
    open: HashMap<&'b str, VecDeque<u64>>,
    in_model: bool,
}

impl<'b> Calls<'b> {
    /// A turn begins. What was called before the last turn of the user's is answered no more.
    fn turn(&mut self, of_model: bool) {
        if of_model && !self.in_model {
            self.open.clear();
        }
        self.in_model = of_model;
    }

    fn call(&mut self, name: &'b str) -> u64 {
        let number = self.count;
        self.count += 1;
        self.open.entry(name).or_default().push_back(number);
        number
    }

    fn answer(&mut self, name: &str) -> u64 {
        let called = self.open.get_mut(name).and_then(VecDeque::pop_front);
        called.unwrap_or_else(|| {
            self.count += 1;
            self.count - 1
        })
    }
}

fn write_part<'b>(part: Value<'_, 'b>, calls: &mut Calls<'b>, e: &mut Emit<'_>) {
    e.object(|e| {
        write_standard("signature", names::text(part, "thoughtSignature"), e);
        write_data(part, e);
        if let Some(call) =
            names::get(part, "functionCall").filter(|call| names::text(*call, "id").is_empty())
        {
            e.key("id").str(&format!("call_{}", calls.call(names::text(call, "name"))));
        }
        let Some(result) = names::get(part, "functionResponse") else { return };
        if names::text(result, "id").is_empty() {
            e.key("id").str(&format!("call_{}", calls.answer(names::text(result, "name"))));
        }
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

/// `{parts: [part], logprobs}` beside the first candidate of an answer; a part may have `id` and `signature`, the
/// latter marked.
pub(in crate::llm::translate) fn of_reply(answer: Value<'_, '_>) -> Vec<u8> {
    let mut out = Vec::new();
    let candidate = super::reply::candidate(answer);
    let response = names::text(answer, "responseId");
    Emit::new(&mut out).object(|e| {
        e.key("parts").array(|e| {
            for (number, part) in super::reply::parts(candidate).enumerate() {
                e.object(|e| {
                    let signature = names::text(part, "thoughtSignature");
                    match names::get(part, "functionCall") {
                        Some(call) if names::text(call, "id").is_empty() => {
                            e.key("id").str(&call_id(response, number, call));
                        }
                        None if !signature.is_empty() => e.key("signature").text([GEMINI_SIGNED, signature]),
                        _ => {}
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
