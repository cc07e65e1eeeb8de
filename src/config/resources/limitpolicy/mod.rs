//! LimitPolicy of tollgate.dev: several limits that must all admit, with keys, windows, budgets, weights.

pub(crate) mod control;
pub(crate) mod key;
mod limit;
mod measure;
mod overrides;

pub(crate) use limit::Limit;
pub(crate) use overrides::Exception;

use super::backend::Api;
use super::target::{Target, TargetKind, targets};
use crate::config::diagnostic::{Located, quoted};
use crate::config::reader::{Cursor, Fields};
use crate::llm::Tokenizer;

/// A LimitPolicy as typed. Its targets share its accounts.
pub(crate) struct LimitPolicy {
    pub(crate) targets: Vec<Target>,
    pub(crate) limits: Vec<Limit>,
    /// `estimate.tokenizer`.
    pub(crate) tokenizer: Option<Located<Tokenizer>>,
}

const KINDS: [TargetKind; 4] = [
    TargetKind::Gateway,
    TargetKind::HttpRoute,
    TargetKind::Backend(Api::Kgateway),
    TargetKind::Backend(Api::Agentgateway),
];
/// The most limits of one policy; more could not all apply to one request.
const LIMITS_MAX: usize = crate::limit::LIMITS_MAX;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<LimitPolicy> {
    spec.fields(|fields| {
        let targets = targets(fields, &KINDS);
        let field = fields.need("limits");
        let tokenizer = fields.get("estimate").and_then(|field| field.fields(estimate));
        if let (Some(estimate), Some(backend)) =
            (&tokenizer, targets.iter().find(|target| matches!(target.kind, TargetKind::Backend(_))))
        {
            // Input is counted before it is known which share of the traffic a request belongs to.
            let (kind, name) = (backend.kind.name(), quoted(&backend.name.value));
            let message = format!("\"estimate\" does not work for {kind} {name}");
            let help = "put it into a policy whose targets are Gateways or HTTPRoutes";
            fields.faults().fault_with_help(estimate.at, message, help);
        }
        let field = field?;
        let limits = field.list(LIMITS_MAX, |item| item.fields(limit::read));
        if field.is_empty_list() {
            field.fault_with_help("names no limit", "write at least one, or remove the policy");
        }
        Some(LimitPolicy { targets, limits, tokenizer })
    })
}

fn estimate(fields: &mut Fields<'_>) -> Option<Located<Tokenizer>> {
    fields.need("tokenizer")?.one_of(&Tokenizer::ALL.map(|tokenizer| (tokenizer.name(), tokenizer)))
}
