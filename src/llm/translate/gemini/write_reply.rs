use super::grounding::{self, CITATIONS_MAX, Cited, Ruler};
use super::logprobs;
use super::signature::{self, is_base64};
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{
    Citation, Finish, Json, Maker, Part, Reply, Signature, What, write_call_id,
};
use crate::llm::translate::read::Value;
use crate::llm::translate::{Lost, ReplyTerms, usage};

/// `finishReason`.
pub(super) fn finish_reason(finish: Finish) -> &'static str {
    match finish {
        Finish::Length => "MAX_TOKENS",
        Finish::Refused => "SAFETY",
        Finish::Stop | Finish::StopSequence | Finish::Calls | Finish::Paused => "STOP",
    }
}

/// Writes a whole answer.
pub(in crate::llm::translate) fn write(
    reply: &Reply<'_, '_>,
    terms: &ReplyTerms<'_>,
    lost: &mut Lost,
    e: &mut Emit<'_>,
) {
    let mut written = Written { is_cut: reply.finish == Finish::Length, ..Written::default() };
    e.object(|e| {
        e.key("candidates").array(|e| {
            e.object(|e| {
                e.key("content").object(|e| {
                    e.key("parts").array(|e| {
                        reply.parts.iter().for_each(|part| written.part(part, lost, e));
                    });
                    e.key("role").str("model");
                });
                e.key("finishReason").str(finish_reason(reply.finish));
                e.key("index").u64(0);
                written.rest(lost, e);
            });
        });
        e.key("usageMetadata");
        usage::to_gemini(reply.usage, e);
        e.key("modelVersion").str(reply.model_or(terms));
        e.key("responseId").str(reply.id);
    });
}

/// What was written of the parts, for what stands beside them.
#[derive(Default)]
struct Written<'p, 't, 'b> {
    /// The answer ends in the middle: a call that does too is nobody's to run.
    is_cut: bool,
    parts: usize,
    calls: u64,
    /// Texts with what they are based on, and the index of their part.
    cited: Vec<(usize, &'p str, &'p [Citation<'b>])>,
    logprobs: Vec<Value<'t, 'b>>,
}

impl<'p, 't, 'b> Written<'p, 't, 'b> {
    fn part(&mut self, part: &'p Part<'t, 'b>, lost: &mut Lost, e: &mut Emit<'_>) {
        match &part.what {
            What::Text { text, citations, logprobs } => {
                self.cited.push((self.parts, text, citations));
                self.logprobs.extend(*logprobs);
                e.object(|e| e.key("text").str(text));
            }
            What::Refusal(text) => e.object(|e| e.key("text").str(text)),
            What::Thinking { text, signature } => {
                if !is_base64(signature.text) {
                    lost.add("thinking");
                }
                e.object(|e| write_thought(text, *signature, e));
            }
            What::Call { arguments, .. } if self.is_cut && arguments.object().is_none() => {
                return lost.add("tool_calls.arguments");
            }
            What::Call { id, name, arguments, signature } => {
                let whole = write_call(id, self.calls, name, *arguments, signature, e);
                self.calls += 1;
                if !whole {
                    lost.add("tool_calls.arguments");
                }
            }
            What::Redacted(_) => return lost.add("thinking"),
            What::Media(_) | What::Result { .. } | What::Foreign => return lost.add("server_tools"),
        }
        self.parts += 1;
    }

    fn rest(&self, lost: &mut Lost, e: &mut Emit<'_>) {
        let cites = self.cited.iter().any(|(_, _, citations)| !citations.is_empty());
        let texts: Vec<Text<'_>> = self.cited.iter().filter(|_| cites).map(Text::of).collect();
        let citations = self
            .cited
            .iter()
            .zip(&texts)
            .flat_map(|((_, _, cited), text)| cited.iter().map(move |citation| (citation, text)));
        let mut cited = Vec::new();
        for (citation, text) in citations {
            match grounding::cited_page(citation) {
                Some((url, title)) if cited.len() < CITATIONS_MAX => {
                    let (text, start, end) = place(citation.span, &texts).unwrap_or((text, 0, text.bytes()));
                    cited.push(Cited {
                        url,
                        title,
                        part: text.part,
                        start,
                        end,
                        text: text.between(start, end),
                    });
                }
                _ => lost.add("citations"), // a document of the client's, or more than anybody reads
            }
        }
        grounding::write(&cited, e);
        if !self.logprobs.is_empty() {
            logprobs::write_result(self.logprobs.iter().copied(), e);
        }
    }
}

/// A text that is measured.
struct Text<'p> {
    part: usize,
    text: &'p str,
    chars: u64,
    ruler: Ruler,
}

impl<'p> Text<'p> {
    fn of((part, text, _): &(usize, &'p str, &'p [Citation<'_>])) -> Text<'p> {
        let mut ruler = Ruler::default();
        ruler.add(text);
        Text { part: *part, text, chars: text.chars().count() as u64, ruler }
    }

    fn bytes(&self) -> u64 {
        self.text.len() as u64
    }

    fn between(&self, start: u64, end: u64) -> &'p str {
        let place = usize::try_from(start).ok().zip(usize::try_from(end).ok());
        place.and_then(|(start, end)| self.text.get(start..end)).unwrap_or_default()
    }
}

/// Where the characters of a citation stand, which are those of all texts together: the text that the first of them is
/// in, and bytes of it. `None` when it names none.
fn place<'t, 'p>(span: Option<(u64, u64)>, texts: &'t [Text<'p>]) -> Option<(&'t Text<'p>, u64, u64)> {
    let (mut start, mut end) = span.filter(|(start, end)| start <= end)?;
    for text in texts {
        if start < text.chars {
            let (start, end) = (text.ruler.byte(start)?, text.ruler.byte(end.min(text.chars))?);
            return Some((text, start, end));
        }
        start -= text.chars;
        end = end.saturating_sub(text.chars);
    }
    None
}

/// Writes the members of a thought.
pub(super) fn write_thought(text: &str, signed: Signature<'_>, e: &mut Emit<'_>) {
    e.key("text").str(text);
    e.key("thought").raw("true");
    signature::write(signed, e);
}

/// Writes a call, the `number`-th of its answer; false when its arguments were no object.
pub(super) fn write_call(
    id: &str,
    number: u64,
    name: &str,
    arguments: Json<'_, '_>,
    signed: &str,
    e: &mut Emit<'_>,
) -> bool {
    let mut whole = true;
    e.object(|e| {
        e.key("functionCall").object(|e| {
            write_call_id(id, number, e.key("id"));
            e.key("name").str(name);
            whole = arguments.write_object(e.key("args"));
        });
        signature::write(Signature { by: Maker::Gemini, text: signed }, e);
    });
    whole
}
