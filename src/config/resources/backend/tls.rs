//! How TLS is spoken to a backend: `tls` of agentgateway's policies, and BackendTLSPolicy of Gateway API, which come to
//! the same.

use crate::config::diagnostic::{Located, Place, Reason};
use crate::config::reader::{Cursor, Fields};
use crate::config::resources::meta::{Reference, name};
use crate::config::resources::{authorities, tlsoptions};
use crate::config::spoken::KxGroup;
use crate::config::values;

/// What is said of the TLS to a backend.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) at: Place,
    /// A Secret in the resource's namespace: what is shown to a backend that asks for a certificate.
    pub(crate) certificate: Option<Located<String>>,
    /// ConfigMaps in the resource's namespace: whose certificates are believed; none are those of Settings.
    pub(crate) authorities: Vec<Reference>,
    /// The name that is asked for, in place of the host's.
    pub(crate) name: Option<Located<String>>,
    pub(crate) wanted: Wanted,
    /// The groups in which keys may be agreed on; none are all.
    pub(crate) groups: Vec<KxGroup>,
}

/// What a backend's certificate has to be for.
#[derive(Clone)]
pub(crate) enum Wanted {
    /// The name that is asked for.
    Name,
    /// Any of these.
    OneOf(Vec<Subject>),
    /// Whatever it is for (`insecureSkipVerify: Hostname`).
    Anything(Place),
    /// Nothing: it is not verified at all (`insecureSkipVerify: All`).
    Nothing(Place),
}

/// A name in a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A DNS name or an IP address.
    Host(String),
    Uri(String),
}

/// The most names (agentgateway; Gateway API has 5).
const NAMES_MAX: usize = 16;
const POLICY_NAMES_MAX: usize = 5;
/// agentgateway takes one Secret and one ConfigMap.
const REFERENCES_MAX: usize = 1;

/// `tls` of agentgateway's policies of backends.
pub(crate) fn agentgateway(fields: &mut Fields<'_>) -> Option<Tls> {
    let at = fields.at();
    fields.unsupported(&["certificateSource"], "remove it");
    let certificate = local(fields, "mtlsCertificateRef");
    let authority = local(fields, "caCertificateRefs");
    let name = fields.get("sni").map(|field| field.parsed(values::host));
    let names = fields.get("verifySubjectAltNames");
    let skip = fields.get("insecureSkipVerify");
    let groups = tlsoptions::groups(fields);
    alpn(fields);
    if let (Some(skip), Some(_)) = (&skip, &names) {
        skip.fault_with_help("stands beside verifySubjectAltNames", "keep one of the two");
    }
    let wanted = match (names, skip) {
        (Some(field), _) => {
            let host = |item: Cursor<'_>| Some(Subject::Host(item.parsed(values::host)?.value));
            let names = field.list(NAMES_MAX, host);
            if field.is_empty_list() {
                field.fault_with_help(
                    "names nobody",
                    "remove it: then the certificate has to be for the host",
                );
            }
            Some(Wanted::OneOf(names))
        }
        (None, Some(field)) => skipped(&field, authority.as_ref()),
        (None, None) => Some(Wanted::Name),
    };
    let name = match name {
        Some(name) => Some(name?),
        None => None,
    };
    let reference = |name| Reference { name, namespace: None };
    let authorities = authority.map(reference).into_iter().collect();
    Some(Tls { at, certificate, authorities, name, wanted: wanted?, groups })
}

fn skipped(field: &Cursor<'_>, authority: Option<&Located<String>>) -> Option<Wanted> {
    let chosen = field.one_of(&[("All", true), ("Hostname", false)])?;
    if let (true, Some(authority)) = (chosen.value, authority) {
        let message =
            "caCertificateRefs says whom to believe, and insecureSkipVerify: All that nothing is verified";
        field.faults().fault_with_help(authority.at, message, "keep one of the two");
    }
    Some(if chosen.value { Wanted::Nothing(chosen.at) } else { Wanted::Anything(chosen.at) })
}

/// One reference by its name alone.
fn local(fields: &mut Fields<'_>, field: &'static str) -> Option<Located<String>> {
    let list = fields.get(field)?;
    if list.is_empty_list() {
        list.fault_with_help("names nothing", "write {name: NAME}, or remove it");
    }
    let read = |fields: &mut Fields<'_>| fields.need("name").and_then(|field| field.parsed(name));
    list.list(REFERENCES_MAX, |item| item.fields(read)).pop()
}

/// HTTP/1.1 is spoken to backends and nothing else.
fn alpn(fields: &mut Fields<'_>) {
    let Some(field) = fields.get("alpnProtocols") else { return };
    let help = "write [http/1.1], or remove it; backends are spoken to in HTTP/1.1";
    let spoken = field.list(NAMES_MAX, |item| {
        let name = item.text()?;
        if name.value != "http/1.1" {
            item.fault_with_help("is not spoken to backends", help);
        }
        Some(())
    });
    if spoken.is_empty() {
        field.fault_with_help("names no protocol", help);
    }
}

/// `spec.validation` of a BackendTLSPolicy.
pub(crate) fn validation(fields: &mut Fields<'_>) -> Option<Tls> {
    let at = fields.at();
    let references = fields.get("caCertificateRefs").filter(|field| !field.is_empty_list());
    let known = fields.get("wellKnownCACertificates");
    let hostname =
        fields.need("hostname").and_then(|field| field.parsed(|text| values::hostname(text, false)));
    let names = fields.list("subjectAltNames", POLICY_NAMES_MAX, |item| item.fields(subject));
    match (&references, &known) {
        (Some(_), Some(known)) => {
            known.fault_with_help("stands beside caCertificateRefs", "keep one of the two");
        }
        (None, None) => {
            let message = "the validation says nothing of whom to believe";
            let help = "write caCertificateRefs, or wellKnownCACertificates: System";
            fields.faults().fault_with_help(at.because(Reason::NotFound), message, help);
        }
        _ => {}
    }
    if let Some(known) = &known {
        known.one_of(&[("System", ())]);
    }
    let authorities = references.map_or(Vec::new(), |field| authorities::objects(&field, false));
    let wanted = if names.is_empty() { Wanted::Name } else { Wanted::OneOf(names) };
    Some(Tls { at, certificate: None, authorities, name: Some(hostname?), wanted, groups: Vec::new() })
}

fn subject(fields: &mut Fields<'_>) -> Option<Subject> {
    let kind = fields.need("type").and_then(|field| field.one_of(&[("Hostname", false), ("URI", true)]));
    let hostname = fields.get("hostname");
    let uri = fields.get("uri");
    let (wanted, other) = match kind?.value {
        true => (("uri", uri), hostname),
        false => (("hostname", hostname), uri),
    };
    if let Some(other) = other {
        other.fault_with_help("does not belong to this type", "remove it");
    }
    let (name, Some(field)) = wanted else {
        let message = format!("the name lacks the field {:?}", wanted.0);
        fields.faults().fault(fields.at(), message);
        return None;
    };
    Some(match name {
        "uri" => Subject::Uri(field.word()?.value),
        _ => Subject::Host(field.parsed(|text| values::hostname(text, false))?.value),
    })
}
