use super::items::{self, Call, Status};
use super::response::{Ending, Response, finish_of};
use super::thought;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{At, Citation, Json, Part, Reply, What, openai};
use crate::llm::translate::read::Value;
use crate::llm::translate::{BadReply, Lost, ReplyTerms};

/// Reads a response that is complete, or as complete as it will be.
pub(crate) fn read<'t, 'b>(response: Value<'t, 'b>) -> Result<Reply<'t, 'b>, BadReply> {
    let output = response.get("output").filter(|output| output.is_array()).ok_or(BadReply::NotAnAnswer)?;
    if matches!(response.text("status"), "failed" | "cancelled" | "queued" | "in_progress") {
        return Err(BadReply::Unfinished);
    }
    let mut lost = Lost::default();
    let whats: Vec<What<'t, 'b>> = output.elements().flat_map(|item| read_item(item, &mut lost)).collect();
    let called = whats.iter().any(|what| matches!(what, What::Call { .. }));
    let refused = whats.iter().any(|what| matches!(what, What::Refusal(_)));
    let reason = response.get("incomplete_details").map_or("", |details| details.text("reason"));
    Ok(Reply {
        id: response.text("id"),
        model: response.text("model"),
        parts: whats.into_iter().map(|what| Part::new(what, At::default())).collect(),
        finish: finish_of(reason).given(called, refused),
        stop_sequence: None,
        lost,
        ..Reply::default()
    })
}

fn read_item<'t, 'b>(item: Value<'t, 'b>, lost: &mut Lost) -> Vec<What<'t, 'b>> {
    match item.text("type") {
        "message" => {
            let content = item.get("content").into_iter().flat_map(Value::elements);
            content.map(|part| read_content(part, lost)).collect()
        }
        "reasoning" => thought::told(item),
        "function_call" => vec![What::Call {
            id: item.text("call_id"),
            name: item.text("name"),
            arguments: Json::of(item.get("arguments")),
            signature: openai::signature(item),
        }],
        "custom_tool_call" => {
            lost.add("custom_tools");
            Vec::new()
        }
        _ => vec![What::Foreign], // calls and results of tools that ran at the provider
    }
}

fn read_content<'t, 'b>(part: Value<'t, 'b>, lost: &mut Lost) -> What<'t, 'b> {
    if part.text("type") == "refusal" {
        return What::Refusal(part.text("refusal"));
    }
    let annotations = part.get("annotations").into_iter().flat_map(Value::elements);
    let citations = annotations.filter_map(|annotation| {
        let cited = citation(annotation);
        if cited.is_none() {
            lost.add("annotations");
        }
        cited
    });
    What::Text { text: part.text("text"), citations: citations.collect(), logprobs: logprobs(part) }
}

/// The page that an annotation names.
pub(super) fn citation<'b>(annotation: Value<'_, 'b>) -> Option<Citation<'b>> {
    (annotation.text("type") == "url_citation").then(|| openai::citation(annotation))
}

/// The list of tokens, if there is anything in it.
pub(super) fn logprobs<'t, 'b>(holder: Value<'t, 'b>) -> Option<Value<'t, 'b>> {
    holder.get("logprobs").filter(|list| list.elements().next().is_some())
}

/// Writes a response.
pub(crate) fn write(reply: &Reply<'_, '_>, terms: &ReplyTerms<'_>, lost: &mut Lost, e: &mut Emit<'_>) {
    let explained = reply.parts.iter().any(|part| matches!(part.what, What::Refusal(_)));
    let ending = Ending::of(reply.finish, explained);
    let response =
        Response { id: reply.id, created_unix: terms.created_unix, model: reply.model_or(terms), ending };
    response.write(Some(reply.usage), e, |e| {
        e.array(|e| {
            let mut items = Items { response: reply.id, count: 0, calls: 0, lost };
            let mut rest = reply.parts.as_slice();
            while let Some((item, after)) = next_item(rest) {
                let is_last = next_item(after).is_none();
                let status = if is_last { ending.status } else { Status::Completed };
                items.write(item, status, e);
                rest = after;
            }
        });
    });
}

/// The parts that become the next item, and those behind: texts and refusals side by side are one message.
fn next_item<'p, 't, 'b>(parts: &'p [Part<'t, 'b>]) -> Option<(&'p [Part<'t, 'b>], &'p [Part<'t, 'b>])> {
    let is_said = |part: &Part<'_, '_>| matches!(part.what, What::Text { .. } | What::Refusal(_));
    let len = parts.iter().take_while(|part| is_said(part)).count().max(1);
    parts.split_at_checked(len)
}

struct Items<'r, 'l> {
    response: &'r str,
    /// Items and calls so far.
    count: u64,
    calls: u64,
    lost: &'l mut Lost,
}

impl Items<'_, '_> {
    fn write(&mut self, parts: &[Part<'_, '_>], status: Status, e: &mut Emit<'_>) {
        let id = |kind| items::id(kind, self.response, self.count);
        match parts.first().map(|part| &part.what) {
            Some(What::Text { .. } | What::Refusal(_)) => {
                items::write_message(&id("msg"), status, e, |e| {
                    parts.iter().for_each(|part| write_content(&part.what, self.lost, e));
                });
            }
            Some(What::Call { id: call_id, name, arguments, signature }) => {
                let arguments = arguments.text();
                let (number, arguments) = (self.calls, if arguments.is_empty() { "{}" } else { &arguments });
                let call = Call { call_id, number, name, arguments, signature };
                items::write_call(&id("fc"), status, &call, e);
                self.calls += 1;
            }
            Some(what) => match thought::pieces(what) {
                Some((summary, encrypted)) => items::write_thought(&id("rs"), summary, encrypted, e),
                None => return self.lost.add("server_tools"),
            },
            None => return,
        }
        self.count += 1;
    }
}

fn write_content(what: &What<'_, '_>, lost: &mut Lost, e: &mut Emit<'_>) {
    let (text, citations, logprobs) = match what {
        What::Text { text, citations, logprobs } => (text, citations, logprobs),
        What::Refusal(text) => return items::write_refusal(text, e),
        _ => return,
    };
    let pages = |e: &mut Emit<'_>| {
        e.array(|e| {
            for citation in citations {
                match citation.url {
                    "" => lost.add("citations"), // of a document of the client's
                    _ => items::write_annotation(&spanned(citation, chars(text)), e),
                }
            }
        });
    };
    let logprobs = |e: &mut Emit<'_>| match logprobs {
        Some(list) => e.value(*list),
        None => e.raw("[]"),
    };
    items::write_text(text, pages, logprobs, e);
}

fn chars(text: &str) -> u64 {
    text.chars().count() as u64
}

/// Who does not say what is based on the page means all of the text.
pub(super) fn spanned<'b>(citation: &Citation<'b>, chars: u64) -> Citation<'b> {
    Citation { span: citation.span.or(Some((0, chars))), ..*citation }
}
