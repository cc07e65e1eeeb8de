//! What operators say of one account while the program runs, in the notation of `overrides`.

use super::{key, measure};
use crate::config::diagnostic::Faults;
use crate::config::reader::Cursor;
use crate::config::yaml;
use crate::limit::{KeyPart, KeyText, Measure, Rule};

/// What `text` allows one key in place of `rule`: a map of `rate`, `burst`, `budget`, `max`, as an override of a
/// LimitPolicy has them, in JSON or YAML.
///
/// # Errors
/// What is wrong with it, in sentences.
pub fn other_measure(rule: &Rule, text: &str) -> Result<Measure, String> {
    read(text, "override", |field| field.fields(|fields| measure::replaced(fields, rule.unit, &rule.measure)))
}

/// The digest of the key that `text` names as an override of a LimitPolicy does, in JSON or YAML, and what it is
/// called in lists of accounts. No variables are filled in.
///
/// # Errors
/// What is wrong with it, in sentences. They do not repeat values.
pub fn key_of(rule: &Rule, text: &str) -> Result<(u128, String), String> {
    if rule.key.is_empty() {
        return Err(format!("the limit {} has no key: it has one account", rule.name));
    }
    let values = match read(text, "key", |field| key::value(field, &rule.key))? {
        key::KeyValue::Sha256(half) => return Ok((half, KeyText::name_of(half))),
        key::KeyValue::Values(values) => values,
    };
    // Requests are digested in the order of the rule's parts.
    let place = |part: &KeyPart| rule.key.iter().position(|other| other == part);
    let mut pairs: Vec<_> = values.iter().map(|(part, text)| (part, text.value.as_bytes())).collect();
    pairs.sort_by_key(|(part, _)| place(part));
    Ok((KeyText::digest(pairs.iter().copied()), KeyText::label(pairs)))
}

fn read<T>(text: &str, name: &str, read: impl FnOnce(&Cursor<'_>) -> Option<T>) -> Result<T, String> {
    let faults = Faults::new([name].into_iter());
    let documents = yaml::parse(text, 0, &faults);
    let value = match documents.roots.as_slice() {
        [root] => read(&Cursor::new(root, name, &faults)),
        _ => None,
    };
    let sentence = |fault: &crate::config::Diagnostic| match &fault.hint {
        Some(hint) => format!("{}; {hint}", fault.message),
        None => fault.message.clone(),
    };
    match faults.finish() {
        Err(faults) => Err(faults.iter().map(sentence).collect::<Vec<_>>().join(". ")),
        Ok(_) => value.ok_or_else(|| format!("{name:?} must not be empty")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::{Rate, Unit};
    use std::time::Duration;

    fn rule(unit: Unit, measure: Measure, key: &[KeyPart]) -> Rule {
        Rule { key: key.to_vec(), ..Rule::new("ns/p/l", unit, measure) }
    }

    #[test]
    fn measures_are_those_of_an_override() {
        let bucket = |capacity, per_fill, seconds| Measure::Bucket {
            capacity,
            rate: Rate { per_fill, fill: Duration::from_secs(seconds) },
        };
        let sliding = |budget| Measure::Sliding { budget, length: Duration::from_secs(90) };
        let (requests, tokens, cost) = (Unit::Requests, Unit::Tokens, Unit::Cost);
        for (unit, base, text, expected) in [
            (requests, bucket(5, 5, 100), r#"{"rate":"60/minute"}"#, Ok(bucket(60, 60, 60))),
            (requests, bucket(5, 5, 100), r#"{"burst":9}"#, Ok(bucket(9, 5, 100))),
            (tokens, bucket(5, 5, 1), r#"{"rate":"7/hour","burst":"9"}"#, Ok(bucket(9, 7, 3600))),
            (cost, sliding(5), r#"{"budget":"2 USD"}"#, Ok(sliding(2_000_000_000))),
            (cost, sliding(5), r#"{"budget":2}"#, Err("\"budget\" lacks the currency; write 2 USD")),
            (tokens, sliding(5), r#"{"max":2}"#, Err("\"max\" is not what the limit has; write budget")),
            (tokens, sliding(5), "{}", Err("it allows no other amount than the limit; write budget")),
            (tokens, sliding(5), r#"{"budget":2,"reason":"x"}"#, Err("unknown field \"reason\"")),
            (tokens, sliding(5), r#"{"budget":0}"#, Err("\"budget\" must be above zero")),
            (tokens, sliding(5), r#""budget""#, Err("\"override\" must be a map, not a text")),
            (tokens, sliding(5), "null", Err("\"override\" must not be empty")),
            (tokens, sliding(5), "{", Err("")),
        ] {
            let found = other_measure(&rule(unit, base, &[]), text);
            match expected {
                Ok(measure) => assert_eq!(found.as_ref(), Ok(&measure), "{text}"),
                Err(says) => assert!(found.as_ref().is_err_and(|why| why.contains(says)), "{text} {found:?}"),
            }
        }
    }

    #[test]
    fn keys_are_those_of_requests_and_of_overrides() {
        let team = KeyPart::Header("x-team".into());
        let of = |parts: &[(&KeyPart, &str)]| {
            KeyText::digest(parts.iter().map(|(part, value)| (*part, value.as_bytes())))
        };
        const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let by_hash = format!(r#"{{"apiKeySha256":"{ABC}"}}"#);
        let abc = Ok((of(&[(&KeyPart::ApiKey, "abc")]), "sha256:ba7816bf"));
        for (parts, text, expected) in [
            (vec![KeyPart::ApiKey], r#""abc""#, abc),
            (vec![KeyPart::ApiKey], r#"["abc"]"#, abc),
            (vec![KeyPart::ApiKey], &*by_hash, abc),
            (vec![team.clone()], r#"{"header":"red"}"#, Ok((of(&[(&team, "red")]), "red"))),
            (
                vec![team.clone(), KeyPart::Model],
                r#"{"model":"m","header":"red"}"#,
                Ok((of(&[(&team, "red"), (&KeyPart::Model, "m")]), "red m")),
            ),
            (
                // The order of the rule counts, whatever it is.
                vec![KeyPart::Model, team.clone()],
                r#"["m","red"]"#,
                Ok((of(&[(&KeyPart::Model, "m"), (&team, "red")]), "m red")),
            ),
            (
                vec![KeyPart::Source],
                r#""::ffff:10.0.0.7""#,
                Ok((of(&[(&KeyPart::Source, "10.0.0.7")]), "10.0.0.7")),
            ),
            (vec![KeyPart::Source], r#""nowhere""#, Err("must be an IP address")),
            (vec![team.clone(), KeyPart::Model], r#"["red"]"#, Err("must have 2 values")),
            (vec![team.clone()], r#""""#, Err("must not be empty")),
            (vec![], r#""abc""#, Err("has no key: it has one account")),
        ] {
            let rule = rule(Unit::Tokens, Measure::Concurrent { max: 1 }, &parts);
            let found = key_of(&rule, text);
            match expected {
                Ok((digest, label)) => assert_eq!(found, Ok((digest, label.to_owned())), "{text}"),
                Err(says) => assert!(found.as_ref().is_err_and(|why| why.contains(says)), "{text} {found:?}"),
            }
        }
    }

    #[test]
    fn a_credential_is_in_no_fault() {
        let rule = rule(Unit::Tokens, Measure::Concurrent { max: 1 }, &[KeyPart::ApiKey]);
        for text in [r#"["sk-1","sk-2"]"#, r#"{"apiKeySha256":"sk-1"}"#, r#"{"apiKey":["sk-1"]}"#] {
            let fault = key_of(&rule, text).expect_err("a fault");
            assert!(!fault.contains("sk-"), "{fault}");
        }
    }
}
