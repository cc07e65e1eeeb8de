//! Who calls: the values by which a client, and the accounts it spends from, are told from others.

use crate::access::{self, Digest, Identity};
use crate::base::is_same;
use crate::limit::{Caller, KeyPart, KeyText};
use crate::wire::http1::RequestHead;
use crate::wire::jwt;
use arrayvec::{ArrayString, ArrayVec};
use std::borrow::Cow;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;

/// The most parts of one key.
const PARTS_MAX: usize = 8;

/// What a request says about who asks for what.
pub(super) struct Asking<'a> {
    pub(super) head: &'a RequestHead,
    pub(super) bytes: &'a [u8],
    pub(super) peer: SocketAddr,
    /// The digest of its credential: of the key that was validated, else see [`Memo::api_key`]. `None` also where keys are
    /// validated and this one was not: who invents keys shall not get an account for each.
    pub(super) api_key: Option<u128>,
    /// Who it is, as far as that was validated.
    pub(super) identity: &'a Identity<'a>,
    /// The model that the client names; empty when it names none.
    pub(super) model: &'a str,
    /// `namespace/name` of the route.
    pub(super) route: &'a str,
    /// The keys of earlier requests on the same connection.
    pub(super) memo: &'a RefCell<Memo>,
}

/// What was hashed for the request before on the same connection: callers keep their key, and mostly their model.
#[derive(Default)]
pub(super) struct Memo {
    credential: Vec<u8>,
    api_key: Digest,
    /// Tells identities apart.
    identity: u128,
    model: ArrayString<64>,
    route: Option<Arc<str>>,
    /// The configuration that the rules are of.
    generation: u64,
    keys: ArrayVec<KnownKey, MEMO_KEYS_MAX>,
}

/// A key that is known by the address of its parts in the configuration; in fewer bytes than a `Result`, as every connection
/// has room for some.
struct KnownKey {
    parts: usize,
    key: u128,
    /// Which part is missing, if there is no key.
    missing: Option<u8>,
}

impl KnownKey {
    fn new(parts: usize, key: Result<u128, usize>) -> KnownKey {
        // There are few parts: see `PARTS_MAX`.
        KnownKey { parts, key: key.unwrap_or_default(), missing: key.err().map(|part| part as u8) }
    }

    fn key(&self) -> Result<u128, usize> {
        self.missing.map_or(Ok(self.key), |part| Err(part.into()))
    }
}

/// Keys of several parts that are remembered.
const MEMO_KEYS_MAX: usize = 4;
/// Credentials that are longer are hashed every time.
const MEMO_CREDENTIAL_MAX: usize = 2 << 10;

impl Memo {
    /// The digest of a request's credential in its usual place; `None` without any.
    pub(super) fn api_key(&mut self, head: &RequestHead, bytes: &[u8]) -> Option<Digest> {
        let Some(credential) = credential(head, bytes) else {
            self.forget();
            return None;
        };
        // Several callers may come through one connection: nobody shall feel out another's credential.
        if !is_same(credential, &self.credential) {
            self.forget();
            self.api_key = access::digest(credential);
            if credential.len() <= MEMO_CREDENTIAL_MAX {
                self.credential.extend_from_slice(credential);
            }
        }
        Some(self.api_key)
    }

    /// Sees to it that the keys that are remembered are those of requests like this one.
    pub(super) fn look_at(
        &mut self,
        generation: u64,
        identity: &Identity<'_>,
        model: &ArrayString<64>,
        route: &Arc<str>,
    ) {
        let same_route = self.route.as_ref().is_some_and(|known| Arc::ptr_eq(known, route));
        let same_caller = self.identity == identity.mark();
        if self.generation != generation || self.model != *model || !same_route || !same_caller {
            self.keys.clear();
            (self.generation, self.model, self.identity) = (generation, *model, identity.mark());
            if !same_route {
                self.route = Some(route.clone());
            }
        }
    }

    fn forget(&mut self) {
        self.credential.clear();
        self.keys.clear();
    }
}

/// A value of a key, from the request or made of it.
enum Value<'a> {
    Of(&'a [u8]),
    Found(Cow<'a, [u8]>),
    Made(String),
}

impl<'a> Value<'a> {
    fn text(text: Cow<'a, str>) -> Value<'a> {
        Value::Found(match text {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        })
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Value::Of(bytes) => bytes,
            Value::Found(bytes) => bytes,
            Value::Made(text) => text.as_bytes(),
        }
    }
}

impl Asking<'_> {
    fn value(&self, part: &KeyPart) -> Option<Value<'_>> {
        let value = match part {
            KeyPart::ApiKey => match self.identity.key {
                Some(shown) => Value::Found(shown.credential(self.head, self.bytes)?),
                None if self.identity.judges_keys => return None,
                None if self.identity.user.is_some() => Value::Made(self.identity.user_as_key()?),
                None => Value::Found(Cow::Borrowed(credential(self.head, self.bytes)?)),
            },
            KeyPart::Header(name) => {
                Value::Of(self.head.headers.get(self.bytes, name.as_bytes())?.of(self.bytes))
            }
            KeyPart::Source => Value::Made(self.peer.ip().to_canonical().to_string()),
            KeyPart::Model => Value::Of(self.model.as_bytes()),
            KeyPart::Route => Value::Of(self.route.as_bytes()),
            KeyPart::Claim(name) if self.identity.is_judged => {
                Value::text(self.identity.claims.as_ref()?.text(name)?)
            }
            KeyPart::Claim(name) => Value::Made(jwt::claim(credential(self.head, self.bytes)?, name)?),
            KeyPart::User => Value::Of(self.identity.user?.as_bytes()),
            KeyPart::Metadata(name) => Value::text(jwt::scalar(self.identity.metadata(name)?)?),
        };
        Some(value).filter(|value| !value.bytes().is_empty())
    }

    fn values(&self, parts: &[KeyPart]) -> Result<ArrayVec<Value<'_>, PARTS_MAX>, usize> {
        let values = parts.iter().take(PARTS_MAX).enumerate();
        values.map(|(place, part)| self.value(part).ok_or(place)).collect()
    }
}

impl Caller for Asking<'_> {
    fn key(&self, parts: &[KeyPart]) -> Result<u128, usize> {
        if let [KeyPart::ApiKey] = parts {
            return self.api_key.ok_or(0);
        }
        let hash = || {
            let values = self.values(parts)?;
            Ok(KeyText::digest(parts.iter().zip(values.iter().map(Value::bytes))))
        };
        // A header may be another one in every request.
        if parts.iter().any(|part| matches!(part, KeyPart::Header(_))) {
            return hash();
        }
        let (mut memo, place) = (self.memo.borrow_mut(), parts.as_ptr() as usize);
        if let Some(known) = memo.keys.iter().find(|known| known.parts == place) {
            return known.key();
        }
        let key = hash();
        // Where there are more than have room, they are hashed.
        let _ = memo.keys.try_push(KnownKey::new(place, key));
        key
    }

    /// The values, apart from credentials: those are named by their hash.
    fn label(&self, parts: &[KeyPart]) -> String {
        let values = self.values(parts);
        KeyText::label(parts.iter().zip(values.iter().flatten().map(Value::bytes)))
    }
}

/// The name that a record gives to a credential by its SHA-256, of which it is the first 8 hexadecimal digits; empty
/// without one. An operator finds the same by `printf %s "$KEY" | sha256sum | head -c 8`; nobody finds the key from
/// it.
pub(super) fn key_id(api_key: Option<&Digest>) -> ArrayString<8> {
    let mut id = ArrayString::new();
    if let Some(digest) = api_key.map(KeyText::of_sha256) {
        for place in (96..128).step_by(4).rev() {
            // Eight digits fit.
            let _ = id.try_push(char::from(b"0123456789abcdef"[(digest >> place & 15) as usize]));
        }
    }
    id
}

fn credential<'a>(head: &RequestHead, bytes: &'a [u8]) -> Option<&'a [u8]> {
    access::usual(head, bytes).map(|(_, credential)| credential)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http1::{HeadLimits, HeadScan};

    fn request(fields: &str) -> (RequestHead, Vec<u8>) {
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
        let head = HeadScan::default().request(&bytes, &HeadLimits::default()).expect("a head");
        (head.expect("all of it"), bytes)
    }

    fn id(fields: &str) -> String {
        let (head, bytes) = request(fields);
        key_id(Memo::default().api_key(&head, &bytes).as_ref()).to_string()
    }

    #[test]
    fn a_key_is_named_by_the_start_of_its_hash() {
        // FIPS 180-2 appendix B.1: SHA-256 of "abc" begins with ba7816bf.
        for (fields, expected) in [
            ("", ""),
            ("Authorization: Bearer abc\r\n", "ba7816bf"),
            ("authorization: bearer  abc \r\n", "ba7816bf"),
            ("authorization: abc\r\n", "ba7816bf"),
            ("X-Api-Key: abc\r\n", "ba7816bf"),
            ("x-api-key: other\r\nAuthorization: Bearer abc\r\n", "ba7816bf"),
            ("Authorization:\r\nx-api-key:\r\n", ""),
            ("Authorization: Basic YTpi\r\nx-goog-api-key: abc\r\n", "ba7816bf"),
        ] {
            assert_eq!(id(fields), expected, "{fields:?}");
        }
        assert_ne!(id("x-api-key: abd\r\n"), "ba7816bf");
    }

    /// The payload is `{"sub":"ann","org":7,"admin":true,"none":null}`.
    const JWT: &str = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbm4iLCJvcmciOjcsImFkbWluIjp0cnVlLCJub25lIjpudWxsfQ.x";

    #[test]
    fn keys_are_found_in_requests() {
        let fields = format!("Authorization: Bearer {JWT}\r\nX-Team: red\r\nX-Empty:\r\n");
        let (head, bytes) = request(&fields);
        let peer = SocketAddr::from(([10, 0, 0, 7], 40_000));
        let (memo, other) = (RefCell::new(Memo::default()), RefCell::new(Memo::default()));
        let api_key = memo.borrow_mut().api_key(&head, &bytes).as_ref().map(KeyText::of_sha256);
        let (model, route, identity) = ("gpt-4o", "llm/chat", &Identity::default());
        let asking =
            Asking { head: &head, bytes: &bytes, peer, api_key, identity, model, route, memo: &memo };
        let bare = Asking { model: "", memo: &other, ..asking };
        let (header, claim) = (|name: &str| KeyPart::Header(name.into()), |n: &str| KeyPart::Claim(n.into()));
        let key = format!("sha256:{:08x}", KeyText::of_api_key(JWT.as_bytes()) >> 96);
        for (asking, parts, expected) in [
            (&asking, vec![KeyPart::ApiKey], Ok(&*key)),
            (&asking, vec![header("x-team"), KeyPart::Model], Ok("red gpt-4o")),
            (&asking, vec![KeyPart::Source, KeyPart::Route], Ok("10.0.0.7 llm/chat")),
            (&asking, vec![claim("sub")], Ok("ann")),
            (&asking, vec![claim("org"), claim("admin")], Ok("7 true")),
            (&asking, vec![claim("none")], Err(0)),
            (&asking, vec![claim("who")], Err(0)),
            (&asking, vec![KeyPart::ApiKey, header("x-user")], Err(1)),
            (&asking, vec![header("x-empty")], Err(0)),
            (&bare, vec![KeyPart::Model], Err(0)),
        ] {
            let found = asking.key(&parts).map(|_| asking.label(&parts));
            assert_eq!(found.as_deref().map_err(|place| *place), expected, "{parts:?}");
        }
        let same = KeyText::digest([(&header("x-team"), &b"red"[..])]);
        assert_eq!(asking.key(&[header("x-team")]), Ok(same), "configuration finds the same account");
    }

    /// Rules of one route may differ in what they validate, and one connection may lead to both.
    #[test]
    fn a_claim_that_had_to_be_validated_and_was_not_is_missing() {
        let (head, bytes) = request(&format!("Authorization: Bearer {JWT}\r\n"));
        let (peer, memo) = (SocketAddr::from(([10, 0, 0, 7], 40_000)), RefCell::new(Memo::default()));
        let (head, bytes, model, route) = (&head, &bytes[..], "gpt-4o", Arc::<str>::from("a/one"));
        let (parts, mut judged) = ([KeyPart::Claim("sub".into())], Identity::default());
        judged.is_judged = true;
        for (identity, is_there) in
            [(&Identity::default(), true), (&judged, false), (&Identity::default(), true)]
        {
            let api_key = memo.borrow_mut().api_key(head, bytes).as_ref().map(KeyText::of_sha256);
            memo.borrow_mut().look_at(1, identity, &bounded_model(model), &route);
            let asking = Asking { head, bytes, peer, api_key, identity, model, route: &route, memo: &memo };
            assert_eq!(asking.key(&parts).is_ok(), is_there);
        }
    }

    #[test]
    fn what_is_remembered_is_what_would_be_hashed() {
        let memo = RefCell::new(Memo::default());
        let peer = SocketAddr::from(([10, 0, 0, 7], 40_000));
        let parts = [
            vec![KeyPart::ApiKey],
            vec![KeyPart::ApiKey, KeyPart::Model],
            vec![KeyPart::Route, KeyPart::Source],
            vec![KeyPart::Model],
            vec![KeyPart::Route],
            vec![KeyPart::ApiKey, KeyPart::Route],
            vec![KeyPart::Header("x-team".into()), KeyPart::Model],
            vec![KeyPart::Claim("sub".into())],
        ];
        let routes: [Arc<str>; 2] = ["a/one".into(), "a/two".into()];
        let jwt = format!("Authorization: Bearer {JWT}\r\n");
        let long = format!("X-Api-Key: {}\r\n", "k".repeat(MEMO_CREDENTIAL_MAX + 1));
        let heads =
            ["X-Api-Key: k1\r\nX-Team: red\r\n", "X-Api-Key: k2\r\nX-Team: blue\r\n", "", &jwt, &long];
        // All orders in which two requests may follow each other on a connection, and each one twice.
        let all =
            (0..heads.len() * 2 * 2 * 2).map(|n| (n % heads.len(), n / 5 % 2, n / 10 % 2, n as u64 / 20 % 2));
        let all: Vec<_> = all.collect();
        for (fields, route, model, generation) in
            all.iter().flat_map(|one| all.iter().flat_map(move |other| [one, other, other]))
        {
            let (head, bytes) = request(heads[*fields]);
            let model = bounded_model(["gpt-4o", ""][*model]);
            let keys = |memo: &RefCell<Memo>| {
                let api_key = memo.borrow_mut().api_key(&head, &bytes).as_ref().map(KeyText::of_sha256);
                let (identity, head, bytes) = (&Identity::default(), &head, &bytes);
                memo.borrow_mut().look_at(*generation, identity, &model, &routes[*route]);
                let route = &routes[*route];
                let asking = Asking { head, bytes, peer, api_key, identity, model: &model, route, memo };
                parts.iter().map(|parts| asking.key(parts)).collect::<Vec<_>>()
            };
            assert_eq!(keys(&memo), keys(&RefCell::new(Memo::default())));
        }
    }

    fn bounded_model(name: &str) -> ArrayString<64> {
        ArrayString::from(name).expect("it is short")
    }
}
