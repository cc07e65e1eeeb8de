//! `basicAuthentication` of agentgateway: who is known by a name and a password.

use super::secret_ref;
use crate::access::Mode;
use crate::config::diagnostic::{Located, Place};
use crate::config::reader::Fields;

/// `basicAuthentication`.
pub(crate) struct Basic {
    pub(crate) at: Place,
    pub(crate) mode: Mode,
    /// What callers are asked for.
    pub(crate) realm: String,
    pub(crate) source: UserSource,
}

/// Where the users are.
pub(crate) enum UserSource {
    /// Here, each a line of an htpasswd file.
    Lines(Vec<Located<String>>),
    /// A Secret of the policy's namespace, of which one key holds an htpasswd file.
    Secret(Located<String>),
}

/// The keys of a Secret that hold an htpasswd file: agentgateway's, and what everybody else calls it.
pub(crate) const FILES: [&str; 2] = [".htaccess", ".htpasswd"];

/// The most users in a policy (agentgateway); a file may have more.
const USERS_MAX: usize = 256;
/// The longest realm, in bytes, and the one that agentgateway asks for by itself.
const REALM_MAX: usize = 256;
const REALM: &str = "Restricted";

pub(super) fn read(fields: &mut Fields<'_>) -> Option<Basic> {
    let at = fields.at();
    let mode = fields.get("mode").map(|field| field.one_of(&super::MODES));
    let realm = fields.get("realm").map(|field| field.parsed(realm));
    let users = fields.get("users").map(|field| {
        if field.is_empty_list() {
            field.fault_with_help("names no user", "write lines that htpasswd -nB NAME prints");
        }
        UserSource::Lines(field.list(USERS_MAX, |item| item.text()))
    });
    let secret = fields.get("secretRef").map(|field| secret_ref(&field).map(UserSource::Secret));
    let source = match (users, secret) {
        (Some(users), None) => Some(users),
        (None, Some(secret)) => secret,
        _ => {
            let help =
                "write users: [...] with lines that htpasswd -nB NAME prints, or secretRef: {name: ...}";
            let message = "the policy must say who its users are, once";
            fields.faults().fault_with_help(at, message, help);
            None
        }
    };
    let mode = mode.map_or(Some(Mode::Strict), |mode| mode.map(|mode| mode.value));
    let realm = realm.map_or(Some(REALM.to_owned()), |realm| realm.map(|realm| realm.value));
    Some(Basic { at, mode: mode?, realm: realm?, source: source? })
}

/// It stands in a header of the answer.
fn realm(text: &str) -> Result<String, String> {
    match text.len() {
        1..=REALM_MAX if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) => Ok(text.into()),
        _ => Err(format!("must have 1 to {REALM_MAX} characters of visible ASCII")),
    }
}
