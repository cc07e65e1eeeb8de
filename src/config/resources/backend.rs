pub(crate) mod provider;

use crate::config::diagnostic::{Located, Place, quoted};
use crate::config::reader::{Cursor, Fields};
use crate::config::values;
use crate::llm::provider::{Dialect, Provider};
use crate::llm::translate::Guardrail;
use provider::Named;

/// A Backend of gateway.kgateway.dev.
pub(crate) enum Backend {
    /// Providers by priority: the first group is the first to be asked. One group of one provider under `llm`.
    Ai(Vec<Vec<Member>>),
    Static(Host),
}

/// One of the providers of a Backend.
pub(crate) struct Member {
    /// Of a provider that is one of several; those of a `multipool` have the number of their pool and their own in it.
    pub(crate) name: Option<String>,
    pub(crate) ai: Ai,
}

/// An LLM provider.
pub(crate) struct Ai {
    pub(crate) provider: Provider,
    /// What is particular to its host.
    pub(crate) dialect: Dialect,
    /// Overrules the model that the client names.
    pub(crate) model: Option<String>,
    pub(crate) token: Option<Token>,
    /// Of Bedrock alone, whose requests are signed where there is no token.
    pub(crate) aws: Option<Aws>,
    pub(crate) guardrail: Option<Guardrail>,
    /// In place of the provider's own host.
    pub(crate) host: Option<Host>,
    /// The provider's own host, where its fields name it and not the provider.
    pub(crate) own_host: Option<Host>,
    /// Whether it may want no credential, wherever it is.
    pub(crate) is_keyless: bool,
    /// In place of the provider's own path.
    pub(crate) path: Option<String>,
    pub(crate) header: Option<AuthHeader>,
    pub(crate) at: Place,
}

/// A host as typed, where `$NAME` stands for a variable of the environment, and a port.
pub(crate) struct Host {
    pub(crate) host: Located<String>,
    pub(crate) port: u16,
}

/// Where the credential comes from.
pub(crate) enum Token {
    /// The key `Authorization` of a Secret in the Backend's namespace.
    SecretRef(Located<String>),
    /// Written here; `$NAME` stands for a variable of the environment.
    Inline(Located<String>),
    /// The client's own `Authorization` header.
    Passthrough,
}

/// What AWS's signature is made with.
pub(crate) struct Aws {
    /// A Secret in the Backend's namespace that holds the keys; `None` is the environment.
    pub(crate) secret: Option<Located<String>>,
    pub(crate) region: String,
}

/// How the credential is sent, in place of the provider's own way.
pub(crate) struct AuthHeader {
    /// Lower case.
    pub(crate) name: Option<String>,
    pub(crate) prefix: Option<String>,
}

/// The most groups of providers, and the most providers of a group (kgateway, `AIPriorityGroups`).
const GROUPS_MAX: usize = 32;
const MEMBERS_MAX: usize = 32;
/// The most hosts of a Static backend that are read (one is supported).
const HOSTS_MAX: usize = 64;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<Backend> {
    const TYPES: [(&str, &str); 8] = [
        ("AI", "ai"),
        ("ai", "ai"),
        ("Static", "static"),
        ("static", "static"),
        ("AWS", "aws"),
        ("aws", "aws"),
        ("DynamicForwardProxy", "dynamicForwardProxy"),
        ("MCP", "mcp"),
    ];
    spec.fields(|fields| {
        let typed = fields.get("type").map(|field| (field.clone(), field.one_of(&TYPES)));
        let kind = match &typed {
            Some((_, kind)) => kind.as_ref().map(|kind| kind.value),
            None => ["ai", "static"].into_iter().find(|kind| fields.has(kind)),
        };
        let Some(kind) = kind.filter(|kind| matches!(*kind, "ai" | "static")) else {
            let at = typed.as_ref().map_or(fields.at(), |(field, _)| field.at());
            if typed.is_none_or(|(_, kind)| kind.is_some()) {
                let message = "this type of Backend is not supported yet";
                fields.faults().fault_with_help(at, message, "supported are AI and Static");
            }
            fields.give_up();
            return None;
        };
        let other = if kind == "ai" { "static" } else { "ai" };
        fields.unsupported(&["aws", "dynamicForwardProxy", "mcp"], "supported are ai and static");
        if let Some(field) = fields.get(other) {
            field.fault_with_help(format!("does not belong to a Backend of type {kind}"), "remove it");
        }
        let body = fields.need(if kind == "ai" { "ai" } else { "static" })?;
        match kind {
            "ai" => body.fields(ai).map(Backend::Ai),
            _ => body.fields(static_host).map(Backend::Static),
        }
    })
}

fn ai(fields: &mut Fields<'_>) -> Option<Vec<Vec<Member>>> {
    const FORMS: [&str; 3] = ["llm", "priorityGroups", "multipool"];
    let mut forms = FORMS.into_iter().filter(|form| fields.has(form));
    let (form, second) = (forms.next(), forms.next());
    if let Some(field) = second.and_then(|second| fields.get(second)) {
        field.fault_with_help("stands beside another", "write one of llm and priorityGroups");
    }
    let groups = match form {
        Some("priorityGroups") => {
            let priority =
                |(_, item): (usize, Cursor<'_>)| item.fields(|fields| group(fields, "providers", named_llm));
            numbered(fields, "priorityGroups", priority)
        }
        Some("multipool") => {
            let multipool = fields.get("multipool")?;
            multipool.fields(|fields| Some(numbered(fields, "priorities", pool)))?
        }
        _ => vec![vec![Member { name: None, ai: fields.need("llm")?.fields(llm)? }]],
    };
    refuse_twins(fields, &groups);
    Some(groups).filter(|groups| !groups.is_empty() && groups.iter().all(|group| !group.is_empty()))
}

/// The providers of a group, of which there must be one.
fn group(
    fields: &mut Fields<'_>,
    name: &'static str,
    mut member: impl FnMut(&mut Fields<'_>) -> Option<Member>,
) -> Option<Vec<Member>> {
    let list = fields.need(name)?;
    if list.is_empty_list() {
        list.fault_with_help("must not be empty", "write a provider into it, or remove the group");
    }
    Some(list.list(MEMBERS_MAX, |item| item.fields(&mut member)))
}

/// A list whose elements know their number.
fn numbered<'a, T>(
    fields: &mut Fields<'a>,
    name: &'static str,
    mut read: impl FnMut((usize, Cursor<'a>)) -> Option<T>,
) -> Vec<T> {
    let Some(list) = fields.need(name) else { return Vec::new() };
    if list.is_empty_list() {
        list.fault_with_help("must not be empty", "write a group of providers into it");
    }
    let mut number = 0;
    list.list(GROUPS_MAX, |item| {
        number += 1;
        read((number - 1, item))
    })
}

/// A provider of a priority group: its name beside what stands under `llm`.
fn named_llm(fields: &mut Fields<'_>) -> Option<Member> {
    let name = fields.need("name").and_then(|field| field.parsed(super::meta::name));
    let ai = llm(fields);
    Some(Member { name: Some(name?.value), ai: ai? })
}

/// A priority of the older form, whose providers have no names.
fn pool((priority, item): (usize, Cursor<'_>)) -> Option<Vec<Member>> {
    item.fields(|fields| {
        let mut number = 0;
        let member = |fields: &mut Fields<'_>| {
            number += 1;
            let name = Some(format!("{priority}-{}", number - 1));
            llm(fields).map(|ai| Member { name, ai })
        };
        group(fields, "pool", member)
    })
}

fn refuse_twins(fields: &Fields<'_>, groups: &[Vec<Member>]) {
    let mut seen = std::collections::HashSet::new();
    for member in groups.iter().flatten() {
        if member.name.as_ref().is_some_and(|name| !seen.insert(name)) {
            let message =
                format!("two providers are called {}", quoted(member.name.as_deref().unwrap_or_default()));
            fields.faults().fault_with_help(member.ai.at, message, "give each a name of its own");
        }
    }
}

fn llm(fields: &mut Fields<'_>) -> Option<Ai> {
    let host = fields.get("host").and_then(|field| field.word());
    let port = fields.get("port").and_then(|field| field.port());
    let older_host = fields.get("hostOverride").and_then(|field| field.fields(host_and_port));
    let path = fields.get("path").and_then(|field| field.fields(|fields| api_path(fields, "full")));
    let older_path =
        fields.get("pathOverride").and_then(|field| field.fields(|fields| api_path(fields, "fullPath")));
    let header = fields.get("authHeader").and_then(|field| field.fields(auth_header));
    let older_header = fields.get("authHeaderOverride").and_then(|field| field.fields(auth_header));
    let include_usage = fields.get("includeUsage").and_then(|field| Some((field.clone(), field.boolean()?)));
    let provider = match fields.get("provider") {
        Some(older) => older.fields(provider::provider),
        None => provider::provider(fields),
    };
    if fields.has("provider") {
        provider::refuse_beside(fields);
    }
    let host = match (host, port) {
        (Some(host), Some(port)) => Some(Host { host, port: port.value }),
        (None, None) => None,
        (Some(one), None) => unpaired(fields, one.at, "host", "port"),
        (None, Some(one)) => unpaired(fields, one.at, "port", "host"),
    };
    let at = fields.at();
    let named = provider?;
    let Named { provider, mut dialect, preset, host: own_host, path: own_path, .. } = named;
    let host = host.or(older_host);
    if preset.is_some_and(|preset| preset.host.is_none()) && host.is_none() {
        let message = format!("{} has no host that is known", dialect.name);
        fields.faults().fault_with_help(at, message, "write host and port beside it");
        return None;
    }
    if let Some((field, takes)) = include_usage {
        dialect.takes_include_usage = takes;
        if !matches!(provider, Provider::OpenAi | Provider::AzureOpenAi) {
            let help = "remove it; streams of this provider tell their usage unasked";
            field.fault_with_help(format!("does not belong to {}", dialect.name), help);
        }
    }
    let path = path.or(older_path);
    if matches!(provider, Provider::Gemini | Provider::Bedrock | Provider::VertexAi) && path.is_some() {
        let name = dialect.name;
        let message =
            format!("the path of {name} cannot be replaced: it names the model and what is asked of it");
        let help = match provider {
            Provider::Gemini => "remove path; apiVersion is what it begins with",
            _ => "remove path",
        };
        fields.faults().fault_with_help(at, message, help);
    }
    Some(Ai {
        provider,
        dialect,
        model: named.model,
        token: named.token,
        aws: named.aws,
        guardrail: named.guardrail,
        host,
        own_host,
        is_keyless: preset.is_some_and(|preset| preset.is_keyless),
        path: path.or(own_path),
        header: header.or(older_header),
        at,
    })
}

fn unpaired(fields: &Fields<'_>, at: Place, given: &str, missing: &str) -> Option<Host> {
    fields.faults().fault_with_help(at, format!("{given} is set without {missing}"), "set both or neither");
    None
}

fn auth_header(fields: &mut Fields<'_>) -> Option<AuthHeader> {
    let prefix = fields.get("prefix").and_then(|field| field.text());
    let name = fields.get("headerName").and_then(|field| field.parsed(super::httproute::header_name));
    if prefix.is_none() && name.is_none() {
        fields.faults().fault(fields.at(), "authHeader needs prefix or headerName");
    }
    Some(AuthHeader { name: name.map(|name| name.value), prefix: prefix.map(|prefix| prefix.value) })
}

fn api_path(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    // A query may stand in it: some compatible hosts want an API version there.
    let path = |text: &str| match text.split_once('?') {
        Some((path, query)) => Ok(format!("{}?{query}", values::path(path)?)),
        None => values::path(text),
    };
    fields.need(name)?.parsed(path).map(|path| path.value)
}

pub(crate) fn host_and_port(fields: &mut Fields<'_>) -> Option<Host> {
    let host = fields.need("host").and_then(|field| field.word());
    let port = fields.need("port").and_then(|field| field.port());
    Some(Host { host: host?, port: port?.value })
}

fn static_host(fields: &mut Fields<'_>) -> Option<Host> {
    fields.unsupported(&["appProtocol"], "remove it; backends are spoken to in HTTP/1.1");
    let field = fields.need("hosts")?;
    let hosts = field.list(HOSTS_MAX, |item| item.fields(host_and_port));
    if let [_, second, ..] = hosts.as_slice() {
        let message = format!("a second host ({}) is not supported yet", quoted(&second.host.value));
        let help = "write one Backend per host and name them all, with weights, in backendRefs";
        fields.faults().fault_with_help(second.host.at, message, help);
    }
    hosts.into_iter().next()
}
