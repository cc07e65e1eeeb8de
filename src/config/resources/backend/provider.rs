//! What stands under the name of a provider.

use super::{Api, Aws, Host, Token, azure};
use crate::config::diagnostic::{Located, Place, listing};
use crate::config::reader::{Cursor, Fields};
use crate::llm::auth::aws;
use crate::llm::provider::{Dialect, PRESETS, Preset, Provider};
use crate::llm::translate::Guardrail;

/// A provider as its fields describe it.
pub(super) struct Named {
    pub(super) provider: Provider,
    pub(super) dialect: Dialect,
    pub(super) model: Option<String>,
    pub(super) token: Option<Token>,
    /// In place of the provider's default host, as far as its own fields decide it.
    pub(super) host: Option<Host>,
    /// In place of the provider's own path, as far as its own fields decide it.
    pub(super) path: Option<String>,
    /// The preset that was named, if one was.
    pub(super) preset: Option<&'static Preset>,
    /// Of Bedrock alone.
    pub(super) aws: Option<Aws>,
    pub(super) guardrail: Option<Guardrail>,
}

/// The providers by the names of their fields.
const PROVIDERS: [(&str, Provider); 6] = [
    ("anthropic", Provider::Anthropic),
    ("azureopenai", Provider::AzureOpenAi),
    ("bedrock", Provider::Bedrock),
    ("gemini", Provider::Gemini),
    ("openai", Provider::OpenAi),
    ("vertexai", Provider::VertexAi),
];

/// agentgateway's name for a resource of Azure's of either sort.
const AZURE: &str = "azure";

/// Names under which others have a provider, and what to write here.
const fn elsewhere(api: Api) -> &'static [(&'static str, &'static str)] {
    match api {
        Api::Kgateway => &[
            ("vertex", "write vertexai with projectId, location and model"),
            ("azure", "write azureopenai with endpoint, deploymentName and apiVersion"),
            ("azureOpenAI", "write azureopenai with endpoint, deploymentName and apiVersion"),
        ],
        Api::Agentgateway => &[
            ("vertex", "write vertexai with projectId, region and model"),
            ("azureOpenAI", "write azureopenai with endpoint, deploymentName and apiVersion"),
            (
                "custom",
                "write openai or anthropic, whose formats these are, with host, port and path beside it",
            ),
        ],
    }
}

/// What is not said beside agentgateway's models but in policies.
const MOVED: [(&str, &str); 2] = [
    ("authToken", "write the credential into policies: {auth: {secretRef: {name: ...}}}"),
    ("moderation", "write openAIModeration into ai.promptGuard of policies"),
];

/// Every name: the providers, then the presets, which are OpenAI's provider at another host.
fn names(api: Api) -> impl Iterator<Item = (&'static str, Provider, Option<&'static Preset>)> {
    let presets = PRESETS.iter().map(|preset| (preset.dialect.name, Provider::OpenAi, Some(preset)));
    let azure = (api == Api::Agentgateway).then_some((AZURE, Provider::AzureOpenAi, None));
    PROVIDERS.iter().map(|(name, provider)| (*name, *provider, None)).chain(azure).chain(presets)
}

/// Exactly one provider among the fields.
pub(super) fn provider(fields: &mut Fields<'_>, api: Api) -> Option<Named> {
    let mut found = None;
    for (name, provider, preset) in names(api) {
        let Some(field) = fields.get(name) else { continue };
        let named = field.fields(|fields| provider_fields(api, (name, provider, preset), fields));
        if found.is_some() {
            field.fault_with_help("is a second provider", "name one provider only");
        }
        found = found.or(Some(named));
    }
    for (name, help) in elsewhere(api) {
        if fields.has(name)
            && let Some(field) = fields.get(name)
        {
            field.fault_with_help("is no provider here", *help);
            found = found.or(Some(None));
        }
    }
    if found.is_none() {
        let help = format!("name one of {}", listing(names(api).map(|(name, ..)| name)));
        let message = match api {
            Api::Kgateway => "llm names no provider",
            Api::Agentgateway => "no provider is named",
        };
        fields.faults().fault_with_help(fields.at(), message, help);
    }
    found.flatten()
}

/// Reports every provider that stands beside one in the older shape.
pub(super) fn refuse_beside(fields: &mut Fields<'_>) {
    for (name, ..) in names(Api::Kgateway) {
        if let Some(field) = fields.get(name) {
            field.fault_with_help("stands beside provider", "name one provider only");
        }
    }
}

fn provider_fields(
    api: Api,
    (name, provider, preset): (&str, Provider, Option<&'static Preset>),
    fields: &mut Fields<'_>,
) -> Option<Named> {
    let token = match api {
        Api::Kgateway => fields.get("authToken").map(|field| field.fields(token)),
        Api::Agentgateway => {
            for (name, help) in MOVED {
                if fields.has(name) {
                    fields.unsupported(&[name], help);
                }
            }
            None
        }
    };
    let at = fields.at();
    let own_host =
        |preset: &Preset| Some(Host::new(Located { value: preset.host?.to_owned(), at }, preset.port));
    let mut named = Named {
        provider,
        dialect: preset.map_or(Dialect::of(provider), |preset| preset.dialect),
        model: None,
        token: None,
        host: preset.and_then(own_host),
        path: preset.map(|preset| format!("{}/chat/completions", preset.base)),
        preset,
        aws: None,
        guardrail: None,
    };
    match (provider, api) {
        (Provider::Anthropic, Api::Kgateway) => anthropic_version(fields),
        (Provider::Gemini, Api::Kgateway) => {
            named.path = fields.get("apiVersion").and_then(|field| gemini_version(&field));
        }
        (Provider::AzureOpenAi, _) if name == AZURE => azure::resource(fields, &mut named)?,
        (Provider::AzureOpenAi, _) => azure::endpoint(fields, api, &mut named)?,
        (Provider::Bedrock, _) => bedrock(fields, api, &mut named)?,
        (Provider::VertexAi, Api::Kgateway) => vertex(fields, &mut named)?,
        (Provider::VertexAi, Api::Agentgateway) => vertex_region(fields, &mut named)?,
        (Provider::OpenAi | Provider::Anthropic | Provider::Gemini, _) => {}
    }
    if !matches!(provider, Provider::AzureOpenAi | Provider::Bedrock | Provider::VertexAi) {
        named.model = fields.get("model").and_then(|field| field.word()).map(|model| model.value);
    }
    if let Some(token) = token {
        named.token = Some(token?);
    }
    Some(named)
}

fn anthropic_version(fields: &mut Fields<'_>) {
    const VERSION: &str = "2023-06-01";
    if let Some(field) = fields.get("apiVersion")
        && field.text().is_some_and(|text| text.value != VERSION)
    {
        field.fault_with_help("is not supported", format!("write \"{VERSION}\" or remove it"));
    }
}

/// What the paths of a version of Gemini's API begin with.
fn gemini_version(field: &Cursor<'_>) -> Option<String> {
    const VERSIONS: [(&str, &str); 3] = [("v1beta", "/v1beta"), ("v1", "/v1"), ("v1alpha", "/v1alpha")];
    field.one_of(&VERSIONS).map(|path| path.value.to_owned())
}

/// A model in a region of AWS's. Without `auth` and `authToken`, credentials are looked for in the environment.
fn bedrock(fields: &mut Fields<'_>, api: Api, named: &mut Named) -> Option<()> {
    let at = fields.at();
    let secret = match api {
        Api::Kgateway => keys_that_sign(fields),
        Api::Agentgateway => None,
    };
    let model = fields.need("model").and_then(|field| field.word());
    let region = fields.get("region").map(|field| field.parsed(region));
    if let Some(field) = fields.get("guardrail") {
        named.guardrail = field.fields(guardrail);
    }
    let region = given(region)?.unwrap_or("us-east-1".to_owned());
    let host = format!("bedrock-runtime.{region}.{}", aws::domain(&region));
    named.host = Some(Host::new(Located { value: host, at }, 443));
    let secret = match secret {
        Some(secret) => Some(secret?),
        None => None,
    };
    named.aws = Some(Aws { secret, region });
    named.model = Some(model?.value);
    Some(())
}

/// A Secret with keys of AWS's, beside which no token stands.
fn keys_that_sign(fields: &mut Fields<'_>) -> Option<Option<Located<String>>> {
    let secret = fields.get("auth").map(|field| field.fields(aws_auth))?;
    if let Some(field) = fields.get("authToken") {
        field.fault_with_help(
            "stands beside auth",
            "write auth for keys that sign, or authToken for an API key",
        );
    }
    Some(secret)
}

/// A model of Google's or Anthropic's in a project of Google Cloud.
fn vertex(fields: &mut Fields<'_>, named: &mut Named) -> Option<()> {
    const PUBLISHERS: [(&str, bool); 2] = [("GOOGLE", false), ("ANTHROPIC", true)];
    const VERSIONS: [(&str, &str); 2] = [("v1", "v1"), ("v1beta1", "v1beta1")];
    let at = fields.at();
    let model = fields.need("model").and_then(|field| field.parsed(path_segment));
    let project = fields.need("projectId").and_then(|field| field.parsed(path_segment));
    let location = fields.need("location").and_then(|field| field.parsed(region));
    let version = fields.get("apiVersion").map(|field| field.one_of(&VERSIONS));
    let publisher = fields.get("publisher").map(|field| field.one_of(&PUBLISHERS));
    if let Some(field) = fields.get("modelPath")
        && field.text().is_some_and(|text| text.value != "generateContent")
    {
        field.fault_with_help("is not supported", "remove it: the path follows what the client asks for");
    }
    let (model, project, location) = (model?.value, project?.value, location?.value);
    let version = given(version)?.unwrap_or("v1");
    let is_claude = given(publisher)?.unwrap_or(model.starts_with(CLAUDE));
    at_vertex(named, at, (version, &project, &location), (model, is_claude));
    Some(())
}

/// What names of Anthropic's models begin with.
const CLAUDE: &str = "claude-";

/// The same as agentgateway has it: the publisher may stand before the model.
fn vertex_region(fields: &mut Fields<'_>, named: &mut Named) -> Option<()> {
    let at = fields.at();
    let model = fields.need("model").and_then(|field| field.parsed(published));
    let project = fields.need("projectId").and_then(|field| field.parsed(path_segment));
    let region = fields.get("region").map(|field| field.parsed(region));
    let ((model, is_claude), project) = (model?.value, project?.value);
    let region = given(region)?.unwrap_or("global".to_owned());
    at_vertex(named, at, ("v1", &project, &region), (model, is_claude));
    Some(())
}

/// `claude-haiku-4-5@20251001` or `anthropic/claude-haiku-4-5@20251001`: a model, and whether it is Anthropic's.
fn published(text: &str) -> Result<(String, bool), String> {
    let (publisher, model) = match text.split_once('/') {
        Some((publisher, model)) => (Some(publisher), model),
        None => (None, text),
    };
    let is_claude = match publisher {
        Some("anthropic") => true,
        Some("google") => false,
        None => model.starts_with(CLAUDE),
        Some(_) => return Err("must be a model of google/ or anthropic/".into()),
    };
    Ok((path_segment(model)?, is_claude))
}

fn at_vertex(
    named: &mut Named,
    at: Place,
    (version, project, location): (&str, &str, &str),
    (model, is_claude): (String, bool),
) {
    let publisher = if is_claude { "anthropic" } else { "google" };
    // Google Cloud, "Vertex AI locations": the global endpoint, those of multi-regions, those of regions.
    let host = match location {
        "global" => "aiplatform.googleapis.com".to_owned(),
        "us" | "eu" => format!("aiplatform.{location}.rep.googleapis.com"),
        region => format!("{region}-aiplatform.googleapis.com"),
    };
    named.host = Some(Host::new(Located { value: host, at }, 443));
    named.path = Some(format!("/{version}/projects/{project}/locations/{location}/publishers/{publisher}"));
    named.dialect = Dialect::of_vertex(&model, is_claude);
    named.model = Some(model);
}

/// What a field says that may be absent; `None` after a fault.
pub(super) fn given<T>(field: Option<Option<Located<T>>>) -> Option<Option<T>> {
    match field {
        Some(read) => read.map(|read| Some(read.value)),
        None => Some(None),
    }
}

/// A name that needs no encoding in a path, as those of projects and models.
fn path_segment(text: &str) -> Result<String, String> {
    let is_inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'@' | b':');
    match !text.is_empty() && text.bytes().all(is_inner) {
        true => Ok(text.into()),
        false => Err("must be letters, digits, \"-\", \"_\", \".\", \":\" and \"@\"".into()),
    }
}

fn aws_auth(fields: &mut Fields<'_>) -> Option<Located<String>> {
    const TYPES: [(&str, ()); 1] = [("Secret", ())];
    let kind = fields.need("type").and_then(|field| field.one_of(&TYPES));
    let name = fields.need("secretRef").and_then(|field| field.fields(|fields| fields.need("name")?.word()));
    kind.and(name)
}

fn region(text: &str) -> Result<String, String> {
    match aws::is_region(text) {
        true => Ok(text.into()),
        false => Err("must be 1 to 63 lower-case letters, digits and \"-\", such as eu-west-1".into()),
    }
}

fn guardrail(fields: &mut Fields<'_>) -> Option<Guardrail> {
    let identifier = fields.need("identifier").and_then(|field| field.word());
    let version = fields.need("version").and_then(|field| field.word());
    Some(Guardrail { identifier: identifier?.value, version: version?.value })
}

pub(crate) fn token(fields: &mut Fields<'_>) -> Option<Token> {
    const KINDS: [(&str, &str); 3] = [("SecretRef", "secretRef"), ("Inline", "inline"), ("Passthrough", "")];
    let kind = fields.need("kind").and_then(|field| field.one_of(&KINDS));
    let secret = fields.get("secretRef");
    let name = secret.as_ref().and_then(|field| field.fields(|fields| fields.need("name")?.word()));
    let inline_field = fields.get("inline");
    let inline = inline_field.as_ref().and_then(|field| field.word());
    let kind = kind?.value;
    for (field_name, field) in [("secretRef", &secret), ("inline", &inline_field)] {
        match field {
            Some(field) if field_name != kind => {
                field.fault_with_help(
                    "does not belong to this kind of authToken",
                    "remove it, or change kind",
                );
            }
            None if field_name == kind => {
                fields.faults().fault(fields.at(), format!("authToken lacks the field {field_name:?}"));
            }
            _ => {}
        }
    }
    match kind {
        "secretRef" => name.map(Token::SecretRef),
        "inline" => inline.map(Token::Inline),
        _ => Some(Token::Passthrough),
    }
}
