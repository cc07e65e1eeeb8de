//! Providers of clouds and hosts that are compatible with one, through whole gateways: where requests go, with which
//! credential and body, what comes back, and that books agree.

#[path = "clouds/accounts.rs"]
mod accounts;
#[path = "clouds/agentgateway.rs"]
mod agentgateway;
#[path = "clouds/azure.rs"]
mod azure;
#[path = "clouds/bedrock.rs"]
mod bedrock;
#[path = "clouds/chains.rs"]
mod chains;
#[path = "clouds/endpoint.rs"]
mod endpoint;
#[path = "support/front.rs"]
mod front;
#[path = "clouds/presets.rs"]
mod presets;
#[path = "clouds/roles.rs"]
mod roles;
mod support;
#[path = "clouds/told.rs"]
mod told;
#[path = "clouds/vertex.rs"]
mod vertex;

use serde_json::Value;
use support::{Rig, Said, manifests, settings};
use tollgate_loadtest::{Count, Script, SeenRequest};

/// Tokens of every kind.
fn script() -> Script {
    Script {
        input_tokens: Count::Fixed(1_000),
        cached_input_tokens: 300,
        output_tokens: 77,
        ..Script::default()
    }
}

/// A Backend `cloud` with this under `llm`, and a route to it below `/cloud`.
fn backend(llm: &str) -> String {
    support::below("cloud", llm)
}

/// A gateway with [`backend`] and `policies`, one worker.
fn rig(script: Script, llm: &str, policies: &str) -> Rig {
    let quiet = "  records: {to: none}\n  workers: {cores: 1, pin: false}\n  timeouts: {drain: 2s}";
    Rig::start_with(script, &manifests(&(backend(llm) + policies)), &settings(quiet))
}

/// The last request that the provider saw.
fn seen(rig: &Rig) -> SeenRequest {
    rig.simulator.requests().pop().expect("it came")
}

fn sent(rig: &Rig) -> Value {
    serde_json::from_slice(&seen(rig).body).expect("JSON")
}
