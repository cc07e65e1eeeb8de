//! How accounts stand at a gateway that runs: its admin endpoint is asked for each, with the token of `admin.token`.

use crate::limit::Account;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

/// The variable that holds the token.
const TOKEN: &str = "TOLLGATE_ADMIN_TOKEN";
/// How long each answer may take, and how long it may be.
const PATIENCE: Duration = Duration::from_secs(5);
const ANSWER_MAX: u64 = 1 << 20;

/// What is said of each account, by id. One that was never seen there is full.
///
/// # Errors
/// The endpoint cannot be asked, or does not let us.
pub(super) fn ask(admin: &str, accounts: &[Arc<Account>]) -> Result<Vec<(u128, String)>, String> {
    let authority = admin.strip_prefix("http://").unwrap_or(admin).trim_end_matches('/');
    let token = std::env::var(TOKEN).unwrap_or_default();
    let said = accounts.iter().map(|account| {
        let (status, body) = get(authority, account.id(), &token)
            .map_err(|error| format!("{admin} cannot be asked: {error}"))?;
        let value: Value = serde_json::from_str(&body).unwrap_or_default();
        match status {
            200 => Ok((account.id(), standing(&value))),
            404 => Ok((account.id(), "full: its key was not seen there".to_owned())),
            401 | 403 => {
                Err(format!("{admin} does not show accounts: put the token of admin.token in {TOKEN}"))
            }
            other => Err(format!("{admin} answered {other}")),
        }
    });
    said.collect()
}

fn standing(account: &Value) -> String {
    let balance = account["balance"].as_i64().unwrap_or_default();
    let blocked = if account["blocked"] == true { ", blocked" } else { "" };
    format!("{balance} left{blocked}")
}

fn get(authority: &str, id: u128, token: &str) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(authority)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let bearer = if token.is_empty() { String::new() } else { format!("Authorization: Bearer {token}\r\n") };
    write!(
        stream,
        "GET /accounts/{id:032x} HTTP/1.1\r\nHost: {authority}\r\n{bearer}Connection: close\r\n\r\n"
    )?;
    let mut text = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no HTTP"))?;
    Ok((status, body.to_owned()))
}
