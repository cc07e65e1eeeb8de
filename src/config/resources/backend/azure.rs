//! Azure OpenAI: a resource of Azure's, and a deployment of it, which is the model. Its API has versions that are dates, whose
//! paths name the deployment, and `v1` and `preview`, whose bodies do.

use super::provider::{Named, given};
use super::{Api, Host};
use crate::config::diagnostic::{Located, quoted};
use crate::config::reader::Fields;
use crate::config::values;
use crate::llm::provider::Dialect;

/// `azureopenai`: by its endpoint. In agentgateway's the client may name the deployment, where it stands in the body.
pub(super) fn endpoint(fields: &mut Fields<'_>, api: Api, named: &mut Named) -> Option<()> {
    let endpoint = fields.need("endpoint").and_then(|field| field.parsed(host));
    let version = version(fields);
    let is_needed = api == Api::Kgateway || version.as_deref().is_some_and(is_dated);
    let deployment = match is_needed {
        true => Some(fields.need("deploymentName").and_then(|field| field.parsed(deployment))),
        false => fields.get("deploymentName").map(|field| field.parsed(deployment)),
    };
    let (endpoint, version, deployment) = (endpoint?, version?, given(deployment)?);
    at(named, endpoint, "", &version, deployment);
    Some(())
}

/// `azure`, agentgateway's: by its name and sort. A project of Foundry has its API below a path of its own.
pub(super) fn resource(fields: &mut Fields<'_>, named: &mut Named) -> Option<()> {
    const SORTS: [(&str, bool); 2] = [("OpenAI", false), ("Foundry", true)];
    let name = fields.need("resourceName").and_then(|field| field.parsed(deployment));
    let is_foundry =
        fields.need("resourceType").and_then(|field| field.one_of(&SORTS)).map(|sort| sort.value);
    let asked = fields.get("apiVersion");
    let version = version(fields);
    let project = match is_foundry {
        Some(true) => Some(fields.need("projectName").and_then(|field| field.parsed(deployment))),
        _ => fields.get("projectName").map(|field| field.parsed(deployment)),
    };
    let is_needed = version.as_deref().is_some_and(is_dated);
    let model = match is_needed {
        true => Some(fields.need("model").and_then(|field| field.parsed(deployment))),
        false => fields.get("model").map(|field| field.parsed(deployment)),
    };
    if let (true, Some(true), Some(asked)) = (is_needed, is_foundry, &asked) {
        asked
            .fault_with_help("is a date, by which projects of Foundry have no API", "write v1, or remove it");
    }
    let (name, version, project, model) = (name?, version?, given(project)?, given(model)?);
    let (domain, base) = match (is_foundry?, project) {
        (true, project) => ("services.ai", format!("/api/projects/{}", project?)),
        (false, _) => ("openai", String::new()),
    };
    let host = Located { value: format!("{}.{domain}.azure.com", name.value), at: name.at };
    at(named, host, &base, &version, model);
    Some(())
}

fn at(named: &mut Named, host: Located<String>, base: &str, version: &str, deployment: Option<String>) {
    named.host = Some(Host::new(host, 443));
    named.path = Some(match (version, &deployment) {
        ("preview", _) => format!("{base}/openai/v1/chat/completions?api-version=preview"),
        (dated, Some(deployment)) if is_dated(dated) => {
            named.dialect = Dialect::of_azure(dated);
            format!("/openai/deployments/{deployment}/chat/completions?api-version={dated}")
        }
        _ => format!("{base}/openai/v1/chat/completions"),
    });
    named.model = deployment;
}

/// `v1` unless another one is asked for; `None` after a fault.
fn version(fields: &mut Fields<'_>) -> Option<String> {
    match fields.get("apiVersion") {
        Some(field) => field.parsed(known_version).map(|version| version.value),
        None => Some("v1".to_owned()),
    }
}

fn is_dated(version: &str) -> bool {
    !matches!(version, "v1" | "preview")
}

/// `https://house.openai.azure.com/` as Azure's portal shows it, or the host alone.
fn host(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").unwrap_or(text);
    let host = host.strip_suffix('/').unwrap_or(host);
    match host.is_empty() || host.contains(['/', ':', '?']) {
        true => Err("must be https:// and a host, without port and path".into()),
        false => Ok(host.into()),
    }
}

/// Azure's names, which need no encoding in a path: up to 64 letters, digits, `-`, `_` and `.`.
fn deployment(text: &str) -> Result<String, String> {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match (1..=64).contains(&text.len()) && text.bytes().all(is_inner) {
        true => Ok(text.into()),
        false => Err("must be 1 to 64 letters, digits, \"-\", \"_\" and \".\"".into()),
    }
}

fn known_version(text: &str) -> Result<String, String> {
    let date = text.strip_suffix("-preview").unwrap_or(text);
    let is_date = date.len() == 10 && values::is_instant(&format!("{date}T00:00:00Z"));
    match is_date || !is_dated(text) {
        true => Ok(text.into()),
        false => Err(format!(
            "is {}, but must be v1, preview, or a date such as 2024-10-21 or 2025-04-01-preview",
            quoted(text)
        )),
    }
}
