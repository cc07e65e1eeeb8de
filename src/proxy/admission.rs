//! Step 4: who may call, and for which model.

use super::client::Client;
use super::entry::Entry;
use super::fault::Fault;
use super::worker::Serving;
use crate::access::{Asked, Digest, Identity, Refusal};
use crate::config::Rule;
use crate::telemetry::record::bounded;
use crate::wire::http1::RequestHead;
use crate::wire::url::split_query;

/// Who asks, as far as the rule demands to know it: nobody, where it demands nothing.
///
/// # Errors
/// It is not let in.
pub(super) fn admit<'a>(
    serving: &Serving,
    rule: &'a Rule,
    client: &Client,
    head: &RequestHead,
    bytes: &[u8],
    digest: Option<Digest>,
    entry: &mut Entry,
) -> Result<Identity<'a>, Fault> {
    let Some(access) = rule.access.as_deref() else { return Ok(Identity::default()) };
    let peer = client.peer.ip().to_canonical();
    let unix_ms = entry.worker.moment().unix_ms;
    let asked = Asked { head, bytes, peer, unix_ms, digest, ring: &serving.key_ring };
    let identity = access.admit(&asked).map_err(|refusal| refused(entry, refusal))?;
    if let Some(name) = identity.name() {
        entry.record.identity = bounded(name.as_bytes());
    }
    Ok(identity)
}

/// Whether it may ask for `model`: the one that will be asked for, empty where nobody names one; `None` where none is
/// asked for.
///
/// # Errors
/// It may not.
pub(super) fn admit_model(
    rule: &Rule,
    identity: &Identity<'_>,
    model: Option<&str>,
    entry: &Entry,
) -> Result<(), Fault> {
    let Some(access) = rule.access.as_deref() else { return Ok(()) };
    access.admit_model(identity, model).map_err(|refusal| refused(entry, refusal))
}

/// A target without the parameter of its query that holds the key.
pub(super) fn without_key(identity: &Identity<'_>, mut target: Vec<u8>) -> Vec<u8> {
    let (path, query) = split_query(&target);
    let hides = |pair: &&[u8]| identity.hides_parameter(pair);
    if let Some(query) = query.filter(|query| query.split(|byte| *byte == b'&').any(|pair| hides(&pair))) {
        let kept: Vec<&[u8]> = query.split(|byte| *byte == b'&').filter(|pair| !hides(pair)).collect();
        let kept = [path, &kept.join(&b'&')].join(if kept.is_empty() { &b""[..] } else { b"?" });
        target = kept;
    }
    target
}

fn refused(entry: &Entry, refusal: Refusal) -> Fault {
    entry.worker.desk.counters.denials.count(refusal.name());
    Fault::Denied(refusal)
}
