//! The program as a service: sockets that systemd opened, what the service manager is told, an admin endpoint on a Unix
//! socket, rights that are given up.

use crate::support::process::{Ended, Process, directory, ended, tollgate};
use crate::support::{Client, settings, until};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// A configuration that answers by itself: `/moved` is a redirect.
const ROUTES: &str = "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: llm}\nspec:\n  \
    gatewayClassName: agentgateway\n  listeners: [{name: http, protocol: HTTP, port: 8080}]\n---\n\
    apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: moved, namespace: llm}\nspec:\n  \
    parentRefs: [{name: edge}]\n  rules: [{matches: [{path: {type: PathPrefix, value: /moved}}], filters: [{type: \
    RequestRedirect, requestRedirect: {hostname: a.example, statusCode: 301}}]}]\n";

/// Writes it with these further Settings; the file.
fn configuration(here: &Path, more: &str) -> PathBuf {
    let quiet = "  workers: {cores: 2, pin: false}\n  records: {to: none}\n  timeouts: {drain: 20s, drainIdle: 200ms}\n";
    let file = here.join("gateway.yaml");
    fs::write(&file, ROUTES.to_owned() + &settings(&format!("{quiet}{more}"))).expect("a file");
    file
}

const ANYWHERE: &str = "  listenerOverrides: [{port: 8080, address: \"127.0.0.1:0\"}]\n";
const NO_ADMIN: &str = "  admin: {address: none}\n";

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// The program with one inherited socket of this name, as systemd hands it over.
fn activated(socket: OwnedFd, name: &str, file: &Path) -> Command {
    let mut command = tollgate(&[]);
    let program = command.get_program().to_owned();
    command = Command::new("sh");
    let script = format!(
        "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}; exec \"$0\" run \"$1\""
    );
    command.args(["-c", &script]).arg(program).arg(file).stdin(Stdio::from(socket));
    command
}

fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    (listener, address)
}

fn is_served(address: SocketAddr) -> bool {
    Client::connect(address).ask("/moved", "", "").status == 301
}

#[test]
fn a_socket_of_systemd_is_served_by_all_workers_and_outlives_the_process() {
    let here = directory("activated");
    let (socket, address) = listener();
    let second = || OwnedFd::from(socket.try_clone().expect("a descriptor"));
    let by_address = format!("{NO_ADMIN}  listenerOverrides: [{{port: 8080, address: \"{address}\"}}]\n");
    let file = configuration(&here, &by_address);
    let (stop, served, failed) = (AtomicBool::new(false), AtomicU64::new(0), AtomicU64::new(0));
    let mut process = Process::start(&mut activated(second(), "whatever", &file));
    process.says("serves on 2 workers");
    let process = std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Ordering::Acquire) {
                    match is_served(address) {
                        true => served.fetch_add(1, Ordering::AcqRel),
                        false => failed.fetch_add(1, Ordering::AcqRel),
                    };
                }
            });
        }
        let goes_on = || {
            let from = served.load(Ordering::Acquire);
            until("requests are served", || served.load(Ordering::Acquire) > from + 50);
        };
        goes_on();
        // A restart: for a while there is no process, and nobody is refused.
        process.signal("TERM");
        assert_eq!(process.end().code, Some(0));
        let mut process = Process::start(&mut activated(second(), "whatever", &file));
        process.says("serves on 2 workers");
        goes_on();
        stop.store(true, Ordering::Release);
        process
    });
    assert_eq!(failed.load(Ordering::Acquire), 0);

    // Where the configuration leaves the port open, the name says whose it is.
    process.signal("TERM");
    assert_eq!(process.end().code, Some(0));
    let file = configuration(&here, &format!("{NO_ADMIN}{ANYWHERE}"));
    let (process, found) = Process::serve(&mut activated(second(), "http", &file));
    assert_eq!(found, address);
    assert!(is_served(address));
    process.signal("TERM");
    assert_eq!(process.end().code, Some(0));

    // The admin endpoint, too.
    let by_address = format!("{ANYWHERE}  admin: {{address: \"{address}\"}}\n");
    let file = configuration(&here, &by_address);
    for _ in 0..2 {
        let (mut process, _) = Process::serve(&mut activated(second(), "admin", &file));
        process.says(&format!("admin http://{address}"));
        assert_eq!(Client::connect(address).ask("/nothing", "", "").status, 404);
        process.signal("TERM");
        assert_eq!(process.end().code, Some(0));
    }
}

#[test]
fn sockets_that_fit_nothing_are_told() {
    let here = directory("strangers");
    let file = configuration(&here, &format!("{NO_ADMIN}{ANYWHERE}"));
    let (socket, address) = listener();
    let Ended { code, stderr, .. } = ended(&mut activated(socket.into(), "stranger", &file));
    let parts = ["\"stranger\"", &address.to_string(), "ListenStream=", "llm/edge/http"];
    assert!(code == Some(2) && parts.iter().all(|part| stderr.contains(part)), "{stderr}");
    let (one, _other) = UnixStream::pair().expect("a pair");
    let Ended { code, stderr, .. } = ended(&mut activated(one.into(), "http", &file));
    assert!(code == Some(2) && stderr.contains("no stream socket that listens"), "{stderr}");
}

#[test]
fn the_service_manager_hears_of_readiness_reloads_upgrades_and_the_end() {
    let here = directory("notify");
    let (admin, up) = (here.join("admin"), here.join("up"));
    let more =
        format!("  admin: {{address: \"unix:{}\"}}\n  upgrade: {{socket: {}}}\n", text(&admin), text(&up));
    let file = configuration(&here, &(more + ANYWHERE));
    let manager = UnixDatagram::bind(here.join("manager")).expect("a socket");
    manager.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
    let hears = || {
        let mut bytes = [0; 512];
        let n = manager.recv(&mut bytes).expect("something is said");
        String::from_utf8(bytes[..n].to_vec()).expect("UTF-8")
    };
    let mut command = tollgate(&["run", text(&file)]);
    let (mut process, address) = Process::serve(command.env("NOTIFY_SOCKET", here.join("manager")));
    let ready = hears();
    assert!(ready.starts_with("READY=1\nMAINPID="), "{ready}");
    process.signal("HUP");
    let reloading = hears();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(hears(), "READY=1");
    assert!(process.is_running());

    // The program takes its own place.
    process.signal("USR2");
    let main = hears();
    assert!(main.starts_with("MAINPID="), "{main}");
    let next = hears();
    assert!(next.ends_with(&main) && next.starts_with("READY=1\nMAINPID=") && next != ready, "{next}");
    process.says("serves now");
    assert_eq!(process.code(), Some(0), "{}", process.stderr());
    assert!(is_served(address));
    assert!(page(&admin, "/state").starts_with("HTTP/1.1 200"), "at the same socket");
    let pid = next.rsplit('=').next().expect("a number").to_owned();
    let kill =
        |signal: &str| Command::new("kill").args([signal, &pid]).status().expect("kill runs").success();
    assert!(kill("-TERM"));
    assert_eq!(hears(), "STOPPING=1", "and the one before has not said so");
    until("it has ended", || TcpStream::connect(address).is_err());
}

#[test]
fn nobody_takes_over_by_a_signal_where_that_is_not_set_up() {
    let here = directory("no-successor");
    let file = configuration(&here, &format!("{NO_ADMIN}{ANYWHERE}"));
    let (mut process, address) = Process::serve(&mut tollgate(&["run", text(&file)]));
    process.signal("USR2");
    process.says("SIGUSR2: nobody may take over: set upgrade.socket");
    assert!(is_served(address));
}

/// A page of the admin endpoint at this socket.
fn page(socket: &Path, name: &str) -> String {
    let mut stream = UnixStream::connect(socket).expect("it listens");
    stream.write_all(format!("GET {name} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).expect("heard");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn the_admin_endpoint_is_on_a_unix_socket_for_its_user_alone() {
    let here = directory("admin-unix");
    let path = here.join("admin.sock");
    let file = configuration(&here, &format!("{ANYWHERE}  admin: {{address: \"unix:{}\"}}\n", text(&path)));
    // What a process left behind is taken away, what somebody else has is not.
    drop(UnixListener::bind(&path).expect("a socket"));
    let (mut process, _) = Process::serve(&mut tollgate(&["run", text(&file)]));
    process.says(&format!("admin unix:{}", text(&path)));
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    let get = |name: &str| page(&path, name);
    until("it is ready", || get("/readyz").starts_with("HTTP/1.1 200"));
    assert!(get("/metrics").contains("tollgate_"));
    let Ended { code, stderr, .. } = ended(&mut tollgate(&["run", text(&file)]));
    assert!(code == Some(2) && stderr.contains("another process listens there"), "{stderr}");
    process.signal("TERM");
    assert_eq!(process.end().code, Some(0));
    fs::remove_file(&path).expect("it is left behind");
    fs::write(&path, "somebody's file").expect("a file");
    let Ended { code, stderr, .. } = ended(&mut tollgate(&["run", text(&file)]));
    assert!(code == Some(2) && stderr.contains("no socket"), "{stderr}");
    assert_eq!(fs::read_to_string(&path).expect("it is there"), "somebody's file");
}

/// The line of `/proc/PID/status` with that name.
fn status(process: &Process, name: &str) -> String {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
    line.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap_or_default()
}

#[test]
fn rights_are_given_up_for_good_and_memory_is_not_dumped() {
    let here = directory("rights");
    let file = configuration(&here, &format!("{NO_ADMIN}{ANYWHERE}"));
    let limits = |process: &Process| {
        let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).expect("it runs");
        limits.lines().find(|line| line.starts_with("Max core file size")).expect("a line").to_owned()
    };
    let (process, _) = Process::serve(&mut tollgate(&["run", text(&file)]));
    assert_eq!(status(&process, "NoNewPrivs"), "1");
    assert_eq!(limits(&process).split_whitespace().nth(4), Some("0"));
    let is_root = status(&process, "Uid").starts_with("0 ");
    drop(process);

    let file = configuration(&here, &format!("{NO_ADMIN}{ANYWHERE}  process: {{user: nobody}}\n"));
    if !is_root {
        let Ended { code, stderr, .. } = ended(&mut tollgate(&["run", text(&file)]));
        assert!(code == Some(2) && stderr.contains("started as root"), "{stderr}");
        return;
    }
    fs::set_permissions(&here, fs::Permissions::from_mode(0o755)).expect("a folder of our own");
    let (mut process, address) = Process::serve(&mut tollgate(&["run", text(&file)]));
    let uid = status(&process, "Uid");
    let one = uid.split(' ').next().expect("a number").to_owned();
    assert!(one != "0" && uid.split(' ').all(|id| id == one), "{uid}");
    let gid = status(&process, "Gid");
    assert!(!gid.split(' ').any(|id| id == "0"), "{gid}");
    assert_eq!(status(&process, "Groups"), gid.split(' ').next().expect("a number"));
    assert_eq!(status(&process, "CapEff"), "0000000000000000");
    assert!(is_served(address));
    let tasks = fs::read_dir(format!("/proc/{}/task", process.id())).expect("threads").flatten();
    for task in tasks {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        let line =
            status.lines().find(|line| line.starts_with("Uid:")).unwrap_or("Uid: of a thread that has ended");
        assert!(!line.split_whitespace().any(|id| id == "0"), "{line}");
    }
    // A file that only root may read is told as what it is.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("our own");
    process.signal("HUP");
    process.says("files are read as process.user, \"nobody\"");
    assert!(is_served(address));
    let file = configuration(&here, &format!("{NO_ADMIN}{ANYWHERE}  process: {{user: no-such-user}}\n"));
    let Ended { code, stderr, .. } = ended(&mut tollgate(&["run", text(&file)]));
    assert!(code == Some(2) && stderr.contains("no user \"no-such-user\""), "{stderr}");
}
