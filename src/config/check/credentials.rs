//! What authenticates us to providers: credentials of Secrets, written down, the client's own, or those that are fetched.

use super::World;
use super::clouds::{self, Clouds};
use super::environment::{Secrets, bytes_of, substitute};
use crate::base::Secret;
use crate::config::diagnostic::{Located, Place};
use crate::config::resources::Meta;
use crate::config::resources::agentgatewaypolicy::AgentgatewayPolicy;
use crate::config::resources::backend::auth::{Auth, By};
use crate::config::resources::backend::tls::Tls;
use crate::config::resources::backend::{Ai, Api, AuthHeader, Aws, Token};
use crate::config::resources::target::{Target, TargetKind};
use crate::config::snapshot::Credential;
use crate::llm::provider::Provider;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The key of a Secret that `secretRef` means.
pub(super) const SECRET_KEY: &str = "Authorization";
/// The key of a Secret that `secretRef` of agentgateway's `gcp` means.
const GOOGLE_KEY: &str = "credentials.json";
const BEARER: &str = "Bearer ";

/// What AgentgatewayPolicies say, in a field of this name, of a backend that does not say it itself; two are a fault.
pub(super) fn of_policy<'a, T: HasPlace>(
    world: &World<'a>,
    api: Api,
    meta: &Meta,
    (field, said): (&str, impl Fn(&'a AgentgatewayPolicy) -> Option<&'a T>),
) -> Option<&'a T> {
    let is_here =
        |target: &Target| target.kind == TargetKind::Backend(api) && target.name.value == meta.name.value;
    let here =
        world.all.agentgateway_policies.iter().filter(|policy| policy.meta.namespace == meta.namespace);
    let policies = here.filter_map(|policy| policy.spec.as_ref());
    let targeting = policies.filter(|policy| policy.targets.iter().any(is_here));
    let mut all = targeting.filter_map(said);
    let first = all.next();
    if let (Some(first), Some(second)) = (first, all.next()) {
        let message = format!("{} {meta} has {field} from two policies", api.kind());
        let help = format!("the other is at {}; keep one of them", world.faults.name(first.at()));
        world.faults.fault_with_help(second.at(), message, help);
    }
    first
}

/// What stands somewhere.
pub(super) trait HasPlace {
    fn at(&self) -> Place;
}

impl HasPlace for Auth {
    fn at(&self) -> Place {
        self.at
    }
}

impl HasPlace for Tls {
    fn at(&self) -> Place {
        self.at
    }
}

/// What authenticates us to a provider; `None` after a fault.
pub(super) fn credential(
    world: &World<'_>,
    secrets: &Secrets,
    clouds: &Clouds,
    meta: &Meta,
    (ai, auth): (&Ai, Option<&Auth>),
) -> Option<Credential> {
    let (token, aws, header) = match auth {
        None => (ai.token.as_ref(), ai.aws.clone(), ai.header.as_ref()),
        Some(auth) => said(world, ai, auth)?,
    };
    if let (None, Some(aws)) = (token, &aws) {
        return clouds.aws(world, secrets, meta, ai.at, aws);
    }
    let (bytes, at) = match token {
        Some(Token::Passthrough) => return Some(Credential::Passthrough),
        Some(Token::Inline(text)) => {
            let text = Located { value: text.value.as_str(), at: text.at };
            (bytes_of(substitute(world, text)?), text.at)
        }
        Some(Token::SecretRef(name)) => (from_secret(world, secrets, meta, (name, SECRET_KEY))?, name.at),
        Some(Token::Google(None)) => return clouds.google(world, ai.at),
        Some(Token::Google(Some(name))) => {
            let key = from_secret(world, secrets, meta, (name, GOOGLE_KEY))?;
            return clouds::google_key(world, &key, name.at);
        }
        // A host of one's own may want no credential; a provider's own host always does.
        None if ai.host.is_some() || ai.is_keyless => return Some(Credential::None),
        None if ai.provider == Provider::VertexAi => return clouds.google(world, ai.at),
        None => {
            let message = format!("{} lacks the field {:?}", ai.dialect.name, ai.api.credential());
            let own_host = ai.own_host.as_ref().map(|host| host.host.value.as_str());
            let help = format!("{} wants a credential", own_host.unwrap_or(ai.provider.default_host()));
            world.faults.fault_with_help(ai.at, message, help);
            return None;
        }
    };
    if ai.provider == Provider::VertexAi && bytes.trim_ascii_start().starts_with(b"{") {
        return clouds::google_key(world, &bytes, at);
    }
    let token = visible(world, &bytes, at)?;
    let usual = ai.provider.credential_header(token);
    let name = header.and_then(|header| header.name.as_deref()).unwrap_or(usual.name);
    let prefix = header.and_then(|header| header.prefix.as_deref()).unwrap_or(usual.prefix);
    let value = Secret::new([prefix.as_bytes(), token.as_bytes()].concat());
    Some(Credential::Static { name: name.into(), value: Arc::new(value) })
}

/// A token, what signs, and how a token is sent.
type SaidBy<'a> = (Option<&'a Token>, Option<Aws>, Option<&'a AuthHeader>);

/// What agentgateway's `auth` says for a provider; `None` after a fault.
fn said<'a>(world: &World<'_>, ai: &Ai, auth: &'a Auth) -> Option<SaidBy<'a>> {
    let only_for = |way: &str, provider: Provider| {
        let message = format!("{way} in auth is for {}, not for {}", provider.name(), ai.dialect.name);
        world.faults.fault_with_help(auth.at, message, "write secretRef: {name: ...}");
        None
    };
    match (&auth.by, &ai.aws) {
        (By::Aws(secret), Some(aws)) => {
            Some((None, Some(Aws { secret: secret.clone(), region: aws.region.clone() }), None))
        }
        (By::Aws(_), None) => only_for("aws", Provider::Bedrock),
        (By::Token(Token::Google(_)), _) if ai.provider != Provider::VertexAi => {
            only_for("gcp", Provider::VertexAi)
        }
        (By::Token(token), _) => Some((Some(token), None, auth.header.as_ref())),
    }
}

/// The bytes of a key of a Secret in the resource's namespace.
pub(super) fn from_secret(
    world: &World<'_>,
    secrets: &Secrets,
    meta: &Meta,
    (name, key): (&Located<String>, &str),
) -> Option<Zeroizing<Vec<u8>>> {
    let wanted = (meta.namespace.as_str(), name.value.as_str());
    let secret = world.find(&world.all.secrets, "Secret", wanted, name.at)?;
    if let Some(value) = secrets.value(&meta.namespace, &name.value, key) {
        return value.map(|bytes| bytes.to_vec().into());
    }
    if let Some(spec) = &secret.spec {
        let keys = spec.entries.iter().map(|entry| entry.key.as_str());
        let message = format!("Secret {} has no key {key:?}", secret.meta);
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
