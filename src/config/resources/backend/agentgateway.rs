//! AgentgatewayBackend of agentgateway.dev: providers as a Backend has them, with what concerns the way to them in `policies`.

use super::auth::{self, Auth};
use super::tls::{self, Tls};
use super::{Ai, Api, Backend, Beside, Host, Member};
use super::{assemble, group, host_and_port, include_usage, numbered, pair, path_and_query, refuse_twins};
use crate::config::diagnostic::{Located, Place};
use crate::config::reader::{Cursor, Fields};
use crate::config::resources::ai;
use crate::config::resources::meta::name;
use crate::llm::provider::Provider;

/// What `policies` say, of a backend or of one of its providers.
#[derive(Default)]
struct Policies {
    /// `None` within after a fault.
    auth: Option<Option<Auth>>,
    tls: Option<Tls>,
    ai: Option<(Place, ai::Ai)>,
}

/// What is done elsewhere, or not at all, and what to write instead.
const OTHERS: [(&str, &str); 7] = [
    ("tcp", "remove it; timeouts.connect of Settings is how long a connection may take"),
    ("tunnel", "remove it"),
    ("transformation", "remove it; RequestHeaderModifier of an HTTPRoute changes headers"),
    ("extAuth", "remove it"),
    ("mcp", "remove it"),
    ("health", "remove it; upstream.ejection of Settings says when a provider is left alone"),
    ("sessionAffinity", "remove it"),
];

/// Refuses them, in policies of either resource.
pub(crate) fn refuse_others(fields: &mut Fields<'_>) {
    for (name, help) in OTHERS {
        fields.unsupported(&[name], help);
    }
}

pub(crate) fn read(spec: &Cursor<'_>) -> Option<Backend> {
    const FOREIGN: [&str; 4] = ["dynamicForwardProxy", "mcp", "aws", "a2a"];
    spec.fields(|fields| {
        let given = fields.get("policies");
        let policies = given.as_ref().map_or(Some(Policies::default()), policies);
        fields.unsupported(&FOREIGN, "supported are ai and static");
        match (fields.get("ai"), fields.get("static")) {
            (Some(ai), plain) => {
                if let Some(plain) = plain {
                    plain.fault_with_help("stands beside ai", "write one of ai and static");
                }
                let mut policies = policies.unwrap_or_default();
                let groups = ai.fields(|fields| providers(fields, &policies));
                let policy = policies.ai.take().map(|(_, policy)| Box::new(policy));
                Some(Backend::Ai { groups: groups?, policy })
            }
            (None, Some(plain)) => {
                let policies = policies.unwrap_or_default();
                let host = plain.fields(|fields| plain_host(fields, &policies));
                refuse_at_plain_host(fields, &policies);
                host.map(Backend::Static)
            }
            (None, None) => {
                if !FOREIGN.iter().any(|name| fields.has(name)) {
                    fields.faults().fault_with_help(
                        fields.at(),
                        "the backend says nothing of where it is",
                        "write ai: {provider: ...} or static: {host: ..., port: ...}",
                    );
                }
                None
            }
        }
    })
}

fn policies(field: &Cursor<'_>) -> Option<Policies> {
    field.fields(|fields| {
        if fields.is_empty() {
            fields.faults().fault_with_help(fields.at(), "policies say nothing", "write auth, or remove it");
        }
        refuse_others(fields);
        let auth = fields.get("auth").map(|field| auth::read(&field));
        let tls = fields.get("tls").and_then(|field| field.fields(tls::agentgateway));
        if let Some(field) = fields.get("http") {
            field.fields(http);
        }
        let ai = fields.get("ai").and_then(|field| Some((field.at(), ai::agentgateway(&field)?)));
        Some(Policies { auth, tls, ai })
    })
}

fn http(fields: &mut Fields<'_>) -> Option<()> {
    if let Some(version) = fields.get("version")
        && version.one_of(&[("HTTP1", false), ("HTTP2", true)]).is_some_and(|version| version.value)
    {
        version.fault_with_help("is HTTP2, which is not spoken to backends", "write HTTP1, or remove it");
    }
    let help = "write timeouts: {backendRequest: ...} into the HTTPRoute's rule";
    fields.unsupported(&["requestTimeout"], help);
    Some(())
}

/// A plain host gets the client's own headers, and nothing is read on the way.
fn refuse_at_plain_host(fields: &Fields<'_>, policies: &Policies) {
    if let Some(Some(Auth { at, .. })) = policies.auth {
        let help = "remove it; RequestHeaderModifier of the HTTPRoute can set a header";
        fields.faults().fault_with_help(at, "auth is for backends of ai", help);
    }
    if let Some((at, _)) = policies.ai {
        fields.faults().fault_with_help(at, "ai is for backends of ai", "remove it");
    }
}

fn plain_host(fields: &mut Fields<'_>, policies: &Policies) -> Option<Host> {
    fields.unsupported(&["unixPath"], "write host and port");
    let host = match fields.has("unixPath") {
        true => None,
        false => host_and_port(fields),
    };
    let mut host = host?;
    if let Some(tls) = &policies.tls {
        (host.tls, host.own_tls) = (true, Some(tls.clone()));
    }
    Some(host)
}

fn providers(fields: &mut Fields<'_>, policies: &Policies) -> Option<Vec<Vec<Member>>> {
    if let (true, Some(field)) = (fields.has("groups"), fields.get("provider")) {
        field.fault_with_help("stands beside groups", "write one of provider and groups");
    }
    let groups = match fields.has("groups") {
        true => numbered(fields, "groups", |(_, item)| {
            item.fields(|fields| group(fields, "providers", |fields| named(fields, policies)))
        }),
        false => {
            let ai =
                fields.need("provider")?.fields(|fields| provider(fields, policies, &Policies::default()))?;
            vec![vec![Member { name: None, ai }]]
        }
    };
    refuse_twins(fields, &groups);
    Some(groups).filter(|groups| !groups.is_empty() && groups.iter().all(|group| !group.is_empty()))
}

/// A provider of a group, whose policies go before those of the backend, field by field.
fn named(fields: &mut Fields<'_>, above: &Policies) -> Option<Member> {
    let name = fields.need("name").and_then(|field| field.parsed(name));
    let own = fields.get("policies").map_or(Some(Policies::default()), |field| policies(&field));
    let own = own.unwrap_or_default();
    if let Some((at, _)) = own.ai {
        let help = "write it into policies of the whole backend: a request is made ready before its provider is chosen";
        fields.faults().fault_with_help(at, "ai of one provider is not supported yet", help);
    }
    let ai = provider(fields, above, &own);
    Some(Member { name: Some(name?.value), ai: ai? })
}

fn provider(fields: &mut Fields<'_>, above: &Policies, own: &Policies) -> Option<Ai> {
    let host = pair(fields);
    let path = fields.get("path").and_then(|field| field.parsed(path_and_query));
    let prefix = fields.get("pathPrefix").and_then(|field| field.parsed(path_and_query));
    let include_usage = include_usage(fields);
    let named = super::provider::provider(fields, Api::Agentgateway)?;
    let path = match (path, prefix) {
        (Some(_), Some(prefix)) => {
            fields.faults().fault_with_help(
                prefix.at,
                "pathPrefix stands beside path",
                "keep one of the two",
            );
            None
        }
        (Some(path), None) => Some(path.value),
        (None, Some(prefix)) => below(fields, named.provider, host.is_some(), &prefix),
        (None, None) => None,
    };
    let mut ai =
        assemble(fields, Api::Agentgateway, named, Beside { host, path, header: None, include_usage })?;
    ai.own_tls = own.tls.as_ref().or(above.tls.as_ref()).cloned();
    if let Some(auth) = own.auth.as_ref().or(above.auth.as_ref()) {
        ai.auth = Some(auth.clone()?);
    }
    Some(ai)
}

/// The path of a provider whose others are its neighbours, below a prefix.
fn below(
    fields: &Fields<'_>,
    provider: Provider,
    has_host: bool,
    prefix: &Located<String>,
) -> Option<String> {
    let end = match provider {
        Provider::OpenAi => "/chat/completions",
        Provider::Anthropic => "/messages",
        _ => {
            let help = "remove it, or write path";
            fields.faults().fault_with_help(prefix.at, "pathPrefix is for openai and anthropic", help);
            return None;
        }
    };
    if !has_host {
        fields.faults().fault_with_help(
            prefix.at,
            "pathPrefix is set without host",
            "write host and port too",
        );
    }
    Some(format!("{}{end}", prefix.value.trim_end_matches('/')))
}
