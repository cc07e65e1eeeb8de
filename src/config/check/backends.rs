use super::World;
use super::environment::{Secrets, substitute};
use super::overrides::Replacements;
use super::refs;
use crate::base::Secret;
use crate::config::diagnostic::{Located, Place};
use crate::config::resources::Meta;
use crate::config::resources::backend::{self, Ai, Aws, Host, Token};
use crate::config::resources::settings::Origin;
use crate::config::snapshot::{Backend, BackendKind, Credential, Target};
use crate::config::values;
use crate::llm::auth::aws::Credentials;
use crate::llm::auth::google::Key;
use crate::llm::auth::{self, aws};
use crate::llm::price::vendor::paid_at;
use crate::llm::provider::Provider;
use std::collections::HashMap;
use std::sync::Arc;

/// The key of a Secret that `secretRef` means.
const SECRET_KEY: &str = "Authorization";
const BEARER: &str = "Bearer ";

/// Compiled backends and the targets they share.
pub(super) struct Backends {
    pub(super) list: Vec<Backend>,
    pub(super) targets: Vec<Target>,
    indices: HashMap<(String, String), u32>,
}

impl Backends {
    /// The index of a backend; `None` when it does not exist or had a fault.
    pub(super) fn index(&self, namespace: &str, name: &str) -> Option<u32> {
        self.indices.get(&(namespace.to_owned(), name.to_owned())).copied()
    }
}

/// Backends in the making.
pub(super) struct Making<'a> {
    pub(super) backends: Backends,
    targets: HashMap<Target, u32>,
    hosts: &'a Replacements<String, Origin>,
}

impl Backends {
    /// Gives the backend of an index a name that references find it by.
    pub(super) fn name(&mut self, namespace: &str, name: &str, index: u32) {
        self.indices.insert((namespace.to_owned(), name.to_owned()), index);
    }
}

impl Making<'_> {
    /// Adds one addressee, under the name of its own and of its resource; its index.
    pub(super) fn push(
        &mut self,
        name: Arc<str>,
        resource: &Arc<str>,
        kind: BackendKind,
        origin: Origin,
    ) -> u32 {
        let vendor = match &kind {
            // A host that was named is paid wherever it is reached.
            BackendKind::Ai { provider, dialect, .. } if dialect.name != provider.name() => {
                Some(dialect.name)
            }
            BackendKind::Ai { provider, .. } => Some(paid_at(*provider, &origin.host)),
            BackendKind::Static => None,
        };
        let origin = self.hosts.get(&origin.host).unwrap_or(origin);
        let target = Target {
            tls: origin.tls.then(|| origin.host.clone()),
            host: origin.host.clone(),
            port: origin.port,
        };
        let targets = &mut self.backends.targets;
        let target = *self.targets.entry(target).or_insert_with_key(|target| {
            targets.push(target.clone());
            index_of_last(targets.len())
        });
        self.backends.list.push(Backend {
            name,
            resource: resource.clone(),
            groups: Vec::new(),
            kind,
            target,
            host_header: authority(&origin).into(),
            vendor,
            limits: Vec::new(),
        });
        index_of_last(self.backends.list.len())
    }
}

/// Compiles every Backend and every Service that says where it is, referred to or not. Hosts that nobody connects to but
/// an override names are reported as warnings.
pub(super) fn compile(
    world: &World<'_>,
    secrets: &Secrets,
    hosts: &Replacements<String, Origin>,
) -> Backends {
    let backends = Backends { list: Vec::new(), targets: Vec::new(), indices: HashMap::new() };
    let mut making = Making { backends, targets: HashMap::new(), hosts };
    for resource in &world.all.backends {
        let resource_name: Arc<str> = resource.meta.to_string().into();
        let first = making.backends.list.len();
        let mut groups: Vec<Box<[u32]>> = Vec::new();
        for group in resource.spec.as_ref().map(members).unwrap_or_default() {
            let start = making.backends.list.len();
            for (name, spec) in group {
                let Some((kind, origin)) = one(world, secrets, &resource.meta, spec) else { continue };
                let name =
                    name.map_or(resource_name.clone(), |name| format!("{resource_name}/{name}").into());
                making.push(name, &resource_name, kind, origin);
            }
            groups.push((start..making.backends.list.len()).map(|index| index_of_last(index + 1)).collect());
        }
        let Some(stands_for_all) = making.backends.list.get_mut(first) else { continue };
        if groups.iter().map(|group| group.len()).sum::<usize>() > 1 {
            stands_for_all.groups = groups;
        }
        let meta = &resource.meta;
        making.backends.name(&meta.namespace, &meta.name.value, index_of_last(first + 1));
    }
    refs::services(world, &mut making);
    for host in hosts.unused() {
        world
            .faults
            .warn(host.at, format!("no Backend connects to {:?}: its override has no effect", host.value));
    }
    making.backends
}

/// What one addressee of a Backend is.
enum Member<'a> {
    Ai(&'a Ai),
    Static(&'a Host),
}

/// The addressees of a Backend by priority, with their names if there are several.
fn members(spec: &backend::Backend) -> Vec<Vec<(Option<&str>, Member<'_>)>> {
    match spec {
        backend::Backend::Static(host) => vec![vec![(None, Member::Static(host))]],
        backend::Backend::Ai(groups) => {
            groups.iter().map(|group| group.iter().map(named).collect()).collect()
        }
    }
}

fn named(member: &backend::Member) -> (Option<&str>, Member<'_>) {
    (member.name.as_deref(), Member::Ai(&member.ai))
}

/// Lists are bounded by the size of the texts, far below 2^32.
pub(super) fn index_of_last(len: usize) -> u32 {
    u32::try_from(len.saturating_sub(1)).unwrap_or(u32::MAX)
}

/// What a backend is and where it is.
fn one(world: &World<'_>, secrets: &Secrets, meta: &Meta, spec: Member<'_>) -> Option<(BackendKind, Origin)> {
    match spec {
        Member::Static(host) => Some((BackendKind::Static, origin(world, host)?)),
        Member::Ai(ai) => {
            let credential = credential(world, secrets, meta, ai);
            let origin = match ai.host.as_ref().or(ai.own_host.as_ref()) {
                Some(host) => origin(world, host),
                None => Some(Origin { host: ai.provider.default_host().into(), port: 443, tls: true }),
            };
            let kind = BackendKind::Ai {
                provider: ai.provider,
                dialect: ai.dialect,
                model: ai.model.as_deref().map(|model| bare_model(ai.provider, model).into()),
                credential: credential?,
                path: ai.path.as_deref().unwrap_or(ai.provider.default_path()).into(),
                guardrail: ai.guardrail.clone(),
            };
            Some((kind, origin?))
        }
    }
}

/// A model's name as its provider's paths have it: Gemini's lists show names with `models/` in front.
fn bare_model(provider: Provider, model: &str) -> &str {
    match provider {
        Provider::Gemini => model.strip_prefix("models/").unwrap_or(model),
        _ => model,
    }
}

/// A host with the environment substituted. Port 443 is spoken to over TLS, every other in plain text.
fn origin(world: &World<'_>, host: &Host) -> Option<Origin> {
    let text = Located { value: host.host.value.as_str(), at: host.host.at };
    match values::host(&substitute(world, text)?) {
        Ok(name) => Some(Origin { host: name, port: host.port, tls: host.port == 443 }),
        Err(why) => {
            world.faults.fault(host.host.at, format!("\"host\" {why}"));
            None
        }
    }
}

/// The value of `Host` (RFC 9110 section 7.2): no port where it is the scheme's own.
fn authority(origin: &Origin) -> String {
    let host = match origin.host.contains(':') {
        true => format!("[{}]", origin.host),
        false => origin.host.clone(),
    };
    match (origin.tls, origin.port) {
        (true, 443) | (false, 80) => host,
        (_, port) => format!("{host}:{port}"),
    }
}

fn credential(world: &World<'_>, secrets: &Secrets, meta: &Meta, ai: &Ai) -> Option<Credential> {
    if let (None, Some(aws)) = (&ai.token, &ai.aws) {
        return self::aws(world, secrets, meta, ai, aws);
    }
    let (bytes, at) = match &ai.token {
        Some(Token::Passthrough) => return Some(Credential::Passthrough),
        Some(Token::Inline(text)) => {
            let text = Located { value: text.value.as_str(), at: text.at };
            (substitute(world, text)?.into_bytes(), text.at)
        }
        Some(Token::SecretRef(name)) => (from_secret(world, secrets, meta, name)?, name.at),
        // A host of one's own may want no credential; a provider's own host always does.
        None if ai.host.is_some() || ai.is_keyless => return Some(Credential::None),
        None => {
            let message = format!("{} lacks the field \"authToken\"", ai.dialect.name);
            let own_host = ai.own_host.as_ref().map(|host| host.host.value.as_str());
            let help = format!("{} wants a credential", own_host.unwrap_or(ai.provider.default_host()));
            world.faults.fault_with_help(ai.at, message, help);
            return None;
        }
    };
    if ai.provider == Provider::VertexAi && bytes.trim_ascii_start().starts_with(b"{") {
        return google(world, &bytes, at);
    }
    let token = visible(world, &bytes, at)?;
    let usual = ai.provider.credential_header(token);
    let header = ai.header.as_ref();
    let name = header.and_then(|header| header.name.as_deref()).unwrap_or(usual.name);
    let prefix = match header.and_then(|header| header.prefix.as_deref()) {
        Some(prefix) if prefix.is_empty() || prefix.ends_with(' ') => prefix.to_owned(),
        Some(prefix) => format!("{prefix} "),
        None => usual.prefix.to_owned(),
    };
    let value = Secret::new([prefix.as_bytes(), token.as_bytes()].concat());
    Some(Credential::Static { name: name.into(), value })
}

/// What gets access tokens: a key file of Google's.
fn google(world: &World<'_>, json: &[u8], at: Place) -> Option<Credential> {
    match Key::read(json) {
        Ok(key) => {
            let digest = ring::digest::digest(&ring::digest::SHA256, json);
            let mut id = [0; 32];
            id.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
            Some(Credential::Google { key: Arc::new(key), id })
        }
        Err(fault) => {
            world.faults.fault_with_help(at, fault.what, fault.help);
            None
        }
    }
}

/// What signs requests to AWS: the keys of a Secret, or else what the environment has when it is read.
fn aws(world: &World<'_>, secrets: &Secrets, meta: &Meta, ai: &Ai, aws: &Aws) -> Option<Credential> {
    let found = match &aws.secret {
        Some(name) => {
            let wanted = (meta.namespace.as_str(), name.value.as_str());
            world.find(&world.all.secrets, "Secret", wanted, name.at)?;
            let value = |key: &str| secrets.value(&meta.namespace, &name.value, key);
            if ["accessKey", "secretKey", "sessionToken"].iter().any(|key| value(key) == Some(None)) {
                return None; // its fault is reported already
            }
            Credentials::from_secret(|key| value(key).flatten()).map_err(|fault| (name.at, fault))
        }
        None => from_environment(world).map_err(|fault| (ai.at, fault)),
    };
    match found {
        Ok(credentials) => Some(Credential::Aws { region: aws.region.as_str().into(), credentials }),
        Err((at, fault)) => {
            world.faults.fault_with_help(at, fault.what, fault.help);
            None
        }
    }
}

/// The keys that stand in the environment. Other sources of the SDKs are not asked yet.
fn from_environment(world: &World<'_>) -> Result<Credentials, auth::Fault> {
    let elsewhere = match aws::sources(world.env)?.into_iter().next() {
        Some(aws::Source::Keys(credentials)) => return Ok(credentials),
        Some(aws::Source::WebIdentity(_)) => ": a web identity is not supported yet",
        _ => "",
    };
    Err(auth::Fault {
        what: format!("bedrock has no credentials{elsewhere}"),
        help: "write auth: {type: Secret, secretRef: {name: ...}} with the keys accessKey and secretKey, or authToken with an \
               API key of Bedrock, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; profiles, containers and instances \
               are not asked"
            .into(),
    })
}

/// The bytes of the key `Authorization` of a Secret in the Backend's namespace.
fn from_secret(world: &World<'_>, secrets: &Secrets, meta: &Meta, name: &Located<String>) -> Option<Vec<u8>> {
    let wanted = (meta.namespace.as_str(), name.value.as_str());
    let secret = world.find(&world.all.secrets, "Secret", wanted, name.at)?;
    if let Some(value) = secrets.value(&meta.namespace, &name.value, SECRET_KEY) {
        return value.map(<[u8]>::to_vec);
    }
    if let Some(spec) = &secret.spec {
        let keys = spec.entries.iter().map(|entry| entry.key.as_str());
        let message = format!("Secret {} has no key {SECRET_KEY:?}", secret.meta);
        let help = format!("it has: {}", crate::config::diagnostic::listing(keys));
        world.faults.fault_with_help(name.at, message, help);
    }
    None
}

/// The credential without `Bearer ` and without line ends around it: both come with copied keys, and
/// agentgateway's controller takes the former off too.
pub(super) fn visible<'b>(world: &World<'_>, bytes: &'b [u8], at: Place) -> Option<&'b str> {
    let text = std::str::from_utf8(bytes).unwrap_or("\u{fffd}").trim();
    let token = text.strip_prefix(BEARER).map_or(text, str::trim);
    let why = match token {
        "" => "the credential is empty",
        token if !token.bytes().all(|b| b.is_ascii_graphic()) => {
            "the credential has characters other than visible ASCII"
        }
        token => return Some(token),
    };
    world.faults.fault_with_help(at, why, "check the Secret, or the variable that it names");
    None
}
