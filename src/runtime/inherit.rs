//! Listening sockets that this process did not open itself: those that systemd hands to a unit, and those that the
//! process which it replaces hands over.

use super::listener::BACKLOG;
use socket2::{SockRef, Socket};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::path::PathBuf;

/// The first descriptor that systemd hands over (sd_listen_fds(3)).
const FIRST: RawFd = 3;

/// The most sockets that are taken over from systemd.
const SOCKETS_MAX: usize = 1024;

/// A listening socket from outside.
#[derive(Debug)]
pub struct Inherited {
    /// What whoever opened it calls it; empty if nothing.
    pub name: String,
    /// Where it listens.
    pub place: Place,
    /// The socket: it does not block, unless it was taken [as it is](Inherited::as_it_is), and is closed when another
    /// program is started.
    pub socket: Socket,
}

/// Where a socket listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket of that path.
    Unix(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Tcp(address) => write!(f, "{address}"),
            Place::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Inherited {
    /// Takes a descriptor over that somebody calls `name`.
    ///
    /// # Errors
    /// It is no stream socket that listens.
    pub fn of(name: String, fd: OwnedFd) -> io::Result<Inherited> {
        let inherited = Inherited::as_it_is(name, fd)?;
        inherited.socket.set_nonblocking(true)?;
        Ok(inherited)
    }

    /// The same, of a socket that goes on blocking, or not, for whoever else has it.
    ///
    /// # Errors
    /// As above.
    pub fn as_it_is(name: String, fd: OwnedFd) -> io::Result<Inherited> {
        let socket = Socket::from(fd);
        if !socket.is_listener()? || socket.r#type()? != socket2::Type::STREAM {
            return Err(io::Error::other("it is no stream socket that listens (Accept=no, ListenStream=)"));
        }
        socket.set_cloexec(true)?;
        let address = socket.local_addr()?;
        let place = match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => {
                socket.set_tcp_nodelay(true)?;
                socket.listen(BACKLOG)?;
                Place::Tcp(address)
            }
            (None, Some(path)) => Place::Unix(path.to_owned()),
            (None, None) => return Err(io::Error::other("it is neither TCP nor a Unix socket with a path")),
        };
        Ok(Inherited { name, place, socket })
    }
}

/// The sockets that systemd hands to this process by `LISTEN_PID`, `LISTEN_FDS` and `LISTEN_FDNAMES`; none when the
/// variables are meant for another process. To be called once, before anything else is opened: a second call would take
/// descriptors that are somebody else's by then.
///
/// # Errors
/// A sentence for the operator: the variables make no sense, or a descriptor is no socket that listens.
pub fn from_systemd() -> Result<Vec<Inherited>, String> {
    let variable = |name: &str| std::env::var(name).ok();
    let Some(count) = announced(std::process::id(), &variable)? else { return Ok(Vec::new()) };
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut inherited = Vec::new();
    for fd in (FIRST..).take(count) {
        let name = names.next().unwrap_or_default().to_owned();
        // SAFETY: systemd opened it for this process and nobody has taken it yet, as this is called once.
        let owned = unsafe { OwnedFd::from_raw_fd(fd) };
        let said = format!("descriptor {fd} ({name:?}) of LISTEN_FDS");
        inherited.push(Inherited::of(name, owned).map_err(|error| format!("{said}: {error}"))?);
    }
    Ok(inherited)
}

/// How many descriptors are announced to the process `pid`.
fn announced(pid: u32, variable: &dyn Fn(&str) -> Option<String>) -> Result<Option<usize>, String> {
    let (Some(for_pid), Some(count)) = (variable("LISTEN_PID"), variable("LISTEN_FDS")) else {
        return Ok(None);
    };
    if for_pid != pid.to_string() {
        return Ok(None);
    }
    match count.parse() {
        Ok(count) if count <= SOCKETS_MAX => Ok(Some(count)),
        _ => Err(format!("LISTEN_FDS is {count:?}: it must be a number, at most {SOCKETS_MAX}")),
    }
}

/// Lets several workers take connections from one socket, or one worker from several: for each worker its share.
///
/// All descriptors of a socket are one queue. The kernel wakes one of those that wait for it, so that a worker which is
/// busy leaves its connections to the others; no worker has a share of its own that could lie there unserved. What is
/// lost against a socket for each worker is that connections are not spread evenly while all workers are idle.
///
/// # Errors
/// No more descriptors.
pub fn share_out(sockets: Vec<Socket>, workers: usize) -> io::Result<Vec<Vec<Socket>>> {
    let mut shares: Vec<Vec<Socket>> = (0..workers).map(|_| Vec::new()).collect();
    let count = sockets.len();
    for (worker, share) in shares.iter_mut().enumerate().skip(count) {
        share.push(sockets[worker % count].try_clone()?);
    }
    for (place, socket) in sockets.into_iter().enumerate() {
        shares[place % workers].push(socket);
    }
    Ok(shares)
}

/// A second descriptor of a socket, to be handed on.
///
/// # Errors
/// No more descriptors.
pub fn second(socket: &impl std::os::fd::AsFd) -> io::Result<Socket> {
    SockRef::from(socket).try_clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_are_for_the_process_that_is_named() {
        let env = |pid: &'static str, fds: &'static str| {
            move |name: &str| match name {
                "LISTEN_PID" => Some(pid.to_owned()),
                "LISTEN_FDS" => Some(fds.to_owned()),
                _ => None,
            }
        };
        assert_eq!(announced(7, &|_| None), Ok(None));
        assert_eq!(announced(7, &env("8", "2")), Ok(None));
        assert_eq!(announced(7, &env("7", "2")), Ok(Some(2)));
        for wrong in ["", "-1", "1025", "x"] {
            assert!(announced(7, &env("7", wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_socket_is_served_and_every_worker_serves() {
        let port = |socket: &Socket| socket.local_addr().unwrap().as_socket().unwrap().port();
        for (count, workers) in [(1, 1), (1, 3), (2, 3), (3, 2), (5, 2)] {
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            let sockets: Vec<Socket> = (0..count).map(|_| super::super::bind(address).unwrap()).collect();
            let mut ports: Vec<u16> = sockets.iter().map(port).collect();
            let shares = share_out(sockets, workers).unwrap();
            assert!(shares.len() == workers && shares.iter().all(|share| !share.is_empty()));
            let mut shared: Vec<u16> = shares.iter().flatten().map(port).collect();
            shared.sort_unstable();
            shared.dedup();
            ports.sort_unstable();
            assert_eq!(shared, ports);
        }
    }

    #[test]
    fn what_does_not_listen_is_refused() {
        let socket = Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        assert!(Inherited::of(String::new(), socket.into()).is_err());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(Inherited::of(String::new(), file.into()).is_err());
    }
}
