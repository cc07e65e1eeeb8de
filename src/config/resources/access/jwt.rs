//! `jwtAuthentication` of agentgateway: whose tokens are accepted, and where the keys of these issuers are.

use super::{location, short};
use crate::access::{Location, Mode, Tokens};
use crate::config::diagnostic::{Located, Place};
use crate::config::reader::{Cursor, Fields};
use crate::config::resources::httproute::{Referent, backend_reference};
use std::time::Duration;

/// `jwtAuthentication`.
pub(crate) struct Jwt {
    pub(crate) at: Place,
    pub(crate) mode: Mode,
    pub(crate) location: Location,
    pub(crate) providers: Vec<Provider>,
}

/// An issuer.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    /// Empty takes any.
    pub(crate) audiences: Vec<String>,
    pub(crate) jwks: Located<Jwks>,
}

/// Where an issuer's keys are.
pub(crate) enum Jwks {
    /// Here.
    Inline(String),
    /// tollgate's: in a file, where `$NAME` in the path stands for a variable of the environment.
    File(String),
    /// tollgate's: at a URL, where `$NAME` stands for a variable of the environment.
    Url { url: String, every: Duration },
    /// At a path of a Static Backend.
    Remote { path: String, every: Duration, backend: Referent },
}

/// The most issuers, and the most audiences of one (agentgateway).
const PROVIDERS_MAX: usize = 64;
const AUDIENCES_MAX: usize = 64;
/// The longest path (agentgateway).
const PATH_MAX: usize = 2000;
/// How long keys are used unless `cacheDuration` says so (agentgateway, which allows no less; here a test may).
const EVERY: Duration = Duration::from_secs(300);
const EVERY_MIN: Duration = Duration::from_secs(1);

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Jwt> {
    let at = fields.at();
    let mode = fields.get("mode").map(|field| field.one_of(&super::MODES));
    let location = fields.get("location").map(|field| field.fields(location));
    fields.unsupported(&["mcp"], "remove it");
    let list = fields.need("providers")?;
    if list.is_empty_list() {
        list.fault_with_help("names no issuer", "write one, with its issuer and its jwks");
    }
    let providers = list.list(PROVIDERS_MAX, |item| item.fields(provider));
    // One that had a fault is told of already, and the issuers are looked at all the same.
    let mode = mode.flatten().map_or(Mode::Strict, |mode| mode.value);
    Some(Jwt { at, mode, location: location.flatten().unwrap_or_else(Tokens::bearer), providers })
}

fn provider(fields: &mut Fields<'_>) -> Option<Provider> {
    let issuer = fields.need("issuer").and_then(|field| field.parsed(short));
    let audiences = fields.get("audiences");
    if let Some(list) = audiences.as_ref().filter(|list| list.is_empty_list()) {
        list.fault_with_help("names no audience", "write one, or remove it: then a token may be for anybody");
    }
    let read = |item: Cursor<'_>| item.parsed(short).map(|name| name.value);
    let audiences = audiences.map_or_else(Vec::new, |list| list.list(AUDIENCES_MAX, read));
    let jwks = fields.need("jwks").and_then(|field| {
        let value = field.fields(jwks)?;
        Some(Located { value, at: field.at() })
    });
    Some(Provider { issuer: issuer?.value, audiences, jwks: jwks? })
}

/// Exactly one source.
fn jwks(fields: &mut Fields<'_>) -> Option<Jwks> {
    let url = fields.get("url").map(|field| field.word());
    let every = cache_duration(fields);
    if let (None, Some(field)) = (&url, fields.get("cacheDuration")) {
        field.fault_with_help(
            "belongs to a URL",
            "write it beside url or into remote; a file is read when it changes",
        );
    }
    let sources = [
        fields.get("inline").map(|field| field.word().map(|text| Jwks::Inline(text.value))),
        fields.get("file").map(|field| field.word().map(|path| Jwks::File(path.value))),
        url.map(|url| Some(Jwks::Url { url: url?.value, every: every? })),
        fields.get("remote").map(|field| field.fields(remote)),
    ];
    let mut given = sources.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(source), None) => source,
        _ => {
            let help = "write inline, remote: {jwksPath, backendRef}, or tollgate's own url or file";
            fields.faults().fault_with_help(fields.at(), "jwks must say where the keys are, once", help);
            None
        }
    }
}

fn remote(fields: &mut Fields<'_>) -> Option<Jwks> {
    let path = fields.need("jwksPath").and_then(|field| field.parsed(path));
    let every = cache_duration(fields);
    let backend = fields.need("backendRef").and_then(|field| field.fields(backend_reference));
    Some(Jwks::Remote { path: path?.value, every: every?, backend: backend? })
}

fn cache_duration(fields: &mut Fields<'_>) -> Option<Duration> {
    let Some(field) = fields.get("cacheDuration") else { return Some(EVERY) };
    let every = field.duration()?.value;
    if every < EVERY_MIN {
        field.fault("must be at least 1s");
        return None;
    }
    Some(every)
}

/// A path below the root, with or without the first `/` (agentgateway); a query may stand in it.
fn path(text: &str) -> Result<String, String> {
    let is_visible = text.bytes().all(crate::wire::url::is_target);
    match text.len() {
        1..=PATH_MAX if is_visible => Ok(format!("/{}", text.trim_start_matches('/'))),
        _ => Err(format!("must be a path of 1 to {PATH_MAX} bytes, such as .well-known/jwks.json")),
    }
}
