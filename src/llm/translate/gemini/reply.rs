use super::grounding::{self, Ruler};
use super::names;
use crate::llm::translate::hub::{
    At, Citation, Finish, Json, Maker, Media, MediaKind, Part, Reply, Signature, Source, What,
};
use crate::llm::translate::read::{Kind, Value};
use crate::llm::translate::{BadReply, Lost};

/// What `finishReason` says; `None` when there is none yet.
pub(super) fn finish_of(candidate: Value<'_, '_>) -> Option<Finish> {
    // Some hosts write the number of an enumeration in place of its name.
    Some(match names::get(candidate, "finishReason")?.kind() {
        Kind::String("" | "FINISH_REASON_UNSPECIFIED") | Kind::U64(0) => return None,
        Kind::String("MAX_TOKENS" | "CONTINUATION") | Kind::U64(2) => Finish::Length,
        Kind::String(reason) if REFUSED.contains(&reason) => Finish::Refused,
        Kind::U64(3 | 4) => Finish::Refused,
        _ => Finish::Stop, // STOP, faults of the model's, and what is yet to come
    })
}

/// Reasons for which the answer, or the rest of it, is kept back (API reference, `FinishReason`).
const REFUSED: &[&str] = &[
    "SAFETY",
    "RECITATION",
    "LANGUAGE",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "MODEL_ARMOR",
    "ESCALATION",
    "PUP_LIMITED_DISABLED",
];

/// Reasons that no other format has: the model did not get its answer right.
const FAILED: &[&str] = &[
    "MALFORMED_FUNCTION_CALL",
    "MALFORMED_RESPONSE",
    "UNEXPECTED_TOOL_CALL",
    "TOO_MANY_TOOL_CALLS",
    "MISSING_THOUGHT_SIGNATURE",
    "OTHER",
];

/// Why a candidate that holds nothing was kept back, where it says so.
pub(super) fn refusal<'b>(candidate: Value<'_, 'b>) -> Option<&'b str> {
    let refused = finish_of(candidate) == Some(Finish::Refused);
    Some(names::text(candidate, "finishMessage")).filter(|words| refused && !words.is_empty())
}

/// Why a prompt was blocked; `None` when it was not.
pub(super) fn blocked<'b>(answer: Value<'_, 'b>) -> Option<&'b str> {
    let feedback = names::get(answer, "promptFeedback")?;
    let reason = names::get(feedback, "blockReason")?;
    Some(match (names::text(feedback, "blockReasonMessage"), reason.str().unwrap_or_default()) {
        ("", "SAFETY" | "IMAGE_SAFETY") => "the prompt was blocked: it is not safe",
        ("", "BLOCKLIST") => "the prompt was blocked: it holds a word of a blocklist",
        ("", "PROHIBITED_CONTENT") => "the prompt was blocked: it holds prohibited content",
        ("", "MODEL_ARMOR") => "the prompt was blocked by Model Armor",
        ("", "JAILBREAK") => "the prompt was blocked: it is an attempt to get around the model's rules",
        ("", _) => "the prompt was blocked",
        (words, _) => words,
    })
}

/// The first candidate.
pub(super) fn candidate<'t, 'b>(answer: Value<'t, 'b>) -> Option<Value<'t, 'b>> {
    names::each(answer, "candidates")
        .find(|candidate| names::get(*candidate, "index").is_none_or(|index| index.u64() == Some(0)))
}

/// The parts of a candidate.
pub(super) fn parts<'t, 'b>(
    candidate: Option<Value<'t, 'b>>,
) -> impl Iterator<Item = Value<'t, 'b>> + use<'t, 'b> {
    let content = candidate.and_then(|candidate| names::get(candidate, "content"));
    content.into_iter().flat_map(|content| names::each(content, "parts"))
}

/// The text of a part, and whether it is a thought.
pub(super) fn text_of<'b>(part: Value<'_, 'b>) -> Option<(&'b str, bool)> {
    let text = names::get(part, "text")?.str()?;
    Some((text, names::get(part, "thought").and_then(Value::bool) == Some(true)))
}

/// Reads a whole answer; of several candidates the first. `made` is what was made of it ([`super::made_of_reply`]). A
/// prompt that was blocked has no candidate: that is a refusal.
pub(in crate::llm::translate) fn read<'t, 'b>(
    answer: Value<'t, 'b>,
    made: Value<'t, 'b>,
) -> Result<Reply<'t, 'b>, BadReply> {
    let (candidate, blocked) = (candidate(answer), blocked(answer));
    if candidate.is_none() && blocked.is_none() {
        return Err(BadReply::NotAnAnswer);
    }
    let mut lost = Lost::default();
    if names::each(answer, "candidates").count() > 1 {
        lost.add("choices");
    }
    let mut parts = Vec::new();
    let mut made_parts = made.get("parts").into_iter().flat_map(Value::elements);
    for part in self::parts(candidate) {
        read_part(part, made_parts.next(), &mut parts, &mut lost);
    }
    if let Some(candidate) = candidate {
        attach(candidate, made.get("logprobs"), &mut parts, &mut lost);
        if FAILED.contains(&names::text(candidate, "finishReason")) {
            lost.add("finish_reason");
        }
        if parts.is_empty() {
            parts.extend(refusal(candidate).map(What::Refusal));
        }
    }
    parts.extend(blocked.filter(|_| candidate.is_none()).map(What::Refusal));
    let called = parts.iter().any(|what| matches!(what, What::Call { .. }));
    let finish = candidate.map_or(Finish::Refused, |candidate| finish_of(candidate).unwrap_or_default());
    Ok(Reply {
        id: names::text(answer, "responseId"),
        model: names::text(answer, "modelVersion"),
        parts: parts.into_iter().map(|what| Part::new(what, At::default())).collect(),
        finish: finish.given(called, false),
        stop_sequence: None,
        lost,
        ..Reply::default()
    })
}

/// A signature that is not a call's is a thought's: of the one before the part, or of one that is not told.
fn read_part<'t, 'b>(
    part: Value<'t, 'b>,
    made: Option<Value<'t, 'b>>,
    parts: &mut Vec<What<'t, 'b>>,
    lost: &mut Lost,
) {
    let of_made = |name: &str| made.map_or("", |made| made.text(name));
    let call = names::get(part, "functionCall");
    let own = Signature { by: Maker::Gemini, text: names::text(part, "thoughtSignature") };
    match parts.last_mut() {
        _ if own.is_empty() || call.is_some() => {}
        Some(What::Thinking { signature, .. }) if signature.is_empty() => *signature = own,
        _ => parts.push(What::Thinking { text: "", signature: own }),
    }
    if let Some(call) = call {
        parts.push(What::Call {
            id: Some(names::text(call, "id")).filter(|id| !id.is_empty()).unwrap_or_else(|| of_made("id")),
            name: names::text(call, "name"),
            arguments: Json::of(names::get(call, "args")),
            signature: own.text,
        });
    } else if let Some(data) = names::get(part, "inlineData") {
        let (media_type, data) = (names::text(data, "mimeType"), names::text(data, "data"));
        let (kind, source) = (MediaKind::of(media_type), Source::Base64 { media_type, data });
        parts.push(What::Media(Media { kind, source, title: "", detail: "" }));
    } else {
        match text_of(part) {
            Some(("", _)) => {}
            Some((text, true)) => parts.push(What::Thinking { text, signature: Signature::NONE }),
            Some((text, false)) => {
                parts.push(What::Text { text, citations: Vec::new(), logprobs: None });
            }
            None => lost.add("server_tools"), // code that ran at Google, what came out, what was looked up
        }
    }
}

/// Puts what the answer is based on, and its tokens, beside its last text.
fn attach<'t, 'b>(
    candidate: Value<'t, 'b>,
    list: Option<Value<'t, 'b>>,
    parts: &mut [What<'t, 'b>],
    lost: &mut Lost,
) {
    let mut ruler = Ruler::default();
    let texts: Vec<Option<&str>> = self::parts(Some(candidate))
        .map(|part| text_of(part).filter(|(_, thought)| !thought).map(|(text, _)| text))
        .collect();
    texts.iter().flatten().for_each(|text| ruler.add(text));
    let before = |part: u64| {
        let before = usize::try_from(part).ok().and_then(|part| texts.get(..part));
        before.unwrap_or_default().iter().flatten().map(|text| text.len() as u64).sum()
    };
    let cited: Vec<Citation<'b>> = grounding::read(candidate, &ruler, before);
    let last = parts.iter_mut().rev().find(|what| matches!(what, What::Text { .. }));
    match last {
        Some(What::Text { citations, logprobs, .. }) => {
            *citations = cited;
            *logprobs = list;
        }
        _ if !cited.is_empty() => lost.add("citations"),
        _ => {}
    }
}
