//! Opens every socket that listens, or finds it among those that are open already.

use crate::config::{AdminAddress, Listener, Snapshot};
use crate::coordinator::Takeover;
use crate::proxy::Entrance;
use crate::runtime::inherit::{self, Inherited, Place};
use crate::runtime::privileges::Owner;
use crate::runtime::{bind, clock, unix_listener};
use socket2::Socket;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

/// How long a port may stay taken after the process that had it was killed.
const RELEASE_MAX: Duration = Duration::from_secs(1);

/// All sockets that listen.
pub(super) struct Opened {
    /// Where, by listener of the configuration.
    pub(super) addresses: Vec<SocketAddr>,
    /// By worker those that it takes connections from.
    pub(super) by_worker: Vec<Vec<Entrance>>,
    /// Second descriptors of them for a process that takes this one's place, each with the name of its listener.
    pub(super) offered: Vec<(String, Socket)>,
    /// The admin endpoint's.
    pub(super) admin: Option<AdminSocket>,
}

/// The socket of the admin endpoint.
pub(super) struct AdminSocket {
    pub(super) socket: Socket,
    /// Another process has it too.
    pub(super) shared: bool,
    pub(super) address: AdminAddress,
}

impl AdminSocket {
    /// Lets whom the process becomes connect to it, if it is a Unix socket that was opened here.
    pub(super) fn give_to(&self, owner: Owner) -> Result<(), String> {
        match &self.address {
            AdminAddress::Unix(path) if !self.shared => {
                std::os::unix::fs::lchown(path, Some(owner.user), Some(owner.group))
                    .map_err(|error| format!("process.user: {path}: {error}"))
            }
            _ => Ok(()),
        }
    }

    /// A second descriptor of it.
    pub(super) fn second(&self) -> io::Result<AdminSocket> {
        let (socket, address) = (inherit::second(&self.socket)?, self.address.clone());
        Ok(AdminSocket { socket, shared: true, address })
    }
}

/// Opens everything for so many workers. `inherited` are sockets that systemd opened, each of which must be one that the
/// configuration names; of a process that is taken over, sockets that it names no more are closed.
///
/// # Errors
/// A sentence for the operator.
pub(super) fn open(
    snapshot: &Snapshot,
    mut inherited: Vec<Inherited>,
    takeover: Option<&mut Takeover>,
    workers: usize,
) -> Result<Opened, String> {
    let (mut passed, passed_admin) = match takeover {
        Some(takeover) => (std::mem::take(&mut takeover.sockets), takeover.admin.take()),
        None => (Vec::new(), None),
    };
    let mut opened = Opened {
        addresses: Vec::new(),
        by_worker: (0..workers).map(|_| Vec::new()).collect(),
        offered: Vec::new(),
        admin: None,
    };
    for (place, listener) in snapshot.listeners.iter().enumerate() {
        let refused = |error: io::Error| {
            format!("listener {} cannot open {}: {}", listener.name, listener.bind, why(&error))
        };
        // What is passed on is what systemd opened, if it did: all of its queues are here.
        let mut sockets = taken(&mut passed, |it| is_for(it, listener));
        sockets.extend(taken(&mut inherited, |it| is_for(it, listener)));
        let is_ours = sockets.is_empty();
        if is_ours {
            sockets = bind_all(listener.bind, workers).map_err(refused)?;
        }
        if let Some(bytes) = snapshot.settings.connections.send_buffer {
            // Inherited by every connection that is accepted.
            let bounded = sockets.iter().try_for_each(|socket| socket.set_send_buffer_size(bytes as usize));
            bounded.map_err(refused)?;
        }
        let address = sockets[0].local_addr().map_err(refused)?.as_socket().unwrap_or(listener.bind);
        opened.addresses.push(address);
        if snapshot.settings.upgrade.socket.is_some() {
            for socket in &sockets {
                opened.offered.push((listener.name.to_string(), inherit::second(socket).map_err(refused)?));
            }
        }
        let shares = inherit::share_out(sockets, workers).map_err(refused)?;
        for (worker, share) in opened.by_worker.iter_mut().zip(shares) {
            worker.extend(share.into_iter().map(|socket| Entrance { listener: place, socket, is_ours }));
        }
    }
    if let Some(address) = &snapshot.settings.admin.address {
        let is_it = |it: &Inherited| is_admin(it, address);
        let is_same = |it: &Inherited| it.name == address.to_string() || is_it(it);
        let known = passed_admin.filter(is_same).map(|it| it.socket);
        let known = known.or_else(|| taken(&mut inherited, is_it).pop());
        let shared = known.is_some();
        let socket = known.map_or_else(|| open_admin(address), Ok)?;
        opened.admin = Some(AdminSocket { socket, shared, address: address.clone() });
    }
    match inherited.first() {
        Some(stranger) => Err(unknown(stranger, snapshot)),
        None => Ok(opened),
    }
}

fn taken(from: &mut Vec<Inherited>, is_it: impl Fn(&Inherited) -> bool) -> Vec<Socket> {
    from.extract_if(.., |inherited| is_it(inherited)).map(|inherited| inherited.socket).collect()
}

/// Whether a socket is a listener's: by its address, or by its name where the configuration leaves the port open.
fn is_for(inherited: &Inherited, listener: &Listener) -> bool {
    let is_named = || {
        listener
            .name
            .split('+')
            .chain([&*listener.name])
            .any(|name| name == inherited.name || name.rsplit('/').next() == Some(&*inherited.name))
    };
    match inherited.place {
        Place::Tcp(address) if listener.bind.port() == 0 => is_named() && address.ip() == listener.bind.ip(),
        Place::Tcp(address) => address == listener.bind,
        Place::Unix(_) => false,
    }
}

fn is_admin(inherited: &Inherited, address: &AdminAddress) -> bool {
    match (&inherited.place, address) {
        (Place::Tcp(place), AdminAddress::Tcp(address)) if address.port() == 0 => {
            inherited.name == "admin" && place.ip() == address.ip()
        }
        (Place::Tcp(place), AdminAddress::Tcp(address)) => place == address,
        (Place::Unix(place), AdminAddress::Unix(address)) => place == Path::new(address),
        _ => false,
    }
}

/// What is wrong with a socket that systemd opened for nobody.
fn unknown(stranger: &Inherited, snapshot: &Snapshot) -> String {
    let listeners = snapshot.listeners.iter().map(|it| format!("{} ({})", it.bind, it.name));
    let admin = snapshot.settings.admin.address.iter().map(|address| format!("{address} (admin)"));
    let wanted: Vec<String> = listeners.chain(admin).collect();
    format!(
        "the socket {:?} at {} that systemd opened is no listener's: set ListenStream= in the socket unit to an          address of these, written as here, or remove it: {}",
        stranger.name,
        stranger.place,
        wanted.join(", ")
    )
}

/// Opens an address once per worker.
fn bind_all(wanted: SocketAddr, workers: usize) -> io::Result<Vec<Socket>> {
    // Without SO_REUSEPORT first: with it, two processes would share a port and nobody would be told.
    let alone = bind_soon(wanted)?;
    let address = alone.local_addr()?;
    drop(alone);
    (0..workers).map(|_| bind(address)).collect()
}

/// Opens a socket at `wanted`. When a process was killed, the kernel closes the sockets of its rings a moment after
/// its end, so one that takes its place waits for that moment.
fn bind_soon(wanted: SocketAddr) -> io::Result<TcpListener> {
    let until = clock::now() + RELEASE_MAX;
    loop {
        match TcpListener::bind(wanted) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && clock::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            bound => return bound,
        }
    }
}

fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "another process listens there; stop it, or choose another address with \
                                     listenerOverrides in Settings or with --listen PORT=ADDR"
            .to_owned(),
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"
                .to_owned()
        }
        _ => error.to_string(),
    }
}

/// Opens the admin endpoint.
fn open_admin(address: &AdminAddress) -> Result<Socket, String> {
    let opened = match address {
        AdminAddress::Tcp(address) => TcpListener::bind(address).map(Socket::from),
        AdminAddress::Unix(path) => unix_listener::open(Path::new(path)).map(Socket::from),
    };
    opened.map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => "another process listens there".to_owned(),
            _ => error.to_string(),
        };
        let change = "choose another with admin.address in Settings or with --admin ADDR, or none";
        format!("the admin endpoint cannot open {address}: {reason}; {change}")
    })
}
