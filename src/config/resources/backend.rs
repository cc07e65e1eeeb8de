//! Backends of both APIs: what they say in common, and kgateway's.

pub(crate) mod agentgateway;
pub(crate) mod auth;
mod azure;
pub(crate) mod provider;
pub(crate) mod tls;

use super::{AGENTGATEWAY, KGATEWAY, ai};
use crate::config::diagnostic::{Located, Place, quoted};
use crate::config::reader::{Cursor, Fields};
use crate::config::values;
use crate::llm::provider::{Dialect, Provider};
use crate::llm::translate::Guardrail;
use auth::Auth;
use provider::Named;
use tls::Tls;

/// Whose resource a Backend is. Both mean the same once they are read.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Api {
    /// `Backend`.
    Kgateway,
    /// `AgentgatewayBackend`.
    Agentgateway,
}

impl Api {
    pub(crate) const fn group(self) -> &'static str {
        match self {
            Api::Kgateway => KGATEWAY,
            Api::Agentgateway => AGENTGATEWAY,
        }
    }

    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Api::Kgateway => "Backend",
            Api::Agentgateway => "AgentgatewayBackend",
        }
    }

    pub(crate) const fn other(self) -> Api {
        match self {
            Api::Kgateway => Api::Agentgateway,
            Api::Agentgateway => Api::Kgateway,
        }
    }

    /// The field that says what authenticates us.
    pub(crate) const fn credential(self) -> &'static str {
        match self {
            Api::Kgateway => "authToken",
            Api::Agentgateway => "policies.auth",
        }
    }
}

/// A Backend, or an AgentgatewayBackend.
pub(crate) enum Backend {
    Ai {
        /// Providers by priority: the first group is the first to be asked. One group of one provider under `llm` or
        /// `provider`.
        groups: Vec<Vec<Member>>,
        /// Of an AgentgatewayBackend: what is made of requests on their way to it.
        policy: Option<Box<ai::Ai>>,
    },
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
    /// agentgateway's, in place of `token`, the Secret of `aws` and `header`.
    pub(crate) auth: Option<Auth>,
    /// agentgateway's: how TLS is spoken to it.
    pub(crate) own_tls: Option<Tls>,
    pub(crate) api: Api,
    pub(crate) at: Place,
}

/// A host as typed, where `$NAME` stands for a variable of the environment, and a port.
pub(crate) struct Host {
    pub(crate) host: Located<String>,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// Of a plain host, agentgateway's: how TLS is spoken to it.
    pub(crate) own_tls: Option<Tls>,
}

impl Host {
    /// Port 443 is spoken to over TLS, every other in plain text.
    pub(crate) fn new(host: Located<String>, port: u16) -> Host {
        Host { host, port, tls: port == 443, own_tls: None }
    }
}

/// Where the credential comes from.
#[derive(Clone)]
pub(crate) enum Token {
    /// The key `Authorization` of a Secret in the Backend's namespace.
    SecretRef(Located<String>),
    /// Written here; `$NAME` stands for a variable of the environment.
    Inline(Located<String>),
    /// The client's own `Authorization` header.
    Passthrough,
    /// Of Vertex AI alone, whose access tokens are fetched: by the key file in the key `credentials.json` of a Secret, or
    /// else by what the environment leads to.
    Google(Option<Located<String>>),
}

/// What AWS's signature is made with.
#[derive(Clone)]
pub(crate) struct Aws {
    /// A Secret in the Backend's namespace that holds the keys; `None` is the environment.
    pub(crate) secret: Option<Located<String>>,
    pub(crate) region: String,
}

/// How the credential is sent, in place of the provider's own way.
#[derive(Clone)]
pub(crate) struct AuthHeader {
    /// Lower case.
    pub(crate) name: Option<String>,
    /// What stands before the credential, the space included.
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
            "ai" => body.fields(providers).map(|groups| Backend::Ai { groups, policy: None }),
            _ => body.fields(static_host).map(Backend::Static),
        }
    })
}

fn providers(fields: &mut Fields<'_>) -> Option<Vec<Vec<Member>>> {
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
    let host = pair(fields);
    let older_host = fields.get("hostOverride").and_then(|field| field.fields(host_and_port));
    let path = fields.get("path").and_then(|field| field.fields(|fields| api_path(fields, "full")));
    let older_path =
        fields.get("pathOverride").and_then(|field| field.fields(|fields| api_path(fields, "fullPath")));
    let header = fields.get("authHeader").and_then(|field| field.fields(auth_header));
    let older_header = fields.get("authHeaderOverride").and_then(|field| field.fields(auth_header));
    let include_usage = include_usage(fields);
    let named = match fields.get("provider") {
        Some(older) => older.fields(|fields| provider::provider(fields, Api::Kgateway)),
        None => provider::provider(fields, Api::Kgateway),
    };
    if fields.has("provider") {
        provider::refuse_beside(fields);
    }
    let (host, path, header) = (host.or(older_host), path.or(older_path), header.or(older_header));
    assemble(fields, Api::Kgateway, named?, Beside { host, path, header, include_usage })
}

/// What stands beside a provider, in place of what is its own.
struct Beside<'a> {
    host: Option<Host>,
    path: Option<String>,
    header: Option<AuthHeader>,
    /// tollgate's: whether the usage of streams may be asked for.
    include_usage: Option<(Cursor<'a>, bool)>,
}

fn include_usage<'a>(fields: &mut Fields<'a>) -> Option<(Cursor<'a>, bool)> {
    fields.get("includeUsage").and_then(|field| Some((field.clone(), field.boolean()?)))
}

/// `host` and `port`, which belong together.
fn pair(fields: &mut Fields<'_>) -> Option<Host> {
    let host = fields.get("host").and_then(|field| field.word());
    let port = fields.get("port").and_then(|field| field.port());
    match (host, port) {
        (Some(host), Some(port)) => Some(Host::new(host, port.value)),
        (None, None) => None,
        (Some(one), None) => unpaired(fields, one.at, "host", "port"),
        (None, Some(one)) => unpaired(fields, one.at, "port", "host"),
    }
}

/// A provider with what stands beside it.
fn assemble(fields: &Fields<'_>, api: Api, named: Named, beside: Beside<'_>) -> Option<Ai> {
    let at = fields.at();
    let Named { provider, mut dialect, preset, host: own_host, path: own_path, .. } = named;
    let Beside { host, path, header, include_usage } = beside;
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
    if matches!(provider, Provider::Gemini | Provider::Bedrock | Provider::VertexAi) && path.is_some() {
        let name = dialect.name;
        let message =
            format!("the path of {name} cannot be replaced: it names the model and what is asked of it");
        let help = match (provider, api) {
            (Provider::Gemini, Api::Kgateway) => "remove path; apiVersion is what it begins with",
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
        header,
        auth: None,
        own_tls: None,
        api,
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
    let spaced = |prefix: String| match prefix.is_empty() || prefix.ends_with(' ') {
        true => prefix,
        false => format!("{prefix} "),
    };
    let prefix = prefix.map(|prefix| spaced(prefix.value));
    Some(AuthHeader { name: name.map(|name| name.value), prefix })
}

fn api_path(fields: &mut Fields<'_>, name: &'static str) -> Option<String> {
    fields.need(name)?.parsed(path_and_query).map(|path| path.value)
}

/// A path, in which a query may stand: some compatible hosts want an API version there.
fn path_and_query(text: &str) -> Result<String, String> {
    match text.split_once('?') {
        Some((path, query)) => Ok(format!("{}?{query}", values::path(path)?)),
        None => values::path(text),
    }
}

pub(crate) fn host_and_port(fields: &mut Fields<'_>) -> Option<Host> {
    let host = fields.need("host").and_then(|field| field.word());
    let port = fields.need("port").and_then(|field| field.port());
    Some(Host::new(host?, port?.value))
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
