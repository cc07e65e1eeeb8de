//! Guards that ask a service: webhooks, and OpenAI's moderation.

use super::guard::Words;
use crate::config::reader::{Cursor, Fields};
use crate::config::resources::backend::auth::{self, Auth};
use crate::config::resources::backend::provider::token;
use crate::config::resources::backend::{Host, Token, host_and_port};
use crate::config::resources::httproute::{Referent, backend_reference, value_matches};
use crate::llm::guard::{self, By, Phase, Rejection};
use crate::route::matches::ValueMatch;
use std::sync::Arc;

/// A service that a guard asks, as its fields describe it.
pub(crate) struct Service {
    pub(crate) asks: guard::Service,
    pub(crate) addressee: Addressee,
    /// Header lines that are sent on: of a request its own, of an answer the answer's.
    pub(crate) forward: Vec<(String, ValueMatch)>,
    pub(crate) fails_open: bool,
    /// For what it rejects without words of its own; which guard it is too.
    pub(crate) rejection: Arc<Rejection>,
}

/// Who is asked.
pub(crate) enum Addressee {
    /// A plain host.
    Backend(Referent),
    /// As webhooks were written before they had references.
    Host(Host),
    /// OpenAI, with this credential.
    OpenAi(Token),
}

/// The usual model (OpenAI API reference, "Create moderation").
const MODEL: &str = "omni-moderation-latest";

/// Services that are not asked yet.
const OTHERS: [&str; 3] = ["bedrockGuardrails", "googleModelArmor", "azureContentSafety"];

/// Whether an entry is a guard that asks, known here or not.
pub(super) fn is_there(fields: &Fields<'_>) -> bool {
    const NAMES: [&str; 3] = ["webhook", "moderation", "openAIModeration"];
    NAMES.iter().chain(&OTHERS).any(|name| fields.has(name))
}

/// Reads the services of an entry, which is the one of that number in its list.
pub(super) fn read(
    fields: &mut Fields<'_>,
    phase: Phase,
    number: usize,
    custom: Option<&Words>,
) -> Vec<Service> {
    fields.unsupported(&OTHERS, "use regex, webhook or openAIModeration");
    let webhook = fields.get("webhook").and_then(|field| field.fields(webhook));
    let newer = fields.get("openAIModeration").and_then(|field| moderation(&field, phase));
    // The older resource has it within `moderation`.
    let older = fields.get("moderation").and_then(|field| {
        let within = field.fields(|fields| fields.need("openAIModeration"))?;
        moderation(&within, phase)
    });
    let service = |Parts { asks, addressee, forward, fails_open }: Parts| {
        let words = custom.cloned().unwrap_or_else(Words::usual);
        let rejection = words.said_by(By { phase, number, kind: asks.name() });
        Service { asks, addressee, forward, fails_open, rejection }
    };
    [webhook, newer, older].into_iter().flatten().map(service).collect()
}

/// What the fields of a service say.
struct Parts {
    asks: guard::Service,
    addressee: Addressee,
    forward: Vec<(String, ValueMatch)>,
    fails_open: bool,
}

fn webhook(fields: &mut Fields<'_>) -> Option<Parts> {
    const MODES: [(&str, bool); 2] = [("FailClosed", false), ("FailOpen", true)];
    fields.unsupported(&["headers"], "write forwardHeaderMatches for headers of the client");
    let reference = fields.get("backendRef").map(|field| field.fields(backend_reference));
    let host = fields.get("host").map(|field| (field.clone(), field.fields(host_and_port)));
    let forward =
        fields.get("forwardHeaderMatches").map_or_else(Vec::new, |field| value_matches(&field, true));
    let fails_open = fields.get("failureMode").and_then(|field| field.one_of(&MODES));
    // What agentgateway calls Audit would ask and let everything pass.
    fields.get("action").and_then(|field| field.one_of(&[("Reject", ())]));
    let addressee = match (reference, host) {
        (Some(_), Some((host, _))) => {
            host.fault_with_help("stands beside backendRef", "keep one of the two");
            return None;
        }
        (Some(reference), None) => Addressee::Backend(reference?),
        (None, Some((_, host))) => Addressee::Host(host?),
        (None, None) => {
            let help = "write backendRef: {group: gateway.kgateway.dev, kind: Backend, name: ...}, or host: {host: ..., port: ...}";
            fields.faults().fault_with_help(fields.at(), "the webhook says nobody to ask", help);
            return None;
        }
    };
    let fails_open = fails_open.is_some_and(|mode| mode.value);
    Some(Parts { asks: guard::Service::Webhook, addressee, forward, fails_open })
}

fn moderation(field: &Cursor<'_>, phase: Phase) -> Option<Parts> {
    if phase == Phase::Response {
        field.fault_with_help("judges requests only", "use regex or webhook for answers");
    }
    let read = field.fields(|fields| {
        let model = fields.get("model").map(|field| field.word());
        let older = fields.get("authToken").map(|field| field.fields(token));
        let newer = fields.get("policies").map(|field| {
            field.fields(|fields| {
                fields.unsupported(&["tls", "http", "tcp", "tunnel"], "remove it");
                key(fields)
            })
        });
        fields.get("action").and_then(|field| field.one_of(&[("Reject", ())]));
        let token = match newer.or(older) {
            Some(token) => token.and_then(|token| own(fields, token)),
            None => {
                let help = "write policies: {auth: {secretRef: {name: ...}}}, or authToken as in a Backend";
                fields.faults().fault_with_help(fields.at(), "api.openai.com wants a credential", help);
                None
            }
        };
        let model = match model {
            Some(model) => model?.value,
            None => MODEL.to_owned(),
        };
        Some((model, token?))
    });
    let (model, token) = read.filter(|_| phase == Phase::Request)?;
    let asks = guard::Service::Moderation { model: model.into() };
    Some(Parts { asks, addressee: Addressee::OpenAi(token), forward: Vec::new(), fails_open: false })
}

/// A credential of the guard's own: the client's is for its provider.
fn own(fields: &Fields<'_>, token: Token) -> Option<Token> {
    if matches!(token, Token::Passthrough) {
        let help = "write kind: SecretRef with secretRef";
        fields.faults().fault_with_help(fields.at(), "a guard asks with a credential of its own", help);
        return None;
    }
    Some(token)
}

/// `auth` of agentgateway's backends, as far as it is one key.
fn key(fields: &mut Fields<'_>) -> Option<Token> {
    let field = fields.need("auth")?;
    match auth::read(&field)? {
        Auth {
            by: auth::By::Token(token @ (Token::Inline(_) | Token::SecretRef(_))), header: None, ..
        } => Some(token),
        Auth { header: Some(_), .. } => {
            field.fault_with_help(
                "says how the key is sent, which is the service's to say",
                "remove location",
            );
            None
        }
        Auth { .. } => {
            field.fault_with_help("says no key of the guard's own", "write secretRef: {name: ...}");
            None
        }
    }
}
