//! Budgets on disk, with the real program: what was spent stays spent over restarts and `kill -9`, and disks that
//! are full, foreign or damaged are told and stop nobody.

use crate::support::process::{Process, directory, tollgate};
use crate::support::{Answer, Client, chat, manifests, settings, with};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tollgate_loadtest::{Count, Script, Simulator};

const BUDGET: u64 = 100_000;
/// What a request uses, all in all.
const USED: u64 = 1_001;
/// What is granted at a time: what a crash can lose of an account, beside what a request asked for twice over.
const CHUNK: u64 = BUDGET / 100;
/// What a request reserves: 15 tokens of input and the one of output that it asks for.
const RESERVED: u64 = 16;

/// Budgets whose windows are an hour and longer: by the calendar, and for any interval.
const WINDOWS: [&str; 2] = ["day", "{sliding: 24h}"];

struct Host {
    simulator: Simulator,
    directory: PathBuf,
    /// The window of its budget.
    window: &'static str,
}

impl Host {
    fn new(name: &str) -> Host {
        Host::with(name, WINDOWS[0])
    }

    fn with(name: &str, window: &'static str) -> Host {
        let script = Script { input_tokens: Count::Fixed(1_000), output_tokens: 20, ..Script::default() };
        let simulator = Simulator::start(script).expect("a simulator");
        Host { simulator, directory: directory(name), window }
    }

    fn store(&self) -> PathBuf {
        self.directory.join("store")
    }

    /// Starts the program over the host's store.
    fn start(&self) -> (Process, SocketAddr) {
        let window = self.window;
        let limits = format!(
            "  - {{name: day, unit: tokens, budget: 100000, window: {window}, key: {{header: x-team}}}}\n  \
             - {{name: rate, unit: requests, rate: 1/hour, burst: 50, key: {{header: x-team}}}}\n"
        );
        let policy = format!(
            "---\napiVersion: tollgate.dev/v1alpha1\nkind: LimitPolicy\nmetadata: {{name: b, namespace: llm}}\nspec:\n  \
             targetRefs: [{{group: gateway.networking.k8s.io, kind: HTTPRoute, name: openai}}]\n  limits:\n{limits}"
        );
        let provider = self.simulator.addr();
        let spec = format!(
            "  records: {{to: none}}\n  workers: {{cores: 2, pin: false}}\n  admin: {{address: none}}\n  hostOverrides: \
             [{{host: api.openai.com, to: \"http://{provider}\"}}, {{host: api.anthropic.com, to: \"http://{provider}\"}}, \
             {{host: plain.example, to: \"http://{provider}\"}}]\n  listenerOverrides: [{{port: 8080, address: \
             \"127.0.0.1:0\"}}]\n  limits: {{store: {}, checkpoint: 100ms}}",
            self.store().display()
        );
        let file = self.directory.join("gateway.yaml");
        fs::write(&file, manifests(&policy) + &settings(&spec)).expect("a file");
        Process::serve(&mut tollgate(&["run", file.to_str().expect("UTF-8")]))
    }
}

/// Asks, when what was asked before is settled: that is a moment after its answer's last byte, and the next
/// connection may be another worker's.
fn ask(address: SocketAddr, team: &str) -> Answer {
    std::thread::sleep(std::time::Duration::from_millis(20));
    Client::connect(address).ask(
        "/openai",
        &format!("x-team: {team}\r\n"),
        &with(&chat("gpt-5", false), r#""max_tokens":1"#),
    )
}

/// How much a team has left before its next request, as that request's answer tells: it reserves first.
fn left(answer: &Answer) -> u64 {
    let header = answer.header("x-ratelimit-remaining-tokens").expect("the header");
    header.parse::<u64>().expect("a number") + RESERVED
}

fn requests_left(answer: &Answer) -> u64 {
    answer.header("x-ratelimit-remaining-requests").expect("the header").parse().expect("a number")
}

fn finish(process: Process) -> String {
    process.signal("TERM");
    let ended = process.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stderr
}

#[test]
fn a_restart_forgets_nothing() {
    for (name, window) in ["restart", "restart-sliding"].into_iter().zip(WINDOWS) {
        check_restarts(&Host::with(name, window));
    }
}

fn check_restarts(host: &Host) {
    let (mut asked, mut balance) = (0, BUDGET);
    for life in 0..3 {
        let (process, address) = host.start();
        for _ in 0..3 {
            let answer = ask(address, "red");
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert_eq!(left(&answer), balance, "life {life}");
            balance -= USED;
            asked += 1;
            assert_eq!(requests_left(&answer), 50 - asked, "life {life}");
        }
        assert_eq!(left(&ask(address, "blue")), BUDGET - life * USED, "others have their own");
        finish(process);
    }
}

#[test]
fn what_was_granted_counts_as_spent_after_a_kill() {
    for (name, window) in ["kill", "kill-sliding"].into_iter().zip(WINDOWS) {
        check_kills(&Host::with(name, window));
    }
}

fn check_kills(host: &Host) {
    let mut used = 0;
    for life in 0..5u64 {
        let (process, address) = host.start();
        let answer = ask(address, "red");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let spent = BUDGET - left(&answer);
        // The last answer of a life may have used more than it had reserved, and that not be written yet.
        assert!(spent + life * USED >= used, "life {life}: {used} were used and {spent} count");
        // Of each life so far, no more is lost than was granted ahead.
        let ahead = (CHUNK + USED) * life;
        assert!(spent <= used + ahead, "life {life}: {used} were used and {spent} count");
        for _ in 0..life {
            assert_eq!(ask(address, "red").status, 200);
        }
        used += (life + 1) * USED;
        process.signal("KILL");
        process.end();
    }
}

#[test]
fn shorter_limits_go_on_from_when_they_were_written_down() {
    let host = Host::new("short");
    let (process, address) = host.start();
    for left in [49, 48, 47] {
        assert_eq!(requests_left(&ask(address, "red")), left);
    }
    std::thread::sleep(std::time::Duration::from_millis(600)); // several checkpoints
    process.signal("KILL");
    process.end();
    let (process, address) = host.start();
    assert_eq!(requests_left(&ask(address, "red")), 46);
    finish(process);
}

#[test]
fn damage_is_told_and_forgives_nothing() {
    let host = Host::new("damage");
    let (process, address) = host.start();
    assert_eq!(ask(address, "red").status, 200);
    finish(process);
    for entry in fs::read_dir(host.store()).expect("the store") {
        let path = entry.expect("an entry").path();
        let mut bytes = fs::read(&path).expect("a file");
        // All but how it begins and that it ended well.
        let damaged = 40..bytes.len() - 40;
        bytes[damaged].iter_mut().for_each(|byte| *byte ^= 0x55);
        fs::write(&path, bytes).expect("a file");
    }
    let (process, address) = host.start();
    let refused = ask(address, "red");
    assert_eq!(refused.status, 429, "{}", refused.text());
    let stderr = finish(process);
    assert!(stderr.contains("limits.store: ") && stderr.contains("journal-"), "{stderr}");
}

#[test]
fn a_store_that_is_in_use_or_no_directory_ends_the_start_with_a_reason() {
    let host = Host::new("taken");
    let (process, _) = host.start();
    let second = tollgate(&["run", host.directory.join("gateway.yaml").to_str().expect("UTF-8")])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(!second.status.success() && said.contains("limits.store: "), "{said}");
    finish(process);
    fs::remove_dir_all(host.store()).expect("the store");
    fs::write(host.store(), "a file").expect("a file");
    let third = tollgate(&["run", host.directory.join("gateway.yaml").to_str().expect("UTF-8")])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(!third.status.success() && said.contains("limits.store: "), "{said}");
}

/// A disk with room for nothing: the file system of `/dev/full` is only a device, so a small `tmpfs` is mounted
/// where that is allowed; elsewhere the store's own tests, on a false disk, are all there is.
#[test]
fn a_full_disk_is_told_and_requests_go_on() {
    let host = Host::new("full");
    fs::create_dir_all(host.store()).expect("a directory");
    let Some(mounted) = Mounted::small(&host.store()) else {
        return; // no file system can be mounted here
    };
    let (mut process, address) = host.start();
    assert_eq!(ask(address, "red").status, 200);
    mounted.fill();
    // Each new team needs a grant on disk.
    for team in 0..40 {
        assert_eq!(ask(address, &format!("team-{team}-{}", "x".repeat(40))).status, 200);
    }
    process.says("limits.store: ");
    let answer = ask(address, "red");
    assert_eq!((answer.status, left(&answer)), (200, BUDGET - USED), "nothing is forgotten");
    mounted.empty();
    process.says("the disk takes balances again");
    finish(process);
    let (process, address) = host.start();
    assert_eq!(left(&ask(address, "red")), BUDGET - 2 * USED);
    finish(process);
}

/// A file system of 64 KiB.
struct Mounted(PathBuf);

impl Mounted {
    fn small(at: &Path) -> Option<Mounted> {
        let mut mount = std::process::Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(at).output();
        mount.is_ok_and(|mount| mount.status.success()).then(|| Mounted(at.to_owned()))
    }

    fn fill(&self) {
        use std::io::Write;
        let mut file = fs::File::create(self.0.join("filler")).expect("a file");
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn empty(&self) {
        fs::remove_file(self.0.join("filler")).expect("the filler");
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        std::process::Command::new("umount").arg("-l").arg(&self.0).status().ok();
    }
}
