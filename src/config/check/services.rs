//! Services that guards ask: who they are, and what authenticates us.

use super::World;
use super::backends::{Backends, authority, index_of_last, origin};
use super::credentials::{SECRET_KEY, from_secret, visible};
use super::environment::{Secrets, bytes_of, substitute};
use super::overrides::Replacements;
use super::refs;
use crate::base::Secret;
use crate::config::diagnostic::Located;
use crate::config::resources::Meta;
use crate::config::resources::ai::{Addressee, Service};
use crate::config::resources::backend::Token;
use crate::config::resources::settings::Origin;
use crate::config::snapshot::GuardService;
use std::sync::Arc;

/// Compiles services, policy by policy.
pub(super) struct Services<'a> {
    pub(super) secrets: &'a Secrets,
    pub(super) hosts: &'a Replacements<String, Origin>,
    /// Where they are comes to where Backends are.
    pub(super) backends: &'a mut Backends,
    pub(super) list: Vec<GuardService>,
}

/// Where a service is: an index of targets, and the value of `Host`.
type Whereabouts = (u32, Arc<str>);

impl Services<'_> {
    /// Adds those of a policy; their indices, without those that had a fault.
    pub(super) fn add(&mut self, world: &World<'_>, policy: &Meta, services: &[Service]) -> Arc<[u32]> {
        services.iter().filter_map(|service| self.one(world, policy, service)).collect()
    }

    fn one(&mut self, world: &World<'_>, policy: &Meta, service: &Service) -> Option<u32> {
        let (whereabouts, credential) = match &service.addressee {
            Addressee::Backend(reference) => {
                let host = refs::plain_host(world, self.backends, policy, reference)?;
                ((host.target, host.host_header.clone()), None)
            }
            Addressee::Host(host) => (self.at(origin(world, host)?), None),
            Addressee::OpenAi(token) => {
                let credential = self.credential(world, policy, token);
                let openai = Origin { host: "api.openai.com".into(), port: 443, tls: true };
                (self.at(openai), Some(credential?))
            }
        };
        let (target, host_header) = whereabouts;
        self.list.push(GuardService {
            asks: service.asks.clone(),
            target,
            host_header,
            credential,
            forward: service.forward.clone(),
            fails_open: service.fails_open,
            rejection: service.rejection.clone(),
        });
        Some(index_of_last(self.list.len()))
    }

    fn at(&mut self, origin: Origin) -> Whereabouts {
        let origin = self.hosts.get(&origin.host).unwrap_or(origin);
        (self.backends.target(&origin, None), authority(&origin).into())
    }

    fn credential(&self, world: &World<'_>, policy: &Meta, token: &Token) -> Option<Secret> {
        let (bytes, at) = match token {
            Token::SecretRef(name) => {
                (from_secret(world, self.secrets, policy, (name, SECRET_KEY))?, name.at)
            }
            Token::Inline(text) => {
                let template = Located { value: text.value.as_str(), at: text.at };
                (bytes_of(substitute(world, template)?), text.at)
            }
            Token::Passthrough | Token::Google(_) => return None, // refused where it was read
        };
        let token = visible(world, &bytes, at)?;
        Some(Secret::new(format!("Bearer {token}").into_bytes()))
    }
}
