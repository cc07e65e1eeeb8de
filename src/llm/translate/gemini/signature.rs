//! Signatures, which are bytes in base64 for Gemini's clients: they decode them, and refuse an answer where one is none.
//!
//! What another model signed begins with letters of base64 too, a multiple of four, so that a client that decodes and
//! encodes it gives back the same.

use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::{Maker, Signature};

const MARKS: [(Maker, &str); 3] =
    [(Maker::Claude, "claude//"), (Maker::OpenAi, "openai//"), (Maker::Bedrock, "bedrock/")];

/// Reads what a client gives back, in the standard alphabet.
pub(super) fn read(text: &str) -> Signature<'_> {
    let marked = |(by, mark): &(Maker, &str)| Some(Signature { by: *by, text: text.strip_prefix(mark)? });
    MARKS.iter().find_map(marked).unwrap_or(Signature { by: Maker::Gemini, text })
}

/// Writes the member; none where there is no signature, or one that is no base64, as some hosts' are.
pub(super) fn write(signature: Signature<'_>, e: &mut Emit<'_>) {
    if !signature.is_empty() && is_base64(signature.text) {
        let mark = MARKS.iter().find(|(by, _)| *by == signature.by).map_or("", |(_, mark)| mark);
        e.key("thoughtSignature").text([mark, signature.text]);
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
    whole && text.len().is_multiple_of(4) && letters.bytes().all(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_base64_and_read_again() {
        let rows = [
            (Maker::Gemini, "EqQB", Some("EqQB")),
            (Maker::Claude, "EqQ=", Some("claude//EqQ=")),
            (Maker::OpenAi, "gAAA", Some("openai//gAAA")),
            (Maker::Bedrock, "Zg==", Some("bedrock/Zg==")),
            (Maker::Claude, "no base64", None),
            (Maker::Claude, "", None),
        ];
        for (by, text, written) in rows {
            let mut json = Vec::new();
            Emit::new(&mut json).object(|e| write(Signature { by, text }, e));
            let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
            assert_eq!(json["thoughtSignature"].as_str(), written, "{text}");
            if let Some(written) = written {
                assert!(is_base64(written), "{written}");
                assert_eq!(read(written), Signature { by, text });
            }
        }
    }

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
