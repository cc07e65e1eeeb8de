//! The real program as a child process.

use std::io::Read;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A running `tollgate`; what it says is collected. Killed when this is dropped.
pub struct Process {
    child: Child,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

/// How a process ended and what it had said.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// The program with these arguments, in the crate's directory, without the variables that tests set.
pub fn tollgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tollgate"));
    command.args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null());
    for name in ["ANTHROPIC_API_KEY", "OPENAI_API_KEY", "NO_COLOR", "SSL_CERT_FILE", "SSL_CERT_DIR"] {
        command.env_remove(name);
    }
    command
}

/// Runs a command to its end.
pub fn ended(command: &mut Command) -> Ended {
    Process::start(command).end()
}

/// An empty directory of this test's own.
pub fn directory(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
    std::fs::remove_dir_all(&path).ok();
    std::fs::create_dir_all(&path).expect("a directory");
    path
}

impl Process {
    pub fn start(command: &mut Command) -> Process {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let stdout = collect(child.stdout.take().expect("a pipe"));
        let stderr = collect(child.stderr.take().expect("a pipe"));
        Process { child, stdout, stderr }
    }

    /// Starts `tollgate run` and waits until it serves; its first listener must be on port 0.
    pub fn serve(command: &mut Command) -> (Process, SocketAddr) {
        let mut process = Process::start(command);
        let line = process.says("got the port of http");
        let address = line.rsplit("://").next().expect("an address").trim();
        let address = address.parse().unwrap_or_else(|_| panic!("{line}"));
        (process, address)
    }

    /// The same with the configuration in `folder`, in which OpenAI's host is `openai`, and without an admin endpoint.
    pub fn serve_folder(folder: &Path, openai: SocketAddr) -> (Process, SocketAddr) {
        let (folder, host) = (folder.to_str().expect("UTF-8"), format!("api.openai.com=http://{openai}"));
        let listen = ["--listen", "8080=127.0.0.1:0", "--admin", "none"];
        Process::serve(&mut tollgate(&[&["run", folder, "--host", &host][..], &listen].concat()))
    }

    /// Waits until a line on standard error has `part`; that line.
    pub fn says(&mut self, part: &str) -> String {
        self.wait_for(part, |process| process.stderr())
    }

    /// Waits until a line on standard output has `part`; that line.
    pub fn prints(&mut self, part: &str) -> String {
        self.wait_for(part, |process| process.stdout())
    }

    fn wait_for(&mut self, part: &str, text: impl Fn(&Process) -> String) -> String {
        let patience = Instant::now() + Duration::from_secs(20);
        loop {
            let gone = self.child.try_wait().expect("a child").is_some();
            let said = text(self);
            let whole = &said[..said.rfind('\n').map_or(0, |at| at + 1)];
            if let Some(line) = whole.lines().find(|line| line.contains(part)) {
                return line.to_owned();
            }
            let (stdout, stderr) = (self.stdout(), self.stderr());
            assert!(!gone && Instant::now() < patience, "no {part:?} in\n{stdout}---\n{stderr}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub fn stdout(&self) -> String {
        self.stdout.lock().expect("a text").clone()
    }

    pub fn stderr(&self) -> String {
        self.stderr.lock().expect("a text").clone()
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let kill = format!("kill -{name} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("a shell").success());
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_none()
    }

    /// Waits for the end, at most 20 seconds; the code. Another process may have the pipes and go on.
    pub fn code(&mut self) -> Option<i32> {
        let patience = Instant::now() + Duration::from_secs(20);
        while self.is_running() {
            assert!(Instant::now() < patience, "it does not end\n{}---\n{}", self.stdout(), self.stderr());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child.wait().expect("a child").code()
    }

    /// Waits for the end, at most 20 seconds.
    pub fn end(mut self) -> Ended {
        let code = self.code();
        let patience = Instant::now() + Duration::from_secs(20);
        // The pipes end with the process; their last bytes may still be on the way.
        let done = |text: &Arc<Mutex<String>>| Arc::strong_count(text) == 1;
        while !(done(&self.stdout) && done(&self.stderr)) && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(1));
        }
        Ended { code, stdout: self.stdout(), stderr: self.stderr() }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn collect(mut pipe: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let theirs = text.clone();
    std::thread::spawn(move || {
        let mut piece = [0; 8 << 10];
        while let Ok(n @ 1..) = pipe.read(&mut piece) {
            theirs.lock().expect("a text").push_str(&String::from_utf8_lossy(&piece[..n]));
        }
    });
    text
}
