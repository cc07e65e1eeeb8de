//! `tls.options` of a listener: those of kgateway that say which TLS is spoken. Others are refused by their names.

use crate::config::diagnostic::{Located, Place, nearest};
use crate::config::reader::Cursor;
use crate::config::spoken::{KxGroup, Suite, Version};

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

impl Options {
    /// Whether they leave suites and groups as they are.
    pub(crate) fn is_usual(&self) -> bool {
        self.suites.is_empty() && self.groups.is_empty()
    }
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
            SUITES => options.suites = each(&value, Suite::named, "is not spoken, or not known"),
            CURVES => {
                options.groups = each(&value, KxGroup::named, "is not spoken; write X25519, P-256 or P-384")
            }
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
    if let (Some(min), Some(max)) = (&options.min, &options.max)
        && min.value > max.value
    {
        let help = format!("{MIN:?} is newer");
        field.faults().fault_with_help(max.at, "no version is left to be spoken", help);
    }
    options
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
            None => value.fault(format!("has {}, which {why}", crate::config::diagnostic::quoted(name))),
        }
    }
    found
}
