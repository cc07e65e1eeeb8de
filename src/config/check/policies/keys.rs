//! Keys of overrides: variables filled in, hashed, each once.

use crate::config::check::World;
use crate::config::check::credentials::visible;
use crate::config::check::environment::substitute;
use crate::config::diagnostic::{Located, Place};
use crate::config::resources::limitpolicy::Exception;
use crate::config::resources::limitpolicy::key::KeyValue;
use crate::limit::{KeyPart, KeyText, Override};
use std::collections::HashMap;
use std::sync::Arc;

/// The overrides of a limit. A key that stands there twice is a fault.
pub(super) fn compile(world: &World<'_>, exceptions: &[Exception]) -> Vec<Override> {
    let mut known: HashMap<u128, Place> = HashMap::new();
    let mut overrides = Vec::new();
    for exception in exceptions {
        let Some((key, label)) = digest(world, exception) else { continue };
        if let Some(twin) = known.insert(key, exception.at) {
            let help = format!("it stands at {} already; keep one", world.faults.name(twin));
            world.faults.fault_with_help(exception.at, "this key has two overrides", help);
        }
        let label: Arc<str> = exception.tier.clone().unwrap_or(label).into();
        overrides.push(Override { key, label, measure: exception.measure.clone() });
    }
    overrides
}

/// The digest of a key, and what it may be called: API keys are never shown.
fn digest(world: &World<'_>, exception: &Exception) -> Option<(u128, String)> {
    let values = match &exception.key {
        KeyValue::Sha256(half) => return Some((*half, key_id(*half))),
        KeyValue::Values(values) => values,
    };
    let (mut texts, mut labels) = (Vec::new(), Vec::new());
    for (part, text) in values {
        let value = value(world, part, text)?;
        labels.push(match part {
            KeyPart::ApiKey => key_id(KeyText::of_api_key(value.as_bytes())),
            _ => value.clone(),
        });
        texts.push((part, value));
    }
    let digest = KeyText::digest(texts.iter().map(|(part, value)| (*part, value.as_bytes())));
    Some((digest, labels.join(",")))
}

/// A value as requests have it.
fn value(world: &World<'_>, part: &KeyPart, text: &Located<String>) -> Option<String> {
    match part {
        KeyPart::ApiKey => {
            let filled = substitute(world, Located { value: text.value.as_str(), at: text.at })?;
            visible(world, filled.as_bytes(), text.at).map(str::to_owned)
        }
        KeyPart::Route => {
            let wanted = text.value.split_once('/').unwrap_or(("", &text.value));
            world.find(&world.all.routes, "HTTPRoute", wanted, text.at)?;
            Some(text.value.clone())
        }
        _ => Some(text.value.clone()),
    }
}

/// The name that access records give to an API key: the first 8 hexadecimal digits of its SHA-256.
fn key_id(digest: u128) -> String {
    format!("{:08x}", digest >> 96)
}
