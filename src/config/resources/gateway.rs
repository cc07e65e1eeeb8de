use super::GATEWAY_API;
use super::authorities::{self, Frontend, Shown};
use super::listenertls::{self, ListenerTls};
use super::meta::name;
use super::namespace::{Selector, selector};
use crate::config::diagnostic::{Extent, Located, Place, Reason};
use crate::config::reader::{Cursor, Fields};
use crate::config::values;

/// A Gateway of gateway.networking.k8s.io.
pub(crate) struct Gateway {
    pub(crate) listeners: Vec<Listener>,
    /// Some listener could not be read, so that its name and port are unknown.
    pub(crate) is_partial: bool,
    /// What is asked of the certificates of clients.
    pub(crate) frontend: Frontend,
    /// What is shown to backends.
    pub(crate) shown: Option<Shown>,
    /// Those of them that have a name after all.
    pub(crate) refused: Vec<Refused>,
}

/// A listener that could not be read, but for its name.
pub(crate) struct Refused {
    pub(crate) name: String,
    pub(crate) extent: Extent,
}

/// One listener of a Gateway: HTTP, or HTTPS.
pub(crate) struct Listener {
    pub(crate) name: Located<String>,
    pub(crate) port: Located<u16>,
    /// `None` admits every host.
    pub(crate) hostname: Option<Located<String>>,
    pub(crate) admits: Admits,
    pub(crate) kinds: Kinds,
    /// Of HTTPS.
    pub(crate) tls: Option<ListenerTls>,
    pub(crate) at: Place,
    pub(crate) extent: Extent,
}

/// Kinds of routes that a listener is to admit.
#[derive(Clone, Copy)]
pub(crate) struct Kinds {
    /// HTTPRoute is one.
    pub(crate) http: bool,
    /// There are others, which are not served.
    pub(crate) others: bool,
}

/// Whose routes may attach (`allowedRoutes.namespaces.from`).
#[derive(Clone, Debug)]
pub(crate) enum Admits {
    All,
    /// Those of the Gateway's own namespace.
    Same,
    /// Those of namespaces with these labels.
    Selector(Selector),
    None,
}

/// The most listeners of a Gateway (Gateway API).
const LISTENERS_MAX: usize = 64;

pub(crate) fn read(spec: &Cursor<'_>) -> Option<Gateway> {
    spec.fields(|fields| {
        fields.need("gatewayClassName").inspect(|field| {
            field.word();
        });
        let mut refused = Vec::new();
        let listeners = fields.need("listeners").map(|field| {
            let mut written = 0;
            let listeners = field.list(LISTENERS_MAX, |item| {
                written += 1;
                item.fields(|fields| listener(fields, &mut refused))
            });
            if field.is_empty_list() {
                field.fault("must name at least one listener");
            }
            let is_partial = written > listeners.len() || listeners.is_empty();
            (listeners, is_partial)
        });
        fields.pass_over(&["infrastructure"]); // how a cluster provisions; there is nothing to provision
        fields.unsupported(
            &["addresses"],
            "remove it; the address of a port is set by listenerOverrides of Settings",
        );
        fields.unsupported(&["backendTLS", "allowedListeners", "defaultScope"], "remove it");
        let tls = fields.get("tls").and_then(|field| field.fields(authorities::gateway_tls));
        let (frontend, shown) = tls.unwrap_or_default();
        let (listeners, is_partial) = listeners?;
        refuse_twins(&listeners, fields);
        Some(Gateway { listeners, is_partial, frontend, shown, refused })
    })
}

fn listener(fields: &mut Fields<'_>, refused: &mut Vec<Refused>) -> Option<Listener> {
    let (at, extent) = (fields.at(), fields.extent());
    let name = fields.need("name").and_then(|field| field.parsed(name));
    let port = fields.need("port").and_then(|field| field.port());
    let protocol = fields.need("protocol").and_then(|field| protocol(&field));
    let hostname = fields.get("hostname").map(|field| field.parsed(|text| values::hostname(text, true)));
    let every = (Admits::Same, Kinds { http: true, others: false });
    let allowed = fields.get("allowedRoutes").map_or(Some(every), |field| field.fields(allowed_routes));
    let tls = match protocol {
        Some(Protocol::Http) => {
            fields.unsupported(&["tls"], "an HTTP listener has no TLS; remove it, or write protocol: HTTPS");
            Some(None)
        }
        Some(Protocol::Https) => tls(fields).map(Some),
        None => {
            fields.pass_over(&["tls"]);
            None
        }
    };
    let hostname = match hostname {
        Some(hostname) => hostname.map(Some),
        None => Some(None),
    };
    let name = name?;
    match (port, hostname, allowed, tls) {
        (Some(port), Some(hostname), Some((admits, kinds)), Some(tls)) => {
            Some(Listener { name, port, hostname, admits, kinds, tls, at, extent })
        }
        _ => {
            refused.push(Refused { name: name.value, extent });
            None
        }
    }
}

#[derive(Clone, Copy)]
enum Protocol {
    Http,
    Https,
}

fn tls(fields: &mut Fields<'_>) -> Option<ListenerTls> {
    match fields.get("tls") {
        Some(field) => field.fields(listenertls::read),
        None => {
            let help = "write tls: {certificateRefs: [{name: NAME}]}, a Secret of type kubernetes.io/tls";
            fields.faults().fault_with_help(fields.at(), "an HTTPS listener lacks the field \"tls\"", help);
            None
        }
    }
}

/// `None` when it is neither, which was reported.
fn protocol(field: &Cursor<'_>) -> Option<Protocol> {
    let known = ["HTTP", "HTTPS", "TLS", "TCP", "UDP"].map(|name| (name, name));
    match field.one_of_because(&known, Reason::UnsupportedProtocol)?.value {
        "HTTP" => Some(Protocol::Http),
        "HTTPS" => Some(Protocol::Https),
        other => {
            let at = field.at().because(Reason::UnsupportedProtocol);
            let message = format!("\"protocol\" is {other}, which is not supported yet");
            field.faults().fault_with_help(at, message, "write HTTP or HTTPS");
            None
        }
    }
}

fn allowed_routes(fields: &mut Fields<'_>) -> Option<(Admits, Kinds)> {
    let kinds = fields.list("kinds", KINDS_MAX, |item| item.fields(route_kind));
    let namespaces = fields.get("namespaces");
    let admits = namespaces.map_or(Some(Admits::Same), |field| field.fields(allowed_namespaces))?;
    // Of the kinds that a listener may admit, only HTTPRoute is served here.
    let http = kinds.is_empty() || kinds.contains(&HTTP_ROUTE);
    let others = kinds.iter().any(|kind| *kind != HTTP_ROUTE);
    Some((if http { admits } else { Admits::None }, Kinds { http, others }))
}

fn allowed_namespaces(fields: &mut Fields<'_>) -> Option<Admits> {
    #[derive(Clone, Copy)]
    enum From {
        All,
        Same,
        Selector,
        None,
    }
    const FROM: [(&str, From); 4] =
        [("All", From::All), ("Same", From::Same), ("Selector", From::Selector), ("None", From::None)];
    let from = match fields.get("from") {
        Some(field) => field.one_of(&FROM)?.value,
        None => From::Same,
    };
    // "This field is ignored for other values of From" than Selector.
    let chosen = fields.get("selector").map(|field| selector(&field));
    Some(match from {
        From::All => Admits::All,
        From::Same => Admits::Same,
        From::None => Admits::None,
        From::Selector => {
            if chosen.is_none() {
                let help = "write selector: {matchLabels: {NAME: VALUE}}";
                fields.faults().fault_with_help(fields.at(), "from: Selector lacks a selector", help);
            }
            Admits::Selector(chosen??)
        }
    })
}

/// The most kinds that a listener lists (Gateway API).
const KINDS_MAX: usize = 8;
const HTTP_ROUTE: &str = "HTTPRoute";

/// A kind of route that a listener of HTTP may admit.
fn route_kind(fields: &mut Fields<'_>) -> Option<&'static str> {
    if let Some(group) = fields.get("group") {
        group.one_of_because(&[(GATEWAY_API, ())], Reason::InvalidRouteKind);
    }
    let kinds = [(HTTP_ROUTE, HTTP_ROUTE), ("GRPCRoute", "GRPCRoute")];
    fields.need("kind")?.one_of_because(&kinds, Reason::InvalidRouteKind).map(|kind| kind.value)
}

/// Names of listeners must differ, since routes and policies refer to them.
fn refuse_twins(listeners: &[Listener], fields: &Fields<'_>) {
    for (index, listener) in listeners.iter().enumerate() {
        if listeners.iter().take(index).any(|other| other.name.value == listener.name.value) {
            let message = format!("two listeners are named {:?}", listener.name.value);
            fields.faults().fault_with_help(listener.name.at, message, "give each listener its own name");
        }
    }
}
