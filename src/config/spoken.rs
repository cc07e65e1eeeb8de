use super::trust::{TlsId, finish};
use ring::digest;
use rustls::crypto::ring::{ALL_CIPHER_SUITES, default_provider, kx_group};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ConfigBuilder, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion, WantsVerifier,
};
use std::fmt;
use std::sync::Arc;

/// Which TLS a listener speaks, where that is less than could be.
pub struct Spoken {
    builder: ConfigBuilder<ServerConfig, WantsVerifier>,
    id: TlsId,
    told: String,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

/// A cipher suite.
#[derive(Clone, Copy)]
pub(crate) struct Suite(SupportedCipherSuite);

/// The groups in which keys are agreed on with a backend, where these are not all that there are.
#[derive(Clone)]
pub struct Groups {
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    told: String,
}

/// A group in which keys are agreed on.
#[derive(Clone, Copy)]
pub(crate) struct KxGroup(&'static dyn SupportedKxGroup);

impl Version {
    pub(crate) fn named(text: &str) -> Option<Version> {
        match text {
            "1.2" => Some(Version::Tls12),
            "1.3" => Some(Version::Tls13),
            _ => None,
        }
    }
}

impl Suite {
    /// By the name that IANA gives it, or rustls, which says `TLS13_` for those of TLS 1.3.
    pub(crate) fn named(text: &str) -> Option<Suite> {
        let is_it = |suite: &&SupportedCipherSuite| {
            let name = suite.suite().as_str().unwrap_or_default();
            name == text || name.replacen("TLS13_", "TLS_", 1) == text
        };
        ALL_CIPHER_SUITES.iter().find(is_it).copied().map(Suite)
    }
}

impl KxGroup {
    /// By the name that kgateway and agentgateway give it. Of theirs, `X25519_MLKEM768` is not here: `ring` has no such group.
    pub(crate) fn named(text: &str) -> Option<KxGroup> {
        match text {
            "X25519" => Some(KxGroup(kx_group::X25519)),
            "P-256" => Some(KxGroup(kx_group::SECP256R1)),
            "P-384" => Some(KxGroup(kx_group::SECP384R1)),
            _ => None,
        }
    }

    /// What speaks TLS here, in these groups alone and in their order; in all that are usual where there is none.
    fn provider(groups: &[KxGroup]) -> CryptoProvider {
        let mut provider = default_provider();
        if !groups.is_empty() {
            provider.kx_groups = groups.iter().map(|group| group.0).collect();
        }
        provider
    }

    /// `secp256r1, X25519`: their names, as IANA has them.
    fn names(groups: &[KxGroup]) -> String {
        groups.iter().map(|group| format!("{:?}", group.0.name())).collect::<Vec<_>>().join(", ")
    }
}

impl Groups {
    /// These alone, in their order.
    pub(crate) fn new(groups: &[KxGroup]) -> Result<Groups, &'static str> {
        let builder = ClientConfig::builder_with_provider(Arc::new(KxGroup::provider(groups)));
        let builder = builder.with_safe_default_protocol_versions();
        let builder = builder.map_err(|_| "no cipher suite goes with these groups")?;
        Ok(Groups { builder, told: KxGroup::names(groups) })
    }

    /// What a client's configuration begins with.
    pub fn builder(&self) -> &ConfigBuilder<ClientConfig, WantsVerifier> {
        &self.builder
    }
}

/// `secp256r1, X25519`
impl fmt::Display for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

impl Spoken {
    /// Versions from `min` to `max`; suites and groups that are named, or all where none is. The error says what does not
    /// fit together.
    pub(crate) fn new(
        (min, max): (Version, Version),
        suites: &[Suite],
        groups: &[KxGroup],
    ) -> Result<Spoken, &'static str> {
        let mut provider = KxGroup::provider(groups);
        // As in kgateway, suites of TLS 1.2 alone say nothing of TLS 1.3; and the other way round.
        for is_tls13 in [false, true] {
            let of_version = |suite: &SupportedCipherSuite| suite.tls13().is_some() == is_tls13;
            if suites.iter().any(|suite| of_version(&suite.0)) {
                let is_named = |suite: &SupportedCipherSuite| suites.iter().any(|named| named.0 == *suite);
                provider.cipher_suites.retain(|suite| !of_version(suite) || is_named(suite));
            }
        }
        let all: [(Version, &SupportedProtocolVersion); 2] =
            [(Version::Tls13, &TLS13), (Version::Tls12, &TLS12)];
        let versions: Vec<_> = all
            .iter()
            .filter(|(version, _)| (min..=max).contains(version))
            .map(|(_, version)| *version)
            .collect();
        let told = told(&versions, &provider, !suites.is_empty(), groups);
        let mut id = digest::Context::new(&digest::SHA256);
        id.update(told.as_bytes());
        let builder = ServerConfig::builder_with_provider(Arc::new(provider));
        let builder = builder.with_protocol_versions(&versions);
        let builder = builder.map_err(|_| "no cipher suite is left for the versions that are spoken")?;
        Ok(Spoken { builder, id: finish(id), told })
    }

    /// What a server's configuration begins with.
    pub fn builder(&self) -> &ConfigBuilder<ServerConfig, WantsVerifier> {
        &self.builder
    }

    /// Differs where something else is spoken.
    pub fn id(&self) -> &TlsId {
        &self.id
    }
}

fn told(
    versions: &[&SupportedProtocolVersion],
    provider: &CryptoProvider,
    has_suites: bool,
    groups: &[KxGroup],
) -> String {
    let numbers: Vec<&str> = versions.iter().map(|one| if **one == TLS13 { "1.3" } else { "1.2" }).collect();
    let mut text = format!("TLS {}", numbers.join(", "));
    if has_suites {
        let is_left = |suite: &&SupportedCipherSuite| versions.contains(&suite.version());
        let left = provider.cipher_suites.iter().filter(is_left);
        let names = left.filter_map(|suite| suite.suite().as_str());
        text += &format!(" by {}", names.collect::<Vec<_>>().join(", "));
    }
    if !groups.is_empty() {
        text += &format!(" over {}", KxGroup::names(groups));
    }
    text
}

/// `TLS 1.3 over X25519`
impl fmt::Display for Spoken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_spoken_and_nothing_else() {
        let suites =
            |names: &[&str]| -> Vec<Suite> { names.iter().filter_map(|name| Suite::named(name)).collect() };
        let (old, new) = ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384");
        let both = (Version::Tls12, Version::Tls13);
        let of = |versions, names: &[&str]| {
            Spoken::new(versions, &suites(names), &[]).map(|spoken| spoken.to_string())
        };
        let of_13 = "TLS13_AES_256_GCM_SHA384, TLS13_AES_128_GCM_SHA256, TLS13_CHACHA20_POLY1305_SHA256";
        assert_eq!(of(both, &[]), Ok("TLS 1.3, 1.2".to_owned()));
        assert_eq!(of(both, &[old]), Ok(format!("TLS 1.3, 1.2 by {of_13}, {old}")));
        assert_eq!(of(both, &[old, new]), Ok(format!("TLS 1.3, 1.2 by TLS13_AES_256_GCM_SHA384, {old}")));
        assert_eq!(of((Version::Tls13, Version::Tls13), &[]), Ok("TLS 1.3".to_owned()));
        let groups =
            [KxGroup::named("P-256"), KxGroup::named("X25519")].map(|group| group.expect("it is known"));
        let spoken = Spoken::new(both, &[], &groups).expect("they fit");
        assert_eq!(spoken.to_string(), "TLS 1.3, 1.2 over secp256r1, X25519");
        assert!(
            Suite::named("TLS_RSA_WITH_AES_128_CBC_SHA").is_none()
                && KxGroup::named("X25519_MLKEM768").is_none()
        );
    }
}
