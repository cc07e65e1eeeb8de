//! What policies demand of callers, as agentgateway and kgateway write it.

pub(crate) mod basic;
pub(crate) mod entry;
pub(crate) mod jwt;

use super::httproute::header_name;
use super::meta::name;
use crate::access::cel::Expression;
use crate::access::{Action, Location, Mode};
use crate::config::diagnostic::{Located, Place};
use crate::config::reader::{Cursor, Fields};
use std::sync::Arc;

/// What a policy demands of callers.
#[derive(Default)]
pub(crate) struct Access {
    pub(crate) tokens: Option<jwt::Jwt>,
    pub(crate) users: Option<basic::Basic>,
    pub(crate) keys: Option<ApiKeys>,
    pub(crate) rules: Option<Located<Authorization>>,
    /// `networkAuthorization` of agentgateway's `frontend`.
    pub(crate) network: Option<Located<Authorization>>,
}

/// `authorization`, `rbac`: what is to be done where one of these is true.
pub(crate) struct Authorization {
    pub(crate) action: Action,
    pub(crate) expressions: Vec<Arc<Expression>>,
}

/// The most expressions of a policy (agentgateway).
const EXPRESSIONS_MAX: usize = 256;

/// `apiKeyAuthentication`.
pub(crate) struct ApiKeys {
    pub(crate) at: Place,
    pub(crate) mode: Mode,
    pub(crate) location: Location,
    pub(crate) source: KeySource,
}

/// Where the keys are.
pub(crate) enum KeySource {
    /// A Secret of the policy's namespace.
    Secret(Located<String>),
    /// All Secrets of the policy's namespace with these labels.
    Secrets(Located<Labels>),
    /// All ConfigMaps of the policy's namespace with these labels, which hold hashes alone.
    ConfigMaps(Located<Labels>),
}

/// Labels that a resource must have, at least one.
pub(crate) type Labels = Vec<(String, String)>;

/// Their names.
pub(super) const FIELDS: [&str; 4] =
    ["jwtAuthentication", "basicAuthentication", "apiKeyAuthentication", "authorization"];

/// The longest name of a place where a credential is looked for, of an issuer and of an audience (agentgateway).
const NAME_MAX: usize = 256;

const MODES: [(&str, Mode); 3] =
    [("Strict", Mode::Strict), ("Optional", Mode::Optional), ("Permissive", Mode::Permissive)];

/// Reads what agentgateway's `traffic` demands of callers.
pub(super) fn agentgateway(fields: &mut Fields<'_>) -> Access {
    Access {
        tokens: fields.get("jwtAuthentication").and_then(|field| field.fields(jwt::read)),
        users: fields.get("basicAuthentication").and_then(|field| field.fields(basic::read)),
        keys: fields.get("apiKeyAuthentication").and_then(|field| field.fields(api_keys)),
        rules: fields.get("authorization").and_then(|field| authorization(&field, &ACTIONS)),
        network: None,
    }
}

/// Reads `networkAuthorization` of agentgateway's `frontend`.
pub(super) fn network(field: &Cursor<'_>) -> Option<Located<Authorization>> {
    authorization(field, &ACTIONS)
}

/// Reads kgateway's `rbac`.
pub(super) fn rbac(field: &Cursor<'_>) -> Option<Located<Authorization>> {
    let [allow, deny, _] = ACTIONS;
    authorization(field, &[allow, deny])
}

const ACTIONS: [(&str, Action); 3] =
    [("Allow", Action::Allow), ("Deny", Action::Deny), ("Require", Action::Require)];

fn authorization(field: &Cursor<'_>, actions: &[(&'static str, Action)]) -> Option<Located<Authorization>> {
    let read = field.fields(|fields| {
        let action = fields.get("action").map(|field| field.one_of(actions));
        let expressions = fields.need("policy").and_then(|field| {
            field.fields(|fields| {
                let list = fields.need("matchExpressions")?;
                if list.is_empty_list() {
                    list.fault_with_help(
                        "names no expression",
                        "write one, such as request.method == 'POST'",
                    );
                }
                Some(list.list(EXPRESSIONS_MAX, |item| {
                    let compile = |text: &str| {
                        Expression::compile(text).map_err(|fault| format!("is no expression: {fault}"))
                    };
                    item.parsed(compile).map(|expression| Arc::new(expression.value))
                }))
            })
        });
        let action = action.map_or(Some(Action::Allow), |action| action.map(|action| action.value));
        Some(Authorization { action: action?, expressions: expressions? })
    })?;
    Some(Located { value: read, at: field.at() })
}

fn api_keys(fields: &mut Fields<'_>) -> Option<ApiKeys> {
    let at = fields.at();
    let mode = fields.get("mode").map(|field| field.one_of(&MODES));
    let location = fields.get("location").map(|field| field.fields(location));
    let sources = [
        fields.get("secretRef").map(|field| secret_ref(&field).map(KeySource::Secret)),
        fields.get("secretSelector").map(|field| selector(&field).map(KeySource::Secrets)),
        fields.get("configMapSelector").map(|field| selector(&field).map(KeySource::ConfigMaps)),
    ];
    let mut given = sources.into_iter().flatten();
    let (source, second) = (given.next(), given.next());
    if source.is_none() || second.is_some() {
        let help = "write secretRef: {name: ...}, or a selector with matchLabels";
        let message = "the policy must say where its API keys are, once";
        fields.faults().fault_with_help(at, message, help);
        return None;
    }
    let mode = mode.map_or(Some(Mode::Strict), |mode| mode.map(|mode| mode.value));
    let location = location.unwrap_or(Some(Location::Usual));
    Some(ApiKeys { at, mode: mode?, location: location?, source: source?? })
}

/// The name of a Secret of the policy's own namespace.
fn secret_ref(field: &Cursor<'_>) -> Option<Located<String>> {
    field.fields(|fields| {
        fields.get("group").inspect(|field| {
            field.one_of(&[("", ())]);
        });
        fields.get("kind").inspect(|field| {
            field.one_of(&[("Secret", ())]);
        });
        fields.need("name")?.parsed(name)
    })
}

fn selector(field: &Cursor<'_>) -> Option<Located<Labels>> {
    let at = field.at();
    let labels = field.fields(|fields| {
        let labels = fields.need("matchLabels")?;
        let texts = labels.entries().into_iter().map(|(key, value)| Some((key.value, value.text()?.value)));
        let texts = texts.collect::<Option<Labels>>()?;
        if texts.is_empty() && labels.is_map() {
            labels.fault_with_help("names no label", "write one, such as app: gateway-keys");
            return None;
        }
        Some(texts)
    })?;
    Some(Located { value: labels, at })
}

/// Exactly one of `header`, `queryParameter` and `cookie`.
fn location(fields: &mut Fields<'_>) -> Option<Location> {
    fields.unsupported(&["expression"], "write header, queryParameter or cookie");
    let read = [
        fields.get("header").map(|field| field.fields(header)),
        fields.get("queryParameter").map(|field| field.fields(named).map(Location::Query)),
        fields.get("cookie").map(|field| field.fields(named).map(Location::Cookie)),
    ];
    let mut given = read.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(location), None) => location,
        (None, _) if fields.has("expression") => None,
        _ => {
            let help = "write one, such as header: {name: x-gateway-key}";
            let message = "location must be one of header, queryParameter, cookie";
            fields.faults().fault_with_help(fields.at(), message, help);
            None
        }
    }
}

fn header(fields: &mut Fields<'_>) -> Option<Location> {
    let name = fields.need("name").and_then(|field| field.parsed(header_name));
    let prefix = fields.get("prefix").map(|field| field.parsed(short));
    let prefix = prefix.map_or(Some(String::new()), |prefix| prefix.map(|prefix| prefix.value));
    Some(Location::Header { name: name?.value.into(), prefix: prefix?.into() })
}

fn named(fields: &mut Fields<'_>) -> Option<Box<str>> {
    Some(fields.need("name")?.parsed(short)?.value.into())
}

fn short(text: &str) -> Result<String, String> {
    match text.len() {
        1..=NAME_MAX => Ok(text.into()),
        _ => Err(format!("must have 1 to {NAME_MAX} bytes")),
    }
}
