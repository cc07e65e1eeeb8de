//! What the service manager is told: the datagrams of sd_notify(3).

use std::ffi::OsStr;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Says `state`, lines of `NAME=value`, to whoever `NOTIFY_SOCKET` names. Where nobody is named nobody is told, and one
/// who does not listen is no fault of ours.
pub fn notify(state: &str) {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let path = path.as_encoded_bytes();
    let address = match path.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name),
        Some((b'/', _)) => SocketAddr::from_pathname(OsStr::from_bytes(path)),
        _ => return, // no socket of a machine (vsock), which is nowhere that this runs
    };
    let sent = UnixDatagram::unbound()
        .and_then(|socket| socket.set_nonblocking(true).map(|()| socket))
        .and_then(|socket| socket.send_to_addr(state.as_bytes(), &address?));
    drop(sent);
}

/// The same with this process's number, which may have taken another one's place, and now, as a reload has to say it.
pub fn notify_as_main(state: &str) {
    notify(&format!("{state}\nMAINPID={}", std::process::id()));
}

/// Says that the configuration is being read again.
pub fn notify_reloading() {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"));
}

/// Whether somebody is named to be told.
pub fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}
