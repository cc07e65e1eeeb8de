use super::certificate::Certificate;
use super::spoken::Groups;
use super::trust::{TlsId, Trust, finish};
use ring::digest;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// How TLS is spoken to a backend, where that is not as to all others. Two that are equal verify the same and show the
/// same, so that connections and sessions of one may serve the other; of others they never do.
#[derive(Clone)]
pub struct BackendTls {
    /// Whose certificates are believed; `None` is whom Settings say.
    pub trust: Option<Trust>,
    /// What is shown to a backend that asks for a certificate.
    pub certificate: Option<Arc<Certificate>>,
    /// What its certificate has to be for.
    pub names: Names,
    /// The groups in which keys may be agreed on; `None` are all.
    pub groups: Option<Groups>,
    id: TlsId,
}

/// What a backend's certificate has to be for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Names {
    /// The name that is asked for.
    Asked,
    /// One of these.
    OneOf(Vec<Name>),
    /// Whatever it is for, as long as somebody who is believed vouches for it.
    Any,
    /// It is not verified at all.
    Unverified,
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// A DNS name in lower case, or an IP address.
    Host(String),
    /// A URI, such as a SPIFFE ID, compared as it is.
    Uri(String),
}

impl BackendTls {
    pub(crate) fn new(
        trust: Option<Trust>,
        certificate: Option<Arc<Certificate>>,
        names: Names,
        groups: Option<Groups>,
    ) -> BackendTls {
        let mut id = digest::Context::new(&digest::SHA256);
        // Each part begins with what it is and how long: no two can be taken for one another.
        let mut part = |kind: u8, bytes: &[u8]| {
            id.update(&[kind]);
            id.update(&(bytes.len() as u64).to_be_bytes());
            id.update(bytes);
        };
        if let Some(trust) = &trust {
            part(1, trust.id());
        }
        for der in certificate.iter().flat_map(|certificate| &certificate.certified().cert) {
            part(2, der);
        }
        match &names {
            Names::Asked => part(3, &[]),
            Names::Any => part(4, &[]),
            Names::Unverified => part(5, &[]),
            Names::OneOf(names) => names.iter().for_each(|name| match name {
                Name::Host(name) => part(6, name.as_bytes()),
                Name::Uri(uri) => part(7, uri.as_bytes()),
            }),
        }
        groups.iter().for_each(|groups| part(8, groups.to_string().as_bytes()));
        let id = finish(id);
        BackendTls { trust, certificate, names, groups, id }
    }

    /// Whether it verifies by whom Settings say.
    pub fn needs_roots(&self) -> bool {
        self.trust.is_none() && self.names != Names::Unverified
    }
}

impl PartialEq for BackendTls {
    fn eq(&self, other: &BackendTls) -> bool {
        self.id == other.id
    }
}

impl Eq for BackendTls {}

impl Hash for BackendTls {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}

/// `verified by ConfigMap llm/ca for a.test, shown Secret llm/crt`
impl fmt::Display for BackendTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.names, &self.trust) {
            (Names::Unverified, _) => f.write_str("not verified")?,
            (_, Some(trust)) => write!(f, "verified by {}", trust.name)?,
            (_, None) => f.write_str("verified")?,
        }
        match &self.names {
            Names::Any => f.write_str(" for any name")?,
            Names::OneOf(names) => {
                let names: Vec<&str> = names.iter().map(Name::as_str).collect();
                write!(f, " for {}", names.join(", "))?;
            }
            Names::Asked | Names::Unverified => {}
        }
        if let Some(certificate) = &self.certificate {
            write!(f, ", shown Secret {}", certificate.name)?;
        }
        self.groups.iter().try_for_each(|groups| write!(f, ", over {groups}"))
    }
}

impl Name {
    fn as_str(&self) -> &str {
        match self {
            Name::Host(text) | Name::Uri(text) => text,
        }
    }
}

impl fmt::Debug for BackendTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BackendTls({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::certificate;
    use crate::config::spoken::KxGroup;
    use crate::config::trust::Authority;

    #[test]
    fn what_differs_in_anything_is_not_equal() {
        let made = |name: &str| rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let (one, other) = (made("a.test"), made("b.test"));
        let trust = |pem: String| {
            let chain = certificate::chain(pem.as_bytes()).expect("a chain");
            Trust::in_all(&[Arc::new(Authority { name: "x".into(), chain })]).expect("a root")
        };
        let shown = certificate::chain(one.cert.pem().as_bytes()).expect("a chain");
        let key = certificate::key(one.signing_key.serialize_pem().as_bytes()).expect("a key");
        let shown = Arc::new(Certificate::new("llm/crt".into(), shown, key).expect("they fit"));
        let host = |name: &str| Name::Host(name.into());
        let all: Vec<BackendTls> = [
            (None, None, Names::Asked),
            (None, None, Names::Any),
            (None, None, Names::Unverified),
            (None, None, Names::OneOf(vec![host("a")])),
            (None, None, Names::OneOf(vec![Name::Uri("a".into())])),
            (None, None, Names::OneOf(vec![host("ab")])),
            (None, None, Names::OneOf(vec![host("a"), host("b")])),
            (Some(trust(one.cert.pem())), None, Names::Asked),
            (Some(trust(other.cert.pem())), None, Names::Asked),
            (Some(trust(one.cert.pem() + &other.cert.pem())), None, Names::Asked),
            (None, Some(shown.clone()), Names::Asked),
            (Some(trust(one.cert.pem())), Some(shown.clone()), Names::Asked),
        ]
        .map(|(trust, shown, names)| BackendTls::new(trust, shown, names, None))
        .into_iter()
        .chain([&["X25519"][..], &["X25519", "P-256"], &["P-256", "X25519"]].map(|names| {
            let groups: Vec<KxGroup> = names.iter().filter_map(|name| KxGroup::named(name)).collect();
            BackendTls::new(None, None, Names::Asked, Groups::new(&groups).ok())
        }))
        .collect();
        for (at, one) in all.iter().enumerate() {
            for (place, other) in all.iter().enumerate() {
                assert_eq!(one == other, at == place, "{one} and {other}");
            }
            let (trust, certificate) = (one.trust.clone(), one.certificate.clone());
            assert_eq!(*one, BackendTls::new(trust, certificate, one.names.clone(), one.groups.clone()));
        }
        assert_eq!(format!("{:?}", all[11]), "BackendTls(verified by x, shown Secret llm/crt)");
        assert_eq!(format!("{:?}", all[13]), "BackendTls(verified, over X25519, secp256r1)");
    }
}
