//! Layer 4: Kubernetes resources as text, to a checked model, to the [`Snapshot`] that workers run on. Pure:
//! texts and a look-up of environment variables are arguments.
//!
//! * [`load`] reads every text, checks all of it, and reports every fault at once: file, line, column, what
//!   is wrong, what to write instead ([`Diagnostics`]). No field is passed over in silence.
//! * `yaml` makes a tree with a place on every node; `reader` reads types out of it; `resources` holds each
//!   kind as typed by its users; `check` turns them into what they mean.
//! * [`load_with_prices`] does so over the prices that the program brings along.
//! * [`conditions`] says how every resource stands, as the `status` of a cluster would, in a faulty configuration too.
//! * [`other_measure`] and [`key_of`] read what operators say of one account while the program runs.
//! * [`Settings`] are the process's own values, each with a default; [`Footprint`] is the most memory that they come to.
//!
//! ```
//! use tollgate::config::{Overrides, Source, load};
//! let source = Source { name: "gateway.yaml", text: "kind: Gatewey\napiVersion: v1\n" };
//! let faults = load(&[source], &|_| None, &Overrides::default()).err().expect("a fault");
//! assert!(faults.to_string().starts_with("gateway.yaml:1:7: the kind \"Gatewey\""));
//! ```

mod backendtls;
mod certificate;
mod check;
mod conditions;
mod diagnostic;
mod footprint;
mod reader;
mod resources;
mod settings;
mod snapshot;
mod spoken;
mod trust;
mod values;
mod yaml;

#[cfg(test)]
mod tests;

pub use crate::base::Secret;
pub use crate::llm::auth::Fetched;
pub use backendtls::{BackendTls, Name, Names};
pub use certificate::Certificate;
pub use check::Overrides;
pub use conditions::{
    AncestorStatus, CONTROLLER, Condition, Conditions, ListenerStatus, Metadata, ObjectRef, Observed,
    ParentStatus, RouteKind, Status, Truth,
};
pub use diagnostic::{Diagnostic, Diagnostics};
pub use footprint::Footprint;
pub use resources::limitpolicy::control::{key_of, other_measure};
pub use settings::{
    Admin, AdminAddress, Admission, Connections, Limits, Prices, Process, Records, RecordsTo, Requests, Ring,
    Roots, Settings, Timeouts, Tls, UnknownModel, Upgrade, Upstream, Workers,
};
pub use snapshot::{
    Backend, BackendChoice, BackendKind, Credential, GuardService, HttpListener, HttpsListener, JwksOrigin,
    JwksSource, Listener, Report, Retry, Rule, RuleTimeouts, Signs, Snapshot, Target,
};
pub use spoken::{Groups, Spoken};
pub use trust::{ClientCheck, TlsId, Trust};

use diagnostic::Faults;
use resources::Resources;

/// A text of YAML or JSON, and the name that faults call it by.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// A file name, usually.
    pub name: &'a str,
    /// One or more documents; at most 4 MiB.
    pub text: &'a str,
}

/// Reads, checks and compiles a configuration. `env` looks up variables of the environment; `overrides` come
/// from the command line. Lists of prices are joined in the order of `sources`, later ones replacing earlier.
///
/// # Errors
/// Every fault that was found, in the order of `sources`. Nothing is compiled from a faulty configuration.
pub fn load(
    sources: &[Source<'_>],
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Result<Snapshot, Diagnostics> {
    compile(sources, 0, env, overrides)
}

/// As [`load`], with the lists of `prices` before those of `sources`. They are the program's own: what is told of them is
/// not where they stand, and a list that says `replace` does without them.
///
/// # Errors
/// As [`load`].
pub fn load_with_prices(
    prices: Source<'_>,
    sources: &[Source<'_>],
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Result<Snapshot, Diagnostics> {
    let all: Vec<Source<'_>> = std::iter::once(prices).chain(sources.iter().copied()).collect();
    compile(&all, 1, env, overrides)
}

/// As [`load_with_prices`], with the status of every resource. Faults that stand in a resource which has conditions are told
/// by these; at most 10,000 are kept, the rest are counted.
pub fn conditions(
    prices: Source<'_>,
    sources: &[Source<'_>],
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Conditions {
    let all: Vec<Source<'_>> = std::iter::once(prices).chain(sources.iter().copied()).collect();
    let faults = Faults::for_conditions(all.iter().map(|source| source.name));
    let read = read(&all, &faults);
    let (snapshot, passages) = check::compile_with_passages(&read, 1, env, overrides, &faults);
    let resources = faults.look(|faults, warnings| conditions::of(&read, &passages, (faults, warnings)));
    let in_force = faults.finish().map(|warnings| Snapshot { warnings, ..snapshot });
    Conditions { resources, in_force }
}

/// The first `built_in` of the sources are the program's own.
fn compile(
    sources: &[Source<'_>],
    built_in: u32,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Result<Snapshot, Diagnostics> {
    let faults = Faults::new(sources.iter().map(|source| source.name));
    let all = read(sources, &faults);
    let mut snapshot = check::compile(&all, built_in, env, overrides, &faults);
    snapshot.warnings = faults.finish()?;
    Ok(snapshot)
}

fn read(sources: &[Source<'_>], faults: &Faults) -> Resources {
    let mut all = Resources::default();
    for (file, source) in (0u32..).zip(sources) {
        let documents = yaml::parse(source.text, file, faults);
        all.unread.extend(documents.unread);
        documents.roots.iter().for_each(|root| all.read(root, faults));
    }
    all
}
