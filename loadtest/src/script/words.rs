//! The textual form of a script's settings.

use super::{Count, Framing, Reply, Script};
use crate::coding::Coding;
use std::str::FromStr;
use std::time::Duration;

/// Sets `name` of `script` to what `value` says.
pub(super) fn set(script: &mut Script, name: &str, value: &str) -> Result<(), String> {
    let value = value.trim();
    let outcome = match name {
        "input-tokens" => count(value).map(|v| script.input_tokens = v),
        "output-tokens" => number(value).map(|v| script.output_tokens = v),
        "cached-input-tokens" => number(value).map(|v| script.cached_input_tokens = v),
        "cache-write-tokens" => number(value).map(|v| script.cache_write_tokens = v),
        "reasoning-tokens" => number(value).map(|v| script.reasoning_tokens = v),
        "reply" => Ok(reply(value)).map(|v| script.reply = v),
        "chunks" => number(value).map(|v| script.chunks = v),
        "chunk-bytes" => number(value).map(|v| script.chunk_bytes = v),
        "tool-call" => optional(value, |v| Ok(v.to_string())).map(|v| script.tool_call = v),
        "thinking" => number(value).map(|v| script.thinking = v),
        "latency" => parse_duration(value).map(|v| script.latency = v),
        "chunk-gap" => parse_duration(value).map(|v| script.chunk_gap = v),
        "framing" => framing(value).map(|v| script.framing = v),
        "coding" => codings(value).map(|v| script.coding = v),
        "fault" => value.parse().map(|v| script.fault = v),
        "fault-every" => number(value).map(|v| script.fault_every = v),
        "fault-times" => number(value).map(|v| script.fault_times = v),
        "retry-after" => optional(value, number).map(|v| script.retry_after = v),
        "idle-timeout" => optional(value, parse_duration).map(|v| script.idle_timeout = v),
        "expected-key" => optional(value, |v| Ok(v.to_string())).map(|v| script.expected_key = v),
        "strict" => number(value).map(|v| script.strict = v),
        "body-limit" => number(value).map(|v| script.body_limit = v),
        "record" => number(value).map(|v| script.record = v),
        "journal" => number(value).map(|v| script.journal = v),
        "tag" => number(value).map(|v| script.tag = v),
        _ => Err("no setting has this name".to_string()),
    };
    outcome.map_err(|why| format!("{name}: {why}"))
}

/// A duration written as a whole number with `us`, `ms` or `s`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let value: u64 = number(digits)?;
    match text.get(digits.len()..).unwrap_or_default() {
        "us" => Ok(Duration::from_micros(value)),
        "ms" => Ok(Duration::from_millis(value)),
        "s" if value <= 1_000_000 => Ok(Duration::from_secs(value)),
        _ => Err(format!("{text:?} is not a duration such as 150us, 20ms or 1s")),
    }
}

/// What is before the first colon, and what is after it.
pub(super) fn split_word(text: &str) -> (&str, &str) {
    text.split_once(':').unwrap_or((text, ""))
}

fn number<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text:?} does not fit here"))
}

fn count(text: &str) -> Result<Count, String> {
    if text == "body" { Ok(Count::FromBody) } else { number(text).map(Count::Fixed) }
}

fn reply(text: &str) -> Reply {
    if text.is_empty() { Reply::Derived } else { Reply::Text(text.to_string()) }
}

fn optional<T>(text: &str, read: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text.is_empty() || text == "none" { Ok(None) } else { read(text).map(Some) }
}

fn framing(text: &str) -> Result<Framing, String> {
    match text {
        "auto" => Ok(Framing::Auto),
        "length" => Ok(Framing::ContentLength),
        "chunked" => Ok(Framing::Chunked),
        "close" => Ok(Framing::CloseDelimited),
        _ => Err(format!("{text:?} is none of auto, length, chunked, close")),
    }
}

fn codings(text: &str) -> Result<Vec<Coding>, String> {
    let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
    let coding = |word: &str| Coding::ALL.into_iter().find(|coding| coding.word() == word);
    let all = Coding::ALL.map(Coding::word).join(", ");
    let codings: Result<Vec<Coding>, String> =
        words.map(|word| coding(word).ok_or_else(|| format!("{word:?} is none of {all}"))).collect();
    match codings {
        Ok(codings) if !codings.is_empty() && !cfg!(feature = "codings") => {
            Err("this build has no encoders: it lacks the feature `codings`".to_string())
        }
        codings => codings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Fault;

    #[test]
    fn settings_by_name() {
        let mut script = Script::default();
        for (name, value) in [
            ("input-tokens", "120"),
            ("output-tokens", "30"),
            ("reply", "hello"),
            ("chunk-gap", "150us"),
            ("latency", "2s"),
            ("framing", "close"),
            ("fault", "status:429"),
            ("idle-timeout", "20ms"),
            ("retry-after", "none"),
            ("tool-call", "get_weather"),
            ("record", "false"),
            ("journal", "true"),
            ("tag", "77"),
        ] {
            assert_eq!(script.set(name, value), Ok(()), "{name}");
        }
        let expected = Script {
            input_tokens: Count::Fixed(120),
            output_tokens: 30,
            reply: Reply::Text("hello".into()),
            chunk_gap: Duration::from_micros(150),
            latency: Duration::from_secs(2),
            framing: Framing::CloseDelimited,
            fault: Fault::Status(429),
            idle_timeout: Some(Duration::from_millis(20)),
            retry_after: None,
            tool_call: Some("get_weather".into()),
            record: false,
            journal: true,
            tag: 77,
            ..Script::default()
        };
        assert_eq!(script, expected);
    }

    #[test]
    fn codings_are_a_list_in_order() {
        let mut script = Script::default();
        let set = script.set("coding", "bare-deflate, br");
        let has_encoders = cfg!(feature = "codings");
        assert_eq!(set.is_ok(), has_encoders, "{set:?}");
        let expected = if has_encoders { vec![Coding::BareDeflate, Coding::Brotli] } else { Vec::new() };
        assert_eq!(script.coding, expected);
        assert_eq!(script.set("coding", ""), Ok(()));
        assert_eq!(script.coding, []);
        assert!(script.set("coding", "gzip, lzma").unwrap_err().contains("\"lzma\" is none of gzip"));
    }

    #[test]
    fn a_wrong_value_changes_nothing_and_is_named() {
        let mut script = Script::default();
        for (name, value) in [
            ("latency", "20"),
            ("latency", "ms"),
            ("chunks", "-1"),
            ("framing", "tcp"),
            ("fault", "explode"),
            ("colour", "red"),
        ] {
            let why = script.set(name, value).unwrap_err();
            assert!(why.starts_with(name), "{why}");
        }
        assert_eq!(script, Script::default());
    }
}
