//! What policies say of requests to models and of their answers: `ai` of TrafficPolicy, `backend.ai` of AgentgatewayPolicy.

mod guard;
mod json;
mod service;

pub(crate) use guard::PromptGuard;
pub(crate) use service::{Addressee, Service};

use crate::config::diagnostic::{Located, Place};
use crate::config::reader::{Cursor, Fields};
use crate::llm::Format;
use crate::llm::policy::{Aliases, Field, Prompt, Role, Routes, Turn};
use crate::wire::json::KEY_BYTES_MAX;

/// What one policy says; each part takes the place of the same part of a more general policy.
pub(crate) struct Ai {
    pub(crate) overrides: Option<Located<Vec<Field>>>,
    pub(crate) defaults: Option<Located<Vec<Field>>>,
    pub(crate) aliases: Option<Located<Aliases>>,
    pub(crate) prompt: Option<Located<Prompt>>,
    pub(crate) guards: Option<Located<PromptGuard>>,
    pub(crate) routes: Option<Located<Routes>>,
}

// Bounds of ours; the resources have none but the size of an object in a cluster.
const FIELDS_MAX: usize = 64;
const ALIASES_MAX: usize = 256;
const TURNS_MAX: usize = 32;
const ROUTES_MAX: usize = 64;

const NOT_YET: &str = "remove it";

/// kgateway's.
pub(crate) fn kgateway(field: &Cursor<'_>) -> Option<Ai> {
    field.fields(|fields| {
        let listed =
            fields.get("defaults").map(|list| Located { value: kgateway_fields(&list), at: list.at() });
        let (overrides, defaults) = match listed {
            Some(Located { value: (overrides, defaults), at }) => {
                (Some(Located { value: overrides, at }), Some(Located { value: defaults, at }))
            }
            None => (None, None),
        };
        let aliases = fields.get("modelAliases").map(|field| aliases(&field));
        let prompt = fields.get("promptEnrichment").and_then(|field| prompt(&field));
        let guards = fields.get("promptGuard").and_then(|field| guard::read(&field));
        // For Envoy alone; here, as in agentgateway, each request says whether it wants a stream.
        fields.get("routeType").and_then(|field| field.one_of(&[("CHAT", ()), ("CHAT_STREAMING", ())]));
        fields.unsupported(&["promptCaching", "transformations"], NOT_YET);
        something(fields, Ai { overrides, defaults, aliases, prompt, guards, routes: None })
    })
}

/// agentgateway's.
pub(crate) fn agentgateway(field: &Cursor<'_>) -> Option<Ai> {
    field.fields(|fields| {
        let overrides = fields.get("overrides").map(|field| map_of_fields(&field));
        let defaults = fields.get("defaults").map(|field| map_of_fields(&field));
        let aliases = fields.get("modelAliases").map(|field| aliases(&field));
        let prompt = fields.get("prompt").and_then(|field| prompt(&field));
        let guards = fields.get("promptGuard").and_then(|field| guard::read(&field));
        let routes = fields.get("routes").map(|field| routes(&field));
        let others = ["promptCaching", "transformations", "finalTransformations"];
        fields.unsupported(&others, NOT_YET);
        something(fields, Ai { overrides, defaults, aliases, prompt, guards, routes })
    })
}

fn something(fields: &mut Fields<'_>, ai: Ai) -> Option<Ai> {
    if fields.is_empty() {
        let help = "write defaults, modelAliases or another of its fields, or remove it";
        fields.faults().fault_with_help(fields.at(), "ai says nothing", help);
    }
    Some(ai)
}

/// `[{field, value, override}]`: what is to be set always, and what is where the client has nothing.
fn kgateway_fields(list: &Cursor<'_>) -> (Vec<Field>, Vec<Field>) {
    let mut seen: Vec<String> = Vec::new();
    let read = list.list(FIELDS_MAX, |item| {
        item.fields(|fields| {
            let name = fields.need("field").and_then(|field| member_name(&field, &mut seen));
            let json =
                fields.need("value").and_then(|field| json::any_or_text(&field).map(|json| (json, field)));
            let overrides = match fields.get("override") {
                Some(field) => field.boolean()?,
                None => false,
            };
            let (name, (json, field)) = (name?, json?);
            Some((overrides, checked(&field, name, json)?))
        })
    });
    let (overrides, defaults): (Vec<_>, Vec<_>) = read.into_iter().partition(|(overrides, _)| *overrides);
    let fields = |list: Vec<(bool, Field)>| list.into_iter().map(|(_, field)| field).collect();
    (fields(overrides), fields(defaults))
}

/// `{field: value}`.
fn map_of_fields(map: &Cursor<'_>) -> Located<Vec<Field>> {
    let entries = map.entries();
    refuse_more_than(map, entries.len(), FIELDS_MAX);
    let read = |(name, value): (Located<String>, Cursor<'_>)| {
        let name = short_enough(&value, name.value)?;
        let json = json::any(&value)?;
        checked(&value, name, json)
    };
    Located { value: entries.into_iter().filter_map(read).collect(), at: map.at() }
}

fn refuse_more_than(field: &Cursor<'_>, count: usize, most: usize) {
    if count > most {
        field.fault(format!("has {count} entries; at most {most} are allowed"));
    }
}

fn member_name(field: &Cursor<'_>, seen: &mut Vec<String>) -> Option<String> {
    let name = short_enough(field, field.word()?.value)?;
    if seen.contains(&name) {
        field.fault_with_help("is named twice", "keep one of the two");
        return None;
    }
    seen.push(name.clone());
    Some(name)
}

fn short_enough(field: &Cursor<'_>, name: String) -> Option<String> {
    if name.is_empty() || name.len() >= KEY_BYTES_MAX {
        field.fault(format!("must name a member with 1 to {} bytes", KEY_BYTES_MAX - 1));
        return None;
    }
    Some(name)
}

/// A model is a text, as requests have it.
fn checked(field: &Cursor<'_>, name: String, json: String) -> Option<Field> {
    if name == "model" && !(json.starts_with('"') && json.len() > 2) {
        field.fault_with_help("must be the name of a model", "write a text, such as gpt-4o-mini");
        return None;
    }
    Some(Field { name, json })
}

/// `{alias: model}`.
fn aliases(map: &Cursor<'_>) -> Located<Aliases> {
    let entries = map.entries();
    refuse_more_than(map, entries.len(), ALIASES_MAX);
    let read = |(alias, model): (Located<String>, Cursor<'_>)| {
        if alias.value.is_empty() {
            model.fault_with_help("has no alias before it", "write a name, or * for every model");
            return None;
        }
        Some((alias.value, model.word()?.value))
    };
    Located { value: Aliases::new(entries.into_iter().filter_map(read)), at: map.at() }
}

/// Route types that exist elsewhere and are not served here.
const FOREIGN_TYPES: [&str; 4] = ["Passthrough", "Detect", "Realtime", "Rerank"];

/// `{ending: type}`.
fn routes(map: &Cursor<'_>) -> Located<Routes> {
    const TYPES: [(&str, Format); 8] = [
        ("Completions", Format::OpenAiChat),
        ("Messages", Format::AnthropicMessages),
        ("Responses", Format::OpenAiResponses),
        ("Embeddings", Format::OpenAiEmbeddings),
        ("AnthropicTokenCount", Format::AnthropicCountTokens),
        ("GenerateContent", Format::GeminiGenerate),
        ("GeminiCountTokens", Format::GeminiCountTokens),
        ("Models", Format::OpenAiModels),
    ];
    let entries = map.entries();
    refuse_more_than(map, entries.len(), ROUTES_MAX);
    let read = |(ending, route): (Located<String>, Cursor<'_>)| {
        if ending.value.is_empty() || ending.value.contains('?') {
            let help = "write how a path ends, such as /v1/chat/completions, or * for every other path";
            route.fault_with_help("has no path before it", help);
            return None;
        }
        if let Some(foreign) = route.node_text().filter(|text| FOREIGN_TYPES.contains(text)) {
            let help = match foreign {
                "Passthrough" => "use a Backend of type Static for what is to pass as it is",
                "Detect" => "leave the ending out: then the path itself says the format",
                _ => "remove it",
            };
            route.fault_with_help(format!("is {foreign}, which is not supported yet"), help);
            return None;
        }
        Some((ending.value, route.one_of(&TYPES)?.value))
    };
    Located { value: Routes::new(entries.into_iter().filter_map(read)), at: map.at() }
}

/// `{prepend, append}`.
fn prompt(field: &Cursor<'_>) -> Option<Located<Prompt>> {
    let at: Place = field.at();
    field.fields(|fields| {
        let prepend = fields.list("prepend", TURNS_MAX, |item| item.fields(turn));
        let append = fields.list("append", TURNS_MAX, |item| item.fields(turn));
        if !fields.has("prepend") && !fields.has("append") {
            fields.faults().fault(at, "the prompt says nothing: write prepend or append");
        }
        Some(Located { value: Prompt { prepend, append }, at })
    })
}

fn turn(fields: &mut Fields<'_>) -> Option<Turn> {
    const ROLES: [(&str, Role); 8] = [
        ("system", Role::System),
        ("developer", Role::Developer),
        ("user", Role::User),
        ("assistant", Role::Assistant),
        ("SYSTEM", Role::System),
        ("DEVELOPER", Role::Developer),
        ("USER", Role::User),
        ("ASSISTANT", Role::Assistant),
    ];
    let role = fields.need("role").and_then(|field| field.one_of(&ROLES));
    let content = fields.need("content").and_then(|field| field.word());
    Some(Turn { role: role?.value, content: content?.value })
}
