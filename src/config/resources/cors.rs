//! `HTTPCORSFilter`, the same in the filter of a route and in policies.

use super::httproute::{METHODS, header_name};
use crate::base::ascii;
use crate::config::reader::{Cursor, Fields};
use crate::config::values;
use crate::route::cors::{AllowedOrigin, Cors, Names};

// Bounds of Gateway API.
const ORIGINS_MAX: usize = 64;
const METHODS_MAX: usize = 9;
const HEADERS_MAX: usize = 64;

/// Seconds for which browsers remember a preflight, unless the filter says otherwise (Gateway API).
const MAX_AGE: u64 = 5;

pub(crate) fn read(fields: &mut Fields<'_>) -> Option<Cors> {
    let origins = fields.list("allowOrigins", ORIGINS_MAX, |item| item.parsed(origin));
    let origins: Vec<AllowedOrigin> = origins.into_iter().map(|origin| origin.value).collect();
    if origins.contains(&AllowedOrigin::Any) && origins.len() > 1 {
        alone(fields, "allowOrigins");
    }
    if !fields.has("allowOrigins") {
        let help = "write allowOrigins: [\"https://app.example.com\"]";
        fields.faults().warn_with_help(fields.at(), "cors allows no origin", help);
    }
    let credentials = fields.get("allowCredentials").and_then(|field| field.boolean());
    let methods = names(fields, "allowMethods", METHODS_MAX, |item| {
        let mut methods = vec![("*", "*")];
        methods.extend(METHODS);
        item.one_of(&methods).map(|method| method.value.to_owned())
    });
    let headers = names(fields, "allowHeaders", HEADERS_MAX, header);
    let expose = names(fields, "exposeHeaders", HEADERS_MAX, header);
    let max_age = fields.get("maxAge").and_then(|field| field.integer(1..=i32::MAX as u64));
    let max_age = max_age.map_or(MAX_AGE, |seconds| seconds.value);
    Some(Cors {
        origins,
        credentials: credentials.unwrap_or(false),
        methods,
        headers,
        expose,
        max_age: u32::try_from(max_age).unwrap_or(u32::MAX),
    })
}

/// A list of names, which `*` is alone in.
fn names(
    fields: &mut Fields<'_>,
    name: &'static str,
    max: usize,
    read: impl Fn(&Cursor<'_>) -> Option<String>,
) -> Names {
    let list = fields.list(name, max, |item| read(&item));
    if !list.iter().any(|name| name == "*") {
        return Names::These(list.join(", "));
    }
    if list.len() > 1 {
        alone(fields, name);
    }
    Names::Any
}

fn alone(fields: &mut Fields<'_>, name: &'static str) {
    if let Some(field) = fields.get(name) {
        field.fault_with_help("has \"*\" beside others", "keep either \"*\" or the others");
    }
}

/// A header's name, in lower case, or `*`, which is a name by its characters.
fn header(item: &Cursor<'_>) -> Option<String> {
    item.parsed(header_name).map(|name| name.value)
}

/// `*`, or `scheme://host(:port)`, where the host may be `*` or begin with `*.`.
fn origin(text: &str) -> Result<AllowedOrigin, String> {
    if text == "*" {
        return Ok(AllowedOrigin::Any);
    }
    let wrong = || "must be \"*\" or an origin such as https://app.example.com or http://*.example.com:8080";
    let (scheme, own_port, rest) = match (text.strip_prefix("http://"), text.strip_prefix("https://")) {
        (Some(rest), _) => ("http", 80, rest),
        (_, Some(rest)) => ("https", 443, rest),
        _ => return Err(wrong().into()),
    };
    let name_end = rest.rfind(']').map_or(0, |bracket| bracket + 1);
    let colon = rest.get(name_end..).and_then(|rest| rest.find(':'));
    let (host, port) = match colon.and_then(|colon| rest.split_at_checked(name_end + colon)) {
        Some((host, port)) => {
            let digits = port.strip_prefix(':').unwrap_or_default();
            (host, ascii::decimal(digits.as_bytes()).and_then(|port| u16::try_from(port).ok()))
        }
        None => (rest, Some(own_port)),
    };
    let host = host.to_ascii_lowercase();
    let bare = host.strip_prefix("*.").unwrap_or(&host);
    let bare = bare.strip_prefix('[').and_then(|bare| bare.strip_suffix(']')).unwrap_or(bare);
    match port {
        Some(port) if port > 0 && (host == "*" || values::host(bare).is_ok()) => {
            Ok(AllowedOrigin::Like { scheme: scheme.into(), host, port })
        }
        _ => Err(wrong().into()),
    }
}
