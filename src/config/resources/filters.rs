use super::httproute::header_name;
use crate::base::ascii;
use crate::config::diagnostic::Located;
use crate::config::reader::{Cursor, Fields};
use crate::config::values;
use crate::route::filters::HeaderEdits;

/// A filter of an HTTPRoute.
pub(crate) enum Filter {
    RequestHeaders(HeaderEdits),
    ResponseHeaders(HeaderEdits),
    Rewrite { hostname: Option<String>, path: Option<PathModifier> },
    Redirect(Redirect),
}

/// A new path: the whole, or in place of the prefix that matched.
pub(crate) enum PathModifier {
    Full(String),
    Prefix(Located<String>),
}

/// An answer that sends the client elsewhere.
pub(crate) struct Redirect {
    pub(crate) scheme: Option<String>,
    pub(crate) hostname: Option<String>,
    pub(crate) port: Option<u16>,
    pub(crate) path: Option<PathModifier>,
    pub(crate) status: u16,
}

// Bounds of Gateway API.
const FILTERS_MAX: usize = 16;
const EDITS_MAX: usize = 16;

/// Headers that frame a message or name its host: the gateway writes them, and an edit would break framing.
const OWN_HEADERS: [&str; 9] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    RequestHeaders,
    ResponseHeaders,
    Rewrite,
    Redirect,
    /// Known to Gateway API, not to us.
    Foreign,
}

/// Every type of filter, with the field that holds it.
const KINDS: [(&str, &str, Kind); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier", Kind::RequestHeaders),
    ("ResponseHeaderModifier", "responseHeaderModifier", Kind::ResponseHeaders),
    ("URLRewrite", "urlRewrite", Kind::Rewrite),
    ("RequestRedirect", "requestRedirect", Kind::Redirect),
    ("RequestMirror", "requestMirror", Kind::Foreign),
    ("CORS", "cors", Kind::Foreign),
    ("ExternalAuth", "externalAuth", Kind::Foreign),
    ("ExtensionRef", "extensionRef", Kind::Foreign),
];

/// The filters of a rule.
pub(crate) fn read(field: &Cursor<'_>) -> Vec<Located<Filter>> {
    let filters = field.list(FILTERS_MAX, |item| filter(&item));
    refuse_repeated(field, &filters);
    filters
}

/// The filters of one backend: those that edit headers.
pub(crate) fn read_for_backend(field: &Cursor<'_>) -> Vec<Located<Filter>> {
    let filters = read(field);
    for filter in &filters {
        if matches!(filter.value, Filter::Rewrite { .. } | Filter::Redirect(_)) {
            let help = "move it to the filters of the rule";
            field.faults().fault_with_help(
                filter.at,
                "this filter is not supported on a single backend",
                help,
            );
        }
    }
    filters
}

fn filter(item: &Cursor<'_>) -> Option<Located<Filter>> {
    let value = item.fields(|fields| {
        let kind = fields.need("type").and_then(|field| kind(&field));
        let Some((type_name, field_name, kind)) = kind else {
            fields.give_up();
            return None;
        };
        if kind == Kind::Foreign {
            fields.give_up();
            return None;
        }
        for (other, name, _) in KINDS.iter().filter(|(_, name, _)| *name != field_name) {
            if let Some(field) = fields.get(name) {
                field.fault_with_help(
                    format!("does not belong to a filter of type {type_name}"),
                    format!("remove it, or write type: {other}"),
                );
            }
        }
        let body = fields.need(field_name)?;
        match kind {
            Kind::RequestHeaders => body.fields(header_edits).map(Filter::RequestHeaders),
            Kind::ResponseHeaders => body.fields(header_edits).map(Filter::ResponseHeaders),
            Kind::Rewrite => body.fields(rewrite),
            Kind::Redirect => body.fields(redirect).map(Filter::Redirect),
            Kind::Foreign => None,
        }
    });
    value.map(|value| Located { value, at: item.at() })
}

/// The type as a row of [`KINDS`]; a foreign one is reported.
fn kind(field: &Cursor<'_>) -> Option<(&'static str, &'static str, Kind)> {
    let rows = KINDS.map(|row| (row.0, row));
    let row = field.one_of(&rows)?.value;
    if row.2 == Kind::Foreign {
        let help =
            "supported are RequestHeaderModifier, ResponseHeaderModifier, URLRewrite and RequestRedirect";
        field.fault_with_help(format!("is {}, which is not supported yet", row.0), help);
    }
    Some(row)
}

/// A filter of each type may be given once (Gateway API, core and extended filters), and a redirect
/// leaves nothing to rewrite.
fn refuse_repeated(field: &Cursor<'_>, filters: &[Located<Filter>]) {
    for (index, filter) in filters.iter().enumerate() {
        let earlier = || filters.iter().take(index);
        let same = |other: &Located<Filter>| {
            std::mem::discriminant(&other.value) == std::mem::discriminant(&filter.value)
        };
        if earlier().any(same) {
            let help = "put both into one filter";
            field.faults().fault_with_help(
                filter.at,
                "a filter of this type stands in the list already",
                help,
            );
        }
    }
    let is = |is: fn(&Filter) -> bool| filters.iter().find(|filter| is(&filter.value));
    if let (Some(_), Some(redirect)) =
        (is(|f| matches!(f, Filter::Rewrite { .. })), is(|f| matches!(f, Filter::Redirect(_))))
    {
        field.faults().fault(redirect.at, "RequestRedirect and URLRewrite exclude each other");
    }
}

fn header_edits(fields: &mut Fields<'_>) -> Option<HeaderEdits> {
    let set = fields.list("set", EDITS_MAX, |item| item.fields(header));
    let add = fields.list("add", EDITS_MAX, |item| item.fields(header));
    let remove = fields.list("remove", EDITS_MAX, |item| editable(&item));
    Some(HeaderEdits { set, add, remove })
}

fn header(fields: &mut Fields<'_>) -> Option<(String, String)> {
    let name = fields.need("name").and_then(|field| editable(&field));
    let value = fields.need("value").and_then(|field| field.parsed(header_value));
    Some((name?, value?.value))
}

/// The lower-case name of a header that may be edited.
fn editable(field: &Cursor<'_>) -> Option<String> {
    let name = field.parsed(header_name)?.value;
    if OWN_HEADERS.contains(&name.as_str()) {
        let help = match name.as_str() {
            "host" => "use the filter URLRewrite with hostname",
            _ => "remove it; the gateway writes this header itself",
        };
        field.fault_with_help(format!("must not be {name}"), help);
        return None;
    }
    Some(name)
}

fn header_value(text: &str) -> Result<String, String> {
    match text.bytes().all(ascii::is_value) {
        true => Ok(text.into()),
        false => Err("must not contain control characters or line ends".into()),
    }
}

fn rewrite(fields: &mut Fields<'_>) -> Option<Filter> {
    let hostname =
        fields.get("hostname").and_then(|field| field.parsed(|text| values::hostname(text, false)));
    let path = fields.get("path").and_then(|field| field.fields(path_modifier));
    Some(Filter::Rewrite { hostname: hostname.map(|hostname| hostname.value), path })
}

fn path_modifier(fields: &mut Fields<'_>) -> Option<PathModifier> {
    const TYPES: [(&str, bool); 2] = [("ReplaceFullPath", true), ("ReplacePrefixMatch", false)];
    let is_full = fields.need("type").and_then(|field| field.one_of(&TYPES));
    let Some(is_full) = is_full else {
        fields.pass_over(&["replaceFullPath", "replacePrefixMatch"]);
        return None;
    };
    let (wanted, other) = match is_full.value {
        true => ("replaceFullPath", "replacePrefixMatch"),
        false => ("replacePrefixMatch", "replaceFullPath"),
    };
    if let Some(field) = fields.get(other) {
        field.fault_with_help("does not belong to this type", format!("remove it; this type has {wanted}"));
    }
    let empty_or_path = |text: &str| if text.is_empty() { Ok(String::new()) } else { values::path(text) };
    let path = fields.need(wanted)?.parsed(empty_or_path)?;
    Some(match is_full.value {
        true if path.value.is_empty() => PathModifier::Full("/".into()),
        true => PathModifier::Full(path.value),
        false => PathModifier::Prefix(path),
    })
}

fn redirect(fields: &mut Fields<'_>) -> Option<Redirect> {
    const STATUS: [(u64, u16); 5] = [(301, 301), (302, 302), (303, 303), (307, 307), (308, 308)];
    let scheme = fields.get("scheme").and_then(|field| field.one_of(&[("http", "http"), ("https", "https")]));
    let hostname =
        fields.get("hostname").and_then(|field| field.parsed(|text| values::hostname(text, false)));
    let port = fields.get("port").and_then(|field| field.port());
    let path = fields.get("path").and_then(|field| field.fields(path_modifier));
    let status = fields.get("statusCode").and_then(|field| {
        let given = field.integer(0..=u64::MAX)?.value;
        let known = STATUS.iter().find(|(number, _)| *number == given);
        if known.is_none() {
            field.fault("must be one of 301, 302, 303, 307, 308");
        }
        known.map(|(_, status)| *status)
    });
    Some(Redirect {
        scheme: scheme.map(|scheme| scheme.value.into()),
        hostname: hostname.map(|hostname| hostname.value),
        port: port.map(|port| port.value),
        path,
        status: status.unwrap_or(302),
    })
}
