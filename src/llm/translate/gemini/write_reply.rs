use super::grounding::{self, CITATIONS_MAX, Cited, Ruler};
use super::logprobs;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Citation, Finish, Json, Part, Reply, What, write_call_id};
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
    /// Each text's characters before it, and its part.
    texts: Vec<(usize, &'p str)>,
    logprobs: Vec<Value<'t, 'b>>,
}

impl<'p, 't, 'b> Written<'p, 't, 'b> {
    fn part(&mut self, part: &'p Part<'t, 'b>, lost: &mut Lost, e: &mut Emit<'_>) {
        match &part.what {
            What::Text { text, citations, logprobs } => {
                self.cited.push((self.parts, text, citations));
                self.texts.push((self.parts, text));
                self.logprobs.extend(*logprobs);
                e.object(|e| e.key("text").str(text));
            }
            What::Refusal(text) => e.object(|e| e.key("text").str(text)),
            What::Thinking { text, signature } => {
                if !is_base64(signature) {
                    lost.add("thinking");
                }
                e.object(|e| write_thought(text, signature, e));
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
        let mut cited = Vec::new();
        for (part, text, citations) in &self.cited {
            for citation in *citations {
                if citation.url.is_empty() {
                    lost.add("citations"); // a document of the client's
                } else {
                    cited.push(self.place(citation).unwrap_or(Cited {
                        url: citation.url,
                        title: citation.title,
                        part: *part,
                        start: 0,
                        end: text.len() as u64,
                        text,
                    }));
                }
            }
        }
        cited.truncate(CITATIONS_MAX);
        grounding::write(&cited, e);
        if !self.logprobs.is_empty() {
            logprobs::write_result(self.logprobs.iter().copied(), e);
        }
    }

    /// Where the characters of a citation stand, which are those of all texts together; `None` when it names none, or
    /// none of one text.
    fn place<'c>(&'c self, citation: &'c Citation<'_>) -> Option<Cited<'c>> {
        let (mut start, mut end) = citation.span?;
        for (part, text) in &self.texts {
            let chars = text.chars().count() as u64;
            if start < chars || (start == chars && end == chars) {
                let mut ruler = Ruler::default();
                ruler.add(text);
                let (start, end) = (ruler.byte(start)?, ruler.byte(end.min(chars))?);
                let words = text.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)?;
                let Citation { url, title, .. } = citation;
                return Some(Cited { url, title, part: *part, start, end, text: words });
            }
            start -= chars;
            end = end.saturating_sub(chars);
        }
        None
    }
}

/// Writes the members of a thought.
pub(super) fn write_thought(text: &str, signature: &str, e: &mut Emit<'_>) {
    e.key("text").str(text);
    e.key("thought").raw("true");
    write_signature(signature, e);
}

/// Clients decode signatures, and refuse the answer where one is no base64; some hosts' are not.
fn write_signature(signature: &str, e: &mut Emit<'_>) {
    if !signature.is_empty() && is_base64(signature) {
        e.key("thoughtSignature").str(signature);
    }
}

/// Whether it is base64 with padding, in either alphabet (RFC 4648 sections 4 and 5), with no bits left over.
pub(super) fn is_base64(text: &str) -> bool {
    let padding = text.bytes().rev().take_while(|byte| *byte == b'=').count();
    let letters = text.get(..text.len() - padding).unwrap_or_default();
    let whole = match (padding, letters.bytes().last()) {
        (0, _) => true,
        (1, Some(last)) => b"AEIMQUYcgkosw048".contains(&last),
        (2, Some(last)) => b"AQgw".contains(&last),
        _ => false,
    };
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte);
    whole && text.len() % 4 == 0 && letters.bytes().all(known)
}

/// Writes a call, the `number`-th of its answer; false when its arguments were no object.
pub(super) fn write_call(
    id: &str,
    number: u64,
    name: &str,
    arguments: Json<'_, '_>,
    signature: &str,
    e: &mut Emit<'_>,
) -> bool {
    let mut whole = true;
    e.object(|e| {
        e.key("functionCall").object(|e| {
            write_call_id(id, number, e.key("id"));
            e.key("name").str(name);
            whole = arguments.write_object(e.key("args"));
        });
        write_signature(signature, e);
    });
    whole
}

#[cfg(test)]
mod tests {
    use super::is_base64;

    #[test]
    fn base64_is_known() {
        for (text, is) in [
            ("", true),
            ("EqQB", true),
            ("Eq_-", true),
            ("EqQ=", true),
            ("EqR=", false),
            ("Zg==", true),
            ("Zz==", false),
            ("EqQ", false),
            ("E===", false),
            ("====", false),
            ("Eq=B", false),
            ("Eq B", false),
            ("é", false),
        ] {
            assert_eq!(is_base64(text), is, "{text}");
        }
    }
}
