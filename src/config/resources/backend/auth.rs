//! `auth` of agentgateway's backends: what authenticates us there.

use super::{AuthHeader, Token};
use crate::config::diagnostic::{Located, Place};
use crate::config::reader::{Cursor, Fields};
use crate::config::resources::httproute::header_name;

/// What `auth` says.
#[derive(Clone)]
pub(crate) struct Auth {
    pub(crate) by: By,
    /// How a key is sent.
    pub(crate) header: Option<AuthHeader>,
    pub(crate) at: Place,
}

#[derive(Clone)]
pub(crate) enum By {
    Token(Token),
    /// The keys of a Secret sign requests to AWS, or else what the environment leads to.
    Aws(Option<Located<String>>),
}

/// Ways that are not gone.
const OTHERS: [&str; 4] = ["oauthTokenExchange", "crossAppAccess", "jwtSign", "credentials"];

/// Exactly one way.
pub(crate) fn read(field: &Cursor<'_>) -> Option<Auth> {
    field.fields(|fields| {
        fields.unsupported(&["azure"], "write secretRef or key, with a key of Azure's or a token of Entra");
        fields.unsupported(&OTHERS, "write secretRef");
        let location = fields.get("location");
        let header = location.as_ref().map(|field| field.fields(header));
        let key = |field: Cursor<'_>| field.word().map(|key| By::Token(Token::Inline(key)));
        let secret = |field: Cursor<'_>| {
            field
                .fields(|fields| secret(fields, Some("Authorization")))
                .map(|name| By::Token(Token::SecretRef(name)))
        };
        let passthrough = |field: Cursor<'_>| field.fields(|_| Some(By::Token(Token::Passthrough)));
        let ways = [
            fields.get("key").map(key),
            fields.get("secretRef").map(secret),
            fields.get("passthrough").map(passthrough),
            fields.get("aws").map(|field| field.fields(aws)),
            fields.get("gcp").map(|field| field.fields(gcp)),
        ];
        let mut ways = ways.into_iter().flatten();
        let by = match (ways.next(), ways.next()) {
            (Some(by), None) => by?,
            (Some(_), Some(_)) => {
                let message = "auth says several credentials";
                fields.faults().fault_with_help(fields.at(), message, "keep one of them");
                return None;
            }
            (None, _) => {
                if !OTHERS.iter().chain(&["azure"]).any(|name| fields.has(name)) {
                    let help = "write secretRef: {name: ...}";
                    fields.faults().fault_with_help(fields.at(), "auth says no credential", help);
                }
                return None;
            }
        };
        let is_key = matches!(by, By::Token(Token::Inline(_) | Token::SecretRef(_)));
        if let (Some(location), false) = (location, is_key) {
            location.fault_with_help("is for key and secretRef", "remove it");
        }
        let header = match header {
            Some(header) => Some(header?),
            None => None,
        };
        Some(Auth { by, header, at: fields.at() })
    })
}

/// The name of a Secret in the resource's own namespace, of which one key is read.
fn secret(fields: &mut Fields<'_>, key: Option<&'static str>) -> Option<Located<String>> {
    fields.get("group").and_then(|field| field.one_of(&[("", ())]));
    fields.get("kind").and_then(|field| field.one_of(&[("Secret", ())]));
    if let (Some(key), Some(field)) = (key, fields.get("key")) {
        field.one_of(&[(key, ())]);
    }
    fields.need("name")?.word()
}

/// `location`: as it stands, without a space between what is in front and the key.
fn header(fields: &mut Fields<'_>) -> Option<AuthHeader> {
    const OTHERS: [&str; 2] = ["queryParameter", "cookie"];
    fields.unsupported(&OTHERS, "write header: {name: ..., prefix: ...}");
    let header = match OTHERS.iter().any(|name| fields.has(name)) {
        true => fields.get("header"),
        false => fields.need("header"),
    };
    header?.fields(|fields| {
        let name = fields.need("name").and_then(|field| field.parsed(header_name));
        let prefix = fields.get("prefix").map(|field| field.text());
        let prefix = match prefix {
            Some(prefix) => prefix?.value,
            None => String::new(),
        };
        Some(AuthHeader { name: Some(name?.value), prefix: Some(prefix) })
    })
}

fn aws(fields: &mut Fields<'_>) -> Option<By> {
    let help = "let the environment say it: AWS_ROLE_ARN, or a profile with role_arn";
    fields.unsupported(&["assumeRole"], help);
    fields.get("serviceName").and_then(|field| field.one_of(&[("bedrock", ())]));
    let secret = fields.get("secretRef").map(|field| field.fields(|fields| secret(fields, None)));
    Some(By::Aws(match secret {
        Some(secret) => Some(secret?),
        None => None,
    }))
}

fn gcp(fields: &mut Fields<'_>) -> Option<By> {
    fields.unsupported(&["audience"], "remove it: Vertex AI wants access tokens, which are for nobody");
    fields.get("type").and_then(|field| field.one_of(&[("AccessToken", ())]));
    let secret =
        fields.get("secretRef").map(|field| field.fields(|fields| secret(fields, Some("credentials.json"))));
    let secret = match secret {
        Some(secret) => Some(secret?),
        None => None,
    };
    Some(By::Token(Token::Google(secret)))
}
