//! `tollgate explain`: what would become of a request, without sending it to anybody.
//!
//! The request goes through a real worker in this process, on loopback; where a provider would be there is a witness that
//! keeps what it is sent ([`rehearsal`], `witness`). So what is told is what the code does, not what somebody wrote about it.
//! `asked` reads the request, `tell` says what came of it, `route::why` why other rules do not take it, and `balances` asks
//! a running gateway how the same accounts stand.

mod asked;
mod balances;
mod careless;
mod rehearsal;
mod tell;
mod witness;

pub use asked::Asked;
pub use careless::careless;

use super::cli::Options;
use super::screen::{show, tell};
use super::{EXIT_UNUSABLE, files};
use crate::config::{Listener, Snapshot};
use crate::route::table::{HeaderLookup, Table};
use crate::route::why::Judged;
use asked::Request;
use std::process::ExitCode;
use tell::Known;

/// What is to be explained.
#[derive(Clone, Debug, Default)]
pub struct Explain {
    /// The request.
    pub asked: Asked,
    /// The configuration.
    pub options: Options,
    /// The listener's port, where the request does not say it.
    pub port: Option<u16>,
    /// The admin endpoint of a running gateway that is asked how accounts stand: `http://127.0.0.1:15000`.
    pub admin: Option<String>,
    /// Tells of all matches that do not take it.
    pub all: bool,
}

/// Explains it; exit code 0 whether or not the request would be served.
pub fn explain(wanted: &Explain) -> ExitCode {
    match explained(wanted) {
        Ok(text) => {
            show(text);
            ExitCode::SUCCESS
        }
        Err(why) => {
            tell(why);
            ExitCode::from(EXIT_UNUSABLE)
        }
    }
}

fn explained(wanted: &Explain) -> Result<String, String> {
    let named = |why: String| format!("tollgate: {why}");
    let request = wanted.asked.request().map_err(named)?;
    let snapshot = files::load(&wanted.options)?;
    let place = listener(&snapshot, wanted.port, &request).map_err(named)?;
    let known = judge(&snapshot, place, &request).map_err(named)?;
    let became = rehearsal::rehearse(snapshot, place, &request).map_err(named)?;
    let balances = match &wanted.admin {
        Some(admin) => balances::ask(admin, &became.accounts).map_err(named)?,
        None => Vec::new(),
    };
    Ok(tell::text(&known, &became, &balances, wanted.all))
}

/// The place of the listener that the request comes in by.
fn listener(snapshot: &Snapshot, port: Option<u16>, request: &Request) -> Result<usize, String> {
    let listeners = &snapshot.listeners;
    let at = |port: u16| listeners.iter().position(|listener| listener.port == port);
    let ports = || listeners.iter().map(|listener| listener.port.to_string()).collect::<Vec<_>>().join(", ");
    if listeners.is_empty() {
        return Err("the configuration has no listener".to_owned());
    }
    match port {
        Some(port) => {
            at(port).ok_or_else(|| format!("no listener has the port {port}; there are {}", ports()))
        }
        // A port that a URL or `Host` names may be another one outside, in front of a balancer.
        None => Ok(request.port().and_then(at).or_else(|| by_scheme(listeners, request)).unwrap_or(0)),
    }
}

fn by_scheme(listeners: &[Listener], request: &Request) -> Option<usize> {
    let scheme = request.scheme.as_deref()?;
    listeners.iter().position(|listener| listener.scheme() == scheme)
}

/// Why each match of the listener takes the request or does not.
fn judge(snapshot: &Snapshot, place: usize, request: &Request) -> Result<Known, String> {
    let listener = snapshot.listeners.get(place).ok_or("the configuration has no listener")?;
    let host = request.host.as_bytes();
    let own: Option<(&str, &Table)> = match listener.https.is_empty() {
        true => listener.http_for(host).map(|own| (&*own.name, &own.table)),
        false => listener
            .https_for(host)
            .and_then(|own| listener.https.get(own))
            .map(|own| (&*own.name, &own.table)),
    };
    let (name, table) =
        own.map_or((listener.name.to_string(), None), |(name, table)| (name.to_owned(), Some(table)));
    let (path, query) =
        request.target.split_once('?').map_or((&*request.target, None), |(path, query)| (path, Some(query)));
    let request = crate::route::Request {
        host: request.host.as_bytes(),
        method: request.method.as_bytes(),
        path: path.as_bytes(),
        query: query.map(str::as_bytes),
        headers: request,
    };
    let judged: Vec<Judged> = table.map_or_else(Vec::new, |table| table.judge(&request));
    let told = format!("{name} ({}, port {})", listener.scheme(), listener.port);
    Ok(Known::of(snapshot, told, judged))
}

impl HeaderLookup for Request {
    fn value(&self, name: &str) -> Option<&[u8]> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_bytes())
    }
}
