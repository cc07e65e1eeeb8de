//! Whose tokens policies accept, and where the keys of these issuers come from.

use crate::access::jwt::{Issuer, Keys, Verifier};
use crate::access::{Location, Tokens};
use crate::config::check::World;
use crate::config::check::backends::{Backends, index_of_last};
use crate::config::check::environment::substitute;
use crate::config::check::refs;
use crate::config::diagnostic::{Located, listing};
use crate::config::resources::Meta;
use crate::config::resources::access::jwt::{Jwks, Jwt, Provider};
use crate::config::resources::httproute::Referent;
use crate::config::snapshot::{JwksOrigin, JwksSource};
use crate::config::values::show_duration;
use crate::llm::auth::Url;
use std::collections::HashMap;
use std::sync::Arc;

/// The issuers of all policies.
#[derive(Default)]
pub(in crate::config::check) struct Issuers {
    /// Where their keys come from; one that several name is there once.
    pub(in crate::config::check) sources: Vec<JwksSource>,
    /// The places of the sources by their names.
    known: HashMap<String, usize>,
    /// What the report says, a line for each policy.
    pub(in crate::config::check) told: Vec<String>,
}

impl Issuers {
    /// What a policy accepts on `on`; `None` after a fault.
    pub(super) fn compile(
        &mut self,
        world: &World<'_>,
        backends: &Backends,
        (meta, on): (&Meta, &str),
        given: &Jwt,
    ) -> Option<Tokens> {
        let (mut issuers, mut told, mut is_whole) = (Vec::new(), Vec::new(), !given.providers.is_empty());
        for (place, provider) in given.providers.iter().enumerate() {
            let Some(source) = source(world, backends, meta, place, provider) else {
                is_whole = false;
                continue;
            };
            told.push(issuer_part(provider, &source));
            issuers.push(Issuer {
                name: provider.issuer.clone(),
                audiences: provider.audiences.clone(),
                source: self.place_of(source),
            });
        }
        let (mode, place) = (given.mode.name(), location_part(&given.location));
        self.told.push(format!("tokens of {meta} ({mode}{place}): {}; on {on}", told.join("; ")));
        let number = index_of_last(self.told.len());
        let (mode, location, verifier) = (given.mode, given.location.clone(), Verifier { issuers });
        is_whole.then_some(Tokens { mode, location, verifier, number })
    }

    /// The place of a source. Of one that is there already the shorter time counts.
    fn place_of(&mut self, source: JwksSource) -> u32 {
        let Some(&place) = self.known.get(&source.name) else {
            self.known.insert(source.name.clone(), self.sources.len());
            self.sources.push(source);
            return index_of_last(self.sources.len());
        };
        if let (
            Some(JwksSource { origin: JwksOrigin::Url { every, .. }, .. }),
            JwksOrigin::Url { every: other, .. },
        ) = (self.sources.get_mut(place), source.origin)
        {
            *every = (*every).min(other);
        }
        index_of_last(place + 1)
    }
}

/// Where an issuer's keys come from; `None` after a fault.
fn source(
    world: &World<'_>,
    backends: &Backends,
    meta: &Meta,
    place: usize,
    provider: &Provider,
) -> Option<JwksSource> {
    let at = provider.jwks.at;
    let filled = |text: &str| substitute(world, Located { value: text, at });
    // What stands for a variable may be nobody's to see: a source is called as it was typed.
    let (name, url, every) = match &provider.jwks.value {
        Jwks::Inline(text) => {
            let name = format!("provider {place} of AgentgatewayPolicy {meta}");
            let keys = read(world, provider, text)?;
            return Some(JwksSource { name, origin: JwksOrigin::Inline(Arc::new(keys)) });
        }
        Jwks::File(path) => {
            let origin = JwksOrigin::File(filled(path)?.to_string());
            return Some(JwksSource { name: format!("file {path}"), origin });
        }
        Jwks::Url { url, every } => {
            let parsed = Url::parse(&filled(url)?);
            if parsed.is_none() {
                let help =
                    "write https://, a host and a path; a name and a password, or a # are not supported";
                world.faults.fault_with_help(at, "\"url\" is no URL", help);
            }
            (url.clone(), parsed?, every)
        }
        Jwks::Remote { path, every, backend } => {
            let url = remote(world, backends, meta, backend, path)?;
            (url.to_string(), url, every)
        }
    };
    if !url.tls && !is_near(&url.host) {
        let message = format!("the keys of {name} come in the clear: who is on the way may replace them");
        world.faults.warn_with_help(at, message, "use https");
    }
    Some(JwksSource { name, origin: JwksOrigin::Url { url, every: *every } })
}

/// The keys that are written down. Those that verify nothing are told of: who wrote them may have meant them.
fn read(world: &World<'_>, provider: &Provider, text: &str) -> Option<Keys> {
    match Keys::read(text.as_bytes()) {
        Ok(keys) => {
            for skipped in &keys.skipped {
                world.faults.warn(provider.jwks.at, format!("{skipped}, so it is not used"));
            }
            Some(keys)
        }
        Err(why) => {
            let help = "write a JSON Web Key Set, such as {\"keys\": [{\"kty\": \"EC\", ...}]}";
            world.faults.fault_with_help(provider.jwks.at, format!("\"inline\" {why}"), help);
            None
        }
    }
}

/// The URL of a path of a plain host.
fn remote(
    world: &World<'_>,
    backends: &Backends,
    meta: &Meta,
    backend: &Referent,
    path: &str,
) -> Option<Url> {
    let found = refs::plain_host(world, backends, meta, backend)?;
    let target = backends.targets.get(found.target as usize)?;
    let tls = target.tls.is_some();
    if target.own_tls.is_some() || target.tls.as_ref().is_some_and(|name| *name != target.host) {
        let message = "the backend has TLS of its own, by which keys are not fetched";
        let help =
            "write the keys inline, or name its authority in tls.roots of Settings and take tls off it";
        world.faults.fault_with_help(backend.to.at(), message, help);
        return None;
    }
    Some(Url { tls, host: target.host.clone(), port: target.port, target: path.to_owned() })
}

/// Whether nobody can be between this process and the host.
fn is_near(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// `of "https://issuer.example" for a, b by the keys of https://issuer.example/jwks, asked every 5m`
fn issuer_part(provider: &Provider, source: &JwksSource) -> String {
    let audiences = match provider.audiences.is_empty() {
        true => "anybody".to_owned(),
        false => listing(provider.audiences.iter().map(String::as_str)),
    };
    let keys = match &source.origin {
        JwksOrigin::Inline(keys) if keys.len() == 1 => "1 key written there".to_owned(),
        JwksOrigin::Inline(keys) => format!("{} keys written there", keys.len()),
        JwksOrigin::File(_) | JwksOrigin::Unasked => format!("the keys of {}", source.name),
        JwksOrigin::Url { every, .. } => {
            format!("the keys of {}, asked every {}", source.name, show_duration(*every))
        }
    };
    format!("of {:?} for {audiences} by {keys}", provider.issuer)
}

fn location_part(location: &Location) -> String {
    match location {
        usual if *usual == Tokens::bearer() => String::new(),
        Location::Usual => ", where keys are".to_owned(),
        Location::Header { name, .. } => format!(", in header {name}"),
        Location::Query(name) => format!(", in query parameter {name}"),
        Location::Cookie(name) => format!(", in cookie {name}"),
    }
}
