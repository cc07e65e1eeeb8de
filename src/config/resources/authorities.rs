//! References to certificates of authorities, and what a Gateway asks of the certificates of clients.

use super::listenertls;
use super::meta::{Reference, name};
use crate::config::diagnostic::{Extent, Located, Place, Reason};
use crate::config::reader::{Cursor, Fields};

/// The key of a ConfigMap that holds certificates of authorities in PEM (Gateway API).
pub(crate) const CA_KEY: &str = "ca.crt";

/// Whose certificates of clients are believed (Gateway API, FrontendTLSValidation).
pub(crate) struct Validation {
    /// ConfigMaps; all certificates in them are believed.
    pub(crate) authorities: Vec<Reference>,
    /// `mode: AllowInsecureFallback`, and where that stands: who has no certificate, or another's, is let in too.
    pub(crate) fallback: Option<Place>,
    pub(crate) extent: Extent,
}

/// `tls.frontend` of a Gateway (GEP-91).
#[derive(Default)]
pub(crate) struct Frontend {
    /// For every HTTPS listener whose port is not in `per_port`.
    pub(crate) default: Option<Validation>,
    /// A port without a validation is one whose clients are not asked.
    pub(crate) per_port: Vec<(Located<u16>, Option<Validation>)>,
}

impl Frontend {
    /// What is asked of clients of a port.
    pub(crate) fn of_port(&self, port: u16) -> Option<&Validation> {
        match self.per_port.iter().find(|(own, _)| own.value == port) {
            Some((_, validation)) => validation.as_ref(),
            None => self.default.as_ref(),
        }
    }
}

/// The most references of one validation, and the most ports that have their own (Gateway API).
const REFERENCES_MAX: usize = 8;
const PORTS_MAX: usize = 64;

/// What a Gateway shows to backends that ask for a certificate (`tls.backend.clientCertificateRef`, GEP-3155).
pub(crate) struct Shown {
    /// A Secret; `None` after a fault.
    pub(crate) reference: Option<Reference>,
    pub(crate) extent: Extent,
}

/// `tls` of a Gateway: what is asked of clients, and what is shown to backends.
pub(crate) fn gateway_tls(fields: &mut Fields<'_>) -> Option<(Frontend, Option<Shown>)> {
    let shown = fields.get("backend").and_then(|field| {
        field.fields(|fields| fields.get("clientCertificateRef").and_then(|field| field.fields(shown)))
    });
    let frontend = match fields.get("frontend") {
        Some(field) => field.fields(frontend),
        None => Some(Frontend::default()),
    };
    Some((frontend.unwrap_or_default(), shown))
}

fn shown(fields: &mut Fields<'_>) -> Option<Shown> {
    let extent = fields.extent();
    Some(Shown { reference: listenertls::to_secret(fields), extent })
}

fn frontend(fields: &mut Fields<'_>) -> Option<Frontend> {
    let default = fields.need("default").and_then(|field| field.fields(one));
    let per_port = fields.list("perPort", PORTS_MAX, |item| {
        item.fields(|fields| {
            let port = fields.need("port").and_then(|field| field.port());
            let tls = fields.need("tls").and_then(|field| field.fields(one));
            Some((port?, tls?))
        })
    });
    for (index, (port, _)) in per_port.iter().enumerate() {
        if per_port.iter().take(index).any(|(other, _)| other.value == port.value) {
            let message = format!("port {} stands here twice", port.value);
            fields.faults().fault_with_help(port.at, message, "keep one of them");
        }
    }
    Some(Frontend { default: default?, per_port })
}

/// A TLSConfig: what is asked, if anything; `None` after a fault.
fn one(fields: &mut Fields<'_>) -> Option<Option<Validation>> {
    match fields.get("validation") {
        Some(field) => validation(&field).map(Some),
        None => Some(None),
    }
}

/// A FrontendTLSValidation. After a fault it is what could be read of it, so that the conditions of listeners can tell.
pub(crate) fn validation(field: &Cursor<'_>) -> Option<Validation> {
    const MODES: [(&str, bool); 2] = [("AllowValidOnly", false), ("AllowInsecureFallback", true)];
    field.fields(|fields| {
        let extent = fields.extent();
        let mode = fields.get("mode").and_then(|field| field.one_of(&MODES));
        let references = fields.need("caCertificateRefs");
        let authorities = references.map_or(Vec::new(), |field| objects(&field, true));
        let fallback = mode.filter(|mode| mode.value).map(|mode| mode.at);
        Some(Validation { authorities, fallback, extent })
    })
}

/// References to ConfigMaps by group, kind and name, in other namespaces too where they may be. None of them is a fault.
pub(crate) fn objects(field: &Cursor<'_>, elsewhere: bool) -> Vec<Reference> {
    if field.is_empty_list() {
        let help = "write {group: \"\", kind: ConfigMap, name: NAME}, a ConfigMap with the key \"ca.crt\"";
        field.fault_with_help("names no authority", help);
    }
    field.list(REFERENCES_MAX, |item| item.fields(|fields| object(fields, elsewhere)))
}

fn object(fields: &mut Fields<'_>, elsewhere: bool) -> Option<Reference> {
    if let Some(group) = fields.need("group")
        && group.text().is_some_and(|text| !text.value.is_empty())
    {
        let at = group.at().because(Reason::InvalidKind);
        fields.faults().fault_with_help(at, "\"group\" is not that of ConfigMaps", "write group: \"\"");
    }
    let kind = fields.need("kind");
    let kind = kind.and_then(|kind| kind.one_of_because(&[("ConfigMap", ())], Reason::InvalidKind));
    let wanted = fields.need("name").and_then(|field| field.parsed(name));
    let namespace = match elsewhere {
        true => fields.get("namespace").map(|field| field.parsed(name)),
        false => None,
    };
    let namespace = match namespace {
        Some(namespace) => Some(namespace?.value),
        None => None,
    };
    kind?;
    Some(Reference { name: wanted?, namespace })
}
