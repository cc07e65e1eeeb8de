//! Which TLS a listener speaks: `tls.options` of the listener as kgateway has them, and `frontend.tls` of an AgentgatewayPolicy
//! on it or its Gateway. Other options are refused by their names.

use crate::config::diagnostic::{Faults, Located, Place, listing, nearest, quoted};
use crate::config::reader::{Cursor, Fields};
use crate::config::spoken::{KxGroup, Suite, Version};
use std::sync::Arc;

/// Which TLS is spoken, where that is less than could be.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) min: Option<Located<Version>>,
    pub(crate) max: Option<Located<Version>>,
    /// Of the version that each is of; a version of which none is named has all of its own.
    pub(crate) suites: Vec<Suite>,
    /// In the order of preference; none are all.
    pub(crate) groups: Vec<KxGroup>,
    /// Where the options stand.
    pub(crate) at: Option<Place>,
}

const MIN: &str = "kgateway.dev/min-tls-version";
const MAX: &str = "kgateway.dev/max-tls-version";
const SUITES: &str = "kgateway.dev/cipher-suites";
const CURVES: &str = "kgateway.dev/ecdh-curves";
const ALPN: &str = "kgateway.dev/alpn-protocols";
const KNOWN: [&str; 5] = [MIN, MAX, SUITES, CURVES, ALPN];

pub(crate) fn read(field: &Cursor<'_>) -> Options {
    let mut options = Options { at: Some(field.at()), ..Options::default() };
    for (option, value) in field.entries() {
        match option.value.as_str() {
            MIN => options.min = version(&value),
            MAX => options.max = version(&value),
            SUITES => options.suites = each(&value, Suite::named, UNSPOKEN_SUITE),
            CURVES => options.groups = each(&value, KxGroup::named, UNSPOKEN_GROUP),
            ALPN => {
                let spoken = |name: &str| (name == "http/1.1").then_some(());
                each(&value, spoken, "is not spoken; write http/1.1, or remove the option");
            }
            other => {
                let help = match nearest(other, KNOWN) {
                    Some(meant) => format!("did you mean {meant:?}?"),
                    None => "remove it; TLS 1.2 and 1.3 are spoken, by the defaults of rustls".to_owned(),
                };
                let message = format!("the option {other:?} is not supported");
                field.faults().fault_with_help(option.at, message, help);
            }
        }
    }
    refuse_none(field.faults(), &options, MIN);
    options
}

/// `frontend.tls` of an AgentgatewayPolicy.
pub(crate) fn frontend(fields: &mut Fields<'_>) -> Option<Arc<Options>> {
    let names =
        ["minProtocolVersion", "maxProtocolVersion", "cipherSuites", "keyExchangeGroups", "alpnProtocols"];
    if !names.iter().chain(&["handshakeTimeout"]).any(|name| fields.has(name)) {
        fields.faults().fault_with_help(fields.at(), "says nothing", format!("write {}", listing(names)));
    }
    fields.unsupported(&["handshakeTimeout"], "write timeouts: {handshake: 5s} into Settings");
    let min = fields.get("minProtocolVersion").and_then(|field| version(&field));
    let max = fields.get("maxProtocolVersion").and_then(|field| version(&field));
    let suites = named(fields, "cipherSuites", Suite::named, UNSPOKEN_SUITE);
    let groups = groups(fields);
    named(
        fields,
        "alpnProtocols",
        |name| (name == "http/1.1").then_some(()),
        "is not spoken; write [http/1.1]",
    );
    let options = Options { min, max, suites, groups, at: Some(fields.at()) };
    refuse_none(fields.faults(), &options, "minProtocolVersion");
    Some(Arc::new(options))
}

/// `keyExchangeGroups` of agentgateway, for listeners and backends.
pub(crate) fn groups(fields: &mut Fields<'_>) -> Vec<KxGroup> {
    named(fields, "keyExchangeGroups", KxGroup::named, UNSPOKEN_GROUP)
}

const UNSPOKEN_SUITE: &str = "is not spoken, or not known";
const UNSPOKEN_GROUP: &str = "is not spoken; write X25519, P-256 or P-384";
/// The most names of a list.
const NAMES_MAX: usize = 16;

/// Names in a list.
fn named<T>(
    fields: &mut Fields<'_>,
    field: &'static str,
    known: impl Fn(&str) -> Option<T>,
    why: &str,
) -> Vec<T> {
    let Some(list) = fields.get(field) else { return Vec::new() };
    if list.is_empty_list() {
        list.fault_with_help("names nothing", "remove it: then all that is known here is spoken");
    }
    list.list(NAMES_MAX, |item| {
        let name = item.text()?;
        let found = known(&name.value);
        if found.is_none() {
            item.fault(format!("has {}, which {why}", quoted(&name.value)));
        }
        found
    })
}

fn refuse_none(faults: &Faults, options: &Options, least: &str) {
    if let (Some(min), Some(max)) = (&options.min, &options.max)
        && min.value > max.value
    {
        let help = format!("{least:?} is newer");
        faults.fault_with_help(max.at, "no version is left to be spoken", help);
    }
}

fn version(value: &Cursor<'_>) -> Option<Located<Version>> {
    let text = value.text()?;
    let found = Version::named(&text.value);
    if found.is_none() {
        value.fault_with_help("is no version of TLS that is spoken here", "write \"1.2\" or \"1.3\"");
    }
    Some(Located { value: found?, at: text.at })
}

/// Items between commas.
fn each<T>(value: &Cursor<'_>, known: impl Fn(&str) -> Option<T>, why: &str) -> Vec<T> {
    let Some(text) = value.text() else { return Vec::new() };
    let mut found = Vec::new();
    for name in text.value.split(',').map(str::trim) {
        match known(name) {
            Some(item) => found.push(item),
            None => value.fault(format!("has {}, which {why}", quoted(name))),
        }
    }
    found
}
