//! Which TLS listeners speak by policies: `frontend.tls` of AgentgatewayPolicies on Gateways and their listeners.

use super::Policies;
use super::scope::{Scope, most_special_by};
use crate::config::check::World;
use crate::config::diagnostic::Located;
use crate::config::resources::Meta;
use crate::config::resources::gateway::Listener;
use crate::config::resources::tlsoptions::Options;
use std::sync::Arc;

impl Policies {
    /// What the most special policy says of the TLS of a listener; two that are equally special are a fault.
    pub(in crate::config::check) fn spoken_on(
        &self,
        world: &World<'_>,
        gateway: &Meta,
        listener: &str,
    ) -> Option<&Located<Arc<Options>>> {
        let all = self.spoken.iter().map(|(scope, said)| (scope, said));
        let covers = |scope: &Scope| scope.covers_listener(gateway, listener);
        most_special_by(all, covers, |scope, first, second| {
            // A policy may name a target twice.
            if first.at != second.at {
                let message = format!("{scope} has frontend.tls from two policies");
                let help = format!("the other is at {}; keep one of them", world.faults.name(first.at));
                world.faults.fault_with_help(second.at, message, help);
            }
        })
    }

    /// Says which of them no HTTPS listener hears of.
    pub(super) fn warn_of_unspoken(&self, world: &World<'_>) {
        for (scope, said) in &self.spoken {
            let is_meant = |meta: &Meta, listener: &Listener| {
                listener.tls.is_some() && scope.covers_listener(meta, &listener.name.value)
            };
            let gateways = world.all.gateways.iter().filter_map(|one| Some((&one.meta, one.spec.as_ref()?)));
            let mut listeners =
                gateways.flat_map(|(meta, spec)| spec.listeners.iter().map(move |one| (meta, one)));
            if !listeners.any(|(meta, listener)| is_meant(meta, listener)) {
                let message = format!("{scope} has no HTTPS listener: frontend.tls has no effect there");
                world.faults.warn(said.at, message);
            }
        }
    }
}
