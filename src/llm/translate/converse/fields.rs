use super::family::Family;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::Request;
use crate::llm::translate::read::Value;
use crate::llm::translate::{Guardrail, Lost};
use std::collections::HashSet;

/// Members of Converse's own that a client of another format may give by their names.
const OWN: &[&str] = &[
    GUARDRAIL,
    "performanceConfig",
    "promptVariables",
    "requestMetadata",
    "serviceTier",
    "additionalModelResponseFieldPaths",
];

/// What Converse has no member for and the model itself may know: `additionalModelRequestFields`.
const ADDITIONAL: &str = "additionalModelRequestFields";

const GUARDRAIL: &str = "guardrailConfig";

/// What formats and models call the most tokens of output. A client's own is `maxTokens` of `inferenceConfig`; beside it a
/// model would hear of two, and of more than what was reserved.
const MAXIMA: &[&str] = &[
    "max_completion_tokens",
    "max_tokens",
    "max_output_tokens",
    "maxTokens",
    "max_new_tokens",
    "max_gen_len",
    "maxTokenCount",
];

/// The most tokens of output that the client named in a word of another format than its own.
pub(super) fn maximum(request: &Request<'_, '_>) -> Option<u64> {
    let named = MAXIMA.iter().find_map(|name| request.extra(name)?.u64());
    named.filter(|tokens| *tokens >= 1)
}

/// Writes the members that the client gave by Converse's own names, and the operator's guardrail in the place of its own.
pub(super) fn write_own(request: &Request<'_, '_>, guardrail: Option<&Guardrail>, e: &mut Emit<'_>) {
    for name in OWN {
        match (request.extra(name), guardrail) {
            (_, Some(guardrail)) if *name == GUARDRAIL => e.key(name).object(|e| {
                e.key("guardrailIdentifier").str(&guardrail.identifier);
                e.key("guardrailVersion").str(&guardrail.version);
            }),
            (Some(value), _) => e.key(name).value(value),
            _ => {}
        }
    }
}

/// The additional fields, as they come together; each name once.
pub(super) struct Fields<'b> {
    names: HashSet<&'b str>,
    /// The members of the object, without its braces.
    json: Vec<u8>,
}

impl<'b> Fields<'b> {
    /// None yet.
    pub(super) fn none() -> Fields<'b> {
        Fields { names: HashSet::new(), json: Vec::new() }
    }

    /// What the client gave: fields by their very place, and members that its own format does not know and the model's
    /// family does. Models refuse all others.
    pub(super) fn given(request: &Request<'_, 'b>, family: Family, lost: &mut Lost) -> Fields<'b> {
        let mut fields = Fields::none();
        let is_taken = request.max_output.is_none() && maximum(request).is_some();
        // Of members that are given twice the last one counts, so they are read from the end.
        for (name, value) in request.rest.iter().rev() {
            match *name {
                ADDITIONAL => value.members().for_each(|(name, value)| fields.put_given(name, value, lost)),
                name if OWN.contains(&name) => {}
                name if MAXIMA.contains(&name) && is_taken => {} // `maxTokens` says it
                name if family.knows(name) => fields.put_given(name, *value, lost),
                _ => lost.add("unknown"),
            }
        }
        fields
    }

    fn put_given(&mut self, name: &'b str, value: Value<'_, '_>, lost: &mut Lost) {
        let is_maximum = |(name, _): &(&str, Value<'_, '_>)| MAXIMA.contains(name);
        match name {
            _ if is_maximum(&(name, value)) => lost.add("unknown"),
            // Nova's own place of the same.
            "inferenceConfig" if value.members().any(|member| is_maximum(&member)) => {
                lost.add("unknown");
                self.put(name, |e| {
                    e.object(|e| {
                        let rest = value.members().filter(|member| !is_maximum(member));
                        rest.for_each(|(name, value)| e.key(name).value(value));
                    });
                });
            }
            _ => self.put(name, |e| e.value(value)),
        }
    }

    /// Adds a field, unless the name is taken: what the client gave by the model's own name wins over what its own
    /// format says.
    pub(super) fn put(&mut self, name: &'b str, value: impl FnOnce(&mut Emit<'_>)) {
        let comma = !self.names.is_empty();
        if self.names.insert(name) {
            value(Emit::inside(&mut self.json, comma).key(name));
        }
    }

    /// Writes the member with all fields, if there are any.
    pub(super) fn write(&self, e: &mut Emit<'_>) {
        if !self.names.is_empty() {
            e.key(ADDITIONAL).raw(&["{", &String::from_utf8_lossy(&self.json), "}"].concat());
        }
    }
}
