//! Where a credential stands in a request.

use crate::base::ascii;
use crate::wire::http1::{Header, Known, RequestHead};
use crate::wire::url;
use std::borrow::Cow;

/// Where a credential is looked for (agentgateway, `location`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Location {
    /// Where clients of the formats put it: see [`usual`].
    #[default]
    Usual,
    /// A header, and what stands before the credential in it, in any case, as of schemes (RFC 9110 section 11.1); the name in
    /// lower case.
    Header {
        /// Its name.
        name: Box<str>,
        /// What stands before the credential; may be empty.
        prefix: Box<str>,
    },
    /// A parameter of the query.
    Query(Box<str>),
    /// A cookie (RFC 6265 section 4.2.1).
    Cookie(Box<str>),
}

impl Location {
    /// The credential there, if one is. Nothing is copied but a parameter of the query that has escapes.
    pub fn find<'a>(&self, head: &RequestHead, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let found = match self {
            Location::Usual => Cow::Borrowed(usual(head, bytes)?.1),
            Location::Header { name, prefix } => {
                let value = head.headers.get(bytes, name.as_bytes())?.of(bytes);
                let (before, found) = value.split_at_checked(prefix.len())?;
                let is_ours = before.eq_ignore_ascii_case(prefix.as_bytes());
                Cow::Borrowed(ascii::trim(Some(found).filter(|_| is_ours)?))
            }
            Location::Query(name) => url::query_value(head.query?.of(bytes), name.as_bytes())?,
            Location::Cookie(name) => Cow::Borrowed(cookie(head, bytes, name.as_bytes())?),
        };
        Some(found).filter(|found| !found.is_empty())
    }

    /// Whether it is in `Authorization`, which then holds nothing else.
    pub(super) fn is_authorization(&self) -> bool {
        matches!(self, Location::Header { name, .. } if &**name == "authorization")
    }

    /// Whether a header line holds it, so that who forwards the request leaves the line out. `shown` is the one of the
    /// usual headers that it was found in. A cookie's line goes as a whole: what else is in it is for us as well.
    pub fn is_in(&self, shown: Known, header: &Header, name: &[u8]) -> bool {
        match self {
            Location::Usual => header.known == shown,
            Location::Header { name: ours, .. } => name.eq_ignore_ascii_case(ours.as_bytes()),
            Location::Cookie(_) => header.known == Known::Cookie,
            Location::Query(_) => false,
        }
    }
}

/// The credential where clients of the formats put it, and the header it is in: the token of `Authorization`, else
/// `x-api-key` or `x-goog-api-key`. A name and a password go behind a key.
pub fn usual<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<(Known, &'a [u8])> {
    match usual_in(Known::Authorization, head, bytes) {
        Some(basic) if is_basic(basic.1) => beside_authorization(head, bytes).or(Some(basic)),
        bearer => bearer.or_else(|| beside_authorization(head, bytes)),
    }
}

/// The same where `Authorization` holds something else.
pub(super) fn beside_authorization<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<(Known, &'a [u8])> {
    let found = |known| usual_in(known, head, bytes);
    found(Known::XApiKey).or_else(|| found(Known::XGoogApiKey))
}

/// The credential in that one of the usual headers.
pub(super) fn usual_in<'a>(known: Known, head: &RequestHead, bytes: &'a [u8]) -> Option<(Known, &'a [u8])> {
    let value = head.headers.first(known)?.of(bytes);
    let value = if known == Known::Authorization { strip_bearer(value) } else { value };
    Some((known, value)).filter(|(_, value)| !value.is_empty())
}

/// Whether a value of `Authorization` is a name and a password (RFC 7617).
pub fn is_basic(value: &[u8]) -> bool {
    value.get(..6).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"basic "))
}

/// The token of an `Authorization` value, without its scheme.
pub fn strip_bearer(value: &[u8]) -> &[u8] {
    match value.split_at_checked(7) {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case(b"bearer ") => ascii::trim(token),
        _ => value,
    }
}

fn cookie<'a>(head: &RequestHead, bytes: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let lines = head.headers.all(Known::Cookie).map(|span| span.of(bytes));
    let mut pairs = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(ascii::trim);
    pairs.find_map(|pair| {
        let value = pair.strip_prefix(name)?.strip_prefix(b"=")?;
        Some(value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\"")).unwrap_or(value))
    })
}
