//! A gateway like the real one that reaches nobody: on loopback, with a witness in the place of everybody it would ask,
//! nothing on disk, and one worker.

use super::asked::Request;
use super::careless::careless;
use super::witness::{Seen, Witness};
use crate::app::gateway::{Gateway, Life};
use crate::base::Secret;
use crate::config::{
    BackendKind, Credential, JwksOrigin, JwksSource, Listener, RecordsTo, Signs, Snapshot, Target,
};
use crate::limit::Account;
use crate::llm::auth::aws::Credentials;
use crate::runtime::clock;
use rustls::ClientConnection;
use rustls::pki_types::ServerName;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long an answer, and the record after it, may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// The most of an answer that is read.
const ANSWER_MAX: u64 = 1 << 20;
/// In place of what would have to be fetched.
const FETCHED: &str = "(fetched)";
/// The same where letters and digits are wanted.
const FETCHED_KEY: &str = "FETCHED";

/// What became of the request.
pub(super) struct Became {
    /// The access record, as it is written.
    pub(super) record: serde_json::Value,
    /// What providers and hosts were sent.
    pub(super) seen: Vec<Seen>,
    /// The answer as the client got it.
    pub(super) answer: Vec<u8>,
    /// The accounts that were asked, each opened full before.
    pub(super) accounts: Vec<Arc<Account>>,
}

/// Sends `request` to the listener at `place` of the configuration, with everybody replaced.
///
/// # Errors
/// What this machine lacks, or why there is no answer.
pub(super) fn rehearse(mut snapshot: Snapshot, place: usize, request: &Request) -> Result<Became, String> {
    let told = |what: &'static str| move |error: io::Error| format!("{what}: {error}");
    let witness = Witness::start().map_err(told("the witness"))?;
    let log = Log::create().map_err(told("a file for the access record"))?;
    make_harmless(&mut snapshot, witness.address, &log.0)?;
    let https = snapshot.listeners.get(place).is_some_and(|listener| !listener.https.is_empty());
    let gateway = Gateway::start(snapshot, Life::default())?;
    let address = *gateway.addresses.get(place).ok_or("there is no such listener")?;
    let answer = ask(address, https, request).map_err(told("the answer"))?;
    let record = log.record()?;
    let mut accounts = Vec::new();
    gateway.board.accounts.for_each(|account| accounts.push(account.clone()));
    gateway.stop();
    gateway.join()?;
    let seen = witness.seen.try_iter().collect();
    accounts.sort_by(|one, other| one.terms().rule.cmp(&other.terms().rule));
    Ok(Became { record, seen, answer, accounts })
}

/// What an account holds before anything was taken.
pub(super) fn capacity(account: &Account) -> u64 {
    account.terms().capacity()
}

fn make_harmless(snapshot: &mut Snapshot, witness: SocketAddr, log: &Path) -> Result<(), String> {
    for Listener { bind, https, .. } in &mut snapshot.listeners {
        *bind = SocketAddr::from(([127, 0, 0, 1], 0));
        // Who asks is taken to have the certificate that is demanded.
        https.iter_mut().for_each(|https| https.clients = None);
    }
    let here = || Target { host: witness.ip().to_string(), port: witness.port(), tls: None, own_tls: None };
    snapshot.targets.iter_mut().for_each(|target| *target = here());
    for backend in &mut snapshot.backends {
        if let BackendKind::Ai { credential, .. } = &mut backend.kind {
            stand_in(credential)?;
        }
    }
    for JwksSource { origin, .. } in &mut snapshot.jwks {
        if let JwksOrigin::Url { .. } = origin {
            *origin = JwksOrigin::Unasked;
        }
    }
    let settings = &mut snapshot.settings;
    settings.records.to = RecordsTo::File(log.display().to_string());
    settings.limits.store = None;
    settings.admin.address = None;
    (settings.workers.cores, settings.workers.pin) = (Some(1), false);
    settings.timeouts.drain = Duration::from_millis(100);
    Ok(())
}

/// Puts something in the place of a credential that would have to be fetched.
fn stand_in(credential: &mut Credential) -> Result<(), String> {
    match credential {
        Credential::Google(_) => {
            let value = Secret::new(format!("Bearer {FETCHED}").into_bytes());
            *credential = Credential::Static { name: "authorization".into(), value: value.into() };
        }
        Credential::Aws { signs, .. } if matches!(signs, Signs::Fetched(_)) => {
            // Those that are fetched come with a token, but for keys in a file.
            let part = |name: &str| Some(if name == "accessKey" { FETCHED_KEY } else { FETCHED }.as_bytes());
            let credentials = Credentials::from_secret(part).map_err(|fault| fault.to_string())?;
            *signs = Signs::With(Arc::new(credentials));
        }
        _ => {}
    }
    Ok(())
}

fn ask(address: SocketAddr, https: bool, request: &Request) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut answer = Vec::new();
    if !https {
        stream.write_all(&request.bytes())?;
        read(stream, &mut answer)?;
        return Ok(answer);
    }
    let host = request.host.rsplit_once(':').map_or(&*request.host, |(host, _)| host).to_owned();
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    let mut session = ClientConnection::new(careless()?, name).map_err(io::Error::other)?;
    let mut stream = rustls::Stream::new(&mut session, &mut stream);
    stream.write_all(&request.bytes())?;
    read(stream, &mut answer)?;
    Ok(answer)
}

/// Reads to the end; one that comes without a goodbye, or late, is an end too when something came before.
fn read(stream: impl Read, answer: &mut Vec<u8>) -> io::Result<()> {
    match stream.take(ANSWER_MAX).read_to_end(answer) {
        Err(error) if answer.is_empty() => Err(error),
        _ => Ok(()),
    }
}

/// A file of our own for the access record, gone with this value.
struct Log(PathBuf);

impl Log {
    fn create() -> io::Result<Log> {
        let name = format!("tollgate-explain-{}-{}.jsonl", std::process::id(), clock::unix_ms());
        let path = std::env::temp_dir().join(name);
        fs::OpenOptions::new().write(true).create_new(true).open(&path)?;
        Ok(Log(path))
    }

    /// The first line, once it is there: a moment after the answer's last byte.
    fn record(&self) -> Result<serde_json::Value, String> {
        let until = clock::now() + PATIENCE;
        while clock::now() < until {
            let text = fs::read_to_string(&self.0).unwrap_or_default();
            if let Some((line, _)) = text.split_once('\n') {
                return serde_json::from_str(line).map_err(|error| format!("the access record: {error}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("there is no access record".to_owned())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
