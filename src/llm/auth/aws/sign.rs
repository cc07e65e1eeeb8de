//! Signature Version 4 (IAM User Guide, "AWS Signature Version 4 for API requests", "Create a signed AWS API request").
//!
//! A signature is an HMAC of a text that both sides make of the request: what the text is made of must not be changed
//! afterwards. Where the guide leaves something open, this does as botocore does.

use super::Credentials;
use crate::base::Secret;
use crate::wire::http1::write;
use crate::wire::url;
use arrayvec::ArrayVec;
use jiff::Timestamp;
use jiff::tz::Offset;
use ring::{digest, hmac};

/// What of a request is signed, as it is sent.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `POST`.
    pub method: &'a str,
    /// The value of `Host`, with a port where there is one.
    pub host: &'a [u8],
    /// The path as it stands in the request line, percent-encoded where it must be. It is encoded once more for the
    /// signature, as the guide wants it for every service but S3.
    pub path: &'a [u8],
    /// What follows the `?`; empty when there is nothing. A `+` in it is signed as a plus, not as a space.
    pub query: &'a [u8],
    /// Other headers that are signed, names in lower case: `content-type` by custom. Nothing on the way may change
    /// them. `host` and what [`Signer::sign`] writes are signed without being named here.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The digest of the body.
    pub body: &'a BodyHash,
}

/// The SHA-256 of a body, in hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHash([u8; 64]);

impl BodyHash {
    /// Of a body that lies in several pieces.
    pub fn of<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> BodyHash {
        let mut context = digest::Context::new(&digest::SHA256);
        pieces.into_iter().for_each(|piece| context.update(piece));
        BodyHash(hex(context.finish().as_ref()))
    }

    /// The digits: the value of `x-amz-content-sha256`, for services that want to be sent it and given it among
    /// [`Request::headers`]. Bedrock does not.
    pub fn digits(&self) -> &[u8; 64] {
        &self.0
    }
}

/// Signs requests to one service in one region.
///
/// Its owner keeps it, because it remembers the key that is derived for a day: a request then costs one HMAC and the
/// digest of a few hundred bytes. `Debug` shows no key.
#[derive(Debug)]
pub struct Signer {
    region: Box<str>,
    service: Box<str>,
    derived: Option<Derived>,
}

/// A key and what it was derived from.
#[derive(Debug)]
struct Derived {
    day: [u8; 8],
    secret_key: Secret,
    key: hmac::Key,
}

impl Signer {
    /// For a [region](super::is_region) such as `us-east-1` and the name that a service has in signatures, such as
    /// `bedrock`.
    pub fn new(region: &str, service: &str) -> Signer {
        Signer { region: region.into(), service: service.into(), derived: None }
    }

    /// Appends the header lines that make `request` a signed one: `x-amz-date`, `x-amz-security-token` for temporary
    /// credentials, and `authorization`. AWS takes the signature for some minutes around `unix_s`, the time in seconds
    /// since 1970.
    ///
    /// What is signed is written behind `out` meanwhile and taken off again: a buffer with room is not grown.
    pub fn sign(&mut self, request: &Request<'_>, credentials: &Credentials, unix_s: u64, out: &mut Vec<u8>) {
        let date = date(unix_s);
        let lines = Lines::new(request, credentials, &date);
        let start = out.len();
        push_canonical(out, request, &lines);
        let canonical = hex(digest::digest(&digest::SHA256, &out[start..]).as_ref());
        out.truncate(start);
        push_all(out, [ALGORITHM, b"\n", &date, b"\n"]);
        self.push_scope(out, &date);
        push_all(out, [b"\n", &canonical]);
        let signature = hex(hmac::sign(self.key(credentials, &date), &out[start..]).as_ref());
        out.truncate(start);

        for (name, value) in lines.own.iter().filter(|(name, _)| *name != HOST) {
            write::header(out, name.as_bytes(), value);
        }
        push_all(
            out,
            [b"authorization: ", ALGORITHM, b" Credential=", credentials.access_key().as_bytes(), b"/"],
        );
        self.push_scope(out, &date);
        out.extend_from_slice(b", SignedHeaders=");
        lines.push_names(out);
        push_all(out, [b", Signature=", &signature, b"\r\n"]);
    }

    /// What a signature is good for: `20150830/us-east-1/bedrock/aws4_request`.
    fn push_scope(&self, out: &mut Vec<u8>, date: &Date) {
        push_all(
            out,
            [&day(date), b"/", self.region.as_bytes(), b"/", self.service.as_bytes(), b"/", TERMINATOR],
        );
    }

    /// The signing key: derived when the day or the credentials are others than last time.
    fn key(&mut self, credentials: &Credentials, date: &Date) -> &hmac::Key {
        let secret_key = credentials.secret_key();
        let known = self.derived.take();
        let known = known.filter(|known| known.day == day(date) && known.secret_key == *secret_key);
        let derived = known.unwrap_or_else(|| {
            let start = Secret::new([b"AWS4", secret_key.expose()].concat());
            let steps = [&day(date)[..], self.region.as_bytes(), self.service.as_bytes(), TERMINATOR];
            let key = steps
                .iter()
                .fold(hmac_key(start.expose()), |key, step| hmac_key(hmac::sign(&key, step).as_ref()));
            Derived { day: day(date), secret_key: Secret::new(secret_key.expose()), key }
        });
        &self.derived.insert(derived).key
    }
}

const ALGORITHM: &[u8] = b"AWS4-HMAC-SHA256";
const TERMINATOR: &[u8] = b"aws4_request";
const HOST: &str = "host";

/// `20150830T123600Z`.
type Date = [u8; 16];

/// The second in UTC, in the basic format of ISO 8601; one after the year 9999 is the last that `jiff` has.
fn date(unix_s: u64) -> Date {
    let at =
        i64::try_from(unix_s).ok().and_then(|s| Timestamp::from_second(s).ok()).unwrap_or(Timestamp::MAX);
    let at = Offset::UTC.to_datetime(at);
    let mut text = *b"00000000T000000Z";
    let fields = [
        i64::from(at.year()),
        at.month().into(),
        at.day().into(),
        at.hour().into(),
        at.minute().into(),
        at.second().into(),
    ];
    // Where each field ends; it has as many digits as there is room.
    for (field, end) in fields.into_iter().zip([4, 6, 8, 11, 13, 15]) {
        let (mut rest, mut at) = (field, end);
        while rest > 0 {
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
    }
    text
}

// === the text that is signed ===

/// The headers that are signed: the caller's and our own.
struct Lines<'a> {
    given: &'a [(&'a str, &'a [u8])],
    own: ArrayVec<(&'a str, &'a [u8]), 3>,
}

impl<'a> Lines<'a> {
    fn new(request: &Request<'a>, credentials: &'a Credentials, date: &'a Date) -> Lines<'a> {
        let mut own = ArrayVec::from_iter([(HOST, request.host), ("x-amz-date", date)]);
        own.extend(credentials.session_token().map(|token| ("x-amz-security-token", token.expose())));
        Lines { given: request.headers, own }
    }

    fn all(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> {
        self.given.iter().chain(&self.own).copied()
    }

    /// The names in order, each once. They are few: looking for the next one is cheaper than a list to sort.
    fn names(&self) -> impl Iterator<Item = &'a str> {
        let next = |last: &str| self.all().map(|(name, _)| name).filter(|name| *name > last).min();
        std::iter::successors(next(""), move |last| next(last))
    }

    fn push_names(&self, out: &mut Vec<u8>) {
        for (place, name) in self.names().enumerate() {
            push_all(out, [if place > 0 { b";" } else { &b""[..] }, name.as_bytes()]);
        }
    }
}

fn push_canonical(out: &mut Vec<u8>, request: &Request<'_>, lines: &Lines<'_>) {
    push_all(out, [request.method.as_bytes(), b"\n"]);
    push_path(out, request.path);
    out.push(b'\n');
    push_query(out, request.query);
    out.push(b'\n');
    for name in lines.names() {
        let values = lines.all().filter(|(other, _)| *other == name);
        for (place, (_, value)) in values.enumerate() {
            push_all(out, if place > 0 { [b",", b""] } else { [name.as_bytes(), b":"] });
            push_value(out, value);
        }
        out.push(b'\n');
    }
    out.push(b'\n');
    lines.push_names(out);
    push_all(out, [b"\n", request.body.digits()]);
}

/// Without empty and dot segments (RFC 3986 section 5.2.4), each segment encoded once more.
fn push_path(out: &mut Vec<u8>, path: &[u8]) {
    let start = out.len();
    for segment in path.split(|b| *b == b'/') {
        match segment {
            b"" | b"." => {}
            b".." => {
                let parent = out[start..].iter().rposition(|b| *b == b'/').unwrap_or_default();
                out.truncate(start + parent);
            }
            segment => {
                out.push(b'/');
                url::percent_encode(out, segment);
            }
        }
    }
    if out.len() == start || path.ends_with(b"/") {
        out.push(b'/');
    }
}

/// By name, then by value, in the one encoding that AWS has.
fn push_query(out: &mut Vec<u8>, query: &[u8]) {
    let encoded = |text: &[u8]| {
        let mut out = Vec::with_capacity(text.len());
        url::percent_encode(&mut out, &url::percent_decode(text).unwrap_or(text.into()));
        out
    };
    let mut pairs: Vec<_> =
        url::query_pairs(query).map(|(name, value)| (encoded(name), encoded(value))).collect();
    pairs.sort_unstable();
    for (place, (name, value)) in pairs.iter().enumerate() {
        push_all(out, [if place > 0 { b"&" } else { &b""[..] }, name, b"=", value]);
    }
}

/// Without space at the ends, and with one where there are several.
fn push_value(out: &mut Vec<u8>, value: &[u8]) {
    let words = value.split(|b| matches!(b, b' ' | b'\t')).filter(|word| !word.is_empty());
    for (place, word) in words.enumerate() {
        push_all(out, [if place > 0 { b" " } else { &b""[..] }, word]);
    }
}

fn push_all<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    parts.iter().for_each(|part| out.extend_from_slice(part));
}

fn day(date: &Date) -> [u8; 8] {
    let [day @ .., _, _, _, _, _, _, _, _] = *date;
    day
}

fn hmac_key(key: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key)
}

/// The 64 digits of 32 bytes.
fn hex(bytes: &[u8]) -> [u8; 64] {
    let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble & 15)];
    let mut digits = [0; 64];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(*byte)]);
    }
    digits
}

#[cfg(test)]
mod tests;
