use crate::llm::translate::Guardrail;
use crate::llm::translate::emit::Emit;
use crate::llm::translate::hub::Request;
use crate::llm::translate::read::Value;
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
    /// What the client gave: fields by their very place, and members that its own format does not know.
    pub(super) fn given(request: &Request<'_, 'b>) -> Fields<'b> {
        let mut fields = Fields { names: HashSet::new(), json: Vec::new() };
        // Of members that are given twice the last one counts, so they are read from the end.
        for (name, value) in request.rest.iter().rev() {
            match *name {
                ADDITIONAL => value.members().for_each(|(name, value)| fields.put_value(name, value)),
                name if OWN.contains(&name) => {}
                name => fields.put_value(name, *value),
            }
        }
        fields
    }

    fn put_value(&mut self, name: &'b str, value: Value<'_, '_>) {
        self.put(name, |e| e.value(value));
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
