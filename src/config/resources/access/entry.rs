//! An entry of a Secret or a ConfigMap that is an API key: the key itself, or JSON with what is said of it.

use crate::access::{AllowedModels, Digest, Key, digest};
use crate::config::values::sha256;
use serde_json::{Map, Value};

/// The members of an entry in JSON; those of tollgate's own are the last two.
const MEMBERS: [&str; 5] = ["key", "keyHash", "metadata", "allowedModels", "expires"];
/// What a hash begins with.
const SHA256: &str = "sha256:";

/// What is wrong with an entry: it completes the sentence `"name" ...`. No value is repeated in it.
pub(crate) type Wrong = (String, &'static str);

/// Reads the entry called `name`. Where `hashed` is set it may hold no key, only the hash of one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(name: &str, text: &[u8], hashed: bool) -> Result<Key, Wrong> {
    let text = text.trim_ascii();
    if !text.starts_with(b"{") {
        return match hashed {
            true => Err(("must hold the hash of its key".into(), HASH_HELP)),
            false => Ok(Key::new(digest(visible(text)?), name)),
        };
    }
    let json: Map<String, Value> = serde_json::from_slice(text).map_err(|error| {
        (format!("is no JSON object: line {}, column {}", error.line(), error.column()), KEY_HELP)
    })?;
    if json.keys().any(|member| !MEMBERS.contains(&member.as_str())) {
        return Err((format!("has another member than {}", MEMBERS.join(", ")), KEY_HELP));
    }
    let mut key = Key::new(hash(&json, hashed)?, name);
    if let Some(metadata) = json.get("metadata") {
        let metadata = metadata.as_object().ok_or(("has metadata that is no object".to_owned(), KEY_HELP))?;
        key = key.with_metadata(metadata.clone());
    }
    if let Some(list) = json.get("allowedModels").filter(|list| !list.is_null()) {
        key = key.for_models(models(list)?);
    }
    if let Some(end) = json.get("expires").filter(|end| !end.is_null()) {
        let end = end.as_str().and_then(|end| end.parse::<jiff::Timestamp>().ok());
        key = key.until(
            end.ok_or_else(|| ("has an expires that is no instant".to_owned(), TIME_HELP))?.as_millisecond(),
        );
    }
    Ok(key)
}

const KEY_HELP: &str =
    "write the key alone, or {\"key\": ..., \"metadata\": {...}, \"allowedModels\": [...], \"expires\": ...}";
const HASH_HELP: &str = "write {\"keyHash\": \"sha256:...\"} with what printf %s \"$KEY\" | sha256sum prints";
const TIME_HELP: &str = "write an instant of RFC 3339, such as 2027-01-31T00:00:00Z";
const MODEL_HELP: &str = "write names of models; a * may stand at the beginning or the end";

fn hash(json: &Map<String, Value>, hashed: bool) -> Result<Digest, Wrong> {
    match (json.get("key"), json.get("keyHash")) {
        (Some(_), _) if hashed => Err(("holds a key, and is no Secret".into(), HASH_HELP)),
        (Some(Value::String(key)), None) => Ok(digest(visible(key.trim().as_bytes())?)),
        (None, Some(Value::String(hash))) => {
            let found = hash.strip_prefix(SHA256).and_then(sha256);
            found.ok_or_else(|| ("has a keyHash that is no SHA-256".to_owned(), HASH_HELP))
        }
        _ => Err(("must have either key or keyHash, a text".into(), KEY_HELP)),
    }
}

fn visible(key: &[u8]) -> Result<&[u8], Wrong> {
    match key {
        [] => Err(("is an empty key".into(), "check the Secret, or the variable that it names")),
        key if key.iter().all(u8::is_ascii_graphic) => Ok(key),
        _ => Err(("has characters other than visible ASCII".into(), KEY_HELP)),
    }
}

fn models(list: &Value) -> Result<AllowedModels, Wrong> {
    let wrong = || ("has allowedModels that are no names of models".to_owned(), MODEL_HELP);
    let is_pattern = |text: &str| {
        let inner = text.strip_suffix('*').or_else(|| text.strip_prefix('*')).unwrap_or(text);
        !text.is_empty() && !inner.contains('*')
    };
    let name = |value: &Value| value.as_str().filter(|text| is_pattern(text)).map(str::to_owned);
    let names = list.as_array().ok_or_else(wrong)?.iter().map(name);
    Ok(AllowedModels::only(names.collect::<Option<Vec<String>>>().ok_or_else(wrong)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_entry_is_read() {
        // FIPS 180-2 appendix B.1: the SHA-256 of "abc".
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let of_abc = digest(b"abc");
        let hashed = format!("{{\"keyHash\": \"sha256:{hash}\"}}");
        for text in [
            "abc",
            " abc\n",
            "{\"key\": \"abc\"}",
            &hashed,
            &hashed.to_uppercase().replace("KEYHASH", "keyHash").replace("SHA", "sha"),
        ] {
            let key = read("one", text.as_bytes(), false).unwrap_or_else(|wrong| panic!("{text}: {wrong:?}"));
            assert_eq!((key.digest(), key.name()), (&of_abc, "one"), "{text}");
        }
        assert!(read("one", hashed.as_bytes(), true).is_ok());
        let all = r#"{"key":"abc","metadata":{"team":"red"},"allowedModels":["gpt-4o","gpt-5*","*-mini","*"],"expires":"2027-01-31T00:00:00+02:00"}"#;
        let key = read("one", all.as_bytes(), false).expect("it is whole");
        assert_eq!(key.metadata().get("team"), Some(&Value::from("red")));
    }

    #[test]
    fn what_is_wrong_is_said_without_the_key() {
        for (text, hashed, expected) in [
            ("", false, "is an empty key"),
            ("s3 cret", false, "has characters other than visible ASCII"),
            ("s3cret", true, "must hold the hash of its key"),
            ("{\"key\": \"s3cret\"}", true, "holds a key, and is no Secret"),
            ("{\"key\": \"s3cret\"", false, "is no JSON object: line 1, column 16"),
            ("{\"key\": \"s3cret\", \"models\": []}", false, "has another member than key, keyHash"),
            (
                "{\"key\": \"s3cret\", \"keyHash\": \"sha256:\"}",
                false,
                "must have either key or keyHash, a text",
            ),
            ("{\"key\": 7}", false, "must have either key or keyHash, a text"),
            ("{}", false, "must have either key or keyHash, a text"),
            ("{\"key\": \"\"}", false, "is an empty key"),
            ("{\"keyHash\": \"sha256:00\"}", false, "has a keyHash that is no SHA-256"),
            ("{\"keyHash\": \"s3cret\"}", false, "has a keyHash that is no SHA-256"),
            ("{\"key\": \"s3cret\", \"metadata\": []}", false, "has metadata that is no object"),
            (
                "{\"key\": \"s3cret\", \"allowedModels\": \"gpt\"}",
                false,
                "has allowedModels that are no names",
            ),
            (
                "{\"key\": \"s3cret\", \"allowedModels\": [\"a*b\"]}",
                false,
                "has allowedModels that are no names",
            ),
            (
                "{\"key\": \"s3cret\", \"allowedModels\": [\"*a*\"]}",
                false,
                "has allowedModels that are no names",
            ),
            (
                "{\"key\": \"s3cret\", \"allowedModels\": [\"\"]}",
                false,
                "has allowedModels that are no names",
            ),
            ("{\"key\": \"s3cret\", \"expires\": \"tomorrow\"}", false, "has an expires that is no instant"),
            ("{\"key\": \"s3cret\", \"expires\": 7}", false, "has an expires that is no instant"),
        ] {
            let (what, help) = read("one", text.as_bytes(), hashed).expect_err(text);
            assert!(what.starts_with(expected), "{text}: {what}");
            assert!(!what.contains("s3cret") && !help.contains("s3cret"), "{what}");
        }
    }
}
