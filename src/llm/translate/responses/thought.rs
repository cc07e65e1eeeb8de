use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{At, Maker, Part, Signature, What};
use crate::llm::translate::read::Value;

/// What stands before a thought that another provider encrypted, to tell it from a signature.
const REDACTED: &str = "redacted_thinking:";

/// Reads an item `reasoning` that a client gives back. One that holds nothing which a provider could read is an
/// empty thought, for a writer to name as lost.
pub(super) fn given_back<'t, 'b>(item: Value<'t, 'b>, at: At, parts: &mut Vec<Part<'t, 'b>>) {
    let encrypted = item.text("encrypted_content");
    let signature = Signature::marked(encrypted, Maker::OpenAi);
    let mut whats = match encrypted.strip_prefix(REDACTED) {
        Some(data) => vec![What::Redacted(Signature::marked(data, Maker::OpenAi))],
        None => thoughts(item, signature),
    };
    if whats.is_empty() {
        whats.push(What::Thinking { text: "", signature });
    }
    parts.extend(whats.into_iter().map(|what| Part::new(what, at)));
}

/// Reads an item `reasoning` of a provider's answer.
pub(super) fn told<'t, 'b>(item: Value<'t, 'b>) -> Vec<What<'t, 'b>> {
    let encrypted = Signature { by: Maker::OpenAi, text: item.text("encrypted_content") };
    let mut whats = thoughts(item, encrypted);
    if whats.is_empty() && !encrypted.is_empty() {
        whats.push(What::Redacted(encrypted));
    }
    whats
}

/// The thoughts of an item; the last has the signature.
fn thoughts<'t, 'b>(item: Value<'t, 'b>, signature: Signature<'b>) -> Vec<What<'t, 'b>> {
    let thought = |text| What::Thinking { text, signature: Signature::NONE };
    let mut whats: Vec<What<'t, 'b>> = texts(item).into_iter().map(thought).collect();
    if let Some(What::Thinking { signature: last, .. }) = whats.last_mut() {
        *last = signature;
    }
    whats
}

/// The summary, or else what was thought word for word, which some providers tell (DeepSeek).
fn texts<'b>(item: Value<'_, 'b>) -> Vec<&'b str> {
    let of = |member: &str| -> Vec<&'b str> {
        let parts = item.get(member).into_iter().flat_map(Value::elements);
        parts.map(|part| part.text("text")).filter(|text| !text.is_empty()).collect()
    };
    let summary = of("summary");
    if summary.is_empty() { of("content") } else { summary }
}

/// What a thought becomes in the items of a client: the summary and what is encrypted.
pub(super) fn pieces<'b>(what: &What<'_, 'b>) -> Option<(&'b str, Encrypted<'b>)> {
    match *what {
        What::Thinking { text, signature } => Some((text, signed(signature))),
        What::Redacted(data) => Some(("", redacted(data))),
        _ => None,
    }
}

/// The pieces of `encrypted_content`.
pub(super) type Encrypted<'b> = [&'b str; 4];

/// Nothing is encrypted.
pub(super) const UNSIGNED: Encrypted<'static> = [""; 4];

/// The `encrypted_content` of a thought that is signed, for a client.
pub(super) fn signed(signature: Signature<'_>) -> Encrypted<'_> {
    let [maker, colon, text] = signature.with_mark(Maker::OpenAi);
    ["", maker, colon, text]
}

/// The `encrypted_content` of a thought that a provider encrypted, for a client.
pub(super) fn redacted(data: Signature<'_>) -> Encrypted<'_> {
    let [maker, colon, text] = data.with_mark(Maker::OpenAi);
    [REDACTED, maker, colon, text]
}

/// Writes an item `reasoning`; without an id towards providers, which know their own thoughts by what is encrypted.
pub(super) fn write(id: Option<&str>, summary: &[&str], encrypted: Encrypted<'_>, e: &mut Emit<'_>) {
    e.object(|e| {
        if let Some(id) = id {
            e.key("id").str(id);
        }
        e.key("type").str("reasoning");
        e.key("summary").array(|e| {
            summary.iter().filter(|text| !text.is_empty()).for_each(|text| write_summary(text, e));
        });
        if encrypted.iter().any(|piece| !piece.is_empty()) {
            e.key("encrypted_content").text(encrypted);
        }
    });
}

/// Writes a part of a summary.
pub(super) fn write_summary(text: &str, e: &mut Emit<'_>) {
    e.object(|e| {
        e.key("type").str("summary_text");
        e.key("text").str(text);
    });
}
