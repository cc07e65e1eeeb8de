//! Bodies that mean nothing: for runs of plain forwarding.

use super::{Ask, Refusal, json_plan};
use crate::answer::{Plan, Sheet};
use crate::script::Framing;

/// `GET /plain?bytes=N` answers N bytes; `POST /plain` says what arrived.
pub(super) fn plain(ask: &Ask<'_>) -> Result<Plan, Refusal> {
    if matches!(ask.method().as_str(), "POST" | "PUT") {
        let (bytes, hash) = ask.counted;
        return Ok(json_plan(ask, 200, &format!("{{\"bytes\":{bytes},\"fnv1a64\":\"{hash:016x}\"}}")));
    }
    let mut envelope = ask.envelope(200, "text/plain");
    envelope.fill = Some(bytes_asked(&ask.target())?);
    Ok(Sheet::default().plan(&envelope))
}

/// `POST /echo` answers the body that arrived.
pub(super) fn echo(ask: &Ask<'_>) -> Plan {
    let mut sheet = Sheet::default();
    sheet.bytes(ask.body);
    let mut envelope = ask.envelope(200, "application/octet-stream");
    if ask.script.framing == Framing::Auto {
        envelope.framing = Framing::ContentLength;
    }
    sheet.plan(&envelope)
}

/// The value of `bytes` in the query; 0 without one.
fn bytes_asked(target: &str) -> Result<u64, Refusal> {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let value = query.split('&').find_map(|pair| pair.strip_prefix("bytes="));
    match value.map(str::parse::<u64>) {
        None => Ok(0),
        Some(Ok(bytes)) if bytes <= 1 << 50 => Ok(bytes),
        _ => Err(Refusal::new(400, "bytes is not a number")),
    }
}
