//! Filters that answer a request by themselves, or add to what its answer tells.

use super::admission;
use super::client::Client;
use super::entry::Entry;
use super::exchange::Then;
use super::reply::{self, Manner, Own};
use crate::access::Identity;
use crate::config::{BackendChoice, Listener, Rule};
use crate::route::filters::{Filters, Origin, Redirect};
use crate::route::{Cors, Preflight};
use crate::wire::http1::{Known, Method, RequestHead, write};

/// A request whose rule is known, before anything else is.
pub(super) struct Asked<'a> {
    pub(super) listener: &'a Listener,
    pub(super) head: &'a RequestHead,
    /// What the head's spans are of.
    pub(super) bytes: &'a [u8],
    pub(super) manner: Manner<'a>,
}

/// Answers a preflight that `filters`, of a rule and of a share of it, say something to; the share's go before the rule's. `None` says
/// that the request is no such thing; what CORS tells of its answer is with `entry` then.
pub(super) async fn preflight(
    client: &mut Client,
    entry: &mut Entry,
    filters: [&Filters; 2],
    asked: &Asked<'_>,
) -> Option<Then> {
    let Asked { head, bytes, manner, .. } = asked;
    let cors = filters.into_iter().rev().find_map(|filters| filters.cors.as_deref())?;
    let Some((origin, preflight)) = announced(head, bytes) else {
        note(cors, entry, head, bytes);
        return None;
    };
    let mut lines = Vec::new();
    cors.preflight(origin, &preflight, &mut lines);
    let own = Own { status: 200, lines: &lines, body: b"" };
    Some(reply::own(client, entry, &own, manner).await)
}

/// Answers a request that `filters`, of a rule and of a share of it, leave nobody else to answer: one to be redirected, one whose
/// answer stands in the configuration. `None` says that it goes on.
pub(super) async fn answer(
    client: &mut Client,
    entry: &mut Entry,
    filters: [&Filters; 2],
    asked: &Asked<'_>,
    identity: &Identity<'_>,
) -> Option<Then> {
    let filters = filters.into_iter().find(|filters| filters.answer())?;
    let mut lines = Vec::new();
    let (status, body) = match (&filters.redirect, filters.direct.as_deref()) {
        (Some(redirect), _) => {
            write::header(&mut lines, b"location", &location(redirect, asked, identity));
            (redirect.status, "")
        }
        (None, Some(direct)) => {
            if !direct.body.is_empty() && filters.response_headers.keeps(b"content-type") {
                write::header(&mut lines, b"content-type", b"text/plain; charset=utf-8");
            }
            (direct.status, direct.body.as_str())
        }
        (None, None) => return None,
    };
    for (name, value) in filters.response_headers.written() {
        write::header(&mut lines, name.as_bytes(), value.as_bytes());
    }
    let own = Own { status, lines: &lines, body: body.as_bytes() };
    Some(reply::own(client, entry, &own, &asked.manner).await)
}

/// Whether a rule, or a share of it, says what browsers may do.
pub(super) fn speak_of_cors(rule: &Rule) -> bool {
    let of_share = |choice: &BackendChoice| match choice {
        BackendChoice::Backend { filters, .. } => filters.cors.is_some(),
        BackendChoice::Invalid => false,
    };
    rule.filters.cors.is_some() || rule.backends.iter().any(|(_, choice)| of_share(choice))
}

/// Whether a browser asks what it may ask (Fetch, "CORS-preflight request"), from which origin, and for what.
pub(super) fn announced<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<(&'a [u8], Preflight<'a>)> {
    if head.method != Method::Options {
        return None;
    }
    let origin = head.headers.first(Known::Origin)?.of(bytes);
    let asked = |name: &[u8]| head.headers.get(bytes, name).map(|span| span.of(bytes));
    let method = asked(b"access-control-request-method")?;
    Some((origin, Preflight { method, headers: asked(b"access-control-request-headers") }))
}

/// Keeps the lines of CORS for whatever answer comes of the request.
fn note(cors: &Cors, entry: &mut Entry, head: &RequestHead, bytes: &[u8]) {
    entry.cors.clear();
    cors.answer(head.headers.first(Known::Origin).map(|origin| origin.of(bytes)), &mut entry.cors);
}

/// Where a redirect leads. A key that was validated in the query goes along to no other origin.
fn location(redirect: &Redirect, asked: &Asked<'_>, identity: &Identity<'_>) -> Vec<u8> {
    let Asked { listener, head, bytes, .. } = asked;
    let host = head.host.map_or(&[][..], |host| host.of(bytes));
    let origin = Origin { scheme: listener.scheme(), host, port: listener.port };
    let mut location = Vec::new();
    redirect.location(&origin, head.path_of(bytes), head.query.map(|query| query.of(bytes)), &mut location);
    if redirect.leaves(&origin) { admission::without_key(identity, location) } else { location }
}
