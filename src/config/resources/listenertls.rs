use super::authorities::{self, Validation};
use super::meta::{Reference, name};
use super::tlsoptions::{self, Options};
use crate::config::diagnostic::Reason;
use crate::config::reader::{Cursor, Fields};

/// `tls` of an HTTPS listener; its mode is Terminate, the only one there is for a gateway that reads requests.
pub(crate) struct ListenerTls {
    /// Secrets, the preferred one first.
    pub(crate) certificates: Vec<Reference>,
    /// What is asked of the certificates of clients, where the listener says it itself, as it could before Gateway API 1.4.
    pub(crate) validation: Option<Validation>,
    pub(crate) options: Options,
    /// Some reference could not be read.
    pub(crate) is_partial: bool,
}

/// The most certificates of a listener (Gateway API).
const CERTIFICATES_MAX: usize = 64;

pub(crate) fn read(fields: &mut Fields<'_>) -> Option<ListenerTls> {
    if let Some(field) = fields.get("mode")
        && field.one_of(&[("Terminate", true), ("Passthrough", false)]).is_some_and(|mode| !mode.value)
    {
        let help = "write Terminate: what is encrypted end to end cannot be routed or accounted for here";
        field.fault_with_help("is Passthrough, which is not supported", help);
    }
    let validation = fields.get("frontendValidation").map(|field| authorities::validation(&field));
    let options = fields.get("options").map(|field| tlsoptions::read(&field)).unwrap_or_default();
    let field = fields.get("certificateRefs");
    let Some(field) = field.filter(|field| !field.is_empty_list()) else {
        let help = "write certificateRefs: [{name: NAME}], a Secret of type kubernetes.io/tls";
        fields.faults().fault_with_help(fields.at(), "no certificate is named", help);
        return None;
    };
    let mut written = 0;
    let certificates = field.list(CERTIFICATES_MAX, |item| {
        written += 1;
        reference(&item)
    });
    let is_partial = written > certificates.len() || certificates.is_empty();
    let validation = match validation {
        Some(validation) => Some(validation?),
        None => None,
    };
    Some(ListenerTls { certificates, validation, options, is_partial })
}

fn reference(item: &Cursor<'_>) -> Option<Reference> {
    item.fields(to_secret)
}

/// A reference to a Secret with a certificate.
pub(super) fn to_secret(fields: &mut Fields<'_>) -> Option<Reference> {
    if let Some(group) = fields.get("group")
        && group.text().is_some_and(|text| !text.value.is_empty())
    {
        let at = group.at().because(Reason::InvalidCertificate);
        let message = "\"group\" is not that of Secrets";
        fields.faults().fault_with_help(at, message, "write group: \"\", or remove it");
    }
    if let Some(kind) = fields.get("kind") {
        kind.one_of_because(&[("Secret", ())], Reason::InvalidCertificate);
    }
    let wanted = fields.need("name").and_then(|field| field.parsed(name));
    let namespace = fields.get("namespace").map(|field| field.parsed(name));
    let namespace = match namespace {
        Some(namespace) => Some(namespace?.value),
        None => None,
    };
    Some(Reference { name: wanted?, namespace })
}
