use super::World;
use crate::config::diagnostic::Located;
use crate::config::resources::secret::SecretText;
use std::collections::HashMap;
use zeroize::Zeroizing;

/// The values of all Secrets: `(namespace, name)` to keys to bytes, `None` for a value that had a fault.
pub(super) struct Secrets {
    values: HashMap<(String, String), Keys>,
}

type Keys = HashMap<String, Option<Zeroizing<Vec<u8>>>>;

impl Secrets {
    /// The value of `key`; `Some(None)` when it had a fault that was reported.
    pub(super) fn value(&self, namespace: &str, name: &str, key: &str) -> Option<Option<&[u8]>> {
        let keys = self.values.get(&(namespace.to_owned(), name.to_owned()))?;
        keys.get(key).map(|value| value.as_ref().map(|bytes| bytes.as_slice()))
    }
}

/// Substitutes the environment in every Secret, so that a missing variable is known at the start and not
/// when the Secret is first needed.
pub(super) fn secrets(world: &World<'_>) -> Secrets {
    let mut values = HashMap::new();
    for secret in &world.all.secrets {
        let mut keys = Keys::new();
        for entry in secret.spec.iter().flat_map(|spec| &spec.entries) {
            let bytes = match &entry.value.value {
                SecretText::Refused => None,
                SecretText::Bytes(bytes) => Some(bytes.clone()),
                SecretText::Template(text) => {
                    let template = Located { value: text.as_str(), at: entry.value.at };
                    substitute(world, template).map(bytes_of)
                }
            };
            keys.insert(entry.key.clone(), bytes);
        }
        values.insert((secret.meta.namespace.clone(), secret.meta.name.value.clone()), keys);
    }
    Secrets { values }
}

/// `text` with every `$NAME` and `${NAME}` replaced by the variable's value and every `$$` by `$`; `None`
/// after a fault. The text itself is never repeated in a fault: it may hold a credential.
pub(super) fn substitute(world: &World<'_>, text: Located<&str>) -> Option<Zeroizing<String>> {
    let room = Zeroizing::new(String::with_capacity(text.value.len()));
    let (mut rest, mut filled, mut is_complete) = (text.value, room, true);
    while let Some(dollar) = rest.find('$') {
        push(&mut filled, &rest[..dollar]);
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            push(&mut filled, "$");
            rest = after;
            continue;
        }
        let Some((name, after)) = variable(rest) else {
            let help = "write $NAME or ${NAME} for a variable, $$ for a dollar sign";
            world.faults.fault_with_help(text.at, "a \"$\" here names no variable", help);
            return None;
        };
        match (world.env)(name) {
            Some(value) => push(&mut filled, &Zeroizing::new(value)),
            None => {
                let message = format!("the environment variable {name} is not set");
                let help = format!("set it, for example: export {name}=...; for a dollar sign write $$");
                world.faults.fault_with_help(text.at, message, help);
                is_complete = false;
            }
        }
        rest = after;
    }
    push(&mut filled, rest);
    is_complete.then_some(filled)
}

/// Puts `text` to the end. Where it has no room, what was there moves, and is overwritten where it was.
fn push(filled: &mut Zeroizing<String>, text: &str) {
    if filled.capacity() - filled.len() < text.len() {
        let mut larger = Zeroizing::new(String::with_capacity(2 * (filled.len() + text.len())));
        larger.push_str(filled);
        *filled = larger;
    }
    filled.push_str(text);
}

/// The same text as bytes, where it lies.
pub(super) fn bytes_of(mut text: Zeroizing<String>) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(std::mem::take(&mut *text).into_bytes())
}

/// The name after a `$` and what follows it.
fn variable(rest: &str) -> Option<(&str, &str)> {
    let is_inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let (name, after) = match rest.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => rest.split_at(rest.find(|c| !is_inner(c)).unwrap_or(rest.len())),
    };
    let is_name =
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(is_inner);
    is_name.then_some((name, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::{Faults, Place};

    #[test]
    fn variables_are_replaced_and_missing_ones_named() {
        let env = |name: &str| match name {
            "KEY" => Some("k1".to_owned()),
            "A_1" => Some("$KEY".to_owned()),
            _ => None,
        };
        for (text, filled, fault) in [
            ("plain", Some("plain"), ""),
            ("$KEY", Some("k1"), ""),
            ("${KEY}", Some("k1"), ""),
            ("Bearer ${KEY}x$KEY", Some("Bearer k1xk1"), ""),
            ("$A_1", Some("$KEY"), ""),
            ("a$$KEY", Some("a$KEY"), ""),
            ("$$$$", Some("$$"), ""),
            ("", Some(""), ""),
            ("$NONE", None, "the environment variable NONE is not set"),
            ("${NONE}$KEY", None, "the environment variable NONE is not set"),
            ("$", None, "a \"$\" here names no variable"),
            ("${KEY", None, "a \"$\" here names no variable"),
            ("$1", None, "a \"$\" here names no variable"),
            ("${}", None, "a \"$\" here names no variable"),
            ("é$", None, "a \"$\" here names no variable"),
        ] {
            let (all, faults) = (Default::default(), Faults::new(["x"].into_iter()));
            let world = World { all: &all, faults: &faults, env: &env };
            let found =
                substitute(&world, Located { value: text, at: Place { file: 0, line: 1, column: 1 } });
            assert_eq!(found.as_ref().map(|found| found.as_str()), filled, "{text}");
            let shown = faults.finish().map_or_else(|faults| faults.to_string(), |_| String::new());
            assert!(shown.contains(fault) && shown.is_empty() == fault.is_empty(), "{text}: {shown}");
        }
    }
}
