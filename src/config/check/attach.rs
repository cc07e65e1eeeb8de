use super::World;
use super::authorities::Authorities;
use super::backends::{Backends, index_of_last};
use super::certificates::Certificates;
use super::overrides::Effective;
use super::policies::{InForce, Policies, Way};
use super::shown::{self, Shown};
use super::{refs, rules};
use crate::config::certificate::Certificate;
use crate::config::diagnostic::{Place, Reason, listing, nearest, quoted};
use crate::config::resources::authorities::Frontend;
use crate::config::resources::gateway::{self, Admits, Gateway};
use crate::config::resources::httproute::{HttpRoute, Parent};
use crate::config::resources::{Meta, Resource};
use crate::config::snapshot::{Backend, BackendChoice, HttpListener, HttpsListener, Listener, Rule};
use crate::limit::LIMITS_MAX;
use crate::route::intersect;
use crate::route::matches::RouteMatch;
use crate::route::table::{Candidate, Table};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

/// Listeners with their tables, and the rules that these point at.
pub(super) struct Attached<'a> {
    pub(super) listeners: Vec<Listener>,
    pub(super) rules: Vec<Rule>,
    /// Every way from a listener to a rule.
    pub(super) ways: Vec<Way<'a>>,
    /// For each table of each listener, in that order, what it holds, for the report.
    pub(super) told: Vec<Vec<Told>>,
}

/// One way to a rule, for the report.
pub(super) struct Told {
    pub(super) hostname: Option<String>,
    pub(super) matches: RouteMatch,
    pub(super) target: u32,
}

/// A listener of some Gateway.
#[derive(Clone, Copy)]
struct Door<'a> {
    gateway: &'a Meta,
    listener: &'a gateway::Listener,
    frontend: &'a Frontend,
}

impl Door<'_> {
    /// `namespace/gateway/listener`
    fn name(&self) -> String {
        format!("{}/{}", self.gateway, self.listener.name.value)
    }
}

/// A socket in the making.
#[derive(Default)]
struct Port<'a> {
    doors: Vec<Door<'a>>,
    /// One for each door: the handshake chooses among those of HTTPS, the host of a request among the others.
    ways: Vec<Ways>,
}

/// A table in the making.
#[derive(Default)]
struct Ways {
    candidates: Vec<Candidate>,
    told: Vec<Told>,
}

/// A route's way in: a listener, and the hosts under which the route is reached through it.
struct Entrance<'a> {
    door: Door<'a>,
    hosts: Vec<Host>,
}

/// A host under which a route is reached; `None` is every one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Host {
    /// As the route has it. It is what decides between routes, "not the calculated Listener/Route hostname
    /// intersection": that the host is one of the listener's is seen to before its table is asked.
    of_route: Option<String>,
    /// Where it meets the listener's.
    met: Option<String>,
}

/// Attaches every route to its listeners and builds a table for each.
pub(super) fn compile<'a>(
    world: &World<'a>,
    backends: &mut Backends,
    policies: &Policies,
    secured: (&Certificates, &Authorities),
    effective: &Effective,
) -> Attached<'a> {
    let mut ports = ports(world);
    let certificates = shown::by_gateway(world, secured.0);
    // Rules, and what their Gateway shows to backends.
    let mut compiled: Vec<(Rule, Option<&Arc<Certificate>>)> = Vec::new();
    let mut ways = Vec::new();
    for route in &world.all.routes {
        let Some(spec) = &route.spec else { continue };
        let entrances = entrances(world, &route.meta, spec);
        for (number, rule) in spec.rules.iter().enumerate() {
            let name = rule.name.as_ref().map(|name| name.value.as_str());
            let models = refs::models(backends, &route.meta, rule);
            let compile = |in_force| {
                rules::compile(world, backends, &effective.settings, &route.meta, (number, rule), in_force)
            };
            if entrances.is_empty() {
                compile(InForce::default()); // for its faults
            }
            // Listeners under the same limits share one compiled rule, if they show the same to backends.
            let mut shared: Vec<(InForce, Option<&Arc<Certificate>>, u32)> = Vec::new();
            for Entrance { door, hosts } in &entrances {
                let listener = door.listener.name.value.as_str();
                let way =
                    Way { gateway: door.gateway, listener, route: &route.meta, rule: name, backend: None };
                let in_force = policies.on(world, &way, (&models, rule.at));
                ways.push(way);
                let shown = certificates.get(&door.gateway.name.at);
                let is_same = |other: &Option<&Arc<Certificate>>| match (other, shown) {
                    (Some(other), Some(shown)) => Arc::ptr_eq(other, shown),
                    (other, shown) => other.is_none() && shown.is_none(),
                };
                let known = shared.iter().find(|(known, other, _)| *known == in_force && is_same(other));
                let known = known.map(|(.., target)| *target);
                let target = known.unwrap_or_else(|| {
                    let rule = compile(in_force.clone());
                    refuse_too_many(world, backends, &route.meta, &rule);
                    compiled.push((rule, shown));
                    let target = index_of_last(compiled.len());
                    shared.push((in_force, shown, target));
                    target
                });
                if let Some(port) = ports.get_mut(&door.listener.port.value) {
                    port.ways_of(door).add(&route.meta, (number, &rule.matches), hosts, target);
                }
            }
        }
    }
    let mut shown = Shown::default();
    let rules = compiled.into_iter().map(|(mut rule, certificate)| {
        certificate.iter().for_each(|certificate| shown.to(backends, &mut rule, certificate));
        rule
    });
    let rules = rules.collect();
    Attached { ways, ..open(world, ports, rules, (secured, policies), effective) }
}

/// One reservation holds the limits of a rule and those of the Backend that is chosen.
fn refuse_too_many(world: &World<'_>, backends: &Backends, route: &Meta, rule: &Rule) {
    let with = |backend: &Backend| {
        let more = backend.limits.iter().filter(|limit| !rule.limits.contains(limit)).count();
        rule.limits.len() + more
    };
    let index = |choice: &BackendChoice| match choice {
        BackendChoice::Backend { index, .. } => backends.list.get(*index as usize),
        BackendChoice::Invalid => None,
    };
    let largest = rule.backends.iter().filter_map(|(_, choice)| index(choice)).max_by_key(|b| with(b));
    let count = largest.map_or(rule.limits.len(), with);
    if count > LIMITS_MAX {
        let (and, or) = match largest.filter(|_| count > rule.limits.len()) {
            Some(backend) => (format!(" and Backend {}", backend.name), ", its Backend"),
            None => (String::new(), ""),
        };
        let message = format!("{count} limits apply to one rule{and}; at most {LIMITS_MAX} may");
        let help = format!("take policies off this route{or}, its listener or its Gateway");
        world.faults.fault_with_help(route.name.at, message, help);
    }
}

impl Port<'_> {
    fn ways_of(&mut self, door: &Door<'_>) -> &mut Ways {
        let place = self.doors.iter().position(|known| std::ptr::eq(known.listener, door.listener));
        let place = place.unwrap_or_default();
        if self.ways.len() <= place {
            self.ways.resize_with(place + 1, Ways::default);
        }
        &mut self.ways[place]
    }
}

impl Ways {
    fn add(&mut self, route: &Meta, (number, matches): (usize, &[RouteMatch]), hosts: &[Host], target: u32) {
        for Host { of_route, met } in hosts {
            for matches in matches {
                self.candidates.push(Candidate {
                    hostname: of_route.clone(),
                    matches: matches.clone(),
                    created: route.created.clone(),
                    route: route.to_string(),
                    rule: u32::try_from(number).unwrap_or(u32::MAX),
                    target,
                });
                self.told.push(Told { hostname: met.clone(), matches: matches.clone(), target });
            }
        }
    }
}

/// Every listener by its port. Two listeners of one port must differ in their hostname.
fn ports<'a>(world: &World<'a>) -> BTreeMap<u16, Port<'a>> {
    let mut ports: BTreeMap<u16, Port<'a>> = BTreeMap::new();
    for gateway in &world.all.gateways {
        let all = gateway.spec.iter().flat_map(|spec| spec.listeners.iter().map(|one| (one, &spec.frontend)));
        for (listener, frontend) in all {
            let port = ports.entry(listener.port.value).or_default();
            if let Some(twin) = port.doors.iter().find(|door| hostname(door) == listener_host(listener)) {
                let host = listener_host(listener).map_or("every host".to_owned(), quoted);
                let message = format!("two listeners take port {} for {host}", listener.port.value);
                let at = listener.port.at.because(Reason::HostnameConflict).about(twin.listener.port.at);
                let twin = world.faults.name(twin.listener.at);
                let help = format!("the other is at {twin}; give one of them another port or hostname");
                world.faults.fault_with_help(at, message, help);
            }
            if let Some(other) = port.doors.iter().find(|door| is_https(door.listener) != is_https(listener))
            {
                let (own, theirs) = if is_https(listener) { ("HTTPS", "HTTP") } else { ("HTTP", "HTTPS") };
                let message =
                    format!("port {} is to speak {own} here and {theirs} elsewhere", listener.port.value);
                let at = listener.port.at.because(Reason::ProtocolConflict).about(other.listener.port.at);
                let other = world.faults.name(other.listener.at);
                let help = format!("the other listener is at {other}; give one of them another port");
                world.faults.fault_with_help(at, message, help);
            }
            port.doors.push(Door { gateway: &gateway.meta, listener, frontend });
        }
    }
    if world.all.gateways.is_empty() && world.all.unread.is_empty() {
        let help = "add a Gateway with a listener, such as protocol: HTTP, port: 8080";
        world.faults.fault_with_help(Place::WHOLE, "there is no Gateway, so no port would be opened", help);
    }
    ports
}

fn is_https(listener: &gateway::Listener) -> bool {
    listener.tls.is_some()
}

fn listener_host(listener: &gateway::Listener) -> Option<&str> {
    listener.hostname.as_ref().map(|hostname| hostname.value.as_str())
}

fn hostname<'a>(door: &Door<'a>) -> Option<&'a str> {
    listener_host(door.listener)
}

/// All ways in, none twice.
fn entrances<'a>(world: &World<'a>, meta: &Meta, route: &HttpRoute) -> Vec<Entrance<'a>> {
    let mut entrances: Vec<Entrance<'a>> = Vec::new();
    for parent in &route.parents {
        let namespace = parent.gateway.namespace.as_deref().unwrap_or(&meta.namespace);
        let wanted = (namespace, parent.gateway.name.value.as_str());
        let Some(gateway) = world.find(&world.all.gateways, "Gateway", wanted, parent.gateway.at()) else {
            continue;
        };
        let Some(spec) = &gateway.spec else { continue };
        for entrance in through(world, meta, route, parent, gateway, spec) {
            let is_known = |known: &Entrance<'_>| std::ptr::eq(known.door.listener, entrance.door.listener);
            if !entrances.iter().any(is_known) {
                entrances.push(entrance);
            }
        }
    }
    entrances
}

/// The ways in through one Gateway; none is a fault.
fn through<'a>(
    world: &World<'a>,
    meta: &Meta,
    route: &HttpRoute,
    parent: &Parent,
    gateway: &'a Resource<Gateway>,
    spec: &'a Gateway,
) -> Vec<Entrance<'a>> {
    let Some(named) = named(world, parent, gateway, spec) else { return Vec::new() };
    let is_same = gateway.meta.namespace == meta.namespace;
    let admits = |listener: &gateway::Listener| match &listener.admits {
        Admits::All => true,
        Admits::Same => is_same,
        Admits::Selector(selector) => selector.takes(&meta.namespace, labels(world, &meta.namespace)),
        Admits::None => false,
    };
    let open: Vec<_> = named.into_iter().filter(|listener| admits(listener)).collect();
    if open.is_empty() && !spec.is_partial {
        let message = format!("Gateway {} admits no routes of namespace {:?}", gateway.meta, meta.namespace);
        let help = "write allowedRoutes.namespaces.from: All on its listener";
        let at = parent.gateway.at().because(Reason::NotAllowedByListeners);
        world.faults.fault_with_help(at, message, help);
    }
    let door = |listener| Door { gateway: &gateway.meta, listener, frontend: &spec.frontend };
    let doors = open.iter().copied().map(door);
    let found: Vec<_> = doors.filter_map(|door| entrance(world, door, route)).collect();
    if let (true, Some(first)) =
        (found.is_empty() && !open.is_empty() && !spec.is_partial, route.hostnames.first())
    {
        let names = open.iter().filter_map(|listener| listener_host(listener));
        let message = format!("no hostname of the route is one of Gateway {}", gateway.meta);
        let at = first.at.because(Reason::NoMatchingListenerHostname).about(parent.gateway.at());
        world.faults.fault_with_help(at, message, format!("its listeners have: {}", listing(names)));
    }
    found
}

/// The labels of a namespace; none when it is in no file.
fn labels<'a>(world: &World<'a>, namespace: &str) -> &'a [(String, String)] {
    let mut namespaces = world.all.namespaces.iter();
    let found = namespaces.find(|found| found.meta.name.value == namespace);
    found.map_or(&[], |found| &found.meta.labels)
}

/// The listeners that a parentRef means; `None` after a fault.
fn named<'a>(
    world: &World<'_>,
    parent: &Parent,
    gateway: &Resource<Gateway>,
    spec: &'a Gateway,
) -> Option<Vec<&'a gateway::Listener>> {
    let mut listeners: Vec<_> = spec.listeners.iter().collect();
    if let Some(section) = &parent.section {
        listeners.retain(|listener| listener.name.value == section.value);
        if listeners.is_empty() && !spec.is_partial {
            let names = || spec.listeners.iter().map(|listener| listener.name.value.as_str());
            let message =
                format!("Gateway {} has no listener named {}", gateway.meta, quoted(&section.value));
            let help = match nearest(&section.value, names()) {
                Some(meant) => format!("did you mean {meant:?}?"),
                None => format!("its listeners are named: {}", listing(names())),
            };
            let at = section.at.because(Reason::NoMatchingParent).about(parent.gateway.at());
            world.faults.fault_with_help(at, message, help);
            return None;
        }
    }
    if let Some(port) = parent.port {
        listeners.retain(|listener| listener.port.value == port.value);
        if listeners.is_empty() && !spec.is_partial {
            let ports: Vec<String> =
                spec.listeners.iter().map(|listener| listener.port.value.to_string()).collect();
            let message = format!("Gateway {} has no such listener on port {}", gateway.meta, port.value);
            let help = format!("its ports are: {}", listing(ports.iter().map(String::as_str)));
            let at = port.at.because(Reason::NoMatchingParent).about(parent.gateway.at());
            world.faults.fault_with_help(at, message, help);
            return None;
        }
    }
    Some(listeners)
}

/// The hosts under which the route is reached through a listener; `None` when there are none.
fn entrance<'a>(world: &World<'a>, door: Door<'a>, route: &HttpRoute) -> Option<Entrance<'a>> {
    let own = hostname(&door);
    let mut hosts: Vec<Host> = match route.hostnames.as_slice() {
        [] => vec![Host { of_route: None, met: own.map(str::to_owned) }],
        given => {
            let met =
                |host: &str| Some(Host { met: Some(intersect(own, host)?), of_route: Some(host.into()) });
            given.iter().filter_map(|host| met(&host.value)).collect()
        }
    };
    if hosts.is_empty() {
        return None;
    }
    hosts.sort();
    hosts.dedup();
    hosts.retain(|host| is_owner(world, &door, host.met.as_deref()));
    Some(Entrance { door, hosts })
}

/// Whether no other listener of the port has a hostname that covers `host` more closely: requests for a
/// host belong to the listener that names it best, and to no other (Gateway API, Listener.hostname).
fn is_owner(world: &World<'_>, door: &Door<'_>, host: Option<&str>) -> bool {
    let Some(host) = host else { return true };
    let own = hostname(door);
    let is_closer = |other: &str| intersect(own, other).as_deref() == Some(other) && own != Some(other);
    let covers = |other: &str| intersect(Some(other), host).as_deref() == Some(host);
    let specs = world.all.gateways.iter().filter_map(|gateway| gateway.spec.as_ref());
    let rivals =
        specs.flat_map(|spec| &spec.listeners).filter(|other| other.port.value == door.listener.port.value);
    !rivals.filter_map(listener_host).any(|other| is_closer(other) && covers(other))
}

/// Builds tables and addresses. A listener without routes is opened all the same, and said.
fn open(
    world: &World<'_>,
    ports: BTreeMap<u16, Port<'_>>,
    rules: Vec<Rule>,
    (secured, policies): ((&Certificates, &Authorities), &Policies),
    effective: &Effective,
) -> Attached<'static> {
    let mut attached = Attached { listeners: Vec::new(), rules, ways: Vec::new(), told: Vec::new() };
    for (port, Port { doors, mut ways }) in ports {
        let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        let bind = effective.listeners.get(&port).unwrap_or(everywhere);
        let names: Vec<String> = doors.iter().map(Door::name).collect();
        let mut listener =
            Listener { name: names.join("+").into(), bind, port, http: Vec::new(), https: Vec::new() };
        ways.resize_with(doors.len(), Ways::default);
        let mut of_door = ways.into_iter();
        let mut table = |what: &str, at| {
            let Ways { candidates, told } = of_door.next().unwrap_or_default();
            if candidates.is_empty() {
                let message = format!("no route attaches to {what}: all its requests get 404");
                world.faults.warn(at, message);
            }
            attached.told.push(told);
            Table::new(candidates)
        };
        let is_only = doors.len() == 1;
        let is_secure = doors.first().is_some_and(|door| is_https(door.listener));
        for door in &doors {
            let what = match (is_secure, is_only) {
                (false, true) => format!("port {port}"),
                (false, false) => format!("HTTP listener {:?}", door.listener.name.value),
                (true, _) => format!("HTTPS listener {:?}", door.listener.name.value),
            };
            let table = table(&what, door.listener.at);
            let (name, hostname) = (door.name().into(), hostname(door).map(Arc::from));
            match is_secure {
                false => listener.http.push(HttpListener { name, hostname, table }),
                true => {
                    let certificates = secured.0.of_listener(world, door.gateway, door.listener);
                    let clients = secured.1.of_listener(world, door.gateway, (door.listener, door.frontend));
                    let policy = policies.spoken_on(world, door.gateway, &door.listener.name.value);
                    let policy = policy.map(|said| &*said.value);
                    let spoken = secured.0.spoken(world, door.listener, policy);
                    listener.https.push(HttpsListener {
                        name,
                        hostname,
                        certificates,
                        clients,
                        spoken,
                        table,
                    });
                }
            }
        }
        attached.listeners.push(listener);
    }
    refuse_shared_addresses(world, &attached.listeners);
    for port in effective.listeners.unused() {
        let message = format!("no Gateway has port {}: its listenerOverride has no effect", port.value);
        world.faults.warn(port.at, message);
    }
    attached
}

/// Two sockets cannot be opened at one address; port 0 lets the system choose and never collides.
fn refuse_shared_addresses(world: &World<'_>, listeners: &[Listener]) {
    for (index, listener) in listeners.iter().enumerate() {
        let twin = listeners.iter().take(index).find(|other| other.bind == listener.bind);
        if let (Some(twin), true) = (twin, listener.bind.port() != 0) {
            let message = format!("ports {} and {} both open at {}", twin.port, listener.port, listener.bind);
            world.faults.fault_with_help(Place::WHOLE, message, "change one of the listenerOverrides");
        }
    }
}
