//! BackendTLSPolicy of Gateway API: how TLS is spoken to a Service.

use super::backend::tls::{self, Tls};
use super::meta::name;
use crate::config::diagnostic::{Located, Reason};
use crate::config::reader::{Cursor, Fields};

pub(crate) struct BackendTlsPolicy {
    pub(crate) targets: Vec<ServiceTarget>,
    pub(crate) tls: Tls,
}

/// A Service in the policy's namespace.
pub(crate) struct ServiceTarget {
    pub(crate) name: Located<String>,
    /// One of its ports, by name.
    pub(crate) section: Option<Located<String>>,
}

/// The most targets (Gateway API).
const TARGETS_MAX: usize = 16;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<BackendTlsPolicy> {
    spec.fields(|fields| {
        if let Some(options) = fields.get("options") {
            for (option, _) in options.entries() {
                let message = format!("the option {:?} is not supported", option.value);
                let help = "remove it; TLS 1.2 and 1.3 are spoken, by the defaults of rustls";
                fields.faults().fault_with_help(option.at, message, help);
            }
        }
        let targets = fields.need("targetRefs").map(|field| {
            if field.is_empty_list() {
                field.fault("names no target");
            }
            field.list(TARGETS_MAX, |item| item.fields(target))
        });
        let tls = fields.need("validation").and_then(|field| field.fields(tls::validation));
        Some(BackendTlsPolicy { targets: targets?, tls: tls? })
    })
}

fn target(fields: &mut Fields<'_>) -> Option<ServiceTarget> {
    if let Some(group) = fields.need("group")
        && group.text().is_some_and(|text| !text.value.is_empty())
    {
        let at = group.at().because(Reason::UnsupportedValue);
        let help =
            "write group: \"\" and kind: Service; an AgentgatewayBackend says it itself, in policies.tls";
        fields.faults().fault_with_help(at, "\"group\" is not that of Services", help);
    }
    let kind = fields.need("kind").and_then(|field| field.one_of(&[("Service", ())]));
    let wanted = fields.need("name").and_then(|field| field.parsed(name));
    let section = fields.get("sectionName").and_then(|field| field.word());
    kind?;
    Some(ServiceTarget { name: wanted?, section })
}
