use super::jwt::KeyRing;
use super::*;
use crate::wire::http1::{HeadLimits, HeadScan, RequestHead};
use proptest::prelude::*;
use serde_json::json;
use std::rc::Rc;
use std::sync::Arc;

const NOW: i64 = 1_800_000_000_000;

fn request(lines: &str) -> (RequestHead, Vec<u8>) {
    let bytes = format!("GET /a?x=1&gate=k%2D1 HTTP/1.1\r\nHost: a\r\n{lines}\r\n").into_bytes();
    let head = HeadScan::default().request(&bytes, &HeadLimits::default()).expect("a head");
    (head.expect("all of it"), bytes)
}

fn policy(mode: Mode, location: Location, keys: Vec<Key>) -> Policy {
    let keys = Keys::new(mode, location, keys).expect("no key twice");
    Policy { keys: Some(Arc::new(keys)), ..Policy::default() }
}

/// The name of the key that is let in, or why none is.
fn admitted(policy: &Policy, lines: &str, unix_ms: i64) -> Result<Option<String>, Refusal> {
    let (head, bytes) = request(lines);
    let digest = usual(&head, &bytes).map(|(_, credential)| digest(credential));
    let asked = Asked { head: &head, bytes: &bytes, peer: ([10, 0, 0, 1], 1).into(), unix_ms, digest };
    policy.admit(&asked, &KeyRing::default()).map(|identity| identity.name().map(str::to_owned))
}

fn key(text: &str) -> Key {
    Key::new(digest(text.as_bytes()), text)
}

#[test]
fn a_key_holds_until_its_end() {
    for mode in [Mode::Strict, Mode::Optional, Mode::Permissive] {
        let policy = policy(mode, Location::Usual, vec![key("k-1").until(NOW), key("k-2")]);
        let lines = "x-api-key: k-1\r\n";
        assert_eq!(admitted(&policy, lines, NOW - 1), Ok(Some("k-1".to_owned())));
        for late in [NOW, NOW + 1, i64::MAX] {
            let expected = if mode == Mode::Permissive { Ok(None) } else { Err(Refusal::ExpiredKey) };
            assert_eq!(admitted(&policy, lines, late), expected, "{mode:?}");
        }
        assert_eq!(admitted(&policy, "x-api-key: k-2\r\n", i64::MAX), Ok(Some("k-2".to_owned())));
    }
}

#[test]
fn a_credential_is_found_where_it_is_said() {
    let header = |name: &str, prefix: &str| Location::Header { name: name.into(), prefix: prefix.into() };
    let (cookie, query) = (Location::Cookie("gate".into()), |name: &str| Location::Query(name.into()));
    for (location, lines, expected) in [
        (Location::Usual, "Authorization: Bearer k-1\r\nx-api-key: other\r\n", Some("k-1")),
        (Location::Usual, "Authorization: Basic YTpi\r\nx-api-key: k-1\r\n", Some("k-1")),
        (Location::Usual, "x-goog-api-key: k-1\r\n", Some("k-1")),
        (Location::Usual, "Authorization: \r\n", None),
        (header("x-gate", ""), "X-Gate:  k-1 \r\n", Some("k-1")),
        (header("x-gate", "Key "), "X-Gate: Key k-1\r\n", Some("k-1")),
        (header("x-gate", "Key "), "X-Gate: k-1\r\n", None),
        (header("x-gate", "Key"), "X-Gate: Key\r\n", None),
        (cookie.clone(), "Cookie: a=1; gate=k-1;b=2\r\n", Some("k-1")),
        (cookie.clone(), "Cookie: a=1\r\nCookie: gate=\"k-1\"\r\n", Some("k-1")),
        (cookie, "Cookie: gate2=k-1; agate=k-1\r\n", None),
        (query("gate"), "", Some("k-1")),
        (query("x"), "", Some("1")),
        (query("y"), "", None),
    ] {
        let (head, bytes) = request(lines);
        let found = location.find(&head, &bytes).map(|found| String::from_utf8_lossy(&found).into_owned());
        assert_eq!(found.as_deref(), expected, "{location:?}: {lines:?}");
    }
}

#[test]
fn what_a_token_has_validated_is_no_key() {
    let policy = policy(Mode::Strict, Location::Usual, vec![key("k-1")]);
    let keys = policy.keys.as_deref().expect("there are some");
    for (lines, taken, expected) in [
        ("Authorization: Bearer k-1\r\n", false, Ok(true)),
        ("Authorization: Bearer k-1\r\n", true, Err(Refusal::NoKey)),
        ("x-api-key: k-1\r\n", true, Ok(true)),
        ("Authorization: Bearer t\r\nx-api-key: k-1\r\n", true, Ok(true)),
        ("x-goog-api-key: k-1\r\nAuthorization: Bearer t\r\n", true, Ok(true)),
        ("Authorization: Bearer k-1\r\nx-api-key: other\r\n", true, Err(Refusal::UnknownKey)),
        ("Authorization: Basic YTpi\r\n", false, Err(Refusal::NoKey)),
    ] {
        let (head, bytes) = request(lines);
        let digest = usual(&head, &bytes).map(|(_, credential)| digest(credential));
        let asked =
            Asked { head: &head, bytes: &bytes, peer: ([10, 0, 0, 1], 1).into(), unix_ms: NOW, digest };
        let shown = keys.admit(&asked, taken);
        if let Ok(Some(shown)) = shown {
            let credential = shown.credential(&head, &bytes);
            assert_eq!(credential.as_deref(), Some(&b"k-1"[..]), "{lines} {taken}");
        }
        assert_eq!(shown.map(|shown| shown.is_some()), expected, "{lines} {taken}");
    }
}

#[test]
fn models_are_allowed_by_name_beginning_and_end() {
    let only = |patterns: &[&str]| AllowedModels::only(patterns.iter().map(|pattern| (*pattern).to_owned()));
    for (allowed, model, expected) in [
        (AllowedModels::default(), "anything", true),
        (AllowedModels::default(), "", true),
        (only(&[]), "anything", false),
        (only(&["gpt-5"]), "gpt-5", true),
        (only(&["gpt-5"]), "gpt-5-mini", false),
        (only(&["gpt-5*"]), "gpt-5", true),
        (only(&["gpt-5*"]), "gpt-4", false),
        (only(&["*-mini"]), "gpt-5-mini", true),
        (only(&["*-mini"]), "gpt-5-mini-2", false),
        (only(&["x", "*"]), "anything", true),
        (only(&["gpt-5"]), "", false),
        (only(&["*"]), "", true),
    ] {
        assert_eq!(allowed.allow(model), expected, "{allowed:?} {model}");
    }
}

#[test]
fn nothing_shows_a_credential() {
    let policy = policy(Mode::Strict, Location::Usual, vec![key("k-1").until(NOW)]);
    let shown = format!("{policy:?}");
    let hex: String = digest(b"k-1").iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(shown.contains("\"k-1\""), "a name may be shown: {shown}");
    assert!(!shown.contains(&hex) && !shown.contains(&format!("{:?}", digest(b"k-1"))), "{shown}");
}

#[test]
fn identities_are_told_apart() {
    let (one, two) = (key("k-1"), key("k-2"));
    let shown = |key| Shown { key, location: &Location::Usual, header: crate::wire::http1::Known::XApiKey };
    let claims = |token: &[u8]| {
        let all = json!({"sub": "ann"}).as_object().cloned().unwrap_or_default();
        Some(Rc::new(Claims { all, digest: digest(token), expires: i64::MAX }))
    };
    let of = |key, claims| Identity { key, claims, ..Identity::default() }.mark();
    let marks = [
        of(None, None),
        of(Some(shown(&one)), None),
        of(Some(shown(&two)), None),
        of(None, claims(b"k-1")),
        of(None, claims(b"k-2")),
        of(Some(shown(&one)), claims(b"k-1")),
        of(Some(shown(&one)), claims(b"k-2")),
        Identity { user: Some("ann"), ..Identity::default() }.mark(),
        Identity { user: Some("bob"), ..Identity::default() }.mark(),
    ];
    for (place, mark) in marks.iter().enumerate() {
        assert!(!marks[..place].contains(mark), "{place}");
    }
}

proptest! {
    /// A key is found when it is in the list, whatever else is.
    #[test]
    fn keys_are_found_as_a_list_would_find_them(known in proptest::collection::vec(0u16..400, 0..200), wanted: [u16; 8]) {
        let text = |number: u16| format!("k-{number}");
        let keys = known.iter().map(|number| key(&text(*number))).collect();
        let twice = known.iter().enumerate().find_map(|(place, one)| {
            known[..place].iter().position(|other| other == one).map(|first| (first, place))
        });
        match Keys::new(Mode::Strict, Location::Usual, keys) {
            Err(TwinKeys(first, second)) => {
                prop_assert!(twice.is_some());
                prop_assert!(first < second && known[first] == known[second]);
            }
            Ok(keys) => {
                prop_assert!(twice.is_none());
                for number in wanted.into_iter().map(|number| number % 400) {
                    let found = keys.find(&digest(text(number).as_bytes())).map(|key| key.name().to_owned());
                    prop_assert_eq!(found, known.contains(&number).then(|| text(number)));
                }
            }
        }
    }
}
