use super::KGATEWAY;
use super::cors;
use super::httproute::{Referent, header_name, referent};
use super::meta::{Reference, name};
use crate::base::ascii;
use crate::config::diagnostic::{Located, Reason};
use crate::config::reader::{Cursor, Fields};
use crate::config::values;
use crate::route::cors::Cors;
use crate::route::filters::HeaderEdits;

/// A filter of an HTTPRoute.
pub(crate) enum Filter {
    RequestHeaders(HeaderEdits),
    ResponseHeaders(HeaderEdits),
    Rewrite {
        hostname: Option<String>,
        path: Option<PathModifier>,
    },
    Redirect(Redirect),
    Cors(Cors),
    Mirror(Mirror),
    /// An `ExtensionRef` to a DirectResponse of the route's namespace.
    Direct(Reference),
}

/// Where copies of requests go, and of how many: `numerator` of `out_of`.
pub(crate) struct Mirror {
    pub(crate) backend: Referent,
    pub(crate) numerator: u32,
    pub(crate) out_of: u32,
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
    Mirror,
    Cors,
    Extension,
    /// Known to Gateway API, not to us.
    Foreign,
}

/// Every type of filter, with the field that holds it.
const KINDS: [(&str, &str, Kind); 8] = [
    ("RequestHeaderModifier", "requestHeaderModifier", Kind::RequestHeaders),
    ("ResponseHeaderModifier", "responseHeaderModifier", Kind::ResponseHeaders),
    ("URLRewrite", "urlRewrite", Kind::Rewrite),
    ("RequestRedirect", "requestRedirect", Kind::Redirect),
    ("RequestMirror", "requestMirror", Kind::Mirror),
    ("CORS", "cors", Kind::Cors),
    ("ExternalAuth", "externalAuth", Kind::Foreign),
    ("ExtensionRef", "extensionRef", Kind::Extension),
];

/// The filters of a rule, or of one of its backends.
pub(crate) fn read(field: &Cursor<'_>) -> Vec<Located<Filter>> {
    let filters = field.list(FILTERS_MAX, |item| filter(&item));
    refuse_repeated(field, &filters);
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
            Kind::Mirror => body.fields(mirror).map(Filter::Mirror),
            Kind::Cors => body.fields(cors::read).map(Filter::Cors),
            Kind::Extension => body.fields(extension).map(Filter::Direct),
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
        let help = "remove it; who may call is said by policies of the route";
        field.fault_with_help(format!("is {}, which is not supported yet", row.0), help);
    }
    Some(row)
}

/// A filter of each type may be given once, but for mirrors (Gateway API, core and extended filters), and an answer of
/// our own leaves nothing to rewrite and no other answer.
fn refuse_repeated(field: &Cursor<'_>, filters: &[Located<Filter>]) {
    for (index, filter) in filters.iter().enumerate() {
        let earlier = || filters.iter().take(index);
        let same = |other: &Located<Filter>| {
            std::mem::discriminant(&other.value) == std::mem::discriminant(&filter.value)
        };
        if !matches!(filter.value, Filter::Mirror(_)) && earlier().any(same) {
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
    if let (Some(direct), Some(_)) =
        (is(|f| matches!(f, Filter::Direct(_))), is(|f| matches!(f, Filter::Redirect(_))))
    {
        field.faults().fault(direct.at, "RequestRedirect and a DirectResponse exclude each other");
    }
}

pub(super) fn header_edits(fields: &mut Fields<'_>) -> Option<HeaderEdits> {
    let set = fields.list("set", EDITS_MAX, |item| item.fields(header));
    let add = fields.list("add", EDITS_MAX, |item| item.fields(header));
    let remove = fields.list("remove", EDITS_MAX, |item| editable(&item));
    refuse_two_actions(&set, &add, &remove, fields);
    Some(HeaderEdits { set, add, remove })
}

/// "Only one action for a given header name is permitted". Of a name that comes twice in one list the first counts.
fn refuse_two_actions(
    set: &[(String, String)],
    add: &[(String, String)],
    remove: &[String],
    fields: &Fields<'_>,
) {
    let is_in = |list: &[(String, String)], name: &str| list.iter().any(|(known, _)| known == name);
    let added = add.iter().map(|(name, _)| name).filter(|name| is_in(set, name));
    let removed = remove.iter().filter(|name| is_in(set, name) || is_in(add, name));
    if let Some(name) = added.chain(removed).next() {
        let message = format!("the header {name:?} is edited in two ways");
        let help = "keep one of set, add and remove for it (Gateway API, HTTPHeaderFilter)";
        fields.faults().fault_with_help(fields.at(), message, help);
    }
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

fn mirror(fields: &mut Fields<'_>) -> Option<Mirror> {
    let backend = fields.need("backendRef").and_then(|field| field.fields(referent));
    let percent =
        fields.get("percent").map(|field| field.integer(0..=100).map(|percent| (percent.value, 100)));
    let fraction = fields.get("fraction").map(|field| field.fields(fraction));
    if let (Some(field), Some(_)) = (fields.get("fraction"), &percent) {
        field.fault_with_help("stands beside percent", "keep one of them (Gateway API)");
    }
    let (numerator, out_of) = match percent.or(fraction) {
        Some(share) => share?,
        None => (1, 1),
    };
    let bounded = |number| u32::try_from(number).ok();
    Some(Mirror { backend: backend?, numerator: bounded(numerator)?, out_of: bounded(out_of)? })
}

/// Gateway API's `Fraction`: 0 to 1.
fn fraction(fields: &mut Fields<'_>) -> Option<(u64, u64)> {
    const HUNDRED: u64 = 100;
    let numerator = fields.need("numerator").and_then(|field| field.integer(0..=i32::MAX as u64));
    let denominator = fields.get("denominator").map(|field| field.integer(1..=i32::MAX as u64));
    let numerator = numerator?;
    let denominator = match denominator {
        Some(denominator) => denominator?.value,
        None => HUNDRED,
    };
    if numerator.value > denominator {
        let message = format!("\"numerator\" is above the denominator, which is {denominator}");
        fields.faults().fault(numerator.at, message);
    }
    Some((numerator.value, denominator))
}

/// What a filter of our own kind refers to: only a DirectResponse is one. A reference to another kind must not be passed
/// over (Gateway API, HTTPRouteFilter.type).
fn extension(fields: &mut Fields<'_>) -> Option<Reference> {
    let group =
        fields.need("group").and_then(|field| field.one_of_because(&[(KGATEWAY, ())], Reason::InvalidKind));
    let kinds = [("DirectResponse", ())];
    let kind = fields.need("kind").and_then(|field| field.one_of_because(&kinds, Reason::InvalidKind));
    let target = fields.need("name").and_then(|field| field.parsed(name));
    group.and(kind)?;
    Some(Reference { name: target?, namespace: None })
}
