//! tollgate as a child process that ends with us, however we end.

use super::http::{Client, get};
use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a start may take, and an end after SIGTERM (its own drain is set to 5 s).
const START_MAX: Duration = Duration::from_secs(20);
const END_MAX: Duration = Duration::from_secs(15);

/// What a gateway is started from.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) binary: PathBuf,
    /// Holds the configuration, the records, the log.
    pub(crate) dir: PathBuf,
    pub(crate) port: u16,
    pub(crate) admin: u16,
}

/// A running gateway, killed when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    log: PathBuf,
}

impl Setup {
    /// A fresh directory under the system's temporary one, and two free ports.
    pub(crate) fn new(binary: &Path, name: &str) -> Result<Setup, String> {
        if !binary.is_file() {
            return Err(format!("--tollgate: there is no file {}", binary.display()));
        }
        let dir = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        let fail = |why: std::io::Error| format!("{}: {why}", dir.display());
        if dir.exists() {
            fs::remove_dir_all(&dir).map_err(fail)?;
        }
        fs::create_dir_all(dir.join("config")).map_err(fail)?;
        let (port, admin) = two_free_ports()?;
        Ok(Setup { binary: binary.to_path_buf(), dir, port, admin })
    }

    /// Writes the one file of the configuration.
    pub(crate) fn configure(&self, text: &str) -> Result<(), String> {
        let path = self.dir.join("config/gateway.yaml");
        fs::write(&path, text).map_err(|why| format!("{}: {why}", path.display()))
    }

    /// The file of the access records.
    pub(crate) fn records(&self) -> PathBuf {
        self.dir.join("records.jsonl")
    }

    /// The directory of the budgets.
    pub(crate) fn store(&self) -> PathBuf {
        self.dir.join("store")
    }

    /// Starts it and waits until it is ready.
    pub(crate) fn start(&self) -> Result<Gateway, String> {
        let mut gateway = self.spawn()?;
        let patience = Instant::now() + START_MAX;
        while !self.is_ready() {
            if gateway.ended().is_some() || Instant::now() > patience {
                return Err(format!("tollgate does not become ready; it said\n{}", gateway.said()));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(gateway)
    }

    /// Starts it. Call it from a thread that outlives the gateway: the kernel ends the gateway when that thread ends.
    pub(crate) fn spawn(&self) -> Result<Gateway, String> {
        let log = self.dir.join("tollgate.log");
        let fail = |why: std::io::Error| format!("{}: {why}", self.binary.display());
        let out = File::options().create(true).append(true).open(&log).map_err(fail)?;
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(&self.binary)
            .arg("run")
            .arg(self.dir.join("config"))
            .stdin(Stdio::null())
            .stdout(out.try_clone().map_err(fail)?)
            .stderr(out)
            .spawn()
            .map_err(|why| format!("setpriv (of util-linux): {why}"))?;
        Ok(Gateway { child, log })
    }

    fn is_ready(&self) -> bool {
        let mut client = Client::to(self.admin);
        matches!(client.ask(&get("/readyz", "connection: close\r\n")), Ok((head, _)) if head.status == 200)
    }

    /// Removes the directory.
    pub(crate) fn remove(&self) {
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Gateway {
    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        self.end_now();
    }

    /// SIGTERM; an error unless it ends in time and says that all is well.
    pub(crate) fn terminate(mut self) -> Result<(), String> {
        self.signal("TERM")?;
        let patience = Instant::now() + END_MAX;
        loop {
            match self.ended() {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    return Err(format!("tollgate ended with {status}; it said\n{}", self.said()));
                }
                None if Instant::now() > patience => {
                    return Err(format!("tollgate does not end after SIGTERM; it said\n{}", self.said()));
                }
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        }
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal of this name, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) -> Result<(), String> {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &pid]).status();
        if sent.is_ok_and(|status| status.success()) {
            Ok(())
        } else {
            Err(format!("kill -{name} {pid} failed"))
        }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The last lines that it said.
    pub(crate) fn said(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    fn end_now(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.end_now();
    }
}

/// Ends this process, and with it the gateway, when a run takes longer than it ever should.
pub(crate) fn end_after(life: Duration) {
    std::thread::spawn(move || {
        std::thread::sleep(life);
        eprintln!("the run did not end within {} s", life.as_secs());
        std::process::exit(3);
    });
}

/// The binary that is given, or the one beside this program.
pub(crate) fn beside(given: Option<String>) -> Result<PathBuf, String> {
    let neighbour =
        || Some(std::env::current_exe().ok()?.parent()?.join("tollgate")).filter(|path| path.is_file());
    let found = given.map(PathBuf::from).or_else(neighbour);
    found.ok_or_else(|| "--tollgate is missing, and there is no tollgate beside this program".to_string())
}

/// Two ports that are free, below those that the system gives to connections of its own choice: they must be free
/// again whenever the gateway starts anew.
pub(crate) fn two_free_ports() -> Result<(u16, u16), String> {
    let first = 10_000 + (std::process::id() % 10_000) as u16;
    let mut free =
        (first..first + 2_000).filter(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    free.next().zip(free.next()).ok_or_else(|| format!("no port is free from {first} on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_start_says_why_and_leaves_nothing() {
        let setup = Setup::new(Path::new("/bin/false"), "gateway-test").unwrap();
        let why = setup.start().err().unwrap();
        assert!(why.contains("does not become ready"), "{why}");
        setup.remove();
        assert!(!setup.dir.exists());
        assert!(Setup::new(Path::new("/nowhere/tollgate"), "gateway-test").is_err());
    }
}
