//! Step 4: who may call, and for which model.

use super::client::Client;
use super::entry::Entry;
use super::fault::Fault;
use crate::access::{Asked, Digest, Identity, Models, Refusal};
use crate::config::Rule;
use crate::telemetry::record::bounded;
use crate::wire::http1::RequestHead;
use crate::wire::url::split_query;

/// Who asks, as far as the rule demands to know it: nobody, where it demands nothing.
///
/// # Errors
/// It is not let in; [`Refusal::Unjudged`], which is not counted here, where its password has to be judged first.
pub(super) fn admit<'a>(
    rule: &'a Rule,
    client: &Client,
    head: &RequestHead,
    bytes: &[u8],
    digest: Option<Digest>,
    entry: &mut Entry,
) -> Result<Identity<'a>, Fault> {
    let Some(access) = rule.access.as_deref() else { return Ok(Identity::default()) };
    let asked = asked(client, head, bytes, digest, entry);
    let identity = access.admit(&asked, &entry.serving.key_ring).map_err(|refusal| match refusal {
        // There is more to come of it.
        Refusal::Unjudged => Fault::Denied(refusal),
        refusal => refused(entry, refusal),
    })?;
    note(&identity, entry);
    Ok(identity)
}

/// As [`admit`], when the password will not be judged, for this reason: see
/// [`Policy::admit_unjudged`](crate::access::Policy::admit_unjudged).
///
/// # Errors
/// It is not let in.
pub(super) fn admit_unjudged<'a>(
    rule: &'a Rule,
    client: &Client,
    (head, bytes): (&RequestHead, &[u8]),
    digest: Option<Digest>,
    reason: Refusal,
    entry: &mut Entry,
) -> Result<Identity<'a>, Fault> {
    let Some(access) = rule.access.as_deref() else { return Ok(Identity::default()) };
    let asked = asked(client, head, bytes, digest, entry);
    let admitted = access.admit_unjudged(&asked, &entry.serving.key_ring);
    let identity = admitted.map_err(|refusal| match refusal {
        Refusal::Unjudged => refused(entry, reason),
        refusal => refused(entry, refusal),
    })?;
    note(&identity, entry);
    Ok(identity)
}

fn note(identity: &Identity<'_>, entry: &mut Entry) {
    if let Some(name) = identity.name() {
        entry.record.identity = bounded(name.as_bytes());
    }
}

/// Whether it may ask for what it asks for: see [`Policy::admit_model`](crate::access::Policy::admit_model).
///
/// # Errors
/// It may not.
pub(super) fn admit_model(
    rule: &Rule,
    client: &Client,
    (head, bytes): (&RequestHead, &[u8]),
    identity: &Identity<'_>,
    models: Models<'_>,
    entry: &Entry,
) -> Result<(), Fault> {
    let Some(access) = rule.access.as_deref() else { return Ok(()) };
    let asked = asked(client, head, bytes, None, entry);
    access.admit_model(identity, &asked, models).map_err(|refusal| refused(entry, refusal))
}

pub(super) fn asked<'a>(
    client: &Client,
    head: &'a RequestHead,
    bytes: &'a [u8],
    digest: Option<Digest>,
    entry: &Entry,
) -> Asked<'a> {
    Asked { head, bytes, peer: client.peer, unix_ms: entry.worker.moment().unix_ms, digest }
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

pub(super) fn refused(entry: &Entry, refusal: Refusal) -> Fault {
    entry.worker.desk.counters.denials.count(refusal.name());
    Fault::Denied(refusal)
}
