use super::World;
use super::environment::substitute;
use crate::base::Secret;
use crate::config::diagnostic::{Faults, Located, Place};
use crate::config::resources::settings::{EXPOSED, EXPOSED_HELP, admin_address, origin, socket_address};
use crate::config::resources::settings::{HostOverride, ListenerOverride, Origin};
use crate::config::settings::{Roots, Settings};
use crate::config::values;
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::Arc;

/// What the command line says in place of the Settings resource; each entry goes before the resource's.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Host and `http://host:port` or `https://host:port`: as `hostOverrides`. The target takes the host's
    /// place altogether: in the connection, in `Host`, and as the name that its certificate must have.
    pub hosts: Vec<(String, String)>,
    /// Port of a Gateway and the address to open in its place: as `listenerOverrides`.
    pub listeners: Vec<(u16, String)>,
    /// PEM files: as `tls.roots`. Empty leaves the resource's.
    pub roots: Vec<String>,
    /// As `admin.address`: an address, or `none`.
    pub admin: Option<String>,
}

/// Settings and overrides in force.
pub(super) struct Effective {
    pub(super) settings: Settings,
    pub(super) hosts: Replacements<String, Origin>,
    pub(super) listeners: Replacements<u16, SocketAddr>,
}

/// What takes the place of what, and whether anybody asked.
pub(super) struct Replacements<K, V> {
    list: Vec<(Located<K>, V, Cell<bool>)>,
}

impl<K: PartialEq, V: Clone> Replacements<K, V> {
    /// What takes the place of `key`; the first entry counts.
    pub(super) fn get(&self, key: &K) -> Option<V> {
        let (_, value, is_used) = self.list.iter().find(|(known, ..)| known.value == *key)?;
        is_used.set(true);
        Some(value.clone())
    }

    /// The keys that nobody asked for.
    pub(super) fn unused(&self) -> impl Iterator<Item = &Located<K>> {
        self.list.iter().filter(|(_, _, is_used)| !is_used.get()).map(|(key, ..)| key)
    }
}

/// Joins the command line with the Settings resource, of which there may be one.
pub(super) fn join(world: &World<'_>, given: &Overrides) -> Effective {
    if let [first, others @ ..] = world.all.settings.as_slice() {
        for other in others {
            let first = world.faults.name(first.meta.name.at);
            let help = format!("the first stands at {first}; put everything into one");
            world.faults.fault_with_help(other.meta.name.at, "there is a second Settings resource", help);
        }
    }
    let spec = world.all.settings.first().and_then(|settings| settings.spec.as_ref());
    let mut settings = spec.map(|spec| spec.settings.clone()).unwrap_or_default();
    let mut hosts = given_hosts(world.faults, given);
    let mut listeners = given_listeners(world.faults, given);
    if let Some(spec) = spec {
        let host = |entry: &HostOverride| (entry.host.clone(), entry.to.clone(), Cell::new(false));
        let listener = |entry: &ListenerOverride| (entry.port, entry.address, Cell::new(false));
        hosts.extend(spec.hosts.iter().map(host));
        listeners.extend(spec.listeners.iter().map(listener));
    }
    settings.admin.token =
        spec.and_then(|spec| spec.admin_token.as_ref()).and_then(|text| admin_token(world, text));
    if !given.roots.is_empty() {
        settings.tls.roots = Roots::Files(given.roots.clone());
    }
    match given.admin.as_deref().map(admin_address) {
        Some(Ok(address)) => {
            settings.admin.address = address;
            if settings.admin.is_exposed() && settings.admin.token.is_none() {
                refuse(world.faults, "the admin address", format!("{EXPOSED}: {EXPOSED_HELP}"));
            }
        }
        Some(Err(why)) => refuse(world.faults, "the admin address", why),
        None => {}
    }
    Effective { settings, hosts: Replacements { list: hosts }, listeners: Replacements { list: listeners } }
}

/// The token with the environment filled in; `None` after a fault.
fn admin_token(world: &World<'_>, text: &Located<String>) -> Option<Arc<Secret>> {
    let mut filled = substitute(world, Located { value: text.value.as_str(), at: text.at })?;
    let is_sound = (16..=256).contains(&filled.len()) && filled.bytes().all(|b| b.is_ascii_graphic());
    if !is_sound {
        let message = "\"token\" must have 16 to 256 visible ASCII characters, without spaces";
        let help = "make one, for example with: openssl rand -hex 32";
        world.faults.fault_with_help(text.at, message, help);
    }
    is_sound.then(|| Arc::new(Secret::new(std::mem::take(&mut *filled))))
}

type List<K, V> = Vec<(Located<K>, V, Cell<bool>)>;

fn given_hosts(faults: &Faults, given: &Overrides) -> List<String, Origin> {
    let mut list = Vec::new();
    for (host, to) in &given.hosts {
        match (values::host(host), origin(to)) {
            (Ok(host), Ok(to)) => {
                list.push((Located { value: host, at: Place::COMMAND_LINE }, to, Cell::new(false)));
            }
            (Err(why), _) => refuse(faults, "the host of a host override", why),
            (_, Err(why)) => refuse(faults, "the target of a host override", why),
        }
    }
    list
}

fn given_listeners(faults: &Faults, given: &Overrides) -> List<u16, SocketAddr> {
    let mut list = Vec::new();
    for (port, address) in &given.listeners {
        match socket_address(address) {
            Ok(address) => {
                list.push((Located { value: *port, at: Place::COMMAND_LINE }, address, Cell::new(false)));
            }
            Err(why) => refuse(faults, "the address of a listener override", why),
        }
    }
    list
}

fn refuse(faults: &Faults, what: &str, why: String) {
    faults.fault(Place::COMMAND_LINE, format!("{what} {why}"));
}
