use super::backendtls::BackendTls;
use super::certificate::Certificate;
use super::diagnostic::Diagnostic;
use super::settings::{Settings, UnknownModel};
use super::spoken::Spoken;
use super::trust::ClientCheck;
use crate::access;
use crate::access::jwt::Keys;
use crate::base::{Secret, Tokens};
use crate::limit::{self, LIMITS_MAX};
use crate::llm::Tokenizer;
use crate::llm::auth::Origin;
use crate::llm::auth::Url;
use crate::llm::auth::aws::Credentials;
use crate::llm::guard;
use crate::llm::policy::Policy;
use crate::llm::price::{Catalogue, PriceId, Rates};
use crate::llm::provider::{Dialect, Provider};
use crate::llm::translate::Guardrail;
use crate::route::filters::Filters;
use crate::route::matches::ValueMatch;
use crate::route::narrowest;
use crate::route::priority::Priority;
use crate::route::table::Table;
use crate::route::weighted::Weighted;
use arrayvec::ArrayVec;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// What workers run on: the configuration as it is meant, every reference resolved to an index.
///
/// Immutable and shared by `Arc`. All indices are valid for the lists of the same snapshot.
pub struct Snapshot {
    /// One entry per socket.
    pub listeners: Vec<Listener>,
    /// What to do with a request that a listener's table matched.
    pub rules: Vec<Rule>,
    /// Who can answer.
    pub backends: Vec<Backend>,
    /// Limits in force; a rule names those that must all admit.
    pub limits: Vec<limit::Rule>,
    /// Distinct addressees of connections: a worker keeps one pool for each.
    pub targets: Vec<Target>,
    /// Whom guards ask; guards name them by their index.
    pub services: Vec<GuardService>,
    /// Where the keys of issuers of tokens come from.
    pub jwks: Vec<JwksSource>,
    /// Process settings.
    pub settings: Settings,
    /// What tokens cost; empty when no source held a price.
    pub catalogue: Catalogue,
    /// What is in force, for people.
    pub report: Report,
    /// What is allowed but probably not meant.
    pub warnings: Vec<Diagnostic>,
}

impl Snapshot {
    /// The rates of a price for so much input; without a price those that the settings have for models that have none.
    pub fn rates(&self, listed: Option<PriceId>, input: Tokens) -> Option<&Rates> {
        match (listed.and_then(|id| self.catalogue.get(id)), &self.settings.prices.unknown_model) {
            (Some(listed), _) => Some(listed.price.rates(input)),
            (None, UnknownModel::At(rates)) => Some(rates),
            (None, UnknownModel::Free | UnknownModel::Deny) => None,
        }
    }
}

/// A socket and its routes. Listeners of one port share one; they all speak HTTP, or all HTTPS.
pub struct Listener {
    /// `namespace/gateway/listener`; several joined by `+` where they share a port.
    pub name: Arc<str>,
    /// Where the socket is opened.
    pub bind: SocketAddr,
    /// The port as the Gateway says it, which redirects name.
    pub port: u16,
    /// The HTTP listeners of the port, told apart by the host of a request; none on a port of HTTPS.
    pub http: Vec<HttpListener>,
    /// The HTTPS listeners of the port, told apart by the name in the handshake; none on a port of HTTP.
    pub https: Vec<HttpsListener>,
}

/// One HTTP listener of a port.
pub struct HttpListener {
    /// `namespace/gateway/listener`.
    pub name: Arc<str>,
    /// In lower case, perhaps with `*.` in front; `None` takes every host that no other listener of the port covers.
    pub hostname: Option<Arc<str>>,
    /// Which rule takes a request; its targets are indices of [`Snapshot::rules`].
    pub table: Table,
}

/// One HTTPS listener of a port.
pub struct HttpsListener {
    /// `namespace/gateway/listener`.
    pub name: Arc<str>,
    /// In lower case, perhaps with `*.` in front; `None` takes every host, and connections that name none.
    pub hostname: Option<Arc<str>>,
    /// At least one, the preferred one first.
    pub certificates: Vec<Arc<Certificate>>,
    /// What is asked of the certificates of clients; `None` is nothing.
    pub clients: Option<Arc<ClientCheck>>,
    /// Which TLS is spoken; `None` is all that is known here.
    pub spoken: Option<Arc<Spoken>>,
    /// As [`HttpListener::table`].
    pub table: Table,
}

impl Listener {
    /// What a URL for it begins with.
    pub fn scheme(&self) -> &'static str {
        if self.https.is_empty() { "http" } else { "https" }
    }

    /// The listener in the clear that owns `host`: a request "SHOULD match at most one Listener", so that one
    /// which is not served there is served nowhere (Gateway API, listener isolation).
    pub fn http_for(&self, host: &[u8]) -> Option<&HttpListener> {
        match self.http.as_slice() {
            [only] if only.hostname.is_none() => Some(only),
            several => {
                let hostnames = several.iter().map(|listener| listener.hostname.as_deref());
                narrowest(hostnames, host).and_then(|place| several.get(place))
            }
        }
    }

    /// The place in `https` of the listener that owns `host`, which may be the name of a handshake or the authority of a
    /// request; empty is none.
    pub fn https_for(&self, host: &[u8]) -> Option<usize> {
        narrowest(self.https.iter().map(|listener| listener.hostname.as_deref()), host)
    }
}

/// One rule of one HTTPRoute. A rule has several entries when its listeners are limited differently.
pub struct Rule {
    /// `namespace/name` of the route.
    pub route: Arc<str>,
    /// `namespace/name/number`.
    pub name: Arc<str>,
    /// Which rule of its route, from 0.
    pub number: u32,
    /// What to change on the way, or the answer of our own. Targets of mirrors are indices of [`Snapshot::backends`], of
    /// plain hosts.
    pub filters: Filters,
    /// Who answers. Nobody (no entry, or all weights 0) is 500, as Gateway API says.
    pub backends: Weighted<BackendChoice>,
    /// Indices of [`Snapshot::limits`], ascending; all must admit.
    pub limits: Vec<u32>,
    /// How long it may take.
    pub timeouts: RuleTimeouts,
    /// Counts input exactly instead of estimating it from bytes.
    pub tokenizer: Option<Tokenizer>,
    /// What is made of requests to models, and of their answers.
    pub policy: Option<Arc<Policy>>,
    /// What is demanded of callers; `None` is nothing.
    pub access: Option<Arc<access::Policy>>,
    /// Whether a request is refused that asks for what its provider's format cannot say.
    pub strict: bool,
    /// Whose requests are given up first when there are too many.
    pub priority: Priority,
    /// When a request is made again that failed; `None` is never, but for what another provider of a Backend may do.
    pub retry: Option<Retry>,
}

impl Rule {
    /// The limits of the rule and of the backend that a request of it goes to, ascending, none twice.
    pub fn limits_with(&self, backend: &Backend) -> ArrayVec<u32, LIMITS_MAX> {
        let of_backend = backend.limits.iter().filter(|limit| !self.limits.contains(limit));
        // Configuration holds both together to LIMITS_MAX.
        let mut limits: ArrayVec<u32, LIMITS_MAX> =
            self.limits.iter().chain(of_backend).copied().take(LIMITS_MAX).collect();
        limits.sort_unstable();
        limits
    }
}

/// When a request is made again (Gateway API, `HTTPRouteRetry`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Statuses of answers after which it is, beside connections that fail.
    pub codes: Vec<u16>,
    /// How often at most, the first time not counted.
    pub attempts: u32,
    /// The least time between two attempts; up to ten times as long is waited, by chance and more with each attempt.
    pub backoff: Duration,
}

/// Timeouts of a rule, defaults filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleTimeouts {
    /// The whole exchange; `None` is no limit (the route says `0s`).
    pub request: Option<Duration>,
    /// One call to a backend, until the end of its answer; `None` is no limit of its own.
    pub backend_request: Option<Duration>,
}

/// One share of a rule's traffic.
pub enum BackendChoice {
    /// An index of [`Snapshot::backends`].
    Backend {
        /// The index.
        index: u32,
        /// What concerns this share only, done after the rule's.
        filters: Box<Filters>,
    },
    /// A reference that is not permitted (no ReferenceGrant), or to a Service of another protocol: this share is answered
    /// with 500.
    Invalid,
}

/// Who answers. A Backend resource of several providers is one entry for each, of which the first stands for all in
/// what routes choose; one that is shown another certificate by the Gateway of some routes is another entry.
#[derive(Clone)]
pub struct Backend {
    /// `namespace/name`; of one of several providers `namespace/name/provider`.
    pub name: Arc<str>,
    /// The Backend resource, `namespace/name`.
    pub resource: Arc<str>,
    /// The providers of the resource by priority, as indices of [`Snapshot::backends`]; empty when there is but one, and in
    /// entries that do not stand for all.
    pub groups: Vec<Box<[u32]>>,
    /// Provider or plain host.
    pub kind: BackendKind,
    /// An index of [`Snapshot::targets`].
    pub target: u32,
    /// The value of `Host`: the host, with its port unless that is the scheme's own. A rewrite of the
    /// hostname by the rule goes first.
    pub host_header: Arc<str>,
    /// Whose prices apply, by the name that price lists have; `None` of a plain host, which costs nothing.
    pub vendor: Option<&'static str>,
    /// Indices of [`Snapshot::limits`], ascending: what must admit besides the rule's. A limit may stand in
    /// both lists and is charged once.
    pub limits: Vec<u32>,
}

/// What kind of backend.
#[derive(Clone)]
pub enum BackendKind {
    /// An LLM provider.
    Ai {
        /// Whose format and headers.
        provider: Provider,
        /// What is particular to its host.
        dialect: Dialect,
        /// Overrules the model that the client names.
        model: Option<Arc<str>>,
        /// What authenticates us.
        credential: Credential,
        /// The path of the provider's chat endpoint, with a query where one was configured; of others what stands before
        /// the model. See [`Provider::path`].
        path: Arc<str>,
        /// What Bedrock is to hold requests and answers to.
        guardrail: Option<Guardrail>,
    },
    /// A plain host: bytes pass as they are.
    Static,
}

/// What authenticates a request to a provider.
#[derive(Clone, Debug)]
pub enum Credential {
    /// A header.
    Static {
        /// Lower case.
        name: Arc<str>,
        /// The whole value, its prefix (`Bearer `) included.
        value: Arc<Secret>,
    },
    /// AWS's signature over each request.
    Aws {
        /// Where the host is, such as `eu-west-1`.
        region: Arc<str>,
        /// Who signs.
        signs: Signs,
    },
    /// An access token of Google's, which ends and is fetched anew.
    Google(Arc<Origin>),
    /// The client's own `Authorization` header passes.
    Passthrough,
    /// None is sent, and the client's is removed.
    None,
}

/// With whose credentials a request is signed.
#[derive(Clone, Debug)]
pub enum Signs {
    /// With these, which do not end.
    With(Arc<Credentials>),
    /// With those that were fetched last.
    Fetched(Arc<Origin>),
}

impl Backend {
    /// Where its credential is fetched from, if it is one that has to be.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        match &self.kind {
            BackendKind::Ai { credential, .. } => credential.origin(),
            BackendKind::Static => None,
        }
    }
}

impl Credential {
    /// Where it is fetched from, if it has to be.
    pub fn origin(&self) -> Option<&Arc<Origin>> {
        match self {
            Credential::Google(origin) | Credential::Aws { signs: Signs::Fetched(origin), .. } => {
                Some(origin)
            }
            _ => None,
        }
    }
}

/// A service that judges texts for a guard.
pub struct GuardService {
    /// What it is, and so how it is asked.
    pub asks: guard::Service,
    /// An index of [`Snapshot::targets`].
    pub target: u32,
    /// The value of `Host`.
    pub host_header: Arc<str>,
    /// The value of `Authorization`, for who wants one.
    pub credential: Option<Secret>,
    /// Header lines that are sent on, by name and value: of a request its own, of an answer the answer's.
    pub forward: Vec<(String, ValueMatch)>,
    /// Whether everything passes while it says nothing.
    pub fails_open: bool,
    /// For what it rejects without words of its own; it says which guard it is, too.
    pub rejection: Arc<guard::Rejection>,
}

/// Where connections go. Names are resolved by the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A DNS name in lower case or an IP address (IPv6 without brackets).
    pub host: String,
    /// Port.
    pub port: u16,
    /// The name to verify in the server's certificate, and for SNI when it is no IP address; `None` is
    /// plain TCP.
    pub tls: Option<String>,
    /// How TLS is spoken there, where that is not as to all others.
    pub own_tls: Option<Arc<BackendTls>>,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

/// Where the keys of an issuer of tokens come from.
#[derive(Debug)]
pub struct JwksSource {
    /// What operators call it; one name is one source.
    pub name: String,
    /// What it is.
    pub origin: JwksOrigin,
}

/// What a source of keys is.
#[derive(Debug)]
pub enum JwksOrigin {
    /// Written into the configuration.
    Inline(Arc<Keys>),
    /// A file, read whenever it has changed.
    File(String),
    /// A URL, asked now and again.
    Url {
        /// Where it is.
        url: Url,
        /// How long what it answered is used.
        every: Duration,
    },
    /// A URL where nobody may be asked: no keys are known.
    Unasked,
}

impl JwksSource {
    /// Whether its keys can change while a configuration is in force.
    pub fn moves(&self) -> bool {
        matches!(self.origin, JwksOrigin::File(_) | JwksOrigin::Url { .. })
    }
}

/// What is in force, a line each: listeners with their routes, limits with their unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The lines, without line ends.
    pub lines: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_can_be_shared() {
        fn shared<T: Send + Sync>() {}
        shared::<Snapshot>();
    }
}
